"""The log file: what the shell did and what went wrong, without a word that was typed or written.

Everything goes through Python's `logging`. A command in the terminal has no log file: its warnings go to stderr.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

NAME = "axon-shell.log"
LARGEST = 1_000_000  # bytes of one file
OLDER = 3  # files of that size kept beside it
LINE = "%(asctime)s %(levelname)-7s %(threadName)s %(name)s: %(message)s"


def log_to(folder: Path) -> Path:
    """Write the log to a file in this folder from now on, and warnings also to stderr; gives the file.

    Where the folder cannot be written there is only stderr.
    """
    path = folder / NAME
    root = logging.getLogger()
    stop_logging()
    if sys.stderr:
        terminal = logging.StreamHandler()
        terminal.setLevel(logging.WARNING)
        terminal.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(terminal)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(path, maxBytes=LARGEST, backupCount=OLDER, encoding="utf-8", delay=False)
        file.setFormatter(logging.Formatter(LINE))
        root.addHandler(file)
    logging.getLogger("axon_shell").setLevel(logging.INFO)
    logging.raiseExceptions = False  # a full disk costs lines of the log, nothing else
    return path


def stop_logging() -> None:
    """Close the log file."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, RotatingFileHandler) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
            handler.close()


def last_lines(path: Path, count: int) -> str:
    """The end of a log file; empty where there is none."""
    with suppress(OSError):
        return "".join(path.read_text("utf-8", errors="replace").splitlines(keepends=True)[-count:])
    return ""
