"""Plugins register from four places; what fails becomes a named problem and nothing else breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from axon_shell import homes
from axon_shell.config import Config, ModelEntry, PluginSettings, SaeEntry
from axon_shell.errors import NotFound
from axon_shell.hub import installed
from axon_shell.labels import Labels
from axon_shell.plugins import Catalogue, Plugin, catalogue

GOOD = """
from pathlib import Path
from axon_shell import Analyser, Exporter, HubFiles, Label, ModelSpec, PublishedSae, SaeSpec, hookimpl

PUBLISHED = PublishedSae("release", "id", HubFiles("org/repo", ("cfg.json",)))

@hookimpl
def register_models(register):
    register(ModelSpec("good", "Good", "gpt2", Path(__file__).parent, 8, 0, sae="good/1"))

@hookimpl
def register_saes(register, config):
    register(SaeSpec("good/1", "good", "blocks.1.hook_resid_pre", 4, PUBLISHED))
    register(SaeSpec("good/2", "good", "blocks.2.hook_resid_pre", 4, PUBLISHED))

class Source:
    def __init__(self, name, text): self.name, self.text = name, text
    def has(self, sae): return sae == "good/1"
    def labels(self, sae, features): return {f: Label(self.text, "good", "test") for f in features if f == 3}
    def statistics(self, sae, feature): return {"density": 0.5} if feature == 3 else {}

@hookimpl
def register_label_sources(register):
    register(Source("good", "a capital"))
    register(Source("good too", "second"))

@hookimpl
def register_analysers(register):
    register(Analyser("good length", lambda step: len(step["text"]), "letters"))

@hookimpl
def register_exporters(register):
    register(Exporter("good text", ".txt", lambda messages, file: None, "nothing at all"))
"""
ALL = {"models": 1, "saes": 2, "label_sources": 2, "analysers": 1, "exporters": 1}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(homes, "plugins", lambda: tmp_path)
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


def found(folder: Path, /, **config: object) -> Catalogue:
    return catalogue(Config(**config))


def test_a_plugin_registers_for_all_five_hooks(plugins: Path):
    offered = found(plugins)
    assert offered.problems == []
    assert [(plugin.name, plugin.origin, plugin.gives) for plugin in offered.plugins] == [("good", "bundled", ALL)]
    assert list(offered.label_sources) == ["good", "good too"]
    assert list(offered.analysers) == ["good length"] and list(offered.exporters) == ["good text"]
    assert list(offered.models) == ["good"]
    assert [sae.id for sae in offered.saes_of("good")] == ["good/1", "good/2"]
    assert installed(offered.model("good")) and not installed(offered.sae("good/1"))


def test_the_first_source_that_knows_a_feature_wins(plugins: Path):
    labels = Labels(list(found(plugins).label_sources.values()))
    named = labels.of("good/1", [3, 4])
    assert named[3][0].text == "a capital" and named[3][1] == "labelled"
    assert named[4] == (None, "unlabelled")
    assert labels.of("other/1", [3]) == {3: (None, "absent")}
    assert labels.statistics("good/1", 3) == {"density": 0.5}
    assert labels.statistics("good/1", 4) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_library", "ModuleNotFoundError"),
        ("from axon_shell import hookimpl\n@hookimpl\ndef register_modles(register): pass", "register_modles"),
        (GOOD, "good is registered already"),
        (
            "from axon_shell import hookimpl\n@hookimpl\ndef register_models(register): register('gpt2')",
            "registered 'gpt2', which is no ModelSpec",
        ),
        (
            "from axon_shell import hookimpl\n@hookimpl\ndef register_label_sources(register): register(object())",
            "which is no LabelSource",
        ),
        ("from axon_shell import hookimpl\n@hookimpl\ndef register_models(registre): pass", "registre"),
        ("raise SystemExit('enough')", "SystemExit: enough"),
        ("import sys\ndef f(): raise ValueError('deep')\nf()", "(worse.py, line 2)"),
        (
            GOOD.replace("register(ModelSpec", "raise ValueError('out of order')\n    register(ModelSpec"),
            "out of order",
        ),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_fails_is_a_problem_and_the_others_work(plugins: Path, text: str, says: str):
    (plugins / "worse.py").write_text(text)
    offered = found(plugins)
    assert [problem.name for problem in offered.problems] == ["plugin worse"]
    assert says in offered.problems[0].message
    assert offered.problems[0].hint
    assert offered.model("good").name == "Good"


def test_unknown_names_are_answered_with_the_nearest(plugins: Path):
    offered = found(plugins)
    with pytest.raises(NotFound, match="'goood'") as error:
        offered.model("goood")
    assert "Did you mean good?" in error.value.hint
    with pytest.raises(NotFound) as error:
        offered.sae("good/3")
    assert "good/" in error.value.hint


def test_saes_are_chosen_for_their_model(plugins: Path):
    offered = found(plugins)
    assert [sae.id for sae in offered.choose("good", [])[1]] == ["good/1"]
    assert [sae.id for sae in offered.choose("good", ["good/2", "good/2"])[1]] == ["good/2"]
    (plugins / "other.py").write_text(GOOD.replace("good", "other"))
    with pytest.raises(NotFound, match="reads other, not good"):
        found(plugins).choose("good", ["other/1"])


def test_the_bundled_plugins_have_no_problems():
    offered = catalogue(Config())
    assert offered.problems == []
    assert "tiny-world" in offered.models


# -- where they are -----------------------------------------------------------


def test_a_label_source_that_fails_is_left_out_and_told(plugins: Path):
    (plugins / "worse.py").write_text(
        "from axon_shell import hookimpl\n"
        "class Worse:\n"
        "    name = 'worse'\n"
        "    def has(self, sae): return True\n"
        "    def labels(self, sae, features): raise KeyError(sae)\n"
        "    def statistics(self, sae, feature): return {}\n"
        "@hookimpl(tryfirst=True)\n"
        "def register_label_sources(register): register(Worse())\n"
    )
    labels = Labels(list(found(plugins).label_sources.values()))
    for _ in range(2):
        assert labels.of("good/1", [3])[3][0].text == "a capital"
    (problem,) = labels.problems
    assert problem.name == "label source worse" and "KeyError: 'good/1'" in problem.message and problem.hint


@pytest.mark.parametrize("way", ["file", "beside config.toml", "folder", "module"])
def test_the_configuration_loads_plugins(plugins: Path, home: Path, monkeypatch: pytest.MonkeyPatch, way: str):
    (plugins / "good.py").unlink()
    text = GOOD.replace("from pathlib", "import json\nfrom pathlib")
    place = home / "mine"
    place.mkdir()
    (place / ("__init__.py" if way == "folder" else "json_.py")).write_text(text)
    named = {
        "file": str(place / "json_.py"),
        "beside config.toml": "mine/json_.py",
        "folder": "mine/",
        "module": "json_",
    }[way]
    if way == "module":
        monkeypatch.syspath_prepend(str(place))
    offered = found(plugins, plugins=PluginSettings(load=(named,)))
    assert offered.problems == []
    assert [(plugin.origin, plugin.gives) for plugin in offered.plugins] == [("config.toml", ALL)]
    assert "good" in offered.models


@pytest.mark.parametrize(
    ("named", "says"), [("nowhere.py", "nowhere.py does not exist"), ("no_such_module", "No module named")]
)
def test_a_plugin_that_is_not_there_is_a_problem(plugins: Path, named: str, says: str):
    offered = found(plugins, plugins=PluginSettings(load=(named,)))
    (problem,) = offered.problems
    assert says in problem.message and problem.hint
    assert "good" in offered.models


def test_an_installed_package_brings_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As pip leaves it: a module, and metadata that names it in the group `axon_shell`."""
    (tmp_path / "good_package.py").write_text(GOOD)
    info = tmp_path / "good_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: good-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[axon_shell]\ngood = good_package\nbad = good_package.nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    offered = catalogue(Config())
    plugin = next(plugin for plugin in offered.plugins if plugin.name == "good")
    assert plugin == Plugin("good", "good-package 1.2", "good_package", gives=ALL)
    assert [problem.name for problem in offered.problems] == ["plugin bad"]
    assert offered.model("good") and offered.model("tiny-world")


def test_a_plugin_can_be_disabled(plugins: Path):
    (plugins / "broken.py").write_text("raise ValueError")
    offered = found(plugins, plugins=PluginSettings(disable=("broken", "goood")))
    assert [(plugin.name, plugin.disabled) for plugin in offered.plugins] == [("broken", True), ("good", False)]
    (problem,) = offered.problems  # of the one that is misspelled
    assert "'goood'" in problem.message and "Did you mean good?" in problem.hint
    assert found(plugins, plugins=PluginSettings(disable=("good", "broken"))).models == {}


def test_a_plugin_sees_the_configuration(plugins: Path):
    (plugins / "good.py").write_text(
        "from axon_shell import Analyser, hookimpl\n@hookimpl\ndef register_analysers(register, config):\n"
        "    register(Analyser(config.device, len))\n"
    )
    assert list(found(plugins, device="cpu").analysers) == ["cpu"]


def test_each_call_of_a_plugin_can_be_traced(plugins: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    found(plugins)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("AXON_TRACE_PLUGINS", "1")
    found(plugins)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(ALL)
    for what, count in ALL.items():
        assert any(line.startswith(f"good.register_{what}: {count} registered, ") and "ms" in line for line in lines)


def test_entries_that_cannot_be_are_problems_of_their_own(plugins: Path):
    offered = found(
        plugins,
        models=(ModelEntry("a"), ModelEntry("b", "nowhere"), ModelEntry("good", str(plugins))),
        saes=(SaeEntry("good/3", "nowhere"), SaeEntry("none/1", "x")),
    )
    assert [problem.name for problem in offered.problems] == [
        "model a",
        "model b",
        "model good",
        "SAE good/3",
        "SAE none/1",
    ]
    assert all(problem.message and problem.hint for problem in offered.problems)
    assert list(offered.models) == ["good"]


def test_the_command_lists_what_each_gives_and_its_problems(home: Path):
    (home / "mine.py").write_text(GOOD)
    (home / "worse.py").write_text("import no_such_library")
    (home / "config.toml").write_text('[plugins]\nload = ["mine.py", "worse.py"]\ndisable = ["pythia"]\n')

    def command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "axon_shell", "plugins", *options]
        return subprocess.run(
            program, cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True, timeout=60
        )

    said = command("--json", AXON_TRACE_PLUGINS="1")
    assert said.returncode == 1  # as there is a problem
    listed = json.loads(said.stdout)
    plugins = {plugin["name"]: plugin for plugin in listed["plugins"]}
    assert plugins["mine"]["gives"] == ALL and plugins["mine"]["place"] == str(home / "mine.py")
    assert plugins["pythia"]["disabled"] and not plugins["pythia"]["gives"]
    assert plugins["gpt2"]["gives"]["models"] == 4
    assert [problem["name"] for problem in listed["problems"]] == ["plugin worse"]
    assert "mine.register_models: 1 registered" in said.stderr

    said = command()
    assert "1 model, 2 SAEs, 2 label sources, 1 analyser, 1 exporter" in said.stdout
    assert "analyser good length: letters" in said.stdout and "disabled" in said.stdout
    assert "error: plugin worse: ModuleNotFoundError" in said.stderr and "hint: " in said.stderr
