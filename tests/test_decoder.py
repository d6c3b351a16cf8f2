"""Directions of features are those of the SAE, read with no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import REPOSITORY
from sae_lens import SAE

from axon_shell.config import Config
from axon_shell.decoder import decoder_rows
from axon_shell.plugins import catalogue


def test_rows_are_those_of_the_sae(tmp_path: Path) -> None:
    spec = catalogue(Config()).saes["tiny-world/2-res"]
    sae = SAE.load_from_disk(str(spec.weights))
    assert np.allclose(decoder_rows(spec, [5, 0, 5]), sae.W_dec[[5, 0, 5]].detach().numpy(), atol=1e-3)
    assert decoder_rows(spec, []).shape == (0, sae.W_dec.shape[1])
    assert decoder_rows(spec, [10**6]) is None
    assert decoder_rows(replace(spec, weights=tmp_path), [0]) is None
    (tmp_path / "sae_weights.safetensors").write_bytes(b"damaged")
    assert decoder_rows(replace(spec, weights=tmp_path), [0]) is None


def test_no_torch_is_needed() -> None:
    script = """
import sys
from axon_shell.config import Config
from axon_shell.decoder import decoder_rows
from axon_shell.plugins import catalogue
assert decoder_rows(catalogue(Config()).saes["tiny-world/2-res"], [1]) is not None
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=REPOSITORY)
