"""A SQLite file of the user's: its schema as migrations, how it is opened, and what happens when it cannot be."""

from __future__ import annotations

import os
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from .errors import StoreError
from .light import import_lightly
from .records import Problem

if TYPE_CHECKING:
    import sqlite_utils

OPENING_WAIT = 2.0  # seconds for another program to let go of the database while this one starts
WRITING_WAIT = 10.0  # ... and while it is written in the background, which keeps nobody waiting
READING_WAIT = 2.0
MOST_WORDS = 16  # of a search

# For tables: SQLite checks the kinds of values where it is new enough to know how.
STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
WITHOUT_ROWID = "STRICT, WITHOUT ROWID" if STRICT else "WITHOUT ROWID"


@dataclass(frozen=True)
class Schema:
    """The tables of a database, as migrations: append to the list, never change one that was released."""

    name: str  # "sessions"
    migrations: Sequence[Callable[[sqlite_utils.Database], None]]
    rewriting: frozenset[str] = frozenset()  # names of those that change what the user has: before them a copy is made

    def names(self) -> set[str]:
        """Names of all migrations that this program knows."""
        return {migration.__name__ for migration in self.migrations}

    def applied(self, connection: sqlite3.Connection) -> set[str]:
        """Names of the migrations that a database has seen; empty for a new one. Reads only."""
        if not has_table(connection, "_sqlite_migrations"):
            return set()
        rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (self.name,))
        return {name for (name,) in rows}

    def pending(self, connection: sqlite3.Connection) -> bool:
        """Whether the database lacks a migration of this program."""
        return not self.applied(connection).issuperset(self.names())

    def newer(self, connection: sqlite3.Connection) -> bool:
        """Whether the database has seen a migration that this program does not know."""
        return not self.applied(connection).issubset(self.names())

    def will_rewrite(self, connection: sqlite3.Connection) -> bool:
        """Whether migrating changes what the user has in this database, and not only adds to it."""
        seen = self.applied(connection)
        return bool(seen) and not self.rewriting.issubset(seen)

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the database up to this program's schema; each migration happens wholly or not at all."""
        import_lightly("sqlite_utils")  # here and not above: only a new schema should cost its time
        from sqlite_utils import Database, Migrations

        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # works only before the first table
        migrations = Migrations(self.name)
        for migration in self.migrations:
            migrations(name=migration.__name__)(migration)
        migrations.apply(Database(connection, execute_plugins=False))  # not the plugins of the user's own sqlite-utils


class DatabaseFile:
    """Where a database lies, and the ways to get at it."""

    thing = "database"  # as the user knows it
    holds = "data"  # what it is there to save
    meanwhile = ""  # what becomes of what cannot be saved

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path, self.schema = path, schema
        self.schema_lock = path.with_name(f"{path.name}.lock")  # held while its tables are made or changed

    def try_out(self, connection: sqlite3.Connection) -> None:
        """Read something, so that damage shows. Raises sqlite3.Error."""

    def prepare(self) -> None:
        """Make the folder, and see that the file can be written. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not writable(self.path):  # SQLite would silently open it for reading
            raise PermissionError(13, "Permission denied")

    def open_existing(self) -> tuple[sqlite3.Connection | None, Problem | None]:
        """As `open`, but nothing where there is no file yet: whoever only reads should not wait for a new one.

        Raises StoreError when none could be made.
        """
        try:
            self.prepare()
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
            self.prepare()
            connection = connect(self.path, "rwc", OPENING_WAIT)
            state = self.look(connection)
            if state in ("old", "damaged"):
                with FileLock(self.schema_lock, timeout=WRITING_WAIT):
                    # Look again, at what lies there now: another program may have been faster.
                    connection.close()
                    connection = connect(self.path, "rwc", OPENING_WAIT)
                    state = self.look(connection)
                    if state == "damaged":
                        connection.close()
                        problem = self.set_aside()
                        connection = connect(self.path, "rwc", OPENING_WAIT)
                    if state != "newer":
                        if self.schema.will_rewrite(connection):
                            problem = self.back_up(connection)
                        self.schema.migrate(connection)
            if state == "newer":
                raise StoreError(
                    f"The {self.thing} was written by a newer AXON Shell: it is opened for reading only, and new"
                    f" {self.holds} are not saved.",
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

    def look(self, connection: sqlite3.Connection) -> str:
        """How the database is: "ready", "old" (or new and empty), "newer" than this program, or "damaged"."""
        try:
            if self.schema.newer(connection):
                return "newer"
            if self.schema.pending(connection):
                return "old"
            self.try_out(connection)
        except sqlite3.Error as error:
            if damaged(error):
                return "damaged"
            raise
        return "ready"

    def back_up(self, connection: sqlite3.Connection) -> Problem:
        """Copy the database beside itself. Raises sqlite3.Error where that cannot be done: then nothing is changed."""
        name = self.beside("backup")
        connection.execute("VACUUM INTO ?", (str(name),))
        return Problem(
            self.path.name,
            f"The {self.thing} was brought to a new form. The one before lies at {name}.",
            "Delete it when all is well.",
        )

    def beside(self, word: str) -> Path:
        """A name for another file of this database that is not taken."""
        name = self.path.with_name(f"{self.path.name}.{word}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        while name.exists():
            name = name.with_name(name.name + "+")
        return name

    def set_aside(self) -> Problem:
        """Move the file away, with what belongs to it, so that a new one can be made; nothing is deleted."""
        name = self.beside("damaged")
        for suffix in ("-wal", "-shm", ""):  # the file last: SQLite would play a log left behind into the new one
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(name.with_name(name.name + suffix))
        return Problem(
            self.path.name,
            f"The {self.thing} was damaged. It now lies at {name}, and a new one was started.",
            f"Restore a backup of {self.path.name}, or try `sqlite3 FILE .recover` on the damaged one.",
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

    def explain(self, error: Exception) -> StoreError:
        """What a failure means to the user."""
        if isinstance(error, StoreError):
            return error
        text = str(error)
        if "full" in text or getattr(error, "errno", None) == 28:
            kept = f" {self.meanwhile} is kept in memory and saved as soon as there is room." if self.meanwhile else ""
            return StoreError(f"The disk is full: {self.holds} cannot be saved.", f"Free some space.{kept}")
        if "locked" in text or isinstance(error, Timeout):
            kept = f" {self.meanwhile} is saved as soon as it is free." if self.meanwhile else ""
            return StoreError(
                f"Another program keeps the {self.thing} locked.", f"Close whatever has {self.path} open.{kept}"
            )
        if isinstance(error, OSError) or "readonly" in text or "unable to open" in text:
            return StoreError(
                f"The {self.thing} {self.path} cannot be used: {getattr(error, 'strerror', None) or text}.",
                "Make the folder writable, or choose another one with AXON_HOME.",
            )
        if damaged(error) or isinstance(error, (ValueError, struct.error)):
            return StoreError(
                f"Part of the {self.thing} is damaged: {text}.",
                f"Copy {self.path} to a safe place; `sqlite3 FILE .recover` saves what can be read.",
            )
        return StoreError(f"The {self.thing} failed: {text}.", f"It lies at {self.path}.")


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


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a database has a table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def as_match(words: Sequence[str]) -> str:
    """Words as FTS5 takes them for what they are: all must be there, of the last one the beginning."""
    marked = ['"' + word.replace('"', '""').replace("\0", "") + '"' for word in words]
    return " AND ".join([*marked[:-1], marked[-1] + "*"])


def as_like(word: str) -> str:
    """A word anywhere in a text, as LIKE takes it with the escape character "!"."""
    return "%" + re.sub("([%_!])", "!\\1", word) + "%"


def has_full_text(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite was built with FTS5; without it, searching reads everything."""
    return any(option == "ENABLE_FTS5" for (option,) in connection.execute("PRAGMA compile_options"))


def writable(path: Path) -> bool:
    """Whether this program may write a file or in a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


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
