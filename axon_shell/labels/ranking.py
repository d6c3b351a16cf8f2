"""Which of several labels of a feature is shown: an order that is the same everywhere and every time.

What a publisher lists first is chance, and scores of different kinds cannot be compared. So the method and the
explainer decide, and a score only between labels of one method, explainer and kind of score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..records import Label

HUMAN = "human"  # the method of what somebody wrote at a publisher
# METHOD/EXPLAINER as Neuronpedia names them, the better first; of the patterns that fit, the most exact one counts.
ORDER = (
    "oai_token-act-pair/gpt-4o-mini",
    "oai_*/*",
    "np_*/*",
    "eleuther_*/*",
    "oai_token-act-pair/gpt-3.5-turbo",
    "*/*",
    "nla_*/*",
    f"{HUMAN}/*",
)


def ranked(labels: Iterable[Label], prefer: Sequence[str] = ()) -> list[Label]:
    """Labels of one feature, the one to show first; the same text by the same hand stands only once."""
    found: dict[tuple[str, ...], Label] = {}
    for label in sorted(labels, key=lambda label: rank(label, prefer)):
        found.setdefault((label.origin, label.method, label.explainer, label.text), label)
    return list(found.values())


def rank(label: Label, prefer: Sequence[str] = ()) -> tuple[Any, ...]:
    """What labels are sorted by: place of method and explainer, then score, brevity, id, and the rest."""
    return (
        *(place(f"{label.method}/{label.explainer}", prefer), label.method, label.explainer),
        *(label.score is None, label.score_name, -(label.score or 0.0), len(label.text), label.id),
        *(label.text, label.origin),
    )


def place(name: str, prefer: Sequence[str] = ()) -> int:
    """The place of a METHOD/EXPLAINER: in the user's order, else behind it in the usual one."""
    for number, pattern in enumerate(prefer):
        if fnmatchcase(name, pattern):
            return number
    fitting = [pattern for pattern in ORDER if fnmatchcase(name, pattern)]
    return len(prefer) + ORDER.index(max(fitting, key=lambda pattern: len(pattern.replace("*", ""))))
