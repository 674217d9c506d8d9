"""The arrays of a MATLAB `.mat` file, read only after what it claims was checked.

Files up to v7 are read by `scipy.io.loadmat`, v7.3 by h5py (extra `mat`), and only the arrays that are wanted, after
their headers were checked: neither library may meet an object, a function, a link or a size that the file cannot hold.

Source: MathWorks, "MAT-File Format" (level 5).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections import Counter
from typing import BinaryIO

import numpy as np

from tsimage.errors import UserError
from tsimage.readers.ts import MalformedError

EXPANSION = 50
"""Compressed sensor data grow about fivefold; what would grow beyond this, and 64 MiB, is not unpacked."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}  # by type of data
_CHAR, _OPAQUE, _NUMERIC = 4, 17, range(6, 16)  # classes of arrays
_OTHERS = {1: "cell array", 2: "struct", 3: "object", 5: "sparse array", 16: "function handle", _OPAQUE: "object"}
_COMPLEX = 0x800
_HEAD_BYTES = 4096  # holds the header of an array, whose name has at most 63 characters


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
