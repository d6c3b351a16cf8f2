"""What two sessions have in common and where they differ, feature by feature: pure functions on their steps.

Positions are aligned where the tokens match (longest matching runs; Ratcliff and Metzener 1988, as in difflib).
Features can be compared only where both sessions were read by the same SAE: numbers of features of two SAEs mean
nothing to each other, so then each side is listed alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from .records import Message, steps_of

Fired = dict[int, float]  # features of one position with their activations


class Total(NamedTuple):
    """What a feature did in one session."""

    times: int
    total: float
    largest: float


NOTHING = Total(0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a feature did in two sessions; means count every position, those where it was silent as 0."""

    feature: int
    count_a: int  # positions where it fired
    count_b: int
    mean_a: float
    mean_b: float
    max_a: float
    max_b: float
    aligned: float  # mean of b less a over aligned positions; 0 where there are none

    @property
    def where(self) -> str:
        """In which of the sessions it fired: "a", "b" or "both"."""
        return "both" if self.count_a and self.count_b else "a" if self.count_a else "b"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sessions side by side."""

    pairs: tuple[tuple[int, int], ...]  # aligned positions
    tokens_a: int  # BOS left out
    tokens_b: int
    differences: tuple[Difference, ...]  # the largest change first

    def features(self, where: str) -> int:
        """How many features fired in "a" alone, in "b" alone or in "both"."""
        return sum(one.where == where for one in self.differences)


def compare(a: Sequence[Message], b: Sequence[Message], sae_a: str, sae_b: str) -> Comparison:
    """Compare the messages of two sessions, read by an SAE each."""
    steps_a, steps_b = steps_of(a), steps_of(b)
    pairs = aligned(steps_a, steps_b)
    fired_a = {step["position"]: fired(step, sae_a) for step in steps_a}
    fired_b = {step["position"]: fired(step, sae_b) for step in steps_b}
    did_a, did_b = totals(fired_a.values()), totals(fired_b.values())
    changes: dict[int, float] = defaultdict(float)
    for p, q in pairs:
        for feature, activation in fired_a[p].items():
            changes[feature] -= activation
        for feature, activation in fired_b[q].items():
            changes[feature] += activation
    same = sae_a == sae_b
    found = [
        Difference(
            feature,
            *(one.times, other.times),
            *(one.total / max(len(fired_a), 1), other.total / max(len(fired_b), 1)),
            *(one.largest, other.largest),
            changes[feature] / len(pairs) if pairs and same else 0.0,
        )
        for feature in did_a.keys() | did_b.keys()
        for one, other in sides(did_a.get(feature, NOTHING), did_b.get(feature, NOTHING), same)
    ]
    found.sort(key=lambda one: (-abs(one.mean_b - one.mean_a), one.feature, one.where))
    return Comparison(pairs, len(steps_a), len(steps_b), tuple(found))


def predictions(a: Sequence[Message], b: Sequence[Message]) -> list[dict[str, Any]]:
    """What two sessions predict at each position, from their first on as long as their tokens are the same.

    Each has the position, its piece, both next tokens, `moved`, and the ten most probable tokens of each side with
    their probabilities in both; None where a token is not among the ten of a side. `moved` is how much probability
    has gone elsewhere (total variation distance, 0 to 1), at least: a token outside the ten has no more than the last
    of them. The last entry is where the sessions part, if they do.
    """
    found = []
    for one, other in zip(steps_of(a), steps_of(b), strict=False):
        if (one["position"], one["token_id"]) != (other["position"], other["token_id"]):
            break
        p, q = probabilities(one), probabilities(other)
        texts = {token["token_id"]: token["text"] for token in (*one["alternatives"], *other["alternatives"])}
        found.append(
            {
                "position": one["position"],
                "piece": one["piece"],
                "next_a": one["next"],
                "next_b": other["next"],
                "moved": max(lost(p, q), lost(q, p)),
                "tokens": [
                    {"token_id": token, "text": text, "a": p.get(token), "b": q.get(token)}
                    for token, text in texts.items()
                ],
            }
        )
    return found


def lost(p: Mapping[int, float], q: Mapping[int, float]) -> float:
    """How much probability the tokens of p have lost in q, at least."""
    most = min(q.values(), default=1.0)
    return sum(max(0.0, value - q.get(token, most)) for token, value in p.items())


def probabilities(step: Message) -> dict[int, float]:
    """The most probable next tokens of a step with their probabilities."""
    return {one["token_id"]: math.exp(one["logprob"]) for one in step["alternatives"]}


def sides(a: Total, b: Total, same: bool) -> list[tuple[Total, Total]]:
    """What is compared of a number of a feature: of two SAEs it stands for two features, which share nothing."""
    return [(a, b)] if same else [pair for pair in ((a, NOTHING), (NOTHING, b)) if pair != (NOTHING, NOTHING)]


def aligned(a: Sequence[Message], b: Sequence[Message]) -> tuple[tuple[int, int], ...]:
    """Positions of two sessions whose tokens match, in order."""
    matcher = SequenceMatcher(None, [one["piece"] for one in a], [one["piece"] for one in b], autojunk=False)
    return tuple(
        (a[block.a + i]["position"], b[block.b + i]["position"])
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    )


def fired(step: Message, sae: str) -> Fired:
    """What fired at a step, by the features that are kept of it."""
    return {one["feature"]: one["activation"] for one in step["saes"].get(sae, {"features": ()})["features"]}


def totals(positions: Iterable[Fired]) -> dict[int, Total]:
    """What each feature did over all positions."""
    found: dict[int, Total] = {}
    for one in positions:
        for feature, activation in one.items():
            before = found.get(feature, NOTHING)
            found[feature] = Total(before.times + 1, before.total + activation, max(before.largest, activation))
    return found
