"""Images as float16 or whole numbers: a half or a quarter of the bytes, with a known largest error.

    code = round((value - low) / (high - low) * levels)        value = low + (high - low) * code / levels

with `levels` 255 for uint8 and 65535 for uint16, and (low, high) the range of the image channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsimage.errors import UserError

LEVELS = {"uint8": 255, "uint16": 65535}


def encode(images: np.ndarray, bounds: np.ndarray, dtype: Any) -> np.ndarray:
    """Turn float images into whole numbers.

    Parameters
    ----------
    images : ndarray of floats, shape (..., channel, height, width)
    bounds : ndarray, shape (channel, 2)
        Lowest and highest value of each channel; values outside are clipped to them.
    dtype : {"uint8", "uint16"} or their NumPy types

    Returns
    -------
    ndarray

    Raises
    ------
    UserError
        For NaN, which no whole number stands for.

    Examples
    --------
    >>> encode(np.array([[[-1.0, 0.0, 1.0]]]), np.array([[-1.0, 1.0]]), "uint8").tolist()
    [[[0, 128, 255]]]
    """
    levels = LEVELS[np.dtype(dtype).name]
    low, high = _columns(bounds)
    scaled = (images - low) * (levels / (high - low))
    if np.isnan(scaled).any():
        raise UserError(f"images hold NaN, which {np.dtype(dtype)} cannot store: choose dtype float32 or float16")
    return np.floor(np.clip(scaled, 0, levels) + 0.5).astype(dtype)


def decode(codes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Turn stored images of any dtype into float32: whole numbers by the formula above, floats by a cast.

    Examples
    --------
    >>> decode(np.array([[[0, 51, 255]]], dtype=np.uint8), np.array([[0.0, 1.0]])).round(6).tolist()
    [[[0.0, 0.20000000298023224, 1.0]]]
    """
    if codes.dtype.name not in LEVELS:
        return codes.astype(np.float32)
    low, high = _columns(bounds)
    step = (high - low) / LEVELS[codes.dtype.name]
    return (codes * step + low).astype(np.float32)


def largest_error(bounds: np.ndarray, dtype: Any) -> np.ndarray:
    """Return how far a whole number can stand from a painted value within the bounds, by channel: half a step.

    Examples
    --------
    >>> largest_error(np.array([[-1.0, 1.0]]), "uint8").round(5).tolist()
    [0.00392]
    """
    bounds = np.asarray(bounds, dtype=np.float64)
    return (bounds[:, 1] - bounds[:, 0]) / (2 * LEVELS[np.dtype(dtype).name])


def _columns(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ends = np.asarray(bounds, dtype=np.float64)[:, :, None, None]
    return ends[:, 0], ends[:, 1]
