"""Samples as lines of text: numbers with commas between, read without ever holding more than one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import IO

from distill.deploy.fitting import match_channels
from tsimage.errors import UserError
from tsimage.readers.text import LARGEST

LONGEST_LINE = 1 << 16
"""Bytes; a longer one is malformed."""
RATE_TOLERANCE = 0.05
"""Clocks of live sensors jitter, so the rate that times tell may be off by this share."""
_LOST = 1.5  # sample periods beyond what is due: so much later, samples were lost
_STEPS = 256  # of time, that the rate is judged by


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the stream.

    Parameters
    ----------
    number : int
        Counted from 1.
    seconds : float or None
        Its time, where there is a column of it; of a malformed line when it was due.
    values : tuple of float or None
        In the order of the model; None where the line is malformed.
    torn : bool
        Whether its time says that samples were lost before it.
    fault : str
        What is wrong with a malformed line.
    """

    number: int
    seconds: float | None
    values: tuple[float, ...] | None
    torn: bool = False
    fault: str = ""


def read_lines(
    file: IO[bytes], channels: Sequence[str], rate_hz: float, *, timed: bool, say: Callable[[str], None]
) -> Iterator[Line]:
    """Read samples until the file ends, each as soon as its line is there.

    The first line may name the channels, in any order and with others among them. A malformed line is a missing sample.

    Parameters
    ----------
    file : binary file
    channels : sequence of str
        That the model wants.
    rate_hz : float
        That the model wants.
    timed : bool
        Whether the first column is the time in seconds.
    say : callable
        Takes a statement on the header.

    Yields
    ------
    Line

    Raises
    ------
    UserError
        For a header without the channels, or times of another rate.
    """
    order, width = list(range(len(channels))), len(channels)
    clock = _Clock(rate_hz) if timed else None
    number = 0
    while content := file.readline(LONGEST_LINE):
        number += 1
        overlong = len(content) == LONGEST_LINE and not content.endswith(b"\n")
        if overlong:
            _skip_line(file)
        text = content.decode(errors="replace").removeprefix("\ufeff" if number == 1 else "").strip("\r\n")
        cells = [cell.strip() for cell in text.split(",")]
        if number == 1 and not overlong and _is_header(cells):
            names = cells[timed:]
            order, width = match_channels("the header", names, channels), len(names)
            if order != list(range(width)):
                say(f"Channels taken by name from {', '.join(names)}: {', '.join(names[i] for i in order)}")
            continue
        seconds, values, fault = None, None, f"longer than {LONGEST_LINE:,} bytes"
        if not overlong:
            seconds, values, fault = _parsed(cells, order, width, timed)
        torn = False
        if clock is not None:
            if not fault and seconds is not None and not clock.is_after(seconds):
                fault, values = f"time {seconds:g} is not after {clock.last:g}", None
            if fault:
                seconds = clock.missed()
            elif seconds is not None:
                torn = clock.tick(seconds, number)
        yield Line(number=number, seconds=seconds, values=values, torn=torn, fault=fault)


class _Clock:
    """The times of the samples so far: whether the next one follows, and whether the rate is right."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.last: float | None = None
        self._n_missed = 0
        self._steps: list[float] = []

    def is_after(self, seconds: float) -> bool:
        return self.last is None or seconds > self.last

    def missed(self) -> float | None:
        """Count a missing sample, and tell when it was due."""
        self._n_missed += 1
        return None if self.last is None else self.last + self._n_missed / self.rate_hz

    def tick(self, seconds: float, number: int) -> bool:
        """Take the time of the next sample; tell whether some were lost before it."""
        torn = False
        if self.last is not None:
            step = seconds - self.last
            torn = (step * self.rate_hz - self._n_missed - 1) > _LOST
            if not self._n_missed and len(self._steps) < _STEPS:
                self._steps.append(step)
                if len(self._steps) == _STEPS:
                    self._check(number)
        self.last, self._n_missed = seconds, 0
        return torn

    def _check(self, number: int) -> None:
        # times are often rounded to milliseconds or coarser, or come in bursts: the mean of those that are no gaps
        usual = median(self._steps)
        steps = [step for step in self._steps if step <= 4 * usual]
        rate_hz = len(steps) / sum(steps)
        if abs(rate_hz / self.rate_hz - 1) > RATE_TOLERANCE:
            raise UserError(
                f"the times up to line {number} tell a rate of {rate_hz:.4g} Hz and the model wants {self.rate_hz:g} Hz: send "
                "samples at that rate (distill predict resamples recordings)"
            )


def _skip_line(file: IO[bytes]) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _is_header(cells: Sequence[str]) -> bool:
    return any(cells) and all(_number(cell) is None for cell in cells)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _parsed(
    cells: Sequence[str], order: Sequence[int], width: int, timed: bool
) -> tuple[float | None, tuple[float, ...] | None, str]:
    """Return time, values in the order of the model, and what is wrong, empty where nothing is."""
    if cells == [""]:
        return None, None, "empty line"
    if len(cells) != width + timed:
        return None, None, f"{len(cells)} columns where {width + timed} belong"
    taken = [cells[0]] * timed + [cells[i + timed] for i in order]
    numbers = []
    for cell in taken:
        number = _number(cell)
        if number is None or number != number:
            return None, None, f"'{cell[:40]}' is no number"
        if abs(number) > LARGEST:
            return None, None, f"'{cell[:40]}' is infinite in float32"
        numbers.append(number)
    return (numbers[0] if timed else None), tuple(numbers[timed:]), ""
