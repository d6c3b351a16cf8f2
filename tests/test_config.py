"""config.toml: the example equals the defaults, mistakes are named with their remedy."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import tomli
from conftest import REPOSITORY

from axon_shell.config import Config, load_config, parse
from axon_shell.errors import ConfigError
from axon_shell.records import SETTING_RANGES, Settings

EXAMPLE = REPOSITORY / "config.example.toml"


def test_the_example_is_the_defaults_and_names_every_setting():
    table = tomli.loads(EXAMPLE.read_text())
    assert parse(table, EXAMPLE) == Config()
    assert set(table) == {f.name for f in fields(Config)} - {"path"}
    assert set(table["settings"]) == {f.name for f in fields(Settings)} == set(SETTING_RANGES)
    for line in EXAMPLE.read_text().splitlines():
        assert not re.match(r"\w+ =", line) or "#" in line, f"no comment: {line}"


def test_without_a_file_all_is_default(monkeypatch):
    monkeypatch.delenv("AXON_OFFLINE")
    assert load_config() == Config()
    monkeypatch.setenv("AXON_OFFLINE", "1")
    assert load_config().offline


def test_a_file_in_the_home_counts(home: Path):
    (home / "config.toml").write_text('model = "x"\nsaes = ["x/y"]\n[settings]\ntemperature = 0')
    config = load_config()
    assert (config.model, config.saes, config.settings.temperature) == ("x", ("x/y",), 0)
    assert config.settings.top_k == Settings().top_k
    assert config.path == home / "config.toml"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("modle = 'x'", "no setting modle", "model"),
        ("[settings]\ntemprature = 1", "no setting settings.temprature", "settings.temperature"),
        ("[settings]\ntemperature = 9", "temperature is 9", "0.0 to 5.0"),
        ("[settings]\nmax_tokens = 1.5", "whole number", "max_tokens"),
        ("[settings]\ntop_k = true", "top_k is True", "top_k"),
        ("model = 3", "must be a text", "model"),
        ("saes = 'a'", "list of texts", "saes"),
        ("offline = 'no'", "true or false", "offline"),
        ("settings = 1", "a table", "settings"),
        ("model = ", "not valid TOML", "line"),
        ("zzzzz = 1", "no setting zzzzz", "Known: model"),
    ],
)
def test_mistakes_are_named_with_their_remedy(home: Path, text: str, message: str, hint: str):
    (home / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load_config()
    assert str(home / "config.toml") in error.value.message
    assert hint in error.value.hint


def test_a_named_file_must_exist(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AXON_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="does not exist"):
        load_config()


def test_settings_go_back_and_forth():
    assert Settings(**asdict(Settings(seed=5))) == Settings(seed=5)
