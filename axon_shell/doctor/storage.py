"""Folders and disks, the cache of the hub, and whether the databases are sound."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from .. import homes, hub
from ..config import ConfigFile
from ..database import connect, damaged
from ..labels.schema import LABELS
from ..plugins import readable_size
from ..store.schema import SESSIONS
from .check import Check, nearest

NEEDED_SPACE = 200_000_000  # bytes: sessions are small, but SQLite wants room to work
MODEL_SPACE = 1_500_000_000  # bytes: a small model with an SAE, and what a download leaves free
LARGE = 500_000_000  # bytes; what is above is looked through quickly first
PATIENCE = 8.0  # seconds for looking through one database
COUNTING = 2.0  # seconds for adding up what is in the cache
SIDE_FILES = ("-wal", "-shm")


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    data = homes.data()
    return [
        check_folder(data),
        check_space(data),
        *check_database("Sessions", data / "sessions.db", SESSIONS.names()),
        *check_database("Labels", data / "labels.db", LABELS.names()),
        check_cache(hub.cache()),
        check_token(),
    ]


def check_folder(folder: Path) -> Check:
    """Whether the data folder, or the one that it will be made in, takes files."""
    parent = nearest(folder)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Check("Data folder", True, f"{folder}" + ("" if folder.exists() else " (made when first needed)"))
    hint = "Set AXON_HOME to a folder that you may write to."
    return Check("Data folder", False, f"{folder} cannot be written", hint)


def check_space(folder: Path) -> Check:
    """Whether the disk of the data folder has room."""
    free = shutil.disk_usage(nearest(folder)).free
    found = f"{readable_size(free)} free"
    if free >= NEEDED_SPACE:
        return Check("Disk", True, found)
    return Check("Disk", False, found, "Free some space, or set AXON_HOME to a folder on another disk.")


# -- databases ----------------------------------------------------------------


def check_database(name: str, path: Path, known: Collection[str] = ()) -> list[Check]:
    """Whether a database is sound and this program knows its tables; and those set aside as damaged.

    `known` are the names of its migrations; without them any are right. It is opened for reading only.
    """
    if not path.exists():
        return [Check(name, True, f"none yet ({path})"), *check_set_aside(path)]
    try:
        check = look_into(name, path, "ro", known)
    except sqlite3.Error as error:
        check = explained(name, path, error)
    return [check, *check_set_aside(path)]


def look_into(name: str, path: Path, mode: str, known: Collection[str]) -> Check:
    """What a database is like. Raises sqlite3.Error when that cannot be told."""
    with closing(connect(path.absolute(), mode, 2.0)) as connection:
        try:
            seen = migrations(connection)
        except sqlite3.OperationalError:
            if mode == "immutable" or os.access(path.parent, os.W_OK):
                raise
            # SQLite cannot share a file with others where it may not write: then it is read as it lies there.
            return look_into(name, path, "immutable", known)
        wrong, sound = looked_through(connection, size_of(path))
        if wrong:
            return broken(name, path, wrong)
        if known and not seen.issubset(known):
            found = f"{path} was written by a newer AXON Shell: it is opened for reading only, and nothing is saved"
            return Check(name, False, found, "Update AXON Shell.")
        words = [str(path), *counted(connection), readable_size(size_of(path))]
        if log := size_of(path.with_name(path.name + "-wal")):
            words.append(f"{readable_size(log)} still in its log")
        if seen:
            words.append(f"schema {max(seen).partition('_')[0].removeprefix('m')}")
        if not seen.issuperset(known):
            words.append("brought up to date at the next start")
        return Check(name, True, f"{', '.join(words)}: {sound}")


def migrations(connection: sqlite3.Connection) -> set[str]:
    """Names of the migrations that a database has seen."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return set()
    return {name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations")}


def looked_through(connection: sqlite3.Connection, size: int) -> tuple[str, str]:
    """What SQLite finds wrong with a database, or in which words it is sound. Large ones are not read to the end."""
    until = time.monotonic() + PATIENCE
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    quick = False
    try:
        for look in ("quick_check", "integrity_check") if size > LARGE else ("integrity_check",):
            verdict = connection.execute(f"PRAGMA {look}(1)").fetchone()[0]
            if verdict != "ok":
                return " ".join(verdict.split()), ""
            quick = look == "quick_check"
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return "", "sound at a quick look" if quick else f"no fault found within {PATIENCE:.0f} s"
    finally:
        connection.set_progress_handler(None, 0)
    return "", "sound"


def counted(connection: sqlite3.Connection) -> list[str]:
    """How many sessions, or labels, a database holds."""
    for table in ("sessions", "labels"):
        with suppress(sqlite3.OperationalError):  # another kind of database, or one without tables yet
            number = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return [f"{number:,} {table if number != 1 else table[:-1]}"]
    return []


def explained(name: str, path: Path, error: sqlite3.Error) -> Check:
    """A database that could not be looked into."""
    if damaged(error):
        return broken(name, path, str(error))
    if "locked" in str(error) or "busy" in str(error):
        return Check(name, None, f"{path} is locked by another program: not looked into", "Close that and look again.")
    hint = "See who may read it; AXON_HOME chooses another folder."
    return Check(name, False, f"{path} cannot be read: {error}", hint)


def broken(name: str, path: Path, verdict: str) -> Check:
    """A database that is damaged."""
    hint = f"Copy it to a safe place first; `sqlite3 {path} .recover` then saves what can be read."
    return Check(name, False, f"{path} is damaged: {verdict}", hint)


def check_set_aside(path: Path) -> list[Check]:
    """Databases that the shell found damaged once and moved away."""
    files = [file for file in sorted(path.parent.glob(f"{path.name}.damaged-*")) if file.name[-4:] not in SIDE_FILES]
    if not files:
        return []
    found = ", ".join(f"{file} ({readable_size(size_of(file))})" for file in files)
    hint = "`sqlite3 FILE .recover` saves what can be read. Delete what you do not need; the shell never will."
    return [Check("Set aside", None, f"damaged once: {found}", hint)]


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


# -- the hub's cache ----------------------------------------------------------


def check_cache(folder: Path) -> Check:
    """Where downloads lie, how much there is of them, and whether more can come."""
    free = shutil.disk_usage(nearest(folder)).free
    room = f"{readable_size(free)} free on its disk"
    found = f"{folder}: {contents(folder)}, {room}"
    parent = nearest(folder)
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        return Check("Hub cache", None, f"{found}; it cannot be written", "To download, set HF_HOME to another folder.")
    if free < MODEL_SPACE:
        return Check("Hub cache", None, found, "To download, free some space or set HF_HOME to a folder elsewhere.")
    return Check("Hub cache", True, found)


def contents(folder: Path) -> str:
    """How much lies in the cache, as far as it can be added up in a short time."""
    if not folder.is_dir():
        return "empty"
    until, whole = time.monotonic() + COUNTING, True
    size = unfinished = 0
    repositories = sum(1 for path in folder.glob("*--*") if path.is_dir())
    for place, _, names in os.walk(folder):  # a snapshot's links are not followed
        for name in names:
            path = Path(place, name)
            with suppress(OSError):
                if not path.is_symlink():
                    taken = path.stat().st_size
                    size += taken
                    unfinished += taken if path.suffix in (".part", ".incomplete") else 0
        if time.monotonic() > until:
            whole = False
            break
    said = f"{'' if whole else 'more than '}{readable_size(size)} in {repositories} repositories"
    return said + (f", {readable_size(unfinished)} of it unfinished downloads" if unfinished else "")


def check_token() -> Check:
    """Whether the hub knows who is asking; the token itself is never told."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return Check("Hub token", True, f"from {name}")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    file = Path(os.environ.get("HF_TOKEN_PATH") or Path(home, "token")).expanduser()
    if size_of(file):
        return Check("Hub token", True, f"in {file}")
    hint = "Only gated models, such as Gemma, need one: `hf auth login`, or set HF_TOKEN."
    return Check("Hub token", None, "none", hint)
