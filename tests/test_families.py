"""Hook points and logits of every family equal TransformerLens's bridge, with and without the cache, everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_model import LAYERS, make_model, make_sae
from transformer_lens.model_bridge import TransformerBridge

from axon_shell.engine.attribution import direct_path
from axon_shell.engine.generate import generate
from axon_shell.engine.hooks import hook_point
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import load_sae
from axon_shell.engine.stream import Stream
from axon_shell.errors import WeightsError
from axon_shell.records import Settings

EVERYWHERE = ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_z")
HOOKS = {
    "gpt2": [*EVERYWHERE, "hook_resid_mid"],
    "gpt_neox": [*EVERYWHERE],
    "gemma2": [*EVERYWHERE, "hook_resid_mid"],
}
PROMPT = "the cat sat on the mat and the dog sat on the cat and the cat"  # longer than Gemma's sliding window
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=HOOKS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(family: str, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp(family), family=family), CPU, lambda stage: None)


@pytest.fixture(scope="module")
def oracle(model: Model) -> TransformerBridge:
    return TransformerBridge.boot_transformers(str(model.spec.weights), device="cpu", dtype=torch.float32)


def test_hook_points_and_logits_equal_the_bridge(family: str, model: Model, oracle: TransformerBridge):
    ids = model.tokens(PROMPT)
    names = [f"blocks.{layer}.{name}" for layer in range(LAYERS) for name in HOOKS[family]]
    with torch.no_grad():
        logits, cache = oracle.run_with_cache(torch.tensor([ids]))
    for cut in (len(ids), 3):  # the whole prompt at once; three tokens, then one by one from the cache
        with Stream(model, [hook_point(model.network, name) for name in names]) as stream:
            passes = [stream.feed(ids[:cut]), *(stream.feed([token]) for token in ids[cut:])]
            predicted = torch.stack([row for p in passes for row in stream.logits(p.hidden)])
        torch.testing.assert_close(predicted, logits[0], atol=1e-4, rtol=1e-4)
        for name in names:
            found = torch.cat([p.captured[name] for p in passes])
            torch.testing.assert_close(
                found, cache[name][0].flatten(1), atol=5e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_direct_effects_add_up_to_the_logit(model: Model):
    """The direction of a token, applied to the whole residual stream, is its logit: nothing of the path is missing."""
    path = direct_path(model)
    with Stream(model, []) as stream:
        residuals: list[torch.Tensor] = []
        handle = path.norm.register_forward_pre_hook(lambda module, args: residuals.append(args[0][0]))
        result = stream.feed(model.tokens(PROMPT))
        handle.remove()
        logits = model.network.get_output_embeddings()(result.hidden)  # before Gemma's cap
    bias = getattr(path.norm, "bias", None)
    for position, residual in enumerate(residuals[0]):
        direct = residual @ path.direction(residual, 7)
        constant = bias @ path.unembed[7] if bias is not None else 0
        assert float(direct + constant) == pytest.approx(float(logits[position, 7]), abs=1e-3, rel=1e-4)


def test_a_session_runs_and_its_taps_come_off(model: Model, tmp_path: Path):
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), model, lambda stage: None)
    *steps, end = generate(model, [sae], model.tokens(PROMPT), Settings(max_tokens=6, seed=1), lambda: False)
    assert end.reason in ("max_tokens", "end_of_text") and len(steps) > len(model.tokens(PROMPT))
    assert all(step.saes[sae.spec.id].l0 for step in steps[1:])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_places_that_do_not_exist_are_refused(model: Model):
    for name in ("blocks.9.hook_resid_pre", "blocks.0.hook_nothing", "hook_embed", "blocks.x.hook_resid_pre"):
        with pytest.raises(WeightsError, match="no hook point") as error:
            hook_point(model.network, name)
        assert error.value.hint
