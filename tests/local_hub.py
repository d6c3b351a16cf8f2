"""A Hugging Face hub on loopback: the few answers that the libraries' own loading code asks for, and its ill moods.

root/<repository>/<file>   what it serves; a file above 1,000 bytes is kept by checksum, as the hub's large files are
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1_000
CHUNK = 65_536


@dataclass
class LocalHub:
    """What the server gives, what it was asked, and how it misbehaves."""

    root: Path
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    gated: set[str] = field(default_factory=set)  # repositories
    status: int = 0  # answered to everything
    cut: int = 0  # bytes of a large file after which the connection breaks
    slow: float = 0  # seconds to wait after every 64 KB
    lies: bool = False  # large files with a byte changed

    def requests_for(self, name: str) -> list[str]:
        """The Range headers with which a file was asked for."""
        return [wanted for method, path, wanted in self.asked if method == "GET" and path.endswith(name)]

    @cached_property
    def checksums(self) -> dict[Path, str]:
        """Of every file that was asked for so far."""
        return {}

    def checksum(self, path: Path) -> str:
        if path not in self.checksums:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
            self.checksums[path] = digest.hexdigest()
        return self.checksums[path]


@contextmanager
def local_hub(root: Path) -> Iterator[LocalHub]:
    """Serve the repositories of a folder."""
    hub = LocalHub(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Range", "")))
            found = re.fullmatch(r"/api/models/(.+?)(/tree/[^/]+|/revision/[^/]+)?", path) or re.fullmatch(
                r"/(.+?)/resolve/[^/]+/(.+)", path
            )
            repo, rest = (found[1], found[2] or "") if found else ("", "")
            folder = hub.root / repo
            if hub.status or not found:
                self.send(hub.status or 404, b"{}", {}, body)
            elif repo in hub.gated:
                self.send(401, b"{}", {"X-Error-Code": "GatedRepo"}, body)
            elif not folder.is_dir():
                self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            elif "/resolve/" in path:
                self.file(folder / rest, body)
            else:
                files = sorted(file for file in folder.rglob("*") if file.is_file())
                names = [{"rfilename": file.relative_to(folder).as_posix()} for file in files]
                about = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": names, "tags": [], "downloads": 0}
                tree = [self.entry(file, folder) for file in files]
                content = json.dumps(tree if rest.startswith("/tree") else about).encode()
                self.send(200, content, {"Content-Type": "application/json"}, body)

        def entry(self, file: Path, folder: Path) -> dict:
            size = file.stat().st_size
            entry = {"type": "file", "path": file.relative_to(folder).as_posix(), "size": size, "oid": "0" * 40}
            large = {"oid": hub.checksum(file), "size": size, "pointerSize": 135}
            return entry | {"lfs": large} if size > LARGE else entry

        def file(self, file: Path, body: bool) -> None:
            if not file.is_file():
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
                return
            size, etag = file.stat().st_size, f'"{hub.checksum(file)}"'
            headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(size)} if size > LARGE else {}
            start = int(match[1]) if (match := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
            self.send_response(206 if start else 200)
            for name, value in headers.items():
                self.send_header(name, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            if not body:
                return
            sent = 0
            with file.open("rb") as source:
                source.seek(start)
                while chunk := source.read(CHUNK):
                    if hub.lies and size > LARGE:
                        chunk = bytes([chunk[0] ^ 255]) + chunk[1:]
                    if hub.cut and size > LARGE and sent + len(chunk) > hub.cut:
                        self.wfile.write(chunk[: hub.cut - sent])
                        self.wfile.flush()
                        self.connection.shutdown(socket.SHUT_RDWR)
                        self.close_connection = True
                        return
                    self.wfile.write(chunk)
                    sent += len(chunk)
                    time.sleep(hub.slow)

        def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that go away are what these tests are about

    server = Quiet(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
