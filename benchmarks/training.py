"""SAEs trained from nothing on Tiny World, beside the one that it ships: `python -m benchmarks.training`.

Text from the world's own generator, five architectures as wide and as sparse as the shipped SAE of the same place, each
measured on the same text kept apart; tokens a second beside those of the bare forward pass in the same run. On two idle
cores a million tokens take about two minutes for each architecture.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from axon_shell import homes
from axon_shell.config import Config
from axon_shell.engine.activations import Reading
from axon_shell.engine.model import load_model
from axon_shell.engine.quality import quality
from axon_shell.engine.sae import load_sae
from axon_shell.engine.train import divided, train
from axon_shell.pieces import pieces_of
from axon_shell.plugins import catalogue
from axon_shell.training import ARCHITECTURES, TrainingSettings

SHIPPED, L0, DOCUMENTS = "tiny-world/2-res", 28, 40_000
HEADER = "| SAE | tokens | unexplained | FVU | L0 | dead | loss recovered | tokens/s | of the forward pass |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="to train on, for each")
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="of text")
    parser.add_argument("--only", nargs="*", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AXON_HOME"] = folder
        corpus = Path(folder) / "world.jsonl"
        write_world(corpus, chosen.documents)
        offered, text = catalogue(Config()), pieces_of(corpus)
        shipped = offered.sae(SHIPPED)
        model = load_model(offered.model(shipped.model), torch.device("cpu"), lambda stage: None)
        print(HEADER)
        print("|---" * HEADER.count(" | ") + "|---|")
        held_out, _ = divided(text, TrainingSettings().seed)
        found = quality(model, load_sae(shipped, model, lambda stage: None), Reading(model, shipped.hook), held_out)
        print(row("shipped", "", found, "", ""))
        for architecture in chosen.only:
            settings = TrainingSettings(architecture, shipped.width, L0, chosen.tokens)
            *_, end = train(model, shipped.hook, architecture, text, settings, lambda: False)
            speed = end["speed"]
            share = speed["tokens_per_second"] / speed["forward_tokens_per_second"]
            print(
                row(
                    architecture,
                    f"{end['tokens']:,}",
                    end["quality"],
                    f"{speed['tokens_per_second']:,.0f}",
                    f"{share:.0%}",
                )
            )


def write_world(path: Path, count: int) -> None:
    """Documents of Tiny World's generator as lines of JSON."""
    sys.path.insert(0, str(homes.plugins() / "tiny_world"))
    try:
        from world import documents
    finally:
        sys.path.pop(0)
    with path.open("w", encoding="utf-8") as file:
        for document in itertools.islice(documents("for a benchmark of training"), count):
            file.write(json.dumps({"text": document.text}) + "\n")


def row(name: str, tokens: str, found: dict[str, float], *speeds: str) -> str:
    """A line of the table."""
    shares = (f"{found['unexplained']:.1%}", f"{found['fvu']:.1%}", f"{found['l0']:.1f}", f"{found['dead']:.1%}")
    cells: Iterable[str] = (name, tokens, *shares, f"{found['recovered']:.1%}", *speeds)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
