"""SVG: the tokens as a picture, each as dark as it was surprising. For white paper; no scripts, no fonts to load."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from axon_shell import Message

from .graphs import CREATOR
from .said import HIGH, start_of, steps_of, surprise_of, visible
from .xml_text import DECLARATION, text, write_lines

WIDTH, MARGIN = 1000, 24
CELL, LINE, BOX = 8.4, 30, 22  # width of a character, from line to line, height of a token
CELLS = int((WIDTH - 2 * MARGIN) / CELL)  # in a line
GAP = 0.25  # cells between tokens
HEAD, FOOT = 46, 64
START = " start "  # what BOS is shown as
# As in ui/js/color.js, on a light ground.
STOPS = ((166, 189, 224), (139, 162, 196), (160, 146, 114), (189, 131, 44), (179, 95, 0), (125, 53, 0))
STYLE = """\
text{font:14px ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1b2027;white-space:pre}
.small{font:12px system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:#57606a}
.prompt{stroke:#57606a;stroke-width:2;stroke-dasharray:0.1 4;stroke-linecap:round}
.start{fill:none;stroke:#8a94a2;stroke-dasharray:3 2}"""
SAYS = "color: surprise, how little the model expected this token, given those before it (−log p)"


def write(messages: Sequence[Message], file: BinaryIO) -> None:
    """The tokens in lines, prompt and written ones told apart, with a legend."""
    write_lines(lines(messages), file)


def lines(messages: Sequence[Message]) -> Iterator[str]:
    start, steps = start_of(messages) or {}, steps_of(messages)
    placed = list(places(steps))
    rows = 1 + max((row for parts in placed for row, _, _ in parts), default=0)
    height = HEAD + rows * LINE + FOOT
    yield DECLARATION
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-labelledby="title what">'
    )
    yield f'<title id="title">{text(shown(start.get("prompt", "")))}</title>'
    what = f"The tokens of a session of {start.get('model', 'a language model')}; {SAYS}."
    yield f'<desc id="what">{text(shown(what))}</desc>'
    yield f"<style>{STYLE}</style>"
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    facts = [start.get("model"), *start.get("saes", ()), f"seed {seed}" if (seed := seed_of(start)) is not None else ""]
    yield small(MARGIN, 26, cut(" · ".join(filter(None, facts)), 130))
    for step, parts in zip(steps, placed, strict=True):
        yield from token(step, parts)
    yield from legend(HEAD + rows * LINE + 24)
    yield "</svg>"


def places(steps: Sequence[Message]) -> Iterator[list[tuple[int, float, str]]]:
    """Where each token stands: its parts with their rows and columns. A new line begins after a line break."""
    row, column = 0, 0.0
    for step in steps:
        said = START if step.get("is_bos") else visible(step["piece"])
        if column and column + cells(said) > CELLS:
            row, column = row + 1, 0.0
        parts = []
        for part in pieces(said):
            if column and column + cells(part) > CELLS:
                row, column = row + 1, 0.0
            parts.append((row, column, part))
            column += cells(part) + GAP
        yield parts
        if "\n" in step["piece"] and not step.get("is_bos"):
            row, column = row + 1, 0.0


def pieces(said: str) -> Iterator[str]:
    """A token cut where it is longer than a line."""
    part, width = "", 0
    for character in said:
        more = cells(character)
        if width + more > CELLS:
            yield part
            part, width = "", 0
        part, width = part + character, width + more
    yield part


def cells(said: str) -> int:
    """How many characters of a fixed width a text is as wide as."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in said
    )


def token(step: Message, parts: list[tuple[int, float, str]]) -> Iterator[str]:
    surprise = surprise_of(step)
    told = f"surprise {surprise:.2f} nats" if surprise is not None and not step.get("is_bos") else "nothing predicts it"
    yield f"<g><title>token {step['position']}: {told}</title>"
    for row, column, part in parts:
        x, y, width = MARGIN + column * CELL, HEAD + row * LINE, max(cells(part), 1) * CELL
        if step.get("is_bos"):
            yield f'<rect class="start" x="{x:.1f}" y="{y + 0.5}" width="{width:.1f}" height="{BOX - 1}" rx="4"/>'
        elif surprise is not None:
            yield (
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX}" rx="3" fill="{color(surprise / HIGH)}"/>'
            )
        if step["is_prompt"] and not step.get("is_bos"):
            below = y + BOX + 2
            yield f'<line class="prompt" x1="{x + 1:.1f}" y1="{below}" x2="{x + width - 1:.1f}" y2="{below}"/>'
        if part:
            yield (
                f'<text x="{x:.1f}" y="{y + 16}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs" '
                f'xml:space="preserve">{text(part)}</text>'
            )
    yield "</g>"


def legend(y: float) -> Iterator[str]:
    for i in range(24):
        yield f'<rect x="{MARGIN + 5 * i}" y="{y - 9}" width="5" height="10" fill="{color(i / 23)}"/>'
    yield small(MARGIN + 128, y, f"0 to {HIGH} nats and more: {SAYS}")
    yield f'<line class="prompt" x1="{MARGIN + 1}" y1="{y + 20}" x2="{MARGIN + 24}" y2="{y + 20}"/>'
    yield small(MARGIN + 34, y + 22, "prompt; the other tokens were written by the model")
    yield small(WIDTH - MARGIN, y + 22, f"made with {CREATOR}", ' text-anchor="end"')


def small(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text class="small" x="{x}" y="{y}"{more}>{text(shown(said))}</text>'


def color(share: float) -> str:
    """The color of a share of HIGH, mixed with white so that dark text can be read on it."""
    share = min(1.0, max(0.0, share))
    place = share * (len(STOPS) - 1)
    left = min(int(place), len(STOPS) - 2)
    alpha = (0.15 + 0.45 * share) * min(1.0, share / 0.02)
    mixed = (a + (b - a) * (place - left) for a, b in zip(STOPS[left], STOPS[left + 1], strict=True))
    return "#{:02x}{:02x}{:02x}".format(*(round(255 + (one - 255) * alpha) for one in mixed))


def seed_of(start: Message) -> int | None:
    return start.get("settings", {}).get("seed")


def shown(said: str) -> str:
    return cut(" ".join(visible(said).split()), 2000)


def cut(said: str, longest: int) -> str:
    return said if len(said) <= longest else said[: longest - 1] + "…"
