"""How good predictions are."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score


def metrics(labels: np.ndarray, predictions: np.ndarray, subjects: np.ndarray) -> dict[str, Any]:
    """Return how good predictions are, each number from 0 to 1.

    Parameters
    ----------
    labels, predictions : ndarray of int64, shape (window,)
    subjects : ndarray of str, shape (window,)
        Empty where unknown.

    Returns
    -------
    dict
        `accuracy` over all windows (micro), `balanced_accuracy` and `macro_f1` (means over the classes present),
        `f1_by_class` (code of a class present to its F1), `accuracy_by_subject` (subject to accuracy; empty if one is unknown), and `subject_accuracy`, their mean (macro), so
        that a person with few windows counts as much as one with many; None without subjects.

    Examples
    --------
    >>> found = metrics(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), np.array(["ann", "ann", "ann", "bob"]))
    >>> found["accuracy"], found["balanced_accuracy"], found["subject_accuracy"]
    (0.75, 0.5, 0.5)
    """
    present = np.unique(labels)
    people = [] if (subjects == "").any() else np.unique(subjects).tolist()
    f1 = f1_score(labels, predictions, labels=present, average=None, zero_division=0.0)
    by_subject = {who: float(np.mean((labels == predictions)[subjects == who])) for who in people}
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "balanced_accuracy": float(np.mean([np.mean(predictions[labels == c] == c) for c in present])),
        "macro_f1": float(np.mean(f1)),
        "f1_by_class": dict(zip(present.tolist(), map(float, f1), strict=True)),
        "subject_accuracy": float(np.mean(list(by_subject.values()))) if by_subject else None,
        "accuracy_by_subject": by_subject,
    }
