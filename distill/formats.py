"""A comparison written as text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill.comparison import Comparison
from distill.notes import METRICS
from distill.signed_ranks import written_p

MARK = "+-"
OPTIMISTIC = " (optimistic)"


def panels(comparison: Comparison, seeds: bool = False) -> list[tuple[str, pd.DataFrame]]:
    """Return what a person reads of a comparison, as titles and frames of text: the metric with its differences, then the rest.

    Parameters
    ----------
    comparison : Comparison
    seeds : bool
        Whether the first has the value of every seed.
    """
    frame, first, others = comparison.frame, [], []
    for row in frame.to_dict("records"):
        compared = row["pairs"] > 0
        model = row["name"] + (OPTIMISTIC if row["optimistic"] else "")
        cells = {
            "model": model,
            METRICS[comparison.metric]: plain(row["mean"], row["sd"]),
            "95 % interval": interval(row["mean"], row["ci95"]),
            "n": str(row["n"]) + (f" of {row['n'] + len(row['missing'])}" if row["missing"] else ""),
            "difference": plain(row["difference"], row["difference_sd"], sign=True) if compared else "",
            "its 95 % interval": interval(row["difference"], row["difference_ci95"], sign=True),
            "p (Holm)": ""
            if math.isnan(row["p_holm"])
            else written_p(row["p_holm"]).removeprefix("p ").removeprefix("= "),
        }
        if seeds:
            cells["by seed"] = " ".join(f"{seed}: {_number(value)}" for seed, value in row["seeds"].items())
        first.append(cells)
        others.append(
            {"model": model}
            | {title: _number(row[name]) for name, title in METRICS.items() if name != comparison.metric}
            | {
                "agreement": " / ".join(_number(value) for value in row["agreement"].values()),
                "parameters": _whole(row["parameters"]),
                "MACs": _whole(row["macs"]),
                "bytes": _whole(row["bytes"]),
            }
        )
    made = []
    for title, cells_of in (("", first), ("Further metrics in %, means over seeds, and size", others)):
        panel = pd.DataFrame(cells_of)
        filled = [name for name in panel if (panel[name] != "").any()]
        if len(filled) > 1:
            made.append((title, panel[filled]))
    return made


def as_text(comparison: Comparison, seeds: bool = False) -> str:
    """Write a comparison with whole lines, however long."""
    text = io.StringIO()
    for title, panel in panels(comparison, seeds):
        drawn = Table(
            title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="", padding=(0, 1, 0, 0)
        )
        for name in panel:
            drawn.add_column(str(name), justify="left" if name in ("model", "by seed") else "right", no_wrap=True)
        for cells in panel.itertuples(index=False):
            drawn.add_row(*map(Text, cells))  # Text, since brackets in a str are markup
        Console(file=text, width=10_000, color_system=None).print(drawn)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    lines = lines[next(k for k, line in enumerate(lines) if line) :]  # the box begins with an empty one
    return "\n".join([*lines, "", *comparison.notes, *_told(comparison)]) + "\n"


def as_markdown(comparison: Comparison, seeds: bool = False) -> str:
    """Write a comparison as tables of GitHub's Markdown."""
    parts = []
    for title, panel in panels(comparison, seeds):
        rows = [list(panel), *panel.itertuples(index=False)]
        lines = ["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in rows]
        lines.insert(1, "|" + "|".join(":--" if name in ("model", "by seed") else "--:" for name in panel) + "|")
        parts.append("\n".join([*([title, ""] if title else []), *lines]))
    notes = "\n".join(f"- {_markdown(note)}" for note in (*comparison.notes, *_told(comparison)))
    return "\n\n".join([*parts, notes]) + "\n"


def as_latex(comparison: Comparison, seeds: bool = False) -> str:
    r"""Write a comparison as LaTeX tables with the rules of booktabs (``\usepackage{booktabs}``)."""
    parts = []
    for title, panel in panels(comparison, seeds):
        columns = "".join("l" if name in ("model", "by seed") else "r" for name in panel)
        heads = panel.rename(columns={name: _latex(str(name)) for name in panel})
        style = heads.map(_latex).style.hide(axis="index")
        parts.append((f"% {title}\n" if title else "") + style.to_latex(hrules=True, column_format=columns))
    notes = "".join(f"% {' '.join(note.split())}\n" for note in (*comparison.notes, *_told(comparison)))
    return "\n".join(parts) + notes


def as_csv(comparison: Comparison, seeds: bool = False) -> str:
    """Write every column of a comparison as CSV, one line per row; what holds several values is JSON in its cell."""
    frame = comparison.frame.copy()
    for name in ("seeds", "missing", "agreement"):
        frame[name] = [json.dumps(_known(value), ensure_ascii=False) for value in frame[name]]
    return frame.to_csv(index=False, lineterminator="\n")


def as_json(comparison: Comparison, seeds: bool = False) -> str:
    """Write everything about a comparison as JSON; what is not known is null."""
    rows = [{name: _known(value) for name, value in row.items()} for row in comparison.frame.to_dict("records")]
    content: dict[str, Any] = {"metric": comparison.metric, "rows": rows, "notes": list(comparison.notes)}
    ranking = comparison.ranking
    if ranking is not None:
        content["ranking"] = {
            "unit": ranking.unit,
            "n": ranking.n,
            "friedman_p": _known(ranking.friedman_p),
            "mean_ranks": dict(zip(ranking.models, map(float, ranking.ranks), strict=True)),
            "not_told_apart": [list(ranking.models[low : high + 1]) for low, high in ranking.cliques],
        }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Comparison, bool], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
    "json": as_json,
}
SUFFIXES = {".txt": "text", ".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json"}


def _told(comparison: Comparison) -> Sequence[str]:
    return [] if comparison.ranking is None else [comparison.ranking.caption(), *_ranked(comparison)]


def _ranked(comparison: Comparison) -> Sequence[str]:
    ranking = comparison.ranking
    if ranking is None:
        return []
    named = "; ".join(f"{rank:.2f} {name}" for name, rank in zip(ranking.models, ranking.ranks, strict=True))
    return [f"Mean ranks: {named}."]


def plain(mean: float, sd: float, sign: bool = False) -> str:
    """Write a mean with its deviation; the deviation is left out where it is NaN, and all where the mean is."""
    text = _number(mean, sign)
    return text if math.isnan(sd) or not text else f"{text} {MARK} {sd:.2f}"


def interval(mean: float, half: float, sign: bool = False) -> str:
    """Write an interval by its ends; empty where its half-width is NaN."""
    return "" if math.isnan(half) else f"{_number(mean - half, sign)} to {_number(mean + half, sign)}"


def _number(value: float, sign: bool = False) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}" if sign else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{int(value):,}"


def _markdown(cell: str) -> str:
    made = cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return made.replace(MARK, "±").replace("\n", " ")


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _latex(cell: str) -> str:
    made = "".join(_LATEX.get(c, c) for c in cell)
    return made.replace(MARK, r"$\pm$").replace("<", r"$<$").replace(">", r"$>$")


def _known(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {str(name): _known(one) for name, one in value.items()}
    return value
