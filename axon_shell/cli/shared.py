"""What the commands share: options, tables, JSON lines, errors on stderr."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import homes
from ..config import CHOICES, Config
from ..errors import ExportError
from ..records import Message, Problem

if TYPE_CHECKING:
    from ..labels import Labels, Network
    from ..plugins import Catalogue
    from ..session import Annotator
    from ..store import Store

# Characters that end a line for some readers of JSON lines, and that JSON itself lets stand.
LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
model_option = click.option("--model", help="Id of the model, see `axon-shell models`.")
saes_option = click.option(
    "--sae", "saes", multiple=True, help="Id of an SAE, see `axon-shell saes`; may be given several times."
)
device_option = click.option("--device", type=click.Choice(CHOICES["device"]), help="Where the model runs.")
dtype_option = click.option(
    "--dtype", type=click.Choice(CHOICES["dtype"]), help="Number format of the model's weights."
)


def complain(message: str, hint: str = "") -> None:
    """One error on stderr."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def begin_with(config: Config, model: str | None, saes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Ids of the model and SAEs that a command names; where it names no model, those of `[start]`."""
    return model or config.start.model, saes or (() if model else config.start.saes)


@contextmanager
def opened_store() -> Iterator[Store]:
    """The user's sessions; its problems are told on stderr."""
    from ..store import Store

    store = Store(homes.data())
    if store.problem:
        complain(store.problem.message, store.problem.hint)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def interrupted(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C end the session cleanly; the second one ends the program."""

    def handle(signum: int, frame: object) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def tell_problems(problems: Iterable[Problem]) -> None:
    """Problems on stderr."""
    for problem in problems:
        complain(f"{problem.name}: {problem.message}", problem.hint)


@contextmanager
def labelling(
    config: Config, found: Catalogue, store: Store | None = None, network: Network | None = None
) -> Iterator[Labels]:
    """The labels that are on this machine, and with a network those that are not."""
    from ..labels import Labels, LabelStore

    fires_on = {"fires_on": store.fires_on} if store else {}
    labels = Labels(
        found.label_sources.values(), found.saes, LabelStore(homes.data()), config.labels, network=network, **fires_on
    )
    try:
        yield labels
    finally:
        tell_problems(labels.problems)
        labels.close()


@contextmanager
def annotating(config: Config, found: Catalogue, store: Store) -> Iterator[Annotator]:
    """What labels and analyses the steps of sessions; label sources and analysers that failed are told at the end."""
    from ..analysers import Analysers
    from ..session import Annotator

    with labelling(config, found, store) as labels:
        analysers = Analysers(found.analysers.values())
        try:
            yield Annotator(labels, analysers)
        finally:
            tell_problems(analysers.problems)


def listed(rows: list[dict[str, Any]], columns: dict[str, str], as_json: bool) -> None:
    """Rows as one JSON list, or as a table of some of their fields."""
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table(box=None, header_style="bold")
    for number, title in enumerate(columns.values()):
        table.add_column(title, overflow="fold", no_wrap=number == 0)  # what stands first is there to be copied
    for row in rows:
        table.add_row(*(Text(readable(name, row[name])) for name in columns))
    # In a file or a pipe nothing need be folded.
    Console(width=None if sys.stdout.isatty() else 240).print(table if rows else "Nothing yet.")


def readable(name: str, value: Any) -> str:
    """A field as a person reads it."""
    if name in ("size_bytes", "memory_bytes"):
        from ..plugins import readable_size

        return readable_size(value) if value else "?"
    if name in ("width", "context"):  # 0: not known before loading
        return f"{value:,}" if value else "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def print_json(message: Message) -> None:
    """A message as one line of JSON, at once."""
    print(json.dumps(message, ensure_ascii=False, allow_nan=False).translate(LINE_ENDS), flush=True)


@contextmanager
def written_whole(path: Path, force: bool) -> Iterator[BinaryIO]:
    """A new file, which stands in its place only when all is written. Raises ExportError when it cannot."""
    if path.exists() and not force:
        raise ExportError(f"{path} exists.", "Choose another name with --output, or replace it with --force.")
    fresh = path.with_name(f".{path.name}.unfinished")
    try:
        with fresh.open("wb") as file:
            yield file
        fresh.replace(path)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror}.", "Choose another place with --output."
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
