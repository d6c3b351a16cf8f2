"""SAEs read as SAELens reads them, whatever their architecture; what cannot be honoured is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_model import CONTEXT, FEATURES, WIDTH, make_model, make_sae
from sae_lens import SAE
from transformer_lens.model_bridge import TransformerBridge

from axon_shell.engine.attribution import direct_effects, direct_path, way_to_residual
from axon_shell.engine.hooks import FINAL_RESIDUAL
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, first_token, load_sae
from axon_shell.engine.stream import Stream
from axon_shell.errors import WeightsError

CPU = torch.device("cpu")
TEXT = "the cat sat on the mat and the dog"


def quiet(stage: str) -> None:
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("model")), CPU, quiet)


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox", "gemma2"])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp(request.param), family=request.param), CPU, quiet)


def captured(model: Model, sae: Sae) -> tuple[torch.Tensor, torch.Tensor]:
    with Stream(model, sae.hooks, CONTEXT) as stream:
        found = stream.feed(model.tokens(TEXT, model.bos)).captured
    return found[sae.spec.hook], found[sae.target]


# name: settings of the SAE
KINDS: dict[str, dict[str, Any]] = {
    "standard": {},
    "gated": {},
    "jumprelu": {"normalize_activations": "layer_norm"},
    "topk": {"k": 12, "normalize_activations": "layer_norm"},
    "rescaled": {"architecture": "topk", "k": 12, "rescale_acts_by_decoder_norm": True},
    "constant": {"architecture": "standard", "normalize_activations": "constant_norm_rescale"},
    "input bias": {"architecture": "standard", "apply_b_dec_to_input": True},
    "matching_pursuit": {"max_iterations": 9, "apply_b_dec_to_input": True},
    "matching_pursuit without bias": {
        "architecture": "matching_pursuit",
        "max_iterations": 9,
        "apply_b_dec_to_input": False,
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_post", "blocks.1.attn.hook_z"])
def test_every_architecture_reads_as_sae_lens_does(model: Model, tmp_path: Path, kind: str, hook: str) -> None:
    sae = load_sae(make_sae(tmp_path, hook, **{"architecture": kind} | KINDS[kind]), model, quiet)
    x, _ = captured(model, sae)
    reference = SAE.load_from_disk(tmp_path)
    if hook.endswith("_z"):
        reference.turn_off_forward_pass_hook_z_reshaping()
    with torch.no_grad():
        activations = reference.encode(x)
        x_hat = reference.decode(activations)
        reference.encode(x)  # SAELens forgets the normalisation once it has decoded
        constant = reference.decode(torch.zeros_like(activations))
    agrees(sae, x, x, activations, x_hat, constant)


@pytest.mark.parametrize("kind", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"])
@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_mid", "blocks.1.mlp.hook_in", "blocks.1.ln2.hook_normalized"])
def test_transcoders_read_one_place_and_reconstruct_another(model: Model, tmp_path: Path, kind: str, hook: str) -> None:
    spec = make_sae(tmp_path, hook, architecture=kind, metadata={"hook_name_out": "blocks.1.hook_mlp_out"})
    sae = load_sae(spec, model, quiet)
    assert sae.target == "blocks.1.hook_mlp_out"
    x, target = captured(model, sae)
    oracle = TransformerBridge.boot_transformers(str(model.spec.weights), device="cpu", dtype=torch.float32)
    reference = SAE.load_from_disk(tmp_path)
    with torch.no_grad():
        _, cache = oracle.run_with_cache(torch.tensor([model.tokens(TEXT, model.bos)]))
        torch.testing.assert_close(x, cache[hook][0], atol=5e-5, rtol=1e-4)
        torch.testing.assert_close(target, cache[sae.target][0], atol=5e-5, rtol=1e-4)
        activations, x_hat = reference.encode(x), reference.forward(x)
        constant = x_hat - activations @ reference.W_dec
    agrees(sae, x, target, activations, x_hat, constant)


def agrees(
    sae: Sae,
    x: torch.Tensor,
    target: torch.Tensor,
    activations: torch.Tensor,
    x_hat: torch.Tensor,
    constant: torch.Tensor,
) -> None:
    """What an SAE finds equals what SAELens gave; its rows and gains add up to the reconstruction."""
    unexplained = (target - x_hat).square().sum(-1) / (target - target.mean(-1, keepdim=True)).square().sum(-1)
    found = sae.read(x, target, FEATURES)
    assert found.l0.tolist() == (activations > 0).sum(-1).tolist() and found.l0.min() > 0
    spread = torch.zeros_like(activations).scatter(-1, found.features, found.activations)
    torch.testing.assert_close(spread, activations, atol=1e-6, rtol=1e-5)
    assert (found.activations.diff(dim=-1) <= 0).all()  # strongest first
    torch.testing.assert_close(found.unexplained, unexplained, atol=1e-5, rtol=1e-4)
    parts = sae.rows(found.features) * (found.activations * found.gains)[:, :, None]
    torch.testing.assert_close(parts.sum(1) + constant, x_hat, atol=1e-4, rtol=1e-4)
    active = activations > 0
    few, all_rows = sae.sum_of_active_rows(activations, active, found.l0), sae.sum_of_all_rows(activations)
    torch.testing.assert_close(few, all_rows, atol=1e-4, rtol=1e-4)  # a GPU takes the second way
    fewer = sae.read(x, target, 5)
    assert fewer.features.tolist() == found.features[:, :5].tolist()


def test_effects_of_heads_go_through_their_output_weights(any_model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.2.attn.hook_z"), any_model, quiet)
    way = way_to_residual(any_model, sae.target)
    ids = any_model.tokens(TEXT, any_model.bos)
    with Stream(any_model, [FINAL_RESIDUAL, *sae.hooks], CONTEXT) as stream:
        result = stream.feed(ids)
    residual, z = result.captured[FINAL_RESIDUAL], result.captured[sae.spec.hook]
    tokens = torch.tensor([*ids[1:], 7])
    path = direct_path(any_model)
    directions = path.directions(residual, tokens)
    found = sae.read(z, z, 6)
    if any_model.spec.family == "gemma2":  # normalises what the heads add
        assert way is False and direct_effects(found, sae, way, directions) is None
        return
    output = any_model.adapter.get_component(any_model.network, "blocks.2.attn.o")
    bias = output(torch.zeros(1, 1, WIDTH))[0, 0]
    parts = output(sae.rows(found.features) * found.activations[:, :, None]) - bias  # what is written to the stream
    expected = (parts * directions[:, None]).sum(-1)
    torch.testing.assert_close(direct_effects(found, sae, way, directions), expected.detach(), atol=1e-4, rtol=1e-3)


def test_features_inside_a_block_have_no_direct_effect(model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.mlp.hook_in"), model, quiet)
    assert way_to_residual(model, sae.target) is False


# -- what metadata demands ----------------------------------------------------


def test_centring_is_for_places_that_centred_weights_write_to(model: Model, tmp_path: Path) -> None:
    for hook, centred in (("blocks.1.hook_resid_pre", True), ("blocks.1.attn.hook_z", False)):
        sae = load_sae(make_sae(tmp_path / hook, hook, centre=True), model, quiet)
        assert sae.centre is centred


def test_the_text_begins_as_the_saes_were_trained(model: Model, tmp_path: Path) -> None:
    saes = {
        wish: load_sae(
            make_sae(tmp_path / str(wish), "blocks.1.hook_resid_pre", metadata={"prepend_bos": wish}, id=f"r/{wish}"),
            model,
            quiet,
        )
        for wish in (True, False, None)
    }
    without = replace(model, spec=replace(model.spec, prepend_bos=False))
    assert first_token(model, [saes[True], saes[None]]) == model.bos
    assert first_token(model, [saes[False], saes[None]]) is None
    assert first_token(model, [saes[None]]) == first_token(model, []) == model.bos
    assert first_token(without, [saes[None]]) is None and first_token(without, [saes[True]]) == model.bos
    with pytest.raises(WeightsError, match=r"r/True.*r/False") as error:
        first_token(model, [saes[True], saes[False]])
    assert "one after the other" in error.value.hint


def test_notes_say_what_to_know_beforehand(model: Model, tmp_path: Path) -> None:
    def notes(name: str, hook: str = "blocks.1.hook_resid_pre", **metadata: Any) -> str:
        return " ".join(load_sae(make_sae(tmp_path / name, hook, metadata=metadata), model, quiet).notes)

    assert notes("plain", context_size=1024) == ""
    assert "texts of 16 tokens" in notes("short", context_size=16)
    assert "gpt2-xl, not on Random" in notes("other", model_name="openai-community/gpt2-xl")
    assert "bridge" in notes("slow", "blocks.1.attn.hook_q")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"architecture": "temporal", "n_heads": 2, "bottleneck_factor": 8}, "all tokens before"),
        ({"architecture": "abstopk", "k": 8}, "two directions"),
        ({"normalize_activations": "expected_average_only_in"}, "average length"),
        ({"normalize_activations": "covariance_whitening"}, "whitening"),
        ({"metadata": {"hook_head_index": 3}}, "head 3 alone"),
        ({"metadata": {"model_from_pretrained_kwargs": {"fold_value_biases": True}}}, "fold_value_biases"),
        ({"metadata": {"model_from_pretrained_kwargs": {"checkpoint_index": 5}}}, "checkpoint_index"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(
    model: Model, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    spec = make_sae(tmp_path, "blocks.1.hook_resid_post", **settings)
    with pytest.raises(WeightsError, match=f"cannot be used: .*{says}") as error:
        load_sae(spec, model, quiet)
    assert error.value.hint
    known = replace(spec, refused="it is known beforehand")
    with pytest.raises(WeightsError, match="known beforehand"):
        load_sae(known, model, quiet)


def test_an_sae_that_does_not_fit_is_refused(model: Model, tmp_path: Path) -> None:
    good = make_sae(tmp_path / "good", "blocks.1.hook_resid_pre")
    for spec, says in [
        (make_sae(tmp_path / "wide", "blocks.1.hook_resid_pre", width=64), f"64 numbers at .* Random has {WIDTH}"),
        (make_sae(tmp_path / "z", "blocks.1.attn.hook_z", width=24), "24 numbers at blocks.1.attn.hook_z"),
        (replace(good, hook="blocks.2.hook_resid_pre"), "was trained at"),
        (make_sae(tmp_path / "far", "blocks.9.hook_resid_pre"), "no hook point"),
        (make_sae(tmp_path / "square", "blocks.1.attn.hook_pattern"), "no vector for each token"),
        (replace(good, width=FEATURES + 1), "registered with"),
        (replace(good, weights=tmp_path / "nowhere"), "missing"),
    ]:
        with pytest.raises(WeightsError, match=says) as error:
            load_sae(spec, model, quiet)
        assert error.value.hint
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())
