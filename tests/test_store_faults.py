"""Whatever happens to program, disk or file: what was saved is there, what could not be is told, nothing stops."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY
from damage import fill_with_garbage, spoil_the_schema, write_a_few_words
from stored import record, session_messages, start_message, step_message
from test_store import agrees, eventually_entered, left, old_store

from axon_shell import database
from axon_shell.errors import StoreError
from axon_shell.store import Store, new_uid, writer

WRITER = [sys.executable, str(Path(__file__).with_name("stored.py"))]
EARLIER = "00-earlier"  # sorts before every uid of today
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are not waited for, and failures are tried again, for longer than a test should take."""
    monkeypatch.setattr(database, "OPENING_WAIT", 0.2)
    monkeypatch.setattr(database, "WRITING_WAIT", 0.3)
    monkeypatch.setattr(database, "READING_WAIT", 0.2)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.0)
    monkeypatch.setattr(writer, "CHORE_PAUSE", 0.0)
    monkeypatch.setattr(writer, "CHORE_RETRY", 0.1)


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """A folder in which a session is stored."""
    store = Store(home)
    record(store, EARLIER, session_messages(EARLIER))
    store.close()
    yield home


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    try:
        yield store
    finally:
        store.close()


def eventually(true: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(true())


def works(store: Store) -> None:
    """A new session can be saved and comes back."""
    uid = new_uid()
    record(store, uid, session_messages(uid))
    store.flush()
    assert store.messages(uid) == session_messages(uid)
    assert store.failure is None


def goes_on_in_memory(store: Store) -> str:
    """A new session cannot be saved: nothing is raised but by flush, and it can be read. Returns its uid."""
    uid = new_uid()
    messages = session_messages(uid)
    record(store, uid, messages)
    with pytest.raises(StoreError) as caught:
        store.flush()
    assert caught.value.hint
    assert store.failure
    assert store.messages(uid) == messages
    assert store.messages(uid, after=3, limit=2) == messages[4:6]
    assert store.sessions()[0].uid == uid
    assert store.summary(uid).status == "finished"
    return uid


# -- the program dies -------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(8))
def test_kill_9_loses_nothing_older_than_a_quarter_of_a_second(home: Path, attempt: int) -> None:
    program = subprocess.Popen([*WRITER, str(home)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert program.stdout
    uid = program.stdout.readline().strip()
    end = time.monotonic() + random.Random(attempt).uniform(0.02, 1.5)
    heard: list[tuple[float, str, int]] = []
    while time.monotonic() < end:
        word, number = program.stdout.readline().split()
        heard.append((time.monotonic(), word, int(number)))
    killed = time.monotonic()
    program.kill()
    program.wait()
    heard += [(killed, line.split()[0], int(line.split()[1])) for line in program.stdout if line.count(" ") == 1]
    program.stdout.close()

    with opened(home) as store:
        messages = store.messages(uid)
        assert messages[0] == start_message(uid)
        steps = messages[1:-1]
        assert steps == [step_message(position) for position in range(len(steps))]
        flushed = [number for _, word, number in heard if word == "flushed"]
        assert len(steps) > max(flushed, default=-1)
        # A quarter of a second, and half of one for the writing itself on a busy machine.
        old = [number for at, word, number in heard if word == "added" and at < killed - 0.75]
        assert len(steps) > max(old, default=-1)
        row = store.summary(uid)
        assert (row.status, row.reason) == ("interrupted", "interrupted")
        assert row.new_tokens == max(len(steps) - 6, 0)
        spent = [step["ms"] for step in steps[6:]]
        assert messages[-1] == {
            "kind": "end",
            "reason": "interrupted",
            "prompt_tokens": min(max(len(steps) - 1, 0), 5),
            "new_tokens": row.new_tokens,
            "ms_per_token": pytest.approx(sum(spent) / len(spent)) if spent else None,
        }
        assert store.messages(uid, after=len(steps)) == messages[-1:]
        assert eventually(lambda: left(store) == 0)
        assert agrees(store, [messages])
        works(store)
    with closing(sqlite3.connect(home / "sessions.db")) as connection:
        assert connection.execute("SELECT status FROM sessions WHERE uid = ?", (uid,)).fetchone() == ("interrupted",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [path.name for path in (home / "live").iterdir()] == ["schema.lock"]


@pytest.mark.parametrize("attempt", range(4))
def test_kill_9_while_earlier_sessions_are_entered_leaves_nothing_wrong(home: Path, attempt: int) -> None:
    sessions = old_store(home, 60)
    code = """if True:
        import sys, time
        from pathlib import Path
        from axon_shell.store import Store, writer
        writer.CHORES_AFTER = writer.CHORE_PAUSE = 0.0
        store = Store(Path(sys.argv[1]))
        print("open", flush=True)
        time.sleep(60)
    """
    program = subprocess.Popen([sys.executable, "-c", code, str(home)], env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert program.stdout
    program.stdout.readline()
    time.sleep(random.Random(attempt).uniform(0, 0.15))
    program.kill()
    program.wait()
    program.stdout.close()
    with closing(sqlite3.connect(home / "sessions.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {session for (session,) in connection.execute("SELECT DISTINCT session_id FROM firings")}
        entered = {session for (session,) in connection.execute("SELECT id FROM sessions WHERE in_firings = 1")}
        assert found == entered
    with opened(home) as store:
        assert eventually_entered(store)
        assert agrees(store, sessions)


def test_a_program_that_dies_while_another_runs_is_noticed(home: Path) -> None:
    with opened(home) as store:
        program = subprocess.Popen([*WRITER, str(home)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        assert program.stdout
        uid = program.stdout.readline().strip()
        assert eventually(lambda: store.sessions() and store.sessions()[0].new_tokens > 3)
        assert store.summary(uid).status == "running"
        assert store.messages(uid)[-1]["kind"] == "step"
        program.kill()
        program.wait()
        program.stdout.close()
        assert store.sessions()[0].status == "interrupted"
        assert store.summary(uid).reason == "interrupted"
        assert store.messages(uid)[-1]["reason"] == "interrupted"


def test_a_program_that_runs_is_left_alone(home: Path) -> None:
    with opened(home) as first:
        record(first, "one", session_messages("one")[:8])
        first.flush()
        with opened(home) as second:  # another start of the program
            record(second, "two", session_messages("two"))
            second.flush()
            assert second.summary("one").status == "running"
            assert second.messages("one") == session_messages("one")[:8]
        record(first, "one", session_messages("one")[8:])
        first.flush()
        assert first.messages("one") == session_messages("one")
        assert {row.uid for row in first.sessions()} == {"one", "two"}


@pytest.mark.parametrize("begin", ["nothing", "a damaged file"])
def test_several_programs_may_start_at_the_same_moment(home: Path, begin: str) -> None:
    if begin != "nothing":
        (home / "sessions.db").write_text("This is not a database.")
    code = """if True:
        import sys
        from pathlib import Path
        from stored import record, session_messages
        from axon_shell.store import Store, new_uid
        store = Store(Path(sys.argv[1]))
        assert not store.read_only, store.problem
        for _ in range(5):
            uid = new_uid()
            record(store, uid, session_messages(uid))
            store.flush()
        store.close()
        assert store.failure is None, store.failure
    """
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])}
    programs = [subprocess.Popen([sys.executable, "-c", code, str(home)], env=environment) for _ in range(4)]
    assert [program.wait() for program in programs] == [0, 0, 0, 0]
    with opened(home) as store:
        rows = store.sessions()
        assert len(rows) == 20
        for row in rows:
            assert store.messages(row.uid) == session_messages(row.uid)
    assert len(list(home.glob("sessions.db.damaged-*"))) == (begin != "nothing")


# -- the file is not what it should be -------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize("damage", [truncate, fill_with_garbage, write_a_few_words, spoil_the_schema])
def test_a_damaged_file_is_set_aside(folder: Path, damage: Callable[[Path], None]) -> None:
    path = folder / "sessions.db"
    damage(path)
    (folder / "sessions.db-wal").write_bytes(b"a log")
    content = path.read_bytes()
    with opened(folder) as store:
        assert store.problem and "damaged" in store.problem.message
        (aside,) = (found for found in folder.glob("sessions.db.damaged-*") if found.suffix.endswith("Z"))
        assert str(aside) in store.problem.message
        assert aside.read_bytes() == content
        assert not store.read_only
        assert store.sessions() == []
        works(store)
    with opened(folder) as store:
        assert store.problem is None
        assert len(store.sessions()) == 1


def test_files_set_aside_do_not_overwrite_one_another(folder: Path) -> None:
    for _ in range(3):
        write_a_few_words(folder / "sessions.db")
        Store(folder).close()
    assert len(list(folder.glob("sessions.db.damaged-*"))) == 3


def test_an_empty_file_is_a_new_database(home: Path) -> None:
    (home / "sessions.db").touch()
    with opened(home) as store:
        assert store.problem is None
        works(store)


def test_a_newer_database_is_read_and_not_written(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "sessions.db")) as connection:
        connection.execute("ALTER TABLE sessions ADD COLUMN mood TEXT")
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sessions', 'm900_mood', '2030')"
        )
        connection.commit()
    content = (folder / "sessions.db").read_bytes()
    with opened(folder) as store:
        assert store.read_only
        assert store.problem and "newer" in store.problem.message and store.problem.hint
        assert store.messages(EARLIER) == session_messages(EARLIER)
        uid = goes_on_in_memory(store)
        assert {row.uid for row in store.sessions()} == {uid, EARLIER}
        assert agrees(store, [session_messages(EARLIER)])
    assert (folder / "sessions.db").read_bytes() == content


# -- the folder cannot be written --------------------------------------------------------


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Without the right to write a file, or in a folder and everything below; root becomes somebody else meanwhile."""
    locked = [path, *path.rglob("*")]
    modes = {other: other.stat().st_mode for other in (*path.parents[:-2], *locked)}
    for other in modes:
        rights = 0o555 if other in locked else 0o777
        other.chmod(rights if other.is_dir() else rights & 0o666)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for other, mode in modes.items():
            if other.exists():
                other.chmod(mode)


needs_posix = pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")


@needs_posix
def test_a_folder_that_cannot_be_written_is_read_and_used_once_it_can(folder: Path) -> None:
    with unwritable(folder):
        store = Store(folder)
        assert store.read_only
        assert store.problem and str(folder) in store.problem.message and "AXON_HOME" in store.problem.hint
        assert [row.uid for row in store.sessions()] == [EARLIER]
        assert store.messages(EARLIER) == session_messages(EARLIER)
        uid = goes_on_in_memory(store)
    assert eventually(lambda: not store.read_only and not store.failure)
    assert store.problem is None
    store.close()
    with opened(folder) as store:
        assert store.messages(uid) == session_messages(uid)


@needs_posix
def test_a_folder_that_cannot_be_written_is_read_with_its_log(folder: Path) -> None:
    with opened(folder) as other:
        record(other, "00-in the log", session_messages("00-in the log"))
        other.flush()
        with unwritable(folder):
            store = Store(folder)
            assert store.read_only
            assert store.messages("00-in the log") == session_messages("00-in the log")
            assert len(store.sessions()) == 2
            store.close()


@needs_posix
def test_a_file_that_cannot_be_written(folder: Path) -> None:
    with unwritable(folder / "sessions.db"):
        store = Store(folder)
        assert store.read_only and store.problem
        assert store.messages(EARLIER) == session_messages(EARLIER)
        goes_on_in_memory(store)
        store.close()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with opened(tmp_path / "data") as store:
        assert store.read_only and store.problem
        goes_on_in_memory(store)
    assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").mkdir()
    with opened(tmp_path) as store:
        assert store.read_only and store.problem
        goes_on_in_memory(store)


@needs_posix
def test_an_old_file_that_cannot_be_written_does_not_say_where_features_fired(home: Path) -> None:
    sessions = old_store(home, 2)
    with unwritable(home):
        store = Store(home)
        assert store.read_only and len(store.sessions()) == 2
        assert agrees(store, [])
        feature = sessions[0][3]["saes"]["m/2-res"]["features"][0]["feature"]
        assert store.firings("m/2-res", feature) == [] and store.fires_on("m/2-res", [feature]) == {}
        store.close()


# -- the disk is full, the file is locked --------------------------------------------------


def test_a_full_disk_is_told_and_tried_again(folder: Path) -> None:
    with opened(folder) as store:
        uid = new_uid()
        messages = session_messages(uid, 400)
        record(store, uid, messages[:30])
        store.flush()
        connection = store.writer.connection
        assert connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        record(store, uid, messages[30:200])
        with pytest.raises(StoreError, match="disk is full"):
            store.flush()
        record(store, uid, messages[200:])
        assert store.failure and "disk is full" in store.failure.message
        assert store.messages(uid) == messages
        assert store.summary(uid).status == "finished"
        connection.execute("PRAGMA max_page_count = 1000000")
        assert eventually(lambda: not store.failure and not store.writer.recordings)
        assert store.messages(uid) == messages
        works(store)


def test_a_locked_database_keeps_nobody_waiting(folder: Path) -> None:
    with opened(folder) as store, closing(sqlite3.connect(folder / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        uid = new_uid()
        messages = session_messages(uid, 60)
        begin = time.monotonic()
        record(store, uid, messages)
        assert store.messages(uid) == messages
        assert len(store.sessions()) == 2
        assert time.monotonic() - begin < 0.1
        with pytest.raises(StoreError, match="locked"):
            store.flush()
        other.execute("ROLLBACK")
        assert eventually(lambda: not store.failure and not store.writer.recordings)
        assert store.messages(uid) == messages


def test_a_database_locked_at_the_start_is_used_once_it_is_free(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "sessions.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE mine (x)")
        store = Store(folder)
        assert store.read_only and store.problem and "locked" in store.problem.message
        uid = goes_on_in_memory(store)
        other.execute("ROLLBACK")
    assert eventually(lambda: not store.read_only and not store.failure)
    assert [row.uid for row in store.sessions()] in ([uid, EARLIER], [EARLIER, uid])
    store.close()
    with opened(folder) as again:
        assert again.messages(uid) == session_messages(uid)


def test_closing_while_nothing_can_be_written_ends(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "sessions.db", isolation_level=None)) as other:
        store = Store(folder)
        other.execute("BEGIN IMMEDIATE")
        record(store, new_uid(), session_messages("x"))
        begin = time.monotonic()
        store.close()
        assert time.monotonic() - begin < 2
        assert store.failure


def test_a_page_that_spoils_later_is_told(folder: Path) -> None:
    """Damage that opening does not meet: the list works, the session says what is wrong."""
    with opened(folder) as store:
        uid = new_uid()
        record(store, uid, session_messages(uid))
        store.flush()
        connection = store.writer.connection
        assert connection
        connection.execute("UPDATE activations SET data = substr(data, 1, 20)")
        with pytest.raises(StoreError, match="damaged"):
            store.messages(uid)
        assert len(store.sessions()) == 2


def test_earlier_sessions_are_entered_once_the_database_is_free(home: Path) -> None:
    sessions = old_store(home, 3)
    with opened(home) as store:
        assert eventually_entered(store)
        connection = store.writer.connection
        assert connection
        connection.execute("DELETE FROM firings")
        connection.execute("UPDATE sessions SET in_firings = 0")
    with closing(sqlite3.connect(home / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with opened(home) as store:
            time.sleep(0.3)
            assert left(store) == 3
            assert store.failure is None and store.problem is None
            begin = time.monotonic()
            store.flush()
            assert time.monotonic() - begin < 0.2
            other.execute("ROLLBACK")
            assert eventually_entered(store)
            assert agrees(store, sessions)
            works(store)


def test_a_full_disk_leaves_earlier_sessions_for_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.3)
    sessions = old_store(home, 6)
    with opened(home) as store:
        connection = store.writer.connection
        assert connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        time.sleep(0.6)
        assert left(store) > 0 and store.failure is None
        connection.execute("PRAGMA max_page_count = 1000000")
        assert eventually_entered(store)
        assert agrees(store, sessions)


def test_a_damaged_session_keeps_no_other_from_being_entered(home: Path) -> None:
    sessions = old_store(home, 4)
    with closing(sqlite3.connect(home / "sessions.db")) as connection:
        connection.execute("UPDATE activations SET data = substr(data, 1, 200) WHERE session_id = 3")
        connection.execute("UPDATE tokens SET rest = '[' WHERE session_id = 2 AND position = 0")
        connection.commit()
    with opened(home) as store:
        assert eventually_entered(store)
        assert agrees(store, [sessions[0], sessions[3]])
        works(store)


def test_a_session_found_dead_by_another_thread_is_never_said_to_run(home: Path) -> None:
    """The writer marks it while readers ask: whoever comes between must not answer with what was true before."""
    program = subprocess.Popen([*WRITER, str(home)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert program.stdout
    uid = program.stdout.readline().strip()
    for _ in range(5):
        program.stdout.readline()
    program.kill()
    program.wait()
    program.stdout.close()
    with opened(home) as store, ThreadPoolExecutor(4) as readers:
        said = list(readers.map(lambda _: store.summary(uid).status, range(200)))
        listed = list(readers.map(lambda _: store.sessions()[0].status, range(50)))
    assert set(said) == set(listed) == {"interrupted"}


def test_a_session_that_ends_between_two_questions_is_told_as_it_ended(home: Path) -> None:
    uid = new_uid()
    with opened(home) as store:
        record(store, uid, session_messages(uid))
        store.flush()
        before = replace(store.summary(uid), status="running", reason=None)  # as it was read a moment earlier
        assert store.as_it_is(before) == store.summary(uid)
