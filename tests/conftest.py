"""What the tests share: a data folder of their own, no network, a screen, a browser and a running shell.

A program that a test needs and does not find is a failure that names the remedy, never a skip: a run that skipped the
window would look green.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from axon_shell.store import Store

REPOSITORY = Path(__file__).resolve().parent.parent
OFFLINE = {"AXON_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
REMEDY = "`python3 launch.pyw test` installs it, or prints the command that does."

# For tests and for whatever they start. Set here and not in a fixture because huggingface_hub reads it when imported.
os.environ.update(OFFLINE)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for this test alone; the user's own sessions and settings are never touched."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("AXON_HOME", str(folder))
    monkeypatch.delenv("AXON_CONFIG", raising=False)
    return folder


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The sessions of this test."""
    from axon_shell.store import Store

    store = Store(home)
    yield store
    store.close()


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of a virtual screen of 1280x800, ":7" for example, shared by the whole run."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.fail(f"This test needs Xvfb, a virtual screen. {REMEDY}", pytrace=False)
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()  # written once the screen is up, empty when Xvfb gave up
    if not number:
        pytest.fail("Xvfb did not start.", pytrace=False)
    yield f":{number}"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium-like browser."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"):
        if path := shutil.which(name):
            return path
    pytest.fail(f"This test needs Chromium. {REMEDY}", pytrace=False)


# Off the network, off the GPU, and able to draw WebGL in software.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",  # painting in software by way of the graphics interface takes three times as long
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium_flags() -> list[str]:
    """How to start Chromium in tests: no network of its own, WebGL in software."""
    return CHROMIUM_FLAGS


@dataclass(frozen=True)
class Shell:
    """A shell that runs in a process of its own and serves its page."""

    url: str  # http://127.0.0.1:PORT/
    token: str
    home: Path
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"{self.url}#t={self.token}"


@contextlib.contextmanager
def running_shell(home: Path, *options: str, root: Path = REPOSITORY, **environment: str) -> Iterator[Shell]:
    """Start `axon-shell open --browser --no-open` on a free port, and end it afterwards as Ctrl-C does.

    `root` is the checkout that is started; `environment` is added to what it sees.
    """
    log = home / "shell.log"
    home.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "axon_shell", "open", "--browser", "--no-open", "--port", "0", *options],
            cwd=root,
            env={**os.environ, **OFFLINE, "AXON_HOME": str(home), "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:\d+/)#t=(\S+)", line)
        if found is None:
            process.kill()
            pytest.fail(f"The shell printed {line!r} instead of its address.\n{log.read_text()}", pytrace=False)
        yield Shell(found[1], found[2], home, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def shell_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A running shell, shared by the tests of one file so that the model is loaded once."""
    with running_shell(tmp_path_factory.mktemp("shell")) as shell:
        yield shell
