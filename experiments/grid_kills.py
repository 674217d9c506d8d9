"""Kill the processes of a grid at random moments until it is done, and compare it with one that nobody disturbed.

    OMP_NUM_THREADS=1 python experiments/grid_kills.py experiments/tiny.toml --kills 10 --compare
    OMP_NUM_THREADS=1 TSIMAGE_DATA=../shared/data python experiments/grid_kills.py experiments/reduced-hapt.toml \
        --kills 50 --every 20 --compare

The grid is done by `distill grid GRID --workers N` or, as often, by N processes of `distill work FOLDER`. At random moments
over its whole course, also while processes start, one of these happens; then the same grid is started again:

- everything: SIGKILL to all processes at once;
- a worker: SIGKILL to one of them, the others go on, and another comes in its place;
- the launcher: SIGKILL to `distill grid` alone, whose workers must die with it;
- SIGTERM: to the launcher, or to all workers, which must leave by themselves.

After each, every checkpoint and every JSON file in the folder must be readable, and a training that was done must be as it
was. In the end every training must be done, and logged so once, nothing may have been done at it afterwards, and every run
have a result; the same commands once more must not change a file. With --compare a second grid is done without any of this:
the hashes of weights, optimizer, history, predictions and results, and the table, must be the same.

Both grids lie in a temporary folder, unless --out names one that is new. Writes `experiments/results/grid-kills-NAME.csv`, one
row, and the table of the grid as `experiments/results/NAME.csv`. It looks for processes in /proc, so it needs Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from distill.device import describe
from distill.sealed import unpack
from distill.status import status
from tsimage.errors import UserError

RESULTS = Path(__file__).parent / "results"
KINDS = ("everything", "a worker", "the launcher", "SIGTERM")
WHILE_STARTING = 0.2
"""Share of the moments that do not wait until something is begun or done."""
PATIENCE_S = 60.0
"""How long processes may outlive what should have ended them before they are killed and counted."""
LEFT = {-signal.SIGTERM, 128 + signal.SIGTERM, 0}
"""Exit codes after SIGTERM: before and after it is handled, and of what was at its end."""


class Shift:
    """Processes that do a grid. Each command has a session of its own, by which its processes are known."""

    def __init__(self, commands: Sequence[Sequence[object]], log: Path) -> None:
        self.log = log
        self.leaders: list[subprocess.Popen[bytes]] = []
        for command in commands:
            self.add(command)

    def add(self, command: Sequence[object]) -> None:
        """Start `distill` with these arguments."""
        with self.log.open("ab") as output:
            words = [sys.executable, "-m", "distill", *map(str, command)]
            started = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.leaders.append(started)

    def processes(self) -> list[int]:
        """Return the processes of all sessions that have not ended."""
        sessions = {leader.pid for leader in self.leaders}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if os.getsid(int(entry.name)) in sessions and state not in "ZX":
                        found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """Return the processes that a launcher started, or all if there is none."""
        leaders = {leader.pid for leader in self.leaders}
        running = self.processes()
        return [pid for pid in running if pid not in leaders] or running

    def send(self, number: int, pids: Sequence[int]) -> None:
        """Send a signal to processes of this shift."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ended(self) -> bool:
        """Whether all commands have ended; reaps them."""
        return None not in [leader.poll() for leader in self.leaders]

    def wait(self, patience: float = float("inf")) -> int:
        """Wait until no process is left; returns how many had to be killed for that."""
        deadline = time.monotonic() + patience
        while not self.ended() or self.processes():
            if time.monotonic() > deadline:
                late = self.processes()
                self.send(signal.SIGKILL, late)
                return len(late)
            time.sleep(0.05)
        return 0


class Trial:
    """A grid that is disturbed, and what was seen of it."""

    def __init__(self, grid: Path, folder: Path, workers: int, checkpoint_every: str) -> None:
        self.folder, self.workers = folder, workers
        keeping = ("--checkpoint-every", checkpoint_every)
        self.launcher = ("grid", grid, "--out", folder, "--workers", workers, "--threads", 1, *keeping)
        self.worker = ("work", folder, *keeping)
        self.log = folder.with_name(f"{folder.name}.log")
        self.counts: Counter[str] = Counter()
        self.done: dict[Path, tuple[int, int]] = {}
        self.slowest = 0.0

    def is_finished(self) -> bool:
        """Whether every run has a result."""
        return (self.folder / "grid.json").exists() and status(self.folder).is_finished

    @contextmanager
    def shift(self, commands: Sequence[Sequence[object]]) -> Iterator[Shift]:
        """Give processes that do the grid; none of them outlives the block."""
        shift = Shift(commands, self.log)
        try:
            yield shift
        finally:
            shift.wait(0)

    def disturb(self, kills: int, every: float, rng: random.Random) -> None:
        """Disturb the grid so many times over its whole course, or until it is finished."""
        marks = sorted((rng.random() for _ in range(kills)), reverse=True)
        while marks and not self.is_finished():
            is_launched = not (self.folder / "grid.json").exists() or rng.random() < 0.5
            commands = [self.launcher] if is_launched else [self.worker] * self.workers
            with self.shift(commands) as shift:
                while marks:
                    self._moment(shift, marks[-1], every, rng)
                    if shift.ended():
                        break
                    marks.pop()
                    if self._kill(shift, is_launched, rng):
                        break

    def _moment(self, shift: Shift, mark: float, every: float, rng: random.Random) -> None:
        """Wait until a random moment, mostly after this share of the trainings is done and something more has happened."""
        if rng.random() > WHILE_STARTING:
            before = log_bytes(self.folder)
            while not shift.ended() and (log_bytes(self.folder) == before or self._share_done() < mark):
                time.sleep(0.02)
        time.sleep(rng.uniform(0, every))

    def _share_done(self) -> float:
        """Return the share of trainings that are done."""
        total = len(json.loads((self.folder / "grid.json").read_text(encoding="utf-8"))["trainings"])
        return len(list(self.folder.glob("trainings/*/training.json"))) / total

    def _kill(self, shift: Shift, is_launched: bool, rng: random.Random) -> bool:
        """Disturb a shift in one way, and look at what is left; returns whether that was its end."""
        kind = rng.choice([kind for kind in KINDS if is_launched or kind != "the launcher"])
        began = time.monotonic()
        leaders = [leader.pid for leader in shift.leaders if leader.poll() is None]
        if kind == "a worker":
            victim = rng.choice(shift.workers() or leaders)
            shift.send(signal.SIGKILL, [victim])
            if not is_launched:
                shift.add(self.worker)
        elif kind == "everything":
            shift.send(signal.SIGKILL, shift.processes())
        else:
            shift.send(signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL, leaders)
        self.counts[kind] += 1
        if kind != "a worker":
            self.counts["outlived"] += shift.wait(PATIENCE_S)
        if kind == "SIGTERM":
            self.slowest = max(self.slowest, time.monotonic() - began)
            codes = {leader.returncode for leader in shift.leaders if leader.pid in leaders}
            self.counts["wrong exit codes"] += len(codes - LEFT)
        read, bad = readable(self.folder)
        self.counts["checkpoints read"] += read
        self.counts["unreadable"] += bad
        self.counts["rewritten"] += rewritten(self.folder, self.done)
        running = sum(self.counts[kind] for kind in KINDS)
        print(
            f"{running:4d} {kind:12s} {len(self.done)} trainings done, {read} checkpoints, {bad} unreadable", flush=True
        )
        return kind != "a worker"

    def finish(self) -> None:
        """Do what is left, undisturbed."""
        with self.shift([self.launcher]) as shift:
            shift.wait()
            if shift.leaders[0].returncode or not self.is_finished():
                said = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
                raise SystemExit(
                    "\n".join([*said, f"the grid was not finished: see above, and distill status {self.folder}"])
                )
        self.counts["rewritten"] += rewritten(self.folder, self.done)

    def start_again(self) -> list[str]:
        """Give the commands once more; returns the files that this changed."""
        before = snapshot(self.folder)
        for command in (self.launcher, self.worker):
            with self.shift([command]) as shift:
                shift.wait()
        after = snapshot(self.folder)
        return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def log_bytes(folder: Path) -> int:
    """Return how much all processes have logged."""
    return sum(path.stat().st_size for path in (folder / "logs").glob("*.jsonl"))


def readable(folder: Path) -> tuple[int, int]:
    """Return how many checkpoints there are, and how many of them and of the JSON files cannot be read.

    Others may be at work in the folder: a file that is gone by now is none.
    """
    read = bad = 0
    for path in folder.rglob("checkpoint.safetensors"):
        with suppress(FileNotFoundError):
            try:
                unpack(path)
            except UserError:
                bad += 1
            read += 1
    for path in folder.rglob("*.json"):
        with suppress(FileNotFoundError):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                bad += 1
    return read, bad


def rewritten(folder: Path, known: dict[Path, tuple[int, int]]) -> int:
    """Count records of trainings that are not those which were `known`, and make the new ones known."""
    found = 0
    for path in (folder / "trainings").glob("*/training.json"):
        about = path.stat()
        now = (about.st_ino, about.st_mtime_ns)
        found += known.setdefault(path, now) != now
    return found + sum(not path.exists() for path in known)


def logged(folder: Path) -> dict[str, int]:
    """Count what the logs and the folder of a grid say of its trainings and runs.

    Returns
    -------
    dict
        `trainings` and `runs` of the grid; `done` and `results` in the folder; how often trainings were `begun` and have
        `gone on`; how many are `done unlogged` (killed between the last file and the line), were `done twice` (something was
        done after they were done) and `failed`; `results twice`; `torn lines`; `files left over`.
    """
    grid = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
    events: list[dict[str, str]] = []
    counts = dict.fromkeys(("done unlogged", "done twice", "failed", "results twice", "torn lines"), 0)
    for log in sorted((folder / "logs").glob("*.jsonl")):
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                counts["torn lines"] += 1
    course: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: event["at"]):
        course.setdefault(event["which"], []).append(event["what"])
    done = [name for name in grid["trainings"] if (folder / name / "training.json").exists()]
    for name in grid["trainings"]:
        told = course.get(name, [])
        counts["done unlogged"] += name in done and "done" not in told
        counts["done twice"] += "done" in told[:-1]
        counts["failed"] += "failed" in told
    runs = [run["folder"] for run in grid["runs"]]
    counts["results twice"] = sum(course.get(run, []).count("result") > 1 for run in runs)
    what = Counter(event["what"] for event in events)
    return counts | {
        "runs": len(runs),
        "results": sum((folder / run / "result.json").exists() for run in runs),
        "trainings": len(grid["trainings"]),
        "done": len(done),
        "begun": what["begins"],
        "gone on": what["goes on"],
        "files left over": sum(1 for _ in folder.rglob(".*.partial")) + sum(1 for _ in folder.rglob("checkpoint.*")),
    }


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of all files of a grid."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def ends(folder: Path) -> dict[str, str]:
    """Return the hashes of everything that a finished grid is."""
    found: dict[str, str] = {}
    for path in (folder / "trainings").glob("*/training.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = path.parent.relative_to(folder).as_posix()
        kept = ("weights_sha256", "optimizer_sha256", "history_sha256")  # a ridge has the first alone
        found |= {f"{name} {what}": record[what] for what in kept if what in record}
    files = [*folder.glob("trainings/*/history.jsonl"), *folder.glob("runs/*/result.json")]
    for path in [*files, *folder.glob("runs/*/predictions.csv"), folder / "table.csv"]:
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wrong(row: dict[str, Any]) -> list[str]:
    """Return what a row says that must not be."""
    names = ("done twice", "rewritten", "failed", "results twice", "torn lines", "unreadable", "files left over")
    found = [name for name in (*names, "outlived", "wrong exit codes", "changed by starting again") if row[name]]
    found += [
        f"not all {name}" for name, whole in (("done", "trainings"), ("results", "runs")) if row[name] < row[whole]
    ]
    started_over = row["begun"] + row["gone on"] - row["trainings"]
    if not 0 <= started_over <= row["workers"] * row["kills"]:
        found.append("trainings begun or gone on with at other times than after a kill")
    return found + (["not identical"] if row["identical"] is False else [])


def tidy(table: Path) -> pd.DataFrame:
    """Return the table of a grid: what varies, a row per model, in percent, each seed's value in the column `seeds`."""
    frame = pd.read_csv(table).drop(columns=["run", "state"])
    frame["seeds"] = [" ".join(f"{value:.2f}" for value in json.loads(text).values()) for text in frame["seeds"]]
    return frame.round(4)


def report(trial: Trial, name: str, changed: Sequence[str], identical: bool | None) -> dict[str, Any]:
    """Return the row of a grid that is done."""
    killed = {kind: trial.counts[kind] for kind in KINDS}
    seen = ("outlived", "wrong exit codes", "checkpoints read", "unreadable", "rewritten")
    return {
        "grid": name,
        "workers": trial.workers,
        "kills": sum(killed.values()),
        **killed,
        "slowest end after SIGTERM in s": round(trial.slowest, 1),
        **logged(trial.folder),
        **{what: trial.counts[what] for what in seen},
        "changed by starting again": len(changed),
        "identical": identical,
    }


def main() -> None:
    """Disturb a grid, do another one in peace, compare, and write what was seen."""
    parser = argparse.ArgumentParser(description="Kill trial of a grid; see the docstring.")
    parser.add_argument("grid", type=Path, help="TOML file")
    parser.add_argument("--out", type=Path, help="new folder, which is kept, with another beside it for --compare")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=4.0, help="longest time in s between an event and a kill")
    parser.add_argument("--checkpoint-every", default="1", help="as of distill grid")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--compare", action="store_true", help="do the grid a second time, undisturbed, and compare")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.out is not None and options.out.exists():
        raise SystemExit(f"'{options.out}' is there already: name a new folder")
    name, began = options.grid.stem, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch) / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        trial = Trial(options.grid, folder, options.workers, options.checkpoint_every)
        trial.disturb(options.kills, options.every, random.Random(options.seed))
        trial.finish()
        changed = trial.start_again()
        identical: bool | None = None
        if options.compare:
            other = folder.with_name(f"{name}-undisturbed" if options.out is None else f"{folder.name}-undisturbed")
            Trial(options.grid, other, options.workers, options.checkpoint_every).finish()
            mine, theirs = ends(folder), ends(other)
            differ = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
            print(*(f"differs: {key}" for key in differ), f"{len(mine)} hashes compared", sep="\n")
            identical = not differ
        row = report(trial, name, changed, identical)
        options.results.mkdir(exist_ok=True)
        tidy(folder / "table.csv").to_csv(options.results / f"{name}.csv", index=False, lineterminator="\n")
    print(*(f"changed by starting again: {file}" for file in changed), sep="\n", end="\n" if changed else "")
    about = {"seed": options.seed, "every_s": options.every, "checkpoint_every": options.checkpoint_every}
    about |= {"seconds": round(time.monotonic() - began), "torch": torch.__version__, "numpy": np.__version__}
    table = pd.DataFrame([row | about | {"machine": describe(torch.device("cpu"))}])
    print(table.T.to_string(header=False))
    table.to_csv(options.results / f"grid-kills-{name}.csv", index=False, lineterminator="\n")
    if found := wrong(row):
        raise SystemExit(f"not as it must be: {'; '.join(found)}")


if __name__ == "__main__":
    main()
