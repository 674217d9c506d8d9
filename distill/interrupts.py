"""Ctrl-C and SIGTERM: a training ends its step, writes a checkpoint, and the process leaves within five seconds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

PATIENCE_S = 3.5
"""How long a step may go on before it is given up; what was written last is then the checkpoint."""
LAST_S = 4.5
"""How long a single operation of compiled code may, in which no handler of Python runs, before the process is ended."""


class Interrupted(KeyboardInterrupt):
    """A process that was asked to stop; `exit_code` is 128 and the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


_held = 0
_asked: int | None = None


def asked() -> bool:
    """Whether a signal came while it was held back."""
    return _asked is not None


def leave() -> None:
    """Raise what was held back, if anything."""
    global _asked
    if _asked is not None:
        number, _asked = _asked, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupted(number)


@contextmanager
def held() -> Iterator[None]:
    """Hold a first signal back for a few seconds, for what must not be torn apart; `asked` tells that one came."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1


@contextmanager
def _ended_at_last() -> Iterator[None]:
    """End the process where a signal was not followed: a thread is told of it by the system, whatever the main one does."""
    if os.name == "nt":
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    is_over = threading.Event()

    def watch() -> None:
        while told := os.read(read, 1):
            number = told[0]
            if number in (signal.SIGINT, signal.SIGTERM) and not is_over.wait(LAST_S):
                os.write(2, f"stopped by {signal.Signals(number).name} in the middle of a long step\n".encode())
                os._exit(128 + number)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        signal.set_wakeup_fd(before)
        os.close(write)
        watcher.join()
        os.close(read)


@contextmanager
def handled(at_last: bool = True) -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`, at once or, inside `held`, when that is possible; for a command's main thread.

    Parameters
    ----------
    at_last : bool
        End the process where a single long operation keeps it from following; not for one that has to end its workers first.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked = None

    def on_signal(number: int, frame: FrameType | None) -> None:
        global _asked
        if _held and _asked is None and hasattr(signal, "setitimer"):
            _asked = number
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
            return
        raise Interrupted(number)

    def on_alarm(number: int, frame: FrameType | None) -> None:
        leave()

    wanted: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGINT: on_signal, signal.SIGTERM: on_signal}
    if hasattr(signal, "SIGALRM"):  # not on Windows, where a signal is never held back
        wanted[signal.SIGALRM] = on_alarm
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        with _ended_at_last() if at_last else nullcontext():
            yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
