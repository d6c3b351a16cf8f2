"""By what a session was made: the exact weights, and the versions of what computed with them."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__
from .hub import on_hub, snapshot
from .records import HubFiles, Message, ModelSpec, SaeSpec, Spec

LIBRARIES = ("torch", "transformers", "transformer-lens", "sae-lens")
LARGEST = 2_000_000_000  # bytes of a file whose checksum is computed; that of a file from the hub is its name there
CHUNK = 1 << 20


def provenance(model: ModelSpec, saes: Sequence[SaeSpec]) -> Message:
    """Program, libraries, model and SAEs as a session records them: names with texts."""
    return {
        "program": __version__,
        "python": platform.python_version(),
        **libraries(),
        "system": platform.platform(),
        "model": weights_of(model),
        "saes": {sae.id: weights_of(sae) for sae in saes},
    }


@cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that compute."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def weights_of(spec: Spec) -> dict[str, str]:
    """Where weights are from, at which revision, and their SHA-256 where it is known."""
    files = on_hub(spec)
    if files:
        folder = snapshot(files.repo)
        found = {"weights": str(files), "revision": folder.name if folder else ""}
        path = largest(folder, files) if folder else None
    elif callable(spec.weights):
        return {"weights": "made by its plugin"}
    else:
        found, path = {"weights": str(spec.weights)}, largest(Path(str(spec.weights)))
    checksum = checksum_of(path) if path else ""
    return found | ({"sha256": checksum} if checksum else {})


def largest(folder: Path, files: HubFiles | None = None) -> Path | None:
    """The largest file of weights in a folder."""
    names = files.needed if files else ("*.safetensors", "*.npz", "*.pt")
    paths = [path for name in names for path in folder.glob(name) if path.is_file()]
    return max(paths, key=lambda path: path.stat().st_size, default=None)


def checksum_of(path: Path) -> str:
    """The SHA-256 of a file: its name in the hub's cache, else computed where it is not too large."""
    real = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    state = real.stat()
    return computed(real, state.st_size, state.st_mtime_ns) if state.st_size <= LARGEST else ""


@cache
def computed(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a file that had this size and was last changed then."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
