"""Features and what they are called."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..calibration import Calibration, Measured
from ..labels import as_record, hit_record
from ..records import AUTOMATIC, FeatureFacts
from .checks import bounded
from .part import Part

MOST_NAMES, LONGEST_SEARCH = 2000, 200  # features named in one call; characters of a search


class Features(Part):
    """What the page asks of features and labels."""

    def feature(self, sae: str, feature: int) -> dict[str, Any]:
        """What is known about a feature; what may still come is told by a "labels" event."""
        self.labels.require_feature(sae, feature)
        spec = self.catalogue.saes.get(sae)
        label, state = self.labels.of(sae, [feature], visible=True)[feature]
        origin, facts, details_state = self.labels.details(sae, feature)
        computed = self.labels.promoted(sae, [feature]).get(feature)
        if computed is None:
            self.worker.name_soon(sae, [feature])
        calibration = self.labels.calibration(sae)
        measured = self.labels.measured(sae, [feature]).get(feature) if calibration else None
        if not origin and calibration and measured:
            about, origin = calibration
            density = measured.fires / max(about.tokens, 1)
            facts = FeatureFacts(density=density, max_activation=measured.highest, contexts=measured.strongest)
        own, place = self.labels.own(sae, feature), self.labels.place_of(sae)
        return {
            "sae": sae,
            "feature": feature,
            "label": label and as_record(label),
            "label_state": state,
            "labels": [as_record(one) for one in self.labels.all_of(sae, feature)],
            "own": own and asdict(own),
            "statistics": self.labels.statistics(sae, feature),
            "details": {
                "origin": origin,
                "density": facts.density,
                "max_activation": facts.max_activation,
                "promoted": facts.promoted or (computed.tokens if computed else ()),
                "suppressed": facts.suppressed or (computed.suppressed if computed else ()),
                "promoted_origin": origin if facts.promoted else AUTOMATIC if computed else "",
                "contexts": [asdict(context) for context in facts.contexts],
            },
            "details_state": details_state,
            "calibration": calibration and calibrated(*calibration, measured),
            "publisher": place and place.publisher.title,
            "neuronpedia_url": place and place.publisher.page(place.label_set, feature),
            "hook": spec and spec.hook,
            "model": spec and spec.model,
            "width": spec and spec.width,
        }

    def names(self, sae: str, features: list[int]) -> dict[str, Any]:
        """What features are called now."""
        return {"labels": self.labels.message(sae, features[:MOST_NAMES])["labels"]}

    def edit_label(self, sae: str, feature: int, label: str, note: str) -> dict[str, Any]:
        """Keep the user's own label and note of a feature; what is empty is taken away."""
        self.labels.require_feature(sae, feature)
        self.labels.edit(sae, feature, label, note)
        return self.feature(sae, feature)

    def search_labels(self, text: str, sae: str = "", limit: int = 50) -> dict[str, Any]:
        """Labels that hold all words of a text, of one SAE or of all."""
        limit = bounded(limit, 1, 500)
        found = self.labels.search(text[:LONGEST_SEARCH], sae, limit + 1)
        return {
            "found": [hit_record(name, hit) for name, hit in found[:limit]],
            "more": len(found) > limit,
        }

    def label_set(self, sae: str) -> dict[str, Any]:
        """How many labels of an SAE are here, and how far a download of all has come."""
        return self.labels.about_set(sae) | {
            "offline": self.bridge.config.offline,
            "fetch": self.bridge.config.labels.fetch,
        }

    def label_offer(self, sae: str) -> dict[str, Any]:
        """What getting all labels of an SAE would fetch. This asks the network."""
        return self.labels.offer(sae).as_message()

    def get_labels(self, sae: str) -> dict[str, Any]:
        """Get all labels of an SAE in the background; progress comes as "label_set" events."""
        self.labels.get_all(sae, lambda: self.events.put({"kind": "label_set"} | self.label_set(sae)))
        return {}

    def cancel_labels(self) -> dict[str, Any]:
        """Stop getting labels; what has arrived is kept for the next time."""
        self.labels.cancel()
        return {}

    def retry_labels(self) -> dict[str, Any]:
        """Ask again at once for labels that could not be had."""
        self.labels.retry()
        return {}


def calibrated(about: Calibration, origin: str, measured: Measured | None) -> dict[str, Any]:
    """What was measured of a feature on a corpus; nothing but the corpus where it never fired there."""
    found = {"origin": origin, "corpus": about.corpus, "tokens_read": about.tokens, "made_at": about.made_at}
    return found | {"fires": measured.fires if measured else 0} | (asdict(measured) if measured else {})
