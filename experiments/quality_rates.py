"""Which share of the windows of real sets has quality flags, and which share of planted faults is found?

    TSIMAGE_DATA=../shared/data python experiments/quality_rates.py        half a minute

Nobody has labelled the faults of these sets, so a flag in them is a false alarm or a true fault. **The shares are not
independent of the thresholds**, which were chosen on these very windows: those of `spike` among 27 combinations (with and
without a floor) and those of `clipped` among 17 criteria on all of HAPT, to flag little there while planted faults are
found; `stuck` and `dropout` lie above the longest runs of HAPT; `saturated` and `clipped` were narrowed once more after
a look at what they flagged in HAPT and RacketSports. UCI HAR is the same people's data after a median filter and a
low-pass, and `spike` is not looked for below 40 Hz. No set of another sensor at 40 Hz or more was at hand to test on.

Writes `experiments/results/quality-rates.csv`: set, windows, kind (`as found` or a planted fault), flag, share of the
windows with the flag (for a planted fault: of the channels that have it).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import tsimage
from tsimage.quality import FLAGS, counts, inspect
from tsimage.windows import Windows

RESULTS = Path(__file__).parent / "results"


def plain(name: str, values: np.ndarray, channels: list[str], units: list[str], rate_hz: float) -> Windows:
    """Windows of which only values, channels, units and rate are known."""
    n, _, length = values.shape
    ids = np.array([f"{name}-{i}" for i in range(n)])
    return Windows(
        values=values.astype(np.float32),
        channels=tuple(channels),
        units=tuple(units),
        rate_hz=rate_hz,
        labels=np.zeros(n, dtype=np.int64),
        class_names=("any",),
        subjects=np.full(n, ""),
        recordings=ids,
        start=np.zeros(n, dtype=np.int64),
        stop=np.full(n, length),
        ids=ids,
        name=name,
    )


def sets(folder: Path) -> list[Windows]:
    """Return the windows of all sets of the data folder that hold accelerations."""
    acc, gyro = [f"acc-{axis}" for axis in "xyz"], [f"gyro-{axis}" for axis in "xyz"]
    with np.load(folder / "uci-har-test" / "uci-har-test.npz", allow_pickle=False) as file:
        names = [str(name).replace("_", "-") for name in file["channels"]]
        units = ["rad/s" if "gyro" in name else "g" for name in names]
        uci_har = plain("uci-har-test", file["X_test"], names, units, 50.0)
    with np.load(folder / "uea" / "uea.npz", allow_pickle=False) as file:
        both = {s: np.concatenate([file[f"{s}/X_train"], file[f"{s}/X_test"]]) for s in ("Epilepsy", "RacketSports")}
    return [
        tsimage.load("hapt"),
        uci_har,
        tsimage.load("basic-motions"),
        plain("epilepsy", both["Epilepsy"], acc, ["g"] * 3, 16.0),
        plain("racket-sports", both["RacketSports"], acc + gyro, ["m/s^2"] * 3 + ["rad/s"] * 3, 10.0),
    ]


def planted(windows: Windows) -> list[tuple[str, str, float]]:
    """Plant one fault in every window of the acceleration; return fault, flag and the share that is found."""
    rng = np.random.default_rng(0)
    n, length = np.arange(len(windows)), windows.length
    axis, at = rng.integers(3, size=len(n)), rng.integers(5, length - 30, size=len(n))
    run, sign = at[:, None] + np.arange(25), rng.choice([-1, 1], size=len(n))
    everywhere = np.ones(len(n), dtype=bool)
    moving = np.ptp(windows.values[n, axis], axis=1) > 0.5
    found = []

    def measure(fault: str, flag: str, change: np.ndarray, where: np.ndarray = everywhere) -> None:
        seen = inspect(replace(windows, values=change))[n, axis] & FLAGS[flag].bit > 0
        found.append((f"{fault}, {where.sum()} series", flag, float(seen[where].mean())))

    for height in (0.5, 1, 2, 4):
        values = windows.values.copy()
        values[n, axis, at] += height * sign
        measure(f"one sample off by {height:g} g", "spike", values)
    values = windows.values.copy()
    values[n[:, None], axis[:, None], run] = values[n, axis, at][:, None]
    measure("one axis held for 0.5 s", "stuck", values)
    measure("one axis held for 0.5 s, range above 0.5 g", "stuck", values, moving)
    for share in (0.05, 0.1, 0.2):
        top = np.quantile(windows.values[n, axis], 1 - share, axis=1, method="lower")
        values = windows.values.copy()
        values[n, axis] = np.minimum(values[n, axis], top[:, None])
        measure(f"the highest {share:.0%} of samples cut, range above 0.5 g", "clipped", values, moving)
    values = windows.values.copy()
    values[n[:, None], :3, run[:, :3]] = 0
    measure("three axes 0 for 3 samples", "dropout", values)
    values = windows.values.copy()
    values[n[:, None], :3, run[:, :10]] = values[n, :3, at][:, None]
    measure("three axes held for 10 samples", "dropout", values)
    values = windows.values.copy()
    values[:, :3] *= 9.80665
    measure("m/s^2 stated as g", "wrong-unit", values)
    return found


def main() -> None:
    rows = []
    for windows in sets(Path(os.environ["TSIMAGE_DATA"])):
        for flag, number in counts(windows).items():
            rows.append((windows.name, len(windows), "as found", flag, number / len(windows)))
        if windows.name == "hapt":
            rows += [(windows.name, len(windows), *row) for row in planted(windows)]
    table = pd.DataFrame(rows, columns=["set", "windows", "kind", "flag", "share"])
    table.to_csv(RESULTS / "quality-rates.csv", index=False, float_format="%.5f", lineterminator="\n")
    print(table.to_string())


if __name__ == "__main__":
    main()
