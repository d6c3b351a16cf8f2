"""Open the shell: in a window, or in the browser where no window can be shown.

Both show the same page from the same loopback server. Importing this module imports nothing heavy: the window is up
before PyTorch is imported. `webview` is imported in here and nowhere else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from . import homes
from .bridge import Bridge
from .config import Config
from .events import EventLog
from .labels import Labels
from .plugins import catalogue
from .server import Server
from .store import Store
from .toolkit import LINUX, find_toolkit, has_display
from .worker import Worker

SIZE, SMALLEST = (1280, 800), (960, 600)
BACKGROUND = "#05070d"  # until the page has drawn itself: white would flash
SECONDS_TO_END = 3.0  # for threads that are still busy when the window is closed


def open_shell(
    config: Config, *, browser: bool, no_open: bool, port: int | None, opened: Callable[[str | None], None]
) -> int:
    """Show the page until the user closes it; gives the exit code.

    Where no window can be shown, a browser shows the page; `no_open` leaves opening it to the user. `opened` is told
    the address for a browser, or None when a window is about to open. Raises ServerError when the port is taken.
    """
    os.environ.setdefault("PYWEBVIEW_LOG", "WARNING")  # read when pywebview is imported
    with ThreadPoolExecutor(1) as aside:
        wanted = None if browser or no_open else aside.submit(find_toolkit)  # it takes a while: build meanwhile
        bridge = build_bridge(config)
        if wanted and LINUX and has_display():
            # A third of a second, as long as the toolkit is tried in its own process.
            with suppress(Exception):  # not installed: the trial says so
                import webview.platforms.qt  # noqa: F401
    try:
        problem = ""
        if wanted:
            toolkit = wanted.result()
            problem = toolkit.problem or show_window(bridge, toolkit.name, port or 0, opened)
            if problem:
                print(f"No window, because {problem} (see `axon-shell doctor`): use a browser.", file=sys.stderr)
        if problem or not wanted:
            show_in_browser(bridge, port or 0, not no_open and has_display(), opened)
    finally:
        bridge.close()
    end_promptly()
    return 0


def build_bridge(config: Config) -> Bridge:
    """All that the page talks to."""
    found = catalogue(config)
    store = Store(homes.data())
    return Bridge(Worker(store, Labels(found.label_sources), EventLog(), config), store, found, config)


# -- in the browser -----------------------------------------------------------


def show_in_browser(bridge: Bridge, port: int, open_it: bool, opened: Callable[[str | None], None]) -> None:
    """Serve the page, tell its address and open it, until Ctrl-C."""
    server = Server(bridge, homes.ui(), port)
    server.start()
    address = f"{server.url}#t={server.token}"
    ended = threading.Event()
    with on_signals(ended.set):
        opened(address)
        if open_it:  # aside, as some browsers keep us waiting until they are closed
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        while not ended.wait(1):  # in slices, or Windows would not heed Ctrl-C
            pass
    server.stop()


@contextmanager
def on_signals(end: Callable[[], Any]) -> Iterator[None]:
    """Take Ctrl-C, a closed terminal and a request to terminate as the user's wish to end; the second time at once."""

    def handle(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        end()

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- in a window --------------------------------------------------------------


class Api:
    """What the window's page can call. pywebview offers every public attribute to it, so there is exactly one."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def call(self, method: str, params: str) -> str:
        """Ask the bridge: JSON text both ways."""
        return self._bridge.call(method, params)


def show_window(bridge: Bridge, toolkit: str | None, port: int, opened: Callable[[str | None], None]) -> str:
    """Show the page in a window until it is closed; gives nothing, or why there was no window."""
    prepare_environment(toolkit)
    import webview

    webview.settings["ALLOW_FILE_URLS"] = False
    webview.settings["ALLOW_DOWNLOADS"] = False
    server = Server(bridge, homes.ui(), port, window=True)
    server.start()
    window = webview.create_window(
        "AXON Shell",
        server.url + "#window",
        js_api=Api(bridge),
        width=SIZE[0],
        height=SIZE[1],
        min_size=SMALLEST,
        background_color=BACKGROUND,
        text_select=True,
        zoomable=True,
    )
    assert window
    problems = []

    def can_show(renderer: str) -> bool:
        if renderer == "mshtml":  # Internet Explorer
            problems.append("Microsoft Edge WebView2 is not installed")
        return not problems

    def refuse_to_leave(window: Any) -> None:
        # Whichever page is in the window may call the bridge, so no other page may get there. Qt lets us refuse
        # before a single byte of it is fetched.
        if toolkit == "qt":
            page = window.native.webview.page()
            page.navigationRequested.connect(
                lambda request: None if is_ours(request.url().toString(), server.url) else request.reject()
            )

    def close_if_left(window: Any) -> None:
        if not is_ours(window.get_current_url(), server.url):
            window.destroy()

    window.events.initialized += can_show
    window.events.before_show += refuse_to_leave
    window.events.loaded += close_if_left
    # Nothing listens to `closing`: a call of pywebview in there would block for ever.
    try:
        with on_signals(window.destroy):
            opened(None)
            webview.start(gui=toolkit)
    except webview.errors.WebViewException as error:
        problems.append(str(error).rstrip("."))
    finally:
        server.stop()
    return "; ".join(problems)


def is_ours(url: str | None, home: str) -> bool:
    """Whether a page is the one that we serve, or an empty one."""
    parts, ours = urlsplit(url or "about:blank"), urlsplit(home)
    return (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc) or parts.geturl() == "about:blank"


def prepare_environment(toolkit: str | None) -> None:
    """What the web views read from the environment when they start."""
    if toolkit != "qt":
        return
    if os.geteuid() == 0:  # Chromium's sandbox refuses to work for root, and without this its process ends
        os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")
    if os.environ.get("AXON_SOFTWARE_GL") == "1":
        # Allow WebGL without a graphics card. Without the second flag the window would then stay empty.
        flags = "--ignore-gpu-blocklist --disable-gpu-compositing"
        os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = f"{os.environ.get('QTWEBENGINE_CHROMIUM_FLAGS', '')} {flags}".strip()


def end_promptly() -> None:
    """Do not let a thread keep a process whose window is gone.

    pywebview answers the page in threads that Python waits for, and one of them may wait for the page that is gone;
    the engine's thread may be in the middle of importing PyTorch, which cannot be interrupted. Everything is stored
    and closed by now.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    others = [thread for thread in threading.enumerate() if not thread.daemon or thread.name == "engine"]
    others.remove(threading.main_thread())
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
        os._exit(0)
