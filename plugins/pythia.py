"""The Pythia family (Biderman et al. 2023, arXiv:2304.01373): ten sizes, eight of them also on deduplicated text."""

from __future__ import annotations

from collections.abc import Callable

from axon_shell import ModelSpec, SaeSpec, hookimpl, hub_model, published_saes

# size: parameters, blocks
SIZES = {
    "14m": (14_067_712, 6),
    "31m": (30_494_720, 6),
    "70m": (70_426_624, 6),
    "160m": (162_322_944, 12),
    "410m": (405_334_016, 24),
    "1b": (1_011_781_632, 16),
    "1.4b": (1_414_647_808, 24),
    "2.8b": (2_775_208_960, 32),
    "6.9b": (6_857_302_016, 32),
    "12b": (11_846_072_320, 36),
}
WITH_SAES = "pythia-70m-deduped"
RESIDUAL_WIDTH = 512  # of that one
WIDTHS = {f"pythia-70m-deduped-{place}-sm": 32_768 for place in ("att", "mlp", "res")}
HALF, MASK = 2, 2048 * 2048  # bytes of a number, and of the attention mask that each block's file carries
WITHOUT_SAE = (
    "No SAE is published for it: it writes without features until you add one of your own (docs/models-and-saes.md)."
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Every size, and its deduplicated sibling from 70m on."""
    smaller = "tiny-world"
    for size, (parameters, blocks) in SIZES.items():
        for suffix in ("", "-deduped") if parameters > 70e6 else ("",):
            id = f"pythia-{size}{suffix}"
            register(
                ModelSpec(
                    id=id,
                    name=f"Pythia {size}{suffix.replace('-', ' ')}",
                    family="pythia",
                    weights=hub_model(f"EleutherAI/{id}"),
                    context=2048,
                    size_bytes=HALF * parameters + blocks * MASK,
                    parameters=parameters,
                    sae=f"{WITH_SAES}/3-res-sm" if id == WITH_SAES else "",
                    hook=f"blocks.{blocks // 2}.hook_resid_post",
                    prepend_bos=False,  # it was trained on texts that do not begin with one
                    smaller=smaller,
                    examples=("The capital of France is", "Once upon a time"),
                    about="The only Pythia with published SAEs." if id == WITH_SAES else WITHOUT_SAE,
                )
            )
        smaller = f"pythia-{size}"


@hookimpl
def register_saes(register: Callable[[SaeSpec], None]) -> None:
    """What SAELens's directory has."""
    for sae in published_saes(WITH_SAES, RESIDUAL_WIDTH, WIDTHS):
        register(sae)
