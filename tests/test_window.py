"""The real window: pywebview on a virtual screen, seen from outside and, by Chromium's debug protocol, from inside."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import http.server
import json
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

import psutil
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
        # The picture is what counts: a window may be loaded, answer and animate, and paint nothing.
        until(lambda: vivid(picture(display, tmp_path / "first-look.png")) > 200, 60)

        chosen = state["selected"]
        settings = state["settings"] | {"temperature": 0, "max_tokens": 3}
        run = {"prompt": "The capital of Italy is", "settings": settings, **chosen}
        uid = call(window.page, "run", run)["session"]

        def finished() -> list[dict[str, Any]]:
            rows = call(window.page, "sessions", {"before": None, "limit": 5})["sessions"]
            return [row for row in rows if row["uid"] == uid and row["status"] == "finished"]

        assert until(finished, 90)[0]["output"].startswith(" Rome")
        until(lambda: "Rome" in window.page.evaluate("document.body.innerText"))
        until(lambda: vivid(picture(display, tmp_path / "window.png")) > 200, 60)
        assert colors(tmp_path / "window.png") > 50


def test_it_ends_at_once_and_keeps_the_session(display: str, home: Path) -> None:
    """Closed in the middle of a session: the process ends, quickly and with success, and the session is there."""
    with open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        state = call(window.page, "hello", {})
        settings = state["settings"] | {"max_tokens": 200}
        call(window.page, "run", {"prompt": "Once there was", "settings": settings, **state["selected"]})
        until(lambda: call(window.page, "sessions", {"text": "Once there was"})["sessions"], 90)

        window.process.send_signal(signal.SIGTERM)
        assert window.process.wait(20) == 0, window.log.read_text()
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


class Screen:
    """The virtual screen, spoken to in X11: what a window manager would do."""

    def __init__(self, display: str) -> None:
        self.x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
        self.x11.XOpenDisplay.restype = ctypes.c_void_p
        self.display = ctypes.c_void_p(self.x11.XOpenDisplay(display.encode()))
        self.root = self.x11.XDefaultRootWindow(self.display)

    def windows(self) -> list[tuple[int, int, int, int, int]]:
        """The windows on it from the lowest to the highest: id, x, y, width, height."""
        root, parent, children, count = (
            ctypes.c_ulong(),
            ctypes.c_ulong(),
            ctypes.POINTER(ctypes.c_ulong)(),
            ctypes.c_uint(),
        )
        self.x11.XQueryTree(self.display, self.root, *map(ctypes.byref, (root, parent, children, count)))
        found = []
        for window in children[: count.value]:
            box = [ctypes.c_ulong(), ctypes.c_int(), ctypes.c_int(), *(ctypes.c_uint() for _ in range(4))]
            self.x11.XGetGeometry(self.display, ctypes.c_ulong(window), *map(ctypes.byref, box))
            found.append((window, *(value.value for value in box[1:5])))
        return found

    def the_window(self, size: tuple[int, int]) -> tuple[int, int, int, int, int]:
        """The shell's window, by its size."""
        return until(lambda: next((window for window in self.windows() if window[3:] == size), None))

    def move(self, window: int, x: int, y: int, width: int, height: int) -> None:
        self.x11.XMoveResizeWindow(self.display, ctypes.c_ulong(window), x, y, width, height)
        self.x11.XSync(self.display, 0)

    def cover(self) -> int:
        """A window over the whole screen."""
        window = self.x11.XCreateSimpleWindow(self.display, ctypes.c_ulong(self.root), 0, 0, 1280, 800, 0, 0, 0)
        self.x11.XMapRaised(self.display, ctypes.c_ulong(window))
        self.x11.XSync(self.display, 0)
        return window

    def close(self) -> None:
        self.x11.XCloseDisplay(self.display)


def test_the_window_comes_up_where_it_was_and_as_large(display: str, home: Path) -> None:
    remembered = home / "remembered.json"
    remembered.write_text(json.dumps({"theme": "light", "window": {"width": 1100, "height": 650, "x": 120, "y": 80}}))
    screen = Screen(display)
    with contextlib.closing(screen), open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        found = screen.the_window((1100, 650))
        assert found[1:3] == (120, 80)
        screen.move(found[0], 40, 30, 1000, 700)
        until(lambda: window.page.evaluate("[innerWidth, innerHeight]") == [1000, 700])
        window.process.send_signal(signal.SIGTERM)
        assert window.process.wait(20) == 0, window.log.read_text()
    kept = json.loads(remembered.read_text())
    assert kept == {"theme": "light", "window": {"width": 1000, "height": 700, "x": 40, "y": 30, "maximized": False}}


def test_a_second_start_brings_the_window_to_the_front(display: str, home: Path) -> None:
    screen = Screen(display)
    with contextlib.closing(screen), open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        ours = screen.the_window((1280, 740))[0]  # as large as fits beside panels and its title bar
        cover = screen.cover()
        assert [found[0] for found in screen.windows()][-1] == cover
        second = subprocess.run(
            [sys.executable, "-m", "axon_shell"],
            cwd=REPOSITORY,
            env={**os.environ, "DISPLAY": display, "AXON_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (second.returncode, second.stdout) == (0, "")
        assert second.stderr == "AXON Shell is open already, in its window.\n"
        until(lambda: [found[0] for found in screen.windows()][-1] == ours)


def test_a_page_whose_process_dies_comes_back(display: str, home: Path, tmp_path: Path) -> None:
    with open_window(display, home) as window:
        until(lambda: has_bridge(window.page))
        until(lambda: colors(picture(display, tmp_path / "before.png")) > 50)

        def renderers() -> set[int]:
            # Chromium forks them from a process that it keeps for that, under the same name.
            children = psutil.Process(window.process.pid).children()
            return {grandchild.pid for child in children for grandchild in child.children()}

        killed = renderers()
        for process in killed:
            os.kill(process, signal.SIGKILL)
        assert killed
        until(lambda: renderers() - killed)
        until(lambda: colors(picture(display, tmp_path / "after.png")) > 50)
        assert "the page's process ended" in (home / "logs" / "axon-shell.log").read_text()
        assert window.process.poll() is None
