"""What can be said of a feature that nobody described: tokens that it promotes, tokens it fires on. No description.

Promoted tokens: the decoder row sent through the unembedding (the logit lens; Bloom and Lin 2024, "Understanding SAE
Features with the Logit Lens"). Most features are not of that kind, so the label says how far the tokens stand out, and
how far they would by chance. Tokens it fires on: those at its strongest firing in each stored session.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..records import AUTOMATIC, Label
from .rows import Promoted
from .text import clean_token

SHOWN = 3  # tokens
PROMOTED, FIRES_ON = "promoted tokens", "tokens it fires on"
Pieces = Sequence[tuple[str, int, float]]  # token, number of sessions, strongest activation


def automatic(promoted: Promoted | None, pieces: Pieces) -> list[Label]:
    """The automatic labels of a feature, the one that says more first; none where nothing is known."""
    fires = [fires_on(pieces)] if pieces else []
    if promoted is None:
        return fires
    return [promotes(promoted), *fires] if is_peaked(promoted) else [*fires, promotes(promoted)]


def is_peaked(promoted: Promoted) -> bool:
    """Whether the tokens stand out more than they would for a feature that points anywhere."""
    return promoted.peak >= promoted.chance


def promotes(promoted: Promoted) -> Label:
    """The label made of promoted tokens."""
    tokens = ", ".join(quoted(token) for token, _ in promoted.tokens[:SHOWN])
    return Label(
        f"promotes {tokens}" if is_peaked(promoted) else f"promotes, weakly, {tokens}",
        AUTOMATIC,
        PROMOTED,
        details={
            "strongest token": f"{promoted.peak:.1f} standard deviations above the mean of all tokens",
            "by chance": f"1 random direction in 50 reaches {promoted.chance:.1f}",
            "kurtosis": round(promoted.kurtosis, 1),
        },
    )


def fires_on(pieces: Pieces) -> Label:
    """The label made of tokens at which the feature fired most."""
    sessions = sum(count for _, count, _ in pieces)
    return Label(
        f"fires on {', '.join(quoted(piece) for piece, _, _ in pieces[:SHOWN])}",
        AUTOMATIC,
        FIRES_ON,
        details={
            "strongest firing": ", ".join(f"{quoted(piece)} in {count}" for piece, count, _ in pieces[:5]),
            "sessions": sessions,
        },
    )


def quoted(token: str) -> str:
    """A token in quotation marks, its line breaks visible."""
    return f"“{clean_token(token).replace(chr(10), '↵').replace(chr(9), '⇥')}”"
