"""`axon-shell sessions`: past sessions, with no model needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import read_config
from ..errors import NotFound
from .comparison import tell_comparison
from .run import Printer
from .shared import annotating, as_json, labelling, listed, opened_store, print_json, written_whole

if TYPE_CHECKING:
    from ..store import Search, SessionSummary


@click.group("sessions")
def sessions_() -> None:
    """Past sessions: no model is needed."""


COLUMNS = {"uid": "Session", "created_at": "When", "model": "Model", "new_tokens": "New", "status": "Status"}
DAY = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which sessions are wanted."""
    for option in (
        click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first."),
        click.option("--pinned", is_flag=True, help="Only pinned ones."),
        click.option("--until", type=click.DateTime(DAY), help="Only those from before this day or time."),
        click.option("--since", type=click.DateTime(DAY), help="Only those from this day or time on."),
        click.option("--sae", default="", metavar="ID", help="Only those that this SAE has read."),
        click.option("--model", default="", metavar="ID", help="Only those of this model."),
    ):
        command = option(command)
    return command


def wanted(text: str, given: Mapping[str, Any], deleted: bool = False) -> Search:
    """What the options ask for."""
    from ..store import Search

    moments = {
        name: int(moment.astimezone().timestamp() * 1000) if (moment := given[name]) else None
        for name in ("since", "until")
    }
    return Search(text, given["model"], given["sae"], moments["since"], moments["until"], given["pinned"], deleted)


def tell_rows(rows: Sequence[SessionSummary], as_json: bool) -> None:
    """Sessions as a table or as JSON."""
    listed([asdict(row) | {"saes": list(row.saes)} for row in rows], COLUMNS | {"title": "Title"}, as_json)


@sessions_.command("list")
@filters
@click.option("--deleted", is_flag=True, help="Those that were deleted and can still be restored.")
@as_json
def list_(limit: int, deleted: bool, as_json: bool, **given: Any) -> None:
    """List past sessions, newest first."""
    with opened_store() as store:
        tell_rows(store.sessions(limit=limit, wanted=wanted("", given, deleted)), as_json)


@sessions_.command()
@click.argument("text", required=False, default="")
@click.option("--feature", metavar="SAE:FEATURE", help="Sessions in which this feature fired, strongest first.")
@filters
@as_json
def search(text: str, feature: str | None, limit: int, as_json: bool, **given: Any) -> None:
    """Search past sessions: every word must be in the title, prompt, output or note."""
    with opened_store() as store:
        if not feature:
            if not text.strip():
                raise click.UsageError("Nothing to search for: give words, or --feature.")
            tell_rows(store.sessions(limit=limit, wanted=wanted(text, given)), as_json)
            return
        sae, _, number = feature.rpartition(":")
        if not sae or not number.isdigit():
            raise click.UsageError(f"{feature!r} is no feature: write tiny-world/2-res:249.")
        rows = [asdict(row) for row in store.firings(sae, int(number), limit)]
    columns = {"session": "Session", "activation": "Strongest", "count": "Tokens", "piece": "At", "title": "Title"}
    listed(rows, columns, as_json)


@sessions_.command()
@click.argument("session")
@click.option("--title", help="Call it this; an empty text is the prompt again.")
@click.option("--note", help="What you have found out; an empty text takes it away.")
@click.option("--pin/--no-pin", "pinned", default=None, help="Keep it at hand, and from being deleted by itself.")
@as_json
def edit(session: str, title: str | None, note: str | None, pinned: bool | None, as_json: bool) -> None:
    """Rename a session, write a note to it, or pin it."""
    if title is None and note is None and pinned is None:
        raise click.UsageError("Nothing to change: give --title, --note, --pin or --no-pin.")
    with opened_store() as store:
        tell_rows([store.change(session, title, note, pinned)], as_json)


@sessions_.command()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@click.option("--now", is_flag=True, help="At once and for good; else it can be restored for a day.")
@as_json
def delete(sessions: tuple[str, ...], now: bool, as_json: bool) -> None:
    """Delete sessions; for a day they can be restored."""
    with opened_store() as store:
        uids = [store.summary(session).uid for session in sessions]
        gone = store.delete(uids)
        if now:
            store.purge(gone)
    tell_uids(gone, "deleted for good" if now else "deleted", as_json)
    if not as_json and gone and not now:
        print(f"Back again: `axon-shell sessions restore {' '.join(gone)}`", file=sys.stderr)


@sessions_.command()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...")
@as_json
def restore(sessions: tuple[str, ...], as_json: bool) -> None:
    """Bring back deleted sessions, by their whole names."""
    with opened_store() as store:
        back = store.restore(sessions)
    if not back:
        raise NotFound("None of them can be restored.", "`axon-shell sessions list --deleted` shows those that can.")
    tell_uids(back, "restored", as_json)


def tell_uids(uids: Sequence[str], what: str, as_json: bool) -> None:
    """What has become of sessions."""
    if as_json:
        print_json({what.partition(" ")[0]: list(uids)})
    for uid in () if as_json else uids:
        print(f"{uid} {what}")


@sessions_.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@as_json
def import_(files: tuple[Path, ...], as_json: bool) -> None:
    """Take in sessions from .axon files; nothing is overwritten."""
    from ..plugins import catalogue
    from ..share import take_in

    config = read_config().config
    with opened_store() as store, labelling(config, catalogue(config), store) as labels:
        assert labels.store
        for path in files:
            found = take_in(path, store, labels, labels.store)
            if as_json:
                print_json(asdict(found))
            else:
                came = f"taken in, with {found.labels:,} labels" if found.added else "is here already"
                print(f"{found.session} {found.title}: {came}")


@sessions_.command()
@click.argument("a")
@click.argument("b")
@click.option("--sae", "saes", multiple=True, metavar="ID", help="Whose features: once, or one for each session.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Features, the largest change first."
)
@as_json
def compare(a: str, b: str, saes: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Compare two sessions: features in one, in both, and how their activations differ."""
    from ..plugins import catalogue
    from ..sessions import compared

    config = read_config().config
    with opened_store() as store, labelling(config, catalogue(config), store) as labels:
        found = compared(store, labels, a, b, saes)
    if as_json:
        print_json(found)
        return
    tell_comparison(found, limit)


@sessions_.command()
@click.argument("session")
@click.option("--output", metavar="FILE", help="Where to write. Left out: a name from the session.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@as_json
def vectors(session: str, output: str | None, force: bool, as_json: bool) -> None:
    """Write the vectors that the SAEs of a session read to a NumPy file."""
    import numpy as np

    with opened_store() as store:
        uid, found = store.summary(session).uid, store.vectors(session)
    if not found:
        raise NotFound(f"No vectors of session {uid} were stored.", "`run --vectors all` stores those of a new one.")
    arrays: dict[str, Any] = {}
    for hook, parts in found.items():
        first, width, data = parts[0]
        arrays[hook] = np.frombuffer(data, "<f2").reshape(-1, width)
        arrays[f"{hook}:positions"] = np.arange(first, first + len(arrays[hook]))
    path = Path(output or f"session-{uid[-6:]}.npz")
    with written_whole(path, force) as file:
        np.savez(file, **arrays)
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path.absolute()), "hooks": {h: list(arrays[h].shape) for h in found}, "bytes": size})
    else:
        print(f"{path} ({', '.join(f'{hook}: {len(arrays[hook])} positions' for hook in found)})")


@sessions_.command()
@as_json
def rebuild(as_json: bool) -> None:
    """Derive anew what searching needs, should it ever be wrong."""
    from ..plugins import readable_size

    with opened_store() as store:
        store.rebuild()
        store.finish_chores()
        size = store.size()
    print_json({"bytes": size}) if as_json else print(f"Done. The sessions take {readable_size(size)}.")


@sessions_.command()
@click.argument("session")
@as_json
def show(session: str, as_json: bool) -> None:
    """Replay a past session: its tokens with their strongest features."""
    from ..plugins import catalogue
    from ..session import replay

    tell = print_json if as_json else Printer()
    config = read_config().config
    with opened_store() as store, annotating(config, catalogue(config), store) as annotate:
        for message in replay(store.summary(session).uid, store, annotate):
            tell(message)


@sessions_.command()
@click.argument("session")
@click.option(
    "--as",
    "form",
    required=True,
    metavar="FORMAT",
    help="axon, or what a plugin brings: `axon-shell plugins` lists them.",
)
@click.option("--output", metavar="FILE", help="Where to write; - is stdout. Left out: a name from the prompt.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@as_json
def export(session: str, form: str, output: str | None, force: bool, as_json: bool) -> None:
    """Write a past session to a file."""
    from ..plugins import catalogue
    from ..sessions import session_file

    config = read_config().config
    found = catalogue(config)
    with opened_store() as store, annotating(config, found, store) as annotate:
        written = session_file(store, annotate, found, session, form)
    if output == "-":
        written.write(sys.stdout.buffer)
        return
    path = Path(output or written.name)
    with written_whole(path, force) as file:
        written.write(file)
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path.absolute()), "format": form, "bytes": size})
    else:
        print(f"{path} ({size:,} bytes)")
