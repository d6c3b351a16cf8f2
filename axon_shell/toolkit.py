"""Whether a window can be shown here, and with which toolkit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

LINUX = sys.platform.startswith("linux")

# Without a usable display Qt aborts its process instead of raising an exception, so each toolkit is tried in a process
# of its own. Exit code 3: it is not installed.
TRIALS = {
    "qt": """
import importlib.util
if not (importlib.util.find_spec("qtpy") and importlib.util.find_spec("webview")):
    raise SystemExit(3)
try:
    from qtpy.QtWebEngineWidgets import QWebEngineView
    from qtpy.QtWidgets import QApplication
except Exception as error:
    raise SystemExit(str(error) if ".so" in str(error) else 3)
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
except Exception:
    raise SystemExit(3)
raise SystemExit(0 if Gtk.init_check()[0] else "no display")
""",
}
# Those that desktops lack most often; Qt's own message names libxcb-cursor0 whichever is missing.
LIBRARIES = "libegl1 libnss3 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0"


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
    outcomes = {}
    for name in TRIALS:  # Qt first: it is what the `qt` extra installs and what the tests cover
        code, said = outcomes[name] = run_trial(name)
        if code == 0:
            return Toolkit(name)
    code, said = outcomes["qt"]
    if code == 3:
        hint = f"Install one: {sys.executable} -m pip install 'pywebview[pyside6]'"
        return Toolkit(problem="no web view toolkit is installed", hint=hint)
    problem = f"Qt misses a library ({said})" if ".so" in said else "Qt cannot use the display"
    return Toolkit(problem=problem, hint=f"Check DISPLAY and Qt's libraries: sudo apt-get install {LIBRARIES}")


def has_display() -> bool:
    """Whether a display is announced; only Linux has to announce one."""
    return not LINUX or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def qt_environment() -> dict[str, str]:
    """The environment for Qt WebEngine: this process's own, and what its web views read from it when they start."""
    environment = dict(os.environ)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox ends the process of root
        environment.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")
    if environment.get("AXON_SOFTWARE_GL") == "1":
        # Allow WebGL without a graphics card. Without the second flag the window would then stay empty.
        flags = "--ignore-gpu-blocklist --disable-gpu-compositing"
        environment["QTWEBENGINE_CHROMIUM_FLAGS"] = (
            f"{environment.get('QTWEBENGINE_CHROMIUM_FLAGS', '')} {flags}".strip()
        )
    return environment


def run_trial(name: str) -> tuple[int, str]:
    """Open a toolkit's application object in a process of its own: its exit code and its last words."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", TRIALS[name]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return result.returncode, (result.stderr.strip().splitlines() or [""])[-1]
