"""Logits of training windows from models that never saw the person."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from tsimage.errors import UserError


class Classifier(Protocol):
    """What is cross-fitted."""

    def fit(self, values: np.ndarray, labels: np.ndarray, classes: int) -> object:
        """Learn from windows (window, ...) and labels (window,), of which some classes may be absent."""

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return scores (window, class) of windows."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What one fold held out.

    Parameters
    ----------
    groups : tuple of str
        Held out.
    windows : int
        Held out.
    accuracy : float
        On them, 0 to 1.
    absent : tuple of int
        Classes of the labels without a window in what was trained on.
    """

    groups: tuple[str, ...]
    windows: int
    accuracy: float
    absent: tuple[int, ...]


def cross_fitted_logits(
    values: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    make: Callable[[], Classifier],
    folds: int = 5,
    seed: int = 0,
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    """Return the scores of every window, from a model fitted to the other folds of groups, and what the folds were.

    A classifier that can repeat its training labels says nothing about its own training windows; this one has
    never seen the person. Folds are stratified by class. What a class that is absent from a fold's training part
    scores is up to the classifier: a `Ridge` gives it -1, as it does for "not this class".

    Parameters
    ----------
    values : ndarray, shape (window, channel, time)
        Or features (window, feature) that no training window had a part in.
    labels : ndarray of int64, shape (window,)
    groups : ndarray of str, shape (window,)
        The subject of each window.
    make : callable
        Returns a new `Classifier`.
    folds : int
        At least 2; fewer are made of fewer groups.
    seed : int
        Shuffles the groups into folds.

    Returns
    -------
    logits : ndarray of float32, shape (window, class)
        In the order given.
    report : tuple of Fold

    Raises
    ------
    UserError
        If subjects are unknown, there are fewer than two, or there is one fold.
    """
    unknown = int((groups == "").sum())
    if unknown:
        raise UserError(
            f"the subjects of {unknown} of {len(groups)} windows are unknown, and cross-fitting keeps people apart: store "
            "subjects beside the windows, or leave these windows out"
        )
    names = np.unique(groups).tolist()
    if len(names) < 2:
        raise UserError(
            f"cross-fitting needs windows of at least 2 subjects, but all {len(groups)} are of "
            f"{', '.join(map(repr, names)) or 'nobody'}: add other people or take another teacher"
        )
    if folds < 2:
        raise UserError(
            f"folds {folds} is not allowed: cross-fitting needs at least 2, to hold one out and train on one"
        )
    classes = int(labels.max()) + 1
    n_splits = max(2, min(folds, len(names), int(np.bincount(labels).max())))
    logits, report = np.full((len(labels), classes), np.nan, dtype=np.float32), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer windows than folds
        splitter = StratifiedGroupKFold(n_splits=n_splits, shuffle=True, random_state=seed)
        parts = [(train, held) for train, held in splitter.split(values, labels, groups) if len(held)]
    for train, held in parts:
        model = make()
        model.fit(values[train], labels[train], classes)
        logits[held] = model.scores(values[held])
        report.append(
            Fold(
                groups=tuple(np.unique(groups[held]).tolist()),
                windows=len(held),
                accuracy=float(np.mean(logits[held].argmax(axis=1) == labels[held])),
                absent=tuple(sorted(set(labels.tolist()) - set(labels[train].tolist()))),
            )
        )
    assert np.isfinite(logits).all(), "a classifier left windows without finite scores"
    return logits, tuple(report)
