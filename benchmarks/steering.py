"""Whether features do what their labels say, over all countries of Tiny World: `python -m benchmarks.steering`.

Prompts are "The capital of A is". Features are chosen by their measured labels alone, by rules that are written here:
which ones work was not looked at. Each number is a share of prompts, or of pairs of a prompt and another country B.

attributed  of the labelled features among the ten with the largest direct effect on A's capital, those whose label
            names a capital, a country, or one of these two by name; and prompts where the first labelled one does
at home     of the places that the calibration picked at random among all where these ten fire, labelled or not, those
            where a country or a capital is spoken of; and the same of all features
ablated     prompts whose most probable token is A's capital no more without such features
boosted     pairs whose most probable token is B's capital, when B's feature is set to a multiple of its maximum
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from axon_shell import homes
from axon_shell.config import Config
from axon_shell.engine.attribution import direct_path
from axon_shell.engine.generate import generate
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.steering import Steering
from axon_shell.engine.stream import Stream
from axon_shell.labels import Labels
from axon_shell.plugins import catalogue
from axon_shell.records import Edit, Settings, Step

SOURCES = ("0-res", "2-res", "3-res")
TIMES = (1, 2, 4, 8)  # of a feature's maximum


class Land(NamedTuple):
    """A country and its capital."""

    name: str
    capital: str


class Bench:
    """Tiny World, its SAEs and what their features are called."""

    def __init__(self) -> None:
        found = catalogue(Config())
        quiet = torch.device("cpu"), lambda stage: None
        self.model: Model = load_model(found.models["tiny-world"], *quiet)
        self.saes = {name: load_sae(found.saes[f"tiny-world/{name}"], self.model, quiet[1]) for name in SOURCES}
        self.labels = Labels(found.label_sources.values(), found.saes)
        self.lands = [Land(*pair) for pair in countries(self.model)]
        self.words = {word for land in self.lands for word in land} | {"country", "capital"}

    def prompt(self, land: Land) -> list[int]:
        return self.model.tokens(f"The capital of {land.name} is", self.model.bos)

    def token(self, word: str) -> int:
        (token,) = self.model.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        return token

    def predicted(self, ids: Sequence[int], edits: Sequence[Edit], saes: Sequence[Sae]) -> torch.Tensor:
        """Probabilities of the next token."""
        with Stream(self.model, [], len(ids), Steering(edits, saes, True, self.model.device)) as stream:
            return stream.logits(stream.feed(ids).hidden[-1:])[0].softmax(-1)

    def named(self, sae: str, features: Sequence[int]) -> dict[int, str]:
        """What somebody described these features as."""
        of = self.labels.of(f"tiny-world/{sae}", features)
        return {feature: label.text for feature, (label, state) in of.items() if label and state == "labelled"}

    def at_home(self, sae: str, features: Sequence[int]) -> float:
        """Of the places where features fire, taken at random, the share where a country or a capital is spoken of."""
        known = self.labels.measured(f"tiny-world/{sae}", features)
        said = [
            "".join(context.tokens) for feature in features if feature in known for context in known[feature].random
        ]
        return sum(any(word in text for word in self.words) for text in said) / max(len(said), 1)

    def all_labels(self, sae: str) -> dict[int, tuple[str, float]]:
        """Every description with its F1."""
        of = self.labels.of(f"tiny-world/{sae}", range(self.saes[sae].spec.width))
        return {
            feature: (label.text, label.score or 0.0)
            for feature, (label, state) in of.items()
            if label and state == "labelled"
        }


def countries(model: Model) -> Iterator[tuple[str, str]]:
    """The countries that the model knows, from the facts that its report was made with."""
    source = (homes.plugins() / "tiny_world" / "world.py").read_text("utf-8")
    table = source.split("COUNTRIES = tuple(", 1)[1].split('"""\\\n', 1)[1].split('"""', 1)[0]
    for line in table.strip().splitlines():
        name, capital, *_ = line.split()
        yield name, capital


def is_about(label: str, land: Land) -> bool:
    """Whether a label names a capital, a country, or these two by name."""
    return any(word in label for word in ("capital", "country", land.name, land.capital))


def attributed(bench: Bench, source: str) -> tuple[int, int, int, float]:
    """Of the ten with the largest effect: labelled ones, those about it, prompts whose first one is, `at_home`."""
    labelled = about = first = 0
    tens: list[int] = []
    settings = Settings(max_tokens=1, temperature=0, top_features=200)
    for land in bench.lands:
        ids = [*bench.prompt(land), bench.token(land.capital)]
        steps = generate(bench.model, [bench.saes[source]], ids, True, settings, lambda: False)
        step = next(one for one in steps if isinstance(one, Step) and one.position == len(ids) - 2)
        active = sorted(step.saes[f"tiny-world/{source}"].features, key=lambda one: -(one.effect or 0.0))
        names = bench.named(source, [one.feature for one in active])
        tens += [one.feature for one in active[:10]]
        found = [names[one.feature] for one in active[:10] if one.feature in names]
        labelled += len(found)
        about += sum(is_about(label, land) for label in found)
        first += is_about(next(names[one.feature] for one in active if one.feature in names), land)
    return labelled, about, first, bench.at_home(source, tens)


def ablated(bench: Bench, sources: Sequence[str], rule: str, start: int | None) -> tuple[int, float]:
    """Prompts that are answered otherwise without features, and the mean probability of the capital then.

    `rule` is "labelled": every feature whose label is about the matter; or "top": the ten that add most, directly.
    """
    moved, left = 0, 0.0
    settings = Settings(max_tokens=0, top_features=200)
    saes = [bench.saes[source] for source in sources]
    for land in bench.lands:
        ids, answer = bench.prompt(land), bench.token(land.capital)
        first = len(ids) - 1 if start is None else start
        edits = []
        for source, sae in zip(sources, saes, strict=True):
            if rule == "labelled":
                chosen = [n for n, (label, _) in bench.all_labels(source).items() if is_about(label, land)]
            else:
                steps = generate(bench.model, [sae], [*ids, answer], True, settings, lambda: False)
                step = next(one for one in steps if isinstance(one, Step) and one.position == len(ids) - 1)
                active = sorted(step.saes[sae.spec.id].features, key=lambda one: -(one.effect or 0.0))
                chosen = [one.feature for one in active[:10]]
            edits += [Edit(sae.spec.id, feature, "ablate", 0.0, first) for feature in chosen]
        found = bench.predicted(ids, edits, saes)
        moved += int(found.argmax()) != answer
        left += float(found[answer])
    return moved, left / len(bench.lands)


def feature_of(bench: Bench, source: str, land: Land, rule: str) -> int | None:
    """B's feature, by a rule.

    "capital": of the labels that name B or its capital, and speak of a capital, the one with the highest F1;
    "any": the same, also of its food or language; "promotes": the one whose row promotes B's capital most.
    """
    if rule == "promotes":
        path = direct_path(bench.model)
        direction = path.unembed[bench.token(land.capital)] * path.weight
        return int((bench.saes[source].sae.W_dec @ (direction - direction.mean())).argmax())
    found = [
        (score, feature)
        for feature, (label, score) in bench.all_labels(source).items()
        if (land.name in label or land.capital in label) and (rule == "any" or "capital" in label)
    ]
    return max(found)[1] if found else None


def boosted(bench: Bench, sources: Sequence[str], rule: str, times: float, start: int | None) -> tuple[int, int, int]:
    """Pairs, those that are answered with B's capital, and those that are answered with A's no more."""
    pairs = hits = moved = 0
    saes = [bench.saes[source] for source in sources]
    for other in bench.lands:
        chosen = []
        for source, sae in zip(sources, saes, strict=True):
            feature = feature_of(bench, source, other, rule)
            maximum = bench.labels.known_maximum(sae.spec.id, feature) if feature is not None else None
            if maximum:  # else it never fires
                chosen.append((sae.spec.id, feature, times * maximum))
        if not chosen:
            continue
        for land in bench.lands:
            if land == other:
                continue
            ids = bench.prompt(land)
            first = len(ids) - 1 if start is None else start
            edits = [Edit(sae, feature, "set", value, first) for sae, feature, value in chosen]
            found = bench.predicted(ids, edits, saes)
            pairs += 1
            hits += int(found.argmax()) == bench.token(other.capital)
            moved += int(found.argmax()) != bench.token(land.capital)
    return pairs, hits, moved


def main() -> None:
    """Measure, and print tables."""
    bench = Bench()
    count = len(bench.lands)
    right = sum(
        int(bench.predicted(bench.prompt(one), [], []).argmax()) == bench.token(one.capital) for one in bench.lands
    )
    print(f"{count} countries; without edits {right} are answered with their capital.\n")
    print("| SAE | labelled among the ten | of them about it | the first labelled one is | at home | all features |")
    print("|---|---|---|---|---|---|")
    for source in SOURCES:
        labelled, about, first, home = attributed(bench, source)
        all_of_it = bench.at_home(source, range(bench.saes[source].spec.width))
        print(f"| {source} | {labelled} of {10 * count} | {about / max(labelled, 1):.0%} | {first / count:.0%}", end="")
        print(f" | {home:.0%} | {all_of_it:.0%} |")
    print("\n| ablated | SAEs | from | answered otherwise | mean probability of the capital |")
    print("|---|---|---|---|---|")
    for rule in ("labelled", "top"):
        for sources in (*((one,) for one in SOURCES), SOURCES):
            for start, where in ((None, "the last token"), (1, "the first token")):
                moved, left = ablated(bench, sources, rule, start)
                print(f"| {rule} | {', '.join(sources)} | {where} | {moved / count:.0%} | {left:.1%} |")
    print("\n| B's feature | SAE | pairs | from | " + " | ".join(f"{times}x" for times in TIMES) + " |")
    print("|---|---|---|---|" + "---|" * len(TIMES))
    record = []
    for rule in ("capital", "any", "promotes"):
        for sources in (*((one,) for one in SOURCES), SOURCES):
            for start, where in ((None, "the last token"), (1, "the first token"))[: 1 if rule == "promotes" else 2]:
                found = [boosted(bench, sources, rule, times, start) for times in TIMES]
                shares = [f"{hits / max(pairs, 1):.0%} ({moved / max(pairs, 1):.0%})" for pairs, hits, moved in found]
                print(f"| {rule} | {', '.join(sources)} | {found[0][0]} | {where} | {' | '.join(shares)} |")
                record.append({"rule": rule, "saes": sources, "from": where, "found": found})
    print("\nIn brackets: pairs that are answered with A's capital no more.\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
