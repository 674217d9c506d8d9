"""Results folded into a table of mean and sample standard deviation over seeds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from distill.selection import described
from distill.splits import NAMED
from distill.statistics import MIN_N, paired, spread
from tsimage.errors import unknown

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "subject_accuracy")


def table(result: dict[str, Any], metric: str = "accuracy") -> pd.DataFrame:
    """Fold a `result.json` into one row per model: teachers, the student from scratch, the distilled student.

    Parameters
    ----------
    result : dict
        As read from `result.json`.
    metric : {"accuracy", "balanced_accuracy", "macro_f1", "subject_accuracy"}
        `accuracy` is over all windows, `subject_accuracy` the mean over subjects.

    Returns
    -------
    DataFrame
        Columns `role`, `network`, `view`, `weight` (of a teacher), `parameters`, `mean`, `sd`, `ci95`, `n`,
        `seeds` (seed to value), and for the distilled student `difference`, `difference_sd`,
        `difference_ci95`: to the student from scratch, or with a warm start to the control that was trained as long, paired
        by seed. Accuracies are in percent.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    rows = []
    by_role = {m["role"]: m for m in result["models"]}
    scratch = by_role.get("control", by_role["scratch"])
    for model in result["models"]:
        values = {seed: _percent(scores[metric]) for seed, scores in model["seeds"].items()}
        row = {key: model.get(key, "") for key in ("role", "network", "view", "apart", "weight", "parameters")}
        row |= spread(list(values.values())) | {"seeds": values}
        if model["role"] == "student":
            baseline = [_percent(scratch["seeds"][seed][metric]) for seed in values]
            difference = paired(list(values.values()), baseline)
            row |= {
                "difference": difference["mean"],
                "difference_sd": difference["sd"],
                "difference_ci95": difference["ci95"],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def format_table(result: dict[str, Any]) -> str:
    """Write the table as text, with the formula of the loss and what +- means."""
    frame = table(result)
    f1 = table(result, "macro_f1")
    known = all(scores.get("subject_accuracy") is not None for m in result["models"] for scores in m["seeds"].values())
    people = table(result, "subject_accuracy") if result.get("folds") and known else None
    title = (
        f"{result['data']}: accuracy in % on the {result['part']} part ({result['windows'][result['part']]:,} windows)"
    )
    grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    columns = ["model", "weight", "parameters", "accuracy", "n", "by seed", "macro-F1"]
    for name in columns if people is None else [*columns, "mean of subjects"]:
        grid.add_column(name, justify="left" if name in ("model", "by seed") else "right", no_wrap=True)
    titles = {
        "teacher": "teacher {}:{}{}",
        "scratch": "{} from scratch",
        "control": "{} from scratch, trained on",
        "student": "{} distilled",
    }
    optimistic = result.get("protocol") == "lab"
    baseline = "from scratch"
    if (frame["role"] == "control").any():
        baseline += ", trained on for as long without teachers"
    lines = []
    for number, ((_, row), (_, row_f1)) in enumerate(zip(frame.iterrows(), f1.iterrows(), strict=True)):
        if row["role"] == "student":
            difference = plus_minus(row["difference"], row["difference_sd"], sign=True)
            if row["n"] >= MIN_N:
                low, high = (row["difference"] + s * row["difference_ci95"] for s in (-1, 1))
                difference += f", 95 % interval {low:+.2f} to {high:+.2f}"
            lines.append(f"Distilled minus {baseline}, paired by seed: {difference}")
        grid.add_row(
            titles[row["role"]].format(row["network"], row["view"], row["apart"])
            + (" (optimistic)" if optimistic else ""),
            ""
            if row["role"] != "teacher"
            else "varies"
            if row["weight"] is None or np.isnan(row["weight"])
            else f"{row['weight']:.2f}",
            f"{row['parameters']:,}",
            plus_minus(row["mean"], row["sd"]),
            str(row["n"]),
            " ".join(f"{value:.2f}" for value in row["seeds"].values()),
            f"{row_f1['mean']:.2f}",
            *([] if people is None else [plus_minus(people["mean"][number], people["sd"][number])]),
        )
    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(grid)
    seeds = ", ".join(result["models"][-1]["seeds"])
    epoch = (
        f"Optimistic: of every training the epoch that is best on the {result['part']} part itself counts (protocol lab), as in "
        "published tables."
        if optimistic
        else "The epoch that is best on a part held out of the training part counts."
        if result.get("patience")
        else "The last epoch counts."
    )
    if result.get("ema"):
        epoch += f" Weights are running means (EMA {result['ema']:g})."
    lines += [
        f"+- is the sample standard deviation (ddof 1) over seeds {seeds}; none below n = {MIN_N}. {epoch}",
        f"Loss of the student: {result['formula']}",
        f"Split: {result['split']['basis']}.",
    ]
    lines += shared_people(result["split"].get("subjects_in_both", []))
    if people is not None:
        lines.append(
            f"Accuracy is over the windows of all {result['folds']} folds together (micro); the mean of subjects counts each of "
            f"{result['subjects']} people alike (macro)."
        )
    if result.get("candidates"):
        lines.append(described(result["candidates"]))
    absent = result["split"].get("absent_classes", [])
    if absent:
        lines.append(
            f"No window of the {result['part']} part is of class {', '.join(absent)}: nothing is said about it."
        )
    if result["part"] == "validation":
        lines.append("This is the validation part, for choosing settings: report the test part (--evaluate test).")
    return "\n".join([*(line.rstrip() for line in text.getvalue().rstrip().splitlines()), "", *lines])


def shared_people(both: Sequence[str] | str) -> list[str]:
    """Say what people in both parts mean for the numbers; `unknown` may stand in the place of their names.

    >>> shared_people(["ann", "bob"])
    ['2 people are in both parts (ann, bob): the numbers hold for people who were trained on, not for others.']
    >>> shared_people("unknown"), shared_people([])
    (['Subjects are unknown: the same person may be in both parts.'], [])
    """
    if both == "unknown":
        return ["Subjects are unknown: the same person may be in both parts."]
    if not both:
        return []
    named = ", ".join(both[:NAMED]) + (", ..." if len(both) > NAMED else "")
    many = "1 person is" if len(both) == 1 else f"{len(both)} people are"
    return [f"{many} in both parts ({named}): the numbers hold for people who were trained on, not for others."]


def _percent(share: float | None) -> float:
    """Return a share in percent; NaN where it is not known."""
    return float("nan") if share is None else 100 * share


def plus_minus(mean: float, sd: float, sign: bool = False) -> str:
    """Write a mean and its deviation, which is left out where it is NaN."""
    text = f"{mean:+.2f}" if sign else f"{mean:.2f}"
    return text if np.isnan(sd) else f"{text} +- {sd:.2f}"
