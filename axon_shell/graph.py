"""Which nodes and edges to draw, and how strong they are: pure functions on activations.

An edge joins two features that fired together at least twice. Each node keeps its strongest few, ranked either by lift
(how much oftener they fired together than their own rates in the session predict) or by the raw count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .records import Message, steps_of

if TYPE_CHECKING:
    import numpy as np  # otherwise where it is needed: every start imports this module

By = Literal["lift", "count"]
Firing = Sequence[tuple[int, float]]  # the features of one position with their activations
TOGETHER = 2  # firing together once says nothing: nearly all pairs of a short session do


@dataclass(frozen=True, slots=True)
class Node:
    """A feature that has fired."""

    feature: int
    first: int  # position where it fired first
    last: int
    count: int  # positions where it fired
    max: float  # its strongest activation


@dataclass(frozen=True, slots=True)
class Edge:
    """Two features that fired together."""

    a: int
    b: int
    count: int  # positions where both fired
    lift: float  # count * positions / (count of a * count of b); 1 = as often as chance predicts


@dataclass(frozen=True, slots=True)
class Graph:
    """What is drawn, and how much there is of which it is the strongest part."""

    nodes: list[Node]
    edges: list[Edge]
    nodes_total: int
    edges_total: int  # pairs among the drawn nodes that fired together often enough


def graph_of(
    messages: Sequence[Message], sae: str, by: By = "lift", edges_per_node: int = 3, max_nodes: int = 2000
) -> Graph:
    """The graph of one SAE's features in these messages of a session, of which the last step is the cursor."""
    steps = [step for step in steps_of(messages) if sae in step["saes"]]
    firings = [[(f["feature"], f["activation"]) for f in step["saes"][sae]["features"]] for step in steps]
    return graph(firings, by, edges_per_node, max_nodes, steps[0]["position"] if steps else 0)


def graph(firings: Sequence[Firing], by: By, edges_per_node: int, max_nodes: int, start: int = 0) -> Graph:
    """The graph of what fired in these positions, of which the first is position `start` and the last is the cursor.

    Drawn are the features that fire at the cursor and, of the others, those with the largest sum of activations.
    """
    import numpy as np

    lengths = [len(firing) for firing in firings]
    pairs = [pair for firing in firings for pair in firing]
    if not pairs:
        return Graph([], [], 0, 0)
    positions = np.repeat(np.arange(len(firings)), lengths)
    activations = np.array([activation for _, activation in pairs])
    features, local = np.unique(np.array([feature for feature, _ in pairs]), return_inverse=True)

    sums = np.bincount(local, activations)
    sums[local[positions == len(firings) - 1]] = np.inf
    kept = np.sort(np.argsort(-sums, kind="stable")[:max_nodes])
    fired = np.zeros((len(firings), len(features)), np.float32)  # (positions, features)
    fired[positions, local] = 1
    strength = np.zeros(len(features))
    np.maximum.at(strength, local, activations)
    fired = fired[:, kept]
    counts = fired.sum(0)
    first, last = fired.argmax(0), len(firings) - 1 - fired[::-1].argmax(0)
    nodes = [
        Node(*row)
        for row in zip(
            features[kept].tolist(),
            (start + first).tolist(),
            (start + last).tolist(),
            counts.astype(int).tolist(),
            strength[kept].tolist(),
            strict=True,
        )
    ]

    together = fired.T @ fired  # (nodes, nodes)
    lift = together * len(firings) / np.outer(counts, counts)
    often = np.triu(together >= TOGETHER, 1)
    if by == "lift":
        often &= lift > 1  # no oftener than chance predicts is no association
    chosen = strongest(np.where(often | often.T, lift if by == "lift" else together, 0), together, edges_per_node)
    ids = features[kept]
    rows, columns = np.nonzero(np.triu(chosen, 1))
    edges = [
        Edge(a, b, count, value)
        for a, b, count, value in zip(
            ids[rows].tolist(),
            ids[columns].tolist(),
            together[rows, columns].astype(int).tolist(),
            lift[rows, columns].tolist(),
            strict=True,
        )
    ]
    return Graph(nodes, edges, len(features), int(often.sum()))


def strongest(strength: np.ndarray, together: np.ndarray, per_node: int) -> np.ndarray:
    """Which pairs are among the strongest of either of their nodes: (nodes, nodes), symmetric, 0 = no edge.

    Equal strengths are told apart by the count, then by the order of the nodes, so that the picture is stable.
    """
    import numpy as np

    order = np.lexsort((-together, -strength))[:, :per_node]  # along the last axis
    chosen = np.zeros(strength.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    chosen &= strength > 0
    return chosen | chosen.T
