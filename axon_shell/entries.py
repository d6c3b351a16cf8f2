"""Models and SAEs of the user's own: `[[models]]` and `[[saes]]` of config.toml become what plugins register.

Everything that can be known without reading weights is checked here (`folders`): whether the files are there and whole,
their shapes, the hook point, the model. What does not fit is told at once, with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from . import hub
from .config import ModelEntry, SaeEntry
from .errors import ConfigError, WeightsError
from .folders import COPY, FORMATS, MODEL_WEIGHTS, ModelFacts, SaeFacts, format_of, model_facts, sae_facts
from .published import directory, files_of, hook_of, page_of, published_sae, published_saes
from .records import HubFiles, ModelSpec, PublishedSae, SaeFiles, SaeSpec, hub_model

# Places that hold a vector of the residual stream's width.
RESIDUAL = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "mlp.hook_out")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
CONVERT = (
    "Convert it once with Hugging Face's transformers: AutoModelForCausalLM.from_pretrained(FOLDER)"
    ".save_pretrained(FOLDER) writes model.safetensors."
)


# -- models -------------------------------------------------------------------


def model_of(entry: ModelEntry, base: Path) -> ModelSpec:
    """The model of an entry; a folder is relative to `base`.

    Raises ConfigError when it is not there or no model, WeightsError when its files are damaged or do not fit.
    """
    if bool(entry.folder) == bool(entry.repository):
        which = "both, a folder and a repository" if entry.folder else "neither a folder nor a repository"
        raise ConfigError(f"Model {entry.id} has {which}.", "Give its entry one of them.")
    if "/" in entry.id or not entry.id.strip():
        raise ConfigError(f"{entry.id!r} cannot be the id of a model.", "Choose an id without a slash.")
    weights: Path | HubFiles = in_folder(entry.folder, base) if entry.folder else repository(entry.repository, entry.id)
    if isinstance(weights, Path):
        require_model(weights, entry.id)
    known = facts_of(weights)
    return ModelSpec(
        id=entry.id,
        name=entry.name or entry.id,
        family="your own",
        weights=weights if isinstance(weights, Path) else hub_model(weights.repo),
        context=known.context,
        size_bytes=known.size_bytes,
        parameters=known.parameters,
        sae=entry.sae,
        prepend_bos=entry.bos,
        licence=entry.licence,
        examples=entry.examples,
        about=entry.about or f"From {entry.folder or entry.repository}, added in config.toml.",
    )


def repository(name: str, id: str) -> HubFiles:
    """A repository as config.toml names it. Raises ConfigError when that can be no name of one."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ConfigError(f"{id}: {name!r} is no repository of the hub.", 'Write it as OWNER/NAME, "openai/gpt2".')
    return hub_model(name)


def require_model(folder: Path, id: str) -> None:
    """Raise ConfigError unless a folder holds a model in Hugging Face format."""
    require_folder(folder, f"Model {id}")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConfigError(
            f"Model {id}: {folder} holds an adapter (LoRA), not a whole model.",
            "Merge it into its model with peft's `merge_and_unload()`, and save that with `save_pretrained`.",
        )
    if not (folder / "config.json").is_file():
        raise ConfigError(f"Model {id}: {folder} has no config.json.", "It must be in Hugging Face format.")
    if not any(folder.glob(MODEL_WEIGHTS)):
        if pickle := next((file.name for kind in PICKLES for file in sorted(folder.glob(kind))), ""):
            raise ConfigError(
                f"Model {id}: the weights in {folder} are pickled ({pickle}). A pickle can run any code when it is "
                "read, so none is.",
                CONVERT,
            )
        raise ConfigError(f"Model {id}: {folder} has no model.safetensors.", COPY)
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"Model {id}: {folder} has no tokenizer.json.",
            "Copy it from the model that this one was made of; or write it with Hugging Face's transformers: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )


def facts_of(weights: object) -> ModelFacts:
    """What is known of a model without loading it, from its folder or from what the hub's cache has of it.

    Raises WeightsError when the files in a folder are damaged or do not fit each other.
    """
    if isinstance(weights, Path):
        return model_facts(weights)
    if isinstance(weights, HubFiles) and (there := hub.snapshot(weights.repo)):
        with suppress(WeightsError):  # half downloaded perhaps; loading tells
            return model_facts(there)
    return ModelFacts()


def saes_for(entry: ModelEntry, model: ModelSpec, others: Mapping[str, list[SaeSpec]]) -> Iterator[SaeSpec]:
    """The SAEs of SAELens's directory that are offered for a model of the user's own.

    Those of the model that the entry names with `published`, else of the one that is called as its repository. `others`
    are the SAEs in the catalogue by model. Raises ConfigError when SAELens knows no such model.
    """
    known = {sae["model"].lower(): sae["model"] for sae in directory()}
    name = known.get((entry.published or entry.repository.split("/")[-1]).lower())
    if entry.published and not name:
        raise ConfigError(
            f"SAELens's directory has no SAE of {entry.published!r}, which {entry.id} names as `published`.",
            nearest(entry.published, known.values(), "Its models: {}."),
        )
    if name and name in others:  # listed already, with what its plugin knows of their sizes
        for sae in others[name]:
            yield replace(sae, id=f"{model.id}/{sae.id.partition('/')[2]}", model=model.id)
    elif name:
        yield from published_saes(name, facts_of(model.weights).width, reader=model.id)


# -- SAEs ---------------------------------------------------------------------


def sae_of(entry: SaeEntry, base: Path, models: Mapping[str, ModelSpec]) -> SaeSpec:
    """The SAE of an entry; a folder is relative to `base`.

    Raises ConfigError or NotFound when it is not there or cannot be an SAE of its model, WeightsError when its files
    are damaged or do not fit.
    """
    name = entry.model or entry.id.partition("/")[0]
    before, slash, after = entry.id.partition("/")
    if not (before and after):
        example = f"{before or 'MODEL'}/NAME" if slash else f"{entry.model or 'MODEL'}/{entry.id or 'NAME'}"
        raise ConfigError(f"{entry.id!r} cannot be the id of an SAE.", f"Write it as MODEL/NAME: {example}.")
    if name not in models:
        raise ConfigError(f"SAE {entry.id} reads {name!r}, which is no model.", nearest(name, models, "Models: {}."))
    if sum(map(bool, (entry.folder, entry.repository, entry.release))) != 1:
        raise ConfigError(
            f"SAE {entry.id} needs a folder, a repository or a release, one of them.", "Give its entry one of them."
        )
    require_format(entry)
    weights, facts = files_and_facts(entry, base)
    spec = SaeSpec(
        id=entry.id,
        model=name,
        hook=entry.hook or facts.hook,
        width=facts.width,
        weights=weights,
        size_bytes=facts.size_bytes,
        neuronpedia=entry.neuronpedia or (page_of(weights) if isinstance(weights, PublishedSae) else ""),
        about=entry.about or f"From {entry.folder or weights}, added in config.toml.",
    )
    require_place(spec, facts.takes, models[name])
    return spec


def files_and_facts(entry: SaeEntry, base: Path) -> tuple[Path | PublishedSae | SaeFiles, SaeFacts]:
    """Where the SAE of an entry is, and what is known of it without loading it."""
    if entry.release:
        if not entry.sae_id:
            example = next((sae["id"] for sae in directory() if sae["release"] == entry.release), "")
            hint = f'Give it one: sae_id = "{example}".' if example else "Give it one."
            raise ConfigError(f"SAE {entry.id} has a release but no sae_id.", hint)
        published = published_sae(entry.release, entry.sae_id)
        return published, SaeFacts(hook=hook_of(entry.release, entry.sae_id, ""))
    if entry.repository:
        repository(entry.repository, f"SAE {entry.id}")
        form, path = entry.format or "sae_lens", entry.path.strip("/")
        files = SaeFiles(form, files_of(entry.repository, path, form), path)
        facts = SaeFacts()
        if there := hub.snapshot(entry.repository):
            with suppress(WeightsError):  # half downloaded perhaps; loading tells
                facts = sae_facts(there / path, form, f"{entry.repository}/{path}")
        return files, facts
    folder = in_folder(entry.folder, base)
    require_folder(folder, f"SAE {entry.id}")
    form = entry.format or known_format(folder, entry.id)
    for file in FORMATS.get(form, ()):
        if not (folder / file).is_file():
            raise ConfigError(f"SAE {entry.id}: {folder} has no {file}, as an SAE in the format {form} has.", COPY)
    return folder if form == "sae_lens" else SaeFiles(form, folder), sae_facts(folder, form)


def require_format(entry: SaeEntry) -> None:
    """Raise ConfigError when the format of an entry is none that SAELens converts."""
    known = {*FORMATS, *(sae["loader"] for sae in directory())}
    if entry.format and entry.format not in known:
        raise ConfigError(
            f"SAE {entry.id}: there is no format {entry.format!r}.",
            nearest(entry.format, sorted(known), "Formats: {}."),
        )


def known_format(folder: Path, id: str) -> str:
    """The format of the SAE in a folder. Raises ConfigError when its files are of none."""
    if form := format_of(folder):
        return form
    inside = sorted(path for path in folder.iterdir())
    there = ", ".join(path.name for path in inside[:6]) or "nothing"
    hint = "SAELens keeps cfg.json and sae_weights.safetensors. For a format that looks otherwise, give `format`."
    if nested := next((path.name for path in inside if path.is_dir() and format_of(path)), ""):
        hint = f'Name the folder of one SAE: "{Path(folder.name, nested).as_posix()}".'
    raise ConfigError(f"SAE {id}: {folder} holds no SAE in a known format, but {there}.", hint)


def require_place(sae: SaeSpec, takes: int, model: ModelSpec) -> None:
    """Raise ConfigError when a model has no such place as an SAE reads, or vectors of another size there."""
    has = facts_of(model.weights)
    layer = re.match(r"blocks\.(\d+)\.", sae.hook)
    if layer and has.layers and int(layer[1]) >= has.layers:
        raise ConfigError(
            f"SAE {sae.id} reads {sae.hook}, but {model.id} has blocks.0 to blocks.{has.layers - 1}.",
            "It was trained on another model: correct `model`, `hook` or the folder.",
        )
    if takes and has.width and sae.hook.endswith(RESIDUAL) and takes != has.width:
        raise ConfigError(
            f"SAE {sae.id} takes vectors of {takes} numbers, but {model.id} has {has.width} at {sae.hook}.",
            "It was trained on another model: correct `model`, or the folder.",
        )


# -- both ---------------------------------------------------------------------


def in_folder(named: str, base: Path) -> Path:
    """A folder as config.toml names it: absolute, from the home folder (~), or from that file's own."""
    return (base / Path(named).expanduser()).resolve()


def require_folder(folder: Path, what: str) -> None:
    """Raise ConfigError unless a folder is there."""
    if not folder.is_dir():
        said = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"{what}: {folder} {said}.", "Correct `folder`, or bring the files there.")


def nearest(name: str, known: Collection[str], listing: str) -> str:
    """What a name may have been meant for; else all that are known."""
    near = get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]}?" if near else listing.format(", ".join(sorted(set(known))))
