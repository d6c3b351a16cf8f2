#!/usr/bin/env python3
"""Open AXON Shell: double-click this file, or run it in a terminal.

    python3 launch.pyw [ARGUMENTS]         the window, or any command: `python3 launch.pyw sessions list`
    python3 launch.pyw test [ARGUMENTS]    install what the tests need and run them; the rest goes to pytest

It needs Python and pip and nothing else. The first start makes `.venv` beside this file and installs into it; later
starts find the stamp that the first one left and open at once. An unfinished or damaged `.venv` is repaired: the
stamp is removed before anything is touched and written when all is done, and without it everything is looked at again.

Progress goes to stderr, so that `launch.pyw run ... --json` prints nothing but JSON.
"""

import collections
import contextlib
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

# Up to here any Python 3 can read the file, so that an old one gets this sentence and not a SyntaxError.
if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(
        "error: AXON Shell needs Python 3.10 or newer; this is Python {}.{}.\n"
        "hint: get one from https://www.python.org/downloads/ and start launch.pyw with it.".format(*sys.version_info)
    )

ROOT = Path(__file__).resolve().parent
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WINDOWS = sys.platform == "win32"
# `python -m axon_shell`, but without the current folder on sys.path: what lies there must not stand in for a library.
RUN_SHELL = (
    "import runpy, sys; sys.path.remove(''); runpy.run_module('axon_shell', run_name='__main__', alter_sys=True)"
)
ALL_TESTS = ["--numprocesses=2", "--dist=loadfile"]  # two files at a time: many tests wait for what they started
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows opens a console for each child of a windowless program

# Debian's packages that Qt's wheels expect. Its own message names libxcb-cursor0 whichever of them is missing.
QT_LIBRARIES = [
    "libegl1", "libgl1", "libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-shape0",
    "libxkbcommon-x11-0", "libxkbfile1", "libnss3", "libasound2", "libdbus-1-3", "libfontconfig1", "libglib2.0-0",
    "libxcomposite1", "libxdamage1", "libxrandr2", "libxtst6", "libgssapi-krb5-2",
]  # fmt: skip
# What the tests use besides: a browser, a virtual screen, screenshots, letters.
TEST_PACKAGES = [*QT_LIBRARIES, "chromium", "xvfb", "imagemagick", "fonts-dejavu-core", "desktop-file-utils"]


class SetupError(Exception):
    """Set-up cannot go on: what happened, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def main(arguments: list[str]) -> int:
    """Set up what is missing, then become the shell (or pytest)."""
    testing = arguments[:1] == ["test"]
    extras = wanted_extras(testing)
    checkout = Checkout(ROOT)
    try:
        if testing or not checkout.ready(extras):
            with_progress(lambda progress: prepare(checkout, extras, testing, progress))
    except SetupError as error:
        return complain(error)
    except KeyboardInterrupt:
        say("\nInterrupted. The next start goes on from here.")
        return 130
    if testing:
        os.chdir(ROOT)
        return hand_over(checkout, ["-m", "pytest", *(arguments[1:] or ALL_TESTS)])
    return hand_over(checkout, ["-c", RUN_SHELL, *arguments])


def wanted_extras(testing: bool) -> set[str]:
    """The optional parts to install: Qt is the web view of Linux; other systems bring their own."""
    return ({"test"} if testing else set()) | ({"qt"} if sys.platform == "linux" else set())


def prepare(checkout: "Checkout", extras: set[str], testing: bool, progress: "Progress") -> None:
    """Install everything that is missing, one set-up at a time."""
    with checkout.locked(progress):
        # Another start may have finished the work while this one waited for the lock. And a newer build of the same
        # Python, which an update of the system brings, asks for nothing: that works without a network.
        if checkout.ready(extras, same_python=False) and checkout.runs_python():
            checkout.write_stamp(checkout.extras())
        install = not checkout.ready(extras)
        window = install and "qt" in extras and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        packages = missing_packages(TEST_PACKAGES if testing else QT_LIBRARIES if window else [])
        progress.steps = 3 * install + bool(packages)
        if install:
            set_up(checkout, extras, progress)
        if packages:
            install_packages(packages, checkout, progress)


def set_up(checkout: "Checkout", extras: set[str], progress: "Progress") -> None:
    """Make or repair .venv and install AXON Shell into it, with exactly the versions of constraints.txt."""
    first = not checkout.venv.exists()
    progress.note(
        "Setting up AXON Shell in .venv: about 3 GB, once."
        if first
        else "The set-up in .venv is unfinished or out of date: completing it."
    )
    checkout.stamp.unlink(missing_ok=True)

    progress.step("Preparing .venv")
    checkout.make_venv(progress)

    torch, index = torch_source(checkout)
    progress.step(f"Installing PyTorch ({torch})")
    # First and alone, or another package's wish for it would bring the largest build. Its version: constraints.txt.
    checkout.pip(["torch", *(["--extra-index-url", index] if index else [])], progress)

    progress.step("Installing AXON Shell and its libraries")
    installed = set(extras)
    try:
        checkout.pip(["--editable", requirement(checkout.root, extras)], progress)
    except SetupError:
        if "qt" not in extras:
            raise
        installed -= {"qt"}
        checkout.pip(["--editable", requirement(checkout.root, installed)], progress)
        progress.note("The web view (Qt) could not be installed: AXON Shell will open in the browser instead.")
    # Asked for and tried counts as done, or each start would try again; the tests do need it.
    checkout.write_stamp(installed if "test" in extras else extras)


def requirement(root: Path, extras: set[str]) -> str:
    """The checkout with extras as pip wants it: `/path/to/axon-shell[qt,test]`."""
    return f"{root}[{','.join(sorted(extras))}]" if extras else str(root)


# -- the virtual environment --------------------------------------------------


class Checkout:
    """A source checkout with its virtual environment, stamp and lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / ("Scripts/python.exe" if WINDOWS else "bin/python")
        self.stamp = self.venv / "axon-shell.json"
        self.log = self.venv / "set-up.log"
        self.lock_handle: int | None = None

    def fingerprint(self) -> str:
        """Changes when what should be installed changes, or the checkout moves (an editable install names its path)."""
        digest = hashlib.sha256(str(self.root).encode())
        for name in ("pyproject.toml", "constraints.txt"):
            digest.update((self.root / name).read_bytes())
        return digest.hexdigest()

    def interpreter(self) -> list:
        """Changes when the Python that .venv points to is replaced; empty when that Python is gone."""
        try:
            real = self.python.resolve(strict=True)
            return [str(real), real.stat().st_mtime_ns]
        except (OSError, RuntimeError):  # RuntimeError: a link that points to itself
            return []

    def site_packages(self) -> Path | None:
        """The folder that pip installs into."""
        return next(iter(self.venv.glob("Lib/site-packages" if WINDOWS else "lib/python3*/site-packages")), None)

    def installed(self) -> set[str]:
        """The names of the installed distributions."""
        site = self.site_packages()
        return {path.name.split("-")[0] for path in site.glob("*.dist-info")} if site else set()

    def extras(self) -> set[str]:
        """The optional parts that set-up installed."""
        return set(json.loads(self.stamp.read_text("utf-8"))["extras"])

    def ready(self, extras: set[str], same_python: bool = True) -> bool:
        """Whether set-up was completed, for these extras, and nothing has changed since."""
        try:
            stamp = json.loads(self.stamp.read_text("utf-8"))
            return (
                stamp["fingerprint"] == self.fingerprint()
                and (not same_python or stamp["interpreter"] == self.interpreter())
                and extras <= set(stamp["extras"])
                and set(stamp["packages"]) <= self.installed()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write_stamp(self, extras: set[str]) -> None:
        """Mark set-up as completed."""
        stamp = {
            "fingerprint": self.fingerprint(),
            "interpreter": self.interpreter(),
            "extras": sorted(extras),
            "packages": sorted(self.installed()),
        }
        unfinished = self.stamp.with_suffix(".tmp")
        unfinished.write_text(json.dumps(stamp, indent=1), "utf-8")
        unfinished.replace(self.stamp)

    def pinned(self, name: str) -> str:
        """The version that constraints.txt demands of a package that has one for all Pythons."""
        return re.search(rf"^{name}==(\S+)$", (self.root / "constraints.txt").read_text("utf-8"), re.MULTILINE)[1]

    @contextlib.contextmanager
    def locked(self, progress: "Progress"):
        """Hold the lock that keeps two starts from installing at once; the system lets go of it when a process dies."""
        try:
            handle = os.open(self.root / ".venv.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SetupError(
                f"AXON Shell cannot be set up in {self.root}: {error.strerror}.",
                "Move the folder to a place that you may write to.",
            ) from error
        try:
            waiting = False
            while not try_lock(handle):
                if not waiting:
                    progress.note("Another start is setting up AXON Shell: waiting for it.")
                    waiting = True
                time.sleep(0.3)
            self.lock_handle = handle
            yield
        finally:
            self.lock_handle = None
            os.close(handle)

    def make_venv(self, progress: "Progress") -> None:
        """Leave a .venv whose Python and pip work: keep a good one, mend a damaged one, replace a broken one."""
        if self.venv.exists() or self.venv.is_symlink():
            if self.runs_python():
                self.forget_damaged(progress)
            else:
                progress.note(f"The Python of {self.venv.name} does not work: making it anew.")
                remove(self.venv)
        if not self.venv.exists():
            # Without pip, because Debian's Python has no ensurepip and fails half-way.
            made = quietly([base_python(), "-m", "venv", "--without-pip", str(self.venv)])
            if made.returncode:
                remove(self.venv)
                if "No module named venv" in made.stderr:
                    raise no_venv_module()
                raise SetupError(f"Python could not make {self.venv}.", last_lines(made.stderr + made.stdout))
        if not self.runs_pip():
            self.give_pip(progress)
        if not self.pip_reports_progress():
            self.pip(["--upgrade", "pip"], progress)

    def runs_python(self) -> bool:
        """Whether the Python of .venv starts, is new enough, knows that it is in .venv and finds its site-packages."""
        code = "import sys, sysconfig; print(sys.prefix, sysconfig.get_path('purelib'), *sys.version_info[:2], sep='|')"
        result = quietly([str(self.python), "-c", code])
        parts = result.stdout.strip().split("|")
        return (
            result.returncode == 0
            and len(parts) == 4
            and os.path.realpath(parts[0]) == os.path.realpath(self.venv)
            and Path(parts[1]).is_dir()
            and (int(parts[2]), int(parts[3])) >= (3, 10)
        )

    def runs_pip(self) -> bool:
        return quietly([str(self.python), "-m", "pip", "--version"]).returncode == 0

    def pip_reports_progress(self) -> bool:
        """Whether pip is new enough (24.1) to say how far a download is when its output is no terminal."""
        said = quietly([str(self.python), "-m", "pip", "--version"]).stdout  # "pip 26.3 from ..."
        return [int(part) for part in re.findall(r"\d+", said)[:2]] >= [24, 1]

    def give_pip(self, progress: "Progress") -> None:
        """Install pip into .venv: from Python's own copy, or else with the pip that started us."""
        progress.detail("pip")
        site = self.site_packages()
        for damaged in [*site.glob("pip"), *site.glob("pip-*.dist-info")] if site else []:
            remove(damaged)
        quietly([str(self.python), "-m", "ensurepip"])
        if not self.runs_pip():
            result = quietly([base_python(), "-m", "pip", "--python", str(self.python), "install", "pip"])
            if not self.runs_pip():
                without = "No module named pip" in result.stderr
                raise no_venv_module() if without else why_pip_failed(result.stderr, "pip")

    def forget_damaged(self, progress: "Progress") -> None:
        """Make pip install again what an interrupted installation or a deleted file left incomplete.

        A package counts as complete when every file of its RECORD, which pip writes last, is there in the recorded
        size. pip believes whatever has a .dist-info folder, so that is removed from the others.
        """
        site = self.site_packages()
        for leftover in site.glob("~*"):  # pip's name for a package that it was about to replace
            remove(leftover)
        for folder in site.glob("*.dist-info"):
            if not is_complete(folder, site):
                progress.detail(f"{folder.name.split('-')[0]} is incomplete: installing it again")
                remove(folder)

    def pip(self, arguments: list[str], progress: "Progress") -> None:
        """Run `pip install`, show how far it is, keep its output in the log."""
        command = [str(self.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        command += ["--constraint", str(self.root / "constraints.txt")]
        command += ["--progress-bar", "raw" if self.pip_reports_progress() else "off", *arguments]
        watch = PipWatch(self)
        tail = self.run(command, progress, watch.see)
        if tail is not None:
            raise why_pip_failed(tail, " ".join(arguments), self.log)

    def run(self, command: list[str], progress: "Progress", see) -> "str | None":
        """Run a command, give each line to `see`, which says what to show; None, or the output's end if it failed."""
        tail: collections.deque[str] = collections.deque(maxlen=60)
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # The child keeps the lock open too: should this process be killed, the next start waits until pip has ended.
        keep = [] if WINDOWS or self.lock_handle is None else [self.lock_handle]
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                creationflags=NO_WINDOW,
                pass_fds=keep,
            )

            def read() -> None:
                for line in child.stdout:
                    lines.put(line.decode("utf-8", "replace").rstrip())
                lines.put(None)

            threading.Thread(target=read, daemon=True).start()
            try:
                while True:
                    try:
                        line = lines.get(timeout=0.5)
                    except queue.Empty:
                        line = ""
                    if progress.closed:
                        raise KeyboardInterrupt
                    if line is None:
                        break
                    if line and not line.startswith("Progress "):
                        log.write(line + "\n")
                        tail.append(line)
                    progress.detail(see(line))
                failed = child.wait() != 0
            except BaseException:
                child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                child.kill()
                raise
        return "\n".join(tail) if failed else None


class PipWatch:
    """Turns pip's output into one line: what it is doing and how far it is."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.found = 0
        self.file = ""
        self.unpacking = 0  # packages to unpack
        self.before = 0  # packages that were there when unpacking began
        self.text = ""

    def see(self, line: str) -> str:
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            self.found += 1
            name = re.split(r"[\s<>=!~\[;(]", line.split(": ")[-1].removeprefix("Collecting "))[0]
            self.text = f"package {self.found}: {Path(name).name}"
        elif line.lstrip().startswith("Downloading "):
            self.file = "-".join(line.split()[1].rsplit("/", 1)[-1].split("-")[:2])
            self.text = f"downloading {self.file}"
        elif re.fullmatch(r"Progress \d+ of [1-9]\d*", line):
            done, size = (int(part) / 1e6 for part in line.split()[1::2])
            self.text = f"downloading {self.file}: {done:.0f} of {size:.0f} MB"
        elif line.startswith("Installing collected packages: "):
            self.unpacking = line.count(",") + 1
            self.before = len(self.checkout.installed())
        if self.unpacking:
            done = min(max(len(self.checkout.installed()) - self.before, 0), self.unpacking)
            self.text = f"unpacked {done} of {self.unpacking} packages"
        return self.text


def is_complete(dist_info: Path, site: Path) -> bool:
    """Whether all files that a distribution's RECORD lists are there, in the recorded size."""
    try:
        for line in (dist_info / "RECORD").read_text("utf-8").splitlines():
            name, _, size = line.rsplit(",", 2)
            if size and not name.endswith(".pyc") and (site / name.strip('"')).stat().st_size != int(size):
                return False
    except (OSError, ValueError):
        return False
    return True


def try_lock(handle: int) -> bool:
    """Take the lock on an open file if nobody has it."""
    try:
        if WINDOWS:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def base_python() -> str:
    """The Python to build .venv with: not that of the .venv itself, should it be the one running this file."""
    return getattr(sys, "_base_executable", None) or sys.executable


def child_environment() -> dict[str, str]:
    """The environment for pip and venv, less what would make them look or install elsewhere."""
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def quietly(command: list[str]) -> subprocess.CompletedProcess:
    """Run a short command and keep what it says; one that cannot start counts as failed."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=child_environment(),
            creationflags=NO_WINDOW,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def remove(path: Path) -> None:
    """Delete a file, a link or a folder."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be removed: {error.strerror}.", "Close programs that use it, or delete it by hand."
        ) from error


def last_lines(text: str, count: int = 12) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


# -- what to install ----------------------------------------------------------


def torch_source(checkout: Checkout) -> tuple[str, str]:
    """Which PyTorch to install, for people, and the index to add for it: Linux's ordinary build carries GBs of CUDA."""
    version = checkout.pinned("torch")
    if sys.platform != "linux":
        return version, ""
    if has_nvidia_gpu():
        return f"{version}, for NVIDIA GPUs", ""
    if answers(f"{TORCH_CPU_INDEX}/torch/"):
        return f"{version}, CPU build", TORCH_CPU_INDEX
    return f"{version}, what pip finds: the index of CPU builds does not answer", ""


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver reports a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    result = quietly(["nvidia-smi", "-L"])
    return result.returncode == 0 and "GPU" in result.stdout


def answers(url: str, seconds: float = 4.0) -> bool:
    """Whether a page can be had within so many seconds, name look-up included."""
    import urllib.request  # not above: it would take as long as everything else that a later start does

    found: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:
                found.put(answer.status == 200)
        except (OSError, ValueError):
            found.put(False)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return found.get(timeout=seconds)
    except queue.Empty:
        return False


def why_pip_failed(output: str, what: str, log: "Path | None" = None) -> SetupError:
    """Turn the end of pip's output into a sentence and a hint."""
    python = "{}.{}".format(*sys.version_info)
    network = r"Failed to establish a new connection|Temporary failure in name resolution|NameResolutionError"
    network += r"|ConnectTimeoutError|ReadTimeoutError|ProxyError|Connection (refused|reset|aborted)|NewConnectionError"
    if "No space left on device" in output:
        return SetupError("The disk is full.", "AXON Shell needs about 3 GB; free some space and start again.")
    if re.search(network, output):
        return SetupError(
            "The package index cannot be reached.",
            "Connect to the internet and start again; what is installed is kept. Behind a proxy, set HTTPS_PROXY.",
        )
    if "SSLError" in output or "CERTIFICATE_VERIFY_FAILED" in output:
        return SetupError(
            "The package index cannot be trusted: its certificate was refused.",
            "Set the date, or name your company's certificates with PIP_CERT.",
        )
    if re.search(r"No matching distribution found for torch\b", output):
        return SetupError(
            f"There is no build of PyTorch for Python {python} on this system.",
            "Install Python 3.12 (64 bit) beside it and start launch.pyw with that.",
        )
    where = f"\nThe whole output is in {log}." if log else ""
    return SetupError(f"pip could not install {what}.", last_lines(output) + where)


def no_venv_module() -> SetupError:
    """What to do about a Python that is split into packages, as Debian's is."""
    python = "python{}.{}".format(*sys.version_info)
    if shutil.which("apt-get"):
        hint = f"{sudo()}apt-get install -y {python}-venv"
    else:
        hint = "Install the packages of your system that bring Python's venv module and pip."
    return SetupError(f"{python} comes without pip and the venv module.", hint)


# -- packages of the system ---------------------------------------------------


def sudo() -> str:
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "


def missing_packages(wanted: list[str]) -> list[str]:
    """Those packages that Debian's package database does not list as installed; none on other systems."""
    if not wanted or shutil.which("dpkg-query") is None:
        return []
    # Newer releases rebuilt some libraries for 64-bit time under a name of their own.
    names = [name + suffix for name in wanted for suffix in ("", "t64")]
    listed = quietly(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]).stdout
    present = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if not {name, name + "t64"} & present]


def install_packages(packages: list[str], checkout: Checkout, progress: "Progress") -> None:
    """Install packages with apt when root; otherwise say what to type and go on without.

    Without them the page opens in the browser instead of a window, and the tests that need them fail.
    """
    progress.step(f"Installing {len(packages)} packages of the system")
    if sudo() or shutil.which("apt-get") is None:
        progress.note(f"Please run: {sudo()}apt-get install -y --no-install-recommends {' '.join(packages)}")
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]

    def see(line: str) -> str:
        return line[:70] if re.match(r"Get:|Unpacking|Setting up|Processing", line) else "apt"

    tail = checkout.run([*apt, "update"], progress, see)
    if tail is None:
        known = quietly(["apt-cache", "pkgnames"]).stdout.split()
        packages = [name + "t64" if name + "t64" in known else name for name in packages]
        tail = checkout.run([*apt, "install", "-y", "--no-install-recommends", *packages], progress, see)
    if tail is not None:
        names = " ".join(packages)
        progress.note(f"apt-get failed; what needs these will not work: {names}\n{last_lines(tail, 5)}")


# -- showing how far it is ----------------------------------------------------


class Progress:
    """Steps and one line of detail, in a terminal; in a log, a line now and then."""

    def __init__(self) -> None:
        self.steps = 0
        self.number = 0
        self.title = ""
        self.started = self.shown = 0.0
        self.live = sys.stderr is not None and sys.stderr.isatty()
        self.closed = False  # by the user: stop as on Ctrl-C

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.number += 1
        self.title = f"[{self.number}/{self.steps}] {title}"
        self.started = self.shown = time.monotonic()
        self.show(f"{self.title} ...", lasting=True)

    def detail(self, text: str) -> None:
        """Show what the step is doing just now."""
        now = time.monotonic()
        if text and now - self.shown >= (0.1 if self.live else 20):
            self.shown = now
            minutes, seconds = divmod(int(now - self.started), 60)
            self.show(f"      {minutes}:{seconds:02}  {text}", lasting=not self.live)

    def note(self, text: str) -> None:
        """Say something that stays."""
        self.show(text, lasting=True)

    def show(self, text: str, lasting: bool) -> None:
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + (text + "\n" if lasting else text[:width]))
            sys.stderr.flush()
        else:
            say(text)

    def close(self) -> None:
        if self.live:
            sys.stderr.write("\r\x1b[K")


class WindowProgress(Progress):
    """The same in a small window, for a start by double-click, where there is no terminal."""

    def __init__(self, changed: queue.SimpleQueue) -> None:
        super().__init__()
        self.live = True  # there is no log to be spared
        self.changed = changed

    def show(self, text: str, lasting: bool) -> None:
        self.changed.put((lasting, text))

    def close(self) -> None:
        self.changed.put(None)


def with_progress(job) -> None:
    """Do `job(progress)` and show it: in the terminal, or without one in a window where Python has tkinter."""
    if sys.stderr is None:
        with contextlib.suppress(ImportError):
            import tkinter

            return in_window(tkinter, job)
    progress = Progress()
    with sigterm_interrupts():
        try:
            return job(progress)
        finally:
            progress.close()


def in_window(tkinter, job) -> None:
    """Do the job in a thread while a small window shows it; closing the window interrupts."""
    try:
        window = tkinter.Tk()
    except tkinter.TclError:  # no screen
        return job(Progress())
    changed: queue.SimpleQueue = queue.SimpleQueue()
    progress = WindowProgress(changed)
    failure: list[BaseException] = []

    def work() -> None:
        try:
            job(progress)
        except BaseException as error:
            failure.append(error)
        finally:
            progress.close()

    window.title("AXON Shell")
    window.configure(background="#0b0f17")
    style = {"background": "#0b0f17", "anchor": "w", "justify": "left", "width": 72, "wraplength": 560}
    title = tkinter.Label(window, text="Setting up AXON Shell ...", foreground="#e6edf3", **style)
    detail = tkinter.Label(window, text="", foreground="#8b98a9", **style)
    title.pack(padx=24, pady=(24, 4))
    detail.pack(padx=24, pady=(0, 24))

    def follow() -> None:
        while not changed.empty():
            news = changed.get()
            if news is None:
                window.destroy()
                return
            lasting, text = news
            (title if lasting else detail).configure(text=text.strip())
            if lasting:
                detail.configure(text="")
        window.after(100, follow)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    follow()
    window.mainloop()
    progress.closed = True  # heeded where the user closed the window before the work was done
    worker.join()
    if failure:
        raise failure[0]
    return None


@contextlib.contextmanager
def sigterm_interrupts():
    """Treat SIGTERM like Ctrl-C, so that pip is ended too."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """A line on stderr, if there is one."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def complain(error: SetupError) -> int:
    """Show an error where the user looks."""
    text = f"error: {error.message}\nhint: {error.hint}"
    say(text)
    if sys.stderr is None:
        message_box(text)
    return 1


def message_box(text: str) -> None:
    with contextlib.suppress(Exception):  # no tkinter or no screen: there is nowhere left to show it
        import tkinter.messagebox

        tkinter.Tk().withdraw()
        tkinter.messagebox.showerror("AXON Shell", text)


# -- starting -----------------------------------------------------------------


def hand_over(checkout: Checkout, arguments: list[str]) -> int:
    """Become the Python of .venv running `arguments`; where that is impossible, run it and wait."""
    if sys.stderr is None:  # started by double-click: nobody would see why it did not start
        python = checkout.python.with_name("pythonw.exe") if WINDOWS else checkout.python
        log = checkout.venv / "axon-shell.log"
        with log.open("w", encoding="utf-8") as output:
            code = subprocess.run(
                [str(python), *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            ).returncode
        if code:
            message_box(f"AXON Shell ended with an error.\n\n{last_lines(log.read_text('utf-8', 'replace'))}")
        return code
    sys.stderr.flush()
    if not WINDOWS:
        os.execv(checkout.python, [str(checkout.python), *arguments])
    with subprocess.Popen([str(checkout.python), *arguments]) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the child got it too and decides what it means
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
