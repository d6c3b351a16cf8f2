"""What is drawn as an association is one: on firing whose truth is known, in bursts too, over many seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from axon_shell.graph import LEVEL, BaseRates, Graph, Known, graph
from axon_shell.graph.association import Measure, evidence, same_token
from axon_shell.graph.chance import (
    best_p,
    burst_factors,
    hypergeometric_tail,
    log_factorial,
    q_values,
    resolvable,
    shifted,
)
from benchmarks.planted import BURSTS, fired_from, independent, planted

ALL = 10_000  # edges of a node


def pairs_of(drawn: Graph) -> set[tuple[int, int]]:
    return {(edge.a, edge.b) for edge in drawn.edges}


def false_share(drawn: Graph, true: frozenset[tuple[int, int]]) -> float:
    found = pairs_of(drawn)
    return len(found - true) / max(1, len(found))


# -- the arithmetic equals SciPy's ------------------------------------------------------------------------------------


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))), st.data())
def test_tails_equal_fishers_exact_test(margins, data):
    n, a, b = margins
    least, most = max(0, a + b - n), min(a, b)
    count = data.draw(st.integers(least, most))
    p = hypergeometric_tail(count, a, b, n)
    table = np.array([[count, a - count], [b - count, n - a - b + count]], float)
    assert p == pytest.approx(stats.fisher_exact(table, "greater").pvalue, rel=1e-5, abs=1e-100)
    assert best_p(np.array([a]), np.array([b]), n)[0] == pytest.approx(
        stats.hypergeom.pmf(most, n, a, b), rel=1e-6, abs=1e-100
    )


def test_a_count_far_below_what_chance_gives_has_p_1():
    assert hypergeometric_tail([8, 0, 100], [555, 1500, 1500], [579, 1500, 1500], [1126, 3000, 3000]).tolist() == [
        1,
        1,
        1,
    ]


def test_factorials_of_real_numbers_equal_the_gamma_function():
    from scipy.special import gammaln

    x = np.concatenate([np.linspace(0, 30, 301), np.geomspace(30, 1e6, 50)])
    assert np.allclose(log_factorial(x), gammaln(x + 1), rtol=1e-9, atol=1e-9)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=40), st.integers(0, 100))
def test_q_values_are_benjamini_and_hochbergs(p, more):
    values = np.array(p)
    wanted = stats.false_discovery_control(np.concatenate([values, np.ones(more)]))[: len(p)]
    assert np.allclose(q_values(values, len(p) + more), wanted)


def test_pairs_that_cannot_pass_are_not_counted_as_tested():
    tests, reachable = resolvable(np.array([1.0] * 50 + [8.0] * 5), 100, LEVEL)
    assert tests == 10  # the pairs of those that fired eight times
    assert best_p(np.array([8]), np.array([8]), 100)[0] <= reachable < best_p(np.array([1]), np.array([8]), 100)[0]
    assert resolvable(np.zeros(0), 0, LEVEL)[0] == 0


# -- the null is that of real shifts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bursts", BURSTS)
def test_the_variance_of_counts_is_that_over_all_shifts(bursts):
    present = independent(3, 40, 1000, bursts)
    factors = burst_factors(present.astype(np.float32))
    measured, predicted = [], []
    for a in range(0, 40, 2):
        times = present[a].sum(), present[a + 1].sum()
        if min(times) < 20:
            continue
        counts = [present[a] @ np.roll(present[a + 1], shift) for shift in range(1, 1000)]
        alone = times[0] * times[1] * (1000 - times[0]) * (1000 - times[1]) / (1000**2 * 999)
        measured.append(np.var(counts) / alone)
        predicted.append(factors[a, a + 1])
    # On the safe side, and not by much.
    assert np.mean(measured) * 0.95 < np.mean(predicted) < np.mean(measured) * 1.45


@pytest.mark.parametrize("bursts", BURSTS)
@pytest.mark.parametrize("positions", [60, 1000])
def test_small_p_values_are_as_rare_among_shifted_features_as_they_say(bursts, positions):
    below, pairs = np.zeros(3), 0
    limits = np.array([0.01, 0.001, 0.0001])
    for seed in range(8):
        present = independent(seed, 200, positions, bursts).astype(np.float32)
        present = present[(present.sum(1) > 0) & (present.mean(1) < 0.5)]
        moved = shifted(present, np.arange(len(present)), seed)
        counts = moved.sum(1).astype(float)
        assert (counts == present.sum(1)).all()
        p = evidence(moved, Measure(counts, burst_factors(moved), 1, 1.0)).p
        below += (p[:, None] <= limits).sum(0)
        pairs += len(present) * (len(present) - 1) // 2
    assert (below / pairs <= 1.5 * limits + 3 * np.sqrt(limits / pairs)).all()


# -- false discoveries and power --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bursts", BURSTS)
@pytest.mark.parametrize("positions", [40, 200, 1000])
def test_of_the_associations_drawn_few_are_false(bursts, positions):
    seeds = 12 if positions < 1000 else 6
    runs = [planted(seed, positions, bursts) for seed in range(seeds)]
    drawn = [graph(run.fired(), edges_per_node=ALL) for run in runs]
    shares = [false_share(one, run.true) for one, run in zip(drawn, runs, strict=True)]
    assert np.mean(shares) <= LEVEL + 2 * np.std(shares) / np.sqrt(seeds)
    assert sum(len(pairs_of(one) - run.true) for one, run in zip(drawn, runs, strict=True)) <= max(
        2, 1.5 * LEVEL * sum(len(one.edges) for one in drawn)
    )
    for one, run in zip(drawn, runs, strict=True):
        assert {node.feature for node in one.nodes if node.always} >= run.always
        assert not run.always & {feature for pair in pairs_of(one) for feature in pair}


@pytest.mark.parametrize("bursts", BURSTS)
def test_features_that_go_together_are_found(bursts):
    found = [planted(seed, 1000, bursts) for seed in range(4)]
    power = [
        len(pairs_of(graph(run.fired(), edges_per_node=ALL)) & run.associated) / len(run.associated) for run in found
    ]
    assert np.mean(power) > 0.6


@pytest.mark.parametrize("positions", [40, 200, 1000])
def test_sentences_of_the_same_length_draw_few_associations(positions):
    """Features that fire once a sentence meet in all sentences or in none: one coincidence, however many sentences."""
    drawn = [graph(fired_from(independent(s, 150, positions, "periodic")), edges_per_node=ALL) for s in range(8)]
    alike = sum(
        int((present @ present.T > 0).sum()) // 2
        for present in (independent(s, 150, positions, "periodic") for s in range(8))
    )
    assert sum(one.edges_total for one in drawn) < 0.02 * alike


@pytest.mark.parametrize("positions", [3, 5, 8, 12, 20])
def test_a_few_words_draw_no_association(positions):
    """Where no pair can be told from chance, or hardly any, the others do not slip through."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        present = (random.random((120, positions)) < 0.2).astype(np.float32)
        assert graph(fired_from(present), edges_per_node=ALL).edges_total == 0


def test_independent_features_in_bursts_would_fool_a_plain_test():
    """The reason for the burst factor: Fisher's exact test alone draws hundreds of edges between such features."""
    present = independent(0, 200, 400, "long bursts").astype(np.float32)
    counts = present.sum(1).astype(float)
    tests, reachable = resolvable(counts, 400, LEVEL)
    plain = evidence(present, Measure(counts, np.ones((200, 200)), tests, reachable))
    assert (q_values(plain.p, tests) <= LEVEL).sum() > 200
    assert graph(fired_from(present), always=True).edges_total <= 2


def test_forty_tokens_of_independent_features_draw_no_association_and_thousands_of_co_activations():
    """What AXON drew on such a session: all of it chance."""
    associations, meetings, expected = [], [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        rates = random.lognormal(-7.5, 1.7, 24_576).clip(0, 0.5)  # about 60 of 24,576 features at a token
        fired = random.random((24_576, 40)) < rates[:, None]
        strength = fired * random.random(fired.shape)
        session = fired_from(strength * (strength >= -np.sort(-strength, 0)[14]))
        associations.append(graph(session, max_nodes=100_000).edges_total)
        drawn = graph(session, "co-activation", max_nodes=100_000)
        meetings.append(drawn.edges_total)
        expected.append(drawn.expected)
    assert sum(associations) <= 1 and min(meetings) > 2000
    assert np.mean(meetings) == pytest.approx(np.mean(expected), rel=0.1)


@pytest.mark.parametrize("bursts", ["scattered", "long bursts"])
def test_what_chance_would_draw_is_as_much_as_is_said(bursts):
    run = planted(1, 400, bursts)
    session = run.fired()
    for kind, low in (("association", 0.0), ("co-activation", 0.9)):
        real = graph(session, kind, ALL)
        chance = [graph(session, kind, ALL, chance=seed) for seed in range(12)]
        assert {one.expected for one in chance} == {real.expected}
        mean = np.mean([one.edges_total for one in chance])
        assert low * real.expected <= mean <= 1.1 * real.expected
        assert [node.feature for node in chance[0].nodes] == [node.feature for node in real.nodes]
        assert chance[0] == graph(session, kind, ALL, chance=0)
        if kind == "association":
            assert real.edges_total > 5 * mean
        else:
            assert chance[0] != chance[1]


# -- against base rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bursts", BURSTS)
def test_base_rates_keep_the_bound_and_cost_little(bursts):
    false, drawn, found, without = 0, 0, 0, 0
    for seed in range(6):
        text = planted(seed, 4400, bursts)  # the first 4,000 positions are the text that was calibrated on
        rates = BaseRates(4000, dict(enumerate(text.present[:, :4000].mean(1).tolist())))
        session = fired_from(text.present[:, 4000:])
        edges = pairs_of(graph(session, edges_per_node=ALL, rates=rates))
        false, drawn = false + len(edges - text.true), drawn + len(edges)
        found += len(edges & text.true)
        without += len(pairs_of(graph(session, edges_per_node=ALL)) & text.true)
    assert false <= max(2, 1.5 * LEVEL * drawn)
    assert 0.3 * without < found <= without


def test_a_feature_that_is_seldom_here_and_frequent_elsewhere_needs_more_evidence():
    present = np.zeros((12, 60), np.float32)
    present[0:2, [5, 17, 30, 44]] = 1
    present[np.arange(2, 12), np.arange(2, 12)] = 1
    fired = fired_from(present)
    assert pairs_of(graph(fired)) == {(0, 1)}
    seldom = BaseRates(10_000, dict.fromkeys(range(12), 0.002))
    often = BaseRates(10_000, dict.fromkeys(range(12), 0.19))
    assert pairs_of(graph(fired, rates=seldom)) == {(0, 1)} and pairs_of(graph(fired, rates=often)) == set()


def test_features_of_a_topic_are_not_joined_for_being_there():
    """They fire far above their base rates, and independently: against those alone, all of them would be joined."""
    false = 0
    for seed in range(10):
        session = (np.random.default_rng(seed).random((60, 60)) < 0.15).astype(np.float32)
        rates = BaseRates(100_000, dict.fromkeys(range(60), 0.0005))
        false += graph(fired_from(session), edges_per_node=ALL, rates=rates).edges_total
    assert false <= 2


def test_pairs_that_a_calibration_found_are_edges_where_they_meet():
    present = np.zeros((8, 50), np.float32)
    present[0, [3, 20]] = present[1, [3, 40]] = 1  # met once: nothing, by this session alone
    present[2, 7] = present[3, 9] = 1  # did not meet
    present[4:6, [1, 12, 26, 33, 47]] = 1  # an association by this session
    corpus = {(0, 1): Known(6.0, 0.001), (2, 3): Known(9.0, 0.001), (4, 5): Known(7.0, 0.001), (6, 7): Known(5.0, 0.01)}
    drawn = graph(fired_from(present), corpus=corpus)
    edges = {(edge.a, edge.b): edge for edge in drawn.edges}
    assert edges.keys() == {(0, 1), (4, 5)}
    assert (edges[0, 1].elsewhere, edges[0, 1].lift, edges[0, 1].q, edges[0, 1].p) == (True, 6.0, 0.001, None)
    assert edges[0, 1].count == 1 and edges[4, 5].count == 5 and edges[4, 5].elsewhere is False
    assert drawn.expected <= 2 * LEVEL * 1.01 and drawn.against == "session and calibration"
    assert pairs_of(graph(fired_from(present), corpus=corpus, chance=0)) <= {(4, 5)}


def test_features_that_are_frequent_in_text_at_large_are_marked_as_always_on():
    session = planted(0, 40).fired()
    rates = BaseRates(1000, dict.fromkeys(range(200), 0.001) | {3: 0.4})
    drawn = graph(session, rates=rates)
    assert 3 in {node.feature for node in drawn.nodes if node.always} and drawn.against == "session and calibration"
    assert not any(3 in (edge.a, edge.b) for edge in drawn.edges)


# -- the same words ---------------------------------------------------------------------------------------------------


def test_two_features_that_only_respond_to_one_word_are_told():
    """Both fire at " the", whatever it stands for; two others fire together at many different words."""
    random = np.random.default_rng(0)
    tokens = np.where(random.random(280) < 0.15, 0, np.arange(280) + 1)
    present = np.zeros((6, 280), np.float32)
    present[0] = present[1] = tokens == 0  # the same word, always
    present[2:4, random.choice(280, 20, replace=False)] = 1  # many different words
    present[4] = (tokens == 0) & (random.random(280) < 0.4)  # the same word, but only sometimes
    present[5] = present[4] * (random.random(280) < 0.9)
    fired = fired_from(present, tokens)
    edges = {(edge.a, edge.b): edge for edge in graph(fired, edges_per_node=ALL).edges}
    assert [edges[pair].same_token for pair in ((0, 1), (2, 3), (4, 5))] == [True, False, False]
    assert same_token(present, np.zeros(0, int), np.zeros(0, int), tokens).shape == (0,)


def test_the_control_for_words_lets_few_pairs_through_that_only_share_words():
    """Features that fire at a few words each, regardless of one another: what they share are words."""
    marked, edges = 0, 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        tokens = random.zipf(1.3, 600) % 300
        rates = random.random((40, 300)) < 0.02
        rates[:, 1:4] |= random.random((40, 3)) < 0.25  # frequent words have many features
        drawn = graph(fired_from(rates[:, tokens].astype(np.float32), tokens), edges_per_node=ALL, always=True)
        marked, edges = marked + sum(edge.same_token is True for edge in drawn.edges), edges + len(drawn.edges)
    assert edges > 100 and marked > 0.85 * edges
