"""What is installed, what is missing and what to do about it. Imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from . import __version__, homes
from .config import Config, config_path, load_config
from .errors import AxonError
from .plugins import catalogue, installed
from .toolkit import find_toolkit, has_display

NEEDED_SPACE = 200_000_000  # bytes: sessions are small, but SQLite wants room to work


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool | None  # None: not needed for the main job, and not there
    found: str
    hint: str = ""


def checks() -> list[Check]:
    """Everything that the shell depends on, in the order in which it needs it."""
    config, configuration = check_config()
    return [
        Check("AXON Shell", True, f"{__version__} in {Path(__file__).parent}"),
        check_python(),
        *(check_library(name) for name in ("torch", "transformers", "sae-lens", "transformer-lens")),
        *check_window(),
        check_page(),
        configuration,
        *check_plugins(config),
        check_folder(homes.data()),
        check_space(homes.data()),
        check_sessions(homes.data() / "sessions.db"),
    ]


def check_python() -> Check:
    """Whether Python is new enough."""
    found = f"{platform.python_version()} at {sys.executable}"
    return Check("Python", sys.version_info >= (3, 10), found, "Use Python 3.10 or newer.")


def check_library(name: str) -> Check:
    """A library by its metadata: importing it would take seconds."""
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", "Start with `python3 launch.pyw`: it completes the installation.")


def check_window() -> list[Check]:
    """Display and web view. Without them the page is shown in a browser, so none is a fault."""
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "the system's own"
    toolkit = find_toolkit()
    in_browser = "Without it the page opens in the browser. "
    web_view = {"qt": "Qt WebEngine", "gtk": "WebKitGTK", None: "the system's own"}[toolkit.name]
    return [
        Check("Display", True, display)
        if has_display()
        else Check("Display", None, "none", in_browser + "Log in to a desktop for the window."),
        Check("Web view", None, toolkit.problem, in_browser + toolkit.hint)
        if toolkit.problem
        else Check("Web view", True, web_view),
    ]


def check_page() -> Check:
    """Whether the files of the page are there."""
    page = homes.ui() / "index.html"
    if page.is_file():
        return Check("Page", True, str(page.parent))
    return Check("Page", False, f"{page} is missing", "The installation is incomplete: install AXON Shell again.")


def check_config() -> tuple[Config, Check]:
    """The configuration in force; the defaults when the file cannot be used."""
    try:
        config = load_config()
    except AxonError as error:
        return Config(), Check("Configuration", False, error.message, error.hint)
    found = str(config.path) if config.path else f"the defaults ({config_path()} does not exist)"
    return config, Check("Configuration", True, found + (", offline" if config.offline else ""))


def check_plugins(config: Config) -> list[Check]:
    """What plugins registered, what went wrong with them, and whether the model to begin with is there."""
    found = catalogue(config)
    models = ", ".join(found.models) or "none"
    begin = found.models.get(config.model)
    if begin and installed(begin):
        model = Check("Model", True, f"{begin.name}: {begin.weights}")
    elif begin:
        model = Check(
            "Model", False, f"{begin.weights} is missing", "Choose another model, or install AXON Shell again."
        )
    else:
        model = Check("Model", False, f"there is no {config.model!r}", f"Set `model` to one of: {models}.")
    return [
        Check("Plugins", bool(found.models), f"models: {models}; SAEs: {len(found.saes)}", "Install AXON Shell again."),
        *(Check(problem.name, False, problem.message, problem.hint) for problem in found.problems),
        model,
    ]


def check_folder(folder: Path) -> Check:
    """Whether the data folder, or the one that it will be made in, takes files."""
    parent = nearest(folder)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Check("Data folder", True, f"{folder}" + ("" if folder.exists() else " (made when first needed)"))
    hint = "Set AXON_HOME to a folder that you may write to."
    return Check("Data folder", False, f"{folder} cannot be written", hint)


def check_space(folder: Path) -> Check:
    """Whether the disk of the data folder has room."""
    free = shutil.disk_usage(nearest(folder)).free
    found = f"{free / 1e9:,.1f} GB free"
    return Check("Disk", free >= NEEDED_SPACE, found, "Free some space, or set AXON_HOME to another disk.")


def check_sessions(path: Path) -> Check:
    """Whether SQLite finds the session database sound; it is opened for reading only."""
    if not path.exists():
        return Check("Sessions", True, f"none yet ({path})")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict == "ok":
        return Check("Sessions", True, f"{path}, {path.stat().st_size / 1e6:,.1f} MB, sound")
    hint = "Copy the file to a safe place. The shell sets a damaged database aside and begins a new one."
    return Check("Sessions", False, f"{path}: {verdict}", hint)


def nearest(folder: Path) -> Path:
    """The folder itself, or the first one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)
