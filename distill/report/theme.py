"""The colours of the page and its charts, in light and dark, and how models are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff",
        "raised": "#f4f6f8",
        "ink": "#1c2128",
        "muted": "#59636e",
        "line": "#d3d9e0",
        "link": "#0a5cad",
        "series-1": "#0d5ecb",
        "series-2": "#d96109",
        "series-3": "#05a474",
        "series-4": "#4c545e",
        "series-5": "#97629a",
        "series-6": "#795100",
    }
)
"""Names of the style sheet's variables and their colours on the light page; charts are drawn in these."""
DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#15191e",
        "raised": "#1f252c",
        "ink": "#e4e8ec",
        "muted": "#a0a9b3",
        "line": "#3a424c",
        "link": "#74b6f5",
        "series-1": "#45a7ff",
        "series-2": "#ef8a36",
        "series-3": "#278f71",
        "series-4": "#aab4bd",
        "series-5": "#b97bb9",
        "series-6": "#f0e08a",
    }
)
"""The same on the dark page."""
SERIES = tuple(colour for name, colour in LIGHT.items() if name.startswith("series"))
"""Colours of lines and bars: told apart by people with any kind of colour vision, in both themes."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
MARKERS = "osD^vPX*"

VARIABLES: Mapping[str, str] = MappingProxyType(
    {colour: f"var(--{name})" for name, colour in LIGHT.items()} | {"#000000": "var(--ink)"}
)
"""A colour in a chart to what stands for it in the page."""

STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "text.color": LIGHT["ink"],
        "text.parse_math": False,  # a class may be called "a$b$c"
        "axes.edgecolor": LIGHT["muted"],
        "axes.labelcolor": LIGHT["ink"],
        "axes.labelsize": 9.0,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9.0,
        "grid.color": LIGHT["line"],
        "grid.linewidth": 0.6,
        "xtick.color": LIGHT["muted"],
        "ytick.color": LIGHT["muted"],
        "xtick.labelcolor": LIGHT["ink"],
        "ytick.labelcolor": LIGHT["ink"],
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.0,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
    }
)
"""Settings of matplotlib under which charts are made and written."""
styled = matplotlib.rc_context(dict(STYLE))
"""Decorates a function that draws, so that what the user has set in matplotlib changes no report."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one model is drawn everywhere: colour first, but readable without.

    Parameters
    ----------
    colour : str
    dashes : str or (float, tuple of float)
        Of lines, as matplotlib writes them.
    marker : str
    """

    colour: str
    dashes: Any
    marker: str


Looks = Mapping[str, Look]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Give each name its own look: colours first, then colours with other dashes.

    Parameters
    ----------
    names : iterable of str
        Without repeats. Give all models of a page at once, so that each looks the same in every chart.

    Returns
    -------
    dict of str to Look

    Examples
    --------
    >>> found = looks(["teacher", "student"])
    >>> found["student"].colour, found["student"].marker
    ('#d96109', 's')
    """
    every = list(product(DASHES, SERIES))
    return {
        name: Look(colour=every[i % len(every)][1], dashes=every[i % len(every)][0], marker=MARKERS[i % len(MARKERS)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def blank(width: float, height: float, *, compress: bool = False) -> Figure:
    """Return an empty figure of a size in inches; call it, as all that draws, in a function that is `styled`.

    `compress` leaves no gaps between panels whose height follows from their width, as images'.
    """
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, compress=compress))
    FigureCanvasAgg(figure)
    return figure


def legend(figure: Figure, axes: Axes) -> None:
    """Put the legend of the axes above the figure, in as many columns as fit in its width."""
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        columns = legend_columns(names, figure.get_figwidth())
        rows = -(-len(names) // columns)
        figure.set_figheight(figure.get_figheight() + 0.19 * rows)
        figure.legend(handles, names, loc="outside upper left", ncols=columns, handlelength=2.2, borderaxespad=0.1)


def legend_columns(names: Sequence[str], width: float, *, line: float = 0.5) -> int:
    """Return how many columns of a legend fit in a width, beside lines and gaps of a width, in inches.

    >>> legend_columns(["acc-x", "acc-y", "acc-z"], 2.0)
    2
    """
    each = 0.062 * max(map(len, names)) + line  # at 8 points
    return max(1, min(len(names), int(width / each)))


def variables() -> str:
    """Write the colours as a style sheet: light, dark by the reader's system or by hand, and light on paper.

    >>> variables().splitlines()[0][:28]
    ':root { color-scheme: light;'
    """
    light, dark = (
        f"color-scheme: {scheme}; " + " ".join(f"--{name}: {colour};" for name, colour in colours.items())
        for scheme, colours in (("light", LIGHT), ("dark", DARK))
    )
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f'@media screen {{ :root[data-theme="light"] {{ {light} }} :root[data-theme="dark"] {{ {dark} }} }}\n'
    )
