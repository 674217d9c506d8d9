"""Scores under stress put beside each other: mean and spread over seeds, what is lost, and what distillation gains."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distill.formats import plain
from distill.statistics import paired, spread
from distill.stress.measuring import CLEAN
from distill.stress.registry import CONDITIONS

BASELINES = ("control", "scratch")
"""What a distilled student is compared with: with a warm start the control, which was trained as long."""


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Fold scores of single seeds into a row for each condition, level and model.

    Parameters
    ----------
    frame : DataFrame
        As `distill.stress.measuring.measure` returns it.

    Returns
    -------
    DataFrame
        `condition`, `level`, `model`, `role`; `mean`, `sd`, `ci95` and `n` of the accuracy over seeds, in percent; `drop`,
        the points that the mean lies below that of undamaged windows; `macro_f1`, its mean in percent; and for the
        distilled student `baseline`, `difference`, `difference_sd`, `difference_ci95`, `pairs`: its accuracy minus that of
        the baseline, paired by seed, in points.
    """
    percent = frame.assign(accuracy=100 * frame["accuracy"], macro_f1=100 * frame["macro_f1"])
    clean = percent[percent["condition"] == CLEAN].groupby("model")["accuracy"].mean()
    made = []
    for (condition, level), there in percent.groupby(["condition", "level"], sort=False):
        by_role = dict(list(there[there["role"] != "teacher"].groupby("role")))
        baseline = next((by_role[role] for role in BASELINES if role in by_role), None)
        for model, rows in there.groupby("model", sort=False):
            row = {"condition": condition, "level": level, "model": model, "role": rows["role"].iloc[0]}
            row |= spread(rows["accuracy"].tolist())
            row |= {"drop": clean[model] - row["mean"], "macro_f1": rows["macro_f1"].mean()}
            found = {
                "baseline": "",
                "difference": np.nan,
                "difference_sd": np.nan,
                "difference_ci95": np.nan,
                "pairs": 0,
            }
            if row["role"] == "student" and baseline is not None:
                both = rows.merge(baseline, on="seed", suffixes=("", "_of_baseline"))
                difference = paired(both["accuracy"].tolist(), both["accuracy_of_baseline"].tolist())
                found = {
                    "baseline": baseline["model"].iloc[0],
                    "difference": difference["mean"],
                    "difference_sd": difference["sd"],
                    "difference_ci95": difference["ci95"],
                    "pairs": difference["n"],
                }
            made.append(row | found)
    return pd.DataFrame(made)


def summary(frame: pd.DataFrame) -> str:
    """Say under which condition the distilled student does worst, and where it loses least, for a model card.

    Parameters
    ----------
    frame : DataFrame
        As `distill.stress.measuring.measure` returns it.

    Returns
    -------
    str
        Sentences; empty where nothing but undamaged windows was seen.

    Examples
    --------
    >>> rows = [(c, l, "distilled", "student", 0, a, a) for c, l, a in (("clean", "", 0.9), ("noise", "-5", 0.4), ("stuck", "1/3", 0.8))]
    >>> print(summary(pd.DataFrame(rows, columns=["condition", "level", "model", "role", "seed", "accuracy", "macro_f1"])))
    Accuracy 90.00 % on undamaged windows. Worst of 2 damages: noise at -5 dB, 40.00 % (50.00 points less). Mildest: the last 1/3 of the window stuck, 80.00 % (10.00 points less).
    """
    found = compared(frame)
    students = found[found["role"] == "student"]
    clean, hurt = students[students["condition"] == CLEAN], students[students["condition"] != CLEAN]
    if hurt.empty:
        return ""
    sentences = [f"Accuracy {plain(clean['mean'].iloc[0], clean['sd'].iloc[0])} % on undamaged windows"]
    worst, mildest = hurt.iloc[int(hurt["mean"].argmin())], hurt.iloc[int(hurt["mean"].argmax())]
    sentences.append(f"Worst of {len(hurt)} damages: {_told(worst)}" if len(hurt) > 1 else f"With {_told(worst)}")
    if len(hurt) > 1:
        sentences.append(f"Mildest: {_told(mildest)}")
    return ". ".join(sentences) + "."


def _told(row: pd.Series) -> str:
    what = CONDITIONS[row["condition"]].phrase.format(row["level"])
    lost = f"{row['drop']:.2f} points less" if row["drop"] >= 0 else f"{-row['drop']:.2f} points more"
    return f"{what}, {plain(row['mean'], row['sd'])} % ({lost})"
