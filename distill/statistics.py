"""What a few values over seeds and folds can say: spread, paired difference, and the difference they can see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from tsimage.errors import UserError

MIN_N = 3
"""Below this many values no deviation and no interval is given."""
LEVEL = 0.05
"""Of every test, two-sided; intervals are of 1 - LEVEL."""
POWER = 0.8
"""Chance of a significant result that the smallest difference that can be seen is given for."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, sample standard deviation (ddof 1), half-width of the 95 % t interval, and n.

    Deviation and interval are NaN below three values, and the mean is NaN without any.

    Examples
    --------
    >>> round(spread([63.0491, 63.3270, 62.9797])["sd"], 4)
    0.1838
    """
    return _spread(values, 0.0)


def paired(values: Sequence[float], baseline: Sequence[float], test_to_train: float = 0.0) -> dict[str, float]:
    """Return the mean difference of values paired by seed, or by seed and fold, with its spread.

    Folds of one cross-validation are trained on windows that they share, so that their differences are correlated and
    the usual t interval is too narrow: give `test_to_train` for them, and the variance of the mean is
    sd^2 (1/n + n_test/n_train) in place of sd^2 / n.

    Parameters
    ----------
    values, baseline : sequence of float
        Of the two models, in the same order of seeds and folds.
    test_to_train : float
        Windows tested for each window trained on, of one fold: 1 / (k - 1) for k equal folds. 0 where the pairs differ
        by seed alone.

    Returns
    -------
    dict
        `mean` (values minus baseline), `sd` (ddof 1, of the differences as they are), `ci95` (half-width of the 95 % t
        interval with n - 1 degrees of freedom) and `n`. As in `spread`, `sd` and `ci95` are NaN below three pairs.

    Raises
    ------
    UserError
        If the values are not paired, or the ratio is negative or not finite.

    References
    ----------
    C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003; for repeated
    cross-validation R. R. Bouckaert, E. Frank, PAKDD 2004.

    Examples
    --------
    >>> made = paired([91.0, 93.0, 92.0], [90.0, 91.0, 89.0])
    >>> made["mean"], made["sd"], round(made["ci95"], 2)
    (2.0, 1.0, 2.48)
    >>> folds = paired([91.0, 93.0, 92.0], [90.0, 91.0, 89.0], test_to_train=1 / 2)
    >>> folds["sd"], round(folds["ci95"], 2)
    (1.0, 3.93)
    """
    _check_ratio(test_to_train)
    if len(values) != len(baseline):
        raise UserError(
            f"{len(values)} values against {len(baseline)} of the baseline: differences are paired by seed and fold, so give "
            "only those that both models have"
        )
    return _spread([float(a) - float(b) for a, b in zip(values, baseline, strict=True)], test_to_train)


def paired_by_fold(
    values: Mapping[int, Mapping[str, float]], baseline: Mapping[int, Mapping[str, float]], test_to_train: float
) -> dict[str, float]:
    """Return the mean difference of values paired by seed and fold, each fold alike and once.

    What several seeds differ by in one fold is about the same windows: their mean counts as one pair, since otherwise
    seeds that agree would make the interval as narrow as one likes, without another person having been seen.

    Parameters
    ----------
    values, baseline : mapping of int to mapping of str to float
        Of the two models, by seed and fold; of the seeds those count that both have.
    test_to_train : float
        As for `paired`.

    Returns
    -------
    dict
        As of `paired`; `n` are the folds.

    Examples
    --------
    >>> ours = {0: {"ann": 91.0, "bob": 93.0, "eve": 92.0}, 1: {"ann": 91.0, "bob": 95.0, "eve": 90.0}}
    >>> theirs = {0: {"ann": 90.0, "bob": 92.0, "eve": 89.0}, 1: {"ann": 90.0, "bob": 92.0, "eve": 87.0}}
    >>> made = paired_by_fold(ours, theirs, test_to_train=1 / 2)
    >>> made["mean"], made["sd"], made["n"]
    (2.0, 1.0, 3)
    """
    seeds = sorted(values.keys() & baseline.keys())
    folds = values[seeds[0]] if seeds else ()
    mine, theirs = ([float(np.mean([of[s][fold] for s in seeds])) for fold in folds] for of in (values, baseline))
    return paired(mine, theirs, test_to_train)


def detectable(sd: float, n: int, paired: bool = False, test_to_train: float = 0.0) -> float:
    """Return the smallest true difference that a two-sided 5 % t test sees with a power of 80 %.

    A significant difference of the wrong sign does not count as seen.

    Parameters
    ----------
    sd : float
        Standard deviation: of the values of an arm, or with `paired` of the differences. One that is itself estimated from
        three seeds may well be off by a factor of two, and the difference with it.
    n : int
        Seeds of each of two independent arms, or with `paired` pairs.
    paired : bool
        Whether the test is that of `paired`.
    test_to_train : float
        Of paired folds, see `paired`.

    Returns
    -------
    float
        In the unit of `sd`. NaN below n = 3, and where `sd` is NaN.

    Raises
    ------
    UserError
        If `sd` is negative, or for a ratio that is negative or given for independent arms.

    Notes
    -----
    Under the true difference d the t statistic has the noncentral t distribution with noncentrality d / se.

    Examples
    --------
    >>> round(detectable(0.5, 3), 2), round(detectable(0.5, 17), 2), round(detectable(0.5, 17, paired=True), 2)
    (1.54, 0.5, 0.36)
    """
    _check_ratio(test_to_train)
    if test_to_train and not paired:
        raise UserError(f"test_to_train={test_to_train:g} is for paired folds, not for independent arms: leave it out")
    if sd < 0:
        raise UserError(f"sd {sd:g} is not allowed: a standard deviation is 0 or more")
    if n < MIN_N or math.isnan(sd):
        return float("nan")
    variance = (1 / n + test_to_train) if paired else 2 / n
    return _noncentrality(n - 1 if paired else 2 * (n - 1)) * sd * math.sqrt(variance)


def needed(sd: float, difference: float, paired: bool = False) -> int:
    """Return how many seeds it takes to see a true difference with a power of 80 % in a two-sided 5 % t test.

    Parameters
    ----------
    sd : float
        As for `detectable`.
    difference : float
        Its size, above 0, in the unit of `sd`.
    paired : bool
        As for `detectable`.

    Returns
    -------
    int
        Seeds of each arm, or pairs; at least 3.

    Raises
    ------
    UserError
        If `sd` is negative or not finite, or the difference is not above 0.

    Examples
    --------
    >>> needed(0.5, 0.5), needed(0.5, 0.5, paired=True)
    (17, 10)
    """
    if not 0 <= sd < math.inf:
        raise UserError(
            f"sd {sd:g} is not allowed: a standard deviation is 0 or more, and it takes three values to know one"
        )
    if not 0 < difference < math.inf:
        raise UserError(f"difference {difference:g} is not allowed: give the size of the difference, which is above 0")
    normal = stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)
    # A t test needs slightly more than the test of a known deviation: a step or two from here.
    n = max(MIN_N, math.floor((1 if paired else 2) * (normal * sd / difference) ** 2))
    while detectable(sd, n, paired) > difference:
        n += 1
    return n


def _spread(values: Sequence[float], test_to_train: float) -> dict[str, float]:
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < MIN_N:
        return {"mean": mean, "sd": float("nan"), "ci95": float("nan"), "n": n}
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * sd * math.sqrt(1 / n + test_to_train)
    return {"mean": mean, "sd": sd, "ci95": half, "n": n}


def _check_ratio(test_to_train: float) -> None:
    if not 0 <= test_to_train < math.inf:
        raise UserError(
            f"test_to_train={test_to_train:g} is not allowed: it is the number of windows tested for each trained on, 0 or more"
        )


def _noncentrality(df: int) -> float:
    """Return the noncentrality at which a t statistic exceeds the two-sided critical value with a chance of `POWER`."""
    critical = stats.t.ppf(1 - LEVEL / 2, df)

    def lacking(noncentrality: float) -> float:
        # Only the upper tail: the lower one is below 1e-6 here, and scipy gives NaN for it at few degrees of freedom.
        return float(stats.nct.sf(critical, df, noncentrality)) - POWER

    return float(brentq(lacking, 0.0, 2 * critical + 2))
