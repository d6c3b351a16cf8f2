"""The store gives back what it was given, at once and later, and costs whoever writes to it next to nothing."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import record, session_messages, start_message, step_message

from axon_shell.errors import NotFound, StoreError
from axon_shell.records import ActiveFeature, Alternative, End, Message, NextToken, Reading, Settings, Step
from axon_shell.store import Firing, SessionSummary, Store, firings, new_uid, rows, schema, writer
from axon_shell.store.packing import pack_readings, unpack_readings

# -- what goes in comes out -----------------------------------------------------

numbers = st.floats(allow_nan=False) | st.floats(allow_nan=False, width=32)
ids = st.integers(0, 2**32 - 1)
features = st.fixed_dictionaries(
    {"feature": ids | st.integers(0, 2000), "activation": numbers, "effect": st.none() | numbers}
)
readings = st.fixed_dictionaries(
    {"l0": st.integers(0, 100_000), "unexplained": numbers, "features": st.lists(features, max_size=6)}
)
tokens = st.fixed_dictionaries({"token_id": ids, "text": st.text()})
alternatives = st.fixed_dictionaries({"token_id": ids, "text": st.text(), "logprob": numbers})


@st.composite
def streamed(draw: st.DrawFn) -> list[dict]:
    """The messages of a session, as odd as they come."""
    saes = draw(st.lists(st.text(min_size=1, max_size=20), max_size=3, unique=True))
    start = start_message(new_uid(), draw(st.text(st.characters(), max_size=200)), tuple(saes))
    steps = []
    for position in range(draw(st.integers(0, 6))):
        step = {
            "kind": "step",
            "position": position,
            "is_prompt": draw(st.booleans()),
            "token_id": draw(ids),
            "piece": draw(st.text()),
            "text": draw(st.text()),
            "logprob": draw(st.none() | numbers),
            "entropy": draw(numbers),
            "alternatives": draw(st.lists(alternatives, max_size=10)),
            "saes": {sae: draw(readings) for sae in saes if draw(st.integers(0, 9))},
            "next": draw(st.none() | tokens),
            "ms": draw(numbers),
        }
        if position == 0 and draw(st.booleans()):
            step["is_bos"] = True
        if draw(st.booleans()):
            step["a field of tomorrow"] = draw(st.none() | st.text() | st.lists(numbers))
        steps.append(step)
    end = {"kind": "end", "reason": "stopped", "prompt_tokens": 3, "new_tokens": 4}
    end["ms_per_token"] = draw(st.none() | numbers)
    return [start, *steps, end]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=streamed(), flushes=st.sets(st.integers(0, 8)), after=st.integers(-1, 9), limit=st.integers(1, 9))
def test_a_session_comes_back_as_it_was_streamed(
    store: Store, messages: list[dict], flushes: set[int], after: int, limit: int
) -> None:
    uid = messages[0]["session"]
    for index, message in enumerate(messages):
        record(store, uid, [message])
        if index in flushes:
            store.flush()
        assert store.messages(uid) == messages[: index + 1]
    assert store.messages(uid, after, limit) == messages[after + 1 : after + 1 + limit]
    store.flush()
    assert uid not in store.writer.recordings  # from here on it is read from the disk alone
    assert store.messages(uid) == messages
    assert store.messages(uid, after, limit) == messages[after + 1 : after + 1 + limit]
    row = store.summary(uid)
    assert row.output == "".join(step["text"] for step in messages[1:-1] if not step["is_prompt"])
    assert row.saes == tuple(messages[0]["saes"])


def test_every_field_of_a_step_is_stored(store: Store) -> None:
    """Fails when a record gets a field that the store would lose."""
    assert [field.name for field in dataclasses.fields(ActiveFeature)] == ["feature", "activation", "effect"]
    assert [field.name for field in dataclasses.fields(Reading)] == ["l0", "unexplained", "features"]
    assert [field.name for field in dataclasses.fields(Alternative)] == ["token_id", "text", "logprob"]
    assert [field.name for field in dataclasses.fields(NextToken)] == ["token_id", "text"]
    reading = Reading(2, 0.25, (ActiveFeature(7, 1.5, -0.5), ActiveFeature(9, 0.1)))
    step = Step(
        0,
        True,
        464,
        "The",
        "The",
        None,
        6.1,
        (Alternative(1, " first", -2.9),),
        {"m/2-res": reading},
        NextToken(1, " x"),
        3.1,
    )
    bos = dataclasses.replace(step, is_bos=True, saes={"m/2-res": Reading(0, 0.0, ())})
    uid = new_uid()
    end = End("error", 1, 0, None, {"kind": "engine", "message": "Out of memory.", "hint": "Close something."})
    streamed = [
        start_message(uid) | {"settings": dataclasses.asdict(Settings())},
        bos.as_message(),
        dataclasses.replace(step, position=1).as_message(),
        end.as_message(),
    ]
    record(store, uid, streamed)
    store.flush()
    assert store.messages(uid) == streamed


def test_labels_are_not_stored(store: Store) -> None:
    uid = new_uid()
    plain = step_message(1)
    labelled = json.loads(json.dumps(plain))
    for feature in labelled["saes"]["m/2-res"]["features"]:
        feature |= {"label": "a capital city", "label_state": "labelled"}
    record(store, uid, [start_message(uid), labelled])
    assert store.messages(uid, after=0) == [plain]  # out of memory
    store.flush()
    assert store.messages(uid, after=0) == [plain]  # from disk


def test_float32_takes_four_bytes_and_other_floats_are_not_rounded() -> None:
    def packed(activation: float) -> bytes:
        feature = {"feature": 3, "activation": activation, "effect": None}
        data = pack_readings([(0, {"l0": 1, "unexplained": 0.5, "features": [feature]})])
        assert next(unpack_readings(data, 0, 1))[1]["features"] == [feature]
        return data

    assert len(packed(0.1)) - len(packed(0.5)) == 4
    assert len(packed(1e300)) == len(packed(0.1))


def test_a_session_of_200_tokens_takes_less_than_100_kilobytes(home: Path) -> None:
    sizes = []
    for sessions in (1, 20):
        store = Store(home)
        for _ in range(sessions):
            uid = new_uid()
            record(store, uid, session_messages(uid, positions=200))
        store.close()
        sizes.append(store.path.stat().st_size)
    assert (sizes[1] - sizes[0]) / 20 < 100_000


# -- the list ---------------------------------------------------------------------


def test_summary(store: Store) -> None:
    uid = new_uid()
    prompt = "The capital\n\tof France is a city that lies on a river whose name I forgot"
    step = {**step_message(6), "text": " Paris"}
    record(store, uid, [start_message(uid, prompt, ("m/1", "m/2")), step_message(0), step_message(1), step])
    running = store.summary(uid)
    created_at = running.created_at
    assert running == SessionSummary(
        uid=uid,
        title="The capital of France is a city that lies on a river whose…",
        prompt=prompt,
        output=" Paris",
        model="m",
        saes=("m/1", "m/2"),
        created_at=created_at,
        status="running",
        reason=None,
        prompt_tokens=1,
        new_tokens=1,
        ms_per_token=None,
    )
    store.flush()
    end = {"kind": "end", "reason": "error", "prompt_tokens": 1, "new_tokens": 1, "ms_per_token": 2.5}
    record(store, uid, [end | {"error": {"kind": "engine", "message": "Not a number.", "hint": ""}}])
    finished = dataclasses.replace(running, status="finished", reason="error", ms_per_token=2.5)
    assert dataclasses.replace(store.summary(uid), bytes=0) == finished
    store.flush()
    assert dataclasses.replace(store.summary(uid), bytes=0) == finished
    assert 500 < store.summary(uid).bytes < 5000
    assert created_at.endswith("Z") and created_at[:4] == time.strftime("%Y", time.gmtime())


def test_the_list_is_newest_first_and_pages(store: Store) -> None:
    uids = []
    for _ in range(7):
        uids.insert(0, new_uid())
        record(store, uids[0], session_messages(uids[0], 3))
    for _ in ("from memory or disk", "from disk"):
        assert [row.uid for row in store.sessions()] == uids
        assert [row.uid for row in store.sessions(limit=3)] == uids[:3]
        assert [row.uid for row in store.sessions(before=uids[2], limit=3)] == uids[3:6]
        assert store.sessions(before=uids[-1]) == []
        store.flush()


def test_a_session_is_found_by_the_beginning_of_its_uid(store: Store) -> None:
    record(store, "aaa1", session_messages("aaa1", 3))
    store.flush()
    record(store, "aab1", session_messages("aab1", 3)[:-1])  # in memory, partly
    assert store.summary("aaa").uid == "aaa1"
    assert store.messages("aab")[0]["session"] == "aab1"
    with pytest.raises(NotFound, match="More than one"):
        store.summary("aa")
    for unknown in ("b", "", "%", "aaa11"):
        with pytest.raises(NotFound) as caught:
            store.messages(unknown)
        assert caught.value.hint


def test_an_empty_store_is_empty(store: Store) -> None:
    assert store.sessions() == []
    assert (store.problem, store.failure, store.read_only) == (None, None, False)
    store.flush()
    with pytest.raises(NotFound):
        store.summary("x")
    assert not store.path.exists()  # made with the first session: `sessions list` need not wait for it


def test_uids_sort_by_time_and_are_version_7() -> None:
    uids = [new_uid() for _ in range(200)]
    assert len(set(uids)) == 200
    assert all(uid[14] == "7" and uid[19] in "89ab" for uid in uids)
    later = []
    for _ in range(20):
        later.append(new_uid())
        time.sleep(0.0005)
    assert later == sorted(later)


# -- at once, from everywhere --------------------------------------------------------


def test_what_is_read_while_it_is_written_is_what_was_streamed_so_far(store: Store) -> None:
    uid = new_uid()
    messages = session_messages(uid, 300)
    record(store, uid, messages[:1])
    wrong: list[object] = []
    done = threading.Event()

    def watch(after: int) -> None:
        seen = 0
        while not done.is_set():
            found = store.messages(uid, after)
            if found != messages[after + 1 : after + 1 + len(found)] or len(found) < seen:
                wrong.append((after, seen, len(found)))
            seen = len(found)

    watchers = [threading.Thread(target=watch, args=(after,)) for after in (-1, 0, 40)]
    for watcher in watchers:
        watcher.start()
    for message in messages[1:]:
        record(store, uid, [message])
        time.sleep(0.002)
    store.flush()
    done.set()
    for watcher in watchers:
        watcher.join()
    assert not wrong
    assert store.messages(uid) == messages


def test_many_threads_write_sessions_of_their_own(store: Store) -> None:
    sessions = {uid: session_messages(uid, 40) for uid in (new_uid() for _ in range(8))}
    threads = [threading.Thread(target=record, args=(store, uid, messages)) for uid, messages in sessions.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.flush()
    assert len(store.sessions()) == 8
    for uid, messages in sessions.items():
        assert store.messages(uid) == messages


def test_a_message_that_cannot_be_stored_keeps_only_its_own_session_from_the_disk(store: Store) -> None:
    odd, plain = new_uid(), new_uid()
    messages = session_messages(odd, 3)
    messages[2] = messages[2] | {"entropy": "high\ud800"}
    record(store, odd, messages)
    record(store, plain, session_messages(plain, 3))
    with pytest.raises(StoreError, match="cannot be saved"):
        store.flush()
    assert store.failure
    assert store.messages(odd) == messages
    assert store.messages(plain) == session_messages(plain, 3)
    with closing(store.database.read()) as connection:
        assert connection.execute("SELECT uid FROM sessions").fetchall() == [(plain,)]


def test_writing_costs_the_caller_microseconds(store: Store) -> None:
    uid = new_uid()
    steps = [step_message(position) for position in range(400)]
    store.begin(uid, start_message(uid))
    store.flush()
    costs = []
    for step in steps:
        begin = time.perf_counter()
        store.add(uid, step)
        costs.append(time.perf_counter() - begin)
        time.sleep(0.001)
    assert statistics.median(costs) < 200e-6  # 10 on an idle machine


@pytest.mark.parametrize(("seconds", "steps"), [(0.25, 5), (60, 20)])
def test_steps_are_on_disk_after_a_quarter_of_a_second_or_when_there_are_twenty(
    store: Store, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    uid = new_uid()
    store.begin(uid, start_message(uid))
    store.flush()
    monkeypatch.setattr(writer, "FLUSH_SECONDS", seconds)
    for position in range(steps):
        store.add(uid, step_message(position))
    deadline = time.monotonic() + 10
    while store.writer.recordings[uid].written < 1 + steps and time.monotonic() < deadline:
        time.sleep(0.005)
    assert store.writer.recordings[uid].written == 1 + steps


# -- where a feature fired ----------------------------------------------------------

SAE = "m/2-res"


def recomputed(sessions: list[list[Message]], sae: str, cap: int = 512) -> dict[int, list[Firing]]:
    """Where each feature fired, strongest first, from the messages of the sessions, the oldest session first."""
    found: dict[int, list[Firing]] = {}
    for messages in reversed(sessions):
        start, *steps, _ = messages
        at: dict[int, list[tuple[float, int]]] = {}
        for step in steps:
            if sae in step["saes"] and not step.get("is_bos"):
                for fired in step["saes"][sae]["features"]:
                    at.setdefault(fired["feature"], []).append((fired["activation"], step["position"]))
        best = {feature: max(places, key=lambda place: (place[0], -place[1])) for feature, places in at.items()}
        for feature in sorted(best, key=lambda feature: (-best[feature][0], feature))[:cap]:
            activation, position = best[feature]
            firing = Firing(
                start["session"],
                rows.title(start["prompt"]),
                activation,
                len(at[feature]),
                position,
                steps[position]["piece"],
            )
            found.setdefault(feature, []).append(firing)
    return {feature: sorted(places, key=lambda firing: -firing.activation) for feature, places in found.items()}


def pieces(places: list[Firing]) -> list[tuple[str, int, float]]:
    """The tokens at these places: how many there are of each, and the strongest."""
    counts = Counter(place.piece for place in places)
    found = [(piece, n, max(p.activation for p in places if p.piece == piece)) for piece, n in counts.items()]
    return sorted(found, key=lambda row: (-row[1], -row[2], row[0]))


def agrees(store: Store, sessions: list[list[Message]], sae: str = SAE, cap: int = 512, limit: int = 50) -> bool:
    """Whether a store answers what is recomputed from the messages, for features that fired and others."""
    expected = recomputed(sessions, sae, cap)
    features = [*expected, 99_999]
    places = {feature: expected.get(feature, [])[:limit] for feature in features}
    return {feature: store.firings(sae, feature, limit) for feature in features} == places and store.fires_on(
        sae, features, limit
    ) == {feature: pieces(found) for feature, found in places.items() if found}


# Few features and few activations, so that some are equal.
firing_readings = st.dictionaries(st.integers(0, 12), st.sampled_from([0.5, 1.0, 1.5, 0.1]), max_size=8)


@st.composite
def firing_session(draw: st.DrawFn) -> list[Message]:
    """A session of two SAEs in which few features fire often; it may begin with BOS, at which they fire too."""
    uid = new_uid()
    steps = []
    for position in range(draw(st.integers(0, 6))):
        saes = {}
        for sae in ("m/2-res", "m/5-res"):
            fired = [{"feature": f, "activation": a, "effect": None} for f, a in draw(firing_readings).items()]
            saes[sae] = {"l0": len(fired), "unexplained": 0.5, "features": fired}
        step = step_message(position) | {"saes": saes, "piece": draw(st.sampled_from([" a", " b", "c"]))}
        step.pop("is_bos", None)
        steps.append(step | ({"is_bos": True} if position == 0 and draw(st.booleans()) else {}))
    end = session_messages(uid, 3)[-1]
    return [start_message(uid, saes=("m/2-res", "m/5-res")), *steps, end]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sessions=st.lists(firing_session(), min_size=1, max_size=5), cap=st.sampled_from([2, 512]), limit=st.integers(1, 5)
)
def test_where_a_feature_fired_is_what_the_messages_say(
    home: Path, sessions: list[list[Message]], cap: int, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, closing(Store(home / new_uid())) as store:
        patch.setattr(firings, "STRONGEST", cap)
        for messages in sessions:
            record(store, messages[0]["session"], messages)
        store.flush()
        for sae in ("m/2-res", "m/5-res"):
            assert agrees(store, sessions, sae, cap, limit)


def test_a_session_that_runs_is_entered_when_it_ends(store: Store) -> None:
    uid = new_uid()
    messages = session_messages(uid)
    record(store, uid, messages[:-1])
    store.flush()
    feature = messages[3]["saes"][SAE]["features"][0]["feature"]
    assert store.firings(SAE, feature) == []
    record(store, uid, messages[-1:])
    store.flush()
    assert agrees(store, [messages])
    assert store.firings(SAE, feature)[0].session == uid


def test_of_each_sae_the_512_strongest_features_of_a_session_are_kept(store: Store) -> None:
    uid = new_uid()
    messages = session_messages(uid, 120, saes=(SAE, "m/5-res"))
    assert len(recomputed([messages], SAE, cap=10_000)) > 1000
    record(store, uid, messages)
    store.flush()
    assert agrees(store, [messages]) and agrees(store, [messages], "m/5-res")
    with closing(store.database.read()) as connection:
        counts = connection.execute("SELECT count(*) FROM firings GROUP BY sae_id").fetchall()
    assert counts == [(512,), (512,)]


def test_before_anything_was_saved_nothing_has_fired(store: Store) -> None:
    for _ in ("no file", "a file with a session of another SAE"):
        assert store.firings("m/none", 3) == []
        assert store.fires_on("m/none", [3, 4]) == {}
        record(store, uid := new_uid(), session_messages(uid, 3))
        store.flush()
    assert store.fires_on(SAE, []) == {}


def test_a_deleted_session_is_not_shown_any_more(store: Store) -> None:
    sessions = [session_messages(new_uid(), 8) for _ in range(2)]
    for messages in sessions:
        record(store, messages[0]["session"], messages)
    store.flush()
    connection = store.writer.connection
    assert connection
    connection.execute("DELETE FROM sessions WHERE uid = ?", (sessions[0][0]["session"],))
    assert agrees(store, sessions[1:])


def test_what_a_thousand_features_fire_on_is_told_at_once(store: Store) -> None:
    for _ in range(60):
        uid = new_uid()
        record(store, uid, session_messages(uid, 60))
    store.flush()
    features = [*recomputed([session_messages("x", 60)], SAE), *range(50_000, 50_500)]
    assert len(features) > 1000
    begin = time.perf_counter()
    found = store.fires_on(SAE, features)
    assert time.perf_counter() - begin < 1  # 0.15 on an idle machine
    assert len(found) == 512 and {sum(n for _, n, _ in places) for places in found.values()} == {50}


# -- sessions of an earlier program --------------------------------------------------


def old_store(home: Path, sessions: int) -> list[list[Message]]:
    """Sessions as a program that did not know where features fired has left them, the oldest first."""
    found = [session_messages(new_uid(), 12) for _ in range(sessions)]
    with closing(Store(home)) as store:
        for messages in found:
            record(store, messages[0]["session"], messages)
    undo_later_migrations(home / "sessions.db")
    return found


def undo_later_migrations(path: Path) -> None:
    """Make a database what the first released program would have left."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for kind in ("trigger", "index"):
            query = "SELECT name FROM sqlite_master WHERE type = ? AND name LIKE 'sessions\\_%' ESCAPE '\\'"
            for (name,) in connection.execute(query, (kind,)).fetchall():
                if name != "sessions_running":
                    connection.execute(f"DROP {kind} {name}")
        connection.execute("DROP TABLE sessions_fts")
        connection.execute("DROP TABLE firings")
        connection.execute("DROP TABLE vectors")
        for name in ("in_firings", "pinned", "note", "deleted_at", "parent", "bytes"):
            connection.execute(f"ALTER TABLE sessions DROP COLUMN {name}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name <> 'm001_sessions'")
        connection.execute("VACUUM")


def left(store: Store) -> int:
    """Sessions that are not entered yet."""
    return store.read(
        lambda connection: connection.execute("SELECT count(*) FROM sessions WHERE in_firings = 0").fetchone()[0], 0
    )


def eventually_entered(store: Store) -> bool:
    deadline = time.monotonic() + 10
    while left(store) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left(store) == 0


def test_sessions_of_an_earlier_program_are_entered_after_a_while(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.3)
    sessions = old_store(home, 8)
    with closing(Store(home)) as store:
        assert left(store) == 8
        assert agrees(store, [])
        new = session_messages(new_uid())
        record(store, new[0]["session"], new)
        store.flush()
        assert left(store) == 8
        assert eventually_entered(store)
        assert agrees(store, [*sessions, new])
        record(store, uid := new_uid(), session_messages(uid))
        store.flush()
        assert left(store) == 0 and store.failure is None


def test_finding_what_is_not_entered_looks_at_nothing_else(store: Store) -> None:
    record(store, uid := new_uid(), session_messages(uid, 3))
    store.flush()
    asked: list[str] = []
    connection = store.writer.connection
    assert connection
    connection.set_trace_callback(asked.append)
    assert firings.next_without(connection) is None
    connection.set_trace_callback(None)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert [row[-1].split(" USING ")[1] for row in plan] == ["INDEX sessions_without_firings"]


def test_a_running_session_has_the_machine_for_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.3)
    sessions = old_store(home, 3)
    with closing(Store(home)) as store:
        new = session_messages(new_uid())
        store.begin(new[0]["session"], new[0])
        store.flush()
        time.sleep(0.6)
        assert left(store) == 4  # itself among them
        record(store, new[0]["session"], new[1:])
        assert eventually_entered(store)
        assert agrees(store, [*sessions, new])


def test_closing_waits_for_one_session_at_most(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHORES_AFTER", 0.0)
    monkeypatch.setattr(writer, "CHORE_PAUSE", 0.0)
    sessions = old_store(home, 12)
    slow = firings.write_firings

    def slowly(connection: sqlite3.Connection, session: int) -> None:
        time.sleep(0.1)
        slow(connection, session)

    monkeypatch.setattr(writer, "write_firings", slowly)
    store = Store(home)
    time.sleep(0.25)
    begin = time.monotonic()
    store.flush()
    store.close()
    assert time.monotonic() - begin < 0.6
    assert 0 < left(store) < 12
    monkeypatch.setattr(writer, "write_firings", slow)
    with closing(Store(home)) as store:
        assert eventually_entered(store)
        assert agrees(store, sessions)


# -- the schema ------------------------------------------------------------------------


def test_a_later_migration_reaches_a_database_that_exists(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(home)
    uid = new_uid()
    record(store, uid, session_messages(uid))
    store.close()

    def m999_starred(db) -> None:  # type: ignore[no-untyped-def]
        db.conn.execute("ALTER TABLE sessions ADD COLUMN starred INTEGER NOT NULL DEFAULT 0")

    later = dataclasses.replace(schema.SESSIONS, migrations=[*schema.SESSIONS.migrations, m999_starred])
    monkeypatch.setattr(schema, "SESSIONS", later)
    store = Store(home)
    assert store.messages(uid) == session_messages(uid)
    with closing(store.database.read()) as connection:
        assert connection.execute("SELECT starred FROM sessions").fetchall() == [(0,)]
        assert "m999_starred" in later.applied(connection)
    store.close()


def test_the_database_is_as_it_should_be(store: Store) -> None:
    uid = new_uid()
    record(store, uid, session_messages(uid, 100))
    store.flush()
    connection = store.writer.connection
    assert connection
    pragma = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "auto_vacuum", "foreign_keys", "synchronous", "integrity_check")
    }
    assert pragma == {
        "journal_mode": "wal",
        "auto_vacuum": 2,
        "foreign_keys": 1,
        "synchronous": 1,
        "integrity_check": "ok",
    }
    assert connection.execute("SELECT count(*) FROM activations").fetchone() == (1,)  # its chunks are one blob now
    connection.execute("DELETE FROM sessions")
    for table in ("tokens", "activations"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_opening_an_existing_store_is_quick_and_imports_nothing_large(home: Path) -> None:
    store = Store(home)
    for _ in range(100):
        uid = new_uid()
        record(store, uid, session_messages(uid, 30))
    store.close()
    program = """if True:
        import sys, time
        from pathlib import Path
        from axon_shell.store import Store
        begin = time.perf_counter()
        store = Store(Path(sys.argv[1]))
        assert len(store.sessions()) == 50
        print(time.perf_counter() - begin)
        store.close()
        loaded = {"torch", "numpy", "pandas", "sqlite_utils"} & set(sys.modules)
        assert not loaded, loaded
    """
    took = min(
        float(subprocess.run([sys.executable, "-c", program, home], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    )
    assert took < 0.05
