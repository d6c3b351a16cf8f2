"""`axon-shell labels`: what features are called, got, searched, edited, given to others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from ..config import Config, load_config, read_config
from .catalogue import bars
from .shared import as_json, interrupted, labelling, listed, opened_store, print_json, written_whole

if TYPE_CHECKING:
    from ..labels import Labels
    from ..records import Label, SaeSpec


@click.group("labels")
def labels_() -> None:
    """What features are called: published labels, automatic ones and your own."""


@contextmanager
def here(config: Config) -> Iterator[Labels]:
    """The labels on this machine."""
    from ..plugins import catalogue

    with opened_store() as store, labelling(config, catalogue(config), store) as labels:
        yield labels


def sae_named(labels: Labels, name: str) -> SaeSpec:
    """The SAE of an id. Raises NotFound naming the nearest."""
    from ..plugins import pick

    spec: SaeSpec = pick(labels.saes, name, "SAE", "`axon-shell saes` lists them.")
    return spec


@labels_.command()
@click.argument("saes", nargs=-1, required=True, metavar="SAE...")
@as_json
def download(saes: tuple[str, ...], as_json: bool) -> None:
    """Get all published labels of SAEs: what is here already is not fetched again."""
    from ..labels import Network, Web
    from ..plugins import catalogue

    config = load_config()
    network = Network(Web(config.offline), lambda message: None)
    stop = threading.Event()
    with labelling(config, catalogue(config), network=network) as labels:
        specs = [sae_named(labels, name) for name in saes]
        with interrupted(stop.set), bars(as_json) as bar:
            for spec in specs:
                offer = labels.download(spec.id, counted_by(bar(spec.id)), stop.is_set)
                about = labels.about_set(spec.id)
                if as_json:
                    print_json({"kind": "label_set"} | about | offer.as_message())
                else:
                    fetched = f"{len(offer.changed)} of {len(offer.files)} files fetched"
                    print(f"{spec.id}: {in_words(about)}, {fetched}")


@labels_.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sae", default="", metavar="ID", help="Refuse labels of any other SAE.")
@click.option("--own", is_flag=True, help="Take what its owner wrote as my own, where I have said nothing.")
@as_json
def import_(file: Path, sae: str, own: bool, as_json: bool) -> None:
    """Take in a label pack, or a file that Neuronpedia exported: all of it or nothing."""
    from ..labels.packs import import_file

    with here(load_config()) as labels:
        assert labels.store
        if sae:
            sae_named(labels, sae)
        found = import_file(labels, labels.store, file, sae, own)
    for one in found:
        if as_json:
            print_json(asdict(one))
        else:
            passed = f", {one.passed_over:,} lines passed over" if one.passed_over else ""
            measured = f", what was measured of {one.measured:,} features" if one.measured else ""
            print(f"{one.sae}: {one.labels:,} labels and {one.own:,} of your own imported{measured}{passed}")


@labels_.command()
@click.argument("sae")
@click.option("--output", metavar="FILE", help="Where to write; - is stdout. Left out: a name from the SAE.")
@click.option("--own", is_flag=True, help="Only the labels and notes of your own.")
@click.option("--contexts", is_flag=True, help="With the texts at which features fire, where it was calibrated.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@as_json
def export(sae: str, output: str | None, own: bool, contexts: bool, force: bool, as_json: bool) -> None:
    """Write the labels of an SAE to a label pack, and what calibrating it measured."""
    from ..labels.packs import SUFFIX, write_pack

    with here(read_config().config) as labels:
        spec = sae_named(labels, sae)
        assert labels.store
        if output == "-":
            write_pack(labels, labels.store, spec, sys.stdout.buffer, own, contexts)
            return
        path = Path(output or f"{spec.id.replace('/', '-')}{'-own' if own else ''}{SUFFIX}")
        with written_whole(path, force) as file:
            count = write_pack(labels, labels.store, spec, file, own, contexts)
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path.absolute()), "labels": count, "bytes": size})
    else:
        print(f"{path} ({count:,} labels, {size:,} bytes)")


@labels_.command()
@click.argument("text")
@click.option("--sae", default="", metavar="ID", help="Search the labels of this SAE only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@as_json
def search(text: str, sae: str, limit: int, as_json: bool) -> None:
    """Search labels: every word must be there, of the last one the beginning."""
    from ..labels import hit_record

    with here(read_config().config) as labels:
        if sae:
            sae_named(labels, sae)
        rows = [hit_record(name, hit) for name, hit in labels.search(text, sae, limit)]
    listed(rows, {"sae": "SAE", "feature": "Feature", "label": "Label", "origin": "From"}, as_json)


@labels_.command()
@click.argument("sae", required=False)
@as_json
def status(sae: str | None, as_json: bool) -> None:
    """How many labels there are: of one SAE, or of all that have any here."""
    with here(read_config().config) as labels:
        names = [sae_named(labels, sae).id] if sae else labels.labelled_saes()
        rows = [{name: about for name, about in labels.about_set(one).items() if name != "download"} for one in names]
    shown = [
        row
        | {"set": row["set"] or "", "complete": "whole set" if row["complete"] else "some"}
        | {"calibration": row["calibration"] and f"{row['calibration']['tokens']:,} tokens"}
        for row in rows
    ]
    columns = {"sae": "SAE", "features": "Features", "labelled": "Labelled", "own": "Own", "automatic": "By tokens"}
    listed(
        rows if as_json else shown,
        columns | {"complete": "Here", "fetched_at": "Fetched", "calibration": "Calibrated"},
        as_json,
    )


@labels_.command()
@click.argument("sae")
@click.argument("feature", type=int)
@as_json
def show(sae: str, feature: int, as_json: bool) -> None:
    """Every label of a feature: who says so, how it was found, how sure that is."""
    from ..labels import as_record

    with here(read_config().config) as labels:
        sae_named(labels, sae)
        labels.require_feature(sae, feature)
        found, own = labels.all_of(sae, feature), labels.own(sae, feature)
        state = labels.of(sae, [feature])[feature][1]
    if as_json:
        rows = [as_record(label) for label in found]
        print_json({"sae": sae, "feature": feature, "state": state, "labels": rows, "note": own.note if own else ""})
        return
    console = Console(highlight=False)
    for label in found:
        console.print(Text(label.text, style="italic" if label.is_automatic else "bold"), soft_wrap=True)
        console.print(Text(f"  {worth(label)}", style="dim"), soft_wrap=True)
    if not found:
        print(f"feature {feature}: {state}", file=sys.stderr)
    if own and own.note:
        print(f"note: {own.note}")


@labels_.command()
@click.argument("sae")
@click.argument("feature", type=int)
@click.option("--label", metavar="TEXT", help="Call it this; an empty text takes your own label away.")
@click.option("--note", metavar="TEXT", help="What you have found out; an empty text takes it away.")
@as_json
def edit(sae: str, feature: int, label: str | None, note: str | None, as_json: bool) -> None:
    """Give a feature a label or note of your own: it wins over all others."""
    if label is None and note is None:
        raise click.UsageError("Nothing to change: give --label or --note.")
    with here(load_config()) as labels:
        sae_named(labels, sae)
        labels.require_feature(sae, feature)
        before = labels.own(sae, feature)
        labels.edit(
            sae,
            feature,
            label if label is not None else before.label if before else "",
            note if note is not None else before.note if before else "",
        )
        own = labels.own(sae, feature)
    if as_json:
        print_json({"sae": sae, "feature": feature, "own": own and asdict(own)})
    else:
        print(f"{sae} feature {feature}: {own.label or '(no label of your own)' if own else 'nothing of your own'}")


def counted_by(bar: Callable[[int, int], None]) -> Callable[[str, int, int], None]:
    """A bar, or lines of JSON, as a download tells its progress."""

    def tell(stage: str, done: int, total: int) -> None:
        if stage == "downloading" and total:
            bar(done, total)

    return tell


def worth(label: Label) -> str:
    """Who says so, how it was found and how sure it is, in one line."""
    parts = [label.origin, label.method, label.explainer]
    if label.score is not None or not label.is_automatic:
        parts.append(f"{label.score_name or 'score'} {label.score:.2f}" if label.score is not None else "no score")
    facts = [f"{name}: {value}" for name, value in label.details.items()]
    return " · ".join(part for part in (*parts, *facts) if part)


def in_words(about: dict[str, Any]) -> str:
    """How much of a set is here."""
    of = f" of {about['features']:,}" if about["features"] else ""
    return f"{about['labels']:,} labels of {about['labelled']:,}{of} features"
