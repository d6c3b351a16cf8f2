"""What can befall the page: it loads, loses the program or the graphics card, must not move, shows what is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Shell, running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, PROMPT, browser, eventually, opened, run, tokens

from axon_shell.records import Label, LabelFile, Message
from benchmarks import page as bench
from benchmarks.page import SAE, invented, served

__all__ = ["browser"]  # the fixture

FRAMES = "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
PLACES = "() => window.__app.graph.nodes().map(({ feature, place }) => [feature, ...place])"
ON_SCREEN = "() => window.__app.graph.nodes().map(({ x, y }) => [x.toFixed(1), y.toFixed(1)])"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that nobody has used yet: it shows the recorded session."""
    with running_shell(tmp_path_factory.mktemp("shell")) as shell:
        yield shell


def test_the_model_is_loaded_in_stages_and_then_writes_to_the_end(browser: Browser, shell: Shell):
    with opened(browser, shell) as page:
        card, engine = page.locator("#loading"), page.locator("[data-status='engine']")
        expect(engine).to_contain_text("loading: ")
        page.click("#close-first-look")  # which leaves them to the status bar
        expect(card.locator("li.now")).to_be_visible()
        expect(card).to_be_hidden(timeout=2 * LOADED)
        expect(engine).to_have_text("ready")
        run(page, PROMPT, 4)
        expect(page.locator("#ending")).to_have_text("finished: all tokens written")
        expect(page.locator("#stop")).to_be_hidden()


def test_without_the_program_the_session_stays_and_then_all_goes_on(browser: Browser, shell: Shell):
    with opened(browser, shell, faults=True) as page:
        before = tokens(page)
        page.context.set_offline(True)
        expect(page.locator("#disconnected")).to_contain_text("Trying again", timeout=2 * LOADED)
        expect(page.locator("[data-status='engine']")).to_have_text("disconnected")
        assert tokens(page) == before
        page.locator("#tokens [data-position='2']").click()
        page.locator("#active [data-feature]").first.click()
        expect(page.locator("#feature")).to_contain_text("In this session")
        page.fill("#prompt", "The capital of Spain is")
        page.press("#prompt", "Enter")
        expect(page.locator("#prompt")).to_have_value("The capital of Spain is")
        page.context.set_offline(False)
        expect(page.locator("#disconnected")).to_be_hidden(timeout=LOADED)
        run(page, "The capital of Spain is", 2)
        assert tokens(page) != before


def test_a_graphics_card_that_lets_go_is_told_and_the_picture_comes_back(browser: Browser, shell: Shell):
    with opened(browser, shell, faults=True) as page:
        page.evaluate("() => window.__app.graph.settle()")
        notice = page.locator("#graph-notice")
        page.evaluate(
            """() => {
                const gl = document.querySelector('#graph canvas').getContext('webgl2');
                window.lost = gl.getExtension('WEBGL_lose_context');
                window.lost.loseContext();
            }"""
        )
        expect(notice).to_contain_text("let go of the picture")
        page.evaluate(FRAMES)
        empty = len(page.locator("#graph canvas").first.screenshot())
        page.click("#dimensions")  # what the notice advises
        expect(page.locator("#graph")).to_have_attribute("data-mode", "2d")
        eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length"))
        page.click("#dimensions")
        page.evaluate("() => window.lost.restoreContext()")
        expect(notice).to_be_hidden()
        page.evaluate("() => window.__app.graph.settle()")
        page.evaluate(FRAMES)
        assert page.evaluate("() => window.__app.graph.stats().calls") == 2
        assert len(page.locator("#graph canvas").first.screenshot()) > 1.5 * empty


def test_with_less_motion_nothing_moves_by_itself(browser: Browser, shell: Shell):
    with opened(browser, shell) as page:  # which asks for less motion
        page.evaluate("() => window.__app.graph.settle()")
        page.evaluate("() => { const { state } = window.__app; state.inspect(state.graph.nodes[3].feature) }")
        page.evaluate(FRAMES)
        at_once = page.evaluate(ON_SCREEN)
        page.click("#play")
        for _ in range(3):
            page.wait_for_timeout(150)
            assert (
                page.evaluate("() => document.getAnimations().filter(one => one.playState === 'running').length") == 0
            )
            assert not page.evaluate("() => window.__app.graph.stats().moving")
        page.evaluate("() => { const { state } = window.__app; state.play(false); state.moveTo(Infinity) }")
        eventually(lambda: page.evaluate(ON_SCREEN) == at_once)


DRAWN = "uid => { const { session, graph } = window.__app.state; return session?.uid === uid && graph !== null; }"


def test_two_browsers_lay_a_session_out_the_same(
    browser: Browser, shell: Shell, chromium: str, chromium_flags: list[str]
):
    found = []
    another = browser.browser_type.launch(executable_path=chromium, args=chromium_flags)
    for one in (browser, another):
        with opened(one, shell) as page:
            row = page.locator("#sessions .session").last
            uid = row.get_attribute("data-session")
            row.click()
            eventually(lambda page=page, uid=uid: page.evaluate(DRAWN, uid))
            page.evaluate("() => window.__app.graph.settle()")
            found.append(page.evaluate(PLACES))
    another.close()
    assert len(found[0]) > 20 and found[0] == found[1]


# -- what is hostile ------------------------------------------------------------

HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">",
    "<script>document.title='pwned'</script>",
    "</span></div><iframe src=javascript:alert(1)>",
    " \u202eturned\u2066 around",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "x" * 2_000,
    "{{7*7}} ${7*7} \x1b[31m \U0001f600",
    "Z\u0351\u036b\u0343\u036a\u0302" * 40,
)
LONG = 10_000  # characters


def hostile_session() -> list[Message]:
    start, *steps, end = invented(40)
    for step in steps:
        step["piece"] = step["text"] = HOSTILE[step["position"] % len(HOSTILE)]
    prompt = (" ".join(HOSTILE) * 10)[:LONG]
    return [start | {"prompt": prompt}, *steps, end]


def test_nothing_hostile_runs_or_breaks_the_page(browser: Browser, tmp_path: Path):
    with served(tmp_path) as shell:
        texts = [*HOSTILE, "long " * (LONG // 5)]
        labelled = [
            (feature, Label(texts[feature % len(texts)], "neuronpedia", "invented")) for feature in range(24_576)
        ]
        store = shell.bridge.labels.store
        assert store
        store.replace_files(SAE, [(LabelFile("invented", "2"), labelled)], ["invented"], complete=True)
        uid = shell.keep(hostile_session())
        shell.keep(hostile_session())
        with bench.opened(browser, shell, 960, 600) as page:
            said: list[str] = []
            page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
            page.on("pageerror", lambda error: said.append(str(error)))
            shell.show(page, uid)
            whole(page)
            page.locator("#tokens [data-position='8']").click()
            for row in page.locator("#active [data-feature]").all()[:9]:
                row.click()
                whole(page)
            page.locator("#feature").focus()
            page.keyboard.press("p")
            page.locator("#tokens [data-position='8']").hover()
            expect(page.locator("#token-card")).to_be_visible()
            whole(page)
            for keys in ("Control+k", "k"):
                page.keyboard.press(keys)
                page.keyboard.type("img src")
                page.wait_for_timeout(300)
                whole(page)
                page.keyboard.press("Escape")  # empties the field
                page.keyboard.press("Escape")
            for do in ("edit", "about", "compare"):
                row = page.locator("#sessions .row").first
                row.hover()
                row.locator("[data-menu]").click()
                page.click(f"#session-menu [data-do='{do}']")
                expect(page.locator("dialog[open]")).to_be_visible()
                whole(page)
                page.keyboard.press("Escape")
            assert said == []


def whole(page: Page) -> None:
    """The page is what it was: no text has become a part of it, and each pane and dialog is inside the window."""
    assert page.title() == "AXON Shell"
    found = page.evaluate(
        """() => {
            const inside = (one) => {
                const { left, top, right, bottom } = one.getBoundingClientRect();
                return left >= -1 && top >= -1 && right <= innerWidth + 1 && bottom <= innerHeight + 1;
            };
            const boxes = '#topbar, #sessions-pane, #graph-pane, #side, #timeline, #status, dialog[open],'
                + ':popover-open, #token-card:not([hidden])';
            const { scrollWidth, scrollHeight } = document.documentElement;
            const lines = new Map(); // tokens of a line stand in the order of the text
            const turned = [...document.querySelectorAll('#tokens [data-position]')].filter((token) => {
                const { left, top } = token.getClientRects()[0];
                const before = lines.get(top) ?? -1;
                lines.set(top, left);
                return left < before;
            });
            return {
                strangers: document.querySelectorAll('body :is(img, script, iframe, object, embed)').length,
                outside: [...document.querySelectorAll(boxes)].filter(one => !inside(one)).map(one => one.id),
                wide: ['tokens', 'sessions', 'side', 'feature', 'active'].filter(id => {
                    const one = document.getElementById(id);
                    return one.scrollWidth > one.clientWidth + 1;
                }),
                scrolls: scrollWidth > innerWidth || scrollHeight > innerHeight,
                turned: turned.map(one => one.textContent.slice(0, 20)),
            };
        }"""
    )
    assert found == {"strangers": 0, "outside": [], "wide": [], "scrolls": False, "turned": []}
