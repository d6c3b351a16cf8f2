"""What the page costs the browser: `python -m benchmarks.page`.

The real page in Chromium, from the real server, with invented sessions of 500 and 2,000 tokens and 30 features of one
SAE (a few fire often, most seldom), two of three of them labelled. Script is what the page's own thread computes, in
processor time, so that a busy machine changes little; frames a second depend on the graphics card and are not measured.
WebGL is drawn in software here.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from axon_shell import homes
from axon_shell.app import build_bridge
from axon_shell.bridge import Bridge
from axon_shell.config import read_config
from axon_shell.records import Label, LabelFile, Message
from axon_shell.server import Server
from benchmarks.library import WIDTH, WORDS, session, write

SAE = "gpt2-small/8-res-jb"
TOKENS, LONG, PER_SECOND = 500, 2_000, 20
# Without the last one Chromium paints by way of the graphics interface, in software too: three times as long.
FLAGS = [
    *("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
    "--disable-gpu-compositing",
]
FRAMES = "(() => { window.frames_made = 0; (function next() { frames_made++; requestAnimationFrame(next) })() })()"
NEXT_FRAME = "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
SCRUB = """async ([from, to, steps]) => {
    const scrubber = document.querySelector('#scrubber');
    for (let i = 0; i < steps; i++) {
        scrubber.value = String(Math.round(from + (to - from) * i / steps));
        scrubber.dispatchEvent(new Event('input', { bubbles: true }));
        await new Promise(requestAnimationFrame);
    }
}"""


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as shell, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        print("| what | takes | goal |")
        print("|---|---|---|")
        paint = statistics.median(first_paint(browser, shell) for _ in range(5))
        print(f"| first paint | {paint:.0f} ms | < 1,000 ms |", flush=True)
        size = (homes.ui() / "vendor" / "graph3d.js").stat().st_size
        print(f"| vendored code | {size / 1e6:.2f} MB | < 1 MB |")
        with opened(browser, shell) as page:
            for line in streaming(page, shell):
                print(line, flush=True)
            for line in scrubbing(page, shell):
                print(line, flush=True)
        with opened(browser, shell) as page:
            print(f"| heap of three runs | {', '.join(f'{mb:.1f}' for mb in heaps(page, shell))} MB | flat |")
        browser.close()


def streaming(page: Page, shell: Served) -> Iterator[str]:
    """The lines of a session that is being written."""
    before = statistics_of(page)
    with costs(page) as cost:
        shell.stream(invented(TOKENS), PER_SECOND)
        page.evaluate(NEXT_FRAME)
    title = f"{TOKENS} tokens x 30 features, {PER_SECOND} a second"
    yield f"| {title}: script | {cost.script_ms / cost.frames:.1f} ms a frame | < 16 ms |"
    yield f"| the same, with style, layout and painting | {cost.task_ms / cost.frames:.1f} ms a frame | |"
    yield f"| the same, a token | {cost.script_ms / TOKENS:.1f} ms of script | |"
    after = statistics_of(page)
    yield f"| draw calls | {after['calls']} | 2, with extras 4 |"
    yield f"| geometries, textures | {kept(before)} before, {kept(after)} after | the same |"


def scrubbing(page: Page, shell: Served) -> Iterator[str]:
    """The lines of moving the cursor through a long session."""
    shell.show(page, shell.keep(invented(LONG)))
    for how in ("", ", with the inspector"):
        if how:
            inspect(page)
        for where, begin in (("from end to end", 0), ("near the end", LONG - 120)):
            cost = scrub(page, begin, LONG, 60)
            yield f"| scrubbing {LONG:,} tokens {where}{how} | {cost:.1f} ms of script a step | < 16 ms |"


# -- the shell ----------------------------------------------------------------


class Served:
    """A shell that serves the page and generates nothing: what a run would have told is put into its event log."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        bridge.methods["load"] = load
        self.server = Server(bridge, homes.ui())
        self.server.start()

    def keep(self, messages: list[Message]) -> str:
        """Store a session; gives its uid."""
        write(self.bridge.store, messages)
        return str(messages[0]["session"])

    def show(self, page: Page, uid: str) -> None:
        """Put a stored session on the page, and wait until it is drawn."""
        page.evaluate("uid => window.__app.actions.open(uid)", uid)
        page.evaluate(
            """async () => {
                while (!window.__app.graph.stats().nodes) await new Promise(requestAnimationFrame);
                await window.__app.graph.settle();
            }"""
        )
        page.evaluate(NEXT_FRAME)

    def stream(self, messages: list[Message], per_second: float) -> None:
        """Tell a session as a run does, token by token, while the page goes on."""
        bridge, worker = self.bridge, self.bridge.worker
        uid = messages[0]["session"]
        hand = {"start": bridge.store.begin, "step": bridge.store.add, "end": bridge.store.end}
        worker.live, worker.streamed = uid, (uid, [])
        for message in messages:
            hand[message["kind"]](uid, message)
            named = worker.annotate(message)
            worker.streamed[1].append(named)
            bridge.events.put(named | {"session": uid})
            time.sleep(1 / per_second)
        worker.live = None
        bridge.events.put({"kind": "sessions_changed"})

    def close(self) -> None:
        """End it."""
        self.server.stop()
        self.bridge.close()


def load(model: str, saes: list[str], download: bool = False) -> dict[str, Any]:
    """In place of the call that loads a model: only the page is measured."""
    return {}


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A shell of its own, with its data in a folder."""
    before = {name: os.environ.get(name) for name in ("AXON_HOME", "AXON_OFFLINE")}
    os.environ |= {"AXON_HOME": str(home), "AXON_OFFLINE": "1"}
    (home / "config.toml").write_text(f'[start]\nmodel = "gpt2-small"\nsaes = ["{SAE}"]\n', "utf-8")
    shell = Served(build_bridge(read_config()))
    labelled = [
        (feature, Label(label_of(feature), "neuronpedia", "invented")) for feature in range(WIDTH) if feature % 3
    ]
    store = shell.bridge.labels.store
    assert store
    store.replace_files(SAE, [(LabelFile("invented", ""), labelled)], ["invented"], complete=True)
    try:
        yield shell
    finally:
        shell.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def label_of(feature: int) -> str:
    return " ".join(WORDS[(feature * prime) % len(WORDS)] for prime in (1, 7, 13, 29)[: 1 + feature % 4])


def invented(tokens: int) -> list[Message]:
    """The messages of a session with 30 features at each token."""
    return session(tokens, tokens, [SAE])


# -- the browser --------------------------------------------------------------


def chromium() -> str:
    """The path of a Chromium-like browser."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"):
        if path := shutil.which(name):
            return path
    raise SystemExit("This benchmark needs Chromium.")


@contextmanager
def opened(browser: Browser, shell: Served, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """The page in a fresh profile, once it is ready."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.add_init_script(FRAMES)
    page.goto(f"{shell.server.url}?test=1#t={shell.server.token}")
    page.locator("body[data-ready='1']").wait_for(state="attached")
    # Drawn of chance alone: by what fires together beyond chance there would be no edges.
    page.evaluate("() => window.__app.state.connectBy('co-activation')")
    yield page
    context.close()


def first_paint(browser: Browser, shell: Served) -> float:
    """Milliseconds until there is something to read, in a fresh profile."""
    with opened(browser, shell) as page:
        return page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")


class Cost:
    """What was spent on the page's own thread, in milliseconds of processor time, and the frames made meanwhile."""

    script_ms = task_ms = 0.0
    frames = 0


@contextmanager
def costs(page: Page) -> Iterator[Cost]:
    """Measures what happens within."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def now() -> tuple[float, float, int]:
        found = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        return found["ScriptDuration"], found["TaskDuration"], page.evaluate("window.frames_made")

    cost = Cost()
    script, task, frames = now()
    yield cost
    after = now()
    cost.script_ms, cost.task_ms, cost.frames = 1e3 * (after[0] - script), 1e3 * (after[1] - task), after[2] - frames
    devtools.detach()


def scrub(page: Page, begin: int, end: int, steps: int) -> float:
    """Milliseconds of script that a step of the scrubber takes, with all that follows from it until the next frame."""
    with costs(page) as cost:
        page.evaluate(SCRUB, [begin, end, steps])
        page.evaluate(NEXT_FRAME)
    return cost.script_ms / steps


def inspect(page: Page) -> None:
    """Open the inspector of the feature that fires most often."""
    page.evaluate("() => window.__app.state.inspect(0)")
    page.locator("#feature[data-feature='0'] .sparkline").wait_for()
    page.evaluate(NEXT_FRAME)


def statistics_of(page: Page) -> dict[str, Any]:
    return page.evaluate("() => window.__app.graph.stats()")


def kept(stats: dict[str, Any]) -> str:
    return f"{stats['geometries']}, {stats['textures']}"


def heaps(page: Page, shell: Served, runs: int = 3, steps: int = 60) -> list[float]:
    """Megabytes that the page holds after each of several runs of opening a session and scrubbing through it."""
    uid, other = shell.keep(invented(TOKENS)), shell.keep(invented(40))
    devtools = page.context.new_cdp_session(page)
    found = []
    for run in range(runs + 1):  # the first fills caches
        shell.show(page, uid)
        page.evaluate(SCRUB, [0, TOKENS, steps])
        inspect(page)
        page.evaluate(SCRUB, [0, TOKENS, steps])
        page.evaluate("() => window.__app.state.inspect(null)")
        shell.show(page, other)
        for _ in range(2):
            devtools.send("HeapProfiler.collectGarbage")
        used = devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        if run:
            found.append(used)
    return found


if __name__ == "__main__":
    main()
