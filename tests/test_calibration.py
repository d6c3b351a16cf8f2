"""A calibration as it is kept: whole or not at all, gone on with, given to others, shown."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from conftest import OFFLINE, REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import FEATURES, make_model, make_sae, seldom_firing
from test_calibrate import HOOK, texts

from axon_shell import calibrating
from axon_shell.calibration import Calibration, Measured, Partner, Rule, as_record, as_row, from_record, from_row
from axon_shell.cli import commands
from axon_shell.config import Config
from axon_shell.corpus import Corpus
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.errors import AxonError, CorpusError, LabelFileError, NotFound
from axon_shell.labels import HERE, Labels, LabelStore, Promoted
from axon_shell.labels.automatic import automatic
from axon_shell.labels.calibrated import ELSEWHERE
from axon_shell.labels.packs import import_file, write_pack
from axon_shell.plugins import catalogue
from axon_shell.records import Context, SaeSpec

SAE = f"random/{HOOK}"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Sae]:
    return seldom_firing(tmp_path_factory.mktemp("random"), HOOK)


@pytest.fixture
def labels(loaded: tuple[Model, Sae], tmp_path: Path) -> Iterator[Labels]:
    found = Labels([], {SAE: loaded[1].spec}, LabelStore(tmp_path / "home"))
    yield found
    found.close()


def written(path: Path, number: int = 250) -> Corpus:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(number)), "utf-8")
    return Corpus(path)


def comparable(labels: Labels) -> tuple[Calibration, list[Measured]]:
    """A calibration without what differs between two runs."""
    assert labels.store
    found = labels.calibration(SAE)
    assert found
    about = replace(found[0], made_at="", tokens_per_second=0, bare_share=0)
    return about, list(labels.store.measured(SAE).values())


# -- from beginning to end ----------------------------------------------------


def test_a_corpus_becomes_rates_pairs_contexts_and_names(
    loaded: tuple[Model, Sae], labels: Labels, tmp_path: Path
) -> None:
    before = labels.of(SAE, [0])[0]
    assert before == (None, "absent")
    assert labels.base_rates(SAE, [0]) is None
    messages = list(calibrating.calibrate(*loaded, written(tmp_path / "c.jsonl"), labels))
    assert [message["state"] for message in messages[:1] + messages[-1:]] == ["reading", "done"]
    done = messages[-1]
    assert done["documents"] == 250
    assert json.loads(json.dumps(done, allow_nan=False)) == done
    about, origin = labels.calibration(SAE) or pytest.fail("it is not kept")
    assert origin == HERE
    assert as_record(about) == done["calibration"]
    assert about.tokens == done["tokens"] == about.sampled > 1_000
    assert 0 < about.bare_share < 1 and about.tokens_per_second > 0

    tokens, rates = labels.base_rates(SAE, range(FEATURES)) or (0, {})
    measured = labels.measured(SAE, range(FEATURES))
    assert tokens == about.tokens
    assert len(measured) == done["features"]
    assert all(rates[feature] == one.fires / tokens for feature, one in measured.items())
    assert all(rates[feature] == 0 for feature in set(range(FEATURES)) - measured.keys())
    pairs = labels.cofiring(SAE, range(FEATURES))
    assert 0 < len(pairs) <= about.pairs
    for (a, b), one in pairs.items():
        assert a < b and one.feature in (a, b) and one.lift > 1 and one.q <= 0.05
    few = sorted(labels.measured(SAE, range(FEATURES), contexts=False))[:40]
    assert labels.cofiring(SAE, few).keys() == {pair for pair in pairs if set(pair) <= set(few)}

    named = labels.of(SAE, list(measured))
    assert {state for _, state in named.values()} == {"absent"}  # what is computed describes nothing
    ruled = [feature for feature, one in measured.items() if one.rule]
    assert ruled
    for feature in ruled:
        label = named[feature][0]
        assert label and label.is_automatic and label.text.startswith("fires")
        rule = measured[feature].rule
        assert rule and label.score == rule.score
        assert rule.score is None or label.details["labels of other features"] == f"{rule.chance:.2f}"
    assert any(one.strongest and one.random for one in measured.values())
    assert labels.statistics(SAE, ruled[0])["max_activation"] == measured[ruled[0]].highest
    assert calibrating.kept(SAE) is None  # nothing is left to go on with
    assert not calibrating.folder_of(SAE).exists()


def test_one_that_was_left_off_goes_on_to_the_same_end(
    loaded: tuple[Model, Sae], labels: Labels, tmp_path: Path
) -> None:
    corpus = written(tmp_path / "c.jsonl", 400)
    list(calibrating.calibrate(*loaded, corpus, labels))
    through = comparable(labels)
    stops = 0
    for resume in (False, True, True, True, True):
        work = calibrating.calibrate(*loaded, corpus, labels, resume=resume)
        for number, message in enumerate(work):
            if message["state"] == "done":
                break
            if number == 12:
                work.close()
                kept = calibrating.kept(SAE)
                assert kept and kept.corpus == "c.jsonl" and kept.tokens > 0
                stops += 1
        else:
            continue
        break
    assert stops >= 2
    assert comparable(labels) == through


def test_it_goes_on_with_the_same_texts_only(loaded: tuple[Model, Sae], labels: Labels, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has begun"):
        next(calibrating.calibrate(*loaded, written(tmp_path / "c.jsonl"), labels, resume=True))

    def begun() -> None:
        work = calibrating.calibrate(*loaded, written(tmp_path / "c.jsonl", 400), labels)
        for number, _ in enumerate(work):
            if number == 12:
                work.close()

    begun()
    changed = written(tmp_path / "c.jsonl", 400)
    lines = changed.files[0].read_text("utf-8").splitlines(keepends=True)
    changed.files[0].write_text('{"text": "other"}\n' + "".join(lines[1:]), "utf-8")
    with pytest.raises(CorpusError, match="has changed"):
        next(calibrating.calibrate(*loaded, changed, labels, resume=True))
    with pytest.raises(CorpusError, match="of another corpus"):
        next(calibrating.calibrate(*loaded, written(tmp_path / "d.jsonl", 400), labels, resume=True))
    (calibrating.folder_of(SAE) / "counted.npz").write_bytes(b"nonsense")
    with pytest.raises(AxonError, match="cannot be read"):
        next(calibrating.calibrate(*loaded, written(tmp_path / "c.jsonl", 400), labels, resume=True))
    assert labels.calibration(SAE) is None


def test_too_little_text_is_told_and_keeps_nothing(loaded: tuple[Model, Sae], labels: Labels, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="of which little can be said"):
        list(calibrating.calibrate(*loaded, written(tmp_path / "c.jsonl", 3), labels))
    assert labels.calibration(SAE) is None
    assert calibrating.kept(SAE) is None


KILLED = """
import json, sys, torch
from pathlib import Path
from axon_shell import calibrating
from axon_shell.corpus import Corpus
from axon_shell.engine.model import load_model
from axon_shell.engine.sae import load_sae
from axon_shell.labels import Labels, LabelStore
from axon_shell.records import ModelSpec, SaeSpec
folder, resume = Path(sys.argv[1]), sys.argv[2] == "resume"
calibrating.KEEP_EVERY, calibrating.KEEP_SHARE, calibrating.BIT = 0, 1e9, 0
model = load_model(ModelSpec("random", "Random", "gpt2", folder / "model", 64, 0), torch.device("cpu"), print)
hook = "blocks.1.hook_resid_post"
sae = load_sae(SaeSpec(f"random/{hook}", "random", hook, 256, folder / "sae"), model, print)
labels = Labels([], {sae.spec.id: sae.spec}, LabelStore(folder / "home"))
for message in calibrating.calibrate(model, sae, Corpus(folder / "c.jsonl"), labels, resume=resume):
    print(json.dumps(message), flush=True)
"""


@pytest.mark.timeout(600)  # two programs that import everything
def test_kill_9_leaves_no_half_calibration_and_it_goes_on(tmp_path: Path, home: Path) -> None:
    """Killed while it reads, and while it looks at what was counted."""
    model = load_model(make_model(tmp_path / "model"), torch.device("cpu"), lambda stage: None)
    sae = load_sae(make_sae(tmp_path / "sae", HOOK), model, lambda stage: None)
    corpus = written(tmp_path / "c.jsonl", 150)

    def killed(resume: bool, until: str, after: int) -> None:
        """Begin or go on with it, and kill it after so many messages of a state."""
        words = [sys.executable, "-c", KILLED, str(tmp_path), "resume" if resume else "anew"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ})
        assert process.stdout
        seen, state = 0, ""
        for line in process.stdout:
            state = json.loads(line)["state"] if line.startswith("{") else ""
            seen += state == until
            if seen == after:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL and state == until

    killed(False, "reading", 14)
    with closing(LabelStore(tmp_path / "home")) as store:
        assert store.calibration(SAE) is None
    kept = calibrating.kept(SAE)
    assert kept and kept.tokens > 0
    killed(True, "looking", 300)
    with closing(LabelStore(tmp_path / "home")) as store:
        assert store.calibration(SAE) is None
        assert store.problem is None
    labels = Labels([], {SAE: sae.spec}, LabelStore(tmp_path / "home"))
    list(calibrating.calibrate(model, sae, corpus, labels, resume=True))
    in_parts = comparable(labels)
    list(calibrating.calibrate(model, sae, corpus, labels))
    assert comparable(labels) == in_parts
    labels.close()


# -- records ------------------------------------------------------------------

FINITE = st.floats(0, 1e6, allow_nan=False).map(lambda value: float(f"{value:.4g}"))
TOKENS = st.lists(st.tuples(st.text(max_size=5), FINITE), max_size=3).map(tuple)
RULES = st.builds(
    Rule, st.sampled_from(["on", "after", "before"]), TOKENS, st.booleans(), FINITE, FINITE, st.integers(0, 99)
)
CONTEXTS = st.lists(
    st.lists(st.tuples(st.text(max_size=4), FINITE), min_size=1, max_size=4).map(
        lambda pairs: Context(*(tuple(column) for column in zip(*pairs, strict=True)))
    ),
    max_size=2,
).map(tuple)
MEASURED = st.builds(
    Measured,
    st.integers(0, 10**6),
    st.integers(0, 10**9),
    FINITE,
    FINITE,
    TOKENS,
    st.none() | RULES,
    st.lists(st.builds(Partner, st.integers(0, 9), st.integers(0, 9), FINITE, FINITE), max_size=3).map(tuple),
    CONTEXTS,
    CONTEXTS,
)
ABOUT = Calibration("a/b", "a", "", "c", "d", 1, 2, 3, 4, None, 0.5, 5, 6, "2026-11-27T00:00:00Z", 7.5, 0.5)


@given(MEASURED)
def test_what_was_measured_comes_back_from_json(measured: Measured) -> None:
    assert from_row(json.loads(json.dumps(as_row(measured)))) == measured


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(["i", "n", "mean", "max", "tokens", "rule", "pairs", "strongest"]), JSON)
@settings(max_examples=300)
def test_what_is_no_measurement_is_refused_or_finite(name: str, value: Any) -> None:
    row = as_row(Measured(1, 2, 3.0, 4.0, (("a", 0.5),), Rule("on", (("a", 0.5),), True), (Partner(1, 2, 3.0, 0.01),)))
    try:
        found = from_row(row | {name: value})
    except (KeyError, ValueError, TypeError, IndexError):
        return
    json.dumps(as_row(found), allow_nan=False)


@given(st.sampled_from(sorted(as_record(ABOUT))), JSON)
def test_what_is_no_calibration_is_refused(name: str, value: Any) -> None:
    assert from_record(as_record(ABOUT)) == ABOUT
    try:
        found = from_record(as_record(ABOUT) | {name: value})
    except (KeyError, ValueError, TypeError):
        return
    json.dumps(as_record(found), allow_nan=False)
    assert type(getattr(found, name)) in (str, int, float, type(None))


# -- labels -------------------------------------------------------------------


def test_a_label_by_tokens_says_where_they_stand_and_how_well_they_tell() -> None:
    tokens = tuple((f" {word}", 0.2) for word in ("a", "b", "c", "d", "e"))
    rule = Rule("after", tokens, True, 0.93, 0.51, 120)
    clear = Measured(1, 9, 1.0, 2.0, rule=rule)
    (label,) = automatic(None, [("x", 1, 1.0)], clear)
    assert label.text == "fires after “ a”, “ b”, “ c” …"
    assert (label.origin, label.score, label.score_name) == ("automatic", 0.93, "balanced accuracy")
    assert label.details["labels of other features"] == "0.51"
    vague = replace(clear, rule=replace(rule, place="on", clear=False, score=None, chance=None))
    (label,) = automatic(None, (), vague)
    assert label.text == "fires on “ a”, “ b”, “ c” and much else"
    assert label.score is None
    peaked = Promoted((("x", 9.0),), (), 9.0, 5.0, 40.0)
    assert automatic(peaked, (), clear)[0].method == "tokens it fires on, in a corpus"
    assert automatic(peaked, (), vague)[0].method == "promoted tokens"
    assert [one.method for one in automatic(None, [("x", 1, 1.0)], replace(clear, rule=None))] == ["tokens it fires on"]


def test_a_database_of_before_gets_room_for_calibrations_and_one_that_is_only_read_does_without(tmp_path: Path) -> None:
    from sqlite_utils import Database, Migrations

    from axon_shell.labels.schema import m001_labels

    path = tmp_path / "labels.db"
    with closing(sqlite3.connect(path)) as connection:
        migrations = Migrations("labels")
        migrations(name="m001_labels")(m001_labels)
        migrations.apply(Database(connection))
        connection.execute("INSERT INTO own_labels VALUES ('a/b', 1, 'mine', '', 0)")
        connection.commit()
    before = path.read_bytes()
    with closing(LabelStore(tmp_path)) as store:
        assert store.calibration("a/b") is None
        store.put_calibration(ABOUT, [Measured(1, 2, 3.0, 4.0)], HERE)
        assert store.calibration("a/b") == (ABOUT, HERE)
        assert store.all_own()["a/b", 1].label == "mine"
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(before)
    with closing(LabelStore(tmp_path)) as store, closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE measured")
        connection.execute("DROP TABLE calibrations")
        connection.commit()
        assert store.calibration("a/b") is None
        assert store.rates("a/b", [1]) is None
        assert store.known("a/b", "a/b", [1]).own[1].label == "mine"


# -- packs --------------------------------------------------------------------


def packed(labels: Labels, spec: SaeSpec, path: Path, **options: bool) -> Path:
    assert labels.store
    with path.open("wb") as file:
        write_pack(labels, labels.store, spec, file, **options)
    return path


def other(spec: SaeSpec, home: Path) -> Labels:
    return Labels([], {spec.id: spec}, LabelStore(home))


def test_a_calibration_goes_with_the_pack_and_its_texts_only_when_asked_for(labels: Labels, tmp_path: Path) -> None:
    spec, store = labels.saes[SAE], labels.store
    assert store
    context = Context((" the", " c\u202eat", "<b>"), (0.0, 2.5, 0.0))
    measured = Measured(
        3, 7, 1.5, 2.5, ((" cat", 1.0),), Rule("on", ((" cat", 1.0),), True), (), (context,), (context,)
    )
    labels.put_calibration(replace(ABOUT, sae=SAE), [measured, Measured(5, 1, 1.0, 1.0)], HERE)
    plain, whole = packed(labels, spec, tmp_path / "p.gz"), packed(labels, spec, tmp_path / "w.gz", contexts=True)
    assert b"cat" in gzip.decompress(plain.read_bytes()) and b"<b>" not in gzip.decompress(plain.read_bytes())
    assert plain.read_bytes() == packed(labels, spec, tmp_path / "again.gz").read_bytes()
    assert store.calibration(SAE) == (replace(ABOUT, sae=SAE), HERE)
    with pytest.raises(NotFound):
        packed(labels, spec, tmp_path / "own.gz", own_only=True)

    with closing(other(spec, tmp_path / "there")) as there:
        assert there.store
        (found,) = import_file(there, there.store, plain)
        assert (found.labels, found.measured) == (0, 2)
        assert there.calibration(SAE) == (replace(ABOUT, sae=SAE), ELSEWHERE)
        assert there.measured(SAE, [3])[3] == replace(measured, strongest=(), random=())
        import_file(there, there.store, whole)  # what came from a pack before is replaced
        assert there.measured(SAE, [3])[3].strongest[0].tokens == (" the", " cat", "<b>")  # made safe
        assert there.base_rates(SAE, [3, 4]) == (2, {3: 3.5, 4: 0.0})
    changed = replace(ABOUT, sae=SAE, corpus="of my own")
    labels.put_calibration(changed, [measured], HERE)
    (found,) = import_file(labels, store, plain)
    assert found.measured == 0
    assert labels.calibration(SAE) == (changed, HERE)  # what was measured here stays


@pytest.mark.parametrize(
    "change",
    [
        lambda header, rows: header.update(calibration="x"),
        lambda header, rows: header["calibration"].update(tokens=-1.5),
        lambda header, rows: header.pop("calibration"),
        lambda header, rows: rows[0]["c"].update(i=FEATURES),
        lambda header, rows: rows[0]["c"].update(mean=float("nan")),
        lambda header, rows: rows[0]["c"].update(rule=["under", [], True, None, None, 0]),
        lambda header, rows: rows[0]["c"].update(pairs=[[FEATURES], [1], [1.0], [0.1]]),
        lambda header, rows: rows.pop(),
    ],
)
def test_a_damaged_calibration_is_refused_whole(labels: Labels, tmp_path: Path, change: Any) -> None:
    from axon_shell.labels.packs import as_line, write_packed

    labels.put_calibration(replace(ABOUT, sae=SAE), [Measured(1, 2, 3.0, 4.0), Measured(2, 2, 3.0, 4.0)], HERE)
    pack = packed(labels, labels.saes[SAE], tmp_path / "p.gz")
    header, *rows = (json.loads(line) for line in gzip.decompress(pack.read_bytes()).splitlines())
    change(header, rows)
    with pack.open("wb") as file:
        write_packed(header, [as_line(row) for row in rows], file)
    with closing(other(labels.saes[SAE], tmp_path / "there")) as there:
        assert there.store
        with pytest.raises(LabelFileError, match="Nothing was imported"):
            import_file(there, there.store, pack)
        assert there.calibration(SAE) is None


# -- Tiny World ---------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Labels:
    found = catalogue(Config())
    return Labels(found.label_sources.values(), found.saes)


@pytest.mark.parametrize("source", ["0-res", "2-res", "3-res"])
def test_tiny_world_comes_calibrated(shipped: Labels, source: str) -> None:
    sae = f"tiny-world/{source}"
    about, origin = shipped.calibration(sae) or pytest.fail("it is not")
    assert origin == ELSEWHERE
    assert about.tokens >= 300_000 and about.score and about.chance
    assert about.score > 0.75 and abs(about.chance - 0.5) < 0.03
    assert about.pairs_by_chance < 0.05 * about.pairs
    _, rates = shipped.base_rates(sae, range(1280)) or (0, {})
    measured = shipped.measured(sae, range(1280))
    # Another program measured the density of each on another text, in rows of several documents.
    known = {feature: shipped.statistics(sae, feature)["density"] for feature in range(1280)}
    frequent = [feature for feature in known if known[feature] > 0.002]
    off = [abs(rates[feature] / known[feature] - 1) for feature in frequent]
    assert len(frequent) > 200
    assert sorted(off)[len(off) // 2] < 0.15 and sorted(off)[int(0.9 * len(off))] < 0.4
    assert all(measured[feature].strongest and measured[feature].random for feature in frequent)


def test_features_without_a_measured_label_are_named_by_their_tokens(shipped: Labels) -> None:
    sae = "tiny-world/2-res"
    unlabelled = [n for n in shipped.measured(sae, range(1280)) if shipped.of(sae, [n])[n][1] == "unlabelled"]
    named = [label for n in unlabelled if (label := shipped.of(sae, [n])[n][0])]
    assert len(named) > 0.8 * len(unlabelled) > 300
    assert all(label.is_automatic and label.method == "tokens it fires on, in a corpus" for label in named)


def test_its_calibration_is_read_when_it_is_wanted_and_takes_little_room() -> None:
    found = catalogue(Config())
    labels = Labels(found.label_sources.values(), found.saes)
    assert labels.saes_by_set and labels.packs == {}
    files = list((REPOSITORY / "plugins" / "tiny_world" / "calibrations").iterdir())
    assert len(files) == 3
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_a_calibration_of_ones_own_comes_before_the_one_that_was_brought(tmp_path: Path) -> None:
    found = catalogue(Config())
    labels = Labels(found.label_sources.values(), found.saes, LabelStore(tmp_path))
    labels.put_calibration(replace(ABOUT, sae="tiny-world/2-res"), [Measured(7, 1, 1.0, 1.0)], HERE)
    assert labels.base_rates("tiny-world/2-res", [6, 7]) == (2, {6: 0.0, 7: 0.5})
    assert labels.cofiring("tiny-world/2-res", range(1280)) == {}
    assert (labels.base_rates("tiny-world/0-res", [6]) or (0,))[0] > 2
    labels.close()


# -- the terminal -------------------------------------------------------------


def world(path: Path, documents: int) -> Path:
    """Text of Tiny World's generator."""
    script = "import sys, json, itertools; from world import documents\n"
    script += f"[print(json.dumps({{'text': d.text}})) for d in itertools.islice(documents('test'), {documents})]"
    folder = REPOSITORY / "plugins" / "tiny_world"
    path.write_bytes(subprocess.check_output([sys.executable, "-c", script], cwd=folder))
    return path


def test_in_the_terminal(tmp_path: Path) -> None:
    corpus = world(tmp_path / "w.jsonl", 120)
    (tmp_path / "empty").mkdir()
    shell = CliRunner()

    def run(*words: str) -> Any:
        return shell.invoke(commands, words, standalone_mode=False)

    result = run("calibrate", "tiny-world/2-res", "--corpus", str(corpus), "--tokens", "2500", "--json")
    assert result.exception is None, result.exception
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert {message["kind"] for message in messages} == {"calibration"}
    assert messages[-1]["state"] == "done" and 2_500 <= messages[-1]["tokens"] < 3_500
    status = json.loads(run("labels", "status", "tiny-world/2-res", "--json").stdout)
    assert status[0]["calibration"]["corpus"] == "w.jsonl"
    shown = run("labels", "show", "tiny-world/2-res", "262")
    assert "fires" in shown.stdout and "tokens it fires on, in a corpus" in shown.stdout
    for words, message in (
        (("--corpus", str(tmp_path / "empty")), "holds no texts"),
        (("--corpus", str(tmp_path / "no")), "no file or folder"),
        (("--corpus", str(corpus), "--resume"), "has begun"),
    ):
        error = run("calibrate", "tiny-world/2-res", *words).exception
        assert isinstance(error, AxonError) and message in error.message and error.hint
    error = run("calibrate", "tiny-world/9-res", "--corpus", str(corpus)).exception
    assert isinstance(error, NotFound)


def test_ctrl_c_keeps_what_was_counted(tmp_path: Path, home: Path) -> None:
    corpus = world(tmp_path / "w.jsonl", 4_000)
    words = [sys.executable, "-m", "axon_shell", "calibrate", "tiny-world/2-res", "--corpus", str(corpus), "--json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ, **OFFLINE}
    ) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if json.loads(line)["tokens"]:
                process.send_signal(signal.SIGINT)
                break
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 1
    assert "Stopped after" in errors and "--resume" in errors and "Traceback" not in errors
    assert '"done"' not in rest
    kept = calibrating.kept("tiny-world/2-res")
    assert kept and kept.tokens > 0
