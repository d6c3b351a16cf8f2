"""What shows the page: display, web view, WebGL, fonts. Without them a browser does, so hardly any of it is a fault."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..config import ConfigFile
from ..toolkit import LINUX, Toolkit, find_toolkit, has_display, qt_environment
from .check import Check, in_child, pip_install, said_by

PATIENCE = 15  # seconds for a page in Qt WebEngine
IN_BROWSER = "Without it the page opens in the browser."
SYSTEMS = {"win32": ("Microsoft Edge WebView2", "clr"), "darwin": ("WebKit", "WebKit")}  # and what pywebview needs
WEBVIEW2 = r"Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}"
SOFTWARE = re.compile(r"llvmpipe|softpipe|swrast|swiftshader|lavapipe|software|basic render", re.IGNORECASE)
LANGUAGES = {"Chinese": "lang=zh", "Japanese": "lang=ja", "Korean": "lang=ko", "emoji": "charset=1f600"}
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")

# The page needs WebGL 2, and a context is not enough: what is drawn must come out.
SCRIPT = """
import json, os
from qtpy.QtCore import QTimer
from qtpy.QtWebEngineCore import QWebEnginePage, QWebEngineProfile
from qtpy.QtWidgets import QApplication

ASK = '''(() => {
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl) return '{}';
  const about = gl.getExtension('WEBGL_debug_renderer_info');
  gl.clearColor(1, 0, 0, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  const pixel = new Uint8Array(4);
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  const renderer = gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return JSON.stringify({renderer, draws: pixel[0] === 255 && pixel[1] === 0});
})()'''

def tell(answer):
    print(answer, flush=True)
    os._exit(0)  # Qt may crash while it puts everything away, and nothing is left to do

application = QApplication(["axon-shell"])
profile = QWebEngineProfile()  # leaves nothing on the disk
page = QWebEnginePage(profile)
page.loadFinished.connect(lambda loaded: page.runJavaScript(ASK, 0, tell))
page.renderProcessTerminated.connect(lambda how, code: os._exit(70))
page.setHtml("<!doctype html>")
application.exec()
"""


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    toolkit = find_toolkit()
    return [check_display(), check_web_view(toolkit), check_webgl(toolkit), *check_fonts()]


def check_display() -> Check:
    """Whether there is a screen to show a window on."""
    if not has_display():
        return Check("Display", None, "none", f"{IN_BROWSER} Log in to a desktop for the window.")
    announced = [f"{name}={os.environ[name]}" for name in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(name)]
    return Check("Display", True, ", ".join(announced) if LINUX else "the system's own")


def check_web_view(toolkit: Toolkit) -> Check:
    """Whether a window can show a page."""
    if toolkit.problem:
        return Check("Web view", None, toolkit.problem, f"{IN_BROWSER} {toolkit.hint}")
    if toolkit.name:
        return Check("Web view", True, {"qt": "Qt WebEngine", "gtk": "WebKitGTK"}[toolkit.name])
    name, needed = SYSTEMS.get(sys.platform, ("the system's own", "webview"))
    if find_spec(needed) is None:
        hint = f"{IN_BROWSER} {pip_install('--force-reinstall pywebview')} installs it."
        return Check("Web view", None, f"{name}, but Python's way to it is not installed", hint)
    if sys.platform == "win32" and not webview2_version():
        hint = f"{IN_BROWSER} Get it: https://developer.microsoft.com/microsoft-edge/webview2/"
        return Check("Web view", None, f"{name} is not installed", hint)
    return Check("Web view", True, name)


def webview2_version() -> str:
    """The version of Edge WebView2 that Windows notes for the computer or the user; empty where there is none."""
    if sys.platform != "win32":
        return ""
    import winreg

    for root, key in (
        (winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\WOW6432Node\{WEBVIEW2}"),
        (winreg.HKEY_LOCAL_MACHINE, rf"SOFTWARE\{WEBVIEW2}"),
        (winreg.HKEY_CURRENT_USER, rf"Software\{WEBVIEW2}"),
    ):
        try:
            with winreg.OpenKey(root, key) as entry:
                version = str(winreg.QueryValueEx(entry, "pv")[0])
        except OSError:
            continue
        if version.strip("0."):
            return version
    return ""


def check_webgl(toolkit: Toolkit) -> Check:
    """Whether the window can draw the graph in 3D."""
    in_2d = "The graph is drawn in 2D, and nothing else changes."
    if toolkit.problem:
        return Check("WebGL", None, "the browser's own: not tried", "The page says so where the browser has none.")
    if toolkit.name != "qt":
        return Check("WebGL", True, "the web view's own: not tried")
    found, said = in_child(SCRIPT, PATIENCE, qt_environment())
    if found is None and "no answer" in said:
        return Check("WebGL", None, f"Qt WebEngine gave {said}", "Try again; `axon-shell open --browser` works always.")
    if found is None:
        hint = "The window cannot open like this. `axon-shell open --browser` shows the page in a browser."
        if "sandbox" in said:
            hint = "Set QTWEBENGINE_DISABLE_SANDBOX=1, or use a browser: `axon-shell open --browser`."
        return Check("WebGL", False, f"Qt WebEngine crashed: {said or 'it said nothing'}", hint)
    if not found:
        hint = f"{in_2d} A graphics card with its driver gives 3D; AXON_SOFTWARE_GL=1 gives it without one, slowly."
        return Check("WebGL", None, "none: Qt WebEngine finds no graphics card that it trusts", hint)
    if not found["draws"]:
        return Check("WebGL", None, f"{found['renderer']} draws nothing", f"Update the graphics driver. {in_2d}")
    if SOFTWARE.search(found["renderer"]):
        hint = "The 3D graph is slow. Install the driver of the graphics card, or choose the graph in 2D."
        return Check("WebGL", None, f"in software: {found['renderer']}", hint)
    return Check("WebGL", True, found["renderer"])


# -- fonts --------------------------------------------------------------------


def check_fonts() -> Iterator[Check]:
    """Whether letters can be drawn: on Linux a window without any font shows boxes."""
    if not LINUX:
        yield Check("Fonts", True, "the system's own")
        return
    program = shutil.which("fc-list")
    number = len(listed(program, ":")) if program else sum(1 for _ in font_files())
    if not number:
        hint = "`sudo apt-get install fonts-dejavu-core` brings letters for the window."
        yield Check("Fonts", False if has_display() else None, "none", hint)
        return
    if program and not listed(program, ":lang=en"):
        hint = "`sudo apt-get install fonts-dejavu-core` brings letters for the window."
        yield Check("Fonts", False if has_display() else None, f"{number} files, none with Latin letters", hint)
        return
    yield Check("Fonts", True, f"{number} files")
    if program and (lacking := [name for name, pattern in LANGUAGES.items() if not listed(program, f":{pattern}")]):
        hint = "Such tokens show as boxes: `sudo apt-get install fonts-noto-cjk fonts-noto-color-emoji` brings them."
        yield Check("Other scripts", None, f"no font for {', '.join(lacking)}", hint)


def listed(program: str, pattern: str) -> list[str]:
    """The font files that fontconfig knows for a pattern."""
    worked, said = said_by(program, pattern, "file")
    return said.splitlines() if worked else []


def font_files() -> Iterator[Path]:
    """Font files where Linux keeps them, for systems without fontconfig's own list."""
    for folder in FONT_FOLDERS:
        for path in Path(folder).expanduser().rglob("*"):
            if path.suffix.lower() in (".ttf", ".otf", ".ttc", ".woff2"):
                yield path
