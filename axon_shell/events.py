"""The ordered, bounded log of what happens. The page pulls from it; who writes never waits for who reads."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

KEPT = 8192  # events; a page that falls further behind reloads the session instead


class EventLog:
    """Numbered events, oldest dropped first."""

    def __init__(self, kept: int = KEPT) -> None:
        self.events: deque[dict[str, Any]] = deque(maxlen=kept)
        self.last = 0  # number of the newest event
        self.closed = False
        self.changed = threading.Condition()

    def put(self, event: dict[str, Any]) -> None:
        """Append an event; it gets the next number as "seq"."""
        with self.changed:
            self.last += 1
            self.events.append(event | {"seq": self.last})
            self.changed.notify_all()

    def after(self, seq: int, limit: int, wait: float) -> dict[str, Any]:
        """The next events after number `seq`, waiting up to `wait` seconds for the first.

        "missed" is true when older ones were dropped before they were read, or when `seq` is of an earlier run.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.last != seq, timeout=wait)
            oldest = self.last - len(self.events)
            missed = not oldest <= seq <= self.last
            begin = 0 if missed else seq - oldest
            events = [self.events[i] for i in range(begin, min(begin + limit, len(self.events)))]
        return {"events": events, "last": events[-1]["seq"] if events else self.last, "missed": missed}

    def close(self) -> None:
        """Wake everyone who waits, for good."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
