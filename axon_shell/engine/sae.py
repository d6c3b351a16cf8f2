"""A sparse autoencoder, ready to read activations: loaded and encoded by SAELens, decoded from active rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from sae_lens import SAE
from torch.nn.functional import embedding_bag

from .. import hub
from ..errors import OutOfMemory, WeightsError
from ..records import PublishedSae, SaeSpec
from .formats import saelens_sae
from .hooks import WRITES_TO_RESIDUAL, hook_point
from .model import Model, Report, first_line, out_of_memory, require_files
from .stream import widths

# Architectures whose activations are positive and whose reconstruction is a sum of decoder rows. BatchTopK and
# matryoshka SAEs are saved as JumpReLU.
SAES = ("standard", "gated", "jumprelu", "topk", "matching_pursuit")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
# What a model must be like for an SAE (TransformerLens's from_pretrained arguments): these change nothing at the hook
# points, so they ask for nothing.
HARMLESS = {"fold_ln", "center_unembed", "device", "dtype", "torch_dtype", "n_devices", "trust_remote_code"}
REFUSED = {
    "abstopk": "its features fire in two directions, and one that fires with a minus cannot be shown yet",
    "temporal": "it predicts part of each activation from all tokens before, which no feature stands for",
    "expected_average_only_in": "its files do not say the average length of its inputs, by which they must be scaled",
    "covariance_whitening": "its files do not hold the whitening that its inputs need",
}


@dataclass(frozen=True)
class Found:
    """What an SAE says about some positions: tensors with one row a position, on the SAE's device."""

    l0: torch.Tensor  # (P,) number of active features
    unexplained: torch.Tensor  # (P,)
    features: torch.Tensor  # (P, k) ids, strongest first
    activations: torch.Tensor  # (P, k), 0 where fewer than k fired
    gains: torch.Tensor  # (P, 1) what the SAE's own normalisation makes of one unit of a decoder row


@dataclass(frozen=True)
class Sae:
    """A loaded SAE and the places in a loaded model that it reads and reconstructs."""

    spec: SaeSpec
    sae: SAE
    target: str  # hook point of what it reconstructs: its own, or a transcoder's second one
    centre: bool  # subtract the mean over d_model first: the SAE was trained on a model with centred weights
    prepend_bos: bool | None  # whether it was trained on texts that begin with BOS; None: its files do not say
    notes: tuple[str, ...] = ()  # what a user should know before believing its numbers

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hook points it needs."""
        return tuple(dict.fromkeys((self.spec.hook, self.target)))

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Vectors as the SAE takes them: float32, centred where its metadata demands it."""
        x = x.to(self.sae.W_dec.dtype)
        return x - x.mean(-1, keepdim=True) if self.centre else x

    @torch.no_grad()
    def read(self, x: torch.Tensor, target: torch.Tensor, top_features: int) -> Found:
        """What the SAE says about each position: (P, width of its hook point), and what it reconstructs."""
        x = self.prepare(x)
        target = x if self.target == self.spec.hook else self.prepare(target)
        activations = self.sae.encode(x)  # (P, width)
        gains = self.gains(x)
        active = activations > 0
        l0 = active.sum(-1)
        strongest, features = activations.topk(min(top_features, activations.shape[-1]), dim=-1)  # (P, k)
        unexplained = self.unexplained(x, target, activations, active, l0)
        return Found(l0, unexplained, features, strongest, gains)

    def gains(self, x: torch.Tensor) -> torch.Tensor:
        """The gain of each position that was encoded last, (P, 1); SAELens keeps it until it decodes."""
        if self.is_transcoder or self.sae.cfg.normalize_activations == "none":
            return x.new_ones(len(x), 1)
        return self.sae.ln_std if self.sae.cfg.normalize_activations == "layer_norm" else 1 / self.sae.x_norm_coeff

    @property
    def is_transcoder(self) -> bool:
        """Whether it reconstructs another place than it reads."""
        return self.sae.cfg.architecture() in TRANSCODERS

    def rows(self, features: torch.Tensor) -> torch.Tensor:
        """What one unit of activation of each feature adds to the reconstruction: ids (...) -> (..., width)."""
        rows = self.sae.W_dec[features]
        return rows / rows.norm(dim=-1, keepdim=True) if self.rescales else rows

    @property
    def rescales(self) -> bool:
        """Whether activations count in units of their decoder row's length."""
        return bool(getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False))

    def unexplained(
        self, x: torch.Tensor, target: torch.Tensor, activations: torch.Tensor, active: torch.Tensor, l0: torch.Tensor
    ) -> torch.Tensor:
        """Share of each target vector's variance that the SAE does not reconstruct: (P,).

        sum((y - y_hat)^2) / sum((y - mean(y))^2), the mean over the vector's entries. On the CPU only the decoder
        rows of active features are touched, which is what makes it cheap for wide SAEs.
        """
        y_hat = self.reconstruction(x, activations, active, l0)
        variance = (target - target.mean(-1, keepdim=True)).square().sum(-1)
        return (target - y_hat).square().sum(-1) / variance.clamp_min(torch.finfo(target.dtype).tiny)

    def reconstruction(
        self, x: torch.Tensor, activations: torch.Tensor, active: torch.Tensor, l0: torch.Tensor
    ) -> torch.Tensor:
        """What the SAE makes of the vectors that it encoded last: (P, width of the target)."""
        # Reading all rows takes a GPU no longer than telling the host which ones are needed.
        on_cpu = x.device.type == "cpu"
        y_hat = self.sum_of_active_rows(activations, active, l0) if on_cpu else self.sum_of_all_rows(activations)
        # Matching pursuit decodes with W_dec alone where the bias does not come off the input.
        if self.sae.cfg.architecture() != "matching_pursuit" or self.sae.cfg.apply_b_dec_to_input:
            y_hat = y_hat + self.sae.b_dec
        if not self.is_transcoder:
            y_hat = self.sae.run_time_activation_norm_fn_out(y_hat)
        elif hasattr(self.sae, "W_skip"):
            y_hat = y_hat + x @ self.sae.W_skip.T
        return y_hat

    def sum_of_active_rows(self, activations: torch.Tensor, active: torch.Tensor, l0: torch.Tensor) -> torch.Tensor:
        """What the features add up to, without bias: (P, width of the target), from the rows of those that fire."""
        features = active.nonzero()[:, 1]  # position by position
        weights = activations[active]
        if self.rescales:
            weights = weights / self.sae.W_dec[features].norm(dim=-1)
        starts = l0.cumsum(0) - l0
        return embedding_bag(features, self.sae.W_dec, starts, mode="sum", per_sample_weights=weights)

    def sum_of_all_rows(self, activations: torch.Tensor) -> torch.Tensor:
        """The same, from all rows."""
        return (activations / self.sae.W_dec.norm(dim=-1) if self.rescales else activations) @ self.sae.W_dec


def first_token(model: Model, saes: Sequence[Sae]) -> int | None:
    """The token to put before a prompt: BOS where the SAEs were trained with one, else as the model itself takes it.

    Raises WeightsError when the SAEs disagree.
    """
    demands = {sae.prepend_bos: sae.spec.id for sae in saes if sae.prepend_bos is not None}
    if len(demands) == 2:
        raise WeightsError(
            f"{demands[True]} was trained on texts that begin with BOS, and {demands[False]} on texts that do not.",
            "Run them one after the other.",
        )
    return model.bos if next(iter(demands), model.spec.prepend_bos) else None


def load_sae(spec: SaeSpec, model: Model, report: Report) -> Sae:
    """The SAE that a spec describes, beside its model, in float32.

    Raises WeightsError when files are missing or damaged, when the SAE belongs to another place or model, or when it
    demands something that cannot be honoured: a wrongly scaled number is worse than none.
    """
    report(f"Loading SAE {spec.id}")
    if spec.refused:
        raise refusal(spec, spec.refused)
    sae = read_files(spec, str(model.device)).eval().requires_grad_(False)
    config, metadata = sae.cfg, sae.cfg.metadata
    architecture, normalization = config.architecture(), config.normalize_activations
    for what, found, supported in (
        ("architecture", architecture, (*SAES, *TRANSCODERS)),
        ("normalisation of its input", normalization, NORMALIZATIONS),
    ):
        if found not in supported:
            reason = REFUSED.get(found, f"only {', '.join(supported)} are known")
            raise refusal(spec, f"its {what} is {found!r}: {reason}")
    if metadata.hook_head_index is not None:
        raise refusal(spec, f"it reads head {metadata.hook_head_index} alone, not the whole hook point")
    listed = isinstance(spec.weights, PublishedSae)  # then the hook and width of the spec were read off names
    if not (metadata.hook_name or spec.hook):
        raise WeightsError(f"The files of SAE {spec.id} do not say which place it reads.", "Give its entry a `hook`.")
    if metadata.hook_name and spec.hook and not listed and metadata.hook_name != spec.hook:
        raise WeightsError(
            f"SAE {spec.id} was trained at {metadata.hook_name}, not at {spec.hook}.",
            "Correct the hook of this SAE where it is registered.",
        )
    if spec.width and config.d_sae != spec.width and not listed:
        raise WeightsError(
            f"SAE {spec.id} has {config.d_sae} features, but is registered with {spec.width}.",
            "Correct its width where it is registered, or restore its files.",
        )
    spec = replace(spec, hook=usual_name(model, metadata.hook_name or spec.hook), width=config.d_sae)
    target = metadata.hook_name_out if architecture in TRANSCODERS else spec.hook
    if not target:
        raise refusal(spec, "its files do not say which place it reconstructs")
    there = widths(model, (spec.hook, target))
    for hook, width in ((spec.hook, config.d_in), (target, getattr(config, "d_out", config.d_in))):
        if hook not in there:  # TransformerLens has the name, but fills it on demand only
            raise WeightsError(
                f"SAE {spec.id} reads {hook}, where nothing passes in {model.spec.name}.",
                "Give its entry the `hook` of a place near by: hook_resid_mid comes before a layer's MLP.",
            )
        if width != there[hook]:
            raise WeightsError(
                f"SAE {spec.id} takes vectors of {width} numbers at {hook}, where {model.spec.name} has {there[hook]}.",
                f"It was trained on {metadata.model_name or 'another model'}: choose an SAE of {model.spec.id}.",
            )
    if spec.hook.endswith("_z"):
        sae.turn_off_forward_pass_hook_z_reshaping()  # our hook points carry all heads side by side already
    for weight in sae.parameters():
        weight.data = weight.data.contiguous()  # some formats are read as a transposed view: twice as slow in use
    centre = demanded_centring(spec, metadata.model_from_pretrained_kwargs or {})
    return Sae(
        spec,
        sae,
        target,
        centre=centre and spec.hook.endswith(WRITES_TO_RESIDUAL),  # elsewhere centred weights change nothing
        prepend_bos=metadata.prepend_bos,
        notes=notes(spec, model, metadata),
    )


def read_files(spec: SaeSpec, device: str) -> SAE:
    """What SAELens makes of the files of a spec. Raises WeightsError when it cannot."""
    files = hub.on_hub(spec)
    if files and not hub.held(files):
        raise WeightsError(
            f"SAE {spec.id} is not on this machine.", f"Fetch it: `axon-shell download {spec.model} {spec.id}`."
        )
    if isinstance(spec.weights, Path):
        require_files(spec.weights, ("cfg.json", "sae_weights.safetensors"), f"SAE {spec.id}")
    try:
        return saelens_sae(spec.weights, spec.hook, device)
    except WeightsError:
        raise
    except UnpicklingError as error:
        raise WeightsError(
            f"SAE {spec.id} is not loaded from {spec.weights}: it is pickled, and holds something else than numbers, "
            "or is damaged. Code in weights is never run.",
            "Take it from somewhere you trust, best as safetensors.",
        ) from error
    # SAELens and safetensors raise many kinds for one thing: these files are no SAE that it can read.
    except Exception as error:
        if out_of_memory(error):
            raise OutOfMemory(
                f"SAE {spec.id} does not fit into memory.", "Choose an SAE with fewer features, or fewer SAEs."
            ) from error
        raise WeightsError(
            f"SAE {spec.id} could not be loaded from {spec.weights}: {first_line(error)}",
            "Its files may be damaged or in another format; install or download them again.",
        ) from error


def usual_name(model: Model, hook: str) -> str:
    """The name of a place as part of the residual stream's, where it is one.

    What an MLP gives is hook_mlp_out in most models; Gemma normalises it first.
    """
    for inner, usual in (("mlp.hook_out", "hook_mlp_out"), ("attn.hook_out", "hook_attn_out")):
        if hook.endswith(inner):
            name = hook.removesuffix(inner) + usual
            here, there = (hook_point(model.network, model.adapter, one) for one in (hook, name))
            if here and there and (here.module, here.before) == (there.module, there.before):
                return name
    return hook


def refusal(spec: SaeSpec, reason: str) -> WeightsError:
    """The error for an SAE that could only be shown with wrong numbers."""
    return WeightsError(f"SAE {spec.id} cannot be used: {reason}.", "Choose another SAE.")


def demanded_centring(spec: SaeSpec, demands: dict[str, Any]) -> bool:
    """Whether the SAE wants centred weights. Raises WeightsError when it wants what cannot be honoured."""
    for name, value in demands.items():
        if value and name not in HARMLESS | {"center_writing_weights"}:
            raise refusal(spec, f"it was trained on a model loaded with {name}={value!r}, which changes activations")
    return bool(demands.get("center_writing_weights"))


def notes(spec: SaeSpec, model: Model, metadata: Any) -> tuple[str, ...]:
    """What a user should know before believing the numbers of an SAE."""
    found = []
    if metadata.context_size and metadata.context_size < model.spec.context:
        found.append(
            f"{spec.id} was trained on texts of {metadata.context_size} tokens: what it says later is a guess."
        )
    own = {plain_name(name) for name in (spec.model, model.spec.id, str(model.spec.weights))}
    if metadata.model_name and plain_name(metadata.model_name) not in own:
        found.append(f"{spec.id} was trained on {metadata.model_name}, not on {model.spec.name}.")
    if model.find([spec.hook]).bridged:
        found.append(f"{spec.hook} is read through TransformerLens's bridge: exact, but slower.")
    return tuple(found)


def plain_name(model: str) -> str:
    """A model's name without its owner, as TransformerLens, the hub and Neuronpedia differ in it."""
    name = model.split("/")[-1].lower()
    return "gpt2-small" if name == "gpt2" else name
