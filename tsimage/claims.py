"""Chunks that several processes paint into one file: whoever paints a chunk holds the lock of its bytes.

The lock goes with its process, so that the chunk of a killed one is free for the others. It is a lock of the images
themselves rather than a file beside them, which also keeps NFS from writing back more than the bytes that were painted.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tsimage.chunks import Chunk
from tsimage.journal import JournalledImages
from tsimage.sharing import Member, no_locks

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WAIT_S = 0.2
"""How long to wait before looking again whether a chunk that another process paints is done or free."""


class Claims:
    """The chunks that fall to this process: an iterable that ends when all are done, here or elsewhere.

    Parameters
    ----------
    chunks : sequence of Chunk
        All chunks of the file.
    images : JournalledImages
        Nothing else in this process may have its file open: to close that would give up the locks.
    member : Member
        This process among those that make the file.
    """

    def __init__(self, chunks: Sequence[Chunk], images: JournalledImages, member: Member) -> None:
        self.chunks, self.images, self.member = chunks, images, member

    def __iter__(self) -> Iterator[Chunk]:
        waiting = list(self.chunks)
        while waiting := self._missing(waiting):
            mine = next((chunk for chunk in waiting if self._claim(chunk)), None)
            if mine is None:
                time.sleep(WAIT_S)
            elif self._missing([mine]):  # it may have been finished before its lock was free
                waiting.remove(mine)
                yield mine
            else:
                self._let_go(mine)

    def _missing(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Return those of some chunks that are not done; none where others have published, and removed the journal."""
        self.images.look()
        if self.member.is_over():
            return []
        return [chunk for chunk in chunks if chunk.number not in self.images.done]

    def write(self, chunk: Chunk, images: np.ndarray) -> None:
        """Write the images of a claimed chunk, and let go of it also when that fails."""
        try:
            self.images.write(chunk, images)
        finally:
            self._let_go(chunk)

    def _span(self, chunk: Chunk) -> tuple[int, int]:
        return len(chunk) * self.images.n_bytes, self.images.offset(chunk)

    def _claim(self, chunk: Chunk) -> bool:
        try:
            fcntl.lockf(self.images.file, fcntl.LOCK_EX | fcntl.LOCK_NB, *self._span(chunk))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise no_locks(self.member.output) from error
        return True

    def _let_go(self, chunk: Chunk) -> None:
        fcntl.lockf(self.images.file, fcntl.LOCK_UN, *self._span(chunk))
