"""`axon-shell doctor`: what is installed, what is missing and what to do about it."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape

from .shared import as_json

MARKS = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]--[/]"}


@click.command()
@as_json
def doctor(as_json: bool) -> int:
    """Say what is installed, what is missing and what to do about it.

    ok: there and sound; --: not there, and not needed for the main job; no: broken. The exit code is 1 when something
    is broken.
    """
    from ..doctor import checks

    # Stdout is for the answer alone; a plugin may print while it is loaded.
    with redirect_stdout(sys.stderr), Console(stderr=True).status("Looking at everything: some seconds"):
        found = checks()
    every = [check for group in found.values() for check in group]
    if as_json:
        click.echo(json.dumps([asdict(check) for check in every]))
        return 1 if any(check.ok is False for check in every) else 0
    console = Console(soft_wrap=True, highlight=False)  # so that commands and paths can be copied whole
    for title, group in found.items():
        console.print(f"[bold]{escape(title)}[/]")
        for check in group:
            console.print(f"  {MARKS[check.ok]}  [bold]{escape(check.name)}[/]: {escape(check.found)}")
            if check.hint and not check.ok:
                console.print(f"      {escape(check.hint)}", style="dim")
    broken = [check.name for check in every if check.ok is False]
    console.print(f"[red]Broken: {escape(', '.join(broken))}.[/]" if broken else "[green]Nothing is broken.[/]")
    return 1 if broken else 0
