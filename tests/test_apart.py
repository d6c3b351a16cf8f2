"""A command in a process of its own: what it tells comes, its end and its failure too, and the page can ask for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_bridge import ask, events_until, refused

from axon_shell.analysers import Analysers
from axon_shell.apart import Apart
from axon_shell.bridge import Bridge
from axon_shell.config import Config
from axon_shell.errors import Busy
from axon_shell.events import EventLog
from axon_shell.labels import Labels, LabelStore
from axon_shell.plugins import catalogue
from axon_shell.remembered import Remembered
from axon_shell.session import Annotator
from axon_shell.store import Store
from axon_shell.worker import Worker

HOOK = "blocks.2.hook_resid_post"
FEW = {"width": 64, "l0": 8}


def eventually(true: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_command_says_and_why_it_failed_is_told():
    told: list[dict[str, Any]] = []
    apart = Apart()
    apart.begin(["run", "x", "--model", "nothing"], told.append)
    with pytest.raises(Busy):
        apart.begin(["models"], told.append)
    eventually(lambda: told)
    assert told == [{"kind": "failed", "error": told[0]["error"]}] and not apart.busy
    assert "There is no model 'nothing'" in told[0]["error"]["message"] and told[0]["error"]["hint"]
    assert not apart.stop()


@pytest.fixture
def bridge(home: Path) -> Iterator[Bridge]:
    """The program as it is, with its built-in model."""
    config, store, offered = Config(), Store(home), catalogue(Config())
    labels = Labels([], offered.saes, LabelStore(home), fires_on=store.fires_on)
    worker = Worker(store, Annotator(labels, Analysers([])), EventLog(), config)
    bridge = Bridge(worker, store, offered, config, Remembered(home / "remembered.json"))
    yield bridge
    bridge.close()
    assert not worker.apart.busy or worker.apart.process is None or worker.apart.process.poll() is not None


@pytest.mark.timeout(600)
def test_the_page_trains_an_sae_stops_and_goes_on_and_then_has_it(bridge: Bridge):
    texts = ["The capital of France is Paris. In Japan people speak Japanese. 3 + 4 = 7.\n" * 10] * 40
    wanted = {"model": "tiny-world", "hook": HOOK, "texts": texts, "name": "mine"}
    choices = ask(bridge, "training_choices")
    assert set(choices["ranges"]) < set(choices["settings"]) and "batchtopk" in choices["architectures"]

    last = ask(bridge, "hello")["last_event"]
    assert ask(bridge, "train_sae", **wanted, settings=FEW | {"tokens": 60_000}) == {"sae": "tiny-world/mine"}
    busy = refused(bridge, "run", prompt="x", model="tiny-world", saes=[], settings={})
    assert busy["kind"] == "busy" and "being trained" in busy["message"]
    assert refused(bridge, "train_sae", **wanted, settings=FEW)["kind"] == "busy"
    events = events_until(bridge, last, lambda event: event.get("state") == "progress", 300)
    assert [e["state"] for e in events if e["kind"] == "training"][:2] == ["loading", "start"]
    assert ask(bridge, "hello")["training"]["sae"] == "tiny-world/mine"

    assert ask(bridge, "stop_training") == {"stopping": True}
    events = events_until(bridge, last, lambda event: event.get("state") == "stopped", 300)
    other = refused(bridge, "train_sae", **wanted | {"texts": ["Another text."]}, settings=FEW)
    assert "was begun already" in other["message"]  # and what it was begun with is still there
    ask(bridge, "train_sae", model="tiny-world", hook=HOOK, name="mine", settings={}, resume=True)
    events = events_until(bridge, events[-1]["seq"], lambda event: event.get("state") == "end", 300)
    end = next(event for event in events if event.get("state") == "end")
    assert end["sae"] == "tiny-world/mine" and 0 < end["quality"]["unexplained"] < 2
    assert "tiny-world/mine" in [sae["id"] for sae in ask(bridge, "saes", model="tiny-world")["saes"]]
    json.dumps(events, allow_nan=False)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"model": "none"}, "There is no model"),
        ({"settings": {"widht": 1}}, "There is no setting 'widht'"),
        ({"settings": {"tokens": 1}}, "tokens must be"),
        ({"name": "../up"}, "cannot be the name"),
    ],
)
def test_what_the_page_may_not_train_is_refused_at_once(bridge: Bridge, wrong: dict[str, Any], says: str):
    asked = {"model": "tiny-world", "hook": HOOK, "texts": ["x"], "settings": {}} | wrong
    assert says in refused(bridge, "train_sae", **asked)["message"]
    assert not bridge.worker.apart.busy
