"""A sparse autoencoder, ready to read activations: loaded and encoded by SAELens, decoded from active rows only."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from sae_lens import SAE
from torch.nn.functional import embedding_bag

from ..errors import WeightsError
from ..records import ActiveFeature, Reading, SaeSpec
from .hooks import HookPoint, hook_point
from .model import Model, Report, first_line, require_files


@dataclass(frozen=True)
class Sae:
    """A loaded SAE and the place in a loaded model that it reads."""

    spec: SaeSpec
    sae: SAE
    point: HookPoint
    centre: bool  # subtract the mean over d_model first: the SAE was trained on a model with centred weights

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of all features: (positions, d_model) -> (positions, width)."""
        return self.sae.encode(self.prepare(x))

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """The vectors as the SAE takes them: float32, centred where its metadata demands it."""
        x = x.to(self.sae.W_dec.dtype)
        return x - x.mean(-1, keepdim=True) if self.centre else x

    @torch.no_grad()
    def read(self, x: torch.Tensor, top_features: int) -> list[Reading]:
        """What the SAE says about each position: (positions, d_model) -> one Reading each."""
        activations = self.encode(x)  # (P, width)
        active = activations > 0
        l0 = active.sum(-1)
        strongest, features = activations.topk(min(top_features, activations.shape[-1]), dim=-1)  # (P, k)
        unexplained = self.unexplained(self.prepare(x), activations, active, l0)
        return [
            Reading(
                l0=count,
                unexplained=share,
                features=tuple(ActiveFeature(f, a) for f, a in zip(names, values, strict=True) if a > 0),
            )
            for count, share, names, values in zip(
                l0.tolist(), unexplained.tolist(), features.tolist(), strongest.tolist(), strict=True
            )
        ]

    def unexplained(
        self, x: torch.Tensor, activations: torch.Tensor, active: torch.Tensor, l0: torch.Tensor
    ) -> torch.Tensor:
        """Share of each vector's variance that the SAE does not reconstruct: (positions,).

        sum((x - x_hat)^2) / sum((x - mean(x))^2), the mean over d_model. Only the decoder rows of active features are
        touched, which is what makes it cheap for wide SAEs.
        """
        rows = active.nonzero()[:, 1]  # feature ids, position by position
        starts = l0.cumsum(0) - l0
        x_hat = embedding_bag(rows, self.sae.W_dec, starts, mode="sum", per_sample_weights=activations[active])
        x_hat = x_hat + self.sae.b_dec
        variance = (x - x.mean(-1, keepdim=True)).square().sum(-1)
        return (x - x_hat).square().sum(-1) / variance.clamp_min(torch.finfo(x.dtype).tiny)


def load_sae(spec: SaeSpec, model: Model, report: Report) -> Sae:
    """The SAE that a spec describes, beside its model, in float32.

    Raises WeightsError when files are missing or damaged, when the SAE belongs to another place or size of model, or
    when it demands something that cannot be honoured: a wrongly scaled number is worse than none.
    """
    report(f"Loading SAE {spec.id}")
    folder = Path(spec.weights)
    require_files(folder, ("cfg.json", "sae_weights.safetensors"), f"SAE {spec.id}")
    try:
        with warnings.catch_warnings():
            # SAELens warns that the metadata makes demands on the model; they are honoured below.
            warnings.simplefilter("ignore")
            sae = SAE.load_from_disk(folder, device=str(model.device), dtype="float32")
    # SAELens and safetensors raise many kinds for one thing: these files are no SAE that it can read.
    except Exception as error:
        raise WeightsError(
            f"SAE {spec.id} could not be loaded from {folder}: {first_line(error)}",
            "Its files may be damaged or in another format; install or download them again.",
        ) from error
    sae.eval().requires_grad_(False)
    metadata = sae.cfg.metadata
    point = hook_point(model.network, spec.hook)
    if metadata.hook_name not in (None, spec.hook):
        raise WeightsError(
            f"SAE {spec.id} was trained at {metadata.hook_name}, not at {spec.hook}.",
            "Correct the hook of this SAE where it is registered.",
        )
    if sae.cfg.d_in != model.width:
        raise WeightsError(
            f"SAE {spec.id} reads vectors of {sae.cfg.d_in} numbers, but {model.spec.name} has {model.width}.",
            "It was trained on another model: choose one that lists this SAE.",
        )
    if sae.cfg.d_sae != spec.width:
        raise WeightsError(
            f"SAE {spec.id} has {sae.cfg.d_sae} features, but is registered with {spec.width}.",
            "Correct its width where it is registered, or restore its files.",
        )
    if sae.cfg.normalize_activations != "none":
        raise WeightsError(
            f"SAE {spec.id} wants its input normalised ({sae.cfg.normalize_activations}), which is not supported yet.",
            "Choose another SAE of this model.",
        )
    demands = metadata.model_from_pretrained_kwargs or {}
    return Sae(spec, sae, point, centre=bool(demands.get("center_writing_weights")))
