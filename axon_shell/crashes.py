"""Reports of what ended the program badly: one text file each, for the user to send to whoever can mend it.

A report holds versions, the traceback and the end of the log; the user's home folder is written as `~` in it, and there
is nothing in it that was typed or written. It never leaves this machine by itself.
"""

from __future__ import annotations

import faulthandler
import importlib.metadata
import logging
import platform
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from . import __version__
from .errors import AxonError, Fault
from .logs import last_lines

KEPT = 10  # reports; older ones are deleted
A_RUN = 5  # reports that one run may write: a fault that repeats itself says nothing new
LOG_LINES = 60
LONGEST = 40_000  # characters shown of a report
LIBRARIES = ("torch", "transformers", "transformer-lens", "sae-lens", "pywebview", "PySide6", "sqlite-utils", "pluggy")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """A report as the page shows it."""

    name: str  # of the file
    path: str
    when: str  # local time
    text: str


@contextmanager
def watched(folder: Path, log_file: Path) -> Iterator[None]:
    """Have whatever ends the program, or one of its threads, leave a report in this folder.

    What the libraries' native code does (a segmentation fault) is written by Python's faulthandler while the process
    dies and made into a report at the next start. Raises Fault in place of an exception that nobody expected.
    """
    reports = Reports(folder, log_file)
    reports.collect()
    before = sys.excepthook, threading.excepthook
    threading.excepthook = reports.of_thread
    sys.excepthook = reports.of_main
    native = reports.watch_native_code()
    try:
        yield
    except AxonError:
        raise
    except Exception as error:
        path = reports.write(type(error), error, error.__traceback__, "the main program")
        raise Fault(
            f"AXON Shell ended because of a fault: {type(error).__name__}: {error}",
            f"The report is {path}; please send it with what you did." if path else "Please report it.",
        ) from error
    finally:
        sys.excepthook, threading.excepthook = before
        native()


def newest(folder: Path, seen: str) -> Report | None:
    """The newest report, unless it is the one that was seen."""
    with suppress(OSError):
        for path in sorted(folder.glob("2*.txt"), reverse=True):
            if path.name <= seen:
                return None
            when = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes")
            return Report(path.name, str(path), when, path.read_text("utf-8", errors="replace")[:LONGEST])
    return None


class Reports:
    """Writes the reports of one run."""

    def __init__(self, folder: Path, log_file: Path) -> None:
        self.folder, self.log_file = folder, log_file
        self.dying = folder / "native.txt"  # what faulthandler writes while the process dies
        self.written = 0

    def collect(self) -> None:
        """Make a report of what native code left behind when it ended the run before this one."""
        with suppress(OSError):
            left = self.dying.read_text("utf-8", errors="replace").strip()
            if left:
                self.save(f"native code ended the program\n\n{left}")
            self.dying.unlink()

    def watch_native_code(self) -> Callable[[], None]:
        """Have faulthandler write a dying process's stacks; gives the function that ends it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.dying.open("w")
        except OSError:
            return lambda: None
        faulthandler.enable(file)

        def end() -> None:
            faulthandler.disable()
            file.close()
            with suppress(OSError):
                self.dying.unlink()

        return end

    def of_main(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception in a callback of the window, which Python only prints."""
        self.write(kind, error, trace, "the window")

    def of_thread(self, details: threading.ExceptHookArgs) -> None:
        """An exception that ended a thread."""
        if details.exc_type is not SystemExit:
            thread = details.thread.name if details.thread else "a thread"
            self.write(details.exc_type, details.exc_value, details.exc_traceback, f"the thread {thread}")

    def write(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, where: str
    ) -> Path | None:
        """A report of an exception, also in the log."""
        if issubclass(kind, KeyboardInterrupt):
            return None
        log.error("a fault in %s", where, exc_info=(kind, error or kind(), trace))
        self.written += 1
        if self.written > A_RUN:
            return None
        return self.save(f"a fault in {where}\n\n{''.join(traceback.format_exception(kind, error, trace))}")

    def save(self, what: str) -> Path | None:
        """Write a report; gives its file, or nothing where none can be written."""
        now = datetime.now()
        text = f"AXON Shell {__version__}: {what}\n\n{surroundings(now)}\n\nThe end of the log:\n"
        text = (text + last_lines(self.log_file, LOG_LINES)).replace(str(Path.home()), "~")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{now:%Y-%m-%dT%H-%M-%S-%f}.txt"
            path.write_text(text, "utf-8")
            for old in sorted(self.folder.glob("2*.txt"))[:-KEPT]:
                old.unlink()
        except OSError:
            return None
        return path


def surroundings(now: datetime) -> str:
    """The time, the system and the versions of what matters."""
    lines = [f"{now:%Y-%m-%d %H:%M:%S}", platform.platform(), f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f"{name} {importlib.metadata.version(name)}")
    return "\n".join(lines)
