"""Many runs in one folder: they share their trainings, and any number of processes do them together, each once.

    FOLDER/grid.json            the runs, the trainings that they need, and what made them
    FOLDER/trainings/           every training once, in a folder named by what it is
    FOLDER/runs/                a directory per run, as `distill run` leaves it, but for its trainings
    FOLDER/logs/                what each process did

Whoever holds the lock of a training or run does it; a process that is killed holds none, and what it was at goes on from its
checkpoint with whoever comes first. On a file system that machines share, the processes may be on any of them.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from distill.batching import Samples
from distill.grid_table import grid_table
from distill.gridfile import Cell, Grid, read_grid
from distill.keeping import Keeping
from distill.layout import FAILED, GRID, LOCK, described
from distill.options import options_of, run_from
from distill.plan import Plan, Training
from distill.progress import Progress
from distill.runner import check_folder, conclude, open_folder
from distill.trainings import carry_out, tidy
from tsimage import atomic
from tsimage.datasets import load
from tsimage.disk import DiskFullError, room_for
from tsimage.errors import UserError
from tsimage.locks import claimed, locked
from tsimage.windows import Windows

TRAININGS, RUNS, LOG = "trainings", "runs", "logs"
POLL_S = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A training that runs of the grid need, and the folders of those that must be done before."""

    plan: Plan
    training: Training
    needs: tuple[Path, ...]
    run: str
    """Of a student the run that it belongs to; what several runs share has none."""

    @property
    def title(self) -> str:
        return f"{self.training.title}  ({self.run})" if self.run else self.training.title

    @property
    def failure(self) -> Path:
        return self.training.folder / FAILED


class GridPlan:
    """The runs of a grid bound to their windows: everything is checked, nothing is trained or written yet.

    Parameters
    ----------
    cells : sequence of Cell
        From `distill.gridfile.read_grid`.
    folder : Path
        Of the grid.
    windows : Windows, optional
        In place of the data that the runs name.

    Raises
    ------
    UserError
        For anything wrong in the data or impossible in a run, which is named.
    """

    def __init__(self, cells: Sequence[Cell], folder: Path, windows: Windows | None = None) -> None:
        self.cells, self.folder = tuple(cells), folder
        loaded: dict[tuple[object, ...], Windows] = {}
        self.plans: list[Plan] = []
        for cell in self.cells:
            run = cell.run
            key = (run.data, run.read)
            try:
                if key not in loaded:
                    loaded[key] = load(run.data if windows is None else windows, run.read)
                place = folder / RUNS / f"{run.slug}-{run.hash()[:16]}"  # the same whatever else the grid holds
                self.plans.append(Plan(run, loaded[key], place, pool=folder / TRAININGS))
            except UserError as error:
                raise UserError(f"run '{cell.name}' of line {cell.line}: {error}") from error
        self.jobs: dict[Path, Job] = {}
        self.needed: list[list[Path]] = []
        for cell, plan in zip(self.cells, self.plans, strict=True):
            trainings = plan.trainings()
            self.needed.append([training.folder for training in trainings])
            for training in trainings:
                if training.folder not in self.jobs:
                    before = (needed.folder for needed in plan.needs(training))
                    mine = cell.name if training.role == "student" and len(self.cells) > 1 else ""
                    self.jobs[training.folder] = Job(plan=plan, training=training, needs=tuple(before), run=mine)

    @property
    def trainings_alone(self) -> int:
        """How many trainings there would be if every run did its own."""
        return sum(map(len, self.needed))

    def describe(self) -> dict[str, Any]:
        """Return the content of `grid.json`."""

        def name(path: Path) -> str:
            return os.path.relpath(path, self.folder)

        return {
            "runs": [
                {
                    "name": cell.name,
                    "line": cell.line,
                    "values": cell.values,
                    "options": options_of(cell.run),
                    "folder": name(plan.folder),
                    "trainings": [name(path) for path in needed],
                    "windows": plan.fingerprint,
                    "device": plan.device.type,
                    "precision": plan.precision,
                }
                for cell, plan, needed in zip(self.cells, self.plans, self.needed, strict=True)
            ],
            "trainings": {
                name(path): {
                    "title": job.title,
                    "epochs": job.plan.schedule.epochs,
                    "needs": [name(needed) for needed in job.needs],
                }
                for path, job in self.jobs.items()
            },
            "environment": self.plans[0].environment(),
            "working_directory": str(Path.cwd()),
        }


def prepare(plan: GridPlan) -> int:
    """See that the folder is new or of a grid that this code may go on with, and write what is to be done.

    A grid may grow or change: what was trained for it stays, and is not trained again.

    Returns
    -------
    int
        How many runs of the folder are no longer among those of the grid.

    Raises
    ------
    UserError
        If the folder holds something else, or trainings of other code, other windows, another device or precision.
    """
    path = plan.folder / GRID
    if plan.folder.exists() and not plan.folder.is_dir():
        raise UserError(f"'{plan.folder}' is a file: choose a folder")
    others = plan.folder.exists() and any(not _is_ours(entry) for entry in plan.folder.iterdir())
    if others and not path.exists():  # in this order, as another process may be beginning the same grid
        raise UserError(f"'{plan.folder}' is not empty and holds no grid: choose another folder")
    with locked(plan.folder / LOCK):
        for left_over in plan.folder.glob(".*.partial"):  # of a process that was killed while it wrote
            left_over.unlink()
        made = json.loads(json.dumps(plan.describe()))
        before = described(plan.folder) if path.exists() else None
        if before is not None and next((plan.folder / TRAININGS).glob("*/*.safetensors"), None) is not None:
            _check_alike(plan.folder, before, made)
        for cell in plan.plans:
            check_folder(cell)
        if made != before:
            atomic.write_json(path, made)
    return 0 if before is None else len(_folders(before) - _folders(made))


def join(plan: GridPlan) -> None:
    """See that this code, device and precision, and the windows here, are those of a grid that was begun; write nothing.

    Raises
    ------
    UserError
        If the folder holds no grid, or one that this process would do differently.
    """
    _check_alike(plan.folder, described(plan.folder), plan.describe())


def _is_ours(entry: Path) -> bool:
    return entry.name == LOCK or (entry.name.startswith(f".{GRID}.") and entry.suffix == ".partial")


def _folders(content: Mapping[str, Any]) -> set[str]:
    return {entry["folder"] for entry in content["runs"]}


def _check_alike(folder: Path, before: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Refuse to put trainings into one table that other code, or another device, makes differently."""
    mend = "one table must not mix them; choose another folder or remove it"
    for key in ("code_sha256", "torch"):
        then, now = before["environment"].get(key), made["environment"][key]
        if then != now:
            raise UserError(f"'{folder}' holds trainings of {key} {then}, here it is {now}: {mend}")
    known = {entry["folder"]: entry for entry in before["runs"]}
    for entry in made["runs"]:
        then = known.get(entry["folder"], entry)
        if then["windows"] != entry["windows"]:
            raise UserError(
                f"'{folder}' holds run '{entry['name']}' on other windows than data '{entry['options']['data']}' has here: {mend}"
            )
        for key in ("device", "precision"):
            if then[key] != entry[key]:
                raise UserError(
                    f"'{folder}' holds run '{entry['name']}' with {key} {then[key]}, here it is {entry[key]}: one table must not "
                    f"mix them; go on where it is {then[key]}, or choose another folder and give {key} in [run]"
                )


def cells_of(folder: Path) -> list[Cell]:
    """Read the runs of a grid back from its folder.

    Raises
    ------
    UserError
        If it holds no grid.
    """
    return [
        Cell(run=run_from(entry["options"]), values=entry["values"], line=entry["line"])
        for entry in described(folder)["runs"]
    ]


def home_of(folder: Path) -> Path:
    """Return where a grid was begun, which relative paths of its runs start from; here where that folder is not."""
    home = Path(described(folder)["working_directory"])
    return home if home.is_dir() else Path.cwd()


def retry(folder: Path) -> int:
    """Forget which trainings failed, so that they are tried again; returns how many there were."""
    failures = list(
        (folder / TRAININGS).glob(f"*/{FAILED}")
    )  # a run that could not be evaluated is tried in every start
    for failure in failures:
        failure.unlink(missing_ok=True)
    return len(failures)


class Worker:
    """One of the processes that do a grid together.

    Parameters
    ----------
    plan : GridPlan
        Which is prepared.
    progress : Progress, Plain or Terminal
        Who is told of the trainings that this process does.
    keeping : Keeping, optional
        How trainings are kept on disk while they go on.
    on_wait : callable, optional
        Called about every half second while only others are at work.
    """

    def __init__(
        self,
        plan: GridPlan,
        progress: Progress,
        keeping: Keeping | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        self.plan, self.progress, self.keeping = plan, progress, keeping or Keeping()
        self.on_wait = on_wait or (lambda: None)
        self.done: set[Path] = set()
        self.lost: set[Path] = set()
        self.finished: set[Path] = set()
        """Runs with a result, or whose evaluation fails."""
        self._held: tuple[object, Samples] | None = None
        self._log = plan.folder / LOG / f"{socket.gethostname()}-{os.getpid()}.jsonl"

    def work(self) -> None:
        """Do what nobody else does, until all trainings are done or cannot be, and all runs that can be have a result."""
        while True:
            did_something = False
            for job in self.plan.jobs.values():
                did_something |= self._look_at(job)
            for cell, plan, needed in zip(self.plan.cells, self.plan.plans, self.plan.needed, strict=True):
                did_something |= self._finish(cell, plan, needed)
            if len(self.done) + len(self.lost) == len(self.plan.jobs) and self._all_finished():
                return
            if not did_something:
                self.on_wait()
                time.sleep(POLL_S)  # others are at work on what is left

    def _all_finished(self) -> bool:
        can = (
            p.folder
            for p, needed in zip(self.plan.plans, self.plan.needed, strict=True)
            if self.done.issuperset(needed)
        )
        return all(folder in self.finished for folder in can)

    def _look_at(self, job: Job) -> bool:
        """Do a training if it is there to be done; returns whether anything has changed."""
        folder = job.training.folder
        if folder in self.done or folder in self.lost:
            return False
        if job.training.is_done:
            tidy(job.training)
            self.done.add(folder)
            return True
        if job.failure.exists() or not self.lost.isdisjoint(job.needs):
            self.lost.add(folder)
            return True
        if not self.done.issuperset(job.needs):
            return False
        with claimed(folder / LOCK) as mine:
            if not mine:
                return False
            if not job.training.is_done and not job.failure.exists():
                self._do(job)
        return True

    def _do(self, job: Job) -> None:
        """Do a training that this process has claimed; a failure is kept with it and stops nothing else."""
        folder = job.training.folder
        for left_over in folder.glob(".*.partial"):  # of a process that was killed while it wrote
            left_over.unlink()
        goes_on = any(folder.glob("checkpoint.*"))
        self._note("goes on" if goes_on else "begins", folder)
        title = f"[{len(self.done) + len(self.lost) + 1}/{len(self.plan.jobs)}] {job.title}"
        try:
            carry_out(job.plan, job.training, self._samples(job), title, self.progress, self.keeping)
        except (DiskFullError, OSError):
            raise  # of the whole grid, not of this training
        except Exception as error:  # a user's mistake or a defect: either way the others go on
            self._fail(folder, title, error)
            self.lost.add(folder)
            return
        self._note("done", folder)
        self.done.add(folder)

    def _fail(self, folder: Path, title: str, error: Exception) -> None:
        """Keep the failure of a training or run in its folder, and tell it."""
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.progress.say(f"{title}  failed: {said}")
        failure = {
            "error": said,
            "traceback": traceback.format_exc(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        atomic.write_json(folder / FAILED, failure)
        self._note("failed", folder)

    def _samples(self, job: Job) -> Samples:
        """Return the training windows of a job; those of the last one are kept, since the next often has the same."""
        key = (job.plan.fingerprint, job.training.split.train.tobytes(), job.plan.device)
        if self._held is None or self._held[0] != key:
            self._held = key, job.plan.samples(job.training.split.train)
        return self._held[1]

    def _finish(self, cell: Cell, plan: Plan, needed: Sequence[Path]) -> bool:
        """Write the result of a run whose trainings are done, if nobody else does; returns whether anything has changed."""
        if plan.folder in self.finished or not self.done.issuperset(needed):
            return False
        result = plan.folder / "result.json"
        if not result.exists():
            with claimed(plan.folder / LOCK) as mine:
                if not mine:
                    return False
                if not result.exists():
                    self._conclude(cell, plan)
        self.finished.add(plan.folder)
        return True

    def _conclude(self, cell: Cell, plan: Plan) -> None:
        """Evaluate a run that this process has claimed; a failure, as of weights that were damaged, stops no other run."""
        try:
            open_folder(plan)
            conclude(plan)
        except (DiskFullError, OSError):
            raise
        except Exception as error:
            self._fail(plan.folder, f"evaluation of run '{cell.name}'", error)
            return
        (plan.folder / FAILED).unlink(missing_ok=True)
        self._note("result", plan.folder)

    def _note(self, what: str, folder: Path) -> None:
        """Add a line to the log of this process."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "what": what,
            "which": os.path.relpath(folder, self.plan.folder),
        }
        self._log.parent.mkdir(exist_ok=True)
        with room_for(self._log), self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def run_grid(
    grid: Grid | str | Path,
    folder: str | Path | None = None,
    windows: Windows | None = None,
    progress: Progress | None = None,
    keeping: Keeping | None = None,
) -> pd.DataFrame:
    """Do what is missing of a grid in this process, and return its table.

    Parameters
    ----------
    grid : Grid, str or Path
        As `distill.read_grid` returns it, or the path of its TOML file.
    folder : str or Path, optional
        Of the grid; by default below `runs/`, named by the file.
    windows : Windows, optional
        In place of the data that the runs name.
    progress : Progress, Plain or Terminal, optional
        Who is told; by default nobody.
    keeping : Keeping, optional
        How trainings are kept on disk while they go on.

    Returns
    -------
    DataFrame
        One row per model of every run; see `distill.grid_table.grid_table`.

    Raises
    ------
    UserError
        For anything wrong in the file or the data, an impossible run, or a folder of something else; a training that fails is
        kept as `failed.json`, and its runs are `missing` in the table.
    """
    made = grid if isinstance(grid, Grid) else read_grid(grid)
    plan = GridPlan(made.runs, Path("runs") / made.name if folder is None else Path(folder), windows)
    prepare(plan)
    Worker(plan, progress or Progress(), keeping).work()
    return grid_table(plan.folder)
