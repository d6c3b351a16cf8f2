"""The one thread that owns the model: it loads, generates and stops, one thing at a time, and tells the event log."""

from __future__ import annotations

import gc
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import calibrating, hub, session, why
from .apart import Apart
from .config import Config
from .corpus import Corpus
from .errors import Busy, Cancelled, Refused, StoreError, as_axon_error
from .events import EventLog
from .hub import installed, on_hub
from .plugins import require_installed
from .provenance import weights_of
from .records import Edit, Message, ModelSpec, Problem, SaeSpec, Settings, Spec
from .session import Annotator, Nowhere
from .store import Store

if TYPE_CHECKING:
    from .engine.model import Model
    from .engine.sae import Sae


IDLE: Message = {"kind": "calibration", "sae": None, "state": "idle"}
GOING_ON = ("loading", "reading", "looking")  # states of a calibration that has not ended
TELL_EVERY = 0.25  # seconds
NAMED_AT_ONCE = 32  # features, before looking whether there is something better to do
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the engine is doing, as the page shows it."""

    state: str = "empty"  # empty, loading, ready, running, failed
    stage: str = ""  # of loading: "Importing PyTorch"
    done: int | None = None  # bytes of a download
    total: int | None = None
    model: str | None = None
    saes: tuple[str, ...] = ()
    device: str | None = None
    dtype: str | None = None
    error: dict[str, str] | None = None


class Worker:
    """Runs sessions in a thread of its own and puts their messages into the event log."""

    def __init__(self, store: Store, annotate: Annotator, events: EventLog, config: Config) -> None:
        self.store, self.annotate, self.events, self.config = store, annotate, events, config
        self.engine = EngineState()
        self.live: str | None = None  # the session that is being generated
        self.streamed: tuple[str, list[Message]] = ("", [])  # the session generated last, with its messages so far
        self.passing: tuple[str, list[Message]] = ("", [])  # what was read last without being stored
        self.reading: Future[list[Message]] = Future()  # the reading asked for last
        self.told: list[Problem] = []  # of label sources and analysers
        self.model: Model | None = None
        self.saes: dict[str, Sae] = {}
        self.jobs: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self.apart = Apart()
        self.training: Message | None = None  # the last event of the SAE that is being trained, or was last
        self.promoter: session.Promoter | None = None  # of the model
        self.unnamed: dict[tuple[str, int], None] = {}  # features of SAEs whose promoted tokens are to be worked out
        self.calibrating: Generator[Message, None, None] | None = None
        self.told_at = 0.0  # when how far it is was told last
        self.calibration: Message = IDLE  # what was told last of the calibration that goes on, or went on last
        self.stopping = threading.Event()
        self.asking = ""  # the question, by its name, that was asked last and is not answered yet
        self.wish = object()  # stands for what was asked to be loaded last: only that is wanted
        self.claim = threading.Lock()
        self.thread = threading.Thread(target=self.work, name="engine", daemon=True)
        self.thread.start()

    # -- asked from other threads ---------------------------------------------

    def load(self, model: ModelSpec, saes: list[SaeSpec], download: bool = False) -> None:
        """Get a model and SAEs ready in the background, instead of what is being loaded; progress comes as events.

        What is not on this machine is fetched if `download`, else it is a failure.
        """
        wish = self.wish = object()
        self.jobs.put(lambda: self.prepare(model, saes, lambda: self.wish is not wish, download))

    def cancel(self) -> None:
        """Stop loading or downloading at the next occasion; what was downloaded stays."""
        self.wish = object()
        self.asking = ""
        self.stopping.set()

    def run(
        self,
        uid: str,
        prompt: str,
        model: ModelSpec,
        saes: list[SaeSpec],
        settings: Settings,
        parent: Message | None = None,
        edits: Sequence[Edit] = (),
    ) -> None:
        """Generate a session in the background. Raises Busy while another is being generated."""
        with self.claim:
            if self.live:
                raise Busy("A session is being generated already.", "Stop it, or wait until it ends.")
            if self.apart.busy:
                raise Busy("An SAE is being trained.", "Stop that, or wait until it ends: both at once take too long.")
            self.live = uid
            self.reading.cancel()
            self.asking = ""  # what writes goes first
            self.stopping.clear()
        self.jobs.put(lambda: self.generate(uid, prompt, model, saes, settings, parent, edits))

    def read(self, uid: str, prompt: str, model: ModelSpec, saes: list[SaeSpec], settings: Settings) -> list[Message]:
        """Read a prompt and give its messages; nothing is stored, loaded or told of it, and everything else goes first.

        The first message is marked "transient". Raises Refused where the model or an SAE is not loaded, Busy where
        there is something else to do or a later wish came before it began, and PromptError.
        """
        answer: Future[list[Message]] = Future()
        with self.claim:
            if self.live or self.engine.state == "loading":
                raise later()
            self.reading.cancel()
            self.reading = answer
        self.jobs.put(lambda: self.read_in_passing(answer, uid, prompt, model, saes, settings))
        try:
            return answer.result()
        except CancelledError:
            raise later() from None

    def in_memory(self, session: str) -> list[Message] | None:
        """The messages of a session that is at hand without the store: generated last, or read last in passing."""
        return next((messages for uid, messages in (self.streamed, self.passing) if uid == session), None)

    def stop(self) -> bool:
        """End the session that is being generated after its current token; False when there is none."""
        self.cancel()
        return self.live is not None

    def ask(
        self, name: str, question: why.Question, model: ModelSpec, saes: list[SaeSpec], token: int | str | None
    ) -> None:
        """Answer a question in the background, in place of the one before; progress and answer come as events.

        Raises Busy while a session is being generated.
        """
        with self.claim:
            if self.live:
                raise Busy("A session is being generated.", "Stop it, or wait until it ends, then ask.")
            self.asking = name
        self.jobs.put(lambda: self.answer(name, question, model, saes, token))

    def stop_asking(self) -> None:
        """Answer no more."""
        self.asking = ""

    def train(self, sae: str, arguments: Sequence[str], done: Callable[[], object]) -> None:
        """Train an SAE in a process of its own (`axon-shell train-sae`); what it tells comes as events.

        `done` is called when the SAE lies in the data folder, before that is told. Raises Busy while a session is
        generated or another SAE is trained.
        """

        def tell(message: Message) -> None:
            if message["kind"] == "end":
                done()
            self.training = {**message, "kind": "training", "state": message["kind"], "sae": sae}
            self.events.put(self.training)

        with self.claim:
            if self.live:
                raise Busy("A session is being generated.", "Stop it, or wait until it ends.")
            self.apart.begin(arguments, tell)
            tell({"kind": "loading"})

    def forget(self, uids: Sequence[str]) -> None:
        """Keep the messages of sessions no longer that were deleted."""
        if self.streamed[0] in uids:
            self.streamed = "", []

    def name_soon(self, sae: str, features: Iterable[int]) -> None:
        """Work out which tokens features promote, when there is nothing better to do and their SAE is loaded."""
        self.jobs.put(lambda: self.unnamed.update(((sae, feature), None) for feature in features))

    def calibrate(self, model: ModelSpec, sae: SaeSpec, corpus: Corpus, most: int, resume: bool) -> None:
        """Calibrate an SAE when there is nothing better to do; how far it is comes as "calibration" events.

        Raises Busy while another is being calibrated.
        """
        with self.claim:
            if self.calibration["state"] in GOING_ON:
                raise Busy("An SAE is being calibrated already.", "Wait until that is done, or cancel it.")
            self.tell_calibration(IDLE | {"sae": sae.id, "state": "loading", "corpus": corpus.name})
        self.jobs.put(lambda: self.begin_calibration(model, sae, corpus, most, resume))

    def cancel_calibration(self) -> None:
        """Stop calibrating; what was counted is kept."""
        self.jobs.put(lambda: self.end_calibration("cancelled"))

    def close(self) -> None:
        """Stop generating and end the thread."""
        self.cancel()
        self.reading.cancel()
        self.apart.stop(wait=True)
        self.jobs.put(None)
        self.thread.join(timeout=2)  # longer only while it imports or reads a prompt, which cannot be interrupted

    # -- in the thread --------------------------------------------------------

    def work(self) -> None:
        while True:
            try:
                job = self.jobs.get(block=not (self.unnamed or self.calibrating))
            except queue.Empty:
                if self.unnamed:
                    self.name_some()
                else:
                    self.calibrate_some()
                continue
            if job is None:
                self.end_calibration("cancelled")
                return
            job()

    def begin_calibration(self, model: ModelSpec, sae: SaeSpec, corpus: Corpus, most: int, resume: bool) -> None:
        """Get ready to calibrate."""
        wish = self.wish
        if self.calibration["state"] != "loading":  # it was cancelled meanwhile
            return
        if not self.prepare(model, [sae], lambda: self.wish is not wish):
            known = self.engine.error or Cancelled("Loading was stopped.", "Calibrate again.").as_record()
            self.tell_calibration(self.calibration | {"state": "failed", "error": known})
            return
        assert self.model
        self.calibrating = calibrating.calibrate(
            self.model, self.saes[sae.id], corpus, self.annotate.labels, most, resume
        )

    def calibrate_some(self) -> None:
        """Go on calibrating for a moment."""
        assert self.calibrating
        try:
            self.tell_calibration(next(self.calibrating))
        except StopIteration:
            self.calibrating = None
        except Exception as error:
            self.calibrating = None
            known = as_axon_error(error, "calibrating")
            self.tell_calibration(self.calibration | {"state": "failed", "error": known.as_record()})

    def end_calibration(self, state: str) -> None:
        """Leave a calibration off, if one goes on; what was counted is kept."""
        if self.calibrating:
            self.calibrating.close()
            self.calibrating = None
        if self.calibration["state"] in GOING_ON:
            self.tell_calibration(self.calibration | {"state": state})

    def tell_calibration(self, message: Message) -> None:
        """Put how far a calibration is into the event log, a few times a second."""
        fresh = message["state"] != self.calibration["state"]
        self.calibration = message
        if fresh or time.monotonic() > self.told_at + TELL_EVERY:
            self.told_at = time.monotonic()
            self.events.put(message)

    def name_some(self) -> None:
        """Work out which tokens a few features promote, and tell what they are called now."""
        name = next(iter(self.unnamed))[0]
        features = [feature for of, feature in self.unnamed if of == name][:NAMED_AT_ONCE]
        for feature in features:
            del self.unnamed[name, feature]
        if not self.model or name not in self.saes:
            return
        try:
            self.promoter = self.promoter or session.Promoter(self.model)
            new = self.promoter.name(self.saes[name], features, self.annotate.labels)
        except Exception as error:
            as_axon_error(error, "working out promoted tokens")  # it is logged; the features keep their numbers
            self.unnamed.clear()
            return
        self.rename(name, new)

    def rename(self, sae: str, features: list[int]) -> None:
        """Tell what features are called now, as there is something new to say of them."""
        if features:
            self.annotate.labels.tell_anew(sae, features)

    def name_undescribed(self, uid: str) -> None:
        """Have named by their tokens what fired in the session just generated and nobody has described."""
        kept = self.config.sessions
        with suppress(StoreError):
            self.store.flush()  # then it counts among the sessions in which they fired
            if (kept.most or kept.most_mb) and self.store.keep_within(kept.most, kept.most_mb * 1_000_000):
                self.events.put({"kind": "sessions_changed"})
        messages = self.streamed[1] if self.streamed[0] == uid else []
        for sae, features in session.undescribed(messages, self.annotate.labels).items():
            self.rename(sae, features)
            self.unnamed.update(((sae, feature), None) for feature in features)

    def generate(
        self,
        uid: str,
        prompt: str,
        model: ModelSpec,
        saes: list[SaeSpec],
        settings: Settings,
        parent: Message | None,
        edits: Sequence[Edit],
    ) -> None:
        try:
            if not self.prepare(model, saes, self.stopping.is_set):
                error = self.engine.error or Cancelled("Stopped before it began.", "Run it again.").as_record()
                self.events.put({"kind": "refused", "session": uid, "error": error})
                return
            assert self.model
            self.tell(state="running")
            chosen = [self.saes[sae.id] for sae in saes]
            stream = session.run(
                *(uid, prompt, self.model, chosen, settings, self.annotate, self.store, self.stopping.is_set),
                parent=parent,
                vectors=self.config.sessions.vectors,
                edits=edits,
            )
            for message in stream:
                if message["kind"] == "start":
                    self.streamed = uid, []
                self.streamed[1].append(message)
                self.events.put(message | {"session": uid})
            log.info("session %s: %s, %s new tokens", uid, message["reason"], message["new_tokens"])
            self.jobs.put(lambda: self.name_undescribed(uid))
        except Exception as error:
            self.events.put({"kind": "refused", "session": uid, "error": as_axon_error(error, "starting").as_record()})
        finally:
            self.live = None
            if self.engine.state == "running":
                self.tell(state="ready")
            self.tell_problems()
            self.events.put({"kind": "sessions_changed"})

    def read_in_passing(
        self,
        answer: Future[list[Message]],
        uid: str,
        prompt: str,
        model: ModelSpec,
        saes: list[SaeSpec],
        settings: Settings,
    ) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            if not self.model or not self.has(model, saes):
                raise Refused(f"{model.name} is not loaded with these SAEs.", "Choose them at the top, or run.")
            chosen = [self.saes[sae.id] for sae in saes]
            messages: list[Message] = []
            for message in session.run(
                uid, prompt, self.model, chosen, settings, self.annotate, Nowhere(), lambda: False
            ):
                if self.live:  # a run was asked for, and must not wait
                    raise later()
                messages.append(message | ({"transient": True} if message["kind"] == "start" else {}))
        except Exception as error:
            answer.set_exception(as_axon_error(error, "reading what is typed"))
            return
        finally:
            self.tell_problems()
        self.passing = uid, messages
        answer.set_result(messages)
        for name, features in session.undescribed(messages[-2:], self.annotate.labels).items():  # of the last token
            self.unnamed.update(((name, feature), None) for feature in features)

    def tell_problems(self) -> None:
        """Tell which label sources and analysers failed since this was told last."""
        for problem in self.annotate.problems():
            if problem not in self.told:
                self.told.append(problem)
                self.events.put({"kind": "problem"} | asdict(problem))

    def has(self, model: ModelSpec, saes: Iterable[SaeSpec]) -> bool:
        """Whether a model and SAEs are loaded."""
        return (
            self.model is not None and self.model.spec.id == model.id and {sae.id for sae in saes} <= self.saes.keys()
        )

    def answer(
        self, name: str, question: why.Question, model: ModelSpec, saes: list[SaeSpec], token: int | str | None
    ) -> None:
        def tell(**what: Any) -> None:
            self.events.put({"kind": "why", "request": name} | what)

        def told(done: int, total: int) -> None:
            if self.asking != name:
                raise Cancelled("The question was withdrawn.", "Ask again.")
            tell(state="running", done=done, total=total)

        try:
            if not self.prepare(model, saes, lambda: self.asking != name):
                error = self.engine.error or Cancelled("Stopped before it was answered.", "Ask again.").as_record()
                tell(state="failed", error=error)
                return
            assert self.model
            chosen = [self.saes[sae.id] for sae in saes]
            found = why.answer(question, self.model, chosen, self.annotate.labels, token, told)
            tell(state="done", answer=found)
        except Exception as error:
            tell(state="failed", error=as_axon_error(error, "explaining a token").as_record())

    def prepare(
        self, model: ModelSpec, saes: list[SaeSpec], cancelled: Callable[[], bool], download: bool = False
    ) -> bool:
        """Load what is not loaded yet, free what is not asked for; whether all is ready now."""

        def report(stage: str) -> None:
            if cancelled():
                raise Cancelled("Loading was stopped.", "Choose the model again to load it.")
            self.tell(stage=stage)

        wanted = {sae.id: sae for sae in saes}
        if self.has(model, saes):
            if self.engine.state in ("failed", "empty"):  # of another wish, which is given up
                self.tell_ready(model, wanted)
            return True
        self.store.get_ready()
        self.engine = EngineState()
        self.tell(state="loading", stage="Looking for the weights", model=model.id, saes=tuple(wanted))
        with self.claim:
            self.reading.cancel()  # it would wait for all of this
        try:
            if download:
                self.fetch(model, cancelled)
                for sae in saes:
                    self.fetch(sae, cancelled)
            require_installed(model, saes)
            specs: list[Spec] = [model, *saes]
            for spec in specs:
                weights_of(spec)  # the checksum that a session records: now, and not when its first token is awaited
            report("Importing PyTorch and SAELens")
            from .engine.model import choose_device, load_model, number_type
            from .engine.sae import load_sae

            self.free(model, wanted)
            if not self.model:
                device, dtype = choose_device(self.config.device), number_type(self.config.dtype)
                self.model = load_model(model, device, report, dtype)
            for name, spec in wanted.items():
                if name not in self.saes:
                    self.saes[name] = load_sae(spec, self.model, report)
                self.annotate.labels.brought(name)  # read it now, and not when its first feature is named
        except Cancelled:
            self.engine = EngineState()
            self.tell(state="empty")
            return False
        except Exception as error:
            known = as_axon_error(error, "loading")
            log.info("%s not loaded: %s", model.id, known.message)
            self.tell(state="failed", stage="", error=known.as_record())
            return False
        log.info("loaded %s with %s on %s", model.id, ", ".join(wanted) or "no SAE", self.model.device)
        self.tell_ready(model, wanted)
        return True

    def tell_ready(self, model: ModelSpec, saes: Iterable[str]) -> None:
        from .engine.model import number_format

        assert self.model
        device, dtype = str(self.model.device), number_format(self.model.dtype)
        self.engine = EngineState()
        self.tell(state="ready", model=model.id, saes=tuple(saes), device=device, dtype=dtype)

    def fetch(self, spec: Spec, cancelled: Callable[[], bool]) -> None:
        """Download the weights of an entry of the catalogue, unless they are here."""
        files = on_hub(spec)
        if files is None or installed(spec):
            return
        self.tell(stage=f"Downloading {spec.id}")
        hub.fetch(files, self.config.offline, lambda done, total: self.tell(done=done, total=total), cancelled)
        self.tell(done=None, total=None)
        self.events.put({"kind": "installed", "id": spec.id})

    def free(self, model: ModelSpec, wanted: dict[str, SaeSpec]) -> None:
        """Let go of a model and of SAEs that are not asked for, so that their memory is free for what is."""
        if self.calibrating and self.calibration["sae"] not in wanted:
            self.end_calibration("cancelled")
        if self.model and self.model.spec.id != model.id:
            self.model, self.saes, self.promoter = None, {}, None
        self.saes = {name: sae for name, sae in self.saes.items() if name in wanted}
        gc.collect()  # modules and their hooks refer to each other

    def tell(self, **changes: Any) -> None:
        """Change the engine's state and put it into the event log."""
        self.engine = EngineState(**(asdict(self.engine) | changes))
        self.events.put({"kind": "engine"} | asdict(self.engine))


def later() -> Busy:
    """What is said to whom a prompt cannot be read for now."""
    return Busy("The model is being loaded, or writes a session.", "It is read when that is done.")
