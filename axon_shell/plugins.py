"""Find plugins and build the catalogue: what models, SAEs, label sources, analysers and exporters there are.

Plugins are in the bundled folder, in installed packages and where config.toml says. One that fails becomes a problem
shown on screen with its name, never a dead window.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from . import homes, hookspecs, hub
from .config import Config, ConfigFile, config_path
from .entries import model_of, sae_of, saes_for
from .errors import AxonError, NotFound, NotInstalled, PluginError
from .hookspecs import LabelPublisher, LabelSource
from .hub import installed, on_hub
from .records import Analyser, Exporter, ModelSpec, Problem, SaeSpec, Spec
from .training import trained


@dataclass
class Plugin:
    """A plugin, where it is from and what it gives."""

    name: str
    origin: str  # bundled, a package with its version, or config.toml
    place: str  # file or module
    disabled: bool = False
    gives: dict[str, int] = field(default_factory=dict)  # how many models, saes, label_sources, ...


KINDS: dict[str, tuple[type, ...]] = {
    "models": (ModelSpec,),
    "saes": (SaeSpec,),
    "label_sources": (LabelSource, LabelPublisher),
    "analysers": (Analyser,),
    "exporters": (Exporter,),
}


@dataclass
class Catalogue:
    """Everything that plugins and config.toml offer, by id or name, and what went wrong with them."""

    models: dict[str, ModelSpec] = field(default_factory=dict)
    saes: dict[str, SaeSpec] = field(default_factory=dict)
    label_sources: dict[str, LabelSource | LabelPublisher] = field(default_factory=dict)
    analysers: dict[str, Analyser] = field(default_factory=dict)
    exporters: dict[str, Exporter] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def tables(self) -> dict[str, dict[str, Any]]:
        """What can be registered, by the name of its hook."""
        return {what: getattr(self, what) for what in KINDS}

    def add(self, table: dict[str, Any], one: Any) -> None:
        """Take something into a table. Raises PluginError when it does not belong there or its name is taken."""
        kinds = next(kinds for what, kinds in KINDS.items() if getattr(self, what) is table)
        if not isinstance(one, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise PluginError(f"It registered {one!r:.60}, which is no {wanted}.", f"Make a {wanted}.")
        name = getattr(one, "id", "") or getattr(one, "name", "")
        if name in table:
            raise PluginError(f"{name} is registered already.", "Give it another id.")
        table[name] = one

    def model(self, name: str) -> ModelSpec:
        """The model of this id. Raises NotFound naming the nearest."""
        return pick(self.models, name, "model", "`axon-shell models` lists them.")

    def sae(self, name: str) -> SaeSpec:
        """The SAE of this id. Raises NotFound naming the nearest."""
        return pick(self.saes, name, "SAE", "`axon-shell saes` lists them.")

    def exporter(self, name: str) -> Exporter:
        """The file format of this name. Raises NotFound naming the nearest."""
        return pick(self.exporters, name, "file format", f"There are {', '.join(self.exporters)}.")

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


def pick(table: Mapping[str, Any], name: str, what: str, where: str) -> Any:
    """The entry of a table by its id. Raises NotFound naming the nearest id."""
    if name in table:
        return table[name]
    near = get_close_matches(name, list(table), 1)
    raise NotFound(f"There is no {what} {name!r}.", f"Did you mean {near[0]}? {where}" if near else where)


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
        size = f" ({readable_size(sum(sizes))})" if all(sizes := [spec.size_bytes for spec in absent]) else ""
        raise NotInstalled(
            f"{' and '.join(spec.id for spec in absent)} must be downloaded first{size}.",
            f"`axon-shell download {' '.join([model.id, *(sae.id for sae in saes)])}` fetches what is missing.",
        )


def listing(spec: Spec) -> dict[str, Any]:
    """An entry of the catalogue as the page and `--json` list it."""
    entry = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name != "recording"}
    weights = "made by its plugin" if callable(spec.weights) else str(on_hub(spec) or spec.weights)
    return entry | {"weights": weights, "installed": installed(spec)}


def catalogue(config: Config) -> Catalogue:
    """Everything that the plugins and the entries of config.toml offer under a configuration."""
    found = Catalogue()
    manager = pluggy.PluginManager("axon_shell")
    manager.add_hookspecs(hookspecs)
    for plugin, load in (*bundled(), *from_packages(), *from_config(config)):
        found.plugins.append(plugin)
        if plugin.name in config.plugins.disable:
            plugin.disabled = True
            continue
        with problems_of(f"plugin {plugin.name}", found):
            manager.register(load(), plugin.name)
            manager.check_pending()
            ask(manager, plugin, config, found)
    for name in set(config.plugins.disable) - {plugin.name for plugin in found.plugins}:
        near = get_close_matches(name, [plugin.name for plugin in found.plugins], 1)
        hint = f"Did you mean {near[0]}?" if near else "`axon-shell plugins` lists them."
        found.problems.append(Problem("config.toml", f"plugins.disable names {name!r}, which is no plugin.", hint))
    add_entries(config, found)
    add_trained(found)
    smallest: dict[str, int] = {}
    for spec in found.models.values():
        smallest[spec.family] = min(spec.parameters, smallest.get(spec.family, spec.parameters))
    # Families by their smallest model, each in order of size.
    ordered = sorted(found.models.values(), key=lambda spec: (smallest[spec.family], spec.parameters))
    found.models = {spec.id: spec for spec in ordered}
    return found


def catalogue_from(file: ConfigFile) -> Catalogue:
    """The catalogue under a config.toml; what is wrong with that file comes first among its problems."""
    found = catalogue(file.config)
    found.problems[:0] = file.problems
    return found


def add_entries(config: Config, found: Catalogue) -> None:
    """Add the models and SAEs of config.toml; each one that is not as it should be is a problem of its own."""
    if not (config.models or config.saes):
        return
    base = config_path().parent
    others: dict[str, list[SaeSpec]] = {}
    for sae in found.saes.values():
        others.setdefault(sae.model, []).append(sae)
    for entry in config.models:
        with problems_of(f"model {entry.id}", found):
            found.add(found.models, model_of(entry, base))
    for one in config.saes:
        with problems_of(f"SAE {one.id}", found):
            found.add(found.saes, sae_of(one, base, found.models))
    for entry in config.models:
        if entry.id in found.models:
            with problems_of(f"model {entry.id}", found):
                for sae in saes_for(entry, found.models[entry.id], others):
                    found.saes.setdefault(sae.id, sae)
                if entry.sae and not any(problem.name == f"SAE {entry.sae}" for problem in found.problems):
                    found.choose(entry.id, [entry.sae])


def add_trained(found: Catalogue) -> None:
    """Add the SAEs that were trained here and lie in the data folder; config.toml may have them under their names."""
    told = {problem.name for problem in found.problems}
    for entry in trained():
        if entry.id not in found.saes and f"SAE {entry.id}" not in told:
            with problems_of(f"SAE {entry.id}", found):
                found.add(found.saes, sae_of(entry, Path(entry.folder), found.models))


# -- where plugins are --------------------------------------------------------

Loader = Callable[[], object]  # imports the plugin


def bundled() -> Iterator[tuple[Plugin, Loader]]:
    """The program's own plugins. Folders first: what is here whole comes before what must be downloaded."""
    for path in (*sorted(homes.plugins().glob("*/__init__.py")), *sorted(homes.plugins().glob("*.py"))):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        yield Plugin(name, "bundled", str(path)), partial(load_file, path, name)


def from_packages() -> Iterator[tuple[Plugin, Loader]]:
    """Those of installed packages: their entry points of the group `axon_shell`."""
    for point in entry_points(group="axon_shell"):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        yield Plugin(point.name, origin, point.value), point.load


def from_config(config: Config) -> Iterator[tuple[Plugin, Loader]]:
    """Those that config.toml names: Python files, relative ones beside it, and modules."""
    for named in config.plugins.load:
        if named.endswith(".py") or any(mark in named for mark in "/\\~"):
            path = (config_path().parent / Path(named).expanduser()).resolve()
            path = path / "__init__.py" if path.is_dir() else path
            name = path.parent.name if path.name == "__init__.py" else path.stem
            yield Plugin(name, "config.toml", str(path)), partial(load_file, path, name)
        else:
            yield Plugin(named, "config.toml", named), partial(importlib.import_module, named)


def load_file(path: Path, name: str) -> ModuleType:
    """The plugin's module. It is not put on sys.path: a plugin named like a library would hide that library."""
    if not path.is_file():
        raise PluginError(f"{path} does not exist.", "Correct it in config.toml, or bring the file there.")
    module_name = f"axon_shell_plugin_{name}"
    locations = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=locations)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def ask(manager: pluggy.PluginManager, plugin: Plugin, config: Config, found: Catalogue) -> None:
    """Let one plugin register what it has; the others are not asked."""
    others = [other for other in manager.get_plugins() if manager.get_name(other) != plugin.name]
    for what, table in found.tables().items():

        def register(one: Any, what: str = what, table: dict[str, Any] = table) -> None:
            found.add(table, one)
            plugin.gives[what] = plugin.gives.get(what, 0) + 1

        hook = manager.subset_hook_caller(f"register_{what}", others)
        started = time.perf_counter()
        try:
            hook(register=register, config=config)
        finally:
            if os.environ.get("AXON_TRACE_PLUGINS", "") not in ("", "0") and hook.get_hookimpls():
                ms = 1000 * (time.perf_counter() - started)
                said = f"{plugin.name}.register_{what}: {plugin.gives.get(what, 0)} registered, {ms:.1f} ms"
                print(said, file=sys.stderr)


@contextmanager
def problems_of(name: str, found: Catalogue) -> Iterator[None]:
    """Turn whatever a plugin or an entry raises into a problem of its own."""
    try:
        yield
    except AxonError as error:
        found.problems.append(Problem(name, error.message, error.hint))
    except (Exception, SystemExit) as error:
        hint = "Mend the plugin or take it away; everything else works without it."
        said = f"{type(error).__name__}: {error}" + where_in(error)
        found.problems.append(Problem(name, said, hint))


def where_in(error: BaseException) -> str:
    """The innermost line of a traceback, which is the plugin's own or one that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
