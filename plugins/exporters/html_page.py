"""HTML: one page that replays a session in any browser, opened from disk, with no program and no network.

The page is page/page.html with page/viewer.css and page/viewer.js in it. Its policy lets nothing run but that script,
and everything from the session is data: JSON that the script shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from axon_shell import Message, __version__, graph_of

from .json_lines import encoded
from .layout import placed
from .said import HIGH, end_of, names_of, readable, saes_of, start_of, steps_of, surprise_of

PAGE = Path(__file__).parent / "page"
MOST_NODES, EDGES_PER_NODE = 300, 3  # as the window begins
# In a script element nothing but these can end it or begin markup.
ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
SLOT = re.compile("<!-- (policy|title|style|text|data|script) -->")


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """The page, with the messages in it."""
    # Read as text: browsers take every line break for "\n" before they compare checksums.
    style, script = ((PAGE / name).read_text("utf-8") for name in ("viewer.css", "viewer.js"))
    parts = {
        "policy": f"default-src 'none'; style-src {checksum(style)}; script-src {checksum(script)}; base-uri 'none'; "
        "form-action 'none'",
        "title": html.escape(title_of(messages)),
        "style": f"<style>{style}</style>",
        "text": html.escape(text_of(messages)),
        "script": f'<script type="module">{script}</script>',
    }
    page = SLOT.split((PAGE / "page.html").read_text("utf-8"))
    for i, part in enumerate(page):
        if i % 2 == 0:
            file.write(part.encode())
        elif part == "data":
            data = encoded(data_of(messages)).decode().translate(ESCAPES)
            file.write(b'<script type="application/json" id="session">' + data.encode() + b"</script>")
        else:
            file.write(parts[part].encode())


def checksum(text: str) -> str:
    """How a policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def title_of(messages: Sequence[Message]) -> str:
    prompt = " ".join(readable((start_of(messages) or {}).get("prompt", "")).split())
    return f"{prompt if len(prompt) <= 80 else prompt[:79] + '…'} · AXON Shell"


def text_of(messages: Sequence[Message]) -> str:
    """Prompt and output, for who reads the page without scripts."""
    return readable("".join(step["text"] for step in steps_of(messages) if not step.get("is_bos")))


# -- data -------------------------------------------------------------------------------------------------------------


def data_of(messages: Sequence[Message]) -> dict[str, Any]:
    """What the page shows, compact: one list a quantity, by position; names of features and texts of tokens once.

    The types in viewer.js say what is what.
    """
    start, steps, end = start_of(messages) or {}, steps_of(messages), end_of(messages)
    words = Numbered()
    return {
        "facts": list(facts_of(start, end)),
        "title": start.get("prompt", ""),
        "model": start.get("model", ""),
        "notes": list(start.get("notes", ())),
        "end": {name: end.get(name) for name in ("reason", "error")} if end else None,
        "high": HIGH,
        "first": steps[0]["position"] if steps else 0,
        "kinds": "".join("b" if step.get("is_bos") else "p" if step["is_prompt"] else "w" for step in steps),
        "pieces": [step["piece"] for step in steps],
        "surprise": [short(surprise_of(step)) for step in steps],
        "entropy": [short(step["entropy"]) for step in steps],
        "next": [words[step["next"]["text"]] if step["next"] else -1 for step in steps],
        "taken": [taken(step) for step in steps],
        "alternatives": [
            [part for one in step["alternatives"] for part in (words[one["text"]], short(one["logprob"]))]
            for step in steps
        ],
        "saes": [data_of_sae(messages, steps, sae) for sae in saes_of(messages)],
        "words": list(words),
    }


class Numbered(dict[str, int]):
    """Texts with their numbers, counted as they come."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def taken(step: Message) -> int:
    """Which of the alternatives followed; -1 where none of them did."""
    following = step["next"] and step["next"]["token_id"]
    return next((i for i, one in enumerate(step["alternatives"]) if one["token_id"] == following), -1)


def data_of_sae(messages: Sequence[Message], steps: Sequence[Message], sae: str) -> dict[str, Any]:
    names = names_of(messages, sae)
    place = {feature: i for i, feature in enumerate(names)}
    readings = [step["saes"].get(sae) or {"l0": None, "unexplained": None, "features": []} for step in steps]
    graph = graph_of(messages, sae, edges_per_node=EDGES_PER_NODE, max_nodes=MOST_NODES)
    node = {one.feature: i for i, one in enumerate(graph.nodes)}
    at = placed(len(node), [(node[edge.a], node[edge.b]) for edge in graph.edges])
    return {
        "id": sae,
        "names": [
            [feature, name.label, "automatic" if name.automatic else name.state, name.origin]
            for feature, name in names.items()
        ],
        "l0": [reading["l0"] for reading in readings],
        "unexplained": [short(reading["unexplained"]) for reading in readings],
        "fired": [
            [
                part
                for active in reading["features"]
                for part in (place[active["feature"]], short(active["activation"]), short(active.get("effect"), 3))
            ]
            for reading in readings
        ],
        "nodes": [part for one, (x, y) in zip(graph.nodes, at, strict=True) for part in (place[one.feature], x, y)],
        "ties": [
            part for edge in graph.edges for part in (node[edge.a], node[edge.b], edge.count, short(edge.lift, 3))
        ],
        "nodes_total": graph.nodes_total,
        "ties_total": graph.edges_total,
        "by_chance": short(graph.expected, 3),
    }


def short(value: float | None, digits: int = 5) -> float | int | None:
    """A number with as many digits as anybody reads."""
    if value is None:
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


# -- how it was made --------------------------------------------------------------------------------------------------


def facts_of(start: Message, end: Message | None) -> Iterator[tuple[str, str]]:
    """How the session was made, as names with texts. No path of the machine is among them."""
    made = start.get("provenance") or {}
    yield "model", with_weights(start.get("model", ""), made.get("model"))
    for sae in start.get("saes", ()):
        yield "SAE", with_weights(sae, made.get("saes", {}).get(sae))
    settings = start.get("settings", {})
    if settings:
        yield "settings", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
    for edit in start.get("edits", ()):
        yield "edit", said_of(edit)
    if "device" in start:
        yield "device", f"{start['device']}, {start.get('dtype', '')}".rstrip(", ")
    if when := made_at(str(start.get("session", ""))):
        yield "when", when
    if parent := start.get("parent"):
        yield "goes on from", said_of(parent)
    if end and end.get("ms_per_token"):
        yield "speed", f"{1000 / end['ms_per_token']:.3g} tokens a second"
    versions = {"AXON Shell": made.get("program")} | {
        name: made.get(name) for name in ("python", "torch", "transformers", "transformer-lens", "sae-lens", "system")
    }
    if any(versions.values()):
        yield "computed with", ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if "session" in start:
        yield "session", str(start["session"])
    yield "exported by", f"AXON Shell {__version__}"


def with_weights(name: str, weights: Any) -> str:
    """A model or SAE with what tells its weights apart."""
    known = weights if isinstance(weights, dict) else {}
    said = (
        f"revision {str(known['revision'])[:12]}" if known.get("revision") else "",
        f"SHA-256 {str(known['sha256'])[:16]}…" if known.get("sha256") else "",
    )
    return ", ".join(filter(None, (name, *said)))


def said_of(value: Any) -> str:
    """A record of few values in words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items() if one is not None)
    return ", ".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)


def made_at(session: str) -> str:
    """When a session began: its id, a UUID of version 7, begins with milliseconds since 1970. Empty for other ids."""
    if not re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", session):
        return ""
    try:
        moment = datetime.fromtimestamp(int(session[:8] + session[9:13], 16) / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
