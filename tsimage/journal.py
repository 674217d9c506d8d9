"""Images on disk with a journal of what is finished, from which a killed conversion continues."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from tsimage import atomic
from tsimage.chunks import Chunk


class JournalledImages:
    """The file of images while it grows: each chunk is written at its place, then noted in the journal.

    Parameters
    ----------
    file : binary file, unbuffered, open for reading and writing
    header_bytes : int
        Where the images begin.
    n_bytes : int
        Of the images of one window.
    journal : Path
        One line of JSON for each chunk that is on the disk.
    """

    def __init__(self, file: IO[bytes], header_bytes: int, n_bytes: int, journal: Path) -> None:
        self.file, self.header_bytes, self.n_bytes, self.journal = file, header_bytes, n_bytes, journal
        self.done: dict[int, str] = {}

    def write(self, chunk: Chunk, images: np.ndarray) -> None:
        """Write the images of a chunk, see that they are on the disk, and note their checksum."""
        data = images.data.cast("B")
        digest = hashlib.sha256(data).hexdigest()
        write_at(self.file, self._offset(chunk), data)
        # the journal never knows of a chunk that is not on the disk
        getattr(os, "fdatasync", os.fsync)(self.file.fileno())
        line = json.dumps({"chunk": chunk.number, "start": chunk.start, "stop": chunk.stop, "sha256": digest})
        with self.journal.open("ab", buffering=0) as journal:
            journal.write(f"{line}\n".encode())
        self.done[chunk.number] = digest

    def recover(self, chunks: list[Chunk], on_checked: Callable[[Chunk], None]) -> int:
        """Take over the chunks that the journal names and that are still as it says; return how many are not."""
        noted = _read_journal(self.journal)
        buffer = bytearray(max(len(chunk) for chunk in chunks) * self.n_bytes)
        damaged = 0
        for chunk in chunks:
            if chunk.number not in noted:
                continue
            data = memoryview(buffer)[: len(chunk) * self.n_bytes]
            self.file.seek(self._offset(chunk))
            if _fill(self.file, data) and hashlib.sha256(data).hexdigest() == noted[chunk.number]["sha256"]:
                self.done[chunk.number] = noted[chunk.number]["sha256"]
                on_checked(chunk)
            else:
                damaged += 1
        lines = "".join(f"{json.dumps(noted[number])}\n" for number in self.done)
        atomic.write_bytes(self.journal, lines.encode())
        return damaged

    def _offset(self, chunk: Chunk) -> int:
        return self.header_bytes + chunk.start * self.n_bytes


def _read_journal(path: Path) -> dict[int, dict[str, Any]]:
    """Return the lines of a journal by chunk; a torn line, which a kill leaves, counts as not written."""
    noted = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
            noted[int(entry["chunk"])] = {key: entry[key] for key in ("chunk", "start", "stop", "sha256")}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return noted


def write_at(file: IO[bytes], offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at a place of an unbuffered file."""
    file.seek(offset)
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]  # a disk that gets full takes a part first


def _fill(file: IO[bytes], buffer: memoryview) -> bool:
    while len(buffer):
        n = file.readinto(buffer)  # type: ignore[attr-defined]
        if not n:
            return False
        buffer = buffer[n:]
    return True
