"""Outputs that several processes make together, on one machine or many that see the same files.

Each holds the lock of the working folder as a shared one, so that whoever would make the output alone is kept out, and
takes `turn` for what only one may do at a time: to begin or to continue the work (only where no other is at it), to write
in the journal, to publish. Whoever finds everything done publishes; the others find it published.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tsimage.errors import UserError
from tsimage.unfinished import (
    JOURNAL,
    LOCK,
    MADE,
    TURN,
    check_disk,
    check_name,
    is_at,
    make_folder,
    occupied,
    publish,
    remove,
    settle,
    silent,
    size_of,
    tell_failure,
    work_folder,
)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Member:
    """A process at work in a folder that it shares."""

    def __init__(self, output: Path, work: Path, lock: IO[bytes], turn: IO[bytes]) -> None:
        self.output, self.work = output, work
        self._lock, self._turn = lock, turn
        self._thread = threading.Lock()  # the lock of a file keeps processes apart, not the threads of one

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the turn: no other process does what it does under this."""
        with self._thread:
            take(self._turn, self.output)
            try:
                yield
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def is_last(self) -> bool:
        """Tell whether no other process is at work here, for as long as the turn is held."""
        return take(self._lock, self.output, wait=False)

    def open(self, name: str) -> IO[bytes] | None:
        """Open a file of what is made, to read and write it without a buffer; None if it is published."""
        with self.alone():
            return None if self._is_over() else (self.work / MADE / name).open("r+b", buffering=0)

    def is_over(self) -> bool:
        """Tell whether another process has published what was made."""
        with self.alone():
            return self._is_over()

    def _is_over(self) -> bool:
        return not (is_at(self._turn, self.work / TURN) and (self.work / MADE).is_dir())

    def publish(self, finish: Callable[[Path], None]) -> None:
        """Publish what is made, once `finish` has completed it; nothing if another process has done so."""
        with self.alone():
            if not self._is_over():
                finish(self.work)
                publish(self.output, self.work)
                remove(self.work)

    def give_up(self) -> bool:
        """Tell whether anything is finished; if not, and no other process is at work, remove the folder."""
        with self.alone():
            kept = size_of(self.work / JOURNAL) > 0
            if not kept and is_at(self._turn, self.work / TURN) and self.is_last():
                remove(self.work)
        return kept

    def stay(self) -> bool:
        """Hold the lock of the folder as a shared one; False if somebody holds it who does not share."""
        return take(self._lock, self.output, shared=True, wait=False)

    def leave(self) -> None:
        """Let go of all locks."""
        self._lock.close()
        self._turn.close()


@contextmanager
def sharing(
    output: Path,
    *,
    n_bytes: int,
    replaceable: Callable[[Path], bool],
    kind: str,
    is_made: Callable[[Path], bool],
    begin: Callable[[Path], object],
    belongs: Callable[[Path], str],
    overwrite: bool = False,
    say: Callable[[str], None] = silent,
) -> Iterator[Member | None]:
    """Join those who make an output, as the first or one more; None if it is made.

    When the block fails, what is in the journal stays for the others and for later.

    Parameters
    ----------
    output, n_bytes, replaceable, kind, overwrite, say
        As for `tsimage.unfinished.making`.
    is_made : callable
        Tells whether the output is there as it is to be.
    begin : callable
        Receives the working folder, to begin or to continue in it, while nobody else is at work there.
    belongs : callable
        Receives the working folder in which others are at work; returns what they do otherwise, empty if nothing.

    Yields
    ------
    Member or None

    Raises
    ------
    UserError
        If another output is there, others make another one or do not share, the disk is too small, or there are no locks.
    """
    if fcntl is None:
        raise UserError(f"'{output}' cannot be made by several processes, as Windows has no locks for that")
    member = None
    while member is None:
        if is_made(output):
            yield None
            return
        try:
            check_name(output, replaceable, kind, overwrite)
        except UserError:
            if is_made(output):  # just now
                continue
            raise
        work = work_folder(output)
        check_disk(output, work, n_bytes, say)
        output.parent.mkdir(parents=True, exist_ok=True)
        member = _join(output, work, is_made, begin, belongs)
    try:
        yield member
    except BaseException as error:
        kept = member.give_up()
        tell_failure(error, output, work, n_bytes, kept, say)
        raise
    finally:
        member.leave()


def _join(
    output: Path,
    work: Path,
    is_made: Callable[[Path], bool],
    begin: Callable[[Path], object],
    belongs: Callable[[Path], str],
) -> Member | None:
    """Become a member of a working folder, which is made if need be; None if it was published or removed meanwhile."""
    make_folder(work)
    with suppress(FileNotFoundError):
        turn = (work / TURN).open("a+b")
        try:
            lock = (work / LOCK).open("a+b")
        except FileNotFoundError:
            turn.close()
            return None
        member, joined = Member(output, work, lock, turn), False
        try:
            with member.alone():
                joined = _settle_in(member, lock, turn, is_made, begin, belongs)
        finally:
            if not joined:
                member.leave()
        return member if joined else None
    return None


def _settle_in(
    member: Member,
    lock: IO[bytes],
    turn: IO[bytes],
    is_made: Callable[[Path], bool],
    begin: Callable[[Path], object],
    belongs: Callable[[Path], str],
) -> bool:
    output, work = member.output, member.work
    if not (is_at(turn, work / TURN) and is_at(lock, work / LOCK)):
        return False
    if is_made(output):
        if member.is_last():
            remove(work)
        return False
    if member.is_last():
        settle(output, work)
        begin(work)
        if not member.stay():
            raise occupied(output)
        return True
    if not member.stay():
        raise occupied(output)
    if not (work / MADE).is_dir():  # about to be removed by whoever published it
        return False
    other = belongs(work)
    if other:
        raise UserError(
            f"other processes are making '{output}' with other {other}: wait until they have finished, or choose another output"
        )
    return True


def take(lock: IO[bytes], output: Path, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file; False if another process holds it and this one is not to wait.

    Raises
    ------
    UserError
        If the file system has no locks.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(lock, kind)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise no_locks(output) from error
    return True


def no_locks(output: Path) -> UserError:
    """Say that a file system keeps nobody apart."""
    return UserError(
        f"'{output}' cannot be made by several processes, as its file system has no locks: choose another, or one process"
    )
