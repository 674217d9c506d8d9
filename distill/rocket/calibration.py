"""Scores made into logits: one factor, so that their softmax is as sure as it is right."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LIMITS = (0.01, 100.0)
"""The factor stays within these, also for scores that tell nothing or never err."""


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log softmax(logits) at the label.

    Parameters
    ----------
    logits : ndarray, shape (window, class)
    labels : ndarray of int64, shape (window,)

    Examples
    --------
    >>> round(negative_log_likelihood(np.zeros((1, 4)), np.array([2])), 4)  # log 4
    1.3863
    """
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def calibrating_factor(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor s > 0 with the smallest negative log-likelihood of softmax(s * scores).

    This is temperature scaling with s = 1 / T. The scores must come from models that did not see the windows.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.

    Parameters
    ----------
    scores : ndarray, shape (window, class)
    labels : ndarray of int64, shape (window,)

    Returns
    -------
    float, 0.01 to 100

    Examples
    --------
    >>> scores = np.array([[1.0, 0.0]] * 4)  # right three times in four: s = log 3
    >>> round(calibrating_factor(scores, np.array([0, 0, 0, 1])), 3)
    1.099
    """
    low, high = np.log(LIMITS)
    found = minimize_scalar(
        lambda log: negative_log_likelihood(np.exp(log) * scores, labels),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
