"""What the user set and plugged in: config.toml, plugins, entries, and the model to begin with."""

from __future__ import annotations

from ..config import ConfigFile
from ..hub import installed
from ..plugins import Catalogue, catalogue
from .check import Check


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    found = catalogue(file.config)
    return [
        *check_config(file),
        check_plugins(found),
        *(Check(problem.name, False, problem.message, problem.hint) for problem in found.problems),
        check_model(file, found),
    ]


def check_config(file: ConfigFile) -> list[Check]:
    """Where the configuration is, or each thing that is wrong with it."""
    found = str(file.path) if file.exists else f"all is default ({file.path} does not exist)"
    wrong = [Check("Configuration", False, problem.message, problem.hint) for problem in file.problems]
    return wrong or [Check("Configuration", True, found)]


def check_plugins(found: Catalogue) -> Check:
    """How many plugins there are, where they are from and what they give."""
    origins = [plugin.origin if plugin.origin in ("bundled", "config.toml") else "packages" for plugin in found.plugins]
    counted = [f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins)]
    gives = [f"{what.replace('_', ' ')} {len(table):,}" for what, table in found.tables().items()]
    off = [plugin.name for plugin in found.plugins if plugin.disabled]
    said = f"{', '.join(counted) or 'none'}; {', '.join(gives).replace('saes', 'SAEs')}"
    said += f"; switched off: {', '.join(off)}" if off else ""
    hint = "`axon-shell plugins` lists them. Without a model nothing can be generated: install AXON Shell again."
    return Check("Plugins", bool(found.models), said, "" if found.models else hint)


def check_model(file: ConfigFile, found: Catalogue) -> Check:
    """Whether the model that the window begins with lies on this machine."""
    name = file.config.start.model
    begin = found.models.get(name)
    if begin is None:
        return Check("Model", False, f"there is no {name!r}", "`axon-shell models` lists them; set start.model to one.")
    if installed(begin):
        return Check("Model", True, f"{begin.name}, on this machine")
    hint = f"`axon-shell download {begin.id}`, or choose another model in [start]."
    return Check("Model", False, f"{begin.name} is not on this machine", hint)
