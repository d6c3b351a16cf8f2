"""Measure SAEs on text that nothing was trained on, and label features with the concepts that they match.

A feature is present at a token when the SAE's own threshold lets it through (activation > 0). For every feature the
concept of highest F1 is chosen on one text and its precision, recall and F1 are then measured on another. A feature
whose best concept stays below `LOWEST_F1` is left without a label.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from sae_lens import SAE
from train_model import encode, pack
from train_saes import ROW_LENGTH, activations
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast
from world import CONTEXT, TOKEN, Document, documents

LOWEST_F1 = 0.5
FEWEST = 15  # tokens of the choosing text that a concept must cover
BLOCK = 128  # features at a time
CLOSE = 0.01  # among concepts this close to the best F1 the plainest wins

Concept = tuple[str, str]  # text and kind ("token", "context" or "next")


@dataclass
class Sample:
    """Held-out text as the model reads it, with the concepts of its tokens."""

    rows: torch.Tensor  # [row, position] index of a token, 0 = end-of-text
    ids: torch.Tensor  # [token] id; entry 0 is end-of-text
    concepts: list[list[Concept]]  # of each token, plain ones first

    @property
    def kept(self) -> torch.Tensor:
        """[n] indices of the tokens that are measured, in reading order."""
        return self.rows[self.rows > 0]


def sample(tokenizer: PreTrainedTokenizerFast, name: str, tokens: int) -> Sample:
    """About this many tokens of the text called `name`."""
    ids, concepts, encoded = [0], [[]], []
    source = documents(name)
    while len(ids) <= tokens:
        batch = list(itertools.islice(source, 500))
        offsets = tokenizer([d.text for d in batch], return_offsets_mapping=True)["offset_mapping"]
        for document, row, spans in zip(batch, encode(tokenizer, [d.text for d in batch]), offsets, strict=True):
            encoded.append(numpy.array([*range(len(ids), len(ids) + len(spans)), 0]))
            ids += row[:-1].tolist()
            concepts += concepts_of(document, spans)
    count = (len(ids) + len(encoded)) // ROW_LENGTH
    return Sample(pack(itertools.cycle(encoded), ROW_LENGTH, count), torch.tensor(ids), concepts)


def concepts_of(document: Document, offsets: list[tuple[int, int]]) -> list[list[Concept]]:
    """The concepts of every token of a document: its own, its contexts, what is next, what came just before."""
    text = document.text
    own: list[dict[str, None]] = [{} for _ in offsets]
    inside: list[dict[str, None]] = [{} for _ in offsets]
    starts = [
        start + (text[start] == " " and end - start > 1) for start, end in offsets
    ]  # a leading space expresses nothing
    for span in document.spans:
        found = own if span.kind == TOKEN else inside
        for index, (_, end) in enumerate(offsets):
            if starts[index] < span.end and span.start < end:
                found[index][span.concept] = None
    result: list[list[Concept]] = []
    for index in range(len(offsets)):
        following = own[index + 1] if index + 1 < len(own) else {"the end of the text": None}
        before = own[index - 1] if index else {"the beginning of the text": None}
        concepts = [(name, TOKEN) for name in own[index]]
        concepts += [(name, CONTEXT) for name in inside[index]]
        concepts += [(f"{name} is next", "next") for name in following]
        concepts += [(f"right after {name}", CONTEXT) for name in before]
        concepts += [(f"{name}, {context}", TOKEN) for name in own[index] for context in inside[index]]
        concepts += [(f"{name} is next, {context}", "next") for name in following for context in inside[index]]
        result.append(concepts)
    return result


@torch.no_grad()
def vectors(model: GPT2LMHeadModel, text: Sample, layers: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """Layer: [n, d_model] residual stream at the kept tokens."""
    parts: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    for rows in text.rows.split(64):
        for layer, x in activations(model, text.ids[rows], layers).items():
            parts[layer].append(x[rows > 0])
    return {layer: torch.cat(chunks) for layer, chunks in parts.items()}


@torch.no_grad()
def figures(sae: SAE, x: torch.Tensor) -> tuple[dict[str, float], torch.Tensor]:
    """What the SAE reaches on x [n, d_model], and its activations [n, d_sae]."""
    acts = torch.cat([sae.encode(chunk) for chunk in x.split(8192)])
    missed = torch.cat(
        [(chunk - sae.decode(a)).pow(2).sum(-1) for chunk, a in zip(x.split(8192), acts.split(8192), strict=True)]
    )
    spread = (x - x.mean(-1, keepdim=True)).pow(2).sum(-1)  # per position, about the mean over d_model
    share = missed / spread
    active = acts > 0
    return {
        "unexplained": share.mean().item(),
        "unexplained_worst_percent": share.quantile(0.99).item() if len(share) < 2**24 else float("nan"),
        "fvu": (missed.sum() / (x - x.mean(0)).pow(2).sum()).item(),
        "l0": active.float().sum(-1).mean().item(),
        "dead": 1 - active.any(0).float().mean().item(),
    }, acts


def matrix(text: Sample, known: dict[Concept, int]) -> torch.Tensor:
    """[concept, n] sparse: 1 where a kept token has a concept."""
    rows, columns = [], []
    for column, token in enumerate(text.kept.tolist()):
        found = [known[concept] for concept in text.concepts[token] if concept in known]
        rows += found
        columns += [column] * len(found)
    values = torch.ones(len(rows))
    return (
        torch.sparse_coo_tensor(torch.tensor([rows, columns]), values, (len(known), len(text.kept)))
        .coalesce()
        .to_sparse_csr()
    )


def frequent(text: Sample) -> dict[Concept, int]:
    """The concepts that the choosing text shows often enough, plainest first, each with its row."""
    counts = Counter(itertools.chain.from_iterable(text.concepts))
    return {
        concept: row for row, concept in enumerate(sorted((c for c in counts if counts[c] >= FEWEST), key=plainness))
    }


def plainness(concept: Concept) -> tuple[int, str, str]:
    """Sort key: a plain concept before a joint one, a named one before a bare word."""
    text, kind = concept
    joint = ", " in text
    bare = "the word “" in text
    return 4 * joint + 2 * (text.startswith("right after") or bare) + (kind == "next"), text, kind


def scores(concepts: torch.Tensor, active: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For blocks of features: precision and recall [concept, block] of every concept for every feature."""
    size = torch.mv(concepts, torch.ones(concepts.shape[1]))[:, None]
    for block in active.float().split(BLOCK, dim=1):
        both = concepts @ block
        yield both / block.sum(0).clamp(min=1), both / size.clamp(min=1)


def label(
    choosing: Sample, choosing_acts: torch.Tensor, held_out: Sample, held_out_acts: torch.Tensor,
    known: dict[Concept, int], choosing_matrix: torch.Tensor, held_out_matrix: torch.Tensor,
) -> list[dict[str, Any]]:  # fmt: skip
    """One record per feature: density, greatest activation, and the label with its measured scores or None."""
    chosen = [choose(p, r) for p, r in scores(choosing_matrix, choosing_acts > 0)]
    best, best_f1 = (torch.cat(parts).tolist() for parts in zip(*chosen, strict=True))
    active = held_out_acts > 0
    rows = torch.tensor(best)
    measured = [
        torch.stack([p.gather(0, block[None])[0], r.gather(0, block[None])[0]], 1)
        for (p, r), block in zip(scores(held_out_matrix, active), rows.split(BLOCK), strict=True)
    ]
    names = list(known)
    density, greatest = active.float().mean(0).tolist(), held_out_acts.max(0).values.tolist()
    records = []
    for feature, (row, (precision, recall)) in enumerate(zip(best, torch.cat(measured).tolist(), strict=True)):
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        text, kind = names[row]
        found = {
            "text": text, "kind": kind, "precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)
        }  # fmt: skip
        records.append(
            {
                "feature": feature,
                "density": round(density[feature], 6),
                "max_activation": round(greatest[feature], 4),
                "label": found if best_f1[feature] >= LOWEST_F1 else None,
            }
        )
    return records


def choose(precision: torch.Tensor, recall: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[feature] the row of the plainest concept among the best ones, and the best F1."""
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-9)
    best = f1.max(0).values
    return (f1 >= best - CLOSE).float().argmax(0), best  # argmax: the first, and rows are plainest first
