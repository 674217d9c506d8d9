"""Kill runs at every kind of moment, let them go on, and compare their ends with those of runs that nobody killed.

    python experiments/kills.py                 200 kills of runs, 1,000 of a process that does nothing but save
    python experiments/kills.py --kills 10 --saves 50

Runs are small (bundled data, WRN10-1, 8 x 8 images, one seed) and of many kinds: SGD and AdamW, one, two and three teachers,
cached and live, running means of the weights, validation subjects who stop a training; each has the plain training of a
student from scratch in it. They write a checkpoint after every step. A kill is a SIGKILL: from outside after a random time, or
by the process itself in the middle of a step (between backward and update, and after it), of a save (before the file is
synced, before and after it is renamed), or of a validation. A run is killed four times and then goes on to its end; weights,
optimizer, histories, predictions and result must have the hashes of the run that was never killed, and a checkpoint that
a kill left must be readable.

Writes `experiments/results/kills.csv`, a row per kind of run and moment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch._dynamo  # this and the next before the fork, so that a child begins at once

import distill
from distill import runner, trainings  # noqa: F401
from distill.keeping import Keeping
from distill.sealed import pack, unpack
from tsimage import atomic, load
from tsimage.errors import UserError

RESULTS = Path(__file__).parent / "results"
KILLS_PER_RUN = 4
SMALL = {
    "student": "wrn10-1",
    "image_size": 8,
    "epochs": 3,
    "batch_size": 20,
    "seeds": (0,),
    "precision": "fp32",
    "device": "cpu",
}
THREE = ("wrn10-1:gasf", "wrn10-1:signal", "wrn10-1:mtf")
RUNS = {
    "sgd, one teacher, cached": {"teacher": ("wrn10-1:gasf",)},
    "adamw, one teacher, live": {
        "teacher": ("wrn10-1:signal",),
        "image_size": 32,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "teaching": "live",
    },
    "sgd, two teachers, cached, validation": {"teacher": ("wrn10-1",), "patience": 3},
    "adamw, two teachers, live, features": {
        "teacher": ("wrn10-1",),
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "loss": "kd+sp(beta=100)+hint",
        "augment": "jitter+mixup",
    },
    "sgd, three teachers, live, ema": {"teacher": THREE, "teaching": "live", "ema": 0.9},
    "adamw, three teachers, cached": {
        "teacher": THREE,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "weighing": "ca-mkd",
    },
}
MOMENTS = ("time", "before update", "after update", "save unsynced", "save not renamed", "save renamed", "validation")


def do(options: dict[str, object], folder: Path) -> None:
    """Do a run, or what is missing of it."""
    torch.set_num_threads(1)
    windows = load("basic-motions", channels="acc*")
    distill.run(distill.Run(**{**SMALL, **options}), windows, folder, keeping=Keeping(checkpoint_every="0s"))  # type: ignore[arg-type]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(moment: str, after: int) -> None:
    """Make this process kill itself when it comes to a moment for the n-th time."""
    left = [after]

    def counted(call: Callable, *, before: bool) -> Callable:
        def wrapped(*args: object, **options: object) -> object:
            left[0] -= 1
            if before and left[0] == 0:
                die()
            made = call(*args, **options)
            if left[0] == 0:
                die()
            return made

        return wrapped

    if moment in ("before update", "after update"):
        for kind in (torch.optim.SGD, torch.optim.AdamW):
            kind.step = counted(kind.step, before=moment == "before update")
    elif moment == "save unsynced":
        atomic.os.fsync = counted(os.fsync, before=True)
    elif moment in ("save not renamed", "save renamed"):
        Path.replace = counted(Path.replace, before=moment == "save not renamed")
    elif moment == "validation":
        import distill.learner

        distill.learner.predict = counted(distill.learner.predict, before=True)


def forked(work: Callable[[], None], kill_after: float | None = None) -> bool:
    """Do something in a process of its own, perhaps killed from here after some seconds; returns whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise SystemExit("a run failed, see above")
    return False


def ends(folder: Path) -> dict[str, str]:
    """Return the hashes of everything that a finished run is."""
    found = {}
    for path in sorted(folder.rglob("training.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = path.parent.relative_to(folder).as_posix()
        found |= {f"{name} {what}": record[f"{what}_sha256"] for what in ("weights", "optimizer", "history")}
        history = (path.parent / "history.jsonl").read_bytes()
        found[f"{name} history file"] = hashlib.sha256(history).hexdigest()
    for name in ("result.json", "predictions.csv"):
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found


def unreadable(folder: Path) -> int:
    """Count the checkpoints that a kill left and that cannot be read."""
    bad = 0
    for path in folder.rglob("checkpoint.safetensors"):
        try:
            unpack(path)
        except UserError:
            bad += 1
    return bad


def trial(
    kind: str, moment: str, kills: int, rng: random.Random, reference: dict[str, str], seconds: float
) -> dict[str, int]:
    """Kill one run so many times, let it end, and compare."""
    counts: Counter[str] = Counter(runs=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        for _ in range(kills):

            def work(after: int = rng.randint(1, 9)) -> None:
                dying_at(moment, after)
                do(RUNS[kind], folder)

            if not forked(work, rng.uniform(0, seconds / 2) if moment == "time" else None):
                break
            counts["kills"] += 1
            counts["unreadable checkpoints"] += unreadable(folder)
        forked(lambda: do(RUNS[kind], folder))
        counts["identical ends"] = int(ends(folder) == reference)
        counts["files left over"] = len(list(folder.rglob(".*.partial"))) + len(
            list(folder.rglob("checkpoint.safetensors"))
        )
    return dict(counts)


def kill_runs(
    kills: int, seed: int, kinds: list[str] | None = None, tell: Callable[[str], None] = print
) -> pd.DataFrame:
    """Kill runs of all kinds at all moments until there were so many kills; returns a row per kind and moment."""
    rng = random.Random(seed)
    references: dict[str, tuple[dict[str, str], float]] = {}
    rows: dict[tuple[str, str], Counter[str]] = {}
    done = 0
    kinds = kinds or list(RUNS)
    for kind, moment in _in_turn(kinds):
        if done >= kills:
            break
        if kind not in references:
            with tempfile.TemporaryDirectory() as scratch:
                began = time.monotonic()
                forked(lambda kind=kind, scratch=scratch: do(RUNS[kind], Path(scratch) / "run"))
                references[kind] = ends(Path(scratch) / "run"), time.monotonic() - began
        found = trial(kind, moment, min(KILLS_PER_RUN, kills - done), rng, *references[kind])
        done += found.get("kills", 0)
        rows.setdefault((kind, moment), Counter()).update(found)
        tell(f"{done:4d} kills  {kind}  {moment}  {found}")
    names = ["kills", "runs", "identical ends", "unreadable checkpoints", "files left over"]
    return pd.DataFrame(
        [{"run": kind, "killed at": moment} | {n: counts[n] for n in names} for (kind, moment), counts in rows.items()]
    )


def _in_turn(kinds: list[str]) -> Iterator[tuple[str, str]]:
    number = 0
    while True:
        for offset in range(len(MOMENTS)):
            for place, kind in enumerate(kinds):
                moment = MOMENTS[(offset + place + number) % len(MOMENTS)]
                if moment == "validation" and "validation" not in kind:
                    continue
                yield kind, moment
        number += 1


def kill_saves(kills: int, seed: int, n: int = 20_000) -> dict[str, object]:
    """Kill a process that does nothing but save a state, and read what it left."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "checkpoint.safetensors"

        def save_on() -> None:
            torch.set_num_threads(1)
            for step in range(10**9):
                atomic.write_bytes(path, pack({"weights": torch.full((n,), float(step))}, {"step": step}))

        bad = there = 0
        for _ in range(kills):
            forked(save_on, rng.uniform(0.0, 0.03))
            if path.exists():
                there += 1
                try:
                    tensors, about = unpack(path)
                    bad += not bool((tensors["weights"] == about["step"]).all())
                except UserError:
                    bad += 1
    row: dict[str, object] = {"run": "nothing but saves", "killed at": "time", "kills": kills, "runs": there}
    return row | {"identical ends": there - bad, "unreadable checkpoints": bad, "files left over": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill trials; see the docstring.")
    parser.add_argument("--kills", type=int, default=200, help="of runs")
    parser.add_argument("--saves", type=int, default=1000, help="kills of a process that saves")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = kill_runs(options.kills, options.seed)
    table = pd.concat([table, pd.DataFrame([kill_saves(options.saves, options.seed)])])
    print(table.to_string(index=False))
    table["seed"], table["torch"], table["numpy"] = options.seed, torch.__version__, np.__version__
    if (options.kills, options.saves) == (200, 1000):
        table.to_csv(RESULTS / "kills.csv", index=False, lineterminator="\n")
    runs = table[table["run"] != "nothing but saves"]
    sys.exit(int((runs["identical ends"] != runs["runs"]).any() or table["unreadable checkpoints"].any()))


if __name__ == "__main__":
    main()
