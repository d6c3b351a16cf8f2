"""What the messages of a session say, as several formats need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from axon_shell import Message

HIGH = 6  # nats: tokens as surprising as this are colored in full
EDGES = (
    "two features that fired together more often than chance in this session; of the edges at most 5 % are expected to "
    "be chance; neither a cause nor a likeness"
)
# Controls, what turns the direction of text, and halves of surrogate pairs: nothing that could be read.
UNREADABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def start_of(messages: Iterable[Message]) -> Message | None:
    """The start message, where there is one."""
    return next((message for message in messages if message["kind"] == "start"), None)


def steps_of(messages: Iterable[Message]) -> list[Message]:
    """The steps, BOS included."""
    return [message for message in messages if message["kind"] == "step"]


def end_of(messages: Sequence[Message]) -> Message | None:
    """The end message; a session whose program died may have none."""
    return next((message for message in reversed(messages) if message["kind"] == "end"), None)


def saes_of(messages: Sequence[Message]) -> list[str]:
    """The SAEs that read the session, the first first."""
    listed = (start_of(messages) or {}).get("saes", [])
    return list(dict.fromkeys([*listed, *(sae for step in steps_of(messages) for sae in step["saes"])]))


@dataclass(frozen=True, slots=True)
class Name:
    """What a feature is called, by whom; in any state but "labelled" that was made automatically, if it is at all."""

    label: str | None
    state: str
    origin: str | None

    @property
    def automatic(self) -> bool:
        """Whether the label was computed: it names the feature, and describes nothing."""
        return self.label is not None and (self.state != "labelled" or self.origin == "automatic")

    @property
    def marked(self) -> str | None:
        """The label, one that was made automatically marked as such."""
        return f"automatic: {self.label}" if self.automatic else self.label


def names_of(messages: Iterable[Message], sae: str) -> dict[int, Name]:
    """What the features of an SAE are called, in the order in which they fired first; the last word counts."""
    found: dict[int, Name] = {}
    for step in steps_of(messages):
        for active in step["saes"].get(sae, {}).get("features", ()):
            label, state, origin = (active.get(field) for field in ("label", "label_state", "label_origin"))
            found[active["feature"]] = Name(label, state or "unlabelled", origin)
    return found


def surprise_of(step: Message) -> float | None:
    """How little the model expected this token, in nats; None for the first."""
    return None if step["logprob"] is None else abs(step["logprob"])


def readable(text: str) -> str:
    """A text to look at: what cannot be seen, and what would turn the text around it, is a replacement character."""
    return UNREADABLE.sub("\ufffd", text)


def visible(text: str) -> str:
    """A token to look at: readable, white space visible."""
    if text.strip(" ") == "":
        return "␣" * len(text)
    return readable(text).replace("\n", "↵").replace("\t", "⇥").replace("\r", "␍")
