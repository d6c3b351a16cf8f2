"""config.toml: the example equals the defaults, mistakes are named with line and remedy, changes keep the comments."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import MISSING, asdict, fields
from pathlib import Path

import pytest
import tomli
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from axon_shell.config import (
    Config,
    ModelEntry,
    PluginSettings,
    SaeEntry,
    Start,
    load_config,
    parse,
    read_config,
    write_config,
)
from axon_shell.errors import ConfigError
from axon_shell.records import SETTING_RANGES, Settings

EXAMPLE = REPOSITORY / "config.example.toml"
MINE = Path("config.toml")


# -- the example --------------------------------------------------------------


def test_the_example_is_the_defaults_and_names_every_setting():
    text = EXAMPLE.read_text("utf-8")
    assert parse(text, EXAMPLE) == (Config(), [])
    table = tomli.loads(text)
    assert set(table) == {f.name for f in fields(Config)} - {"models", "saes"}
    for name, kind in {"start": Start, "settings": Settings, "plugins": PluginSettings}.items():
        assert set(table[name]) == {f.name for f in fields(kind)}
    assert set(table["settings"]) == set(SETTING_RANGES)
    for line in text.splitlines():
        assert not re.match(r"(# )?\w+ =", line) or line.count("#") > line.startswith("#"), f"no comment: {line}"


def test_the_examples_of_entries_are_entries_and_name_every_key():
    commented = EXAMPLE.read_text("utf-8").partition("as many as you want.\n")[2]
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in commented.splitlines())
    config, problems = parse(text, EXAMPLE)
    assert problems == []
    table = tomli.loads(text)
    for name, kind, entries in (("models", ModelEntry, config.models), ("saes", SaeEntry, config.saes)):
        assert set(table[name][0]) == {f.name for f in fields(kind)}
        assert len(entries) == 1
        for f in fields(kind):  # what is left out has the value that the example shows where it shows none of its own
            if table[name][0][f.name] in ("", True) and f.default is not MISSING:
                assert table[name][0][f.name] == f.default, f.name


@pytest.mark.parametrize("kind", [Config, Start, Settings, PluginSettings, ModelEntry, SaeEntry])
def test_every_setting_is_set_by_a_test_of_what_it_does(kind: type):
    """A setting that no test but this file's ever sets may do nothing at all."""
    files = [p for p in (REPOSITORY / "tests").glob("test_*.py") if p.name not in ("test_config.py", "test_docs.py")]
    tests = "\n".join(path.read_text("utf-8") for path in files)
    for f in fields(kind):
        assert re.search(rf"""(?:\b|\\n){f.name}["']?\s*[=:\]]""", tests), f"no test sets {kind.__name__}.{f.name}"


# -- reading ------------------------------------------------------------------


def test_without_a_file_all_is_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AXON_OFFLINE")
    assert load_config() == Config()
    assert not read_config().exists
    monkeypatch.setenv("AXON_OFFLINE", "1")
    assert load_config().offline


def test_a_file_in_the_home_counts(home: Path):
    (home / "config.toml").write_text(
        '[start]\nmodel = "x"\nsaes = ["x/y"]\n[settings]\ntemperature = 0\n[plugins]\nload = ["a.py"]\n'
        '[[models]]\nid = "x"\nfolder = "m"\n[[saes]]\nid = "x/y"\nrelease = "r"\nsae_id = "i"\n'
    )
    config = load_config()
    assert config.start == Start("x", ("x/y",))
    assert config.settings == Settings(temperature=0)
    assert config.plugins == PluginSettings(load=("a.py",))
    assert config.models == (ModelEntry("x", "m"),)
    assert config.saes == (SaeEntry("x/y", release="r", sae_id="i"),)
    assert read_config().path == home / "config.toml"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("offlin = true", 1, "no setting offlin", "Did you mean offline?"),
        ("\n[settings]\nseed = 1\ntemprature = 1", 4, "no setting settings.temprature", "Did you mean temperature?"),
        ("[settings]\n\ntemperature = 9", 3, "temperature is 9", "0.0 to 5.0"),
        ("[settings]\nmax_tokens = 1.5", 2, "settings.max_tokens is 1.5, but must be a whole number", "max_tokens"),
        ("[settings]\ntop_k = true", 2, "settings.top_k is True, but must be a whole number", "top_k"),
        ("[start]\nmodel = 3", 2, "start.model is 3, but must be a text", "start.model"),
        ("[start]\nsaes = 'a'", 2, "start.saes is 'a', but must be a list of texts", "start.saes"),
        ("[start]\nsaes = [\n  'a',\n  1,\n]", 5, "start.saes[2] is 1, but must be a text", "start.saes[2]"),
        ("offline = 'no'", 1, "offline is 'no', but must be true or false", "offline"),
        ("settings = 1", 1, "settings is 1, but must be a table", "settings"),
        ("device = 'gpu'", 1, "device is 'gpu', but must be one of auto, cpu, cuda, mps", "device"),
        ("[start]\nmodel = ", 0, "not valid TOML", "line"),
        ("zzzzz = 1", 1, "no setting zzzzz", "Known here: offline, device"),
        ("model = 'x'", 1, "no setting model", "models"),
        ("[[models]]\nid = 'a'\nfolder = 'b'\n[[models]]\nfolder = 'x'", 4, "models[2] has no id", 'id = "..."'),
        ("[[saes]]\nid = 'a/b'\nrelese = 'b'", 3, "no setting saes[1].relese", "Did you mean release?"),
        ("[plugins]\nload = 'mine.py'", 2, "plugins.load is 'mine.py', but must be a list of texts", "plugins.load"),
    ],
)
def test_mistakes_are_named_with_their_line_and_remedy(home: Path, text: str, line: int, message: str, hint: str):
    path = home / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load_config()
    assert str(path) in error.value.message
    assert not line or f"line {line}:" in error.value.message
    assert hint in error.value.hint or hint in error.value.message
    assert read_config().problems[0].message == error.value.message


def test_a_mistake_costs_its_own_setting_only(home: Path):
    (home / "config.toml").write_text(
        'offlin = 1\ndevice = "cpu"\n[settings]\ntemperature = 9\nseed = 3\ntop_p = 2\n'
        '[[models]]\nname = "no id"\n[[models]]\nid = "good"\nfolder = "m"\nbos = "yes"\n'
    )
    found = read_config()
    assert len(found.problems) == 5
    assert found.config.device == "cpu"
    assert found.config.settings == Settings(seed=3)
    assert found.config.models == (ModelEntry("good", "m"),)


def test_a_file_that_cannot_be_read_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "config.toml").mkdir()
    assert "cannot be read" in read_config().problems[0].message
    (home / "config.toml").rmdir()
    (home / "config.toml").write_bytes(b"device = '\xff'")
    assert "not UTF-8" in read_config().problems[0].message
    monkeypatch.setenv("AXON_CONFIG", str(home / "none.toml"))
    assert "does not exist" in read_config().problems[0].message
    with pytest.raises(ConfigError, match="does not exist"):
        load_config()


toml_values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "folder", "seed"]), inner),
    max_leaves=5,
)
keys = st.sampled_from([f.name for f in (*fields(Config), *fields(Settings), *fields(Start))] + ["nonsense", "Offline"])


@given(st.dictionaries(keys, toml_values | st.dictionaries(keys, toml_values, max_size=3), max_size=4))
def test_whatever_the_file_says_there_is_a_configuration_and_each_mistake_has_a_remedy(table: dict):
    import tomlkit

    config, problems = parse(tomlkit.dumps(table), MINE)
    assert isinstance(config, Config)
    assert all(problem.message and problem.hint for problem in problems)
    assert set(table) <= {f.name for f in fields(Config)} or problems


# -- writing ------------------------------------------------------------------

COMMENTED = """\
# My settings.
offline = false  # trains have no network

[settings]
temperature = 1.2   # warm
# seed = 4

[[models]]  # kept whole
id = "mine"
folder = '~/models/mine'
"""


def test_a_change_keeps_every_comment_and_all_else(home: Path):
    path = home / "config.toml"
    path.write_text(COMMENTED)
    path.chmod(0o600)
    write_config({"settings": {"temperature": 0.5, "seed": 9}, "start": {"model": "mine", "saes": []}})
    text = path.read_text()
    kept = [line for line in COMMENTED.splitlines() if not line.startswith("temperature")]
    assert [line for line in text.splitlines() if line in kept and line] == [line for line in kept if line]
    assert re.search(r"^temperature = 0.5 +# warm$", text, re.M)
    config = load_config()
    assert config.settings == Settings(temperature=0.5, seed=9)
    assert config.start == Start("mine", ())
    assert config.models == (ModelEntry("mine", "~/models/mine"),)
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in home.iterdir()] == ["config.toml"]


def test_the_same_values_change_nothing(home: Path):
    path = home / "config.toml"
    path.write_text(COMMENTED)
    write_config({"settings": {"temperature": 1.2}})
    assert path.read_text() == COMMENTED


def test_line_ends_of_windows_stay(home: Path):
    path = home / "config.toml"
    path.write_bytes(COMMENTED.replace("\n", "\r\n").encode())
    write_config({"settings": {"temperature": 0.5}})
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") == COMMENTED.count("\n")


def test_the_first_change_makes_the_file(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AXON_CONFIG", str(home / "new" / "mine.toml"))
    write_config({"start": {"model": "x", "saes": ["x/y"]}})
    assert load_config().start == Start("x", ("x/y",))


@pytest.mark.parametrize("text", ["[settings\nseed = 1", "settings = 1\n", "seed = '\xff'"])
def test_a_file_that_is_not_understood_is_never_overwritten(home: Path, text: str):
    path = home / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="was not kept") as error:
        write_config({"settings": {"seed": 2}})
    assert error.value.hint
    assert path.read_bytes() == text.encode("latin-1")
    assert [p.name for p in home.iterdir()] == ["config.toml"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_leaves_the_file_as_it_was(home: Path):
    path = home / "config.toml"
    path.write_text(COMMENTED)
    (home / "config.toml.new").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match="No space left"):
        write_config({"settings": {"seed": 2}})
    assert path.read_text() == COMMENTED


@given(seed=st.integers(0, 2**63 - 1), temperature=st.floats(0, 5), model=st.text(min_size=1))
def test_what_is_written_is_read_again(seed: int, temperature: float, model: str):
    path = Path(os.environ["AXON_HOME"]) / "config.toml"
    path.write_text(COMMENTED)
    write_config({"settings": {"seed": seed, "temperature": temperature}, "start": {"model": model}})
    config = load_config()
    assert (config.settings.seed, config.settings.temperature, config.start.model) == (seed, temperature, model)
    assert "# trains have no network" in path.read_text()


def test_settings_go_back_and_forth():
    assert Settings(**asdict(Settings(seed=5))) == Settings(seed=5)
