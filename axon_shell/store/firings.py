"""Where features fired: for each feature the sessions, strongest first. Derived from what the sessions hold."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ..database import has_table
from .packing import unpack_readings

STRONGEST = 512  # features of each SAE in each session: all of them would take four times the room

Place = tuple[float, int, int]  # largest activation, its position, at how many positions the feature fired
NOWHERE: Place = (0.0, 0, 0)
# The joins also leave out what a deleted session has left behind.
FIRED = (
    "FROM firings JOIN sessions ON sessions.id = firings.session_id"
    " JOIN tokens ON tokens.session_id = firings.session_id AND tokens.position = firings.position"
    " WHERE sae_id = (SELECT id FROM saes WHERE name = ?) AND feature = ? AND deleted_at IS NULL"
)
STRONGEST_FIRST = "ORDER BY max DESC, firings.session_id DESC LIMIT ?"
STEERED = "instr(start_message, '\"edits\": [') > 0"  # within the texts of this JSON, quotes have a backslash
NOT_STEERED = f"AND NOT {STEERED}"  # there, features fire because they were made to


@dataclass(frozen=True, slots=True)
class Firing:
    """A session in which a feature fired."""

    session: str  # uid
    title: str
    activation: float  # the largest one
    count: int  # positions at which it fired
    position: int  # of the largest activation, the first of several
    piece: str  # the token there


# -- writing ------------------------------------------------------------------


def write_firings(connection: sqlite3.Connection, session: int) -> None:
    """Enter what fired in a session that has ended: of each SAE the `STRONGEST` features, BOS left out."""
    found: dict[int, dict[int, Place]] = {}  # of each SAE, by feature
    try:
        bos = bos_positions(connection, session)
        blobs = connection.execute("SELECT sae_id, data FROM activations WHERE session_id = ?", (session,))
        for sae, data in blobs.fetchall():
            collect(found.setdefault(sae, {}), data, bos)
    except sqlite3.OperationalError:  # locked, or the disk is full
        raise
    except Exception:
        # A damaged session, whatever that leads to: whoever reads it is told. Left open, it would be tried for ever.
        found.clear()
    rows = [
        (sae, feature, activation, session, count, position)
        for sae, places in found.items()
        for feature, (activation, position, count) in strongest(places)
    ]
    rows.sort()  # in the order of the table: neighbours share a page
    connection.executemany(
        "INSERT OR REPLACE INTO firings (sae_id, feature, max, session_id, count, position) VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.execute("UPDATE sessions SET in_firings = 1 WHERE id = ?", (session,))


def bos_positions(connection: sqlite3.Connection, session: int) -> set[int]:
    """Positions of a session at which BOS is."""
    rests = connection.execute(
        "SELECT position, rest FROM tokens WHERE session_id = ? AND rest IS NOT NULL", (session,)
    )
    return {position for position, rest in rests if json.loads(rest).get("is_bos")}


def collect(places: dict[int, Place], data: bytes, bos: set[int]) -> None:
    """Add what packed readings of an SAE say to what was found before."""
    for position, reading in unpack_readings(data, 0, 2**32):
        if position in bos:
            continue
        for feature in reading["features"]:
            activation = feature["activation"]
            if not activation > 0:  # not a number, either: SQLite has none
                continue
            before, where, count = places.get(feature["feature"], NOWHERE)
            if activation > before:
                before, where = activation, position
            places[feature["feature"]] = before, where, count + 1


def strongest(places: dict[int, Place]) -> list[tuple[int, Place]]:
    """The `STRONGEST` features with the largest activations, of equals those with the smaller number."""
    return sorted(places.items(), key=lambda item: (-item[1][0], item[0]))[:STRONGEST]


def next_without(connection: sqlite3.Connection) -> int | None:
    """The newest session that has ended and whose firings are not entered yet."""
    row = connection.execute(
        "SELECT id FROM sessions WHERE in_firings = 0 AND status <> 'running' ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return row and row[0]


# -- reading ------------------------------------------------------------------


def there(connection: sqlite3.Connection) -> bool:
    """Whether the database has the table; one of an earlier program that may only be read has not."""
    return has_table(connection, "firings") and has_table(connection, "sessions_deleted")


def read_firings(connection: sqlite3.Connection, sae: str, feature: int, limit: int) -> list[Firing]:
    """Sessions in which a feature fired, strongest first, the newest of equals first."""
    if not there(connection):
        return []
    rows = connection.execute(
        f"SELECT uid, title, max, count, firings.position, piece {FIRED} {STRONGEST_FIRST}",
        (sae, feature, limit),
    )
    return [Firing(*row) for row in rows]


def read_pieces(
    connection: sqlite3.Connection, sae: str, features: Sequence[int], limit: int
) -> dict[int, list[tuple[str, int, float]]]:
    """Per feature the tokens it fires on: (piece, in how many of its `limit` strongest sessions, activation)."""
    if not there(connection):
        return {}
    query = (
        f"SELECT piece, count(*), max(max) FROM (SELECT piece, max {FIRED} {NOT_STEERED} {STRONGEST_FIRST})"
        " GROUP BY piece ORDER BY 2 DESC, 3 DESC, piece"
    )
    found = ((feature, connection.execute(query, (sae, feature, limit)).fetchall()) for feature in features)
    return {feature: pieces for feature, pieces in found if pieces}


def read_largest(connection: sqlite3.Connection, sae: str, feature: int) -> float | None:
    """The largest activation of a feature in sessions that were not steered."""
    if not there(connection):
        return None
    row = connection.execute(f"SELECT max {FIRED} {NOT_STEERED} {STRONGEST_FIRST}", (sae, feature, 1)).fetchone()
    return row and row[0]
