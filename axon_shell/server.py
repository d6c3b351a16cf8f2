"""The loopback server: the files of the page, and the bridge for a page in a browser.

Whoever can call the bridge can run this program, so: 127.0.0.1 only; the Host header must name it (a foreign site that
resolves to 127.0.0.1 fails here); calls need the token of this run in a header (which no other site's page can send)
and, where there is an Origin, ours; a strict content security policy on every answer.
"""

from __future__ import annotations

import json
import mimetypes
import secrets
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .bridge import Bridge
from .errors import ServerError

# Brings the shell to the front; told whether a browser is to open the page again, and a session to put on screen.
Show = Callable[[bool, str], None]

MAX_BODY = 16_000_000  # bytes of one call: a picture of the graph, or a session, may be in it
CALL, SHOW = "/api/call", "/api/show"  # of the page, and of a second start of the shell
# pywebview builds its bridge with `new Function`, so its window needs 'unsafe-eval'; a browser does not.
POLICY = (
    "default-src 'none'; script-src 'self'{window}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json"}


class Server:
    """Serves the page on 127.0.0.1 in threads of its own.

    Raises ServerError when the port is taken.
    """

    def __init__(
        self, bridge: Bridge, ui: Path, port: int = 0, window: bool = False, show: Show = lambda open_it, session: None
    ) -> None:
        self.bridge, self.show = bridge, show
        self.token, self.window = secrets.token_urlsafe(32), window
        self.policy = POLICY.format(window=" 'unsafe-eval'" if window else "")
        # The page is these files and no others: no path from a request ever reaches the file system.
        self.files = {"/" + path.relative_to(ui).as_posix(): path for path in ui.rglob("*") if path.is_file()}
        self.files["/"] = ui / "index.html"
        try:
            self.http = Listener(("127.0.0.1", port), handler(self))
        except OSError as error:
            raise ServerError(
                f"Port {port} cannot be used: {error.strerror}.",
                "Another program holds it: choose another with --port, or leave --port out.",
            ) from error
        except OverflowError as error:
            raise ServerError(f"There is no port {port}.", "Ports are 1 to 65535.") from error
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.address = f"{self.url}#t={self.token}"  # for a browser

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self.http.shutdown()
        self.http.server_close()


class Listener(ThreadingHTTPServer):
    """One thread per connection; a connection cut off by the page is no error."""

    daemon_threads = True
    # On Windows this would let two programs share the port; elsewhere it only allows a quick restart.
    allow_reuse_address = sys.platform != "win32"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    """The request handler of one server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "AXON-Shell", ""
        timeout = 60  # seconds that an idle connection is kept
        disable_nagle_algorithm = True  # or the body of each answer waits 40 ms for the page to confirm the headers

        def do_GET(self) -> None:
            path = server.files.get(self.path.partition("?")[0])
            if not self.host_is_ours():
                self.refuse(HTTPStatus.MISDIRECTED_REQUEST)
            elif not path:
                self.refuse(HTTPStatus.NOT_FOUND)
            else:
                kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                self.answer(HTTPStatus.OK, path.read_bytes(), kind)

        def do_POST(self) -> None:
            if refusal := self.objection():
                self.refuse(refusal)
                return
            try:
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == SHOW:
                    server.show(call["open"] is True, str(call.get("session", ""))[:100])
                    said = json.dumps({"address": None if server.window else server.address})
                else:
                    said = server.bridge.call(call["method"], json.dumps(call.get("params", {})))
            except (ValueError, TypeError, KeyError, RecursionError):
                self.refuse(HTTPStatus.BAD_REQUEST)
                return
            self.answer(HTTPStatus.OK, said.encode(), "application/json")

        def objection(self) -> HTTPStatus | None:
            """Why a call must not reach the bridge."""
            length = self.headers.get("Content-Length", "")
            if not self.host_is_ours():
                return HTTPStatus.MISDIRECTED_REQUEST
            if self.headers.get("Origin", server.url[:-1]) != server.url[:-1]:
                return HTTPStatus.FORBIDDEN
            if not secrets.compare_digest(self.headers.get("X-Axon-Token", "").encode(), server.token.encode()):
                return HTTPStatus.UNAUTHORIZED
            if self.path not in (CALL, SHOW):
                return HTTPStatus.NOT_FOUND
            if self.headers.get_content_type() != "application/json":
                return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            if not (length.isascii() and length.isdigit()):
                return HTTPStatus.LENGTH_REQUIRED
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if int(length) > MAX_BODY else None

        def host_is_ours(self) -> bool:
            return self.headers.get("Host") in (f"127.0.0.1:{server.port}", f"localhost:{server.port}")

        def refuse(self, status: HTTPStatus) -> None:
            self.close_connection = True  # the body, if there is one, was not read
            self.answer(status, f"{status.value} {status.phrase}\n".encode(), "text/plain")

        def answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", server.policy)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Cache-Control", "no-cache" if status == HTTPStatus.OK else "no-store")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
