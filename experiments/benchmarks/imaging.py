"""How fast windows become images: pyts, NumPy, numba and torch beside each other, and memset as the limit.

    python experiments/benchmarks/imaging.py            about 5 minutes on two idle cores
    python experiments/benchmarks/imaging.py --quick    a minute, less sure

Every case is a window size, an image size and a stack, and has a process of its own. The contenders take turns there,
round after round, and the median of their rounds counts:

- `pyts` as its users call it: once per channel and method, on a whole set of windows; it computes in float64;
- `numpy` and `numba`: `Imager` with `engine="numpy"` and by default, to float32 into an output that is reused;
- `torch`: `Imager` on tensors, in batches of 64 as in training;
- `memset`: as many bytes of zeros into an output that is reused, on one core or on all, whichever is quicker: the limit,
  which paints nothing.

The windows are real: accelerometer windows of the bundled set, joined within each activity to series of the length
asked for.

Then how the numba and torch paths grow with the samples T of a window, the side S of the image and the number n of
windows, and how long the first call of a new process takes. Writes `experiments/results/imaging.csv`,
`imaging-growth.csv` and `imaging-growth.png` beside them.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from real import machine, windows

import tsimage
from tsimage.painting import cores

RESULTS = Path(__file__).parents[1] / "results"
CASES = {
    "stack": ("gasf+gadf+mtf", 500, 64, 128),
    "gasf": ("gasf", 500, 64, 128),
    "gadf": ("gadf", 500, 64, 128),
    "mtf": ("mtf", 500, 64, 128),
    "mtf 5000": ("mtf", 5000, 224, 64),
}
PYTS_WINDOWS = {"stack": 24, "gasf": 1024, "gadf": 1024, "mtf": 24, "mtf 5000": 1}
WARM, TURN = 0.1, 0.15
BATCH = 64
FIRST_CALL = (
    "import time; start = time.perf_counter()\n"
    "import numpy as np, tsimage\n"
    "tsimage.Imager(stack='gasf+gadf+mtf', size=64, scaling='window')(np.random.default_rng(0).normal(size=(64, 3, 500)))\n"
    "print(time.perf_counter() - start)"
)


def contenders(stack: str, x: np.ndarray, size: int, n_pyts: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return each contender as (windows per call, call)."""
    from pyts.image import GramianAngularField, MarkovTransitionField

    scaled = "window" if "g" in stack else "fixed"
    imager = tsimage.Imager(stack=stack, size=size, scaling=scaled)
    out = imager(x)
    other = np.empty_like(out)
    batches = torch.from_numpy(x).split(BATCH)
    methods = {
        "gasf": GramianAngularField(image_size=size, method="summation"),
        "gadf": GramianAngularField(image_size=size, method="difference"),
        "mtf": MarkovTransitionField(image_size=size),
    }
    chosen = [methods[name] for name in stack.split("+")]
    part = windows(n_pyts, x.shape[2]).astype(np.float64)
    pool = ThreadPoolExecutor(cores())
    rows = max(1, (1 << 21) // out[0].nbytes)

    def memset(start: int) -> None:
        block = other[start : start + rows]
        ctypes.memset(block.ctypes.data, 0, block.nbytes)

    zeros: tuple[Callable[[], object], ...] = (
        lambda: ctypes.memset(other.ctypes.data, 0, other.nbytes),
        lambda: list(pool.map(memset, range(0, len(x), rows))),
    )
    return {
        "pyts": (n_pyts, lambda: [method.transform(part[:, axis]) for method in chosen for axis in range(3)]),
        "numpy": (len(x), lambda: imager(x, out=out, engine="numpy")),
        "numba": (len(x), lambda: imager(x, out=out)),
        "torch": (len(x), lambda: deque((imager(batch) for batch in batches), maxlen=0)),
        "memset": (len(x), min(zeros, key=lambda call: repeated(call, WARM))),
    }


def repeated(call: Callable[[], object], least: float) -> float:
    """Call for at least so many seconds, and once; returns seconds per call."""
    done, start = 0, time.perf_counter()
    while not done or time.perf_counter() - start < least:
        call()
        done += 1
    return (time.perf_counter() - start) / done


def interleaved(calls: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> pd.DataFrame:
    """Time the contenders in turns; returns windows per second: median, first and third quartile of the turns.

    A turn is WARM seconds of calls that do not count, since the contender before has filled the caches and put the other
    cores to sleep, and then TURN seconds of calls that do.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (_, call) in calls.items():
            repeated(call, WARM)
            seconds[name].append(repeated(call, TURN))
    rates = {name: n / np.array(seconds[name]) for name, (n, _) in calls.items()}
    rows = {
        name: dict(zip(("q1", "windows_per_s", "q3"), np.percentile(rate, (25, 50, 75)), strict=True))
        for name, rate in rates.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def measured(case: str, rounds: int) -> pd.DataFrame:
    """Return the table of one case."""
    multiprocessing.parent_process = lambda: None  # this process is no worker beside others: it may use all cores
    warnings.filterwarnings("ignore", message=".*quantiles", category=UserWarning)
    stack, length, size, n = CASES[case]
    table = interleaved(contenders(stack, windows(n, length), size, PYTS_WINDOWS[case]), rounds)
    table.insert(0, "case", case)
    table["ratio_to_pyts"] = table["windows_per_s"] / table.loc["pyts", "windows_per_s"]
    table["share_of_memset"] = table["windows_per_s"] / table.loc["memset", "windows_per_s"]
    return table


def growth(rounds: int) -> pd.DataFrame:
    """Return microseconds per window of both paths and each field as T, S and n grow, the others held."""
    sweeps = {
        "T": [(t, 64, 64) for t in (128, 256, 512, 1024, 2048, 4096, 8192)],
        "S": [(1024, s, 64) for s in (16, 32, 64, 128, 256)],
        "n": [(500, 64, n) for n in (1, 4, 16, 64, 256, 1024)],
    }
    rows = []
    for axis, points in sweeps.items():
        for length, size, n in points:
            x = windows(n, length)
            for field in ("gasf", "gadf", "mtf"):
                calls = contenders(field, x, size, 1)
                table = interleaved({name: calls[name] for name in ("numba", "torch", "memset")}, rounds)
                for name, row in table.iterrows():
                    us = 1e6 / row["windows_per_s"]
                    rows.append({"sweep": axis, "T": length, "S": size, "n": n, "field": field, "path": name, "us": us})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(12.5, 3.8), dpi=130, layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    held = {"T": "S = 64, n = 64", "S": "T = 1024, n = 64", "n": "T = 500, S = 64"}
    titles = {"T": "samples in a window, T", "S": "side of the image, S", "n": "windows in a call, n"}
    colours = {"gasf": "#c0392b", "gadf": "#b9770e", "mtf": "#2471a3"}
    styles = {"numba": "-", "torch": "--", "memset": ":"}
    for panel, axis in zip(axes, held, strict=True):
        for (field, name), rows in table[table["sweep"] == axis].groupby(["field", "path"]):
            if name != "memset" or field == "gasf":
                colour = "0.5" if name == "memset" else colours[field]
                label = "memset of the output" if name == "memset" else f"{field}, {name}"
                panel.plot(rows[axis], rows["us"], styles[name], color=colour, marker="o", markersize=3, label=label)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel(titles[axis])
        panel.set_title(held[axis], fontsize=10)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("microseconds per window of 3 axes")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of imaging; see the docstring.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--no-growth", action="store_true", help="only the table")
    options = parser.parse_args()
    rounds = 5 if options.quick else 15
    tables = []
    for case, (stack, length, size, _) in CASES.items():
        # Each case in a process of its own: what the cases before left of the heap would change its page faults.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            table = fresh.submit(measured, case, rounds).result()
        print(f"\n{case}: {stack}, {length} samples x 3 axes to {size} x {size}, median of {rounds} rounds")
        print(
            table.drop(columns="case").round({"ratio_to_pyts": 1, "share_of_memset": 3}).to_string(float_format="%.4g")
        )
        tables.append(table.rename_axis("path").reset_index())
    first = [
        float(subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True).stdout)
        for _ in range(4)
    ]
    print(f"\nfirst call of a new process, import included, kernels cached: {np.median(first[1:]):.2f} s")
    facts = machine() | {"rounds": str(rounds), "first_call_s": f"{np.median(first[1:]):.2f}"}
    print(" ".join(f"{k}={v}" for k, v in facts.items()))
    RESULTS.mkdir(exist_ok=True)
    pd.concat(tables).assign(**facts).to_csv(RESULTS / "imaging.csv", index=False, float_format="%.6g")
    if not options.no_growth:
        table = growth(3)
        table.assign(**machine()).to_csv(RESULTS / "imaging-growth.csv", index=False, float_format="%.6g")
        draw(table, RESULTS / "imaging-growth.png")


if __name__ == "__main__":
    main()
