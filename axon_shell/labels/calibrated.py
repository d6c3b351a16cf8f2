"""Calibrations in labels.db and in label packs: what was measured of the features of SAEs, here or by somebody else.

A calibration is written whole in one transaction, when it is done: there is never half of one.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..calibration import Calibration, Measured, Token, as_record, as_row, from_record, from_row
from ..database import has_table
from ..errors import LabelFileError
from ..records import Context
from .files import opened
from .rows import AMONG, as_list
from .text import clean_token

HERE, ELSEWHERE = "measured here", "measured elsewhere"  # who measured: this program, or whoever made a pack
CONTEXTS = ("strongest", "random")


def read_calibration(connection: sqlite3.Connection, sae: str) -> tuple[Calibration, str] | None:
    """What was measured of an SAE, on what, and who measured."""
    if not has_table(connection, "calibrations"):  # of an earlier program, and it may only be read
        return None
    row = connection.execute("SELECT about, origin FROM calibrations WHERE sae = ?", (sae,)).fetchone()
    return (from_record(json.loads(row[0])), row[1]) if row else None


def read_measured(
    connection: sqlite3.Connection, sae: str, features: Iterable[int] | None, contexts: bool
) -> dict[int, Measured]:
    """What was measured of some features of an SAE, or of all; their contexts only where asked for."""
    if not has_table(connection, "calibrations"):
        return {}
    which, values = (f"AND {AMONG}", (sae, as_list(features))) if features is not None else ("", (sae,))
    rows = connection.execute(
        f"SELECT data, {'contexts' if contexts else 'NULL'} FROM measured WHERE sae = ? {which} ORDER BY feature",
        values,
    )
    found = {}
    for data, more in rows:
        row = json.loads(data) | (json.loads(zlib.decompress(more)) if more else {})
        found[row["i"]] = from_row(row)
    return found


def read_rates(connection: sqlite3.Connection, sae: str, features: Iterable[int]) -> dict[int, int]:
    """At how many tokens each of these features fired; those that never did are left out."""
    if not has_table(connection, "calibrations"):
        return {}
    return dict(
        connection.execute(f"SELECT feature, fires FROM measured WHERE sae = ? AND {AMONG}", (sae, as_list(features)))
    )


def write_calibration(
    connection: sqlite3.Connection, calibration: Calibration, features: Iterable[Measured], origin: str
) -> None:
    """Put a calibration in the place of the one that is there."""
    sae = calibration.sae
    forget_calibration(connection, sae)
    connection.execute(
        "INSERT INTO calibrations (sae, about, origin) VALUES (?, ?, ?)",
        (sae, json.dumps(as_record(calibration)), origin),
    )
    connection.executemany(
        "INSERT INTO measured (sae, feature, fires, data, contexts) VALUES (?, ?, ?, ?, ?)",
        ((sae, one.feature, one.fires, *packed(one)) for one in features),
    )


def packed(measured: Measured) -> tuple[str, bytes | None]:
    """What was measured of a feature as it is kept: JSON, and its contexts apart, as they are seldom wanted."""
    data = as_row(measured, contexts=False)
    contexts = {name: value for name, value in as_row(measured).items() if name in CONTEXTS}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text, zlib.compress(json.dumps(contexts, separators=(",", ":")).encode()) if contexts else None


def forget_calibration(connection: sqlite3.Connection, sae: str) -> None:
    """Take a calibration away."""
    connection.execute("DELETE FROM measured WHERE sae = ?", (sae,))
    connection.execute("DELETE FROM calibrations WHERE sae = ?", (sae,))


def without_contexts(measured: Measured) -> Measured:
    """What was measured of a feature, without other people's texts."""
    return replace(measured, strongest=(), random=())


# -- in files -----------------------------------------------------------------

MARK = "c"  # in a line of a pack: what was measured of a feature
ROW = re.compile(rb'\{"c":\{"i":(\d+),')


class Brought:
    """The calibration in a label pack that comes with an SAE.

    What was measured of a feature is taken apart when it is asked for: nobody waits for all of it. Raises
    LabelFileError where the pack holds none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as file, self.explained():
            self.about = from_record(json.loads(file.readline())["calibration"])
            self.lines = {int(found[1]): line for line in file if (found := ROW.match(line))}
        self.known: dict[int, Measured] = {}

    def of(self, features: Iterable[int]) -> dict[int, Measured]:
        """What was measured of features; those that never fired are left out."""
        wanted = [feature for feature in features if feature in self.lines]
        with self.explained():
            for feature in wanted:
                if feature not in self.known:
                    self.known[feature] = from_row(json.loads(self.lines[feature])[MARK])
        return {feature: self.known[feature] for feature in wanted}

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Tell what is wrong with the pack as users understand it."""
        try:
            yield
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise LabelFileError(f"{self.path} holds no calibration: {error}.", "Get the file again.") from error


def safe(measured: Measured) -> Measured:
    """What somebody else measured, with tokens that are safe to keep."""
    rule = measured.rule and replace(measured.rule, tokens=cleaned(measured.rule.tokens))
    return replace(
        measured,
        tokens=cleaned(measured.tokens),
        rule=rule,
        strongest=tuple(map(clean_context, measured.strongest)),
        random=tuple(map(clean_context, measured.random)),
    )


def cleaned(tokens: Iterable[Token]) -> tuple[Token, ...]:
    """Tokens with their shares, safe to keep."""
    return tuple((clean_token(token), share) for token, share in tokens)


def clean_context(context: Context) -> Context:
    """A context that is safe to keep."""
    return replace(context, tokens=tuple(map(clean_token, context.tokens)))
