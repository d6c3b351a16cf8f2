"""Training SAEs of the user's own."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ..errors import Busy, InvalidSetting
from ..plugins import add_trained, require_installed
from ..training import ARCHITECTURES, RANGES, TrainingSettings, name_for, require_free, require_name, written
from .checks import require_taken
from .part import Part


class Training(Part):
    """What the page asks of training."""

    def training_choices(self) -> dict[str, Any]:
        """What can be chosen: architectures with what they are, and settings with their defaults and ranges."""
        return {"architectures": ARCHITECTURES, "settings": asdict(TrainingSettings()), "ranges": RANGES}

    def train_sae(
        self,
        model: str,
        hook: str,
        settings: dict[str, Any],
        texts: list[str] | None = None,
        name: str = "",
        resume: bool = False,
    ) -> dict[str, Any]:
        """Train an SAE on texts that the page sends; "training" events tell how it goes, and its end or failure.

        No file is read that the page names; `resume` goes on with the texts that were sent when it began.
        """
        spec = self.catalogue.model(model)
        require_installed(spec, [])
        known = {field.name for field in fields(TrainingSettings)}
        if unknown := set(settings) - known:
            raise InvalidSetting(f"There is no setting {min(unknown)!r}.", f"Settings: {', '.join(sorted(known))}.")
        name = name or name_for(hook, TrainingSettings(**settings))
        require_name(name)
        options = [f"--{key}={value}" for key, value in settings.items()]
        if self.worker.apart.busy:
            raise Busy("An SAE is being trained already.", "Stop that, or wait until it ends.")
        require_taken(texts or (), "train-sae")
        require_free(spec.id, name, resume)  # before the texts of one that was begun are written over
        options += ["--resume"] if resume else [f"--corpus={written(spec.id, name, texts or [])}"]
        options += [f"--name={name}"]
        sae = f"{spec.id}/{name}"
        self.worker.train(sae, ["train-sae", *options, "--", spec.id, hook], lambda: add_trained(self.catalogue))
        return {"sae": sae}

    def stop_training(self) -> dict[str, Any]:
        """End training at its next step; a checkpoint is kept, from which it can go on."""
        return {"stopping": self.worker.apart.stop()}
