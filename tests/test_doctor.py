"""The doctor tells what is there, what is not, and what to do."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import REPOSITORY
from stored import record, session_messages

from axon_shell import homes, hub
from axon_shell.config import read_config
from axon_shell.doctor import Check, computing, installation, network, settings, storage, window
from axon_shell.doctor.check import aside, in_child
from axon_shell.store import Store
from axon_shell.toolkit import Toolkit

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux tells it")


def looked(subject: ModuleType) -> dict[str, Check]:
    """The checks of a subject by name. Whatever is not well comes with a hint."""
    found = subject.look(read_config())
    assert [check for check in found if not check.ok and not check.hint] == []
    return {check.name: check for check in found}


def doctor(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`axon-shell doctor` in a terminal without a screen."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-m", "axon_shell", "doctor", *options],
        cwd=REPOSITORY,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def program(folder: Path, name: str, script: str) -> None:
    """A program of this name, in a folder for PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


# -- the whole ----------------------------------------------------------------


def test_a_complete_installation_has_no_fault_and_nothing_heavy_is_imported() -> None:
    script = """
import json, sys
from axon_shell.doctor import checks
found = checks()
heavy = {"torch", "transformers", "transformer_lens", "sae_lens", "webview", "qtpy"} & sys.modules.keys()
print(json.dumps([[c.name for group in found.values() for c in group if c.ok is False], sorted(heavy), list(found)]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    broken, heavy, titles = json.loads(done.stdout)
    assert (broken, heavy) == ([], [])
    assert {"Computing", "Window", "Storage", "Network"} <= set(titles)


def test_json_is_one_list_whatever_a_plugin_prints(home: Path) -> None:
    (home / "noisy.py").write_text("print('hello from a plugin')\n")
    (home / "config.toml").write_text('devise = "cpu"\n[plugins]\nload = ["noisy.py"]\n')
    done = doctor("--json", HF_TOKEN="hf_very_secret")
    found = json.loads(done.stdout)
    assert all(check.keys() == {"name", "ok", "found", "hint"} for check in found)
    assert "hf_very_secret" not in done.stdout + done.stderr
    assert done.returncode == 1
    (fault,) = [check for check in found if check["ok"] is False]
    assert "line 1" in fault["found"] and "device" in fault["hint"]


def test_a_person_reads_what_is_broken_and_can_copy_the_command(home: Path) -> None:
    (home / "config.toml").write_text('[start]\nmodel = "gpt2-small"\n')
    done = doctor(COLUMNS="40", HF_HUB_CACHE=str(home / "hub"))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "  no  Model: GPT-2 small is not on this machine" in lines
    assert lines[lines.index("  no  Model: GPT-2 small is not on this machine") + 1].strip().startswith("`axon-shell")
    assert lines[-1] == "Broken: Model."
    assert "Traceback" not in done.stderr


def test_a_check_that_fails_or_hangs_is_reported_and_hides_nothing() -> None:
    def fail() -> list[Check]:
        raise KeyError("x")

    def lack() -> list[Check]:
        raise ModuleNotFoundError("No module named 'httpx'")

    def hang() -> list[Check]:
        time.sleep(30)
        return []

    until = time.monotonic() + 0.3
    (failed,), (lacked,), (hung,) = [aside("Something", look)(until) for look in (fail, lack, hang)]
    assert (failed.ok, lacked.ok, hung.ok) == (False, False, None)
    assert "KeyError" in failed.found and "httpx" in lacked.found and "in time" in hung.found
    assert time.monotonic() < until + 1


# -- the program --------------------------------------------------------------


def test_libraries_are_held_against_what_pyproject_asks_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "PACKAGE", home / "axon_shell")
    (home / "pyproject.toml").write_text(
        '[project]\nname = "axon-shell"\ndependencies = ["click>=8.1,<99", "numpy>=99", "no-such-library>=1",\n'
        "\"for-another-system; sys_platform == 'plan9'\"]\n"
    )
    found = looked(installation)
    assert (found["numpy"].ok, found["no-such-library"].ok) == (False, False)
    assert "numpy>=99 is needed" in found["numpy"].found and 'pip install "numpy>=99"' in found["numpy"].hint
    assert found["no-such-library"].found == "not installed"
    assert "for-another-system" not in found
    assert found["Libraries"].found.startswith("1 other")


def test_an_installed_program_knows_what_it_asks_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "PACKAGE", home / "axon_shell")  # no pyproject.toml beside it
    names = {wanted.name for wanted in installation.wanted_libraries()}
    assert {"torch", "click", "sae-lens"} <= names
    assert "pytest" not in names  # of an extra


def test_a_python_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "OLDEST_PYTHON", (9, 1))
    python = looked(installation)["Python"]
    assert python.ok is False and "Python 9.1 or newer" in python.hint


def test_a_page_that_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "ui", lambda: home / "nowhere")
    assert looked(installation)["Page"].ok is False


# -- settings and plugins -----------------------------------------------------


def test_a_misspelled_setting_is_told_with_its_line(home: Path) -> None:
    (home / "config.toml").write_text('offline = true\nmodell = "x"\n')
    check = looked(settings)["Configuration"]
    assert check.ok is False
    assert "line 2" in check.found and "models" in check.hint


def test_plugins_and_entries_with_their_problems(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "broken.py").write_text("import no_such_library\n")
    (home / "config.toml").write_text(
        '[plugins]\nload = ["broken.py"]\ndisable = ["exporters"]\n[[models]]\nid = "mine"\nfolder = "nowhere"\n'
    )
    found = looked(settings)
    assert found["plugin broken"].ok is False and "no_such_library" in found["plugin broken"].found
    assert found["model mine"].ok is False and "nowhere" in found["model mine"].found
    assert found["Plugins"].ok and "1 config.toml" in found["Plugins"].found
    assert "switched off: exporters" in found["Plugins"].found
    monkeypatch.setattr(homes, "plugins", lambda: home / "empty")
    found = looked(settings)
    assert (found["Plugins"].ok, found["Model"].ok) == (False, False)


def test_a_model_to_begin_with_that_does_not_exist(home: Path) -> None:
    (home / "config.toml").write_text('[start]\nmodel = "gpt5"\n')
    assert "'gpt5'" in looked(settings)["Model"].found


# -- folders and databases ----------------------------------------------------


def test_a_data_folder_that_cannot_be_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("AXON_HOME", str(home / "file" / "data"))
    check = looked(storage)["Data folder"]
    assert check.ok is False
    assert "AXON_HOME" in check.hint


def test_a_data_folder_that_is_made_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXON_HOME", str(home / "a" / "b"))
    check = looked(storage)["Data folder"]
    assert check.ok and str(home / "a" / "b") in check.found
    assert not (home / "a").exists()


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "NEEDED_SPACE", 10**18)
    monkeypatch.setattr(storage, "MODEL_SPACE", 10**18)
    found = looked(storage)
    assert (found["Disk"].ok, found["Hub cache"].ok) == (False, None)


@pytest.fixture
def sessions(home: Path) -> Path:
    """A database with two sessions."""
    with closing(Store(home)) as store:
        for uid in ("00-one", "00-two"):
            record(store, uid, session_messages(uid))
    return home / "sessions.db"


def test_a_sound_database_is_counted_and_left_as_it_is(sessions: Path) -> None:
    before = sessions.read_bytes()
    check = looked(storage)["Sessions"]
    assert check.ok and "2 sessions" in check.found and "schema 004" in check.found and check.found.endswith("sound")
    assert sessions.read_bytes() == before


def test_a_shell_that_is_writing_meanwhile_is_not_disturbed(home: Path) -> None:
    with closing(Store(home)) as store:
        record(store, "00-one", session_messages("00-one"))
        store.flush()
        check = looked(storage)["Sessions"]
        assert check.ok and "1 session," in check.found and "still in its log" in check.found
        record(store, "00-two", session_messages("00-two"))
        store.flush()
    assert "2 sessions" in looked(storage)["Sessions"].found


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database at all" * 50),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: overwrite(path, path.stat().st_size // 8192 * 4096, b"x" * 8192),  # pages in the middle
    ],
    ids=["another file", "cut off", "overwritten"],
)
@pytest.mark.parametrize("large", [False, True])
def test_a_damaged_database_is_broken(
    sessions: Path, damage: Callable[[Path], Any], large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGE", 0 if large else 10**12)
    damage(sessions)
    check = looked(storage)["Sessions"]
    assert check.ok is False
    assert ".recover" in check.hint and str(sessions) in check.found


def test_an_index_that_does_not_fit_its_table_is_found(sessions: Path) -> None:
    """What a quick look does not see."""
    with closing(sqlite3.connect(sessions)) as database:
        sql = "CREATE INDEX by_model ON sessions (model)"
        database.execute(sql)
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, 'model', 'title') WHERE name = 'by_model'")
        database.commit()
    check = looked(storage)["Sessions"]
    assert check.ok is False and "by_model" in check.found


def test_a_large_database_is_not_read_to_the_end(sessions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(sessions)) as database:
        database.execute(
            "CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000)"
            " SELECT i FROM n"
        )
        database.commit()
    monkeypatch.setattr(storage, "PATIENCE", -1)
    check = looked(storage)["Sessions"]
    assert check.ok and "no fault found" in check.found


def test_a_database_of_a_newer_program(sessions: Path) -> None:
    with closing(sqlite3.connect(sessions)) as database:
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sessions', 'm999_new', '')"
        )
        database.commit()
    check = looked(storage)["Sessions"]
    assert check.ok is False and "newer AXON Shell" in check.found and "Update" in check.hint


def test_a_database_that_another_program_keeps_locked(home: Path) -> None:
    with closing(sqlite3.connect(home / "sessions.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        check = looked(storage)["Sessions"]
    assert check.ok is None and "locked" in check.found


def test_what_was_set_aside_as_damaged_is_told(sessions: Path, home: Path) -> None:
    sessions.write_bytes(b"rubbish" * 999)
    with closing(Store(home)) as store:
        record(store, "00-new", session_messages("00-new"))
    found = looked(storage)
    assert found["Sessions"].ok
    assert found["Set aside"].ok is None and "sessions.db.damaged-" in found["Set aside"].found


def test_the_label_database(home: Path) -> None:
    assert "none yet" in looked(storage)["Labels"].found
    with closing(sqlite3.connect(home / "labels.db")) as database:
        database.execute("CREATE TABLE labels (description)")
        database.executemany("INSERT INTO labels VALUES (?)", [("Paris",), ("Rome",)])
        database.commit()
    assert "2 labels" in looked(storage)["Labels"].found
    (home / "labels.db").write_bytes(b"rubbish" * 999)
    assert looked(storage)["Labels"].ok is False


def test_the_cache_of_the_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert "empty" in looked(storage)["Hub cache"].found
    blobs, snapshot = cache / "models--a--b" / "blobs", cache / "models--a--b" / "snapshots" / "0"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(b"x" * 3_000_000)
    (blobs / "2.part").write_bytes(b"x" * 1_000_000)
    (snapshot / "model.safetensors").symlink_to(blobs / "1")
    found = looked(storage)["Hub cache"].found
    assert "4.0 MB in 1 repositories, 1.0 MB of it unfinished downloads" in found and "free on its disk" in found
    monkeypatch.setenv("HF_HUB_CACHE", str(blobs / "1" / "hub"))
    check = looked(storage)["Hub cache"]
    assert check.ok is None and "cannot be written" in check.found and "HF_HOME" in check.hint


def test_a_token_is_told_of_and_never_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    assert looked(storage)["Hub token"].ok is None
    (home / "hf").mkdir()
    (home / "hf" / "token").write_text("hf_secret")
    assert looked(storage)["Hub token"].found == f"in {home / 'hf' / 'token'}"
    monkeypatch.setenv("HF_TOKEN", "hf_other_secret")
    assert looked(storage)["Hub token"].found == "from HF_TOKEN"


# -- PyTorch and the GPU ------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> dict[str, Any]:
    """What the installed PyTorch says, as if it saw no GPU."""
    found, said = in_child(computing.SCRIPT, computing.PATIENCE)
    assert found is not None, said
    return found | {"gpus": [], "mps": False, "cuda": None, "rocm": None}


def test_pytorch_is_asked_in_a_process_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "torch.py").write_text("raise SystemExit('a file of the user in the current folder')")
    monkeypatch.chdir(home)
    found = looked(computing)
    assert found["torch"].ok and "CPU threads" in found["torch"].found
    assert found["Device"].ok and "auto" in found["Device"].found


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (
            "raise ImportError('libcudart.so.12: cannot open shared object file')",
            "libcudart.so.12",
            "--force-reinstall torch",
        ),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "No module named", "pip install torch"),
        ("import os; os.abort()", "SIGABRT", "--force-reinstall torch"),
        ("import time; time.sleep(30)", "no answer within", "try again"),
    ],
    ids=["a library is missing", "not installed", "crash", "hangs"],
)
def test_a_pytorch_that_cannot_be_imported(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str, hint: str
) -> None:
    (home / "torch.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setattr(computing, "PATIENCE", 2)
    check = looked(computing)["torch"]
    assert check.ok is False
    assert said in check.found and hint in check.hint


@linux_only
@pytest.mark.parametrize(
    ("version", "index"), [("580.65.06", "/cu130"), ("550.54.14", "/cu126"), ("470.82.01", "Update NVIDIA's driver")]
)
def test_a_gpu_that_this_build_of_pytorch_cannot_use(
    home: Path, monkeypatch: pytest.MonkeyPatch, torch: dict[str, Any], version: str, index: str
) -> None:
    program(home / "bin", "nvidia-smi", f"echo 'NVIDIA H100 80GB HBM3, {version}, 81559'")
    monkeypatch.setenv("PATH", str(home / "bin"))
    driver = computing.find_driver()
    assert driver.check.ok and driver.check.found == f"NVIDIA {version}: NVIDIA H100 80GB HBM3 (86 GB)"
    (gpu,) = computing.check_gpus(torch, driver)
    assert gpu.ok is None and "built without CUDA" in gpu.found and index in gpu.hint
    seen = torch | {"cuda": "12.6", "reason": "CUDA initialization: the driver is too old"}
    assert "driver is too old" in computing.check_gpus(seen, driver)[0].found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in computing.check_gpus(torch, driver)[0].hint


@linux_only
def test_a_driver_that_does_not_run(home: Path, monkeypatch: pytest.MonkeyPatch, torch: dict[str, Any]) -> None:
    program(home / "bin", "nvidia-smi", "echo 'NVIDIA-SMI has failed because of the driver.'; exit 9")
    monkeypatch.setenv("PATH", str(home / "bin"))
    driver = computing.find_driver()
    assert driver.check.ok is None and "because of the driver" in driver.check.found and "Restart" in driver.check.hint


@linux_only
def test_what_linux_knows_of_the_gpu(home: Path, monkeypatch: pytest.MonkeyPatch, torch: dict[str, Any]) -> None:
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setattr(computing, "NVIDIA_VERSION", home / "version")
    monkeypatch.setattr(computing, "CARDS", home / "drm")
    driver = computing.find_driver()
    assert (driver.check.ok, driver.check.found) == (None, "no GPU was found")
    assert computing.check_gpus(torch, driver)[0].ok is None

    device = home / "drm" / "card0" / "device"
    device.mkdir(parents=True)
    (home / "amdgpu").mkdir()
    (device / "driver").symlink_to(home / "amdgpu")
    (device / "vendor").write_text("0x1002\n")
    driver = computing.find_driver()
    assert driver.check.ok and driver.check.found == "AMD (amdgpu)"
    assert "ROCm" in computing.check_gpus(torch, driver)[0].hint
    (device / "vendor").write_text("0x10de\n")
    assert "NVIDIA's own driver" in computing.find_driver().check.hint

    said = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
    (home / "version").write_text(said)
    assert computing.find_driver().version == "535.104.05"


def test_a_gpu_is_fine_only_when_it_computes(torch: dict[str, Any]) -> None:
    gpu = {"name": "H100", "memory": 85_000_000_000, "capability": "9.0", "fault": ""}
    there = torch | {"cuda": "12.6", "driver": 12080, "gpus": [gpu, gpu | {"fault": "no kernel image is available"}]}
    driver = computing.Driver(Check("GPU driver", True, ""), "NVIDIA", "570")
    fine, broken = computing.check_gpus(there, driver)
    assert fine.ok and fine.found == "H100, compute capability 9.0, 85 GB, driver for CUDA 12.8, computes"
    assert broken.ok is False and "no kernel image" in broken.found and 'device = "cpu"' in broken.hint
    assert computing.check_device(there, "auto").found.startswith("cuda")


def test_a_device_that_is_set_and_not_there(torch: dict[str, Any]) -> None:
    check = computing.check_device(torch, "cuda")
    assert check.ok is False and '"auto"' in check.hint
    assert computing.check_device(torch, "cpu").ok


# -- the window ---------------------------------------------------------------


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@linux_only
def test_no_display_is_no_fault(no_display: None) -> None:
    found = looked(window)
    assert (found["Display"].ok, found["Display"].found) == (None, "none")
    assert found["Web view"].ok is None and "browser" in found["Web view"].hint
    assert found["WebGL"].ok is None and "browser" in found["WebGL"].found


@linux_only
def test_webgl_is_really_tried(display: str, no_display: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual screen has no graphics card: nothing, or software where that is allowed."""
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("AXON_SOFTWARE_GL", raising=False)
    check = window.check_webgl(Toolkit("qt"))
    assert check.ok is None and "none" in check.found and "AXON_SOFTWARE_GL" in check.hint
    monkeypatch.setenv("AXON_SOFTWARE_GL", "1")
    check = looked(window)["WebGL"]
    assert check.ok is None and "in software" in check.found and "llvmpipe" in check.found


@linux_only
@pytest.mark.parametrize(
    ("text", "ok", "says"),
    [
        ("import os; os.abort()", False, "SIGABRT"),
        ("import sys, os; print('FATAL: No usable sandbox!', file=sys.stderr); os.abort()", False, "No usable sandbox"),
        ("import time; time.sleep(30)", None, "no answer"),
    ],
)
def test_a_web_view_that_crashes_is_a_report(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, ok: bool | None, says: str
) -> None:
    (home / "qtpy.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setattr(window, "PATIENCE", 1)
    check = window.check_webgl(Toolkit("qt"))
    assert check.ok is ok and says in check.found
    assert "axon-shell open --browser" in check.hint


@pytest.mark.parametrize(
    ("renderer", "draws", "ok"),
    [("ANGLE (NVIDIA, GeForce RTX 4090)", True, True), ("Mesa Intel(R) UHD", False, None), ("llvmpipe", True, None)],
)
def test_what_webgl_is_worth(
    renderer: str, draws: bool, ok: bool | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"renderer": renderer, "draws": draws})
    (home / "qtpy.py").write_text(f"import os; print({answer!r}, flush=True); os.abort()")  # and crashes afterwards
    monkeypatch.setenv("PYTHONPATH", str(home))
    check = window.check_webgl(Toolkit("qt"))
    assert check.ok is ok and renderer in check.found


@linux_only
def test_fonts(home: Path, no_display: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = home / "bin"
    monkeypatch.setenv("PATH", str(tool))
    program(tool, "fc-list", "true")
    (none,) = window.check_fonts()
    assert none.ok is None and "fonts-dejavu-core" in none.hint
    monkeypatch.setenv("DISPLAY", ":4242")  # a window without letters is of no use
    (none,) = window.check_fonts()
    assert none.ok is False
    program(tool, "fc-list", 'case "$1" in :|:lang=en|:lang=zh) echo /a.ttf: ;; esac')
    fonts, others = window.check_fonts()
    assert fonts.ok and others.ok is None
    assert others.found == "no font for Japanese, Korean, emoji"


# -- the network --------------------------------------------------------------

Answer = tuple[int, str, bytes]
RIGHT: dict[str, Answer] = {
    "/api/models": (200, "application/json", b'{"_id": "1", "id": "openai-community/gpt2"}'),
    "/api/feature": (200, "application/json", b'{"modelId": "gpt2-small"}'),
    "/?list-type": (200, "application/xml", b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>'),
}
PAGE = b"<!DOCTYPE html><title>Welcome to our hotel</title>"


class Internet(http.server.ThreadingHTTPServer):
    """All servers in one, and how they misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = dict(RIGHT)
        self.slow = 0.0
        self.asked: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Internet

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        time.sleep(self.server.slow)
        found = next((answer for start, answer in self.server.answers.items() if self.path.startswith(start)), None)
        status, kind, body = found or (404, "text/plain", b"nothing")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """A network with the hub and the label servers, which may be used."""
    with Internet() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("HF_ENDPOINT", "AXON_NEURONPEDIA_URL", "AXON_NEURONPEDIA_DATASETS_URL"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}/")
        for name in ("AXON_OFFLINE", "TRANSFORMERS_OFFLINE", *network.PROXIES):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(hub, "USERS_OFFLINE", None)
        yield server
        server.shutdown()


def servers() -> list[Check]:
    found = looked(network)
    return [found[name] for name in ("Hub", "Neuronpedia", "Label sets")]


def test_servers_that_answer(internet: Internet) -> None:
    assert [check.ok for check in servers()] == [True] * 3
    assert len(internet.asked) == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((503, "text/html", PAGE), "too much to do"),
        ((500, "application/json", b"{}"), "has trouble: it answers 500"),
        ((429, "application/json", b"{}"), "429"),
        ((200, "text/html", PAGE), "a web page comes from 127.0.0.1"),
        ((200, "application/json", PAGE), "a web page comes from 127.0.0.1"),  # which says that it is none
        ((200, "text/plain", b"ok"), "not as"),
    ],
)
def test_answers_that_are_not_the_servers_own(internet: Internet, answer: Answer, says: str) -> None:
    internet.answers = dict.fromkeys(RIGHT, answer)
    for check in servers():
        assert check.ok is None and says in check.found


def test_servers_are_told_apart(internet: Internet) -> None:
    internet.answers["/api/feature"] = (502, "text/html", PAGE)
    assert [check.ok for check in servers()] == [True, None, True]


def test_slow_servers_are_not_waited_for(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PATIENCE", 0.5)
    internet.slow = 20
    began = time.monotonic()
    assert all("no answer within" in check.found for check in servers())
    assert time.monotonic() - began < 3


def test_a_server_that_sends_its_answer_byte_by_byte(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; all of it does not."""
    monkeypatch.setattr(network, "ALL_OF_IT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            client, _ = listener.accept()
            with client:
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100:
                    try:
                        client.sendall(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        hub_, *others = servers()
        assert time.monotonic() - began < 3
    assert hub_.ok is None and "in time" in hub_.found
    assert all(check.ok for check in others)


def test_no_network(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", f"http://{nobody}")
        monkeypatch.setenv("AXON_NEURONPEDIA_URL", "htp:/nonsense")
        monkeypatch.setenv("AXON_NEURONPEDIA_DATASETS_URL", "http://no-such-host.invalid")
        refused, nonsense, unknown = servers()
    assert refused.ok is nonsense.ok is unknown.ok is None
    assert "offline = true" in refused.hint and "HTTPS_PROXY" in refused.hint
    assert "address" in nonsense.hint
    assert "cannot be looked up" in unknown.found
    monkeypatch.setenv("HTTP_PROXY", f"http://someone:secret@{nobody}")
    monkeypatch.setenv("AXON_NEURONPEDIA_URL", "http://example.invalid")
    check = servers()[1]
    assert "Is HTTP_PROXY right?" in check.hint and "secret" not in check.found + check.hint


def test_the_hubs_own_offline_mode_leaves_the_label_servers(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "USERS_OFFLINE", "1")
    hub_, *others = servers()
    assert hub_.ok is None and "HF_HUB_OFFLINE" in hub_.found
    assert all(check.ok for check in others)
    assert not any(path.startswith("/api/models") for path in internet.asked)


def test_offline_no_socket_is_opened(internet: Internet, home: Path) -> None:
    """Neither here nor in any process that is started."""
    (home / "config.toml").write_text("offline = true\n")
    script = """
import json, sys
events = []
sys.addaudithook(lambda event, args: events.append(event) if event.startswith("socket.") else None)
from axon_shell.doctor import checks
found = [check for group in checks().values() for check in group]
print(json.dumps([events, {check.name: check.found for check in found}]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    events, found = json.loads(done.stdout)
    assert (events, internet.asked) == ([], [])
    assert found["Network"].startswith("never used: offline mode") and "config.toml" in found["Network"]
    assert "offline mode" in found["Hub"] and "offline mode" in found["Label sets"]
