"""Label packs and publishers' files: what was given away arrives, and what is not as it should be changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_neuronpedia import HOSTILE, LocalNeuronpedia, Style

from axon_shell.config import Config
from axon_shell.errors import LabelFileError, NotFound
from axon_shell.hookspecs import LabelPublisher
from axon_shell.labels import Labels, LabelStore, OwnLabel, files
from axon_shell.labels.packs import FORMAT, Imported, as_line, checksum, import_file, write_pack
from axon_shell.labels.rows import Row
from axon_shell.labels.text import clean
from axon_shell.plugins import catalogue
from axon_shell.records import Label, LabelFile, SaeSpec

SAE, SET, WIDTH = "gpt2-small/8-mine", "gpt2-small/8-res-jb", 1_000
SPECS = [
    SaeSpec(SAE, "gpt2-small", "", WIDTH, Path(), neuronpedia=SET),
    SaeSpec("gpt2-small/9-res-jb", "gpt2-small", "", WIDTH, Path(), neuronpedia="gpt2-small/9-res-jb"),
    SaeSpec("gpt2-small/unpublished", "gpt2-small", "", WIDTH, Path()),
    SaeSpec("gpt2-small/unread", "gpt2-small", "", 0, Path(), neuronpedia="gpt2-small/unread"),
]


@pytest.fixture(scope="module")
def neuronpedia() -> LabelPublisher:
    """The publisher that the program brings."""
    found: LabelPublisher = catalogue(Config()).label_sources["neuronpedia"]
    return found


class Home:
    """A machine with its labels."""

    def __init__(self, folder: Path, publisher: LabelPublisher, specs: Iterable[SaeSpec] = SPECS) -> None:
        self.store = LabelStore(folder)
        self.labels = Labels([publisher], {spec.id: spec for spec in specs}, self.store)

    def publish(self, rows: Iterable[Row], label_set: str = SET, file: str = "batch-0.jsonl.gz") -> None:
        listed = [*self.store.files(label_set), file]
        self.store.replace_files(label_set, [(LabelFile(file, ""), list(rows))], listed, complete=False)

    def pack(self, sae: str = SAE, own_only: bool = False) -> bytes:
        file = io.BytesIO()
        count = write_pack(self.labels, self.store, self.labels.saes[sae], file, own_only)
        assert count == len(gzip.decompress(file.getvalue()).splitlines()) - 1
        return file.getvalue()

    def take(self, path: Path, sae: str = "", mine: bool = False) -> list[Imported]:
        return import_file(self.labels, self.store, path, sae, mine)

    def everything(self) -> tuple[Any, ...]:
        """All that an import could change."""
        sets = [SET, *(spec.id for spec in SPECS)]
        state = [(self.rows(one), self.store.files(one)) for one in sets]
        return state, self.store.all_own(), self.store.sets()

    def rows(self, label_set: str = SET) -> list[tuple[Any, ...]]:
        """The labels of a set, without the day on which they came."""
        return [
            (feature, one.text, one.origin, one.method, one.explainer, one.score, one.score_name, one.id)
            for feature, one in self.store.every(label_set)
        ]


@pytest.fixture
def home(home: Path, neuronpedia: LabelPublisher) -> Iterator[Home]:
    machine = Home(home, neuronpedia)
    yield machine
    machine.labels.close()


@pytest.fixture
def other(tmp_path: Path, neuronpedia: LabelPublisher) -> Iterator[Home]:
    machine = Home(tmp_path / "other", neuronpedia)
    yield machine
    machine.labels.close()


PUBLISHED = [
    (1, Label("rivers", "neuronpedia", "oai_token-act-pair", 0.5, "recall_alt", {}, "gpt-4o-mini", "c1")),
    (1, Label("rivers & <b>lakes</b>", "neuronpedia", "np_max-act", None, "", {}, "gemini", "c2")),
    (7, Label("Städte in “Frankreich”", "neuronpedia", "human")),
]


def filled(machine: Home) -> Home:
    machine.publish(PUBLISHED)
    machine.store.put_own(SAE, 2, OwnLabel("what I call it", "a note\nof two lines"))
    machine.store.put_own(SAE, 3, OwnLabel("", "only a note"))
    machine.store.put_own("gpt2-small/unpublished", 2, OwnLabel("not of this SAE", ""))
    return machine


def lines_of(pack: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(pack).splitlines()]


def packed(header: Mapping[str, Any], *rows: Mapping[str, Any] | bytes) -> bytes:
    """A pack with its numbers right, and then as `header` says."""
    lines = [row if isinstance(row, bytes) else as_line(row) for row in rows]
    usual = {"format": FORMAT, "version": 1, "set": SET, "sae": SAE, "width": WIDTH, "rows": len(lines)}
    return gzip.compress(as_line(usual | {"sha256": checksum(lines)} | header) + b"".join(lines), 1)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# -- giving and taking -----------------------------------------------------------------------------


def cleaned(longest: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(max_size=40).map(lambda text: clean(text, longest)).filter(lambda text: len(text) >= least)


label = st.builds(
    Label,
    cleaned(4096, 1),
    st.sampled_from(["neuronpedia", "pack", "tiny-world"]),
    cleaned(100),
    st.none() | st.floats(-1e9, 1e9),
    cleaned(100),
    st.just({}),
    cleaned(100),
    cleaned(100),
)


@given(st.lists(st.tuples(st.integers(0, WIDTH - 1), label), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_given_away_arrives_byte_for_byte(home: Home, other: Home, tmp_path: Path, rows: list[Row]) -> None:
    home.publish(rows)
    pack = home.pack()
    other.take(written(tmp_path / "a.labels.jsonl.gz", pack))
    assert other.rows() == home.rows() and len(home.rows()) >= 1
    assert other.pack() == pack == home.pack()


def test_a_pack_says_what_it_is_of_and_quotes_no_texts(home: Home, other: Home) -> None:
    filled(home)
    header, *rows = lines_of(home.pack())
    assert (header["format"], header["version"], header["set"], header["sae"]) == ("axon-shell-labels", 1, SET, SAE)
    assert (header["width"], header["rows"]) == (WIDTH, 5)
    assert rows[0] == {"i": 2, "d": "what I call it", "o": "you", "n": "a note\nof two lines"}
    assert {*rows[3]} == {"i", "d", "o", "t", "m", "s", "st", "id"} and "not of this SAE" not in str(rows)
    assert len(lines_of(home.pack(own_only=True))) == 3
    for sae, own, hint in (("gpt2-small/unread", False, "labels download"), (SPECS[2].id, False, "labels import")):
        with pytest.raises(NotFound) as caught:
            other.pack(sae, own)
        assert hint in caught.value.hint
    with pytest.raises(NotFound) as caught:
        other.pack("gpt2-small/unread", own_only=True)
    assert "labels edit" in caught.value.hint


def test_a_label_that_two_files_brought_is_given_away_once(home: Home) -> None:
    home.publish(PUBLISHED)
    once = home.pack()
    home.publish(
        [(feature, Label(one.text, one.origin, one.method, explainer=one.explainer)) for feature, one in PUBLISHED],
        file="again",
    )
    with home.store.writes() as connection:
        connection.execute("UPDATE labels SET fetched_at = fetched_at + 100000 WHERE file = 'again'")
    assert home.pack() == once and home.store.status(SET).labels == 3


def test_what_its_owner_wrote_is_somebody_elses_for_others(home: Home, other: Home, tmp_path: Path) -> None:
    path = written(tmp_path / "a.labels.jsonl.gz", filled(home).pack())
    (found,) = other.take(path)
    assert (found.sae, found.label_set, found.labels, found.own) == (SAE, SET, 4, 0)
    assert other.store.all_own() == {}
    named = other.labels.of(SAE, [1, 2, 3])
    assert [one and (one.text, one.origin, one.method) for one, _ in named.values()] == [
        ("rivers", "neuronpedia", "oai_token-act-pair"),
        ("what I call it", "pack", "human"),
        None,
    ]


def test_on_another_machine_of_its_owner_it_is_the_owners_again(home: Home, other: Home, tmp_path: Path) -> None:
    path = written(tmp_path / "a.labels.jsonl.gz", filled(home).pack())
    other.store.put_own(SAE, 3, OwnLabel("said here already", ""))
    (found,) = other.take(path, mine=True)
    assert (found.labels, found.own) == (3, 1)
    assert other.store.all_own() == {
        (SAE, 2): OwnLabel("what I call it", "a note\nof two lines"),
        (SAE, 3): OwnLabel("said here already", ""),
    }
    assert other.rows() == home.rows()
    (again,) = other.take(path, mine=True)
    assert (again.labels, again.own) == (3, 0)


def test_twice_is_once_and_a_newer_one_takes_the_place_of_the_older(home: Home, other: Home, tmp_path: Path) -> None:
    path = written(tmp_path / "a.labels.jsonl.gz", filled(home).pack())
    other.take(path)
    once = other.rows(), other.store.all_own(), other.store.status(SET)
    other.take(path)
    other.take(written(tmp_path / "the same.labels.jsonl.gz", path.read_bytes()))
    assert (other.rows(), other.store.all_own(), other.store.status(SET)) == once
    home.publish(PUBLISHED[:1])
    written(path, home.pack())
    (tmp_path / "the same.labels.jsonl.gz").unlink()
    third = Home(tmp_path / "third", home.labels.publishers[0])
    third.take(written(tmp_path / "b.labels.jsonl.gz", packed({}, {"i": 5, "d": "gone", "o": "pack", "t": "human"})))
    third.take(written(tmp_path / "b.labels.jsonl.gz", path.read_bytes()))
    assert third.rows() == [(2, "what I call it", "pack", "human", "", None, "", ""), *home.rows()][::-1]
    third.labels.close()


def test_a_pack_is_known_by_its_set_and_by_its_name_only_where_nobody_publishes(
    home: Home, other: Home, tmp_path: Path
) -> None:
    row = {"i": 5, "d": "a label", "o": "neuronpedia", "t": "oai"}
    path = tmp_path / "a.labels.jsonl.gz"

    def taken(header: Mapping[str, Any], sae: str = "") -> str:
        (found,) = other.take(written(path, packed(header, row)), sae)
        return found.sae

    assert taken({"sae": "what they call it"}) == SAE  # the set is the same
    assert taken({"sae": "gpt2-small/unpublished", "set": "gpt2-small/unpublished"}) == "gpt2-small/unpublished"
    assert taken({"sae": SAE, "set": SAE}) == SAE  # there it had no page
    assert taken({"width": 0}) == SAE and taken({}, SAE) == SAE
    before = other.everything()
    for header, sae in (
        ({"set": "gpt2-small/9-res-jb"}, ""),  # goes to the SAE of that set, never to the one of that name
        ({"set": "gpt2-small/7-res-jb", "sae": "gpt2-small/7-res-jb"}, ""),
        ({"set": "gpt2-small/7-res-jb"}, ""),
        ({}, "gpt2-small/9-res-jb"),
    ):
        try:
            assert taken(header, sae) == "gpt2-small/9-res-jb"
        except (NotFound, LabelFileError) as error:
            assert error.hint
        assert other.everything()[0][0] == before[0][0]  # of SAE


# -- what is not as it should be ----------------------------------------------------------------------


def refusal(machine: Home, path: Path, **options: Any) -> str:
    """Why a file was refused: nothing has changed."""
    before = machine.everything()
    with pytest.raises((LabelFileError, NotFound)) as caught:
        machine.take(path, **options)
    assert caught.value.kind in ("label_file", "not_found") and caught.value.hint
    assert str(path) in caught.value.message and len(caught.value.message) < 500 + len(str(path))
    assert machine.everything() == before
    return caught.value.message


def test_no_changed_byte_gets_in(home: Home, tmp_path: Path) -> None:
    filled(home)
    pack = home.pack()
    path, before, refused = tmp_path / "a.labels.jsonl.gz", home.everything(), 0
    for place in range(len(pack)):
        damaged = bytearray(pack)
        damaged[place] ^= 0x55
        written(path, bytes(damaged))
        if 4 <= place < 10:  # its time, its system: no labels
            continue
        refusal(home, path)
        refused += 1
    assert refused == len(pack) - 6 and home.everything() == before


def test_no_part_of_a_pack_gets_in(home: Home, tmp_path: Path) -> None:
    filled(home)
    pack = home.pack()
    for length in range(0, len(pack), 3):
        refusal(home, written(tmp_path / "a.labels.jsonl.gz", pack[:length]))
    plain = gzip.decompress(pack)
    for length in range(0, len(plain) - 1, 7):
        refusal(home, written(tmp_path / "a.labels.jsonl", plain[:length]))
    home.take(written(tmp_path / "a.labels.jsonl", plain))  # it need not be gzipped


ROW = {"i": 5, "d": "a label", "o": "neuronpedia", "t": "oai"}
NO_PACKS: dict[str, Callable[[], bytes]] = {
    "too few rows": lambda: packed({"rows": 2}, ROW),
    "too many rows": lambda: packed({"rows": 0}, ROW),
    "no number of rows": lambda: packed({"rows": None}, ROW),
    "another checksum": lambda: packed({"sha256": "0" * 64}, ROW),
    "no checksum": lambda: packed({"sha256": None}, ROW),
    "a newer version": lambda: packed({"version": 2}, ROW),
    "no version": lambda: packed({"version": None}, ROW),
    "a long version": lambda: packed({"version": "9" * 1_000_000}, ROW),
    "another width": lambda: packed({"width": 2 * WIDTH}, ROW),
    "a width that is none": lambda: packed({"width": ["x"]}, ROW),
    "another set": lambda: packed({"set": "gpt2-small/7-res-jb", "sae": "gpt2-small/7-res-jb"}, ROW),
    "another set of the same name": lambda: packed({"set": "gpt2-small/7-res-jb"}, ROW),
    "no set": lambda: packed({"set": None, "sae": {"a": 1}}, ROW),
    "beyond the last feature": lambda: packed({}, ROW | {"i": WIDTH}),
    "a huge feature": lambda: packed({}, ROW | {"i": 10**30}),
    "a negative feature": lambda: packed({}, ROW | {"i": -1}),
    "a feature that is a text": lambda: packed({}, ROW | {"i": "5"}),
    "a feature that is true": lambda: packed({}, ROW | {"i": True}),
    "no feature": lambda: packed({}, {"d": "x"}),
    "a text that is none": lambda: packed({}, ROW | {"d": ["x"]}),
    "a note that is none": lambda: packed({}, ROW | {"o": "you", "n": 3}),
    "a score that is none": lambda: packed({}, ROW | {"s": float("nan")}),
    "an endless score": lambda: packed({}, ROW | {"s": float("inf")}),
    "a huge score": lambda: packed({}, ROW | {"s": -(10**400)}),
    "a score that is a text": lambda: packed({}, ROW | {"s": "high"}),
    "halves of characters": lambda: packed({}, b'{"i":5,"d":"half \\ud83d"}\n'),
    "a line that is a list": lambda: packed({}, ROW, b"[5]\n"),
    "a line that is no JSON": lambda: packed({}, ROW, b'{"i": 5, "d": \n'),
    "a line that is deep": lambda: packed({}, b"[" * 100_000 + b"\n"),
    "no UTF-8": lambda: packed({}, b'{"i":5,"d":"\xff\xfe"}\n'),
    "a line of 2 MB": lambda: packed({}, ROW | {"d": "x" * 2_000_000}),
    "a header of 2 MB": lambda: packed({"more": "x" * 2_000_000}, ROW),
    "half a list": lambda: b'[{"modelId": "gpt2-small"}',
    "a list of nothing": lambda: b"[1, 2, [], null]",
    "an endless element": lambda: b'[{"description": "' + b"x" * 2_000_000 + b'"}]',
    "words": lambda: b"These are no labels.\n" * 10,
    "noise": lambda: os.urandom(100_000),
    "noise behind the sign of a gzip": lambda: b"\x1f\x8b\x08" + os.urandom(1_000),
    "a gzip of noise": lambda: gzip.compress(os.urandom(100_000)),
    "nothing": lambda: b"",
    "nothing, gzipped": lambda: gzip.compress(b""),
    "another kind of file": lambda: b'{"format": "something else"}\n{"i": 5, "d": "x"}\n',
}


@pytest.mark.parametrize("what", NO_PACKS)
def test_what_is_no_whole_pack_of_this_sae_changes_nothing(home: Home, tmp_path: Path, what: str) -> None:
    filled(home)
    content = NO_PACKS[what]()
    refusal(home, written(tmp_path / "a.labels.jsonl.gz", content))
    refusal(home, tmp_path / "a.labels.jsonl.gz", sae=SAE, mine=True)


def test_a_folder_and_nothing_at_all_are_refused(home: Home, tmp_path: Path) -> None:
    assert "No such file" in refusal(home, tmp_path / "missing.labels.jsonl.gz")
    refusal(home, tmp_path)


def test_a_file_of_very_many_lines_is_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_OBJECTS", 100)
    rows = [as_line({"modelId": "gpt2-small", "layer": "8-res-jb", "index": n, "description": "x"}) for n in range(100)]
    for content in (b"\n" * 101, b"".join(rows) + b"\n", b"[" + b",".join([*rows, b"0"]) + b"]"):
        assert "too large" in refusal(home, written(tmp_path / "a.jsonl", content))
    assert home.take(written(tmp_path / "a.jsonl", b"".join(rows)))[0].labels == 100


MEASURED = r"""if True:
    import re, resource, sys
    from pathlib import Path
    from axon_shell.config import Config
    from axon_shell.errors import LabelFileError
    from axon_shell.labels import Labels, LabelStore
    from axon_shell.labels.packs import import_file
    from axon_shell.plugins import catalogue
    from axon_shell.records import SaeSpec
    found = catalogue(Config())
    store = LabelStore(Path(sys.argv[1]))
    spec = SaeSpec("gpt2-small/8-mine", "gpt2-small", "", 0, Path(), neuronpedia="gpt2-small/8-res-jb")
    labels = Labels(found.label_sources.values(), {spec.id: spec}, store)
    def peak():
        status = Path("/proc/self/status")  # the other number begins with that of the program that started this one
        if status.exists():
            return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1e3
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    before = peak()
    for path in map(Path, sys.argv[2:]):
        try:
            said = str(import_file(labels, store, path)[0].labels)
        except LabelFileError as error:
            said = error.message
        print(f"{peak() - before:.0f} {said}", flush=True)
"""


def test_files_that_blow_up_are_refused_in_little_memory(tmp_path: Path) -> None:
    def again(piece: bytes, times: int) -> bytes:
        """A gzip of many members: it unpacks to far more than it is, and is made at once."""
        deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
        return (deflate.compress(piece) + deflate.flush()) * times

    row = json.dumps({"modelId": "gpt2-small", "layer": "8-res-jb", "index": "1", "description": "x"}).encode()
    bombs = {
        "rows": again((row + b" " * 900_000 + b"\n") * 10, 60),
        "one line": again(b" " * 900_000, 600),
        "pack": packed({"rows": 0}) + again(as_line(ROW)[:-1] + b" " * 900_000 + b"\n", 600),
        "lists": gzip.compress(b'[{"a": [' + b"[]," * 5_000_000 + b"[]]}]", 1),
        "many": gzip.compress(b"[" + b"{}," * 500_000 + b"{}]", 1),
    }
    for name, content in bombs.items():
        assert len(content) < 1_000_000, name
        (tmp_path / name).write_bytes(content)
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "home"), *(str(tmp_path / name) for name in bombs)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    print("\n".join(lines), f"\n{time.monotonic() - begin:.1f} s")
    assert len(lines) == len(bombs)
    for name, line in zip(bombs, lines, strict=True):
        megabytes, said = line.split(" ", 1)
        # Files of one object a line need a line; a list needs its text.
        assert float(megabytes) < (100 if name in ("rows", "one line", "pack") else 200), (name, line)
        assert str(tmp_path / name) in said and ("too large" in said or "no " in said), (name, line)


# -- files of publishers -----------------------------------------------------------------------------------


def exported(style: Style, rows: Iterable[dict[str, Any] | bytes], source: str = "8-res-jb", **options: Any) -> bytes:
    """A batch as Neuronpedia exports it."""
    site = LocalNeuronpedia()
    (key,) = site.export("gpt2-small", source, rows, style=style, per_batch=10_000, **options)
    return site.objects[key]


@pytest.mark.parametrize("style", ["database", "autointerp"])
def test_a_batch_of_neuronpedias_is_taken(home: Home, tmp_path: Path, style: Style) -> None:
    rows = [{"index": n, "description": f"concept {n}", "id": f"c{n}"} for n in range(0, 50, 2)]
    batch = exported(style, [*rows, {"index": WIDTH, "description": "beyond"}])
    (found,) = home.take(written(tmp_path / "batch-3.jsonl.gz", batch))
    assert (found.sae, found.labels, found.passed_over) == (SAE, 25, 1)
    expected = [
        (n, f"concept {n}", "neuronpedia", "oai_token-act-pair", "gpt-4o-mini", None, "", f"c{n}")
        for n in range(0, 50, 2)
    ]
    assert home.rows() == expected
    home.take(tmp_path / "batch-3.jsonl.gz", sae=SAE)
    assert home.rows() == expected and not home.store.status(SET).complete
    assert "not of gpt2-small/9-res-jb" in refusal(home, tmp_path / "batch-3.jsonl.gz", sae="gpt2-small/9-res-jb")


def test_an_old_export_is_one_list(home: Home, tmp_path: Path) -> None:
    rows = [
        {"modelId": "gpt2-small", "layer": "8-res-jb", "index": str(n), "description": f"concept {n}"} for n in range(3)
    ]
    for text in (json.dumps(rows), json.dumps(rows, indent=2), "\ufeff" + json.dumps(rows)):
        (found,) = home.take(written(tmp_path / "old.json", text.encode()))
        assert found.labels == 3 and [row[:2] for row in home.rows()] == [(n, f"concept {n}") for n in range(3)]
    mixed = [{**row, "layer": layer} for row in rows for layer in ("9-res-jb", "7-res-jb")]
    (found,) = home.take(written(tmp_path / "mixed.json", json.dumps(mixed).encode()))
    assert (found.sae, found.labels, found.passed_over) == ("gpt2-small/9-res-jb", 3, 3)
    unknown = [row | {"layer": "7-res-jb"} for row in rows]
    refusal(home, written(tmp_path / "unknown.json", json.dumps(unknown).encode()))


@pytest.mark.parametrize("sae", [SAE, "gpt2-small/unread"])
def test_hostile_rows_come_in_clean_or_not_at_all(home: Home, tmp_path: Path, sae: str) -> None:
    source = "8-res-jb" if sae == SAE else "unread"
    huge = {"index": 3, "description": "a huge number", "over": {"index": 10**30}}
    home.take(written(tmp_path / "batch-0.jsonl.gz", exported("database", [*HOSTILE.values(), huge], source)))
    rows = {(feature, text) for feature, text, *_ in home.rows(f"gpt2-small/{source}")}
    assert {(0, "<img src=x onerror=alert(1)>"), (1, "words that turn around"), (2, "beforeafter")} <= rows
    assert {(6, "first line second line"), (4, "references to invented rivers"), (10, "half a character")} <= rows
    assert {feature for feature, _ in rows} <= {*range(16), 1_000_000_000} - {5, 8, 9, 13, 14}
    assert ((1_000_000_000, "beyond every SAE") in rows) == (sae != SAE)  # where the width is not known
    for _, text in rows:
        assert clean(text) == text and len(text) <= 4096
    assert home.store.search("invented rivers")[0].feature == 4
