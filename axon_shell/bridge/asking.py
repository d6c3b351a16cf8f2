"""Asking why a token came."""

from __future__ import annotations

from typing import Any

from ..errors import NotFound
from ..store import new_uid
from ..why import TOP, question_of
from .part import Part


class Asking(Part):
    """What the page asks about one token of a session."""

    def why(
        self,
        session: str,
        position: int,
        token: str | None = None,
        token_id: int | None = None,
        saes: list[str] | None = None,
        top: int = TOP,
    ) -> dict[str, Any]:
        """Have it worked out what each feature at a position does to a next token: the one that followed, or another.

        "why" events of this request tell the progress, and then the answer or why there is none. A question that is
        asked later takes the place of this one.
        """
        question = question_of(self.store, session, position, saes or (), top)
        model, sae_specs = self.catalogue.choose(question.model, list(question.saes))
        if not question.saes:
            raise NotFound("No SAE has read this session.", "Choose one to ask with.")
        request = new_uid()
        self.worker.ask(request, question, model, sae_specs, token_id if token is None else token)
        return {"request": request}

    def cancel_why(self) -> dict[str, Any]:
        """Answer no more."""
        self.worker.stop_asking()
        return {}
