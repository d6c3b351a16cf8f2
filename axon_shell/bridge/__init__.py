"""What the page may call: one function per method, JSON text both ways, never an exception.

    call("sessions", '{"limit": 20}') -> '{"ok": true, "value": {...}}'
                                      or '{"ok": false, "error": {"kind": ..., "message": ..., "hint": ...}}'

No logic in here: each method checks what the page sent and asks the part that knows.

program.py   what there is, events, choices that stay, links
running.py   loading and generating
past.py      past sessions
features.py  features and labels
corpora.py   calibrating SAEs on texts
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from ..config import Config
from ..errors import Refused, as_axon_error
from ..events import EventLog
from ..labels import Labels
from ..plugins import Catalogue
from ..remembered import Remembered
from ..store import Store
from ..worker import Worker
from .checks import fits
from .corpora import Corpora
from .features import Features
from .past import Past
from .program import Program
from .running import Running

PARTS = (Program, Running, Past, Features, Corpora)


class Bridge:
    """Answers the page. Safe to call from any number of threads."""

    def __init__(
        self, worker: Worker, store: Store, catalogue: Catalogue, config: Config, remembered: Remembered
    ) -> None:
        self.worker, self.store, self.catalogue, self.config = worker, store, catalogue, config
        self.remembered = remembered
        self.wanted = ""  # uid of a session that the user wants to see first
        self.events: EventLog = worker.events
        self.labels: Labels = worker.annotate.labels
        self.methods: dict[str, Callable[..., Any]] = {}
        for part in PARTS:
            self.methods |= part(self).methods()

    def call(self, method: str, params: str) -> str:
        """The answer to one call of the page, as JSON text."""
        try:
            value = self.dispatch(method, params)
            return json.dumps({"ok": True, "value": value}, allow_nan=False)
        except Exception as error:
            record = as_axon_error(error, f"answering {str(method)[:40]!r}").as_record()
            return json.dumps({"ok": False, "error": record})

    def dispatch(self, method: str, params: str) -> Any:
        if method not in self.methods:
            raise Refused(f"The page called {str(method)[:40]!r}, which does not exist.", "Reload the page.")
        try:
            arguments = json.loads(params)
            inspect.signature(self.methods[method]).bind(**arguments)
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(f"The page called {method} wrongly: {error}.", "Reload the page.") from error
        kinds = get_type_hints(self.methods[method])
        for name, value in arguments.items():
            if not fits(value, kinds[name]):
                raise Refused(f"The page called {method} with {name} = {str(value)[:40]!r}.", "Reload the page.")
        return self.methods[method](**arguments)

    def recording(self) -> Path | None:
        """The session that the very first start plays; None where sessions were stored here before, or cannot be."""
        if self.store.path.exists() or self.store.read_only:
            return None
        return next((model.recording for model in self.catalogue.models.values() if model.recording), None)

    def show_session(self, session: str) -> None:
        """Have the page put a session on screen, where one is named."""
        if session:
            self.events.put({"kind": "sessions_changed"})
            self.events.put({"kind": "open_session", "session": session})

    def close(self) -> None:
        """Wake every waiting call, stop generating, flush the store."""
        self.events.close()
        self.worker.close()
        self.labels.close()
        self.store.close()
