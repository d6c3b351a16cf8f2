"""One forward pass: tokens in, the activations at the hook points and the predictions out, keys and values cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import torch
from transformers import DynamicCache

from ..errors import EngineError
from .hooks import HookPoint
from .model import Model, out_of_memory

# Logits of a whole prompt would take 200 kB a position with GPT-2's vocabulary: unembed this many at a time.
UNEMBED_POSITIONS = 64


@dataclass(frozen=True)
class Pass:
    """What one forward pass found at each of its positions."""

    hidden: torch.Tensor  # (positions, d_model), after the final normalisation
    captured: dict[str, torch.Tensor]  # hook name -> (positions, d_model)


class Stream:
    """The state of one generation: a model with taps at hook points and a cache of keys and values.

    Use as a context manager: the taps come off the shared model whatever happens.
    """

    def __init__(self, model: Model, points: Sequence[HookPoint]) -> None:
        self.model = model
        self.points = {point.name: point for point in points}
        self.cache = DynamicCache(config=model.network.config)
        self.captured: dict[str, torch.Tensor] = {}
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Stream:
        for name, point in self.points.items():
            self.handles.append(point.attach(partial(self.capture, name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def capture(self, name: str, x: torch.Tensor) -> None:
        """Keep what passes a hook point: (1, positions, d_model)."""
        self.captured[name] = x[0].detach()

    @torch.no_grad()
    def feed(self, ids: Sequence[int]) -> Pass:
        """Run the next tokens, all in one pass.

        Raises EngineError when a hook point carries something that is not a number, or memory runs out.
        """
        tokens = torch.tensor([ids], device=self.model.device)
        try:
            found = self.model.network.base_model(tokens, past_key_values=self.cache, use_cache=True)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            hint = "Shorten the prompt, close other programs, or choose a smaller model."
            raise EngineError(f"{self.model.spec.name} needs more memory than there is.", hint) from error
        hidden = found.last_hidden_state[0]  # (P, d_model)
        for name, x in [*self.captured.items(), ("the final normalisation", hidden)]:
            if not torch.isfinite(x).all():
                raise EngineError(
                    f"The activations at {name} are not finite numbers.",
                    "The weights are damaged or the number format is too small for this model.",
                )
        return Pass(hidden, dict(self.captured))

    @torch.no_grad()
    def logits(self, hidden: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits of each position in turn, (vocabulary,) in float32."""
        unembed = self.model.network.get_output_embeddings()
        for chunk in hidden.split(UNEMBED_POSITIONS):
            yield from self.model.adapter.apply_output_logits_transform(
                unembed(chunk).float()
            )  # Gemma 2 caps its logits
