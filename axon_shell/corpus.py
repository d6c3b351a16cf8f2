"""Texts to measure on: the documents of a file or folder, one at a time, however many there are.

Plain text (`.txt`, `.md`) and JSON lines with a `text` (`.jsonl`), in UTF-8. Long texts are cut into parts, each of
which counts as a document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from .errors import CorpusError, StoreError
from .records import Problem

PLAIN, LINES = (".txt", ".md"), ".jsonl"
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
                if not is_wanted(found, path):
                    continue
                if found.suffix.lower() in (*PLAIN, LINES):
                    self.files.append(found)
                else:
                    self.skip(found, f"it is not {', '.join(PLAIN)} or {LINES}")
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
                    if path.suffix.lower() == LINES:
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
            text = text_of(line)
            if text:
                yield from parts(text)
            elif text is None and line.strip():
                bad += 1
        if bad:
            self.skip(path, f'{bad:,} of its lines, which are no JSON with a "text"')


def is_wanted(file: Path, folder: Path) -> bool:
    """Whether something in a folder is a file that is not hidden."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def text_of(line: bytes) -> str | None:
    """The "text" of a line of JSON, empty where it has only blanks; None where the line is no such thing."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    text = found.get("text") if isinstance(found, dict) else None
    return (text if text.strip() else "") if isinstance(text, str) else None


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Write texts that lie in no file as lines of JSON. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.", "Free some space.") from error


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
    return (part for part in cut_up(text) if part.strip())


def cut_up(text: str, longest: int = LONGEST) -> Iterator[str]:
    """A text in parts of so many characters at most, which together are the text."""
    start = 0
    while len(text) - start > longest:
        end = cut(text, start, longest)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def cut(text: str, start: int = 0, longest: int = LONGEST) -> int:
    """Where a text is cut: before the last paragraph, line or word that does not fit any more."""
    for mark in ("\n\n", "\n", " "):
        if (found := text.rfind(mark, start + longest // 2, start + longest)) >= 0:
            return found + (len(mark) if mark != " " else 0)  # a token begins with its space
    return start + longest
