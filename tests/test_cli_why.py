"""`axon-shell why` and `axon-shell run --edit`, as a user types them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from axon_shell.cli import commands
from axon_shell.errors import AxonError

GREEDY = ("--max-tokens", "2", "--temperature", "0")
ROME = "tiny-world/2-res:185:set=8x"


def invoke(*words: str) -> Result:
    return CliRunner().invoke(commands, words, standalone_mode=False)


def lines(*words: str) -> list[dict]:
    result = invoke(*words, "--json")
    assert result.exception is None and not result.return_value, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_steering_and_asking_why_from_end_to_end() -> None:
    found = lines("run", "The capital of France is", *GREEDY, "--edit", ROME, "--from", "5", "--compare")
    starts = [one for one in found if one["kind"] == "start"]
    plain, steered = (one["session"] for one in starts)
    assert "edits" not in starts[0] and starts[1]["parent"] == {"session": plain, "position": 5}
    (edit,) = starts[1]["edits"]
    assert edit["value"] == pytest.approx(8 * 10.6427, abs=0.01) and edit["start"] == 5
    texts = ["".join(one["text"] for one in found if one["kind"] == "step" and not one["is_prompt"])]
    assert texts == [" Paris. Rome."]
    comparison = found[-1]
    assert comparison["kind"] == "comparison" and comparison["predictions"][-1]["next_b"]["text"] == " Rome"
    assert starts[0]["settings"] == starts[1]["settings"]

    shown = invoke("run", "The capital of France is", *GREEDY, "--edit", ROME, "--from", "5", "--compare").output
    assert "They part after position 5, ' is': ' Paris' and ' Rome'." in shown and "185:set=85.1" in shown

    (branch, *_) = lines("run", "", "--after", f"{plain}:5", *GREEDY, "--edit", "tiny-world/2-res:249:ablate")
    assert branch["parent"] == {"session": plain, "position": 5} and branch["edits"][0]["start"] == 5

    (why,) = lines("why", plain, "5")
    assert (
        why["token"]["text"] == " Paris" and why["followed"] and len(why["saes"]["tiny-world/2-res"]["features"]) > 10
    )
    assert sum(one["ablation"] is not None for one in why["saes"]["tiny-world/2-res"]["features"]) == 10
    (other,) = lines("why", plain, "5", "--token", "Rome", "--sae", "tiny-world/3-res", "--top", "0")
    assert other["token"]["text"] == " Rome" and list(other["saes"]) == ["tiny-world/3-res"]
    told = invoke("why", steered, "5", "--top", "3").output
    assert "' Rome', which followed" in told and "the capital city Rome is next" in told
    assert "direct: " in told and "gradient: " in told and "without what the SAE does not explain" in told


def test_what_cannot_be_is_told_with_a_hint() -> None:
    for words in (
        ("run", "x", "--edit", "tiny-world/3-res:1:ablate"),
        ("run", "x", "--edit", "tiny-world/2-res:1280:ablate"),
        ("run", "x", "--edit", "tiny-world/2-res:1:add=nan"),
        ("run", "x", "--edit", "tiny-world/2-res:1"),
        ("why", "nothing", "3"),
    ):
        error = invoke(*words).exception
        assert isinstance(error, AxonError) and error.hint, words
    assert "give --edit" in str(invoke("run", "x", "--compare").exception)
    assert invoke("sessions", "list", "--json").stdout.strip() == "[]"
