"""Small models of random weights and random SAEs in true format: nothing learned, everything computable.

Random weights are the harder test of exactness: no number is small by training.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sae_lens import SAE
from sae_lens.registry import SAE_CLASS_REGISTRY
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
)

from axon_shell import ModelSpec, SaeSpec
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.plugins import Catalogue

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


def llama(vocabulary: int, bos: int) -> PreTrainedModel:
    """Llama: RMSNorm, rotary positions, a gated MLP, keys and values shared by heads."""
    return LlamaForCausalLM(LlamaConfig(**shape(vocabulary, bos), num_key_value_heads=HEADS // 2))


def qwen2(vocabulary: int, bos: int) -> PreTrainedModel:
    """Qwen 2: as Llama, with biases on queries, keys and values."""
    return Qwen2ForCausalLM(Qwen2Config(**shape(vocabulary, bos), num_key_value_heads=HEADS // 2))


def qwen3(vocabulary: int, bos: int) -> PreTrainedModel:
    """Qwen 3: queries and keys normalised in each head."""
    heads = {"num_key_value_heads": HEADS // 2, "head_dim": WIDTH // HEADS}
    return Qwen3ForCausalLM(Qwen3Config(**shape(vocabulary, bos), **heads))


def gemma3(vocabulary: int, bos: int) -> PreTrainedModel:
    """Gemma 3: normalised queries and keys, most layers with a sliding window and rotary positions of their own."""
    config = Gemma3TextConfig(
        **shape(vocabulary, bos),
        num_key_value_heads=HEADS // 2,
        head_dim=WIDTH // HEADS,
        query_pre_attn_scalar=WIDTH // HEADS,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2) + ["sliding_attention"] * (LAYERS % 2),
        pad_token_id=bos,
    )
    return Gemma3ForCausalLM(config)


def gemma3_with_images(vocabulary: int, bos: int) -> PreTrainedModel:
    """Gemma 3 from 4B on: the same language model beside one that reads images."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = SiglipVisionConfig(**sizes, image_size=16, patch_size=8)
    marks = {"image_token_index": vocabulary - 1, "boi_token_index": 1, "eoi_token_index": 2}
    parts = {"text_config": gemma3(vocabulary, bos).config, "vision_config": vision}
    config = Gemma3Config(**parts, **marks, mm_tokens_per_image=4, bos_token_id=bos, eos_token_id=bos)
    return Gemma3ForConditionalGeneration(config)


def shape(vocabulary: int, bos: int) -> dict[str, Any]:
    """What most families call the same."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": bos,
        "eos_token_id": bos,
        "initializer_range": 0.2,
    }


def further(name: str, **changes: Any) -> Callable[[int, int], PreTrainedModel]:
    """A model of another architecture of Hugging Face's, by its class name."""

    def make(vocabulary: int, bos: int) -> PreTrainedModel:
        config = getattr(transformers, f"{name}Config")(**shape(vocabulary, bos) | {"pad_token_id": bos} | changes)
        return getattr(transformers, f"{name}ForCausalLM")(config)

    return make


# Architectures that keep their numbers in ways of their own: in place (Falcon), without the batch (OPT), without a
# weight in the normalisation (OLMo), beside each other (Phi), with positions in the attention scores (Bloom).
FURTHER = {
    "mistral": further("Mistral", num_key_value_heads=HEADS // 2),
    "phi": further("Phi"),
    "falcon": further("Falcon"),
    "opt": further("OPT", ffn_dim=4 * WIDTH, word_embed_proj_dim=WIDTH),
    "olmo": further("Olmo"),
    "bloom": further("Bloom", n_layer=LAYERS, n_head=HEADS),
}
NETWORKS = {
    "gpt2": gpt2,
    "gpt_neox": pythia,
    "gemma2": gemma2,
    "llama": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma3": gemma3,
    "gemma3 with images": gemma3_with_images,
    **FURTHER,
}


def in_transformer_lens(model: Model, centred: bool = False) -> HookedTransformer:
    """The same GPT-2 weights in TransformerLens, read from the same folder."""
    config = model.network.config
    cfg = HookedTransformerConfig(
        n_layers=config.n_layer,
        d_model=config.n_embd,
        n_ctx=config.n_positions,
        d_head=config.n_embd // config.n_head,
        n_heads=config.n_head,
        d_vocab=config.vocab_size,
        act_fn=config.activation_function,
        eps=config.layer_norm_epsilon,
        normalization_type="LN",
        original_architecture="GPT2LMHeadModel",
        device="cpu",
    )
    lens = HookedTransformer(cfg, AutoTokenizer.from_pretrained(model.spec.weights))
    state = convert_gpt2_weights(AutoModelForCausalLM.from_pretrained(model.spec.weights), cfg)
    lens.load_and_process_state_dict(
        state, fold_ln=False, center_writing_weights=centred, center_unembed=False, fold_value_biases=False
    )
    return lens


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


# -- SAEs as other libraries write them ---------------------------------------
# Written with nothing of SAELens, so that what its converters make of them can be checked.


def arrays(d_in: int, features: int, seed: int) -> dict[str, torch.Tensor]:
    """Random encoder (d_in, features), decoder (features, d_in) and biases."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    decoder = random(features, d_in)
    return {
        "W_enc": random(d_in, features) / d_in**0.5,
        "b_enc": 0.1 * random(features),
        "W_dec": decoder / decoder.norm(dim=-1, keepdim=True),
        "b_dec": 0.3 * random(d_in),
        "threshold": 0.5 * torch.rand(features, generator=generator),
    }


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))


def sparsify_sae(folder: Path, d_in: int = WIDTH, features: int = FEATURES, seed: int = 1, **changes: Any) -> None:
    """EleutherAI's sparsify: a linear layer and the decoder's rows, in half precision; the run's settings above it."""
    a = arrays(d_in, features, seed)
    names = {"encoder.weight": a["W_enc"].T, "encoder.bias": a["b_enc"], "W_dec": a["W_dec"], "b_dec": a["b_dec"]}
    about = {
        "activation": "topk",
        "expansion_factor": features // d_in,
        "normalize_decoder": True,
        "num_latents": features,
        "k": 12,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": d_in,
    }
    write_json(folder / "cfg.json", about | changes)
    write_json(folder.parent / "config.json", {"model": "org/random", "dataset": "d", "ctx_len": 2048})
    save_file({name: t.bfloat16().contiguous() for name, t in names.items()}, folder / "sae.safetensors")


def dictionary(folder: Path, kind: str, seed: int = 1, features: int = FEATURES, **changes: Any) -> None:
    """The dictionary_learning library: its module's tensors under its names, as torch.save writes them."""
    a = arrays(WIDTH, features, seed)
    layer = {"encoder.weight": a["W_enc"].T.contiguous(), "decoder.weight": a["W_dec"].T.contiguous()}
    scalars = {"k": torch.tensor(12, dtype=torch.int), "threshold": torch.tensor(0.4)}
    matrices = {name: a[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    tensors = {
        "AutoEncoder": layer | {"encoder.bias": a["b_enc"], "bias": a["b_dec"]},
        "AutoEncoderTopK": layer | scalars | {"encoder.bias": a["b_enc"], "b_dec": a["b_dec"]},
        "BatchTopKSAE": layer | scalars | {"encoder.bias": a["b_enc"], "b_dec": a["b_dec"]},
        "MatryoshkaBatchTopKSAE": matrices | scalars | {"group_sizes": torch.tensor([features // 2, features // 2])},
        "JumpReluAutoEncoder": matrices | {"threshold": a["threshold"]},
        "GatedAutoEncoder": layer
        | {
            "decoder_bias": a["b_dec"],
            "r_mag": a["threshold"],
            "gate_bias": a["b_enc"],
            "mag_bias": a["b_enc"].flip(0),
        },
        "AutoEncoderNew": layer | {"encoder.bias": a["b_enc"], "decoder.bias": a["b_dec"]},
    }[kind]
    trainer = {
        "dict_class": kind,
        "trainer_class": "Trainer",
        "activation_dim": WIDTH,
        "dict_size": features,
        "k": 12,
        "layer": 1,
        "lm_name": "org/random",
        "submodule_name": "resid_post_layer_1",
    }
    buffer = {"d_submodule": WIDTH, "io": "out", "ctx_len": 128}
    about = {"trainer": trainer | changes.pop("trainer", {}), "buffer": buffer | changes.pop("buffer", {})}
    write_json(folder / "config.json", about)
    torch.save(tensors, folder / "ae.pt")


def gemma_scope_sae(folder: Path, d_in: int = WIDTH, features: int = FEATURES, seed: int = 1) -> None:
    """Gemma Scope: NumPy's arrays and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in arrays(d_in, features, seed).items()})


def gemma_scope_2_sae(folder: Path, seed: int = 1, layer: int = 1, skip: bool = False, **changes: Any) -> None:
    """Gemma Scope 2: the same under small letters as safetensors, and which of Hugging Face's modules it reads."""
    tensors = {name.lower(): tensor for name, tensor in arrays(WIDTH, FEATURES, seed).items()}
    if skip:
        tensors["affine_skip_connection"] = 0.2 * arrays(WIDTH, WIDTH, seed + 1)["W_enc"]
    place = f"model.layers.{layer}.output"
    about = {
        "architecture": "jump_relu",
        "type": "sae",
        "model_name": "gemma-v3-1b-pt",
        "hf_hook_point_in": place,
        "hf_hook_point_out": place,
        "width": FEATURES,
        "l0": 60,
        "affine_connection": skip,
    }
    write_json(folder / "config.json", about | changes)
    save_file(tensors, folder / "params.safetensors")


def sae_lens_files(folder: Path, about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """SAELens: cfg.json, of this or an earlier version, and the tensors under its names."""
    write_json(folder / "cfg.json", {"d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu"} | about)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")


def two_models(folder: Path) -> Catalogue:
    """A catalogue of two random models, each with the SAE `first`."""
    found = Catalogue()
    for seed, name in enumerate(("random", "second")):
        spec = make_model(folder / name, seed)
        found.models[name] = ModelSpec(name, name.title(), "gpt2", spec.weights, CONTEXT, 0, sae=f"{name}/first")
        sae = make_sae(folder / f"{name}-sae", "blocks.1.hook_resid_pre", seed=seed)
        found.saes[f"{name}/first"] = SaeSpec(f"{name}/first", name, sae.hook, sae.width, sae.weights)
    return found


def seldom_firing(folder: Path, hook: str) -> tuple[Model, Sae]:
    """A model and an SAE of random weights, of which few features fire at a token."""
    model = load_model(make_model(folder / "model"), torch.device("cpu"), lambda stage: None)
    sae = load_sae(make_sae(folder / "sae", hook), model, lambda stage: None)
    sae.sae.threshold.data.fill_(1.5)
    return model, sae
