"""The picture of labelled recordings: the signals over time, and the labels as bands of colour below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from distill.deploy.labelling import Labelled
from tsimage.axes import unit_text

RECORDINGS = 8
"""Most recordings in one picture: the first ones."""
_POINTS = 3000  # in a line; of more the extremes of stretches are drawn
_NO_LABEL = "0.9"
Colour = tuple[float, float, float, float] | str


def draw(labelled: Sequence[Labelled]) -> Figure:
    """Draw the first recordings, each with its signals, what the model said, and the true labels where known.

    A band begins where its window begins and reaches to the next window; grey is no label, and hatched is what the model
    does not know (energy).

    Parameters
    ----------
    labelled : sequence of Labelled
        As `distill.deploy.labelling.label` returns them; at least one.

    Returns
    -------
    Figure
    """
    shown = [each for each in labelled if each.answers][:RECORDINGS]
    classes = shown[0].contract.classes
    others = sorted({t for each in shown for t in each.sliced.truth if t} - set(classes))
    names = [*classes, *others]
    palette = colormaps["tab10" if len(names) <= 10 else "tab20"]
    colours: dict[str, Colour] = {name: palette(i % palette.N) for i, name in enumerate(names)}
    figure = Figure(figsize=(12, 1 + 2.4 * len(shown)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for each, part in zip(shown, np.atleast_1d(np.asarray(figure.subfigures(len(shown), 1))), strict=True):
        signals, bands = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _signals(signals, each)
        _bands(bands, each, colours)
        title = f"{each.sliced.id} ({each.sliced.subject})" if each.sliced.subject else each.sliced.id
        signals.set_title(title, fontsize=9)
    used = {a.label for each in shown for a in each.answers} | {t for each in shown for t in each.sliced.truth}
    handles = [Patch(color=colours[name], label=name) for name in names if name in used]
    handles.append(Patch(color=_NO_LABEL, label="no label"))
    if any(a.unknown for each in shown for a in each.answers):
        handles.append(Patch(facecolor="white", edgecolor="black", hatch="////", label="unknown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=8)
    return figure


def _signals(axes: Axes, each: Labelled) -> None:
    contract, sliced = each.contract, each.sliced
    stop = int(sliced.start[-1]) + contract.length
    values = np.full((len(contract.channels), stop), np.nan, dtype=np.float32)
    for start, window in zip(sliced.start.tolist(), sliced.values, strict=True):
        values[:, start : start + contract.length] = window
    time, lines = _thinned(values)
    for name, line in zip(contract.channels, lines, strict=True):
        axes.plot(time / contract.rate_hz, line, linewidth=0.6, label=name)
    units = dict.fromkeys(unit_text(unit) for unit in contract.units if unit)
    axes.set_ylabel(", ".join(units) or "unit unknown", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, loc="upper right", ncols=3)


def _bands(axes: Axes, each: Labelled, colours: Mapping[str, Colour]) -> None:
    rate, length = each.contract.rate_hz, each.contract.length
    starts = [*each.sliced.start.tolist(), int(each.sliced.start[-1]) + length]
    rows = [[a.label for a in each.answers]]
    if any(each.sliced.truth):
        rows.append(list(each.sliced.truth))
    for row, labels in enumerate(rows):
        spans: dict[tuple[str, bool], list[tuple[float, float]]] = {}  # one collection of each, for there may be many
        for i, label in enumerate(labels):
            is_unknown = row == 0 and bool(each.answers[i].unknown)
            width = min(starts[i + 1] - starts[i], length)
            spans.setdefault((label, is_unknown), []).append((starts[i] / rate, width / rate))
        for (label, is_unknown), where in spans.items():
            axes.broken_barh(
                where,
                (row - 0.4, 0.8),
                facecolors=colours.get(label, _NO_LABEL),
                hatch="////" if is_unknown else None,
                linewidth=0,
            )
    axes.set_yticks(range(len(rows)), ["model", "truth"][: len(rows)], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("s", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)


def _thinned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and lines of at most about `_POINTS` points: the least and the greatest value of each stretch."""
    n = values.shape[1]
    step = -(-2 * n // _POINTS)
    if step <= 2:
        return np.arange(n), values
    whole = n // step * step
    stretches = values[:, :whole].reshape(len(values), -1, step)
    lines = np.stack([np.fmin.reduce(stretches, axis=2), np.fmax.reduce(stretches, axis=2)], axis=2)
    return np.repeat(np.arange(0, whole, step), 2), lines.reshape(len(values), -1)
