"""Measure SAEs on text that nothing was trained on, and label features with the concepts that they match.

A feature is present at a token when the SAE's own threshold lets it through (activation > 0). For every feature the
concept of highest F1 is chosen on one text and its precision, recall and F1 are then measured on another. A feature
whose best concept stays below `LOWEST_F1` is left without a label.
"""

from __future__ import annotations

from typing import Any

import torch
from reading import Concept
from sae_lens import SAE

LOWEST_F1 = 0.5
CLOSE = 0.01  # among concepts this close to the best F1 the plainest wins


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


def agreement(concepts: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """[3, concept, feature] precision, recall and F1 of every concept for every feature."""
    both = torch.sparse.mm(concepts, active.float().to_sparse()).to_dense()
    size = concepts.sum(1).to_dense()[:, None]
    fired = active.sum(0)
    return torch.stack([both / fired.clamp(min=1), both / size.clamp(min=1), 2 * both / (size + fired).clamp(min=1)])


def label(
    chosen_by: torch.Tensor, held_out_acts: torch.Tensor, held_out_concepts: torch.Tensor, names: list[Concept]
) -> list[dict[str, Any]]:
    """One record per feature: density, greatest activation, and the label with its measured scores or None.

    `chosen_by` is the F1 [concept, feature] on the choosing text, plainest concepts first.
    """
    best = chosen_by.max(0).values
    rows = (chosen_by >= best - CLOSE).float().argmax(0)  # argmax gives the first, so the plainest of the close ones
    active = held_out_acts > 0
    measured = agreement(held_out_concepts, active).gather(1, rows.expand(3, 1, -1))[:, 0].T.tolist()
    density, greatest = active.float().mean(0).tolist(), held_out_acts.max(0).values.tolist()
    records = []
    for feature, (row, (precision, recall, f1)) in enumerate(zip(rows.tolist(), measured, strict=True)):
        text, kind = names[row]
        found = {
            "text": text, "kind": kind, "precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)
        }  # fmt: skip
        records.append(
            {
                "feature": feature,
                "density": round(density[feature], 6),
                "max_activation": round(greatest[feature], 4),
                "label": found if best[feature] >= LOWEST_F1 else None,
            }
        )
    return records
