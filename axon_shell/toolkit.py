"""Whether a window can be shown here, and with which toolkit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

LINUX = sys.platform.startswith("linux")

# Without a usable display Qt aborts its process instead of raising an exception, so each toolkit is tried in a process
# of its own. Exit code 3: not installed, or a library that it needs is missing.
TRIALS = {
    "qt": """
try:
    from qtpy.QtWebEngineWidgets import QWebEngineView
    from qtpy.QtWidgets import QApplication
except Exception as error:
    raise SystemExit(3)
QApplication([])
""",
    "gtk": """
try:
    import gi
    gi.require_version("Gtk", "3.0")
    try:
        gi.require_version("WebKit2", "4.1")
    except ValueError:
        gi.require_version("WebKit2", "4.0")
    from gi.repository import Gtk, WebKit2
except Exception as error:
    raise SystemExit(3)
raise SystemExit(0 if Gtk.init_check()[0] else 1)
""",
}


@dataclass(frozen=True, slots=True)
class Toolkit:
    """What shows the window, or why none can be shown."""

    name: str | None = None  # "qt" or "gtk" for pywebview; None: the web view that Windows and macOS bring
    problem: str = ""  # one clause: "there is no display"
    hint: str = ""


def find_toolkit() -> Toolkit:
    """The toolkit to show the window with. On Linux it takes some tenths of a second to try."""
    if not LINUX:
        return Toolkit()
    if not has_display():
        return Toolkit(problem="there is no display", hint="Log in to a desktop, or use the page in a browser.")
    outcome = {}
    for name in TRIALS:  # Qt first: it is what the `qt` extra installs and what the tests cover
        outcome[name] = run_trial(name)
        if outcome[name] == 0:
            return Toolkit(name)
    if outcome["qt"] == 3:
        problem = "no web view toolkit is installed"
        hint = f"{sys.executable} -m pip install 'axon-shell[qt]', and the libraries that Qt needs: see the README."
        return Toolkit(problem=problem, hint=hint)
    hint = "Check DISPLAY; the libraries that Qt needs are listed in the README."
    return Toolkit(problem="Qt cannot use the display", hint=hint)


def has_display() -> bool:
    """Whether a display is announced; only Linux has to announce one."""
    return not LINUX or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run_trial(name: str) -> int:
    """Open a toolkit's application object in a process of its own: 0 when that works."""
    try:
        command = [sys.executable, "-c", TRIALS[name]]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 1
