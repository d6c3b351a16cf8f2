"""The library of past sessions on the page: searched, changed, deleted and back, compared, gone on from, saved."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Shell, running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, browser, call, eventually, opened, run, sampling  # noqa: F401

PROMPTS = ("The capital of France is", "The capital of Italy is", "Once upon a time")


@pytest.fixture(scope="module")
def library(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:  # noqa: F811
    """A shell with one session of each prompt; the recorded one of the first start was deleted."""
    with running_shell(tmp_path_factory.mktemp("library")) as shell:
        with opened(browser, shell) as page:
            call(page, "delete_sessions", sessions=[page.evaluate("() => window.__app.state.first")])
            for prompt in PROMPTS:
                run(page, prompt)
        yield shell


def row(page: Page, text: str):  # type: ignore[no-untyped-def]
    return page.locator("#sessions .row").filter(has_text=text).first


def menu(page: Page, text: str, do: str) -> None:
    """Choose something for the session with this text."""
    row(page, text).hover()
    row(page, text).locator("[data-menu]").click()
    page.click(f"#session-menu [data-do='{do}']")


def test_typing_narrows_the_list(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        expect(page.locator("#sessions .session")).to_have_count(3)
        page.fill("#sessions-search", "capital it")
        expect(page.locator("#sessions .session")).to_have_count(1)
        expect(page.locator("#sessions .session")).to_contain_text("Italy")
        page.locator("#sessions-search").press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#tokens [data-position='4']")).to_have_text(" Italy")
        page.fill("#sessions-search", '"<img src=x onerror=alert(1)>')
        expect(page.locator("#sessions")).to_have_text("None found.")
        page.fill("#sessions-search", "")
        expect(page.locator("#sessions .session")).to_have_count(3)
        expect(page.locator("#sessions-size")).to_contain_text("on disk")


def test_a_title_a_note_and_a_pin_stay(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        menu(page, "Italy", "edit")
        page.fill("#session-title", "Rome <b>for</b> the lecture")
        page.fill("#session-note", "second line below\n249 fires at is")
        page.keyboard.press("Escape")  # nothing is changed
        expect(row(page, "Italy")).not_to_contain_text("lecture")
        menu(page, "Italy", "edit")
        page.fill("#session-title", "Rome <b>for</b> the lecture")
        page.fill("#session-note", "second line below\n249 fires at is")
        page.locator("#session-title").press("Enter")
        expect(row(page, "Rome <b>for</b>")).to_contain_text("second line below")
        menu(page, "Rome", "pin")
        page.click("#sessions-pinned")
        expect(page.locator("#sessions .session")).to_have_count(1)
    with opened(browser, library) as page:
        expect(row(page, "Rome <b>for</b> the lecture")).to_be_visible()
        page.fill("#sessions-search", "249")
        expect(page.locator("#sessions .session")).to_have_count(1)


def test_what_is_deleted_can_be_brought_back(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "Once").locator(".session").click()
        row(page, "Once").locator(".session").press("Delete")
        expect(page.locator("#sessions .session")).to_have_count(2)
        expect(page.locator("#tokens [data-position]")).to_have_count(0)  # nor is it on screen any more
        page.click("#undo")
        expect(page.locator("#sessions .session")).to_have_count(3)
        row(page, "Once").locator(".session").click()
        expect(page.locator("#tokens [data-position='1']")).to_have_text("Once")


def test_two_sessions_side_by_side(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "France").locator(".session").click()
        expect(page.locator("#tokens [data-position='4']")).to_have_text(" France")
        menu(page, "Italy", "compare")
        dialog = page.locator("#compare-dialog")
        expect(dialog).to_be_visible()
        uids = {one["prompt"]: one["uid"] for one in call(page, "sessions")["value"]["sessions"]}
        found = call(page, "compare", a=uids[PROMPTS[0]], b=uids[PROMPTS[1]])["value"]
        expect(dialog).to_contain_text(f"{found['aligned']} tokens match")
        expect(dialog).to_contain_text(f"{found['both']} features of tiny-world/2-res in both")
        marked = dialog.locator(".sides section").first.locator("mark").all_inner_texts()
        assert " France" in [text.replace("\u00a0", " ") for text in marked] and "The" not in marked
        first = dialog.locator("tbody tr").first
        feature = found["features"][0]
        expect(first.locator("[data-feature]")).to_have_attribute("data-feature", str(feature["feature"]))
        first.locator("[data-feature]").click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#feature")).to_have_attribute("data-feature", str(feature["feature"]))


def test_a_feature_leads_to_other_sessions(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "France").locator(".session").click()
        page.locator("#tokens [data-position='3']").click()  # " of" is in both
        page.locator("#active [data-feature]").first.click()
        other = page.locator("#feature [data-elsewhere]").first
        uid = other.get_attribute("data-elsewhere")
        other.click()
        eventually(lambda: page.evaluate("() => window.__app.state.session?.uid") == uid)


def test_what_a_session_was_made_by(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        menu(page, "France", "about")
        dialog = page.locator("#session-dialog")
        for text in ("tiny-world/2-res", "SHA-256", "torch", "temperature 0", "cpu, float32"):
            expect(dialog).to_contain_text(text)
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()


def test_a_run_goes_on_from_a_token(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "France").locator(".session").click()
        expect(page.locator("#tokens [data-position='4']")).to_have_text(" France")
        page.locator("#tokens [data-position='3']").click()
        page.click("#branch")
        expect(page.locator("#prompt")).to_have_value("The capital of")
        expect(page.locator("#parent")).to_contain_text("goes on from token 3")
        run(page, "The capital of Spain is", max_tokens=2)
        expect(page.locator("#parent")).to_be_hidden()
        expect(row(page, "Spain")).to_contain_text("goes on from another")
        start = page.evaluate("() => window.__app.state.session.start")
        assert start["parent"]["position"] == 3
        menu(page, "Spain", "about")
        page.get_by_role("button", name="Open where it goes on from").click()
        eventually(lambda: page.evaluate("() => window.__app.state.session?.uid") == start["parent"]["session"])
        row(page, "Spain").locator(".session").press("Delete")


def test_saving_and_taking_in(browser: Browser, library: Shell, tmp_path: Path):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "France").locator("[data-menu]").click(force=True)
        page.click("#session-menu [data-form='axon']")
        expect(page.locator("#said")).to_contain_text("Saved: ")
        (saved,) = (library.home / "exports").glob("*.axon")
        header = json.loads(gzip.decompress(saved.read_bytes()).splitlines()[0])
        assert header["format"] == "axon-session"
        page.locator("#import-file").set_input_files(saved)
        expect(page.locator("#said")).to_contain_text("is here already")
        (tmp_path / "rubbish.axon").write_bytes(b"rubbish")
        page.locator("#import-file").set_input_files(tmp_path / "rubbish.axon")
        expect(page.locator("#failure")).to_contain_text("cannot be read")
        row(page, "France").locator(".session").click()
        expect(page.locator("#picture")).to_be_enabled()
        page.click("#picture")
        picture = eventually(lambda: next((library.home / "exports").glob("*.png"), None))
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5_000


def test_the_menu_by_keyboard_alone(browser: Browser, library: Shell):  # noqa: F811
    with opened(browser, library) as page:
        more = row(page, "France").locator("[data-menu]")
        more.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#session-menu [data-do='edit']")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#session-menu [data-do='pin']")).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(page.locator("#session-menu [data-do='delete']")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#session-menu")).to_be_hidden()
        expect(more).to_be_focused()


def test_a_file_that_was_double_clicked_is_on_screen(browser: Browser, library: Shell, tmp_path: Path):  # noqa: F811
    with opened(browser, library) as page:
        row(page, "Italy").locator("[data-menu]").click(force=True)
        page.click("#session-menu [data-form='axon']")
        expect(page.locator("#said")).to_contain_text("Saved: ")
    files = [path for path in (library.home / "exports").glob("*.axon") if "rome" in path.name or "italy" in path.name]
    with running_shell(tmp_path / "other", str(files[0])) as shell, opened(browser, shell) as page:
        expect(page.locator("#tokens [data-position='4']")).to_have_text(" Italy")
        assert len(call(page, "sessions")["value"]["sessions"]) == 1
    with running_shell(tmp_path / "third", str(tmp_path / "nothing.axon")) as shell, opened(browser, shell) as page:
        expect(page.locator("#problems")).to_contain_text("nothing.axon")
