"""The two runs that the README shows, and their tables as CSV.

    python experiments/main_job.py basic-motions
    TSIMAGE_DATA=../shared/data python experiments/main_job.py hapt

The first is `distill run --teacher wrn28-3 --student wrn16-1`. The second is HAPT, six basic activities, three
accelerometer axes, official split by subject, WRN16-1 teachers on 32 x 32 GASF images and on the signal, 20 epochs:

    distill run --data hapt --channels 'acc*' --classes 'WALKING*' SITTING STANDING LAYING \\
        --teacher wrn16-1 --epochs 20

Both are read from their run directories below `runs/` where they are finished, and are trained otherwise. Writes
`experiments/results/NAME.csv` with every seed's value and the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import distill
from distill.device import keep_freed_memory
from distill.progress import Plain
from tsimage import ReadOptions

RUNS = {
    "basic-motions": distill.Run(teacher=("wrn28-3",), student="wrn16-1"),
    "hapt": distill.Run(
        data="hapt",
        read=ReadOptions(channels=("acc*",), classes=("WALKING*", "SITTING", "STANDING", "LAYING")),
        teacher=("wrn16-1",),
        epochs=20,
    ),
}
RESULTS = Path(__file__).parent / "results"


def main(name: str) -> None:
    """Do one of the runs, or read it, and write its table."""
    keep_freed_memory()
    result = distill.run(RUNS[name], progress=Plain(sys.stdout))
    print(result)
    table = result.table()
    table["seeds"] = [" ".join(f"{value:.2f}" for value in seeds.values()) for seeds in table["seeds"]]
    trainings = [json.loads(path.read_text()) for path in result.folder.rglob("training.json")]
    environment = json.loads((result.folder / "run.json").read_text())["environment"]
    table = table.assign(
        seconds_of_all_trainings=round(sum(t["seconds"] for t in trainings), 1), environment=str(environment)
    )
    table.round(4).to_csv(RESULTS / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1])
