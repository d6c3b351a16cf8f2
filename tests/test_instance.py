"""One shell for one data folder; a second start brings the first one to the front."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import REPOSITORY, running_shell

from axon_shell import instance
from axon_shell.errors import AlreadyOpen
from axon_shell.instance import Instance


def start(home: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A second start."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-m", "axon_shell", *options],
        cwd=REPOSITORY,
        env=kept | {"AXON_HOME": str(home), "BROWSER": "false"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_start_says_where_the_first_one_is(tmp_path: Path):
    with running_shell(tmp_path) as shell:
        assert stat.S_IMODE((tmp_path / "open.json").stat().st_mode) == 0o600 or sys.platform == "win32"
        began = time.monotonic()
        done = start(tmp_path, "--no-open")
        assert (done.returncode, done.stdout) == (0, f"AXON Shell: {shell.address}\n")
        assert done.stderr == "AXON Shell is open already, in the browser.\n"
        assert time.monotonic() - began < 5
        assert json.loads(start(tmp_path, "open", "--no-open", "--json").stdout) == {"address": shell.address}
    assert not (tmp_path / "open.json").exists()


def test_the_first_one_opens_its_page_again_when_asked(tmp_path: Path):
    seen, browser = tmp_path / "seen", tmp_path / "browser.py"
    browser.write_text(f"import sys; open({str(seen)!r}, 'a').write(sys.argv[1] + '\\n')")
    with running_shell(tmp_path / "home", BROWSER=f"{sys.executable} {browser} %s") as shell:
        start(tmp_path / "home", "--no-open")
        start(tmp_path / "home", DISPLAY=":4242")
        began = time.monotonic()
        while not seen.exists():
            assert time.monotonic() - began < 20
            time.sleep(0.05)
        time.sleep(0.3)
        assert seen.read_text() == f"{shell.address}\n"


def test_it_is_asked_with_its_token_alone(tmp_path: Path):
    with running_shell(tmp_path) as shell:
        for token, origin in (("", ""), ("wrong", ""), (shell.token, "http://evil.example")):
            headers = {"X-Axon-Token": token, "Content-Type": "application/json"} | (
                {"Origin": origin} if origin else {}
            )
            asked = urllib.request.Request(f"{shell.url}api/show", b'{"open": true}', headers)
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(asked)
            assert error.value.code in (401, 403)
        asked = urllib.request.Request(
            f"{shell.url}api/show", b"[]", {"X-Axon-Token": shell.token, "Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(asked)
        assert error.value.code == 400


def test_after_a_kill_the_next_start_is_the_first(tmp_path: Path):
    with running_shell(tmp_path) as shell:
        shell.process.kill()
        shell.process.wait()
        assert (tmp_path / "open.json").exists()
    with running_shell(tmp_path) as again:
        assert again.address != shell.address


def test_another_folder_has_a_shell_of_its_own(tmp_path: Path):
    with running_shell(tmp_path / "a") as one, running_shell(tmp_path / "b") as other:
        assert one.url != other.url


def test_one_that_does_not_answer_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first, second = Instance(tmp_path), Instance(tmp_path)
    assert first.claim() and not second.claim()
    first.announce("http://127.0.0.1:9/", "token")
    with pytest.raises(AlreadyOpen, match=f"process {os.getpid()} on ") as error:
        second.show_other(False)
    assert "AXON_HOME" in error.value.hint
    first.forget()
    monkeypatch.setattr(instance, "PATIENCE", 0.1)
    with pytest.raises(AlreadyOpen, match="only starting, or hangs"):
        second.show_other(False)
    first.release()
    assert second.claim()
    second.release()


def test_a_folder_that_cannot_be_written_does_not_keep_the_shell_from_opening(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    one = Instance(tmp_path / "file" / "home")
    assert one.claim()
    one.announce("http://127.0.0.1:9/", "token")
    one.release()
