"""Labels of features on screen: at once what is known, soon what is not; and no mishap ever becomes an answer."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import REPOSITORY
from local_neuronpedia import Fault, Kind, LocalNeuronpedia, local_neuronpedia, neuron, source_row
from test_neuronpedia import MODEL, SET, SOURCE, Neuronpedia
from test_web import Time

from axon_shell.config import LabelSettings
from axon_shell.errors import DownloadError
from axon_shell.labels import Labels, LabelStore, Network, Web, fetcher, rows, store
from axon_shell.published import published_sae
from axon_shell.records import FeatureFacts, Message, SaeSpec

SAE = SaeSpec(
    SET,
    MODEL,
    "blocks.8.hook_resid_pre",
    24_576,
    published_sae("gpt2-small-res-jb", "blocks.8.hook_resid_pre"),
    neuronpedia=SET,
)
ROWS = [*(neuron(MODEL, SOURCE, n, f" about {n}") for n in range(500)), neuron(MODEL, SOURCE, 900)]
DAY = 24 * 3600


@dataclass
class Desk:
    """The labels of one program, and what it was told."""

    labels: Labels
    web: Web
    ticks: Time
    told: list[Message] = field(default_factory=list)

    def of(self, *features: int, visible: bool = False) -> dict[int, tuple[str | None, str]]:
        """Text, of descriptions only, and state of features."""
        found = self.labels.of(SAE.id, features, visible)
        return {feature: (label.text if label else None, state) for feature, (label, state) in found.items()}

    def states(self, *features: int) -> list[str]:
        return [state for _, state in self.of(*features).values()]

    def settled(self, *features: int) -> list[str]:
        """The states of features when nothing is asked any more."""
        eventually(lambda: "pending" not in self.states(*features))
        return self.states(*features)

    def idle(self) -> bool:
        """Whether no question is under way, and none will be before something changes."""
        asker = self.labels.fetcher
        assert asker
        return not asker.asking and not asker.due()


@contextmanager
def desk(
    site: LocalNeuronpedia,
    folder: Path,
    sae: SaeSpec = SAE,
    offline: bool = False,
    fetch: bool = True,
    publisher: Any = None,
) -> Iterator[Desk]:
    """A program with a label database of its own or of another one's; waiting for the server takes it no time."""
    ticks, told = Time(), []  # type: ignore[var-annotated]
    web = Web(offline, ticks.sleep, ticks.clock)
    publisher = publisher or Neuronpedia(site.url, site.datasets)
    network = Network(web, told.append)
    labels = Labels([publisher], {sae.id: sae}, LabelStore(folder), LabelSettings(fetch=fetch), network=network)
    try:
        yield Desk(labels, web, ticks, told)
    finally:
        labels.close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeuronpedia]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_neuronpedia() as served:
        served.put(*ROWS)
        yield served


def eventually(true: Callable[[], object], seconds: float = 8) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(true())


def stored(folder: Path, feature: int) -> tuple[int, int, int]:
    """How many labels, negative answers and facts of a feature there are in the database."""
    if not (folder / "labels.db").exists():
        return 0, 0, 0
    with closing(sqlite3.connect(folder / "labels.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'label_sets'").fetchone():
            return 0, 0, 0
        counts = [
            connection.execute(f"SELECT count(*) FROM {table} WHERE feature = ?", (feature,)).fetchone()[0]
            for table in ("labels", "no_labels", "facts")
        ]
    return counts[0], counts[1], counts[2]


def asked_for(site: LocalNeuronpedia) -> list[list[int]]:
    """The features of each question, in the order in which they were asked for."""
    return [[one["index"] for one in body] for body in list(site.posted)]


def at_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What labels.db takes for now is so many seconds away."""
    for module in (rows, store):
        monkeypatch.setattr(module, "now", lambda: int(time.time() + seconds))


# -- at once, and soon --------------------------------------------------------


def test_names_are_answered_at_once_and_come_when_they_come(site: LocalNeuronpedia, home: Path) -> None:
    site.faults = [Fault("hang", seconds=0.5)]
    with desk(site, home) as here:
        took = []
        for n in range(40):
            began = time.perf_counter()
            assert here.of(n) == {n: (None, "pending")}
            took.append(time.perf_counter() - began)
        assert sorted(took)[35] < 0.02 and eventually(lambda: here.states(*range(40)) == ["labelled"] * 40)
        assert here.of(7, 900, 901) == {7: ("about 7", "labelled"), 900: (None, "pending"), 901: (None, "pending")}
        assert here.settled(7, 900, 901) == ["labelled", "unlabelled", "absent"]
        said = {
            n: told for message in here.told if message["kind"] == "labels" for n, told in message["labels"].items()
        }
        assert said["7"] == {"label": "about 7", "label_state": "labelled", "label_origin": "neuronpedia"}
        assert [said[n]["label_state"] for n in ("900", "901")] == ["unlabelled", "absent"]
        site.reset()
        here.of(*range(40), 900, 901)
        time.sleep(0.15)
        assert site.asked == []


def test_many_small_questions_become_one(site: LocalNeuronpedia, home: Path) -> None:
    with desk(site, home) as here:
        began = time.monotonic()
        for n in range(50):
            here.of(n)
            time.sleep(0.0005)
        took = time.monotonic() - began
        assert eventually(lambda: stored(home, 49)[0] and stored(home, 0)[0])
        assert asked_for(site) == [list(range(49, -1, -1))] or took > 0.06


def test_what_is_visible_goes_first_then_what_was_wanted_last(site: LocalNeuronpedia, home: Path) -> None:
    site.faults = [Fault("hang", times=2, seconds=0.6)]
    with desk(site, home) as here:
        here.of(*range(200))
        assert eventually(lambda: len(site.posted) == 2)
        here.of(*range(300, 310))
        here.of(401, 400, visible=True)
        here.of(450)
        time.sleep(0.15)
        questions = asked_for(site)
        assert len(questions) == 2 and all(len(question) == 64 for question in questions)  # two at a time, 64 in each
        assert eventually(lambda: all(stored(home, n)[0] for n in (0, 199, 300, 400)))
        (first,) = [question for question in asked_for(site) if 401 in question]
        assert first == [401, 400, 450, *range(300, 310), *range(128, 179)]
        assert max(map(len, asked_for(site))) == 64


def test_details_go_before_names_and_bring_the_label_too(site: LocalNeuronpedia, home: Path) -> None:
    with desk(site, home) as here:
        here.of(*range(300))
        origin, facts, state = here.labels.details(SAE.id, 7)
        assert (origin, facts, state) == ("", FeatureFacts(), "pending")
        assert eventually(lambda: here.labels.details(SAE.id, 7)[2] == "known")
        origin, facts, _ = here.labels.details(SAE.id, 7)
        assert origin == "neuronpedia" and facts.density == 0.0021 and len(facts.contexts) == 3
        assert facts.promoted[2] == (" ford", 0.8) and facts.contexts[1].tokens[1] == " river"
        paths = [path for _, path, _ in site.asked]
        assert paths[: paths.index(f"/site/api/feature/{SET}/7")].count("/site/api/features") <= 2  # those under way
        assert here.settled(*range(300)) == ["labelled"] * 300
        assert here.labels.details(SAE.id, 7)[1].contexts == facts.contexts  # the later answer had none to give
        site.reset()
        assert here.labels.details(SAE.id, 7)[2] == "known" and site.asked == []


# -- mishaps ------------------------------------------------------------------

HARMLESS = {"slow", "gzip", "etag_lies"}
FAULTS = [
    *(Fault("status", status=status) for status in (400, 401, 403, 429, 500, 502, 503, 504)),
    *(Fault("status", status=status, retry_after="600") for status in (429, 503)),
    *(Fault("html", status=status) for status in (200, 403, 404, 429, 500)),
    *(Fault("wrong_echo", echo=echo) for echo in ({"layer": "7-res-jb"}, {"modelId": "x"}, {"index": "3"})),
    *(Fault("wrong_echo", echo=echo) for echo in ({"explanations": None}, {"explanations": [{"text": "x"}]})),
    *(Fault("redirect", status=status, location="http://localhost:1/") for status in (301, 302, 307)),
    *(
        Fault(kind, seconds=0.01)
        for kind in get_args(Kind)
        if kind not in ("status", "absent", "wrong_echo", "redirect")
    ),
]


@pytest.mark.parametrize("path", ["/api/features", "/api/"])
def test_no_mishap_becomes_a_label_or_the_answer_that_there_is_none(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(fetcher, "COALESCE", 0.002)
    # A 404 of the API about many features is none that it gives; about one feature it is an answer.
    faults = [*FAULTS, Fault("status", status=404), Fault("absent")] if path == "/api/features" else FAULTS
    details = path == "/api/"
    assert {fault.kind for fault in faults} >= set(get_args(Kind)) - {"absent"}
    with desk(site, home) as here:
        for n, fault in enumerate(faults):
            fault = Fault(**{**fault.__dict__, "path": path, "times": -1})
            site.faults, site.posted[:] = [fault], []
            here.told.clear()
            assert here.states(n) == ["pending"], fault
            if details:
                here.labels.details(SAE.id, n)
            assert eventually(lambda: here.told and here.idle()), fault
            if fault.kind not in HARMLESS:
                assert stored(home, n) == (0, 0, 0), fault
                assert here.of(n)[n][0] is None and here.states(n)[0] in ("pending", "unavailable"), fault
            site.faults = []
            here.ticks.now += 1_000
            here.labels.retry()
            assert eventually(lambda n=n: here.of(n) == {n: (f"about {n}", "labelled")}), fault  # type: ignore[misc]
            if details:
                assert eventually(lambda n=n: here.labels.details(SAE.id, n)[2] == "known"), fault  # type: ignore[misc]
            assert stored(home, n) == (1, 0, 1), fault
        assert not here.labels.about_set(SAE.id)["blocked"] and not here.labels.problems


def test_what_was_first_seen_while_nobody_could_be_reached_comes_too(site: LocalNeuronpedia, home: Path) -> None:
    site.faults = [Fault("drop", times=-1)]
    with desk(site, home) as here:
        here.of(1)
        assert eventually(lambda: not here.web.reachable and here.idle())
        assert here.states(1, 2, 3) == ["unavailable"] * 3
        assert eventually(here.idle)
        site.faults, site.asked[:] = [], []
        time.sleep(0.1)
        assert site.asked == []
        here.labels.retry()
        assert eventually(lambda: any("about 3" in str(message) for message in here.told))
        assert eventually(lambda: stored(home, 3)[0] == 1)
        assert here.states(1, 2, 3) == ["labelled"] * 3


def test_a_probe_is_made_without_anybody_asking(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher.Fetcher, "delay", lambda asker: 0.02)  # instead of up to five seconds
    site.faults = [Fault("drop", times=-1)]
    with desk(site, home) as here:
        here.of(1)
        assert eventually(lambda: not here.web.reachable and here.idle())
        site.faults, before = [], len(site.posted)
        time.sleep(0.1)
        assert len(site.posted) == before
        here.ticks.now += 61
        assert eventually(lambda: stored(home, 1)[0] == 1) and len(site.posted) == before + 1


class Odd:
    """A publisher with a mind of its own."""

    name, title, batch = "odd", "Odd", 3

    def __init__(self, answer: Callable[[], dict[int, FeatureFacts | None]]) -> None:
        self.answer, self.asked = answer, 0

    def set_of(self, sae: SaeSpec) -> str:
        return sae.neuronpedia

    def look_up(self, web: Any, label_set: str, features: Sequence[int]) -> dict[int, FeatureFacts | None]:
        self.asked += 1
        return self.answer()

    def details(self, web: Any, label_set: str, feature: int) -> FeatureFacts | None:
        return self.look_up(web, label_set, [feature])[feature]

    def page(self, *asked: object) -> Any:
        raise AssertionError("not asked here")

    sae_of = files = row = page


@pytest.mark.parametrize("what", ["raises", "leaves out", "answers another", "answers nonsense"])
def test_a_publisher_that_fails_in_its_own_way_is_left_alone(site: LocalNeuronpedia, home: Path, what: str) -> None:
    def answer() -> Any:
        if what == "raises":
            raise ZeroDivisionError
        return {"leaves out": {}, "answers another": {99: None}, "answers nonsense": [1]}[what]

    publisher = Odd(answer)
    with desk(site, home, publisher=publisher) as here:
        for _ in range(2):
            here.of(1, 2)
            assert eventually(lambda: here.told and here.idle())
            time.sleep(0.2)
            assert here.states(1, 2) == ["unavailable"] * 2 and publisher.asked == 1
            assert stored(home, 1) == stored(home, 99) == (0, 0, 0)
        publisher.answer = lambda: {1: None, 2: FeatureFacts()}
        here.labels.retry()
        assert eventually(lambda: here.states(1, 2) == ["absent", "unlabelled"])


def test_a_database_that_broke_meanwhile_stops_nothing(site: LocalNeuronpedia, home: Path) -> None:
    with desk(site, home) as here:
        here.of(1)
        assert here.settled(1) == ["labelled"]
        for suffix in ("", "-wal", "-shm"):
            (home / f"labels.db{suffix}").write_bytes(b"no database" * 1000)
        here.labels.forget()
        here.labels.fetcher.blocked.clear()  # type: ignore[union-attr]
        assert here.of(1, 2)[2][0] is None
        assert here.labels.problems and here.labels.problems[0].hint


# -- negative answers ---------------------------------------------------------


def test_negative_answers_count_for_a_while_only(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(site, home) as here:
        here.of(1, 900, 901)
        assert here.settled(1, 900, 901) == ["labelled", "unlabelled", "absent"]
    site.put(neuron(MODEL, SOURCE, 900, "said later"), neuron(MODEL, SOURCE, 901, "made later"))
    for day, states, asked in (
        (6.9, ["labelled", "unlabelled", "absent"], []),
        (7.1, ["labelled", "unlabelled", "labelled"], [[901]]),
        (29.9, ["labelled", "unlabelled", "labelled"], []),
        (30.1, ["labelled", "labelled", "labelled"], [[900]]),
    ):
        at_time(monkeypatch, day * DAY)
        site.reset()
        with desk(site, home) as here:
            here.of(1, 900, 901)
            assert here.settled(1, 900, 901) == states
            assert asked_for(site) == asked, day


@pytest.mark.parametrize("later", [neuron(MODEL, SOURCE, 1), None])
def test_a_label_is_never_taken_away_by_an_answer_without_one(site: LocalNeuronpedia, home: Path, later: Any) -> None:
    with desk(site, home) as here:
        here.of(1)
        assert here.settled(1) == ["labelled"]
        site.features[MODEL, SOURCE, 1] = later
        site.put(*[later] if later else [])
        if not later:
            del site.features[MODEL, SOURCE, 1]
        here.labels.details(SAE.id, 1)
        assert eventually(lambda: stored(home, 1)[1] == 1) and eventually(here.idle)
        assert here.of(1) == {1: ("about 1", "labelled")}
    with desk(site, home, offline=True) as here:
        assert here.of(1) == {1: ("about 1", "labelled")}


# -- sets that are not what they seem -----------------------------------------


def test_a_set_that_the_publisher_does_not_know_is_left_alone_for_a_day(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.features.clear()
    with desk(site, home) as here:
        here.of(*range(4))
        assert here.settled(*range(4)) == ["absent"] * 4 and not here.labels.about_set(SAE.id)["blocked"]
        here.of(4)
        assert here.settled(4) == ["absent"] and "does not know" in here.labels.about_set(SAE.id)["blocked"]
        site.reset()
        assert here.states(5, 6) == ["unavailable"] * 2
    site.put(*(neuron(MODEL, SOURCE, n, f"about {n}") for n in range(9)))
    with desk(site, home) as here:
        assert here.states(7) == ["unavailable"] and here.labels.details(SAE.id, 7)[2] == "unavailable"
        time.sleep(0.15)
        assert site.asked == []
    at_time(monkeypatch, 1.01 * DAY)
    with desk(site, home) as here:
        here.of(7)
        assert here.settled(7) == ["labelled"] and here.labels.about_set(SAE.id)["blocked"] is None


def test_one_known_feature_shows_that_the_set_is_known(site: LocalNeuronpedia, home: Path) -> None:
    with desk(site, home) as here:
        here.of(1, *range(1000, 1070))
        assert here.settled(1, *range(1000, 1070)) == ["labelled", *["absent"] * 70]
    with desk(site, home) as here:  # it is in the database that it is
        here.of(*range(2000, 2070))
        assert here.settled(*range(2000, 2070)) == ["absent"] * 70
        assert here.labels.about_set(SAE.id)["blocked"] is None


def naming(release: str, sae_id: str) -> dict[str, Any]:
    """A field of a row: its source says that it is of this SAE."""
    return {"source": source_row(MODEL, SOURCE, saelensRelease=release, saelensSaeId=sae_id)}


@pytest.mark.parametrize("seen_before", [False, True])
def test_labels_of_another_sae_are_never_shown(site: LocalNeuronpedia, home: Path, seen_before: bool) -> None:
    other = naming("gpt2-small-res-jb", "blocks.7.hook_resid_pre")
    site.put(*(neuron(MODEL, SOURCE, n, f"about {n}") | other for n in range(9)))
    with desk(site, home) as here:
        if seen_before:
            here.of(*range(3))
            here.settled(*range(3))
        here.labels.details(SAE.id, 1)
        assert eventually(lambda: here.labels.about_set(SAE.id)["blocked"])
        why = here.labels.about_set(SAE.id)["blocked"]
        assert "blocks.7.hook_resid_pre" in why and "blocks.8.hook_resid_pre" in why
        assert eventually(here.idle)
        site.reset()
        assert here.of(*range(4)) == dict.fromkeys(range(4), (None, "unavailable"))
        assert here.labels.details(SAE.id, 1)[1:] == (FeatureFacts(), "unavailable")
        if seen_before:
            assert any(message["labels"].get("2", {}).get("label_state") == "unavailable" for message in here.told)
    with desk(site, home) as here:
        assert here.of(*range(4)) == dict.fromkeys(range(4), (None, "unavailable"))
        time.sleep(0.15)
        assert site.asked == []


@pytest.mark.parametrize(
    ("own", "named"),
    [
        (
            ("gemma-scope-2b-pt-res-canonical", "layer_20/width_16k/canonical"),
            ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71"),
        ),
        (
            ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71"),
            ("gemma-scope-2b-pt-res-canonical", "layer_20/width_16k/canonical"),
        ),
        (("gpt2-small-res-jb", "blocks.8.hook_resid_pre"), ("no-release-of-saelens", "blocks.0.hook_resid_pre")),
        (("gpt2-small-res-jb", "blocks.8.hook_resid_pre"), ("", "")),
    ],
)
def test_another_name_of_the_same_sae_and_an_unknown_name_block_nothing(
    site: LocalNeuronpedia, home: Path, own: tuple[str, str], named: tuple[str, str]
) -> None:
    site.put(neuron(MODEL, SOURCE, 1, "about 1") | naming(*named))
    sae = SaeSpec(SAE.id, MODEL, "hook", 24_576, published_sae(*own), neuronpedia=SET)
    with desk(site, home, sae) as here:
        here.labels.details(SAE.id, 1)
        assert eventually(lambda: here.labels.details(SAE.id, 1)[2] == "known")
        assert here.of(1) == {1: ("about 1", "labelled")} and here.labels.about_set(SAE.id)["blocked"] is None


# -- not asked at all ---------------------------------------------------------


@pytest.mark.parametrize("how", ["offline", "not wanted"])
def test_where_nothing_is_to_be_fetched_nothing_is(site: LocalNeuronpedia, home: Path, how: str) -> None:
    with desk(site, home) as here:
        here.of(1, 900)
        here.labels.details(SAE.id, 1)
        assert here.settled(1, 900) == ["labelled", "unlabelled"]
        assert eventually(lambda: here.labels.details(SAE.id, 1)[2] == "known")
    site.reset()
    with desk(site, home, offline=how == "offline", fetch=how != "not wanted") as here:
        assert here.of(1, 2, visible=True) == {1: ("about 1", "labelled"), 2: (None, "unavailable")}
        assert here.labels.details(SAE.id, 1)[2] == "known" and here.labels.details(SAE.id, 2)[2] == "unavailable"
        here.labels.retry()
        time.sleep(0.2)
        assert here.states(1, 2, 900) == ["labelled", "unavailable", "unlabelled"]
    assert site.asked == []


def test_offline_not_even_a_whole_set_is_fetched(site: LocalNeuronpedia, home: Path) -> None:
    site.export(MODEL, SOURCE, [{"index": 1, "description": "about 1"}])
    with desk(site, home, offline=True) as here:
        for ask in (
            lambda: here.labels.offer(SAE.id),
            lambda: here.labels.download(SAE.id, lambda *told: None, lambda: False),
        ):
            with pytest.raises(DownloadError) as error:
                ask()
            assert error.value.kind == "offline" and error.value.hint
        here.labels.get_all(SAE.id, lambda: None)
        assert eventually(lambda: here.labels.about_set(SAE.id)["download"]["state"] == "failed")
        assert here.labels.about_set(SAE.id)["download"]["error"]["kind"] == "offline"
    assert site.asked == []


# -- the end, and others ------------------------------------------------------


def test_closing_waits_for_nobody_and_leaves_nothing_open(
    site: LocalNeuronpedia, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    site.faults = [Fault("hang", times=-1)]
    with desk(site, home) as here:
        here.of(*range(300))
        here.labels.details(SAE.id, 3)
        assert eventually(lambda: len(site.asked) == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    asker = here.labels.fetcher
    assert asker and eventually(lambda: not any(thread.is_alive() for thread in asker.threads))
    assert here.labels.store and here.labels.store.connection is None and not here.labels.store.readers
    assert len(site.asked) == 2 and not caplog.records
    assert stored(home, 3) == (0, 0, 0)


def test_two_programs_see_each_others_labels(site: LocalNeuronpedia, home: Path) -> None:
    with desk(site, home) as one, desk(site, home, offline=True) as other:
        assert other.states(1) == ["unavailable"]
        one.of(1)
        assert one.settled(1) == ["labelled"]
        assert eventually(lambda: other.of(1) == {1: ("about 1", "labelled")}, 1.5)
        other.labels.edit(SAE.id, 1, "my own words", "")
        assert other.of(1) == {1: ("my own words", "labelled")}
        assert eventually(lambda: one.of(1) == {1: ("my own words", "labelled")}, 1.5)
        one.labels.edit(SAE.id, 1, "", "")
        assert eventually(lambda: other.of(1) == {1: ("about 1", "labelled")}, 1.5)


OTHER_PROGRAM = """if True:
    import sys, time
    from pathlib import Path
    from axon_shell import homes
    from axon_shell.labels import *
    from axon_shell.plugins import load_file
    from axon_shell.records import SaeSpec
    site, name = sys.argv[1:]
    publisher = load_file(homes.plugins() / "neuronpedia.py", "neuronpedia").Neuronpedia(site, site)
    sae = SaeSpec(name, name.split("/")[0], "hook", 24_576, Path("weights"), neuronpedia=name)
    labels = Labels([publisher], {name: sae}, LabelStore(homes.data()),
                    network=Network(Web(False), lambda message: None))
    while labels.of(name, [1])[1][1] != "labelled":
        time.sleep(0.01)
    print("fetched", flush=True)
    while labels.of(name, [1])[1][0].origin != "you":
        time.sleep(0.01)
    print(labels.of(name, [1])[1][0].text, flush=True)
    labels.close()
"""


def test_two_processes_see_each_others_labels(site: LocalNeuronpedia, home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", OTHER_PROGRAM, site.url, SAE.id]
    with desk(site, home, offline=True) as here:
        assert here.states(1) == ["unavailable"]
        program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert program.stdout and program.stdout.readline() == "fetched\n"
            assert eventually(lambda: here.of(1) == {1: ("about 1", "labelled")}, 1.5)
            here.labels.edit(SAE.id, 1, "my own words", "")
            began = time.monotonic()
            assert program.stdout.readline() == "my own words\n" and time.monotonic() - began < 1.5
            assert program.wait(5) == 0
        finally:
            program.kill()
            program.stdout.close()  # type: ignore[union-attr]
    assert asked_for(site) == [[1]]
