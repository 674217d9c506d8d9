"""Outputs that appear under their names when they are complete: made in a locked folder beside, published by a rename.

The working folder of `out` is `.out.partial`. It holds `lock`, what is being made (`made`), the output that was there
before, for the moment between two renames (`replaced`), and, where a maker can continue after a kill, what it plans
(`plan.json`) and what it has finished (`chunks.jsonl`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tsimage import atomic
from tsimage.disk import FULL
from tsimage.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two processes with one output are not kept apart there
    fcntl = None  # type: ignore[assignment]

LOCK, MADE, REPLACED = "lock", "made", "replaced"
JOURNAL, PLAN = "chunks.jsonl", "plan.json"


def silent(_: str) -> None:
    """Take a sentence and tell nobody."""


@contextmanager
def making(
    output: Path,
    *,
    n_bytes: int,
    replaceable: Callable[[Path], bool],
    kind: str,
    overwrite: bool = False,
    say: Callable[[str], None] = silent,
) -> Iterator[Path]:
    """Give a locked working folder to make `folder / MADE` in, which becomes `output` when the block ends well.

    When it fails, the working folder stays if there is something in its journal, and goes otherwise.

    Parameters
    ----------
    output : Path
        File or folder.
    n_bytes : int
        What it will take, said and compared with the free disk before anything is written.
    replaceable : callable
        Tells whether an output that is there already is of the kind that may be overwritten.
    kind : str
        What that kind is called: "image store".
    overwrite : bool
        Whether it is to be replaced, which happens at the very end.
    say : callable
        Receives sentences for the user.

    Yields
    ------
    Path
        The working folder.

    Raises
    ------
    UserError
        If the output exists, another process makes it, or the disk is too small or gets full.
    """
    work = _work_folder(output)
    if os.path.lexists(work):
        with _alone(output, work):
            _settle(output, work)
            if {entry.name for entry in work.iterdir()} == {LOCK}:
                _remove(work)
    _check_name(output, replaceable, kind, overwrite)
    _check_disk(output, work, n_bytes, say)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output, work):
        _settle(output, work)
        try:
            _check_name(output, replaceable, kind, overwrite)  # another process may just have finished it
            yield work
            _publish(output, work)
        except BaseException as error:
            kept = _size(work / JOURNAL) > 0
            if not kept:
                _remove(work)
            if isinstance(error, OSError) and error.errno in FULL:
                raise _full(output, work, n_bytes, kept) from error
            if kept:
                say(f"What is finished is kept in '{work}': the same command continues from there")
            raise
        _remove(work)


def clear(work: Path) -> None:
    """Remove everything in a working folder except its lock."""
    for entry in work.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def in_words(n_bytes: float) -> str:
    """Write a number of bytes as people do: kB, MB or GB.

    >>> in_words(1234), in_words(48_300_000), in_words(1_340_000_000)
    ('1.2 kB', '48.3 MB', '1.34 GB')
    """
    for unit, digits, name in ((1e9, 2, "GB"), (1e6, 1, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.{digits}f} {name}"
    return f"{n_bytes / 1e3:.1f} kB"


def _work_folder(output: Path) -> Path:
    if output.name in ("", ".."):
        raise UserError(f"output '{output}' is not allowed: give the name of a file or folder to make")
    return output.with_name(f".{output.name}.partial")


@contextmanager
def _alone(output: Path, work: Path) -> Iterator[None]:
    """Hold the lock of a working folder, which is made if need be; a killed process holds it no longer."""
    while True:
        lock = _lock_file(work)
        if lock is not None:
            _hold(lock, output)
            if _is_at(lock, work / LOCK):
                break
            lock.close()  # whoever held it has removed the folder meanwhile
    try:
        yield
    finally:
        lock.close()


def _lock_file(work: Path) -> IO[bytes] | None:
    work.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        return (work / LOCK).open("ab")
    return None


def _hold(lock: IO[bytes], output: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return  # a file system without locks
        lock.close()
        raise UserError(
            f"another process is making '{output}': wait until it has finished, or choose another output"
        ) from error


def _is_at(lock: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _settle(output: Path, work: Path) -> None:
    """Undo what a process left that was killed while it published, and touch no folder that is not ours."""
    found = {entry.name for entry in work.iterdir()} - {LOCK}
    foreign = sorted(name for name in found - {MADE, REPLACED, JOURNAL, PLAN} if not name.startswith("."))
    if foreign:
        raise UserError(
            f"'{work}' is needed to make '{output}' but holds '{foreign[0]}': move it away, or choose another output"
        )
    if REPLACED in found and not os.path.lexists(output):
        (work / REPLACED).rename(output)
    elif os.path.lexists(output) and MADE not in found:
        clear(work)


def _check_name(output: Path, replaceable: Callable[[Path], bool], kind: str, overwrite: bool) -> None:
    if not os.path.lexists(output):
        return
    if not replaceable(output):
        raise UserError(f"output '{output}' exists already: choose another name (it is no {kind})")
    if not overwrite:
        raise UserError(f"output '{output}' exists already: choose another name (option overwrite replaces it)")


def _check_disk(output: Path, work: Path, n_bytes: int, say: Callable[[str], None]) -> None:
    folder = next(p for p in (output.parent, *output.parent.absolute().parents) if p.exists())
    if not folder.is_dir():
        raise UserError(f"output '{output}' cannot be made: '{folder}' is a file; choose a folder")
    free, there = shutil.disk_usage(folder).free, _size(work / MADE)
    if n_bytes - there > free:
        raise UserError(
            f"output '{output}' needs {in_words(n_bytes)} but '{folder}' has {in_words(free + there)} free: "
            "choose a smaller size, a smaller dtype or fewer images, or another disk"
        )
    say(f"'{output}' will take about {in_words(n_bytes)}; '{folder}' has {in_words(free + there)} free")


def _full(output: Path, work: Path, n_bytes: int, kept: bool) -> UserError:
    missing = max(0, n_bytes - _size(work / MADE))
    mend = f"; what is finished is kept in '{work}'" if kept else ""
    return UserError(
        f"the disk that holds '{output}' is full: {in_words(missing)} ({missing:,} bytes) more are needed: make room and "
        f"repeat the command{mend}"
    )


def _size(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder, 0 if there is none."""
    if path.is_dir():
        return sum(_size(entry) for entry in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def _publish(output: Path, work: Path) -> None:
    if (work / MADE).is_dir():
        atomic.sync_folder(work / MADE)
    if os.path.lexists(output):
        output.rename(work / REPLACED)
    (work / MADE).rename(output)
    atomic.sync_folder(output.parent)


def _remove(work: Path) -> None:
    clear(work)
    with suppress(OSError):  # another process may hold the next lock already
        (work / LOCK).unlink()
        work.rmdir()
