"""One run, one directory: teachers, the student from scratch, the distilled student, and the table.

The directory is the truth. `run.json` says what the run is; each training leaves `weights.safetensors`,
`history.jsonl` and, last, `training.json`; `result.json` is written last of all. A finished run is only read;
a killed one goes on from the last checkpoint of the training that it was at. Where values are to be chosen, the candidates
are runs of their own below `select`; see `distill.selecting`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from distill.config import Run
from distill.keeping import Keeping
from distill.layout import FAILED, LOCK, RESULT, SELECT, has_candidates, read_result, sealed, write_result
from distill.plan import Plan
from distill.progress import Progress
from distill.results import evaluated
from distill.selecting import Tried, choose
from distill.selection import parse_select
from distill.table import format_table, table
from distill.trainings import carry_out, tidy
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.locks import claimed
from tsimage.store import REPORT
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run: its directory and the content of its `result.json`."""

    folder: Path
    content: dict[str, Any]
    was_finished: bool

    def table(self, metric: str = "accuracy") -> pd.DataFrame:
        """Return one row per model; see `distill.table.table`."""
        return table(self.content, metric)

    def __str__(self) -> str:
        return format_table(self.content)


def run(
    run: Run,
    windows: Windows | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    keeping: Keeping | None = None,
) -> Result:
    """Do a run, or what is missing of it, and return its result.

    Parameters
    ----------
    run : Run
    windows : Windows, optional
        In place of `run.data`; the read options that choose channels and classes still apply.
    folder : str or Path, optional
        The run directory; by default below `runs/`, named by the run and a hash of all its options.
    progress : Progress, Plain or Terminal, optional
        Who is told; by default nobody.
    keeping : Keeping, optional
        How often the training under way is written to disk; a killed run goes on from there, to the same end.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        For anything wrong in the data, an impossible run, or a directory that holds another run.
    """
    folder = None if folder is None else Path(folder)
    if windows is None:
        windows = load(run.data, run.read)
    else:
        windows = load(windows, run.read)
        run = replace(run, data=windows.name)
        folder = folder or run.folder(windows.fingerprint())
    return execute(Plan(run, windows, folder), progress or Progress(), keeping)


def execute(plan: Plan, progress: Progress, keeping: Keeping | None = None) -> Result:
    """Do what is missing of a plan: choose what is to be selected, train, evaluate at the end, write the result."""
    keeping = keeping or Keeping()
    if not plan.run.select or (plan.folder / RESULT).exists():
        return _execute(plan, progress, keeping)
    check_folder(plan)

    def attempt(trial: Plan, begin: Callable[[], None]) -> float:
        return float(_execute(trial, progress, keeping, begin=begin).table()["mean"].iloc[-1])

    final, tried = choose(plan, attempt, progress)
    return _execute(final, progress, keeping, tried=tried)


def _execute(
    plan: Plan,
    progress: Progress,
    keeping: Keeping,
    *,
    begin: Callable[[], None] | None = None,
    tried: Tried | None = None,
) -> Result:
    """Train what is missing, evaluate everything at the end, and write the result; `begin` is called in the folder."""
    check_folder(plan)
    if (plan.folder / RESULT).exists():
        made_by = atomic.read_json(plan.folder / "run.json")["environment"].get("code_sha256")
        if made_by != plan.environment()["code_sha256"]:
            progress.say("This result was made by another version of the code.")
        return Result(folder=plan.folder, content=read_result(plan.folder), was_finished=True)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with alone(plan.folder):
        open_folder(plan)
        if begin is not None:
            begin()
        tasks = plan.tasks()
        split = samples = None
        for number, (part, training) in enumerate(tasks, start=1):
            title = f"[{number}/{len(tasks)}] {training.title}"
            if training.is_done:
                tidy(training)
                progress.say(f"{title}  is done already")
                continue
            if samples is None or split is not training.split:
                split, samples = training.split, plan.samples(training.split.train)
            carry_out(part, training, samples, title, progress, keeping)
        content = conclude(plan, tried)
    return Result(folder=plan.folder, content=content, was_finished=False)


def open_folder(plan: Plan) -> None:
    """Make a run directory, or one that a killed process left, ready; its lock is held."""
    for left_over in plan.folder.rglob(".*.partial"):  # of a process that was killed while it wrote
        if left_over.is_dir():  # a training that was being copied
            shutil.rmtree(left_over)
        else:
            left_over.unlink()
    if not (plan.folder / "run.json").exists():
        atomic.write_json(plan.folder / "run.json", sealed(plan.describe()))
    report = plan.windows.read_report
    if report is not None and report.faults and not (plan.folder / REPORT).exists():
        report.write(plan.folder / REPORT)


def conclude(plan: Plan, tried: Tried | None = None) -> dict[str, Any]:
    """Evaluate a plan whose trainings are done, write its result, and return that."""
    content = evaluated(plan) | {"candidates": tried}
    write_result(plan.folder, content)
    return content


def check_folder(plan: Plan) -> None:
    """See that the run directory is new, or holds this very run; write nothing.

    Raises
    ------
    UserError
        If it holds another run, a run half done in another environment, or something else.
    """
    path = plan.folder / "run.json"
    mend = "choose another folder or remove it"
    if plan.folder.exists() and not plan.folder.is_dir():
        raise UserError(f"'{plan.folder}' is a file: choose a folder")
    if not path.exists():
        others = plan.folder.exists() and any(not _is_ours(entry) for entry in plan.folder.iterdir())
        if others and not path.exists():  # looked for again, as another process may be beginning the same run
            raise UserError(f"'{plan.folder}' is not empty and holds no run: choose another folder")
        if not others:
            return
    before, now = atomic.read_json(path), plan.describe()
    chosen = set(parse_select(plan.run.select))  # what the folder holds of these was chosen
    try:
        compared = [
            ("options", _without(before["run"], chosen), _without(now["run"], chosen)),
            ("data", before["data"]["windows_sha256"], now["data"]["windows_sha256"]),
            ("split", before["split"]["parts"], now["split"]["parts"]),
            ("teachers", before["taken"], now["taken"]),
        ]
        if plan.chosen is not None:
            compared.append(("values chosen for folds", before["chosen"], now["chosen"]))
        environment = before["environment"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' describes no run of distill: {mend}") from error
    for what, then, wanted in compared:
        if then != wanted:
            names = sorted(k for k in wanted if wanted[k] != then.get(k)) if isinstance(wanted, dict) else []
            differ = f" ({', '.join(names)})" if names else ""
            raise UserError(f"'{plan.folder}' holds another run, with other {what}{differ}: {mend}")
    if (plan.folder / RESULT).exists():
        return
    for key in ("code_sha256", "torch", "device_type", "precision"):
        if environment.get(key) != now["environment"][key]:
            raise UserError(
                f"'{plan.folder}' holds this run half done with {key} {environment.get(key)}, here it is "
                f"{now['environment'][key]}: one table must not mix them; {mend}"
            )


def _without(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _is_ours(entry: Path) -> bool:
    if entry.name == SELECT:  # the candidates of a selection that was broken off
        return has_candidates(entry.parent)
    return entry.name in (LOCK, FAILED) or (entry.name.startswith(".run.json.") and entry.suffix == ".partial")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run directory."""
    with claimed(folder / LOCK, patience_s=0.3) as mine:
        if not mine:
            raise UserError(f"another process is at work in '{folder}': wait for it or choose another folder")
        yield
