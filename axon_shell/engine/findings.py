"""What a tally says: the tokens that features fire on, how well those tell when they fire, and which fire together.

Tokens: of each feature those tokens (at its place, right before it, or right behind it) are a rule that stand there
more often where it fires than where it does not. Every fifth document is held out: there the rule is scored, by
balanced accuracy, the mean of the share of its firings that the rule finds and the share of the other tokens that it
leaves alone. 0.5 is chance, and stands beside it measured: what the rules of other features reach. No language model
judges.

Pairs: `cofiring`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from ..calibration import AFTER, BEFORE, ON, Measured, Rule, rounded
from ..records import Context
from .cofiring import Pairs, cofiring, in_lists
from .tally import Contexts, Tally

HELD_OUT = 5  # every fifth document
FEWEST, FEWEST_HELD_OUT = 5, 10  # firings that a rule is made of, and that its score is measured on
RULE_TOKENS, LOWEST_GAIN = 10, 0.02  # of a rule at most; by which each must make it better
CLEARER = 0.05  # by which another place must be better than the token itself
CLEAR = 0.6  # share of firings less share of other tokens, on the text that the rule is made of
SHOWN = 8  # tokens that a feature fires on
OTHERS = 10  # rules of other features that are tried on each
NONE = -1  # instead of a token: there is none before or behind
Piece = Callable[[int], str]


@dataclass(frozen=True)
class Found:
    """A rule as ids."""

    place: int  # 0 on, 1 after, 2 before
    tokens: np.ndarray  # ids, the best first
    shares: np.ndarray  # of the feature's firings
    better: float  # share of firings less share of other tokens


@dataclass(frozen=True)
class Findings:
    """What a tally says of all features."""

    features: list[Measured]
    held_out: int  # tokens
    score: float | None
    chance: float | None
    pairs: Pairs


PLACES = (ON, AFTER, BEFORE)


class Firings:
    """A sample, feature by feature."""

    def __init__(self, tally: Tally) -> None:
        sample = tally.sample
        sample.join()
        self.width = tally.width
        self.tokens = len(sample.ids)
        self.documents = sample.documents
        order = np.argsort(sample.features, kind="stable")
        self.counts = np.bincount(sample.features, minlength=tally.width)
        self.lists, self.first_list = in_lists(sample.features, sample.counts, tally.width)
        self.ends = np.cumsum(self.counts)
        self.token_of = np.repeat(np.arange(self.tokens, dtype=np.int32), sample.counts)[order]
        same = np.diff(sample.rows) == 0 if self.tokens else np.zeros(0, bool)
        before = np.r_[NONE, np.where(same, sample.ids[:-1], NONE)][: self.tokens]
        behind = np.r_[np.where(same, sample.ids[1:], NONE), NONE][: self.tokens]
        self.around = (sample.ids, before, behind)  # for each of PLACES
        self.held_out = sample.documents % HELD_OUT == HELD_OUT - 1
        self.held_out_tokens = int(self.held_out.sum())
        self.learnt, self.held = (self.totals(part) for part in (~self.held_out, self.held_out))

    def totals(self, part: np.ndarray) -> list[np.ndarray]:
        """How often each token stands at each of the places, in a part of the text."""
        length = int(self.around[0].max(initial=0)) + 1
        return [np.bincount(ids[part & (ids != NONE)], minlength=length) for ids in self.around]

    def of(self, feature: int) -> np.ndarray:
        """The tokens at which a feature fires, ascending."""
        return self.token_of[self.ends[feature] - self.counts[feature] : self.ends[feature]]


def findings(tally: Tally, piece: Piece) -> Generator[None, None, Findings]:
    """Everything that a tally says; `piece` gives the text of a token id.

    It yields after each bit of work, so that other work need not wait for the end.
    """
    firings = Firings(tally)
    rules: list[Found | None] = []
    for feature in range(tally.width if firings.tokens else 0):
        rules.append(find_rule(firings, feature))
        yield
    scores = yield from scored(firings, rules)
    pairs = yield from cofiring(firings)
    features = []
    strengths = [short(kept.activations) for kept in (tally.strongest, tally.random)]
    for feature in np.flatnonzero(tally.fires).tolist():
        fires = int(tally.fires[feature])
        found = rules[feature]
        features.append(
            Measured(
                feature=feature,
                fires=fires,
                mean=rounded(tally.total[feature] / fires),
                highest=rounded(tally.highest[feature]),
                tokens=most_often(firings, feature, piece),
                rule=as_rule(found, scores.get(feature), piece) if found else None,
                partners=pairs.of.get(feature, ()),
                strongest=contexts(tally.strongest, strengths[0], feature, piece),
                random=contexts(tally.random, strengths[1], feature, piece),
            )
        )
        yield
    known = list(scores.values())
    return Findings(
        features,
        held_out=firings.held_out_tokens,
        score=rounded(float(np.mean([score for score, _, _ in known]))) if known else None,
        chance=rounded(float(np.mean([chance for _, chance, _ in known]))) if known else None,
        pairs=pairs,
    )


def most_often(firings: Firings, feature: int, piece: Piece) -> tuple[tuple[str, float], ...]:
    """The tokens at which a feature fires most often, with their share of its firings."""
    ids, counts = np.unique(firings.around[0][firings.of(feature)], return_counts=True)
    best = np.lexsort((ids, -counts))[:SHOWN]
    return tuple((piece(int(ids[one])), rounded(counts[one] / counts.sum(), 3)) for one in best)


def contexts(kept: Contexts, strengths: np.ndarray, feature: int, piece: Piece) -> tuple[Context, ...]:
    """The contexts that were kept of a feature."""
    found = []
    for rank, ids, activations in zip(kept.rank[feature], kept.ids[feature], strengths[feature], strict=True):
        if np.isfinite(rank):
            there = ids != NONE
            found.append(Context(tuple(map(piece, ids[there].tolist())), tuple(activations[there].tolist())))
    return tuple(found)


def short(values: np.ndarray) -> np.ndarray:
    """Numbers with three digits that count."""
    values = values.astype(np.float64)
    scale = 10.0 ** (2 - np.floor(np.log10(np.maximum(values, 1e-9))))
    return np.round(values * scale) / scale


# -- rules --------------------------------------------------------------------


def find_rule(firings: Firings, feature: int) -> Found | None:
    """The rule that tells best when a feature fires, on the text not held out; None where it fires too little."""
    at = firings.of(feature)
    at = at[~firings.held_out[at]]
    others = firings.tokens - firings.held_out_tokens - len(at)
    if len(at) < FEWEST or not others:
        return None
    best: Found | None = None
    for place, ids in enumerate(firings.around):
        tokens, counts = np.unique(ids[at], return_counts=True)
        if tokens[0] == NONE:
            tokens, counts = tokens[1:], counts[1:]
        shares = counts / len(at)
        gains = shares - (firings.learnt[place][tokens] - counts) / others
        chosen = np.lexsort((tokens, -gains))[:RULE_TOKENS]
        chosen = chosen[(gains[chosen] >= LOWEST_GAIN) | (np.arange(len(chosen)) == 0)]
        if len(chosen) and gains[chosen[0]] > 0:
            found = Found(place, tokens[chosen], shares[chosen], float(gains[chosen].sum()))
            if best is None or found.better > best.better + CLEARER:
                best = found
    return best


Scores = dict[int, tuple[float, float, int]]


def scored(firings: Firings, rules: list[Found | None]) -> Generator[None, None, Scores]:
    """Of features that fire often enough in the held-out text: their rule's score, that of others', their firings."""
    with_rule = {feature: rule for feature, rule in enumerate(rules) if rule}
    chance = np.random.default_rng(0)
    found: Scores = {}
    names = np.array(list(with_rule))
    counted = [np.zeros_like(totals) for totals in firings.held]
    for feature in with_rule:
        yield
        at = firings.of(feature)
        at = at[firings.held_out[at]]
        others = firings.held_out_tokens - len(at)
        if len(at) < FEWEST_HELD_OUT or not others:
            continue
        own = [ids[at] for ids in firings.around]
        for counts, ids in zip(counted, own, strict=True):
            np.add.at(counts, ids[ids != NONE], 1)

        def score(rule: Found, fires: int = len(at), others: int = others) -> float:
            hits = int(counted[rule.place][rule.tokens].sum())
            there = int(firings.held[rule.place][rule.tokens].sum())
            return (1 + hits / fires - (there - hits) / others) / 2

        tried = names[chance.integers(len(names), size=OTHERS)].tolist()
        other = [score(with_rule[one]) for one in tried if one != feature]
        if other:
            found[feature] = score(with_rule[feature]), float(np.mean(other)), len(at)
        for counts, ids in zip(counted, own, strict=True):
            counts[ids[ids != NONE]] = 0
    return found


def as_rule(found: Found, score: tuple[float, float, int] | None, piece: Piece) -> Rule:
    """A rule in words."""
    tokens = zip(found.tokens.tolist(), found.shares.tolist(), strict=True)
    return Rule(
        place=PLACES[found.place],
        tokens=tuple((piece(token), rounded(share, 3)) for token, share in tokens),
        clear=found.better >= CLEAR,
        score=rounded(score[0]) if score else None,
        chance=rounded(score[1]) if score else None,
        firings=score[2] if score else 0,
    )
