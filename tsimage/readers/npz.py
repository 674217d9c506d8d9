"""Windows from an `.npz` file or a folder of `.npy` files: what `Windows.save` writes, or plain `X` and `y` arrays.

A large array of windows is memory-mapped where it lies: in a `.npy` file always, in an `.npz` unless it is compressed.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

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
        mapped = _map_values(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key not in mapped} | mapped
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        _refuse_objects(path, error)
        raise UserError(f"{path}: not a readable .npz file ({error}): write it anew with numpy.savez") from error
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
    for file in sorted(path.glob("*.npy")):
        try:
            large = file.stem in _NAMES["values"] and file.stat().st_size >= MAPPED_BYTES
            arrays[file.stem] = np.load(file, mmap_mode="r" if large else None, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            _refuse_objects(file, error)
            raise UserError(f"{file}: not a readable .npy file ({error}): write it anew with numpy.save") from error
    return windows_of(path, arrays, options)


def _refuse_objects(path: Path, error: Exception) -> None:
    if "Object arrays" in str(error):
        raise UserError(
            f"{path}: an array holds Python objects, as windows of unequal length do: store windows of one length "
            "as one array (window, channel, time)"
        ) from error


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
            read_header = _HEADER_READERS.get(np.lib.format.read_magic(file))
            if read_header is None:
                continue
            shape, fortran, dtype = read_header(file)
            if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize != offset + info.file_size:
                continue  # numpy says what is wrong with it
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
    if values.ndim != 3 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: values of shape {values.shape} and type {values.dtype} are no windows: "
            "give numbers of shape (window, channel, time)"
        )
    n, n_channels, length = values.shape
    if labels.shape != (n,):
        raise UserError(f"{path}: {n} windows but labels of shape {labels.shape}: give one label per window")
    codes, class_names = _classes(path, labels, first("class_names"))

    def per_window(key: str, default: np.ndarray) -> np.ndarray:
        found = first(key)
        if found is None:
            return default
        if found.shape != (n,):
            raise UserError(f"{path}: {key} has shape {found.shape} beside {n} windows: give one entry per window")
        return found.astype(default.dtype if default.dtype.kind == "i" else str)

    numbered = np.array([f"window{i:06d}" for i in range(n)])
    recordings = per_window("recordings", np.full(n, ""))
    start = per_window("start", np.zeros(n, dtype=np.int64))
    stop = per_window("stop", start + length)
    channels, units, split = first("channels"), first("units"), first("split")
    if split is not None:
        split = per_window("split", numbered)
    rate = first("rate_hz")
    if rate is not None and (rate.size != 1 or rate.dtype.kind not in "fiu"):
        raise UserError(
            f"{path}: rate_hz of shape {rate.shape} and type {rate.dtype} is no rate: give one number in Hz"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite and is refused below
        narrow = values.astype(np.float32, copy=False)
    gaps = first("gaps")
    if options.missing != "raise":
        gone = np.concatenate([np.isnan(block).any(axis=2) for _, block in blocks(narrow)])
        gaps = gone if gaps is None else gaps | gone
        gaps = gaps if gaps.any() else None
    return Windows(
        values=narrow,
        channels=tuple(f"channel{i}" for i in range(n_channels)) if channels is None else tuple(channels.tolist()),
        units=options.units_for(n_channels, None if units is None else tuple(units.tolist())),
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
        name=(path.stem if path.suffix == ".npz" else path.name) if first("name") is None else str(first("name")),
    )


def _classes(path: Path, labels: np.ndarray, names: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    missing = labels == "" if labels.dtype.kind == "U" else ~np.isfinite(labels.astype(np.float64))
    if missing.any():
        raise UserError(
            f"{path}: window {int(np.argmax(missing))} has no label ({int(missing.sum())} of {len(labels)} windows have "
            "none): label these windows or leave them out"
        )
    if labels.dtype.kind == "f":
        if (labels % 1 != 0).any():
            raise UserError(f"{path}: label {labels[labels % 1 != 0][0]} is no class: give whole numbers or text")
        labels = labels.astype(np.int64)
    if names is None:
        found, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64), tuple(str(name) for name in found)
    class_names = tuple(str(name) for name in names)
    if labels.dtype.kind != "U":
        return labels.astype(np.int64), class_names
    for label in np.unique(labels):
        if label not in class_names:
            raise unknown(f"label in {path}", str(label), class_names)
    return np.array([class_names.index(label) for label in labels], dtype=np.int64), class_names


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
