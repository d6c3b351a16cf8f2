"""What is counted while a corpus goes by: bounded, whatever its size, and kept on disk to go on from.

Exact over all tokens: how often each feature fires, how strongly in the mean and at most, and its strongest contexts;
and a few contexts taken at random among all its firings. What needs every firing once more (the tokens it fires on,
which features fire together) is found in a sample: all of a small corpus, and of a large one whole documents spread
evenly over it, as many as `most` firings hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BEFORE, AFTER = 12, 7  # tokens of a context around the one at which the feature fires
STRONGEST, RANDOM = 10, 4  # contexts of a feature
MOST = 24_000_000  # firings of the sample: 48 MB, or 96 MB for SAEs of more than 65,536 features
GOLDEN = 0.6180339887498949  # its multiples, modulo 1, are spread evenly wherever one stops
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Block:
    """Some documents as the SAE reads them: tokens in order (BOS left out), and firings in the order of tokens."""

    ids: np.ndarray  # (n,) int32, token ids
    rows: np.ndarray  # (n,) int32, which row of tokens each was read in
    documents: np.ndarray  # (n,) int32, which document it is of
    at: np.ndarray  # (N,) int32, the token of each firing
    features: np.ndarray  # (N,) int32
    activations: np.ndarray  # (N,) float32


class Contexts:
    """For each feature the places of highest rank, with the tokens around them; the same words stand only once."""

    def __init__(self, width: int, places: int) -> None:
        length = BEFORE + 1 + AFTER
        self.rank = np.full((width, places), -np.inf, np.float32)  # descending
        self.words = np.zeros((width, places), np.int64)  # a checksum of the ids
        self.ids = np.full((width, places, length), -1, np.int32)  # -1: beyond the row
        self.activations = np.zeros((width, places, length), np.float16)

    def offer(self, block: Block, which: np.ndarray, rank: np.ndarray) -> None:
        """Keep those of some firings of a block that rank higher than what is there."""
        places = self.rank.shape[1]
        good = rank > self.rank[block.features[which], -1]
        which, rank = which[good], rank[good]
        if not len(which):
            return
        ids, index = windows(block, which)
        words = (ids * WORD_CODE).sum(1)
        # The same words around the same feature: the highest of them.
        order = np.lexsort((-rank, words, block.features[which]))
        features = block.features[which][order]
        first = np.r_[True, (np.diff(features) != 0) | (np.diff(words[order]) != 0)]
        order = order[first]
        # The highest few of each feature, side by side.
        order = order[np.lexsort((-rank[order], block.features[which[order]]))]
        features = block.features[which[order]]
        starts = np.flatnonzero(np.r_[True, np.diff(features) != 0])
        nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        order, nth = order[nth < places], nth[nth < places]
        own, column = np.unique(block.features[which[order]], return_inverse=True)
        new = np.full((len(own), places), -1)
        new[column, nth] = order
        there = np.where(new >= 0, rank[new], -np.inf)
        new_words = np.where(new >= 0, words[new], 0)
        self.merge(own, there, new_words, new, ids, around(block, which, index))

    def merge(
        self, own: np.ndarray, rank: np.ndarray, words: np.ndarray, new: np.ndarray, ids: np.ndarray, strengths: Any
    ) -> None:
        """Put what is new, (features, places) each, among what is there."""
        places = self.rank.shape[1]
        both_rank = np.concatenate([self.rank[own], rank], 1)
        both_words = np.concatenate([self.words[own], words], 1)
        by_rank = np.argsort(-both_rank, axis=1, kind="stable")
        both_rank, both_words = np.take_along_axis(both_rank, by_rank, 1), np.take_along_axis(both_words, by_rank, 1)
        same = (both_words[:, :, None] == both_words[:, None, :]) & np.tri(2 * places, k=-1, dtype=bool)
        same &= np.isfinite(both_rank)[:, None, :]
        both_rank[same.any(2)] = -np.inf
        keep = np.argsort(-both_rank, axis=1, kind="stable")[:, :places]
        source = np.take_along_axis(by_rank, keep, 1)
        fresh = np.where(source >= places, np.take_along_axis(new, np.maximum(source - places, 0), 1), -1)
        self.rank[own] = np.take_along_axis(both_rank, keep, 1)
        self.words[own] = np.take_along_axis(both_words, keep, 1)
        old = np.minimum(source, places - 1)[:, :, None]
        old_ids = np.take_along_axis(self.ids[own], old, 1)
        old_activations = np.take_along_axis(self.activations[own], old, 1)
        brought = fresh >= 0
        old_ids[brought] = ids[fresh[brought]]
        old_activations[brought] = strengths(fresh[brought])
        gone = ~np.isfinite(self.rank[own])
        old_ids[gone], old_activations[gone] = -1, 0
        self.ids[own], self.activations[own] = old_ids, old_activations

    def arrays(self, name: str) -> Arrays:
        """All that is kept."""
        return {f"{name}.{field}": value for field, value in vars(self).items()}

    def take(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on with what was kept."""
        for field in vars(self):
            setattr(self, field, arrays[f"{name}.{field}"])


WORD_CODE = np.random.default_rng(0).integers(1, 2**62, BEFORE + 1 + AFTER, dtype=np.int64)


def windows(block: Block, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the tokens around some firings, (firings, length), -1 beyond the row; and their places in the block."""
    token = block.at[which][:, None]
    index = token + np.arange(-BEFORE, AFTER + 1)
    inside = (index >= 0) & (index < len(block.ids))
    index = np.where(inside, index, 0)
    inside &= block.rows[index] == block.rows[token]
    return np.where(inside, block.ids[index], -1), np.where(inside, index, -1)


def around(block: Block, which: np.ndarray, index: np.ndarray) -> Any:
    """A function that gives the activations of the same feature at the tokens around some of these firings."""
    width = int(block.features.max()) + 1

    def strengths(chosen: np.ndarray) -> np.ndarray:
        # Firings lie in the order of tokens, those of one token in the order of features.
        key = block.at.astype(np.int64) * width + block.features
        wanted = index[chosen].astype(np.int64) * width + block.features[which[chosen]][:, None]
        place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        return np.where((key[place] == wanted) & (index[chosen] >= 0), block.activations[place], 0)

    return strengths


class Sample:
    """The firings of whole documents, evenly spread over the corpus: without their strength."""

    def __init__(self, width: int, most: int = MOST) -> None:
        self.most = most
        self.share = 1.0  # of the documents
        self.ids = np.zeros(0, np.int32)
        self.rows = np.zeros(0, np.int32)
        self.documents = np.zeros(0, np.int32)
        self.counts = np.zeros(0, np.int32)  # firings at each token
        self.features = np.zeros(0, np.uint16 if width < 2**16 else np.uint32)
        self.waiting: list[Arrays] = []  # joined now and then: each time, all is copied
        self.firings = 0

    FIELDS = ("ids", "rows", "documents", "counts", "features")

    def add(self, block: Block) -> None:
        """Take in those documents of a block that are in the sample."""
        found = {
            **{"ids": block.ids, "rows": block.rows, "documents": block.documents},
            "counts": np.bincount(block.at, minlength=len(block.ids)).astype(np.int32),
            "features": block.features.astype(self.features.dtype),
        }
        found = self.chosen(found)
        self.waiting.append(found)
        self.firings += len(found["features"])
        while self.firings > self.most:
            self.share /= 2
            self.join()
            for name, values in self.chosen({name: getattr(self, name) for name in self.FIELDS}).items():
                setattr(self, name, values)
            self.firings = len(self.features)

    def chosen(self, found: Arrays) -> Arrays:
        """Of some tokens those whose documents are in the sample."""
        if self.share == 1:
            return found
        keep = found["documents"] * GOLDEN % 1 < self.share
        firing = np.repeat(keep, found["counts"])
        return {name: values[firing if name == "features" else keep] for name, values in found.items()}

    def join(self) -> None:
        """Put together what has been added."""
        for name in self.FIELDS if self.waiting else ():
            setattr(self, name, np.concatenate([getattr(self, name), *(found[name] for found in self.waiting)]))
        self.waiting.clear()

    def arrays(self) -> Arrays:
        """All that is kept."""
        self.join()
        return {f"sample.{name}": getattr(self, name) for name in self.FIELDS} | {"sample.share": np.array(self.share)}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on with what was kept."""
        for name in self.FIELDS:
            setattr(self, name, arrays[f"sample.{name}"])
        self.share, self.firings = float(arrays["sample.share"]), len(self.features)


class Tally:
    """Everything that is counted over a corpus, for an SAE of `width` features."""

    def __init__(self, width: int, most: int = MOST) -> None:
        self.width = width
        self.tokens = self.documents = self.rows = self.blocks = 0
        self.fires = np.zeros(width, np.int64)  # tokens at which each feature fires
        self.total = np.zeros(width, np.float64)  # of its activations
        self.highest = np.zeros(width, np.float32)
        self.strongest = Contexts(width, STRONGEST)
        self.random = Contexts(width, RANDOM)
        self.sample = Sample(width, most)

    COUNTS = ("tokens", "documents", "rows", "blocks")
    SUMS = ("fires", "total", "highest")

    def add(self, block: Block) -> None:
        """Count the documents of a block."""
        self.fires += np.bincount(block.features, minlength=self.width)
        self.total += np.bincount(block.features, block.activations, self.width)
        np.maximum.at(self.highest, block.features, block.activations)
        # Of each row a feature's strongest firing: a feature that fires all through a text would fill its list there.
        which = np.flatnonzero(block.activations > self.strongest.rank[block.features, -1])
        rows, features = block.rows[block.at[which]], block.features[which]
        order = np.lexsort((-block.activations[which], rows, features))
        first = np.r_[True, (np.diff(features[order]) != 0) | (np.diff(rows[order]) != 0)][: len(order)]
        which = which[order[first]]
        self.strongest.offer(block, which, block.activations[which])
        # The highest few of as many random numbers as there are firings: each is as likely to stay.
        chance = np.random.default_rng(self.blocks).random(len(block.features), np.float32)
        self.random.offer(block, np.arange(len(block.features)), chance)
        self.sample.add(block)
        self.tokens += len(block.ids)
        self.blocks += 1

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write everything to a file, with some words about it; a file that is there stays whole until this one is.

        Raises OSError.
        """
        arrays = {name: getattr(self, name) for name in self.SUMS} | self.sample.arrays()
        arrays |= self.strongest.arrays("strongest") | self.random.arrays("random")
        header = dict(about) | {name: getattr(self, name) for name in self.COUNTS}
        fresh = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(header)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> tuple[Tally, dict[str, Any]]:
        """What was saved, and the words about it. Raises OSError, ValueError or KeyError where it cannot be read."""
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            tally = cls(len(arrays["fires"]))
            for name in cls.COUNTS:
                setattr(tally, name, about.pop(name))
            for name in cls.SUMS:
                setattr(tally, name, arrays[name])
            tally.strongest.take("strongest", arrays)
            tally.random.take("random", arrays)
            tally.sample.take(arrays)
        return tally, about
