"""Text as the model reads it: token ids, the residual stream at every layer, and the concepts of every token."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy
import torch
from train_model import encode, pack
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast
from world import CONTEXT, TOKEN, Document, documents

ROW_LENGTH = 128
FEWEST = 15  # tokens that a concept must cover to be considered

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


def matrix(text: Sample, known: dict[Concept, int]) -> torch.Tensor:
    """[concept, n] sparse: 1 where a kept token has a concept."""
    rows, columns = [], []
    for column, token in enumerate(text.kept.tolist()):
        found = [known[concept] for concept in text.concepts[token] if concept in known]
        rows += found
        columns += [column] * len(found)
    size = (len(known), len(text.kept))
    return torch.sparse_coo_tensor(torch.tensor([rows, columns]), torch.ones(len(rows)), size).coalesce()


def frequent(text: Sample) -> dict[Concept, int]:
    """The concepts that the choosing text shows often enough, plainest first, each with its row."""
    counts = Counter(itertools.chain.from_iterable(text.concepts))
    return {
        concept: row for row, concept in enumerate(sorted((c for c in counts if counts[c] >= FEWEST), key=plainness))
    }


def plain(concept: Concept) -> bool:
    """Whether a concept is not a joint one."""
    return ", " not in concept[0]


def plainness(concept: Concept) -> tuple[int, str, str]:
    """Sort key: a plain concept before a joint one, a named one before a bare word."""
    text, kind = concept
    bare = "the word “" in text
    return 4 * (not plain(concept)) + 2 * (text.startswith("right after") or bare) + (kind == "next"), text, kind


@torch.no_grad()
def activations(model: GPT2LMHeadModel, ids: torch.Tensor, layers: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """Layer: [batch, position, d_model] of the residual stream that leaves it."""
    taken: dict[int, torch.Tensor] = {}

    def tap(layer: int):
        def hook(module: torch.nn.Module, inputs: tuple, output: tuple | torch.Tensor) -> None:
            taken[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [model.transformer.h[layer].register_forward_hook(tap(layer)) for layer in layers]
    try:
        model.transformer(ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return taken
