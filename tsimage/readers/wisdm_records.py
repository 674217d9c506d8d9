"""Lines `user,activity,time,x,y,z;` of both WISDM sets, with the faults that they are known for.

A record is judged in this order, and the first reason counts:

==============================  ======================================================================================
fault                           treatment
==============================  ======================================================================================
empty line                      rejected; no sample is missing there
cut off at the end of the file  rejected: a last line without `;` and line end may lack digits
fused records                   rejected, one row each: `3.033,Jogging`, no `;` between z and the next user
extra fields                    rejected: more than six, or more than 10,000 characters
missing z                       rejected: `0.5,;` where y is followed by a comma and nothing
missing fields                  rejected: less than six, or an empty one
unknown user, unknown activity  rejected: none of the set's
not a number                    rejected: words in time or axes; times are whole numbers
not finite                      rejected: NaN, infinities or more than float32 holds
zero record                     rejected: time and all axes are 0
repeated record                 rejected: equal, time included, to the record before it; no sample is missing
records run together            mended: `...;33,Jogging,...` on one line are records of their own
trailing comma                  mended: `0.5,1.2,0.3,;` or `;,`
trailing semicolon              mended: `;;`
no closing semicolon            mended, unless it is the end of the file
==============================  ======================================================================================

Blanks around a field and CR before the line end are taken off.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsimage.ledger import Ledger
from tsimage.readers.text import LARGEST

_PLAIN = r"-?\d{1,6}(?:\.\d*)?(?:[eE]-\d{1,2})?"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_USER = re.compile(r"\d{1,9}", re.ASCII)
_TIME = re.compile(r"-?\d{1,18}", re.ASCII)
_BLANK = " \t\r\f\v"
_NOTHING = _BLANK + ","


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Records of one file, in its order.

    Parameters
    ----------
    lines, users, activities, times : ndarray of int64, shape (record,)
        Line of the file from 1, number of the user, position in the list of activities, nanoseconds.
    values : ndarray of float32, shape (record, 3)
        The three axes.
    follows : ndarray of bool, shape (record,)
        Whether no rejected record stands between this record and the one before.
    """

    lines: np.ndarray
    users: np.ndarray
    activities: np.ndarray
    times: np.ndarray
    values: np.ndarray
    follows: np.ndarray

    def at(self, rows: np.ndarray) -> Records:
        """Return the records at these rows."""
        return Records(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def parse(content: bytes, file: str, ledger: Ledger, users: range, activities: tuple[str, ...]) -> Records:
    """Read records `user,activity,time,x,y,z;`, taking down every fault that one record shows by itself.

    Well-formed lines go through pandas as a whole; only odd ones are looked at one by one.

    Parameters
    ----------
    content : bytes
        Of the file.
    file : str
        Its name in the ledger.
    ledger : Ledger
        Takes down rows, rejections and mends.
    users : range
        Numbers of users that may occur.
    activities : tuple of str
        Names that may occur.

    Returns
    -------
    Records
        What is kept.

    Raises
    ------
    UserError
        If the ledger is strict and a record is rejected.

    Examples
    --------
    >>> ledger = Ledger()
    >>> parse(b"1,Sitting,50,0,0.5,9.5;\\n1,Sitting,100,0,0.5,;\\n", "a.txt", ledger, range(1, 37), ("Sitting",)).values
    array([[0. , 0.5, 9.5]], dtype=float32)
    >>> print(ledger.report())
    Read 2 rows: kept 1, rejected 1
      rejected 1 x missing z, first in a.txt, line 2: '1,Sitting,100,0,0.5,;'
    """
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    is_cut = bool(lines[-1])
    if not is_cut:
        lines.pop()
    is_plain, plain = _plain(lines, users, activities)
    odd = [
        record
        for i in np.flatnonzero(~is_plain).tolist()
        for record in _records(
            i + 1, lines[i].decode("utf-8", "replace"), is_cut and i == len(lines) - 1, users, activities
        )
    ]
    table = pd.concat(
        [plain, pd.DataFrame([record[:-1] for record in odd], columns=list(_TYPES)).astype(_TYPES)], ignore_index=True
    )
    table = table.sort_values("line", kind="stable")  # the records of one odd line stay in order
    fault, line = table["fault"].to_numpy(copy=True), table["line"].to_numpy()
    values = table[["x", "y", "z"]].to_numpy(np.float32)
    fault[(fault == _FINE) & (table["time"] == 0) & (values == 0).all(axis=1)] = _ZERO
    sound = fault == _FINE
    same = table["time"].to_numpy()[sound][1:] != 0
    for name in ("user", "activity", "time", "x", "y", "z"):
        column = table[name].to_numpy()[sound]
        same &= column[1:] == column[:-1]
    fault[np.flatnonzero(sound)[1:][same]] = _REPEATED

    def example(number: int) -> str:
        return lines[number - 1][:100].decode("utf-8", "replace")

    ledger.rows_read += len(table)
    mends: dict[str, list[int]] = {}
    for record in np.flatnonzero((table.index >= len(plain)) & (fault == _FINE)).tolist():
        for mend in odd[table.index[record] - len(plain)].mends:
            mends.setdefault(mend, []).append(int(line[record]))
    for kind, where in mends.items():
        ledger.mend(file, kind, where, example(where[0]))
    rejections = [(line[fault == code], kind) for code, kind in enumerate(KINDS)]
    for where, kind in sorted(
        (r for r in rejections if len(r[0])), key=lambda r: r[0][0]
    ):  # a strict ledger stops at the first
        ledger.reject(file, kind, where, example(int(where[0])))
    kept = fault == _FINE
    lost = np.cumsum(~kept & (fault != _EMPTY) & (fault != _REPEATED))[kept]
    table = table[kept]
    return Records(
        lines=line[kept],
        users=table["user"].to_numpy(),
        activities=table["activity"].to_numpy(),
        times=table["time"].to_numpy(),
        values=values[kept],
        follows=np.diff(lost, prepend=0) == 0,
    )


KINDS = (
    "empty line",
    "cut off at the end of the file",
    "fused records",
    "extra fields",
    "missing z",
    "missing fields",
    "unknown user",
    "unknown activity",
    "not a number",
    "not finite",
    "zero record",
    "repeated record",
)
_FINE, _EMPTY, _ZERO, _REPEATED = (
    -1,
    KINDS.index("empty line"),
    KINDS.index("zero record"),
    KINDS.index("repeated record"),
)


_LONGEST = 10_000
"""Characters of a record; longer ones would only fill the memory."""


class _Record(NamedTuple):
    """A record of an odd line: what it holds, or which of `KINDS` is its fault."""

    line: int
    user: int = 0
    activity: int = 0
    time: int = 0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    fault: int = _FINE
    mends: tuple[str, ...] = ()


_TYPES: dict[str, Any] = {
    "line": np.int64,
    "user": np.int64,
    "activity": np.int64,
    "time": np.int64,
    "x": np.float64,
    "y": np.float64,
    "z": np.float64,
    "fault": np.int64,
}


def _plain(lines: list[bytes], users: range, activities: tuple[str, ...]) -> tuple[np.ndarray, pd.DataFrame]:
    """Tell which lines are one well-formed record, and read those at once."""
    numbers, names = "|".join(map(str, users)), "|".join(map(re.escape, activities))
    matches = re.compile(rf"(?:{numbers}),(?:{names}),\d{{1,18}}(?:,{_PLAIN}){{3}};\r?".encode()).fullmatch
    is_plain = [matches(line) is not None for line in lines]
    text = b"\n".join(compress(lines, is_plain)).translate(None, b";\r")
    types = {c: _TYPES[c] for c in ("user", "activity", "time", "x", "y", "z")}
    types["activity"] = pd.CategoricalDtype(list(activities))
    frame = pd.read_csv(io.BytesIO(text or b",,,,,"), header=None if text else 0, names=list(types), dtype=types)
    where = np.array(is_plain, dtype=bool)
    return where, frame.assign(
        line=np.flatnonzero(where) + 1, activity=frame["activity"].cat.codes.astype(np.int64), fault=_FINE
    )[list(_TYPES)]


def _records(line: int, text: str, is_cut: bool, users: range, activities: tuple[str, ...]) -> Iterator[_Record]:
    pieces = text.split(";")
    after = pieces.pop()
    is_closed = bool(pieces) and not after.strip(_NOTHING)
    if not is_closed:
        pieces.append(after)
    records = [piece for piece in pieces if piece.strip(_NOTHING)]
    if not records:
        yield _Record(line, fault=_EMPTY)
    for i, record in enumerate(records):
        mends = ["records run together"] if i else []
        if i == len(records) - 1:
            if not is_closed and is_cut:
                yield _Record(line, fault=KINDS.index("cut off at the end of the file"))
                return
            if not is_closed:
                mends.append("no closing semicolon")
            elif len(pieces) > len(records):
                mends.append("trailing semicolon")
            elif "," in after:
                mends.append("trailing comma")
        if len(record) > _LONGEST:
            yield _Record(line, fault=KINDS.index("extra fields"))
            continue
        parts = [field.strip(_BLANK) for field in record.split(",")]
        if len(parts) > 6 and not any(parts[6:]):
            if parts[5]:
                mends.append("trailing comma")
            del parts[6:]
        if len(parts) > 6 and len(parts) % 5 == 1:
            yield from [_Record(line, fault=KINDS.index("fused records"))] * (len(parts) // 5)
        else:
            yield _record(line, parts, tuple(mends), users, activities)


def _record(line: int, parts: list[str], mends: tuple[str, ...], users: range, activities: tuple[str, ...]) -> _Record:
    numbers = parts[3:]
    if len(parts) > 6:
        fault = "extra fields"
    elif len(parts) == 6 and not parts[5] and all(parts[:5]):
        fault = "missing z"
    elif len(parts) < 6 or not all(parts):
        fault = "missing fields"
    elif not _USER.fullmatch(parts[0]) or int(parts[0]) not in users:
        fault = "unknown user"
    elif parts[1] not in activities:
        fault = "unknown activity"
    elif not _TIME.fullmatch(parts[2]) or not all(_NUMBER.fullmatch(n) or _NO_NUMBER.fullmatch(n) for n in numbers):
        fault = "not a number"
    elif not all(abs(float(n)) <= LARGEST for n in numbers):
        fault = "not finite"
    else:
        x, y, z = map(float, numbers)
        return _Record(line, int(parts[0]), activities.index(parts[1]), int(parts[2]), x, y, z, mends=mends)
    return _Record(line, fault=KINDS.index(fault))
