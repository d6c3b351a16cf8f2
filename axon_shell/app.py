"""Open the shell: in a window, or in the browser where no window can be shown.

Both show the same page from the same loopback server. Importing this module imports nothing heavy: the window is up
before PyTorch is imported. `webview` is imported in here and nowhere else.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import __version__, homes
from .analysers import Analysers
from .bridge import Bridge
from .config import ConfigFile
from .crashes import watched
from .events import EventLog
from .frame import SMALLEST, Watch, fitted, frame_from
from .instance import Instance
from .labels import Labels, LabelStore, Network, Web
from .logs import log_to
from .plugins import catalogue_from
from .remembered import Remembered
from .server import Server
from .session import Annotator
from .store import Store
from .toolkit import LINUX, find_toolkit, has_display, qt_environment
from .worker import Worker

ICON = Path(__file__).with_name("icons") / "axon-shell-256.png"
BACKGROUNDS = {"dark": "#0e1116", "light": "#f4f6f9"}  # until the page has drawn itself
REVIVALS = 3  # times a minute that a page whose process died is loaded again
SECONDS_TO_END = 3.0  # for threads that are still busy when the window is closed
log = logging.getLogger(__name__)


def open_shell(
    file: ConfigFile,
    *,
    browser: bool,
    no_open: bool,
    port: int | None,
    opened: Callable[[str | None], None],
    session: str = "",
) -> int:
    """Show the page until the user closes it, with a session on it if one is named; gives the exit code.

    Where no window can be shown, a browser shows the page; `no_open` leaves opening it to the user. `opened` is told
    the address for a browser, or None when a window is about to open. A shell that is open already with the same data
    comes to the front instead. Raises ServerError when the port is taken, AlreadyOpen when that shell does not answer.
    """
    instance = Instance(homes.data())
    if not instance.claim():
        address = instance.show_other(not no_open and has_display(), session)
        print(f"AXON Shell is open already, in {'the browser' if address else 'its window'}.", file=sys.stderr)
        opened(address)
        return 0
    log_file = log_to(homes.logs())
    try:
        with watched(homes.crashes(), log_file):
            show(file, instance, browser, no_open, port or 0, opened, session)
    finally:
        instance.release()
    log.info("closed")
    end_promptly()
    return 0


def show(
    file: ConfigFile,
    instance: Instance,
    browser: bool,
    no_open: bool,
    port: int,
    opened: Callable[[str | None], None],
    session: str,
) -> None:
    """Show the page in a window if there can be one, else in a browser, until it is closed."""
    log.info("AXON Shell %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    os.environ.setdefault("PYWEBVIEW_LOG", "WARNING")  # read when pywebview is imported
    with ThreadPoolExecutor(1) as aside:
        wanted = None if browser or no_open else aside.submit(find_toolkit)  # it takes a while: build meanwhile
        bridge = build_bridge(file)
        bridge.wanted = session
        if wanted and LINUX and has_display():
            # A third of a second, as long as the toolkit is tried in its own process.
            with suppress(Exception):  # not installed: the trial says so
                import webview.platforms.qt  # noqa: F401
    try:
        problem = ""
        if wanted:
            toolkit = wanted.result()
            problem = toolkit.problem or show_window(bridge, instance, toolkit.name, port, opened)
            if problem:
                log.info("no window, because %s", problem)
                print(f"No window, because {problem} (see `axon-shell doctor`): use a browser.", file=sys.stderr)
        if problem or not wanted:
            show_in_browser(bridge, instance, port, not no_open and has_display(), opened)
    finally:
        bridge.close()


def build_bridge(file: ConfigFile) -> Bridge:
    """All that the page talks to."""
    found = catalogue_from(file)
    for problem in found.problems:
        log.info("problem: %s: %s", problem.name, problem.message)
    store, events = Store(homes.data()), EventLog()
    labels = Labels(
        found.label_sources.values(),
        found.saes,
        LabelStore(homes.data()),
        file.config.labels,
        store.fires_on,
        Network(Web(file.config.offline), events.put),
    )
    worker = Worker(store, Annotator(labels, Analysers(found.analysers.values())), events, file.config)
    return Bridge(worker, store, found, file.config, Remembered(homes.data() / "remembered.json"))


# -- in the browser -----------------------------------------------------------


def show_in_browser(
    bridge: Bridge, instance: Instance, port: int, open_it: bool, opened: Callable[[str | None], None]
) -> None:
    """Serve the page, tell its address and open it, until Ctrl-C."""

    def open_page(wanted: bool, session: str = "") -> None:
        bridge.show_session(session)
        if wanted:  # aside, as some browsers keep us waiting until they are closed
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()

    server = Server(bridge, homes.ui(), port, show=open_page)
    server.start()
    instance.announce(server.url, server.token)
    ended = threading.Event()
    with on_signals(ended.set):
        log.info("in the browser")
        opened(server.address)
        open_page(open_it)
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


def show_window(
    bridge: Bridge, instance: Instance, toolkit: str | None, port: int, opened: Callable[[str | None], None]
) -> str:
    """Show the page in a window until it is closed; gives nothing, or why there was no window."""
    if toolkit == "qt":
        os.environ.update(qt_environment())
    import webview

    if toolkit == "qt":  # what desktops know the window by: the name of the shortcut's file
        from webview.platforms.qt import QApplication

        QApplication.setApplicationName("axon-shell")
        QApplication.setDesktopFileName("axon-shell")
    webview.settings["ALLOW_FILE_URLS"] = False
    webview.settings["ALLOW_DOWNLOADS"] = False
    server = Server(bridge, homes.ui(), port, window=True, show=lambda open_it, session: come_back(session))
    server.start()
    theme = str(bridge.remembered.values.get("theme", ""))
    theme = theme if theme in BACKGROUNDS else ""  # what the system has
    screens = []
    with suppress(Exception):  # where there is no web view: starting it says why
        screens = webview.initialize(toolkit).get_screens()
    frame, screen = fitted(frame_from(bridge.remembered.values.get("window")), screens)
    window = webview.create_window(
        "AXON Shell",
        f"{server.url}#window{f'&theme={theme}' if theme else ''}",
        js_api=Api(bridge),
        width=frame.width,
        height=frame.height,
        x=frame.x,
        y=frame.y,
        screen=screen,
        maximized=frame.maximized,
        min_size=SMALLEST,
        background_color=BACKGROUNDS.get(theme, BACKGROUNDS["dark"]),
        text_select=True,
        zoomable=True,
    )
    assert window
    problems = []
    ends: list[float] = []  # when the page's process ended

    def can_show(renderer: str) -> bool:
        if renderer == "mshtml":  # Internet Explorer
            problems.append("Microsoft Edge WebView2 is not installed")
        return not problems

    def come_back(session: str) -> None:
        bridge.show_session(session)
        bring_to_front(window, toolkit)

    def look_after(window: Any) -> None:
        # Whichever page is in the window may call the bridge, so no other page may get there. Qt lets us refuse
        # before a single byte of it is fetched.
        if toolkit == "qt":
            page = window.native.webview.page()
            page.navigationRequested.connect(
                lambda request: None if is_ours(request.url().toString(), server.url) else request.reject()
            )
            page.renderProcessTerminated.connect(revive)

    def revive(status: Any, code: int) -> None:
        # The page runs in a process of its own, which can be killed (for want of memory) without this one noticing.
        log.error("the page's process ended (%s, %s)", status.name, code)
        ends.append(time.monotonic())
        if len([end for end in ends if end > time.monotonic() - 60]) <= REVIVALS:
            window.native.webview.reload()

    def close_if_left(window: Any) -> None:
        if not is_ours(window.get_current_url(), server.url):
            window.destroy()

    watch = Watch(frame)
    window.events.initialized += can_show
    window.events.before_show += look_after
    window.events.loaded += close_if_left
    window.events.moved += watch.moved
    window.events.resized += watch.resized
    window.events.maximized += watch.was_maximized
    window.events.restored += watch.was_restored
    # Nothing listens to `closing`: a call of pywebview in there would block for ever.
    try:
        with on_signals(window.destroy):
            opened(None)
            log.info("in a window (%s)", toolkit or sys.platform)
            instance.announce(server.url, server.token)
            webview.start(gui=toolkit, icon=str(ICON) if LINUX else None)  # elsewhere the shortcut brings it
        bridge.remembered.put("window", watch.as_remembered())
    except webview.errors.WebViewException as error:
        problems.append(str(error).rstrip("."))
    finally:
        server.stop()
    return "; ".join(problems)


def bring_to_front(window: Any, toolkit: str | None) -> None:
    """Let the user see the window, whatever covers it."""
    if toolkit == "qt":
        from webview.platforms.qt import QtCore

        def raise_window() -> None:
            native = window.native
            native.setWindowState(native.windowState() & ~QtCore.Qt.WindowState.WindowMinimized)
            native.raise_()
            native.activateWindow()

        QtCore.QTimer.singleShot(0, window.native, raise_window)  # in the window's own thread
        return
    window.show()
    window.on_top = True  # Windows and macOS let a program put its window in front only so
    window.on_top = False


def is_ours(url: str | None, home: str) -> bool:
    """Whether a page is the one that we serve, or an empty one."""
    parts, ours = urlsplit(url or "about:blank"), urlsplit(home)
    return (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc) or parts.geturl() == "about:blank"


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
