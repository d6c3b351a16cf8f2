"""Speed and memory of calibrating, against the model and the SAE alone: `python -m benchmarks.calibrate`.

Tiny World as it is, and GPT-2 small with an SAE of 24,576 features, on random weights of true size. The bare loop runs
the same rows through the same pass and encodes them, and drops what it finds; both are counted in processor time, so
that other programs slow both alike.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from time import process_time

import torch

from axon_shell.config import Config
from axon_shell.engine.bench import machine, peak_memory
from axon_shell.engine.calibrate import NUMBERS, ROW, Speed, count, encoded, tokenized
from axon_shell.engine.findings import findings
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.passes import batches_of, in_rows, read_rows
from axon_shell.engine.sae import Sae, first_token, load_sae
from axon_shell.engine.tally import Tally
from axon_shell.engine.text import Decoder
from axon_shell.plugins import catalogue
from benchmarks import random_weights

TOKENS = {"tiny-world/2-res": 100_000, "gpt2-small/8-res-jb": 20_000}
WORDS = "the of and to in a is that it was for on as with his he be at by had not are but from or have an they you were"


def main(wanted: Sequence[str] = tuple(TOKENS)) -> None:
    """Measure, and print a table."""
    print(f"{machine()}\n")
    print("| SAE | tokens | bare loop | counting | looking | of the bare speed | peak memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in wanted:
        if name.startswith("gpt2"):
            with tempfile.TemporaryDirectory() as folder:
                print("Writing random weights ...", file=sys.stderr)
                random_weights.gpt2(random_weights.in_cache(Path(folder), "gpt2"))
                place = random_weights.in_cache(Path(folder), "jbloom/GPT2-Small-SAEs-Reformatted")
                random_weights.gpt2_res_jb(place, 8, bias=-0.87)  # about 60 of 24,576 features fire
                environment = os.environ | {"HF_HOME": folder, "AXON_HOME": folder, "AXON_OFFLINE": "1"}
                script = f"from benchmarks.calibrate import measure; measure({name!r})"
                subprocess.run([sys.executable, "-c", script], check=True, env=environment)
        else:
            measure(name)


def measure(name: str) -> None:
    """One row of the table."""
    found = catalogue(Config())
    spec, (sae_spec,) = found.choose(name.split("/")[0], [name])
    model = load_model(spec, torch.device("cpu"), lambda stage: None)
    sae = load_sae(sae_spec, model, lambda stage: None)
    texts = written(TOKENS[name])
    bare = cpu(lambda: bare_loop(model, sae, texts))
    tally = Tally(sae.spec.width)
    counting = cpu(lambda: [None for _ in count(model, sae, texts, tally, TOKENS[name], Speed())])
    looking = cpu(lambda: [None for _ in findings(tally, Decoder(model.tokenizer).piece)])
    per = 1e6 / tally.tokens
    print(
        f"| {name} | {tally.tokens:,} | {per * bare:,.0f} µs a token | {per * counting:,.0f} µs"
        f" | {per * looking:,.0f} µs | {bare / (counting + looking):.0%} | {peak_memory() / 1e9:.2f} GB |"
    )


def written(tokens: int) -> list[str]:
    """Sentences that cost nothing to make, of as many words as tokens."""
    chance = random.Random(0)
    return [" ".join(chance.choices(WORDS.split(), k=200)) for _ in range(tokens // 200)]


def bare_loop(model: Model, sae: Sae, texts: list[str]) -> None:
    """The model and the SAE alone."""
    bos = first_token(model, [sae])
    rows = [row for ids in tokenized(model, texts) for row in in_rows(ids, bos, ROW)]
    source = iter(rows)
    while block := list(islice(source, 64)):
        for batch in batches_of(block):
            chosen = [block[number] for number in batch]
            x = read_rows(model, [sae.spec.hook], chosen)[sae.spec.hook]
            for part in x.flatten(0, 1).split(max(NUMBERS // sae.spec.width, 1)):
                encoded(sae, part)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of processor time that a piece of work takes."""
    began = process_time()
    work()
    return process_time() - began


if __name__ == "__main__":
    main(sys.argv[1:] or tuple(TOKENS))
