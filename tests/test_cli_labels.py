"""`axon-shell labels` as its user types it; Neuronpedia is one of this test's own, on loopback."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import REPOSITORY
from local_neuronpedia import Fault, LocalNeuronpedia, local_neuronpedia

from axon_shell import database
from axon_shell.cli import commands
from axon_shell.errors import AxonError
from axon_shell.labels import LabelStore, OwnLabel

SAE, MINE = "tiny-world/2-res", "tiny-world/mine"
CONFIG = f"""
[[saes]]
id = "{MINE}"
folder = "{(REPOSITORY / "plugins" / "tiny_world" / "saes" / "2-res").as_posix()}"
neuronpedia = "tiny-world/2-test"
"""
PARIS = "the capital city Paris is next, after France was named"  # feature 6, as measured


def shell(*words: str) -> Result:
    return CliRunner().invoke(commands, ["labels", *words], standalone_mode=False)


def told(*words: str) -> str:
    """What a command prints; nothing is complained about. Bars of downloads go to stderr."""
    result = shell(*words)
    assert result.exception is None, result.exception
    assert result.stderr == "" if words[0] != "download" or "--json" in words else "error" not in result.stderr
    return result.stdout


def asked(*words: str) -> Any:
    return json.loads(told(*words, "--json"))


def refused(*words: str) -> AxonError:
    """Why a command refuses; nothing is printed."""
    result = shell(*words)
    assert isinstance(result.exception, AxonError), (result.exception, result.stdout)
    assert result.exception.hint and result.stdout == ""
    return result.exception


def program(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    """The real program."""
    return subprocess.Popen(
        [sys.executable, "-m", "axon_shell", "labels", *words],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(words: list[str], code: int) -> tuple[bytes, str]:
    """What the real program wrote to stdout and stderr until it ended with a code."""
    running = program(*words)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors.decode()
    assert "Traceback" not in errors.decode()
    return output, errors.decode()


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeuronpedia]:
    """A Neuronpedia with a label set of an SAE of the user's own, and the user's configuration for it."""
    (home / "config.toml").write_text(CONFIG)
    with local_neuronpedia() as site:
        rows = [{"index": n, "description": f"invented concept {n}"} for n in range(0, 1280, 2)]
        site.export("tiny-world", "2-test", rows, per_batch=200, embedding="absent")
        monkeypatch.setenv("AXON_OFFLINE", "0")
        monkeypatch.setenv("AXON_NEURONPEDIA_URL", site.url)
        monkeypatch.setenv("AXON_NEURONPEDIA_DATASETS_URL", site.datasets)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield site


# -- download ------------------------------------------------------------------------------------


def test_a_whole_set_comes_once_and_then_only_what_has_changed(site: LocalNeuronpedia, home: Path) -> None:
    lines = [json.loads(line) for line in told("download", MINE, "--json").splitlines()]
    *progress, last = lines
    assert {(one["kind"], one["id"]) for one in progress} == {("progress", MINE)}
    done = [one["done"] for one in progress]
    assert done[-1] == progress[-1]["total"] == last["bytes"] and max(done) == done[-1]
    assert last["kind"] == "label_set" and (last["sae"], last["set"]) == (MINE, "tiny-world/2-test")
    assert (last["labelled"], last["complete"], last["files"], last["new_files"]) == (640, True, 4, 4)
    site.reset()
    assert told("download", MINE) == f"{MINE}: 640 labels of 640 of 1,280 features, 0 of 4 files fetched\n"
    assert site.bodies_sent <= 1  # of the set's own description
    site.export("tiny-world", "2-test", [{"index": 0, "description": "renamed"}], embedding="absent")
    told("download", MINE)
    assert asked("show", MINE, "0")["labels"][0]["text"] == "renamed"
    assert asked("show", MINE, "2") == {"sae": MINE, "feature": 2, "state": "unlabelled", "labels": [], "note": ""}


def test_what_was_downloaded_needs_no_network_any_more(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("download", MINE)
    site.reset()
    monkeypatch.setenv("AXON_OFFLINE", "1")
    shown = asked("show", MINE, "4")
    assert shown["state"] == "labelled" and shown["labels"][0]["text"] == "invented concept 4"
    assert (shown["labels"][0]["origin"], shown["labels"][0]["explainer"]) == ("neuronpedia", "gpt-4o-mini")
    assert "neuronpedia · oai_token-act-pair · gpt-4o-mini · no score · fetched" in told("show", MINE, "4")
    found = asked("search", "invented 128", "--sae", MINE)
    assert found[0]["label"] == "invented concept 128" and len(found) == 1 and found[0]["sae"] == MINE
    (row,) = asked("status", MINE)
    assert (row["labelled"], row["labels"], row["complete"], row["publisher"]) == (640, 640, True, "Neuronpedia")
    assert row["fetched_at"].endswith("Z")
    assert {one["sae"] for one in asked("status")} == {"tiny-world/0-res", SAE, "tiny-world/3-res", MINE}
    assert site.asked == []


def test_a_download_that_cannot_be_says_why(
    site: LocalNeuronpedia, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused("download", "tiny-world/mime")
    assert error.kind == "not_found" and MINE in error.hint
    error = refused("download", SAE)
    assert error.kind == "not_found" and "Nobody publishes" in error.message
    site.export("tiny-world", "2-test", [])
    error = refused("download", MINE)
    assert error.kind == "not_found" and "no label set" in error.message
    site.reset()
    monkeypatch.setenv("AXON_OFFLINE", "1")
    error = refused("download", MINE)
    assert error.kind == "offline" and "AXON_OFFLINE" in error.hint and site.asked == []
    assert asked("status", MINE)[0]["labels"] == 0
    (home / "config.toml").write_text("[labels]\nfetch = 3\n")
    assert "line 2" in refused("download", MINE).message


def test_a_stopped_download_changes_nothing_and_goes_on_the_next_time(site: LocalNeuronpedia, home: Path) -> None:
    chance = random.Random(0)
    rows = [{"index": n, "description": f"concept {n} {chance.randbytes(400).hex()}"} for n in range(1280)]
    (key,) = site.export("tiny-world", "2-test", rows, per_batch=2_000, embedding="absent")
    site.faults.append(Fault("slow", "batch-0", seconds=0.4))
    running = program("download", MINE, "--json")
    assert running.stdout
    progress = json.loads(running.stdout.readline())
    while not progress["done"]:
        progress = json.loads(running.stdout.readline())
    running.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, errors = running.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert running.returncode in (1, 130) and b"Traceback" not in errors
    assert b"error: The download was stopped." in errors and b"hint: " in errors
    assert asked("status", MINE)[0]["labels"] == 0
    site.reset()
    first, *_, last = (json.loads(line) for line in told("download", MINE, "--json").splitlines())
    (request,) = (headers for method, path, headers in site.asked if path.endswith(key))
    assert request["range"].startswith("bytes=") and int(request["range"][6:-1]) >= progress["done"] > 0
    assert first["kind"] == "progress" and (last["labelled"], last["complete"]) == (1280, True)


# -- files -----------------------------------------------------------------------------------------


def test_ones_own_labels_go_to_another_machine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told("edit", SAE, "735", "--label", "a preposition", "--note", "Seen often.")
    told("edit", SAE, "6", "--note", "Is it?")
    path = tmp_path / "mine.labels.jsonl.gz"
    said = asked("export", SAE, "--own", "--output", str(path))
    assert said == {"file": str(path), "labels": 2, "bytes": path.stat().st_size}
    before = path.read_bytes()
    error = refused("export", SAE, "--output", str(path))
    assert error.kind == "export" and "--force" in error.hint and path.read_bytes() == before
    assert told("export", SAE, "--output", str(path), "--force").startswith(f"{path} (2 labels, ")
    assert path.read_bytes() == before  # the same labels are the same bytes
    assert "cannot be written" in refused("export", SAE, "--output", str(tmp_path / "no" / "a")).message
    assert "no labels" in refused("export", "tiny-world/3-res", "--output", str(tmp_path / "b")).message
    assert [one.name for one in tmp_path.iterdir()] == [path.name]

    monkeypatch.setenv("AXON_HOME", str(tmp_path / "other"))
    assert told("import", str(path)) == f"{SAE}: 1 labels and 0 of your own imported\n"
    assert asked("show", SAE, "735")["labels"][0]["origin"] == "pack" and asked("show", SAE, "735")["note"] == ""
    assert asked("import", str(path), "--own", "--sae", SAE) == {
        **{"sae": SAE, "label_set": SAE, "labels": 0, "own": 2, "passed_over": 0, "measured": 0}
    }
    shown = asked("show", SAE, "735")
    assert (shown["labels"][0]["text"], shown["labels"][0]["origin"]) == ("a preposition", "you")
    assert (shown["note"], asked("show", SAE, "6")["note"]) == ("Seen often.", "Is it?")


def test_stdout_gets_a_pack_and_nothing_else(home: Path) -> None:
    told("edit", SAE, "735", "--label", "a preposition")
    for more in ([], ["--json"]):
        output, errors = ended(["export", SAE, "--output", "-", *more], 0)
        header, row = gzip.decompress(output).splitlines()
        assert json.loads(header)["sae"] == SAE and json.loads(row)["d"] == "a preposition" and errors == ""
    assert not list(REPOSITORY.glob("*.labels.jsonl.gz"))


def test_a_file_that_is_no_pack_is_refused(home: Path, tmp_path: Path) -> None:
    told("edit", SAE, "1", "--label", "kept")
    path = tmp_path / "a.labels.jsonl.gz"
    told("export", SAE, "--output", str(path))
    path.write_bytes(path.read_bytes()[:-9])
    error = refused("import", str(path))
    assert error.kind == "label_file" and str(path) in error.message
    assert "not of" in refused("import", str(whole_pack(tmp_path)), "--sae", "tiny-world/3-res").message
    assert refused("import", str(tmp_path / "missing")).kind == "label_file"
    assert "Did you mean tiny-world/2-res?" in refused("import", str(path), "--sae", "tiny-world/2-rex").hint
    store = LabelStore(home)
    assert store.all_own() == {(SAE, 1): OwnLabel("kept", "")} and store.sets() == []
    store.close()


def whole_pack(folder: Path) -> Path:
    path = folder / "whole.labels.jsonl.gz"
    told("export", SAE, "--output", str(path))
    return path


def test_neuronpedias_own_files_can_be_imported(site: LocalNeuronpedia, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "batch-1.jsonl.gz"
    path.write_bytes(site.objects["v1/tiny-world/2-test/explanations/batch-1.jsonl.gz"] + gzip.compress(b"{}\n[]\n"))
    assert told("import", str(path)) == f"{MINE}: 200 labels and 0 of your own imported, 2 lines passed over\n"
    (row,) = asked("status", MINE)
    assert (row["labelled"], row["complete"], row["fetched_at"]) == (200, False, None)


# -- looking, searching, editing ------------------------------------------------------------------------


def test_every_label_of_a_feature_with_its_worth(home: Path) -> None:
    shown = asked("show", SAE, "6")
    label, *guesses = shown["labels"]
    assert [one["method"] for one in guesses] == ["tokens it fires on, in a corpus"]  # Tiny World comes calibrated
    assert (shown["state"], label["text"], label["origin"], label["score_name"]) == (
        "labelled",
        PARIS,
        "tiny-world",
        "F1",
    )
    text = told("show", SAE, "6")
    assert text.startswith(PARIS) and f"F1 {label['score']:.2f}" in text and "measured on held-out text" in text
    assert told("edit", SAE, "6", "--label", "<b>mine</b>\n [red]x") == f"{SAE} feature 6: <b>mine</b> [red]x\n"
    text = told("show", SAE, "6")
    assert text.startswith("<b>mine</b> [red]x\n  you · written by hand") and PARIS in text
    measured = json.loads((REPOSITORY / "plugins" / "tiny_world" / "labels" / "2-res.json").read_text())["features"]
    nameless = next(one["feature"] for one in measured if not one["label"])
    result = shell("show", SAE, str(nameless))
    assert (result.stdout, result.stderr) == ("", f"feature {nameless}: unlabelled\n")


def test_label_and_note_are_changed_each_for_itself(home: Path) -> None:
    assert asked("edit", SAE, "7", "--label", "mine")["own"] == {"label": "mine", "note": ""}
    assert asked("edit", SAE, "7", "--note", "why")["own"] == {"label": "mine", "note": "why"}
    assert "note: why" in told("show", SAE, "7")
    assert told("edit", SAE, "7", "--label", "") == f"{SAE} feature 7: (no label of your own)\n"
    assert asked("show", SAE, "7")["note"] == "why"
    assert told("edit", SAE, "7", "--note", "") == f"{SAE} feature 7: nothing of your own\n"
    assert asked("edit", SAE, "7", "--note", "")["own"] is None
    assert len(asked("edit", SAE, "7", "--label", "x" * 10_000)["own"]["label"]) == 400


def test_search_by_words(home: Path) -> None:
    told("edit", SAE, "735", "--note", "paris again")
    found = asked("search", "paris", "--limit", "3")
    assert found[0] == {
        **{"sae": SAE, "feature": 735, "label": "paris again", "origin": "you"},
        **{"method": "written by hand", "explainer": ""},
    }
    assert len(found) == 3 and all("paris" in one["label"].casefold() for one in found)
    assert {one["sae"] for one in asked("search", "paris", "--sae", SAE, "--limit", "99")} == {SAE}
    assert PARIS in told("search", "PARIS capital", "--sae", SAE)
    assert asked("search", "zzz") == [] and told("search", 'say "no" (').strip() == "Nothing yet."


def test_how_many_labels_there_are(home: Path) -> None:
    told("edit", SAE, "735", "--label", "mine")
    rows = {row["sae"]: row for row in asked("status")}
    assert rows.keys() == {"tiny-world/0-res", SAE, "tiny-world/3-res"}
    assert (rows[SAE]["own"], rows[SAE]["labelled"], rows[SAE]["complete"]) == (1, 566, True)
    assert "download" not in rows[SAE]
    table = told("status")
    assert f"{SAE}" in table and "whole set" in table and "566" in table
    assert "gpt2-small/8-res-jb" in told("status", "gpt2-small/8-res-jb")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "tiny-world/2-rex", "6"],
        ["show", SAE, "1280"],
        ["edit", SAE, "1280", "--label", "x"],
        ["edit", "tiny-world/2-rex", "6", "--label", "x"],
        ["export", "tiny-world/2-rex", "--output", "-"],
        ["search", "x", "--sae", "tiny-world/2-rex"],
        ["status", "tiny-world/2-rex"],
    ],
)
def test_what_does_not_exist_is_named_with_what_does(home: Path, words: list[str]) -> None:
    error = refused(*words)
    assert error.kind == "not_found"
    assert f"Did you mean {SAE}?" in error.hint or "0 to 1279" in error.hint
    assert not (home / "labels.db").exists()


def test_only_reading_makes_no_database(home: Path) -> None:
    for words in (["show", SAE, "6"], ["search", "paris"], ["status"], ["status", SAE]):
        told(*words)
    refused("export", SAE, "--output", "-")
    assert not (home / "labels.db").exists() and not (home / "sessions.db").exists()


def test_a_busy_database_is_read_and_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told("edit", SAE, "1", "--label", "before")
    for name in ("OPENING_WAIT", "WRITING_WAIT"):
        monkeypatch.setattr(database, name, 0.1)
    with closing(sqlite3.connect(home / "labels.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert asked("show", SAE, "1")["labels"][0]["text"] == "before"
        error = refused("edit", SAE, "1", "--label", "after")
        assert error.kind == "store" and "locked" in error.message
        other.execute("ROLLBACK")
    assert asked("show", SAE, "1")["labels"][0]["text"] == "before"


def test_a_damaged_database_is_told_and_plugins_still_name_features(home: Path) -> None:
    told("edit", SAE, "1", "--label", "before")
    (home / "labels.db").write_text("These are no labels.")
    result = shell("show", SAE, "6", "--json")
    assert result.exception is None and json.loads(result.stdout)["labels"][0]["text"] == PARIS
    assert "error: labels.db: The label database was damaged." in result.stderr and "hint: " in result.stderr
    told("edit", SAE, "1", "--label", "after")


def test_errors_are_one_error_and_one_hint_and_a_code(home: Path, tmp_path: Path) -> None:
    for words, code in (
        (["show", "tiny-world/2-rex", "6"], 1),
        (["import", str(tmp_path / "missing"), "--json"], 1),
        (["export", SAE, "--output", "-", "--json"], 1),
        (["edit", SAE, "6"], 2),
        (["search", "x", "--limit", "0"], 2),
        (["show", SAE, "six"], 2),
        (["download"], 2),
    ):
        output, errors = ended(words, code)
        error, hint = errors.splitlines()
        assert output == b"" and error.startswith("error: ") and hint.startswith("hint: ")


def test_no_model_is_needed(site: LocalNeuronpedia, home: Path, tmp_path: Path) -> None:
    pack = str(tmp_path / "a.labels.jsonl.gz")
    code = f"""if True:
        import sys
        from click.testing import CliRunner
        from axon_shell.cli import commands
        for words in (["edit", {SAE!r}, "6", "--label", "x"], ["show", {SAE!r}, "6"], ["search", "paris"], ["status"],
                      ["export", {SAE!r}, "--output", {pack!r}], ["import", {pack!r}], ["download", {MINE!r}]):
            if words[0] == "download":
                assert "httpx" not in sys.modules
            result = CliRunner().invoke(commands, ["labels", *words], standalone_mode=False)
            assert result.exception is None, result.exception
        print(*sorted({{"torch", "transformers", "transformer_lens", "sae_lens"}} & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, env=os.environ, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
