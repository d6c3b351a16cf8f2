"""Which nodes and edges to draw, and how sure they are: pure functions on activations.

    steps -> Fired: where features fired -> Table: which of them are nodes -> pairs -> the strongest of them: Graph

fired.py        where features fired, as arrays
nodes.py        which features are nodes, which of them fire always, which are one and the same
chance.py       what chance would do: tails, bursts, shifts, many tests at once
association.py  which pairs are more than chance
draw.py         the graph of each kind
records.py      nodes, edges with their evidence

An edge has a meaning that the user picks (`KINDS`). docs/edges.md says what each means and what it does not.
"""

from .association import LEVEL, BaseRates, Corpus, Known
from .draw import graph, graph_of
from .fired import Fired, Firings, fired_of
from .nodes import Directions
from .records import BY_FIRING, KINDS, Edge, Graph, Kind, Node, TokenNode

__all__ = [
    "BY_FIRING",
    "KINDS",
    "LEVEL",
    "BaseRates",
    "Corpus",
    "Directions",
    "Edge",
    "Fired",
    "Firings",
    "Graph",
    "Kind",
    "Known",
    "Node",
    "TokenNode",
    "fired_of",
    "graph",
    "graph_of",
]
