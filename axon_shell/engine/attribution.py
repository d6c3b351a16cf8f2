"""Why this token: what each active feature adds to the logit of the token that followed, directly.

Direct logit attribution (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"): a feature's share of
the residual stream, sent straight through the final normalisation, whose scale at this position is held fixed, and the
unembedding. What later layers make of the feature is left out, so the sum over features is not the whole logit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from ..records import ActiveFeature, Reading
from .model import Model
from .sae import Sae

# Places whose vectors are added to the residual stream as they are, or are the stream itself.
WRITES_TO_RESIDUAL = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")


@dataclass(frozen=True)
class DirectPath:
    """The way from the residual stream to the logits: final normalisation and unembedding."""

    norm: nn.Module
    weight: torch.Tensor  # (d_model,), of the final normalisation
    centres: bool  # a LayerNorm takes the mean off, an RMSNorm does not
    epsilon: float
    unembed: torch.Tensor  # (vocabulary, d_model)

    @torch.no_grad()
    def direction(self, residual: torch.Tensor, token: int) -> torch.Tensor:
        """What one unit of the residual stream adds to a token's logit, (d_model,).

        `residual` is the stream at that position before the final normalisation, (d_model,). Where a model caps its
        logits (Gemma 2), this is the logit before the cap.
        """
        residual = residual.float()
        spread = residual.var(unbiased=False) if self.centres else residual.square().mean()
        direction = self.unembed[token].float() * self.weight.float() / (spread + self.epsilon).sqrt()
        return direction - direction.mean() if self.centres else direction


def direct_path(model: Model) -> DirectPath:
    """The direct path of a loaded model."""
    norm = model.adapter.get_component(model.network, "ln_final")
    weight = norm.weight.detach()
    return DirectPath(
        norm=norm,
        # Gemma stores the difference of each weight from 1.
        weight=1 + weight if type(norm).__name__.startswith("Gemma") else weight,
        centres=isinstance(norm, nn.LayerNorm),
        epsilon=norm.eps if hasattr(norm, "eps") else norm.variance_epsilon,
        unembed=model.network.get_output_embeddings().weight.detach(),
    )


@torch.no_grad()
def with_effects(reading: Reading, gain: float, sae: Sae, direction: torch.Tensor | None) -> Reading:
    """A reading whose features carry their direct effect on the token that a direction stands for, if there is one.

    `gain` is that of `Sae.read` at this position.
    """
    if direction is None or not reading.features or not sae.spec.hook.endswith(WRITES_TO_RESIDUAL):
        return reading
    rows = sae.directions([active.feature for active in reading.features])  # (k, d_model)
    activations = rows.new_tensor([active.activation for active in reading.features])
    effects = (rows @ direction.to(rows.dtype)) * activations * gain
    return replace(
        reading,
        features=tuple(
            ActiveFeature(active.feature, active.activation, effect)
            for active, effect in zip(reading.features, effects.tolist(), strict=True)
        ),
    )
