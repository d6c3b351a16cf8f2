"""The token loop: token ids in, one Step per position out.

The prompt is one forward pass, every further token is one more. A position's Step is yielded as soon as the token after
it is known: given by the prompt, or chosen from what the position predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from ..records import ActiveFeature, Alternative, Edit, End, NextToken, Reading, Settings, Step
from .attribution import direct_effects, direct_path, way_to_residual
from .hooks import FINAL_RESIDUAL
from .model import Model
from .sae import Sae
from .sampling import choose
from .steering import Steering
from .stream import Pass, Stream
from .text import Decoder

ALTERNATIVES = 10
NOTHING = Reading(l0=0, unexplained=0.0, features=())  # of BOS, whose huge activations say nothing about the text
# Numbers in the widest tensor of a batch of positions (logits, or activations of an SAE): 8 MB.
BATCH_NUMBERS = 2_000_000


Passed = Callable[[int, dict[str, torch.Tensor]], object]


def generate(
    model: Model,
    saes: Sequence[Sae],
    ids: Sequence[int],
    bos: bool,
    settings: Settings,
    stopped: Callable[[], bool],
    passed: Passed = lambda first, captured: None,
    edits: Sequence[Edit] = (),
) -> Iterator[Step | End]:
    """Yield one Step per position of the prompt and of what the model adds to it, then one End.

    `ids` are the prompt's token ids (`Model.tokens`), the first of them BOS if `bos`; `stopped` is asked between
    tokens; `passed` is told of each pass its first position and what came by at the hook points of the SAEs,
    (positions, width); `edits` are made to features of these SAEs, which read what the edits leave. Raises NotFound or
    InvalidSetting where an edit is of none of them, EngineError when activations are not finite or memory runs out.
    """
    ids = list(ids)
    prompt = len(ids)
    rng = torch.Generator().manual_seed(settings.seed)
    decoder = Decoder(model.tokenizer)
    observe = Observer(model, saes, settings.top_features)
    reason, logprob, spent = "", None, 0.0
    fed = 0  # positions that have been through the model
    then = perf_counter()
    length = min(prompt + settings.max_tokens, model.spec.context)
    steering = Steering(edits, saes, bos, model.device) if edits else None
    with Stream(model, observe.hooks, length, steering) as stream:
        while not reason:
            new, fed, first = ids[fed:], len(ids), fed
            result = stream.feed(new)
            passed(first, result.captured)
            share = (perf_counter() - then) / len(new)  # of the pass, for each of its positions
            then = perf_counter()
            for batch in batches(len(new), observe.batch):
                logits = stream.logits(result.hidden[batch])
                positions = range(first + batch.start, first + batch.stop)
                following: list[int | None] = [*ids[positions.start + 1 : positions.stop + 1]]
                if positions.stop == fed:
                    reason = why_end(model, ids, prompt, settings, stopped)
                    token = None if reason else choose(logits[-1], settings, ids, rng)
                    if token in model.ends:  # no text, and nothing that an SAE was trained on: it gets no step
                        reason, token = "end_of_text", None
                    following.append(token)
                seen = observe(result, logits, batch, following)
                for row, (position, token) in enumerate(zip(positions, following, strict=True)):
                    is_bos = bos and position == 0
                    now = perf_counter()
                    ms, then = 1000 * (share + now - then), now
                    spent += ms if position >= prompt else 0.0
                    yield Step(
                        position=position,
                        is_prompt=position < prompt,
                        token_id=ids[position],
                        piece=decoder.piece(ids[position]),
                        text=decoder.text(ids[position]),
                        logprob=logprob,
                        entropy=seen.entropy[row],
                        alternatives=tuple(
                            Alternative(i, decoder.piece(i), value) for i, value in seen.alternatives[row]
                        ),
                        saes={name: NOTHING if is_bos else readings[row] for name, readings in seen.saes.items()},
                        next=None if token is None else NextToken(token, decoder.piece(token)),
                        ms=ms,
                        is_bos=is_bos,
                    )
                    logprob = seen.logprobs[row]
            if token is not None:
                ids.append(token)
    new_tokens = len(ids) - prompt
    yield End(
        reason=reason,
        prompt_tokens=prompt - bos,
        new_tokens=new_tokens,
        ms_per_token=spent / new_tokens if new_tokens else None,
    )


def why_end(model: Model, ids: Sequence[int], prompt: int, settings: Settings, stopped: Callable[[], bool]) -> str:
    """Why no token may follow, or nothing."""
    if stopped():
        return "stopped"
    if len(ids) - prompt >= settings.max_tokens:
        return "max_tokens"
    if len(ids) >= model.spec.context:
        return "context_full"
    return ""


def batches(length: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `length` positions in order."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


@dataclass(frozen=True)
class Seen:
    """What there is to say about a batch of positions, as plain numbers: one entry a position."""

    entropy: list[float]
    logprobs: list[float | None]  # of the token that follows
    alternatives: list[list[tuple[int, float]]]  # token ids and log-probabilities, best first
    saes: dict[str, list[Reading]]


class Observer:
    """Turns what a forward pass found into plain numbers, a batch of positions at a time."""

    def __init__(self, model: Model, saes: Sequence[Sae], top_features: int) -> None:
        self.saes, self.top_features = saes, top_features
        self.path = direct_path(model)
        self.ways = {sae.spec.id: way_to_residual(model, sae.target) for sae in saes}
        self.hooks = tuple(dict.fromkeys((FINAL_RESIDUAL, *(hook for sae in saes for hook in sae.hooks))))
        widest = max(len(self.path.unembed), *(sae.spec.width for sae in saes), 1)
        self.batch = max(1, min(64, BATCH_NUMBERS // widest))

    @torch.no_grad()
    def __call__(self, result: Pass, logits: torch.Tensor, batch: slice, following: Sequence[int | None]) -> Seen:
        """See the positions of one batch: `logits` (P, vocabulary), and the token after each, where there is one."""
        tokens = torch.tensor([token or 0 for token in following], device=logits.device)
        logprobs = logits.log_softmax(-1)
        entropy = -logprobs.exp().mul_(logprobs).nansum(-1)  # 0 times minus infinity is 0 here
        best, ids = logprobs.topk(min(ALTERNATIVES, logprobs.shape[-1]))
        chosen = logprobs.gather(-1, tokens[:, None])[:, 0]
        directions = self.path.directions(result.captured[FINAL_RESIDUAL][batch], tokens)
        tensors = [entropy, chosen, ids, best]
        for sae in self.saes:
            x, target = (result.captured[hook][batch] for hook in (sae.spec.hook, sae.target))
            found = sae.read(x, target, self.top_features)
            effects = direct_effects(found, sae, self.ways[sae.spec.id], directions)
            none = torch.full_like(found.activations, math.nan)
            tensors += [found.l0, found.unexplained, found.features, found.activations]
            tensors.append(none if effects is None else effects)
        entropies, logprobs_of_next, best_ids, best_logprobs, *rest = on_host(tensors)
        return Seen(
            entropy=entropies,
            logprobs=[None if token is None else p for token, p in zip(following, logprobs_of_next, strict=True)],
            alternatives=[list(zip(*row, strict=True)) for row in zip(best_ids, best_logprobs, strict=True)],
            saes={
                sae.spec.id: as_readings(rest[5 * i : 5 * i + 5], self.ways[sae.spec.id] is not False, following)
                for i, sae in enumerate(self.saes)
            },
        )


def on_host(tensors: Sequence[torch.Tensor]) -> list[list]:
    """Tensors as lists."""
    return [tensor.tolist() for tensor in tensors] if tensors[0].device.type == "cpu" else in_one_transfer(tensors)


def in_one_transfer(tensors: Sequence[torch.Tensor]) -> list[list]:
    """Tensors as lists, brought together: at each transfer a GPU and the host wait for each other."""
    # Token and feature ids are whole numbers below 2^24, which float32 holds exactly.
    flat = torch.cat([tensor.flatten().float() for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [
        (part if tensor.is_floating_point() else part.long()).view(tensor.shape).tolist()
        for part, tensor in zip(parts, tensors, strict=True)
    ]


def as_readings(numbers: Sequence[list], have_effects: bool, following: Sequence[int | None]) -> list[Reading]:
    """A Reading for each position; the last one of a text has no token after it, and so no effects on one.

    `numbers` are l0, unexplained share, features, activations and effects, each with one entry a position.
    """
    return [
        Reading(
            l0=l0,
            unexplained=share,
            features=tuple(
                ActiveFeature(feature, activation, None if token is None or not have_effects else effect)
                for feature, activation, effect in zip(names, values, row, strict=True)
                if activation > 0
            ),
        )
        for l0, share, names, values, row, token in zip(*numbers, following, strict=True)
    ]
