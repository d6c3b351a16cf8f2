"""The terminal, as a user types it, on the built-in model."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from stored import as_described
from transformers import AutoModelForCausalLM

from axon_shell.cli.shared import print_json
from axon_shell.config import parse

PARIS = ["run", "The capital of France is", "--max-tokens", "1", "--temperature", "0", "--json"]


def shell(*args: str, home: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `axon-shell ARGS`."""
    extra = {"AXON_HOME": str(home)} if home else {}
    return subprocess.run(
        [sys.executable, "-m", "axon_shell", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=os.environ | extra | env,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The complaint of a command that failed as it should: an error, a hint, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    *_, error, hint = done.stderr.strip().splitlines()
    assert error.startswith("error: ") and hint.startswith("hint: ")
    assert "Traceback" not in done.stderr
    return f"{error}\n{hint}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def paris(shared: Path) -> list[dict]:
    """What the documented first run prints."""
    done = shell(*PARIS, home=shared)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_prints_a_start_its_steps_and_an_end(paris: list[dict]):
    start, *steps, end = paris
    assert start["kind"] == "start" and start["model"] == "tiny-world" and start["prompt"] == "The capital of France is"
    assert start["saes"] and start["settings"]["temperature"] == 0
    assert [step["kind"] for step in steps] == ["step"] * len(steps)
    assert [step["position"] for step in steps] == list(range(len(steps)))
    assert steps[0]["is_bos"] and steps[0]["logprob"] is None
    assert "".join(step["text"] for step in steps if step["is_prompt"]) == "The capital of France is"
    assert end["kind"] == "end" and end["reason"] == "max_tokens"
    assert len(steps) == 1 + end["prompt_tokens"] + end["new_tokens"] and end["new_tokens"] == 1


def test_the_capital_of_france_is_paris_and_the_features_before_it_say_so(paris: list[dict]):
    *_, before, new, _ = paris
    assert (new["text"], new["is_prompt"], before["next"]["text"]) == (" Paris", False, " Paris")
    (reading,) = before["saes"].values()
    top = [active["label"] or "" for active in reading["features"][:5]]
    assert any(word in label for label in top for word in ("capital", "country", "France")), top
    assert reading["l0"] >= len(reading["features"]) and 0 <= reading["unexplained"] < 0.3


def test_the_stored_session_is_what_was_printed(paris: list[dict], shared: Path):
    (row,) = json.loads(shell("sessions", "list", "--json", home=shared).stdout)
    assert (row["uid"], row["prompt"], row["status"]) == (paris[0]["session"], "The capital of France is", "finished")
    shown = shell("sessions", "show", row["uid"][:20], "--json", home=shared)
    assert as_described(map(json.loads, shown.stdout.splitlines())) == as_described(paris)


def test_the_same_run_twice_gives_the_same_tokens_and_features(shared: Path):
    def numbers(*extra: str) -> list[dict]:
        done = shell("run", "In Japan", "--max-tokens", "8", "--seed", "4", "--json", *extra, home=shared)
        return as_described(json.loads(line) | {"ms": 0} for line in done.stdout.splitlines()[1:-1])

    first = numbers()
    assert first == numbers() and len(first) >= 4
    assert {tuple(step["saes"]) for step in numbers("--sae", "tiny-world/0-res", "--sae", "tiny-world/3-res")} == {
        ("tiny-world/0-res", "tiny-world/3-res")
    }


def test_a_person_sees_tokens_features_and_the_text(shared: Path):
    done = shell("run", "The capital of Italy is", "--max-tokens", "2", "--temperature", "0", home=shared)
    assert "' Rome'" in done.stdout and "unexplained" in done.stdout
    assert "The capital of Italy is Rome" in done.stdout
    listed = shell("sessions", "list", home=shared, COLUMNS="200").stdout
    assert "The capital of Italy is" in listed and "tiny-world" in listed


def test_models_and_saes_are_listed():
    models = json.loads(shell("models", "--json").stdout)
    assert [(m["id"], m["installed"]) for m in models if m["id"] == "tiny-world"] == [("tiny-world", True)]
    saes = json.loads(shell("saes", "tiny-world", "--json").stdout)
    assert len(saes) >= 3 and all(sae["model"] == "tiny-world" and sae["installed"] for sae in saes)
    assert "Tiny World" in shell("models", COLUMNS="200").stdout
    assert saes[0]["id"] in shell("saes", COLUMNS="200").stdout


def test_the_doctor_knows_what_is_there():
    checks = {check["name"]: check for check in json.loads(shell("doctor", "--json").stdout)}
    assert checks["torch"]["ok"] and checks["Data folder"]["ok"] and checks["Plugins"]["ok"]
    assert all(check["hint"] for check in checks.values() if check["ok"] is False)


def test_past_sessions_need_no_torch_and_come_within_a_second():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "axon_shell", "sessions", "list"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "transformer_lens", "sae_lens", "numpy", "webview"}
    assert "Nothing yet." in done.stdout


# -- files --------------------------------------------------------------------


def test_a_session_becomes_a_file(paris: list[dict], shared: Path, tmp_path: Path):
    uid = paris[0]["session"]
    lines = tmp_path / "session.jsonl"
    done = shell("sessions", "export", uid, "--as", "jsonl", "--output", str(lines), home=shared)
    assert done.stdout == f"{lines} ({lines.stat().st_size:,} bytes)\n", done.stderr
    exported = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert as_described(exported) == as_described(paris)

    said = json.loads(
        shell(
            "sessions", "export", uid, "--as", "csv", "--output", str(tmp_path / "a.csv"), "--json", home=shared
        ).stdout
    )
    assert said == {"file": str(tmp_path / "a.csv"), "format": "csv", "bytes": (tmp_path / "a.csv").stat().st_size}
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    fired = [
        (step["position"], sae, active["feature"], active["activation"], active["label"])
        for step in exported[1:-1]
        for sae, reading in step["saes"].items()
        for active in reading["features"]
    ]
    assert [
        (int(r["position"]), r["sae"], int(r["feature"]), float(r["activation"]), r["label"] or None) for r in rows
    ] == fired
    assert shell("sessions", "export", uid, "--as", "csv", "--output", "-", home=shared).stdout.startswith(
        "position,token"
    )


def test_an_export_replaces_nothing_unasked_and_leaves_nothing_half_written(
    shared: Path, paris: list[dict], tmp_path: Path
):
    uid, path = paris[0]["session"], tmp_path / "a.csv"
    path.write_text("mine")
    export = ["sessions", "export", uid, "--as", "csv", "--output", str(path)]
    assert "exists" in refusal(shell(*export, home=shared)) and path.read_text() == "mine"
    assert shell(*export, "--force", home=shared).returncode == 0 and path.read_text() != "mine"
    assert "no file format 'cvs'" in refusal(shell("sessions", "export", uid, "--as", "cvs", home=shared))
    assert "cannot be written" in refusal(shell(*export[:-1], str(tmp_path / "no" / "a.csv"), home=shared))
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from axon_shell import Exporter, hookimpl\n@hookimpl\ndef register_exporters(register):\n"
        "    register(Exporter('broken', '.txt', lambda messages, file: file.write(messages)))\n"
    )
    config = tmp_path / "config.toml"
    config.write_text(f"[plugins]\nload = ['{plugin}']\n")
    export = ["--config", str(config), "sessions", "export", uid, "--as", "broken", "--output", str(tmp_path / "b")]
    assert "The exporter broken failed: TypeError" in refusal(shell(*export, home=shared))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "broken.py", "config.toml"]


# -- the configuration --------------------------------------------------------


def test_where_the_configuration_is(home: Path, tmp_path: Path):
    assert shell("config", "path", home=home).stdout == f"{home / 'config.toml'}\n"
    other = tmp_path / "other.toml"
    assert json.loads(shell("--config", str(other), "config", "path", "--json", home=home).stdout) == {
        "path": str(other),
        "exists": False,
    }
    assert shell("config", "path", home=home, AXON_CONFIG=str(other)).stdout == f"{other}\n"


def test_what_is_in_force_is_shown_as_it_would_be_written(home: Path, tmp_path: Path):
    (home / "config.toml").write_text('device = "cpu"\n[settings]\nseed = 7\n[[models]]\nid = "m"\nfolder = "x"\n')
    shown = shell("config", "show", home=home).stdout
    config, problems = parse(shown, home / "config.toml")
    assert problems == [] and config.offline  # by AXON_OFFLINE
    assert (config.device, config.settings.seed, config.models[0].folder) == ("cpu", 7, "x")
    assert json.loads(shell("config", "show", "--json", home=home).stdout)["settings"]["seed"] == 7


def test_mistakes_of_the_configuration_are_listed(home: Path):
    done = shell("config", "check", home=home)
    assert (done.returncode, done.stdout) == (0, f"{home / 'config.toml'} does not exist: all is default\n")
    (home / "config.toml").write_text("[settings]\n")
    assert shell("config", "check", home=home).stdout == f"{home / 'config.toml'}: no problems\n"
    (home / "config.toml").write_text(
        "offlin = true\n[settings]\ntemprature = 1\n"
        "[[models]]\nid = 'm'\nfolder = 'nowhere'\n[plugins]\nload = ['no.py']\n"
    )
    done = shell("config", "check", home=home)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("error: ") == done.stderr.count("hint: ") == 4
    for what in (
        "line 1: there is no setting offlin",
        "Did you mean temperature?",
        "model m: ",
        "no.py does not exist",
    ):
        assert what in done.stderr, what
    assert len(json.loads(shell("config", "check", "--json", home=home).stdout)) == 4
    # What generates does not guess; what only shows goes on.
    assert "no setting offlin" in refusal(shell("run", "x", home=home))
    assert shell("sessions", "list", home=home).returncode == 0
    assert shell("models", home=home).returncode == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run", "   "], "prompt is empty"),
        (["run", "word " * 600], "at most 512"),
        (["run", "x", "--temperature", "-1"], "temperature is -1"),
        (["run", "x", "--top-p", "0"], "top_p is 0"),
        (["run", "x", "--model", "tiny-wrld"], "Did you mean tiny-world?"),
        (["run", "x", "--sae", "tiny-world/99-res"], "no SAE"),
        (["saes", "nothing"], "no model 'nothing'"),
        (["sessions", "show", "nothing"], "no session nothing"),
    ],
)
def test_mistakes_are_an_error_and_a_hint(args: list[str], says: str):
    assert says in refusal(shell(*args))


def test_a_fault_of_our_own_has_no_traceback_unless_it_is_wanted(monkeypatch: pytest.MonkeyPatch, capsys):
    from axon_shell import cli, plugins

    monkeypatch.setattr(plugins, "catalogue", lambda config: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["axon-shell", "models"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: Something went wrong: ZeroDivisionError") and "hint: " in said and "--debug" in said
    monkeypatch.setattr(sys, "argv", ["axon-shell", "--debug", "models"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_start_without_a_terminal_shows_why_it_ended(home: Path, monkeypatch: pytest.MonkeyPatch):
    """As Windows starts a program from its menu: there is no stdout and no stderr."""
    from axon_shell import cli

    shown: list[str] = []
    monkeypatch.setattr(cli, "show_in_box", shown.append)
    for args, code, expected in (
        (["sessions", "show", "nothing"], 1, ["error: There is no session nothing.", "hint: "]),
        (["sessions", "list"], 0, []),
    ):
        shown.clear()
        monkeypatch.setattr(sys, "argv", ["axon-shell-gui", *args])
        with monkeypatch.context() as without:
            without.setattr(sys, "stdout", None)
            without.setattr(sys, "stderr", None)
            with pytest.raises(SystemExit) as end:
                cli.gui()
        assert (end.value.code or 0) == code
        assert len(shown) == bool(expected) and all(text in shown[0] for text in expected)
    assert "error: There is no session nothing." in (home / "logs" / "output.txt").read_text("utf-8")


@pytest.mark.parametrize(
    "args", [["run"], ["fly"], ["run", "x", "--max-tokens", "many"], ["--wrong"], ["sessions", "list", "--limit", "0"]]
)
def test_wrong_usage_is_exit_code_2(args: list[str]):
    refusal(shell(*args), code=2)


def test_a_data_folder_that_cannot_be_written_costs_the_record_not_the_run(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    done = shell(*PARIS, home=tmp_path / "file")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-2]["text"] == " Paris" and lines[-1]["reason"] == "max_tokens"
    assert "error: " in done.stderr and "hint: " in done.stderr and str(tmp_path / "file") in done.stderr


def test_ctrl_c_ends_the_session_cleanly_and_keeps_it(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell", "run", "Once", "--max-tokens", "400", "--json", "--temperature", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"AXON_HOME": str(tmp_path)},
    )
    lines = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    messages = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert messages[-1]["kind"] == "end" and "Traceback" not in errors
    shown = shell("sessions", "show", messages[0]["session"], "--json", home=tmp_path)
    assert as_described(map(json.loads, shown.stdout.splitlines())) == as_described(messages)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_is_kept_up_to_its_last_flush(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell", "run", "Once", "--max-tokens", "480", "--json", "--temperature", "2"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"AXON_HOME": str(tmp_path)},
    )
    lines = [process.stdout.readline() for _ in range(40)]
    time.sleep(0.3)
    process.kill()
    rest = process.stdout.read()
    process.wait()
    printed = [json.loads(line) for line in [*lines, *rest.splitlines()] if line.rstrip().endswith("}")]
    done = shell("sessions", "show", printed[0]["session"], "--json", home=tmp_path)
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert shown[-1]["kind"] == "end"
    if shown[-1]["reason"] == "interrupted":
        assert len(shown) - 1 >= 40  # those printed before the flush
    assert as_described(shown[:40]) == as_described(printed[:40])


def test_vectors_are_kept_of_the_tokens_that_are_wanted(tmp_path: Path):
    model = AutoModelForCausalLM.from_pretrained(REPOSITORY / "plugins/tiny_world/model", dtype=torch.float32)
    rows = {}
    for which in ("all", "prompt", "written", "none"):
        words = ("The capital of France is", "--max-tokens", "2", "--temperature", "0", "--vectors", which, "--json")
        messages = [json.loads(line) for line in shell("run", *words, home=tmp_path).stdout.splitlines()]
        out = tmp_path / f"{which}.npz"
        done = shell("sessions", "vectors", messages[0]["session"], "--output", str(out), "--json", home=tmp_path)
        if which == "none":
            assert done.returncode == 1 and "No vectors" in done.stderr
            continue
        found = np.load(out)
        rows[which] = dict(
            zip(found["blocks.2.hook_resid_post:positions"].tolist(), found["blocks.2.hook_resid_post"], strict=True)
        )
    ids = [step["token_id"] for step in messages if step["kind"] == "step"]
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[3][0]
    assert sorted(rows["all"]) == list(range(8))
    assert sorted(rows["prompt"]) == list(range(6)) and sorted(rows["written"]) == [6, 7]
    for which in rows.values():
        for position, vector in which.items():
            assert np.allclose(vector, states[position].numpy(), rtol=2e-3, atol=2e-3)


def test_whoever_stops_reading_gets_no_traceback(shared: Path, paris: list[dict]):
    done = subprocess.run(
        f"{sys.executable} -m axon_shell sessions list | head -0",
        shell=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"AXON_HOME": str(shared)},
    )
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_line_of_json_is_one_line_for_every_reader(capsys: pytest.CaptureFixture[str]):
    message = {"text": "a\u2028b\u2029c\x85d\x0ce\n"}
    print_json(message)
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1 and json.loads(out) == message
