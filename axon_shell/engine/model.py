"""A language model, ready to run: Hugging Face weights addressed by TransformerLens's hook names.

The forward pass is Hugging Face's, because it caches keys and values without copying weights; TransformerLens names the
places in it and is the oracle of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import EngineError, PromptError, WeightsError
from ..records import ModelSpec, require_prompt
from .hooks import adapter_of

DEFAULT_THREADS = torch.get_num_threads()
SMALL = 20_000_000  # weights
Report = Callable[[str], None]  # told the stage that begins: "Loading Tiny World"


@dataclass(frozen=True)
class Model:
    """A loaded model with its tokenizer, on one device."""

    spec: ModelSpec
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    bos: int | None  # token id put before every prompt, None where the model takes none
    ends: frozenset[int]  # token ids that end a text
    adapter: ArchitectureAdapter  # TransformerLens's description of the network

    @property
    def width(self) -> int:
        """Entries of the residual stream (d_model)."""
        return self.network.config.get_text_config().hidden_size

    def tokens(self, prompt: str) -> list[int]:
        """The prompt's token ids, BOS first where the model has one.

        Raises PromptError when the prompt is empty or longer than the context; nothing is cut off silently.
        """
        require_prompt(prompt)
        ids = self.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        ids = ([] if self.bos is None else [self.bos]) + ids
        if len(ids) > self.spec.context:
            raise PromptError(
                f"The prompt has {len(ids)} tokens, but {self.spec.name} reads at most {self.spec.context}.",
                f"Shorten the prompt by at least {len(ids) - self.spec.context} tokens.",
            )
        return ids


def load_model(spec: ModelSpec, device: torch.device, report: Report) -> Model:
    """The model that a spec describes, in float32, on a device.

    Raises WeightsError when files are missing, damaged or do not fit, EngineError when memory runs out.
    """
    report(f"Loading {spec.name}")
    if isinstance(spec.weights, Path):
        require_files(spec.weights, ("config.json", "tokenizer.json", "model.safetensors"), spec.name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(spec.weights)
        network, loaded = AutoModelForCausalLM.from_pretrained(
            spec.weights, dtype=torch.float32, output_loading_info=True, use_safetensors=True
        )
    # The libraries raise OSError, ValueError, RuntimeError, KeyError and their own kinds for one and the same thing:
    # these files are not the weights of this model.
    except Exception as error:
        if out_of_memory(error):
            raise EngineError(f"{spec.name} does not fit into memory.", "Choose a smaller model.") from error
        raise WeightsError(
            f"{spec.name} could not be loaded from {spec.weights}: {first_line(error)}",
            "Its files may be damaged or incomplete; install or download them again.",
        ) from error
    # Hugging Face fills gaps with random numbers and only warns.
    if gaps := sorted(loaded["missing_keys"]) + sorted(str(key) for key in loaded["mismatched_keys"]):
        raise WeightsError(
            f"The weights of {spec.name} lack {gaps[0]}" + (f" and {len(gaps) - 1} more." if len(gaps) > 1 else "."),
            "The folder holds another model's weights or an incomplete copy; install or download it again.",
        )
    network = network.to(device).eval().requires_grad_(False)
    # Sharing the work of a small model among threads takes longer than the work, several times so on a busy machine.
    small = sum(p.numel() for p in network.parameters()) < SMALL
    torch.set_num_threads(1 if small else DEFAULT_THREADS)
    bos = tokenizer.bos_token_id if spec.prepend_bos else None
    ends = network.generation_config.eos_token_id if network.generation_config else None
    ends = tokenizer.eos_token_id if ends is None else ends
    return Model(
        spec=spec,
        network=network,
        tokenizer=tokenizer,
        device=device,
        dtype=torch.float32,
        bos=bos,
        adapter=adapter_of(network),
        ends=frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends),
    )


def choose_device() -> torch.device:
    """CUDA where there is one, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


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
