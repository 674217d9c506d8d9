"""A finished run under stress: measured once, kept beside its result, shown as table and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from distill.layout import digest
from distill.plan import Plan
from distill.progress import Progress
from distill.records import Record, read_records
from distill.report.theme import Looks
from distill.rereading import windows_again
from distill.statistics import MIN_N
from distill.stress import files
from distill.stress.comparing import compared, summary
from distill.stress.curves import stress_curves
from distill.stress.measuring import CLEAN, measure
from distill.stress.registry import CONDITIONS
from distill.stress.wording import as_text
from tsimage.errors import UserError, unknown
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Stress:
    """What became of the models of a run under stress.

    Parameters
    ----------
    record : Record
        The run.
    frame : DataFrame
        Scores of every seed, see `distill.stress.measuring.measure`.
    left_out : mapping of str to str
        Conditions that are not for the windows of this run, and why.
    seed : int
        Of the damage.
    was_measured : bool
        Whether nothing had to be measured, since all was there.
    """

    record: Record
    frame: pd.DataFrame
    left_out: Mapping[str, str]
    seed: int
    was_measured: bool

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each condition, level and model; see `distill.stress.comparing.compared`."""
        return compared(self.frame)

    @property
    def summary(self) -> str:
        """The worst condition and the mildest in words."""
        return summary(self.frame)

    @property
    def conditions(self) -> list[str]:
        return [name for name in dict.fromkeys(self.frame["condition"]) if name != CLEAN]

    def figure(self, models: Looks | None = None) -> Figure:
        """Draw the curves; see `distill.stress.curves.stress_curves`."""
        return stress_curves(self.frame, models)

    def notes(self) -> list[str]:
        """Say what must be known to read the table, a sentence each."""
        result = self.record.result
        assert result is not None
        part, n = result["part"], int(self.table["n"].max())
        people = f" of {result['subjects']} subjects" if result["subjects"] else ""
        seeds = f"over {n} seed{'s' * (n > 1)}"
        notes = [
            f"Accuracy in % on the {part} part of {result['data']} ({result['windows'][part]:,} windows{people}), {seeds}; "
            + ("+- is the sample standard deviation (ddof 1)." if n >= MIN_N else f"no +- is given below n = {MIN_N}."),
            "drop: points below the same model on undamaged windows.",
        ]
        students = self.table[self.table["baseline"] != ""]
        if len(students):
            trained = (
                " (trained on: from scratch, for as long as the distilled)"
                if "control" in set(self.table["role"])
                else ""
            )
            notes.append(
                f"difference: distilled minus {students['baseline'].iloc[0]}, in points, paired by seed{trained}."
            )
        if result["protocol"] == "lab":
            notes.append("Optimistic: the epoch that is best on the evaluation part itself counts (protocol lab).")
        notes += [f"{name}: left out, for {why}." for name, why in self.left_out.items()]
        return notes + self._off()

    def _off(self) -> list[str]:
        """Say by how much undamaged windows were not answered as when the run was evaluated, if they were not."""
        assert self.record.result is not None
        then = {
            (model["role"], int(seed)): scores["accuracy"]
            for model in self.record.result["models"]
            for seed, scores in model["seeds"].items()
            if model["role"] != "teacher"
        }
        clean = self.frame[(self.frame["condition"] == CLEAN) & (self.frame["role"] != "teacher")]
        off = [abs(row["accuracy"] - then[row["role"], row["seed"]]) for row in clean.to_dict("records")]
        if max(off, default=0.0) < 1e-9:
            return []
        return [
            f"Undamaged windows give up to {100 * max(off):.2f} points other than in the result, as on another device."
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types; what is not known is null."""
        rows = [{name: _known(value) for name, value in row.items()} for row in self.table.to_dict("records")]
        return {
            "run": str(self.record.folder),
            "seed": self.seed,
            "conditions": {
                name: {"meaning": CONDITIONS[name].meaning, "source": CONDITIONS[name].source}
                for name in self.conditions
            },
            "left_out": dict(self.left_out),
            "rows": rows,
            "summary": self.summary,
            "notes": self.notes(),
        }

    def __str__(self) -> str:
        what = [f"{name}: {CONDITIONS[name].meaning}." for name in self.conditions]
        return "\n".join([as_text(self.table), *self.notes(), "", *what, "", self.summary])


def stress(
    folder: str | Path,
    conditions: Sequence[str] = (),
    *,
    windows: Windows | None = None,
    seed: int = 0,
    again: bool = False,
    progress: Progress | None = None,
) -> Stress:
    """Measure the models of a finished run under stress, or what is missing of it, and keep it in the run directory.

    Parameters
    ----------
    folder : str or Path
        A run directory.
    conditions : sequence of str
        Of `distill.stress.CONDITIONS`; by default all that these windows allow.
    windows : Windows, optional
        In place of the data that the run names.
    seed : int
        Of the damage.
    again : bool
        Measure these conditions anew.
    progress : Progress, optional
        Who is told.

    Returns
    -------
    Stress

    Raises
    ------
    UserError
        If the run is not finished, its windows or weights are not those of its result, what was measured is damaged or was
        measured otherwise (unless `again`), or for a condition that is unknown or not for these windows.
    """
    for name in conditions:
        if name not in CONDITIONS:
            raise unknown("condition", name, CONDITIONS)
    record = _finished(Path(folder))
    earlier = _earlier(record, seed, again)
    asked = [name for name in CONDITIONS if name in conditions or not conditions]
    missing = asked if again or earlier is None else [name for name in asked if name not in _known_of(earlier)]
    if missing or earlier is None:
        found = _measured(record, missing, bool(conditions), windows, seed, progress)
        earlier = found if earlier is None else _joined(earlier, found)
        files.write(record.folder, *earlier)
    frame, about = earlier
    for name in conditions:
        if name in about["left_out"]:
            raise _not_for(record, name, about["left_out"][name])
    shown = frame[frame["condition"].isin([CLEAN, *asked])].reset_index(drop=True)
    left_out = {name: why for name, why in about["left_out"].items() if name in asked}
    return Stress(record=record, frame=shown, left_out=left_out, seed=seed, was_measured=not missing)


def read_stress(record: Record) -> Stress | None:
    """Return what was measured of a finished run; None where nothing was.

    Raises
    ------
    UserError
        If it is damaged, or of another result.
    """
    found = files.read(record.folder)
    if found is None or record.result is None:
        return None
    _check_result(record, found[1])
    frame, about = found
    return Stress(record=record, frame=frame, left_out=about["left_out"], seed=about["seed"], was_measured=True)


def _finished(folder: Path) -> Record:
    records = read_records([folder])
    if len(records) > 1:
        raise UserError(f"'{folder}' holds {len(records)} runs: give the directory of one, as {records[0].folder}")
    if not records[0].is_done:
        raise UserError(f"run '{records[0].folder}' {records[0].shortfall}: finish it first")
    return records[0]


Found = tuple[pd.DataFrame, dict[str, Any]]


def _earlier(record: Record, seed: int, again: bool) -> Found | None:
    """Return what was measured before and may be added to."""
    try:
        found = files.read(record.folder)
        if found is not None:
            _check_result(record, found[1])
            if found[1]["seed"] != seed:
                raise UserError(
                    f"'{record.folder / files.ABOUT}' is of damage drawn with seed {found[1]['seed']}, not {seed}: give "
                    "--again to measure it anew"
                )
    except UserError:
        if again:
            return None
        raise
    return found


def _check_result(record: Record, about: Mapping[str, Any]) -> None:
    assert record.result is not None
    if about["result_sha256"] != digest(record.result):
        raise UserError(
            f"'{record.folder / files.ABOUT}' is of another result of this run: give --again to measure it anew"
        )


def _known_of(found: Found) -> set[str]:
    """Return the conditions that need not be measured: those with the levels of today, and those left out."""
    about = found[1]
    same = {name for name, levels in about["conditions"].items() if levels == list(CONDITIONS[name].levels or levels)}
    return same | set(about["left_out"])


def _joined(earlier: Found, found: Found) -> Found:
    """Put new conditions in the place of earlier ones of their name, all in the order of the registry."""
    conditions = earlier[1]["conditions"] | found[1]["conditions"]
    kept = earlier[0][~earlier[0]["condition"].isin([CLEAN, *found[1]["conditions"]])]
    frame = pd.concat([found[0], kept])
    order = {name: place for place, name in enumerate((CLEAN, *CONDITIONS))}
    frame = frame.sort_values("condition", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)
    return frame, found[1] | {
        "conditions": {name: conditions[name] for name in CONDITIONS if name in conditions},
        "left_out": earlier[1]["left_out"] | found[1]["left_out"],
    }


def _measured(
    record: Record, wanted: Sequence[str], named: bool, windows: Windows | None, seed: int, progress: Progress | None
) -> Found:
    """Measure conditions; those that are not for these windows are left out, unless they were named."""
    loaded = windows_again(record, windows)
    reasons = {name: CONDITIONS[name].why_not(loaded.channels, loaded.length) for name in wanted}
    left_out = {name: why for name, why in reasons.items() if why}
    if named and left_out:
        name, why = next(iter(left_out.items()))
        raise _not_for(record, name, why)
    measured = [name for name in wanted if name not in left_out]
    plan = Plan(record.run, loaded, record.folder, chosen=record.about["chosen"])
    frame = measure(plan, record, measured, seed, progress)
    assert record.result is not None
    return frame, {
        "result_sha256": digest(record.result),
        "seed": seed,
        "conditions": {name: list(CONDITIONS[name].levels_for(loaded.channels)) for name in measured},
        "left_out": left_out,
        "environment": plan.environment(),
    }


def _not_for(record: Record, name: str, why: str) -> UserError:
    return UserError(f"condition '{name}' is not for the windows of run '{record.folder}', for {why}: leave it out")


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
