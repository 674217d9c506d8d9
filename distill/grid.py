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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.gridfile import Cell
from distill.layout import FAILED, GRID, LOCK, described
from distill.options import options_of, run_from
from distill.plan import Plan, Training
from distill.runner import check_folder
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.locks import locked
from tsimage.windows import Windows

TRAININGS, RUNS = "trainings", "runs"


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
    """Forget which trainings failed, so that they are tried again; returns how many there were.

    A run that could not be evaluated is tried in every start.
    """
    failures = list((folder / TRAININGS).glob(f"*/{FAILED}"))
    for failure in failures:
        failure.unlink(missing_ok=True)
    return len(failures)
