"""Pictures: one window with its images, and a contact sheet of every class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tsimage.errors import UserError, unknown
from tsimage.imager import Imager
from tsimage.windows import Windows

GRAMIAN_LIMITS = (-1.0, 1.0)
COLOURS = {"gasf": "RdBu_r", "gadf": "PuOr_r", "mtf": "viridis"}
LINES = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#148f77")


def find_window(windows: Windows, pick: str) -> int:
    """Return the position of a window given by its position or its id.

    Raises
    ------
    UserError
        If there is no such window.
    """
    found = np.flatnonzero(windows.ids == pick)
    if len(found):
        return int(found[0])
    if pick.isdigit() and int(pick) < len(windows):
        return int(pick)
    if pick.isdigit():
        raise UserError(f"there is no window {pick}: {windows.name} has {len(windows)}, counted from 0")
    raise unknown("window", pick, [*windows.ids[:3].tolist(), "...", f"or a position from 0 to {len(windows) - 1}"])


def draw_window(windows: Windows, index: int, imager: Imager) -> Figure:
    """Draw one window: a row per axis, with the series, its PAA'd time axis in seconds, and its images.

    Parameters
    ----------
    windows : Windows
    index : int
        Position of the window.
    imager : Imager

    Returns
    -------
    Figure
    """
    one = windows.select([index])
    images = imager(one)[0].reshape(len(imager.fields), len(windows.channels), imager.size, imager.size)
    rows, columns = len(windows.channels), len(imager.fields)
    figure = Figure(figsize=(4.2 + 2.1 * columns, 0.6 + 1.95 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1 + columns, squeeze=False, width_ratios=[2.0] + [1.0] * columns)
    time = np.arange(windows.length) / (windows.rate_hz or 1.0)
    unit = "s" if windows.rate_hz else "samples"
    limits = imager.limits(windows.units) if imager.is_gramian else None
    end = windows.length / (windows.rate_hz or 1.0)
    for row, channel in enumerate(windows.channels):
        series = axes[row, 0]
        series.plot(time, one.values[0, row], color=LINES[row % len(LINES)], linewidth=1.1)
        series.set_ylabel(f"{channel}\n[{windows.units[row] or 'unit unknown'}]")
        series.set_xlim(0, end)
        series.margins(y=0.12)
        series.spines[["top", "right"]].set_visible(False)
        if limits is not None:
            for level in limits[row]:
                if series.get_ylim()[0] <= level <= series.get_ylim()[1]:
                    series.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
        for column, field in enumerate(imager.fields):
            low, high = _limits(field, images[column])
            panel = axes[row, 1 + column]
            shown = panel.imshow(images[column, row], cmap=COLOURS[field], vmin=low, vmax=high, extent=(0, end, end, 0))
            panel.set_xticks([0, end])
            panel.set_yticks([])
            panel.tick_params(labelbottom=row == rows - 1)
            if row == 0:
                panel.set_title(field.upper(), fontsize=10)
            if row == rows - 1:
                figure.colorbar(shown, ax=axes[:, 1 + column], location="bottom", shrink=0.85, pad=0.02)
        series.tick_params(labelbottom=row == rows - 1)
    axes[-1, 0].set_xlabel(f"time [{unit}]")
    scaled = f", scaling {imager.scaling}" if imager.is_gramian else ""
    figure.suptitle(
        f"{windows.name}: {windows.class_names[int(one.labels[0])]}, window {one.ids[0]}, "
        f"{imager.size} x {imager.size}{scaled}",
        fontsize=10,
    )
    return figure


def draw_sheet(windows: Windows, imager: Imager, per_class: int) -> Figure:
    """Draw a contact sheet: a row per class, evenly spaced windows, a block per field of the stack.

    Three channels or more show their first three as red, green and blue; fewer show the first in grey.

    Parameters
    ----------
    windows : Windows
    imager : Imager
    per_class : int
        Windows of each class, at most as many as the rarest class has.

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        If torchvision does not fit the installed torch.
    """
    from tsimage.vision import grid

    counts = np.bincount(windows.labels, minlength=len(windows.class_names))
    per_class = min(per_class, int(counts[counts > 0].min()))
    picks: list[np.ndarray] = []
    for code in range(len(windows.class_names)):
        members = np.flatnonzero(windows.labels == code)
        picks.append(
            members[np.linspace(0, len(members) - 1, per_class).round().astype(int)] if len(members) else members
        )
    names = [name for name, members in zip(windows.class_names, picks, strict=True) if len(members)]
    chosen = windows.select(np.concatenate(picks))
    images = imager(chosen)
    n_channels = len(windows.channels)
    figure = Figure(
        figsize=(max(6.0, 1.2 + 0.62 * per_class * len(imager.fields)), 1.0 + 0.66 * len(names)),
        dpi=120,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(imager.fields), squeeze=False)[0]
    for column, field in enumerate(imager.fields):
        block = images[:, column * n_channels : (column + 1) * n_channels]
        low, high = _limits(field, block)
        block = block[:, :3] if n_channels >= 3 else np.repeat(block[:, :1], 3, axis=1)
        block = ((block - low) / (high - low)).clip(0, 1).astype(np.float32)
        picture = grid(block, per_class)
        axes[column].imshow(picture)
        axes[column].set_title(f"{field.upper()}, {low:g} to {high:.2g}", fontsize=10)
        axes[column].set_xticks([])
        axes[column].set_yticks(_middles(len(names), picture.shape[0]), names if column == 0 else [""] * len(names))
        axes[column].tick_params(length=0)
        axes[column].spines[:].set_visible(False)
    shown = ", ".join(windows.channels[:3]) + " as red, green, blue" if n_channels >= 3 else windows.channels[0]
    figure.suptitle(f"{windows.name}: {per_class} windows of each class\n{shown}", fontsize=10)
    return figure


def _limits(field: str, images: np.ndarray) -> tuple[float, float]:
    """Return the values drawn as darkest and brightest: transition shares are far below 1 unless bins are few."""
    return (0.0, float(images.max())) if field == "mtf" else GRAMIAN_LIMITS


def _middles(rows: int, height: int) -> Sequence[float]:
    return [(row + 0.5) * height / rows for row in range(rows)]
