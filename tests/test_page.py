"""The page as a user uses it: the real program, the real model, real Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Shell, running_shell
from local_hub import LocalHub, local_hub
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from benchmarks import random_weights

ENDED = "() => window.__app.state.session?.end ? window.__app.state.session.uid : null"
PROMPT = "The capital of France is"
LOADED = 60_000  # ms: importing PyTorch and SAELens on a busy machine


@pytest.fixture(scope="module")
def browser(chromium: str, chromium_flags: list[str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=chromium_flags)
        yield browser
        browser.close()


class Watched:
    """A page with everything that it should not do: complain, break, or ask another host."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.faults: list[str] = []

        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and "GPU stall" not in message.text:
                self.faults.append(f"console {message.type}: {message.text}")

        def request(request: Request) -> None:
            if not request.url.startswith((home, "data:", "blob:")):
                self.faults.append(f"request: {request.url}")

        page.on("console", console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", request)


@contextmanager
def opened(browser: Browser, shell: Shell, faults: bool = False, **options: Any) -> Iterator[Page]:
    """The shell's page in a fresh browser profile; afterwards it must not have complained, unless `faults`."""
    settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
    context = browser.new_context(**settings)
    page = context.new_page()
    page.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    watched = Watched(page, shell.url)
    page.goto(f"{shell.url}?test=1#t={shell.token}")
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    yield page
    context.close()
    assert faults or watched.faults == []


def eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    """The first true answer of a check. (The page's policy forbids Playwright's own way of waiting.)"""
    began = time.monotonic()
    while not (answer := check()):
        assert time.monotonic() - began < seconds, "did not happen in time"
        time.sleep(0.05)
    return answer


def run(page: Page, prompt: str, max_tokens: int = 8, temperature: float = 0) -> None:
    """Type a prompt, set the sampling, press Run and wait for the end."""
    page.fill("#prompt", prompt)
    sampling(page, max_tokens=max_tokens, temperature=temperature)
    before = page.evaluate(ENDED)
    page.click("#run")
    eventually(lambda: page.evaluate(ENDED) not in (None, before), LOADED / 1000)
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.locator("#run")).to_be_visible()


def sampling(page: Page, **values: float) -> None:
    page.click("#settings")
    for name, value in values.items():
        page.fill(f"#setting-{name}", str(value))
    page.keyboard.press("Escape")


def long_run(page: Page) -> None:
    """Sampling that makes Tiny World go on: it ends most texts by itself after some sentences."""
    sampling(page, max_tokens=480, temperature=5, top_k=0, top_p=1)
    page.click("#settings")
    page.uncheck("#setting-random")
    page.fill("#setting-seed", "0")
    page.keyboard.press("Escape")


def call(page: Page, method: str, **params: Any) -> dict[str, Any]:
    """Ask the bridge as the page does."""
    return page.evaluate(
        """async ([body, json]) => (await fetch('/api/call', {method: 'POST', body, headers: {
            'Content-Type': json, 'X-Axon-Token': sessionStorage.getItem('axon.token')}})).json()""",
        [json.dumps({"method": method, "params": params}), "application/json"],
    )


def tokens(page: Page) -> list[str]:
    return page.locator("#tokens [data-position]").all_inner_texts()


# -- the main job -------------------------------------------------------------


def test_a_first_session(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        expect(page.locator("#first-look")).to_be_visible()
        run(page, PROMPT)
        expect(page.locator("#first-look")).to_be_hidden()
        shown = page.locator("#tokens [data-position]")
        expect(shown.filter(has_text="Paris").first).to_be_visible()
        prompt_tokens = page.locator("#tokens .prompt[data-position]").count()
        assert 5 <= prompt_tokens < shown.count()

        # The token before " Paris" is what the features behind it belong to.
        before = page.locator("#tokens [data-position]", has_text="is").first
        before.click()
        expect(page.locator("#at")).to_contain_text("Paris")
        expect(before).to_have_attribute("aria-selected", "true")
        top = page.locator("#active [data-feature]")
        assert top.count() >= 5
        labels = " ".join(top.all_inner_texts()[:5])
        assert any(word in labels for word in ("capital", "country", "France")), labels

        # A dot in the graph, found where the graph says it is, opens its feature.
        feature = eventually(lambda: clicked_dot(page), 40)
        expect(page.locator("#feature")).to_contain_text(feature)
        assert page.evaluate("() => window.__app.graph.stats().calls") <= 4


def clicked_dot(page: Page) -> str | None:
    """Click a dot and give its feature once the inspector shows it; nothing when the dot moved away under the click."""
    page.evaluate("() => window.__app.graph.settle()")
    spot = visible_node(page)
    if not spot:
        return None
    page.mouse.click(spot["x"], spot["y"])
    page.wait_for_timeout(1000)
    shown = page.locator("#feature").get_attribute("data-feature")
    return shown if shown == str(spot["feature"]) else None


def visible_node(page: Page) -> dict[str, Any] | None:
    """A node whose place on screen is free of others and of what lies over the graph."""
    return page.evaluate(
        """() => {
            const nodes = window.__app.graph.nodes();
            const box = document.querySelector('#graph').getBoundingClientRect();
            return nodes.find(n => document.elementFromPoint(n.x, n.y)?.closest('#graph')
                && n.x > box.left + 40 && n.x < box.right - 40 && n.y > box.top + 40 && n.y < box.bottom - 40
                && nodes.every(o => o === n || Math.hypot(o.x - n.x, o.y - n.y) > 24)) ?? null;
        }"""
    )


def test_the_page_shows_the_numbers_of_the_session(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        run(page, "In Japan people speak", 4)
        newest = call(page, "sessions", limit=1)["value"]["sessions"][0]
        stored = call(page, "messages", session=newest["uid"], after=-1, max=200)["value"]["messages"]
        steps = [message for message in stored if message["kind"] == "step"]
        assert len(steps) == page.locator("#tokens [data-position]").count()
        step = steps[-2]
        page.locator(f"#tokens [data-position='{step['position']}']").click()
        (reading,) = step["saes"].values()
        rows = page.locator("#active [data-feature]")
        expect(rows).to_have_count(len(reading["features"]))
        assert [int(row.get_attribute("data-feature")) for row in rows.all()] == [
            f["feature"] for f in reading["features"]
        ]
        for row, active in list(zip(rows.all(), reading["features"], strict=True))[:5]:
            assert (active["label"] or str(active["feature"])) in row.inner_text()
        measures = page.locator("#measures").inner_text()
        assert str(reading["l0"]) in measures and f"{100 * reading['unexplained']:.1f}" in measures


def test_after_a_reload_the_session_is_there(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        run(page, "The capital of Italy is", 3)
        before = tokens(page)
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        eventually(lambda: tokens(page) == before)
        assert any("Rome" in token for token in before)
        assert page.url.endswith("?test=1"), "the token must not stay in the address"


def test_keys_move_the_cursor_and_the_picture_follows(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        run(page, "The river of Egypt is", 4)
        selected = page.locator("#tokens [aria-selected='true']")
        selected.focus()
        last = int(selected.get_attribute("data-position"))
        page.keyboard.press("ArrowLeft")
        expect(selected).to_have_attribute("data-position", str(last - 1))
        page.keyboard.press("Home")
        expect(selected).to_have_attribute("data-position", re.compile("^[01]$"))
        few = eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length"))
        page.keyboard.press("End")
        expect(selected).to_have_attribute("data-position", str(last))
        eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length") > few)
        page.locator("#edges-by").select_option("co-activation")
        expect(page.locator("#edges-meaning")).to_contain_text("count")
        expect(page.locator("#edges-chance")).to_contain_text("expected by chance")
        page.click("#chance")
        expect(page.locator("#edges-chance")).to_contain_text("from shifted features")
        page.locator("#edges-by").select_option("attribution")
        expect(page.locator("#chance")).to_be_hidden()
        expect(page.locator("#edges-chance")).to_have_text(re.compile("^[0-9,]+ edges drawn"))
        eventually(lambda: page.evaluate("() => window.__app.graph.nodes().some(node => node.feature < 0)"))


def test_stop_ends_within_a_token(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        page.fill("#prompt", "Once upon a time")
        long_run(page)
        page.click("#run")
        eventually(lambda: len(tokens(page)) > 8, 60)
        page.click("#stop")
        expect(page.locator("#run")).to_be_visible()
        assert len(tokens(page)) < 480
        expect(page.locator("#outcome")).to_contain_text("stopped")


# -- a past session, without the model ------------------------------------------


def test_a_past_session_opens_with_the_model_gone(browser: Browser, tmp_path: Path):
    root = checkout_without_weights(tmp_path)
    with running_shell(tmp_path / "home") as shell, opened(browser, shell) as page:
        run(page, PROMPT, 3)
        before = tokens(page)
    with running_shell(tmp_path / "home", root=root) as shell, opened(browser, shell) as page:
        eventually(lambda: tokens(page) == before)
        expect(page.locator("#sessions [data-session]")).to_have_count(2)  # and the first look
        page.locator("#sessions [data-session]").first.click()
        page.locator("#tokens [data-position]").nth(3).click()
        expect(page.locator("#active [data-feature]").first).to_be_visible()
        # A new run says what is missing and what to do, and keeps the prompt.
        page.fill("#prompt", "The capital of Spain is")
        page.click("#run")
        expect(page.locator("#failure")).to_contain_text("missing", timeout=LOADED)
        expect(page.locator("#failure")).to_contain_text("Put the file back")
        expect(page.locator("#prompt")).to_have_value("The capital of Spain is")
        assert tokens(page) == before


def checkout_without_weights(tmp_path: Path) -> Path:
    """A copy of the program whose model file is gone."""
    root = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "model.safetensors")
    for name in ("axon_shell", "plugins", "ui"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignore)
    return root


# -- what goes wrong ------------------------------------------------------------


def test_mistakes_are_told_in_place_and_the_prompt_stays(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        failure = page.locator("#failure")
        page.fill("#prompt", "   ")
        page.click("#run")
        expect(failure).to_contain_text("The prompt is empty.")
        page.fill("#prompt", "word " * 600)
        page.click("#run")
        expect(failure).to_contain_text("at most 512", timeout=LOADED)
        expect(page.locator("#prompt")).to_have_value("word " * 600)
        run(page, PROMPT, 2)
        expect(failure).to_be_hidden()


def test_a_bad_temperature_is_refused(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        answer = page.evaluate(
            """async () => { try {
                await window.__app.actions.run('x', {temperature: 99}); return null;
            } catch (error) { return String(error.message ?? error); } }"""
        )
        shown = page.locator("#failure").inner_text()
        assert "temperature is 99" in f"{answer} {shown}"


def test_a_second_run_while_one_is_going_is_refused(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as first, opened(browser, shell_server) as second:
        second.fill("#prompt", PROMPT)
        first.fill("#prompt", "Once upon a time")
        long_run(first)
        first.click("#run")
        eventually(lambda: len(tokens(first)) > 5, 60)
        refusal = call(second, "run", prompt="x", model="tiny-world", saes=[], settings={})
        assert not refusal["ok"] and refusal["error"]["kind"] == "busy"
        call(first, "stop")
        expect(first.locator("#run")).to_be_visible(timeout=LOADED)


def test_a_lost_program_is_told(browser: Browser, tmp_path: Path):
    with running_shell(tmp_path) as shell, opened(browser, shell, faults=True) as page:
        shell.process.kill()
        shell.process.wait()
        expect(page.locator("#disconnected")).to_be_visible(timeout=30_000)


def test_an_unwritable_data_folder_is_told_and_sessions_still_run(browser: Browser, tmp_path: Path):
    (tmp_path / "logs").mkdir()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with running_shell(tmp_path / "logs", AXON_HOME=str(blocked)) as shell, opened(browser, shell) as page:
        expect(page.locator("#problems")).to_contain_text(str(blocked))
        run(page, PROMPT, 2)
        assert any("Paris" in token for token in tokens(page))


# -- hostile text -----------------------------------------------------------------


def test_a_hostile_prompt_is_shown_as_text(browser: Browser, shell_server: Shell):
    hostile = (
        "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script> \u202e {{7*7}} \x00"
    )
    with opened(browser, shell_server) as page:
        run(page, hostile.replace("\x00", ""), 2)
        assert page.title() != "pwned"
        assert (
            page.locator("#tokens img, #tokens script, #sessions img, #sessions script, #graph-labels img").count() == 0
        )
        expect(page.locator("#sessions [data-session]").first).to_contain_text("<img src=x")


# -- looks ------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [(960, 600), (1280, 800), (1920, 1080)])
def test_nothing_is_cut_off(browser: Browser, shell_server: Shell, size: tuple[int, int], scheme: str, tmp_path: Path):
    with opened(browser, shell_server, color_scheme=scheme) as page:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        if not tokens(page):
            run(page, PROMPT, 20)
        page.evaluate("() => window.__app.graph.settle()")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
        for name in ("prompt", "run", "graph", "tokens", "active-pane", "sessions", "status"):
            box = page.locator(f"#{name}").bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0] + 0.5, name
            assert box["y"] >= 0 and box["y"] + box["height"] <= size[1] + 0.5, name
        picture = page.screenshot()
        assert len(picture) > 20_000
        if folder := os.environ.get("AXON_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{size[0]}x{size[1]}-{scheme}.png").write_bytes(picture)


def test_a_text_without_spaces_stays_inside_the_window(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        run(page, "x" * 250, 2)
        for name in ("tokens", "sessions", "status", "side"):
            box = page.locator(f"#{name}").bounding_box()
            assert box and box["x"] + box["width"] <= page.evaluate("innerWidth") + 0.5, name
        assert page.evaluate("() => tokens.scrollWidth <= tokens.clientWidth")


def test_no_webgl_falls_back_to_two_dimensions(
    browser: Browser, chromium: str, chromium_flags: list[str], shell_server: Shell
):
    flags = [flag for flag in chromium_flags if "swiftshader" not in flag and "gpu-blocklist" not in flag]
    flat = browser.browser_type.launch(executable_path=chromium, args=[*flags, "--disable-3d-apis"])
    with opened(flat, shell_server, faults=True) as page:
        expect(page.locator("#graph")).to_have_attribute("data-mode", "2d")
        run(page, PROMPT, 3)
        eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length"))
    flat.close()


def test_the_page_is_up_before_torch(tmp_path: Path, browser: Browser):
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        run(page, PROMPT, 2)
    began = time.monotonic()
    with running_shell(tmp_path) as shell:
        up = time.monotonic() - began
        maps = Path(f"/proc/{shell.process.pid}/maps")
        if maps.exists():
            assert "libtorch" not in maps.read_text()
        with opened(browser, shell) as page:
            eventually(lambda: len(tokens(page)) > 3)
            painted = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(json.dumps({"address_printed_s": round(up, 2), "first_contentful_paint_ms": round(painted)}))


# -- models that must be downloaded -------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A hub with GPT-2 in true format but small, and one of its SAEs."""
    root = tmp_path_factory.mktemp("repositories")
    random_weights.gpt2(root / "gpt2", n_embd=64, n_layer=9, n_head=4, vocab_size=1000)
    random_weights.gpt2_res_jb(root / "jbloom/GPT2-Small-SAEs-Reformatted", d_in=64, d_sae=512, bias=0)
    with local_hub(root) as served:
        served.gated.add("google/gemma-2-2b")
        yield served


def test_a_model_is_downloaded_cancelled_taken_up_and_run(browser: Browser, hub: LocalHub, tmp_path: Path):
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    with (
        running_shell(tmp_path / "home", AXON_OFFLINE="0", HF_HUB_OFFLINE="0", **online) as shell,
        opened(browser, shell) as page,
    ):
        option = page.locator("#model optgroup[label='GPT-2'] option[value='gpt2-small']")
        expect(option).to_contain_text("548 MB to download")
        hub.asked.clear()
        page.select_option("#model", "gpt2-small")
        card = page.locator("#loading")
        expect(card).to_contain_text(
            "gpt2-small and gpt2-small/8-res-jb must be downloaded first (699 MB).", timeout=LOADED
        )
        assert hub.asked == []  # nothing is fetched before the user says so

        hub.slow = 0.02
        page.click("#download")
        expect(card).to_contain_text("Downloading gpt2-small")
        expect(card.locator("small")).to_contain_text(re.compile(r"[1-9][\d.]* MB of 4\d MB"))
        assert 0 < page.evaluate("() => document.querySelector('#loading progress').value") < 45e6
        page.click("#cancel")
        expect(card).to_be_hidden()
        expect(page.locator("[data-status='engine']")).to_have_text("no model loaded")

        hub.slow = 0
        hub.asked.clear()
        page.fill("#prompt", "The cat")
        page.click("#run")  # says again what is missing
        expect(page.locator("#failure")).to_contain_text("must be downloaded first")
        page.click("#download")
        expect(page.locator("[data-status='engine']")).to_have_text("ready", timeout=LOADED)
        assert hub.requests_for("model.safetensors")[0].startswith("bytes=")  # from where it was cancelled
        expect(option).not_to_contain_text("download")

        run(page, "The cat", max_tokens=3)
        expect(page.locator("#active [data-feature]").first).to_have_attribute("data-feature", re.compile(r"^\d+$"))
        expect(page.locator("#notes")).to_contain_text("trained on texts of 128 tokens")


def test_saes_are_found_by_search_and_refused_ones_say_why(browser: Browser, shell_server: Shell):
    with opened(browser, shell_server) as page:
        page.select_option("#model", "gemma-2-2b")
        page.click("#saes")
        rows = page.locator("#saes-found label")
        expect(rows.first).to_contain_text("layer 12, after the block")
        expect(page.locator("#saes-popover p")).to_contain_text("60 of 1731 shown")
        page.fill("#saes-search", "gemmascope-mlp-65k layer nothing")
        expect(page.locator("#saes-popover p")).to_contain_text("None found.")
        page.fill("#saes-search", "0-clt-hp")
        refused = page.locator("#saes-found label.refused").first
        expect(refused).to_contain_text("cannot be used: it is one layer of a cross-layer transcoder")
        expect(refused.locator("input")).to_be_disabled()
        page.fill("#saes-search", "20-gemmascope-res-16k")
        page.check("input[value='gemma-2-2b/20-gemmascope-res-16k']")
        expect(page.locator("#saes-count")).to_have_text("2")
        page.keyboard.press("Escape")
        page.select_option("#model", "gpt2-medium")
        page.click("#saes")
        expect(page.locator("#saes-popover p")).to_contain_text("No SAE is published for it")
        expect(page.locator("#saes-count")).to_have_text("0")


def test_ones_own_models_are_offered_with_what_is_known_of_them(browser: Browser, tmp_path: Path):
    entries = '[[models]]\nid = "mine"\nrepository = "me/mine"\n[[saes]]\nid = "mine/1"\nrepository = "me/sae"\n'
    (tmp_path / "config.toml").write_text(entries)
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        expect(page.locator("#model optgroup[label='Your own'] option")).to_have_text("mine · not installed")
        page.select_option("#model", "mine")
        expect(page.locator("#loading")).to_contain_text("mine")
        page.click("#saes")
        row = page.locator("#saes-found label")
        expect(row.locator("b")).to_have_text("mine/1")  # its hook point and width show when it is loaded
        expect(row.locator("small")).to_have_text("mine/1 · not installed")
        expect(page.locator("#problems-count")).to_be_hidden()


def test_a_gated_model_leads_to_its_licence(browser: Browser, hub: LocalHub, tmp_path: Path):
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    with (
        running_shell(tmp_path / "home", AXON_OFFLINE="0", HF_HUB_OFFLINE="0", **online) as shell,
        opened(browser, shell) as page,
    ):
        page.select_option("#model", "gemma-2-2b")
        page.click("#download", timeout=LOADED)
        card = page.locator("#loading")
        expect(card).to_contain_text("is gated")
        expect(card).to_contain_text("https://huggingface.co/google/gemma-2-2b")
        expect(page.locator("#licence")).to_have_text("Open its page")
        expect(page.locator("#retry")).to_be_visible()


# -- what stays ---------------------------------------------------------------


def test_what_is_set_on_the_page_stays_and_the_files_comments_too(browser: Browser, tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text("# mine\n[settings]\ntop_k = 7  # few\n")
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        page.click("#settings")
        expect(page.locator("#setting-top_k")).to_have_value("7")
        expect(page.locator("#setting-temperature")).to_have_value("0.7")
        page.fill("#setting-temperature", "1.25")
        page.fill("#setting-max_tokens", "-3")  # the program would refuse it
        page.keyboard.press("Escape")
        eventually(lambda: "temperature = 1.25" in config.read_text())
        run(page, PROMPT, temperature=1.25)
        page.select_option("#edges-by", "co-activation")
        page.click("#theme")
        chosen = page.evaluate("document.documentElement.dataset.theme")
        page.click("#saes")
        page.check("#saes-found input[value='tiny-world/3-res']")
        page.keyboard.press("Escape")
        eventually(lambda: "tiny-world/3-res" in config.read_text(), LOADED / 1000)
        page.click("#settings")
        page.fill("#setting-top_p", "0.5")  # and at once:
        page.goto("about:blank")
        eventually(lambda: "top_p = 0.5" in config.read_text())
    text = config.read_text()
    assert text.startswith("# mine\n[settings]\ntop_k = 7  # few\n") and "max_tokens = -3" not in text
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:  # at another address, in a fresh profile
        expect(page.locator("#edges-by")).to_have_value("co-activation")
        assert page.evaluate("document.documentElement.dataset.theme") == chosen
        expect(page.locator("#saes-count")).to_have_text("2")
        page.click("#settings")
        expect(page.locator("#setting-temperature")).to_have_value("1.25")
        page.click("#settings-defaults")
        expect(page.locator("#setting-top_k")).to_have_value("50")
        eventually(lambda: "top_k = 50  # few" in config.read_text() and "temperature = 0.7" in config.read_text())
        assert page.locator("#problems").is_hidden()


def test_what_cannot_be_kept_works_for_now_and_is_told_once(browser: Browser, tmp_path: Path):
    (tmp_path / "config.toml").write_text("[settings\n")
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        expect(page.locator("#problems li")).to_have_count(1)
        sampling(page, temperature=0.5, top_k=3)
        told = page.locator("#problems li", has_text="Until the next start only")
        expect(told).to_have_count(1)
        expect(told).to_contain_text("axon-shell config check")
        sampling(page, temperature=0.6)
        page.wait_for_timeout(600)
        expect(told).to_have_count(1)
        page.click("#settings")
        expect(page.locator("#setting-temperature")).to_have_value("0.6")
        assert (tmp_path / "config.toml").read_text() == "[settings\n"

        (tmp_path / "config.toml").write_text("[settings]  # mended\n")  # the next change brings the earlier ones along
        page.fill("#setting-top_p", "0.5")
        eventually(lambda: "top_p = 0.5" in (tmp_path / "config.toml").read_text())
    kept = (tmp_path / "config.toml").read_text()
    assert "# mended" in kept and "temperature = 0.6" in kept and "top_k = 3" in kept


# -- plugins ------------------------------------------------------------------

ANALYSERS = """
from axon_shell import Analyser, hookimpl

@hookimpl
def register_analysers(register):
    register(Analyser("letters", lambda step: len(step["piece"]), "<b>letters</b> of it", 8, "letters"))
    register(Analyser("shout", lambda step: step["piece"].upper(), "the token in capitals"))
    register(Analyser("broken", lambda step: step["nothing"], "fails"))
"""


def test_tokens_are_colored_by_what_an_analyser_of_the_users_finds(browser: Browser, tmp_path: Path):
    (tmp_path / "mine.py").write_text(ANALYSERS)
    (tmp_path / "config.toml").write_text('[plugins]\nload = ["mine.py"]\n')
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        run(page, PROMPT)
        options = page.locator("#color-by option").all_inner_texts()
        assert options == ["selected feature", "unexplained share", "entropy", "surprise", "letters"]
        page.select_option("#color-by", label="letters")
        expect(page.locator("#coloring")).to_have_text(
            "colored by letters, in full from 8 letters: <b>letters</b> of it"
        )
        ground = (
            "(text) => [...document.querySelectorAll('#tokens [data-position]')].find((t) => t.textContent == text)"
        )
        alpha = f"(text) => ({ground})(text).style.backgroundColor"
        assert page.evaluate(alpha, " capital") != page.evaluate(alpha, " of") != ""
        capital = page.locator("#tokens [data-position]", has_text="capital").first
        capital.click()
        measures = dict(
            zip(
                page.locator("#measures dt").all_inner_texts(),
                page.locator("#measures dd").all_inner_texts(),
                strict=True,
            )
        )
        assert measures["letters"] == "8 letters" and measures["shout"] == "“ CAPITAL”" and measures["broken"] == "–"
        capital.hover()
        expect(page.locator("#token-card")).to_contain_text("letters 8 letters")
        expect(page.locator("#problems li", has_text="analyser broken")).to_contain_text("KeyError")
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        expect(page.locator("#color-by")).to_have_value("analysis letters")
        assert page.evaluate(alpha, " capital") != ""
    (tmp_path / "config.toml").unlink()
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:  # the plugin is gone, its choice is not
        expect(page.locator("#tokens [data-position]").first).to_be_visible()
        expect(page.locator("#color-by")).to_have_value("analysis letters")
        assert page.evaluate(alpha, " capital") == ""
        page.select_option("#color-by", label="surprise")
        expect(page.locator("#coloring")).to_contain_text("colored by surprise")


def test_many_problems_scroll_and_the_window_works(browser: Browser, tmp_path: Path):
    for number in range(12):
        (tmp_path / f"plugin{number}.py").write_text(f"raise RuntimeError('{'a long story ' * 12}{number}')\n")
    names = ", ".join(f'"plugin{number}.py"' for number in range(12))
    (tmp_path / "config.toml").write_text(f"offlin = 1\n[plugins]\nload = [{names}]\n")
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        page.set_viewport_size({"width": 960, "height": 600})
        expect(page.locator("#problems li")).to_have_count(13)
        expect(page.locator("#problems")).to_contain_text("Did you mean offline?")
        boxes = page.evaluate(
            "ids => ids.map((id) => document.getElementById(id).getBoundingClientRect().toJSON())",
            ["problems", "graph", "tokens"],
        )
        assert boxes[0]["bottom"] <= boxes[1]["top"] and boxes[1]["height"] > 150 and boxes[2]["bottom"] <= 600
        page.locator("#problems ul").focus()
        page.keyboard.press("End")
        expect(page.locator("#problems li").last).to_be_in_viewport()
        page.screenshot(path=str(tmp_path / "problems.png"))
        count = page.get_by_role("button", name="13 problems")
        expect(count).to_have_text("13")
        page.get_by_label("Dismiss the problems").press("Enter")
        expect(page.locator("#problems")).to_be_hidden()
        expect(count).to_be_focused()
        run(page, PROMPT)
        assert " Paris" in tokens(page)
        count.press("Enter")  # what was dismissed can be read again
        expect(page.locator("#problems li")).to_have_count(13)
        expect(count).to_have_attribute("aria-expanded", "true")


# -- when something ended badly -----------------------------------------------


def test_the_report_of_a_crash_can_be_copied_and_is_shown_until_dismissed(browser: Browser, tmp_path: Path):
    with running_shell(tmp_path) as shell:
        shell.process.send_signal(signal.SIGSEGV)
        shell.process.wait(20)
    with (
        running_shell(tmp_path) as shell,
        opened(browser, shell, permissions=["clipboard-read", "clipboard-write"]) as page,
    ):
        notice = page.locator("#crash")
        expect(notice).to_contain_text("AXON Shell ended unexpectedly last time.")
        notice.get_by_role("button", name="Copy the report").click()
        expect(notice.get_by_role("button", name="Copied")).to_be_visible()
        assert "Segmentation fault" in page.evaluate("navigator.clipboard.readText()")
        page.get_by_label("Dismiss the report").click()
        expect(notice).to_be_hidden()
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        expect(notice).to_be_hidden()


def test_a_fault_of_the_page_is_told_logged_and_can_be_copied(browser: Browser, tmp_path: Path):
    with running_shell(tmp_path) as shell, opened(browser, shell, faults=True) as page:
        page.evaluate("setTimeout(() => { throw new TypeError('<b>lost</b>') })")
        expect(page.locator("#fault")).to_contain_text("TypeError: <b>lost</b>")
        # No permission for the clipboard here: what is selected is copied instead.
        page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
        page.locator("#fault").get_by_role("button", name="Copy the report").click()
        expect(page.locator("#fault").get_by_role("button", name="Copied")).to_be_focused()
        page.get_by_label("Dismiss the fault").click()
        expect(page.locator("#fault")).to_be_hidden()
        log = tmp_path / "logs" / "axon-shell.log"
        eventually(lambda: "a fault of the page: TypeError: <b>lost</b>" in log.read_text())
