"""Calibrating: every number again by a loop that looks at one token at a time, planted truth, bounds, going on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import CONTEXT, FEATURES, make_model, seldom_firing

from axon_shell.corpus import Corpus
from axon_shell.engine.calibrate import Speed, count
from axon_shell.engine.cofiring import LEAST_LIFT, MEETINGS, cofiring, in_lists
from axon_shell.engine.findings import HELD_OUT, PLACES, Firings, findings
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.passes import batches_of, in_rows, read_rows
from axon_shell.engine.sae import Sae
from axon_shell.engine.stream import Stream
from axon_shell.engine.tally import AFTER, BEFORE, RANDOM, STRONGEST, Block, Contexts, Tally
from axon_shell.engine.text import Decoder
from axon_shell.errors import CorpusError, EngineError

T = TypeVar("T")
HOOK = "blocks.1.hook_resid_post"
WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "while", "rain", "fell", "the", "cat", "on", "the"]


def texts(number: int, seed: int = 0) -> list[str]:
    """Texts of a few words to many times the context."""
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(WORDS, chance.integers(1, 120))) for _ in range(number)]


def all_of(work: Generator[None, None, T]) -> T:
    """What a piece of work gives when it is done."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Sae]:
    return seldom_firing(tmp_path_factory.mktemp("random"), HOOK)


def one_by_one(model: Model, sae: Sae, documents: list[str]) -> list[list[tuple[int, np.ndarray]]]:
    """The rows of documents, each a list of token ids with the activations of all features there; BOS left out."""
    found = []
    for text in documents:
        ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        for row in in_rows(ids, model.bos, CONTEXT):
            with Stream(model, [HOOK], len(row)) as stream:
                x = stream.feed(row).captured[HOOK]
            activations = sae.sae.encode(sae.prepare(x)).detach().numpy()
            found.append(list(zip(row[1:], activations[1:], strict=True)))
    return found


@pytest.fixture(scope="module")
def both(loaded: tuple[Model, Sae]) -> tuple[Tally, list[list[tuple[int, np.ndarray]]]]:
    """What is counted over some texts, and the same texts one token at a time."""
    documents, tally = texts(60), Tally(FEATURES)
    for _ in count(*loaded, documents, tally, 10**9, Speed()):
        pass
    return tally, one_by_one(*loaded, documents)


# -- the pass -----------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma2", "opt", "falcon", "bloom"])
def test_rows_of_a_batch_give_what_each_gives_alone(tmp_path: Path, family: str) -> None:
    model = load_model(make_model(tmp_path, family=family), torch.device("cpu"), lambda stage: None)
    chance = torch.Generator().manual_seed(0)
    rows = [[model.bos or 0, *torch.randint(1, 250, (n,), generator=chance).tolist()] for n in (3, 9, 20, 1)]
    together = read_rows(model, [HOOK], rows)[HOOK]
    for number, row in enumerate(rows):
        with Stream(model, [HOOK], len(row)) as stream:
            alone = stream.feed(row).captured[HOOK]
        torch.testing.assert_close(together[number, : len(row)], alone, rtol=1e-4, atol=1e-5)


def test_the_pass_ends_where_nothing_more_is_asked_for(loaded: tuple[Model, Sae]) -> None:
    model, _ = loaded
    reached = []
    handles = [point.attach(lambda x: reached.append(1)) for point in model.find(["blocks.2.hook_resid_post"]).points]
    read_rows(model, [HOOK], [[0, 1, 2]])
    for handle in handles:
        handle.remove()
    assert not reached
    assert not any(module._forward_hooks for module in model.network.modules())  # and its taps are gone


def test_what_is_not_a_number_is_told(loaded: tuple[Model, Sae], tmp_path: Path) -> None:
    model = load_model(make_model(tmp_path), torch.device("cpu"), lambda stage: None)
    model.network.transformer.h[0].mlp.c_proj.bias.data[0] = torch.nan
    with pytest.raises(EngineError, match="not finite numbers"):
        read_rows(model, [HOOK], [[0, 1, 2]])


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(40, 200))
def test_batches_hold_every_row_once_and_stay_small(lengths: list[int], most: int) -> None:
    rows = [[0] * length for length in lengths]
    batches = list(batches_of(rows, most))
    assert sorted(number for batch in batches for number in batch) == list(range(len(rows)))
    assert all(len(batch) * max(lengths[number] for number in batch) <= most for batch in batches)


@given(st.lists(st.integers(1, 9), max_size=50), st.sampled_from([None, 0]), st.integers(2, 9))
def test_rows_hold_every_token_once_behind_bos(ids: list[int], bos: int | None, length: int) -> None:
    rows = list(in_rows(ids, bos, length))
    assert [token for row in rows for token in row[bos is not None :]] == ids
    assert all(len(row) <= length and (bos is None or row[0] == bos) for row in rows)


# -- what is counted ----------------------------------------------------------


def test_rates_means_and_maxima_are_those_of_a_loop(both: tuple[Tally, list[list[tuple[int, np.ndarray]]]]) -> None:
    tally, rows = both
    activations = np.array([acts for row in rows for _, acts in row])
    assert tally.tokens == len(activations)
    assert tally.rows == len(rows)
    assert tally.documents == 60
    # Rounding may decide at a threshold.
    assert np.abs(tally.fires - (activations > 0).sum(0)).sum() <= 1e-4 * (activations > 0).sum()
    np.testing.assert_allclose(tally.total, activations.sum(0), rtol=1e-2, atol=2)
    np.testing.assert_allclose(tally.highest, activations.max(0), rtol=1e-3, atol=1e-4)
    assert 5 < (activations > 0).sum(1).mean() < FEATURES / 4


def test_strongest_contexts_are_those_of_a_loop(both: tuple[Tally, list[list[tuple[int, np.ndarray]]]]) -> None:
    tally, rows = both
    checked = 0
    for feature in range(0, FEATURES, 7):
        best: dict[tuple[int, ...], float] = {}
        for row in rows:
            acts = [float(one[feature]) for _, one in row]
            at = int(np.argmax(acts))
            if acts[at] > 0:
                window = tuple(row[i][0] if 0 <= i < len(row) else -1 for i in range(at - BEFORE, at + AFTER + 1))
                best[window] = max(best.get(window, 0), acts[at])
        expected = sorted(best.values(), reverse=True)[:STRONGEST]
        kept = tally.strongest.rank[feature]
        np.testing.assert_allclose(kept[np.isfinite(kept)], expected, rtol=1e-3)
        for ids, strengths, rank in zip(
            tally.strongest.ids[feature], tally.strongest.activations[feature], kept, strict=True
        ):
            if np.isfinite(rank):
                assert tuple(ids) in best
                assert strengths[BEFORE] == pytest.approx(rank, rel=2e-3)
                checked += 1
    assert checked > 100


def test_activations_around_are_those_of_the_same_feature(
    both: tuple[Tally, list[list[tuple[int, np.ndarray]]]],
) -> None:
    tally, rows = both
    whole = {tuple(token for token, _ in row): row for row in rows}
    seen = 0
    for feature in range(0, FEATURES, 11):
        for ids, strengths in zip(tally.random.ids[feature], tally.random.activations[feature], strict=True):
            inside = ids[ids >= 0].tolist()
            for tokens, row in whole.items():
                starts = [
                    i for i in range(len(tokens) - len(inside) + 1) if list(tokens[i : i + len(inside)]) == inside
                ]
                expected = [[float(one[feature]) for _, one in row[i : i + len(inside)]] for i in starts]
                if any(np.allclose(strengths[ids >= 0], one, rtol=3e-3, atol=3e-3) for one in expected):
                    seen += 1
                    break
            else:
                assert not inside
    assert seen > 20


def test_random_contexts_are_any_of_the_firings() -> None:
    """Of 1,000 firings, four are taken: over many features each part of the text is as likely."""
    width, tokens = 400, 1_000
    tally = Tally(width)
    for start in range(0, tokens, 100):  # in blocks
        at = np.repeat(np.arange(100), width).astype(np.int32)
        features = np.tile(np.arange(width), 100).astype(np.int32)
        ids = np.arange(start, start + 100, dtype=np.int32)
        rows = np.full(100, start // 100, np.int32)
        tally.add(Block(ids, rows, rows, at, features, np.ones(len(at), np.float32)))
    taken = tally.random.ids[:, :, BEFORE].ravel()
    assert len(taken) == width * RANDOM
    parts = np.bincount(taken // 100, minlength=10)
    assert parts.min() > 100
    assert parts.max() < 220  # 160 expected, standard deviation 12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_kept_contexts_do_not_depend_on_how_the_text_is_cut(seed: int, parts: int) -> None:
    chance = np.random.default_rng(seed)
    tokens, width = 60, 5
    ids = chance.integers(0, 3, tokens).astype(np.int32)
    rows = np.sort(chance.integers(0, 12, tokens)).astype(np.int32)
    strengths = np.round(chance.random((tokens, width)).astype(np.float32), 2) * (chance.random((tokens, width)) < 0.6)

    def kept(borders: list[int]) -> Contexts:
        tally = Tally(width)
        for start, stop in pairwise(borders):
            at, features = np.nonzero(strengths[start:stop])
            values = strengths[start:stop][at, features].astype(np.float32)
            own = rows[start:stop]
            block = Block(ids[start:stop], own, own, at.astype(np.int32), features.astype(np.int32), values)
            tally.add(block)
        return tally.strongest

    where = [0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), tokens]
    inner = sorted(chance.choice(where[1:-1], min(parts, len(where) - 2), replace=False).tolist())
    whole, cut = kept([0, tokens]), kept([0, *inner, tokens])
    np.testing.assert_array_equal(whole.rank, cut.rank)
    assert [set(map(int, one)) for one in np.sort(whole.words)] == [
        set(map(int, one)) for one in np.sort(cut.words)
    ] or (
        # Equal strengths may stand for each other.
        any(len(set(one[np.isfinite(one)].tolist())) < np.isfinite(one).sum() for one in whole.rank)
    )
    for rank, words in zip(whole.rank, whole.words, strict=True):
        there = np.isfinite(rank)
        assert len(set(words[there].tolist())) == there.sum()  # none twice


def test_a_large_corpus_is_thinned_to_whole_documents_and_memory_stays_bounded() -> None:
    width, most = 64, 20_000
    tally = Tally(width, most)
    chance = np.random.default_rng(0)
    sizes, whole = [], []
    for document in range(2_000):
        length = int(chance.integers(5, 40))
        whole.append(length)
        at, features = np.nonzero(chance.random((length, width)) < 0.1)
        own = np.full(length, document, np.int32)
        block = Block(own, own, own, at.astype(np.int32), features.astype(np.int32), np.ones(len(at), np.float32))
        tally.add(block)
        sizes.append(sum(array.nbytes for array in tally.sample.arrays().values()))
    assert tally.sample.firings <= most
    assert max(sizes) < 4 * most + 3 * 4 * most  # features, and ids, rows, documents and counts of fewer tokens
    kept = np.unique(tally.sample.documents)
    lengths = Counter(tally.sample.documents.tolist())
    assert all(lengths[one] == whole[one] for one in kept.tolist())
    assert tally.sample.share < 0.2
    quarters = np.bincount(kept * 4 // 2_000, minlength=4)
    assert quarters.min() > 0.7 * quarters.max()  # spread over the whole corpus
    assert tally.fires.sum() > 5 * most  # while all is counted
    assert tally.sample.counts.sum() == len(tally.sample.features)


def test_going_on_from_a_file_gives_what_going_through_gives(loaded: tuple[Model, Sae], tmp_path: Path) -> None:
    documents = texts(300, seed=1)
    through = Tally(FEATURES)
    for _ in count(*loaded, documents, through, 10**9, Speed()):
        pass
    assert through.blocks > 2
    first = Tally(FEATURES)
    for whole in count(*loaded, documents, first, 10**9, Speed()):
        if whole:
            break
    first.save(tmp_path / "t.npz", {"name": "x"})
    second, about = Tally.load(tmp_path / "t.npz")
    assert about == {"name": "x"}
    assert 0 < second.documents < len(documents)
    for _ in count(*loaded, documents[second.documents :], second, 10**9, Speed()):
        pass
    through.save(tmp_path / "a.npz", {})
    second.save(tmp_path / "b.npz", {})
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], name)


def test_no_more_tokens_than_asked_for_but_for_the_last_documents(loaded: tuple[Model, Sae]) -> None:
    tally = Tally(FEATURES)
    for _ in count(*loaded, texts(400), tally, 500, Speed()):
        pass
    assert 500 <= tally.tokens < 500 + 16 * 130


# -- what it says -------------------------------------------------------------


def planted(chance: np.random.Generator, trains: np.ndarray, documents: np.ndarray) -> Tally:
    """A tally of given firings, (tokens, features); the token ids are random."""
    tally = Tally(trains.shape[1])
    at, features = np.nonzero(trains)
    ids = chance.integers(0, 50, len(trains)).astype(np.int32)
    numbers = documents.astype(np.int32)
    tally.add(
        Block(ids, numbers, numbers, at.astype(np.int32), features.astype(np.int32), np.ones(len(at), np.float32))
    )
    return tally


def bursty(chance: np.random.Generator, tokens: int, rate: float, length: float) -> np.ndarray:
    """A feature that fires in bursts of so many tokens in the mean."""
    state, train = False, np.zeros(tokens, bool)
    for token in range(tokens):
        state = chance.random() < (1 - 1 / length if state else rate / length / (1 - rate))
        train[token] = state
    return train


def test_pairs_that_fire_together_are_found_and_independent_ones_are_not() -> None:
    chance = np.random.default_rng(3)
    tokens, width = 20_000, 120
    documents = np.arange(tokens) // 50
    rates = 10 ** chance.uniform(-2.7, -0.7, width)
    trains = chance.random((tokens, width)) < rates
    pairs = [(2 * i, 2 * i + 1) for i in range(10)]
    for a, b in pairs:  # half of the time one brings the other along
        trains[:, b] = np.where(trains[:, a] & (chance.random(tokens) < 0.5), True, trains[:, b])
    found = all_of(cofiring(Firings(planted(chance, trains, documents))))
    told = {(min(a, one.feature), max(a, one.feature)) for a, others in found.of.items() for one in others}
    of_interest = {
        (a, b)
        for a, b in pairs
        if (trains[:, a] & trains[:, b]).sum() >= LEAST_LIFT * trains[:, a].sum() * trains[:, b].mean()
        and (trains[:, a] & trains[:, b]).sum() >= MEETINGS
    }
    assert len(of_interest) >= 7
    assert of_interest <= told
    assert len(told - set(pairs)) <= max(0.05 * len(told), 1)
    assert found.by_chance <= 1
    for a, others in found.of.items():
        for one in others:
            together = int((trains[:, a] & trains[:, one.feature]).sum())
            expected = trains[:, a].sum() * trains[:, one.feature].sum() / tokens
            assert one.together == together
            assert one.lift == pytest.approx((together + 1) / (expected + 1), rel=6e-3)
            assert one.q <= 0.05


def test_features_that_fire_in_bursts_and_know_nothing_of_each_other_pass_seldom() -> None:
    """A test that takes tokens for independent calls many of these pairs associated."""
    chance = np.random.default_rng(5)
    tokens, width = 20_000, 60
    documents = np.arange(tokens) // 400
    trains = np.stack([bursty(chance, tokens, 0.02, 12) for _ in range(width)], 1)
    found = all_of(cofiring(Firings(planted(chance, trains, documents))))
    expected = np.outer(trains.sum(0), trains.sum(0)) / tokens
    meetings = trains.T.astype(int) @ trains.astype(int)
    naive = torch.special.gammainc(
        torch.tensor(meetings, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    ).numpy()
    upper = np.triu_indices(width, 1)
    assert (naive[upper] < 1e-4).sum() > 20  # of 1,770 pairs, where 0.2 are due
    assert found.passed <= 2


def test_the_share_of_chance_stays_below_the_bound_over_many_seeds() -> None:
    false = true = 0
    for seed in range(12):
        chance = np.random.default_rng(seed)
        tokens, width = 4_000, 60
        rates = 10 ** chance.uniform(-2, -0.8, width)
        trains = chance.random((tokens, width)) < rates
        for a in range(0, 20, 2):
            trains[:, a + 1] |= trains[:, a] & (chance.random(tokens) < 0.4)
        found = all_of(cofiring(Firings(planted(chance, trains, np.arange(tokens) // 40))))
        told = {(min(a, one.feature), max(a, one.feature)) for a, others in found.of.items() for one in others}
        real = {(a, a + 1) for a in range(0, 20, 2)}
        false, true = false + len(told - real), true + len(told & real)
    assert true > 60
    assert false / (false + true) <= 0.05


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(0, 1_000))
def test_lists_hold_all_firings_of_each_token(counts: list[int], seed: int) -> None:
    chance = np.random.default_rng(seed)
    features = np.concatenate([np.sort(chance.choice(40, count, replace=False)) for count in counts]).astype(np.uint16)
    lists, first = in_lists(features, np.array(counts), 40)
    starts = np.cumsum([0, *counts])
    for token in range(len(counts)):
        here = lists[first[token] : first[token + 1]].ravel()
        assert here[here < 40].tolist() == features[starts[token] : starts[token + 1]].tolist()


def test_rules_and_their_scores_are_those_of_a_loop(both: tuple[Tally, list[list[tuple[int, np.ndarray]]]]) -> None:
    tally, _ = both
    found = all_of(findings(tally, str))  # the text of a token is its id
    sample = tally.sample
    starts = np.cumsum(np.r_[0, sample.counts])
    held_out = sample.documents % HELD_OUT == HELD_OUT - 1
    assert found.held_out == held_out.sum()
    scored = 0
    for one in found.features:
        fires = np.array(
            [one.feature in sample.features[starts[token] : starts[token + 1]] for token in range(len(sample.ids))]
        )
        assert one.fires == fires.sum()  # a small corpus is its own sample
        here = Counter(sample.ids[fires].tolist())
        assert [share for _, share in one.tokens] == pytest.approx(
            [number / fires.sum() for _, number in here.most_common(8)], rel=6e-3
        )
        if one.rule is None or one.rule.score is None:
            continue
        offset = {"on": 0, "after": -1, "before": 1}[one.rule.place]
        wanted = {int(token) for token, _ in one.rule.tokens}

        def says(token: int, offset: int = offset, wanted: set[int] = wanted) -> bool:
            other = token + offset
            inside = 0 <= other < len(sample.ids) and sample.rows[other] == sample.rows[token]
            return inside and int(sample.ids[other]) in wanted

        says_so = np.array([says(token) for token in range(len(sample.ids))])
        hit, miss = says_so[held_out & fires].mean(), says_so[held_out & ~fires].mean()
        assert one.rule.score == pytest.approx((hit + 1 - miss) / 2, rel=1e-3)
        assert one.rule.firings == (held_out & fires).sum()
        better = says_so[~held_out & fires].mean() - says_so[~held_out & ~fires].mean()
        assert one.rule.clear == (better >= 0.6)
        scored += 1
    assert scored > 50
    assert found.chance == pytest.approx(0.5, abs=0.06)


def test_a_planted_rule_is_found_and_another_features_rule_is_chance() -> None:
    chance = np.random.default_rng(0)
    tokens = 6_000
    ids = chance.integers(0, 30, tokens).astype(np.int32)
    documents = (np.arange(tokens) // 20).astype(np.int32)
    same = np.r_[False, np.diff(documents) == 0]
    trains = np.zeros((tokens, 4), bool)
    trains[:, 0] = np.isin(ids, [3, 4])
    trains[:, 1] = np.r_[False, ids[:-1] == 7] & same
    trains[:, 2] = np.r_[ids[1:] == 9, False] & np.r_[same[1:], False]
    trains[:, 3] = chance.random(tokens) < 0.1
    tally = Tally(4)
    at, features = np.nonzero(trains)
    tally.add(Block(ids, documents, documents, at.astype(np.int32), features.astype(np.int32), np.ones(len(at), "f4")))
    rules = [one.rule for one in all_of(findings(tally, str)).features]
    assert [rule.place for rule in rules if rule][:3] == list(PLACES)
    assert [{token for token, _ in rule.tokens} for rule in rules if rule][:3] == [{"3", "4"}, {"7"}, {"9"}]
    assert all(rule and rule.clear and rule.score == 1 for rule in rules[:3])
    nothing = rules[3]
    assert nothing is None or (not nothing.clear and nothing.score == pytest.approx(0.5, abs=0.08))
    assert all(rule.chance == pytest.approx(0.5, abs=0.08) for rule in rules if rule and rule.chance)


def test_a_tally_of_nothing_says_nothing() -> None:
    found = all_of(findings(Tally(8), str))
    assert found.features == []
    assert found.score is None
    assert found.pairs.passed == 0


# -- the corpus ---------------------------------------------------------------


def test_documents_of_a_folder_come_in_order_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two", "utf-8")
    (tmp_path / "a.md").write_text("\ufeffone", "utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.jsonl").write_text(
        '{"text": "three"}\n\n{"no": 1}\nnonsense\n{"text": " "}\n{"text": "four"}\n'
    )
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "binary.txt").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / ".hidden.txt").write_text("no")
    corpus = Corpus(tmp_path)
    for _ in range(2):  # twice gives the same
        assert list(corpus.documents()) == ["one", "two", "three", "four"]
    why = {problem.name: problem.message for problem in corpus.skipped}
    assert why.keys() == {"picture.png", "binary.txt", "latin.txt", "sub/c.jsonl"}
    assert "2 of its lines" in why["sub/c.jsonl"]
    assert "not UTF-8" in why["latin.txt"]


@given(st.lists(st.text("ab \n", max_size=9_000), max_size=3))
@settings(max_examples=25, deadline=None)
def test_long_texts_are_cut_and_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    text = "".join(pieces).replace("\r", "")
    (folder / "a.txt").write_text(text, "utf-8", newline="")
    found = list(Corpus(folder).documents())
    assert all(0 < len(one) <= 4_000 and one.strip() for one in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_where_there_is_no_text_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no file or folder"):
        Corpus(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="holds no texts"):
        Corpus(tmp_path)


def test_texts_of_tokens_are_whole(loaded: tuple[Model, Sae], both: tuple[Tally, Iterator[object]]) -> None:
    model, _ = loaded
    found = all_of(findings(both[0], Decoder(model.tokenizer).piece)).features
    assert all("".join(one.tokens).strip() for feature in found for one in feature.strongest)
    assert any(" cat" in one.tokens for feature in found for one in feature.strongest)
