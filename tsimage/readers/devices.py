"""Recordings of GENEActiv (`.bin`) and Axivity (`.cwa`) devices, decoded by scikit-digital-health (extra `devices`).

Formats: GENEActiv instruction manual (59 lines of header, pages of 10 lines with 300 samples); Open Movement AX3/AX6 `.cwa`
(header of 1,024 bytes, blocks of 512 with a checksum). Accelerometer in g, and where an AX6 has one, gyroscope in deg/s.
Times are the local ones of the device.

The decoder trusts a file: it fills damaged blocks with zeros or stops, and may crash. So every page and block is checked
first; a bad one is rejected with all its samples, counted by its line (`.bin`) or block (`.cwa`, from 0 after the header), and
the decoder gets a copy without it. Clocks are checked by `tsimage.clock`: a rejected page is a break.

A device knows no activities. They are read from `NAME.labels.csv` beside `NAME.bin`, with the columns `start`, `stop` and
`label`, times in seconds from the start of the recording or as ISO 8601 dates of the device's clock; a sample at `stop` does not
belong to the stretch. Samples without a label are kept in the recording and in no window. The person is the subject code of
the header of a `.bin`, else the name of the file.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsimage.clock import timeline
from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.device_files import copy_bin, copy_cwa, is_device_file

SUFFIXES = (".bin", ".cwa")
_ZONE = re.compile(r"T.*(?:Z|[+-]\d\d:?\d\d)\s*$|Z\s*$|:\d\d\s?[+-]\d\d:?\d\d\s*$")


def read_devices(path: Path, options: ReadOptions) -> RecordingSet:
    """Read one device file, or every one below a folder, each a recording of its own.

    Parameters
    ----------
    path : Path
        A `.bin` or `.cwa` file, or a folder.
    options : ReadOptions
        `faults` decides what damaged pages and blocks do, `units` replaces those of the device.

    Returns
    -------
    RecordingSet
        Without segments where there are no labels.

    Raises
    ------
    UserError
        If scikit-digital-health is missing, a file is of another kind, has no sound page or block, or its labels are
        malformed.
    """
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise UserError(f"{path}: no .bin or .cwa file of a GENEActiv or Axivity device is there: give the path of one")
    ledger = Ledger(strict=options.faults == "raise")
    recordings = []
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        recordings.append(_recording(file, name, options, ledger))
    labels = sorted({segment.label for recording in recordings for segment in recording.segments})
    return RecordingSet(recordings=recordings, class_names=tuple(labels), report=ledger.report())


def _recording(file: Path, name: str, options: ReadOptions, ledger: Ledger) -> Recording:
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{file}: '{file.suffix}' is no device file: allowed are .bin (GENEActiv) and .cwa (Axivity)")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"sound{suffix}"
        sound = (copy_bin if suffix == ".bin" else copy_cwa)(file, name, copy, ledger)
        decoded = _decoded(copy, file, len(sound.rows))
    times = decoded["time"]
    signals, channels, units = [decoded["accel"]], ["acc-x", "acc-y", "acc-z"], ["g"] * 3
    for key, prefix, unit in (("gyro", "gyro", "deg/s"), ("magnet", "mag", "uT")):
        if key in decoded:
            signals.append(decoded[key])
            channels += [f"{prefix}-{axis}" for axis in "xyz"]
            units += [unit] * 3
    clock = timeline(times, sound.rows, name, ledger, rate_hz=float(decoded["fs"]))
    stem = name.removesuffix(file.suffix)
    lost = np.cumsum(np.diff(sound.rows, prepend=sound.rows[0]) > 1)[clock.kept]  # pages that were rejected
    breaks = np.union1d(clock.breaks, np.flatnonzero(np.diff(lost)) + 1)
    return Recording(
        id=stem,
        subject=sound.subject or stem,
        values=np.ascontiguousarray(np.concatenate(signals, axis=1)[clock.kept].T, dtype=np.float32),
        channels=tuple(channels),
        units=options.units_for(len(channels), tuple(units)),
        rate_hz=clock.rate_hz,
        segments=_labelled(file, name, times[clock.kept], breaks, ledger),
        breaks=tuple(breaks.tolist()),
    )


def _decoded(copy: Path, file: Path, n_samples: int) -> dict[str, Any]:
    try:
        from skdh.io import ReadBin, ReadCwa
    except ImportError as error:
        raise UserError(
            f"{file}: GENEActiv and Axivity files are read by scikit-digital-health, which is not installed: "
            "pip install 'tsimage[devices]'"
        ) from error
    reader = ReadBin() if copy.suffix == ".bin" else ReadCwa()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # local times have no zone
            for loss in ("Bad data blocks", "Found an empty block"):
                warnings.filterwarnings("error", loss)
            decoded = reader.predict(file=copy)
    except (RuntimeError, RuntimeWarning, ValueError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{file}: cannot be decoded ({reason}): get a fresh copy from the device") from error
    return {key: value[:n_samples] if isinstance(value, np.ndarray) else value for key, value in decoded.items()}


def _labelled(file: Path, name: str, times: np.ndarray, breaks: np.ndarray, ledger: Ledger) -> tuple[Segment, ...]:
    """Return the stretches of the labels file, ended at breaks; none where there is no such file."""
    table = file.with_suffix(".labels.csv")
    if not table.is_file():
        ledger.say(f"{name} has no labels: windows need {table.name} beside it, with the columns start, stop and label")
        return ()
    starts, stops, labels, lines = _stretches(table, times[0])
    inside = np.searchsorted(starts, times, side="right") - 1
    inside[(inside >= 0) & (times >= stops[inside])] = -1
    empty = np.setdiff1d(np.arange(len(starts)), inside)
    ledger.note(name.removesuffix(file.suffix) + ".labels.csv", "label without samples", lines[empty])
    edges = np.union1d(np.flatnonzero(np.diff(inside)) + 1, breaks).astype(int)
    return tuple(
        Segment(start=start, stop=stop, label=labels[inside[start]])
        for start, stop in pairwise([0, *edges.tolist(), len(times)])
        if inside[start] >= 0
    )


def _stretches(table: Path, origin: float) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Return start and stop in the seconds of the device, label and line of each stretch, in the order of time."""
    try:
        reader = csv.reader(io.StringIO(table.read_text(encoding="utf-8-sig")), skipinitialspace=True, strict=True)
        rows = dict[int, list[str]]()
        for row in reader:
            if row:
                rows[reader.line_num] = row
    except (ValueError, OSError, csv.Error) as error:
        raise UserError(f"{table}: not a readable csv ({' '.join(str(error).split())}): mend it") from error
    header = [name.strip() for name in rows.pop(min(rows, default=0), [])]
    absent = [column for column in ("start", "stop", "label") if header.count(column) != 1]
    if absent:
        raise UserError(f"{table}: column {' and '.join(absent)} is missing: it needs start, stop and label")
    for line, row in rows.items():
        if len(row) != len(header):
            raise UserError(f"{table}, line {line}: it has {len(row)} fields under {len(header)} names: mend it")
    frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=str)
    if frame.empty:
        raise UserError(f"{table}: there are no stretches in it: fill it or remove it")
    bounds = [_seconds(table, frame[column], origin) for column in ("start", "stop")]
    order = np.argsort(bounds[0], kind="stable")
    starts, stops = (bound[order] for bound in bounds)
    lines, labels = frame.index.to_numpy()[order], [frame["label"].iloc[i].strip() for i in order]
    for i, label in enumerate(labels):
        if not label:
            raise UserError(f"{table}, line {lines[i]}: the label is empty: fill it or remove the line")
        if not starts[i] < stops[i]:
            raise UserError(f"{table}, line {lines[i]}: stop must be later than start: mend it")
        if i and starts[i] < stops[i - 1]:
            raise UserError(
                f"{table}, line {lines[i]}: the stretch begins before that of line {lines[i - 1]} ends: a sample has one label"
            )
    return starts, stops, labels, lines


def _seconds(table: Path, column: pd.Series, origin: float) -> np.ndarray:
    seconds = pd.to_numeric(column, errors="coerce").to_numpy(np.float64) + origin
    dates = pd.to_datetime(column.where(~column.str.contains(_ZONE)), format="ISO8601", errors="coerce")
    elapsed = (dates.dt.as_unit("us") - pd.Timestamp(0).as_unit("us")).dt.total_seconds().to_numpy(np.float64)
    times = np.where(np.isnan(seconds), elapsed, seconds)
    if not np.isfinite(times).all():
        row = int(np.argmin(np.isfinite(times)))
        raise UserError(
            f"{table}, line {column.index[row]}: {column.name} is '{column.iloc[row]}': give seconds from the start, or an ISO 8601 date "
            "of the device's clock without a time zone"
        )
    return times


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and is_device_file(file)]


def _accepts(path: Path) -> bool:
    try:
        return bool(_files(path)) if path.is_dir() else is_device_file(path)
    except OSError:
        return False


READER = Reader(
    name="devices",
    summary="GENEActiv .bin and Axivity .cwa recordings, with NAME.labels.csv beside each",
    accepts=_accepts,
    read=read_devices,
    options=CUT_OPTIONS | {"faults", "units"},
)
