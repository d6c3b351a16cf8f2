"""The shortcut: what is written on each system, that it starts the shell, and the icons.

Linux is the real thing here: GLib, which GNOME, Xfce and others start programs with, reads and runs the entry. For
macOS and Windows the contents are read back, and what a shell or a stand-in for PowerShell can run of them is run.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import plistlib
import re
import shlex
import signal
import stat
import struct
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import REMEDY, REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from axon_shell import __version__, desktop
from axon_shell.errors import ShortcutError

NASTY = "a \"b\" 'c' ’d’ $HOME `id` %f %% \\n & ; ä 日本 [x]"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a desktop, used by this process and those that it starts."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "user" / "Desktop").mkdir(parents=True)
    return tmp_path / "user"


def shortcut(*options: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run `axon-shell install-shortcut`."""
    command = [sys.executable, "-m", "axon_shell", "install-shortcut", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60, **more)  # type: ignore[call-overload,no-any-return]


def files_below(folder: Path) -> dict[str, bytes]:
    """All files but the indices of file types, which desktops keep there."""
    index = folder / ".local/share/mime"
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "mimeinfo.cache"]
    found = [path for path in found if index not in path.parents or path.parent.name == "packages"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


# -- Linux: the entry -----------------------------------------------------------

LAUNCH = """
import ctypes, os, sys
gio = ctypes.CDLL("libgio-2.0.so.0")
gio.g_desktop_app_info_new_from_filename.restype = ctypes.c_void_p
gio.g_app_info_launch.argtypes = [ctypes.c_void_p] * 4
app = gio.g_desktop_app_info_new_from_filename(os.fsencode(sys.argv[1]))
sys.exit(0 if app and gio.g_app_info_launch(app, None, None, None) else "GLib refuses it")
"""


def launch(entry: Path, folder: Path) -> subprocess.Popen[str]:
    """Have GLib start a desktop entry, as a menu does, in some folder; its output is that of the program."""
    command = [sys.executable, "-I", "-c", LAUNCH, str(entry)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_the_menu_entry_starts_the_shell_whatever_lies_in_the_folder(user: Path) -> None:
    assert shortcut().returncode == 0
    for name in ("axon_shell", "click", "json", "runpy", "platformdirs", "torch"):
        (user / f"{name}.py").write_text("raise SystemExit('a file of the current folder was imported')")
    started = launch(user / ".local/share/applications/axon-shell.desktop", user)
    assert started.stdout is not None
    try:
        line = started.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, line
        with urllib.request.urlopen(address[0], timeout=20) as page:
            assert page.status == 200 and b"AXON Shell" in page.read()
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.stdout.read()  # ends when the shell has ended
        started.wait(20)


def test_a_program_with_any_name_gets_exactly_its_arguments(tmp_path: Path) -> None:
    folder = tmp_path / NASTY / "key=value"
    folder.mkdir(parents=True)
    program = folder / "py thon"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv))\n")
    program.chmod(0o755)
    entry = tmp_path / "x.desktop"
    command = [str(program), NASTY, "", "two\nlines\t\r", "\\", "~", "%"]
    entry.write_text(desktop.desktop_entry(command), "utf-8")
    out, _ = launch(entry, tmp_path).communicate(timeout=30)
    assert json.loads(out) == command
    assert complaints(entry) == []


def by_the_specification(value: str) -> list[str]:
    """The arguments of an Exec value: freedesktop.org's rules, read once more by somebody who has not seen ours."""
    line = re.sub(r"\\(.)", lambda found: {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}[found[1]], value)
    arguments = []
    while line:
        if line[0] == '"':
            quoted = re.match(r'"((?:[^"`$\\]|\\["`$\\])*)"(?: |$)', line, re.DOTALL)
            assert quoted, line
            argument = re.sub(r"\\(.)", r"\1", quoted[1])
            line = line[quoted.end() :]
        else:
            argument, _, line = line.partition(" ")
            assert argument and not set(argument) & set(" \t\n\"'\\><~|&;$*?#()`"), argument
        assert not re.search("%[^%]", argument.replace("%%", "") + " "), argument
        arguments.append(argument.replace("%%", "%"))
    return arguments


def by_glib(line: str) -> list[str]:
    """The words of a command line as GLib splits them."""
    glib = ctypes.CDLL("libglib-2.0.so.0")
    count, words = ctypes.c_int(), ctypes.POINTER(ctypes.c_char_p)()
    assert glib.g_shell_parse_argv(line.encode(), ctypes.byref(count), ctypes.byref(words), None)
    found = [words[number].decode() for number in range(count.value)]
    glib.g_strfreev(words)
    return found


TEXT = st.text(st.one_of(st.sampled_from(list(NASTY + "\n\t\r\\<>|*?#()~=")), st.characters(exclude_categories=["Cs"])))


@given(st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1))
def test_exec_means_the_command_to_every_reader(command: list[str]) -> None:
    command[0] = "/" + command[0].replace("=", "")
    line = desktop.exec_line(command)
    value = desktop.escaped(line)
    assert "\n" not in value and "\r" not in value
    assert by_the_specification(value) == command
    assert by_glib(line.replace("%%", "%")) == command


def complaints(entry: Path) -> list[str]:
    """What desktop-file-validate has to say against an entry, but for its hint that two categories are two places."""
    try:
        done = subprocess.run(["desktop-file-validate", str(entry)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail(f"This test needs desktop-file-validate of desktop-file-utils. {REMEDY}", pytrace=False)
    return [line for line in done.stdout.splitlines() if "contains more than one main category" not in line]


def test_the_entry_is_valid_and_names_icon_and_window(user: Path) -> None:
    entry = user / ".local/share/applications/axon-shell.desktop"
    done = shortcut("--json")
    installed = json.loads(done.stdout)["installed"]
    assert installed == sorted(installed, key=lambda path: path == str(entry)) and str(entry) in installed
    assert {user / path for path in files_below(user)} == set(map(Path, installed))
    assert complaints(entry) == []
    text = entry.read_text("utf-8")
    assert "Icon=axon-shell\n" in text and "StartupWMClass=axon-shell\n" in text and "Terminal=false\n" in text
    for size in desktop.PNG_SIZES:
        icon = user / f".local/share/icons/hicolor/{size}x{size}/apps/axon-shell.png"
        assert png_size(icon.read_bytes()) == (size, size)


def test_a_file_with_a_session_is_known_to_the_desktop(user: Path, tmp_path: Path) -> None:
    shortcut()
    entry = (user / ".local/share/applications/axon-shell.desktop").read_text("utf-8")
    assert f"MimeType={desktop.MIME};\n" in entry and re.search(r"^Exec=.* %f$", entry, re.M)
    package = ElementTree.parse(user / ".local/share/mime/packages/axon-shell.xml")
    assert package.find(".//{*}glob").attrib == {"pattern": "*.axon"}
    if (globs := user / ".local/share/mime/globs2").exists():  # where the system keeps such an index
        assert f":{desktop.MIME}:*.axon" in globs.read_text("utf-8")


def test_remove_takes_away_what_was_installed_and_nothing_else(user: Path) -> None:
    others = user / ".local/share/icons/hicolor/48x48/apps/other.png"
    others.parent.mkdir(parents=True)
    others.write_bytes(b"other")
    folder_of_that_name = user / ".local/share/icons/hicolor/16x16/apps/axon-shell.png.d"
    folder_of_that_name.mkdir(parents=True)
    before = files_below(user)
    first, second = shortcut("--desktop"), shortcut("--desktop")
    assert first.returncode == second.returncode == 0 and first.stdout == second.stdout
    installed = re.findall("Installed: (.*)", first.stdout)
    assert {str(user / path) for path in files_below(user).keys() - before.keys()} == set(installed)
    removed = json.loads(shortcut("--remove", "--json").stdout)["removed"]
    assert sorted(removed) == sorted(installed)
    assert files_below(user) == before and folder_of_that_name.is_dir()
    again = shortcut("--remove")
    assert (again.returncode, again.stdout) == (0, "There was no shortcut.\n")


def test_installing_again_replaces_an_older_entry_and_a_link(user: Path) -> None:
    entry = user / ".local/share/applications/axon-shell.desktop"
    entry.parent.mkdir(parents=True)
    (user / "precious").write_text("keep me")
    entry.symlink_to(user / "precious")
    desktop.install()
    assert not entry.is_symlink() and "Exec=" in entry.read_text()
    assert (user / "precious").read_text() == "keep me"


@pytest.mark.parametrize("folder", ["Desktop", "Schreibtisch"])
def test_the_icon_on_the_desktop_can_be_started(folder: str, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (user / "bin").mkdir()
    (user / folder).mkdir(exist_ok=True)
    ask = user / "bin" / "xdg-user-dir"  # what says how the desktop folder is called
    ask.write_text(f'#!/bin/sh\ntest "$1" = DESKTOP && echo "$HOME/{folder}"\n')
    ask.chmod(0o755)
    monkeypatch.setenv("PATH", f"{user / 'bin'}:{os.environ['PATH']}")
    assert str(user / folder / "axon-shell.desktop") in desktop.install(on_desktop=True)
    copy = user / folder / "axon-shell.desktop"
    assert copy.read_bytes() == (user / ".local/share/applications/axon-shell.desktop").read_bytes()
    assert copy.stat().st_mode & stat.S_IXUSR
    assert str(copy) in desktop.remove() and not copy.exists()


def test_without_a_desktop_folder_nothing_is_written(user: Path) -> None:
    (user / "Desktop").rmdir()
    refused = shortcut("--desktop")
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.splitlines()[0] == "error: There is no desktop folder."
    assert list(user.iterdir()) == []


def test_the_data_folder_is_the_named_one_unless_it_is_relative() -> None:
    home = Path("/home/user")
    assert desktop.data_home("/data", home) == Path("/data")
    assert desktop.data_home("data", home) == desktop.data_home("", home) == Path("/home/user/.local/share")


def test_an_icon_cache_is_renewed_but_never_begun(user: Path) -> None:
    cache = user / ".local/share/icons/hicolor/icon-theme.cache"
    desktop.install()
    assert not cache.exists()
    cache.write_bytes(b"")
    os.utime(cache, (0, 0))
    desktop.install()
    assert cache.stat().st_mtime == 0 or cache.stat().st_size > 0  # renewed where GTK's program for it is installed
    assert cache.parent.stat().st_mtime > 1e9  # newer than an old cache, which then does not count


# -- failures -------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_an_error_and_leaves_nothing(user: Path) -> None:
    (user / ".local/share").mkdir(parents=True)
    (user / ".local/share/applications").write_text("a file")
    before = sorted(user.rglob("*"))
    refused = shortcut("--json")
    assert refused.returncode == 1 and refused.stdout == ""
    error, hint = refused.stderr.splitlines()
    assert error.startswith("error: ") and "applications/axon-shell.desktop cannot be written" in error
    assert hint.startswith("hint: ")
    assert sorted(user.rglob("*")) == before


def test_a_disk_that_fills_up_half_way_leaves_what_was_there(user: Path) -> None:
    desktop.install()
    entry = user / ".local/share/applications/axon-shell.desktop"
    entry.write_text("an older one")
    before = sorted(user.rglob("*")), files_below(user)
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); "  # the larger icons do not fit
    script += "from axon_shell import desktop; desktop.install()"
    failed = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert "ShortcutError" in failed.stderr and "axon-shell.png cannot be written: File too large." in failed.stderr
    assert (sorted(user.rglob("*")), files_below(user)) == before


def test_an_environment_that_is_not_carried_over_is_told(user: Path) -> None:
    assert "it knows nothing of AXON_HOME." in shortcut().stdout  # the tests have one
    without = {name: value for name, value in os.environ.items() if name != "AXON_HOME"}
    assert "it knows nothing" not in shortcut(env=without).stdout


# -- what is started ------------------------------------------------------------


def test_the_script_beside_python_is_started_or_else_python(tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert desktop.start_command(python, windows=False) == [str(python), "-c", desktop.RUN_SHELL]
    script = tmp_path / "axon-shell-gui"
    script.write_text("")
    assert desktop.start_command(python, windows=False)[0] == str(python)  # it is no program
    script.chmod(0o755)
    assert desktop.start_command(python, windows=False) == [str(script)]


def test_windows_is_given_programs_without_a_console(tmp_path: Path) -> None:
    python = tmp_path / "python.exe"
    assert desktop.start_command(python, windows=True)[0] == str(python)
    for name in ("pythonw.exe", "axon-shell-gui.exe"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
        assert desktop.start_command(python, windows=True)[0] == str(tmp_path / name)


def test_without_stdout_and_stderr_a_file_takes_their_place(home: Path) -> None:
    script = """
import sys
sys.stdout = sys.stderr = None
sys.argv = ["axon-shell-gui", *sys.argv[1:]]
from axon_shell.cli import gui
gui()
"""
    for arguments, code in ((["config", "path"], 0), (["sessions", "show", "none"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    said = (home / "logs" / "output.txt").read_text("utf-8").splitlines()
    assert said[0] == str(home / "config.toml") and said[1].startswith("error: ") and said[2].startswith("hint: ")


# -- macOS ----------------------------------------------------------------------


@pytest.fixture
def mac(user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a Mac, as far as this program can tell."""
    monkeypatch.setattr(desktop, "MAC", True)
    return user


def test_the_bundle_of_macos_is_complete(mac: Path, tmp_path: Path) -> None:
    bundle = mac / "Applications" / "AXON Shell.app"
    assert len(desktop.install()) == 4
    about = plistlib.loads((bundle / "Contents/Info.plist").read_bytes())
    assert about["CFBundleIdentifier"] == desktop.BUNDLE_ID and about["CFBundlePackageType"] == "APPL"
    assert re.fullmatch(r"[A-Za-z0-9.-]+", about["CFBundleIdentifier"])
    assert about["CFBundleVersion"] == about["CFBundleShortVersionString"] == __version__
    program = bundle / "Contents/MacOS" / about["CFBundleExecutable"]
    assert program.stat().st_mode & 0o111 and program.read_text("utf-8").startswith("#!/bin/sh\n")
    icon = bundle / "Contents/Resources" / about["CFBundleIconFile"]
    assert icon.read_bytes() == (desktop.ICONS / "axon-shell.icns").read_bytes()
    assert (bundle / "Contents/PkgInfo").read_bytes() == b"APPL????"


def test_the_program_of_the_bundle_becomes_the_command_whatever_its_path(tmp_path: Path) -> None:
    folder = tmp_path / NASTY
    folder.mkdir()
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv))\n")
    program.chmod(0o755)
    command = [str(program), "-c", desktop.RUN_SHELL]
    desktop.write_all(desktop.mac_files(tmp_path / "AXON Shell.app", command))
    done = subprocess.run(
        [tmp_path / "AXON Shell.app/Contents/MacOS/axon-shell", "-psn_0_1"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == command


def test_a_bundle_of_macos_can_be_renewed_and_removed(mac: Path) -> None:
    before = files_below(mac)
    first = desktop.install(on_desktop=True)
    assert desktop.install(on_desktop=True) == first and len(first) == 8
    bundles = [str(mac / folder / "AXON Shell.app") for folder in ("Applications", "Desktop")]
    assert desktop.remove() == bundles
    assert files_below(mac) == before and desktop.remove() == []


def test_a_bundle_of_others_is_left_alone(mac: Path) -> None:
    bundle = mac / "Applications" / "AXON Shell.app"
    (bundle / "Contents").mkdir(parents=True)
    for content in (b"", b"<plist>", plistlib.dumps({"CFBundleIdentifier": "com.example.other"}), plistlib.dumps([])):
        (bundle / "Contents" / "Info.plist").write_bytes(content)
        with pytest.raises(ShortcutError, match="not of our making"):
            desktop.install()
        assert desktop.remove() == []
        assert files_below(bundle) == {"Contents/Info.plist": content}


# -- Windows --------------------------------------------------------------------


@pytest.fixture
def powershell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for PowerShell: it keeps its arguments and does what the test writes into it."""
    program = tmp_path / "System32" / "WindowsPowerShell" / "v1.0" / "powershell.exe"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    monkeypatch.setattr(desktop, "WINDOWS", True)
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    return program


def test_powershell_gets_paths_as_values_and_never_as_code(powershell: Path) -> None:
    target = rf"C:\Users\{NASTY}\axon-shell-gui.exe"
    values = desktop.windows_values([target], Path("icon.ico"), on_desktop=True)
    assert values["AXON_SHORTCUT_TARGET"] == target and values["AXON_SHORTCUT_ARGUMENTS"] == ""
    powershell.write_text(
        f"""#!{sys.executable}
import base64, os, sys
assert sys.argv[1:4] == ["-NoProfile", "-NonInteractive", "-Command"]
assert "Users" not in sys.argv[4] and "CreateShortcut" in sys.argv[4]
print("done", base64.b64encode(os.environ["AXON_SHORTCUT_TARGET"].encode()).decode())
print("something else")
"""
    )
    assert desktop.ask_powershell(desktop.INSTALL, values) == [target]


def test_every_value_that_the_script_reads_is_given() -> None:
    values = desktop.windows_values(["python", "-c", desktop.RUN_SHELL], Path("icon.ico"), on_desktop=False)
    assert set(re.findall(r"\$env:(\w+)", desktop.INSTALL)) == set(values)
    assert values["AXON_SHORTCUT_ARGUMENTS"] == f'-c "{desktop.RUN_SHELL}"'
    assert values["AXON_SHORTCUT_ON_DESKTOP"] == ""
    assert desktop.NAME + ".lnk" in desktop.INSTALL and desktop.NAME + ".lnk" in desktop.REMOVE
    for script in (desktop.INSTALL, desktop.REMOVE):
        assert '"' not in script  # the command line that it is part of has its own idea of them
        for opening, closing in ("()", "{}", "[]"):
            assert script.count(opening) == script.count(closing)


def test_a_failing_powershell_is_an_error_with_its_words(powershell: Path) -> None:
    words = base64.b64encode("Zugriff auf „Programme“ verweigert.".encode()).decode()
    powershell.write_text(f"#!/bin/sh\necho failed {words}\nexit 1\n")
    with pytest.raises(ShortcutError, match=r"Zugriff auf „Programme“ verweigert\.$") as failed:
        desktop.install()
    assert failed.value.hint
    powershell.write_text("#!/bin/sh\necho 'forbidden by policy' >&2\nexit 1\n")
    with pytest.raises(ShortcutError, match="forbidden by policy"):
        desktop.remove()


def test_a_missing_powershell_is_an_error(powershell: Path) -> None:
    powershell.unlink()
    with pytest.raises(ShortcutError, match="PowerShell, which makes shortcuts, does not work"):
        desktop.install()


# -- icons ----------------------------------------------------------------------


def png_size(content: bytes) -> tuple[int, int]:
    assert content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR"
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def test_the_icon_of_windows_holds_every_size() -> None:
    content = (desktop.ICONS / "axon-shell.ico").read_bytes()
    reserved, kind, count = struct.unpack_from("<HHH", content)
    assert (reserved, kind) == (0, 1)
    sizes, end = [], 6 + 16 * count
    for number in range(count):
        width, height, _, _, _, bits, length, offset = struct.unpack_from("<BBBBHHII", content, 6 + 16 * number)
        assert (width, bits, offset) == (height, 32, end)
        part = content[offset : offset + length]
        if part.startswith(b"\x89PNG"):
            assert png_size(part) == (width or 256, width or 256)
        else:
            assert struct.unpack_from("<IiiHH", part) == (40, width, 2 * width, 1, 32)
            assert length == 40 + 4 * width * width + (width + 31) // 32 * 4 * width
        sizes.append(width or 256)
        end += length
    assert end == len(content)
    assert {16, 24, 32, 48, 256} <= set(sizes) and len(set(sizes)) == count


def test_the_icon_of_macos_holds_every_size() -> None:
    content = (desktop.ICONS / "axon-shell.icns").read_bytes()
    assert content[:4] == b"icns" and struct.unpack_from(">I", content, 4)[0] == len(content)
    sizes: dict[str, int] = {}
    offset = 8
    while offset < len(content):
        kind, length = struct.unpack_from(">4sI", content, offset)
        sizes[kind.decode()] = png_size(content[offset + 8 : offset + length])[0]
        offset += length
    at_two_pixels_a_point = {"ic11": 32, "ic12": 64, "ic13": 256, "ic14": 512, "ic10": 1024}
    assert sizes == {"ic07": 128, "ic08": 256, "ic09": 512} | at_two_pixels_a_point


@pytest.mark.parametrize("name", ["axon-shell.ico", "axon-shell.icns", "axon-shell.svg", "axon-shell-16.png"])
def test_another_program_can_show_the_icons(name: str) -> None:
    from PySide6.QtGui import QImageReader

    reader = QImageReader(str(desktop.ICONS / name))
    images = [reader.read()]
    while reader.jumpToNextImage():
        images.append(reader.read())
    for image in images:
        middle, corner = image.pixelColor(image.width() // 2, image.height() // 2), image.pixelColor(0, 0)
        assert middle.alpha() == 255 and corner.alpha() < 200  # a tile with round corners


def test_the_icons_are_those_that_the_page_shows() -> None:
    done = subprocess.run([sys.executable, "tools/icons.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_wheel_carries_the_icons_and_starts_without_a_console(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    assert {f"axon_shell/icons/{path.name}" for path in desktop.ICONS.iterdir()} <= set(wheel.namelist())
    entry_points = wheel.read(f"axon_shell-{__version__}.dist-info/entry_points.txt").decode()
    assert shlex.split(entry_points.partition("[gui_scripts]")[2])[:3] == ["axon-shell-gui", "=", "axon_shell.cli:gui"]
