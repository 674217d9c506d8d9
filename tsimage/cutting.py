"""Recordings, and how windows are cut from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from tsimage.durations import window_samples
from tsimage.errors import UserError, unknown
from tsimage.windows import CutReport, Windows

Labelling = Literal["whole", "majority", "centre"]
Transitions = Literal["keep", "drop"]


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
        Labelled stretches, in the order in which windows come out.
    breaks : tuple of int
        Samples that do not follow the one before them in time: no window holds both.
    """

    id: str
    subject: str
    values: np.ndarray
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    segments: tuple[Segment, ...]
    breaks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in ("channels", "units", "segments", "breaks"):
            object.__setattr__(self, field, tuple(getattr(self, field)))


@dataclass(frozen=True, kw_only=True)
class MixedCutReport(CutReport):
    """Where every sample went when windows may hold more than one label.

    As in `CutReport`, `samples = used + remainder + unlabelled`: `used` lie in at least one window, whatever their own
    label; of the others, `remainder` have a label and `unlabelled` have none. `short_segments` counts stretches between
    breaks. Every window that fits is in the data set, or `unlabelled_windows`, or `mixed_dropped`.
    """

    mixed_kept: int
    """Windows of more than one label, or with samples without one."""
    mixed_dropped: int
    """The same, left out."""
    unlabelled_windows: int
    """Windows left out because most samples, or the one in the centre, have no label."""

    def __str__(self) -> str:
        return (
            f"{super().__str__()}; windows of more than one label: {self.mixed_kept:,} kept, {self.mixed_dropped:,} left "
            f"out; windows left out as unlabelled: {self.unlabelled_windows:,}"
        )


def cut(
    recordings: Iterable[Recording],
    window: str | int,
    overlap: float = 0.0,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "recordings",
    missing: bool = False,
    labelling: Labelling = "whole",
    transitions: Transitions = "keep",
) -> Windows:
    """Cut recordings into windows, never across recordings, subjects or breaks.

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
    labelling : {"whole", "majority", "centre"}
        `whole`: windows run within each segment, from its start, and hold one label from end to end. Otherwise windows run
        from break to break, whatever the labels, and get the label of most of their samples (of equals, the one nearest to
        the centre), or of the sample in the centre (number `length // 2`). Samples without a label count as one label more,
        whose windows are left out.
    transitions : {"keep", "drop"}
        Under `majority` and `centre`: whether windows stay that hold more than one label, or samples without one.

    Returns
    -------
    Windows
        In the order of recordings and segments, or of recordings and time; its `cut_report` says where every sample went.

    Raises
    ------
    UserError
        For recordings that do not agree, an overlap outside [0, 1), a label that is no class, samples with two labels under
        `majority` or `centre`, `transitions` under `whole`, or if there is not a single window.

    Examples
    --------
    >>> walk = Recording(id="r1", subject="ann", values=np.zeros((1, 10), np.float32), channels=("x",),
    ...                  units=("g",), rate_hz=2.0, segments=(Segment(start=1, stop=10, label="walk"),))
    >>> cut([walk], "2s", overlap=0.5).ids.tolist()
    ['r1:1-5', 'r1:3-7', 'r1:5-9']
    >>> cut([walk], "2s", overlap=0.5, labelling="majority").ids.tolist()
    ['r1:0-4', 'r1:2-6', 'r1:4-8', 'r1:6-10']
    """
    if not 0 <= overlap < 1:
        raise UserError(f"overlap {overlap} is not allowed: it is the share of a window, from 0 up to but not 1")
    if labelling not in get_args(Labelling):
        raise unknown("labelling", labelling, get_args(Labelling))
    if transitions not in get_args(Transitions):
        raise unknown("transitions", transitions, get_args(Transitions))
    if transitions == "drop" and labelling == "whole":
        raise UserError(
            "transitions 'drop' does nothing under labelling 'whole', whose windows hold one label from end to end: leave it "
            "out, or choose labelling 'majority' or 'centre'"
        )
    recordings = list(recordings)
    first = _agreeing(recordings, name)
    length = window_samples(window, first.rate_hz)
    step = max(1, round(length * (1 - overlap)))
    if class_names is None:
        class_names = sorted({s.label for r in recordings for s in r.segments})
    class_names = tuple(class_names)
    number = {label: i for i, label in enumerate(class_names)}

    pieces, rows = [], []
    used = remainder = unlabelled = short = longest = mixed_kept = mixed_dropped = unlabelled_windows = 0
    for recording in recordings:
        sample_labels = sample_labels_of(recording, number, name, alone=labelling != "whole")
        covered = np.zeros(len(sample_labels), dtype=bool)
        for begin, end, label in _segment_pieces(recording) if labelling == "whole" else _stretches(recording):
            starts = np.arange(begin, end - length + 1, step)
            short += not len(starts)
            longest = max(longest, end - begin)
            if label is not None:
                labels = np.full(len(starts), number[label])
            else:
                labels, mixed = window_labels(sample_labels, starts, length, labelling)
                known = labels >= 0
                dropped = known & mixed & (transitions == "drop")
                unlabelled_windows += int((~known).sum())
                mixed_dropped += int(dropped.sum())
                mixed_kept += int((known & mixed & ~dropped).sum())
                starts, labels = starts[known & ~dropped], labels[known & ~dropped]
            for start, index in zip(starts.tolist(), labels.tolist(), strict=True):
                stop = start + length
                pieces.append(recording.values[:, start:stop])
                rows.append((index, recording.subject, recording.id, start, stop))
                covered[start:stop] = True
        used += int(covered.sum())
        remainder += int((~covered & (sample_labels >= 0)).sum())
        unlabelled += int((~covered & (sample_labels < 0)).sum())
    if not pieces:
        if not any(r.segments for r in recordings):
            raise UserError(f"{name}: no sample of the {len(recordings)} recordings has a label: label them")
        if unlabelled_windows + mixed_dropped:
            raise UserError(
                f"{name}: no window of {length} samples is left: {unlabelled_windows:,} are unlabelled and {mixed_dropped:,} "
                "hold more than one label; choose a shorter window, or keep transitions"
            )
        what = "with one label in one recording" if labelling == "whole" else "without a break"
        raise UserError(
            f"{name}: no window of {length} samples fits: the longest stretch {what} has {longest} samples; choose a shorter "
            "window"
        )
    counts = {
        "recordings": len(recordings),
        "samples": sum(r.values.shape[1] for r in recordings),
        "used": used,
        "remainder": remainder,
        "unlabelled": unlabelled,
        "short_segments": short,
    }
    numbers, subjects, sources, begins, ends = zip(*rows, strict=True)
    values = np.stack(pieces).astype(np.float32, copy=False)
    gone = np.isnan(values)
    return Windows(
        values=values,
        gaps=np.asarray(gone.any(axis=2)) if missing and gone.any() else None,
        channels=first.channels,
        units=first.units,
        rate_hz=first.rate_hz,
        labels=np.array(numbers, dtype=np.int64),
        class_names=class_names,
        subjects=np.array(subjects, dtype=str),
        recordings=np.array(sources, dtype=str),
        start=np.array(begins, dtype=np.int64),
        stop=np.array(ends, dtype=np.int64),
        ids=np.array([f"{r}:{a}-{b}" for _, _, r, a, b in rows], dtype=str),
        name=name,
        cut_report=CutReport(**counts)
        if labelling == "whole"
        else MixedCutReport(
            **counts, mixed_kept=mixed_kept, mixed_dropped=mixed_dropped, unlabelled_windows=unlabelled_windows
        ),
    )


def _agreeing(recordings: Sequence[Recording], name: str) -> Recording:
    """Return the first of recordings that have channels, units and rate in common."""
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
    return first


def sample_labels_of(recording: Recording, number: Mapping[str, int], name: str, *, alone: bool) -> np.ndarray:
    """Return the class of each sample, -1 without a label.

    Parameters
    ----------
    recording : Recording
    number : mapping of str to int
        Of every label.
    name : str
        Of the data set, for errors.
    alone : bool
        Whether samples with two labels are refused; else the last segment counts.

    Returns
    -------
    ndarray of int64, shape (sample,)

    Raises
    ------
    UserError
        For a label without a number, or a segment outside of the recording.
    """
    labels = np.full(recording.values.shape[1], -1, dtype=np.int64)
    for segment in recording.segments:
        if segment.label not in number:
            raise unknown(f"label in recording '{recording.id}'", segment.label, list(number))
        if not 0 <= segment.start <= segment.stop <= len(labels):
            raise UserError(
                f"{name}: segment {segment.start} to {segment.stop} ('{segment.label}') lies outside recording "
                f"'{recording.id}' of {len(labels)} samples: mend the labels"
            )
        part = labels[segment.start : segment.stop]
        if alone and (part >= 0).any():
            raise UserError(
                f"{name}: sample {segment.start + int(np.argmax(part >= 0))} of recording '{recording.id}' has more than one "
                "label: choose labelling 'whole', or mend the labels"
            )
        part[:] = number[segment.label]
    return labels


def _stretches(recording: Recording) -> Iterator[tuple[int, int, None]]:
    """Yield the stretches between breaks, whatever their labels."""
    n = recording.values.shape[1]
    for begin, end in pairwise([0, *sorted({b for b in recording.breaks if 0 < b < n}), n]):
        yield begin, end, None


def _segment_pieces(recording: Recording) -> Iterator[tuple[int, int, str]]:
    """Yield the segments, parted at breaks, in their own order."""
    breaks = np.unique(np.array(recording.breaks, dtype=np.int64))
    for segment in recording.segments:
        first, last = np.searchsorted(breaks, [segment.start + 1, segment.stop])
        for begin, end in pairwise([segment.start, *breaks[first:last].tolist(), segment.stop]):
            yield begin, end, segment.label


def window_labels(
    sample_labels: np.ndarray, starts: np.ndarray, length: int, labelling: Labelling
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each window, -1 where it has none, and whether it is mixed.

    Parameters
    ----------
    sample_labels : ndarray of int64, shape (sample,)
        Class of each sample, -1 without a label.
    starts : ndarray of int, shape (window,)
        First samples.
    length : int
        Samples in a window.
    labelling : {"majority", "centre"}

    Returns
    -------
    labels : ndarray of int64, shape (window,)
    mixed : ndarray of bool, shape (window,)
        Whether a window holds more than one label, counting "without a label" as one.
    """
    changes = np.concatenate([[0], np.cumsum(sample_labels[1:] != sample_labels[:-1])])
    mixed = changes[starts + length - 1] > changes[starts]
    centre = length // 2
    labels = sample_labels[starts + centre]
    if labelling == "majority":
        outwards = np.argsort(np.abs(np.arange(length) - centre), kind="stable")
        for window in np.flatnonzero(mixed):
            held = sample_labels[starts[window] : starts[window] + length]
            counts = np.bincount(held + 1)
            most = held[outwards][counts[held[outwards] + 1] == counts.max()]
            labels[window] = most[0]
    return labels, mixed
