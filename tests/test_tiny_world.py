"""Tiny World is what its report says: text with true spans, facts learnt, SAEs and labels that measure up again."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HOME = Path(__file__).parents[1] / "plugins" / "tiny_world"
REPORT = json.loads((HOME / "report.json").read_text(encoding="utf-8"))
SOURCES = sorted(path.stem for path in (HOME / "labels").glob("*.json"))


def part(name: str) -> Any:
    """A module of the recipe; its modules import one another by plain names."""
    sys.path.insert(0, str(HOME))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(HOME))


world = part("world")


@pytest.fixture(scope="module")
def loaded() -> SimpleNamespace:
    """The model as any program would load it, its tokenizer, and the recipe's own measures."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(HOME / "model")
    model = AutoModelForCausalLM.from_pretrained(HOME / "model").eval()
    measure, reading, train_saes = part("measure"), part("reading"), part("train_saes")
    text = reading.sample(tokenizer, "for the tests", 12_000)
    layers = tuple(int(source.split("-")[0]) for source in SOURCES)
    return SimpleNamespace(
        model=model,
        tokenizer=tokenizer,
        measure=measure,
        text=text,
        vectors=reading.vectors(model, text, layers),
        saes={source: train_saes.load_sae(HOME / "saes" / source) for source in SOURCES},
    )


def labels_of(source: str) -> list[dict[str, Any]]:
    return json.loads((HOME / "labels" / f"{source}.json").read_text(encoding="utf-8"))["features"]


# -- the generator -------------------------------------------------------------


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_same_seed_gives_the_same_documents(seed: int) -> None:
    first, again = (list(itertools.islice(world.documents(seed), 5)) for _ in range(2))
    assert first == again


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_spans_say_what_the_text_says(seed: int) -> None:
    for document in itertools.islice(world.documents(seed), 5):
        assert (
            document.text == document.text.strip(" ")
            and "{" not in document.text
            and "  " not in document.text.strip()[:4]
        )
        for start, end, concept, kind in document.spans:
            assert 0 <= start < end <= len(document.text), concept
            words = document.text[start:end]
            if kind == world.TOKEN:
                assert words == words.strip() or concept == "a line break"
                if concept.startswith("the country "):
                    assert concept == f"the country {words}"
                elif concept == "a capital city":
                    assert words in {country.capital for country in world.COUNTRIES}
                elif concept == "a full stop":
                    assert words == "."
                elif concept.startswith("the word "):
                    assert concept == f"the word “{words}”"


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_world_never_contradicts_itself(seed: int) -> None:
    facts = {fact.prompt: fact.answer for fact in world.facts()}
    for document in itertools.islice(world.documents(seed), 8):
        for prompt, answer in facts.items():
            if prompt[0] not in "0123456789" and document.text.startswith(prompt + " "):
                assert document.text.startswith(prompt + answer), document.text


def test_facts_are_unambiguous_and_many() -> None:
    facts = world.facts()
    assert len(facts) == len({fact.prompt for fact in facts}) > 1500
    assert {"capital", "language", "river", "food", "currency", "addition", "subtraction"} <= {f.kind for f in facts}
    assert 30 <= len(world.COUNTRIES) <= 40


# -- the files -----------------------------------------------------------------


def test_files_stay_under_16_megabytes() -> None:
    files = [path for name in ("model", "saes", "labels") for path in (HOME / name).rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    assert total < 16e6
    assert total == REPORT["bytes"]


def test_report_says_what_its_data_say() -> None:
    page = (HOME / "REPORT.md").read_text(encoding="utf-8")
    assert page == part("recipe").report_page(REPORT)
    for source in SOURCES:
        found = REPORT["saes"][source]
        labels = [record["label"] for record in labels_of(source) if record["label"]]
        assert found["labelled"] == len(labels)
        assert found["f1_at_least_0.8"] == sum(label["f1"] >= 0.8 for label in labels)


def test_report_meets_the_targets() -> None:
    for kind, found in REPORT["model"]["facts"].items():
        share = 0.95 if kind in ("addition", "subtraction") else 1
        assert found["right"] >= share * found["of"], kind
    assert len(REPORT["saes"]) >= 3
    for found in REPORT["saes"].values():
        assert found["unexplained"] < 0.05 and found["fvu"] < 0.05
        assert 8 <= found["l0"] <= 32
        assert found["dead"] < 0.1
    assert REPORT["labelled_f1_at_least_0.8"] >= 200
    assert REPORT["held_out_tokens"] >= 100_000


@pytest.mark.parametrize("source", SOURCES)
def test_saes_say_how_they_want_to_be_read(source: str) -> None:
    cfg = json.loads((HOME / "saes" / source / "cfg.json").read_text(encoding="utf-8"))
    metadata = cfg["metadata"]
    assert cfg["dtype"] == "float32" and cfg["architecture"] == "jumprelu" and cfg["normalize_activations"] == "none"
    assert metadata["model_name"] == "tiny-world" and metadata["prepend_bos"] is True
    assert metadata["hook_name"] == f"blocks.{source.split('-')[0]}.hook_resid_post"
    assert not (metadata.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights")
    assert metadata.get("neuronpedia_id") is None
    assert [record["feature"] for record in labels_of(source)] == list(range(cfg["d_sae"]))


# -- the model -----------------------------------------------------------------


def greedy(loaded: SimpleNamespace, prompt: str, count: int) -> str:
    import torch

    ids = [0, *loaded.tokenizer(prompt).input_ids]
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return loaded.tokenizer.decode(ids[1:])[len(prompt) :]


def test_the_capital_of_france_is_paris(loaded: SimpleNamespace) -> None:
    assert greedy(loaded, "The capital of France is", 2) == " Paris."


def test_a_sample_of_facts_is_completed_correctly(loaded: SimpleNamespace) -> None:
    sample = [
        fact
        for fact in world.facts()
        if fact.kind not in ("addition", "subtraction") and not fact.kind.startswith("season")
    ][::23]
    for fact in sample:
        count = len(loaded.tokenizer(fact.answer).input_ids)
        assert greedy(loaded, fact.prompt, count) == fact.answer, fact


def test_answers_are_single_tokens_and_any_text_round_trips(loaded: SimpleNamespace) -> None:
    for country in world.COUNTRIES:
        for answer in country:
            assert len(loaded.tokenizer(f" {answer}").input_ids) == 1, answer
    for text in ("naïve 東京 🙂\tx\n\n  y", "\u0000\ud7ff", " leading and trailing "):
        assert loaded.tokenizer.decode(loaded.tokenizer(text).input_ids) == text


def test_the_model_computes_in_float32_and_ends_its_texts(loaded: SimpleNamespace) -> None:
    config = loaded.model.config
    assert {str(p.dtype) for p in loaded.model.parameters()} == {"torch.float32"}
    assert json.loads((HOME / "model" / "config.json").read_text())["n_ctx"] == config.n_positions == 512
    assert loaded.tokenizer.bos_token_id == loaded.tokenizer.eos_token_id == config.eos_token_id == 0
    assert "<|endoftext|>" in greedy(loaded, "One day Lily was at the park.", 120)


# -- SAEs and labels, measured again -------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_figures_hold_on_other_text(loaded: SimpleNamespace, source: str) -> None:
    found, _ = loaded.measure.figures(loaded.saes[source], loaded.vectors[int(source.split("-")[0])])
    assert found["unexplained"] < 0.05 and found["fvu"] < 0.05
    assert found["unexplained"] == pytest.approx(REPORT["saes"][source]["unexplained"], abs=0.005)
    assert 8 <= found["l0"] <= 32


@pytest.mark.parametrize("source", SOURCES)
def test_labels_hold_on_other_text(loaded: SimpleNamespace, source: str) -> None:
    _, acts = loaded.measure.figures(loaded.saes[source], loaded.vectors[int(source.split("-")[0])])
    records = [r for r in labels_of(source) if r["label"] and r["density"] > 0.004 and r["label"]["f1"] >= 0.8]
    assert len(records) >= 10
    concepts = [loaded.text.concepts[token] for token in loaded.text.kept.tolist()]
    for record in records[:: max(1, len(records) // 12)]:
        label = record["label"]
        kind = label["kind"]
        truth = {i for i, of_token in enumerate(concepts) if (label["text"], kind) in of_token}
        fired = set((acts[:, record["feature"]] > 0).nonzero().flatten().tolist())
        f1 = 2 * len(truth & fired) / max(1, len(truth) + len(fired))
        assert f1 == pytest.approx(label["f1"], abs=0.15), record


# -- the plugin ----------------------------------------------------------------


def test_the_plugin_registers_what_the_folder_holds() -> None:
    spec = importlib.util.spec_from_file_location("tiny_world_plugin", HOME / "__init__.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    models: list[Any] = []
    saes: list[Any] = []
    sources: list[Any] = []
    plugin.register_models(models.append, None)
    plugin.register_saes(saes.append, None)
    plugin.register_label_sources(sources.append, None)
    (model,), (source,) = models, sources
    assert model.id == "tiny-world" and model.sae in {sae.id for sae in saes} and model.size_bytes > 1e6
    assert sorted(sae.id for sae in saes) == [f"tiny-world/{name}" for name in SOURCES]
    for sae in saes:
        name = sae.id.split("/")[1]
        assert sae.hook == REPORT["saes"][name]["hook"] and sae.width == REPORT["saes"][name]["width"]
        assert sae.size_bytes > 1e5 and source.has(sae.id)
        known = source.labels(sae.id, range(sae.width))
        assert len(known) == REPORT["saes"][name]["labelled"]
        label = next(iter(known.values()))
        assert label.origin == "tiny-world" and label.score_name == "F1" and 0 < label.score <= 1
        assert set(label.details) == {"precision", "recall", "kind"}
        assert set(source.statistics(sae.id, 0)) == {"density", "max_activation"}
    assert not source.has("gpt2-small/8-res-jb") and not source.has("tiny-world/../model")
    assert source.labels("gpt2-small/8-res-jb", [1]) == {} and source.labels(model.sae, [10**9]) == {}
