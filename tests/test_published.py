"""SAEs of SAELens's directory: listed without SAELens, fetched from a hub, loaded and read as the libraries do it.

The hub is on loopback and holds random weights of true format; the loading code is the libraries' own, unmodified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from local_hub import LocalHub, local_hub

from axon_shell import homes, published
from axon_shell.config import Config
from axon_shell.plugins import catalogue
from axon_shell.published import directory, features_of, files_of, hook_of, published_saes
from benchmarks import random_weights

PROMPT = "The capital of France is"


# -- the list -----------------------------------------------------------------


def test_every_published_sae_of_the_families_is_listed_with_its_place_and_size() -> None:
    offered = catalogue(Config())
    counts = {model: len(offered.saes_of(model)) for model in ("gpt2-small", "pythia-70m-deduped", "gemma-2-2b")}
    listed = [entry["model"] for entry in directory()]
    assert counts == {model: listed.count(model) for model in counts}
    assert counts["gpt2-small"] > 100 and counts["gemma-2-2b"] > 1000
    families = ("gpt2", "pythia", "gemma-2")
    for sae in offered.saes.values():
        if sae.model.startswith(families) and not sae.refused:
            assert sae.hook and sae.width and sae.size_bytes, sae
    for model in offered.models.values():
        assert not model.sae or offered.saes[model.sae].model == model.id
        assert bool(model.sae) == any(sae.model == model.id for sae in offered.saes.values())
        if not model.sae:
            assert "No SAE is published" in model.about


def test_ids_are_neuronpedias_where_it_has_the_sae() -> None:
    saes = {sae.id: sae for sae in published_saes("gpt2-small", 768, {"gpt2-small-res-jb": 24_576})}
    sae = saes["gpt2-small/8-res-jb"]
    assert (sae.hook, sae.width, sae.neuronpedia) == ("blocks.8.hook_resid_pre", 24_576, "gpt2-small/8-res-jb")
    assert str(sae.weights) == "gpt2-small-res-jb/blocks.8.hook_resid_pre"
    assert sae.size_bytes == pytest.approx(151e6, rel=0.01)
    assert saes["gpt2-small/gpt2-small-mlp-tm/blocks.0.hook_mlp_out"].neuronpedia == ""


@pytest.mark.parametrize(
    ("release", "sae_id", "loader", "hook"),
    [
        ("gpt2-small-res-jb-feature-splitting", "blocks.8.hook_resid_pre_768", "sae_lens", "blocks.8.hook_resid_pre"),
        ("gpt2-small-hook-z-kk", "blocks.0.hook_z", "connor_rob_hook_z", "blocks.0.attn.hook_z"),
        ("sae_bench", "blocks.12.hook_resid_post__trainer_0", "dictionary_learning_1", "blocks.12.hook_resid_post"),
        ("gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_5", "gemma_2", "blocks.3.hook_resid_post"),
        ("gemma-scope-2b-pt-mlp", "layer_3/width_16k/average_l0_5", "gemma_2", "blocks.3.hook_mlp_out"),
        ("gemma-scope-2b-pt-att", "layer_3/width_16k/average_l0_5", "gemma_2", "blocks.3.attn.hook_z"),
        ("gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6", "gemma_2", "hook_embed"),
        ("x", "layer_3/width_16k/average_l0_5", "gemma_2_transcoder", "blocks.3.ln2.hook_normalized"),
        ("x", "layer_0", "mntss_clt_layer_transcoder", ""),
    ],
)
def test_names_tell_the_hook_point(release: str, sae_id: str, loader: str, hook: str) -> None:
    assert hook_of(release, sae_id, loader) == hook


def test_names_tell_the_width() -> None:
    names = {
        "layer_1/width_65k/canonical": 65_536,
        "layer_1/width_1m/canonical": 1_048_576,
        "gpt2-small-resid-post-v5-128k": 131_072,
        "sae_bench_gemma-2-2b_topk_width-2pow12_date-1109": 4096,
        "blocks.8.hook_resid_pre_98304": 98_304,
        "pythia-70m-deduped/3-sae_bench-gated-res-4k__trainer_0": 4096,
        "gpt2-small-res-jb": 0,
    }
    assert {name: features_of(name) for name in names} == names


def test_the_files_are_those_that_saelens_reads() -> None:
    def names(loader: str, path: str) -> tuple[str, ...]:
        return files_of("r", path, loader).needed

    assert names("sae_lens", "a") == ("a/cfg.json", "a/sae_weights.safetensors")
    assert names("gemma_2", "a/b") == ("a/b/params.npz",)
    assert names("connor_rob_hook_z", "x_v9.pt") == ("x_v9.pt", "x_v9_cfg.json")
    assert names("dictionary_learning_1", "a") == ("a/config.json", "a/ae.pt")
    assert names("llama_scope", "a") == ("a/hyperparams.json", "a/checkpoints/final.safetensors")
    assert names("mwhanna_transcoder", "a.safetensors") == ("a.safetensors",)
    assert names("gemma_3", "a/b") == ("a/b/params.safetensors",)
    assert names("gemma_3", "clt/a") == ("clt/a.safetensors",)
    assert names("sparsify", "a/layers.1") == ("a/layers.1/cfg.json", "a/layers.1/sae.safetensors")
    assert files_of("r", "a/layers.1", "sparsify").wanted == ("a/config.json",)
    assert names("sae_lens", "") == ("cfg.json", "sae_weights.safetensors")
    assert names("goodfire", "a") == ("a/*",)


def test_the_directory_is_kept_for_this_version_of_saelens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.cache_clear()
    entries = directory()
    (kept,) = homes.cache().glob("saelens-directory-*.json")
    directory.cache_clear()
    monkeypatch.setattr(published, "parse", lambda source: pytest.fail("parsed again"))
    assert directory() == entries
    kept.write_text("{ damaged")
    monkeypatch.undo()
    directory.cache_clear()
    monkeypatch.setenv("AXON_HOME", str(home))
    assert directory() == entries
    directory.cache_clear()


def test_the_list_needs_no_network_and_nothing_heavy() -> None:
    script = "import sys, axon_shell.published as p; print(len(p.directory()), *sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert int(found[0]) > 10_000
    assert not {"torch", "sae_lens", "transformers", "huggingface_hub", "httpx"} & set(found)


# -- from the hub to the session ----------------------------------------------


@dataclass(frozen=True)
class Case:
    model: str
    sae: str
    release: str
    sae_id: str


CASES = [
    Case("gpt2-small", "gpt2-small/8-res-jb", "gpt2-small-res-jb", "blocks.8.hook_resid_pre"),
    Case("gpt2-small", "gpt2-small/8-res_post_32k-oai", "gpt2-small-resid-post-v5-32k", "blocks.8.hook_resid_post"),
    Case("pythia-70m-deduped", "pythia-70m-deduped/3-res-sm", "pythia-70m-deduped-res-sm", "blocks.3.hook_resid_post"),
]
GEMMA = Case(
    "gemma-2-2b",
    "gemma-2-2b/12-gemmascope-res-16k",
    "gemma-scope-2b-pt-res-canonical",
    "layer_12/width_16k/canonical",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, Path, dict[str, str]]]:
    """A hub with everything, an empty cache, and the environment of a user who is online."""
    root, home = tmp_path_factory.mktemp("repositories"), tmp_path_factory.mktemp("home")
    random_weights.gpt2(root / "gpt2")
    random_weights.gpt2_res_jb(root / "jbloom/GPT2-Small-SAEs-Reformatted")
    random_weights.gpt2_oai_topk(root / "jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs")
    random_weights.pythia_70m(root / "EleutherAI/pythia-70m-deduped")
    random_weights.pythia_res_sm(root / "ctigges/pythia-70m-deduped__res-sm_processed")
    # The residual stream and the depth must be true for Gemma Scope to fit; the rest need not take 10 GB.
    small = {"num_hidden_layers": 13, "intermediate_size": 64, "head_dim": 16, "vocab_size": 2000, "sliding_window": 8}
    random_weights.gemma_2_2b(root / "google/gemma-2-2b", **small, query_pre_attn_scalar=16)
    random_weights.gemma_scope_res(root / "google/gemma-scope-2b-pt-res")
    with local_hub(root) as hub:
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "AXON_HOME": str(home / "axon")}
        yield hub, home, environment | {"HF_HUB_DISABLE_XET": "1", "AXON_OFFLINE": "0"}


def shell(environment: dict[str, str], *arguments: str, ok: bool = True) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "axon_shell", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=170)
    assert (done.returncode == 0) is ok, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def session(world: tuple[LocalHub, Path, dict[str, str]], case: Case) -> list[dict[str, Any]]:
    """Download, then generate with the plug pulled."""
    hub, _, environment = world
    *progress, last = shell(environment, "download", case.model, case.sae)
    assert last["kind"] == "installed" and last["id"] == case.sae
    told = [line for line in progress if line["kind"] == "progress" and line["id"] == case.sae]
    assert told[-1]["done"] == told[-1]["total"] > 1e6
    asked = len(hub.asked)
    options = ("--model", case.model, "--sae", case.sae, "--temperature", "0", "--max-tokens", "6")
    start, *steps, end = shell(environment, "run", PROMPT, *options, "--top-features", "10")
    assert end["reason"] == "max_tokens" and start["saes"] == [case.sae]
    assert len(hub.asked) == asked  # nobody was asked for anything, though nobody forbade it
    return steps


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.release)
def test_a_session_shows_what_ten_lines_of_transformer_lens_and_sae_lens_give(
    world: tuple[LocalHub, Path, dict[str, str]], case: Case
) -> None:
    steps = session(world, case)
    ids = [step["token_id"] for step in steps]
    script = [sys.executable, REPOSITORY / "tests" / "ten_lines.py", case.model, case.release, case.sae_id, PROMPT]
    environment = world[2] | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*script, json.dumps(ids)], capture_output=True, text=True, env=environment, timeout=170)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout.splitlines()[-1])
    prompt = [step["token_id"] for step in steps if step["is_prompt"]]
    assert prompt == expected["prompt"]  # with BOS or without, as the SAE was trained
    compare(steps, expected, case.sae)


def test_gemma_2_and_gemma_scope_read_as_the_bridge_and_sae_lens_do(
    world: tuple[LocalHub, Path, dict[str, str]],
) -> None:
    steps = session(world, GEMMA)
    assert steps[0]["is_bos"] and steps[0]["token_id"] == 2
    script = """
import json, sys, torch
from sae_lens import SAE
from transformer_lens.model_bridge import TransformerBridge
ids, release, sae_id = json.loads(sys.argv[1]), *sys.argv[2:]
sae = SAE.from_pretrained(release, sae_id)
model = TransformerBridge.boot_transformers("google/gemma-2-2b", device="cpu", dtype=torch.float32)
with torch.no_grad():
    logits, cache = model.run_with_cache(torch.tensor([ids]))
    x = cache[sae.cfg.metadata.hook_name][0]
    acts = sae.encode(x)
    error = x - sae.decode(acts)
top, best = acts.topk(10), logits[0].log_softmax(-1).topk(10)
print(json.dumps({"features": top.indices.tolist(), "activations": top.values.tolist(),
    "l0": (acts > 0).sum(-1).tolist(), "alternatives": best.indices.tolist(), "logprobs": best.values.tolist(),
    "unexplained": (error.square().sum(-1) / (x - x.mean(-1, keepdim=True)).square().sum(-1)).tolist()}))
"""
    ids = json.dumps([step["token_id"] for step in steps])
    command = [sys.executable, "-c", script, ids, GEMMA.release, GEMMA.sae_id]
    environment = world[2] | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170)
    assert done.returncode == 0, done.stderr
    compare(steps, json.loads(done.stdout.splitlines()[-1]), GEMMA.sae)


def compare(steps: list[dict[str, Any]], expected: dict[str, list], sae: str) -> None:
    for step in steps:
        position = step["position"]
        assert [a["token_id"] for a in step["alternatives"]] == expected["alternatives"][position]
        assert [a["logprob"] for a in step["alternatives"]] == pytest.approx(expected["logprobs"][position], abs=1e-3)
        if step.get("is_bos"):
            continue
        reading = step["saes"][sae]
        fired = [value for value in expected["activations"][position] if value > 0]
        assert [f["activation"] for f in reading["features"]] == pytest.approx(fired, rel=1e-3, abs=1e-4)
        assert [f["feature"] for f in reading["features"]] == expected["features"][position][: len(fired)]
        assert abs(reading["l0"] - expected["l0"][position]) <= 1  # one may stand on the threshold
        assert reading["l0"] > 0
        assert reading["unexplained"] == pytest.approx(expected["unexplained"][position], rel=1e-3)


def test_what_is_not_here_is_told_with_the_command_that_fetches_it(
    world: tuple[LocalHub, Path, dict[str, str]],
) -> None:
    environment = world[2] | {"HF_HOME": str(world[1] / "empty")}
    command = [sys.executable, "-m", "axon_shell", "run", "hi", "--model", "gpt2-small"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 1
    assert "must be downloaded first (699 MB)" in done.stderr
    assert "`axon-shell download gpt2-small gpt2-small/8-res-jb`" in done.stderr
