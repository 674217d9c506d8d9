"""What a model is to label, read: recordings, or windows where a format holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distill.deploy.fitting import match_channels
from tsimage.catalogue import ENTRIES
from tsimage.datasets import Source, read
from tsimage.locating import opened
from tsimage.readers import Reader, ReadOptions, reader_for, reader_named
from tsimage.readers.table import columns_of
from tsimage.store import is_store


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a recording is read: those options of `ReadOptions` that a model leaves open."""

    channels: tuple[str, ...] = ()
    """Channels to take for those of the model, in its order (a,b,c or a b c); by name unless given."""
    label: str | None = None
    """Tables: column of the true class, where there is one."""
    time: str | None = None
    """Tables: column of the time, as numbers (see --time-unit) or as dates."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Tables: unit of a numeric time column; seconds unless given."""
    rate: float | None = None
    """Sampling rate in Hz, where no time column tells it."""
    subject: str | None = None
    """Tables: column of the person (or see path-pattern)."""
    recording: str | None = None
    """Tables: column of the recording, where one file holds several (or see path-pattern)."""
    units: tuple[str, ...] = ()
    """Unit of the channels (g, m/s^2, rad/s, deg/s): one for all or one for each."""
    format: str | None = None
    """Reader, by name (tsimage formats lists them), or a Python file of your own that holds a READER; found by looking at
    the path unless given."""
    layout: Literal["wide", "long"] = "wide"
    """Tables: a column for every channel; or a row for every sample of every channel, with the two columns below."""
    channel_column: str | None = None
    """Long tables: column of the channel's name."""
    value_column: str | None = None
    """Long tables: column of the value."""
    path_pattern: str | None = None
    """Where the subject, the label or the recording stand in the path of a file: '{subject}/{label}-{recording}.csv'."""
    faults: Literal["reject", "raise"] = "reject"
    """Malformed rows: leave them out, counted with file, line and reason; or stop at the first."""
    resample: bool = False
    """Resample recordings of another rate, with a filter against aliasing; else they are refused."""

    def __post_init__(self) -> None:
        names = [name.strip() for each in self.channels for name in each.split(",")]
        object.__setattr__(self, "channels", tuple(name for name in names if name))


def read_for(data: str, reading: Reading, channels: Sequence[str], *, say: Callable[[str], None]) -> Source:
    """Read what a model is to label, with missing samples (NaN) and samples without a label kept.

    Parameters
    ----------
    data : str
        A data set of the catalogue, or a file or folder.
    reading : Reading
    channels : sequence of str
        That the model wants; empty if any will do.
    say : callable
        Takes a statement where columns stand in another order than the channels of the model.

    Raises
    ------
    UserError
        As `tsimage.datasets.read`; and for a table without the channels.
    """
    shared = {name: getattr(reading, name) for name in _SHARED}
    reader = _reader(data, reading)
    if reader is None:
        return read(data, ReadOptions(**shared))
    if "missing" in reader.options:
        shared["missing"] = "mask"
    if reader.name == "table":
        shared["drop_unlabelled"] = True
        if reading.label is None and "{label}" not in (reading.path_pattern or ""):
            shared["label"] = ""
        shared["channels"] = _columns(data, reading, channels, say)
    return read(data, ReadOptions(**shared))


_SHARED = (
    *("label", "time", "time_unit", "rate", "subject", "recording", "units", "format", "layout"),
    *("channel_column", "value_column", "path_pattern", "faults"),
)


def _reader(data: str, reading: Reading) -> Reader | None:
    """Return the reader that will be asked; None where there is none, and reading says why."""
    entry = ENTRIES.get(data)
    if entry is not None:
        return opened(entry)[1] if entry.formats and reading.format is None else None
    path = Path(data)
    if not (path.is_file() or path.is_dir()) or is_store(path):
        return None
    return reader_for(path) if reading.format is None else reader_named(reading.format)


def _columns(data: str, reading: Reading, channels: Sequence[str], say: Callable[[str], None]) -> tuple[str, ...]:
    """Return the columns of a wide table that hold the channels; of a long one all channels are read."""
    if reading.layout == "long":
        return ("*",)
    if reading.channels or not channels:
        return reading.channels
    there = columns_of(Path(data))
    if not there:
        return tuple(channels)  # reading says that there is no table
    order = match_channels(data, there, channels)
    names = tuple(there[i] for i in order)
    if order != sorted(order):
        say(f"{data}: columns put into the order of the model, by name: {', '.join(names)}")
    return names
