"""labels.db: published labels and facts of features, negative answers that expire, and the user's own labels.

Everything but the user's own can be had again. Reading opens a connection for each question, writing goes through one
connection that is opened when it is first needed; other programs may have the file open at the same time.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..calibration import Calibration, Measured
from ..database import MOST_WORDS, DatabaseFile, damaged, has_table, transaction
from ..errors import StoreError
from ..records import FeatureFacts, LabelFile, Problem
from .calibrated import forget_calibration, read_calibration, read_measured, read_rates, write_calibration
from .rows import (
    NOTHING,
    Known,
    OwnLabel,
    Promoted,
    Row,
    SetStatus,
    forget_file,
    insert,
    keep_facts,
    now,
    read_all_own,
    read_every,
    read_facts,
    read_known,
    read_status,
    set_named,
)
from .schema import LABELS
from .search import Hit, search_own, search_sets
from .text import clean

T = TypeVar("T")
DAY = 24 * 3600
UNLABELLED_FOR, ABSENT_FOR, BLOCKED_FOR = 30 * DAY, 7 * DAY, DAY  # seconds that a negative answer counts
BROUGHT = ":"  # in the names of what a pack or a session brought, "pack:…": no publisher lists those
OTHER_PROGRAMS = 1.0  # seconds until what another program wrote is noticed at the latest


class LabelDatabase(DatabaseFile):
    """Where the labels lie."""

    thing = "label database"
    holds = "labels"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.absolute() / "labels.db", LABELS)

    def try_out(self, connection: sqlite3.Connection) -> None:
        """Read a label of each kind."""
        connection.execute("SELECT * FROM labels LIMIT 1").fetchall()
        connection.execute("SELECT * FROM own_labels LIMIT 1").fetchall()


class LabelStore:
    """The labels in `folder`/labels.db. Safe to use from any number of threads."""

    def __init__(self, folder: Path) -> None:
        self.database = LabelDatabase(folder)
        self.path = self.database.path
        self.problem: Problem | None = None  # what opening the database brought to light
        self.writing = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.lock = threading.Lock()
        self.readers: list[tuple[int, sqlite3.Connection]] = []  # at rest, with the number of the file that they read
        self.looked_at = 0.0
        self.seen: tuple[int, ...] = ()
        try:
            self.connection, self.problem = self.database.open_existing()
        except StoreError as error:
            self.problem = Problem(self.path.name, error.message, error.hint)

    def close(self) -> None:
        """Let go of the database."""
        with self.writing:
            if self.connection:
                self.connection.close()
                self.connection = None
        with self.lock:
            while self.readers:
                self.readers.pop()[1].close()

    def changed_elsewhere(self) -> bool:
        """Whether the file has changed since this was last asked, by whomever; looked at once a second at most."""
        now = time.monotonic()
        if now < self.looked_at + OTHER_PROGRAMS:
            return False
        self.looked_at = now
        before, self.seen = self.seen, self.fingerprint()
        return before != self.seen

    def fingerprint(self) -> tuple[int, ...]:
        """What changes when the file does."""
        found: list[int] = []
        for suffix in ("", "-wal"):
            with suppress(OSError):
                state = self.path.with_name(self.path.name + suffix).stat()
                found += [state.st_mtime_ns, state.st_size, state.st_ino]
        return tuple(found)

    # -- reading --------------------------------------------------------------

    def read(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What the database answers; `nothing` where there is none yet. Raises StoreError."""
        try:
            file = self.path.stat().st_ino
        except OSError:
            return nothing
        try:
            connection = self.reader(file)
            try:
                connection.execute("BEGIN")  # all its queries see the same moment
                # Without its tables the file is being made.
                answer = question(connection) if has_table(connection, "label_sets") else nothing
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, ValueError) as error:
            raise self.database.explain(error) from error
        with self.lock:
            self.readers.append((file, connection))
        return answer

    def reader(self, file: int) -> sqlite3.Connection:
        """A connection that reads this file: one that was used before, as opening takes longer than most questions."""
        with self.lock:
            while self.readers:
                of, connection = self.readers.pop()
                if of == file:
                    return connection
                connection.close()
        return self.database.read()

    def known(self, sae: str, label_set: str, features: Iterable[int]) -> Known:
        """What is known of the names of features of an SAE."""
        wanted = list(features)

        def ask(connection: sqlite3.Connection) -> Known:
            known = read_known(connection, sae, label_set, wanted)
            there = read_calibration(connection, sae) is not None
            return replace(known, measured=read_measured(connection, sae, wanted, False)) if there else known

        return self.read(ask, NOTHING)

    def calibration(self, sae: str) -> tuple[Calibration, str] | None:
        """What was measured of an SAE, on what, and who measured."""
        return self.read(lambda connection: read_calibration(connection, sae), None)

    def measured(self, sae: str, features: Iterable[int] | None = None, contexts: bool = True) -> dict[int, Measured]:
        """What was measured of some features of an SAE, or of all."""
        wanted = None if features is None else list(features)
        return self.read(lambda connection: read_measured(connection, sae, wanted, contexts), {})

    def rates(self, sae: str, features: Iterable[int]) -> tuple[int, dict[int, int]] | None:
        """How many tokens were read, and at how many of them each of these features fired; those that did at none are
        left out.
        """
        wanted = list(features)

        def ask(connection: sqlite3.Connection) -> tuple[int, dict[int, int]] | None:
            found = read_calibration(connection, sae)
            return (found[0].tokens, read_rates(connection, sae, wanted)) if found else None

        return self.read(ask, None)

    def all_own(self, sae: str = "") -> dict[tuple[str, int], OwnLabel]:
        """All that the user wrote, about one SAE or any."""
        return self.read(lambda connection: read_all_own(connection, sae), {})

    def facts(self, label_set: str, feature: int) -> tuple[str, FeatureFacts, bool] | None:
        """Who published what about a feature, without its labels; and whether its contexts were asked for."""
        return self.read(lambda connection: read_facts(connection, label_set, feature), None)

    def status(self, label_set: str) -> SetStatus:
        """How much of a label set is here."""
        return self.read(lambda connection: read_status(connection, label_set), SetStatus())

    def every(self, label_set: str) -> list[Row]:
        """All labels of a set, by feature."""
        return self.read(lambda connection: read_every(connection, label_set), [])

    def blocked(self, label_set: str) -> str:
        """Why a set's publisher is not asked for it at present; empty where it is."""
        row = self.read(
            lambda connection: connection.execute(
                "SELECT blocked_why FROM label_sets WHERE name = ? AND blocked_until > ?", (label_set, now())
            ).fetchone(),
            None,
        )
        return row[0] if row else ""

    def sets(self) -> list[str]:
        """Names of the sets with labels here."""
        query = "SELECT name FROM label_sets WHERE EXISTS (SELECT 1 FROM labels WHERE set_id = label_sets.id)"
        return self.read(lambda connection: [name for (name,) in connection.execute(query)], [])

    def counted(self, sae: str) -> tuple[int, int]:
        """How many features of an SAE the user wrote about, and of how many the promoted tokens are known."""
        query = (
            "SELECT (SELECT count(*) FROM own_labels WHERE sae = ?1), (SELECT count(*) FROM promoted WHERE sae = ?1)"
        )
        own, promoted = self.read(lambda connection: connection.execute(query, (sae,)).fetchone(), (0, 0))
        return own, promoted

    def files(self, label_set: str) -> dict[str, tuple[str, int]]:
        """Files of a set whose labels are here: their ETag and size when they were fetched."""
        query = "SELECT name, etag, size FROM files WHERE set_id = (SELECT id FROM label_sets WHERE name = ?)"
        return self.read(
            lambda connection: {name: (etag, size) for name, etag, size in connection.execute(query, (label_set,))}, {}
        )

    def search(self, text: str, places: Sequence[str] = (), limit: int = 50) -> list[Hit]:
        """Labels in which every word of a text stands, the last one as the beginning of a word; the user's own first.

        `places` are names of label sets and of SAEs to search; empty: all.
        """
        words = clean(text).split()[:MOST_WORDS]  # as labels are kept

        def ask(connection: sqlite3.Connection) -> list[Hit]:
            return [*search_own(connection, words, places, limit), *search_sets(connection, words, places, limit)][
                :limit
            ]

        return self.read(ask, []) if words else []

    # -- writing --------------------------------------------------------------

    @contextmanager
    def writes(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is written wholly or not at all. Raises StoreError."""
        with self.writing:
            try:
                if self.connection is None:
                    self.connection, self.problem = self.database.open()
                with transaction(self.connection):
                    yield self.connection
            except (sqlite3.Error, OSError) as error:
                if self.connection and damaged(error):  # the next one opens the file anew, which sets it aside
                    self.connection.close()
                    self.connection = None
                raise self.database.explain(error) from error

    def keep(self, label_set: str, origin: str, found: Mapping[int, FeatureFacts | None], whole: bool = False) -> None:
        """Keep what a publisher answered about features; None: it does not know the feature.

        `whole`: the answer was asked for with its contexts. A negative answer never takes a label away.
        """
        moment = now()
        with self.writes() as connection:
            set_id = set_named(connection, label_set)
            for feature, facts in found.items():
                if facts is None or not facts.labels:
                    state, seconds = ("absent", ABSENT_FOR) if facts is None else ("unlabelled", UNLABELLED_FOR)
                    connection.execute(
                        "INSERT OR REPLACE INTO no_labels (set_id, feature, state, expires_at) VALUES (?, ?, ?, ?)",
                        (set_id, feature, state, moment + seconds),
                    )
                else:
                    connection.execute("DELETE FROM no_labels WHERE set_id = ? AND feature = ?", (set_id, feature))
                    connection.execute(
                        "DELETE FROM labels WHERE set_id = ? AND feature = ? AND origin = ? AND file = ''",
                        (set_id, feature, origin),
                    )
                    insert(connection, set_id, ((feature, label) for label in facts.labels), "", moment)
                if facts is not None:
                    keep_facts(connection, set_id, feature, origin, facts, whole, moment)

    def replace_files(
        self,
        label_set: str,
        files: Sequence[tuple[LabelFile, Iterable[Row]]],
        listed: Iterable[str] | None = None,
        complete: bool = False,
    ) -> int:
        """Put the labels of files in the place of those that these files brought before, all or nothing.

        `listed` are the names of all files that the publisher has of the set now: labels out of others of its files
        go. `complete`: the set is whole with them. Gives the number of labels.
        """
        moment, count = now(), 0
        with self.writes() as connection:
            set_id = set_named(connection, label_set)
            there = {name for (name,) in connection.execute("SELECT name FROM files WHERE set_id = ?", (set_id,))}
            if listed is not None:
                for name in there - set(listed):
                    if BROUGHT not in name:
                        forget_file(connection, set_id, name)
            for file, rows in files:
                forget_file(connection, set_id, file.name)
                added = insert(connection, set_id, rows, file.name, moment)
                connection.execute(
                    "INSERT INTO files (set_id, name, etag, size, labels, done_at) VALUES (?, ?, ?, ?, ?, ?)",
                    (set_id, file.name, file.etag, file.size, added, moment),
                )
                count += added
            if complete:
                # What was asked for alone is in there, or was taken back. Where it is, it may hold a score, which the
                # files do not.
                connection.execute(
                    "DELETE FROM labels AS alone WHERE set_id = ? AND file = '' AND NOT EXISTS (SELECT 1 FROM labels AS"
                    " other WHERE other.set_id = alone.set_id AND other.feature = alone.feature"
                    " AND other.origin = alone.origin AND other.method = alone.method"
                    " AND other.explainer = alone.explainer AND other.text = alone.text AND other.file <> '')",
                    (set_id,),
                )
                connection.execute("DELETE FROM no_labels WHERE set_id = ?", (set_id,))
                connection.execute(
                    "UPDATE label_sets SET complete = 1, fetched_at = ?, blocked_until = 0 WHERE id = ?",
                    (moment, set_id),
                )
        return count

    def block(self, label_set: str, why: str) -> None:
        """Do not ask for a set for a day."""
        with self.writes() as connection:
            connection.execute(
                "UPDATE label_sets SET blocked_until = ?, blocked_why = ? WHERE id = ?",
                (now() + BLOCKED_FOR, why, set_named(connection, label_set)),
            )

    def put_own(self, sae: str, feature: int, own: OwnLabel) -> None:
        """Keep what the user wrote about a feature; nothing at all takes it away."""
        with self.writes() as connection:
            if own.label or own.note:
                connection.execute(
                    "INSERT OR REPLACE INTO own_labels (sae, feature, text, note, changed_at) VALUES (?, ?, ?, ?, ?)",
                    (sae, feature, own.label, own.note, now()),
                )
            else:
                connection.execute("DELETE FROM own_labels WHERE sae = ? AND feature = ?", (sae, feature))

    def put_calibration(self, calibration: Calibration, features: Iterable[Measured], origin: str) -> None:
        """Keep what was measured, in the place of what was measured of this SAE before."""
        with self.writes() as connection:
            write_calibration(connection, calibration, features, origin)

    def forget_computed(self, sae: str) -> None:
        """Take away what was computed of an SAE in whose place there is another one now; the user's words stay."""
        if self.path.exists():
            with self.writes() as connection:
                forget_calibration(connection, sae)
                connection.execute("DELETE FROM promoted WHERE sae = ?", (sae,))

    def put_promoted(self, sae: str, found: Mapping[int, Promoted]) -> None:
        """Keep the tokens that features promote."""
        with self.writes() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO promoted (sae, feature, tokens, suppressed, peak, chance, kurtosis)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(sae, feature, json.dumps(one.tokens), json.dumps(one.suppressed)),
                        *(one.peak, one.chance, one.kurtosis),
                    )
                    for feature, one in found.items()
                ],
            )
