"""Locks between processes, by files: a process that is killed holds none, whatever file it leaves.

On a file system that several machines share the locks reach across machines where it supports flock (NFS 4, Lustre, GPFS).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tsimage.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: processes are not kept apart there
    fcntl = None  # type: ignore[assignment]

_HELD = (errno.EAGAIN, errno.EACCES)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be; wait while another process has it."""
    with _opened(path) as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                raise _no_locks(path) from error
        yield


@contextmanager
def claimed(path: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a file if nobody else has it; gives whether that is so, at once or after some patience.

    Whoever asks `is_held` has the lock for an instant, too: give patience where a false no is more than a delay.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with claimed(path) as mine, claimed(path) as again:
    ...     print(mine, again)
    True False
    """
    with _opened(path) as file:
        deadline = time.monotonic() + patience_s
        while not (mine := _claim(file, exclusive=True)) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield mine


def is_held(path: Path) -> bool:
    """Whether some process holds the lock of a file at this moment."""
    if fcntl is None or not path.exists():
        return False
    with path.open("rb") as file:
        return not _claim(file, exclusive=False)


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _claim(file: IO[bytes], *, exclusive: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            raise _no_locks(Path(file.name)) from error
        return False
    return True


def _no_locks(path: Path) -> UserError:
    return UserError(
        f"'{path}' cannot be locked, as its file system has no locks between processes: choose another folder"
    )
