"""What edges are worth on Tiny World's own text: `python -m benchmarks.edges_tiny_world [TOKENS]`.

The text is the generator's, read by the built-in model and its SAE. Half of it tells which pairs go together: those
that fire together half as often again as their rates predict, and five standard deviations more often. The sessions are
pieces of the other half. A calibration, where one is made, knows the pairs that pass on a quarter of the text.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from axon_shell.graph import Graph, Known, graph

from .planted import fired_from

HOME = Path(__file__).parent.parent / "plugins" / "tiny_world"
SAE, KEPT = "2-res", 15
LENGTHS = (40, 200, 1000)


def main(tokens: int = 100_000, sessions: int = 12) -> None:
    """Measure and print a table."""
    activations, ids = read(tokens)
    kept = activations * (activations >= np.maximum(-np.sort(-activations, 1)[:, KEPT - 1 : KEPT], 1e-6))
    half = len(kept) // 2
    true = together(kept[:half])
    corpus = {
        pair: Known(2.0, 0.01) for pair in map(tuple, np.argwhere(np.triu(together(kept[: half // 2]), 1)).tolist())
    }
    print("| session | kind of edge | drawn | go together in other text | expected by chance |")
    print("|---|---|---|---|---|")
    random = np.random.default_rng(0)
    for length in LENGTHS:
        starts = random.integers(half, len(kept) - length, sessions)
        pieces = [fired_from(kept[start : start + length].T, ids[start : start + length]) for start in starts]
        for name, drawn in (
            ("association", [graph(piece, edges_per_node=10_000) for piece in pieces]),
            ("association, calibrated", [graph(piece, edges_per_node=10_000, corpus=corpus) for piece in pieces]),
            ("co-activation", [graph(piece, "co-activation", 10_000) for piece in pieces]),
        ):
            print(line(f"{length} tokens", name, drawn, true))


def line(session: str, name: str, drawn: list[Graph], true: np.ndarray) -> str:
    """A row of the table: means over sessions."""
    edges = [(edge.a, edge.b) for one in drawn for edge in one.edges]
    share = f"{100 * np.mean([true[a, b] for a, b in edges]):.0f} %" if edges else "–"
    expected = np.mean([one.expected for one in drawn])
    return f"| {session} | {name} | {len(edges) / len(drawn):,.1f} | {share} | {expected:,.1f} |"


def together(kept: np.ndarray) -> np.ndarray:
    """Which pairs fire together in this text more often than their rates predict: (features, features)."""
    present = (kept > 0).astype(np.float32)
    count, times = present.T @ present, present.sum(0)
    expected = np.outer(times, times) / len(present)
    found: np.ndarray = (count > 1.5 * expected) & (count - expected > 5 * np.sqrt(expected + 1))
    return found


def read(tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations of the SAE at about this many tokens of the generator's text, (tokens, features), and their ids."""
    import torch
    from sae_lens import SAE as Sae
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    sys.path.insert(0, str(HOME))
    from reading import activations as residuals
    from train_model import encode
    from world import documents

    tokenizer = PreTrainedTokenizerFast.from_pretrained(HOME / "model")
    model = GPT2LMHeadModel.from_pretrained(HOME / "model").eval()
    sae = Sae.load_from_disk(str(HOME / "saes" / SAE))
    layer, source, bos = int(SAE[0]), documents("edges"), tokenizer.eos_token_id

    def texts() -> Iterator[np.ndarray]:
        seen = 0
        while seen < tokens:
            for row in encode(tokenizer, [document.text for document in itertools.islice(source, 64)]):
                found = np.asarray(row[:-1])
                seen += len(found)
                yield found

    found, ids = [], []
    with torch.no_grad():
        for row in texts():
            x = residuals(model, torch.tensor([[bos, *row.tolist()]]), (layer,))[layer][0, 1:]
            found.append(sae.encode(x).numpy())
            ids.append(row)
    return np.concatenate(found), np.concatenate(ids)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
