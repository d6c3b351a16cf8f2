"""The GPT-2 family (Radford et al. 2019): four sizes of one architecture. SAEs are published for the smallest only."""

from __future__ import annotations

from collections.abc import Callable

from axon_shell import ModelSpec, SaeSpec, hookimpl, hub_model, published_saes

# size: hub repository, parameters, bytes on the hub, block of the first hook point, the next smaller model
SIZES = {
    "small": ("gpt2", 124_439_808, 548_105_171, 8, "tiny-world"),
    "medium": ("gpt2-medium", 354_823_168, 1_519_984_962, 16, "gpt2-small"),
    "large": ("gpt2-large", 774_030_080, 3_247_159_078, 24, "gpt2-medium"),
    "xl": ("gpt2-xl", 1_557_611_200, 6_431_829_964, 32, "gpt2-large"),
}
RESIDUAL_WIDTH = 768  # of the smallest
# Features of the SAEs whose names do not say it.
WIDTHS = {
    "gpt2-small-res-jb": 24_576,
    **{f"gpt2-small-res_{kind}-ajt": 46_080 for kind in ("sce", "scefr", "scl", "sle", "slefr", "sll")},
}
WITHOUT_SAE = (
    "No SAE is published for it: it writes without features until you add one of your own (docs/models-and-saes.md)."
)
EXAMPLES = (
    "The capital of France is",
    "When Mary and John went to the store, John gave a drink to",
    "def fibonacci(n):",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Every size."""
    for size, (repo, parameters, size_bytes, block, smaller) in SIZES.items():
        has_sae = size == "small"
        register(
            ModelSpec(
                id=f"gpt2-{size}",
                name=f"GPT-2 {'XL' if size == 'xl' else size}",
                family="gpt2",
                weights=hub_model(repo),
                context=1024,
                size_bytes=size_bytes,
                parameters=parameters,
                sae="gpt2-small/8-res-jb" if has_sae else "",
                hook=f"blocks.{block}.hook_resid_pre",
                smaller=smaller,
                examples=EXAMPLES,
                about="The model most SAEs were first tried on." if has_sae else WITHOUT_SAE,
            )
        )


@hookimpl
def register_saes(register: Callable[[SaeSpec], None]) -> None:
    """What SAELens's directory has for the smallest."""
    for sae in published_saes("gpt2-small", RESIDUAL_WIDTH, WIDTHS):
        register(sae)
