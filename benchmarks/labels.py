"""Labels of a whole SAE: getting them into the database, naming features, searching: `python -m benchmarks.labels`.

49,152 invented labels of 24,576 features, in batches as Neuronpedia exports them, with an embedding in every line. Each
time is the middle of several, and stands beside a floor: what reading the same files, or the same search without an
index, takes in this run.
"""

from __future__ import annotations

import gzip
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from axon_shell.config import Config
from axon_shell.hookspecs import LabelPublisher
from axon_shell.labels import Labels, LabelStore
from axon_shell.labels.download import rows_of
from axon_shell.labels.fetcher import Place
from axon_shell.labels.files import opened
from axon_shell.plugins import catalogue
from axon_shell.records import LabelFile

SAE, FEATURES, EACH, BATCH = "gpt2-small/8-res-jb", 24_576, 2, 1_024
WORDS = """references to cities countries rivers and capital names phrases about time numbers dates verbs of motion
legal terms the beginning end middle sentence quotation code python function brackets after before words"""
SEARCHES = ("cap", "capital", "python func", "c", "rivers and ca", "zebra")


def main() -> None:
    """Make the files, measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_batches(Path(folder) / "batches")
        size = sum(path.stat().st_size for path in files)
        reading = timed(lambda: [read(path) for path in files], 1)
        saes, sources = (found := catalogue(Config())).saes, list(found.label_sources.values())
        publisher = next(one for one in sources if isinstance(one, LabelPublisher))
        place = Place(publisher, SAE, saes[SAE])
        store = LabelStore(Path(folder) / "home")
        parts = [(LabelFile(path.name, "", path.stat().st_size), rows_of(path, place, lambda: False)) for path in files]
        importing = timed(lambda: store.replace_files(SAE, parts, [path.name for path in files], complete=True), 1)
        labels = Labels(sources, saes, store)
        print(f"{len(files)} files, {size / 1e6:.0f} MB; database {store.path.stat().st_size / 1e6:.0f} MB\n")
        print("| what | takes | beside |")
        print("|---|---|---|")
        print(
            f"| importing {store.status(SAE).labels:,} labels | {importing:.1f} s | unpacking alone {reading:.1f} s |"
        )
        features = random.Random(1).sample(range(FEATURES), 15)
        cold = timed(lambda: (labels.forget(), labels.of(SAE, features)), 50)
        warm = timed(lambda: labels.of(SAE, features), 200)
        print(f"| naming 15 features, new | {1e3 * cold:.2f} ms | known ones {1e3 * warm:.3f} ms |")
        every = [label.text.casefold() for _, label in store.every(SAE)]
        for text in SEARCHES:
            found_here = timed(lambda text=text: labels.search(text, SAE), 9)
            plainly = timed(lambda text=text: [one for one in every if all(word in one for word in text.split())], 9)
            times = f"{1e3 * found_here:.1f} ms | all texts in turn {1e3 * plainly:.1f} ms"
            print(f"| search {text!r}: {len(labels.search(text, SAE))} shown | {times} |")
        labels.close()


def write_batches(folder: Path) -> list[Path]:
    """The files of a set, as the database exporter writes them."""
    chance = random.Random(0)
    folder.mkdir()
    lines = []
    for feature in range(FEATURES):
        for number in range(EACH):
            embedding = [round(chance.uniform(-1, 1), 6) for _ in range(256)]
            row = {
                "id": f"c{feature}-{number}",
                **{"modelId": "gpt2-small", "layer": "8-res-jb", "index": str(feature)},
                "description": " ".join(chance.choices(WORDS.split(), k=chance.randint(2, 9))),
                "embedding": json.dumps(embedding),
                "typeName": "oai_token-act-pair",
                "explanationModelName": ("gpt-4o-mini", "gpt-3.5-turbo")[number],
            }
            lines.append(json.dumps(row))
    paths = []
    for number in range(0, len(lines), BATCH):
        path = folder / f"batch-{number // BATCH}.jsonl.gz"
        path.write_bytes(gzip.compress("\n".join(lines[number : number + BATCH]).encode(), 1))
        paths.append(path)
    return paths


def read(path: Path) -> int:
    """Unpack a file, and nothing else."""
    with opened(path) as file:
        return sum(len(line) for line in file)


def timed(action: Callable[[], object], times: int) -> float:
    """Seconds that an action takes, the middle of several."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
