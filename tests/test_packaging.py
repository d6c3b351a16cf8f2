"""What a wheel holds, and that the requirements are complete and pinned."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomli
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import axon_shell

PROJECT = tomli.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = [Requirement(text) for text in PROJECT["dependencies"]]
OPTIONAL = [Requirement(text) for texts in PROJECT["optional-dependencies"].values() for text in texts]
PINS = [
    Requirement(line)
    for line in (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built with the hatchling at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_page_and_the_plugins(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if not name.endswith("/")}
    for home, folder in (("ui", "_ui"), ("plugins", "_plugins")):
        tracked = subprocess.run(
            ["git", "ls-files", "-z", home], cwd=REPOSITORY, check=True, capture_output=True, text=True
        ).stdout.split("\0")[:-1]
        assert {f"axon_shell/{folder}/{name.removeprefix(f'{home}/')}" for name in tracked} <= inside
    assert not [name for name in inside if "__pycache__" in name or name.startswith(("tests/", "tools/"))]
    assert f"axon_shell-{axon_shell.__version__}.dist-info/licenses/LICENSE" in inside


def test_the_wheel_finds_its_page_and_plugins(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    script = (
        "from axon_shell import homes, plugins, config; print(homes.ui()); print(homes.plugins());"
        "print(*plugins.catalogue(config.Config()).models)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert result[:2] == [str(tmp_path / "axon_shell/_ui"), str(tmp_path / "axon_shell/_plugins")]
    assert "tiny-world" in result[2]


def test_the_version_is_the_newest_of_the_changelog() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == axon_shell.__version__


def test_the_command_exists() -> None:
    module, function = PROJECT["scripts"]["axon-shell"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_requirement_has_a_tested_version() -> None:
    """One for each Python that is supported, and one that the requirement admits."""
    for requirement in REQUIRED + OPTIONAL:
        for python in ("3.10", "3.11", "3.12", "3.13"):
            pins = [
                pin
                for pin in PINS
                if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
                and (not pin.marker or pin.marker.evaluate({"python_version": python}))
            ]
            assert len(pins) == 1, (requirement.name, python)
            assert str(pins[0].specifier).removeprefix("==") in requirement.specifier, requirement


def test_the_tested_versions_are_of_the_public_index() -> None:
    """No path, no address, no build of one machine or graphics card."""
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)) and not pin.url, pin
        assert not pin.name.startswith(("nvidia", "cuda", "triton"))


def test_every_import_is_a_requirement() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in REQUIRED}
    distributions = importlib.metadata.packages_distributions()
    for path in (REPOSITORY / "axon_shell").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules = [node.module]
            else:
                continue
            for module in {name.split(".")[0] for name in modules} - sys.stdlib_module_names:
                names = {canonicalize_name(name) for name in distributions.get(module, [module])}
                assert names & declared, f"{path.relative_to(REPOSITORY)}:{node.lineno} imports {module}"
