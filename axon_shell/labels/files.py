"""Files of labels, read bounded: what a publisher exports, and what somebody was given."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import LabelFileError

LARGEST_FILE = 256_000_000  # bytes, as it lies on the disk
LARGEST_UNPACKED = 512_000_000
LARGEST_LIST = 128_000_000  # of a file that is one JSON list, whose text is read at once
LONGEST_LINE = 1_000_000
MOST_LINES = 10_000_000  # several labels for each feature of the largest SAEs
GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file, unpacked where it is gzipped. Raises LabelFileError where it cannot be read, there and while reading."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise too_large(path)
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelFileError(f"{path} cannot be read: {reason}.", "Check the file, or get it again.") from error


def objects_of(path: Path) -> Iterator[dict[str, Any] | None]:
    """The JSON objects of a file, one a line or all in one list; None for each that is none.

    What is no UTF-8 becomes U+FFFD; empty lines are passed over. Raises LabelFileError where the file cannot be read
    to its end, or is too large.
    """
    with opened(path) as file:
        if first_character(file) == b"[":
            text = file.read(LARGEST_LIST + 1)
            if len(text) > LARGEST_LIST:
                raise too_large(path)
            try:
                yield from objects_in(text.decode("utf-8-sig", "replace"))
            except (ValueError, RecursionError) as error:
                raise LabelFileError(f"{path} is no valid JSON: {error}.", "Get the file again.") from error
            return
        count = lines = 0
        while line := file.readline(LONGEST_LINE + 1):
            count, lines = count + len(line), lines + 1
            if len(line) > LONGEST_LINE or count > LARGEST_UNPACKED or lines > MOST_LINES:
                raise too_large(path)
            if line.strip():
                yield object_in(line)


def objects_in(text: str) -> Iterator[dict[str, Any] | None]:
    """The objects of one JSON list, None for what is none; one at a time, as they take many times the text's room.

    Raises ValueError or RecursionError where it is no list.
    """
    scan, space = json.JSONDecoder().raw_decode, re.compile(r"[ \t\n\r]*")

    def after(begin: int) -> int:
        found = space.match(text, begin)
        return found.end() if found else begin

    at = after(text.index("[") + 1)
    more = text[at : at + 1] != "]"
    while more:
        found, at = scan(text, at)
        yield found if isinstance(found, dict) else None
        at = after(at)
        mark = text[at : at + 1]
        if mark not in (",", "]"):
            raise ValueError(f"a comma is missing at character {at}")
        more = mark == ","
        at = after(at + 1) if more else at
    if after(at + 1) < len(text):
        raise ValueError("something stands behind the list")


def object_in(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is, or None."""
    try:
        found = json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def first_character(file: BinaryIO) -> bytes:
    """The first byte of a file that is no white space; reading begins anew afterwards."""
    first = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    file.seek(0)
    return first


def too_large(path: Path) -> LabelFileError:
    """The error for what holds more than labels."""
    return LabelFileError(f"{path} is too large, packed or unpacked, for a file of labels.", "Check where it is from.")
