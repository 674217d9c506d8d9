"""Walking through arrays larger than memory, without keeping what was walked through."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 1 << 24


def blocks(array: np.ndarray, n_bytes: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position of the first row and the rows of one block after another.

    Memory-mapped pages are given back after each block, so the process stays small whatever the file's size.

    Parameters
    ----------
    array : ndarray, shape (row, ...)
    n_bytes : int, optional
        About how large a block is; by default `BLOCK_BYTES`. It holds at least one row.

    Yields
    ------
    tuple of int and ndarray

    Examples
    --------
    >>> [(start, block.tolist()) for start, block in blocks(np.arange(5), n_bytes=16)]
    [(0, [0, 1]), (2, [2, 3]), (4, [4])]
    """
    row = array.itemsize * math.prod(array.shape[1:])
    length = max(1, (n_bytes or BLOCK_BYTES) // max(1, row))
    for start in range(0, len(array), length):
        yield start, array[start : start + length]
        release(array)


def release(array: np.ndarray) -> None:
    """Give the pages of a read-only memory map, or of a view of one, back to the system; the file keeps them.

    Any other array is left alone.
    """
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def is_mapped(array: np.ndarray) -> bool:
    """Tell whether an array is a read-only memory map of a file, or a view of one."""
    return _mapping(array) is not None


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode != "r":
            return None  # its changes may live nowhere else
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
