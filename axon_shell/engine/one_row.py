"""One row of activations times a matrix of weights, at the speed of memory.

To write one token, every weight is read once and multiplied with one vector: the step can be no faster than memory. The
product that PyTorch takes for one row (MKL's gemv) reads many rows of weights side by side and reaches half of what one
core can read; front to back, memory gives nearly all of it. NumPy has a product that reads so for either layout, on the
weights where they lie, with errors no larger than PyTorch's:

    [out, in]  nn.Linear       vecdot: one dot product (BLAS) for each output
    [in, out]  GPT-2's Conv1D  einsum: rows of weights, scaled and added up; block by block, so that sums stay short

What is measured is in `benchmarks/`. On Macs, where both libraries use Apple's, and for half precision, PyTorch's own
product stays.
"""

from __future__ import annotations

import platform
from functools import partial

import numpy as np
import torch
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

SMALLEST = 100_000  # weights; below, a call costs more than it saves
BLOCK = 192  # rows that are added up before their sum joins the others


def read_front_to_back(network: nn.Module) -> None:
    """Have a network's large linear layers take NumPy's product where there is one row, as in every step of writing.

    Results equal PyTorch's to float32 rounding. More rows than one, and inputs that want a gradient, go PyTorch's way.
    Call it when the weights have their final place: they are shared, not copied.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NewGELUActivation):  # eight operations for what PyTorch has one for
                setattr(parent, name, nn.GELU(approximate="tanh"))
    if platform.system() == "Darwin":
        return
    for layer in list(network.modules()):
        if isinstance(layer, (nn.Linear, Conv1D)):
            weight = layer.weight
            fits = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous()
            if fits and weight.numel() >= SMALLEST:
                layer.forward = OneRow(layer)  # type: ignore[method-assign]


class OneRow:
    """The forward pass of a linear layer: NumPy's product for one row, the layer's own for more."""

    def __init__(self, layer: nn.Linear | Conv1D) -> None:
        self.many = layer.forward
        weight = layer.weight.detach().numpy()
        bias = None if layer.bias is None else layer.bias.detach().numpy()
        if isinstance(layer, nn.Linear):
            self.outputs, self.inputs = weight.shape
            self.product = partial(dot_products, weight, bias)
        else:
            self.inputs, self.outputs = weight.shape
            blocks = self.inputs // BLOCK if self.inputs % BLOCK == 0 else 1
            sums = np.zeros((1 + blocks, self.outputs), weight.dtype)
            sums[0] = 0 if bias is None else bias
            self.product = partial(sum_of_rows, weight.reshape(blocks, -1, self.outputs), sums)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() != self.inputs or x.requires_grad:
            return self.many(x)
        return torch.from_numpy(self.product(x.numpy().reshape(-1))).view(*x.shape[:-1], self.outputs)


def dot_products(weight: np.ndarray, bias: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    """x times a weight (out, in), plus a bias."""
    y = np.vecdot(weight, x)
    return y if bias is None else np.add(y, bias, out=y)


def sum_of_rows(weight: np.ndarray, sums: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x times a weight (blocks, in / blocks, out), plus a bias: `sums` is room for it and for the sum of each block."""
    np.einsum("bi,bio->bo", x.reshape(len(weight), -1), weight, out=sums[1:])
    return sums.sum(0)
