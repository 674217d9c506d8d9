"""Who is trained on and who is tested on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from distill.config import Part
from tsimage.errors import UserError
from tsimage.windows import Windows

NAMED = 5
"""Held-out groups listed by name."""
FOLDS = 5
"""A held-out part is one of this many folds of groups, stratified by class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Windows for training and windows for evaluation.

    Parameters
    ----------
    train, evaluation : ndarray of int64
        Positions in the windows, ascending; disjoint.
    part : {"test", "validation"}
        What the evaluation part is. A validation part lies inside the training part and never touches the test part.
    basis : str
        In words: what kept the parts apart.
    fold : str
        Name among several splits of the same windows; empty where there is one.
    number : int
        Of the fold, from 1; 0 where there is one split.
    stopping : ndarray of int64, optional
        Positions taken out of `train` to decide when training stops.
    """

    train: np.ndarray
    evaluation: np.ndarray
    part: Part
    basis: str
    fold: str = ""
    number: int = 0
    stopping: np.ndarray | None = None


def split_windows(windows: Windows, part: Part = "test") -> Split:
    """Split by the data set's own parts, else by subject, else by recording.

    Parameters
    ----------
    windows : Windows
    part : {"test", "validation"}
        `validation` holds groups out of the training part, for everything that is chosen; the test part
        is then used for nothing.

    Returns
    -------
    Split

    Raises
    ------
    UserError
        If there are too few subjects and recordings to hold any out, if a class is absent from training, or
        if the parts share raw samples.
    """
    train, evaluation, basis = _parts(windows)
    split = Split(train=train, evaluation=evaluation, part="test", basis=basis)
    if part == "validation":
        return validation_within(windows, split)
    _check_classes(windows, split)
    return split


def validation_within(windows: Windows, split: Split) -> Split:
    """Hold groups out of all that a split learns from, for everything that is chosen; who is tested is left alone.

    Parameters
    ----------
    windows : Windows
    split : Split
        One fold, or a split that is the only one. Windows that decide when training stops count as learnt from.

    Returns
    -------
    Split
        One of its own, without the name of the fold.

    Raises
    ------
    UserError
        If there are too few subjects and recordings to hold any out, or if a class is then absent from training.
    """
    learnt = split.train if split.stopping is None else np.sort(np.concatenate([split.train, split.stopping]))
    where = split.basis
    if split.fold:
        where += f"; without {split.fold}"
        what, groups = groups_of(windows, np.concatenate([learnt, split.evaluation]))
        left = np.unique(groups[: len(learnt)])
        if len(left) < 2:
            raise UserError(
                f"{windows.name}: without {split.fold} there is only the {what} {left[0]} to train on, and choosing on validation "
                "subjects needs two: add recordings of other people, give more folds, or leave out select"
            )
    train, evaluation, held_out = _hold_out(windows, learnt)
    basis = f"{held_out}, all from the training part; the test part ({where}) is not used"
    made = Split(train=train, evaluation=evaluation, part="validation", basis=basis)
    _check_classes(windows, made)
    return made


def cross_validation(windows: Windows, folds: str, part: Part = "test") -> tuple[Split, ...]:
    """Split into folds of whole subjects, so that every window is evaluated once, by models that never saw its subject.

    Parameters
    ----------
    windows : Windows
        Their own split into train and test counts for `part="validation"` only.
    folds : str
        `loso` leaves one subject out in turn; a number from 2 on makes so many folds of subjects (of recordings where
        subjects are not known), stratified by class.
    part : {"test", "validation"}
        `test` evaluates everybody; `validation` makes folds of the training part, and the test part is used for nothing.

    Returns
    -------
    tuple of Split
        Positions are those in `windows`, nothing is copied.

    Raises
    ------
    UserError
        If subjects are not known, if there are fewer groups than folds, or if a class is absent from a training part.
    """
    index, inside = np.arange(len(windows)), ""
    if part == "validation":
        index, _, basis = _parts(windows)
        inside = f", all from the training part; the test part ({basis}) is not used"
    what, groups = groups_of(windows, index)
    names = np.unique(groups).tolist()
    if folds == "loso":
        if what != "subject":
            raise UserError(
                f"{windows.name}: to leave one subject out, two or more subjects must be known: store subjects beside the windows "
                "(or name the subject column of a table)"
            )
        held = [(name, groups == name) for name in names]
        basis = f"leave one subject out, {len(names)} subjects{inside}"
    else:
        number = int(folds)
        if not 2 <= number <= len(names):
            raise UserError(
                f"{windows.name}: folds {number} are not allowed: from 2 to {len(names)}, the number of {what}s, or loso"
            )
        labels = windows.labels[index]
        cut = StratifiedGroupKFold(n_splits=number, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes with fewer windows than folds: looked at below
            made = [np.isin(np.arange(len(index)), out) for _, out in cut.split(index, labels, groups)]
        held = [(f"{k} of {number}", mask) for k, mask in enumerate(made, start=1) if mask.any()]
        basis = f"{len(held)} folds of {len(names)} {what}s{inside}"
    splits = tuple(
        Split(train=index[~mask], evaluation=index[mask], part=part, basis=basis, fold=name, number=number)
        for number, (name, mask) in enumerate(held, start=1)
    )
    for split in splits:
        _check_classes(windows, split)
    return splits


def with_stopping(windows: Windows, split: Split) -> Split:
    """Take subjects out of the training part, on whom it is decided when training stops.

    Raises
    ------
    UserError
        If there are too few subjects and recordings for it, or if a class is then absent from training.
    """
    train, stopping, _ = _hold_out(windows, split.train)
    made = replace(split, train=train, stopping=stopping)
    _check_classes(windows, made)
    return made


def _parts(windows: Windows) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the training and the test part, by the data set's own split or by groups, and what kept them apart."""
    everything = np.arange(len(windows))
    if windows.split is not None:
        odd = sorted(set(windows.split.tolist()) - {"train", "test"})
        if odd:
            raise UserError(f"{windows.name}: split has the part '{odd[0]}': allowed are train and test")
        train, evaluation = everything[windows.split == "train"], everything[windows.split == "test"]
        basis = "the data set's own split"
        if not len(train) or not len(evaluation):
            raise UserError(
                f"{windows.name}: its own split leaves {len(train)} windows to train, {len(evaluation)} to test"
            )
    else:
        train, evaluation, basis = _hold_out(windows, everything)
    return train, evaluation, basis


def _check_classes(windows: Windows, split: Split) -> None:
    where = f"{split.basis}; without {split.fold}" if split.fold else split.basis
    for code, name in enumerate(windows.class_names):
        if not (windows.labels[split.train] == code).any():
            raise UserError(
                f"{windows.name}: class '{name}' is absent from the training part ({where}): leave it out with the option "
                "classes, or add recordings of it from other people"
            )


def groups_of(windows: Windows, index: np.ndarray) -> tuple[str, np.ndarray]:
    """Return what keeps parts apart, subject or recording, and the one of each window of `index`.

    Raises
    ------
    UserError
        If neither is known, or subjects are known of some windows only.
    """
    subjects, recordings = windows.subjects[index], windows.recordings[index]
    unknown = int((subjects == "").sum())
    if 0 < unknown < len(subjects):
        raise UserError(
            f"{windows.name}: the subject of {unknown} of {len(subjects)} windows is unknown, first of '{windows.ids[index][subjects == ''][0]}', "
            "and a split by recording would put the people who are known into both parts: name all subjects, or leave these "
            "windows out"
        )
    by_subject = len(np.unique(subjects)) > 1 and not unknown
    what, groups = ("subject", subjects) if by_subject else ("recording", recordings)
    if (groups == "").any():
        raise UserError(
            f"{windows.name}: neither subjects nor recordings of the windows are known, and a split by window would leak: "
            "store subjects, recordings or a split beside them"
        )
    return what, groups


def _hold_out(windows: Windows, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Hold out one stratified fold of the groups of `index`, the first that leaves every class to train."""
    labels = windows.labels[index]
    what, groups = groups_of(windows, index)
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise UserError(
            f"{windows.name}: one recording of one person cannot be split into training and evaluation without leaking: "
            "add recordings of other people (and name the subject column of a table)"
        )
    most = int(np.bincount(labels).max())
    if most < 2:
        raise UserError(f"{windows.name}: one window of each class cannot be split: add recordings")
    n_splits = min(FOLDS, n_groups, most)
    folds = StratifiedGroupKFold(n_splits=n_splits, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer windows than folds: looked at here
        choices = [(train, held) for train, held in folds.split(index, labels, groups) if len(train) and len(held)]
    classes = set(labels.tolist())
    train, held = next((c for c in choices if set(labels[c[0]].tolist()) == classes), choices[0])
    names = np.unique(groups[held]).tolist()
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return index[train], index[held], f"by {what}: {len(names)} of {n_groups} {what}s held out ({listed})"
