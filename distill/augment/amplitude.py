"""Augmentations of how strong a sensor answers: noise, gain, smooth gain, silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distill.augment.chance import changed_where_drawn
from distill.augment.curves import smooth_curves
from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor


def jitter(
    values: Tensor, streams: Streams, *, scale: Sequence[float] | np.ndarray, sigma: float = 0.03, p: float = 1.0
) -> Tensor:
    """Add white noise of `sigma` times the standard deviation that each channel has in training.

    Source: T. T. Um et al., arXiv:1706.00527 (0.05 g); B. K. Iwana and S. Uchida, "An empirical survey of data
    augmentation for time series classification with neural networks", arXiv:2007.15951 (0.03 of normalised series).

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    scale : sequence of float, shape (channel,)
        Standard deviation of each channel over the training windows.
    sigma : float
        Share of it, above 0.
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
    >>> noisy = jitter(torch.zeros(1, 2, 1000), streams, scale=[1.0, 20.0], sigma=0.05)
    >>> 0.045 < noisy[0, 0].std().item() < 0.055, 0.9 < noisy[0, 1].std().item() < 1.1
    (True, True)
    """

    def noisy(x: Tensor, own: Streams) -> Tensor:
        noise = own.noise("jitter: noise", x.shape[1] * x.shape[2]).reshape(x.shape)
        noise *= (sigma * np.asarray(scale, dtype=np.float64)).astype(np.float32)[:, None]
        return x + placed(noise, x)

    return changed_where_drawn(values, streams, "jitter", p, noisy)


def scaling(values: Tensor, streams: Streams, *, sigma: float = 0.1, p: float = 1.0) -> Tensor:
    """Multiply each channel of a window by its own factor from N(1, sigma^2).

    Source: T. T. Um et al., arXiv:1706.00527.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    sigma : float
        Standard deviation of the factors, above 0.
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
    >>> scaled = scaling(torch.ones(1, 1, 3), Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"])))
    >>> bool((scaled == scaled[0, 0, 0]).all()), scaled[0, 0, 0].item() != 1
    (True, True)
    """

    def scaled(x: Tensor, own: Streams) -> Tensor:
        factors = 1 + sigma * own.normal("scaling: factors", x.shape[1])
        return x * placed(factors, x)[:, :, None]

    return changed_where_drawn(values, streams, "scaling", p, scaled)


def magnitude_warp(values: Tensor, streams: Streams, *, sigma: float = 0.2, knots: int = 4, p: float = 1.0) -> Tensor:
    """Multiply each channel of a window by its own smooth curve about 1.

    Source: T. T. Um et al., arXiv:1706.00527. The curve is a cubic spline through `knots` + 2 heights from N(1, sigma^2),
    equally spaced from the first sample to the last.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    sigma : float
        Standard deviation of the heights, above 0.
    knots : int
        Heights between the ends, at least 1.
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
    >>> warped = magnitude_warp(torch.ones(1, 1, 50), Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"])))
    >>> warped.diff().abs().max().item() < 0.2
    True
    """

    def warped(x: Tensor, own: Streams) -> Tensor:
        curves = smooth_curves(own, "magnitude_warp: heights", x.shape[1], x.shape[2], knots, sigma, np.float32)
        return x * placed(curves, x)

    return changed_where_drawn(values, streams, "magnitude_warp", p, warped)


def channel_dropout(values: Tensor, streams: Streams, *, rate: float = 0.2, p: float = 1.0) -> Tensor:
    """Silence channels at random, as of a sensor that is off: all their samples become 0; one channel always stays.

    Source: A. Saeed et al., "Learning from Heterogeneous EEG Signals with Differentiable Channel Reordering",
    arXiv:2010.13694.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    rate : float
        Probability that a channel falls silent, above 0 and below 1; where all would, the one that was nearest to staying stays.
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
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a", "b", "c"]))
    >>> channel_dropout(torch.ones(3, 3, 2), streams, rate=0.9).sum((1, 2))
    tensor([2., 2., 2.])
    """

    def silenced(x: Tensor, own: Streams) -> Tensor:
        chance = own.uniform("channel_dropout: channels", x.shape[1])
        silent = (chance < rate) & (chance < chance.max(axis=1, keepdims=True))
        return x.masked_fill(placed(silent, x)[:, :, None], 0.0)

    return changed_where_drawn(values, streams, "channel_dropout", p, silenced)
