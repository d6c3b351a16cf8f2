"""Steering in words: edits as people write them, their strengths, and signs that a steered text falls apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .errors import InvalidSetting
from .labels import Labels
from .records import EDITS, Edit, Message
from .store import Store

Maximum = Callable[[str, int], float]  # an SAE and a feature to the feature's known maximum
FORM = "Write SAE:FEATURE:add=X, SAE:FEATURE:set=X or SAE:FEATURE:ablate; 2x is twice the feature's maximum."
READ_AFTER = "The session is steered. What SAEs read is read after the edits, at their own place too."
# When a text counts as fallen apart: over any 16 new tokens in a row. Of 115 texts that Tiny World wrote unsteered none
# had fewer than 6 different ones, nor a mean entropy above a fifth of chance's. A low entropy is no sign: the model is
# as sure of its facts as of a word that it cannot leave.
WINDOW, FEWEST = 16, 5
UNDECIDED = 0.5  # mean entropy, as a share of that of pure chance


# -- what to change -----------------------------------------------------------


def edit_of(text: str, start: int, maximum: Maximum) -> Edit:
    """An edit as it is written in the terminal: "tiny-world/2-res:249:add=2x". Raises InvalidSetting."""
    place, _, what = text.rpartition(":")
    sae, _, feature = place.rpartition(":")
    kind, equals, value = what.partition("=")
    if not sae or not feature.isdecimal() or kind not in EDITS or bool(value or equals) == (kind == "ablate"):
        raise InvalidSetting(f"{text!r:.80} is no edit.", FORM)
    times = value.endswith(("x", "×"))
    try:
        number = float((value[:-1] if times else value) if equals else 0)
        edit = Edit(sae, int(feature), kind, number, start)
    except ValueError as error:
        raise InvalidSetting(f"{text!r:.80} is no edit.", FORM) from error
    return in_maxima(edit, number, maximum) if times else edit


def edit_from(record: Mapping[str, Any], maximum: Maximum) -> Edit:
    """An edit as the page sends it and a session holds it; with `times_maximum` in place of `value`, in these units.

    Raises InvalidSetting.
    """
    given = dict(record)
    times = given.pop("times_maximum", None)
    if not {"sae", "feature", "kind"} <= given.keys() <= {"sae", "feature", "kind", "value", "start"}:
        raise InvalidSetting(f"{str(record)!r:.80} is no edit.", "It has a sae, feature, kind, value and start.")
    if not isinstance(given["sae"], str):
        raise InvalidSetting(f"{given['sae']!r:.40} is no SAE.", "An edit names the SAE by its id.")
    edit = Edit(**given)  # what is given is checked before anything is looked up
    if times is None:
        return edit
    return in_maxima(edit, times, maximum)


def in_maxima(edit: Edit, times: float, maximum: Maximum) -> Edit:
    """An edit with so many times the known maximum of its feature as its value."""
    checked = replace(edit, value=times)
    return replace(checked, value=checked.value * maximum(edit.sae, edit.feature))


def known_maximum(labels: Labels, store: Store) -> Maximum:
    """What looks up the largest activation known of a feature: published, or else seen in a stored session."""

    def maximum(sae: str, feature: int) -> float:
        found = labels.known_maximum(sae, feature) or store.largest(sae, feature)
        if not found:
            raise InvalidSetting(
                f"No maximum is known of feature {feature} of {sae}.",
                "Give the strength as a plain number, or first run a text at which the feature fires.",
            )
        return found

    return maximum


# -- what has become of it ----------------------------------------------------


def fallen_apart(steps: Iterable[Message], vocabulary: int) -> list[str]:
    """What speaks for a text having fallen apart, a sentence for each sign; nothing for most texts.

    `steps` are those of new tokens. Each sign is looked for in any `WINDOW` of them in a row.
    """
    found = [(step["token_id"], step["entropy"]) for step in steps]
    windows = [found[first : first + WINDOW] for first in range(len(found) - WINDOW + 1)]
    different = min((len({token for token, _ in window}) for window in windows), default=WINDOW)
    entropy = max((sum(value for _, value in window) / WINDOW for window in windows), default=0.0)
    chance = math.log(vocabulary)
    signs = []
    if different <= FEWEST:
        signs.append(f"the text repeats itself ({different} different tokens among {WINDOW} in a row)")
    if entropy > UNDECIDED * chance:
        signs.append(
            f"the model has lost the thread (a mean entropy of {entropy:.1f} nats over {WINDOW} tokens, of the "
            f"{chance:.1f} that pure chance has)"
        )
    return [f"The edits may be too strong: {sign}." for sign in signs]


def read_after(edits: Sequence[Edit]) -> list[str]:
    """What to know about the numbers of a steered session."""
    return [READ_AFTER] if edits else []
