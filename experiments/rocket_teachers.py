"""MiniRocket and Hydra as teachers on HAPT: how good, how sure, and what cross-fitting changes.

    OMP_NUM_THREADS=1 TSIMAGE_DATA=../shared/data python experiments/rocket_teachers.py

Six basic activities, windows of 128 at 50 Hz, the official split by subject (21 people train, 9 test), on the three
accelerometer axes and on all six axes. Each teacher is fitted to the training part alone with its default settings and
seed 0; nothing is chosen on the test part. Three sets of logits are compared by accuracy, mean negative log-likelihood
(NLL) and expected calibration error (15 equal bins of the largest probability): of the test part, of the training
part cross-fitted by subject in 5 folds (what a student learns from), and of the training part by the model that was
fitted to it.

The factor that makes scores into logits is fitted on the cross-fitted scores, so their NLL is the best that one
factor can give; that of the test part is honest.

Result, on 3 axes and on 6: MiniRocket 93.42 and 97.06 %, Hydra 93.66 and 96.09 % of the test windows, one seed. In-sample
logits are right on 99 % or more and their NLL is 5 to 26 times smaller than that of the cross-fitted ones, which are
about as good as the test part says. Hydra takes the largest penalty of the published grid (1000).

The seconds are of one core of a machine that had other work, 19 minutes in all; they do not compare the teachers.
Writes `experiments/results/rocket-teachers.csv`, a row per axes, teacher and set of logits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import scipy
import torch
from scipy.special import softmax

import tsimage
from distill.device import describe
from distill.evaluate import metrics
from distill.rocket import KINDS, RidgeTeacher
from distill.rocket.calibration import negative_log_likelihood

AXES = {3: ("acc*",), 6: ("*",)}
CLASSES = ("WALKING*", "SITTING", "STANDING", "LAYING")
BINS = 15
RESULTS = Path(__file__).parent / "results" / "rocket-teachers.csv"


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean distance of accuracy and confidence, over bins of the confidence weighed by their windows."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(sum(abs(np.sum(right[bins == b]) - np.sum(sure[bins == b])) for b in range(BINS)) / len(labels))


def measure(axes: int, kind: str) -> list[dict[str, object]]:
    """Fit one teacher and return a row for each of its three sets of logits."""
    windows = tsimage.load("hapt", channels=AXES[axes], classes=CLASSES)
    train, test = windows.split == "train", windows.split == "test"
    start = time.perf_counter()
    teacher = RidgeTeacher(kind).fit(windows.values[train], windows.labels[train], windows.subjects[train])
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    on_test = teacher.logits(windows.values[test])
    test_seconds = time.perf_counter() - start
    of = {
        "test": (on_test, windows.labels[test]),
        "train, cross-fitted": (teacher.training_logits, windows.labels[train]),
        "train, in-sample": (teacher.logits(windows.values[train]), windows.labels[train]),
    }
    about = {
        "features": len(teacher.model.head.ridge.weight),
        "alpha": round(teacher.model.head.ridge.alpha, 4),
        "factor": round(teacher.factor, 4),
        "fit_seconds": round(fit_seconds, 1),
        "test_seconds": round(test_seconds, 1),
        "seed": teacher.seed,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "torch": torch.__version__,
        "tsimage": tsimage.__version__,
        "machine": describe(torch.device("cpu")),
    }
    rows = []
    for part, (logits, labels) in of.items():
        found = metrics(labels, logits.argmax(axis=1))
        found |= {"nll": negative_log_likelihood(logits, labels), "ece": expected_calibration_error(logits, labels)}
        rows.append(
            {"axes": axes, "teacher": kind, "logits": part, "windows": len(labels)}
            | {name: round(value, 4) for name, value in found.items()}
            | about
        )
    return rows


def main() -> None:
    """Measure every teacher on three and on six axes and write the table."""
    torch.set_num_threads(1)
    rows = []
    for axes in AXES:
        for kind in KINDS:
            rows += measure(axes, kind)
            print(pd.DataFrame(rows[-3:]).iloc[:, :12].to_string(index=False), file=sys.stderr, flush=True)
            pd.DataFrame(rows).to_csv(RESULTS, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
