"""The Gemma 2 family (Gemma Team 2024, arXiv:2408.00118) with Gemma Scope (Lieberum et al. 2024, arXiv:2408.05147)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from axon_shell import ModelSpec, SaeSpec, hookimpl, hub_model, published_saes

# size: parameters, entries of the residual stream, block of the first hook point, width of the first SAE
SIZES = {
    "2b": (2_614_341_888, 2304, 12, "16k"),
    "9b": (9_241_705_984, 3584, 20, "16k"),
    "27b": (27_227_128_320, 4608, 22, "131k"),
}
BYTES = {"": 4, "-it": 2}  # of a number on the hub: float32, and bfloat16 for those tuned to instructions
FIRST = {"2b", "9b", "27b", "9b-it"}  # that have SAEs
# Features of the SAEs whose names do not say it.
WITHOUT_SAE = (
    "No SAE is published for it: it writes without features until you add one of your own (docs/models-and-saes.md)."
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Every size, and its sibling tuned to follow instructions."""
    smaller = "gpt2-small"
    for size, (parameters, _, block, width) in SIZES.items():
        for suffix, number in BYTES.items():
            id = f"gemma-2-{size}{suffix}"
            has_sae = f"{size}{suffix}" in FIRST
            register(
                ModelSpec(
                    id=id,
                    name=f"Gemma 2 {size.upper()}{' instruct' if suffix else ''}",
                    family="gemma2",
                    weights=hub_model(f"google/{id}"),
                    context=8192,
                    size_bytes=number * parameters,
                    parameters=parameters,
                    sae=f"{id}/{block}-gemmascope-res-{width}" if has_sae else "",
                    hook=f"blocks.{block}.hook_resid_post",
                    licence=f"https://huggingface.co/google/{id}",
                    smaller=smaller,
                    examples=("The capital of France is", "The opposite of hot is"),
                    about="Google's licence must be accepted on its page first. "
                    + ("Gemma Scope reads every block of it." if has_sae else WITHOUT_SAE),
                )
            )
        smaller = f"gemma-2-{size}"


@hookimpl
def register_saes(register: Callable[[SaeSpec], None]) -> None:
    """What SAELens's directory has."""
    for size, (_, residual_width, _, _) in SIZES.items():
        for suffix in BYTES:
            for sae in published_saes(f"gemma-2-{size}{suffix}", residual_width):
                # The directory lists some that read the sibling under the plain model.
                if not suffix and "-it-" in sae.weights.release:
                    it = f"{sae.model}-it"
                    sae = replace(sae, model=it, id=sae.id.replace(sae.model, it, 1))
                register(sae)
