"""The doctor tells what is there, what is not, and what to do."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from axon_shell import doctor, homes
from axon_shell.doctor import Check, checks


def named(name: str) -> Check:
    return next(check for check in checks() if check.name == name)


def test_a_complete_installation_has_no_fault() -> None:
    assert [check for check in checks() if check.ok is False] == []


def test_every_fault_comes_with_a_hint(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "sessions.db").write_bytes(b"SQLite format 3\0" + b"rubbish" * 500)
    (home / "config.toml").write_text('modell = "x"\n')
    monkeypatch.setattr(homes, "ui", lambda: home / "nowhere")
    monkeypatch.setattr(homes, "plugins", lambda: home / "nowhere")
    monkeypatch.setattr(doctor.importlib.metadata, "version", _not_installed)
    faults = {check.name for check in checks() if check.ok is False}
    assert {"torch", "Page", "Configuration", "Plugins", "Model", "Sessions"} <= faults
    assert all(check.hint for check in checks() if not check.ok)


def _not_installed(name: str) -> str:
    raise doctor.importlib.metadata.PackageNotFoundError(name)


def test_no_heavy_library_is_imported_to_look_at_it() -> None:
    assert named("torch").found == doctor.importlib.metadata.version("torch")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_no_display_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert (named("Display").ok, named("Display").found) == (None, "none")
    assert named("Web view").ok is None
    assert "browser" in named("Web view").hint


def test_the_session_database(home: Path) -> None:
    assert named("Sessions").ok and "none yet" in named("Sessions").found
    with closing(sqlite3.connect(home / "sessions.db")) as database:
        database.execute("create table t (x)")
    before = (home / "sessions.db").read_bytes()
    assert named("Sessions").ok and "sound" in named("Sessions").found
    assert (home / "sessions.db").read_bytes() == before
    (home / "sessions.db").write_bytes(before[:1000] + b"x" * 3000)
    assert named("Sessions").ok is False


def test_a_data_folder_that_cannot_be_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("AXON_HOME", str(home / "file" / "data"))
    check = named("Data folder")
    assert check.ok is False
    assert "AXON_HOME" in check.hint


def test_a_data_folder_that_is_made_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXON_HOME", str(home / "a" / "b"))
    assert named("Data folder").ok
    assert not (home / "a").exists()
    assert os.environ["AXON_HOME"] in named("Data folder").found


def test_a_broken_plugin_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "plugins"
    folder.mkdir()
    (folder / "broken.py").write_text("import no_such_library\n")
    monkeypatch.setattr(homes, "plugins", lambda: folder)
    problem = named("plugin broken")
    assert problem.ok is False
    assert "no_such_library" in problem.found


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED_SPACE", 10**18)
    assert named("Disk").ok is False
