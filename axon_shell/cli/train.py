"""`axon-shell train-sae`: an SAE for a place in a model, from text of the user's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from .. import homes
from ..config import load_config
from ..errors import TrainingError
from ..labels import LabelStore
from ..records import Message
from ..training import ARCHITECTURES, TrainingSettings, name_for, require_free, require_name, unfinished
from .shared import as_json, device_option, dtype_option, interrupted, print_json


@click.command("train-sae")
@click.argument("model")
@click.argument("hook")
@click.option("--corpus", type=click.Path(path_type=Path), help="A .txt, .md or .jsonl file, or a folder of them.")
@click.option("--width", type=int, help="Features; left out: eight for each entry of the vectors.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), help="Left out: batchtopk.")
@click.option("--l0", "--k", "l0", type=int, help="Features that are to fire at a token.")
@click.option("--tokens", type=int, help="Tokens to train on.")
@click.option("--lr", type=float, help="Learning rate; left out: by width.")
@click.option("--seed", type=int, help="The same seed gives the same SAE.")
@click.option("--name", help="What the SAE is called; left out: by its place and architecture.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of a training that was stopped.")
@click.option("--force", is_flag=True, help="Begin anew, in place of an SAE or a checkpoint of this name.")
@click.option("--checkpoint-every", type=click.FloatRange(min=0), default=60.0, help="Seconds between checkpoints.")
@device_option
@dtype_option
@as_json
def train_sae(
    model: str,
    hook: str,
    corpus: Path | None,
    name: str | None,
    resume: bool,
    force: bool,
    checkpoint_every: float,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a sparse autoencoder on what passes HOOK while a model reads text, and put it into the catalogue."""
    from ..plugins import catalogue, require_installed

    config = load_config()
    spec = catalogue(config).model(model)
    require_installed(spec, [])
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = TrainingSettings(**chosen)
    name = name or name_for(hook, settings)
    require_name(name)
    require_free(model, name, resume, force)
    stop = threading.Event()
    with interrupted(stop.set):
        with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
            from ..engine.model import choose_device, load_model, number_type
            from ..engine.train import saved, train
            from ..pieces import pieces_of

            if resume:
                before = saved(unfinished(model, name))
                require_same(chosen, before["settings"])
                settings, corpus = TrainingSettings(**before["settings"]), corpus or Path(before["path"])
            if corpus is None:
                raise click.UsageError("Missing option '--corpus'.")
            text = pieces_of(corpus, status.update)
            kind = number_type(dtype or config.dtype)
            loaded = load_model(spec, choose_device(device or config.device), status.update, kind)
        messages = made(train(loaded, hook, name, text, settings, stop.is_set, resume, checkpoint_every))
        if as_json:
            for message in messages:
                print_json(message)
        else:
            show(messages)


def made(messages: Iterator[Message]) -> Iterator[Message]:
    """Messages of a training; at its end nothing is known any longer of an SAE that had the name before."""
    for message in messages:
        if message["kind"] == "end":
            labels = LabelStore(homes.data())
            labels.forget_computed(message["sae"])
            labels.close()
        yield message


def require_same(chosen: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise TrainingError where a training was begun with other settings than those that are named now."""
    for key, value in chosen.items():
        if value != before[key]:
            raise TrainingError(
                f"This training was begun with {key} = {before[key]}, not {value}.", "Leave it out to go on."
            )


# -- what is shown ------------------------------------------------------------


def show(messages: Iterator[Message]) -> None:
    """Show a training to a person: what it begins with, a bar on stderr while it goes on, and what came of it."""
    console, first = Console(highlight=False, soft_wrap=True), next(messages)
    tell_start(console, first)
    last = first
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=first["settings"]["tokens"], completed=first["resumed_at"])
        for last in messages:
            if last["kind"] == "progress":
                progress.update(task, completed=last["tokens"], description=state_of(last))
            else:
                progress.update(task, description="measuring" if last["kind"] == "measuring" else "")
    tell_end(console, last)


def tell_start(console: Console, start: Message) -> None:
    """What is about to be trained."""
    settings = start["settings"]
    console.print(
        f"{start['sae']}: {settings['architecture']}, {settings['width']:,} features, L0 {settings['l0']}, "
        f"at {start['hook']} of {start['model']} on {start['device']}"
    )
    for problem in start["skipped"]:
        console.print(Text(f"{problem['name']}: {problem['message']}", style="yellow"))
    for note in start["notes"]:
        console.print(Text(note, style="yellow"))
    if start["resumed_at"]:
        console.print(f"Going on after {start['resumed_at']:,} tokens.")


def state_of(step: Message) -> str:
    """How a training stands, in one line."""
    left = timedelta(seconds=round(step["seconds_left"]))
    return (
        f"loss {step['loss']:.2f}, L0 {step['l0']:.1f}, {step['unexplained']:.1%} unexplained, {step['dead']:,} dead, "
        f"{step['tokens_per_second']:,.0f} tokens/s, {left} left"
    )


def tell_end(console: Console, end: Message) -> None:
    """How a training ended."""
    if end["kind"] == "stopped":
        console.print(f"Stopped after {end['tokens']:,} tokens. The same command with --resume goes on from there.")
        return
    found, speed = end["quality"], end["speed"]
    console.print(
        f"{end['tokens']:,} tokens in {timedelta(seconds=round(speed['seconds']))}. "
        f"On {found['words']:,} tokens that it was not trained on:"
    )
    console.print(
        f"{found['unexplained']:.1%} unexplained (FVU {found['fvu']:.1%}), L0 {found['l0']:.1f}, "
        f"{found['dead']:.1%} of the features dead, "
        f"loss {found['loss']:.3f} -> {found['loss_with']:.3f} nats ({found['recovered']:.1%} recovered)"
    )
    console.print(f"{end['sae']} is in the catalogue, and in {end['folder']}")
    console.print(f"[dim]axon-shell run PROMPT --model {end['sae'].split('/')[0]} --sae {end['sae']}[/]")
    console.print(f"[dim]axon-shell calibrate {end['sae']} --corpus TEXT   gives its features labels[/]")
