"""Ridge regression on classes, its penalty chosen by leaving each window out in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

ALPHAS = tuple(np.logspace(-3, 3, 10).tolist())
"""The penalties that the papers of MiniRocket and Hydra choose from."""
MIN_SPREAD = 1e-8
"""Of the scale of features: what varies less counts as constant."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """How features are standardised before the ridge.

    Parameters
    ----------
    mean, spread : ndarray of float32, shape (feature,)
    sparse : bool
        For counts: square roots, of which zeros stay zero, and whose spread is larger where zeros are frequent.
    """

    mean: np.ndarray
    spread: np.ndarray
    sparse: bool

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return standardised features (window, feature) as float32."""
        if not self.sparse:
            return (features - self.mean) / self.spread
        roots = np.sqrt(np.maximum(features, 0))
        return np.where(roots != 0, (roots - self.mean) / self.spread, np.float32(0))


def fit_scaling(features: np.ndarray, *, sparse: bool) -> Scaling:
    """Learn the scaling of training features (window, feature).

    Dense features get mean 0 and standard deviation 1, but for constant ones, which become 0. Counts
    (`sparse`) are scaled as in Hydra: negative values are cut off, the root is taken, and the spread is the sample
    standard deviation plus the fourth power of the share of zeros, plus 1e-8.

    Examples
    --------
    >>> counts = np.array([[0, 4], [9, 16]], dtype=np.float32)
    >>> fit_scaling(counts, sparse=True)(counts).round(3)
    array([[ 0.   , -0.707],
           [ 0.687,  0.707]], dtype=float32)
    """
    if not sparse:
        spread = features.std(axis=0, dtype=np.float64)
        spread[spread < MIN_SPREAD] = 1
    else:
        features = np.sqrt(np.maximum(features, 0))
        spread = features.std(axis=0, dtype=np.float64, ddof=1 if len(features) > 1 else 0)
        spread += (features == 0).mean(axis=0) ** 4 + MIN_SPREAD
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Scaling(mean=mean, spread=spread.astype(np.float32), sparse=sparse)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """A linear map from features to one score per class.

    Parameters
    ----------
    weight : ndarray of float32, shape (feature, class)
    bias : ndarray of float32, shape (class,)
    alpha : float
        The penalty that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    alpha: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return scores (window, class) of standardised features; about 1 for the class of a window and -1 else."""
        return features @ self.weight + self.bias


def fit_ridge(features: np.ndarray, labels: np.ndarray, classes: int, alphas: tuple[float, ...] = ALPHAS) -> Ridge:
    """Regress +1 for a window's class and -1 for the others on features, with a penalty and a free intercept.

    Among several penalties the one with the smallest mean squared error of windows left out in turn is taken, as
    `sklearn.linear_model.RidgeClassifierCV` does; this one works in the smaller of windows and features, and takes
    a single penalty without the (slow) eigenvectors.

    Parameters
    ----------
    features : ndarray, shape (window, feature)
    labels : ndarray of int64, shape (window,)
    classes : int
        Of the scores. A class without a window gets the score -1 everywhere: its targets are all -1.
    alphas : tuple of float
        Positive penalties to choose from.

    Returns
    -------
    Ridge

    Examples
    --------
    >>> ridge = fit_ridge(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1]), classes=2)
    >>> ridge.scores(np.array([[0.0], [3.0]])).argmax(axis=1).tolist()
    [0, 1]
    """
    x, y = features.astype(np.float64), 2.0 * np.eye(classes)[labels] - 1
    middle, level = x.mean(axis=0), y.mean(axis=0)
    x -= middle
    y -= level
    dual = x.shape[1] >= len(x)
    gram = x @ x.T if dual else x.T @ x
    alpha = alphas[0] if len(alphas) == 1 else _leave_one_out(x, y, gram, alphas)
    gram[np.diag_indices_from(gram)] += alpha
    solve = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    weight = x.T @ linalg.cho_solve(solve, y) if dual else linalg.cho_solve(solve, x.T @ y)
    return Ridge(weight=weight.astype(np.float32), bias=(level - middle @ weight).astype(np.float32), alpha=alpha)


def _leave_one_out(x: np.ndarray, y: np.ndarray, gram: np.ndarray, alphas: tuple[float, ...]) -> float:
    """Return the penalty with the smallest mean squared error of centred targets y (window, class) left out in turn."""
    n, dual = len(x), len(gram) == len(x)
    if dual:
        # The vector of ones stands for the free intercept: lifted to the largest eigenvalue, it is known and left out.
        values, basis = linalg.eigh(gram + 2 * np.trace(gram) / n + 1 / n, overwrite_a=True, check_finite=False)
        values, basis = values[:-1], basis[:, :-1]
    else:
        values, basis = linalg.eigh(gram, check_finite=False)
        basis = x @ basis
    values, along, squares = np.maximum(values, 0), basis.T @ y, basis**2
    errors = []
    for alpha in alphas:
        shrunk = 1 / (values + alpha)
        if dual:  # the residual itself, up to alpha: 1 - (nearly 1) would lose digits
            residual, left = basis @ (shrunk[:, None] * along), squares @ shrunk
        else:
            residual, left = y - basis @ (shrunk[:, None] * along), 1 - 1 / n - squares @ shrunk
        errors.append(np.mean((residual / left[:, None]) ** 2))
    return alphas[int(np.argmin(errors))]
