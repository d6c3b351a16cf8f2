"""Small models of random weights and random SAEs in true format: nothing learned, everything computable.

Random weights are the harder test of exactness: no number is small by training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sae_lens import SAE
from sae_lens.registry import SAE_CLASS_REGISTRY
from sae_lens.saes.sae import SAEMetadata
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from axon_shell import ModelSpec, SaeSpec

LAYERS, WIDTH, HEADS, CONTEXT, FEATURES = 3, 48, 4, 64, 256


def make_model(folder: Path, seed: int = 0, family: str = "gpt2") -> ModelSpec:
    """Write a model in Hugging Face format and return its spec."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog sat on the cat"] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    network = NETWORKS[family](len(fast), fast.bos_token_id)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # biases and scales, which Hugging Face sets to 0 and 1
                parameter.add_(0.1 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    return ModelSpec("random", "Random", family, folder, CONTEXT, 0)


def gpt2(vocabulary: int, bos: int) -> PreTrainedModel:
    """GPT-2: learned positions, LayerNorm."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=bos,
        eos_token_id=bos,
        initializer_range=0.2,
    )
    config.n_ctx = CONTEXT
    return GPT2LMHeadModel(config)


def pythia(vocabulary: int, bos: int) -> PreTrainedModel:
    """Pythia: rotary positions on a quarter of each head, attention and MLP side by side."""
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=CONTEXT,
        bos_token_id=bos,
        eos_token_id=bos,
        initializer_range=0.2,
    )
    return GPTNeoXForCausalLM(config)


def gemma2(vocabulary: int, bos: int) -> PreTrainedModel:
    """Gemma 2: soft caps, normalisation before and after, every second layer sees a sliding window only."""
    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2,
        head_dim=WIDTH // HEADS,
        query_pre_attn_scalar=WIDTH // HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=CONTEXT,
        sliding_window=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
        bos_token_id=bos,
        eos_token_id=bos,
        pad_token_id=bos,
        initializer_range=0.2,
    )
    return Gemma2ForCausalLM(config)


NETWORKS = {"gpt2": gpt2, "gpt_neox": pythia, "gemma2": gemma2}


def make_sae(
    folder: Path,
    hook: str,
    width: int = WIDTH,
    centre: bool = False,
    seed: int = 1,
    id: str = "",
    architecture: str = "jumprelu",
    metadata: dict[str, Any] | None = None,
    **settings: Any,
) -> SaeSpec:
    """Write an SAE in SAELens format and return its spec; `settings` go to its configuration."""
    torch.manual_seed(seed)
    about = SAEMetadata(**{"hook_name": hook, "model_name": "random", "prepend_bos": True} | (metadata or {}))
    if centre:
        about.model_from_pretrained_kwargs = {"center_writing_weights": True}
    if "transcoder" in architecture:
        about.hook_name_out = about.hook_name_out or hook.rsplit(".", 1)[0] + ".hook_mlp_out"
        settings = {"d_out": WIDTH, "apply_b_dec_to_input": False} | settings
    sae_class, config_class = SAE_CLASS_REGISTRY[architecture]
    sae = sae_class(config_class(d_in=width, d_sae=FEATURES, metadata=about, **settings))
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn_like(parameter) / parameter.shape[0] ** 0.5)
        if "jumprelu" in architecture:
            sae.threshold.copy_(0.2 * torch.rand_like(sae.threshold))
        if architecture == "matching_pursuit":
            sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True))
    sae.save_model(folder)
    assert SAE.load_from_disk(folder).cfg.architecture() == architecture
    return SaeSpec(id or f"random/{hook}", "random", hook, FEATURES, folder)
