"""Make the tokenizer and the language model of the world, from scratch."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from world import Document, documents, facts

log = logging.getLogger("tiny-world")

EOT = "<|endoftext|>"  # begins and ends every document; always token 0
VOCABULARY = 2304
CONTEXT = 512
ROW_LENGTHS = (64, 512)  # short rows put many documents right behind BOS, long rows train every position
TOKENS_PER_STEP = 2048


def make_tokenizer(folder: Path, seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE in which every word of the world is one token and any other text still round-trips."""
    texts = [document.text for document in itertools.islice(documents(f"{seed} tokenizer"), 20_000)]
    texts += [fact.prompt + fact.answer + "." for fact in facts()] * 20
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=2, special_tokens=[EOT], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token=EOT, eos_token=EOT, unk_token=EOT, model_max_length=CONTEXT
    )
    tokenizer.save_pretrained(folder)
    split = {fact.answer for fact in facts() if "-" not in fact.answer and len(tokenizer(fact.answer).input_ids) != 1}
    if split:
        raise ValueError(f"These answers are more than one token; raise VOCABULARY: {sorted(split)}")
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[numpy.ndarray]:
    """Token ids of each text, with the end-of-text token that closes it."""
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False).input_ids
    return [numpy.array([*row, 0], dtype=numpy.int16) for row in ids]


def pack(rows: Iterator[numpy.ndarray], length: int, count: int) -> torch.Tensor:
    """[count, length] token ids: BOS, then whole documents, the last one cut where the row ends."""
    batch = numpy.zeros((count, length), dtype=numpy.int64)
    for row in batch:
        at = 1  # row[0] is BOS
        while at < length:
            document = next(rows)[: length - at]
            row[at : at + len(document)] = document
            at += len(document)
    return torch.from_numpy(batch)


def train_model(folder: Path, tokenizer: PreTrainedTokenizerFast, seed: int, steps: int) -> None:
    """Train a small GPT-2 on fresh documents and write it to `folder` in half precision."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=128, n_layer=4, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    decay = [p for p in model.parameters() if p.dim() == 2]
    other = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}], lr=1.0, betas=(0.9, 0.98)
    )
    warmup, peak = 80, 3e-3
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: peak * min((step + 1) / warmup, 0.02 + 0.98 * (1 + math.cos(math.pi * min(step / steps, 1))) / 2),
    )
    rows = training_rows(tokenizer, seed)
    for step in range(steps):
        length = ROW_LENGTHS[step % 5 == 0]
        batch = pack(rows, length, TOKENS_PER_STEP // length)
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("model: step %d of %d, loss %.3f", step, steps, loss.item())
    save_model(model.half(), folder)


def training_rows(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[numpy.ndarray]:
    """Encoded training documents without end."""
    source: Iterator[Document] = documents(f"{seed} train")
    while True:
        yield from encode(tokenizer, [document.text for document in itertools.islice(source, 1000)])


def save_model(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write half-precision weights that load as float32, as the program computes."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"dtype": "float32", "n_ctx": CONTEXT}  # TransformerLens asks for n_ctx
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone


def load_model(folder: Path) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The saved model, as float32, and its tokenizer."""
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), PreTrainedTokenizerFast.from_pretrained(folder)


@torch.no_grad()
def check_facts(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, tuple[int, int]]:
    """Kind of fact: how many are completed correctly at temperature 0 right behind BOS, and how many there are."""
    score: dict[str, tuple[int, int]] = {}
    by_length: dict[tuple[int, int], list[tuple[str, list[int], list[int]]]] = {}
    for fact in facts():
        prompt, answer = [0, *tokenizer(fact.prompt).input_ids], tokenizer(fact.answer + ".").input_ids
        by_length.setdefault((len(prompt), len(answer)), []).append((fact.kind, prompt, answer))
    for (start, _), group in by_length.items():
        logits = model(torch.tensor([prompt + answer for _, prompt, answer in group])).logits
        # greedy decoding gives the answer exactly when each of its tokens is the argmax after those before it
        guesses = logits[:, start - 1 : -1].argmax(-1)
        for (kind, _, answer), guess in zip(group, guesses.tolist(), strict=True):
            right, total = score.get(kind, (0, 0))
            score[kind] = (right + (guess == answer), total + 1)
    return score
