"""The picture of an overview: who did what when, how much of each class, what is wrong, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from tsimage.axes import unit_text
from tsimage.overview import Overview

RECORDINGS, EXAMPLES = 40, 4
"""Most recordings in the timeline, and most classes of which a window is drawn."""
Colour = tuple[float, float, float, float] | str
NO_LABEL = "0.85"
LINES = ("#c0392b", "#1e8449", "#2471a3")


def draw_overview(found: Overview) -> Figure:
    """Draw what was found.

    Above, the recordings over time, coloured by class, breaks as black ticks (or people by class, where a format
    holds windows); beside it the size of each class and what is wrong; below, a window of the most frequent classes.

    Parameters
    ----------
    found : Overview

    Returns
    -------
    Figure
    """
    names = list(found.classes() or found.seconds())
    palette = colormaps["tab10" if len(names) <= 10 else "tab20"]
    colours = {name: palette(i % palette.N) for i, name in enumerate(names)}
    rows = min(RECORDINGS, len(found.recordings) or len(found.people()) or 1)
    height = max(2.6, 0.16 * rows + 1, 0.2 * len(names) + 1)
    figure = Figure(figsize=(12, height + 2.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=(height, 2.6))
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    left, classes, faults = above.subplots(1, 3, width_ratios=(3, 1.2, 1.2))
    if found.recordings:
        _timeline(left, found, colours)
    else:
        _people(left, found, names)
    amounts = found.classes() or found.seconds()
    title = "windows of each class" if found.classes() else "seconds of each class"
    _bars(classes, list(amounts), list(amounts.values()), title, [colours[name] for name in amounts])
    wrong = {f"{name} (windows)": n for name, n in found.flags().items() if n}
    if found.report is not None:
        wrong = {f"{kind} (rows)": n for kind, n in found.report.counts("rejected").items()} | wrong
    wrong = dict(sorted(wrong.items(), key=lambda item: -item[1])[:12])
    _bars(faults, list(wrong), list(wrong.values()), "rejected and flagged", ["#c0392b"] * len(wrong))
    if not wrong:
        faults.text(0.5, 0.5, "none", transform=faults.transAxes, ha="center", va="center")
        faults.set_axis_off()
    _examples(below, found, colours)
    figure.suptitle(f"{found.source.name} (format {found.source.format})", fontsize=11)
    return figure


def _timeline(axes: Axes, found: Overview, colours: Mapping[str, Colour]) -> None:
    shown = found.recordings[:RECORDINGS]
    for row, recording in enumerate(shown):
        minutes = 1 / recording.rate_hz / 60
        axes.broken_barh([(0, recording.values.shape[1] * minutes)], (row - 0.35, 0.7), color=NO_LABEL)
        for segment in recording.segments:
            if segment.label in colours:
                span = (segment.start * minutes, (segment.stop - segment.start) * minutes)
                axes.broken_barh([span], (row - 0.35, 0.7), color=colours[segment.label])
        if recording.breaks:
            axes.vlines(np.array(recording.breaks) * minutes, row - 0.45, row + 0.45, color="black", linewidth=0.7)
    axes.set_yticks(range(len(shown)), [recording.id for recording in shown], fontsize=6)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("minutes of samples; grey: no label, black: break")
    more = f", first {len(shown)} of {len(found.recordings)}" if len(shown) < len(found.recordings) else ""
    axes.set_title(f"recordings{more}", fontsize=9)


def _people(axes: Axes, found: Overview, names: Sequence[str]) -> None:
    windows = found.windows
    assert windows is not None
    people, row = np.unique(windows.subjects, return_inverse=True)
    table = np.zeros((len(people), len(names)), dtype=np.int64)
    np.add.at(table, (row, windows.labels), 1)
    axes.imshow(table[:RECORDINGS], aspect="auto", cmap="Blues", vmin=0)
    if table.size <= 200:
        for (i, j), n in np.ndenumerate(table):
            colour = "white" if n > 0.6 * table.max() else "black"
            axes.text(j, i, f"{n:,}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(min(RECORDINGS, len(people))), [p or "unknown" for p in people[:RECORDINGS]], fontsize=6)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
    axes.set_title("windows of each person and class", fontsize=9)


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], title: str, colours: Sequence[Colour]) -> None:
    axes.barh(range(len(names)), values, color=list(colours))
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(max(6, len(names)) - 0.5, -0.5)  # few bars are no thicker than many
    axes.margins(x=0.25)
    for row, value in enumerate(values):
        axes.text(value, row, f" {value:,.0f}", va="center", fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.tick_params(axis="x", labelsize=7)


def _examples(figure: SubFigure, found: Overview, colours: Mapping[str, Colour]) -> None:
    """Draw the middle window of the most frequent classes; the middle of the first recordings where there are none."""
    examples: list[tuple[str, np.ndarray, float | None]] = []
    channels, units, rate = found.layout()
    if found.windows is not None:
        by_size = sorted(found.classes().items(), key=lambda item: -item[1])
        for name, n in by_size[:EXAMPLES]:
            if n:
                of_class = np.flatnonzero(found.windows.labels == found.windows.class_names.index(name))
                examples.append((name, found.windows.values[of_class[len(of_class) // 2]], rate))
    else:
        for recording in found.recordings[:EXAMPLES]:
            middle, half = recording.values.shape[1] // 2, int(5 * recording.rate_hz)
            part = recording.values[:, max(0, middle - half) : middle + half]
            examples.append((f"{recording.id}, in the middle", part, recording.rate_hz))
    panels = figure.subplots(1, max(1, len(examples)), sharey=True, squeeze=False)[0]
    for panel, (name, values, hz) in zip(panels, examples, strict=False):
        time = np.arange(values.shape[1]) / (hz or 1)
        for channel, colour, label in zip(values[:3], LINES, channels, strict=False):
            panel.plot(time, channel, color=colour, linewidth=0.8, label=label)
        panel.set_title(name, fontsize=9, color=colours.get(name, "black"))
        panel.set_xlabel("s" if hz else "samples", fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel(unit_text(units[0]) if units[0] else "unit unknown", fontsize=8)
    if examples:
        panels[0].legend(fontsize=7, loc="best")
