"""Samples as lines of text: numbers with commas between, read without ever holding more than one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import IO

from distill.deploy.fitting import match_channels, plain
from tsimage.errors import UserError
from tsimage.readers.text import LARGEST

LONGEST_LINE = 1 << 16
"""Bytes; a longer one is malformed."""
RATE_TOLERANCE = 0.05
"""Clocks of live sensors jitter, so the rate that times tell may be off by this share."""
_LOST = 1.5  # sample periods beyond what is due: so much later, samples were lost
_STEPS, _FEWEST_STEPS = 256, 50  # of time, that the rate is judged by
_MEND = "name them so, or leave out the header and send them in this order"


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
    file: IO[bytes],
    channels: Sequence[str],
    rate_hz: float,
    *,
    timed: bool,
    length: int = _STEPS,
    say: Callable[[str], None],
) -> Iterator[Line]:
    """Read samples until the file ends, each as soon as its line is there.

    A line before the first sample may name the channels, in any order and with others among them. One that names them all
    may come again, as where files follow each other: what follows does not follow in time. A malformed line is a
    missing sample. A time before the last one is malformed too, unless the next goes on from it: then the clock was set back.

    Parameters
    ----------
    file : binary file
    channels : sequence of str
        That the model wants.
    rate_hz : float
        That the model wants.
    timed : bool
        Whether the first column is the time in seconds.
    length : int
        Samples of a window: the rate that times tell is judged before the first window is full, where this takes 50 samples or
        more.
    say : callable
        Takes statements on headers and on the clock.

    Yields
    ------
    Line

    Raises
    ------
    UserError
        For a header without the channels, numbers that have no commas between them, or times of another rate.
    """
    order, width = list(range(len(channels))), len(channels)
    clock = _Clock(rate_hz, min(_STEPS, max(_FEWEST_STEPS, length - 1))) if timed else None
    number, begun, torn = 0, False, False
    while content := file.readline(LONGEST_LINE):
        number += 1
        overlong = len(content) == LONGEST_LINE and not content.endswith(b"\n")
        if overlong:
            _skip_line(file)
        text = content.decode(errors="replace").removeprefix("\ufeff" if number == 1 else "").strip("\r\n")
        cells = [cell.strip().strip('"') for cell in text.split(",")]
        if not overlong and _is_header(cells, len(channels) + timed, channels if begun else ()):
            names = cells[timed:]
            order, width = match_channels("the header", names, channels, mend=_MEND), len(names)
            if order != list(range(width)):
                say(f"Channels taken by name from {', '.join(names)}: {', '.join(names[i] for i in order)}")
            torn = begun
            continue
        seconds, values, fault = None, None, f"longer than {LONGEST_LINE:,} bytes"
        if not overlong:
            seconds, values, fault = _parsed(cells, order, width, timed)
        if fault and not begun and _has_other_separators(text, width + timed):
            raise UserError(
                f"line {number} has no commas between its numbers ('{text[:40]}'): put commas there, and points for decimals"
            )
        if clock is not None:
            if not fault and seconds is not None and not clock.takes(seconds, number, say):
                fault, values = f"time {seconds:.15g} is not after {clock.last:.15g}", None
            if fault:
                seconds = clock.missed()
            elif seconds is not None:
                torn |= clock.tick(seconds, number)
        begun |= not fault
        yield Line(number=number, seconds=seconds, values=values, torn=torn, fault=fault)
        torn = False


class _Clock:
    """The times of the samples so far: whether the next one follows, and whether the rate is right."""

    def __init__(self, rate_hz: float, n_steps: int) -> None:
        self.rate_hz, self.n_steps = rate_hz, n_steps
        self.last: float | None = None
        self._refused: float | None = None
        self._n_missed = 0
        self._steps: list[float] = []
        self._was_set_back = False

    def takes(self, seconds: float, number: int, say: Callable[[str], None]) -> bool:
        """Tell whether a time goes on from the last one; or from one that did not, for then the clock was set back."""
        if self.last is None or seconds > self.last:
            self._refused = None
            return True
        if self._refused is not None and 0 < (seconds - self._refused) * self.rate_hz <= 1 + _LOST:
            say(f"line {number}: the clock was set back from {self.last:.15g} to {seconds:.15g} s")
            self.last = self._refused = None
            self._was_set_back = True
            return True
        self._refused = seconds
        return False

    def missed(self) -> float | None:
        """Count a missing sample, and tell when it was due."""
        self._n_missed += 1
        return None if self.last is None else self.last + self._n_missed / self.rate_hz

    def tick(self, seconds: float, number: int) -> bool:
        """Take the time of the next sample; tell whether some were lost before it."""
        torn, self._was_set_back = self._was_set_back, False
        if self.last is not None:
            step = seconds - self.last
            torn |= (step * self.rate_hz - self._n_missed - 1) > _LOST
            if not self._n_missed and len(self._steps) < self.n_steps:
                self._steps.append(step)
                if len(self._steps) == self.n_steps:
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
                "samples at that rate, with times in seconds (distill predict resamples recordings)"
            )


def _skip_line(file: IO[bytes]) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _is_header(cells: Sequence[str], least: int, wanted: Sequence[str]) -> bool:
    """Tell whether cells are names: at least so many, none a number; and, after the first sample, all that are wanted."""
    names = len(cells) >= least and any(cells) and all(_number(cell) is None for cell in cells)
    return names and {plain(name) for name in wanted} <= {plain(cell) for cell in cells}


def _has_other_separators(text: str, least: int) -> bool:
    """Tell whether a line is of numbers with semicolons, bars or blanks between them, with decimal commas perhaps.

    >>> [_has_other_separators(text, 2) for text in ("0,5;1", "1\\t2", "1 2 3", "1, 2, 3", "1,x", "boot ok")]
    [True, True, True, False, False, False]
    """
    cells = re.split(r"[;|\s]+", text.strip())
    commas_alone = re.search(r",(\s|$)", text) is None
    return len(cells) >= least and commas_alone and all(_number(cell.replace(",", ".")) is not None for cell in cells)


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
