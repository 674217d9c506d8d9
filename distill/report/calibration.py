"""Reliability: whether a model is right as often as it is sure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.report.theme import LIGHT, SERIES, blank, styled
from tsimage.errors import UserError

BINS = 15


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return how often the likeliest class is right, by how likely the model holds it.

    Source: C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
    arXiv:1706.04599.

    Parameters
    ----------
    probabilities : ndarray, shape (window, class)
        Each row of sum 1.
    labels : ndarray of int, shape (window,)
    bins : int
        Of equal width from 0 to 1; a confidence on a border belongs to the bin below.

    Returns
    -------
    DataFrame
        A row per bin: `low`, `high`, `windows`, `confidence` and `accuracy` (means over its windows, NaN without any).

    Raises
    ------
    UserError
        If the two do not have the same number of windows, or a probability is outside 0 to 1.

    Examples
    --------
    >>> found = reliability(np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]), np.array([0, 1, 1]), bins=2)
    >>> found["windows"].tolist(), found["accuracy"].round(4).tolist()
    ([0, 3], [nan, 0.6667])
    """
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise UserError(
            f"probabilities of shape {probabilities.shape} beside {len(labels)} labels: give a row per window and a "
            "column per class"
        )
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():
        raise UserError("probabilities go from {:g} to {:g}: give values from 0 to 1".format(*_range(probabilities)))
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    windows = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (np.bincount(place, values, minlength=bins) / windows for values in (sure, right))
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "windows": windows, "confidence": confidence, "accuracy": accuracy}
    )


def calibration_error(found: pd.DataFrame) -> float:
    """Return the expected calibration error of bins: the mean over windows of |accuracy - confidence|, from 0 to 1.

    >>> calibration_error(reliability(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1])))
    0.25
    """
    gaps = (found["accuracy"] - found["confidence"]).abs().fillna(0)
    return float((gaps * found["windows"]).sum() / found["windows"].sum())


@styled
def reliability_diagram(found: pd.DataFrame, *, colour: str = SERIES[0]) -> Figure:
    """Draw accuracy by confidence with the diagonal of a model that is as right as it is sure; below, the windows.

    Parameters
    ----------
    found : DataFrame
        As from `reliability`.
    colour : str

    Returns
    -------
    Figure
        The expected calibration error is written in it.
    """
    figure = blank(3.2, 3.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width, filled = found["high"] - found["low"], found["windows"] > 0
    middle, accuracy = (found["low"] + width / 2)[filled], found["accuracy"][filled]
    above.plot([0, 1], [0, 1], color=LIGHT["muted"], linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    above.bar(middle, accuracy, 0.88 * width[filled], color=colour, alpha=0.35)
    above.plot(found["confidence"][filled], accuracy, color=colour, marker="o", markersize=3.5, linewidth=1.2)
    above.text(0.04, 0.94, f"ECE {100 * calibration_error(found):.1f} %", transform=above.transAxes, va="top")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    below.bar(middle, found["windows"][filled], 0.88 * width[filled], color=colour)
    below.set(xlabel="confidence", ylabel="windows")
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in (above, below):
        axes.grid(axis="y")
    figure.align_ylabels()
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))
