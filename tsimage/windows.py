"""Recordings, and the windows that are cut from them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.errors import UserError, unknown


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


@dataclass(frozen=True, kw_only=True)
class CutReport:
    """Where every sample of the recordings went.

    `samples = used + remainder + unlabelled`: `used` lie in at least one window, `remainder` are labelled
    but left over at the end of a segment (`short_segments` of them hold no window at all), `unlabelled`
    lie in no segment.
    """

    recordings: int
    samples: int
    used: int
    remainder: int
    unlabelled: int
    short_segments: int

    def __str__(self) -> str:
        return (
            f"Cut from {self.recordings} recordings of {self.samples:,} samples: {self.used:,} in windows, "
            f"{self.remainder:,} dropped as remainders (stretches shorter than a window: {self.short_segments}), "
            f"{self.unlabelled:,} without label"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Labelled windows of equal length: the one data type that everything here takes.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
        In physical units, finite.
    channels, units : tuple of str
        Name and unit of each channel; an empty unit where unknown.
    rate_hz : float or None
        None where unknown.
    labels : ndarray of int64, shape (window,)
        Index into `class_names`.
    class_names : tuple of str
    subjects, recordings : ndarray of str, shape (window,)
        Who and what each window was cut from; empty where unknown.
    start, stop : ndarray of int64, shape (window,)
        Raw samples of the recording that the window holds, `stop` excluded.
    ids : ndarray of str, shape (window,)
        Unique; the key that matches views, cached logits and labels.
    split : ndarray of {"train", "test"} or None, shape (window,)
        The data set's own split, where it has one.
    name : str
        Of the data set.
    cut_report : CutReport or None
        Where the samples went when the windows were cut, before any were selected.

    Raises
    ------
    UserError
        If shapes disagree, ids, channel or class names repeat, a label is no class, a part of the split is
        neither train nor test, the rate is not positive, or a value is NaN or infinite.
    """

    values: np.ndarray
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float | None
    labels: np.ndarray
    class_names: tuple[str, ...]
    subjects: np.ndarray
    recordings: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    ids: np.ndarray
    split: np.ndarray | None = None
    name: str = "windows"
    cut_report: CutReport | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise UserError(
                f"{self.name}: values of shape {self.values.shape} are no windows: "
                "give an array of shape (window, channel, time)"
            )
        n, n_channels, _ = self.values.shape
        for field in _PER_WINDOW:
            column = getattr(self, field)
            if column is not None and column.shape != (n,):
                raise UserError(
                    f"{self.name}: {field} has shape {column.shape} beside {n} windows: give one entry per window"
                )
        for field, dtype in _DTYPES.items():
            object.__setattr__(self, field, np.asarray(getattr(self, field)).astype(dtype, copy=False))
        if self.values.shape[2] == 0:
            raise UserError(f"{self.name}: the windows hold no samples (shape {self.values.shape}): cut longer windows")
        if self.rate_hz is not None and not 0 < self.rate_hz < math.inf:
            raise UserError(
                f"{self.name}: rate_hz {self.rate_hz} is not allowed: it must be positive, or None if unknown"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise UserError(f"{self.name}: class names {', '.join(self.class_names)} repeat: make them unique")
        if (self.start >= self.stop).any():
            window = int(np.argmax(self.start >= self.stop))
            raise UserError(
                f"{self.name}: window '{self.ids[window]}' holds raw samples {self.start[window]} to {self.stop[window]}: "
                "stop must be above start"
            )
        odd = [] if self.split is None else sorted(set(self.split.tolist()) - {"train", "test"})
        if odd:
            raise UserError(f"{self.name}: split has the part '{odd[0]}': allowed are train and test")
        if not len(self.channels) == len(self.units) == n_channels:
            raise UserError(
                f"{self.name}: {len(self.channels)} channel names and {len(self.units)} units for {n_channels} "
                "channels: give one name and one unit per channel of an array of shape (window, channel, time)"
            )
        if len(set(self.channels)) < n_channels:
            raise UserError(f"{self.name}: channel names {', '.join(self.channels)} repeat: make them unique")
        if len(np.unique(self.ids)) < n:
            values, counts = np.unique(self.ids, return_counts=True)
            raise UserError(
                f"{self.name}: window id '{values[counts > 1][0]}' occurs more than once: "
                "give each recording its own id"
            )
        if n and (self.labels.min() < 0 or self.labels.max() >= len(self.class_names)):
            raise UserError(
                f"{self.name}: labels {self.labels.min()} to {self.labels.max()} are outside the "
                f"{len(self.class_names)} classes: labels count from 0"
            )
        bad = ~np.isfinite(self.values)
        if bad.any():
            window, channel, sample = np.argwhere(bad)[0]
            raise UserError(
                f"{self.name}: window '{self.ids[window]}', channel '{self.channels[channel]}', sample {sample} is "
                f"{self.values[window, channel, sample]} ({int(bad.any(axis=(1, 2)).sum())} of {n} windows hold NaN "
                "or infinity): fill or remove these samples"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def length(self) -> int:
        """Samples in each window."""
        return int(self.values.shape[2])

    def __str__(self) -> str:
        rate = f" at {self.rate_hz:g} Hz" if self.rate_hz else ""
        people = len(np.unique(self.subjects[self.subjects != ""]))
        return (
            f"{self.name}: {len(self):,} windows of {self.length} samples{rate}, {len(self.channels)} channels "
            f"({', '.join(self.channels)}), {len(self.class_names)} classes, "
            + (f"{people} subjects" if people else "subjects unknown")
        )

    def select(self, index: Any) -> Windows:
        """Return the windows at `index` (integers, a slice or a mask); class names stay."""
        columns = {f: getattr(self, f)[index] for f in _PER_WINDOW if getattr(self, f) is not None}
        return replace(self, values=self.values[index], **columns)

    def keep_channels(self, patterns: Sequence[str]) -> Windows:
        """Return only the channels whose names match one of the shell-style patterns, in their own order.

        Raises
        ------
        UserError
            For a pattern that matches no channel.
        """
        kept = tuple(sorted(matching("channel", patterns, self.channels), key=self.channels.index))
        index = [self.channels.index(name) for name in kept]
        return replace(
            self,
            values=np.ascontiguousarray(self.values[:, index]),
            channels=kept,
            units=tuple(self.units[i] for i in index),
        )

    def keep_classes(self, patterns: Sequence[str]) -> Windows:
        """Return only the windows of the classes whose names match one of the shell-style patterns.

        Raises
        ------
        UserError
            For a pattern that matches no class.
        """
        kept = tuple(sorted(matching("class", patterns, self.class_names), key=self.class_names.index))
        renumber = np.full(len(self.class_names), -1)
        renumber[[self.class_names.index(name) for name in kept]] = np.arange(len(kept))
        labels = renumber[self.labels]
        chosen = self.select(labels >= 0)
        return replace(chosen, labels=labels[labels >= 0], class_names=kept)

    def constant_channels(self) -> np.ndarray:
        """Tell which channels of which windows do not move at all: bool, shape (window, channel)."""
        return self.values.max(axis=2) == self.values.min(axis=2)

    def fingerprint(self) -> str:
        """Return the sha256 of everything that training can see: values, units, labels, people, ids, split."""
        digest = hashlib.sha256()
        for field in sorted(f.name for f in fields(self) if f.name not in ("name", "cut_report")):
            value = getattr(self, field)
            if isinstance(value, np.ndarray):
                numbers = value.dtype.kind in "fi"
                digest.update(value.tobytes() if numbers else "\0".join(value.tolist()).encode())
                value = f"{value.shape}{value.dtype.kind}"
            digest.update(f"|{field}={value}|".encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the windows to an `.npz` file that `tsimage.load` reads back; returns its path."""
        path = Path(path)
        if path.suffix != ".npz":
            raise UserError(f"cannot save windows as '{path}': the name must end in .npz")
        stored = ("values", "channels", "units", "class_names", "name", "rate_hz", *_PER_WINDOW)
        arrays: dict[str, Any] = {f: np.asarray(getattr(self, f)) for f in stored if getattr(self, f) is not None}
        np.savez_compressed(path, **arrays)
        return path


_DTYPES = {"values": np.float32, "labels": np.int64, "start": np.int64, "stop": np.int64}
_PER_WINDOW = ("labels", "subjects", "recordings", "start", "stop", "ids", "split")


def matching(what: str, patterns: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that equal or match one of the shell-style patterns, in the order of the patterns.

    Raises
    ------
    UserError
        For a pattern that no name matches.

    Examples
    --------
    >>> matching("channel", ["acc*"], ("acc-x", "acc-y", "gyro-x"))
    ('acc-x', 'acc-y')
    """

    def fits(name: str, pattern: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    for pattern in patterns:
        if not any(fits(name, pattern) for name in names):
            raise unknown(what, pattern, names)
    return tuple(dict.fromkeys(name for pattern in patterns for name in names if fits(name, pattern)))


def window_samples(window: str | int, rate_hz: float | None) -> int:
    """Turn a window length such as `128` (samples) or `"2.56s"` (seconds) into samples.

    Raises
    ------
    UserError
        For anything else, for seconds without a rate, or for less than two samples.

    Examples
    --------
    >>> window_samples("2.56s", 50.0)
    128
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s?)\s*", str(window))
    if match is None or (not match[2] and "." in match[1]):
        raise UserError(
            f"window '{window}' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"
        )
    if not match[2]:
        samples = int(match[1])
    elif rate_hz is None:
        raise UserError(f"window '{window}' is in seconds but the sampling rate is unknown: give the rate in Hz")
    else:
        samples = round(float(match[1]) * rate_hz)
    if samples < 2:
        at = f" at {rate_hz:g} Hz" if match[2] else ""
        mend = "; check the rate, or the unit of the time column" if match[2] else ""
        raise UserError(f"window '{window}' is {samples} samples long{at}: a window needs at least 2{mend}")
    return samples


def cut(
    recordings: Iterable[Recording],
    window: str | int,
    overlap: float = 0.0,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "recordings",
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
                    "state one rate for all (option rate)"
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
    return Windows(
        values=np.stack(pieces).astype(np.float32, copy=False),
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
