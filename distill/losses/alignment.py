"""How maps over an image and maps over a signal meet: both as functions of time, of the shorter of the two lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from tsimage.errors import UserError


def aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps over the same positions.

    A map over an image meets a map over a signal as a function of time, see `over_time`. Of two axes that differ in
    length the longer is averaged down to the shorter, see `shortened`.

    Parameters
    ----------
    a, b : Tensor, each (window, channel, time) or (window, channel, height, width)

    Returns
    -------
    tuple of Tensor
        (window, channel, time) unless both are maps over images; windows and channels are as they were.

    Raises
    ------
    UserError
        For a map over an image that is not square where the other is one over a signal.

    Examples
    --------
    >>> [x.shape[1:] for x in aligned(torch.zeros(2, 16, 128), torch.zeros(2, 48, 64, 64))]
    [torch.Size([16, 64]), torch.Size([48, 64])]
    """
    if a.ndim != b.ndim:
        a, b = (over_time(x) if x.ndim == 4 else x for x in (a, b))
    for axis in range(2, a.ndim):
        size = min(a.shape[axis], b.shape[axis])
        a, b = (shortened(x.movedim(axis, -1), size).movedim(-1, axis) for x in (a, b))
    return a, b


def over_time(maps: Tensor) -> Tensor:
    """Return maps over a square image as functions of time: the mean over its rows and the mean over its columns, halved.

    In an image of T segments by T segments, as GASF, GADF, MTF or RP, row i and column i both are segment i of the
    window, so position i of either mean is the same stretch of time. A map cannot show what its axes are: an image
    that is square but not of this kind, as a spectrogram, is for the caller to refuse.

    Parameters
    ----------
    maps : Tensor, shape (window, channel, T, T)

    Returns
    -------
    Tensor, shape (window, channel, T)

    Raises
    ------
    UserError
        For maps that are not square.

    Examples
    --------
    >>> over_time(torch.tensor([[[[4.0, 0.0], [2.0, 0.0]]]])).tolist()
    [[[2.5, 0.5]]]
    """
    height, width = maps.shape[2:]
    if height != width:
        raise UserError(
            f"maps of {height} x {width} cannot be compared over time: both axes of the image must be the same time, "
            "as of gasf, gadf, mtf and rp"
        )
    return (maps.mean(dim=2) + maps.mean(dim=3)) / 2


def shortened(x: Tensor, size: int) -> Tensor:
    """Return x averaged along its last axis over `size` intervals of equal length; a value on a border counts in part.

    It is a product with a constant matrix, so that its gradient is the same in every run also on a GPU, where that of
    `adaptive_avg_pool1d` is not.

    Parameters
    ----------
    x : Tensor, shape (..., time)
    size : int
        1 to time.

    Returns
    -------
    Tensor, shape (..., size)

    Examples
    --------
    >>> shortened(torch.tensor([0.0, 3.0, 6.0]), 2).tolist()
    [1.0, 5.0]
    """
    length = x.shape[-1]
    if size == length:
        return x
    borders = torch.arange(size + 1, device=x.device, dtype=torch.float64) * length / size
    positions = torch.arange(length, device=x.device, dtype=torch.float64)
    overlap = torch.minimum(borders[1:, None], positions + 1) - torch.maximum(borders[:-1, None], positions)
    return x @ (overlap.clamp(min=0) * size / length).to(x.dtype).mT
