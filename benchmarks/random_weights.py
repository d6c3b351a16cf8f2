"""Weights of true format, names and size, filled with random numbers: nothing is downloaded and nothing learned.

Each function writes the files of one repository of the Hugging Face hub as the real one lays them out, so that the
libraries' own loading code reads them unmodified. Speed, memory and agreement between libraries are real; what features
mean is not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

END_OF_TEXT = "<|endoftext|>"


def in_cache(home: Path, repo: str) -> Path:
    """The folder in which a hub cache (HF_HOME) keeps the files of a repository, as if they had been downloaded."""
    folder = home / "hub" / f"models--{repo.replace('/', '--')}"
    commit = "0" * 40
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def write_json(path: Path, content: Any) -> None:
    """One JSON file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))


def write_tokenizer(folder: Path, size: int, special: tuple[str, ...], first: bool) -> None:
    """A byte-pair tokenizer of a size: all bytes, then pairs of them; special tokens first or last, as in GPT-2."""
    characters = sorted(bytes_to_unicode().values())
    names = list(special) if first else []
    names += characters
    merges = []
    for left in characters:
        for right in characters:
            if len(names) < size - (0 if first else len(special)):
                names.append(left + right)
                merges.append((left, right))
    names += [] if first else special
    tokenizer = Tokenizer(models.BPE(vocab={name: id for id, name in enumerate(names)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def gpt2(folder: Path, seed: int = 0, **changes: int) -> None:
    """`gpt2` of the hub: names without a prefix, and the attention masks that nobody reads; 548 MB."""
    last = changes.get("vocab_size", 50_257) - 1
    config = GPT2Config(**{"bos_token_id": last, "eos_token_id": last} | changes)
    torch.manual_seed(seed)
    network = GPT2LMHeadModel(config)
    n = config.n_positions
    mask = torch.ones(n, n).tril().view(1, 1, n, n)
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in network.state_dict().items()}
    del tensors["lm_head.weight"]  # the embedding once more
    tensors |= {f"h.{layer}.attn.bias": mask.clone() for layer in range(config.n_layer)}
    write_json(
        folder / "config.json",
        {
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.1,
            "bos_token_id": config.vocab_size - 1,
            "embd_pdrop": 0.1,
            "eos_token_id": config.vocab_size - 1,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "model_type": "gpt2",
            "n_ctx": n,
            "n_embd": config.n_embd,
            "n_head": config.n_head,
            "n_layer": config.n_layer,
            "n_positions": n,
            "resid_pdrop": 0.1,
            "vocab_size": config.vocab_size,
        },
    )
    eos = {"bos_token_id": config.vocab_size - 1, "eos_token_id": config.vocab_size - 1}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **eos})
    write_json(folder / "tokenizer_config.json", {"model_max_length": n, "tokenizer_class": "GPT2Tokenizer"})
    write_tokenizer(folder, config.vocab_size, (END_OF_TEXT,), first=False)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]
    write_json(folder / "vocab.json", vocabulary["vocab"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in vocabulary["merges"]))
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def pythia_70m(folder: Path, seed: int = 0, **changes: int) -> None:
    """`EleutherAI/pythia-70m-deduped`: half precision, with masks and rotary frequencies; 166 MB."""
    sizes = {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048}
    about = {"vocab_size": 50_304, "max_position_embeddings": 2048, "bos_token_id": 0, "eos_token_id": 0}
    config = GPTNeoXConfig(**(sizes | about | changes))
    torch.manual_seed(seed)
    n = config.max_position_embeddings
    tensors = {name: tensor.half() for name, tensor in GPTNeoXForCausalLM(config).state_dict().items()}
    for layer in range(config.num_hidden_layers):
        attention = f"gpt_neox.layers.{layer}.attention"
        rotary = config.hidden_size // config.num_attention_heads // 4
        tensors[f"{attention}.bias"] = torch.ones(n, n, dtype=torch.bool).tril().view(1, 1, n, n)
        tensors[f"{attention}.masked_bias"] = torch.tensor(-1e9).half()
        tensors[f"{attention}.rotary_emb.inv_freq"] = 1 / 10_000 ** (torch.arange(0, rotary, 2).half() / rotary)
    write_json(
        folder / "config.json",
        {
            "architectures": ["GPTNeoXForCausalLM"],
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu",
            "hidden_size": config.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": config.intermediate_size,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": n,
            "model_type": "gpt_neox",
            "num_attention_heads": config.num_attention_heads,
            "num_hidden_layers": config.num_hidden_layers,
            "rotary_emb_base": 10_000,
            "rotary_pct": 0.25,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "use_cache": True,
            "use_parallel_residual": True,
            "vocab_size": config.vocab_size,
        },
    )
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GPTNeoXTokenizer", **special})
    write_json(folder / "special_tokens_map.json", special)
    write_tokenizer(folder, min(config.vocab_size, 50_254), (END_OF_TEXT,), first=True)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def gemma_2_2b(folder: Path, seed: int = 0, shards: int = 3, **changes: Any) -> None:
    """`google/gemma-2-2b`: float32 in three files and an index; 10.5 GB unless `changes` make it smaller."""
    config = Gemma2Config(**({"hidden_size": 2304, "num_hidden_layers": 26} | changes))
    torch.manual_seed(seed)
    tensors = {name: tensor for name, tensor in Gemma2ForCausalLM(config).state_dict().items() if "lm_head" not in name}
    folder.mkdir(parents=True, exist_ok=True)
    names, places = sorted(tensors), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        held = names[shard::shards]
        places |= dict.fromkeys(held, file)
        save_file({name: tensors[name].contiguous() for name in held}, folder / file, {"format": "pt"})
    size = sum(tensor.numel() * 4 for tensor in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": places})
    kept = config.to_dict()
    for name in ("transformers_version", "_name_or_path"):
        kept.pop(name, None)
    write_json(folder / "config.json", kept | {"architectures": ["Gemma2ForCausalLM"], "torch_dtype": "float32"})
    special = ("<pad>", "<eos>", "<bos>", "<unk>")
    names_of = {f"{name.strip('<>')}_token": name for name in special}
    write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, **names_of}
    )
    write_json(folder / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    write_tokenizer(folder, config.vocab_size, special, first=True)


# -- SAEs ---------------------------------------------------------------------


def sae_tensors(d_in: int, d_sae: int, seed: int = 1, bias: float = -0.5) -> dict[str, torch.Tensor]:
    """Encoder, decoder and biases; rows of the decoder have length 1. A lower bias lets fewer features fire."""
    torch.manual_seed(seed)
    decoder = torch.randn(d_sae, d_in)
    decoder /= decoder.norm(dim=-1, keepdim=True)
    return {
        "W_enc": torch.randn(d_in, d_sae) / d_in**0.5,
        "W_dec": decoder,
        "b_enc": torch.full((d_sae,), bias),
        "b_dec": 0.01 * torch.randn(d_in),
    }


def gpt2_res_jb(folder: Path, layer: int = 8, d_in: int = 768, d_sae: int = 24_576, bias: float = -0.5) -> None:
    """One SAE of `jbloom/GPT2-Small-SAEs-Reformatted`, with the configuration of SAELens before 6; 151 MB."""
    place = folder / f"blocks.{layer}.hook_resid_pre"
    write_json(
        place / "cfg.json",
        {
            "model_name": "gpt2-small",
            "hook_point": f"blocks.{layer}.hook_resid_pre",
            "hook_point_layer": layer,
            "hook_point_head_index": None,
            "dataset_path": "Skylion007/openwebtext",
            "is_dataset_tokenized": False,
            "context_size": 128,
            "use_cached_activations": False,
            "d_in": d_in,
            "b_dec_init_method": "geometric_median",
            "expansion_factor": d_sae // d_in,
            "l1_coefficient": 8e-05,
            "lr": 0.0004,
            "seed": 42,
            "dtype": "torch.float32",
            "d_sae": d_sae,
            "device": "mps",
        },
    )
    save_file(sae_tensors(d_in, d_sae, bias=bias), place / "sae_weights.safetensors")
    save_file({"sparsity": torch.full((d_sae,), -3.0)}, place / "sparsity.safetensors")


def gpt2_oai_topk(folder: Path, layer: int = 8, d_in: int = 768, d_sae: int = 32_768) -> None:
    """One SAE of `jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs`: TopK, inputs brought to one length; 201 MB."""
    place = folder / f"v5_32k_layer_{layer}.pt"  # a folder, whatever its name says
    write_json(
        place / "cfg.json",
        {
            "architecture": "standard",
            "model_name": "gpt2-small",
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "hook_layer": layer,
            "hook_head_index": None,
            "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": 32},
            "apply_b_dec_to_input": True,
            "finetuning_scaling_factor": False,
            "normalize_activations": "layer_norm",
            "prepend_bos": False,
            "context_size": 64,
            "d_in": d_in,
            "d_sae": d_sae,
            "dtype": "float32",
            "device": "cpu",
            "sae_lens_training_version": None,
        },
    )
    save_file(sae_tensors(d_in, d_sae, seed=2), place / "sae_weights.safetensors")


def pythia_res_sm(folder: Path, layer: int = 3, d_in: int = 512, d_sae: int = 32_768) -> None:
    """One SAE of `ctigges/pythia-70m-deduped__res-sm_processed`; 134 MB."""
    place = folder / f"{layer}-res-sm"
    write_json(
        place / "cfg.json",
        {
            "architecture": "standard",
            "model_name": "pythia-70m-deduped",
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "hook_layer": layer,
            "hook_head_index": None,
            "activation_fn_str": "relu",
            "apply_b_dec_to_input": True,
            "finetuning_scaling_factor": False,
            "normalize_activations": "none",
            "prepend_bos": False,
            "context_size": 128,
            "d_in": d_in,
            "d_sae": d_sae,
            "dtype": "float32",
            "device": "cpu",
            "sae_lens_training_version": None,
        },
    )
    save_file(sae_tensors(d_in, d_sae, seed=3), place / "sae_weights.safetensors")


def gemma_scope_res(folder: Path, path: str = "layer_12/width_16k/average_l0_82") -> None:
    """One SAE of `google/gemma-scope-2b-pt-res`: JumpReLU as NumPy arrays and nothing else; 302 MB."""
    tensors = sae_tensors(2304, 16_384, seed=4)
    tensors["threshold"] = 0.5 + torch.rand(16_384)
    (folder / path).mkdir(parents=True, exist_ok=True)
    np.savez(folder / path / "params.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
