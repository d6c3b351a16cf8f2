"""Where features fired, as arrays: made once from the steps of a session, and grown as more of them come."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..records import Message, steps_of

if TYPE_CHECKING:
    import numpy as np

NONE = -1  # no token followed


@dataclass(frozen=True, slots=True)
class Fired:
    """What fired at `positions` positions, of which the last is the cursor. BOS is not among them."""

    start: int  # the first position
    positions: int
    at: np.ndarray  # (N,) which of the positions, from 0; N firings in reading order
    feature: np.ndarray  # (N,)
    activation: np.ndarray  # (N,)
    effect: np.ndarray  # (N,) on the logit of the token that followed; nan where it is not known
    token: np.ndarray  # (positions,) ids of the tokens there
    following: np.ndarray  # (positions,) ids of the tokens that followed; -1 at the end of a session
    truncated: np.ndarray  # (positions,) whether more features fired than were stored
    texts: Mapping[int, str]  # of tokens that followed, by id


class Firings:
    """Collects what one SAE's features did in a session. Not safe to grow from two threads."""

    def __init__(self, sae: str) -> None:
        self.sae = sae
        self.positions: list[int] = []
        self.ends = array("q")  # by position: how many firings there are up to it
        self.at, self.feature, self.activation, self.effect = array("q"), array("q"), array("d"), array("d")
        self.token, self.following, self.truncated = array("q"), array("q"), array("b")
        self.texts: dict[int, str] = {}

    def add(self, messages: Iterable[Message]) -> None:
        """Take in further messages of the session; those that say nothing of this SAE are passed over."""
        for step in steps_of(messages):
            reading = step["saes"].get(self.sae)
            if reading is None:
                continue
            active, index = reading["features"], len(self.positions)
            self.positions.append(step["position"])
            for one in active:
                self.at.append(index)
                self.feature.append(one["feature"])
                self.activation.append(one["activation"])
                effect = one.get("effect")
                self.effect.append(float("nan") if effect is None else effect)
            self.ends.append(len(self.at))
            self.token.append(step["token_id"])
            self.truncated.append((reading["l0"] or 0) > len(active))
            following = step["next"]
            self.following.append(following["token_id"] if following else NONE)
            if following:
                self.texts.setdefault(following["token_id"], following["text"])

    def up_to(self, position: int | None = None) -> Fired:
        """What fired up to and including a position; everything where none is given."""
        positions = len(self.positions) if position is None else bisect_right(self.positions, position)
        count = self.ends[positions - 1] if positions else 0
        return Fired(
            self.positions[0] if self.positions else 0,
            positions,
            as_array(self.at, count),
            as_array(self.feature, count),
            as_array(self.activation, count),
            as_array(self.effect, count),
            as_array(self.token, positions),
            as_array(self.following, positions),
            as_array(self.truncated, positions),
            dict(self.texts),
        )


def as_array(values: array[Any], count: int) -> np.ndarray:
    """The first values as an array of its own, so that more can be appended to them."""
    import numpy as np

    return np.frombuffer(values, values.typecode, count).copy() if count else np.zeros(0, values.typecode)


def fired_of(messages: Iterable[Message], sae: str) -> Fired:
    """What one SAE's features did in these messages of a session, of which the last step is the cursor."""
    firings = Firings(sae)
    firings.add(messages)
    return firings.up_to()
