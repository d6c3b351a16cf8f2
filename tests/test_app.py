"""Opening the shell where there is no window, and what it says then."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY, running_shell

from axon_shell import app, toolkit
from axon_shell.toolkit import Toolkit, find_toolkit

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")


@contextlib.contextmanager
def opened(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`axon-shell` with a bare environment: no display, no browser to open."""
    kept = {name: os.environ[name] for name in ("AXON_HOME", "AXON_OFFLINE", "HOME", "PATH") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell", *options],
        cwd=REPOSITORY,
        env=kept | {"BROWSER": "true"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    found = re.fullmatch(r"AXON Shell: (http://127\.0\.0\.1:\d+/#t=\S{20,})\n", line)
    assert found, line
    return found[1]


def ask(shell_address: str, method: str, **params: object) -> dict:
    url, token = shell_address.split("#t=")
    headers = {"X-Axon-Token": token, "Content-Type": "application/json"}
    body = json.dumps({"method": method, "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}api/call", body, headers)) as answer:
        return json.loads(answer.read())


@linux_only
def test_without_a_display_it_says_so_in_one_line_and_serves_the_page() -> None:
    with opened() as process:
        where = address(process)
        assert ask(where, "hello")["ok"]
        with urllib.request.urlopen(where.split("#")[0]) as page:
            assert b"AXON Shell" in page.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert err == "No window, because there is no display (see `axon-shell doctor`): use a browser.\n"


@linux_only
def test_a_display_that_does_not_exist_is_the_same() -> None:
    """Qt aborts its process over this, so it must not have been ours."""
    with opened(DISPLAY=":4242") as process:
        assert ask(address(process), "hello")["ok"]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == "No window, because Qt cannot use the display (see `axon-shell doctor`): use a browser.\n"


@linux_only
def test_without_a_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":1")
    monkeypatch.setattr(toolkit, "run_trial", lambda name: (3, ""))
    found = find_toolkit()
    assert found.problem == "no web view toolkit is installed"
    assert "pywebview[pyside6]" in found.hint


@linux_only
def test_with_a_library_missing_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":1")
    said = "libEGL.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(toolkit, "run_trial", lambda name: (1, said) if name == "qt" else (3, ""))
    found = find_toolkit()
    assert "libEGL.so.1" in found.problem
    assert "apt-get install libegl1" in found.hint


@linux_only
def test_gtk_takes_over_where_qt_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(toolkit, "run_trial", lambda name: (0, "") if name == "gtk" else (3, ""))
    assert find_toolkit() == Toolkit("gtk")


@linux_only
def test_qt_is_found_on_a_screen(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    assert find_toolkit() == Toolkit("qt")


def test_other_systems_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "LINUX", False)
    monkeypatch.setattr(toolkit, "run_trial", lambda name: pytest.fail("tried"))
    assert find_toolkit() == Toolkit()


def test_a_browser_is_opened_only_when_wanted(home: Path) -> None:
    seen, browser = home / "opened", home / "browser.py"
    browser.write_text(f"import sys, time; open({str(seen)!r}, 'w').write(sys.argv[1]); time.sleep(8)")
    for options, expected in ((["--browser"], True), (["--browser", "--no-open"], False), (["--no-open"], False)):
        seen.unlink(missing_ok=True)
        with opened(*options, BROWSER=f"{sys.executable} {browser} %s", DISPLAY=":4242") as process:
            where = address(process)
            assert ask(where, "hello")["ok"]
            end = time.monotonic() + (20 if expected else 1)
            while not (seen.exists() and seen.read_text()) and time.monotonic() < end:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            process.wait(6)  # although that browser is still open
        assert process.returncode == 0
        assert seen.exists() is expected
        if expected:
            assert seen.read_text() == where


def test_a_taken_port_is_an_error_with_a_hint() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with opened("--browser", "--no-open", "--port", str(port)) as process:
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert f"error: Port {port}" in err and "hint: " in err and "--port" in err
    assert "Traceback" not in err


def test_the_port_can_be_chosen() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with opened("--no-open", "--port", str(port)) as process:
        assert f":{port}/" in address(process)


def test_it_ends_while_a_page_waits_for_events(tmp_path: Path) -> None:
    with (
        running_shell(tmp_path / "home") as shell,
        socket.create_connection(("127.0.0.1", int(shell.url[17:-1]))) as page,
    ):
        body = json.dumps({"method": "next_events", "params": {"after": 0, "max": 1, "wait": 25}})
        head = f"POST /api/call HTTP/1.1\r\nHost: {shell.url[7:-1]}\r\nX-Axon-Token: {shell.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        page.sendall((head + body).encode())
        shell.process.send_signal(signal.SIGINT)
        assert shell.process.wait(8) == 0


def test_it_ends_while_pytorch_is_imported(tmp_path: Path) -> None:
    """That cannot be interrupted, and must neither keep the process nor crash it."""
    with running_shell(tmp_path / "home") as shell:
        chosen = ask(shell.address, "hello")["value"]["selected"]
        assert ask(shell.address, "load", **chosen)["ok"]
        time.sleep(1)
        shell.process.send_signal(signal.SIGINT)
        assert shell.process.wait(20) == 0
    errors = (tmp_path / "home" / "shell.log").read_text()
    assert "Fatal" not in errors and "Traceback" not in errors, errors


# -- the window's own rules, where no window is needed --------------------------


def test_the_page_can_call_one_method() -> None:
    """pywebview offers every public attribute of this object to whatever page is in the window."""

    class Echo:
        def call(self, method: str, params: str) -> str:
            return method + params

    api = app.Api(Echo())  # type: ignore[arg-type]
    assert [name for name in dir(api) if not name.startswith("_")] == ["call"]
    assert api.call("a", "{}") == "a{}"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8000/#window", True),
        ("http://127.0.0.1:8000/", True),
        ("about:blank", True),
        (None, True),
        ("http://127.0.0.1:8001/", False),
        ("https://127.0.0.1:8000/", False),
        ("http://127.0.0.1:8000.evil.example/", False),
        ("http://127.0.0.1:8000@evil.example/", False),
        ("file:///etc/passwd", False),
        ("data:text/html,x", False),
        ("javascript:alert(1)", False),
    ],
)
def test_which_pages_may_be_in_the_window(url: str | None, ours: bool) -> None:
    assert app.is_ours(url, "http://127.0.0.1:8000/") is ours


def test_the_environment_of_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QTWEBENGINE_DISABLE_SANDBOX", "QTWEBENGINE_CHROMIUM_FLAGS", "AXON_SOFTWARE_GL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    found = toolkit.qt_environment()  # an ordinary user with a graphics card: no flags, sandbox on
    assert "QTWEBENGINE_DISABLE_SANDBOX" not in found
    assert "QTWEBENGINE_CHROMIUM_FLAGS" not in found
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setenv("AXON_SOFTWARE_GL", "1")
    found = toolkit.qt_environment()
    assert found["QTWEBENGINE_DISABLE_SANDBOX"] == "1"
    assert found["QTWEBENGINE_CHROMIUM_FLAGS"] == "--ignore-gpu-blocklist --disable-gpu-compositing"


def test_json_gives_the_address_and_nothing_else():
    with opened("open", "--no-open", "--json") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["address"].startswith("http://127.0.0.1:")
