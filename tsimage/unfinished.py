"""Outputs that appear under their names when they are complete: made in a locked folder beside, published by a rename.

The working folder of `out` is `.out.partial`. It holds `lock`, what is being made (`made`), the output that was there
before, for the moment between two renames (`replaced`), and, where a maker can continue after a kill, what it plans
(`plan.json`) and what it has finished (`chunks.jsonl`); where several make one output (`tsimage.sharing`), also `turn`.
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

LOCK, TURN, MADE, REPLACED = "lock", "turn", "made", "replaced"
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
    work = work_folder(output)
    if os.path.lexists(work):
        with _alone(output, work):
            settle(output, work)
            if {entry.name for entry in work.iterdir()} <= {LOCK, TURN}:
                remove(work)
    check_name(output, replaceable, kind, overwrite)
    check_disk(output, work, n_bytes, say)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output, work):
        settle(output, work)
        try:
            check_name(output, replaceable, kind, overwrite)  # another process may just have finished it
            yield work
            publish(output, work)
        except BaseException as error:
            kept = size_of(work / JOURNAL) > 0
            if not kept:
                remove(work)
            tell_failure(error, output, work, n_bytes, kept, say)
            raise
        remove(work)


def clear(work: Path) -> None:
    """Remove everything in a working folder except its locks."""
    for entry in work.iterdir():
        if entry.name in (LOCK, TURN):
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


def work_folder(output: Path) -> Path:
    """Return the folder beside an output in which it is made."""
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
            if is_at(lock, work / LOCK):
                break
            lock.close()  # whoever held it has removed the folder meanwhile
    try:
        yield
    finally:
        lock.close()


def _lock_file(work: Path) -> IO[bytes] | None:
    with suppress(FileNotFoundError):
        make_folder(work)
        return (work / LOCK).open("ab")
    return None


def make_folder(work: Path) -> None:
    """Make a working folder, which another process may be making or removing at the same time."""
    with suppress(FileExistsError):
        work.mkdir()


def _hold(lock: IO[bytes], output: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return  # a file system without locks
        lock.close()
        raise occupied(output) from error


def occupied(output: Path) -> UserError:
    """Say that another process, which does not share, makes this output."""
    return UserError(f"another process is making '{output}': wait until it has finished, or choose another output")


def is_at(lock: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def settle(output: Path, work: Path) -> None:
    """Undo what a process left that was killed while it published, and touch no folder that is not ours."""
    found = {entry.name for entry in work.iterdir()} - {LOCK, TURN}
    foreign = sorted(name for name in found - {MADE, REPLACED, JOURNAL, PLAN} if not name.startswith("."))
    if foreign:
        raise UserError(
            f"'{work}' is needed to make '{output}' but holds '{foreign[0]}': move it away, or choose another output"
        )
    if REPLACED in found and not os.path.lexists(output):
        (work / REPLACED).rename(output)
    elif os.path.lexists(output) and MADE not in found:
        clear(work)


def check_name(output: Path, replaceable: Callable[[Path], bool], kind: str, overwrite: bool) -> None:
    """Refuse an output that is there already and is not to be replaced."""
    if not os.path.lexists(output):
        return
    if not replaceable(output):
        raise UserError(f"output '{output}' exists already: choose another name (it is no {kind})")
    if not overwrite:
        raise UserError(f"output '{output}' exists already: choose another name (option overwrite replaces it)")


def check_disk(output: Path, work: Path, n_bytes: int, say: Callable[[str], None]) -> None:
    """Say what an output will take, and refuse it where that is not free."""
    folder = next(p for p in (output.parent, *output.parent.absolute().parents) if p.exists())
    if not folder.is_dir():
        raise UserError(f"output '{output}' cannot be made: '{folder}' is a file; choose a folder")
    free, there = shutil.disk_usage(folder).free, size_of(work / MADE)
    if n_bytes - there > free:
        raise UserError(
            f"output '{output}' needs {in_words(n_bytes)} but '{folder}' has {in_words(free + there)} free: "
            "choose a smaller size, a smaller dtype or fewer images, or another disk"
        )
    say(f"'{output}' will take about {in_words(n_bytes)}; '{folder}' has {in_words(free + there)} free")


def tell_failure(
    error: BaseException, output: Path, work: Path, n_bytes: int, kept: bool, say: Callable[[str], None]
) -> None:
    """Say what is kept after a failure; raise what a full disk means."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise _full(output, work, n_bytes, kept) from error
    if kept:
        say(f"What is finished is kept in '{work}': the same command continues from there")


def _full(output: Path, work: Path, n_bytes: int, kept: bool) -> UserError:
    missing = max(0, n_bytes - size_of(work / MADE))
    mend = f"; what is finished is kept in '{work}'" if kept else ""
    return UserError(
        f"the disk that holds '{output}' is full: {in_words(missing)} ({missing:,} bytes) more are needed: make room and "
        f"repeat the command{mend}"
    )


def size_of(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder, 0 if there is none."""
    try:
        return sum(size_of(entry) for entry in path.iterdir()) if path.is_dir() else path.stat().st_size
    except FileNotFoundError:  # it may just be removed by another process
        return 0


def publish(output: Path, work: Path) -> None:
    """Give what was made its name, and move what had it before aside."""
    if (work / MADE).is_dir():
        atomic.sync_folder(work / MADE)
    if os.path.lexists(output):
        output.rename(work / REPLACED)
    (work / MADE).rename(output)
    atomic.sync_folder(output.parent)


def remove(work: Path) -> None:
    """Remove a working folder, its locks last."""
    clear(work)
    with suppress(OSError):  # another process may hold the next lock already
        (work / TURN).unlink(missing_ok=True)
        (work / LOCK).unlink()
        work.rmdir()
