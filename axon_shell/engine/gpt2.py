"""One token through GPT-2 with as few calls as there is work to do.

When one token is written, the hundreds of small calls that Hugging Face's modules make between the products take a
sixth of the time: the weights that stream through the processor's caches leave nothing of Python's own data there. This
is the same computation, written out. It serves GPT-2 on the CPU in float32, for the hook points that it comes by;
anything else goes through the modules. The tests hold both against TransformerLens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention
from transformers import DynamicCache, GPT2LMHeadModel, PreTrainedModel

from .hooks import FINAL_RESIDUAL
from .one_row import OneRow

PLACES = ("hook_resid_pre", "attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post")


def short_cut(network: PreTrainedModel, hooks: Sequence[str]) -> ShortCut | None:
    """The short way of one token through a network past some hook points; None where there is none."""
    if type(network) is not GPT2LMHeadModel or network.config.add_cross_attention:
        return None
    products = [m.forward for block in network.transformer.h for m in (*block.attn.children(), *block.mlp.children())]
    if sum(isinstance(product, OneRow) for product in products) != 4 * len(network.transformer.h):
        return None
    known = re.compile(rf"blocks\.\d+\.({'|'.join(map(re.escape, PLACES))})|{re.escape(FINAL_RESIDUAL)}")
    return ShortCut(network, set(hooks)) if all(map(known.fullmatch, hooks)) else None


class ShortCut:
    """GPT-2's forward pass for one token: call it with the token, its position and the cache of those before."""

    def __init__(self, network: GPT2LMHeadModel, hooks: set[str]) -> None:
        self.hooks = hooks
        self.words, self.positions = network.transformer.wte.weight, network.transformer.wpe.weight
        self.blocks = list(network.transformer.h)
        self.norm = network.transformer.ln_f
        self.heads = network.config.n_head

    def __call__(self, token: int, position: int, cache: DynamicCache) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The token's vector after the final normalisation, (1, d_model), and what passes the hook points."""
        captured: dict[str, torch.Tensor] = {}
        x = self.words[token] + self.positions[position]  # (d_model,)
        width = len(x)
        for layer, block in enumerate(self.blocks):
            attention, mlp = block.attn, block.mlp
            qkv = attention.c_attn.forward.product(normed(block.ln_1, x).numpy())
            q, k, v = torch.from_numpy(qkv).view(3, 1, self.heads, 1, -1)  # each (1, heads, 1, d_head)
            k, v = cache.update(k, v, layer)
            z = scaled_dot_product_attention(q, k, v, scale=attention.scaling).view(width)
            attn_out = torch.from_numpy(attention.c_proj.forward.product(z.numpy()))
            mid = x + attn_out
            inner = mlp.act(torch.from_numpy(mlp.c_fc.forward.product(normed(block.ln_2, mid).numpy())))
            mlp_out = torch.from_numpy(mlp.c_proj.forward.product(inner.numpy()))
            post = mid + mlp_out
            for place, value in zip(PLACES, (x, z, attn_out, mid, mlp_out, post), strict=True):
                if (name := f"blocks.{layer}.{place}") in self.hooks:
                    captured[name] = value[None]
            x = post
        if FINAL_RESIDUAL in self.hooks:
            captured[FINAL_RESIDUAL] = x[None]
        return normed(self.norm, x)[None], captured


def normed(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    """A vector after a LayerNorm: its computation alone, as taps sit on the module."""
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
