"""What a model is to label, read: recordings, or windows where a format holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from distill.deploy.fitting import match_channels
from distill.deploy.reading import Reading
from tsimage.catalogue import ENTRIES
from tsimage.datasets import Source, read
from tsimage.locating import opened
from tsimage.readers import Reader, ReadOptions, reader_for, reader_named
from tsimage.readers.table import columns_of
from tsimage.store import is_store

_SHARED = (
    *("label", "time", "time_unit", "rate", "subject", "recording", "units", "format", "layout"),
    *("channel_column", "value_column", "path_pattern", "faults"),
)


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
