"""The documentation says what the code does: it is followed block by block, and nothing in either is left out."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import documented
import platformdirs.macos
import platformdirs.unix
import pytest
import tomli
from conftest import REPOSITORY
from documented import COMMANDS, ELSEWHERE, ONLY_PARSED, PAGES, Reader, blocks, environment_names

import axon_shell
from axon_shell import homes, hookspecs, records
from axon_shell.config import Config, LabelSettings, ModelEntry, PluginSettings, SaeEntry, SessionSettings, Start
from axon_shell.folders import FORMATS
from axon_shell.labels import Labels
from axon_shell.plugins import catalogue
from axon_shell.published import directory
from axon_shell.records import SETTING_RANGES, Settings
from axon_shell.session import Annotator

TEXT = {page: (REPOSITORY / page).read_text("utf-8") for page in PAGES}
README, COMMANDS_PAGE, PLUGINS = TEXT["README.md"], TEXT["docs/commands.md"], TEXT["docs/plugins.md"]
SOURCES = "".join(path.read_text("utf-8") for path in sorted((REPOSITORY / "axon_shell").rglob("*.py")))
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("register_")}
FOLLOWED: list[str] = []  # commands that were really run from some page


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Somebody with an empty home folder."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("AXON_HOME", str(tmp_path / "axon"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_does_what_it_says(page: str, reader: Reader):
    for block in blocks(page):
        reader.follow(block)
    assert not reader.failed, f"{page}: the last command failed: {reader.failed}"
    FOLLOWED.extend(reader.done)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sh\nrm -r ~\n```", "nothing tests the command"),
        ("```sh\naxon-shell models --fast\n```", "No such option"),
        ("```sh\naxon-shell run x --model none\n```\n```sh\naxon-shell plugins\n```", "failed: There is no model"),
        ("```sh\naxon-shell config path\n```\n```text\nnowhere\n```", "is not what comes"),
        ("```sh\naxon-shell models\n```\n```text\nId Name …\n```", "more comes than the page shows"),
        ('```sh\naxon-shell config path --json\n```\n```json\n{"path": "x"}\n```', "no such thing"),
        ('```sh\naxon-shell config path --json\n```\n```json\n{"path": 1, "exists": true}\n```', "no such thing"),
        ("```toml\nofline = true\n```", "there is no setting ofline"),
        ("```python\nassert 1 > 2\n```", "^$"),
        ("```\nanything\n```", "nothing tests a block"),
        ("```yaml\na: 1\n```", "nothing tests a block"),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, says: str, reader: Reader, monkeypatch: pytest.MonkeyPatch):
    page = reader.home / "page.md"
    page.write_text(text, "utf-8")
    monkeypatch.setattr(documented, "REPOSITORY", reader.home)
    with pytest.raises((AssertionError, click.UsageError), match=says):
        for block in blocks("page.md"):
            reader.follow(block)


def test_every_command_was_run_from_some_page():
    if len(FOLLOWED) < len(COMMANDS):
        pytest.skip("in this run not all pages were followed")
    assert set(COMMANDS) == set(FOLLOWED) | set(ONLY_PARSED)


def test_what_is_tested_elsewhere_is():
    for place in {*ELSEWHERE.values(), *ONLY_PARSED.values()}:
        assert (REPOSITORY / place).is_file(), place


# -- commands and settings ----------------------------------------------------


def sections(page: str, level: int) -> dict[str, str]:
    """The sections of a page by their headings of a level."""
    mark = "#" * level
    parts = re.split(rf"^{mark} (.+)$", TEXT[page], flags=re.M)
    return {title: re.split(r"^#{1," + str(level - 1) + r"} ", body, flags=re.M)[0] for title, body in pairs(parts[1:])}


def pairs(parts: list[str]) -> Iterator[tuple[str, str]]:
    return zip(parts[::2], parts[1::2], strict=True)


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of the tables in a text, without their headings."""
    lines = re.findall(r"^\|(.+)\|$", text, re.M)
    return [[cell.strip() for cell in line.split("|")] for line in lines if "`" in line.split("|")[0]]


def options(command: click.Command) -> set[str]:
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    return {name for name in names if name.startswith("--")}


def test_the_table_of_the_readme_names_every_command():
    table = re.findall(r"^\| `axon-shell \[?([a-z -]*[a-z])", README, re.M)
    assert sorted(table) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented_with_its_options_and_an_example(name: str):
    titles = [title for title in sections("docs/commands.md", 3) if re.match(rf"`axon-shell \[?{name}\b", title)]
    assert len(titles) == 1, f"docs/commands.md has no section `axon-shell {name}`"
    command, body = COMMANDS[name], sections("docs/commands.md", 3)[titles[0]]
    table = {option for row in rows(body) for option in re.findall(r"--[a-z0-9-]+", row[0])}
    assert table == options(command) - {"--json"}, "the options of docs/commands.md are not those of the program"
    assert re.search(rf"^axon-shell {name}\b", body, re.M), "no example"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            assert parameter.name.upper().rstrip("S") in titles[0]
    assert "--json" in options(command)


def test_every_section_of_the_commands_is_a_command():
    titles = [title for title in sections("docs/commands.md", 3) if title.startswith("`axon-shell")]
    assert len(titles) == len(COMMANDS)


def test_every_setting_is_documented_with_its_default_and_range():
    table = {row[0].strip("`"): row for row in rows(sections("docs/commands.md", 2)["Settings"])}
    expected = {f.name for f in fields(Config)} - {
        "start",
        "settings",
        "labels",
        "sessions",
        "plugins",
        "models",
        "saes",
    }
    tables = ((Start, "start"), (Settings, "settings"), (LabelSettings, "labels"))
    tables += ((SessionSettings, "sessions"), (PluginSettings, "plugins"))
    for kind, prefix in tables:
        expected |= {f"{prefix}.{f.name}" for f in fields(kind)}
    assert set(table) == expected
    for name, (low, high, _) in SETTING_RANGES.items():
        _, default, allowed, *_ = table[f"settings.{name}"]
        assert float(default.replace(",", "")) == getattr(Settings(), name)
        assert [float(part.replace(",", "")) for part in allowed.replace("2⁶³ − 1", str(2**63 - 1)).split(" to ")] == [
            float(low),
            float(high),
        ], name
        assert "--" + name.replace("_", "-") in options(COMMANDS["run"])


def test_every_key_of_an_entry_is_documented():
    for kind, title in ((ModelEntry, "Models"), (SaeEntry, "SAEs")):
        keys = {row[0].strip("`") for row in rows(sections("docs/models-and-saes.md", 2)[title])}
        assert {f.name for f in fields(kind)} <= keys, title
    formats = {row[0].strip("`") for row in rows(sections("docs/models-and-saes.md", 3)["Formats"])}
    assert set(FORMATS) <= formats


def test_every_environment_variable_is_documented_and_read():
    table = {row[0].strip("`") for row in rows(sections("docs/commands.md", 2)["Environment"])}
    ours = {name for name in table if name.startswith("AXON_")}
    assert ours == {name for name in environment_names() if not name.startswith("AXON_SHORTCUT_")}


# -- plugins ------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented_with_an_example_and_tested(hook: str):
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    assert inspect.getdoc(HOOKS[hook])
    assert f"`{hook}({arguments})`" in README
    body = sections("docs/plugins.md", 3)[f"`{hook}({arguments})`"]
    (example,) = [block for block in blocks("docs/plugins.md") if f"def {hook}(" in block.text]
    assert example.text in body and example.words, "the example is no file that the page loads"
    assert f"def {hook}(" in (REPOSITORY / "tests" / "test_plugins.py").read_text("utf-8")


def test_the_page_on_plugins_has_no_other_hooks():
    assert set(re.findall(r"\b(register_\w+)\(", PLUGINS)) == set(HOOKS)


def test_every_public_name_is_documented():
    table = {name for row in rows(sections("docs/plugins.md", 2)["Public names"]) for name in row[0].split("`")[1::2]}
    assert table == set(axon_shell.__all__)
    assert all(hasattr(axon_shell, name) for name in axon_shell.__all__)


@pytest.mark.parametrize("name", ["ModelSpec", "SaeSpec", "Label", "Analyser", "Exporter"])
def test_every_field_of_what_is_registered_is_documented(name: str):
    documented = sections("docs/plugins.md", 2)["Fields"].partition(f"**{name}**")[2].partition("\n\n**")[0]
    for f in fields(getattr(records, name)):
        assert f"`{f.name}`" in documented, f"{name}.{f.name}"


def test_the_tutorial_is_one_short_plugin_of_three_things(reader: Reader):
    parts = [block for block in blocks("docs/plugin-tutorial.md") if block.language == "python"]
    assert len(parts) >= 3 and len({block.words for block in parts}) == 1
    whole = "".join(block.text for block in parts)
    assert len(whole.splitlines()) < 60
    assert all(f"def register_{what}(" in whole for what in ("label_sources", "analysers", "models"))
    assert whole.startswith('"""')
    for block in parts:
        reader.follow(block)
    (reader.home / "axon").mkdir(exist_ok=True)
    found = catalogue(Config(plugins=PluginSettings(load=parts[0].words)))
    assert found.problems == []
    annotate = Annotator(Labels(list(found.label_sources.values())), axon_shell.analysers.Analysers())
    assert annotate.labels.of("tiny-world/2-res", [735])[735][0].origin == "me"
    network, tokenizer = found.models["counter"].weights()
    assert not network.training and tokenizer(" seven eight")["input_ids"] == [7, 8]


def test_the_package_of_the_page_brings_its_plugin(reader: Reader, monkeypatch: pytest.MonkeyPatch):
    """As pip leaves it: the module, and metadata with the entry points that the page's pyproject.toml names."""
    (block,) = [block for block in blocks("docs/plugins.md") if block.words and "pyproject" in block.words[0]]
    project = tomli.loads(block.text)
    points = project["project"]["entry-points"]["axon_shell"]
    (module,) = points.values()
    (reader.home / f"{module}.py").write_text("from axon_shell import Analyser, hookimpl\n")
    info = reader.home / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[axon_shell]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    monkeypatch.syspath_prepend(str(reader.home))
    found = catalogue(Config())
    assert found.problems == []
    assert [plugin.origin for plugin in found.plugins if plugin.name in points] == [f"{project['project']['name']} 1"]


def test_the_bundled_plugins_use_only_public_names():
    for path in homes.plugins().rglob("__init__.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("axon_shell"):
                assert node.module == "axon_shell" and {name.name for name in node.names} <= set(axon_shell.__all__)


# -- what the pages claim -----------------------------------------------------


def test_every_number_of_a_session_is_explained():
    page = TEXT["docs/numbers.md"]
    shown = {"l0", "unexplained", "activation", "effect", "entropy", "logprob", "ms", "ms_per_token"}
    kinds = (records.Step, records.Reading, records.ActiveFeature, records.Alternative, records.End)
    of_code = {f.name for kind in kinds for f in fields(kind) if re.match(r"(float|int)\b", str(f.type))}
    assert shown <= of_code
    for name in of_code:
        assert f"`{name}`" in page, f"docs/numbers.md does not explain {name}"


def test_every_test_that_a_page_names_is_there():
    for page, text in TEXT.items():
        for name in re.findall(r"`(tests/\w+\.py)`", text):
            assert (REPOSITORY / name).is_file(), f"{page}: {name}"
        for name in re.findall(r"`(test_\w+)`", text):
            tests = "".join(path.read_text("utf-8") for path in (REPOSITORY / "tests").glob("test_*.py"))
            assert f"def {name}(" in tests, f"{page}: {name}"


def test_the_words_of_the_tour_are_on_the_screen():
    """In bold: names of controls, and what the page says."""
    screen = "".join(
        path.read_text("utf-8") for pattern in ("*.html", "js/**/*.js") for path in (REPOSITORY / "ui").glob(pattern)
    )
    spec = catalogue(Config()).models["tiny-world"]
    labels = (REPOSITORY / "plugins" / "tiny_world" / "labels" / "2-res.json").read_text("utf-8")
    screen += "\n".join([spec.name, *spec.examples, labels, "says tiny-world", "F1", "feature 735"])
    flat = re.sub(r"\s+", " ", screen.lower())
    for words in re.findall(r"\*\*(.+?)\*\*", TEXT["docs/tour.md"], re.S):
        assert re.sub(r"\s+", " ", words.lower()) in flat, f"**{words}** is not on the screen"


def test_the_messages_that_the_pages_quote_are_the_programs():
    quoted = [row[0] for row in rows(sections("docs/models-and-saes.md", 2)["When it is refused"])]
    assert len(quoted) >= 8
    plain = re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', "", SOURCES))
    for message in quoted:
        for part in re.split(r"…", message.strip("`")):
            assert part.strip() in plain, message


def test_the_counts_of_saes_are_those_of_saelens():
    counts = Counter(entry["model"] for entry in directory())
    table = {row[0].strip("`"): row for row in rows(sections("docs/faq.md", 2)["Which SAEs exist?"])}
    assert len(table) >= 5
    for name, row in table.items():
        assert int(row[1].replace(",", "")) == counts[name], name
    for name in ("gpt2-medium", "gpt2-large", "gpt2-xl", "pythia-70m", "pythia-160m-deduped"):
        assert name not in counts
    total, releases = len(directory()), len({entry["release"] for entry in directory()})
    assert f"{total:,} SAEs in {releases} releases" in TEXT["docs/faq.md"]


def test_the_folders_of_the_systems_are_as_the_page_says():
    table = {row[0].strip("`"): row for row in rows(sections("docs/data-and-privacy.md", 2)["Where files are"])}
    for column, system in ((1, platformdirs.unix.Unix), (2, platformdirs.macos.MacOS)):
        folders = system("axon-shell", appauthor=False)
        for name, folder in (
            ("sessions.db", folders.user_data_dir),
            ("config.toml", folders.user_config_dir),
            ("saelens-directory-*.json", folders.user_cache_dir),
        ):
            assert table[name][column].strip("`") == folder.replace(str(Path.home()), "~"), (name, system)


def test_links_within_the_repository_lead_somewhere():
    for page, text in TEXT.items():
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
            assert file.exists(), f"{page}: {target}"
            if anchor:
                assert anchor in anchors(file.read_text("utf-8")), f"{page}: {target}"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_public_thing_says_what_it_gives():
    silent = []
    for path in sorted((REPOSITORY / "axon_shell").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        if not ast.get_docstring(tree):
            silent.append(str(path))
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                silent.append(f"{path.name}: {node.name}")
    assert silent == []
