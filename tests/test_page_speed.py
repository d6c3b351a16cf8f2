"""What the page may cost: counts of what is drawn, and processor time of its own thread.

No frames a second in here: those are of the machine. `python -m benchmarks.page` prints the same figures as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from benchmarks import page as bench
from benchmarks.page import Served, costs, heaps, inspect, invented, opened, scrub, statistics_of

FRAME = 16.0  # ms
TRIES = 3  # what else runs makes a processor slower, never faster: the best of some counts


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with bench.served(tmp_path_factory.mktemp("shell")) as shell:
        yield shell


@pytest.fixture(scope="module")
def page(chromium: str, chromium_flags: list[str], shell: Served) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=chromium_flags)
        with opened(browser, shell, 960, 600) as page:  # small: there is no graphics card to draw it
            page.set_default_timeout(60_000)
            yield page
        browser.close()


def best(measure: Callable[[], float], limit: float) -> float:
    """The least of some measurements; the first below the limit will do."""
    found = [measure()]
    while min(found) >= limit and len(found) < TRIES:
        found.append(measure())
    return min(found)


def test_nothing_but_the_style_sheet_delays_the_first_paint(page: Page):
    blocking = page.evaluate(
        """() => performance.getEntriesByType('resource')
            .filter(one => one.renderBlockingStatus === 'blocking').map(one => new URL(one.name).pathname)"""
    )
    assert blocking == ["/app.css"]
    assert page.evaluate("() => performance.getEntriesByName('first-contentful-paint').length") == 1


def test_any_graph_is_two_draw_calls(page: Page, shell: Served):
    before = statistics_of(page)
    shell.show(page, shell.keep(invented(500)))
    full = statistics_of(page)
    assert full["nodes"] == 300 and full["edges"] > 300
    assert full["calls"] == 2
    inspect(page)
    page.evaluate("() => window.__app.state.point(1)")
    page.evaluate(bench.NEXT_FRAME)
    extras = statistics_of(page)
    assert extras["calls"] <= 4
    assert (extras["geometries"], extras["textures"]) == (before["geometries"], before["textures"])
    page.evaluate("() => window.__app.state.inspect(null)")


def test_a_session_streams_in_less_than_a_frame_of_script(page: Page, shell: Served):
    before = statistics_of(page)

    def streaming() -> float:
        with costs(page) as cost:
            shell.stream(invented(200), 25)
            page.evaluate(bench.NEXT_FRAME)
        assert page.locator("#tokens [data-position]").count() == 200
        # A machine without a graphics card may make fewer frames than there are tokens: then each token is one.
        return cost.script_ms / max(cost.frames, 200)

    assert best(streaming, FRAME) < FRAME
    after = statistics_of(page)
    assert after["nodes"] == 300
    assert (after["geometries"], after["textures"]) == (before["geometries"], before["textures"])


def test_scrubbing_a_session_of_2000_tokens_takes_less_than_a_frame_of_script(page: Page, shell: Served):
    shell.show(page, shell.keep(invented(2_000)))
    assert best(lambda: scrub(page, 1_900, 2_000, 30), FRAME) < FRAME
    inspect(page)
    assert best(lambda: scrub(page, 1_900, 2_000, 30), FRAME) < FRAME
    assert best(lambda: scrub(page, 0, 2_000, 30), FRAME) < FRAME
    assert page.evaluate("() => window.__app.state.t") > 1_900
    page.evaluate("() => window.__app.state.inspect(null)")


def test_opening_sessions_again_and_again_leaves_nothing_behind(page: Page, shell: Served):
    first, *_, last = heaps(page, shell, steps=8)
    # What is collected when is the browser's to decide; a session that stayed would be more than a megabyte each time.
    assert last < first + 1, f"{first:.1f} MB, later {last:.1f} MB"
