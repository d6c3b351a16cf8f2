"""Texts to measure on: the documents of a file or folder, one at a time, however many there are.

Plain text (`.txt`, `.md`) and JSON lines with a `text` (`.jsonl`), in UTF-8. Long texts are cut into parts, each of
which counts as a document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from .errors import CorpusError
from .records import Problem

PLAIN, LINES = (".txt", ".md"), (".jsonl",)
LONGEST = 4_000  # characters of a document
LONGEST_LINE = 16_000_000  # bytes
LOOKED_AT = 8_192  # bytes at the beginning of a file, in which a text has no 0
FILL_UP = 'A corpus is a file or folder of .txt, .md or .jsonl with a "text" in each line.'


class Corpus:
    """The documents of a file or of all files in a folder, in the order of their names.

    Raises CorpusError where there is none. What is not read is told in `skipped`: when it is known from its name, and
    when it turns out while reading.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.resolve().name
        self.skipped: list[Problem] = []
        self.files: list[Path] = []
        if path.is_dir():
            self.root = path
            for found in sorted(path.rglob("*")):
                if not found.is_file() or any(part.startswith(".") for part in found.relative_to(path).parts):
                    continue
                if found.suffix.lower() in (*PLAIN, *LINES):
                    self.files.append(found)
                else:
                    self.skip(found, f"it is not {', '.join(PLAIN)} or {LINES[0]}")
        elif path.is_file():
            self.root, self.files = path.parent, [path]
        else:
            raise CorpusError(f"There is no file or folder {path}.", FILL_UP)
        if not self.files:
            raise CorpusError(f"{path} holds no texts.", FILL_UP)

    def skip(self, path: Path, why: str) -> None:
        """Note that a file, or the rest of it, is not read; once, however often it is tried."""
        problem = Problem(path.relative_to(self.root).as_posix(), f"Not read: {why}.")
        if problem not in self.skipped:
            self.skipped.append(problem)

    def documents(self) -> Iterator[str]:
        """All documents, none of them empty."""
        for path in self.files:
            try:
                with path.open("rb") as file:
                    if b"\0" in file.peek(LOOKED_AT)[:LOOKED_AT]:
                        self.skip(path, "it is no text")
                        continue
                    if path.suffix.lower() in LINES:
                        yield from self.texts_of_lines(path, file)
                        continue
                with path.open(encoding="utf-8-sig") as text:
                    yield from parts_of(text)
            except UnicodeDecodeError:
                self.skip(path, "it, or the rest of it, is not UTF-8")
            except OSError as error:
                self.skip(path, str(error.strerror))

    def texts_of_lines(self, path: Path, file: BinaryIO) -> Iterator[str]:
        """The texts in a file of JSON lines."""
        bad = 0
        while line := file.readline(LONGEST_LINE):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            text = found.get("text") if isinstance(found, dict) else None
            if isinstance(text, str):
                yield from parts(text)
            elif line.strip():
                bad += 1
        if bad:
            self.skip(path, f'{bad:,} of its lines, which are no JSON with a "text"')


def parts_of(file: TextIO) -> Iterator[str]:
    """The parts of a text that is read bit by bit."""
    rest = ""
    while more := file.read(LONGEST):
        rest += more
        while len(rest) > LONGEST:
            end = cut(rest)
            if rest[:end].strip():
                yield rest[:end]
            rest = rest[end:]
    if rest.strip():
        yield rest


def parts(text: str) -> Iterator[str]:
    """A text in parts that are not too long, none of them empty."""
    while text:
        end = cut(text) if len(text) > LONGEST else len(text)
        if text[:end].strip():
            yield text[:end]
        text = text[end:]


def cut(text: str) -> int:
    """Where a text is cut: before the last paragraph, line or word that does not fit any more."""
    for mark in ("\n\n", "\n", " "):
        if (found := text.rfind(mark, LONGEST // 2, LONGEST)) > 0:
            return found + (len(mark) if mark != " " else 0)  # a token begins with its space
    return LONGEST
