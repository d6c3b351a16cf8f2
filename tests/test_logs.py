"""The log file: what is in it, what is not, and that it stays small."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import running_shell
from test_app import ask

from axon_shell import logs
from axon_shell.logs import last_lines, log_to, stop_logging


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    level, raising = logging.getLogger("axon_shell").level, logging.raiseExceptions
    yield
    stop_logging()
    logging.getLogger("axon_shell").setLevel(level)
    logging.raiseExceptions = raising


def test_the_file_turns_over_and_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(logs, "LARGEST", 2_000)
    path = log_to(tmp_path / "logs")
    log = logging.getLogger("axon_shell.test")
    for number in range(400):
        log.info("line %s", number)
    log.warning("the last line ü")
    files = sorted(tmp_path.glob("logs/*"))
    assert [file.name for file in files] == ["axon-shell.log"] + [f"axon-shell.log.{i}" for i in (1, 2, 3)]
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert last_lines(path, 1).endswith("WARNING MainThread axon_shell.test: the last line ü\n")
    assert capsys.readouterr().err == "the last line ü\n"


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_log(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("in the way")
    log_to(tmp_path / "file" / "logs")
    logging.getLogger("axon_shell.test").error("still told")
    assert capsys.readouterr().err == "still told\n"


def test_without_a_terminal_there_is_only_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw on Windows has it
    path = log_to(tmp_path)
    logging.getLogger("axon_shell.test").warning("kept")
    assert "kept" in path.read_text()


def test_the_shell_logs_what_it_does_and_nothing_that_was_typed(tmp_path: Path):
    with running_shell(tmp_path) as shell:
        chosen = ask(shell.address, "hello")["value"]["selected"]
        secret = "The capital of France is"
        assert ask(shell.address, "run", prompt=secret, settings={"max_tokens": 2, "temperature": 0}, **chosen)["ok"]
        began = time.monotonic()
        while not ask(shell.address, "sessions")["value"]["sessions"][:1] or "new tokens" not in said(tmp_path):
            assert time.monotonic() - began < 90
            time.sleep(0.1)
    text = said(tmp_path)
    for what in ("AXON Shell 0.1.0, Python", "in the browser", "loaded tiny-world with tiny-world/", "closed"):
        assert what in text
    assert "capital" not in text and "Paris" not in text and shell.token not in text


def said(home: Path) -> str:
    return (home / "logs" / "axon-shell.log").read_text("utf-8")


def test_a_command_in_the_terminal_has_no_log_file(home: Path):
    subprocess.run([sys.executable, "-m", "axon_shell", "sessions", "list"], check=True, capture_output=True)
    assert not (home / "logs").exists()
