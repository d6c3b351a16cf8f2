"""Checking what the page has sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ..errors import Refused


def fits(value: Any, kind: Any) -> bool:
    """Whether a value from the page is of the kind that a method's annotation names."""
    if kind is Any:
        return True
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (UnionType, Union):
        return any(fits(value, part) for part in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if kind in (int, float):
        # A page has one kind of number; infinities and booleans are none.
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, origin or kind)


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text. Raises Refused."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("The page sent something that is no file.", "Reload the page.") from error


LARGEST_TEXTS = 15_000_000  # characters of all texts together; the server takes little more in one call


def require_taken(texts: Sequence[str], command: str) -> None:
    """Raise Refused where texts are more than the page may send; the command takes files of any size."""
    if sum(map(len, texts)) > LARGEST_TEXTS:
        message = f"The texts are longer than {LARGEST_TEXTS:,} characters together."
        raise Refused(message, f"`axon-shell {command}` takes files of any size.")


def bounded(value: int, low: int, high: int) -> int:
    """A number from the page, held within bounds."""
    return min(max(value, low), high)
