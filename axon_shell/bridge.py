"""What the page may call: one function per method, JSON text both ways, never an exception.

    call("sessions", '{"limit": 20}') -> '{"ok": true, "value": {...}}'
                                      or '{"ok": false, "error": {"kind": ..., "message": ..., "hint": ...}}'

No logic in here: each method checks what the page sent and asks the part that knows.
"""

from __future__ import annotations

import base64
import inspect
import json
import logging
import webbrowser
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Any, BinaryIO, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from . import __version__, homes
from .config import Config, Start, write_config
from .crashes import newest
from .errors import ExportError, InvalidSetting, Refused, as_axon_error
from .events import EventLog
from .graph import By, graph
from .labels import Labels, as_fields
from .plugins import Catalogue, installed_among, listing
from .records import AUTOMATIC, SETTING_RANGES, Label, Message, Settings, require_prompt
from .remembered import Remembered
from .session import replay
from .sessions import AXON, compared, session_file
from .share import SUFFIX, take_in
from .store import Search, Store, new_uid
from .worker import Worker

FAULTS, LONGEST_FAULT = 20, 4000  # of the page that are logged, and how many characters of each
MOST_NAMES, LONGEST_SEARCH = 2000, 200  # features named in one call; characters of a search
MOST_COMPARED = 400  # features of two sessions that are told
PNG = b"\x89PNG\r\n\x1a\n"
log = logging.getLogger(__name__)
LINKS = ("https://www.neuronpedia.org/", "https://neuronpedia.org/", "https://huggingface.co/", "https://github.com/")


class Bridge:
    """Answers the page. Safe to call from any number of threads."""

    def __init__(
        self, worker: Worker, store: Store, catalogue: Catalogue, config: Config, remembered: Remembered
    ) -> None:
        self.worker, self.store, self.catalogue, self.config = worker, store, catalogue, config
        self.remembered, self.faults = remembered, 0
        self.events: EventLog = worker.events
        self.labels: Labels = worker.annotate.labels
        self.methods: dict[str, Callable[..., Any]] = {
            method.__name__: method
            for method in (
                self.hello,
                self.next_events,
                self.saes,
                self.load,
                self.cancel,
                self.run,
                self.stop,
                self.sessions,
                self.edit_session,
                self.delete_sessions,
                self.restore_sessions,
                self.firings,
                self.compare,
                self.export_session,
                self.save_picture,
                self.import_session,
                self.messages,
                self.graph,
                self.feature,
                self.names,
                self.edit_label,
                self.search_labels,
                self.label_set,
                self.label_offer,
                self.get_labels,
                self.cancel_labels,
                self.retry_labels,
                self.keep,
                self.remember,
                self.dismiss_crash,
                self.page_fault,
                self.open_url,
            )
        }

    def call(self, method: str, params: str) -> str:
        """The answer to one call of the page, as JSON text."""
        try:
            value = self.dispatch(method, params)
            return json.dumps({"ok": True, "value": value}, allow_nan=False)
        except Exception as error:
            record = as_axon_error(error, f"answering {str(method)[:40]!r}").as_record()
            return json.dumps({"ok": False, "error": record})

    def dispatch(self, method: str, params: str) -> Any:
        if method not in self.methods:
            raise Refused(f"The page called {str(method)[:40]!r}, which does not exist.", "Reload the page.")
        try:
            arguments = json.loads(params)
            inspect.signature(self.methods[method]).bind(**arguments)
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(f"The page called {method} wrongly: {error}.", "Reload the page.") from error
        kinds = get_type_hints(self.methods[method])
        for name, value in arguments.items():
            if not fits(value, kinds[name]):
                raise Refused(f"The page called {method} with {name} = {str(value)[:40]!r}.", "Reload the page.")
        return self.methods[method](**arguments)

    def close(self) -> None:
        """Wake every waiting call, stop generating, flush the store."""
        self.events.close()
        self.worker.close()
        self.labels.close()
        self.store.close()

    # -- state ----------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Everything that the page needs to draw itself first."""
        last = self.events.last  # read first: what happens meanwhile is told again, not lost
        model = self.catalogue.models.get(self.config.start.model) or next(iter(self.catalogue.models.values()), None)
        saes = [name for name in self.config.start.saes if name in self.catalogue.saes]
        firsts = [self.catalogue.saes[m.sae] for m in self.catalogue.models.values() if m.sae in self.catalogue.saes]
        known = {sae.id: sae for sae in (*firsts, *installed_among(self.catalogue.saes.values()))}
        counts = Counter(sae.model for sae in self.catalogue.saes.values())
        return {
            "version": __version__,
            "offline": self.config.offline,
            "models": [listing(spec) | {"saes": counts[spec.id]} for spec in self.catalogue.models.values()],
            "saes": [listing(spec) for spec in known.values()],
            "settings": asdict(self.config.settings),
            "defaults": asdict(Settings()),
            "ranges": SETTING_RANGES,
            "selected": {"model": model and model.id, "saes": saes or ([model.sae] if model and model.sae else [])},
            "problems": [asdict(problem) for problem in (*self.catalogue.problems, *self.worker.annotate.problems())],
            "analysers": {
                one.name: {"about": one.about, "high": one.high, "unit": one.unit}
                for one in self.catalogue.analysers.values()
            },
            "formats": [{"name": AXON, "about": "everything, to open on another machine"}]
            + [{"name": one.name, "about": one.about} for one in self.catalogue.exporters.values()],
            "remembered": self.remembered.values,
            "crash": self.crash(),
            "engine": {"kind": "engine"} | asdict(self.worker.engine),
            "live": self.worker.live,
            "last_event": last,
            "store": self.store_state(),
        }

    def store_state(self) -> dict[str, Any]:
        problem = self.store.failure or self.store.problem
        message = f"{problem.message} {problem.hint}".strip() if problem else None
        return {"path": str(self.store.path), "read_only": self.store.read_only, "message": message}

    def crash(self) -> dict[str, Any] | None:
        report = newest(homes.crashes(), str(self.remembered.values.get("crash_seen", "")))
        return asdict(report) if report else None

    def next_events(self, after: int, max: int = 256, wait: float = 10) -> dict[str, Any]:
        """The events after a number; waits for the first of them."""
        return self.events.after(after, bounded(max, 1, 1024), min(wait, 30))

    # -- generating -----------------------------------------------------------

    def saes(self, model: str, search: str = "", limit: int = 60) -> dict[str, Any]:
        """SAEs that read a model and match a search, the likeliest first, and how many there are in all."""
        found = self.catalogue.saes_of(self.catalogue.model(model).id, search)
        return {"saes": [listing(sae) for sae in found[: bounded(limit, 1, 500)]], "total": len(found)}

    def load(self, model: str, saes: list[str], download: bool = False) -> dict[str, Any]:
        """Get a model and SAEs ready, fetching what is not here if `download`; progress comes as events."""
        self.worker.load(*self.catalogue.choose(model, saes), download)
        return {}

    def cancel(self) -> dict[str, Any]:
        """Stop loading or downloading."""
        self.worker.cancel()
        return {}

    def run(
        self,
        prompt: str,
        model: str,
        saes: list[str],
        settings: dict[str, Any],
        parent: str | None = None,
        position: int | None = None,
    ) -> dict[str, Any]:
        """Begin a session; its messages come as events. `parent` is the session whose text up to a position it took."""
        require_prompt(prompt)
        chosen = self.settings(settings)
        uid = new_uid()
        before = {"session": self.store.summary(parent).uid, "position": max(position or 0, 0)} if parent else None
        self.worker.run(uid, prompt, *self.catalogue.choose(model, saes), chosen, before)
        return {"session": uid}

    def settings(self, changed: dict[str, Any]) -> Settings:
        """The settings in force with some changed. Raises InvalidSetting."""
        known = {f.name for f in fields(Settings)}
        if unknown := set(changed) - known:
            raise InvalidSetting(f"There is no setting {min(unknown)!r}.", f"Settings: {', '.join(sorted(known))}.")
        return Settings(**(asdict(self.config.settings) | changed))

    def stop(self) -> dict[str, Any]:
        """End the session that is being generated."""
        return {"stopping": self.worker.stop()}

    # -- past sessions --------------------------------------------------------

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
        """Two sessions side by side, the features with the largest change first."""
        found = compared(self.store, self.labels, a, b, saes or ())
        return found | {"features": found["features"][:MOST_COMPARED], "features_total": len(found["features"])}

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

    def messages(self, session: str, after: int = -1, max: int = 200) -> dict[str, Any]:
        """Messages of a session in order, from index `after` + 1 on, as they were streamed."""
        limit = bounded(max, 1, 1000)
        found = self.of_session(session, after, limit + 1)
        return {"messages": found[:limit], "more": len(found) > limit}

    def of_session(self, session: str, after: int = -1, limit: int | None = None) -> list[Message]:
        uid, messages = self.worker.streamed
        if session == uid:
            found = messages[after + 1 : None if limit is None else after + 1 + limit]
            return [self.worker.annotate.named(message) for message in found]
        return replay(session, self.store, self.worker.annotate, after, limit)

    def unnamed(self, session: str, limit: int) -> list[Message]:
        """The first messages of a session, named as they were when they were streamed, or not at all."""
        uid, messages = self.worker.streamed
        return messages[:limit] if session == uid else self.store.messages(session, limit=limit)

    def graph(
        self, session: str, sae: str, by: By, position: int, edges_per_node: int = 3, max_nodes: int = 300
    ) -> dict[str, Any]:
        """The nodes and edges of what fired up to and including a position."""
        found = self.unnamed(session, max(position, 0) + 2)  # the start and the steps up to the position
        steps = [m for m in found if m["kind"] == "step" and not m.get("is_bos")]
        steps = [m for m in steps if m["position"] <= position and sae in m["saes"]]
        firings = [[(f["feature"], f["activation"]) for f in m["saes"][sae]["features"]] for m in steps]
        start = steps[0]["position"] if steps else 0
        drawn = graph(firings, by, bounded(edges_per_node, 1, 20), bounded(max_nodes, 1, 2000), start)
        now = {feature for feature, _ in firings[-1]} if firings else set()
        nodes = sorted(drawn.nodes, key=lambda node: node.feature not in now)  # what fires at the cursor is asked first
        named = self.labels.of(sae, [node.feature for node in nodes], visible=True)
        return {
            "position": position,
            "nodes": [asdict(node) | as_fields(*named[node.feature]) for node in drawn.nodes],
            "edges": [asdict(edge) for edge in drawn.edges],
            "nodes_total": drawn.nodes_total,
            "edges_total": drawn.edges_total,
        }

    # -- features and labels --------------------------------------------------

    def feature(self, sae: str, feature: int) -> dict[str, Any]:
        """What is known about a feature; what may still come is told by a "labels" event."""
        self.labels.require_feature(sae, feature)
        spec = self.catalogue.saes.get(sae)
        label, state = self.labels.of(sae, [feature], visible=True)[feature]
        origin, facts, details_state = self.labels.details(sae, feature)
        computed = self.labels.promoted(sae, [feature]).get(feature)
        if computed is None:
            self.worker.name_soon(sae, [feature])
        own, place = self.labels.own(sae, feature), self.labels.place_of(sae)
        return {
            "sae": sae,
            "feature": feature,
            "label": label and as_record(label),
            "label_state": state,
            "labels": [as_record(one) for one in self.labels.all_of(sae, feature)],
            "own": own and asdict(own),
            "statistics": self.labels.statistics(sae, feature),
            "details": {
                "origin": origin,
                "density": facts.density,
                "max_activation": facts.max_activation,
                "promoted": facts.promoted or (computed.tokens if computed else ()),
                "suppressed": facts.suppressed or (computed.suppressed if computed else ()),
                "promoted_origin": origin if facts.promoted else AUTOMATIC if computed else "",
                "contexts": [asdict(context) for context in facts.contexts],
            },
            "details_state": details_state,
            "publisher": place and place.publisher.title,
            "neuronpedia_url": place and place.publisher.page(place.label_set, feature),
            "hook": spec and spec.hook,
            "model": spec and spec.model,
            "width": spec and spec.width,
        }

    def names(self, sae: str, features: list[int]) -> dict[str, Any]:
        """What features are called now."""
        return {"labels": self.labels.message(sae, features[:MOST_NAMES])["labels"]}

    def edit_label(self, sae: str, feature: int, label: str, note: str) -> dict[str, Any]:
        """Keep the user's own label and note of a feature; what is empty is taken away."""
        self.labels.require_feature(sae, feature)
        self.labels.edit(sae, feature, label, note)
        return self.feature(sae, feature)

    def search_labels(self, text: str, sae: str = "", limit: int = 50) -> dict[str, Any]:
        """Labels that hold all words of a text, of one SAE or of all."""
        limit = bounded(limit, 1, 500)
        found = self.labels.search(text[:LONGEST_SEARCH], sae, limit + 1)
        return {
            "found": [
                {"sae": name, "feature": hit.feature, "label": hit.label.text}
                | {"origin": hit.label.origin, "method": hit.label.method, "explainer": hit.label.explainer}
                for name, hit in found[:limit]
            ],
            "more": len(found) > limit,
        }

    def label_set(self, sae: str) -> dict[str, Any]:
        """How many labels of an SAE are here, and how far a download of all has come."""
        return self.labels.about_set(sae) | {"offline": self.config.offline, "fetch": self.config.labels.fetch}

    def label_offer(self, sae: str) -> dict[str, Any]:
        """What getting all labels of an SAE would fetch. This asks the network."""
        return self.labels.offer(sae).as_message()

    def get_labels(self, sae: str) -> dict[str, Any]:
        """Get all labels of an SAE in the background; progress comes as "label_set" events."""
        self.labels.get_all(sae, lambda: self.events.put({"kind": "label_set"} | self.label_set(sae)))
        return {}

    def cancel_labels(self) -> dict[str, Any]:
        """Stop getting labels; what has arrived is kept for the next time."""
        self.labels.cancel()
        return {}

    def retry_labels(self) -> dict[str, Any]:
        """Ask again at once for labels that could not be had."""
        self.labels.retry()
        return {}

    # -- what stays -----------------------------------------------------------

    def keep(
        self, model: str | None = None, saes: list[str] | None = None, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Put what was chosen on the page into config.toml: for the next start, and for the terminal."""
        changes: dict[str, dict[str, Any]] = {}
        config = self.config
        if model is not None:
            spec, chosen = self.catalogue.choose(model, saes or [])
            ids = [sae.id for sae in chosen]
            changes["start"] = {"model": spec.id, "saes": [] if ids == [spec.sae] else ids}
            config = replace(config, start=Start(spec.id, tuple(changes["start"]["saes"])))
        if settings is not None:
            config = replace(config, settings=self.settings(settings))
            before, after = asdict(self.config.settings), asdict(config.settings)
            changes["settings"] = {name: value for name, value in after.items() if value != before[name]}
        write_config({table: values for table, values in changes.items() if values})
        self.config = config
        return {}

    def remember(self, name: str, value: Any) -> dict[str, Any]:
        """Remember a choice of the view."""
        self.remembered.put(name, value)
        return {}

    def dismiss_crash(self) -> dict[str, Any]:
        """Show the newest report of a crash no more."""
        if report := newest(homes.crashes(), ""):
            self.remembered.put("crash_seen", report.name)
        return {}

    def page_fault(self, text: str) -> dict[str, Any]:
        """Log a fault of the page itself."""
        self.faults += 1
        if self.faults <= FAULTS:
            log.error("a fault of the page: %s", text[:LONGEST_FAULT])
        return {}

    def open_url(self, url: str) -> dict[str, Any]:
        """Open one of the few known sites in the system's browser."""
        own = f"{self.config.labels.neuronpedia.rstrip('/')}/"
        if not url.startswith((*LINKS, own)) or urlsplit(url).username is not None:
            raise Refused("AXON Shell does not open links to this site.", "Copy the link into a browser.")
        webbrowser.open(url)
        return {}


def as_record(label: Label) -> dict[str, Any]:
    """A label as the page shows it."""
    return {name: value for name, value in asdict(label).items() if name != "id"}


def fits(value: Any, kind: Any) -> bool:
    """Whether a value from the page is of the kind that a method's annotation names."""
    if kind is Any:
        return True
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (UnionType, Union):
        return any(fits(value, part) for part in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if kind in (int, float):
        # A page has one kind of number; infinities and booleans are none.
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, origin or kind)


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text. Raises Refused."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("The page sent something that is no file.", "Reload the page.") from error


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


def bounded(value: int, low: int, high: int) -> int:
    """A number from the page, held within bounds."""
    return min(max(value, low), high)
