"""The graph of a session as GraphML and GEXF hold it: the features of each SAE with what joins them.

A value that is None is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from axon_shell import Message, __version__, graph_of

from .said import EDGES, Name, names_of, saes_of, start_of

Value = str | int | float | None
# Their types are called the same in GraphML and in GEXF, but for "int" and "integer".
OF_NODE = {
    "sae": "string",
    "feature": "int",
    "label": "string",  # one that was made automatically begins with "automatic: "
    "label_origin": "string",
    "label_state": "string",
    "count": "int",
    "max": "double",
    "first": "int",
    "last": "int",
    "always": "boolean",
}
OF_EDGE = {
    "count": "int",
    "lift": "double",
    "phi": "double",
    "p": "double",
    "q": "double",
    "same_token": "boolean",
}
CREATOR = f"AXON Shell {__version__}"


@dataclass(frozen=True, slots=True)
class Item:
    """A node."""

    sae: str
    feature: int
    title: str  # what to call it, in any case
    values: Mapping[str, Value]  # as in OF_NODE


@dataclass(frozen=True, slots=True)
class Tie:
    """An edge between two features of one SAE."""

    sae: str
    a: int
    b: int
    values: Mapping[str, Value]  # as in OF_EDGE


def items_and_ties(messages: Sequence[Message]) -> tuple[list[Item], list[Tie]]:
    """The nodes and edges of the whole session, one SAE after another."""
    items: list[Item] = []
    ties: list[Tie] = []
    for sae in saes_of(messages):
        graph, names = graph_of(messages, sae), names_of(messages, sae)
        for node in graph.nodes:
            name = names.get(node.feature) or Name(None, "unlabelled", None)
            values: dict[str, Value] = {
                "sae": sae,
                "feature": node.feature,
                "label": name.marked,
                "label_origin": name.origin,
                "label_state": name.state,
                "count": node.count,
                "max": node.max,
                "first": node.first,
                "last": node.last,
                "always": node.always,
            }
            items.append(Item(sae, node.feature, name.marked or f"feature {node.feature}", values))
        ties += [Tie(sae, edge.a, edge.b, {name: getattr(edge, name) for name in OF_EDGE}) for edge in graph.edges]
    return items, ties


def about(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """What the graph is of, as names with texts."""
    start = start_of(messages) or {}
    for name in ("session", "model", "prompt"):
        if name in start:
            yield name, start[name]
    yield "edges", EDGES
