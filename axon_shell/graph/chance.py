"""How often features would fire together by chance: tails, bursts, shifts, and what many tests at once call for.

Chance is what is left when each feature is shifted around the session by an amount of its own: it fires as often and
in the same bursts, but with no regard to the others. Were positions independent, the count of a pair would be
hypergeometric (Fisher's exact test). Features fire in bursts, so the count comes in clumps, and its variance over all
shifts is larger, by a factor that the features' autocorrelations give:

    burst factor = 1 + 2 sum over lags of r_a(lag) r_b(lag)          (Bartlett 1935, for independent series)

Counts divided by that factor are counts of clumps, and those are tested. tests/test_graph_chance.py and
benchmarks/edges.py hold the result against real shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CLUMPS = 1.25  # clumps differ in size, and large ones make the tail longer than the variance tells
# Firings that recur at one lag if it is a period, and the share of a feature's firings or the standard deviations more
# than chance that these must be.
RECURRING, RECURS, PERIOD = 3, 0.3, 4.0
SMALL = 1e-9  # terms of a sum, relative to it, that are left out
HUGE = 1e300  # beside the first of some terms


def log_factorial(x: np.ndarray) -> np.ndarray:
    """log(x!) of real numbers from 0 on, to about 1e-9: Stirling's series, seven further up."""
    import numpy as np

    y = x + 8
    series = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5)
    return series - np.log((x + 1) * (x + 2) * (x + 3) * (x + 4) * (x + 5) * (x + 6) * (x + 7))


def log_hypergeometric(c: np.ndarray, a: np.ndarray, b: np.ndarray, n: np.ndarray) -> np.ndarray:
    """log P(count = c) of a feature firing at a, another at b of n positions; real numbers, c within what can be."""
    import numpy as np

    ways = log_factorial(a) - log_factorial(c) - log_factorial(np.maximum(a - c, 0))
    rest = log_factorial(n - a) - log_factorial(np.maximum(b - c, 0)) - log_factorial(np.maximum(n - a - b + c, 0))
    return ways + rest - (log_factorial(n) - log_factorial(b) - log_factorial(n - b))


def hypergeometric_tail(c: np.ndarray, a: np.ndarray, b: np.ndarray, n: np.ndarray) -> np.ndarray:
    """P(count >= c) of a feature firing at a, another at b of n positions, by chance: Fisher's exact test, one-sided.

    Real numbers are allowed, for counts of clumps.
    """
    import numpy as np

    c, a, b, n = np.broadcast_arrays(*(np.asarray(value, float) for value in (c, a, b, n)))
    first = log_hypergeometric(c, a, b, n)
    left_a, left_b, k, free = np.maximum(a - c, 0), np.maximum(b - c, 0), c + 1, np.maximum(n - a - b + c, 0) + 1
    total = series(lambda j: (left_a - j) * (left_b - j) / ((k + j) * (free + j)), c.shape)
    # Where later terms are so much larger, what lies below the first one is nothing.
    return np.where(total >= HUGE, 1, np.minimum(1, np.exp(first) * total))


def series(ratio: Callable[[int], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """1 + r(0) + r(0) r(1) + ... to where terms no longer count; a ratio below 0 ends it."""
    import numpy as np

    term, total = np.ones(shape), np.ones(shape)
    j = 0
    while term.size and (term > SMALL * total).any():
        term = np.minimum(term * np.maximum(ratio(j), 0), HUGE)
        total += term
        j += 1
    return total


# -- bursts -----------------------------------------------------------------------------------------------------------


def burst_factors(present: np.ndarray) -> np.ndarray:
    """By how much each pair's count varies more over shifts than independent positions would have it: (K, K), >= 1.

    `present` is (K, n), 1 where a feature fired.
    """
    correlations = autocorrelations(present)
    factors: np.ndarray = 1 + CLUMPS * 2 * correlations @ correlations.T
    return factors


def autocorrelations(present: np.ndarray) -> np.ndarray:
    """How much more than chance features fire some lag after they fired, at lags 1 to half of n: (K, n // 2).

    On a circle, as shifts are. Single lags of a feature that fired a few times are noise: each is the mean over its
    band of lags (1, 2 and 3, 4 to 7, ...), but where so many firings recur at one lag that it must be a period, as in
    text of like sentences. Negative ones count as none.
    """
    import numpy as np

    n = present.shape[1]
    half = n // 2
    if not half:
        return np.zeros((len(present), 0), np.float32)
    counts = np.maximum(present.sum(1, keepdims=True), 1)
    size = next(size for size in (k << i for i in range(64) for k in (2, 3)) if size >= n + half)
    circle = np.fft.rfft(np.concatenate([present, present[:, :half]], 1), size)
    again = np.rint(np.fft.irfft(circle * np.fft.rfft(present, size).conj(), size)[:, 1 : half + 1])  # lag after firing
    usual = counts / n
    correlations = (again / counts - usual) / np.maximum(1 - usual, 1e-9)
    starts = [1 << i for i in range(half.bit_length())]
    widths = np.diff([*starts, half + 1])
    means = np.add.reduceat(correlations, np.array(starts) - 1, axis=1) / widths
    supposed = counts * usual
    enough = np.minimum(RECURS * counts, supposed + PERIOD * np.sqrt(supposed))
    periods = again >= np.maximum(RECURRING, enough)
    found = np.where(periods, correlations, -np.inf)
    return np.maximum(np.maximum(np.repeat(means, widths, 1), found), 0).astype(np.float32)


def shifted(present: np.ndarray, features: np.ndarray, seed: int) -> np.ndarray:
    """Each feature shifted round the session by an amount of its own, the same for the same seed."""
    import numpy as np

    n = present.shape[1]
    if n < 2:
        return present
    # A hash of each feature's number (splitmix64), so that it moves alike whatever else is drawn.
    x = features.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x += np.uint64((seed + 1) * 0xD1B54A32D192ED03 % 2**64)
    for right, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(right))) * np.uint64(factor)
    by = ((x ^ (x >> np.uint64(31))) % np.uint64(n - 1)).astype(int) + 1
    moved = np.empty_like(present)
    for row, shift in enumerate(by.tolist()):
        moved[row, shift:], moved[row, :shift] = present[row, :-shift], present[row, -shift:]
    return moved


# -- many tests at once -----------------------------------------------------------------------------------------------


def q_values(p: np.ndarray, tests: int) -> np.ndarray:
    """Benjamini & Hochberg 1995: the share of chance to expect among all whose p is as small or smaller.

    `tests` is how many were made; those of which no p is given count as 1.
    """
    import numpy as np

    order = np.argsort(p)
    q = np.empty(len(p))
    raw = p[order] * tests / np.arange(1, len(p) + 1)
    q[order] = np.minimum(1, np.minimum.accumulate(raw[::-1])[::-1])
    return q


def resolvable(counts: np.ndarray, n: int, level: float) -> tuple[int, float]:
    """How many pairs of features that fired this often could be told from chance, and the p they must be able to reach.

    A pair that fired twice each among many cannot, whatever it does; leaving such pairs out (by how often they fired
    alone, never by how often together) leaves more for the others (Tarone 1990, Gilbert 2005).
    """
    import numpy as np

    often, times = np.unique(counts, return_counts=True)
    a, b = np.meshgrid(often.astype(float), often.astype(float))
    pairs = np.triu(np.outer(times, times), 1) + np.diag(times * (times - 1) // 2)
    best = best_p(a, b, n)
    order = np.argsort(best, axis=None)
    best, reached = best.ravel()[order], np.cumsum(pairs.ravel()[order])
    low, high = 1, max(1, int(pairs.sum()))
    while low < high:  # the smallest number of tests that leaves no more than itself
        middle = (low + high) // 2
        if able(best, reached, level / middle) <= middle:
            high = middle
        else:
            low = middle + 1
    return able(best, reached, level / low), level / low


def best_p(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """The least p of features that fired at a and b of n positions: that of the rarer one never without the other."""
    import numpy as np

    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of factorials
    rarer, other = np.minimum(a, b).astype(int), np.maximum(a, b).astype(int)
    return np.exp(logs[other] + logs[n - rarer] - logs[other - rarer] - logs[n])


def able(best: np.ndarray, reached: np.ndarray, p: float) -> int:
    """How many pairs can reach this p."""
    import numpy as np

    found = int(np.searchsorted(best, p, "right"))
    return int(reached[found - 1]) if found else 0
