"""`axon-shell sessions` as its user uses it, with no model loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stored import record, session_messages, start_message, step_message

from axon_shell.cli import commands
from axon_shell.errors import AxonError
from axon_shell.store import Store, new_uid


def shell(*words: str) -> Result:
    return CliRunner().invoke(commands, ["sessions", *words], standalone_mode=False)


def told(*words: str) -> str:
    result = shell(*words)
    assert result.exception is None, result.exception
    return result.stdout


def asked(*words: str):  # type: ignore[no-untyped-def]
    return json.loads(told(*words, "--json"))


def refused(*words: str) -> AxonError:
    error = shell(*words).exception
    assert isinstance(error, AxonError), error
    return error


@pytest.fixture
def uids(home: Path) -> list[str]:
    """Three sessions, the last one read by another SAE."""
    store = Store(home)
    found = []
    for prompt, saes in (("The capital of France is", ("m/1",)), ("In Italy", ("m/1",)), ("In Spain", ("m/2",))):
        uid = new_uid()
        steps = [step_message(n, n < 9, saes=saes, prompt=9) for n in range(10)]
        end = session_messages(uid)[-1]
        record(store, uid, [start_message(uid, prompt, saes), *steps, end])
        found.append(uid)
    store.close()
    return found


def test_the_list_can_be_narrowed(uids: list[str]) -> None:
    assert [row["uid"] for row in asked("list")] == uids[::-1]
    assert [row["uid"] for row in asked("list", "--sae", "m/2")] == uids[2:]
    assert [row["uid"] for row in asked("list", "--model", "other")] == []
    assert len(asked("list", "--since", "2020-01-01")) == 3 and asked("list", "--until", "2020-01-01T10:00") == []
    assert "In Spain" in told("list", "--limit", "1") and "France" not in told("list", "--limit", "1")


def test_search_by_words_and_by_feature(uids: list[str], home: Path) -> None:
    assert [row["uid"] for row in asked("search", "capital fr")] == uids[:1]
    assert told("search", "nothing like it").strip() == "Nothing yet."
    store = Store(home)
    feature = store.messages(uids[0])[3]["saes"]["m/1"]["features"][0]
    store.close()
    rows = asked("search", "--feature", f"m/1:{feature['feature']}")
    assert sorted(row["session"] for row in rows) == sorted(uids[:2])  # the same steps in both
    assert rows[0]["activation"] >= feature["activation"] and rows[0]["piece"].startswith(" w")
    assert asked("search", "--feature", "m/9:1") == []
    for wrong in ([], ["--feature", "5"], ["--feature", "m/1:x"]):
        assert "UsageError" in repr(shell("search", *wrong).exception)


def test_edit_delete_restore(uids: list[str]) -> None:
    row = asked("edit", uids[1], "--title", "Rome", "--note", "a\nb", "--pin")[0]
    assert (row["title"], row["note"], row["pinned"]) == ("Rome", "a\nb", True)
    assert [row["uid"] for row in asked("list", "--pinned")] == [uids[1]]
    assert asked("edit", uids[1], "--no-pin")[0]["title"] == "Rome"
    assert asked("delete", uids[1]) == {"deleted": [uids[1]]}
    assert refused("show", uids[1]).kind == "not_found"
    assert [row["uid"] for row in asked("list", "--deleted")] == [uids[1]]
    assert asked("restore", uids[1]) == {"restored": [uids[1]]}
    assert refused("restore", uids[1]).kind == "not_found" and refused("delete", "0").kind == "not_found"
    assert "for good" in told("delete", uids[1], uids[2], "--now")
    assert refused("restore", uids[1]).hint
    assert [row["uid"] for row in asked("list")] == uids[:1]
    assert "UsageError" in repr(shell("edit", uids[0]).exception)


def test_compare(uids: list[str]) -> None:
    found = asked("compare", uids[0], uids[1])
    assert found["sae_a"] == found["sae_b"] == "m/1" and found["aligned"] == 9
    assert (found["only_a"], found["only_b"]) == (0, 0) and found["both"] == len(found["features"])
    found = asked("compare", uids[0], uids[2])
    assert (found["sae_a"], found["sae_b"], found["both"]) == ("m/1", "m/2", 0)
    assert "9 tokens match of 9 and 9." in told("compare", uids[0], uids[1], "--limit", "2")
    assert "not read by m/2" in refused("compare", uids[0], uids[2], "--sae", "m/2").message
    assert refused("compare", uids[0], uids[1], "--sae", "m/1", "--sae", "m/1", "--sae", "m/1").kind


def test_everything_to_another_machine(
    uids: list[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.axon"
    assert asked("export", uids[0], "--as", "axon", "--output", str(path))["bytes"] == path.stat().st_size
    shown = told("show", uids[0], "--json")
    monkeypatch.setenv("AXON_HOME", str(tmp_path / "other"))
    found = asked("import", str(path))
    assert found["session"] == uids[0] and found["added"]
    assert json.loads(told("show", uids[0], "--json").splitlines()[4]) == json.loads(shown.splitlines()[4])
    assert "is here already" in told("import", str(path))
    path.write_bytes(b"rubbish")
    error = refused("import", str(path))
    assert error.kind == "session_file" and error.hint
    assert len(asked("list")) == 1


def test_rebuild(uids: list[str]) -> None:
    assert asked("rebuild")["bytes"] > 10_000
    assert [row["uid"] for row in asked("search", "capital")] == uids[:1]


def test_no_model_is_needed(uids: list[str], home: Path) -> None:
    script = f"""
import sys
from click.testing import CliRunner
from axon_shell.cli import commands
for words in (["search", "capital"], ["compare", {uids[0]!r}, {uids[1]!r}], ["export", {uids[0]!r}, "--as", "axon",
              "--output", "-"], ["edit", {uids[0]!r}, "--pin"], ["delete", {uids[2]!r}]):
    result = CliRunner().invoke(commands, ["sessions", *words], standalone_mode=False)
    assert result.exception is None, result.exception
print(*sorted({{"torch", "transformers", "sae_lens", "httpx"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | {"AXON_HOME": str(home)}
    )
    assert done.stdout.strip() == "", done.stderr
    assert done.returncode == 0, done.stderr
