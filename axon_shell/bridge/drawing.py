"""The graph at the cursor: what fired is read from a session once, and followed while it grows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..decoder import decoder_rows
from ..drawing import SEED, elsewhere, graph_message
from ..graph import BaseRates, Corpus, Fired, Firings, Kind, graph
from .checks import bounded
from .part import Part

if TYPE_CHECKING:
    import numpy as np

    from . import Bridge

FOLLOWED = 4  # sessions and SAEs whose firings stay in memory


@dataclass
class Followed:
    """What one SAE's features did in a session, as far as that was read."""

    firings: Firings
    taken: int = 0  # messages of the session


@dataclass(frozen=True)
class Calibrated:
    """What a calibration says of some features of an SAE."""

    of: tuple[Any, ...]  # the SAE and its calibration
    features: set[int]
    found: tuple[BaseRates | None, Corpus | None]


@dataclass
class Seen:
    """What is kept from one graph to the next."""

    followed: dict[tuple[str, str], Followed] = field(default_factory=dict)  # by session and SAE, the latest last
    sae: str = ""  # whose decoder rows these are
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    calibrated: Calibrated | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Drawing(Part):
    """What the page asks of the graph."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self._seen = Seen()

    def graph(
        self,
        session: str,
        sae: str,
        by: Kind,
        position: int,
        edges_per_node: int = 3,
        max_nodes: int = 300,
        chance: bool = False,
        seed: int = SEED,
        always: bool = False,
    ) -> dict[str, Any]:
        """The nodes and edges of what fired up to and including a position; with `chance`, of shifted features."""
        with self._seen.lock:
            fired = self._fired(session, sae, position)
        drawn = graph(
            fired,
            by,
            bounded(edges_per_node, 0, 20),
            bounded(max_nodes, 1, 2000),
            bounded(seed, 0, 2**31) if chance else None,
            always,
            lambda features: self._directions(sae, features),
            *(self._elsewhere(sae, fired) if by == "association" else (None, None)),
        )
        return {"position": position, "chance": chance} | graph_message(drawn, self.labels, sae)

    def _fired(self, session: str, sae: str, position: int) -> Fired:
        followed = self._seen.followed
        known = followed.pop((session, sae), None) or Followed(Firings(sae))
        in_memory = self.worker.in_memory(session)
        if in_memory is not None:
            more = in_memory[known.taken :]
        elif known.taken and position <= max(known.firings.positions, default=-1):
            more = []
        else:
            more = self.store.messages(session, after=known.taken - 1)
        known.firings.add(more)
        known.taken += len(more)
        followed[session, sae] = known
        for old in list(followed)[:-FOLLOWED]:
            del followed[old]
        return known.firings.up_to(position)

    def _elsewhere(self, sae: str, fired: Fired) -> tuple[BaseRates | None, Corpus | None]:
        """What a calibration says of what fired; asked anew when others fire, not when the cursor goes back."""
        features, of = set(fired.feature.tolist()), (sae, self.labels.calibration(sae))
        known = self._seen.calibrated
        if known is None or known.of != of or not features <= known.features:
            known = self._seen.calibrated = Calibrated(of, features, elsewhere(self.labels, sae, features))
        return known.found

    def _directions(self, sae: str, features: Sequence[int]) -> np.ndarray | None:
        """Decoder rows: of the SAE that is loaded, or from its file; None where there is neither."""
        import numpy as np

        with self._seen.lock:
            seen = self._seen
            if seen.sae != sae:
                seen.sae, seen.rows = sae, {}
            new = [feature for feature in features if feature not in seen.rows]
            loaded, spec = self.worker.saes.get(sae), self.catalogue.saes.get(sae)
            if new:
                rows = loaded.directions(new) if loaded else decoder_rows(spec, new) if spec else None
                if rows is None:
                    return None
                seen.rows.update(zip(new, rows, strict=True))
            return np.stack([seen.rows[feature] for feature in features])
