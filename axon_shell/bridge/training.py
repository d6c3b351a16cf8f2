"""Training SAEs of the user's own."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ..errors import InvalidSetting
from ..plugins import add_trained, require_installed
from ..training import ARCHITECTURES, RANGES, TrainingSettings, name_for, require_name
from .part import Part


class Training(Part):
    """What the page asks of training."""

    def training_choices(self) -> dict[str, Any]:
        """What can be chosen: architectures with what they are, and settings with their defaults and ranges."""
        return {"architectures": ARCHITECTURES, "settings": asdict(TrainingSettings()), "ranges": RANGES}

    def train_sae(
        self, model: str, hook: str, corpus: str, settings: dict[str, Any], name: str = "", resume: bool = False
    ) -> dict[str, Any]:
        """Train an SAE on a file or folder of text; "training" events tell how it goes, and its end or failure."""
        spec = self.catalogue.model(model)
        require_installed(spec, [])
        known = {field.name for field in fields(TrainingSettings)}
        if unknown := set(settings) - known:
            raise InvalidSetting(f"There is no setting {min(unknown)!r}.", f"Settings: {', '.join(sorted(known))}.")
        name = name or name_for(hook, TrainingSettings(**settings))
        require_name(name)
        options = [f"--{key}={value}" for key, value in settings.items()]
        options += [f"--corpus={corpus}", f"--name={name}", *(["--resume"] if resume else [])]
        sae = f"{spec.id}/{name}"
        self.worker.train(sae, ["train-sae", *options, "--", spec.id, hook], lambda: add_trained(self.catalogue))
        return {"sae": sae}

    def stop_training(self) -> dict[str, Any]:
        """End training at its next step; a checkpoint is kept, from which it can go on."""
        return {"stopping": self.worker.apart.stop()}
