"""A session in one file: whole on another machine, refused when anything about it is not as it was written."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import record, session_messages, start_message, step_message

from axon_shell import share
from axon_shell.errors import AxonError, SessionFileError
from axon_shell.labels import Labels, LabelStore
from axon_shell.labels.packs import as_line, checksum
from axon_shell.records import Label, Message, SaeSpec
from axon_shell.share import read_shared, take_in, write_shared
from axon_shell.store import Store, new_uid

SAE = SaeSpec("m/2-res", "m", "blocks.2.hook_resid_post", 24_576, Path("nowhere"))


class Even:
    """Knows a label for every even feature."""

    name = "even"

    def has(self, sae: str) -> bool:
        return sae == SAE.id

    def labels(self, sae: str, features: Any) -> dict[int, Label]:
        return {n: Label(f"even {n}", "even", "counted", 0.5, "F1") for n in features if n % 2 == 0}

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        return {}


class Machine:
    """A home with its sessions and labels."""

    def __init__(self, folder: Path, *sources: Any, saes: dict[str, SaeSpec] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.store, self.label_store = Store(folder), LabelStore(folder)
        self.labels = Labels(sources, {SAE.id: SAE} if saes is None else saes, self.label_store)

    def close(self) -> None:
        self.labels.close()
        self.store.close()

    def write(self, uid: str) -> bytes:
        file = io.BytesIO()
        write_shared(self.store.summary(uid), self.store.messages(uid), self.labels, file)
        return file.getvalue()

    def take_in(self, content: bytes, folder: Path) -> share.TakenIn:
        path = folder / "given.axon"
        path.write_bytes(content)
        return take_in(path, self.store, self.labels, self.label_store)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with closing(Machine(tmp_path / "here", Even())) as machine:
        yield machine


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Machine]:
    with closing(Machine(tmp_path / "there")) as machine:
        yield machine


def kept(machine: Machine, messages: list[Message]) -> str:
    uid = messages[0]["session"]
    record(machine.store, uid, messages)
    machine.store.flush()
    return uid


@pytest.fixture
def uid(here: Machine) -> str:
    uid = kept(here, session_messages(new_uid()))
    here.store.change(uid, title="Paris", note="A note.\nOf two lines.")
    return uid


def test_a_session_is_the_same_on_another_machine(here: Machine, there: Machine, uid: str, tmp_path: Path) -> None:
    feature = next(
        one["feature"] for one in here.store.messages(uid)[3]["saes"][SAE.id]["features"] if one["feature"] % 2 == 0
    )
    content = here.write(uid)
    assert content == here.write(uid)
    found = there.take_in(content, tmp_path)
    assert (found.session, found.title, found.added) == (uid, "Paris", True) and found.labels > 100
    assert there.store.messages(uid) == here.store.messages(uid)
    assert replace(there.store.summary(uid), bytes=0) == replace(here.store.summary(uid), bytes=0)
    label, state = there.labels.of(SAE.id, [feature])[feature]
    assert label and (label.text, label.origin, label.method, label.score, state) == (
        f"even {feature}", "even", "counted", 0.5, "labelled",
    )  # fmt: skip
    assert [one.session for one in there.store.firings(SAE.id, feature)] == [uid]


def test_taking_it_in_twice_changes_nothing(here: Machine, there: Machine, uid: str, tmp_path: Path) -> None:
    content = here.write(uid)
    there.take_in(content, tmp_path)
    there.store.change(uid, title="Mine now")
    found = there.take_in(content, tmp_path)
    assert not found.added and len(there.store.sessions()) == 1
    assert there.store.summary(uid).title == "Mine now"
    there.store.delete([uid])
    assert there.take_in(content, tmp_path).added and there.store.messages(uid) == here.store.messages(uid)


def test_interrupted_and_empty_sessions_travel_too(here: Machine, there: Machine, tmp_path: Path) -> None:
    for positions in (0, 1, 8):
        uid = new_uid()
        messages = [start_message(uid), *(step_message(position) for position in range(positions))]
        there.take_in(here.write(kept(here, messages)), tmp_path)
        assert there.store.summary(uid).status == "interrupted"
        assert there.store.messages(uid)[:-1] == messages


def test_what_the_user_wrote_comes_as_somebody_elses_word(
    here: Machine, there: Machine, uid: str, tmp_path: Path
) -> None:
    feature = here.store.messages(uid)[3]["saes"][SAE.id]["features"][0]["feature"]
    here.labels.edit(SAE.id, feature, "my own words", "")
    there.take_in(here.write(uid), tmp_path)
    label = there.labels.of(SAE.id, [feature])[feature][0]
    assert label and (label.text, label.origin) == ("my own words", "pack")


def test_labels_of_another_sae_of_the_same_name_are_left_out(here: Machine, uid: str, tmp_path: Path) -> None:
    wider = {SAE.id: replace(SAE, width=32_768)}
    with closing(Machine(tmp_path / "wider", saes=wider)) as machine:
        found = machine.take_in(here.write(uid), tmp_path)
        assert found.added and found.labels == 0 and machine.labels.about_set(SAE.id)["labels"] == 0


# -- what is not as it was written ----------------------------------------------------


def unpacked(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def packed(records: list[dict[str, Any]]) -> bytes:
    """A file whose checksum is right, whatever is in it."""
    lines = [as_line(one) for one in records[1:]]
    header = records[0] | {"sha256": checksum(lines)}
    return gzip.compress(as_line(header) + b"".join(lines))


Change = Callable[[list[dict[str, Any]]], object]
CHANGES: dict[str, Change] = {
    "newer": lambda r: r[0].update(version=2),
    "another format": lambda r: r[0].update(format="x"),
    "no uid": lambda r: r[0].update(session="../../etc/passwd"),
    "another uid": lambda r: r[0].update(session=new_uid()),
    "no date": lambda r: r[0].update(created_at="yesterday"),
    "too few": lambda r: r[0].update(messages=1000),
    "none": lambda r: r[0].update(messages=0),
    "no start": lambda r: r.pop(1),
    "two starts": lambda r: r.insert(2, r[1]),
    "a position twice": lambda r: r.insert(4, r[3]),
    "a text for a number": lambda r: r[3].update(token_id="7"),
    "a boolean for a number": lambda r: r[3].update(entropy=True),
    "huge": lambda r: r[3].update(token_id=2**40),
    "negative": lambda r: r[3].update(position=-1),
    "no features": lambda r: r[3]["saes"]["m/2-res"].pop("features"),
    "a list for a text": lambda r: r[3].update(piece=["x"]),
    "an odd kind": lambda r: r[3].update(kind="code"),
    "a prompt of nothing": lambda r: r[1].update(prompt=None),
    "many features": lambda r: r[3]["saes"]["m/2-res"]["features"].extend(r[3]["saes"]["m/2-res"]["features"] * 1_000),
    "labels of nobody": lambda r: r[-1].update(sae=None),
    "labels that are none": lambda r: r[-1].update(rows=5),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_file_that_is_not_as_it_must_be_is_refused(
    here: Machine, there: Machine, uid: str, tmp_path: Path, what: str
) -> None:
    records = unpacked(here.write(uid))
    CHANGES[what](records)
    with pytest.raises(SessionFileError) as error:
        there.take_in(packed(records), tmp_path)
    assert error.value.hint and not there.store.sessions()


def test_a_changed_byte_is_noticed(here: Machine, there: Machine, uid: str, tmp_path: Path) -> None:
    content = gzip.decompress(here.write(uid))
    for place in range(len(content) // 3, len(content), len(content) // 7):
        changed = bytes([*content[:place], content[place] ^ 1, *content[place + 1 :]])
        with pytest.raises(SessionFileError):
            there.take_in(gzip.compress(changed), tmp_path)
    assert not there.store.sessions()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x1f\x8b", gzip.compress(b"", mtime=0), gzip.compress(b"[1, 2]\n", mtime=0)]
)
def test_rubbish_is_refused(there: Machine, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SessionFileError):
        there.take_in(content, tmp_path)


def test_half_a_file_a_folder_and_nothing_are_refused(here: Machine, uid: str, tmp_path: Path) -> None:
    (tmp_path / "half.axon").write_bytes(here.write(uid)[:-40])
    for path in (tmp_path / "half.axon", tmp_path, tmp_path / "none.axon"):
        with pytest.raises(SessionFileError):
            read_shared(path)


def test_a_small_file_does_not_become_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "LARGEST_UNPACKED", 1_000_000)
    (tmp_path / "bomb.axon").write_bytes(gzip.compress(b" " * 10_000_000))
    with pytest.raises(SessionFileError, match="too large"):
        read_shared(tmp_path / "bomb.axon")


plain = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
anything = st.recursive(plain, lambda one: st.lists(one) | st.dictionaries(st.text(max_size=5), one), max_leaves=8)


@given(anything, st.integers(1, 33))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_it_is_an_error_that_is_explained(
    here: Machine, uid: str, tmp_path: Path, value: Any, line: int
) -> None:
    records = unpacked(here.write(uid))
    name = sorted(records[line])[line % len(records[line])] if line < len(records) else "kind"
    records[min(line, len(records) - 1)][name] = value
    path = tmp_path / "odd.axon"
    try:
        path.write_bytes(packed(records))
    except ValueError:
        return
    try:
        shared = read_shared(path)
        json.dumps(shared.messages, allow_nan=False)
    except AxonError as error:
        assert error.message and error.hint
