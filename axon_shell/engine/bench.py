"""How fast a model writes with features: against the naive loop, and against what memory allows.

Both loops and the reading of memory take turns in one process on one thread and are counted in processor time, so that
other programs slow all of them alike; medians are compared. The naive loop is AXON's: the whole text through
TransformerLens at every token, the SAE on its last position. The floor is the time one core takes to read, front to
back, every weight that a token needs once: blocks, unembedding, encoder, and the keys and values of the tokens before.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import psutil
import torch
from transformer_lens import HookedTransformer
from transformer_lens.model_bridge import TransformerBridge

from ..records import HubFiles, Settings
from .generate import generate
from .model import Model, Report
from .sae import Sae, first_token
from .stream import Stream

READ = 64_000_000  # float32 numbers that are read to learn the speed of memory: more than any cache holds
OURS, NAIVE = 24, 3  # counted steps at each context
WARM_UP = 3
PARTS = {"blocks": (Stream, "feed"), "unembedding": (Stream, "logits"), "SAE": (Sae, "read")}


@dataclass(frozen=True)
class Speed:
    """One context length: processor milliseconds a token, medians."""

    context: int  # tokens before the one that is written
    ours: float
    naive: float
    floor: float
    shares: dict[str, float]  # of ours: blocks, unembedding, SAE, rest; they add up to 1
    prompt: float  # milliseconds for reading the context as a prompt, features of all its tokens included
    pass_and_encode: float  # of that: the one forward pass, unembedding and the batched encode

    @property
    def gain(self) -> float:
        """How many times faster than the naive loop."""
        return self.naive / self.ours

    @property
    def over_floor(self) -> float:
        """How many times the time that memory allows."""
        return self.ours / self.floor

    def as_record(self) -> dict[str, Any]:
        """The measurement as `--json` prints it."""
        return {"kind": "speed"} | asdict(self) | {"gain": self.gain, "over_floor": self.over_floor}


def machine() -> str:
    """The processor, as the system names it."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {platform.system()}, Python {platform.python_version()}, PyTorch {torch.__version__}"


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bytes_per_token(model: Model, saes: Sequence[Sae], context: int) -> int:
    """Bytes that must be read to write one token after so many others, everything once."""
    blocks = model.adapter.get_component(model.network, "blocks")
    weights = [*blocks.parameters(), model.network.get_output_embeddings().weight]
    weights += [sae.sae.W_enc for sae in saes]
    config = model.network.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys_and_values = 2 * model.layers * heads * head * model.dtype.itemsize * context
    return sum(weight.numel() * weight.element_size() for weight in weights) + keys_and_values


def measure(model: Model, saes: Sequence[Sae], contexts: Sequence[int], report: Report) -> Iterator[Speed]:
    """Measure at each context length in turn; those that the model's context cannot hold are left out."""
    report("Loading the naive loop")
    oracle = naive_model(model)
    known = torch.rand(READ)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for context in contexts:
            steps = min(OURS, model.spec.context - context - WARM_UP - 1)
            if steps >= NAIVE:
                report(f"Measuring after {context} tokens")
                yield at_context(replace(model, threads=1), saes, oracle, known, context, steps)
    finally:
        torch.set_num_threads(before)


def at_context(
    model: Model,
    saes: Sequence[Sae],
    oracle: HookedTransformer | TransformerBridge,
    known: torch.Tensor,
    context: int,
    steps: int,
) -> Speed:
    """The three loops, taking turns, after so many tokens."""
    bos = first_token(model, saes)
    vocabulary = model.network.get_output_embeddings().weight.shape[0]
    text = torch.randint(0, vocabulary, (context,), generator=torch.Generator().manual_seed(context)).tolist()
    ids = [*([] if bos is None else [bos]), *text][:context]
    endless = replace(model, ends=frozenset())  # random weights may end a text at any time
    settings = Settings(max_tokens=steps + WARM_UP + 1, seed=1)
    ours, naive, reading = [], [], []
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    with timed_parts() as spent:
        running = generate(endless, saes, ids, bos is not None, settings, lambda: False)
        prompt = cpu(lambda: [next(running) for _ in ids])
        pass_and_encode = sum(spent.values())
        for number in range(WARM_UP + steps):
            for name in spent:
                spent[name] = 0.0
            taken = cpu(lambda: next(running))
            if number < WARM_UP:
                continue
            ours.append(taken)
            for name, value in spent.items():
                parts[name].append(value)
            reading.append(cpu(lambda: known.sum()))
            if number % (steps // NAIVE) == 0:
                naive.append(cpu(lambda: naive_step(oracle, saes, ids)))
    total = median(ours)
    shares = {name: median(values) / total for name, values in parts.items()}
    speed = READ * known.element_size() / median(reading)  # bytes a millisecond
    return Speed(
        context=context,
        ours=total,
        naive=median(naive),
        floor=bytes_per_token(model, saes, context) / speed,
        shares=shares | {"rest": 1 - sum(shares.values())},
        prompt=prompt,
        pass_and_encode=pass_and_encode,
    )


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of processor time that a piece of work takes."""
    began = process_time()
    work()
    return 1000 * (process_time() - began)


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Count the processor time spent in each part of a step, in milliseconds, for as long as the context lasts."""
    spent = dict.fromkeys(PARTS, 0.0)
    with ExitStack() as stack:
        for name, (owner, method) in PARTS.items():
            original = getattr(owner, method)

            def counted(*args: Any, name: str = name, original: Callable = original, **options: Any) -> Any:
                began = process_time()
                result = original(*args, **options)
                spent[name] += 1000 * (process_time() - began)
                return result

            setattr(owner, method, counted)
            stack.callback(setattr, owner, method, original)
        yield spent


# -- the naive loop -----------------------------------------------------------


def naive_model(model: Model) -> HookedTransformer | TransformerBridge:
    """The model as AXON loads it, HookedTransformer; its bridge where TransformerLens knows the model by no name."""
    with redirect_stdout(sys.stderr):  # it announces itself
        if not isinstance(model.spec.weights, HubFiles):
            return TransformerBridge.boot_transformers(str(model.spec.weights), device=str(model.device))
        return HookedTransformer.from_pretrained_no_processing(model.spec.weights.repo, device=str(model.device))


@torch.no_grad()
def naive_step(oracle: HookedTransformer | TransformerBridge, saes: Sequence[Sae], ids: Sequence[int]) -> int:
    """One token of AXON's loop: all ids through the model, the SAEs on the last position, top-p over all tokens."""
    captured: dict[str, torch.Tensor] = {}

    def keep(name: str, x: torch.Tensor, hook: object) -> None:
        captured[name] = x[0, -1].flatten()[None]

    taps = [(sae.spec.hook, partial(keep, sae.spec.hook)) for sae in saes]
    logits = oracle.run_with_hooks(torch.tensor([list(ids)]), fwd_hooks=taps)[0, -1]
    for sae in saes:
        sae.sae.encode(captured[sae.spec.hook])[0].topk(15).indices.tolist()
    probabilities, order = (logits / 0.7).softmax(-1).sort(descending=True)
    probabilities = probabilities.where(probabilities.cumsum(-1) - probabilities < 0.95, 0)
    return int(order[torch.multinomial(probabilities, 1)])


def tokens_per_second(model: Model, saes: Sequence[Sae], tokens: int = 30) -> float:
    """Tokens a second by the clock, with the threads that a session uses, after a short prompt."""
    bos = first_token(model, saes)
    ids = [*([] if bos is None else [bos]), *range(10, 26)]
    endless = replace(model, ends=frozenset())
    steps = generate(endless, saes, ids, bos is not None, Settings(max_tokens=tokens + 1, seed=1), lambda: False)
    for _ in range(len(ids) + WARM_UP):
        next(steps)
    began = perf_counter()
    for _ in range(tokens - WARM_UP):
        next(steps)
    return (tokens - WARM_UP) / (perf_counter() - began)
