"""Make Tiny World from nothing: tokenizer, model, SAEs, labels and REPORT.md, from one seed.

    python plugins/tiny_world/recipe.py [--out DIR] [--seed 0] [--from model|saes|labels]

Needs torch, transformers and sae-lens; no network and no graphics card. Without --out it replaces the files beside
this script. --from skips the stages before the one named and reads what they left in the folder. The same seed on the
same machine and library versions gives the same files; elsewhere rounding differs and the figures may move a little.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import measure
import reading
import torch
import train_model
import train_saes
from world import COUNTRIES

log = logging.getLogger("tiny-world")

MODEL_STEPS = 3500
SAE_VECTORS = 300_000  # activations kept per layer
SAE_SAMPLES = 900_000  # of them seen in training, with repeats
HELD_OUT = 120_000  # tokens
STAGES = ("model", "saes", "labels")


def main() -> None:
    """Run the stages asked for."""
    parser = argparse.ArgumentParser(description="Make Tiny World: tokenizer, model, SAEs, labels, report.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="first", choices=STAGES, default="model", help="stage to begin with")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out, seed = arguments.out, arguments.seed
    minutes = json.loads((out / "report.json").read_text())["minutes"] if arguments.first != "model" else {}
    for stage in STAGES[STAGES.index(arguments.first) :]:
        start = time.monotonic()
        report = {"model": make_model, "saes": make_saes, "labels": make_labels}[stage](out, seed)
        minutes[stage] = round((time.monotonic() - start) / 60, 1)
        (out / "report.json").write_text(json.dumps({"minutes": minutes, "seed": seed} | report, indent=2) + "\n")
    (out / "REPORT.md").write_text(report_page(json.loads((out / "report.json").read_text())))


def make_model(out: Path, seed: int) -> dict[str, Any]:
    """Tokenizer and language model."""
    folder = out / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train_model.train_model(folder, train_model.make_tokenizer(folder, seed), seed, MODEL_STEPS)
    return {}


def make_saes(out: Path, seed: int) -> dict[str, Any]:
    """One SAE per layer."""
    model, tokenizer = train_model.load_model(out / "model")
    shutil.rmtree(out / "saes", ignore_errors=True)
    torch.manual_seed(seed)
    begin = train_saes.beginnings(model, tokenizer, seed)
    vectors = train_saes.gather(model, tokenizer, seed, SAE_VECTORS)
    for layer in train_saes.LAYERS:
        train_saes.train_sae(out / "saes" / f"{layer}-res", layer, vectors.pop(layer), begin[layer], seed, SAE_SAMPLES)
    return {}


def make_labels(out: Path, seed: int) -> dict[str, Any]:
    """Labels of all features, and the figures of the report, from the saved files."""
    model, tokenizer = train_model.load_model(out / "model")
    choosing = reading.sample(tokenizer, f"{seed} choosing", HELD_OUT)
    held_out = reading.sample(tokenizer, f"{seed} held out", HELD_OUT)
    known = reading.frequent(choosing)
    log.info("labels: %d concepts", len(known))
    choosing_concepts, held_out_concepts = (reading.matrix(text, known) for text in (choosing, held_out))
    here, there = (reading.vectors(model, text, train_saes.LAYERS) for text in (choosing, held_out))
    (out / "labels").mkdir(exist_ok=True)
    report: dict[str, Any] = {"model": model_figures(model, tokenizer), "saes": {}}
    before_answer = {}
    for layer in train_saes.LAYERS:
        name = f"{layer}-res"
        sae = train_saes.load_sae(out / "saes" / name)
        found, acts = measure.figures(sae, there[layer])
        chosen_by = measure.agreement(choosing_concepts, measure.figures(sae, here[layer])[1] > 0)[2]
        features = measure.label(chosen_by, acts, held_out_concepts, list(known))
        page = {"sae": f"tiny-world/{name}", "held_out_tokens": len(held_out.kept), "features": features}
        lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in features)
        (out / "labels" / f"{name}.json").write_text(
            json.dumps(page | {"features": []}, ensure_ascii=False)[:-2] + "\n" + lines + "\n]}\n"
        )
        labelled = [record["label"] for record in features if record["label"]]
        before_answer[name] = named_before_answer(model, tokenizer, sae, layer, features)
        report["saes"][name] = {
            "hook": train_saes.hook_name(layer),
            "width": sae.cfg.d_sae,
            **{key: round(value, 5) for key, value in found.items()},
            "labelled": len(labelled),
            "f1_at_least_0.8": sum(found["f1"] >= 0.8 for found in labelled),
            "kinds": {kind: sum(found["kind"] == kind for found in labelled) for kind in ("token", "context", "next")},
            "before_answer": share(before_answer[name].values()),
        }
        log.info("%s %s", name, report["saes"][name])
    report["held_out_tokens"] = len(held_out.kept)
    report["labelled_f1_at_least_0.8"] = sum(found["f1_at_least_0.8"] for found in report["saes"].values())
    report["before_answer_in_any_sae"] = share(
        tuple(any(named[country.name][index] for named in before_answer.values()) for index in range(2))
        for country in COUNTRIES
    )
    report["bytes"] = sum(
        path.stat().st_size
        for part in ("model", "saes", "labels")
        for path in (out / part).rglob("*")
        if path.is_file()
    )
    report["versions"] = {name: version(name) for name in ("torch", "transformers", "tokenizers", "sae-lens")}
    report["versions"]["python"] = platform.python_version()
    return report


def model_figures(model: torch.nn.Module, tokenizer: Any) -> dict[str, Any]:
    """Size of the model and its score on the facts, of one kind and all together."""
    score = train_model.check_facts(model, tokenizer)
    weights = sum(p.numel() for p in model.parameters())
    log.info("model: %d weights, facts %s", weights, score)
    return {
        "weights": weights,
        "vocabulary": len(tokenizer),
        "layers": model.config.n_layer,
        "d_model": model.config.n_embd,
        "context": model.config.n_positions,
        "facts": {kind: {"right": right, "of": total} for kind, (right, total) in sorted(score.items())},
    }


def share(found: Iterable[tuple[bool, bool]]) -> dict[str, float]:
    """Share of countries for which a country or capital is named, and for which it is the right one."""
    general, this = (sum(flags) / len(COUNTRIES) for flags in zip(*found, strict=True))
    return {"country_or_capital": round(general, 4), "this_country_or_capital": round(this, 4)}


@torch.no_grad()
def named_before_answer(
    model: Any, tokenizer: Any, sae: Any, layer: int, features: list[dict[str, Any]]
) -> dict[str, tuple[bool, bool]]:
    """Country: what labels of the five strongest features at " is" in "The capital of X is" name: a country or capital
    in general or in particular; this very country or its capital.
    """
    named = {}
    for country in COUNTRIES:
        ids = torch.tensor([[0, *tokenizer(f"The capital of {country.name} is").input_ids]])
        acts = sae.encode(reading.activations(model, ids, (layer,))[layer][0, -1:])[0]
        labels = [features[index]["label"] for index in acts.topk(5).indices.tolist() if acts[index] > 0]
        texts = [found["text"] for found in labels if found]
        this = any(name in text for text in texts for name in (country.name, country.capital))
        general = any(word in text for text in texts for word in ("country", "capital"))
        named[country.name] = (this or general, this)
    return named


def report_page(report: dict[str, Any]) -> str:
    """REPORT.md."""
    model = report["model"]
    right = sum(found["right"] for found in model["facts"].values())
    total = sum(found["of"] for found in model["facts"].values())
    lines = [
        "# Tiny World: what the recipe reached",
        "",
        "Written by `recipe.py` from the files as saved (half precision, loaded back as float32); the same figures for",
        f"programs are in `report.json`. Seed {report['seed']}. Minutes on two CPU cores: "
        + ", ".join(f"{stage} {value}" for stage, value in report["minutes"].items())
        + f". Model, SAEs and labels: {report['bytes'] / 1e6:.1f} MB.",
        "Libraries: " + ", ".join(f"{name} {value}" for name, value in report["versions"].items()) + ".",
        "",
        "## Model",
        "",
        f"GPT-2 architecture, {model['layers']} layers, d_model {model['d_model']}, {model['weights']:,} weights,",
        f"{model['vocabulary']} tokens, context {model['context']}. Facts completed correctly at temperature 0, prompt",
        f"right behind BOS, every phrasing whose last word is the answer: {right} of {total}.",
        "",
        "| facts | right | of |",
        "|---|---|---|",
        *(f"| {kind} | {found['right']} | {found['of']} |" for kind, found in model["facts"].items()),
        "",
        "## SAEs",
        "",
        "BatchTopK, trained with SAELens's trainer. Features did not begin at random: about half began at concepts of",
        "the world that a linear probe can read from the model (see `train_saes.beginning`), the others at what those",
        "leave over.",
        f"Measured on {report['held_out_tokens']:,} held-out tokens, BOS and end-of-text positions left out.",
        "Unexplained: mean over positions of |x - x̂|² / |x - mean(x)|². FVU: summed over the text, about the mean",
        "vector. Before the answer: share of countries for which one of the five strongest features at “ is” in",
        "“The capital of … is” carries a label that names a country or a capital / this very country or its capital.",
        "",
        "| SAE | hook point | width | unexplained | FVU | L0 | dead | labelled | F1 ≥ 0.8 | token / context / next "
        "| before the answer |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in report["saes"].items():
        kinds = " / ".join(str(value) for value in found["kinds"].values())
        lines.append(
            f"| {name} | `{found['hook']}` | {found['width']} | {found['unexplained']:.4f} | {found['fvu']:.4f} "
            f"| {found['l0']:.1f} | {found['dead']:.1%} | {found['labelled']} | {found['f1_at_least_0.8']} | {kinds} "
            f"| {found['before_answer']['country_or_capital']:.0%} "
            f"/ {found['before_answer']['this_country_or_capital']:.0%} |"
        )
    anywhere = report["before_answer_in_any_sae"]
    lines += [
        "",
        f"Labels with F1 of 0.8 or more over all SAEs: {report['labelled_f1_at_least_0.8']}. Before the answer in",
        f"at least one SAE: {anywhere['country_or_capital']:.0%} "
        f"/ {anywhere['this_country_or_capital']:.0%} of countries.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
