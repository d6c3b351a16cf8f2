"""Hook points: TransformerLens's names for places in Hugging Face's own modules.

TransformerLens's architecture adapters say which Hugging Face module each of its components is; a forward hook on that
module then sees what TransformerLens would show under the name, at no cost. Places that no module's input or output is,
such as the queries of one head, are found in a bridge: TransformerLens's own modules around the same weights, which
compute step by step what Hugging Face's modules compute in one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.sources import build_bridge_config_from_hf
from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Places whose vectors are added to the residual stream as they are, or are the stream itself.
WRITES_TO_RESIDUAL = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
FINAL_RESIDUAL = "ln_final.hook_in"  # the residual stream before the final normalisation


@dataclass(frozen=True)
class HookPoint:
    """A place in the forward pass: what goes into a module, or what comes out of it."""

    name: str
    module: nn.Module
    before: bool  # True: the module's first input; False: its (first) output

    def attach(self, take: Callable[[torch.Tensor], torch.Tensor | None]) -> RemovableHandle:
        """Have `take` called with the tensor at this place, (batch, positions, ...), in every forward pass.

        A tensor that it gives goes on in place of the one that was there, also to what is attached later.
        """
        if self.before:

            def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
                x = take(args[0] if args else kwargs["hidden_states"])
                if x is None:
                    return None
                return ((x, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": x})

            return self.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(module: nn.Module, args: tuple, output: torch.Tensor | tuple) -> torch.Tensor | tuple | None:
            x = take(output[0] if isinstance(output, tuple) else output)
            return x if x is None or not isinstance(output, tuple) else (x, *output[1:])

        return self.module.register_forward_hook(after)


def adapter_of(network: PreTrainedModel) -> ArchitectureAdapter:
    """TransformerLens's description of a Hugging Face model."""
    config = build_bridge_config_from_hf(
        network.config, type(network).__name__, network.config.name_or_path, torch.float32
    )
    return ArchitectureAdapterFactory.select_architecture_adapter(config)


def hook_point(network: PreTrainedModel, adapter: ArchitectureAdapter, name: str) -> HookPoint | None:
    """The place in Hugging Face's modules that a TransformerLens hook name stands for, or None where there is none."""
    components = adapter.get_component_mapping()
    match = re.fullmatch(r"blocks\.(\d+)\.([\w.]+)", name)
    path = ["blocks", match[1]] if match else []
    component = components["blocks"] if match else None
    *inner, hook = (match[2] if match else name).split(".")
    try:
        # An alias such as hook_z of attn leads further in (o.hook_in), until it is the input or output of a component.
        while True:
            for part in inner:
                component = component.submodules[part] if component else components[part]
                path.append(part)
            if hook in ("hook_in", "hook_out"):
                break
            aliases = component.hook_aliases[hook] if component else TransformerBridge.hook_aliases[hook]
            # Of several, the first that this model has.
            aliases = [aliases] if isinstance(aliases, str) else aliases
            alias = next(a for a in aliases if component or a.split(".")[0] in components)
            *inner, hook = alias.split(".")
        return HookPoint(name, adapter.get_component(network, ".".join(path)), before=hook == "hook_in")
    except (AttributeError, IndexError, KeyError, StopIteration, ValueError):
        return None


def bridge_around(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TransformerBridge:
    """TransformerLens's bridge around a copy of a model's modules.

    The weights are the same ones; only where one matrix holds queries, keys and values together, its parts are copied.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
    twin.set_attn_implementation("eager")  # the bridge's own attention, which shows each of its parts
    adapter = adapter_of(twin)
    adapter.prepare_model(twin)
    return TransformerBridge(twin, adapter, tokenizer)


def bridged_point(bridge: TransformerBridge, name: str) -> HookPoint | None:
    """The place under a name in a bridge, or None where it has none."""
    found = bridge.get_hook_point(name)
    return None if found is None else HookPoint(name, found, before=False)
