"""What edges are worth, on firing whose truth is known: `python -m benchmarks.edges [RUNS]`.

Features fire independently, scattered or in bursts, as unevenly as those of real SAEs; thirty of two hundred have a
companion that fires with them four times in five. Shown are, for each kind of edge and each length of session, how many
are drawn, how many of those are false, how many of the true ones are found, and what the screen says chance would give.
The last table is how long a graph takes, in milliseconds of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from axon_shell.graph import BY_FIRING, KINDS, Fired, Graph, graph

from .planted import BURSTS, fired_at, independent, planted

ALL = 10_000
LENGTHS, TIMED = (40, 200, 1000), (200, 1000, 2000)  # positions of sessions


def main(runs: int = 10) -> None:
    """Measure and print the tables."""
    heads = "session", "features fire", "association", "false", "found", "chance, at most", "co-activation", "chance"
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    for positions in LENGTHS:
        for bursts in BURSTS:
            print(row(positions, bursts, runs))
    print("\n| of independent features alone | association | co-activation |\n|---|---|---|")
    for positions in LENGTHS:
        sessions = [rare(seed, positions) for seed in range(max(1, runs // 2))]
        drawn = [[graph(one, kind, ALL, ALL).edges_total for one in sessions] for kind in BY_FIRING]
        print(f"| {positions} tokens, 24,576 features, 15 kept | {np.mean(drawn[0]):.1f} | {np.mean(drawn[1]):,.0f} |")
    print("\n| positions, 30 features each | " + " | ".join(KINDS) + " | association by chance |")
    print("|---" * (len(KINDS) + 2) + "|")
    for positions in TIMED:
        session = crowded(positions)
        times = [milliseconds(partial(graph, session, kind, 3, 300)) for kind in KINDS]
        times.append(milliseconds(partial(graph, session, "association", 3, 300, chance=0)))
        print(f"| {positions} | " + " | ".join(f"{value:.0f} ms" for value in times) + " |")


def row(positions: int, bursts: str, runs: int) -> str:
    """One line of the table of planted truth: means over the runs."""
    drawn, false, found, expected, raw, by_chance = [], [], [], [], [], []
    for seed in range(runs):
        run = planted(seed, positions, bursts)
        session = run.fired()
        one, other = graph(session, edges_per_node=ALL), graph(session, "co-activation", ALL)
        pairs = pairs_of(one)
        drawn.append(len(pairs))
        false.append(len(pairs - run.true) / max(1, len(pairs)))
        found.append(len(pairs & run.associated) / len(run.associated))
        expected.append(one.expected)
        raw.append(other.edges_total)
        by_chance.append(other.expected)
    shares = f"{100 * np.mean(false):.1f} % | {100 * np.mean(found):.0f} % | {np.mean(expected):.1f}"
    return (
        f"| {positions} tokens | {bursts} | {np.mean(drawn):.1f} | {shares} | {np.mean(raw):,.0f} | "
        f"{np.mean(by_chance):,.0f} |"
    )


def pairs_of(drawn: Graph) -> set[tuple[int, int]]:
    return {(edge.a, edge.b) for edge in drawn.edges}


def rare(seed: int, positions: int) -> Fired:
    """Independent features at the rates of a wide SAE, the strongest fifteen of each position kept."""
    random = np.random.default_rng(seed)
    rates = random.lognormal(-7.5, 1.7, 24_576).clip(0, 0.5)
    firings = []
    for _ in range(positions):
        fired = np.flatnonzero(random.random(24_576) < rates)
        strength = random.random(len(fired))
        kept = np.argsort(-strength)[:15]
        firings.append(dict(zip(fired[kept].tolist(), strength[kept].tolist(), strict=True)))
    return fired_at(firings)


def crowded(positions: int) -> Fired:
    """A session with thirty of a few hundred features at each position, in bursts."""
    present = independent(0, 600, positions, "short bursts")
    random = np.random.default_rng(0)
    firings: list[dict[int, float]] = []
    for t in range(positions):
        fired = random.permutation(np.flatnonzero(present[:, t]))[:30]
        firings.append({int(feature): float(random.random()) for feature in fired})
    return fired_at(firings)


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time, the middle of five."""

    def times() -> Iterator[float]:
        for _ in range(5):
            begin = time.process_time()
            work()
            yield 1e3 * (time.process_time() - begin)

    return sorted(times())[2]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
