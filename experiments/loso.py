"""Leave one subject out over the 30 people of HAPT: the student from scratch, and the student of two teachers.

    TSIMAGE_DATA=../shared/data python experiments/loso.py

Six basic activities, three accelerometer axes, windows of 128 at 50 Hz, every person evaluated once by models that never
saw them. Teachers are WRN16-1 on 16 x 16 GASF images and on the signal, alpha 0.3, lambda 0.7, T 4; the student is the
1-D WRN16-1. Reduced: one seed and 2 epochs of every training, so the accuracies are below those of full trainings and
nothing is said about seeds; the same budget for all. No setting was chosen on these people.

The differences between distilled and from scratch are paired by person. Finished trainings below `runs/` are read. Writes
`experiments/results/loso-hapt.csv`, a row per person and model, and prints the means.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

import distill
from distill.device import keep_freed_memory
from distill.progress import Plain
from distill.statistics import spread
from tsimage import ReadOptions

RUN = distill.Run(
    teacher=("wrn16-1",),
    student="wrn16-1",
    data="hapt",
    read=ReadOptions(channels=("acc*",), classes=("WALKING*", "SITTING", "STANDING", "LAYING")),
    image_size=16,
    epochs=2,
    seeds=(0,),
    folds="loso",
)
RESULTS = Path(__file__).parent / "results"


def by_person(result: distill.Result) -> pd.DataFrame:
    """Return accuracy in percent, a row per person and model, with the number of windows and the mean over all people."""
    windows = pd.read_csv(result.folder / "predictions.csv", dtype=str)["subject"].value_counts()
    rows = []
    for model in result.content["models"]:
        for seed, scores in model["seeds"].items():
            about = {"role": model["role"], "network": model["network"], "view": model["view"], "seed": seed}
            for person, accuracy in scores["accuracy_by_subject"].items():
                rows.append(about | {"person": person, "windows": windows[person], "accuracy": 100 * accuracy})
    return pd.DataFrame(rows)


def main() -> None:
    """Do, or read, the run and write the table."""
    keep_freed_memory()
    result = distill.run(RUN, progress=Plain(sys.stdout))
    table = by_person(result)
    print(f"\n{result}\n")
    wide = table.pivot(index="person", columns=["role", "view"], values="accuracy")
    difference = spread((wide["student", "signal"] - wide["scratch", "signal"]).tolist())
    print(
        f"Distilled minus from scratch, paired by person: {difference['mean']:+.2f} +- {difference['sd']:.2f} over "
        f"{difference['n']} people, 95 % half-width {difference['ci95']:.2f}"
    )
    about = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))["environment"]
    table = table.assign(epochs=RUN.epochs, image_size=RUN.image_size, environment=str(about)).round(4)
    table.to_csv(RESULTS / "loso-hapt.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
