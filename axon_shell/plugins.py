"""Find plugins and build the catalogue: what models, SAEs and label sources there are.

A plugin that fails becomes a problem shown on screen with its name, never a dead window.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from . import homes, hookspecs, hub
from .config import Config
from .errors import NotFound, NotInstalled, PluginError
from .hookspecs import LabelSource
from .records import HubFiles, ModelSpec, Problem, PublishedSae, SaeSpec, Spec


@dataclass
class Catalogue:
    """Everything that plugins registered, by id, and what went wrong with them."""

    models: dict[str, ModelSpec] = field(default_factory=dict)
    saes: dict[str, SaeSpec] = field(default_factory=dict)
    label_sources: list[LabelSource] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def model(self, name: str) -> ModelSpec:
        """The model of this id. Raises NotFound naming the nearest."""
        return pick(self.models, name, "model", "`axon-shell models` lists them.")

    def sae(self, name: str) -> SaeSpec:
        """The SAE of this id. Raises NotFound naming the nearest."""
        return pick(self.saes, name, "SAE", "`axon-shell saes` lists them.")

    def saes_of(self, model: str, search: str = "") -> list[SaeSpec]:
        """The SAEs that read a model and whose id, hook point or description hold all words of a search.

        The model's first SAE leads, then those on this machine, then those described like the first, then the others.
        """
        first, words = self.models[model].sae if model in self.models else "", search.lower().split()
        found = [
            sae
            for sae in self.saes.values()
            if sae.model == model and all(word in f"{sae.id} {sae.hook} {sae.about}".lower() for word in words)
        ]
        here = {sae.id for sae in installed_among(found)}
        release = self.saes[first].about if first in self.saes else ""
        return sorted(found, key=lambda sae: (sae.id != first, sae.id not in here, sae.about != release))

    def choose(self, model: str, saes: list[str] | tuple[str, ...]) -> tuple[ModelSpec, list[SaeSpec]]:
        """A model and the SAEs to read it with: those named, or the one that the model suggests.

        Raises NotFound when one of them is not in the catalogue or reads another model.
        """
        spec = self.model(model)
        names = list(dict.fromkeys(saes)) or ([spec.sae] if spec.sae else [])
        chosen = [self.sae(name) for name in names]
        for sae in chosen:
            if sae.model != spec.id:
                own = ", ".join(s.id for s in self.saes_of(spec.id)) or "none"
                raise NotFound(f"SAE {sae.id} reads {sae.model}, not {spec.id}.", f"SAEs of {spec.id}: {own}.")
        return spec, chosen


def pick(table: dict[str, Any], name: str, what: str, where: str) -> Any:
    """The entry of a table by its id. Raises NotFound naming the nearest id."""
    if name in table:
        return table[name]
    near = get_close_matches(name, list(table), 1)
    raise NotFound(f"There is no {what} {name!r}.", f"Did you mean {near[0]}? {where}" if near else where)


def on_hub(spec: Spec) -> HubFiles | None:
    """The files on the hub that an entry needs; None for one that lies in a folder."""
    if isinstance(spec.weights, Path):
        return None
    return spec.weights.files if isinstance(spec.weights, PublishedSae) else spec.weights


def installed(spec: Spec) -> bool:
    """Whether the weights lie on this machine."""
    files = on_hub(spec)
    return hub.held(files) if files else Path(str(spec.weights)).is_dir()


def installed_among(saes: Iterable[SaeSpec]) -> list[SaeSpec]:
    """Those SAEs whose weights lie on this machine; quick for thousands of which few do."""
    there = cache(lambda repo: hub.snapshot(repo) is not None)
    return [sae for sae in saes if (not (files := on_hub(sae)) or there(files.repo)) and installed(sae)]


def readable_size(size: int) -> str:
    """Bytes as people read them: "699 MB"."""
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:,.1f} MB"


def require_installed(model: ModelSpec, saes: Sequence[SaeSpec]) -> None:
    """Raise NotInstalled, with the command that fetches them, when weights are not on this machine."""
    specs: list[Spec] = [model, *saes]
    absent = [spec for spec in specs if on_hub(spec) and not installed(spec)]
    if absent:
        size = sum(spec.size_bytes for spec in absent)
        raise NotInstalled(
            f"{' and '.join(spec.id for spec in absent)} must be downloaded first ({readable_size(size)}).",
            f"`axon-shell download {' '.join([model.id, *(sae.id for sae in saes)])}` fetches what is missing.",
        )


def listing(spec: Spec) -> dict[str, Any]:
    """An entry of the catalogue as the page and `--json` list it."""
    entry = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return entry | {"weights": str(on_hub(spec) or spec.weights), "installed": installed(spec)}


def catalogue(config: Config) -> Catalogue:
    """Everything that the plugins offer under a configuration."""
    found = Catalogue()
    manager = pluggy.PluginManager("axon_shell")
    manager.add_hookspecs(hookspecs)
    # Folders first: what is bundled whole comes before what must be downloaded.
    for path in (*sorted(homes.plugins().glob("*/__init__.py")), *sorted(homes.plugins().glob("*.py"))):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        with problems_of(name, found):
            manager.register(load(path, name), name)
            manager.check_pending()
            ask(manager, name, config, found)
    smallest: dict[str, int] = {}
    for spec in found.models.values():
        smallest[spec.family] = min(spec.parameters, smallest.get(spec.family, spec.parameters))
    # Families by their smallest model, each in order of size.
    ordered = sorted(found.models.values(), key=lambda spec: (smallest[spec.family], spec.parameters))
    found.models = {spec.id: spec for spec in ordered}
    return found


def load(path: Path, name: str) -> ModuleType:
    """The plugin's module. It is not put on sys.path: a plugin named like a library would hide that library."""
    module_name = f"axon_shell_plugin_{name}"
    locations = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=locations)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def ask(manager: pluggy.PluginManager, name: str, config: Config, found: Catalogue) -> None:
    """Let one plugin register what it has; the others are not asked."""
    others = [plugin for plugin in manager.get_plugins() if manager.get_name(plugin) != name]

    def into(table: dict[str, Any]) -> Callable[[Any], None]:
        def register(spec: Any) -> None:
            if spec.id in table:
                raise PluginError(f"{spec.id} is registered already.", "Give it another id.")
            table[spec.id] = spec

        return register

    for hook, register in (
        ("register_models", into(found.models)),
        ("register_saes", into(found.saes)),
        ("register_label_sources", found.label_sources.append),
    ):
        manager.subset_hook_caller(hook, others)(register=register, config=config)


@contextmanager
def problems_of(name: str, found: Catalogue) -> Iterator[None]:
    """Turn whatever a plugin raises into a problem of that plugin."""
    try:
        yield
    except Exception as error:
        hint = getattr(error, "hint", "") or "Mend the plugin or take it away; everything else works without it."
        found.problems.append(Problem(f"plugin {name}", f"{type(error).__name__}: {error}", hint))
