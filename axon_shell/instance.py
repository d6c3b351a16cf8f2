"""One shell for one data folder: a second start brings the first one to the front instead.

A lock, which the system frees when the process ends in whatever way, says whether a shell is open; a small file beside
it, readable by its owner alone, says where it can be asked to come to the front.
"""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .errors import AlreadyOpen

PATIENCE = 6.0  # seconds for a shell that has only just been started to say where it is
ANSWER = 5.0  # seconds for it to answer


class Instance:
    """This process's claim to be the shell of a data folder."""

    def __init__(self, folder: Path) -> None:
        self.lock = FileLock(folder / "open.lock", thread_local=False)
        self.file = folder / "open.json"

    def claim(self) -> bool:
        """Whether this process is the one; where the folder cannot be written, it is."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError:
            return True
        self.forget()  # what one that was killed left there
        return True

    def announce(self, url: str, token: str) -> None:
        """Say where this one is."""
        if not self.lock.is_locked:
            return
        said = {"pid": os.getpid(), "host": platform.node(), "url": url, "token": token}
        fresh = self.file.with_suffix(".new")
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(said, file)
            fresh.replace(self.file)

    def release(self) -> None:
        """Let another one be opened."""
        if self.lock.is_locked:
            self.forget()
            self.lock.release()

    def forget(self) -> None:
        with suppress(OSError):
            self.file.unlink(missing_ok=True)

    def show_other(self, open_it: bool, session: str = "") -> str | None:
        """Bring the shell that is open to the front, with a session if one is named.

        Gives its address if it is in a browser. `open_it`: a shell in the browser is to open its page there once more.
        Raises AlreadyOpen when it does not answer.
        """
        import httpx  # here, as the first start need not wait for it

        said: dict[str, Any] = {}
        deadline = time.monotonic() + PATIENCE
        while not said and time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                said = json.loads(self.file.read_bytes())
            if not said:
                time.sleep(0.05)
        try:
            # Through no proxy: the address is this machine's own.
            answer = httpx.post(
                f"{said['url']}api/show",
                json={"open": open_it, "session": session},
                headers={"X-Axon-Token": said["token"]},
                timeout=ANSWER,
                trust_env=False,
            )
            return answer.raise_for_status().json()["address"]
        except (KeyError, TypeError, ValueError, httpx.HTTPError) as error:
            who = f"process {said.get('pid')} on {said.get('host')}" if said else "it is only starting, or hangs"
            raise AlreadyOpen(
                f"AXON Shell is open already ({who}) and does not come to the front.",
                "Close it first. For a second one beside it, set AXON_HOME to another folder.",
            ) from error
