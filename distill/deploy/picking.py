"""Which network of a finished run goes to the device, brought back with its windows and its split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from distill.config import Run
from distill.finished import trained_network
from distill.plan import Plan, Training
from distill.records import Record, read_records
from distill.rereading import at_home, windows_again
from distill.rows import model_name
from distill.splits import Split
from distill.teacher_names import RIDGES
from distill.views import SIGNAL
from tsimage.errors import UserError, unknown
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Picked:
    """A trained network of a run.

    Parameters
    ----------
    record : Record
        Of the run.
    run : Run
        With the values that were chosen, those of its fold where each has its own.
    windows : Windows
        Of the run.
    split : Split
        Whom it learnt from and who is evaluated.
    model : Module
        On the CPU, in evaluation mode; takes raw windows (window, channel, time) and gives logits.
    role, network : str
    seed : int
    about : mapping
        Its entry in `result.json`, over all seeds and folds.
    trained : mapping
        Its `training.json`.
    weights : mapping of str to (float or str)
        Of the teachers of the run, by name; how they are weighed where no number is fixed.
    """

    record: Record
    run: Run
    windows: Windows
    split: Split
    model: nn.Module
    role: str
    network: str
    seed: int
    about: Mapping[str, Any]
    trained: Mapping[str, Any]
    weights: Mapping[str, float | str]

    @property
    def name(self) -> str:
        """What the files are called.

        Folds are numbered, since their names may be anything.
        """
        apart = re.sub(r"[^A-Za-z0-9.+-]+", "-", self.about.get("apart", ""))
        role = f"teacher-signal{apart}" if self.role == "teacher" else self.role
        return f"{self.network}-{role}-seed-{self.seed}" + (f"-fold-{self.split.number}" if self.split.fold else "")

    @property
    def train(self) -> np.ndarray:
        """The values of the training windows, (window, channel, time)."""
        return self.windows.values[self.split.train]


def pick(
    folder: str | Path, role: str = "student", seed: int | None = None, fold: str = "", windows: Windows | None = None
) -> Picked:
    """Bring a network of a finished run back.

    Parameters
    ----------
    folder : str or Path
        A run directory.
    role : str
        `student` (the distilled one), `scratch`, `control`, `teacher:VIEW`, or `teacher:NETWORK:VIEW` where several teachers
        look at the same, with the @DIR of the table where there is one.
    seed : int, optional
        The first of the run by default; the score of a seed chooses nothing.
    fold : str
        Of a run with folds, by its name.
    windows : Windows, optional
        In place of the data that the run names.

    Raises
    ------
    UserError
        If the folder holds no finished run or several, if the run has no such network, if it looks at images, or if its
        windows or its weights cannot be had.
    """
    record = _finished(folder)
    model = _model(record, role)
    seed = _seed(record, model, seed)
    _check_fold(record, fold)
    found = windows_again(record, windows)
    with at_home(record):
        run = replace(record.run, device="cpu", precision="fp32")  # which a device of the run need not be here for
        plan = Plan(run, found, record.folder, chosen=record.about["chosen"])
    part, training = _training(plan, model, seed, fold)
    recorded = model["seeds"][str(seed)]["trainings"]
    weights = next(one["weights_sha256"] for one in recorded if one["fold"] == fold)
    where = record.trainings.get(weights)
    if where is None:
        raise UserError(
            f"the weights of {training.title.replace('  ', ', ')} are no longer there (no training in '{record.folder}' has the sha256 "
            f"{weights[:8]}): bring them back, or do the run anew"
        )
    network, trained = trained_network(part, replace(training, folder=where), part.samples(training.split.train))
    return Picked(
        record=record,
        run=part.run,
        windows=found,
        split=training.split,
        model=network.to("cpu"),
        role=model["role"],
        network=model["network"],
        seed=seed,
        about=model,
        trained=trained,
        weights=part.weights(),
    )


def _finished(folder: str | Path) -> Record:
    records = read_records([folder])
    if len(records) > 1:
        raise UserError(f"'{folder}' holds {len(records)} runs: export one of them, as '{records[0].folder}'")
    record = records[0]
    if not record.is_done:
        raise UserError(f"run '{record.folder}' {record.shortfall}: finish it before it is exported")
    return record


def _model(record: Record, role: str) -> Mapping[str, Any]:
    """Return the entry of the result that a role names."""
    assert record.result is not None
    models: dict[str, Mapping[str, Any]] = {}
    views = [model["view"] for model in record.result["models"] if model["role"] == "teacher"]
    for model in record.result["models"]:
        name = model["role"]
        if name == "teacher":
            several = views.count(model["view"]) > 1
            name += f":{model_name(model)}" if several else f":{model['view']}"
            models.setdefault(f"teacher:{model_name(model)}", model)
        models[name] = model
    if role not in models:
        fit = [name for name, one in models.items() if one["view"] == SIGNAL and one["network"] not in RIDGES]
        raise unknown("role", role, reversed(fit))
    model = models[role]
    named = f"{model['role']} '{model_name(model)}'"
    if model["view"] != SIGNAL:
        raise UserError(
            f"{named} looks at images, and painting them is no part of an exported model: export the student, or a teacher on the "
            "signal"
        )
    if model["network"] in RIDGES:
        raise UserError(
            f"{named} is random convolutions with a ridge, which is no network to export: export the student, or another teacher "
            "on the signal"
        )
    return model


def _seed(record: Record, model: Mapping[str, Any], seed: int | None) -> int:
    there = [int(one) for one in model["seeds"]]
    if seed is None:
        return there[0]
    if seed not in there:
        allowed = ", ".join(map(str, there))
        raise UserError(f"seed {seed} is none of this model in run '{record.folder}': choose one of {allowed}")
    return seed


def _check_fold(record: Record, fold: str) -> None:
    if not record.run.folds:
        if fold:
            raise UserError(f"run '{record.folder}' has no folds: leave out fold '{fold}'")
        return
    names = list(record.about["split"]["parts"])
    if not fold:
        raise UserError(
            f"run '{record.folder}' has {len(names)} folds and so {len(names)} networks where one is exported: choose with fold one "
            f"of {', '.join(map(repr, names))}"
        )
    if fold not in names:
        raise unknown("fold", fold, names)


def _training(plan: Plan, model: Mapping[str, Any], seed: int, fold: str) -> tuple[Plan, Training]:
    wanted = (model["role"], model_name(model), seed, fold)
    return next(
        (part, training)
        for part, training in plan.tasks()
        if (training.role, training.model, training.seed, training.split.fold) == wanted
    )
