"""Gaps of missing samples (NaN), filled where they are short.

A gap is a run of NaN inside one channel of a window. Filling draws a straight line between its neighbours; at an end of
the window, where there is only one neighbour, its value is held. Neither moves the minimum or maximum of the series."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tsimage.durations import window_samples
from tsimage.errors import UserError, unknown


def fill_gaps(
    x: np.ndarray,
    limit: str | int | None,
    rate_hz: float | None = None,
    names: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill gaps of NaN with straight lines.

    Parameters
    ----------
    x : ndarray of floats, shape (window, channel, time)
    limit : str or int or None
        Longest gap that is filled, in samples (`10`) or seconds (`0.2s`); None fills all, and a channel without a
        single sample becomes 0.
    rate_hz : float, optional
        Sampling rate, needed for a limit in seconds.
    names, ids : sequence of str, optional
        Of the channels and windows, for errors.

    Returns
    -------
    filled : ndarray, shape (window, channel, time)
        A copy where anything was missing, else `x` itself.
    flags : ndarray of bool, shape (window, channel)
        Where samples were filled.

    Raises
    ------
    UserError
        For a longer gap or an infinite value, with the window and channel, or a limit that is none.

    Examples
    --------
    >>> filled, flags = fill_gaps(np.array([[[1.0, np.nan, 3.0]]]), limit=1)
    >>> filled.tolist(), flags.tolist()
    ([[[1.0, 2.0, 3.0]]], [[True]])
    """
    most = None if limit is None else gap_samples(limit, rate_hz)
    names = [str(i) for i in range(x.shape[1])] if names is None else list(names)
    ids = [str(i) for i in range(len(x))] if ids is None else [f"'{i}'" for i in ids]
    missing = np.isnan(x)
    if np.isinf(x).any():
        window, channel = np.argwhere(np.isinf(x).any(axis=2))[0]
        raise UserError(f"window {ids[window]}, channel '{names[channel]}' holds infinity, which is no gap: remove it")
    flags = missing.any(axis=2)
    if not flags.any():
        return x, flags
    filled, time = x.copy(), np.arange(x.shape[2])
    for window, channel in np.argwhere(flags):
        gone = missing[window, channel]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], gone, [False]])))
        longest = int((edges[1::2] - edges[::2]).max())
        if most is not None and (longest > most or gone.all()):
            raise UserError(
                f"window {ids[window]}, channel '{names[channel]}' misses {longest} samples in a row where gaps up to {most} are "
                "filled: leave the window out, allow longer gaps, or mask them"
            )
        filled[window, channel, gone] = (
            0.0 if gone.all() else np.interp(time[gone], time[~gone], x[window, channel, ~gone])
        )
    return filled, flags


def fill_between(values: np.ndarray, breaks: Sequence[int], most: int) -> np.ndarray:
    """Fill the gaps of a recording that are short enough, never across a break; longer ones stay.

    Parameters
    ----------
    values : ndarray of floats, shape (channel, time)
    breaks : sequence of int
        Samples that do not follow the one before them.
    most : int
        Longest gap that is filled, in samples. At the end of a stretch, where there is only one neighbour, it is held.

    Returns
    -------
    ndarray, shape (channel, time)

    Examples
    --------
    >>> x = np.array([[0.0, np.nan, 2.0, np.nan, np.nan, 5.0]])
    >>> fill_between(x, (), 1).tolist()
    [[0.0, 1.0, 2.0, nan, nan, 5.0]]
    """
    filled = values.copy()
    ends = [0, *sorted({int(b) for b in breaks} - {0, values.shape[1]}), values.shape[1]]
    for channel, series in enumerate(values):
        gone = np.isnan(series)
        for start, stop in pairwise(ends):
            missing = gone[start:stop]
            if not missing.any() or missing.all():
                continue
            edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]])))
            time, there = np.arange(start, stop), ~missing
            for first, last in zip(edges[::2], edges[1::2], strict=True):
                if last - first <= most:
                    at = time[first:last]
                    filled[channel, at] = np.interp(at, time[there], series[start:stop][there])
    return filled


def check_missing(missing: str) -> None:
    """Raise a UserError for what is no way to treat missing samples: `raise`, `mask`, or the longest gap to fill."""
    if missing not in ("raise", "mask") and not str(missing).strip()[:1].isdigit():
        raise unknown("missing", str(missing), ["raise", "mask", "the longest gap to fill, as 10 (samples) or 0.2s"])


def gap_samples(limit: str | int, rate_hz: float | None) -> int:
    """Turn the longest gap to be filled, such as `10` (samples) or `"0.2s"` (seconds), into samples.

    Examples
    --------
    >>> gap_samples("0.2s", 50.0)
    10
    """
    return window_samples(limit, rate_hz, what="gap", least=1)
