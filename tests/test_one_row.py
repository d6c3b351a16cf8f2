"""NumPy's product of one row equals PyTorch's, for both layouts and any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from axon_shell.engine import one_row
from axon_shell.engine.one_row import OneRow, read_front_to_back


def layer(kind: str, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    torch.manual_seed(inputs * outputs)
    made = nn.Linear(inputs, outputs, bias=bias) if kind == "linear" else Conv1D(outputs, inputs)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made.requires_grad_(False)


@given(
    kind=st.sampled_from(["linear", "conv1d"]),
    inputs=st.one_of(st.integers(1, 70), st.sampled_from([96, 192, 768])),
    outputs=st.integers(1, 70),
    bias=st.booleans(),
)
@hypothesis_settings(deadline=None, max_examples=80)
def test_one_row_equals_the_layers_own_product(kind: str, inputs: int, outputs: int, bias: bool) -> None:
    made = layer(kind, inputs, outputs, bias)
    exact = made.double()(torch.arange(inputs).sin().double())
    fast = OneRow(made.float())
    for shape in ((inputs,), (1, inputs), (1, 1, inputs)):
        y = fast(torch.arange(inputs).sin().view(shape))
        assert y.shape == (*shape[:-1], outputs) and y.dtype == torch.float32
        torch.testing.assert_close(y.flatten().double(), exact, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_more_rows_and_gradients_go_the_layers_own_way(kind: str) -> None:
    made = layer(kind, 8, 5)
    fast = OneRow(made)
    rows = torch.randn(3, 8)
    assert torch.equal(fast(rows), made(rows))
    wanting = torch.randn(1, 8, requires_grad=True)
    fast(wanting).sum().backward()
    torch.testing.assert_close(wanting.grad[0], (made.weight.sum(0) if kind == "linear" else made.weight.sum(1)))


def test_only_large_float32_layers_on_the_cpu_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    network = nn.ModuleList(
        [layer("linear", 400, 300), layer("linear", 4, 3), layer("linear", 400, 300).bfloat16(), nn.LayerNorm(400)]
    )
    read_front_to_back(network)
    assert [isinstance(module.forward, OneRow) for module in network] == [True, False, False, False]
    assert network[0].forward.product.args[0].ctypes.data == network[0].weight.data_ptr()  # no copy
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    apple = nn.ModuleList([layer("linear", 400, 300)])
    read_front_to_back(apple)
    assert not isinstance(apple[0].forward, OneRow)
    assert one_row.SMALLEST < 400 * 300
