"""Hook points: TransformerLens's names for places in Hugging Face's own modules.

TransformerLens's architecture adapters say which Hugging Face module each of its components is; a forward hook on that
module then sees what TransformerLens would show under the name, at no cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.sources import build_bridge_config_from_hf
from transformers import PreTrainedModel

from ..errors import WeightsError


@dataclass(frozen=True)
class HookPoint:
    """A place in the forward pass: what goes into a module, or what comes out of it."""

    name: str
    module: nn.Module
    before: bool  # True: the module's first input; False: its (first) output

    def attach(self, take: Callable[[torch.Tensor], None]) -> RemovableHandle:
        """Have `take` called with the tensor at this place, (batch, positions, width), in every forward pass."""
        if self.before:

            def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
                take(args[0] if args else kwargs["hidden_states"])

            return self.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(module: nn.Module, args: tuple, output: torch.Tensor | tuple) -> None:
            take(output[0] if isinstance(output, tuple) else output)

        return self.module.register_forward_hook(after)


def adapter_of(network: PreTrainedModel) -> ArchitectureAdapter:
    """TransformerLens's description of a Hugging Face model."""
    config = build_bridge_config_from_hf(
        network.config, type(network).__name__, network.config.name_or_path, torch.float32
    )
    return ArchitectureAdapterFactory.select_architecture_adapter(config)


def hook_point(network: PreTrainedModel, name: str) -> HookPoint:
    """The place that a TransformerLens hook name stands for, such as `blocks.8.hook_resid_pre`.

    Raises WeightsError when the model has no such place.
    """
    adapter = adapter_of(network)
    match = re.fullmatch(r"blocks\.(\d+)\.([\w.]+)", name)
    layers = network.config.get_text_config().num_hidden_layers
    if not match or int(match[1]) >= layers:
        raise WeightsError(f"The model has no hook point {name}.", f"It has blocks.0 to blocks.{layers - 1}.")
    component = adapter.get_component_mapping()["blocks"]
    path, (*inner, hook) = ["blocks", match[1]], match[2].split(".")
    try:
        # An alias such as hook_z of attn leads further in (o.hook_in), until it is the input or output of a component.
        while True:
            for part in inner:
                component = component.submodules[part]
                path.append(part)
            if hook in ("hook_in", "hook_out"):
                break
            *inner, hook = component.hook_aliases[hook].split(".")
        return HookPoint(name, adapter.get_component(network, ".".join(path)), before=hook == "hook_in")
    except (KeyError, AttributeError, ValueError) as error:
        known = ", ".join(sorted(adapter.get_component_mapping()["blocks"].hook_aliases))
        raise WeightsError(f"The model has no hook point {name}.", f"Each of its blocks has {known}.") from error
