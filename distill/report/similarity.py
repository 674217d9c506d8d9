"""Similarity maps: which windows a network holds to be alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distill.report.placing import spread_apart
from distill.report.theme import LIGHT, blank, styled
from tsimage.errors import UserError


@styled
def similarity_maps(
    maps: Mapping[str, np.ndarray], labels: np.ndarray, class_names: Sequence[str], *, label: str = "similarity"
) -> Figure:
    """Draw similarity matrices side by side, windows sorted by class, with a line between classes.

    Parameters
    ----------
    maps : mapping of str to ndarray, each of shape (window, window)
        One for each network, at least one, all of the same windows in the same order; one range of colours serves all.
    labels : ndarray of int, shape (window,)
    class_names : sequence of str
    label : str
        Of the colours.

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        If a map is not square with a row for each label.

    Examples
    --------
    >>> figure = similarity_maps({"teacher": np.eye(3)}, np.array([1, 0, 1]), ["sit", "walk"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['sit', 'walk']
    """
    n = len(labels)
    for name, matrix in maps.items():
        if matrix.shape != (n, n):
            raise UserError(f"the similarity map of {name} has shape {matrix.shape} beside {n} labels: give ({n}, {n})")
    order = np.argsort(labels, kind="stable")
    codes, sizes = np.unique(labels, return_counts=True)
    borders = np.cumsum(sizes)
    names = [class_names[code] for code in codes]
    low = min(float(matrix.min()) for matrix in maps.values())
    high = max(float(matrix.max()) for matrix in maps.values())
    left = 0.3 + 0.075 * max(map(len, names))
    figure = blank(left + 2.2 * len(maps), 3.0, compress=True)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for panel, (name, matrix) in zip(panels, maps.items(), strict=True):
        image = panel.imshow(matrix[np.ix_(order, order)], cmap="cividis", vmin=low, vmax=high, aspect="equal")
        for border in borders[:-1] - 0.5:
            panel.axhline(border, color="white", linewidth=0.6)
            panel.axvline(border, color="white", linewidth=0.6)
        panel.set_title(name)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    _name_classes(panels[0], borders - sizes / 2 - 0.5, names, n)
    bar = figure.colorbar(image, ax=list(panels), location="bottom", shrink=0.5, aspect=40, ticks=MaxNLocator(4))
    bar.set_label(label)
    bar.outline.set_edgecolor(LIGHT["line"])
    return figure


def _name_classes(panel: Axes, middles: np.ndarray, names: Sequence[str], n: int) -> None:
    """Write each class beside the middle of its windows, with a line to it, moved where names would overlap."""
    least = 0.066 * n  # 10 points of a panel of 2.1 inches
    for name, middle, place in zip(names, middles, spread_apart(middles, least, (0, n)), strict=True):
        panel.annotate(
            name,
            (-0.5, middle),
            (-0.05 * n, place),
            ha="right",
            va="center",
            fontsize=8,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": LIGHT["muted"], "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )
