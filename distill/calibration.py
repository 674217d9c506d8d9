"""Whether a model is as often right as it says: reliability by confidence, and the expected calibration error."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import softmax

BINS = 15


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Sort windows by confidence, the probability of the class that is seen, into bins of equal width [1]_.

    Parameters
    ----------
    logits : ndarray, shape (window, class)
    labels : ndarray of int64, shape (window,)
    bins : int
        How many, from 0 to 1; a confidence on a border lies in the bin below.

    Returns
    -------
    DataFrame
        One row per bin: `low`, `high`, `windows`, and the means `confidence` and `accuracy`, NaN where a bin is empty.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599.
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    borders = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(borders, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "low": borders[:-1],
                "high": borders[1:],
                "windows": counts,
                "confidence": np.bincount(place, weights=confidence, minlength=bins) / counts,
                "accuracy": np.bincount(place, weights=right, minlength=bins) / counts,
            }
        )


def calibration_error(found: pd.DataFrame) -> float:
    """Return the expected calibration error of the bins of `reliability`: the mean distance between confidence and accuracy.

    Returns
    -------
    float
        From 0, a model that is as often right as it says, to 1; each bin counts by its windows.

    Examples
    --------
    >>> sure = np.array([[9.0, -9.0]] * 4)  # of the first class, four times, and right three times
    >>> round(calibration_error(reliability(sure, np.array([0, 0, 0, 1]))), 6)
    0.25
    """
    gaps = (found["accuracy"] - found["confidence"]).abs().fillna(0)
    return float((gaps * found["windows"]).sum() / found["windows"].sum())
