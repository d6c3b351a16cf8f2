"""The exported page as anybody opens it: from disk, in real Chromium, with no network and no program."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from stored import session_messages
from test_exporters import HOSTILE, UID, exported, few_features, hostile, labelled, odd_sessions, session

from axon_shell import Message

SAE = "m/2-res"


@pytest.fixture(scope="module")
def browser(chromium: str, chromium_flags: list[str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=chromium_flags)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, messages: list[Message], folder: Path, size: tuple[int, int] = (1280, 800)
) -> Iterator[Page]:
    """The exported page; afterwards it must have said nothing in the console and asked nobody for anything."""
    path = folder / "session.html"
    path.write_bytes(exported("html", messages))
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark", offline=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("request", lambda request: request.url == path.as_uri() or faults.append(f"request: {request.url}"))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', ({violatedDirective: what}) => console.error('policy: ' + what))"
    )
    page.goto(path.as_uri())
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    yield page
    context.close()
    assert faults == []


def steps_of(messages: list[Message]) -> list[Message]:
    return [step for step in messages if step["kind"] == "step"]


def number(value: float) -> str:
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


def percent(share: float) -> str:
    value = 100 * share
    return "< 0.01 %" if 0 < value < 0.01 else f"{value:.{0 if value >= 10 else 1 if value >= 0.1 else 2}f} %"


def cursor(page: Page) -> int:
    return int(page.locator("#tokens [aria-selected='true']").get_attribute("data-position"))


def listed(page: Page) -> list[str]:
    return page.locator("#active button:visible .activation").all_inner_texts()


# -- what it shows ------------------------------------------------------------


def test_the_tokens_and_the_cursor(browser: Browser, tmp_path: Path):
    messages = session(20)
    with opened(browser, messages, tmp_path) as page:
        expect(page).to_have_title("The capital of France is · AXON Shell")
        expect(page.locator("#title")).to_have_text("The capital of France is")
        tokens = page.locator("#tokens [role='option']")
        expect(tokens).to_have_count(20)
        assert tokens.all_text_contents() == ["start", *(step["piece"] for step in steps_of(messages)[1:])]
        expect(page.locator("#tokens .bos")).to_have_count(1)
        expect(page.locator("#tokens .prompt")).to_have_count(5)
        expect(page.locator("#tokens .written")).to_have_count(14)
        assert cursor(page) == 5  # the last of the prompt: what comes next was written
        expect(page.locator("#tokens .later")).to_have_count(14)
        expect(page.locator("#ending")).to_have_text("finished: all tokens written")


def test_the_numbers_are_those_of_the_messages(browser: Browser, tmp_path: Path):
    messages = session(12)
    with opened(browser, messages, tmp_path) as page:
        page.keyboard.press("Home")
        expect(page.locator("#silent")).to_contain_text("BOS")
        for step in steps_of(messages)[1:]:
            page.keyboard.press("ArrowRight")
            reading = step["saes"][SAE]
            assert cursor(page) == step["position"]
            assert listed(page) == [number(active["activation"]) for active in reading["features"]]
            measures = page.locator("#measures").inner_text()
            assert f"{reading['l0']}" in measures and f"{number(step['entropy'])} nats" in measures
            assert f"{number(-step['logprob'])} nats" in measures
            assert percent(reading["unexplained"]) in measures
            likely = page.locator("#next li").all_inner_texts()
            for one, said in zip(step["alternatives"], likely, strict=False):
                share = math.exp(one["logprob"])  # the page holds five digits of its logarithm
                assert one["text"].strip() in said
                assert any(percent(share * near) in said for near in (0.9998, 1, 1.0002))
            if step["next"]:
                assert step["next"]["text"] in page.locator("#at").text_content()
            names = page.locator("#active li:visible .name").all_inner_texts()
            origins = page.locator("#active li:visible .origin").all_inner_texts()
            for active, name, origin in zip(reading["features"], names, origins, strict=True):
                assert name == (active["label"] or f"feature {active['feature']} (not in the label set)")
                automatic = active["label_origin"] == "automatic"
                assert ("automatic, not a description" in origin) == automatic
                assert ("label by Neuronpedia" in origin) == (active["label_origin"] == "neuronpedia")
        first = page.locator("#active button.automatic .name").first
        assert first.evaluate("one => getComputedStyle(one).fontStyle") == "italic"


def test_a_feature_chosen_colors_the_tokens_and_lists_where_it_fired(browser: Browser, tmp_path: Path):
    messages = session(40)
    with opened(browser, messages, tmp_path) as page:
        active = steps_of(messages)[5]["saes"][SAE]["features"][0]
        page.locator("#active button").first.click()
        where = [
            (step["position"], one["activation"])
            for step in steps_of(messages)
            for one in step["saes"][SAE]["features"]
            if one["feature"] == active["feature"]
        ]
        expect(page.locator("#feature")).to_be_visible()
        expect(page.locator("#feature-origin")).to_contain_text(f"feature {active['feature']}")
        expect(page.locator("#coloring")).to_have_value("feature")
        places = page.locator("#fired button")
        assert [int(place.get_attribute("data-position")) for place in places.all()] == [at for at, _ in where]
        assert places.locator("small").all_inner_texts() == [number(activation) for _, activation in where]
        lit = page.locator("#tokens [role='option']").evaluate_all(
            "all => all.flatMap((one, i) => one.style.backgroundColor ? [i] : [])"
        )
        strongest = max(activation for _, activation in where)
        assert lit == [at for at, activation in where if activation / strongest > 0.02]
        places.last.click()
        assert cursor(page) == where[-1][0]
        expect(page.locator("#graph circle.selected")).to_have_count(1)
        page.keyboard.press("Escape")
        expect(page.locator("#feature")).to_be_hidden()
        expect(page.locator("#coloring")).to_have_value("surprise")


def test_the_graph_follows_the_cursor(browser: Browser, tmp_path: Path):
    messages = session(30)
    with opened(browser, messages, tmp_path) as page:
        drawn = "all => all.filter(dot => dot.getAttribute('r') !== '0').map(dot => Number(dot.dataset.place))"
        seen: set[int] = set()
        page.keyboard.press("Home")
        for step in steps_of(messages)[1:]:
            page.keyboard.press("ArrowRight")
            seen |= {active["feature"] for active in step["saes"][SAE]["features"]}
            assert len(page.locator("#graph circle").evaluate_all(drawn)) == len(seen)
        expect(page.locator("#graph-words")).to_contain_text("neither a cause nor a likeness")
        expect(page.locator("#graph-count")).to_contain_text(f"{len(seen)} features, ")
        assert page.locator("#graph line").count() > 10
        largest = page.locator("#graph circle").evaluate_all(
            "all => all.sort((a, b) => b.getAttribute('r') - a.getAttribute('r'))[0].dataset.place"
        )
        page.locator(f"#graph circle[data-place='{largest}']").click()
        expect(page.locator("#feature")).to_be_visible()
        page.locator("#partners button").first.click()
        expect(page.locator("#feature-name")).to_be_visible()


def test_one_of_several_saes(browser: Browser, tmp_path: Path):
    messages = session(12, saes=(SAE, "m/0-res"))
    for step in steps_of(messages):
        for active in step["saes"]["m/0-res"]["features"]:
            active["activation"] += 100
    with opened(browser, messages, tmp_path) as page:
        page.select_option("#sae", "1")
        reading = steps_of(messages)[5]["saes"]["m/0-res"]
        assert listed(page) == [number(active["activation"]) for active in reading["features"]]
        page.select_option("#coloring", "unexplained")
        expect(page.locator("#colored")).to_contain_text("the SAE does not explain")


def test_how_it_was_made(browser: Browser, tmp_path: Path):
    messages = session()
    messages[0]["notes"] = ["The SAE was trained on another model."]
    with opened(browser, messages, tmp_path) as page:
        page.locator("summary").press("Enter")
        expect(page.locator("#facts")).to_contain_text("seed 7")
        expect(page.locator("#notes")).to_have_text("The SAE was trained on another model.")
        expect(page.locator("#made-with")).to_have_text(re.compile(r"^made with AXON Shell \d"))


# -- moving -------------------------------------------------------------------


def test_it_is_moved_by_keyboard(browser: Browser, tmp_path: Path):
    with opened(browser, session(25), tmp_path) as page:
        for key, place in (("End", 24), ("ArrowLeft", 23), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1)):
            page.keyboard.press(key)
            assert cursor(page) == place
            expect(page.locator("#place")).to_have_text(f"{place} of 24")
        page.locator("#scrubber").focus()
        page.keyboard.press("ArrowRight")
        assert cursor(page) == 2
        page.locator("#scrubber").fill("17")
        assert cursor(page) == 17
        assert "w17" in page.locator("#scrubber").get_attribute("aria-valuetext")
        expect(page.locator("#announce")).to_contain_text("w17")
        page.locator("#tokens [data-position='9']").click()
        assert cursor(page) == 9
        assert page.locator("#tokens").get_attribute("aria-activedescendant") == "token-9"


def test_it_plays_and_pauses(browser: Browser, tmp_path: Path):
    with opened(browser, session(12), tmp_path) as page:
        page.select_option("#speed", "16")
        page.locator("#speed").blur()
        page.keyboard.press("Space")
        expect(page.locator("#play")).to_have_text("Pause")
        expect(page.locator("#place")).to_have_text("11 of 11")
        expect(page.locator("#play")).to_have_text("Play")
        page.locator("#play").click()  # begins again
        expect(page.locator("#play")).to_have_text("Pause")
        page.keyboard.press("Space")  # presses the button, which has the focus
        expect(page.locator("#play")).to_have_text("Play")
        at = cursor(page)
        page.evaluate("() => new Promise(done => setTimeout(done, 200))")
        assert cursor(page) == at < 11


def test_all_controls_have_names_and_can_be_reached(browser: Browser, tmp_path: Path):
    with opened(browser, session(12), tmp_path) as page:
        page.locator("#active button").first.click()
        nameless = page.locator("button:visible, select:visible, input:visible").evaluate_all(
            "all => all.filter(({ariaLabel: a, textContent: b, labels: c}) => !(a || b.trim() || c?.length))"
            ".map(one => one.id)"
        )
        assert nameless == []
        page.locator("body").press("Tab")
        reached = set()
        for _ in range(40):
            reached.add(
                page.evaluate("document.activeElement.id || document.activeElement.parentElement?.parentElement?.id")
            )
            page.keyboard.press("Tab")
        assert {
            "sae",
            "coloring",
            "tokens",
            "home",
            "back",
            "play",
            "forward",
            "last",
            "scrubber",
            "speed",
        } - reached <= {"sae"}
        assert "active" in reached


# -- whatever comes -----------------------------------------------------------


def test_a_hostile_session_is_inert(browser: Browser, tmp_path: Path):
    messages = hostile()
    with opened(browser, messages, tmp_path) as page:
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.keyboard.press("Home")
            for _ in steps_of(messages):
                page.keyboard.press("ArrowRight")
            for i in range(3):
                page.locator("#active button").nth(i).click()
        page.select_option("#sae", "1")
        page.locator("summary").click()
        expect(page.locator("img, #top script, main script, footer script")).to_have_count(0)
        assert page.evaluate("document.querySelectorAll('script').length") == 2
        assert "broken" in page.title() and page.title() != "broken"
        texts = page.locator("#tokens [role='option']").all_text_contents()
        assert HOSTILE[0] in texts and HOSTILE[1] in texts
        assert not [text for text in texts if re.search("[\0-\x08\u202a-\u202e\u2066-\u2069]", text)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("kind", [kind for kind in odd_sessions() if kind != "hostile"])
def test_odd_sessions_open(browser: Browser, tmp_path: Path, kind: str):
    messages = odd_sessions()[kind]
    with opened(browser, messages, tmp_path) as page:
        for key in ("End", "ArrowLeft", "Home", "ArrowRight", "Space", "Escape"):
            page.keyboard.press(key)
        expect(page.locator("#tokens [role='option']")).to_have_count(len(steps_of(messages)))
        expect(page.locator("#graph-pane")).to_be_visible(visible=bool(messages) and kind != "no SAE")
        if kind == "an error":
            expect(page.locator("#ending")).to_contain_text("There is too little memory. Choose a smaller model.")
        if kind == "interrupted":
            expect(page.locator("#ending")).to_contain_text("interrupted")


@pytest.mark.parametrize("size", [(700, 700), (900, 700), (1280, 800), (1920, 1080), (400, 800)])
def test_nothing_is_cut_off(browser: Browser, tmp_path: Path, size: tuple[int, int]):
    with opened(browser, session(60), tmp_path, size) as page:
        page.locator("#active button").first.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for name in ("#top", "#tokens", "#transport", "#graph", "#at", "#active", "#feature", "summary"):
            box = page.locator(name).bounding_box()
            assert box["width"] > 100 and box["height"] > 10, name
            assert box["x"] >= 0 and box["x"] + box["width"] <= size[0] + 1, name


def test_it_prints(browser: Browser, tmp_path: Path):
    with opened(browser, session(60), tmp_path) as page:
        page.locator("#active button").first.click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        expect(page.locator("#transport")).to_be_hidden()
        expect(page.locator("#facts")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"
        for name in ("#tokens", "#graph", "#now", "#feature"):
            assert page.locator(name).bounding_box()["height"] > 60, name
        assert page.locator("#now").evaluate("one => one.scrollHeight <= one.clientHeight + 1")
        page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_a_step_through_two_thousand_tokens_is_quick(browser: Browser, tmp_path: Path):
    messages = labelled(few_features(session_messages(UID, 2001), 900))
    with opened(browser, messages, tmp_path) as page:
        page.locator("#active button").first.click()
        took = page.evaluate(
            """() => {
                const press = (key) => {
                    const began = performance.now();
                    document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
                    return performance.now() - began;
                };
                const jump = Math.max(press('End'), press('Home'));
                const steps = Array.from({length: 300}, () => press('ArrowRight')).sort((a, b) => a - b);
                return {jump, median: steps[150], p95: steps[285], most: steps[299]};
            }"""
        )
        print("ms of script at 2,000 tokens:", {name: round(value, 1) for name, value in took.items()})
        assert cursor(page) == 300
        assert took["median"] < 100  # of 300: a busy machine may hold up any single one
