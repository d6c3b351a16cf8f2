"""What a calibration says: how often features fire on a corpus, on what, with which others; as records and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from .records import Context

Token = tuple[str, float]  # a token, and the share of a feature's firings that is there
TOKENS = 1_000_000  # that are read unless told otherwise: more tells little that is new
LARGEST = 2**53  # of a number; above, not all whole ones can be told apart
ON, AFTER, BEFORE = "on", "after", "before"  # where the tokens of a rule stand, seen from where the feature fires


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured of an SAE's features, on what, and how much of it."""

    sae: str
    model: str
    weights: str  # SHA-256 of the SAE's; empty where it is not known
    corpus: str  # the name of its file or folder
    checksum: str  # SHA-256 of the texts that were read
    documents: int
    tokens: int  # BOS left out
    sampled: int  # of these tokens, on which tokens and pairs were looked at
    held_out: int  # of the sampled ones, on which the labels were scored
    score: float | None  # mean balanced accuracy of the labels made of tokens
    chance: float | None  # ... of labels of other features
    pairs: int  # that fire together more than chance explains
    pairs_by_chance: int  # as many as of features that have nothing to do with each other
    made_at: str  # UTC
    tokens_per_second: float
    bare_share: float  # of the time, spent in the model and the SAE: the least that it could take


@dataclass(frozen=True, slots=True)
class Rule:
    """Tokens by which one can tell whether a feature fires, and how well."""

    place: str  # ON: at one of these tokens; AFTER: behind one; BEFORE: in front of one
    tokens: tuple[Token, ...]
    clear: bool  # most of what it fires on is there, and little else
    score: float | None = None  # balanced accuracy on text that was not used to find it; None: too few firings
    chance: float | None = None  # the same of other features' rules, in the mean
    firings: int = 0  # held-out ones


@dataclass(frozen=True, slots=True)
class Partner:
    """A feature that fires together with another more often than chance explains."""

    feature: int
    together: int  # sampled tokens at which both fire
    lift: float  # how many times as often as independent ones, shrunken towards 1
    q: float  # the share of chance among pairs as strong as this one, at most


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one feature."""

    feature: int
    fires: int  # tokens at which it fires
    mean: float  # activation where it fires
    highest: float
    tokens: tuple[Token, ...] = ()  # at which it fires most often
    rule: Rule | None = None
    partners: tuple[Partner, ...] = ()
    strongest: tuple[Context, ...] = ()
    random: tuple[Context, ...] = ()


def rounded(value: float, digits: int = 4) -> float:
    """A number with so many digits that count."""
    return float(f"{value:.{digits}g}")


def as_record(calibration: Calibration) -> dict[str, Any]:
    """What was measured on what, as JSON."""
    return asdict(calibration)


def from_record(record: Mapping[str, Any]) -> Calibration:
    """... and back. Raises TypeError, ValueError or KeyError where something is missing or no such thing."""
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
    kinds["float | None"] = (int, float, type(None))
    values = {}
    for field in fields(Calibration):
        value = values[field.name] = record[field.name]
        good = isinstance(value, kinds[str(field.type)]) and not isinstance(value, bool)
        if not good or (not isinstance(value, str | None) and not abs(value) < LARGEST):
            raise ValueError(f"its {field.name} is {value!r:.40}")
    return Calibration(**values)


def as_row(measured: Measured, contexts: bool = True) -> dict[str, Any]:
    """What was measured of a feature as short JSON."""
    row: dict[str, Any] = {"i": measured.feature, "n": measured.fires, "mean": measured.mean, "max": measured.highest}
    if measured.tokens:
        row["tokens"] = [list(token) for token in measured.tokens]
    if measured.rule:
        rule = asdict(measured.rule)
        row["rule"] = [rule.pop("place"), [list(token) for token in rule.pop("tokens")], *rule.values()]
    if measured.partners:
        row["pairs"] = list(zip(*(asdict(partner).values() for partner in measured.partners), strict=True))
    for name in ("strongest", "random") if contexts else ():
        if found := getattr(measured, name):
            row[name] = [[list(one.tokens), list(one.activations)] for one in found]
    return row


def from_row(row: Mapping[str, Any]) -> Measured:
    """... and back. Raises TypeError, ValueError, KeyError or IndexError where it is no such row."""
    rule = row.get("rule")
    return Measured(
        feature=number(row["i"]),
        fires=number(row["n"]),
        mean=real(row["mean"]),
        highest=real(row["max"]),
        tokens=pairs_in(row.get("tokens", [])),
        rule=Rule(place(rule[0]), pairs_in(rule[1]), bool(rule[2]), *scores(rule[3:5]), number(rule[5]))
        if rule
        else None,
        partners=tuple(
            Partner(number(other), number(together), real(lift), real(q))
            for other, together, lift, q in zip(*row.get("pairs", []), strict=True)
        ),
        strongest=contexts_in(row.get("strongest", [])),
        random=contexts_in(row.get("random", [])),
    )


def real(value: Any) -> float:
    """A number from JSON that is finite. Raises ValueError or TypeError."""
    if isinstance(value, str) or not abs(value) < LARGEST:
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def number(value: Any) -> int:
    """A whole number from JSON that is one, and not below 0. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"{value!r:.40} is no whole number")
    return value


def place(value: Any) -> str:
    """The place of a rule from JSON. Raises ValueError."""
    if value not in (ON, AFTER, BEFORE):
        raise ValueError(f"{value!r:.40} is no place of a token")
    return str(value)


def scores(values: Sequence[Any]) -> tuple[float | None, float | None]:
    """A score and its chance level from JSON."""
    score, chance = (None if value is None else real(value) for value in values)
    return score, chance


def pairs_in(values: Any) -> tuple[Token, ...]:
    """Tokens from JSON."""
    return tuple((str(token), real(share)) for token, share in values)


def contexts_in(values: Any) -> tuple[Context, ...]:
    """Contexts from JSON."""
    return tuple(Context(tuple(map(str, tokens)), tuple(map(real, acts))) for tokens, acts in values)
