"""How far a grid or a run is, read from its folder alone, while others are at work in it or not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.table import Table

from distill.layout import FAILED, GRID, LOCK
from distill.table import MIN_N, plus_minus, spread
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
    """A run: its state, how many of its trainings are done, and, when it is, the accuracy of its students by seed, in percent."""

    name: str
    state: State
    done: int
    trainings: int
    accuracy: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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


def status(folder: str | Path) -> Status:
    """Return how far the grid or run in a folder is.

    Raises
    ------
    UserError
        If the folder holds neither.
    """
    folder = Path(folder)
    if (folder / GRID).exists():
        content = atomic.read_json(folder / GRID)
        trainings, runs = content["trainings"], content["runs"]
    elif (folder / "run.json").exists():
        content = atomic.read_json(folder / "run.json")
        epochs = content["run"]["epochs"]
        names = content.get("trainings", [])
        trainings = {name: {"title": name, "epochs": epochs, "needs": []} for name in names}
        runs = [{"name": folder.name, "folder": ".", "trainings": names}]
    else:
        raise UserError(f"'{folder}' holds no run and no grid of distill: give the folder of one")
    found: dict[str, TrainingStatus] = {}
    for name, about in trainings.items():
        found[name] = _training(folder / name, about, found)
    return Status(
        folder=folder,
        runs=tuple(_run(folder / entry["folder"], entry, found) for entry in runs),
        trainings=tuple(found.values()),
    )


def _training(folder: Path, about: Mapping[str, Any], before: Mapping[str, TrainingStatus]) -> TrainingStatus:
    epochs = about["epochs"]
    if (folder / "training.json").exists():
        return TrainingStatus(title=about["title"], state="done", epoch=epochs, epochs=epochs)
    state: State = "waiting"
    error = ""
    if (folder / FAILED).exists():
        state, error = "failed", atomic.read_json(folder / FAILED)["error"]
    elif lost := [before[name] for name in about["needs"] if before[name].state == "failed"]:
        state, error = "failed", f"needs {lost[0].title}, which failed"
    elif is_held(folder / LOCK):
        state = "running"
    return TrainingStatus(title=about["title"], state=state, epoch=_epoch(folder), epochs=epochs, error=error)


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
    accuracy: dict[str, dict[str, float]] = {}
    if (folder / "result.json").exists():
        state = "done"
        for model in atomic.read_json(folder / "result.json")["models"]:
            if model["role"] in ("scratch", "control", "student"):
                accuracy[model["role"]] = {seed: 100 * scores["accuracy"] for seed, scores in model["seeds"].items()}
    elif "failed" in states:
        state = "failed"
    elif "running" in states or is_held(folder / LOCK):
        state = "running"
    return RunStatus(
        name=entry["name"], state=state, done=states.count("done"), trainings=len(states), accuracy=accuracy
    )


def as_table(found: Status) -> Table:
    """Draw a status: a row per run, and below it what is being done and what failed."""
    counts = ", ".join(f"{n} {state}" for state, n in found.counts().items())
    running = [f"{t.title}  epoch {t.epoch}/{t.epochs}" for t in found.trainings if t.state == "running"]
    failed = [f"failed: {t.title}: {t.error}" for t in found.trainings if t.state == "failed"]
    drawn = Table(
        title=f"{found.folder}: {len(found.trainings)} trainings: {counts}",
        title_justify="left",
        caption="\n".join([*(f"running: {line}" for line in running), *failed]) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    drawn.add_column("run")
    for name in ("state", "trainings", "from scratch", "distilled"):
        drawn.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    for run in found.runs:
        shown = [_shown(run.accuracy.get(role)) for role in ("scratch", "student")]
        drawn.add_row(run.name, run.state, f"{run.done}/{run.trainings}", *shown)
    return drawn


def _shown(accuracy: Mapping[str, float] | None) -> str:
    if not accuracy:
        return ""
    found = spread(list(accuracy.values()))
    return plus_minus(found["mean"], found["sd"]) if found["n"] >= MIN_N else f"{found['mean']:.2f}"
