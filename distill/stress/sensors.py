"""A sensor that is worn askew, has another gain, drifts, dies on one axis, or gets stuck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from distill.augment.rotation import rotations, turned
from distill.augment.streams import Streams
from distill.stress.losing import lost


def rotation(
    values: np.ndarray, streams: Streams, *, degrees: float, triples: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """Turn the device by an angle about an axis that is random in every window; all its sensors turn together.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
        Of these windows.
    degrees : float
        The angle, the same for all windows; the axis of a window is the same for all angles.
    triples : sequence of (int, int, int)
        Channels x, y and z of each sensor, see `tsimage.triples.find_triples`; other channels stay.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> lying = np.array([0.0, 0.0, 9.81], np.float32).reshape(1, 3, 1)
    >>> made = rotation(lying, Streams(seed=0, epoch=0, ids_hash=hash_ids(["a"])), degrees=90, triples=[(0, 1, 2)])
    >>> bool((made == lying).any()), round(float(np.linalg.norm(made)), 2)
    (False, 9.81)
    """
    if degrees == 0:
        return values.copy()
    height, turn = streams.uniform("stress: rotation", 2).T
    matrices = rotations(height, turn, np.full(len(values), np.deg2rad(degrees)))
    return turned(torch.from_numpy(values), matrices, triples).numpy()


def scaling(values: np.ndarray, *, factor: float) -> np.ndarray:
    """Multiply all channels by a factor, as of a sensor set to another range."""
    return values * np.float32(factor)


def drift(values: np.ndarray, streams: Streams, *, slope: float, std: np.ndarray) -> np.ndarray:
    """Add a straight line to each channel: nothing at the first sample, `slope` training deviations at the last.

    Up or down, by window and channel at random, the same for all slopes.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    streams : Streams
    slope : float
    std : ndarray of float64, shape (channel,)
        Of the training windows.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> drift(np.zeros((1, 1, 3), np.float32), Streams(seed=0, epoch=0, ids_hash=hash_ids(["a"])), slope=2.0, std=np.ones(1))
    array([[[ 0., -1., -2.]]], dtype=float32)
    """
    sign = np.where(streams.uniform("stress: drift", values.shape[1]) < 0.5, -1.0, 1.0)
    line = np.linspace(0.0, slope, values.shape[2])
    return (values + (sign * std)[:, :, None] * line).astype(np.float32)


def dropped(values: np.ndarray, *, channel: int, mean: np.ndarray) -> np.ndarray:
    """Set a channel to its training mean, which is 0 to a network that standardises.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    channel : int
    mean : ndarray of float64, shape (channel,)
        Of the training windows.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> dropped(np.ones((1, 2, 2), np.float32), channel=1, mean=np.array([5.0, 7.0])).tolist()
    [[[1.0, 1.0], [7.0, 7.0]]]
    """
    made = values.copy()
    made[:, channel] = mean[channel]
    return made


def stuck(values: np.ndarray, *, share: float) -> np.ndarray:
    """Let all channels repeat one value to the end of the window.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    share : float
        Of the window, at its end, that repeats the value of its first sample; see `distill.stress.losing.lost`.

    Returns
    -------
    ndarray of float32, same shape

    Examples
    --------
    >>> stuck(np.arange(6, dtype=np.float32)[None, None], share=1 / 3).tolist()
    [[[0.0, 1.0, 2.0, 3.0, 4.0, 4.0]]]
    """
    made = values.copy()
    first = values.shape[2] - lost(share, values.shape[2])
    made[:, :, first:] = values[:, :, first : first + 1]
    return made
