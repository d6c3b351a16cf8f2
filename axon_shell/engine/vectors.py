"""What SAEs read, kept for later: vectors of chosen positions in half precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .sae import Sae

LARGEST = torch.finfo(torch.float16).max  # what is larger is kept as this


class Vectors:
    """Collects what passes the hook points of SAEs, of the prompt's tokens, of those written, or of all."""

    def __init__(self, saes: Sequence[Sae], which: str, prompt: int) -> None:
        self.hooks = [] if which == "none" else list(dict.fromkeys(sae.spec.hook for sae in saes))
        self.which, self.prompt = which, prompt  # number of tokens of the prompt, with BOS
        self.found: dict[str, list[torch.Tensor]] = {hook: [] for hook in self.hooks}
        self.first = prompt if which == "written" else 0

    def add(self, first: int, captured: dict[str, torch.Tensor]) -> None:
        """Take what a pass from position `first` on has captured: hook point -> (positions, width)."""
        if self.hooks and (self.which == "all" or (first < self.prompt) == (self.which == "prompt")):
            for hook in self.hooks:
                self.found[hook].append(captured[hook].float().clamp(-LARGEST, LARGEST).half().cpu())

    def blobs(self) -> Iterator[tuple[str, int, int, bytes]]:
        """For each hook point the first position, the width, and the numbers: float16, little-endian."""
        for hook, parts in self.found.items():
            if parts:
                joined = torch.cat(parts)
                yield hook, self.first, joined.shape[1], joined.numpy().astype("<f2").tobytes()
