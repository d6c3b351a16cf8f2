"""Asking publishers for the labels of features on screen: in the background, many at once, the visible ones first.

What comes goes into labels.db and is told; what fails is tried again later and written nowhere.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..errors import AxonError, DownloadError, NotFound, StoreError, Throttled, Unreachable
from ..hookspecs import LabelPublisher
from ..published import published_sae
from ..records import FeatureFacts, Label, PublishedSae, SaeSpec
from .store import LabelStore
from .text import clean, clean_token
from .web import Web

AT_ONCE = 2  # questions under way
COALESCE = 0.07  # seconds in which questions are collected into one
LONGEST_QUEUE = 4_000  # features; the oldest that are not visible are forgotten first
HELD = 60.0  # seconds without questions about a set after an answer that was none
UNKNOWN_AFTER = 5  # features of a set, not one of them known: then the set is not
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A label set at its publisher, and an SAE that it is of."""

    publisher: LabelPublisher
    label_set: str
    sae: SaeSpec


Task = tuple[str, int]  # label set and feature


class Fetcher:
    """The threads that ask, and what waits for them. `named` is told of every set and features that were answered."""

    def __init__(self, store: LabelStore, web: Web, named: Callable[[str, list[int]], object]) -> None:
        self.store, self.web, self.named = store, web, named
        self.changed = threading.Condition()  # guards everything below
        self.places: dict[str, Place] = {}
        self.waiting: dict[Task, tuple[bool, int, int]] = {}  # visible ones first, then what was wanted last
        self.wanted_details: dict[Task, None] = {}
        self.asking: set[Task] = set()
        self.held: dict[str, float] = {}
        self.blocked: dict[str, tuple[float, str]] = {}  # until when this counts without looking again, and why
        self.verified: set[str] = set()  # sets whose publisher does not say that they are of another SAE
        self.known: set[str] = set()  # sets of which the publisher knew some feature
        self.missing: Counter[str] = Counter()  # features of the others that it did not know
        self.numbers = itertools.count(1)
        self.threads: list[threading.Thread] = []
        self.closing = False

    # -- asked from other threads ---------------------------------------------

    def want(self, place: Place, features: Iterable[int], visible: bool) -> str:
        """Ask for the labels of features, soon; gives their state: "pending" or "unavailable".

        What cannot be had now waits until it can, unless it will not be: offline, or from a set that is blocked.
        """
        if self.web.offline or self.is_blocked(place.label_set):
            return "unavailable"
        with self.changed:
            self.places[place.label_set] = place
            call = -next(self.numbers)
            for number, feature in enumerate(features):
                task, when = (place.label_set, feature), (not visible, call, number)
                if task not in self.asking:
                    self.waiting[task] = min(self.waiting.get(task, when), when)
            self.shorten()
            self.start()
            held = self.held.get(place.label_set, 0.0) > time.monotonic()
            self.changed.notify_all()
        return "unavailable" if held or not self.web.reachable else "pending"

    def want_details(self, place: Place, feature: int) -> str:
        """Ask for all about one feature, before anything else; gives "pending" or "unavailable"."""
        if not self.web.reachable or self.is_blocked(place.label_set):
            return "unavailable"
        with self.changed:
            if self.held.get(place.label_set, 0.0) > time.monotonic():
                return "unavailable"
            self.places[place.label_set] = place
            self.wanted_details[place.label_set, feature] = None
            self.start()
            self.changed.notify_all()
        return "pending"

    def is_blocked(self, label_set: str) -> str:
        """Why a set is not asked for at present; empty where it is."""
        until, why = self.blocked.get(label_set, (0.0, ""))
        if until <= time.monotonic():
            try:
                why = self.store.blocked(label_set)
            except StoreError as error:
                return error.message  # what came could not be kept
            self.blocked[label_set] = time.monotonic() + HELD, why
        return why

    def retry(self) -> None:
        """Try at once what could not be had."""
        self.web.retry()
        with self.changed:
            self.held.clear()
            self.changed.notify_all()

    def close(self) -> None:
        """End the threads; what waits is forgotten."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def start(self) -> None:
        while len(self.threads) < AT_ONCE and not self.closing:
            thread = threading.Thread(target=self.work, name=f"labels {len(self.threads)}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def shorten(self) -> None:
        """Forget the oldest of what waits where it has become too much."""
        if len(self.waiting) > LONGEST_QUEUE:
            kept = sorted(self.waiting, key=self.waiting.__getitem__)[: LONGEST_QUEUE // 2]
            self.waiting = {task: self.waiting[task] for task in kept}

    # -- in the threads -------------------------------------------------------

    def work(self) -> None:
        while not self.closing:
            with self.changed:
                if not self.due():
                    self.changed.wait(self.delay())
                    continue
            time.sleep(COALESCE)
            with self.changed:
                tasks, whole = self.take()
            if tasks:
                try:
                    self.ask(tasks, whole)
                finally:
                    with self.changed:
                        self.asking.difference_update(tasks)
                        self.changed.notify_all()

    def delay(self) -> float | None:
        """Seconds until it is worth looking again; None: until something is wanted."""
        return min(max(self.web.waits(), 0.2), 5.0) if self.waiting or self.wanted_details else None

    def due(self) -> bool:
        """Whether something may be asked now."""
        return self.web.waits() == 0 and any(self.may_ask(task) for task in (*self.wanted_details, *self.waiting))

    def may_ask(self, task: Task) -> bool:
        return task not in self.asking and self.held.get(task[0], 0.0) <= time.monotonic()

    def take(self) -> tuple[list[Task], bool]:
        """What is asked next, all of one set; and whether everything about it is wanted."""
        details = next((task for task in self.wanted_details if self.may_ask(task)), None)
        if details:
            del self.wanted_details[details]
            self.asking.add(details)
            return [details], True
        tasks = sorted((task for task in self.waiting if self.may_ask(task)), key=self.waiting.__getitem__)
        if not tasks:
            return [], False
        label_set = tasks[0][0]
        chosen = [task for task in tasks if task[0] == label_set][: self.places[label_set].publisher.batch]
        self.asking.update(chosen)
        return chosen, False

    def ask(self, tasks: list[Task], whole: bool) -> None:
        """Ask about features of one set and keep the answer; a failure leaves everything as it was."""
        label_set, features = tasks[0][0], [feature for _, feature in tasks]
        place = self.places[label_set]
        try:
            if whole:
                found = {features[0]: place.publisher.details(self.web, label_set, features[0])}
            else:
                found = place.publisher.look_up(self.web, label_set, features)
            if not found.keys() >= set(features):
                raise DownloadError(f"{place.publisher.title} left out what it was asked for.", "Try again later.")
            found = {feature: facts and cleaned(facts) for feature, facts in found.items() if feature in features}
            if why := self.why_not(place, found, whole):
                self.give_up(label_set, why)
                return
            if self.closing:
                return
            if self.seems_unknown(label_set, found):
                self.give_up(label_set, f"{place.publisher.title} does not know {label_set}.")
            self.store.keep(label_set, place.publisher.name, found, whole)
        except Exception as error:
            if self.closing:
                return
            # One's own mistakes too, a publisher's plugin may make some: they end no thread and are asked no more now.
            level = logging.INFO if isinstance(error, AxonError) else logging.ERROR
            log.log(level, "no answer about %s: %s", label_set, error, exc_info=not isinstance(error, AxonError))
            with self.changed:
                if not isinstance(error, (Throttled, Unreachable)):
                    self.held[label_set] = time.monotonic() + HELD
            self.named(label_set, features)
            return
        with self.changed:
            for task in tasks:
                self.waiting.pop(task, None)
        self.named(label_set, features)

    def why_not(self, place: Place, found: dict[int, FeatureFacts | None], whole: bool) -> str:
        """Why a set is of another SAE, as all about a feature tells, which is asked for once; empty where it is not."""
        told = next((feature for feature, facts in found.items() if facts), None)
        if told is None or (place.label_set in self.verified and not whole):
            return ""
        facts = found[told] if whole else place.publisher.details(self.web, place.label_set, told)
        if facts and (why := of_another_sae(place, facts.sae)):
            return why
        self.verified.add(place.label_set)
        return ""

    def seems_unknown(self, label_set: str, found: dict[int, FeatureFacts | None]) -> bool:
        """Whether a publisher knows none of a set's features; one that is known shows that it does."""
        if any(found.values()):
            self.known.add(label_set)
        self.missing[label_set] += len(found)
        with self.changed:
            others = any(of == label_set and feature not in found for of, feature in self.asking)
        if label_set in self.known or others or self.missing[label_set] < UNKNOWN_AFTER:
            return False
        return not self.store.status(label_set).labels

    def give_up(self, label_set: str, why: str) -> None:
        """Ask no more about a set for a day."""
        self.store.block(label_set, why)
        with self.changed:
            self.blocked[label_set] = time.monotonic() + HELD, why
            gone = {feature for of, feature in (*self.waiting, *self.wanted_details, *self.asking) if of == label_set}
            self.waiting = {task: when for task, when in self.waiting.items() if task[0] != label_set}
            self.wanted_details = {task: None for task in self.wanted_details if task[0] != label_set}
        self.named(label_set, sorted(gone))


def of_another_sae(place: Place, named: tuple[str, str] | None) -> str:
    """Why what a publisher tells is about another SAE than the place's; empty where it is not, or cannot be told."""
    own = place.sae.weights
    if named is None or not isinstance(own, PublishedSae) or named == (own.release, own.sae_id):
        return ""
    try:
        other = published_sae(*named)
    except NotFound:  # a name that SAELens's directory does not have (any more)
        return ""
    if other.files == own.files:  # one SAE may have two names, "canonical" and by its L0
        return ""
    return f"{place.publisher.title}'s {place.label_set} is of the SAE {other}, not of {own}: its labels are not shown."


def cleaned(facts: FeatureFacts) -> FeatureFacts:
    """Facts whose texts are safe to keep."""
    return replace(
        facts,
        labels=tuple(label for one in facts.labels if (label := cleaned_label(one)).text),
        promoted=tuple((clean_token(token), weight) for token, weight in facts.promoted),
        suppressed=tuple((clean_token(token), weight) for token, weight in facts.suppressed),
        contexts=tuple(replace(one, tokens=tuple(map(clean_token, one.tokens))) for one in facts.contexts),
    )


def cleaned_label(label: Label) -> Label:
    """A label whose texts are safe to keep; its text may turn out empty."""
    return replace(
        label,
        text=clean(label.text),
        method=clean(label.method, 100),
        explainer=clean(label.explainer, 100),
        score_name=clean(label.score_name, 100),
        id=clean(label.id, 100),
    )
