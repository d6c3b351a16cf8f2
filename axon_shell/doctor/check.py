"""What a check is, and what all subjects need: threads and processes that may hang or die, folders, commands."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What lies in the current folder must not stand in for a library.
WITHOUT_CURRENT_FOLDER = "import sys; sys.path[:] = [place for place in sys.path if place]\n"
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows opens a console for each child of a windowless program
REPORT = "This is a fault in AXON Shell; please report it."


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool | None  # None: not needed for the main job, and not there
    found: str
    hint: str = ""  # what to do about it, unless all is well


# -- threads ------------------------------------------------------------------

Wait = Callable[[float], list[Check]]  # until a moment of time.monotonic()


def aside(name: str, look: Callable[[], list[Check]]) -> Wait:
    """Start to look, in a thread that keeps nobody waiting; gives the function that waits for what it found."""
    found: queue.SimpleQueue[list[Check]] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put(look())
        except ImportError as error:
            found.put([Check(name, False, f"cannot be looked at: {error}", "Complete the installation first.")])
        except OSError as error:
            found.put([Check(name, False, f"cannot be looked at: {error}", "See who may read and write there.")])
        except Exception as error:
            found.put([Check(name, False, f"the check failed: {type(error).__name__}: {error}", REPORT)])

    def wait(until: float) -> list[Check]:
        try:
            return found.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return [Check(name, None, "there was no answer in time", "Try again when the computer is less busy.")]

    threading.Thread(target=run, name=f"doctor: {name}", daemon=True).start()
    return wait


# -- processes ----------------------------------------------------------------


def in_child(
    script: str, seconds: float, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any] | None, str]:
    """The JSON object that a script prints last in a Python of its own; without one, how it ended and its last words.

    It may crash or hang: what it printed before that counts.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_CURRENT_FOLDER + script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=environment,
            creationflags=NO_WINDOW,
        )
        out, err, how = ended.stdout, ended.stderr, ended_by(ended.returncode)
    except subprocess.TimeoutExpired as error:
        out, err, how = error.stdout or b"", b"", f"no answer within {seconds:.0f} s"
    except OSError as error:
        return None, str(error)
    for line in reversed(out.decode("utf-8", "replace").splitlines()):
        with suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                return found, ""
    return None, ": ".join(filter(None, (how, last_words(err.decode("utf-8", "replace")))))


def ended_by(code: int) -> str:
    """The signal that ended a process; empty where none did."""
    if code >= 0:
        return ""
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"


def last_words(text: str) -> str:
    """The line that says why a process ended: Chromium's last one is not it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "FATAL" in line or "No usable sandbox" in line), lines[-1] if lines else "")


def said_by(program: str, *arguments: str, seconds: float = 10) -> tuple[bool, str]:
    """Whether a program succeeded, and what it printed."""
    try:
        ended = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            creationflags=NO_WINDOW,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return ended.returncode == 0, (ended.stdout if ended.returncode == 0 else ended.stdout + ended.stderr).decode(
        "utf-8", "replace"
    ).strip()


# -- words --------------------------------------------------------------------


def pip_install(what: str) -> str:
    """The command that installs something into this Python."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"`{python} -m pip install {what}`"


def nearest(folder: Path) -> Path:
    """The folder itself, or the first one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)
