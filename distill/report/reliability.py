"""The reliability diagram: whether a model is right as often as it is sure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.calibration import calibration_error
from distill.report.theme import LIGHT, SERIES, blank, styled


@styled
def reliability_diagram(found: pd.DataFrame, *, colour: str = SERIES[0]) -> Figure:
    """Draw accuracy by confidence with the diagonal of a model that is as right as it is sure; below, the windows.

    Parameters
    ----------
    found : DataFrame
        As from `distill.calibration.reliability`.
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
