"""What can happen to a database file while nobody looks."""

from __future__ import annotations

import random
from pathlib import Path


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def write_a_few_words(path: Path) -> None:
    path.write_text("This is not a database.")


def spoil_the_schema(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
