"""What analysers make of each step. One that raises is left out from then on and told as a problem."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .records import Analyser, Message, Problem

LONGEST = 200  # characters of a text


class Analysers:
    """The analysers of all plugins, asked for one step after another."""

    def __init__(self, analysers: Iterable[Analyser] = ()) -> None:
        self.analysers = {analyser.name: analyser for analyser in analysers}
        self.problems: list[Problem] = []

    def of(self, step: Message) -> dict[str, float | str]:
        """What each analyser says of a step, by its name; those that say nothing are left out."""
        found: dict[str, float | str] = {}
        for name, analyser in list(self.analysers.items()):
            try:
                value = analyser.of(step)
                if isinstance(value, str):
                    found[name] = value[:LONGEST]
                elif value is not None and math.isfinite(number := float(value)):
                    found[name] = number
            except Exception as error:
                self.analysers.pop(name, None)
                message = f"It failed at token {step['position']}: {type(error).__name__}: {error}"
                hint = "It is left out until the next start. Mend the plugin that it is from."
                self.problems.append(Problem(f"analyser {name}", message, hint))
        return found
