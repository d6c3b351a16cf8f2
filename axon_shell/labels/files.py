"""Files of labels, read bounded: what a publisher exports, and what somebody was given."""

from __future__ import annotations

import gzip
import json
import lzma
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
MOST_OBJECTS = 5_000_000  # several labels for each feature of the largest SAEs
BLANK = object()  # an empty line
GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file, unpacked where it is gzip's or xz's. Raises LabelFileError where it cannot be read, there and later."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise too_large(path)
        with path.open("rb") as raw:
            first = raw.read(len(XZ))
            raw.seek(0)
            if first == XZ:
                yield cast(BinaryIO, lzma.LZMAFile(raw))  # noqa: SIM115
            else:
                yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if first.startswith(GZIP) else raw
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelFileError(f"{path} cannot be read: {reason}.", "Check the file, or get it again.") from error


def objects_of(path: Path) -> Iterator[dict[str, Any] | None]:
    """The JSON objects of a file, one a line or all in one list; None for each that is none.

    What is no UTF-8 becomes U+FFFD; empty lines are passed over. Raises LabelFileError where the file cannot be read
    to its end, or is too large.
    """
    with opened(path) as file:
        found = listed(path, file) if first_character(file) == b"[" else lined(path, file)
        for number, one in enumerate(found):
            if number == MOST_OBJECTS:
                raise too_large(path)
            if one is not BLANK:
                yield one if isinstance(one, dict) else None


def lined(path: Path, file: BinaryIO) -> Iterator[Any]:
    """What stands on each line of a file; None where that is no JSON."""
    count = 0
    while line := file.readline(LONGEST_LINE + 1):
        count += len(line)
        if len(line) > LONGEST_LINE or count > LARGEST_UNPACKED:
            raise too_large(path)
        yield object_in(line) if line.strip() else BLANK


def listed(path: Path, file: BinaryIO) -> Iterator[Any]:
    """The elements of a file that is one JSON list, one at a time: they take many times the room of their text."""
    content = file.read(LARGEST_LIST + 1)
    if len(content) > LARGEST_LIST:
        raise too_large(path)
    text, space = content.decode("utf-8-sig", "replace"), re.compile(r"[ \t\n\r]*")

    def behind_space(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    try:
        at = behind_space(text.index("[") + 1)
        more = text[at : at + 1] != "]"
        while more:
            found, length = element(text, at)
            yield found
            at = behind_space(at + length)
            mark = text[at : at + 1]
            if mark not in (",", "]"):
                raise ValueError(f"a comma is missing at character {at}")
            more = mark == ","
            at = behind_space(at + 1) if more else at
        if behind_space(at + 1) < len(text):
            raise ValueError("something stands behind the list")
    except (ValueError, RecursionError) as error:
        raise LabelFileError(f"{path} is no valid JSON: {error}.", "Get the file again.") from error


def element(text: str, at: int) -> tuple[Any, int]:
    """What begins at a place of a JSON text, and its length. Raises ValueError where it is none, or too long."""
    for room in (LONGEST_LINE // 100, LONGEST_LINE):  # the short one first: most fit, and each is a copy
        part = text[at : at + room]
        try:
            found, length = json.JSONDecoder().raw_decode(part)
        except ValueError:
            if room == LONGEST_LINE:
                raise
        else:
            if length < len(part):  # else it may go on, as a number does
                return found, length
    raise ValueError(f"what begins at character {at} has no end")


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
