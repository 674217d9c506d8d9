"""Spread, paired differences and power, by hand, by other formulas and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from distill.statistics import detectable, needed, paired, spread

PERCENT = st.floats(0, 100).map(lambda value: round(value, 4))
PAIRS = st.lists(st.tuples(PERCENT, PERCENT), min_size=3, max_size=12)


@pytest.mark.parametrize(
    ("values", "sd"),
    [
        ((63.0491, 63.3270, 62.9797), 0.1838),
        ((64.0389, 63.9521, 63.9173), 0.0626),
        ((63.2922, 64.0042, 63.3096), 0.4061),
    ],
)
def test_published_triples_give_the_sample_deviation(values, sd):
    assert round(spread(values)["sd"], 4) == sd


def test_interval_is_students_t():
    made = spread([1.0, 2.0, 3.0])
    assert made["mean"] == 2.0
    assert made["ci95"] == pytest.approx(4.302652729749 / math.sqrt(3))


def test_no_deviation_below_three():
    for made in (spread([1.0, 2.0]), paired([2.0, 4.0], [1.0, 2.0])):
        assert math.isnan(made["sd"])
        assert math.isnan(made["ci95"])
        assert made["mean"] == 1.5
        assert made["n"] == 2
    nothing = paired([], [])
    assert math.isnan(nothing["mean"])
    assert nothing["n"] == 0


def test_paired_differences_by_hand():
    made = paired([91.0, 93.0, 92.0, 90.0], [90.0, 91.0, 89.0, 90.0])  # +1, +2, +3, 0
    assert made == {
        "mean": 1.5,
        "sd": pytest.approx(math.sqrt(5 / 3)),
        "ci95": pytest.approx(3.182446305284 * math.sqrt(5 / 3) / 2),
        "n": 4,
    }


def test_folds_are_corrected_by_hand():
    # +1, +2, +3 over three folds of which each is half as large as what it was trained on: variance 1 (1/3 + 1/2) = 5/6
    made = paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], test_to_train=0.5)
    assert made["sd"] == 1.0
    assert made["ci95"] == pytest.approx(4.302652729749 * math.sqrt(5 / 6))


@given(PAIRS, st.floats(0, 1))
def test_interval_is_where_the_corrected_t_test_gives_five_percent(pairs, ratio):
    """The test as Nadeau and Bengio write it, of the hypothesis that the true difference is an end of the interval."""
    values, baseline = np.array(pairs).T
    differences = values - baseline
    variance = sum((differences - differences.mean()) ** 2) / (len(pairs) - 1)
    assume(variance > 1e-6)
    made = paired(values, baseline, ratio)
    for end in (made["mean"] - made["ci95"], made["mean"] + made["ci95"]):
        t = (differences.mean() - end) / math.sqrt((1 / len(pairs) + ratio) * variance)
        assert 2 * stats.t.sf(abs(t), len(pairs) - 1) == pytest.approx(0.05)


def test_the_usual_interval_of_pairs_is_that_of_scipy():
    values, baseline = np.random.default_rng(0).normal(90, 1, (2, 7))
    made = paired(values, baseline)
    low, high = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    assert (made["mean"] - made["ci95"], made["mean"] + made["ci95"]) == pytest.approx((low, high))


@given(PAIRS, st.floats(0, 1))
def test_paired_is_antisymmetric(pairs, ratio):
    values, baseline = zip(*pairs, strict=True)
    there, back = paired(values, baseline, ratio), paired(baseline, values, ratio)
    assert back["mean"] == -there["mean"]
    assert (back["sd"], back["ci95"]) == (there["sd"], there["ci95"])


def test_seeds_and_folds_that_share_windows_need_the_wider_interval():
    """Five times five folds of two useless models: 95 % of intervals should hold 0, and far fewer of the usual ones do."""
    rng = np.random.default_rng(7)
    tries, folds, n = 200, 5, 40
    holds = {0.0: 0, 1 / (folds - 1): 0}
    for _ in range(tries):
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
        errors = []
        for _ in range(5):
            fold = rng.permutation(np.arange(n) % folds)
            for k in range(folds):
                learnt, tested = fold != k, fold == k  # each model fits one column of noise to noise
                slope = (x[learnt] * y[learnt]).sum(axis=0) / (x[learnt] ** 2).sum(axis=0)
                errors.append(((y[tested] - slope * x[tested]) ** 2).mean(axis=0))
        for ratio in holds:
            made = paired(*np.array(errors).T, test_to_train=ratio)
            holds[ratio] += abs(made["mean"]) <= made["ci95"]
    assert holds[0.0] / tries < 0.85
    assert holds[1 / (folds - 1)] / tries >= 0.95


def test_values_that_are_not_paired(says):
    with says(
        "3 values against 2 of the baseline: differences are paired by seed and fold, so give only those that both models have"
    ):
        paired([1, 2, 3], [1, 2])
    with says("test_to_train=-1 is not allowed: it is the number of windows tested for each trained on, 0 or more"):
        paired([1, 2, 3], [1, 2, 3], test_to_train=-1)


def power(difference, sd, n, is_paired):
    """Chance of a significant result of the right sign: a normal mean beyond the critical value times an estimated s.d."""
    df = n - 1 if is_paired else 2 * (n - 1)
    shift = difference / (sd * math.sqrt((1 if is_paired else 2) / n))
    critical = stats.t.ppf(0.975, df)

    def integrand(scale):
        return stats.norm.cdf(shift - critical * scale) * stats.chi.pdf(scale * math.sqrt(df), df) * math.sqrt(df)

    return quad(integrand, 0, 1 + 12 / math.sqrt(df), limit=200)[0]


@pytest.mark.parametrize("n", [3, 4, 5, 10, 17, 60])
@pytest.mark.parametrize("is_paired", [False, True])
def test_power_at_the_detectable_difference_is_eighty_percent(n, is_paired):
    assert power(detectable(0.5, n, is_paired), 0.5, n, is_paired) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("n", "is_paired"), [(3, False), (17, False), (3, True)])
def test_power_in_a_simulation(n, is_paired):
    """20,000 experiments: the standard error of the power found is 0.0028, and 0.012 is allowed."""
    rng = np.random.default_rng(2)
    difference = detectable(0.5, n, is_paired)
    values = rng.normal(difference, 0.5, (20_000, n))
    test = (
        stats.ttest_1samp(values, 0, axis=1)
        if is_paired
        else stats.ttest_ind(values, rng.normal(0, 0.5, values.shape), axis=1)
    )
    assert np.mean((test.pvalue < 0.05) & (test.statistic > 0)) == pytest.approx(0.8, abs=0.012)


def test_published_sizes():
    """Cohen (1988), table 2.4.1: 64 per arm see half a standard deviation, 26 see 0.8, 394 see 0.2 (there 393)."""
    assert [needed(1.0, d) for d in (0.2, 0.5, 0.8)] == [394, 64, 26]
    assert round(detectable(0.5, 3), 3) == 1.535
    assert needed(0.5, 0.5) == 17


@given(st.integers(3, 400), st.booleans(), st.floats(0.01, 10))
def test_needed_inverts_detectable(n, is_paired, sd):
    difference = detectable(sd, n, is_paired)
    assert needed(sd, difference * (1 + 1e-9), is_paired) == n
    assert needed(sd, difference * (1 - 1e-9), is_paired) == n + 1


def test_power_at_the_ends():
    assert detectable(0.0, 3) == 0.0
    assert needed(0.0, 1.0) == needed(0.5, 100.0) == 3
    assert math.isnan(detectable(0.5, 2))
    assert math.isnan(detectable(float("nan"), 5))
    assert needed(0.5, 1e-4) == pytest.approx(2 * ((1.959964 + 0.841621) * 0.5 / 1e-4) ** 2, rel=1e-6)
    # where the variance of the mean of folds is 1/n + 1/(k - 1), more is needed by its root
    assert detectable(1.0, 10, paired=True, test_to_train=1 / 9) == pytest.approx(
        detectable(1.0, 10, paired=True) * math.sqrt((1 / 10 + 1 / 9) * 10)
    )


def test_power_of_what_cannot_be(says):
    with says("difference 0 is not allowed: give the size of the difference, which is above 0"):
        needed(0.5, 0.0)
    with says("sd nan is not allowed: a standard deviation is 0 or more, and it takes three values to know one"):
        needed(float("nan"), 1.0)
    with says("sd -1 is not allowed: a standard deviation is 0 or more"):
        detectable(-1.0, 3)
    with says("test_to_train=0.5 is for paired folds, not for independent arms: leave it out"):
        detectable(1.0, 3, test_to_train=0.5)
