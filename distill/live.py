"""How a grid tells what it is doing while it goes on: a table that is drawn anew on a terminal, lines otherwise."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from distill.progress import Progress
from distill.status import as_table, status

EVERY_S = 2.0


class Watch(Protocol):
    """Looks at the folder of a grid now and then."""

    def look(self) -> None:
        """Tell how far the grid is, if it is time to."""

    def stop(self) -> None:
        """Take away what is being drawn."""


class LiveTable(Progress):
    """The status of a grid on a terminal; it is also told how the trainings of this process go."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.folder, self._last = folder, 0.0
        self._live = Live(console=console, transient=True, auto_refresh=False, vertical_overflow="crop")
        self._console = console

    def look(self) -> None:
        """Draw the table, at most every two seconds."""
        if time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        self._live.start()
        self._live.update(as_table(status(self.folder)), refresh=True)

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
        self.stream, self.folder = stream, folder
        self._last, self._told = 0.0, (-1, -1)

    def look(self) -> None:
        """Write the line."""
        if time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        counts = status(self.folder).counts()
        if (counts["done"], counts["failed"]) != self._told:
            self._told = (counts["done"], counts["failed"])
            self.stream.write(", ".join(f"{n} {state}" for state, n in counts.items()) + "\n")
            self.stream.flush()

    def stop(self) -> None:
        """Nothing is drawn."""
