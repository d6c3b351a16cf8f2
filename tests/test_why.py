"""Why a token came: gradients are autograd's, ablations are reruns, sums add up, in TransformerLens's own numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_model import in_transformer_lens, make_model, make_sae
from sae_lens import SAE
from transformer_lens.model_bridge import TransformerBridge

from axon_shell import session
from axon_shell.analysers import Analysers
from axon_shell.config import Config
from axon_shell.engine import why as engine_why
from axon_shell.engine.generate import generate
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.steering import Steering
from axon_shell.engine.stream import Stream
from axon_shell.engine.why import Explanation, explain
from axon_shell.errors import Cancelled, InvalidSetting, NotFound
from axon_shell.labels import Labels
from axon_shell.plugins import catalogue
from axon_shell.records import Edit, Message, Settings
from axon_shell.session import Annotator
from axon_shell.store import Store, new_uid
from axon_shell.why import answer, question_of

CPU = torch.device("cpu")
TEXT = "the cat sat on the mat and the dog sat on the cat"  # longer than Gemma's sliding window
TOKEN = 7
Logits = Callable[[torch.Tensor], torch.Tensor]  # something added to the last position's vector, to its logits


def quiet(stage: str) -> None:
    pass


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox", "gemma2", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp(request.param), family=request.param), CPU, quiet)


@pytest.fixture(scope="module")
def oracle(model: Model) -> Any:
    if model.spec.family == "gpt2":
        return in_transformer_lens(model)
    return TransformerBridge.boot_transformers(str(model.spec.weights), device="cpu", dtype=torch.float32)


def logits_of(oracle: Any, ids: list[int], hook: str) -> Logits:
    """TransformerLens over the whole text, with something added to the last position's vector at a hook point."""

    def run(added: torch.Tensor) -> torch.Tensor:
        def add(x: torch.Tensor, hook: object) -> torch.Tensor:
            more = torch.zeros_like(x)
            more[0, -1] = added.view(x.shape[2:])
            return x + more

        return oracle.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(hook, add)])[0, -1]

    return run


SAES: dict[str, tuple[str, dict[str, Any]]] = {
    "resid_pre": ("blocks.1.hook_resid_pre", {}),
    "resid_post": ("blocks.2.hook_resid_post", {"architecture": "standard"}),
    "mlp_out": ("blocks.1.hook_mlp_out", {"architecture": "topk", "k": 12, "normalize_activations": "layer_norm"}),
    "attn_out": ("blocks.1.hook_attn_out", {"architecture": "gated"}),
    "z": ("blocks.1.attn.hook_z", {}),
    "centred": ("blocks.1.hook_resid_post", {"centre": True}),
    "transcoder": (
        "blocks.1.mlp.hook_in",
        {"architecture": "skip_transcoder", "metadata": {"hook_name_out": "blocks.1.hook_mlp_out"}},
    ),
}


@pytest.mark.parametrize("kind", SAES)
def test_effects_equal_transformer_lens(model: Model, oracle: Any, tmp_path: Path, kind: str) -> None:
    hook, settings = SAES[kind]
    sae = load_sae(make_sae(tmp_path, hook, **settings), model, quiet)
    ids = model.tokens(TEXT, model.bos)
    found = explain(model, [sae], ids, True, [TOKEN], top=6)
    agrees(found, sae, tmp_path, logits_of(oracle, ids, sae.target), model, ids)


def test_the_middle_of_a_block_goes_every_way(tmp_path: Path) -> None:
    """In HookedTransformer that place is the stream itself; Hugging Face's module there is only one way on from it."""
    model = load_model(make_model(tmp_path / "model"), CPU, quiet)
    sae = load_sae(make_sae(tmp_path / "sae", "blocks.1.hook_resid_mid"), model, quiet)
    ids = model.tokens(TEXT, model.bos)
    found = explain(model, [sae], ids, True, [TOKEN], top=6)
    agrees(found, sae, tmp_path / "sae", logits_of(in_transformer_lens(model), ids, sae.target), model, ids)


def agrees(found: Explanation, sae: Sae, folder: Path, run: Logits, model: Model, ids: list[int]) -> None:
    """An explanation equals what the oracle gives with the features that SAELens reads."""
    with Stream(model, sae.hooks, len(ids)) as stream:
        captured = stream.feed(ids).captured
    x, target = captured[sae.spec.hook][-1:], captured[sae.target][-1]
    reference = SAE.load_from_disk(folder)
    reference.turn_off_forward_pass_hook_z_reshaping()
    source = x - x.mean(-1, keepdim=True) if sae.centre else x

    @torch.no_grad()
    def made(kept: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        activations = reference.encode(source)
        decoded = reference.decode(kept(activations))[0]
        return decoded + (source @ reference.W_skip.T)[0] if hasattr(reference, "W_skip") else decoded

    with torch.no_grad():
        activations = reference.encode(source)[0]
        reference.decode(activations[None])
    whole = made(lambda a: a)
    nothing = made(torch.zeros_like)

    def writes(feature: int) -> torch.Tensor:
        def dropped(a: torch.Tensor) -> torch.Tensor:
            a[0, feature] = 0
            return a

        return whole - made(dropped)

    zero = torch.zeros_like(target, requires_grad=True)
    logits = run(zero)
    (slope,) = torch.autograd.grad(logits[TOKEN], zero)
    logits = logits.detach()
    one = found.saes[sae.spec.id]
    close = {"abs": 2e-4, "rel": 1e-3}
    assert found.token == TOKEN and found.logit == pytest.approx(float(logits[TOKEN]), **close)
    assert found.logprob == pytest.approx(float(logits.log_softmax(-1)[TOKEN]), **close)
    assert found.rank == 1 + int((logits > logits[TOKEN]).sum())
    assert {f.feature for f in one.features} == set(activations.nonzero()[:, 0].tolist()) and one.l0 > 6
    for effect in one.features:
        assert effect.activation == pytest.approx(float(activations[effect.feature]), **close)
        assert effect.gradient == pytest.approx(float(writes(effect.feature) @ slope), **close)
    sizes = [abs(effect.gradient) for effect in one.features]
    assert sizes == sorted(sizes, reverse=True)
    # sums
    error = (target - target.mean() if sae.centre else target) - whole
    assert one.gradient.whole == pytest.approx(float(target @ slope), **close)
    assert one.gradient.features == pytest.approx(float((whole - nothing) @ slope), **close)
    assert one.gradient.unexplained == pytest.approx(float(error @ slope), **close)
    parts = one.gradient.features + one.gradient.constant + one.gradient.unexplained
    assert parts == pytest.approx(one.gradient.whole, **close)
    # ablations
    ablated = [effect for effect in one.features if effect.ablation]
    assert len(ablated) == 6 and one.ablation
    top = sum(writes(effect.feature) for effect in ablated)
    pairs = [(writes(effect.feature), effect.ablation) for effect in ablated]
    pairs += [(top, one.ablation.top), (whole - nothing, one.ablation.features), (error, one.ablation.unexplained)]
    for vector, without in pairs:
        with torch.no_grad():
            after = run(-vector)
        assert without.logit == pytest.approx(float(logits[TOKEN] - after[TOKEN]), **close)
        lost = logits.softmax(-1)[TOKEN] - after.softmax(-1)[TOKEN]
        assert without.probability == pytest.approx(float(lost), **close)
        assert without.instead == int(after.argmax())
        assert without.instead_probability == pytest.approx(float(after.softmax(-1).max()), **close)
    direct_adds_up(found, sae, model, ids, writes)


def direct_adds_up(found: Explanation, sae: Sae, model: Model, ids: list[int], writes: Callable) -> None:
    one = found.saes[sae.spec.id]
    if model.spec.family == "gemma2" and sae.target.endswith("_z"):  # normalised on the way
        assert one.direct is None and {effect.direct for effect in one.features} == {None}
        return
    with torch.no_grad():
        hidden = model.network.base_model(torch.tensor([ids])).last_hidden_state
        before_cap = model.network.get_output_embeddings()(hidden)[0, -1, TOKEN]
    direct = one.direct
    assert direct and direct.logit == pytest.approx(float(before_cap), abs=1e-3, rel=1e-3)
    parts = direct.features + direct.constant + direct.unexplained + direct.rest + direct.bias
    assert parts == pytest.approx(direct.logit, abs=1e-3, rel=1e-4)
    assert sum(effect.direct for effect in one.features) == pytest.approx(direct.features, abs=1e-3, rel=1e-3)
    step = next(
        step
        for step in generate(model, [sae], [*ids, TOKEN], True, Settings(max_tokens=0, top_features=200), lambda: False)
        if step.position == len(ids) - 1
    )
    known = {effect.feature: effect.direct for effect in one.features}
    for active in step.saes[sae.spec.id].features:  # as every step of a session has it
        assert known[active.feature] == pytest.approx(active.effect, abs=1e-3, rel=1e-3)


def test_several_saes_share_one_pass_and_the_hooks_come_off(model: Model, tmp_path: Path) -> None:
    saes = [
        load_sae(make_sae(tmp_path / name, f"blocks.{layer}.hook_resid_post", id=f"random/{name}"), model, quiet)
        for layer, name in ((0, "early"), (1, "late"))
    ]
    ids = model.tokens(TEXT, model.bos)
    both = explain(model, saes, ids, True, [TOKEN], top=3)
    for sae in saes:
        alone = explain(model, [sae], ids, True, [TOKEN], top=3).saes[sae.spec.id]
        for one, other in zip(both.saes[sae.spec.id].features, alone.features, strict=True):
            assert one.feature == other.feature and one.gradient == pytest.approx(other.gradient, abs=1e-5, rel=1e-4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())
    first = explain(model, saes, ids[:2], True, top=0)
    assert first.token == first.best[0] and all(one.ablation is None for one in first.saes.values())


def test_a_steered_position_is_explained_as_it_was(model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), model, quiet)
    ids = model.tokens(TEXT, model.bos)
    edits = [Edit(sae.spec.id, 4, "set", 9.0, 2), Edit(sae.spec.id, 5, "add", 3.0, 3)]
    found = explain(model, [sae], ids, True, [TOKEN], edits, top=2)
    with Stream(model, sae.hooks, len(ids), Steering(edits, [sae], True, CPU)) as stream:
        result = stream.feed(ids)
        logits = stream.logits(result.hidden)[-1]
    assert found.logit == pytest.approx(float(logits[TOKEN]), abs=1e-4)
    read = sae.read(result.captured[sae.target][-1:], result.captured[sae.target][-1:], 200)
    assert found.saes[sae.spec.id].l0 == int(read.l0)


def test_many_rows_are_run_a_few_at_a_time(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), model, quiet)
    ids = model.tokens(TEXT, model.bos)
    at_once = explain(model, [sae], ids, True, [TOKEN], top=9)
    monkeypatch.setattr(engine_why, "ROWS_BYTES", 1)
    heard: list[tuple[int, int]] = []
    singly = explain(model, [sae], ids, True, [TOKEN], top=9, told=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 12) for done in range(13)]
    for one, other in zip(at_once.saes[sae.spec.id].features, singly.saes[sae.spec.id].features, strict=True):
        if one.ablation:
            assert one.ablation.logit == pytest.approx(other.ablation.logit, abs=1e-4)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        explain(model, [sae], ids, True, [TOKEN], top=9, told=stop)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


# -- Tiny World -----------------------------------------------------------------

WORLD = "tiny-world/2-res"


@pytest.fixture(scope="module")
def world() -> Model:
    return load_model(catalogue(Config()).models["tiny-world"], CPU, quiet)


@pytest.fixture(scope="module")
def world_saes(world: Model) -> list[Sae]:
    found = catalogue(Config()).saes
    return [load_sae(found[f"tiny-world/{name}"], world, quiet) for name in ("0-res", "2-res", "3-res")]


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = Store(home)
    yield store
    store.close()


@pytest.fixture(scope="module")
def labels() -> Labels:
    found = catalogue(Config())
    return Labels(found.label_sources.values(), found.saes)


def asked(
    store: Store, world: Model, saes: list[Sae], labels: Labels, position: int = 5, token: Any = None, **more: Any
) -> Message:
    edits = more.pop("edits", ())
    annotate, settings = Annotator(labels, Analysers()), Settings(max_tokens=1, temperature=0)
    uid = new_uid()
    list(
        session.run(uid, "The capital of France is", world, saes, settings, annotate, store, lambda: False, edits=edits)
    )
    return answer(question_of(store, uid, position, **more), world, saes, labels, token)


def test_paris_is_explained_by_features_of_capitals(
    store: Store, world: Model, world_saes: list[Sae], labels: Labels
) -> None:
    """The labelled features with the largest effect on " Paris", and what happens without the features."""
    found = asked(store, world, world_saes, labels)
    json.dumps(found, allow_nan=False)
    assert (found["token"]["text"], found["followed"], found["rank"], found["notes"]) == (" Paris", True, 1, [])
    for sae in world_saes:
        one = found["saes"][sae.spec.id]
        labelled = [row for row in one["features"] if row["label_state"] == "labelled"]
        strongest = max(labelled, key=lambda row: row["direct"])
        assert "a capital city is next" in strongest["label"], sae.spec.id
        assert strongest["ablation"]["logit"] > 0.5
        without = one["ablation"]["features"]
        assert without["probability"] > 0.9 and without["instead"]["text"] != " Paris"
    (late,) = [row for row in found["saes"][WORLD]["features"] if row["label"] and "Paris" in row["label"]]
    assert late["direct"] > 0 and late["label"].startswith("the capital city Paris is next")


def test_alternatives_are_asked_about_by_text_or_id(
    store: Store, world: Model, world_saes: list[Sae], labels: Labels
) -> None:
    rome = asked(store, world, world_saes[1:2], labels, token="Rome", top=0)
    assert rome["token"]["text"] == " Rome" and not rome["followed"] and rome["rank"] > 1
    assert asked(store, world, world_saes[1:2], labels, token=rome["token"]["token_id"], top=0)["saes"] == rome["saes"]
    for token, says in (("", "empty"), ("Paris is nice", "4 tokens"), (10**6, "no token 1000000")):
        with pytest.raises(InvalidSetting, match=says) as error:
            asked(store, world, world_saes[1:2], labels, token=token)
        assert error.value.hint
    last = asked(store, world, world_saes[1:2], labels, position=6, top=0)
    assert last["token"]["text"] == "." and not last["followed"]  # nothing followed: the most probable one


def test_questions_that_have_no_answer(store: Store, world: Model, world_saes: list[Sae], labels: Labels) -> None:
    for position, more, kind in (
        (0, {}, InvalidSetting),
        (7, {}, NotFound),
        (-1, {}, NotFound),
        (5, {"top": 1000}, InvalidSetting),
    ):
        with pytest.raises(kind) as error:
            asked(store, world, world_saes[1:2], labels, position, **more)
        assert error.value.hint
    with pytest.raises(NotFound):
        question_of(store, "nothing", 3)


def test_a_steered_session_is_asked_with_its_edits(
    store: Store, world: Model, world_saes: list[Sae], labels: Labels
) -> None:
    edits = [Edit(WORLD, 185, "set", 85.0, 5)]
    found = asked(store, world, world_saes[1:2], labels, edits=edits, top=3)
    assert found["token"]["text"] == " Rome" and found["followed"] and found["notes"] == []
    assert found["edits"][0]["feature"] == 185
    rome = next(row for row in found["saes"][WORLD]["features"] if row["feature"] == 185)
    assert rome["direct"] > 1 and rome["label"] == "the capital city Rome is next"


def test_other_weights_than_then_are_told(store: Store, world: Model, world_saes: list[Sae], labels: Labels) -> None:
    changed = replace(world, network=load_model(world.spec, CPU, quiet).network)
    annotate, uid = Annotator(labels, Analysers()), new_uid()
    list(
        session.run(
            uid, "The capital of", world, world_saes[:1], Settings(max_tokens=0), annotate, store, lambda: False
        )
    )
    changed.network.transformer.ln_f.weight.data *= 0.7
    found = answer(question_of(store, uid, 3), changed, world_saes[:1], labels)
    assert "have changed" in found["notes"][0]
