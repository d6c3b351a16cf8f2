"""Every way to extend AXON Shell. Hooks declare what there is at start-up; none is called per token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from .records import Analyser, Exporter, FeatureFacts, Label, LabelFile, ModelSpec, SaeSpec

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


@runtime_checkable
class CalibrationSource(Protocol):
    """A label source that also brings what was measured of an SAE's features on a corpus."""

    def calibration(self, sae: str) -> Path | None:
        """A label pack with the calibration of an SAE, as `axon-shell labels export` writes it; None: there is none."""
        ...


class Web(Protocol):
    """How a publisher's server is asked: politely, never offline; it raises errors that users understand."""

    def json(self, url: str, body: Any = None) -> Any:
        """What an API answers; `body` is posted as JSON. Raises NotFound for a 404."""
        ...

    def text(self, url: str) -> str:
        """A small text. Raises NotFound where there is none."""
        ...

    def facts(self, url: str) -> tuple[int, str] | None:
        """Size in bytes and ETag of a file; None where there is none."""
        ...


@runtime_checkable
class LabelPublisher(Protocol):
    """A place on the network that publishes labels. It is asked in the background; what it answers is kept."""

    name: str  # the origin of its labels: "neuronpedia"
    title: str  # for people: "Neuronpedia"
    batch: int  # features that `look_up` takes at most

    def set_of(self, sae: SaeSpec) -> str:
        """What it calls the labels of an SAE, "gpt2-small/8-res-jb"; empty where it has none."""
        ...

    def page(self, label_set: str, feature: int) -> str:
        """The address of a feature's page."""
        ...

    def look_up(self, web: Web, label_set: str, features: Sequence[int]) -> dict[int, FeatureFacts | None]:
        """What it knows of some features; None: it does not know the feature. Raises DownloadError."""
        ...

    def details(self, web: Web, label_set: str, feature: int) -> FeatureFacts | None:
        """All that it knows of one feature, texts where it fires too. Raises DownloadError."""
        ...

    def sae_of(self, web: Web, label_set: str) -> tuple[str, str] | None:
        """Release and id, in SAELens's directory, of the SAE that a set is of; None where it does not say."""
        ...

    def files(self, web: Web, label_set: str) -> list[LabelFile]:
        """The files that together hold all labels of a set: JSON, one object a line, gzipped or not."""
        ...

    def row(self, record: Mapping[str, Any]) -> tuple[str, int, Label] | None:
        """Set, feature and label of an object in such a file; None where it is no label."""
        ...


@hookspec
def register_models(register: Callable[[ModelSpec], None], config: Config) -> None:
    """Register language models: call `register(ModelSpec(...))` for each."""


@hookspec
def register_saes(register: Callable[[SaeSpec], None], config: Config) -> None:
    """Register sparse autoencoders: call `register(SaeSpec(...))` for each."""


@hookspec
def register_label_sources(register: Callable[[LabelSource | LabelPublisher], None], config: Config) -> None:
    """Register sources of labels: call `register(source)` for each; the first that knows a feature wins.

    One that needs the network is a LabelPublisher.
    """


@hookspec
def register_analysers(register: Callable[[Analyser], None], config: Config) -> None:
    """Register functions of a step: call `register(Analyser(name, function))` for each."""


@hookspec
def register_exporters(register: Callable[[Exporter], None], config: Config) -> None:
    """Register file formats for sessions: call `register(Exporter(name, suffix, function))` for each."""
