"""Rows of delimited text: whole columns at once where lines are well formed, and a reason for every line that is not."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsimage.errors import UserError
from tsimage.readers.dialect import Dialect, single_blanks
from tsimage.readers.numbers import MISSING_VALUES
from tsimage.readers.sieve import Sieve

_LONGEST_LINE = 1 << 20
_LONGEST_FIELD_LINES = 100
"""A quoted field over more lines than this is a quote that was never closed."""
_NA = sorted({form for word in MISSING_VALUES for form in (word, word.upper(), word.capitalize(), "NaN")} - {""})
_SHELTERS = ("\x1c", "\x1d", "\x1e")  # stand for a separator, a line's end and a quote inside a quoted field


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Well-formed rows of one table.

    Parameters
    ----------
    columns : DataFrame
        Those columns that were asked for; numbers, dates or text, as they could be parsed.
    lines : ndarray of int64, shape (row,)
        Lines of text, counted from 1, or rows of a binary file, counted from 0.
    order : ndarray of int64, shape (row,)
        Place among all rows of the file, malformed ones included: neighbours differ by 1.
    n_read : int
        Rows of the file, malformed ones included.
    decimal : {".", ","}
        The sign in text that holds numbers.
    comments : ndarray of int64
        Lines between the rows that begin with `#`; they are no rows.
    """

    columns: pd.DataFrame
    lines: np.ndarray
    order: np.ndarray
    n_read: int
    decimal: str = "."
    comments: np.ndarray


def delimited_rows(
    content: bytes, dialect: Dialect, columns: Sequence[str], text: Collection[str], sieve: Sieve
) -> Rows:
    r"""Parse the wanted columns of a delimited text; malformed lines go to the sieve.

    Their kinds are "overlong line", "empty line", "NUL byte", "unbalanced quote" and "wrong number of columns". A separator too many at the
    end of a line is no fault.

    Parameters
    ----------
    content : bytes
        As `utf8_lines` returns it.
    dialect : Dialect
        How it is written.
    columns : sequence of str
        Wanted columns, of `dialect.columns`.
    text : collection of str
        Those that stay as they are written ('01' is not 1).
    sieve : Sieve
        Takes down malformed lines.

    Examples
    --------
    >>> from tsimage.readers.dialect import dialect_of
    >>> content, sieve = b"x,y\n1,a\n2\n3,b\n", Sieve("a.csv")
    >>> rows = delimited_rows(content, dialect_of(content, "a.csv"), ["y"], ["y"], sieve)
    >>> rows.columns["y"].tolist(), rows.lines.tolist(), sieve.count("wrong number of columns")
    (['a', 'b'], [2, 4], 1)
    """
    separator, width = dialect.separator, len(dialect.columns)
    content, overlong = _shortened(content)
    if separator == " ":
        content = single_blanks(content)
    content, unbalanced, continued = _unquoted(content, separator, width, dialect.n_before)
    buffer = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(buffer == 10)
    if len(buffer) and buffer[-1] != 10:
        ends = np.append(ends, len(buffer))
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    keep = np.arange(len(ends)) >= dialect.n_before
    keep[continued] = False
    comments = np.flatnonzero(keep & (starts < ends) & (buffer[np.minimum(starts, len(buffer) - 1)] == ord("#")))
    keep[comments] = False
    index = np.flatnonzero(keep)  # of the lines that are rows
    starts, ends = starts[index], ends[index]

    separators = np.flatnonzero(buffer == ord(separator))
    fields = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
    trailing = (fields == width + 1) & (buffer[np.maximum(ends, 1) - 1] == ord(separator))
    ends = ends - trailing
    good = (fields == width) | trailing
    good &= ends > starts
    zeros = np.flatnonzero(buffer == 0)
    if len(zeros):
        with_zero = np.searchsorted(zeros, ends) > np.searchsorted(zeros, starts)
        good &= ~with_zero
    good &= ~np.isin(index, np.array(sorted(unbalanced | overlong), dtype=np.int64))

    bad: dict[str, list[int]] = {}
    for row in np.flatnonzero(~good).tolist():
        line = content[starts[row] : ends[row]]
        if index[row] in overlong:
            kind = "overlong line"
        elif index[row] in unbalanced:
            kind = "unbalanced quote"
        elif not line.strip():
            kind = "empty line"
        else:
            kind = "NUL byte" if b"\0" in line else "wrong number of columns"
        bad.setdefault(kind, []).append(row)
    for kind, rows in bad.items():
        first = content[starts[rows[0]] : min(ends[rows[0]], starts[rows[0]] + 200)].decode("utf-8", "replace")
        sieve.drop(kind, index[rows] + 1, _restored(first.replace("\0", "\\0"), separator))

    if len(good) and not (good.all() and starts[0] + (ends - starts + 1).sum() >= len(content)):
        content = _only(buffer, starts[good], ends[good])
    elif len(good):
        content = content[starts[0] :]
    frame = _parsed(content, dialect, columns, text) if good.any() else pd.DataFrame(columns=list(columns), dtype=str)
    if len(frame) != good.sum():
        raise UserError(
            f"{sieve.file}: not a readable table (its lines cannot be told apart): save it anew or leave it out"
        )
    return Rows(
        columns=frame,
        lines=index[good] + 1,
        order=np.flatnonzero(good),
        n_read=len(good),
        decimal=dialect.decimal,
        comments=comments + 1,
    )


def _shortened(content: bytes) -> tuple[bytes, set[int]]:
    """Cut lines that are too long for a row, which would only fill the memory; return which they are."""
    if len(content) <= _LONGEST_LINE:
        return content, set()
    edges = np.concatenate([[-1], np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 10), [len(content)]])
    overlong = np.flatnonzero(np.diff(edges) > _LONGEST_LINE).tolist()
    pieces, done = [], 0
    for i in overlong:
        start = edges[i] + 1
        pieces += [content[done:start], content[start : start + 200].replace(b'"', b"'")]
        done = edges[i + 1]
    return b"".join([*pieces, content[done:]]), set(overlong)


def _only(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> bytes:
    """Copy lines, each with its end."""
    edges = np.zeros(len(buffer) + 2, dtype=np.int8)
    edges[starts] += 1
    edges[ends + 1] -= 1  # a line that begins there puts the 1 back
    inside = np.cumsum(edges, dtype=np.int8)[: len(buffer) + 1].astype(bool)
    with_end = np.append(buffer, np.uint8(10))
    with_end[ends] = 10
    return with_end[inside].tobytes()


def _parsed(content: bytes, dialect: Dialect, columns: Sequence[str], text: Collection[str]) -> pd.DataFrame:
    numeric = [column for column in columns if column not in text]
    frame = pd.read_csv(
        io.BytesIO(content),
        sep=dialect.separator,
        header=None,
        names=list(dialect.columns),
        usecols=list(columns),
        index_col=False,
        dtype=dict.fromkeys(text, str),
        keep_default_na=False,
        na_values={column: ["", *_NA] for column in numeric},
        skip_blank_lines=False,
        quoting=csv.QUOTE_NONE,
        decimal=dialect.decimal,
        low_memory=False,
    )
    if any(shelter.encode() in content for shelter in _SHELTERS):
        for column in text:
            sheltered = frame[column].str.contains("|".join(_SHELTERS), regex=True)
            frame.loc[sheltered, column] = [_restored(c, dialect.separator) for c in frame.loc[sheltered, column]]
    return frame


def _restored(text: str, separator: str) -> str:
    return text.translate(dict(zip(map(ord, _SHELTERS), (separator, "\n", '"'), strict=True)))


def _unquoted(content: bytes, separator: str, width: int, first: int) -> tuple[bytes, set[int], list[int]]:
    """Take the quotes out of a text, so that every line is a row and every separator ends a field.

    Returns the text, the lines with a quote that is not closed, and those that only continue the field of another line.
    """
    if b'"' not in content:
        return content, set(), []
    plain = _without_plain_quotes(content, separator)
    if b'"' not in plain:
        return plain, set(), []
    lines, written = plain.split(b"\n"), content.split(b"\n")
    unbalanced: set[int] = set()
    continued: list[int] = []
    quoted = [i for i in range(first, len(lines)) if b'"' in lines[i] and lines[i][:1] != b"#"]
    n_quoted, last = len(quoted), -1
    for place, i in enumerate(quoted):
        if i <= last:
            continue
        cells, last = _fields(written[i], separator), i
        for j in quoted[place + 1 : min(place + 1 + _LONGEST_FIELD_LINES, n_quoted)] if cells is None else ():
            if j - i > _LONGEST_FIELD_LINES or lines[j].count(b'"') % 2:
                joined = _fields(b"\n".join(written[i : j + 1]), separator) if j - i <= _LONGEST_FIELD_LINES else None
                if joined is not None and len(joined) == width:
                    cells, last = joined, j
                break
        if cells is None:
            unbalanced.add(i)
        else:
            lines[i] = separator.encode().join(_sheltered(cell, separator) for cell in cells)
            for j in range(i + 1, last + 1):
                lines[j] = b""
                continued.append(j)
    return b"\n".join(lines), unbalanced, continued


def _without_plain_quotes(content: bytes, separator: str) -> bytes:
    """Take the quotes out of all lines in which each surrounds a whole field that holds nothing special."""
    text = np.frombuffer(content, dtype=np.uint8)
    quotes, ends = np.flatnonzero(text == ord('"')), np.flatnonzero(text == 10)
    is_edge = np.append((text == ord(separator)) | (text == 10), True)  # also before the first byte: index -1
    field = np.searchsorted(np.flatnonzero(is_edge), quotes)
    line = np.searchsorted(ends, quotes)
    closing = (np.arange(len(quotes)) - np.searchsorted(line, line)) % 2 == 1
    same_field = np.diff(field, prepend=-1) == 0
    well = np.where(closing, is_edge[quotes + 1] & same_field, is_edge[quotes - 1])
    n_lines = len(ends) + 1
    plain = (np.bincount(line[~well], minlength=n_lines) == 0) & (np.bincount(line, minlength=n_lines) % 2 == 0)
    keep = np.ones(len(text), dtype=bool)
    keep[quotes[plain[line]]] = False
    return text[keep].tobytes()


def _fields(text: bytes, separator: str) -> list[str] | None:
    """Return the fields of one row, or None if a quote is not closed or not at the end of its field."""
    row = io.StringIO(text.decode("utf-8", "replace"), newline="")
    try:
        rows = list(csv.reader(row, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _sheltered(cell: str, separator: str) -> bytes:
    return cell.translate(dict(zip(map(ord, (separator, "\n", '"')), _SHELTERS, strict=True))).encode()
