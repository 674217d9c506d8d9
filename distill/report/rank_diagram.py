"""The critical-difference diagram: models on an axis of mean ranks, bars over those that are not told apart."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distill.ranks import Ranking
from distill.report.theme import LIGHT

AXIS, MARGIN, GAP, OVER = 5.0, 0.15, 0.08, 0.02
"""Inches: length of the axis of ranks, around the picture, between a line and its text, of a bar beyond its ends."""
HEADER, BAR, LEAD, LINE = 0.62, 0.13, 0.1, 0.17
"""Inches: above the axis, between bars, from the last bar to the first name, a line of text."""
WRAP = 34
"""Characters of a line of a name."""
TICKS = 25
"""Numbers that the axis has room for."""
SIZE, LETTER = 9.0, 0.068
"""Of the text in points, and the width of one of its letters in inches."""
INK, MUTED, FAINT, CLIQUE = (LIGHT[name] for name in ("ink", "muted", "line", "series-1"))


def draw_ranks(ranking: Ranking) -> Figure:
    """Draw the critical-difference diagram of a ranking.

    The better half of the models is named on the left and the others on the right, each with its mean rank. Bars join
    models of which no two are told apart; the caption says what was tested on how many subjects.

    Parameters
    ----------
    ranking : Ranking

    Returns
    -------
    Figure
        As large as the names need, with a white ground.

    References
    ----------
    J. Demsar, JMLR 7, 2006, figure 1; here with the cliques of pairwise tests in place of one critical difference.

    Examples
    --------
    >>> import pandas as pd
    >>> from distill.ranks import rank_models
    >>> people = pd.DataFrame({"scratch": [80, 82, 79, 85, 90, 77], "distilled": [81, 84, 82, 89, 95, 83]})
    >>> figure = draw_ranks(rank_models(people))
    >>> [text.get_text() for text in figure.axes[0].texts][-5:-1]
    ['1.00', 'distilled', '2.00', 'scratch']
    """
    names = [textwrap.fill(model, WRAP, break_on_hyphens=False) for model in ranking.models]
    numbers = [f"{rank:.2f}" for rank in ranking.ranks]
    half = math.ceil(len(names) / 2)
    # From above: the best on the left, the worst on the right, so that no leader crosses another.
    sides = [range(half), range(len(names) - 1, half - 1, -1)]
    low, high = _limits(ranking.ranks)
    rows = _rows(ranking, GAP * (high - low) / AXIS)
    first = HEADER + BAR * (max(rows, default=-1) + 2) + LEAD
    lines = [1 + name.count("\n") for name in names]
    heights = [_centres([lines[i] for i in side], first) for side in sides]
    bottom = max(centres[-1] + LINE * lines[side[-1]] / 2 for side, centres in zip(sides, heights, strict=True))

    figure = Figure(facecolor="white")
    canvas = FigureCanvasAgg(figure)
    column = max(_width(canvas, number) for number in numbers) + GAP
    widths = [max(_width(canvas, names[i]) for i in side) + column + 2 * GAP for side in sides]
    left = MARGIN + widths[0]
    width = left + AXIS + widths[1] + MARGIN
    caption = textwrap.wrap(ranking.caption(), max(40, int(width / LETTER)))
    height = bottom + 1.5 * LINE + LINE * len(caption) + MARGIN
    figure.set_size_inches(width, height)
    # One unit is one inch, downwards from the upper left corner.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    def place(rank: float) -> float:
        return left + AXIS * (rank - low) / (high - low)

    _draw_axis(axes, low, high, left)
    for right, (side, centres) in enumerate(zip(sides, heights, strict=True)):
        outwards = 1 if right else -1
        end = left + right * AXIS + outwards * GAP
        for i, y in zip(side, centres, strict=True):
            x = place(ranking.ranks[i])
            axes.plot([x, x, end], [HEADER, y, y], color=FAINT, linewidth=0.8, solid_joinstyle="miter", zorder=1)
            axes.plot([x], [HEADER], marker="o", markersize=3.5, color=INK, zorder=4)
            for away, text in ((GAP, numbers[i]), (GAP + column, names[i])):
                _write(axes, end + outwards * away, y, text, ha="left" if right else "right")
    for (start, stop), row in zip(ranking.cliques, rows, strict=True):
        y = HEADER + BAR * (row + 1)
        ends = [place(ranking.ranks[start]) - OVER, place(ranking.ranks[stop]) + OVER]
        axes.plot(ends, [y, y], color=CLIQUE, linewidth=4, solid_capstyle="butt", zorder=3)
    _write(axes, MARGIN, bottom + LINE, "\n".join(caption), ha="left", va="top", color=MUTED)
    return figure


def _limits(ranks: np.ndarray) -> tuple[int, int]:
    """Return the whole ranks around all mean ranks, two different ones."""
    low, high = math.floor(ranks.min()), math.ceil(ranks.max())
    return low, max(high, low + 1)


def _rows(ranking: Ranking, gap: float) -> list[int]:
    """Give every bar the first row below the axis where it stays clear of those before it."""
    rows: list[int] = []
    ends: list[float] = []  # of the last bar of each row, as a rank
    for start, stop in ranking.cliques:
        begin, end = ranking.ranks[start] - gap, ranking.ranks[stop] + gap
        row = next((i for i, last in enumerate(ends) if last < begin), len(ends))
        ends[row:] = [end, *ends[row + 1 :]]
        rows.append(row)
    return rows


def _centres(lines: list[int], first: float) -> list[float]:
    """Return the heights of names of so many lines, one under another with a little air."""
    heights = np.array(lines) * LINE + 0.3 * LINE
    return list(first + np.cumsum(heights) - heights / 2)


def _width(canvas: FigureCanvasAgg, text: str) -> float:
    """Return the width of a text in inches."""
    figure = canvas.figure
    drawn = figure.text(0, 0, text, fontsize=SIZE, parse_math=False)
    width = drawn.get_window_extent(canvas.get_renderer()).width / figure.dpi
    drawn.remove()
    return float(width)


def _draw_axis(axes: Axes, low: int, high: int, left: float) -> None:
    axes.plot([left, left + AXIS], [HEADER, HEADER], color=INK, linewidth=1.2, zorder=2)
    for rank in range(low, high + 1, math.ceil((high - low) / TICKS)):
        x = left + AXIS * (rank - low) / (high - low)
        axes.plot([x, x], [HEADER - 0.07, HEADER], color=INK, linewidth=1.2)
        _write(axes, x, HEADER - 0.17, str(rank), ha="center")
    _write(axes, left + AXIS / 2, MARGIN + LINE / 2, "mean rank (1 is best)", ha="center", color=MUTED)


def _write(axes: Axes, x: float, y: float, text: str, ha: str, va: str = "center", color: str = INK) -> None:
    axes.text(x, y, text, ha=ha, va=va, color=color, fontsize=SIZE, parse_math=False, linespacing=1.25)
