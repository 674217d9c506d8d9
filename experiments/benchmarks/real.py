"""What the benchmarks share: real windows of any number and length, and the machine they ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

import tsimage


def windows(n: int, length: int, *, first: int = 0) -> np.ndarray:
    """Return n real windows of three axes, (n, 3, length) float32, from number `first` of an endless row on.

    Accelerometer windows of the bundled set, those of one activity joined end to end in an order of chance.
    """
    source = tsimage.load("basic-motions", channels="acc*")
    joined = -(-length // source.length)
    rng = np.random.default_rng(first)
    order = rng.random((n, joined))
    out = np.empty((n, 3, joined, source.length), np.float32)
    for label in range(len(source.class_names)):
        members = source.values[source.labels == label]
        rows = np.arange(n) % len(source.class_names) == label
        out[rows] = members[(order[rows] * len(members)).astype(int)].transpose(0, 2, 1, 3)
    return np.ascontiguousarray(out.reshape(n, 3, -1)[:, :, :length])


def machine() -> dict[str, str]:
    """Name the processor, the cores and the versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = ("tsimage", "pyts", "numpy", "numba", "torch")
    return {"cpu": model, "cores": str(cores), "python": platform.python_version()} | {n: version(n) for n in names}
