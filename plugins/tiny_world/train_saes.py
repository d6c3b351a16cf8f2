"""Train one sparse autoencoder per hook point, with SAELens's own trainer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from sae_lens import SAE
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file
from train_model import CONTEXT, pack, training_rows
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

LAYERS = (0, 1, 2, 3)
WIDTH = 768
ACTIVE = 16  # features per token that training aims at
BATCH = 1024
ROW_LENGTH = 128


def hook_name(layer: int) -> str:
    """TransformerLens's name of what leaves this layer."""
    return f"blocks.{layer}.hook_resid_post"


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


def gather(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int
) -> dict[int, torch.Tensor]:
    """Layer: [tokens, d_model] in half precision, from fresh documents, end-of-text positions (BOS too) left out."""
    rows = training_rows(tokenizer, f"{seed} saes")
    kept: dict[int, list[torch.Tensor]] = {layer: [] for layer in LAYERS}
    count = 0
    for step in itertools.count():
        if count >= tokens:
            break
        length = CONTEXT if step % 4 == 0 else ROW_LENGTH
        ids = pack(rows, length, 8192 // length)
        words = ids != 0
        for layer, vectors in activations(model, ids, LAYERS).items():
            kept[layer].append(vectors[words].half())
        count += int(words.sum())
    return {layer: torch.cat(parts)[:tokens] for layer, parts in kept.items()}


def batches(vectors: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Shuffled batches without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(vectors), generator=generator)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            yield vectors[order[at : at + BATCH]].float()


def train_sae(folder: Path, layer: int, vectors: torch.Tensor, seed: int, samples: int) -> None:
    """Train an SAE on these vectors and write it in half precision, in SAELens's format."""
    torch.manual_seed(seed + layer)
    sae = BatchTopKTrainingSAE(
        BatchTopKTrainingSAEConfig(
            d_in=vectors.shape[1], d_sae=WIDTH, k=ACTIVE, dtype="float32", device="cpu", normalize_activations="none",
            apply_b_dec_to_input=True, rescale_acts_by_decoder_norm=True,
        )
    )  # fmt: skip
    begin_from_data(sae, vectors)
    trainer = SAETrainer(
        cfg=SAETrainerConfig(
            n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=samples,
            device="cpu", autocast=False, lr=1e-3, lr_end=1e-5, lr_scheduler_name="cosineannealing",
            lr_warm_up_steps=100, adam_beta1=0.9, adam_beta2=0.999, lr_decay_steps=0, n_restart_cycles=1,
            train_batch_size_samples=BATCH, dead_feature_window=60, feature_sampling_window=2000,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae,
        data_provider=batches(vectors, seed),
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


@torch.no_grad()
def begin_from_data(sae: BatchTopKTrainingSAE, vectors: torch.Tensor) -> None:
    """Let features begin as directions that occur, each in another cluster: fewer of them die than of random ones."""
    center = vectors[:100_000].float().mean(0)
    x = torch.nn.functional.normalize(vectors[torch.randperm(len(vectors))[:20_000]].float() - center, dim=-1)
    chosen = [0]
    nearest = x @ x[0]  # cosine of each vector to the nearest one chosen so far
    while len(chosen) < WIDTH:
        unlike = (1 - nearest).clamp(min=0).pow(2)
        chosen.append(int(torch.multinomial(unlike, 1)))
        nearest = torch.maximum(nearest, x @ x[chosen[-1]])
    sae.b_dec.copy_(center)
    sae.W_dec.copy_(x[chosen] * sae.W_dec.norm(dim=-1).mean())
    sae.W_enc.copy_(0.2 * x[chosen].T)  # small: many features overlap at first


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
