"""Many models ranked across subjects or data sets, and which of them cannot be told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from distill.signed_ranks import MIN_DIFFERENCES, fewest, holm, rounded, signed_rank, written_p
from distill.statistics import LEVEL
from tsimage.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Models in the order of their mean ranks, and which of them cannot be told apart.

    Parameters
    ----------
    models : tuple of str
        The best first.
    ranks : ndarray of float64, shape (model,)
        Mean ranks, ascending: 1 is best, ties share.
    n : int
        Subjects or data sets.
    unit : str
        What they are: "subjects" or "data sets".
    friedman_p : float
        Of the Friedman test that all models are equal, by the chi-squared approximation. NaN below 6 subjects.
    p_values : ndarray of float64, shape (model, model)
        Of pairwise Wilcoxon signed-rank tests, two-sided, adjusted by Holm's procedure for the number of pairs; NaN on the
        diagonal and where a pair has too few differences to tell.
    cliques : tuple of (int, int)
        First and last position of every longest run of models of which no two are told apart. Models outside a common run
        may still not be told apart, where one that ranks between them is: `p_values` has all of it.
    """

    models: tuple[str, ...]
    ranks: np.ndarray
    n: int
    unit: str
    friedman_p: float
    p_values: np.ndarray
    cliques: tuple[tuple[int, int], ...]

    @property
    def needed(self) -> int:
        """Fewest subjects or data sets with which two of the models could be told apart, in so many tests."""
        tested = int(np.count_nonzero(~np.isnan(self.p_values))) // 2
        return fewest(tested or math.comb(len(self.models), 2))

    def caption(self) -> str:
        """Say in words what was tested, and whether it could be told at all."""
        friedman = "" if math.isnan(self.friedman_p) else f", Friedman {written_p(self.friedman_p)}"
        text = f"Mean ranks over {self.n} {self.unit}, 1 is best{friedman}. "
        if self.n < self.needed:
            return (
                f"{text}No two of {len(self.models)} models can be told apart with so few: pairwise Wilcoxon signed-rank tests "
                f"with Holm's correction need {self.needed} {self.unit} for p < {LEVEL:g}."
            )
        tests = "pairwise Wilcoxon signed-rank tests, Holm's correction, p"
        if not self.cliques:
            return f"{text}Every model is told apart from its neighbours: {tests} < {LEVEL:g}."
        return f"{text}A bar joins models of which no two are told apart: {tests} >= {LEVEL:g}."


def rank_models(scores: pd.DataFrame, unit: str = "subjects", lower_is_better: bool = False) -> Ranking:
    """Rank models across subjects or data sets and find those that cannot be told apart.

    Pairs are told apart by Wilcoxon signed-rank tests on their own values and not by the distance of their mean ranks,
    which depends on the other models in the comparison (Benavoli et al.). Holm's correction guards all pairs, so that
    they do not wait for the Friedman test. A pair with too few differences for any p below 0.05 does not count in the
    correction, since it could not have been a false alarm.

    Parameters
    ----------
    scores : DataFrame
        A row per subject or data set, a column per model, without gaps: with several seeds, their mean.
    unit : str
        What a row is, in the plural.
    lower_is_better : bool
        For errors, such as that of calibration.

    Returns
    -------
    Ranking

    Raises
    ------
    UserError
        For fewer than two models, two of one name, no row, or a value that is missing or not finite.

    References
    ----------
    J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006; A. Benavoli, G. Corani,
    F. Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17, 2016.

    Examples
    --------
    >>> people = pd.DataFrame({"scratch": [80, 82, 79, 85, 90, 77], "distilled": [81, 84, 82, 89, 95, 83]})
    >>> made = rank_models(people)
    >>> made.models, made.ranks.tolist(), made.cliques
    (('distilled', 'scratch'), [1.0, 2.0], ())
    >>> round(float(made.p_values[0, 1]), 4)
    0.0312
    """
    values = _checked(scores, unit)
    if lower_is_better:
        values = -values
    ranks = mean_ranks(values)
    order = np.argsort(ranks, kind="stable")
    values = values[:, order]
    count = len(order)
    pairs = list(combinations(range(count), 2))
    adjusted = holm([signed_rank(values[:, i], values[:, j]).p for i, j in pairs])
    p_values = np.full((count, count), np.nan)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        p_values[i, j] = p_values[j, i] = p
    return Ranking(
        models=tuple(str(scores.columns[i]) for i in order),
        ranks=ranks[order],
        n=len(values),
        unit=unit,
        friedman_p=friedman(values)[1] if len(values) >= MIN_DIFFERENCES else float("nan"),
        p_values=p_values,
        cliques=cliques(p_values),
    )


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the mean rank of every model: 1 for the highest value of a row, ties share.

    Parameters
    ----------
    values : ndarray of float, shape (subject or data set, model)

    Returns
    -------
    ndarray of float64, shape (model,)

    Examples
    --------
    >>> mean_ranks(np.array([[0.9, 0.8, 0.8], [0.7, 0.9, 0.8]]))
    array([2.  , 1.75, 2.25])
    """
    return np.asarray(_ranks(values).mean(axis=0))


def friedman(values: np.ndarray) -> tuple[float, float]:
    """Test that all models are equal by their ranks.

    Parameters
    ----------
    values : ndarray of float, shape (subject or data set, model)

    Returns
    -------
    statistic, p : float
        Corrected for ties; p from chi-squared with models - 1 degrees of freedom, on the safe side with few rows. 0 and 1
        where every row is one tie.

    References
    ----------
    M. Friedman, JASA 32, 1937; for ties W. J. Conover, "Practical Nonparametric Statistics", 1999.

    Examples
    --------
    >>> statistic, p = friedman(np.array([[3, 2, 1], [3, 2, 1], [3, 1, 2], [3, 2, 1]]))
    >>> statistic, round(p, 3)
    (6.5, 0.039)
    """
    ranks = _ranks(values)
    rows, models = ranks.shape
    middle = (models + 1) / 2
    within = float(((ranks - middle) ** 2).sum())
    if within == 0:
        return 0.0, 1.0
    statistic = (models - 1) * float(((ranks.sum(axis=0) - rows * middle) ** 2).sum()) / within
    return statistic, float(stats.chi2.sf(statistic, models - 1))


def cliques(p_values: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the longest runs of two models or more of which no two are told apart (p >= 0.05 or NaN).

    Parameters
    ----------
    p_values : ndarray of float, shape (model, model)
        Symmetric, models in rank order.

    Returns
    -------
    tuple of (int, int)
        First and last position of every run, ascending; none lies within another.

    Examples
    --------
    >>> cliques(np.array([[np.nan, 0.2, 0.01], [0.2, np.nan, 0.3], [0.01, 0.3, np.nan]]))
    ((0, 1), (1, 2))
    """
    differ = p_values < LEVEL
    found: list[tuple[int, int]] = []
    for first in range(len(p_values)):
        last = first
        while last + 1 < len(p_values) and not differ[first : last + 1, last + 1].any():
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return tuple(found)


def _checked(scores: pd.DataFrame, unit: str) -> np.ndarray:
    names = [str(name) for name in scores.columns]
    if len(names) < 2:
        raise UserError(f"{len(names)} model to rank: a ranking takes two at least")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two models are named '{twice}': give each a name of its own")
    if not len(scores):
        raise UserError(f"no {unit} to rank the models on: give at least one that all models have")
    values = scores.to_numpy(dtype=float)
    gaps = np.argwhere(~np.isfinite(values))
    if len(gaps):
        row, column = gaps[0]
        raise UserError(
            f"model '{names[column]}' has no finite value for '{scores.index[row]}': models are ranked on the same {unit}, so "
            "leave one of the two out"
        )
    return values


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.asarray(stats.rankdata(-rounded(values), axis=1))
