"""SAEs in other libraries' formats give what those libraries give: their formulas, written out by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_hub import local_hub
from random_model import (
    CONTEXT,
    FEATURES,
    WIDTH,
    arrays,
    dictionary,
    gemma_scope_2_sae,
    gemma_scope_sae,
    make_model,
    sae_lens_files,
    sparsify_sae,
)
from sae_lens.loading import pretrained_sae_loaders as loaders

from axon_shell import hub as hub_module
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.stream import Stream
from axon_shell.errors import WeightsError
from axon_shell.published import files_of, published_sae
from axon_shell.records import SaeFiles, SaeSpec

CPU = torch.device("cpu")
TEXT = "the cat sat on the mat and the dog"
POST, MLP = "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out"
Array = torch.Tensor


def quiet(stage: str) -> None:
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("model")), CPU, quiet)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("gemma"), family="gemma3"), CPU, quiet)


def load(model: Model, weights: Path | SaeFiles, hook: str = "") -> Sae:
    return load_sae(SaeSpec("random/x", "random", hook, 0, weights), model, quiet)


def seen(model: Model, sae: Sae) -> tuple[Array, Array]:
    """The vectors that an SAE reads, and those that it reconstructs."""
    with Stream(model, sae.hooks, CONTEXT) as stream:
        found = stream.feed(model.tokens(TEXT, model.bos)).captured
    return found[sae.spec.hook], found[sae.target]


def agrees(model: Model, sae: Sae, acts: Array, y_hat: Array) -> None:
    """Features, activations and reconstruction are those of a formula."""
    x, target = (y[1:] for y in seen(model, sae))  # Gemma's BOS is its padding: nothing but zeros
    acts, y_hat = acts[1:], y_hat[1:]
    found = sae.read(x, target, FEATURES)
    assert found.l0.min() > 0 and found.l0.float().mean() < FEATURES * 0.9
    assert found.l0.tolist() == (acts > 0).sum(-1).tolist()
    spread = torch.zeros_like(acts).scatter(-1, found.features, found.activations)
    torch.testing.assert_close(spread, acts, atol=1e-5, rtol=1e-4)
    unexplained = (target - y_hat).square().sum(-1) / (target - target.mean(-1, keepdim=True)).square().sum(-1)
    torch.testing.assert_close(found.unexplained, unexplained, atol=1e-5, rtol=1e-4)


def jump(pre: Array, threshold: Array | float) -> Array:
    return pre.relu() * (pre > threshold)


def topk(pre: Array, k: int) -> Array:
    best = pre.relu().topk(k)
    return torch.zeros_like(pre).scatter(-1, best.indices, best.values)


def halved(a: dict[str, Array]) -> dict[str, Array]:
    """What is left of numbers in half precision."""
    return {name: tensor.bfloat16().float() for name, tensor in a.items()}


# -- SAELens ------------------------------------------------------------------

OLD = {"model_name": "random", "hook_point": POST, "hook_point_layer": 1, "context_size": 128, "lr": 4e-4}
FIVE = {"model_name": "random", "hook_name": POST, "hook_layer": 1, "hook_head_index": None, "prepend_bos": True}
SIX = {"metadata": {"sae_lens_version": "6.5.0", "model_name": "random", "hook_name": POST, "prepend_bos": True}}
PLAIN = {"normalize_activations": "none", "apply_b_dec_to_input": True}
LAYER_NORM = {"normalize_activations": "layer_norm", "apply_b_dec_to_input": True}


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        (OLD, "standard"),  # before hook points were called hook_name; everything else is what it was by default
        (FIVE | PLAIN | {"architecture": "standard", "activation_fn_str": "relu"}, "standard"),
        (FIVE | LAYER_NORM | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 9}}, "topk"),
        (FIVE | PLAIN | {"architecture": "jumprelu", "apply_b_dec_to_input": False}, "jumprelu"),
        (SIX | PLAIN | {"architecture": "standard"}, "standard"),
        (SIX | LAYER_NORM | {"architecture": "topk", "k": 9}, "topk"),
        (SIX | PLAIN | {"architecture": "jumprelu", "apply_b_dec_to_input": False}, "jumprelu"),
        (SIX | PLAIN | {"architecture": "gated"}, "gated"),
    ],
)
def test_sae_lens_old_and_new(model: Model, tmp_path: Path, about: dict[str, Any], kind: str) -> None:
    a = arrays(WIDTH, FEATURES, 1)
    shared = {name: a[name] for name in ("W_enc", "W_dec", "b_dec")}
    gated = {"r_mag": a["threshold"], "b_gate": a["b_enc"], "b_mag": a["b_enc"].flip(0)}
    more = {"gated": gated, "jumprelu": {"b_enc": a["b_enc"], "threshold": a["threshold"]}}
    sae_lens_files(tmp_path, about, shared | more.get(kind, {"b_enc": a["b_enc"]}))
    sae = load(model, tmp_path)
    assert sae.spec.hook == POST and sae.spec.width == FEATURES and sae.prepend_bos is True
    x, _ = seen(model, sae)
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    normal = about.get("normalize_activations") == "layer_norm"
    v = (x - mean) / (std + 1e-5) if normal else x
    pre = (v if kind == "jumprelu" else v - a["b_dec"]) @ a["W_enc"]
    acts = {
        "standard": lambda: (pre + a["b_enc"]).relu(),
        "topk": lambda: topk(pre + a["b_enc"], 9),
        "jumprelu": lambda: jump(pre + a["b_enc"], a["threshold"]),
        "gated": lambda: (pre + a["b_enc"] > 0) * (pre * a["threshold"].exp() + a["b_enc"].flip(0)).relu(),
    }[kind]()
    y_hat = acts @ a["W_dec"] + a["b_dec"]
    agrees(model, sae, acts, y_hat * std + mean if normal else y_hat)


# -- sparsify -----------------------------------------------------------------


def by_sparsify(x: Array, features: int = FEATURES, k: int = 12, seed: int = 1) -> tuple[Array, Array]:
    """`SparseCoder.encode` and `decode`: the decoder's bias comes off, a linear layer, ReLU, the k largest."""
    a = halved(arrays(WIDTH, features, seed))
    acts = topk(torch.nn.functional.linear(x - a["b_dec"], a["W_enc"].T, a["b_enc"]), k)
    return acts, acts @ a["W_dec"] + a["b_dec"]


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("layers.1", POST),
        ("h.1", POST),
        ("layers.1.mlp", MLP),  # the output of GPT-2's MLP, which is added to the residual stream as it is
        ("h.1.attn", "blocks.1.hook_attn_out"),
        ("wte", "hook_embed"),
    ],
)
def test_sparsify_reads_the_part_that_its_folder_is_named_after(
    model: Model, tmp_path: Path, name: str, hook: str
) -> None:
    sparsify_sae(tmp_path / "run" / name)
    sae = load(model, SaeFiles("sparsify", tmp_path / "run" / name))
    assert sae.spec.hook == sae.target == hook
    agrees(model, sae, *by_sparsify(seen(model, sae)[0]))


def test_what_gemma_normalises_first_is_not_its_mlps_part_of_the_residual_stream(gemma: Model, tmp_path: Path) -> None:
    sparsify_sae(tmp_path / "layers.1.mlp")
    sae = load(gemma, SaeFiles("sparsify", tmp_path / "layers.1.mlp"))
    assert sae.spec.hook == "blocks.1.mlp.hook_out"
    found = []
    handle = gemma.network.model.layers[1].mlp.register_forward_hook(lambda module, args, output: found.append(output))
    x, _ = seen(gemma, sae)
    handle.remove()
    assert torch.equal(x, found[-1][0])
    agrees(gemma, sae, *by_sparsify(x))


def test_sparsify_in_a_folder_of_any_name_needs_a_hook(model: Model, tmp_path: Path) -> None:
    sparsify_sae(tmp_path / "mine")
    with pytest.raises(WeightsError, match="do not say which place") as error:
        load(model, SaeFiles("sparsify", tmp_path / "mine"))
    assert "`hook`" in error.value.hint
    sae = load(model, SaeFiles("sparsify", tmp_path / "mine"), "blocks.2.hook_resid_pre")
    assert sae.spec.hook == "blocks.2.hook_resid_pre"
    agrees(model, sae, *by_sparsify(seen(model, sae)[0]))


@pytest.mark.parametrize(
    "changes",
    [{"num_latents": 0, "expansion_factor": 5}, {"normalize_decoder": False}, {"multi_topk": True}, {"signed": False}],
)
def test_what_sparsifys_description_may_say_and_leaves_the_formula_as_it_is(
    model: Model, tmp_path: Path, changes: dict[str, Any]
) -> None:
    sparsify_sae(tmp_path / "layers.1", **changes)
    sae = load(model, SaeFiles("sparsify", tmp_path / "layers.1"))
    agrees(model, sae, *by_sparsify(seen(model, sae)[0]))


def test_a_square_decoder_is_not_turned_around(model: Model, tmp_path: Path) -> None:
    """With as many features as numbers, rows and columns could be mistaken for each other without an error."""
    sparsify_sae(tmp_path / "layers.1", features=WIDTH)
    sae = load(model, SaeFiles("sparsify", tmp_path / "layers.1"))
    agrees(model, sae, *by_sparsify(seen(model, sae)[0], features=WIDTH))


@pytest.mark.parametrize(
    "changes",
    [
        {"transcode": True},
        {"skip_connection": True},
        {"signed": True},
        {"activation": "groupmax"},
        {"embed_skip": True},
        {"gram_lookup": True},
    ],
)
def test_what_sparsify_does_and_saelens_cannot_is_refused(
    model: Model, tmp_path: Path, changes: dict[str, Any]
) -> None:
    sparsify_sae(tmp_path / "layers.1", **changes)
    with pytest.raises(WeightsError, match=f"cannot be used: .*{next(iter(changes))}") as error:
        load(model, SaeFiles("sparsify", tmp_path / "layers.1"))
    assert error.value.hint


# -- dictionary_learning ------------------------------------------------------


def by_dictionary_learning(kind: str, x: Array, seed: int = 1) -> tuple[Array, Array]:
    """What the library's classes do, but for the decoder rows' lengths, which are 1 here."""
    a = arrays(WIDTH, FEATURES, seed)
    inner = x if kind == "JumpReluAutoEncoder" else x - a["b_dec"]
    pre = inner @ a["W_enc"] + a["b_enc"]
    if kind == "GatedAutoEncoder":
        bare = pre - a["b_enc"]
        acts = (pre > 0) * (a["threshold"].exp() * bare + a["b_enc"].flip(0)).relu()
    elif kind == "AutoEncoder":
        acts = pre.relu()
    elif kind == "AutoEncoderTopK":
        acts = topk(pre, 12)
    else:
        acts = jump(pre, a["threshold"] if kind == "JumpReluAutoEncoder" else 0.4)
    return acts, acts @ a["W_dec"] + a["b_dec"]


@pytest.mark.parametrize(
    "kind",
    [
        "AutoEncoder",
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "MatryoshkaBatchTopKSAE",
        "JumpReluAutoEncoder",
        "GatedAutoEncoder",
    ],
)
def test_every_class_of_dictionary_learning(model: Model, tmp_path: Path, kind: str) -> None:
    dictionary(tmp_path, kind)
    sae = load(model, SaeFiles("dictionary_learning_1", tmp_path))
    assert sae.spec.hook == POST
    assert all(weight.is_contiguous() for weight in sae.sae.parameters())
    agrees(model, sae, *by_dictionary_learning(kind, seen(model, sae)[0]))


@pytest.mark.parametrize(
    ("trainer", "buffer", "hook"),
    [
        ({"submodule_name": "mlp_out_layer_1"}, {}, MLP),
        ({"submodule_name": "attn_out_layer_1"}, {}, "blocks.1.hook_attn_out"),
        ({"submodule_name": None, "layer": 2}, {}, "blocks.2.hook_resid_post"),
        ({"submodule_name": "mlp_layer_1"}, {"io": "in"}, "blocks.1.mlp.hook_in"),
        ({}, {"io": "in"}, "blocks.1.hook_resid_pre"),
        ({"layer": None}, {}, ""),
        ({}, {"io": "in_and_out"}, ""),
    ],
)
def test_dictionary_learning_reads_the_place_that_it_was_trained_at(
    model: Model, tmp_path: Path, trainer: dict[str, Any], buffer: dict[str, Any], hook: str
) -> None:
    """SAELens takes every one of them for an SAE of the residual stream after the layer."""
    dictionary(tmp_path, "AutoEncoder", trainer=trainer, buffer=buffer)
    if not hook:
        with pytest.raises(WeightsError, match="do not say which place"):
            load(model, SaeFiles("dictionary_learning_1", tmp_path))
        return
    sae = load(model, SaeFiles("dictionary_learning_1", tmp_path))
    assert sae.spec.hook == hook
    agrees(model, sae, *by_dictionary_learning("AutoEncoder", seen(model, sae)[0]))


def test_a_dictionary_trained_from_other_than_the_librarys_buffer(model: Model, tmp_path: Path) -> None:
    dictionary(tmp_path, "AutoEncoder")
    about = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(about[: about.index(',\n  "buffer"')] + "}")
    sae = load(model, SaeFiles("dictionary_learning_1", tmp_path))
    agrees(model, sae, *by_dictionary_learning("AutoEncoder", seen(model, sae)[0]))


def test_a_class_that_saelens_does_not_convert_is_refused(model: Model, tmp_path: Path) -> None:
    dictionary(tmp_path, "AutoEncoderNew")
    with pytest.raises(WeightsError, match="does not convert the class AutoEncoderNew") as error:
        load(model, SaeFiles("dictionary_learning_1", tmp_path))
    assert "AutoEncoderTopK" in error.value.hint


# -- Gemma Scope --------------------------------------------------------------


def by_gemma_scope(x: Array, seed: int = 1) -> tuple[Array, Array]:
    """JumpReLU as the paper and its tutorial have it: the decoder's bias stays in the input."""
    a = arrays(WIDTH, FEATURES, seed)
    acts = jump(x @ a["W_enc"] + a["b_enc"], a["threshold"])
    return acts, acts @ a["W_dec"] + a["b_dec"]


@pytest.mark.parametrize(
    ("place", "hook"),
    [
        ("gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_82", POST),
        ("gemma-scope-9b-it-res/layer_1/width_16k/average_l0_82", POST),
        ("gemma-scope-2b-pt-mlp/layer_1/width_16k/average_l0_82", MLP),
        ("gemma-scope-2b-pt-att/layer_1/width_16k/average_l0_82", "blocks.1.attn.hook_z"),
    ],
)
def test_gemma_scope_is_placed_by_the_names_of_its_folders(model: Model, tmp_path: Path, place: str, hook: str) -> None:
    gemma_scope_sae(tmp_path / place)
    sae = load(model, SaeFiles("gemma_2", tmp_path / place))
    assert sae.spec.hook == hook and sae.spec.width == FEATURES  # by the arrays, whatever the folder says
    agrees(model, sae, *by_gemma_scope(seen(model, sae)[0]))


def test_gemma_scope_in_a_folder_of_any_name_needs_a_hook(model: Model, tmp_path: Path) -> None:
    gemma_scope_sae(tmp_path / "a-research-folder")
    with pytest.raises(WeightsError, match="do not say which place"):
        load(model, SaeFiles("gemma_2", tmp_path / "a-research-folder"))
    sae = load(model, SaeFiles("gemma_2", tmp_path / "a-research-folder"), "blocks.2.hook_resid_pre")
    agrees(model, sae, *by_gemma_scope(seen(model, sae)[0]))


@pytest.mark.parametrize(
    ("module", "hook"),
    [
        ("model.layers.1.output", POST),
        ("model.layers.1.self_attn.o_proj.input", "blocks.1.attn.hook_z"),
        ("model.layers.1.post_feedforward_layernorm.output", MLP),
    ],
)
def test_gemma_scope_2_reads_what_its_description_names(gemma: Model, tmp_path: Path, module: str, hook: str) -> None:
    gemma_scope_2_sae(tmp_path, hf_hook_point_in=module, hf_hook_point_out=module)
    sae = load(gemma, SaeFiles("gemma_3", tmp_path))
    assert sae.spec.hook == sae.target == hook
    x, _ = seen(gemma, sae)
    torch.testing.assert_close(x, through(gemma, module), atol=0, rtol=0)
    agrees(gemma, sae, *by_gemma_scope(x))


def through(model: Model, place: str) -> Array:
    """What passes one of Hugging Face's modules, as Gemma Scope 2 writes it: "model.layers.1.mlp.output"."""
    found: list[Array] = []
    name, _, side = place.rpartition(".")
    module = model.network.get_submodule(name)

    def take(module: torch.nn.Module, args: tuple, output: Any) -> None:
        found.append(args[0] if side == "input" else output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(take)
    with torch.no_grad():
        model.network(torch.tensor([model.tokens(TEXT, model.bos)]))
    handle.remove()
    return found[0][0]


@pytest.mark.parametrize("skip", [False, True])
def test_gemma_scope_2s_transcoders_read_what_goes_into_the_mlp(gemma: Model, tmp_path: Path, skip: bool) -> None:
    """SAELens calls that hook_mlp_in, which is the residual stream before the normalisation."""
    before, after = (f"model.layers.1.{side}_feedforward_layernorm.output" for side in ("pre", "post"))
    gemma_scope_2_sae(tmp_path, skip=skip, hf_hook_point_in=before, hf_hook_point_out=after, type="transcoder")
    sae = load(gemma, SaeFiles("gemma_3", tmp_path))
    assert (sae.spec.hook, sae.target) == ("blocks.1.mlp.hook_in", MLP)
    x, target = seen(gemma, sae)
    torch.testing.assert_close(x, through(gemma, before), atol=0, rtol=0)
    torch.testing.assert_close(target, through(gemma, after), atol=0, rtol=0)
    acts, y_hat = by_gemma_scope(x)
    # The skip connection is stored as (in, out): Gemma Scope 2's tutorial adds x @ affine_skip_connection.
    agrees(gemma, sae, acts, y_hat + x @ (0.2 * arrays(WIDTH, WIDTH, 2)["W_enc"]) if skip else y_hat)


@pytest.mark.parametrize("changes", [{"architecture": "topk"}, {"hf_hook_point_in": "model.vision_tower.output"}])
def test_gemma_scope_2_of_another_kind_is_refused(gemma: Model, tmp_path: Path, changes: dict[str, Any]) -> None:
    gemma_scope_2_sae(tmp_path, **changes)
    with pytest.raises(WeightsError) as error:
        load(gemma, SaeFiles("gemma_3", tmp_path))
    assert error.value.hint


# -- from the hub -------------------------------------------------------------


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose contents a hub on loopback serves; the cache is empty."""
    with local_hub(tmp_path / "served") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr(hub_module, "USERS_OFFLINE", None)
        yield served.root


CASES: dict[str, tuple[str, str, str]] = {
    "sae_lens": ("org/saes", "blocks.1.hook_resid_post", ""),
    "sparsify": ("org/sae-random", "layers.1", ""),
    "dictionary_learning_1": ("org/dictionaries", "resid_post_layer_1/trainer_0", ""),
    "gemma_2": ("google/gemma-scope-2b-pt-res", "layer_1/width_16k/average_l0_82", ""),
    "gemma_3": ("google/gemma-scope-2-1b-pt", "resid_post/layer_1_width_16k_l0_medium", ""),
    "gemma_2 at the root": ("org/mine", "", POST),
    "sparsify in depth": ("org/sae-random", "a/b/layers.1", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_format_from_a_repository(model: Model, repositories: Path, case: str) -> None:
    form = case.split()[0]
    repo, path, hook = CASES[case]
    folder = repositories / repo / path
    formula = by_gemma_scope
    match form:
        case "sae_lens":
            tensors = arrays(WIDTH, FEATURES, 1)
            sae_lens_files(folder, FIVE | PLAIN | {"architecture": "jumprelu", "apply_b_dec_to_input": False}, tensors)
        case "sparsify":
            sparsify_sae(folder)
            formula = by_sparsify
        case "dictionary_learning_1":
            dictionary(folder, "AutoEncoderTopK")

            def formula(x: Array) -> tuple[Array, Array]:
                return by_dictionary_learning("AutoEncoderTopK", x)

        case "gemma_2":
            gemma_scope_sae(folder)
        case "gemma_3":
            gemma_scope_2_sae(folder)
    files = files_of(repo, path, form)
    spec = SaeSpec("random/x", "random", hook, 0, SaeFiles(form, files, path))
    with pytest.raises(WeightsError, match="not on this machine") as error:
        load_sae(spec, model, quiet)
    assert "axon-shell download" in error.value.hint
    hub_module.fetch(files, False, lambda done, total: None, lambda: False)
    sae = load_sae(spec, model, quiet)
    assert sae.spec.hook == POST
    agrees(model, sae, *formula(seen(model, sae)[0]))
    if form == "sparsify":  # the settings of the training lie above
        assert "trained on org/random" not in " ".join(sae.notes) and sae.sae.cfg.metadata.context_size == 2048


def test_a_listed_transcoder_of_gemma_scope_2_is_put_at_its_place(
    gemma: Model, repositories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through SAELens's directory, which names 10,000 SAEs of Gemma Scope 2."""
    release, sae_id = "gemma-scope-2-1b-pt-transcoders-all", "layer_1_width_16k_l0_big"
    repo, path = "google/gemma-scope-2-1b-pt", f"transcoder_all/{sae_id}"
    before, after = (f"model.layers.1.{side}_feedforward_layernorm.output" for side in ("pre", "post"))
    gemma_scope_2_sae(repositories / repo / path, hf_hook_point_in=before, hf_hook_point_out=after)
    listed = published_sae(release, sae_id)
    hub_module.fetch(listed.files, False, lambda done, total: None, lambda: False)
    there = hub_module.snapshot(repo)
    assert there and listed.files == files_of(repo, path, "gemma_3")
    # SAELens asks the hub library, which read where its cache is when it was imported.
    monkeypatch.setattr(
        loaders, "hf_hub_download", lambda repo_id, filename, subfolder="", **_: str(there / subfolder / filename)
    )
    sae = load_sae(SaeSpec("random/t", "random", "", 0, listed), gemma, quiet)
    assert (sae.spec.hook, sae.target) == ("blocks.1.mlp.hook_in", MLP)
    agrees(gemma, sae, *by_gemma_scope(seen(gemma, sae)[0]))


# -- files that mean harm, or are damaged -------------------------------------


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("allowed", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_code_in_a_pickle_is_never_run(
    model: Model, tmp_path: Path, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary(tmp_path, "AutoEncoder")
    marker = tmp_path / "ran"
    torch.save({"encoder.weight": Evil(marker)}, tmp_path / "ae.pt")
    if allowed:  # a user's setting for other programs
        monkeypatch.setenv(allowed, "1")
        torch.load(tmp_path / "ae.pt")
        marker.unlink()
    with pytest.raises(WeightsError, match="never run") as error:
        load(model, SaeFiles("dictionary_learning_1", tmp_path))
    assert not marker.exists() and "safetensors" in error.value.hint
    assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == ("1" if allowed else None)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_code_among_numpys_arrays_is_never_run(model: Model, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    np.savez(tmp_path / "params.npz", W_enc=np.array([Evil(marker)], dtype=object))
    marker.unlink(missing_ok=True)
    with pytest.raises(WeightsError) as error:
        load(model, SaeFiles("gemma_2", tmp_path), POST)
    assert not marker.exists() and error.value.hint


@pytest.mark.parametrize("form", ["sparsify", "dictionary_learning_1", "gemma_2", "gemma_3"])
def test_a_file_that_was_cut_off_is_told(model: Model, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "layers.1"
    {
        "sparsify": sparsify_sae,
        "dictionary_learning_1": lambda folder: dictionary(folder, "AutoEncoder"),
        "gemma_2": gemma_scope_sae,
        "gemma_3": gemma_scope_2_sae,
    }[form](folder)
    (weights,) = (file for file in folder.iterdir() if file.suffix != ".json")
    weights.write_bytes(weights.read_bytes()[:-500])
    with pytest.raises(WeightsError) as error:
        load(model, SaeFiles(form, folder), POST)
    assert error.value.hint
