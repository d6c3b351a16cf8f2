"""Files that sessions are written in: what is in them is what was in the messages, whatever that was."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Sequence
from functools import cache
from xml.etree import ElementTree

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import session_messages

from axon_shell import Exporter, Message, graph_of
from axon_shell.config import Config
from axon_shell.plugins import catalogue

UID = "0199a212-0000-7000-8000-000000000001"
FORMATS = ("html", "json", "jsonl", "csv", "graphml", "gexf", "svg")
XML = ("graphml", "gexf", "svg")
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "</script><script>document.title='broken'</script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "<!--<script>",
    "]]>&lt;&#0;",
    "\"'`\\",
    "nul \0 bell \a escape \x1b",
    "bidi \u202eevil\u202c \u2066x",
    "half \ud83d of a pair \udc80",
    "lines \n\r\n\t \u2028\u2029",
    "long " * 2000,
    "=cmd()",
    "",
    "😀 漢字 e\u0301",
    "\ufffe\uffff",
]


@cache
def exporters() -> dict[str, Exporter]:
    found = catalogue(Config())
    assert not found.problems
    return found.exporters


def exported(form: str, messages: Sequence[Message]) -> bytes:
    file = io.BytesIO()
    exporters()[form].write(messages, file)
    return file.getvalue()


def labelled(messages: list[Message], texts: Sequence[str] = ("about rivers",)) -> list[Message]:
    """Messages as an exporter gets them: a third of the features described, a third named automatically."""
    for step in messages:
        for reading in step.get("saes", {}).values() if step["kind"] == "step" else ():
            for active in reading["features"]:
                text = texts[active["feature"] % len(texts)]
                active |= [
                    {"label": text, "label_state": "labelled", "label_origin": "neuronpedia"},
                    {"label": f"fires on “{text}”", "label_state": "unlabelled", "label_origin": "automatic"},
                    {"label": None, "label_state": "absent", "label_origin": None},
                ][active["feature"] % 3]
    return messages


def few_features(messages: list[Message], width: int = 60) -> list[Message]:
    """The same features come again and again, each once a token, as in real sessions; half of them with a companion."""
    for step in messages:
        for reading in step.get("saes", {}).values() if step["kind"] == "step" else ():
            ordered = sorted(reading["features"], key=lambda active: -active["activation"])
            by_feature = {active["feature"] % width: active for active in reversed(ordered)}
            companions = {
                feature + width: active | {"activation": active["activation"] * 0.9}
                for feature, active in by_feature.items()
                if feature % 2
            }
            known = (by_feature | companions).items()
            reading["features"] = sorted(
                (active | {"feature": feature} for feature, active in known), key=lambda active: -active["activation"]
            )
    return messages


def session(positions: int = 30, saes: tuple[str, ...] = ("m/2-res",), **details: object) -> list[Message]:
    messages = labelled(few_features(session_messages(UID, positions, saes=saes, **details)))
    messages[0]["saes"] = list(saes)
    return messages


def hostile() -> list[Message]:
    """A session that is made of text that breaks things."""
    messages = session(2 * len(HOSTILE) + 1, ("m/<1>&\"'", "m/\0\ud800\u202e"))
    labelled(messages, HOSTILE)
    start, *steps, end = messages
    start |= {"prompt": "".join(HOSTILE), "model": HOSTILE[0], "notes": list(HOSTILE), "device": HOSTILE[1]}
    start["settings"] = {"seed": 1, HOSTILE[0]: HOSTILE[1]}
    start["provenance"] = {"program": HOSTILE[0], "model": {"weights": HOSTILE[0], "revision": HOSTILE[1]}, "saes": {}}
    for i, step in enumerate(steps):
        text = HOSTILE[i % len(HOSTILE)]
        step |= {"piece": text, "text": text, "analyses": {text: text}}
        step["next"] = step["next"] and {"token_id": 1, "text": text}
        for one in step["alternatives"]:
            one["text"] = text
    end |= {"reason": "error", "error": {"kind": HOSTILE[0], "message": HOSTILE[1], "hint": HOSTILE[7]}}
    return messages


def odd_sessions() -> dict[str, list[Message]]:
    error = {"kind": "OutOfMemory", "message": "There is too little memory.", "hint": "Choose a smaller model."}
    without_bos = session(8)
    for step in without_bos[1:-1]:
        step.pop("is_bos", None)
    return {
        "ordinary": session(),
        "two SAEs": session(saes=("m/2-res", "m/0-res")),
        "interrupted": session()[:-1],
        "no SAE": session(saes=()),
        "no BOS": without_bos,
        "BOS alone": [session(6)[0], session(6)[1]],
        "one token": [*session(6)[:1], session(6)[2]],
        "only a start": session()[:1],
        "nothing": [],
        "an error": [*session()[:-1], session()[-1] | {"reason": "error", "error": error}],
        "hostile": hostile(),
    }


ODD = tuple(odd_sessions())


def data_of(page: bytes) -> dict:
    found = re.findall(r'<script type="application/json" id="session">(.*?)</script>', page.decode(), re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def test_all_formats_are_there():
    assert tuple(exporters()) == FORMATS
    assert [exporters()[form].suffix for form in FORMATS] == [f".{form}" for form in FORMATS]
    assert all(exporters()[form].about for form in FORMATS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ODD)
def test_any_session_can_be_written_and_always_the_same(form, kind):
    first = exported(form, odd_sessions()[kind])
    assert first == exported(form, odd_sessions()[kind])
    first.decode("utf-8")
    if form in XML:
        ElementTree.fromstring(first)
    if form == "html":
        data_of(first)


@pytest.mark.parametrize("form", FORMATS)
def test_two_thousand_tokens(form):
    written = exported(form, labelled(few_features(session_messages(UID, 2001, saes=("m/2-res",)), 900)))
    assert len(written) > 50_000


# -- JSON lines, JSON, CSV ----------------------------------------------------


@pytest.mark.parametrize("kind", ODD)
def test_json_gives_the_messages_back(kind):
    messages = odd_sessions()[kind]
    assert [json.loads(line) for line in exported("jsonl", messages).splitlines()] == messages
    document = json.loads(exported("json", messages))
    assert list(document) == ["start", "steps", "end"]
    assert [one for one in (document["start"], *document["steps"], document["end"]) if one] == messages


def test_json_lines_are_those_that_json_prints():
    messages = session()
    printed = "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages)
    assert exported("jsonl", messages) == printed.encode()


def test_csv_has_a_row_for_each_activation():
    messages = session(saes=("m/2-res", "m/0-res"))
    rows = list(csv.DictReader(io.StringIO(exported("csv", messages).decode(), newline="")))
    flat = [
        (step["position"], step["piece"], sae, active)
        for step in messages
        if step["kind"] == "step"
        for sae, reading in step["saes"].items()
        for active in reading["features"]
    ]
    assert len(rows) == len(flat)
    for row, (position, piece, sae, active) in zip(rows, flat, strict=True):
        assert (row["position"], row["token"], row["sae"]) == (str(position), piece, sae)
        assert (row["feature"], row["label"]) == (str(active["feature"]), active["label"] or "")
        assert row["label_origin"] == (active["label_origin"] or "")
        assert float(row["activation"]) == active["activation"]


# -- GraphML and GEXF ---------------------------------------------------------


def read_graphml(written: bytes) -> networkx.Graph:
    return networkx.read_graphml(io.BytesIO(written))


def read_gexf(written: bytes) -> networkx.Graph:
    return networkx.read_gexf(io.BytesIO(written), version="1.3")


@pytest.mark.parametrize(("form", "read"), [("graphml", read_graphml), ("gexf", read_gexf)])
def test_the_graph_read_back_is_the_graph_of_the_session(form, read):
    saes = ("m/2-res", "m/0-res")
    messages = session(saes=saes)
    found = read(exported(form, messages))
    assert not found.is_directed()
    drawn = {sae: graph_of(messages, sae) for sae in saes}
    assert found.number_of_nodes() == sum(len(one.nodes) for one in drawn.values()) > 60
    assert found.number_of_edges() == sum(len(one.edges) for one in drawn.values()) > 20
    nodes = {(values["sae"], values["feature"]): (name, values) for name, values in found.nodes(data=True)}
    for sae, one in drawn.items():
        for node in one.nodes:
            name, values = nodes[sae, node.feature]
            assert name in (f"{sae}:{node.feature}", f"{sae.replace('/', '.')}:{node.feature}")
            assert (values["count"], values["first"], values["last"]) == (node.count, node.first, node.last)
            assert values["max"] == node.max
        for edge in one.edges:
            values = found.edges[nodes[sae, edge.a][0], nodes[sae, edge.b][0]]
            for name in ("count", "lift", "phi", "q", "same_token"):
                assert values[name] == getattr(edge, name)


@pytest.mark.parametrize(("form", "read"), [("graphml", read_graphml), ("gexf", read_gexf)])
def test_an_automatic_label_is_marked_in_a_graph(form, read):
    found = read(exported(form, session()))
    for _, values in found.nodes(data=True):
        # Gephi shows what NetworkX gives as the label, the title of the node, where there is one.
        label, kind = values.get("label", ""), values["feature"] % 3
        assert values["label_state"] == ("labelled", "unlabelled", "absent")[kind]
        assert values.get("label_origin") == ("neuronpedia", "automatic", None)[kind]
        assert label.startswith(("about rivers", "automatic: fires on ", "feature " if form == "gexf" else "")[kind])
        assert kind == 1 or "automatic" not in label


def test_graphml_keeps_the_rules_of_its_schema():
    root = ElementTree.fromstring(exported("graphml", hostile()))
    space = "{http://graphml.graphdrawing.org/xmlns}"
    assert root.tag == f"{space}graphml"
    keys = {key.get("id"): key for key in root.iter(f"{space}key")}
    assert {key.get("attr.type") for key in keys.values()} <= {"boolean", "int", "long", "float", "double", "string"}
    nodes = [node.get("id") for node in root.iter(f"{space}node")]
    assert len(set(nodes)) == len(nodes) > 0
    assert all(re.fullmatch(r"[A-Za-z0-9._:-]+", node) for node in nodes)  # xs:NMTOKEN
    for kind in ("graph", "node", "edge"):
        for element in root.iter(space + kind):
            for data in element.findall(f"{space}data"):
                assert keys[data.get("key")].get("for") == kind
    for edge in root.iter(f"{space}edge"):
        assert {edge.get("source"), edge.get("target")} <= set(nodes)


def test_gexf_keeps_the_rules_of_its_schema():
    root = ElementTree.fromstring(exported("gexf", hostile()))
    space = "{http://gexf.net/1.3}"
    assert (root.tag, root.get("version")) == (f"{space}gexf", "1.3")
    assert [child.tag for child in root] == [f"{space}meta", f"{space}graph"]
    declared = {
        group.get("class"): {one.get("id"): one.get("type") for one in group}
        for group in root.iter(f"{space}attributes")
    }
    assert set(declared) == {"node", "edge"}
    for kind in declared:
        ids = [element.get("id") for element in root.iter(space + kind)]
        assert len(set(ids)) == len(ids) > 0
        for element in root.iter(space + kind):
            assert {value.get("for") for value in element.iter(f"{space}attvalue")} <= set(declared[kind])
    assert all(node.get("label") is not None for node in root.iter(f"{space}node"))
    assert all(float(edge.get("weight", 0)) > 1 for edge in root.iter(f"{space}edge"))


# -- SVG ----------------------------------------------------------------------


def test_svg_shows_every_token_once():
    messages = session(40)
    root = ElementTree.fromstring(exported("svg", messages))
    assert root.find(f"{SVG}title").text == "The capital of France is"
    steps = [step for step in messages if step["kind"] == "step"]
    groups = root.findall(f"{SVG}g")
    assert len(groups) == len(steps)
    for group, step in zip(groups, steps, strict=True):
        shown = "".join(text.text for text in group.findall(f"{SVG}text"))
        assert shown == (" start " if step.get("is_bos") else step["piece"])
        prompt = step["is_prompt"] and not step.get("is_bos")
        assert bool(group.findall(f"{SVG}line")) == prompt
        if not step.get("is_bos"):
            assert f"{-step['logprob']:.2f} nats" in group.find(f"{SVG}title").text
    said = " ".join(root.itertext())
    assert "surprise" in said and "−log p" in said and "prompt" in said


@pytest.mark.parametrize("kind", ODD)
def test_svg_stays_on_its_paper_and_does_nothing(kind):
    written = exported("svg", odd_sessions()[kind])
    root = ElementTree.fromstring(written)
    _, _, width, height = map(float, root.get("viewBox").split())
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.get("width")) <= width
        assert float(box.get("y", 0)) + float(box.get("height")) <= height
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "title", "desc", "style", "rect", "g", "text", "line"}
    assert not re.search(rb"<[^>]* (on\w+|href|src)=", written)


# -- HTML ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ODD)
def test_the_page_is_one_file_with_a_policy_and_inert_data(kind):
    messages = odd_sessions()[kind]
    page = exported("html", messages).decode()
    assert len(re.findall("<script", page)) == 2 and len(re.findall("</script", page)) == 2
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert len(re.findall("'sha256-", policy)) == 2
    assert not re.search(r"<[^>]*\s(on\w+|style|src|href)=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    inner = page.split('id="session">')[1].split("</script>")[0]
    assert not set("<>&\u2028\u2029\0") & set(inner)
    assert "\0" not in page and not re.search("[\ud800-\udfff]", page)
    steps = [step for step in messages if step["kind"] == "step"]
    data = data_of(page.encode())
    assert data["pieces"] == [step["piece"] for step in steps]
    assert len(data["kinds"]) == len(steps)
    if kind == "ordinary":
        text = "".join(step["text"] for step in steps if not step.get("is_bos"))
        assert html.escape(text) in page.split("<noscript>")[1].split("</noscript>")[0]


def test_the_page_holds_the_numbers():
    messages = session(saes=("m/2-res", "m/0-res"))
    data = data_of(exported("html", messages))
    steps = [step for step in messages if step["kind"] == "step"]
    for place, sae in enumerate(("m/2-res", "m/0-res")):
        held = data["saes"][place]
        assert held["id"] == sae
        for at, step in enumerate(steps):
            reading = step["saes"][sae]
            assert held["l0"][at] == reading["l0"]
            assert held["unexplained"][at] == pytest.approx(reading["unexplained"], rel=1e-4)
            flat = held["fired"][at]
            assert len(flat) == 3 * len(reading["features"])
            for i, active in enumerate(reading["features"]):
                feature, label, state, origin = held["names"][flat[3 * i]]
                assert (feature, label, origin) == (active["feature"], active["label"], active["label_origin"])
                assert (state == "labelled") == (active["label_state"] == "labelled")
                assert flat[3 * i + 1] == pytest.approx(active["activation"], rel=1e-4)
        assert all(0 <= x <= 1000 for x in held["nodes"][1::3]) and all(0 <= y <= 720 for y in held["nodes"][2::3])
    for at, step in enumerate(steps):
        flat = data["alternatives"][at]
        assert [data["words"][word] for word in flat[::2]] == [one["text"] for one in step["alternatives"]]
        assert flat[1::2] == pytest.approx([one["logprob"] for one in step["alternatives"]], rel=1e-4)
        assert (
            data["next"][at] == -1 if step["next"] is None else data["words"][data["next"][at]] == step["next"]["text"]
        )


def test_the_page_tells_how_the_session_was_made_and_no_path():
    messages = session()
    messages[0]["provenance"] = {
        "program": "0.1.0",
        "torch": "2.9",
        "model": {"weights": "/home/somebody/model", "sha256": "ab" * 32},
        "saes": {"m/2-res": {"weights": "owner/repo", "revision": "0123456789abcdef"}},
    }
    page = exported("html", messages).decode()
    facts = dict(data_of(page.encode())["facts"])
    assert "somebody" not in page
    assert facts["model"] == "m, SHA-256 abababababababab…" and facts["SAE"] == "m/2-res, revision 0123456789ab"
    assert "seed 7" in facts["settings"] and facts["device"] == "cpu, float32"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", facts["when"])
    assert facts["exported by"].startswith("AXON Shell ")


def test_a_page_of_two_hundred_tokens_is_small():
    real = labelled(few_features(session_messages(UID, 201), 600))
    size = len(exported("html", real))
    worst = len(exported("html", labelled(session_messages(UID, 201))))  # nearly no feature fires twice
    print(f"200 tokens x 15 features: {size:,} bytes; with {15 * 200} different features {worst:,} bytes")
    assert size < 250_000 and worst < 350_000


# -- any text -----------------------------------------------------------------

any_text = st.text(st.characters(exclude_categories=()), max_size=40)  # surrogates and controls too


@settings(max_examples=60, deadline=None)
@given(any_text, any_text, any_text, st.sampled_from(["labelled", "unlabelled", "absent"]))
def test_no_text_breaks_a_format(prompt, piece, label, state):
    messages = session(7)
    messages[0] |= {"prompt": prompt, "notes": [label]}
    for step in messages[1:-1]:
        step |= {"piece": piece, "text": piece}
        for active in step["saes"]["m/2-res"]["features"]:
            active |= {"label": label, "label_state": state}
    assert [json.loads(line) for line in exported("jsonl", messages).split(b"\n")[:-1]] == messages
    assert json.loads(exported("json", messages))["steps"] == messages[1:-1]
    rows = list(csv.reader(io.StringIO(exported("csv", messages).decode().replace("\0", "0"), newline="")))
    assert {len(row) for row in rows} == {9}
    for form in XML:
        ElementTree.fromstring(exported(form, messages))
    assert data_of(exported("html", messages))["pieces"] == [piece] * 7
