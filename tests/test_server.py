"""The loopback server answers our page and nobody else."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Shell, running_shell

from axon_shell import homes
from axon_shell.errors import ServerError
from axon_shell.server import Server


class Echo:
    """Stands for the bridge: answers with what it was asked."""

    def call(self, method: str, params: str) -> str:
        return json.dumps({"ok": True, "value": [method, json.loads(params)]})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(Echo(), homes.ui())
    server.start()
    yield server
    server.stop()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        names = {"host": f"127.0.0.1:{server.port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None and "content-length" not in names:
            names["content-length"] = str(len(body))
        for name, value in names.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


def call(server: Server, body: bytes = b'{"method": "x", "params": {"a": 1}}', **headers: str):
    sent = {"x_axon_token": server.token, "content_type": "application/json"} | headers
    return ask(server, "POST", "/api/call", body, **sent)


def test_the_page_and_its_files_are_served_with_a_strict_policy(server: Server):
    for path, kind in (
        ("/", "text/html"),
        ("/index.html?test=1", "text/html"),
        ("/app.css", "text/css"),
        ("/js/main.js", "text/javascript"),
    ):
        status, body, headers = ask(server, "GET", path)
        assert status == 200 and body, path
        assert headers["Content-Type"].startswith(kind)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe-eval" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_the_window_may_build_functions(server: Server):
    window = Server(Echo(), homes.ui(), window=True)
    try:
        assert "script-src 'self' 'unsafe-eval';" in window.policy
        assert "script-src 'self' 'unsafe-inline'" not in window.policy
    finally:
        window.http.server_close()


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/js/../../pyproject.toml",
        "//etc/passwd",
        "/js",
        "/nothing",
        "/api/call",
        "/js/main.js%00",
    ],
)
def test_no_other_file_is_served(server: Server, path: str):
    assert ask(server, "GET", path)[0] == 404


def test_a_call_reaches_the_bridge(server: Server):
    status, body, headers = call(server)
    assert (status, json.loads(body)) == (200, {"ok": True, "value": ["x", {"a": 1}]})
    assert headers["Content-Type"] == "application/json"
    assert call(server, origin=server.url[:-1])[0] == 200
    assert call(server, host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"x_axon_token": "guess"}),
        (401, {"x_axon_token": ""}),
        (401, {"x_axon_token": "é"}),
        (403, {"origin": "http://evil.example"}),
        (403, {"origin": "null"}),
        (421, {"host": "evil.example"}),
        (421, {"host": "127.0.0.1:1"}),
        (415, {"content_type": "text/plain"}),
        (413, {"content_length": "16000001"}),
        (411, {"content_length": "many"}),
    ],
)
def test_strangers_are_turned_away(server: Server, status: int, headers: dict[str, str]):
    if "x_axon_token" in headers:
        headers = headers | {"x_axon_token": headers["x_axon_token"].encode().decode("latin-1")}
    assert call(server, **headers)[0] == status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'{"params": {}}', b"\xff", b"[" * 100_000])
def test_nonsense_is_refused(server: Server, body: bytes):
    assert call(server, body)[0] == 400


def test_a_foreign_page_is_turned_away_from_files_too(server: Server):
    assert ask(server, "GET", "/", host="evil.example")[0] == 421


def test_a_taken_port_is_told(server: Server):
    with pytest.raises(ServerError, match=str(server.port)) as error:
        Server(Echo(), homes.ui(), port=server.port)
    assert "--port" in error.value.hint
    with pytest.raises(ServerError, match="no port 70000"):
        Server(Echo(), homes.ui(), port=70000)


def test_the_token_is_new_in_every_run(tmp_path: Path):
    seen: list[Shell] = []
    for name in "ab":
        with running_shell(tmp_path / name) as shell:
            seen.append(shell)
    assert seen[0].token != seen[1].token and min(len(shell.token) for shell in seen) >= 32
