"""`axon-shell bench`: how fast this machine writes with a model and SAEs."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape

from ..config import load_config
from ..records import Message
from .shared import as_json, begin_with, device_option, dtype_option, model_option, print_json, saes_option

BENCH_CONTEXTS = (16, 128, 512, 1000)


@click.command()
@model_option
@saes_option
@click.option("--context", "contexts", type=click.IntRange(1), multiple=True, help="Tokens before the one written.")
@device_option
@dtype_option
@as_json
def bench(
    model: str | None,
    saes: tuple[str, ...],
    contexts: tuple[int, ...],
    device: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Measure tokens a second, against the naive loop and against what memory allows, in one run."""
    from ..plugins import catalogue, require_installed

    config = load_config()
    spec, sae_specs = catalogue(config).choose(*begin_with(config, model, saes))
    require_installed(spec, sae_specs)
    with Console(stderr=True).status("Importing PyTorch and SAELens") as status:
        from ..engine import bench as measuring
        from ..engine.model import choose_device, load_model, number_type
        from ..engine.sae import load_sae

        where, kind = choose_device(device or config.device), number_type(dtype or config.dtype)
        loaded = load_model(spec, where, status.update, kind)
        loaded_saes = [load_sae(sae, loaded, status.update) for sae in sae_specs]
        start = {
            "kind": "start",
            "model": spec.id,
            "saes": [sae.id for sae in sae_specs],
            "device": str(where),
            "machine": measuring.machine(),
            "tokens_per_second": measuring.tokens_per_second(loaded, loaded_saes),
            "peak_memory": measuring.peak_memory(),
        }
        show = print_json if as_json else BenchPrinter()
        show(start)
        for speed in measuring.measure(loaded, loaded_saes, contexts or BENCH_CONTEXTS, status.update):
            show(speed.as_record())


class BenchPrinter:
    """Shows measurements to a person, one line for each context length."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def __call__(self, record: Message) -> None:
        {"start": self.start, "speed": self.speed}[record["kind"]](record)

    def start(self, record: Message) -> None:
        print_ = self.console.print
        print_(f"{record['model']} with {', '.join(record['saes']) or 'no SAE'} on {record['device']}")
        print_(f"[dim]{escape(record['machine'])}[/]")
        print_(
            f"{record['tokens_per_second']:.1f} tokens a second by the clock, "
            f"{record['peak_memory'] / 1e9:.2f} GB of memory at most\n"
        )
        print_("Processor time on one thread, medians of steps that took turns:", style="dim")
        print_(
            f"{'context':>7}  {'ms a token':>10}  {'naive loop':>10}  {'gain':>6}  {'floor':>6}  {'over floor':>10}  "
            "blocks / unembedding / SAE / rest    prompt (of it pass and encode)",
            style="bold",
        )

    def speed(self, record: Message) -> None:
        shares = " / ".join(f"{share:.0%}" for share in record["shares"].values())
        self.console.print(
            f"{record['context']:>7}  {record['ours']:>10.1f}  {record['naive']:>10.1f}  {record['gain']:>5.1f}x  "
            f"{record['floor']:>6.1f}  {record['over_floor']:>9.2f}x  {shares:<36} "
            f"{record['prompt']:,.0f} ms ({record['pass_and_encode'] / record['prompt']:.0%})"
        )
