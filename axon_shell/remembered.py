"""What is remembered between visits: choices of the view and where the window was, never data.

One small JSON file. Forgetting is fine, failing is not: what cannot be read or written is left at that.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST = 64  # things
LONGEST = 4000  # characters of one of them


class Remembered:
    """Values by name, kept in a file. Safe to use from any number of threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.values: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            found = json.loads(path.read_bytes())
            self.values = dict(found) if isinstance(found, dict) else {}

    def put(self, name: str, value: Any) -> None:
        """Remember a JSON value under a name; what is too long, or one too many, is not."""
        with self.lock:
            if self.values.get(name, ...) == value or len(json.dumps(value)) > LONGEST:
                return
            if name not in self.values and len(self.values) >= MOST:
                return
            self.values[name] = value
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
                fresh.write_text(json.dumps(self.values, indent=1), "utf-8")
                fresh.replace(self.path)
