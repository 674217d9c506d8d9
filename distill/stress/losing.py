"""Samples that never arrived: scattered or in one piece, an exact share of every window, in all channels at once."""

from __future__ import annotations

import numpy as np

from distill.augment.streams import Streams
from tsimage.errors import UserError


def missing(values: np.ndarray, streams: Streams, *, share: float) -> np.ndarray:
    """Lose single samples at random; in their place the last one that arrived is held.

    Before the first one that arrived, that one stands. Which samples are lost at a smaller share are lost at a greater too.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
        Of these windows.
    share : float
        Of the samples of each window, 0 or more and below 1; rounded to whole samples, see `lost`.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> x = np.arange(10, dtype=np.float32)[None, None]
    >>> made = missing(x, Streams(seed=0, epoch=0, ids_hash=hash_ids(["a"])), share=0.3)
    >>> int((made != x).sum())
    3
    """
    length = values.shape[2]
    draw = streams.uniform("stress: missing", length)
    gone = np.argsort(np.argsort(draw, axis=1, kind="stable"), axis=1) < lost(share, length)
    time = np.where(gone, -1, np.arange(length))
    first = np.argmin(gone, axis=1)[:, None]
    source = np.maximum(np.maximum.accumulate(time, axis=1), first)
    return np.take_along_axis(values, source[:, None, :], axis=2)


def gap(values: np.ndarray, streams: Streams, *, share: float) -> np.ndarray:
    """Lose one stretch of samples; a straight line fills it, as `tsimage` fills gaps of recordings.

    At either end of the window, where there is one neighbour, its value is held.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
    share : float
        As for `missing`.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> x = np.array([0, 1, 4, 9, 16, 25, 36, 49], dtype=np.float32)[None, None]
    >>> gap(x, Streams(seed=1, epoch=0, ids_hash=hash_ids(["a"])), share=0.25).tolist()
    [[[0.0, 1.0, 4.0, 9.0, 16.0, 27.0, 38.0, 49.0]]]
    """
    length = values.shape[2]
    count = lost(share, length)
    if count == 0:
        return values.copy()
    start = (streams.uniform("stress: gap", 1) * (length - count + 1)).astype(np.int64)  # (window, 1)
    before, after = start - 1, start + count
    left, right = np.where(before < 0, after, before), np.where(after == length, before, after)
    time = np.arange(length)
    weight = ((time - before) / (count + 1))[:, None, :]
    ends = [np.take_along_axis(values, end[:, None, :], axis=2).astype(np.float64) for end in (left, right)]
    line = ends[0] + weight * (ends[1] - ends[0])
    gone = (time >= start) & (time < after)
    return np.where(gone[:, None, :], line, values).astype(np.float32)


def lost(share: float, length: int) -> int:
    """Return how many of `length` samples a share is, halves rounded up.

    Raises
    ------
    UserError
        If it is not at least 0 and below 1, or if no sample is left.

    Examples
    --------
    >>> lost(0.15, 128), lost(0.0, 128)
    (19, 0)
    """
    count = int(share * length + 0.5) if 0 <= share < 1 else length
    if count >= length:
        raise UserError(f"share {share:g} of {length} samples is not allowed: it must be 0 or more, and leave a sample")
    return count
