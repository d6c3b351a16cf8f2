"""Finding labels by their words."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..database import as_like, as_match, has_table
from ..records import OWN, Label
from .rows import LABEL, label_from

LOOKED_AT = 2_000  # labels that a search puts in order


@dataclass(frozen=True, slots=True)
class Hit:
    """A label that a search found."""

    place: str  # the label set, or the SAE of a label of the user's own
    feature: int
    label: Label


def search_own(connection: sqlite3.Connection, words: Sequence[str], places: Sequence[str], limit: int) -> list[Hit]:
    """The user's own labels and notes that hold all words; there are few, so all are looked at."""
    where = "WHERE sae IN (SELECT value FROM json_each(?))" if places else ""
    rows = connection.execute(
        f"SELECT sae, feature, text, note FROM own_labels {where} ORDER BY changed_at DESC",
        (json.dumps(list(places)),) if places else (),
    )
    found = []
    for sae, feature, text, note in rows:
        if all(word.casefold() in f"{text} {note}".casefold() for word in words):
            details = {"note": note} if note else {}
            found.append(Hit(sae, feature, Label(text or note, OWN, "written by hand", details=details)))
    return found[:limit]


def search_sets(connection: sqlite3.Connection, words: Sequence[str], places: Sequence[str], limit: int) -> list[Hit]:
    """Published labels that hold all words: those with whole words first, then the shorter ones.

    Of very many, the first found are looked at: ordering all would take longer than typing the next letter. Words
    without a letter or digit are not in the index: they count only where no other is asked for.
    """
    sets = dict(connection.execute("SELECT id, name FROM label_sets"))
    wanted = [number for number, name in sets.items() if not places or name in places]
    if not wanted:
        return []
    indexed = [word for word in words if re.search(r"[^\W_]", word)]
    full_text = bool(indexed) and has_table(connection, "labels_fts")
    if full_text:
        within = f" AND place : ({' OR '.join(f'set{number}' for number in wanted)})" if places else ""
        where = "id IN (SELECT rowid FROM labels_fts WHERE labels_fts MATCH ? LIMIT ?)"
        values: tuple[Any, ...] = (f"text : ({as_match(indexed)}){within}", max(LOOKED_AT, limit))
    else:
        like = " AND ".join("text LIKE ? ESCAPE '!'" for _ in words)
        where = f"set_id IN (SELECT value FROM json_each(?)) AND {like} LIMIT ?"
        values = (json.dumps(wanted), *map(as_like, words), max(LOOKED_AT, limit))
    rows = connection.execute(f"SELECT set_id, feature, {LABEL} FROM labels WHERE {where}", values)
    hits = [Hit(sets[set_id], feature, label_from(rest)) for set_id, feature, *rest in rows]
    if not full_text:  # then also words within others were found
        wanted_words = [*(standing(word) for word in words[:-1]), standing(words[-1], whole=False)]
        hits = [hit for hit in hits if all(word.search(hit.label.text) for word in wanted_words)]
    last = standing(words[-1])
    return sorted(hits, key=lambda hit: (not last.search(hit.label.text), *place_of(hit)))[:limit]


def standing(word: str, whole: bool = True) -> re.Pattern[str]:
    """A word where it stands alone; not `whole`: where it begins one."""
    before = r"(?<![^\W_])" if re.match(r"[^\W_]", word) else ""
    after = r"(?![^\W_])" if whole and re.search(r"[^\W_]\Z", word) else ""
    return re.compile(f"{before}{re.escape(word)}{after}", re.IGNORECASE)


def place_of(hit: Hit) -> tuple[Any, ...]:
    """What hits are sorted by: the short ones first, always in the same order."""
    return len(hit.label.text), hit.feature, hit.label.text, hit.label.method, hit.label.explainer
