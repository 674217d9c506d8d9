"""What an archive may hold: sizes, names, and the sentences that refuse the rest."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from tsimage.disk import FULL
from tsimage.errors import UserError

MAX_RATIO = 100
"""Bytes out of one byte of archive. Recordings written as text shrink 5 to 10 times (HAPT, 1,122,772 rows of 6 columns, is
133 MB in a .tar.xz of 13.6 MB), those with long pauses more; bombs reach 1,000 times (deflate) or 7,000 (xz)."""
FREE_BYTES = 2**26
"""Up to here no ratio is asked for: a few constant columns shrink a lot and harm nobody."""
MAX_BYTES = 2**35
"""All that one archive may hold: ten times the largest set of the catalogue."""
MAX_MEMBER_BYTES = 2**31
"""What one file may hold, because it is read into memory as a whole: a person of PAMAP2 has some 0.2 GB."""
MAX_MEMBERS = 65_535
"""What a zip without its 64-bit extension can list; a set of one window in each file has some 16,000."""
MAX_NAME = 1024
"""Characters of a name with its folders."""
MAX_NAME_BYTES = 255
"""Bytes of a name between two slashes: what file systems take."""
CHUNK = 2**18

_FRESH = "get a fresh copy from its source"


def allowed_bytes(path: Path) -> int:
    """Return how many bytes may come out of an archive."""
    return min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))


def safe_name(name: str, label: str, names: set[str], *, is_folder: bool = False) -> str:
    """Refuse a name that could be written elsewhere, or is among `names`; give it without './', and add it there."""
    parts = name.split("/")
    if (
        not name.strip("./")
        or name.startswith("/")
        or ".." in parts
        or re.match(r"[A-Za-z]:", name)
        or re.search(r"[\\\x00-\x1f\x7f\ud800-\udfff]", name)
        or len(name) > MAX_NAME
        or any(len(part.encode()) > MAX_NAME_BYTES for part in parts)
    ):
        raise UserError(
            f"{label}: the name '{shown(name)}' is not allowed in an archive (absolute, with '..', a drive, a backslash or a "
            f"character that is no text, or too long): {_FRESH}"
        )
    safe = PurePosixPath(name).as_posix()
    if not is_folder:
        if safe in names:
            raise there_twice(label, safe)
        names.add(safe)
    return safe


def is_hidden(name: str) -> bool:
    """Tell whether a path has a part that starts with a dot, or is what macOS adds to a zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def shown(name: str) -> str:
    """Write a name so that it can be printed in one line."""
    text = name if name.isprintable() else name.encode("unicode_escape").decode()
    return text[:100] + ("..." if len(text) > 100 else "")


def checked_chunks(stream: IO[bytes], size: int, label: str, name: str) -> Iterator[bytes]:
    """Yield what a member holds, which must be as much as it claims."""
    count = 0
    while chunk := stream.read(CHUNK):
        count += len(chunk)
        if count > size:
            break
        yield chunk
    if count != size:
        raise damaged(label, f"'{shown(name)}' does not hold the {size:,} bytes that it claims")


def check_count(count: int, label: str) -> None:
    """Refuse an archive of too many members."""
    if count > MAX_MEMBERS:
        raise UserError(f"{label}: it has more than {MAX_MEMBERS:,} members: unpack it, and give the folder")


def check_size(size: int, label: str, name: str) -> None:
    """Refuse a member that memory cannot take."""
    if size > MAX_MEMBER_BYTES:
        raise UserError(
            f"{label}: '{shown(name)}' has {size:,} bytes, allowed are {MAX_MEMBER_BYTES:,}: unpack it, and give the folder"
        )


def bomb(label: str, allowed: int) -> UserError:
    """Return the error of an archive that unpacks to too much."""
    return UserError(
        f"{label}: it unpacks to more than {allowed:,} bytes ({MAX_RATIO} times its own size, {FREE_BYTES:,} for small ones, "
        f"{MAX_BYTES:,} for large ones): if it is no bomb, unpack it, and give the folder"
    )


def no_file(label: str, name: str) -> UserError:
    """Return the error of a member that is neither a file nor a folder."""
    return UserError(
        f"{label}: '{shown(name)}' is a link, a device or a sparse file, which are not allowed in an archive: {_FRESH}"
    )


def there_twice(label: str, name: str) -> UserError:
    """Return the error of two members of one name."""
    return UserError(f"{label}: '{shown(name)}' is there twice, or both a file and a folder: {_FRESH}")


def damaged(label: str, reason: str) -> UserError:
    """Return the error of an archive that cannot be read."""
    return UserError(f"{label}: it is damaged ({reason}): {_FRESH}")


@contextmanager
def damage_of(label: str) -> Iterator[None]:
    """Turn whatever damaged bytes make zipfile, tarfile and the decompressors raise into one sentence."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"{label}: the disk that it is unpacked to is full (what is read goes to '{tempfile.gettempdir()}'): make room "
                "there"
            ) from error
        if error.errno not in (None, errno.EINVAL):  # damaged bytes send zipfile to places before the beginning
            raise
        raise damaged(label, _reason(error)) from error
    except Exception as error:  # zipfile, tarfile, lzma and zlib raise what damaged bytes happen to lead to
        raise damaged(label, _reason(error)) from error


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split()) or type(error).__name__)
