"""The story: a prompt becomes labelled steps and rows, and comes back the same."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from random_model import make_model, make_sae

from axon_shell import Analyser, Label, session
from axon_shell.analysers import Analysers
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.errors import NotFound, PromptError
from axon_shell.labels import Labels
from axon_shell.records import Message, Settings
from axon_shell.session import Annotator
from axon_shell.store import Store, new_uid


class Even:
    """Knows a label for every even feature."""

    name = "even"

    def has(self, sae: str) -> bool:
        return sae == "random/first"

    def labels(self, sae, features):
        return {f: Label(f"even {f}", "test", "by hand") for f in features if f % 2 == 0}

    def statistics(self, sae, feature):
        return {}


ANNOTATE = Annotator(Labels([Even()]), Analysers([Analyser("doubled", lambda step: 2 * step["entropy"])]))
SETTINGS = Settings(max_tokens=6, temperature=0.9, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("model")), torch.device("cpu"), lambda stage: None)


@pytest.fixture(scope="module")
def saes(model: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Sae]:
    folder = tmp_path_factory.mktemp("saes")
    return [
        load_sae(make_sae(folder / name, hook, id=f"random/{name}"), model, lambda stage: None)
        for name, hook in (("first", "blocks.0.hook_resid_pre"), ("last", "blocks.2.hook_resid_post"))
    ]


def run(store: Store, model: Model, saes: list[Sae], uid: str = "", stopped=lambda: False) -> Iterator[Message]:
    return session.run(uid or new_uid(), "the cat sat", model, saes, SETTINGS, ANNOTATE, store, stopped)


def test_a_prompt_becomes_labelled_steps_and_rows(store: Store, model: Model, saes: list[Sae]):
    start, *steps, end = streamed = list(run(store, model, saes))
    assert start["kind"] == "start" and start["saes"] == ["random/first", "random/last"]
    assert start["settings"]["seed"] == 3 and (start["device"], start["dtype"]) == ("cpu", "float32")
    assert [step["position"] for step in steps] == list(range(len(steps)))
    assert (end["reason"], end["new_tokens"]) == ("max_tokens", 6)
    assert steps[0]["analyses"] == {}  # BOS is computed, but nothing is said of it
    for step in steps[1:]:
        assert step["analyses"] == {"doubled": 2 * step["entropy"]}
        for active in step["saes"]["random/first"]["features"]:
            even = active["feature"] % 2 == 0
            assert active["label"] == (f"even {active['feature']}" if even else None)
            assert active["label_state"] == ("labelled" if even else "unlabelled")
        assert {f["label_state"] for f in step["saes"]["random/last"]["features"]} == {"absent"}

    store.flush()
    assert session.replay(start["session"], store, ANNOTATE) == streamed
    assert json.loads(json.dumps(streamed, allow_nan=False)) == streamed


def test_a_stored_session_comes_back_in_another_process_without_torch(store: Store, model: Model, saes: list[Sae]):
    streamed = list(run(store, model, saes))
    store.flush()
    program = """
import json, sys
from axon_shell import homes, session
from axon_shell.analysers import Analysers
from axon_shell.labels import Labels
from axon_shell.store import Store
store = Store(homes.data())
print(json.dumps(session.replay(sys.argv[1], store, session.Annotator(Labels([]), Analysers()))))
assert "torch" not in sys.modules
"""
    printed = subprocess.run(
        [sys.executable, "-c", program, streamed[0]["session"]], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == [Annotator(Labels([]), Analysers())(message) for message in streamed]


def test_the_same_run_twice_is_the_same(store: Store, model: Model, saes: list[Sae]):
    def numbers() -> list[Message]:
        _, *steps, _ = run(store, model, saes)
        return [step | {"ms": 0} for step in steps]

    assert numbers() == numbers()


def test_stopping_ends_the_session_and_keeps_it(store: Store, model: Model, saes: list[Sae]):
    asked = itertools.count()
    *_, end = streamed = list(run(store, model, saes, stopped=lambda: next(asked) == 2))
    assert (end["reason"], end["new_tokens"]) == ("stopped", 2)
    store.flush()
    assert session.replay(streamed[0]["session"], store, ANNOTATE) == streamed


def test_a_reader_that_goes_away_ends_the_session(store: Store, model: Model, saes: list[Sae]):
    uid = new_uid()
    stream = run(store, model, saes, uid)
    for _ in range(4):
        next(stream)
    stream.close()
    store.flush()
    kept = session.replay(uid, store, ANNOTATE)
    assert [message["kind"] for message in kept] == ["start", "step", "step", "step", "end"]
    assert kept[-1]["reason"] == "stopped"


def test_a_failure_half_way_ends_with_its_error_and_keeps_the_steps(store: Store, model: Model, saes: list[Sae]):
    stream = run(store, model, saes)
    seen = [next(stream) for _ in range(1 + len(model.tokens("the cat sat", model.bos)) + 2)]
    assert not seen[-1]["is_prompt"]
    bias = model.network.transformer.h[2].mlp.c_proj.bias
    kept = bias.data.clone()
    bias.data.fill_(math.nan)
    try:
        seen += list(stream)
    finally:
        bias.data.copy_(kept)
    assert seen[-1]["reason"] == "error"
    assert seen[-1]["error"]["kind"] == "engine" and "blocks.2.hook_resid_post" in seen[-1]["error"]["message"]
    store.flush()
    assert session.replay(seen[0]["session"], store, ANNOTATE) == seen


def test_a_prompt_that_cannot_be_run_stores_nothing(store: Store, model: Model, saes: list[Sae]):
    with pytest.raises(PromptError):
        list(session.run(new_uid(), "cat " * 500, model, saes, SETTINGS, ANNOTATE, store, lambda: False))
    store.flush()
    assert store.sessions() == []
    with pytest.raises(NotFound):
        session.replay(new_uid(), store, ANNOTATE)
