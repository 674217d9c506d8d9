"""Rows of runs compared: mean and spread over seeds, paired differences to a baseline, tests across subjects or data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from distill.notes import DATA_SETS, METRICS, SUBJECTS, notes_on
from distill.ranks import Ranking, rank_models
from distill.records import Record
from distill.rows import Row, basis_of, fold_rows
from distill.signed_ranks import MIN_DIFFERENCES, SignedRank, holm, signed_rank
from distill.statistics import detectable, paired, paired_by_fold, spread
from tsimage.errors import UserError, unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A table of models.

    Parameters
    ----------
    rows : list of Row
    frame : DataFrame
        A row for each of `rows`; see `compare_runs`.
    metric : str
    notes : tuple of str
        What must be known to read the table, a sentence each.
    ranking : Ranking or None
        Of the models across subjects or data sets, where there are enough of them.
    """

    rows: list[Row]
    frame: pd.DataFrame
    metric: str
    notes: tuple[str, ...]
    ranking: Ranking | None

    def __str__(self) -> str:
        from distill.formats import as_text  # which imports this module

        return as_text(self)


def compare_runs(records: Sequence[Record], metric: str = "accuracy", baseline: str = "") -> Comparison:
    """Fold runs into one row for each model and compare the rows.

    Parameters
    ----------
    records : sequence of Record
        As `distill.records.read_records` returns them.
    metric : str
        Of `distill.notes.METRICS`; `mean`, `sd`, `ci95` and the differences are about it.
    baseline : str
        Name of the row that all others are compared with, or a part of it that no other name has; by default a distilled
        student is compared with its own student from scratch (with a warm start, the control trained as long).

    Returns
    -------
    Comparison
        Its frame has the columns `name`, `role`, `network`, `view`, `data`, one for each option in which rows differ, `optimistic` (an epoch was chosen on the
        evaluation part), `weight` (of a teacher), `parameters`, `macs`, `bytes`, `mean`, `sd`, `ci95`, `n`, `seeds` (seed
        to value), `missing` (seed to why), each metric (mean over seeds), `agreement` (teacher to share of windows),
        `baseline`, `difference`, `difference_sd`, `difference_ci95`, `pairs` (seeds; of an accuracy over folds, folds),
        `detectable` (the smallest true difference that so many pairs see with 80 % power), and, across subjects or data sets, `higher`, `lower`, `p` and `p_holm` of
        the signed-rank test. Shares are in percent, differences in points.

    Raises
    ------
    UserError
        For runs that do not belong into one table, an unknown metric, or a baseline that is no row or several.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    rows = fold_rows(records)
    if any(row.seeds for row in rows) and all(math.isnan(v) for row in rows for v in row.values(metric).values()):
        raise UserError(f"metric {metric} is not known of these runs, as their subjects are unknown: choose another")
    chosen = _chosen(rows, baseline) if baseline else None
    scores, unit = score_matrix(rows, metric)
    made = [_described(row, metric) for row in rows]
    tests: dict[tuple[str, str], float] = {}
    asked = []
    for row, about in zip(rows, made, strict=True):
        other = _baseline_of(row, rows) if chosen is None else chosen if row is not chosen else None
        about["baseline"] = "" if other is None else other.name
        about |= _difference(row, other, metric)
        about |= _signs(row, other, scores if unit == DATA_SETS else None)
        # Across data sets the rows of a method on each of them ask the same, which is one test.
        name = "method" if unit == DATA_SETS else "name"
        asked.append((getattr(row, name), "" if other is None else getattr(other, name)))
        tests.setdefault(asked[-1], about["p"])
    frame = pd.DataFrame(made)
    adjusted = dict(zip(tests, holm(list(tests.values())).tolist(), strict=True))
    frame["p_holm"] = [adjusted[test] for test in asked]
    ranking = None
    if scores is not None and scores.shape[1] > 1 and len(scores) >= MIN_DIFFERENCES:
        ranking = rank_models(scores, unit, lower_is_better=metric == "ece" and unit == DATA_SETS)
    return Comparison(
        rows=rows,
        frame=frame,
        metric=metric,
        notes=tuple(notes_on(rows, frame, metric, unit, sum(not math.isnan(p) for p in tests.values()))),
        ranking=ranking,
    )


def score_matrix(rows: Sequence[Row], metric: str = "accuracy") -> tuple[pd.DataFrame | None, str]:
    """Return what models are tested on one against the other: their scores by data set where there are enough, else by subject.

    Parameters
    ----------
    rows : sequence of Row
    metric : str
        By data set; by subject it is the accuracy.

    Returns
    -------
    scores : DataFrame or None
        In percent, means over seeds: a row per data set or subject, a column per method. By subject the seeds are those
        that all models have, but for teachers that were trained once and shared. None where rows have neither in common, or
        subjects are not known.
    unit : str
        "data sets" or "subjects".
    """
    rows = [row for row in rows if row.seeds]
    by_data = pd.DataFrame(
        [{"data": row.data, "method": row.method, "value": _mean(row.values(metric))} for row in rows],
        columns=["data", "method", "value"],
    )
    if by_data["data"].nunique() >= MIN_DIFFERENCES and not by_data.duplicated(["data", "method"]).any():
        whole = by_data.pivot(index="data", columns="method", values="value").dropna(axis="columns")
        whole = whole[[method for method in dict.fromkeys(by_data["method"]) if method in whole]]
        if whole.shape[1] > 1:
            return whole, DATA_SETS
    return _by_subject(rows), SUBJECTS


def _by_subject(rows: Sequence[Row]) -> pd.DataFrame | None:
    """Return the accuracies of rows by subject, means over the seeds that they have in common."""
    if len({basis_of(row) for row in rows}) != 1:
        return None
    seeds = [{*row.seeds} for row in rows if not row.is_shared]
    common = set.intersection(*seeds) if seeds else set()
    columns = {}
    for row in rows:
        each = [row.seeds[seed]["accuracy_by_subject"] for seed in (row.seeds if row.is_shared else common)]
        if not each or not each[0]:
            return None
        columns[row.method] = {who: 100 * float(np.mean([one[who] for one in each])) for who in each[0]}
    return pd.DataFrame(columns)


def _mean(values: Mapping[int, float]) -> float:
    return 100 * float(np.mean(list(values.values())))


def _chosen(rows: Sequence[Row], baseline: str) -> Row:
    exact = [row for row in rows if row.name == baseline]
    found = exact or [row for row in rows if baseline.lower() in row.name.lower()]
    names = "; ".join(row.name for row in (found or rows)[:8]) + ("; ..." if len(found or rows) > 8 else "")
    if not found:
        raise UserError(f"baseline '{baseline}' is in no name of a row: choose one of {names}")
    if len(found) > 1:
        raise UserError(f"baseline '{baseline}' is in {len(found)} names of rows ({names}): give more of one")
    return found[0]


def _baseline_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the student from scratch, or the control, that a distilled student is to be better than."""
    if row.role != "student":
        return None
    role = "control" if row.options["warm_start"] else "scratch"
    for other in rows:
        same = other.network == row.network and other.data == row.data and other.role == role
        if same and all(row.options.get(name) == value for name, value in other.options.items()):
            return other
    return None


def _described(row: Row, metric: str) -> dict[str, Any]:
    """Return the columns of a row that no other row bears on."""
    values = {seed: 100 * value for seed, value in row.values(metric).items()}
    spread_of = spread([value for value in values.values() if not math.isnan(value)])
    about = {name: getattr(row, name) for name in ("name", "role", "network", "view", "data")}
    about |= {name: " ".join(map(str, v)) if isinstance(v, list) else v for name, v in row.differing.items()}
    about |= {"optimistic": row.is_optimistic}
    about |= {name: row.about.get(name) for name in ("weight", "parameters", "macs", "bytes")}
    about |= spread_of | {"seeds": values, "missing": dict(sorted(row.missing.items()))}
    for name in METRICS:
        about[name] = _mean(row.values(name)) if row.seeds else float("nan")
    agreement = [scores["agreement"] for scores in row.seeds.values() if "agreement" in scores]
    about["agreement"] = {
        teacher: 100 * float(np.mean([one[teacher] for one in agreement])) for teacher in (agreement or [{}])[0]
    }
    return about


def _difference(row: Row, other: Row | None, metric: str) -> dict[str, Any]:
    """Return a row minus its baseline, paired by seed; where there are several folds, fold by fold."""
    nothing = {"difference": float("nan"), "difference_sd": float("nan"), "difference_ci95": float("nan")}
    if other is None or basis_of(row) != basis_of(other):
        return nothing | {"pairs": 0, "detectable": float("nan")}
    seeds = sorted(set(row.seeds) & set(other.seeds))
    ratio = 0.0
    if row.options["folds"] and metric == "accuracy":
        ratio = row.sources[seeds[0]].test_to_train if seeds else 0.0
        found = paired_by_fold(_by_fold(row), _by_fold(other), ratio)
    else:
        mine, theirs = ([100 * one.values(metric)[seed] for seed in seeds] for one in (row, other))
        found = paired(mine, theirs)
    return {
        "difference": found["mean"],
        "difference_sd": found["sd"],
        "difference_ci95": found["ci95"],
        "pairs": found["n"],
        # Differences that are all the same say nothing of how much others would vary.
        "detectable": detectable(found["sd"] or math.nan, int(found["n"]), paired=True, test_to_train=ratio),
    }


def _by_fold(row: Row) -> dict[int, dict[str, float]]:
    return {
        seed: {fold: 100 * share for fold, share in scores["accuracy_by_fold"].items()}
        for seed, scores in row.seeds.items()
    }


def _signs(row: Row, other: Row | None, scores: pd.DataFrame | None) -> dict[str, Any]:
    """Return the signed-rank test of a row against its baseline across the data sets of `scores`, or across subjects."""
    found: SignedRank | None = None
    if other is not None and row.method != other.method:
        if scores is None and row.seeds and other.seeds:
            scores = _by_subject([row, other])
        if scores is not None and {row.method, other.method} <= set(scores):
            found = signed_rank(scores[row.method].to_numpy(), scores[other.method].to_numpy())
    if found is None:
        return {"higher": None, "lower": None, "p": float("nan")}
    return {"higher": found.higher, "lower": found.lower, "p": found.p}
