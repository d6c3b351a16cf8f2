"""Reading the prompt while it is typed, on the page: seen at once, stored nowhere, and out of the way of all else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from conftest import Shell, running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, PROMPT, browser, eventually, long_run, opened, run, sampling, tokens  # noqa: F401

WORDS = ["start", "The", " capital", " of", " France", " is"]
NOT_STORED = "What is read as you type is not stored: run it first"


def switch(page: Page, on: bool = True) -> None:
    page.click("#preferences-button")
    page.set_checked("#typing", on)
    page.keyboard.press("Escape")


def write(page: Page, text: str) -> None:
    page.locator("#prompt").press_sequentially(text)


def read(page: Page, words: list[str]) -> None:
    """Wait until these tokens are on screen, as a reading."""
    eventually(lambda: tokens(page) == words, LOADED / 1000)
    expect(page.locator("#ending")).to_have_text("read as you type, not stored")


def places(page: Page) -> dict[int, list[float]]:
    return {node["feature"]: node["place"] for node in page.evaluate("() => window.__app.graph.nodes()")}


def test_nothing_is_read_while_one_types_unless_it_is_switched_on(browser: Browser, shell_server: Shell):  # noqa: F811
    with opened(browser, shell_server) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(json.loads(request.post_data or "{}").get("method")))
        run(page, "3 + 4 =", 1)
        before = tokens(page)
        page.fill("#prompt", "")
        write(page, PROMPT)
        page.wait_for_timeout(600)
        assert tokens(page) == before and "read" not in asked
        page.click("#preferences-button")
        expect(page.locator("#typing")).not_to_be_checked()
        page.check("#typing")  # what stands there is read at once
        read(page, WORDS)
        assert asked.count("read") == 1


def test_features_follow_what_is_typed_and_a_run_takes_its_place(browser: Browser, shell_server: Shell):  # noqa: F811
    with opened(browser, shell_server) as page:
        switch(page)
        sessions = page.locator("#sessions [data-session]").count()
        page.fill("#prompt", "The capital of")
        read(page, WORDS[:4])
        expect(page.locator("#active button", has_text="a country is next").first).to_be_visible()
        eventually(lambda: places(page))
        page.evaluate(
            """() => { const { state, graph } = window.__app;
                window.__fewest = Infinity;
                state.on(['session', 'steps', 'graph'], () => {
                    window.__fewest = Math.min(window.__fewest, graph.stats().nodes); }); }"""
        )
        before = places(page)
        write(page, " France is")
        read(page, WORDS)
        expect(page.locator("#at")).to_contain_text("likely  Paris")
        expect(page.locator("#active button").first).to_be_visible()
        assert page.locator("#tokens [aria-selected='true']").inner_text() == " is"
        expect(page.locator("#branch")).to_be_disabled()
        expect(page.locator("#branch")).to_have_attribute("title", NOT_STORED)
        expect(page.locator("#picture")).to_be_disabled()
        expect(page.locator("#picture")).to_have_attribute("title", NOT_STORED)
        assert page.locator("#sessions [data-session]").count() == sessions

        def grown() -> dict[int, list[float]] | None:
            after = places(page)
            return after if len(after) > len(before) else None

        after = eventually(grown)
        assert before.keys() <= after.keys()
        reach = max(math.hypot(*place) for place in after.values())
        moved = sorted(math.dist(before[feature], after[feature]) for feature in before)
        assert moved[len(moved) // 2] < reach / 2, "the dots make room, they are not dealt anew"

        reading = page.evaluate("() => window.__app.state.session.steps.map((step) => step.saes)")
        sampling(page, max_tokens=3, temperature=0)
        page.press("#prompt", "Enter")
        expect(page.locator("#sessions [data-session]")).to_have_count(sessions + 1)
        eventually(lambda: page.evaluate("() => window.__app.state.session.end?.new_tokens === 3"))
        eventually(lambda: tokens(page)[:7] == [*WORDS, " Paris"])
        assert page.evaluate("() => window.__fewest") >= len(before), (
            "no dot went away between two words, or at the run"
        )
        ran = page.evaluate("() => window.__app.state.session.steps.map((step) => step.saes)")
        strengths = [
            [[(f["feature"], f["activation"]) for f in saes["tiny-world/2-res"]["features"]] for saes in steps[:6]]
            for steps in (reading, ran)
        ]
        assert strengths[0] == strengths[1]
        expect(page.locator("#branch")).to_be_enabled()
        expect(page.locator("#picture")).to_be_enabled()
        expect(page.locator("#ending")).to_have_text("finished: all tokens written")


def test_what_was_on_screen_comes_back(browser: Browser, shell_server: Shell):  # noqa: F811
    with opened(browser, shell_server) as page:
        switch(page)
        run(page, PROMPT, 2)
        whole = tokens(page)
        page.locator("#tokens [data-position='3']").click()
        cursor = page.locator("#tokens [aria-selected='true']")

        def back() -> None:
            eventually(lambda: tokens(page) == whole)
            expect(cursor).to_have_attribute("data-position", "3")
            expect(page.locator("#ending")).to_have_text("finished: all tokens written")

        page.fill("#prompt", "The river of")
        read(page, ["start", "The", " river", " of"])
        page.locator("#sessions [data-menu]").nth(1).click()
        expect(page.locator("[data-do='compare']")).to_be_disabled()
        expect(page.locator("[data-do='compare']")).to_have_attribute("title", NOT_STORED)
        page.keyboard.press("Escape")
        page.fill("#prompt", "")
        back()
        expect(page.locator("#prompt")).to_have_value("")
        expect(page.locator("#prompt")).to_be_focused()
        for text in (" \n  ", PROMPT):  # nothing to read; what has been run already
            page.fill("#prompt", "The river")
            read(page, ["start", "The", " river"])
            page.fill("#prompt", text)
            back()
        page.fill("#prompt", "The river")
        read(page, ["start", "The", " river"])
        switch(page, False)
        back()

        # One that is opened meanwhile stays; one that is deleted meanwhile does not come back.
        switch(page)
        read(page, ["start", "The", " river"])
        page.locator("#sessions [data-session]").first.click()
        eventually(lambda: tokens(page) == whole)
        page.wait_for_timeout(400)
        assert tokens(page) == whole
        page.fill("#prompt", "The")
        read(page, ["start", "The"])
        page.locator("#sessions [data-session]").first.focus()
        page.keyboard.press("Delete")
        expect(page.locator("#said")).to_contain_text("Deleted")
        read(page, ["start", "The"])
        page.fill("#prompt", "")
        expect(page.locator("#empty")).to_be_visible()
        assert tokens(page) == []


def test_what_was_only_typed_is_forgotten(browser: Browser, shell_server: Shell):  # noqa: F811
    with opened(browser, shell_server) as page:
        run(page, "3 + 4 =", 1)
        whole = tokens(page)
        switch(page)
        page.fill("#prompt", "My secret Zanzibar")
        eventually(lambda: page.evaluate("() => window.__app.state.session.start.prompt") == "My secret Zanzibar")
        page.wait_for_timeout(500)
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        eventually(lambda: tokens(page) == whole)
        page.click("#preferences-button")
        expect(page.locator("#typing")).to_be_checked()
        files = [path for path in shell_server.home.rglob("*") if path.is_file()]
        assert any(path.name == "sessions.db" for path in files)
        assert [path for path in files if b"Zanzibar" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("word " * 2_000, "at most 512"),
        ("🦊🐈‍⬛ \u202eevil <img src=x onerror=alert(1)> ﷽", "not stored"),
        ("\t\n\ta", "not stored"),
    ],
)
def test_odd_text_is_read_or_quietly_left(browser: Browser, shell_server: Shell, text: str, said: str):  # noqa: F811
    with opened(browser, shell_server) as page:
        switch(page)
        page.fill("#prompt", "The")
        read(page, ["start", "The"])
        page.fill("#prompt", text)
        page.wait_for_timeout(300)
        expect(page.locator("#ending")).to_contain_text(said)
        expect(page.locator("#ending")).not_to_have_class("error")
        expect(page.locator("#failure")).to_be_hidden()
        expect(page.locator("#prompt")).to_be_focused()
        assert page.locator("#tokens img").count() == 0
        page.fill("#prompt", "The capital")
        read(page, ["start", "The", " capital"])


def test_a_run_is_not_disturbed_by_typing(browser: Browser, shell_server: Shell):  # noqa: F811
    with opened(browser, shell_server) as page:
        switch(page)
        page.fill("#prompt", "Once upon a time")
        long_run(page)
        page.press("#prompt", "Enter")
        eventually(lambda: len(tokens(page)) > 8, 60)
        page.fill("#prompt", "The capital")
        page.wait_for_timeout(600)
        assert tokens(page)[:3] == ["start", "Once", " upon"]
        page.click("#stop")
        expect(page.locator("#ending")).to_have_text("stopped")
        write(page, " of")
        read(page, WORDS[:4])


def test_what_is_typed_while_the_model_loads_is_read_when_it_is_there(browser: Browser, tmp_path: Path):  # noqa: F811
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        switch(page)
        page.fill("#prompt", "The")
        expect(page.locator("#ending")).to_contain_text("not read as you type: The model is being loaded")
        expect(page.locator("#failure")).to_be_hidden()
        expect(page.locator("[data-status='engine']")).to_have_text("ready", timeout=3 * LOADED)
        read(page, ["start", "The"])
        page.select_option("#model", "gpt2-small")  # not on this machine
        expect(page.locator("#loading")).to_contain_text("must be downloaded first")
        write(page, " capital")
        expect(page.locator("#ending")).to_contain_text("not read as you type: GPT-2 small is not loaded")
        page.select_option("#model", "tiny-world")
        read(page, ["start", "The", " capital"])
