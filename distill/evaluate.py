"""How good predictions are."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, f1_score


def metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro-F1 (both means over the classes present), each 0 to 1.

    Parameters
    ----------
    labels, predictions : ndarray of int64, shape (window,)

    Examples
    --------
    >>> metrics(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))["balanced_accuracy"]
    0.5
    """
    present = np.unique(labels)
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "balanced_accuracy": float(np.mean([np.mean(predictions[labels == c] == c) for c in present])),
        "macro_f1": float(f1_score(labels, predictions, labels=present, average="macro", zero_division=0.0)),
    }
