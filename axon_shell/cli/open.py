"""`axon-shell open`: the window, or the page in a browser."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from ..config import ConfigFile, read_config
from ..errors import AxonError
from ..records import Problem
from .shared import as_json, complain, labelling, opened_store, print_json


@click.command("open")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--browser", is_flag=True, help="Show the page in the browser instead of a window.")
@click.option("--no-open", is_flag=True, help="Only serve the page and print its address.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve the page on this port; 0 = any free one.")
@as_json
def open_(file: Path | None, browser: bool, no_open: bool, port: int | None, as_json: bool) -> int:
    """Open the window (the default command), and in it the session of an .axon file if one is named."""
    from ..app import open_shell

    config, session = read_config(), ""
    if file:
        try:
            session = taken_in(file, config)
        except AxonError as error:  # the window opens all the same, and says so
            complain(error.message, error.hint)
            config = replace(config, problems=(*config.problems, Problem(file.name, error.message, error.hint)))

    def opened(address: str | None) -> None:
        if as_json:
            print_json({"address": address})
        elif address:
            print(f"AXON Shell: {address}", flush=True)

    return open_shell(config, browser=browser, no_open=no_open, port=port, opened=opened, session=session)


def taken_in(file: Path, config: ConfigFile) -> str:
    """The session of a file, which is taken into the library. Raises SessionFileError or StoreError."""
    from ..plugins import catalogue
    from ..share import take_in

    with opened_store() as store, labelling(config.config, catalogue(config.config), store) as labels:
        assert labels.store
        found = take_in(file, store, labels, labels.store)
    print(f"{found.title}: {'taken in' if found.added else 'is here already'}", file=sys.stderr)
    return found.session
