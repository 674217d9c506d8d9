"""Accuracy under stress as curves, a small panel for each condition."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.report.theme import LIGHT, Look, Looks, blank, legend, looks, styled
from distill.stress.comparing import compared
from distill.stress.measuring import CLEAN
from distill.stress.registry import CONDITIONS

COLUMNS = 3
"""Panels side by side."""
DODGE, SPREAD = 0.13, 0.8
"""Between points of models that are not joined, and at most between the first and the last, of the way to the next channel."""
CROWDED = 22
"""Letters of tick labels that fit below a panel."""


@styled
def stress_curves(frame: pd.DataFrame, models: Looks | None = None) -> Figure:
    """Draw accuracy by level, a panel for each condition; lines are means over seeds, bands a standard deviation each way.

    Levels stand side by side whatever lies between them, undamaged windows among them. Channels have no order, so that
    their points are not joined.

    Parameters
    ----------
    frame : DataFrame
        As `distill.stress.measuring.measure` returns it.
    models : mapping of str to Look, optional
        What to draw, in this order; all models by default.

    Returns
    -------
    Figure
    """
    found = compared(frame)
    models = models or looks(found["model"])
    conditions = [name for name in dict.fromkeys(found["condition"]) if name != CLEAN]
    across = min(COLUMNS, len(conditions))
    down = -(-len(conditions) // across)
    figure = blank(max(4.3, 2.5 * across + 0.3), 2.0 * down + 0.5)
    panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes in panels[len(conditions) :]:
        axes.set_axis_off()
    for place, (axes, condition) in enumerate(zip(panels, conditions, strict=False)):
        _panel(axes, found[found["condition"].isin((CLEAN, condition))], condition, models)
        if place % across == 0:
            axes.set_ylabel("accuracy [%]")
    panels[0].set_ylim(bottom=max(panels[0].get_ylim()[0], -2.0))  # of all; room for half a marker below 0
    legend(figure, panels[0])
    n = int(found["n"].max())
    said = f"Means over {n} seeds" if n > 1 else "One seed"
    spread = "; bands and bars: a standard deviation each way" if found["sd"].notna().any() else ""
    figure.supxlabel(f"{said}{spread}.", x=0.01, ha="left", fontsize=8.0, color=LIGHT["muted"])
    return figure


def _panel(axes: Axes, found: pd.DataFrame, condition: str, models: Looks) -> None:
    made = CONDITIONS[condition]
    levels = list(dict.fromkeys(found.loc[found["condition"] == condition, "level"]))
    order = [*levels[: made.clean], "", *levels[made.clean :]]
    ticks = [level or CLEAN for level in order]
    for place, (name, look) in enumerate(models.items()):
        rows = found[found["model"] == name].set_index("level").reindex(order)
        aside = 0.0 if made.levels else min(DODGE, SPREAD / len(models)) * (place - (len(models) - 1) / 2)
        _line(axes, rows, name, look, aside=aside, joined=bool(made.levels))
    axes.set_xticks(range(len(order)), ticks)
    if sum(map(len, ticks)) > CROWDED:
        axes.tick_params(axis="x", labelrotation=90 if sum(map(len, ticks)) > 2 * CROWDED else 30)
    axes.set_xlim(-0.45, len(order) - 0.55)
    axes.set_title(condition, loc="left", color=LIGHT["ink"], pad=8)
    axes.set_xlabel(made.unit)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="y")


def _line(axes: Axes, rows: pd.DataFrame, name: str, look: Look, *, aside: float, joined: bool) -> None:
    places, mean, sd = np.arange(len(rows)) + aside, rows["mean"], rows["sd"]
    axes.plot(
        places,
        mean,
        color=look.colour,
        linestyle=look.dashes if joined else "none",
        marker=look.marker,
        markersize=3.5,
        label=name,
    )
    if sd.notna().any() and joined:
        axes.fill_between(places, mean - sd, mean + sd, color=look.colour, alpha=0.18, linewidth=0)
    elif sd.notna().any():
        axes.errorbar(places, mean, sd, color=look.colour, linestyle="none", elinewidth=1.0)
