"""The configuration: config.toml as frozen dataclasses, every setting with a default."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import platformdirs
import tomli

from .errors import ConfigError, InvalidSetting
from .records import Settings

CHOICES = {"device": ("auto", "cpu", "cuda", "mps"), "dtype": ("float32", "bfloat16", "float16")}


@dataclass(frozen=True, slots=True)
class Config:
    """What a user may set, as config.example.toml explains it."""

    model: str = "tiny-world"  # the model to begin with
    saes: tuple[str, ...] = ()  # the SAEs to begin with; empty: the model's own choice
    offline: bool = False  # never use the network
    device: str = "auto"  # where models run
    dtype: str = "float32"  # number format of a model's weights; SAEs are always float32
    settings: Settings = field(default_factory=Settings)  # how sessions are generated
    path: Path | None = None  # the file read; None: there is none, all is default


def config_path() -> Path:
    """Where config.toml is looked for: AXON_CONFIG, else in AXON_HOME, else the platform's folder."""
    if named := os.environ.get("AXON_CONFIG"):
        return Path(named)
    home = os.environ.get("AXON_HOME")
    return (Path(home) if home else platformdirs.user_config_path("axon-shell", appauthor=False)) / "config.toml"


def load_config() -> Config:
    """The configuration in force: the file, if there is one, and AXON_OFFLINE.

    Raises ConfigError naming the file and the nearest setting when a key is unknown or a value unusable.
    """
    path = config_path()
    try:
        table = tomli.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("AXON_CONFIG"):
            raise ConfigError(f"{path} does not exist.", "Correct AXON_CONFIG, or unset it.") from None
        config = Config()
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend that line, or delete the file.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Check the file's permissions.") from error
    else:
        config = replace(parse(table, path), path=path)
    if os.environ.get("AXON_OFFLINE", "") not in ("", "0"):
        config = replace(config, offline=True)
    return config


def parse(table: dict[str, Any], path: Path) -> Config:
    """The configuration that a parsed config.toml describes."""
    known = [f.name for f in fields(Config) if f.name != "path"]
    check_keys(table, known, "", path)
    values = dict(table)
    kinds = (("model", str, "a text"), ("offline", bool, "true or false"), ("settings", dict, "a table"))
    for name, kind, what in kinds:
        if name in values and not isinstance(values[name], kind):
            raise ConfigError(f"{path}: {name} is {values[name]!r}, but must be {what}.", f"Correct {name}.")
    for name, choices in CHOICES.items():
        if name in values and values[name] not in choices:
            message = f"{path}: {name} is {values[name]!r}, but must be one of {', '.join(choices)}."
            raise ConfigError(message, f"Correct {name}.")
    if "saes" in values:
        saes = values["saes"]
        if not isinstance(saes, list) or not all(isinstance(name, str) for name in saes):
            message = f"{path}: saes is {saes!r}, but must be a list of texts."
            raise ConfigError(message, 'Write saes = ["MODEL/SOURCE"].')
        values["saes"] = tuple(saes)
    if "settings" in values:
        check_keys(values["settings"], [f.name for f in fields(Settings)], "settings.", path)
        try:
            values["settings"] = Settings(**values["settings"])
        except InvalidSetting as error:
            raise ConfigError(f"{path}: {error.message}", error.hint) from error
    return Config(**values)


def check_keys(table: dict[str, Any], known: list[str], prefix: str, path: Path) -> None:
    """Raise ConfigError, naming the nearest setting, unless every key is known."""
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, 1)
            all_known = ", ".join(prefix + name for name in known)
            hint = f"Did you mean {prefix}{near[0]}?" if near else f"Known: {all_known}."
            raise ConfigError(f"{path}: there is no setting {prefix}{key}.", hint)
