"""A data set whose images are far larger than memory should need: 20 GB converted once, and the memory it took.

    python experiments/benchmarks/conversion.py                 about 20 GB of images, 3.3 GB of windows
    python experiments/benchmarks/conversion.py --gigabytes 2

Builds a folder of `.npy` files with real windows (3 axes, 500 samples, see `real.py`) in a temporary folder beside the
output, runs `tsimage convert` on it in a process of its own (GASF, GADF and MTF of 64 x 64 as uint8), and reads the
memory of that process from /proc every quarter of a second: `anonymous` is what it owns, `file` the pages of mapped
files, which the system takes back when it needs them. Then `tsimage verify` reads every byte again. Writes
`experiments/results/conversion.csv` and `conversion.png`; everything else is removed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from real import machine, windows

RESULTS = Path(__file__).parents[1] / "results"
BYTES_PER_WINDOW = 9 * 64 * 64
BLOCK = 20_000


def make_windows(folder: Path, n: int) -> None:
    """Write n windows with labels and people as a folder of `.npy` files, a block at a time."""
    folder.mkdir(parents=True)
    values = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.float32, shape=(n, 3, 500))
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        values[start:stop] = windows(stop - start, 500, first=start)
    values.flush()
    np.save(folder / "y.npy", np.arange(n) % 4)
    np.save(folder / "subjects.npy", np.array([f"s{i // 1000:04d}" for i in range(n)]))
    np.save(folder / "channels.npy", np.array(["acc-x", "acc-y", "acc-z"]))
    np.save(folder / "units.npy", np.array(["m/s^2"] * 3))
    np.save(folder / "rate_hz.npy", np.array(10.0))


def watched(command: list[str]) -> tuple[pd.DataFrame, str]:
    """Run a command; return its memory over time in MB and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    status, rows = Path(f"/proc/{process.pid}/status"), []
    while process.poll() is None:
        try:
            sizes = dict(re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", status.read_text()))
        except OSError:
            break
        if len(sizes) == 2:
            rows.append((time.perf_counter() - start, int(sizes["RssAnon"]) / 1e3, int(sizes["RssFile"]) / 1e3))
        time.sleep(0.25)
    said = process.communicate()[0]
    if process.returncode:
        raise SystemExit(said)
    return pd.DataFrame(rows, columns=["seconds", "anonymous_mb", "file_mb"]), said


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of a large conversion; see the docstring.")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="images to make")
    options = parser.parse_args()
    n = round(options.gigabytes * 1e9 / BYTES_PER_WINDOW)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        source, store = Path(scratch) / "windows", Path(scratch) / "store"
        make_windows(source, n)
        tsimage = str(Path(sys.executable).with_name("tsimage"))
        recipe = "--stack gasf+gadf+mtf --size 64 --scaling window --dtype uint8 --constant flag"
        table, said = watched([tsimage, "convert", str(source), str(store), *recipe.split()])
        print(said)
        check, checked = watched([tsimage, "verify", str(store)])
        print(checked)
    seconds, verified = table["seconds"].iloc[-1], check["seconds"].iloc[-1]
    later = table[table["seconds"] > seconds / 10]
    print(
        f"{n:,} windows, {n * BYTES_PER_WINDOW / 1e9:.1f} GB of images in {seconds:.0f} s ({n / seconds:,.0f} windows/s); "
        f"memory of its own at most {table['anonymous_mb'].max():.0f} MB (mapped files {table['file_mb'].max():.0f} MB); after "
        f"the first tenth it grew by {later['anonymous_mb'].iloc[-1] - later['anonymous_mb'].iloc[0]:.0f} MB; verified in "
        f"{verified:.0f} s"
    )
    RESULTS.mkdir(exist_ok=True)
    facts = machine() | {"windows": n, "verify_seconds": round(verified, 1)}
    thinned = table.iloc[:: max(1, len(table) // 200)]
    thinned.assign(**facts).to_csv(RESULTS / "conversion.csv", index=False, float_format="%.2f")
    figure = Figure(figsize=(7, 3), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.plot(table["seconds"], table["anonymous_mb"], color="#c0392b", label="its own")
    axes.plot(table["seconds"], table["file_mb"], color="0.6", label="pages of mapped files")
    axes.set_ylim(0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("memory of the process [MB]")
    axes.set_title(f"tsimage convert: {n:,} windows to {n * BYTES_PER_WINDOW / 1e9:.1f} GB of images", fontsize=10)
    axes.legend()
    figure.savefig(RESULTS / "conversion.png")


if __name__ == "__main__":
    main()
