"""What a graph is made of: nodes, edges with their evidence, and how much of it chance would draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["association", "co-activation", "similarity", "attribution"]
KINDS: dict[Kind, str] = {
    "association": "fired together more often than chance: of the edges drawn at most 5 % are expected to be chance",
    "co-activation": "fired together at least once: raw counts, most of which chance would give as well",
    "similarity": "the SAE writes them in a similar direction (or, negative, in the opposite one)",
    "attribution": "from a feature to the next token that it made more probable (or, negative, less)",
}
BY_FIRING: tuple[Kind, ...] = ("association", "co-activation")  # those of which chance draws some


@dataclass(frozen=True, slots=True)
class Node:
    """A feature that has fired."""

    feature: int
    first: int  # position where it fired first
    last: int
    count: int  # positions where it fired
    max: float  # its strongest activation
    always: bool = False  # it fires nearly everywhere, so that firing together with it says nothing
    folded: tuple[int, ...] = ()  # near-duplicates that it stands for


@dataclass(frozen=True, slots=True)
class TokenNode:
    """A token that features were followed by: the other end of an attribution."""

    key: int  # what edges call it, beside features: -1 - token_id
    token_id: int
    text: str
    first: int  # position that it followed first; the token itself stands one later
    last: int
    count: int  # how many times it followed


@dataclass(frozen=True, slots=True)
class Edge:
    """Two features, or a feature and a token, with the evidence; None is what a kind of edge does not have."""

    a: int
    b: int  # a feature, or the key of a token
    strength: float  # what edges of this kind are ranked by: lift, count, |cosine| or |effect|
    count: int | None = None  # positions where both fired; of an attribution, that the token followed
    lift: float | None = None  # (count + 1) / (expected count + 1); 1 = as often as chance predicts
    phi: float | None = None  # correlation of firing, -1 to 1
    p: float | None = None  # how probable so large a count is by chance
    q: float | None = None  # share of chance expected among the edges whose evidence is at least as good
    same_token: bool | None = None  # firing at the same words is enough to explain it
    elsewhere: bool | None = None  # lift and q are those of a calibration, whose text showed it
    cosine: float | None = None  # of the decoder rows
    effect: float | None = None  # on the token's logit, summed over `count` positions


@dataclass(frozen=True, slots=True)
class Graph:
    """What is drawn, how much there is of which it is the strongest part, and how much of that chance would give."""

    kind: Kind
    nodes: list[Node]
    edges: list[Edge]
    nodes_total: int
    edges_total: int  # pairs among the drawn nodes that meet the rule of this kind
    expected: float | None = None  # how many of `edges_total` chance alone would give; at most, for associations
    tokens: list[TokenNode] = field(default_factory=list)  # of attributions
    positions: int = 0  # that all this was counted over
    truncated: float = 0.0  # share of positions at which more features fired than are stored
    against: str = ""  # what associations are held against: "session", or "session and calibration"
    why: str = ""  # why there are no edges of this kind, where that is not plain
