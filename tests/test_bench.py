"""What `axon-shell bench` measures is what a session does, and what it counts is what there is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY
from random_model import CONTEXT, FEATURES, WIDTH, make_model, make_sae

from axon_shell.engine import bench
from axon_shell.engine.generate import generate
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.stream import Stream
from axon_shell.records import Settings, Step
from benchmarks import calibrate, edges, edges_tiny_world, labels, library, steering


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, list[Sae]]:
    folder = tmp_path_factory.mktemp("bench")
    model = load_model(make_model(folder / "model"), torch.device("cpu"), lambda stage: None)
    return model, [load_sae(make_sae(folder / "sae", "blocks.1.hook_resid_pre"), model, lambda stage: None)]


def test_bytes_are_those_of_every_weight_once(loaded: tuple[Model, list[Sae]]) -> None:
    model, saes = loaded
    blocks = sum(p.numel() for p in model.network.transformer.h.parameters())
    unembed = model.network.lm_head.weight.numel()
    assert bench.bytes_per_token(model, [], 0) == 4 * (blocks + unembed)
    assert bench.bytes_per_token(model, saes, 0) - bench.bytes_per_token(model, [], 0) == 4 * WIDTH * FEATURES
    assert bench.bytes_per_token(model, [], 10) - bench.bytes_per_token(model, [], 0) == 10 * 2 * 3 * WIDTH * 4


def test_measuring_leaves_everything_as_it_was(loaded: tuple[Model, list[Sae]]) -> None:
    model, saes = loaded
    threads, feed, read = torch.get_num_threads(), Stream.feed, Sae.read
    (speed,) = bench.measure(model, saes, [8, CONTEXT], lambda stage: None)  # the second does not fit
    assert speed.context == 8 and speed.gain == speed.naive / speed.ours > 0
    assert sum(speed.shares.values()) == pytest.approx(1) and set(speed.shares) == {*bench.PARTS, "rest"}
    assert all(share > 0 for share in speed.shares.values())
    assert 0 < speed.pass_and_encode <= speed.prompt
    assert (torch.get_num_threads(), Stream.feed, Sae.read) == (threads, feed, read)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_the_naive_loop_reads_what_a_session_reads(loaded: tuple[Model, list[Sae]]) -> None:
    model, saes = loaded
    oracle = bench.naive_model(model)
    ids = model.tokens("the cat sat", model.bos)
    seen: list[torch.Tensor] = []
    encode = saes[0].sae.encode
    saes[0].sae.encode = lambda x: seen.append(encode(x)) or seen[-1]
    try:
        assert 0 <= bench.naive_step(oracle, saes, ids) < model.network.config.vocab_size
    finally:
        saes[0].sae.encode = encode
    *steps, _ = generate(model, saes, ids, True, Settings(max_tokens=0, top_features=200), lambda: False)
    last = steps[-1]
    assert isinstance(last, Step)
    for active in last.saes[saes[0].spec.id].features:
        assert float(seen[0][0, active.feature]) == pytest.approx(active.activation, abs=1e-4)


def test_bench_in_the_terminal() -> None:
    command = [sys.executable, "-m", "axon_shell", "bench", "--context", "16", "--context", "5000"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    start, speed = (json.loads(line) for line in done.stdout.splitlines())
    assert (start["kind"], start["model"]) == ("start", "tiny-world")
    assert start["tokens_per_second"] > 1 and start["peak_memory"] > 1e8 and start["machine"]
    assert speed["context"] == 16 and speed["ours"] > 0 and speed["over_floor"] > 1
    shown = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120).stdout
    assert "tiny-world with tiny-world/2-res" in shown and "blocks / unembedding / SAE / rest" in shown


def test_the_benchmark_of_the_library_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "STAGES", (2, 5))
    monkeypatch.setattr(library, "TOKENS", 30)
    library.main(["--minutes", "1"])
    table = capsys.readouterr().out
    assert "| 2 |" in table and "| 5 |" in table and "What keeping a token costs" in table


def test_the_benchmark_of_labels_measures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(labels, "FEATURES", 300)
    monkeypatch.setattr(labels, "BATCH", 64)
    labels.main()
    table = capsys.readouterr().out
    assert "10 files" in table and "importing 600 labels" in table
    assert "'capital': 50 shown" in table and "'zebra': 0 shown" in table


def test_the_benchmark_of_steering_counts_what_the_model_says() -> None:
    """Three countries with labelled features after the last layer; with nothing to steer, nothing is moved."""
    bench = steering.Bench()
    assert len(bench.lands) == 40 and steering.Land("France", "Paris") in bench.lands
    bench.lands = [one for one in bench.lands if one.name in ("France", "Romania", "Japan")]
    labelled, about, first, home = steering.attributed(bench, "3-res")
    assert 0 < about <= labelled <= 30 and first == 3
    assert bench.at_home("3-res", range(bench.saes["3-res"].spec.width)) < home < 1
    pairs, hits, moved = steering.boosted(bench, ("3-res",), "capital", 8, None)
    assert pairs == 6 and 3 <= hits <= moved <= pairs
    assert steering.boosted(bench, ("3-res",), "capital", 0, None) == (6, 0, 0)
    moved, left = steering.ablated(bench, steering.SOURCES, "top", None)
    assert moved >= 2 and left < 0.5


def test_the_benchmark_of_calibrating_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(calibrate.TOKENS, "tiny-world/2-res", 2_000)
    calibrate.main(["tiny-world/2-res"])
    table = capsys.readouterr().out
    assert "| tiny-world/2-res |" in table and "µs a token" in table and "%" in table


def test_the_benchmark_of_edges_measures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(edges, "LENGTHS", (40,))
    monkeypatch.setattr(edges, "TIMED", (50,))
    edges.main(1)
    table = capsys.readouterr().out
    assert "| 40 tokens | gappy bursts |" in table and "| 40 tokens, 24,576 features" in table and "| 50 | " in table


def test_associations_of_tiny_world_hold_in_other_text_of_its_generator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(edges_tiny_world, "LENGTHS", (400,))
    edges_tiny_world.main(16_000, 4)
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines()[2:]]
    share = {row[1]: (float(row[2].replace(",", "")), int(row[3].removesuffix(" %"))) for row in rows}
    assert share["association"][0] > 10 and share["association"][1] > 80
    assert share["association, calibrated"][0] > 3 * share["association"][0]
    assert share["association, calibrated"][1] > 80 > share["co-activation"][1]
