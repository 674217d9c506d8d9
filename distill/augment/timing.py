"""Augmentations of when things happen: a window moved, its clock warped, its pieces in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from distill.augment.chance import changed_where_drawn
from distill.augment.curves import smooth_curves
from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor

Border = Literal["edge", "reflect"]
_SLOWEST = 0.1  # of the mean speed: a spline may undershoot, and time must not stand still or run back


def shift(values: Tensor, streams: Streams, *, share: float = 0.1, border: Border = "edge", p: float = 1.0) -> Tensor:
    """Move a window by whole samples, at most `share` of its length to either side; all channels together.

    As if the window had been cut earlier or later; compare cropping in T. T. Um et al., arXiv:1706.00527, and window
    slicing in B. K. Iwana and S. Uchida, arXiv:2007.15951.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    share : float
        Above 0 and at most 0.5; the move is uniform among -n, ..., n with n = round(share x samples).
    border : {"edge", "reflect"}
        What fills the gap: the first or last sample, or the samples beside it mirrored without repeating it.
    p : float
        Probability of each window.

    Returns
    -------
    Tensor
        Same shape, type and device.

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"]))
    >>> shift(torch.arange(6.0).reshape(1, 1, 6), streams, share=0.5)
    tensor([[[2., 3., 4., 5., 5., 5.]]])
    """

    def moved(x: Tensor, own: Streams) -> Tensor:
        last, most = x.shape[2] - 1, round(share * x.shape[2])
        index = np.arange(last + 1) - (own.integers("shift: samples", 1, 2 * most + 1) - most)
        return _samples(x, np.clip(index, 0, last) if border == "edge" else last - np.abs(last - np.abs(index)))

    return changed_where_drawn(values, streams, "shift", p, moved)


def time_warp(values: Tensor, streams: Streams, *, sigma: float = 0.2, knots: int = 4, p: float = 1.0) -> Tensor:
    """Let the clock of a window run faster and slower, smoothly, and bring its first and last sample back to the ends.

    Source: T. T. Um et al., arXiv:1706.00527. The speed is a cubic spline through `knots` + 2 values from N(1, sigma^2);
    its running sum is when to look, between samples by linear interpolation. Their code warps each axis by itself; here
    all channels share one clock, as the sensors of a device do, and it never runs slower than 0.1.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    sigma : float
        Standard deviation of the speeds, above 0.
    knots : int
        Speeds between the ends, at least 1.
    p : float
        Probability of each window.

    Returns
    -------
    Tensor
        Same shape, type and device.

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"]))
    >>> warped = time_warp(torch.arange(50.0).reshape(1, 1, 50), streams)[0, 0]
    >>> warped[0].item(), warped[-1].item(), bool((warped.diff() > 0).all())
    (0.0, 49.0, True)
    """

    def warped(x: Tensor, own: Streams) -> Tensor:
        if x.shape[2] < 2:
            return x
        where = warped_positions(own, x.shape[2], sigma, knots)
        before = np.minimum(where.astype(np.int64), x.shape[2] - 2)
        after = placed(where - before, x)[:, None, :]
        return _samples(x, before) * (1 - after) + _samples(x, before + 1) * after

    return changed_where_drawn(values, streams, "time_warp", p, warped)


def warped_positions(streams: Streams, length: int, sigma: float, knots: int) -> np.ndarray:
    """Draw where a warped clock looks: float64, shape (window, length), rising from 0 to `length` - 1.

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> warped_positions(Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"])), 5, 0.2, 4).round(1).tolist()[0][::4]
    [0.0, 4.0]
    """
    speeds = smooth_curves(streams, "time_warp: speeds", 1, length, knots, sigma, np.float32)[:, 0]
    passed = np.cumsum(np.maximum(speeds, _SLOWEST), axis=1, dtype=np.float64)
    passed -= passed[:, :1].copy()
    return np.minimum(passed * ((length - 1) / passed[:, -1:]), length - 1)


def permutation(values: Tensor, streams: Streams, *, segments: int = 4, p: float = 1.0) -> Tensor:
    """Cut a window into segments of nearly equal length and put them in a random order; all channels together.

    Source: T. T. Um et al., arXiv:1706.00527 (four segments). All orders are equally likely, the given one too.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    segments : int
        At least 2; the first ones are longer by a sample where the length cannot be divided, as in `numpy.array_split`.
    p : float
        Probability of each window.

    Returns
    -------
    Tensor
        Same shape, type and device.

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"]))
    >>> permutation(torch.arange(8.0).reshape(1, 1, 8), streams, segments=4)
    tensor([[[2., 3., 6., 7., 0., 1., 4., 5.]]])
    """

    def permuted(x: Tensor, own: Streams) -> Tensor:
        length = x.shape[2]
        order = np.argsort(own.uniform("permutation: order", segments), axis=1)
        lengths = np.full(segments, length // segments) + (np.arange(segments) < length % segments)
        begins = np.cumsum(lengths) - lengths
        placed = lengths[order]
        moves = begins[order] - (np.cumsum(placed, axis=1) - placed)  # from where a segment now lies to where it was
        return _samples(x, np.arange(length) + np.repeat(moves.ravel(), placed.ravel()).reshape(len(own), length))

    return changed_where_drawn(values, streams, "permutation", p, permuted)


def _samples(values: Tensor, index: np.ndarray) -> Tensor:
    """Return the samples that stand at `index` (window, time), the same ones of every channel."""
    return values.gather(2, placed(index, values)[:, None, :].expand(-1, values.shape[1], -1))
