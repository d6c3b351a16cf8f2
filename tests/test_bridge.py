"""What the page may call, on the real worker, engine and store with a model of random weights."""

from __future__ import annotations

import base64
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from random_model import CONTEXT, two_models

from axon_shell import bridge as bridge_module
from axon_shell.analysers import Analysers
from axon_shell.bridge import Bridge
from axon_shell.config import Config, SessionSettings, Start, load_config
from axon_shell.events import EventLog
from axon_shell.graph import KINDS
from axon_shell.labels import Labels, LabelStore
from axon_shell.plugins import Catalogue
from axon_shell.records import Analyser, ModelSpec, Settings, hub_model
from axon_shell.remembered import Remembered
from axon_shell.session import Annotator
from axon_shell.store import Store
from axon_shell.worker import Worker

SAE = "random/first"


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("weights")
    found = two_models(folder)
    found.saes["random/gone"] = replace(found.saes["random/first"], id="random/gone", weights=folder / "nowhere")
    found.saes["second/other"] = replace(found.saes["second/first"], id="second/other")
    found.models["gone"] = ModelSpec("gone", "Gone", "gpt2", folder / "nowhere", CONTEXT, 0)
    found.models["away"] = ModelSpec("away", "Away", "gpt2", hub_model("nobody/away"), CONTEXT, 1_234_000_000)
    found.analysers["entropy"] = Analyser("entropy", lambda step: step["entropy"], "as it is", high=5)
    found.analysers["broken"] = Analyser("broken", lambda step: step["nothing"])
    return found


@pytest.fixture(scope="module")
def bridge(offered: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One bridge for the file: its model is loaded once."""
    folder = tmp_path_factory.mktemp("data")
    config = Config(start=Start("random"))
    store = Store(folder)
    labels = Labels([], offered.saes, LabelStore(folder), fires_on=store.fires_on)
    worker = Worker(store, Annotator(labels, Analysers(offered.analysers.values())), EventLog(), config)
    bridge = Bridge(worker, store, offered, config, Remembered(folder / "remembered.json"))
    yield bridge
    bridge.close()


def ask(bridge: Bridge, method: str, **params: Any) -> Any:
    answer = json.loads(bridge.call(method, json.dumps(params)))
    assert answer["ok"], answer["error"]
    return answer["value"]


def refused(bridge: Bridge, method: str, **params: Any) -> dict[str, str]:
    answer = json.loads(bridge.call(method, json.dumps(params)))
    assert not answer["ok"], answer["value"]
    assert answer["error"].keys() == {"kind", "message", "hint"}
    assert answer["error"]["message"] and answer["error"]["hint"]
    return answer["error"]


def events_until(bridge: Bridge, after: int, done: Callable[[dict], bool], seconds: float = 60) -> list[dict]:
    seen: list[dict] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        pulled = ask(bridge, "next_events", after=after, max=16, wait=1)
        assert not pulled["missed"]
        seen += pulled["events"]
        after = pulled["last"]
        if any(done(event) for event in pulled["events"]):
            return seen
    raise AssertionError(f"not seen within {seconds} s; last: {seen[-1:]}")


def unnamed(answer: Any) -> Any:
    """An answer without what features are called: names come when there is time, and change what is asked again."""
    if isinstance(answer, dict):
        return {name: unnamed(value) for name, value in answer.items() if not name.startswith("label")}
    return [unnamed(one) for one in answer] if isinstance(answer, list) else answer


def run(bridge: Bridge, **changes: Any) -> dict[str, Any]:
    params = {"prompt": "the cat sat", "model": "random", "saes": [SAE], "settings": {"max_tokens": 5, "seed": 1}}
    return params | changes


def finished(event: dict) -> bool:
    return event["kind"] == "sessions_changed"


def test_a_run_arrives_as_events_and_stays_as_messages(bridge: Bridge):
    hello = ask(bridge, "hello")
    assert hello["selected"] == {"model": "random", "saes": [SAE]}
    assert [model["installed"] for model in hello["models"]] == [True, True, False, False]
    assert set(hello["ranges"]) == set(hello["settings"])

    uid = ask(bridge, "run", **run(bridge))["session"]
    events = events_until(bridge, hello["last_event"], finished)
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert [e["state"] for e in events if e["kind"] == "engine"][-2:] == ["running", "ready"]
    streamed = [e for e in events if e["kind"] in ("start", "step", "end")]
    assert all(event["session"] == uid for event in streamed)
    assert streamed[-1]["new_tokens"] == 5

    pages, after = [], -1
    while True:
        page = ask(bridge, "messages", session=uid, after=after, max=3)
        pages += page["messages"]
        after += len(page["messages"])
        if not page["more"]:
            break
    strip = {"seq", "session"}
    assert unnamed([{k: v for k, v in m.items() if k not in strip} for m in pages]) == unnamed(
        [{k: v for k, v in e.items() if k not in strip} for e in streamed]
    )
    bridge.store.flush()
    newest = ask(bridge, "sessions", limit=1)["sessions"][0]
    assert (newest["uid"], newest["prompt"], newest["status"]) == (uid, "the cat sat", "finished")
    assert ask(bridge, "hello")["live"] is None


def test_an_analyser_that_fails_is_told_once_and_the_others_go_on(offered: Catalogue, home: Path):
    store = Store(home)
    worker = Worker(
        store, Annotator(Labels([], offered.saes), Analysers(offered.analysers.values())), EventLog(), Config()
    )
    bridge = Bridge(worker, store, offered, Config(start=Start("random")), Remembered(home / "remembered.json"))
    try:
        assert ask(bridge, "hello")["analysers"]["entropy"] == {"about": "as it is", "high": 5, "unit": ""}
        events, last = [], 0
        for _ in range(2):
            ask(bridge, "run", **run(bridge))
            events += events_until(bridge, last, finished)
            last = events[-1]["seq"]
        (problem,) = [event for event in events if event["kind"] == "problem"]
        assert problem["name"] == "analyser broken" and "KeyError: 'nothing'" in problem["message"] and problem["hint"]
        assert [p["name"] for p in ask(bridge, "hello")["problems"]] == ["analyser broken"]
        steps = [event for event in events if event["kind"] == "step" and not event.get("is_bos")]
        assert steps and all(step["analyses"] == {"entropy": step["entropy"]} for step in steps)
    finally:
        bridge.close()


# -- what stays ---------------------------------------------------------------


def test_what_is_chosen_is_kept_for_the_next_start(bridge: Bridge, home: Path):
    path = home / "config.toml"
    path.write_text("# mine\n[settings]\ntemperature = 1.5  # warm\n")
    before, bridge.config = bridge.config, load_config()
    try:
        ask(bridge, "keep", model="second", saes=["second/other"], settings={"seed": 5})
        text = path.read_text()
        assert "# mine" in text and "temperature = 1.5  # warm" in text
        config = load_config()
        assert config.start == Start("second", ("second/other",))
        assert config.settings == Settings(temperature=1.5, seed=5)
        hello = ask(bridge, "hello")
        assert hello["selected"] == {"model": "second", "saes": ["second/other"]}
        assert (hello["settings"]["seed"], hello["defaults"]["seed"]) == (5, 0)

        # The model's own first SAE need not be written: it may change with the plugin.
        ask(bridge, "keep", model="second", saes=["second/first"])
        assert load_config().start == Start("second")
    finally:
        bridge.config = before


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"settings": {"temperature": 99}}, "invalid_setting"),
        ({"settings": {"warmth": 1}}, "invalid_setting"),
        ({"model": "nobody", "saes": []}, "not_found"),
        ({"model": "second", "saes": [SAE]}, "not_found"),
    ],
)
def test_nonsense_is_not_kept(bridge: Bridge, home: Path, params: dict, kind: str):
    assert refused(bridge, "keep", **params)["kind"] == kind
    assert not (home / "config.toml").exists()


def test_a_file_that_cannot_be_mended_is_left_as_it_is(bridge: Bridge, home: Path):
    path = home / "config.toml"
    path.write_text("[settings\nseed = 1")
    assert refused(bridge, "keep", settings={"seed": 2})["kind"] == "config"
    assert path.read_text() == "[settings\nseed = 1"


def test_choices_of_the_view_are_remembered(bridge: Bridge):
    ask(bridge, "remember", name="theme", value="light")
    ask(bridge, "remember", name="panels", value={"left": 240})
    ask(bridge, "remember", name="huge", value="x" * 10_000)  # not worth a complaint
    assert ask(bridge, "hello")["remembered"] == {"theme": "light", "panels": {"left": 240}}
    assert Remembered(bridge.remembered.path).values == {"theme": "light", "panels": {"left": 240}}


# -- what is drawn ------------------------------------------------------------


def test_the_graph_up_to_a_position_is_that_of_the_steps(bridge: Bridge):
    uid = ask(bridge, "run", **run(bridge, settings={"max_tokens": 12, "seed": 2, "top_features": 8}))["session"]
    events = events_until(bridge, 0, lambda e: e["kind"] == "end" and e["session"] == uid)
    steps = [e for e in events if e["kind"] == "step" and e["session"] == uid and not e.get("is_bos")]
    for position in (1, 6, steps[-1]["position"]):
        drawn = ask(bridge, "graph", session=uid, sae=SAE, by="co-activation", position=position, always=True)
        fired: dict[int, list[int]] = {}
        for step in steps[:position]:
            for active in step["saes"][SAE]["features"]:
                fired.setdefault(active["feature"], []).append(step["position"])
        assert {n["feature"]: (n["first"], n["last"], n["count"]) for n in drawn["nodes"]} == {
            feature: (where[0], where[-1], len(where)) for feature, where in fired.items()
        }
        for edge in drawn["edges"]:
            assert edge["count"] == len(set(fired[edge["a"]]) & set(fired[edge["b"]])) >= 1
        assert drawn["nodes_total"] == len(fired)
    assert refused(bridge, "graph", session=uid, sae=SAE, by="magic", position=1)["kind"] == "refused"
    assert ask(bridge, "graph", session=uid, sae="other/sae", by="association", position=5)["nodes"] == []


def test_every_kind_of_edge_is_drawn_while_a_session_grows_and_after(bridge: Bridge):
    uid = ask(bridge, "run", **run(bridge, settings={"max_tokens": 30, "seed": 2, "top_features": 8}))["session"]
    question = {"session": uid, "sae": SAE}
    events_until(bridge, 0, lambda e: e["kind"] == "step" and e["session"] == uid)
    seen = 0
    for position in range(1, 30):  # asked while it is being generated, at a cursor that follows
        seen = max(seen, ask(bridge, "graph", **question, by="co-activation", position=position)["positions"])
    events_until(bridge, 0, lambda e: e["kind"] == "end" and e["session"] == uid)
    last = {by: ask(bridge, "graph", **question, by=by, position=99, always=True) for by in KINDS}
    assert seen <= last["association"]["positions"] == max(node["last"] for node in last["association"]["nodes"])
    for by, drawn in last.items():
        assert (drawn["by"], drawn["meaning"]) == (by, KINDS[by])
        assert unnamed(drawn) == unnamed(ask(bridge, "graph", **question, by=by, position=99, always=True))
    assert {"a", "b", "strength", "cosine"} == last["similarity"]["edges"][0].keys()  # the SAE is loaded
    assert all(token["key"] < 0 and token["text"] for token in last["attribution"]["tokens"])
    assert {edge["b"] for edge in last["attribution"]["edges"]} == {t["key"] for t in last["attribution"]["tokens"]}
    chance = ask(bridge, "graph", **question, by="co-activation", position=99, always=True, chance=True)
    assert chance["chance"] and chance["edges"] != last["co-activation"]["edges"]
    assert chance["expected"] == last["co-activation"]["expected"] > 0
    question |= {"by": "co-activation", "position": 99, "always": True, "chance": True}
    assert unnamed(chance) == unnamed(ask(bridge, "graph", **question, seed=0))
    assert chance["edges"] != ask(bridge, "graph", **question, seed=1)["edges"]


def test_one_session_at_a_time(bridge: Bridge):
    before = ask(bridge, "hello")["last_event"]
    uid = ask(bridge, "run", **run(bridge, settings={"max_tokens": 1000, "temperature": 1.5}))["session"]
    assert refused(bridge, "run", **run(bridge))["kind"] == "busy"
    assert ask(bridge, "hello")["live"] == uid
    assert ask(bridge, "stop") == {"stopping": True}
    events = events_until(bridge, before, finished)
    end = next(event for event in events if event["kind"] == "end")
    assert end["reason"] in ("stopped", "context_full", "end_of_text")
    assert ask(bridge, "stop") == {"stopping": False}
    uid = ask(bridge, "run", **run(bridge))["session"]  # the stop was for the session before
    events = events_until(bridge, events[-1]["seq"], finished)
    assert next(e for e in events if e["kind"] == "end")["reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"prompt": "  "}, "prompt", "empty"),
        ({"prompt": 3}, "refused", "prompt = '3'"),
        ({"saes": SAE}, "refused", "saes"),
        ({"settings": []}, "refused", "settings"),
        ({"model": "randon"}, "not_found", "randon"),
        ({"saes": ["random/none"]}, "not_found", "random/none"),
        ({"saes": ["second/first"]}, "not_found", "reads second"),
        ({"settings": {"temperature": -1}}, "invalid_setting", "temperature is -1"),
        ({"settings": {"temperature": None}}, "invalid_setting", "temperature is None"),
        ({"settings": {"max_tokens": "9"}}, "invalid_setting", "whole number"),
        ({"settings": {"warmth": 1}}, "invalid_setting", "warmth"),
    ],
)
def test_a_run_that_cannot_be_is_refused_at_once(bridge: Bridge, changes: dict, kind: str, says: str):
    error = refused(bridge, "run", **run(bridge, **changes))
    assert error["kind"] == kind and says in error["message"]
    assert ask(bridge, "hello")["live"] is None


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"prompt": "cat " * 500}, "prompt", f"at most {CONTEXT}"),
        ({"model": "gone", "saes": []}, "weights", "missing"),
        ({"saes": ["random/gone"]}, "weights", "missing"),
    ],
)
def test_what_is_found_out_later_comes_as_an_event(bridge: Bridge, changes: dict, kind: str, says: str):
    before = ask(bridge, "hello")["last_event"]
    uid = ask(bridge, "run", **run(bridge, **changes))["session"]
    events = events_until(bridge, before, finished)
    refusal = next(event for event in events if event["kind"] == "refused")
    assert refusal["session"] == uid
    assert refusal["error"]["kind"] == kind and says in refusal["error"]["message"] and refusal["error"]["hint"]
    assert refused(bridge, "messages", session=uid)["kind"] == "not_found"
    hello = ask(bridge, "hello")
    assert hello["live"] is None
    assert hello["engine"]["state"] == ("ready" if kind == "prompt" else "failed")


def test_another_model_takes_the_place_of_the_first(bridge: Bridge):
    before = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="second", saes=["second/first"])
    events = events_until(bridge, before, lambda e: e["kind"] == "engine" and e["state"] == "ready")
    assert events[-1]["model"] == "second" and events[-1]["saes"] == ["second/first"]
    assert bridge.worker.model.spec.id == "second" and list(bridge.worker.saes) == ["second/first"]
    assert "Loading Second" in [event.get("stage") for event in events]


def test_what_is_known_about_a_feature(bridge: Bridge):
    known = ask(bridge, "feature", sae=SAE, feature=3)
    assert (known["label_state"], known["neuronpedia_url"]) == ("absent", None)
    assert {label["origin"] for label in known["labels"]} <= {"automatic"}
    assert (known["model"], known["hook"], known["width"]) == ("random", "blocks.1.hook_resid_pre", 256)
    assert refused(bridge, "feature", sae=SAE, feature=256)["kind"] == "not_found"
    # Of an entry of config.toml the width may not be known before it is loaded.
    bridge.catalogue.saes["random/unread"] = replace(bridge.catalogue.saes[SAE], id="random/unread", width=0)
    assert ask(bridge, "feature", sae="random/unread", feature=300)["width"] == 0
    del bridge.catalogue.saes["random/unread"]
    # A session of an SAE that is no longer installed still shows its features.
    assert ask(bridge, "feature", sae="lost/sae", feature=3)["width"] is None


# -- past sessions --------------------------------------------------------------


def run_to_end(bridge: Bridge, **changes: Any) -> str:
    """A session that has ended and is on disk."""
    last = ask(bridge, "hello")["last_event"]
    uid = ask(bridge, "run", **run(bridge, **changes))["session"]
    events_until(bridge, last, finished)
    bridge.store.flush()
    return uid


def test_sessions_are_found_changed_deleted_and_brought_back(bridge: Bridge):
    uid = run_to_end(bridge, prompt="a very rare word")
    found = ask(bridge, "sessions", text="rare wor", model="random", sae=SAE)
    assert [row["uid"] for row in found["sessions"]] == [uid] and found["bytes"] > 1000
    last = ask(bridge, "hello")["last_event"]
    row = ask(bridge, "edit_session", session=uid, title="Seldom", note="noted", pinned=True)
    assert (row["title"], row["note"], row["pinned"]) == ("Seldom", "noted", True)
    assert uid in [row["uid"] for row in ask(bridge, "sessions", pinned=True)["sessions"]]
    assert ask(bridge, "delete_sessions", sessions=[uid]) == {"deleted": [uid]}
    assert refused(bridge, "messages", session=uid)["kind"] == "not_found"
    assert [row["uid"] for row in ask(bridge, "sessions", deleted=True)["sessions"]] == [uid]
    assert ask(bridge, "restore_sessions", sessions=[uid]) == {"restored": [uid]}
    assert ask(bridge, "messages", session=uid)["messages"][0]["prompt"] == "a very rare word"
    told = ask(bridge, "next_events", after=last)["events"]
    assert [event["kind"] for event in told].count("sessions_changed") == 3
    assert refused(bridge, "edit_session", session="0", title="x")["kind"] == "not_found"
    for nonsense in ({"session": uid, "title": 5}, {"session": uid, "pinned": "yes"}, {"sessions": uid}):
        method = "delete_sessions" if "sessions" in nonsense else "edit_session"
        assert refused(bridge, method, **nonsense)["kind"] == "refused"


def test_a_past_session_is_steered_from_a_position_on(bridge: Bridge):
    """The same prompt, seed and settings: until the edit begins the same tokens, and both side by side."""
    hot = {"max_tokens": 8, "seed": 1, "temperature": 1.5}
    plain = run_to_end(bridge, settings=hot)
    steps = [m for m in bridge.store.messages(plain) if m["kind"] == "step"]
    start = next(step["position"] for step in steps if not step["is_prompt"]) + 2
    edits = [{"sae": SAE, "feature": 3, "kind": "add", "value": 60, "start": start}]
    again = run_to_end(bridge, settings=hot, edits=edits, parent=plain, position=start)
    message = bridge.store.messages(again)[0]
    assert message["edits"] == edits and message["parent"] == {"session": plain, "position": start}
    found = ask(bridge, "compare", a=plain, b=again)
    assert found["edits_b"] == edits and found["edits_a"] == []
    assert [one["position"] for one in found["predictions"]][: start + 1] == list(range(1, start + 1))
    assert all(one["moved"] < 1e-4 for one in found["predictions"] if one["position"] < start)
    assert next(one for one in found["predictions"] if one["position"] == start)["moved"] > 1e-3


def answered(event: dict) -> bool:
    return event["kind"] == "why" and event["state"] != "running"


def test_a_token_is_explained_with_progress(bridge: Bridge):
    uid = run_to_end(bridge)
    steps = [m for m in bridge.store.messages(uid) if m["kind"] == "step"]
    last = ask(bridge, "hello")["last_event"]
    request = ask(bridge, "why", session=uid, position=3, top=20)["request"]
    events = [e for e in events_until(bridge, last, answered) if e["kind"] == "why"]
    assert {event["request"] for event in events} == {request}
    assert [event["done"] for event in events[:-1]] == sorted(event["done"] for event in events[:-1])
    assert len(events) >= 3 and events[-2]["done"] == events[-2]["total"] == 23
    answer = events[-1]["answer"]
    assert answer["token"] == steps[3]["next"] and answer["notes"] == []
    effects = {one["feature"]: one["effect"] for one in steps[3]["saes"][SAE]["features"]}
    direct = {one["feature"]: one["direct"] for one in answer["saes"][SAE]["features"]}
    assert effects and all(direct[n] == pytest.approx(effect, abs=1e-3, rel=1e-3) for n, effect in effects.items())

    other = steps[3]["alternatives"][4]["token_id"]
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "why", session=uid, position=3, token_id=other, top=0)
    assert events_until(bridge, last, answered)[-1]["answer"]["token"]["token_id"] == other

    for params, kind in (
        ({"position": 0}, "invalid_setting"),
        ({"position": 99}, "not_found"),
        ({"position": 3, "saes": ["random/none"]}, "not_found"),
        ({"position": 3, "top": -1}, "invalid_setting"),
        ({"session": "nothing", "position": 3}, "not_found"),
    ):
        error = json.loads(bridge.call("why", json.dumps({"session": uid} | params)))["error"]
        assert error["kind"] == kind and error["hint"]
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "why", session=uid, position=3, token="no such token at all")
    assert events_until(bridge, last, answered)[-1]["error"]["kind"] == "invalid_setting"


def test_a_question_is_withdrawn_and_waits_for_no_session(bridge: Bridge):
    uid = run_to_end(bridge)
    blocked, go = threading.Event(), threading.Event()
    bridge.worker.jobs.put(lambda: (blocked.set(), go.wait(10)))
    assert blocked.wait(10)
    last = ask(bridge, "hello")["last_event"]
    for _ in range(2):  # the second takes the place of the first
        request = ask(bridge, "why", session=uid, position=3)["request"]
    ask(bridge, "cancel_why")
    run_uid = ask(bridge, "run", **run(bridge))["session"]
    busy = json.loads(bridge.call("why", json.dumps({"session": uid, "position": 3})))["error"]
    assert busy["kind"] == "busy" and busy["hint"]
    go.set()
    events = events_until(bridge, last, finished)
    ends = [event for event in events if answered(event)]
    assert [event["error"]["kind"] for event in ends] == ["cancelled", "cancelled"] and ends[1]["request"] == request
    assert any(event["kind"] == "end" and event["session"] == run_uid for event in events)


def test_edits_that_cannot_be_are_refused_at_once(bridge: Bridge):
    good = {"sae": SAE, "feature": 3, "kind": "add", "value": 1.0, "start": 0}
    for change, kind in (
        ({"sae": "second/first"}, "not_found"),
        ({"feature": 10**6}, "not_found"),
        ({"feature": 1.5}, "invalid_setting"),
        ({"kind": "explode"}, "invalid_setting"),
        ({"value": None}, "invalid_setting"),
        ({"surprise": 2}, "invalid_setting"),
    ):
        params = run(bridge, edits=[good | change])
        error = json.loads(bridge.call("run", json.dumps(params)))["error"]
        assert error["kind"] == kind and error["hint"], change
    assert ask(bridge, "hello")["live"] is None


def test_a_session_goes_on_from_another_and_both_are_compared(bridge: Bridge):
    first = run_to_end(bridge)
    steps = [m for m in ask(bridge, "messages", session=first)["messages"] if m["kind"] == "step"]
    before = "".join(step["text"] for step in steps[:3] if not step.get("is_bos"))
    child = run_to_end(bridge, prompt=before + " dog", parent=first, position=steps[2]["position"])
    start = ask(bridge, "messages", session=child)["messages"][0]
    assert start["parent"] == {"session": first, "position": steps[2]["position"]}
    assert ask(bridge, "sessions", limit=1)["sessions"][0]["parent"] == first
    assert start["provenance"]["saes"][SAE]["sha256"] and start["provenance"]["torch"]
    found = ask(bridge, "compare", a=first, b=child)
    assert found["sae_a"] == SAE and found["aligned"] >= 2 and found["features_total"] == len(found["features"])
    assert {"label", "label_state", "where", "mean_a"} <= found["features"][0].keys()
    feature = found["features"][0]["feature"]
    fired = ask(bridge, "firings", sae=SAE, feature=feature)["firings"]
    assert {first, child} & {one["session"] for one in fired}
    assert refused(bridge, "run", **run(bridge, parent="0", position=1))["kind"] == "not_found"


def test_sessions_are_written_to_the_folder_of_downloads_and_taken_in(bridge: Bridge, home: Path):
    uid = run_to_end(bridge, prompt="To be kept / or not")
    said = ask(bridge, "export_session", session=uid, form="axon")
    path = Path(said["file"])
    assert path.parent == home / "exports" and path.name == f"to-be-kept-or-not-{uid[-6:]}.axon"
    assert said["bytes"] == path.stat().st_size
    assert ask(bridge, "export_session", session=uid, form="axon")["file"].endswith(" (2).axon")
    assert refused(bridge, "export_session", session=uid, form="../x")["kind"] == "not_found"
    assert "axon" in [one["name"] for one in ask(bridge, "hello")["formats"]]
    content = base64.b64encode(path.read_bytes()).decode()
    assert not ask(bridge, "import_session", content=content)["added"]
    bridge.store.purge(bridge.store.delete([uid]))
    assert ask(bridge, "import_session", content=content) | {"labels": 0} == {
        "session": uid, "title": "To be kept / or not", "added": True, "labels": 0,
    }  # fmt: skip
    for rubbish in ("####", base64.b64encode(b"rubbish").decode()):
        assert refused(bridge, "import_session", content=rubbish)["kind"] in ("refused", "session_file")
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
    assert ask(bridge, "save_picture", session=uid, png=png)["file"].endswith(".png")
    assert refused(bridge, "save_picture", session=uid, png=content)["kind"] == "refused"
    (home / "exports").rename(home / "away")
    (home / "exports").write_text("a file is in the way")
    assert refused(bridge, "export_session", session=uid, form="axon")["kind"] == "export"


def test_the_oldest_sessions_go_where_only_so_many_are_kept(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    few = replace(bridge.worker.config, sessions=SessionSettings(most=2))
    monkeypatch.setattr(bridge.worker, "config", few)
    uid = run_to_end(bridge, prompt="the last one")
    began = time.monotonic()
    while len(rows := ask(bridge, "sessions")["sessions"]) > 3 and time.monotonic() < began + 10:
        time.sleep(0.05)
    assert rows[0]["uid"] == uid and len([row for row in rows if not row["pinned"]]) <= 2


def test_links_lead_only_to_known_sites(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr(bridge_module.program.webbrowser, "open", opened.append)
    ask(bridge, "open_url", url="https://www.neuronpedia.org/gpt2-small/8-res-jb/1")
    for url in (
        "https://evil.example/",
        "https://github.com.evil.example/",
        "file:///etc/passwd",
        "javascript:1",
        "https://github.com@evil.example/",
        "http://github.com/",
        "https://www.neuronpedia.org:8/@x",
        3,
    ):
        assert refused(bridge, "open_url", url=url)["kind"] == "refused"
    assert opened == ["https://www.neuronpedia.org/gpt2-small/8-res-jb/1"]


def test_unknown_calls_are_refused(bridge: Bridge):
    for method in ("close", "__init__", "dispatch", "worker", "", "call"):
        assert refused(bridge, method)["kind"] == "refused"
    assert refused(bridge, "stop", please=True)["kind"] == "refused"
    assert refused(bridge, "messages")["kind"] == "refused"
    assert refused(bridge, "messages", session="0" * 36)["kind"] == "not_found"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HARMLESS = ["hello", "keep", "read", "remember", "sessions", "messages", "graph", "feature", "stop", "load", "nonsense"]
names = st.sampled_from(
    ["prompt", "session", "sae", "feature", "by", "position", "after", "max", "limit", "before", "model", "saes"]
)


@given(st.sampled_from(HARMLESS), st.dictionaries(names, json_values, max_size=6) | json_values)
@hypothesis_settings(max_examples=150, deadline=None)
def test_nonsense_is_answered_and_never_raises(bridge: Bridge, method: str, params: Any):
    answer = json.loads(bridge.call(method, json.dumps(params)))
    assert answer["ok"] or answer["error"]["message"]
    assert answer["ok"] or answer["error"]["kind"] != "fault", (method, params, answer)


@pytest.mark.parametrize("text", ["not json", "", "[", "[]", "3", "null", '{"max": NaN}'])
def test_what_is_no_json_object_is_refused(bridge: Bridge, text: str):
    answer = json.loads(bridge.call("next_events", text))
    assert not answer["ok"] and answer["error"]["kind"] == "refused"


# -- loading ------------------------------------------------------------------


def engine_states(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["state"], event["stage"]) for event in events if event["kind"] == "engine"]


def settled(event: dict) -> bool:
    return event["kind"] == "engine" and event["state"] in ("ready", "failed", "empty")


def have_loaded(bridge: Bridge, model: str, sae: str) -> None:
    """Load and wait until it is there: nothing is told where it is there already."""
    ask(bridge, "load", model=model, saes=[sae])
    began = time.monotonic()
    worker = bridge.worker
    while (
        not (worker.model and worker.model.spec.id == model and sae in worker.saes) or worker.engine.state == "loading"
    ):
        assert time.monotonic() - began < 60
        time.sleep(0.02)


def test_a_switch_of_model_frees_the_old_one(bridge: Bridge):
    have_loaded(bridge, "random", SAE)
    worker = bridge.worker
    network, sae = weakref.ref(worker.model.network), weakref.ref(worker.saes[SAE].sae)
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="second", saes=["second/first"])
    events_until(bridge, last, settled)
    assert worker.model.spec.id == "second"
    assert network() is None and sae() is None
    kept, first = weakref.ref(worker.model.network), weakref.ref(worker.saes["second/first"].sae)
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="second", saes=["second/other"])
    events_until(bridge, last, settled)
    assert kept() is not None and first() is None  # the model stays, its SAE goes


def test_a_newer_wish_replaces_what_is_being_loaded(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    from axon_shell.engine import model as engine_model

    loading, go = threading.Event(), threading.Event()
    original = engine_model.load_model

    def slow(spec, device, report, dtype):
        report(f"Loading {spec.name}")
        loading.set()
        assert go.wait(20)
        report("nearly there")
        return original(spec, device, report, dtype)

    have_loaded(bridge, "second", "second/other")
    monkeypatch.setattr(engine_model, "load_model", slow)
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="random", saes=[SAE])
    assert loading.wait(20)
    monkeypatch.undo()
    ask(bridge, "load", model="second", saes=["second/first"])
    go.set()
    states = engine_states(events_until(bridge, last, lambda event: event.get("state") == "ready"))
    assert ("loading", "Loading Random") in states and ("loading", "nearly there") not in states
    assert bridge.worker.model.spec.id == "second"


def test_loading_can_be_cancelled(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    from axon_shell.engine import model as engine_model

    loading, go = threading.Event(), threading.Event()

    def slow(spec, device, report, dtype):
        loading.set()
        assert go.wait(20)
        report("never shown")

    monkeypatch.setattr(engine_model, "load_model", slow)
    other = "second" if bridge.worker.model and bridge.worker.model.spec.id == "random" else "random"
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model=other, saes=[f"{other}/first"])
    assert loading.wait(20)
    ask(bridge, "cancel")
    go.set()
    events = events_until(bridge, last, settled)
    assert events[-1]["state"] == "empty" and events[-1]["error"] is None
    monkeypatch.undo()
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model=other, saes=[f"{other}/first"])
    assert events_until(bridge, last, settled)[-1]["state"] == "ready"


def test_what_must_be_downloaded_is_not_fetched_unasked(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr("axon_shell.hub.fetch", lambda *args: asked.append(args))
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="away", saes=[])
    failed = events_until(bridge, last, settled)[-1]
    assert failed["state"] == "failed" and failed["error"]["kind"] == "not_installed"
    assert "away must be downloaded first (1.2 GB)" in failed["error"]["message"]
    assert "axon-shell download away" in failed["error"]["hint"]
    assert asked == []


def test_going_back_to_what_is_loaded_still_is_told(bridge: Bridge):
    have_loaded(bridge, "random", SAE)
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "load", model="away", saes=[])
    failed = events_until(bridge, last, lambda event: settled(event) and event["model"] == "away")[-1]
    assert failed["state"] == "failed"
    ask(bridge, "load", model="random", saes=[SAE])
    ready = events_until(bridge, failed["seq"], settled)[-1]
    assert (ready["state"], ready["model"], ready["saes"], ready["error"]) == ("ready", "random", [SAE], None)


def test_saes_are_listed_and_searched(bridge: Bridge):
    assert ask(bridge, "saes", model="random")["total"] == 2
    found = ask(bridge, "saes", model="random", search="GONE hook_resid")
    assert [sae["id"] for sae in found["saes"]] == ["random/gone"] and not found["saes"][0]["installed"]
    assert ask(bridge, "saes", model="random", limit=1)["total"] == 2
    assert refused(bridge, "saes", model="rndom")["kind"] == "not_found"


# -- reading while a prompt is typed -------------------------------------------


def read(bridge: Bridge, prompt: str = "the cat sat", model: str = "random", saes: tuple[str, ...] = (SAE,)) -> list:
    return ask(bridge, "read", prompt=prompt, model=model, saes=list(saes))["messages"]


def told(bridge: Bridge, after: int) -> set[str]:
    """What kinds of events there were after one."""
    return {event["kind"] for event in ask(bridge, "next_events", after=after, wait=0)["events"]}


def test_a_prompt_that_is_typed_is_read_like_a_run_and_not_stored(bridge: Bridge):
    have_loaded(bridge, "random", SAE)
    uid = run_to_end(bridge, settings={"max_tokens": 4, "seed": 1})

    def stored_now() -> list:
        return [ask(bridge, "sessions"), ask(bridge, "firings", sae=SAE, feature=3), ask(bridge, "hello")["engine"]]

    before, last = stored_now(), ask(bridge, "hello")["last_event"]
    start, *steps, end = read(bridge)
    assert start["transient"] is True and (end["reason"], end["new_tokens"]) == ("max_tokens", 0)
    assert stored_now() == before
    assert told(bridge, last) <= {"labels"}  # of features that nobody has named yet

    stored = [m for m in ask(bridge, "messages", session=uid)["messages"] if m["kind"] == "step" and m["is_prompt"]]
    assert len(stored) == len(steps)
    *same, last = [step | {"ms": 0} for step in stored]
    *seen, newest = [step | {"ms": 0} for step in steps]
    assert seen == same
    # Of the last token nothing follows yet, and so there is no effect on it.
    assert newest["next"] is None and last["next"]
    strengths = [[(f["feature"], f["activation"]) for f in step["saes"][SAE]["features"]] for step in (newest, last)]
    assert strengths[0] == strengths[1] and newest["alternatives"] == last["alternatives"]

    asked = {"sae": SAE, "by": "co-activation", "position": last["position"]}
    drawn = ask(bridge, "graph", session=start["session"], **asked)
    assert drawn["nodes"] and drawn == ask(bridge, "graph", session=uid, **asked)
    assert ask(bridge, "messages", session=start["session"])["messages"] == [start, *steps, end]
    later = read(bridge, "the cat sat on")[0]["session"]
    assert refused(bridge, "messages", session=start["session"])["kind"] == "not_found"
    for call in ({"method": "export_session", "form": "axon"}, {"method": "edit_session", "note": "x"}):
        assert refused(bridge, session=later, **call)["kind"] == "not_found"


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"prompt": "  \n "}, "prompt", "empty"),
        ({"prompt": "cat " * 5_000}, "prompt", f"at most {CONTEXT}"),
        ({"model": "second", "saes": ["second/first"]}, "refused", "Second is not loaded"),
        ({"saes": ["random/gone"]}, "refused", "not loaded"),
        ({"model": "away", "saes": []}, "refused", "Away is not loaded"),
        ({"saes": "x"}, "refused", "saes"),
        ({"model": "nobody"}, "not_found", "nobody"),
    ],
)
def test_reading_what_is_typed_is_refused_and_loads_nothing(bridge: Bridge, changes: dict, kind: str, says: str):
    have_loaded(bridge, "random", SAE)
    last = ask(bridge, "hello")["last_event"]
    error = refused(bridge, "read", **({"prompt": "the cat", "model": "random", "saes": [SAE]} | changes))
    assert error["kind"] == kind and says in error["message"]
    assert told(bridge, last) <= {"labels"} and bridge.worker.engine.state == "ready"


@pytest.mark.parametrize("prompt", ["🦊🐈 naïve ﷽", "\x00\u202e<img>", "a\n\n\tb", "x"])
def test_odd_text_is_read_while_it_is_typed(bridge: Bridge, prompt: str):
    have_loaded(bridge, "random", SAE)
    start, *steps, _ = read(bridge, prompt)
    assert start["prompt"] == prompt and any(step["saes"][SAE]["features"] for step in steps)


class Held:
    """Keeps the engine's thread from its next job until it is let go."""

    def __init__(self, bridge: Bridge) -> None:
        self.go, began = threading.Event(), threading.Event()
        bridge.worker.jobs.put(lambda: (began.set(), self.go.wait(20)))
        assert began.wait(20)


def in_thread(bridge: Bridge, prompt: str) -> tuple[threading.Thread, list]:
    """A reading that was asked for in a thread of its own; the list takes its answer."""
    answers: list = []
    before = bridge.worker.reading
    asked = {"prompt": prompt, "model": "random", "saes": [SAE]}
    thread = threading.Thread(target=lambda: answers.append(json.loads(bridge.call("read", json.dumps(asked)))))
    thread.start()
    began = time.monotonic()
    while bridge.worker.reading is before:
        assert time.monotonic() - began < 20
        time.sleep(0.005)
    return thread, answers


def test_of_what_is_typed_the_last_is_read(bridge: Bridge):
    have_loaded(bridge, "random", SAE)
    held = Held(bridge)
    asked = [in_thread(bridge, prompt) for prompt in ("the", "the cat", "the cat sat")]
    for thread, answers in asked[:2]:
        thread.join(20)  # at once, though nothing has been read yet
        assert answers[0]["error"]["kind"] == "busy"
    held.go.set()
    thread, answers = asked[2]
    thread.join(20)
    assert answers[0]["value"]["messages"][0]["prompt"] == "the cat sat"


def test_a_run_and_loading_come_before_what_is_typed(bridge: Bridge):
    have_loaded(bridge, "random", SAE)
    held = Held(bridge)
    thread, answers = in_thread(bridge, "the cat")
    last = ask(bridge, "hello")["last_event"]
    uid = ask(bridge, "run", **run(bridge))["session"]
    thread.join(20)
    assert answers[0]["error"]["kind"] == "busy"
    assert refused(bridge, "read", prompt="the cat", model="random", saes=[SAE])["kind"] == "busy"
    held.go.set()
    events = events_until(bridge, last, finished)
    assert next(e for e in events if e["kind"] == "end")["session"] == uid
    assert read(bridge)[0]["transient"]

    held = Held(bridge)
    ask(bridge, "load", model="second", saes=["second/first"])
    thread, answers = in_thread(bridge, "the cat")
    held.go.set()
    thread.join(20)  # when loading begins: it does not wait for it
    assert answers[0]["error"]["kind"] in ("busy", "refused")
    have_loaded(bridge, "second", "second/first")


def test_a_run_ends_a_reading_that_is_under_way(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    have_loaded(bridge, "random", SAE)
    reading, go = threading.Event(), threading.Event()
    original = Annotator.__call__

    def slow(annotate: Annotator, message: dict) -> dict:
        if message["position"] == 1 and not go.is_set():
            reading.set()
            assert go.wait(20)
        return original(annotate, message)

    monkeypatch.setattr(Annotator, "__call__", slow)
    before = len(ask(bridge, "sessions", limit=200)["sessions"])
    thread, answers = in_thread(bridge, "the cat sat on the mat")
    assert reading.wait(20)
    last = ask(bridge, "hello")["last_event"]
    ask(bridge, "run", **run(bridge))
    go.set()
    thread.join(20)
    assert answers[0]["error"]["kind"] == "busy"
    assert next(e for e in events_until(bridge, last, finished) if e["kind"] == "end")["reason"] == "max_tokens"
    bridge.store.flush()
    assert len(ask(bridge, "sessions", limit=200)["sessions"]) <= before + 1
