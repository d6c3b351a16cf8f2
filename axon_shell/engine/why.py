"""Why this token: what each feature at a position does to one next token, in three ways that ask different things.

    direct     what its share of the residual stream adds to the logit past all later layers (`attribution.py`)
    gradient   activation x (decoder row . gradient of the logit at the place): later layers too, as if they were linear
    ablation   how the token fares when the model is run again without it: causal, exact, one at a time

All of them are of this position alone: what the feature did at earlier ones, whose keys and values this one reads, is
held fixed. The gradient is of a vector of zeros that is added at the place, so it goes every way that an edit goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from transformers import Cache

from ..errors import EngineError
from ..records import Edit
from .attribution import DirectPath, direct_path, way_to_residual
from .cache import branched, empty_cache, held_bytes
from .hooks import FINAL_RESIDUAL
from .model import Model
from .sae import Sae
from .steering import Steering, attach, hooks_of

ROWS, ROWS_BYTES = 16, 256_000_000  # continuations that are run at once, and of their keys and values
Told = Callable[[int, int], object]  # told how many ablations are done, of how many; may raise to end it


@dataclass(frozen=True, slots=True)
class Without:
    """How the token fares without something: what it loses, and what would be most probable then."""

    logit: float  # with it, less without it
    probability: float
    instead: int  # token id
    instead_probability: float


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """What one active feature does to the token."""

    feature: int
    activation: float
    direct: float | None  # None where no straight line leads to the residual stream
    gradient: float
    ablation: Without | None  # None where it was not asked for


@dataclass(frozen=True, slots=True)
class DirectSum:
    """What the logit is made of, past all later layers; the parts add up to it."""

    features: float  # all active ones
    constant: float  # the SAE's bias, and what is not the features' in its reconstruction
    unexplained: float  # what the SAE does not reconstruct
    rest: float  # everything else in the residual stream: what later layers, and for a part of it others, write
    bias: float  # of the final normalisation and the unembedding
    logit: float  # before the cap, where a model has one


@dataclass(frozen=True, slots=True)
class GradientSum:
    """Gradient times the vector at the place; the parts add up to the whole."""

    features: float
    constant: float
    unexplained: float
    whole: float


@dataclass(frozen=True, slots=True)
class AblationSum:
    """What removing much at once does. These do not add up: the model is not linear."""

    top: Without  # the features that were also removed one at a time, together
    features: Without  # all active ones
    unexplained: Without  # what the SAE does not reconstruct


@dataclass(frozen=True, slots=True)
class SaeEffects:
    """What one SAE says about the token."""

    l0: int
    unexplained: float  # share of variance
    features: tuple[FeatureEffect, ...]  # all active ones, the largest gradient attribution first
    direct: DirectSum | None
    gradient: GradientSum
    ablation: AblationSum | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One next token at one position."""

    token: int
    logit: float
    logprob: float  # nats
    rank: int  # 1 is the most probable
    best: tuple[int, float]  # the most probable token and its log-probability
    saes: dict[str, SaeEffects]


def explain(
    model: Model,
    saes: Sequence[Sae],
    ids: Sequence[int],
    bos: bool,
    candidates: Sequence[int] = (),
    edits: Sequence[Edit] = (),
    top: int = 10,
    told: Told = lambda done, total: None,
) -> Explanation:
    """Why a token would follow these ids, the first of them BOS if `bos`.

    It is the most probable of the candidates, or of all tokens where there are none.
    The `top` features of each SAE by gradient attribution are ablated; 0: none. Raises EngineError when activations are
    not finite.
    """
    path = direct_path(model)
    with Position(model, saes, ids, bos, edits).ready() as position:
        zeros = {sae.target: position.zeros(sae.target) for sae in saes}
        with torch.enable_grad():
            logits = position.logits({name: zero.requires_grad_() for name, zero in zeros.items()}, 1)[0]
            values = logits.detach()
            token = max(candidates, key=lambda one: float(values[one]), default=int(values.argmax()))
            gradients = torch.autograd.grad(logits[token], list(zeros.values()), allow_unused=True) if zeros else ()
        logits = values
        if not torch.isfinite(logits).all():
            raise EngineError("The logits are not finite numbers.", "Ask about a session that ended well.")
        captured = {name: x.detach() for name, x in position.captured.items()}
        slopes = {
            name: torch.zeros_like(zero[0]) if gradient is None else gradient[0].float()
            for (name, zero), gradient in zip(zeros.items(), gradients, strict=True)
        }
        read = [Read(model, sae, captured, token, path, slopes[sae.target]) for sae in saes]
        removals = [one.removals(top) if top else one.writes[:0] for one in read]
        total, done, found = sum(map(len, removals)), 0, {}
        for one, vectors in zip(read, removals, strict=True):
            removed: list[Without] = []
            for rows in vectors.split(position.rows) if len(vectors) else ():
                told(done, total)
                removed += position.without(one.sae.target, rows, token, logits)
                done += len(rows)
            found[one.sae.spec.id] = one.effects(removed)
        told(total, total)
    logprobs = logits.log_softmax(-1)
    best = int(logits.argmax())
    return Explanation(
        token=token,
        logit=float(logits[token]),
        logprob=float(logprobs[token]),
        rank=1 + int((logits > logits[token]).sum()),
        best=(best, float(logprobs[best])),
        saes=found,
    )


@dataclass(eq=False)
class Position:
    """The last position of a text, to be run again and again with something added at the places of SAEs."""

    model: Model
    saes: Sequence[Sae]
    ids: Sequence[int]
    bos: bool
    edits: Sequence[Edit]
    captured: dict[str, torch.Tensor] = field(default_factory=dict)  # of the last pass: hook name -> (rows, width)
    added: dict[str, torch.Tensor] = field(default_factory=dict)  # in the next pass, at the targets of SAEs
    cache: Cache = field(init=False)

    @contextmanager
    def ready(self) -> Iterator[Position]:
        """Run the text before, and hold on to what it leaves; hooks come off the shared model in the end."""
        self.widths = {FINAL_RESIDUAL: self.model.width}
        for sae in self.saes:
            self.widths[sae.spec.hook] = sae.sae.cfg.d_in
            self.widths[sae.target] = sae.sae.W_dec.shape[1]
        steering = Steering(self.edits, self.saes, self.bos, self.model.device)
        ways = (one for sae in self.saes for one in hooks_of(sae.target))
        names = dict.fromkeys((*self.widths, *ways, *steering.hooks))
        self.places = self.model.find(list(names))
        points = {point.name: point for point in self.places.points}
        handles = []
        try:
            handles += steering.attach(points, self.captured)
            for name in dict.fromkeys(sae.target for sae in self.saes):
                handles += attach(points, name, self.widths[name], partial(self.add, name), self.captured)
            for name in self.widths:
                handles.append(points[name].attach(partial(self.capture, name)))
            self.cache = empty_cache(self.places.network.config)
            before = list(self.ids[:-1])
            if before:
                steering.at(0, len(before))
                torch.set_num_threads(self.model.threads)
                with torch.no_grad():
                    self.run(torch.tensor([before], device=self.model.device), self.cache)
            steering.at(len(before), 1)
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def add(self, name: str, x: torch.Tensor, captured: dict[str, torch.Tensor]) -> torch.Tensor:
        """What is added at a target in this pass."""
        return self.added[name] if name in self.added else torch.zeros_like(x)

    def capture(self, name: str, x: torch.Tensor) -> None:
        """Keep what passes a hook point, (rows, width); a copy, as some models go on with the same memory."""
        self.captured[name] = x.reshape(-1, self.widths[name]).clone()

    def zeros(self, name: str) -> torch.Tensor:
        """A vector at a place, (1, width)."""
        return torch.zeros(1, self.widths[name], device=self.model.device)

    def run(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        """The vectors after the final normalisation, (rows, positions, d_model)."""
        return self.places.network.base_model(tokens, past_key_values=cache, use_cache=True).last_hidden_state

    def logits(self, added: dict[str, torch.Tensor], rows: int) -> torch.Tensor:
        """What the position predicts with something added at places, each (rows, width): (rows, vocabulary)."""
        self.added = added
        tokens = torch.full((rows, 1), self.ids[-1], device=self.model.device)
        hidden = self.run(tokens, branched(self.cache, rows))[:, -1]
        unembed = self.model.network.get_output_embeddings()
        return self.model.adapter.apply_output_logits_transform(unembed(hidden).float())

    @property
    def rows(self) -> int:
        """How many continuations are run at once."""
        return max(1, min(ROWS, ROWS_BYTES // max(1, held_bytes(self.cache))))

    @torch.no_grad()
    def without(self, name: str, vectors: torch.Tensor, token: int, logits: torch.Tensor) -> list[Without]:
        """How the token fares when each of some vectors, (rows, width), is taken off at a place."""
        found = self.logits({name: -vectors}, len(vectors))
        before, after = logits.softmax(-1)[token], found.softmax(-1)
        chances, instead = after.max(-1)
        columns = (logits[token] - found[:, token], before - after[:, token], instead, chances)
        return [Without(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


class Read:
    """What one SAE reads at the position, as vectors, and what they do directly and to first order."""

    @torch.no_grad()
    def __init__(
        self,
        model: Model,
        sae: Sae,
        captured: dict[str, torch.Tensor],
        token: int,
        path: DirectPath,
        slope: torch.Tensor,
    ) -> None:
        self.sae, self.slope = sae, slope
        x, target = captured[sae.spec.hook], captured[sae.target]
        found = sae.read(x, target, sae.spec.width)
        self.l0, self.unexplained = int(found.l0[0]), float(found.unexplained[0])
        features = found.features[0, : self.l0]
        activations = found.activations[0, : self.l0]
        # What each feature writes to its place, (features, width), and what is left: together the vector there.
        writes = sae.rows(features) * (activations * found.gains[0])[:, None]
        prepared = sae.prepare(x)
        active = sae.sae.encode(prepared)
        made = sae.reconstruction(prepared, active, active > 0, found.l0)[0]
        self.whole = target[0].to(writes.dtype)
        self.error = (prepared if sae.target == sae.spec.hook else sae.prepare(target))[0] - made
        self.constant = self.whole - self.error - writes.sum(0)
        gradients = writes @ slope
        order = gradients.abs().argsort(descending=True)
        self.features, self.activations = features[order].tolist(), activations[order].tolist()
        self.writes, self.gradients = writes[order], gradients[order]
        self.direct: torch.Tensor | None = None
        self.direct_sum: DirectSum | None = None
        way = way_to_residual(model, sae.target)
        if way is not False:
            residual = captured[FINAL_RESIDUAL]
            at_end = path.directions(residual, torch.tensor([token], device=residual.device))[0]
            direction = at_end if way is True else at_end @ way.float().T
            direction = direction.to(self.writes.dtype)
            self.direct = self.writes @ direction
            bias = path.bias(token)
            all_of_it = float(residual[0].float() @ at_end)
            self.direct_sum = DirectSum(
                features=float(self.direct.sum()),
                constant=float(self.constant @ direction),
                unexplained=float(self.error @ direction),
                rest=all_of_it - float(self.whole @ direction),
                bias=bias,
                logit=all_of_it + bias,
            )

    def removals(self, top: int) -> torch.Tensor:
        """What is taken off in each ablation: the top features, all of these, all features, the unexplained part."""
        some = self.writes[:top]
        return torch.cat([some, some.sum(0)[None], self.writes.sum(0)[None], self.error[None]])

    def effects(self, removed: Sequence[Without]) -> SaeEffects:
        """All that was found, given what the ablations gave; none of them where they were not made."""
        single: list[Without | None] = list(removed[: -len(AblationSum.__slots__)])
        single += [None] * (len(self.features) - len(single))
        direct = [None] * len(self.features) if self.direct is None else self.direct.tolist()
        columns = (self.features, self.activations, direct, self.gradients.tolist(), single)
        return SaeEffects(
            l0=self.l0,
            unexplained=self.unexplained,
            features=tuple(FeatureEffect(*row) for row in zip(*columns, strict=True)),
            direct=self.direct_sum,
            gradient=GradientSum(
                features=float(self.gradients.sum()),
                constant=float(self.constant @ self.slope),
                unexplained=float(self.error @ self.slope),
                whole=float(self.whole @ self.slope),
            ),
            ablation=AblationSum(*removed[-len(AblationSum.__slots__) :]) if removed else None,
        )
