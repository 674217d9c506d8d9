"""How a grid tells what it is doing while it goes on: a table that is drawn anew on a terminal, lines otherwise."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from distill.progress import Progress
from distill.status import Status, as_table, status

EVERY_S = 2.0
_SHARE = 0.05
"""Of the time, at most, that goes into looking: a grid of many trainings on a slow file system is looked at less often."""


class _Looks:
    """Reads the status of a grid now and then."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._next = folder, 0.0

    def take(self) -> Status | None:
        """Return the status if it is time to look."""
        began = time.monotonic()
        if began < self._next:
            return None
        found = status(self.folder)
        ended = time.monotonic()
        self._next = ended + max(EVERY_S, (ended - began) / _SHARE)
        return found


class Watch(Protocol):
    """Looks at the folder of a grid now and then."""

    def look(self) -> None:
        """Tell how far the grid is, if it is time to."""

    def stop(self) -> None:
        """Take away what is being drawn."""


class LiveTable(Progress):
    """The status of a grid on a terminal; it is also told how the trainings of this process go."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._looks = _Looks(folder)
        self._live = Live(console=console, transient=True, auto_refresh=False, vertical_overflow="crop")
        self._console = console

    def look(self) -> None:
        """Draw the table, at most every two seconds."""
        found = self._looks.take()
        if found is not None:
            self._live.start()
            self._live.update(as_table(found), refresh=True)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, title: str, epochs: int) -> None:
        self.look()

    def epoch(self, row: dict[str, float]) -> None:
        self.look()

    def end(self, line: str) -> None:
        self.look()

    def stop(self) -> None:
        self._live.stop()


class CountLines:
    """A line whenever more trainings are done or failed, at most every two seconds."""

    def __init__(self, stream: TextIO, folder: Path) -> None:
        self.stream, self._looks, self._told = stream, _Looks(folder), (-1, -1)

    def look(self) -> None:
        """Write the line."""
        found = self._looks.take()
        counts = {} if found is None else found.counts()
        if counts and (counts["done"], counts["failed"]) != self._told:
            self._told = (counts["done"], counts["failed"])
            self.stream.write(", ".join(f"{n} {state}" for state, n in counts.items()) + "\n")
            self.stream.flush()

    def stop(self) -> None:
        """Nothing is drawn."""
