"""The configuration: config.toml as frozen dataclasses, every setting with a default.

A mistake in the file is a problem that names the line, what was expected and the nearest setting; the default stands in
its place, so that the window opens whatever the file says. A command that generates refuses to guess (`load_config`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import platformdirs
import tomli

from .errors import ConfigError, InvalidSetting
from .records import Problem, Settings

CHOICES = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "dtype": ("float32", "bfloat16", "float16"),
    "vectors": ("none", "prompt", "written", "all"),
}
EXPECTED = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A `[[models]]` entry: a model of the user's own."""

    id: str
    folder: str = ""  # where it lies: config.json, tokenizer.json and *.safetensors
    repository: str = ""  # or where it is on the hub
    name: str = ""  # for people; empty: its id
    published: str = ""  # the model of SAELens's directory whose SAEs are offered for it
    sae: str = ""  # id of the SAE to begin with
    bos: bool = True  # whether a prompt begins with BOS, where no SAE says otherwise
    licence: str = ""  # page where the owner wants a licence accepted before downloading
    examples: tuple[str, ...] = ()  # prompts that show it well
    about: str = ""


@dataclass(frozen=True, slots=True)
class SaeEntry:
    """A `[[saes]]` entry: an SAE of the user's own, or one that somebody published."""

    id: str  # MODEL/NAME
    folder: str = ""  # where it lies
    repository: str = ""  # or where it is on the hub, and
    path: str = ""  # the folder in the repository
    release: str = ""  # or a release of SAELens's directory, and
    sae_id: str = ""  # the SAE's name in it
    model: str = ""  # id of the model that it reads; empty: what its own id begins with
    format: str = ""  # SAELens's name for what wrote the files; empty: as the files look
    hook: str = ""  # TransformerLens name of the place that it reads; empty: as its files say
    neuronpedia: str = ""  # its id on Neuronpedia
    about: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """The `[start]` table: what is chosen when the window opens, and where a command names nothing."""

    model: str = "tiny-world"
    saes: tuple[str, ...] = ()  # empty: the model's own choice


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """The `[labels]` table."""

    fetch: bool = True  # ask for the labels of features as they appear on screen
    prefer: tuple[
        str, ...
    ] = ()  # METHOD/EXPLAINER, * for any: which of several labels is shown, before the usual order
    neuronpedia: str = "https://www.neuronpedia.org"  # where single features are asked for
    datasets: str = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"  # where whole label sets are


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The `[sessions]` table: which past sessions are kept. Pinned ones always are."""

    most: int = 0  # the newest so many; 0: all
    most_mb: int = 0  # the newest that take so many megabytes; 0: all
    vectors: str = "none"  # of which tokens the vectors that SAEs read are stored too: none, prompt, written, all


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """The `[plugins]` table."""

    load: tuple[str, ...] = ()  # Python files, or names of modules
    disable: tuple[str, ...] = ()  # names of plugins to leave out


@dataclass(frozen=True, slots=True)
class Config:
    """What a user may set, as config.example.toml explains it."""

    offline: bool = False  # never use the network
    device: str = "auto"  # where models run
    dtype: str = "float32"  # number format of a model's weights; SAEs are always float32
    start: Start = field(default_factory=Start)
    settings: Settings = field(default_factory=Settings)  # how sessions are generated
    labels: LabelSettings = field(default_factory=LabelSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    plugins: PluginSettings = field(default_factory=PluginSettings)
    models: tuple[ModelEntry, ...] = ()
    saes: tuple[SaeEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration, the file that it is from, and what is wrong with that file."""

    config: Config
    path: Path  # where it is, or would be
    exists: bool
    problems: tuple[Problem, ...] = ()


def config_path() -> Path:
    """Where config.toml is looked for: AXON_CONFIG, else in AXON_HOME, else the platform's folder."""
    if named := os.environ.get("AXON_CONFIG"):
        return Path(named).expanduser().absolute()
    if home := os.environ.get("AXON_HOME"):
        return Path(home).expanduser().absolute() / "config.toml"
    return platformdirs.user_config_path("axon-shell", appauthor=False) / "config.toml"


def load_config() -> Config:
    """The configuration in force. Raises ConfigError with the first thing that is wrong with the file."""
    found = read_config()
    for problem in found.problems:
        raise ConfigError(problem.message, problem.hint)
    return found.config


def read_config() -> ConfigFile:
    """The configuration in force: the file, if there is one, with its problems, and AXON_OFFLINE."""
    path = config_path()
    text, problems = "", []
    try:
        text = path.read_text("utf-8")
        exists = True
    except (FileNotFoundError, NotADirectoryError):
        exists = False
        if os.environ.get("AXON_CONFIG"):
            problems.append(Problem(path.name, f"{path} does not exist.", "Correct AXON_CONFIG or --config."))
    except (OSError, UnicodeDecodeError) as error:
        exists = True
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.append(Problem(path.name, f"{path} cannot be read: {reason}.", "Mend or delete the file."))
    config, mistakes = parse(text, path)
    if os.environ.get("AXON_OFFLINE", "") not in ("", "0"):
        config = replace(config, offline=True)
    labels = config.labels
    labels = replace(
        labels,
        neuronpedia=os.environ.get("AXON_NEURONPEDIA_URL") or labels.neuronpedia,
        datasets=os.environ.get("AXON_NEURONPEDIA_DATASETS_URL") or labels.datasets,
    )
    config = replace(config, labels=labels)
    return ConfigFile(config, path, exists, (*problems, *mistakes))


# -- reading ------------------------------------------------------------------


def parse(text: str, path: Path) -> tuple[Config, list[Problem]]:
    """What a config.toml says, with the default in place of each mistake, and the mistakes."""
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        hint = "Mend that line; until then all settings have their defaults."
        return Config(), [Problem(path.name, f"{path} is not valid TOML: {error}.", hint)]
    reader = Reader(text, path)
    return reader.read(Config, table, ()) or Config(), reader.problems


class Reader:
    """Turns the tables of one file into records and collects what is wrong with them."""

    def __init__(self, text: str, path: Path) -> None:
        self.lines, self.path = text.splitlines(), path
        self.problems: list[Problem] = []

    def read(self, kind: type[T], table: Mapping[str, Any], place: tuple[str | int, ...]) -> T | None:
        """A record from the table at a place of the file: keys and indices from the outside in.

        None, and a problem told, where a key that it cannot do without is wrong.
        """
        kinds = get_type_hints(kind)
        values = {}
        for key, value in table.items():
            if key not in kinds:
                near = get_close_matches(key, kinds, 1)
                known = ", ".join(kinds)
                hint = f"Did you mean {near[0]}?" if near else f"Known here: {known}."
                self.wrong((*place, key), f"there is no setting {named((*place, key))}", hint)
            elif (found := self.value(kinds[key], value, (*place, key))) is not None:
                values[key] = found
        if any(is_needed(one) and one.name not in values for one in fields(kind)):  # type: ignore[arg-type]
            return None
        while True:
            try:
                return kind(**values)
            except InvalidSetting as error:
                key = error.message.split()[0]
                self.wrong((*place, key), error.message.rstrip("."), error.hint)
                del values[key]

    def value(self, kind: Any, value: Any, place: tuple[str | int, ...]) -> Any:
        """A value of the kind that its field has; None, and a problem told, where it is of another."""
        key = str(place[-1])
        inner = get_args(kind)
        if inner:  # a tuple of one kind
            if not isinstance(value, list):
                return self.unexpected(value, "a list of texts" if inner[0] is str else "a list of tables", place)
            found = [self.value(inner[0], item, (*place, i)) for i, item in enumerate(value)]
            return tuple(item for item in found if item is not None)
        if kind in EXPECTED:
            fits = isinstance(value, (int, float) if kind is float else kind)
            if not fits or (isinstance(value, bool) and kind is not bool):
                return self.unexpected(value, EXPECTED[kind], place)
            if key in CHOICES and value not in CHOICES[key]:
                return self.unexpected(value, f"one of {', '.join(CHOICES[key])}", place)
            return value
        if not isinstance(value, dict):
            return self.unexpected(value, "a table", place)
        for needed in fields(kind):
            if is_needed(needed) and needed.name not in value:
                return self.wrong(place, f"{named(place)} has no {needed.name}", f'Give it one: {needed.name} = "...".')
        return self.read(kind, value, place)

    def unexpected(self, value: Any, expected: str, place: tuple[str | int, ...]) -> None:
        said = f"{value!r}" if len(repr(value)) < 60 else f"{value!r:.57}..."
        self.wrong(place, f"{named(place)} is {said}, but must be {expected}", f"Correct {named(place)}.")

    def wrong(self, place: tuple[str | int, ...], message: str, hint: str) -> None:
        line = self.line(place)
        where = f"{self.path}, line {line}" if line else str(self.path)
        self.problems.append(Problem(self.path.name, f"{where}: {message}.", hint))

    def line(self, place: tuple[str | int, ...]) -> int:
        """The line on which what stands at a place ends; 0 where it cannot be told."""
        for number in range(1, len(self.lines) + 1):
            with suppress(tomli.TOMLDecodeError, KeyError, IndexError, TypeError):
                found: Any = tomli.loads("\n".join(self.lines[:number]))
                for key in place:
                    found = found[key]
                return number
        return 0


def is_needed(one: Field[Any]) -> bool:
    """Whether a record cannot be made without this field."""
    return one.default is MISSING and one.default_factory is MISSING


def named(place: tuple[str | int, ...]) -> str:
    """A place as people write it: settings.top_k, models[2].folder (counted from 1)."""
    words = [f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in place]
    return "".join(words).lstrip(".")


# -- writing ------------------------------------------------------------------

Changes = Mapping[str, Mapping[str, "str | float | bool | Sequence[str]"]]  # by table and key


def write_config(changes: Changes) -> None:
    """Put changed settings into config.toml; all else in it, comments too, stays as it is.

    Raises ConfigError when the file cannot be read as TOML or not be written: then it is as before.
    """
    import tomlkit  # here, as no start needs it
    from tomlkit.exceptions import TOMLKitError

    path = config_path()
    path = path.resolve() if path.is_symlink() else path
    fresh = path.with_name(f"{path.name}.new")
    try:
        document = tomlkit.parse(path.read_bytes().decode("utf-8")) if path.exists() else tomlkit.document()
        for name, values in changes.items():
            table = document.setdefault(name, tomlkit.table())
            for key, value in values.items():
                if key not in table or table[key] != value:
                    table[key] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(tomlkit.dumps(document).encode("utf-8"))
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    except (TOMLKitError, UnicodeDecodeError) as error:
        hint = "Mend the file; `axon-shell config check` says where."
        raise ConfigError(f"The change was not kept, as {path} is not valid TOML: {error}.", hint) from error
    except (OSError, TypeError) as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"The change was not kept: {path} cannot be written: {reason}.", "Check it.") from error
