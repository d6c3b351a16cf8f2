"""What the rest of the program calls to keep sessions and to get them back."""

from __future__ import annotations

import secrets
import sqlite3
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from ..database import has_table
from ..errors import NotFound, StoreError
from ..records import Message, Problem
from . import library, rows
from .database import Database
from .firings import Firing, read_firings, read_largest, read_pieces
from .library import Search
from .rows import SessionSummary
from .writer import Writer

T = TypeVar("T")


def new_uid() -> str:
    """The uid of a new session: UUID version 7, so that later ones sort after earlier ones."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000  # 12 bits of the millisecond keep sessions begun within one in order
    return str(UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)))


class Store:
    """The sessions in `folder`/sessions.db, those that this program is writing included.

    Writing never waits for the disk and never fails: what could not be written stays in memory, is answered from there
    and tried again, and `failure` says why. Messages handed over must not be changed afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder)
        self.path = self.database.path
        self.writer = Writer(self.database)

    @property
    def problem(self) -> Problem | None:
        """What the user must be told about the database: damaged and set aside, newer than the program, unwritable."""
        return self.writer.problem

    @property
    def read_only(self) -> bool:
        """Whether sessions cannot be saved: they are kept until the program ends."""
        return self.writer.connection is None and self.writer.problem is not None

    @property
    def failure(self) -> StoreError | None:
        """Why the latest attempt to write failed; None once one succeeded."""
        return self.writer.failure

    # -- writing --------------------------------------------------------------

    def get_ready(self) -> None:
        """A session will begin soon: make the database meanwhile, where there is none."""
        self.writer.get_ready()

    def begin(self, session: str, start: Message) -> None:
        """Keep the start message of a new session, named by `new_uid()`."""
        self.writer.begin(session, start)

    def add(self, session: str, step: Message) -> None:
        """Keep a step message; labels in it are left out."""
        self.writer.take(session, step)

    def end(self, session: str, end: Message) -> None:
        """Keep the end message of a session."""
        self.writer.take(session, end)

    def flush(self) -> None:
        """Wait until everything handed over is on disk. Raises StoreError when it cannot be written."""
        self.writer.flush()

    def close(self) -> None:
        """Write what waits and let go of the database."""
        self.writer.close()
        self.database.close()

    # -- reading --------------------------------------------------------------

    def sessions(
        self, before: str | None = None, limit: int = 50, wanted: Search | None = None
    ) -> list[SessionSummary]:
        """Sessions older than the session `before` that a search wants, newest first."""
        search = wanted or Search()
        with self.writer.changed:
            live = [recording.summary() for recording in self.writer.recordings.values()]
        found = {row.uid: row for row in live if (not before or row.uid < before) and library.wants(search, row)}
        stored: list[SessionSummary] = []
        try:
            stored = self.read(lambda connection: library.find(connection, search, before, limit), stored)
        except StoreError:
            if not self.read_only:  # else why the database cannot be read was told when it was opened
                raise
        # What is on disk of a session that runs says less, but it may have been renamed there.
        found = {row.uid: self.as_it_is(row) for row in stored} | {
            uid: replace(row, title=there.title, note=there.note, pinned=there.pinned)
            if (there := next((one for one in stored if one.uid == uid), None))
            else row
            for uid, row in found.items()
        }
        return sorted(found.values(), key=lambda row: row.uid, reverse=True)[:limit]

    def summary(self, session: str) -> SessionSummary:
        """A session, by its uid or the beginning of it. Raises NotFound."""
        uid = self.find(session)
        with self.writer.changed:
            if recording := self.writer.recordings.get(uid):
                return recording.summary()
        row = self.read(lambda connection: rows.read_summary(connection, uid), None)
        if row is None:  # deleted meanwhile
            raise not_found(session)
        return self.as_it_is(row)

    def messages(self, session: str, after: int = -1, limit: int | None = None) -> list[Message]:
        """The messages of a session as they were streamed, without labels: start, steps, end.

        They are numbered from 0; given are at most `limit` that follow number `after`. A session that is being
        generated has no end yet. Raises NotFound.
        """
        uid = self.find(session)
        first = max(after + 1, 0)
        stop = None if limit is None else first + limit
        with self.writer.changed:
            recording = self.writer.recordings.get(uid)
            if recording:
                written, waiting = recording.written, list(recording.waiting)
        if recording is None:
            return self.read(lambda connection: self.stored(connection, uid, first, stop), [])
        # The disk may hold more by now: only as many are taken from there as memory leaves out.
        stop = written + len(waiting) if stop is None else stop
        messages: list[Message] = []
        if first < written:
            messages = self.read(lambda connection: rows.read_messages(connection, uid, first, min(stop, written)), [])
        return messages + [unlabelled(message) for message in waiting[max(first - written, 0) : max(stop - written, 0)]]

    # -- the library ----------------------------------------------------------

    def change(
        self, session: str, title: str | None = None, note: str | None = None, pinned: bool | None = None
    ) -> SessionSummary:
        """Rename a session, write a note to it, or pin it. Raises NotFound, or StoreError where that fails."""
        uid = self.find(session)
        return self.writer.call(lambda connection: library.change(connection, uid, title, note, pinned))

    def delete(self, sessions: Sequence[str]) -> list[str]:
        """Delete sessions, by their uids; gives those that there were. For a day they can be restored."""
        return self.writer.call(lambda connection: library.delete(connection, sessions))

    def restore(self, sessions: Sequence[str]) -> list[str]:
        """Bring back deleted sessions, by their uids; gives those that could be."""
        return self.writer.call(lambda connection: library.restore(connection, sessions))

    def purge(self, sessions: Sequence[str]) -> int:
        """Delete for good those of these sessions that were deleted before; gives how many."""

        def act(connection: sqlite3.Connection) -> int:
            ids = [id for uid in sessions for id in library.deleted(connection, uid)]
            for id in ids:
                library.purge(connection, id)
            return len(ids)

        return self.writer.call(act)

    def keep_within(self, most: int, most_bytes: int) -> list[str]:
        """Delete the oldest sessions beyond a number or a size in bytes (0: any), never pinned ones; gives them."""
        none: list[str] = []
        beyond = self.read(lambda connection: library.overflow(connection, most, most_bytes), none)
        return self.delete(beyond) if beyond else []

    def rebuild(self) -> None:
        """Derive anew what searching needs; where features fired is entered in the background."""
        self.writer.call(library.rebuild)
        self.writer.chores()

    def finish_chores(self) -> None:
        """Wait until what is done in the background is done."""
        self.writer.finish_chores()

    def size(self) -> int:
        """Bytes that the sessions take on disk."""
        return sum(path.stat().st_size for suffix in ("", "-wal") if (path := Path(f"{self.path}{suffix}")).exists())

    def add_whole(self, uid: str, messages: Sequence[Message], created_at: int, title: str, note: str) -> bool:
        """Take in a session from elsewhere; False, and nothing changed, where it is here already.

        `created_at` is in milliseconds since 1970. One that was deleted here comes back.
        """

        def act(connection: sqlite3.Connection) -> bool:
            if rows.read_summary(connection, uid):
                return bool(library.restore(connection, [uid]))
            rows.write(connection, uid, self.database.owner, created_at, messages)
            if messages[-1]["kind"] != "end":
                rows.write_one_interrupted(connection, uid)
            library.change(connection, uid, title, note)
            return True

        return self.writer.call(act)

    # -- vectors --------------------------------------------------------------

    def keep_vectors(self, session: str, hook: str, first: int, width: int, data: bytes) -> None:
        """Keep what passed a hook point from position `first` on: float16, little-endian, `width` numbers each."""
        self.writer.call(lambda connection: rows.write_vectors(connection, session, hook, first, width, data))

    def vectors(self, session: str) -> dict[str, list[tuple[int, int, bytes]]]:
        """What is kept of a session by hook point: first position, width and numbers as for `keep_vectors`."""
        uid = self.find(session)
        nothing: dict[str, list[tuple[int, int, bytes]]] = {}
        return self.read(lambda connection: rows.read_vectors(connection, uid), nothing)

    # -- features -------------------------------------------------------------

    def firings(self, sae: str, feature: int, limit: int = 50) -> list[Firing]:
        """Sessions in which a feature fired, strongest first; those not wholly on disk are left out.

        A session counts with its 512 strongest features of each SAE.
        """
        return self.read(lambda connection: read_firings(connection, sae, feature, limit), [])

    def fires_on(self, sae: str, features: Sequence[int], limit: int = 50) -> dict[int, list[tuple[str, int, float]]]:
        """For each feature the tokens at which it fired most strongly, over its `limit` strongest sessions.

        Each is (piece, number of sessions, strongest activation), most sessions first, then strongest. Features that
        fired nowhere are left out; what counts is as for `firings`, but for steered sessions, which do not.
        """
        return self.read(lambda connection: read_pieces(connection, sae, features, limit), {})

    def largest(self, sae: str, feature: int) -> float | None:
        """The largest activation of a feature in sessions that were not steered, where it fired in any."""
        return self.read(lambda connection: read_largest(connection, sae, feature), None)

    def find(self, session: str) -> str:
        """The whole uid of a session, given the whole or the beginning. Raises NotFound."""
        with self.writer.changed:
            if session in self.writer.recordings:
                return session
            found = {uid for uid in self.writer.recordings if uid.startswith(session)}
        found.update(self.read(lambda connection: rows.read_uids(connection, session, 2), []))
        if session in found:
            return session
        if len(found) > 1 and session:
            raise NotFound(f"More than one session begins with {session}.", "Give more of its name.")
        if len(found) != 1 or not session:
            raise not_found(session)
        return found.pop()

    def stored(self, connection: sqlite3.Connection, uid: str, first: int, stop: int | None) -> list[Message]:
        """Messages of a session that this program is not writing."""
        owner = rows.read_owner(connection, uid)
        dead = owner is not None and not self.database.alive(owner)
        return rows.read_messages(connection, uid, first, stop, dead)

    def as_it_is(self, row: SessionSummary) -> SessionSummary:
        """A summary; "running" becomes "interrupted" when the program that was writing the session has died."""
        if row.status != "running":
            return row
        owner = self.read(lambda connection: rows.read_owner(connection, row.uid), None)
        if owner is None:  # it has ended since the row was read, or was found dead
            return self.read(lambda connection: rows.read_summary(connection, row.uid), None) or row
        if self.database.alive(owner):
            return row
        return replace(row, status="interrupted", reason="interrupted")

    def read(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What the database answers, `nothing` where there is none yet. Raises StoreError."""
        if not self.path.exists():
            return nothing
        try:
            with closing(self.database.read()) as connection:
                connection.execute("BEGIN")  # all its queries see the same moment
                if not has_table(connection, "sessions"):
                    return nothing  # the file is being made: its tables come in the next moment
                return question(connection)
        except (sqlite3.Error, ValueError, struct.error) as error:
            raise self.database.explain(error) from error


def not_found(session: str) -> NotFound:
    """No such session, and where to look."""
    return NotFound(f"There is no session {session}.", "`axon-shell sessions list` shows them all.")


def unlabelled(message: Message) -> Message:
    """A message as it is stored: features without label and label state."""
    if message["kind"] != "step":
        return message
    saes = {
        sae: reading | {"features": [{name: feature[name] for name in FEATURE} for feature in reading["features"]]}
        for sae, reading in message["saes"].items()
    }
    return message | {"saes": saes}


FEATURE = ("feature", "activation", "effect")
