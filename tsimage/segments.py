"""Piecewise aggregate approximation: each of S segments of a series is replaced by its mean.

Source: E. Keogh et al., "Dimensionality Reduction for Fast Similarity Search in Large Time Series
Databases", Knowledge and Information Systems 3 (2001).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError, unknown

Segmentation = Literal["pyts", "overlapping", "array_split", "truncate"]


@lru_cache(maxsize=64)
def segment_bounds(length: int, size: int, segmentation: Segmentation = "pyts") -> np.ndarray:
    """Return the first sample of each segment and the one after its last, for a series of `length` samples.

    Parameters
    ----------
    length : int
        Samples in the series, T.
    size : int
        Segments, S, with 1 <= S <= T: PAA never upsamples.
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        `pyts` floors evenly spaced bounds (10 into 3 gives 3, 3, 4); `overlapping` is pyts with
        `overlapping=True`: all segments `ceil(T / S)` long, sharing samples where S does not divide T;
        `array_split` gives the first segments the longer share as NumPy and aeon do (4, 3, 3); `truncate`
        makes all segments `T // S` long and drops the tail, as Wang & Oates' own code does (3, 3, 3).

    Returns
    -------
    ndarray of int64, shape (size, 2), read-only

    Raises
    ------
    UserError
        For a size outside 1..T or an unknown segmentation.

    Examples
    --------
    >>> segment_bounds(10, 3).tolist()
    [[0, 3], [3, 6], [6, 10]]
    >>> segment_bounds(10, 3, "overlapping").tolist()
    [[0, 4], [3, 7], [6, 10]]
    >>> segment_bounds(10, 3, "array_split").tolist()
    [[0, 4], [4, 7], [7, 10]]
    >>> segment_bounds(10, 3, "truncate").tolist()
    [[0, 3], [3, 6], [6, 9]]
    """
    if segmentation not in get_args(Segmentation):
        raise unknown("segmentation", str(segmentation), get_args(Segmentation))
    if not 1 <= size <= length:
        raise UserError(
            f"image size {size} does not fit windows of {length} samples: PAA never upsamples; "
            f"choose a size from 1 to {length} or cut longer windows"
        )
    if segmentation == "overlapping":
        width = -(-length // size)
        starts = np.arange(size) * width - np.linspace(0, size * width - length, size).astype(np.int64)
        stops = starts + width
    elif segmentation == "pyts":
        bounds = np.linspace(0, length, size + 1).astype(np.int64)
        starts, stops = bounds[:-1], bounds[1:]
    else:
        whole, rest = divmod(length, size)
        lengths = np.full(size, whole)
        if segmentation == "array_split":
            lengths[:rest] += 1
        stops = np.cumsum(lengths)
        starts = stops - lengths
    spans = np.stack([starts, stops], axis=1)
    spans.flags.writeable = False
    return spans


@lru_cache(maxsize=64)
def averaging_matrix(length: int, size: int, segmentation: Segmentation = "pyts") -> np.ndarray:
    """Return the (T, S) float64 matrix whose product with a series is its PAA; read-only.

    Examples
    --------
    >>> averaging_matrix(4, 2)
    array([[0.5, 0. ],
           [0.5, 0. ],
           [0. , 0.5],
           [0. , 0.5]])
    """
    bounds = segment_bounds(length, size, segmentation)
    matrix = np.zeros((length, size))
    for segment, (start, stop) in enumerate(bounds):
        matrix[start:stop, segment] = 1.0 / (stop - start)
    matrix.flags.writeable = False
    return matrix


def floating(x: Any) -> Any:
    """Return `x` as an array or tensor of floats: whole numbers and lists become float64, floats stay as they are."""
    if isinstance(x, list | tuple):
        x = np.asarray(x)
    xp = array_namespace(x)
    return x if xp.isdtype(x.dtype, "real floating") else xp.astype(x, xp.float64)


def paa(x: Any, size: int, segmentation: Segmentation = "pyts") -> Any:
    """Average `x` over `size` segments of its last axis.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Series; the result has its type, device and floating dtype.
    size : int
        Segments, S <= T.
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        See `segment_bounds`.

    Returns
    -------
    array or tensor, shape (..., S)

    Examples
    --------
    >>> paa(np.array([1.0, 3.0, 5.0, 9.0]), 2)
    array([2., 7.])
    """
    x = floating(x)
    xp = array_namespace(x)
    matrix = averaging_matrix(int(x.shape[-1]), size, segmentation)
    return xp.matmul(x, xp.asarray(matrix.copy(), dtype=x.dtype, device=device(x)))
