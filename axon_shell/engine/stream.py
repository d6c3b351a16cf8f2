"""One forward pass: tokens in, the activations at the hook points and the predictions out, keys and values cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import torch
from transformers import Cache

from ..errors import EngineError, OutOfMemory, WeightsError
from .cache import empty_cache, fixed_cache
from .gpt2 import short_cut
from .model import Model, less_memory, out_of_memory
from .recorded import RECORDERS, RecordedStep
from .steering import Steering

FEW = 8  # tokens


@dataclass(frozen=True)
class Pass:
    """What one forward pass found at each of its positions."""

    hidden: torch.Tensor  # (positions, d_model), after the final normalisation
    captured: dict[str, torch.Tensor]  # hook name -> (positions, width)


class Stream:
    """The state of one generation: a model with taps at hook points and a cache of keys and values.

    Use as a context manager: the taps come off the shared model whatever happens. `length` is how many tokens it will
    read at most; with `steering`, edits are in force, and taps see what they leave.
    """

    def __init__(self, model: Model, hooks: Sequence[str], length: int, steering: Steering | None = None) -> None:
        self.model, self.hooks, self.steering = model, hooks, steering
        self.places = model.find(list(dict.fromkeys((*hooks, *(steering.hooks if steering else ())))))
        network, device = self.places.network, model.device
        fixed = None
        if device.type in RECORDERS and not self.places.bridged:
            fixed = fixed_cache(network.config, length)
        self.cache: Cache = fixed or empty_cache(network.config)
        self.short_cut = (
            RecordedStep(network, fixed, device, lambda: self.captured)
            if fixed
            else short_cut(network, hooks, steering)
        )
        self.ids: list[int] = []  # read so far
        self.captured: dict[str, torch.Tensor] = {}
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Stream:
        points = {point.name: point for point in self.places.points}
        if self.steering:
            self.handles += self.steering.attach(points, self.captured)
        for name in self.hooks:
            self.handles.append(points[name].attach(partial(self.capture, name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def capture(self, name: str, x: torch.Tensor) -> None:
        """Keep what passes a hook point, (1, positions, ...), heads side by side."""
        # A copy, as some models (Falcon) go on with the same memory; OPT leaves the batch out inside a block.
        self.captured[name] = (x if x.dim() == 2 else x[0]).detach().flatten(1).clone()

    @torch.no_grad()
    def feed(self, ids: Sequence[int]) -> Pass:
        """Run the next tokens, all in one pass.

        Raises EngineError when something is not a number or memory runs out.
        """
        self.ids += ids
        if self.steering:
            self.steering.at(len(self.ids) - len(ids), len(ids))
        # One row keeps memory busy, not processors: further threads would only wait, at full speed, for the next task.
        torch.set_num_threads(1 if len(ids) <= FEW else self.model.threads)
        try:
            hidden = self.run(ids)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise OutOfMemory(
                f"{self.model.spec.name} needs more memory than there is for {len(self.ids)} tokens.",
                f"Shorten the prompt. {less_memory(self.model.spec, self.model.dtype)}",
            ) from error
        for name, x in self.captured.items():
            if len(x) != len(ids):
                raise WeightsError(
                    f"{name} holds no vector for each token, but {tuple(x.shape)} numbers.",
                    "An SAE reads one vector at each token: choose one of another hook point.",
                )
        if not torch.stack([torch.isfinite(x).all() for x in (hidden, *self.captured.values())]).all():
            hint = "The weights are damaged, or the number format is too small for this model: try --dtype float32."
            raise EngineError(
                f"The activations at {self.first_not_finite()} are not finite numbers.",
                "An edit may be too strong: give a smaller value." if self.steering else hint,
            )
        return Pass(hidden, dict(self.captured))

    def run(self, ids: Sequence[int]) -> torch.Tensor:
        """The vectors after the final normalisation, (positions, d_model); taps fill `captured`."""
        if self.short_cut and len(ids) == 1:
            hidden, captured = self.short_cut(ids[0], len(self.ids) - 1, self.cache)
            self.captured.update(captured)
            return hidden
        tokens = torch.tensor([ids], device=self.model.device)
        found = self.places.network.base_model(tokens, past_key_values=self.cache, use_cache=True)
        return found.last_hidden_state[0]

    def first_not_finite(self) -> str:
        """The first place along the model where the text so far gives something that is not a number."""
        places = self.model.find([f"blocks.{layer}.hook_resid_post" for layer in range(self.model.layers)])
        bad: list[str] = []

        def look(name: str, x: torch.Tensor) -> None:
            if not torch.isfinite(x).all():
                bad.append(name)

        handles = [point.attach(partial(look, point.name)) for point in places.points]
        if self.steering:
            self.steering.at(0, len(self.ids))
        try:
            places.network.base_model(torch.tensor([self.ids], device=self.model.device), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return bad[0] if bad else "the final normalisation"

    @torch.no_grad()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """What each position predicts: (positions, d_model) -> (positions, vocabulary) in float32."""
        unembed = self.model.network.get_output_embeddings()
        # Gemma 2 caps its logits.
        return self.model.adapter.apply_output_logits_transform(unembed(hidden).float())


def widths(model: Model, hooks: Sequence[str]) -> dict[str, int]:
    """How many numbers there are at each hook point for each token.

    Raises WeightsError when a model has no such place, or no vector for each token there.
    """
    with Stream(model, hooks, length=1) as stream:
        return {name: x.shape[1] for name, x in stream.feed([model.bos or 0]).captured.items()}
