"""Which features are nodes: those that fire now, the strongest of the others, near-duplicates as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .association import BaseRates
from .fired import Fired
from .records import Node

if TYPE_CHECKING:
    import numpy as np  # otherwise where it is needed: every start imports this module

# The decoder rows of some features, (K, width of what the SAE writes); None where the weights are not at hand.
Directions = Callable[[Sequence[int]], "np.ndarray | None"]

ALWAYS = 0.5  # a feature that fires at this share of a session's positions tells nothing by firing
ALWAYS_ELSEWHERE = 0.2  # ... or at this share of text at large
SHORT = 20  # positions, below which nothing is known to fire always
SAME, SAME_FIRING = 0.9, 0.8  # cosine, and firing together as a share of firing at all, of features folded into one


@dataclass(frozen=True)
class Table:
    """The features that are nodes, and where they fired; K of them at n positions."""

    nodes: list[Node]
    features: np.ndarray  # (K,) ids
    present: np.ndarray  # (K, n) 1 where a feature fired, or one that it stands for
    directions: np.ndarray | None  # (K, width) decoder rows of length 1
    total: int  # features that fired


def table_of(fired: Fired, most: int, directions: Directions | None, rates: BaseRates | None) -> Table:
    """At most so many features: those that fire at the last position, then those with the largest sums."""
    import numpy as np

    n = fired.positions
    if not len(fired.feature):
        return Table([], np.zeros(0, np.int64), np.zeros((0, n), np.float32), None, 0)
    features, local = np.unique(fired.feature, return_inverse=True)
    sums = np.bincount(local, fired.activation, len(features))
    sums[local[fired.at == n - 1]] = np.inf
    kept = np.sort(np.argsort(-sums, kind="stable")[:most])
    row = np.full(len(features), -1)
    row[kept] = np.arange(len(kept))
    drawn = row[local] >= 0
    at, rows, activation = fired.at[drawn], row[local[drawn]], fired.activation[drawn]
    present = np.zeros((len(kept), n), np.float32)
    present[rows, at] = 1
    strongest = np.zeros(len(kept))
    np.maximum.at(strongest, rows, activation)
    ids, order = features[kept], np.argsort(-sums[kept], kind="stable")

    found = directions(ids.tolist()) if directions else None
    unit = None if found is None else found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    folded: dict[int, tuple[int, ...]] = {}  # by the row that stands for others
    if unit is not None:
        groups = duplicates(present, unit, order)
        folded = {group[0]: tuple(ids[group[1:]].tolist()) for group in groups}
        for group in groups:
            present[group[0]] = present[group].max(0)
            strongest[group[0]] = strongest[group].max()
        heads = np.array([group[0] for group in groups], int)
    else:
        heads = np.arange(len(kept))
    ids, present, strongest = ids[heads], present[heads], strongest[heads]
    counts = present.sum(1).astype(int)
    first, last = present.argmax(1), n - 1 - present[:, ::-1].argmax(1)
    always = (counts >= ALWAYS * n) & (n >= SHORT)
    if rates:
        always |= np.array([rates.share.get(one, 0) >= ALWAYS_ELSEWHERE for one in ids.tolist()], bool)
    columns = (ids, fired.start + first, fired.start + last, counts, strongest, always)
    facts = zip(*(column.tolist() for column in columns), strict=True)
    nodes = [
        Node(feature, first, last, count, activation, fires_always, folded.get(head, ()))
        for (feature, first, last, count, activation, fires_always), head in zip(facts, heads.tolist(), strict=True)
    ]
    return Table(nodes, ids, present, None if unit is None else unit[heads], len(features))


def duplicates(present: np.ndarray, unit: np.ndarray, order: np.ndarray) -> list[list[int]]:
    """Rows that are one feature twice, in groups, the strongest first in each; most groups are of one.

    Those point the same way and fire at the same positions.
    """
    import numpy as np

    together = present @ present.T
    counts = present.sum(1)
    either = counts[:, None] + counts[None] - together
    same = (unit @ unit.T > SAME) & (together >= SAME_FIRING * either)
    taken = np.zeros(len(present), bool)
    groups = []
    for one in order.tolist():
        if not taken[one]:
            others = np.flatnonzero(same[one] & ~taken)
            taken[others] = taken[one] = True
            groups.append([one, *(other for other in others.tolist() if other != one)])
    return sorted(groups)
