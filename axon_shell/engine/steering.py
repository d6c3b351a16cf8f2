"""Changes to what passes a hook point: what steering does, and asking why a token came.

A change looks at the vectors at a place and says what is added to them. Everything after that place, in the same pass,
sees the sum; a tap at the place itself is attached later and sees it too. One place needs care: the residual stream in
the middle of a block goes on to the MLP and, past it, to the block's end. What is added there is added at both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.hooks import RemovableHandle

from ..errors import InvalidSetting, NotFound
from ..records import Edit
from .hooks import HookPoint

if TYPE_CHECKING:
    from .sae import Sae

Captured = dict[str, torch.Tensor]  # hook name -> (rows, width)
# The vectors at a place, (rows, width), and what was captured before it, to what is added to them.
Change = Callable[[torch.Tensor, Captured], torch.Tensor]
MID, END = "hook_resid_mid", "hook_resid_post"


def hooks_of(name: str) -> tuple[str, ...]:
    """The hook points at which a change at one of them acts."""
    return (name, name.removesuffix(MID) + END) if name.endswith(MID) else (name,)


def attach(
    points: dict[str, HookPoint], name: str, width: int, change: Change, captured: Captured
) -> list[RemovableHandle]:
    """Have a change act at a hook point of so many numbers, in every forward pass until the handles are removed."""
    first, *end = (points[one] for one in hooks_of(name))
    added: list[torch.Tensor] = []

    def act(x: torch.Tensor) -> torch.Tensor:
        more = change(x.reshape(-1, width), captured).to(x.dtype)
        added[:] = [more]
        return x + more.reshape(x.shape)

    def carry(x: torch.Tensor) -> torch.Tensor:
        return x + added.pop().reshape(x.shape)

    return [first.attach(act), *(point.attach(carry) for point in end)]


def require_edits(edits: Sequence[Edit], saes: Sequence[Sae]) -> None:
    """Raise NotFound or InvalidSetting unless each edit is of a feature of one of these SAEs, and of another one."""
    known = {sae.spec.id: sae for sae in saes}
    for number, edit in enumerate(edits):
        if edit.sae not in known:
            there = ", ".join(known) or "none"
            raise NotFound(f"{edit.sae} does not read this session.", f"Edit a feature of an SAE that does: {there}.")
        if edit.feature >= (width := known[edit.sae].spec.width):
            raise NotFound(f"SAE {edit.sae} has no feature {edit.feature}.", f"Its features are 0 to {width - 1}.")
        if any((edit.sae, edit.feature) == (other.sae, other.feature) for other in edits[:number]):
            raise InvalidSetting(f"{edit.sae}:{edit.feature} is edited twice.", "Give one edit for each feature.")


@dataclass(eq=False)
class SteeredSae:
    """The edits of one SAE's features, as a change at the place that it reconstructs."""

    sae: Sae
    edits: Sequence[Edit]
    on: torch.Tensor  # (positions of this pass, edits): 1 where an edit is in force

    def __post_init__(self) -> None:
        device = self.on.device
        self.features = torch.tensor([edit.feature for edit in self.edits], device=device)
        self.values = torch.tensor([float(edit.value) for edit in self.edits], device=device)
        # 1 where the feature's activation is replaced, 0 where something is added whatever it is
        self.replaced = torch.tensor([float(edit.kind != "add") for edit in self.edits], device=device)
        self.rows = self.sae.rows(self.features)  # (edits, width of the place)
        self.reads = bool(self.replaced.any()) or self.sae.sae.cfg.normalize_activations != "none"

    def __call__(self, x: torch.Tensor, captured: Captured) -> torch.Tensor:
        """What is added to each vector, (rows, width); activations are those of the vectors as they arrive."""
        amounts = self.values
        if self.reads:
            source = x if self.sae.target == self.sae.spec.hook else captured[self.sae.spec.hook]
            prepared = self.sae.prepare(source)
            activations = self.sae.sae.encode(prepared)[:, self.features]
            amounts = (amounts - self.replaced * activations) * self.sae.gains(prepared)
        return (self.on * amounts) @ self.rows


class Steering:
    """The edits of a session at work. All edits at one place see its vectors as they arrive, and are added up."""

    def __init__(self, edits: Sequence[Edit], saes: Sequence[Sae], bos: bool, device: torch.device) -> None:
        require_edits(edits, saes)
        self.device = device
        self.steered: list[SteeredSae] = []
        self.starts: list[torch.Tensor] = []  # (edits,) of each SAE
        # A GPU that plays back a recorded pass finds what is in force always in the same place.
        self.ones: list[torch.Tensor] = []
        for sae in saes:
            if own := [edit for edit in edits if edit.sae == sae.spec.id]:
                self.starts.append(torch.tensor([max(edit.start, int(bos)) for edit in own]))
                self.ones.append(torch.zeros(1, len(own), device=device))
                self.steered.append(SteeredSae(sae, own, self.ones[-1]))

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hook points that it needs."""
        places = (name for one in self.steered for name in (one.sae.spec.hook, *hooks_of(one.sae.target)))
        return tuple(dict.fromkeys(places))

    @property
    def changes(self) -> dict[str, Change]:
        """What is added where: one change for each place."""
        return {name: self.change(name) for name in dict.fromkeys(one.sae.target for one in self.steered)}

    def change(self, name: str) -> Change:
        """What the edits of all SAEs at a place add there."""
        there = [one for one in self.steered if one.sae.target == name]
        if len(there) == 1:
            return there[0]
        return lambda x, captured: torch.stack([one(x, captured) for one in there]).sum(0)

    @property
    def looks_back(self) -> bool:
        """Whether an edit needs what passed another place than its own: a transcoder's."""
        return any(one.sae.target != one.sae.spec.hook for one in self.steered)

    def at(self, first: int, count: int) -> None:
        """The next pass is of these positions."""
        positions = torch.arange(first, first + count)
        for one, starts, single in zip(self.steered, self.starts, self.ones, strict=True):
            on = (positions[:, None] >= starts).to(torch.float32)
            one.on = single.copy_(on) if count == 1 else on.to(self.device)

    def attach(self, points: dict[str, HookPoint], captured: Captured) -> list[RemovableHandle]:
        """Act in every forward pass until the handles are removed. Taps that are attached later see the sums."""
        width = {one.sae.target: one.rows.shape[1] for one in self.steered}
        # The middle of a block first: what it carries to the block's end comes before an edit there.
        changes = sorted(self.changes.items(), key=lambda item: not item[0].endswith(MID))
        return [handle for name, change in changes for handle in attach(points, name, width[name], change, captured)]
