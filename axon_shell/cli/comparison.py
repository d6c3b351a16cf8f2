"""Two sessions side by side, for a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ..records import Message
from .shared import listed

MOVED = 0.005  # probability that must have gone elsewhere for a position to be listed
POSITIONS = 12


def tell_comparison(found: Message, limit: int) -> None:
    """Both texts, how predictions and features differ; `limit` features are listed."""
    console = Console(highlight=False)
    for which in ("a", "b"):
        row = found[which]
        console.print(Text.assemble((row["prompt"], "cyan"), (row["output"], "bold yellow")), soft_wrap=True)
    print(f"{found['aligned']} tokens match of {found['tokens_a']} and {found['tokens_b']}.")
    tell_predictions(found["predictions"])
    print(f"Features in both: {found['both']}, in the first only: {found['only_a']}, in the second: {found['only_b']}.")
    rows = [row | {"label": row["label"] or ""} for row in found["features"][:limit]]
    names = {"feature": "Feature", "label": "Label", "where": "In", "mean_a": "Mean 1", "mean_b": "Mean 2"}
    listed([numbers(row) for row in rows], names | {"max_a": "Max 1", "max_b": "Max 2", "aligned": "Aligned"}, False)


def tell_predictions(predictions: list[Message]) -> None:
    """Where two sessions predicted different tokens, up to where they part."""
    if not predictions:
        return
    last = predictions[-1]
    if last["next_a"] and last["next_b"] and last["next_a"] != last["next_b"]:
        texts = [repr(last[name]["text"]) for name in ("next_a", "next_b")]
        print(f"They part after position {last['position']}, {last['piece']!r}: {' and '.join(texts)}.")
    moved = [one for one in predictions if one["moved"] >= MOVED][-POSITIONS:]
    if not moved:
        print("Their predictions are the same.")
        return
    columns = {"position": "Position", "piece": "Token", "moved": "Moved", "first": "First", "second": "Second"}
    listed([predicted(one) for one in moved], columns, False)


def predicted(one: Message) -> dict[str, Any]:
    """One position as a row: a next token of each side with its probability in both.

    It is the most probable one, and where the two part the one that was written.
    """
    row = {"position": one["position"], "piece": repr(one["piece"]), "moved": f"{one['moved']:.0%}"}
    parted = one["next_a"] != one["next_b"]
    for name, side in (("first", "a"), ("second", "b")):
        best = max(one["tokens"], key=lambda token: token[side] or 0.0)
        written = one[f"next_{side}"] if parted else None
        best = next((token for token in one["tokens"] if written and token["token_id"] == written["token_id"]), best)
        row[name] = f"{best['text']!r} {chance(best['a'])} -> {chance(best['b'])}"
    return row


def chance(value: float | None) -> str:
    """A probability; a token that is not among the most probable ones has none that is known."""
    return "?" if value is None else f"{value:.1%}"


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its numbers as people read them."""
    return {name: f"{value:.2f}" if isinstance(value, float) else value for name, value in row.items()}
