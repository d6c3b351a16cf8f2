"""What features are said to mean: asks the label sources in turn, at once and without the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..hookspecs import LabelSource
from ..records import Label, Problem

Named = tuple[Label | None, str]  # the label, and its state
T = TypeVar("T")


class Labels:
    """The labels of all sources; the first source that knows a feature wins.

    States: "labelled"; "unlabelled" (a source holds this SAE's label set, and the feature has none); "absent" (no
    source knows this SAE). A source that raises is left out from then on and told in `problems`.
    """

    def __init__(self, sources: Sequence[LabelSource] = ()) -> None:
        self.sources = tuple(sources)
        self.problems: list[Problem] = []

    def of(self, sae: str, features: Iterable[int]) -> dict[int, Named]:
        """The label and state of each of these features."""
        features = list(features)

        def ask(source: LabelSource) -> dict[int, Label] | None:
            return source.labels(sae, features) if source.has(sae) else None

        holding = [labels for source in self.sources if (labels := self.asked(source, ask, None)) is not None]
        named: dict[int, Named] = dict.fromkeys(features, (None, "unlabelled" if holding else "absent"))
        for labels in reversed(holding):
            named.update((feature, (label, "labelled")) for feature, label in labels.items())
        return named

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        """What was measured about a feature, by the first source that did."""
        nothing: dict[str, float] = {}
        for source in self.sources:
            if found := self.asked(source, lambda source: source.statistics(sae, feature), nothing):
                return found
        return nothing

    def asked(self, source: LabelSource, question: Callable[[LabelSource], T], nothing: T) -> T:
        """What a source answers; `nothing`, and a problem, where it fails."""
        try:
            return question(source)
        except Exception as error:
            self.sources = tuple(other for other in self.sources if other is not source)
            message = f"It failed: {type(error).__name__}: {error}"
            hint = "It is left out until the next start. Mend the plugin that it is from."
            self.problems.append(Problem(f"label source {source.name}", message, hint))
            return nothing
