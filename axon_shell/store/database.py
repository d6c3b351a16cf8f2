"""The file sessions.db, and which programs are writing to it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from ..database import DatabaseFile, transaction
from . import rows, schema


class Database(DatabaseFile):
    """Where the sessions lie, and whose are being written."""

    thing = "session database"
    holds = "sessions"
    meanwhile = "What was generated meanwhile"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.absolute() / "sessions.db", schema.SESSIONS)
        self.live = self.path.parent / "live"  # a lock for each program that has the store open
        self.schema_lock = self.live / "schema.lock"
        self.owner = uuid4().hex
        self.asking = threading.Lock()
        self.lock = FileLock(self.live / f"{self.owner}.lock", thread_local=False)

    def try_out(self, connection: sqlite3.Connection) -> None:
        """Read the newest session."""
        rows.read_summaries(connection, None, 1)

    def prepare(self) -> None:
        """Also take the lock that tells other programs that this one is running."""
        self.live.mkdir(parents=True, exist_ok=True)
        if not self.lock.is_locked:
            self.lock.acquire(timeout=0)
        super().prepare()

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
