"""Sessions to store in tests; run as a program, it writes one until it is killed.

python stored.py FOLDER   prints the uid, then for each step "added N", and now and then "flushed N"
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from axon_shell.records import Message
from axon_shell.store import Store, new_uid


def float32(value: float) -> float:
    """The nearest number that a model could have computed."""
    return struct.unpack("f", struct.pack("f", value))[0]


def as_described(messages: Iterable[Message]) -> list[Message]:
    """Messages without automatic labels: those change with what was seen meanwhile."""
    found = json.loads(json.dumps(list(messages)))
    for message in found:
        for reading in message.get("saes", {}).values() if message["kind"] == "step" else ():
            for active in reading["features"]:
                if active["label_origin"] == "automatic":
                    active |= {"label": None, "label_origin": None}
    return found


def start_message(uid: str, prompt: str = "The capital of France is", saes: tuple[str, ...] = ("m/2-res",)) -> Message:
    return {
        "kind": "start",
        "session": uid,
        "model": "m",
        "saes": list(saes),
        "prompt": prompt,
        "settings": {"seed": 7, "temperature": 0.7},
        "device": "cpu",
        "dtype": "float32",
    }


def step_message(
    position: int, following: bool = True, saes: tuple[str, ...] = ("m/2-res",), features: int = 15, prompt: int = 5
) -> Message:
    """A step as large as real ones are; the same position gives the same step."""
    chance = random.Random(position)
    step: Message = {
        "kind": "step",
        "position": position,
        "is_prompt": position <= prompt,
        "token_id": chance.randrange(50_000),
        "piece": f" w{position}",
        "text": f" w{position}",
        "logprob": float32(-chance.random()) if position else None,
        "entropy": chance.random() * 5,
        "alternatives": [
            {"token_id": chance.randrange(50_000), "text": f" word{i}", "logprob": float32(-i * chance.random())}
            for i in range(10)
        ],
        "saes": {
            sae: {
                "l0": 40 if position else 0,
                "unexplained": chance.random() if position else 0.0,
                "features": [
                    {
                        "feature": chance.randrange(24_576),
                        "activation": float32(10 * chance.random()),
                        "effect": float32(chance.random()) if following else None,
                    }
                    for _ in range(features if position else 0)
                ],
            }
            for sae in saes
        },
        "next": {"token_id": 1, "text": f" w{position + 1}"} if following else None,
        "ms": 10 * chance.random(),
    }
    return step | ({} if position else {"is_bos": True})


def session_messages(uid: str, positions: int = 30, **details: object) -> list[Message]:
    """A whole session: start, steps with BOS and a prompt of five tokens, end."""
    prompt = min(5, positions - 1)
    return [
        start_message(uid),
        *(step_message(position, position < positions - 1, **details) for position in range(positions)),
        {
            "kind": "end",
            "reason": "max_tokens",
            "prompt_tokens": prompt,
            "new_tokens": positions - 1 - prompt,
            "ms_per_token": 4.5,
        },
    ]


def record(store: Store, uid: str, messages: list[Message]) -> None:
    """Hand messages to a store as a session does."""
    hand = {"start": store.begin, "step": store.add, "end": store.end}
    for message in messages:
        hand[message["kind"]](uid, message)


def write_until_killed(folder: Path) -> None:
    store = Store(folder)
    uid = new_uid()
    store.begin(uid, start_message(uid))
    store.flush()
    print(uid, flush=True)
    chance = random.Random()
    position = 0
    while True:
        store.add(uid, step_message(position))
        print("added", position, flush=True)
        if chance.random() < 0.01:
            store.flush()
            print("flushed", position, flush=True)
        time.sleep(chance.choice((0, 0.001, 0.02)))
        position += 1


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
