"""How well each person is recognised, by several models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from distill.report.theme import LIGHT, Looks, blank, legend, looks, styled


@styled
def accuracy_by_subject(accuracy: pd.DataFrame, *, models: Looks | None = None) -> Figure:
    """Draw a bar for each person and model, people in the order of their mean, the most difficult last.

    Parameters
    ----------
    accuracy : DataFrame
        In percent: a row per person (the index names them), a column per model; NaN where a model has none.
    models : mapping of str to Look, optional
        The columns to draw, in this order; all by default.

    Returns
    -------
    Figure
        A vertical line marks each model's mean over people.

    Examples
    --------
    >>> frame = pd.DataFrame({"scratch": [90.0, 60.0], "student": [92.0, 71.0]}, index=["ann", "bob"])
    >>> figure = accuracy_by_subject(frame)
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['ann', 'bob']
    """
    models = models or looks(map(str, accuracy.columns))
    shown = {name: look for name, look in models.items() if name in accuracy}
    order = accuracy[list(shown)].mean(axis=1).sort_values(ascending=False, kind="stable").index
    rows = np.arange(len(order))
    bar = min(0.26, 0.8 / len(shown))
    thick = max(0.085, 0.2 - 0.03 * len(shown))  # inches
    figure = blank(4.6, 0.7 + len(order) * thick / bar)
    axes = figure.subplots()
    for i, (name, look) in enumerate(shown.items()):
        values = accuracy.loc[order, name].to_numpy(dtype=np.float64)
        axes.barh(rows + (i - (len(shown) - 1) / 2) * bar, values, 0.9 * bar, color=look.colour, label=name)
        if np.isfinite(values).any():
            axes.axvline(float(np.nanmean(values)), color=look.colour, linestyle=(0, (3, 2)), linewidth=1.1)
    axes.set_yticks(rows, [str(name) for name in order])
    axes.set_ylim(len(order) - 0.45, -0.55)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy [%]")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.axvline(0, color=LIGHT["muted"], linewidth=0.8)
    legend(figure, axes)
    return figure
