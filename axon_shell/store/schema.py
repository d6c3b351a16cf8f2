"""The tables of sessions.db, as migrations: append a function to SESSIONS, never change one that was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..database import STRICT, WITHOUT_ROWID, Schema

if TYPE_CHECKING:
    from sqlite_utils import Database


def m001_sessions(db: Database) -> None:
    """Sessions, their tokens and what fired at them."""
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
        ) {STRICT}""",
        "CREATE INDEX sessions_running ON sessions (owner) WHERE status = 'running'",
        f"CREATE TABLE saes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) {STRICT}",
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
        ) {WITHOUT_ROWID}""",
        # One row per flush while the session runs, one in all once it has ended. A rowid table: blobs are large.
        f"""CREATE TABLE activations (
            session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            sae_id INTEGER NOT NULL REFERENCES saes (id),
            first_position INTEGER NOT NULL,
            data BLOB NOT NULL,             -- packing.py
            PRIMARY KEY (session_id, sae_id, first_position)
        ) {STRICT}""",
    ):
        db.conn.execute(statement)


def m002_firings(db: Database) -> None:
    """Where each feature fired, strongest first. Sessions that were there before are entered later, one by one."""
    for statement in (
        # No foreign key to sessions: it would need an index as large as half the table. Whoever deletes a session
        # deletes these rows too, or its number may come to another session.
        f"""CREATE TABLE firings (
            sae_id INTEGER NOT NULL REFERENCES saes (id),
            feature INTEGER NOT NULL,
            max REAL NOT NULL,              -- the largest activation in the session
            session_id INTEGER NOT NULL,
            count INTEGER NOT NULL,         -- positions at which it fired
            position INTEGER NOT NULL,      -- where the largest activation is
            PRIMARY KEY (sae_id, feature, max DESC, session_id DESC)
        ) {WITHOUT_ROWID}""",
        "ALTER TABLE sessions ADD COLUMN in_firings INTEGER NOT NULL DEFAULT 0",  # 1: entered in the table above
        "CREATE INDEX sessions_without_firings ON sessions (id) WHERE in_firings = 0 AND status <> 'running'",
    ):
        db.conn.execute(statement)


SESSIONS = Schema("sessions", [m001_sessions, m002_firings])
