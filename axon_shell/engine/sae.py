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

# Architectures whose activations are positive and whose reconstruction is a sum of decoder rows.
ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")
NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")


@dataclass(frozen=True)
class Sae:
    """A loaded SAE and the place in a loaded model that it reads."""

    spec: SaeSpec
    sae: SAE
    point: HookPoint
    centre: bool  # subtract the mean over d_model first: the SAE was trained on a model with centred weights

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """The vectors as the SAE takes them: float32, centred where its metadata demands it."""
        x = x.to(self.sae.W_dec.dtype)
        return x - x.mean(-1, keepdim=True) if self.centre else x

    @torch.no_grad()
    def read(self, x: torch.Tensor, top_features: int) -> tuple[list[Reading], list[float]]:
        """What the SAE says about each position: (positions, d_model) -> a Reading and a gain each.

        The gain is what the SAE's own normalisation of its input makes of one unit of a decoder row; 1 without.
        """
        x = self.prepare(x)
        activations = self.sae.encode(x)  # (P, width)
        gains = self.gains(len(x))
        active = activations > 0
        l0 = active.sum(-1)
        strongest, features = activations.topk(min(top_features, activations.shape[-1]), dim=-1)  # (P, k)
        unexplained = self.unexplained(x, activations, active, l0)
        readings = [
            Reading(
                l0=count,
                unexplained=share,
                features=tuple(ActiveFeature(f, a) for f, a in zip(names, values, strict=True) if a > 0),
            )
            for count, share, names, values in zip(
                l0.tolist(), unexplained.tolist(), features.tolist(), strongest.tolist(), strict=True
            )
        ]
        return readings, gains

    def gains(self, positions: int) -> list[float]:
        """The gain of each position that was encoded last; SAELens keeps it until it decodes."""
        if self.sae.cfg.normalize_activations == "layer_norm":
            return self.sae.ln_std[:, 0].tolist()
        if self.sae.cfg.normalize_activations == "constant_norm_rescale":
            return (1 / self.sae.x_norm_coeff[:, 0]).tolist()
        return [1.0] * positions

    def directions(self, features: list[int]) -> torch.Tensor:
        """What one unit of activation of each feature adds to the reconstruction: (k, d_model)."""
        rows = self.sae.W_dec[features]
        return rows / rows.norm(dim=-1, keepdim=True) if self.rescales else rows

    @property
    def rescales(self) -> bool:
        """Whether activations count in units of their decoder row's length."""
        return bool(getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False))

    def unexplained(
        self, x: torch.Tensor, activations: torch.Tensor, active: torch.Tensor, l0: torch.Tensor
    ) -> torch.Tensor:
        """Share of each vector's variance that the SAE does not reconstruct: (positions,).

        sum((x - x_hat)^2) / sum((x - mean(x))^2), the mean over d_model. Only the decoder rows of active features are
        touched, which is what makes it cheap for wide SAEs.
        """
        rows = active.nonzero()[:, 1]  # feature ids, position by position
        starts = l0.cumsum(0) - l0
        weights = activations[active]
        if self.rescales:
            weights = weights / self.sae.W_dec[rows].norm(dim=-1)
        x_hat = embedding_bag(rows, self.sae.W_dec, starts, mode="sum", per_sample_weights=weights)
        x_hat = self.sae.run_time_activation_norm_fn_out(x_hat + self.sae.b_dec)
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
    architecture, normalization = sae.cfg.architecture(), sae.cfg.normalize_activations
    for what, found, supported in (
        ("architecture", architecture, ARCHITECTURES),
        ("normalisation of its input", normalization, NORMALIZATIONS),
    ):
        if found not in supported:
            raise WeightsError(
                f"SAE {spec.id} has the {what} {found!r}, which is not supported.",
                f"Choose an SAE with one of: {', '.join(supported)}.",
            )
    if spec.hook.endswith("_z"):
        sae.turn_off_forward_pass_hook_z_reshaping()  # our hook points carry all heads side by side already
    demands = metadata.model_from_pretrained_kwargs or {}
    return Sae(spec, sae, point, centre=bool(demands.get("center_writing_weights")))
