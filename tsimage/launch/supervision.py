"""Workers from their start to their end, on whatever engine: those that are killed start again, all end with the parent."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from tsimage.launch.process import GRACE_S

RESTARTS = 3
"""How often a worker that was killed is started again."""
POLL_S = 0.5
_LOOK_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one start of a worker ended: with a code of its own, or killed by something."""

    code: int | None = None
    killed_by: str = ""
    again: bool = True
    """Whether what was killed may be started again."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a worker ended."""

    worker: int
    code: int | None
    """Exit code of its last start; None if that was killed."""
    killed_by: str
    """What killed its last start, such as SIGKILL; empty if it ended by itself."""
    restarts: int
    log: Path
    """What it said, over all its starts."""

    @property
    def well(self) -> bool:
        """Whether it ended by itself and without an error."""
        return self.code == 0

    def __str__(self) -> str:
        how = f"was killed by {self.killed_by}" if self.killed_by else f"ended with code {self.code}"
        after = f" after {self.restarts} restart{'s' * (self.restarts > 1)}" if self.restarts else ""
        return f"worker {self.worker} {how}{after} (see '{self.log}')"


class Attempt(Protocol):
    """One start of a worker on some engine."""

    def poll(self) -> Outcome | None:
        """Return how it ended, None while it has not."""

    def stop(self) -> None:
        """Ask it to end, without waiting."""

    def kill(self) -> None:
        """End it."""


def outcome(code: int) -> Outcome:
    """Return what an exit code means: -N, and 128 + N as shells write it, is signal N.

    >>> outcome(2).code, outcome(-9).killed_by, outcome(143).killed_by
    (2, 'SIGKILL', 'SIGTERM')
    """
    number = -code if code < 0 else code - 128
    if number in {int(known) for known in signal.Signals}:
        return Outcome(killed_by=signal.Signals(number).name)
    return Outcome(code=code)


def supervise(
    begin: Callable[[int], Attempt], logs: Sequence[Path], on_poll: Callable[[], None] | None = None
) -> list[Ended]:
    """Start a worker for each log and wait until all have ended.

    Parameters
    ----------
    begin : callable
        Starts the worker of a number.
    logs : sequence of Path
    on_poll : callable, optional
        Called about every `POLL_S`, and once when all have ended.

    Returns
    -------
    list of Ended
        One for each worker, in their order.

    Raises
    ------
    BaseException
        Whatever interrupts the wait, among it what `on_poll` raises, after the workers were asked to end and, those that
        had not after `GRACE_S`, killed.
    """
    running: dict[int, Attempt] = {}
    restarts = [0] * len(logs)
    ended: dict[int, Ended] = {}
    called = -POLL_S
    try:
        for worker in range(len(logs)):
            running[worker] = begin(worker)
        while running:
            for worker, attempt in list(running.items()):
                how = attempt.poll()
                if how is None:
                    continue
                del running[worker]
                if how.killed_by and how.again and restarts[worker] < RESTARTS:
                    restarts[worker] += 1
                    running[worker] = begin(worker)
                    continue
                ended[worker] = Ended(
                    worker=worker,
                    code=how.code,
                    killed_by=how.killed_by,
                    restarts=restarts[worker],
                    log=logs[worker],
                )
            if on_poll is not None and (time.monotonic() - called >= POLL_S or not running):
                called = time.monotonic()
                on_poll()
            if running:
                time.sleep(_LOOK_S)
    except BaseException:
        _stop(list(running.values()))
        raise
    return [ended[worker] for worker in range(len(logs))]


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise SystemExit(143), as Ctrl-C raises KeyboardInterrupt, unless somebody handles it already."""
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stop(attempts: list[Attempt]) -> None:
    try:
        for attempt in attempts:
            attempt.stop()
        deadline = time.monotonic() + GRACE_S
        for attempt in attempts:
            while attempt.poll() is None and time.monotonic() < deadline:
                time.sleep(_LOOK_S)
    finally:  # also when a second Ctrl-C says that it takes too long
        for attempt in attempts:
            attempt.kill()
