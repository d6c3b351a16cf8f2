"""Sessions as files that other programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import BinaryIO

from axon_shell import Exporter, Message, hookimpl


def json_lines(messages: Sequence[Message], file: BinaryIO) -> None:
    """The messages as `axon-shell sessions show --json` prints them, one JSON object a line."""
    for message in messages:
        file.write(json.dumps(message, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def activations(messages: Sequence[Message], file: BinaryIO) -> None:
    """One row for each feature that fired at a token, in UTF-8 with a header (RFC 4180)."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    rows = csv.writer(text)
    rows.writerow(("position", "token", "is_prompt", "sae", "feature", "label", "label_origin", "activation", "effect"))
    for step in messages:
        if step["kind"] != "step":
            continue
        for sae, reading in step["saes"].items():
            for active in reading["features"]:
                names = ("feature", "label", "label_origin", "activation", "effect")
                where = (step["position"], step["piece"], step["is_prompt"], sae)
                rows.writerow((*where, *(active[name] for name in names)))
    text.detach()  # the file is the caller's to close


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Both."""
    register(Exporter("jsonl", ".jsonl", json_lines, "JSON lines, the same as --json prints"))
    register(Exporter("csv", ".csv", activations, "activations, one row for each feature that fired at a token"))
