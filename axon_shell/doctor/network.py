"""Whether the hub and the label servers can be reached, and whether it is they who answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .. import hub
from ..config import Config, ConfigFile
from .check import Check, aside

PATIENCE = 5.0  # seconds for each step of an answer
ALL_OF_IT = 8.0  # seconds for all of them: looking up a name has no limit of its own
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
WITHOUT = "Without a network, `offline = true` in config.toml: what is on this machine works all the same."


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and by what it is known."""

    name: str
    variable: str  # of the environment, replaces its address
    address: Callable[[Config], str]
    path: str  # a small answer of its own
    is_own: Callable[[str, dict[str, str]], bool]  # of an answer's beginning and headers


SERVERS = (
    Server(
        "Hub",
        "HF_ENDPOINT",
        lambda config: os.environ.get("HF_ENDPOINT") or "https://huggingface.co",
        "/api/models/openai-community/gpt2",
        lambda body, headers: "x-error-code" in headers or body.startswith("{"),
    ),
    Server(
        "Neuronpedia",
        "AXON_NEURONPEDIA_URL",
        lambda config: config.labels.neuronpedia,
        "/api/feature/gpt2-small/8-res-jb/0",
        lambda body, headers: body.startswith("{"),
    ),
    Server(
        "Label sets",
        "AXON_NEURONPEDIA_DATASETS_URL",
        lambda config: config.labels.datasets,
        "/?list-type=2&max-keys=1&prefix=v1/gpt2-small/8-res-jb/explanations/",
        lambda body, headers: "ListBucketResult" in body,
    ),
)


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    policy = check_policy(file)
    if file.config.offline:
        return [policy, *(not_asked(server, "offline mode") for server in SERVERS)]
    until = time.monotonic() + ALL_OF_IT
    waiting = [
        None if server.name == "Hub" and hub.is_offline() else aside(server.name, partial(ask, server, file.config))
        for server in SERVERS
    ]
    found = [policy]
    for server, wait in zip(SERVERS, waiting, strict=True):
        found += wait(until) if wait else [not_asked(server, "HF_HUB_OFFLINE is set")]
    return found


def check_policy(file: ConfigFile) -> Check:
    """Whether the network may be used."""
    if not file.config.offline:
        also = ", and for labels of features on screen" if file.config.labels.fetch else ""
        return Check("Network", True, f"used when you download{also}")
    by_variable = os.environ.get("AXON_OFFLINE", "") not in ("", "0")
    return Check("Network", True, f"never used: offline mode ({'AXON_OFFLINE' if by_variable else file.path})")


def not_asked(server: Server, why: str) -> Check:
    """A server that must be left alone."""
    return Check(server.name, None, f"not asked: {why}", "Needed for what is not on this machine yet, and only then.")


def ask(server: Server, config: Config) -> list[Check]:
    """Whether a server answers, and as it should."""
    import httpx

    base = server.address(config).rstrip("/")
    started = time.monotonic()
    try:
        with (
            httpx.Client(timeout=PATIENCE, follow_redirects=True) as client,
            client.stream("GET", base + server.path) as answer,
        ):
            body = next(answer.iter_bytes(4096), b"").decode("utf-8", "replace").lstrip("\ufeff \r\n")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            status, host = answer.status_code, answer.url.host
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        found, hint = explained(error)
        return [Check(server.name, None, f"{base} cannot be reached: {found}", f"{hint} {WITHOUT}")]
    if status >= 500 or status == 429:
        said = "has too much to do" if status in (429, 503) else "has trouble"
        return [Check(server.name, None, f"{base} {said}: it answers {status}", "Try again later.")]
    if body[:15].lower().startswith(("<!doctype html", "<html")) or "text/html" in headers.get("content-type", ""):
        found = f"{base} is not heard: a web page comes from {host} in its place (status {status})"
        hint = f"If this network wants you to log in, do so in a browser. Otherwise check {server.variable}."
        return [Check(server.name, None, found, hint)]
    if not server.is_own(body, headers):
        hint = f"Check {server.variable}; something between here and there may answer for it."
        return [Check(server.name, None, f"{base} answers {status}, but not as {server.name} does", hint)]
    return [Check(server.name, True, f"{base}, answered in {time.monotonic() - started:.1f} s")]


def explained(error: Exception) -> tuple[str, str]:
    """Why a server cannot be reached, and what to do."""
    import httpx

    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    proxies = [name for name in PROXIES if os.environ.get(name)]
    proxy = f"Is {' and '.join(proxies)} right?" if proxies else "Behind a proxy, set HTTPS_PROXY."
    if "CERTIFICATE_VERIFY_FAILED" in said:
        hint = "Check the clock. If a proxy or virus scanner is in the way, set SSL_CERT_FILE to its certificate."
        return f"its certificate is not trusted ({said})", hint
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {PATIENCE:.0f} s", f"Check the connection. {proxy}"
    if any(words in said for words in ("name resolution", "not known", "getaddrinfo", "nodename", "No address")):
        return "its name cannot be looked up", f"Check the connection. {proxy}"
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return said, f"Check the address: it begins with https://. {proxy}"
    return said, f"Check the connection. {proxy}"
