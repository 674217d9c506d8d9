"""Ctrl-C and SIGTERM: a training ends its step, writes a checkpoint, and the process leaves within five seconds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE_S = 3.5
"""How long a step may go on before it is given up; what was written last is then the checkpoint."""


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
def handled() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`, at once or, inside `held`, when that is possible; for a command's main thread."""
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

    wanted = {signal.SIGINT: on_signal, signal.SIGTERM: on_signal}
    if hasattr(signal, "SIGALRM"):  # not on Windows, where a signal is never held back
        wanted[signal.SIGALRM] = on_alarm
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
