"""The Neuronpedia on loopback answers as the real one is known to."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from local_neuronpedia import (
    API_CAP,
    HOSTILE,
    Fault,
    Kind,
    LocalNeuronpedia,
    Row,
    http_date,
    local_neuronpedia,
    neuron,
    score,
)

MODEL, SOURCE, OTHER = "gpt2-small", "8-res-jb", "7-res-jb"
XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
EXPORT = f"v1/{MODEL}/{SOURCE}/explanations/"


@pytest.fixture
def site() -> Iterator[LocalNeuronpedia]:
    with local_neuronpedia() as served:
        served.put(
            neuron(MODEL, SOURCE, 1, " invented rivers", {"description": "fords", "scores": [score(0.43)]}),
            neuron(MODEL, SOURCE, 2),
            neuron(MODEL, OTHER, 1, "invented hills"),
            neuron(MODEL, SOURCE, 30, "bridges"),
        )
        yield served


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as opened:
        yield opened


def feature(site: LocalNeuronpedia, index: object = 1, source: str = SOURCE) -> str:
    return f"{site.url}/api/feature/{MODEL}/{source}/{index}"


def wanted(*features: tuple[str, int], **fields: Any) -> list[Row]:
    return [{"modelId": MODEL, "layer": source, "index": index, **fields} for source, index in features]


def lines(content: bytes) -> list[bytes]:
    return gzip.decompress(content).split(b"\n")[:-1]


def listing(client: httpx.Client, site: LocalNeuronpedia, **params: str) -> ElementTree.Element:
    answer = client.get(f"{site.datasets}/", params={"list-type": "2", **params})
    assert answer.status_code == 200
    return ElementTree.fromstring(answer.content)


def keys_of(page: ElementTree.Element) -> list[str | None]:
    return [key.text for key in page.iterfind(f"{XMLNS}Contents/{XMLNS}Key")]


def test_a_feature_is_a_whole_row(site: LocalNeuronpedia, client: httpx.Client) -> None:
    row = client.get(feature(site), headers={"x-api-key": "invalid"}).json()
    assert (row["modelId"], row["layer"], row["index"]) == (MODEL, SOURCE, "1")
    assert [label["description"] for label in row["explanations"]] == [" invented rivers", "fords"]
    names = {"id", "description", "explanationModelName", "typeName", "scores", "triggeredByUser"}
    assert all(set(label) == names for label in row["explanations"])
    assert row["explanations"][1]["scores"][0]["explanationId"] == row["explanations"][1]["id"]
    assert row["source"]["saelensRelease"] == "gpt2-small-res-jb"
    assert row["source"]["saelensSaeId"] == "blocks.8.hook_resid_pre"
    peaks = [one["maxValue"] for one in row["activations"]]
    assert peaks == sorted(peaks, reverse=True) and peaks[0] == row["maxActApprox"]
    assert all(len(one["tokens"]) == len(one["values"]) for one in row["activations"])
    assert client.get(feature(site, 2)).json()["explanations"] == []
    assert site.asked[0][2]["x-api-key"] == "invalid"


def test_the_two_404s_differ_in_their_bodies(site: LocalNeuronpedia, client: httpx.Client) -> None:
    no_row, no_source = client.get(feature(site, 3)), client.get(feature(site, source="9-none"))
    assert (no_row.status_code, no_source.status_code) == (404, 404)
    assert set(no_row.json()) == {"error"}
    assert set(no_source.json()) == {"error", "message"}
    assert no_row.json()["error"] == no_source.json()["error"] == no_source.json()["message"]
    assert client.get(feature(site, "x")).status_code == 404


def test_many_features_in_the_order_of_their_indexes_only(site: LocalNeuronpedia, client: httpx.Client) -> None:
    url, body = f"{site.url}/api/features", wanted((SOURCE, 30), (OTHER, 1), (SOURCE, 99), (SOURCE, 1))
    rows = client.post(url, json=body).json()
    assert [(row["layer"], row["index"]) for row in rows] == [(SOURCE, "30"), (SOURCE, "1"), (OTHER, "1")]
    assert set(rows[1]["explanations"][0]) == {"description", "explanationModelName", "typeName"}
    assert "source" not in rows[0] and "vector" in rows[0]
    site.shuffle = True
    assert client.post(url, json=body).json() == rows[::-1]
    assert site.posted == [body, body]


def test_only_the_first_limit_of_activations_counts(site: LocalNeuronpedia, client: httpx.Client) -> None:
    def counts(*limits: Row) -> list[int]:
        body = [one | limit for one, limit in zip(wanted((SOURCE, 1), (SOURCE, 2)), limits, strict=True)]
        return [len(row["activations"]) for row in client.post(f"{site.url}/api/features", json=body).json()]

    assert counts({"maxActsToReturn": 1}, {"maxActsToReturn": 3}) == [1, 1]
    assert counts({"maxActsToReturn": 0}, {"maxActsToReturn": 1}) == [3, 3]
    assert counts({}, {"maxActsToReturn": 1}) == [3, 3]


@pytest.mark.parametrize(
    ("body", "status"), [(b"[", 500), (b"{}", 400), (b"null", 400), (b'[{"modelId": "m"}]', 400), (b"[]", 200)]
)
def test_bodies_that_are_no_list_of_features(
    site: LocalNeuronpedia, client: httpx.Client, body: bytes, status: int
) -> None:
    answer = client.post(f"{site.url}/api/features", content=body)
    assert answer.status_code == status
    assert answer.json() == ({"message": "Unknown Error"} if status == 500 else answer.json())
    assert status == 200 or set(answer.json()) == {"message"}


def test_the_old_export_is_gone_and_other_paths_are_pages(site: LocalNeuronpedia, client: httpx.Client) -> None:
    answer = client.get(f"{site.url}/api/explanation/export", params={"modelId": MODEL, "saeId": SOURCE})
    assert answer.status_code == 400 and set(answer.json()) == {"newUrl", "message"}
    assert client.get(f"{site.url}/api/none").headers["Content-Type"].startswith("text/html")
    assert client.get(f"{site.url}/api/features").status_code == 405


def test_what_remains_of_the_limit_is_told_by_the_api_alone(site: LocalNeuronpedia, client: httpx.Client) -> None:
    assert "x-limit-remaining" not in client.get(feature(site)).headers
    site.remaining = 150
    site.faults = [Fault("status", status=429)]
    assert client.get(feature(site)).headers["x-limit-remaining"] == "150"
    assert client.get(feature(site, 3)).headers["x-limit-remaining"] == "150"
    assert "x-limit-remaining" not in client.get(f"{site.datasets}/none").headers


@pytest.mark.parametrize(
    ("fault", "status", "kind", "fields"),
    [
        (Fault("status", status=500), 500, "application/json", {"error", "message"}),
        (Fault("status", status=502), 502, "application/json", {"error", "message"}),
        (Fault("status", status=503), 503, "application/json", {"error", "message"}),
        (Fault("status", status=404), 404, "application/json", {"error", "message"}),
        (Fault("absent"), 404, "application/json", {"error"}),
        (Fault("text"), 500, "text/plain", None),
        (Fault("html"), 200, "text/html", None),
        (Fault("html", status=502), 502, "text/html", None),
        (Fault("garbage"), 200, "application/json", None),
    ],
)
def test_answers_that_are_none(
    site: LocalNeuronpedia, client: httpx.Client, fault: Fault, status: int, kind: str, fields: set[str] | None
) -> None:
    site.faults = [fault]
    answer = client.get(feature(site))
    assert answer.status_code == status and answer.headers["Content-Type"].startswith(kind)
    if fields is None:
        with pytest.raises(ValueError):
            answer.json()
    else:
        assert set(answer.json()) == fields
    assert client.get(feature(site)).status_code == 200 and not site.faults


def test_the_rate_limit_with_and_without_a_time(site: LocalNeuronpedia, client: httpx.Client) -> None:
    later = http_date(90)
    site.faults = [Fault("status", status=429, retry_after=text) for text in ("", "7", later)]
    answers = [client.get(feature(site)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 429]
    assert [answer.headers.get("Retry-After") for answer in answers] == [None, "7", later]
    assert 80 < parsedate_to_datetime(later).timestamp() - time.time() < 91
    assert answers[0].json()["remainingRequests"] == 0


def test_a_fault_meets_the_requests_it_is_meant_for(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.faults = [Fault("html", "/bucket/", times=-1), Fault("absent", f"{SOURCE}/1", times=2)]
    assert [client.get(feature(site, index)).status_code for index in (2, 1, 1, 1)] == [200, 404, 404, 200]
    assert [client.get(f"{site.datasets}/none").text[:9] for _ in range(3)] == ["<!DOCTYPE"] * 3
    site.faults = [Fault("text", "prefix=v1/")]
    assert client.get(f"{site.datasets}/", params={"list-type": "2", "prefix": "v1/"}).status_code == 500
    with pytest.raises(ValueError):
        Fault("typo")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["truncated", "drop"])
def test_connections_that_close_early(site: LocalNeuronpedia, client: httpx.Client, kind: Kind) -> None:
    site.faults = [Fault(kind)]
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(feature(site))
    assert client.get(feature(site)).json()["index"] == "1"


def test_answers_that_take_their_time(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.faults = [Fault("slow", seconds=0.01), Fault("hang", seconds=0.05), Fault("hang")]
    started = time.monotonic()
    assert client.get(feature(site)).json()["index"] == "1"
    assert time.monotonic() - started > 0.08
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(feature(site))
    with pytest.raises(httpx.ReadTimeout):
        client.get(feature(site), timeout=0.1)


def test_the_row_of_another_feature(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.faults = [Fault("wrong_echo"), Fault("wrong_echo", echo={"layer": OTHER})]
    row = client.get(feature(site)).json()
    assert (row["modelId"], row["layer"], row["index"]) == ("another-model", "0-another", "999999")
    rows = client.post(f"{site.url}/api/features", json=wanted((SOURCE, 1), (SOURCE, 2))).json()
    assert [(row["layer"], row["index"]) for row in rows] == [(OTHER, "1"), (OTHER, "2")]


def test_redirects(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.faults = [
        Fault("redirect", f"{SOURCE}/1", location=feature(site, 2)),
        Fault("redirect", "features", status=307, location="/elsewhere"),
    ]
    assert client.get(feature(site), follow_redirects=True).json()["index"] == "2"
    answer = client.post(f"{site.url}/api/features", json=[])
    assert (answer.status_code, answer.headers["Location"]) == (307, "/elsewhere")


def test_packed_and_huge_answers(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.faults = [Fault("gzip"), Fault("huge"), Fault("bomb")]
    packed, huge, bomb = (client.get(feature(site)) for _ in range(3))
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.json() == huge.json() == bomb.json()
    assert int(huge.headers["Content-Length"]) > API_CAP
    assert int(bomb.headers["Content-Length"]) < 100_000 < API_CAP < len(bomb.content)


def test_an_export_has_batches_in_the_order_of_text(site: LocalNeuronpedia, client: httpx.Client) -> None:
    rows: list[Row | bytes] = [{"index": n, "description": f"label {n}"} for n in range(11)]
    keys = site.export(MODEL, SOURCE, rows, per_batch=4)
    assert keys == [f"{EXPORT}batch-{n}.jsonl.gz" for n in range(3)]
    batches = [lines(client.get(f"{site.datasets}/{key}").content) for key in keys]
    labels = [json.loads(line) for batch in batches for line in batch]
    assert [label["index"] for label in labels] == ["0", "1", "10", *"23456789"]
    assert labels[2]["description"] == "label 10" and len({label["id"] for label in labels}) == 11
    assert set(labels[0]) >= {"modelId", "layer", "typeName", "explanationModelName", "umap_x", "authorId"}
    assert len(json.loads(labels[0]["embedding"])) == 256
    before = dict(site.objects)
    site.export(MODEL, SOURCE, [*rows[:10], {"index": 10, "description": "better"}], per_batch=4)
    assert [key for key in keys if site.objects[key] != before[key]] == keys[:1]
    assert json.loads(site.objects[f"v1/{MODEL}/{SOURCE}/source.jsonl"])["saelensRelease"] == "gpt2-small-res-jb"


def test_the_other_style_and_the_other_embeddings(site: LocalNeuronpedia) -> None:
    def first(**options: Any) -> Row:
        return json.loads(
            lines(site.objects[site.export(MODEL, SOURCE, [{"index": 5}, {"index": 10}], **options)[0]])[0]
        )

    autointerp = first(style="autointerp")
    assert autointerp["index"] == "5" and len(autointerp["embedding"]) == 256 and "createdAt" in autointerp
    assert "umap_x" not in autointerp
    assert isinstance(first()["embedding"], str) and first()["index"] == "10"
    assert "embedding" not in first(embedding="absent")


def test_hostile_rows_arrive_as_they_are(site: LocalNeuronpedia) -> None:
    (key,) = site.export(MODEL, SOURCE, HOSTILE.values(), style="autointerp")
    found = dict(zip(HOSTILE, lines(site.objects[key]), strict=True))
    assert [found[name] for name, row in HOSTILE.items() if isinstance(row, bytes)] == list(HOSTILE.values())[-4:]
    for name in ("blank line", "no JSON", "bad UTF-8"):
        with pytest.raises(ValueError):
            json.loads(found[name])
    label = {name: json.loads(found[name]) for name, row in HOSTILE.items() if not isinstance(row, bytes)}
    assert label["html"]["description"] == "<img src=x onerror=alert(1)>"
    assert {"\u202e", "\u2066"} <= set(label["bidi"]["description"])
    assert "\0" in label["nul"]["description"] and len(label["long"]["description"]) == 10_000
    assert label["int index"]["index"] == 7 and label["null"]["description"] is None
    assert label["out of range"]["index"] == "1000000000"
    assert label["duplicate"] == label["duplicate again"]
    assert label["two explainers"]["id"] != label["two explainers again"]["id"]
    with pytest.raises(UnicodeEncodeError):
        label["surrogate"]["description"].encode()


def test_a_listing_comes_in_pages_and_in_the_order_of_text(site: LocalNeuronpedia, client: httpx.Client) -> None:
    keys = site.export(MODEL, SOURCE, [{"index": n} for n in range(12)], per_batch=1)
    site.export(MODEL, SOURCE, [{"index": 0}], folder="explanations-prev")
    site.page_size = 7
    first = listing(client, site, prefix=EXPORT)
    assert first.findtext(f"{XMLNS}IsTruncated") == "true"
    token = first.findtext(f"{XMLNS}NextContinuationToken") or ""
    second = listing(client, site, prefix=EXPORT, **{"continuation-token": token})
    assert second.findtext(f"{XMLNS}IsTruncated") == "false" and second.find(f"{XMLNS}NextContinuationToken") is None
    assert (len(keys_of(first)), len(keys_of(second))) == (7, 5)
    assert keys_of(first) + keys_of(second) == sorted(keys) != keys
    entry = first.find(f"{XMLNS}Contents")
    assert entry is not None
    content = site.objects[keys[0]]
    assert entry.findtext(f"{XMLNS}ETag") == f'"{hashlib.md5(content).hexdigest()}"'
    assert entry.findtext(f"{XMLNS}Size") == str(len(content)) and entry.findtext(f"{XMLNS}LastModified")
    assert len(keys_of(listing(client, site, prefix=EXPORT, **{"max-keys": "3"}))) == 3
    wrong = client.get(f"{site.datasets}/", params={"list-type": "2", "continuation-token": "?"})
    assert wrong.status_code == 400
    assert site.bodies_sent == 0


def test_a_listing_knows_siblings_and_folders(site: LocalNeuronpedia, client: httpx.Client) -> None:
    site.export(MODEL, SOURCE, [{"index": 0}])
    site.export(MODEL, SOURCE, [{"index": 0}], folder="explanations-prev")
    site.export(MODEL, OTHER, [{"index": 0}])
    assert len(keys_of(listing(client, site, prefix=EXPORT.rstrip("/")))) == 2
    page = listing(client, site, prefix=f"v1/{MODEL}/{SOURCE}/", delimiter="/")
    folders = [one.text for one in page.iterfind(f"{XMLNS}CommonPrefixes/{XMLNS}Prefix")]
    assert folders == [f"v1/{MODEL}/{SOURCE}/explanations-prev/", EXPORT]
    assert keys_of(page) == [f"v1/{MODEL}/{SOURCE}/source.jsonl"]
    site.page_size = 1
    page = listing(client, site, prefix=f"v1/{MODEL}/", delimiter="/")
    token = page.findtext(f"{XMLNS}NextContinuationToken") or ""
    page = listing(client, site, prefix=f"v1/{MODEL}/", delimiter="/", **{"continuation-token": token})
    assert page.findtext(f"{XMLNS}CommonPrefixes/{XMLNS}Prefix") == f"v1/{MODEL}/{SOURCE}/"
    assert page.findtext(f"{XMLNS}IsTruncated") == "false"
    assert keys_of(listing(client, site, prefix="v2/")) == []


def test_an_object_whole_in_part_and_unchanged(site: LocalNeuronpedia, client: httpx.Client) -> None:
    content = bytes(range(100))
    site.objects["v1/object"] = content
    url = f"{site.datasets}/v1/object"
    whole = client.get(url)
    etag = whole.headers["ETag"]
    assert whole.content == content and etag == f'"{hashlib.md5(content).hexdigest()}"'
    assert whole.headers["Accept-Ranges"] == "bytes" and "Content-Encoding" not in whole.headers
    head = client.head(url)
    assert (head.headers["Content-Length"], head.headers["ETag"], head.content) == ("100", etag, b"")
    part = client.get(url, headers={"Range": "bytes=90-", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[90:])
    assert part.headers["Content-Range"] == "bytes 90-99/100"
    assert client.get(url, headers={"Range": "bytes=0-3"}).content == content[:4]
    assert client.get(url, headers={"Range": "bytes=-3"}).content == content[-3:]
    other = client.get(url, headers={"Range": "bytes=90-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, content)
    assert client.get(url, headers={"Range": "bytes=100-"}).status_code == 416
    assert site.bodies_sent == 5
    same = client.get(url, headers={"If-None-Match": etag})
    assert (same.status_code, same.headers["ETag"], same.content) == (304, etag, b"")
    assert client.get(url, headers={"If-None-Match": '"another"'}).status_code == 200
    assert client.get(url, headers={"If-Match": '"another"'}).status_code == 412
    assert site.bodies_sent == 6


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (None, 404, "NoSuchKey"),
        (Fault("status", status=403), 403, "AccessDenied"),
        (Fault("status", status=503), 503, "SlowDown"),
        (Fault("status", status=500), 500, "InternalError"),
    ],
)
def test_errors_of_the_bucket(
    site: LocalNeuronpedia, client: httpx.Client, fault: Fault | None, status: int, code: str
) -> None:
    site.faults = [fault] if fault else []
    answer = client.get(f"{site.datasets}/v1/none")
    assert answer.status_code == status and answer.headers["Content-Type"] == "application/xml"
    assert ElementTree.fromstring(answer.content).findtext("Code") == code
    assert client.head(f"{site.datasets}/v1/none").status_code == 404
    assert site.bodies_sent == 0


def test_an_object_cut_short_and_one_that_lies(site: LocalNeuronpedia, client: httpx.Client) -> None:
    (key,) = site.export(MODEL, SOURCE, [{"index": 0, "description": "fords"}])
    url, content, arrived = f"{site.datasets}/{key}", site.objects[key], b""
    site.faults = [Fault("cut", "batch-0", after=50), Fault("etag_lies", "batch-0")]
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", url) as answer:
        assert answer.headers["Content-Length"] == str(len(content))
        for piece in answer.iter_raw():
            arrived += piece
    assert arrived == content[:50]
    lie = client.get(url)
    assert lie.headers["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert lie.content != content and len(lie.content) == len(content) and lines(lie.content) == lines(content)
    assert client.get(url).content == content and site.bodies_sent == 3


def test_the_log_of_requests(site: LocalNeuronpedia, client: httpx.Client) -> None:
    client.get(feature(site))
    client.get(f"{site.datasets}/", params={"prefix": "v1/a"})
    client.post(f"{site.url}/api/features", content=b"no JSON", headers={"User-Agent": "a test"})
    assert site.asked_for("/api/feature/") == [f"GET /site/api/feature/{MODEL}/{SOURCE}/1"]
    assert site.asked_for("v1/a") == ["GET /bucket/?prefix=v1%2Fa"] and len(site.asked_for("")) == 3
    assert site.asked[-1][2]["user-agent"] == "a test" and site.posted == [b"no JSON"]
    site.reset()
    assert (site.asked, site.posted, site.bodies_sent) == ([], [], 0) and site.features


def test_a_closed_server_answers_nothing_on_connections_it_kept(client: httpx.Client) -> None:
    with local_neuronpedia() as served:
        served.put(neuron(MODEL, SOURCE, 1, "fords"))
        assert client.get(feature(served)).status_code == 200
    with pytest.raises(httpx.TransportError):
        client.get(feature(served))
    assert len(served.asked) == 1
