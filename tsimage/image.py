"""The image transformers of pyts by their own names: change `from pyts.image import` to `from tsimage.image import`.

Parameters, defaults, the words of errors, shapes and float64 results are those of pyts, and so are the numbers within
rounding; pyts' own tests run against these classes. They differ where they keep the contract of a scikit-learn
transformer: `fit`, which learns nothing and may be left out, records the length of the series, so those of another length
are refused afterwards; series of one sample are refused; and with `flatten=True` pixels have names and `set_output` works.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from tsimage.errors import UserError
from tsimage.fields.markov import merged_bins
from tsimage.fields.recurrence import PERCENTAGE, joint_recurrence_plot, recurrence_plot
from tsimage.imager import Imager
from tsimage.painting import in_blocks
from tsimage.segments import Segmentation, paa

_BLOCK_BYTES = 1 << 21


def _check_length(n_timestamps: int) -> None:
    if n_timestamps < 2:
        raise UserError(f"X has {n_timestamps} feature(s): one sample makes no series, give two or more.")


def _count(name: str, value: Any, n_timestamps: int) -> int:
    """Return how many samples a parameter means that is a whole number of them or a share of the series."""
    if not isinstance(value, Real):
        raise TypeError(f"'{name}' must be an integer or a float.")
    if isinstance(value, Integral):
        if not 1 <= int(value) <= n_timestamps:
            raise UserError(
                f"If '{name}' is an integer, it must be greater than or equal to 1 and lower than or equal to "
                f"n_timestamps (got {value})."
            )
        return int(value)
    if not 0 < float(value) <= 1:
        raise UserError(
            f"If '{name}' is a float, it must be greater than 0 and lower than or equal to 1 (got {value})."
        )
    return math.ceil(float(value) * n_timestamps)


def _blockwise(X: np.ndarray, side: int, paint: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Paint a few series at a time, so that what is needed on the way stays in the caches; on all cores."""
    images = np.empty((len(X), side, side))

    def block(start: int, stop: int) -> None:
        images[start:stop] = paint(X[start:stop])

    in_blocks(block, len(X), max(1, _BLOCK_BYTES // (8 * side**2)))
    return images


class _SeriesPainter(TransformerMixin, BaseEstimator, ABC):
    """What the transformers of single series share: the checks of X, flattening and the names of pixels."""

    _numbers: Any = np.float64
    flatten: bool

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the series and record their length; nothing else is learned.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_timestamps), optional
        y : ignored
        """
        if X is not None:
            self._side(self._checked(X, reset=True).shape[1])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Paint each series.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_timestamps)
            Finite real values.

        Returns
        -------
        ndarray of float64, shape (n_samples, side, side), or (n_samples, side * side) with `flatten=True`
        """
        X = self._checked(X, reset=False)
        images = self._paint(X, self._side(X.shape[1]))
        return images.reshape(len(X), -1) if self.flatten else images

    @available_if(lambda self: self.flatten)
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Name the pixels of flattened images: `gasf[0,0], gasf[0,1], ...`; there only with `flatten=True`."""
        check_is_fitted(self, "n_features_in_")
        _check_feature_names_in(self, input_features)
        side, name = self._side(self.n_features_in_), self._name()
        return np.array([f"{name}[{i},{j}]" for i in range(side) for j in range(side)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        X = validate_data(self, X, dtype=self._numbers, reset=reset)
        _check_length(X.shape[1])
        return X

    @abstractmethod
    def _side(self, n_timestamps: int) -> int:
        """Check the parameters and return the side of the images."""

    @abstractmethod
    def _paint(self, X: np.ndarray, side: int) -> np.ndarray:
        """Paint series (n_samples, n_timestamps) as images (n_samples, side, side)."""

    @abstractmethod
    def _name(self) -> str:
        """Return the name that pixels begin with."""


class GramianAngularField(_SeriesPainter):
    """Gramian angular fields, in place of `pyts.image.GramianAngularField`.

    Parameters
    ----------
    image_size : int or float
        Side of the images; a float in (0, 1] is a share of the length of the series.
    sample_range : (float, float) or None
        Range inside [-1, 1] that each series is scaled to, after averaging; None where the averaged values lie in
        [-1, 1] already and are to be taken as they are.
    method : {"summation", "s", "difference", "d"}
        cos(phi_i + phi_j), or sin(phi_i - phi_j).
    overlapping : bool
        Average over segments of equal length that may overlap.
    flatten : bool
        Return each image as one row.

    Raises
    ------
    TypeError, ValueError
        For a parameter of a wrong type or value, in the words of pyts; for X as scikit-learn does.

    References
    ----------
    Z. Wang and T. Oates, arXiv:1506.00327; see `tsimage.gasf`, whose stable form keeps digits that pyts loses.

    Examples
    --------
    >>> GramianAngularField().fit_transform([[-1, 0, 1]])[0] + 0.0
    array([[ 1.,  0., -1.],
           [ 0., -1.,  0.],
           [-1.,  0.,  1.]])
    """

    def __init__(
        self,
        image_size: int | float = 1.0,
        sample_range: tuple[float, float] | None = (-1, 1),
        method: str = "summation",
        overlapping: bool = False,
        flatten: bool = False,
    ) -> None:
        self.image_size = image_size
        self.sample_range = sample_range
        self.method = method
        self.overlapping = overlapping
        self.flatten = flatten

    def _side(self, n_timestamps: int) -> int:
        side = _count("image_size", self.image_size, n_timestamps)
        if self.sample_range is not None:
            if not isinstance(self.sample_range, tuple):
                raise TypeError("'sample_range' must be None or a tuple.")
            if len(self.sample_range) != 2:
                raise UserError("If 'sample_range' is a tuple, its length must be equal to 2.")
            if not -1 <= self.sample_range[0] < self.sample_range[1] <= 1:
                raise UserError(
                    "If 'sample_range' is a tuple, it must satisfy -1 <= sample_range[0] < sample_range[1] <= 1."
                )
        if self.method not in ("summation", "s", "difference", "d"):
            raise UserError("'method' must be either 'summation', 's', 'difference' or 'd'.")
        return side

    def _paint(self, X: np.ndarray, side: int) -> np.ndarray:
        segmentation = _segmentation(self.overlapping)
        if self.sample_range is None:
            # Means of values within [-1, 1] lie there too, whatever rounding does to them.
            if np.abs(X).max() > 1 and np.abs(paa(X, side, segmentation)).max() > 1:
                raise UserError("If 'sample_range' is None, all the values of X must be between -1 and 1.")
            scaling: dict[str, Any] = {"scaling": "fixed:1=1"}  # values without a unit, from -1 to 1
        else:
            scaling = {"scaling": "window", "target": self.sample_range}
        imager = Imager(stack=self._name(), size=side, segmentation=segmentation, dtype="float64", **scaling)
        return imager(X[:, None], units=("1",))[:, 0]

    def _name(self) -> str:
        return "gasf" if self.method in ("summation", "s") else "gadf"


class MarkovTransitionField(_SeriesPainter):
    """Markov transition fields, in place of `pyts.image.MarkovTransitionField`.

    Parameters
    ----------
    image_size : int or float
        Side of the images; a float in (0, 1] is a share of the length of the series.
    n_bins : int
        Bins of each series, at least 2.
    strategy : {"quantile", "uniform", "normal"}
        Bins of equal numbers of samples, of equal width, or between the quantiles of the standard normal distribution.
    overlapping : bool
        Average over segments of equal length that may overlap.
    flatten : bool
        Return each image as one row.

    Raises
    ------
    TypeError, ValueError
        For a parameter of a wrong type or value, in the words of pyts; for X as scikit-learn does.

    Warns
    -----
    UserWarning
        Where quantiles of a series coincide, so that it has fewer bins.

    References
    ----------
    Z. Wang and T. Oates, arXiv:1506.00327; see `tsimage.mtf`.

    Examples
    --------
    >>> MarkovTransitionField(image_size=2, n_bins=4).fit_transform([range(8)])
    array([[[0.375, 0.125],
            [0.   , 0.5  ]]])
    """

    def __init__(
        self,
        image_size: int | float = 1.0,
        n_bins: int = 8,
        strategy: str = "quantile",
        overlapping: bool = False,
        flatten: bool = False,
    ) -> None:
        self.image_size = image_size
        self.n_bins = n_bins
        self.strategy = strategy
        self.overlapping = overlapping
        self.flatten = flatten

    def _side(self, n_timestamps: int) -> int:
        side = _count("image_size", self.image_size, n_timestamps)
        if not isinstance(self.n_bins, Integral):
            raise TypeError("'n_bins' must be an integer.")
        if self.n_bins < 2:
            raise UserError("'n_bins' must be greater than or equal to 2.")
        if self.strategy not in ("uniform", "quantile", "normal"):
            raise UserError("'strategy' must be 'uniform', 'quantile' or 'normal'.")
        return side

    def _paint(self, X: np.ndarray, side: int) -> np.ndarray:
        bins = int(self.n_bins)
        if self.strategy == "quantile" and bins > 2 and len(merged := np.flatnonzero(merged_bins(X, bins))):
            some = ", ".join(map(str, merged[:10])) + (f" and {len(merged) - 10} more" if len(merged) > 10 else "")
            # The first words are those of pyts, so that a filter for them still works.
            warnings.warn(
                f"Some quantiles are equal: fewer than {bins} bins for sample {some}; choose fewer bins",
                UserWarning,
                stacklevel=4,
            )
        stack = f"mtf(bins={bins},strategy={self.strategy})"
        imager = Imager(stack=stack, size=side, segmentation=_segmentation(self.overlapping), dtype="float64")
        return imager(X[:, None])[:, 0]

    def _name(self) -> str:
        return "mtf"


class RecurrencePlot(_SeriesPainter):
    """Recurrence plots, in place of `pyts.image.RecurrencePlot`.

    The side of the images is `n_timestamps - (dimension - 1) * time_delay`. Whole numbers are taken relative to the
    minimum of their series before they become floats, so small distances between large numbers are exact.

    Parameters
    ----------
    dimension : int or float
        Samples in a delay vector; a float in (0, 1] is a share of the length of the series.
    time_delay : int or float
        Samples between two neighbours in a delay vector; a float in (0, 1] is a share of the length of the series.
    threshold : float, "point", "distance" or None
        Distances strictly below it become 1 and the others 0; None keeps the distances. "point": the `percentage`-th
        percentile of the distances of an image; "distance": `percentage` per cent of the largest.
    percentage : int or float
        From 0 to 100; only for "point" and "distance".
    flatten : bool
        Return each image as one row.

    Raises
    ------
    TypeError, ValueError
        For a parameter of a wrong type or value, in the words of pyts; for X as scikit-learn does.

    References
    ----------
    J.-P. Eckmann, S. Oliffson Kamphorst and D. Ruelle, "Recurrence Plots of Dynamical Systems", Europhysics Letters 4
    (1987).

    Examples
    --------
    >>> RecurrencePlot(threshold=2).fit_transform([[0, 1, 3]])
    array([[[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 1.]]])
    """

    _numbers = "numeric"

    def __init__(
        self,
        dimension: int | float = 1,
        time_delay: int | float = 1,
        threshold: float | str | None = None,
        percentage: int | float = 10,
        flatten: bool = False,
    ) -> None:
        self.dimension = dimension
        self.time_delay = time_delay
        self.threshold = threshold
        self.percentage = percentage
        self.flatten = flatten

    def _side(self, n_timestamps: int) -> int:
        dimension, delay = self._embedding(n_timestamps)
        side = n_timestamps - (dimension - 1) * delay
        if side < 1:
            raise UserError(
                "The number of trajectories must be positive. Consider trying with smaller values for 'dimension' and "
                "'time_delay'."
            )
        _check_threshold(self.threshold, self.percentage)
        return side

    def _embedding(self, n_timestamps: int) -> tuple[int, int]:
        return (
            _count("dimension", self.dimension, n_timestamps),
            _count("time_delay", self.time_delay, n_timestamps),
        )

    def _options(self, n_timestamps: int) -> dict[str, Any]:
        """Return the options of `recurrence_plot`, which refuses those without effect; pyts ignores them."""
        dimension, delay = self._embedding(n_timestamps)
        return {
            "dimension": dimension,
            "delay": delay if dimension > 1 else 1,
            "threshold": float(self.threshold) if isinstance(self.threshold, Real) else self.threshold,
            "percentage": self.percentage if isinstance(self.threshold, str) else PERCENTAGE,
        }

    def _paint(self, X: np.ndarray, side: int) -> np.ndarray:
        options = self._options(X.shape[1])
        return _blockwise(_relative(X), side, lambda x: recurrence_plot(x, **options))

    def _name(self) -> str:
        return "rp"


class JointRecurrencePlot(TransformerMixin, BaseEstimator):
    """Joint recurrence plots, in place of `pyts.multivariate.image.JointRecurrencePlot`.

    The product of the recurrence plots of the features of each multivariate series.

    Parameters
    ----------
    dimension, time_delay : int or float
        As for `RecurrencePlot`, the same for all features.
    threshold : float, "point", "distance" or None, or a list of them
        As for `RecurrencePlot`; a list gives one for each feature.
    percentage : int or float, or a list of them
        As for `RecurrencePlot`; a list gives one for each feature.

    Raises
    ------
    TypeError, ValueError
        For a parameter of a wrong type or value, in the words of pyts; for X as scikit-learn does.

    References
    ----------
    M. C. Romano, M. Thiel, J. Kurths and W. von Bloh, "Multivariate Recurrence Plots", Physics Letters A 330 (2004).

    Examples
    --------
    >>> JointRecurrencePlot(threshold=2).fit_transform([[[0, 1, 3], [0, 2, 3]]])
    array([[[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]]])
    """

    def __init__(
        self,
        dimension: int | float = 1,
        time_delay: int | float = 1,
        threshold: Any = None,
        percentage: Any = 10,
    ) -> None:
        self.dimension = dimension
        self.time_delay = time_delay
        self.threshold = threshold
        self.percentage = percentage

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the series and record the number of their features; nothing else is learned.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features, n_timestamps), optional
        y : ignored
        """
        if X is not None:
            self._plots(*self._checked(X, reset=True).shape[1:])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Paint each multivariate series.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features, n_timestamps)
            Finite real values.

        Returns
        -------
        ndarray of float64, shape (n_samples, side, side)
        """
        X = self._checked(X, reset=False)
        n_timestamps = X.shape[2]
        plots = self._plots(X.shape[1], n_timestamps)
        options = [plot._options(n_timestamps) for plot in plots]
        joint = options[0] | {name: [own[name] for own in options] for name in ("threshold", "percentage")}
        return _blockwise(_relative(X), plots[0]._side(n_timestamps), lambda x: joint_recurrence_plot(x, **joint))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        X = check_array(X, ensure_2d=False, allow_nd=True, estimator=self, input_name="X")
        if X.ndim != 3:
            raise UserError(f"X must be 3-dimensional (got {X.ndim}).")
        if not X.shape[1]:
            raise UserError(f"X must have at least one feature (got shape {X.shape}).")
        _check_length(X.shape[2])
        return validate_data(self, X, reset=reset, skip_check_array=True)

    def _plots(self, n_features: int, n_timestamps: int) -> list[RecurrencePlot]:
        """Check the parameters and return the plot of each feature."""
        each = []
        for name in ("threshold", "percentage"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list | np.ndarray):
                value = [value] * n_features
            elif len(value) != n_features:
                raise UserError(
                    f"If '{name}' is a list, its length must be equal to n_features ({len(value)} != {n_features})."
                )
            each.append(value)
        plots = [RecurrencePlot(self.dimension, self.time_delay, *own) for own in zip(*each, strict=True)]
        for plot in plots:
            plot._side(n_timestamps)
        return plots


def _segmentation(overlapping: bool) -> Segmentation:
    return "overlapping" if overlapping else "pyts"


def _check_threshold(threshold: Any, percentage: Any) -> None:
    if isinstance(threshold, Real):
        if threshold <= 0:
            raise UserError("If 'threshold' is a float or an integer, it must be greater than 0.")
    elif not (threshold is None or (isinstance(threshold, str) and threshold in ("point", "distance"))):
        raise TypeError("'threshold' must be either None, 'point', 'distance', a float or an integer.")
    if not isinstance(percentage, Real):
        raise TypeError("'percentage' must be a float or an integer.")
    if not 0 <= float(percentage) <= 100:
        raise UserError("'percentage' must be between 0 and 100.")


def _relative(X: np.ndarray) -> np.ndarray:
    """Return float64, whole numbers relative to the minimum of their series."""
    if X.dtype.kind in "iu":
        # The difference wraps round in a signed type, but read as unsigned it is exact.
        X = (X - X.min(axis=-1, keepdims=True)).view(f"u{X.dtype.itemsize}")
    return X.astype(np.float64, copy=False)
