"""`axon-shell why`: what each feature at a position of a past session does to a next token."""

from __future__ import annotations

import math
import threading
from typing import Any

import click
from rich.console import Console

from ..config import load_config
from ..errors import Cancelled, NotFound
from ..records import Message
from .shared import as_json, device_option, dtype_option, interrupted, labelling, listed, opened_store, print_json

COLUMNS = {"feature": "Feature", "label": "Label", "activation": "Activation", "direct": "Direct"}
COLUMNS |= {"gradient": "Gradient", "logit": "Ablated: logit", "probability": "probability", "instead": "best then"}
PARTS = {
    "features": "all active features",
    "constant": "the SAE's bias",
    "unexplained": "what the SAE does not explain",
    "rest": "the rest of the residual stream",
    "bias": "biases of the end",
    "logit": "the logit",
    "whole": "the whole vector",
}

WITHOUT = {"top": "these together", "features": PARTS["features"], "unexplained": PARTS["unexplained"]}
SHOWN = 10  # features of each SAE where none were ablated


@click.command()
@click.argument("session")
@click.argument("position", type=int)
@click.option("--token", metavar="TEXT", help="Ask about this next token; left out: the one that followed.")
@click.option("--sae", "saes", multiple=True, help="Id of an SAE to ask with; left out: those of the session.")
@click.option("--top", type=int, help="Features of each SAE that are ablated; 10 unless said otherwise, 0 = none.")
@device_option
@dtype_option
@as_json
def why(
    session: str,
    position: int,
    token: str | None,
    saes: tuple[str, ...],
    top: int | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Explain a next token: what each feature at a position of a past session does to it."""
    from ..plugins import catalogue, require_installed
    from ..why import TOP, answer, question_of

    config = load_config()
    found = catalogue(config)
    stop = threading.Event()
    with opened_store() as store, labelling(config, found, store) as labels, interrupted(stop.set):
        question = question_of(store, session, position, saes, TOP if top is None else top)
        if not question.saes:
            raise NotFound("No SAE has read this session.", "Name one with --sae.")
        spec, sae_specs = found.choose(question.model, question.saes)
        require_installed(spec, sae_specs)
        with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
            from ..engine.model import choose_device, load_model, number_type
            from ..engine.sae import load_sae

            def told(done: int, total: int) -> None:
                if stop.is_set():
                    raise Cancelled("Stopped before it was answered.", "Run it again, or with --top 0.")
                status.update(f"Ablating: {done} of {total}")

            kind = number_type(dtype or config.dtype)
            model = load_model(spec, choose_device(device or config.device), status.update, kind)
            loaded = [load_sae(sae, model, status.update) for sae in sae_specs]
            result = answer(question, model, loaded, labels, token, told)
    print_json(result) if as_json else tell(result)


def tell(found: Message) -> None:
    """The answer for a person."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    which = "which followed" if found["followed"] else "which did not follow"
    console.print(f"At {found['piece']!r}, position {found['position']}: {found['token']['text']!r}, {which}")
    console.print(f"probability {math.exp(found['logprob']):.2%}, rank {found['rank']}, logit {found['logit']:.2f}")
    for note in found["notes"]:
        console.print(note, style="yellow")
    for name, one in found["saes"].items():
        shown = [row for row in one["features"] if row["ablation"]] or one["features"][:SHOWN]
        console.print(f"\n{name} at {one['hook']}: {one['l0']} features, {one['unexplained']:.0%} unexplained")
        listed([row_of(row) for row in shown], COLUMNS, False)
        for way in ("direct", "gradient"):
            if one[way]:
                *parts, (last, whole) = one[way].items()
                terms = " + ".join(f"{value:.2f} ({PARTS[part]})" for part, value in parts)
                console.print(f"{way}: {terms} = {whole:.2f} ({PARTS[last]})".replace("+ -", "- "))
        for part, what in WITHOUT.items() if one["ablation"] else ():
            row = ablated(one["ablation"][part])
            console.print(f"without {what}: logit {row['logit']}, probability {row['probability']}, {row['instead']}")


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """A feature as a row."""
    return {
        "feature": row["feature"],
        "label": row["label"] or "",
        "activation": f"{row['activation']:.2f}",
        "direct": "" if row["direct"] is None else f"{row['direct']:+.2f}",
        "gradient": f"{row['gradient']:+.2f}",
        **ablated(row["ablation"]),
    }


def ablated(one: dict[str, Any] | None) -> dict[str, str]:
    """What the token loses without something, as a change."""
    if one is None:
        return {"logit": "", "probability": "", "instead": ""}
    instead = one["instead"]
    return {
        "logit": f"{-one['logit']:+.2f}",
        "probability": f"{-one['probability']:+.2%}",
        "instead": f"{instead['text']!r} {instead['probability']:.1%}",
    }
