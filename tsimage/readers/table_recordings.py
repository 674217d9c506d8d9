"""The recordings that the samples of one table make up, and where each breaks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from tsimage.clock import COARSE, timeline
from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions
from tsimage.readers.sieve import Sieve
from tsimage.readers.table_samples import TableSamples


def recordings_of(
    samples: TableSamples,
    name: str,
    label: object,
    fields: dict[str, str],
    options: ReadOptions,
    sieve: Sieve,
    rates: dict[str, float],
    ledger: Ledger,
) -> list[Recording]:
    """Separate the recordings of one file, and find where each breaks.

    Parameters
    ----------
    samples : TableSamples
    name : str
        What the ids of the recordings begin with.
    label : object
        Name of the file for errors.
    fields : dict of str to str
        What the path tells: the subject.
    options : ReadOptions
    sieve : Sieve
        Takes down rows that are left out.
    rates : dict of str to float
        Takes the measured rate of each recording, Hz.
    ledger : Ledger
        Takes notes.

    Raises
    ------
    UserError
        If a rate is not known, the clock contradicts it, or without times the rows of recordings alternate throughout.
    """
    by = list(samples.keys)
    groups = pd.DataFrame(samples.keys).groupby(by).indices if by else {(): np.arange(len(samples.lines))}
    found = []
    for group, where in groups.items():
        rows = np.asarray(where)
        key = group if isinstance(group, tuple) else (group,)
        if len(rows) == 0:
            continue
        recording_id = "/".join([name, *map(str, key)])
        if samples.times is None:
            assert options.rate is not None
            rate = options.rate
            # rows that are not neighbours may not follow
            breaks = np.flatnonzero(np.diff(samples.order[rows]) != 1) + 1
        elif len(rows) == 1 and options.rate is None:
            sieve.drop("lone row, no rate", samples.lines_of(samples.lines[rows]))
            continue
        else:
            rows, rate, breaks, measured = _in_time(samples, samples.times, rows, label, options, sieve, ledger)
            if measured is not None:
                rates[recording_id] = measured
        labels = samples.labels[rows]
        changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
        bounds = [0, *np.union1d(changes, breaks).tolist(), len(rows)]
        found.append(
            Recording(
                id=recording_id,
                subject=str(key[0]) if "subject" in samples.keys else fields.get("subject", ""),
                values=samples.values[:, rows],
                channels=samples.channels,
                units=options.units_for(len(samples.channels), None),
                rate_hz=rate,
                segments=tuple(
                    Segment(start=int(a), stop=int(b), label=str(labels[a]))
                    for a, b in pairwise(bounds)
                    if labels[a] != ""
                ),
                breaks=tuple(breaks.tolist()),
            )
        )
    if samples.times is None:
        _check_alternating(found, sieve.file, label, ledger)
    return found


def _in_time(
    samples: TableSamples,
    times: np.ndarray,
    rows: np.ndarray,
    label: object,
    options: ReadOptions,
    sieve: Sieve,
    ledger: Ledger,
) -> tuple[np.ndarray, float, np.ndarray, float | None]:
    """Return the samples of one recording that are kept, its rate, its breaks, and the rate measured."""
    repeated = repeated_rows(times[rows], samples.values[:, rows])
    if repeated.any():
        again = rows[repeated]
        sieve.drop("repeated row", samples.lines_of(samples.lines[again]), f"{times[again[0]]:.13g} s")
        rows = rows[~repeated]
    own = Ledger()
    clock = timeline(
        times[rows],
        samples.lines[rows],
        str(label),
        own,
        rate_hz=options.rate,
        unit_is_guessed=options.time_unit is None and not samples.is_dated,
        torn=np.append(False, np.diff(samples.lost[rows]) != 0),
    )
    for fault in own.faults:
        if fault.treatment == "rejected":
            sieve.drop(fault.kind, samples.lines_of(fault.lines), fault.example)
        else:
            ledger.note(sieve.file, fault.kind, fault.lines, fault.example)
    rows = rows[clock.kept]
    # a clock that is coarse or jitters shows no gap where a row was left out
    holes = np.flatnonzero(np.diff(samples.lost[rows])) + 1
    return rows, clock.rate_hz, np.union1d(clock.breaks, holes), clock.measured_hz


def _check_alternating(recordings: list[Recording], file: str, label: object, ledger: Ledger) -> None:
    """Tell why no stretch is long where the rows of recordings alternate."""
    n_rows = sum(recording.values.shape[1] for recording in recordings)
    n_breaks = sum(len(recording.breaks) for recording in recordings)
    if len(recordings) < 2 or 2 * n_breaks <= n_rows:
        return
    said = (
        f"the rows of its {len(recordings):,} recordings alternate, and without a time column only rows that are neighbours "
        "follow one another: name the time column, or sort the rows by recording"
    )
    if n_breaks == n_rows - len(recordings):  # every row is alone, and no window can be cut
        raise UserError(f"{label}: {said}")
    ledger.say(f"{file}: {said}")


def repeated_rows(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Tell which rows were written twice: bool, shape (row,), True where a row equals the one before it.

    A coarse clock repeats times, too, and the values of a sensor at rest. So none is taken for written twice where most
    rows of one time differ, where the clock is coarse without them, or where values hardly ever change.

    Parameters
    ----------
    times : ndarray of float64, shape (row,)
    values : ndarray, shape (channel, row)

    Examples
    --------
    >>> repeated_rows(np.array([0.0, 0.0, 1.0, 1.0]), np.array([[5, 5, 6, 6]])).tolist()
    [False, True, False, True]
    >>> repeated_rows(np.array([0.0, 0.0, 1.0, 1.0]), np.array([[5, 6, 7, 8]])).tolist()
    [False, False, False, False]
    """
    repeated = np.zeros(len(times), dtype=bool)
    same_time = times[1:] == times[:-1]
    if not same_time.any():
        return repeated
    before, after = values[:, :-1], values[:, 1:]
    same_values = ((before == after) | ((before != before) & (after != after))).all(axis=0)  # NaN is like NaN
    twice = same_time & same_values
    others = int(same_time.sum() - twice.sum())
    is_coarse = others >= twice.sum() or others > COARSE * (len(times) - twice.sum())
    moves = ~same_values[~same_time]
    if not is_coarse and 2 * moves.sum() > len(moves):
        repeated[1:] = twice
    return repeated
