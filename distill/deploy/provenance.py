"""Where an exported model comes from: its data, its recipe, and how its sisters of other seeds did."""

from __future__ import annotations

from typing import Any

import numpy as np

from distill.config import Run
from distill.deploy.gravity import holds_gravity
from distill.deploy.people import hashes_of
from distill.deploy.picking import Picked
from distill.statistics import spread
from distill.views import SIGNAL
from tsimage.catalogue import ENTRIES
from tsimage.units import detect


def provenance(picked: Picked) -> dict[str, Any]:
    """Return, as JSON types, where a model comes from; no date, and no path of this machine.

    Parameters
    ----------
    picked : Picked

    Returns
    -------
    dict
        `model`, `data`, `recipe` and `seeds`, the mean over all seeds of the run.
    """
    return {
        "model": {
            "role": picked.role,
            "network": picked.network,
            "apart": picked.about.get("apart", ""),
            "seed": picked.seed,
            "fold": picked.split.fold,
            "weights_sha256": picked.trained["weights_sha256"],
        },
        "data": _data(picked),
        "recipe": _recipe(picked),
        "seeds": _seeds(picked),
    }


def _data(picked: Picked) -> dict[str, Any]:
    windows, split = picked.windows, picked.split
    entry = ENTRIES.get(picked.run.data)

    def people(index: Any) -> int:
        return len(set(windows.subjects[index].tolist()) - {""})

    return {
        "name": windows.name,
        "windows_sha256": picked.record.about["data"]["windows_sha256"],
        "place": entry.place if entry else None,
        "sensors": entry.sensors if entry else None,
        "licence": entry.licence if entry else None,
        "citation": entry.citation if entry else None,
        "page": entry.page if entry else None,
        "gravity": _gravity(picked),
        "split": split.basis,
        "subjects_in_both": picked.record.about["split"]["subjects_in_both"],
        "part": split.part,
        "train_windows": len(split.train),
        "train_subjects": people(split.train),
        "people": hashes_of(windows.subjects[_trained_or_chosen_on(picked)].tolist()),
        "evaluation_windows": len(split.evaluation),
        "evaluation_subjects": people(split.evaluation),
    }


def _gravity(picked: Picked) -> dict[str, bool]:
    """Return for each acceleration of the training windows whether gravity is in it, where that can be told."""
    windows = picked.windows
    unit = dict(zip(windows.channels, windows.units, strict=True))
    found = {each: holds_gravity(each, unit[each.channels[0]]) for each in detect([picked.train], windows.channels)}
    return {name: holds for each, holds in found.items() if holds is not None for name in each.channels}


def _trained_or_chosen_on(picked: Picked) -> np.ndarray:
    """Return the windows that decided anything about the model: those it learnt from, and those that chose its epoch."""
    split = picked.split
    parts = [split.train, *([] if split.stopping is None else [split.stopping])]
    return np.concatenate([*parts, *([split.evaluation] if picked.run.protocol == "lab" else [])])


def _recipe(picked: Picked) -> dict[str, Any]:
    run = picked.run
    made: dict[str, Any] = {
        "formula": "L = CE",
        "teachers": {},
        "epochs": run.epochs,
        "kept_epoch": picked.trained.get("kept_epoch"),
        "optimizer": run.optimizer,
        "learning_rate": run.learning_rate,
        "batch_size": run.batch_size,
        "augment": run.augment,
        "protocol": run.protocol,
        "seeds": list(run.seeds),
    }
    if picked.role == "student":
        made |= {
            "formula": run.formula(),
            "teachers": dict(picked.weights),
            "alpha": _alpha(run),
            "lambda": run.lambda_,
            "temperature": _temperature(run),
            "warm_start": run.warm_start,
        }
    return made


def _alpha(run: Run) -> float | None:
    """Return the weight of the image teacher where there is one beside one on the signal, and weights are fixed."""
    views = [teacher.view == SIGNAL for teacher in run.teachers()]
    if run.weighing != "fixed" or sorted(views) != [False, True]:
        return None
    return next(teacher.weight for teacher in run.teachers() if teacher.view != SIGNAL)


def _temperature(run: Run) -> float | None:
    """Return T of the first step; None where no part of the loss softens logits."""
    if run.temperature is not None:
        return run.temperature
    named = [term.options[name] for term in run.terms() for name in ("temperature", "tau") if name in term.options]
    return named[0] if named else None


def _seeds(picked: Picked) -> dict[str, Any]:
    """Mean, deviation and number of seeds of the run, on all folds where there are some."""
    made: dict[str, Any] = {}
    for metric in ("accuracy", "macro_f1"):
        found = spread([scores[metric] for scores in picked.about["seeds"].values()])
        made[metric] = {key: None if value != value else value for key, value in found.items() if key in ("mean", "sd")}
        made["n"] = int(found["n"])
    return made
