"""Parts of a page: sentences, charts, code, facts."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from distill.report.markup import text
from distill.report.svg import inline


@dataclass(frozen=True, kw_only=True)
class Prose:
    """Sentences in paragraphs.

    Parameters
    ----------
    content : str
        Plain text; an empty line begins a paragraph.
    notice : bool
        Whether the reader must not miss it.

    Examples
    --------
    >>> Prose(content="a < b\\n\\nc").html("p1_1")
    '<p>a &lt; b</p><p>c</p>'
    """

    content: str
    notice: bool = False

    def html(self, place: str) -> str:
        """Write the paragraphs."""
        paragraphs = "".join(f"<p>{text(paragraph.strip())}</p>" for paragraph in self.content.split("\n\n"))
        return f'<div class="notice" role="note">{paragraphs}</div>' if self.notice else paragraphs


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """One drawing.

    Parameters
    ----------
    figure : Figure
    title : str
        Stands above it.
    description : str
        What it shows, for those who do not see it; not printed.
    facts : tuple of (str, str)
        Stand below it, as what each model says of a window.
    """

    figure: Figure
    title: str
    description: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    def html(self, place: str) -> str:
        """Write title, drawing and facts."""
        svg = inline(self.figure, place=place, title=self.title, description=self.description)
        drawn = f'<h3>{text(self.title)}</h3><div class="scroll">{svg}</div>'
        return f'<div class="drawing">{drawn}{Facts(items=self.facts).html(place) if self.facts else ""}</div>'


@dataclass(frozen=True, kw_only=True, eq=False)
class Charts:
    """Drawings side by side where there is room, with one caption.

    Parameters
    ----------
    charts : tuple of Chart
    caption : str
        What lines, bands and colours mean.
    """

    charts: tuple[Chart, ...]
    caption: str = ""

    def html(self, place: str) -> str:
        """Write the drawings and the caption."""
        drawn = "".join(chart.html(f"{place}_{number}") for number, chart in enumerate(self.charts, 1))
        caption = f"<figcaption>{text(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure><div class="beside">{drawn}</div>{caption}</figure>'


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text to copy, as a command.

    Examples
    --------
    >>> Code(content="distill --seeds 0 1", label="Command").html("p1_1")
    '<div class="code"><pre tabindex="0" aria-label="Command"><code>distill --seeds 0 1</code></pre></div>'
    """

    content: str
    label: str

    def html(self, place: str) -> str:
        """Write the block; the script of the page adds the button that copies it."""
        inner = f"<code>{text(self.content)}</code>"
        return f'<div class="code"><pre tabindex="0" aria-label="{text(self.label)}">{inner}</pre></div>'


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and what they stand for, as versions.

    Examples
    --------
    >>> Facts(items=(("numpy", "2.1"),)).html("p1_1")
    '<dl><div><dt>numpy</dt><dd>2.1</dd></div></dl>'
    """

    items: tuple[tuple[str, str], ...]

    def html(self, place: str) -> str:
        """Write the list."""
        return "<dl>" + "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in self.items) + "</dl>"
