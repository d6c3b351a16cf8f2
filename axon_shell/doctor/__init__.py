"""What is installed, what is missing and what to do about it.

Each subject is a module whose `look` gives its checks. They are imported and asked at the same time, each in a thread
of its own: what is slow costs its time once, and a library that is missing hides nothing but its own subject. Nothing
heavy is imported; PyTorch and the web view are tried in processes of their own.

installation.py  the program, Python, libraries, the page
settings.py      config.toml, plugins, the model to begin with
storage.py       folders, disks, the hub's cache, databases
computing.py     PyTorch, the GPU and its driver, the device that is set
window.py        display, web view, WebGL, fonts
network.py       the hub and the label servers
"""

from __future__ import annotations

import importlib
import time
from functools import partial

from ..config import ConfigFile, read_config
from .check import Check, aside

__all__ = ["Check", "checks"]

SUBJECTS = {
    "installation": "Program",
    "settings": "Settings and plugins",
    "storage": "Storage",
    "computing": "Computing",
    "window": "Window",
    "network": "Network",
}
PATIENCE = 60  # seconds in all; the first import of PyTorch after an installation may take most of them


def checks() -> dict[str, list[Check]]:
    """Everything that the shell depends on, by subject."""
    file = read_config()
    until = time.monotonic() + PATIENCE
    waiting = {title: aside(title, partial(look, name, file)) for name, title in SUBJECTS.items()}
    return {title: wait(until) for title, wait in waiting.items()}


def look(name: str, file: ConfigFile) -> list[Check]:
    """The checks of one subject."""
    found: list[Check] = importlib.import_module(f".{name}", __package__).look(file)
    return found
