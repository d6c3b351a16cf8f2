"""The one thread that writes sessions to disk. Nobody waits for it; what it could not write it keeps and retries."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..database import transaction
from ..errors import StoreError
from ..records import Message, Problem
from . import library, rows
from .database import Database
from .firings import next_without, write_firings
from .rows import SessionSummary

FLUSH_STEPS = 20  # messages that wait at most ...
FLUSH_SECONDS = 0.25  # ... and how long
RETRY_SECONDS = 2.0  # after a failure
CHORES_AFTER = 1.0  # seconds after opening until what was left undone is done: short commands never do
CHORE_PAUSE = 0.05  # after each: they are in no hurry
CHORE_RETRY = 60.0
KEPT_DELETED = 24 * 3600 * 1000  # milliseconds until a deleted session is gone for good
PAGES_FREED = 2_000  # of the file, after a session was deleted for good

T = TypeVar("T")

# What SQLite raises when a message is at fault, not the file: trying again would not help.
OUR_MISTAKES = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


@dataclass
class Task:
    """Something that a thread waits for to be written."""

    action: Callable[[sqlite3.Connection], Any]
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: Exception | None = None


@dataclass
class Recording:
    """A session that this program writes, while it is not wholly on disk."""

    uid: str
    start: Message
    created_at: int  # milliseconds since 1970
    waiting: list[Message] = field(default_factory=list)  # not on disk yet
    written: int = 0  # messages on disk
    output: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    end: Message | None = None
    refused: StoreError | None = None  # it holds something that cannot be stored: it stays in memory

    def take(self, message: Message) -> None:
        """Keep a message for the disk, and what the list of sessions shows of it."""
        self.waiting.append(message)
        if message["kind"] == "end":
            self.end = message
        elif message["kind"] == "step":
            if message["is_prompt"]:
                self.prompt_tokens += rows.is_prompt_token(message)
            else:
                self.output.append(message["text"])

    def summary(self) -> SessionSummary:
        """The session as the list shows it."""
        end = self.end or {
            "reason": None,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": len(self.output),
            "ms_per_token": None,
        }
        return SessionSummary(
            uid=self.uid,
            title=rows.title(self.start["prompt"]),
            prompt=self.start["prompt"],
            output="".join(self.output),
            model=self.start["model"],
            saes=tuple(self.start["saes"]),
            created_at=rows.timestamp(self.created_at),
            status="finished" if self.end else "running",
            reason=end["reason"],
            prompt_tokens=end["prompt_tokens"],
            new_tokens=end["new_tokens"],
            ms_per_token=end["ms_per_token"],
            steered="edits" in self.start,
        )


class Writer:
    """Takes messages from any thread and writes them, at most 20 messages or 250 ms later."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: sqlite3.Connection | None = None
        self.problem: Problem | None = None  # what opening the database brought to light
        self.failure: StoreError | None = None  # why the last attempt to write failed
        self.changed = threading.Condition()  # guards everything below
        self.recordings: dict[str, Recording] = {}
        self.handed = 0  # messages taken
        self.settled = 0  # of them written or refused, in the order of taking
        self.since: float | None = None  # when the oldest message that waits was taken
        self.failures = 0
        self.retry_at = 0.0
        self.chore_at: float | None = None  # when to do the next chore; None: all are done
        self.tasks: deque[Task] = deque()  # what else is to be written, in order
        self.urgent = False
        self.closing = False
        try:
            self.connection, self.problem = database.open_existing()
            self.chore_at = time.monotonic() + CHORES_AFTER if self.connection else None
        except StoreError as error:
            self.failure, self.problem = error, Problem("sessions.db", error.message, error.hint)
        self.thread = threading.Thread(target=self.work, name="store", daemon=True)
        self.thread.start()

    # -- asked from other threads ---------------------------------------------

    def begin(self, uid: str, start: Message) -> None:
        """Take a session's first message."""
        with self.changed:
            self.recordings[uid] = Recording(uid, start, time.time_ns() // 1_000_000)
        self.take(uid, start)

    def take(self, uid: str, message: Message) -> None:
        """Take a message of a session that has begun."""
        with self.changed:
            self.recordings[uid].take(message)
            self.handed += 1
            if message["kind"] == "end":
                self.urgent = True
            first = self.since is None
            if first:
                self.since = time.monotonic()
            # Waking the thread costs more than all the rest: only when it has something to reckon with.
            if first or self.urgent or self.handed - self.settled == FLUSH_STEPS:
                self.changed.notify_all()

    def flush(self) -> None:
        """Wait until everything taken so far is on disk. Raises StoreError when it cannot be written."""
        with self.changed:
            goal, failures = self.handed, self.failures
            self.urgent = True
            self.changed.notify_all()
            while self.settled < goal and self.failures == failures and self.thread.is_alive():
                self.changed.wait(timeout=1)
            if self.failure:
                raise self.failure
            if self.settled < goal:
                raise StoreError("The session database is closed.", "Start AXON Shell again.")

    def call(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """What an action gives that changes the database, after all that was taken before it: wholly or not at all.

        Raises StoreError when it cannot be written, and whatever the action raises.
        """
        task = Task(action)
        with self.changed:
            if self.closing:
                raise StoreError("The session database is closed.", "Start AXON Shell again.")
            self.tasks.append(task)
            self.changed.notify_all()
        task.done.wait()
        if task.error:
            raise task.error
        result: T = task.result
        return result

    def get_ready(self) -> None:
        """Make the database in the background where there is none: the first session need not wait for that."""
        with self.changed:
            if self.connection is None and not self.closing:
                self.tasks.append(Task(lambda connection: None))
                self.changed.notify_all()

    def chores(self) -> None:
        """Have looked for chores again."""
        with self.changed:
            self.chore_at = time.monotonic()
            self.changed.notify_all()

    def finish_chores(self) -> None:
        """Wait until all chores are done, or cannot be done now."""
        with self.changed:
            self.changed.wait_for(lambda: self.chore_at is None or self.chore_at > time.monotonic() + CHORE_PAUSE)

    def close(self) -> None:
        """Write what waits, if it can be written, and end the thread."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.thread.join()

    # -- in the thread --------------------------------------------------------

    def work(self) -> None:
        if self.connection:
            # Locked or full: next time then. Whoever reads such a session is told that its program has died anyway.
            with suppress(sqlite3.Error, OSError):
                self.database.bury_the_dead(self.connection)
        closing = False
        while not closing:
            with self.changed:
                while not self.closing and (delay := self.delay()) != 0:
                    self.changed.wait(delay)
                closing, self.urgent = self.closing, False
                batch = [(r, list(r.waiting)) for r in self.recordings.values() if r.waiting and not r.refused]
                tasks = [self.tasks.popleft() for _ in range(len(self.tasks))]
                handed, now = self.handed, time.monotonic()
                idle = not tasks and not closing and self.until_chore() == 0
            if idle:
                next_at = self.do_chore()
                with self.changed:
                    self.chore_at = next_at
                    self.changed.notify_all()
                continue
            failure = self.write(batch)
            for task in tasks:
                self.perform(task, failure)
            with self.changed:
                if failure:
                    self.failures += 1
                    self.retry_at = time.monotonic() + RETRY_SECONDS
                else:
                    self.settled, self.retry_at = handed, 0.0
                    self.since = None if self.handed == handed else now
                refused = (recording.refused for recording in self.recordings.values())
                self.failure = failure or next(filter(None, refused), None)
                self.changed.notify_all()
        if self.connection:
            self.connection.close()

    def delay(self) -> float | None:
        """Seconds until there is something to do; None when nothing waits."""
        if self.urgent or self.tasks:
            return 0
        if self.since is None:
            return self.until_chore()
        now = time.monotonic()
        if now < self.retry_at:
            return self.retry_at - now
        if self.handed - self.settled >= FLUSH_STEPS:
            return 0
        return max(self.since + FLUSH_SECONDS - now, 0)

    def until_chore(self) -> float | None:
        """Seconds until the next chore; None while there is something better to do, and when all are done."""
        if self.since is not None or self.recordings or self.chore_at is None:
            return None
        return max(self.chore_at - time.monotonic(), 0)

    def do_chore(self) -> float | None:
        """Delete for good one session whose time has come, or enter the firings of one.

        Gives when to go on; None when there is nothing more.
        """
        assert self.connection
        (wait,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        try:
            # Whoever hands over something new would have to wait as well.
            self.connection.execute("PRAGMA busy_timeout = 0")
            old = library.next_to_purge(self.connection, time.time_ns() // 1_000_000 - KEPT_DELETED)
            session = next_without(self.connection) if old is None else old
            if session is None:
                return None
            with transaction(self.connection):
                if session == old:
                    library.purge(self.connection, session)
                else:
                    write_firings(self.connection, session)
            if session == old:
                self.connection.execute(f"PRAGMA incremental_vacuum({PAGES_FREED})").fetchall()
        except sqlite3.Error:
            return time.monotonic() + CHORE_RETRY
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {wait}")
        return time.monotonic() + CHORE_PAUSE

    def perform(self, task: Task, failure: StoreError | None) -> None:
        """Do what a task asks for, unless writing fails at present."""
        try:
            if failure:
                raise failure
            if self.connection is None:
                self.connection, self.problem = self.database.open()
            with transaction(self.connection):
                task.result = task.action(self.connection)
        except (sqlite3.Error, OSError) as error:
            task.error = self.database.explain(error)
        except Exception as error:
            task.error = error
        task.done.set()

    def write(self, batch: list[tuple[Recording, list[Message]]]) -> StoreError | None:
        """Write what waited; the failure that stopped it, if one did."""
        for recording, messages in batch:
            try:
                if self.connection is None:  # none could be had yet, or there was no file and no need of one
                    self.connection, self.problem = self.database.open()
                    self.chore_at = time.monotonic() + CHORES_AFTER
                with transaction(self.connection):
                    rows.write(self.connection, recording.uid, self.database.owner, recording.created_at, messages)
            except Exception as error:
                if isinstance(error, (StoreError, sqlite3.Error)) and not isinstance(error, OUR_MISTAKES):
                    return self.database.explain(error)
                recording.refused = StoreError(
                    f"The session {rows.title(recording.start['prompt'])!r} cannot be saved: {error!r}.",
                    "It can be read until AXON Shell ends. Please report this.",
                )
            else:
                with self.changed:
                    recording.written += len(messages)
                    del recording.waiting[: len(messages)]
                    if messages[-1]["kind"] == "end":
                        del self.recordings[recording.uid]
        return None
