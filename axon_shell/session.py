"""THE STORY: a prompt becomes steps, labelled and stored as they happen, and comes back the same.

    prompt -> token ids -> one pass per position -> SAE features -> store -> labels, analysers -> messages

`run` streams a session, `replay` gives back what was streamed; both yield the same messages (start, step..., end), so
the page, the terminal and an export need no second path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from .analysers import Analysers
from .errors import as_axon_error
from .labels import Labels
from .records import End, Message, Problem, Settings
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
    store: Store,
    stopped: Callable[[], bool],
) -> Iterator[Message]:
    """Generate a session and yield its messages; each is handed to the store before it is yielded.

    Raises PromptError before anything is stored. What fails later ends the session with the reason "error", and what
    was produced until then is kept.
    """
    # These import torch, which whoever only replays never needs.
    from .engine.generate import generate
    from .engine.model import number_format
    from .engine.sae import first_token

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
        "notes": [note for sae in saes for note in sae.notes],
    }
    store.begin(session, start)
    yield start
    new_tokens = 0
    end = None
    try:
        for record in generate(model, saes, ids, bos is not None, settings, stopped):
            if isinstance(record, End):
                end = record
                break
            new_tokens += not record.is_prompt
            step = record.as_message()
            store.add(session, step)
            yield annotate(step)
    except Exception as error:
        known = as_axon_error(error, "generating")
        end = End("error", prompt_tokens, new_tokens, None, known.as_record())
    finally:
        # Also when whoever reads these messages stops reading: the session must not look as if it were still running.
        end = end or End("stopped", prompt_tokens, new_tokens, None)
        store.end(session, end.as_message())
    yield end.as_message()


def replay(session: str, store: Store, annotate: Annotator, after: int = -1, limit: int | None = None) -> list[Message]:
    """Stored messages of a session, from index `after` + 1 on (0 is the start), annotated with what is known today.

    Raises NotFound when there is no such session.
    """
    return [annotate(message) for message in store.messages(session, after, limit)]


class Annotator:
    """Adds to a step what is not measured but said about it: labels of its features, and what analysers find."""

    def __init__(self, labels: Labels, analysers: Analysers) -> None:
        self.labels, self.analysers = labels, analysers

    def __call__(self, message: Message) -> Message:
        """A step message with labels and analyses; other messages as they are."""
        if message["kind"] != "step":
            return message
        saes = {}
        for sae, reading in message["saes"].items():
            named = self.labels.of(sae, [active["feature"] for active in reading["features"]])
            features = []
            for active in reading["features"]:
                label, state = named[active["feature"]]
                features.append(active | {"label": label and label.text, "label_state": state})
            saes[sae] = reading | {"features": features}
        return message | {"saes": saes, "analyses": {} if message.get("is_bos") else self.analysers.of(message)}

    def problems(self) -> list[Problem]:
        """Label sources and analysers that failed, and are asked no more."""
        return [*self.labels.problems, *self.analysers.problems]
