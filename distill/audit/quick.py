"""Quick models of windows: random convolutions, made once, with a ridge for every split; and the nearest window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances_argmin

from distill.rocket import make_transform
from distill.rocket.hydra import TAPS
from distill.rocket.teacher import RidgeHead
from tsimage.windows import Windows

GROUPS = 16
"""Of competing kernels: a quarter of Hydra's own, for 10,000 windows in seconds and one point of accuracy less."""


ASKED = 4000
"""At most so many windows are compared with all training windows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quick:
    """Features of all windows and what a ridge makes of them.

    The features are those of Hydra, whose kernels are drawn and learn nothing from windows, so that every split may use
    the same ones. The penalty is chosen once.

    Parameters
    ----------
    features : ndarray of float32, shape (window, feature)
    labels : ndarray of int64, shape (window,)
    classes : int
    alpha : float
        Penalty of the ridge.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: int
    alpha: float

    def head(self) -> RidgeHead:
        """Return a ridge with its scaling, not yet fitted."""
        return RidgeHead(sparse=True, alphas=(self.alpha,))

    def accuracy(self, train: np.ndarray, other: np.ndarray) -> float:
        """Return the share of windows that are right, 0 to 1, among others than the model was fitted to (positions)."""
        model = self.head().fit(self.features[train], self.labels[train], self.classes)
        return float(np.mean(model.scores(self.features[other]).argmax(axis=1) == self.labels[other]))


def quick_model(windows: Windows, train: np.ndarray, seed: int = 0) -> Quick:
    """Make the features of all windows, and choose the penalty on training windows.

    Parameters
    ----------
    windows : Windows
        See `why_no_quick_model`.
    train : ndarray of int64
        Positions.
    seed : int
        Draws the kernels.
    """
    features = make_transform("hydra", seed, {"groups": GROUPS}).fit(windows.values).transform(windows.values)
    classes = len(windows.class_names)
    chosen = RidgeHead(sparse=True).fit(features[train], windows.labels[train], classes).ridge.alpha
    return Quick(features=features, labels=windows.labels, classes=classes, alpha=chosen)


def nearest_accuracy(windows: Windows, train: np.ndarray, other: np.ndarray) -> float:
    """Return how often the nearest training window has the class of another: a model that remembers everything.

    Nearest by the Euclidean distance, with each channel in units of its standard deviation in training. Of more than
    4,000 other windows, as many are asked, spread evenly.

    Parameters
    ----------
    windows : Windows
        Without missing samples.
    train, other : ndarray of int64
        Positions.
    """
    asked = other[np.linspace(0, len(other) - 1, min(len(other), ASKED)).astype(np.int64)]
    spread = windows.values[train].std(axis=(0, 2), dtype=np.float64).astype(np.float32)[:, None]
    scale = np.where(spread > 0, spread, 1)
    learnt, unseen = ((windows.values[index] / scale).reshape(len(index), -1) for index in (train, asked))
    nearest = train[pairwise_distances_argmin(unseen, learnt)]
    return float(np.mean(windows.labels[nearest] == windows.labels[asked]))


def why_no_quick_model(windows: Windows) -> str:
    """Return why random convolutions cannot learn from windows, empty where they can."""
    if windows.length < TAPS:
        return f"windows of {windows.length} samples are too short for kernels of {TAPS}"
    return ""
