"""What features are called: safe texts, an order that never changes, five states, and names made of tokens."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from test_bridge import ask, events_until, refused

from axon_shell.app import build_bridge
from axon_shell.bridge import Bridge
from axon_shell.config import LabelSettings, read_config
from axon_shell.errors import NotFound
from axon_shell.hookspecs import LabelPublisher
from axon_shell.labels import Labels, LabelStore, Network, OwnLabel, Promoted, Web
from axon_shell.labels.automatic import automatic
from axon_shell.labels.ranking import ranked
from axon_shell.labels.text import LONGEST, clean, clean_note, clean_token
from axon_shell.records import FeatureFacts, Label, LabelFile, SaeSpec

# -- texts ---------------------------------------------------------------------------------

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NO_WIDTH = "\u00ad\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u206a\u206f\ufeff\ufff9"
hostile = st.text(
    st.characters()
    | st.sampled_from([*BIDI, *NO_WIDTH, *"\0\x01\x1b\x7f\x85\x9f\t\r\n \u2028\u3000\ud83d\ude00"])
    | st.sampled_from([*"e\u0301\u0323ñ한ﬁ\U0001d15e\ufb2c\U000e0041"]),
    max_size=80,
)


def is_safe(text: str) -> bool:
    bad = {*BIDI, *NO_WIDTH}
    return not any(one in bad or unicodedata.category(one) in ("Cc", "Cs") for one in text)


@given(hostile, st.sampled_from([5, 20, 160, LONGEST]))
def test_a_text_from_a_stranger_becomes_one_harmless_line(text: str, longest: int) -> None:
    cleaned = clean(text, longest)
    assert is_safe(cleaned) and len(cleaned) <= longest
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split()) == clean(cleaned, longest)
    assert json.loads(json.dumps(cleaned)) == cleaned.encode().decode() == cleaned


@given(hostile, st.sampled_from([5, 20, 2_000]))
def test_a_note_keeps_its_lines(text: str, longest: int) -> None:
    note = clean_note(text, longest)
    assert is_safe(note.replace("\n", "")) and len(note) <= longest
    assert clean_note(note, longest) == note == note.strip()
    assert clean_note("first\r\nsecond\n\nfourth") == "first\nsecond\n\nfourth"


@given(hostile)
def test_a_token_keeps_its_spaces(text: str) -> None:
    assert is_safe(clean_token(text).translate(dict.fromkeys(map(ord, "\t\r\n"))))
    assert [clean_token(token) for token in (" Paris", "Ġthe", "▁of", "Ċ", "a\tb", "")] == [
        *(" Paris", " the", " of", "\n", "a\tb", "")
    ]


def test_what_looks_like_a_program_stays_text_and_what_is_long_is_cut() -> None:
    for text in ("<img src=x onerror=alert(1)>", "'; DROP TABLE labels; --", "[link](javascript:1)", "&lt;b&gt;"):
        assert clean(f"  {text}\n") == text
    assert clean("words \u202ethat turn\u2066 around\0") == "words that turn around"
    assert clean("half a \ud83d character") == "half a character"
    cut = clean("x" * 10_000)
    assert len(cut) == LONGEST and cut.endswith("x…")
    assert clean("long " * 2_000, 21) == "long long long long…" and clean("\u200b\n\0") == ""


# -- which of several labels -------------------------------------------------------------------

BEST_FIRST = [
    ("oai_token-act-pair", "gpt-4o-mini"),
    ("oai_attention-head", "gpt-3.5-turbo"),
    ("np_max-act-logits", "gpt-4o-mini"),
    ("eleuther_acts_top20", "claude"),
    ("oai_token-act-pair", "gpt-3.5-turbo"),
    ("something-new", "gpt-9"),
    ("nla_verbalizer", "gpt-4o"),
    ("human", ""),
]
labels_of_one = st.lists(
    st.builds(
        lambda which, text, score, kind, id, origin: Label(
            text, origin, which[0], score, kind if score is not None else "", {}, which[1], id
        ),
        st.sampled_from(BEST_FIRST),
        st.sampled_from(["a", "b", "a long one"]),
        st.none() | st.sampled_from([-0.5, 0.0, 0.25, 1.0]),
        st.sampled_from(["recall_alt", "fuzz"]),
        st.sampled_from(["", "c1", "c2"]),
        st.sampled_from(["neuronpedia", "pack"]),
    ),
    max_size=8,
)


def test_method_and_explainer_decide_and_a_score_only_among_equals() -> None:
    labels = [
        Label(f"{method} by {explainer}", "neuronpedia", method, 0.1 * number, "recall_alt", explainer=explainer)
        for number, (method, explainer) in enumerate(BEST_FIRST)  # the worse, the higher its score
    ]
    for seed in range(5):
        assert ranked(random.Random(seed).sample(labels, len(labels))) == labels
    base = replace(labels[0], score=None, score_name="", id="c5")
    better = [
        replace(base, text="high score", score=0.9, score_name="recall_alt"),
        replace(base, text="low", score=0.2, score_name="recall_alt"),
        replace(base, text="short, no score"),
        replace(base, text="long one without any score", id="c1"),
        replace(base, text="long one, without any core", id="c2"),
    ]
    for seed in range(5):
        assert ranked(random.Random(seed).sample(better, len(better))) == better


@given(labels_of_one, st.randoms(use_true_random=False))
def test_the_order_is_the_same_whatever_came_first(labels: list[Label], chance: random.Random) -> None:
    shuffled = labels.copy()
    chance.shuffle(shuffled)
    order = ranked(shuffled)
    assert order == ranked(labels) == ranked(order)
    said = [(one.origin, one.method, one.explainer, one.text) for one in labels]
    assert len(order) == len(set(said)) and all(one in labels for one in order)
    places = [BEST_FIRST.index((one.method, one.explainer)) for one in order]
    assert places == sorted(places)


def test_what_the_user_prefers_comes_first_in_the_users_order() -> None:
    labels = [Label(method, "neuronpedia", method, explainer=explainer) for method, explainer in BEST_FIRST]
    first = ranked(labels, ["human/*", "*/claude"])
    assert [one.method for one in first[:3]] == ["human", "eleuther_acts_top20", "oai_token-act-pair"]
    assert ranked(labels, ["nobody/*"]) == ranked(labels)


# -- names made of tokens -------------------------------------------------------------------------

PEAKED = Promoted(((" Paris", 2.0), (" Rome", 1.0), ("\n", 0.9), ("x", 0.1)), (("y", -1.0),), 6.0, 5.0, 9.0)
FLAT = replace(PEAKED, peak=4.9)
PIECES = [(" of", 3, 9.0), ("\t<b>", 2, 8.0), (" in", 1, 7.0), (" at", 1, 6.0)]


def test_what_is_promoted_comes_first_only_where_it_stands_out() -> None:
    strong, weak, fires = "promotes “ Paris”, “ Rome”, “↵”", "promotes, weakly, “ Paris”, “ Rome”, “↵”", "fires on"
    assert [one.text for one in automatic(PEAKED, [])] == [strong]
    assert [one.text for one in automatic(None, PIECES)] == ["fires on “ of”, “⇥<b>”, “ in”"]
    assert [one.text.split(" “")[0] for one in automatic(PEAKED, PIECES)] == ["promotes", fires]
    assert [one.text for one in automatic(FLAT, PIECES)][1] == weak
    assert automatic(replace(PEAKED, peak=5.0), PIECES)[0].text == strong  # as much as chance is enough
    assert automatic(None, []) == []
    for one in (*automatic(PEAKED, PIECES), *automatic(FLAT, PIECES)):
        assert one.is_automatic and one.score is None and one.details


# -- the five states ------------------------------------------------------------------------------


class Source:
    """Knows the even features of one SAE."""

    name = "source"

    def __init__(self, sae: str = "m/held", fails: bool = False) -> None:
        self.sae, self.fails = sae, fails

    def has(self, sae: str) -> bool:
        return sae == self.sae

    def labels(self, sae: str, features: Iterable[int]) -> dict[int, Label]:
        if self.fails:
            raise KeyError("a mistake of the plugin's own")
        return {n: Label(f"{self.name} {n}", self.name, "by hand") for n in features if n % 2 == 0}

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        if self.fails:
            raise KeyError("a mistake of the plugin's own")
        return {"density": 0.5} if self.has(sae) else {}


class Publisher:
    """Publishes a set for each SAE whose entry names one; nobody asks it anything here."""

    name, title, batch = "neuronpedia", "Neuronpedia", 64

    def set_of(self, sae: SaeSpec) -> str:
        return sae.neuronpedia

    def page(self, label_set: str, feature: int) -> str:
        return f"https://example.org/{label_set}/{feature}"

    def _never(self, *args: object) -> Any:
        raise AssertionError("the network was asked")

    look_up = details = sae_of = files = row = _never


def spec(name: str, width: int = 1_000, neuronpedia: str = "") -> SaeSpec:
    return SaeSpec(name, "m", "", width, Path(), neuronpedia=neuronpedia)


SAES = {
    one.id: one
    for one in (
        spec("m/held"),
        spec("m/16k", 16_384, "np/16k"),
        spec("m/32k", 32_768, "np/32k"),
        spec("tuned/16k", 16_384, "np/16k"),
        spec("m/none"),
        spec("np/16k"),  # has the name of another one's label set
    )
}


@pytest.fixture
def store(home: Path) -> Iterator[LabelStore]:
    store = LabelStore(home)
    yield store
    store.close()


def labels_with(store: LabelStore | None = None, *sources: object, **options: Any) -> Labels:
    publisher = Publisher()
    assert isinstance(publisher, LabelPublisher)
    return Labels([*(sources or [Source()]), publisher], SAES, store, **options)  # type: ignore[list-item]


def told(labels: Labels, sae: str, *features: int) -> dict[int, tuple[str | None, str, str | None]]:
    """Text, state and origin of each feature."""
    named = labels.of(sae, features)
    return {n: (label and label.text, state, label and label.origin) for n, (label, state) in named.items()}


def published(store: LabelStore, label_set: str, rows: Mapping[int, str], complete: bool = False) -> None:
    found = [(n, Label(text, "neuronpedia", "oai_token-act-pair", explainer="gpt-4o-mini")) for n, text in rows.items()]
    store.replace_files(label_set, [(LabelFile("f", ""), found)], ["f"], complete)


def test_who_knows_what_decides_about_the_state(store: LabelStore) -> None:
    published(store, "np/16k", {1: "published"}, complete=True)
    published(store, "np/32k", {1: "one of some"})
    store.keep("np/32k", "neuronpedia", {2: FeatureFacts(), 3: None})
    labels = labels_with(store)
    assert told(labels, "m/held", 2, 3) == {2: ("source 2", "labelled", "source"), 3: (None, "unlabelled", None)}
    assert told(labels, "m/16k", 1, 2) == {1: ("published", "labelled", "neuronpedia"), 2: (None, "unlabelled", None)}
    assert told(labels, "m/32k", 1, 2, 3, 4) == {
        1: ("one of some", "labelled", "neuronpedia"),
        2: (None, "unlabelled", None),
        3: (None, "absent", None),
        4: (None, "unavailable", None),  # a publisher may know, and there is no way to it
    }
    assert told(labels, "m/none", 1) == told(labels, "nobody/knows", 1) == {1: (None, "absent", None)}
    assert told(labels_with(store, settings=LabelSettings(fetch=False)), "m/32k", 4)[4][1] == "unavailable"
    assert labels.details("m/32k", 4)[2] == "unavailable" and labels.details("m/none", 4)[2] == "absent"
    assert labels.require_feature("m/16k", 16_383) is None
    for feature in (-1, 16_384):
        with pytest.raises(NotFound):
            labels.require_feature("m/16k", feature)


class Slow(Publisher):
    """Answers when it may: odd features have a label, even ones none, and it does not know those divisible by ten."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[int] = []

    def look_up(self, web: object, label_set: str, features: Sequence[int]) -> dict[int, FeatureFacts | None]:
        assert self.go.wait(20)
        self.asked += features
        return {n: self.details(web, label_set, n) for n in features}

    def details(self, web: object, label_set: str, feature: int) -> FeatureFacts | None:
        labels = (Label(f"{label_set} {feature}", self.name, "oai"),) if feature % 2 else ()
        return FeatureFacts(labels) if feature % 10 else None


def test_what_is_asked_for_is_on_its_way_until_it_comes(store: LabelStore) -> None:
    publisher, messages = Slow(), queue.Queue()
    labels = Labels([publisher], SAES, store, network=Network(Web(offline=False), messages.put))
    assert told(labels, "m/16k", 1, 2, 10) == dict.fromkeys((1, 2, 10), (None, "pending", None))
    assert told(labels, "m/none", 1)[1][1] == "absent"
    publisher.go.set()
    message = messages.get(timeout=20)
    assert (message["kind"], message["sae"]) == ("labels", "m/16k")
    assert message["labels"] == {
        "1": {"label": "np/16k 1", "label_state": "labelled", "label_origin": "neuronpedia"},
        "2": {"label": None, "label_state": "unlabelled", "label_origin": None},
        "10": {"label": None, "label_state": "absent", "label_origin": None},
    }
    again = Labels([publisher], SAES, LabelStore(store.path.parent))  # what was answered is kept
    assert told(again, "tuned/16k", 1, 2, 10) == told(labels, "m/16k", 1, 2, 10)
    assert sorted(publisher.asked) == [1, 2, 10]
    again.close()
    labels.close()


def test_offline_nobody_is_asked(store: LabelStore) -> None:
    labels = Labels([Publisher()], SAES, store, network=Network(Web(offline=True), lambda message: None))
    assert told(labels, "m/16k", 1) == {1: (None, "unavailable", None)}
    assert labels.details("m/16k", 1)[2] == "unavailable"
    labels.close()


def test_labels_belong_to_one_width_and_to_the_same_sae_on_a_fine_tune(store: LabelStore) -> None:
    published(store, "np/16k", {1: "of the narrow one", 2: "of the narrow one"})
    published(store, "np/32k", {1: "of the wide one"})
    labels = labels_with(store)
    assert told(labels, "m/16k", 1)[1][0] == told(labels, "tuned/16k", 1)[1][0] == "of the narrow one"
    assert told(labels, "m/32k", 1, 2) == {
        1: ("of the wide one", "labelled", "neuronpedia"),
        2: (None, "unavailable", None),
    }
    labels.edit("m/16k", 5, "mine of the narrow one", "")
    assert told(labels, "tuned/16k", 5)[5][0] is None  # one's own words belong to what one saw
    assert {name for name, _ in labels.search("narrow", "tuned/16k")} == {"tuned/16k"}
    labels.edit("np/16k", 6, "mine of the narrow name", "")
    assert [(name, hit.feature) for name, hit in labels.search("mine narrow", "tuned/16k")] == []
    assert [(name, hit.feature) for name, hit in labels.search("mine narrow", "m/16k")] == [("m/16k", 5)]


def test_ones_own_label_wins_then_plugins_then_publishers_then_tokens(store: LabelStore) -> None:
    published(store, "np/16k", {2: "published", 3: "published"})
    store.put_promoted("m/16k", {2: PEAKED, 4: FLAT})
    labels = labels_with(store, Source("m/16k"), fires_on=lambda sae, features: dict.fromkeys(features, PIECES))
    labels.edit("m/16k", 2, "mine", "a note")
    assert [one.origin for one in labels.all_of("m/16k", 2)] == [
        *("you", "source", "neuronpedia", "automatic", "automatic")
    ]
    assert told(labels, "m/16k", 2, 3, 4, 5) == {
        2: ("mine", "labelled", "you"),
        3: ("published", "labelled", "neuronpedia"),
        4: ("source 4", "labelled", "source"),
        5: ("fires on “ of”, “⇥<b>”, “ in”", "unlabelled", "automatic"),
    }
    labels.edit("m/16k", 2, " \u200b ", "a note")
    assert told(labels, "m/16k", 2)[2][0] == "source 2" and labels.own("m/16k", 2) == OwnLabel("", "a note")


def test_the_users_preference_decides_what_is_shown(store: LabelStore) -> None:
    said = [(1, Label(f"by {method}", "neuronpedia", method, explainer="gpt-4o-mini")) for method in ("oai_x", "np_y")]
    store.replace_files("np/16k", [(LabelFile("f", ""), said)], ["f"], complete=True)
    assert told(labels_with(store), "m/16k", 1)[1][0] == "by oai_x"
    preferring = labels_with(store, settings=LabelSettings(prefer=("np_*/*",)))
    assert told(preferring, "m/16k", 1)[1][0] == "by np_y"
    assert [one.text for one in preferring.all_of("m/16k", 1)] == ["by np_y", "by oai_x"]


def test_tokens_never_change_a_state(store: LabelStore) -> None:
    for sae in SAES:
        store.put_promoted(sae, {1: PEAKED, 3: FLAT})
    published(store, "np/16k", {}, complete=True)
    plain = labels_with(store)
    named = labels_with(store, fires_on=lambda sae, features: dict.fromkeys(features, PIECES))
    for sae, state in {
        "m/held": "unlabelled",
        "m/16k": "unlabelled",
        "m/32k": "unavailable",
        "m/none": "absent",
    }.items():
        assert told(plain, sae, 1) == {1: ("promotes “ Paris”, “ Rome”, “↵”", state, "automatic")}
        first = {
            n: (text and text.split(" “")[0], state, origin)
            for n, (text, state, origin) in told(named, sae, 1, 3).items()
        }
        assert first == {1: ("promotes", state, "automatic"), 3: ("fires on", state, "automatic")}


def test_a_source_that_fails_is_left_out_and_told_once(store: LabelStore) -> None:
    published(store, "np/16k", {3: "published"})
    labels = labels_with(store, Source("m/16k", fails=True), Source("m/16k"))
    assert told(labels, "m/16k", 2, 3) == {
        2: ("source 2", "labelled", "source"),
        3: ("published", "labelled", "neuronpedia"),
    }
    assert labels.statistics("m/16k", 2) == {"density": 0.5}
    assert told(labels, "m/16k", 4)[4][1] == "labelled"
    (problem,) = labels.problems
    assert "label source source" in problem.name and "KeyError" in problem.message and problem.hint


def test_without_a_database_or_a_network_nothing_breaks() -> None:
    labels = labels_with(None)
    assert told(labels, "m/held", 2, 3)[2][1] == "labelled" and told(labels, "m/16k", 2)[2][1] == "unavailable"
    assert labels.search("source 2", "m/held")[0][1].feature == 2 and labels.search("x") == []
    assert labels.about_set("m/16k")["labels"] == 0 and labels.own("m/16k", 2) is None
    for refusal in (lambda: labels.edit("m/16k", 1, "x", ""), lambda: labels.offer("m/16k")):
        with pytest.raises(Exception, match=r"no label database|not fetched here") as caught:
            refusal()
        assert caught.value.hint  # type: ignore[attr-defined]


# -- a session, as the page sees it -----------------------------------------------------------------

SAE, OTHER = "tiny-world/2-res", "tiny-world/3-res"
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """The real program without a page: Tiny World, its plugins, offline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AXON_HOME", str(tmp_path_factory.mktemp("shell")))
        bridge = build_bridge(read_config())
    yield bridge
    bridge.close()


@pytest.fixture(scope="module")
def ran(shell: Bridge) -> tuple[str, list[dict]]:
    """A session, and its events up to the last name."""
    begin = ask(shell, "hello")["last_event"]
    settings = {"max_tokens": 6, "temperature": 0}
    uid = ask(shell, "run", prompt=PROMPT, model="tiny-world", saes=[SAE, OTHER], settings=settings)["session"]
    seen = events_until(shell, begin, lambda event: event["kind"] == "sessions_changed")
    deadline = time.monotonic() + 60
    fired = undescribed(seen)
    while {sae: set(names) for sae, names in promoted_names(seen).items()} != fired and time.monotonic() < deadline:
        seen += ask(shell, "next_events", after=seen[-1]["seq"], max=256, wait=1)["events"]
    return uid, seen


def steps_of(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in messages if one["kind"] == "step" and not one.get("is_bos")]


def undescribed(messages: Sequence[Mapping[str, Any]]) -> dict[str, set[int]]:
    """The features that fired and had no description, by SAE."""
    found: dict[str, set[int]] = {}
    for step in steps_of(messages):
        for sae, reading in step["saes"].items():
            found.setdefault(sae, set()).update(
                one["feature"] for one in reading["features"] if one["label_state"] != "labelled"
            )
    return found


def promoted_names(events: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, dict]]:
    """The last name that events tell of each feature whose promoted tokens are known by then."""
    found: dict[str, dict[int, dict]] = {}
    for sae in (SAE, OTHER):
        told = [one for one in events if one["kind"] == "labels" and one["sae"] == sae]
        rounds: dict[int, list[dict]] = {}
        for event in told:
            for feature, name in event["labels"].items():
                rounds.setdefault(int(feature), []).append(name)
        # Told twice: when the session is stored, by what it fires on, and again when its promoted tokens are known.
        found[sae] = {feature: names[-1] for feature, names in rounds.items() if len(names) > 1}
    return found


def test_a_run_names_what_nobody_described_by_its_tokens(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    from axon_shell.engine.attribution import direct_path, way_to_residual
    from axon_shell.engine.naming import chance_peak, promoted, token_ids

    _, events = ran
    fired, names = undescribed(events), promoted_names(events)
    assert all(len(features) > 3 for features in fired.values())
    model = shell.worker.model
    assert model
    path, tokens = direct_path(model), token_ids(model)
    chance = chance_peak(path, tokens)
    for name, features in fired.items():
        sae = shell.worker.saes[name]
        assert set(names[name]) == features
        computed = promoted(path, sae, way_to_residual(model, sae.target), sorted(features), tokens)
        assert computed
        kept = shell.labels.promoted(name, features)
        pieces = shell.store.fires_on(name, sorted(features))
        for feature, most, peak in zip(computed.features, computed.promotes, computed.peak, strict=True):
            decoded = [model.tokenizer.decode([token]) for token, _ in most]
            assert all(a == b for (a, _), b in zip(kept[feature].tokens, decoded, strict=True) if "\ufffd" not in b)
            assert [weight for _, weight in kept[feature].tokens] == pytest.approx(
                [weight for _, weight in most], abs=1e-4
            )
            assert (kept[feature].peak, kept[feature].chance) == (pytest.approx(peak, abs=1e-3), chance)
            name_told = names[name][feature]
            assert (name_told["label_state"], name_told["label_origin"]) == ("unlabelled", "automatic")
            measured = shell.labels.measured(name, [feature]).get(feature)  # Tiny World comes calibrated
            rule = measured.rule if measured else None
            if kept[feature].peak >= chance and not (rule and rule.clear):
                assert name_told["label"].startswith("promotes “") and decoded[0].strip() in name_told["label"]
            else:
                where = rule.place if rule else "on"
                firing = rule.tokens if rule else pieces[feature]
                shown = ", ".join(f"“{piece}”" for piece, *_ in firing[:3]).replace("\n", "↵")
                assert name_told["label"].startswith(f"fires {where} {shown}")
                assert name_told["label"].endswith("much else") == (rule is not None and not rule.clear)
            strongest = max(
                (one["activation"], step["piece"])
                for step in steps_of(events)
                for one in step["saes"][name]["features"]
                if one["feature"] == feature
            )
            assert pieces[feature] == [(strongest[1], 1, pytest.approx(strongest[0]))]


def test_the_session_on_screen_is_read_again_with_its_new_names(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    uid, events = ran
    again = steps_of(ask(shell, "messages", session=uid)["messages"])
    names = promoted_names(events)
    checked = 0
    for before, after in zip(steps_of(events), again, strict=True):
        for sae, reading in after["saes"].items():
            for old, new in zip(before["saes"][sae]["features"], reading["features"], strict=True):
                assert (old["feature"], old["activation"]) == (new["feature"], new["activation"])
                if new["feature"] in names[sae]:
                    checked += 1
                    assert {key: new[key] for key in ("label", "label_state", "label_origin")} == names[sae][
                        new["feature"]
                    ]
                else:
                    assert new == old
    assert checked > 10
    graph = ask(shell, "graph", session=uid, sae=SAE, by="co-activation", position=5)
    assert {node["label"] for node in graph["nodes"] if node["feature"] in names[SAE]} <= {
        name["label"] for name in names[SAE].values()
    }


def test_another_start_without_torch_knows_the_names(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    uid, _ = ran
    code = f"""if True:
        import json, sys
        from axon_shell.app import build_bridge
        from axon_shell.config import read_config
        bridge = build_bridge(read_config())
        print(bridge.call("messages", json.dumps({{"session": {uid!r}}})))
        bridge.close()
        loaded = {{"torch", "transformers", "sae_lens", "httpx"}} & sys.modules.keys()
        assert not loaded, loaded
    """
    environment = os.environ | {"AXON_HOME": str(shell.store.path.parent), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    replayed = steps_of(json.loads(done.stdout)["value"]["messages"])
    assert [step["saes"] for step in replayed] == [
        step["saes"] for step in steps_of(ask(shell, "messages", session=uid)["messages"])
    ]
    assert any(one["label_origin"] == "automatic" for step in replayed for one in step["saes"][SAE]["features"])


# -- the bridge's methods --------------------------------------------------------------------------

LABEL_FIELDS = {"text", "origin", "method", "explainer", "score", "score_name", "details"}


def after(shell: Bridge, then: Callable[[], object]) -> list[dict]:
    """The "labels" events of something that is done."""
    begin = ask(shell, "hello")["last_event"]
    then()
    events = ask(shell, "next_events", after=begin, max=256, wait=0.2)["events"]
    return [event for event in events if event["kind"] == "labels"]


def test_ones_own_label_through_the_page(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    uid, events = ran
    feature = next(iter(undescribed(events)[SAE]))
    before = ask(shell, "names", sae=SAE, features=[feature])["labels"][str(feature)]
    record: dict[str, Any] = {}

    def edit(label: str, note: str) -> None:
        record.update(ask(shell, "edit_label", sae=SAE, feature=feature, label=label, note=note))

    (event,) = after(shell, lambda: edit("  what I\u202e call\nit ", "first\nsecond"))
    name = {"label": "what I call it", "label_state": "labelled", "label_origin": "you"}
    assert (event["sae"], event["labels"]) == (SAE, {str(feature): name})
    assert record["label"]["text"] == record["labels"][0]["text"] == "what I call it"
    assert record["own"] == {"label": "what I call it", "note": "first\nsecond"} and record["label_state"] == "labelled"
    assert record["labels"][-1]["origin"] == "automatic" and record["labels"][0].keys() == LABEL_FIELDS
    shown = [
        one["label"]
        for step in steps_of(ask(shell, "messages", session=uid)["messages"])
        for one in step["saes"][SAE]["features"]
        if one["feature"] == feature
    ]
    assert set(shown) == {"what I call it"}
    (event,) = after(shell, lambda: edit("", "first\nsecond"))
    assert event["labels"] == {str(feature): before}
    assert record["own"] == {"label": "", "note": "first\nsecond"} and record["label"]["origin"] == "automatic"
    edit("l" * 10_000, "n" * 10_000)
    assert (len(record["own"]["label"]), len(record["own"]["note"])) == (400, 2_000)
    edit("\u200b", " \n ")
    assert record["own"] is None and record["label"]["text"] == before["label"]


def test_a_label_of_ones_own_wins_over_a_measured_one_and_gives_way_again(shell: Bridge) -> None:
    measured = next(hit for hit in ask(shell, "search_labels", text="capital", sae=SAE)["found"])
    params = {"sae": SAE, "feature": measured["feature"]}
    record = ask(shell, "edit_label", **params, label="mine", note="")
    assert [one["origin"] for one in record["labels"][:2]] == ["you", "tiny-world"]
    assert ask(shell, "edit_label", **params, label="", note="")["label"]["text"] == measured["label"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"feature": 1280}, "not_found"),
        ({"feature": -1}, "not_found"),
        ({"feature": "3"}, "refused"),
        ({"feature": 3.5}, "refused"),
        ({"label": None}, "refused"),
        ({"label": ["x"]}, "refused"),
        ({"note": 3}, "refused"),
        ({"sae": None}, "refused"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(shell: Bridge, changes: dict[str, Any], kind: str) -> None:
    error = refused(shell, "edit_label", **({"sae": SAE, "feature": 3, "label": "x", "note": ""} | changes))
    assert error["kind"] == kind
    assert shell.labels.own(SAE, 3) is None


def test_search_finds_measured_labels_and_ones_own_first(shell: Bridge) -> None:
    ask(shell, "edit_label", sae=OTHER, feature=9, label="capital gains", note="")
    ask(shell, "edit_label", sae=OTHER, feature=10, label="", note="see capital gains")
    answer = ask(shell, "search_labels", text="capital", limit=500)
    assert {(one["sae"], one["feature"]) for one in answer["found"][:2]} == {(OTHER, 9), (OTHER, 10)}
    assert all("capital" in one["label"].casefold() for one in answer["found"])
    assert {one["sae"] for one in answer["found"]} == {"tiny-world/0-res", SAE, OTHER}
    for one in answer["found"]:
        assert one.keys() == {"sae", "feature", "label", "origin", "method", "explainer"}
    measured = json.loads((REPOSITORY / "plugins" / "tiny_world" / "labels" / "2-res.json").read_text())["features"]
    expected = {one["feature"] for one in measured if one["label"] and "capital" in one["label"]["text"].casefold()}
    limited = ask(shell, "search_labels", text="CAPITAL", sae=SAE, limit=500)
    assert {one["feature"] for one in limited["found"]} == expected and not limited["more"] and len(expected) > 3
    few = ask(shell, "search_labels", text="capital", sae=SAE, limit=2)
    assert len(few["found"]) == 2 and few["more"]
    for text in ("", "   ", "\ud83d", '"', "x" * 5_000):
        assert ask(shell, "search_labels", text=text) == {"found": [], "more": False}


def test_how_many_labels_there_are(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    _, events = ran
    answer = ask(shell, "label_set", sae=SAE)
    measured = json.loads((REPOSITORY / "plugins" / "tiny_world" / "labels" / "2-res.json").read_text())["features"]
    labelled = sum(1 for one in measured if one["label"])
    assert answer.pop("automatic") >= len(undescribed(events)[SAE])
    assert answer.pop("calibration")["tokens"] > 100_000
    assert answer == {
        "sae": SAE,
        "set": None,
        "publisher": None,
        "features": 1280,
        "labelled": labelled,
        "labels": labelled,
        "own": 0,
        "complete": True,
        "fetched_at": None,
        "blocked": None,
        "offline": True,
        "fetch": True,
        "download": {"state": "idle", "done": 0, "total": 0, "error": None},
    }
    unknown = ask(shell, "label_set", sae="lost/sae")
    assert (unknown["features"], unknown["labelled"], unknown["complete"]) == (0, 0, False)
    for method in ("label_offer", "get_labels"):
        error = refused(shell, method, sae=SAE)
        assert error["kind"] == "not_found" and "Nobody publishes" in error["message"]
    assert ask(shell, "cancel_labels") == ask(shell, "retry_labels") == {}


def test_names_and_everything_about_a_feature(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    _, events = ran
    (feature, *_) = undescribed(events)[SAE]
    names = ask(shell, "names", sae=SAE, features=[*range(1280), *range(1280)])["labels"]
    assert len(names) == 1280 and all(one.keys() == {"label", "label_state", "label_origin"} for one in names.values())
    assert {one["label_state"] for one in names.values()} == {"labelled", "unlabelled"}
    record = ask(shell, "feature", sae=SAE, feature=feature)
    assert record["label"] == record["labels"][0] and record["label"].keys() == LABEL_FIELDS
    assert {one["method"] for one in record["labels"]} == {"promoted tokens", "tokens it fires on, in a corpus"}
    assert (record["own"], record["details_state"], record["publisher"]) == (None, "absent", None)
    details = record["details"]
    assert details["promoted_origin"] == "automatic" and details["origin"] == "measured elsewhere"
    assert all(len(one["tokens"]) == len(one["activations"]) for one in details["contexts"])
    assert len(details["contexts"]) > 1 and record["calibration"]["fires"] > 1
    assert len(details["promoted"]) == len(details["suppressed"]) == 10
    weights = [weight for _, weight in details["promoted"]]
    assert weights == sorted(weights, reverse=True) and details["suppressed"][0][1] < 0
    assert record["statistics"].keys() <= {"density", "max_activation"}


def test_looking_at_a_feature_that_never_fired_names_it_too(shell: Bridge, ran: tuple[str, list[dict]]) -> None:
    names = ask(shell, "names", sae=SAE, features=list(range(1280)))["labels"]
    feature = next(int(n) for n, one in names.items() if one["label"] is None)
    begin = ask(shell, "hello")["last_event"]
    assert ask(shell, "feature", sae=SAE, feature=feature)["details"]["promoted"] == []
    events = events_until(shell, begin, lambda event: event["kind"] == "labels")
    name = events[-1]["labels"][str(feature)]
    assert name["label"].startswith("promotes") and name["label_origin"] == "automatic"
    assert ask(shell, "feature", sae=SAE, feature=feature)["label"]["text"] == name["label"]
