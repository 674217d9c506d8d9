"""Recordings at another rate, by a polyphase filter that lets no frequency alias."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from scipy.signal import firwin, resample_poly

from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError

TOLERANCE = 1e-3
"""The rate may be off by this share, for the ratio of the two is a fraction of numbers up to 1000."""
HALF_FILTER = 20
"""Samples, at the lower of the two rates, that the filter reaches to either side."""
_CUTOFF = 0.92  # of the lower Nyquist frequency; with this length and window, 60 dB are reached at 1.01 of it
_KAISER_BETA = 5.65  # 60 dB


def resample(recording: Recording, rate_hz: float) -> Recording:
    """Return the recording at another rate, each stretch between breaks filtered by itself.

    Frequencies up to 0.8 of the lower of the two Nyquist frequencies pass within 0.1 %, those above 1.02 of the new one
    are damped by 60 dB, constants stay. Beyond a break or an end the filter sees the stretch turned about its outermost
    sample: an offset such as gravity makes no ripple there, and slow movements (up to 5 Hz from 100 to 50 Hz) keep within
    0.2 % of their amplitude, but within `HALF_FILTER` samples of the lower rate fast ones may alias; a stretch shorter
    than that is such an edge as a whole. No sample is made beyond the last one measured.

    Labels are those of the nearest old sample, so that segments stay disjoint; one that keeps no sample is left out. Missing
    samples (NaN) are bridged by a straight line for the filter, and missing again afterwards: every new sample nearest to a
    missing one, and every one to which a missing one is nearest.

    Parameters
    ----------
    recording : Recording
    rate_hz : float
        Samples per second, positive. The ratio of the rates is taken as a fraction of numbers up to 1000.

    Returns
    -------
    Recording
        At `rate_hz`, true to 1e-3; the recording itself where it has that rate.

    Raises
    ------
    UserError
        If the rate is not positive, or no such fraction comes within 1e-3 of the ratio, as for rates over 1000 times apart.

    Examples
    --------
    >>> walk = Recording(id="r1", subject="ann", values=np.ones((1, 200), np.float32), channels=("x",), units=("g",),
    ...                  rate_hz=100.0, segments=(Segment(start=100, stop=200, label="walk"),), breaks=(100,))
    >>> slow = resample(walk, 50.0)
    >>> slow.values.shape, slow.breaks, slow.segments
    ((1, 100), (50,), (Segment(start=50, stop=100, label='walk'),))
    """
    if not 0 < rate_hz < float("inf"):
        raise UserError(f"resample {rate_hz} Hz is not allowed: it must be positive")
    if rate_hz == recording.rate_hz:
        return recording
    exact = min(rate_hz, recording.rate_hz) / max(rate_hz, recording.rate_hz)
    ratio = Fraction(exact).limit_denominator(1000)
    if abs(ratio / exact - 1) >= TOLERANCE:
        raise UserError(
            f"recording '{recording.id}' at {recording.rate_hz:g} Hz cannot be resampled to {rate_hz:g} Hz: no fraction with "
            "numbers up to 1000 comes within a thousandth of their ratio: resample to a rate in between"
        )
    ratio = ratio if rate_hz < recording.rate_hz else 1 / ratio
    n = recording.values.shape[1]
    edges = [0, *sorted(b for b in set(recording.breaks) if 0 < b < n), n]
    taps = low_pass(ratio.numerator, ratio.denominator)
    pieces = [_stretch(recording.values[:, a:b], ratio, taps) for a, b in pairwise(edges)]
    moved = np.cumsum([0, *(piece.shape[1] for piece in pieces)])

    def position(sample: int, stretch: int) -> int:
        """Return the first new sample of a stretch whose nearest old one is not before `sample`."""
        first = -((1 - 2 * (sample - edges[stretch])) * ratio // 2)  # the ceiling of (sample - 1/2) * ratio
        return int(min(moved[stretch] + max(first, 0), moved[stretch + 1]))

    segments = []
    for segment in recording.segments:
        if segment.start < segment.stop:
            first, last = np.searchsorted(edges, [segment.start, segment.stop - 1], side="right") - 1
            start, stop = position(segment.start, int(first)), position(segment.stop, int(last))
            if start < stop:
                segments.append(Segment(start=start, stop=stop, label=segment.label))
    return replace(
        recording,
        values=np.concatenate(pieces, axis=1),
        rate_hz=rate_hz,
        segments=tuple(segments),
        breaks=tuple(moved[1:-1].tolist()),
    )


def _stretch(values: np.ndarray, ratio: Fraction, taps: np.ndarray) -> np.ndarray:
    """Resample one uninterrupted stretch of shape (channel, time)."""
    n, up, down = values.shape[1], ratio.numerator, ratio.denominator
    if n < 2 or ratio == 1:
        return values
    length = (n - 1) * up // down + 1
    gone = np.isnan(values)
    whole = _bridged(values.astype(np.float64), gone)
    how = {"window": taps, "padtype": "antireflect"}
    resampled = resample_poly(whole, up, down, axis=1, **how)  # type: ignore[call-overload]  # the stubs know neither
    resampled = resampled[:, :length].astype(np.float32)
    if gone.any():
        nearest = (2 * np.arange(length) * down + up) // (2 * up)
        missing = gone[:, np.minimum(nearest, n - 1)]
        channel, sample = np.nonzero(gone)
        missing[channel, np.minimum((2 * sample * up + down) // (2 * down), length - 1)] = True
        resampled[missing] = np.nan
    return resampled


def _bridged(values: np.ndarray, gone: np.ndarray) -> np.ndarray:
    time = np.arange(values.shape[1])
    for channel in np.flatnonzero(gone.any(axis=1)):
        there = ~gone[channel]
        values[channel] = np.interp(time, time[there], values[channel, there]) if there.any() else 0.0
    return values


def low_pass(up: int, down: int) -> np.ndarray:
    """Return the taps of the low-pass filter; each of its `up` phases sums to 1 / up, so that constants stay."""
    widest = max(up, down)
    taps = firwin(2 * HALF_FILTER * widest + 1, _CUTOFF / widest, window=("kaiser", _KAISER_BETA))
    for phase in range(up):
        taps[phase::up] /= up * taps[phase::up].sum()
    return taps
