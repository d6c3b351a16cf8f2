"""Calibrate Tiny World's SAEs on text that nothing was trained, chosen or measured on, and pack what that gives.

    python plugins/tiny_world/calibrate.py [--out DIR] [--seed 0] [--tokens 300000]

It runs `axon-shell calibrate` and `axon-shell labels export --contexts` with a data folder of their own, keeps the
strongest of what they give, and packs it tightly. The same seed gives the same figures, but for the time it took.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from world import documents

SAES = ("0-res", "2-res", "3-res")
KEPT = {"strongest": 4, "random": 2, "pairs": 10}  # of each feature
DOCUMENTS = 20_000  # more than are read


def main() -> None:
    """Calibrate every SAE."""
    parser = argparse.ArgumentParser(description="Calibrate Tiny World's SAEs.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "calibrations", help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=300_000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        corpus = home / "Tiny World's own text.jsonl"
        with corpus.open("w", encoding="utf-8") as file:
            for document in itertools.islice(documents(f"{arguments.seed} calibration"), DOCUMENTS):
                file.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")
        for source in SAES:
            pack = home / f"{source}.labels.jsonl.gz"
            sae = f"tiny-world/{source}"
            shell(home, "calibrate", sae, "--corpus", str(corpus), "--tokens", str(arguments.tokens))
            shell(home, "labels", "export", sae, "--contexts", "--output", str(pack))
            write(pack, arguments.out / f"{source}.labels.jsonl.xz")


def shell(home: Path, *words: str) -> None:
    """Run a command of AXON Shell."""
    environment = os.environ | {"AXON_HOME": str(home), "AXON_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "axon_shell", *words], check=True, env=environment)


def write(pack: Path, smaller: Path) -> None:
    """Write a pack anew with the strongest of each feature alone."""
    header, *rows = (json.loads(line) for line in gzip.decompress(pack.read_bytes()).splitlines())
    lines = []
    for row in rows:
        measured = row["c"]
        for name in ("strongest", "random"):
            kept = measured.get(name, [])[: KEPT[name]]
            measured[name] = [[tokens, [short(value) for value in values]] for tokens, values in kept]
        others, together, lift, q = (column[: KEPT["pairs"]] for column in measured.get("pairs") or [[]] * 4)
        measured["pairs"] = [others, together, list(map(short, lift)), [float(f"{value:.0e}") for value in q]]
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    header |= {"rows": len(lines), "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" + b"".join(lines)
    smaller.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    print(f"{smaller} ({smaller.stat().st_size:,} bytes)")


def short(value: float) -> float:
    """A number with two digits that count; 0 without a point."""
    return float(f"{value:.2g}") if value else 0


if __name__ == "__main__":
    main()
