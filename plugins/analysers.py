"""What can be said of each token from the model's own probabilities."""

from __future__ import annotations

from collections.abc import Callable

from axon_shell import Analyser, Message, hookimpl


def surprise(step: Message) -> float | None:
    """How little the model expected this token: the negative of its log-probability, in nats."""
    return None if step["logprob"] is None else -step["logprob"]


def entropy(step: Message) -> float:
    """How undecided the model is about the next token: the entropy of its probabilities, in nats (Shannon 1948)."""
    return step["entropy"]


def instead(step: Message) -> str | None:
    """What the model would rather have said next, where another token followed."""
    best, following = step["alternatives"][0], step["next"]
    return best["text"] if following and best["token_id"] != following["token_id"] else None


@hookimpl
def register_analysers(register: Callable[[Analyser], None]) -> None:
    """The three of them."""
    register(Analyser("entropy", entropy, "how open the next token is: 0 = certain", high=6, unit="nats"))
    register(Analyser("surprise", surprise, "how improbable this token was: −log p", high=6, unit="nats"))
    register(Analyser("rather", instead, "the most probable next token, where another one followed"))
