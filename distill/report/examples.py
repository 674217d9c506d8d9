"""Single windows as a person and as the networks see them: the series beside its images."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.report.theme import DASHES, SERIES, blank, legend_columns, styled
from tsimage.axes import unit_text
from tsimage.gallery import colour_pictures
from tsimage.imager import Imager
from tsimage.windows import Windows

IMAGE, SERIES_WIDTH, ACROSS = 0.95, 2.5, 3
"""Inches: side of an image, width of the series; and most images in a row."""
NAMED = 9
"""Most channels of one unit that are named in the legend."""


@styled
def draw_example(windows: Windows, index: int, imager: Imager) -> Figure:
    """Draw one window: its channels over time, those of one unit together, and beside them an image for each field.

    With three channels or more the images show the first three as red, green and blue, else the first in the field's
    own colours; `colour_key` says so in words.

    Parameters
    ----------
    windows : Windows
    index : int
        Position of the window.
    imager : Imager
        One that must learn first does so on the training windows: give it fitted where many windows are drawn.

    Returns
    -------
    Figure
    """
    pictures = colour_pictures(windows, [index], imager)
    units = list(dict.fromkeys(windows.units))
    columns = min(ACROSS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = blank(SERIES_WIDTH + IMAGE * columns, max(1.1 * len(units) + 0.35, rows * (IMAGE + 0.2)))
    left, right = figure.subfigures(1, 2, width_ratios=(SERIES_WIDTH, IMAGE * columns), squeeze=False)[0]
    panels = left.subplots(len(units), 1, sharex=True, squeeze=False)[:, 0]
    for panel, unit in zip(panels, units, strict=True):
        _draw_channels(panel, windows, index, unit)
    panels[-1].set_xlabel("time [s]" if windows.rate_hz else "time [samples]")
    left.align_ylabels()
    for place, panel in enumerate(right.subplots(rows, columns, squeeze=False).flat):
        panel.set_axis_off()
        if place < len(pictures):
            name, images = pictures[place]
            panel.imshow(images[0], interpolation="nearest")
            panel.set_title(name, fontsize=8)
    return figure


def colour_key(windows: Windows) -> str:
    """Say what the colours of the images of `draw_example` stand for.

    Parameters
    ----------
    windows : Windows

    Returns
    -------
    str
    """
    if len(windows.channels) < 3:
        return f"Images show channel {windows.channels[0]}."
    return "Images show {} in red, {} in green and {} in blue.".format(*windows.channels[:3])


def examples_by_class(labels: np.ndarray, per_class: int = 1) -> np.ndarray:
    """Choose windows of every class, evenly spaced among its windows.

    Parameters
    ----------
    labels : ndarray of int, shape (window,)
    per_class : int
        All of a class that has fewer.

    Returns
    -------
    ndarray of int64
        Positions, in the order of the classes.

    Examples
    --------
    >>> examples_by_class(np.array([0, 0, 0, 1])).tolist()
    [1, 3]
    """
    chosen = []
    for code in np.unique(labels):
        members = np.flatnonzero(labels == code)
        spaced = (np.arange(per_class) + 0.5) * len(members) / per_class
        chosen.append(np.unique(members[spaced.astype(np.int64)]))
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def disagreements(labels: np.ndarray, teacher: np.ndarray, student: np.ndarray) -> dict[str, np.ndarray]:
    """Return the windows of which teacher and student say different classes, by who is right.

    Parameters
    ----------
    labels, teacher, student : ndarray of int, shape (window,)
        The class of each window, and what each said.

    Returns
    -------
    dict of str to ndarray of int64
        Positions under `only the teacher is right`, `only the student is right` and `both are wrong, differently`.

    Examples
    --------
    >>> found = disagreements(np.array([0, 0, 0, 0]), np.array([0, 1, 1, 0]), np.array([1, 0, 2, 0]))
    >>> {kind: positions.tolist() for kind, positions in found.items()}
    {'only the teacher is right': [0], 'only the student is right': [1], 'both are wrong, differently': [2]}
    """
    apart = teacher != student
    return {
        "only the teacher is right": np.flatnonzero(apart & (teacher == labels)),
        "only the student is right": np.flatnonzero(apart & (student == labels)),
        "both are wrong, differently": np.flatnonzero(apart & (teacher != labels) & (student != labels)),
    }


def _draw_channels(panel: Axes, windows: Windows, index: int, unit: str) -> None:
    """Draw all channels of a unit over time."""
    time = np.arange(windows.length) / (windows.rate_hz or 1.0)
    rows = [row for row, its in enumerate(windows.units) if its == unit]
    for number, row in enumerate(rows):
        panel.plot(
            time,
            windows.values[index, row],
            label=windows.channels[row],
            color=SERIES[number % len(SERIES)],
            linestyle=DASHES[number // len(SERIES) % len(DASHES)],
            linewidth=1.0,
        )
    panel.set_xlim(0, windows.length / (windows.rate_hz or 1.0))
    panel.set_ylabel(unit_text(unit) if unit else "unit unknown")
    panel.grid(axis="y")
    panel.margins(y=0.08)
    if len(rows) <= NAMED:
        panel.legend(
            loc="lower left",
            bbox_to_anchor=(0, 0.97),
            ncols=min(3, legend_columns(windows.channels, SERIES_WIDTH - 0.5, line=0.25)),
            fontsize=7.5,
            handlelength=0.9,
            handletextpad=0.5,
            columnspacing=0.6,
            borderaxespad=0,
            labelspacing=0.2,
        )
