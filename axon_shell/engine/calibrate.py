"""One pass over a corpus: documents in, what an SAE's features do on them counted.

    documents -> token ids -> rows -> forward pass and encode, in batches -> firings -> Tally

BOS is read and left out: its activations say nothing about the text. Documents do not see each other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch

from .model import Model
from .passes import batches_of, in_rows, read_rows
from .sae import Sae, first_token
from .tally import Block, Tally

ROW = 128  # tokens that are read together, BOS included: most SAEs were trained on as many
BLOCK = 8_192  # tokens, after which they are counted
DOCUMENTS, CHARACTERS = 16, 10_000  # tokenized at a time
NUMBERS = 8_000_000  # activations, most of them 0, that are held at a time


@dataclass
class Speed:
    """Seconds that a pass has taken, and what of it the model and the SAE took: the least that it could take."""

    seconds: float = 0.0
    bare: float = 0.0


def count(model: Model, sae: Sae, documents: Iterable[str], tally: Tally, most: int, speed: Speed) -> Iterator[bool]:
    """Count documents until there are no more or `most` tokens have been read.

    It yields after each batch; True after those with which the tally holds all documents that were taken so far. Raises
    EngineError or WeightsError.
    """
    bos = first_token(model, [sae])
    length = min(ROW, model.spec.context)
    source = iter(documents)
    done = False
    while not done:
        began = perf_counter()
        rows: list[list[int]] = []
        of: list[int] = []
        number = tally.documents
        while not done and sum(map(len, rows)) < min(BLOCK, most - tally.tokens):
            texts = taken(source)
            done = not texts
            for ids in tokenized(model, texts):
                new = list(in_rows(ids, bos, length))
                rows += new
                of += [number] * len(new)
                number += 1
        if rows:
            reading = read_block(model, sae, rows, of, tally.rows, bos is not None, speed)
            while True:
                try:
                    next(reading)
                except StopIteration as end:
                    tally.add(end.value)
                    break
                speed.seconds += perf_counter() - began
                yield False
                began = perf_counter()
            tally.rows += len(rows)
        tally.documents = number
        speed.seconds += perf_counter() - began
        done = done or tally.tokens >= most
        yield True


def taken(source: Iterator[str]) -> list[str]:
    """The next few documents; fewer where they are long."""
    texts: list[str] = []
    for text in source:
        texts.append(text)
        if len(texts) == DOCUMENTS or sum(map(len, texts)) >= CHARACTERS:
            break
    return texts


def tokenized(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, without BOS."""
    if not texts:
        return []
    found: list[list[int]] = model.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return found


def read_block(
    model: Model, sae: Sae, rows: Sequence[list[int]], of: Sequence[int], first: int, bos: bool, speed: Speed
) -> Generator[None, None, Block]:
    """What fires in rows of tokens, the first of them number `first`; `of` are the documents they are of.

    It yields after each batch.
    """
    own = [row[bos:] for row in rows]
    lengths = np.array([len(row) for row in own])
    starts = torch.from_numpy(np.cumsum(lengths) - lengths)
    width = sae.spec.width
    found: list[tuple[np.ndarray, ...]] = []
    for batch in batches_of(rows):
        began = perf_counter()
        x = read_rows(model, [sae.spec.hook], [rows[number] for number in batch])[sae.spec.hook]
        position = torch.arange(x.shape[1])
        there = (position >= int(bos)) & (position < torch.tensor([len(rows[number]) for number in batch])[:, None])
        token = (starts[batch][:, None] + position - int(bos))[there]
        x = x[there.to(x.device)]
        speed.bare += perf_counter() - began
        for part, tokens in zip(x.split(max(NUMBERS // width, 1)), token.split(max(NUMBERS // width, 1)), strict=True):
            began = perf_counter()
            activations = encoded(sae, part)
            speed.bare += perf_counter() - began
            flat = activations.flatten()
            which = (flat > 0).nonzero()[:, 0]
            values, which = flat[which].cpu().numpy(), which.cpu()
            found.append((tokens[which // width].numpy(), (which % width).numpy(), values))
        yield
    at, features, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(at, kind="stable")
    return Block(
        ids=np.concatenate([np.array(row, np.int32) for row in own]),
        rows=np.repeat(np.arange(first, first + len(rows), dtype=np.int32), lengths),
        documents=np.repeat(np.array(of, np.int32), lengths),
        at=at[order].astype(np.int32),
        features=features[order].astype(np.int32),
        activations=values[order].astype(np.float32),
    )


@torch.no_grad()
def encoded(sae: Sae, x: torch.Tensor) -> torch.Tensor:
    """Activations of all features at each of these vectors: (P, width of the hook point) -> (P, features)."""
    return sae.sae.encode(sae.prepare(x))
