"""Plugins register; what fails becomes a named problem and nothing else breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from axon_shell import homes
from axon_shell.config import Config
from axon_shell.errors import NotFound
from axon_shell.labels import Labels
from axon_shell.plugins import Catalogue, catalogue, installed

GOOD = """
from pathlib import Path
from axon_shell import HubFiles, Label, ModelSpec, PublishedSae, SaeSpec, hookimpl

PUBLISHED = PublishedSae("release", "id", HubFiles("org/repo", ("cfg.json",)))

@hookimpl
def register_models(register):
    register(ModelSpec("good", "Good", "gpt2", Path(__file__).parent, 8, 0, sae="good/1"))

@hookimpl
def register_saes(register, config):
    register(SaeSpec("good/1", "good", "blocks.1.hook_resid_pre", 4, PUBLISHED))
    register(SaeSpec("good/2", "good", "blocks.2.hook_resid_pre", 4, PUBLISHED))

class Source:
    name = "good"
    def __init__(self, text): self.text = text
    def has(self, sae): return sae == "good/1"
    def labels(self, sae, features): return {f: Label(self.text, "good", "test") for f in features if f == 3}
    def statistics(self, sae, feature): return {"density": 0.5} if feature == 3 else {}

@hookimpl
def register_label_sources(register):
    register(Source("a capital"))
    register(Source("second"))
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(homes, "plugins", lambda: tmp_path)
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


def found(plugins: Path) -> Catalogue:
    return catalogue(Config())


def test_a_plugin_registers_models_saes_and_label_sources(plugins: Path):
    offered = found(plugins)
    assert offered.problems == []
    assert list(offered.models) == ["good"]
    assert [sae.id for sae in offered.saes_of("good")] == ["good/1", "good/2"]
    assert installed(offered.model("good")) and not installed(offered.sae("good/1"))


def test_the_first_source_that_knows_a_feature_wins(plugins: Path):
    labels = Labels(found(plugins).label_sources)
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
