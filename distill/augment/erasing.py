"""A rectangle of an image erased."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from distill.augment.chance import changed_where_drawn
from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor

_TRIES = 10


def erasing(
    images: Tensor,
    streams: Streams,
    *,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    value: float = 0.0,
    p: float = 0.5,
) -> Tensor:
    """Erase a random rectangle of each image, in all channels.

    Source: Z. Zhong et al., "Random Erasing Data Augmentation", arXiv:1708.04896; defaults and drawing as
    `torchvision.transforms.v2.RandomErasing`. That one erases the same rectangle of a whole batch and draws it from
    torch's global stream, so the little arithmetic is done here with the draws of the window.

    Parameters
    ----------
    images : Tensor, shape (window, channel, height, width)
    streams : Streams
    scale : (float, float)
        Range of the erased share of the area, uniform.
    ratio : (float, float)
        Range of height over width, uniform in its logarithm.
    value : float
        Put in the place.
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
    >>> erased = erasing(torch.ones(1, 2, 32, 32), streams, p=1.0)
    >>> 0.02 <= (erased == 0).float().mean().item() <= 0.35
    True
    """

    def erased(x: Tensor, own: Streams) -> Tensor:
        top, left, height, width = rectangles(own, x.shape[2], x.shape[3], scale, ratio).T[:, :, None]
        row, column = np.arange(x.shape[2]), np.arange(x.shape[3])
        rows, columns = (row >= top) & (row < top + height), (column >= left) & (column < left + width)
        inside = placed(rows[:, :, None] & columns[:, None, :], x)
        return x.masked_fill(inside[:, None], value)

    return changed_where_drawn(images, streams, "erasing", p, erased)


def rectangles(
    streams: Streams, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    """Draw a rectangle in each image: the first of ten that is smaller than the image, else an empty one.

    Returns
    -------
    ndarray of int64, shape (window, 4)
        Top, left, height and width.

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> rectangles(Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"])), 32, 32, (0.25, 0.25), (1.0, 1.0))[0, 2:]
    array([16, 16])
    """
    shares, logs = streams.uniform("erasing: area and ratio", 2 * _TRIES).reshape(-1, 2, _TRIES).transpose(1, 0, 2)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * shares)
    aspect = np.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * logs)
    heights, widths = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (heights < height) & (widths < width)
    first = fits.argmax(axis=1)[:, None]
    sides = np.concatenate([np.take_along_axis(side, first, axis=1) for side in (heights, widths)], axis=1)
    sides *= fits.any(axis=1, keepdims=True)
    corner = np.floor(streams.uniform("erasing: corner", 2) * (np.array([height, width]) - sides + 1))
    return np.concatenate([corner, sides], axis=1).astype(np.int64)
