"""Every screen at three sizes, dark and light: nothing is cut off, and a picture of each is kept.

The pictures go to the folder that AXON_SCREENSHOTS names, by itself to one of pytest's own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page
from test_page import browser
from test_page_accessibility import STATES, at_rest, page

__all__ = ["browser", "page"]  # the fixtures

SIZES = [(960, 600), (1280, 800), (1920, 1080)]
OUTSIDE = """() => {
    const panes = document.querySelectorAll('#topbar, #sessions-pane, #graph-pane, #side, #timeline, #status');
    const open = [...document.querySelectorAll('dialog[open], :popover-open, #token-card:not([hidden])')];
    return [...panes, ...open].filter(one => {
        const { left, top, right, bottom, width } = one.getBoundingClientRect();
        return !width || left < -1 || top < -1 || right > innerWidth + 1 || bottom > innerHeight + 1;
    }).map(one => one.id);
}"""
# Texts that end in the middle of a letter: cut by their box, with nothing that says so and no way to scroll.
CUT = """() => {
    const text = [...document.querySelectorAll('button, h1, h2, h3, label, dt, output, option:checked, .notice, kbd')];
    return text.filter(one => {
        const { overflowX, textOverflow } = getComputedStyle(one);
        return one.checkVisibility() && overflowX === 'hidden' && textOverflow === 'clip'
            && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0;
    }).map(one => `${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    named = os.environ.get("AXON_SCREENSHOTS")
    path = Path(named) if named else tmp_path_factory.mktemp("screens")
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("state", STATES)
def test_every_screen_fits_into_every_window(page: Page, folder: Path, state: str):
    enter, leave = STATES[state]
    wrong = []
    enter(page)
    try:
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
                name = f"{re.sub('[^a-z0-9]+', '-', state.lower())}-{width}x{height}-{scheme}"
                page.screenshot(path=folder / f"{name}.png")
                wrong += [f"{name}: {one}" for one in page.evaluate(OUTSIDE) + page.evaluate(CUT)]
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        at_rest(page)
        leave(page)
        page.evaluate("() => window.__app.state.inspect(null)")
    assert wrong == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
