"""The library of past sessions: found by what is wanted, changed and deleted with a way back, whatever goes wrong."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import record, session_messages, start_message, step_message
from test_store import undo_later_migrations

from axon_shell import database
from axon_shell.errors import NotFound, StoreError
from axon_shell.records import Message
from axon_shell.store import Search, Store, new_uid, schema, writer

TEXTS = {
    "france": ("The capital of France is", " Paris, a city on the Seine."),
    "italy": ("The capital of Italy is", " Rome."),
    "code": ("def add(a, b):", "\n    return a + b  # Crème brûlée"),
}


def told(prompt: str, output: str, model: str = "m", saes: tuple[str, ...] = ("m/2-res",)) -> list[Message]:
    """A session with this text."""
    uid = new_uid()
    last = step_message(1, False, saes=saes) | {"text": output, "is_prompt": False}
    end = {"kind": "end", "reason": "max_tokens", "prompt_tokens": 1, "new_tokens": 1, "ms_per_token": 4.5}
    return [start_message(uid, prompt, saes) | {"model": model}, step_message(0, saes=saes), last, end]


@pytest.fixture
def uids(store: Store) -> dict[str, str]:
    """The sessions of TEXTS, in their order."""
    found = {}
    for name, (prompt, output) in TEXTS.items():
        messages = told(prompt, output, "m" if name != "code" else "other")
        found[name] = messages[0]["session"]
        record(store, found[name], messages)
    store.flush()
    return found


def names(store: Store, uids: dict[str, str], **wanted: object) -> list[str]:
    """Which sessions a search finds, newest first."""
    by_uid = {uid: name for name, uid in uids.items()}
    return [by_uid[row.uid] for row in store.sessions(wanted=Search(**wanted))]


# -- finding ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("capital", ["italy", "france"]),
        ("CAPITAL ital", ["italy"]),
        ("sein", ["france"]),
        ("paris rome", []),
        ("creme brulee", ["code"]),
        ("add(a,", ["code"]),
        ('"', []),
        ("capital AND italy", []),  # "and" is a word like any other
        ("", ["code", "italy", "france"]),
    ],
)
def test_text_is_found_wherever_it_stands(store: Store, uids: dict[str, str], text: str, found: list[str]) -> None:
    assert names(store, uids, text=text) == found


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_that_is_typed_is_an_error(store: Store, uids: dict[str, str], text: str) -> None:
    assert set(names(store, uids, text=text)) <= set(uids)


def test_model_sae_and_date_narrow_the_list(store: Store, uids: dict[str, str]) -> None:
    assert names(store, uids, model="other") == ["code"]
    assert names(store, uids, sae="m/2-res") == ["code", "italy", "france"] and not names(store, uids, sae="m/2")
    moments = [store.summary(uids[name]).created_at for name in ("france", "code")]
    assert moments == sorted(moments)
    now = time.time_ns() // 1_000_000
    assert names(store, uids, until=now + 1) == ["code", "italy", "france"] and not names(store, uids, since=now + 1)


def test_pages_of_a_search_join(store: Store, uids: dict[str, str]) -> None:
    first = store.sessions(limit=1, wanted=Search("capital"))
    rest = store.sessions(first[-1].uid, wanted=Search("capital"))
    assert [row.uid for row in (*first, *rest)] == [uids["italy"], uids["france"]]


def test_without_full_text_the_same_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "has_full_text", lambda connection: False)
    with closing(Store(home)) as store:
        for prompt, output in TEXTS.values():
            messages = told(prompt, output)
            record(store, messages[0]["session"], messages)
        store.flush()
        assert [row.title for row in store.sessions(wanted=Search("capital 100%_!"))] == []
        assert len(store.sessions(wanted=Search("CAPITAL"))) == 2


def test_a_running_session_is_in_the_list_it_belongs_to(store: Store) -> None:
    uid = new_uid()
    store.begin(uid, start_message(uid, "Once upon a time"))
    assert [row.uid for row in store.sessions(wanted=Search("upon"))] == [uid]
    assert not store.sessions(wanted=Search("France")) and not store.sessions(wanted=Search(pinned=True))
    store.flush()
    store.change(uid, title="A tale")
    assert store.sessions()[0].title == "A tale"
    store.end(uid, {"kind": "end", "reason": "stopped", "prompt_tokens": 0, "new_tokens": 0, "ms_per_token": None})
    store.flush()
    assert [row.uid for row in store.sessions(wanted=Search("tale"))] == [uid]


# -- changing -----------------------------------------------------------------------


def test_title_note_and_pin_are_kept_and_found(home: Path, store: Store, uids: dict[str, str]) -> None:
    row = store.change(uids["italy"][:30], title="  All  roads ", note="lead to Rome\nand back", pinned=True)
    assert (row.title, row.note, row.pinned) == ("All roads", "lead to Rome\nand back", True)
    assert names(store, uids, text="roads back") == ["italy"] and names(store, uids, pinned=True) == ["italy"]
    store.close()
    with closing(Store(home)) as again:
        assert again.summary(uids["italy"]) == row
        row = again.change(uids["italy"], title="", pinned=False)
        assert (row.title, row.note, row.pinned) == ("The capital of Italy is", "lead to Rome\nand back", False)
        assert not names(again, uids, text="roads") and names(again, uids, text="lead") == ["italy"]
        assert again.messages(uids["italy"])[0]["prompt"] == "The capital of Italy is"


@pytest.mark.parametrize("odd", ["\ud800 half", "a\0b", "x" * 100_000, "\n\n"])
def test_odd_titles_and_notes_are_kept_as_far_as_they_can_be(store: Store, uids: dict[str, str], odd: str) -> None:
    row = store.change(uids["code"], title=odd, note=odd)
    assert 1 <= len(row.title) <= 200 and len(row.note) <= 20_000 and "\0" not in row.note
    assert store.summary(uids["code"]) == row


def test_what_is_not_there_cannot_be_changed(store: Store, uids: dict[str, str]) -> None:
    store.delete([uids["code"]])
    for session in ("0000", uids["code"]):
        with pytest.raises(NotFound):
            store.change(session, title="x")


# -- deleting -----------------------------------------------------------------------


def everything(path: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("sessions", "tokens", "activations", "firings")
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_a_deleted_session_is_gone_and_comes_back_whole(store: Store, uids: dict[str, str]) -> None:
    before = store.messages(uids["italy"])
    fired = next(iter(before[2]["saes"]["m/2-res"]["features"]))["feature"]
    assert store.delete([uids["italy"], "unknown"]) == [uids["italy"]]
    assert names(store, uids) == ["code", "france"] and not names(store, uids, text="rome")
    assert uids["italy"] not in [one.session for one in store.firings("m/2-res", fired)]
    with pytest.raises(NotFound):
        store.messages(uids["italy"])
    assert names(store, uids, deleted=True) == ["italy"]
    assert store.restore([uids["italy"]]) == [uids["italy"]] and not store.restore([uids["italy"]])
    assert store.messages(uids["italy"]) == before and names(store, uids, text="rome") == ["italy"]
    assert uids["italy"] in [one.session for one in store.firings("m/2-res", fired)]


def test_for_good_means_that_nothing_is_left(store: Store, uids: dict[str, str]) -> None:
    store.delete([uids["italy"], uids["code"]])
    assert store.purge(list(uids.values())) == 2  # france was not deleted
    assert names(store, uids) == ["france"] and not store.restore(list(uids.values()))
    counts = everything(store.path)
    assert (counts["sessions"], counts["tokens"]) == (1, 2)
    store.delete([uids["france"]])
    store.purge([uids["france"]])
    assert set(everything(store.path).values()) == {0}


def test_after_a_day_the_background_deletes_for_good(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.0)
    with closing(Store(home)) as store:
        kept, gone = (session_messages(new_uid()) for _ in range(2))
        for messages in (kept, gone):
            record(store, messages[0]["session"], messages)
        store.flush()
        store.delete([gone[0]["session"]])
        assert everything(store.path)["sessions"] == 2
    monkeypatch.setattr(writer, "KEPT_DELETED", 0)
    time.sleep(0.01)
    with closing(Store(home)) as store:
        store.finish_chores()
        assert everything(store.path)["sessions"] == 1
        assert store.messages(kept[0]["session"]) == kept


def test_a_session_that_is_being_written_cannot_be_deleted(store: Store) -> None:
    uid = new_uid()
    record(store, uid, session_messages(uid)[:-1])
    store.flush()
    assert store.delete([uid]) == [] and len(store.messages(uid)) == 31


def test_only_the_newest_are_kept_where_that_is_wanted_and_the_pinned_ones(store: Store) -> None:
    found = [session_messages(new_uid(), 10) for _ in range(6)]
    for messages in found:
        record(store, messages[0]["session"], messages)
    store.flush()
    uids = [messages[0]["session"] for messages in found]
    store.change(uids[0], pinned=True)
    assert store.keep_within(0, 0) == []
    assert sorted(store.keep_within(3, 0)) == uids[1:4]
    assert [row.uid for row in store.sessions()] == [uids[5], uids[4], uids[0]]
    size = store.summary(uids[5]).bytes
    assert store.keep_within(0, int(2.5 * size)) == [uids[4]]
    assert store.restore(uids) == uids[1:5]


def test_rebuilding_gives_the_same(store: Store, uids: dict[str, str]) -> None:
    feature = store.messages(uids["code"])[2]["saes"]["m/2-res"]["features"][0]["feature"]
    before = store.firings("m/2-res", feature), names(store, uids, text="capital")
    with closing(sqlite3.connect(store.path)) as connection:  # somebody has broken it
        connection.execute("DELETE FROM firings")
        connection.execute("INSERT INTO sessions_fts (sessions_fts) VALUES ('delete-all')")
        connection.commit()
    assert not store.firings("m/2-res", feature) and not names(store, uids, text="capital")
    store.rebuild()
    store.finish_chores()
    assert (store.firings("m/2-res", feature), names(store, uids, text="capital")) == before


# -- when it cannot be written --------------------------------------------------------


def test_a_library_that_cannot_be_written_says_so_and_is_read(
    home: Path, uids: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr(database, "writable", lambda path: False)  # as for root nothing is
    with closing(Store(home)) as again:
        assert again.read_only
        with pytest.raises(StoreError, match="cannot be used"):
            again.change(uids["code"], title="x")
        assert names(again, uids, text="capital") == ["italy", "france"]


def test_a_locked_library_says_so_and_changes_nothing(
    store: Store, uids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.writer.connection
    store.writer.connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.delete(list(uids.values()))
        other.execute("ROLLBACK")
    assert len(names(store, uids)) == 3 and len(store.delete(list(uids.values()))) == 3


def test_sessions_of_the_first_program_are_found_and_keep_their_texts(home: Path) -> None:
    with closing(Store(home)) as store:
        messages = told(*TEXTS["france"])
        record(store, messages[0]["session"], messages)
    undo_later_migrations(home / "sessions.db")
    with closing(Store(home)) as store:
        assert store.problem is None
        (row,) = store.sessions(wanted=Search("seine"))
        assert row.bytes > 100 and not row.pinned and store.messages(row.uid) == messages


def test_before_what_the_user_has_is_rewritten_a_copy_is_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Store(home)) as store:
        messages = session_messages(new_uid())
        record(store, messages[0]["session"], messages)

    def m999_shout(db) -> None:  # type: ignore[no-untyped-def]
        db.conn.execute("UPDATE sessions SET title = upper(title)")

    later = replace(
        schema.SESSIONS, migrations=[*schema.SESSIONS.migrations, m999_shout], rewriting=frozenset({"m999_shout"})
    )
    monkeypatch.setattr(schema, "SESSIONS", later)
    with closing(Store(home)) as store:
        assert store.problem and "lies at" in store.problem.message and not store.read_only
        assert store.sessions()[0].title == "THE CAPITAL OF FRANCE IS"
    (copy,) = home.glob("sessions.db.backup-*")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT title FROM sessions").fetchall() == [("The capital of France is",)]
    with closing(Store(home)) as store:
        assert store.problem is None and len(list(home.glob("sessions.db.backup-*"))) == 1
