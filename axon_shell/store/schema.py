"""The tables of sessions.db, as migrations: append a function to MIGRATIONS, never change one that was released."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def m001_sessions(db: Database) -> None:
    """Sessions, their tokens and what fired at them."""
    strict = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
    without_rowid = "STRICT, WITHOUT ROWID" if strict else "WITHOUT ROWID"
    for statement in (
        f"""CREATE TABLE sessions (
            id INTEGER PRIMARY KEY,
            uid TEXT NOT NULL UNIQUE,       -- UUID 7: sorts by time
            created_at INTEGER NOT NULL,    -- milliseconds since 1970, UTC
            title TEXT NOT NULL,
            prompt TEXT NOT NULL,
            output TEXT NOT NULL DEFAULT '',
            model TEXT NOT NULL,
            saes TEXT NOT NULL,             -- JSON list of ids, as the session was started with
            status TEXT NOT NULL,           -- running, finished, interrupted
            reason TEXT,                    -- why it ended
            prompt_tokens INTEGER NOT NULL DEFAULT 0,
            new_tokens INTEGER NOT NULL DEFAULT 0,
            ms_per_token REAL,
            owner TEXT NOT NULL,            -- the program that writes it: holds live/OWNER.lock while it lives
            version TEXT NOT NULL,          -- of the program that wrote it
            start_message TEXT NOT NULL,    -- JSON, as streamed
            end_message TEXT                -- JSON, as streamed
        ) {strict}""",
        "CREATE INDEX sessions_running ON sessions (owner) WHERE status = 'running'",
        f"CREATE TABLE saes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) {strict}",
        f"""CREATE TABLE tokens (
            session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            token_id INTEGER NOT NULL,
            piece TEXT NOT NULL,
            text TEXT NOT NULL,
            is_prompt INTEGER NOT NULL,
            logprob REAL,
            entropy REAL NOT NULL,
            ms REAL NOT NULL,
            next_id INTEGER,
            next_text TEXT,
            alternatives BLOB NOT NULL,     -- packing.py
            rest TEXT,                      -- JSON: what a step says beyond these columns, such as is_bos
            PRIMARY KEY (session_id, position)
        ) {without_rowid}""",
        # One row per flush while the session runs, one in all once it has ended. A rowid table: blobs are large.
        f"""CREATE TABLE activations (
            session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            sae_id INTEGER NOT NULL REFERENCES saes (id),
            first_position INTEGER NOT NULL,
            data BLOB NOT NULL,             -- packing.py
            PRIMARY KEY (session_id, sae_id, first_position)
        ) {strict}""",
    ):
        db.conn.execute(statement)


MIGRATIONS = [m001_sessions]


def applied(connection: sqlite3.Connection) -> set[str]:
    """Names of the migrations that a database has seen; empty for a new one. Reads only."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return set()
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'sessions'")
    return {name for (name,) in rows}


def pending(connection: sqlite3.Connection) -> bool:
    """Whether the database lacks a migration of this program."""
    return not applied(connection).issuperset(migration.__name__ for migration in MIGRATIONS)


def newer(connection: sqlite3.Connection) -> bool:
    """Whether the database has seen a migration that this program does not know."""
    return not applied(connection).issubset(migration.__name__ for migration in MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to this program's schema; each migration happens wholly or not at all."""
    # Here and not above: it imports pandas where that is installed, half a second that only a new schema should cost.
    from sqlite_utils import Database, Migrations

    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # works only before the first table
    migrations = Migrations("sessions")
    for migration in MIGRATIONS:
        migrations(name=migration.__name__)(migration)
    migrations.apply(Database(connection, execute_plugins=False))  # not the plugins of the user's own sqlite-utils
