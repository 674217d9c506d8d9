"""Windows whose label is contradicted by models that never saw the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from distill.audit.quick import Quick
from distill.rocket import cross_fitted_logits
from distill.rocket.calibration import calibrating_factor
from distill.splits import groups_of
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class Contradicted:
    """A window whose label the models contradict.

    Parameters
    ----------
    window : str
        Its id.
    subject, recording : str
        Empty where unknown.
    start, stop : int
        Its raw samples in the recording.
    label, seen : str
        The given class, and the one that the models see.
    probability, probability_of_label : float
        Of the class seen and of the one given, 0 to 1.
    """

    window: str
    subject: str
    recording: str
    start: int
    stop: int
    label: str
    seen: str
    probability: float
    probability_of_label: float


def contradictions(windows: Windows, quick: Quick, folds: int = 5, seed: int = 0) -> tuple[Contradicted, ...]:
    """List windows whose given label out-of-fold models contradict, most contradicted first.

    Probabilities are those of a ridge that was fitted to other people (other recordings where people are unknown), made
    as sure as it is right by one factor. A window is listed where the class that they confidently see (`confident_class`)
    is another than the one given, and more probable to them. That is no proof of a wrong label: the models may be wrong. A
    window whose class no other person of its fold has is not judged, since no model could know it.

    Parameters
    ----------
    windows : Windows
        Of two or more subjects or recordings.
    quick : Quick
        Of these windows.
    folds : int
    seed : int
        Shuffles groups into folds.

    Returns
    -------
    tuple of Contradicted
    """
    _, groups = groups_of(windows, np.arange(len(windows)))
    scores, report = cross_fitted_logits(quick.features, windows.labels, groups, quick.head, folds, seed)
    judged = np.ones(len(windows), dtype=bool)
    for fold in report:
        judged[np.isin(groups, fold.groups) & np.isin(windows.labels, fold.absent)] = False
    factor = calibrating_factor(scores[judged], windows.labels[judged]) if judged.any() else 1.0
    probabilities = softmax(factor * scores.astype(np.float64), axis=1)
    seen = np.full(len(windows), -1)
    seen[judged] = confident_class(probabilities[judged], windows.labels[judged])
    rows = np.arange(len(windows))
    more_sure = probabilities[rows, seen] > probabilities[rows, windows.labels]
    found = np.flatnonzero((seen >= 0) & more_sure)
    of_seen, of_label = probabilities[found, seen[found]], probabilities[found, windows.labels[found]]
    return tuple(
        Contradicted(
            window=str(windows.ids[found[k]]),
            subject=str(windows.subjects[found[k]]),
            recording=str(windows.recordings[found[k]]),
            start=int(windows.start[found[k]]),
            stop=int(windows.stop[found[k]]),
            label=windows.class_names[windows.labels[found[k]]],
            seen=windows.class_names[seen[found[k]]],
            probability=float(of_seen[k]),
            probability_of_label=float(of_label[k]),
        )
        for k in np.argsort(of_label - of_seen, kind="stable")
    )


def confident_class(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the class that a model confidently sees in each window, -1 where it is confident of none.

    Confident of a class means: at least as sure of it as it is, in the mean, in the windows that are labelled so. Of
    several such classes it is the most probable. So a class that a model is seldom sure of needs less to be seen.

    Source: C. G. Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", arXiv:1911.00068,
    section 3.1.

    Parameters
    ----------
    probabilities : ndarray, shape (window, class)
        From models that did not see the window.
    labels : ndarray of int64, shape (window,)
        As given.

    Returns
    -------
    ndarray of int64, shape (window,)

    Examples
    --------
    >>> sure = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])  # thresholds 0.8 and, for class 1, 0.6
    >>> confident_class(sure, np.array([0, 0, 1, 1])).tolist()
    [0, -1, -1, 1]
    """
    threshold = np.full(probabilities.shape[1], np.inf)
    for c in np.unique(labels):
        threshold[c] = probabilities[labels == c, c].mean()
    # equal in exact arithmetic is enough, as for a class of one window
    confident = np.where(probabilities >= threshold - 1e-12, probabilities, -np.inf)
    return np.where(np.isfinite(confident).any(axis=1), confident.argmax(axis=1), -1)
