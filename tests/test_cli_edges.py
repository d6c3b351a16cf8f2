"""`axon-shell edges` as its user uses it, with no model loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stored import record, session_messages, start_message, step_message

from axon_shell.cli import commands
from axon_shell.errors import AxonError, InvalidSetting, NotFound
from axon_shell.records import Message
from axon_shell.store import Store, new_uid

SAE = "tiny-world/2-res"  # its weights are there, with no model loaded
TOGETHER = (3, 5, 12, 13, 21, 26, 37)  # positions at which 10 and 20 fire


def shell(*words: str) -> Result:
    return CliRunner().invoke(commands, ["edges", *words], standalone_mode=False)


def told(*words: str) -> str:
    result = shell(*words)
    assert result.exception is None, result.exception
    return result.stdout


def asked(*words: str) -> Message:
    return json.loads(told(*words, "--json"))


@pytest.fixture
def uid(home: Path) -> str:
    """Forty tokens: features 10 and 20 go together, the others fire as they like, 30 always."""
    steps = []
    for n in range(41):
        step = step_message(n, n < 9, saes=(SAE,), prompt=9)
        fired = {30: 1.0, 100 + 7 * n % 50: 2.0, 200 + 3 * n % 40: 2.5}
        fired |= {10: 4.0, 20: 3.0} if n in TOGETHER else {}
        step["saes"][SAE]["features"] = [
            {"feature": feature, "activation": value, "effect": value / 2} for feature, value in fired.items()
        ]
        steps.append(step)
    session = new_uid()
    store = Store(home)
    record(store, session, [start_message(session, saes=(SAE,)), *steps, session_messages(session)[-1]])
    store.close()
    return session


def test_an_association_comes_with_its_evidence(uid: str) -> None:
    found = asked(uid)
    (edge,) = found["edges"]
    assert {edge["a"], edge["b"]} == {10, 20} and edge["count"] == len(TOGETHER)
    assert edge["p"] <= edge["q"] < 0.05 < 1 < edge["lift"] and edge["phi"] == pytest.approx(1)
    assert found["expected"] <= 0.05 and (found["session"], found["sae"], found["by"]) == (uid, SAE, "association")
    assert [node["feature"] for node in found["nodes"] if node["always"]] == [30]
    words = told(uid[:-4])  # the beginning of the name is enough
    assert "1 edges drawn; at most about 0.1 expected by chance" in words and "fires nearly always" not in words
    assert "1 features fire nearly always" in words


def test_every_kind_is_told(uid: str) -> None:
    raw = asked(uid, "--kind", "co-activation", "--per-node", "1000")
    assert len(raw["edges"]) == raw["edges_total"] > 30 and raw["edges"][0]["count"] == len(TOGETHER)
    assert len(asked(uid, "--kind", "co-activation", "--always")["edges"]) > 0
    similar = asked(uid, "--kind", "similarity")
    assert all(0.3 <= abs(edge["cosine"]) <= 1 for edge in similar["edges"]) and similar["expected"] is None
    pushes = asked(uid, "--kind", "attribution")
    keys = {token["key"]: token["text"] for token in pushes["tokens"]}
    assert {edge["b"] for edge in pushes["edges"]} == keys.keys()
    for kind in ("association", "co-activation", "similarity", "attribution"):
        assert "edges drawn" in told(uid, "--kind", kind)


def test_chance_draws_nothing_of_what_goes_together(uid: str) -> None:
    assert asked(uid, "--chance")["edges"] == []
    assert "from shifted features" in told(uid, "--chance")
    chance = asked(uid, "--chance", "--kind", "co-activation")
    assert chance == asked(uid, "--chance", "--kind", "co-activation") and chance["edges"]
    result = shell(uid, "--chance", "--kind", "similarity")
    assert result.exception and "Chance draws no similarity" in str(result.exception)


def test_what_is_not_there_is_said(uid: str) -> None:
    for words, kind in ((("nonsense",), NotFound), ((uid, "--sae", "tiny-world/0-res"), InvalidSetting)):
        error = shell(*words).exception
        assert isinstance(error, kind) and isinstance(error, AxonError) and error.hint


def test_an_sae_whose_weights_are_elsewhere_has_no_directions(home: Path) -> None:
    uid = new_uid()
    store = Store(home)
    steps = [step_message(n, n < 9, saes=("m/1",), prompt=9) for n in range(10)]
    record(store, uid, [start_message(uid, saes=("m/1",)), *steps, session_messages(uid)[-1]])
    store.close()
    assert "The weights of this SAE are not on this machine" in told(uid, "--kind", "similarity")
