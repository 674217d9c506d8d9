"""The results of a grid in one table: what varies, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from distill.layout import RESULT, described, read_result
from distill.options import words_of
from distill.statistics import MIN_N
from distill.table import plus_minus, table


def grid_table(folder: str | Path, metric: str = "accuracy", content: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return one row per model of every run of a grid.

    Parameters
    ----------
    folder : str or Path
        Of the grid.
    metric : str
        See `distill.table.table`.
    content : mapping, optional
        In place of the folder's `grid.json`, which another process may have replaced.

    Returns
    -------
    DataFrame
        Columns `run`, `state` (done, or missing where a training failed or is not done yet, in one row without numbers), one
        for each option that varies, and those of `distill.table.table`.

    Raises
    ------
    UserError
        If the folder holds no grid, or for an unknown metric.
    """
    folder = Path(folder)
    frames = []
    for entry in (described(folder) if content is None else content)["runs"]:
        result = folder / entry["folder"] / RESULT
        about: dict[str, Any] = {"run": entry["name"], "state": "done" if result.exists() else "missing"}
        about |= {name: _written(value) for name, value in entry["values"].items()}
        rows = table(read_result(result.parent), metric) if result.exists() else pd.DataFrame([{}])
        for place, (name, value) in enumerate(about.items()):
            rows.insert(place, name, [value] * len(rows))
        frames.append(rows.astype(object))
    return pd.concat(frames, ignore_index=True)


def as_table(frame: pd.DataFrame, axes: Sequence[str]) -> Table:
    """Draw the students of a grid: what varies, from scratch, distilled, and the difference paired by seed."""
    drawn = Table(title="Accuracy in %", title_justify="left", box=box.SIMPLE_HEAD)
    for axis in axes:
        drawn.add_column(words_of(axis))
    for name in ("teachers", "from scratch", "distilled", "n", "difference", "95 % interval"):
        drawn.add_column(name, justify="right", no_wrap=name != "teachers")
    for _, rows in frame.groupby("run", sort=False):
        first = rows.iloc[0]
        values = ["" if first[axis] is None else str(first[axis]) for axis in axes]
        if first["state"] != "done":
            drawn.add_row(*map(Text, values), "", "missing")
            continue
        teachers = rows[rows["role"] == "teacher"]
        scratch, student = (rows[rows["role"] == role].iloc[0] for role in ("scratch", "student"))
        interval = ""
        if student["n"] >= MIN_N:
            low, high = (student["difference"] + side * student["difference_ci95"] for side in (-1, 1))
            interval = f"{low:+.2f} to {high:+.2f}"
        drawn.add_row(
            *map(Text, values),  # as they are: a pattern of channels may hold brackets, which rich takes for markup
            ", ".join(f"{mean:.2f}" for mean in teachers["mean"]),
            plus_minus(scratch["mean"], scratch["sd"]),
            plus_minus(student["mean"], student["sd"]),
            str(student["n"]),
            plus_minus(student["difference"], student["difference_sd"], sign=True),
            interval,
        )
    return drawn


def _written(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
