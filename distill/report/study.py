"""What a report is about: runs compared, one of them shown in detail, and its windows where they are still there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from distill.comparison import Comparison, compare_runs
from distill.plan import Plan
from distill.records import Record, read_records
from distill.report.theme import Looks, looks
from distill.rereading import OtherWindowsError, at_home, windows_again
from distill.rows import Row, fold_rows
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Runs to report on.

    Parameters
    ----------
    command : str
        Command line that makes the report.
    comparison : Comparison
        Of all runs in it.
    record : Record
        The run that is shown in detail, which is finished.
    why_first : bool
        Whether it is shown because it is the first of several.
    windows : Windows or None
        Those of the run, None where they could not be had.
    plan : Plan or None
        The run in detail bound to its windows; None where these could not be had.
    why_not : str
        Why there are no windows, a sentence.
    """

    command: str
    comparison: Comparison
    record: Record
    why_first: bool
    windows: Windows | None
    plan: Plan | None
    why_not: str

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The models of the run in detail, by short names."""
        return {short_name(row): row for row in fold_rows([self.record])}

    @property
    def teachers(self) -> dict[str, Row]:
        """Of the run in detail, by short names."""
        return {name: row for name, row in self.rows.items() if row.role == "teacher"}

    @cached_property
    def looks(self) -> Looks:
        """How each model is drawn in all charts."""
        return looks(self.rows)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record.about["data"]["classes"])

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of each window evaluated, by its code, in the order of the predictions."""
        return self.codes(self.record.predictions["label"].tolist())

    def codes(self, names: Sequence[str]) -> np.ndarray:
        """Return the codes of classes given by name."""
        known = {name: code for code, name in enumerate(self.classes)}
        return np.array([known[name] for name in names], dtype=np.int64)

    @cached_property
    def positions(self) -> np.ndarray:
        """The positions in `windows` of those evaluated, in the order of the predictions."""
        assert self.windows is not None
        known = {window: place for place, window in enumerate(self.windows.ids.tolist())}
        return np.array([known[window] for window in self.record.predictions["window"]], dtype=np.int64)


def study_of(
    folders: Sequence[str | Path],
    metric: str = "accuracy",
    baseline: str = "",
    detail: str = "",
    windows: Windows | None = None,
) -> Study:
    """Read runs back for a report.

    Parameters
    ----------
    folders : sequence of str or Path
        See `distill.records.read_records`.
    metric, baseline : str
        See `distill.comparison.compare_runs`.
    detail : str
        Name of the run to show in detail, or a part of it that no other has; the first finished one by default.
    windows : Windows, optional
        In place of the data that the run names.

    Raises
    ------
    UserError
        If no run is finished, or for a `detail` that is no run or several.
    """
    records = read_records(folders)
    comparison = compare_runs(records, metric, baseline)
    done = [record for record in records if record.is_done]
    if not done:
        raise UserError(
            f"no run of {' '.join(map(repr, map(str, folders)))} is finished ({records[0].shortfall}): finish one first"
        )
    record = _detail(done, detail)
    plan, why_not = _plan_of(record, windows)
    options = {"metric": metric if metric != "accuracy" else "", "baseline": baseline, "detail": detail}
    given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    return Study(
        command=shlex.join(["distill", "report", *map(str, folders), *given]),
        comparison=comparison,
        record=record,
        why_first=not detail and len(done) > 1,
        windows=None if plan is None else plan.windows,
        plan=plan,
        why_not=why_not,
    )


def _detail(done: Sequence[Record], detail: str) -> Record:
    if not detail:
        return done[0]
    found = [r for r in done if r.name == detail] or [r for r in done if detail.lower() in r.name.lower()]
    if len(found) == 1:
        return found[0]
    names = "; ".join(record.name for record in (found or done)[:8])
    which = f"is in {len(found)} names of finished runs" if found else "is in no name of a finished run"
    raise UserError(f"detail '{detail}' {which}: choose one of {names}")


def _plan_of(record: Record, windows: Windows | None) -> tuple[Plan | None, str]:
    """Load the windows of a run again and bind the run to them, or say why that cannot be."""
    try:
        found = windows_again(record, windows)
        with at_home(record):
            return Plan(record.run, found, record.folder, chosen=record.about["chosen"]), ""
    except OtherWindowsError:
        return None, f"The data '{record.run.data}' now give other windows than those of this run, so none are drawn."
    except (UserError, OSError) as error:  # of the data, or of an earlier run that teachers come from
        return None, f"No windows are drawn: {error}."


def short_name(row: Row) -> str:
    """Return what a model of one run is called where no other run is shown."""
    if row.role == "teacher":
        return next(
            (name.rpartition(" seed ")[0] for name in row.columns.values()), f"teacher {row.network}:{row.view}"
        )
    return {"scratch": "from scratch", "control": "from scratch, trained on", "student": "distilled"}[row.role]
