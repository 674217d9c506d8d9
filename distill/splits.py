"""Who is trained on and who is tested on, and the certificate that says so."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

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
    """

    train: np.ndarray
    evaluation: np.ndarray
    part: Part
    basis: str


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
    if part == "validation":
        train, evaluation, held_out = _hold_out(windows, train)
        basis = f"{held_out}, all from the training part; the test part ({basis}) is not used"
    split = Split(train=train, evaluation=evaluation, part=part, basis=basis)
    for code, name in enumerate(windows.class_names):
        if not (windows.labels[train] == code).any():
            raise UserError(
                f"{windows.name}: class '{name}' is absent from the training part ({basis}): leave it out with the option "
                "classes, or add recordings of it from other people"
            )
    return split


def _hold_out(windows: Windows, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Hold out one stratified fold of the groups of `index`, the first that leaves every class to train."""
    subjects, recordings, labels = windows.subjects[index], windows.recordings[index], windows.labels[index]
    by_subject = len(np.unique(subjects)) > 1 and not (subjects == "").any()
    what, groups = ("subject", subjects) if by_subject else ("recording", recordings)
    if (groups == "").any():
        raise UserError(
            f"{windows.name}: neither subjects nor recordings of the windows are known, and a split by window would leak: "
            "store subjects, recordings or a split beside them"
        )
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


def absent_classes(windows: Windows, split: Split) -> list[str]:
    """Return the classes without a window in the evaluation part: nothing is learnt about them there."""
    counts = np.bincount(windows.labels[split.evaluation], minlength=len(windows.class_names))
    return [name for name, count in zip(windows.class_names, counts, strict=True) if not count]


def certificate(windows: Windows, split: Split) -> dict[str, Any]:
    """Certify a split: who and what is in each part, with a hash of the window ids, and no raw sample in both.

    Raises
    ------
    UserError
        If a raw sample of a recording lies in both parts.
    """
    parts: dict[str, Any] = {}
    for name, index in (("train", split.train), (split.part, split.evaluation)):
        counts = np.bincount(windows.labels[index], minlength=len(windows.class_names)).tolist()
        parts[name] = {
            "windows": len(index),
            "windows_by_class": dict(zip(windows.class_names, counts, strict=True)),
            "subjects": sorted(set(windows.subjects[index].tolist()) - {""}),
            "recordings": len(set(windows.recordings[index].tolist()) - {""}),
            "ids_sha256": ids_hash(windows.ids[index]),
        }
    shared = sorted(set(parts["train"]["subjects"]) & set(parts[split.part]["subjects"]))
    recordings_known = (windows.recordings != "").all()
    if recordings_known:
        _check_raw_samples(windows, split)
    return {
        "basis": split.basis,
        "subjects_in_both": shared if (windows.subjects != "").all() else "unknown",
        "raw_samples_in_both": 0 if recordings_known else "unknown",
        "parts": parts,
    }


def _check_raw_samples(windows: Windows, split: Split) -> None:
    for recording in np.intersect1d(windows.recordings[split.train], windows.recordings[split.evaluation]):
        train = split.train[windows.recordings[split.train] == recording]
        other = split.evaluation[windows.recordings[split.evaluation] == recording]
        overlap = (windows.start[train][:, None] < windows.stop[other]) & (
            windows.start[other] < windows.stop[train][:, None]
        )
        if overlap.any():
            i, j = np.argwhere(overlap)[0]
            raise UserError(
                f"{windows.name}: windows '{windows.ids[train[i]]}' (train) and '{windows.ids[other[j]]}' ({split.part}) "
                f"hold the same raw samples of recording '{recording}': split by subject or recording, not by window"
            )


def ids_hash(ids: np.ndarray) -> str:
    """Return the sha256 of window ids in their order."""
    return hashlib.sha256("\n".join(ids.tolist()).encode()).hexdigest()
