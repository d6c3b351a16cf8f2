"""Text as XML 1.0 takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: object) -> str:
    """What stands between tags. Characters that XML cannot hold are removed."""
    return escape(FORBIDDEN.sub("", plain(value)), {"\r": "&#13;"})


def attribute(value: object) -> str:
    """The value of an attribute, with its quotation marks."""
    return quoteattr(FORBIDDEN.sub("", plain(value)))


def plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_lines(lines: Iterable[str], file: BinaryIO) -> None:
    """Lines, one after another as they are made."""
    for line in lines:
        file.write(line.encode() + b"\n")
