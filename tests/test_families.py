"""Hook points and logits of every family equal TransformerLens's bridge, with and without the cache, everywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from random_model import CONTEXT, FURTHER, LAYERS, make_model, make_sae
from torch.nn import Linear
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from axon_shell.engine import cache, one_row, recorded
from axon_shell.engine.attribution import direct_path
from axon_shell.engine.cache import fixed_cache
from axon_shell.engine.generate import generate
from axon_shell.engine.hooks import FINAL_RESIDUAL, bridge_around
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.one_row import OneRow
from axon_shell.engine.recorded import RecordedStep
from axon_shell.engine.sae import load_sae
from axon_shell.engine.stream import Stream
from axon_shell.errors import WeightsError
from axon_shell.records import Settings

EVERYWHERE = ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_z")
HOOKS = {
    "gpt2": [*EVERYWHERE, "hook_resid_mid"],
    "gpt_neox": [*EVERYWHERE],
    **{
        name: [*EVERYWHERE, "hook_resid_mid"]
        for name in ("gemma2", "llama", "qwen2", "qwen3", "gemma3", "gemma3 with images")
    },
}
PROMPT = "the cat sat on the mat and the dog sat on the cat and the cat"  # longer than Gemma's sliding window
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=HOOKS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(family: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """With what large models get: NumPy's product in every layer, and a cache that must grow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_row, "SMALLEST", 0)
        patch.setattr(cache, "ROOM", 4)
        model = load_model(make_model(tmp_path_factory.mktemp(family), family=family), CPU, lambda stage: None)
        assert all(isinstance(m.forward, OneRow) for m in model.network.modules() if isinstance(m, (Linear, Conv1D)))
        yield model


@pytest.fixture(scope="module")
def oracle(family: str, model: Model) -> TransformerBridge:
    if "images" in family:  # boot_transformers would install what reads them
        network = AutoModelForCausalLM.from_pretrained(model.spec.weights, dtype=torch.float32).eval()
        return bridge_around(network, model.tokenizer)
    return TransformerBridge.boot_transformers(str(model.spec.weights), device="cpu", dtype=torch.float32)


def test_hook_points_and_logits_equal_the_bridge(family: str, model: Model, oracle: TransformerBridge):
    ids = model.tokens(PROMPT, model.bos)
    names = [f"blocks.{layer}.{name}" for layer in range(LAYERS) for name in HOOKS[family]]
    with torch.no_grad():
        logits, known = oracle.run_with_cache(torch.tensor([ids]))
    for cut in (len(ids), 3):  # the whole prompt at once; three tokens, then one by one from the cache
        reads_directly(model, names, ids, cut, logits[0], known)


def reads_directly(
    model: Model, names: list[str], ids: list[int], cut: int, logits: torch.Tensor, known: Mapping[str, torch.Tensor]
) -> None:
    """The fast path, `cut` tokens at once and then one by one, equals known logits and hook points."""
    with Stream(model, names, CONTEXT) as stream:
        assert not stream.places.bridged
        passes = [stream.feed(ids[:cut]), *(stream.feed([token]) for token in ids[cut:])]
        predicted = torch.cat([stream.logits(p.hidden) for p in passes])
    torch.testing.assert_close(predicted, logits, atol=1e-4, rtol=1e-4)
    for name in names:
        found = torch.cat([p.captured[name] for p in passes])
        torch.testing.assert_close(
            found, known[name][0].flatten(1), atol=5e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_recorded_step_equals_the_bridge_too(
    family: str, model: Model, oracle: TransformerBridge, monkeypatch: pytest.MonkeyPatch
):
    """What a GPU plays back, here called anew each time: the fixed cache, the fixed token, the same tensors."""
    plays: list[int] = []

    def anew(work: Callable[[], None]) -> Callable[[], None]:
        return lambda: (plays.append(1), work())

    monkeypatch.setitem(recorded.RECORDERS, "cpu", anew)
    ids = model.tokens(PROMPT, model.bos)
    names = [f"blocks.{layer}.{name}" for layer in range(LAYERS) for name in HOOKS[family]]
    with torch.no_grad():
        logits, known = oracle.run_with_cache(torch.tensor([ids]))
    # Gemma's window of 8 is shorter than the text: there the pass is not recorded. With room for 6 it is.
    for length in (len(ids), 6):
        plays.clear()
        with Stream(model, names, length) as stream:
            assert isinstance(stream.short_cut, RecordedStep) is ("gemma" not in family or length == 6)
            passes = [stream.feed(ids[:3]), *(stream.feed([token]) for token in ids[3:length])]
            predicted = torch.cat([stream.logits(p.hidden) for p in passes])
        assert len(plays) == (length - 4 if isinstance(stream.short_cut, RecordedStep) else 0)
        torch.testing.assert_close(predicted, logits[0, :length], atol=1e-4, rtol=1e-4)
        for name in names:
            found = torch.cat([p.captured[name] for p in passes])
            torch.testing.assert_close(found, known[name][0, :length].flatten(1), atol=5e-5, rtol=1e-4)


class NothingOnTheHost(TorchDispatchMode):
    """Fails on what a CUDA graph cannot record: reading a number back, shapes that depend on one, copies to and fro."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert func._schema.name not in ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::item")
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, result)):
            assert not isinstance(tensor, torch.Tensor) or tensor.device.type == "meta", f"{func} works on the host"
        return result


def test_the_recorded_step_needs_nothing_from_the_host(model: Model, monkeypatch: pytest.MonkeyPatch):
    """On a device without memory ("meta"), where every tensor must stay: the second new token, which a GPU records."""
    seen: list[int] = []

    def watched(work: Callable[[], None]) -> Callable[[], None]:
        def play() -> None:
            with NothingOnTheHost():
                work()
            seen.append(1)

        return play

    monkeypatch.setitem(recorded.RECORDERS, "meta", watched)
    away = copy.deepcopy(model.network)
    for module in list(away.modules()):
        module.__dict__.pop("forward", None)  # NumPy's products are the CPU's
    cache = fixed_cache(away.config, 6)
    step = RecordedStep(away.to("meta"), cache, torch.device("meta"), dict)
    with torch.no_grad():
        away.base_model(torch.zeros(1, 3, dtype=torch.long, device="meta"), past_key_values=cache, use_cache=True)
        for position in (3, 4, 5):
            hidden, _ = step(7, position, cache)
    assert seen == [1, 1] and hidden.shape == (1, model.width)


def test_every_place_of_the_bridge_is_the_same_here(model: Model, oracle: TransformerBridge):
    """Fast where a module of Hugging Face's has it, else through a bridge around the same weights."""
    ids = model.tokens(PROMPT, model.bos)
    with torch.no_grad():
        _, known = oracle.run_with_cache(torch.tensor([ids]))
    names = [
        name
        for name, x in known.items()
        if name.startswith(("blocks.1.", "hook_embed", "ln_final."))
        # one vector of floating numbers for each token: no attention patterns, no token ids
        and x.is_floating_point()
        and x.shape[:2] == (1, len(ids))
        and "hook_rot" not in name
    ]
    assert len(names) > 40
    fast = [name for name in names if not model.find([name]).bridged]
    assert {"hook_embed", "blocks.1.hook_resid_pre", "blocks.1.mlp.hook_post", "ln_final.hook_out"} <= set(fast)
    slow = set(names) - set(fast)
    assert {"blocks.1.ln2.hook_normalized", "blocks.1.ln2.hook_scale"} <= slow
    for group in (fast, sorted(slow), names):
        with Stream(model, group, CONTEXT) as stream:
            assert stream.places.bridged == (group != fast)
            passes = [stream.feed(ids[:4]), *(stream.feed([token]) for token in ids[4:])]
        for name in group:
            found = torch.cat([p.captured[name] for p in passes])
            torch.testing.assert_close(
                found, known[name][0].flatten(1), atol=5e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )
    ours = {p.data_ptr() for p in model.network.parameters()}
    twin = dict(model.bridge.original_model.named_parameters())
    assert [n for n, p in twin.items() if "attention" not in n and ".attn." not in n and p.data_ptr() not in ours] in (
        [],
        ["lm_head._original_component.bias"],
    )  # no second copy, but for queries, keys and values that one matrix held together


def test_direct_effects_add_up_to_the_logit(model: Model):
    """The direction of a token, applied to the whole residual stream, is its logit: nothing of the path is missing."""
    path = direct_path(model)
    with Stream(model, [FINAL_RESIDUAL], CONTEXT) as stream:
        result = stream.feed(model.tokens(PROMPT, model.bos))
        logits = model.network.get_output_embeddings()(result.hidden)  # before Gemma's cap
    residual = result.captured[FINAL_RESIDUAL]
    directions = path.directions(residual, torch.full((len(residual),), 7))
    bias = getattr(path.norm, "bias", None)
    constant = bias @ path.unembed[7] if bias is not None else 0
    if (bias := model.network.get_output_embeddings().bias) is not None:  # Phi's
        constant = constant + bias[7]
    torch.testing.assert_close((residual * directions).sum(-1) + constant, logits[:, 7], atol=1e-3, rtol=1e-4)


def test_a_session_runs_and_its_taps_come_off(model: Model, tmp_path: Path):
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), model, lambda stage: None)
    *steps, end = generate(
        model, [sae], model.tokens(PROMPT, model.bos), True, Settings(max_tokens=6, seed=1), lambda: False
    )
    assert end.reason in ("max_tokens", "end_of_text") and len(steps) > len(model.tokens(PROMPT, model.bos))
    assert all(step.saes[sae.spec.id].l0 for step in steps[1:])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_places_that_do_not_exist_are_refused(model: Model):
    for name in ("blocks.9.hook_resid_pre", "blocks.0.hook_nothing", "hook_nothing", "blocks.x.hook_resid_pre", ""):
        with pytest.raises(WeightsError, match="no hook point") as error:
            model.find([name])
        assert error.value.hint


@pytest.mark.parametrize("name", FURTHER)
def test_further_architectures_equal_the_bridge(name: str, tmp_path: Path):
    """Anyone's model: what TransformerLens's bridge supports is read right, or through that bridge."""
    model = load_model(make_model(tmp_path, family=name), CPU, lambda stage: None)
    ids = model.tokens(PROMPT, model.bos)
    with torch.no_grad():
        logits, known = model.bridge.run_with_cache(torch.tensor([ids]))
        plain = model.network(torch.tensor([ids])).logits
    torch.testing.assert_close(logits, plain, atol=1e-4, rtol=1e-4)
    names = [f"blocks.{layer}.{place}" for layer in range(LAYERS) for place in EVERYWHERE]
    names = [one for one in names if one in known]
    assert len(names) >= 3 * LAYERS
    reads_directly(model, names, ids, 3, plain[0], known)
    test_direct_effects_add_up_to_the_logit(model)
    test_a_session_runs_and_its_taps_come_off(model, tmp_path / "sae")
