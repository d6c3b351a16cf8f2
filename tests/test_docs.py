"""The documentation says what the code does: commands, hooks, settings, numbers and the example plugin."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from conftest import REPOSITORY

import axon_shell
from axon_shell import homes, hookspecs
from axon_shell.cli import commands
from axon_shell.config import Config
from axon_shell.plugins import catalogue
from axon_shell.records import Settings

README = (REPOSITORY / "README.md").read_text()


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join([*path, name]), command


COMMANDS = dict(leaves(commands))


def test_every_command_is_in_the_table_and_back():
    table = set(re.findall(r"^\| `axon-shell ([^`]*)`", README, re.M))
    named = {"open" if row.startswith("[open]") else re.match(r"[a-z ]*[a-z]", row)[0] for row in table}
    assert named == set(COMMANDS)
    shown = set(re.findall(r"--[a-z-]+", next(row for row in table if "open" in row)))
    assert shown == options(COMMANDS["open"]) - {"--json"}


def options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_every_example_command_is_one():
    examples = re.findall(r"^axon-shell (.+)$", README, re.M)
    assert len(examples) >= 2
    for line in examples:
        words = shlex.split(line)
        command = commands
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context("axon-shell", words)


def test_every_command_takes_json():
    assert all("--json" in options(command) for command in COMMANDS.values())


def test_every_hook_is_documented_with_its_arguments():
    hooks = {name: f for name, f in vars(hookspecs).items() if name.startswith("register_")}
    for name, function in hooks.items():
        assert f"`{name}({', '.join(inspect.signature(function).parameters)})`" in README
        assert inspect.getdoc(function)
    assert set(re.findall(r"^def (register_\w+)", README, re.M)) == set(hooks)


def test_the_example_plugin_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "mine.py").write_text(example)
    monkeypatch.setattr(homes, "plugins", lambda: tmp_path)
    found = catalogue(Config())
    assert found.problems == []
    assert found.models["mine"].weights == tmp_path / "model"
    assert found.saes["mine/2-res"].model == "mine"
    assert found.label_sources[0].labels("mine/2-res", [6, 7])[7].text == "a colour"


def test_every_setting_of_a_session_has_an_option():
    expected = {"--" + f.name.replace("_", "-") for f in fields(Settings)}
    assert expected <= options(COMMANDS["run"])


def test_the_bundled_plugins_use_only_public_names():
    assert all(hasattr(axon_shell, name) for name in axon_shell.__all__)
    for path in homes.plugins().rglob("__init__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("axon_shell"):
                assert node.module == "axon_shell" and {name.name for name in node.names} <= set(axon_shell.__all__)


def test_every_public_thing_says_what_it_gives():
    silent = []
    for path in sorted((REPOSITORY / "axon_shell").rglob("*.py")):
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            silent.append(str(path))
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                silent.append(f"{path.name}: {node.name}")
    assert silent == []


def test_links_within_the_repository_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
