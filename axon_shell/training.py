"""SAEs of the user's own: what is to be trained, and where those in training and those that are done lie."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import homes
from .config import SaeEntry
from .corpus import cut_up, write_texts
from .errors import InvalidSetting, TrainingError

ARCHITECTURES = {
    "batchtopk": "the strongest activations of a whole batch fire, so that a token may have more or fewer features",
    "topk": "at every token the same number of features fires",
    "jumprelu": "each feature has a threshold of its own, which is trained too",
    "standard": "ReLU and a penalty on the sum of activations (L1)",
    "matryoshka": "BatchTopK in which the first features alone must do as well as they can: general ones come first",
}
PART = 2_000  # characters of a document, at most
FACTS = "training.json"  # beside the weights: on what and how an SAE was trained, and how good it is
RANGES: Mapping[str, tuple[float, float]] = {
    "width": (0, 1 << 20),
    "l0": (1, 4096),
    "tokens": (10_000, 10**12),
    "lr": (0, 1),
    "seed": (0, 2**63 - 1),
}


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How an SAE is trained. Raises InvalidSetting."""

    architecture: str = "batchtopk"
    width: int = 0  # features; 0: eight for each entry of the vectors
    l0: int = 32  # features that are to fire at a token
    tokens: int = 2_000_000
    lr: float = 0.0  # learning rate; 0: by width
    seed: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise InvalidSetting(
                f"There is no architecture {self.architecture!r}.", f"There are {', '.join(ARCHITECTURES)}."
            )
        for name, (low, high) in RANGES.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise InvalidSetting(f"{name} must be from {low:,} to {high:,}, not {value:,}.", f"Change {name}.")
        if self.width and self.l0 >= self.width:
            raise InvalidSetting(
                f"Of {self.width:,} features {self.l0:,} cannot fire at every token.", "Take more features or less l0."
            )


def name_for(hook: str, settings: TrainingSettings) -> str:
    """What an SAE is called where its owner gives it no name: 2-resid_post-batchtopk."""
    place = re.sub(r"^blocks\.", "", hook).replace(".hook_", "-").replace("hook_", "").replace(".", "-")
    return f"{place}-{settings.architecture}"


def require_name(name: str) -> None:
    """Raise InvalidSetting unless a folder can be called so on every system."""
    if not re.fullmatch(r"[A-Za-z0-9_][\w.+-]{0,99}", name, re.ASCII) or name.endswith("."):
        raise InvalidSetting(f"{name!r} cannot be the name of an SAE.", "Use letters, digits, - and _: my-first-sae.")


def done(model: str, name: str) -> Path:
    """The folder of a trained SAE, in SAELens's format."""
    return homes.data() / "saes" / model / name


def unfinished(model: str, name: str) -> Path:
    """The folder of an SAE in training: its checkpoint."""
    return homes.data() / "training" / model / name


def require_free(model: str, name: str, resume: bool, force: bool = False) -> None:
    """Raise TrainingError where an SAE or a checkpoint of this name is not to be replaced; `force` removes them."""
    if resume:
        return
    for folder, what, hint in (
        (done(model, name), "is trained already", ""),
        (unfinished(model, name), "was begun already", " --resume goes on with it,"),
    ):
        if force:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir() and any(folder.iterdir()):
            raise TrainingError(f"{model}/{name} {what}.", f"Choose another --name;{hint} --force begins anew.")


def written(model: str, name: str, texts: Iterable[str]) -> Path:
    """Texts that lie in no file as one, where the training of an SAE can go on with them. Raises StoreError.

    They are cut into documents: some of these are kept apart to measure with.
    """
    path = unfinished(model, f"{name}.jsonl")  # beside the checkpoint
    write_texts(path, (part for text in texts for part in cut_up(text, PART)))
    return path


def trained() -> Iterator[SaeEntry]:
    """All trained SAEs in the data folder."""
    for file in sorted((homes.data() / "saes").glob("*/*/cfg.json")):
        folder = file.parent
        if folder.name.startswith("."):  # it was not finished
            continue
        yield SaeEntry(f"{folder.parent.name}/{folder.name}", folder=str(folder), about=about(folder))


def about(folder: Path) -> str:
    """A sentence about a trained SAE."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
        settings, quality = facts["settings"], facts["quality"]
        return (
            f"Trained here on {Path(facts['corpus']['path']).name}: {settings['architecture']}, "
            f"{facts['tokens']:,} tokens, {quality['unexplained']:.1%} unexplained, L0 {quality['l0']:.0f}"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "Trained here."
