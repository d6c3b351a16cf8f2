"""Text from strangers, made safe to keep: anybody may have written a label, and tokens may hold anything."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 4096  # characters of a label
LONGEST_TOKEN = 100
# Controls, what turns the direction of text, what has no width, byte order marks, and halves of surrogate pairs.
CONTROLS, TAGS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f", "\U000e0000-\U000e007f"
INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
UNSAFE = re.compile(f"[{CONTROLS}{INVISIBLE}{TAGS}]")
# Leading marks with which tokenizers write a space or a line break.
MARKS = {"Ġ": " ", "▁": " ", "Ċ": "\n"}


def clean(text: str, longest: int = LONGEST) -> str:
    """A label or note on one line: composed (NFC), without what cannot be seen, white space collapsed, not too long.

    Empty where nothing is left.
    """
    text = text[: 4 * longest]  # what is cut off later need not be looked at
    text = UNSAFE.sub("", unicodedata.normalize("NFC", UNSAFE.sub("", text)))
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def clean_note(text: str, longest: int = LONGEST) -> str:
    """A note of the user's own: as `clean`, but its lines stay."""
    lines = [clean(line, longest) for line in text[: 4 * longest].splitlines()]
    return "\n".join(lines).strip()[:longest].rstrip()


def clean_token(text: str) -> str:
    """A token as it stands in a text: its spaces and line breaks stay."""
    if text[:1] in MARKS:
        text = MARKS[text[0]] + text[1:]
    return UNSAFE.sub("", text[:LONGEST_TOKEN])
