"""Libraries come in without what they do not need, on any thread, and leave no stand-in behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY

FIRST = "import pandas, time; time.sleep(0.4)"
SECOND = "import time; time.sleep(0.8); import pandas"

TWO_THREADS = """
import sys, threading, time
from axon_shell.light import StandIn, import_lightly

one, other = (threading.Thread(target=import_lightly, args=[name]) for name in ("first", "second"))
one.start()
while "pandas" not in sys.modules:
    time.sleep(0.01)
other.start(), one.join(), other.join()
assert isinstance(sys.modules["first"].pandas, StandIn)
assert isinstance(sys.modules["second"].pandas, StandIn)
assert not [name for name, module in sys.modules.items() if isinstance(module, StandIn)]

import pandas
assert pandas.Timestamp("2026-01-02").year == 2026
"""


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    path.joinpath("first.py").write_text(FIRST)
    path.joinpath("second.py").write_text(SECOND)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_two_threads_import_one_after_the_other_and_the_real_library_comes_later(tmp_path: Path) -> None:
    done = run(TWO_THREADS, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stand_in_says_why_it_cannot_be_used(tmp_path: Path) -> None:
    done = run(
        "from axon_shell.light import import_lightly; import_lightly('first'); import first; first.pandas.Series()",
        tmp_path,
    )
    assert "ImportError: pandas.Series was left out" in done.stderr
