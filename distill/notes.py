"""What must be known to read a table of runs, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from distill.records import Record
from distill.rows import Row
from distill.signed_ranks import MIN_DIFFERENCES, fewest
from distill.statistics import MIN_N
from distill.table import shared_people

METRICS = {
    "accuracy": "accuracy",
    "subject_accuracy": "mean of subjects",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "ece": "ECE",
}
"""Metrics of a model on the evaluation part, and what they are called in a table; all in percent there."""
SUBJECTS, DATA_SETS = "subjects", "data sets"
"""What signed-rank tests are across."""

BY_FOLD = (
    "each fold alike and once, as the mean over its seeds; their +- is over folds, and the interval allows for the windows that "
    "folds share (Nadeau and Bengio)"
)
"""How differences are paired where there are folds."""

NAMED = 4
"""Rows that lack the same and are named."""


def notes_on(rows: Sequence[Row], frame: pd.DataFrame, metric: str, unit: str, tests: int) -> Iterator[str]:
    """Say what the numbers of a comparison are, how far they carry, and what is missing.

    Parameters
    ----------
    rows : sequence of Row
    frame : DataFrame
        Of `distill.comparison.Comparison`.
    metric : str
        Of `METRICS`.
    unit : str
        What signed-rank tests are across: `SUBJECTS` or `DATA_SETS`.
    tests : int
        How many of them there are.
    """
    done = [record for row in rows for record in row.sources.values()]
    part, name = rows[0].options["evaluate"], METRICS[metric]
    about = ", ".join(dict.fromkeys(_about(record, part) for record in done))
    least = f" None is given below n = {MIN_N}." if (frame["n"] < MIN_N).any() else ""
    yield (
        f"{name[0].upper()}{name[1:]} in % on the {part} part{f' of {about}' if about else ''}; +- is the sample standard "
        f"deviation (ddof 1) over seeds.{least}"
    )
    if part == "validation":
        yield "This is the validation part, for choosing settings: report the test part (--evaluate test)."
    else:
        yield from _on_openings(done)
    if frame["optimistic"].any():
        yield (
            "Optimistic: of every training the epoch that is best on the evaluation part itself counts (protocol lab)."
        )
    teachers = list(dict.fromkeys(" / ".join(agreement) for agreement in frame["agreement"] if agreement))
    if teachers:
        yield f"Agreement: windows of which a model says what its teachers say ({'; '.join(teachers)})."
    yield from _on_differences(rows, frame, metric)
    if tests:
        adjusted = f", adjusted for {tests} tests by Holm" if tests > 1 else ""
        what = METRICS["accuracy" if unit == SUBJECTS else metric]
        text = f"p: Wilcoxon signed-rank test of the {what} across {unit}{adjusted}"
        if int((frame["higher"] + frame["lower"]).max()) < fewest(tests):
            text += f"; none can be below 0.05, since so many tests need {fewest(tests)} {unit}: choose fewer rows"
        yield f"{text}."
    elif frame["higher"].notna().any():
        yield f"A Wilcoxon signed-rank test across {unit} needs {MIN_DIFFERENCES} of them that differ: p is not given."
    yield from _on_missing(rows)
    versions = {record.about["environment"]["code_sha256"] for record in done}
    if len(versions) > 1:
        yield f"The runs were made by {len(versions)} versions of the code."
    for data, absent in dict.fromkeys(_absent(record) for record in done):
        if absent:
            yield f"No window of the {part} part of {data} is of class {absent}: nothing is said about it."
    yield from dict.fromkeys(
        note for record in done for note in shared_people(record.about["split"]["subjects_in_both"])
    )


def _on_openings(done: Sequence[Record]) -> Iterator[str]:
    """Say how many runs looked at a test part at their end."""
    opened: dict[str, set[Path]] = {}
    for record in done:
        assert record.result is not None  # it is the source of a row
        if record.result["protocol"] == "clean":
            opened.setdefault(record.result["data"], set()).add(record.folder)
    for data, folders in opened.items():
        times = "once, at the end of the run"
        if len(folders) > 1:
            times = (
                f"{len(folders)} times, at the end of each run; to take the best of them is to choose on it: choose by --select, "
                "or --evaluate validation"
            )
        yield f"The test part of {data} was opened {times}."


def _on_differences(rows: Sequence[Row], frame: pd.DataFrame, metric: str) -> Iterator[str]:
    compared = frame[frame["pairs"] > 0]
    if not len(compared):
        return
    by = "seed"
    if metric == "accuracy" and any(row.options["folds"] for row in rows):
        by += f" and fold, {BY_FOLD}"
    elif any(row.options["folds"] for row in rows):
        by += ", over all folds together, so that their intervals are about seeds and not about people"
    names = compared["baseline"].unique()
    baseline = names[0] if len(names) == 1 else "the student from scratch of each (the control, with a warm start)"
    yield f"Differences, in points, are to {baseline}, paired by {by}."
    able = compared[compared["detectable"].notna()]
    if not len(able):
        yield f"With n = {_span(compared['pairs'], 'd')} nothing can be said of how small a difference would be seen."
        return
    yield (
        f"With n = {_span(able['pairs'], 'd')} pairs, true differences below {_span(able['detectable'], '.2f')} points are missed "
        "more often than once in five (two-sided t test at 5 %)."
    )


def _on_missing(rows: Sequence[Row]) -> Iterator[str]:
    """Say which seeds are missing, and why; rows that lack the same for the same reason together."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for why in dict.fromkeys(row.missing.values()):
            seeds = sorted(seed for seed, reason in row.missing.items() if reason == why)
            words = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
            found.setdefault((words, why), []).append(row.name)
    for (which, why), names in found.items():
        more = f" and {len(names) - NAMED} more rows" if len(names) > NAMED else ""
        yield f"Missing: {which} of {'; '.join(names[:NAMED])}{more}: {why}."


def _about(record: Record, part: str) -> str:
    assert record.result is not None  # it is the source of a row
    people = f" of {record.result['subjects']} subjects" if record.result["subjects"] else ""
    return f"{record.result['data']} ({record.result['windows'][part]:,} windows{people})"


def _absent(record: Record) -> tuple[str, str]:
    """Return the data of a run and the classes that no window evaluated is of, in words."""
    assert record.result is not None  # it is the source of a row
    return record.result["data"], ", ".join(record.result["split"]["absent_classes"])


def _span(values: pd.Series, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"
