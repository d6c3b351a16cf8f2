"""Record anew the session that the very first start plays: plugins/tiny_world/first-look.axon.

    .venv/bin/python tools/first_look.py

To be done when Tiny World, or what a session holds, has changed: tests/test_first_look.py says so. The text depends on
the seed alone; it was chosen among those of some twenty seeds: it stays with France and is true.
"""

from __future__ import annotations

import platform
from pathlib import Path
from tempfile import TemporaryDirectory

from axon_shell import session
from axon_shell.analysers import Analysers
from axon_shell.config import Config
from axon_shell.engine.model import choose_device, load_model
from axon_shell.engine.sae import load_sae
from axon_shell.labels import Labels
from axon_shell.plugins import catalogue
from axon_shell.records import Message, Settings
from axon_shell.session import Annotator
from axon_shell.share import write_shared
from axon_shell.store import Store, new_uid

PLUGIN = Path(__file__).resolve().parent.parent / "plugins" / "tiny_world"
MODEL, PROMPT = "tiny-world", "The capital of France is"
SETTINGS = Settings(temperature=0.9, seed=15)
TITLE, NOTE = "A first look", "Came with AXON Shell."


def main() -> None:
    found = catalogue(Config(offline=True))
    spec, saes = found.choose(MODEL, [sae.id for sae in found.saes_of(MODEL)])
    model = load_model(spec, choose_device("cpu"), print)
    # No labels go into the file: those of Tiny World come with its plugin.
    labels, uid = Labels([], found.saes), new_uid()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        loaded, annotate = [load_sae(sae, model, print) for sae in saes], Annotator(labels, Analysers([]))
        list(session.run(uid, PROMPT, model, loaded, SETTINGS, annotate, store, lambda: False))
        summary = store.change(uid, TITLE, NOTE)
        messages = [impersonal(message) for message in store.messages(uid)]
        store.close()
    path = PLUGIN / "first-look.axon"
    with path.open("wb") as file:
        write_shared(summary, messages, labels, file)
    print(f"{path}: {path.stat().st_size:,} bytes, {len(messages)} messages\n{PROMPT}{summary.output}")


def impersonal(message: Message) -> Message:
    """A message without the folders and the system of whoever recorded it."""
    if message["kind"] != "start":
        return message
    made = message["provenance"]
    weights = {sae: by | {"weights": inside(by["weights"])} for sae, by in made["saes"].items()}
    model = made["model"] | {"weights": inside(made["model"]["weights"])}
    return message | {"provenance": made | {"system": platform.system(), "model": model, "saes": weights}}


def inside(weights: str) -> str:
    """Where weights lie in the plugin."""
    return Path(weights).relative_to(PLUGIN.parent).as_posix()


if __name__ == "__main__":
    main()
