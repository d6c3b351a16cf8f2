"""The documentation as a reader follows it: every block of a page is done, in order, in a home of its own.

What a block is, its first line says: the language, and for a file its name.

    ```sh                     commands; what they print is kept for the blocks below
    ```text                   what the commands above print; … alone is any lines, at the end of a line its rest
    ```json                   the shape of what the commands above print, or of one message of it
    ```toml                   settings that have no mistakes; with a file name they are put into that file
    ```python                 code that runs; with a file name it is put at the end of that file
    ```text figure            a drawing

A block of another kind, and a command that is neither run nor tested elsewhere, is a failure.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import tomli
from click.testing import CliRunner
from conftest import REPOSITORY

from axon_shell.cli import commands
from axon_shell.config import config_path, parse
from axon_shell.errors import AxonError

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))))

# Commands that a page names and that are not run from it: what runs them.
ELSEWHERE = {
    "python3 launch.pyw": "tests/test_launch.py",
    "python3 launch.pyw test": "tests/test_launch.py",
    "python3 launch.pyw install-shortcut": "tests/test_launch.py",
    ".venv/bin/python -m pytest": ".ci/run",
    ".venv/bin/ruff check .": ".ci/run",
    ".venv/bin/ruff format .": ".ci/run",
    ".venv/bin/mypy": ".ci/run",
    "python -m benchmarks.speed": "tests/test_bench.py",
    "python -m benchmarks.labels": "tests/test_bench.py",
    "python -m benchmarks.library": "tests/test_bench.py",
    "python -m benchmarks.training": "tests/test_training.py",
    "python -m benchmarks.page": "tests/test_page_speed.py",
    "python -m benchmarks.edges": "tests/test_bench.py",
    "python -m benchmarks.steering": "tests/test_bench.py",
    "python -m benchmarks.calibrate": "tests/test_bench.py",
    "python -m benchmarks.edges_tiny_world": "tests/test_bench.py",
    "cd tools/vendor": "tests/test_vendor.py",
    "npm ci": "tests/test_npm.py",
    "npm run check": "tests/test_npm.py",
    "npm run types": "tests/test_npm.py",
    "npm run format": "tests/test_npm.py",
}
# Commands of the program that open something or leave something on the desktop: they are only parsed here.
ONLY_PARSED = {"open": "tests/test_app.py", "install-shortcut": "tests/test_desktop.py"}
NEED_THE_NETWORK = (
    "offline",
    "not_installed",
)  # how a command ends here that would download, or wants what is not here
SHELL = ("cp", "mkdir")  # done by the system's shell
NUMBER = re.compile(r"^-?[\d,]*\.?\d+(%|,|:)?$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    heading: str  # the last one above
    language: str
    words: tuple[str, ...]  # what follows the language
    text: str

    @property
    def place(self) -> str:
        """Where to look when it fails."""
        return f"{self.page}, line {self.line}"


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    heading, fence, begun, inside = "", None, 0, []
    for number, line in enumerate((REPOSITORY / page).read_text("utf-8").splitlines(), 1):
        if fence is None and line.startswith("```"):
            fence, begun, inside = line.removeprefix("```").split(), number, []
        elif fence is not None and line == "```":
            language, *words = fence or [""]
            yield Block(page, begun, heading, language, tuple(words), "".join(f"{one}\n" for one in inside))
            fence = None
        elif fence is not None:
            inside.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert fence is None, f"{page}, line {begun}: this block has no end"


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by its words: "sessions list"."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join([*path, name]), command


COMMANDS = dict(leaves(commands))


def command_lines(block: Block) -> list[list[str]]:
    """The words of each command of a block, comments left out and continued lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@dataclass
class Reader:
    """Somebody who does what a page says, from its first block to its last."""

    home: Path  # the folder that ~ is
    output: str = ""  # of the last commands
    failed: str = ""  # what the last command complained of, until a block says so
    names: dict[str, Any] = field(default_factory=dict)  # of the code that has run
    written: set[Path] = field(default_factory=set)
    done: list[str] = field(default_factory=list)  # names of the program's commands that were really run

    def follow(self, block: Block) -> None:
        """Do what a block says. Raises AssertionError when it is not as it says."""
        told = block.language == "text" and "error: " in block.text
        assert told or not self.failed, f"{block.place}: the command above it failed: {self.failed}"
        self.failed = ""
        match (block.language, *block.words):
            case ("sh",):
                self.output = ""
                for words in command_lines(block):
                    self.command(words, block)
            case ("text", "figure"):
                pass
            case ("text",):
                compare(block.text, self.output, block.place)
            case ("json",):
                shown = json.loads(block.text)
                real = documents(self.output)
                assert any(fits(shown, one) for one in real), f"{block.place}: no such thing in {self.output[:2000]}"
            case ("toml",):
                assert not (mistakes := parse(block.text, Path("config.toml"))[1]), f"{block.place}: {mistakes}"
            case ("toml", "config.toml"):
                assert not (mistakes := parse(block.text, Path("config.toml"))[1]), f"{block.place}: {mistakes}"
                config_path().parent.mkdir(parents=True, exist_ok=True)
                config_path().write_text(block.text, "utf-8")
            case ("toml" | "python", name):
                self.write(name, block)
            case ("python",):
                exec(compile(block.text, block.place, "exec"), self.names)
            case _:
                raise AssertionError(f"{block.place}: nothing tests a block of {block.language!r} {block.words}")

    def write(self, name: str, block: Block) -> None:
        """Put a block at the end of a file, which is new to this page."""
        path = Path(name).expanduser()
        assert path.is_relative_to(self.home), f"{block.place}: {name} would not be written in the reader's home"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if path in self.written else "x", encoding="utf-8") as file:
            file.write(block.text)
        self.written.add(path)
        (tomli.loads if path.suffix == ".toml" else compile_only)(path.read_text("utf-8"))

    def command(self, words: list[str], block: Block) -> None:
        """Run one command as a shell would."""
        environment = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        program = Path(words[0]).name
        if " ".join(words) in ELSEWHERE:
            return
        if program in SHELL:
            subprocess.run([as_shells_do(word) for word in words], check=True, cwd=REPOSITORY)
            return
        assert program == "axon-shell", f"{block.place}: nothing tests the command {' '.join(words)!r}"
        arguments = ["open", *words[1:]] if not words[1:] or words[1].startswith("-") else words[1:]
        target = None
        if ">" in arguments:
            arguments, (target,) = arguments[: arguments.index(">")], arguments[arguments.index(">") + 1 :]
        newest = self.newest("restore" in arguments)
        arguments = [as_shells_do(re.sub(r"^SESSION(?=$|:)", lambda _: newest, word)) for word in arguments]
        parsed(arguments)
        if arguments[0] in ONLY_PARSED:
            return
        said = self.run(arguments, environment)
        if target:
            path = Path(target).expanduser()
            assert path.is_relative_to(self.home), block.place
            path.write_text(said, "utf-8")
        else:
            self.output += said

    def run(self, arguments: list[str], environment: dict[str, str]) -> str:
        """What one of the program's commands prints; where it fails, that is noted."""
        self.done.append(parsed(arguments))
        result = CliRunner(env=environment).invoke(commands, arguments, standalone_mode=False)
        error = result.exception
        if isinstance(error, AxonError):
            if error.kind not in NEED_THE_NETWORK:
                self.failed = error.message
            return f"{result.output}error: {error.message}\nhint: {error.hint}\n"
        if error:
            raise error
        if result.return_value and arguments[0] != "doctor":
            self.failed = result.output
        return result.stdout if "--json" in arguments or ">" in arguments else result.output

    def newest(self, deleted: bool = False) -> str:
        """The session that was run last, or of those that were deleted."""
        arguments = ["sessions", "list", "--limit", "1", "--json", *(["--deleted"] if deleted else [])]
        found = json.loads(CliRunner().invoke(commands, arguments, standalone_mode=False).stdout)
        return found[0]["uid"] if found else "SESSION"


def as_shells_do(word: str) -> str:
    """A word with the home folder put in."""
    return str(Path(word).expanduser()) if word.startswith("~") else word


def parsed(arguments: list[str]) -> str:
    """The name of the command that these words call; click has no objection to them."""
    command: click.Command = commands
    words, name = list(arguments), []
    while isinstance(command, click.Group):
        name.append(words.pop(0))
        command = command.commands[name[-1]]
    command.make_context(" ".join(name), words)
    return " ".join(name)


def compile_only(text: str) -> None:
    """Whether it is Python."""
    compile(text, "documentation", "exec")


# -- comparing ----------------------------------------------------------------


def compare(shown: str, real: str, place: str) -> None:
    """Whether output is what a page shows: word by word, with numbers to what is shown of them."""
    rest = [line.split() for line in real.splitlines() if line.strip()]
    skipping = False
    for line in (line.split() for line in shown.splitlines() if line.strip()):
        if line == ["…"]:
            skipping = True
            continue
        at = next((i for i, found in enumerate(rest) if same_line(line, found)), None)
        assert at is not None and (skipping or at == 0), f"{place}: {' '.join(line)!r} is not what comes\n{real}"
        rest, skipping = rest[at + 1 :], False
    assert skipping or not rest, f"{place}: more comes than the page shows: {rest}"


def same_line(shown: list[str], real: list[str]) -> bool:
    """Whether two lines say the same."""
    if shown[-1] == "…" and len(real) > len(shown):
        real = real[: len(shown)]
    return len(shown) == len(real) and all(map(same_word, shown, real))


def same_word(shown: str, real: str) -> bool:
    """Whether two words say the same; … stands for any."""
    if "…" in shown:
        return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), real) is not None
    if NUMBER.match(shown) and NUMBER.match(real):
        a, b = (float(word.rstrip("%,:").replace(",", "")) for word in (shown, real))
        return abs(a - b) <= max(0.15, 0.02 * abs(a))
    return shown == real


def documents(output: str) -> list[Any]:
    """The JSON in an output: one document, or one a line."""
    try:
        return [json.loads(output)]
    except ValueError:
        return [json.loads(line) for line in output.splitlines() if line.startswith(("{", "["))]


def fits(shown: Any, real: Any) -> bool:
    """Whether an example has the shape of what really comes: the same keys, and the same kinds of values."""
    if isinstance(shown, dict) and isinstance(real, dict):
        if shown.get("kind") != real.get("kind"):
            return False
        return shown.keys() == real.keys() and all(fits(value, real[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(real, list):
        return all(any(fits(one, other) for other in real) for one in shown) and bool(shown) >= bool(real)
    if shown is None or real is None:
        return True
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (shown, real)]
    return all(numbers) or type(shown) is type(real)


def environment_names() -> set[str]:
    """The program's own environment variables, as its code reads them."""
    sources = [*(REPOSITORY / "axon_shell").rglob("*.py"), REPOSITORY / "launch.pyw"]
    return {name for path in sources for name in re.findall(r"\bAXON_[A-Z_]+\b", path.read_text("utf-8"))}
