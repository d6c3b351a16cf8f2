"""Two sessions side by side are what a plain recount says."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axon_shell.compare import compare
from axon_shell.records import Message


def session(words: list[str], fired: list[dict[int, float]], sae: str = "m/1") -> list[Message]:
    """Messages of a session of these tokens, BOS before them."""
    steps: list[Message] = [{"kind": "start"}, {"kind": "step", "position": 0, "piece": "", "is_bos": True, "saes": {}}]
    for position, (word, features) in enumerate(zip(words, fired, strict=True), 1):
        active = [{"feature": n, "activation": a, "effect": None} for n, a in features.items()]
        steps.append({"kind": "step", "position": position, "piece": word, "saes": {sae: {"features": active}}})
    return [*steps, {"kind": "end"}]


words = st.lists(st.sampled_from("abc"), max_size=8)
features = st.dictionaries(st.integers(0, 5), st.floats(0.1, 10), max_size=4)


@st.composite
def sessions(draw: st.DrawFn) -> list[Message]:
    chosen = draw(words)
    return session(chosen, [draw(features) for _ in chosen])


@given(sessions(), sessions())
@settings(max_examples=150, deadline=None)
def test_every_figure_is_a_recount(a: list[Message], b: list[Message]) -> None:
    found = compare(a, b, "m/1", "m/1")
    of = []
    for messages in (a, b):
        did: dict[int, dict[int, float]] = defaultdict(dict)
        steps = [one for one in messages if one["kind"] == "step" and not one.get("is_bos")]
        for step in steps:
            for one in step["saes"]["m/1"]["features"]:
                did[one["feature"]][step["position"]] = one["activation"]
        of.append((did, len(steps)))
    (did_a, length_a), (did_b, length_b) = of
    assert (found.tokens_a, found.tokens_b) == (length_a, length_b)
    assert {one.feature for one in found.differences} == did_a.keys() | did_b.keys()
    for one in found.differences:
        in_a, in_b = did_a[one.feature], did_b[one.feature]
        assert (one.count_a, one.count_b) == (len(in_a), len(in_b))
        assert one.mean_a == pytest.approx(sum(in_a.values()) / max(length_a, 1))
        assert one.mean_b == pytest.approx(sum(in_b.values()) / max(length_b, 1))
        assert (one.max_a, one.max_b) == (max(in_a.values(), default=0), max(in_b.values(), default=0))
        changes = [in_b.get(q, 0) - in_a.get(p, 0) for p, q in found.pairs]
        assert one.aligned == pytest.approx(sum(changes) / max(len(changes), 1))
        assert one.where == ("both" if in_a and in_b else "a" if in_a else "b")
    changes = [abs(one.mean_b - one.mean_a) for one in found.differences]
    assert changes == sorted(changes, reverse=True)


@given(sessions(), sessions())
@settings(max_examples=100, deadline=None)
def test_aligned_tokens_match_and_keep_their_order(a: list[Message], b: list[Message]) -> None:
    pieces = [{one["position"]: one["piece"] for one in side if one["kind"] == "step"} for side in (a, b)]
    pairs = compare(a, b, "m/1", "m/1").pairs
    assert all(pieces[0][p] == pieces[1][q] and p and q for p, q in pairs)
    assert list(pairs) == sorted(pairs) and len({p for p, _ in pairs}) == len({q for _, q in pairs}) == len(pairs)


def test_a_session_and_itself_differ_in_nothing() -> None:
    chance = random.Random(0)
    one = session(list("to be or not"), [{chance.randrange(50): chance.random() for _ in range(5)} for _ in range(12)])
    found = compare(one, one, "m/1", "m/1")
    assert len(found.pairs) == 12 and found.features("a") == found.features("b") == 0
    assert all(d.mean_a == d.mean_b and d.aligned == 0 for d in found.differences)


def test_one_changed_word_is_found() -> None:
    a = session(["The", " capital", " of", " France"], [{1: 1.0}, {2: 1.0}, {3: 1.0}, {7: 5.0}])
    b = session(["The", " capital", " of", " Italy"], [{1: 1.0}, {2: 1.5}, {3: 1.0}, {8: 6.0}])
    found = compare(a, b, "m/1", "m/1")
    assert found.pairs == ((1, 1), (2, 2), (3, 3))
    assert [(one.feature, one.where) for one in found.differences[:3]] == [(8, "b"), (7, "a"), (2, "both")]
    assert found.differences[2].aligned == pytest.approx(0.5 / 3) and found.differences[0].aligned == 0


def test_features_of_two_saes_are_never_taken_for_one() -> None:
    a, b = session(["x"], [{1: 2.0}], "m/1"), session(["x"], [{1: 2.0, 4: 1.0}], "m/2")
    found = compare(a, b, "m/1", "m/2")
    assert sorted((one.feature, one.where) for one in found.differences) == [(1, "a"), (1, "b"), (4, "b")]
    assert found.features("both") == 0 and all(one.aligned == 0 for one in found.differences)
