"""MATLAB `.mat` files of windows: one file with X and y, or a folder with a window in each file.

Files up to v7 are read by `scipy.io.loadmat`, v7.3 by h5py (extra `mat`), and only the arrays that are wanted, after
their headers were checked: neither library may meet an object, a function, a link or a size that the file cannot hold.

Source: MathWorks, "MAT-File Format" (level 5). The names of the windows (`ID-102_CLASS-13_Window-0001.mat`, array `xw`) are
those of the GENEActiv set of 14 classes.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from tsimage.archives import files_of
from tsimage.errors import UserError
from tsimage.ledger import Ledger, ReadReport
from tsimage.readers import Reader, ReadOptions
from tsimage.readers.npz import windows_of
from tsimage.readers.ts import MalformedError, numbers_first
from tsimage.windows import Windows

WINDOW = "xw"
ARRAYS = frozenset(
    {"values", "X", "labels", "y", "subjects", "subject", "groups", "recordings", "start", "stop", "ids"}
) | {
    "split",
    "channels",
    "units",
    "class_names",
    "rate_hz",
    "name",
}
"""As in an `.npz` of windows."""
EXPANSION = 50
"""Compressed sensor data grow about fivefold; what would grow beyond this, and 64 MiB, is not unpacked."""

_NAME = re.compile(r"ID-([^_]+)_CLASS-([^_]+)_Window-([^_.]+)\.mat", re.IGNORECASE)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}  # by type of data
_CHAR, _OPAQUE, _NUMERIC = 4, 17, range(6, 16)  # classes of arrays
_OTHERS = {1: "cell array", 2: "struct", 3: "object", 5: "sparse array", 16: "function handle", _OPAQUE: "object"}
_COMPLEX = 0x800
_HEAD_BYTES = 4096  # holds the header of an array, whose name has at most 63 characters


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


def arrays_of(file: BinaryIO, size: int, wanted: frozenset[str] | set[str]) -> dict[str, np.ndarray]:
    """Return those of the wanted arrays that a `.mat` file of `size` bytes holds: numbers, or rows of text.

    Raises
    ------
    MalformedError
        If the file is damaged, or a wanted array is no plain array or claims more than the file can hold.
    UserError
        If it needs h5py, which is not installed.
    """
    start = file.read(520)
    if _HDF5 in (start[:8], start[512:520]):
        return _read_hdf5(file, size, wanted)
    if not start:
        raise MalformedError("empty file")
    # with a zero in its first four bytes, scipy would take it for version 4, whose sizes are not checked here
    if 0 in start[:4] or start[126:128] not in (b"IM", b"MI"):
        raise MalformedError("no MATLAB file of version 5, 6, 7 or 7.3", "its first bytes are others")
    names = _check_level5(file, size, wanted)
    twice = sorted(name for name, n in Counter(names).items() if n > 1 and name in wanted)
    if twice:
        raise MalformedError("two arrays of one name", twice[0])
    import scipy.io  # slow to import

    file.seek(0)
    try:
        read = scipy.io.loadmat(file, variable_names=sorted(wanted & set(names)))  # type: ignore[arg-type]
    except Exception as error:  # on a damaged body it raises what zlib, NumPy or its own code happen to raise
        raise _damaged(error) from error
    return {name: np.asarray(read[name]) for name in read if name in wanted}


def _check_level5(file: BinaryIO, size: int, wanted: frozenset[str] | set[str]) -> list[str]:
    """Return the names of all variables, after the headers of all and the sizes of the wanted ones were checked."""
    file.seek(126)
    order = "<" if file.read(2) == b"IM" else ">"
    at, names, total = 128, [], 0
    while at < size:
        file.seek(at)
        try:
            kind, claimed = struct.unpack(order + "II", file.read(8))
            if claimed > size - at - 8:
                raise MalformedError("size that the file cannot hold", f"{claimed:,} bytes at byte {at}")
            head = file.read(min(claimed, 16 * _HEAD_BYTES))
            whole = claimed
            if kind == _COMPRESSED:
                head = zlib.decompressobj().decompress(head, _HEAD_BYTES)
                kind, whole = struct.unpack_from(order + "II", head)
                head = head[8:]
            if kind != _MATRIX:
                raise MalformedError("damaged file", f"an element of type {kind} at byte {at}")
            name = _check_array(head, whole, order, wanted)
        except (struct.error, zlib.error, IndexError) as error:
            raise _damaged(error) from error
        names.append(name)
        total += whole if name in wanted else 0
        _check_expansion(total, size)
        at += 8 + claimed
    return names


def _check_array(head: bytes, whole: int, order: str, wanted: frozenset[str] | set[str]) -> str:
    def element(at: int) -> tuple[int, int, int, int]:
        """Return type, bytes, where its data begin, and where the next element does."""
        kind, n_bytes = struct.unpack_from(order + "II", head, at)
        if kind >> 16:  # up to four bytes are packed into the tag
            if kind >> 16 > 4:
                raise MalformedError("damaged file", "a tag that cannot be")
            return kind & 0xFFFF, kind >> 16, at + 4, at + 8
        return kind, n_bytes, at + 8, at + 8 + n_bytes + -n_bytes % 8

    _, n_bytes, at, following = element(0)
    (flags,) = struct.unpack_from(order + "I", head, at)
    if n_bytes != 8 or following > len(head):
        raise MalformedError("damaged file", "an array without flags")
    array_class = flags & 0xFF
    if array_class == _OPAQUE:
        return "None"  # what scipy calls it; its header is another
    _, n_bytes, at, following = element(following)
    if n_bytes % 4 or not 8 <= n_bytes <= 128:
        raise MalformedError("damaged file", "an array without dimensions")
    shape = struct.unpack_from(f"{order}{n_bytes // 4}i", head, at)
    _, n_bytes, at, following = element(following)
    if at + n_bytes > len(head):
        raise MalformedError("damaged file", "a name that does not end")
    name = head[at : at + n_bytes].decode("latin-1")
    if name not in wanted:
        return name
    if array_class not in (_CHAR, *_NUMERIC) or flags & _COMPLEX:
        what = "complex array" if array_class in _NUMERIC else _OTHERS.get(array_class, f"class {array_class}")
        raise MalformedError("no plain array of real numbers or text", f"{name} is a {what}")
    kind, n_bytes, at, _ = element(following)
    least = math.prod(shape) * (_ITEM_BYTES.get(kind, 0) if array_class != _CHAR else 1)
    fits = n_bytes == least if array_class != _CHAR else n_bytes >= least
    if min(shape) < 0 or kind not in _ITEM_BYTES or not fits or at + n_bytes > whole:
        said = " x ".join(map(str, shape))
        raise MalformedError("size that the file cannot hold", f"{name} of {said} in {n_bytes:,} bytes")
    return name


def _read_hdf5(file: BinaryIO, size: int, wanted: frozenset[str] | set[str]) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            "reading a MATLAB v7.3 file needs h5py: pip install 'tsimage[mat]', or save it with -v7"
        ) from error
    arrays = {}
    file.seek(0)
    try:
        with h5py.File(file, "r") as held:
            for name in sorted(wanted):
                if not held.id.links.exists(name.encode()):
                    continue
                if held.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                    raise MalformedError("link in place of an array", name)
                array = held[name]
                if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "fiub":
                    raise MalformedError(
                        "no plain array of real numbers or text", f"{name} is a cell, struct or object"
                    )
                if array.is_virtual or array.external:
                    raise MalformedError("array that lies in another file", name)
                for shape in (array.shape, array.chunks or ()):
                    _check_expansion(math.prod(shape) * array.dtype.itemsize, size)
                if array.attrs.get("MATLAB_empty", 0):
                    raise MalformedError("empty array", name)
                values = array[()].T
                if array.attrs.get("MATLAB_class", b"") == b"char":
                    rows = np.atleast_2d(values).tolist()
                    values = np.array(["".join(map(chr, row)) for row in rows])
                arrays[name] = values
    except MalformedError:
        raise
    except Exception as error:  # on a damaged file it raises what its C library's wrappers happen to raise
        raise _damaged(error) from error
    return arrays


def _check_expansion(claimed: int, size: int) -> None:
    if claimed > (1 << 26) + EXPANSION * size:
        raise MalformedError("size that the file cannot hold", f"{claimed:,} bytes from {size:,}")


def _damaged(error: Exception) -> MalformedError:
    return MalformedError("damaged file", " ".join(str(error).split()) or type(error).__name__)


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
