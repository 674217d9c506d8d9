"""How a run tells what it is doing: a bar on a terminal, plain lines otherwise, nothing from Python."""

from __future__ import annotations

import time
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

EVERY_S = 10.0


class Progress:
    """Who is told how a run goes. This one tells nobody; `Plain` and `Terminal` do."""

    def say(self, line: str) -> None:
        """Tell one line."""

    def begin(self, title: str, epochs: int) -> None:
        """Tell that a training begins."""

    def epoch(self, row: dict[str, float]) -> None:
        """Tell an epoch of the training that began."""

    def end(self, line: str) -> None:
        """Tell how the training that began went."""

    def stop(self) -> None:
        """Take away what is being drawn, at the end or when a run is broken off."""


class Plain(Progress):
    """One line per training, and one each ten seconds within it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()

    def begin(self, title: str, epochs: int) -> None:
        self.title, self.epochs, self.last = title, epochs, time.monotonic()

    def epoch(self, row: dict[str, float]) -> None:
        if time.monotonic() - self.last >= EVERY_S:
            self.last = time.monotonic()
            self.say(f"{self.title}  epoch {row['epoch']:.0f}/{self.epochs}  {describe_epoch(row)}")

    def end(self, line: str) -> None:
        self.say(line)


class Terminal(Progress):
    """A bar with the time remaining for each training, replaced by one line when it is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Bars | None = None

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, title: str, epochs: int) -> None:
        self.stop()
        self.bar = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task(escape(title), total=epochs, now="")
        self.bar.start()

    def epoch(self, row: dict[str, float]) -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=row["epoch"], now=describe_epoch(row))

    def end(self, line: str) -> None:
        self.stop()
        self.say(line)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def describe_epoch(row: dict[str, float]) -> str:
    """Write loss and training accuracy of an epoch."""
    return f"loss {row['loss']:.4f}  train accuracy {100 * row['accuracy']:.1f} %"
