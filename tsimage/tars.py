"""Members of a tar, compressed or not: read once, in order, and measured as they are unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from tsimage.archive_limits import (
    CHUNK,
    bomb,
    check_count,
    check_size,
    damage_of,
    damaged,
    is_hidden,
    no_file,
    safe_name,
)

MAX_HEADER_BYTES = 2**20
"""A name or the attributes of a member, which tarfile reads into memory."""
MAX_DICTIONARY_BYTES = 2**27
"""What xz may take to unpack: its strongest preset takes 65 MB."""
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


def tar_members(path: Path, kind: str, allowed: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield the files of a tar in order, without hidden ones.

    Parameters
    ----------
    path : Path
    kind : {"tar", "gz", "xz", "bz2"}
        How it is compressed; tar is not.
    allowed : int
        How many bytes may come out of it.

    Yields
    ------
    tuple of str, int and IO
        Safe relative name, size in bytes, and a stream that has to be read before the next member is asked for.

    Raises
    ------
    UserError
        If the tar is damaged, unpacks to more, or has a member that may not be there.
    """
    label, names = str(path), set[str]()
    with path.open("rb") as file, damage_of(label):
        unpacked = _Measured(decompressed(file, kind), label, allowed)
        with tarfile.open(fileobj=cast("IO[bytes]", unpacked), mode="r|", tarinfo=_Header, bufsize=CHUNK) as archive:
            for count, member in enumerate(archive, start=1):
                cast(Any, archive).members.clear()  # it would keep them all
                check_count(count, label)
                if member.isdir() and member.name in ("", "."):
                    continue
                name = safe_name(member.name, label, names, is_folder=member.isdir())
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise no_file(label, name)
                check_size(member.size, label, name)
                stream = archive.extractfile(member)
                if stream is not None and not is_hidden(name):
                    yield name, member.size, stream
        while unpacked.read(CHUNK):  # up to the checksum at the end
            pass
        if any(unpacked.tail):
            raise damaged(label, "it ends before its last member does")


def decompressed(file: IO[bytes], kind: str) -> IO[bytes]:
    """Return a stream of what a compressed file holds; reading n bytes takes little more memory than n."""
    if kind == "gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if kind == "bz2":
        return bz2.BZ2File(file)
    return cast("IO[bytes]", io.BufferedReader(_Xz(file), CHUNK)) if kind == "xz" else file


class _Header(tarfile.TarInfo):
    """A header that cannot claim a name of a gigabyte."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _LONG and header.size > MAX_HEADER_BYTES):
            raise ValueError(f"a header claims {header.size:,} bytes")
        return header


class _Measured:
    """What comes out of a compressed file: counted, and its last block kept."""

    def __init__(self, stream: IO[bytes], label: str, allowed: int) -> None:
        self._stream, self._label, self._allowed, self._count = stream, label, allowed, 0
        self.tail = b""

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(min(size, CHUNK))
        self._count += len(chunk)
        if self._count > self._allowed:
            raise bomb(self._label, self._allowed)
        self.tail = (self.tail + chunk)[-tarfile.BLOCKSIZE :]
        return chunk


class _Xz(io.RawIOBase):
    """Unpacks xz with a limit on the memory that it takes, which `lzma.open` does not offer."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._pending = file, b""
        self._unpacker: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._unpacker is not None and self._unpacker.eof:
                self._pending, self._unpacker = self._unpacker.unused_data, None
            if not self._pending and (self._unpacker is None or self._unpacker.needs_input):
                self._pending = self._file.read(CHUNK)
                if not self._pending:
                    if self._unpacker is None:
                        return 0
                    raise EOFError("it ends in the middle of the compressed stream")
            if self._unpacker is None:
                self._pending = self._pending.lstrip(b"\0")  # streams are padded with them
                if not self._pending:
                    continue
                self._unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES)
            chunk = self._unpacker.decompress(self._pending, len(buffer))
            self._pending = b""
            if chunk:
                buffer[: len(chunk)] = chunk
                return len(chunk)
