"""Gramian angular fields.

Source: Z. Wang and T. Oates, "Imaging Time-Series to Improve Classification and Imputation",
IJCAI 2015, arXiv:1506.00327. A series scaled to [-1, 1] is read as cosines of angles phi:

    GASF_ij = cos(phi_i + phi_j) = c_i c_j - s_i s_j        symmetric
    GADF_ij = sin(phi_i - phi_j) = s_i c_j - c_i s_j        antisymmetric, zero diagonal

On [-1, 1], GASF(x) equals GASF(-x) exactly (up and down look the same) and GADF changes sign.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError, unknown
from tsimage.segments import Segmentation, floating, paa

Order = Literal["paa-then-scale", "scale-then-paa"]


def check_target(target: tuple[float, ...]) -> tuple[float, float]:
    """Return the two ends of the range that series are scaled to, inside [-1, 1].

    Raises
    ------
    UserError
        For anything else.
    """
    if len(target) != 2 or not -1 <= target[0] < target[1] <= 1:
        raise UserError(f"target range {target} is not allowed: it must satisfy -1 <= low < high <= 1")
    return target[0], target[1]


def angles(
    x: Any,
    size: int,
    limits: Any | None,
    target: tuple[float, float],
    order: Order,
    segmentation: Segmentation,
) -> tuple[Any, Any]:
    """Return cosine and sine of the angles of the PAA'd series, each (..., S): all that both fields need.

    With p = 1 + c and q = 1 - c formed from the distances to the two ends of the range, c = (p - q) / 2
    and s = sqrt(p q): no digits are lost where |c| is near 1, as they are in sqrt(1 - c^2). Scaling is
    affine, so it commutes with PAA; only where the range is taken from depends on the order.
    """
    x = floating(x)
    xp = array_namespace(x)
    if order not in get_args(Order):
        raise unknown("order", str(order), get_args(Order))
    lo, hi = check_target(target)
    short = paa(x, size, segmentation)
    if limits is None:
        source = x if order == "scale-then-paa" else short
        low, high = xp.min(source, axis=-1, keepdims=True), xp.max(source, axis=-1, keepdims=True)
        # Constant is a range below 10 eps, or below what rounding leaves of the mean of a segment.
        rounding = max(10, x.shape[-1] // size) * xp.max(xp.abs(x), axis=-1, keepdims=True)
        constant = (high - low) <= xp.finfo(x.dtype).eps * xp.clip(rounding, min=10.0)
    else:
        bounds = np.array(limits, dtype=np.float64)
        if not (bounds[..., 1] > bounds[..., 0]).all():
            raise UserError(f"limits {limits} are not allowed: each lower limit must be below its upper limit")
        ends = xp.asarray(bounds, dtype=x.dtype, device=device(x))
        low, high = ends[..., :1], ends[..., 1:]
        short = (
            paa(_clip(xp, x, low, high), size, segmentation)
            if order == "scale-then-paa"
            else _clip(xp, short, low, high)
        )
        constant = xp.zeros_like(low, dtype=xp.bool)
    span = xp.where(constant, 1.0, high - low)
    above, below = (short - low) / span, (high - short) / span
    # Rounding in the means may leave a PAA'd value a hair outside the range of the raw series.
    above, below = xp.clip(above, min=0.0), xp.clip(below, min=0.0)
    above, below = xp.where(constant, 0.0, above), xp.where(constant, 1.0, below)
    p, q = (1 + lo) + (hi - lo) * above, (1 - hi) + (hi - lo) * below
    square = p * q
    # The root has no slope at the ends of the range, where its gradient is taken as 0: an end of the series' own range
    # is mapped there whatever its value, and beyond a fixed range nothing moves.
    inside = square > 0
    return (p - q) / 2, xp.where(inside, xp.sqrt(xp.where(inside, square, 1.0)), 0.0)


def _clip(xp: Any, x: Any, low: Any, high: Any) -> Any:
    return xp.minimum(xp.maximum(x, low), high)


def gasf(
    x: Any,
    size: int,
    *,
    limits: Any | None = None,
    target: tuple[float, float] = (-1.0, 1.0),
    order: Order = "paa-then-scale",
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as Gramian angular summation fields, cos(phi_i + phi_j).

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series; floats are computed in their own precision, so pass float64 where digits matter.
    size : int
        Side S of the image, 1 <= S <= T.
    limits : array-like, shape (2,) or broadcastable to (..., 2), optional
        Fixed range (low, high) in the units of `x` that is mapped to `target`; values outside are
        clipped. By default each series is scaled by its own minimum and maximum, as in the paper.
    target : (float, float)
        The range of the scaled values inside [-1, 1]: (-1, 1), or (0, 1) where the diagonal must be invertible.
    order : {"paa-then-scale", "scale-then-paa"}
        Where the minimum and maximum are taken (pyts: after PAA; Wang & Oates: before).
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the outer products and of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), values in [-1, 1]
        A constant series (range within the rounding of its means) scaled by its own range becomes the
        lower end of `target`, as in pyts: all +1 for (-1, 1).

    Raises
    ------
    UserError
        For S > T, limits out of order, or a target outside [-1, 1].

    Examples
    --------
    >>> gasf(np.array([0.0, 1.0, 2.0]), 3) + 0.0
    array([[ 1.,  0., -1.],
           [ 0., -1.,  0.],
           [-1.,  0.,  1.]])
    """
    return summation(*angles(x, size, limits, target, order, segmentation), dtype)


def gadf(
    x: Any,
    size: int,
    *,
    limits: Any | None = None,
    target: tuple[float, float] = (-1.0, 1.0),
    order: Order = "paa-then-scale",
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as Gramian angular difference fields, sin(phi_i - phi_j).

    Parameters, result and errors are those of `gasf`; the image is antisymmetric and a constant series gives 0.

    Examples
    --------
    >>> gadf(np.array([0.0, 1.0, 2.0]), 3) + 0.0
    array([[ 0.,  1.,  0.],
           [-1.,  0.,  1.],
           [ 0., -1.,  0.]])
    """
    return difference(*angles(x, size, limits, target, order, segmentation), dtype)


def summation(c: Any, s: Any, dtype: Any = None) -> Any:
    """Return cos(phi_i + phi_j) (..., S, S) from the cosines and sines (..., S) that `angles` gives."""
    c, s = _cast(c, s, dtype)
    image = c[..., :, None] * c[..., None, :]
    image -= s[..., :, None] * s[..., None, :]
    return image


def difference(c: Any, s: Any, dtype: Any = None) -> Any:
    """Return sin(phi_i - phi_j) (..., S, S) from the cosines and sines (..., S) that `angles` gives."""
    c, s = _cast(c, s, dtype)
    upper = s[..., :, None] * c[..., None, :]
    xp = array_namespace(upper)
    return upper - xp.matrix_transpose(upper)


def _cast(c: Any, s: Any, dtype: Any) -> tuple[Any, Any]:
    if dtype is None:
        return c, s
    xp = array_namespace(c)
    return xp.astype(c, dtype, copy=False), xp.astype(s, dtype, copy=False)
