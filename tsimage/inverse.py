"""Series back from Gramian angular fields.

Source: Z. Wang and T. Oates, arXiv:1506.00327, for the diagonal of a GASF on [0, 1]. What the mathematics leaves
open, with c the scaled series, phi = arccos(c) in [0, pi] and s = sin(phi) >= 0:

- The diagonal GASF_ii = 2 c_i^2 - 1 fixes |c| and s; with s, GASF fixes c c^T, hence c up to one sign for the whole
  series: GASF(c) = GASF(-c). A target range without both signs, such as [0, 1], settles it.
- GADF(-c) = -GADF(c), so the pair settles the sign unless GADF = 0, that is sin(phi_i - phi_j) = 0 for all i, j:
  the series is constant (and not 0), or all its samples lie at the ends -1 and 1, as those of every two-valued series
  scaled by its own range do.
- A constant series scaled by its own range was painted as the lower end of the range: only `limits` hold its value.

The diagonal alone loses half the digits where c is near 0, because -1 + 2 c^2 rounds c away. All entries together
keep them: GADF holds phi_i - phi_j, and GASF phi_i + phi_j, to first order. So the angles are fitted to all entries
by least squares (damped Gauss-Newton steps within the angles of the target range), starting from the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError, unknown
from tsimage.fields.gramian import check_target
from tsimage.segments import floating

Sign = Literal["raise", "positive", "negative"]
Entries = Literal["all", "diagonal"]

_STEPS = 12
_CHUNK_PIXELS = 1 << 20
_ROUNDING = 16
"""Units in the last place that the images may lie outside [-1, 1], and that count as no evidence for a sign."""


def from_gasf(
    images: Any,
    *,
    target: tuple[float, float] = (0.0, 1.0),
    limits: Any | None = None,
    entries: Entries = "all",
    sign: Sign = "raise",
    tolerance: float = 0.05,
) -> Any:
    """Return the series of which these are the Gramian angular summation fields.

    Parameters
    ----------
    images : array or tensor, shape (..., S, S), values in [-1, 1]
        GASF; stored whole numbers must be brought back to [-1, 1] first.
    target : (float, float)
        The range of the scaled values with which the images were painted.
    limits : array-like, shape (2,) or broadcastable to (..., 2), optional
        What was mapped to `target`, in original units: the stored minimum and maximum of each series (of the PAA'd
        series with the order paa-then-scale, of the raw one with scale-then-paa), or the fixed range. Without them
        the scaled series comes back.
    entries : {"all", "diagonal"}
        `all` fits the series to all entries. `diagonal` takes c = sqrt((G_ii + 1) / 2) and reads nothing else; it
        suits images that are no series' exact GASF, such as a network's, and targets of one sign.
    sign : {"raise", "positive", "negative"}
        Where the sign of a series is open: raise, or give this sign to its first clearly nonzero scaled value, which
        is the first at least half as large as the largest.
    tolerance : float
        Largest root mean square distance between an image and that of the series found, with `entries="all"`.

    Returns
    -------
    array or tensor, shape (..., S)
        In the floating dtype of `images`; computed in float64 where the device has it. PAA is not undone: the mean
        of each segment comes back. What fixed limits clipped comes back clipped, and with scale-then-paa the samples
        were clipped before the mean.

    Raises
    ------
    UserError
        For images that are not square, not finite, outside [-1, 1] beyond rounding, or that no series in `target`
        has; for a target or limits out of order; where the sign is open and `sign="raise"`.

    Notes
    -----
    Largest error of scaled series of 8 to 64 samples, of images painted in float64, in float32, and rounded to 8 bits
    over [-1, 1]:

    =======================================  =======  =======  ======
    series                                   float64  float32  8 bits
    =======================================  =======  =======  ======
    own range, target (0, 1)                 6e-16    2e-7     8e-3
    own range, target (0, 1), `diagonal`     2e-8     3e-4     5e-2
    own range, target (-1, 1), up to sign    5e-16    1e-7     5e-3
    below 0.01, target (-1, 1), up to sign   5e-14    2e-5     1e-2
    =======================================  =======  =======  ======

    Images with an error of eps allow no less than about eps divided by the largest value; and sqrt(eps) where every
    sample is near 0 or an end, because the same small angle between both changes the images by its square only.

    Examples
    --------
    >>> from tsimage import gasf
    >>> from_gasf(gasf(np.array([3.0, 5.0, 7.0]), 3, target=(0, 1)), limits=(3, 7)).round(12)
    array([3., 5., 7.])
    """
    return _invert(images, None, target, limits, entries, sign, tolerance)


def from_pair(
    gasf: Any,
    gadf: Any,
    *,
    target: tuple[float, float] = (-1.0, 1.0),
    limits: Any | None = None,
    sign: Sign = "raise",
    tolerance: float = 0.05,
) -> Any:
    """Return the series of which these are the Gramian angular summation and difference fields.

    Parameters, result and errors are those of `from_gasf`, with a second image of the same shape. The sign is open
    only where the GADF vanishes, or is lost in the noise of the pixels: for constant series, and series that lie at the
    ends -1 and 1 throughout. With `limits` that coincide nothing depends on it and nothing is raised.

    Notes
    -----
    Largest error of the scaled series, measured as for `from_gasf`:

    ========================  =======  =======  ======
    series                    float64  float32  8 bits
    ========================  =======  =======  ======
    own range                 5e-16    1e-7     4e-3
    below 0.01                1e-14    5e-6     1e-2
    below 0.0001              1e-12    3e-4     5e-3
    within 0.0001 of 0.5      3e-16    1e-7     4e-3
    ========================  =======  =======  ======

    What is lost in small series is their common offset; the differences between samples keep the digits of the GADF.

    Examples
    --------
    >>> import tsimage
    >>> x = np.array([0.0, 1.0, 4.0, 3.0])
    >>> from_pair(tsimage.gasf(x, 4), tsimage.gadf(x, 4), limits=(0, 4)).round(12) + 0.0
    array([0., 1., 4., 3.])
    """
    return _invert(gasf, gadf, target, limits, "all", sign, tolerance)


def _invert(
    gasf: Any,
    gadf: Any | None,
    target: tuple[float, float],
    limits: Any | None,
    entries: Entries,
    sign: Sign,
    tolerance: float,
) -> Any:
    low, high = check_target(target)
    if entries not in get_args(Entries):
        raise unknown("entries", str(entries), get_args(Entries))
    if sign not in get_args(Sign):
        raise unknown("sign", str(sign), get_args(Sign))
    if entries == "diagonal" and low < 0 < high:
        raise UserError(f"entries 'diagonal' give no signs, but the target range {target} has both: use entries='all'")
    gasf = _checked(gasf, "GASF")
    gadf = None if gadf is None else _checked(gadf, "GADF")
    if gadf is not None and gadf.shape != gasf.shape:
        raise UserError(
            f"a GASF of shape {tuple(gasf.shape)} and a GADF of shape {tuple(gadf.shape)} are no pair: "
            "give both images of the same series, equal in shape"
        )
    xp, where = array_namespace(gasf), device(gasf)
    *batch, size, _ = (int(n) for n in gasf.shape)
    bounds = None if limits is None else _bounds(limits, tuple(batch))
    work = xp.float32 if str(where).startswith("mps") else xp.float64
    if entries == "diagonal":
        c = xp.sqrt(xp.clip((xp.astype(xp.linalg.diagonal(gasf), work) + 1) / 2, min=0.0))
        c = c if low >= 0 else -c
    else:
        eps = float(xp.finfo(gasf.dtype).eps)
        n, step = math.prod(batch), max(1, _CHUNK_PIXELS // size**2)
        summation = xp.reshape(gasf, (n, size, size))
        difference = None if gadf is None else xp.reshape(gadf, (n, size, size))
        parts = []
        for chunk in (slice(k, k + step) for k in range(0, max(n, 1), step)):
            other = None if difference is None else xp.astype(difference[chunk], work)
            parts.append(_series(xp.astype(summation[chunk], work), other, target, eps))
        c, other, is_open, distance = (xp.concat(part, axis=0) for part in zip(*parts, strict=True))
        too_far = distance > tolerance
        if bool(xp.any(too_far)):
            raise UserError(
                f"{_name(too_far, batch)} is of no series in the target range ({low:g}, {high:g}): the nearest one's "
                f"image differs by {float(distance[_first(too_far)]):.2g} (root mean square, tolerance {tolerance:g}); "
                "give the target it was painted with, undistorted images, or a larger tolerance"
            )
        if sign == "raise":
            _refuse_open_signs(is_open, bounds, batch, gadf is None)
        c = xp.where(is_open[:, None] & ((_leads(c) > 0) != (sign == "positive")), other, c)
        c = xp.reshape(c, (*batch, size))
    c = xp.clip(c, min=low, max=high)
    if bounds is not None:
        ends = xp.asarray(bounds, dtype=work, device=where)
        share = (c - low) / (high - low)
        c = ends[..., :1] * (1 - share) + ends[..., 1:] * share
    return xp.astype(c, gasf.dtype, copy=False)


def _series(gasf: Any, gadf: Any | None, target: tuple[float, float], eps: float) -> tuple[Any, Any, Any, Any]:
    """Return scaled series (n, S), the other candidates, whether the choice is open (n,), and the image distance (n,)."""
    xp = array_namespace(gasf)
    low, high = target
    within = math.acos(high), math.acos(low)
    diagonal = xp.clip(xp.linalg.diagonal(gasf), min=-1.0, max=1.0)
    c, s = xp.sqrt((1 + diagonal) / 2), xp.sqrt((1 - diagonal) / 2)
    settled = xp.ones_like(c[:, 0], dtype=xp.bool)
    if high <= 0:
        c = -c
    elif low < 0:
        # c_i c_r = GASF_ir + s_i s_r gives the signs relative to the sample r with the largest |c|.
        place = xp.arange(c.shape[-1], device=device(c))
        largest = xp.astype(place == xp.argmax(c, axis=-1, keepdims=True), c.dtype)
        product = xp.sum(gasf * largest[:, None, :], axis=-1) + s * xp.sum(s * largest, axis=-1, keepdims=True)
        c = xp.where(product < 0, -c, c)
        settled = ~settled
        if gadf is not None:
            expected = _outer(s, c) - _outer(c, s)
            near, far, norm = (_mean_square(one) for one in (gadf - expected, gadf + expected, gadf))
            c = xp.where((far < near)[:, None], -c, c)
            settled = xp.minimum(near, far) < norm / 4
    phi, distance = _fit(xp.atan2(s, c), gasf, gadf, within, eps)
    found = xp.cos(phi)
    if bool(xp.all(settled)):
        return found, found, ~settled, distance
    phi, other_distance = _fit(xp.atan2(s, -c), gasf, gadf, within, eps)
    other = xp.where(settled[:, None], found, xp.cos(phi))
    swap = ~settled & (other_distance < distance)
    found, other = xp.where(swap[:, None], other, found), xp.where(swap[:, None], found, other)
    worse = xp.maximum(distance, other_distance)
    distance = xp.where(swap, other_distance, distance)
    # Open are two mirrored candidates that explain the images about equally well, unless they are too small for
    # pixels near -1 to tell them from 0.
    alike = worse - distance <= xp.clip(worse / 2, min=_ROUNDING * eps)
    mirrored = xp.sum(found * other, axis=-1) < 0
    visible = xp.max(xp.abs(found), axis=-1) > (2 * eps) ** 0.5
    return found, other, ~settled & alike & mirrored & visible, distance


def _fit(phi: Any, gasf: Any, gadf: Any | None, within: tuple[float, float], eps: float) -> tuple[Any, Any]:
    """Return the angles (n, S) nearest `phi` whose images are nearest the given ones, and their distance (n,)."""
    xp = array_namespace(phi)
    size = int(phi.shape[-1])
    unit = xp.eye(size, dtype=phi.dtype, device=device(phi))
    # What the images fix less sharply than their own rounding stays as it is, and the matrix stays regular.
    damping = max(eps, 4 * size**2 * float(xp.finfo(phi.dtype).eps))
    phi = xp.clip(phi, min=within[0], max=within[1])
    residuals, distance = _residuals(phi, gasf, gadf)
    for _ in range(_STEPS):
        c, s = xp.cos(phi), xp.sin(phi)
        slope = _outer(s, c) + _outer(c, s)
        square = slope**2
        gradient = -xp.sum((residuals[0] + xp.matrix_transpose(residuals[0])) * slope, axis=-1)
        curvature = 2 * (unit * xp.sum(square, axis=-1)[..., None] + square)
        if gadf is not None:
            slope = _outer(c, c) + _outer(s, s)
            square = slope**2
            gradient = gradient + xp.sum((residuals[1] - xp.matrix_transpose(residuals[1])) * slope, axis=-1)
            curvature = curvature + 2 * (unit * xp.sum(square, axis=-1)[..., None] - square)
        held = ((phi <= within[0]) & (gradient > 0)) | ((phi >= within[1]) & (gradient < 0))
        free = xp.astype(~held, phi.dtype)
        curvature = curvature * _outer(free, free) + unit * (damping + 1 - free)[..., None]
        step = xp.linalg.solve(curvature, (gradient * free)[..., None])[..., 0]
        trial = xp.clip(phi - step, min=within[0], max=within[1])
        trial_residuals, trial_distance = _residuals(trial, gasf, gadf)
        better, goes_on = trial_distance < distance, bool(xp.any(trial_distance < 0.9 * distance))
        phi = xp.where(better[:, None], trial, phi)
        residuals = [
            xp.where(better[:, None, None], new, old) for new, old in zip(trial_residuals, residuals, strict=True)
        ]
        distance = xp.where(better, trial_distance, distance)
        if not goes_on:
            break
    return phi, distance


def _residuals(phi: Any, gasf: Any, gadf: Any | None) -> tuple[list[Any], Any]:
    xp = array_namespace(phi)
    c, s = xp.cos(phi), xp.sin(phi)
    residuals = [_outer(c, c) - _outer(s, s) - gasf]
    if gadf is not None:
        residuals.append(_outer(s, c) - _outer(c, s) - gadf)
    return residuals, xp.sqrt(sum(_mean_square(one) for one in residuals) / len(residuals))


def _mean_square(images: Any) -> Any:
    xp = array_namespace(images)
    return xp.mean(xp.mean(images**2, axis=-1), axis=-1)


def _outer(a: Any, b: Any) -> Any:
    return a[..., :, None] * b[..., None, :]


def _leads(c: Any) -> Any:
    """Return the first clearly nonzero value of series (n, S), shape (n, 1)."""
    xp = array_namespace(c)
    clear = xp.abs(c) >= xp.max(xp.abs(c), axis=-1, keepdims=True) / 2
    place = xp.arange(c.shape[-1], device=device(c))
    first = place == xp.argmax(xp.astype(clear, xp.int64), axis=-1, keepdims=True)
    return xp.sum(xp.where(first, c, 0.0), axis=-1, keepdims=True)


def _refuse_open_signs(is_open: Any, bounds: np.ndarray | None, batch: list[int], alone: bool) -> None:
    matters = np.array(is_open.tolist(), dtype=bool)
    if bounds is not None:
        matters &= (bounds[..., 0] < bounds[..., 1]).reshape(-1)
    if matters.any():
        why = (
            "GASF(x) equals GASF(-x), so give the GADF too (from_pair), or"
            if alone
            else "its GADF vanishes, as for a constant series or one at the ends of the range throughout, so"
        )
        raise UserError(
            f"the sign of {_name(matters, batch)} is open: {why} state the sign of its first clearly nonzero value "
            "(sign='positive' or sign='negative')"
        )


def _checked(images: Any, field: str) -> Any:
    """Return the images as floats, or say what keeps them from being Gramian fields."""
    images = np.asarray(images) if isinstance(images, list | tuple) else images
    xp = array_namespace(images)
    if not xp.isdtype(images.dtype, ("real floating", "integral")):
        raise UserError(f"{field} of {images.dtype} is not real: give the images themselves")
    images = floating(images)
    shape = tuple(int(n) for n in images.shape)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] < 1:
        raise UserError(f"{field} of shape {shape} is not square: give images of shape (..., S, S)")
    finite = xp.all(xp.all(xp.isfinite(images), axis=-1), axis=-1)
    if not bool(xp.all(finite)):
        raise UserError(
            f"{field}: {_name(~finite, shape[:-2])} holds NaN or infinity: only finite images can be inverted"
        )
    largest = xp.max(xp.max(xp.abs(images), axis=-1), axis=-1)
    outside = largest > 1 + _ROUNDING * float(xp.finfo(images.dtype).eps)
    if bool(xp.any(outside)):
        raise UserError(
            f"{field}: {_name(outside, shape[:-2])} reaches {float(xp.max(largest)):.6g} in magnitude, but Gramian fields lie "
            "in [-1, 1]: bring stored whole numbers or rescaled pixels back to that range first"
        )
    return images


def _bounds(limits: Any, batch: tuple[int, ...]) -> np.ndarray:
    bounds = np.asarray(limits, dtype=np.float64)
    try:
        bounds = np.broadcast_to(bounds, (*batch, 2)).copy()
    except ValueError:
        raise UserError(
            f"limits of shape {bounds.shape} do not fit images of batch shape {batch}: give (low, high), or one such "
            f"pair per image, shape {(*batch, 2)}"
        ) from None
    if not (np.isfinite(bounds).all() and (bounds[..., 0] <= bounds[..., 1]).all()):
        raise UserError(f"limits {limits} are not allowed: each must be finite, the lower not above the upper")
    return bounds


def _first(mask: Any) -> int:
    return int(np.argmax(np.asarray(mask.tolist(), dtype=bool).reshape(-1)))


def _name(mask: Any, batch: Sequence[int]) -> str:
    """Name the first image that the mask marks."""
    if not batch:
        return "the image"
    index = tuple(int(i) for i in np.unravel_index(_first(mask), tuple(batch)))
    return f"image {index[0] if len(index) == 1 else index}"
