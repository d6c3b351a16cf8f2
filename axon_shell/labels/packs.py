"""Label packs: a file with the labels of one SAE, to give to others or to bring to another machine.

    *.labels.jsonl.gz
    {"format": "axon-shell-labels", "version": 1, "set": ..., "sae": ..., "width": ..., "rows": N, "sha256": ...}
    {"i": 123, "d": "text", "o": "neuronpedia", "t": "method", "m": "explainer", "s": 0.4, "st": "score", "id": "..."}
    {"i": 124, "d": "the user's own label", "o": "you", "n": "note"}
    {"c": {"i": 123, "n": 4021, ...}}

`rows` and `sha256` are of the lines that follow, as JSON without spaces. A line with "c" is what a calibration measured
of a feature (`calibration.as_row`); on what, stands in the header under "calibration". Packs hold no texts at which
features fire, unless they are asked for: those quote other people's documents. Files of publishers are taken too: what
they export, and Neuronpedia's older exports, one JSON list.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ..calibration import Calibration, Measured, as_record, as_row, from_record, from_row
from ..errors import LabelFileError, NotFound
from ..hookspecs import LabelPublisher
from ..records import AUTOMATIC, OWN, Label, LabelFile, SaeSpec
from .calibrated import ELSEWHERE, HERE, MARK, safe
from .fetcher import cleaned_label
from .files import objects_of
from .labels import NOTE_LENGTH, OWN_LENGTH, Labels
from .ranking import HUMAN
from .rows import BEYOND, OwnLabel, Row
from .store import BROUGHT, LabelStore
from .text import clean, clean_note

FORMAT, VERSION = "axon-shell-labels", 1
SUFFIX = ".labels.jsonl.gz"
PACK = "pack"  # the origin of labels whose own cannot be believed


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought."""

    sae: str
    label_set: str
    labels: int  # added
    own: int  # of the user's own, added
    passed_over: int  # lines that hold no label of this set
    measured: int = 0  # features of which a calibration was added


# -- writing ------------------------------------------------------------------


def write_pack(
    labels: Labels, store: LabelStore, spec: SaeSpec, file: BinaryIO, own_only: bool = False, contexts: bool = False
) -> int:
    """Write the labels of an SAE as a pack, and what was measured of its features; gives how many lines.

    `contexts`: with the texts at which features fire. The same labels make the same bytes. Raises NotFound where there
    is nothing.
    """
    label_set = labels.set_of(spec.id)
    lines = [as_line(own_row(feature, own)) for (_, feature), own in store.all_own(spec.id).items()]
    if not own_only:
        lines += [as_line(published_row(feature, label)) for feature, label in store.every(label_set)]
    calibration = None if own_only else store.calibration(spec.id)
    if calibration:
        lines += [as_line({MARK: as_row(one, contexts)}) for one in store.measured(spec.id, None, contexts).values()]
    if not lines:
        what, hint = (
            "labels to export",
            "`axon-shell labels import` takes a file of them; what plugins bring stays here.",
        )
        if own_only:
            what, hint = "labels of your own", f"`axon-shell labels edit {spec.id} FEATURE --label TEXT` makes one."
        elif labels.place_of(spec.id):
            hint = f"`axon-shell labels download {spec.id}` gets them."
        raise NotFound(f"There are no {what} of {spec.id} here.", hint)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "set": label_set,
        "sae": spec.id,
        "width": spec.width,
        "rows": len(lines),
        **({"calibration": as_record(calibration[0])} if calibration else {}),
    }
    write_packed(header, lines, file)
    return len(lines)


def write_packed(header: Mapping[str, Any], lines: Sequence[bytes], file: BinaryIO) -> None:
    """Lines, packed, behind a header that has their checksum; the same lines give the same bytes."""
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed:
        packed.write(as_line({**header, "sha256": checksum(lines)}))
        packed.writelines(lines)


def as_line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def checksum(lines: Iterable[bytes]) -> str:
    """The SHA-256 of lines."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def published_row(feature: int, label: Label) -> dict[str, Any]:
    """A published label as a line of a pack; what is empty is left out."""
    row = {
        **{"i": feature, "d": label.text, "o": label.origin, "t": label.method, "m": label.explainer},
        **{"s": label.score, "st": label.score_name, "id": label.id},
    }
    return {name: value for name, value in row.items() if value not in ("", None)}


def own_row(feature: int, own: OwnLabel) -> dict[str, Any]:
    """What the user wrote as a line of a pack."""
    row = {"i": feature, "d": own.label, "o": OWN, "n": own.note}
    return {name: value for name, value in row.items() if value != ""}


# -- reading ------------------------------------------------------------------


def import_file(labels: Labels, store: LabelStore, path: Path, sae: str = "", mine: bool = False) -> list[Imported]:
    """Take the labels of a file into the database, all of them or none; what it brought before is replaced.

    `sae` names the SAE that they must be of. `mine`: what is marked as somebody's own becomes the user's own, where
    the user has said nothing yet. Raises LabelFileError where the file is damaged, no file of labels or of another
    SAE, NotFound where no SAE is known that they are of.
    """
    objects = objects_of(path)
    first = next(objects, None)
    if first and first.get("format") == FORMAT:
        found = [import_pack(labels, store, path, first, objects, sae, mine)]
    else:
        found = import_published(labels, store, path, sae)
    for one in found:
        labels.set_arrived(one.label_set)
    return found


def import_pack(
    labels: Labels,
    store: LabelStore,
    path: Path,
    header: Mapping[str, Any],
    objects: Iterator[dict[str, Any] | None],
    sae: str,
    mine: bool,
) -> Imported:
    """Take a pack in."""
    if header.get("version") != VERSION:
        raise LabelFileError(f"{path} is a pack of version {header.get('version')!r:.20}.", "Update AXON Shell.")
    spec = sae_of_pack(labels, header, sae, path)
    about = calibration_in(path, header["calibration"], spec) if "calibration" in header else None
    own: dict[int, OwnLabel] = {}
    measured: dict[int, Measured] = {}

    def rows() -> Iterator[Row]:
        digest, count = hashlib.sha256(), 0
        for record in objects:
            if record is None:
                raise damaged(path, f"line {count + 2} is no JSON object")
            digest.update(as_line(record))
            count += 1
            if about and MARK in record:
                one = measured_in(path, count + 1, record[MARK], spec)
                measured[one.feature] = one
                continue
            feature, label, note = checked(path, count + 1, record, spec)
            if label.origin == OWN and mine:
                own[feature] = OwnLabel(clean(label.text, OWN_LENGTH), note)
            elif label.text:
                yield feature, as_others(label)
        if count != header.get("rows") or digest.hexdigest() != header.get("sha256"):
            raise damaged(path, "it is not whole")

    file = LabelFile(f"{PACK}{BROUGHT}{path.name}", "", path.stat().st_size, str(header.get("sha256", "")))
    label_set = labels.set_of(spec.id)
    added = store.replace_files(label_set, [(file, rows())])
    there = store.known(spec.id, label_set, own).own
    for feature, written in own.items():
        if feature not in there:
            store.put_own(spec.id, feature, written)
    kept = 0
    if (
        about and measured and (store.calibration(spec.id) or ("", ELSEWHERE))[1] != HERE
    ):  # what was measured here stays
        labels.put_calibration(about, measured.values(), ELSEWHERE)
        kept = len(measured)
    return Imported(spec.id, label_set, added, len(own.keys() - there.keys()), 0, kept)


def calibration_in(path: Path, record: Any, spec: SaeSpec) -> Calibration:
    """What a pack's header says about its calibration. Raises LabelFileError."""
    try:
        found = from_record(record)
    except (KeyError, ValueError, TypeError) as error:
        raise damaged(path, f"what its header says of a calibration is none ({error})") from error
    return replace(
        found,
        sae=spec.id,
        model=clean(found.model, 200),
        weights=clean(found.weights, 100),
        corpus=clean(found.corpus, 200),
        checksum=clean(found.checksum, 100),
        made_at=clean(found.made_at, 40),
    )


def measured_in(path: Path, line: int, record: Any, spec: SaeSpec) -> Measured:
    """What a line of a pack says was measured of a feature. Raises LabelFileError."""
    try:
        found = safe(from_row(record))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise damaged(path, f"line {line} is no measurement of {spec.id}") from error
    if found.feature >= (spec.width or BEYOND) or any(one.feature >= (spec.width or BEYOND) for one in found.partners):
        raise damaged(path, f"line {line} is no measurement of {spec.id}")
    return found


def sae_of_pack(labels: Labels, header: Mapping[str, Any], sae: str, path: Path) -> SaeSpec:
    """The SAE that a pack is of. Raises NotFound or LabelFileError."""
    label_set, name = str(header.get("set", "")), str(header.get("sae", ""))
    candidates = [one for one in (sae, name, *labels.saes_by_set.get(label_set, ())) if one in labels.saes]
    # By its id alone an SAE is known where it is published nowhere, here or there.
    fitting = [
        one
        for one in candidates
        if labels.set_of(one) == label_set or (one == name and (label_set == name or not labels.place_of(one)))
    ]
    if sae and sae not in fitting:
        raise LabelFileError(f"{path} has labels of {clean(label_set, 100)}, not of {sae}.", OTHER)
    if not fitting:
        raise NotFound(f"{path} has labels of {clean(label_set or name, 100)}, which no SAE here has.", ADD)
    spec, width = labels.saes[fitting[0]], header.get("width")
    if spec.width and width and width != spec.width:
        raise LabelFileError(f"{path} is of an SAE with {width!r:.20} features; {spec.id} has {spec.width}.", OTHER)
    return spec


OTHER = "Labels of another SAE, width or layer say nothing about this one."
ADD = "Add the SAE to config.toml, with `neuronpedia` where it is published there; `axon-shell saes` lists all."


def checked(path: Path, line: int, record: Mapping[str, Any], spec: SaeSpec) -> tuple[int, Label, str]:
    """Feature, label and note of a line of a pack. Raises LabelFileError."""
    feature, score = record.get("i"), record.get("s")
    texts = {name: record.get(name, "") for name in ("d", "o", "t", "m", "st", "id", "n")}
    good = isinstance(feature, int) and not isinstance(feature, bool) and 0 <= feature < (spec.width or 2**31)
    if not good or not all(isinstance(text, str) for text in texts.values()):
        raise damaged(path, f"line {line} is no label of {spec.id}")
    if score is not None and (not isinstance(score, (int, float)) or isinstance(score, bool) or not abs(score) <= 1e9):
        raise damaged(path, f"the score in line {line} is no number")
    assert isinstance(feature, int)
    label = Label(texts["d"], clean(texts["o"], 60), texts["t"], score, texts["st"], {}, texts["m"], texts["id"])
    return feature, cleaned_label(label), clean_note(texts["n"], NOTE_LENGTH)


def as_others(label: Label) -> Label:
    """A label of a pack as it is kept: what somebody else wrote is not the user's own, nor is a guess a description."""
    if label.origin in (OWN, AUTOMATIC, ""):
        return Label(label.text, PACK, HUMAN if label.origin == OWN else label.method)
    return label


def damaged(path: Path, what: str) -> LabelFileError:
    """The error for a pack that is not as it was written."""
    return LabelFileError(f"{path} is damaged: {what}. Nothing was imported.", "Get the file again.")


# -- files of publishers ------------------------------------------------------


def import_published(labels: Labels, store: LabelStore, path: Path, sae: str) -> list[Imported]:
    """Take in a file as a publisher exports it."""
    seen: Counter[str] = Counter()
    lines = 0
    for record in objects_of(path):
        lines += 1
        if row := row_of(labels.publishers, record):
            seen[row[0]] += 1
    if not seen:
        raise LabelFileError(
            f"{path} is no file of labels.", "Label packs, and Neuronpedia's exports, can be imported."
        )
    wanted = labels.set_of(sae) if sae else ""
    if wanted and wanted not in seen:
        raise LabelFileError(f"{path} has labels of {clean(next(iter(seen)), 100)}, not of {sae}.", OTHER)
    sets = [wanted] if wanted else [name for name in seen if name in labels.saes_by_set]
    if not sets:
        raise NotFound(f"{path} has labels of {clean(next(iter(seen)), 100)}, which no SAE here has.", ADD)
    found = []
    for label_set in sets:
        spec = labels.saes[sae or labels.saes_by_set[label_set][0]]
        file = LabelFile(path.name, "", path.stat().st_size)
        rows = rows_of_set(labels.publishers, path, label_set, spec.width)
        added = store.replace_files(label_set, [(file, rows)])
        found.append(Imported(spec.id, label_set, added, 0, lines - added))
    return found


def rows_of_set(publishers: Sequence[LabelPublisher], path: Path, label_set: str, width: int) -> Iterator[Row]:
    """The labels of one set in a file."""
    for record in objects_of(path):
        row = row_of(publishers, record)
        if row and row[0] == label_set and (not width or row[1] < width) and (label := cleaned_label(row[2])).text:
            yield row[1], label


def row_of(publishers: Sequence[LabelPublisher], record: Mapping[str, Any] | None) -> tuple[str, int, Label] | None:
    """What the first publisher that understands it makes of an object."""
    for publisher in publishers if record else ():
        if record and (row := publisher.row(record)):
            return row
    return None
