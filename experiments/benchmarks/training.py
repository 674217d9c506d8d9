"""How fast training is: cached teachers beside live ones, the precision of 2-D networks, the loop beside its bare steps, and
compiled steps beside eager ones.

    python experiments/benchmarks/training.py          about 13 minutes on two idle cores; on CUDA where there is one
    python experiments/benchmarks/training.py --quick  smaller teachers and images, to see that it works

Windows are real (`real.py`): 500 samples x 3 axes, images 64 x 64, batches of 64. Contenders take turns, round after round,
and the median of their rounds counts:

- `distillation`: an epoch of the 1-D WRN16-1 student under kd over 1,024 windows, with the logits of a WRN28-3 GASF teacher
  computed before (`cached`) or in every step (`live`), in full float32 as in a run; and the pass that computes the cache once.
- `images`: a step of the 2-D WRN16-1 as this package trains it (channels last, in the precision that `auto` chooses here)
  beside the plain loop: float32, contiguous. Without bfloat16 in hardware only the memory layout differs.
- `loop`: an epoch of `distill.train.train` beside the bare forward, loss, backward and step on the same batches, for the
  1-D WRN16-1.
- `compiled signal`, `compiled images`: the bare steps of the WRN16-1, eager and after `torch.compile` (which needs a compiler of
  C++, on CUDA Triton), there also in CUDA graphs. `compiling` is the first epoch, in which the network is
  compiled, or read from what torch keeps on disk of an earlier compilation.

Writes `experiments/results/training-cpu.csv`, or `training-cuda.csv`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from real import machine, windows
from torch import Tensor, nn
from torch.nn import functional as F

from distill.batching import Samples
from distill.device import choose_precision, describe, keep_freed_memory
from distill.losses import parse_losses
from distill.models import build_model
from distill.prediction import predict
from distill.schedule import Schedule
from distill.teaching import Teaching, cached, live
from distill.train import train
from distill.views import SIGNAL, View
from tsimage import Imager

RESULTS = Path(__file__).parents[1] / "results"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES, BATCH = 6, 64
UNITS = ("g", "g", "g")


def samples(n: int) -> Samples:
    """Return n real windows with labels in turn: time does not depend on what is learnt."""
    return Samples(
        values=torch.from_numpy(windows(n, 500)).to(DEVICE),
        labels=(torch.arange(n) % CLASSES).to(DEVICE),
        ids=np.array([f"w{i:05d}" for i in range(n)]),
    )


def network(name: str, view: View) -> nn.Module:
    return build_model(name, dims=view.dims, in_channels=view.channels, classes=CLASSES).to(DEVICE)


def now() -> float:
    """Return the time in seconds, once the device has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Return what calls and tells the seconds it took."""

    def seconds() -> float:
        start = now()
        call()
        return now() - start

    return seconds


def interleaved(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each in turns, once before that does not count; returns the seconds that each told in every round."""
    for call in calls.values():
        call()
    turns = [{name: call() for name, call in calls.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in calls}


def epoch(data: Samples, view: View, name: str, precision: str = "fp32") -> None:
    """Train one epoch of a fresh network."""
    schedule = Schedule(epochs=1, batch_size=BATCH, learning_rate=0.01)
    train(network(name, view), view, data, schedule, seed=0, precision=precision)  # type: ignore[arg-type]


class _EnoughError(Exception):
    """The epoch that counts is over."""


def second_epoch(data: Samples, view: View, name: str, teaching: Teaching) -> float:
    """Return the seconds of the second epoch of a training: as nine in ten, it takes no norms of gradients for the log."""
    ends: list[float] = []

    def ended(_: dict[str, float]) -> None:
        ends.append(now())
        if len(ends) == 2:
            raise _EnoughError

    with suppress(_EnoughError):
        schedule = Schedule(epochs=100, batch_size=BATCH, learning_rate=0.01)
        train(network(name, view), view, data, schedule, seed=0, teaching=teaching, on_epoch=ended)
    return ends[1] - ends[0]


def distillation(size: int, teacher_name: str, n: int, rounds: int) -> dict[str, list[float]]:
    data, images = samples(n), View(imager=Imager(stack="gasf", size=size), units=UNITS)
    signal, teacher = View(imager=None, units=UNITS), network(teacher_name, images).eval()
    logits = predict(teacher, images, data.values).to(DEVICE)

    def by(speaker: object) -> Teaching:
        return Teaching(teachers=[speaker], names=[SIGNAL], weights=[1.0], terms=parse_losses("kd"))  # type: ignore[list-item]

    return interleaved(
        {
            "cached": lambda: second_epoch(data, signal, "wrn16-1", by(cached(logits))),
            "live": lambda: second_epoch(data, signal, "wrn16-1", by(live(teacher, images))),
            "caching pass": timed(lambda: predict(teacher, images, data.values)),
        },
        rounds,
    )


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)


def step(model: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    """Do nothing but forward, loss, backward and step, in float32."""
    loss = F.cross_entropy(model(inputs), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def bare(data: Samples, view: View, name: str) -> None:
    """Train one epoch of a fresh network by bare steps, on images that are not channels last."""
    model = network(name, view).train()
    optimizer = optimizer_of(model)
    for start in range(0, len(data.ids), BATCH):
        inputs = view.of(data.values[start : start + BATCH]).contiguous()
        step(model, optimizer, inputs, data.labels[start : start + BATCH])


def stepping(data: Samples, view: View, mode: str | None) -> Callable[[], None]:
    """Return what trains the same WRN16-1 for one more epoch by bare steps, on inputs made before.

    The mode is one of `torch.compile`, or None for the network as it is.
    """
    layout = torch.channels_last if view.dims == 2 else torch.contiguous_format
    model = network("wrn16-1", view).train().to(memory_format=layout)
    call = model if mode is None else torch.compile(model, mode=mode)
    optimizer = optimizer_of(model)
    starts = range(0, len(data.ids) - BATCH + 1, BATCH)  # full batches: another shape is compiled anew
    given = [(view.of(data.values[s : s + BATCH]).to(memory_format=layout), data.labels[s : s + BATCH]) for s in starts]

    def more() -> None:
        for inputs, labels in given:
            step(call, optimizer, inputs, labels)

    return more


def compiled(data: Samples, view: View, rounds: int) -> dict[str, list[float]]:
    modes: dict[str, str | None] = {"eager": None, "torch.compile": "default"}
    if DEVICE.type == "cuda":
        modes["CUDA graphs"] = "reduce-overhead"
    calls = {name: timed(stepping(data, view, mode)) for name, mode in modes.items()}
    firsts = {f"compiling, {name}": [call()] for name, call in calls.items() if name != "eager"}
    return interleaved(calls, rounds) | firsts


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of training; see the docstring.")
    parser.add_argument("--quick", action="store_true", help="smaller teachers and images")
    quick = parser.parse_args().quick
    keep_freed_memory()
    size, teacher, n, rounds = (16, "wrn10-1", 128, 3) if quick else (64, "wrn28-3", 256, 5)
    n *= 8 if DEVICE.type == "cuda" else 1
    images = View(imager=Imager(stack="gasf", size=size), units=UNITS)
    signal = View(imager=None, units=UNITS)
    precision = choose_precision("auto", DEVICE)
    some, many = samples(n), samples(8 * n)
    cases = {
        "distillation": distillation(size, teacher, 4 * n, rounds),
        "images": interleaved(
            {
                f"{precision}, channels last": timed(lambda: epoch(some, images, "wrn16-1", precision=precision)),
                "fp32, contiguous": timed(lambda: bare(some, images, "wrn16-1")),
            },
            rounds,
        ),
        "loop": interleaved(
            {
                "distill.train": timed(lambda: epoch(many, signal, "wrn16-1")),
                "bare steps": timed(lambda: bare(many, signal, "wrn16-1")),
            },
            rounds,
        ),
        "compiled signal": compiled(many, signal, rounds),
        "compiled images": compiled(some, images, rounds),
    }
    rows = [
        {
            "case": case,
            "contender": name,
            "seconds": np.median(times),
            "q1": np.percentile(times, 25),
            "q3": np.percentile(times, 75),
        }
        for case, found in cases.items()
        for name, times in found.items()
    ]
    table = pd.DataFrame(rows)
    rivals = {"distillation": "live", "images": "fp32, contiguous", "loop": "bare steps"}
    against = table.set_index(["case", "contender"])["seconds"]
    table["times_faster"] = [
        against[row.case, rivals.get(row.case, "eager")] / row.seconds for row in table.itertuples()
    ]
    print(table.to_string(index=False, float_format="%.4g"))
    facts = machine() | {"device": describe(DEVICE), "size": str(size), "teacher": teacher, "rounds": str(rounds)}
    print(" ".join(f"{k}={v}" for k, v in facts.items()))
    if not quick:
        table.assign(**facts).to_csv(RESULTS / f"training-{DEVICE.type}.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
