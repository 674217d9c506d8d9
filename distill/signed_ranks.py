"""Two models compared across subjects or data sets: the signed-rank test, and Holm's correction for many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from distill.statistics import LEVEL
from tsimage.errors import UserError

MIN_DIFFERENCES = 6
"""Fewest differences other than 0 with which a two-sided Wilcoxon signed-rank test can give p < 0.05: 2 / 2^6 = 0.031."""
EXACT = 200
"""Up to this many differences p is exact; above, that of the normal approximation."""
DIGITS = 10
"""Values that agree to this many digits of the largest one are equal: what differs beyond is rounding of the computer."""


@dataclass(frozen=True, kw_only=True)
class SignedRank:
    """Outcome of a Wilcoxon signed-rank test of two models across subjects or data sets.

    Parameters
    ----------
    higher, lower, equal : int
        On how many the first model is above the second, below it, and level with it.
    p : float
        Two-sided. NaN where too few differ for any p below 0.05.
    """

    higher: int
    lower: int
    equal: int
    p: float

    def __str__(self) -> str:
        counts = f"higher for {self.higher}, lower for {self.lower}, equal for {self.equal}"
        if math.isnan(self.p):
            return (
                f"{counts}: cannot tell, since a Wilcoxon signed-rank test needs {MIN_DIFFERENCES} differences other than 0 "
                f"for p < {LEVEL:g}"
            )
        return f"{counts}: Wilcoxon signed-rank {written_p(self.p)}"


def signed_rank(values: Sequence[float] | np.ndarray, baseline: Sequence[float] | np.ndarray) -> SignedRank:
    """Test whether one model is better than another across subjects or data sets.

    Differences of 0 take part in the ranking and are then left out (Pratt), and ties share ranks. Given the sizes of the
    differences every sign is as likely as the other if the models are equal: p is counted exactly over all signs, ties
    and zeros included, up to 200 differences, and is that of the normal approximation above.

    Parameters
    ----------
    values, baseline : sequence of float, shape (subject or data set,)
        One value for each, in the same order: with several seeds, their mean.

    Returns
    -------
    SignedRank

    Raises
    ------
    UserError
        If the values are not paired, or one is not finite.

    References
    ----------
    F. Wilcoxon, Biometrics Bulletin 1, 1945; J. W. Pratt, JASA 54, 1959.

    Examples
    --------
    >>> str(signed_rank([91, 85, 79, 96, 88, 93, 90], [90, 83, 76, 92, 83, 87, 90]))
    'higher for 6, lower for 0, equal for 1: Wilcoxon signed-rank p = 0.031'
    """
    first, second = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if first.shape != second.shape or first.ndim != 1:
        raise UserError(
            f"{first.size} values against {second.size} of the baseline: give one value of both models for each subject or data set"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UserError("a value is missing or not finite: leave its subject or data set out for both models")
    both = rounded(np.stack([first, second]))
    differences = rounded(both[0] - both[1], largest=1.0)
    higher, lower = int((differences > 0).sum()), int((differences < 0).sum())
    p = _signed_rank_p(differences) if higher + lower >= MIN_DIFFERENCES else float("nan")
    return SignedRank(higher=higher, lower=lower, equal=len(differences) - higher - lower, p=p)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p values for the number of tests by Holm's step-down procedure.

    Parameters
    ----------
    p_values : sequence of float
        From 0 to 1. NaN is a test that was not made: it stays NaN and does not count.

    Returns
    -------
    ndarray of float64, same length
        From 0 to 1: below 0.05 where the test is significant with a family-wise error of 5 %.

    Raises
    ------
    UserError
        If a value is not from 0 to 1.

    References
    ----------
    S. Holm, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, float("nan")])
    array([0.03, 0.06, 0.06,  nan])
    """
    raw = np.asarray(p_values, dtype=float)
    outside = raw[(raw < 0) | (raw > 1)]
    if outside.size:
        raise UserError(f"p value {outside[0]:g} is not allowed: it is a chance, from 0 to 1")
    adjusted = np.full(raw.shape, np.nan)
    order = np.argsort(raw, kind="stable")[: np.count_nonzero(~np.isnan(raw))]  # NaN are sorted last
    steps = np.arange(len(order), 0, -1) * raw[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def fewest(tests: int) -> int:
    """Return the fewest differences with which one of so many tests can be significant after Holm's correction.

    >>> fewest(1), fewest(45)
    (6, 11)
    """
    return math.floor(math.log2(2 * tests / LEVEL)) + 1


def written_p(p: float) -> str:
    """Write a p value.

    >>> written_p(0.0312), written_p(0.00002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def rounded(values: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Return values in units of the largest, without the digits that are only rounding of the computer.

    >>> 0.3 - 0.2 == 0.2 - 0.1, bool(rounded(np.array(0.3 - 0.2), 1.0) == rounded(np.array(0.2 - 0.1), 1.0))
    (False, True)
    """
    scale = float(np.abs(values).max(initial=0.0)) if largest is None else largest
    return np.asarray(np.round(values / scale, DIGITS) if scale > 0 else values, dtype=float)


def _signed_rank_p(differences: np.ndarray) -> float:
    """Return the two-sided p of differences of which some are not 0."""
    ranks = stats.rankdata(np.abs(differences))
    below, ranks = float(ranks[differences < 0].sum()), ranks[differences != 0]
    smaller = min(below, float(ranks.sum()) - below)
    if len(ranks) > EXACT:
        z = (smaller - ranks.sum() / 2) / (math.sqrt(float((ranks**2).sum())) / 2)
        return float(min(1.0, 2 * stats.norm.cdf(z)))
    # Chance of every sum of ranks up to the smaller one, with signs by coin; shared ranks are halves, twice them whole.
    chance = np.zeros(round(2 * smaller) + 1)
    chance[0] = 1.0
    for step in np.round(2 * ranks).astype(int):
        with_it = np.zeros_like(chance)
        with_it[step:] = chance[: max(0, len(chance) - step)]
        chance = (chance + with_it) / 2
    return float(min(1.0, 2 * chance.sum()))
