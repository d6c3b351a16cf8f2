"""Imports point one way, and heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

import axon_shell

# From the outermost to the innermost. A module imports only from the lines below its own: not from its neighbours.
LAYERS = [
    "__main__",
    "cli",
    "app doctor desktop",
    "server",
    "bridge",
    "worker",
    "sessions drawing why",
    "session share calibrating",
    "steering",
    "engine labels graph compare store plugins analysers",
    "entries crashes",
    "folders",
    "provenance decoder training",
    "config events hub pieces published remembered logs instance frame database",
    "apart hookspecs homes toolkit calibration corpus light",
    "records",
    "errors",
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names.split()}
HEAVY = {"torch", "transformers", "transformer_lens", "sae_lens"}

PACKAGE = REPOSITORY / "axon_shell"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
PLUGINS = sorted((REPOSITORY / "plugins").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def part(path: Path) -> str:
    """The part of the package that a file belongs to: `engine` for `engine/model.py`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, as (line, full name); those for type checkers alone are left out."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    package = list(path.relative_to(REPOSITORY).with_suffix("").parts)[:-1]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def test_every_module_has_its_place() -> None:
    assert {part(path) for path in MODULES} == DEPTH.keys()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_one_way(path: Path) -> None:
    own = part(path)
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for line, module in imports(path)
        if module.startswith("axon_shell.")
        and (other := module.split(".")[1]) in DEPTH
        and other != own
        and DEPTH[other] <= DEPTH[own]
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_heavy_libraries_stay_in_the_engine_and_the_window_in_app(path: Path) -> None:
    found = {module.split(".")[0] for _, module in imports(path)}
    if part(path) != "engine":
        assert not found & HEAVY
    if part(path) != "app":
        assert "webview" not in found


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_plugins_import_only_public_names(path: Path) -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for line, module in imports(path)
        if module.split(".")[0] == "axon_shell" and module.removeprefix("axon_shell.") not in axon_shell.__all__
    ]
    assert not wrong


def test_what_the_window_needs_imports_nothing_heavy() -> None:
    script = f"""
import sys
import axon_shell.cli, axon_shell.app, axon_shell.doctor
from axon_shell.config import load_config
from axon_shell.plugins import catalogue
catalogue(load_config())
print(*sorted({HEAVY | {"webview"}!r} & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert result.stdout.split() == []
