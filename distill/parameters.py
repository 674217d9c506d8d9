"""From the parameters of `distill.DistilledClassifier` and the arrays it is fitted to, to a plan for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from distill.config import Run
from distill.plan import Plan
from distill.splits import Split, with_stopping
from distill.teacher_names import RIDGES
from distill.views import SIGNAL
from tsimage.errors import UserError
from tsimage.fields import parse_stack
from tsimage.windows import Windows

_GIVE_GROUPS = (
    "give fit groups, the subject of each window; through searches, cross-validation and pipelines they come where "
    "sklearn.set_config(enable_metadata_routing=True) was called"
)


def plan_of(
    parameters: Mapping[str, Any], values: np.ndarray, labels: np.ndarray, classes: np.ndarray, groups: Any
) -> Plan:
    """Return the plan of the run that parameters mean for windows; with patience, subjects to stop on are taken out.

    Parameters
    ----------
    parameters : mapping
        Of the classifier, by name, as `get_params` returns them; not yet checked.
    values : ndarray of float32, shape (n, channel, T)
        Finite.
    labels : ndarray of int64, shape (n,)
        Index into `classes`, of which each occurs.
    classes : ndarray, shape (class,)
    groups : array-like, shape (n,), or None
        The subject of each window; their names are looked at only where something needs them.

    Returns
    -------
    Plan
        Of one split, whose evaluation part is empty, and one seed.

    Raises
    ------
    UserError
        For a parameter that is not allowed, or subjects that are needed and not known.
    ValueError
        If there are more or fewer groups than windows.
    """
    for what, verb in (("teacher", "is"), ("channels", "are"), ("units", "are")):
        if isinstance(parameters[what], Iterator):
            raise UserError(f"{what} {verb} an iterator, which is empty after it was read once: give a list")
    n, channels, length = values.shape
    run = run_of(parameters, length)
    if groups is not None:
        check_consistent_length(values, groups)
    ridges = [named.name for named in run.teachers() if named.network in RIDGES]
    needs = [f"patience {run.patience} stops on validation subjects"] if run.patience else []
    needs += [f"teacher {name} is cross-fitted by subject" for name in ridges]
    subjects = None
    if needs:
        subjects = None if groups is None else subjects_of(groups, len(values))
        _check_two(needs[0], subjects)
    windows = Windows(
        values=values,
        channels=_of_channels("channels", parameters["channels"], channels) or tuple(f"ch{k}" for k in range(channels)),
        units=_of_channels("units", parameters["units"], channels) or ("",) * channels,
        rate_hz=None,
        labels=labels,
        class_names=tuple(map(str, classes)),
        subjects=np.full(n, "") if subjects is None else subjects,
        recordings=np.full(n, ""),
        start=np.zeros(n),
        stop=np.full(n, length),
        ids=np.arange(n).astype(str),
        name="X",
    )
    everything = np.arange(n)
    split = Split(train=everything, evaluation=everything[:0], part="test", basis="all windows are trained on")
    if run.patience:
        split = _with_stopping(run, windows, split)
        left = np.unique(windows.subjects[split.train])
        if ridges and len(left) < 2:
            raise UserError(
                f"teacher {ridges[0]} is cross-fitted by subject, and patience leaves only '{left[0]}' to train on: give windows "
                "of more subjects, or leave out one of both"
            )
    return Plan(run, windows, splits=(split,))


def run_of(parameters: Mapping[str, Any], length: int) -> Run:
    """Return the run that parameters mean for windows of `length` samples.

    Those that have the name of an option of `distill.Run` are that option. Images get no more pixels on a side than
    windows have samples, and `random_state` is the only seed.

    Raises
    ------
    UserError
        For a parameter that is not allowed.

    Examples
    --------
    >>> run_of({"teacher": "wrn16-1", "image_size": 32, "scaling": "window", "random_state": 3}, 20).image_size
    20
    """
    names = {field.name for field in dataclasses.fields(Run)}
    options = {name: value for name, value in parameters.items() if name in names}
    views = [named.view for named in Run(teacher=options["teacher"]).teachers()]
    layers = [layer for view in views if view != SIGNAL for layer in parse_stack(view)]
    # A run refuses a scaling that has no effect; here `window` is no more than the default.
    if options["scaling"] == "window" and not any(layer.field.scaled for layer in layers):
        del options["scaling"]
    run = Run(seeds=(_seed(parameters["random_state"]),), **options)
    if layers:
        run = dataclasses.replace(run, image_size=min(run.image_size, length))
    for named in run.teachers():
        if named.source:
            raise UserError(
                f"teacher {named.name}@{named.source} comes from an earlier run, but DistilledClassifier trains all its "
                f"teachers: give {named.name}, or use distill.run"
            )
    return run


def subjects_of(groups: Any, windows: int) -> np.ndarray:
    """Return the subject of each of so many windows as text.

    Parameters
    ----------
    groups : array-like, shape (window,) or (window, 1)
    windows : int

    Returns
    -------
    ndarray of str, shape (window,)

    Raises
    ------
    UserError
        If the groups are no column, or the subject of a window is missing.

    Examples
    --------
    >>> subjects_of([7, 7, 9], 3).tolist()
    ['7', '7', '9']
    """
    try:
        groups = column_or_1d(groups, dtype=object)
    except ValueError as error:
        raise UserError(
            f"groups of shape {np.shape(groups)} are not allowed: give one subject for each of {windows} windows"
        ) from error
    subjects = np.array([str(subject) for subject in groups])
    unknown = np.asarray(pd.isna(groups)) | (subjects == "")
    if unknown.any():
        raise UserError(
            f"groups name no subject for {unknown.sum()} of {len(subjects)} windows, first for window {unknown.argmax()}: name "
            "one for each window, or leave these windows out"
        )
    return subjects


def _check_two(need: str, subjects: np.ndarray | None) -> None:
    """Refuse what needs two subjects, if they are not known."""
    if subjects is None:
        raise UserError(f"{need}, and fit was not told whose each window is: {_GIVE_GROUPS}")
    if len(np.unique(subjects)) < 2:
        raise UserError(f"{need}, and groups name only '{subjects[0]}': give windows of two subjects or more")


def _with_stopping(run: Run, windows: Windows, split: Split) -> Split:
    try:
        return with_stopping(windows, split)
    except UserError as error:  # of subjects that are known, and two or more, it can say only this
        raise UserError(
            f"patience {run.patience} stops on validation subjects, and whoever of the {len(np.unique(windows.subjects))} is "
            "taken out, a class is left without a window to train on: give windows of each class from more subjects, or leave "
            "patience out"
        ) from error


def _of_channels(what: str, given: Any, channels: int) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
        raise UserError(f"{what} {given!r} are not allowed: give a list of texts, one for each of {channels} channels")
    names = tuple(map(str, given))
    if len(names) != channels:
        raise UserError(f"{len(names)} {what} for {channels} channels: give one for each channel")
    return names


def _seed(random_state: Any) -> int:
    """Return an int as it is, and the next number of anything else that scikit-learn takes for a random state."""
    try:
        numbers = check_random_state(random_state)
    except ValueError as error:
        raise UserError(
            f"random_state {random_state!r} is not allowed: give a whole number from 0 to 2**32 - 1, a numpy.random.RandomState "
            "or None"
        ) from error
    return int(random_state) if isinstance(random_state, Integral) else int(numbers.randint(2**31 - 1))
