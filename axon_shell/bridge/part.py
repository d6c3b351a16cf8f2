"""A part of what the page may call: every method whose name has no underscore before it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Bridge


class Part:
    """Methods for the page, and what they ask."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.worker, self.store, self.catalogue = bridge.worker, bridge.store, bridge.catalogue
        self.events, self.labels, self.remembered = bridge.events, bridge.labels, bridge.remembered

    def methods(self) -> dict[str, Callable[..., Any]]:
        """The methods that the page may call, by name."""
        own = (name for name, what in vars(type(self)).items() if inspect.isfunction(what))
        return {name: getattr(self, name) for name in own if not name.startswith("_")}
