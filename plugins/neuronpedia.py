"""Neuronpedia: published labels and facts of SAE features, one by one from its API, whole sets from its exports.

The API and the layout of the exports are those of github.com/hijohnnylin/neuronpedia (August 2026); what is unknown or
missing in an answer is passed over, and an answer about another feature is no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from axon_shell import (
    Config,
    Context,
    DownloadError,
    FeatureFacts,
    Label,
    LabelFile,
    NotFound,
    SaeSpec,
    Web,
    hookimpl,
)

CONTEXTS, AROUND = 8, 24  # texts that are kept of a feature, and tokens before and after the strongest in each
TOKENS = 10  # promoted and suppressed
PAGES = 50  # of a listing, at a thousand files each
PROBED = 2_000  # files that are looked for one by one, where the bucket lists nothing


@hookimpl
def register_label_sources(register: Callable[[Neuronpedia], None], config: Config) -> None:
    """The publisher."""
    register(Neuronpedia(config.labels.neuronpedia, config.labels.datasets))


class Neuronpedia:
    """What Neuronpedia publishes; a set is "MODEL/SOURCE", as in the addresses of its pages."""

    name, title, batch = "neuronpedia", "Neuronpedia", 64

    def __init__(self, site: str, datasets: str) -> None:
        self.site, self.datasets = site.rstrip("/"), datasets.rstrip("/")

    def set_of(self, sae: SaeSpec) -> str:
        """Its name of an SAE, as SAELens's directory or the SAE's entry gives it; never that of a similar one."""
        return sae.neuronpedia

    def page(self, label_set: str, feature: int) -> str:
        """The address of a feature's page."""
        return f"{self.site}/{quote(label_set)}/{feature}"

    # -- the API --------------------------------------------------------------

    def look_up(self, web: Web, label_set: str, features: Sequence[int]) -> dict[int, FeatureFacts | None]:
        """What it knows of some features, in one question."""
        model, _, source = label_set.partition("/")
        # 0 texts would mean all of them.
        question = [{"modelId": model, "layer": source, "index": n, "maxActsToReturn": 1} for n in features]
        answer = web.json(f"{self.site}/api/features", question)
        if not isinstance(answer, list):
            raise DownloadError("Neuronpedia's answer is no list of features.", "Try again later.")
        found: dict[int, FeatureFacts | None] = dict.fromkeys(features)
        for row in answer:
            # By what a row says it is: their order tells nothing.
            if isinstance(row, Mapping) and (row.get("modelId"), row.get("layer")) == (model, source):
                index = whole(row.get("index"))
                if index in found:
                    found[index] = facts_of(row, contexts=0)
        if answer and not any(found.values()):
            raise DownloadError("Neuronpedia answered about other features than it was asked for.", "Try again later.")
        return found

    def details(self, web: Web, label_set: str, feature: int) -> FeatureFacts | None:
        """All that it knows of one feature."""
        try:
            row = web.json(f"{self.site}/api/feature/{quote(label_set)}/{feature}")
        except NotFound:
            return None
        named = isinstance(row, Mapping) and (f"{row.get('modelId')}/{row.get('layer')}", whole(row.get("index")))
        if named != (label_set, feature):
            raise DownloadError("Neuronpedia answered about another feature than it was asked for.", "Try again later.")
        return facts_of(row, CONTEXTS)

    # -- the exports ----------------------------------------------------------

    def sae_of(self, web: Web, label_set: str) -> tuple[str, str] | None:
        """The SAE that a set is of, as the export's own description says."""
        try:
            text = web.text(f"{self.datasets}/{self.folder(label_set)}/source.jsonl")
        except NotFound:
            return None
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, Mapping) and (named := sae_named(row)):
                return named
        return None

    def files(self, web: Web, label_set: str) -> list[LabelFile]:
        """The batches of a set's explanations, in the order of their numbers."""
        folder = f"{self.folder(label_set)}/explanations/"  # with the slash: explanations-prev/ are others
        try:
            found = list(self.listed(web, folder))
        except NotFound:
            found = list(self.probed(web, folder))
        return sorted(found, key=lambda file: int(digits[-1]) if (digits := re.findall(r"\d+", file.name)) else 0)

    def listed(self, web: Web, folder: str) -> Iterator[LabelFile]:
        """The files of a folder, as the bucket lists them."""
        token = ""
        for _ in range(PAGES):
            query = {"list-type": 2, "prefix": folder, "max-keys": 1000} | (
                {"continuation-token": token} if token else {}
            )
            answer = self.parsed(web.text(f"{self.datasets}/?{urlencode(query)}"))
            for one in answer.findall("{*}Contents"):
                key, etag = one.findtext("{*}Key", ""), one.findtext("{*}ETag", "")
                name = key.removeprefix(folder)
                if key.startswith(folder) and re.fullmatch(r"batch-\d+\.jsonl(\.gz)?", name):
                    yield self.file(folder, name, whole(one.findtext("{*}Size", "")) or 0, etag)
            if answer.findtext("{*}IsTruncated") != "true":
                return
            token = answer.findtext("{*}NextContinuationToken", "")
            if not token:
                break
        # Half a list would take the labels of the other files away.
        raise DownloadError("The list of label files has no end.", "Report this.")

    def parsed(self, text: str) -> ElementTree.Element:
        """A bucket's list. Raises DownloadError where it is none."""
        try:
            if "<!DOCTYPE" in text or "<!ENTITY" in text:  # such a list would not, and could blow up
                raise ElementTree.ParseError("it declares entities")
            found = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise DownloadError(f"The list of label files cannot be read: {error}.", "Try again later.") from error
        if not found.tag.endswith("ListBucketResult"):
            raise DownloadError("The list of label files is something else.", "Check `datasets` in [labels].")
        return found

    def probed(self, web: Web, folder: str) -> Iterator[LabelFile]:
        """The files of a folder that cannot be listed, asked for by their numbers."""
        for number in range(PROBED):
            name = f"batch-{number}.jsonl.gz"
            found = web.facts(f"{self.datasets}/{folder}{name}")
            if found is None:
                return
            yield self.file(folder, name, *found)

    def file(self, folder: str, name: str, size: int, etag: str) -> LabelFile:
        """A file of the exports."""
        return LabelFile(name, f"{self.datasets}/{quote(folder + name)}", size, etag)

    def folder(self, label_set: str) -> str:
        """Where the exports of a set lie."""
        return f"v1/{quote(label_set)}"

    def row(self, record: Mapping[str, Any]) -> tuple[str, int, Label] | None:
        """A line of the exports, of either of the programs that write them."""
        model, source, index = record.get("modelId"), record.get("layer"), whole(record.get("index"))
        label = label_of(record)
        if not (isinstance(model, str) and isinstance(source, str)) or index is None or label is None:
            return None
        return f"{model}/{source}", index, label


def facts_of(row: Mapping[str, Any], contexts: int) -> FeatureFacts:
    """A feature's row of the API. Raises DownloadError where it does not tell whether there are labels."""
    told = row.get("explanations")
    explanations = [one for one in listed(told) if isinstance(one, Mapping) and "description" in one]
    if not isinstance(told, list) or (told and not explanations):  # an empty list is an answer, no list is none
        raise DownloadError("Neuronpedia's answer has no labels where they used to be.", "Update AXON Shell.")
    strongest = number(row.get("maxActApprox"))
    return FeatureFacts(
        labels=tuple(label for one in explanations if (label := label_of(one))),
        density=number(row.get("frac_nonzero")) or None,  # 0 stands for not known
        max_activation=strongest if strongest and strongest > 0 else None,
        promoted=weighted(row.get("pos_str"), row.get("pos_values")),
        suppressed=weighted(row.get("neg_str"), row.get("neg_values")),
        contexts=tuple(context_of(one) for one in strongest_texts(row.get("activations"))[:contexts]),
        sae=sae_named(row["source"]) if isinstance(row.get("source"), Mapping) else None,
    )


def label_of(record: Mapping[str, Any]) -> Label | None:
    """An explanation; None where it says nothing."""
    text = record.get("description")
    if not isinstance(text, str) or not text.strip():
        return None
    scores = [
        (said(one.get("explanationScoreTypeName")), -value)
        for one in listed(record.get("scores"))
        if isinstance(one, Mapping) and (value := number(one.get("value"))) is not None
    ]
    score_name, score = min(scores, default=("", None))  # of one kind: different kinds cannot be compared
    return Label(
        text,
        origin=Neuronpedia.name,
        method=said(record.get("typeName")) or "human",
        explainer=said(record.get("explanationModelName")),
        score=None if score is None else -score,
        score_name=score_name,
        id=said(record.get("id")),
    )


def context_of(activation: Mapping[str, Any]) -> Context:
    """A text at which a feature fires, about the token at which it fires most."""
    tokens = [token if isinstance(token, str) else "" for token in listed(activation.get("tokens"))]
    values = [number(value) or 0.0 for value in listed(activation.get("values"))]
    length = min(len(tokens), len(values))
    top = max(range(length), key=values.__getitem__)
    begin, end = max(0, top - AROUND), min(length, top + AROUND + 1)
    return Context(tuple(tokens[begin:end]), tuple(values[begin:end]))


def strongest_texts(activations: Any) -> list[Mapping[str, Any]]:
    """Texts with their activations, the strongest first; those without any are left out."""

    def top(one: Mapping[str, Any]) -> float:
        return max((number(value) or 0.0 for value in listed(one.get("values"))), default=0.0)

    found = [one for one in listed(activations) if isinstance(one, Mapping) and listed(one.get("tokens"))]
    return sorted((one for one in found if top(one) > 0), key=top, reverse=True)


def sae_named(source: Mapping[str, Any]) -> tuple[str, str] | None:
    """The SAE that a source says it is, in SAELens's directory."""
    release, sae_id = source.get("saelensRelease"), source.get("saelensSaeId")
    return (release, sae_id) if isinstance(release, str) and isinstance(sae_id, str) and release and sae_id else None


def weighted(tokens: Any, weights: Any) -> tuple[tuple[str, float], ...]:
    """Tokens with their weights, of two lists of which either may be missing."""
    pairs = zip(listed(tokens), listed(weights), strict=False)
    good = [
        (token, value) for token, weight in pairs if isinstance(token, str) and (value := number(weight)) is not None
    ]
    return tuple(good[:TOKENS])


def listed(value: Any) -> list[Any]:
    """A list, or nothing where it is none."""
    return value if isinstance(value, list) else []


def said(value: Any) -> str:
    """A text, or nothing where it is none."""
    return value.strip() if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """A finite number, else None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good else None


def whole(value: Any) -> int | None:
    """The number of a feature, which comes as a text or as a number; None where it is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None
