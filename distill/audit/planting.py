"""Signals that say only what a leak tells: signatures of groups, noise along raw samples, windows that stand twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from sklearn.metrics import pairwise_distances_argmin

from tsimage.windows import Windows

SAMPLES = 32
"""In a planted window; more than signatures of thousands of groups need to lie apart."""


def with_values(windows: Windows, values: np.ndarray) -> Windows:
    """Return windows of the same people, recordings, places, labels and parts with other values.

    Parameters
    ----------
    windows : Windows
    values : ndarray, shape (window, sample)
    """
    return replace(windows, values=values[:, None], channels=("planted",), units=("",), gaps=None, flags=None)


def numbered(names: np.ndarray) -> np.ndarray:
    """Number the groups of windows, given by name, from 0.

    >>> numbered(np.array(["bob", "ann", "bob"])).tolist()
    [1, 0, 1]
    """
    return np.unique(names, return_inverse=True)[1]


def signatures(groups: np.ndarray, rng: np.random.Generator, noise: float = 0.1) -> np.ndarray:
    """Draw a signature for every group and give it to each of its windows, with a little noise.

    Parameters
    ----------
    groups : ndarray of int64, shape (window,)
        From 0.
    rng : Generator
    noise : float
        Standard deviation; that of signatures is 1.

    Returns
    -------
    ndarray of float32, shape (window, 32)
    """
    drawn = rng.standard_normal((int(groups.max()) + 1, SAMPLES), dtype=np.float32)
    return drawn[groups] + np.float32(noise) * rng.standard_normal((len(groups), SAMPLES), dtype=np.float32)


def laid_noise(windows: Windows, rng: np.random.Generator) -> np.ndarray:
    """Lay white noise along the raw samples of every recording, and cut it where the windows were cut.

    Parameters
    ----------
    windows : Windows
        Of known recordings.
    rng : Generator

    Returns
    -------
    ndarray of float64, shape (window, sample)
        As many samples as the longest window has raw ones; what a shorter one lacks is noise of its own.
    """
    lengths = windows.stop - windows.start
    values = rng.standard_normal((len(windows), int(lengths.max())))
    inside = np.arange(values.shape[1]) < lengths[:, None]
    for index in _by_recording(windows):
        places = (windows.start[index][:, None] + np.arange(values.shape[1]))[inside[index]]
        samples, which = np.unique(places, return_inverse=True)
        rows = values[index]
        rows[inside[index]] = rng.standard_normal(len(samples))[which]
        values[index] = rows
    return values


def chains(windows: Windows) -> np.ndarray:
    """Number the chains of windows of which each overlaps the next; windows of different chains share no raw sample.

    Parameters
    ----------
    windows : Windows
        Of known recordings.

    Returns
    -------
    ndarray of int64, shape (window,)
    """
    found, number = np.empty(len(windows), dtype=np.int64), 0
    for index in _by_recording(windows):
        ordered = index[np.argsort(windows.start[index], kind="stable")]
        reached = np.maximum.accumulate(windows.stop[ordered])
        begins = np.concatenate([[True], windows.start[ordered][1:] >= reached[:-1]])
        found[ordered] = number + np.cumsum(begins) - 1
        number += int(begins.sum())
    return found


def doubled(windows: Windows) -> Windows:
    """Return all windows, and after them all again under other ids, of the same people, recordings, places and parts."""
    twice = np.tile(np.arange(len(windows)), 2)
    ids = np.char.add(windows.ids[twice], np.repeat(["", " again"], len(windows)))
    columns = {
        name: getattr(windows, name)[twice]
        for name in ("values", "labels", "subjects", "recordings", "start", "stop", "split")
        if getattr(windows, name) is not None
    }
    return replace(windows, ids=ids, gaps=None, flags=None, **columns)


def most_alike(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return, for each of the other windows, the training window at the smallest Euclidean distance, by position."""
    return pairwise_distances_argmin(other, train)


def sharing_samples(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return, for each of the other windows, a training window that holds one of its very samples, -1 where none does.

    This is what a model that remembers every sample that it saw can know, wherever in the window the sample lies.

    Examples
    --------
    >>> sharing_samples(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.4, 0.5], [0.6, 0.7]])).tolist()
    [1, -1]
    """
    seen = train.ravel()
    order = np.argsort(seen, kind="stable")
    place = np.minimum(np.searchsorted(seen, other, sorter=order), len(seen) - 1)
    same = seen[order[place]] == other
    first = same.argmax(axis=1)
    rows = np.arange(len(other))
    return np.where(same[rows, first], order[place[rows, first]] // train.shape[1], -1)


def _by_recording(windows: Windows) -> Iterator[np.ndarray]:
    """Give the positions of the windows of each recording."""
    codes = numbered(windows.recordings)
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
