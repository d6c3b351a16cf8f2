"""The file sessions.db: how it is opened, what happens when it cannot be, and which programs are writing to it."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from ..errors import StoreError
from ..records import Problem
from . import rows, schema

OPENING_WAIT = 2.0  # seconds for another program to let go of the database while this one starts
WRITING_WAIT = 10.0  # ... and while the writer thread writes, which keeps nobody waiting
READING_WAIT = 2.0


class Database:
    """Where the sessions lie, and the ways to get at them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / "sessions.db"
        self.live = self.path.parent / "live"  # a lock for each program that has the store open
        self.owner = uuid4().hex
        self.asking = threading.Lock()
        self.lock = FileLock(self.live / f"{self.owner}.lock", thread_local=False)

    def open_existing(self) -> tuple[sqlite3.Connection | None, Problem | None]:
        """As `open`, but nothing where there is no file yet: whoever only reads should not wait for a new one.

        Raises StoreError when none could be made.
        """
        try:
            self.come_alive()
        except OSError as error:
            raise self.explain(error) from error
        return self.open() if self.path.exists() else (None, None)

    def open(self) -> tuple[sqlite3.Connection, Problem | None]:
        """A connection that writes, with this program's schema; and what the user must be told.

        A new file is made where there is none; a damaged one is set aside. Raises StoreError when nothing can be
        written.
        """
        connection, problem = None, None
        try:
            self.come_alive()
            connection = connect(self.path, "rwc", OPENING_WAIT)
            state = look(connection)
            if state in ("old", "damaged"):
                with FileLock(self.live / "schema.lock", timeout=WRITING_WAIT):
                    # Look again, at what lies there now: another program may have been faster.
                    connection.close()
                    connection = connect(self.path, "rwc", OPENING_WAIT)
                    state = look(connection)
                    if state == "damaged":
                        connection.close()
                        problem = self.set_aside()
                        connection = connect(self.path, "rwc", OPENING_WAIT)
                    if state != "newer":
                        schema.migrate(connection)
            if state == "newer":
                raise StoreError(
                    "The session database was written by a newer AXON Shell: it is opened for reading only, and new"
                    " sessions are not saved.",
                    "Update AXON Shell.",
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power cut may cost seconds, never the file
            connection.execute(f"PRAGMA busy_timeout = {int(WRITING_WAIT * 1000)}")
        except (sqlite3.Error, OSError, StoreError) as error:
            if connection:
                connection.close()
            raise self.explain(error) from error
        return connection, problem

    def come_alive(self) -> None:
        """Take the lock that tells other programs that this one is running, and see that the file can be written."""
        self.live.mkdir(parents=True, exist_ok=True)
        if not self.lock.is_locked:
            self.lock.acquire(timeout=0)
        if self.path.exists() and not writable(self.path):  # SQLite would silently open it for reading
            raise PermissionError(13, "Permission denied")

    def set_aside(self) -> Problem:
        """Move the file away, with what belongs to it, so that a new one can be made; nothing is deleted."""
        name = self.path.with_name(f"{self.path.name}.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        while name.exists():
            name = name.with_name(name.name + "+")
        for suffix in ("-wal", "-shm", ""):  # the file last: SQLite would play a log left behind into the new one
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(name.with_name(name.name + suffix))
        return Problem(
            "sessions.db",
            f"The session database was damaged. It now lies at {name}, and a new one was started.",
            "Restore a backup of sessions.db, or try `sqlite3 FILE .recover` on the damaged one.",
        )

    def read(self) -> sqlite3.Connection:
        """A connection that only reads. To be closed after each use: opening one takes a fifth of a millisecond."""
        connection = connect(self.path, "ro", READING_WAIT)
        try:
            connection.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            connection.close()
            if writable(self.path.parent) and writable(self.path):
                raise
            # SQLite cannot share a file with others where it may not write. Then the file alone is read, without a log.
            connection = connect(self.path, "immutable", READING_WAIT)
        return connection

    def alive(self, owner: str) -> bool:
        """Whether the program that says it is writing a session is still running."""
        if owner == self.owner:
            return True
        path = self.live / f"{owner}.lock"
        if not path.exists():
            return False
        lock = FileLock(path)
        with self.asking:  # or another thread, trying the lock just now, would look like that program
            try:
                lock.acquire(timeout=0)
            except OSError:  # held, or not for us to know
                return True
            lock.release()
            with suppress(OSError):  # no program takes the same name again
                path.unlink(missing_ok=True)
            return False

    def bury_the_dead(self, connection: sqlite3.Connection) -> None:
        """Mark as interrupted what programs were writing that have died."""
        for owner in rows.running_owners(connection):
            if not self.alive(owner):
                with transaction(connection):
                    rows.write_interrupted(connection, owner)

    def close(self) -> None:
        """Tell other programs that this one has ended."""
        if self.lock.is_locked:
            self.lock.release()
            Path(self.lock.lock_file).unlink(missing_ok=True)

    def explain(self, error: Exception) -> StoreError:
        """What a failure means to the user."""
        if isinstance(error, StoreError):
            return error
        text = str(error)
        if "full" in text or getattr(error, "errno", None) == 28:
            return StoreError(
                "The disk is full: sessions cannot be saved.",
                "Free some space. What was generated meanwhile is kept in memory and saved as soon as there is room.",
            )
        if "locked" in text or isinstance(error, Timeout):
            return StoreError(
                "Another program keeps the session database locked.",
                f"Close whatever has {self.path} open. What was generated meanwhile is saved as soon as it is free.",
            )
        if isinstance(error, OSError) or "readonly" in text or "unable to open" in text:
            return StoreError(
                f"The session database {self.path} cannot be used: {getattr(error, 'strerror', None) or text}.",
                "Make the folder writable, or choose another one with AXON_HOME.",
            )
        if damaged(error) or isinstance(error, (ValueError, struct.error)):
            return StoreError(
                f"Part of the session database is damaged: {text}.",
                f"Copy {self.path} to a safe place; `sqlite3 FILE .recover` saves what can be read.",
            )
        return StoreError(f"The session database failed: {text}.", f"It lies at {self.path}.")


def connect(path: Path, mode: str, wait: float) -> sqlite3.Connection:
    """A connection: "rwc" writes and makes the file, "ro" reads, "immutable" reads what nobody can be writing.

    It waits up to `wait` seconds for a lock. Transactions are begun and ended by hand.
    """
    options = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"{path.as_uri()}?{options}", uri=True, timeout=wait, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def writable(path: Path) -> bool:
    """Whether this program may write a file or in a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def look(connection: sqlite3.Connection) -> str:
    """How a database is: "ready", "old" (or new and empty), "newer" than this program, or "damaged"."""
    try:
        if schema.newer(connection):
            return "newer"
        if schema.pending(connection):
            return "old"
        rows.read_summaries(connection, None, 1)
    except sqlite3.Error as error:
        if damaged(error):
            return "damaged"
        raise
    return "ready"


def damaged(error: Exception) -> bool:
    """Whether SQLite says that a file is not, or no longer, a database.

    "malformed database schema" is not among the signs: an SQLite too old for the schema says that of a sound file.
    """
    signs = ("disk image is malformed", "not a database")
    return isinstance(error, sqlite3.DatabaseError) and any(sign in str(error) for sign in signs)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside is written, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some failures, a full disk among them, have ended it already
            connection.execute("ROLLBACK")
        raise
