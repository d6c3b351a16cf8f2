"""Calibrating an SAE: a corpus becomes base rates, pairs, contexts and labels in labels.db, bit by bit.

    corpus -> counted in one pass, kept on disk now and then -> findings -> labels.db, all at once when it is done

Both who waits for it (the terminal) and who has better to do (the engine's thread, between sessions) take the next bit
when they like. What was counted of a calibration that stopped, or was killed, lies in the cache folder, and the next
one goes on from there. What is not done is never taken for a calibration.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import homes
from .calibration import TOKENS, Calibration, rounded
from .corpus import Corpus, write_texts
from .errors import CorpusError, NotFound, StoreError
from .labels import HERE, Labels
from .provenance import weights_of
from .records import Message, SaeSpec

if TYPE_CHECKING:
    from .engine.calibrate import Speed
    from .engine.model import Model
    from .engine.sae import Sae
    from .engine.tally import Tally

BIT = 0.2  # seconds of a bit of work on what was counted
KEEP_EVERY, KEEP_SHARE = 5.0, 0.03  # seconds, and share of the time that keeping may take
FEWEST = 1_000  # tokens, below which nothing can be said
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A calibration that has begun and not ended."""

    corpus: str
    tokens: int  # read so far
    most: int  # to be read


def folder_of(sae: str) -> Path:
    """Where the beginning of a calibration lies."""
    return homes.cache() / "calibrations" / re.sub(r"^\.+|[^\w.-]+|^$", "_", sae)


def kept(sae: str) -> Kept | None:
    """The calibration of an SAE that has begun and not ended, if there is one that can be read."""
    try:
        about = json.loads((folder_of(sae) / "about.json").read_text("utf-8"))
        return Kept(str(about["corpus"]), int(about["tokens"]), int(about["most"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def calibrate(
    model: Model, sae: Sae, corpus: Corpus, labels: Labels, most: int = TOKENS, resume: bool = False
) -> Generator[Message, None, None]:
    """Calibrate an SAE, and yield how far it has come after each bit; the last message holds the calibration.

    Closing it keeps what was counted. `resume` goes on from what was kept; raises NotFound where there is nothing, and
    CorpusError where the texts are others than before. Raises CorpusError too where there are too few, EngineError,
    and StoreError where the outcome cannot be kept.
    """
    from .engine.calibrate import Speed, count
    from .engine.findings import findings
    from .engine.text import Decoder

    spec, weights = sae.spec, weights_of(sae.spec).get("sha256", "")
    about = {"sae": spec.id, "model": model.spec.id, "weights": weights, "corpus": corpus.name, "most": most}
    path = folder_of(spec.id) / "counted.npz"
    texts = Texts(corpus.documents())
    if resume:
        tally, speed = go_on(path, about, texts)
    else:
        from .engine.tally import Tally

        tally, speed = Tally(spec.width), Speed()
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.with_name("about.json").unlink(missing_ok=True)
    keeper = Keeper(path, about, tally, speed, texts)

    def message(state: str, **more: Any) -> Message:
        return {
            **{"kind": "calibration", "sae": spec.id, "state": state, "corpus": corpus.name},
            **{"tokens": tally.tokens, "of": most, "documents": tally.documents},
            "tokens_per_second": rounded(tally.tokens / speed.seconds, 3) if speed.seconds else None,
            **more,
        }

    try:
        yield message("reading")
        for whole in count(model, sae, texts, tally, most, speed):
            if whole:
                keeper.now_and_then()
            yield message("reading")
        if tally.tokens < FEWEST:
            keeper.done = True
            raise CorpusError(
                f"{corpus.name} has {tally.tokens:,} tokens, of which little can be said.",
                f"Take at least {FEWEST:,}; a good calibration takes {TOKENS:,}.",
            )
        yield message("looking")
        began = time.perf_counter()
        until = began + BIT
        work = findings(tally, Decoder(model.tokenizer).piece)
        while True:
            try:
                next(work)
            except StopIteration as end:
                found = end.value
                break
            if time.perf_counter() > until:
                speed.seconds += time.perf_counter() - began
                yield message("looking")
                began = time.perf_counter()
                until = began + BIT
        speed.seconds += time.perf_counter() - began
        calibration = Calibration(
            sae=spec.id,
            model=model.spec.id,
            weights=weights,
            corpus=corpus.name,
            checksum=texts.digest.hexdigest(),
            documents=tally.documents,
            tokens=tally.tokens,
            sampled=len(tally.sample.ids),
            held_out=found.held_out,
            score=found.score,
            chance=found.chance,
            pairs=found.pairs.passed,
            pairs_by_chance=found.pairs.by_chance,
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
            tokens_per_second=rounded(tally.tokens / speed.seconds, 3),
            bare_share=rounded(speed.bare / speed.seconds, 3),
        )
        labels.put_calibration(calibration, found.features, HERE)
        keeper.done = True
        shutil.rmtree(path.parent, ignore_errors=True)
    finally:
        keeper.keep()
    skipped = [asdict(problem) for problem in corpus.skipped]
    yield message("done", features=len(found.features), calibration=asdict(calibration), skipped=skipped)


class Texts:
    """The documents of a corpus, with the checksum of those that have been read."""

    def __init__(self, documents: Iterator[str]) -> None:
        self.documents = documents
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = next(self.documents)
        content = text.encode("utf-8", "surrogatepass")
        self.digest.update(len(content).to_bytes(8, "little") + content)
        return text


class Keeper:
    """Keeps on disk what was counted, now and then."""

    def __init__(self, path: Path, about: Message, tally: Tally, speed: Speed, texts: Texts) -> None:
        self.path, self.about, self.tally, self.speed, self.texts = path, about, tally, speed, texts
        self.kept, self.checksum = tally.tokens, texts.digest.hexdigest()
        self.due = time.monotonic() + KEEP_EVERY
        self.done = False

    def now_and_then(self) -> None:
        """All texts that were taken are counted: keep that, if it was long ago."""
        self.checksum = self.texts.digest.hexdigest()
        if time.monotonic() >= self.due:
            self.keep()

    def keep(self) -> None:
        """Keep it, unless there is nothing new, or nothing to go on with any more."""
        if self.done or self.tally.tokens == self.kept:
            return
        began = time.monotonic()
        more = {"checksum": self.checksum, **asdict(self.speed)}
        try:
            self.tally.save(self.path, self.about | more)
            about = {"corpus": self.about["corpus"], "tokens": self.tally.tokens, "most": self.about["most"]}
            self.path.with_name("about.json").write_text(json.dumps(about), "utf-8")
        except OSError as error:  # it goes on all the same: only going on later would begin anew
            log.warning("a calibration is not kept: %s", error)
        self.kept = self.tally.tokens
        took = time.monotonic() - began
        self.due = time.monotonic() + max(KEEP_EVERY, took / KEEP_SHARE)


def go_on(path: Path, about: Message, texts: Texts) -> tuple[Tally, Speed]:
    """What was counted before; the texts that it counted are passed over. Raises NotFound or CorpusError."""
    from .engine.calibrate import Speed
    from .engine.tally import Tally

    anew = "Begin anew: leave --resume out."
    try:
        tally, before = Tally.load(path)
    except FileNotFoundError as error:
        raise NotFound(f"No calibration of {about['sae']} has begun.", anew) from error
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"What was counted before cannot be read: {error}.", anew) from error
    for name in ("sae", "model", "weights", "corpus"):
        if before[name] != about[name]:
            raise CorpusError(f"What was counted before is of another {name}: {before[name]}.", anew)
    for _ in range(tally.documents):
        if next(texts, None) is None:
            break
    if texts.digest.hexdigest() != before["checksum"]:
        raise CorpusError(f"{about['corpus']} has changed since the calibration began.", anew)
    return tally, Speed(before["seconds"], before["bare"])


def written(sae: SaeSpec, name: str, texts: Iterable[str]) -> Path:
    """Texts that lie in no file as one, where the calibration of an SAE can go on with them. Raises StoreError."""
    path = folder_of(sae.id) / f"{name}.jsonl"
    shutil.rmtree(path.parent, ignore_errors=True)
    write_texts(path, texts)
    return path
