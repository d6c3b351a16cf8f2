"""Training an SAE: the right activations, each architecture to a usable end, and going on after whatever happens."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from random_model import CONTEXT, WIDTH, make_model
from safetensors.torch import load_file
from test_cli import refusal, shell

from axon_shell import training
from axon_shell.corpus import cut_up
from axon_shell.engine import activations
from axon_shell.engine.activations import Activations, Position, Reading
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.quality import losses_on
from axon_shell.engine.sae import load_sae
from axon_shell.engine.stream import Stream
from axon_shell.engine.train import BATCH, STATE, train
from axon_shell.errors import AxonError, Busy, CorpusError, InvalidSetting, TrainingError
from axon_shell.labels import LabelStore
from axon_shell.labels.rows import OwnLabel, Promoted
from axon_shell.pieces import Pieces, pieces_of
from axon_shell.plugins import Catalogue, add_trained
from axon_shell.records import ModelSpec, SaeSpec
from axon_shell.training import ARCHITECTURES, TrainingSettings, done, name_for, unfinished

HOOK = "blocks.1.hook_resid_post"
FEW = TrainingSettings(width=96, l0=6, tokens=12_000)
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog")


def write_corpus(path: Path, words: int = 5000) -> Path:
    chance = random.Random(0)
    lines = (" ".join(chance.choices(WORDS, k=chance.randint(3, 30))) for _ in range(words // 16))
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp("model")), torch.device("cpu"), lambda stage: None)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    return pieces_of(write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl"))


def never() -> bool:
    return False


def messages(model: Model, text: Pieces, name: str = "new", settings: TrainingSettings = FEW, **how: Any) -> list[dict]:
    return list(train(model, HOOK, name, text, settings, how.pop("stopped", never), **how))


def stop_after(checks: int) -> Any:
    """Stopped when asked so often."""
    asked: Iterator[int] = iter(range(10**9))
    return lambda: next(asked) >= checks


# -- activations ---------------------------------------------------------------


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", HOOK, "blocks.1.attn.hook_z", "blocks.2.attn.hook_q"])
def test_activations_are_what_a_session_sees_at_each_word(model: Model, hook: str):
    reading = Reading(model, hook)
    (rows,) = reading.rows(reading.model.tokens("the cat sat on a mat", None), True, reading.lengths())
    ids = rows[0].tolist()
    assert ids[0] == model.bos
    with Stream(model, [hook], CONTEXT) as stream:
        expected = stream.feed(ids).captured[hook][1:]
    assert torch.allclose(reading.activations(rows), expected, atol=1e-5)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_batches_are_shuffled_bounded_and_the_same_when_read_again(
    model: Model, text: Pieces, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(activations, "CHUNK", 8 * BATCH)
    reading = Reading(model, HOOK)
    stream = Activations(reading, text.pieces, WIDTH, BATCH, 3, Position())
    positions, batches = [], []
    for _ in range(40):
        batches.append(next(stream))
        positions.append(stream.at)
        assert len(stream.chunk) <= 8 * BATCH + 2 * activations.AT_ONCE
    assert positions[-1].passes >= 1 and positions[-1].chunk >= 2  # the end of a pass and of several chunks lie between
    for at in (0, 12, 25, 38):
        again = Activations(reading, text.pieces, WIDTH, BATCH, 3, positions[at])
        assert torch.equal(next(again), batches[at + 1])
    assert not torch.equal(next(Activations(reading, text.pieces, WIDTH, BATCH, 4, Position())), batches[0])


# -- from the beginning to the end ---------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_ends_as_a_usable_sae_with_its_metadata(model: Model, text: Pieces, architecture: str):
    start, *_, measuring, end = messages(model, text, settings=replace(FEW, architecture=architecture))
    assert (start["kind"], measuring["kind"], end["kind"]) == ("start", "measuring", "end")
    assert any("it is read about" in note for note in start["notes"])
    sae = load_sae(spec_of("new"), model, lambda stage: None)
    about = sae.sae.cfg.metadata
    assert (about.hook_name, about.model_name, about.prepend_bos, about.context_size) == (HOOK, "random", True, CONTEXT)
    assert about.training_architecture == {"matryoshka": "matryoshka_batchtopk"}.get(architecture, architecture)
    assert sae.notes == () and sae.sae.cfg.normalize_activations == "none"
    assert torch.allclose(sae.sae.W_dec.norm(dim=-1), torch.ones(96), atol=1e-5)
    facts = json.loads((done("random", "new") / training.FACTS).read_text())
    assert facts["quality"] == end["quality"] and facts["corpus"]["sha256"] == text.sha256
    assert 0 < end["quality"]["unexplained"] < 2 and 0 <= end["quality"]["dead"] <= 1
    assert not unfinished("random", "new").exists()


def spec_of(name: str) -> SaeSpec:
    """The SAE as the catalogue has it."""
    found = Catalogue(models={"random": ModelSpec("random", "Random", "gpt2", Path(), CONTEXT, 0)})
    (done("random", name).with_name(".other.new")).mkdir(exist_ok=True)  # one that was never finished
    (done("random", name).with_name(".other.new") / "cfg.json").write_text("{")
    add_trained(found)
    assert list(found.saes) == [f"random/{name}"] and not found.problems
    return found.saes[f"random/{name}"]


def test_an_sae_of_a_model_that_is_gone_is_a_problem_told_once(model: Model, text: Pieces):
    messages(model, text)
    found = Catalogue()
    add_trained(found)
    add_trained(found)
    (problem,) = found.problems
    assert problem.name == "SAE random/new" and "which is no model" in problem.message


def test_progress_tells_how_it_goes_and_training_helps(model: Model, text: Pieces, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("axon_shell.engine.train.TOLD_EVERY", 0)
    more = replace(FEW, tokens=40_000)  # it begins well: a few steps change little
    said = [one for one in messages(model, text, settings=more) if one["kind"] == "progress"]
    assert [one["step"] for one in said] == list(range(1, len(said) + 1)) and len(said) == -(-more.tokens // BATCH)
    assert said[-1]["unexplained"] < 0.8 * said[0]["unexplained"] and said[-1]["loss"] < said[0]["loss"]
    assert all(one["of"] == more.tokens and one["tokens"] == one["step"] * BATCH for one in said)
    assert said[0]["l0"] == pytest.approx(6, abs=0.01) and said[-1]["seconds_left"] <= said[0]["seconds_left"]


def test_what_an_sae_costs_the_model_is_nothing_where_it_is_perfect(model: Model, text: Pieces):
    messages(model, text)
    sae, reading = load_sae(spec_of("new"), model, lambda stage: None), Reading(model, HOOK)
    kept: list[torch.Tensor] = []
    sae.sae.encode, sae.sae.decode = lambda x: kept.append(x) or x, lambda x: kept.pop()
    losses = losses_on(model, sae, reading, text.pieces[:2])
    assert losses["loss_with"] == pytest.approx(losses["loss"], abs=1e-5)
    assert abs(losses["loss_without"] - losses["loss"]) > 1e-3


# -- going on ------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["batchtopk", "standard", "jumprelu"])
def test_stopped_and_resumed_is_the_same_as_never_stopped(
    model: Model, text: Pieces, architecture: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(activations, "CHUNK", 8 * BATCH)  # so that a stop falls into the second of three
    settings = replace(FEW, architecture=architecture)
    messages(model, text, "whole", settings)
    for times in range(3):
        *_, last = messages(model, text, "parts", settings, stopped=stop_after(7 - times), resume=times > 0)
        assert last["kind"] == "stopped" and (unfinished("random", "parts") / STATE).exists()
    start, *_, end = messages(model, text, "parts", settings, resume=True)
    assert start["resumed_at"] == 18 * BATCH and end["kind"] == "end"
    whole, parts = (load_file(done("random", name) / "sae_weights.safetensors") for name in ("whole", "parts"))
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=1e-6), key


def test_a_checkpoint_goes_on_only_as_it_was_begun(model: Model, text: Pieces, tmp_path: Path):
    with pytest.raises(TrainingError, match="There is no checkpoint of random/new"):
        messages(model, text, resume=True)
    messages(model, text, stopped=stop_after(2))
    with pytest.raises(TrainingError, match="is of another training"):
        messages(model, text, settings=replace(FEW, l0=7), resume=True)
    with pytest.raises(CorpusError, match="is not the text with which this training began"):
        messages(model, pieces_of(write_corpus(tmp_path / "other.jsonl", 4000)), resume=True)
    first = train(model, HOOK, "new", text, FEW, never, resume=True)
    next(first)
    with pytest.raises(Busy, match="random/new is being trained already"):
        messages(model, text, resume=True)
    first.close()
    path = unfinished("random", "new") / STATE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="is damaged"):
        messages(model, text, resume=True)


def test_a_full_disk_is_told_and_the_checkpoint_before_stays(model: Model, text: Pieces):
    messages(model, text, stopped=stop_after(3))
    path = unfinished("random", "new") / STATE
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # a file cannot grow, as on a full disk
    try:
        with pytest.raises(TrainingError, match=r"cannot be written: .*File too large"):
            messages(model, text, stopped=stop_after(3), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert messages(model, text, resume=True)[-1]["kind"] == "end"


@pytest.mark.parametrize(("words", "says"), [("", "no text"), ("the cat", "too little text")])
def test_too_little_text_is_told(model: Model, tmp_path: Path, words: str, says: str):
    path = tmp_path / "little.txt"
    path.write_text(words)
    with pytest.raises(CorpusError, match=says):
        messages(model, pieces_of(path))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"architecture": "gated"}, "no architecture 'gated'"),
        ({"tokens": 5}, "tokens must be from 10,000"),
        ({"l0": 0}, "l0 must be from 1"),
        ({"width": 20, "l0": 20}, "cannot fire at every token"),
        ({"lr": 2.0}, "lr must be from 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], says: str):
    with pytest.raises(InvalidSetting, match=says):
        TrainingSettings(**wrong)


def test_names_are_names_of_folders():
    assert name_for("blocks.2.hook_resid_post", FEW) == "2-resid_post-batchtopk"
    assert name_for("blocks.11.attn.hook_z", replace(FEW, architecture="topk")) == "11-attn-z-topk"
    for name in (name_for("ln_final.hook_in", FEW), "mine.2", "a+b"):
        training.require_name(name)
    for name in ("", "..", "a/b", "a b", ".hidden", "end.", "é", "-x"):
        with pytest.raises(AxonError, match="cannot be the name"):
            training.require_name(name)


# -- in the terminal -----------------------------------------------------------

TINY = ("train-sae", "tiny-world", "blocks.2.hook_resid_post", "--name", "mine", "--width", "64", "--l0", "8")


def test_killed_in_the_middle_it_goes_on_and_can_be_used(tmp_path: Path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("The capital of France is Paris. In Japan people speak Japanese. 3 + 4 = 7.\n" * 400)
    command = [*TINY, "--corpus", str(corpus), "--tokens", "40000", "--checkpoint-every", "0", "--json"]
    environment = os.environ | {"AXON_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell", *command],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environment,
        text=True,
    )
    assert process.stdout
    seen = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [one["kind"] for one in seen] == ["start", "progress", "progress"]

    again = refusal(shell(*command, home=tmp_path / "home"))
    assert "tiny-world/mine was begun already." in again and "--resume" in again
    wrong = refusal(shell(*command[:-1], "--lr", "0.1", "--resume", home=tmp_path / "home"))
    assert "begun with lr = 0.0, not 0.1" in wrong
    with closing(LabelStore(tmp_path / "home")) as labels:  # what is known of another SAE of that name
        labels.put_promoted("tiny-world/mine", {3: Promoted(((" Paris", 1.0),), (), 9.0, 4.0, 3.0)})
        labels.put_own("tiny-world/mine", 3, OwnLabel("what I called it", ""))
    gone_on = shell(*TINY, "--resume", "--json", home=tmp_path / "home")
    assert gone_on.returncode == 0, gone_on.stderr
    with closing(LabelStore(tmp_path / "home")) as labels:
        assert not labels.known("tiny-world/mine", "", [3]).promoted
        assert labels.all_own("tiny-world/mine")["tiny-world/mine", 3].label == "what I called it"
    lines = [json.loads(line) for line in gone_on.stdout.splitlines()]
    assert lines[0]["resumed_at"] >= seen[2]["tokens"] - BATCH and lines[-1]["kind"] == "end"

    (row,) = (
        sae
        for sae in json.loads(shell("saes", "tiny-world", "--json", home=tmp_path / "home").stdout)
        if sae["id"] == "tiny-world/mine"
    )
    assert row["installed"] and row["width"] == 64 and row["about"].startswith("Trained here on corpus.txt: batchtopk")
    ran = shell(
        *("run", "The capital of France is", "--sae", "tiny-world/mine", "--max-tokens", "1", "--json"),
        home=tmp_path / "home",
    )
    assert ran.returncode == 0 and '"tiny-world/mine"' in ran.stdout
    assert "is trained already" in refusal(shell(*command, home=tmp_path / "home"))


def test_interrupted_it_says_how_to_go_on(tmp_path: Path):
    corpus = tmp_path / "corpus.md"
    corpus.write_text("The capital of France is Paris. In Japan people speak Japanese. 3 + 4 = 7.\n" * 400)
    command = [*TINY, "--corpus", str(corpus), "--tokens", "100000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell", *command],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        cwd=REPOSITORY,
        env=os.environ | {"AXON_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    begun = process.stdout.readline()
    assert "tiny-world/mine: batchtopk, 64 features, L0 8" in begun
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "--resume goes on from there" in out and "it is read about" in out
    assert (tmp_path / "home" / "training" / "tiny-world" / "mine" / STATE).is_file()


def test_what_cannot_be_trained_is_refused(tmp_path: Path):
    assert "There is no model 'tiny-word'" in refusal(shell("train-sae", "tiny-word", HOOK, "--corpus", "x"))
    assert "There is no file or folder" in refusal(shell(*TINY, "--corpus", str(tmp_path / "none"), home=tmp_path))
    assert "Missing option '--corpus'" in refusal(shell(*TINY, home=tmp_path), 2)
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    wrong = refusal(
        shell("train-sae", "tiny-world", "blocks.9.hook_resid_post", "--corpus", str(corpus), home=tmp_path)
    )
    assert "Tiny World has no hook point blocks.9.hook_resid_post" in wrong


@pytest.mark.parametrize("text", ["", "a", "x" * 5000, "word " * 1000, "line\n" * 3000, " " * 4001, "\n" * 4500])
def test_a_text_that_the_page_sends_is_cut_into_documents_and_nothing_is_lost(text: str) -> None:
    found = list(cut_up(text, training.PART))
    assert "".join(found) == text and all(0 < len(part) <= training.PART for part in found)
