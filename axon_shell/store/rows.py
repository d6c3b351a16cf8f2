"""Messages to rows and back. Every function takes a connection; who opens it decides about transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

from .. import __version__
from ..records import End, Message
from .firings import STEERED, write_firings
from .packing import pack_alternatives, pack_readings, unpack_alternatives, unpack_readings
from .schema import BYTES

TITLE = 60  # characters of the prompt
LIBRARY, NO_LIBRARY = "pinned, note, parent, bytes", "0, '', NULL, 0"
COLUMNS = "uid, title, prompt, output, model, saes, created_at, status, reason, prompt_tokens, new_tokens, ms_per_token"
# What the table of tokens and the packed readings hold of a step; whatever else it says is kept as JSON.
HELD = {
    *("kind", "position", "is_prompt", "token_id", "piece", "text", "logprob", "entropy", "alternatives", "saes"),
    *("next", "ms"),
}


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session as the list shows it."""

    uid: str
    title: str  # the beginning of the prompt, on one line
    prompt: str
    output: str  # the generated text so far
    model: str
    saes: tuple[str, ...]
    created_at: str  # ISO 8601, UTC
    status: str  # running, finished, interrupted
    reason: str | None  # of the end message; None while it runs
    prompt_tokens: int  # without BOS
    new_tokens: int
    ms_per_token: float | None
    pinned: bool = False
    note: str = ""  # the user's own
    parent: str | None = None  # uid of the session that it went on from
    bytes: int = 0  # that it takes on disk, about; 0 while it runs
    steered: bool = False  # features were added to, held or taken away while it was made


def title(prompt: str) -> str:
    """The beginning of a prompt, on one line."""
    line = " ".join(prompt.split())
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def timestamp(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601, UTC."""
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- writing ------------------------------------------------------------------


def write(connection: sqlite3.Connection, uid: str, owner: str, created_at: int, messages: Sequence[Message]) -> None:
    """Append messages to a session: its start if it is among them, then steps, then its end."""
    for message in messages:
        if message["kind"] == "start":
            write_start(connection, uid, owner, created_at, message)
    (session,) = connection.execute("SELECT id FROM sessions WHERE uid = ?", (uid,)).fetchone()
    steps = [message for message in messages if message["kind"] == "step"]
    if steps:
        write_steps(connection, session, steps)
    for message in messages:
        if message["kind"] == "end":
            write_end(connection, session, message)


def write_start(connection: sqlite3.Connection, uid: str, owner: str, created_at: int, start: Message) -> None:
    """A new session."""
    prompt = storable(start["prompt"])
    connection.execute(
        "INSERT INTO sessions (uid, created_at, title, prompt, model, saes, status, owner, version, start_message,"
        " parent) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)",
        (
            *(uid, created_at, title(prompt), prompt, start["model"], json.dumps(start["saes"])),
            *(owner, __version__, json.dumps(start), (start.get("parent") or {}).get("session")),
        ),
    )


def write_steps(connection: sqlite3.Connection, session: int, steps: Sequence[Message]) -> None:
    """Steps of a session, with what fired at them."""
    connection.executemany(
        "INSERT INTO tokens (session_id, position, token_id, piece, text, is_prompt, logprob, entropy, ms,"
        " next_id, next_text, alternatives, rest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [token_row(session, step) for step in steps],
    )
    for sae in dict.fromkeys(sae for step in steps for sae in step["saes"]):
        readings = [(step["position"], step["saes"][sae]) for step in steps if sae in step["saes"]]
        connection.execute("INSERT OR IGNORE INTO saes (name) VALUES (?)", (sae,))
        connection.execute(
            "INSERT INTO activations (session_id, sae_id, first_position, data)"
            " SELECT ?, id, ?, ? FROM saes WHERE name = ?",
            (session, readings[0][0], pack_readings(readings), sae),
        )
    new = [step["text"] for step in steps if not step["is_prompt"]]
    connection.execute(
        "UPDATE sessions SET output = output || ?, new_tokens = new_tokens + ?, prompt_tokens = prompt_tokens + ?"
        " WHERE id = ?",
        ("".join(new), len(new), sum(is_prompt_token(step) for step in steps), session),
    )


def is_prompt_token(step: Message) -> bool:
    """Whether a step is one of the prompt's own tokens, which BOS is not."""
    return step["is_prompt"] and not step.get("is_bos", False)


def token_row(session: int, step: Message) -> tuple[Any, ...]:
    """A step as a row of `tokens`."""
    following = step["next"] or {"token_id": None, "text": None}
    rest = {name: value for name, value in step.items() if name not in HELD}
    return (
        *(session, step["position"], step["token_id"], step["piece"], step["text"], step["is_prompt"]),
        *(step["logprob"], step["entropy"], step["ms"], following["token_id"], following["text"]),
        *(pack_alternatives(step["alternatives"]), json.dumps(rest) if rest else None),
    )


def write_end(connection: sqlite3.Connection, session: int, end: Message) -> None:
    """The end of a session; its chunks become one blob for each SAE, and where its features fired is entered."""
    connection.execute(
        "UPDATE sessions SET status = 'finished', reason = ?, prompt_tokens = ?, new_tokens = ?, ms_per_token = ?,"
        " end_message = ? WHERE id = ?",
        (end["reason"], end["prompt_tokens"], end["new_tokens"], end["ms_per_token"], json.dumps(end), session),
    )
    finish(connection, session)


def finish(connection: sqlite3.Connection, session: int) -> None:
    """Put a session that has ended in order: one blob for each SAE, its size, and where its features fired."""
    join_chunks(connection, session)
    connection.execute(f"UPDATE sessions SET bytes = {BYTES} WHERE id = ?", (session,))
    write_firings(connection, session)


def join_chunks(connection: sqlite3.Connection, session: int) -> None:
    """Make one blob of all chunks of each SAE of a session."""
    chunks = connection.execute(
        "SELECT sae_id, first_position, data FROM activations WHERE session_id = ? ORDER BY sae_id, first_position",
        (session,),
    ).fetchall()
    connection.execute("DELETE FROM activations WHERE session_id = ?", (session,))
    for sae in dict.fromkeys(sae for sae, _, _ in chunks):
        own = [(first, data) for of, first, data in chunks if of == sae]
        connection.execute(
            "INSERT INTO activations (session_id, sae_id, first_position, data) VALUES (?, ?, ?, ?)",
            (session, sae, own[0][0], b"".join(data for _, data in own)),
        )


def write_vectors(connection: sqlite3.Connection, uid: str, hook: str, first: int, width: int, data: bytes) -> None:
    """Add what passed a hook point to a session."""
    connection.execute(
        "INSERT OR REPLACE INTO vectors (session_id, hook, first_position, width, data)"
        " SELECT id, ?, ?, ?, ? FROM sessions WHERE uid = ?",
        (hook, first, width, data, uid),
    )


def running_owners(connection: sqlite3.Connection) -> list[str]:
    """The programs that say they are writing a session."""
    return [owner for (owner,) in connection.execute("SELECT DISTINCT owner FROM sessions WHERE status = 'running'")]


def write_interrupted(connection: sqlite3.Connection, owner: str) -> None:
    """Mark what a program that has died was writing."""
    sessions = connection.execute("SELECT id FROM sessions WHERE status = 'running' AND owner = ?", (owner,)).fetchall()
    for (session,) in sessions:
        interrupt(connection, session)


def write_one_interrupted(connection: sqlite3.Connection, uid: str) -> None:
    """Mark a session that has no end."""
    (session,) = connection.execute("SELECT id FROM sessions WHERE uid = ?", (uid,)).fetchone()
    interrupt(connection, session)


def interrupt(connection: sqlite3.Connection, session: int) -> None:
    """Mark a session as interrupted, and put it in order."""
    connection.execute(
        "UPDATE sessions SET status = 'interrupted', reason = 'interrupted', ms_per_token = ? WHERE id = ?",
        (mean_ms(connection, session), session),
    )
    finish(connection, session)


def mean_ms(connection: sqlite3.Connection, session: int) -> float | None:
    """Milliseconds a new token, over the stored ones."""
    (ms,) = connection.execute(
        "SELECT avg(ms) FROM tokens WHERE session_id = ? AND NOT is_prompt", (session,)
    ).fetchone()
    return ms


def storable(text: str) -> str:
    """Text with what UTF-8 cannot hold (lone surrogates) replaced; the start message keeps it as it was."""
    return text.encode(errors="replace").decode()


# -- reading ------------------------------------------------------------------


def read_summaries(connection: sqlite3.Connection, before: str | None, limit: int) -> list[SessionSummary]:
    """Sessions older than `before`, newest first."""
    where = "WHERE uid < ?" if before else ""
    query = f"SELECT {columns(connection)} FROM sessions {where} ORDER BY uid DESC LIMIT ?"
    return [summary(row) for row in connection.execute(query, (before, limit) if before else (limit,))]


def read_summary(connection: sqlite3.Connection, uid: str) -> SessionSummary | None:
    """One session."""
    row = connection.execute(f"SELECT {columns(connection)} FROM sessions WHERE uid = ?", (uid,)).fetchone()
    return summary(row) if row else None


def read_uids(connection: sqlite3.Connection, prefix: str, limit: int) -> list[str]:
    """Sessions whose uid begins with `prefix`."""
    there = "AND deleted_at IS NULL" if has_library(connection) else ""
    rows = connection.execute(
        f"SELECT uid FROM sessions WHERE uid >= ? AND uid < ? {there} ORDER BY uid LIMIT ?",
        (prefix, prefix + "\U0010ffff", limit),
    )
    return [uid for (uid,) in rows]


def summary(row: Sequence[Any]) -> SessionSummary:
    """A session as the list shows it, from its row."""
    values = dict(zip((one.name for one in fields(SessionSummary)), row, strict=True))
    values |= {
        "saes": tuple(json.loads(values["saes"])),
        "created_at": timestamp(values["created_at"]),
        "pinned": bool(values["pinned"]),
        "steered": bool(values["steered"]),
    }
    return SessionSummary(**values)


def has_library(connection: sqlite3.Connection) -> bool:
    """Whether the database has pins and notes; one of an earlier program that may only be read has none."""
    return any(name == "deleted_at" for _, name, *_ in connection.execute("PRAGMA table_info(sessions)"))


def columns(connection: sqlite3.Connection) -> str:
    """The columns that a summary is made of."""
    return f"{COLUMNS}, {LIBRARY if has_library(connection) else NO_LIBRARY}, {STEERED}"


def read_owner(connection: sqlite3.Connection, uid: str) -> str | None:
    """The program that is writing a session; None when none says so."""
    row = connection.execute("SELECT owner FROM sessions WHERE uid = ? AND status = 'running'", (uid,)).fetchone()
    return row and row[0]


def read_messages(
    connection: sqlite3.Connection, uid: str, first: int, stop: int | None, dead: bool = False
) -> list[Message]:
    """The messages number `first` to before `stop` of a session: 0 is the start, then steps, then the end.

    `dead` says that the program that wrote the session has died: it gets an end although none is stored.
    """
    session, start, end, status, prompt_tokens, new_tokens = connection.execute(
        "SELECT id, start_message, end_message, status, prompt_tokens, new_tokens FROM sessions WHERE uid = ?", (uid,)
    ).fetchone()
    (steps,) = connection.execute("SELECT count(*) FROM tokens WHERE session_id = ?", (session,)).fetchone()
    stop = steps + 2 if stop is None else stop
    messages: list[Message] = []
    if first <= 0 < stop:
        messages.append(json.loads(start))
    if first <= steps and stop > 1:
        skip = max(first - 1, 0)
        messages += read_steps(connection, session, skip, min(stop - 1, steps) - skip)
    if first <= steps + 1 < stop:
        if end:
            messages.append(json.loads(end))
        elif dead or status == "interrupted":
            ms = mean_ms(connection, session)
            messages.append(End("interrupted", prompt_tokens, new_tokens, ms).as_message())
    return messages


def read_vectors(connection: sqlite3.Connection, uid: str) -> dict[str, list[tuple[int, int, bytes]]]:
    """What passed the hook points of a session, by hook point and in order."""
    found: dict[str, list[tuple[int, int, bytes]]] = {}
    for hook, first, width, data in connection.execute(
        "SELECT hook, first_position, width, data FROM vectors"
        " WHERE session_id = (SELECT id FROM sessions WHERE uid = ?) ORDER BY hook, first_position",
        (uid,),
    ):
        found.setdefault(hook, []).append((first, width, data))
    return found


def read_steps(connection: sqlite3.Connection, session: int, skip: int, count: int) -> list[Message]:
    """`count` steps of a session after the first `skip`."""
    rows = connection.execute(
        "SELECT position, token_id, piece, text, is_prompt, logprob, entropy, ms, next_id, next_text, alternatives,"
        " rest FROM tokens WHERE session_id = ? ORDER BY position LIMIT ? OFFSET ?",
        (session, count, skip),
    ).fetchall()
    if not rows:
        return []
    steps = {row[0]: step_message(row) for row in rows}
    chunks = connection.execute(
        "SELECT name, data FROM activations JOIN saes ON saes.id = sae_id"
        " WHERE session_id = ? AND first_position <= ? ORDER BY sae_id, first_position",
        (session, rows[-1][0]),
    )
    for sae, data in chunks:
        for position, reading in unpack_readings(data, rows[0][0], rows[-1][0] + 1):
            steps[position]["saes"][sae] = reading
    return list(steps.values())


def step_message(row: Iterable[Any]) -> Message:
    """A row of the table of tokens as a step message, its SAEs still to come."""
    position, token_id, piece, text, is_prompt, logprob, entropy, ms, next_id, next_text, alternatives, rest = row
    step: Message = {
        "kind": "step",
        "position": position,
        "is_prompt": bool(is_prompt),
        "token_id": token_id,
        "piece": piece,
        "text": text,
        "logprob": logprob,
        "entropy": entropy,
        "alternatives": unpack_alternatives(alternatives),
        "saes": {},
        "next": None if next_id is None else {"token_id": next_id, "text": next_text},
        "ms": ms,
    }
    return step | json.loads(rest) if rest else step
