"""`[[models]]` and `[[saes]]` of config.toml: what they offer, what they load, and every mistake told with a hint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from local_hub import LocalHub, local_hub
from random_model import (
    CONTEXT,
    FEATURES,
    LAYERS,
    WIDTH,
    arrays,
    dictionary,
    gemma_scope_2_sae,
    gemma_scope_sae,
    make_model,
    make_sae,
    sparsify_sae,
)
from sae_lens import SAE
from safetensors.torch import load_file, save_file
from test_formats import by_sparsify
from transformer_lens.model_bridge import TransformerBridge

from axon_shell import hub as hub_module
from axon_shell import session
from axon_shell.analysers import Analysers
from axon_shell.config import Config, parse, read_config
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.errors import AxonError, WeightsError
from axon_shell.folders import hook_of_module, shapes_in
from axon_shell.labels import Labels
from axon_shell.plugins import Catalogue, catalogue
from axon_shell.published import directory
from axon_shell.records import HubFiles, Message, PublishedSae, SaeFiles, Settings
from axon_shell.session import Annotator
from axon_shell.store import Store

CPU = torch.device("cpu")
TINY_WORLD = REPOSITORY / "plugins" / "tiny_world"
POST = "blocks.1.hook_resid_post"
PROMPT = "the cat sat on the mat"
TOP_TEN = ("--top-features", "10")
GREEDY = Settings(max_tokens=4, temperature=0, top_features=10)


def quiet(stage: str) -> None:
    pass


def offered(home: Path, toml: str) -> Catalogue:
    """What there is with a config.toml of this text, in the folder that its relative paths start from."""
    (home / "config.toml").write_text(toml, "utf-8")
    found = read_config()
    assert not found.problems
    return catalogue(found.config)


def loaded(found: Catalogue, model: str, saes: list[str] | None = None) -> tuple[Model, list[Sae]]:
    spec, chosen = found.choose(model, saes or [])
    ready = load_model(spec, CPU, quiet)
    return ready, [load_sae(sae, ready, quiet) for sae in chosen]


def steps_of(home: Path, model: Model, saes: list[Sae], prompt: str = PROMPT) -> list[Message]:
    """A session, generated and stored: its steps."""
    store = Store(home)
    try:
        annotate = Annotator(Labels([]), Analysers([]))
        start, *steps, end = session.run("s", prompt, model, saes, GREEDY, annotate, store, lambda: False)
        assert start["saes"] == [sae.spec.id for sae in saes] and end["reason"] in ("max_tokens", "end_of_text")
        stored = [message for message in store.messages("s") if message["kind"] == "step"]
        assert len(stored) == len(steps)
        return steps
    finally:
        store.close()


def shows(steps: list[Message], sae: str, activations: torch.Tensor) -> None:
    """Each step shows what was computed independently, (positions, features)."""
    for step in steps:
        if step.get("is_bos"):
            continue
        row, reading = activations[step["position"]], step["saes"][sae]
        top = row.topk(10)
        assert reading["l0"] == int((row > 0).sum()) > 0
        assert [f["feature"] for f in reading["features"]] == top.indices[top.values > 0].tolist()
        assert [f["activation"] for f in reading["features"]] == pytest.approx(
            top.values[top.values > 0].tolist(), rel=1e-3, abs=1e-4
        )


def ids_of(steps: list[Message]) -> torch.Tensor:
    return torch.tensor([[step["token_id"] for step in steps]])


# -- what is offered and loaded -----------------------------------------------


def test_a_fine_tune_of_tiny_world_with_its_sae(home: Path) -> None:
    """From two folders to a session that equals TransformerLens and SAELens, and not what the model was tuned from."""
    folder = shutil.copytree(TINY_WORLD / "model", home / "models" / "tuned")
    shutil.copytree(TINY_WORLD / "saes" / "2-res", home / "sae")
    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        if tensor.is_floating_point() and tensor.ndim == 2:
            tensor += 0.01 * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    found = offered(
        home,
        '[[models]]\nid = "tuned"\nfolder = "models/tuned"\nname = "Tuned"\nsae = "tuned/mine"\nexamples = ["In"]\n'
        '[[saes]]\nid = "tuned/mine"\nfolder = "sae"\nabout = "a copy"\n',
    )
    assert not found.problems
    spec, sae = found.models["tuned"], found.saes["tuned/mine"]
    original = found.models["tiny-world"]
    assert (spec.name, spec.context, spec.size_bytes, spec.examples) == ("Tuned", 512, original.size_bytes, ("In",))
    assert spec.parameters == pytest.approx(original.parameters, rel=0.01)
    assert (sae.hook, sae.width, sae.about) == ("blocks.2.hook_resid_post", 1280, "a copy")
    model, saes = loaded(found, "tuned")
    assert any("trained on tiny-world, not on Tuned" in note for note in saes[0].notes)
    steps = steps_of(home, model, saes, "The capital of France is")

    oracle = TransformerBridge.boot_transformers(str(folder), device="cpu", dtype=torch.float32)
    with torch.no_grad():
        logits, cache = oracle.run_with_cache(ids_of(steps))
        activations = SAE.load_from_disk(home / "sae").encode(cache["blocks.2.hook_resid_post"][0])
    shows(steps, "tuned/mine", activations)
    for step in steps:
        best = logits[0, step["position"]].log_softmax(-1).topk(10)
        assert [a["token_id"] for a in step["alternatives"]] == best.indices.tolist()
    untuned, its = loaded(found, "tiny-world", ["tiny-world/2-res"])
    before = steps_of(home / "other", untuned, its, "The capital of France is")
    assert before[3]["saes"]["tiny-world/2-res"] != steps[3]["saes"]["tuned/mine"]


def test_what_an_entry_says_of_a_model_holds(home: Path) -> None:
    make_model(home / "model")
    found = offered(
        home,
        '[[models]]\nid = "a"\nfolder = "model"\n'
        '[[models]]\nid = "b"\nfolder = "model"\nbos = false\nlicence = "https://huggingface.co/x"\nabout = "Mine."\n',
    )
    a, b = found.models["a"], found.models["b"]
    assert (a.licence, b.licence, b.about) == ("", "https://huggingface.co/x", "Mine.") and "config.toml" in a.about
    for name, bos in (("a", True), ("b", False)):
        first = steps_of(home / name, loaded(found, name)[0], [])[0]
        assert bool(first.get("is_bos")) is bos


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3", "gemma3 with images"])
@pytest.mark.parametrize("hook", ["", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_mid", "blocks.1.hook_mlp_out"])
def test_other_families_with_an_sae_of_sparsify(home: Path, family: str, hook: str) -> None:
    make_model(home / "model", family=family)
    name = "anything" if hook else "layers.1"
    sparsify_sae(home / name)
    found = offered(
        home,
        '[[models]]\nid = "m"\nfolder = "model"\n'
        f'[[saes]]\nid = "m/s"\nfolder = "{name}"\n' + (f'hook = "{hook}"\n' if hook else ""),
    )
    assert not found.problems
    assert (found.models["m"].context, found.saes["m/s"].hook) == (CONTEXT, hook or POST)
    model, saes = loaded(found, "m", ["m/s"])
    steps = steps_of(home, model, saes)
    # Not `boot_transformers`: for a model that reads images it installs what it lacks.
    with torch.no_grad():
        _, cache = model.bridge.run_with_cache(ids_of(steps))
    shows(steps, "m/s", by_sparsify(cache[hook or POST][0])[0])


def test_every_format_is_recognised_by_its_files(home: Path) -> None:
    make_model(home / "model")
    make_sae(home / "own", "blocks.0.hook_resid_pre")
    sparsify_sae(home / "layers.1.mlp")
    dictionary(home / "dictionary", "AutoEncoderTopK", trainer={"layer": 2})
    gemma_scope_sae(home / "gemma-scope-2b-pt-mlp/layer_2/width_16k/average_l0_9")
    gemma_scope_2_sae(home / "gemma-scope-2")
    folders = {
        "own": ("sae_lens", "blocks.0.hook_resid_pre"),
        "layers.1.mlp": ("sparsify", "blocks.1.mlp.hook_out"),
        "dictionary": ("dictionary_learning_1", "blocks.2.hook_resid_post"),
        "gemma-scope-2b-pt-mlp/layer_2/width_16k/average_l0_9": ("gemma_2", "blocks.2.hook_mlp_out"),
        "gemma-scope-2": ("gemma_3", POST),
    }
    entries = [f'[[saes]]\nid = "m/{i}"\nfolder = "{folder}"\n' for i, folder in enumerate(folders)]
    found = offered(home, '[[models]]\nid = "m"\nfolder = "model"\n' + "".join(entries))
    assert not found.problems
    for i, (folder, (form, hook)) in enumerate(folders.items()):
        sae = found.saes[f"m/{i}"]
        weights = home / folder if form == "sae_lens" else SaeFiles(form, home / folder)
        assert (sae.weights, sae.hook, sae.width) == (weights, hook, FEATURES), folder
        assert sae.size_bytes > 1000
    _, saes = loaded(found, "m", [f"m/{i}" for i in range(len(folders))])
    # GPT-2's MLP writes to the residual stream: what it gives has that name too.
    hooks = [hook.replace("mlp.hook_out", "hook_mlp_out") for _, hook in folders.values()]
    assert [sae.spec.hook for sae in saes] == hooks


def test_a_release_of_saelens_for_a_model_of_ones_own(home: Path) -> None:
    make_model(home / "model")
    found = offered(
        home,
        '[[models]]\nid = "m"\nfolder = "model"\n'
        '[[saes]]\nid = "m/8"\nrelease = "gpt2-small-res-jb"\nsae_id = "blocks.1.hook_resid_pre"\n'
        'neuronpedia = "gpt2-small/1-res-jb"\n'
        '[[saes]]\nid = "another"\nmodel = "m"\nrelease = "gpt2-small-res-jb"\nsae_id = "blocks.1.hook_resid_pre"\n'
        '[[saes]]\nid = "mine/8"\nmodel = "m"\nrelease = "gpt2-small-res-jb"\nsae_id = "blocks.1.hook_resid_pre"\n',
    )
    assert [problem.name for problem in found.problems] == ["SAE another"]
    assert "m/another" in found.problems[0].hint
    sae = found.saes["m/8"]
    assert isinstance(sae.weights, PublishedSae) and sae.weights.files.repo == "jbloom/GPT2-Small-SAEs-Reformatted"
    assert (sae.hook, sae.neuronpedia) == ("blocks.1.hook_resid_pre", "gpt2-small/1-res-jb")
    assert found.saes["mine/8"].model == "m" and [s.id for s in found.saes_of("m")] == ["m/8", "mine/8"]


def test_a_fine_tune_is_offered_all_published_saes_of_its_model(home: Path) -> None:
    make_model(home / "model", family="llama")
    models = {
        "a": 'folder = "model"\npublished = "gpt2-small"\nsae = "a/8-res-jb"',
        "b": 'folder = "model"\npublished = "Llama-3.1-8B"',
        "c": 'repository = "google/gemma-3-1b-pt"',  # called as SAELens calls the model
        "d": 'repository = "somebody/gemma-3-1b-pt-tuned"',
    }
    found = offered(home, "".join(f'[[models]]\nid = "{id}"\n{keys}\n' for id, keys in models.items()))
    assert not found.problems
    listed = [entry["model"] for entry in directory()]
    for id, name in (("a", "gpt2-small"), ("b", "Llama-3.1-8B"), ("c", "gemma-3-1b-pt")):
        saes = [sae for sae in found.saes.values() if sae.model == id]
        assert len(saes) == listed.count(name) > 50
        assert all(sae.id.startswith(f"{id}/") and isinstance(sae.weights, PublishedSae) for sae in saes)
    assert not found.saes_of("d")
    ours, original = found.saes["a/8-res-jb"], found.saes["gpt2-small/8-res-jb"]
    assert ours == replace(original, id=ours.id, model="a") and ours.neuronpedia == "gpt2-small/8-res-jb"


# -- from the hub -------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub on loopback with a fine-tune and an SAE for it, and an empty cache."""
    make_model(tmp_path / "served" / "me" / "tuned", family="qwen2")
    sparsify_sae(tmp_path / "served" / "me" / "saes" / "layers.1")
    with local_hub(tmp_path / "served") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr(hub_module, "USERS_OFFLINE", None)
        yield served


FROM_HUB = (
    '[[models]]\nid = "m"\nrepository = "me/tuned"\nsae = "m/1"\n'
    '[[saes]]\nid = "m/1"\nrepository = "me/saes"\npath = "layers.1"\nformat = "sparsify"\n'
)


def test_a_model_and_an_sae_from_repositories(home: Path, hub: LocalHub) -> None:
    """Listed before they are here, downloaded, then run with nobody asked."""
    before = offered(home, FROM_HUB)
    assert not before.problems and before.models["m"].context == before.saes["m/1"].width == 0
    assert isinstance(before.models["m"].weights, HubFiles) and not hub.asked
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}

    def shell(*arguments: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "axon_shell", *arguments, "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=REPOSITORY, timeout=170, env=environment | {"AXON_OFFLINE": ""}
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert shell("download", "m", "m/1")[-1]["kind"] == "installed"
    asked = len(hub.asked)
    start, *steps, _ = shell("run", PROMPT, "--model", "m", "--temperature", "0", "--max-tokens", "3", *TOP_TEN)
    assert start["saes"] == ["m/1"] and len(hub.asked) == asked
    oracle = TransformerBridge.boot_transformers(str(hub.root / "me/tuned"), device="cpu", dtype=torch.float32)
    with torch.no_grad():
        _, cache = oracle.run_with_cache(ids_of(steps))
    shows(steps, "m/1", by_sparsify(cache[POST][0])[0])
    after = offered(home, FROM_HUB)
    assert (after.models["m"].context, after.saes["m/1"].hook, after.saes["m/1"].width) == (CONTEXT, POST, FEATURES)
    # What fits no longer is told as soon as it is here.
    wrong = FROM_HUB.replace('path = "layers.1"', 'path = "layers.1"\nhook = "blocks.7.hook_resid_pre"')
    told = offered(home, wrong).problems[0]
    assert told.name == "SAE m/1" and "blocks.7.hook_resid_pre, but m has blocks.0" in told.message


def test_a_repository_half_downloaded_is_still_offered(home: Path, hub: LocalHub) -> None:
    found = offered(home, FROM_HUB)
    files = found.models["m"].weights
    assert isinstance(files, HubFiles)
    hub_module.fetch(files, False, lambda done, total: None, lambda: False)
    there = hub_module.snapshot("me/tuned")
    assert there
    weights = there / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-9])
    found = offered(home, FROM_HUB)
    assert not found.problems and found.models["m"].context == 0


# -- mistakes -----------------------------------------------------------------

GOOD = '[[models]]\nid = "m"\nfolder = "model"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and an SAE in SAELens's format; tests copy them."""
    folder = tmp_path_factory.mktemp("made")
    make_model(folder / "model")
    make_sae(folder / "sae", POST)
    return folder


def problem(home: Path, made: Path, toml: str, break_: Callable[[Path], object] = lambda home: None) -> str:
    """What is told about the one thing that is wrong, message and hint; everything else is offered."""
    shutil.copytree(made, home, dirs_exist_ok=True)
    break_(home)
    found = offered(home, toml)
    (told,) = found.problems
    assert told.name.startswith(("model ", "SAE ")) and told.message and told.hint
    assert "Error" not in told.message and "tiny-world" in found.models
    return f"{told.message} {told.hint}"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("", "neither a folder nor a repository"),
        ('folder = "model"\nrepository = "a/b"', "both, a folder and a repository"),
        ('folder = "nowhere"', "nowhere does not exist"),
        ('folder = "config.toml"', "config.toml is a file"),
        ('folder = "sae"', "has no config.json"),
        ('folder = ""\nrepository = "https://huggingface.co/a/b"', "OWNER/NAME"),
        ('folder = "model"\npublished = "gpt-small"', "Did you mean gpt2-small"),
        ('folder = "model"\nsae = "m/none"', "no SAE 'm/none'"),
        ('folder = "model"\nsae = "tiny-world/2-res"', "reads tiny-world"),
    ],
)
def test_mistakes_in_the_entry_of_a_model(home: Path, made: Path, keys: str, says: str) -> None:
    assert says in problem(home, made, f'[[models]]\nid = "m"\n{keys}\n')


@pytest.mark.parametrize("id", ["a/b", "", "  "])
def test_ids_that_a_model_cannot_have(home: Path, made: Path, id: str) -> None:
    assert "without a slash" in problem(home, made, f'[[models]]\nid = "{id}"\nfolder = "model"\n')


def test_an_id_that_is_taken(home: Path, made: Path) -> None:
    assert "tiny-world is registered already" in problem(
        home, made, '[[models]]\nid = "tiny-world"\nfolder = "model"\n'
    )


def change(file: Path, **values: object) -> None:
    """Change a JSON file; None takes a key away."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def only_pickled(home: Path) -> None:
    (home / "model/model.safetensors").rename(home / "model/pytorch_model.bin")


def an_adapter(home: Path) -> None:
    shutil.rmtree(home / "model")
    (home / "model").mkdir()
    (home / "model/adapter_config.json").write_text("{}")
    (home / "model/adapter_model.safetensors").write_text("")


def of_two_parts(home: Path) -> None:
    (home / "model/model.safetensors").rename(home / "model/model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (home / "model/model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


@pytest.mark.parametrize(
    ("break_", "says"),
    [
        (lambda home: (home / "model/config.json").write_text("{"), "config.json is damaged: it is no JSON"),
        (lambda home: (home / "model/config.json").write_text("[]"), "holds no JSON object"),
        (lambda home: (home / "model/model.safetensors").unlink(), "has no model.safetensors"),
        (lambda home: (home / "model/tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda home: (home / "model/model.safetensors").write_bytes(b""), "damaged or incomplete"),
        (lambda home: cut(home / "model/model.safetensors", 500), "damaged or incomplete"),
        (lambda home: cut(home / "model/model.safetensors", -9), "bytes instead of"),
        (lambda home: (home / "model/model.safetensors").write_bytes(b"\xff" * 999), "does not begin with a header"),
        (lambda home: change(home / "model/config.json", n_embd=64), "wrong shapes: transformer.wte.weight"),
        (only_pickled, "pickled (pytorch_model.bin). A pickle can run any code"),
        (an_adapter, "adapter (LoRA)"),
        (of_two_parts, "lacks model-00002-of-00002.safetensors"),
    ],
)
def test_mistakes_in_the_folder_of_a_model(home: Path, made: Path, break_: Callable[[Path], object], says: str) -> None:
    assert says in problem(home, made, GOOD, break_)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('id = "m/x"', "needs a folder, a repository or a release"),
        ('id = "m/x"\nfolder = "sae"\nrelease = "r"', "needs a folder, a repository or a release"),
        ('id = "x"\nfolder = "sae"', "Write it as MODEL/NAME: MODEL/x"),
        ('id = "m/"\nfolder = "sae"', "Write it as MODEL/NAME: m/NAME"),
        ('id = "tiny-word/x"\nfolder = "sae"', "Did you mean tiny-world"),
        ('id = "zzz/x"\nfolder = "sae"', "Models: "),
        ('id = "m/x"\nfolder = "nowhere"', "nowhere does not exist"),
        ('id = "m/x"\nfolder = "model"', "no SAE in a known format, but config.json"),
        ('id = "m/x"\nfolder = "."', 'Name the folder of one SAE: "'),
        ('id = "m/x"\nfolder = "sae"\nformat = "sparsfy"', "Did you mean sparsify"),
        ('id = "m/x"\nfolder = "sae"\nformat = "sparsify"', "has no sae.safetensors"),
        ('id = "m/x"\nrelease = "gpt2-small-res-jp"\nsae_id = "x"', "Did you mean gpt2-small-res-jb"),
        (
            'id = "m/x"\nrelease = "gpt2-small-res-jb"\nsae_id = "blocks.8.resid_pre"',
            "Did you mean blocks.8.hook_resid_pre",
        ),
        ('id = "m/x"\nrelease = "gpt2-small-res-jb"', 'sae_id = "blocks.0.hook_resid_pre"'),
        (
            'id = "m/x"\nrelease = "gpt2-small-res-jb"\nsae_id = "blocks.8.hook_resid_pre"',
            f"reads blocks.8.hook_resid_pre, but m has blocks.0 to blocks.{LAYERS - 1}",
        ),
        ('id = "m/x"\nrepository = "not a repository"', "OWNER/NAME"),
        ('id = "m/x"\nfolder = "sae"\nhook = "blocks.3.hook_resid_post"', "reads blocks.3.hook_resid_post, but m has"),
        ('id = "tiny-world/x"\nfolder = "sae"', f"takes vectors of {WIDTH} numbers, but tiny-world has 128"),
    ],
)
def test_mistakes_in_the_entry_of_an_sae(home: Path, made: Path, keys: str, says: str) -> None:
    assert says in problem(home, made, f"{GOOD}[[saes]]\n{keys}\n")


@pytest.mark.parametrize(
    ("break_", "says"),
    [
        (lambda home: (home / "sae/cfg.json").write_text("{"), "cfg.json is damaged"),
        (lambda home: cut(home / "sae/sae_weights.safetensors", -9), "bytes instead of"),
        (
            lambda home: shutil.copy(home / "model/model.safetensors", home / "sae/sae_weights.safetensors"),
            "holds no SAE",
        ),
        (lambda home: change(home / "sae/cfg.json", d_in=64), "wrong shapes: cfg.json says vectors of 64"),
        (lambda home: change(home / "sae/cfg.json", d_sae=99), "wrong shapes: cfg.json says features in number 99"),
        (lambda home: make_sae(home / "sae", POST, width=64), f"takes vectors of 64 numbers, but m has {WIDTH}"),
        (lambda home: make_sae(home / "sae", "blocks.9.hook_resid_pre"), "reads blocks.9.hook_resid_pre, but m has"),
    ],
)
def test_mistakes_in_the_folder_of_an_sae(home: Path, made: Path, break_: Callable[[Path], object], says: str) -> None:
    assert says in problem(home, made, f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "sae"\n', break_)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda folder: sparsify_sae(folder, d_in=64), "takes vectors of 64 numbers"),
        (lambda folder: sparsify_sae(folder, num_latents=9), "features in number 9"),
        (lambda folder: gemma_scope_sae(folder, d_in=64), "takes vectors of 64 numbers"),
        (lambda folder: dictionary(folder, "AutoEncoder", trainer={"activation_dim": 64}), "takes vectors of 64"),
        (lambda folder: (gemma_scope_sae(folder), cut(folder / "params.npz", 900)), "damaged or incomplete"),
    ],
)
def test_wrong_shapes_in_other_formats(home: Path, made: Path, write: Callable[[Path], object], says: str) -> None:
    toml = f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "layers.1"\nhook = "{POST}"\n'
    assert says in problem(home, made, toml, lambda home: write(home / "layers.1"))


def test_every_wrong_entry_is_one_problem_and_the_right_ones_are_offered(home: Path, made: Path) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    found = offered(
        home,
        GOOD + '[[models]]\nid = "w"\nfolder = "none"\n[[models]]\nid = "v"\n'
        '[[saes]]\nid = "m/good"\nfolder = "sae"\n[[saes]]\nid = "w/x"\nfolder = "sae"\n[[saes]]\nid = "m/y"\n',
    )
    assert [told.name for told in found.problems] == ["model w", "model v", "SAE w/x", "SAE m/y"]
    assert "m" in found.models and "m/good" in found.saes


# -- what only loading can tell -----------------------------------------------


def failure(load: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as error:
        load()
    assert error.value.hint
    return f"{error.value.message} {error.value.hint}"


def test_an_architecture_that_nobody_knows(home: Path, made: Path) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    change(home / "model/config.json", model_type="strange", architectures=["StrangeForCausalLM"])
    found = offered(home, GOOD)
    said = failure(lambda: load_model(found.models["m"], CPU, quiet))
    assert "m is a StrangeForCausalLM" in said and "transformers does not have" in said and "Llama" in said
    change(home / "model/config.json", model_type=None)
    assert "no model_type" in failure(lambda: load_model(found.models["m"], CPU, quiet))


def test_an_architecture_that_transformer_lens_does_not_know(home: Path) -> None:
    """One that Transformers has: an old encoder, made to write."""
    from transformers import RoFormerConfig, RoFormerForCausalLM

    make_model(home / "model")
    config = RoFormerConfig(
        vocab_size=320, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    config.is_decoder = True
    RoFormerForCausalLM(config).save_pretrained(home / "model")
    found = offered(home, GOOD)
    said = failure(lambda: load_model(found.models["m"], CPU, quiet))
    assert "m is a RoFormerForCausalLM, which TransformerLens's bridge does not support" in said


def test_code_that_comes_with_a_model_is_never_run(home: Path, made: Path) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    marker = home / "ran"
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    (home / "model/modeling_mine.py").write_text(code)
    classes = {"AutoConfig": "modeling_mine.Config", "AutoModelForCausalLM": "modeling_mine.Network"}
    change(home / "model/config.json", auto_map=classes)
    change(home / "model/tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling_mine.T", "modeling_mine.T"]})
    found = offered(home, GOOD)
    load_model(found.models["m"], CPU, quiet)  # Transformers's own GPT-2 is taken instead
    change(home / "model/config.json", model_type="mine")
    failure(lambda: load_model(found.models["m"], CPU, quiet))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ("blocks.1.hook_nothing", "has no hook point blocks.1.hook_nothing"),
        ("blocks.1.attn.hook_pattern", "no vector for each token"),
        ("blocks.1.hook_mlp_in", "nothing passes"),  # TransformerLens has it on demand only
        ("blocks.1.mlp.hook_post", f"takes vectors of {WIDTH} numbers at blocks.1.mlp.hook_post"),
    ],
)
def test_a_hook_that_the_model_does_not_have(home: Path, made: Path, hook: str, says: str) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    gemma_scope_sae(home / "scope")
    found = offered(home, f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "scope"\nhook = "{hook}"\n')
    assert not found.problems
    model = load_model(found.models["m"], CPU, quiet)
    assert says in failure(lambda: load_sae(found.saes["m/x"], model, quiet))


def test_a_hook_other_than_that_of_saelens_own_files(home: Path, made: Path) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    found = offered(home, f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "sae"\nhook = "blocks.2.hook_resid_post"\n')
    model = load_model(found.models["m"], CPU, quiet)
    assert f"was trained at {POST}" in failure(lambda: load_sae(found.saes["m/x"], model, quiet))


def test_a_published_sae_of_a_model_of_another_size(home: Path, hub: LocalHub) -> None:
    """`published` names the wrong model: told when it is loaded, as only the files know the size."""
    release, sae_id = "gpt2-small-res-jb", "blocks.1.hook_resid_pre"
    folder = hub.root / "jbloom/GPT2-Small-SAEs-Reformatted" / sae_id
    make_sae(folder, sae_id, width=64)
    make_model(home / "model")
    toml = f'{GOOD}[[saes]]\nid = "m/x"\nrelease = "{release}"\nsae_id = "{sae_id}"\n'
    weights = offered(home, toml).saes["m/x"].weights
    assert isinstance(weights, PublishedSae)
    hub_module.fetch(weights.files, False, lambda done, total: None, lambda: False)
    environment = os.environ | {"AXON_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "axon_shell", "run", "hi", "--model", "m", "--sae", "m/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=170)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"takes vectors of 64 numbers at {sae_id}, where m has {WIDTH}" in done.stderr and "hint: " in done.stderr


# -- files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "hook"),
    [
        ("layers.7", "blocks.7.hook_resid_post"),
        ("layers_7", "blocks.7.hook_resid_post"),
        ("h.11.mlp", "blocks.11.mlp.hook_out"),
        ("layers.3.self_attn", "blocks.3.attn.hook_out"),
        ("model.layers.3.input", "blocks.3.hook_resid_pre"),
        ("model.language_model.layers.3.output", "blocks.3.hook_resid_post"),
        ("language_model.model.layers.3.self_attn.o_proj.input", "blocks.3.attn.hook_z"),
        ("embed_in", "hook_embed"),
        ("layers.3.mlp.gate_proj", ""),
        ("layers", ""),
        ("mine", ""),
        ("", ""),
    ],
)
def test_modules_are_hook_points(module: str, hook: str) -> None:
    assert hook_of_module(module) == hook


def test_shapes_are_read_without_reading_weights(tmp_path: Path) -> None:
    tensors = arrays(8, 16, 0)
    save_file(tensors, tmp_path / "a.safetensors", {"format": "pt"})
    gemma_scope_sae(tmp_path, 8, 16)
    for name in ("a.safetensors", "params.npz"):
        assert shapes_in(tmp_path / name) == {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    assert shapes_in(tmp_path / "ae.pt") == {}


def test_entries_need_nothing_heavy(home: Path, made: Path) -> None:
    shutil.copytree(made, home, dirs_exist_ok=True)
    gemma_scope_sae(home / "scope")
    (home / "config.toml").write_text(f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "scope"\nhook = "{POST}"\n')
    script = (
        "import sys\nfrom axon_shell.config import load_config\nfrom axon_shell.plugins import catalogue\n"
        "found = catalogue(load_config())\nassert 'm/x' in found.saes and not found.problems\n"
        "print(*{'torch', 'transformers', 'sae_lens', 'transformer_lens', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0 and done.stdout.split() == [], done.stderr


def test_an_entry_never_raises_anything_but_our_own_errors(home: Path, made: Path) -> None:
    """Whatever stands in the small files, it is told as a problem with a sentence of ours."""
    shutil.copytree(made, home, dirs_exist_ok=True)
    toml = f'{GOOD}[[saes]]\nid = "m/x"\nfolder = "sae"\n'
    config, _ = parse(toml, home / "config.toml")
    assert isinstance(config, Config)
    for file in ("model/config.json", "sae/cfg.json"):
        whole = (home / file).read_text()
        for content in ('{"text_config": 3, "metadata": [1], "n_embd": "x", "d_in": [], "hook_name": 5}', "null", "{}"):
            (home / file).write_text(content)
            for told in offered(home, toml).problems:
                assert "Error" not in told.message, told
        (home / file).write_text(whole)
    assert issubclass(WeightsError, AxonError)
