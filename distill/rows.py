"""Runs folded into rows: one for each model, over all its seeds, apart from every other that differs in anything but the seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from distill.config import Run
from distill.gridfile import in_words
from distill.options import options_of
from distill.records import Record
from distill.results import ORDER
from distill.teacher_names import DEFAULT_ALPHA
from distill.views import SIGNAL
from tsimage.errors import UserError
from tsimage.readers import ReadOptions

_TEACHING = {
    *("teacher", "alpha", "lambda", "lambda_to", "temperature", "temperature_to", "loss", "weighing"),
    *("warm_start", "teaching", "shared_teachers"),
}
"""Options that only a distilled student feels."""
_IMAGES = {"image_size", "scaling"}
_NEVER = {"seeds", "student", "device", "precision", "data"}
"""Options that make no other model, or stand in a row by themselves, as the precision that `auto` came to."""
_READING = tuple(f.name for f in fields(ReadOptions))
IN_EACH_FOLD = "chosen in each fold"


@dataclass(kw_only=True, eq=False)
class Row:
    """A model over its seeds.

    Parameters
    ----------
    role : {"teacher", "scratch", "control", "student"}
    network, view : str
    data : str
        Name of the data set.
    options : dict
        All options of the run that make this model what it is, as JSON types.
    """

    role: str
    network: str
    view: str
    data: str
    options: dict[str, Any]
    name: str = ""
    """By what it is, and what differs among the rows of its role."""
    method: str = ""
    """The name without the data and how they are read: what is the same method on several data sets."""
    differing: dict[str, Any] = field(default_factory=dict)
    """The options in which the rows of its role differ."""
    about: dict[str, Any] = field(default_factory=dict)
    """`weight`, `parameters`, `macs`, `bytes`; empty while no seed is done."""
    seeds: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Scores by seed, as in `result.json`."""
    sources: dict[int, Record] = field(default_factory=dict)
    """The run that a seed is of; of several that share it, the first."""
    columns: dict[int, str] = field(default_factory=dict)
    """What the model is called in the predictions and logits of the run that a seed is of."""
    missing: dict[int, str] = field(default_factory=dict)
    """Why a seed has no scores, in words."""

    @property
    def is_optimistic(self) -> bool:
        """Whether an epoch was chosen on the evaluation part."""
        return self.options["protocol"] == "lab"

    @property
    def is_shared(self) -> bool:
        """Whether this is a teacher that was trained with one seed for all."""
        return self.role == "teacher" and all(record.run.shared_teachers for record in self.sources.values())

    def values(self, metric: str) -> dict[int, float]:
        """Return the value of a metric by seed; NaN where it is not known."""
        return {
            seed: float("nan") if (v := scores[metric]) is None else v for seed, scores in sorted(self.seeds.items())
        }

    def said(self, seed: int) -> pd.DataFrame:
        """Return, by window id, the `subject`, the `label` and what the model `said` with a seed."""
        seen = self.sources[seed].predictions
        made = seen[["subject", "label"]].assign(said=seen[self.columns[seed]])
        return made.set_index(seen["window"])

    def logits(self, seed: int) -> np.ndarray:
        """Return the logits (window, class) with a seed, in the order of `said`."""
        return self.sources[seed].logits[self.columns[seed]]


def fold_rows(records: Sequence[Record]) -> list[Row]:
    """Fold runs into rows; nothing is put together that does not belong together.

    A model that several runs have in common, as the student from scratch in a grid over alpha, is one row.

    Parameters
    ----------
    records : sequence of Record

    Returns
    -------
    list of Row
        Teachers, students from scratch, controls, distilled students; within these in the order of the runs.

    Raises
    ------
    UserError
        If runs are about different parts, if runs of the same data with the same options have other windows, splits or
        labels, or if two runs have a seed of the same model with different weights.
    """
    records = list(records)
    if not records:
        raise UserError(
            "there is no run to put in a table: give run directories, folders of grids, or a folder of such"
        )
    begun = [record for record in records if record.about]
    _check_alike(begun)
    names = {record.about["data"]["windows_sha256"]: record.about["data"]["name"] for record in begun}
    rows: dict[str, Row] = {}
    for record in records:
        data = record.about["data"]["name"] if record.about else names.get(record.windows_sha256, record.run.data)
        for row in _rows_of(record, data):
            key = json.dumps([row.role, row.network, row.view, row.data, row.options], sort_keys=True)
            _join(rows.setdefault(key, row), row)
    ordered = sorted(rows.values(), key=lambda row: ORDER[row.role])
    for row in ordered:
        for seed in row.seeds:
            row.missing.pop(seed, None)
    _name(ordered)
    _note_missing(ordered)
    return ordered


def _rows_of(record: Record, data: str) -> Iterator[Row]:
    """Make the rows of one run, without names."""
    run = record.run
    options = record.options | dict.fromkeys(_chosen_in_folds(record), IN_EACH_FOLD)
    if record.result is None:
        roles = ["scratch", *(["control"] if run.warm_start else []), "student"]
        models: list[dict[str, Any]] = [
            {"role": "teacher", "network": t.network, "view": t.view, "apart": t.apart} for t in run.teachers()
        ]
        models += [{"role": role, "network": run.student, "view": SIGNAL} for role in roles]
    else:
        models = record.result["models"]
    for model in models:
        row = Row(
            role=model["role"],
            network=model["network"],
            view=model["view"],
            data=data,
            options=_own(options, model, record),
        )
        seeds = run.seeds[:1] if row.role == "teacher" and run.shared_teachers else run.seeds
        if record.result is None:
            row.missing = dict.fromkeys(seeds, f"its run {record.shortfall}")
        else:
            row.about = {name: model[name] for name in ("weight", "parameters", "macs", "bytes")}
            row.seeds = {int(seed): scores for seed, scores in model["seeds"].items()}
            row.sources = dict.fromkeys(row.seeds, record)
            row.columns = {seed: f"{row.role} {model_name(model)} seed {seed}" for seed in row.seeds}
        yield row


def model_name(model: Mapping[str, Any]) -> str:
    """Return network and view of a model of a result, as no other of its role is called there."""
    return f"{model['network']}:{model['view']}{model.get('apart', '')}"


def _chosen_in_folds(record: Record) -> set[str]:
    return {name for values in (record.about.get("chosen") or {}).values() for name in values}


def _own(options: Mapping[str, Any], model: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Return the options of a run that make one of its models what it is."""
    left = _NEVER | (set() if model["role"] == "student" else _TEACHING)
    if model["view"] == SIGNAL and model["role"] != "student":
        left |= _IMAGES
    own = {name: value for name, value in options.items() if name not in left}
    if model["role"] == "teacher":
        for teacher in record.run.teachers():
            if teacher.name == model_name(model) and teacher.source:  # it was trained by the options of another run
                own["teacher"] = teacher.source
    if own.get("alpha", 0) is None:
        own["alpha"] = _default_alpha(record.run)
    return own | {"precision": record.precision}


def _default_alpha(run: Run) -> float | None:
    """Return the alpha of a run that was given none; None where its teachers are no pair, or weighed by themselves."""
    teachers = run.teachers()
    images = [teacher.weight for teacher in teachers if teacher.view != SIGNAL]
    return images[0] if len(teachers) == 2 and len(images) == 1 and images[0] == DEFAULT_ALPHA else None


def _join(row: Row, other: Row) -> None:
    """Put the seeds of another run's row into one."""
    if row is other:
        return
    row.about = row.about or other.about
    if other.about and row.about["weight"] != other.about["weight"]:
        row.about = row.about | {"weight": None}  # one teacher, which several runs weigh differently
    for seed, scores in other.seeds.items():
        if seed not in row.seeds:
            row.seeds[seed], row.sources[seed] = scores, other.sources[seed]
            row.columns[seed] = other.columns[seed]
        elif row.seeds[seed]["trainings"] != scores["trainings"]:
            first, second = row.sources[seed].folder, other.sources[seed].folder
            raise UserError(
                f"'{first}' and '{second}' both have seed {seed} of {row.role} {row.network}:{row.view}, trained alike but with other weights, as by "
                "another version or machine: give one of them"
            )
    for seed, why in other.missing.items():
        row.missing.setdefault(seed, why)


def _name(rows: Sequence[Row]) -> None:
    """Name rows by what they are and by what differs among those of their role."""
    several = len({row.data for row in rows}) > 1
    titles = {
        "teacher": "teacher {}:{}",
        "scratch": "{} from scratch",
        "control": "{} from scratch, trained on",
        "student": "{} distilled",
    }
    for row in rows:
        alike = [other for other in rows if other.role == row.role]
        names = dict.fromkeys(name for other in alike for name in other.options)
        varying = [
            name
            for name in names
            if len({json.dumps(other.options[name], sort_keys=True) for other in alike if name in other.options}) > 1
        ]
        row.differing = {name: row.options.get(name) for name in varying}
        shown = {name: row.options.get(name) for name in varying if name != "teacher" or row.role == "student"}
        words = [titles[row.role].format(row.network, row.view)]
        if row.role == "teacher" and "teacher" in row.options:
            words.append(f"from {row.options['teacher']}" if "teacher" in varying else "from an earlier run")
        reading = {name: shown.pop(name) for name in _READING if name in shown}
        row.method = ", ".join(filter(None, [*words, in_words(shown)]))
        row.name = ", ".join(filter(None, [row.method, in_words(reading), f"on {row.data}" if several else ""]))


def _note_missing(rows: Sequence[Row]) -> None:
    """Note for each row the seeds that other rows have and it lacks."""
    asked = {seed for row in rows for seed in (*row.seeds, *row.missing)}
    for row in rows:
        for seed in () if row.is_shared else sorted(asked - set(row.seeds) - set(row.missing)):
            row.missing[seed] = "no run has this seed"


def basis_of(row: Row) -> str:
    """Return what two rows must have in common to be compared window by window, seed by seed: data, reading and folds."""
    same = {name: row.options[name] for name in ("evaluate", "folds", *_READING)}
    return json.dumps([row.data, same], sort_keys=True)


def _check_alike(records: Sequence[Record]) -> None:
    """Refuse runs of which nothing can be compared, or whose data only seem to be the same."""
    known: dict[tuple[str, bool | None], Record] = {}
    for record in records:
        if record.run.evaluate != records[0].run.evaluate:
            raise UserError(
                f"'{records[0].folder}' is about the {records[0].run.evaluate} part and '{record.folder}' about the "
                f"{record.run.evaluate} part: put them in tables of their own"
            )
        options = options_of(record.run)
        key = json.dumps([record.about["data"]["name"], *(options[name] for name in ("folds", *_READING))])
        # Who decides when to stop is in no part: the split is that of runs that stop alike, the windows are those of all.
        for stops in (None, options["patience"] > 0):
            other = known.setdefault((key, stops), record)
            differ = _difference_of_windows(other, record) if stops is None else _difference_of_splits(other, record)
            if differ:
                raise UserError(
                    f"'{other.folder}' and '{record.folder}' are both of data '{record.about['data']['name']}' read alike, but "
                    f"with other {differ}: nothing is averaged over them; do one of them anew, or put them in tables of their own"
                )


def _difference_of_windows(one: Record, other: Record) -> str:
    """Return in words what differs between the windows of two runs; empty where they are the same."""
    first, second = one.about, other.about
    if first["data"]["classes"] != second["data"]["classes"]:
        return "classes"
    if first["data"]["windows_sha256"] != second["data"]["windows_sha256"]:
        if one.is_done and other.is_done:
            labels = [record.predictions.set_index("window")["label"] for record in (one, other)]
            common = labels[0].index.intersection(labels[1].index)
            differ = common[labels[0][common].to_numpy() != labels[1][common].to_numpy()]
            if len(differ):
                told = " and ".join(f"'{of[differ[0]]}'" for of in labels)
                return f"labels (window '{differ[0]}' is {told})"
        return "windows"
    return ""


def _difference_of_splits(one: Record, other: Record) -> str:
    return "split" if one.about["split"]["parts"] != other.about["split"]["parts"] else ""
