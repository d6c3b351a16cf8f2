"""Why this token: what each active feature adds to the logit of the token that followed, directly.

Direct logit attribution (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"): a feature's share of
the residual stream, sent straight through the final normalisation, whose scale at this position is held fixed, and the
unembedding. What later layers make of the feature is left out, so the sum over features is not the whole logit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .hooks import WRITES_TO_RESIDUAL
from .model import Model
from .sae import Found, Sae


@dataclass(frozen=True)
class DirectPath:
    """The way from the residual stream to the logits: final normalisation and unembedding."""

    norm: nn.Module
    weight: torch.Tensor  # (d_model,), of the final normalisation
    centres: bool  # a LayerNorm takes the mean off, an RMSNorm does not
    epsilon: float
    unembed: torch.Tensor  # (vocabulary, d_model)
    unembed_bias: torch.Tensor | None  # (vocabulary,)

    @torch.no_grad()
    def directions(self, residual: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """What one unit of the residual stream adds to the logit of a token: one direction a position, (P, d_model).

        `residual` is the stream before the final normalisation, (P, d_model), `tokens` one id for each position. Where
        a model caps its logits (Gemma 2), this is the logit before the cap.
        """
        residual = residual.float()
        spread = residual.var(-1, unbiased=False) if self.centres else residual.square().mean(-1)
        directions = self.unembed[tokens].float() * self.weight.float() / (spread + self.epsilon).sqrt()[:, None]
        return directions - directions.mean(-1, keepdim=True) if self.centres else directions

    def bias(self, token: int) -> float:
        """What the logit of a token has whatever is in the residual stream."""
        found = 0.0
        if (bias := getattr(self.norm, "bias", None)) is not None:
            found += float(bias.float() @ self.unembed[token].float())
        return found if self.unembed_bias is None else found + float(self.unembed_bias[token])


def direct_path(model: Model) -> DirectPath:
    """The direct path of a loaded model."""
    norm = model.adapter.get_component(model.network, "ln_final")
    unembed = model.network.get_output_embeddings().weight.detach()
    weight = getattr(norm, "weight", None)  # OLMo's has none
    weight = unembed.new_ones(unembed.shape[1]) if weight is None else weight.detach()
    return DirectPath(
        norm=norm,
        # Gemma stores the difference of each weight from 1.
        weight=1 + weight if type(norm).__name__.startswith("Gemma") else weight,
        centres=type(norm).__name__.endswith("LayerNorm"),  # PyTorch's, OLMo's, Cohere's; the others are RMSNorms
        epsilon=next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 1e-5),
        unembed=unembed,
        unembed_bias=getattr(model.network.get_output_embeddings(), "bias", None),
    )


def way_to_residual(model: Model, hook: str) -> torch.Tensor | bool:
    """How a vector at a hook point reaches the residual stream.

    True: it is added as it is. A matrix (width, d_model): through these weights, as the heads' outputs (hook_z) do.
    False: not in a straight line.
    """
    if hook.endswith(WRITES_TO_RESIDUAL):
        return True
    block = hook.removesuffix(".attn.hook_z")
    blocks = model.adapter.get_component_mapping()["blocks"]
    if block == hook or "ln1_post" in blocks.submodules:  # Gemma 2 normalises what the heads add
        return False
    output = model.adapter.get_component(model.network, f"{block}.attn.o")
    return output.weight.detach().T if isinstance(output, nn.Linear) else output.weight.detach()


@torch.no_grad()
def direct_effects(found: Found, sae: Sae, way: torch.Tensor | bool, directions: torch.Tensor) -> torch.Tensor | None:
    """What each of the strongest features adds directly to the logit that a direction stands for: (P, k).

    `directions` are those of `DirectPath` at the same positions, `way` that of the SAE's target. None where features
    do not reach the residual stream in a straight line.
    """
    if way is False:
        return None
    if isinstance(way, torch.Tensor):
        directions = directions @ way.float().T  # (P, width of the hook point)
    rows = sae.rows(found.features)  # (P, k, width)
    return (rows @ directions[:, :, None].to(rows.dtype))[:, :, 0] * found.activations * found.gains
