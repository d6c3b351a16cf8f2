"""What the user does with past sessions: find them, rename, pin, note and delete them. Functions of a connection."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..database import MOST_WORDS, as_like, as_match, has_table
from ..errors import NotFound
from .firings import bos_positions, collect, strongest
from .rows import SessionSummary, columns, has_library, storable, summary, title
from .schema import FILL_TEXTS

LONGEST_TITLE, LONGEST_NOTE = 200, 20_000  # characters


@dataclass(frozen=True, slots=True)
class Search:
    """Which sessions are wanted; what is left empty does not matter."""

    text: str = ""  # every word in title, prompt, output or note, of the last one the beginning
    model: str = ""
    sae: str = ""
    since: int | None = None  # milliseconds since 1970, inclusive
    until: int | None = None  # exclusive
    pinned: bool = False  # only pinned ones
    deleted: bool = False  # those that were deleted and can still be restored, instead of the others


# -- finding ------------------------------------------------------------------


def find(connection: sqlite3.Connection, wanted: Search, before: str | None, limit: int) -> list[SessionSummary]:
    """Sessions older than the session `before` that a search wants, newest first."""
    if not has_library(connection):  # of an earlier program, and it may only be read
        wanted = Search()
    where: list[str] = []
    values: list[object] = []

    def want(condition: str, *of: object) -> None:
        where.append(condition)
        values.extend(of)

    if has_library(connection):
        want(f"deleted_at IS {'NOT ' if wanted.deleted else ''}NULL")
    if words := wanted.text.split()[:MOST_WORDS]:
        if has_table(connection, "sessions_fts"):
            # "+": SQLite then goes through the sessions newest first and stops when it has enough, instead of getting
            # and sorting all that hold the word, which for a frequent one are nearly all.
            want("+id IN (SELECT rowid FROM sessions_fts WHERE sessions_fts MATCH ?)", as_match(words))
        else:
            for word in words:
                want("title || ' ' || prompt || ' ' || output || ' ' || note LIKE ? ESCAPE '!'", as_like(word))
    if before:
        want("uid < ?", before)
    if wanted.model:
        want("model = ?", wanted.model)
    if wanted.sae:
        want("EXISTS (SELECT 1 FROM json_each(sessions.saes) WHERE value = ?)", wanted.sae)
    if wanted.since is not None:
        want("created_at >= ?", wanted.since)
    if wanted.until is not None:
        want("created_at < ?", wanted.until)
    if wanted.pinned:
        want("pinned = 1")
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = connection.execute(
        f"SELECT {columns(connection)} FROM sessions {condition} ORDER BY uid DESC LIMIT ?", (*values, limit)
    )
    return [summary(row) for row in rows]


def wants(wanted: Search, row: SessionSummary) -> bool:
    """Whether a search wants a session that is being written."""
    text = f"{row.title} {row.prompt} {row.output} {row.note}".casefold()
    return (
        not (wanted.deleted or wanted.pinned)
        and wanted.model in ("", row.model)
        and (not wanted.sae or wanted.sae in row.saes)
        and wanted.until is None
        and all(word in text for word in wanted.text.casefold().split())
    )


# -- changing -----------------------------------------------------------------


def change(
    connection: sqlite3.Connection,
    uid: str,
    title_: str | None = None,
    note: str | None = None,
    pinned: bool | None = None,
) -> SessionSummary:
    """Rename a session, write a note to it, or pin it; an empty title is the prompt's again. Raises NotFound."""
    row = connection.execute("SELECT id, prompt FROM sessions WHERE uid = ? AND deleted_at IS NULL", (uid,)).fetchone()
    if row is None:
        raise NotFound(f"There is no session {uid}.", "`axon-shell sessions list` shows them all.")
    session, prompt = row
    if title_ is not None:
        name = " ".join(storable(title_).split())[:LONGEST_TITLE] or title(prompt)
        connection.execute("UPDATE sessions SET title = ? WHERE id = ?", (name, session))
    if note is not None:
        text = storable(note).replace("\0", "").strip()[:LONGEST_NOTE]
        connection.execute("UPDATE sessions SET note = ? WHERE id = ?", (text, session))
    if pinned is not None:
        connection.execute("UPDATE sessions SET pinned = ? WHERE id = ?", (pinned, session))
    return summary(
        connection.execute(f"SELECT {columns(connection)} FROM sessions WHERE id = ?", (session,)).fetchone()
    )


def delete(connection: sqlite3.Connection, uids: Sequence[str]) -> list[str]:
    """Take sessions out of the library, for the time being; gives those that there were."""
    return mark(connection, uids, "NULL", str(time.time_ns() // 1_000_000))


def restore(connection: sqlite3.Connection, uids: Sequence[str]) -> list[str]:
    """Bring back sessions that were deleted; gives those that could be."""
    return mark(connection, uids, "NOT NULL", "NULL")


def mark(connection: sqlite3.Connection, uids: Sequence[str], before: str, after: str) -> list[str]:
    """Set when sessions were deleted; a session that is being written stays."""
    rows = connection.execute(
        f"UPDATE sessions SET deleted_at = {after} WHERE deleted_at IS {before} AND status <> 'running'"
        " AND uid IN (SELECT value FROM json_each(?)) RETURNING uid",
        (json.dumps(list(uids)),),
    ).fetchall()
    return [uid for (uid,) in rows]


def deleted(connection: sqlite3.Connection, uid: str) -> list[int]:
    """The number of a session that was deleted; none where it was not."""
    rows = connection.execute("SELECT id FROM sessions WHERE uid = ? AND deleted_at IS NOT NULL", (uid,))
    return [number for (number,) in rows]


def next_to_purge(connection: sqlite3.Connection, before: int) -> int | None:
    """A session that was deleted before a moment (milliseconds since 1970)."""
    row = connection.execute("SELECT id FROM sessions WHERE deleted_at < ? LIMIT 1", (before,)).fetchone()
    return row and row[0]


def purge(connection: sqlite3.Connection, session: int) -> None:
    """Delete a session for good, with all that was derived from it."""
    places: dict[int, dict[int, tuple[float, int, int]]] = {}
    bos = bos_positions(connection, session)
    for sae, data in connection.execute("SELECT sae_id, data FROM activations WHERE session_id = ?", (session,)):
        try:
            collect(places.setdefault(sae, {}), data, bos)
        except Exception:  # damaged: what was derived from it may stay, and is never shown without the session
            continue
    connection.executemany(
        "DELETE FROM firings WHERE sae_id = ? AND feature = ? AND max = ? AND session_id = ?",
        [
            (sae, feature, activation, session)
            for sae, found in places.items()
            for feature, (activation, _, _) in strongest(found)
        ],
    )
    connection.execute("DELETE FROM sessions WHERE id = ?", (session,))


def overflow(connection: sqlite3.Connection, most: int, most_bytes: int) -> list[str]:
    """The oldest sessions beyond a number, or beyond a size in all; pinned ones count, and are never among them."""
    found: list[str] = []
    count = size = 0
    rows = connection.execute(
        "SELECT uid, pinned, bytes FROM sessions WHERE deleted_at IS NULL AND status <> 'running'"
        " ORDER BY pinned DESC, uid DESC"
    )
    for uid, pinned, taken in rows:
        count, size = count + 1, size + taken
        if not pinned and ((most and count > most) or (most_bytes and size > most_bytes)):
            found.append(uid)
    return found


def rebuild(connection: sqlite3.Connection) -> None:
    """Empty all that is derived from sessions; texts are entered at once, firings one session after the other."""
    connection.execute("DELETE FROM firings")
    connection.execute("UPDATE sessions SET in_firings = 0 WHERE in_firings = 1")
    if has_table(connection, "sessions_fts"):
        connection.execute("INSERT INTO sessions_fts (sessions_fts) VALUES ('delete-all')")
        connection.execute(FILL_TEXTS)
