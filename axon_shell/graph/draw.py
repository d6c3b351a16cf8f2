"""The graph of each kind: of all pairs that meet its rule, the strongest of each node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..records import Message
from .association import LEVEL, BaseRates, Corpus, associated, same_token
from .chance import CLUMPS, burst_factors, shifted
from .fired import NONE, Fired, fired_of
from .nodes import Directions, Table, table_of
from .records import BY_FIRING, Edge, Graph, Kind, TokenNode

if TYPE_CHECKING:
    import numpy as np

SIMILAR = 0.3  # |cosine| of two decoder rows from which on they are similar
NO_WEIGHTS = "The weights of this SAE are not on this machine: the directions of its features are in them."
NO_EFFECTS = "No effects on the next token are stored: the features do not reach the logits in a straight line."


@dataclass(frozen=True)
class Pairs:
    """The pairs that meet the rule of a kind: the fields of an edge as columns, and how many of them are chance."""

    columns: dict[str, np.ndarray]  # a, b: ids of features, or keys of tokens; strength; and what the kind has
    expected: float | None = None

    def __len__(self) -> int:
        return len(self.columns["a"])


def graph_of(
    messages: Sequence[Message], sae: str, kind: Kind = "association", edges_per_node: int = 3, max_nodes: int = 2000
) -> Graph:
    """The graph of one SAE's features in these messages of a session, of which the last step is the cursor."""
    return graph(fired_of(messages, sae), kind, edges_per_node, max_nodes)


def graph(
    fired: Fired,
    kind: Kind = "association",
    edges_per_node: int = 3,
    max_nodes: int = 2000,
    chance: int | None = None,
    always: bool = False,
    directions: Directions | None = None,
    rates: BaseRates | None = None,
    corpus: Corpus | None = None,
) -> Graph:
    """The graph of what fired, of which the last position is the cursor.

    Nodes are the features that fire at the cursor and, of the others, those with the largest sum of activations; of
    each node the strongest edges are drawn. `chance` is a seed: the edges are then those between the same features
    shifted round the session, by the same measure; it does nothing to the kinds that are not in `BY_FIRING`. `always`
    lets features that always fire have edges. Near-duplicates are folded where `directions` are known. Pairs of the
    `corpus` of a calibration are associations where they meet at all, but not in what chance would draw.
    """
    table = table_of(fired, max_nodes, directions, rates)
    pairs, why = Pairs(columns_of([], [])), ""
    if kind in BY_FIRING:
        some = table if always else without_always(table)
        pairs = associations(some, rates, corpus, chance) if kind == "association" else meetings(some, chance)
    elif kind == "similarity":
        pairs = similarities(table)
        why = NO_WEIGHTS if table.directions is None and table.nodes else ""
    else:
        pairs = attributions(fired, table)
        why = NO_EFFECTS if table.nodes and not len(pairs) and fired.positions > 1 else ""
    chosen = strongest(pairs.columns, edges_per_node)
    if kind == "association":
        chosen = chosen | {"same_token": explained_by_words(chosen, table, fired, chance)}
    return Graph(
        kind,
        table.nodes,
        edges_of(chosen),
        table.total,
        len(pairs),
        pairs.expected,
        tokens_of(fired, set(chosen["b"].tolist())) if kind == "attribution" else [],
        fired.positions,
        float(fired.truncated.mean()) if fired.positions else 0.0,
        ("session and calibration" if rates or corpus else "session") if kind == "association" else "",
        why,
    )


# -- pairs of each kind -----------------------------------------------------------------------------------------------


def associations(table: Table, rates: BaseRates | None, corpus: Corpus | None, chance: int | None) -> Pairs:
    """Pairs that fired together more often than chance, here or in the text of a calibration."""
    import numpy as np

    moved = None if chance is None else shifted(table.present, table.features, chance)
    found, expected = associated(table.present, table.features, rates, moved)
    evidence = {name: getattr(found, name) for name in ("count", "lift", "phi", "p")}
    if chance is None:
        evidence["q"] = found.q
    columns = columns_of(table.features[found.a], table.features[found.b], strength=found.lift, **evidence)
    if not corpus or chance is not None:
        return Pairs(columns, expected)
    more = known_elsewhere(table, corpus, set(zip(columns["a"].tolist(), columns["b"].tolist(), strict=True)))
    columns["elsewhere"] = np.zeros(len(found.a), bool)
    both = {name: np.concatenate([values, more[name]]) for name, values in columns.items()}
    return Pairs(both, expected + LEVEL * len(more["a"]))


def known_elsewhere(table: Table, corpus: Corpus, found: set[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Pairs that met here, and that a calibration has found to be associated; those found here already are left out."""
    import numpy as np

    row = {feature: i for i, feature in enumerate(table.features.tolist())}
    pairs = sorted((a, b) for a, b in corpus if a in row and b in row and (a, b) not in found)
    a, b = (np.array([row[pair[end]] for pair in pairs], np.int64) for end in (0, 1))
    count = np.einsum("ij,ij->i", table.present[a], table.present[b]).astype(int)
    met = np.flatnonzero(count)
    known = [corpus[pairs[i]] for i in met.tolist()]
    a, b, count, n = a[met], b[met], count[met], table.present.shape[1]
    times_a, times_b = table.present[a].sum(1), table.present[b].sum(1)
    spread = np.sqrt(np.maximum(times_a * times_b * (n - times_a) * (n - times_b), 1e-9))
    lift = np.array([one.lift for one in known], float)
    return columns_of(
        table.features[a],
        table.features[b],
        strength=lift,
        count=count,
        lift=lift,
        phi=(n * count - times_a * times_b) / spread,
        p=np.full(len(met), np.nan),
        q=np.array([one.q for one in known], float),
        elsewhere=np.ones(len(met), bool),
    )


def meetings(table: Table, chance: int | None) -> Pairs:
    """Pairs that fired together at least once, and how many of them would have by chance."""
    import numpy as np

    present, n = table.present, table.present.shape[1]
    counts = present.sum(1).astype(float)
    present = present if chance is None else shifted(present, table.features, chance)
    together = np.triu(present @ present.T, 1)
    a, b = np.nonzero(together)
    count = together[a, b]
    columns = columns_of(table.features[a], table.features[b], strength=count, count=count.astype(int))
    columns["lift"] = (count + 1) / (counts[a] * counts[b] / max(n, 1) + 1)
    # A pair meets in clumps, each of which may miss. The factor is the mean size of clumps weighted by their size; were
    # sizes those of runs of heads, half of what it is above 1 would be that of their plain mean.
    clump = 1 + (burst_factors(table.present) - 1) / (2 * CLUMPS)
    rare, often = np.minimum.outer(counts, counts), np.maximum.outer(counts, counts)
    never = np.exp(rare / clump * np.log(np.maximum(1 - often / max(n, 1), 1e-9)))
    return Pairs(columns, float(np.triu(1 - never, 1).sum()))


def similarities(table: Table) -> Pairs:
    """Pairs that the SAE writes in a similar direction, or in the opposite one."""
    import numpy as np

    if table.directions is None:
        return Pairs(columns_of([], []))
    cosine = np.triu(table.directions @ table.directions.T, 1)
    a, b = np.nonzero(abs(cosine) >= SIMILAR)
    found = cosine[a, b].astype(float)
    return Pairs(columns_of(table.features[a], table.features[b], strength=abs(found), cosine=found))


def attributions(fired: Fired, table: Table) -> Pairs:
    """Features with the tokens that followed them: what they added to the logits of those, by direct effect."""
    import numpy as np

    row_of = {one: row for row, node in enumerate(table.nodes) for one in (node.feature, *node.folded)}
    known = np.array(sorted(row_of), np.int64)
    rows = np.array([row_of[one] for one in known.tolist()], np.int64)
    following = fired.following[fired.at]
    told = (following != NONE) & ~np.isnan(fired.effect)
    places = np.searchsorted(known, fired.feature[told])
    drawn = known[np.minimum(places, len(known) - 1)] == fired.feature[told] if len(known) else places > 0
    tokens, which = np.unique(fired.following, return_inverse=True)
    cells = rows[places[drawn]] * len(tokens) + which[fired.at[told][drawn]]
    size = len(table.nodes) * len(tokens)
    count, effect = np.bincount(cells, minlength=size), np.bincount(cells, fired.effect[told][drawn], size)
    found = np.flatnonzero(count)
    a, b = table.features[found // max(len(tokens), 1)], -1 - tokens[found % max(len(tokens), 1)]
    return Pairs(columns_of(a, b, strength=abs(effect[found]), count=count[found], effect=effect[found]))


# -- the strongest of them --------------------------------------------------------------------------------------------


def columns_of(a: Any, b: Any, **more: Any) -> dict[str, np.ndarray]:
    """Edges as columns."""
    import numpy as np

    return {"a": np.asarray(a, np.int64), "b": np.asarray(b, np.int64), "strength": np.zeros(len(a)), **more}


def strongest(columns: dict[str, np.ndarray], per_node: int) -> dict[str, np.ndarray]:
    """The pairs that are among the strongest of either of their ends; of equal ones the first, so that it is stable."""
    import numpy as np

    pairs = len(columns["a"])
    _, node = np.unique(np.concatenate([columns["a"], columns["b"]]), return_inverse=True)
    order = np.argsort(-np.tile(columns["strength"], 2), kind="stable")
    order = order[np.argsort(node[order], kind="stable")]
    sizes = np.bincount(node)
    rank = np.arange(2 * pairs) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.unique(order[rank < per_node] % max(pairs, 1))
    return {name: values[chosen] for name, values in columns.items()}


def edges_of(columns: dict[str, np.ndarray]) -> list[Edge]:
    """Columns as records; what is not a number is not known."""
    lists = [[None if one != one else one for one in values.tolist()] if name == "p" else values.tolist()
             for name, values in columns.items()]  # fmt: skip
    rows = zip(*lists, strict=True)
    return [Edge(**dict(zip(columns, row, strict=True))) for row in rows]


def without_always(table: Table) -> Table:
    """The table without the features that always fire."""
    import numpy as np

    kept = np.array([not node.always for node in table.nodes], bool)
    nodes = [node for node in table.nodes if not node.always]
    return replace(table, nodes=nodes, features=table.features[kept], present=table.present[kept], directions=None)


def explained_by_words(edges: dict[str, np.ndarray], table: Table, fired: Fired, chance: int | None) -> np.ndarray:
    """Whether each edge may be there only because both ends fire at the same words."""
    import numpy as np

    present = table.present if chance is None else shifted(table.present, table.features, chance)
    order = np.argsort(table.features)
    a, b = (order[np.searchsorted(table.features, edges[end], sorter=order)] for end in ("a", "b"))
    return same_token(present, a, b, fired.token)


def tokens_of(fired: Fired, keys: set[int]) -> list[TokenNode]:
    """The tokens that followed, as nodes."""
    import numpy as np

    ids, first, count = np.unique(fired.following, return_index=True, return_counts=True)
    last = fired.positions - 1 - np.unique(fired.following[::-1], return_index=True)[1]
    columns = (ids, fired.start + first, fired.start + last, count)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [TokenNode(-1 - one, one, fired.texts.get(one, ""), *places) for one, *places in rows if -1 - one in keys]
