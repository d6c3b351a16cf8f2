"""Train an SAE for a place in a model: SAELens's trainer on activations that our own forward pass reads from text.

What is trained, step by step, is SAELens's: its training SAEs, losses, optimizer and schedules. Ours are the stream of
activations, where the features begin, the checkpoint, and what is told.

Activations are scaled so that their vectors are as long as the root of their size, as SAELens does it; in the end the
scale is folded into the weights, and decoder rows get the length 1: activations then count in the model's own units.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.registry import get_sae_training_class
from sae_lens.saes.sae import SAEMetadata, TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import training
from ..errors import Busy, CorpusError, EngineError, OutOfMemory, TrainingError
from ..pieces import Piece, Pieces, documents
from ..provenance import libraries
from ..records import Message, SaeSpec
from ..training import TrainingSettings
from .activations import Activations, Position, Reading
from .model import THREADS, Model, out_of_memory
from .quality import quality
from .sae import load_sae
from .stream import widths

BATCH = 512  # tokens of a step
WARM_UP = 100  # steps in which the learning rate rises; fewer in a short training
WIDTH = 8  # features for each entry of the vectors, where the user does not say
RATE, AT_WIDTH = 2e-3, 1280  # learning rate at this width; wider SAEs take a smaller one
DEAD_FOR = 200_000  # tokens without which a feature counts as dead; a tenth of a short training
HELD_OUT = 1 / 20  # of the text
TOLD_EVERY = 0.5  # seconds
LEVELS = (16, 4, 1)  # parts of a matryoshka SAE's features that must do alone
STEERED = 0.01  # change of the L1 penalty in a step, as a share, where L0 is twice what it should be
STATE = "checkpoint.safetensors"
# What SAELens's trainer counts: numbers, and a number for each feature.
COUNTERS = ("n_training_samples", "n_training_steps", "n_frac_active_samples")
COUNTS = ("act_freq_scores", "n_forward_passes_since_fired")


@dataclass
class Training:
    """An SAE in training."""

    model: Model
    hook: str
    name: str
    settings: TrainingSettings
    trainer: SAETrainer
    activations: Activations
    scale: float  # by which activations are multiplied
    text: Pieces
    held_out: tuple[Piece, ...]
    folder: Path  # of the checkpoint

    @property
    def id(self) -> str:
        """The id that the SAE will have in the catalogue."""
        return f"{self.model.spec.id}/{self.name}"


def train(
    model: Model,
    hook: str,
    name: str,
    text: Pieces,
    settings: TrainingSettings,
    stopped: Callable[[], bool],
    resume: bool = False,
    checkpoint_every: float = 60.0,
) -> Iterator[Message]:
    """Train an SAE and put it into the data folder: messages "start", "progress" and, last, "end" or "stopped".

    When it is stopped, and every so many seconds, a checkpoint is written, from which `resume` goes on as if nothing
    had happened. Raises TrainingError, Busy, CorpusError and what the engine raises.
    """
    folder = training.unfinished(model.spec.id, name)
    begun_at = time.monotonic()
    with claimed(folder):
        job = (resumed if resume else begun)(model, hook, name, text, settings, folder)
        yield start(job, resume)
        before, reading = job.trainer.n_training_samples, job.activations.reading
        began = written = time.monotonic()  # the first chunk, which is read already, would spoil the time left
        told = 0.0
        while job.trainer.n_training_samples < settings.tokens:
            if stopped():
                save(job)
                yield {"kind": "stopped", "sae": job.id, "tokens": job.trainer.n_training_samples}
                return
            output = step(job)
            now = time.monotonic()
            if now > told + TOLD_EVERY:
                told = now
                yield progress(job, output, (job.trainer.n_training_samples - before) / (now - began))
            if now > written + checkpoint_every:
                save(job)
                written = time.monotonic()
        save(job)
        seconds = time.monotonic() - begun_at
        speeds = {
            "seconds": round(seconds, 1),
            "tokens_per_second": round((job.trainer.n_training_samples - before) / seconds, 1),
            "forward_tokens_per_second": round(reading.tokens / reading.seconds, 1) if reading.seconds else 0.0,
        }
        yield {"kind": "measuring", "sae": job.id}
        end = {"kind": "end", "sae": job.id} | finished(job, speeds)
        shutil.rmtree(folder, ignore_errors=True)
        yield end


# -- begin, or go on ----------------------------------------------------------


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep others from training the same SAE. Raises Busy where one does."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        named = f"{folder.parent.name}/{folder.name}"
        raise Busy(f"{named} is being trained already.", "Wait until it ends, or take another --name.") from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # where nothing was begun
            folder.rmdir()


def begun(model: Model, hook: str, name: str, text: Pieces, settings: TrainingSettings, folder: Path) -> Training:
    """A new SAE, its features where the first activations point."""
    reading, d_in = Reading(model, hook), widths(model, (hook,))[hook]
    held_out, rest = divided(text, settings.seed)
    activations = Activations(reading, rest, d_in, BATCH, settings.seed, Position())
    scale = math.sqrt(d_in) / activations.chunk.norm(dim=-1).mean().item()
    trainer = trainer_of(model, hook, d_in, reading, settings)
    begin_at(trainer.sae, activations.chunk * scale, settings.seed)
    trainer.activation_scaler.scaling_factor = scale
    return Training(model, hook, name, settings, trainer, activations, scale, text, held_out, folder)


def divided(text: Pieces, seed: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Pieces to measure with, and pieces to train on. Raises CorpusError where there are not enough."""
    order = torch.randperm(len(text.pieces), generator=torch.Generator().manual_seed(seed)).tolist()
    held: list[int] = []
    for number in order:
        if len(held) >= max(1, len(order) * HELD_OUT):
            break
        if next(documents(text.pieces[number]), ""):  # in long lines of .jsonl not every piece begins something
            held.append(number)
    rest = tuple(piece for number, piece in enumerate(text.pieces) if number not in set(held))
    if not (held and any(next(documents(piece), "") for piece in rest)):
        raise CorpusError(f"{text.path} holds too little text.", "Some kilobytes are the least, megabytes are better.")
    return tuple(text.pieces[number] for number in sorted(held)), rest


def trainer_of(model: Model, hook: str, d_in: int, reading: Reading, settings: TrainingSettings) -> SAETrainer:
    """SAELens's trainer with an SAE of random weights."""
    width = settings.width or WIDTH * d_in
    own: dict[str, Any] = {}
    match settings.architecture:
        case "jumprelu":  # Gemma Scope 2's loss, which aims at an L0
            own = {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": float(settings.l0)}
        case "batchtopk" | "topk" | "matryoshka":
            own = {"k": settings.l0}
    if settings.architecture in ("batchtopk", "matryoshka"):  # of the threshold in use: a short training has few steps
        own["topk_threshold_lr"] = max(0.01, 10 * BATCH / settings.tokens)
    if settings.architecture == "matryoshka":
        own["matryoshka_widths"] = [width // part for part in LEVELS]
    metadata = SAEMetadata(
        model_name=model.spec.id,
        hook_name=hook,
        context_size=reading.context,
        prepend_bos=reading.bos is not None,
        model_from_pretrained_kwargs={},  # the model is read as it is: nothing is centred
    )
    architecture = {"matryoshka": "matryoshka_batchtopk"}.get(settings.architecture, settings.architecture)
    sae_class, config_class = get_sae_training_class(architecture)
    torch.manual_seed(settings.seed)
    rate = settings.lr or RATE * min(1.0, math.sqrt(AT_WIDTH / width))
    return SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=settings.tokens,
            train_batch_size_samples=BATCH,
            lr=rate,
            lr_end=rate / 100,
            lr_scheduler_name="cosineannealing",
            lr_warm_up_steps=min(WARM_UP, settings.tokens // (10 * BATCH)),
            dead_feature_window=max(1, min(DEAD_FOR, settings.tokens // 10) // BATCH),
            device=str(model.device),
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae=sae_class(
            config_class(
                d_in=d_in, d_sae=width, dtype="float32", device=str(model.device), apply_b_dec_to_input=True,
                normalize_activations="none", metadata=metadata, **own,
            )
        ),
        data_provider=iter(()),  # steps are given their batches
    )  # fmt: skip


@torch.no_grad()
def begin_at(sae: Any, x: torch.Tensor, seed: int) -> None:
    """Let features begin in the directions of activations x (n, d_in): of those that begin at random many die."""
    centre = x.mean(0)
    some = torch.randint(len(x), (sae.cfg.d_sae,), generator=torch.Generator().manual_seed(seed))
    rows = torch.nn.functional.normalize(x[some.to(x.device)] - centre, dim=-1) * sae.W_dec.norm(dim=-1).mean()
    sae.b_dec.copy_(centre)
    sae.W_dec.copy_(rows)
    sae.W_enc.copy_(rows.T)


# -- a step -------------------------------------------------------------------


def step(job: Training) -> TrainStepOutput:
    """One step of SAELens's trainer. Raises OutOfMemory, or EngineError where the loss is no number any more."""
    batch = next(job.activations)
    torch.set_num_threads(THREADS)
    try:
        output = job.trainer.step(batch)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory("Training needs more memory than there is.", "Take fewer features (--width).") from error
    job.trainer.n_training_steps += 1
    if job.settings.architecture == "standard":
        steer(job, output)
    return output


@torch.no_grad()
def steer(job: Training, output: TrainStepOutput) -> None:
    """Raise or lower the L1 penalty so that as many features fire as are wanted: nobody knows it beforehand."""
    schedule = job.trainer.coefficient_schedulers["l1"]
    excess = output.feature_acts.bool().sum(-1).float().mean().item() / job.settings.l0 - 1
    schedule.final_value = min(max(schedule.final_value * math.exp(STEERED * max(-1, min(1, excess))), 1e-4), 1e4)


@torch.no_grad()
def progress(job: Training, output: TrainStepOutput, speed: float) -> Message:
    """What is told of a step."""
    x, y = output.sae_in, output.sae_out
    spread = (x - x.mean(-1, keepdim=True)).square().sum(-1)
    done, loss = job.trainer.n_training_samples, output.loss.item()
    if not math.isfinite(loss):
        raise EngineError("The loss is not a finite number.", "Train again with a smaller learning rate (--lr).")
    return {
        "kind": "progress",
        "sae": job.id,
        "step": job.trainer.n_training_steps,
        "tokens": done,
        "of": job.settings.tokens,
        "loss": loss,
        "l0": output.feature_acts.bool().sum(-1).float().mean().item(),
        "unexplained": ((x - y).square().sum(-1) / spread).mean().item(),
        "dead": int(job.trainer.dead_neurons.sum()),
        "tokens_per_second": round(speed, 1),
        "seconds_left": round((job.settings.tokens - done) / speed, 1),
    }


def start(job: Training, resume: bool) -> Message:
    """What is told before the first step."""
    notes, sae = [], job.trainer.sae
    words = len(job.activations.order) if job.activations.after.passes else 0
    if not words:  # more than the first chunk: by what that took of the text
        read = job.activations.after.piece - job.activations.at.piece
        words = len(job.activations.order) * len(job.activations.pieces) // read
    if (times := job.settings.tokens / words) >= 2:
        notes.append(
            f"The text has about {words:,} tokens, and training takes {job.settings.tokens:,}: it is read about "
            f"{times:.0f} times. More text makes a better SAE."
        )
    if job.activations.reading.places.bridged:
        notes.append(f"{job.hook} is read through TransformerLens's bridge: exact, but slower.")
    return {
        "kind": "start",
        "sae": job.id,
        "model": job.model.spec.id,
        "hook": job.hook,
        "settings": asdict(job.settings) | {"width": sae.cfg.d_sae, "lr": job.trainer.cfg.lr},
        "corpus": {"path": str(job.text.path), "bytes": job.text.size, "sha256": job.text.sha256},
        "skipped": [asdict(problem) for problem in job.text.skipped],
        "notes": notes,
        "device": str(job.model.device),
        "resumed_at": job.trainer.n_training_samples if resume else 0,
    }


# -- the checkpoint -----------------------------------------------------------


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise TrainingError where something cannot be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Make room there; then go on from the last checkpoint with --resume."
        raise TrainingError(f"{path} cannot be written: {reason}.", hint) from error


def save(job: Training) -> None:
    """Write the checkpoint: all at once, or the one before stays."""
    trainer, path = job.trainer, job.folder / STATE
    adam = trainer.optimizer.state_dict()
    tensors = {f"sae.{name}": tensor for name, tensor in trainer.sae.state_dict().items()}
    for number, state in adam["state"].items():
        tensors |= {f"adam.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors |= {name: getattr(trainer, name) for name in COUNTS}
    state = {
        "settings": asdict(job.settings),
        "model": job.model.spec.id,
        "hook": job.hook,
        "corpus": job.text.sha256,
        "path": str(job.text.path),
        "scale": job.scale,
        "position": asdict(job.activations.at),
        "groups": adam["param_groups"],
        "schedule": trainer.lr_scheduler.state_dict(),
        "coefficients": {name: vars(one) for name, one in trainer.coefficient_schedulers.items()},
        **{name: getattr(trainer, name) for name in COUNTERS},
    }
    fresh = path.with_suffix(".new")
    with writing(path):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, fresh, {"state": json.dumps(state)})
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.replace(path)


def saved(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its training. Raises TrainingError where there is none or it is damaged."""
    path = folder / STATE
    if not path.is_file():
        raise TrainingError(
            f"There is no checkpoint of {folder.parent.name}/{folder.name}.", "Train it without --resume."
        )
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["state"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"The checkpoint {path} is damaged: {error}", f"Delete {folder} and train anew.") from error


def resumed(model: Model, hook: str, name: str, text: Pieces, settings: TrainingSettings, folder: Path) -> Training:
    """An SAE as its checkpoint has it. Raises TrainingError or CorpusError where that belongs to something else."""
    state = saved(folder)
    if (state["model"], state["hook"], state["settings"]) != (model.spec.id, hook, asdict(settings)):
        raise TrainingError(f"The checkpoint in {folder} is of another training.", "Resume it as it was begun.")
    if state["corpus"] != text.sha256:
        raise CorpusError(
            f"{text.path} is not the text with which this training began.", f"Bring it back: it was {state['path']}."
        )
    reading, d_in = Reading(model, hook), widths(model, (hook,))[hook]
    held_out, rest = divided(text, settings.seed)
    trainer = trainer_of(model, hook, d_in, reading, settings)
    with safe_open(folder / STATE, framework="pt", device=str(model.device)) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    trainer.sae.load_state_dict({key.removeprefix("sae."): x for key, x in tensors.items() if key.startswith("sae.")})
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("adam."):
            _, number, what = key.split(".")
            moments.setdefault(int(number), {})[what] = tensor
    trainer.optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})
    trainer.lr_scheduler.load_state_dict(state["schedule"])
    for key, values in state["coefficients"].items():
        vars(trainer.coefficient_schedulers[key]).update(values)
    for key in COUNTS:
        setattr(trainer, key, tensors[key])
    for key in COUNTERS:
        setattr(trainer, key, state[key])
    trainer.activation_scaler.scaling_factor = state["scale"]
    activations = Activations(reading, rest, d_in, BATCH, settings.seed, Position(**state["position"]))
    return Training(model, hook, name, settings, trainer, activations, state["scale"], text, held_out, folder)


# -- the end ------------------------------------------------------------------


def finished(job: Training, speeds: dict[str, float]) -> Message:
    """Measure the SAE on text that it was not trained on and put it where the catalogue finds it; how good it is."""
    sae, spec = job.trainer.sae, job.model.spec
    sae.fold_activation_norm_scaling_factor(job.scale)
    sae.fold_W_dec_norm()
    place = training.done(spec.id, job.name)
    fresh = place.with_name(f".{place.name}.new")
    with writing(place):
        shutil.rmtree(fresh, ignore_errors=True)
        sae.save_inference_model(fresh)
        loaded = load_sae(SaeSpec(job.id, spec.id, job.hook, sae.cfg.d_sae, fresh), job.model, lambda stage: None)
        found = quality(job.model, loaded, job.activations.reading, job.held_out)
        facts = {
            "model": spec.id,
            "hook": job.hook,
            "settings": asdict(job.settings) | {"width": sae.cfg.d_sae, "lr": job.trainer.cfg.lr},
            "tokens": job.trainer.n_training_samples,
            "corpus": {"path": str(job.text.path), "bytes": job.text.size, "sha256": job.text.sha256},
            "quality": found,
            "speed": speeds,
            "libraries": libraries(),
        }
        (fresh / training.FACTS).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        sae.cfg.metadata.l0, sae.cfg.metadata.num_dead_features = found["l0"], round(found["dead"] * sae.cfg.d_sae)
        (fresh / "cfg.json").write_text(json.dumps(sae.cfg.get_inference_sae_cfg_dict(), indent=2) + "\n", "utf-8")
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
    return {"folder": str(place), "tokens": facts["tokens"], "quality": found, "speed": speeds}
