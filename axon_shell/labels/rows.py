"""Labels and facts to rows of labels.db and back. Whoever opens the connection decides about transactions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..calibration import Measured
from ..records import Context, FeatureFacts, Label

LABEL = "text, origin, method, explainer, score, score_name, remote_id, fetched_at"
Row = tuple[int, Label]  # a feature and a label of it
BEYOND = 2**31  # no SAE has as many features
AMONG = "feature IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class SetStatus:
    """How much of a label set is here."""

    labelled: int = 0  # features with a published label
    labels: int = 0
    complete: bool = False
    fetched_at: int | None = None  # seconds since 1970
    blocked: str = ""  # why its publisher is not asked at present


@dataclass(frozen=True, slots=True)
class OwnLabel:
    """What the user wrote about a feature; either may be empty."""

    label: str
    note: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """Tokens that a feature's decoder row promotes and suppresses, as this program computed it."""

    tokens: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]
    peak: float  # standard deviations of the strongest above the mean of all
    chance: float  # the peak that one random direction in fifty reaches in this model
    kurtosis: float  # of the weights on all tokens: 3 = a bell curve


@dataclass(frozen=True, slots=True)
class Known:
    """All that the database says about the names of some features."""

    own: dict[int, OwnLabel]
    labels: dict[int, list[Label]]  # published ones, in no order
    negatives: dict[int, str]  # "unlabelled" or "absent", where that still counts
    promoted: dict[int, Promoted]
    complete: bool  # the whole set is here: a feature without a label has none
    measured: dict[int, Measured] | None = None  # by a calibration, without contexts; None: there is none


NOTHING = Known({}, {}, {}, {}, False)


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def as_list(features: Iterable[int]) -> str:
    """Features as SQLite's json_each takes them."""
    return json.dumps(list(features))


def pairs(text: str) -> tuple[tuple[str, float], ...]:
    """Tokens with their weights, from JSON."""
    return tuple((token, weight) for token, weight in json.loads(text))


def label_from(row: Sequence[Any]) -> Label:
    """A label from the columns LABEL."""
    text, origin, method, explainer, score, score_name, remote_id, fetched_at = row
    day = time.strftime("%Y-%m-%d", time.gmtime(fetched_at))
    return Label(text, origin, method, score, score_name, {"fetched": day}, explainer, remote_id)


# -- reading ------------------------------------------------------------------


def read_known(connection: sqlite3.Connection, sae: str, label_set: str, features: Iterable[int]) -> Known:
    """What is known of the names of features of an SAE."""
    wanted = as_list(features)
    row = connection.execute("SELECT id, complete FROM label_sets WHERE name = ?", (label_set,)).fetchone()
    labels: dict[int, list[Label]] = defaultdict(list)
    negatives: dict[int, str] = {}
    if row:
        for feature, *rest in connection.execute(
            f"SELECT feature, {LABEL} FROM labels WHERE set_id = ? AND {AMONG}", (row[0], wanted)
        ):
            labels[feature].append(label_from(rest))
        negatives = dict(
            connection.execute(
                f"SELECT feature, state FROM no_labels WHERE set_id = ? AND expires_at > ? AND {AMONG}",
                (row[0], now(), wanted),
            )
        )
    own = connection.execute(f"SELECT feature, text, note FROM own_labels WHERE sae = ? AND {AMONG}", (sae, wanted))
    promoted = connection.execute(
        f"SELECT feature, tokens, suppressed, peak, chance, kurtosis FROM promoted WHERE sae = ? AND {AMONG}",
        (sae, wanted),
    )
    return Known(
        {feature: OwnLabel(text, note) for feature, text, note in own},
        dict(labels),
        negatives,
        {feature: Promoted(pairs(most), pairs(least), *measures) for feature, most, least, *measures in promoted},
        bool(row and row[1]),
    )


def read_facts(connection: sqlite3.Connection, label_set: str, feature: int) -> tuple[str, FeatureFacts, bool] | None:
    """Who published what about a feature, without its labels; and whether its contexts were asked for."""
    row = connection.execute(
        "SELECT origin, density, max_activation, promoted, suppressed, contexts FROM facts"
        " WHERE set_id = (SELECT id FROM label_sets WHERE name = ?) AND feature = ?",
        (label_set, feature),
    ).fetchone()
    if row is None:
        return None
    origin, density, strongest, promoted, suppressed, contexts = row
    facts = FeatureFacts(
        density=density,
        max_activation=strongest,
        promoted=pairs(promoted),
        suppressed=pairs(suppressed),
        contexts=tuple(
            Context(tuple(one["tokens"]), tuple(one["activations"])) for one in json.loads(contexts or "[]")
        ),
    )
    return origin, facts, contexts is not None


def read_status(connection: sqlite3.Connection, label_set: str) -> SetStatus:
    """How much of a label set is here."""
    row = connection.execute(
        "SELECT id, complete, fetched_at, blocked_until, blocked_why FROM label_sets WHERE name = ?", (label_set,)
    ).fetchone()
    if row is None:
        return SetStatus()
    set_id, complete, fetched_at, blocked_until, why = row
    labelled, labels = connection.execute(  # several files may have brought the same label
        "SELECT count(DISTINCT feature), count(*) FROM"
        " (SELECT DISTINCT feature, origin, method, explainer, text FROM labels WHERE set_id = ?)",
        (set_id,),
    ).fetchone()
    return SetStatus(labelled, labels, bool(complete), fetched_at, why if blocked_until > now() else "")


def read_all_own(connection: sqlite3.Connection, sae: str) -> dict[tuple[str, int], OwnLabel]:
    """All that the user wrote, about one SAE or, for an empty name, any."""
    where, values = ("WHERE sae = ?", (sae,)) if sae else ("", ())
    rows = connection.execute(f"SELECT sae, feature, text, note FROM own_labels {where} ORDER BY sae, feature", values)
    return {(of, feature): OwnLabel(text, note) for of, feature, text, note in rows}


def read_every(connection: sqlite3.Connection, label_set: str) -> list[Row]:
    """All labels of a set, by feature; what several files brought stands once, with its score where one tells it."""
    rows = connection.execute(
        f"SELECT feature, {LABEL} FROM labels WHERE set_id = (SELECT id FROM label_sets WHERE name = ?)"
        " ORDER BY feature, method, explainer, text, origin, score IS NULL, score DESC, score_name,"
        " remote_id = '', remote_id",
        (label_set,),
    )
    found: dict[tuple[Any, ...], Row] = {}
    for feature, *rest in rows:
        label = label_from(rest)
        found.setdefault((feature, label.method, label.explainer, label.text, label.origin), (feature, label))
    return list(found.values())


# -- writing ------------------------------------------------------------------


def set_named(connection: sqlite3.Connection, name: str) -> int:
    """The number of a label set, which is made where there is none."""
    connection.execute("INSERT OR IGNORE INTO label_sets (name) VALUES (?)", (name,))
    (number,) = connection.execute("SELECT id FROM label_sets WHERE name = ?", (name,)).fetchone()
    return int(number)


def insert(connection: sqlite3.Connection, set_id: int, rows: Iterable[Row], file: str, moment: int) -> int:
    """Add labels of a file to a set; one that stands in it twice is added once. Gives how many were added.

    Features that no SAE has are passed over: SQLite could not even hold some.
    """
    return connection.executemany(
        "INSERT OR IGNORE INTO labels (set_id, feature, text, origin, method, explainer, score, score_name, remote_id,"
        " file, fetched_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                *(set_id, feature, one.text, one.origin, one.method, one.explainer, one.score, one.score_name, one.id),
                *(file, moment),
            )
            for feature, one in rows
            if feature < BEYOND
        ),
    ).rowcount


def forget_file(connection: sqlite3.Connection, set_id: int, name: str) -> None:
    """Take away the labels that a file brought."""
    connection.execute("DELETE FROM labels WHERE set_id = ? AND file = ?", (set_id, name))
    connection.execute("DELETE FROM files WHERE set_id = ? AND name = ?", (set_id, name))


def keep_facts(
    connection: sqlite3.Connection,
    set_id: int,
    feature: int,
    origin: str,
    facts: FeatureFacts,
    whole: bool,
    moment: int,
) -> None:
    """Keep what was measured of a feature; contexts that are here stay where the answer was asked for without."""
    contexts = [{"tokens": one.tokens, "activations": one.activations} for one in facts.contexts]
    connection.execute(
        "INSERT INTO facts (set_id, feature, origin, density, max_activation, promoted, suppressed, contexts,"
        " fetched_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (set_id, feature) DO UPDATE SET"
        " origin = excluded.origin, density = excluded.density, max_activation = excluded.max_activation,"
        " promoted = excluded.promoted, suppressed = excluded.suppressed, fetched_at = excluded.fetched_at,"
        " contexts = coalesce(excluded.contexts, contexts)",
        (
            *(set_id, feature, origin, facts.density, facts.max_activation),
            *(
                json.dumps(facts.promoted),
                json.dumps(facts.suppressed),
                json.dumps(contexts) if whole else None,
                moment,
            ),
        ),
    )
