"""What accuracy costs: parameters, multiplications, time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from distill.report.placing import place_labels
from distill.report.theme import LIGHT, Looks, blank, looks, styled
from tsimage.errors import UserError

GAP, CAP = 9.0, 4.0
"""Pixels between a point and its name, and around a bar for its cap."""


@styled
def accuracy_by_cost(found: pd.DataFrame, *, label: str, models: Looks | None = None) -> Figure:
    """Draw models as points: accuracy over what they cost, on a logarithmic axis.

    Parameters
    ----------
    found : DataFrame
        A row per model: `model`, `cost` (positive, or NaN where unknown: not drawn), `accuracy` in percent, and `error`,
        the half-length of its error bar (NaN: none); `cost_low` and `cost_high` where the cost is uncertain, as time is.
    label : str
        Of the cost, with the unit.
    models : mapping of str to Look, optional

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        If a cost is not positive.

    Examples
    --------
    >>> found = pd.DataFrame({"model": ["wrn10-1"], "cost": [78_000], "accuracy": [93.1], "error": [0.4]})
    >>> [text.get_text() for text in accuracy_by_cost(found, label="parameters").axes[0].texts]
    ['wrn10-1']
    """
    found = found[found["cost"].notna() & found["accuracy"].notna()]
    if (found["cost"] <= 0).any():
        wrong = found[found["cost"] <= 0].iloc[0]
        raise UserError(
            f"{label} of {wrong['model']} are {wrong['cost']:g}: the axis is logarithmic, so give positive numbers, or NaN where unknown"
        )
    models = models or looks(found["model"])
    figure = blank(4.3, 3.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    if len(found):
        cheapest, dearest = (found.get(name, found["cost"]).fillna(found["cost"]) for name in ("cost_low", "cost_high"))
        low, high = cheapest.min(), dearest.max()  # equal where all cost the same, which matplotlib does not scale
        margin = max(1.25, (high / low) ** 0.12)
        axes.set_xlim(low / margin, high * margin)
    for row in found.to_dict("records"):
        look = models[row["model"]]
        low, high = (row.get(name, np.nan) for name in ("cost_low", "cost_high"))
        across = [[row["cost"] - low], [high - row["cost"]]] if np.isfinite([low, high]).all() else None
        up = [row["error"]] if np.isfinite(row["error"]) else None
        axes.errorbar(
            [row["cost"]],
            [row["accuracy"]],
            up,
            across,
            color=look.colour,
            marker=look.marker,
            markersize=6,
            linestyle="none",
            elinewidth=1.2,
            capsize=2.5,
        )
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy [%]")
    axes.grid()
    axes.margins(y=0.15)
    _log_ticks(axes)
    _name_points(figure, axes, found)
    return figure


def _log_ticks(axes: Axes) -> None:
    """Mark 1, 2 and 5 of each decade where they are few, else the decades."""
    low, high = axes.get_xlim()
    if high / low < 4:
        axes.set_xlim(low / 1.6, high * 1.6)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """Write a number with k, M or G.

    >>> _short(20_000), _short(1.5e6), _short(0.5)
    ('20 k', '1.5 M', '0.5')
    """
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _name_points(figure: Figure, axes: Axes, found: pd.DataFrame) -> None:
    """Write each model's name beside its point, with a line where it had to move away."""
    if found.empty:
        return
    texts = [axes.text(0, 0, name, fontsize=8, transform=axes.transAxes) for name in found["model"]]
    for text in texts:
        text.set_in_layout(False)  # the axes keep their size wherever the names go
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    points = axes.transData.transform(found[["cost", "accuracy"]].to_numpy(dtype=np.float64)) - frame.min
    sizes = np.array([text.get_window_extent().size for text in texts])
    bars = (axes.transData.transform(_ends_of_bars(found)) - frame.min).reshape(-1, 4)
    bars += (-CAP, -CAP, CAP, CAP)
    places = place_labels(points, sizes, within=(frame.width, frame.height), gap=GAP, taken=bars)
    for text, place, size, point in zip(texts, places, sizes, points, strict=True):
        text.set_position(place / frame.size)
        nearest = np.clip(point, place, place + size)
        if np.hypot(*(nearest - point)) > 2 * GAP:
            axes.plot(
                *zip(point / frame.size, nearest / frame.size, strict=True),
                transform=axes.transAxes,
                color=LIGHT["muted"],
                linewidth=0.7,
                zorder=1,
            )


def _ends_of_bars(found: pd.DataFrame) -> np.ndarray:
    """Return the two ends of every bar up and then across, lower and left end first: shape (4 * point, 2)."""
    ends = []
    for row in found.to_dict("records"):
        cost, accuracy = row["cost"], row["accuracy"]
        half = np.nan_to_num(row["error"])
        low, high = (row.get(name, np.nan) for name in ("cost_low", "cost_high"))
        if not np.isfinite([low, high]).all():
            low = high = cost
        ends += [(cost, accuracy - half), (cost, accuracy + half), (low, accuracy), (high, accuracy)]
    return np.array(ends, dtype=np.float64)
