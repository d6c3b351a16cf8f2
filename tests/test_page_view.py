"""The page as a user arranges it: what is listed, drawn, pinned, muted, and all that can be done by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Shell, running_shell
from playwright.sync_api import Browser, Page, expect
from test_page import LOADED, PROMPT, browser, call, eventually, opened, run  # noqa: F401

SAES = ["tiny-world/0-res", "tiny-world/2-res", "tiny-world/3-res"]
STEPS = "() => window.__app.state.session.steps"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Shell]:  # noqa: F811
    """A shell with a session that three SAEs have read."""
    with running_shell(tmp_path_factory.mktemp("view")) as shell:
        with opened(browser, shell) as page:
            page.evaluate("saes => window.__app.state.choose('tiny-world', saes)", SAES)
            run(page, PROMPT, max_tokens=30)
        yield shell


@pytest.fixture
def page(browser: Browser, shell: Shell) -> Iterator[Page]:  # noqa: F811
    with opened(browser, shell) as page:
        page.evaluate("() => window.__app.state.marks.clear('pinned', [])")
        expect(page.locator("#sae")).to_be_enabled()
        page.select_option("#sae", "tiny-world/2-res")
        yield page
        for mark in ("pinned", "muted"):
            call(page, "remember", name=mark, value=[])
        for name, value in {"sortBy": "activation", "hideAlways": False, "nodes": 300, "edgesPerNode": 3}.items():
            call(page, "remember", name=name, value=value)
        call(page, "remember", name="together", value=False)


def listed(page: Page) -> list[int]:
    """The features in the list, in its order."""
    return page.evaluate(
        "() => [...document.querySelectorAll('#active li:not([hidden]) > [data-feature]')]"
        ".map(row => Number(row.dataset.feature))"
    )


def active(page: Page, position: int | None = None) -> list[dict]:
    """The features of a step as the program sent them; by itself of the step at the cursor."""
    return page.evaluate(
        "p => { const s = window.__app.state; return s.session.steps[p ?? s.t].saes['tiny-world/2-res'].features }",
        position,
    )


def frames(page: Page) -> None:
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


# -- the list -----------------------------------------------------------------


def test_the_list_is_sorted_by_effect_and_filtered_by_name_or_number(page: Page):
    page.locator("#tokens [data-position='5']").click()
    sent = active(page)
    page.select_option("#sort-by", "effect")
    frames(page)
    order = [one["feature"] for one in sorted(sent, key=lambda one: -one["effect"])]
    assert listed(page) == order
    page.fill("#filter", "CAPITAL")
    frames(page)
    wanted = [one["feature"] for one in sent if "capital" in (one["label"] or "").lower()]
    assert wanted and sorted(listed(page)) == sorted(wanted)
    page.fill("#filter", str(order[0]))
    frames(page)
    assert order[0] in listed(page)
    page.fill("#filter", "no feature is called this")
    expect(page.locator("#none-listed")).to_have_text("No feature here passes the filter.")
    page.fill("#filter", "")
    page.reload()
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    expect(page.locator("#sort-by")).to_have_value("effect")  # it stays


def test_features_that_always_fire_can_be_hidden(page: Page):
    page.keyboard.press("End")
    steps = [step for step in page.evaluate(STEPS) if not step.get("is_bos")]
    fired = [{one["feature"] for one in step["saes"]["tiny-world/2-res"]["features"]} for step in steps]
    now = [one["feature"] for one in active(page)]
    always = [one for one in now if sum(one in features for features in fired) >= 0.8 * len(fired)]
    page.click("#hide-always")
    frames(page)
    assert listed(page) == [one for one in now if one not in always]
    expect(page.locator("#hide-always")).to_have_attribute("aria-pressed", "true")
    if always:
        expect(page.locator("#left-out")).to_contain_text(f"{len(always)} always on")


def test_what_was_expected_next_has_its_probability(page: Page):
    page.locator("#tokens [data-position='5']").click()
    step = page.evaluate(STEPS)[5]
    rows = page.locator("#expected li")
    assert rows.count() == len(step["alternatives"]) == 10
    first = step["alternatives"][0]
    chance = 100 * math.exp(first["logprob"])
    expect(page.locator("#expected summary")).to_contain_text(f"{chance:.0f} %")
    expect(rows.first.locator("q")).to_have_text(first["text"])
    assert first["token_id"] == step["next"]["token_id"]
    expect(page.locator("#expected .came")).to_have_count(1)
    expect(page.locator("#expected .came q")).to_have_text(step["next"]["text"])


def test_a_token_under_the_pointer_has_a_card(page: Page):
    page.locator("#tokens [data-position='6']").hover()
    card = page.locator("#token-card")
    expect(card).to_be_visible()
    step, before = page.evaluate(STEPS)[6], page.evaluate(STEPS)[5]
    expect(card.locator("b")).to_have_text(f"“{step['piece']}”")
    expect(card.locator("small").first).to_contain_text(f"probability {100 * math.exp(step['logprob']):.0f} %")
    assert card.locator("li q").first.inner_text().strip() == before["alternatives"][0]["text"].strip()
    strongest = step["saes"]["tiny-world/2-res"]["features"][0]
    expect(card.locator("p").first).to_contain_text(strongest["label"])
    box = card.bounding_box()
    assert box and box["x"] >= 0 and box["y"] >= 0
    page.mouse.move(400, 300)
    expect(card).to_be_hidden()


# -- marks --------------------------------------------------------------------


def test_a_pinned_feature_has_a_row_over_the_tokens_and_stays(page: Page):
    page.locator("#tokens [data-position='5']").click()
    row = page.locator("#active [data-feature]").nth(1)
    feature = int(row.get_attribute("data-feature") or -1)
    row.focus()
    page.keyboard.press("p")
    heat = page.locator(".heat-row")
    expect(heat).to_have_count(1)
    steps = page.evaluate(STEPS)
    fired = [
        step["position"]
        for step in steps
        if any(one["feature"] == feature for one in step["saes"]["tiny-world/2-res"]["features"])
    ]
    tokens = len([step for step in steps if not step.get("is_bos")])
    track = heat.locator("canvas")
    assert (track.get_attribute("aria-label") or "").startswith(f"Fires at {len(fired)} of {tokens} tokens")
    painted = page.evaluate(
        """canvas => { const n = window.__app.state.session.steps.length, {width, height} = canvas;
            const row = canvas.getContext('2d').getImageData(0, height - 1, width, 1).data;
            return [...Array(n).keys()].filter(p => row[4 * Math.floor((p + 0.5) / n * width) + 3] > 0) }""",
        track.element_handle(),
    )
    assert painted == fired
    box = track.bounding_box()
    assert box
    page.mouse.click(box["x"] + (fired[0] + 0.5) / len(steps) * box["width"], box["y"] + 5)
    assert page.evaluate("() => window.__app.state.t") == fired[0]
    names = page.evaluate("() => [...document.querySelectorAll('#graph-labels .label')].map(l => l.textContent)")
    label = next(one["label"] for one in active(page, fired[0]) if one["feature"] == feature)
    assert any(name == label or (name.endswith("…") and label.startswith(name[:-1])) for name in names)
    page.reload()
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    expect(heat).to_have_count(1)
    heat.locator(".unpin").click()
    expect(page.locator("#heat")).to_be_hidden()


def test_a_muted_feature_is_neither_drawn_nor_listed_until_it_is_wanted_again(page: Page):
    page.locator("#tokens [data-position='5']").click()
    eventually(lambda: page.evaluate("() => window.__app.graph.nodes().length"))
    feature = listed(page)[0]
    drawn = "f => window.__app.graph.nodes().some(node => node.feature === f)"
    assert page.evaluate(drawn, feature)
    page.locator("#active [data-feature]").first.click()
    page.click("#mute-feature")
    frames(page)
    assert feature not in listed(page) and not page.evaluate(drawn, feature)
    expect(page.locator("#mute-feature")).to_have_attribute("aria-pressed", "true")
    page.click("#close-feature")
    expect(page.locator("#left-out")).to_have_text("1 muted: unmute")
    page.click("#left-out")
    frames(page)
    assert feature in listed(page) and page.evaluate(drawn, feature)


# -- the graph ----------------------------------------------------------------


def test_how_much_is_drawn_can_be_chosen_and_is_said(page: Page):
    page.keyboard.press("End")
    eventually(lambda: page.evaluate("() => window.__app.graph.stats().nodes") > 25)
    page.click("#drawn")
    page.locator("#drawn-nodes").focus()
    page.keyboard.press("Home")
    eventually(lambda: page.evaluate("() => window.__app.graph.stats().nodes") == 25)
    total = page.evaluate("() => window.__app.state.graph.nodes_total")
    expect(page.locator("output[for='drawn-nodes']")).to_have_text(f"25 · 25 of {total} that fired so far are drawn")
    expect(page.locator("[data-status='drawn']")).to_contain_text(f"25 of {total} features")
    page.locator("#drawn-edgesPerNode").focus()
    page.keyboard.press("Home")
    eventually(lambda: page.evaluate("() => window.__app.graph.stats().edges") == 0)
    page.locator("#drawn-names").focus()
    page.keyboard.press("Home")
    expect(page.locator("#graph-labels .label")).to_have_count(0)
    call(page, "remember", name="names", value=12)


def test_features_that_always_fire_have_edges_when_wanted(page: Page):
    joined = """() => { const { nodes, edges } = window.__app.state.graph;
        const always = new Set(nodes.filter((node) => node.always).map((node) => node.key));
        return [always.size, edges.filter(({ a, b }) => always.has(a) || always.has(b)).length]; }"""
    page.keyboard.press("End")
    page.select_option("#edges-by", "co-activation")
    eventually(lambda: page.evaluate("() => window.__app.state.graph?.by") == "co-activation")
    many, edges = page.evaluate(joined)
    assert many > 0 and edges == 0
    page.click("#drawn")
    expect(page.locator("output[for='drawn-always']")).to_contain_text(f"{many} dot")
    page.check("#drawn-always")
    eventually(lambda: page.evaluate(joined)[1] > 0)
    page.uncheck("#drawn-always")
    eventually(lambda: page.evaluate(joined)[1] == 0)


def test_all_saes_at_once_each_with_its_hue_and_its_list(page: Page):
    page.locator("#tokens [data-position='5']").click()
    page.select_option("#sae", label="all 3 at once")
    eventually(lambda: page.evaluate("() => new Set(window.__app.graph.nodes().map(n => n.sae)).size") == 3)
    page.evaluate("() => window.__app.graph.settle()")
    headings = page.locator("#active h3:visible")
    assert headings.all_inner_texts()[0].startswith("layer 0")
    for i, sae in enumerate(SAES):
        reading = page.evaluate(STEPS)[5]["saes"][sae]
        expect(headings.nth(i)).to_contain_text(f"L0 {reading['l0']}")
        rows = page.locator(f"#active [data-sae='{sae}']:visible")
        assert rows.count() == len(reading["features"])
    layers = page.locator("#layers li")
    assert layers.all_inner_texts() == [
        "layer 3, after the block",
        "layer 2, after the block",
        "layer 0, after the block",
    ]
    hues = page.evaluate("() => [...document.querySelectorAll('#layers i')].map(i => i.style.background)")
    assert len(set(hues)) == 3
    # The first layer lies below the last: on the screen further down.
    heights = page.evaluate(
        """saes => saes.map(sae => { const ys = window.__app.graph.nodes().filter(n => n.sae === sae).map(n => n.y);
            return ys.reduce((sum, y) => sum + y, 0) / ys.length })""",
        SAES,
    )
    assert heights[0] > heights[1] > heights[2]
    assert page.evaluate("() => window.__app.graph.stats().calls") <= 4
    # The same number in another SAE is another feature.
    page.locator("#active [data-sae='tiny-world/3-res']").first.click()
    assert page.evaluate("() => window.__app.state.feature.sae") == "tiny-world/3-res"
    assert page.evaluate("() => document.querySelectorAll('#active .selected').length") == 1
    page.keyboard.press("g")  # 2D too
    eventually(lambda: page.evaluate("() => new Set(window.__app.graph.nodes().map(n => n.sae)).size") == 3)
    page.keyboard.press("g")


# -- by name ------------------------------------------------------------------


def test_anything_can_be_done_by_name(page: Page):
    page.focus("#prompt")
    page.keyboard.press("Control+k")  # from a text field too
    search = page.locator("#palette-search")
    expect(search).to_be_focused()
    search.fill("search lab")
    expect(page.locator("#palette-list [aria-selected='true']")).to_have_text("Search labelsK")
    search.fill("dark or")
    page.keyboard.press("ArrowDown")  # there is nothing below
    page.keyboard.press("Enter")
    assert page.locator("html").get_attribute("data-theme") is None

    page.keyboard.press("Control+k")
    search.fill("3")
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.__app.state.t") == 3

    page.keyboard.press("Control+k")
    label = next(one for one in active(page, 5) if one["label_state"] == "labelled")
    page.keyboard.press("Escape")
    page.locator("#tokens [data-position='5']").click()
    eventually(lambda: page.evaluate("() => window.__app.state.graph?.position === window.__app.state.t"))
    page.keyboard.press("Control+k")
    search.fill(f"{label['label']} feature {label['feature']}")
    page.keyboard.press("Enter")
    expect(page.locator("#feature")).to_have_attribute("data-feature", str(label["feature"]))

    page.keyboard.press("Control+k")
    search.fill("zqxj")
    expect(page.locator("#palette-list [role='option']")).to_have_text(["Search past sessions for “zqxj”search"])
    page.keyboard.press("Enter")
    expect(page.locator("#sessions-search")).to_have_value("zqxj")
    page.fill("#sessions-search", "")

    page.keyboard.press("Control+k")
    for hostile in ("<img src=x onerror=alert(1)>", "\u202e", "a" * 5000):
        search.fill(hostile)
        assert page.locator("#palette img").count() == 0
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_every_key_of_the_help_is_one_that_works(page: Page):
    page.keyboard.press("?")
    keys = page.locator("#help-dialog .keys dt").all_inner_texts()
    assert len(keys) > 20 and len(set(keys)) == len(keys)
    page.keyboard.press("Escape")
    page.keyboard.press(",")
    expect(page.locator("#preferences")).to_be_visible()
    expect(page.locator("#preferences .facts")).to_contain_text("sessions.db")
    page.keyboard.press("Escape")
    for key, pressed in (("h", "true"), ("h", "false")):
        page.keyboard.press(key)
        expect(page.locator("#freeze")).to_have_attribute("aria-pressed", pressed)
    for key in "[]":
        page.keyboard.press(key)
    expect(page.locator("body")).to_have_class("no-left no-right")
    for key in "[]":
        page.keyboard.press(key)
    page.keyboard.press("3")
    expect(page.locator("#sessions .session").first).to_be_focused()


def test_preferences_stay(page: Page):
    page.click("#preferences-button")
    page.select_option("#theme-choice", "light")
    page.select_option("#motion-choice", "less")
    page.reload()
    expect(page.locator("body[data-ready='1']")).to_be_attached()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.locator("html")).to_have_attribute("data-motion", "less")
    page.click("#preferences-button")
    page.select_option("#theme-choice", "system")
    page.select_option("#motion-choice", "system")
    assert page.locator("html").get_attribute("data-theme") is None


# -- what fails ---------------------------------------------------------------


def test_what_failed_can_be_tried_again_and_its_details_copied(browser: Browser, tmp_path: Path):  # noqa: F811
    with running_shell(tmp_path) as shell, opened(browser, shell) as page:
        run(page, PROMPT)
        page.evaluate("() => window.__app.actions.open('01NOSUCHSESSION00000000000')")
        expect(page.locator("#failure")).to_be_visible()
        context = page.context
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy details").click()
        expect(page.locator("#failure")).to_contain_text("Copied")
        details = page.evaluate("() => navigator.clipboard.readText()")
        assert "not_found" in details and "tiny-world" in details and "AXON Shell" in details
        page.click("#try-again")
        expect(page.locator("#failure")).to_be_visible()
