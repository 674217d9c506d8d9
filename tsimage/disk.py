"""A full disk, told in one sentence with the place and the bytes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsimage.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a full disk, or of one where the user may not write more."""


class DiskFullError(UserError):
    """A file that found no room; what was there before it is as it was."""

    def __init__(self, path: Path, needed: int | None) -> None:
        self.path, self.needed, self.free = path, needed, _free(path.parent)
        wanted = "" if needed is None else f"it needs {needed:,} bytes and "
        super().__init__(
            f"the disk is full: '{path}' could not be written ({wanted}{self.free:,} are free); what was finished is kept: make "
            "room and give the same command again"
        )


@contextmanager
def room_for(path: Path, needed: int | None = None) -> Iterator[None]:
    """Raise `DiskFullError` where a write of `path`, of `needed` bytes if they are known, finds the disk full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(path, needed) from error


def _free(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
