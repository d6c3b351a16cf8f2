"""Where things are: the page, the bundled plugins and the user's data."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def ui() -> Path:
    """The folder of the page: index.html, styles, scripts."""
    return _home("_ui", "ui")


def plugins() -> Path:
    """The folder of the bundled plugins."""
    return _home("_plugins", "plugins")


def data() -> Path:
    """The folder of the user's sessions and settings: AXON_HOME, or where this system keeps such data.

    It may not exist yet: what writes into it makes it.
    """
    if home := os.environ.get("AXON_HOME"):
        return Path(home).expanduser().absolute()
    return platformdirs.user_data_path("axon-shell", appauthor=False)


def logs() -> Path:
    """The folder of the log files."""
    return data() / "logs"


def crashes() -> Path:
    """The folder of the reports of what ended the program badly."""
    return data() / "crashes"


def cache() -> Path:
    """The folder of what can be made anew at any time."""
    if home := os.environ.get("AXON_HOME"):
        return Path(home).expanduser().absolute() / "cache"
    return platformdirs.user_cache_path("axon-shell", appauthor=False)


def downloads() -> Path:
    """The folder where the user looks for files that were exported."""
    if home := os.environ.get("AXON_HOME"):
        return Path(home).expanduser().absolute() / "exports"
    return platformdirs.user_downloads_path()


def _home(in_wheel: str, in_checkout: str) -> Path:
    """A folder that a wheel carries inside the package and a checkout keeps beside it."""
    inside = _PACKAGE / in_wheel
    return inside if inside.is_dir() else _PACKAGE.parent / in_checkout
