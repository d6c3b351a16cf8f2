"""`axon-shell install-shortcut`: an entry in the system's menu that starts the shell."""

from __future__ import annotations

import json
import os
import sys

import click

from .shared import as_json


@click.command("install-shortcut")
@click.option("--desktop", "on_desktop", is_flag=True, help="Also put an icon on the desktop.")
@click.option("--remove", "remove_it", is_flag=True, help="Remove the menu entry and the icon on the desktop.")
@as_json
def install_shortcut(on_desktop: bool, remove_it: bool, as_json: bool) -> None:
    """Put AXON Shell into the system's menu. Doing it again updates the entry."""
    from ..desktop import install, remove

    paths = remove() if remove_it else install(on_desktop)
    if as_json:
        click.echo(json.dumps({"removed" if remove_it else "installed": paths}))
        return
    for path in paths:
        click.echo(f"{'Removed' if remove_it else 'Installed'}: {path}")
    if remove_it:
        if not paths:
            click.echo("There was no shortcut.")
        return
    if on_desktop and sys.platform.startswith("linux"):
        click.echo("Some desktops ask once: right-click the icon, then Allow Launching.")
    carried = [name for name in ("AXON_HOME", "AXON_CONFIG") if os.environ.get(name)]
    if carried:
        click.echo(f"It opens your normal sessions and settings: it knows nothing of {' and '.join(carried)}.")
