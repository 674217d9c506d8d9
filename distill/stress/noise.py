"""White noise on windows: at an exact signal-to-noise ratio, or of a share of what a channel does in training."""

from __future__ import annotations

import math

import numpy as np

from distill.augment.streams import Streams
from tsimage.errors import UserError


def noise(values: np.ndarray, streams: Streams, *, snr_db: float) -> np.ndarray:
    """Add white Gaussian noise to every channel of every window at an exact signal-to-noise ratio.

    The power of the signal is the variance of the window's channel about its own mean: what is constant, gravity and
    offset, is no signal here. With it, the axis that happens to point down would get noise as strong as gravity and the
    others nearly none. The power of the noise is its mean square, as drawn and not as expected, so that the ratio is
    met in every window and channel, as far as samples of float32 can tell: SNR = 10 log10(var(x) / mean(n^2)). A channel
    that does not move in a window has no signal, and gets no noise.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
        Of these windows.
    snr_db : float
        In dB; infinity adds nothing.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    UserError
        If the ratio is NaN or minus infinity.

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> x = np.sin(np.arange(100, dtype=np.float32))[None, None] + 9.81
    >>> added = noise(x, Streams(seed=0, epoch=0, ids_hash=hash_ids(["a"])), snr_db=10) - x
    >>> round(10 * np.log10(x.var() / np.mean(added**2)).item(), 3)
    10.0
    """
    if math.isnan(snr_db) or snr_db == -math.inf:
        raise UserError(
            f"a signal-to-noise ratio of {snr_db} dB is not allowed: give a number, or infinity for no noise"
        )
    if snr_db == math.inf:
        return values.copy()
    wide = values.astype(np.float64)
    drawn = streams.normal("stress: noise", math.prod(values.shape[1:])).reshape(values.shape)
    drawn *= np.sqrt(wide.var(axis=2) / 10 ** (snr_db / 10) / np.square(drawn).mean(axis=2))[:, :, None]
    return (wide + drawn).astype(np.float32)


def jitter(values: np.ndarray, streams: Streams, *, sigma: float, std: np.ndarray) -> np.ndarray:
    """Add white Gaussian noise of a share of each channel's standard deviation in training.

    It is as strong in every window, whether somebody runs or lies; in the standardised signal that networks see its
    standard deviation is `sigma`.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
    sigma : float
        0 or more.
    std : ndarray of float64, shape (channel,)
        Of the training windows.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> still = np.zeros((1, 2, 10_000), np.float32)
    >>> noisy = jitter(still, Streams(seed=0, epoch=0, ids_hash=hash_ids(["a"])), sigma=0.1, std=np.array([1.0, 20.0]))
    >>> [round(float(std), 2) for std in noisy.std(axis=2)[0]]
    [0.1, 2.01]
    """
    drawn = streams.normal("stress: jitter", math.prod(values.shape[1:])).reshape(values.shape)
    return (values + sigma * std[:, None] * drawn).astype(np.float32)
