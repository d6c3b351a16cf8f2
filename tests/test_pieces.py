"""Text in pieces: nothing is lost or read twice, whatever is in the files, and what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axon_shell import pieces
from axon_shell.errors import CorpusError
from axon_shell.pieces import Pieces, documents, pieces_of


def read(text: Pieces) -> list[str]:
    return [document for piece in text.pieces for document in documents(piece)]


def said(text: Pieces) -> dict[str, str]:
    return {problem.name: problem.message for problem in text.skipped}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1), st.booleans())
def test_plain_text_comes_whole_and_in_order(tmp_path: Path, parts: list[str], spaced: bool):
    whole = (" " if spaced else "").join(parts * 40)
    path = tmp_path / "any.txt"
    path.write_bytes(whole.encode())
    if whole.strip():
        got = "".join(read(pieces_of(path)))
        assert got.split() == whole.removeprefix("\ufeff").split()
    else:
        with pytest.raises(CorpusError):
            pieces_of(path)


def test_every_document_of_json_lines_comes_once_however_the_pieces_fall(tmp_path: Path):
    texts = [f"{number} " + "word " * (number * 37 % 500) for number in range(400)] + ["long " * 40_000]
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": 1}) + "\n" for text in texts))
    found = pieces_of(path)
    assert len(found.pieces) > 50 and max(piece.end - piece.start for piece in found.pieces) <= pieces.LARGEST
    assert read(found) == texts
    assert [text for piece in reversed(found.pieces) for text in documents(piece)][-1]  # in any order


def test_a_folder_gives_its_texts_and_names_what_it_passes_over(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.txt").write_text("hidden")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "deep" / "b.md").write_text("# second")
    (tmp_path / "c.jsonl").write_text('{"text": "third"}\nnonsense\n{"other": 1}\n\n[]\n{"text": "  "}\n')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "renamed.txt").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "latin.txt").write_bytes("Zürich".encode("latin-1"))
    (tmp_path / "empty.md").write_text("")
    found = pieces_of(tmp_path)
    assert read(found) == ["first", "third", "# second"]
    assert said(found) == {
        "c.jsonl": 'Not read: 3 of its lines, which are no JSON with a "text".',
        "picture.png": "Not read: it is not .txt, .md or .jsonl.",
        "renamed.txt": "Not read: it is no text.",
        "latin.txt": "Not read: it is not UTF-8.",
        "empty.md": "Not read: it is empty.",
    }
    before = found.sha256
    (tmp_path / "deep" / "b.md").write_text("# Second")
    assert pieces_of(tmp_path).sha256 != before


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "There is no file or folder"), (b"\0\1", "it is no text"), (b"", "it is empty"), (b" \n ", "it is empty")],
)
def test_no_text_is_an_error_that_says_why(tmp_path: Path, content: bytes | None, says: str):
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=says) as caught:
        pieces_of(path)
    assert ".jsonl" in caught.value.hint
    with pytest.raises(CorpusError):
        (tmp_path / "nothing").mkdir(exist_ok=True)
        pieces_of(tmp_path / "nothing")


def test_a_file_that_is_gone_later_is_told(tmp_path: Path):
    path = tmp_path / "corpus.txt"
    path.write_text("here")
    found = pieces_of(path)
    path.unlink()
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        read(found)
