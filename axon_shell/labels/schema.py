"""The tables of labels.db, as migrations: append a function to LABELS, never change one that was released.

All but `own_labels` can be had again; that one is the user's. Calibrations take an hour to make anew, no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..database import STRICT, WITHOUT_ROWID, Schema, has_full_text

if TYPE_CHECKING:
    from sqlite_utils import Database


def m001_labels(db: Database) -> None:
    """Label sets, labels with a full-text index, negative answers, the user's own labels, facts of features."""
    for statement in (
        # A set is named as its publisher names it ("gpt2-small/8-res-jb"), or as the SAE where nobody publishes one.
        f"""CREATE TABLE label_sets (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            complete INTEGER NOT NULL DEFAULT 0,    -- all that is published is here: what is not has no label
            fetched_at INTEGER,                     -- seconds since 1970, when it was made complete
            blocked_until INTEGER NOT NULL DEFAULT 0,
            blocked_why TEXT NOT NULL DEFAULT ''    -- why its publisher is not asked until then
        ) {STRICT}""",
        f"""CREATE TABLE labels (
            id INTEGER PRIMARY KEY,
            set_id INTEGER NOT NULL REFERENCES label_sets (id) ON DELETE CASCADE,
            feature INTEGER NOT NULL,
            text TEXT NOT NULL CHECK (length(text) BETWEEN 1 AND 4096),
            origin TEXT NOT NULL,                   -- who says so: "neuronpedia"
            method TEXT NOT NULL DEFAULT '',        -- how it was found: "oai_token-act-pair"
            explainer TEXT NOT NULL DEFAULT '',     -- the model that wrote it: "gpt-4o-mini"
            score REAL,
            score_name TEXT NOT NULL DEFAULT '',
            remote_id TEXT NOT NULL DEFAULT '',     -- its id at its publisher
            file TEXT NOT NULL DEFAULT '',          -- of the set, or the pack, that brought it; '': asked for
            fetched_at INTEGER NOT NULL,
            UNIQUE (set_id, feature, origin, method, explainer, text, file)
        ) {STRICT}""",
        "CREATE INDEX labels_of_file ON labels (set_id, file)",
        # Files whose labels are here, and what they were like: only what has changed since is fetched again.
        f"""CREATE TABLE files (
            set_id INTEGER NOT NULL REFERENCES label_sets (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            etag TEXT NOT NULL,
            size INTEGER NOT NULL,
            labels INTEGER NOT NULL,
            done_at INTEGER NOT NULL,
            PRIMARY KEY (set_id, name)
        ) {WITHOUT_ROWID}""",
        # Negative answers only, never failures.
        f"""CREATE TABLE no_labels (
            set_id INTEGER NOT NULL REFERENCES label_sets (id) ON DELETE CASCADE,
            feature INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('unlabelled', 'absent')),
            expires_at INTEGER NOT NULL,
            PRIMARY KEY (set_id, feature)
        ) {WITHOUT_ROWID}""",
        f"""CREATE TABLE facts (
            set_id INTEGER NOT NULL REFERENCES label_sets (id) ON DELETE CASCADE,
            feature INTEGER NOT NULL,
            origin TEXT NOT NULL,
            density REAL,
            max_activation REAL,
            promoted TEXT NOT NULL,                 -- JSON: [[token, weight], ...]
            suppressed TEXT NOT NULL,
            contexts TEXT,                          -- JSON: [{{tokens, activations}}, ...]; null: not asked for yet
            fetched_at INTEGER NOT NULL,
            PRIMARY KEY (set_id, feature)
        ) {WITHOUT_ROWID}""",
        # By SAE and not by label set: the user's words belong to what the user sees.
        f"""CREATE TABLE own_labels (
            sae TEXT NOT NULL,
            feature INTEGER NOT NULL,
            text TEXT NOT NULL,
            note TEXT NOT NULL,
            changed_at INTEGER NOT NULL,
            PRIMARY KEY (sae, feature)
        ) {WITHOUT_ROWID}""",
        # What this program computed: by SAE too, as another model makes other tokens of the same SAE.
        f"""CREATE TABLE promoted (
            sae TEXT NOT NULL,
            feature INTEGER NOT NULL,
            tokens TEXT NOT NULL,                   -- JSON: [[token, weight], ...], strongest first
            suppressed TEXT NOT NULL,
            peak REAL NOT NULL,                     -- standard deviations of the strongest above the mean of all
            chance REAL NOT NULL,                   -- the peak that one random direction in fifty reaches
            kurtosis REAL NOT NULL,
            PRIMARY KEY (sae, feature)
        ) {WITHOUT_ROWID}""",
    ):
        db.conn.execute(statement)
    if has_full_text(db.conn):
        for statement in (
            # The set stands in the index as a word, or a common word would be looked up in all sets.
            "CREATE VIEW labels_to_index AS SELECT id, text, 'set' || set_id AS place FROM labels",
            "CREATE VIRTUAL TABLE labels_fts USING fts5 (text, place, content = 'labels_to_index',"
            " content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')",
            "CREATE TRIGGER labels_added AFTER INSERT ON labels BEGIN"
            " INSERT INTO labels_fts (rowid, text, place) VALUES (new.id, new.text, 'set' || new.set_id); END",
            "CREATE TRIGGER labels_removed AFTER DELETE ON labels BEGIN"
            " INSERT INTO labels_fts (labels_fts, rowid, text, place)"
            " VALUES ('delete', old.id, old.text, 'set' || old.set_id); END",
        ):
            db.conn.execute(statement)


def m002_calibrations(db: Database) -> None:
    """What was measured of the features of an SAE on a corpus. By SAE, as own labels: no publisher is involved."""
    for statement in (
        f"""CREATE TABLE calibrations (
            sae TEXT PRIMARY KEY,
            about TEXT NOT NULL,                    -- JSON: on what, when, how much of it
            origin TEXT NOT NULL                    -- who measured
        ) {WITHOUT_ROWID}""",
        f"""CREATE TABLE measured (
            sae TEXT NOT NULL,
            feature INTEGER NOT NULL,
            fires INTEGER NOT NULL,                 -- tokens at which it fires
            data TEXT NOT NULL,                     -- JSON: strength, tokens, rule, partners
            contexts BLOB,                          -- JSON, zlib: where it fires most, and anywhere
            PRIMARY KEY (sae, feature)
        ) {STRICT}""",
    ):
        db.conn.execute(statement)


LABELS = Schema("labels", [m001_labels, m002_calibrations])
