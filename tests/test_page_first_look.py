"""The very first start on the page: a recorded session plays, with three sentences of what one sees, and only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, browser, checkout_without_weights, eventually, opened, tokens  # noqa: F401

MOVING = {"reduced_motion": "no-preference"}


def at(page: Page) -> dict[str, Any]:
    """The cursor, whether it moves by itself, and the last position."""
    return page.evaluate(
        """() => { const {t, playing, session} = window.__app.state;
            return {t, playing, last: Math.max(...(session?.steps ?? []).map(step => step.position))}; }"""
    )


def test_a_recorded_session_plays_with_three_sentences(browser: Browser, tmp_path: Path):  # noqa: F811
    with running_shell(tmp_path) as shell, opened(browser, shell, **MOVING) as page:
        card, sentences = page.locator("#first-look"), page.locator("#first-look p")
        expect(card).to_be_visible()
        expect(page.locator("#empty")).to_be_hidden()
        assert any("Paris" in token for token in tokens(page))
        expect(page.locator("#speed")).to_have_value("4")
        seen = {}  # where the cursor was when there were so many sentences

        def over() -> bool:
            now = at(page)
            seen.setdefault(sentences.count(), now["t"])
            return not now["playing"] and now["t"] == now["last"]

        eventually(over, 60)
        assert seen.keys() <= {1, 2, 3} and list(seen.values()) == sorted(seen.values())
        expect(sentences).to_have_count(3)

        page.click("#play-again")
        eventually(lambda: at(page)["playing"] and at(page)["t"] < 20)
        expect(sentences).to_have_count(3)  # what was said stays
        page.locator("#tokens [data-position='5']").click()  # looking around does not close it
        expect(card).to_be_visible()
        page.locator("#play-again").focus()
        page.keyboard.press("Escape")
        expect(card).to_be_hidden()
        expect(page.locator("#prompt")).to_be_focused()
        assert any("Paris" in token for token in tokens(page))


def test_it_comes_once_and_deleted_it_stays_away(browser: Browser, tmp_path: Path):  # noqa: F811
    """With no model on the machine, and for somebody who wants less motion."""
    root = checkout_without_weights(tmp_path)
    with running_shell(tmp_path / "home", root=root) as shell, opened(browser, shell) as page:
        expect(page.locator("#first-look p")).to_have_count(3)
        now = at(page)
        assert not now["playing"] and now["t"] == now["last"]
        expect(page.locator("#sessions [data-session]")).to_have_count(1)
        expect(page.locator("#sessions")).to_contain_text("A first look")
        page.locator("#tokens [data-position='5']").click()
        expect(page.locator("#active")).to_contain_text("a capital city is next")
        for sae in ("0-res", "3-res"):
            page.select_option("#sae", f"tiny-world/{sae}")
            eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length") > 10)
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        eventually(lambda: tokens(page))
        expect(page.locator("#first-look")).to_be_hidden()
    with running_shell(tmp_path / "home", root=root) as shell, opened(browser, shell, **MOVING) as page:
        eventually(lambda: tokens(page))
        expect(page.locator("#first-look")).to_be_hidden()
        assert not at(page)["playing"]
        page.locator("#sessions .row").hover()
        page.locator("#sessions [data-menu]").click()
        page.click("#session-menu [data-do='delete']")
        expect(page.locator("#empty")).to_be_visible()
    with running_shell(tmp_path / "home", root=root) as shell, opened(browser, shell, **MOVING) as page:
        expect(page.locator("#empty")).to_be_visible()
        expect(page.locator("#first-look")).to_be_hidden()
        expect(page.locator("#sessions [data-session]")).to_have_count(0)


def test_an_example_of_the_card_runs_and_closes_it(browser: Browser, tmp_path: Path):  # noqa: F811
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        example = page.locator("#first-look [data-example]").first
        prompt = example.inner_text()
        example.click()
        expect(page.locator("#first-look")).to_be_hidden()
        expect(page.locator("#prompt")).to_have_value(prompt)
        eventually(lambda: page.evaluate("() => window.__app.state.session?.start?.prompt") == prompt, LOADED / 1000)
        expect(page.locator("#sessions [data-session]")).to_have_count(2)
        page.locator("#sessions [data-session]", has_text="A first look").click()
        eventually(lambda: any("Seine" in token for token in tokens(page)))
        expect(page.locator("#first-look")).to_be_hidden()


@pytest.mark.parametrize("size", [(960, 600), (1280, 800)])
def test_the_card_covers_no_control(browser: Browser, tmp_path: Path, size: tuple[int, int]):  # noqa: F811
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        expect(page.locator("#first-look p")).to_have_count(3)
        card, legend = page.locator("#first-look").bounding_box(), page.locator(".legend").bounding_box()
        graph = page.locator("#graph-pane").bounding_box()
        bottoms = [chip.bounding_box() for chip in page.locator(".graph-toolbar > .chip").all()]
        assert card and legend and graph
        assert all(box and box["y"] + box["height"] <= card["y"] for box in bottoms)
        assert card["y"] + card["height"] <= legend["y"]
        assert graph["x"] < card["x"] and card["x"] + card["width"] < graph["x"] + graph["width"]
        assert page.evaluate("""() => { const card = document.querySelector('#first-look');
            return card.scrollHeight <= card.clientHeight; }""")
