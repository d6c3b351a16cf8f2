"""The terminal: everything the window can do without pictures. One command is one function.

`--json` prints one JSON document, or JSON lines, and nothing else on stdout. Errors go to stderr as `error:` and
`hint:`, exit code 1; wrong usage is exit code 2.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from . import __version__, homes
from .config import CHOICES, load_config
from .errors import AxonError, NotFound, StoreError, WeightsError
from .records import Message, Settings, Spec, require_prompt

if TYPE_CHECKING:
    from .store import Store

FLOAT32 = 4  # bytes
BENCH_CONTEXTS = (16, 128, 512, 1000)
# Characters that end a line for some readers of JSON lines, and that JSON itself lets stand.
LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


class OpenByDefault(click.Group):
    """A group whose command is `open` when none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = [arg for arg in args if arg != "--debug"]
        if not named or (named[0].startswith("-") and named[0] not in ("--help", "--version")):
            args = ["--debug"] * ("--debug" in args) + ["open", *named]
        return super().parse_args(ctx, args)


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


def complain(message: str, hint: str = "") -> None:
    """One error on stderr."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


@click.group(cls=OpenByDefault)
@click.version_option(__version__, prog_name="AXON Shell")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def commands(debug: bool) -> None:
    """Watch the concepts that fire inside a language model while it writes."""


@commands.command("open")
@click.option("--browser", is_flag=True, help="Show the page in the browser instead of a window.")
@click.option("--no-open", is_flag=True, help="Only serve the page and print its address.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve the page on this port; 0 = any free one.")
@as_json
def open_(browser: bool, no_open: bool, port: int | None, as_json: bool) -> int:
    """Open the window (the default command)."""
    from .app import open_shell

    def opened(address: str | None) -> None:
        if as_json:
            print_json({"address": address})
        elif address:
            print(f"AXON Shell: {address}", flush=True)

    return open_shell(load_config(), browser=browser, no_open=no_open, port=port, opened=opened)


@commands.command()
@click.argument("prompt")
@click.option("--model", help="Id of the model, see `axon-shell models`.")
@click.option("--sae", "saes", multiple=True, help="Id of an SAE, see `axon-shell saes`; may be given several times.")
@click.option("--max-tokens", type=int, help="New tokens, 0 = only read the prompt.")
@click.option("--temperature", type=float, help="0 = always the most probable token.")
@click.option("--top-k", type=int, help="Sample among the k most probable tokens, 0 = all.")
@click.option("--top-p", type=float, help="... and among the fewest whose probabilities add up to p.")
@click.option("--repetition-penalty", type=float, help="Divides the logit of each token seen already.")
@click.option("--seed", type=int, help="The same seed gives the same session; left out: a new one.")
@click.option("--top-features", type=int, help="Features kept per position and SAE.")
@click.option("--device", type=click.Choice(CHOICES["device"]), help="Where the model runs.")
@click.option("--dtype", type=click.Choice(CHOICES["dtype"]), help="Number format of the model's weights.")
@as_json
def run(
    prompt: str,
    model: str | None,
    saes: tuple[str, ...],
    device: str | None,
    dtype: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Generate a session in the terminal and store it."""
    from . import session
    from .labels import Labels
    from .plugins import catalogue, require_installed
    from .store import new_uid

    require_prompt(prompt)
    config = load_config()
    given = {name: value for name, value in given.items() if value is not None}
    settings: Settings = replace(config.settings, **({"seed": random.randrange(2**32)} | given))
    found = catalogue(config)
    spec, sae_specs = found.choose(model or config.model, saes or (config.saes if not model else ()))
    require_installed(spec, sae_specs)
    labels = Labels(found.label_sources)
    stop = threading.Event()
    show = print_json if as_json else Printer()
    with opened_store() as store, interrupted(stop.set):
        with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
            from .engine.model import choose_device, load_model, number_type
            from .engine.sae import load_sae

            kind = number_type(dtype or config.dtype)
            loaded = load_model(spec, choose_device(device or config.device), status.update, kind)
            loaded_saes = [load_sae(sae, loaded, status.update) for sae in sae_specs]
        reason = "error"
        for message in session.run(new_uid(), prompt, loaded, loaded_saes, settings, labels, store, stop.is_set):
            show(message)
            if message["kind"] == "end":
                reason = message["reason"]
                if reason == "error":
                    complain(message["error"]["message"], message["error"]["hint"])
        try:
            store.flush()
        except StoreError as error:
            reason = "error"
            if not store.problem:  # else it was told at the beginning
                complain(error.message, error.hint)
    return 1 if reason == "error" else 0


@commands.command()
@as_json
def models(as_json: bool) -> None:
    """List the language models."""
    from .plugins import catalogue, listing

    found = catalogue(load_config())
    counts = Counter(sae.model for sae in found.saes.values())
    rows = [
        listing(spec) | {"memory_bytes": FLOAT32 * spec.parameters, "saes": counts[spec.id]}
        for spec in found.models.values()
    ]
    columns = {"id": "Id", "name": "Name", "context": "Context", "size_bytes": "Size", "memory_bytes": "Memory"}
    listed(rows, columns | {"installed": "Installed", "saes": "SAEs", "sae": "First SAE"}, as_json)
    if not as_json:
        print("Memory: of the weights in float32. Without an SAE a model writes without features.", file=sys.stderr)


@commands.command()
@click.argument("model", required=False)
@click.option("--search", default="", metavar="TEXT", help="Words that the id, hook point or release must hold.")
@as_json
def saes(model: str | None, search: str, as_json: bool) -> None:
    """List the sparse autoencoders, of one model or of all."""
    from .plugins import catalogue, listing

    found = catalogue(load_config())
    models = [found.model(model).id] if model else list(found.models)
    rows = [listing(spec) for name in models for spec in found.saes_of(name, search)]
    columns = {"id": "Id", "hook": "Hook point", "width": "Features", "size_bytes": "Size", "installed": "Installed"}
    if not rows and model and not as_json and not search:
        raise NotFound(f"No SAE of {model} is known.", found.model(model).about)
    listed(rows, columns | {"refused": ""}, as_json)


@commands.command()
@click.argument("model")
@click.argument("saes", nargs=-1, metavar="[SAE]...")
@as_json
def download(model: str, saes: tuple[str, ...], as_json: bool) -> None:
    """Fetch the weights of a model and of SAEs: of the model's first one, when none is named."""
    from . import hub
    from .plugins import catalogue, installed, on_hub

    config = load_config()
    spec, sae_specs = catalogue(config).choose(model, saes)
    for sae in sae_specs:
        if sae.refused:
            raise WeightsError(f"SAE {sae.id} cannot be used: {sae.refused}.", "Choose another SAE.")
    stop = threading.Event()
    entries: list[Spec] = [spec, *sae_specs]
    with interrupted(stop.set), bars(as_json) as bar:
        for entry in entries:
            if (files := on_hub(entry)) and not installed(entry):
                hub.fetch(files, config.offline, bar(entry.id), stop.is_set)
            if as_json:
                print_json({"kind": "installed", "id": entry.id, "weights": str(files or entry.weights)})
            else:
                print(f"{entry.id}: {'in the cache, ' + str(hub.cache()) if files else entry.weights}")


@commands.command()
@click.option("--model", help="Id of the model, see `axon-shell models`.")
@click.option("--sae", "saes", multiple=True, help="Id of an SAE, see `axon-shell saes`; may be given several times.")
@click.option("--context", "contexts", type=click.IntRange(1), multiple=True, help="Tokens before the one written.")
@click.option("--device", type=click.Choice(CHOICES["device"]), help="Where the model runs.")
@click.option("--dtype", type=click.Choice(CHOICES["dtype"]), help="Number format of the model's weights.")
@as_json
def bench(
    model: str | None,
    saes: tuple[str, ...],
    contexts: tuple[int, ...],
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Measure tokens a second, against the naive loop and against what memory allows, in one run."""
    from .plugins import catalogue, require_installed

    config = load_config()
    spec, sae_specs = catalogue(config).choose(model or config.model, saes or (config.saes if not model else ()))
    require_installed(spec, sae_specs)
    with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
        from .engine import bench as measuring
        from .engine.model import choose_device, load_model, number_type
        from .engine.sae import load_sae

        where, kind = choose_device(device or config.device), number_type(dtype or config.dtype)
        loaded = load_model(spec, where, status.update, kind)
        loaded_saes = [load_sae(sae, loaded, status.update) for sae in sae_specs]
        start = {
            "kind": "start",
            "model": spec.id,
            "saes": [sae.id for sae in sae_specs],
            "device": str(where),
            "machine": measuring.machine(),
            "tokens_per_second": measuring.tokens_per_second(loaded, loaded_saes),
            "peak_memory": measuring.peak_memory(),
        }
        show = print_json if as_json else BenchPrinter()
        show(start)
        for speed in measuring.measure(loaded, loaded_saes, contexts or BENCH_CONTEXTS, status.update):
            show(speed.as_record())


@commands.group("sessions")
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
    from .labels import Labels
    from .plugins import catalogue
    from .session import replay

    labels = Labels(catalogue(load_config()).label_sources)
    tell = print_json if as_json else Printer()
    with opened_store() as store:
        for message in replay(store.summary(session).uid, store, labels):
            tell(message)


@commands.command()
@as_json
def doctor(as_json: bool) -> int:
    """Say what is installed, what is missing and what to do about it."""
    from .doctor import checks

    found = checks()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found]))
    else:
        console = Console()
        for check in found:
            mark = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]--[/]"}[check.ok]
            console.print(f"{mark}  [bold]{escape(check.name)}[/]: {escape(check.found)}")
            if check.hint and not check.ok:
                console.print(f"      {escape(check.hint)}", style="dim")
    return 1 if any(check.ok is False for check in found) else 0


# -- what the commands share --------------------------------------------------


@contextmanager
def bars(as_json: bool) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Progress of downloads: a bar on stderr for each, or lines of JSON."""
    if as_json:
        yield (
            lambda name: lambda done, total: print_json({"kind": "progress", "id": name, "done": done, "total": total})
        )
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:

        def bar(name: str) -> Callable[[int, int], None]:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar


@contextmanager
def opened_store() -> Iterator[Store]:
    """The user's sessions; its problems are told on stderr."""
    from .store import Store

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
        from .plugins import readable_size

        return readable_size(value) if value else "?"
    if name == "width":
        return f"{value:,}" if value else "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def print_json(message: Message) -> None:
    """A message as one line of JSON, at once."""
    print(json.dumps(message, ensure_ascii=False, allow_nan=False).translate(LINE_ENDS), flush=True)


class BenchPrinter:
    """Shows measurements to a person, one line for each context length."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def __call__(self, record: Message) -> None:
        {"start": self.start, "speed": self.speed}[record["kind"]](record)

    def start(self, record: Message) -> None:
        print_ = self.console.print
        print_(f"{record['model']} with {', '.join(record['saes']) or 'no SAE'} on {record['device']}")
        print_(f"[dim]{escape(record['machine'])}[/]")
        print_(
            f"{record['tokens_per_second']:.1f} tokens a second by the clock, "
            f"{record['peak_memory'] / 1e9:.2f} GB of memory at most\n"
        )
        print_("Processor time on one thread, medians of steps that took turns:", style="dim")
        print_(
            f"{'context':>7}  {'ms a token':>10}  {'naive loop':>10}  {'gain':>6}  {'floor':>6}  {'over floor':>10}  "
            "blocks / unembedding / SAE / rest    prompt (of it pass and encode)",
            style="bold",
        )

    def speed(self, record: Message) -> None:
        shares = " / ".join(f"{share:.0%}" for share in record["shares"].values())
        self.console.print(
            f"{record['context']:>7}  {record['ours']:>10.1f}  {record['naive']:>10.1f}  {record['gain']:>5.1f}x  "
            f"{record['floor']:>6.1f}  {record['over_floor']:>9.2f}x  {shares:<36} "
            f"{record['prompt']:,.0f} ms ({record['pass_and_encode'] / record['prompt']:.0%})"
        )


class Printer:
    """Shows messages to a person: one line per token with the features that fired most, then the whole text."""

    FEATURES = 3

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.prompt = self.output = ""

    def __call__(self, message: Message) -> None:
        {"start": self.start, "step": self.step, "end": self.end}[message["kind"]](message)

    def start(self, message: Message) -> None:
        self.console.print(f"[dim]session {message['session']}  {message['model']}  {', '.join(message['saes'])}[/]")

    def step(self, message: Message) -> None:
        if message.get("is_bos"):
            return
        if message["is_prompt"]:
            self.prompt += message["text"]
        else:
            self.output += message["text"]
        line = Text(f"{message['position']:>4} ", style="dim")
        line.append(f"{message['piece']!r:<14}", style="cyan" if message["is_prompt"] else "bold yellow")
        for reading in message["saes"].values():
            line.append(f" {reading['unexplained']:>4.0%} unexplained ", style="dim")
            for active in reading["features"][: self.FEATURES]:
                line.append(f" {active['label'] or 'feature ' + str(active['feature'])}", style="default")
                line.append(f" {active['activation']:.1f}", style="dim")
        self.console.print(line, soft_wrap=True)

    def end(self, message: Message) -> None:
        self.console.print(Text.assemble((self.prompt, "cyan"), (self.output, "bold yellow")))
        speed = f", {1000 / message['ms_per_token']:.0f} tokens a second" if message["ms_per_token"] else ""
        self.console.print(f"[dim]{message['reason']}: {message['new_tokens']} new tokens{speed}[/]")
