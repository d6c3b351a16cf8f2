"""What Neuronpedia says is understood, whatever it looks like; what it does not say is never made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_neuronpedia import (
    HOSTILE,
    RELATIONS,
    Fault,
    LocalNeuronpedia,
    Row,
    activation,
    explanation_line,
    local_neuronpedia,
    neuron,
    score,
)
from test_web import Time

from axon_shell import homes
from axon_shell.config import Config
from axon_shell.errors import DownloadError, NotFound
from axon_shell.hookspecs import LabelPublisher
from axon_shell.labels import LabelStore, Web
from axon_shell.labels.fetcher import cleaned, cleaned_label
from axon_shell.plugins import Catalogue, catalogue, load_file
from axon_shell.published import directory, page_of, published_saes
from axon_shell.records import FeatureFacts, PublishedSae, SaeSpec

MODEL, SOURCE, OTHER = "gpt2-small", "8-res-jb", "7-res-jb"
SET = f"{MODEL}/{SOURCE}"
Neuronpedia: Any = load_file(homes.plugins() / "neuronpedia.py", "neuronpedia").Neuronpedia  # type: ignore[attr-defined]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeuronpedia]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_neuronpedia() as served:
        yield served


@pytest.fixture
def publisher(site: LocalNeuronpedia) -> LabelPublisher:
    publisher: LabelPublisher = Neuronpedia(site.url, site.datasets)
    return publisher


@pytest.fixture
def web() -> Iterator[Web]:
    ticks = Time()
    opened = Web(False, ticks.sleep, ticks.clock)
    yield opened
    opened.close()


def texts(facts: FeatureFacts | None) -> list[str]:
    assert facts is not None
    return [label.text for label in cleaned(facts).labels]


# -- single features ----------------------------------------------------------


def test_features_are_matched_by_what_rows_say_they_are(
    site: LocalNeuronpedia, publisher: LabelPublisher, web: Web
) -> None:
    site.put(
        *(neuron(MODEL, layer, n, f" {layer} means {n}") for layer in (SOURCE, OTHER) for n in (1, 2, 3, 40)),
        neuron(MODEL, SOURCE, 5),
    )
    for site.shuffle in (False, True):
        for layer in (SOURCE, OTHER):
            found = publisher.look_up(web, f"{MODEL}/{layer}", [40, 3, 1, 2, 77])
            assert {n: texts(found[n]) for n in (1, 2, 3, 40)} == {n: [f"{layer} means {n}"] for n in (1, 2, 3, 40)}
            assert found[77] is None
    found = publisher.look_up(web, SET, [5, 6])
    assert found[5] and found[5].labels == () and found[6] is None  # unlabelled is not absent
    assert publisher.look_up(web, SET, [6]) == {6: None}


def test_a_question_never_asks_for_all_texts(site: LocalNeuronpedia, publisher: LabelPublisher, web: Web) -> None:
    site.put(neuron(MODEL, SOURCE, 0, "rivers"))
    publisher.look_up(web, SET, [0, 1])
    assert site.posted == [
        [{"modelId": MODEL, "layer": SOURCE, "index": n, "maxActsToReturn": 1} for n in (0, 1)],
    ]


def test_all_about_one_feature(site: LocalNeuronpedia, publisher: LabelPublisher, web: Web) -> None:
    tokens, strongest = [f" t{n}" for n in range(200)], [0.0] * 200
    strongest[150] = 99.5
    several = [activation(MODEL, SOURCE, 1, [" weak", " word"], [0.5 + n, 0]) for n in range(20)]
    best = activation(MODEL, SOURCE, 1, tokens, strongest)
    none = activation(MODEL, SOURCE, 1, [" dead"], [0])
    said: list[str | Row] = [
        " references to invented rivers",
        {"description": "fords", "scores": [score(0.43), score(0.61), score(0.9, "simulation")]},
        {"description": "bridges", "typeName": None, "explanationModelName": None},
        {"description": ""},
    ]
    site.put(neuron(MODEL, SOURCE, 1, *said, activations=[*several, none, best]))
    facts = publisher.details(web, SET, 1)
    assert facts
    rivers, fords, bridges = facts.labels
    assert (rivers.text.strip(), rivers.origin, rivers.method) == (
        "references to invented rivers",
        "neuronpedia",
        "oai_token-act-pair",
    )
    assert (rivers.explainer, rivers.score, rivers.score_name) == ("gpt-4o-mini", None, "")
    assert (fords.explainer, fords.score, fords.score_name) == ("gpt-3.5-turbo", 0.61, "recall_alt")
    assert (bridges.method, bridges.explainer) == ("human", "") and len({label.id for label in facts.labels}) == 3
    assert (facts.density, facts.max_activation) == (0.0021, 31.2)
    assert facts.promoted == ((" Quell", 1.21), (" Ombre", 1.02), ("Ġford", 0.8))
    assert facts.suppressed[0] == ("ĠX", -0.9)
    assert [max(one.activations) for one in facts.contexts] == [99.5, *(19.5 - n for n in range(7))]
    around = facts.contexts[0]
    assert around.tokens == tuple(tokens[126:175]) and around.activations.index(99.5) == around.tokens.index(" t150")
    assert facts.sae == ("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    assert publisher.details(web, SET, 2) is None


def test_what_is_not_known_is_not_zero(site: LocalNeuronpedia, publisher: LabelPublisher, web: Web) -> None:
    site.put(neuron(MODEL, SOURCE, 1, frac_nonzero=0, maxActApprox=0, pos_str=[], activations=[]) | {"source": None})
    facts = publisher.details(web, SET, 1)
    assert facts and (facts.density, facts.max_activation, facts.promoted, facts.contexts, facts.sae) == (
        *(None, None, (), ()),
        None,
    )


@pytest.mark.parametrize("echo", [{"layer": OTHER}, {"modelId": "gpt2-large"}, {"index": "7"}, {"index": None}])
def test_an_answer_about_something_else_is_no_answer(
    site: LocalNeuronpedia, publisher: LabelPublisher, web: Web, echo: Row
) -> None:
    site.put(neuron(MODEL, SOURCE, 1, "rivers"), neuron(MODEL, SOURCE, 2, "hills"))
    for ask in (lambda: publisher.look_up(web, SET, [1, 2]), lambda: publisher.details(web, SET, 1)):
        site.faults = [Fault("wrong_echo", echo=echo)]
        with pytest.raises(DownloadError) as error:
            ask()
        assert error.value.hint and not isinstance(error.value, NotFound)


# -- answers as they may be one day -------------------------------------------

NAMES = st.sampled_from([MODEL, SOURCE, OTHER, "1", "2", "01", "-1", "eight", "", "rivers", "\ud83d", "\0", "9" * 5000])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=6), NAMES)
ANYTHING: Any = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
SCORES = ANYTHING | st.lists(st.fixed_dictionaries({}, optional={"value": ANYTHING, "name": ANYTHING}))
OTHERS = dict.fromkeys(("id", "explanationModelName", "typeName", "embedding"), ANYTHING) | {"scores": SCORES}
EXPLANATION = st.fixed_dictionaries({}, optional={"description": st.just("rivers") | ANYTHING, **OTHERS})
LINE = st.fixed_dictionaries(
    {
        "modelId": st.just(MODEL) | ANYTHING,
        "layer": st.just(SOURCE) | ANYTHING,
        "index": st.sampled_from(["1", 2, 10**30, "9" * 30]) | ANYTHING,
        "description": st.just("rivers") | ANYTHING,
    },
    optional=OTHERS,
)
ACTIVATION = st.fixed_dictionaries({}, optional={"tokens": ANYTHING, "values": ANYTHING | st.lists(st.floats())})
SOURCES = st.fixed_dictionaries({}, optional={"saelensRelease": ANYTHING, "saelensSaeId": ANYTHING})
ROW = st.fixed_dictionaries(
    {
        "modelId": st.just(MODEL) | ANYTHING,
        "layer": st.just(SOURCE) | ANYTHING,
        "index": st.sampled_from(["1", "2", 1, 2]) | ANYTHING,
    },
    optional=dict.fromkeys(
        ("maxActApprox", "frac_nonzero", "pos_str", "pos_values", "neg_str", "neg_values", "new field"), ANYTHING
    )
    | {
        "explanations": st.lists(EXPLANATION | ANYTHING, max_size=3) | ANYTHING,
        "activations": st.lists(ACTIVATION | ANYTHING, max_size=3) | ANYTHING,
        "source": SOURCES | ANYTHING,
    },
)


class Answering:
    """A web in which every question gets the same answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def json(self, url: str, body: Any = None) -> Any:
        return self.answer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStore]:
    opened = LabelStore(tmp_path_factory.mktemp("labels"))
    yield opened
    opened.close()


@settings(deadline=None)
@given(st.lists(ROW | ANYTHING, max_size=4) | ANYTHING, ROW | ANYTHING)
def test_whatever_is_answered_is_kept_or_told_as_no_answer(store: LabelStore, rows: Any, row: Any) -> None:
    publisher = Neuronpedia("http://site", "http://datasets")
    for ask in (
        lambda: publisher.look_up(Answering(rows), SET, [1, 2]),
        lambda: {1: publisher.details(Answering(row), SET, 1)},
    ):
        try:
            found = ask()
        except DownloadError:
            continue
        store.keep(SET, "neuronpedia", {n: facts and cleaned(facts) for n, facts in found.items()}, whole=True)
        json.dumps([str(one) for one in store.known("", SET, found).labels.values()]).encode()
        assert all(store.facts(SET, n) for n, facts in found.items() if facts)


@given(LINE)
def test_whatever_a_line_of_an_export_is_it_is_a_label_or_none(record: dict[str, Any]) -> None:
    row = Neuronpedia("http://site", "http://datasets").row(record)
    if row is not None:
        label_set, feature, label = row
        assert 0 <= feature < 2**63 and label_set == f"{record['modelId']}/{record['layer']}"
        cleaned_label(label).text.encode()


@pytest.mark.parametrize(
    "missing", sorted(neuron(MODEL, SOURCE, 1).keys() - {"modelId", "layer", "index", "explanations"})
)
def test_a_row_without_a_field_still_has_its_label(missing: str) -> None:
    row = neuron(MODEL, SOURCE, 1, "rivers", somethingNew={"a": [1]})
    del row[missing]
    publisher = Neuronpedia("http://site", "http://datasets")
    assert texts(publisher.details(Answering(row), SET, 1)) == ["rivers"]
    partial = {name: value for name, value in row.items() if name not in RELATIONS}
    assert texts(publisher.look_up(Answering([partial]), SET, [1])[1]) == ["rivers"]


@pytest.mark.parametrize("explanations", [..., None, "rivers", {"description": "rivers"}])
def test_a_row_that_does_not_say_what_its_labels_are_is_not_taken_for_one_without(explanations: Any) -> None:
    row = neuron(MODEL, SOURCE, 1) | {"explanations": explanations}
    if explanations is ...:
        del row["explanations"]
    publisher = Neuronpedia("http://site", "http://datasets")
    with pytest.raises(DownloadError):
        publisher.details(Answering(row), SET, 1)
    with pytest.raises(DownloadError):
        publisher.look_up(Answering([row]), SET, [1, 2])


# -- whole sets ---------------------------------------------------------------


def test_lines_of_exports(publisher: LabelPublisher) -> None:
    for style in ("database", "autointerp"):
        for embedding in ("string", "list", "absent"):
            row: Row = {"index": 12, "description": " rivers", "id": "cm1", "explanationModelName": "gpt-4o-mini"}
            line = json.loads(explanation_line(MODEL, SOURCE, row, style, embedding))  # type: ignore[arg-type]
            found = publisher.row(line)
            assert found and found[:2] == (SET, 12)
            label = found[2]
            assert (label.text.strip(), label.method, label.explainer) == (
                *("rivers", "oai_token-act-pair"),
                "gpt-4o-mini",
            )
            assert (label.id, label.origin) == ("cm1", "neuronpedia")
    understood = {
        name: publisher.row(json.loads(explanation_line(MODEL, SOURCE, row, "database", "absent")))
        for name, row in HOSTILE.items()
        if isinstance(row, dict)
    }
    assert {name for name, row in understood.items() if row is None} == {"empty", "null", "no index", "negative"}
    other = understood["other source"]
    assert other and other[0] == f"{MODEL}/0-another"


def test_the_batches_of_a_set_in_order_over_several_pages(
    site: LocalNeuronpedia, publisher: LabelPublisher, web: Web
) -> None:
    rows = [{"index": n, "description": f"label {n}"} for n in range(24)]
    keys = site.export(MODEL, SOURCE, rows, per_batch=2)
    site.export(MODEL, SOURCE, rows, per_batch=2, folder="explanations-prev")
    site.export(MODEL, "8-res-jb-more", rows)
    site.objects[f"v1/{SET}/explanations/README.md"] = b"no labels"
    site.objects[f"v1/{SET}/explanations/old/batch-0.jsonl.gz"] = b"no labels"
    site.page_size = 5
    files = publisher.files(web, SET)
    assert [file.name for file in files] == [f"batch-{n}.jsonl.gz" for n in range(12)]
    assert [file.url for file in files] == [f"{site.datasets}/{key}" for key in keys]
    assert [file.size for file in files] == [len(site.objects[key]) for key in keys]
    assert all(web.facts(file.url) == (file.size, file.etag) for file in files)
    assert len(site.asked_for("list-type=2")) == 3
    assert publisher.files(web, f"{MODEL}/0-another") == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_bucket_that_lists_nothing_is_asked_batch_by_batch(
    site: LocalNeuronpedia, publisher: LabelPublisher, web: Web, status: int
) -> None:
    site.export(MODEL, SOURCE, [{"index": n, "description": "x"} for n in range(30)], per_batch=10)
    listed = publisher.files(web, SET)
    site.reset()
    site.faults = [Fault("status", "list-type", status=status, times=-1)]
    assert publisher.files(web, SET) == listed and len(listed) == 3
    assert [one.split()[0] for one in site.asked_for("batch-")] == ["HEAD"] * 4
    site.faults.append(Fault("status", "batch-2", status=503, times=-1))  # not the end of the list
    with pytest.raises(DownloadError):
        publisher.files(web, SET)


ENTITIES = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>&b;</Name></ListBucketResult>"""
ENDLESS = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>
</ListBucketResult>"""


@pytest.mark.parametrize("text", [ENTITIES, ENDLESS, "<html></html>", "", "no list", "<ListBucketResult>", "\0"])
def test_a_list_that_is_none_is_refused_and_not_taken_for_an_empty_one(text: str) -> None:
    class Texts:
        def text(self, url: str) -> str:
            return text

    with pytest.raises(DownloadError) as error:
        Neuronpedia("http://site", "http://datasets").files(Texts(), SET)
    assert error.value.hint


def test_an_export_says_which_sae_it_is_of(site: LocalNeuronpedia, publisher: LabelPublisher, web: Web) -> None:
    assert publisher.sae_of(web, SET) is None
    site.export(MODEL, SOURCE, [])
    assert publisher.sae_of(web, SET) == ("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    for content in (b"\xff\n[1]\n", b"", b'{"saelensRelease": 5, "saelensSaeId": ""}'):
        site.objects[f"v1/{SET}/source.jsonl"] = content
        assert publisher.sae_of(web, SET) is None


# -- which set an SAE has -----------------------------------------------------


@pytest.fixture(scope="module")
def offered() -> Catalogue:
    return catalogue(Config())


def test_the_plugin_registers_its_publisher(offered: Catalogue) -> None:
    publisher = offered.label_sources["neuronpedia"]
    assert isinstance(publisher, LabelPublisher) and publisher.batch == 64
    assert publisher.page(SET, 8) == f"https://www.neuronpedia.org/{SET}/8"


def test_no_set_is_guessed(publisher: LabelPublisher) -> None:
    weights = PublishedSae("gpt2-small-res-jb", "blocks.8.hook_resid_pre", files=None)  # type: ignore[arg-type]
    for one in (weights, Path("weights")):
        assert publisher.set_of(SaeSpec(SET, MODEL, "blocks.8.hook_resid_pre", 24_576, one)) == ""
    assert publisher.set_of(SaeSpec("mine", MODEL, "hook", 8, Path("weights"), neuronpedia=SET)) == SET


@pytest.mark.parametrize(
    ("release", "sae_id", "name"),
    [
        ("gpt2-small-res-jb", "blocks.8.hook_resid_pre", "gpt2-small/8-res-jb"),
        ("gpt2-small-res-jb", "blocks.11.hook_resid_post", "gpt2-small/12-res-jb"),
        ("gpt2-small-mlp-tm", "blocks.0.hook_mlp_out", ""),
        ("pythia-70m-deduped-res-sm", "blocks.0.hook_resid_pre", "pythia-70m-deduped/e-res-sm"),
        ("pythia-70m-deduped-att-sm", "blocks.0.hook_attn_out", "pythia-70m-deduped/0-att-sm"),
        ("gemma-scope-9b-pt-res", "layer_2/width_16k/average_l0_8", ""),
        ("gemma-scope-9b-pt-res", "layer_20/width_131k/average_l0_114", ""),
        ("gemma-scope-2b-pt-res-canonical", "layer_20/width_16k/canonical", "gemma-2-2b/20-gemmascope-res-16k"),
        ("gemma-scope-2b-pt-res", "layer_5/width_16k/average_l0_143", "gemma-2-2b/5-gemmascope-res-16k__l0-143"),
        ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_139", ""),
    ],
)
def test_the_map_of_known_saes(release: str, sae_id: str, name: str) -> None:
    assert any((one["release"], one["id"]) == (release, sae_id) for one in directory())
    assert page_of(PublishedSae(release, sae_id, files=None)) == name  # type: ignore[arg-type]


def test_an_l0_variant_never_has_the_labels_of_the_canonical_one(publisher: LabelPublisher) -> None:
    saes = [sae for sae in published_saes("gemma-2-2b", 2304) if isinstance(sae.weights, PublishedSae)]
    canonical = {
        publisher.set_of(sae): sae.weights.files  # type: ignore[union-attr]
        for sae in saes
        if sae.weights.release == "gemma-scope-2b-pt-res-canonical"  # type: ignore[union-attr]
    }
    variants = [sae for sae in saes if sae.weights.release == "gemma-scope-2b-pt-res"]  # type: ignore[union-attr]
    assert len(canonical) > 50 and len(variants) > 300
    for sae in variants:
        name = publisher.set_of(sae)
        assert not name or "__l0-" in name or canonical.get(name) == sae.weights.files  # type: ignore[union-attr]
