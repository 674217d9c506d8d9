"""A WISDM file with planted faults of every kind: is each one found, and how fast is the file read?

    python experiments/benchmarks/reading.py                    1,000,000 lines, five rounds, under a minute
    python experiments/benchmarks/reading.py --lines 20000

Makes a file in the layout of `WISDM_ar_v1.1_raw.txt` in a temporary folder: 36 people, six activities, a cycle of steps
with noise on gravity, time stamps of 50 ms with jitter, and 19 kinds of faults at seeded places, each kind another number
of times. Every round reads it in a process of its own, whose peak memory is read from /proc, and compares every fault's
line, treatment and kind with what was planted; any difference ends the script with status 1. Writes
`experiments/results/reading.csv`: one row for each kind.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from real import machine

RESULTS = Path(__file__).parents[1] / "results"
RUN = 400
"""Records of one activity; people take turns every six runs."""
ACTIVITIES = ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")
KINDS = {
    "empty line": "rejected",
    "missing z": "rejected",
    "missing fields": "rejected",
    "extra fields": "rejected",
    "fused records": "rejected",
    "unknown user": "rejected",
    "unknown activity": "rejected",
    "not a number": "rejected",
    "not finite": "rejected",
    "zero record": "rejected",
    "repeated record": "rejected",
    "records run together": "mended",
    "trailing comma": "mended",
    "trailing semicolon": "mended",
    "no closing semicolon": "mended",
    "zero time": "noted",
    "repeated time": "noted",
    "backward time": "noted",
    "time leap": "noted",
}


def planted(n_lines: int, seed: int = 7) -> tuple[bytes, pd.DataFrame, int]:
    """Return a file of n lines, its faults (columns line, treatment, reason) and the number of its rows."""
    rng = np.random.default_rng(seed)
    counts = {kind: n_lines // 2000 + i for i, kind in enumerate(KINDS)}
    shared = counts["records run together"] + counts["fused records"]  # two records on one line
    n = n_lines + shared - counts["empty line"] - counts["repeated record"]
    # two records after the start of a run and four apart, so that no fault touches another one or a run's border
    places = iter(rng.permutation(n // 4 - 1)[: sum(counts.values())] * 4 + 2)
    kind_at = {int(next(places)): kind for kind, count in counts.items() for _ in range(count)}

    phase = np.arange(n)[:, None] * (2 * np.pi * 0.09 * np.array([1, 2, 1])) + np.array([0, 1, 2])
    values = np.array([0.5, 9.6, 0.4]) + 3 * np.sin(phase) + rng.normal(0, 1, (n, 3))
    steps = rng.integers(40, 60, n) * 1_000_000
    steps[[i for i, kind in kind_at.items() if kind == "time leap"]] += 3_000_000_000
    times = 49_105_962_326_000 + np.cumsum(steps)

    lines: list[str] = []
    found: list[tuple[int, str]] = []
    skip = False
    for i, ((x, y, z), t) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        if skip:
            skip = False
            continue
        who = f"{i // (6 * RUN) % 36 + 1},{ACTIVITIES[i // RUN % 6]}"
        good = f"{who},{t},{x:.7f},{y:.6f},{z:.8f};"
        kind = kind_at.get(i)
        if kind is None:
            lines.append(good)
            continue
        before = int(times[i - 1])
        skip = kind in ("records run together", "fused records")
        second = ",".join([who, str(times[i + 1]), *(f"{v:.6f}" for v in values[i + 1])]) + ";" if skip else ""
        made = {
            "empty line": ["", good],
            "missing z": [f"{who},{t},{x:.7f},{y:.6f},;"],
            "missing fields": [f"{who},{t},{x:.7f};"],
            "extra fields": [good[:-1] + ",1.25;"],
            "fused records": [good[:-1] + second],
            "unknown user": [f"{37 + i},{good.split(',', 1)[1]}"],
            "unknown activity": [good.replace("ing,", "ung,").replace("stairs,", "stars,")],
            "not a number": [f"{who},{t},{x:.7f},{y:.3f}.{abs(y):.0f},{z:.8f};"],
            "not finite": [f"{who},{t},{x:.7f},NaN,{z:.8f};"],
            "zero record": [f"{who},0,0,0,0.0;"],
            "repeated record": [good, good],
            "records run together": [good + second],
            "trailing comma": [good[:-1] + ",;"],
            "trailing semicolon": [good + ";"],
            "no closing semicolon": [good[:-1]],
            "zero time": [f"{who},0,{x:.7f},{y:.6f},{z:.8f};"],
            "repeated time": [f"{who},{before},{x:.7f},{y:.6f},{z:.8f};"],
            "backward time": [f"{who},{before - 30_000_000},{x:.7f},{y:.6f},{z:.8f};"],
            "time leap": [good],
        }[kind]
        lines += made
        line = len(lines) - (kind == "empty line")
        found += [(line, kind)] * (2 if kind == "fused records" else 1)
    assert len(lines) == n_lines
    faults = pd.DataFrame(sorted(found), columns=["line", "reason"])
    faults["treatment"] = faults["reason"].map(KINDS)
    return ("\n".join(lines) + "\n").encode(), faults[["line", "treatment", "reason"]], n_lines + shared


def read(path: Path) -> None:
    """Read the file, write its faults beside it, print seconds, rows and peak memory as JSON."""
    from tsimage.readers import ReadOptions
    from tsimage.readers.wisdm import read_wisdm

    start = time.perf_counter()
    report = read_wisdm(path, ReadOptions()).report
    seconds = time.perf_counter() - start
    assert report is not None
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    report.write(path.with_suffix(".csv"))
    facts = {"seconds": seconds, "rows": report.rows_read, "kept": report.rows_kept}
    print(json.dumps(facts | {"peak_mb": int(peak[1]) / 1e3 if peak else None}))


def main() -> int:
    parser = argparse.ArgumentParser(description="Planted faults and speed of the WISDM reader; see the docstring.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        read(options.read)
        return 0
    content, faults, n_rows = planted(options.lines)
    rounds, wrong = [], False
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "WISDM_ar_v1.1_raw.txt"
        path.write_bytes(content)
        for _ in range(options.rounds):
            command = [sys.executable, __file__, "--read", str(path)]
            rounds.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            columns = ["line", "treatment", "reason"]
            got = pd.read_csv(path.with_suffix(".csv"))[columns].sort_values(columns, ignore_index=True)
            wrong |= not got.equals(faults.sort_values(columns, ignore_index=True)) or rounds[-1]["rows"] != n_rows
    table = faults.groupby(["treatment", "reason"], as_index=False).size().rename(columns={"size": "planted"})
    counts = got.groupby(["treatment", "reason"]).size().to_dict()
    table["found"] = [counts.get(key, 0) for key in zip(table["treatment"], table["reason"], strict=True)]
    seconds = float(np.median([r["seconds"] for r in rounds]))
    facts = {
        "lines": options.lines,
        "rows": rounds[-1]["rows"],
        "kept": rounds[-1]["kept"],
        "megabytes": round(len(content) / 1e6, 1),
        "seconds": round(seconds, 2),
        "lines_per_minute": round(options.lines / seconds * 60),
        "peak_mb": max(r["peak_mb"] or 0 for r in rounds),
        "rounds": options.rounds,
    }
    print(table.to_string(index=False))
    print(
        f"{facts['lines']:,} lines ({facts['megabytes']} MB) in {seconds:.2f} s, {facts['lines_per_minute']:,} lines a minute, "
        f"peak memory {facts['peak_mb']:.0f} MB; faults {'DIFFER from' if wrong else 'are exactly'} those planted"
    )
    RESULTS.mkdir(exist_ok=True)
    table.assign(**facts | machine()).to_csv(RESULTS / "reading.csv", index=False)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
