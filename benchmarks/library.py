"""A library of past sessions as it grows: listing, searching and opening it: `python -m benchmarks.library`.

Invented sessions of 200 tokens with 30 features of each of three SAEs (a few features fire often, most seldom), written
as the program writes them. Measured at 100, 1,000 and 10,000 sessions, as far as `--minutes` of generating reach. Each
time is the middle of several, and of several questions, each asked for the first time.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from axon_shell.records import Message
from axon_shell.store import Search, Store, new_uid, rows

TOKENS, FEATURES, SAES, WIDTH = 200, 30, ("gpt2-small/4-res-jb", "gpt2-small/8-res-jb", "gpt2-small/10-res-jb"), 24_576
STAGES = (100, 1_000, 10_000)
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l", "ck")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, measure at each stage, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="of generating")
    until = time.monotonic() + 60 * parser.parse_args(arguments).minutes
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        print(
            "| sessions | first page | text search | feature search | open one | a session takes | to write its end |"
        )
        print("|---|---|---|---|---|---|---|")
        count, ends = 0, []
        for stage in STAGES:
            while count < stage and time.monotonic() < until:
                ends.append(write(store, session(count, TOKENS, SAES)))
                count += 1
            print(f"| {count:,} | {' | '.join(measured(store, count, ends[-50:]))} |", flush=True)
            if count < stage:
                print(f"\nThe time was up: {count:,} sessions.")
                break
        store.close()
        print(f"\nWhat keeping a token costs the loop that generates it: {keeping():.3f} ms")


def measured(store: Store, count: int, ends: Sequence[float]) -> list[str]:
    """The figures of a row."""
    chance = random.Random(count)
    sessions = store.sessions(limit=200)
    # Often and seldom used words and features.
    words = [*chance.sample(WORDS, 5), WORDS[0], WORDS[-1]]
    wanted = [chance.randrange(WIDTH) for _ in range(4)] + [0, 1, 2]
    times = (
        timed(lambda _: store.sessions(limit=40), range(9)),
        timed(lambda word: store.sessions(limit=40, wanted=Search(word)), words),
        timed(lambda feature: store.firings(SAES[1], feature), wanted),
        timed(lambda row: store.messages(row.uid), chance.sample(sessions, min(9, len(sessions)))),
    )
    return [f"{1e3 * one:.1f} ms" for one in times] + [
        f"{store.size() / count / 1e3:.0f} kB",
        f"{1e3 * statistics.median(ends):.0f} ms",
    ]


def session(number: int, tokens: int, saes: Sequence[str]) -> list[Message]:
    """The messages of a session, the same for the same number."""
    chance, many = random.Random(number), np.random.default_rng(number)
    text = [" " + chance.choice(WORDS) for _ in range(tokens)]
    # As Zipf has it: feature n fires about 1/n as often as the first. Part of them are those of the topic.
    topic = many.integers(0, WIDTH, 60)
    steps = []
    for position in range(tokens):
        readings = {}
        for sae in saes:
            usual = (many.zipf(1.2, FEATURES) - 1) % WIDTH
            ids = list(dict.fromkeys([*chance.sample(topic.tolist(), 10), *usual.tolist()]))[:FEATURES]
            strengths = np.sort(many.gamma(2.0, 3.0, len(ids)).astype(np.float32))[::-1].tolist()
            active = [{"feature": n, "activation": a, "effect": 0.5} for n, a in zip(ids, strengths, strict=True)]
            readings[sae] = {"l0": 60, "unexplained": 0.1, "features": active}
        steps.append(
            {
                **{"kind": "step", "position": position, "is_prompt": position < 20, "token_id": position},
                **{"piece": text[position], "text": text[position], "logprob": -1.0, "entropy": 2.0},
                "alternatives": [{"token_id": n, "text": " word", "logprob": -1.0 * n} for n in range(10)],
                **{"saes": readings, "next": None, "ms": 30.0},
            }
        )
    uid = new_uid()
    start = {
        **{"kind": "start", "session": uid, "model": "gpt2-small", "saes": list(saes), "prompt": "".join(text[:20])},
        **{"settings": {}, "device": "cpu", "dtype": "float32", "notes": []},
    }
    end = {"kind": "end", "reason": "max_tokens", "prompt_tokens": 20, "new_tokens": tokens - 20, "ms_per_token": 30.0}
    return [start, *steps, end]


def write(store: Store, messages: list[Message]) -> float:
    """Write a session as the writer does at its end; gives the seconds that the end itself took."""

    def act(connection: sqlite3.Connection) -> float:
        uid, now = messages[0]["session"], time.time_ns() // 1_000_000
        rows.write(connection, uid, "benchmark", now, messages[:-1])
        began = time.perf_counter()
        rows.write(connection, uid, "benchmark", now, messages[-1:])
        return time.perf_counter() - began

    return store.writer.call(act)


def keeping() -> float:
    """Milliseconds that the thread which generates spends on handing a token to the store."""
    with tempfile.TemporaryDirectory() as folder:
        store, messages = Store(Path(folder)), session(0, TOKENS, SAES)
        store.begin(messages[0]["session"], messages[0])
        found = []
        for step in messages[1:-1]:
            began = time.perf_counter()
            store.add(messages[0]["session"], step)
            found.append(time.perf_counter() - began)
            time.sleep(0.002)
        store.close()
    return 1e3 * statistics.mean(found)


def timed(action: Callable[..., object], over: Iterable[object]) -> float:
    """Seconds that an action takes, the middle over what it is done with."""
    found = []
    for one in over:
        began = time.perf_counter()
        action(one)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
