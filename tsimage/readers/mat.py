"""MATLAB `.mat` files of windows: one file with X and y, or a folder with a window in each file.

The names of the windows (`ID-102_CLASS-13_Window-0001.mat`, array `xw`) are those of the GENEActiv set of 14 classes.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from tsimage.archives import files_of
from tsimage.errors import UserError
from tsimage.ledger import Ledger, ReadReport
from tsimage.readers import Reader, ReadOptions
from tsimage.readers.mat_arrays import arrays_of
from tsimage.readers.npz import windows_of
from tsimage.readers.ts import MalformedError, numbers_first
from tsimage.windows import Windows

WINDOW = "xw"
ARRAYS = frozenset(
    {"values", "X", "labels", "y", "subjects", "subject", "groups", "recordings", "start", "stop", "ids", "split"}
) | frozenset({"channels", "units", "class_names", "rate_hz", "name"})
"""As in an `.npz` of windows."""

_NAME = re.compile(r"ID-([^_]+)_CLASS-([^_]+)_Window-([^_.]+)\.mat", re.IGNORECASE)


def read_mat(path: Path, options: ReadOptions) -> Windows:
    """Read one file with arrays as in an `.npz` (X of shape (window, channel, time), y), or a folder of windows.

    In a folder, or an archive of one, each file holds a window `xw` of shape (time, channel) or (1, time, channel), and its
    name tells the person and the class: `ID-102_CLASS-13_Window-0001.mat`. A file that is damaged, that has another name
    or another shape than most, is rejected and is a row of the report. Three channels are acc-x, acc-y and acc-z; their
    unit and rate stand nowhere, so that the options `units` and `rate` have to state them.

    Raises
    ------
    UserError
        If a file of windows is damaged, holds cells, structs, objects or functions in place of arrays, or claims to be
        larger than it can be; or if no file of a folder can be used.
    """
    if path.is_dir() or path.suffix.lower() != ".mat":
        return _windows(path, files_of(path, (".mat",)), options)
    try:
        with path.open("rb") as file:
            arrays = arrays_of(file, path.stat().st_size, ARRAYS | {WINDOW})
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check its permissions") from error
    except MalformedError as fault:
        raise UserError(f"{path}: {fault}: save plain arrays X and y anew") from fault
    if WINDOW in arrays and not arrays.keys() & {"values", "X"}:
        return _windows(path, {path.name: path.read_bytes}, options)
    with np.errstate(invalid="ignore"):  # a signalling NaN is NaN
        windows = windows_of(path, {name: _plain(name, arrays[name]) for name in arrays if name != WINDOW}, options)
    name = windows.name if "name" in arrays else path.stem
    return replace(windows, name=name, read_report=ReadReport(rows_read=len(windows)))


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """Undo that MATLAB knows no arrays below two dimensions, and pads rows of text with blanks."""
    if array.dtype.kind == "U":
        array = np.char.rstrip(array)
    if name == "name" and array.size == 1:
        return array.reshape(())
    return array.reshape(-1) if name not in ("values", "X") and array.size == max(array.shape, default=1) else array


def _windows(path: Path, files: dict[str, Callable[[], bytes]], options: ReadOptions) -> Windows:
    ledger = Ledger(strict=options.faults == "raise", rows_read=len(files))
    found: dict[str, tuple[np.ndarray, str, str]] = {}
    for name, content in files.items():
        try:
            match = _NAME.fullmatch(PurePosixPath(name).name)
            if match is None:
                raise MalformedError("name unlike ID-102_CLASS-13_Window-0001.mat")
            raw = content()
            found[name] = _window(arrays_of(io.BytesIO(raw), len(raw), {WINDOW})), match[1], match[2]
        except MalformedError as fault:
            ledger.reject(name, fault.kind, [0], fault.example)
    usual = Counter(values.shape for values, _, _ in found.values()).most_common(1)
    for name in [name for name, (values, _, _) in found.items() if values.shape != usual[0][0]]:
        n_channels, length = found.pop(name)[0].shape
        ledger.reject(name, "shape unlike most windows", [0], f"{length} x {n_channels}")
    if not found:
        raise ledger.nothing_left(path)
    values = np.stack([values for values, _, _ in found.values()])
    n, n_channels, length = values.shape
    class_names = sorted({label for _, _, label in found.values()}, key=numbers_first)
    code = {label: i for i, label in enumerate(class_names)}
    ids = np.array([name[: -len(".mat")] for name in found])
    gaps = np.isnan(values).any(axis=2) if options.missing != "raise" else None
    return Windows(
        values=values,
        channels=("acc-x", "acc-y", "acc-z") if n_channels == 3 else tuple(f"channel{i}" for i in range(n_channels)),
        units=options.units_for(n_channels, None),
        rate_hz=options.rate,
        labels=np.array([code[label] for _, _, label in found.values()], dtype=np.int64),
        class_names=tuple(class_names),
        subjects=np.array([subject for _, subject, _ in found.values()]),
        recordings=ids,
        start=np.zeros(n, dtype=np.int64),
        stop=np.full(n, length, dtype=np.int64),
        ids=ids,
        gaps=gaps if gaps is not None and gaps.any() else None,
        name=path.name.split(".")[0] or path.name,
        read_report=ledger.report(),
    )


def _window(arrays: dict[str, np.ndarray]) -> np.ndarray:
    if WINDOW not in arrays:
        raise MalformedError(f"no array {WINDOW}")
    array = arrays[WINDOW]
    if array.dtype.kind not in "fiub":
        raise MalformedError("text where numbers belong")
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not array.size or array.shape[0] < array.shape[1]:
        raise MalformedError("no window of shape (time, channel)", " x ".join(map(str, array.shape)))
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is infinite, a signalling NaN is NaN
        values = array.T.astype(np.float32)
    if np.isinf(values).any():
        raise MalformedError("infinite value")
    return values


def _accepts(path: Path) -> bool:
    try:
        if path.is_dir():
            return next(path.rglob("*.mat"), None) is not None
        return path.is_file() and path.suffix.lower() == ".mat"
    except OSError:
        return False


READER = Reader(
    name="mat",
    summary="a MATLAB .mat with X and y, or a folder of windows named like ID-102_CLASS-13_Window-0001.mat",
    accepts=_accepts,
    read=read_mat,
    options=frozenset({"faults", "missing", "rate", "units"}),
)
