"""Whole label sets: clean, only what has changed, and all or nothing whatever happens on the way."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import REPOSITORY
from local_neuronpedia import HOSTILE, PAGE, Fault, LocalNeuronpedia, Row, local_neuronpedia, neuron
from test_fetcher import SAE, Desk, desk, eventually
from test_neuronpedia import MODEL, SET, SOURCE, Neuronpedia

from axon_shell import homes
from axon_shell.errors import (
    AxonError,
    Busy,
    Cancelled,
    DownloadError,
    LabelFileError,
    NoSpace,
    NotFound,
    Throttled,
    Unreachable,
    WeightsError,
)
from axon_shell.labels.download import Offer, folder_of

KEY = f"v1/{SET}/explanations/batch-{{}}.jsonl.gz"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeuronpedia]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_neuronpedia() as served:
        yield served


def rows(count: int = 40, bulk: int = 0, said: str = "label") -> list[Row]:
    """Labels of as many features, in lines that are so many bytes long when packed."""
    chance = random.Random(count)
    return [
        {"index": n, "description": f"{said} {n}", "over": {"embedding": chance.randbytes(bulk).hex()}}
        for n in range(count)
    ]


def export(site: LocalNeuronpedia, labels: list[Row], batches: int = 4, **fields: Any) -> list[str]:
    """Put an export into the bucket, the features in their order."""
    return site.export(MODEL, SOURCE, labels, -(-len(labels) // batches), "autointerp", "absent", **fields)


def get(here: Desk, cancelled: Callable[[], bool] = lambda: False, told: list[Any] | None = None) -> Offer:
    """Download the set now."""
    return here.labels.download(SAE.id, lambda *step: told.append(step) if told is not None else None, cancelled)


def failure(ask: Callable[[], object]) -> AxonError:
    with pytest.raises(AxonError) as caught:
        ask()
    assert caught.value.hint
    return caught.value


def said(here: Desk) -> dict[int, str]:
    """Everything that is kept of the set, one label a feature."""
    assert here.labels.store
    return {feature: label.text for feature, label in here.labels.store.every(SET)}


def texts(labels: list[Row]) -> dict[int, str]:
    return {row["index"]: row["description"] for row in labels}


def fetched(site: LocalNeuronpedia) -> list[int]:
    """The batches of which something was fetched, once for each request."""
    return sorted(int(re.findall(r"batch-(\d+)", asked)[0]) for asked in site.asked_for("batch-"))


def waits_in_vain(here: Desk) -> bool:
    """Whether nothing remains of downloads but the database."""
    return not folder_of(SET).exists() and here.labels.about_set(SAE.id)["complete"]


# -- what arrives -------------------------------------------------------------


@pytest.mark.parametrize("style", ["database", "autointerp"])
@pytest.mark.parametrize("embedding", ["string", "list", "absent"])
def test_what_strangers_wrote_is_kept_clean(site: LocalNeuronpedia, home: Path, style: Any, embedding: Any) -> None:
    site.export(MODEL, SOURCE, HOSTILE.values(), style=style, embedding=embedding)
    with desk(site, home) as here:
        get(here)
        assert here.labels.store
        kept = here.labels.store.every(SET)
        for feature, label in kept:
            for text in (label.text, label.method, label.explainer, label.id):
                assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text), text
                assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff]", text) and text == text.strip()
            assert 0 <= feature < SAE.width and 0 < len(label.text) <= 4_096
        found = said(here)
        assert found.keys() == {0, 1, 2, 3, 4, 6, 7, 10, 11, 12}
        assert (found[0], found[1], found[2]) == (
            "<img src=x onerror=alert(1)>",
            "words that turn around",
            "beforeafter",
        )
        assert 4_000 < len(found[3]) <= 4_096 and found[4] == "references to invented rivers"
        assert (found[6], found[10]) == ("first line second line", "half a character")
        assert [label.explainer for feature, label in kept if feature == 12] == ["gpt-3.5-turbo", "gpt-4o-mini"]
        assert len([feature for feature, _ in kept if feature == 11]) == 1
        assert here.states(4, 5, 9, 20_000) == ["labelled", "unlabelled", "unlabelled", "unlabelled"]
        assert waits_in_vain(here)


def test_progress_is_told_in_order_and_the_page_hears_of_the_end(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows(40, 20_000))
    with desk(site, home) as here:
        here.of(1)
        told: list[tuple[str, int, int]] = []
        offer = get(here, told=told)
        total = sum(file.size for file in offer.files)
        assert [stage for stage, *_ in told if stage != "downloading"] == ["listing", "importing"]
        done = [count for stage, count, of in told if stage == "downloading" and of == total]
        assert done == sorted(done) and (done[0], done[-1]) == (0, total) and len(done) > 8
        assert {"kind": "labels", "sae": SAE.id, "labels": None} in here.told
        assert here.of(1) == {1: (rows(40, 20_000)[1]["description"], "labelled")}


def test_a_set_that_is_here_costs_one_question(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    with desk(site, home) as here:
        assert here.labels.offer(SAE.id).as_message()["new_files"] == 4
        get(here)
        site.reset()
        again = get(here)
        assert len(site.asked) == 1 and "list-type=2" in site.asked[0][1] and site.bodies_sent == 0
        assert again.as_message()["new_files"] == 0 and again.as_message()["files"] == 4
        assert said(here) == texts(rows()) and here.labels.about_set(SAE.id)["complete"]
    with desk(site, home) as here:  # another day
        site.reset()
        get(here)
        assert len(site.asked) == 1 and site.bodies_sent == 0


def test_only_what_has_changed_is_fetched_and_what_it_no_longer_says_goes(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    with desk(site, home) as here:
        get(here)
        site.reset()
        changed = rows()
        changed[25] = {"index": 25, "description": "said anew"}
        changed[27] = {"index": 24, "description": changed[24]["description"], "explanationModelName": "another"}
        export(site, changed)
        offer = get(here)
        assert [file.name for file in offer.changed] == ["batch-2.jsonl.gz"] and fetched(site) == [2]
        expected = texts(rows()) | {25: "said anew"}
        del expected[27]
        assert said(here) == expected and here.states(27) == ["unlabelled"]
        site.reset()
        del site.objects[KEY.format(1)]
        get(here)
        assert fetched(site) == [] and said(here).keys() == expected.keys() - set(range(10, 20))


def test_what_was_asked_for_alone_gives_way_to_the_set(site: LocalNeuronpedia, home: Path) -> None:
    site.put(neuron(MODEL, SOURCE, 1, "taken back since"), neuron(MODEL, SOURCE, 2))
    export(site, rows())
    with desk(site, home) as here:
        here.of(1, 2, 77)
        assert here.settled(1, 2, 77) == ["labelled", "unlabelled", "absent"]
        here.labels.edit(SAE.id, 3, "my own words", "")
        get(here)
        assert here.of(1, 2, 3, 77) == {
            1: ("label 1", "labelled"),
            2: ("label 2", "labelled"),
            3: ("my own words", "labelled"),
            77: (None, "unlabelled"),
        }


def test_a_large_set_is_imported_in_seconds_and_found_by_beginnings_of_words(
    site: LocalNeuronpedia, home: Path
) -> None:
    chance = random.Random(7)
    words = [
        f"{first}{last}" for first in ("ri", "riv", "ford", "bri", "hill") for last in ("", "er", "ers", "dge", "é")
    ]
    labels: list[Row] = [
        {
            "index": n % 24_576,
            "description": " ".join(chance.choices(words, k=4)),
            "explanationModelName": f"m{n // 24_576}",
        }
        for n in range(49_152)
    ]
    site.export(MODEL, SOURCE, labels, 1024, "database", "absent")
    with desk(site, home) as here:
        began = time.monotonic()
        get(here)
        took = time.monotonic() - began
        print(f"49,152 labels fetched and imported in {took:.1f} s")
        assert took < 30 and here.labels.about_set(SAE.id)["labels"] == 49_152
        for query in ("hillers riv", "fordd", "ri brid"):
            *whole, last = query.split()
            wanted = {
                row["index"]
                for row in labels
                for held in [row["description"].split()]
                if set(whole) <= set(held) and any(word.startswith(last) for word in held)
            }
            found = {hit.feature for _, hit in here.labels.search(query, SAE.id, 100_000)}
            assert wanted and found == wanted, query


# -- interruptions ------------------------------------------------------------

CHILD = """if True:
    import sys, time
    from pathlib import Path
    from axon_shell import homes
    from axon_shell.labels import *
    from axon_shell.plugins import load_file
    from axon_shell.published import published_sae
    from axon_shell.records import SaeSpec
    site, datasets, name, after = sys.argv[1:]
    publisher = load_file(homes.plugins() / "neuronpedia.py", "neuronpedia").Neuronpedia(site, datasets)
    read, seen = publisher.row, []
    def row(record):
        seen.append(record)
        if len(seen) == int(after):
            print("importing", flush=True)
            time.sleep(60)
        return read(record)
    publisher.row = row
    sae = SaeSpec(name, "gpt2-small", "hook", 24_576, Path("weights"), neuronpedia=name)
    network = Network(Web(False), lambda message: None)
    labels = Labels([publisher], {name: sae}, LabelStore(homes.data()), network=network)
    print("ready", flush=True)
"""
WAITS = CHILD + "    labels.download(name, lambda *told: None, lambda: False)\n"
LEAVES = CHILD + "    labels.get_all(name, lambda: None)\n    time.sleep(1)\n    labels.close()\n"


@contextmanager
def another_program(site: LocalNeuronpedia, code: str, after: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A program that downloads the set, and stops for a while at the label of this number."""
    command = [sys.executable, "-c", code, site.url, site.datasets, SET, str(after)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert program.stdout
    try:
        assert program.stdout.readline() == "ready\n"
        yield program
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def test_a_killed_download_goes_on_without_fetching_whole_files_again(site: LocalNeuronpedia, home: Path) -> None:
    labels = rows(80, 8_000)
    export(site, labels, 8)
    site.faults = [Fault("slow", f"batch-{n}.", times=-1, seconds=0.5) for n in range(4, 8)]
    folder = folder_of(SET)

    def half_way() -> bool:
        names = {path.name: path.stat().st_size for path in list(folder.glob("*")) if path.exists()}
        parts = [size for name, size in names.items() if name.endswith(".part") and size]
        return {f"batch-{n}.jsonl.gz" for n in range(4)} <= names.keys() and len(parts) == 4

    with another_program(site, WAITS):
        assert eventually(half_way)
    site.reset()
    site.faults = []
    with desk(site, home) as here:
        assert said(here) == {} and not here.labels.about_set(SAE.id)["complete"]
        get(here)
        assert fetched(site) == [4, 5, 6, 7] and said(here) == texts(labels) and waits_in_vain(here)
        resumed = [headers.get("range", "") for _, path, headers in site.asked if "batch-" in path]
        assert all(re.fullmatch(r"bytes=[1-9]\d*-", start) for start in resumed)


def test_a_program_killed_while_it_imports_leaves_the_old_set_whole(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    with desk(site, home) as here:
        get(here)
        new = rows(said="new")
        export(site, new)
        with another_program(site, WAITS, after=25) as program:
            assert program.stdout and program.stdout.readline() == "importing\n"
            assert said(here) == texts(rows())  # and readers see it meanwhile
        assert said(here) == texts(rows()) and here.labels.about_set(SAE.id)["complete"]
    site.reset()
    with desk(site, home) as here:
        assert said(here) == texts(rows()) and here.labels.search("label", SAE.id) and not here.labels.search("new")
        get(here)
        assert said(here) == texts(new) and fetched(site) == [] and waits_in_vain(here)  # the files were there
        assert not here.labels.search("label", SAE.id) and len(here.labels.search("new", SAE.id)) == 40


def test_a_program_that_ends_while_the_server_hangs_ends(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    site.faults = [Fault("hang", "batch-", times=-1)]
    with another_program(site, LEAVES) as program:
        assert eventually(lambda: len(fetched(site)) == 4)
        began = time.monotonic()
        assert program.wait(10) == 0 and time.monotonic() - began < 3


@pytest.mark.parametrize("stage", ["downloading", "importing"])
def test_a_download_can_be_cancelled_and_taken_up(site: LocalNeuronpedia, home: Path, stage: str) -> None:
    old, new = rows(), rows(800, 2_000)
    export(site, old)
    with desk(site, home) as here:
        get(here)
        here.of(1)
        export(site, new, 8)
        site.reset()
        if stage == "downloading":
            site.faults = [Fault("slow", "batch-", times=-1, seconds=0.05)]
        seen = threading.Event()

        def heard() -> None:
            if here.labels.about_set(SAE.id)["download"]["state"] == stage:
                here.labels.cancel()
                seen.set()

        here.labels.get_all(SAE.id, heard)
        error = failure(lambda: here.labels.get_all(SAE.id, heard))
        assert type(error) is Busy
        assert eventually(lambda: here.labels.about_set(SAE.id)["download"]["state"] == "cancelled") and seen.is_set()
        assert here.labels.about_set(SAE.id)["download"]["error"] is None
        assert said(here) == texts(old) and here.of(1) == {1: ("label 1", "labelled")}
        site.reset()
        site.faults = []
        here.labels.get_all(SAE.id, lambda: None)
        assert eventually(lambda: here.labels.about_set(SAE.id)["download"]["state"] == "done")
        assert said(here) == texts(new) and waits_in_vain(here)
        assert stage == "downloading" or fetched(site) == []


def test_closing_while_a_download_hangs_or_imports_is_quick(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    site.faults = [Fault("hang", "batch-", times=-1)]
    with desk(site, home) as here:
        here.labels.get_all(SAE.id, lambda: None)
        assert eventually(lambda: len(fetched(site)) == 4)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    site.faults = []
    importing = threading.Event()

    def slow(record: Any) -> Any:
        importing.set()
        time.sleep(0.05)
        return plain.row(record)

    plain, slowed = Neuronpedia(site.url, site.datasets), Neuronpedia(site.url, site.datasets)
    slowed.row = slow
    with desk(site, home, publisher=slowed) as here:
        here.labels.get_all(SAE.id, lambda: None)
        assert importing.wait(5)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    with desk(site, home, offline=True) as here:
        assert said(here) == {}


# -- what goes wrong ----------------------------------------------------------


@contextmanager
def nothing_changes(site: LocalNeuronpedia, home: Path) -> Iterator[Desk]:
    """A desk with a set from before whose labels stay through what happens; afterwards the new set can be had."""
    old, new = rows(), rows(60, 6_000, "new")
    export(site, old)
    with desk(site, home) as here:
        get(here)
        export(site, new)
        site.reset()
        yield here
        assert said(here) == texts(old) and here.of(1) == {1: ("label 1", "labelled")}
        site.faults = []
        here.ticks.now += 1_000
        here.labels.retry()
        site.reset()
        get(here)
        assert said(here) == texts(new) and waits_in_vain(here)


@pytest.mark.parametrize("kind", ["drop", "cut", "hang"])
def test_a_server_that_goes_away_in_the_middle(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr("axon_shell.labels.web.ANSWERING", 0.4)
    with nothing_changes(site, home) as here:
        site.faults = [Fault(kind, "batch-3", times=-1, after=1)]
        error = failure(lambda: get(here))
        assert type(error) is Unreachable and "batch-0.jsonl.gz" in {path.name for path in folder_of(SET).iterdir()}
    assert 0 not in fetched(site)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_a_file_that_is_listed_and_refused(site: LocalNeuronpedia, home: Path, status: int) -> None:
    with nothing_changes(site, home) as here:
        site.faults = [Fault("status", "batch-2", times=-1, status=status)]
        assert type(failure(lambda: get(here))) is (NotFound if status in (403, 404) else DownloadError)


@pytest.mark.parametrize("what", ["half a gzip", "a page", "nothing", "a packed nothing", "labels of another set"])
def test_a_file_that_is_no_batch_changes_nothing(site: LocalNeuronpedia, home: Path, what: str) -> None:
    with nothing_changes(site, home) as here:
        key = KEY.format(1)
        right = site.objects[key]
        foreign = gzip.decompress(right).replace(b'"8-res-jb"', b'"9-res-jb"')
        site.objects[key] = {
            "half a gzip": right[: len(right) // 2],
            "a page": PAGE,
            "nothing": b"",
            "a packed nothing": gzip.compress(b""),
            "labels of another set": gzip.compress(foreign),
        }[what]
        error = failure(lambda: get(here))
        assert type(error) is LabelFileError and "batch-1" in error.message
        site.objects[key] = right


def test_a_server_that_asks_to_wait_is_waited_for(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows(80), 8)
    site.faults = [
        Fault("status", "batch-1", status=429, retry_after="3"),
        Fault("status", "batch-5", status=429),
        Fault("status", "batch-6", status=503, retry_after="7"),
    ]
    with desk(site, home) as here:
        before = here.ticks.now
        get(here)
        assert said(here) == texts(rows(80)) and not site.faults
        assert here.ticks.now - before > 60  # the one that named no time
        site.objects.clear()
        export(site, rows(80, said="new"), 8)
        site.faults = [Fault("status", "batch-5", status=429, times=-1)]
        assert type(failure(lambda: get(here))) is Throttled
        assert said(here) == texts(rows(80))


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nothing_changes(site, home) as here, monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000_000))
        assert type(failure(lambda: get(here))) is NoSpace
        assert fetched(site) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_disk_that_becomes_full(site: LocalNeuronpedia, home: Path) -> None:
    with nothing_changes(site, home) as here:
        told: list[tuple[str, int, int]] = []
        assert type(failure(lambda: get(here, lambda: bool(told and told[-1][1]), told))) is Cancelled
        parts = list(folder_of(SET).glob("*.part"))
        for part in parts:
            part.unlink()
            part.symlink_to("/dev/full")
        assert parts and type(failure(lambda: get(here))) is NoSpace
        for part in parts:
            part.unlink()


def test_a_cache_folder_that_cannot_be_made(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows())
    (home / "cache").mkdir(exist_ok=True)
    (home / "cache" / "labels").write_text("a file in the place of the folder")
    with desk(site, home) as here:
        assert type(failure(lambda: get(here))) is DownloadError


def test_the_set_of_another_sae_is_refused_before_it_is_fetched(site: LocalNeuronpedia, home: Path) -> None:
    export(site, rows(), saelensSaeId="blocks.7.hook_resid_pre")
    site.put(neuron(MODEL, SOURCE, 1, "about 1"))
    with desk(site, home) as here:
        assert here.states(2) == ["pending"]
        for ask in (lambda: here.labels.offer(SAE.id), lambda: get(here)):
            error = failure(ask)
            assert type(error) is WeightsError and "blocks.7.hook_resid_pre" in error.message
        assert fetched(site) == [] and said(here) == {} and not folder_of(SET).exists()
        assert "blocks.7.hook_resid_pre" in here.labels.about_set(SAE.id)["blocked"]
    with desk(site, home) as here:
        assert here.states(1) == ["unavailable"]
        export(site, rows())
        get(here)  # it was a mistake of theirs
        assert here.of(1) == {1: ("label 1", "labelled")} and here.labels.about_set(SAE.id)["blocked"] is None


def test_a_set_that_nobody_exported_is_not_found(site: LocalNeuronpedia, home: Path) -> None:
    site.export(MODEL, "8-res-jb-more", rows())
    site.export(MODEL, SOURCE, rows(), folder="explanations-prev")
    with desk(site, home) as here:
        for ask in (lambda: here.labels.offer(SAE.id), lambda: get(here)):
            error = failure(ask)
            assert type(error) is NotFound and SET in error.message
        assert not here.labels.about_set(SAE.id)["complete"] and here.states(1) == ["pending"]


def test_an_empty_list_does_not_empty_a_set(site: LocalNeuronpedia, home: Path) -> None:
    with nothing_changes(site, home) as here:
        there = dict(site.objects)
        site.objects.clear()
        assert type(failure(lambda: get(here))) is NotFound
        site.objects |= there


def test_the_folder_of_a_set_stays_in_the_cache() -> None:
    for name in ("..", ".", "../..", "", "a/../b", "/etc", "a\\..\\b", "gpt2-small/8-res-jb"):
        inside = (homes.cache() / "labels").resolve()
        assert folder_of(name).resolve().parent == inside, name
