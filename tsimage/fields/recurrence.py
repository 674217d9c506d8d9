"""Recurrence plots: how far apart the states of a series are at each two moments.

Sources: J.-P. Eckmann, S. Oliffson Kamphorst and D. Ruelle, "Recurrence Plots of Dynamical Systems", Europhysics
Letters 4 (1987); for several channels M. C. Romano, M. Thiel, J. Kurths and W. von Bloh, "Multivariate recurrence
plots", Physics Letters A 330 (2004). With the delay vectors v_i = (x_i, x_i+d, ..., x_i+(m-1)d) of dimension m and
delay d:

    R_ij = |v_i - v_j|             without a threshold, in the units of the series
    R_ij = |v_i - v_j| < epsilon   with one, 0 or 1

R is symmetric; an offset leaves no trace in it (so gravity is lost), nor does turning the series upside down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from tsimage.errors import UserError, unknown
from tsimage.segments import Segmentation, floating, paa, segment_bounds

Threshold = Literal["point", "distance"] | float | None
"""None, a distance, or where `percentage` sets it: of the pixels ("point"), of the largest distance ("distance")."""

PERCENTAGE = 10.0
"""Default of `percentage`, as in pyts."""


def recurrence_plot(
    x: Any,
    size: int | None = None,
    *,
    dimension: int = 1,
    delay: int = 1,
    threshold: Threshold = None,
    percentage: float = PERCENTAGE,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as recurrence plots, the Euclidean distances of their delay vectors.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series; floats are computed in their own precision.
    size : int, optional
        Side S of the image: the series is first averaged to S + (dimension - 1) delay points, which T must
        reach. By default nothing is averaged and S = T - (dimension - 1) delay.
    dimension : int
        Points m >= 1 of a delay vector.
    delay : int
        Distance d >= 1 of the points of a delay vector, counted in points after averaging.
    threshold : {"point", "distance"}, float or None
        None paints distances. Otherwise pixels are 1 where the distance is strictly below the threshold: a
        number above 0 in the units of `x`; "point", the percentile `percentage` of the image's own pixels;
        or "distance", `percentage` per cent of its largest pixel. The diagonal counts among the pixels, so
        below 100 / S per cent "point" leaves an image of zeros.
    percentage : float
        From 0 to 100; only for the thresholds "point" and "distance".
    segmentation : str
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S)
        Distances in the units of `x`, 0 or more (see `recurrence_bounds`), or 0 and 1. A constant series has
        distance 0 everywhere, so under "point" and "distance" all its pixels are 0 too. Distances are
        differentiable in torch, with gradient 0 where they are 0.

    Raises
    ------
    UserError
        For an option out of its range or without effect, or a series too short.

    Examples
    --------
    >>> recurrence_plot(np.array([0.0, 3.0, 1.0]))
    array([[0., 3., 1.],
           [3., 0., 2.],
           [1., 2., 0.]])
    >>> recurrence_plot(np.array([0.0, 3.0, 1.0]), threshold=2.0)
    array([[1., 0., 1.],
           [0., 1., 0.],
           [1., 0., 1.]])
    >>> recurrence_plot(np.array([0.0, 3.0, -1.0]), dimension=2)
    array([[0., 5.],
           [5., 0.]])
    """
    check_recurrence(dimension, delay, [threshold], percentage)
    image = _plot(floating(x), size, dimension, delay, threshold, percentage, segmentation)
    return _cast(image, dtype)


def joint_recurrence_plot(
    x: Any,
    size: int | None = None,
    *,
    dimension: int = 1,
    delay: int = 1,
    threshold: Threshold | Sequence[Threshold] = None,
    percentage: float | Sequence[float] = PERCENTAGE,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint several channels as one image, the product of their recurrence plots.

    Parameters are those of `recurrence_plot`, but for:

    Parameters
    ----------
    x : array or tensor, shape (..., channel, T)
    threshold, percentage : as in `recurrence_plot`, or a sequence with one for each channel

    Returns
    -------
    array or tensor, shape (..., S, S)
        With thresholds 1 where every channel recurs, else 0; without, the product of the distances.

    Raises
    ------
    UserError
        As `recurrence_plot`, and for input without channels or sequences that do not match them.

    Examples
    --------
    >>> x = np.array([[0.0, 3.0, 1.0], [0.0, 0.0, 9.0]])
    >>> joint_recurrence_plot(x)
    array([[ 0.,  0.,  9.],
           [ 0.,  0., 18.],
           [ 9., 18.,  0.]])
    >>> joint_recurrence_plot(x, threshold=[4.0, 1.0])
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    x = floating(x)
    if len(x.shape) < 2 or x.shape[-2] < 1:
        raise UserError(
            f"cannot join the channels of an array of shape {tuple(x.shape)}: give (..., channel, time) with 1 channel or more"
        )
    channels = int(x.shape[-2])
    thresholds = _per_channel("threshold", threshold, channels)
    percentages = _per_channel("percentage", percentage, channels)
    if _is_several(percentage):
        for own_percentage, own_threshold in zip(percentages, thresholds, strict=True):
            check_recurrence(dimension, delay, [own_threshold], own_percentage)
    else:
        check_recurrence(dimension, delay, thresholds, percentages[0])
    # Channel by channel, so that no more than two images of a window are held at once.
    image: Any = None
    for channel in range(channels):
        plot = _plot(
            x[..., channel, :], size, dimension, delay, thresholds[channel], percentages[channel], segmentation
        )
        image = plot if image is None else image * plot
    return _cast(image, dtype)


def recurrence_bounds(
    dimension: int = 1, threshold: Threshold = None, limits: tuple[float, float] | None = None
) -> tuple[float, float] | None:
    """Return the least and the largest value that `recurrence_plot` can give, up to rounding; None where unknown.

    Parameters
    ----------
    dimension, threshold
        Those of `recurrence_plot`.
    limits : (float, float), optional
        Range (low, high) that no value of the series leaves.

    Raises
    ------
    UserError
        For a dimension below 1, a threshold that is none, or limits out of order.

    Examples
    --------
    >>> recurrence_bounds(4, None, (-2.0, 2.0))
    (0.0, 8.0)
    >>> recurrence_bounds(4, "point")
    (0.0, 1.0)
    """
    _check_count("dimension", dimension)
    _check_threshold(threshold)
    if threshold is not None:
        return 0.0, 1.0
    if limits is None:
        return None
    low, high = (float(end) for end in limits)
    if not -math.inf < low < high < math.inf:
        raise UserError(f"limits {limits} are not allowed: the lower limit must be below the upper one, both finite")
    return 0.0, math.sqrt(dimension) * (high - low)


def joint_recurrence_bounds(
    dimension: int = 1,
    threshold: Threshold | Sequence[Threshold] = None,
    limits: Sequence[tuple[float, float]] | None = None,
) -> tuple[float, float] | None:
    """Return the least and the largest value that `joint_recurrence_plot` can give; None where unknown.

    Parameters
    ----------
    dimension, threshold
        Those of `joint_recurrence_plot`.
    limits : sequence of (float, float), one for each channel, optional
        Ranges (low, high) that no value of the channel leaves; needed unless every channel has a threshold.

    Raises
    ------
    UserError
        As `recurrence_bounds`, and for as many thresholds as there are not limits.

    Examples
    --------
    >>> joint_recurrence_bounds(1, None, [(-2.0, 2.0), (0.0, 10.0)])
    (0.0, 40.0)
    """
    if limits is None:
        each: Any = threshold if _is_several(threshold) else [threshold]
        unknown_range = None in [recurrence_bounds(dimension, own) for own in each]
        return None if unknown_range else (0.0, 1.0)
    each = _per_channel("threshold", threshold, len(limits))
    bounds = [recurrence_bounds(dimension, own, pair) for own, pair in zip(each, limits, strict=True)]
    return 0.0, math.prod(bound[1] for bound in bounds if bound is not None)


def _plot(
    x: Any,
    size: int | None,
    dimension: int,
    delay: int,
    threshold: Threshold,
    percentage: float,
    segmentation: Segmentation,
) -> Any:
    """Return the recurrence plot in the type of `x`, its options checked before."""
    xp = array_namespace(x)
    image = _distances(xp, _averaged(xp, x, size, dimension, delay, segmentation), dimension, delay)
    if threshold is None:
        return image
    if threshold == "point":
        threshold = _percentile(xp, image, float(percentage))
    elif threshold == "distance":
        threshold = float(percentage) / 100 * xp.max(image, axis=(-2, -1), keepdims=True)
    else:
        threshold = float(threshold)
    return xp.astype(image < threshold, x.dtype)


def _averaged(xp: Any, x: Any, size: int | None, dimension: int, delay: int, segmentation: Segmentation) -> Any:
    """Return the series whose delay vectors are compared, averaged to as many points as `size` of them take."""
    length, span = int(x.shape[-1]), (dimension - 1) * delay
    room = length - span
    if room < 1:
        raise UserError(
            f"dimension {dimension} with delay {delay} needs {span + 1} samples or more, the windows have {length}: "
            "choose a smaller dimension or delay, or cut longer windows"
        )
    if span and size is not None and not 1 <= size <= room:
        raise UserError(
            f"image size {size} with dimension {dimension} and delay {delay} does not fit windows of {length} samples: "
            f"choose a size from 1 to {room}, a smaller dimension or delay, or cut longer windows"
        )
    points = length if size is None else size + span
    segment_bounds(length, points, segmentation)
    if points == length:
        return x
    # A constant series stays constant: what rounding leaves of its means would make a pattern under a threshold.
    constant = xp.max(x, axis=-1, keepdims=True) == xp.min(x, axis=-1, keepdims=True)
    return xp.where(constant, x[..., :1], paa(x, points, segmentation))


def _distances(xp: Any, series: Any, dimension: int, delay: int) -> Any:
    """Return the distances of the delay vectors, by differences: exactly symmetric, with an exactly zero diagonal."""
    if dimension == 1:
        return xp.abs(series[..., :, None] - series[..., None, :])
    side = int(series.shape[-1]) - (dimension - 1) * delay
    scale = _scale(xp, series)
    if is_numpy_array(series):
        return _distances_in_place(series, scale, side, dimension * delay, delay)
    series = series / scale
    total: Any = 0.0
    for start in range(0, dimension * delay, delay):
        points = series[..., start : start + side]
        step = points[..., :, None] - points[..., None, :]
        total = total + step * step
    # The root of 0 has an infinite slope, which autograd would turn into NaN.
    apart = total > 0
    return xp.where(apart, scale[..., None], 0.0) * xp.sqrt(xp.where(apart, total, 1.0))


def _distances_in_place(series: np.ndarray, scale: np.ndarray, side: int, stop: int, delay: int) -> np.ndarray:
    """Return the same numbers without a new array at every step; delay vectors share the squares of their steps."""
    scaled = bool((scale != 1).any())
    if scaled:
        series = series / scale
    square = series[..., :, None] - series[..., None, :]
    square *= square
    total = square[..., :side, :side].copy()
    for start in range(delay, stop, delay):
        total += square[..., start : start + side, start : start + side]
    np.sqrt(total, out=total)
    if scaled:
        total *= scale[..., None]
    return total


def _scale(xp: Any, series: Any) -> Any:
    """Return by what to divide each series lest squares over- or underflow: a power of 2, so that no digit changes.

    It is 1 for every series but those of extreme values (in float32 beyond 2^31 or all below 2^-31).
    """
    limits = xp.finfo(series.dtype)
    reach = math.floor(math.log2(float(limits.max)))
    largest = xp.max(xp.abs(series), axis=-1, keepdims=True)
    exponent = xp.floor(xp.log2(xp.where(largest > 0, largest, 1.0)))
    extreme = xp.abs(exponent) > reach // 4
    return xp.where(extreme, 2.0 ** xp.clip(exponent, max=reach - 1), 1.0)


def _percentile(xp: Any, image: Any, percentage: float) -> Any:
    """Return a percentile of the pixels of each image, as numpy.percentile, shape (..., 1, 1).

    The image is symmetric around a diagonal of 0, its least value, so sorting one half gives the order of all.
    """
    side = int(image.shape[-1])
    rank = (side * side - 1) * (percentage / 100)
    left = math.floor(rank)
    rows, columns = np.triu_indices(side, 1)
    half = xp.asarray(rows * side + columns, device=device(image))
    pixels = xp.reshape(image, (*image.shape[:-2], side * side))
    ordered = xp.sort(xp.take(pixels, half, axis=-1), axis=-1)

    def ranked(k: int) -> Any:
        return pixels[..., 0] if k < side else ordered[..., (k - side) // 2]

    a, b = ranked(left), ranked(min(left + 1, side * side - 1))
    return (a + (b - a) * (rank - left))[..., None, None]


def _cast(image: Any, dtype: Any) -> Any:
    return image if dtype is None else array_namespace(image).astype(image, dtype, copy=False)


def _is_several(option: Any) -> bool:
    return isinstance(option, Sequence | np.ndarray) and not isinstance(option, str)


def _per_channel(name: str, option: Any, channels: int) -> list[Any]:
    if not _is_several(option):
        return [option] * channels
    if len(option) != channels:
        raise UserError(
            f"{name} has {len(option)} values for {channels} channels: give one value for all, or one per channel"
        )
    return list(option)


def check_recurrence(dimension: int, delay: int, thresholds: Sequence[Threshold], percentage: float) -> None:
    """Raise the UserError that `recurrence_plot` would raise for these options, in windows of any length.

    The `percentage` is shared by the `thresholds`, of which one at least must use it unless it is the default.

    Examples
    --------
    >>> check_recurrence(2, 5, ["point", 0.5], 20.0)
    """
    _check_count("dimension", dimension)
    _check_count("delay", delay)
    if dimension == 1 and delay != 1:
        raise UserError(f"delay {delay} does nothing with dimension 1: it is for a dimension of 2 or more")
    for threshold in thresholds:
        _check_threshold(threshold)
    if not (isinstance(percentage, Real) and 0 <= float(percentage) <= 100):
        raise UserError(f"percentage {percentage} is not allowed: it must be a number from 0 to 100")
    if percentage != PERCENTAGE and not {"point", "distance"} & set(thresholds):
        named = ", ".join(str(threshold) for threshold in dict.fromkeys(thresholds))
        raise UserError(
            f"percentage {percentage} does nothing with threshold {named}: it is for the thresholds point and distance"
        )


def _check_count(name: str, value: Any) -> None:
    if not (isinstance(value, Integral) and int(value) >= 1):
        raise UserError(f"{name} {value} is not allowed: it must be a whole number of 1 or more")


def _check_threshold(threshold: Any) -> None:
    if isinstance(threshold, str):
        if threshold not in ("point", "distance"):
            raise unknown("threshold", threshold, ["point", "distance", "a number above 0", "None"])
        return
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 < float(threshold) < math.inf):
        raise UserError(
            f"threshold {threshold} is not allowed: it must be a finite number above 0, 'point', 'distance' or None"
        )
