"""Past sessions: finding, reading, changing, comparing and writing them to files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from .. import homes
from ..errors import ExportError, Refused
from ..graph import By, graph_of
from ..labels import as_fields
from ..records import Message, steps_of
from ..session import replay
from ..sessions import AXON, compared, session_file
from ..share import SUFFIX, take_in
from ..store import Search
from .checks import bounded, from_base64
from .part import Part

LONGEST_SEARCH = 200  # characters
MOST_COMPARED, MOST_PREDICTED = 400, 400  # features and positions of two sessions that are told
PNG = b"\x89PNG\r\n\x1a\n"


class Past(Part):
    """What the page asks of sessions."""

    def sessions(
        self,
        before: str | None = None,
        limit: int = 50,
        text: str = "",
        model: str = "",
        sae: str = "",
        since: int | None = None,
        until: int | None = None,
        pinned: bool = False,
        deleted: bool = False,
    ) -> dict[str, Any]:
        """A page of the list of sessions that a search wants, newest first. Times are milliseconds since 1970."""
        limit = bounded(limit, 1, 200)
        wanted = Search(text[:LONGEST_SEARCH], model, sae, since, until, pinned, deleted)
        rows = self.store.sessions(before, limit + 1, wanted)
        return {
            "sessions": [asdict(row) for row in rows[:limit]],
            "more": len(rows) > limit,
            "bytes": self.store.size(),
        }

    def edit_session(
        self, session: str, title: str | None = None, note: str | None = None, pinned: bool | None = None
    ) -> dict[str, Any]:
        """Rename a session, write a note to it, or pin it; gives its row."""
        row = self.store.change(session, title, note, pinned)
        self.events.put({"kind": "sessions_changed"})
        return asdict(row)

    def delete_sessions(self, sessions: list[str]) -> dict[str, Any]:
        """Delete sessions; for a day they can be restored."""
        gone = self.store.delete(sessions)
        self.worker.forget(gone)
        self.events.put({"kind": "sessions_changed"})
        return {"deleted": gone}

    def restore_sessions(self, sessions: list[str]) -> dict[str, Any]:
        """Bring back deleted sessions."""
        back = self.store.restore(sessions)
        self.events.put({"kind": "sessions_changed"})
        return {"restored": back}

    def firings(self, sae: str, feature: int, limit: int = 50) -> dict[str, Any]:
        """The sessions in which a feature fired, strongest first."""
        found = self.store.firings(sae, feature, bounded(limit, 1, 500))
        return {"firings": [asdict(one) for one in found]}

    def compare(self, a: str, b: str, saes: list[str] | None = None) -> dict[str, Any]:
        """Two sessions side by side, the features with the largest change first, predictions up to where they part."""
        found = compared(self.store, self.labels, a, b, saes or ())
        return found | {
            "features": found["features"][:MOST_COMPARED],
            "features_total": len(found["features"]),
            "predictions": found["predictions"][-MOST_PREDICTED:],
        }

    def export_session(self, session: str, form: str) -> dict[str, Any]:
        """Write a session into the user's folder for downloads."""
        written = session_file(self.store, self.worker.annotate, self.catalogue, session, form)
        return saved(written.name, written.write)

    def save_picture(self, session: str, png: str) -> dict[str, Any]:
        """Write a picture of the graph, a PNG as base64, into the user's folder for downloads."""
        content = from_base64(png)
        if not content.startswith(PNG):
            raise Refused("This is no picture.", "Reload the page.")
        name = session_file(self.store, self.worker.annotate, self.catalogue, session, AXON).name
        return saved(name.removesuffix(SUFFIX) + ".png", lambda file: file.write(content))

    def import_session(self, content: str) -> dict[str, Any]:
        """Take in a session from the content of an .axon file, as base64; nothing is overwritten."""
        assert self.labels.store
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"session{SUFFIX}"
            path.write_bytes(from_base64(content))
            found = take_in(path, self.store, self.labels, self.labels.store)
        self.events.put({"kind": "sessions_changed"})
        return asdict(found)

    def first_look(self) -> dict[str, Any]:
        """Take in the session that the very first start plays; gives its uid, None at later starts.

        Not done by `hello`: it makes the database, which the window should not wait for.
        """
        recording = self.bridge.recording()
        if recording is None:
            return {"session": None}
        assert self.labels.store
        found = take_in(recording, self.store, self.labels, self.labels.store)
        self.events.put({"kind": "sessions_changed"})
        return {"session": found.session}

    def messages(self, session: str, after: int = -1, max: int = 200) -> dict[str, Any]:
        """Messages of a session in order, from index `after` + 1 on, as they were streamed."""
        limit = bounded(max, 1, 1000)
        found = self._of_session(session, after, limit + 1)
        return {"messages": found[:limit], "more": len(found) > limit}

    def _of_session(self, session: str, after: int = -1, limit: int | None = None) -> list[Message]:
        messages = self.worker.in_memory(session)
        if messages is not None:
            found = messages[after + 1 : None if limit is None else after + 1 + limit]
            return [self.worker.annotate.named(message) for message in found]
        return replay(session, self.store, self.worker.annotate, after, limit)

    def _unnamed(self, session: str, limit: int) -> list[Message]:
        """The first messages of a session, named as they were when they were streamed, or not at all."""
        messages = self.worker.in_memory(session)
        return self.store.messages(session, limit=limit) if messages is None else messages[:limit]

    def graph(
        self, session: str, sae: str, by: By, position: int, edges_per_node: int = 3, max_nodes: int = 300
    ) -> dict[str, Any]:
        """The nodes and edges of what fired up to and including a position."""
        found = self._unnamed(session, max(position, 0) + 2)  # the start and the steps up to the position
        steps = [step for step in steps_of(found) if step["position"] <= position]
        drawn = graph_of(steps, sae, by, bounded(edges_per_node, 0, 20), bounded(max_nodes, 1, 2000))
        nodes = sorted(drawn.nodes, key=lambda node: -node.last)  # what fires at the cursor is asked first
        named = self.labels.of(sae, [node.feature for node in nodes], visible=True)
        return {
            "position": position,
            "nodes": [asdict(node) | as_fields(*named[node.feature]) for node in drawn.nodes],
            "edges": [asdict(edge) for edge in drawn.edges],
            "nodes_total": drawn.nodes_total,
            "edges_total": drawn.edges_total,
        }


def saved(name: str, write: Callable[[BinaryIO], object]) -> dict[str, Any]:
    """Write a file into the user's folder for downloads, under a name that is not taken; where it is and how large.

    Raises ExportError.
    """
    folder = homes.downloads()
    stem, dot, suffix = name.partition(".")
    path, number = folder / name, 2
    while path.exists():
        path, number = folder / f"{stem} ({number}){dot}{suffix}", number + 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            write(file)
    except BaseException as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        hint = "Use `axon-shell sessions export`."
        raise ExportError(f"{path} cannot be written: {error.strerror}.", hint) from error
    return {"file": str(path), "bytes": path.stat().st_size}
