"""The program itself: its version, Python, the libraries that it asks for, the page."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import tomli

from .. import __version__, homes
from ..config import ConfigFile
from .check import Check, pip_install

PACKAGE = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
SHOWN = ("transformers", "sae-lens", "transformer-lens", "pywebview")  # the others are counted, when all is well


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    return [
        Check("AXON Shell", True, f"{__version__} in {PACKAGE}"),
        check_system(),
        check_python(),
        *check_libraries(),
        check_page(),
    ]


def check_system() -> Check:
    """What machine this is: every report of a fault should say so."""
    try:
        import psutil

        memory = psutil.virtual_memory()
        said = f", {memory.total / 1e9:,.1f} GB of memory, {memory.available / 1e9:,.1f} GB free"
    except ImportError:  # told among the libraries
        said = ""
    return Check("System", True, f"{platform.platform()}, {os.cpu_count()} CPU cores{said}")


def check_python() -> Check:
    """Whether Python is new enough."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST_PYTHON:
        return Check("Python", True, found)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check("Python", False, found, f"Get Python {oldest} or newer: https://www.python.org/downloads/")


class Wanted(NamedTuple):
    """A library that the program asks for."""

    name: str
    requirement: str  # as pip takes it: numpy>=2.0


def wanted_libraries() -> list[Wanted]:
    """What pyproject.toml asks for: a checkout's own file, else what was noted at installation."""
    try:
        project = tomli.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
        asked = project["dependencies"] if project["name"] == "axon-shell" else []
    except (OSError, KeyError, ValueError):
        try:
            asked = metadata.requires("axon-shell") or []
        except metadata.PackageNotFoundError:
            asked = []
    found = []
    for line in asked:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra" not in marker and applies(marker):
            found.append(Wanted(name[0].lower().replace("_", "-"), requirement))
    return found


def applies(marker: str) -> bool:
    """Whether a requirement is meant for this system."""
    try:
        from packaging.markers import Marker

        return not marker or Marker(marker).evaluate()
    except (ImportError, ValueError):
        return True


def check_libraries() -> list[Check]:
    """Libraries by their metadata: importing them would take seconds."""
    asked = wanted_libraries()
    found = [(wanted.name, check_library(wanted)) for wanted in asked]
    faults = [check for _, check in found if not check.ok]
    shown = [check for name, check in found if check.ok and name in SHOWN]
    others = len(found) - len(faults) - len(shown)
    if not asked:
        hint = "Install AXON Shell with pip, or start it with launch.pyw."
        return [Check("Libraries", None, "what is needed is noted nowhere: not looked at", hint)]
    return [*shown, *faults, Check("Libraries", True, f"{others} others, as asked for")]


def check_library(wanted: Wanted) -> Check:
    """Whether a library is there, in a version that the program works with."""
    launched = " So does `python3 launch.pyw`." if (PACKAGE.parent / "launch.pyw").exists() else ""
    hint = f"{pip_install(chr(34) + wanted.requirement + chr(34))} mends it.{launched}"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Check(wanted.name, False, "not installed", hint)
    if not version:
        return Check(wanted.name, False, "damaged: its version is noted nowhere", hint)
    if not fits(version, wanted.requirement):
        return Check(wanted.name, False, f"{version}, but {wanted.requirement} is needed", hint)
    return Check(wanted.name, True, version)


def fits(version: str, requirement: str) -> bool:
    """Whether a version is among those asked for; where nothing can tell, it is taken to be."""
    try:
        from packaging.requirements import Requirement

        return Requirement(requirement).specifier.contains(version, prereleases=True)
    except (ImportError, ValueError):
        return True


def check_page() -> Check:
    """Whether the files of the page are there."""
    page = homes.ui() / "index.html"
    if page.is_file():
        return Check("Page", True, str(page.parent))
    return Check("Page", False, f"{page} is missing", "The installation is incomplete: install AXON Shell again.")
