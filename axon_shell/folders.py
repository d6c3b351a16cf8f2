"""What the files of a model or an SAE say before any weights are read: sizes, shapes and the place in the model.

The small files beside the weights and the headers of the weights suffice, so that thousands of entries are checked in
no time and without torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from .errors import WeightsError
from .published import hook_of

# What the folder of an SAE holds, its weights last, and which of SAELens's converters reads it.
FORMATS = {
    "sae_lens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "dictionary_learning_1": ("config.json", "ae.pt"),
    "gemma_3": ("params.safetensors",),
    "gemma_2": ("params.npz",),
}
MODEL_WEIGHTS = "model*.safetensors"
EMBEDDINGS = ("wte.weight", "embed_tokens.weight", "embed_in.weight")  # (vocabulary, d_model)
LINEAR = "encoder.weight"  # a linear layer's: outputs first
ENCODERS = ("W_enc", "w_enc", LINEAR)
DECODERS = ("W_dec", "w_dec")
LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
# Modules of a block, what passes them, and what TransformerLens calls that.
PLACES = {
    ("", "output"): "hook_resid_post",
    ("", "input"): "hook_resid_pre",
    # What a component gives as it is: Gemma normalises it before it joins the residual stream as hook_mlp_out.
    ("mlp", "output"): "mlp.hook_out",
    ("mlp", "input"): "mlp.hook_in",
    ("self_attn", "output"): "attn.hook_out",
    ("attention", "output"): "attn.hook_out",
    ("attn", "output"): "attn.hook_out",
    ("self_attn.o_proj", "input"): "attn.hook_z",
    ("attention.dense", "input"): "attn.hook_z",
    ("attn.c_proj", "input"): "attn.hook_z",
    # Gemma's alone.
    ("pre_feedforward_layernorm", "output"): "mlp.hook_in",
    ("post_feedforward_layernorm", "output"): "hook_mlp_out",
}
COPY = "Copy or download the folder again."

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files of a model say; 0 where they do not."""

    context: int = 0
    width: int = 0  # of the residual stream
    layers: int = 0
    parameters: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SaeFacts:
    """What the files of an SAE say; 0 or empty where they do not."""

    hook: str = ""  # TransformerLens name of the place that it reads
    width: int = 0  # number of features
    takes: int = 0  # entries of the vectors that it reads
    size_bytes: int = 0


# -- models -------------------------------------------------------------------


def model_facts(folder: Path) -> ModelFacts:
    """What the folder of a model says. Raises WeightsError when its files are damaged or do not fit each other."""
    config = read_json(folder / "config.json")
    text = table(config, "text_config") or config  # beside that of images, where a model reads those too
    require_shards(folder)
    files = sorted(folder.glob(MODEL_WEIGHTS))
    shapes = {name: shape for file in files for name, shape in shapes_in(file).items()}
    width = number(text, "hidden_size", "n_embd", "d_model")
    for name, shape in shapes.items():
        if name.endswith(EMBEDDINGS) and width and shape[-1] != width:
            raise WeightsError(
                f"The weights in {folder} have the wrong shapes: {name} has vectors of {shape[-1]} numbers, but "
                f"config.json says {width}.",
                f"config.json belongs to another model than the weights. {COPY}",
            )
    return ModelFacts(
        context=number(text, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
        width=width,
        layers=number(text, "num_hidden_layers", "n_layer", "num_layers"),
        parameters=sum(map(prod, shapes.values())),
        size_bytes=sum(file.stat().st_size for file in files),
    )


def require_shards(folder: Path) -> None:
    """Raise WeightsError when a file is missing among which a model's weights are divided."""
    names = table(read_json(folder / "model.safetensors.index.json"), "weight_map").values()
    if missing := sorted(name for name in {*map(str, names)} if not (folder / name).is_file()):
        raise WeightsError(f"{folder} lacks {missing[0]}, which holds a part of the weights.", COPY)


def table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object in a JSON object; an empty one where there is none."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def number(config: Mapping[str, Any], *names: str) -> int:
    """The first of these entries that is a whole number; 0 where none is."""
    return next((config[name] for name in names if isinstance(config.get(name), int)), 0)


# -- SAEs ---------------------------------------------------------------------


def sae_facts(folder: Path, form: str, names: str = "") -> SaeFacts:
    """What the folder of an SAE says; `names` is what it is called, with the folders or the repository above.

    Raises WeightsError when its files are damaged or do not fit each other.
    """
    names = names or folder.as_posix()
    config = read_json(folder / FORMATS[form][0]) if form in FORMATS and len(FORMATS[form]) > 1 else {}
    said = (number(config, "d_in"), number(config, "d_sae", "num_latents"))
    hook = ""
    match form:
        case "sae_lens":
            metadata = table(config, "metadata")
            hook = str(config.get("hook_name") or config.get("hook_point") or metadata.get("hook_name") or "")
        case "sparsify":
            hook = hook_of_module(names.rstrip("/").split("/")[-1])
        case "dictionary_learning_1":
            trainer = table(config, "trainer")
            said = (number(trainer, "activation_dim"), number(trainer, "dict_size"))
            hook = hook_of_trainer(trainer, table(config, "buffer"))
        case "gemma_3":
            place = str(read_json(folder / "config.json").get("hf_hook_point_in") or "")
            hook = hook_of_module(place.removeprefix("model."))
        case "gemma_2":
            release, _, path = names[names.find("gemma-scope") :].partition("/")
            hook = hook_of(release, path, form) if "gemma-scope" in names else ""
    file = folder / FORMATS.get(form, ("",))[-1]
    shapes = shapes_in(file) if file.is_file() else {}
    if shapes and not shapes.keys() & {*ENCODERS, *DECODERS}:
        raise WeightsError(
            f"{file} holds no SAE: it has no encoder and no decoder, but {min(shapes)} and others.",
            "Correct `folder`: the file is of something else, such as a language model.",
        )
    found = said
    if name := next((name for name in ENCODERS if len(shapes.get(name, ())) == 2), ""):
        takes, width = shapes[name][::-1] if name == LINEAR else shapes[name]
        found = (takes, width)
        for what, config_says, there in (("vectors of", said[0], takes), ("features in number", said[1], width)):
            if config_says and config_says != there:
                raise WeightsError(
                    f"The SAE in {folder} has the wrong shapes: {FORMATS[form][0]} says {what} {config_says}, the "
                    f"weights {there}.",
                    f"They are of two SAEs. {COPY}",
                )
    size = file.stat().st_size if file.is_file() else 0
    return SaeFacts(hook=hook, width=found[1], takes=found[0], size_bytes=size)


def hook_of_module(name: str) -> str:
    """The hook point at one of Hugging Face's modules below the language model; empty where there is none.

    It is the module's output unless a suffix says otherwise: "layers.7", "h.7.mlp", "layers.7.self_attn.o_proj.input".
    """
    match = re.fullmatch(r"(.+?)(?:\.(input|output))?", name.replace("language_model.", "").removeprefix("model."))
    module, side = (match[1], match[2] or "output") if match else ("", "")
    if module in ("embed_tokens", "wte", "embed_in") and side == "output":
        return "hook_embed"
    block = re.fullmatch(r"(?:layers|h)[._](\d+)(?:\.(.+))?", module)
    place = PLACES.get((block[2] or "", side)) if block else None
    return f"blocks.{block[1]}.{place}" if block and place else ""


def hook_of_trainer(trainer: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    """The hook point that a description by the dictionary_learning library speaks of; empty where it does not."""
    layer, named = trainer.get("layer"), str(trainer.get("submodule_name") or "").lower()
    side = str(buffer.get("io") or "out")
    if not isinstance(layer, int) or side not in ("in", "out"):
        return ""
    if "mlp" in named:
        return f"blocks.{layer}.mlp.hook_{side}"
    if "att" in named:
        return f"blocks.{layer}.attn.hook_{side}" if side == "out" else ""
    if "embed" in named:
        return "hook_embed"
    return f"blocks.{layer}.hook_resid_{'pre' if side == 'in' or 'resid_pre' in named else 'post'}"


def format_of(folder: Path) -> str:
    """The format of the SAE in a folder, by the names of its files; empty where they are of none."""
    return next((form for form, files in FORMATS.items() if all((folder / file).is_file() for file in files)), "")


# -- files --------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file. Raises WeightsError when it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: it is no JSON ({error}).", COPY) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged: it holds no JSON object.", COPY)
    return found


def shapes_in(file: Path) -> Shapes:
    """The shapes of the arrays in a file, from its header; none where its format has no header to read.

    Raises WeightsError when the file is damaged.
    """
    readers = {".safetensors": safetensors_header, ".npz": npz_headers}
    if file.suffix not in readers:
        return {}
    try:
        return readers[file.suffix](file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BadZipFile) as error:
        reason = str(error) if isinstance(error, ValueError) and str(error) else "its header cannot be read"
        raise WeightsError(f"{file} is damaged or incomplete: {reason}.", COPY) from error


def safetensors_header(file: Path) -> Shapes:
    """The shapes in a safetensors file."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, size):
            raise ValueError("it does not begin with a header of safetensors")
        try:
            header = json.loads(opened.read(length))
        except ValueError:
            raise ValueError("its header cannot be read") from None
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if end != size:
        raise ValueError(f"it has {size:,} bytes instead of {end:,}")
    return {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}


def npz_headers(file: Path) -> Shapes:
    """The shapes in a file of NumPy's arrays."""
    from numpy.lib import format as npy

    shapes = {}
    with ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as array:
                read = npy.read_array_header_1_0 if npy.read_magic(array) == (1, 0) else npy.read_array_header_2_0
                shapes[name.removesuffix(".npy")] = tuple(read(array)[0])
    return shapes
