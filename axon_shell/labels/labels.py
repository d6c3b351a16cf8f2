"""What features are said to mean, at once: by the user, by plugins, by what publishers said before, by their tokens.

What is not known yet is asked for in the background, and told as a "labels" message when it comes.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import cached_property, partial
from typing import TypeVar

from ..calibration import Calibration, Measured, Partner
from ..config import LabelSettings
from ..errors import Busy, LabelFileError, NotFound, Offline, StoreError
from ..hookspecs import CalibrationSource, LabelPublisher, LabelSource
from ..records import OWN, FeatureFacts, Label, Message, Problem, SaeSpec
from .automatic import Pieces, automatic, is_peaked
from .calibrated import ELSEWHERE, Brought
from .download import IDLE, Downloads, Offer, Tell, download, offer
from .fetcher import Fetcher, Place
from .ranking import ranked
from .rows import NOTHING, Known, OwnLabel, Promoted, SetStatus
from .search import Hit
from .store import LabelStore
from .text import clean, clean_note
from .web import Web

Named = tuple[Label | None, str]  # the label, and its state; in any state but "labelled" the label is automatic
ASK = "ask"  # instead of a state: a publisher may know
LABELS_EACH = 4
OWN_LENGTH, NOTE_LENGTH = 400, 2_000  # characters
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Network:
    """What asking publishers takes; without it only what is here is known."""

    web: Web
    tell: Callable[[Message], object]  # told of labels that have come and of the progress of a download


class Labels:
    """The labels of all features.

    States: "labelled"; "unlabelled" (whoever has this SAE's label set says that the feature has none); "absent" (nobody
    knows this SAE or feature); "pending" (asked for); "unavailable" (it cannot be had now, or is not asked for). A
    source that raises is left out from then on and told in `problems`.
    """

    def __init__(
        self,
        sources: Iterable[LabelSource | LabelPublisher] = (),
        saes: Mapping[str, SaeSpec] | None = None,
        store: LabelStore | None = None,
        settings: LabelSettings | None = None,
        fires_on: Callable[[str, Sequence[int]], Mapping[int, Pieces]] = lambda sae, features: {},
        network: Network | None = None,
    ) -> None:
        offered = tuple(sources)
        self.sources = tuple(one for one in offered if isinstance(one, LabelSource))
        self.publishers = tuple(one for one in offered if isinstance(one, LabelPublisher))
        self.saes = saes or {}
        self.store, self.settings, self.fires_on, self.network = store, settings or LabelSettings(), fires_on, network
        self.failures: list[Problem] = []
        self.packs: dict[str, Brought | None] = {}  # calibrations that came with SAEs, those looked for
        self.names: dict[str, dict[int, Named]] = defaultdict(dict)  # what was found out before
        self.lock = threading.Lock()
        self.fetcher: Fetcher | None = None
        self.downloads: Downloads | None = None
        if store and network:
            self.fetcher = Fetcher(store, network.web, self.answered)
            self.downloads = Downloads(store, network.web, lambda place: self.set_arrived(place.label_set))

    @property
    def problems(self) -> list[Problem]:
        """What is not as it should be: sources that failed, and the database."""
        return [*self.failures, *([self.store.problem] if self.store and self.store.problem else ())]

    def close(self) -> None:
        """End what goes on in the background, and let go of the database."""
        if self.fetcher and self.downloads and self.network:
            self.fetcher.close()
            self.network.web.close()
            self.downloads.close()
        if self.store:
            self.store.close()

    # -- names ----------------------------------------------------------------

    def of(self, sae: str, features: Iterable[int], visible: bool = False) -> dict[int, Named]:
        """The label and state of each of these features; what may be had is asked for, `visible` ones first."""
        wanted = list(features)
        if self.store and self.store.changed_elsewhere():
            self.forget()
        with self.lock:
            known = self.names[sae]
            found = {feature: known[feature] for feature in wanted if feature in known}
        if new := [feature for feature in wanted if feature not in found]:
            fresh = self.find(sae, new)
            with self.lock:
                self.names[sae].update(fresh)
            found |= fresh
        if asked := [feature for feature in wanted if found[feature][1] == ASK]:
            state = self.ask(sae, asked, visible)
            found |= {feature: (found[feature][0], state) for feature in asked}
        return {feature: found[feature] for feature in wanted}

    def find(self, sae: str, features: list[int]) -> dict[int, Named]:
        """The label and state of features, looked up; the state is ASK where a publisher may know."""
        said, known = self.said_by_sources(sae, features), self.known(sae, features)
        found: dict[int, Named] = {}
        for feature in features:
            if described := self.described(feature, said, known):
                found[feature] = (described[0], "labelled")
        rest = [feature for feature in features if feature not in found]
        # What is promoted strongly goes first anyway.
        measured = known.measured or {}
        unclear = [n for n in rest if n not in known.promoted or not is_peaked(known.promoted[n])]
        unclear = [n for n in unclear if n not in measured or not measured[n].rule]
        pieces = self.pieces(sae, unclear)
        published = self.place_of(sae) is not None
        for feature in rest:
            if said is not None or known.complete:
                state = "unlabelled"
            else:
                state = known.negatives.get(feature) or (ASK if published else "absent")
            guesses = automatic(known.promoted.get(feature), pieces.get(feature, ()), measured.get(feature))
            found[feature] = (guesses[0] if guesses else None, state)
        return found

    def described(self, feature: int, said: Mapping[int, list[Label]] | None, known: Known) -> list[Label]:
        """What somebody called a feature: the user, then plugins' sources, then publishers in the order of ranking."""
        own = known.own.get(feature)
        return [
            *((Label(own.label, OWN, "written by hand"),) if own and own.label else ()),
            *(said or {}).get(feature, ()),
            *ranked(known.labels.get(feature, ()), self.settings.prefer),
        ]

    def ask(self, sae: str, features: list[int], visible: bool) -> str:
        """Ask the publisher for labels; gives the state of these features meanwhile."""
        place = self.place_of(sae)
        if not place or not self.fetcher or not self.settings.fetch:
            return "unavailable"
        return self.fetcher.want(place, features, visible)

    def said_by_sources(self, sae: str, features: Sequence[int]) -> dict[int, list[Label]] | None:
        """What the plugins' sources say, in their order; None where none of them holds this SAE's labels."""

        def ask(source: LabelSource) -> dict[int, Label] | None:
            return source.labels(sae, features) if source.has(sae) else None

        holding = [labels for source in self.sources if (labels := self.asked(source, ask, None)) is not None]
        if not holding:
            return None
        found: dict[int, list[Label]] = defaultdict(list)
        for labels in holding:
            for feature, label in labels.items():
                found[feature].append(label)
        return found

    def known(self, sae: str, features: Iterable[int]) -> Known:
        """What the database says about the names of features, and what was measured of them.

        Nothing, and a problem told, where it cannot be read.
        """
        wanted, known = list(features), NOTHING
        with self.telling("labels.db"):
            known = self.store.known(sae, self.set_of(sae), wanted) if self.store else NOTHING
        if known.measured is None and self.brought(sae):
            return replace(known, measured=self.measured_by_others(sae, wanted))
        return known

    def pieces(self, sae: str, features: list[int]) -> Mapping[int, Pieces]:
        """The tokens that features fire on in stored sessions."""
        with self.telling("sessions.db"):
            return self.fires_on(sae, features) if features else {}
        return {}

    def forget(self, sae: str = "", features: Iterable[int] | None = None) -> None:
        """Look up anew what some features of an SAE, all of them, or everything is called."""
        with self.lock:
            if not sae:
                self.names.clear()
            elif features is None:
                self.names.pop(sae, None)
            else:
                for feature in features:
                    self.names[sae].pop(feature, None)

    def message(self, sae: str, features: Iterable[int]) -> Message:
        """The names of features as the message that tells of them."""
        named = self.of(sae, features)
        return {"kind": "labels", "sae": sae, "labels": {str(n): as_fields(*one) for n, one in named.items()}}

    # -- one feature ----------------------------------------------------------

    def all_of(self, sae: str, feature: int) -> list[Label]:
        """Every label of a feature: the user's, those of sources, published ones in order, automatic ones."""
        known = self.known(sae, [feature])
        pieces, measured = self.pieces(sae, [feature]).get(feature, ()), (known.measured or {}).get(feature)
        guesses = automatic(known.promoted.get(feature), pieces, measured)
        return [*self.described(feature, self.said_by_sources(sae, [feature]), known), *guesses]

    def descriptions(self, sae: str, features: Sequence[int]) -> dict[int, list[Label]]:
        """What somebody called these features, the label to show first; those that nobody described are left out."""
        said, known = self.said_by_sources(sae, features), self.known(sae, features)
        return {feature: found for feature in features if (found := self.described(feature, said, known))}

    def own(self, sae: str, feature: int) -> OwnLabel | None:
        """What the user wrote about a feature."""
        return self.known(sae, [feature]).own.get(feature)

    def edit(self, sae: str, feature: int, label: str, note: str) -> None:
        """Keep the user's own label and note of a feature; empty ones are taken away. Raises StoreError."""
        if not self.store:
            raise StoreError("There is no label database.", "Start AXON Shell again.")
        self.store.put_own(sae, feature, OwnLabel(clean(label, OWN_LENGTH), clean_note(note, NOTE_LENGTH)))
        self.tell_anew(sae, [feature])

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        """What was measured about a feature, by the first source that did."""
        nothing: dict[str, float] = {}
        for source in self.sources:
            if found := self.asked(source, lambda source: source.statistics(sae, feature), nothing):
                return found
        rates, measured = self.base_rates(sae, [feature]), self.measured(sae, [feature], contexts=False)
        if rates and feature in measured:
            return {"density": rates[1][feature], "max_activation": measured[feature].highest}
        return nothing

    def details(self, sae: str, feature: int) -> tuple[str, FeatureFacts, str]:
        """Who tells what about a feature, and the state of that: "known", "pending", "unavailable" or "absent".

        What this program computed stands in for what nobody published.
        """
        origin, facts, whole = "", FeatureFacts(), False
        label_set, place = self.set_of(sae), self.place_of(sae)
        with self.telling("labels.db"):
            if self.store and (found := self.store.facts(label_set, feature)):
                origin, facts, whole = found
        if whole:
            return origin, facts, "known"
        state = "absent"
        if place and self.fetcher and self.settings.fetch:
            absent = self.known(sae, [feature]).negatives.get(feature) == "absent"
            state = "absent" if absent else self.fetcher.want_details(place, feature)
        elif place:
            state = "unavailable"
        return origin, facts, state

    # -- calibrations ---------------------------------------------------------

    def calibration(self, sae: str) -> tuple[Calibration, str] | None:
        """What was measured of an SAE's features, on what; and who measured. None: nobody did."""
        with self.telling("labels.db"):
            if self.store and (found := self.store.calibration(sae)):
                return found
        brought = self.brought(sae)
        return (brought.about, ELSEWHERE) if brought else None

    def base_rates(self, sae: str, features: Iterable[int]) -> tuple[int, dict[int, float]] | None:
        """How many tokens of a corpus were read, and at which share of them each of these features fired.

        None where the SAE was not calibrated. BOS is left out.
        """
        wanted, found = list(features), None
        with self.telling("labels.db"):
            found = self.store.rates(sae, wanted) if self.store else None
        if found is None and (brought := self.brought(sae)):
            fires = {n: one.fires for n, one in self.measured_by_others(sae, wanted).items()}
            found = brought.about.tokens, fires
        if found is None:
            return None
        tokens, fires = found
        return tokens, {feature: fires.get(feature, 0) / max(tokens, 1) for feature in wanted}

    def cofiring(self, sae: str, features: Iterable[int]) -> dict[tuple[int, int], Partner]:
        """Those pairs among features that fire together more than chance explains on the corpus, the smaller one first.

        Empty where the SAE was not calibrated, too. Of each feature only its strongest partners are known.
        """
        wanted = set(features)
        return {
            (min(feature, one.feature), max(feature, one.feature)): one
            for feature, measured in self.measured(sae, wanted, contexts=False).items()
            for one in measured.partners
            if one.feature in wanted
        }

    def measured(self, sae: str, features: Iterable[int], contexts: bool = True) -> dict[int, Measured]:
        """What was measured of features on a corpus; those that never fired there are left out."""
        wanted = list(features)
        with self.telling("labels.db"):
            if self.store and self.store.calibration(sae):
                return self.store.measured(sae, wanted, contexts)
        return self.measured_by_others(sae, wanted)

    def measured_by_others(self, sae: str, features: Iterable[int]) -> dict[int, Measured]:
        """What was measured of features in the calibration that came with their SAE."""
        if brought := self.brought(sae):
            try:
                return brought.of(features)
            except LabelFileError as error:
                self.packs[sae] = None
                self.failures.append(Problem(f"calibration of {sae}", error.message, error.hint))
        return {}

    def brought(self, sae: str) -> Brought | None:
        """The calibration that came with an SAE, read when it is first asked for."""
        if sae not in self.packs:
            self.packs[sae] = None
            for source in self.sources:
                if isinstance(source, CalibrationSource):
                    self.packs[sae] = self.packs[sae] or self.asked(source, partial(brought_by, sae), None)
        return self.packs[sae]

    def put_calibration(self, calibration: Calibration, features: Iterable[Measured], origin: str) -> None:
        """Keep a calibration that is done, and tell what features are called now. Raises StoreError."""
        if not self.store:
            raise StoreError("There is no label database.", "Start AXON Shell again.")
        self.store.put_calibration(calibration, features, origin)
        self.forget(calibration.sae)
        if self.network:
            self.network.tell({"kind": "labels", "sae": calibration.sae, "labels": None})

    def require_feature(self, sae: str, feature: int) -> None:
        """Raise NotFound where an SAE has no such feature. A width of 0 is not known before loading."""
        spec = self.saes.get(sae)
        if feature < 0 or (spec and spec.width and feature >= spec.width):
            few = f"Its features are 0 to {spec.width - 1}." if spec and spec.width else "Features count from 0."
            raise NotFound(f"SAE {sae} has no feature {feature}.", few)

    def promoted(self, sae: str, features: Iterable[int]) -> dict[int, Promoted]:
        """The tokens that features promote, where this program computed them."""
        return self.known(sae, features).promoted

    def put_promoted(self, sae: str, found: Mapping[int, Promoted]) -> bool:
        """Keep the tokens that features promote, and tell whether that worked; else they are computed another time."""
        with self.telling("labels.db"):
            if self.store:
                self.store.put_promoted(sae, found)
                return True
        return False

    # -- sets -----------------------------------------------------------------

    def set_of(self, sae: str) -> str:
        """The name of an SAE's label set: its publisher's, else the SAE's own."""
        place = self.place_of(sae)
        return place.label_set if place else sae

    def place_of(self, sae: str) -> Place | None:
        """Where the labels of an SAE are published, if they are."""
        spec = self.saes.get(sae)
        for publisher in self.publishers if spec else ():
            if spec and (label_set := publisher.set_of(spec)):
                return Place(publisher, label_set, spec)
        return None

    @cached_property
    def saes_by_set(self) -> dict[str, list[str]]:
        """The SAEs that a label set is of: one, or also the same SAE on a fine-tune."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.saes:
            found[self.set_of(name)].append(name)
        return found

    def require_place(self, sae: str) -> Place:
        """Where the labels of an SAE are published. Raises NotFound where they are not."""
        place = self.place_of(sae)
        if not place:
            hint = "Automatic labels are made as its features fire; `axon-shell labels import` takes a file of labels."
            raise NotFound(f"Nobody publishes labels of {sae}.", hint)
        return place

    def search(self, text: str, sae: str = "", limit: int = 50) -> list[tuple[str, Hit]]:
        """Labels that hold all words of a text, of one SAE or all, with the SAE of each; the user's own come first."""
        found: dict[tuple[str, int], Hit] = {}
        places = [self.set_of(sae), sae] if sae else []
        most = LABELS_EACH * limit  # a feature may be found several times
        for hit in self.store.search(text, places, most) if self.store else ():
            own = hit.label.origin == OWN
            if own and sae and hit.place != sae:  # of an SAE that has the name of this one's label set
                continue
            name = hit.place if own else sae or next(iter(self.saes_by_set.get(hit.place, ())), hit.place)
            found.setdefault((name, hit.feature), hit)
        for name in [sae] if sae else self.saes:
            for hit in self.search_sources(text, name):
                found.setdefault((name, hit.feature), hit)
                if len(found) >= limit:
                    break
        return [(name, hit) for (name, _), hit in found.items()][:limit]

    def search_sources(self, text: str, sae: str) -> list[Hit]:
        """Labels of the plugins' sources that hold all words of a text."""
        words, spec = text.casefold().split(), self.saes.get(sae)
        said = self.said_by_sources(sae, range(spec.width)) if words and spec else None
        return [
            Hit(sae, feature, labels[0])
            for feature, labels in (said or {}).items()
            if all(word in labels[0].text.casefold() for word in words)
        ]

    def about_set(self, sae: str) -> Message:
        """How many labels of an SAE are here, and how far a download has come; without the network."""
        place, spec = self.place_of(sae), self.saes.get(sae)
        status, own, named = SetStatus(), 0, 0
        if self.store:
            status = self.store.status(self.set_of(sae))
            own, named = self.store.counted(sae)
        said = self.said_by_sources(sae, range(spec.width)) if spec else None
        calibration = self.calibration(sae)
        downloading = self.downloads and self.downloads.sae == sae
        fetched = status.fetched_at and datetime.fromtimestamp(status.fetched_at, timezone.utc)
        return {
            "sae": sae,
            "set": place and place.label_set,
            "publisher": place and place.publisher.title,
            "features": spec.width if spec else 0,
            "labelled": status.labelled + len(said or {}),
            "labels": status.labels + len(said or {}),
            "own": own,
            "automatic": named,
            "complete": status.complete or said is not None,
            "fetched_at": fetched and fetched.isoformat().replace("+00:00", "Z"),
            "blocked": status.blocked or None,
            "calibration": calibration and calibrated_record(*calibration),
            "download": dict(self.downloads.state) if self.downloads and downloading else dict(IDLE),
        }

    def labelled_saes(self) -> list[str]:
        """The SAEs of which something is known here: labels, or the user's own."""
        sets = set(self.store.sets()) if self.store else set()
        own = {sae for sae, _ in self.store.all_own()} if self.store else set()
        held = {sae for sae in self.saes if any(self.asked(one, partial(holds, sae), False) for one in self.sources)}
        return [sae for sae in self.saes if sae in held or sae in own or self.set_of(sae) in sets]

    def offer(self, sae: str) -> Offer:
        """What getting all labels of an SAE would fetch. Raises NotFound, WeightsError, or an error of the network."""
        store, web = self.require_network()
        return offer(self.require_place(sae), store, web)

    def get_all(self, sae: str, changed: Callable[[], object]) -> None:
        """Get all labels of an SAE in the background; `changed` is called when there is something new to tell.

        Raises NotFound, and Busy while others are being fetched.
        """
        self.require_network()
        place = self.require_place(sae)
        if not self.downloads or not self.downloads.start(place, changed):
            raise Busy("Labels are being fetched already.", "Wait until they are here, or cancel that.")

    def download(self, sae: str, tell: Tell, cancelled: Callable[[], bool]) -> Offer:
        """Get all labels of an SAE now. Raises as `get_all`, and what a download raises."""
        store, web = self.require_network()
        place = self.require_place(sae)
        found = download(place, store, web, tell, cancelled)
        self.set_arrived(place.label_set)
        return found

    def require_network(self) -> tuple[LabelStore, Web]:
        """The database and the way to the network."""
        if not self.store or not self.network:
            raise Offline("Labels are not fetched here.", "`axon-shell labels download` gets them.")
        return self.store, self.network.web

    def cancel(self) -> None:
        """Stop getting a label set; what has arrived is kept for the next time."""
        if self.downloads:
            self.downloads.cancel()

    def retry(self) -> None:
        """Ask again at once for what could not be had."""
        if self.fetcher:
            self.fetcher.retry()

    # -- what comes from the background ---------------------------------------

    def answered(self, label_set: str, features: list[int]) -> None:
        """Features of a set were answered, or cannot be for now: tell their names."""
        for sae in self.saes_by_set.get(label_set, ()):
            self.tell_anew(sae, features)

    def set_arrived(self, label_set: str) -> None:
        """A whole set has come: everything may have changed."""
        self.forget()
        if self.fetcher:
            self.fetcher.blocked.pop(label_set, None)
        for sae in self.saes_by_set.get(label_set, ()):
            if self.network:
                self.network.tell({"kind": "labels", "sae": sae, "labels": None})

    def tell_anew(self, sae: str, features: Iterable[int]) -> None:
        """Look up anew what features are called, and tell it."""
        self.forget(sae, features)
        if self.network:
            self.network.tell(self.message(sae, features))

    def asked(self, source: LabelSource, question: Callable[[LabelSource], T], nothing: T) -> T:
        """What a source answers; `nothing`, and a problem, where it fails."""
        try:
            return question(source)
        except Exception as error:
            self.sources = tuple(other for other in self.sources if other is not source)
            message = f"It failed: {type(error).__name__}: {error}"
            hint = "It is left out until the next start. Mend the plugin that it is from."
            self.failures.append(Problem(f"label source {source.name}", message, hint))
            return nothing

    @contextmanager
    def telling(self, name: str) -> Iterator[None]:
        """Go on where a database fails, and note that as a problem, unless it is known."""
        try:
            yield
        except StoreError as error:
            problem = Problem(name, error.message, error.hint)
            if problem not in self.failures:
                self.failures.append(problem)


def holds(sae: str, source: LabelSource) -> bool:
    """Whether a source holds the labels of an SAE."""
    return source.has(sae)


def brought_by(sae: str, source: LabelSource) -> Brought | None:
    """The calibration of an SAE that a source brings."""
    path = source.calibration(sae) if isinstance(source, CalibrationSource) else None
    return Brought(path) if path else None


def calibrated_record(calibration: Calibration, origin: str) -> Message:
    """What was measured of an SAE, on what and by whom, as one JSON object."""
    return asdict(calibration) | {"origin": origin}


def as_record(label: Label) -> Message:
    """A label as one JSON object."""
    return {name: value for name, value in asdict(label).items() if name != "id"}


def hit_record(sae: str, hit: Hit) -> Message:
    """A label that a search found as one JSON object."""
    label = hit.label
    return {
        **{"sae": sae, "feature": hit.feature, "label": label.text},
        **{"origin": label.origin, "method": label.method, "explainer": label.explainer},
    }


def as_fields(label: Label | None, state: str) -> Message:
    """A name as it stands in messages: label, label_state, label_origin."""
    return {"label": label and label.text, "label_state": state, "label_origin": label and label.origin}
