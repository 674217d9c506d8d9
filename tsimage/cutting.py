"""Recordings, and how windows are cut from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tsimage.durations import window_samples
from tsimage.errors import UserError, unknown
from tsimage.windows import CutReport, Windows


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of a recording with one label: samples `start` up to, not including, `stop`."""

    start: int
    stop: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One uninterrupted recording of one person.

    Parameters
    ----------
    id : str
        Unique within a data set; the first part of every window id cut from it.
    subject : str
        Who wore the sensor; empty where unknown.
    values : ndarray of float32, shape (channel, time)
        In the units given.
    channels, units : tuple of str
        Name and unit of each channel; an empty unit where unknown.
    rate_hz : float
        Samples per second.
    segments : tuple of Segment
        Labelled stretches, in the order in which windows come out. A gap in time ends a segment.
    """

    id: str
    subject: str
    values: np.ndarray
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    segments: tuple[Segment, ...]


def cut(
    recordings: Iterable[Recording],
    window: str | int,
    overlap: float = 0.0,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "recordings",
    missing: bool = False,
) -> Windows:
    """Cut recordings into windows, never across recordings, subjects, gaps or label changes.

    Parameters
    ----------
    recordings : iterable of Recording
        With the same channels, units and rate.
    window : int or str
        Samples (128) or seconds ("2.56s").
    overlap : float
        Share of a window that the next one repeats, 0 <= overlap < 1; the step is rounded to whole samples.
    class_names : sequence of str, optional
        Fixes the order of the classes; by default the labels found, sorted.
    name : str
        Of the data set.
    missing : bool
        Whether samples may be missing (NaN); the windows then flag them as `gaps`.

    Returns
    -------
    Windows
        In the order of recordings and segments; its `cut_report` says where every sample went.

    Raises
    ------
    UserError
        For recordings that do not agree, an overlap outside [0, 1), a label that is no class, or if no
        segment holds a single window.

    Examples
    --------
    >>> walk = Recording(id="r1", subject="ann", values=np.zeros((1, 10), np.float32), channels=("x",),
    ...                  units=("g",), rate_hz=2.0, segments=(Segment(start=1, stop=10, label="walk"),))
    >>> cut([walk], "2s", overlap=0.5).ids.tolist()
    ['r1:1-5', 'r1:3-7', 'r1:5-9']
    """
    if not 0 <= overlap < 1:
        raise UserError(f"overlap {overlap} is not allowed: it is the share of a window, from 0 up to but not 1")
    recordings = list(recordings)
    if not recordings:
        raise UserError(f"{name}: there are no recordings to cut")
    first = recordings[0]
    for recording in recordings:
        for attribute in ("channels", "units", "rate_hz"):
            got, expected = getattr(recording, attribute), getattr(first, attribute)
            if got != expected and not (attribute == "rate_hz" and math.isclose(got, expected, rel_tol=1e-3)):
                mend = (
                    "resample it or leave it out, or, where clocks only jitter, state one rate for all (option rate)"
                    if attribute == "rate_hz"
                    else "windows need one layout; load the two groups apart"
                )
                raise UserError(
                    f"{name}: recording '{recording.id}' has {attribute} {got} where '{first.id}' has {expected}: {mend}"
                )
    length = window_samples(window, first.rate_hz)
    step = max(1, round(length * (1 - overlap)))
    if class_names is None:
        class_names = sorted({s.label for r in recordings for s in r.segments})
    number = {label: i for i, label in enumerate(class_names)}

    pieces, rows = [], []
    used = labelled = short = 0
    for recording in recordings:
        for segment in recording.segments:
            if segment.label not in number:
                raise unknown(f"label in recording '{recording.id}'", segment.label, class_names)
            if not 0 <= segment.start <= segment.stop <= recording.values.shape[1]:
                raise UserError(
                    f"{name}: segment {segment.start} to {segment.stop} ('{segment.label}') lies outside recording "
                    f"'{recording.id}' of {recording.values.shape[1]} samples: mend the labels"
                )
            starts = range(segment.start, segment.stop - length + 1, step)
            for start in starts:
                stop = start + length
                pieces.append(recording.values[:, start:stop])
                rows.append((number[segment.label], recording.subject, recording.id, start, stop))
            labelled += segment.stop - segment.start
            used += (len(starts) - 1) * step + length if starts else 0
            short += not starts
    samples = sum(r.values.shape[1] for r in recordings)
    if not pieces:
        if not any(r.segments for r in recordings):
            raise UserError(f"{name}: no sample of the {len(recordings)} recordings has a label: label them")
        longest = max((s.stop - s.start for r in recordings for s in r.segments), default=0)
        raise UserError(
            f"{name}: no window of {length} samples fits: the longest stretch with one label in one recording has "
            f"{longest} samples; choose a shorter window"
        )
    labels, subjects, sources, begins, ends = zip(*rows, strict=True)
    values = np.stack(pieces).astype(np.float32, copy=False)
    gone = np.isnan(values)
    return Windows(
        values=values,
        gaps=np.asarray(gone.any(axis=2)) if missing and gone.any() else None,
        channels=first.channels,
        units=first.units,
        rate_hz=first.rate_hz,
        labels=np.array(labels, dtype=np.int64),
        class_names=tuple(class_names),
        subjects=np.array(subjects, dtype=str),
        recordings=np.array(sources, dtype=str),
        start=np.array(begins, dtype=np.int64),
        stop=np.array(ends, dtype=np.int64),
        ids=np.array([f"{r}:{a}-{b}" for _, _, r, a, b in rows], dtype=str),
        name=name,
        cut_report=CutReport(
            recordings=len(recordings),
            samples=samples,
            used=used,
            remainder=labelled - used,
            unlabelled=samples - labelled,
            short_segments=short,
        ),
    )
