"""What a run found: every model on the evaluation part, which is looked at here for the first time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch

from distill.calibration import calibration_error, reliability
from distill.certificate import absent_classes
from distill.divergence import DivergenceError
from distill.evaluate import metrics
from distill.finished import bytes_of, logits_of
from distill.layout import LOGITS, PREDICTIONS
from distill.models.listing import size_of
from distill.plan import Plan, Training
from distill.sealed import pack
from tsimage import atomic

ORDER = {"teacher": 0, "scratch": 1, "control": 2, "student": 3}


@dataclass(kw_only=True)
class _Model:
    """A model of a run, over all its seeds and folds."""

    about: dict[str, Any]
    logits: dict[int, list[np.ndarray]] = field(default_factory=dict)
    trainings: dict[int, list[dict[str, str]]] = field(default_factory=dict)

    def said(self, seed: int) -> np.ndarray:
        """The logits of all windows; those of the first seed where a teacher is shared by all."""
        return np.concatenate(self.logits.get(seed) or next(iter(self.logits.values())))


def evaluated(plan: Plan) -> dict[str, Any]:
    """Look at the evaluation part for the first time, with every model of the run; folds are put together.

    Where values were chosen in every fold, the models of a fold are those trained with its own. What every model says of every
    window is written to the run directory; the scores come back, as the content of `result.json`.

    Raises
    ------
    DivergenceError
        If a logit is not finite.
    """
    models = _looked_at(plan)
    index = np.concatenate([split.evaluation for split in plan.splits])
    labels, subjects = plan.windows.labels[index], plan.windows.subjects[index]
    names = np.array(plan.windows.class_names)
    columns = {"window": plan.windows.ids[index], "subject": subjects}
    folds = np.concatenate([np.full(len(s.evaluation), s.fold) for s in plan.splits])
    if plan.run.folds:
        columns["fold"] = folds
    columns["label"] = names[labels]
    logits = {}
    for which, model in models.items():
        scores: dict[str, Any] = {}
        for seed in model.logits:
            said = model.said(seed)
            logits[f"{which} seed {seed}"] = torch.from_numpy(said)
            columns[f"{which} seed {seed}"] = names[said.argmax(1)]
            made = metrics(labels, said.argmax(1), subjects)
            made["f1_by_class"] = {plan.windows.class_names[code]: f1 for code, f1 in made["f1_by_class"].items()}
            made["ece"] = calibration_error(reliability(said, labels))
            if plan.run.folds:
                right = said.argmax(1) == labels
                made["accuracy_by_fold"] = {s.fold: float(right[folds == s.fold].mean()) for s in plan.splits}
            if model.about["role"] != "teacher":
                made["agreement"] = {
                    "{network}:{view}{apart}".format(**other.about): float(
                        (other.said(seed).argmax(1) == said.argmax(1)).mean()
                    )
                    for other in models.values()
                    if other.about["role"] == "teacher"
                }
            scores[str(seed)] = made | {"trainings": model.trainings[seed]}
        model.about["seeds"] = scores
    csv = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n").encode()
    atomic.write_bytes(plan.folder / PREDICTIONS, csv)
    packed = pack(logits, {"classes": names.tolist()})
    atomic.write_bytes(plan.folder / LOGITS, packed)
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
        "split": {
            "basis": plan.splits[0].basis,
            "absent_classes": absent_classes(plan.windows, index),
            "subjects_in_both": plan.certificates[0]["subjects_in_both"],
        },
        "shared_teachers": plan.run.shared_teachers,
        "models": sorted((m.about for m in models.values()), key=lambda about: ORDER[about["role"]]),
        "files": {PREDICTIONS: hashlib.sha256(csv).hexdigest(), LOGITS: hashlib.sha256(packed).hexdigest()},
    }


def _looked_at(plan: Plan) -> dict[str, _Model]:
    """Return what each model says, by its name, seed and fold."""
    weights = plan.weights()
    models: dict[str, _Model] = {}
    for _, tasks in groupby(plan.tasks(), key=lambda task: id(task[1].split)):
        here = list(tasks)
        split = here[0][1].split
        samples, held_out = plan.samples(split.train), plan.samples(split.evaluation)
        for part, training in here:
            logits, record = logits_of(part, training, samples, held_out)
            _check_finite(logits, training, held_out.ids)
            which = f"{training.role} {training.model}"
            if which not in models:
                models[which] = _Model(about=_about(plan, training, record, weights))
            models[which].logits.setdefault(training.seed, []).append(logits)
            made = {"fold": split.fold, "weights_sha256": record["weights_sha256"]}
            models[which].trainings.setdefault(training.seed, []).append(made)
    return models


def _check_finite(logits: np.ndarray, training: Training, ids: np.ndarray) -> None:
    """Refuse what is no answer: the largest of logits that hold NaN would be counted as a class like any other."""
    broken = ids[~np.isfinite(logits).all(axis=1)]
    if len(broken):
        raise DivergenceError(
            f"{training.title.replace('  ', ', ')}: its logits of {len(broken)} of {len(ids)} windows of the {training.split.part} "
            f"part are not finite, first of window '{broken[0]}': see whether its samples are possible, and mend it or leave it out"
        )


def _about(plan: Plan, training: Training, record: dict[str, Any], weights: dict[str, float | str]) -> dict[str, Any]:
    """Return what a model is: its role, its weight among the teachers, and how large it is."""
    view = training.view
    size = plan.windows.length if view.imager is None else view.imager.size
    _, macs = size_of(
        training.network, dims=view.dims, in_channels=view.channels, classes=len(plan.windows.class_names), size=size
    )
    weight = weights.get(training.model) if training.role == "teacher" else None
    return {
        "role": training.role,
        "network": training.network,
        "view": view.name,
        "apart": training.apart,
        "weight": None if isinstance(weight, str) else weight,
        "parameters": record["parameters"],
        "macs": macs,
        "bytes": bytes_of(training),
    }
