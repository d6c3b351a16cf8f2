"""A steered session from the terminal's words to the stored record and back, and what is said when it falls apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from axon_shell import session
from axon_shell.analysers import Analysers
from axon_shell.compare import predictions
from axon_shell.config import Config
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.errors import InvalidSetting, NotFound, SessionFileError
from axon_shell.labels import Labels, LabelStore
from axon_shell.plugins import catalogue
from axon_shell.records import Edit, Message, Settings
from axon_shell.session import Annotator
from axon_shell.sessions import compared
from axon_shell.share import start_of, take_in, write_shared
from axon_shell.steering import FEWEST, WINDOW, edit_from, edit_of, fallen_apart, known_maximum
from axon_shell.store import Store, new_uid

SAE = "tiny-world/2-res"
ROME = 185  # "the capital city Rome is next"
PROMPT = "The capital of France is"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(catalogue(Config()).models["tiny-world"], CPU, lambda stage: None)


@pytest.fixture(scope="module")
def saes(model: Model) -> list[Sae]:
    found = catalogue(Config()).saes
    return [load_sae(found[name], model, lambda stage: None) for name in (SAE, "tiny-world/3-res")]


@pytest.fixture
def labels(store: Store, home: Path) -> Iterator[Labels]:
    found = catalogue(Config())
    labels = Labels(found.label_sources.values(), found.saes, LabelStore(home), fires_on=store.fires_on)
    yield labels
    labels.close()


def run(
    store: Store, labels: Labels, model: Model, saes: list[Sae], edits: list[Edit], prompt: str = PROMPT, **changes: int
) -> list[Message]:
    settings = Settings(**({"max_tokens": 4, "temperature": 0, "seed": 1} | changes))
    annotate = Annotator(labels, Analysers())
    found = list(session.run(new_uid(), prompt, model, saes, settings, annotate, store, lambda: False, edits=edits))
    store.flush()
    return found


def text_of(messages: list[Message]) -> str:
    return "".join(one["text"] for one in messages if one["kind"] == "step" and not one["is_prompt"])


def test_a_steered_session_says_so_wherever_it_goes(
    store: Store, labels: Labels, model: Model, saes: list[Sae], tmp_path: Path
) -> None:
    edits = [Edit(SAE, ROME, "set", 85.0, 5), Edit("tiny-world/3-res", 12, "ablate", 0.0, 2)]
    messages = run(store, labels, model, saes, edits)
    start = messages[0]
    assert text_of(messages).startswith(" Rome")
    assert start["edits"] == [asdict(edit) for edit in edits]
    assert any("read after the edits" in note for note in start["notes"])
    stored = store.messages(start["session"])
    assert stored[0] == json.loads(json.dumps(start))
    assert [Edit(**one) for one in stored[0]["edits"]] == edits
    assert store.summary(start["session"]).steered
    store.flush()
    assert store.summary(start["session"]).steered
    path = tmp_path / "steered.axon"
    with path.open("wb") as file:
        write_shared(store.summary(start["session"]), stored, labels, file)
    elsewhere = Store(tmp_path / "elsewhere")
    try:
        assert labels.store
        take_in(path, elsewhere, labels, labels.store)
        assert elsewhere.messages(start["session"]) == stored
    finally:
        elsewhere.close()
    again = run(store, labels, model, saes, [Edit(**one) for one in stored[0]["edits"]])
    for one, other in zip(messages[1:-1], again[1:-1], strict=True):
        assert one | {"ms": 0} == other | {"ms": 0}


def test_a_session_without_edits_is_as_it_always_was(
    store: Store, labels: Labels, model: Model, saes: list[Sae]
) -> None:
    start, *_, end = run(store, labels, model, saes, [])
    assert "edits" not in start and "notes" not in end


def test_edits_from_a_file_are_checked(store: Store, labels: Labels, model: Model, saes: list[Sae]) -> None:
    start = run(store, labels, model, saes, [Edit(SAE, ROME, "add", 1.0)])[0]
    for change in ({"kind": "run"}, {"value": "much"}, {"feature": -1}, {"start": 2**40}, {"value": 1e300}):
        with pytest.raises((ValueError, SessionFileError)):
            start_of(start | {"edits": [start["edits"][0] | change]})


def test_nothing_is_stored_of_what_cannot_be(store: Store, labels: Labels, model: Model, saes: list[Sae]) -> None:
    with pytest.raises(NotFound, match="no feature 1280"):
        run(store, labels, model, saes, [Edit(SAE, 1280, "ablate")])
    assert store.sessions() == []


# -- in words -------------------------------------------------------------------


def ten(sae: str, feature: int) -> float:
    return 10.0


def test_edits_are_read_as_they_are_written() -> None:
    for text, edit in (
        ("m/a:3:add=2.5", Edit("m/a", 3, "add", 2.5, 4)),
        ("m/a:3:add=-2", Edit("m/a", 3, "add", -2.0, 4)),
        ("m/a:3:set=1.5x", Edit("m/a", 3, "set", 15.0, 4)),
        ("m/a:3:ablate", Edit("m/a", 3, "ablate", 0.0, 4)),
        ("org/m:x/a:3:ablate", Edit("org/m:x/a", 3, "ablate", 0.0, 4)),
    ):
        assert edit_of(text, 4, ten) == edit
        assert edit_from(asdict(edit), ten) == edit
    assert edit_from({"sae": "m/a", "feature": 3, "kind": "set", "times_maximum": 1.5}, ten).value == 15.0


NO_EDITS = """m/a m/a:3 m/a:3:add m/a:3:ablate=2 m/a:3:ablate= m/a:x:add=2 :3:add=2 m/a:3:add= m/a:3:add=much
m/a:3:add=nan m/a:3:add=infx m/a:-3:add=2 m/a:3:double=2 m/a:3:add=x m/a:3:add=1e9"""


@pytest.mark.parametrize("text", ["", f"m/a:{'9' * 5000}:ablate", "m/a:3:add=2xx", *NO_EDITS.split()])
def test_what_is_no_edit_is_told(text: str) -> None:
    with pytest.raises(InvalidSetting) as error:
        edit_of(text, 0, ten)
    assert error.value.hint


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"sae": "m"},
        {"sae": 3, "feature": 3, "kind": "ablate"},
        {"sae": "m", "feature": "3", "kind": "ablate"},
        {"sae": "m", "feature": True, "kind": "add"},
        {"sae": "m", "feature": 3, "kind": "add", "value": 1, "more": 1},
        {"sae": "m", "feature": 3, "kind": "set", "times_maximum": "2"},
        {"sae": "m", "feature": 3, "kind": []},
    ],
)
def test_what_the_page_may_not_send_is_told(record: Message) -> None:
    with pytest.raises(InvalidSetting) as error:
        edit_from(record, ten)
    assert error.value.hint


def test_the_maximum_is_the_published_one_else_the_largest_seen(
    store: Store, labels: Labels, model: Model, saes: list[Sae]
) -> None:
    maximum = known_maximum(labels, store)
    assert maximum(SAE, ROME) == labels.statistics(SAE, ROME)["max_activation"]
    bare = known_maximum(Labels(), store)
    with pytest.raises(InvalidSetting, match="No maximum is known") as error:
        bare(SAE, ROME)
    assert "plain number" in error.value.hint
    run(store, labels, model, saes, [Edit(SAE, ROME, "set", 400.0, 1)])
    store.finish_chores()
    with pytest.raises(InvalidSetting):  # it fired because it was made to: that says nothing about the feature
        bare(SAE, ROME)
    assert store.firings(SAE, ROME) and not store.fires_on(SAE, [ROME])
    messages = run(store, labels, model, saes, [], "The capital of Italy is")
    seen = [
        one["activation"] for step in messages[2:-1] for one in step["saes"][SAE]["features"] if one["feature"] == ROME
    ]
    assert bare(SAE, ROME) == pytest.approx(max(seen))


# -- falling apart ---------------------------------------------------------------


def told(tokens: list[int], entropies: list[float] | None = None) -> list[str]:
    found = entropies or [1.0] * len(tokens)
    steps = [{"token_id": token, "entropy": entropy} for token, entropy in zip(tokens, found, strict=True)]
    return fallen_apart(steps, 50_000)


def test_repetition_and_lost_threads_are_told() -> None:
    fine = [n % 12 for n in range(40)]
    assert told(fine) == [] and told([]) == [] and told([7] * (WINDOW - 1)) == []
    assert "repeats itself (1 different" in told([7] * WINDOW)[0]
    assert "repeats itself" in told([*range(30), *([1, 2, 3] * 6), *range(30)])[0]
    assert told([n % (FEWEST + 1) for n in range(40)]) == []
    chance = math.log(50_000)
    (sign,) = told(fine, [0.3] * 20 + [0.8 * chance] * 20)
    assert "lost the thread" in sign and f"of the {chance:.1f} that pure chance has" in sign
    assert told(fine[:38], [0.3] * 30 + [0.8 * chance] * 8) == []


def test_a_text_that_is_steered_too_hard_is_told_of_and_others_are_not(
    store: Store, labels: Labels, model: Model, saes: list[Sae]
) -> None:
    hard = run(store, labels, model, saes, [Edit(SAE, ROME, "set", 500.0, 1)], max_tokens=30)
    assert any("too strong" in note for note in hard[-1]["notes"]), text_of(hard)
    assert store.messages(hard[0]["session"])[-1]["notes"] == hard[-1]["notes"]
    gentle = run(store, labels, model, saes, [Edit(SAE, ROME, "set", 5.0, 1)], max_tokens=30)
    assert "notes" not in gentle[-1], text_of(gentle)


# -- with and without ------------------------------------------------------------


def test_with_and_without_are_compared_up_to_where_they_part(
    store: Store, labels: Labels, model: Model, saes: list[Sae]
) -> None:
    plain, steered = (run(store, labels, model, saes, edits) for edits in ([], [Edit(SAE, ROME, "set", 85.0, 5)]))
    found = compared(store, labels, plain[0]["session"], steered[0]["session"])
    assert found["edits_a"] == [] and found["edits_b"] == steered[0]["edits"]
    *same, last = found["predictions"]
    assert [one["position"] for one in same] == [1, 2, 3, 4] and last["position"] == 5
    assert all(one["moved"] < 1e-5 for one in same)
    assert (last["next_a"]["text"], last["next_b"]["text"]) == (" Paris", " Rome")
    assert last["moved"] > 0.5
    paris = next(one for one in last["tokens"] if one["text"] == " Paris")
    assert paris["a"] > 0.99 and (paris["b"] is None or paris["b"] < 0.5)
    assert next(one for one in found["features"] if one["feature"] == ROME)["where"] == "b"


def test_moved_is_a_lower_bound_of_the_total_variation_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        p, q = (torch.randn(40, generator=generator).mul(3).softmax(-1) for _ in range(2))
        distance = float((p - q).abs().sum() / 2)
        (found,) = predictions(*([step(one)] for one in (p, q)))
        assert 0 < found["moved"] <= distance + 1e-6
        (same,) = predictions([step(p)], [step(p)])
        assert same["moved"] == 0


def step(probabilities: torch.Tensor) -> Message:
    best, ids = probabilities.log().topk(10)
    tokens = [
        {"token_id": i, "text": str(i), "logprob": value} for i, value in zip(ids.tolist(), best.tolist(), strict=True)
    ]
    return {"kind": "step", "position": 1, "token_id": 5, "piece": "x", "alternatives": tokens, "next": None}
