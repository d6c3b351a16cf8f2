"""One token's forward pass, recorded once and played back by the GPU: a CUDA graph.

A small model's pass is hundreds of kernels of some microseconds each; launching them one by one from Python takes
longer than running them. So the pass of one token is recorded while a session runs its second new token, and from then
on one call launches all of it. For that nothing in it may depend on the host: the token lies in a fixed place, the
cache has a fixed size and keeps its fill on the device (`cache.fixed_cache`), and what is tapped lies in the same
tensors at every playback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from transformers import Cache, PreTrainedModel

Captured = dict[str, torch.Tensor]  # hook name -> (1, width)


class Recording(Protocol):
    """Work that was recorded: calling it does the work again, into the same tensors."""

    def __call__(self) -> None: ...


def cuda_graph(work: Callable[[], None]) -> Recording:
    """Record work on the GPU. Raises RuntimeError where it cannot be."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


# By type of device. The tests put one there that calls the work anew: the same steps without a GPU.
RECORDERS: dict[str, Callable[[Callable[[], None]], Recording]] = {"cuda": cuda_graph}


class RecordedStep:
    """A network's forward pass for one token: call it with the token, its position and the cache of those before."""

    def __init__(
        self, network: PreTrainedModel, cache: Cache, device: torch.device, tapped: Callable[[], Captured]
    ) -> None:
        self.network, self.cache, self.tapped = network, cache, tapped
        self.record = RECORDERS[device.type]
        self.token = torch.zeros(1, 1, dtype=torch.long, device=device)
        self.hidden: torch.Tensor
        self.captured: Captured = {}
        self.warm = False  # the first call prepares what must not be prepared while recording
        self.play: Recording | None = None

    def __call__(self, token: int, position: int, cache: Cache) -> tuple[torch.Tensor, Captured]:
        """The token's vector after the final normalisation, (1, d_model), and what passes the hook points."""
        self.token.fill_(token)
        if self.warm and self.play is None:
            try:
                self.play = self.record(self.work)
            except RuntimeError:  # a model that does something on the host after all: launched piece by piece, then
                self.play = self.work
        (self.play or self.work)()
        self.warm = True
        return self.hidden, self.captured

    def work(self) -> None:
        """The pass itself; what it leaves behind lies in the same tensors at every playback."""
        found = self.network.base_model(self.token, past_key_values=self.cache, use_cache=True)
        self.hidden, self.captured = found.last_hidden_state[0], dict(self.tapped())
