"""What a run found: every model on the evaluation part, which is looked at here for the first time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from distill.evaluate import metrics
from distill.finished import predictions
from distill.plan import Plan
from distill.splits import absent_classes
from tsimage import atomic


def evaluated(plan: Plan) -> dict[str, Any]:
    """Look at the evaluation part for the first time, with every model of the run; folds are put together.

    Where values were chosen in every fold, the models of a fold are those trained with its own.
    """
    weights = plan.weights()
    entries: dict[tuple[str, str, str], dict[str, Any]] = {}
    predicted: dict[tuple[tuple[str, str, str], int], list[np.ndarray]] = {}
    split = samples = held_out = None
    for part, training in plan.tasks():
        if samples is None or held_out is None or split is not training.split:
            split = training.split
            samples, held_out = plan.samples(split.train), plan.samples(split.evaluation)
        made, record = predictions(part, training, samples, held_out)
        key = (training.role, training.network, training.view.name)
        weight = weights.get("{}:{}".format(*key[1:])) if training.role == "teacher" else None
        entries.setdefault(
            key,
            {
                "role": training.role,
                "network": training.network,
                "view": training.view.name,
                "weight": None if isinstance(weight, str) else weight,
                "parameters": record["parameters"],
                "seeds": {},
            },
        )
        predicted.setdefault((key, training.seed), []).append(made)
    index = np.concatenate([split.evaluation for split in plan.splits])
    labels, subjects = plan.windows.labels[index], plan.windows.subjects[index]
    names = np.array(plan.windows.class_names)
    columns = {"window": plan.windows.ids[index], "subject": subjects}
    if plan.run.folds:
        columns["fold"] = np.concatenate([np.full(len(s.evaluation), s.fold) for s in plan.splits])
    columns["label"] = names[labels]
    for (which, seed), parts in predicted.items():
        made = np.concatenate(parts)
        entries[which]["seeds"][str(seed)] = metrics(labels, made, subjects)
        columns["{} {}:{} seed {}".format(*which, seed)] = names[made]
    csv = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
    atomic.write_bytes(plan.folder / "predictions.csv", csv.encode())
    order = {"teacher": 0, "scratch": 1, "control": 2, "student": 3}
    name = plan.run.evaluate
    trained = [len(split.train) for split in plan.splits]
    return {
        "data": plan.windows.name,
        "part": name,
        "windows": {"train": max(trained), name: len(index)},
        "folds": len(plan.splits) if plan.run.folds else None,
        "subjects": len(set(subjects.tolist()) - {""}),
        "formula": plan.formula(),
        "chosen": plan.chosen,
        "protocol": plan.run.protocol,
        "patience": plan.run.patience,
        "ema": plan.run.ema,
        "split": {"basis": plan.splits[0].basis, "absent_classes": absent_classes(plan.windows, index)},
        "shared_teachers": plan.run.shared_teachers,
        "models": sorted(entries.values(), key=lambda m: order[m["role"]]),
    }
