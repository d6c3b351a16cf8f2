"""SAEs that others have published, as SAELens's directory lists them: 14,000 of them, read without importing SAELens.

The directory is one large YAML file inside SAELens, which takes a second to parse; what is needed of it is kept in the
cache folder as JSON for each version of SAELens. It names each SAE's repository and path, and Neuronpedia's name where
there is one. The hook point and the width follow from these names; a loaded SAE's own metadata has the last word.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

from . import homes
from .errors import NotFound
from .records import HubFiles, PublishedSae, SaeSpec

FLOAT32 = 4  # bytes
# Where SAELens's directory names a page of Neuronpedia that belongs to another SAE: the right one, or none.
NEURONPEDIA = {
    ("pythia-70m-deduped-res-sm", "blocks.0.hook_resid_pre"): "pythia-70m-deduped/e-res-sm",
    ("gemma-scope-9b-pt-res", "layer_2/width_16k/average_l0_8"): "",
    ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_114"): "",
}
# Loaders of SAELens whose SAEs cannot be read here, and why.
REFUSED = {
    "temporal": "it predicts part of each activation from all tokens before, which no feature stands for",
    "mntss_clt_layer_transcoder": (
        "it is one layer of a cross-layer transcoder, and SAELens gives its activations but no reconstruction"
    ),
}


def published_saes(
    model: str, width: int, widths: Mapping[str, int] | None = None, reader: str = ""
) -> Iterator[SaeSpec]:
    """The SAEs of SAELens's directory that read a model, those with a page on Neuronpedia first.

    `model` is the directory's name of the model, `width` the entries of its residual stream (0: not known). `widths`
    says how many features the SAEs of a release have where no name tells. `reader` is the id of the model that they
    are offered for, where that is another: a fine-tune, or the same model under a name of the user's.
    """
    taken: set[str] = set()
    entries = [entry for entry in directory() if entry["model"] == model]
    for entry in sorted(entries, key=lambda entry: not neuronpedia_of(entry)):
        neuronpedia = neuronpedia_of(entry)
        names = (entry["release"], entry["id"], entry["path"], neuronpedia, entry["repo"])
        features = (widths or {}).get(entry["release"]) or features_of(*names)
        name = neuronpedia.removeprefix(f"{model}/")
        if name == neuronpedia or name in taken:
            name = f"{entry['release']}/{entry['id']}"
        taken.add(name)
        yield SaeSpec(
            id=f"{reader or model}/{name}",
            model=reader or model,
            hook=hook_of(entry["release"], entry["id"], entry["loader"]),
            width=features,
            weights=as_published(entry),
            size_bytes=2 * features * width * FLOAT32,
            neuronpedia=neuronpedia,
            refused=REFUSED.get(entry["loader"], ""),
            about=f"{entry['release']}, L0 about {entry['l0']:g}" if entry["l0"] else entry["release"],
        )


def published_sae(release: str, sae_id: str) -> PublishedSae:
    """One SAE of SAELens's directory. Raises NotFound naming the nearest."""
    entries = {entry["id"]: entry for entry in directory() if entry["release"] == release}
    if sae_id in entries:
        return as_published(entries[sae_id])
    if entries:
        near = get_close_matches(sae_id, entries, 1) or list(entries)[:1]
        raise NotFound(f"SAELens's release {release!r} has no SAE {sae_id!r}.", f"Did you mean {near[0]}?")
    near = get_close_matches(release, {entry["release"] for entry in directory()}, 1)
    raise NotFound(f"SAELens's directory has no release {release!r}.", f"Did you mean {near[0]}?" if near else "")


def page_of(published: PublishedSae) -> str:
    """Neuronpedia's name of an SAE of SAELens's directory; empty where it shows none."""
    named = (published.release, published.sae_id)
    return next((neuronpedia_of(one) for one in directory() if (one["release"], one["id"]) == named), "")


def as_published(entry: Mapping[str, Any]) -> PublishedSae:
    """An entry of the directory as its loader takes it."""
    return PublishedSae(entry["release"], entry["id"], files_of(entry["repo"], entry["path"], entry["loader"]))


@cache
def directory() -> list[dict[str, Any]]:
    """Every SAE of SAELens's directory: release, id, model, repo, path, loader, neuronpedia, l0."""
    found = importlib.util.find_spec("sae_lens")  # found, not imported
    if found is None or not found.origin:
        return []
    source = Path(found.origin).with_name("pretrained_saes.yaml")
    try:
        state = source.stat()
    except OSError:
        return []
    kept = homes.cache() / f"saelens-directory-{state.st_size}-{state.st_mtime_ns}.json"
    with suppress(OSError, ValueError):
        return json.loads(kept.read_bytes())
    entries = parse(source)
    with suppress(OSError):  # it is only slower without
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob("saelens-directory-*"):
            old.unlink()
        fresh = kept.with_suffix(".new")
        fresh.write_text(json.dumps(entries))
        fresh.replace(kept)
    return entries


def neuronpedia_of(entry: Mapping[str, Any]) -> str:
    """Neuronpedia's name of an SAE of the directory; empty where it shows none."""
    return NEURONPEDIA.get((entry["release"], entry["id"]), entry["neuronpedia"])


def parse(source: Path) -> list[dict[str, Any]]:
    """The entries of SAELens's YAML file."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    releases = yaml.load(source.read_bytes(), Loader=loader)
    return [
        {
            "release": release,
            "id": str(sae["id"]),
            "model": str(about["model"]).split("/")[-1],
            "repo": about["repo_id"],
            "path": str(sae["path"]),
            "loader": about.get("conversion_func") or "sae_lens",
            "neuronpedia": sae.get("neuronpedia") or "",
            "l0": sae.get("l0") or 0,
        }
        for release, about in releases.items()
        for sae in about["saes"]
    ]


def files_of(repo: str, path: str, loader: str) -> HubFiles:
    """The files that one of SAELens's loaders reads from a folder of a repository."""
    folder = f"{path}/" if path else ""
    match loader:
        case "sae_lens":
            names = (f"{folder}cfg.json", f"{folder}sae_weights.safetensors")
            return HubFiles(repo, names, (f"{folder}sparsity.safetensors",))
        case "sparsify":
            run = f"{path.rpartition('/')[0]}/config.json".lstrip("/")  # of all SAEs of one training
            return HubFiles(repo, (f"{folder}cfg.json", f"{folder}sae.safetensors"), (run,))
        case "gemma_3" if "clt" in path:
            return HubFiles(repo, (f"{path}.safetensors",), (f"{folder}config.json",))
        case "gemma_3":
            return HubFiles(repo, (f"{folder}params.safetensors",), (f"{folder}config.json",))
        case "llama_scope":
            return HubFiles(repo, (f"{folder}hyperparams.json", f"{folder}checkpoints/final.safetensors"))
        case "gemma_2" | "gemma_2_transcoder":
            return HubFiles(repo, (f"{folder}params.npz",))
        case "dictionary_learning_1":
            return HubFiles(repo, (f"{folder}config.json", f"{folder}ae.pt"))
        case "connor_rob_hook_z":
            return HubFiles(repo, (path, f"{path.split('.pt')[0]}_cfg.json"))
    # Others keep a folder for each SAE, or a file beside descriptions of all.
    return HubFiles(repo, (path,) if "." in path.split("/")[-1] else (f"{folder}*",), ("*.yaml", "*.json"))


def hook_of(release: str, sae_id: str, loader: str) -> str:
    """The hook point that the names of an SAE speak of; empty where they do not."""
    if match := re.match(r"blocks\.(\d+)\.(?:attn\.)?(hook_[a-z]+(?:_pre|_mid|_post|_out)?)", sae_id):
        layer, place = match.groups()
        return f"blocks.{layer}.attn.hook_z" if place == "hook_z" else f"blocks.{layer}.{place}"
    if sae_id.startswith("embedding/"):
        return "hook_embed"
    if match := re.match(r"layer_(\d+)", sae_id):
        places = {"-res": "hook_resid_post", "-mlp": "hook_mlp_out", "-att": "attn.hook_z"}
        if loader == "gemma_2_transcoder":
            return f"blocks.{match[1]}.ln2.hook_normalized"
        place = next((place for mark, place in places.items() if mark in release), "")
        return f"blocks.{match[1]}.{place}" if place and loader == "gemma_2" else ""
    return ""


def features_of(*names: str) -> int:
    """How many features an SAE has, as its names say it; 0 where none does."""
    text = " ".join(names)
    if match := re.search(r"2pow(\d+)", text):
        return 2 ** int(match[1])
    if match := re.search(r"(?:width_|v5[-_]|-w-|-res-|_)(\d+(?=k)|\d(?=m))([km])(?![a-z0-9])", text):
        # 16k is 16,384, 65k is 65,536 and 1m is 1,048,576; 800m are the tokens that it was trained on
        return 2 ** round(log2(int(match[1]) * {"k": 1e3, "m": 1e6}[match[2]]))
    if match := re.search(r"(?:_ds|hook_mlp_out_|hook_resid_pre_|hook_resid_post_)(\d{3,6})(?!\d)", text):
        return int(match[1])
    return 0
