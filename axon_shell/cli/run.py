"""`axon-shell run`: a session in the terminal."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from ..config import CHOICES, load_config
from ..errors import StoreError
from ..records import Message, Settings, require_prompt
from .comparison import tell_comparison
from .shared import (
    annotating,
    as_json,
    begin_with,
    complain,
    device_option,
    dtype_option,
    interrupted,
    model_option,
    opened_store,
    print_json,
    saes_option,
)

if TYPE_CHECKING:
    from ..engine.model import Model
    from ..engine.sae import Sae
    from ..labels import Labels

FEATURES = 10  # that are listed of a comparison
NAMING, AT_ONCE = 5.0, 64  # seconds for naming features by their tokens, and features at a time


@click.command()
@click.argument("prompt")
@click.option(
    "--after", metavar="SESSION:POSITION", help="Go on from a token of a past session; PROMPT is added to it."
)
@model_option
@saes_option
@click.option("--max-tokens", type=int, help="New tokens, 0 = only read the prompt.")
@click.option("--temperature", type=float, help="0 = always the most probable token.")
@click.option("--top-k", type=int, help="Sample among the k most probable tokens, 0 = all.")
@click.option("--top-p", type=float, help="... and among the fewest whose probabilities add up to p.")
@click.option("--repetition-penalty", type=float, help="Divides the logit of each token seen already.")
@click.option("--seed", type=int, help="The same seed gives the same session; left out: a new one.")
@click.option("--top-features", type=int, help="Features kept per position and SAE.")
@click.option(
    "--edit",
    "edits",
    metavar="SAE:FEATURE:WHAT",
    multiple=True,
    help="Steer: add=X, set=X or ablate; 2x is twice the feature's maximum. May be given several times.",
)
@click.option(
    "--from", "start", type=click.IntRange(0), metavar="POSITION", help="Steer from here on; left out: all, or --after."
)
@click.option("--compare", is_flag=True, help="Run without the edits first, and show how the two differ.")
@click.option("--vectors", type=click.Choice(CHOICES["vectors"]), help="Store the vectors that SAEs read too.")
@device_option
@dtype_option
@as_json
def run(
    prompt: str,
    after: str | None,
    model: str | None,
    saes: tuple[str, ...],
    edits: tuple[str, ...],
    start: int | None,
    compare: bool,
    vectors: str | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Generate a session in the terminal and store it."""
    from .. import session
    from ..plugins import catalogue, require_installed
    from ..sessions import compared
    from ..steering import edit_of, known_maximum
    from ..store import new_uid

    if not edits and (compare or start is not None):
        raise click.UsageError("Nothing to steer: give --edit.")
    config, parent = load_config(), None
    if after:
        prompt, parent, model, saes = from_past(after, prompt, model, saes)
    require_prompt(prompt)
    given = {name: value for name, value in given.items() if value is not None}
    settings: Settings = replace(config.settings, **({"seed": random.randrange(2**32)} | given))
    found = catalogue(config)
    spec, sae_specs = found.choose(*begin_with(config, model, saes))
    require_installed(spec, sae_specs)
    stop = threading.Event()
    with opened_store() as store, annotating(config, found, store) as annotate, interrupted(stop.set):
        first = start if start is not None else parent["position"] if parent else 0
        steering = [edit_of(text, first, known_maximum(annotate.labels, store)) for text in edits]
        store.get_ready()
        with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
            from ..engine.model import choose_device, load_model, number_type
            from ..engine.sae import load_sae

            kind = number_type(dtype or config.dtype)
            loaded = load_model(spec, choose_device(device or config.device), status.update, kind)
            loaded_saes = [load_sae(sae, loaded, status.update) for sae in sae_specs]
        reason, done = "error", list[list[Message]]()
        for edited in ([], steering) if compare else (steering,):
            if done:  # the second shares the prompt of the first
                last = max(one["position"] for one in done[0] if one.get("is_prompt"))
                parent = {"session": done[0][0]["session"], "position": last}
            show = print_json if as_json else Printer()
            messages: list[Message] = []
            done.append(messages)
            stream = session.run(
                *(new_uid(), prompt, loaded, loaded_saes, settings, annotate, store, stop.is_set),
                parent=parent,
                vectors=vectors or config.sessions.vectors,
                edits=edited,
            )
            for message in stream:
                show(message)
                messages.append(message)
            reason = message["reason"]
            if reason == "error":
                complain(message["error"]["message"], message["error"]["hint"])
            if reason in ("error", "stopped"):
                break
        try:
            store.flush()
            store.keep_within(config.sessions.most, config.sessions.most_mb * 1_000_000)
        except StoreError as error:
            reason = "error"
            if not store.problem:  # else it was told at the beginning
                complain(error.message, error.hint)
        for messages in done:
            name_by_tokens(loaded, loaded_saes, messages, annotate.labels, stop.is_set)
        if len(done) == 2:
            comparison = compared(store, annotate.labels, *(messages[0]["session"] for messages in done))
            print_json({"kind": "comparison"} | comparison) if as_json else tell_comparison(comparison, FEATURES)
        if not as_json:
            for sae in sae_specs:
                if not annotate.labels.about_set(sae.id)["labels"] and annotate.labels.place_of(sae.id):
                    hint = f"`axon-shell labels download {sae.id}` gets what its features are called."
                    print(f"No labels of {sae.id} are here yet: {hint}", file=sys.stderr)
    return 1 if reason == "error" else 0


def from_past(
    after: str, prompt: str, model: str | None, saes: tuple[str, ...]
) -> tuple[str, Message, str, tuple[str, ...]]:
    """Prompt, parent, model and SAEs of a session that goes on from a past one: its own where none are named."""
    from ..sessions import up_to

    name, _, position = after.rpartition(":")
    if not name or not position.isdigit():
        raise click.UsageError(f"{after!r} is no place in a session: write SESSION:POSITION.")
    with opened_store() as store:
        before, parent = up_to(store, name, int(position))
        past = store.summary(name)
    same = model is None or model == past.model
    return before + prompt, parent, model or past.model, saes or (past.saes if same else ())


def name_by_tokens(
    model: Model, saes: Sequence[Sae], messages: Sequence[Message], labels: Labels, stopped: Callable[[], bool]
) -> None:
    """Find the tokens promoted by features that nobody has described; not all of them where that takes long."""
    from ..session import Promoter, undescribed

    until, promoter = time.monotonic() + NAMING, None
    found = undescribed(messages, labels)
    for sae in saes:
        features = found.get(sae.spec.id, [])
        while features and not stopped() and time.monotonic() < until:
            promoter = promoter or Promoter(model)
            promoter.name(sae, features[:AT_ONCE], labels)
            features = features[AT_ONCE:]


def edit_text(edit: Message) -> str:
    """An edit as it is written in the terminal."""
    what = edit["kind"] if edit["kind"] == "ablate" else f"{edit['kind']}={edit['value']:g}"
    return f"{edit['sae']}:{edit['feature']}:{what} from position {edit['start']}"


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
        for edit in message.get("edits", ()):
            self.console.print(Text(edit_text(edit), style="magenta"), soft_wrap=True)
        for note in message.get("notes", ()):  # what to know before believing the numbers
            self.console.print(Text(note, style="yellow"), soft_wrap=True)

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
                automatic = active["label_state"] != "labelled"  # then its label, if any, describes nothing
                name = f" {active['label'] or 'feature ' + str(active['feature'])}"
                line.append(name, style="italic dim" if automatic else "default")
                line.append(f" {active['activation']:.1f}", style="dim")
        self.console.print(line, soft_wrap=True)

    def end(self, message: Message) -> None:
        self.console.print(Text.assemble((self.prompt, "cyan"), (self.output, "bold yellow")))
        speed = f", {1000 / message['ms_per_token']:.0f} tokens a second" if message["ms_per_token"] else ""
        self.console.print(f"[dim]{message['reason']}: {message['new_tokens']} new tokens{speed}[/]")
        for note in message.get("notes", ()):
            self.console.print(Text(note, style="yellow"), soft_wrap=True)
