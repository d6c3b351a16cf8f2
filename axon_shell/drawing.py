"""A graph as the page and the terminal get it: one JSON object, its features called what they are called now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .decoder import decoder_rows
from .errors import InvalidSetting
from .graph import KINDS, LEVEL, BaseRates, Corpus, Directions, Graph, Kind, Known, fired_of, graph
from .labels import Labels, as_fields
from .plugins import Catalogue
from .records import Message, plain
from .store import Store

SEED = 0  # of what chance would draw


def graph_message(drawn: Graph, labels: Labels, sae: str) -> Message:
    """A graph as one JSON object. A field of an edge that its kind does not have is left out."""
    features = [node.feature for node in sorted(drawn.nodes, key=lambda node: -node.last)]
    named = labels.of(sae, features, visible=True)  # what fires at the cursor is asked first
    return {
        "by": drawn.kind,
        "meaning": KINDS[drawn.kind],
        "nodes": [plain(node) | as_fields(*named[node.feature]) for node in drawn.nodes],
        "tokens": [plain(token) for token in drawn.tokens],
        "edges": [told(plain(edge)) for edge in drawn.edges],
        "nodes_total": drawn.nodes_total,
        "edges_total": drawn.edges_total,
        "expected": drawn.expected,
        "level": LEVEL if drawn.kind == "association" else None,
        "positions": drawn.positions,
        "truncated": drawn.truncated,
        "against": drawn.against,
        "why": drawn.why,
    }


def elsewhere(labels: Labels, sae: str, features: Iterable[int]) -> tuple[BaseRates | None, Corpus | None]:
    """What a calibration says of features: how often each fires, and which fire together; None where there is none."""
    features = sorted(features)
    rates = labels.base_rates(sae, features)
    if rates is None:
        return None, None
    together = labels.cofiring(sae, features)
    return BaseRates(*rates), {pair: Known(one.lift, one.q) for pair, one in together.items()}


def told(record: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in record.items() if value is not None}


def edges_of(
    store: Store, labels: Labels, catalogue: Catalogue, session: str, sae: str | None, kind: Kind, chance: bool,
    always: bool, edges_per_node: int,
) -> Message:  # fmt: skip
    """All of a stored session's graph as one JSON object, the strongest edges first.

    Raises NotFound where there is no such session, InvalidSetting where that SAE did not read it.
    """
    summary = store.summary(session)
    if not summary.saes or (sae and sae not in summary.saes):
        message = f"Session {summary.uid} was not read by {sae or 'any SAE'}."
        raise InvalidSetting(message, f"It was read by {', '.join(summary.saes) or 'none'}.")
    chosen = sae or summary.saes[0]
    spec = catalogue.saes.get(chosen)

    def directions(features: Sequence[int]) -> Any:
        return decoder_rows(spec, features) if spec else None

    known: Directions = directions
    fired = fired_of(store.messages(summary.uid), chosen)
    rates, corpus = elsewhere(labels, chosen, set(fired.feature.tolist())) if kind == "association" else (None, None)
    drawn = graph(
        *(fired, kind, edges_per_node),
        chance=SEED if chance else None,
        always=always,
        directions=known,
        rates=rates,
        corpus=corpus,
    )
    found = graph_message(drawn, labels, chosen)
    found["edges"].sort(key=lambda edge: (-edge["strength"], edge["a"], edge["b"]))
    return {"session": summary.uid, "sae": chosen, "chance": chance} | found
