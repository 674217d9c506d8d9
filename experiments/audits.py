"""What `distill audit` says of HAPT, and of a copy of it whose split leaks on purpose.

    TSIMAGE_DATA=../shared/data python experiments/audits.py

Six basic activities, three accelerometer axes, windows of 128 at 50 Hz. The copy has the same windows, but its split draws
30 % of them for the test part at random, as published tables that mix the windows of a person do; its recordings
overlap by half a window, so most of its test windows share raw samples with training. Both audits train the real
student, WRN16-1 from scratch for 20 epochs, under a split that keeps people apart and under one that leaks, one draw of each.

Writes `experiments/results/audits.csv`, a row per data set and measure, and prints both audits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import distill
import tsimage
from distill.audit import Audit, Unmeasured, audit
from distill.device import keep_freed_memory
from distill.progress import Plain
from tsimage import Windows

RESULTS = Path(__file__).parent / "results"
TESTED = 0.3


def leaky(windows: Windows) -> Windows:
    """Return the windows with a split that is drawn window by window."""
    drawn = np.random.default_rng(0).random(len(windows)) < TESTED
    return replace(windows, split=np.where(drawn, "test", "train"), name=f"{windows.name}-leaky")


def measures(found: Audit) -> Iterator[tuple[str, str, float]]:
    """Yield kind, name and value of everything that was measured; accuracies and shares in percent."""
    yield "windows", "evaluated", found.evaluated
    shared = found.sharing
    for name, value in (("subjects", shared.subjects), ("recordings", shared.recordings)):
        yield "in both parts", name, float("nan") if value is None else len(value)
    if shared.same_samples is not None:
        yield "in both parts", "windows with raw samples of training", shared.same_samples
    yield "in both parts", "copies", shared.duplicates
    for canary in found.canaries:
        if canary.used is not None and canary.leaky is not None:
            yield "canary under this split", canary.name, 100 * canary.used.accuracy
            yield "canary under a leaky split", canary.name, 100 * canary.leaky.accuracy
    if not isinstance(found.inflation, Unmeasured):
        for each in found.inflation:
            yield "accuracy under this split", each.model, 100 * each.used
            yield "accuracy with people apart", each.model, 100 * float(np.mean(each.apart))
            yield "accuracy under a leaky split", each.model, 100 * float(np.mean(each.leaky))
            yield "points a leak adds", each.model, each.points
    if not isinstance(found.contradicted, Unmeasured):
        yield "labels", "contradicted", len(found.contradicted)


def main() -> None:
    """Audit both and write the table."""
    keep_freed_memory()
    windows = tsimage.load("hapt", channels="acc*", classes=("WALKING*", "SITTING", "STANDING", "LAYING"))
    student = distill.Run(teacher=("wrn16-1:signal",), student="wrn16-1", epochs=20)
    rows = []
    for each in (windows, leaky(windows)):
        found = audit(each, student=student, progress=Plain(sys.stdout))
        print(f"\n{found}\n")
        rows += [(each.name, *measure) for measure in measures(found)]
    table = pd.DataFrame(rows, columns=["data", "kind", "name", "value"]).round(4)
    table.to_csv(RESULTS / "audits.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
