"""What passes a hook point while a model reads text: shuffled batches without end, for training.

The text is read piece by piece in an order that the seed gives, anew in each pass over it. A chunk of activations is
kept, shuffled and served; so a position is three numbers, and going on from it means reading one chunk again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from ..errors import CorpusError
from ..pieces import Piece, documents
from .model import Model
from .passes import read_rows

CHUNK, CHUNK_BYTES = 1 << 16, 1 << 29  # activations of a chunk at most, and bytes of them
AT_ONCE = 8192  # tokens of one forward pass
LONGEST = 512  # tokens of a row


@dataclass(frozen=True)
class Position:
    """How far the text has been read."""

    passes: int = 0  # over the whole text
    piece: int = 0  # in this pass, the first of the present chunk
    chunk: int = 0
    served: int = 0  # batches of the present chunk


class Reading:
    """Forward passes of a model over rows of tokens, up to a hook point."""

    def __init__(self, model: Model, hook: str) -> None:
        self.model = model
        self.places = model.find([hook])
        (self.point,) = self.places.points
        self.bos = model.bos if model.spec.prepend_bos else None
        self.separator = model.bos if model.bos is not None else min(model.ends, default=None)
        self.special = torch.tensor(
            sorted({*model.tokenizer.all_special_ids, *model.ends, *([] if model.bos is None else [model.bos])})
        )
        self.context = min(model.spec.context, LONGEST)
        self.seconds, self.tokens = 0.0, 0  # of forward passes

    def ids(self, piece: Piece) -> list[int]:
        """The tokens of a piece of text, a separator behind each document."""
        found: list[int] = []
        for text in documents(piece):
            found += self.model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            found += [] if self.separator is None else [self.separator]
        return found

    def rows(self, ids: list[int], rest: bool, lengths: Iterator[int]) -> Iterator[torch.Tensor]:
        """Tokens as rows for forward passes, (rows, length), BOS first where there is one; they are taken out of `ids`.

        With `rest`, what does not fill a forward pass is a smaller one.
        """
        first = [] if self.bos is None else [self.bos]
        while ids and (rest or len(ids) >= AT_ONCE):
            length = next(lengths)
            new = length - len(first)
            count = min(AT_ONCE // length, len(ids) // new)
            taken = count * new or len(ids)
            yield torch.tensor([first + ids[at : min(at + new, taken)] for at in range(0, taken, new)])
            del ids[:taken]

    def lengths(self) -> Iterator[int]:
        """The lengths of rows, in turn: short ones put many texts right behind BOS, long ones reach late positions."""
        short = max(self.context // 4, 2)
        return cycle((short, short, max(self.context, 2)))

    @torch.no_grad()
    def activations(self, rows: torch.Tensor) -> torch.Tensor:
        """What passes the hook point at tokens that are words: (words, width) in float32.

        Raises what `passes.read_rows` raises.
        """
        began = time.perf_counter()
        name = self.point.name
        taken = read_rows(self.model, [name], rows.tolist())[name].flatten(0, 1)
        found = taken[~torch.isin(rows.flatten(), self.special).to(taken.device)].float()
        self.seconds, self.tokens = self.seconds + time.perf_counter() - began, self.tokens + rows.numel()
        return found


class Activations:
    """Shuffled batches, (batch, width), of the activations of pieces of text, without end."""

    def __init__(
        self, reading: Reading, pieces: Sequence[Piece], width: int, batch: int, seed: int, at: Position
    ) -> None:
        self.reading, self.pieces, self.batch, self.seed, self.at = reading, pieces, batch, seed, at
        self.most = max(min(CHUNK, CHUNK_BYTES // (4 * width)), 8 * batch)
        self.after = at  # where the next chunk begins
        self.chunk, self.order = self.read()

    def __next__(self) -> torch.Tensor:
        if (self.at.served + 1) * self.batch > len(self.order):
            self.at = self.after
            self.chunk, self.order = self.read()
        first = self.at.served * self.batch
        self.at = Position(self.at.passes, self.at.piece, self.at.chunk, self.at.served + 1)
        return self.chunk[self.order[first : first + self.batch]]

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The chunk that begins at this position, and the order in which it is served."""
        passes, piece, found = self.at.passes, self.at.piece, []
        ids: list[int] = []
        held, lengths = 0, self.reading.lengths()
        order = torch.randperm(len(self.pieces), generator=self.chance(passes, 0)).tolist()
        while held + len(ids) < self.most:
            if piece == len(order):
                passes, piece = passes + 1, 0
                order = torch.randperm(len(self.pieces), generator=self.chance(passes, 0)).tolist()
                if not held and not ids:
                    raise CorpusError("There are no words in the text.", "Take another corpus.")
                if held + len(ids) >= 2 * self.batch:
                    break  # all of a small corpus
            ids += self.reading.ids(self.pieces[order[piece]])
            piece += 1
            for rows in self.reading.rows(ids, False, lengths):
                found.append(self.reading.activations(rows))
                held += len(found[-1])
        found += [self.reading.activations(rows) for rows in self.reading.rows(ids, True, lengths)]
        self.after = Position(passes, piece, self.at.chunk + 1, 0)
        chunk = torch.cat(found)
        if len(chunk) < self.batch:
            raise CorpusError("There are too few words in the text.", "Take more text.")
        return chunk, torch.randperm(len(chunk), generator=self.chance(self.at.chunk, 1))

    def chance(self, number: int, what: int) -> torch.Generator:
        """Random numbers for a pass over the text (0) or a chunk (1): the same whenever they are asked for."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + number) * 2 + what & (2**63 - 1))
