"""Neuronpedia on loopback: its API, the bucket of its exports, and the ill moods of both.

/site/api/...          as www.neuronpedia.org answers
/bucket/v1/...         as the bucket neuronpedia-datasets answers; /bucket/?list-type=2 lists it
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Row = dict[str, Any]
Style = Literal["database", "autointerp"]
Embedding = Literal["string", "list", "absent"]
Kind = Literal[
    "status",  # `status`, with the body that the API or the bucket gives it
    "absent",  # the 404 of a feature without a row in a known source
    "text",  # text/plain, 500 unless `status` says otherwise
    "html",  # a page, 200 unless `status` says otherwise
    "garbage",  # 200 and application/json, but cannot be parsed
    "truncated",  # the connection closes after `after` bytes of the body, or half of it; Content-Length is the whole
    "cut",  # the same; the word for objects
    "slow",  # the body in ten pieces, `seconds` apart
    "hang",  # no answer for `seconds`, or until the server closes; then a closed connection
    "drop",  # the connection closes without an answer
    "wrong_echo",  # rows with the fields of `echo` in place of their own
    "redirect",  # to `location`, 302 unless `status` says otherwise
    "gzip",  # the answer with Content-Encoding: gzip
    "huge",  # the right JSON, and spaces to above 8 MB
    "bomb",  # huge, as a small gzip
    "etag_lies",  # a byte of the object changed that only its checksum shows, if the object is a gzip
]

API_CAP = 8 << 20
DEFAULT_PAGE = 1_000
MODIFIED = 1_776_211_200  # 2026-04-15, when everything in the bucket was put there
EXPLAINERS = ("gpt-4o-mini", "gpt-3.5-turbo")
DIMENSIONS = 256
VECTOR = [round((n % 17 - 8) / 100, 2) for n in range(DIMENSIONS)]
RELATIONS = ("comments", "lists", "creator", "model", "source", "sourceSet")  # of a row; not in POST /api/features
ELSEWHERE: Row = {"modelId": "another-model", "layer": "0-another", "index": "999999"}

UNAVAILABLE = (
    "The model, source, or feature you specified is not available. Check available public models/sources at "
    "/available-resources"
)
WENT_WRONG = "Something went wrong on our end. Please try again later."
DATASETS_PAGE = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com/index.html?prefix=v1/"
EXPORT_REMOVED = {"newUrl": DATASETS_PAGE, "message": f"This endpoint has been removed. Use {DATASETS_PAGE}"}
RATE_LIMITED = {
    "endpoint": "/api",
    "limitPerWindow": 25_000,
    "requestWindow": "60 m",
    "remainingRequests": 0,
    "error": "Rate limit exceeded. Please try again later.",
}
PAGE = b"<!DOCTYPE html><html><body><h1>Please try again later</h1></body></html>"
S3_CODES = {400: "InvalidArgument", 403: "AccessDenied", 404: "NoSuchKey", 416: "InvalidRange", 503: "SlowDown"}

# Explanation rows to export, by what is wrong with them; each has a feature of its own. Bytes are a line as it stands.
HOSTILE: dict[str, Row | bytes] = {
    "html": {"index": 0, "description": "<img src=x onerror=alert(1)>"},
    "bidi": {"index": 1, "description": "words \u202ethat turn\u2066 around"},
    "nul": {"index": 2, "description": "before\u0000after"},
    "long": {"index": 3, "description": "long " * 2_000},
    "leading space": {"index": 4, "description": " references to invented rivers"},
    "empty": {"index": 5, "description": ""},
    "newline": {"index": 6, "description": "first line\nsecond line"},
    "int index": {"index": 7, "description": "an index that is a number", "over": {"index": 7}},
    "out of range": {"index": 1_000_000_000, "description": "beyond every SAE"},
    "negative": {"index": -1, "description": "before every SAE"},
    "no index": {"index": 8, "description": "an index that is a word", "over": {"index": "eight"}},
    "null": {"index": 9, "description": "", "over": {"description": None}},
    "surrogate": {"index": 10, "description": "half a \ud83d character"},
    "duplicate": {"index": 11, "id": "cduplicate", "description": "twice with one id"},
    "duplicate again": {"index": 11, "id": "cduplicate", "description": "twice with one id"},
    "two explainers": {"index": 12, "description": "said by two", "explanationModelName": EXPLAINERS[0]},
    "two explainers again": {"index": 12, "description": "said by two", "explanationModelName": EXPLAINERS[1]},
    "other source": {"index": 13, "description": "of another source", "over": {"layer": "0-another"}},
    "blank line": b"",
    "no JSON": b'{"index": "14", "description": ',
    "no object": b'["14", "a list"]',
    "bad UTF-8": b'{"index": "15", "description": "\xff\xfe"}',
}


@dataclass
class Fault:
    """What happens to the next `times` requests whose path contains `path`; for ever if `times` is -1."""

    kind: Kind
    path: str = ""
    times: int = 1
    status: int = 0
    retry_after: str = ""  # seconds, or a date from `http_date`
    location: str = ""
    after: int = 0
    seconds: float = 0.0
    echo: Row = field(default_factory=lambda: dict(ELSEWHERE))

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"No such fault: {self.kind}")


@dataclass
class Reply:
    """An answer before it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    of_object: bool = False  # the body is an object of the bucket, or a part of one


@dataclass
class LocalNeuronpedia:
    """What the server gives, what it was asked, and how it misbehaves. All of it may change while it runs."""

    url: str = ""
    datasets: str = ""
    features: dict[tuple[str, str, int], Row] = field(default_factory=dict)  # model, source, index
    objects: dict[str, bytes] = field(default_factory=dict)  # of the bucket
    faults: list[Fault] = field(default_factory=list)  # the first that matches a request is applied to it
    remaining: int | None = None  # x-limit-remaining of every answer of the API
    page_size: int = DEFAULT_PAGE  # of a listing
    shuffle: bool = False  # POST /api/features answers in reversed order
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # method, path, headers in lower case
    posted: list[Any] = field(default_factory=list)  # bodies of POST: JSON, or the bytes that are none
    bodies_sent: int = 0  # objects, and parts of objects
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def asked_for(self, fragment: str) -> list[str]:
        """The requests, "GET /site/api/...", whose path contains a text, as sent or decoded."""
        with self.lock:
            asked = [(method, path) for method, path, _ in self.asked]
        return [f"{method} {path}" for method, path in asked if fragment in path or fragment in unquote(path)]

    def reset(self) -> None:
        """Forget what was asked; what is served and the faults stay."""
        with self.lock:
            self.asked.clear()
            self.posted.clear()
            self.bodies_sent = 0

    def put(self, *rows: Row) -> None:
        """Serve rows under the feature that each names."""
        for row in rows:
            self.features[row["modelId"], row["layer"], int(row["index"])] = row

    def export(
        self,
        model: str,
        source: str,
        rows: Iterable[Row | bytes],
        per_batch: int = 1024,
        style: Style = "database",
        embedding: Embedding | None = None,
        folder: str = "explanations",
        **fields: Any,
    ) -> list[str]:
        """Put an export into the bucket in place of an earlier one, and return the keys of its batches.

        A row is {index, description, typeName, explanationModelName, id}, all but the index optional; what it has under
        `over` is laid over the finished line. A row of bytes is a line as it stands and stays behind the row before it.
        `fields` are those of source.jsonl.
        """
        prefix = f"v1/{model}/{source}"
        embedding = embedding or ("string" if style == "database" else "list")
        lines: list[tuple[str, bytes]] = []
        order = ""
        for row in rows:
            if isinstance(row, bytes):
                lines.append((order, row))
            else:
                order = str(row["index"]) if style == "database" else ""
                lines.append((order, explanation_line(model, source, row, style, embedding)))
        lines.sort(key=lambda line: line[0])
        for key in [key for key in self.objects if key.startswith(f"{prefix}/{folder}/")]:
            del self.objects[key]
        keys = []
        for number, start in enumerate(range(0, len(lines), per_batch)):
            content = b"".join(line + b"\n" for _, line in lines[start : start + per_batch])
            keys.append(f"{prefix}/{folder}/batch-{number}.jsonl.gz")
            self.objects[keys[-1]] = gzip.compress(content, 5, mtime=0)
        self.objects[f"{prefix}/source.jsonl"] = json.dumps(source_row(model, source, **fields)).encode() + b"\n"
        return keys

    def fault_for(self, path: str) -> Fault | None:
        """The fault that a request meets, which is one time fewer from now on."""
        with self.lock:
            for fault in self.faults:
                if fault.times and (fault.path in path or fault.path in unquote(path)):
                    met = replace(fault)
                    fault.times -= 1 if fault.times > 0 else 0
                    if not fault.times:
                        self.faults.remove(fault)
                    return met
        return None


def explanation_line(model: str, source: str, row: Row, style: Style, embedding: Embedding) -> bytes:
    """A line of explanations/batch-N.jsonl.gz in the style of either writer."""
    label = {"description": "", "typeName": "oai_token-act-pair", "explanationModelName": EXPLAINERS[0]}
    label |= {name: value for name, value in row.items() if name not in ("index", "over")}
    line: Row = {"id": "", "modelId": model, "layer": source, "index": str(row["index"])}
    if style == "database":
        line |= {"authorId": "cauthor", **label, "umap_x": 0, "umap_y": 0}
        line |= {"umap_cluster": 0, "umap_log_feature_sparsity": 0}
    else:
        line |= {"authorId": "cauthor", "triggeredById": "cauthor", **label, "notes": None}
        line |= {"createdAt": "2025-06-01T00:00:00.000Z"}
    line["id"] = row.get("id") or cuid(line["modelId"], line["layer"], line["index"], *label.values())
    if embedding != "absent":
        line["embedding"] = json.dumps(VECTOR, separators=(",", ":")) if embedding == "string" else VECTOR
    return json.dumps(line | row.get("over", {}), separators=(",", ":")).encode()


def cuid(*parts: object) -> str:
    """An id in the form of Neuronpedia's, the same for the same parts."""
    return "c" + hashlib.md5(repr(parts).encode()).hexdigest()[:24]


def source_row(model: str, source: str, **fields: Any) -> Row:
    """A row of Source, its SAE named as those of the residual stream are."""
    layer, _, name = source.partition("-")
    row = {
        "id": source,
        "modelId": model,
        "setName": name.partition("__")[0],
        "visibility": "PUBLIC",
        "hasDashboards": True,
        "inferenceEnabled": False,
        "saelensConfig": None,
        "saelensRelease": f"{model}-{name}",
        "saelensSaeId": f"blocks.{layer}.hook_resid_pre",
        "hfRepoId": None,
        "hfFolderId": None,
        "num_prompts": 24_576,
        "dataset": "invented",
        "createdAt": "2024-03-02T00:00:00.000Z",
    }
    return row | fields


def explanation(number: int, label: str | Row) -> Row:
    """An explanation of a row: a text, or the fields that differ from the usual ones."""
    row: Row = {
        "id": "",
        "description": label if isinstance(label, str) else "",
        "explanationModelName": EXPLAINERS[number % len(EXPLAINERS)],
        "typeName": "oai_token-act-pair",
        "scores": [],
        "triggeredByUser": None,
    }
    row |= {} if isinstance(label, str) else label
    return row | {"id": row["id"] or cuid(number, row["description"])}


def score(value: float, kind: str = "recall_alt") -> Row:
    """A score of an explanation."""
    return {
        "id": cuid("score", value, kind),
        "initiatedByUserId": "cauthor",
        "value": value,
        "explanationId": "",
        "explanationScoreTypeName": kind,
        "explanationScoreModelName": "gpt-4o-mini",
        "jsonDetails": "",
        "createdAt": "2025-01-01T00:00:00.000Z",
    }


def activation(model: str, source: str, index: int, tokens: list[str], values: list[float]) -> Row:
    """A text on which a feature fires."""
    return {
        "id": cuid(model, source, index, tokens, values),
        "tokens": tokens,
        "values": values,
        "maxValue": max(values),
        "maxValueTokenIndex": values.index(max(values)),
        "minValue": min(values),
        "index": str(index),
        "layer": source,
        "modelId": model,
        "creatorId": "cauthor",
        "createdAt": "2024-03-02T00:00:00.000Z",
        "dataIndex": None,
        "dataSource": None,
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
        "zQIndices": [],
        "zKIndices": [],
        "zValues": [],
        "lossValues": [],
        "logitContributions": None,
        "binMin": None,
        "binMax": None,
        "binContains": None,
        "qualifyingTokenIndex": None,
    }


def neuron(model: str, source: str, index: int, *descriptions: str | Row, **fields: Any) -> Row:
    """A whole row of GET /api/feature; without descriptions an unlabelled one. `fields` replace its own."""
    activations = [
        activation(model, source, index, ["<|endoftext|>", " in", " Quell"], [0, 0, 31.2]),
        activation(model, source, index, [" the", "Ġriver", " Ombre", "\n"], [0, 12.5, 0.5, 0]),
        activation(model, source, index, ["<b>", " &", ' "'], [4.0, 0, 0]),
    ]
    explanations = [explanation(number, label) for number, label in enumerate(descriptions)]
    for row in explanations:
        row["scores"] = [one | {"explanationId": row["id"]} for one in row["scores"]]
    set_name = source.partition("-")[2].partition("__")[0]
    row = {
        "modelId": model,
        "layer": source,
        "index": str(index),
        "sourceSetName": set_name,
        "creatorId": "cauthor",
        "createdAt": "2024-03-02T00:00:00.000Z",
        "maxActApprox": 31.2,
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "hookName": None,
        "vectorDefaultSteerStrength": 10,
        "pos_str": [" Quell", " Ombre", "Ġford"],
        "pos_values": [1.21, 1.02, 0.8],
        "neg_str": ["ĠX", "\ufffd", "\n"],  # raw tokens, also pieces of a character
        "neg_values": [-0.9, -0.8, -0.7],
        "frac_nonzero": 0.0021,
        "freq_hist_data_bar_heights": [],
        "freq_hist_data_bar_values": [],
        "logits_hist_data_bar_heights": [],
        "logits_hist_data_bar_values": [],
        "topkCosSimIndices": [],
        "topkCosSimValues": [],
        "neuron_alignment_indices": [],
        "neuron_alignment_values": [],
        "neuron_alignment_l1": [],
        "correlated_neurons_indices": [],
        "correlated_neurons_pearson": [],
        "correlated_neurons_l1": [],
        "correlated_features_indices": [],
        "correlated_features_pearson": [],
        "correlated_features_l1": [],
        "decoder_weights_dist": [],
        "umap_cluster": None,
        "umap_x": None,
        "umap_y": None,
        "umap_log_feature_sparsity": None,
        "explanations": explanations,
        "activations": activations,
        "comments": [],
        "lists": [],
        "creator": {"name": "an author"},
        "model": {"id": model, "displayName": model, "layers": 12, "dimension": 768, "tlensId": model},
        "source": source_row(model, source),
        "sourceSet": {"modelId": model, "name": set_name, "description": "", "creatorName": "an author", "urls": []},
    }
    return row | fields


def partial(row: Row, activations: int) -> Row:
    """A row as POST /api/features gives it; 0 is all activations."""
    kept = {name: value for name, value in row.items() if name not in RELATIONS}
    names = ("description", "explanationModelName", "typeName")
    kept["explanations"] = [{name: label.get(name) for name in names} for label in row["explanations"]]
    kept["activations"] = row["activations"][: activations or None]
    return kept


def http_date(seconds: float) -> str:
    """The time in so many seconds, as Retry-After and Last-Modified have it."""
    return formatdate(time.time() + seconds, usegmt=True)


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def as_json(status: int, answer: object) -> Reply:
    return Reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def as_xml(status: int, inner: str, root: str, attributes: str = "") -> Reply:
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{attributes}>{inner}</{root}>'
    return Reply(status, content.encode(), {"Content-Type": "application/xml"})


def s3_error(status: int, code: str = "") -> Reply:
    code = code or S3_CODES.get(status, "InternalError")
    return as_xml(status, f"<Code>{code}</Code><Message>{code}</Message><RequestId>0</RequestId>", "Error")


def api_error(status: int) -> Reply:
    """A status with the body that the API gives it."""
    if status == 429:
        return as_json(429, RATE_LIMITED)
    messages = {404: UNAVAILABLE, 502: "The explanation service is unavailable. Please try again later."}
    message = messages.get(status, WENT_WRONG)
    return as_json(status, {"message": message} if status == 400 else {"error": message, "message": message})


def feature_reply(site: LocalNeuronpedia, model: str, source: str, index: str) -> Reply:
    """GET /api/feature/{model}/{source}/{index}."""
    row = site.features.get((model, source, int(index))) if re.fullmatch(r"\d{1,18}", index, re.ASCII) else None
    if row is not None:
        return as_json(200, row)
    known = any(key[:2] == (model, source) for key in list(site.features))
    return as_json(404, {"error": UNAVAILABLE}) if known else api_error(404)


def features_reply(site: LocalNeuronpedia, body: bytes) -> Reply:
    """POST /api/features."""
    try:
        wanted = json.loads(body)
    except ValueError:
        return as_json(500, {"message": "Unknown Error"})
    if not wanted and wanted != []:
        return as_json(400, {"message": "Invalid JSON body"})
    if not isinstance(wanted, list):
        return as_json(400, {"message": "this must be a `array` type"})
    try:
        keys = [(str(one["modelId"]), str(one["layer"]), int(one["index"])) for one in wanted]
        activations = int(wanted[0].get("maxActsToReturn") or 0) if wanted else 0
    except (AttributeError, KeyError, TypeError, ValueError):
        return as_json(400, {"message": "[0].index is a required field"})
    asked, positions = set(keys), [index for _, _, index in keys]
    found = [(key[2], partial(row, activations)) for key, row in list(site.features.items()) if key in asked]
    found.sort(key=lambda pair: positions.index(pair[0]))
    return as_json(200, [row for _, row in (reversed(found) if site.shuffle else found)])


def list_reply(site: LocalNeuronpedia, query: dict[str, list[str]]) -> Reply:
    """A page of the bucket's keys; without list-type=2 the first page, as in the older protocol."""
    given = {name: values[0] for name, values in query.items()}
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    v2 = given.get("list-type") == "2"
    try:
        size = int(given.get("max-keys") or DEFAULT_PAGE)
        after = base64.b64decode(given.get("continuation-token", "") if v2 else "", validate=True).decode()
    except ValueError:
        return s3_error(400)
    size = min(max(size, 0), site.page_size)
    entries: dict[str, bytes | None] = {}  # None for a common prefix
    for key, content in sorted(site.objects.items(), key=lambda item: item[0].encode()):
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            entries[prefix + head + found if found else key] = None if found else content
    names = [name for name in entries if name.encode() > after.encode()]
    page, more = names[:size], 0 < size < len(names)
    inner = f"<Name>neuronpedia-datasets</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>{size}</MaxKeys>"
    inner += f"<Delimiter>{escape(delimiter)}</Delimiter>" if delimiter else ""
    inner += f"<KeyCount>{len(page)}</KeyCount>" if v2 else ""
    inner += f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    if more and v2:
        inner += f"<NextContinuationToken>{base64.b64encode(page[-1].encode()).decode()}</NextContinuationToken>"
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(MODIFIED))
    for name in page:
        held = entries[name]
        if held is not None:
            inner += f"<Contents><Key>{escape(name)}</Key><LastModified>{modified}</LastModified>"
            inner += f"<ETag>{escape(etag_of(held), {chr(34): '&quot;'})}</ETag><Size>{len(held)}</Size>"
            inner += "<StorageClass>STANDARD</StorageClass></Contents>"
    for name in page:
        inner += f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" if entries[name] is None else ""
    return as_xml(200, inner, "ListBucketResult", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"')


def object_reply(content: bytes | None, headers: dict[str, str], lies: bool) -> Reply:
    """An object of the bucket, or the part that was asked for."""
    if content is None:
        return s3_error(404)
    etag = etag_of(content)
    if lies and content:
        at = 9 if content[:2] == b"\x1f\x8b" else len(content) - 1  # 9: the operating system in a gzip's header
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    about = {"ETag": etag, "Last-Modified": formatdate(MODIFIED, usegmt=True), "Accept-Ranges": "bytes"}
    if "if-match" in headers and headers["if-match"] not in (etag, "*"):
        return s3_error(412, "PreconditionFailed")
    if {etag, "*"} & {one.strip() for one in headers.get("if-none-match", "").split(",")}:
        return Reply(304, b"", about)
    about["Content-Type"] = "binary/octet-stream"
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if not wanted or not (wanted[1] or wanted[2]) or headers.get("if-range", etag) != etag:
        return Reply(200, content, about, of_object=True)
    size = len(content)
    start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
    end = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
    if start > end:
        return s3_error(416)
    about["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Reply(206, content[start : end + 1], about, of_object=True)


def in_place_of(fault: Fault, bucket: bool) -> Reply | None:
    """The answer of a fault that has one of its own."""
    retry = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    reply = None
    if fault.kind == "status":
        reply = s3_error(fault.status) if bucket else api_error(fault.status)
    elif fault.kind == "absent":
        reply = as_json(404, {"error": UNAVAILABLE})
    elif fault.kind == "text":
        reply = Reply(fault.status or 500, b"Internal Server Error", {"Content-Type": "text/plain; charset=utf-8"})
    elif fault.kind == "html":
        reply = Reply(fault.status or 200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
    elif fault.kind == "garbage":
        reply = Reply(200, b'{"modelId": "gpt2-small", "la', {"Content-Type": "application/json"})
    elif fault.kind == "redirect":
        reply = Reply(fault.status or 302, b"", {"Location": fault.location})
    if reply:
        reply.headers |= retry
    return reply


def altered(reply: Reply, fault: Fault) -> Reply:
    """A right answer after a fault that changes what it says."""
    body, headers = reply.body, dict(reply.headers)
    if fault.kind == "wrong_echo" and headers.get("Content-Type") == "application/json":
        answer = json.loads(body)
        rows = answer if isinstance(answer, list) else [answer]
        body = json.dumps([row | fault.echo for row in rows] if rows is answer else answer | fault.echo).encode()
    if fault.kind in ("huge", "bomb"):
        body += b" " * (API_CAP + 1)
    if fault.kind in ("gzip", "bomb"):
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return replace(reply, body=body, headers=headers)


@contextmanager
def local_neuronpedia() -> Iterator[LocalNeuronpedia]:
    """Serve features and exports; closing it ends whatever hangs and every connection that was kept."""
    site = LocalNeuronpedia()
    closed = threading.Event()
    connections: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with site.lock:
                site.asked.append((self.command, self.path, headers))
                if self.command == "POST":
                    site.posted.append(parsed(body))
            fault = site.fault_for(self.path)
            if fault and fault.kind in ("hang", "drop"):
                if fault.kind == "hang":
                    closed.wait(fault.seconds or None)
                self.hang_up()
                return
            reply = in_place_of(fault, self.path.startswith("/bucket")) if fault else None
            reply = reply or self.reply(body, headers, bool(fault and fault.kind == "etag_lies"))
            self.send(altered(reply, fault) if fault else reply, fault)

        def reply(self, body: bytes, headers: dict[str, str], lies: bool) -> Reply:
            url = urlsplit(self.path)
            service, parts = url.path.split("/")[1], [unquote(part) for part in url.path.split("/")[2:]]
            if service == "bucket" and self.command == "POST":
                return s3_error(405, "MethodNotAllowed")
            if service == "bucket":
                key = "/".join(parts)
                return (
                    object_reply(site.objects.get(key), headers, lies) if key else list_reply(site, parse_qs(url.query))
                )
            expected = "POST" if parts == ["api", "features"] else "GET"
            if service == "site" and parts[:1] == ["api"] and expected != self.command:
                return Reply(405, b"")
            if service == "site" and parts == ["api", "features"]:
                return features_reply(site, body)
            if service == "site" and parts == ["api", "explanation", "export"]:
                return as_json(400, EXPORT_REMOVED)
            if service == "site" and parts[:2] == ["api", "feature"] and len(parts) == 5:
                return feature_reply(site, *parts[2:])
            return Reply(404, PAGE, {"Content-Type": "text/html; charset=utf-8"})

        def send(self, reply: Reply, fault: Fault | None) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if site.remaining is not None and self.path.startswith("/site/api/"):
                self.send_header("x-limit-remaining", str(site.remaining))
            if reply.status != 304:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if reply.of_object:
                with site.lock:
                    site.bodies_sent += 1
            if fault and fault.kind in ("truncated", "cut"):
                self.wfile.write(reply.body[: fault.after or len(reply.body) // 2])
                self.hang_up()
            elif fault and fault.kind == "slow":
                piece = len(reply.body) // 10 + 1
                for start in range(0, len(reply.body), piece):
                    self.wfile.write(reply.body[start : start + piece])
                    if closed.wait(fault.seconds):
                        break
            else:
                self.wfile.write(reply.body)

        def hang_up(self) -> None:
            self.wfile.flush()
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that go away are what these tests are about

        def process_request(self, request: Any, client_address: Any) -> None:
            with site.lock:
                connections.add(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            with site.lock:
                connections.discard(request)
            super().shutdown_request(request)

    server = Quiet(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/site"
    site.datasets = f"http://127.0.0.1:{server.server_port}/bucket"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield site
    finally:
        closed.set()
        server.shutdown()
        server.server_close()
        with site.lock:
            kept = list(connections)
        for connection in kept:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def parsed(body: bytes) -> Any:
    """The JSON of a body, or the body if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body
