"""Which pairs of features fired together more often than chance, and whether the words alone explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .chance import best_p, burst_factors, hypergeometric_tail, q_values, resolvable

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05  # of the edges that are drawn, the share that may be chance
TOGETHER = 2  # firing together once says nothing, however rare both are
PLAUSIBLE = 1.0  # standard deviations above what chance expects, below which no exact test is needed
NOMINAL, NOMINAL_DEVIATIONS = 0.025, 1.96  # of each of the two ways to be more than the same words


@dataclass(frozen=True, slots=True)
class BaseRates:
    """How often features fire in text at large: what a calibration has counted."""

    tokens: int  # that were seen
    share: Mapping[int, float]  # of them at which each feature fired


@dataclass(frozen=True, slots=True)
class Known:
    """What a calibration has found of two features: they fire together more often than chance in text at large."""

    lift: float
    q: float


Corpus = Mapping[tuple[int, int], Known]  # by the two features, the smaller one first


@dataclass(frozen=True)
class Measure:
    """What the pairs of some features are held against: K features that fire at n positions."""

    counts: np.ndarray  # (K,) positions where each fired
    factors: np.ndarray  # (K, K) how many joint firings are one clump
    tests: int  # how many pairs are tested
    reachable: float  # the p that a pair must be able to reach, to be one of them
    usual: np.ndarray | None = None  # (K,) base rates


@dataclass(frozen=True)
class Found:
    """Pairs of features, by the rows of the two, with the evidence for them."""

    a: np.ndarray
    b: np.ndarray
    count: np.ndarray
    lift: np.ndarray
    phi: np.ndarray
    p: np.ndarray
    q: np.ndarray  # nan where it is not known

    def __getitem__(self, chosen: np.ndarray) -> Found:
        return Found(*(values[chosen] for values in vars(self).values()))


def associated(
    present: np.ndarray, features: np.ndarray, rates: BaseRates | None, moved: np.ndarray | None = None
) -> tuple[Found, float]:
    """The pairs that fired together more often than chance, and how many of such pairs would be chance, at most.

    `present` is (K, n), 1 where a feature fired. With `moved`, its rows shifted, the pairs are those that pass among
    the shifted rows by the measure of the unshifted ones.
    """
    measure = measure_of(present, features, rates)
    found = evidence(present, measure)
    found = replace(found, q=q_values(found.p, measure.tests))
    passing = found.q <= LEVEL
    cut = float(found.p[passing].max(initial=LEVEL / max(1, measure.tests)))
    if moved is None:
        return found[passing], cut * measure.tests
    found = evidence(moved, measure)
    return found[found.p <= cut], cut * measure.tests


def measure_of(present: np.ndarray, features: np.ndarray, rates: BaseRates | None) -> Measure:
    """What the pairs of these features are held against."""
    import numpy as np

    counts = present.sum(1).astype(float)
    usual = None
    if rates:
        seen = np.array([rates.share.get(feature, 0) for feature in features.tolist()]) * rates.tokens
        usual = (seen + 1) / (rates.tokens + 1)  # one more than counted, so that nothing is taken for impossible
    return Measure(counts, burst_factors(present), *resolvable(counts, present.shape[1], LEVEL), usual)


def evidence(present: np.ndarray, measure: Measure) -> Found:
    """The pairs under test that fired together plausibly more often than expected, with their p; q is not known yet.

    A feature is supposed to fire as often as here, or as its base rate says if that is more. Base rates alone would not
    do: a feature that a text is about fires far above its own, and so meets any other often, whatever that is.
    """
    import numpy as np

    n, counts = present.shape[1], measure.counts
    supposed = counts if measure.usual is None else np.minimum(np.maximum(counts, n * measure.usual), n)
    together = np.triu(present @ present.T, 1)
    a, b = np.nonzero(together >= TOGETHER)
    count, times_a, times_b = together[a, b].astype(float), counts[a], counts[b]
    supposed_a, supposed_b = supposed[a], supposed[b]
    expected = supposed_a * supposed_b / n
    spread = expected * (n - supposed_a) * (n - supposed_b) / (n * max(n - 1, 1))
    factor = measure.factors[a, b].astype(float)
    kept = (count - expected > PLAUSIBLE * np.sqrt(spread * factor)) & (
        best_p(times_a, times_b, n) <= measure.reachable
    )
    a, b, count, times_a, times_b, supposed_a, supposed_b, factor, expected = (
        values[kept] for values in (a, b, count, times_a, times_b, supposed_a, supposed_b, factor, expected)
    )
    p = hypergeometric_tail(count / factor, supposed_a / factor, supposed_b / factor, n / factor)
    phi = (n * count - times_a * times_b) / np.sqrt(np.maximum(times_a * times_b * (n - times_a) * (n - times_b), 1e-9))
    return Found(a, b, count.astype(int), (count + 1) / (expected + 1), phi, p, np.full(len(a), np.nan))


def same_token(present: np.ndarray, a: np.ndarray, b: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Whether each pair of rows may be together only because both fire at the same words.

    More than that is a pair that is together at more different tokens than chance (each counted once, and the one that
    they share most often not at all), or at more occurrences of one and the same token (Mantel & Haenszel 1959).
    """
    import numpy as np

    kinds, which = np.unique(tokens, return_inverse=True)
    size = np.bincount(which, minlength=len(kinds)).astype(float)

    def by_token(fired: np.ndarray) -> np.ndarray:
        rows, positions = np.nonzero(fired)
        cells = np.bincount(rows * len(kinds) + which[positions], minlength=len(fired) * len(kinds))
        return cells.reshape(len(fired), len(kinds))

    each, both = by_token(present > 0), by_token((present[a] > 0) & (present[b] > 0))
    differing = (each > 0).sum(1) - 1
    shared, others = np.maximum((both > 0).sum(1) - 1, 0), max(len(kinds) - 1, 1)
    different = hypergeometric_tail(shared, differing[a], differing[b], np.full(len(a), others)) <= NOMINAL
    often = size > 1
    each, both, size = each[:, often], both[:, often], size[often]
    expected = each[a] * each[b] / size
    variance = (expected * (size - each[a]) * (size - each[b]) / (size * (size - 1))).sum(1)
    within = both.sum(1) - expected.sum(1) - 0.5 >= NOMINAL_DEVIATIONS * np.sqrt(variance)
    return ~(different | (within & (variance > 0)))
