"""The directions in which an SAE writes its features, read from its file with no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .hub import on_hub, snapshot
from .records import SaeFiles, SaeSpec

if TYPE_CHECKING:
    import numpy as np

WEIGHTS, ROWS = "sae_weights.safetensors", "W_dec"  # in the format of SAELens


def decoder_rows(spec: SaeSpec, features: Sequence[int]) -> np.ndarray | None:
    """What each of these features adds per unit of activation, (K, width of what the SAE writes).

    None where the weights are not on this machine, or in a format that only the loaded SAE can read.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    path = weights_file(spec)
    if path is None:
        return None
    try:
        with safe_open(path, framework="np") as file:
            rows = file.get_slice(ROWS)
            width = rows.get_shape()[1]
            found = [rows[feature : feature + 1] for feature in features]
            return np.concatenate(found).astype(np.float32) if found else np.zeros((0, width), np.float32)
    except (OSError, SafetensorError, TypeError, ValueError, IndexError):  # damaged, or numbers that NumPy has not
        return None


def weights_file(spec: SaeSpec) -> Path | None:
    """The file with an SAE's weights, where it lies on this machine in the format of SAELens."""
    if isinstance(spec.weights, Path):
        path = spec.weights / WEIGHTS
        return path if path.is_file() else None
    files = on_hub(spec)
    folder = snapshot(files.repo) if files and not isinstance(spec.weights, SaeFiles) else None
    found = [path for name in files.needed for path in folder.glob(name)] if files and folder else []
    return next((path for path in found if path.name == WEIGHTS), None)
