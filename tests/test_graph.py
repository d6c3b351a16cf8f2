"""Nodes and edges equal a slow, obvious count."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon_shell.graph import graph

activations = st.floats(0.125, 100, width=32)
firing = st.dictionaries(st.integers(0, 12), activations, max_size=6).map(lambda fired: list(fired.items()))
firings = st.lists(firing, max_size=20)


@given(firings, st.sampled_from(["lift", "count"]), st.integers(1, 4))
def test_counts_and_lift_equal_a_plain_count(firings, by, per_node):
    drawn = graph(firings, by, per_node, max_nodes=100, start=1)
    alone = Counter(feature for fired in firings for feature, _ in fired)
    pairs = Counter(pair for fired in firings for pair in combinations(sorted(f for f, _ in fired), 2))
    lift = {(a, b): n * len(firings) / (alone[a] * alone[b]) for (a, b), n in pairs.items()}
    kept = {pair for pair, n in pairs.items() if n >= 2 and (by == "count" or lift[pair] > 1)}

    assert {node.feature: node.count for node in drawn.nodes} == alone
    for node in drawn.nodes:
        where = [p for p, fired in enumerate(firings, 1) if node.feature in dict(fired)]
        assert (node.first, node.last) == (where[0], where[-1])
        assert node.max == max(dict(fired).get(node.feature, 0) for fired in firings)
    assert drawn.nodes_total == len(alone)
    assert drawn.edges_total == len(kept)
    for edge in drawn.edges:
        assert (edge.a, edge.b) in kept
        assert edge.count == pairs[edge.a, edge.b]
        assert edge.lift == pytest.approx(lift[edge.a, edge.b], rel=1e-5)

    # Every edge is among the strongest of one of its ends, and no stronger one is left out.
    strength = lift if by == "lift" else pairs
    shown = {(edge.a, edge.b) for edge in drawn.edges}
    for feature in alone:
        own = sorted((round(strength[pair], 4) for pair in kept if feature in pair), reverse=True)
        if own:
            least = own[:per_node][-1]
            assert all(pair in shown for pair in kept if feature in pair and round(strength[pair], 4) > least)


def test_the_cap_keeps_what_fires_now_and_then_the_strongest():
    firings = [[(1, 5.0), (2, 9.0)], [(3, 1.0)], [(4, 0.5)]]
    drawn = graph(firings, "count", 3, max_nodes=2)
    assert [node.feature for node in drawn.nodes] == [2, 4]
    assert drawn.nodes_total == 4


def test_nothing_fired_is_an_empty_graph():
    assert graph([], "lift", 3, 10).nodes == graph([[], []], "lift", 3, 10).nodes == []


def test_pairs_that_meet_no_oftener_than_chance_are_no_association():
    always = [[(0, 1.0), (1, 1.0)]] * 6  # both always on: lift 1
    assert graph(always, "lift", 3, 10).edges == []
    assert [(e.a, e.b, e.count, e.lift) for e in graph(always, "count", 3, 10).edges] == [(0, 1, 6, 1.0)]
