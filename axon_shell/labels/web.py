"""Asking label servers politely: retries with full jitter, one pause for all when told to wait, a circuit breaker.

Offline mode is a transport that refuses, so nothing in here or in a plugin can get past it. Safe to use from any number
of threads.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import random
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from .. import __version__
from ..errors import AxonError, Cancelled, DownloadError, NoSpace, NotFound, Offline, Throttled, Unreachable

if TYPE_CHECKING:
    import httpx

TRIES = 4  # of one request
LONGEST_WAIT = 60.0  # seconds between two of them
CONNECTING, ANSWERING = 5.0, 20.0  # seconds of patience
LARGEST_ANSWER = 8_000_000  # bytes, unpacked
LARGEST_FILE = 64_000_000  # bytes, as it is sent
BETWEEN_CALLS = 0.5  # seconds: not more than two calls a second
FEW_LEFT, HARDLY_ANY = 1_000, 200  # calls left in the server's window: slow down, stop
SLOWED = 5.0  # seconds between calls then
TOLD_TO_WAIT, LONGEST_PAUSE = 60.0, 900.0  # after a 429 that names no time; the most that a server can ask for
BROKEN_AFTER, PROBE_EVERY = 3, 60.0  # failures in a row; seconds until one call tries again
REDIRECTS = 5
CHUNK = 1 << 16
AGAIN = {500, 502, 503, 504}


class Web:
    """One way to the label servers, with what is known of their mood."""

    def __init__(
        self,
        offline: bool,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.offline, self.clock, self.chance = offline, clock, chance
        self.closed = threading.Event()
        self.sleep = sleep or self.closed.wait
        self.lock = threading.Lock()
        self.paused_until = 0.0  # nothing is asked before
        self.next_call = 0.0
        self.between = BETWEEN_CALLS
        self.pauses = 0  # in a row: each is twice as long
        self.failures = 0  # in a row
        self.probe_at = 0.0
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()  # httpcore's streams

    # -- the client -----------------------------------------------------------

    def client(self) -> httpx.Client:
        """The HTTP client; httpx is imported when the first request is made."""
        with self.lock:
            if not hasattr(self, "_client"):
                self._client = new_client(self.offline)
            return self._client

    def close(self) -> None:
        """Wake whoever waits, and let go of the connections."""
        self.closed.set()
        with self.lock:
            for stream in self.connections:
                with suppress(OSError):  # closing alone would leave whoever reads from it waiting
                    stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            if hasattr(self, "_client"):
                self._client.close()

    def note(self, event: str, about: Mapping[str, Any]) -> None:
        """Remember a connection that httpcore has made."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self.lock:
                self.connections.add(about["return_value"])

    # -- what the servers are like --------------------------------------------

    @property
    def reachable(self) -> bool:
        """Whether asking makes sense: not offline, and not found broken a moment ago."""
        return not self.offline and self.failures < BROKEN_AFTER

    def waits(self) -> float:
        """Seconds until something may be asked again; 0: now."""
        until = max(self.paused_until, self.probe_at if self.failures >= BROKEN_AFTER else 0.0)
        return max(0.0, until - self.clock())

    def retry(self) -> None:
        """Forget that the servers could not be reached; a pause that they asked for stays."""
        with self.lock:
            self.failures = 0

    def pause(self, seconds: float | None) -> None:
        """Leave the servers alone: so many seconds, or a while that doubles each time."""
        with self.lock:
            wait = min(LONGEST_PAUSE, TOLD_TO_WAIT * 2**self.pauses if seconds is None else seconds)
            self.pauses += 1
            self.paused_until = max(self.paused_until, self.clock() + wait)

    def may_ask(self) -> None:
        """Raise Throttled or Unreachable while the servers are to be left alone; let one through to try again."""
        with self.lock:
            now = self.clock()
            if now < self.paused_until:
                wait = self.paused_until - now
                raise Throttled(f"The server asks to be left alone for {wait:.0f} s.", "It goes on by itself then.")
            if self.failures >= BROKEN_AFTER and not self.offline:
                if now < self.probe_at:
                    raise Unreachable("The label server cannot be reached.", "It is tried again every minute.")
                self.probe_at = now + PROBE_EVERY

    def heard(self, answer: httpx.Response) -> None:
        """Note what an answer says about the server's mood."""
        with self.lock:
            if answer.status_code != 429:
                self.pauses = 0
            left = answer.headers.get("x-limit-remaining", "")
            if left.isdecimal() and answer.status_code != 429:
                self.between = SLOWED if int(left) < FEW_LEFT else BETWEEN_CALLS
                if int(left) < HARDLY_ANY:
                    self.paused_until = max(self.paused_until, self.clock() + TOLD_TO_WAIT)

    def reached(self) -> None:
        """Note that a server was reached, and what it said arrived."""
        with self.lock:
            self.failures = 0

    def failed(self) -> None:
        """Note that a server could not be reached, or broke off."""
        with self.lock:
            self.failures += 1
            if self.failures >= BROKEN_AFTER:
                self.probe_at = self.clock() + PROBE_EVERY

    def take_turn(self) -> None:
        """Wait until the next call is due."""
        with self.lock:
            due = max(self.next_call, self.clock())
            self.next_call = due + self.between
        if (wait := due - self.clock()) > 0:
            self.sleep(wait)

    # -- asking ---------------------------------------------------------------

    def json(self, url: str, body: Any = None, tries: int = TRIES) -> Any:
        """What an API answers, as JSON; `body` is posted as JSON where there is one.

        Raises NotFound for the API's own 404, Throttled, Unreachable, Offline, or DownloadError for an answer that is
        none.
        """
        content = None if body is None else json.dumps(body).encode()

        def ask() -> Any:
            self.take_turn()
            headers = {"Content-Type": "application/json"} if content else {}
            with self.answer("POST" if content else "GET", url, headers, content) as answer:
                text = self.body_of(answer, LARGEST_ANSWER)
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                if answer.status_code == 404 and kind == "application/json":  # a page would be of something in between
                    raise nothing_at(url)
                self.require_good(answer)
                if kind != "application/json":
                    hint = "If this network wants you to log in, do so in a browser."
                    raise DownloadError(f"{host(url)} gave {kind or 'nothing'} where labels were expected.", hint)
                return self.parsed(text, url)

        return self.again(ask, tries)

    def text(self, url: str, tries: int = TRIES) -> str:
        """A small text. Raises as `json`; NotFound also for 403, which buckets say for what is not there."""

        def ask() -> str:
            with self.answer("GET", url) as answer:
                text = self.body_of(answer, LARGEST_ANSWER)
                if answer.status_code in (403, 404):
                    raise nothing_at(url)
                self.require_good(answer)
                return text.decode("utf-8", "replace")

        return self.again(ask, tries)

    def facts(self, url: str) -> tuple[int, str] | None:
        """Size and ETag of a file; None where there is none."""

        def ask() -> tuple[int, str] | None:
            with self.answer("HEAD", url) as answer:
                if answer.status_code in (403, 404):
                    return None
                self.require_good(answer)
                size = answer.headers.get("content-length", "")
                return int(size) if size.isdecimal() else 0, answer.headers.get("etag", "")

        return self.again(ask, TRIES)

    def download(
        self, url: str, path: Path, size: int, etag: str, tell: Callable[[int], object], cancelled: Callable[[], bool]
    ) -> None:
        """Bring a file to a path, going on where an earlier attempt stopped; `tell` gets the bytes that there are.

        What arrives must have the size and, where the ETag is its MD5, the checksum that were promised. Raises as
        `json`, and Cancelled or NoSpace.
        """
        if size > LARGEST_FILE:
            raise DownloadError(f"{url} is {size / 1e6:,.0f} MB, more than a file of labels may be.", "Report this.")
        # Named after what it is a part of: the file may be another one tomorrow.
        part = path.with_name(f"{path.name}.{hashlib.md5(etag.encode(), usedforsecurity=False).hexdigest()[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error

        def ask() -> None:
            if not etag:
                part.unlink(missing_ok=True)
            have = part.stat().st_size if part.exists() else 0
            if size and have > size:
                part.unlink()
                have = 0
            if not size or have < size:
                self.stream(url, part, have, etag, tell, cancelled)
            if size and part.stat().st_size != size:
                part.unlink() if part.stat().st_size > size else None
                raise Retry(DownloadError(f"{path.name} arrived incomplete.", "Start again: it goes on from there."))
            if (wanted := md5_in(etag)) and md5_of(part) != wanted:
                part.unlink()
                raise Retry(DownloadError(f"{path.name} arrived damaged.", "Try again later."))
            part.replace(path)

        self.again(ask, TRIES, cancelled)

    def stream(
        self, url: str, part: Path, have: int, etag: str, tell: Callable[[int], object], cancelled: Callable[[], bool]
    ) -> None:
        """Append the rest of a file to what there is of it."""
        # As it lies on the server, byte for byte: sizes and checksums are of that.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": etag}
        with self.answer("GET", url, headers) as answer:
            if answer.status_code in (403, 404):
                raise nothing_at(url, "The list may have changed: start again.")
            if answer.status_code == 416:  # there is no such rest: begin anew
                part.unlink(missing_ok=True)
                raise Retry(DownloadError(f"{part.stem} could not be resumed.", "Try again."))
            self.require_good(answer)
            resumed = answer.status_code == 206
            try:
                with part.open("ab" if resumed else "wb") as file:
                    count = have if resumed else 0
                    for chunk in answer.iter_raw():
                        if cancelled() or self.closed.is_set():
                            raise Cancelled("The download was stopped.", "Start it again: it goes on from there.")
                        count += len(chunk)
                        if count > LARGEST_FILE:
                            raise DownloadError(f"{url} is larger than a file of labels may be.", "Report this.")
                        file.write(chunk)
                        self.reached()
                        tell(count)
            except OSError as error:
                raise unwritable(part, error) from error

    # -- one request and its mishaps ------------------------------------------

    def again(self, ask: Callable[[], Any], tries: int, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """What `ask` gives; what may pass by itself is tried again, after a random wait that may be longer each time.

        Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        import httpx

        for attempt in range(tries):
            self.may_ask()
            try:
                found = ask()
            except httpx.HTTPError as error:
                self.failed()
                mishap: AxonError = Unreachable(
                    f"The label server cannot be reached: {first_line(error)}", "Check the connection."
                )
                cause: Exception = error
            except Retry as error:
                self.reached()
                mishap, cause = error.mishap, error
            except AxonError:
                self.reached()
                raise
            except httpx.InvalidURL as error:
                raise DownloadError(f"An address of a label server is wrong: {error}", "Check [labels].") from error
            else:
                self.reached()
                return found
            if self.closed.is_set() or cancelled():
                raise Cancelled("Stopped.", "Start it again.") from cause
            if attempt + 1 < tries and self.reachable:
                self.sleep(self.chance() * min(LONGEST_WAIT, 2.0**attempt))
            else:
                raise mishap from cause
        raise AssertionError("not reached")

    @contextmanager
    def answer(
        self, method: str, url: str, headers: dict[str, str] | None = None, content: bytes | None = None
    ) -> Iterator[httpx.Response]:
        """A server's answer, its body still to come. Redirects are followed within a site only, never to plain http."""
        for _ in range(REDIRECTS):
            if self.closed.is_set():
                raise Cancelled("Stopped.", "Start it again.")
            with self.client().stream(
                method, url, headers=headers, content=content, extensions={"trace": self.note}
            ) as answer:
                if answer.is_redirect:
                    further = joined(url, answer.headers.get("location", ""))
                    if not same_site(url, further) or (method == "POST" and answer.status_code not in (307, 308)):
                        where = host(further) or "no address"
                        raise DownloadError(f"{host(url)} points to {where}: not followed.", "Check [labels].")
                    url = further
                    continue
                self.heard(answer)
                yield answer
                return
        raise DownloadError(f"{host(url)} sends from one address to the next.", "Try again later.")

    def body_of(self, answer: httpx.Response, longest: int) -> bytes:
        """The whole of a small body, unpacked. Raises DownloadError where it is too large."""
        parts, count = [], 0
        for chunk in answer.iter_bytes(CHUNK):
            count += len(chunk)
            if count > longest:
                raise DownloadError(f"{answer.url.host} answered more than {longest:,} bytes.", "Report this.")
            parts.append(chunk)
        return b"".join(parts)

    def parsed(self, text: bytes, url: str) -> Any:
        """JSON from a body that arrived whole."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Retry(DownloadError(f"{host(url)} gave an answer that is no JSON.", "Try again later.")) from error

    def require_good(self, answer: httpx.Response) -> None:
        """Raise what an error status means. 429, and 503 that names a time, pause everything."""
        status, url = answer.status_code, str(answer.url)
        if status < 300:
            return
        wait = seconds_until(answer.headers.get("retry-after", ""))
        if status == 429 or (status == 503 and wait is not None):
            self.pause(wait)
            raise Throttled(f"{host(url)} has too much to do ({status}).", "It is asked again in a while.")
        mishap = DownloadError(f"{host(url)} answered {status}.", "Try again later.")
        raise Retry(mishap) if status in AGAIN else mishap


class Retry(Exception):
    """A mishap that may pass by itself."""

    def __init__(self, mishap: DownloadError) -> None:
        super().__init__(mishap.message)
        self.mishap = mishap


def new_client(offline: bool) -> httpx.Client:
    """An HTTP client; offline it refuses whatever it is asked."""
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every address: which features one looked at

    class Refusing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise Offline(
                "Labels are not fetched: offline mode is on.",
                "Connect, and turn off `offline` in config.toml and AXON_OFFLINE. Labels that are here stay.",
            )

    return httpx.Client(
        timeout=httpx.Timeout(ANSWERING, connect=CONNECTING),
        limits=httpx.Limits(max_connections=6),
        headers={"User-Agent": f"AXON-Shell/{__version__} (desktop program; labels of SAE features)"},
        follow_redirects=False,
        transport=Refusing() if offline else None,
        trust_env=not offline,  # a proxy would be a way around the transport
    )


def unwritable(path: Path, error: OSError) -> DownloadError:
    """The error for what cannot be kept while labels are downloaded."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace("The disk became full while labels were downloaded.", "Free some space.")
    return DownloadError(f"{path} cannot be written: {error.strerror}.", "Check its folder.")


def nothing_at(url: str, hint: str = "") -> NotFound:
    """The error for what a server does not have."""
    return NotFound(f"{host(url)} has nothing at {urlsplit(url).path}.", hint)


def joined(url: str, location: str) -> str:
    """Where a redirect leads; empty where that is no address."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def host(url: str) -> str:
    """The server that an address names."""
    return urlsplit(url).netloc or url


def same_site(one: str, other: str) -> bool:
    """Whether two addresses are of one host, with or without www, the other no less secure."""
    a, b = urlsplit(one), urlsplit(other)
    if b.scheme not in (a.scheme, "https"):
        return False
    return (a.hostname or "").removeprefix("www.") == (b.hostname or "").removeprefix("www.")


def seconds_until(value: str) -> float | None:
    """Seconds that a Retry-After asks for, as a number or a date; None where it says nothing."""
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def md5_in(etag: str) -> str:
    """The checksum that an ETag of a bucket is, for a file that was uploaded in one piece; else empty."""
    found = re.fullmatch(r'"?([0-9a-f]{32})"?', etag)
    return found[1] if found else ""


def md5_of(path: Path) -> str:
    """The MD5 of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """What an exception says, without its second page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
