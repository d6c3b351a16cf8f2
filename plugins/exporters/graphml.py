"""GraphML 1.0: the graph of the features. http://graphml.graphdrawing.org/specification.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from axon_shell import Message

from .graphs import CREATOR, OF_EDGE, OF_NODE, Value, about, items_and_ties
from .said import saes_of
from .xml_text import DECLARATION, attribute, text, write_lines

HEAD = """\
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">"""
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """One graph, in which each SAE has nodes of its own."""
    write_lines(lines(messages), file)


def lines(messages: Sequence[Message]) -> Iterator[str]:
    facts = dict(about(messages)) | {"creator": CREATOR}
    items, ties = items_and_ties(messages)
    names = name_tokens(saes_of(messages))
    yield DECLARATION
    yield HEAD
    kinds = (("graph", dict.fromkeys(facts, "string")), ("node", OF_NODE), ("edge", OF_EDGE))
    for kind, fields in kinds:
        for field, type_ in fields.items():
            yield f'  <key id="{kind}.{field}" for="{kind}" attr.name="{field}" attr.type="{type_}"/>'
    yield '  <graph id="features" edgedefault="undirected">'
    yield from data("graph", facts, "    ")
    for item in items:
        yield f"    <node id={attribute(f'{names[item.sae]}:{item.feature}')}>"
        yield from data("node", item.values, "      ")
        yield "    </node>"
    for tie in ties:
        ends = (f"{names[tie.sae]}:{feature}" for feature in (tie.a, tie.b))
        yield "    <edge source={} target={}>".format(*map(attribute, ends))
        yield from data("edge", tie.values, "      ")
        yield "    </edge>"
    yield "  </graph>"
    yield "</graphml>"


def data(kind: str, values: Mapping[str, Value], indent: str) -> Iterator[str]:
    for field, value in values.items():
        if value is not None:
            yield f'{indent}<data key="{kind}.{field}">{text(value)}</data>'


def name_tokens(saes: Sequence[str]) -> dict[str, str]:
    """The ids of SAEs as ids of nodes may begin: GraphML allows no slash there, for one. No two are the same."""
    found: dict[str, str] = {}
    for sae in saes:
        name = NOT_IN_A_NAME.sub(".", sae)
        while name in found.values():
            name += "."
        found[sae] = name
    return found
