"""JSON lines: one message a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import BinaryIO

from axon_shell import Message


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """The messages as `axon-shell sessions show --json` prints them, one JSON object a line."""
    for message in messages:
        file.write(encoded(message) + b"\n")


def encoded(value: object) -> bytes:
    """A value as JSON in UTF-8. Half of a surrogate pair, which UTF-8 has no bytes for, stands as its JSON escape."""
    # Outside strings JSON is ASCII, and what "backslashreplace" writes for a surrogate is just that escape.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
