"""How far a grid or a run is, read from its folder alone, while others are at work in it or not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from distill.layout import FAILED, GRID, LOCK, RESULT, SELECT, described, read_result
from distill.statistics import MIN_N, spread
from distill.table import plus_minus
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.locks import is_held

State = Literal["done", "running", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "failed", "waiting")


@dataclass(frozen=True, kw_only=True)
class TrainingStatus:
    """A training: its state, its last epoch of how many, and what it failed of; of one that cannot begin, what another did."""

    title: str
    state: State
    epoch: int
    epochs: int | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run: its state, how many of its trainings are done, when it is, the accuracy of its students by seed in percent, and
    what its evaluation failed of."""

    name: str
    state: State
    done: int
    trainings: int
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A grid, or a run, which is then the only one."""

    folder: Path
    runs: tuple[RunStatus, ...]
    trainings: tuple[TrainingStatus, ...]

    @property
    def is_finished(self) -> bool:
        return all(run.state == "done" for run in self.runs)

    def counts(self) -> dict[State, int]:
        """Return how many trainings are in each state."""
        found = Counter(training.state for training in self.trainings)
        return {state: found[state] for state in STATES}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "folder": str(self.folder),
            "finished": self.is_finished,
            "counts": self.counts(),
            "runs": [{**vars(run), "accuracy": dict(run.accuracy)} for run in self.runs],
            "trainings": [vars(training) for training in self.trainings],
        }


def status(folder: str | Path, content: Mapping[str, Any] | None = None) -> Status:
    """Return how far the grid or run in a folder is.

    Parameters
    ----------
    folder : str or Path
    content : mapping, optional
        Of a grid, in place of the folder's `grid.json`, which another process may have replaced.

    Raises
    ------
    UserError
        If the folder holds neither.
    """
    folder = Path(folder)
    if content is None and ((folder / "run.json").exists() or (folder / SELECT).is_dir()):
        return _of_run(folder)
    if content is None and not (folder / GRID).exists():
        raise UserError(f"'{folder}' holds no run and no grid of distill: give the folder of one")
    content = described(folder) if content is None else content
    found: dict[str, TrainingStatus] = {}
    for name, about in content["trainings"].items():
        found[name] = _training(folder / name, about, found)
    return Status(
        folder=folder,
        runs=tuple(_run(folder / entry["folder"], entry, found) for entry in content["runs"]),
        trainings=tuple(found.values()),
    )


def _of_run(folder: Path) -> Status:
    """Return the status of a run, which has one lock for all its trainings and does them in their order.

    One that chooses its values consists of its candidates until it has chosen.
    """
    path = folder / "run.json"
    runs = [folder] if path.exists() else sorted(made.parent for made in (folder / SELECT).rglob("run.json"))
    is_at_work = is_held(folder / LOCK) or any(is_held(run / LOCK) for run in runs)
    found: dict[str, TrainingStatus] = {}
    states = []
    for run in runs:
        try:
            content = atomic.read_json(run / "run.json")
            epochs, names = content["run"].get("epochs"), content["trainings"]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"'{run / 'run.json'}' describes no run of this version: choose another folder") from error
        place = run.relative_to(folder)
        mine = [(place / name).as_posix() for name in names]
        for name in mine:
            one = _training(folder / name, {"title": name, "epochs": epochs, "needs": []}, found)
            if one.state == "waiting" and is_at_work:
                one, is_at_work = replace(one, state="running"), False
            found[name] = one
        states.append(
            _run(run, {"name": run.absolute().name if run == folder else str(place), "trainings": mine}, found)
        )
    return Status(folder=folder, runs=tuple(states), trainings=tuple(found.values()))


def _training(folder: Path, about: Mapping[str, Any], before: Mapping[str, TrainingStatus]) -> TrainingStatus:
    epochs = about["epochs"]
    if (folder / "training.json").exists():
        epoch = _epoch(folder) if epochs is None else epochs
        return TrainingStatus(title=about["title"], state="done", epoch=epoch, epochs=epochs)
    state: State = "waiting"
    error = ""
    if failure := _failure(folder):
        state, error = "failed", failure
    elif lost := [before[name] for name in about["needs"] if before[name].state == "failed"]:
        state, error = "failed", f"needs {lost[0].title}, which failed"
    elif is_held(folder / LOCK):
        state = "running"
    return TrainingStatus(title=about["title"], state=state, epoch=_epoch(folder), epochs=epochs, error=error)


def _failure(folder: Path) -> str:
    """Return what a training or run failed of, empty where it has not."""
    try:
        return str(atomic.read_json(folder / FAILED)["error"])
    except FileNotFoundError:  # or was there until a moment ago
        return ""
    except (KeyError, TypeError):
        return f"'{folder / FAILED}' does not say of what"


def _epoch(folder: Path) -> int:
    """Return the last epoch in the history of a training under way, 0 if there is none."""
    path = folder / "history.jsonl"
    if not path.exists():
        return 0
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in reversed(lines):
        try:
            return int(json.loads(line)["epoch"])
        except (ValueError, KeyError):  # a line that is being written
            continue
    return 0


def _run(folder: Path, entry: Mapping[str, Any], trainings: Mapping[str, TrainingStatus]) -> RunStatus:
    states = [trainings[name].state for name in entry["trainings"]]
    state: State = "waiting"
    error = ""
    accuracy: dict[str, dict[str, float]] = {}
    if (folder / RESULT).exists():
        state = "done"
        for model in read_result(folder)["models"]:
            if model["role"] in ("scratch", "control", "student"):
                accuracy[model["role"]] = {seed: 100 * scores["accuracy"] for seed, scores in model["seeds"].items()}
    elif "failed" in states:
        state = "failed"
    elif "running" in states or is_held(folder / LOCK):
        state = "running"
    elif error := _failure(folder):
        state = "failed"
    done = states.count("done")
    return RunStatus(name=entry["name"], state=state, done=done, trainings=len(states), accuracy=accuracy, error=error)


def as_table(found: Status) -> Group:
    """Draw a status: how many trainings are in each state, what is being done, a row per run, and what failed."""
    counts = ", ".join(f"{n} {state}" for state, n in found.counts().items())
    running = [
        f"running: {t.title}  epoch {t.epoch}" + (f"/{t.epochs}" if t.epochs else "")
        for t in found.trainings
        if t.state == "running"
    ]
    failed = [f"failed: {t.title}: {t.error}" for t in found.trainings if t.state == "failed"]
    failed += [f"failed: evaluation of {run.name}: {run.error}" for run in found.runs if run.error]
    drawn = Table(box=box.SIMPLE_HEAD)
    drawn.add_column("run")
    for name in ("state", "trainings", "from scratch", "distilled"):
        drawn.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for run in found.runs:
        shown = [_shown(run.accuracy.get(role)) for role in ("scratch", "student")]
        drawn.add_row(Text(run.name), run.state, f"{run.done}/{run.trainings}", *shown)
    title = f"{found.folder}: {len(found.trainings)} trainings: {counts}"
    # Text, since brackets in a str are markup; what runs stands above, where a screen that is too small shows it
    return Group(Text(title), *map(Text, running), drawn, *map(Text, failed))


def _shown(accuracy: Mapping[str, float] | None) -> str:
    if not accuracy:
        return ""
    found = spread(list(accuracy.values()))
    return plus_minus(found["mean"], found["sd"]) if found["n"] >= MIN_N else f"{found['mean']:.2f}"
