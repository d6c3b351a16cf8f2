"""Long work in a process of its own: a command of this program, whose JSON lines are told as they come.

The window stays alive meanwhile, the memory is free again afterwards, and what ends that process does not end this one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO

from .errors import Busy
from .records import Message

PATIENCE = 20.0  # seconds for the process to write down where it stands
LAST = ("end", "stopped")  # kinds of messages after which none comes


class Apart:
    """Runs one command at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a command is running."""
        return self.process is not None

    def begin(self, arguments: Sequence[str], tell: Callable[[Message], object]) -> None:
        """Run `axon-shell ARGUMENTS --json` in the background.

        `tell` gets what it prints; where it fails, the last message has the kind "failed" and an "error"; where it is
        ended by others, it is "failed" too. When the last message is told the next command can begin. Raises Busy while
        another runs.
        """
        with self.lock:
            if self.busy:
                raise Busy("Something is being worked out already.", "Stop it, or wait until it ends.")
            complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
            command, *rest = arguments
            self.process = subprocess.Popen(
                [sys.executable, "-m", "axon_shell", command, "--json", *rest],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                encoding="utf-8",
            )
            threading.Thread(
                target=self.follow, args=[self.process, complaints, tell], name="apart", daemon=True
            ).start()

    def follow(self, process: subprocess.Popen[str], complaints: IO[str], tell: Callable[[Message], object]) -> None:
        """Tell what a process prints until it ends."""
        assert process.stdout
        last: Message | None = None
        with complaints, process.stdout:
            for line in process.stdout:
                message = json.loads(line)
                if message["kind"] in LAST:
                    last = message
                else:
                    tell(message)
            if process.wait():
                complaints.seek(0)
                last = {"kind": "failed", "error": complaint(complaints.read())}
        self.process = None
        if last:
            tell(last)

    def stop(self, wait: bool = False) -> bool:
        """Have the command end as with Ctrl-C, on Windows at once; False when none is running."""
        process = self.process
        if process is None:
            return False
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)
        if wait:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        return True


def complaint(said: str) -> dict[str, str]:
    """The error that a command of this program complained of on stderr."""
    found = dict(line.partition(": ")[::2] for line in said.splitlines())
    return {
        "kind": "apart",
        "message": found.get("error", "The process was ended from outside; memory may have run out."),
        "hint": found.get("hint", "Close other programs, and go on from where it stopped."),
    }
