"""Labels as a user sees them: the real program, real Chromium, and a Neuronpedia of this test's own on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Shell, running_shell
from local_neuronpedia import Fault, LocalNeuronpedia, local_neuronpedia, neuron, score
from playwright.sync_api import Browser, Locator, Page, expect
from test_page import LOADED, PROMPT, browser, call, eventually, opened, run

__all__ = ["browser"]  # the fixture

MODEL, SOURCE, SAE, WIDTH = "tiny-world", "2-test", "tiny-world/mine", 1280
SECOND = "tiny-world/3-res"  # also read, with the labels that Tiny World brings
ANOTHER = "tiny-world/2-res"  # not read
ON_ITS_WAY = "label on its way"
WAITING = """() => window.__app.state.session.steps.some((step) =>
    Object.values(step.saes).some(({ features }) => features.some((one) => one.label_state === 'pending')))"""
CONFIG = f"""
[start]
model = "{MODEL}"
saes = ["{SAE}", "{SECOND}"]

[[saes]]
id = "{SAE}"
folder = "{(REPOSITORY / "plugins" / "tiny_world" / "saes" / "2-res").as_posix()}"
neuronpedia = "{MODEL}/{SOURCE}"
"""


def concept(feature: int) -> str:
    return f"invented concept {feature}"


def described(feature: int) -> bool:
    """Whether the server has a label of this feature."""
    return feature % 3 != 0


@contextmanager
def publishing() -> Iterator[LocalNeuronpedia]:
    """A Neuronpedia that knows all features of the SAE, and describes two of three."""
    with local_neuronpedia() as site:
        for feature in range(WIDTH):
            label = {"description": concept(feature), "scores": [score(0.75)]}
            site.put(neuron(MODEL, SOURCE, feature, *([label] if described(feature) else [])))
        rows = [{"index": n, "description": concept(n)} for n in range(WIDTH) if described(n)]
        site.export(MODEL, SOURCE, rows, per_batch=100, embedding="absent")
        yield site


@contextmanager
def shell_with(site: LocalNeuronpedia, home: Path, config: str = CONFIG, **environment: str) -> Iterator[Shell]:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(config)
    addresses = {"AXON_NEURONPEDIA_URL": site.url, "AXON_NEURONPEDIA_DATASETS_URL": site.datasets}
    with running_shell(home, **({"AXON_OFFLINE": "0"} | addresses | environment)) as shell:
        yield shell


@pytest.fixture(scope="module")
def site() -> Iterator[LocalNeuronpedia]:
    with publishing() as site:
        yield site


@pytest.fixture(scope="module")
def labelled_shell(site: LocalNeuronpedia, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that several tests share; each looks at other features."""
    with shell_with(site, tmp_path_factory.mktemp("labelled")) as shell:
        yield shell


def rows(page: Page) -> Locator:
    return page.locator("#active li:not([hidden]) > [data-feature]")


def names(page: Page) -> dict[int, str]:
    """What the list of active features calls each of them."""
    return {
        int(feature): name
        for feature, name in page.evaluate(
            "() => [...document.querySelectorAll('#active li:not([hidden]) > [data-feature]')]"
            ".map(row => [row.dataset.feature, row.querySelector('.name').textContent])"
        )
    }


def on_screen(page: Page) -> None:
    """A session is on screen and all its features are named."""
    if SAE not in page.evaluate("() => window.__app.state.session?.start.saes ?? []"):  # the first look
        run(page, PROMPT)
    eventually(lambda: names(page) and not page.evaluate(WAITING), 60)


def silent(page: Page) -> int:
    """A feature that has a label and did not fire in the session on screen."""
    fired = page.evaluate(
        """() => { const { session, sae } = window.__app.state;
            return session.steps.flatMap(step => step.saes[sae].features.map(one => one.feature)); }"""
    )
    return next(feature for feature in range(WIDTH) if described(feature) and feature not in fired)


def jump_to(page: Page, words: str) -> None:
    """Search for a label and open what is found first, with the keyboard alone."""
    page.locator("#tokens [aria-selected='true']").focus()
    page.keyboard.press("k")
    expect(page.locator("#labels-search")).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator("#labels-found button .name").first).to_have_text(words)
    page.keyboard.press("Enter")
    expect(page.locator("#labels-popover")).to_be_hidden()


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("AXON_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"labels-{name}.png")


# -- names arrive -------------------------------------------------------------


def test_features_appear_at_once_and_are_named_when_their_labels_come(browser: Browser, tmp_path: Path):
    with publishing() as site, shell_with(site, tmp_path) as shell, opened(browser, shell) as page:
        site.faults.append(Fault("slow", "/api/features", times=-1, seconds=0.8))
        run(page, PROMPT)
        waiting = names(page)
        assert page.evaluate(WAITING)
        for feature, name in waiting.items():
            assert name == f"feature {feature} ({ON_ITS_WAY})" or name.startswith(("promotes", "fires on")), name
        picture(page, "on-their-way")
        row = rows(page).first
        row.focus()
        eventually(lambda: page.evaluate("() => window.__app.state.graph?.position === window.__app.state.t"))
        places = page.evaluate("() => window.__app.graph.nodes().map(node => node.place)")

        on_screen(page)
        found = names(page)
        assert found.keys() == waiting.keys()
        for feature, name in found.items():
            if described(feature):
                assert name == concept(feature)
            else:  # nobody describes it: it has an automatic name or none, and neither looks like a description
                look = page.locator(f"#active [data-feature='{feature}']").get_attribute("class") or ""
                assert "automatic" in look or "unlabelled" in look, (name, look)
                assert name.startswith(("promotes", "fires on", f"feature {feature} (no label)")), name
        assert any(map(described, found)) and not all(map(described, found))
        expect(row).to_be_focused()
        assert page.evaluate("() => window.__app.graph.nodes().map(node => node.place)") == places
        texts = " ".join(page.locator("#graph-labels .label").all_inner_texts())
        assert "invented concept" in texts
        eventually(lambda: "arrived" in page.locator("#announce").inner_text())
        assert "invented concept" in (page.locator("#tokens .written").first.get_attribute("aria-label") or "")
        picture(page, "named")

        site.faults.clear()
        site.reset()
        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        eventually(lambda: names(page) == found)
        assert site.asked_for("/api/features") == []  # what is here is not asked for again


def test_the_inspector_tells_what_is_published_and_by_whom(browser: Browser, labelled_shell: Shell):
    with opened(browser, labelled_shell) as page:
        on_screen(page)
        feature = next(feature for feature in names(page) if described(feature))
        page.locator(f"#active [data-feature='{feature}']").click()
        inspector = page.locator("#feature")
        expect(inspector.locator("h2")).to_have_text(concept(feature))
        for worth in ("says Neuronpedia", "oai_token-act-pair", "written by gpt-4o-mini", "recall_alt 0.75"):
            expect(inspector.locator(".worth")).to_contain_text(worth)
        for title in ("Promotes", "Suppresses", "Where it fires most"):
            expect(inspector.locator("h3", has_text=title)).to_contain_text("from Neuronpedia")
        assert inspector.locator(".chips").first.locator("li").all_text_contents() == [" Quell", " Ombre", " ford"]
        texts = inspector.locator(".contexts li > span")
        assert texts.all_text_contents() == ["<|endoftext|> in Quell", " the river Ombre↵", '<b> & "']
        expect(texts.first.locator("mark.strong, mark")).to_have_text(" Quell")
        expect(inspector.locator(".facts")).to_contain_text("31.2")
        picture(page, "inspector")
        page.evaluate("() => { feature.scrollTop = 1e6 }")
        picture(page, "inspector-end")


def test_a_name_made_here_is_not_taken_for_a_description(browser: Browser, labelled_shell: Shell):
    with opened(browser, labelled_shell) as page:
        on_screen(page)
        automatic = page.locator("#active .automatic")
        eventually(automatic.count, 40)
        style = automatic.first.locator(".name").evaluate(
            "name => [getComputedStyle(name).fontStyle, getComputedStyle(name).color]"
        )
        plain = page.locator("#active [data-feature]:not(.automatic):not(.unlabelled) .name").first
        assert style[0] == "italic" and style[1] != plain.evaluate("name => getComputedStyle(name).color")
        automatic.first.click()
        inspector = page.locator("#feature")
        expect(inspector.locator("h2.automatic")).to_be_visible()
        expect(inspector.locator(".worth")).to_contain_text("automatic: ")
        expect(inspector.locator(".aside").first).to_contain_text("Not a description: these are the tokens")
        expect(inspector.locator(".aside").first).to_contain_text("Strongest ")
        expect(inspector).to_contain_text("About the automatic name")
        picture(page, "automatic")


# -- whole sets ---------------------------------------------------------------


def test_a_whole_set_is_fetched_after_its_size_was_shown(browser: Browser, tmp_path: Path):
    once = CONFIG + "\n[labels]\nfetch = false\n"
    with publishing() as site, shell_with(site, tmp_path, once) as shell, opened(browser, shell) as page:
        run(page, PROMPT)
        assert not any("concept" in name for name in names(page).values())
        page.click("#labels")
        popover = page.locator("#labels-popover")
        expect(page.locator("#label-set")).to_contain_text("none so far")
        picture(page, "set-none")
        page.click("#get-labels")
        expect(popover.locator(".offer")).to_contain_text("9 files, ")
        assert site.bodies_sent <= 1  # the description of the set
        picture(page, "set-offer")

        site.faults.append(Fault("slow", "batch-", times=-1, seconds=0.5))
        page.click("#download-labels")
        expect(popover.locator(".doing small")).to_contain_text(" of ")
        eventually(lambda: page.evaluate("() => document.querySelector('#labels-popover progress').value") > 0)
        picture(page, "set-progress")
        page.reload()  # it goes on, and a page that comes later sees it
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        page.click("#labels")
        page.locator("#cancel-labels").press("Enter")
        expect(popover).to_contain_text("What was fetched is kept")
        expect(page.locator("#label-set")).to_contain_text("none so far")
        picture(page, "set-cancelled")

        site.faults[:] = [Fault("status", "batch-8", times=-1, status=403)]
        page.click("#get-labels")
        page.click("#download-labels")
        expect(popover.get_by_role("alert")).to_be_visible(timeout=LOADED)
        expect(page.locator("#get-labels")).to_have_text("Try again")
        picture(page, "set-failed")

        site.faults.clear()
        page.click("#get-labels")
        page.click("#download-labels")
        expect(page.locator("#label-set")).to_contain_text("853 of 1,280 features have a label here")
        page.keyboard.press("Escape")
        eventually(lambda: all(name == concept(feature) for feature, name in names(page).items() if described(feature)))
        page.click("#labels")
        page.click("#get-labels")
        expect(popover.locator(".offer")).to_have_text("Everything is up to date.")
        assert page.locator("#download-labels").count() == 0
        picture(page, "set-done")

    with shell_with(site, tmp_path, once, AXON_OFFLINE="1") as shell, opened(browser, shell) as page:
        eventually(lambda: names(page))  # offline, all that was fetched is there
        assert all(name == concept(feature) for feature, name in names(page).items() if described(feature))
        jump_to(page, concept(7))
        expect(page.locator("#feature h2")).to_have_text(concept(7))
        page.click("#labels")
        expect(page.locator("#get-labels")).to_be_disabled()
        expect(page.locator("#labels-popover")).to_contain_text("The network is switched off")
        picture(page, "set-offline")


# -- search -------------------------------------------------------------------


def test_search_finds_and_jumps_with_the_keyboard_alone(browser: Browser, labelled_shell: Shell):
    with opened(browser, labelled_shell) as page:
        on_screen(page)
        call(page, "edit_label", sae=SAE, feature=silent(page), label="the harbour of one's own", note="")
        page.locator("#tokens [aria-selected='true']").focus()
        page.keyboard.press("k")
        page.keyboard.type("harbour")
        found = page.locator("#labels-found button")
        expect(found).to_have_count(1)
        expect(found).to_contain_text("yours")
        page.keyboard.press("Control+a")
        page.keyboard.type("nothing is called so")
        expect(page.locator("#labels-popover")).to_contain_text("Nothing found")
        picture(page, "search-nothing")

        page.keyboard.press("Control+a")
        page.keyboard.type("invented")
        eventually(lambda: found.count() > 3)
        picture(page, "search")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(found.nth(1)).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(page.locator("#labels-search")).to_be_focused()
        page.keyboard.press("ArrowDown")
        wanted = found.first.get_attribute("data-feature")
        page.keyboard.press("Enter")
        inspector = page.locator("#feature")
        expect(inspector).to_be_focused()
        expect(inspector).to_have_attribute("data-feature", str(wanted))

        # Another SAE of the session comes on screen; for one that the session was not read with the picture stays.
        for sae, shown in ((SECOND, SECOND), (ANOTHER, SECOND)):
            page.keyboard.press("k")
            page.keyboard.press("Control+a")
            page.keyboard.type("a continent")
            page.select_option("#labels-where", "all")
            found.filter(has_text=sae).filter(has_text="a continent").first.click()
            expect(inspector.locator("h2")).to_have_text("a continent")
            assert page.evaluate("() => window.__app.state.sae") == shown
        expect(inspector).to_contain_text(f"It was read without {ANOTHER}.")
        picture(page, "search-other")
        page.keyboard.press("Escape")
        expect(inspector).to_contain_text("Click a dot")

        jump_to(page, "the harbour of one's own")  # this one never fired either
        expect(inspector).to_contain_text("It has not fired up to the cursor")
        page.locator("#tokens [aria-selected='true']").focus()
        page.keyboard.press("ArrowLeft")
        expect(inspector.locator("h2")).to_have_text("the harbour of one's own")


# -- the user's own -----------------------------------------------------------


def test_ones_own_label_and_note_stay_and_win(browser: Browser, labelled_shell: Shell):
    with opened(browser, labelled_shell) as page:
        on_screen(page)
        feature = next(feature for feature in names(page) if described(feature))
        row = page.locator(f"#active [data-feature='{feature}']")
        row.click()
        inspector = page.locator("#feature")
        expect(inspector.locator(".worth")).to_contain_text("says Neuronpedia")
        page.locator("#edit-label").press("Enter")
        expect(page.locator("#own-label")).to_be_focused()
        page.keyboard.type("half an idea")
        page.keyboard.press("Escape")
        expect(inspector).to_have_attribute("data-feature", str(feature))  # only the form is closed
        expect(page.locator("#edit-label")).to_be_focused()

        page.keyboard.press("Enter")
        page.keyboard.type("what I call it")
        page.keyboard.press("Tab")
        page.keyboard.type("seen first today")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("and again\u2026")
        picture(page, "own-form")
        page.evaluate("() => window.__app.state.emit('steps', 'cursor', 'names')")
        expect(page.locator("#own-note")).to_be_focused()  # what happens meanwhile takes nothing away
        page.keyboard.press("Enter")
        expect(inspector.locator("h2")).to_have_text("what I call it")
        expect(inspector.locator(".worth")).to_contain_text("your own")
        expect(inspector.locator(".note")).to_have_text("seen first today\nand again\u2026")
        expect(row).to_contain_text("what I call it")
        expect(page.locator("#graph-labels .label.selected")).to_have_text("what I call it")
        expect(inspector.locator(".labels li").nth(1)).to_contain_text(concept(feature))
        picture(page, "own")

        page.reload()
        expect(page.locator("body[data-ready='1']")).to_be_attached()
        expect(row).to_contain_text("what I call it")
        row.click()
        page.locator("#edit-label").click()
        page.locator("#remove-label").click()
        expect(row).to_contain_text(concept(feature))
        expect(inspector.locator("h2")).to_have_text(concept(feature))
        expect(inspector.locator(".note")).to_contain_text("seen first today")  # the note stays

        # What was typed and not saved is there when one comes back; what is too long cannot be typed.
        page.locator("#edit-label").click()
        page.fill("#own-label", "unsaved")
        rows(page).last.click()
        expect(inspector).not_to_have_attribute("data-feature", str(feature))
        expect(page.locator("#own-label")).to_have_count(0)
        row.click()
        expect(page.locator("#own-label")).to_have_value("unsaved")
        assert page.locator("#own-label").get_attribute("maxlength") == "400"
        assert page.locator("#own-note").get_attribute("maxlength") == "2000"
        page.fill("#own-note", "")
        page.fill("#own-label", "")
        page.keyboard.press("Enter")
        expect(inspector.locator(".note")).to_have_count(0)


# -- hostile text -------------------------------------------------------------

HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>",
    "turned \u202e around \u2066 and \u200b unseen",
    "long " * 2_000,
    "{{7*7}} \x00\x1b[31m \ud83d\ude00",
    "x" * 3_000,
)


def test_hostile_labels_are_inert_text(browser: Browser, tmp_path: Path):
    with publishing() as site:
        for feature in range(WIDTH):
            text = HOSTILE[feature % len(HOSTILE)]
            row = neuron(MODEL, SOURCE, feature, text)
            row["pos_str"] = ["<script>document.title='pwned'</script>", "\u202egnorw", "\n\n", "y" * 500]
            row["pos_values"] = [3, 2, 1, 0.5]
            site.put(row)
        with shell_with(site, tmp_path) as shell, opened(browser, shell) as page:
            on_screen(page)
            for row in rows(page).all()[:10]:
                row.click()
                expect(page.locator("#feature .chips").first).to_be_visible()
            call(page, "edit_label", sae=SAE, feature=3, label=HOSTILE[0], note=HOSTILE[0])
            page.click("#labels")
            page.fill("#labels-search", "img src")
            eventually(page.locator("#labels-found button").count)
            picture(page, "hostile")
            page.locator("#labels-found button").first.click()
            expect(page.locator("#feature h2")).to_contain_text("<img src=x")
            picture(page, "hostile-inspector")
            assert page.title() != "pwned"
            strangers = "#side, #labels-popover, #graph-labels, #tokens"
            assert page.locator(f":is({strangers}) :is(img, script, iframe, b > *)").count() == 0
            # Facts that still come may be laid out just now.
            eventually(lambda: page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"))
            eventually(lambda: page.evaluate("() => feature.scrollWidth <= feature.clientWidth"))
            heading = page.locator("#feature h2")
            eventually(lambda: (box := heading.bounding_box()) and box["height"] < 100)


# -- what goes wrong ----------------------------------------------------------


def test_a_server_that_does_not_answer_is_told_and_can_be_tried_again(browser: Browser, tmp_path: Path):
    with publishing() as site, shell_with(site, tmp_path) as shell, opened(browser, shell) as page:
        site.faults.append(Fault("drop", "/api/", times=-1))
        run(page, PROMPT)
        feature = next(feature for feature in names(page) if described(feature))
        page.locator(f"#active [data-feature='{feature}']").click()
        again = page.locator("#retry-labels")
        expect(again).to_be_visible(timeout=LOADED)
        expect(page.locator("#feature .standing")).to_contain_text("Neuronpedia did not answer")
        picture(page, "unavailable")
        assert not any("concept" in name for name in names(page).values())
        site.faults.clear()
        again.press("Enter")
        expect(page.locator("#feature h2")).to_have_text(concept(feature), timeout=LOADED)
        expect(page.locator("#feature .chips").first).to_be_visible()
        expect(again).to_have_count(0)
        on_screen(page)


def test_offline_the_page_says_why_there_are_no_labels(browser: Browser, site: LocalNeuronpedia, tmp_path: Path):
    with shell_with(site, tmp_path, AXON_OFFLINE="1") as shell, opened(browser, shell) as page:
        run(page, PROMPT)
        assert not page.evaluate(WAITING)
        rows(page).first.click()
        expect(page.locator("#feature .standing")).to_contain_text("The network is switched off")
        expect(page.locator("#retry-labels")).to_have_count(0)
        page.click("#labels")
        expect(page.locator("#get-labels")).to_be_disabled()
        expect(page.locator("#labels-popover")).to_contain_text("nothing can be fetched")
        expect(page.locator("[data-status='network']")).to_have_text("offline")


def test_labels_of_a_bundled_sae_need_no_publisher(browser: Browser, tmp_path: Path):
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        expect(page.locator("#labels")).to_be_visible()  # before the first session too
        run(page, PROMPT)
        page.click("#labels")
        expect(page.locator("#label-set")).to_contain_text(" of 1,280 have a label here")
        assert page.locator("#get-labels").count() == 0
        page.fill("#labels-search", "continent")
        expect(page.locator("#labels-found button").first).to_contain_text("a continent")


# -- looks --------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [(960, 600), (1280, 800), (1920, 1080)])
def test_labels_fit_into_the_window(browser: Browser, labelled_shell: Shell, size: tuple[int, int], scheme: str):
    with opened(browser, labelled_shell, color_scheme=scheme) as page:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        on_screen(page)
        rows(page).first.click()
        expect(page.locator("#feature .chips").first).to_be_attached()
        name = f"{size[0]}x{size[1]}-{scheme}"
        picture(page, f"{name}-inspector")
        tops: list[Any] = [page.locator(f"#{id}").bounding_box() for id in ("sae", "labels", "edges-by", "dimensions")]
        assert max(box["y"] for box in tops) - min(box["y"] for box in tops) < 20  # in one line
        page.click("#labels")
        page.fill("#labels-search", "invented")
        eventually(page.locator("#labels-found button").count)
        box: Any = page.locator("#labels-popover").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
        assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
        last = page.locator("#labels-found button").last
        last.scroll_into_view_if_needed()
        expect(last).to_be_in_viewport()
        picture(page, f"{name}-popover")
