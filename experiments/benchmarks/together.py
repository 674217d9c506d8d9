"""How much faster several students train in the same steps than one after the other.

    python experiments/benchmarks/together.py            about 10 minutes on two idle cores; on CUDA where there is one
    python experiments/benchmarks/together.py --quick    fewer windows, to see that it works

WRN16-1 students on real windows (`real.py`) of 500 samples x 3 axes, in batches of 64 and full float32, half of them from
scratch and half distilled from two cached teachers, each with a seed, a lambda and a temperature of its own. The second epoch
of K students one by one (`distill.train.train`) and of the same K at once (`distill.together.train_together`) take turns, round
after round, and the median of the rounds counts. `operations` are those that torch dispatches in a step of all, but for views: a
GPU launches about as many kernels, so that their ratio is about what can be gained where launches are all that takes time.

Writes `experiments/results/together-cpu.csv`, or `together-cuda.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from real import machine
from torch.utils._python_dispatch import TorchDispatchMode
from training import BATCH, CLASSES, DEVICE, UNITS, interleaved, network, now, samples

from distill.batching import Samples
from distill.device import describe, keep_freed_memory
from distill.losses import parse_losses
from distill.schedule import Schedule
from distill.teaching import Teaching, cached
from distill.together import Pupil, train_together
from distill.train import train
from distill.views import View

RESULTS = Path(__file__).parents[1] / "results"
SIGNAL = View(imager=None, units=UNITS)
SCHEDULE = Schedule(epochs=100, batch_size=BATCH, learning_rate=0.01)


class Operations(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def pupils(students: int, data: Samples) -> list[Pupil]:
    """Return fresh students, every second one distilled."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for k in range(students):
        lesson = None
        if k % 2:
            said = [torch.randn(len(data.ids), CLASSES, generator=generator).to(DEVICE) for _ in range(2)]
            lesson = Teaching(
                teachers=[cached(logits) for logits in said],
                names=["gasf", "signal"],
                weights=[0.3, 0.7],
                terms=parse_losses("kd"),
                lambda_=0.1 + 0.8 * k / students,
                temperature=1.0 + k,
            )
        made.append(Pupil(model=network("wrn16-1", SIGNAL), seed=k, teaching=lesson))
    return made


class _EnoughError(Exception):
    """The epoch that counts is over."""


def ends(call: Callable[[Callable[[object], None]], object], epochs: int) -> list[float]:
    """Return when each epoch of a training ended, which is left after so many."""
    found: list[float] = []

    def ended(_: object) -> None:
        found.append(now())
        if len(found) == epochs:
            raise _EnoughError

    with suppress(_EnoughError):
        call(ended)
    return found


def one_by_one(students: int, data: Samples, epochs: int) -> float:
    """Return the seconds of the last epoch, of all students one after the other."""
    seconds = 0.0
    for pupil in pupils(students, data):

        def alone(ended: Callable[[object], None], pupil: Pupil = pupil) -> None:
            train(pupil.model, SIGNAL, data, SCHEDULE, seed=pupil.seed, teaching=pupil.teaching, on_epoch=ended)

        *_, before, last = ends(alone, epochs)
        seconds += last - before
    return seconds


def at_once(students: int, data: Samples, epochs: int) -> float:
    """Return the seconds of the last epoch of all students."""
    *others, one = pupils(students, data)

    def together(ended: Callable[[object], None]) -> None:
        train_together([*others, replace(one, on_epoch=ended)], SIGNAL, data, SCHEDULE)

    *_, before, last = ends(together, epochs)
    return last - before


def operations(call: Callable[[int, Samples, int], float], students: int, data: Samples) -> float:
    """Return how many operations a step dispatches."""
    counts = []
    for epochs in (2, 3):
        with Operations() as counted:
            call(students, data, epochs)
        counts.append(counted.count)
    return (counts[1] - counts[0]) / -(-len(data.ids) // BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of students trained at once; see the docstring.")
    parser.add_argument("--quick", action="store_true", help="fewer windows and rounds")
    parser.add_argument("--students", type=int, nargs="+", help="numbers of students at once")
    given = parser.parse_args()
    keep_freed_memory()
    n, rounds = (128, 3) if given.quick else (512, 5)
    data = samples(n)
    few = Samples(values=data.values[:BATCH], labels=data.labels[:BATCH], ids=data.ids[:BATCH])
    rows = []
    for students in given.students or ([4, 8] if DEVICE.type == "cpu" else [4, 16, 64]):
        contenders = {"one by one": one_by_one, "at once": at_once}
        times = interleaved({n: partial(call, students, data, 2) for n, call in contenders.items()}, rounds)
        counts = {n: operations(call, students, few) for n, call in contenders.items()}
        for name, seconds in times.items():
            rows.append(
                {
                    "students": students,
                    "contender": name,
                    "seconds": np.median(seconds),
                    "q1": np.percentile(seconds, 25),
                    "q3": np.percentile(seconds, 75),
                    "operations": counts[name],
                    "times_faster": np.median(times["one by one"]) / np.median(seconds),
                    "times_fewer_operations": counts["one by one"] / counts[name],
                }
            )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.4g"))
    facts = machine() | {"device": describe(DEVICE), "windows": str(n), "rounds": str(rounds)}
    print(" ".join(f"{k}={v}" for k, v in facts.items()))
    if not given.quick:
        table.assign(**facts).to_csv(RESULTS / f"together-{DEVICE.type}.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
