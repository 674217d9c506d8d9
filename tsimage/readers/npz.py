"""Windows from an `.npz` file or a folder of `.npy` files: what `Windows.save` writes, or plain `X` and `y` arrays.

A large array of windows is memory-mapped where it lies: in a `.npy` file always, in an `.npz` unless it is compressed.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tsimage.archive_limits import FREE_BYTES, MAX_RATIO
from tsimage.blocks import blocks
from tsimage.errors import UserError, unknown
from tsimage.readers import Reader, ReadOptions
from tsimage.windows import Windows

MAPPED_BYTES = 1 << 26
"""Arrays of windows below this are read: a map has no advantage, and breaks when its file is written over."""

_NAMES = {
    "values": ("values", "X"),
    "labels": ("labels", "y"),
    "subjects": ("subjects", "subject", "groups"),
}
_LENGTH_OF_NAMES_AT = 26  # in the header of a zip member, see APPNOTE 4.3.7
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, options: ReadOptions) -> Windows:
    """Read windows from `values` or `X` (window, channel, time) and `labels` or `y` (window,).

    Optional keys: `subjects` (or `subject`, `groups`), `recordings`, `start`, `stop`, `ids`, `split`
    (train/test), `channels`, `units`, `class_names`, `rate_hz`, `name`. Labels may be text or whole numbers.
    The options `units` and `rate` state what the file leaves out. Above `MAPPED_BYTES`, float32 values that
    `numpy.savez` wrote stay on disk: the windows are read-only views of the file, which may be larger than memory.

    Raises
    ------
    UserError
        If the file is damaged, holds Python objects (windows of unequal length), or lacks values or labels.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a readable .npz file (it is no zip archive): write it anew with numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_claims(archive, path.stat().st_size)
            mapped = _map_values(path)
            arrays = dict(mapped)
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if key != info.filename and key not in mapped:
                    with archive.open(info) as member:
                        arrays[key] = _array(member, info.file_size)
    except Exception as error:  # a dozen types, of zipfile, of zlib, and of the parser of numpy's headers
        raise _unreadable(path, error, ".npz", "numpy.savez") from error
    return windows_of(path, arrays, options)


def read_npy_folder(path: Path, options: ReadOptions) -> Windows:
    """Read windows from a folder with one `.npy` file for each of the arrays that `read_npz` knows.

    `X.npy` (or `values.npy`) above `MAPPED_BYTES` stays on disk if it is float32, as with `read_npz`.

    Raises
    ------
    UserError
        As `read_npz`.
    """
    arrays = {}
    for file in sorted(file for file in path.glob("*.npy") if file.is_file()):  # a pipe would never end
        try:
            size = file.stat().st_size
            with file.open("rb") as opened:
                if file.stem in _NAMES["values"] and size >= MAPPED_BYTES:
                    _header(opened)
                    arrays[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
                else:
                    arrays[file.stem] = _array(opened, size)
        except Exception as error:  # the parser of numpy's headers raises many types
            raise _unreadable(file, error, ".npy", "numpy.save") from error
    return windows_of(path, arrays, options)


def _unreadable(path: Path, error: Exception, kind: str, writer: str) -> UserError:
    if isinstance(error, _ObjectsError):
        return UserError(
            f"{path}: an array holds Python objects, as windows of unequal length do: store windows of one length "
            "as one array (window, channel, time)"
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path}: not a readable {kind} file ({reason}): write it anew with {writer}")


class _ObjectsError(ValueError):
    """An array of Python objects, which only unpickling would read."""


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Read a `.npy` of `size` bytes, which must be what its header claims."""
    shape, _, dtype = _header(file)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - file.tell() or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape} and type {dtype} is not {size - file.tell():,} bytes")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), dtype="u4" if dtype.isnative else np.dtype("u4").newbyteorder())
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise ValueError("an array of text holds what are no characters")
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"an array of format {version}")
    shape, fortran, dtype = _HEADER_READERS[version](file)
    if dtype.hasobject:
        raise _ObjectsError
    if dtype.kind not in "biufUS":
        raise ValueError(f"an array of type {dtype}, which are neither numbers nor text")
    return shape, fortran, dtype


def _check_claims(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse members that claim more than an `.npz` of `size` bytes can hold."""
    total, allowed = 0, max(FREE_BYTES, MAX_RATIO * size)
    for info in archive.infolist():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"'{info.filename}' is packed by method {info.compress_type}")
        if info.compress_type == zipfile.ZIP_STORED and info.file_size > size:
            raise ValueError(f"'{info.filename}' claims {info.file_size:,} bytes")
        total += info.file_size
    if total > allowed:
        raise ValueError(f"it unpacks to {total:,} bytes, allowed are {allowed:,}")


def _map_values(path: Path) -> dict[str, np.ndarray]:
    """Map the large uncompressed arrays of windows of an `.npz` file, which has been read once to see its checksum."""
    mapped: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for key in _NAMES["values"]:
            info = archive.NameToInfo.get(f"{key}.npy")
            if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size < MAPPED_BYTES:
                continue
            with archive.open(info) as member:
                while member.read(1 << 20):  # zipfile raises at the end if the checksum is wrong
                    pass
            file.seek(info.header_offset + _LENGTH_OF_NAMES_AT)
            lengths = np.frombuffer(file.read(4), dtype="<u2")
            offset = info.header_offset + _LENGTH_OF_NAMES_AT + 4 + int(lengths.sum())
            file.seek(offset)
            shape, fortran, dtype = _header(file)
            if file.tell() + math.prod(shape) * dtype.itemsize != offset + info.file_size:
                continue  # it is refused when it is read
            mapped[key] = np.memmap(
                path, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order="F" if fortran else "C"
            )
    return mapped


def windows_of(path: Path, arrays: dict[str, np.ndarray], options: ReadOptions) -> Windows:
    def first(key: str) -> np.ndarray | None:
        return next((arrays[k] for k in _NAMES.get(key, (key,)) if k in arrays), None)

    values, labels = first("values"), first("labels")
    if values is None or labels is None:
        missing = "values (or X)" if values is None else "labels (or y)"
        raise UserError(f"{path}: there is no array {missing}: it holds {', '.join(sorted(arrays)) or 'nothing'}")
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3 or values.dtype.kind not in "fiu" or not values.size:
        raise UserError(
            f"{path}: values of shape {values.shape} and type {values.dtype} are no windows: "
            "give numbers of shape (window, channel, time)"
        )
    n, n_channels, length = values.shape
    if labels.shape != (n,):
        raise UserError(f"{path}: {n} windows but labels of shape {labels.shape}: give one label per window")

    def per_window(key: str, default: np.ndarray) -> np.ndarray:
        found = first(key)
        if found is None:
            return default
        if found.shape != (n,):
            raise UserError(f"{path}: {key} has shape {found.shape} beside {n} windows: give one entry per window")
        return _whole(path, key, found) if default.dtype.kind == "i" else _text(path, key, found)

    def names(key: str) -> tuple[str, ...] | None:
        found = first(key)
        if found is None:
            return None
        if found.ndim != 1:
            raise UserError(f"{path}: {key} has shape {found.shape}: give a list of names")
        return tuple(_text(path, key, found).tolist())

    codes, class_names = _classes(path, labels, names("class_names"))
    numbered = np.array([f"window{i:06d}" for i in range(n)])
    recordings = per_window("recordings", np.full(n, ""))
    start = per_window("start", np.zeros(n, dtype=np.int64))
    stop = per_window("stop", start + length)
    channels, units, split = names("channels"), names("units"), first("split")
    if split is not None:
        split = per_window("split", numbered)
    title = first("name")
    if title is not None and title.size != 1:
        raise UserError(f"{path}: name has shape {title.shape}: give one text")
    rate = first("rate_hz")
    if rate is not None and (rate.size != 1 or rate.dtype.kind not in "fiu"):
        raise UserError(
            f"{path}: rate_hz of shape {rate.shape} and type {rate.dtype} is no rate: give one number in Hz"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite and is refused below
        narrow = values.astype(np.float32, copy=False)
    gaps = first("gaps")
    if gaps is not None and (gaps.shape != (n, n_channels) or gaps.dtype.kind not in "biu"):
        raise UserError(
            f"{path}: gaps of shape {gaps.shape} and type {gaps.dtype} are none: give true or false per window and channel"
        )
    gaps = None if gaps is None else gaps.astype(bool)
    if options.missing != "raise":
        gone = np.concatenate([np.isnan(block).any(axis=2) for _, block in blocks(narrow)])
        gaps = gone if gaps is None else gaps | gone
        gaps = gaps if gaps.any() else None
    return Windows(
        values=narrow,
        channels=tuple(f"channel{i}" for i in range(n_channels)) if channels is None else channels,
        units=options.units_for(n_channels, units),
        rate_hz=options.rate or (None if rate is None else float(rate.item())),
        labels=codes,
        class_names=class_names,
        subjects=per_window("subjects", np.full(n, "")),
        recordings=recordings,
        start=start,
        stop=stop,
        ids=per_window("ids", numbered),
        split=split,
        gaps=gaps,
        name=(path.stem if path.suffix == ".npz" else path.name)
        if title is None
        else str(_text(path, "name", title).item()),
    )


def _text(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """Return an array as text; numbers as they are printed, bytes as UTF-8."""
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(str)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {key} holds bytes that are no UTF-8: store text") from error


def _whole(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """Return an array of whole numbers, which may be stored as floats, as int64."""
    odd = np.full(array.shape, array.dtype.kind not in "biuf")
    if not odd.any():
        odd = ~(np.abs(array.astype(np.float64)) < 2**53)
        odd[~odd] = array[~odd] % 1 != 0 if array.dtype.kind == "f" else False
    if odd.any():
        what = "label" if key == "labels" else key
        said = "class: give whole numbers or text" if key == "labels" else "sample: give whole numbers"
        raise UserError(f"{path}: {what} {array[odd][0]} is no {said}")
    return array.astype(np.int64)


def _classes(path: Path, labels: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels.dtype.kind in "SU":
        labels = _text(path, "labels", labels)
    missing = labels == "" if labels.dtype.kind == "U" else ~np.isfinite(labels.astype(np.float64))
    if missing.any():
        raise UserError(
            f"{path}: window {int(np.argmax(missing))} has no label ({int(missing.sum())} of {len(labels)} windows have "
            "none): label these windows or leave them out"
        )
    if labels.dtype.kind != "U":
        labels = _whole(path, "labels", labels)
    if names is None:
        found, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64), tuple(str(name) for name in found)
    if labels.dtype.kind != "U":
        return labels, names
    for label in np.unique(labels):
        if label not in names:
            raise unknown(f"label in {path}", str(label), names)
    return np.array([names.index(label) for label in labels], dtype=np.int64), names


READER = Reader(
    name="npz",
    summary="one .npz of windows: X (window, channel, time) and y",
    accepts=lambda path: path.is_file() and path.suffix == ".npz",
    read=read_npz,
    options=frozenset({"units", "rate", "missing"}),
)

NPY_READER = Reader(
    name="npy",
    summary="a folder with X.npy and y.npy",
    accepts=lambda path: path.is_dir() and any((path / f"{key}.npy").is_file() for key in _NAMES["values"]),
    read=read_npy_folder,
    options=frozenset({"units", "rate", "missing"}),
)
