"""Calibrating SAEs on the texts of sessions, or on texts that the page sends: no file is read that the page names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from .. import calibrating
from ..calibration import TOKENS
from ..corpus import Corpus
from ..errors import Busy, NotFound
from ..worker import GOING_ON
from .checks import bounded, require_taken
from .part import Part

SESSIONS, SENT = "the texts of my sessions", "texts of my own"
FILES = {"sessions": SESSIONS, "texts": SENT}
MOST_TOKENS = 100_000_000


class Corpora(Part):
    """What the page asks of calibrations."""

    def calibration(self, sae: str) -> dict[str, Any]:
        """What was measured of an SAE and by whom, what goes on, and what could be gone on with."""
        spec = self.catalogue.sae(sae)
        found, kept, now = self.labels.calibration(spec.id), calibrating.kept(spec.id), self.worker.calibration
        return {
            "sae": spec.id,
            "calibration": found and asdict(found[0]),
            "origin": found and found[1],
            "kept": kept and asdict(kept),
            "now": now if now["sae"] == spec.id else None,
            "busy": now["state"] in GOING_ON,
        }

    def calibrate(
        self, sae: str, source: Literal["sessions", "texts"], texts: list[str] | None = None, tokens: int = TOKENS
    ) -> dict[str, Any]:
        """Calibrate an SAE on the texts of all sessions, or on texts that are sent along."""
        spec = self.catalogue.sae(sae)
        self._require_idle()
        require_taken(texts or (), "calibrate")
        found = self._texts_of_sessions() if source == "sessions" else iter(texts or ())
        path = calibrating.written(spec, FILES[source], found)
        model, _ = self.catalogue.choose(spec.model, [spec.id])
        self.worker.calibrate(model, spec, corpus_of(path), bounded(tokens, 1, MOST_TOKENS), resume=False)
        return {}

    def resume_calibration(self, sae: str) -> dict[str, Any]:
        """Go on with a calibration that the page began and that did not end."""
        spec = self.catalogue.sae(sae)
        self._require_idle()
        kept = calibrating.kept(spec.id)
        path = next((one for one in calibrating.folder_of(spec.id).glob("*.jsonl")), None)
        if not kept or not path:
            raise NotFound(f"There is no calibration of {spec.id} to go on with here.", "Begin a new one.")
        model, _ = self.catalogue.choose(spec.model, [spec.id])
        self.worker.calibrate(model, spec, corpus_of(path), kept.most, resume=True)
        return {}

    def cancel_calibration(self) -> dict[str, Any]:
        """Stop calibrating; what was counted is kept."""
        self.worker.cancel_calibration()
        return {}

    def _require_idle(self) -> None:
        # Before the texts of the one that goes on are written over.
        if self.worker.calibration["state"] in GOING_ON:
            raise Busy("An SAE is being calibrated already.", "Wait until that is done, or cancel it.")

    def _texts_of_sessions(self) -> Iterator[str]:
        before: str | None = None
        while rows := self.store.sessions(before, 200):
            yield from (row.prompt + row.output for row in rows)
            before = rows[-1].uid


def corpus_of(path: Path) -> Corpus:
    """The texts that were written for a calibration, called by what they are."""
    corpus = Corpus(path)
    corpus.name = path.stem
    return corpus
