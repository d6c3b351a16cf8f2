"""`axon-shell calibrate`: what the features of an SAE do on a corpus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from rich.console import Console

from ..calibration import TOKENS
from ..config import load_config
from ..corpus import Corpus
from ..errors import Cancelled
from ..records import Message
from .shared import as_json, complain, device_option, dtype_option, interrupted, labelling, print_json


@click.command()
@click.argument("sae")
@click.option("--corpus", "path", required=True, metavar="FILE|FOLDER", type=click.Path(path_type=Path), help="Texts.")
@click.option("--tokens", type=click.IntRange(1), default=TOKENS, show_default=True, help="Read no more than these.")
@click.option("--resume", is_flag=True, help="Go on with a calibration that was interrupted.")
@device_option
@dtype_option
@as_json
def calibrate(
    sae: str, path: Path, tokens: int, resume: bool, device: str | None, dtype: str | None, as_json: bool
) -> None:
    """Measure on texts how often features fire, on what, with which others, and name them by it."""
    from ..plugins import catalogue, require_installed

    config = load_config()
    corpus = Corpus(path)
    found = catalogue(config)
    spec, (sae_spec,) = found.choose(found.sae(sae).model, [sae])
    require_installed(spec, [sae_spec])
    stop = threading.Event()
    with labelling(config, found) as labels, interrupted(stop.set):
        with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
            from ..calibrating import calibrate as calibrating
            from ..engine.model import choose_device, load_model, number_type
            from ..engine.sae import load_sae

            where, kind = choose_device(device or config.device), number_type(dtype or config.dtype)
            model = load_model(spec, where, status.update, kind)
            loaded = load_sae(sae_spec, model, status.update)
        last: Message = {}
        with closing(calibrating(model, loaded, corpus, labels, tokens, resume)) as messages, shown(as_json) as show:
            for message in messages:
                last = message
                show(message)
                if stop.is_set() and message["state"] != "done":
                    break
    for problem in corpus.skipped:
        complain(f"{problem.name}: {problem.message}", problem.hint)
    if last["state"] != "done":
        raise Cancelled(f"Stopped after {last['tokens']:,} tokens, which are kept.", "--resume goes on from there.")
    if not as_json:
        summary(last)


@contextmanager
def shown(as_json: bool) -> Iterator[Callable[[Message], None]]:
    """Progress: a bar on stderr, or lines of JSON."""
    if as_json:
        yield print_json
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Reading", total=None, told="")

        def show(message: Message) -> None:
            speed = message["tokens_per_second"]
            told = f"{message['tokens']:,} tokens" + (f", {speed:,.0f} a second" if speed else "")
            if message["state"] == "reading":
                progress.update(task, total=message["of"], completed=message["tokens"], told=told)
            else:
                progress.update(task, description="Looking at what was counted", total=None, told=told)

        yield show


def summary(message: Message) -> None:
    """What a calibration has found, in a few lines."""
    found = message["calibration"]
    print(f"{found['sae']}: {message['features']:,} features fire in {found['tokens']:,} tokens of {found['corpus']}")
    if found["score"] is not None:
        print(
            f"labels by tokens: balanced accuracy {found['score']:.2f} on {found['held_out']:,} held-out tokens; "
            f"labels of other features: {found['chance']:.2f}"
        )
    print(f"{found['pairs']:,} pairs fire together beyond chance; about {found['pairs_by_chance']:,} would by chance")
    share = f"{found['bare_share']:.0%} of the time in the model and the SAE"
    print(f"{found['tokens_per_second']:,.0f} tokens a second, {share}")
