"""What became of the run in detail under stress, where that was measured: curves, their numbers, and what was done to windows."""

from __future__ import annotations

import math

import pandas as pd

from distill.formats import MARK, interval, plain
from distill.report.page import Section
from distill.report.parts import Chart, Charts, Prose
from distill.report.study import Study
from distill.report.tables import Cell, SortableTable
from distill.stress import CONDITIONS, read_stress
from tsimage.errors import UserError

TITLE = "Robustness"


def robustness(study: Study) -> Section | None:
    """Show what `distill stress` measured of the run, or why that cannot be shown; None where it measured nothing."""
    try:
        found = read_stress(study.record)
    except UserError as error:
        return Section(title=TITLE, parts=(Prose(content=f"What was measured is not shown: {error}.", notice=True),))
    if found is None:
        return None
    chart = Chart(figure=found.figure(study.looks), title="Accuracy in % as windows are damaged")
    meanings = SortableTable(
        columns=("condition", "what becomes of the windows"),
        rows=tuple((name, CONDITIONS[name].meaning) for name in found.conditions),
        caption="Conditions.",
    )
    return Section(
        title=TITLE,
        parts=(
            Charts(charts=(chart,), caption=_signed(found.summary)),
            _numbers(found.table),
            Prose(content=_signed("\n\n".join(note for note in found.notes() if not note.startswith("drop:")))),
            meanings,
        ),
    )


def _numbers(found: pd.DataFrame) -> SortableTable:
    """Put the accuracies of all models side by side, a row for each condition and level, with the student's difference."""
    models = list(dict.fromkeys(found["model"]))
    rows: list[tuple[str | Cell, ...]] = []
    for (condition, level), here in found.groupby(["condition", "level"], sort=False):
        by_model = here.set_index("model")
        cells = [
            Cell(shown=_signed(plain(by_model["mean"][name], by_model["sd"][name])), value=by_model["mean"][name])
            for name in models
        ]
        student = here[here["role"] == "student"].iloc[0]
        difference = student["difference"]
        cells += [
            Cell(shown=plain(difference, math.nan, sign=True), value=difference),
            Cell(shown=interval(difference, student["difference_ci95"], sign=True), value=difference),
        ]
        rows.append((f"{condition} {level}".rstrip(), *cells))
    return SortableTable(
        columns=("condition and level", *models, "difference", "its 95 % interval"),
        rows=tuple(rows),
        caption="Accuracy in % by condition and level; click on a title to sort.",
    )


def _signed(words: str) -> str:
    return words.replace(MARK, "\N{PLUS-MINUS SIGN}")
