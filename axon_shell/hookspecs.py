"""Every way to extend AXON Shell. Hooks declare what there is at start-up; none is called per token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pluggy

from .records import Analyser, Exporter, Label, ModelSpec, SaeSpec

if TYPE_CHECKING:
    from .config import Config

hookspec = pluggy.HookspecMarker("axon_shell")
hookimpl = pluggy.HookimplMarker("axon_shell")


@runtime_checkable
class LabelSource(Protocol):
    """Something that knows labels without asking the network."""

    name: str

    def has(self, sae: str) -> bool:
        """Whether this source holds the label set of an SAE: then a feature it leaves out is unlabelled."""
        ...

    def labels(self, sae: str, features: Iterable[int]) -> dict[int, Label]:
        """The labels of these features; those it does not know are left out."""
        ...

    def statistics(self, sae: str, feature: int) -> dict[str, float]:
        """What was measured about a feature: density, max_activation; empty where nothing was."""
        ...


@hookspec
def register_models(register: Callable[[ModelSpec], None], config: Config) -> None:
    """Register language models: call `register(ModelSpec(...))` for each."""


@hookspec
def register_saes(register: Callable[[SaeSpec], None], config: Config) -> None:
    """Register sparse autoencoders: call `register(SaeSpec(...))` for each."""


@hookspec
def register_label_sources(register: Callable[[LabelSource], None], config: Config) -> None:
    """Register sources of labels: call `register(source)` for each; the first that knows a feature wins."""


@hookspec
def register_analysers(register: Callable[[Analyser], None], config: Config) -> None:
    """Register functions of a step: call `register(Analyser(name, function))` for each."""


@hookspec
def register_exporters(register: Callable[[Exporter], None], config: Config) -> None:
    """Register file formats for sessions: call `register(Exporter(name, suffix, function))` for each."""
