"""What ends the program badly leaves a report that the next start shows."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import REPOSITORY, running_shell
from test_app import ask

from axon_shell import crashes
from axon_shell.crashes import newest, watched
from axon_shell.errors import Busy, Fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "crashes"


def end_badly(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """A process that is watched and ends in some way."""
    program = f"""
import ctypes, os, signal, sys, threading
from pathlib import Path
from axon_shell.crashes import watched
with watched(Path({str(folder)!r}), Path("none.log")):
    {how}
"""
    return subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_an_exception_becomes_a_fault_and_a_report(folder: Path, tmp_path: Path, caplog):
    log = tmp_path / "shell.log"
    log.write_text("earlier\n" * 100 + "the last thing\n")
    with (
        caplog.at_level(logging.CRITICAL),
        pytest.raises(Fault, match="ZeroDivisionError") as error,
        watched(folder, log),
    ):
        raise ZeroDivisionError(f"in {Path.home()}/secret")
    report = newest(folder, "")
    assert report and report.path in error.value.hint
    assert "a fault in the main program" in report.text and "test_crashes.py" in report.text
    assert "torch 2" in report.text and "Python 3" in report.text
    assert report.text.endswith("the last thing\n") and report.text.count("earlier") == crashes.LOG_LINES - 1
    assert "in ~/secret" in report.text and str(Path.home()) not in report.text
    assert newest(folder, report.name) is None  # it was seen


def test_what_a_user_can_act_upon_is_no_crash(folder: Path):
    with pytest.raises(Busy), watched(folder, folder / "none"):
        raise Busy("busy")
    assert newest(folder, "") is None and list(folder.iterdir()) == []


def test_a_thread_that_dies_leaves_a_report_and_the_rest_goes_on(folder: Path, caplog):
    def die() -> None:
        raise KeyError("lost")

    with caplog.at_level(logging.CRITICAL), watched(folder, folder / "none"):
        thread = threading.Thread(target=die, name="engine")
        thread.start()
        thread.join()
    report = newest(folder, "")
    assert report and "the thread engine" in report.text and "KeyError: 'lost'" in report.text


def test_a_death_in_native_code_is_reported_at_the_next_start(folder: Path):
    done = end_badly(folder, "ctypes.string_at(0)")
    assert done.returncode < 0
    assert newest(folder, "") is None
    with watched(folder, folder / "none"):
        pass
    report = newest(folder, "")
    assert report and "native code" in report.text and "Segmentation fault" in report.text
    assert "string_at" in report.text
    assert [path.name for path in folder.iterdir()] == [report.name]


@pytest.mark.parametrize("how", ["pass", "sys.exit(3)", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_an_end_that_is_no_fault_leaves_none(folder: Path, how: str):
    end_badly(folder, how)
    with watched(folder, folder / "none"):
        pass
    assert newest(folder, "") is None


def test_old_reports_are_deleted_and_a_fault_that_repeats_itself_says_nothing_new(folder: Path, caplog):
    with caplog.at_level(logging.CRITICAL):
        for _ in range(4):
            reports = crashes.Reports(folder, folder / "none")
            for _ in range(8):
                reports.write(ValueError, ValueError("again"), None, "the thread x")
    assert len(list(folder.iterdir())) == crashes.KEPT
    assert len({path.name for path in folder.iterdir()}) == crashes.KEPT


def test_a_folder_that_cannot_be_written_costs_the_report_alone(tmp_path: Path, caplog):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "crashes"
    with caplog.at_level(logging.CRITICAL), pytest.raises(Fault, match="lost"), watched(folder, folder / "none"):
        raise KeyError("lost")


def test_the_page_is_told_until_the_user_has_seen_it(tmp_path: Path):
    """A shell that was ended by a segmentation fault, and the next one."""
    with running_shell(tmp_path) as shell:
        assert ask(shell.address, "hello")["value"]["crash"] is None
        shell.process.send_signal(signal.SIGSEGV)
        assert shell.process.wait(20) == -signal.SIGSEGV
    with running_shell(tmp_path) as shell:
        crash = ask(shell.address, "hello")["value"]["crash"]
        assert "Segmentation fault" in crash["text"] and "in the browser" in crash["text"]
        assert Path(crash["path"]).read_text() == crash["text"] and os.sep in crash["path"]
        assert ask(shell.address, "dismiss_crash")["ok"]
        assert ask(shell.address, "hello")["value"]["crash"] is None
    with running_shell(tmp_path) as shell:
        assert ask(shell.address, "hello")["value"]["crash"] is None
