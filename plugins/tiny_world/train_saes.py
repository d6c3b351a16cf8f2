"""Train one sparse autoencoder per hook point, with SAELens's own trainer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from reading import ROW_LENGTH, activations, frequent, matrix, plain, sample, vectors
from sae_lens import SAE
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file
from train_model import CONTEXT, pack, training_rows
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

log = logging.getLogger("tiny-world")

LAYERS = (0, 2, 3)
WIDTH = 1280
ACTIVE = 28  # features per token that training aims at
BATCH = 512
PROBED = 60_000  # tokens from which the first features are found
AT_LEAST = 0.7  # F1 of a linear probe that is good enough to begin with


def hook_name(layer: int) -> str:
    """TransformerLens's name of what leaves this layer."""
    return f"blocks.{layer}.hook_resid_post"


def gather(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int
) -> dict[int, torch.Tensor]:
    """Layer: [tokens, d_model] in half precision, from fresh documents, end-of-text positions (BOS too) left out."""
    rows = training_rows(tokenizer, f"{seed} saes")
    kept: dict[int, list[torch.Tensor]] = {layer: [] for layer in LAYERS}
    count = 0
    while count < tokens:
        for length in (ROW_LENGTH, ROW_LENGTH, CONTEXT):
            ids = pack(rows, length, 8192 // length)
            for layer, x in activations(model, ids, LAYERS).items():
                kept[layer].append(x[ids != 0].half())
            count += int((ids != 0).sum())
    return {layer: torch.cat(parts)[:tokens] for layer, parts in kept.items()}


def beginnings(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> dict[int, Beginning]:
    """Layer: where the features of its SAE begin."""
    text = sample(tokenizer, f"{seed} probes", PROBED)
    known = {concept: row for row, concept in enumerate(filter(plain, frequent(text)))}
    concepts = matrix(text, known)
    return {layer: beginning(x, concepts) for layer, x in vectors(model, text, LAYERS).items()}


def batches(vectors: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Shuffled batches without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(vectors), generator=generator)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            yield vectors[order[at : at + BATCH]].float()


def train_sae(folder: Path, layer: int, x: torch.Tensor, begin: Beginning, seed: int, samples: int) -> None:
    """Train an SAE on x [n, d_model] and write it in half precision, in SAELens's format."""
    torch.manual_seed(seed + layer)
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=x.shape[1], d_sae=WIDTH, k=ACTIVE, dtype="float32", device="cpu", normalize_activations="none",
            apply_b_dec_to_input=True, rescale_acts_by_decoder_norm=True, aux_loss_coefficient=1 / 8,
        )
    )  # fmt: skip
    with torch.no_grad():
        sae.W_enc.copy_(begin.encoder)
        sae.b_enc.copy_(begin.bias)
        sae.W_dec.copy_(begin.decoder)
        sae.b_dec.copy_(begin.center)
    trainer = SAETrainer(
        cfg=SAETrainerConfig(
            n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=samples,
            device="cpu", autocast=False, lr=2e-3, lr_end=2e-5, lr_scheduler_name="cosineannealing",
            lr_warm_up_steps=100, adam_beta1=0.9, adam_beta2=0.999, lr_decay_steps=0, n_restart_cycles=1,
            train_batch_size_samples=BATCH, dead_feature_window=200, feature_sampling_window=2000,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae,
        data_provider=batches(x, seed),
    )  # fmt: skip
    sae = trainer.fit()
    metadata = sae.cfg.metadata
    metadata.model_name = "tiny-world"
    metadata.hook_name = hook_name(layer)
    metadata.prepend_bos = True
    metadata.context_size = CONTEXT
    metadata.model_from_pretrained_kwargs = {}  # the model is read as it is: nothing is centred
    metadata.neuronpedia_id = None
    folder.mkdir(parents=True, exist_ok=True)
    sae.save_inference_model(folder)
    halve(folder)


class Beginning(NamedTuple):
    """Where the features of an SAE begin."""

    encoder: torch.Tensor  # [d_model, feature]
    bias: torch.Tensor  # [feature]
    decoder: torch.Tensor  # [feature, d_model], of length 1
    center: torch.Tensor  # [d_model]


@torch.no_grad()
def beginning(x: torch.Tensor, concepts: torch.Tensor) -> Beginning:
    """Features for x [n, d_model]: first the concepts [concept, n] that linear probes can read, then what is left over.

    Features that begin at random take many times longer to find the world's concepts, and many of them die.
    """
    center = x.mean(0)
    x = x - center
    count = concepts.sum(1).to_dense()
    means = torch.sparse.mm(concepts, x) / count[:, None]
    spread = x.T @ x / len(x)
    probes = torch.linalg.solve(spread + 1e-3 * spread.trace() / len(spread) * torch.eye(len(spread)), means.T)
    probes = probes / (means.T * probes).sum(0)  # now a probe gives 1 on average where its concept is, 0 elsewhere
    cuts = torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7])
    truth = concepts.coalesce()
    scores = []
    for cut in cuts:
        fired = torch.zeros(len(count))
        both = torch.zeros(len(count))
        for at in range(0, len(x), 4096):
            active = x[at : at + 4096] @ probes > cut
            fired += active.sum(0)
            inside = (truth.indices()[1] >= at) & (truth.indices()[1] < at + 4096)
            rows, columns = truth.indices()[:, inside]
            both.index_add_(0, rows, active[columns - at, rows].float())
        scores.append(2 * both / (fired + count))
    best, which = torch.stack(scores).max(0)
    alike = torch.sparse.mm(truth, truth.T).to_dense()
    alike = 2 * alike / (count + count[:, None])
    kept: list[int] = []
    for row in torch.argsort(best, descending=True, stable=True).tolist():
        if best[row] >= AT_LEAST and len(kept) < WIDTH * 3 // 4 and not (alike[row, kept] > 0.9).any():
            kept.append(row)
    encoder, bias = probes[:, kept], -cuts[which[kept]]
    acts = (x @ encoder + bias).relu()
    decoder = torch.linalg.solve(acts.T @ acts + 1e-2 * len(x) / 1000 * torch.eye(len(kept)), acts.T @ x)
    left = torch.nn.functional.normalize(x - acts @ decoder, dim=-1)[torch.randperm(len(x))[:20_000]]
    more = left[scattered(left, WIDTH - len(kept))]
    size = decoder.norm(dim=-1)
    log.info("sae: %d of %d concepts can be read by a probe", len(kept), len(count))
    return Beginning(
        torch.cat([encoder * size, 0.3 * more.T], 1),
        torch.cat([bias * size, torch.zeros(len(more))]),
        torch.cat([decoder / size[:, None], more]),
        center,
    )


def scattered(x: torch.Tensor, count: int) -> list[int]:
    """Rows of x [n, d_model] that point in different directions, chosen as k-means++ does."""
    chosen = [0]
    nearest = x @ x[0]  # cosine of each row to the nearest one chosen so far
    while len(chosen) < count:
        chosen.append(int(torch.multinomial((1 - nearest).clamp(min=0).pow(2), 1)))
        nearest = torch.maximum(nearest, x @ x[chosen[-1]])
    return chosen


def halve(folder: Path) -> None:
    """Rewrite a saved SAE's weights in half precision; its configuration still says to compute in float32."""
    path = folder / "sae_weights.safetensors"
    save_file({name: value.half() for name, value in load_file(path).items()}, path)
    config = json.loads((folder / "cfg.json").read_text())
    config |= {"dtype": "float32", "device": "cpu"}
    (folder / "cfg.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_sae(folder: Path) -> SAE:
    """The saved SAE, as float32."""
    return SAE.load_from_disk(folder, device="cpu", dtype="float32").eval()
