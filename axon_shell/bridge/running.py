"""Loading models and SAEs, and generating sessions."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

from ..config import Config
from ..errors import InvalidSetting
from ..plugins import listing
from ..records import Settings, require_prompt
from ..store import new_uid
from .checks import bounded
from .part import Part


class Running(Part):
    """What the page asks of the engine."""

    def saes(self, model: str, search: str = "", limit: int = 60) -> dict[str, Any]:
        """SAEs that read a model and match a search, the likeliest first, and how many there are in all."""
        found = self.catalogue.saes_of(self.catalogue.model(model).id, search)
        return {"saes": [listing(sae) for sae in found[: bounded(limit, 1, 500)]], "total": len(found)}

    def load(self, model: str, saes: list[str], download: bool = False) -> dict[str, Any]:
        """Get a model and SAEs ready, fetching what is not here if `download`; progress comes as events."""
        self.worker.load(*self.catalogue.choose(model, saes), download)
        return {}

    def cancel(self) -> dict[str, Any]:
        """Stop loading or downloading."""
        self.worker.cancel()
        return {}

    def run(
        self,
        prompt: str,
        model: str,
        saes: list[str],
        settings: dict[str, Any],
        parent: str | None = None,
        position: int | None = None,
    ) -> dict[str, Any]:
        """Begin a session; its messages come as events. `parent` is the session whose text up to a position it took."""
        require_prompt(prompt)
        chosen = changed_settings(self.bridge.config, settings)
        uid = new_uid()
        before = {"session": self.store.summary(parent).uid, "position": max(position or 0, 0)} if parent else None
        self.worker.run(uid, prompt, *self.catalogue.choose(model, saes), chosen, before)
        return {"session": uid}

    def read(self, prompt: str, model: str, saes: list[str]) -> dict[str, Any]:
        """The messages of a prompt that is only read, while it is typed. Nothing is stored, and a run goes first."""
        require_prompt(prompt)
        settings = replace(self.bridge.config.settings, max_tokens=0)
        return {"messages": self.worker.read(new_uid(), prompt, *self.catalogue.choose(model, saes), settings)}

    def stop(self) -> dict[str, Any]:
        """End the session that is being generated."""
        return {"stopping": self.worker.stop()}


def changed_settings(config: Config, changed: dict[str, Any]) -> Settings:
    """The settings in force with some changed. Raises InvalidSetting."""
    known = {f.name for f in fields(Settings)}
    if unknown := set(changed) - known:
        raise InvalidSetting(f"There is no setting {min(unknown)!r}.", f"Settings: {', '.join(sorted(known))}.")
    return Settings(**(asdict(config.settings) | changed))
