"""Rows of numbers out of text, quickly where all is well, and with the reason of every line where it is not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from tsimage.errors import UserError
from tsimage.ledger import Ledger

_BLOCK_BYTES = 1 << 20
_WIDEST_NUMBER = 256
"""Bytes a column: longer lines are no numbers, and would only fill the memory."""
LARGEST = float(np.finfo(np.float32).max)
"""Samples are kept as float32."""
_NAN_WORDS = ["NaN", "nan", "NAN"]
_NUMBER = rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NAN = rb"[+-]?[nN][aA][nN]"
_IS_NUMBER, _IS_NAN = re.compile(_NUMBER), re.compile(_NAN)
_IS_INFINITE = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)


def numeric_rows(
    content: bytes,
    n_columns: int,
    file: str,
    ledger: Ledger,
    *,
    separator: str | None = None,
    allow_nan: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Parse lines of numbers; lines that are none are rejected in the ledger.

    Every line counts as a row, an empty one too. The kinds of rejection are "empty line", "wrong number of columns",
    "no number", "missing value" (NaN, unless allowed), "infinite value", "undecodable bytes" and "overlong line".

    Parameters
    ----------
    content : bytes
        Of the file, without a header; lines end in LF, CRLF or CR.
    n_columns : int
        That each line must have.
    file : str
        The name that the ledger gets.
    ledger : Ledger
        Takes down what was read and what was rejected.
    separator : str, optional
        One character; by default any run of blanks and tabs.
    allow_nan : bool
        Keep NaN, written so, as a value.

    Returns
    -------
    rows : ndarray of float64, shape (row, column)
    lines : ndarray of int64, shape (row,)
        Where each row stood, counted from 1.

    Raises
    ------
    UserError
        At the first bad line, if the ledger is strict.

    Examples
    --------
    >>> ledger = Ledger()
    >>> rows, lines = numeric_rows(b"1 2\n3 four\n5 6\n", 2, "a.txt", ledger)
    >>> rows.tolist(), lines.tolist()
    ([[1.0, 2.0], [5.0, 6.0]], [1, 3])
    >>> print(ledger.report())
    Read 3 rows: kept 2, rejected 1
      rejected 1 x no number, first in a.txt, line 2: 'four'
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    bad: dict[str, list[int]] = {}
    examples: dict[str, str] = {}

    def fault(kind: str, line: int, example: bytes) -> None:
        bad.setdefault(kind, []).append(line)
        examples.setdefault(kind, example[:_WIDEST_NUMBER].decode("utf-8", "backslashreplace"))

    parsed, numbers = [np.empty((0, n_columns))], [np.empty(0, dtype=np.int64)]
    read = 0
    for block in _blocks(content):
        n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
        where = np.arange(read + 1, read + n_lines + 1)
        rows = _parse(block, n_columns, separator, allow_nan)
        if rows is None or len(rows) != n_lines:
            rows, where = _parse_line_by_line(block, read, n_columns, separator, allow_nan, fault)
        infinite = np.abs(rows) > LARGEST
        if infinite.any():
            gone = infinite.any(axis=1)
            for line in where[gone].tolist():
                fault("infinite value", line, b"%g" % rows[infinite][0])
            rows, where = rows[~gone], where[~gone]
        parsed.append(rows)
        numbers.append(where)
        read += n_lines
    ledger.rows_read += read
    for kind, lines in sorted(bad.items(), key=lambda item: min(item[1])):  # a strict ledger stops at the first
        ledger.reject(file, kind, lines, examples[kind])
    return np.concatenate(parsed), np.concatenate(numbers)


def rows_side_by_side(
    contents: Mapping[str, tuple[bytes, int]], path: object, ledger: Ledger, *, separator: str | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    r"""Parse files whose lines belong together: line i of every file is row i, which counts once.

    Parameters
    ----------
    contents : mapping of str to (bytes, int)
        Content and number of columns by name of the file.
    path : object
        What holds the files; errors begin with it.
    ledger, separator
        As in `numeric_rows`.

    Returns
    -------
    parts : list of ndarray of float64, shape (row, column)
        One for each file, of equal length: a row that is bad in one file is left out of all.
    lines : ndarray of int64, shape (row,)
        Where each row stood, counted from 1.

    Raises
    ------
    UserError
        If the files have unequal numbers of lines; at the first bad line, if the ledger is strict.

    Examples
    --------
    >>> ledger = Ledger()
    >>> parts, lines = rows_side_by_side({"x.txt": (b"1\n2\n3\n", 1), "y.txt": (b"4\n?\n6\n", 1)}, "set", ledger)
    >>> np.hstack(parts).tolist(), lines.tolist(), ledger.report().rows_rejected
    ([[1.0, 4.0], [3.0, 6.0]], [1, 3], 1)
    """
    parts, wheres = [], []
    rejected = np.empty(0, dtype=np.int64)
    counts: dict[str, int] = {}
    faults = []
    for file, (content, n_columns) in contents.items():
        own = Ledger(strict=ledger.strict)
        rows, where = numeric_rows(content, n_columns, file, own, separator=separator)
        parts.append(rows)
        wheres.append(where)
        counts[file] = own.rows_read
        faults += own.faults
    first = next(iter(counts))
    odd = next((file for file in counts if counts[file] != counts[first]), None)
    if odd is not None:
        raise UserError(
            f"{path}: {first} has {counts[first]:,} lines but {odd} has {counts[odd]:,}: they belong together line by line: "
            "get a fresh copy"
        )
    ledger.rows_read += counts[first]
    for fault in faults:
        ledger.reject(fault.file, fault.kind, np.setdiff1d(fault.lines, rejected), fault.example)
        rejected = np.union1d(rejected, fault.lines)
    lines = np.setdiff1d(np.arange(1, counts[first] + 1), rejected)
    return [rows[np.isin(where, lines)] for rows, where in zip(parts, wheres, strict=True)], lines


def _blocks(content: bytes) -> Iterator[bytes]:
    """Yield whole lines, about a megabyte at a time: a bad line costs only its own block the quick way."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + _BLOCK_BYTES) + 1 or len(content)
        yield content[start:end]
        start = end


def _parse(block: bytes, n_columns: int, separator: str | None, allow_nan: bool) -> np.ndarray | None:
    """Return all rows, or None if any line is not what it should be."""
    first = block.partition(b"\n")[0]
    if len(_tokens(first, separator)) != n_columns or b"\0" in block:
        return None  # the parser takes its width from the first line, and NUL for the end of a number
    try:
        frame = pd.read_csv(
            io.BytesIO(block),
            sep=separator or r"\s+",
            header=None,
            names=range(n_columns),
            index_col=False,
            dtype=np.float64,
            keep_default_na=False,  # so that a short line is an error and not NaN
            na_values=_NAN_WORDS if allow_nan else [],
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
            encoding="latin-1",
        )
    except (ValueError, OverflowError):
        return None
    return frame.to_numpy()


def _parse_line_by_line(
    block: bytes,
    read: int,
    n_columns: int,
    separator: str | None,
    allow_nan: bool,
    fault: Callable[[str, int, bytes], None],
) -> tuple[np.ndarray, np.ndarray]:
    number = _NUMBER + (b"|" + _NAN if allow_nan else b"")
    between = rb"[ \t]+" if separator is None else rb"[ \t]*" + re.escape(separator.encode()) + rb"[ \t]*"
    good = re.compile(rb"[ \t]*(?:%b)(?:%b(?:%b)){%d}[ \t]*" % (number, between, number, n_columns - 1))
    kept, where = [], []
    for number_of_line, line in enumerate(block.removesuffix(b"\n").split(b"\n"), start=read + 1):
        if len(line) > _WIDEST_NUMBER * n_columns:
            fault("overlong line", number_of_line, line)
        elif good.fullmatch(line):
            kept.append(line)
            where.append(number_of_line)
        else:
            fault(*_reason(line, number_of_line, n_columns, separator, allow_nan))
    rows = _parse(b"\n".join(kept), n_columns, separator, allow_nan) if kept else None
    if rows is None or len(rows) != len(kept):  # numbers beyond the range of float64
        rows = np.array([[float(t) for t in _tokens(line, separator)] for line in kept]).reshape(-1, n_columns)
    return rows, np.array(where, dtype=np.int64)


def _reason(line: bytes, number: int, n_columns: int, separator: str | None, allow_nan: bool) -> tuple[str, int, bytes]:
    tokens = [token.strip() for token in _tokens(line, separator)]
    if not line.strip():
        return "empty line", number, b""
    if not _is_text(line):
        return "undecodable bytes", number, line
    if len(tokens) != n_columns:
        return "wrong number of columns", number, line
    for token in tokens:
        if not token or (_IS_NAN.fullmatch(token) and not allow_nan):
            return "missing value", number, line
        if _IS_INFINITE.fullmatch(token):
            return "infinite value", number, b"%g" % float(token)
        if not _IS_NUMBER.fullmatch(token) and not _IS_NAN.fullmatch(token):
            return "no number", number, token
    return "no number", number, line  # numbers, but something other than blanks between them


def _tokens(line: bytes, separator: str | None) -> list[bytes]:
    return line.split() if separator is None else line.split(separator.encode())


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
