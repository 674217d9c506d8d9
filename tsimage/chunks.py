"""Painting chunk by chunk into two buffers, each written while the next chunk is painted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsimage.blocks import release

if TYPE_CHECKING:
    from tsimage.imager import Imager
    from tsimage.windows import Windows

CHUNK_BYTES = 1 << 24
"""About how many bytes of images are painted, checked and written at a time."""


@dataclass(frozen=True)
class Chunk:
    """The windows from `start` up to but not including `stop`."""

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def image_shape(windows: Windows, imager: Imager) -> tuple[int, int, int]:
    """Return the shape of the stack of images of one window: (channel, height, width)."""
    return len(imager.channel_names(windows.channels)), imager.size, imager.size


def image_bytes(windows: Windows, imager: Imager) -> int:
    """Return the bytes of the stack of images of one window."""
    return int(np.prod(image_shape(windows, imager))) * np.dtype(imager.dtype).itemsize


def chunks_of(n: int, n_bytes: int, multiple: int = 1) -> list[Chunk]:
    """Divide n windows into chunks whose images have about `CHUNK_BYTES`; the last one may be shorter.

    Parameters
    ----------
    n : int
    n_bytes : int
        Of the images of one window.
    multiple : int
        Windows in a chunk are a multiple of this.
    """
    length = max(1, CHUNK_BYTES // (n_bytes * multiple)) * multiple
    return [Chunk(number, start, min(start + length, n)) for number, start in enumerate(range(0, n, length))]


def paint(
    windows: Windows,
    imager: Imager,
    chunks: Iterable[Chunk],
    write: Callable[[Chunk, np.ndarray], None],
    on_written: Callable[[Chunk], None],
) -> None:
    """Paint chunks one after another and hand each to `write`, in a thread of its own, while the next is painted.

    Two buffers are all the memory that is taken, whatever the number of windows.

    Parameters
    ----------
    windows : Windows
    imager : Imager
    chunks : iterable of Chunk
        Asked for the next one while the one before is being written.
    write : callable
        Receives a chunk and its images, shape (window, channel, height, width), which are valid until it returns.
        It is never called twice at a time.
    on_written : callable
        Receives each chunk after it was written, in the thread of the caller.
    """
    shape = image_shape(windows, imager)
    buffers = [np.empty((0, *shape), dtype=imager.dtype)] * 2
    writing: tuple[Chunk, Future[None]] | None = None

    def finish() -> None:
        if writing is not None:
            writing[1].result()
            on_written(writing[0])

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="write") as writer:
        for turn, chunk in enumerate(chunks):
            if len(buffers[turn % 2]) < len(chunk):
                buffers[turn % 2] = np.empty((len(chunk), *shape), dtype=imager.dtype)
            images = buffers[turn % 2][: len(chunk)]
            # a view of a file may lie at an odd address, which compiled loops do not take
            series = np.require(windows.values[chunk.start : chunk.stop], requirements=["C", "A"])
            imager(series, windows.units, missing="raise" if windows.gaps is None else "mask", out=images)
            release(windows.values)
            finish()
            writing = chunk, writer.submit(write, chunk, images)
        finish()
