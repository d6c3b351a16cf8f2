"""The page by the rules of WCAG 2, levels A and AA, and by good practice, as axe-core checks them: in every state.

axe-core (tests/vendor, MPL-2.0) is for tests alone: nothing of it is in a wheel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, PROMPT, browser, eventually, opened, run

__all__ = ["browser"]  # the fixture

VENDOR = Path(__file__).parent / "vendor"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SAES = ["tiny-world/2-res", "tiny-world/3-res"]
AXE = """async ([tags, only]) => {
    const runOnly = only ? { type: 'rule', values: [only] } : { type: 'tag', values: tags };
    const { violations } = await axe.run(document, { runOnly, resultTypes: ['violations'] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
        `${id}: ${target.join(' ')}: ${failureSummary.replace(/\\s+/g, ' ')}`));
}"""


def test_axe_is_the_published_file_with_its_licence():
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text("utf-8"))
    assert {path.name for path in VENDOR.iterdir()} == {*manifest["files"], "MANIFEST.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    package = manifest["package"]
    assert package["integrity"].startswith("sha512-")
    assert f"axe v{package['version']}" in (VENDOR / "axe.min.js").read_text("utf-8")[:100]
    assert "Mozilla Public License, version 2.0" in (VENDOR / "LICENSES.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page with two sessions in its list, and one that two SAEs have read on screen."""
    with running_shell(tmp_path_factory.mktemp("shell")) as shell, opened(browser, shell, faults=True) as page:
        page.evaluate((VENDOR / "axe.min.js").read_text("utf-8"))
        expect(page.locator("[data-status='engine']")).to_have_text("ready", timeout=2 * LOADED)
        run(page, "The capital of Italy is", 3)
        page.evaluate("saes => window.__app.state.choose('tiny-world', saes)", SAES)
        run(page, PROMPT, 20)
        yield page


def violations(page: Page) -> list[str]:
    """What breaks a rule, in the dark; in the light only contrast can differ."""
    found = page.evaluate(AXE, [RULES, None])
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    found += [f"in the light, {one}" for one in page.evaluate(AXE, [RULES, "color-contrast"])]
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return found


def inspector(page: Page) -> None:
    page.locator("#active [data-feature]").first.click()
    expect(page.locator("#feature .worth")).to_be_visible()


def own_label(page: Page) -> None:
    inspector(page)
    page.locator("#edit-label").click()
    expect(page.locator("#own-label")).to_be_focused()


def pinned(page: Page) -> None:
    inspector(page)
    page.locator("#feature").focus()
    page.keyboard.press("p")
    expect(page.locator("#heat .heat-row")).to_be_visible()


def labels(page: Page) -> None:
    page.click("#labels")
    page.fill("#labels-search", "a c")
    eventually(page.locator("#labels-found button").count)


def menu(page: Page, do: str = "") -> None:
    row = page.locator("#sessions .row").filter(has_text="Italy")
    row.hover()
    row.locator("[data-menu]").click()
    if do:
        page.click(f"#session-menu [data-do='{do}']")
        expect(page.locator("dialog[open]")).to_be_visible()


def palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("the")
    expect(page.locator("#palette-list [data-entry]").first).to_be_visible()


def card(page: Page) -> None:
    page.locator("#tokens [data-position='3']").hover()
    expect(page.locator("#token-card")).to_be_visible()


def failure(page: Page) -> None:
    page.fill("#prompt", " ")
    page.click("#run")
    expect(page.locator("#failure")).to_be_visible()


def to_download(page: Page) -> None:
    page.select_option("#model", "gpt2-small")
    expect(page.locator("#loading.needed")).to_be_visible(timeout=LOADED)


def together(page: Page) -> None:
    page.evaluate("() => window.__app.state.showTogether()")
    expect(page.locator("#layers li").nth(1)).to_be_visible()


def saved(page: Page) -> None:
    page.keyboard.press("Control+e")
    expect(page.locator("#said")).to_contain_text("Saved")


def colored(page: Page) -> None:
    page.select_option("#color-by", label="surprise")
    page.locator("#expected summary").click()


def first_start(page: Page) -> None:
    page.evaluate("() => window.__app.state.clear()")
    expect(page.locator("#empty")).to_be_visible()


def disconnected(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.locator("#disconnected")).to_be_visible(timeout=30_000)


def is_back(page: Page) -> None:
    page.context.set_offline(False)
    expect(page.locator("#disconnected")).to_be_hidden(timeout=30_000)


def model_is_back(page: Page) -> None:
    page.select_option("#model", "tiny-world")
    expect(page.locator("#loading")).to_be_hidden(timeout=LOADED)


def reopened(page: Page) -> None:
    page.locator("#sessions .session").first.click()
    expect(page.locator("#active [data-feature]").first).to_be_visible()


def nothing(page: Page) -> None:
    pass


STATES: dict[str, tuple[Callable[[Page], object], Callable[[Page], object]]] = {
    "a session": (nothing, nothing),
    "the inspector": (inspector, nothing),
    "an own label": (own_label, nothing),
    "a pinned feature": (pinned, lambda page: page.keyboard.press("p")),
    "colored tokens": (colored, lambda page: page.select_option("#color-by", "feature")),
    "a token's card": (card, lambda page: page.mouse.move(600, 300)),
    "all SAEs at once": (together, lambda page: page.evaluate("s => window.__app.state.showSae(s)", SAES[0])),
    "sampling": (lambda page: page.click("#settings"), nothing),
    "the SAEs": (lambda page: page.click("#saes"), nothing),
    "labels": (labels, nothing),
    "how much is drawn": (lambda page: page.click("#drawn"), nothing),
    "the menu of a session": (menu, nothing),
    "title and note": (lambda page: menu(page, "edit"), nothing),
    "what it was made by": (lambda page: menu(page, "about"), nothing),
    "two sessions": (lambda page: menu(page, "compare"), nothing),
    "help": (lambda page: page.click("#help"), nothing),
    "preferences": (lambda page: page.click("#preferences-button"), nothing),
    "the palette": (palette, nothing),
    "a failure": (failure, lambda page: page.get_by_label("Dismiss the error").click()),
    "something done": (saved, nothing),
    "a model to download": (to_download, model_is_back),
    "two dimensions": (lambda page: page.click("#dimensions"), lambda page: page.click("#dimensions")),
    "disconnected": (disconnected, is_back),
    "first start": (first_start, reopened),
}


def at_rest(page: Page) -> None:
    """Everything closed that opens over the page."""
    page.evaluate(
        """() => {
            for (const one of document.querySelectorAll('dialog[open]')) one.close();
            for (const one of document.querySelectorAll(':popover-open')) one.hidePopover();
        }"""
    )


@pytest.mark.parametrize("state", STATES)
def test_nothing_breaks_a_rule(page: Page, state: str):
    enter, leave = STATES[state]
    enter(page)
    try:
        found = violations(page)
    finally:
        at_rest(page)
        leave(page)
        page.evaluate("() => window.__app.state.inspect(null)")
    assert found == []
