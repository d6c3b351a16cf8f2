"""Firing with known truth: features that are independent, in bursts or not, and some that truly go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axon_shell.graph import Fired

# How features fire by themselves: length of a burst in positions, share of a burst's positions at which they fire.
BURSTS = {"scattered": (1, 1.0), "short bursts": (3, 1.0), "long bursts": (8, 1.0), "gappy bursts": (16, 0.4)}
# ... and "periodic": once a sentence, all sentences as long as one another


@dataclass(frozen=True)
class Planted:
    """What fired, and which pairs go together."""

    present: np.ndarray  # (features, positions)
    associated: frozenset[tuple[int, int]]
    duplicated: frozenset[tuple[int, int]]
    always: frozenset[int]

    @property
    def true(self) -> frozenset[tuple[int, int]]:
        """All pairs that an edge may join."""
        return self.associated | self.duplicated

    def fired(self, kept: int | None = None, seed: int = 0) -> Fired:
        """As a session tells it; with `kept`, only so many features of each position, the strongest."""
        random = np.random.default_rng((seed, 1))
        strength = random.lognormal(0, 0.5, (len(self.present), 1)) * random.lognormal(0, 0.3, self.present.shape)
        strength *= self.present
        fewer = strength > (0 if kept is None else np.maximum(-np.sort(-strength, 0)[kept : kept + 1], 0))
        return fired_from(strength * fewer, truncated=self.present.sum(0) > fewer.sum(0))


def fired_from(
    activations: np.ndarray, tokens: np.ndarray | None = None, truncated: np.ndarray | None = None, start: int = 1
) -> Fired:
    """Activations (features, positions) as a session tells them; without `tokens` each position has one of its own."""
    at, feature = np.nonzero(activations.T)
    n = activations.shape[1]
    tokens = np.arange(n) if tokens is None else tokens
    return Fired(
        start,
        n,
        at,
        feature,
        activations[feature, at].astype(float),
        np.full(len(at), np.nan),
        tokens,
        np.append(tokens[1:], -1)[:n],
        np.zeros(n, bool) if truncated is None else truncated,
        {int(token): f" {token}" for token in tokens},
    )


def fired_at(firings: list[dict[int, float]]) -> Fired:
    """What fired at each position, with its activations, as a session tells it."""
    n = len(firings)
    return Fired(
        1,
        n,
        np.repeat(np.arange(n), [len(fired) for fired in firings]),
        np.array([feature for fired in firings for feature in fired], np.int64),
        np.array([value for fired in firings for value in fired.values()], float),
        np.array([value / 10 for fired in firings for value in fired.values()], float),
        np.arange(n),
        np.append(np.arange(1, n), -1),
        np.zeros(n, bool),
        {t: f" {t}" for t in range(n)},
    )


def independent(seed: int, features: int, positions: int, bursts: str = "scattered") -> np.ndarray:
    """Features that have nothing to do with one another: (features, positions), at rates as uneven as real ones."""
    random = np.random.default_rng((seed, 0))
    rates = np.clip(random.lognormal(np.log(0.04), 1.2, features), 0.002, 0.45)
    if bursts == "periodic":
        return periodic(random, features, positions)
    length, dense = BURSTS[bursts]
    if length == 1:
        return (random.random((features, positions)) < rates[:, None]).astype(float)
    in_bursts = np.clip(rates / dense, 0, 0.8)
    begins = np.minimum(1 / length * in_bursts / (1 - in_bursts), 1)
    bursting = random.random(features) < in_bursts
    present = np.zeros((features, positions))
    for t in range(positions):
        present[:, t] = bursting & (random.random(features) < dense)
        changes = random.random(features)
        bursting = np.where(bursting, changes > 1 / length, changes < begins)
    return present


def periodic(random: np.random.Generator, features: int, positions: int) -> np.ndarray:
    """Features that fire at a place of their own in sentences of about the same length, mostly."""
    period = int(random.integers(6, 12))
    place = random.integers(0, period, features)
    present = np.zeros((features, positions))
    for feature in range(features):
        at = np.arange(place[feature], positions, period)
        present[feature, at[random.random(len(at)) < random.uniform(0.3, 1)]] = 1
    return present


def planted(seed: int, positions: int, bursts: str = "scattered", features: int = 200, pairs: int = 30) -> Planted:
    """Independent features, of which some have a companion that fires with them four times in five, and else seldom.

    The last four features fire nearly always; of the ten before, every second is the same as the one before it.
    """
    present = independent(seed, features, positions, bursts)
    random = np.random.default_rng((seed, 2))
    companions = [(2 * i, 2 * i + 1) for i in range(pairs)]
    for a, b in companions:
        kept = present[a] * (random.random(positions) < 0.8)
        present[b] = np.maximum(kept, random.random(positions) < 0.01)
    twins = [(i, i + 1) for i in range(features - 14, features - 4, 2)]
    for a, b in twins:
        present[b] = present[a]
    always = range(features - 4, features)
    present[list(always)] = random.random((4, positions)) < 0.93
    return Planted(present, frozenset(companions), frozenset(twins), frozenset(always))
