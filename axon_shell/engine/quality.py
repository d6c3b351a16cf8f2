"""How good an SAE is on text: what it leaves unexplained, how many features fire, and what it costs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy

from ..pieces import Piece
from .activations import Reading
from .model import Model
from .sae import Sae

WORDS, PREDICTED = 60_000, 12_000  # at most: for the features, and for the model's loss
AT_ONCE = 1024  # words that are encoded together
ROWS_AT_ONCE = 4  # rows of which the predictions are held: tokens times vocabulary

Change = Callable[[torch.Tensor], torch.Tensor]  # of vectors (tokens, width)


def quality(model: Model, sae: Sae, reading: Reading, held_out: Sequence[Piece]) -> dict[str, float]:
    """What an SAE reaches on pieces of text. It reconstructs the place that `reading` reads.

    unexplained: share of each vector's variance that it does not reconstruct, averaged; fvu: the same summed over the
    text, about the mean vector; l0: features that fire at a token; dead: share of features that never fired; words: how
    many tokens these are of. loss: the model's, in nats a token; loss_with: with the reconstruction in place of the
    vectors; loss_without: with zeros there; recovered: the share of the difference that the SAE makes good.
    """
    found, words = [], 0
    for rows in rows_of(reading, held_out):
        found.append(reading.activations(rows))
        words += len(found[-1])
        if words >= WORDS:
            break
    x = torch.cat(found)[:WORDS]
    features = features_on(sae, x)
    losses = losses_on(model, sae, reading, held_out)
    lost = losses["loss_without"] - losses["loss"]
    return features | losses | {"recovered": (losses["loss_without"] - losses["loss_with"]) / lost if lost else 1.0}


def rows_of(reading: Reading, pieces: Sequence[Piece]) -> Iterator[torch.Tensor]:
    """The rows of pieces of text, one piece after the other."""
    lengths = reading.lengths()
    for piece in pieces:
        yield from reading.rows(reading.ids(piece), True, lengths)


@torch.no_grad()
def features_on(sae: Sae, x: torch.Tensor) -> dict[str, float]:
    """What an SAE says of vectors x (n, width)."""
    x = sae.prepare(x)
    missed = unexplained = l0 = 0.0
    fired = torch.zeros(sae.sae.cfg.d_sae, dtype=torch.bool, device=x.device)
    for part in x.split(AT_ONCE):
        activations = sae.sae.encode(part)
        error = (part - sae.sae.decode(activations)).square().sum(-1)
        missed += error.sum().item()
        unexplained += (error / (part - part.mean(-1, keepdim=True)).square().sum(-1)).sum().item()
        l0 += (activations > 0).sum().item()
        fired |= (activations > 0).any(0)
    return {
        "unexplained": unexplained / len(x),
        "fvu": missed / (x - x.mean(0)).square().sum().item(),
        "l0": l0 / len(x),
        "dead": 1 - fired.float().mean().item(),
        "words": len(x),
    }


@torch.no_grad()
def losses_on(model: Model, sae: Sae, reading: Reading, pieces: Sequence[Piece]) -> dict[str, float]:
    """The model's loss as it is, with the SAE's reconstruction, and with zeros in its place."""

    def reconstructed(x: torch.Tensor) -> torch.Tensor:
        return sae.sae.decode(sae.sae.encode(sae.prepare(x))).to(x.dtype)

    changes: dict[str, Change | None] = {"loss": None, "loss_with": reconstructed, "loss_without": torch.zeros_like}
    sums, predicted = dict.fromkeys(changes, 0.0), 0
    for rows in rows_of(reading, pieces):
        for some in rows.split(ROWS_AT_ONCE):
            words = ~torch.isin(some, reading.special)
            for name, change in changes.items():
                sums[name] += loss(model, reading, some, words, change)
            predicted += int(words[:, 1:].sum())
            if predicted >= PREDICTED:
                return {name: total / predicted for name, total in sums.items()}
    return {name: total / max(predicted, 1) for name, total in sums.items()}


def loss(model: Model, reading: Reading, rows: torch.Tensor, words: torch.Tensor, change: Change | None) -> float:
    """The summed loss of predicting each word of some rows, with the vectors of words changed; BOS keeps its own."""

    def put(x: torch.Tensor) -> torch.Tensor | None:
        if change is None:
            return None
        flat = x.reshape(rows.numel(), -1).clone()  # heads side by side
        chosen = words.flatten().to(x.device)
        flat[chosen] = change(flat[chosen])
        return flat.reshape(x.shape)

    handle = reading.point.attach(put)
    try:
        hidden = reading.places.network.base_model(rows.to(model.device), use_cache=False).last_hidden_state
    finally:
        handle.remove()
    logits = model.adapter.apply_output_logits_transform(model.network.get_output_embeddings()(hidden).float())
    targets = rows[:, 1:].masked_fill(~words[:, 1:], -100).to(model.device)
    return cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="sum").item()
