"""Many texts at once: rows of tokens in, what passes a hook point at each of their tokens out.

No keys and values are kept, nothing is predicted, and the pass ends at the last hook point that is asked for: what
comes behind it in the model is not computed. Rows of a batch are filled up at their end to the length of the longest;
what a causal model finds at a token does not depend on what follows it, so nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from ..errors import EngineError, OutOfMemory, WeightsError
from .model import Model, less_memory, out_of_memory

POSITIONS = 1_024  # of a batch: a moment's work, and as fast as larger ones


class _Seen(Exception):
    """All hook points have been passed."""


def in_rows(ids: Sequence[int], bos: int | None, length: int) -> Iterator[list[int]]:
    """A text's tokens in rows of at most `length`, each of which begins with BOS where there is one."""
    first = [] if bos is None else [bos]
    for start in range(0, len(ids), length - len(first)):
        yield [*first, *ids[start : start + length - len(first)]]


def batches_of(rows: Sequence[Sequence[int]], positions: int = POSITIONS) -> Iterator[list[int]]:
    """Numbers of rows that are read together: of about the same length, and not more than so many positions."""
    batch: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: len(rows[number])):
        if batch and len(rows[number]) * (len(batch) + 1) > positions:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


@torch.no_grad()
def read_rows(model: Model, hooks: Sequence[str], rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """What passes each hook point: (rows, longest row, width), heads side by side; behind a row's end it is filler.

    Raises EngineError where something is not a number or memory runs out, WeightsError where a place holds no vector
    for each token.
    """
    longest = max(map(len, rows))
    filler = model.bos or 0
    tokens = torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device=model.device)
    places = model.find(hooks)
    captured: dict[str, torch.Tensor] = {}

    def capture(name: str, x: torch.Tensor) -> None:
        captured[name] = x
        if len(captured) == len(places.points):
            raise _Seen

    torch.set_num_threads(model.threads)
    handles = [point.attach(partial(capture, point.name)) for point in places.points]
    try:
        places.network.base_model(tokens, use_cache=False)
    except _Seen:
        pass
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory(
            f"{model.spec.name} needs more memory than there is for {tokens.numel():,} tokens at a time.",
            less_memory(model.spec, model.dtype),
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    for point in places.points:
        if point.name not in captured:
            raise EngineError(f"Nothing passes {point.name} in {model.spec.name}.", "Choose another hook.")
    for name, x in captured.items():
        if x.numel() % tokens.numel() or x.shape[0] not in (len(rows), tokens.numel()):
            raise WeightsError(
                f"{name} holds no vector for each token, but {tuple(x.shape)} numbers.",
                "An SAE reads one vector at each token: choose one of another hook point.",
            )
        if not torch.isfinite(x).all():
            raise EngineError(
                f"The activations at {name} are not finite numbers.",
                "The weights are damaged, or the number format is too small for this model: try --dtype float32.",
            )
    return {name: x.reshape(*tokens.shape, -1) for name, x in captured.items()}
