"""THE STORY: a prompt becomes steps, labelled and stored as they happen, and comes back the same.

    prompt -> token ids -> one pass per position -> SAE features -> store -> labels, analysers -> messages

`run` streams a session, `replay` gives back what was streamed; both yield the same messages (start, step..., end), so
the page, the terminal and an export need no second path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from .analysers import Analysers
from .errors import StoreError, as_axon_error
from .labels import Labels, Promoted, as_fields
from .provenance import provenance
from .records import Edit, End, Message, Problem, Settings, steps_of
from .steering import fallen_apart, read_after
from .store import Store

if TYPE_CHECKING:
    from .engine.model import Model
    from .engine.sae import Sae


def run(
    session: str,
    prompt: str,
    model: Model,
    saes: Sequence[Sae],
    settings: Settings,
    annotate: Annotator,
    store: Store | Nowhere,
    stopped: Callable[[], bool],
    parent: Message | None = None,
    vectors: str = "none",
    edits: Sequence[Edit] = (),
) -> Iterator[Message]:
    """Generate a session and yield its messages; each is handed to the store before it is yielded.

    `parent` names the session and the position that it goes on from, where it does; `vectors` says of which tokens what
    the SAEs read is stored as well ("none", "prompt", "written" or "all"), when the session has ended; `edits` steer
    it. Raises PromptError, NotFound or InvalidSetting before anything is stored. What fails later ends the session with
    the reason "error", and what was produced until then is kept.
    """
    # These import torch, which whoever only replays never needs.
    from .engine.generate import generate
    from .engine.model import number_format
    from .engine.sae import first_token
    from .engine.steering import require_edits
    from .engine.vectors import Vectors

    require_edits(edits, saes)
    bos = first_token(model, saes)
    ids = model.tokens(prompt, bos)
    prompt_tokens = len(ids) - (bos is not None)
    start: Message = {
        "kind": "start",
        "session": session,
        "model": model.spec.id,
        "saes": [sae.spec.id for sae in saes],
        "prompt": prompt,
        "settings": asdict(settings),
        "device": str(model.device),
        "dtype": number_format(model.dtype),
        "notes": [*(note for sae in saes for note in sae.notes), *read_after(edits)],
        "provenance": provenance(model.spec, [sae.spec for sae in saes]),
        **({"parent": parent} if parent else {}),
        **({"edits": [asdict(edit) for edit in edits]} if edits else {}),
    }
    store.begin(session, start)
    yield start
    new_tokens = 0
    written: list[Message] = []
    end = None
    kept = Vectors(saes, vectors, len(ids))
    try:
        for record in generate(model, saes, ids, bos is not None, settings, stopped, kept.add, edits):
            if isinstance(record, End):
                signs = fallen_apart(written, model.vocabulary) if edits else []
                end = replace(record, notes=tuple(signs))
                break
            new_tokens += not record.is_prompt
            step = record.as_message()
            if not record.is_prompt:
                written.append(step)
            store.add(session, step)
            yield annotate(step)
    except Exception as error:
        known = as_axon_error(error, "generating")
        end = End("error", prompt_tokens, new_tokens, None, known.as_record())
    finally:
        # Also when whoever reads these messages stops reading: the session must not look as if it were still running.
        end = end or End("stopped", prompt_tokens, new_tokens, None)
        store.end(session, end.as_message())
        with suppress(StoreError):  # the session itself is kept all the same
            for hook, first, width, data in kept.blobs():
                store.keep_vectors(session, hook, first, width, data)
    yield end.as_message()


class Nowhere:
    """In the place of a store where a session is only looked at: takes everything, keeps nothing."""

    def begin(self, session: str, start: Message) -> None: ...
    def add(self, session: str, step: Message) -> None: ...
    def end(self, session: str, end: Message) -> None: ...
    def keep_vectors(self, session: str, hook: str, first: int, width: int, data: bytes) -> None: ...


def replay(session: str, store: Store, annotate: Annotator, after: int = -1, limit: int | None = None) -> list[Message]:
    """Stored messages of a session, from index `after` + 1 on (0 is the start), annotated with what is known today.

    Raises NotFound when there is no such session.
    """
    return [annotate(message) for message in store.messages(session, after, limit)]


def undescribed(messages: Iterable[Message], labels: Labels) -> dict[str, list[int]]:
    """The features that fired in a session and that nobody has described, by SAE, in the order in which they fired."""
    fired: dict[str, dict[int, None]] = {}
    for step in steps_of(messages):
        for sae, reading in step["saes"].items():
            fired.setdefault(sae, {}).update({active["feature"]: None for active in reading["features"]})
    return {
        sae: [feature for feature, (_, state) in labels.of(sae, features).items() if state != "labelled"]
        for sae, features in fired.items()
    }


class Promoter:
    """Works out which tokens features promote: what is called a feature that nobody described."""

    def __init__(self, model: Model) -> None:
        from .engine.attribution import direct_path
        from .engine.naming import chance_peak, token_ids
        from .engine.text import Decoder

        self.model, self.decoder = model, Decoder(model.tokenizer)
        self.path, self.tokens = direct_path(model), token_ids(model)
        self.chance = chance_peak(self.path, self.tokens)

    def name(self, sae: Sae, features: Sequence[int], labels: Labels) -> list[int]:
        """Keep the tokens that some features of an SAE promote, and give the features of which they were not known.

        None of them where no straight line leads to the logits.
        """
        from .engine.attribution import way_to_residual
        from .engine.naming import promoted

        known = labels.promoted(sae.spec.id, features)
        new = [feature for feature in features if feature not in known]
        found = promoted(self.path, sae, way_to_residual(self.model, sae.target), new, self.tokens) if new else None
        if found is None:
            return []
        rows = zip(found.features, found.promotes, found.suppresses, found.peak, found.kurtosis, strict=True)
        kept = labels.put_promoted(
            sae.spec.id,
            {
                feature: Promoted(self.texts(most), self.texts(least), peak, self.chance, kurtosis)
                for feature, most, least, peak, kurtosis in rows
            },
        )
        return new if kept else []

    def texts(self, tokens: Sequence[tuple[int, float]]) -> tuple[tuple[str, float], ...]:
        return tuple((self.decoder.piece(token), weight) for token, weight in tokens)


class Annotator:
    """Adds to a step what is not measured but said about it: labels of its features, and what analysers find."""

    def __init__(self, labels: Labels, analysers: Analysers) -> None:
        self.labels, self.analysers = labels, analysers

    def __call__(self, message: Message) -> Message:
        """A step message with labels and analyses; other messages as they are."""
        if message["kind"] != "step":
            return message
        return self.named(message) | {"analyses": {} if message.get("is_bos") else self.analysers.of(message)}

    def named(self, message: Message) -> Message:
        """A step message with its features called what they are called now; other messages as they are."""
        if message["kind"] != "step":
            return message
        saes = {}
        for sae, reading in message["saes"].items():
            named = self.labels.of(sae, [active["feature"] for active in reading["features"]])
            features = [active | as_fields(*named[active["feature"]]) for active in reading["features"]]
            saes[sae] = reading | {"features": features}
        return message | {"saes": saes}

    def problems(self) -> list[Problem]:
        """Label sources and analysers that failed, and are asked no more."""
        return [*self.labels.problems, *self.analysers.problems]
