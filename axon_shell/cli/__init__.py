"""The terminal: everything the window can do without pictures. One command is one function, a few make a file.

`--json` prints one JSON document, or JSON lines, and nothing else on stdout. Errors go to stderr as `error:` and
`hint:`, exit code 1; wrong usage is exit code 2.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

import click

from .. import __version__, homes
from ..errors import AxonError
from ..logs import LARGEST, last_lines
from .bench import bench
from .calibrate import calibrate
from .catalogue import download, models, plugins, saes
from .configuration import config_
from .doctor import doctor
from .labels import labels_
from .open import open_
from .run import run
from .sessions import sessions_
from .shared import complain
from .shortcut import install_shortcut

OWN_OPTIONS = ("--debug", "--config")  # of the group, before the command


class OpenByDefault(click.Group):
    """A group whose command is `open` when none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own: list[str] = []
        rest = list(args)
        while rest and rest[0].split("=")[0] in OWN_OPTIONS:
            own.append(rest.pop(0))
            if own[-1] == "--config" and rest:
                own.append(rest.pop(0))
        file = bool(rest) and rest[0] not in self.commands and Path(rest[0]).suffix == ".axon"  # a double click on one
        if not rest or file or (rest[0].startswith("-") and rest[0] not in ("--help", "--version")):
            rest = ["open", *rest]
        return super().parse_args(ctx, own + rest)


def main() -> None:
    """Run the command line; what a user can act upon is one error and one hint, without a traceback."""
    debug = "--debug" in sys.argv
    try:
        sys.exit(commands.main(standalone_mode=False, prog_name="axon-shell"))
    except AxonError as error:
        if debug:
            raise
        complain(error.message, error.hint)
        sys.exit(1)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "axon-shell"
        complain(error.format_message(), f"`{command} --help` shows the usage.")
        sys.exit(2)
    except BrokenPipeError:
        # Whoever reads stdout has gone (`axon-shell sessions list | head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        complain(
            f"Something went wrong: {type(error).__name__}: {error}",
            "This is a fault in AXON Shell; please report it with what `axon-shell --debug ...` says.",
        )
        sys.exit(1)


def gui() -> None:
    """`main` for a start without a terminal.

    Windows then gives no stdout and stderr: a file takes their place, and a box shows why the program ended.
    """
    if sys.stdout is not None and sys.stderr is not None:
        main()
        return
    file = opened_output()
    sys.stdout, sys.stderr = sys.stdout or file, sys.stderr or file
    try:
        main()
    except SystemExit as end:
        if end.code:
            file.flush()
            show_in_box(last_lines(Path(file.name), 2).strip())
        raise


def show_in_box(text: str) -> None:
    """Show a text to a user who has no terminal."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.user32.MessageBoxW(None, text or "AXON Shell ended with an error.", "AXON Shell", 0x10)


def opened_output() -> TextIO:
    """A file beside the log for what nobody would see; where it cannot be written, nowhere.

    It is not the log itself: that is renamed when it is large, which Windows refuses while another holds it open.
    """
    path = homes.logs() / "output.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        small = not path.exists() or path.stat().st_size < LARGEST
        return path.open("a" if small else "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


@click.group(cls=OpenByDefault)
@click.version_option(__version__, prog_name="AXON Shell")
@click.option("--config", metavar="FILE", type=click.Path(dir_okay=False), help="Take the settings from this file.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def commands(config: str | None, debug: bool) -> None:
    """Watch the concepts that fire inside a language model while it writes."""
    if config:
        os.environ["AXON_CONFIG"] = config  # also for processes that are started from here


COMMANDS = (
    *(
        open_,
        run,
        models,
        saes,
        download,
        labels_,
        sessions_,
        plugins,
        config_,
        bench,
        calibrate,
        doctor,
        install_shortcut,
    ),
)
for command in COMMANDS:
    commands.add_command(command)
