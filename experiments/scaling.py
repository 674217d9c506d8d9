"""How much the scaling of a GASF teacher matters, measured on validation parts only.

    TSIMAGE_DATA=../shared/data python experiments/scaling.py hapt
    python experiments/scaling.py basic-motions

HAPT: six basic activities, three accelerometer axes, windows of 128 at 50 Hz; 16 of the 21 official training
subjects train, 5 validate. Teacher WRN16-1 on 32 x 32 GASF images under each scaling; student 1-D WRN16-1 from
scratch and distilled from that teacher alone. Three seeds, 20 epochs; 15 and 21 minutes on two cores that
had other work too.

basic-motions: the default run (WRN28-3) on 32 of the 40 official training windows, 8 validate; 3 and 2 minutes.

The official test parts are used for nothing. It chose the default of `--scaling`. Runs below `runs/` that are
finished are read. Writes `experiments/results/scaling-NAME.csv`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd

import distill
from distill.device import keep_freed_memory
from distill.progress import Plain
from tsimage import ReadOptions

SCALINGS = ("fixed", "window")
RUNS = {
    "basic-motions": distill.Run(teacher=("wrn28-3",), student="wrn16-1", evaluate="validation"),
    "hapt": distill.Run(
        teacher=("wrn16-1:gasf",),
        data="hapt",
        read=ReadOptions(channels=("acc*",), classes=("WALKING*", "SITTING", "STANDING", "LAYING")),
        epochs=20,
        evaluate="validation",
    ),
}
RESULTS = Path(__file__).parent / "results"


def main(name: str) -> None:
    """Do, or read, the run under every scaling and write the table."""
    keep_freed_memory()
    tables = []
    for scaling in SCALINGS:
        result = distill.run(dataclasses.replace(RUNS[name], scaling=scaling), progress=Plain(sys.stdout))
        print(f"scaling {scaling}\n{result}\n")
        about = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
        table = result.table().assign(scaling=scaling, environment=str(about["environment"]))
        table["seeds"] = [" ".join(f"{value:.2f}" for value in seeds.values()) for seeds in table["seeds"]]
        tables.append(table)
    columns = ["scaling", "role", "network", "view", "mean", "sd", "ci95", "n", "seeds", "environment"]
    merged = pd.concat(tables)[columns].round(4)
    merged.to_csv(RESULTS / f"scaling-{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1])
