"""What is in a data set or folder, told before anything is converted."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.cutting import Recording
from tsimage.datasets import Source, chosen, cut_source, read
from tsimage.errors import UserError
from tsimage.ledger import ReadReport
from tsimage.quality import counts
from tsimage.readers import ReadOptions, RecordingSet
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """What was found.

    Parameters
    ----------
    source : Source
        Recordings or windows as they were read.
    windows : Windows or None
        What they give under the options; None where they give none, and then `why_none` says why.
    why_none : str
        One sentence, empty where there are windows.
    """

    source: Source
    windows: Windows | None
    why_none: str = ""

    @property
    def recordings(self) -> list[Recording]:
        """The recordings; none where the format holds windows."""
        return self.source.content.recordings if isinstance(self.source.content, RecordingSet) else []

    @property
    def report(self) -> ReadReport | None:
        """What became of every row, with statements on units and rates."""
        if self.windows is not None:
            return self.windows.read_report
        content = self.source.content
        return content.report if isinstance(content, RecordingSet) else content.read_report

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each class in the recordings (in the windows where there are none), most first."""
        total: dict[str, float] = defaultdict(float)
        for recording in self.recordings:
            for segment in recording.segments:
                total[segment.label] += (segment.stop - segment.start) / recording.rate_hz
        if not self.recordings and self.windows is not None and self.windows.rate_hz:
            each = self.windows.length / self.windows.rate_hz
            total |= {name: n * each for name, n in self.classes().items()}
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def classes(self) -> dict[str, int]:
        """Return the number of windows of each class, in the order of the classes."""
        if self.windows is None:
            return {}
        numbers = np.bincount(self.windows.labels, minlength=len(self.windows.class_names))
        return dict(zip(self.windows.class_names, numbers.tolist(), strict=True))

    def people(self) -> list[str]:
        """Return the names of the people who are known."""
        if self.recordings:
            names = {recording.subject for recording in self.recordings}
        else:
            names = set() if self.windows is None else set(self.windows.subjects.tolist())
        return sorted(names - {""})

    def flags(self) -> dict[str, int]:
        """Return how many windows have each quality flag."""
        return {} if self.windows is None else counts(self.windows)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        channels, units, rate = self.layout()
        report, windows = self.report, self.windows
        return {
            "name": self.source.name,
            "format": self.source.format,
            "recordings": len(self.recordings),
            "seconds": sum(r.values.shape[1] / r.rate_hz for r in self.recordings),
            "breaks": sum(len(r.breaks) for r in self.recordings),
            "people": self.people(),
            "channels": list(channels),
            "units": list(units),
            "rate_hz": rate,
            "rows": None if report is None else report.as_dict(),
            "class_seconds": self.seconds(),
            "windows": None if windows is None else len(windows),
            "window_samples": None if windows is None else windows.length,
            "class_windows": self.classes(),
            "cut": None if windows is None or windows.cut_report is None else dataclasses.asdict(windows.cut_report),
            "flags": self.flags(),
            "why_no_windows": self.why_none,
        }

    def lines(self) -> list[str]:
        """Say it in plain lines."""
        channels, units, rate = self.layout()
        known = self.as_dict()
        people = known["people"]
        said = [f"{self.source.name}: format {self.source.format}"]
        if self.report is not None:
            said += str(self.report).splitlines()
        if self.recordings:
            said.append(
                f"Recordings: {known['recordings']:,}, {_time(known['seconds'])} in all, {known['breaks']:,} breaks in time"
            )
        said.append(f"People: {len(people)} ({_some(people)})" if people else "People: unknown")
        said.append(
            "Channels: " + ", ".join(f"{c} ({u or 'unit unknown'})" for c, u in zip(channels, units, strict=True))
        )
        said.append(f"Rate: {rate:g} Hz" if rate else "Rate: unknown")
        seconds, windows = self.seconds(), self.classes()
        said.append(f"Classes: {len(windows or seconds)}")
        for name in sorted(windows or seconds, key=lambda c: -(windows or seconds)[c]):
            told = [f"{windows[name]:,} windows"] if windows else []
            told += [_time(seconds[name])] if name in seconds else []
            said.append(f"  {name}: {', '.join(told)}")
        if self.windows is None:
            said.append(f"Windows: none yet: {self.why_none}")
            return said
        said.append(
            f"Windows: {len(self.windows):,} of {self.windows.length} samples"
            + (f" ({self.windows.length / rate:g} s)" if rate else "")
        )
        if self.windows.cut_report is not None:
            said.append(str(self.windows.cut_report))
        flags = {name: n for name, n in self.flags().items() if n}
        flagged = ", ".join(f"{name} {n:,} ({100 * n / len(self.windows):.1f} %)" for name, n in flags.items())
        said.append(f"Windows with a quality flag: {flagged}" if flags else "Windows with a quality flag: none")
        return said

    def layout(self) -> tuple[tuple[str, ...], tuple[str, ...], float | None]:
        """Return channels, units and rate: of the windows, else of the first recording."""
        if self.windows is not None:
            return self.windows.channels, self.windows.units, self.windows.rate_hz
        first = self.recordings[0]
        return first.channels, first.units, first.rate_hz


def overview(data: str | Path, options: ReadOptions) -> Overview:
    """Read a data set of the catalogue, a file or a folder, and look at what it holds.

    Parameters
    ----------
    data : str or Path
        As in `tsimage.load`.
    options : ReadOptions
        What to read and how it would be cut. Without a window length, recordings of a format that fixes none are
        looked at uncut.

    Raises
    ------
    UserError
        If it cannot be read at all.
    """
    source = read(data, options)
    try:
        windows = cut_source(source, options)
    except UserError as error:
        if isinstance(source.content, Windows) or not source.content.recordings:
            raise
        return Overview(source=source, windows=None, why_none=str(error))
    kept = options if options.constant == "drop" else dataclasses.replace(options, constant="flag")
    return Overview(source=source, windows=chosen(source, windows, kept))


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.4g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
