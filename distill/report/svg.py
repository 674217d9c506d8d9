"""A figure of matplotlib as SVG inside a page, in the colours and the font of the page."""

from __future__ import annotations

import io
import re
import warnings
from html import escape

import matplotlib
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from distill.report.theme import STYLE, VARIABLES

IMAGE_DPI = 150
"""Dots per inch of what is drawn as an image; all else are lines and text."""
INCH = 96
"""Pixels of CSS in an inch."""
NARROWEST = 0.65
"""Down to this share of its own width a chart shrinks with its column, so that its text stays readable; then its box scrolls."""

_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_FONT = re.compile(r"(?<=px )'[^;\"]*|(?<=font-family: )[^;\"]*")
_ID = re.compile(r' id="([^"]+)"')
_USE = re.compile(r'(xlink:href="#|url\(#)([^")]+)')


def inline(figure: Figure, *, place: str, title: str, description: str = "") -> str:
    """Write a figure as an `<svg>` element.

    Colours of the theme (`distill.report.theme`), and black, become the variables of the page's style sheet, so that
    one drawing serves the light and the dark page. Text stays text, in the page's font. A figure made of
    the same data gives the same bytes.

    Parameters
    ----------
    figure : Figure
        Not one of pyplot. Its meshes of colours (as of a colour bar) become images.
    place : str
        Begins every id in the drawing: letters, digits and hyphens, unique in the page.
    title, description : str
        What the picture is and what it shows, for those who do not see it.

    Returns
    -------
    str

    Examples
    --------
    >>> figure = Figure(figsize=(2, 1))
    >>> line = figure.subplots().plot([0, 1], color="black")
    >>> text = inline(figure, place="loss", title="Loss < 1")
    >>> text[:58]
    '<svg class="chart" role="img" aria-labelledby="loss-title"'
    >>> '<title id="loss-title">Loss &lt; 1</title>' in text, "stroke: var(--ink)" in text
    (True, True)
    """
    drawn = _drawn(figure)
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    # matplotlib's own rule is for every element of what it is put into.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = _COLOUR.sub(lambda found: VARIABLES.get(found[0], found[0]), _own_ids(body, place))
    body = _FONT.sub("var(--sans)", body)
    width, height = (float(side) for side in figure.get_size_inches())
    names, about = f"{place}-title", ""
    if description:
        names += f" {place}-about"
        about = f'<desc id="{place}-about">{escape(description)}</desc>'
    return (
        f'<svg class="chart" role="img" aria-labelledby="{names}" viewBox="0 0 {72 * width:g} {72 * height:g}" '
        f'style="width: {INCH * width:.0f}px; max-width: max(100%, {NARROWEST * INCH * width:.0f}px)" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{place}-title">{escape(title)}</title>{about}{body.strip()}'
    )


def _drawn(figure: Figure) -> str:
    """Write the figure with matplotlib: no date, ids by content, text as text."""
    for mesh in figure.findobj(QuadMesh):
        mesh.set_rasterized(True)  # 256 paths for every colour bar otherwise
    text = io.StringIO()
    settings = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "distill", "svg.image_inline": True}
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser has fonts for the letters that matplotlib's does not have.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure.savefig(text, format="svg", transparent=True, dpi=IMAGE_DPI, metadata=nothing)
    return text.getvalue()


def _own_ids(body: str, place: str) -> str:
    """Keep the ids that something refers to, in the order of their appearance as `place-1`, ..., and drop the rest."""
    used = {name for _, name in _USE.findall(body)}
    names = {name: f"{place}-{number}" for number, name in enumerate((n for n in _ID.findall(body) if n in used), 1)}
    body = _ID.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", body)
    return _USE.sub(lambda found: found[1] + names[found[2]], body)
