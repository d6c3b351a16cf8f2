"""Tiny World: the built-in model, its SAEs and their measured labels. Works with no download and no network.

The files were made by `recipe.py` and `calibrate.py` in this folder; REPORT.md says what they reach.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from axon_shell import Config, Label, ModelSpec, SaeSpec, WeightsError, hookimpl

HOME = Path(__file__).parent
MODEL = "tiny-world"
FIRST_SAE = "2-res"  # shows countries and capitals before the answer
EXAMPLES = (
    "The capital of France is",
    "In Japan people speak",
    "Once upon a time there was a girl called Lily.",
    "3 + 4 =",
    "The day after Monday is",
    "def add(a, b):",
)
ABOUT = {
    "0-res": "early: the words themselves and the ones just before",
    "2-res": "middle: what the text is about, and what may come next",
    "3-res": "last layer: mostly what comes next",
}


@hookimpl
def register_models(register: Callable[[ModelSpec], None], config: Config) -> None:
    """The model."""
    register(
        ModelSpec(
            id=MODEL,
            name="Tiny World",
            family="gpt2",
            weights=HOME / "model",
            context=512,
            size_bytes=size(HOME / "model" / "model.safetensors"),
            parameters=size(HOME / "model" / "model.safetensors") // 2,  # stored in half precision
            hook=f"blocks.{FIRST_SAE.split('-')[0]}.hook_resid_post",
            sae=f"{MODEL}/{FIRST_SAE}",
            examples=EXAMPLES,
            about="Countries, sums, the calendar, animals, small stories and code. Trained from scratch; always there.",
            recording=HOME / "first-look.axon",
        )
    )


@hookimpl
def register_saes(register: Callable[[SaeSpec], None], config: Config) -> None:
    """One SAE for each layer."""
    for source, about in ABOUT.items():
        folder = HOME / "saes" / source
        register(
            SaeSpec(
                id=f"{MODEL}/{source}",
                model=MODEL,
                hook=f"blocks.{source.split('-')[0]}.hook_resid_post",
                width=1280,
                weights=folder,
                size_bytes=size(folder / "sae_weights.safetensors"),
                about=about,
            )
        )


@hookimpl
def register_label_sources(register: Callable[[MeasuredLabels], None], config: Config) -> None:
    """The measured labels, and what calibrating gave."""
    register(MeasuredLabels(HOME / "labels", HOME / "calibrations"))


class MeasuredLabels:
    """Labels that the recipe measured on held-out text, read from one JSON file per SAE when first asked for."""

    name = MODEL

    def __init__(self, folder: Path, calibrations: Path) -> None:
        self.folder, self.calibrations = folder, calibrations
        self.read = cache(self._read)

    def has(self, sae: str) -> bool:
        """Whether there is a label file for this SAE."""
        return self._path(sae) is not None

    def labels(self, sae: str, features: Iterable[int]) -> dict[int, Label]:
        """The labels of these features; those that match no concept are left out."""
        known = self.read(sae)
        return {
            feature: Label(
                text=found["text"],
                origin=MODEL,
                method="measured on held-out text",
                score=found["f1"],
                score_name="F1",
                details={"precision": found["precision"], "recall": found["recall"], "kind": found["kind"]},
            )
            for feature in features
            if feature in known and (found := known[feature]["label"])
        }

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        """How often the feature fires on held-out text, and how strongly at most."""
        record = self.read(sae).get(feature, {})
        return {name: record[name] for name in ("density", "max_activation") if name in record}

    def calibration(self, sae: str) -> Path | None:
        """What `calibrate.py` in this folder measured."""
        model, _, source = sae.partition("/")
        path = self.calibrations / f"{source}.labels.jsonl.xz"
        return path if model == MODEL and source in ABOUT and path.is_file() else None

    def _path(self, sae: str) -> Path | None:
        model, _, source = sae.partition("/")
        path = self.folder / f"{source}.json"
        return path if model == MODEL and source in ABOUT and path.is_file() else None

    def _read(self, sae: str) -> dict[int, dict[str, Any]]:
        path = self._path(sae)
        if path is None:
            return {}
        try:
            return {record["feature"]: record for record in json.loads(path.read_text(encoding="utf-8"))["features"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"The labels in {path.name} cannot be read: {error}.",
                "Restore the file from the package or run recipe.py.",
            ) from error


def size(path: Path) -> int:
    """Bytes of a file; 0 where it is missing, so that the catalogue can still say so."""
    return path.stat().st_size if path.is_file() else 0
