"""`axon-shell models`, `saes`, `download` and `plugins`: what there is, and fetching what is not here."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console

from ..config import load_config, read_config
from ..errors import NotFound, WeightsError
from ..records import Spec
from .shared import as_json, interrupted, listed, print_json, tell_problems

FLOAT32 = 4  # bytes


@click.command()
@as_json
def models(as_json: bool) -> None:
    """List the language models."""
    from ..plugins import catalogue, listing

    found = catalogue(read_config().config)
    counts = Counter(sae.model for sae in found.saes.values())
    rows = [
        listing(spec) | {"memory_bytes": FLOAT32 * spec.parameters, "saes": counts[spec.id]}
        for spec in found.models.values()
    ]
    columns = {"id": "Id", "name": "Name", "context": "Context", "size_bytes": "Size", "memory_bytes": "Memory"}
    listed(rows, columns | {"installed": "Installed", "saes": "SAEs", "sae": "First SAE"}, as_json)
    if not as_json:
        print("Memory: of the weights in float32. Without an SAE a model writes without features.", file=sys.stderr)


@click.command()
@click.argument("model", required=False)
@click.option("--search", default="", metavar="TEXT", help="Words that the id, hook point or release must hold.")
@as_json
def saes(model: str | None, search: str, as_json: bool) -> None:
    """List the sparse autoencoders, of one model or of all."""
    from ..plugins import catalogue, listing

    found = catalogue(read_config().config)
    models = [found.model(model).id] if model else list(found.models)
    rows = [listing(spec) for name in models for spec in found.saes_of(name, search)]
    columns = {"id": "Id", "hook": "Hook point", "width": "Features", "size_bytes": "Size", "installed": "Installed"}
    if not rows and model and not as_json and not search:
        raise NotFound(f"No SAE of {model} is known.", found.model(model).about)
    listed(rows, columns | {"refused": ""}, as_json)


@click.command()
@click.argument("model")
@click.argument("saes", nargs=-1, metavar="[SAE]...")
@as_json
def download(model: str, saes: tuple[str, ...], as_json: bool) -> None:
    """Fetch the weights of a model and of SAEs: of the model's first one, when none is named."""
    from .. import hub
    from ..hub import installed, on_hub
    from ..plugins import catalogue

    config = load_config()
    spec, sae_specs = catalogue(config).choose(model, saes)
    for sae in sae_specs:
        if sae.refused:
            raise WeightsError(f"SAE {sae.id} cannot be used: {sae.refused}.", "Choose another SAE.")
    stop = threading.Event()
    entries: list[Spec] = [spec, *sae_specs]
    with interrupted(stop.set), bars(as_json) as bar:
        for entry in entries:
            if (files := on_hub(entry)) and not installed(entry):
                hub.fetch(files, config.offline, bar(entry.id), stop.is_set)
            if as_json:
                print_json({"kind": "installed", "id": entry.id, "weights": str(files or entry.weights)})
            else:
                print(f"{entry.id}: {'in the cache, ' + str(hub.cache()) if files else entry.weights}")


@click.command()
@as_json
def plugins(as_json: bool) -> int:
    """List what is plugged in: what each plugin gives, and its problems."""
    from ..plugins import catalogue_from

    found = catalogue_from(read_config())
    problems = found.problems
    rows = [asdict(plugin) for plugin in found.plugins]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "problems": [asdict(problem) for problem in problems]}))
        return 1 if problems else 0
    for row in rows:
        given = [f"{count} {in_words(what, count)}" for what, count in row["gives"].items()]
        row["gives"] = "disabled" if row["disabled"] else ", ".join(given) or "nothing"
    listed(rows, {"name": "Plugin", "origin": "From", "gives": "Gives", "place": "Place"}, as_json)
    for what in ("analysers", "exporters"):
        for one in getattr(found, what).values():
            print(f"{what[:-1]} {one.name}: {one.about}")
    tell_problems(problems)
    return 1 if problems else 0


def in_words(what: str, count: int) -> str:
    """What a plugin registers, as people write it: "label source"."""
    words = "SAEs" if what == "saes" else what.replace("_", " ")
    return words if count > 1 else words.removesuffix("s")


@contextmanager
def bars(as_json: bool) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Progress of downloads: a bar on stderr for each, or lines of JSON."""
    if as_json:
        yield (
            lambda name: lambda done, total: print_json({"kind": "progress", "id": name, "done": done, "total": total})
        )
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), SpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:

        def bar(name: str) -> Callable[[int, int], None]:
            tasks: list[TaskID] = []  # none before the first byte: a download that is refused shows no bar

            def tell(done: int, total: int) -> None:
                if not tasks:
                    tasks.append(progress.add_task(name, total=None))
                progress.update(tasks[0], completed=done, total=total)

            return tell

        yield bar
