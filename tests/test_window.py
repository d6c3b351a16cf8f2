"""The real window: pywebview on a virtual screen, seen from outside and, by Chromium's debug protocol, from inside."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import OFFLINE, REMEDY, REPOSITORY
from playwright.sync_api import Error, Page, sync_playwright

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Xvfb and Qt WebEngine: the Linux window")


@dataclass(frozen=True)
class Window:
    """A shell with its window, and the page inside of it."""

    process: subprocess.Popen[bytes]
    page: Page
    display: str
    log: Path
    seconds: float  # from the start of the process until the page was there


@contextlib.contextmanager
def open_window(display: str, home: Path) -> Iterator[Window]:
    """Start `axon-shell` as a user does, on the virtual screen."""
    log = home / "window.log"
    port = free_port()
    environment = {
        **os.environ,
        **OFFLINE,
        "AXON_HOME": str(home),
        "AXON_SOFTWARE_GL": "1",
        "DISPLAY": display,
        "QTWEBENGINE_REMOTE_DEBUGGING": f"127.0.0.1:{port}",
    }
    environment.pop("WAYLAND_DISPLAY", None)
    started = time.monotonic()
    with log.open("wb") as output, sync_playwright() as playwright:
        process = subprocess.Popen(
            [sys.executable, "-m", "axon_shell"], cwd=REPOSITORY, env=environment, stdout=output, stderr=output
        )
        try:

            def page() -> Page | None:
                assert process.poll() is None, f"The shell ended.\n{log.read_text()}"
                with contextlib.suppress(Error):
                    # Without no_defaults Playwright asks for what the web view does not have.
                    browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}", no_defaults=True)
                    pages = [page for context in browser.contexts for page in context.pages]
                    return next((page for page in pages if page.url.startswith("http://127.0.0.1:")), None)
                return None

            found = until(page, 60)
            yield Window(process, found, display, log, time.monotonic() - started)
        finally:
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value that a condition gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    pytest.fail(f"Waited {seconds} s in vain.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def picture(display: str, path: Path) -> Path:
    """A picture of the whole screen."""
    if not (shutil.which("import") and shutil.which("convert")):
        pytest.fail(f"This test needs ImageMagick. {REMEDY}", pytrace=False)
    subprocess.run(["import", "-display", display, "-window", "root", str(path)], check=True, timeout=30)
    return path


def measure(path: Path, *options: str) -> float:
    """A number that ImageMagick finds in a picture."""
    command = ["convert", str(path), *options, "info:"]
    return float(subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout)


def colors(path: Path) -> float:
    """The number of different colors."""
    return measure(path, "-format", "%k")


def vivid(path: Path) -> float:
    """The number of pixels of strong color in the middle of the window, where only the graph has any."""
    middle = ["-crop", "700x400+245+90", "+repage", "-colorspace", "HCL", "-channel", "G", "-separate", "+channel"]
    return measure(path, *middle, "-threshold", "20%", "-format", "%[fx:mean*w*h]")


def call(page: Page, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Call the bridge as the page does."""
    script = "async ([method, params]) => JSON.parse(await window.pywebview.api.call(method, JSON.stringify(params)))"
    answer = page.evaluate(script, [method, params])
    assert answer["ok"], answer
    return answer["value"]


def has_bridge(page: Page) -> bool:
    with contextlib.suppress(Error):
        return bool(page.evaluate("!!window.pywebview?.api?.call"))
    return False


def test_a_prompt_becomes_a_picture(display: str, home: Path, tmp_path: Path) -> None:
    """The page is painted, talks to Python through the window, and draws what fires."""
    with open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        state = call(window.page, "hello", {})
        assert state["models"], state["problems"]
        assert vivid(picture(display, tmp_path / "before.png")) == 0

        chosen = state["selected"]
        settings = state["settings"] | {"temperature": 0, "max_tokens": 3}
        run = {"prompt": "The capital of France is", "settings": settings, **chosen}
        uid = call(window.page, "run", run)["session"]

        def finished() -> list[dict[str, Any]]:
            rows = call(window.page, "sessions", {"before": None, "limit": 5})["sessions"]
            return [row for row in rows if row["uid"] == uid and row["status"] == "finished"]

        assert until(finished, 90)[0]["output"].startswith(" Paris")
        until(lambda: "Paris" in window.page.evaluate("document.body.innerText"))
        # The picture is what counts: a window may be loaded, answer and animate, and paint nothing.
        until(lambda: vivid(picture(display, tmp_path / "window.png")) > 200, 60)
        assert colors(tmp_path / "window.png") > 50


def test_it_ends_at_once_and_keeps_the_session(display: str, home: Path) -> None:
    """Closed in the middle of a session: the process ends, quickly and with success, and the session is there."""
    with open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        state = call(window.page, "hello", {})
        settings = state["settings"] | {"max_tokens": 200}
        call(window.page, "run", {"prompt": "Once there was", "settings": settings, **state["selected"]})
        until(lambda: call(window.page, "sessions", {"before": None, "limit": 1})["sessions"], 90)

        window.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert window.process.wait(20) == 0, window.log.read_text()
        assert time.monotonic() - began < 8
    listed = subprocess.run(
        [sys.executable, "-m", "axon_shell", "sessions", "list", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Once there was" in listed.stdout
    assert "Traceback" not in window.log.read_text()


def test_it_never_leaves_its_own_page(display: str, home: Path) -> None:
    """Whatever page is in the window could call Python, so no other one gets there, nor is asked for."""
    asked = []

    class Foreign(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>foreign</title>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as foreign, open_window(display, home) as window:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        until(lambda: has_bridge(window.page))
        before = window.page.url
        address = f"http://127.0.0.1:{foreign.server_address[1]}/"
        for way in ("location.href = url", "location.replace(url)", "document.location.assign('file:///etc/passwd')"):
            window.page.evaluate(f"url => {{ {way} }}", address)
            time.sleep(1)
            assert window.page.url == before
        assert asked == []
        assert call(window.page, "hello", {})["version"]  # and the page goes on working
        foreign.shutdown()
