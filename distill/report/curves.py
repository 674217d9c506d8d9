"""Learning curves: how loss and accuracy went, epoch by epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.report.theme import Looks, blank, legend, looks, styled
from tsimage.errors import unknown


@styled
def learning_curves(history: pd.DataFrame, quantity: str, *, label: str, models: Looks | None = None) -> Figure:
    """Draw a quantity by epoch: a line for the mean of each model's trainings, a band from lowest to highest.

    Where some trainings of a model stopped early, the line is dotted: the mean of those that went on.

    Parameters
    ----------
    history : DataFrame
        A row for each epoch of each training: columns `model`, `training` (anything that tells the trainings of a
        model apart, as seed and fold), `epoch` and the quantity; rows where it is NaN are left out.
    quantity : str
        Column to draw.
    label : str
        Of the vertical axis, with the unit.
    models : mapping of str to Look, optional
        What to draw, in this order; all models by default.

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        If there is no such column.

    Examples
    --------
    >>> history = pd.DataFrame({"model": "student", "training": [0, 0, 1, 1], "epoch": [1, 2] * 2, "loss": [3, 1, 4, 2]})
    >>> figure = learning_curves(history, "loss", label="loss")
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [3.5, 1.5]
    """
    if quantity not in history:
        raise unknown("column of the history", quantity, map(str, history.columns))
    models = models or looks(history["model"])
    figure = blank(4.3, 2.8)
    axes = figure.subplots()
    for name, look in models.items():
        rows = history[(history["model"] == name) & history[quantity].notna()]
        if rows.empty:
            continue
        by_epoch = rows.groupby("epoch")[quantity].agg(["mean", "min", "max", "count"])
        epochs, mean = by_epoch.index.to_numpy(), by_epoch["mean"].to_numpy()
        stop = int(np.argmax(by_epoch["count"] < by_epoch["count"].max())) or len(epochs)
        axes.plot(epochs[:stop], mean[:stop], color=look.colour, linestyle=look.dashes, label=name)
        axes.plot(epochs[stop - 1 :], mean[stop - 1 :], color=look.colour, linestyle=":", linewidth=1.0)
        if by_epoch["count"].max() > 1:
            axes.fill_between(epochs, by_epoch["min"], by_epoch["max"], color=look.colour, alpha=0.18, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.grid(axis="y")
    axes.margins(x=0.02)
    legend(figure, axes)
    return figure
