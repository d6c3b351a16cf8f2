"""What features are said to mean: asks the label sources in turn, at once and without the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..hookspecs import LabelSource
from ..records import Label

Named = tuple[Label | None, str]  # the label, and its state


class Labels:
    """The labels of all sources; the first source that knows a feature wins.

    States: "labelled"; "unlabelled" (a source holds this SAE's label set, and the feature has none); "absent" (no
    source knows this SAE).
    """

    def __init__(self, sources: Sequence[LabelSource]) -> None:
        self.sources = sources

    def of(self, sae: str, features: Iterable[int]) -> dict[int, Named]:
        """The label and state of each of these features."""
        features = list(features)
        sources = [source for source in self.sources if source.has(sae)]
        named: dict[int, Named] = dict.fromkeys(features, (None, "unlabelled" if sources else "absent"))
        for source in reversed(sources):
            named.update((feature, (label, "labelled")) for feature, label in source.labels(sae, features).items())
        return named

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        """What was measured about a feature, by the first source that did."""
        return next((found for source in self.sources if (found := source.statistics(sae, feature))), {})
