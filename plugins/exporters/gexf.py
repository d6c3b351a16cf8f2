"""GEXF 1.3: the graph of the features. https://gexf.net/"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from axon_shell import Message

from .graphs import CREATOR, OF_EDGE, OF_NODE, Value, about, items_and_ties
from .xml_text import DECLARATION, attribute, text, write_lines

HEAD = """\
<gexf xmlns="http://gexf.net/1.3" version="1.3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://gexf.net/1.3 http://gexf.net/1.3/gexf.xsd">"""


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """One graph, in which each SAE has nodes of its own; the weight of an edge is its lift."""
    write_lines(lines(messages), file)


def lines(messages: Sequence[Message]) -> Iterator[str]:
    items, ties = items_and_ties(messages)
    yield DECLARATION
    yield HEAD
    yield "  <meta>"
    yield f"    <creator>{CREATOR}</creator>"
    description = "\n".join(f"{name}: {said}" for name, said in about(messages))
    yield f"    <description>{text(description)}</description>"
    yield "  </meta>"
    yield '  <graph mode="static" defaultedgetype="undirected">'
    for kind, fields in (("node", OF_NODE), ("edge", OF_EDGE)):
        yield f'    <attributes class="{kind}">'
        for field, type_ in fields.items():
            yield f'      <attribute id="{field}" title="{field}" type="{"integer" if type_ == "int" else type_}"/>'
        yield "    </attributes>"
    yield "    <nodes>"
    for item in items:
        yield f"      <node id={attribute(f'{item.sae}:{item.feature}')} label={attribute(item.title)}>"
        yield from values(item.values)
        yield "      </node>"
    yield "    </nodes>"
    yield "    <edges>"
    for number, tie in enumerate(ties):
        ends = (attribute(f"{tie.sae}:{feature}") for feature in (tie.a, tie.b))
        weight = attribute(tie.values["lift"])
        yield '      <edge id="{}" source={} target={} weight={}>'.format(number, *ends, weight)
        yield from values(tie.values)
        yield "      </edge>"
    yield "    </edges>"
    yield "  </graph>"
    yield "</gexf>"


def values(of: Mapping[str, Value]) -> Iterator[str]:
    yield "        <attvalues>"
    for field, value in of.items():
        if value is not None:
            yield f'          <attvalue for="{field}" value={attribute(value)}/>'
    yield "        </attvalues>"
