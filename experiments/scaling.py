"""How much the scaling of a GASF teacher matters, measured on validation subjects only.

    TSIMAGE_DATA=../shared/data python experiments/scaling.py

HAPT, six basic activities, three accelerometer axes, windows of 128 at 50 Hz; 16 of the 21 official training
subjects train, 5 validate, and the official test subjects are not touched. Teacher WRN16-1 on 32 x 32 GASF images
under each scaling; student 1-D WRN16-1 from scratch and distilled from that teacher alone. Three seeds, 20 epochs.
Writes `experiments/results/scaling.csv`; about 7 minutes for each scaling on two cores. It chose the default of
`--scaling`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

import distill
from distill.device import keep_freed_memory
from distill.progress import Plain
from tsimage import ReadOptions

SCALINGS = ("fixed", "window", "fixed:g=4")
RESULTS = Path(__file__).parent / "results" / "scaling.csv"


def main() -> None:
    """Run every scaling that is missing and write the table."""
    keep_freed_memory()
    tables = []
    for scaling in SCALINGS:
        run = distill.Run(
            teacher=("wrn16-1:gasf",),
            data="hapt",
            read=ReadOptions(channels=("acc*",), classes=("WALKING*", "SITTING", "STANDING", "LAYING")),
            scaling=scaling,
            epochs=20,
            evaluate="validation",
        )
        result = distill.run(run, progress=Plain(sys.stdout))
        print(f"scaling {scaling}\n{result}\n")
        about = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
        tables.append(result.table().assign(scaling=scaling, environment=str(about["environment"])))
        table = pd.concat(tables)
        table["seeds"] = [" ".join(f"{value:.2f}" for value in row.values()) for row in table["seeds"]]
        columns = ["scaling", "role", "network", "view", "mean", "sd", "ci95", "n", "seeds", "environment"]
        table[columns].round(4).to_csv(RESULTS, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
