"""Asking label servers: what is tried again and when, what is left alone and refused; offline is offline."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from local_neuronpedia import Fault, LocalNeuronpedia, etag_of, http_date, local_neuronpedia, neuron

from axon_shell.errors import AxonError, Cancelled, DownloadError, NoSpace, NotFound, Throttled, Unreachable
from axon_shell.labels import web as web_module
from axon_shell.labels.web import Web, md5_in, same_site, seconds_until

KEY = "v1/gpt2-small/8-res-jb/explanations/batch-0.jsonl.gz"
OBJECT = random.Random(1).randbytes(300_000)  # several chunks


class Time:
    """A clock that goes on only while somebody sleeps, and notes for how long that was."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeuronpedia]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_neuronpedia() as served:
        served.put(neuron("gpt2-small", "8-res-jb", 1, "invented rivers"))
        served.objects[KEY] = OBJECT
        yield served


@pytest.fixture
def ticks() -> Time:
    return Time()


@pytest.fixture
def web(ticks: Time) -> Iterator[Web]:
    opened = Web(False, ticks.sleep, ticks.clock, lambda: 1.0)
    yield opened
    opened.close()


def feature(site: LocalNeuronpedia) -> str:
    return f"{site.url}/api/feature/gpt2-small/8-res-jb/1"


def question(site: LocalNeuronpedia) -> tuple[str, list[dict[str, object]]]:
    return f"{site.url}/api/features", [{"modelId": "gpt2-small", "layer": "8-res-jb", "index": 1}]


def listing(site: LocalNeuronpedia) -> str:
    return f"{site.datasets}/?list-type=2&prefix=v1/"


def good(web: Web, site: LocalNeuronpedia) -> bool:
    """Whether the API answers as it should."""
    return web.json(feature(site))["index"] == "1" and len(web.json(*question(site))) == 1


def failure(ask: Callable[[], object]) -> AxonError:
    with pytest.raises(AxonError) as caught:
        ask()
    return caught.value


# -- what is tried again ------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_may_pass_by_itself_is_tried_four_times(
    site: LocalNeuronpedia, web: Web, ticks: Time, status: int
) -> None:
    site.faults = [Fault("status", times=3, status=status)]
    assert web.json(*question(site)) and ticks.slept == [1, 2, 4]
    assert [type(body) for body in site.posted] == [list] * 4  # the question itself, each time
    site.reset()
    site.faults = [Fault("status", times=-1, status=status)]
    error = failure(lambda: web.json(feature(site)))
    assert type(error) is DownloadError and str(status) in error.message and error.hint
    assert len(site.asked) == 4


def test_waits_are_a_random_share_of_a_time_that_doubles_up_to_a_minute(site: LocalNeuronpedia) -> None:
    for shares in ([1.0] * 8, [0.0] * 8, [0.5, 0.25, 0.75, 0.1, 1.0, 0.9, 0.3, 0.6]):
        ticks, chances = Time(), iter(shares)
        web = Web(False, ticks.sleep, ticks.clock, lambda chances=chances: next(chances))  # type: ignore[misc]
        site.faults = [Fault("status", times=-1, status=500)]
        failure(lambda web=web: web.text(listing(site), tries=9))  # type: ignore[misc]
        longest = [1, 2, 4, 8, 16, 32, 60, 60]
        assert ticks.slept == [round(share * limit, 6) for share, limit in zip(shares, longest, strict=True)]
        web.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 501])
def test_what_does_not_pass_by_itself_is_asked_once(site: LocalNeuronpedia, web: Web, ticks: Time, status: int) -> None:
    site.faults = [Fault("status", "/api/", status=status)]
    error = failure(lambda: web.json(feature(site)))
    assert type(error) is (NotFound if status == 404 else DownloadError)
    assert len(site.asked) == 1 and ticks.slept == [] and good(web, site)


def test_two_calls_a_second_are_the_most(site: LocalNeuronpedia, web: Web, ticks: Time) -> None:
    for _ in range(4):
        web.json(feature(site))
    assert ticks.slept == [0.5, 0.5, 0.5]


# -- being told to wait -------------------------------------------------------


def throttled(web: Web, site: LocalNeuronpedia, fault: Fault) -> float:
    """How long everything waits after a fault of the API, which is asked once and by nobody else meanwhile."""
    site.reset()
    site.faults = [fault]
    assert type(failure(lambda: web.json(feature(site)))) is Throttled
    waits = web.waits()
    others = [lambda: web.json(*question(site)), lambda: web.text(listing(site)), lambda: web.facts(site.datasets)]
    assert not waits or [type(failure(other)) for other in others] == [Throttled] * 3
    assert len(site.asked) == 1 and web.reachable
    return waits


def test_one_429_silences_everything_until_its_time_is_over(site: LocalNeuronpedia, web: Web, ticks: Time) -> None:
    assert throttled(web, site, Fault("status", status=429, retry_after="7")) == pytest.approx(7)
    web.retry()
    assert web.waits() == pytest.approx(7)  # the server's wish, not ours
    ticks.now += 6.9
    assert type(failure(lambda: good(web, site))) is Throttled
    ticks.now += 0.2
    assert good(web, site)


@pytest.mark.parametrize(
    ("status", "after", "wait"),
    [
        (429, "0", 0),
        (429, "30", 30),
        (429, "date", 40),
        (429, "past", 0),
        (429, "999999999", 900),
        (429, "tomorrow", 60),
        (503, "12", 12),
        (503, "date", 40),
    ],
)
def test_a_server_says_how_long_in_seconds_or_as_a_date_and_a_quarter_of_an_hour_at_most(
    site: LocalNeuronpedia, web: Web, status: int, after: str, wait: float
) -> None:
    after = {"date": http_date(40), "past": http_date(-1000)}.get(after, after)
    fault = Fault("status", status=status, retry_after=after)
    assert throttled(web, site, fault) == pytest.approx(wait, abs=2)


def test_without_a_time_the_pause_doubles_until_an_answer_comes(site: LocalNeuronpedia, web: Web, ticks: Time) -> None:
    pauses = []
    for _ in range(6):
        pauses.append(throttled(web, site, Fault("status", status=429)))
        ticks.now += pauses[-1] + 1
    assert pauses == pytest.approx([60, 120, 240, 480, 900, 900])
    assert good(web, site)
    assert throttled(web, site, Fault("status", status=429)) == pytest.approx(60)


@given(
    st.one_of(st.text(max_size=40), st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} Jan \d{1,5} \d\d:\d\d:\d\d( GMT| -0000)?"))
)
def test_whatever_a_server_writes_there_is_a_time_or_nothing(value: str) -> None:
    found = seconds_until(value)
    assert found is None or found >= 0


def test_few_calls_left_slow_down_and_hardly_any_stop(site: LocalNeuronpedia, web: Web, ticks: Time) -> None:
    def waits(remaining: int) -> list[float]:
        site.remaining = remaining
        web.json(feature(site))
        ticks.slept.clear()
        web.json(feature(site))
        web.json(feature(site))
        return ticks.slept[1:]

    assert waits(24_000) == [0.5] and waits(1_000) == [0.5] and waits(999) == [5] and waits(200) == [5]
    assert waits(24_000) == [0.5]
    site.remaining = 199
    web.json(feature(site))
    assert web.waits() == pytest.approx(60)
    assert type(failure(lambda: web.json(feature(site)))) is Throttled


# -- servers that are not there -----------------------------------------------


def test_after_three_failures_nobody_asks_but_one_call_a_minute(
    site: LocalNeuronpedia, web: Web, ticks: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.faults = [Fault("drop", times=-1)]
    error = failure(lambda: web.json(feature(site)))
    assert type(error) is Unreachable and error.kind == "network" and error.hint
    assert len(site.asked) == 3 and not web.reachable and web.waits() == pytest.approx(60)
    for _ in range(5):
        assert type(failure(lambda: good(web, site))) is Unreachable
    assert len(site.asked) == 3
    ticks.now += 61
    site.faults = [Fault("hang", times=-1, seconds=0.2)]
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(web.json, feature(site)) for _ in range(6)]
    assert {type(one.exception()) for one in asked} == {Unreachable}
    assert len(site.asked) == 4 and web.waits() == pytest.approx(60)
    site.faults = []
    ticks.now += 61
    assert good(web, site) and web.reachable and web.waits() == 0


def test_retry_asks_at_once_and_an_answer_is_forgiveness(site: LocalNeuronpedia, web: Web) -> None:
    for _ in range(2):
        site.faults = [Fault("drop", times=3)]
        assert type(failure(lambda: web.json(feature(site)))) is Unreachable
        assert not web.reachable
        web.retry()
        assert good(web, site) and web.reachable
    site.faults = [Fault("drop", times=2)]  # not the third in a row
    assert good(web, site) and web.reachable


def test_a_server_that_nobody_runs(ticks: Time) -> None:
    web = Web(False, ticks.sleep, ticks.clock)
    assert type(failure(lambda: web.json("http://127.0.0.1:9/api/features", []))) is Unreachable
    for wrong in ("no address", "http://[", "http://a:b/", "ftp://127.0.0.1/"):
        web.retry()
        error = failure(lambda wrong=wrong: web.json(wrong))  # type: ignore[misc]
        assert isinstance(error, DownloadError) and error.hint
    web.close()


# -- answers that are none ----------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "says", "asked"),
    [
        (Fault("html", times=-1), "text/html", 1),
        (Fault("html", times=-1, status=404), "404", 1),
        (Fault("html", times=-1, status=500), "500", 4),
        (Fault("text", times=-1), "500", 4),
        (Fault("garbage", times=-1), "no JSON", 4),
        (Fault("truncated", times=-1), "cannot be reached", 3),
        (Fault("huge", times=-1), "more than 8,000,000 bytes", 1),
        (Fault("bomb", times=-1), "more than 8,000,000 bytes", 1),
        (Fault("hang", times=-1), "cannot be reached", 3),
        (Fault("drop", times=-1), "cannot be reached", 3),
    ],
)
def test_an_answer_that_is_none_is_told_and_the_next_one_is_right(
    site: LocalNeuronpedia, web: Web, monkeypatch: pytest.MonkeyPatch, fault: Fault, says: str, asked: int
) -> None:
    monkeypatch.setattr(web_module, "ANSWERING", 0.1 if fault.kind == "hang" else 5.0)
    for ask in (lambda: web.json(feature(site)), lambda: web.json(*question(site))):
        site.reset()
        site.faults = [fault]
        error = failure(ask)
        assert isinstance(error, DownloadError) and not isinstance(error, NotFound)
        assert says in error.message and error.hint
        assert len(site.asked) == asked
        site.faults = []
        web.retry()
        assert good(web, site)


def test_slow_and_packed_answers_are_answers(site: LocalNeuronpedia, web: Web) -> None:
    site.faults = [Fault("slow", seconds=0.01), Fault("gzip", times=2)]
    assert good(web, site) and good(web, site) and not site.faults


# -- redirects ----------------------------------------------------------------


def test_redirects_are_followed_within_a_site_only(site: LocalNeuronpedia, web: Web) -> None:
    site.faults = [Fault("redirect", location="/site/api/feature/gpt2-small/8-res-jb/1")]
    assert web.json(f"{site.url}/elsewhere")["index"] == "1"
    for location in (feature(site).replace("127.0.0.1", "localhost"), "//localhost/", "file:///etc/passwd", "http://["):
        site.reset()
        site.faults = [Fault("redirect", location=location)]
        error = failure(lambda: web.json(feature(site)))
        assert type(error) is DownloadError and "not followed" in error.message
        assert len(site.asked) == 1
    site.reset()
    site.faults = [Fault("redirect", times=-1, location=feature(site))]
    assert "one address to the next" in failure(lambda: web.json(feature(site))).message
    assert len(site.asked) == 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_question_is_sent_on_only_where_it_stays_a_question(site: LocalNeuronpedia, web: Web, status: int) -> None:
    url, body = question(site)
    site.faults = [Fault("redirect", status=status, location=url)]
    if status in (307, 308):
        assert len(web.json(url, body)) == 1 and site.posted == [body, body]
    else:
        assert type(failure(lambda: web.json(url, body))) is DownloadError
        assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://neuronpedia.org/api", "https://www.neuronpedia.org/api", True),
        ("https://www.neuronpedia.org/api", "https://neuronpedia.org/else", True),
        ("http://neuronpedia.org/", "https://www.neuronpedia.org/", True),
        ("https://www.neuronpedia.org/", "http://www.neuronpedia.org/", False),
        ("https://www.neuronpedia.org/", "https://www.neuronpedia.org.example/", False),
        ("https://www.neuronpedia.org/", "https://evilneuronpedia.org/", False),
        ("https://www.neuronpedia.org/", "https://www.neuronpedia.org@example.org/", False),
        ("https://www.neuronpedia.org/", "https://api.neuronpedia.org/", False),
        ("https://www.neuronpedia.org/", "file://www.neuronpedia.org/", False),
    ],
)
def test_what_is_one_site(one: str, other: str, same: bool) -> None:
    assert same_site(one, other) is same


# -- offline ------------------------------------------------------------------


OFFLINE = """if True:
    import json, sys, threading
    from pathlib import Path
    connections = []
    sys.addaudithook(lambda name, args: connections.append(name) if name.startswith("socket.") else None)
    from axon_shell.labels.web import Web
    site, datasets, key, folder = sys.argv[1:]
    web = Web(True, sleep=lambda seconds: None)
    kinds = []
    for ask in (
        lambda: web.json(f"{site}/api/feature/gpt2-small/8-res-jb/1"),
        lambda: web.json(f"{site}/api/features", [{"index": 1}]),
        lambda: web.json("https://www.neuronpedia.org/api/features", []),
        lambda: web.text(f"{datasets}/?list-type=2"),
        lambda: web.facts(f"{datasets}/{key}"),
        lambda: web.download(f"{datasets}/{key}", Path(folder) / "a", 0, "", print, lambda: False),
        lambda: web.client().get(f"{site}/api/feature/gpt2-small/8-res-jb/1"),
        lambda: web.client().get("https://www.neuronpedia.org/"),
    ):
        try:
            kinds.append(repr(ask()))
        except Exception as error:
            kinds.append(getattr(error, "kind", repr(error)))
    web.retry()
    print(json.dumps([kinds, connections, web.reachable]))
"""


def test_offline_no_socket_is_opened_whatever_is_asked_and_whatever_proxy_there_is(
    site: LocalNeuronpedia, tmp_path: Path
) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), site.url)
    environment = {**os.environ, **proxies, "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-c", OFFLINE, site.url, site.datasets, KEY, str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kinds, connections, reachable = json.loads(said.stdout)
    assert kinds == ["offline"] * 8
    assert connections == [] and not reachable
    assert site.asked == [] and not list(tmp_path.iterdir())


# -- files --------------------------------------------------------------------


def get(
    web: Web,
    site: LocalNeuronpedia,
    path: Path,
    content: bytes | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    told: list[int] | None = None,
    size: int | None = None,
    etag: str | None = None,
) -> None:
    """Download the object as a list that was read when it held `content` promised it."""
    content = site.objects[KEY] if content is None else content
    size, etag = len(content) if size is None else size, etag_of(content) if etag is None else etag
    web.download(f"{site.datasets}/{KEY}", path, size, etag, (told if told is not None else []).append, cancelled)


def ranges(site: LocalNeuronpedia) -> list[str]:
    return [headers.get("range", "") for _, path, headers in site.asked if KEY in path]


def stopped(web: Web, site: LocalNeuronpedia, path: Path, size: int | None = None, etag: str | None = None) -> Path:
    """What is kept of a file when its download is stopped after the first bytes."""
    told: list[int] = []
    error = failure(lambda: get(web, site, path, cancelled=lambda: bool(told), told=told, size=size, etag=etag))
    assert type(error) is Cancelled and "goes on" in error.hint
    site.reset()
    (part,) = path.parent.iterdir()
    return part


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels" / "batch-0.jsonl.gz"


def test_a_file_arrives_and_what_has_arrived_is_told(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    told: list[int] = []
    get(web, site, path, told=told)
    assert path.read_bytes() == OBJECT and [one.name for one in path.parent.iterdir()] == [path.name]
    assert told == sorted(told) and told[-1] == len(OBJECT) and ranges(site) == [""]
    assert web.facts(f"{site.datasets}/{KEY}") == (len(OBJECT), etag_of(OBJECT))
    assert web.facts(f"{site.datasets}/{KEY}x") is None
    assert type(failure(lambda: web.download(f"{site.datasets}/x", path, 0, "", print, bool))) is NotFound


@pytest.mark.parametrize("after", [1, 1_000, 200_000, 299_999])
def test_a_broken_download_goes_on_where_it_broke(site: LocalNeuronpedia, web: Web, path: Path, after: int) -> None:
    site.faults = [Fault("cut", after=after)]
    get(web, site, path)
    assert path.read_bytes() == OBJECT
    assert ranges(site) == ["", f"bytes={after}-"] and site.asked[-1][2]["if-range"] == etag_of(OBJECT)


def test_what_was_stopped_goes_on_another_day(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    part = stopped(web, site, path)
    have = part.stat().st_size
    assert 0 < have < len(OBJECT) and part.read_bytes() == OBJECT[:have]
    another = Web(False)
    get(another, site, path)
    another.close()
    assert path.read_bytes() == OBJECT and ranges(site) == [f"bytes={have}-"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("known", ["its checksum", "a mark", "its size", "nothing"])
def test_what_changed_meanwhile_is_fetched_anew(site: LocalNeuronpedia, web: Web, path: Path, known: str) -> None:
    """Old bytes and new ones are never mixed, even where no checksum would tell."""
    new = random.Random(2).randbytes(len(OBJECT))
    size = None if known != "nothing" else 0
    old_mark, new_mark = {"its checksum": (None, None), "a mark": ('"one-2"', '"two-2"')}.get(known, ("", ""))
    stopped(web, site, path, size, old_mark)
    site.objects[KEY] = new
    get(web, site, path, size=size, etag=new_mark)
    assert path.read_bytes() == new and ranges(site) == [""]


def test_bytes_that_are_not_those_promised_are_thrown_away(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    site.faults = [Fault("etag_lies")]
    get(web, site, path)
    assert path.read_bytes() == OBJECT and ranges(site) == ["", ""]
    path.unlink()
    site.faults = [Fault("etag_lies", times=-1)]
    error = failure(lambda: get(web, site, path))
    assert type(error) is DownloadError and "damaged" in error.message and error.hint
    assert not list(path.parent.iterdir())


def test_a_file_that_is_not_as_long_as_promised_is_never_taken(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    for size in (len(OBJECT) - 1, len(OBJECT) + 1):
        error = failure(lambda size=size: get(web, site, path, size=size))  # type: ignore[misc]
        assert type(error) is DownloadError and not path.exists()


def test_a_rest_that_does_not_exist_is_no_dead_end(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    part = stopped(web, site, path, size=0)
    part.write_bytes(OBJECT)  # as if it was killed before the file got its name
    get(web, site, path, size=0)
    assert path.read_bytes() == OBJECT and ranges(site) == [f"bytes={len(OBJECT)}-", ""]
    path.rename(part)
    site.reset()
    get(web, site, path)
    assert path.read_bytes() == OBJECT and ranges(site) == []


def test_files_that_are_too_large_are_refused_before_or_while_they_come(
    site: LocalNeuronpedia, web: Web, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_module, "LARGEST_FILE", 100_000)
    error = failure(lambda: get(web, site, path))
    assert type(error) is DownloadError and site.asked == []
    error = failure(lambda: get(web, site, path, size=0))
    assert type(error) is DownloadError and "larger" in error.message
    assert not path.exists() and sum(one.stat().st_size for one in path.parent.iterdir()) <= 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told_as_such(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    part = stopped(web, site, path)
    part.unlink()
    part.symlink_to("/dev/full")
    error = failure(lambda: get(web, site, path))
    assert type(error) is NoSpace and error.hint and not path.exists()
    assert len(site.asked) == 1


def test_a_folder_that_cannot_be_written_is_told_as_such(site: LocalNeuronpedia, web: Web, path: Path) -> None:
    path.parent.write_text("a file in the place of the folder")
    error = failure(lambda: get(web, site, path))
    assert type(error) is DownloadError and error.hint and os.strerror(errno.EEXIST) in error.message


@given(st.binary(max_size=8), st.text(max_size=40))
def test_only_an_md5_is_taken_for_one(content: bytes, other: str) -> None:
    digest = hashlib.md5(content).hexdigest()
    assert md5_in(f'"{digest}"') == md5_in(digest) == digest
    assert md5_in(f'"{digest}-3"') == md5_in(f'W/"{digest}"') == ""  # in several pieces; only alike
    assert md5_in(other) in ("", other.strip('"'))


# -- the end ------------------------------------------------------------------


@pytest.mark.parametrize("waiting_for", ["another try", "its turn", "an answer"])
def test_closing_wakes_whoever_waits(site: LocalNeuronpedia, monkeypatch: pytest.MonkeyPatch, waiting_for: str) -> None:
    web = Web(False, chance=lambda: 1.0)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            web.json(feature(site))
        except BaseException as error:
            errors.append(error)

    match waiting_for:
        case "another try":
            site.faults = [Fault("status", status=500, times=-1)]
        case "its turn":
            monkeypatch.setattr(web_module, "SLOWED", 100.0)
            site.remaining = 500
            web.json(feature(site))
            web.next_call = web.clock() + 100
        case "an answer":
            site.faults = [Fault("hang", times=-1)]
    site.reset()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    deadline = time.monotonic() + 5
    while not site.asked and waiting_for != "its turn" and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    began = time.monotonic()
    web.close()
    thread.join(3)
    assert not thread.is_alive() and time.monotonic() - began < 1
    assert [type(error) for error in errors] == [Cancelled]
    before = len(site.asked)
    assert type(failure(lambda: web.json(feature(site)))) is Cancelled
    assert type(failure(lambda: web.text(listing(site)))) is Cancelled
    assert len(site.asked) == before
