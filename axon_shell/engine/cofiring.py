"""Which features fire together at the same tokens more often than chance explains.

Independence is tested as it would be of features that keep to themselves but fire in bursts, as features do: a feature
that fires at one token of a text is likelier to fire at the next ones, so that two that know nothing of each other meet
many times or never. Bartlett (1946) says by how much the variance of such meetings exceeds that of single tokens: the
sum over all distances k of r_i(k) r_j(k), the autocorrelations of the two, counted within documents. Here it is bounded
by the geometric mean of the two features' own sums (Cauchy and Schwarz). With D that bound and E = n_i n_j / n the
expected number of meetings, the p-value of n_ij meetings is the Poisson tail of n_ij / D at E / D; then Benjamini and
Hochberg over all pairs of features that fire often enough, those too that never meet.

How far that can be believed is measured on the same text: one feature of each pair is shifted along it by a large
number of tokens, which keeps its bursts and its rate and leaves nothing but chance between the two, and the same test
counts what passes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..calibration import Partner, rounded

FEWEST = 10  # firings of a feature, and
MEETINGS = 5  # of both together, below which nothing is tested
LEAST_LIFT = 2.0  # of a pair that is of interest; a feature that fires at more than half of all tokens has none
Q = 0.05  # share of chance among the pairs that pass, at most
MOST_PARTNERS = 32  # that are kept of a feature, those of the highest shrunken lift
CANDIDATES = 2 * MOST_PARTNERS
SHRINK = 1.0  # meetings that are added to both sides of a lift
FARTHEST = 128  # tokens between firings that still belong to one burst
SHIFTED = 300  # features that are shifted, of those that are tested
LIST = 8  # features
PART = 50_000  # tokens that are looked at in one go
BINS = 100  # for each power of ten of a p-value
LOWEST = 300  # powers of ten


class Listed(Protocol):
    """Firings, feature by feature and token by token."""

    tokens: int
    width: int
    documents: np.ndarray  # (tokens,)
    lists: np.ndarray  # (lists, LIST) what fires at each token, `in_lists`
    first_list: np.ndarray  # (tokens + 1,) of each token
    counts: np.ndarray  # (width,)

    def of(self, feature: int) -> np.ndarray:
        """The tokens at which a feature fires, ascending."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Features that fire together."""

    of: dict[int, tuple[Partner, ...]]  # the strongest of each feature
    passed: int  # pairs, those too that are not kept
    by_chance: int  # how many would pass of features that have nothing to do with each other
    tested: int


def cofiring(firings: Listed) -> Generator[None, None, Pairs]:
    """All pairs that pass the test, and of each feature the strongest of them; it yields after each bit of work."""
    n, counts = firings.tokens, firings.counts
    tested = np.flatnonzero((counts >= FEWEST) & (LEAST_LIFT * counts <= n))
    pairs = len(tested) * (len(tested) - 1) // 2
    if not pairs:
        return Pairs({}, 0, 0, 0)
    bursts = yield from burstiness(firings)
    eligible = np.zeros(firings.width, bool)
    eligible[tested] = True
    found: dict[int, tuple[np.ndarray, ...]] = {}
    histogram = np.zeros(BINS * LOWEST + 1, np.int64)
    likely = int(-np.log10(Q) * BINS)  # no p-value above Q can pass
    for feature in tested.tolist():
        yield
        others, meetings, lift, bins = candidates(firings, feature, firings.of(feature), bursts, eligible)
        histogram += np.bincount(bins[others > feature], minlength=len(histogram))
        best = np.argsort(np.where(bins >= likely, -lift, 0), kind="stable")[:CANDIDATES]
        found[feature] = others[best], meetings[best], lift[best], bins[best]
    # Benjamini and Hochberg, with p-values rounded up to the end of their bin: at each bin, the share of chance among
    # all pairs from there on.
    from_here = np.cumsum(histogram[::-1])[::-1]
    p = 10.0 ** -(np.arange(len(histogram)) / BINS)
    q = np.minimum.accumulate(p * pairs / np.maximum(from_here, 1))
    passing = np.flatnonzero((q <= Q) & (from_here > 0))
    least = passing[0] if len(passing) else len(histogram)
    of = {}
    for feature, (others, meetings, lift, bins) in found.items():
        good = np.flatnonzero(bins >= least)[:MOST_PARTNERS]
        if len(good):
            of[feature] = tuple(
                Partner(int(others[one]), int(meetings[one]), rounded(lift[one], 3), rounded(min(q[bins[one]], 1), 2))
                for one in good
            )
    passed = int(from_here[least]) if len(passing) else 0
    by_chance = yield from passing_by_chance(firings, tested, bursts, eligible, least)
    return Pairs(of, passed, by_chance, pairs)


def candidates(
    firings: Listed, feature: int, at: np.ndarray, bursts: np.ndarray, eligible: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Features that meet one often enough to be of interest: which, how often, shrunken lift, bin of the p-value.

    `at` are the tokens at which it fires, or those at which it is made to.
    """
    meetings = met(firings, at)
    expected = firings.counts * (firings.counts[feature] / firings.tokens)
    good = eligible & (meetings >= MEETINGS) & (meetings >= LEAST_LIFT * expected)
    good[feature] = False
    others = np.flatnonzero(good)
    meetings, expected = meetings[others], expected[others]
    spread = np.sqrt(bursts[feature] * bursts[others])
    p = torch.special.gammainc(torch.from_numpy(meetings / spread), torch.from_numpy(expected / spread)).numpy()
    bins = np.minimum(-np.log10(np.maximum(p, 10.0**-LOWEST)) * BINS, BINS * LOWEST).astype(np.int64)
    return others, meetings, (meetings + SHRINK) / (expected + SHRINK), bins


def in_lists(features: np.ndarray, counts: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Firings in the order of tokens as lists of LIST features each, and the first list of each token.

    A token has as many lists as it needs, its last one filled up with `width`: so they are found and counted several
    times as fast as one by one.
    """
    first = np.r_[0, np.cumsum(-(-counts // LIST), dtype=np.int64)]
    lists = np.full((first[-1], LIST), width, np.uint16 if width < 2**16 else np.uint32)
    done = 0
    for start in range(0, len(counts), PART):
        part = counts[start : start + PART]
        behind = np.cumsum(part)
        nth = np.arange(behind[-1]) - np.repeat(behind - part, part)
        of = np.repeat(first[start : start + len(part)], part)
        lists[of + nth // LIST, nth % LIST] = features[done : done + behind[-1]]
        done += int(behind[-1])
    return lists, first


def met(firings: Listed, at: np.ndarray) -> np.ndarray:
    """How often each feature fires at some tokens: (width,)."""
    total = np.zeros(firings.width + 1, np.int64)
    for part in np.array_split(at, len(at) // PART + 1):  # a feature may fire at a third of all tokens
        lengths = firings.first_list[part + 1] - firings.first_list[part]
        behind = np.cumsum(lengths)
        index = np.repeat(firings.first_list[part] - behind + lengths, lengths) + np.arange(
            behind[-1] if len(part) else 0
        )
        total += np.bincount(firings.lists[index].ravel(), minlength=firings.width + 1)
    return total[:-1]


def burstiness(firings: Listed) -> Generator[None, None, np.ndarray]:
    """Of each feature 1 + 2 times the sum of its squared autocorrelations, up to FARTHEST tokens apart: (width,)."""
    n, width = firings.tokens, firings.width
    again = np.zeros((width, FARTHEST + 1))  # firings that come so many tokens behind one in the same document
    for feature in np.flatnonzero(firings.counts > 1).tolist():
        yield
        at = firings.of(feature).astype(np.int64)
        document = firings.documents[at]
        for step in range(1, min(FARTHEST, len(at) - 1) + 1):
            apart = at[step:] - at[:-step]
            near = (apart <= FARTHEST) & (document[step:] == document[:-step])
            if not near.any():
                break
            again[feature] += np.bincount(apart[near], minlength=FARTHEST + 1)
    rate = firings.counts / max(n, 1)
    share = again[:, 1:] / np.maximum(firings.counts, 1)[:, None]
    correlation = np.clip((share - rate[:, None]) / np.maximum(1 - rate, 1e-9)[:, None], 0, 1)
    return 1 + 2 * np.square(correlation).sum(1)


def passing_by_chance(
    firings: Listed, tested: np.ndarray, bursts: np.ndarray, eligible: np.ndarray, least: int
) -> Generator[None, None, int]:
    """How many pairs pass where one feature of each is shifted along the text."""
    chance = np.random.default_rng(0)
    chosen = chance.choice(tested, min(SHIFTED, len(tested)), replace=False)
    passed = 0
    for feature in chosen.tolist():
        yield
        shift = chance.integers(firings.tokens // 4, firings.tokens - firings.tokens // 4)
        at = np.sort((firings.of(feature) + shift) % firings.tokens)
        passed += int((candidates(firings, feature, at, bursts, eligible)[3] >= least).sum())
    return round(passed * len(tested) / (2 * len(chosen)))
