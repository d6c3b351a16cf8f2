"""Which tokens a feature promotes: the logit lens of its decoder row, from which a feature can be named.

Bloom & Lin 2024, "Understanding SAE Features with the Logit Lens": the decoder row, sent straight through the final
normalisation's weight and the unembedding. What later layers make of it is left out, so an early feature may promote
nothing and still matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .attribution import DirectPath
from .model import Model
from .sae import Sae

DIRECTIONS, RARE = 128, 0.98  # random directions that are tried, and the share of them that stays below chance_peak
CHUNK_BYTES = 64_000_000  # of the weights of some features on all tokens; of the unembedding in float32


@dataclass(frozen=True)
class Promoted:
    """What features add to the logits, one entry a feature, in the order asked for.

    A logit weight is what the feature's decoder row adds to the logit of a token, less the mean over all tokens: how
    much more than to any token. The scale of the final normalisation, one factor for all tokens, is left out.
    """

    features: list[int]
    promotes: list[list[tuple[int, float]]]  # token ids with their logit weights, the largest first
    suppresses: list[list[tuple[int, float]]]  # the smallest first
    kurtosis: list[float]  # of the weights over all tokens: 3 for a bell curve, more where few tokens stand out
    peak: list[float]  # standard deviations of the largest weight


def token_ids(model: Model) -> torch.Tensor:
    """Ids that stand for a token, ascending; a model's table may be padded with rows that no text can lead to."""
    rows = model.network.get_output_embeddings().weight.shape[0]
    known = sorted({token for token in model.tokenizer.get_vocab().values() if token < rows})
    return torch.tensor(known, device=model.device)


@torch.no_grad()
def promoted(
    path: DirectPath, sae: Sae, way: torch.Tensor | bool, features: Sequence[int], tokens: torch.Tensor, k: int = 10
) -> Promoted | None:
    """The k tokens that each feature promotes most and suppresses most, among `tokens` (those of `token_ids`).

    `way` is that of the SAE's target. None where features do not reach the residual stream in a straight line.
    """
    if way is False:
        return None
    vocabulary = len(path.unembed)
    found = Promoted([*features], [], [], [], [])
    for chunk in torch.tensor(found.features, dtype=torch.long).split(max(CHUNK_BYTES // (4 * vocabulary), 1)):
        rows = sae.rows(chunk.to(path.unembed.device)).float()
        if isinstance(way, torch.Tensor):
            rows = rows @ way.float()
        if path.centres:
            rows = rows - rows.mean(-1, keepdim=True)
        weights = logit_weights(path, rows * path.weight.float())
        if len(tokens) < vocabulary:
            weights = weights[:, tokens]
        weights -= weights.mean(-1, keepdim=True)
        for tops, largest in ((found.promotes, True), (found.suppresses, False)):
            values, places = weights.topk(min(k, len(tokens)), dim=-1, largest=largest)
            ids = tokens[places].tolist()
            tops += [list(zip(*pair, strict=True)) for pair in zip(ids, values.tolist(), strict=True)]
        # A row of zeros, which some SAEs have, promotes nothing: 0 and not a division by 0.
        weights /= weights.square().mean(-1, keepdim=True).sqrt().clamp_min(torch.finfo(weights.dtype).tiny)
        found.peak.extend(weights.amax(-1).tolist())
        found.kurtosis.extend(weights.square_().square_().mean(-1).tolist())
    return found


@torch.no_grad()
def chance_peak(path: DirectPath, tokens: torch.Tensor) -> float:
    """The `peak` that a feature pointing anywhere seldom reaches: one random direction in fifty does.

    Unembeddings have tokens that stand out in any direction, so no bell curve can tell; the same directions are tried
    each time.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(DIRECTIONS, path.unembed.shape[1], generator=generator).to(path.unembed.device)
    peaks = []
    for part in rows.split(max(CHUNK_BYTES // (4 * len(path.unembed)), 1)):
        part = part - part.mean(-1, keepdim=True) if path.centres else part
        weights = logit_weights(path, part * path.weight.float())[:, tokens]
        weights -= weights.mean(-1, keepdim=True)
        peaks.append(weights.amax(-1) / weights.square().mean(-1).sqrt())
    return torch.cat(peaks).quantile(RARE).item()


def logit_weights(path: DirectPath, rows: torch.Tensor) -> torch.Tensor:
    """Products of rows, (F, d_model), with the unembedding: (F, vocabulary), in float32."""
    weights = rows.new_empty(len(rows), len(path.unembed))
    begin = 0
    for part in path.unembed.split(max(CHUNK_BYTES // (4 * rows.shape[1]), 1)):
        torch.mm(rows, part.float().T, out=weights[:, begin : begin + len(part)])
        begin += len(part)
    return weights
