"""Downloads from a hub on loopback: whole, resumed, stopped, and every way in which they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from local_hub import COMMIT, LocalHub, local_hub

from axon_shell import hub as hub_module
from axon_shell.errors import (
    AxonError,
    Cancelled,
    DownloadError,
    Gated,
    NoSpace,
    NotFound,
    Offline,
    Unreachable,
    WeightsError,
)
from axon_shell.hub import cache, fetch, held, require_room, snapshot
from axon_shell.records import HubFiles, hub_model

REPO = "org/model"
FILES = hub_model(REPO)
WEIGHTS = 12_000_000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    folder = tmp_path / "repositories" / REPO
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}" + " " * 5000)
    (folder / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "onnx" / "config.json").write_text("{}")
    with local_hub(tmp_path / "repositories") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr(hub_module, "USERS_OFFLINE", None)
        yield served


def get(files: HubFiles = FILES, offline: bool = False) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    fetch(files, offline, lambda done, total: told.append((done, total)), lambda: False)
    return told


def test_a_repository_arrives_whole_and_is_not_fetched_again(hub: LocalHub) -> None:
    assert not held(FILES) and snapshot(REPO) is None
    told = get()
    total = WEIGHTS + 2 + 5002
    assert {t for _, t in told} == {total} and told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert held(FILES)
    folder = snapshot(REPO)
    assert folder and folder.name == COMMIT
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    served = hub.root / REPO / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == served.read_bytes()
    assert not list(cache().rglob("*.part"))
    hub.asked.clear()
    assert get() == [] and hub.asked == []


def test_a_broken_connection_is_taken_up_where_it_broke(hub: LocalHub) -> None:
    hub.cut = 5_000_000
    get()  # the library itself asks again from there
    first, *later = hub.requests_for("model.safetensors")
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in later]
    assert first == "" and starts == sorted(set(starts)) and starts[0] > 4_000_000
    assert held(FILES)


def test_a_killed_download_goes_on_where_it_stopped(hub: LocalHub) -> None:
    hub.slow = 0.01
    code = (
        f"from axon_shell.hub import *; from axon_shell.records import hub_model; download(hub_model({REPO!r}), print)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout
    for line in process.stdout:
        if int(line.split()[0]) > WEIGHTS / 3:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not held(FILES)
    (part,) = cache().rglob("*.part")
    kept = part.stat().st_size
    assert WEIGHTS / 4 < kept < WEIGHTS
    hub.slow = 0
    hub.asked.clear()
    get()
    assert hub.requests_for("model.safetensors") == [f"bytes={kept}-"]
    assert (snapshot(REPO) / "model.safetensors").read_bytes() == (hub.root / REPO / "model.safetensors").read_bytes()


def test_a_download_can_be_stopped_at_once_and_taken_up(hub: LocalHub) -> None:
    hub.slow = 0.02
    reached: list[int] = []
    began = 0.0

    def stopped() -> bool:
        nonlocal began
        if reached and reached[-1] > WEIGHTS / 5:
            began = began or time.monotonic()
            return True
        return False

    with pytest.raises(Cancelled) as error:
        fetch(FILES, False, lambda done, total: reached.append(done), stopped)
    assert time.monotonic() - began < 1
    assert "goes on" in error.value.hint and not held(FILES)
    hub.slow = 0
    told = get()
    assert told[-1][0] == told[-1][1] and held(FILES)


# -- what goes wrong ----------------------------------------------------------


def failure(files: HubFiles = FILES, offline: bool = False) -> AxonError:
    with pytest.raises(AxonError) as error:
        get(files, offline)
    assert error.value.hint and not held(files)
    return error.value


def test_offline_mode_asks_nobody(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(failure(offline=True)) is Offline
    monkeypatch.setattr(hub_module, "USERS_OFFLINE", "1")
    assert type(failure()) is Offline
    assert hub.asked == []


def test_a_gated_repository_names_its_page_and_the_token(hub: LocalHub) -> None:
    hub.gated.add(REPO)
    error = failure()
    assert type(error) is Gated and "licence" in error.message
    assert f"https://huggingface.co/{REPO}" in error.hint and "HF_TOKEN" in error.hint


def test_a_repository_that_does_not_exist(hub: LocalHub) -> None:
    error = failure(hub_model("org/none"))
    assert type(error) is NotFound and "org/none" in error.message


def test_a_repository_without_safetensors(hub: LocalHub) -> None:
    (hub.root / REPO / "model.safetensors").unlink()
    error = failure()
    assert type(error) is NotFound and "model*.safetensors" in error.message and "safetensors" in error.hint


def test_a_hub_that_is_not_there(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = failure()
    assert type(error) is Unreachable and "connection" in error.hint


@pytest.mark.parametrize("status", [400, 403])
def test_a_hub_that_says_no(hub: LocalHub, status: int) -> None:
    hub.status = status
    error = failure()
    assert type(error) is (Gated if status == 403 else DownloadError)


def test_bytes_that_are_not_those_promised_are_thrown_away(hub: LocalHub) -> None:
    hub.lies = True
    error = failure()
    assert type(error) is WeightsError and "checksum" in error.message
    assert not list(cache().rglob("*.part"))
    hub.lies = False
    get()
    assert held(FILES)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=600_000_000))
    require_room(90_000_000, REPO)
    with pytest.raises(NoSpace, match=r"0\.2 GB, but .* 0\.6 GB free") as error:
        require_room(200_000_000, REPO)
    assert "HF_HOME" in error.value.hint


def test_a_folder_that_cannot_be_written(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "home"))
    assert isinstance(failure(), DownloadError)


def test_missing_shards_are_missed(hub: LocalHub) -> None:
    folder = hub.root / REPO
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"x" * 2000)
    shards = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(shards)
    get()
    assert held(FILES)
    (snapshot(REPO) / "model-00002-of-00002.safetensors").unlink()
    assert not held(FILES)
    get()
    assert held(FILES)


def test_the_cache_is_where_the_hub_library_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    for setting in (
        {},
        {"HF_HOME": str(tmp_path / "a")},
        {"HF_HUB_CACHE": str(tmp_path / "b")},
        {"XDG_CACHE_HOME": "/x"},
    ):
        with monkeypatch.context() as patch:
            for name, value in setting.items():
                patch.setenv(name, value)
            theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            assert str(cache()) == theirs.strip()
