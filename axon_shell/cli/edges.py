"""`axon-shell edges`: what joins the features of a past session, each edge with its evidence."""

from __future__ import annotations

from typing import Any

import click

from ..config import read_config
from ..graph import BY_FIRING, KINDS, Kind
from .shared import as_json, labelling, listed, opened_store, print_json

# What stands in the table beside the two ends.
EVIDENCE: dict[Kind, dict[str, str]] = {
    "association": {"count": "Together", "lift": "Lift", "phi": "Phi", "q": "q", "same_token": "Same words"},
    "co-activation": {"count": "Together", "lift": "Lift"},
    "similarity": {"cosine": "Cosine"},
    "attribution": {"effect": "Effect", "count": "Times"},
}


@click.command("edges")
@click.argument("session")
@click.option("--sae", metavar="ID", help="Whose features; left out: the session's first SAE.")
@click.option(
    "--kind", type=click.Choice(list(KINDS)), default="association", show_default=True, help="What an edge means."
)
@click.option("--chance", is_flag=True, help="What chance would draw: the same features, shifted.")
@click.option("--always", is_flag=True, help="Features that always fire have edges too.")
@click.option("--per-node", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Edges of each node.")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="Rows of the table.")
@as_json
def edges(
    session: str,
    sae: str | None,
    kind: Kind,
    chance: bool,
    always: bool,
    per_node: int,
    limit: int,
    as_json: bool,
) -> None:
    """Tell the edges between the features of a past session, the strongest first."""
    if chance and kind not in BY_FIRING:
        raise click.UsageError(f"Chance draws no {kind}: --chance is for {' and '.join(BY_FIRING)}.")
    from ..drawing import edges_of
    from ..plugins import catalogue

    config = read_config().config
    found = catalogue(config)
    with opened_store() as store, labelling(config, found, store) as labels:
        told = edges_of(store, labels, found, session, sae, kind, chance, always, per_node)
    if as_json:
        print_json(told)
        return
    names = {node["feature"]: named(node) for node in told["nodes"]}
    names |= {token["key"]: repr(token["text"]) for token in told["tokens"]}
    rows = [{"one": names[edge["a"]], "other": names[edge["b"]]} | written(edge) for edge in told["edges"][:limit]]
    if rows:
        columns = {"one": "Feature", "other": "Token" if kind == "attribution" else "Feature "}
        listed(rows, columns | {name: title for name, title in EVIDENCE[kind].items() if name in rows[0]}, False)
    print("\n".join(summary(told)))


def named(node: dict[str, Any]) -> str:
    """A feature with its label, and those that it stands for."""
    folded = f" (and {', '.join(map(str, node['folded']))})" if node["folded"] else ""
    return f"{node['feature']}{folded} {node['label'] or ''}".rstrip()


def written(edge: dict[str, Any]) -> dict[str, Any]:
    """The evidence for an edge as a person reads it."""
    digits = {"lift": ".1f", "phi": ".2f", "q": ".2g", "cosine": ".2f", "effect": "+.2f"}
    found = {name: format(edge[name], form) for name, form in digits.items() if name in edge}
    return found | {name: edge[name] for name in ("count", "same_token") if name in edge}


def summary(told: dict[str, Any]) -> list[str]:
    """What was drawn, how much of it chance would give, and what it means."""
    drawn, total, expected = len(told["edges"]), told["edges_total"], told["expected"]
    if told["why"]:
        return [told["why"]]
    what = f"{drawn:,} edges drawn" + (f" of {total:,}" if total > drawn else "")
    what += " from shifted features" if told["chance"] else ""
    if expected is not None:
        most = "at most about" if told["by"] == "association" else "about"
        what += f"; {most} {expected:,.{0 if expected >= 10 else 1}f} expected by chance"
    lines = [f"{what}. {told['by'].capitalize()}: {told['meaning']}."]
    always = [node for node in told["nodes"] if node["always"]]
    if always:
        lines.append(f"{len(always)} features fire nearly always, and are left out unless --always is given.")
    if told["truncated"] > 0.01 and told["by"] in BY_FIRING:
        share = f"At {100 * told['truncated']:.0f} % of {told['positions']} tokens"
        lines.append(f"{share} more features fired than are stored: --top-features of `run` keeps more.")
    return lines
