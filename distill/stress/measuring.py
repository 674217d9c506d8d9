"""Every model of a run before windows that are damaged more and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from distill.evaluate import metrics
from distill.finished import ridge_of, trained_network
from distill.plan import Plan, Training
from distill.prediction import predict
from distill.records import Record
from distill.report.study import short_name
from distill.rows import fold_rows, model_name
from distill.stress.registry import CONDITIONS, Sensors, damaged
from distill.teacher_names import RIDGES
from tsimage.errors import UserError

CLEAN = "clean"
"""The condition of windows as they are, with an empty level."""
COLUMNS = ("condition", "level", "model", "role", "seed", "fold", "accuracy", "macro_f1")
"""Of scores; `fold` is empty where they are of all windows evaluated, and names one of several otherwise."""
Answer = Callable[[np.ndarray], np.ndarray]
"""From windows (window, channel, time) to the class of each."""


def measure(plan: Plan, record: Record, conditions: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Measure all models of a finished run, all seeds, on its evaluation part.

    All models see the same damaged windows; teachers on images see images of them. Nothing is fitted again: each network
    standardises as in its training, and what damage must know of the channels is measured on training windows. With folds
    every model answers for the windows of its own fold, and a seed has a score over all of them and one for each fold.

    Parameters
    ----------
    plan : Plan
        The run bound to its windows.
    record : Record
        The same run, finished.
    conditions : sequence of str
        Of `CONDITIONS`, and `CLEAN`.
    seed : int
        Of the damage.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; accuracy and macro-F1 from 0 to 1.

    Raises
    ------
    UserError
        If the weights of a model are gone or damaged, or a condition is not for these windows.
    """
    rows = [(row.columns[min(row.seeds)].rpartition(" seed ")[0], row) for row in fold_rows([record])]
    models = {name: (short_name(row), row.role) for name, row in rows}
    said: dict[tuple[str, str], dict[tuple[str, int], list[np.ndarray]]] = {}
    for _, tasks in groupby(plan.tasks(), key=lambda task: id(task[1].split)):
        here = list(tasks)
        split = here[0][1].split
        answers = [(_column(training), training.seed, _answer(part, training, record)) for part, training in here]
        values, ids = plan.windows.values[split.evaluation], plan.windows.ids[split.evaluation].tolist()
        sensors = Sensors.fit(plan.windows.values[split.train], plan.windows.channels)
        for condition in conditions:
            for level in ("",) if condition == CLEAN else CONDITIONS[condition].levels_for(sensors.channels):
                seen = values if condition == CLEAN else damaged(values, ids, condition, level, sensors, seed)
                for column, own, answer in answers:
                    said.setdefault((condition, level), {}).setdefault((column, own), []).append(answer(seen))
    parts = [(split.fold, split.evaluation) for split in plan.splits]
    found = []
    for (condition, level), by_model in said.items():
        for (column, own), answered in by_model.items():
            whole = ("", np.concatenate([index for _, index in parts]), np.concatenate(answered))
            each = [(fold, index, of) for (fold, index), of in zip(parts, answered, strict=True)] if parts[0][0] else []
            for fold, index, classes in (whole, *each):
                scores = metrics(plan.windows.labels[index], classes, plan.windows.subjects[index])
                found.append((condition, level, *models[column], own, fold, scores["accuracy"], scores["macro_f1"]))
    frame = pd.DataFrame(found, columns=list(COLUMNS))
    order = {name: place for place, (name, _) in enumerate(models.values())}
    return _in_order(frame, order)


def _in_order(frame: pd.DataFrame, order: dict[str, int]) -> pd.DataFrame:
    """Sort by model and seed within each condition and level, which stay as they come."""
    which = frame.groupby(["condition", "level"], sort=False).ngroup()
    keys = pd.DataFrame({"which": which, "model": frame["model"].map(order), "seed": frame["seed"]})
    return frame.loc[keys.sort_values(["which", "model", "seed"], kind="stable").index].reset_index(drop=True)


def _column(training: Training) -> str:
    return f"{training.role} {training.model}"


def _answer(plan: Plan, training: Training, record: Record) -> Answer:
    """Bring a model of a run back, the one whose scores are in its result."""
    training = replace(training, folder=_folder(training, record))
    if training.network in RIDGES:
        ridge, _ = ridge_of(training)
        return lambda values: ridge.logits(values).argmax(1)
    model, _ = trained_network(plan, training, plan.samples(training.split.train[:2]))

    def answer(values: np.ndarray) -> np.ndarray:
        seen = torch.from_numpy(values).to(plan.device)
        return predict(model, training.view, seen).argmax(1).numpy()

    return answer


def _folder(training: Training, record: Record) -> Path:
    """Return where the weights lie that the result is about."""
    assert record.result is not None
    what = (training.role, training.model)
    model = next(m for m in record.result["models"] if (m["role"], model_name(m)) == what)
    made = model["seeds"][str(training.seed)]["trainings"]
    sha = next(one["weights_sha256"] for one in made if one["fold"] == training.split.fold)
    if sha not in record.trainings:
        raise UserError(
            f"'{record.folder}': the training of weights {sha[:8]} ({training.title}) is no longer there, and all models of a "
            "run are stressed: bring it back, or do the run anew"
        )
    return record.trainings[sha]
