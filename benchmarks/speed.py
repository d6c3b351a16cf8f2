"""Speed of GPT-2 small with SAEs of 24,576 features, on random weights of true size: `python -m benchmarks.speed`.

Writes 1.3 GB of random weights into a folder as a hub cache keeps them, and has `axon-shell bench` measure them as it
would measure the real ones: random numbers are multiplied as fast as learned ones. Then once more with three SAEs, to
show what each further one adds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import random_weights

MODEL = "gpt2-small"
LAYERS = (8, 4, 10)


def main() -> None:
    """Make the weights, measure, and print what the README shows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print("Writing random weights ...", file=sys.stderr)
        random_weights.gpt2(random_weights.in_cache(home, "gpt2"))
        for layer in LAYERS:
            place = random_weights.in_cache(home, "jbloom/GPT2-Small-SAEs-Reformatted")
            random_weights.gpt2_res_jb(place, layer, bias=-0.87)  # about 60 of 24,576 features fire
        one = bench(home, LAYERS[:1], (16, 128, 512, 1000))
        three = bench(home, LAYERS, (128,))
    start, *speeds = one
    print(f"{start['machine']}\n")
    print("| context | faster than the naive loop | of the floor of memory | blocks / unembedding / SAE / rest |")
    print("|---|---|---|---|")
    for speed in speeds:
        print(f"| {speed['context']} | {speed['gain']:.0f}x | {speed['over_floor']:.2f}x | {shares_of(speed)} |")
    print(f"\nPeak memory with one SAE: {start['peak_memory'] / 1e9:.2f} GB")
    print(f"With three SAEs: {three[1]['gain']:.0f}x, {shares_of(three[1])} at context {three[1]['context']}")


def shares_of(speed: dict) -> str:
    """What each part takes of a token's time."""
    return " / ".join(f"{share:.0%}" for share in speed["shares"].values())


def bench(home: Path, layers: tuple[int, ...], contexts: tuple[int, ...]) -> list[dict]:
    """What `axon-shell bench --json` prints, record by record."""
    command = [sys.executable, "-m", "axon_shell", "bench", "--model", MODEL, "--json"]
    for layer in layers:
        command += ["--sae", f"{MODEL}/{layer}-res-jb"]
    for context in contexts:
        command += ["--context", str(context)]
    environment = os.environ | {"HF_HOME": str(home), "AXON_HOME": str(home / "axon"), "AXON_OFFLINE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
