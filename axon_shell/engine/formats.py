"""SAEs in the formats that SAELens converts, from files that lie on this machine.

SAELens's converters ask the hub for files by name, and take from the names of folders what the files do not say. Here
the same files are read wherever they lie, and are described by what is in them. Where a converter is wrong about a
format, that is put right here, with the reason.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import EntryNotFoundError
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders as loaders
from safetensors import safe_open
from safetensors.torch import load_file

from .. import hub
from ..errors import WeightsError
from ..folders import SaeFacts, hook_of_module, read_json, sae_facts, shapes_in
from ..records import PublishedSae, SaeFiles

FLOAT32 = "float32"  # whatever the model's numbers are: a feature is its threshold away from nothing
NAMES = 3  # folders of a path that converters read: layer_12/width_16k/average_l0_82
EMBEDDING = "hook_embed"
# Classes of the dictionary_learning library: SAELens's architecture, and whether inputs lose the decoder's bias first.
DICTIONARIES = {
    "AutoEncoder": ("standard", True),
    "GatedAutoEncoder": ("gated", True),
    "AutoEncoderTopK": ("topk", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
    "BatchTopKSAE": ("jumprelu", True),  # in use it cuts off at the threshold that training found
    "MatryoshkaBatchTopKSAE": ("jumprelu", True),
}
# What sparsify's cfg.json may ask for beyond a top-k SAE, with the value that asks for nothing.
PLAIN = {
    "activation": "topk",
    "signed": False,
    "transcode": False,
    "skip_connection": False,
    "embed_skip": False,
    "gram_lookup": False,
}

Config = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def saelens_sae(weights: Path | PublishedSae | SaeFiles, hook: str, device: str) -> SAE:
    """What SAELens makes of an SAE's files, in float32. `hook` is where it belongs, if its files do not say."""
    with warnings.catch_warnings(), tensors_alone():
        # SAELens warns that the metadata makes demands on the model, and of a missing scale; both are dealt with.
        warnings.simplefilter("ignore")
        match weights:
            case PublishedSae(release, sae_id):
                with instead(get_safetensors_tensor_shapes=shapes):
                    return at_its_place(SAE.from_pretrained(release, sae_id, device=device, dtype=FLOAT32))
            case SaeFiles():
                return converted(weights, hook, device)
            case _:
                return SAE.load_from_disk(weights, device=device, dtype=FLOAT32)


def at_its_place(sae: SAE) -> SAE:
    """An SAE that reads what its files name as one of Hugging Face's modules, where they do (Gemma Scope 2).

    SAELens calls the input of Gemma Scope 2's transcoders hook_mlp_in, which is the residual stream before the
    normalisation; they read what comes after it.
    """
    if place := hook_of_module(sae.cfg.metadata.hf_hook_name or ""):
        sae.cfg.metadata.hook_name = place
    return sae


def converted(files: SaeFiles, hook: str, device: str) -> SAE:
    """An SAE that SAELens's directory does not list. Raises WeightsError where SAELens has no such format."""
    if files.format not in loaders.NAMED_PRETRAINED_SAE_LOADERS:
        known = ", ".join(loaders.NAMED_PRETRAINED_SAE_LOADERS)
        raise WeightsError(f"SAELens has no format {files.format!r}.", f"Its formats: {known}.")
    if isinstance(files.place, Path):
        folder = files.place
        names = folder.parts[1:][-NAMES:]
        base, path = Path(*folder.parts[: -len(names)]), "/".join(names)
        repository = f"local/{base.name}"
    else:
        repository, path = files.place.repo, files.path
        base = hub.snapshot(repository) or Path()
        folder = base / path
    if reader := READERS.get(files.format):
        called = folder.as_posix() if isinstance(files.place, Path) else f"{repository}/{path}"
        facts = sae_facts(folder, files.format, called)

        def read(path: str | Path, device: str, cfg_overrides: Config | None) -> tuple[Config, Tensors]:
            config, tensors = reader(folder, hook or facts.hook, facts)
            common = {"hook_name": hook or facts.hook, "normalize_activations": "none", "device": device}
            return config | common | (cfg_overrides or {}), tensors

        return SAE.load_from_disk(folder, device=device, dtype=FLOAT32, converter=read)
    loader = loaders.NAMED_PRETRAINED_SAE_LOADERS[files.format]

    def convert(cfg_overrides: Config, **names: Any) -> Any:
        # SAELens's own format says where an SAE belongs; load_sae compares that.
        own = {"hook_name": hook} if hook and files.format != "sae_lens" else {}
        return loader(cfg_overrides=cfg_overrides | own, **names)

    with files_from(lambda name: base / name):
        return SAE.from_pretrained(repository, path, device=device, dtype=FLOAT32, converter=convert)


# -- formats ------------------------------------------------------------------


def sparsify(folder: Path, hook: str, facts: SaeFacts) -> tuple[Config, Tensors]:
    """EleutherAI's: top-k SAEs of sparsify.

    SAELens's converter transposes the decoder, which lies features first already; where the decoder is normalised, as
    is usual, it leaves the decoder's bias in the input, from which sparsify always takes it off; it reads the number
    of features as 0 where it follows from the expansion factor; and it takes an SAE of any part of a layer for one of
    the residual stream. So the files are read here.
    """
    about = read_json(folder / "cfg.json")
    for name, plain in PLAIN.items():
        if about.get(name, plain) != plain:
            raise WeightsError(
                f"The SAE in {folder} cannot be used: its cfg.json says {name} = {about[name]!r}, and SAELens has no "
                "such architecture.",
                "Choose a top-k SAE.",
            )
    run = read_json(folder.parent / "config.json")
    stored = load_file(folder / "sae.safetensors")
    tensors = {
        "W_enc": stored["encoder.weight"].T,
        "b_enc": stored["encoder.bias"],
        "W_dec": stored["W_dec"],
        "b_dec": stored["b_dec"],
    }
    config = {
        "architecture": "topk",
        "k": about["k"],
        "d_in": facts.takes,
        "d_sae": facts.width,
        "apply_b_dec_to_input": True,
        "model_name": run.get("model"),
        "context_size": run.get("ctx_len"),
        "prepend_bos": None,  # texts were read as the model's tokenizer begins them
    }
    return config, tensors


def dictionary_learning(folder: Path, hook: str, facts: SaeFacts) -> tuple[Config, Tensors]:
    """Those of the dictionary_learning library. Its description may lack the buffer, without which SAELens gives up.

    A feature's activation is what SAELens gives: for gated and JumpReLU SAEs the library itself multiplies it by the
    length of the decoder's row.
    """
    about = read_json(folder / "config.json")
    trainer, buffer = about.get("trainer") or {}, about.get("buffer") or {}
    kind = str(trainer.get("dict_class"))
    if kind not in DICTIONARIES:
        raise WeightsError(
            f"The SAE in {folder} cannot be used: SAELens does not convert the class {kind} (its dict_class).",
            f"It converts {', '.join(DICTIONARIES)}.",
        )
    architecture, subtracts = DICTIONARIES[kind]
    config = {
        "architecture": architecture,
        "d_in": facts.takes,
        "d_sae": facts.width,
        "apply_b_dec_to_input": subtracts,
        "model_name": trainer.get("lm_name"),
        "context_size": buffer.get("ctx_len"),
        "prepend_bos": True,
    } | ({"k": trainer["k"]} if architecture == "topk" else {})
    return config, weights_by_saelens("dictionary_learning_1", folder, config)


def gemma_scope(folder: Path, hook: str, facts: SaeFacts) -> tuple[Config, Tensors]:
    """Gemma Scope: JumpReLU SAEs as NumPy's arrays, of which SAELens knows the sizes by the names of folders only."""
    of = re.search(r"gemma-scope-(\d+b)-(pt|it)", folder.as_posix())
    config = {
        "architecture": "jumprelu",
        "d_in": facts.takes,
        "d_sae": facts.width,
        "apply_b_dec_to_input": False,
        "finetuning_scaling_factor": False,
        "model_name": f"gemma-2-{of[1]}{'-it' if of[2] == 'it' else ''}" if of else None,
        "context_size": 1024,
        "prepend_bos": True,
    }
    # SAELens's converter scales SAEs of the embedding, which it knows by that name.
    name = "embedding" if hook == EMBEDDING else "sae"
    return config, weights_by_saelens("gemma_2", folder, config, name)


def gemma_scope_2(folder: Path, hook: str, facts: SaeFacts) -> tuple[Config, Tensors]:
    """Gemma Scope 2: JumpReLU SAEs and transcoders; config.json names their places as Hugging Face's modules."""
    about = read_json(folder / "config.json")
    decoder = shapes_in(folder / "params.safetensors")["w_dec"]
    if about.get("architecture", "jump_relu") != "jump_relu" or len(decoder) != 2:
        what = about.get("architecture") if len(decoder) == 2 else "a cross-layer transcoder"
        raise WeightsError(f"The SAE in {folder} cannot be used: it is {what}.", "Choose another SAE.")
    config = {
        "architecture": "jumprelu",
        "d_in": facts.takes,
        "d_sae": facts.width,
        "apply_b_dec_to_input": False,
        "model_name": str(about.get("model_name") or "").replace("-v3", "-3") or None,
        "context_size": 1024,
        "prepend_bos": True,
    }
    target = about.get("hf_hook_point_out") or about.get("hf_hook_point_in")
    if target != about.get("hf_hook_point_in"):
        skips = "_skip" if about.get("affine_connection") else ""
        config |= {
            "architecture": f"jumprelu{skips}_transcoder",
            "d_out": decoder[1],
            "hook_name_out": hook_of_module(str(target)),
        }
    return config, weights_by_saelens("gemma_3", folder, config)


Reader = Callable[[Path, str, SaeFacts], tuple[Config, Tensors]]  # of a folder, for a hook point, knowing the sizes
READERS: dict[str, Reader] = {
    "sparsify": sparsify,
    "dictionary_learning_1": dictionary_learning,
    "gemma_2": gemma_scope,
    "gemma_3": gemma_scope_2,
}
DESCRIBERS = {
    "dictionary_learning_1": "get_dictionary_learning_config_1_from_hf",
    "gemma_2": "get_gemma_2_config_from_hf",
    "gemma_3": "get_gemma_3_config_from_hf",
}


def weights_by_saelens(form: str, folder: Path, config: Config, name: str = "sae") -> Tensors:
    """The weights in a folder as SAELens's converter reads them, told what they are instead of guessing by names."""
    with (
        files_from(lambda file: folder / Path(file).name),
        instead(**{DESCRIBERS[form]: lambda *_, **__: dict(config)}),
    ):
        return loaders.NAMED_PRETRAINED_SAE_LOADERS[form]("", name, "cpu", False, {})[1]


# -- SAELens's own loading ----------------------------------------------------


@contextmanager
def tensors_alone() -> Iterator[None]:
    """Have PyTorch read numbers only from a pickle (.pt), whatever the environment says: a pickle can hold any code."""
    force, allow = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name, None) for name in (force, allow)}
    os.environ[force] = "1"
    try:
        yield
    finally:
        del os.environ[force]
        os.environ.update({name: value for name, value in before.items() if value is not None})


@contextmanager
def files_from(place: Callable[[str], Path]) -> Iterator[None]:
    """Have SAELens find a file of a repository, by its name there, at a place on this machine."""

    def find(repo_id: str, filename: str, subfolder: str = "", **others: object) -> str:
        found = place(f"{subfolder}/{filename}".lstrip("/"))
        if not found.is_file():
            raise EntryNotFoundError(f"{found} is missing")
        return str(found)

    with instead(hf_hub_download=find, get_safetensors_tensor_shapes=shapes):
        yield


@contextmanager
def instead(**functions: Callable[..., Any]) -> Iterator[None]:
    """Have SAELens's loaders call other functions than those of their module."""
    own = {name: getattr(loaders, name) for name in functions}
    vars(loaders).update(functions)
    try:
        yield
    finally:
        vars(loaders).update(own)


def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
    """The shapes of a safetensors file's tensors, from the file; SAELens would ask the hub even if it lies here."""
    with safe_open(loaders.hf_hub_download(repo_id=repo_id, filename=filename), framework="pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
