"""Pictures: one window with its images, and a contact sheet of every class."""

from __future__ import annotations

import difflib
import math
import textwrap
from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

from tsimage.axes import ImageAxes, image_axes, unit_text, value_label
from tsimage.errors import UserError, unknown
from tsimage.fields import Layer
from tsimage.imager import Imager
from tsimage.quantisation import LEVELS, decode
from tsimage.windows import Windows

LINES = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#148f77")
MISSING = (0.75, 0.75, 0.75)
"""Colour of pixels that are NaN."""

PANEL, SERIES, GAP, TICKS, BAR, HEADER, WIDEST = 1.7, 2.9, 0.15, 0.5, 0.75, 0.45, 16.0
"""Inches: side of an image, width of a series, between panels, for tick labels, for a colour bar, for the caption,
and the width at which a sheet goes on below."""
POPULAR = ("viridis", "cividis", "magma", "inferno", "RdBu_r", "PuOr_r", "gray")


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


def draw_window(windows: Windows, index: int, imager: Imager, colours: str | None = None) -> Figure:
    """Draw one window: a row per channel with the series and a column per field with its images and colour bar.

    The images keep their own axes: time in seconds, frequency in Hz, or birth and persistence in scaled units. A
    joint field has one image for all rows. Colours span the range of the field where it is fixed from below 0, and
    else what the window shows: one range and one colour bar per unit where the values have the channel's unit.

    Parameters
    ----------
    windows : Windows
    index : int
        Position of the window.
    imager : Imager
        One that must learn first does so on the training windows.
    colours : str, optional
        Colour map of matplotlib for all images; each field has its own by default.

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        For an unknown colour map, or windows that the imager cannot paint.
    """
    maps = [_colour_map(colours or layer.field.colours) for layer in imager.layers]
    one = windows.select([index])
    blocks = _blocks(windows, one, imager)
    what = (windows.length, imager.size, windows.rate_hz, imager.segmentation)
    axes = [image_axes(layer, *what) for layer in imager.layers]
    rows, header = len(windows.channels), HEADER + _title_height(imager.layers, PANEL)
    ends = {run.stop for layer in imager.layers for run in _runs(layer, windows.units)}
    tops = list(accumulate((PANEL + (BAR if row in ends else GAP) for row in range(1, rows)), initial=header))
    bottom = tops[-1] + PANEL
    lefts, sides, labelled, right = [], [], [], 0.9 + SERIES + GAP
    for column, layer in enumerate(imager.layers):
        # Neighbours of equal axes are labelled once, on the left.
        alone = any(neighbour.field.joint for neighbour in imager.layers[max(0, column - 1) : column + 1])
        labelled.append(column == 0 or alone or axes[column] != axes[column - 1])
        sides.append(1.5 * PANEL if layer.field.joint and rows > 1 else PANEL)
        lefts.append(right + (TICKS if labelled[-1] else 0))
        right = lefts[-1] + sides[-1] + GAP
    figure = _figure(right, bottom + TICKS + BAR)
    _draw_series([_place(figure, 0.9, top, SERIES, PANEL) for top in tops], one, imager)
    for column, (layer, block) in enumerate(zip(imager.layers, blocks, strict=True)):
        left, side = lefts[column], sides[column]
        under = [(header + bottom - side) / 2] if layer.field.joint else tops
        panels = [_place(figure, left, top, side, side) for top in under]
        panels[0].set_title(_title(layer, PANEL), fontsize=10)
        for run in _runs(layer, windows.units):
            norm = _norm(layer, block[0, run])
            for panel, image in zip(panels[run], block[0, run], strict=True):
                panel.imshow(image, cmap=maps[column], norm=norm, extent=axes[column].extent, aspect="auto")
                _label(panel, axes[column], across=panel is panels[-1], up=labelled[column])
            place = (left, under[run][-1] + side + (TICKS if panels[run][-1] is panels[-1] else GAP), side)
            units = windows.units if layer.field.joint else windows.units[run]
            _colour_bar(figure, place, norm, maps[column], value_label(layer, units))
    _caption(figure, f"{windows.name}: {windows.class_names[int(one.labels[0])]}, window {one.ids[0]}", imager)
    return figure


def draw_sheet(windows: Windows, imager: Imager, per_class: int, colours: str | None = None) -> Figure:
    """Draw a contact sheet: a row per class, evenly spaced windows, a block per field of the stack.

    Three channels or more show their first three as red, green and blue. With fewer, or `colours`, a colour map shows
    the first; so it does the one image of a joint field.

    Parameters
    ----------
    windows : Windows
    imager : Imager
        One that must learn first does so on the training windows.
    per_class : int
        Windows of each class, at most as many as the rarest class has.
    colours : str, optional
        Colour map of matplotlib.

    Returns
    -------
    Figure

    Raises
    ------
    UserError
        For an unknown colour map, windows that the imager cannot paint, or a torchvision that does not fit the
        installed torch.
    """
    from tsimage.vision import grid

    maps = [_colour_map(colours or layer.field.colours) for layer in imager.layers]
    counts = np.bincount(windows.labels, minlength=len(windows.class_names))
    per_class = min(per_class, int(counts[counts > 0].min()))
    members = [np.flatnonzero(windows.labels == code) for code in np.flatnonzero(counts)]
    picks = [found[np.linspace(0, len(found) - 1, per_class).round().astype(int)] for found in members]
    names = [windows.class_names[code] for code in np.flatnonzero(counts)]
    blocks = _blocks(windows, windows.select(np.concatenate(picks)), imager)
    rgb = len(windows.channels) >= 3 and colours is None
    width = per_class * float(np.clip(12 / (per_class * len(blocks)), max(0.62, 1.2 / per_class), 1.1))
    margin, pitch = 0.2 + 0.1 * max(map(len, names)), max(width, 1.8) + GAP
    down = math.ceil(len(blocks) * pitch / WIDEST)
    across = math.ceil(len(blocks) / down)
    titles = _title_height(imager.layers, pitch)
    band = titles + width * len(names) / per_class + BAR + GAP
    figure = _figure(max(6.0, margin + pitch * across), HEADER + band * down)
    for number, (layer, block, colour_map) in enumerate(zip(imager.layers, blocks, maps, strict=True)):
        if rgb and not layer.field.joint:
            picture, norm, label = _as_rgb(layer, block[:, :3], windows.units[:3])
            colour_map = _colour_map("gray")
        else:
            picture, norm = _mapped(layer, block, colour_map)
            label = value_label(layer, windows.units if layer.field.joint else windows.units[:1])
        laid = grid(np.ascontiguousarray(picture.transpose(0, 3, 1, 2), dtype=np.float32), per_class)
        left, top = margin + pitch * (number % across), HEADER + band * (number // across) + titles
        height = width * laid.shape[0] / laid.shape[1]
        panel = _place(figure, left, top, width, height)
        panel.imshow(laid, aspect="auto")
        panel.set_title(_title(layer, pitch), fontsize=10)
        middles = [(row + 0.5) * laid.shape[0] / len(names) - 0.5 for row in range(len(names))]
        panel.set_yticks(middles, names if number % across == 0 else [""] * len(names))
        panel.set_xticks([])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        _colour_bar(figure, (left, top + height + 0.1, width), norm, colour_map, label)
    first = "red {}, green {}, blue {}".format(*windows.channels[:3]) if rgb else f"channel {windows.channels[0]}"
    if all(layer.field.joint for layer in imager.layers):
        first = "all channels"
    long = f"{windows.length / windows.rate_hz:.4g} s" if windows.rate_hz else f"{windows.length} samples"
    _caption(
        figure, f"{windows.name}: {per_class} window{'s' * (per_class > 1)} of {long} of each class, {first}", imager
    )
    return figure


def colour_pictures(windows: Windows, chosen: Sequence[int], imager: Imager) -> list[tuple[str, np.ndarray]]:
    """Return pictures of some windows, a set for each field of the stack, coloured as in `draw_sheet`.

    Parameters
    ----------
    windows : Windows
    chosen : sequence of int
        Positions of the windows.
    imager : Imager
        One that must learn first does so on the training windows.

    Returns
    -------
    list of (str, ndarray of shape (window, S, S, 3))
        Name of each field and its pictures, red, green and blue from 0 to 1: the first three channels, or in the
        field's own colours the only one, the first of two, or the image of all together.

    Raises
    ------
    UserError
        For windows that the imager cannot paint.
    """
    pictures = []
    for layer, block in zip(imager.layers, _blocks(windows, windows.select(chosen), imager), strict=True):
        if len(windows.channels) >= 3 and not layer.field.joint:
            picture = _as_rgb(layer, block[:, :3], windows.units[:3])[0]
        else:
            picture = _mapped(layer, block, _colour_map(layer.field.colours))[0]
        pictures.append((_title(layer, PANEL), picture))
    return pictures


def _blocks(windows: Windows, chosen: Windows, imager: Imager) -> list[np.ndarray]:
    """Paint the chosen of the windows: for each layer its decoded images (window, image channel, size, size)."""
    if imager.needs_fit:
        from tsimage.conversion import ready

        imager = ready(windows, imager)
    images = imager(chosen)
    if imager.dtype in LEVELS:
        images = decode(images, imager.bounds(windows.units))
    widths = [1 if layer.field.joint else len(windows.channels) for layer in imager.layers]
    return np.split(images.astype(np.float32, copy=False), np.cumsum(widths)[:-1], axis=1)


def _draw_series(panels: Sequence[Axes], one: Windows, imager: Imager) -> None:
    time = np.arange(one.length) / (one.rate_hz or 1.0)
    limits = imager.limits(one.units) if imager.is_scaled else None
    for row, panel in enumerate(panels):
        panel.plot(time, one.values[0, row], color=LINES[row % len(LINES)], linewidth=1.1)
        panel.yaxis.set_label_coords(-0.55 / SERIES, 0.5)
        panel.set_ylabel(f"{one.channels[row]}\n[{unit_text(one.units[row])}]", fontsize=9)
        panel.set_xlim(0, one.length / (one.rate_hz or 1.0))
        panel.margins(y=0.12)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelbottom=row == len(panels) - 1, labelsize=8)
        low, high = panel.get_ylim()
        for level in [] if limits is None else limits[row]:
            if low <= level <= high:
                panel.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
    panels[-1].set_xlabel(f"time [{'s' if one.rate_hz else 'samples'}]", fontsize=8)


def _label(panel: Axes, axes: ImageAxes, *, across: bool, up: bool) -> None:
    panel.tick_params(labelbottom=across, labelleft=up, labelsize=8)
    panel.xaxis.set_major_locator(_ticks())
    panel.yaxis.set_major_locator(_ticks())
    if axes.marks:
        panel.yaxis.set_major_locator(FixedLocator(np.log10(axes.marks).tolist()))
        panel.yaxis.set_major_formatter(FixedFormatter([f"{mark:g}" for mark in axes.marks]))
    panel.set_xlabel(axes.across if across else "", fontsize=8)
    panel.set_ylabel(axes.up if up else "", fontsize=8)


def _runs(layer: Layer, units: Sequence[str]) -> list[slice]:
    """Return the rows that share a range of colours: neighbours of one unit where the values have the channel's unit."""
    if layer.field.joint or layer.field.bounds(layer.options, None)[0] is not None:
        return [slice(0, len(units))]
    ends = np.cumsum([len(list(run)) for _, run in groupby(units)]).tolist()
    return [slice(start, stop) for start, stop in pairwise([0, *ends])]


def _norm(layer: Layer, images: np.ndarray) -> Normalize:
    """Return the range of the colours: the field's own where it is known and begins below 0, else up to what is shown."""
    known = layer.field.bounds(layer.options, None)[0]
    low, high = known or (0.0, 1.0)
    seen = images[np.isfinite(images)]
    if seen.size and low >= 0:
        low, high = (float(seen.min()) if known is None else low), float(seen.max())
    return Normalize(low, high if high > low else low + 1.0)


def _mapped(layer: Layer, images: np.ndarray, colour_map: Colormap) -> tuple[np.ndarray, Normalize]:
    """Turn the first channel into pictures (window, S, S, 3), with the range of the colours."""
    norm = _norm(layer, images[:, :1])
    return colour_map(norm(np.ma.masked_invalid(images[:, 0])))[..., :3], norm


def _as_rgb(layer: Layer, images: np.ndarray, units: Sequence[str]) -> tuple[np.ndarray, Normalize, str]:
    """Turn three channels into pictures (window, S, S, 3), with what their brightness means."""
    runs = _runs(layer, units)
    norms = [_norm(layer, images[:, run]) for run in runs]
    shares = [norm(np.nan_to_num(images[:, run])).clip(0, 1) for run, norm in zip(runs, norms, strict=True)]
    picture = np.moveaxis(np.concatenate(shares, axis=1), 1, -1)
    picture[np.isnan(images).any(axis=1)] = MISSING
    if len(runs) == 1:
        return picture, norms[0], f"each colour: {value_label(layer, units)}"
    return picture, Normalize(0, 1), "each colour: share of its unit's range"


def _colour_map(name: str) -> Colormap:
    if name not in colormaps:
        folded = {known.casefold(): known for known in colormaps}
        near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=1)]
        raise unknown("colour map", name, [*dict.fromkeys([*near, *POPULAR]), "or another one of matplotlib"])
    return colormaps[name].with_extremes(bad=MISSING)


def _colour_bar(
    figure: Figure, place: tuple[float, float, float], norm: Normalize, colour_map: Colormap, label: str
) -> None:
    left, top, width = place
    panel = _place(figure, left + 0.12, top, width - 0.24, 0.1)  # narrower, so that neighbours' ends do not meet
    shown = ScalarMappable(norm, colour_map)
    bar = figure.colorbar(shown, cax=panel, orientation="horizontal", ticks=_ticks(), format="%g")
    panel.tick_params(labelsize=8)
    bar.set_label(textwrap.fill(label, int(14 * max(1.6, width)), break_long_words=False), fontsize=8)


def _ticks() -> MaxNLocator:
    return MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3)


def _title(layer: Layer, width: float) -> str:
    """Write a layer's name over its options, in lines that fit in `width` inches where they can be broken."""
    name, _, options = layer.label.partition("(")
    options = options.removesuffix(")").replace(",", ", ")
    return "\n".join([name.upper(), *textwrap.wrap(options, int(12 * width)), *["all channels"] * layer.field.joint])


def _title_height(layers: Sequence[Layer], width: float) -> float:
    return 0.1 + 0.17 * max(_title(layer, width).count("\n") + 1 for layer in layers)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place in inches from the left and the top of the figure."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _caption(figure: Figure, text: str, imager: Imager) -> None:
    text += f", {imager.size} x {imager.size}"
    text += f", scaling {imager.scaling}" if imager.is_scaled else ""
    text += f", as {imager.dtype}" if imager.dtype in LEVELS else ""
    width, height = figure.get_size_inches()
    figure.suptitle(textwrap.fill(text, int(12 * width)), fontsize=10, y=1 - 0.08 / height, va="top")
