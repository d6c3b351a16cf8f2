"""Nodes and edges equal a slow, obvious count."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon_shell.graph import KINDS, Firings, Graph, fired_of, graph, graph_of
from axon_shell.records import Message

activations = st.floats(0.125, 100, width=32)
firing = st.dictionaries(st.integers(0, 12), activations, max_size=6)
firings = st.lists(firing, max_size=20)
SAE = "m/2-res"


def steps(firings: list[dict[int, float]], tokens: list[int] | None = None) -> list[Message]:
    """What fired at the positions from 1 on, after BOS, as the messages of a session; effects are activations / 10."""
    ids = tokens or list(range(100, 100 + len(firings)))
    bos: Message = {"kind": "step", "position": 0, "is_bos": True, "saes": {SAE: {"l0": 1, "features": []}}}
    return [
        bos,
        *(
            {
                "kind": "step",
                "position": position,
                "token_id": ids[position - 1],
                "next": {"token_id": ids[position], "text": f" {ids[position]}"} if position < len(ids) else None,
                "saes": {
                    SAE: {
                        "l0": len(fired) + position % 2,
                        "features": [
                            {"feature": feature, "activation": value, "effect": value / 10}
                            for feature, value in sorted(fired.items(), key=lambda one: -one[1])
                        ],
                    }
                },
            }
            for position, fired in enumerate(firings, 1)
        ),
    ]


def drawn(firings: list[dict[int, float]], *args, **more) -> Graph:
    return graph(fired_of(steps(firings), SAE), *args, **more)


@given(firings, st.integers(1, 4))
def test_nodes_and_co_activations_equal_a_plain_count(firings, per_node):
    found = drawn(firings, "co-activation", per_node, max_nodes=100)
    alone = Counter(feature for fired in firings for feature in fired)
    pairs = Counter(pair for fired in firings for pair in combinations(sorted(fired), 2))
    lift = {(a, b): (n + 1) / (alone[a] * alone[b] / len(firings) + 1) for (a, b), n in pairs.items()}

    assert {node.feature: node.count for node in found.nodes} == alone
    for node in found.nodes:
        where = [p for p, fired in enumerate(firings, 1) if node.feature in fired]
        assert (node.first, node.last) == (where[0], where[-1])
        assert node.max == max(fired.get(node.feature, 0) for fired in firings)
        assert node.always == (len(firings) >= 20 and node.count >= len(firings) / 2)
    free = {node.feature for node in found.nodes if not node.always}
    pairs = {pair: n for pair, n in pairs.items() if free >= set(pair)}
    assert (found.nodes_total, found.edges_total, found.positions) == (len(alone), len(pairs), len(firings))
    for edge in found.edges:
        assert edge.count == edge.strength == pairs[edge.a, edge.b]
        assert edge.lift == pytest.approx(lift[edge.a, edge.b])

    # Every edge is among the strongest of one of its ends, and no stronger one is left out.
    shown = {(edge.a, edge.b) for edge in found.edges}
    for feature in alone:
        own = sorted((n for pair, n in pairs.items() if feature in pair), reverse=True)
        if own:
            least = own[:per_node][-1]
            assert all(pair in shown for pair, n in pairs.items() if feature in pair and n > least)


@given(firings)
def test_the_evidence_of_an_association_equals_a_plain_count(firings):
    scattered = {4, 6, 13, 14, 22, 27, 38, 41, 47, 60, 61, 75}  # at no period, which would be one coincidence
    firings = [*firings, *({0: 1.0, 1: 1.0} if p in scattered else {2: 1.0} for p in range(80))]
    found = drawn(firings, always=True)
    assert (0, 1) in {(edge.a, edge.b) for edge in found.edges}
    present = np.array([[feature in fired for fired in firings] for feature in range(13)], float)
    for edge in found.edges:
        a, b = present[edge.a], present[edge.b]
        assert edge.count == a @ b
        assert edge.lift == edge.strength == pytest.approx((a @ b + 1) / (a.sum() * b.sum() / len(a) + 1))
        assert edge.phi == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-9)
        assert 0 <= edge.p <= edge.q <= 0.05


def test_the_cap_keeps_what_fires_now_and_then_the_strongest():
    found = drawn([{1: 5.0, 2: 9.0}, {3: 1.0}, {4: 0.5}], "co-activation", max_nodes=2)
    assert [node.feature for node in found.nodes] == [2, 4]
    assert found.nodes_total == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("firings", [[], [{}, {}], [{1: 1.0}], [{1: 1.0, 2: 1.0}]], ids=len)
@pytest.mark.parametrize("chance", [None, 0])
def test_next_to_nothing_is_next_to_nothing(kind, firings, chance):
    found = drawn(firings, kind, chance=chance, directions=lambda features: np.eye(len(features)))
    assert found.nodes_total == len(firings[0] if firings else {})
    assert len(found.edges) == (kind == "co-activation" and found.nodes_total == 2)


def test_features_that_always_fire_are_marked_and_have_no_edges_unless_asked_for():
    firings = [{0: 1.0, 1: 1.0} | ({2: 1.0, 3: 1.0} if p in {3, 11, 17, 38, 44, 59} else {}) for p in range(60)]
    found = drawn(firings, "co-activation")
    assert [node.feature for node in found.nodes if node.always] == [0, 1]
    assert {(edge.a, edge.b) for edge in found.edges} == {(2, 3)}
    assert {(edge.a, edge.b) for edge in drawn(firings, "co-activation", always=True).edges} > {(0, 1), (2, 3)}
    # Firing together with what always fires is no association, even when it is asked for.
    assert {(edge.a, edge.b) for edge in drawn(firings, always=True).edges} == {(2, 3)}
    assert not any(node.always for node in drawn(firings[:19]).nodes)  # too short to know


def test_similar_directions_are_joined_and_near_duplicates_are_one_node():
    """1 and 2 are one feature twice; 3 points the same way and fires elsewhere; 4 is like them; 5 is opposite to 6."""
    firings = [{1: 1.0, 2: 3.0, 5: 1.0}, {1: 2.0, 2: 1.0}, {3: 1.0, 4: 1.0}, {6: 1.0, 4: 1.0}] * 3
    rows = {
        1: [1, 0, 0.0, 0],
        2: [9, 0.1, 0.0, 0],
        3: [1, 0.05, 0.0, 0],
        4: [1, 1.5, 0.0, 0],
        5: [0, 0, 1.0, 0],
        6: [0, 0, -2.0, 0.1],
    }

    def directions(features):
        return np.array([rows[feature] for feature in features])

    found = drawn(firings, "similarity", directions=directions)
    assert {node.feature: node.folded for node in found.nodes if node.folded} == {2: (1,)}
    assert {node.feature for node in found.nodes} == {2, 3, 4, 5, 6}
    node = next(node for node in found.nodes if node.feature == 2)
    assert (node.count, node.max) == (6, 3.0)
    cosines = {(edge.a, edge.b): edge.cosine for edge in found.edges}
    assert cosines.keys() == {(2, 3), (2, 4), (3, 4), (5, 6)}
    for (a, b), cosine in cosines.items():
        one, other = np.array(rows[a]), np.array(rows[b])
        assert cosine == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert found.expected is None and found.why == ""

    assert "weights" in drawn(firings, "similarity").why  # nobody knows the directions


def test_attributions_join_features_to_the_tokens_that_followed():
    firings = [{1: 2.0, 2: 1.0}, {1: 4.0}, {2: 3.0}, {1: 1.0}]
    found = graph_of(steps(firings, [7, 8, 7, 8]), SAE, "attribution")
    assert [(token.text, token.count, token.first, token.last) for token in found.tokens] == [
        (" 7", 1, 2, 2),
        (" 8", 2, 1, 3),
    ]
    name = {token.key: token.text for token in found.tokens}
    assert {(edge.a, name[edge.b]): (edge.count, edge.effect) for edge in found.edges} == {
        (1, " 8"): (1, pytest.approx(0.2)),
        (2, " 8"): (2, pytest.approx(0.4)),
        (1, " 7"): (1, pytest.approx(0.4)),
    }
    assert not name.keys() & {node.feature for node in found.nodes}
    unknown = steps(firings)
    for step in unknown[1:]:
        for one in step["saes"][SAE]["features"]:
            one["effect"] = None
    assert "straight line" in graph_of(unknown, SAE, "attribution").why


def test_the_graph_at_a_position_is_that_of_the_steps_up_to_it():
    messages = steps([{p % 3: 1.0, 5 + p % 2: 2.0} for p in range(30)])
    firings = Firings(SAE)
    for message in messages:  # one by one, as a session grows
        firings.add([message])
        whole = fired_of(messages[: message["position"] + 1], SAE)
        for kind in KINDS:
            assert graph(firings.up_to(), kind) == graph(whole, kind)
    for position in (-1, 0, 1, 7, 30, 99):
        some = [message for message in messages if message["position"] <= position]
        assert graph(firings.up_to(position), "co-activation") == graph_of(some, SAE, "co-activation")
    assert firings.up_to().truncated.mean() == graph(firings.up_to()).truncated == 0.5
    assert graph_of(messages, "m/unknown").nodes == []
