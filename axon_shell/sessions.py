"""What can be made of past sessions: files to keep or give away, and comparisons of two."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

from .compare import compare, predictions
from .errors import ExportError, InvalidSetting, NotFound
from .labels import Labels, as_fields
from .plugins import Catalogue
from .records import Exporter, Message
from .session import Annotator, replay
from .share import SUFFIX, write_shared
from .store import Store

AXON = "axon"  # the format that holds everything, beside those of plugins


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A session as a file that can be written."""

    name: str  # a good one for it
    write: Callable[[BinaryIO], None]  # raises ExportError where a plugin fails


def up_to(store: Store, session: str, position: int) -> tuple[str, Message]:
    """The text of a session up to and including a position, and what names that place as a parent.

    Raises NotFound where there is no such session or position.
    """
    uid = store.summary(session).uid
    steps = [one for one in store.messages(uid) if one["kind"] == "step" and one["position"] <= position]
    if not steps or steps[-1]["position"] != position:
        last = steps[-1]["position"] if steps else 0
        raise NotFound(f"Session {uid} has no position {position}.", f"Its last one before that is {last}.")
    text = "".join(step["text"] for step in steps if not step.get("is_bos"))
    return text, {"session": uid, "position": position}


def session_file(store: Store, annotate: Annotator, catalogue: Catalogue, session: str, form: str) -> SessionFile:
    """A session in a file format. Raises NotFound where there is no such session or format."""
    summary = store.summary(session)
    words = re.sub(r"\W+", "-", summary.title).strip("-").lower()[:40] or "session"
    name = f"{words}-{summary.uid[-6:]}"
    if form == AXON:
        messages = store.messages(summary.uid)
        return SessionFile(name + SUFFIX, lambda file: write_shared(summary, messages, annotate.labels, file))
    exporter = catalogue.exporter(form)
    annotated = replay(summary.uid, store, annotate)
    return SessionFile(name + exporter.suffix, lambda file: write(exporter, annotated, file))


def write(exporter: Exporter, messages: Sequence[Message], file: BinaryIO) -> None:
    """Have an exporter write a session. Raises ExportError when it fails by its own fault."""
    try:
        exporter.write(messages, file)
    except OSError:
        raise
    except Exception as error:
        raise ExportError(
            f"The exporter {exporter.name} failed: {type(error).__name__}: {error}", "Mend the plugin that it is from."
        ) from error


def compared(store: Store, labels: Labels, a: str, b: str, saes: Sequence[str] = ()) -> Message:
    """Two sessions side by side as one JSON object, the features with the largest change first.

    `saes` names whose features: none for the first that both were read by, one for both, or one for each. Raises
    NotFound, or InvalidSetting where a session was not read by that SAE.
    """
    one, other = store.summary(a), store.summary(b)
    sae_a, sae_b = choose(one.saes, other.saes, saes)
    messages_a, messages_b = store.messages(one.uid), store.messages(other.uid)
    found = compare(messages_a, messages_b, sae_a, sae_b)
    named = {sae: labels.of(sae, {d.feature for d in found.differences}) for sae in {sae_a, sae_b}}
    return {
        "a": asdict(one) | {"saes": list(one.saes)},
        "b": asdict(other) | {"saes": list(other.saes)},
        "sae_a": sae_a,
        "sae_b": sae_b,
        "tokens_a": found.tokens_a,
        "tokens_b": found.tokens_b,
        "aligned": len(found.pairs),
        "pairs": [list(pair) for pair in found.pairs],
        "edits_a": messages_a[0].get("edits", []),
        "edits_b": messages_b[0].get("edits", []),
        "predictions": predictions(messages_a, messages_b),
        **{name: found.features(where) for name, where in (("both", "both"), ("only_a", "a"), ("only_b", "b"))},
        "features": [
            asdict(d) | {"where": d.where} | as_fields(*named[sae_b if d.where == "b" else sae_a][d.feature])
            for d in found.differences
        ],
    }


def choose(a: Sequence[str], b: Sequence[str], wanted: Sequence[str]) -> tuple[str, str]:
    """The SAE of each of two sessions whose features are compared. Raises InvalidSetting."""
    common = [sae for sae in a if sae in b]
    chosen = (*wanted, *wanted) if len(wanted) == 1 else tuple(wanted) or (*common[:1], *common[:1]) or (*a[:1], *b[:1])
    if len(chosen) != 2:
        raise InvalidSetting("Two sessions need one SAE, or one for each.", "Give --sae once or twice.")
    for sae, read, which in zip(chosen, (a, b), ("first", "second"), strict=True):
        if sae not in read:
            raise InvalidSetting(
                f"The {which} session was not read by {sae}.", f"It was read by {', '.join(read) or 'no SAE'}."
            )
    return chosen[0], chosen[1]
