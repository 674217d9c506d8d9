"""Long tables, one row per sample and channel, turned into wide ones, one row per sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsimage.readers.sieve import Sieve


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Samples of one file, as they follow each other in it.

    Parameters
    ----------
    values : ndarray of float64, shape (channel, sample)
    lines : ndarray of int64, shape (sample,)
        First line of each sample.
    first : ndarray of int64, shape (sample,)
        First row of each sample among those given.
    sample_of : ndarray of int64, shape (row,)
        Sample to which each row given went, -1 if to none.
    """

    values: np.ndarray
    lines: np.ndarray
    first: np.ndarray
    sample_of: np.ndarray


def samples_of_long(
    keys: list[np.ndarray],
    names: np.ndarray,
    values: np.ndarray,
    lines: np.ndarray,
    channels: tuple[str, ...],
    sieve: Sieve,
    *,
    may_miss: bool = False,
    good: np.ndarray | None = None,
) -> Samples:
    """Gather the rows that agree in all keys into samples.

    Where every channel has rows of the same keys several times, as of a coarse clock or of one that was set back, the
    first of each make a sample, the second another. A row beyond that is a "repeated channel" and goes to the sieve; so
    do the rows of a sample that lacks a channel, as an "incomplete sample".

    Parameters
    ----------
    keys : list of ndarray, each of shape (row,)
        Time, label, subject, ...: what makes a sample one.
    names : ndarray of str, shape (row,)
        Channel of each row, one of `channels`.
    values : ndarray of float64, shape (row,)
    lines : ndarray of int64, shape (row,)
    channels : tuple of str
        Their order is that of the result.
    sieve : Sieve
        Takes down rows that are left out.
    may_miss : bool
        Keep incomplete samples; their missing values are NaN.
    good : ndarray of bool, shape (row,), optional
        Rows that are used. The others are counted in telling first from second rows, and left out.

    Examples
    --------
    >>> time, names = np.array([0.0, 0.0, 1.0]), np.array(["x", "y", "x"])
    >>> sieve = Sieve("a.csv")
    >>> samples = samples_of_long([time], names, np.array([5.0, 6.0, 7.0]), np.arange(2, 5), ("y", "x"), sieve)
    >>> samples.values.tolist(), sieve.count("incomplete sample")
    ([[6.0], [5.0]], 1)
    """
    good = np.ones(len(values), dtype=bool) if good is None else good
    channel = pd.Index(channels).get_indexer(pd.Index(names))
    alike = np.zeros(len(values), dtype=np.int64)
    for key in keys:
        codes, found = pd.factorize(key, use_na_sentinel=False)
        alike = alike * max(1, len(found)) + codes
        alike, _ = pd.factorize(alike)  # numbered as they appear, and small
    times_before, rows_of_each = _occurrences(alike, channel, len(channels))
    repeated = np.flatnonzero(
        good & (times_before >= np.maximum(1, rows_of_each.min(axis=1, initial=len(values)))[alike])
    )
    if len(repeated):
        sieve.drop("repeated channel", lines[repeated], str(names[repeated[0]]))
        good = good.copy()
        good[repeated] = False
    once = np.flatnonzero(good)
    codes, _ = pd.factorize(alike[once] * (int(times_before.max(initial=0)) + 1) + times_before[once])
    sample = np.full(len(values), -1, dtype=np.int64)
    sample[once] = codes
    n_samples = int(codes.max()) + 1 if len(codes) else 0

    table = np.full((len(channels), n_samples), np.nan)
    table[channel[once], sample[once]] = values[once]
    there = np.zeros((len(channels), n_samples), dtype=bool)
    there[channel[once], sample[once]] = True
    if may_miss and not there.all():
        place = _places(sample[once], channel[once], n_samples)
        sample[once] = place[sample[once]]
        order = np.argsort(place)
        table, there = table[:, order], there[:, order]
    whole = np.full(n_samples, True) if may_miss else np.all(there, axis=0).reshape(-1)
    if not whole.all():
        torn = once[~whole[sample[once]]]
        lacking = channels[int(np.argmin(there[:, sample[torn.min()]]))]
        sieve.drop("incomplete sample", lines[torn], f"no {lacking}")
    first = np.full(n_samples, len(values), dtype=np.int64)
    np.minimum.at(first, sample[once], once)
    first = first[whole]
    sample_of = np.full(len(values), -1, dtype=np.int64)
    sample_of[once] = np.where(whole, np.cumsum(whole) - 1, -1)[sample[once]]
    return Samples(values=table[:, whole], lines=lines[first], first=first, sample_of=sample_of)


def _places(sample: np.ndarray, channel: np.ndarray, n_samples: int) -> np.ndarray:
    """Return where each sample stands among all: after the one that its own channel has before it.

    In a table written channel by channel, a sample that the first channel lacks appears behind all others.
    """
    place = np.full(n_samples, -1)
    for one in pd.unique(channel):
        own = sample[channel == one]
        new = place[own] < 0
        before = np.maximum.accumulate(np.where(new, -1, np.arange(len(own))))
        after = np.where(before < 0, -1, place[own[before]])
        known = np.flatnonzero(place >= 0)
        every = np.concatenate([known, own[new]])
        turns = np.concatenate([np.zeros(len(known), dtype=np.int64), np.arange(1, new.sum() + 1)])
        order = np.lexsort((turns, np.concatenate([place[known], after[new]])))
        place[every[order]] = np.arange(len(every))
    return place


def _occurrences(alike: np.ndarray, channel: np.ndarray, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows of the same keys and channel stand before each, and how many there are, (key, channel)."""
    n_keys = int(alike.max()) + 1 if len(alike) else 0
    cell = alike * n_channels + channel
    before = pd.Series(cell).groupby(cell).cumcount().to_numpy(dtype=np.int64)
    return before, np.bincount(cell, minlength=n_keys * n_channels).reshape(n_keys, n_channels)
