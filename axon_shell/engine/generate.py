"""The token loop: token ids in, one Step per position out.

The prompt is one forward pass, every further token is one more. A position's Step is yielded as soon as the token after
it is known: given by the prompt, or chosen from what the position predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import torch

from ..records import Alternative, End, NextToken, Reading, Settings, Step
from .attribution import direct_path, with_effects
from .hooks import HookPoint
from .model import Model
from .sae import Sae
from .sampling import choose
from .stream import Stream
from .text import Decoder

ALTERNATIVES = 10
NOTHING = Reading(l0=0, unexplained=0.0, features=())  # of BOS, whose huge activations say nothing about the text


def generate(
    model: Model, saes: Sequence[Sae], ids: Sequence[int], settings: Settings, stopped: Callable[[], bool]
) -> Iterator[Step | End]:
    """Yield one Step per position of the prompt and of what the model adds to it, then one End.

    `ids` are the prompt's token ids, BOS first (`Model.tokens`); `stopped` is asked between tokens. Raises EngineError
    when activations are not finite or memory runs out.
    """
    ids = list(ids)
    prompt = len(ids)
    rng = torch.Generator().manual_seed(settings.seed)
    decoder = Decoder(model.tokenizer)
    reason, logprob, spent = "", None, 0.0
    fed = 0  # positions that have been through the model
    then = perf_counter()
    path = direct_path(model)
    end = HookPoint("residual before the final normalisation", path.norm, before=True)
    with Stream(model, [end, *(sae.point for sae in saes)]) as stream:
        while not reason:
            new, first, fed = ids[fed:], fed, len(ids)
            result = stream.feed(new)
            readings = read(saes, result.captured, settings.top_features, bos=first == 0 and model.bos is not None)
            share = (perf_counter() - then) / len(new)  # of the pass, for each of its positions
            then = perf_counter()
            for position, logits in enumerate(stream.logits(result.hidden), start=first):
                logprobs = logits.log_softmax(-1)
                token: int | None
                if position + 1 < len(ids):
                    token = ids[position + 1]
                else:
                    reason = why_end(model, ids, prompt, settings, stopped)
                    token = None if reason else choose(logits, settings, ids, rng)
                    if token in model.ends:  # no text, and nothing that an SAE was trained on: it gets no step
                        reason, token = "end_of_text", None
                residual = result.captured[end.name][position - first]
                direction = None if token is None else path.direction(residual, token)
                now = perf_counter()
                ms, then = 1000 * (share + now - then), now
                spent += ms if position >= prompt else 0.0
                is_bos = position == 0 and model.bos is not None
                yield Step(
                    position=position,
                    is_prompt=position < prompt,
                    token_id=ids[position],
                    piece=decoder.piece(ids[position]),
                    text=decoder.text(ids[position]),
                    logprob=logprob,
                    entropy=float(-(logprobs.exp() * logprobs).nansum()),
                    alternatives=alternatives(logprobs, decoder),
                    saes={
                        sae.spec.id: with_effects(*readings[sae.spec.id][position - first], sae, direction)
                        for sae in saes
                    },
                    next=None if token is None else NextToken(token, decoder.piece(token)),
                    ms=ms,
                    is_bos=is_bos,
                )
                logprob = None if token is None else float(logprobs[token])
            if token is not None:
                ids.append(token)
    new_tokens = len(ids) - prompt
    yield End(
        reason=reason,
        prompt_tokens=prompt - (model.bos is not None),
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


def read(
    saes: Sequence[Sae], captured: dict[str, torch.Tensor], top_features: int, bos: bool
) -> dict[str, list[tuple[Reading, float]]]:
    """Each SAE's reading and gain at the positions of one pass, in one batch; BOS is left out."""
    return {
        sae.spec.id: [(NOTHING, 1.0)] * bos
        + list(zip(*sae.read(captured[sae.point.name][int(bos) :], top_features), strict=True))
        for sae in saes
    }


def alternatives(logprobs: torch.Tensor, decoder: Decoder) -> tuple[Alternative, ...]:
    """The most probable next tokens of one position, best first: (vocabulary,) log-probabilities."""
    best, ids = logprobs.topk(min(ALTERNATIVES, len(logprobs)))
    return tuple(Alternative(i, decoder.piece(i), value) for i, value in zip(ids.tolist(), best.tolist(), strict=True))
