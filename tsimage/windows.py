"""Windows of equal length with everything known about them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.blocks import blocks, is_mapped
from tsimage.errors import UserError, unknown
from tsimage.gaps import fill_gaps, gap_samples
from tsimage.ledger import ReadReport


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
        Samples of the recording that the window holds, `stop` excluded, at `rate_hz`: raw ones unless it was resampled.
    ids : ndarray of str, shape (window,)
        Unique; the key that matches views, cached logits and labels.
    split : ndarray of {"train", "test"} or None, shape (window,)
        The data set's own split, where it has one.
    name : str
        Of the data set.
    cut_report : CutReport or None
        Where the samples went when the windows were cut, before any were selected.
    gaps : ndarray of bool or None, shape (window, channel)
        Where samples are missing (NaN) or were filled; None where all were measured. Only there `values` may hold NaN.
    flags : ndarray of uint16 or None, shape (window, channel)
        Quality flags, bits of `tsimage.quality.FLAGS`; None where they were not looked for.
    read_report : ReadReport or None
        What became of every row of the files that were read, before windows were cut.

    Raises
    ------
    UserError
        If shapes disagree, ids, channel or class names repeat, a label is no class, a part of the split is
        neither train nor test, the rate is not positive, a value is infinite, or NaN where `gaps` knows of none.
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
    gaps: np.ndarray | None = None
    flags: np.ndarray | None = None
    read_report: ReadReport | None = None

    def __post_init__(self) -> None:
        for field in ("channels", "units", "class_names"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
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
        for field in ("gaps", "flags"):
            per_channel = getattr(self, field)
            if per_channel is not None and per_channel.shape != (n, n_channels):
                raise UserError(f"{self.name}: {field} has shape {per_channel.shape}: give one per window and channel")
        self._check_finite()

    def _check_finite(self) -> None:
        first, n_bad = None, 0
        for start, block in blocks(self.values):
            bad = ~np.isfinite(block)
            if bad.any() and self.gaps is not None:
                bad &= ~(np.isnan(block) & self.gaps[start : start + len(block), :, None])
            if bad.any():
                n_bad += int(bad.any(axis=(1, 2)).sum())
                window, channel, sample = (int(i) for i in np.argwhere(bad)[0])
                first = first or (start + window, channel, sample)
        if first is not None:
            window, channel, sample = first
            raise UserError(
                f"{self.name}: window '{self.ids[window]}', channel '{self.channels[channel]}', sample {sample} is "
                f"{self.values[window, channel, sample]} ({n_bad} of {len(self)} windows hold NaN "
                "or infinity): fill or remove these samples"
                + (
                    ", or load with missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
                    if np.isnan(self.values[first])
                    else ""
                )
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
        columns = {f: getattr(self, f)[index] for f in _ROWS if getattr(self, f) is not None}
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
        neighbours = slice(index[0], index[-1] + 1)
        if len(self.channels[neighbours]) == len(index) and is_mapped(self.values):
            values = self.values[:, neighbours]  # a view, so that the file need not fit in memory
        else:
            values = np.ascontiguousarray(self.values[:, index])
        return replace(
            self,
            values=values,
            gaps=None if self.gaps is None else self.gaps[:, index],
            flags=None if self.flags is None else self.flags[:, index],
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
        ranges = self.ranges()
        return ranges[:, :, 0] == ranges[:, :, 1]

    def has_missing(self) -> bool:
        """Tell whether a sample is missing (NaN)."""
        return self.gaps is not None and any(bool(np.isnan(block).any()) for _, block in blocks(self.values))

    def ranges(self) -> np.ndarray:
        """Return the smallest and the largest value of each series: float32, shape (window, channel, 2).

        Missing samples do not count; both are NaN where all are missing.
        """
        ranges = np.empty((*self.values.shape[:2], 2), dtype=self.values.dtype)
        for start, block in blocks(self.values):
            rows = slice(start, start + len(block))
            np.fmin.reduce(block, axis=2, out=ranges[rows, :, 0])
            np.fmax.reduce(block, axis=2, out=ranges[rows, :, 1])
        return ranges

    def fill_gaps(self, limit: str | int) -> Windows:
        """Return the windows with gaps of missing samples filled by straight lines; `gaps` still flags them.

        Parameters
        ----------
        limit : str or int
            Longest gap that is filled, in samples (`10`) or seconds (`0.2s`).

        Raises
        ------
        UserError
            For a longer gap, with the window and channel.
        """
        most = gap_samples(limit, self.rate_hz)
        if self.gaps is None or not self.gaps.any():
            return self
        rows = np.flatnonzero(self.gaps.any(axis=1))
        values = self.values.copy()
        values[rows], _ = fill_gaps(values[rows], most, self.rate_hz, self.channels, self.ids[rows].tolist())
        return replace(self, values=values)

    def fingerprint(self) -> str:
        """Return the sha256 of everything that training can see: values, units, labels, people, ids, split."""
        digest = hashlib.sha256()
        for field in sorted(f.name for f in fields(self) if f.name not in _UNSEEN):
            value = getattr(self, field)
            if field == "gaps" and value is None:
                continue  # as if the field did not exist: most windows are whole
            if isinstance(value, np.ndarray):
                for start, block in blocks(value):
                    if value.dtype.kind in "fib":
                        digest.update(np.ascontiguousarray(block).data)
                    else:
                        digest.update(("\0" * bool(start) + "\0".join(block.tolist())).encode())
                value = f"{value.shape}{value.dtype.kind}"
            digest.update(f"|{field}={value}|".encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the windows to an `.npz` file that `tsimage.load` reads back; returns its path."""
        path = Path(path)
        if path.suffix != ".npz":
            raise UserError(f"cannot save windows as '{path}': the name must end in .npz")
        stored = ("gaps", "values", "channels", "units", "class_names", "name", "rate_hz", *_PER_WINDOW)
        arrays: dict[str, Any] = {f: np.asarray(getattr(self, f)) for f in stored if getattr(self, f) is not None}
        beside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        try:
            np.savez_compressed(beside, **arrays)
            beside.replace(path)  # the windows may be mapped from this very file
        finally:
            beside.unlink(missing_ok=True)
        return path


_DTYPES = {"values": np.float32, "labels": np.int64, "start": np.int64, "stop": np.int64}
_PER_WINDOW = ("labels", "subjects", "recordings", "start", "stop", "ids", "split")
_ROWS = (*_PER_WINDOW, "gaps", "flags")
_UNSEEN = ("name", "cut_report", "read_report", "flags")  # by training


def matching(what: str, patterns: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that equal or match one of the shell-style patterns, in the order of the patterns.

    Matches of one pattern keep their own order, but those that differ only in a final x, y or z come in the order x, y, z.

    Raises
    ------
    UserError
        For a pattern that no name matches.

    Examples
    --------
    >>> matching("channel", ["acc*"], ("acc-x", "acc-y", "gyro-x"))
    ('acc-x', 'acc-y')
    >>> matching("channel", ["acc*"], ("acc-z", "acc-y", "acc-x")), matching("channel", ["z", "x"], ("x", "y", "z"))
    (('acc-x', 'acc-y', 'acc-z'), ('z', 'x'))
    """

    def fits(name: str, pattern: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    for pattern in patterns:
        if not any(fits(name, pattern) for name in names):
            raise unknown(what, pattern, names)
    found = ([name for name in names if fits(name, pattern)] for pattern in patterns)
    return tuple(dict.fromkeys(name for matches in found for name in _axes_in_order(matches)))


def _axes_in_order(names: list[str]) -> list[str]:
    """Put names that differ only in a final x, y or z in this order, each into the place of another."""
    axes: dict[str, list[str]] = {}
    for name in names:
        if name[-1:].lower() in ("x", "y", "z"):
            axes.setdefault(name[:-1], []).append(name)
    inorder = {stem: iter(sorted(group, key=lambda name: name[-1].lower())) for stem, group in axes.items()}
    return [next(inorder[name[:-1]]) if name[-1:].lower() in ("x", "y", "z") else name for name in names]
