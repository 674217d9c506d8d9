"""Images on disk with a journal of what is finished, from which a killed conversion continues."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
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
    alone : callable, optional
        Gives what is held while the journal is read or a line added to it, where other processes do so too.
    """

    def __init__(
        self,
        file: IO[bytes],
        header_bytes: int,
        n_bytes: int,
        journal: Path,
        alone: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.file, self.header_bytes, self.n_bytes, self.journal = file, header_bytes, n_bytes, journal
        self.alone = alone
        self.done: dict[int, str] = {}
        self._looked = 0

    def write(self, chunk: Chunk, images: np.ndarray) -> None:
        """Write the images of a chunk, see that they are on the disk, and note their checksum."""
        data = images.data.cast("B")
        digest = hashlib.sha256(data).hexdigest()
        write_at(self.file, self.offset(chunk), data)
        # the journal never knows of a chunk that is not on the disk
        getattr(os, "fdatasync", os.fsync)(self.file.fileno())
        line = json.dumps({"chunk": chunk.number, "start": chunk.start, "stop": chunk.stop, "sha256": digest})
        with self.alone(), self.journal.open("a+b", buffering=0) as journal:
            size = journal.seek(0, os.SEEK_END)
            journal.seek(max(0, size - 1))
            torn = journal.read(1) not in (b"", b"\n")  # by a process that was killed; it must not spoil this line
            journal.write(("\n" * torn + line + "\n").encode())
        self.done[chunk.number] = digest

    def look(self) -> None:
        """Take over the chunks that other processes have noted."""
        with self.alone(), suppress(FileNotFoundError), self.journal.open("rb") as journal:
            journal.seek(self._looked)
            text = journal.read()
            whole = text.rfind(b"\n") + 1
            self._looked += whole
            for number, entry in read_lines(text[:whole]).items():
                self.done[number] = entry["sha256"]

    def recover(self, chunks: list[Chunk], on_checked: Callable[[Chunk], None]) -> int:
        """Take over the chunks that the journal names and that are still as it says; return how many are not."""
        noted = read_lines(self.journal.read_bytes())
        buffer = bytearray(max(len(chunk) for chunk in chunks) * self.n_bytes)
        damaged = 0
        for chunk in chunks:
            if chunk.number not in noted:
                continue
            data = memoryview(buffer)[: len(chunk) * self.n_bytes]
            self.file.seek(self.offset(chunk))
            if _fill(self.file, data) and hashlib.sha256(data).hexdigest() == noted[chunk.number]["sha256"]:
                self.done[chunk.number] = noted[chunk.number]["sha256"]
                on_checked(chunk)
            else:
                damaged += 1
        lines = "".join(f"{json.dumps(noted[number])}\n" for number in self.done)
        atomic.write_bytes(self.journal, lines.encode())
        return damaged

    def offset(self, chunk: Chunk) -> int:
        """Return where the images of a chunk begin in the file."""
        return self.header_bytes + chunk.start * self.n_bytes


def read_lines(text: bytes) -> dict[int, dict[str, Any]]:
    """Return the lines of a journal by chunk; a torn line, which a kill leaves, counts as not written."""
    noted = {}
    for line in text.split(b"\n"):
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
