"""Where the window was and how large, so that it comes up there again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

SIZE, SMALLEST = (1280, 800), (960, 600)
TITLE_BAR = 60  # pixels that must be on a screen: else the window could not be moved
SETTLED = 0.7  # seconds; what a window says of itself while it is being maximized is neither its old place nor size


class Screen(Protocol):
    """A screen as pywebview describes it, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A window's outline in pixels; `x` and `y` are None where the system is to choose."""

    width: int = SIZE[0]
    height: int = SIZE[1]
    x: int | None = None
    y: int | None = None
    maximized: bool = False


def frame_from(remembered: Any) -> Frame:
    """The frame that was remembered; the default where there is none, or nonsense."""
    if not isinstance(remembered, dict):
        return Frame()
    numbers = {
        name: value
        for name in ("width", "height", "x", "y")
        if isinstance(value := remembered.get(name), int) and not isinstance(value, bool) and abs(value) < 100_000
    }
    return Frame(**numbers, maximized=remembered.get("maximized") is True)


def fitted(frame: Frame, screens: Sequence[Screen]) -> tuple[Frame, Screen | None]:
    """A frame that can be seen and moved on these screens, and the screen it belongs to, where it is not the first.

    A place is kept on the first screen only (the one that begins at 0, 0): the systems count places on the others
    differently. There the window is in the middle.
    """
    if not screens:
        return frame, None
    main = next((screen for screen in screens if (screen.x, screen.y) == (0, 0)), screens[0])
    home = main
    x, y = frame.x, frame.y
    if x is not None and y is not None:
        on = [s for s in screens if s.x <= x + frame.width // 2 < s.x + s.width and s.y <= y < s.y + s.height]
        home = on[0] if on else main
        if not on or home is not main or y > home.y + home.height - TITLE_BAR:
            x = y = None
    width = max(SMALLEST[0], min(frame.width, home.width))
    # Where the system chooses the place, its panels and the title bar need some of the screen.
    height = max(SMALLEST[1], min(frame.height, home.height - (TITLE_BAR if y is None else 0)))
    return Frame(width, height, x, y, frame.maximized), None if home is main else home


class Watch:
    """Follows a window's frame by its events; safe to be told from any thread."""

    def __init__(self, frame: Frame) -> None:
        self.frames = [(0.0, frame)]  # the last few while the window was not maximized, with the time of each
        self.maximized = frame.maximized

    def moved(self, x: int, y: int) -> None:
        """The window is at another place."""
        self.changed(x=int(x), y=int(y))

    def resized(self, width: int, height: int) -> None:
        """The window has another size."""
        self.changed(width=int(width), height=int(height))

    def changed(self, **values: Any) -> None:
        if self.maximized:
            return
        self.frames = [*self.frames[-60:], (time.monotonic(), replace(self.frames[-1][1], **values))]

    def was_maximized(self) -> None:
        """The window fills its screen; what it said of itself just before is part of that."""
        before = [entry for entry in self.frames if entry[0] < time.monotonic() - SETTLED]
        self.frames = before or self.frames[:1]
        self.maximized = True

    def was_restored(self) -> None:
        """The window is as it was before."""
        self.maximized = False

    def as_remembered(self) -> dict[str, Any]:
        """What `frame_from` reads again."""
        frame = self.frames[-1][1]
        place = {} if frame.x is None or frame.y is None else {"x": frame.x, "y": frame.y}
        return {"width": frame.width, "height": frame.height, **place, "maximized": self.maximized}
