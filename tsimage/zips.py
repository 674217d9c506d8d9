"""Members of a zip, checked: nothing is unpacked to list them, and no member gives more than it claims."""

from __future__ import annotations

import stat
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import IO, cast

from tsimage.archive_limits import (
    bomb,
    check_count,
    check_size,
    checked_chunks,
    damage_of,
    is_hidden,
    no_file,
    safe_name,
    shown,
)
from tsimage.errors import UserError

MAX_INDEX_BYTES = 2**24
"""The list of members at the end of a zip, which is read as a whole: 65,535 names of 200 bytes."""
IN_MEMORY_BYTES = 2**28
"""What is unpacked to be read is kept in memory up to here, and in a temporary file beyond."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How a member may be packed. Python unpacks the others without a limit on the size of the pieces."""


class Zip:
    """A zip whose members have been checked.

    Parameters
    ----------
    file : IO
        The zip. Whoever gives it closes it.
    label : str
        What errors call it.

    Attributes
    ----------
    members : dict of str to ZipInfo
        The files, without hidden ones, by safe relative names.

    Raises
    ------
    UserError
        If the list is damaged, or a member may not be there.
    """

    def __init__(self, file: IO[bytes], label: str) -> None:
        self.label = label
        self._lock = threading.Lock()
        with damage_of(label):
            self._zip = zipfile.ZipFile(cast("IO[bytes]", _Bounded(file, label)))
            infos = self._zip.infolist()
        check_count(len(infos), label)
        names: set[str] = set()
        self.members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            is_folder = info.filename.endswith("/")
            name = safe_name(info.orig_filename, label, names, is_folder=is_folder)  # zipfile cuts names at NUL
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise no_file(label, name)
            if is_folder or is_hidden(name):
                continue
            if info.flag_bits & 1:
                raise UserError(
                    f"{label}: '{shown(name)}' is encrypted: unpack it with its password, and give the folder"
                )
            if info.compress_type not in METHODS:
                raise UserError(
                    f"{label}: '{shown(name)}' is packed by method {info.compress_type}, allowed are 0 and 8 (stored, "
                    "deflated): unpack it with another program, and give the folder"
                )
            check_size(info.file_size, label, name)
            self.members[name] = info

    def check_claims(self, names: Iterator[str] | list[str], allowed: int) -> int:
        """Return how much members claim to hold, unless it is more than allowed; they can give no more than that.

        Raises
        ------
        UserError
            If it is more.
        """
        total = sum(self.members[name].file_size for name in names)
        if total > allowed:
            raise bomb(self.label, allowed)
        return total

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield what a member holds, in pieces."""
        info = self.members[name]
        with damage_of(self.label), self._zip.open(info) as stream:
            yield from checked_chunks(stream, info.file_size, self.label, name)

    def read(self, name: str) -> bytes:
        """Return what a member holds; threads wait for each other."""
        with self._lock:
            return b"".join(self.chunks(name))


def zip_contents(
    file: IO[bytes], label: str, allowed: int, wanted: Callable[[str], bool], *, nested: bool = True
) -> dict[str, Callable[[], bytes]]:
    """Return a function for each wanted file; the zip is closed with the last of them.

    If nothing is wanted but there is one zip inside, it is unpacked and looked into.
    """
    with ExitStack() as stack:
        stack.enter_context(file)
        opened = Zip(file, label)
        names = [name for name in opened.members if wanted(name)]
        inner = [name for name in opened.members if name.lower().endswith(".zip")]
        if nested and not names and len(inner) == 1:
            left = allowed - opened.check_claims(inner, allowed)
            unpacked = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  closed by the stack
            with ExitStack() as until_written:
                until_written.enter_context(unpacked)
                for chunk in opened.chunks(inner[0]):
                    unpacked.write(chunk)
                until_written.pop_all()
            return zip_contents(cast("IO[bytes]", unpacked), f"{label}: {inner[0]}", left, wanted, nested=False)
        opened.check_claims(names, allowed)
        if names:
            stack.pop_all()
            weakref.finalize(opened, file.close)
        return {name: partial(opened.read, name) for name in names}


class _Bounded:
    """A file for zipfile, which reads the list of members as a whole."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self._label, self._read = label, file.read
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MAX_INDEX_BYTES:
            raise UserError(
                f"{self._label}: its list of members has {size:,} bytes, allowed are {MAX_INDEX_BYTES:,}: unpack it, and give "
                "the folder"
            )
        content = self._read(size)
        check_count(content.count(b"PK\x01\x02"), self._label)  # before there is an object for each
        return content
