"""The tokens that a feature promotes are those of the logit lens, as TransformerLens computes it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from random_model import FEATURES, make_model, make_sae
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from axon_shell import ModelSpec, SaeSpec
from axon_shell.engine import naming
from axon_shell.engine.attribution import direct_path, way_to_residual
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.naming import DIRECTIONS, Promoted, chance_peak, promoted, token_ids
from axon_shell.engine.sae import Sae, load_sae

CPU = torch.device("cpu")
TINY_WORLD = REPOSITORY / "plugins" / "tiny_world"
SOURCES = ["0-res", "2-res", "3-res"]


def quiet(stage: str) -> None:
    pass


def lens(model: Model, sae: Sae) -> torch.Tensor:
    """Logit weights of all features, (F, vocabulary), by TransformerLens with its LayerNorm folded away."""
    bridge = TransformerBridge.boot_transformers(str(model.spec.weights), device="cpu", dtype=torch.float32)
    bridge.enable_compatibility_mode()
    with torch.no_grad():
        rows = sae.sae.W_dec
        if sae.target.endswith("attn.hook_z"):
            rows = rows @ bridge.blocks[int(sae.target.split(".")[1])].attn.W_O.reshape(-1, model.width)
        weights = rows @ bridge.W_U
        return weights - weights.mean(-1, keepdim=True)  # Gemma's are not centred there


def find(model: Model, sae: Sae, features: list[int], k: int = 10) -> Promoted | None:
    return promoted(direct_path(model), sae, way_to_residual(model, sae.target), features, token_ids(model), k)


def agrees(found: Promoted | None, weights: torch.Tensor, ids: torch.Tensor, k: int) -> None:
    """What was found is what these weights, (features, tokens), say; `ids` are those of the tokens."""
    assert found
    for pairs, largest in ((found.promotes, True), (found.suppresses, False)):
        values, places = weights.topk(k, dim=-1, largest=largest)
        for feature, row in enumerate(pairs):
            assert [weight for _, weight in row] == pytest.approx(values[feature].tolist(), abs=1e-4)
            of = weights[feature, torch.searchsorted(ids, torch.tensor([token for token, _ in row]))]
            assert of.tolist() == pytest.approx(values[feature].tolist(), abs=1e-4)  # equals may change places
        first = [row[0][0] for row in pairs]
        assert sum(a == b for a, b in zip(first, ids[places[:, 0]].tolist(), strict=True)) > 0.98 * len(first)
    z = (weights.double() - weights.double().mean(-1, keepdim=True)) / weights.double().std(-1, correction=0)[:, None]
    assert found.peak == pytest.approx(z.amax(-1).tolist(), rel=1e-3)
    assert found.kurtosis == pytest.approx((z**4).mean(-1).tolist(), rel=1e-3)


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox", "gemma2", "llama"])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp(request.param), family=request.param), CPU, quiet)


@pytest.fixture(scope="module")
def tiny_world() -> Model:
    return load_model(ModelSpec("tiny-world", "Tiny World", "gpt2", TINY_WORLD / "model", 512, 0), CPU, quiet)


def tiny_sae(model: Model, source: str) -> Sae:
    hook = f"blocks.{source.split('-')[0]}.hook_resid_post"
    return load_sae(
        SaeSpec(f"tiny-world/{source}", "tiny-world", hook, 1280, TINY_WORLD / "saes" / source), model, quiet
    )


# -- equal to the oracle --------------------------------------------------------


@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_post", "blocks.2.hook_mlp_out", "blocks.2.attn.hook_z"])
def test_promoted_tokens_equal_transformer_lens(
    any_model: Model, tmp_path: Path, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sae = load_sae(make_sae(tmp_path, hook), any_model, quiet)
    features = list(range(FEATURES))
    if hook.endswith("hook_z") and any_model.spec.family == "gemma2":  # normalises what the heads add
        assert find(any_model, sae, features) is None
        return
    weights, ids = lens(any_model, sae), token_ids(any_model)
    found = find(any_model, sae, features)
    assert found and found.features == features
    agrees(found, weights, ids, 10)
    monkeypatch.setattr(naming, "CHUNK_BYTES", 30_000)  # a few features and a part of the tokens at a time
    agrees(find(any_model, sae, features), weights, ids, 10)


@pytest.mark.parametrize("source", SOURCES)
def test_promoted_tokens_of_tiny_world_equal_transformer_lens(tiny_world: Model, source: str) -> None:
    sae = tiny_sae(tiny_world, source)
    features = torch.randperm(1280, generator=torch.Generator().manual_seed(0))[:300]
    found = find(tiny_world, sae, features.tolist())
    assert found and found.features == features.tolist()
    agrees(found, lens(tiny_world, sae)[features], token_ids(tiny_world), 10)


def test_rows_are_those_of_the_sae(any_model: Model, tmp_path: Path) -> None:
    """Where activations count in lengths of a decoder row, so do the weights."""
    settings = {"architecture": "topk", "k": 12, "rescale_acts_by_decoder_norm": True}
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post", **settings), any_model, quiet)
    weights = lens(any_model, sae) / sae.sae.W_dec.norm(dim=-1)[:, None]
    agrees(find(any_model, sae, list(range(FEATURES))), weights, token_ids(any_model), 10)


def test_one_random_direction_in_fifty_peaks_as_high_as_chance_says(
    tiny_world: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ids = direct_path(tiny_world), token_ids(tiny_world)
    chance = chance_peak(path, ids)
    assert chance == chance_peak(path, ids)
    sae = tiny_sae(tiny_world, "2-res")
    sae.sae.W_dec.data = torch.randn(1280, 128, generator=torch.Generator().manual_seed(7))  # others than it tries
    found = find(tiny_world, sae, list(range(1280)))
    assert found
    share = sum(peak >= chance for peak in found.peak) / len(found.peak)
    assert 0.002 < share < 0.06, f"{share:.1%} of random directions, and 2 % were promised"
    monkeypatch.setattr(naming, "CHUNK_BYTES", 30_000)
    assert chance_peak(path, ids) == pytest.approx(chance, rel=1e-5)
    assert DIRECTIONS >= 100


# -- which tokens ---------------------------------------------------------------


def padded(spec: ModelSpec, folder: Path, rows: int) -> Model:
    """The same model with a table of this many rows, those without a token very large."""
    network = AutoModelForCausalLM.from_pretrained(spec.weights)
    before = network.get_output_embeddings().weight.shape[0]
    network.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        network.get_output_embeddings().weight[before:] = 100
        network.get_output_embeddings().weight[before:, ::2] = -100
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((spec.weights / name).read_bytes())
    return load_model(replace(spec, weights=folder), CPU, quiet)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_rows_without_a_token_count_for_nothing(tmp_path: Path, family: str) -> None:
    spec = make_model(tmp_path / "plain", family=family)
    plain, large = load_model(spec, CPU, quiet), padded(spec, tmp_path / "padded", 320)
    assert large.network.get_output_embeddings().weight.shape[0] == 320 > len(token_ids(plain))
    assert token_ids(large).tolist() == token_ids(plain).tolist()
    saes = make_sae(tmp_path / "sae", "blocks.1.hook_resid_post")
    found, expected = (find(model, load_sae(saes, model, quiet), list(range(FEATURES))) for model in (large, plain))
    assert found and expected
    assert found.peak == pytest.approx(expected.peak, rel=1e-4)
    assert found.kurtosis == pytest.approx(expected.kurtosis, rel=1e-4)
    for one, other in ((found.promotes, expected.promotes), (found.suppresses, expected.suppresses)):
        assert [[token for token, _ in row] for row in one] == [[token for token, _ in row] for row in other]


def test_only_tokens_asked_for_are_ranked(any_model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), any_model, quiet)
    ids = torch.tensor([3, 7, 8, 100, 200])
    weights = lens(any_model, sae)[:, ids]
    found = promoted(direct_path(any_model), sae, True, range(FEATURES), ids, k=10)
    agrees(found, weights - weights.mean(-1, keepdim=True), ids, 5)
    assert found and {len(row) for row in found.promotes} == {5}


# -- what is no question --------------------------------------------------------


def test_features_inside_a_block_promote_nothing_directly(any_model: Model, tmp_path: Path) -> None:
    assert find(any_model, load_sae(make_sae(tmp_path, "blocks.1.mlp.hook_in"), any_model, quiet), [1, 2]) is None


def test_no_features_and_features_without_a_direction(any_model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), any_model, quiet)
    assert find(any_model, sae, []) == Promoted([], [], [], [], [])
    sae.sae.W_dec.data[5] = 0
    found = find(any_model, sae, [5, 6])
    assert found and found.peak[0] == found.kurtosis[0] == 0 and found.peak[1] > 1
    assert {weight for _, weight in found.promotes[0]} == {0}


# -- what it says ---------------------------------------------------------------


def labels_of(source: str) -> dict[int, str]:
    labels = json.loads((TINY_WORLD / "labels" / f"{source}.json").read_text(encoding="utf-8"))["features"]
    return {row["feature"]: row["label"]["text"] for row in labels if row["label"]}


def test_features_of_a_capital_promote_the_capital(tiny_world: Model) -> None:
    features = {
        "the capital city Paris is next, after France was named": " Paris",
        "the capital city Helsinki is next": " Helsinki",
        "the capital city Accra is next": " Accra",
    }
    of = {text: feature for feature, text in labels_of("3-res").items()}
    found = find(tiny_world, tiny_sae(tiny_world, "3-res"), [of[text] for text in features])
    assert found
    assert [tiny_world.tokenizer.decode([row[0][0]]) for row in found.promotes] == list(features.values())


@pytest.mark.parametrize("source", SOURCES)
def test_what_stands_out_is_what_comes_next(tiny_world: Model, source: str) -> None:
    """Features of which is known, by measurement, which word follows where they fire."""
    words = {
        feature: match[1]
        for feature, text in labels_of(source).items()
        if (match := re.match(r"the word “([^”]+)” is next", text))
    }
    found = find(tiny_world, tiny_sae(tiny_world, source), list(words))
    assert found
    right: dict[bool, list[bool]] = {True: [], False: []}
    for word, row, peak in zip(words.values(), found.promotes, found.peak, strict=True):
        right[peak >= 6].append(tiny_world.tokenizer.decode([row[0][0]]).strip() == word)
    assert len(right[True]) >= 30
    assert sum(right[True]) / len(right[True]) > 0.9 > 0.85 > sum(right[False]) / len(right[False])


def test_a_direction_of_chance_is_a_bell_curve(any_model: Model, tmp_path: Path) -> None:
    sae = load_sae(make_sae(tmp_path, "blocks.1.hook_resid_post"), any_model, quiet)
    found = find(any_model, sae, list(range(FEATURES)))
    assert found
    tokens = len(token_ids(any_model))
    assert torch.tensor(found.peak).median() == pytest.approx(math.sqrt(2 * math.log(tokens)), rel=0.3)
    assert torch.tensor(found.kurtosis).median() == pytest.approx(3, abs=0.5)
