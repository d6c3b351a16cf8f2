"""The page with the keyboard alone: every control is reached, in the order of the screen, and the focus can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import running_shell
from playwright.sync_api import Browser, Locator, Page, expect
from test_page import ENDED, LOADED, PROMPT, browser, eventually, opened

__all__ = ["browser"]  # the fixture

REGIONS = ["topbar", "notices", "sessions-pane", "graph-pane", "side", "timeline"]  # as they stand on the screen
CONTROLS = "button, input, select, textarea, a[href], summary, [tabindex='0']"
# What Tab is on, and whether that can be seen: by an outline, or as the prompt does by its box.
STOP = """() => {
    const one = document.activeElement;
    const seen = [one, one.closest('.prompt-box')].filter(Boolean).map(box => getComputedStyle(box));
    return one === document.body ? null : {
        name: one.id || one.getAttribute('aria-label') || one.textContent.slice(0, 30),
        region: one.closest('header#topbar, #notices, #sessions-pane, #graph-pane, #side, #timeline')?.id,
        visible: one.checkVisibility({ visibilityProperty: true, opacityProperty: true }),
        marked: seen.some(({ outlineStyle, outlineWidth, boxShadow, borderColor }, i) =>
            (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || (i > 0 && boxShadow !== 'none')),
        count: window.stops.push(one),
    };
}"""
# Tab reaches one of a group of which the arrow keys reach the others: tokens, radio buttons.
MISSED = """selector => [...document.querySelectorAll(selector)]
    .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0 && !window.stops.includes(one))
    .filter(one => !(one.type === 'radio' && window.stops.some(stop => stop.name === one.name)))
    .map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page once the model is there; nobody has clicked anything."""
    with running_shell(tmp_path_factory.mktemp("shell")) as shell, opened(browser, shell) as page:
        expect(page.locator("[data-status='engine']")).to_have_text("ready", timeout=2 * LOADED)
        yield page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tabs(page: Page, to: Locator, most: int = 120) -> None:
    """Press Tab until the focus is there."""
    for _ in range(most):
        if to.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("Tab does not reach it")


def stops(page: Page) -> list[dict[str, Any]]:
    """All that Tab stops at, from the first control on."""
    page.evaluate("() => { window.stops = []; document.querySelector('#model').focus({ focusVisible: true }) }")
    found = [page.evaluate(STOP)]
    for _ in range(150):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None or page.evaluate("() => window.stops.at(-1) === window.stops[0]"):
            return found
        found.append(stop)
    raise AssertionError("Tab does not come around")


def test_from_the_prompt_to_a_saved_session_and_back(page: Page):
    before = page.evaluate(ENDED)
    press(page, "/")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type(PROMPT)
    press(page, "Enter")
    eventually(lambda: page.evaluate(ENDED) not in (None, before), LOADED / 1000)
    expect(page.locator("#run")).to_be_visible()

    selected = page.locator("#tokens [aria-selected='true']")
    tabs(page, page.locator("#scrubber"))  # out of the prompt, where keys are text
    press(page, "ArrowLeft")
    at = int(str(selected.get_attribute("data-position")))
    tabs(page, selected)
    press(page, "ArrowLeft")
    expect(selected).to_have_attribute("data-position", str(at - 1))
    expect(selected).to_be_focused()  # the focus goes with the cursor
    press(page, "Home")
    expect(selected).to_have_attribute("data-position", "1")
    press(page, "ArrowRight", "ArrowRight")
    expect(page.locator("#at")).to_contain_text("of")
    press(page, "Space")
    eventually(lambda: int(str(selected.get_attribute("data-position"))) > 3)
    if page.evaluate("() => window.__app.state.playing"):
        press(page, "Space")

    press(page, "1")
    first = page.locator("#active [data-feature]:focus")
    feature = str(first.get_attribute("data-feature"))
    press(page, "ArrowDown", "ArrowUp", "Enter")
    inspector = page.locator("#feature")
    expect(inspector).to_have_attribute("data-feature", feature)
    press(page, "p")
    row = page.locator(f"#heat [data-feature='{feature}']")
    expect(row).to_be_visible()
    press(page, "2")
    expect(inspector).to_be_focused()
    tabs(page, page.locator("#edit-label"))
    press(page, "Enter")
    page.keyboard.type("a word of my own")
    press(page, "Enter")
    expect(page.locator("#feature h2")).to_have_text("a word of my own")
    expect(row).to_have_text("a word of my own")

    press(page, "k")
    page.keyboard.type("a word of")
    found = page.locator("#labels-found button")
    expect(found.first).to_contain_text("a word of my own")
    press(page, "Escape", "Escape")  # the field, then what it is in
    expect(page.locator("#labels-popover")).to_be_hidden()

    press(page, "3")
    expect(page.locator("#sessions .session:focus")).to_be_visible()
    press(page, "Tab")
    expect(page.locator("[data-menu]:focus")).to_be_visible()
    press(page, "Enter")
    expect(page.locator("#session-menu [data-do='edit']")).to_be_focused()
    press(page, "Enter")
    page.keyboard.type("By hand")
    press(page, "Enter")
    expect(page.locator("#sessions .session").first).to_contain_text("By hand")

    press(page, "Control+e")
    expect(page.locator("#said")).to_contain_text("Saved: ")
    press(page, "Control+k")
    page.keyboard.type("preferences")
    press(page, "Enter")
    expect(page.locator("#preferences")).to_be_visible()
    press(page, "Escape", "?")
    expect(page.locator("#help-dialog")).to_be_visible()
    press(page, "Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_tab_stops_at_every_control_in_the_order_of_the_screen_and_shows_where_it_is(page: Page):
    page.locator("#sessions .session").first.press("Enter")
    page.locator("#tokens [data-position='3']").click()
    page.locator("#active [data-feature]").first.press("Enter")
    expect(page.locator("#feature .worth")).to_be_visible()
    found = stops(page)
    assert [stop["name"] for stop in found if not stop["visible"]] == []
    assert [stop["name"] for stop in found if not stop["marked"]] == []
    regions = [stop["region"] for stop in found]
    order = [region for region, before in zip(regions, [None, *regions], strict=False) if region != before]
    assert order == [region for region in REGIONS if region in order]
    assert {"topbar", "sessions-pane", "graph-pane", "side", "timeline"} <= set(order)
    assert page.evaluate(MISSED, CONTROLS) == []


@pytest.mark.parametrize("opener", ["settings", "saes", "labels", "drawn", "preferences-button", "help"])
def test_what_opens_takes_the_focus_and_gives_it_back(page: Page, opener: str):
    button = page.locator(f"#{opener}")
    button.focus()
    press(page, "Enter")
    over = page.locator("dialog[open], :popover-open")
    expect(over).to_have_count(1)
    inside = "() => Boolean(document.activeElement.closest('dialog[open], :popover-open'))"
    if not page.evaluate(inside):
        press(page, "Tab")
    assert page.evaluate(inside)
    press(page, "Escape")
    expect(over).to_have_count(0)
    expect(button).to_be_focused()


def test_keys_typed_into_a_field_are_text(page: Page):
    press(page, "2", "Escape")  # beside the inspector there is no room for the filter
    expect(page.locator("#filter")).to_be_visible()
    for field in ("#prompt", "#sessions-search", "#filter"):
        page.locator(field).fill("")
        page.locator(field).focus()
        page.keyboard.type("kfg?[]123 lp")
        expect(page.locator(field)).to_have_value("kfg?[]123 lp")
        assert page.locator("dialog[open], :popover-open").count() == 0
        page.locator(field).fill("")
    expect(page.locator("#graph")).to_have_attribute("data-mode", "3d")
    assert page.evaluate("() => !document.body.matches('.no-left, .no-right')")
