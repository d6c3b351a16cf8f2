"""A language model, ready to run: Hugging Face weights addressed by TransformerLens's hook names.

The forward pass is Hugging Face's, because it caches keys and values without copying weights; TransformerLens names the
places in it and is the oracle of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import psutil
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from .. import hub
from ..errors import AxonError, EngineError, OutOfMemory, PromptError, WeightsError
from ..records import HubFiles, ModelSpec, require_prompt
from .hooks import HookPoint, adapter_of, bridge_around, bridged_point, hook_point
from .one_row import read_front_to_back

THREADS = torch.get_num_threads()
SMALL = 20_000_000  # weights
Report = Callable[[str], None]  # told the stage that begins: "Loading Tiny World"


@dataclass(frozen=True)
class Places:
    """Hook points in a network that one forward pass goes through."""

    network: PreTrainedModel
    points: tuple[HookPoint, ...]
    bridged: bool  # the network is TransformerLens's bridge: the same numbers, slower


@dataclass(frozen=True)
class Model:
    """A loaded model with its tokenizer, on one device."""

    spec: ModelSpec
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    bos: int | None  # token id that begins a text, None where there is none
    ends: frozenset[int]  # token ids that end a text
    adapter: ArchitectureAdapter  # TransformerLens's description of the network
    threads: int  # that share the work of a prompt

    @property
    def width(self) -> int:
        """Entries of the residual stream (d_model)."""
        return self.network.config.get_text_config().hidden_size

    @property
    def vocabulary(self) -> int:
        """Number of tokens that it can predict."""
        return self.network.get_output_embeddings().weight.shape[0]

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.network.config.get_text_config().num_hidden_layers

    @cached_property
    def bridge(self) -> TransformerBridge:
        """TransformerLens's bridge around the same weights, made when a hook point first asks for it."""
        return bridge_around(self.network, self.tokenizer)

    def find(self, hooks: Sequence[str]) -> Places:
        """Where hook points are: in Hugging Face's modules if all of them are there, else in TransformerLens's bridge.

        Raises WeightsError when the model has no such place.
        """
        direct = [point for name in hooks if (point := hook_point(self.network, self.adapter, name))]
        if len(direct) == len(hooks):
            return Places(self.network, tuple(direct), bridged=False)
        bridged = []
        for name in hooks:
            if not (point := bridged_point(self.bridge, name)):
                known = ", ".join(sorted(self.adapter.get_component_mapping()["blocks"].hook_aliases))
                raise WeightsError(
                    f"{self.spec.name} has no hook point {name}.",
                    f"It has blocks.0 to blocks.{self.layers - 1}, and each of them has {known} and more inside.",
                )
            bridged.append(point)
        return Places(self.bridge.original_model, tuple(bridged), bridged=True)

    def tokens(self, prompt: str, bos: int | None) -> list[int]:
        """The prompt's token ids, BOS first where there is one (`sae.first_token`).

        Raises PromptError when the prompt is empty or longer than the context; nothing is cut off silently.
        """
        require_prompt(prompt)
        ids = self.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        ids = ([] if bos is None else [bos]) + ids
        if len(ids) > self.spec.context:
            raise PromptError(
                f"The prompt has {len(ids)} tokens, but {self.spec.name} reads at most {self.spec.context}.",
                f"Shorten the prompt by at least {len(ids) - self.spec.context} tokens.",
            )
        return ids


def load_model(spec: ModelSpec, device: torch.device, report: Report, dtype: torch.dtype = torch.float32) -> Model:
    """The model that a spec describes, on a device and in a number format.

    Raises WeightsError when files are missing, damaged or do not fit, OutOfMemory when memory is too little.
    """
    report(f"Loading {spec.name}")
    require_memory(spec, device, dtype)
    try:
        network, tokenizer = spec.weights() if callable(spec.weights) else read_files(spec, dtype)
        network = network.to(device).eval().requires_grad_(False)
    except AxonError:
        raise
    # The libraries raise OSError, ValueError, RuntimeError, KeyError and their own kinds for one and the same thing:
    # these files are not the weights of this model.
    except Exception as error:
        if out_of_memory(error):
            raise OutOfMemory(f"{spec.name} does not fit into memory.", less_memory(spec, dtype)) from error
        made = callable(spec.weights)
        raise WeightsError(
            f"{spec.name} could not be loaded{'' if made else f' from {spec.weights}'}: {first_line(error)}",
            "Mend the plugin that makes it."
            if made
            else "Its files may be damaged or incomplete; install or download them again.",
        ) from error
    adapter = described(network, spec)
    read_front_to_back(network)
    # Sharing the work of a small model among threads takes longer than the work, several times so on a busy machine.
    small = sum(p.numel() for p in network.parameters()) < SMALL
    ends = network.generation_config.eos_token_id if network.generation_config else None
    ends = tokenizer.eos_token_id if ends is None else ends
    if not spec.context:
        text = network.config.get_text_config()
        names = ("max_position_embeddings", "n_positions", "n_ctx")
        spec = replace(spec, context=next((getattr(text, name) for name in names if hasattr(text, name)), 1024))
    return Model(
        spec=spec,
        network=network,
        tokenizer=tokenizer,
        device=device,
        dtype=network.dtype,  # a plugin may have chosen its own
        bos=tokenizer.bos_token_id,
        adapter=adapter,
        threads=1 if small else THREADS,
        ends=frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends),
    )


def read_files(spec: ModelSpec, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The network and tokenizer in a folder or in the hub's cache. Raises WeightsError when something does not fit."""
    if isinstance(spec.weights, Path):
        shards = [path.name for path in spec.weights.glob("*.safetensors")] or ["model.safetensors"]
        require_files(spec.weights, ("config.json", "tokenizer.json", *shards), spec.name)
        source = str(spec.weights)
    elif isinstance(spec.weights, HubFiles) and hub.held(spec.weights):
        source = spec.weights.repo
    else:
        raise WeightsError(f"{spec.name} is not on this machine.", f"Fetch it: `axon-shell download {spec.id}`.")
    require_known(source, spec)
    # Code that comes with weights is never run.
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    network, loaded = AutoModelForCausalLM.from_pretrained(
        source,
        trust_remote_code=False,
        dtype=dtype,
        output_loading_info=True,
        use_safetensors=True,
        local_files_only=True,
        ignore_mismatched_sizes=True,  # they are told below
    )
    # Hugging Face fills gaps with random numbers and only warns.
    if wrong := sorted(loaded["mismatched_keys"]):
        name, found, expected = wrong[0]
        raise WeightsError(
            f"The weights of {spec.name} do not fit: {name} has the shape {list(found)}, but its configuration "
            f"asks for {list(expected)}.",
            "config.json belongs to another model than the weights; copy or download the folder again.",
        )
    if gaps := sorted(loaded["missing_keys"]):
        raise WeightsError(
            f"The weights of {spec.name} lack {gaps[0]}" + (f" and {len(gaps) - 1} more." if len(gaps) > 1 else "."),
            "The folder holds another model's weights or an incomplete copy; install or download it again.",
        )
    return network, tokenizer


def require_known(source: str, spec: ModelSpec) -> None:
    """Raise WeightsError unless Transformers has the kind of network that config.json names, and it writes text."""
    config, _ = PreTrainedConfig.get_config_dict(source, local_files_only=True)
    kind = config.get("model_type")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        named = ", ".join(config.get("architectures") or [str(kind)])
        raise WeightsError(
            f"{spec.name} is a {named}, which Hugging Face's transformers does not have as a model that writes text.",
            "Choose a model such as GPT-2, Llama, Qwen or Gemma. Code that comes with a model's weights is never run."
            if kind
            else "Its config.json has no model_type: copy it from the model that this one was made of.",
        )


def described(network: PreTrainedModel, spec: ModelSpec) -> ArchitectureAdapter:
    """TransformerLens's description of a network. Raises WeightsError where it has none."""
    try:
        return adapter_of(network)
    except Exception as error:  # ValueError where it does not know the name, others where a part of it is unusual
        raise WeightsError(
            f"{spec.name} is a {type(network).__name__}, which TransformerLens's bridge does not support: "
            f"{first_line(error)}",
            "Choose a model of a family that it supports, such as GPT-2, Pythia, Llama, Qwen, Mistral or Gemma.",
        ) from error


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; `auto` is CUDA where there is one, then Apple's MPS, then the CPU.

    Raises EngineError when this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, is_there in there.items() if is_there))
    if not there.get(name):
        here = ", ".join(device for device, is_there in there.items() if is_there)
        raise EngineError(f"This machine has no device {name!r} that PyTorch can use.", f"Choose one of: auto, {here}.")
    return torch.device(name)


def require_memory(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> None:
    """Raise OutOfMemory when a model's weights do not fit: the system would end the program without a word."""
    need = spec.parameters * dtype.itemsize
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    if need > free:
        raise OutOfMemory(
            f"{spec.name} needs {need / 1e9:,.1f} GB of memory in {number_format(dtype)}, and {free / 1e9:,.1f} GB are "
            "free.",
            less_memory(spec, dtype),
        )


def less_memory(spec: ModelSpec, dtype: torch.dtype) -> str:
    """What takes less memory than a model in a number format."""
    half = "load it in half precision (`--dtype bfloat16`), " if dtype.itemsize > 2 else ""
    return f"Take a smaller model{f', such as {spec.smaller}' if spec.smaller else ''}, {half}or close other programs."


def number_type(name: str) -> torch.dtype:
    """The number format of this name: "float32", "bfloat16" or "float16"."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def number_format(dtype: torch.dtype) -> str:
    """A number format as settings name it: "float32"."""
    return str(dtype).removeprefix("torch.")


def require_files(folder: Path, names: tuple[str, ...], what: str) -> None:
    """Raise WeightsError unless a folder holds all these files and none is empty."""
    for name in names:
        path = folder / name
        if not path.is_file() or path.stat().st_size == 0:
            raise WeightsError(
                f"{what} cannot be loaded: {path} is {'empty' if path.is_file() else 'missing'}.",
                "Put the file back: reinstall AXON Shell, or copy the folder again.",
            )
        if name.endswith(".json"):
            try:
                json.loads(path.read_bytes())
            except ValueError as error:
                raise WeightsError(
                    f"{what} cannot be loaded: {path} is damaged ({error}).",
                    "Put the file back: reinstall AXON Shell, or copy the folder again.",
                ) from error


def out_of_memory(error: Exception) -> bool:
    """Whether an exception means that memory ran out; on the CPU PyTorch has no class of its own for that."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def first_line(error: BaseException) -> str:
    """What an exception says, without its second page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
