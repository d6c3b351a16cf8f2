"""Why this token: a question about a stored session, answered by running its text again up to a position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .errors import InvalidSetting, NotFound
from .labels import Labels, as_fields
from .records import Edit, Message
from .store import Store

if TYPE_CHECKING:
    from .engine.model import Model
    from .engine.sae import Sae
    from .engine.why import Without

TOP = 10  # features of each SAE that are ablated one at a time
MOST = 200
AGREES = 0.01  # nats by which a log-probability may differ from the one that was stored


@dataclass(frozen=True, slots=True)
class Question:
    """A position of a session and what is asked about it."""

    session: str  # uid
    position: int
    piece: str  # the token there
    ids: tuple[int, ...]  # the text up to and including it, as it was
    bos: bool  # whether the first of them is BOS
    model: str
    saes: tuple[str, ...]
    edits: tuple[Edit, ...]  # that were in force
    followed: int | None  # id of the token that followed
    expected: tuple[int, float]  # the most probable token and its log-probability, as stored
    top: int  # features of each SAE to ablate; 0: none


def question_of(store: Store, session: str, position: int, saes: Sequence[str] = (), top: int = TOP) -> Question:
    """What it takes to answer: `saes` are those to explain with, left out: the session's.

    Raises NotFound where there is no such session or position, InvalidSetting where nothing can be said of it.
    """
    uid = store.summary(session).uid
    start, *steps = [one for one in store.messages(uid) if one["kind"] != "end"]
    last = steps[-1]["position"] if steps else 0
    if not 0 <= position <= last or not steps:
        raise NotFound(f"Session {uid} has no position {position}.", f"Its positions are 0 to {last}.")
    if not 0 <= top <= MOST:
        raise InvalidSetting(f"{top} features cannot be ablated.", f"Choose 0 to {MOST}.")
    step = steps[position]
    if step.get("is_bos"):
        raise InvalidSetting("The BOS position has no features.", "Ask about a later position.")
    best = step["alternatives"][0]
    edits = tuple(Edit(**one) for one in start.get("edits", ()))
    # An SAE that steers must be there, whichever explain.
    chosen = dict.fromkeys((*(saes or start["saes"]), *(edit.sae for edit in edits)))
    return Question(
        session=uid,
        position=position,
        piece=step["piece"],
        ids=tuple(one["token_id"] for one in steps[: position + 1]),
        bos=bool(steps[0].get("is_bos")),
        model=start["model"],
        saes=tuple(chosen),
        edits=edits,
        followed=step["next"] and step["next"]["token_id"],
        expected=(best["token_id"], best["logprob"]),
        top=top,
    )


def tokens_of(model: Model, text: str) -> list[int]:
    """The tokens that a text may stand for: itself, and with a space before it. Raises InvalidSetting."""
    forms = [model.tokenizer(form, add_special_tokens=False)["input_ids"] for form in (text, f" {text}")]
    if found := [int(ids[0]) for ids in forms if len(ids) == 1 and text]:
        return found
    if not text:
        raise InvalidSetting("An empty text is no token.", "Give the token to explain.")
    first = model.tokenizer.decode(forms[1][:1])
    raise InvalidSetting(
        f"{text!r:.60} is {len(forms[0])} tokens.", f"A token is predicted at a time: ask about {first!r}."
    )


def answer(
    question: Question,
    model: Model,
    saes: Sequence[Sae],
    labels: Labels,
    token: int | str | None = None,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> Message:
    """Why a token, by its id or text, left out: the one that followed, comes after a position: one JSON object.

    Of what a text may stand for it is the most probable, at the last position of all tokens. `told` hears how many
    ablations are done, of how many, and may raise to end it. Raises InvalidSetting where there is no such token,
    EngineError.
    """
    from .engine.text import Decoder
    from .engine.why import explain

    token = question.followed if token is None else token
    candidates = tokens_of(model, token) if isinstance(token, str) else [] if token is None else [token]
    if candidates and not 0 <= candidates[0] < model.vocabulary:
        raise InvalidSetting(f"There is no token {token}.", f"Tokens are 0 to {model.vocabulary - 1}.")
    found = explain(model, saes, question.ids, question.bos, candidates, question.edits, question.top, told)
    decoder = Decoder(model.tokenizer)

    def without(one: Without | None) -> Message | None:
        if one is None:
            return None
        instead = {"token_id": one.instead, "text": decoder.piece(one.instead), "probability": one.instead_probability}
        return {"logit": one.logit, "probability": one.probability, "instead": instead}

    described: dict[str, Any] = {}
    for sae in saes:
        effects = found.saes[sae.spec.id]
        named = labels.of(sae.spec.id, [one.feature for one in effects.features])
        described[sae.spec.id] = {
            "hook": sae.target,
            "l0": effects.l0,
            "unexplained": effects.unexplained,
            "features": [
                {
                    "feature": one.feature,
                    "activation": one.activation,
                    "direct": one.direct,
                    "gradient": one.gradient,
                    "ablation": without(one.ablation),
                    **as_fields(*named[one.feature]),
                }
                for one in effects.features
            ],
            "direct": effects.direct and asdict(effects.direct),
            "gradient": asdict(effects.gradient),
            "ablation": effects.ablation
            and {name: without(getattr(effects.ablation, name)) for name in ("top", "features", "unexplained")},
        }
    return {
        "kind": "why",
        "session": question.session,
        "position": question.position,
        "piece": question.piece,
        "token": {"token_id": found.token, "text": decoder.piece(found.token)},
        "followed": found.token == question.followed,
        "logit": found.logit,
        "logprob": found.logprob,
        "rank": found.rank,
        "edits": [asdict(edit) for edit in question.edits],
        "notes": notes(question, found.best),
        "saes": described,
    }


def notes(question: Question, best: tuple[int, float]) -> list[str]:
    """What to know before believing the numbers: whether the session came out the same."""
    (then, logprob), (now, again) = question.expected, best
    if then == now and abs(logprob - again) <= AGREES:
        return []
    return ["The model predicts something else here than the session holds: its weights or settings have changed."]
