"""Getting the whole label set of an SAE: only files that have changed, four at a time, into the database all or none.

What has arrived of an interrupted download lies in the cache folder, and the next one goes on from there.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import homes
from ..errors import Cancelled, LabelFileError, NoSpace, NotFound, Throttled, WeightsError, as_axon_error
from ..records import LabelFile, Message
from .fetcher import Place, cleaned_label, of_another_sae
from .files import objects_of
from .rows import Row
from .store import LabelStore
from .web import Web, md5_in, md5_of, unwritable

AT_ONCE = 4  # files
ROOM = 100_000_000  # bytes that a download leaves free on the disk
LONGEST_WAITS = 5  # pauses that a server may ask for before a download gives up
TELL_EVERY = 0.1  # seconds between two reports of progress
IDLE: Message = {"state": "idle", "done": 0, "total": 0, "error": None}
UNDER_WAY = ("listing", "downloading", "importing")  # states in which it is going on
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a publisher has of a label set, and how much of it is not here yet or has changed."""

    files: tuple[LabelFile, ...]
    changed: tuple[LabelFile, ...]

    def as_message(self) -> Message:
        """The offer as one JSON object: numbers of files and bytes."""
        return {
            "files": len(self.files),
            "bytes": sum(file.size for file in self.files),
            "new_files": len(self.changed),
            "new_bytes": sum(file.size for file in self.changed),
        }


Tell = Callable[
    [str, int, int], object
]  # told the stage ("listing", "downloading", "importing"), bytes done and in all


def offer(place: Place, store: LabelStore, web: Web) -> Offer:
    """What getting a whole label set would fetch. Raises WeightsError where the set is of another SAE, or NotFound."""
    files = place.publisher.files(web, place.label_set)
    if not files:
        raise NotFound(
            f"{place.publisher.title} has no label set of {place.label_set} to download.",
            "Labels of single features may be there all the same: they come as features appear.",
        )
    here = store.files(place.label_set)
    changed = [file for file in files if not file.etag or here.get(file.name) != (file.etag, file.size)]
    if changed and (why := of_another_sae(place, place.publisher.sae_of(web, place.label_set))):
        store.block(place.label_set, why)
        raise WeightsError(why, "Labels of another SAE say nothing about this one.")
    return Offer(tuple(files), tuple(changed))


def download(place: Place, store: LabelStore, web: Web, tell: Tell, cancelled: Callable[[], bool]) -> Offer:
    """Bring a whole label set into the database; gives what there was and what was fetched.

    Raises Cancelled, NoSpace, DownloadError and others of the network, LabelFileError, StoreError; the labels that
    were here before then stay as they were.
    """
    tell("listing", 0, 0)
    offered = offer(place, store, web)
    folder = folder_of(place.label_set)
    fetch(offered.changed, folder, web, tell, cancelled)
    total = sum(file.size for file in offered.changed)
    tell("importing", total, total)
    stopped = stopper(cancelled, web)
    files = [(file, rows_of(folder / file.name, place, stopped)) for file in offered.changed]
    store.replace_files(place.label_set, files, [file.name for file in offered.files], complete=True)
    shutil.rmtree(folder, ignore_errors=True)
    return offered


def fetch(files: tuple[LabelFile, ...], folder: Path, web: Web, tell: Tell, cancelled: Callable[[], bool]) -> None:
    """Bring files into a folder, several at a time; what is there whole is not fetched again."""
    total, there = sum(file.size for file in files), {file.name: 0 for file in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    if free < total + ROOM:
        raise NoSpace(f"The labels need {total / 1e6:,.0f} MB, and the disk has less.", "Free some space.")
    failed = threading.Event()
    stopped = stopper(lambda: cancelled() or failed.is_set(), web)

    def told(name: str, count: int) -> None:
        there[name] = count
        tell("downloading", sum(there.values()), total)

    def one(file: LabelFile) -> None:
        path = folder / file.name
        try:
            if path.exists() and md5_in(file.etag) and md5_of(path) == md5_in(file.etag):
                told(file.name, file.size)
            else:
                patiently(lambda: web.download(file.url, path, file.size, file.etag, partial(told, file.name), stopped))
        except BaseException:
            failed.set()  # the others need not go on: what they have is kept
            raise

    def patiently(ask: Callable[[], None]) -> None:
        for waits in range(LONGEST_WAITS + 1):
            while (wait := web.waits()) > 0 and not stopped():
                web.sleep(min(wait, 0.5))
            try:
                ask()
                return
            except Throttled:
                if waits == LONGEST_WAITS or stopped():
                    raise

    tell("downloading", 0, total)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        errors = [error for one in [pool.submit(one, file) for file in files] if (error := one.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):  # what failed, not who was stopped
        raise error


def stopper(cancelled: Callable[[], bool], web: Web) -> Callable[[], bool]:
    """Whether to stop: the user wants it, or the program ends."""
    return lambda: cancelled() or web.closed.is_set()


def rows_of(path: Path, place: Place, stopped: Callable[[], bool]) -> Iterator[Row]:
    """The labels in a file of a publisher, cleaned; lines that are none are passed over.

    Raises LabelFileError where the file cannot be read, or holds nothing of this set, and Cancelled.
    """
    good = 0
    for record in objects_of(path):
        if stopped():
            raise Cancelled("The labels that were here before stay.", "Start it again: it goes on from there.")
        row = place.publisher.row(record) if record else None
        if row is None or row[0] != place.label_set:
            continue
        _, feature, label = row
        if place.sae.width and feature >= place.sae.width:
            continue
        if (label := cleaned_label(label)).text:
            good += 1
            yield feature, label
    if not good:
        raise LabelFileError(f"{path.name} holds no labels of {place.label_set}.", "Try again later, or report this.")


def folder_of(label_set: str) -> Path:
    """Where the files of a set lie until they are in the database."""
    return homes.cache() / "labels" / re.sub(r"^\.+|[^\w.-]+|^$", "_", label_set)


class Downloads:
    """The one download of a label set that the page can have under way, in a thread of its own."""

    def __init__(self, store: LabelStore, web: Web, done: Callable[[Place], object]) -> None:
        self.store, self.web, self.done = store, web, done
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.sae = ""  # id of the SAE whose labels are being fetched, or were last
        self.state: Message = IDLE

    def start(self, place: Place, changed: Callable[[], object]) -> bool:
        """Begin; False while another is under way. `changed` is called whenever `state` has changed."""
        with self.lock:
            if self.state["state"] in UNDER_WAY:
                return False
            self.stopping.clear()
            self.sae = place.sae.id
            self.state = IDLE | {"state": "listing"}
            self.thread = threading.Thread(target=self.work, args=[place, changed], name="label set", daemon=True)
            self.thread.start()
        return True

    def cancel(self) -> None:
        """Stop it at the next occasion; what has arrived is kept."""
        self.stopping.set()

    def close(self) -> None:
        """Stop it and wait a moment for its end."""
        self.stopping.set()
        if self.thread:
            self.thread.join(timeout=2)

    # -- in the thread --------------------------------------------------------

    def work(self, place: Place, changed: Callable[[], object]) -> None:
        told = 0.0

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal told
            fresh = stage != self.state["state"] or time.monotonic() > told + TELL_EVERY
            self.state = IDLE | {"state": stage, "done": done, "total": total}
            if fresh:
                told = time.monotonic()
                changed()

        try:
            download(place, self.store, self.web, tell, self.stopping.is_set)
            self.state |= {"state": "done"}
            self.done(place)
        except Cancelled:
            self.state |= {"state": "cancelled"}
        except Exception as error:
            known = as_axon_error(error, "getting labels")
            log.info("labels of %s not fetched: %s", place.label_set, known.message)
            self.state |= {"state": "failed", "error": known.as_record()}
        changed()
