"""A session in one file, to bring to another machine or to give to others: everything that was measured, and labels.

    *.axon, gzipped JSON lines
    {"format": "axon-session", "version": 1, "session": ..., "messages": N, "sha256": ...}
    {"kind": "start", ...}  {"kind": "step", ...} ...  {"kind": "end", ...}      without labels, as they are stored
    {"kind": "labels", "sae": ..., "set": ..., "width": ..., "rows": [...]}      what features were called, by whom

It holds no code, and what is read is checked value by value. The checksum is of the lines after the first.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from . import __version__
from .errors import InvalidSetting, LabelFileError, SessionFileError
from .labels import Labels, LabelStore
from .labels.packs import as_line, as_others, checked, checksum, published_row, write_packed
from .labels.store import BROUGHT
from .records import Edit, LabelFile, Message, SaeSpec, Settings
from .store import SessionSummary, Store

FORMAT, VERSION, SUFFIX = "axon-session", 1, ".axon"
LARGEST, LARGEST_UNPACKED = 64_000_000, 512_000_000  # bytes
MOST_STEPS, MOST_FEATURES = 1_000_000, 10_000  # of a session, and of one position
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Shared:
    """What a file holds."""

    uid: str
    created_at: int  # milliseconds since 1970
    title: str
    note: str
    messages: list[Message]
    labels: list[dict[str, Any]]  # one record for each SAE


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What taking in a file has brought."""

    session: str  # uid
    title: str
    added: bool  # False: the session was here already
    labels: int


# -- writing ------------------------------------------------------------------


def write_shared(summary: SessionSummary, messages: Sequence[Message], labels: Labels, file: BinaryIO) -> None:
    """Write a session, whose messages have no labels, with what its features are called today."""
    lines = [as_line(message) for message in messages]
    lines += [as_line(record) for record in label_records(messages, labels)]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "program": __version__,
        "session": summary.uid,
        "created_at": summary.created_at,
        "title": summary.title,
        "note": summary.note,
        "messages": len(messages),
    }
    write_packed(header, lines, file)


def label_records(messages: Sequence[Message], labels: Labels) -> Iterator[dict[str, Any]]:
    """What the features of a session are called, one record for each SAE that somebody described features of."""
    fired: dict[str, set[int]] = {}
    for message in messages:
        for sae, reading in message.get("saes", {}).items() if message["kind"] == "step" else ():
            fired.setdefault(sae, set()).update(active["feature"] for active in reading["features"])
    for sae, features in sorted(fired.items()):
        spec = labels.saes.get(sae)
        described = labels.descriptions(sae, sorted(features))
        if not described:
            continue
        yield {
            "kind": "labels",
            "sae": sae,
            "set": labels.set_of(sae),
            "width": spec.width if spec else 0,
            "rows": [published_row(feature, label) for feature, found in described.items() for label in found],
        }


# -- reading ------------------------------------------------------------------


def take_in(path: Path, store: Store, labels: Labels, label_store: LabelStore) -> TakenIn:
    """Take a session from a file; nothing is overwritten, and one that is here already is not taken twice.

    Raises SessionFileError where the file is damaged, too large or of a newer program, StoreError.
    """
    shared = read_shared(path)
    added = store.add_whole(shared.uid, shared.messages, shared.created_at, shared.title, shared.note)
    count = sum(take_labels(path, record, shared.uid, labels, label_store) for record in shared.labels)
    return TakenIn(shared.uid, shared.title, added, count)


def take_labels(path: Path, record: Mapping[str, Any], uid: str, labels: Labels, label_store: LabelStore) -> int:
    """Keep what the features of an SAE are called in a file; nothing where the SAE here is another one."""
    sae, width = str(record["sae"]), record["width"]
    spec = labels.saes.get(sae) or SaeSpec(sae, "", "", width, path)
    if spec.width and width and spec.width != width:
        return 0
    label_set = labels.set_of(sae)
    rows = [
        (feature, as_others(label)) for feature, label, _ in (checked(path, 0, row, spec) for row in record["rows"])
    ]
    file = LabelFile(f"session{BROUGHT}{uid}", "", 0)
    return label_store.replace_files(label_set, [(file, [row for row in rows if row[1].text])])


def read_shared(path: Path) -> Shared:
    """What a file holds. Raises SessionFileError."""
    lines = lines_of(path)
    header = parsed(path, lines[0]) if lines else None
    if header is None or header.get("format") != FORMAT:
        raise SessionFileError(f"{path} holds no session.", f"Sessions are exported as *{SUFFIX}.")
    if header.get("version") != VERSION:
        raise SessionFileError(
            f"{path} is of version {header.get('version')!r:.20} of the format.", "Update AXON Shell."
        )
    whole_file = checksum(line + b"\n" for line in lines[1:]) == header.get("sha256")
    uid, count = header.get("session"), header.get("messages")
    if not whole_file or not isinstance(count, int) or not 1 <= count <= len(lines) - 1:
        raise damaged(path, "it is not as it was written")
    if not (isinstance(uid, str) and UID.fullmatch(uid)):
        raise damaged(path, "it names no session")
    try:
        messages = [message_of(parsed(path, line) or {}, number) for number, line in enumerate(lines[1 : count + 1])]
        labels = [labels_of(parsed(path, line) or {}) for line in lines[count + 1 :]]
        created = int(datetime.fromisoformat(str(header["created_at"]).replace("Z", "+00:00")).timestamp() * 1000)
        need(messages[0]["kind"] == "start" and messages[0]["session"] == uid, "its start is missing")
        kinds = [message["kind"] for message in messages[1:]]
        need("start" not in kinds and "end" not in kinds[:-1], "its messages are out of order")
        positions = [message["position"] for message in messages if message["kind"] == "step"]
        need(positions == sorted(set(positions)), "its positions are out of order")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, LabelFileError) as error:
        raise damaged(path, f"{error}" or "something is missing") from error
    return Shared(uid, created, str(header.get("title", "")), str(header.get("note", "")), messages, labels)


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file, unpacked. Raises SessionFileError."""
    try:
        if path.stat().st_size > LARGEST:
            raise too_large(path)
        with gzip.open(path) as file:
            content = file.read(LARGEST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SessionFileError(f"{path} cannot be read: {reason}.", "Check the file, or get it again.") from error
    if len(content) > LARGEST_UNPACKED:
        raise too_large(path)
    return content.splitlines()


def parsed(path: Path, line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line. Raises SessionFileError."""
    try:
        found = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "a line is no JSON") from error
    return found if isinstance(found, dict) else None


def refuse(constant: str) -> float:
    """No message holds infinity, nor what is no number."""
    raise ValueError(f"{constant} is no number")


def damaged(path: Path, what: str) -> SessionFileError:
    """The error for a file that is not as it was written."""
    return SessionFileError(f"{path} is damaged: {what}. Nothing was taken in.", "Get the file again.")


def too_large(path: Path) -> SessionFileError:
    """The error for what holds more than a session."""
    return SessionFileError(f"{path} is too large for a session.", "Check where it is from.")


# -- checking -----------------------------------------------------------------


def need(good: bool, what: str) -> None:
    """Raise ValueError where something is not as it must be."""
    if not good:
        raise ValueError(what)


def number(value: Any, optional: bool = False) -> float | None:
    """A finite number. Raises ValueError."""
    if value is None and optional:
        return None
    need(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300,
        f"{value!r:.40} is no number",
    )
    return float(value)


def whole(value: Any, limit: int = 2**31) -> int:
    """A whole number from 0 to before a limit. Raises ValueError."""
    need(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit, f"{value!r:.40} is no count")
    return int(value)


def said(value: Any, longest: int = 1_000_000) -> str:
    """A text. Raises ValueError."""
    need(isinstance(value, str) and len(value) <= longest, f"{value!r:.40} is no text")
    return str(value)


def message_of(record: Mapping[str, Any], index: int) -> Message:
    """A message with the fields that it must have, and no others. Raises ValueError, KeyError or TypeError."""
    match record.get("kind"):
        case "start":
            return start_of(record)
        case "step":
            return step_of(record)
        case "end":
            return end_of(record)
    raise ValueError(f"message {index} is of no known kind")


def start_of(record: Mapping[str, Any]) -> Message:
    """The start of a session."""
    given = record["settings"]
    settings = {name: given[name] for name in asdict(Settings()) if name in given and number(given[name]) is not None}
    parent = record.get("parent")
    return {
        "kind": "start",
        "session": said(record["session"]),
        "model": said(record["model"], 1_000),
        "saes": [said(name, 1_000) for name in record["saes"]],
        "prompt": said(record["prompt"]),
        "settings": settings,
        "device": said(record["device"], 100),
        "dtype": said(record["dtype"], 100),
        **({"notes": [said(note, 10_000) for note in record["notes"]]} if "notes" in record else {}),
        **({"provenance": plain(record["provenance"])} if "provenance" in record else {}),
        **({"parent": {"session": said(parent["session"]), "position": whole(parent["position"])}} if parent else {}),
        **({"edits": [asdict(edit_of(one)) for one in record["edits"]]} if record.get("edits") else {}),
    }


def plain(value: Any, depth: int = 0) -> Any:
    """Names and texts, one within the other, not too deep. Raises ValueError."""
    need(depth < 5, "it is nested too deeply")
    if isinstance(value, dict):
        return {said(name, 1_000): plain(one, depth + 1) for name, one in value.items()}
    return value if value is None else said(value, 10_000)


def edit_of(record: Mapping[str, Any]) -> Edit:
    """An edit of a steered session."""
    try:
        feature, start = whole(record["feature"]), whole(record["start"])
        return Edit(said(record["sae"], 1_000), feature, said(record["kind"], 100), record["value"], start)
    except InvalidSetting as error:
        raise ValueError(error.message) from error


def step_of(record: Mapping[str, Any]) -> Message:
    """One position of a session."""
    following = record["next"]
    step: Message = {
        "kind": "step",
        "position": whole(record["position"], MOST_STEPS),
        "is_prompt": bool(record["is_prompt"]),
        "token_id": whole(record["token_id"]),
        "piece": said(record["piece"]),
        "text": said(record["text"]),
        "logprob": number(record["logprob"], optional=True),
        "entropy": number(record["entropy"]),
        "alternatives": [
            {"token_id": whole(one["token_id"]), "text": said(one["text"]), "logprob": number(one["logprob"])}
            for one in record["alternatives"][:MOST_FEATURES]
        ],
        "saes": {said(sae, 1_000): reading_of(reading) for sae, reading in record["saes"].items()},
        "next": following and {"token_id": whole(following["token_id"]), "text": said(following["text"])},
        "ms": number(record["ms"]),
    }
    return step | {"is_bos": True} if record.get("is_bos") else step


def reading_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What an SAE says at one position."""
    need(len(record["features"]) <= MOST_FEATURES, "too many features fire at a position")
    return {
        "l0": whole(record["l0"]),
        "unexplained": number(record["unexplained"]),
        "features": [
            {
                "feature": whole(one["feature"]),
                "activation": number(one["activation"]),
                "effect": number(one["effect"], optional=True),
            }
            for one in record["features"]
        ],
    }


def end_of(record: Mapping[str, Any]) -> Message:
    """The end of a session."""
    error = record.get("error")
    return {
        "kind": "end",
        "reason": said(record["reason"], 100),
        "prompt_tokens": whole(record["prompt_tokens"]),
        "new_tokens": whole(record["new_tokens"]),
        "ms_per_token": number(record["ms_per_token"], optional=True),
        **({"error": {name: said(error[name], 10_000) for name in ("kind", "message", "hint")}} if error else {}),
        **({"notes": [said(note, 10_000) for note in record["notes"]]} if record.get("notes") else {}),
    }


def labels_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the features of an SAE are called; its rows are checked where they are taken."""
    need(record["kind"] == "labels" and isinstance(record["rows"], list), "something is no message")
    return {"sae": said(record["sae"], 1_000), "width": whole(record["width"]), "rows": record["rows"]}
