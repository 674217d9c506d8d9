"""A stress bench as text."""

from __future__ import annotations

import io
import math

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill.formats import plain
from distill.stress.measuring import CLEAN

HEADS = {"scratch": "from scratch", "control": "trained on", "student": "distilled"}


def as_text(found: pd.DataFrame) -> str:
    """Write a comparison as a table: students with what they lose, the difference with its interval, then teachers.

    Parameters
    ----------
    found : DataFrame
        As `distill.stress.comparing.compared` returns it.

    Returns
    -------
    str
        Whole lines, however long.
    """
    students = [role for role in HEADS if (found["role"] == role).any()]
    teachers = list(dict.fromkeys(found.loc[found["role"] == "teacher", "model"]))
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("condition", no_wrap=True)
    heads = ["level", *(head for role in students for head in (HEADS[role], "drop"))]
    for head in (*heads, "difference", "its 95 % interval", *teachers):
        drawn.add_column(head, justify="right", no_wrap=True)
    before = CLEAN
    for (condition, level), rows in found.groupby(["condition", "level"], sort=False):
        if condition != before:
            drawn.add_row()
        by_role = {row["role"]: row for row in rows.to_dict("records")}
        cells = ["" if condition == before != CLEAN else str(condition), str(level)]
        for role in students:
            row = by_role[role]
            cells += [plain(row["mean"], row["sd"]), "" if condition == CLEAN else _points(row["drop"])]
        row = by_role["student"]
        low, high = (row["difference"] + sign * row["difference_ci95"] for sign in (-1, 1))
        cells += [_signed(row["difference"]), "" if math.isnan(low) else f"{_signed(low)} to {_signed(high)}"]
        of_teachers = rows.set_index("model")
        cells += [plain(of_teachers.loc[name, "mean"], of_teachers.loc[name, "sd"]) for name in teachers]
        drawn.add_row(*map(Text, cells))  # Text, since brackets in a str are markup
        before = str(condition)
    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(drawn)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _points(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")  # a mean may be off by a rounding


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}".replace("-0.00", "+0.00")
