"""JSON: one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from axon_shell import Message

from .json_lines import encoded
from .said import end_of, start_of, steps_of


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """One object: `start`, `steps`, one a line, and `end`, which is null in a session that has none."""
    file.write(b'{"start": ' + encoded(start_of(messages)) + b',\n"steps": [')
    for i, step in enumerate(steps_of(messages)):
        file.write((b",\n" if i else b"\n") + encoded(step))
    file.write(b'],\n"end": ' + encoded(end_of(messages)) + b"}\n")
