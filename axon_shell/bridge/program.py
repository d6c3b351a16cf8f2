"""The program itself: what it offers, events, choices that stay, links."""

from __future__ import annotations

import logging
import webbrowser
from collections import Counter
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

from .. import __version__, homes, hub
from ..config import Start, config_path, write_config
from ..crashes import newest
from ..errors import Refused
from ..plugins import installed_among, listing
from ..records import SETTING_RANGES, Settings
from ..sessions import AXON
from .checks import bounded
from .part import Part
from .running import changed_settings

FAULTS, LONGEST_FAULT = 20, 4000  # of the page that are logged, and how many characters of each
LINKS = ("https://www.neuronpedia.org/", "https://neuronpedia.org/", "https://huggingface.co/", "https://github.com/")
log = logging.getLogger(__name__)


class Program(Part):
    """What the page asks of the program as a whole."""

    faults = 0

    def hello(self) -> dict[str, Any]:
        """Everything that the page needs to draw itself first."""
        last = self.events.last  # read first: what happens meanwhile is told again, not lost
        config, models, catalogue = self.bridge.config, self.catalogue.models, self.catalogue
        model = models.get(config.start.model) or next(iter(models.values()), None)
        saes = [name for name in config.start.saes if name in catalogue.saes]
        firsts = [catalogue.saes[one.sae] for one in models.values() if one.sae in catalogue.saes]
        known = {sae.id: sae for sae in (*firsts, *installed_among(catalogue.saes.values()))}
        counts = Counter(sae.model for sae in catalogue.saes.values())
        return {
            "version": __version__,
            "offline": config.offline,
            "models": [listing(spec) | {"saes": counts[spec.id]} for spec in catalogue.models.values()],
            "saes": [listing(spec) for spec in known.values()],
            "settings": asdict(config.settings),
            "defaults": asdict(Settings()),
            "ranges": SETTING_RANGES,
            "selected": {"model": model and model.id, "saes": saes or ([model.sae] if model and model.sae else [])},
            "problems": [asdict(problem) for problem in (*catalogue.problems, *self.worker.annotate.problems())],
            "analysers": {
                one.name: {"about": one.about, "high": one.high, "unit": one.unit}
                for one in catalogue.analysers.values()
            },
            "formats": [{"name": AXON, "about": "everything, to open on another machine"}]
            + [{"name": one.name, "about": one.about} for one in catalogue.exporters.values()],
            "remembered": self.remembered.values,
            "crash": self._crash(),
            "engine": {"kind": "engine"} | asdict(self.worker.engine),
            "live": self.worker.live,
            "training": self.worker.training,
            "open": self.bridge.wanted,
            "first": self.bridge.recording() is not None,
            "last_event": last,
            "store": self._store_state(),
            "folders": {
                "config": str(config_path()),
                "models": str(hub.cache()),
                "downloads": str(homes.downloads()),
            },
        }

    def _store_state(self) -> dict[str, Any]:
        problem = self.store.failure or self.store.problem
        message = f"{problem.message} {problem.hint}".strip() if problem else None
        return {"path": str(self.store.path), "read_only": self.store.read_only, "message": message}

    def _crash(self) -> dict[str, Any] | None:
        report = newest(homes.crashes(), str(self.remembered.values.get("crash_seen", "")))
        return asdict(report) if report else None

    def next_events(self, after: int, max: int = 256, wait: float = 10) -> dict[str, Any]:
        """The events after a number; waits for the first of them."""
        return self.events.after(after, bounded(max, 1, 1024), min(wait, 30))

    def keep(
        self, model: str | None = None, saes: list[str] | None = None, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Put what was chosen on the page into config.toml: for the next start, and for the terminal."""
        changes: dict[str, dict[str, Any]] = {}
        config = self.bridge.config
        if model is not None:
            spec, chosen = self.catalogue.choose(model, saes or [])
            ids = [sae.id for sae in chosen]
            changes["start"] = {"model": spec.id, "saes": [] if ids == [spec.sae] else ids}
            config = replace(config, start=Start(spec.id, tuple(changes["start"]["saes"])))
        if settings is not None:
            config = replace(config, settings=changed_settings(self.bridge.config, settings))
            before, after = asdict(self.bridge.config.settings), asdict(config.settings)
            changes["settings"] = {name: value for name, value in after.items() if value != before[name]}
        write_config({table: values for table, values in changes.items() if values})
        self.bridge.config = config
        return {}

    def remember(self, name: str, value: Any) -> dict[str, Any]:
        """Remember a choice of the view."""
        self.remembered.put(name, value)
        return {}

    def dismiss_crash(self) -> dict[str, Any]:
        """Show the newest report of a crash no more."""
        if report := newest(homes.crashes(), ""):
            self.remembered.put("crash_seen", report.name)
        return {}

    def page_fault(self, text: str) -> dict[str, Any]:
        """Log a fault of the page itself."""
        self.faults += 1
        if self.faults <= FAULTS:
            log.error("a fault of the page: %s", text[:LONGEST_FAULT])
        return {}

    def open_url(self, url: str) -> dict[str, Any]:
        """Open one of the few known sites in the system's browser."""
        own = f"{self.bridge.config.labels.neuronpedia.rstrip('/')}/"
        if not url.startswith((*LINKS, own)) or urlsplit(url).username is not None:
            raise Refused("AXON Shell does not open links to this site.", "Copy the link into a browser.")
        webbrowser.open(url)
        return {}
