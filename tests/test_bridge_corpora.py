"""Calibrating as the page asks for it: beside sessions, cancelled, gone on with, on no file that the page names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_model import two_models
from test_bridge import ask, events_until, refused
from test_calibrate import texts

from axon_shell import calibrating
from axon_shell.analysers import Analysers
from axon_shell.bridge import Bridge
from axon_shell.config import Config, Start
from axon_shell.events import EventLog
from axon_shell.labels import Labels, LabelStore
from axon_shell.remembered import Remembered
from axon_shell.session import Annotator
from axon_shell.store import Store
from axon_shell.worker import Worker

SAE, OTHER = "random/first", "second/first"
pytestmark = pytest.mark.timeout(600)  # a calibration takes a while on a busy machine


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("weights")
    found = two_models(folder)
    store = Store(folder / "data")
    labels = Labels([], found.saes, LabelStore(folder / "data"), fires_on=store.fires_on)
    config = Config(start=Start("random"))
    worker = Worker(store, Annotator(labels, Analysers([])), EventLog(), config)
    bridge = Bridge(worker, store, found, config, Remembered(folder / "data" / "remembered.json"))
    yield bridge
    bridge.close()


def ended(event: dict[str, Any]) -> bool:
    return event["kind"] == "calibration" and event["state"] not in ("loading", "reading", "looking")


def last(bridge: Bridge) -> int:
    return ask(bridge, "hello")["last_event"]


def run(bridge: Bridge, tokens: int = 5, model: str = "random") -> dict[str, Any]:
    settings = {"max_tokens": tokens, "seed": 1}
    return ask(bridge, "run", prompt="the cat sat", model=model, saes=[f"{model}/first"], settings=settings)


def test_texts_that_are_sent_calibrate_and_a_session_does_not_wait_for_the_end(bridge: Bridge, home: Path) -> None:
    assert ask(bridge, "calibration", sae=SAE)["calibration"] is None
    after = last(bridge)
    ask(bridge, "calibrate", sae=SAE, source="texts", texts=texts(1_000))
    assert refused(bridge, "calibrate", sae=SAE, source="sessions")["kind"] == "busy"
    events_until(bridge, after, lambda event: event.get("tokens", 0) > 0, 300)
    session = run(bridge)["session"]
    seen = events_until(bridge, after, ended, 300)
    kinds = [event["kind"] for event in seen]
    written = next(i for i, event in enumerate(seen) if event["kind"] == "end" and event["session"] == session)
    assert "calibration" in kinds[:written] and "calibration" in kinds[written:]
    done = seen[-1] if ended(seen[-1]) else next(event for event in seen if ended(event))
    assert done["state"] == "done", done
    assert done["corpus"] == "texts of my own"
    state = ask(bridge, "calibration", sae=SAE)
    assert state["calibration"] == done["calibration"]
    assert state["origin"] == "measured here" and not state["busy"] and state["kept"] is None
    fires = max(bridge.labels.measured(SAE, range(256)).values(), key=lambda one: one.fires)
    shown = ask(bridge, "feature", sae=SAE, feature=fires.feature)
    assert shown["details"]["origin"] == "measured here"
    assert shown["details"]["contexts"]
    assert shown["details"]["density"] == pytest.approx(fires.fires / done["tokens"])
    assert shown["calibration"]["fires"] == fires.fires
    assert shown["calibration"]["partners"] is not None
    assert not list(home.rglob("*.jsonl"))  # the texts are not kept


def test_it_is_cancelled_and_goes_on(bridge: Bridge, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "KEEP_EVERY", 0)
    monkeypatch.setattr(calibrating, "KEEP_SHARE", 1e9)
    assert refused(bridge, "resume_calibration", sae=SAE)["kind"] == "not_found"
    after = last(bridge)
    ask(bridge, "calibrate", sae=SAE, source="texts", texts=texts(1_000), tokens=10**9)
    events_until(bridge, after, lambda event: event.get("tokens", 0) > 0, 300)
    ask(bridge, "cancel_calibration")
    seen = events_until(bridge, after, ended, 300)
    assert seen[-1]["state"] == "cancelled"
    kept = ask(bridge, "calibration", sae=SAE)["kept"]
    assert kept["tokens"] > 0
    ask(bridge, "resume_calibration", sae=SAE)
    done = next(event for event in events_until(bridge, last(bridge), ended, 300) if ended(event))
    assert done["state"] == "done"
    assert done["documents"] == 1_000


def test_loading_another_model_leaves_it_off(bridge: Bridge, home: Path) -> None:
    after = last(bridge)
    ask(bridge, "calibrate", sae=SAE, source="texts", texts=texts(1_000))
    events_until(bridge, after, lambda event: event.get("tokens", 0) > 0, 300)
    ask(bridge, "load", model="second", saes=[OTHER])
    seen = events_until(bridge, after, ended, 300)
    assert seen[-1]["state"] == "cancelled"
    assert ask(bridge, "calibration", sae=SAE)["kept"]["tokens"] > 0


def test_the_texts_of_sessions_are_a_corpus_and_too_few_are_told(bridge: Bridge, home: Path) -> None:
    after = last(bridge)
    run(bridge, 30)
    events_until(bridge, after, lambda event: event["kind"] == "sessions_changed", 300)
    after = last(bridge)
    ask(bridge, "calibrate", sae=SAE, source="sessions")
    failed = next(event for event in events_until(bridge, after, ended, 300) if ended(event))
    assert failed["state"] == "failed"
    assert "little can be said" in failed["error"]["message"] and failed["error"]["hint"]
    assert ask(bridge, "calibration", sae=SAE)["busy"] is False


@pytest.mark.parametrize(
    "params",
    [
        {"sae": "random/none", "source": "texts"},
        {"sae": SAE, "source": "/etc/passwd"},
        {"sae": SAE, "source": "texts", "texts": ["x" * 15_000_001]},
        {"sae": SAE, "source": "texts", "texts": [1]},
        {"sae": SAE, "source": "texts", "path": "/etc/passwd"},
    ],
)
def test_nonsense_is_refused(bridge: Bridge, home: Path, params: dict[str, Any]) -> None:
    refused(bridge, "calibrate", **params)
    assert bridge.worker.calibration["state"] not in ("loading", "reading")
