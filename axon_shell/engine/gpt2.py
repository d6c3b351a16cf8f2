"""One token through GPT-2 with as few calls as there is work to do.

When one token is written, the hundreds of small calls that Hugging Face's modules make between the products take a
sixth of the time: the weights that stream through the processor's caches leave nothing of Python's own data there. This
is the same computation, written out. It serves GPT-2 on the CPU in float32, for the hook points that it comes by;
anything else goes through the modules. The tests hold both against TransformerLens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention
from transformers import Cache, GPT2LMHeadModel, PreTrainedModel

from .hooks import FINAL_RESIDUAL
from .one_row import OneRow
from .steering import Change, Steering

PLACES = ("hook_resid_pre", "attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post")


def short_cut(network: PreTrainedModel, hooks: Sequence[str], steering: Steering | None = None) -> ShortCut | None:
    """The short way of one token through a network past some hook points; None where there is none."""
    changes = steering.changes if steering else {}
    if steering and steering.looks_back:
        return None
    if type(network) is not GPT2LMHeadModel or network.config.add_cross_attention:
        return None
    products = [m.forward for block in network.transformer.h for m in (*block.attn.children(), *block.mlp.children())]
    if sum(isinstance(product, OneRow) for product in products) != 4 * len(network.transformer.h):
        return None
    known = re.compile(rf"blocks\.\d+\.({'|'.join(map(re.escape, PLACES))})|{re.escape(FINAL_RESIDUAL)}")
    return ShortCut(network, set(hooks), changes) if all(map(known.fullmatch, (*hooks, *changes))) else None


class ShortCut:
    """GPT-2's forward pass for one token: call it with the token, its position and the cache of those before."""

    def __init__(self, network: GPT2LMHeadModel, hooks: set[str], changes: Mapping[str, Change]) -> None:
        transformer = network.transformer
        self.words, self.positions = transformer.wte.weight.numpy(), transformer.wpe.weight.numpy()
        self.heads = network.config.n_head
        self.final = norm(transformer.ln_f)
        self.final_is_tapped = FINAL_RESIDUAL in hooks
        # What each block needs, looked up once.
        self.blocks = [
            (
                norm(block.ln_1),
                block.attn.c_attn.forward.product,
                block.attn.scaling,
                block.attn.c_proj.forward.product,
                norm(block.ln_2),
                block.mlp.c_fc.forward.product,
                block.mlp.act,
                block.mlp.c_proj.forward.product,
                [(i, name) for i, place in enumerate(PLACES) if (name := f"blocks.{layer}.{place}") in hooks],
                {
                    place: partial(changed, changes[name])
                    for place in PLACES
                    if (name := f"blocks.{layer}.{place}") in changes
                },
            )
            for layer, block in enumerate(transformer.h)
        ]

    def __call__(self, token: int, position: int, cache: Cache) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The token's vector after the final normalisation, (1, d_model), and what passes the hook points."""
        captured: dict[str, torch.Tensor] = {}
        x = self.words[token] + self.positions[position]  # (d_model,)
        for layer, (ln_1, c_attn, scale, out, ln_2, c_fc, act, c_proj, taps, edits) in enumerate(self.blocks):
            if "hook_resid_pre" in edits:
                x = edits["hook_resid_pre"](x)
            q, k, v = torch.from_numpy(c_attn(ln_1(x))).view(3, 1, self.heads, 1, -1)  # each (1, heads, 1, d_head)
            k, v = cache.update(k, v, layer)
            z = scaled_dot_product_attention(q, k, v, scale=scale).numpy().reshape(-1)
            if "attn.hook_z" in edits:
                z = edits["attn.hook_z"](z)
            attn_out = out(z)
            if "hook_attn_out" in edits:
                attn_out = edits["hook_attn_out"](attn_out)
            mid = x + attn_out
            if "hook_resid_mid" in edits:
                mid = edits["hook_resid_mid"](mid)
            mlp_out = c_proj(act(torch.from_numpy(c_fc(ln_2(mid)))).numpy())
            if "hook_mlp_out" in edits:
                mlp_out = edits["hook_mlp_out"](mlp_out)
            post = mid + mlp_out
            if "hook_resid_post" in edits:
                post = edits["hook_resid_post"](post)
            for i, name in taps:
                captured[name] = torch.from_numpy((x, z, attn_out, mid, mlp_out, post)[i])[None]
            x = post
        if self.final_is_tapped:
            captured[FINAL_RESIDUAL] = torch.from_numpy(x)[None]
        return torch.from_numpy(self.final(x))[None], captured


def changed(change: Change, x: np.ndarray) -> np.ndarray:
    """A vector with what a change adds to it."""
    rows = torch.from_numpy(x)[None]
    return (rows + change(rows, {}))[0].numpy()


def norm(module: nn.LayerNorm) -> Callable[[np.ndarray], np.ndarray]:
    """A LayerNorm's computation alone: taps sit on the module."""
    shape, weight, bias, epsilon = module.normalized_shape, module.weight, module.bias, module.eps
    return lambda x: layer_norm(torch.from_numpy(x), shape, weight, bias, epsilon).numpy()
