"""The engine gives what TransformerLens and SAELens give, token by token, and says so in Steps."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from random_model import CONTEXT, LAYERS, in_transformer_lens, make_model, make_sae
from sae_lens import SAE
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer

from axon_shell.engine.generate import generate, in_one_transfer, on_host
from axon_shell.engine.model import Model, choose_device, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.sampling import choose, penalize
from axon_shell.engine.stream import Stream
from axon_shell.engine.text import Decoder
from axon_shell.errors import EngineError, OutOfMemory, PromptError, WeightsError
from axon_shell.records import End, Settings, Step

HOOKS = [
    f"blocks.{layer}.{name}"
    for layer in range(LAYERS)
    for name in (
        "hook_resid_pre",
        "hook_resid_mid",
        "hook_resid_post",
        "hook_attn_out",
        "hook_mlp_out",
        "attn.hook_z",
        "mlp.hook_post",
    )
]
CPU = torch.device("cpu")
GREEDY = Settings(max_tokens=12, temperature=0, top_features=8)


def quiet(stage: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(make_model(folder / "model"), CPU, quiet)


@pytest.fixture(scope="module")
def oracle(model: Model) -> HookedTransformer:
    return in_transformer_lens(model)


@pytest.fixture(scope="module")
def saes(model: Model, folder: Path) -> list[Sae]:
    specs = [
        make_sae(folder / "first", "blocks.0.hook_resid_pre"),
        make_sae(folder / "centred", "blocks.1.hook_resid_post", centre=True),
        make_sae(folder / "mid", "blocks.2.hook_resid_mid", id="random/mid"),
    ]
    return [load_sae(spec, model, quiet) for spec in specs]


def steps(model: Model, saes: list[Sae], prompt: str, settings: Settings) -> tuple[list[Step], End]:
    *found, end = generate(model, saes, model.tokens(prompt, model.bos), True, settings, lambda: False)
    assert all(isinstance(step, Step) for step in found)
    return found, end


# -- equal to the oracles -----------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_point_carries_what_transformer_lens_says(
    model: Model, oracle: HookedTransformer, hook: str
) -> None:
    ids = model.tokens("the cat sat on the mat", model.bos)
    logits, cache = oracle.run_with_cache(torch.tensor([ids]))
    with Stream(model, [hook], CONTEXT) as stream:
        first = stream.feed(ids[:3])
        rest = [stream.feed([token]) for token in ids[3:]]  # from the cache of keys and values
        found = torch.cat([p.captured[hook] for p in [first, *rest]])
        predicted = torch.stack([row for p in [first, *rest] for row in stream.logits(p.hidden)])
    expected = cache[hook][0].flatten(1)  # TransformerLens gives hook_z head by head
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(predicted, logits[0], atol=5e-5, rtol=1e-5)


def test_a_session_equals_transformer_lens_and_sae_lens(
    model: Model, oracle: HookedTransformer, saes: list[Sae]
) -> None:
    found, _ = steps(model, saes, "the dog sat", GREEDY)
    ids = [step.token_id for step in found]
    with torch.no_grad():
        logits, cache = oracle.run_with_cache(torch.tensor([ids]))
    logprobs = logits[0].log_softmax(-1)
    for step in found:
        row = logprobs[step.position]
        assert step.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-4)
        assert [a.token_id for a in step.alternatives] == row.topk(10).indices.tolist()
        assert [a.logprob for a in step.alternatives] == pytest.approx(row.topk(10).values.tolist(), abs=1e-4)
        if step.position:
            before = logprobs[step.position - 1, step.token_id]
            assert step.logprob == pytest.approx(float(before), abs=1e-4)
        if not step.is_prompt:
            assert step.token_id == logprobs[step.position - 1].argmax()  # greedy
    for sae in saes:
        reference = SAE.load_from_disk(sae.spec.weights)
        x = cache[sae.spec.hook][0]
        if sae.centre:
            x = x - x.mean(-1, keepdim=True)
        with torch.no_grad():
            activations = reference.encode(x)
            x_hat = reference.decode(activations)
        unexplained = (x - x_hat).square().sum(-1) / (x - x.mean(-1, keepdim=True)).square().sum(-1)
        for step in found[1:]:
            reading, row = step.saes[sae.spec.id], activations[step.position]
            top = row.topk(8)
            assert reading.l0 == int((row > 0).sum()) > 0
            assert [f.feature for f in reading.features] == top.indices[top.values > 0].tolist()
            assert [f.activation for f in reading.features] == pytest.approx(
                top.values[top.values > 0].tolist(), abs=1e-4
            )
            assert reading.unexplained == pytest.approx(float(unexplained[step.position]), rel=1e-3)


def test_effects_equal_transformer_lens(model: Model, oracle: HookedTransformer, saes: list[Sae]) -> None:
    found, _ = steps(model, saes, "the dog sat", GREEDY)
    with torch.no_grad():
        _, cache = oracle.run_with_cache(torch.tensor([[step.token_id for step in found]]))
    for step in found[1:]:
        for sae in saes:
            features = step.saes[sae.spec.id].features
            if step.next is None:
                assert {f.effect for f in features} == {None}
                continue
            parts = torch.stack([f.activation * sae.sae.W_dec[f.feature] for f in features])[:, None, None]
            scaled = cache.apply_ln_to_stack(parts, layer=-1, pos_slice=step.position)[:, 0, 0] * oracle.ln_final.w
            expected = scaled @ oracle.W_U[:, step.next.token_id]
            assert [f.effect for f in features] == pytest.approx(expected.tolist(), abs=1e-4, rel=1e-4)


def test_centring_is_what_centred_weights_do(model: Model, folder: Path, saes: list[Sae]) -> None:
    centred = in_transformer_lens(model, centred=True)
    ids = model.tokens("the cat sat", model.bos)
    _, cache = centred.run_with_cache(torch.tensor([ids]))
    with Stream(model, saes[1].hooks, CONTEXT) as stream:
        x = stream.feed(ids).captured[saes[1].spec.hook]
    torch.testing.assert_close(saes[1].prepare(x), cache[saes[1].spec.hook][0], atol=2e-5, rtol=1e-5)


# -- steps --------------------------------------------------------------------


def test_every_position_is_one_step(model: Model, saes: list[Sae]) -> None:
    found, end = steps(model, saes, "the cat", GREEDY)
    prompt = model.tokens("the cat", model.bos)
    assert [step.position for step in found] == list(range(len(prompt) + 12))
    assert [step.is_prompt for step in found] == [True] * len(prompt) + [False] * 12
    assert found[0].is_bos and found[0].logprob is None and not any(r.features for r in found[0].saes.values())
    assert not any(step.is_bos for step in found[1:])
    assert [step.next and step.next.token_id for step in found] == [*(s.token_id for s in found[1:]), None]
    assert all(step.saes.keys() == {sae.spec.id for sae in saes} for step in found)
    assert (end.reason, end.prompt_tokens, end.new_tokens) == ("max_tokens", len(prompt) - 1, 12)
    assert end.ms_per_token == pytest.approx(sum(step.ms for step in found if not step.is_prompt) / 12)
    json.dumps([step.as_message() for step in found], allow_nan=False)


def test_the_same_seed_gives_the_same_session(model: Model, saes: list[Sae]) -> None:
    hot = Settings(max_tokens=20, temperature=1.3, seed=7)
    first, second, other = (
        [replace(step, ms=0) for step in steps(model, saes, "the cat", s)[0]] for s in (hot, hot, replace(hot, seed=8))
    )
    assert first == second
    assert [step.token_id for step in first] != [step.token_id for step in other]


def test_generation_stops_between_tokens(model: Model, saes: list[Sae]) -> None:
    asked = itertools.count()
    *found, end = generate(model, saes, model.tokens("the", model.bos), True, GREEDY, lambda: next(asked) == 4)
    assert (end.reason, end.new_tokens) == ("stopped", 4)
    assert found[-1].next is None


def test_a_full_context_ends_the_session(model: Model, saes: list[Sae]) -> None:
    found, end = steps(replace(model, ends=frozenset()), saes, "the cat", replace(GREEDY, max_tokens=1000))
    assert end.reason == "context_full"
    assert [step.position for step in found] == list(range(CONTEXT))
    assert found[-1].next is None and found[-1].saes[saes[0].spec.id].l0 > 0


def test_nothing_new_is_asked_for(model: Model, saes: list[Sae]) -> None:
    found, end = steps(model, saes, "the cat", replace(GREEDY, max_tokens=0))
    assert (end.reason, end.new_tokens, end.ms_per_token) == ("max_tokens", 0, None)
    assert found[-1].is_prompt and found[-1].next is None


def test_an_end_of_text_token_ends_the_session(model: Model) -> None:
    free, _ = steps(model, [], "the", GREEDY)
    last = free[-1].token_id
    ending = replace(model, ends=frozenset({last}))
    found, end = steps(ending, [], "the", GREEDY)
    assert end.reason == "end_of_text"
    before = [step.token_id for step in free].index(last)
    assert [step.token_id for step in found] == [step.token_id for step in free[:before]]
    assert found[-1].next is None and found[-1].alternatives[0].token_id == last


def test_prompts_that_cannot_be_run(model: Model) -> None:
    with pytest.raises(PromptError, match="empty"):
        model.tokens("  \n", model.bos)
    with pytest.raises(PromptError, match=f"at most {CONTEXT}") as error:
        model.tokens("cat " * CONTEXT, model.bos)
    assert "Shorten" in error.value.hint


def test_taps_come_off_whatever_happens(model: Model, saes: list[Sae]) -> None:
    run = generate(model, saes, model.tokens("the", model.bos), True, GREEDY, lambda: False)
    next(run)
    run.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_a_tap_that_raises_comes_off_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Stream, name: str, x: torch.Tensor) -> None:
        raise ZeroDivisionError(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "capture", broken)
        with Stream(model, ["blocks.1.hook_resid_pre"], CONTEXT) as stream, pytest.raises(ZeroDivisionError):
            stream.feed([1, 2])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())
    assert steps(model, [], "the cat", GREEDY)[1].reason == "max_tokens"


@pytest.mark.parametrize("layer", range(LAYERS))
def test_activations_that_are_no_numbers_name_their_layer(model: Model, layer: int) -> None:
    broken = load_model(model.spec, CPU, quiet)
    broken.network.transformer.h[layer].mlp.c_proj.weight.data.fill_(math.inf)
    with Stream(broken, [], CONTEXT) as stream:
        with pytest.raises(EngineError, match=rf"blocks\.{layer}\.hook_resid_post are not finite") as error:
            stream.feed(broken.tokens("the", None))
        assert "float32" in error.value.hint
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in broken.network.modules())


def test_too_little_memory_names_something_smaller_and_leaves_the_model_usable(model: Model) -> None:
    named = replace(model, spec=replace(model.spec, smaller="gpt2-tiny"))
    handle = model.network.transformer.h[1].register_forward_pre_hook(lambda module, args: torch.empty(2**60))
    with Stream(named, [], CONTEXT) as stream, pytest.raises(OutOfMemory, match="more memory") as error:
        stream.feed(model.tokens("the cat", model.bos))
    handle.remove()
    assert "gpt2-tiny" in error.value.hint and "bfloat16" in error.value.hint
    assert steps(model, [], "the cat", GREEDY)[1].reason == "max_tokens"


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=3e9))
    huge = replace(model.spec, parameters=1_000_000_000, smaller="gpt2-small")
    with pytest.raises(OutOfMemory, match=r"needs 4\.0 GB of memory in float32, and 3\.0 GB are free") as error:
        load_model(huge, CPU, quiet)
    assert "gpt2-small" in error.value.hint and "--dtype bfloat16" in error.value.hint
    load_model(huge, CPU, quiet, torch.bfloat16)  # half of it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_for_the_model_alone(model: Model, saes: list[Sae], dtype: torch.dtype) -> None:
    half = load_model(model.spec, CPU, quiet, dtype)
    assert {p.dtype for p in half.network.parameters()} == {dtype}
    sae = load_sae(saes[0].spec, half, quiet)
    assert {p.dtype for p in sae.sae.parameters()} == {torch.float32}
    (found, end), (exact, _) = steps(half, [sae], "the dog sat", GREEDY), steps(model, [saes[0]], "the dog sat", GREEDY)
    assert end.new_tokens == 12
    for ours, theirs in zip(found[1:4], exact[1:4], strict=True):
        a, b = ours.saes[sae.spec.id], theirs.saes[sae.spec.id]
        assert a.features[0].feature == b.features[0].feature
        assert a.features[0].activation == pytest.approx(b.features[0].activation, rel=0.05)
        assert a.unexplained == pytest.approx(b.unexplained, rel=0.1)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == CPU and choose_device().type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no device 'cuda'") as error:
            choose_device("cuda")
        assert "auto, cpu" in error.value.hint


def test_numbers_come_from_another_device_in_one_transfer() -> None:
    tensors = [torch.tensor([[3, 2**24 - 1]]), torch.tensor([0.1, -1e-30]), torch.tensor([7])]

    assert in_one_transfer(tensors) == on_host(tensors) == [tensor.tolist() for tensor in tensors]


# -- text ---------------------------------------------------------------------


# U+FFFD itself is held back by the tokenizers library as the sign of an unfinished character.
@given(st.text(st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"]), min_size=1, max_size=40))
@hypothesis_settings(max_examples=60, deadline=None)
def test_the_texts_of_the_tokens_are_the_text(model: Model, text: str) -> None:
    decoder = Decoder(model.tokenizer)
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "".join(decoder.text(token) for token in ids) == text


def test_a_character_in_parts_comes_out_whole(model: Model) -> None:
    decoder = Decoder(model.tokenizer)
    ids = model.tokenizer("🌍", add_special_tokens=False)["input_ids"]
    assert len(ids) == 4
    assert [decoder.text(token) for token in ids] == ["", "", "", "🌍"]
    assert [decoder.piece(token) for token in ids] == ["\\xf0", "\\x9f", "\\x8c", "\\x8d"]


# -- sampling -----------------------------------------------------------------


def draw(logits: list[float], settings: Settings, seen: tuple[int, ...] = (), times: int = 200) -> set[int]:
    rng = torch.Generator().manual_seed(0)
    return {choose(torch.tensor(logits), settings, seen, rng) for _ in range(times)}


def test_sampling_keeps_to_its_candidates() -> None:
    logits = [3.0, 2.0, 1.0, 0.0, -1.0]
    free = Settings(temperature=2.0, top_k=0, top_p=1.0)
    assert draw(logits, replace(free, temperature=0)) == {0}
    assert draw(logits, free) == {0, 1, 2, 3, 4}
    assert draw(logits, replace(free, top_k=2)) == {0, 1}
    assert draw(logits, replace(free, top_k=100)) == {0, 1, 2, 3, 4}
    assert draw(logits, replace(free, top_p=0.01)) == {0}


def test_sampling_follows_the_probabilities() -> None:
    rng = torch.Generator().manual_seed(1)
    logits = torch.tensor([1.0, 0.0, -1.0])
    drawn = [choose(logits, Settings(temperature=0.5, top_k=0, top_p=1.0), (), rng) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=3) / 4000
    torch.testing.assert_close(shares, (logits / 0.5).softmax(-1), atol=0.03, rtol=0)


def test_a_repeated_token_is_penalised_once() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert penalize(logits, {0, 1}, 2.0).tolist() == [1.0, -4.0, 1.0]
    assert draw([2.0, 1.9], Settings(temperature=0, repetition_penalty=1.2), seen=(0, 0, 0)) == {1}


# -- weights that do not fit --------------------------------------------------


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize(
    ("break_", "says"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "empty"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-999]),
            "could not be loaded",
        ),
        (lambda f: (f / "config.json").write_text("{"), "damaged"),
        (lambda f: drop(f / "model.safetensors", "transformer.h.1.attn.c_attn.weight"), "lack transformer.h.1.attn"),
    ],
)
def test_a_damaged_model_is_refused_with_a_hint(model: Model, tmp_path: Path, break_, says: str) -> None:
    folder = copied(model.spec.weights, tmp_path / "broken")
    break_(folder)
    with pytest.raises(WeightsError, match=says) as error:
        load_model(replace(model.spec, weights=folder), CPU, quiet)
    assert error.value.hint


def drop(path: Path, name: str) -> None:
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, {"format": "pt"})
