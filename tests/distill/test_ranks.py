"""Signed ranks, Holm, Friedman and cliques, by hand, by enumeration of all signs and by scipy."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distill.ranks import cliques, friedman, mean_ranks, rank_models
from distill.signed_ranks import MIN_DIFFERENCES, SignedRank, fewest, holm, signed_rank, written_p

COARSE = st.integers(-4, 4).map(float)
"""Differences with many ties and zeros."""


def by_all_signs(differences):
    """Two-sided p: the share of sign patterns of the differences that are not 0 whose rank sum is as far from the middle."""
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    signs = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
    sums, middle = signs @ ranks, ranks.sum() / 2
    seen = ((differences[differences != 0] > 0) * ranks).sum()
    return np.mean(np.abs(sums - middle) >= abs(seen - middle) - 1e-9)


@given(st.lists(COARSE, min_size=MIN_DIFFERENCES, max_size=11))
def test_signed_rank_is_the_count_over_all_signs(differences):
    differences = np.array(differences)
    made = signed_rank(differences, np.zeros(len(differences)))
    counts = (differences > 0).sum(), (differences < 0).sum(), (differences == 0).sum()
    assert (made.higher, made.lower, made.equal) == counts
    if made.higher + made.lower < 6:
        assert math.isnan(made.p)
    else:
        assert made.p == pytest.approx(by_all_signs(differences), rel=1e-12)


@pytest.mark.parametrize("n", [6, 9, 30, 49])
def test_signed_rank_without_ties_is_that_of_scipy(n):
    values, baseline = np.random.default_rng(n).normal(90, 1, (2, n))
    assert signed_rank(values, baseline).p == pytest.approx(stats.wilcoxon(values, baseline, method="exact").pvalue)


def test_many_differences_take_the_normal_approximation():
    rng = np.random.default_rng(0)
    differences = rng.integers(-5, 7, 400).astype(float)  # ties and zeros
    reference = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic", correction=False).pvalue
    assert signed_rank(differences, np.zeros(400)).p == pytest.approx(reference)
    smooth = rng.normal(0.1, 1, (2, 200))  # the last that is counted, beside the approximation
    reference = stats.wilcoxon(*smooth, method="asymptotic").pvalue
    assert signed_rank(*smooth).p == pytest.approx(reference, abs=2e-3)
    assert signed_rank(*smooth).p != reference


def test_five_differences_cannot_tell():
    made = signed_rank([2, 3, 4, 5, 6, 7, 7], [1, 1, 1, 1, 1, 7, 7])
    assert str(made) == (
        "higher for 5, lower for 0, equal for 2: cannot tell, since a Wilcoxon signed-rank test needs 6 differences other than "
        "0 for p < 0.05"
    )
    made = signed_rank([2, 3, 4, 5, 6, 7], [1] * 6)
    assert made == SignedRank(higher=6, lower=0, equal=0, p=2 / 2**6)
    assert str(made) == "higher for 6, lower for 0, equal for 0: Wilcoxon signed-rank p = 0.031"
    assert str(signed_rank([1.0] * 9, [1.0] * 9)).startswith("higher for 0, lower for 0, equal for 9: cannot tell")


def test_rounding_of_the_computer_is_no_difference():
    # 0.3 - 0.2 and 0.2 - 0.1 are one difference, and 0.1 + 0.2 is 0.3
    values = np.array([0.3, 0.2, 0.4, 0.5, 0.6, 0.7, 0.1 + 0.2])
    baseline = np.array([0.2, 0.1, 0.3, 0.4, 0.5, 0.6, 0.3])
    made = signed_rank(values, baseline)
    assert (made.higher, made.equal) == (6, 1)
    assert made.p == 2 / 2**6
    assert mean_ranks(np.array([[0.1 + 0.2, 0.3]])).tolist() == [1.5, 1.5]


@given(st.lists(st.tuples(COARSE, COARSE), min_size=6, max_size=12))
def test_signed_rank_does_not_care_which_is_first(pairs):
    values, baseline = np.array(pairs).T
    there, back = signed_rank(values, baseline), signed_rank(1000 * baseline, 1000 * values)
    assert (there.higher, there.lower, there.equal) == (back.lower, back.higher, back.equal)
    assert back.p == pytest.approx(there.p, nan_ok=True)


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04, of which the last must not fall
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=12))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values):
    raw, made = np.array(p_values), holm(p_values)
    valid = ~np.isnan(raw)
    np.testing.assert_array_equal(np.isnan(made), ~valid)
    raw, made = raw[valid], made[valid]
    assert (made >= raw).all()
    assert (made <= np.minimum(1, len(raw) * raw)).all()
    assert (np.diff(made[np.argsort(raw)]) >= 0).all()
    for i, p in enumerate(raw):  # by the definition, in another order of work
        smaller = [(len(raw) - rank) * q for rank, q in enumerate(np.sort(raw)) if q <= p]
        assert made[i] == min(1.0, max(smaller))


def test_p_values_that_are_none(says):
    with says("p value 1.5 is not allowed: it is a chance, from 0 to 1"):
        holm([0.1, 1.5])


MATRICES = st.integers(2, 6).flatmap(
    lambda models: st.lists(st.lists(COARSE, min_size=models, max_size=models), min_size=1, max_size=8).map(np.array)
)


@given(MATRICES)
def test_mean_ranks_sum_to_that_of_one_to_k(values):
    models = values.shape[1]
    ranks = mean_ranks(values)
    assert ranks.sum() == pytest.approx(models * (models + 1) / 2)
    # the rank of a value by its meaning: how many are above it, and half of those level with it
    above = (values[:, :, None] < values[:, None, :]).sum(axis=2)
    level = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    np.testing.assert_allclose(ranks, (above + (level + 1) / 2).mean(axis=0))


def test_friedman_is_that_of_scipy():
    rng = np.random.default_rng(3)
    for values in (rng.normal(size=(12, 5)), rng.integers(0, 4, (12, 5)).astype(float)):
        assert friedman(values) == pytest.approx(tuple(stats.friedmanchisquare(*values.T)))


def test_friedman_of_two_models_and_of_none_that_differ():
    # 5 of 6 for the first: (5 - 1)^2 / 6, as a sign test without continuity correction
    values = np.array([[2, 1]] * 5 + [[1, 2]])
    assert friedman(values) == pytest.approx((16 / 6, stats.chi2.sf(16 / 6, 1)))
    assert friedman(np.ones((6, 3))) == (0.0, 1.0)


def test_fewest_is_where_holm_can_first_be_significant():
    for tests in (1, 3, 10, 45, 190):
        n = fewest(tests)
        assert tests * 2 / 2**n < 0.05 <= tests * 2 / 2 ** (n - 1)
    assert fewest(1) == MIN_DIFFERENCES


def brute_cliques(p_values):
    count = len(p_values)
    runs = [
        (i, j)
        for i, j in itertools.combinations(range(count), 2)
        if not any(p_values[a, b] < 0.05 for a, b in itertools.combinations(range(i, j + 1), 2))
    ]
    return [r for r in runs if not any(o != r and o[0] <= r[0] and r[1] <= o[1] for o in runs)]


@given(st.integers(2, 8), st.integers(0, 2**28 - 1))
def test_cliques_are_the_maximal_runs(count, bits):
    p_values = np.full((count, count), np.nan)
    for place, (i, j) in enumerate(itertools.combinations(range(count), 2)):
        p_values[i, j] = p_values[j, i] = 0.01 if bits >> place & 1 else (0.5 if place % 2 else np.nan)
    assert list(cliques(p_values)) == brute_cliques(p_values)


def people(n=12, seed=0):
    """Scores of four models: the first two far above the last two, which differ little."""
    rng = np.random.default_rng(seed)
    level = rng.normal(80, 5, (n, 1))
    scores = level + np.array([0.0, 6.0, 0.2, 6.3]) + rng.normal(0, 1, (n, 4))
    return pd.DataFrame(scores, columns=["scratch", "ca-mkd", "dist", "kd"], index=[f"s{i}" for i in range(n)])


def test_a_ranking_of_two_groups():
    scores = people()
    made = rank_models(scores)
    assert set(made.models[:2]) == {"kd", "ca-mkd"}
    assert made.cliques == ((0, 1), (2, 3))
    assert made.ranks.sum() == pytest.approx(10)
    assert (np.diff(made.ranks) >= 0).all()
    # every p by scipy, and Holm's steps as Holm writes them: stop at the first that is not below 5 % / (tests left)
    raw = {
        pair: stats.wilcoxon(scores[made.models[pair[0]]], scores[made.models[pair[1]]], method="exact").pvalue
        for pair in itertools.combinations(range(4), 2)
    }
    rejected = list(
        itertools.takewhile(lambda t: t[1][1] < 0.05 / (6 - t[0]), enumerate(sorted(raw.items(), key=lambda r: r[1])))
    )
    assert {pair for _, (pair, _) in rejected} == {(i, j) for i, j in raw if made.p_values[i, j] < 0.05}
    assert made.friedman_p == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    assert made.caption() == (
        f"Mean ranks over 12 subjects, 1 is best, Friedman {written_p(made.friedman_p)}. A bar joins models of which no two "
        "are told apart: pairwise Wilcoxon signed-rank tests, Holm's correction, p >= 0.05."
    )


def test_errors_are_ranked_from_below():
    up, down = rank_models(people()), rank_models(100 - people(), lower_is_better=True)
    assert up.models == down.models
    np.testing.assert_array_equal(up.p_values, down.p_values)


def test_too_few_people_for_so_many_models():
    made = rank_models(people(8))  # one pair takes 6, the six pairs of four models take 8
    assert made.needed == 8
    assert "A bar joins" in made.caption()
    made = rank_models(people(7))
    assert made.cliques == ((0, 3),)
    assert made.caption().endswith(
        "No two of 4 models can be told apart with so few: pairwise Wilcoxon signed-rank tests with Holm's correction need 8 "
        "subjects for p < 0.05."
    )
    made = rank_models(people(5), unit="data sets")
    assert math.isnan(made.friedman_p)
    assert np.isnan(made.p_values).all()
    assert made.caption().startswith("Mean ranks over 5 data sets, 1 is best. No two of")


def test_pairs_without_differences_do_not_count():
    """Of four models three are one and the same: three tests are left, for which 7 people are enough where six take 8."""
    scores = pd.DataFrame({"kd": np.arange(7) + np.arange(1, 8), "a": np.arange(7)}).assign(
        b=np.arange(7), c=np.arange(7)
    )
    made = rank_models(scores)
    assert made.needed == 7
    assert made.models[0] == "kd"
    np.testing.assert_allclose(made.p_values[0, 1:], 3 * 2 / 2**7)
    assert np.isnan(made.p_values[1:, 1:]).all()
    assert made.cliques == ((1, 3),)
    assert "A bar joins" in made.caption()


def test_models_that_are_all_told_apart():
    made = rank_models(people()[["scratch", "kd"]])
    assert made.cliques == ()
    assert made.caption() == (
        f"Mean ranks over 12 subjects, 1 is best, Friedman {written_p(made.friedman_p)}. Every model is told apart from its "
        "neighbours: pairwise Wilcoxon signed-rank tests, Holm's correction, p < 0.05."
    )


def test_equal_models_are_one_clique():
    made = rank_models(pd.DataFrame({"a": [1.0] * 8, "b": [1.0] * 8}))
    assert made.ranks.tolist() == [1.5, 1.5]
    assert made.cliques == ((0, 1),)
    assert made.friedman_p == 1.0


def test_scores_that_cannot_be_ranked(says):
    gap = people(6)
    gap.iloc[2, 1] = np.nan
    with says(
        "model 'ca-mkd' has no finite value for 's2': models are ranked on the same subjects, so leave one of the two out"
    ):
        rank_models(gap)
    with says("1 model to rank: a ranking takes two at least"):
        rank_models(people()[["kd"]])
    with says("two models are named 'kd': give each a name of its own"):
        rank_models(people()[["kd", "dist", "kd"]])
    with says("no data sets to rank the models on: give at least one that all models have"):
        rank_models(people().iloc[:0], unit="data sets")
    with says("7 values against 6 of the baseline: give one value of both models for each subject or data set"):
        signed_rank(np.ones(7), np.ones(6))
    with says("a value is missing or not finite: leave its subject or data set out for both models"):
        signed_rank([1.0, np.nan], [1.0, 2.0])
