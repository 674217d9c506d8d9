"""The commands that show what came of runs: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tsimage.errors import UserError, unknown

if TYPE_CHECKING:
    from distill.comparison import Comparison

Metric = Literal["accuracy", "subject_accuracy", "balanced_accuracy", "macro_f1", "ece"]
Format = Literal["text", "markdown", "csv", "latex", "json"]


def table(
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional],
    metric: Metric = "accuracy",
    baseline: str = "",
    seeds: bool = False,
    format: Format | None = None,
    out: Path | None = None,
    diagram: Path | None = None,
    debug: bool = False,
) -> None:
    """Fold runs into one table: mean, deviation and interval over seeds, differences paired with a baseline, tests.

    A model that several runs have in common is one row; seeds that are missing are named, never skipped.

    Args:
        folders: run directories, folders of grids, or folders of such.
        metric: what mean, deviation and differences are about; subject_accuracy counts each person alike.
        baseline: compare every row with the one whose name has this in it; by default each student with its own from scratch.
        seeds: show the value of every seed.
        format: text, unless the name of the file says another.
        out: write to this file (.txt, .md, .csv, .tex or .json) instead of printing.
        diagram: draw the critical-difference diagram to this file (.png, .svg or .pdf).
        debug: show the traceback of an error.
    """
    from distill.comparison import compare_runs
    from distill.formats import FORMATS, SUFFIXES
    from distill.records import read_records
    from tsimage import atomic

    if out is not None and format is None and out.suffix not in SUFFIXES:
        raise UserError(f"'{out}' ends in no format: name it {', '.join(SUFFIXES)}, or give --format")
    if diagram is not None and diagram.suffix not in (".png", ".svg", ".pdf"):
        raise unknown("ending of a diagram", diagram.suffix, [".png", ".svg", ".pdf"])
    made = compare_runs(read_records(folders), metric, baseline)
    text = FORMATS[format or (SUFFIXES[out.suffix] if out is not None else "text")](made, seeds)
    if diagram is not None:
        _draw(made, diagram)
    if out is None:
        sys.stdout.write(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(out, text.encode())


def report(
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path = Path("report.html"),
    metric: Metric = "accuracy",
    baseline: str = "",
    detail: str = "",
    debug: bool = False,
) -> None:
    """Write one HTML page about runs: table, curves, confusions, people, calibration, costs, windows, and the certificate.

    The page needs no network and no other file. Sections about single models show one run.

    Args:
        folders: run directories, folders of grids, or folders of such.
        out: the page to write, ending in .html.
        metric: what mean, deviation and differences of the table are about.
        baseline: compare every row with the one whose name has this in it; by default each student with its own from scratch.
        detail: the run whose models are shown, by a part of its name; by default the first that is finished.
        debug: show the traceback of an error.
    """
    from distill.report.report import write_report

    sys.stdout.write(f"wrote {write_report(folders, out, metric, baseline, detail)}\n")


def _draw(made: Comparison, path: Path) -> None:
    from distill.report.rank_diagram import draw_ranks
    from distill.signed_ranks import MIN_DIFFERENCES

    if made.ranking is None:
        raise UserError(
            f"there is no diagram to draw: it takes two models or more on the same {MIN_DIFFERENCES} subjects or data sets, or "
            "on more of them"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_ranks(made.ranking).savefig(path)
