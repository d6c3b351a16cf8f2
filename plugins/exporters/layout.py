"""Places for the nodes of a graph in the plane, always the same for the same graph."""

from __future__ import annotations

from collections.abc import Sequence

WIDE, HIGH = 1000, 720  # places are whole numbers up to these
ROUNDS = 240


def placed(nodes: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Nodes that are joined come close, all push one another away (Fruchterman & Reingold 1991), none drifts off."""
    if nodes < 2:
        return [(WIDE // 2, HIGH // 2)] * nodes
    import numpy as np

    number = np.arange(nodes)
    angle, reach = number * 2.399963, np.sqrt((number + 0.5) / nodes)  # a sunflower: even, and no chance in it
    at = np.stack([np.cos(angle) * reach, np.sin(angle) * reach], 1) * 0.5
    near = 1 / np.sqrt(nodes)  # how far apart neighbours want to be
    joined = np.array(edges, int).reshape(-1, 2)
    for round_ in range(ROUNDS):
        across, down = (at[:, None, i] - at[None, :, i] for i in (0, 1))  # (nodes, nodes)
        strength = near**2 / np.maximum(across**2 + down**2, 1e-6)
        push = np.stack([(across * strength).sum(1), (down * strength).sum(1)], 1)
        along = at[joined[:, 1]] - at[joined[:, 0]]
        pull = along * np.sqrt((along**2).sum(1, keepdims=True)) / near
        np.add.at(push, joined[:, 0], pull)
        np.add.at(push, joined[:, 1], -pull)
        push -= at * 1.2 * near * np.sqrt(nodes)
        length = np.maximum(np.sqrt((push**2).sum(1, keepdims=True)), 1e-9)
        at += push / length * np.minimum(length, 0.12 * (1 - round_ / ROUNDS))
    at -= at.min(0)
    at *= np.array([WIDE, HIGH]) / np.maximum(at.max(0), 1e-9)
    return [(int(x), int(y)) for x, y in np.rint(at).tolist()]
