"""Entries in the system's menu and on the desktop that start the shell.

What is to be written follows from paths and a command alone (`linux_files`, `mac_files`, `windows_values`), and
`install` writes it: all or nothing, and again over what an earlier one left. `remove` takes away what `install` wrote.

A shortcut opens the user's normal sessions and settings: AXON_HOME and AXON_CONFIG of the terminal that installs it
are not carried over. It starts in whichever folder the desktop chooses, so that nothing may depend on that.

Not verified: what Windows and macOS make of it. The contents are tested, on Linux: the property list, the icon files
and the values handed to PowerShell. Neither PowerShell's script nor the bundle of macOS has been run by us.
"""

from __future__ import annotations

import base64
import errno
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from . import __version__
from .errors import ShortcutError

NAME = "AXON Shell"
ABOUT = "Watch the concepts that fire inside a language model while it writes"
ID = "axon-shell"  # of the desktop entry, of its icons and of the window
BUNDLE_ID = "local.axon-shell"  # by which macOS, and `remove`, know the bundle that is ours
MIME = "application/x-axon-session"  # of files with a session
WINDOWS, MAC = sys.platform == "win32", sys.platform == "darwin"

ICONS = Path(__file__).resolve().parent / "icons"  # made by tools/icons.py
PNG_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)

# `python -m axon_shell`, but without the current folder on sys.path: what lies there must not stand in for a library.
# (Python's -P does that, from 3.11 on; -I would also leave out what `pip install --user` installed.)
RUN_SHELL = "import sys; sys.path[:] = [p for p in sys.path if p]; from axon_shell.cli import gui; gui()"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written."""

    path: Path
    content: bytes
    executable: bool = False


def install(on_desktop: bool = False) -> list[str]:
    """Make the menu entry, and an icon on the desktop if wanted; gives the files written. Raises ShortcutError."""
    command = start_command(Path(sys.executable), WINDOWS)
    if WINDOWS:
        return ask_powershell(INSTALL, windows_values(command, ICONS / f"{ID}.ico", on_desktop))
    home = Path.home()
    if MAC:
        bundles = mac_bundles(home) if on_desktop else mac_bundles(home)[:1]
        for bundle in bundles:
            if os.path.lexists(bundle) and not is_our_bundle(bundle):
                raise ShortcutError(f"{bundle} is not of our making.", "Move it away, or give it another name.")
        return write_all([file for bundle in bundles for file in mac_files(bundle, command)])
    data = data_home(os.environ.get("XDG_DATA_HOME", ""), home)
    desktop = desktop_folder(home) if on_desktop else None
    if on_desktop and desktop is None:
        raise ShortcutError("There is no desktop folder.", "Leave out --desktop; the menu entry needs none.")
    written = write_all(linux_files(data, desktop, command))
    tell_desktop(data)
    return written


def remove() -> list[str]:
    """Take away what `install` made, wherever it is; gives the files removed. Raises ShortcutError."""
    if WINDOWS:
        return ask_powershell(REMOVE, {})
    home = Path.home()
    if MAC:
        return [str(bundle) for bundle in mac_bundles(home) if is_our_bundle(bundle) and delete(bundle)]
    data = data_home(os.environ.get("XDG_DATA_HOME", ""), home)
    files = linux_files(data, desktop_folder(home), start_command(Path(sys.executable), WINDOWS))
    removed = [str(file.path) for file in files if not file.path.is_dir() and delete(file.path)]
    if removed:
        tell_desktop(data)
    return removed


def start_command(python: Path, windows: bool) -> list[str]:
    """What starts the shell: the script that pip made beside this Python, or this Python itself where there is none."""
    script = python.with_name(f"{ID}-gui.exe" if windows else f"{ID}-gui")
    if os.access(script, os.X_OK):
        return [str(script)]
    quiet = python.with_name("pythonw.exe")  # Windows opens a console for any other
    return [str(quiet if windows and quiet.exists() else python), "-c", RUN_SHELL]


# -- Linux and its relatives ----------------------------------------------------


def linux_files(data: Path, desktop: Path | None, command: list[str]) -> list[File]:
    """The entry in the menu, its icons, and a copy of the entry in the desktop folder if there is one."""
    entry = encoded(desktop_entry(command))
    theme = data / "icons" / "hicolor"
    files = [
        File(theme / f"{size}x{size}" / "apps" / f"{ID}.png", (ICONS / f"{ID}-{size}.png").read_bytes())
        for size in PNG_SIZES
    ]
    files.append(File(theme / "scalable" / "apps" / f"{ID}.svg", (ICONS / f"{ID}.svg").read_bytes()))
    files.append(File(data / "mime" / "packages" / f"{ID}.xml", encoded(mime_type())))
    files.append(File(data / "applications" / f"{ID}.desktop", entry))  # after its icons, or it would show without
    if desktop:
        files.append(File(desktop / f"{ID}.desktop", entry, executable=True))  # or it counts as a text
    return files


def desktop_entry(command: list[str]) -> str:
    """The desktop entry, by the Desktop Entry Specification of freedesktop.org."""
    return f"""\
[Desktop Entry]
Version=1.1
Type=Application
Name={NAME}
Comment={ABOUT}
Exec={escaped(exec_line(command))} %f
MimeType={MIME};
TryExec={escaped(command[0])}
Icon={ID}
Terminal=false
Categories=Science;Education;ArtificialIntelligence;
Keywords=language model;sparse autoencoder;interpretability;
StartupNotify=true
StartupWMClass={ID}
"""


def mime_type() -> str:
    """What files of sessions are, by the Shared MIME-info Database specification of freedesktop.org."""
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{MIME}">
    <comment>AXON session</comment>
    <icon name="{ID}"/>
    <glob pattern="*.axon"/>
  </mime-type>
</mime-info>
"""


def exec_line(command: list[str]) -> str:
    """A command as the key Exec wants it, before it is escaped like any other value."""
    if "=" in command[0]:  # which the name of a program must not have there
        command = ["/bin/sh", "-c", 'exec "$0" "$@"', *command]
    return " ".join(exec_quoted(argument) for argument in command)


def exec_quoted(argument: str) -> str:
    """One argument of Exec. A percent sign is doubled, or it would begin a field such as %f."""
    argument = argument.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", argument, re.ASCII):
        return argument
    return '"' + re.sub(r'(["`$\\])', r"\\\1", argument) + '"'


def escaped(value: str) -> str:
    """A value of a desktop entry, which is one line."""
    for character, escape in (("\\", r"\\"), ("\n", r"\n"), ("\t", r"\t"), ("\r", r"\r")):
        value = value.replace(character, escape)
    return value


def data_home(named: str, home: Path) -> Path:
    """Where the user's menu entries and icons are, given XDG_DATA_HOME, which counts only if it is absolute."""
    return Path(named) if Path(named).is_absolute() else home / ".local" / "share"


def desktop_folder(home: Path) -> Path | None:
    """The folder that the desktop shows, whatever the user's language calls it; None if there is none."""
    try:
        said = subprocess.run(["xdg-user-dir", "DESKTOP"], capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        said = ""
    folder = Path(said) if said else home / "Desktop"
    return folder if folder != home and folder.is_dir() else None  # the home folder stands for none


def tell_desktop(data: Path) -> None:
    """Make running desktops look again; most notice by themselves, and one that does not will after a login."""
    theme = data / "icons" / "hicolor"
    commands = [
        ["update-mime-database", str(data / "mime")],
        ["update-desktop-database", "--quiet", str(data / "applications")],
    ]
    # A cache that we began would hide icons that others put there later without renewing it.
    if (theme / "icon-theme.cache").exists():
        commands.append(["gtk-update-icon-cache", "--quiet", "--force", "--ignore-theme-index", str(theme)])
    for command in commands:
        if shutil.which(command[0]):
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, timeout=30)
    with suppress(OSError):
        os.utime(theme)


# -- macOS ----------------------------------------------------------------------


def mac_bundles(home: Path) -> list[Path]:
    """Where the application is put: always in the first place, with `--desktop` in both."""
    return [home / "Applications" / f"{NAME}.app", home / "Desktop" / f"{NAME}.app"]


def mac_files(bundle: Path, command: list[str]) -> list[File]:
    """An application that does nothing but become the command. Made here, so no quarantine applies."""
    about = {
        "CFBundleDisplayName": NAME,
        "CFBundleExecutable": ID,
        "CFBundleIconFile": f"{ID}.icns",
        "CFBundleIdentifier": BUNDLE_ID,
        "CFBundleInfoDictionaryVersion": "6.0",
        "CFBundleName": NAME,
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": __version__,
        "CFBundleVersion": __version__,
        "NSHighResolutionCapable": True,
    }
    script = f"#!/bin/sh\nexec {shlex.join(command)}\n"
    contents = bundle / "Contents"
    return [
        File(contents / "PkgInfo", b"APPL????"),
        File(contents / "Resources" / f"{ID}.icns", (ICONS / f"{ID}.icns").read_bytes()),
        File(contents / "MacOS" / ID, encoded(script), executable=True),
        File(contents / "Info.plist", plistlib.dumps(about)),
    ]


def is_our_bundle(bundle: Path) -> bool:
    """Whether an application is one that `install` made."""
    try:
        about = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
        return not bundle.is_symlink() and about["CFBundleIdentifier"] == BUNDLE_ID
    except Exception:  # no such file, no property list, another kind of one
        return False


# -- Windows --------------------------------------------------------------------

# No path is part of a script, where quotes, typographic ones too, would end it: values come in as environment
# variables. What is said comes out as base64, because the console's code page does not know every letter.
POWERSHELL = r"""
$ErrorActionPreference = 'Stop'
$fresh = @()
function Tell($word, $text) {
    [Console]::Out.WriteLine($word + ' ' + [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)))
}
try {
    $programs = [Environment]::GetFolderPath('Programs')
    $desktop = [Environment]::GetFolderPath('Desktop')
    %s
} catch {
    foreach ($file in $fresh) { [IO.File]::Delete($file) }
    Tell 'failed' $_.Exception.Message
    exit 1
}
"""
INSTALL = (
    POWERSHELL
    % r"""
    $folders = @($programs)
    if ($env:AXON_SHORTCUT_ON_DESKTOP) { $folders += $desktop }
    $shell = New-Object -ComObject WScript.Shell
    foreach ($folder in $folders) {
        if (-not $folder) { throw 'Windows names no folder for it.' }
        [void][IO.Directory]::CreateDirectory($folder)
        $file = [IO.Path]::Combine($folder, '.axon-shell-unfinished.lnk')
        $fresh += $file
        $shortcut = $shell.CreateShortcut($file)
        $shortcut.TargetPath = $env:AXON_SHORTCUT_TARGET
        $shortcut.Arguments = [string]$env:AXON_SHORTCUT_ARGUMENTS
        $shortcut.IconLocation = $env:AXON_SHORTCUT_ICON + ',0'
        $shortcut.Description = $env:AXON_SHORTCUT_ABOUT
        $shortcut.WorkingDirectory = [Environment]::GetFolderPath('UserProfile')
        $shortcut.Save()
    }
    foreach ($file in $fresh) {
        $link = [IO.Path]::Combine([IO.Path]::GetDirectoryName($file), 'AXON Shell.lnk')
        [IO.File]::Delete($link)
        [IO.File]::Move($file, $link)
        Tell 'done' $link
    }
"""
)
REMOVE = (
    POWERSHELL
    % r"""
    foreach ($folder in @($programs, $desktop)) {
        $link = [IO.Path]::Combine($folder, 'AXON Shell.lnk')
        if ($folder -and [IO.File]::Exists($link)) {
            [IO.File]::Delete($link)
            Tell 'done' $link
        }
    }
"""
)


def windows_values(command: list[str], icon: PurePath, on_desktop: bool) -> dict[str, str]:
    """The environment variables that tell INSTALL what to make."""
    return {
        "AXON_SHORTCUT_TARGET": command[0],
        "AXON_SHORTCUT_ARGUMENTS": subprocess.list2cmdline(command[1:]),
        "AXON_SHORTCUT_ICON": str(icon),
        "AXON_SHORTCUT_ABOUT": ABOUT,
        "AXON_SHORTCUT_ON_DESKTOP": "yes" if on_desktop else "",
    }


def ask_powershell(script: str, values: dict[str, str]) -> list[str]:
    """Run one of the scripts; gives the paths that it tells."""
    # By its full path: Windows would look for it in the current folder first.
    program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32/WindowsPowerShell/v1.0/powershell.exe")
    try:
        result = subprocess.run(
            [str(program), "-NoProfile", "-NonInteractive", "-Command", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=os.environ | values,
            timeout=60,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ShortcutError(
            f"PowerShell, which makes shortcuts, does not work: {error}.", "Check that your system allows PowerShell."
        ) from error
    done, failed = told(result.stdout)
    if result.returncode or failed:
        why = failed or result.stderr.decode(errors="replace").strip() or f"exit code {result.returncode}"
        raise ShortcutError(
            f"PowerShell could not change the shortcut: {why.rstrip('.')}.",
            "Check that your system allows PowerShell, and that you may write to the Start menu.",
        )
    return done


def told(output: bytes) -> tuple[list[str], str]:
    """The paths and the failure that a script tells."""
    words = [line.split() for line in output.decode("ascii", "replace").splitlines()]
    lines = [(word[0], base64.b64decode(word[1]).decode()) for word in words if word[:1] in (["done"], ["failed"])]
    return [text for word, text in lines if word == "done"], "".join(text for word, text in lines if word == "failed")


# -- writing and deleting -------------------------------------------------------


def encoded(text: str) -> bytes:
    """Text as UTF-8, which not every path of this system can be."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ShortcutError(
            "A folder on the way to AXON Shell has a name that is not UTF-8, so no shortcut can name it.",
            f"Rename the folder: {sys.executable!a}",
        ) from error


def write_all(files: Iterable[File]) -> list[str]:
    """Write files, all or none of them, making the folders they need; gives their paths. Raises ShortcutError.

    Each is written beside its place first, and only when all are there they take their places.
    """
    folders: list[Path] = []
    fresh: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for file in files:
            path = file.path
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            for folder in reversed([parent for parent in path.parents if not parent.exists()]):
                folder.mkdir()
                folders.append(folder)
            temporary = path.with_name(f".{path.name}.unfinished")
            fresh.append((temporary, path))
            temporary.write_bytes(file.content)
            if file.executable:  # for everybody who may read it
                mode = temporary.stat().st_mode
                temporary.chmod(mode | (mode & 0o444) >> 2)
        for temporary, path in fresh:
            temporary.replace(path)
    except OSError as error:
        for temporary, _ in fresh:
            with suppress(OSError):
                temporary.unlink()
        for folder in reversed(folders):
            with suppress(OSError):
                folder.rmdir()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ShortcutError(
            f"{path} cannot be written: {error.strerror}.",
            "Free some space and try again." if full else "Check that you may write to this folder.",
        ) from error
    return [str(path) for _, path in fresh]


def delete(path: Path) -> bool:
    """Delete a file or a bundle; gives whether there was one. Raises ShortcutError."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ShortcutError(
            f"{path} cannot be removed: {error.strerror}.", "Check that you may write to this folder."
        ) from error
    return True
