"""Why a token came, and steering, on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Shell, running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, PROMPT, browser, eventually, opened, run  # noqa: F401

SAE = "tiny-world/2-res"
ROME = 185  # fires where the capital city Rome is next


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with running_shell(tmp_path_factory.mktemp("why")) as shell:
        yield shell


@pytest.fixture
def page(browser: Browser, shell: Shell) -> Iterator[Page]:  # noqa: F811
    with opened(browser, shell) as page:
        run(page, PROMPT, max_tokens=3)
        page.select_option("#sae", SAE) if page.locator("#sae").is_enabled() else None
        page.locator("#tokens [data-position='5']").click()
        yield page


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", ""))


def test_why_a_token_came_is_told_in_three_ways_with_the_sums(page: Page):
    active = page.evaluate(f"() => window.__app.state.session.steps[5].saes['{SAE}'].features")
    effects = {one["feature"]: one["effect"] for one in active}
    page.keyboard.press("w")
    dialog = page.locator("#why-dialog")
    expect(dialog.locator("h2")).to_have_text("Why “ Paris” after “ is”")
    expect(dialog.locator("tbody tr").first).to_be_visible(timeout=LOADED)
    expect(dialog).to_contain_text("probability 100 %")
    page.select_option("#why-by", "direct")
    rows = dialog.locator("tbody tr")
    shown = {}
    for i in range(rows.count()):
        cells = rows.nth(i).locator("td").all_inner_texts()
        shown[int(rows.nth(i).locator("button").get_attribute("data-feature") or -1)] = number(cells[1].split()[0])
    # The numbers are those of the session itself, and the first column of the sums adds up to the logit.
    for feature, effect in effects.items():
        assert abs(shown[feature] - effect) < 0.01, feature
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    parts = [number(row.split("\t")[2].split()[0]) for row in dialog.locator("tfoot tr").all_inner_texts()]
    assert abs(sum(parts[:-1]) - parts[-1]) < 0.05
    # Some were removed one at a time: what the token's probability was, and is then.
    page.select_option("#why-by", "ablation")
    first = rows.first.locator("td").all_inner_texts()
    assert "→" in first[3] and first[4]

    page.fill("#why-token", "Rome")
    page.keyboard.press("Enter")
    expect(dialog.locator("h2")).to_have_text("Why “ Rome” after “ is”, which did not follow", timeout=LOADED)
    page.fill("#why-token", "no single token is this")
    page.keyboard.press("Enter")
    expect(dialog.locator("[role='alert']")).to_contain_text("tokens")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_feature_of_the_answer_leads_to_the_inspector(page: Page):
    page.click("#why")
    button = page.locator("#why-dialog tbody button").first
    expect(button).to_be_visible(timeout=LOADED)
    feature = button.get_attribute("data-feature")
    button.click()
    expect(page.locator("#why-dialog")).to_be_hidden()
    expect(page.locator("#feature")).to_have_attribute("data-feature", str(feature))


def test_a_session_is_steered_from_the_cursor_on_and_compared(page: Page):
    page.evaluate(f"() => window.__app.state.inspect({ROME}, '{SAE}')")
    page.click("#steer-part summary")
    page.select_option("#steer-kind", "set")
    page.locator("#steer-times").fill("4")
    page.select_option("#steer-from", "cursor")
    page.click("#steer")
    expect(page.locator("#steering .edit")).to_contain_text("hold 4 × the capital city Rome is next")
    expect(page.locator("#steering .edit")).to_contain_text("from token 5 on")
    without = page.evaluate("() => window.__app.state.session.uid")
    page.click("#steer-this")
    expect(page.locator("#compare-dialog")).to_be_visible(timeout=LOADED)
    assert page.evaluate("() => window.__app.state.session.uid") != without
    expect(page.locator("#compare-dialog .predicted")).to_contain_text("of the probability moved")
    page.keyboard.press("Escape")
    edits = page.evaluate("() => window.__app.state.session.start.edits")
    assert [(one["feature"], one["kind"], one["start"]) for one in edits] == [(ROME, "set", 5)]
    chance = (
        "uid => window.__app.actions.stepsOf(uid).then(steps => Math.exp(steps.find(s => s.position === 5)"
        ".alternatives.find(one => one.text === ' Paris')?.logprob ?? -99))"
    )
    steered = page.evaluate("() => window.__app.state.session.uid")
    assert page.evaluate(chance, steered) < page.evaluate(chance, without)
    page.click("#steer-none")
    expect(page.locator("#steering")).to_contain_text("This session is steered:")
    page.reload()
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    expect(page.locator("#steering")).to_contain_text("This session is steered:")  # it is part of the session


def test_what_cannot_be_steered_is_told(page: Page):
    # A feature that never fired and of which no maximum is known.
    page.evaluate(
        "() => window.__app.state.steer({sae: 'tiny-world/2-res', feature: 999999, kind: 'add', times: 1, start: 0})"
    )
    page.click("#run")
    expect(page.locator("#failure")).to_be_visible()
    page.click("#steer-none")
    page.click("#failure .close")
