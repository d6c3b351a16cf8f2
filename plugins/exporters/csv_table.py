"""CSV: the activations."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

from axon_shell import Message

from .said import steps_of

HEADER = ("position", "token", "is_prompt", "sae", "feature", "label", "label_origin", "activation", "effect")
OF_FEATURE = HEADER[HEADER.index("feature") :]


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """One row for each feature that fired at a token, in UTF-8 with a header (RFC 4180)."""
    text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="", write_through=True)
    rows = csv.writer(text)
    rows.writerow(HEADER)
    for step in steps_of(messages):
        for sae, reading in step["saes"].items():
            for active in reading["features"]:
                where = (step["position"], step["piece"], step["is_prompt"], sae)
                rows.writerow((*where, *(active[name] for name in OF_FEATURE)))
    text.detach()  # the file is the caller's to close
