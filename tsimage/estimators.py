"""The recipe of images as a scikit-learn transformer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from tsimage.errors import UserError
from tsimage.fields import parse_stack
from tsimage.fields.gramian import Order
from tsimage.imager import Dtype, Imager
from tsimage.policies import ConstantPolicy, check_finite
from tsimage.segments import Segmentation


class ImageTransformer(TransformerMixin, BaseEstimator):
    """Paint windows as images inside scikit-learn: pipelines, searches, `set_output`.

    X has a row for each window, shape (n, channel * T): all samples of the first channel, then all of the second and
    so on, as `windows.reshape(len(windows), -1)` lays them out. Arrays (n, channel, T) are taken as they are.

    Parameters
    ----------
    stack : str
        Fields joined by `+`, such as `gasf` or `gasf+gadf+mtf(bins=4)`. What a field learns, as `mtf(fit=train)` does,
        it learns in `fit`.
    size : int or float
        Side S of the images; a float in (0, 1] is a share of the samples T in a window.
    n_channels : int, optional
        Channels in a row of X; by default 1, or as many as a three-dimensional X has.
    scaling : str
        How fields that scale a series do it: `window` by its own minimum and maximum; `fixed`, or with half-widths
        `fixed:g=4`, by a fixed physical range, which needs `units`.
    units : sequence of str, optional
        Unit of each channel.
    target, order, segmentation, constant_series, dtype
        Those of `tsimage.Imager`.
    flatten : bool
        Return each window as one row of named pixels, the default; else (n, image channel, S, S), which `set_output`
        leaves alone.

    Attributes
    ----------
    imager_ : Imager
        The recipe for the windows that were seen.
    n_channels_ : int
        Channels in a window.
    n_features_in_ : int
        Samples in a window, over all channels.
    feature_names_in_ : ndarray of str
        Names of the columns of X, where they all had one.

    Raises
    ------
    UserError
        For a parameter that is not allowed, rows that do not hold whole channels, or values that are not finite.

    See Also
    --------
    tsimage.image : the transformers of pyts, by their names and parameters

    Examples
    --------
    >>> import tsimage
    >>> from sklearn.linear_model import RidgeClassifierCV
    >>> from sklearn.pipeline import make_pipeline
    >>> windows = tsimage.load("basic-motions")
    >>> train, test = windows.split == "train", windows.split == "test"
    >>> model = make_pipeline(ImageTransformer("gasf+rp", size=16), RidgeClassifierCV())
    >>> _ = model.fit(windows.values[train], windows.labels[train])
    >>> bool(model.score(windows.values[test], windows.labels[test]) > 0.9)
    True
    >>> ImageTransformer("mtf", size=2).set_output(transform="pandas").fit_transform([[0, 1, 2, 3]])
       mtf:ch0[0,0]  mtf:ch0[0,1]  mtf:ch0[1,0]  mtf:ch0[1,1]
    0          0.25          0.25           0.0          0.25
    """

    def __init__(
        self,
        stack: str = "gasf",
        *,
        size: int | float = 1.0,
        n_channels: int | None = None,
        scaling: str = "window",
        units: Sequence[str] | None = None,
        target: tuple[float, float] = (-1.0, 1.0),
        order: Order = "paa-then-scale",
        segmentation: Segmentation = "pyts",
        constant_series: ConstantPolicy = "flag",
        dtype: Dtype = "float32",
        flatten: bool = True,
    ) -> None:
        self.stack = stack
        self.size = size
        self.n_channels = n_channels
        self.scaling = scaling
        self.units = units
        self.target = target
        self.order = order
        self.segmentation = segmentation
        self.constant_series = constant_series
        self.dtype = dtype
        self.flatten = flatten

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the number and length of channels from X, and learn what the recipe has to learn.

        Parameters
        ----------
        X : array-like, shape (n, channel * T) or (n, channel, T)
        y : ignored
        """
        windows = self._windows(X, reset=True)
        _, channels, length = windows.shape
        imager = self._recipe(length)
        imager.check(length, self._channel_units(channels))
        self.imager_ = imager.fit(windows)
        self.n_channels_ = channels
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Paint windows.

        Parameters
        ----------
        X : array-like, shape (n, channel * T) or (n, channel, T)
            Windows of the same channels and length as in `fit`.

        Returns
        -------
        ndarray of `dtype`, shape (n, image channel * S * S), or (n, image channel, S, S) with `flatten=False`
        """
        check_is_fitted(self)
        images = self.imager_(self._windows(X, reset=False), self._channel_units(self.n_channels_))
        return images.reshape(len(images), -1) if self.flatten else images

    @available_if(lambda self: self.flatten)
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Name the pixels, `gasf:ch0[3,5]` for row 3 and column 5; there only with `flatten=True`."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        side = self.imager_.size
        pixels = [f"[{i},{j}]" for i in range(side) for j in range(side)]
        names = self.imager_.channel_names([f"ch{k}" for k in range(self.n_channels_)])
        return np.array([name + pixel for name in names for pixel in pixels], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        tags.input_tags.three_d_array = True
        return tags

    def _recipe(self, length: int) -> Imager:
        """Return the recipe for windows of `length` samples."""
        size = self.size
        if not isinstance(size, Integral):
            if not isinstance(size, Real) or not 0 < size <= 1:
                raise UserError(
                    f"size={size!r} is not allowed: give a whole number of pixels, or a float in (0, 1] for a share of the "
                    "samples in a window"
                )
            size = math.ceil(size * length)
        options: dict[str, Any] = {"target": self.target, "order": self.order, "segmentation": self.segmentation}
        options |= {"constant_series": self.constant_series, "dtype": self.dtype}
        # An imager refuses a scaling that has no effect; here `window` is no more than the default.
        if self.scaling != "window" or any(layer.field.scaled for layer in parse_stack(self.stack)):
            options["scaling"] = self.scaling
        return Imager(stack=self.stack, size=int(size), **options)

    def _channel_units(self, channels: int) -> tuple[str, ...]:
        if isinstance(self.units, Iterator):
            raise UserError("units are an iterator, which is empty after it was read once: give a list")
        units = ("",) * channels if self.units is None else tuple(self.units)
        if len(units) != channels:
            raise UserError(f"{len(units)} units for {channels} channels: give one unit per channel")
        return units

    def _windows(self, X: Any, reset: bool) -> np.ndarray:
        return read_windows(self, X, reset=reset)[0]


def read_windows(
    estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool, min_samples: int = 1
) -> tuple[np.ndarray, Any]:
    """Return X as windows, and y as it was checked, for an estimator that has `n_channels` and `n_channels_`.

    Parameters
    ----------
    estimator : estimator of scikit-learn
        `n_channels` is None or a number; `n_channels_`, what it was fitted to, is read where `reset` is false.
    X : array-like, shape (n, channel * T) or (n, channel, T)
    y : array-like, optional
        Passed on to `sklearn.utils.validation.validate_data`.
    reset : bool
        Whether X is what the estimator is fitted to; its features are recorded then, and else compared.
    min_samples : int
        Fewest windows that are allowed.

    Returns
    -------
    windows : ndarray of float32 or float64, shape (n, channel, T)
    y : ndarray, or y as it was given where it is not to be validated

    Raises
    ------
    UserError
        For rows that do not hold whole channels, other channels than before, or values that are not finite.
    """
    channels = 1 if estimator.n_channels is None else estimator.n_channels
    if not isinstance(channels, Integral) or isinstance(channels, bool) or channels < 1:
        raise UserError(f"n_channels={channels!r} is not allowed: give a whole number of channels, 1 or more")
    rank = np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
    if rank == 3:
        X = np.asarray(X)
        if estimator.n_channels not in (None, X.shape[1]):
            raise UserError(f"X of shape {X.shape} has {X.shape[1]} channels, but n_channels={estimator.n_channels}")
        channels = X.shape[1]
        X = X.reshape(len(X), X.shape[1] * X.shape[2])
    elif not reset:
        channels = estimator.n_channels_
    checked = validate_data(
        estimator,
        X,
        y,
        dtype=(np.float64, np.float32),
        ensure_all_finite=False,
        ensure_min_samples=min_samples,
        reset=reset,
    )
    X, y = checked if isinstance(checked, tuple) else (checked, y)
    if not reset and channels != estimator.n_channels_:
        name = type(estimator).__name__
        raise UserError(f"X has {channels} channels, but {name} was fitted to {estimator.n_channels_}")
    length, rest = divmod(X.shape[1], channels)
    if rest:
        raise UserError(
            f"X has {X.shape[1]} features, which {channels} channels cannot share evenly: give all samples of the "
            "first channel, then as many of the second and so on"
        )
    if length < 2:
        raise UserError(
            f"X has {X.shape[1]} feature(s) for {channels} channel(s): windows of one sample make no series, give two "
            "or more samples of each channel"
        )
    windows = X.reshape(len(X), channels, length)
    check_finite(windows, [str(channel) for channel in range(channels)])
    return windows, y
