"""The tables of sessions.db, as migrations: append a function to SESSIONS, never change one that was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..database import STRICT, WITHOUT_ROWID, Schema, has_full_text

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


def m003_library(db: Database) -> None:
    """What the user makes of sessions: pins, notes, titles; deleting with a way back; full-text search."""
    for statement in (
        "ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE sessions ADD COLUMN note TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE sessions ADD COLUMN deleted_at INTEGER",  # milliseconds since 1970; null: it is not deleted
        "ALTER TABLE sessions ADD COLUMN parent TEXT",  # uid of the session that it went on from
        "ALTER TABLE sessions ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",  # of its tokens and activations
        "CREATE INDEX sessions_by_model ON sessions (model, uid)",
        "CREATE INDEX sessions_pinned ON sessions (uid) WHERE pinned = 1",
        "CREATE INDEX sessions_deleted ON sessions (deleted_at) WHERE deleted_at IS NOT NULL",
        f"UPDATE sessions SET bytes = {BYTES}",
    ):
        db.conn.execute(statement)
    if has_full_text(db.conn):
        for statement in (
            "CREATE VIRTUAL TABLE sessions_fts USING fts5 (title, prompt, output, note, content = 'sessions',"
            " content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')",
            FILL_TEXTS,
            # A session is entered when it has ended: before, its text changes with every flush.
            "CREATE TRIGGER sessions_ended AFTER UPDATE OF status ON sessions"
            " WHEN old.status = 'running' AND new.status <> 'running' BEGIN"
            f" INSERT INTO sessions_fts (rowid, {TEXTS}) VALUES (new.id, {texts('new')}); END",
            "CREATE TRIGGER sessions_edited AFTER UPDATE OF title, note ON sessions"
            " WHEN old.status <> 'running' AND new.status <> 'running' BEGIN"
            f" INSERT INTO sessions_fts (sessions_fts, rowid, {TEXTS}) VALUES ('delete', old.id, {texts('old')});"
            f" INSERT INTO sessions_fts (rowid, {TEXTS}) VALUES (new.id, {texts('new')}); END",
            "CREATE TRIGGER sessions_gone AFTER DELETE ON sessions WHEN old.status <> 'running' BEGIN"
            f" INSERT INTO sessions_fts (sessions_fts, rowid, {TEXTS}) VALUES ('delete', old.id, {texts('old')}); END",
            # One that comes whole, from a file.
            "CREATE TRIGGER sessions_added AFTER INSERT ON sessions WHEN new.status <> 'running' BEGIN"
            f" INSERT INTO sessions_fts (rowid, {TEXTS}) VALUES (new.id, {texts('new')}); END",
        ):
            db.conn.execute(statement)


def m004_vectors(db: Database) -> None:
    """What SAEs have read, of the tokens that the user wants it of."""
    db.conn.execute(
        f"""CREATE TABLE vectors (
            session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            hook TEXT NOT NULL,             -- TransformerLens name
            first_position INTEGER NOT NULL,
            width INTEGER NOT NULL,
            data BLOB NOT NULL,             -- float16, little-endian, position by position
            PRIMARY KEY (session_id, hook, first_position)
        ) {STRICT}"""
    )


TEXTS = "title, prompt, output, note"


def texts(row: str) -> str:
    """The columns that are searched, of a row that a trigger names."""
    return ", ".join(f"{row}.{name}" for name in TEXTS.split(", "))


FILL_TEXTS = f"INSERT INTO sessions_fts (rowid, {TEXTS}) SELECT id, {TEXTS} FROM sessions WHERE status <> 'running'"
BYTES = (
    "(SELECT coalesce(sum(length(data)), 0) FROM activations WHERE session_id = sessions.id)"
    " + (SELECT coalesce(sum(length(alternatives) + length(text) + length(piece) + 60), 0) FROM tokens"
    " WHERE session_id = sessions.id)"
)

SESSIONS = Schema("sessions", [m001_sessions, m002_firings, m003_library, m004_vectors])
