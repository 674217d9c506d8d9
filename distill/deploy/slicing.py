"""The windows of recordings on one grid, whatever is missing: those that a stream would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsimage.cutting import Recording, sample_labels_of, window_labels
from tsimage.durations import window_samples
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Sliced:
    """Windows of one recording, in the order of time.

    Parameters
    ----------
    id, subject : str
        Empty where unknown.
    values : ndarray of float32, shape (window, channel, time)
        A view of the recording; NaN where missing.
    start : ndarray of int64, shape (window,)
        First sample of each.
    gaps : ndarray of bool, shape (window, channel)
        Where samples are missing.
    torn : ndarray of bool, shape (window,)
        Whether a sample does not follow the one before it in time.
    truth : tuple of str
        True label of each window, of most of its samples; empty where unknown.
    n_samples : int
        Of the recording.
    """

    id: str
    subject: str
    values: np.ndarray
    start: np.ndarray
    gaps: np.ndarray
    torn: np.ndarray
    truth: tuple[str, ...]
    n_samples: int


def hop_samples(hop: str | int | None, length: int, rate_hz: float) -> int:
    """Return the samples from one window to the next: half a window unless given, as samples (64) or seconds (1.28s).

    Raises
    ------
    UserError
        For what is no number of samples, or none.

    Examples
    --------
    >>> hop_samples(None, 128, 50.0), hop_samples("1s", 128, 50.0)
    (64, 50)
    """
    return max(1, length // 2) if hop is None else window_samples(hop, rate_hz, what="hop", least=1)


def slice_recording(recording: Recording, length: int, hop: int) -> Sliced:
    """Return the windows at samples 0, hop, 2 hop, ... of a recording, as far as they fit.

    Parameters
    ----------
    recording : Recording
    length, hop : int
        Samples.

    Examples
    --------
    >>> from tsimage.cutting import Recording
    >>> values = np.array([[0, 1, np.nan, 3, 4, 5, 6]], dtype=np.float32)
    >>> made = slice_recording(Recording(id="r", subject="", values=values, channels=("x",), units=("g",), rate_hz=1.0,
    ...                                  segments=(), breaks=(6,)), length=3, hop=2)
    >>> made.start.tolist(), made.gaps[:, 0].tolist(), made.torn.tolist()
    ([0, 2, 4], [True, True, False], [False, False, True])
    """
    values = recording.values
    n_channels, n = values.shape
    start = np.arange(0, max(0, n - length + 1), hop, dtype=np.int64)
    if len(start):
        views = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)[:, ::hop].transpose(1, 0, 2)
    else:
        views = np.zeros((0, n_channels, length), dtype=np.float32)
    missing = np.zeros((n_channels, n + 1), dtype=np.int64)
    np.cumsum(np.isnan(values), axis=1, out=missing[:, 1:])
    breaks = np.unique(np.array(recording.breaks, dtype=np.int64))
    before, after = np.searchsorted(breaks, start + 1), np.searchsorted(breaks, start + length)
    return Sliced(
        id=recording.id,
        subject=recording.subject,
        values=views,
        start=start,
        gaps=(missing[:, start + length] > missing[:, start]).T
        if len(start)
        else np.zeros((0, n_channels), dtype=bool),
        torn=before < after,
        truth=_truth(recording, start, length),
        n_samples=n,
    )


def slice_windows(windows: Windows) -> list[Sliced]:
    """Return windows that were cut before, as they are, by recording in the order in which they come."""
    sliced = []
    gaps = (
        np.zeros(windows.values.shape[:2], dtype=bool)
        if not windows.has_missing()
        else np.isnan(windows.values).any(axis=2)
    )
    names = np.array(windows.class_names, dtype=object)
    for name in dict.fromkeys(windows.recordings.tolist()):
        rows = np.flatnonzero(windows.recordings == name)
        subjects = set(windows.subjects[rows].tolist())
        sliced.append(
            Sliced(
                id=name or windows.name,
                subject=subjects.pop() if len(subjects) == 1 else "",
                values=windows.values[rows],
                start=windows.start[rows],
                gaps=gaps[rows],
                torn=np.zeros(len(rows), dtype=bool),
                truth=tuple(names[windows.labels[rows]].tolist()),
                n_samples=len(rows) * windows.length,
            )
        )
    return sliced


def check_any(sliced: Sequence[Sliced], length: int, rate_hz: float) -> None:
    """Refuse recordings none of which is long enough.

    Raises
    ------
    UserError
        If there is not a single window.
    """
    if not any(len(each.start) for each in sliced):
        longest = max((each.n_samples for each in sliced), default=0)
        raise UserError(
            f"no recording is long enough for one window of {length} samples ({length / rate_hz:g} s): the longest has "
            f"{longest}; record for longer"
        )


def _truth(recording: Recording, start: np.ndarray, length: int) -> tuple[str, ...]:
    names = sorted({segment.label for segment in recording.segments})
    if not names or not len(start):
        return ("",) * len(start)
    labels = sample_labels_of(recording, {name: i for i, name in enumerate(names)}, recording.id, alone=False)
    numbers, _ = window_labels(labels, start, length, "majority")
    return tuple("" if number < 0 else names[number] for number in numbers.tolist())
