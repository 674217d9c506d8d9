"""What a setting does to the student: alpha, lambda or T, with what training without teachers gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from distill.report.theme import LIGHT, Looks, blank, legend, looks, styled


@styled
def sweep_curves(
    found: pd.DataFrame,
    *,
    label: str,
    baseline: tuple[float, float] | None = None,
    baseline_name: str = "from scratch",
    logarithmic: bool = False,
    curves: Looks | None = None,
) -> Figure:
    """Draw accuracy over a setting: a line for each combination of the others, with its 95 % interval as a band.

    Parameters
    ----------
    found : DataFrame
        A row per value of the setting and combination: `curve` (the combination's name), `value`, `mean` and `ci95`
        (half-width of the interval, NaN where there is none), accuracies in percent.
    label : str
        Of the setting.
    baseline : (float, float), optional
        Mean and half-width of the student without teachers, drawn as a level line; NaN for no band.
    baseline_name : str
    logarithmic : bool
        Whether the values lie on a logarithmic axis, as temperatures do.
    curves : mapping of str to Look, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> found = pd.DataFrame({"curve": "T = 4", "value": [0.5, 0.1], "mean": [93.0, 92.0], "ci95": [0.5, np.nan]})
    >>> sweep_curves(found, label="lambda").axes[0].lines[0].get_ydata().tolist()
    [92.0, 93.0]
    """
    curves = curves or looks(found["curve"])
    figure = blank(4.3, 2.8)
    axes = figure.subplots()
    for name, look in curves.items():
        rows = found[(found["curve"] == name) & found["mean"].notna()].sort_values("value")
        if rows.empty:
            continue
        x, mean, half = (rows[column].to_numpy(dtype=np.float64) for column in ("value", "mean", "ci95"))
        axes.plot(x, mean, color=look.colour, linestyle=look.dashes, marker=look.marker, markersize=4, label=name)
        axes.fill_between(
            x, mean - half, mean + half, color=look.colour, alpha=min(0.18, 0.6 / len(curves)), linewidth=0
        )
    if baseline is not None:
        mean_of_baseline, half_of_baseline = baseline
        axes.axhline(mean_of_baseline, color=LIGHT["ink"], linewidth=1.1, linestyle=(0, (6, 3)), label=baseline_name)
        if np.isfinite(half_of_baseline):
            span = (mean_of_baseline - half_of_baseline, mean_of_baseline + half_of_baseline)
            axes.axhspan(*span, color=LIGHT["muted"], alpha=0.16, linewidth=0)
    values = np.unique(found["value"].to_numpy(dtype=np.float64))
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy [%]")
    axes.grid(axis="y")
    axes.margins(x=0.04)
    legend(figure, axes)
    return figure
