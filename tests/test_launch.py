"""launch.pyw: its decisions one by one, and whole starts of a small stand-in project that needs no network."""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from conftest import REPOSITORY

LAUNCHER = REPOSITORY / "launch.pyw"
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)  # as a user has it, without a virtual environment
posix_only = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and links")


def load_launcher() -> ModuleType:
    loader = SourceFileLoader("launch", str(LAUNCHER))
    spec = importlib.util.spec_from_loader("launch", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


launch = load_launcher()


@pytest.fixture
def checkout(tmp_path: Path):
    """A checkout whose .venv looks completed: nothing in it runs."""
    checkout = launch.Checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text("one")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\nnumpy==2.2.6\n")
    checkout.python.parent.mkdir(parents=True)
    (tmp_path / "python3.99").write_text("")
    checkout.python.symlink_to(tmp_path / "python3.99")
    for name in ("torch-2.13.0.dist-info", "axon_shell-0.1.0.dist-info"):
        (site_packages(checkout.venv) / name).mkdir(parents=True)
    checkout.write_stamp({"qt"})
    return checkout


def site_packages(venv: Path) -> Path:
    return venv / ("Lib/site-packages" if os.name == "nt" else "lib/python3.11/site-packages")


def test_old_pythons_can_read_the_file_far_enough_to_be_told() -> None:
    ast.parse(LAUNCHER.read_text("utf-8"), feature_version=(3, 7))


# -- when is there nothing to do? ---------------------------------------------


def test_a_completed_set_up_is_ready(checkout) -> None:
    assert checkout.ready({"qt"})
    assert checkout.ready(set())
    assert not checkout.ready({"qt", "test"})


def test_no_set_up_is_not_ready(tmp_path: Path) -> None:
    assert not launch.Checkout(tmp_path).ready(set())


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_requirements_are_not_ready(checkout, name: str) -> None:
    (checkout.root / name).write_text("two")
    assert not checkout.ready(set())


def test_a_moved_checkout_is_not_ready(checkout) -> None:
    moved = checkout.root.with_name("elsewhere")
    checkout.root.rename(moved)
    assert not launch.Checkout(moved).ready(set())


def test_a_vanished_python_is_not_ready(checkout) -> None:
    (checkout.root / "python3.99").unlink()
    assert not checkout.ready(set())
    assert not checkout.runs_python()


def test_a_replaced_python_is_looked_at_again(checkout) -> None:
    os.utime(checkout.root / "python3.99", (1, 1))
    assert not checkout.ready(set())
    assert checkout.ready(set(), same_python=False)


def test_a_vanished_package_is_not_ready_and_an_added_one_is(checkout) -> None:
    site = site_packages(checkout.venv)
    (site / "extra-1.0.dist-info").mkdir()
    assert checkout.ready(set())
    (site / "torch-2.13.0.dist-info").rmdir()
    assert not checkout.ready(set())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": 1}', "\x00"])
def test_a_damaged_stamp_is_not_ready(checkout, text: str) -> None:
    checkout.stamp.write_text(text)
    assert not checkout.ready(set())


# -- what is damaged? ---------------------------------------------------------


def test_incomplete_packages_are_forgotten_and_others_kept(checkout) -> None:
    site = site_packages(checkout.venv)

    def package(name: str, record: str) -> Path:
        (site / f"{name}.py").write_text("x = 1\n")
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "RECORD").write_text(record)
        return folder

    whole = package("whole", 'whole.py,sha256=a,6\n"whole-1.0.dist-info/RECORD",,\n__pycache__/whole.pyc,sha256=a,9\n')
    cut = package("cut", "cut.py,sha256=a,600\n")
    gone = package("gone", "gone.py,sha256=a,6\ngone/more.py,sha256=a,1\n")
    unreadable = package("unreadable", "no record")
    unfinished = site / "unfinished-1.0.dist-info"
    unfinished.mkdir()
    leftover = site / "~orch"
    leftover.mkdir()
    checkout.forget_damaged(launch.Progress())
    assert whole.exists()
    assert not any(path.exists() for path in (cut, gone, unreadable, unfinished, leftover))


# -- what to install ----------------------------------------------------------


def test_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert launch.wanted_extras(testing=False) == {"qt"}
    assert launch.wanted_extras(testing=True) == {"qt", "test"}
    monkeypatch.setattr(sys, "platform", "darwin")
    assert launch.wanted_extras(testing=False) == set()
    assert launch.requirement(Path("/a b"), {"test", "qt"}) == "/a b[qt,test]"
    assert launch.requirement(Path("/a b"), set()) == "/a b"


# -- a double-click, where there is no terminal -------------------------------


@posix_only
@pytest.mark.parametrize(("windows", "program"), [(True, "Scripts/pythonw.exe"), (False, "bin/python")])
def test_a_start_without_a_terminal_keeps_what_was_said_and_shows_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool, program: str
) -> None:
    """What Windows' pythonw does with this file, as far as another system can do the same."""
    monkeypatch.setattr(launch, "WINDOWS", windows)
    checkout = launch.Checkout(tmp_path)
    python = checkout.venv / program
    python.parent.mkdir(parents=True)
    shown: list[str] = []
    monkeypatch.setattr(launch, "message_box", shown.append)
    monkeypatch.setattr(sys, "stderr", None)

    def stands_in(text: str) -> None:
        python.write_text(f"#!/bin/sh\n{text}\n")
        python.chmod(0o755)

    stands_in('echo "opened with $*"')
    assert launch.hand_over(checkout, ["-c", "x", "open"]) == 0
    assert (checkout.venv / "axon-shell.log").read_text() == "opened with -c x open\n"
    assert shown == []
    stands_in("echo 'error: no such thing' >&2; exit 3")
    assert launch.hand_over(checkout, []) == 3
    assert shown == ["AXON Shell ended with an error.\n\nerror: no such thing"]


def test_a_failed_set_up_without_a_terminal_is_shown_in_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(launch, "message_box", shown.append)
    monkeypatch.setattr(sys, "stderr", None)
    assert launch.complain(launch.SetupError("The disk is full.", "Free some space.")) == 1
    assert shown == ["error: The disk is full.\nhint: Free some space."]


def test_where_windows_keeps_the_venvs_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "WINDOWS", True)
    checkout = launch.Checkout(tmp_path)
    assert checkout.python == tmp_path / ".venv" / "Scripts" / "python.exe"
    (tmp_path / ".venv" / "Lib" / "site-packages").mkdir(parents=True)
    assert checkout.site_packages() == tmp_path / ".venv" / "Lib" / "site-packages"


@posix_only
def test_a_file_manager_may_run_it() -> None:
    """A double-click on Linux runs what is executable and begins with #!."""
    assert os.access(LAUNCHER, os.X_OK)
    assert LAUNCHER.read_text("utf-8").startswith("#!/usr/bin/env python3\n")


def test_torch_has_one_version_for_all() -> None:
    """The launcher installs it first and by name, so that nothing else draws in another build."""
    assert re.fullmatch(r"[\d.]+", launch.Checkout(REPOSITORY).pinned("torch"))


@pytest.fixture
def index() -> Iterator[str]:
    """A package index that answers at /ok/ and not at /missing/."""

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/ok") else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_build_of_torch(checkout, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(launch, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(launch, "TORCH_CPU_INDEX", f"{index}/ok")
    assert launch.torch_source(checkout) == ("2.13.0, CPU build", f"{index}/ok")
    monkeypatch.setattr(launch, "TORCH_CPU_INDEX", f"{index}/missing")
    assert launch.torch_source(checkout)[1] == ""
    monkeypatch.setattr(launch, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(launch, "TORCH_CPU_INDEX", f"{index}/ok")
    assert launch.torch_source(checkout) == ("2.13.0, for NVIDIA GPUs", "")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert launch.torch_source(checkout) == ("2.13.0", "")


def test_an_index_that_does_not_answer_costs_only_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        assert not launch.answers(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.5)
        assert time.monotonic() - began < 3
    assert not launch.answers("nonsense://")


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@posix_only
def test_an_nvidia_gpu_is_one_that_the_driver_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not launch.has_nvidia_gpu()
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    assert not launch.has_nvidia_gpu()
    program(tmp_path, "nvidia-smi", "echo 'GPU 0: NVIDIA H100'")
    assert launch.has_nvidia_gpu()


@posix_only
def test_only_missing_system_packages_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch.missing_packages(launch.TEST_PACKAGES) == []  # no Debian
    present = [name for name in launch.TEST_PACKAGES if name not in ("xvfb", "libnss3", "libasound2")]
    lines = [f"{name} installed" for name in present] + ["libasound2t64 installed", "xvfb not-installed"]
    program(tmp_path, "dpkg-query", f"printf '%s\\n' {' '.join(repr(line) for line in lines)}; exit 1")
    assert launch.missing_packages(launch.TEST_PACKAGES) == ["libnss3", "xvfb"]
    assert launch.missing_packages(launch.QT_LIBRARIES) == ["libnss3"]
    assert launch.missing_packages([]) == []


@posix_only
def test_who_is_not_root_is_told_what_to_type(
    checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    launch.install_packages(["xvfb", "libnss3"], checkout, launch.Progress())
    assert "sudo apt-get install -y --no-install-recommends xvfb libnss3" in capsys.readouterr().err


@posix_only
def test_the_first_start_on_a_screen_wants_the_libraries_of_the_window(
    checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(launch, "missing_packages", lambda wanted: asked.append(wanted) or [])
    monkeypatch.setattr(launch, "set_up", lambda *args: None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def prepare(extras: set[str], testing: bool) -> list[str]:
        launch.prepare(checkout, extras, testing, launch.Progress())
        return asked[-1]

    assert prepare({"qt"}, testing=True) == launch.TEST_PACKAGES
    assert prepare({"qt"}, testing=False) == []  # set up already
    checkout.stamp.unlink()
    assert prepare({"qt"}, testing=False) == []  # nothing to show a window on
    monkeypatch.setenv("DISPLAY", ":1")
    assert prepare({"qt"}, testing=False) == launch.QT_LIBRARIES
    assert prepare(set(), testing=False) == []  # Windows, macOS


# -- what is said -------------------------------------------------------------


def test_pips_output_becomes_one_line(checkout) -> None:
    watch = launch.PipWatch(checkout)
    assert watch.see("Collecting torch==2.13.0 (from axon-shell)") == "package 1: torch"
    assert watch.see("Requirement already satisfied: numpy>=1 in /x") == "package 2: numpy"
    assert watch.see("  Downloading https://x.org/torch-2.13.0-cp311.whl (190.1 MB)") == "downloading torch-2.13.0"
    assert watch.see("Progress 84000000 of 190000000") == "downloading torch-2.13.0: 84 of 190 MB"
    assert watch.see("Installing collected packages: a, b, c") == "unpacked 0 of 3 packages"
    (site_packages(checkout.venv) / "a-1.dist-info").mkdir()
    assert watch.see("") == "unpacked 1 of 3 packages"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "WARNING: Retrying ... Failed to establish a new connection\nNo matching distribution found for torch",
            "reached",
        ),
        ("ERROR: No matching distribution found for torch", "no build of PyTorch"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("error: metadata-generation-failed", "pip could not install"),
    ],
)
def test_failures_say_what_happened_and_what_to_do(output: str, message: str) -> None:
    error = launch.why_pip_failed(output, "torch")
    assert message in error.message
    assert error.hint


# -- whole starts, with a stand-in for AXON Shell and for PyTorch ---------------

BACKEND = '''
"""A build backend that needs nothing: an editable wheel with one .pth file."""
import pathlib, sys
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from wheels import make_wheel

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    files = {"axon_shell.pth": str(pathlib.Path(__file__).parent)}
    headers = ["Provides-Extra: qt", "Requires-Dist: torch"]
    return make_wheel(pathlib.Path(wheel_directory), "axon_shell", files, headers)
'''


def make_wheel(folder: Path, name: str, files: dict[str, str], headers: list[str]) -> str:
    """Write a wheel of version 1.0."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *headers, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return f"{name}-1.0-py3-none-any.whl"


class Project:
    """A copy of launch.pyw with a package and an index of its own."""

    def __init__(self, folder: Path) -> None:
        import inspect

        self.root = folder / "axon shell"  # people have such folders
        self.index = folder / "index"
        for path in (self.root / "axon_shell", self.index):
            path.mkdir(parents=True)
        shutil.copy(LAUNCHER, self.root)
        make_wheel(self.index, "torch", {"torch/__init__.py": "", "torch/kernel.py": "x = 1\n"}, [])
        imports = "import base64, hashlib, zipfile\nfrom pathlib import Path\n\n"
        (self.root / "wheels.py").write_text(imports + inspect.getsource(make_wheel))
        (self.root / "backend.py").write_text(BACKEND)
        (self.root / "constraints.txt").write_text("torch==1.0\n")
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "axon_shell"\nversion = "1.0"\n'
        )
        (self.root / "axon_shell/__init__.py").touch()
        (self.root / "axon_shell/__main__.py").write_text(
            "import sys, torch.kernel\nprint('opened', *sys.argv[1:])\nsys.exit(7 if 'fail' in sys.argv else 0)\n"
        )
        self.venv = self.root / ".venv"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.index),
            "PIP_NO_INDEX": "1",
            "https_proxy": "http://127.0.0.1:9",  # the index of PyTorch does not answer
        }

    def command(self, *arguments: str) -> list[str]:
        return [BASE_PYTHON, str(self.root / "launch.pyw"), *arguments]

    def start(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment | environment, capture_output=True, text=True, timeout=150
        )

    def process(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(),
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def python(self) -> Path:
        return launch.Checkout(self.root).python

    @property
    def site(self) -> Path:
        return launch.Checkout(self.root).site_packages()


needs_ensurepip = pytest.mark.skipif(
    subprocess.run([BASE_PYTHON, "-c", "import ensurepip"], capture_output=True).returncode != 0,
    reason="this Python has no pip of its own to put into a .venv without a network",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Set up once; each test that breaks it leaves it repaired."""
    project = Project(tmp_path_factory.mktemp("launch"))
    result = project.start("first", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "opened first --json\n"  # and nothing else
    for step in ("[1/3]", "[2/3] Installing PyTorch", "[3/3]"):
        assert step in result.stderr
    return project


def opens_at_once(project: Project) -> None:
    result = project.start("again")
    assert (result.returncode, result.stdout, result.stderr) == (0, "opened again\n", "")


def repairs_and_opens(project: Project) -> str:
    result = project.start("repaired")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "opened repaired\n"
    opens_at_once(project)
    return result.stderr


@contextlib.contextmanager
def without(path: Path) -> Iterator[None]:
    """A file or folder put aside for a while."""
    aside = path.parent.with_name(f"aside-{path.name}")  # not beside it, where pip and the launcher look
    path.rename(aside)
    yield
    aside.rename(path)


@needs_ensurepip
class TestStarts:
    def test_the_second_start_does_nothing_but_open(self, project: Project) -> None:
        opens_at_once(project)
        assert project.start("fail").returncode == 7  # the exit code comes through

    def test_the_time_it_adds_to_a_later_start(self, project: Project) -> None:
        def best(command: list[str]) -> float:
            times = []
            for _ in range(7):
                began = time.perf_counter()
                subprocess.run(command, env=project.environment, cwd=project.root, check=True, capture_output=True)
                times.append(time.perf_counter() - began)
            return min(times)

        alone = best([str(project.python), "-m", "axon_shell"])
        bare = best([BASE_PYTHON, "-c", "0"])
        assert best(project.command()) - alone - bare < 0.2

    @posix_only
    def test_a_python_that_is_gone(self, project: Project) -> None:
        project.python.unlink()
        project.python.symlink_to("/no/such/python")
        assert "making it anew" in repairs_and_opens(project)

    def test_an_emptied_venv(self, project: Project) -> None:
        shutil.rmtree(project.venv)
        project.venv.mkdir()
        repairs_and_opens(project)

    def test_no_stamp_no_pip_and_a_damaged_package(self, project: Project) -> None:
        (project.venv / "axon-shell.json").unlink()
        shutil.rmtree(project.site / "pip")
        (project.site / "torch/kernel.py").write_text("x =")
        said = repairs_and_opens(project)
        assert "making it anew" not in said  # what is whole is kept

    def test_a_removed_package(self, project: Project) -> None:
        subprocess.run([project.python, "-m", "pip", "uninstall", "-y", "torch"], check=True, capture_output=True)
        repairs_and_opens(project)

    @posix_only
    def test_a_newer_build_of_python_needs_no_network(self, project: Project) -> None:
        stamp = project.venv / "axon-shell.json"
        known = json.loads(stamp.read_text())
        stamp.write_text(json.dumps(known | {"interpreter": ["/usr/bin/python3", 1]}))
        result = project.start("on a train", PIP_FIND_LINKS="")
        assert (result.returncode, result.stdout, result.stderr) == (0, "opened on a train\n", "")
        opens_at_once(project)

    def test_two_starts_at_once(self, project: Project) -> None:
        shutil.rmtree(project.venv)
        both = [project.process(), project.process()]
        results = [process.communicate(timeout=150) for process in both]
        assert [process.returncode for process in both] == [0, 0], results
        assert [out for out, _ in results] == ["opened\n", "opened\n"]
        assert sum("[1/3]" in err for _, err in results) == 1
        assert sum("waiting for it" in err for _, err in results) == 1
        opens_at_once(project)

    @posix_only
    def test_an_interrupted_set_up(self, project: Project) -> None:
        (project.venv / "axon-shell.json").unlink()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with socket.socket() as silent:  # an index that takes the question and never answers
                silent.bind(("127.0.0.1", 0))
                silent.listen()
                index = f"http://127.0.0.1:{silent.getsockname()[1]}/"
                hanging = project.process(PIP_NO_INDEX="0", PIP_INDEX_URL=index, no_proxy="127.0.0.1")
                silent.settimeout(60)
                silent.accept()  # pip is at work
                hanging.send_signal(number)
                _, err = hanging.communicate(timeout=90)
            if number == signal.SIGKILL:
                assert hanging.returncode == -signal.SIGKILL
            else:
                assert hanging.returncode == 130
                assert "Interrupted" in err and "Traceback" not in err
        repairs_and_opens(project)

    def test_no_network(self, project: Project) -> None:
        with without(project.venv / "axon-shell.json"), without(next(project.site.glob("torch-*.dist-info"))):
            nobody = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
            result = project.start(**nobody, PIP_RETRIES="1")
        assert result.returncode == 1
        assert "error: The package index cannot be reached." in result.stderr
        assert "hint: Connect to the internet" in result.stderr
        opens_at_once(project)

    def test_a_folder_that_cannot_be_written(self, project: Project) -> None:
        lock = project.root / ".venv.lock"
        with without(project.venv / "axon-shell.json"), without(lock):
            lock.mkdir()  # even root cannot open a folder for writing
            result = project.start()
            lock.rmdir()
        assert result.returncode == 1
        assert "error: AXON Shell cannot be set up in" in result.stderr
        opens_at_once(project)
