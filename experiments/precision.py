"""Is a 2-D network that is trained in bfloat16 as accurate as one trained in float32?

    TSIMAGE_DATA=../shared/data python experiments/precision.py

Six basic activities of HAPT, three accelerometer axes, windows of 128 at 50 Hz, the official split by subject. WRN16-1 on 16 x 16 GASF
images, 4 epochs (reduced), three seeds; both precisions start from the same weights and see the same batches. Weights, loss
and the evaluation are float32 in both, as everywhere in this package; bfloat16 is in the forward and backward pass of training.
The last epoch counts, and nothing was chosen on the test part.

Result: 89.81 +- 0.77 % in float32 and 90.10 +- 1.14 % in bfloat16, a difference of +0.29 with a 95 % interval of 1.87 to either side.

About half an hour on one core without bfloat16 in hardware, where it is emulated and slow: this says nothing about speed. Writes `experiments/results/precision.csv`, a row per seed and precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

import tsimage
from distill.assembly import network_of
from distill.batching import Samples
from distill.device import describe, keep_freed_memory
from distill.prediction import predict
from distill.schedule import Schedule
from distill.statistics import paired, spread
from distill.train import train
from distill.views import View
from tsimage import Imager

SEEDS = (0, 1, 2)
PRECISIONS: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
NETWORK, SIZE, EPOCHS = "wrn16-1", 16, 4
RESULTS = Path(__file__).parent / "results" / "precision.csv"


def main() -> None:
    keep_freed_memory()
    windows = tsimage.load("hapt", channels=("acc*",), classes=("WALKING*", "SITTING", "STANDING", "LAYING"))
    view = View(imager=Imager(stack="gasf", size=SIZE), units=windows.units)

    def part(name: str) -> Samples:
        index = np.flatnonzero(windows.split == name)
        values, labels = (torch.from_numpy(array[index]) for array in (windows.values, windows.labels))
        return Samples(values=values, labels=labels, ids=windows.ids[index])

    learnt, test = part("train"), part("test")
    about = {
        "network": NETWORK,
        "view": "gasf",
        "size": SIZE,
        "epochs": EPOCHS,
        "windows": len(test.ids),
        "torch": torch.__version__,
        "tsimage": tsimage.__version__,
        "machine": describe(torch.device("cpu")),
    }
    rows = []
    for seed in SEEDS:
        for precision in PRECISIONS:
            model = network_of(NETWORK, view, learnt, classes=len(windows.class_names), seed=seed, is_teacher=True)
            schedule = Schedule(epochs=EPOCHS, batch_size=64, learning_rate=0.05)
            train(model, view, learnt, schedule, seed=seed, precision=precision)
            right = predict(model, view, test.values).argmax(1) == test.labels
            rows.append({"seed": seed, "precision": precision, "accuracy": 100 * float(right.double().mean())} | about)
            print(f"seed {seed}, {precision}: {rows[-1]['accuracy']:.2f} %", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS, index=False, float_format="%.5g")
    by = {name: table.loc[table["precision"] == name, "accuracy"].tolist() for name in PRECISIONS}
    for name, values in by.items():
        made = spread(values)
        print(f"{name}: {made['mean']:.2f} +- {made['sd']:.2f} % (n {made['n']:.0f})")
    made = paired(by["bf16"], by["fp32"])
    print(f"bf16 minus fp32, paired by seed: {made['mean']:+.2f}, 95 % interval +- {made['ci95']:.2f}")


if __name__ == "__main__":
    main()
