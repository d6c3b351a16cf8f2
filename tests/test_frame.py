"""The window comes up where it was, and always where it can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon_shell import frame
from axon_shell.frame import SMALLEST, TITLE_BAR, Frame, Watch, fitted, frame_from


@dataclass(frozen=True)
class Screen:
    x: int
    y: int
    width: int
    height: int


MAIN, RIGHT, LEFT = Screen(0, 0, 1920, 1080), Screen(1920, 0, 2560, 1440), Screen(-1280, 200, 1280, 1024)


@pytest.mark.parametrize(
    ("before", "screens", "after", "screen"),
    [
        (Frame(1400, 900, 100, 50), [MAIN], Frame(1400, 900, 100, 50), None),
        (Frame(1400, 900, 100, 50, True), [RIGHT, MAIN], Frame(1400, 900, 100, 50, True), None),
        (Frame(1400, 900, 2000, 50), [MAIN, RIGHT], Frame(1400, 900), RIGHT),  # in the middle of the other screen
        (Frame(1400, 900, -1200, 300), [MAIN, LEFT], Frame(1280, 900), LEFT),  # ... and no larger than it
        (Frame(1400, 900, 2000, 50), [MAIN], Frame(1400, 900), None),  # that screen is gone
        (Frame(1400, 900, 100, 1060), [MAIN], Frame(1400, 900), None),  # its title bar could not be reached
        (Frame(3000, 2000, 0, 0), [MAIN], Frame(1920, 1080, 0, 0), None),
        (Frame(), [Screen(0, 0, 1366, 768)], Frame(1280, 708), None),  # a small laptop
        (Frame(), [], Frame(), None),
    ],
)
def test_a_frame_fits_the_screens_there_are(before: Frame, screens: list, after: Frame, screen: Screen | None):
    assert fitted(before, screens) == (after, screen)


numbers = st.integers(-5000, 5000)
sizes = st.integers(1, 5000)
some_screens = st.lists(st.builds(Screen, numbers, numbers, st.integers(960, 4000), st.integers(600, 4000)), max_size=3)


@given(st.builds(Frame, sizes, sizes, numbers, numbers, st.booleans()), some_screens)
def test_the_title_bar_is_always_on_a_screen(before: Frame, screens: list[Screen]):
    after, screen = fitted(before, screens)
    if not screens:
        return
    assert after.width >= SMALLEST[0] and after.height >= SMALLEST[1]
    if after.x is not None and after.y is not None:
        assert screen is None
        assert any(
            s.x <= after.x + before.width // 2 < s.x + s.width and s.y <= after.y <= s.y + s.height - TITLE_BAR
            for s in screens
        )


@given(
    st.none()
    | st.integers()
    | st.dictionaries(
        st.sampled_from(["width", "height", "x", "y", "maximized", "z"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    )
)
def test_whatever_was_remembered_is_a_frame(remembered: Any):
    assert isinstance(frame_from(remembered), Frame)


def test_what_is_watched_comes_back(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(frame.time, "monotonic", lambda: now[0])
    watch = Watch(Frame())
    watch.moved(30, 40)
    watch.resized(1100, 700)
    assert frame_from(watch.as_remembered()) == Frame(1100, 700, 30, 40)
    now[0] = 5
    watch.moved(0, 0)  # as some systems say before they say that the window was maximized
    watch.resized(1920, 1080)
    watch.was_maximized()
    watch.resized(1920, 1080)
    assert frame_from(watch.as_remembered()) == Frame(1100, 700, 30, 40, maximized=True)
    watch.was_restored()
    watch.moved(50, 60)
    assert frame_from(watch.as_remembered()) == Frame(1100, 700, 50, 60)
