"""The pure modules of the page, tested with Node's own runner (the one that Playwright brings along)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import playwright
from conftest import REPOSITORY

NODE = next((Path(playwright.__file__).parent / "driver").glob("node*"))


def test_the_pure_modules_of_the_page():
    tests = sorted((REPOSITORY / "tests" / "js").glob("*.test.mjs"))
    assert tests
    done = subprocess.run([NODE, "--test", *tests], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"pass (\d+)", done.stdout)
    assert passed and int(passed[1]) >= len(tests)
