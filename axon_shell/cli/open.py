"""`axon-shell open`: the window, or the page in a browser."""

from __future__ import annotations

import click

from ..config import read_config
from .shared import as_json, print_json


@click.command("open")
@click.option("--browser", is_flag=True, help="Show the page in the browser instead of a window.")
@click.option("--no-open", is_flag=True, help="Only serve the page and print its address.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve the page on this port; 0 = any free one.")
@as_json
def open_(browser: bool, no_open: bool, port: int | None, as_json: bool) -> int:
    """Open the window (the default command)."""
    from ..app import open_shell

    def opened(address: str | None) -> None:
        if as_json:
            print_json({"address": address})
        elif address:
            print(f"AXON Shell: {address}", flush=True)

    return open_shell(read_config(), browser=browser, no_open=no_open, port=port, opened=opened)
