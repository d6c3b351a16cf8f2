"""What can be said of a feature that nobody described: tokens that it promotes, tokens it fires on. No description.

Promoted tokens: the decoder row sent through the unembedding (the logit lens; Bloom and Lin 2024, "Understanding SAE
Features with the Logit Lens"). Most features are not of that kind, so the label says how far the tokens stand out, and
how far they would by chance. Tokens it fires on: where the SAE was calibrated, those that tell best on its corpus when
the feature fires, with how well they do on held-out text; else those at its strongest firing in each stored session.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..calibration import ON, Measured, Rule
from ..records import AUTOMATIC, Label
from .rows import Promoted
from .text import clean_token

SHOWN = 3  # tokens
PROMOTED, FIRES_ON, RULE = "promoted tokens", "tokens it fires on", "tokens it fires on, in a corpus"
SCORE = "balanced accuracy"  # of the rule, on text that was not used to find it
Pieces = Sequence[tuple[str, int, float]]  # token, number of sessions, strongest activation


def automatic(promoted: Promoted | None, pieces: Pieces, measured: Measured | None = None) -> list[Label]:
    """The automatic labels of a feature, the one that says more first; none where nothing is known."""
    rule = measured.rule if measured else None
    fires = [by_rule(rule)] if rule else [fires_on(pieces)] if pieces else []
    if promoted is None:
        return fires
    if rule and rule.clear:
        return [*fires, promotes(promoted)]
    return [promotes(promoted), *fires] if is_peaked(promoted) else [*fires, promotes(promoted)]


def by_rule(rule: Rule) -> Label:
    """The label made of the tokens by which one can tell, more or less, when the feature fires."""
    where = "" if rule.place == ON else f" {rule.place}"
    more = f" and {len(rule.tokens) - SHOWN} more" if len(rule.tokens) > SHOWN else ""
    tokens = ", ".join(quoted(token) for token, _ in rule.tokens[:SHOWN])
    among = "" if rule.clear else ", among much else,"
    details = {"tokens": ", ".join(f"{quoted(token)} {share:.0%}" for token, share in rule.tokens)}
    if rule.score is not None and rule.chance is not None:
        details["labels of other features"] = f"{rule.chance:.2f}"
        details["held-out firings"] = f"{rule.firings:,}"
    return Label(
        f"fires{among}{where or ' on'} {tokens}{more}",
        AUTOMATIC,
        RULE,
        score=rule.score,
        score_name=SCORE if rule.score is not None else "",
        details=details,
    )


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
