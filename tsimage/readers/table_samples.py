"""Checked samples of one table: every cell that is needed is there and is what it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions
from tsimage.readers.delimited import Rows
from tsimage.readers.long_layout import samples_of_long
from tsimage.readers.numbers import missing_values, numbers, words
from tsimage.readers.sieve import Sieve
from tsimage.readers.table_layout import long_columns
from tsimage.readers.text import LARGEST
from tsimage.readers.timestamps import is_dated, seconds
from tsimage.windows import matching

_LONGEST_NAME = 255
"""Characters; arrays of names take as much for each as the longest needs."""
_NOTHING_LOST = ("empty line", "repeated channel")
"""Reasons to leave out a row that held no sample of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSamples:
    """Samples of one file in its order.

    Parameters
    ----------
    channels : tuple of str
    values : ndarray of float32, shape (channel, sample)
        NaN only where `missing` allows it.
    labels : ndarray of str, shape (sample,)
        Empty where there is none.
    keys : dict of str to ndarray of str, each of shape (sample,)
        What the columns of the subject and of the recording say.
    times : ndarray of float64 or None, shape (sample,)
        Seconds.
    is_dated : bool
        Whether they were dates, so that nobody had to guess their unit.
    lines : ndarray of int64, shape (sample,)
        The (first) line of each.
    order : ndarray of int64, shape (sample,)
        Place in the file; samples whose places differ by 1 are neighbours.
    lost : ndarray of int64, shape (sample,)
        Rows of the file that were left out before each and were, or may have been, of its recording; a sample does not
        follow the one before if they differ in it.
    row_lines, row_samples : ndarray of int64, shape (row,)
        Lines of all rows, and the sample that each went to.
    not_asked : dict of str to int
        Rows of each channel of a long table that was not asked for; they are not read.
    """

    channels: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray
    keys: dict[str, np.ndarray]
    times: np.ndarray | None
    is_dated: bool
    lines: np.ndarray
    order: np.ndarray
    lost: np.ndarray
    row_lines: np.ndarray
    row_samples: np.ndarray
    not_asked: dict[str, int]

    def lines_of(self, first_lines: np.ndarray) -> np.ndarray:
        """Return all lines of the samples that begin in these lines."""
        return self.row_lines[np.isin(self.row_samples, np.searchsorted(self.lines, first_lines))]


class _Rows:
    """Rows of one file of which fewer and fewer are good."""

    def __init__(self, rows: Rows, sieve: Sieve) -> None:
        self._rows, self._sieve = rows, sieve
        self.good = np.ones(len(rows.lines), dtype=bool)

    def drop(self, kind: str, bad: np.ndarray, column: str) -> None:
        """Drop rows that are bad, shape (row,), and were not before; show what the column holds in the first."""
        bad = np.flatnonzero(bad & self.good)
        if len(bad):
            cell = str(self._rows.columns[column].iloc[bad[0]]).strip()
            said = f"{column} is empty" if cell in ("", "nan") else f"{column} = {cell}"
            self._sieve.drop(kind, self._rows.lines[bad], said)
            self.good[bad] = False

    def names(self, what: str, column: str) -> np.ndarray:
        """Return the words of a column, shape (row,); rows with one that is too long for a name are dropped."""
        found = words(self._rows.columns[column])
        overlong = np.fromiter(map(len, found), dtype=np.int64, count=len(found)) > _LONGEST_NAME
        if overlong.any():
            self.drop(f"overlong {what}", overlong, column)
            found[overlong] = ""
        return found


def table_samples(
    rows: Rows,
    channels: tuple[str, ...],
    options: ReadOptions,
    fields: dict[str, str],
    file: object,
    sieve: Sieve,
    ledger: Ledger,
) -> TableSamples:
    """Check the rows of one file, column by column; bad ones go to the sieve.

    Parameters
    ----------
    rows : Rows
        With the columns that the options name.
    channels : tuple of str
        Columns; or, of a long table, words or patterns in the channel column.
    options : ReadOptions
    fields : dict of str to str
        What the path tells: subject, label, recording.
    file : object
        Name for errors.
    sieve : Sieve
    ledger : Ledger
        Takes notes.

    Raises
    ------
    UserError
        For a channel that a long table does not have, or a time column that is not understood.
    """
    checked = _Rows(rows, sieve)
    long, not_asked = long_columns(options), dict[str, int]()
    if long is not None:
        channel_column, value_column = long
        names = checked.names("channel", channel_column)
        checked.drop("no channel", names == "", channel_column)
        found = tuple(sorted(set(names[checked.good].tolist())))
        channels = matching(f"channel in column '{channel_column}' of {file}", channels, found) if found else ()
        others, counts = np.unique(names[~np.isin(names, ["", *channels])].astype(str), return_counts=True)
        not_asked = dict(zip(others.tolist(), counts.tolist(), strict=True))
        checked.good &= np.isin(names, channels)
    times = _times(checked, rows, options, file)
    columns = channels if long is None else (value_column,)
    values = np.stack([_values(checked, rows, column, options.missing != "raise") for column in columns])
    labels = np.full(len(values[0]), fields.get("label", ""), dtype=object)
    if options.label:
        labels = checked.names("label", options.label)
        missing = (labels == "") & checked.good
        if options.drop_unlabelled:
            ledger.note(sieve.file, "no label", rows.lines[missing])
        else:
            checked.drop("no label", missing, options.label)
    keys = {}
    for what in ("subject", "recording"):
        column = getattr(options, what)
        if column is not None:
            keys[what] = checked.names(what, column)
            checked.drop(f"no {what}", keys[what] == "", column)

    good = np.flatnonzero(checked.good)
    lines, order, samples = rows.lines[good], rows.order[good], np.arange(len(good))
    row_lines = lines
    if long is not None:
        assert times is not None
        asked = np.flatnonzero(np.isin(names, channels))
        gathered = samples_of_long(
            [times[asked], labels[asked], *(key[asked] for key in keys.values())],
            names[asked],
            values[0][asked],
            rows.lines[asked],
            channels,
            sieve,
            may_miss=options.missing != "raise",
            good=checked.good[asked],
        )
        values, lines, samples = gathered.values, gathered.lines, gathered.sample_of
        row_lines, good = rows.lines[asked], asked[gathered.first]
        order = rows.order[good]
    else:
        values = values[:, good]
    return TableSamples(
        channels=channels,
        values=values.astype(np.float32),
        labels=labels[good],
        keys={what: key[good] for what, key in keys.items()},
        times=None if times is None else times[good],
        is_dated=options.time is not None and is_dated(rows.columns[options.time]),
        lines=lines,
        order=order,
        lost=_lost(sieve, rows.lines, keys, good, lines),
        row_lines=row_lines,
        row_samples=samples,
        not_asked=not_asked,
    )


def _lost(
    sieve: Sieve, row_lines: np.ndarray, keys: dict[str, np.ndarray], good: np.ndarray, lines: np.ndarray
) -> np.ndarray:
    """Count the rows left out before each sample, but those that other subjects or recordings lost.

    A row whose subject or recording is not known may have been anybody's.
    """
    dropped = sieve.lines(but=_NOTHING_LOST)
    if not keys or not len(dropped) or not len(row_lines):
        return np.searchsorted(dropped, lines)
    owner, _ = pd.MultiIndex.from_arrays(list(keys.values())).factorize()
    owner[np.any([key == "" for key in keys.values()], axis=0)] = -1
    at = np.searchsorted(row_lines, dropped).clip(max=len(row_lines) - 1)
    owner_of_dropped = np.where(row_lines[at] == dropped, owner[at], -1)
    lost = np.searchsorted(dropped[owner_of_dropped == -1], lines)
    for one in np.unique(owner_of_dropped[owner_of_dropped >= 0]):
        own = owner[good] == one
        lost[own] += np.searchsorted(dropped[owner_of_dropped == one], lines[own])
    return lost


def _times(checked: _Rows, rows: Rows, options: ReadOptions, file: object) -> np.ndarray | None:
    if options.time is None:
        return None
    column = rows.columns[options.time]
    times = seconds(column, rows.lines, file, options.time_unit, rows.decimal)
    bad = np.isnan(times)
    if bad.any():
        empty = bad.copy()
        empty[bad] = missing_values(column[bad])
        checked.drop("no time", empty, options.time)
        checked.drop("unreadable time", bad, options.time)
    return times


def _values(checked: _Rows, rows: Rows, name: str, may_miss: bool) -> np.ndarray:
    column = rows.columns[name]
    values = numbers(column, rows.decimal)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        no_number = np.isnan(values)
        empty = no_number.copy()
        empty[no_number] = missing_values(column[no_number])
        if not may_miss:
            checked.drop("missing value", empty, name)
        checked.drop("infinite value", bad & ~no_number, name)
        checked.drop("no number", no_number & ~empty, name)
        values = np.where(bad, np.nan, values)  # infinity, or what does not fit into float32
    return values


def say_what_may_be_missing(sieve: Sieve, options: ReadOptions, ledger: Ledger) -> None:
    """Tell how rows with an empty value can be kept."""
    if sieve.count("missing value") and options.missing == "raise":
        ledger.say(
            "rows with an empty value were left out: option missing: '0.2s' fills gaps up to 0.2 s, 'mask' keeps them"
        )
