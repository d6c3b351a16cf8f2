"""Text of the user's own in pieces of bounded size, which can be read in any order and again later: to train on.

Plain text (`.txt`, `.md`) is cut where lines or words end; in `.jsonl` each line is an object whose `text` is a
document. What cannot be read is passed over and named. All files are read once to begin with, which gives a checksum.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .corpus import LINES, PLAIN, is_wanted, text_of
from .errors import CorpusError
from .records import Problem

CHUNK = 1 << 20  # bytes read at a time
LARGEST, SMALLEST, FEWEST = 1 << 16, 1 << 10, 64  # bytes of a piece at most and at least; pieces of a small corpus
NEAR = 4096  # bytes in which a piece looks for a better place to end
LONGEST_LINE = 1 << 24  # bytes
WHAT = 'A corpus is a file or folder of .txt, .md or .jsonl with a "text" in each line, in UTF-8.'


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a file: what begins in these bytes."""

    path: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """All pieces of a corpus in reading order, and what was passed over."""

    path: Path  # as it was named
    pieces: tuple[Piece, ...]
    size: int  # bytes
    sha256: str  # of all files
    skipped: tuple[Problem, ...] = ()


def pieces_of(path: Path, report: Callable[[str], None] = lambda said: None) -> Pieces:
    """A file or a folder in pieces. Raises CorpusError where there is no text."""
    path = path.expanduser().absolute()
    if not path.exists():
        raise CorpusError(f"There is no file or folder {path}.", WHAT)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if is_wanted(file, path))
    digest, sizes, skipped = hashlib.sha256(), {}, []
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        if file != path and file.suffix.lower() not in (*PLAIN, LINES):
            skipped.append(Problem(name, f"Not read: it is not {', '.join(PLAIN)} or {LINES}."))
            continue
        report(f"Reading {name}")
        checksum, why = looked_through(file)
        if checksum:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + checksum)
            sizes[file] = file.stat().st_size
        if why:
            skipped.append(Problem(name, f"Not read: {why}."))
    if not sizes:
        said = f" {skipped[0].name}: {skipped[0].message}" if skipped else ""
        raise CorpusError(f"There is no text in {path}.{said}", WHAT)
    total = sum(sizes.values())
    size = min(LARGEST, max(SMALLEST, total // FEWEST))
    pieces = [Piece(file, at, min(at + size, end)) for file, end in sizes.items() for at in range(0, end, size)]
    return Pieces(path, tuple(pieces), total, digest.hexdigest(), tuple(skipped))


def looked_through(file: Path) -> tuple[bytes, str]:
    """The SHA-256 of a file of text, empty where it is none; and why it, or a part of it, is not read."""
    digest, decoder, good, bad = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), False, 0
    in_lines = file.suffix.lower() == LINES
    try:
        with file.open("rb") as opened:
            while part := opened.readline(LONGEST_LINE) if in_lines else opened.read(CHUNK):
                digest.update(part)
                if b"\0" in part:
                    return b"", "it is no text"
                decoder.decode(part)
                text = text_of(part) if in_lines else part.strip()
                good = good or bool(text)
                bad += text is None and bool(part.strip())
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return b"", "it is not UTF-8"
    except OSError as error:
        return b"", str(error.strerror)
    why = f'{bad:,} of its lines, which are no JSON with a "text"' if bad else "" if good else "it is empty"
    return digest.digest() if good else b"", why


def documents(piece: Piece) -> Iterator[str]:
    """The texts of a piece, none of them empty. Raises CorpusError where the file is no longer what it was."""
    try:
        with piece.path.open("rb") as file:
            if piece.path.suffix.lower() == LINES:
                yield from lines_of(file, piece)
                return
            start, end = better(file, piece.start), better(file, piece.end)
            file.seek(start)
            text = file.read(end - start).decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no longer UTF-8"
        raise CorpusError(f"{piece.path} cannot be read: {reason}.", "Bring the file back, then go on.") from error
    if text.strip():
        yield text


def lines_of(file: BinaryIO, piece: Piece) -> Iterator[str]:
    """The documents of the lines that begin in a piece of a .jsonl file."""
    if piece.start:
        file.seek(piece.start - 1)
        skip_line(file)  # it begins in the piece before; nothing is skipped where one ends just there
    while file.tell() < piece.end and (line := file.readline(LONGEST_LINE)):
        if text := text_of(line):
            yield text


def skip_line(file: BinaryIO) -> None:
    """Go to the next line, however long this one is."""
    while (part := file.readline(CHUNK)) and not part.endswith(b"\n"):
        pass


def better(file: BinaryIO, at: int) -> int:
    """A place at or soon after one in a file where a line ends, or a word, or at least a character."""
    if not at:
        return 0
    file.seek(at)
    near = file.read(NEAR)
    for mark in (b"\n", b" "):
        if (found := near.find(mark)) >= 0:
            return at + found + (mark == b"\n")  # a token begins with its space
    return at + next((i for i, byte in enumerate(near[:4]) if byte & 0xC0 != 0x80), 0)
