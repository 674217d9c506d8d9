"""Clocks of recordings: which rows follow one another in time, at which rate, and where the time breaks.

The clock is taken at its word, but checked. Rows without a time, rows that repeat a time and a few rows whose time goes
back or ahead and returns are rejected. A clock that is set back or ahead and runs on, and a gap, are breaks: nothing is
lost, but no window may hold both sides. Missing samples are never invented.

Some devices hand over samples in batches and stamp the whole batch, or write whole seconds. Where more than a quarter of
all rows repeat the time before them, or where only with the repeated rows the clock runs at the rate that was stated,
the clock is coarse: its rows are all kept and count as spread evenly, and only gaps between batches can be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tsimage.errors import UserError
from tsimage.ledger import Ledger

SLOW_HZ = 0.25
"""A rate below this is believed only of a time column whose unit is stated."""
GAP = 1.5
"""A step in time longer than this many sampling intervals is a gap, unless the next or the last step makes up for it."""
FEW = 10
"""Up to so many rows in a row that go back or ahead in time are strays; more are a clock that was set."""
JUMP_S = 86_400.0
"""A gap longer than a day is called a clock jump: nobody can tell the two apart."""
COARSE = 0.25
"""Above this share of repeated times, the clock is coarse rather than the rows duplicated."""
AGREEMENT = 0.05
"""A stated rate and the clock may differ by this share."""
TOLD = 0.005
"""A larger share by which they differ is told."""
_ROUNDING = 1.001  # a step of just GAP intervals is no gap, though times have 16 digits


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Rows in the order of time.

    Parameters
    ----------
    kept : ndarray of int64, shape (sample,)
        Rows that are kept, increasing.
    rate_hz : float
        The rate stated, else the one measured.
    measured_hz : float or None
        Samples per second between breaks, to 4 digits; None where the times do not tell.
    breaks : ndarray of int64
        Positions within `kept` of the samples that do not follow the one before in time, increasing.
    """

    kept: np.ndarray
    rate_hz: float
    measured_hz: float | None
    breaks: np.ndarray


def timeline(
    times: np.ndarray,
    lines: np.ndarray,
    file: str,
    ledger: Ledger,
    *,
    rate_hz: float | None = None,
    unit_is_guessed: bool = False,
    torn: np.ndarray | None = None,
) -> Timeline:
    """Check the clock of one recording and find its rate and its breaks.

    Rejected are rows with `no time` (NaN or infinite), a `repeated time` (the first is kept), and up to `FEW` rows with a
    `backward time` or `forward time`, whose neighbours on both sides, or the one at an end of the recording, run on
    without them. Noted are the first rows after a `gap` and after a `clock jump` (set back, or ahead by more than a day),
    and the rows that repeat a time of a `coarse clock`. A clock that differs from the rate stated by more than `TOLD` is
    stated.

    Parameters
    ----------
    times : ndarray of float64, shape (row,)
        Seconds, in the order of the file.
    lines : ndarray of int64, shape (row,)
        Line of each row, for the ledger.
    file : str
        Name in the ledger and in errors.
    ledger : Ledger
        Takes down what is rejected and noted.
    rate_hz : float, optional
        The rate stated by the user or the format.
    unit_is_guessed : bool
        Whether nobody said that the times are seconds: a rate below `SLOW_HZ` is then refused.
    torn : ndarray of bool, shape (row,), optional
        Rows before which others were left out: batches of a coarse clock that lack rows tell no rate.

    Returns
    -------
    Timeline
        Between breaks the times of `kept` increase strictly, except those of a coarse clock.

    Raises
    ------
    UserError
        If no rate can be told, if the clock contradicts the rate stated, if rows are not in the order of time, or if the
        ledger is strict and a row is rejected.

    Examples
    --------
    >>> ledger = Ledger()
    >>> clock = timeline(np.array([0.0, 0.5, 0.5, 1.0, 4.0, 4.5]), np.arange(2, 8), "walk.csv", ledger)
    >>> clock.kept.tolist(), clock.rate_hz, clock.breaks.tolist()
    ([0, 1, 3, 4, 5], 2.0, [3])
    >>> print(*ledger.faults, sep="\\n")
    walk.csv: rejected 1 x repeated time, line 4 ('0.5 s')
    walk.csv: noted 1 x gap, line 6 ('1 s to 4 s')
    """
    with np.errstate(over="ignore"):
        return _timeline(times, lines, file, ledger, rate_hz, unit_is_guessed, torn)


def _timeline(
    times: np.ndarray,
    lines: np.ndarray,
    file: str,
    ledger: Ledger,
    rate_hz: float | None,
    unit_is_guessed: bool,
    torn: np.ndarray | None,
) -> Timeline:
    known = np.isfinite(times)
    ledger.reject(file, "no time", lines[~known])
    rows = np.flatnonzero(known)
    rows, jumped = _without_strays(rows, times, lines, file, ledger)

    batches = _batches(times[rows])
    clock = times[rows[batches]]
    sizes = _sizes(rows, batches, torn)
    steps = np.diff(clock)
    jumps = jumped[rows[batches[1:]]] if len(rows) else np.zeros(0, dtype=bool)
    usual = _usual(steps)
    coarse = len(rows) - len(batches) > COARSE * len(rows) or (len(batches) == 1 < len(rows) and rate_hz is not None)
    if not coarse and rate_hz is not None:
        coarse = not _agrees(_rate(steps, jumps, usual), rate_hz) and _agrees(
            _rate(steps, jumps, usual, sizes), rate_hz
        )
        if not coarse and usual / GAP < 1 / rate_hz < usual * GAP:
            usual = 1 / rate_hz  # a median of rounded times is off by up to half a tick
    measured = _rate(steps, jumps, usual, sizes if coarse else None)

    repeated = np.setdiff1d(np.arange(len(rows)), batches, assume_unique=True)
    if coarse:
        ledger.note(file, "coarse clock", lines[rows[repeated]], _shown(times, rows, repeated))
    else:
        ledger.reject(file, "repeated time", lines[rows[repeated]], _shown(times, rows, repeated))
        rows, batches = rows[batches], np.arange(len(batches))
    rate = _checked_rate(measured, rate_hz, len(rows), file, unit_is_guessed)
    if measured is not None and rate_hz is not None:
        say_rates({file: measured}, rate_hz, ledger)

    gaps = ~jumps & _is_gap(steps, usual)
    jumps |= gaps & (steps > JUMP_S)
    gaps &= ~jumps
    for kind, which in (("gap", gaps), ("clock jump", jumps)):
        at = np.flatnonzero(which)
        example = f"{clock[at[0]]:.13g} s to {clock[at[0] + 1]:.13g} s" if len(at) else ""
        if kind == "gap" and len(at) > 1:
            example += f"; of {len(at)} in this file the longest {steps[at].max():.4g} s"
        ledger.note(file, kind, lines[rows[batches[at + 1]]], example)
    return Timeline(
        kept=rows.astype(np.int64),
        rate_hz=rate,
        measured_hz=measured,
        breaks=batches[1:][gaps | jumps].astype(np.int64),
    )


def say_rates(measured: Mapping[str, float], stated_hz: float | None, ledger: Ledger) -> None:
    """State the rates of clocks: all of them in one sentence, or where a rate was stated those that differ from it.

    Parameters
    ----------
    measured : mapping of str to float
        Rate of the clock of each recording, Hz.
    stated_hz : float or None
    ledger : Ledger

    Examples
    --------
    >>> ledger = Ledger()
    >>> say_rates({"a.csv": 50.0, "b.csv": 50.5, "c.csv": 49.0}, 50, ledger)
    >>> say_rates({"a.csv": 50.0, "b.csv": 50.5}, None, ledger)
    >>> print(*ledger.notes, sep="\\n")
    b.csv and 1 more: the clocks run at 49 to 50.5 Hz, stated is 50 Hz
    rate measured: 50 to 50.5 Hz in 2 recordings
    """
    told = {name: hz for name, hz in measured.items() if stated_hz is None or abs(hz / stated_hz - 1) > TOLD}
    if not told:
        return
    low, high = min(told.values()), max(told.values())
    span = f"{low:g} Hz" if low == high else f"{low:g} to {high:g} Hz"
    if stated_hz is None:
        ledger.say(f"rate measured: {span}" + ("" if low == high else f" in {len(told):,} recordings"))
    elif len(told) == 1:
        ledger.say(f"{next(iter(told))}: the clock runs at {span}, stated is {stated_hz:g} Hz")
    else:
        ledger.say(
            f"{next(iter(told))} and {len(told) - 1:,} more: the clocks run at {span}, stated is {stated_hz:g} Hz"
        )


def _batches(times: np.ndarray) -> np.ndarray:
    """Return where runs of equal times begin."""
    return np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1]])) if len(times) else np.zeros(0, dtype=int)


def _sizes(rows: np.ndarray, batches: np.ndarray, torn: np.ndarray | None) -> np.ndarray:
    """Return the rows in each batch but the last; as a number below zero where a row beside or in it was left out."""
    sizes = np.diff(batches)
    if torn is None or not len(sizes):
        return sizes
    before = torn[rows].astype(np.int64)
    lacks = np.add.reduceat(before, batches)[:-1] + before[batches[1:]] > 0
    return np.where(lacks, -sizes, sizes)


def _usual(steps: np.ndarray) -> float:
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else math.nan


def _is_gap(steps: np.ndarray, usual: float) -> np.ndarray:
    """Tell which steps are gaps: too long, and not the delay of one sample that its neighbours make up for."""
    beside = np.concatenate([[math.inf], np.where(steps > 0, steps, math.inf), [math.inf]])
    usual *= _ROUNDING
    caught_up = steps + np.minimum(beside[:-2], beside[2:]) <= (1 + GAP) * usual
    return (steps > GAP * usual) & ~caught_up


def _rate(steps: np.ndarray, jumps: np.ndarray, usual: float, sizes: np.ndarray | None = None) -> float | None:
    """Return samples per second over the steps that are no breaks, to 4 digits; each step counts `sizes` samples.

    A size below zero is that of a batch that lacks rows: it counts only where no batch is whole.
    """
    within = ~jumps & ~_is_gap(steps, usual)
    if sizes is not None:  # the first batch of a stretch may be a part of one
        whole = within & np.append(False, within[:-1]) & (sizes > 0)
        within = whole if whole.any() else within
    seconds = float(steps[within].sum())
    samples = float(within.sum() if sizes is None else np.abs(sizes[within]).sum())
    rate = samples / seconds if seconds > 0 else math.nan
    return float(f"{rate:.4g}") if 0 < rate < math.inf else None


def _agrees(measured: float | None, rate_hz: float) -> bool:
    return measured is not None and abs(measured / rate_hz - 1) < AGREEMENT


def _checked_rate(
    measured: float | None, rate_hz: float | None, n_rows: int, file: str, unit_is_guessed: bool
) -> float:
    if rate_hz is None:
        if measured is None:
            rows = "row" if n_rows == 1 else "rows"
            raise UserError(f"{file}: a recording of {n_rows} {rows} tells no rate: give the rate in Hz")
        if unit_is_guessed and measured < SLOW_HZ:
            raise UserError(
                f"{file}: the time column would run at {measured:.3g} Hz if it were in seconds: state its unit (option "
                "time-unit ms, us or ns; s if it is true)"
            )
        return measured
    if measured is not None and not _agrees(measured, rate_hz):
        raise UserError(
            f"{file}: the time column runs at {measured:.4g} Hz but rate says {rate_hz:g} Hz: check the unit of the time "
            "(option time-unit) or the rate, resample the file, or leave it out"
        )
    return rate_hz


def _shown(times: np.ndarray, rows: np.ndarray, where: np.ndarray) -> str:
    return f"{times[rows[where[0]]]:.13g} s" if len(where) else ""


def _without_strays(
    rows: np.ndarray, times: np.ndarray, lines: np.ndarray, file: str, ledger: Ledger
) -> tuple[np.ndarray, np.ndarray]:
    """Reject the few rows that go back or ahead and return; return the others, and which rows follow a clock set back."""
    batches = _batches(times[rows])
    clock = times[rows[batches]]
    steps = np.diff(clock)
    n_back = int((steps < 0).sum())
    jumped = np.zeros(len(times), dtype=bool)
    if not n_back:
        return rows, jumped
    if n_back > max(FEW, len(rows) // 10):
        at = int(np.argmax(steps < 0))
        raise UserError(
            f"{file}, line {lines[rows[batches[at + 1]]]}: time goes from {clock[at]:.13g} s to {clock[at + 1]:.13g} s, and "
            f"back {n_back:,} times in {len(rows):,} rows: rows of one recording must be in the order of time: sort them, "
            "or name the subject and recording columns"
        )
    stray, jumps = _strays(clock, np.append(batches, len(rows)), GAP * _usual(steps))
    jumped[rows[batches[jumps]]] = True
    stray = np.repeat(stray, np.diff(batches, append=len(rows)))
    for kind, code in (("backward time", _BACKWARD), ("forward time", _FORWARD)):
        where = np.flatnonzero(stray == code)
        ledger.reject(file, kind, lines[rows[where]], _shown(times, rows, where))
    return rows[stray == 0], jumped


_BACKWARD, _FORWARD = 1, 2


def _strays(clock: np.ndarray, bounds: np.ndarray, gap_s: float) -> tuple[np.ndarray, list[int]]:
    """Explain every step back of a clock by as few rows as possible: those after it, those before it, or a set clock.

    Parameters
    ----------
    clock : ndarray, shape (batch,)
        Times of batches of rows with one time, seconds.
    bounds : ndarray of int, shape (batch + 1,)
        Rows before each batch, and in all.
    gap_s : float
        A step ahead longer than this may lead to a stray.

    Returns
    -------
    stray : ndarray of int8, shape (batch,)
        0, `_BACKWARD` or `_FORWARD`.
    jumps : list of int
        Batches at which the clock was set back.
    """
    stray = np.zeros(len(clock), dtype=np.int8)
    jumps: list[int] = []
    floor = 0  # where the clock was last set
    for i in (np.flatnonzero(np.diff(clock) < 0) + 1).tolist():
        if stray[i]:
            continue
        before = i - 1
        while before >= floor and stray[before]:
            before -= 1
        if before < floor or clock[before] <= clock[i]:
            continue
        returned = np.flatnonzero(clock[i : i + FEW + 1] >= clock[before])
        end = i + int(returned[0]) if len(returned) else len(clock)
        back = int(bounds[end] - bounds[i])
        ahead, start, top = 0, before, before
        while start >= floor and ahead <= FEW and (stray[start] or clock[start] > clock[i]):
            if not stray[start]:
                ahead, top = ahead + int(bounds[start + 1] - bounds[start]), start
            start -= 1
        leapt = start < floor or clock[top] - clock[start] > gap_s
        if back <= FEW and not (leapt and ahead < back):
            stray[i:end] = _BACKWARD
        elif leapt and ahead <= FEW:
            stray[top:i][stray[top:i] == 0] = _FORWARD
            if start < floor and jumps:
                floor = jumps[-1] = i
        else:
            floor = i
            jumps.append(i)
    return stray, jumps
