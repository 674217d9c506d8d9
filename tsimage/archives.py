"""Files of a folder, a zip or a tar, read or unpacked so that a malicious archive can do nothing.

What is refused, in one sentence each: names that leave the archive (absolute, `..`, drive letters, backslashes, NUL),
links, devices, encrypted or sparse members, one name twice, damage of any kind, and bombs. What is unpacked is measured
as it is unpacked; what an archive claims about itself is only ever held against it.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from tsimage import atomic
from tsimage.archive_limits import allowed_bytes, checked_chunks, damage_of, is_hidden, there_twice
from tsimage.errors import UserError
from tsimage.tars import decompressed, tar_members
from tsimage.zips import IN_MEMORY_BYTES, Zip, zip_contents

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2"}


def files_of(path: Path, suffixes: tuple[str, ...] = ()) -> dict[str, Callable[[], bytes]]:
    """List the files of a folder or an archive, each with a function that reads it.

    A zip is not unpacked before a function is called. A tar is read once, from front to end, and only the wanted files
    are held: up to 256 MiB in memory, beyond that in a temporary file. Hidden files and `__MACOSX` are left out. A zip
    that holds nothing wanted but another zip, as the UCI repository packs some sets, gives the files of that one.

    Parameters
    ----------
    path : Path
        A folder, a `.zip`, a `.tar`, `.tar.gz`, `.tar.xz` or `.tar.bz2`; or a folder inside such an archive:
        `uea.tar.xz/uea/Epilepsy`.
    suffixes : tuple of str
        Endings of the wanted names, in any case (`.txt`, `_TRAIN.ts`). All files if empty.

    Returns
    -------
    dict of str to callable
        Relative path with forward slashes, sorted, to a function without parameters that returns the content.

    Raises
    ------
    UserError
        If the path is neither, or the archive is damaged or could do harm. The functions raise it, too.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(Path(folder, "a.zip"), "w") as archive:
    ...         archive.writestr("run/1.csv", "x,y")
    ...     files = files_of(Path(folder, "a.zip"), (".csv",))
    ...     {name: read() for name, read in files.items()}
    {'run/1.csv': b'x,y'}
    """
    endings = tuple(suffix.lower() for suffix in suffixes)

    def wanted(name: str) -> bool:
        return not endings or name.lower().endswith(endings)

    if path.is_dir():
        return {name: file.read_bytes for name, file in _walk(path) if wanted(name)}
    archive, inside = _split(path)
    kind = _kind(archive)
    if kind == "zip":
        found = zip_contents(archive.open("rb"), str(archive), allowed_bytes(archive), wanted)
    else:
        found = _tar_contents(archive, kind or "tar", lambda name: wanted(name) and name.startswith(inside))
    if inside:
        found = {name.removeprefix(inside): read for name, read in found.items() if name.startswith(inside)}
        if not found:
            raise _nothing_below(archive, inside, suffixes)
    return dict(sorted(found.items()))


def names_of(path: Path, suffixes: tuple[str, ...] = ()) -> list[str]:
    """List the names that `files_of` gives; a tar is read for that once, however often it is asked.

    Raises
    ------
    UserError
        As `files_of`.
    """
    if not path.is_dir():
        archive, inside = _split(path)
        kind = _kind(archive)
        if kind != "zip":
            state = archive.stat()
            names, error = _names_in_tar(archive, kind or "tar", state.st_size, state.st_mtime_ns)
            if error:
                raise UserError(error)
            endings = tuple(suffix.lower() for suffix in suffixes)
            below = (name.removeprefix(inside) for name in names if name.startswith(inside))
            return sorted(name for name in below if not endings or name.lower().endswith(endings))
    return list(files_of(path, suffixes))


@lru_cache(maxsize=8)
def _names_in_tar(archive: Path, kind: str, *_: int) -> tuple[tuple[str, ...], str]:
    """Return the names in a tar, or the error; size and time of its last change tell whether it is still the same."""
    try:
        return tuple(name for name, _, _ in tar_members(archive, kind, allowed_bytes(archive))), ""
    except UserError as error:
        return (), str(error)


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip or a tar, by its name or its first bytes; never raises."""
    try:
        return path.is_file() and _kind(path) is not None
    except OSError:
        return False


def extract(archive: Path, folder: Path) -> None:
    """Unpack an archive, and the zips in it, into a new folder, which appears when it is complete.

    Parameters
    ----------
    archive : Path
        A `.zip` or a tar, compressed or not, or a folder inside it. Owners, permissions, times and hidden files are left out.
    folder : Path
        It must not exist.

    Raises
    ------
    UserError
        If the folder exists, or the archive is damaged or could do harm; then nothing is left of what was unpacked.
    """
    if os.path.lexists(folder):
        raise UserError(f"'{folder}' exists already: move it away, or unpack '{archive}' elsewhere")
    archive, inside = _split(archive)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        made = work / folder.name
        made.mkdir()
        left = allowed_bytes(archive) - _unpack(archive, made, str(archive), allowed_bytes(archive), inside)
        for name, inner in list(_walk(made)):
            if name.lower().endswith(".zip"):
                left -= _unpack(inner, inner.with_suffix(""), f"{archive}: {name}", left)
                inner.unlink()
        if inside and not any(made.iterdir()):
            raise _nothing_below(archive, inside)
        made.rename(folder)
        atomic.sync_folder(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _nothing_below(archive: Path, inside: str, suffixes: tuple[str, ...] = ()) -> UserError:
    kinds = f" that end in {' or '.join(suffixes)}" if suffixes else ""
    return UserError(f"'{archive}' holds no files{kinds} below '{inside}': check the path inside the archive")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder by their relative names; linked folders are entered, each folder once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(root)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            file = Path(root, name)
            if not is_hidden(name) and file.is_file():  # a pipe or a device would never end
                yield file.relative_to(folder).as_posix(), file


def _unpack(archive: Path, folder: Path, label: str, allowed: int, inside: str = "") -> int:
    """Write the files of an archive into a folder, and return how many bytes they hold."""
    with archive.open("rb") as file:
        parts: Iterator[tuple[str, Iterator[bytes]]]
        kind = _kind(archive)
        if kind == "zip":
            opened = Zip(file, label)
            opened.check_claims(list(opened.members), allowed)
            parts = ((name, opened.chunks(name)) for name in opened.members)
        else:
            members = tar_members(archive, kind or "tar", allowed)
            parts = ((name, checked_chunks(stream, size, label, name)) for name, size, stream in members)
        total = 0
        for name, chunks in parts:
            if not name.startswith(inside):
                continue
            target = folder / name.removeprefix(inside)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                output = target.open("xb")
            except (FileExistsError, NotADirectoryError) as error:  # names that a file system takes for one
                raise there_twice(label, name) from error
            with output, damage_of(label):
                for chunk in chunks:
                    total += output.write(chunk)
    return total


def _tar_contents(archive: Path, kind: str, wanted: Callable[[str], bool]) -> dict[str, Callable[[], bytes]]:
    held = _Held()
    for name, size, stream in tar_members(archive, kind, allowed_bytes(archive)):
        if wanted(name):
            with damage_of(str(archive)):
                held.add(name, checked_chunks(stream, size, str(archive), name))
    return {name: partial(held.read, name) for name in held.places}


class _Held:
    """Contents that were read in passing, one after the other in one temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  closed with this object
        self._lock = threading.Lock()
        self.places: dict[str, tuple[int, int]] = {}
        weakref.finalize(self, self._file.close)

    def add(self, name: str, chunks: Iterator[bytes]) -> None:
        start = self._file.tell()
        size = sum(self._file.write(chunk) for chunk in chunks)
        self.places[name] = (start, size)

    def read(self, name: str) -> bytes:
        start, size = self.places[name]
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)


def _split(path: Path) -> tuple[Path, str]:
    """Split a path that goes on inside an archive: the archive, and the folder inside with a slash at its end."""
    for archive in (path, *path.parents):
        if archive.is_file():
            if _kind(archive) is None:
                raise UserError(f"'{archive}' is neither a folder nor an archive: give one of {', '.join(SUFFIXES)}")
            inside = path.relative_to(archive).as_posix()
            return archive, "" if inside == "." else f"{inside}/"
    raise UserError(f"'{path}' does not exist: give a folder, or one of {', '.join(SUFFIXES)}")


def _kind(path: Path) -> str | None:
    """Tell zip, tar, gz, xz and bz2 by the first bytes, and by the name where they are damaged; None for other files."""
    named = path.name.lower().endswith(SUFFIXES)
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        if kind in ("gz", "xz", "bz2") and not named:
            file.seek(0)
            try:
                head = decompressed(file, kind).read(tarfile.BLOCKSIZE)
            except Exception:  # whatever a decompressor raises: then it is no tar
                return None
    if kind == "zip":
        return kind
    if head[257:262] == b"ustar" or named:
        return kind or ("zip" if path.suffix.lower() == ".zip" else "tar")
    return None
