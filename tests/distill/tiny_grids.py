"""Grids small enough for a test, processes that take part in one, and what they left in its folder."""

import json
import multiprocessing

import torch

from distill.grid import GridPlan, prepare
from distill.gridfile import read_grid
from distill.keeping import Keeping
from distill.progress import Progress
from distill.worker import Worker

RUN = """
[run]
teacher = "wrn10-1"
student = "wrn10-1"
image-size = 8
epochs = 2
precision = "fp32"
device = "cpu"
seeds = [0]
channels = ["acc*"]
"""
TWO = RUN + "[[grid]]\nlambda = [0.3, 0.7]\n"
"""Two runs that share two teachers and a student from scratch: 5 trainings."""

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.distill.tiny_grids", "distill.trainings"])


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)

    def end(self, line):
        self.lines.append(line)


def planned(text, out, windows=None):
    """Plan the grid of a file of this text, which is put beside its folder."""
    path = out.with_suffix(".toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return GridPlan(read_grid(path).runs, out, windows)


def do(text, out, windows=None):
    """Do a grid and return its plan and what was told."""
    plan, told = planned(text, out, windows), Told()
    prepare(plan)
    Worker(plan, told).work()
    return plan, told.lines


def take_part(text, out):
    """Do a grid in a process of its own, with a checkpoint after every step."""
    torch.set_num_threads(1)
    plan = planned(text, out)
    prepare(plan)
    Worker(plan, Progress(), Keeping(checkpoint_every="0s")).work()


def processes(n, text, out):
    """Start processes that take part in a grid, each with a copy of its file."""
    started = [forks.Process(target=take_part, args=(text, out)) for _ in range(n)]
    for process in started:
        process.start()
    return started


def notes(out):
    """Return what all logs say: (what, which). A last line that a kill tore apart is left out."""
    lines = [line for log in (out / "logs").glob("*.jsonl") for line in log.read_text().splitlines(keepends=True)]
    made = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(note["what"], note["which"]) for note in made]


def noted(out, what):
    return sorted(which for said, which in notes(out) if said == what)


def ends(out):
    """Return the hashes of every training, and results and predictions of every run."""
    found = {}
    for path in sorted(out.glob("trainings/*/training.json")):
        record = json.loads(path.read_text())
        found[path.parent.name] = [record.get(f"{what}_sha256") for what in ("weights", "history", "optimizer")]
    for path in sorted([*out.glob("runs/*/result.json"), *out.glob("runs/*/predictions.csv")]):
        found[path.relative_to(out).as_posix()] = path.read_bytes()
    return found


def stamps(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def described(out):
    return json.loads((out / "grid.json").read_text())
