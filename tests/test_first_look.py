"""The recorded session that the very first start plays: that it is true, and that it comes once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from stored import record, session_messages

from axon_shell import session
from axon_shell.analysers import Analysers
from axon_shell.app import build_bridge
from axon_shell.bridge import Bridge
from axon_shell.config import Config, read_config
from axon_shell.labels import Labels
from axon_shell.plugins import catalogue
from axon_shell.records import Settings
from axon_shell.session import Annotator
from axon_shell.share import read_shared
from axon_shell.store import Store, new_uid

RECORDING = REPOSITORY / "plugins" / "tiny_world" / "first-look.axon"
AGAIN = "Tiny World or what a session holds has changed: record it anew with tools/first_look.py"


@contextmanager
def bridge() -> Iterator[Bridge]:
    """All that the page talks to, as a start makes it."""
    made = build_bridge(read_config())
    try:
        yield made
    finally:
        made.close()


def ask(bridge: Bridge, method: str, **params: Any) -> Any:
    answer = json.loads(bridge.call(method, json.dumps(params)))
    assert answer["ok"], answer["error"]
    return answer["value"]


# -- the recording ---------------------------------------------------------------


def test_the_recording_is_what_tiny_world_computes(tmp_path: Path):
    from axon_shell.engine.model import choose_device, load_model
    from axon_shell.engine.sae import load_sae

    start, *recorded = read_shared(RECORDING).messages
    spec, saes = catalogue(Config()).choose(start["model"], start["saes"])
    model = load_model(spec, choose_device("cpu"), print)
    loaded, annotate = [load_sae(sae, model, print) for sae in saes], Annotator(Labels([]), Analysers([]))
    store, settings = Store(tmp_path), Settings(**start["settings"])
    uid = new_uid()
    list(session.run(uid, start["prompt"], model, loaded, settings, annotate, store, lambda: False))
    now, *computed = store.messages(uid)
    store.close()
    assert alike(computed, recorded), AGAIN
    for part in ("model", "saes"):
        assert checksums(now["provenance"][part]) == checksums(start["provenance"][part]), AGAIN


def alike(one: Any, other: Any) -> bool:
    """Whether messages say the same, but for rounding and the time it took."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = one.keys() - {"ms", "ms_per_token"}
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in names)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == (pytest.approx(other, rel=1e-3, abs=1e-3) if isinstance(one, float) else other))


def checksums(made: dict[str, Any]) -> Any:
    """Those of weights, wherever they lie."""
    return made["sha256"] if "sha256" in made else {sae: checksums(by) for sae, by in made.items()}


def test_the_recording_is_small_reads_well_and_shows_all_layers():
    found = read_shared(RECORDING)
    start, *steps, end = found.messages
    assert RECORDING.stat().st_size < 150_000
    assert sorted(start["saes"]) == sorted(sae.id for sae in catalogue(Config()).saes_of("tiny-world"))
    text = "".join(step["text"] for step in steps if not step.get("is_bos"))
    assert text.startswith("The capital of France is Paris.") and text.endswith(".")
    assert 25 <= end["new_tokens"] <= 45 and end["reason"] == "end_of_text"


def test_the_recording_tells_nothing_of_whoever_recorded_it():
    found = read_shared(RECORDING)
    made = found.messages[0]["provenance"]
    assert found.labels == []  # those of Tiny World are in its plugin, and in no database before the user makes one
    assert made["model"]["weights"] == "tiny_world/model" and made["system"] in ("Linux", "Darwin", "Windows")
    assert {by["weights"].rpartition("/")[0] for by in made["saes"].values()} == {"tiny_world/saes"}


# -- the first start ---------------------------------------------------------------


def test_the_first_start_takes_it_in_once(home: Path):
    with bridge() as first:
        assert ask(first, "hello")["first"] is True
        assert not (home / "sessions.db").exists()  # making it takes a while: not before the page is there
        uid = ask(first, "first_look")["session"]
        (row,) = ask(first, "sessions", text="paris seine")["sessions"]
        assert (row["uid"], row["title"], row["status"]) == (uid, "A first look", "finished")
        _, *steps, _ = ask(first, "messages", session=uid)["messages"]
        told = {one["label"] for step in steps for one in step["saes"]["tiny-world/2-res"]["features"]}
        assert "a capital city is next, inside a sentence about a capital city" in told
        assert ask(first, "hello")["first"] is False and ask(first, "first_look") == {"session": None}
    assert not (home / "labels.db").exists()
    with bridge() as second:
        assert ask(second, "hello")["first"] is False
        assert ask(second, "delete_sessions", sessions=[uid])["deleted"] == [uid]
    with bridge() as third:
        assert ask(third, "hello")["first"] is False and ask(third, "first_look") == {"session": None}
        assert ask(third, "sessions")["sessions"] == []


def test_whoever_has_sessions_from_the_terminal_gets_none(home: Path):
    store, uid = Store(home), new_uid()
    record(store, uid, session_messages(uid))
    store.close()
    with bridge() as later:
        assert ask(later, "hello")["first"] is False and ask(later, "first_look") == {"session": None}
        assert [row["uid"] for row in ask(later, "sessions")["sessions"]] == [uid]


def test_where_nothing_can_be_stored_there_is_none(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "file").write_text("in the way")
    monkeypatch.setenv("AXON_HOME", str(home / "file"))
    with bridge() as blocked:
        assert ask(blocked, "hello")["first"] is False and ask(blocked, "first_look") == {"session": None}


def test_without_tiny_world_there_is_none(home: Path):
    (home / "config.toml").write_text('[plugins]\ndisable = ["tiny_world"]\n')
    with bridge() as other:
        assert ask(other, "hello")["first"] is False


def test_it_needs_neither_pytorch_nor_the_network():
    script = """
import sys, socket
socket.socket.connect = None
from axon_shell.app import build_bridge
from axon_shell.config import read_config
bridge = build_bridge(read_config())
uid = bridge.methods["first_look"]()["session"]
graph = bridge.methods["graph"](uid, "tiny-world/2-res", "association", 20)
print(len(graph["nodes"]) > 20, *sorted({"torch", "transformers", "sae_lens", "transformer_lens"} & sys.modules.keys()))
bridge.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.split() == ["True"]
