"""Tables of a page: one that sorts, and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distill.report.markup import breakable, scrolled, text

Value = str | float | None


WIDEST = 36
"""Letters of a column of text, which wraps beyond."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell that shows one thing and sorts by another.

    Parameters
    ----------
    shown : str
        As "93.10 +- 0.18".
    value : str, float or None
        As 93.10; None or NaN where it is missing.
    """

    shown: str
    value: Value


@dataclass(frozen=True, kw_only=True)
class SortableTable:
    """A table that the reader sorts by clicking on a column's title, or with the keyboard.

    Numbers sort as numbers, text as text with its numbers in order; what is missing stays last either way, and rows
    that are equal keep their order.

    Parameters
    ----------
    columns : tuple of str
    rows : tuple of tuple
        Of str, numbers, None (or NaN) where a value is missing, or `Cell`. The first cell names its row. Plain numbers
        of a column are shown with equally many decimals.
    caption : str

    Raises
    ------
    ValueError
        If a row does not have a cell for each column.

    Examples
    --------
    >>> made = SortableTable(columns=("model", "accuracy"), rows=(("student", 93.1), ("lost", None)), caption="All").html("p")
    >>> '<td class="number" data-value="93.1">93.1</td>' in made, made.count("data-value")
    (True, 3)
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value | Cell, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns: {row}")

    def html(self, place: str) -> str:
        """Write the table; the script of the page makes buttons of the titles."""
        columns = [[row[i] for row in self.rows] for i in range(len(self.columns))]
        kinds = ["number" if _numeric(cells) else "text" for cells in columns]
        decimals = [_decimals(cells) for cells in columns]
        titles = zip(self.columns, kinds, strict=True)
        widths = [_width(cells) if kind == "text" else "" for cells, kind in zip(columns, kinds, strict=True)]
        head = "".join(
            f'<th scope="col" class="{kind}" data-kind="{kind}"{width}>{text(name)}</th>'
            for (name, kind), width in zip(titles, widths, strict=True)
        )
        body = ""
        for row in self.rows:
            cells = enumerate(zip(row, kinds, decimals, strict=True))
            body += "<tr>" + "".join(_cell(*how, names_row=i == 0) for i, how in cells) + "</tr>"
        table = f'<table class="sortable"><caption><span>{text(self.caption)}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return scrolled(table, label=self.caption)


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusions:
    """Confusion matrices of several models, side by side where there is room.

    Classes are numbered, so that columns stay narrow however long the names are. A cell shows the percentage of its
    row, and below it the windows.

    Parameters
    ----------
    counts : mapping of str to ndarray of int, each of shape (class, class)
        By model: windows of each true class (row) by what was said (column).
    class_names : tuple of str

    Raises
    ------
    ValueError
        If a matrix does not have a row and a column for each class.

    Examples
    --------
    >>> made = Confusions(counts={"student": np.array([[3, 1], [0, 0]])}, class_names=("sit", "walk")).html("p1_1")
    >>> '<td class="hit" style="--share: 0.750">75<small>3</small></td>' in made
    True
    """

    counts: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.class_names)
        for name, matrix in self.counts.items():
            if matrix.shape != (n, n):
                raise ValueError(f"the confusion matrix of {name} has shape {matrix.shape} beside {n} classes")

    def html(self, place: str) -> str:
        """Write the tables."""
        tables = "".join(self._table(name, matrix) for name, matrix in self.counts.items())
        explained = (
            "Rows are the true classes, columns what the model said. Large: percent of the row; small: windows; n: windows of the class. "
            "The diagonal is right."
        )
        return f'<figure><div class="beside">{tables}</div><figcaption>{explained}</figcaption></figure>'

    def _table(self, name: str, matrix: np.ndarray) -> str:
        numbered = list(enumerate(self.class_names, 1))
        head = "".join(
            f'<th scope="col" title="{text(says)}">{i}<span class="unseen"> {text(says)}</span></th>'
            for i, says in numbered
        )
        body = "".join(
            f'<tr><th scope="row"><span class="number">{i}</span> {breakable(true)}</th>{_shares(row, i - 1)}<td class="sum">{row.sum():,}</td></tr>'
            for (i, true), row in zip(numbered, matrix, strict=True)
        )
        table = (
            f'<table class="confusion"><caption><span>{text(name)}</span></caption><thead><tr><th scope="col">true class</th>{head}'
            f'<th scope="col" class="sum">n</th></tr></thead><tbody>{body}</tbody></table>'
        )
        return f'<div class="drawing">{scrolled(table, label=f"Confusion matrix of {name}")}</div>'


def _value(cell: Value | Cell) -> Value:
    value = cell.value if isinstance(cell, Cell) else cell
    return None if value is None or (not isinstance(value, str) and math.isnan(value)) else value


def _numeric(cells: list[Value | Cell]) -> bool:
    """Return whether a column holds numbers and nothing else."""
    known = [value for value in map(_value, cells) if value is not None]
    return bool(known) and not any(isinstance(value, str) for value in known)


def _width(cells: list[Value | Cell]) -> str:
    """Return the least width of a column of text: its longest line, or of names that are very long half a line."""
    longest = max((len(cell.shown if isinstance(cell, Cell) else str(cell)) for cell in cells), default=0)
    return f' style="min-width: min({min(longest, WIDEST)}ch, 42vw)"'


def _decimals(cells: list[Value | Cell]) -> int:
    """Return the decimals that all plain numbers of a column are shown with: as many as any has, at most 4."""
    plain = [cell for cell in cells if not isinstance(cell, str | Cell) and _value(cell) is not None]
    return max((len(f"{value:.4f}".rstrip("0").partition(".")[2]) for value in plain), default=0)


def _cell(cell: Value | Cell, kind: str, decimals: int, names_row: bool) -> str:
    tag, scope = ("th", ' scope="row"') if names_row else ("td", "")
    value = _value(cell)
    if isinstance(cell, Cell):
        shown = cell.shown
    elif value is None:
        shown = "\N{EN DASH}"
    else:
        shown = value if isinstance(value, str) else f"{value:,.{decimals}f}"
    known = "" if value is None else f' data-value="{text(value)}"'
    return f'<{tag}{scope} class="{kind}"{known}>{text(shown)}</{tag}>'


def _shares(row: np.ndarray, true: int) -> str:
    """Write the cells of a true class."""
    total = max(1, int(row.sum()))
    cells = []
    for said, n in enumerate(row.tolist()):
        kind = "hit" if said == true else "miss"
        if n == 0:
            cells.append(f'<td class="{kind} none">0</td>')
        else:
            cells.append(
                f'<td class="{kind}" style="--share: {n / total:.3f}">{text(_percent(n / total))}<small>{n:,}</small></td>'
            )
    return "".join(cells)


def _percent(share: float) -> str:
    """Write a share in whole percent that is 0 or 100 only where it is exactly so.

    >>> _percent(0.001), _percent(0.999), _percent(1.0), _percent(0.416)
    ('<1', '>99', '100', '42')
    """
    if 0 < share <= 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"
