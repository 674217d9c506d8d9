"""Smooth random curves: cubic splines through a few random heights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from distill.augment.streams import Streams


def smooth_curves(
    streams: Streams, purpose: str, curves: int, length: int, knots: int, sigma: float, dtype: DTypeLike = np.float64
) -> np.ndarray:
    """Draw smooth curves about 1: cubic splines through `knots` + 2 heights from N(1, sigma^2), equally spaced.

    Parameters
    ----------
    streams : Streams
    purpose : str
        Names the draw.
    curves : int
        Curves of each window.
    length : int
        Samples of a curve.
    knots : int
        Heights between the first sample and the last, at least 1.
    sigma : float
    dtype : float32 or float64
        Of the curves; the heights are drawn in float64.

    Returns
    -------
    ndarray of `dtype`, shape (window, curves, length)

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"]))
    >>> smooth_curves(streams, "heights", 2, 100, knots=4, sigma=0.2).shape
    (1, 2, 100)
    """
    points = knots + 2
    heights = 1 + sigma * streams.normal(purpose, curves * points)
    heights = heights.reshape(len(streams), curves, points).astype(dtype)
    basis = spline_basis(points, length).astype(dtype)
    # point by point and no matmul: its rounding would depend on how many windows the batch has
    total = heights[:, :, :1] * basis[0]
    part = np.empty_like(total)
    for k in range(1, points):
        np.multiply(heights[:, :, k : k + 1], basis[k], out=part)
        total += part
    return total


@lru_cache(maxsize=32)
def spline_basis(points: int, length: int) -> np.ndarray:
    """Return the cubic splines through 1 at one of `points` equally spaced places and 0 at the others.

    Ends are "not a knot", as SciPy's default.

    Returns
    -------
    ndarray of float64, shape (points, length)
        Read only.

    Examples
    --------
    >>> (spline_basis(3, 5).T @ [0.0, 1.0, 4.0]).tolist()  # x^2 at 0, 0.5, 1, 1.5, 2
    [0.0, 0.25, 1.0, 2.25, 4.0]
    """
    from scipy.interpolate import CubicSpline

    basis = CubicSpline(np.linspace(0, 1, points), np.eye(points))(np.linspace(0, 1, length)).T.copy()
    basis.flags.writeable = False
    return basis
