"""Choosing the next token: pure functions with the random generator passed in."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..records import Settings


def choose(logits: torch.Tensor, settings: Settings, seen: Iterable[int], rng: torch.Generator) -> int:
    """Sample the next token id from the logits of one position, (vocabulary,).

    Repetition penalty first (once per distinct token), then temperature, top-k, and top-p inside the top-k.
    """
    logits = penalize(logits.float(), set(seen), settings.repetition_penalty)
    if settings.temperature == 0:
        return int(logits.argmax())
    count = min(settings.top_k or len(logits), len(logits))
    candidates, ids = logits.topk(count)  # sorted, most probable first
    probabilities = (candidates / settings.temperature).softmax(-1)
    if settings.top_p < 1:
        # A candidate stays while those before it have not reached p, so the first always stays.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.where(before < settings.top_p, 0)
    return int(ids[torch.multinomial(probabilities.cpu(), 1, generator=rng)])


def penalize(logits: torch.Tensor, seen: set[int], penalty: float) -> torch.Tensor:
    """Logits with the tokens seen already made less likely (CTRL, Keskar et al. 2019, arXiv:1909.05858).

    A positive logit is divided and a negative one multiplied, so that a penalty above 1 always lowers it.
    """
    if penalty == 1 or not seen:
        return logits
    ids = torch.tensor(sorted(seen), device=logits.device)
    chosen = logits[ids]
    return logits.index_copy(0, ids, torch.where(chosen > 0, chosen / penalty, chosen * penalty))
