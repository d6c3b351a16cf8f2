"""`axon-shell sessions`: past sessions, with no model needed."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from ..config import read_config
from ..errors import ExportError
from ..records import Exporter, Message
from .run import Printer
from .shared import annotating, as_json, listed, opened_store, print_json, written_whole


@click.group("sessions")
def sessions_() -> None:
    """Past sessions: no model is needed."""


@sessions_.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@as_json
def list_(limit: int, as_json: bool) -> None:
    """List past sessions, newest first."""
    with opened_store() as store:
        rows = [asdict(row) for row in store.sessions(limit=limit)]
    for row in rows:
        row["saes"] = list(row["saes"])
    columns = {"uid": "Session", "created_at": "When", "model": "Model", "new_tokens": "New", "status": "Status"}
    listed(rows, columns | {"title": "Prompt"}, as_json)


@sessions_.command()
@click.argument("session")
@as_json
def show(session: str, as_json: bool) -> None:
    """Replay a past session: its tokens with their strongest features."""
    from ..plugins import catalogue
    from ..session import replay

    tell = print_json if as_json else Printer()
    config = read_config().config
    with opened_store() as store, annotating(config, catalogue(config), store) as annotate:
        for message in replay(store.summary(session).uid, store, annotate):
            tell(message)


@sessions_.command()
@click.argument("session")
@click.option("--as", "form", required=True, metavar="FORMAT", help="File format; `axon-shell plugins` lists them.")
@click.option("--output", metavar="FILE", help="Where to write; - is stdout. Left out: a name from the prompt.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@as_json
def export(session: str, form: str, output: str | None, force: bool, as_json: bool) -> None:
    """Write a past session to a file."""
    from ..plugins import catalogue
    from ..session import replay

    config = read_config().config
    found = catalogue(config)
    exporter = found.exporter(form)
    with opened_store() as store, annotating(config, found, store) as annotate:
        summary = store.summary(session)
        messages = replay(summary.uid, store, annotate)
    if output == "-":
        write(exporter, messages, sys.stdout.buffer)
        return
    words = re.sub(r"\W+", "-", summary.title).strip("-").lower()[:40]
    path = Path(output or f"{words or 'session'}-{summary.uid[-6:]}{exporter.suffix}")
    with written_whole(path, force) as file:
        write(exporter, messages, file)
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path.absolute()), "format": form, "bytes": size})
    else:
        print(f"{path} ({size:,} bytes)")


def write(exporter: Exporter, messages: Sequence[Message], file: BinaryIO) -> None:
    """Have an exporter write a session. Raises ExportError when it fails by its own fault."""
    try:
        exporter.write(messages, file)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(
            f"The exporter {exporter.name} failed: {type(error).__name__}: {error}", "Mend the plugin that it is from."
        ) from error
