"""Scores under stress put beside each other: mean and spread over seeds, what is lost, and what distillation gains."""

from __future__ import annotations

import pandas as pd

from distill.formats import plain
from distill.statistics import paired, paired_by_fold, spread
from distill.stress.measuring import CLEAN
from distill.stress.registry import CONDITIONS

BASELINES = ("control", "scratch")
"""What a distilled student is compared with: with a warm start the control, which was trained as long."""


def compared(frame: pd.DataFrame, test_to_train: float = 0.0) -> pd.DataFrame:
    """Fold scores of single seeds into a row for each condition, level and model.

    Parameters
    ----------
    frame : DataFrame
        As `distill.stress.measuring.measure` returns it.
    test_to_train : float
        Windows tested for each trained on, where there are folds; see `distill.statistics.paired_by_fold`.

    Returns
    -------
    DataFrame
        `condition`, `level`, `model`, `role`; `mean`, `sd`, `ci95` and `n` of the accuracy over seeds, in percent; `drop`,
        the points that the mean lies below that of undamaged windows; `macro_f1`, its mean in percent; and for the
        distilled student `baseline`, `difference`, `difference_sd`, `difference_ci95`, `pairs`: its accuracy minus that of
        the baseline in points, paired by seed, or, where there are folds, by fold.
    """
    percent = frame.assign(accuracy=100 * frame["accuracy"], macro_f1=100 * frame["macro_f1"])
    whole = percent[percent["fold"] == ""]
    folds = dict(iter(percent[percent["fold"] != ""].groupby(["condition", "level"], sort=False)))
    clean = whole[whole["condition"] == CLEAN].groupby("model")["accuracy"].mean()
    made = []
    for where, there in whole.groupby(["condition", "level"], sort=False):
        roles = set(there["role"])
        baseline = next((role for role in BASELINES if role in roles), "")
        for model, rows in there.groupby("model", sort=False):
            row = {"condition": where[0], "level": where[1], "model": model, "role": rows["role"].iloc[0]}
            row |= spread(rows["accuracy"].tolist())
            row |= {"drop": clean[model] - row["mean"], "macro_f1": rows["macro_f1"].mean()}
            asked = baseline if row["role"] == "student" else ""
            found = _difference(there, folds.get(where), asked, test_to_train) if asked else paired([], [])
            row |= {
                "baseline": there.loc[there["role"] == asked, "model"].iloc[0] if asked else "",
                "difference": found["mean"],
                "difference_sd": found["sd"],
                "difference_ci95": found["ci95"],
                "pairs": found["n"],
            }
            made.append(row)
    return pd.DataFrame(made)


def _difference(
    whole: pd.DataFrame, folds: pd.DataFrame | None, baseline: str, test_to_train: float
) -> dict[str, float]:
    """Return the student minus a baseline under one condition and level."""
    if folds is None:
        by_seed = whole[whole["role"] != "teacher"].pivot(index="seed", columns="role", values="accuracy")
        both = by_seed[["student", baseline]].dropna()
        return paired(both["student"].tolist(), both[baseline].tolist())
    ours, theirs = (
        {
            seed: rows[rows["seed"] == seed].set_index("fold")["accuracy"].to_dict()
            for rows in [folds[folds["role"] == role]]
            for seed in rows["seed"].unique().tolist()
        }
        for role in ("student", baseline)
    )
    return paired_by_fold(ours, theirs, test_to_train)


def summary(frame: pd.DataFrame) -> str:
    """Say what hurts the distilled student most, and what hurts least even at its worst, for a model card.

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
    >>> rows = [(c, l, "distilled", "student", 0, "", a, a) for c, l, a in (("clean", "", 0.9), ("noise", "-5", 0.4), ("stuck", "1/3", 0.8))]
    >>> print(summary(pd.DataFrame(rows, columns=["condition", "level", "model", "role", "seed", "fold", "accuracy", "macro_f1"])))
    Distilled: 90.00 % on undamaged windows. Worst: noise at -5 dB, 40.00 % (50.00 points less). Mildest of 2 conditions, each at its worst level: the last 1/3 of the window stuck, 80.00 % (10.00 points less).
    """
    found = compared(frame)
    students = found[found["role"] == "student"]
    clean, hurt = students[students["condition"] == CLEAN], students[students["condition"] != CLEAN]
    if hurt.empty:
        return ""
    worst = hurt.loc[hurt.groupby("condition", sort=False)["mean"].idxmin()].sort_values("mean", kind="stable")
    sentences = [
        f"Distilled: {plain(clean['mean'].iloc[0], clean['sd'].iloc[0])} % on undamaged windows",
        f"Worst: {_told(worst.iloc[0])}",
    ]
    if len(worst) > 1:
        sentences.append(f"Mildest of {len(worst)} conditions, each at its worst level: {_told(worst.iloc[-1])}")
    return ". ".join(sentences) + "."


def _told(row: pd.Series) -> str:
    what = CONDITIONS[row["condition"]].phrase.format(row["level"])
    lost = f"{row['drop']:.2f} points less" if row["drop"] >= 0 else f"{-row['drop']:.2f} points more"
    return f"{what}, {plain(row['mean'], row['sd'])} % ({lost})"
