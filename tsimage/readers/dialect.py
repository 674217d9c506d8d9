"""How a delimited text is written: encoding, separator, decimal sign, preamble, header; found by looking."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tsimage.errors import UserError

_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}  # the first of equals is taken
_LONELY = 0.4  # what a line of one number counts: it may be all that is left of a row
_HEAD_BYTES, _LATER_BYTES = 1 << 16, 1 << 14
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}T\d|\d{1,2}:\d\d).*")
_POINT, _COMMA = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE), re.compile(r"[+-]?\d+,\d+")


class UnreadableError(UserError):
    """A file that cannot be read as text at all."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How the rows of one text are written.

    Parameters
    ----------
    separator : {",", ";", "tab", " "}
        Between the fields; a blank stands for any run of blanks and tabs.
    decimal : {".", ","}
    columns : tuple of str
        Names from the header, else `column0`, `column1`, ...
    header : int or None
        Line of the header, counted from 1.
    skipped : tuple of int
        Lines before the rows that are neither header nor rows, counted from 1.
    n_before : int
        Lines before the first row.
    """

    separator: str
    decimal: str
    columns: tuple[str, ...]
    header: int | None
    skipped: tuple[int, ...]
    n_before: int

    def __str__(self) -> str:
        named = f"no header (columns named column0 to column{len(self.columns) - 1})"
        header = named if self.header is None else f"a header in line {self.header}"
        return f"separated by {_SEPARATORS[self.separator]}, decimal '{self.decimal}', {header}"


def utf8_lines(content: bytes, file: object) -> tuple[bytes, str]:
    r"""Return a text in UTF-8, without byte-order mark, its lines ended by LF; and the encoding that it had.

    Parameters
    ----------
    content : bytes
        UTF-8 or UTF-16; anything else that looks like text is taken for Windows-1252 (Latin-1).
    file : object
        Name for errors.

    Raises
    ------
    UserError
        If it is no text.

    Examples
    --------
    >>> utf8_lines("x;käse\r\n".encode("utf-16"), "a.csv")
    (b'x;k\xc3\xa4se\n', 'UTF-16')
    """
    head, encoding = content[:4096], "UTF-8"
    zeros = [head[i::2].count(0) for i in (0, 1)]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) > 3 and sum(zeros) > 0.4 * len(head)):
        codec = "utf-16-be" if head.startswith(b"\xfe\xff") or zeros[0] > zeros[1] else "utf-16-le"
        content, encoding = _recoded(content, codec, file), "UTF-16"
    elif not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "Windows-1252" if not set(content) & set(b"\x81\x8d\x8f\x90\x9d") else "Latin-1"
            content = _recoded(content, encoding, file)
    content = content.removeprefix(b"\xef\xbb\xbf")
    head = content[:4096]
    if sum(byte < 32 and byte not in b"\t\n\r\f\0" for byte in head) > 2 + 0.02 * len(head):
        raise UnreadableError(f"{file}: not a readable table (it is no text): mend the file or leave it out")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content, encoding


def _recoded(content: bytes, codec: str, file: object) -> bytes:
    try:
        return content.decode(codec).encode("utf-8")
    except UnicodeError as error:
        raise UnreadableError(
            f"{file}: not a readable table (it begins like {codec.upper()} and is not): save it as UTF-8 or leave it out"
        ) from error


def dialect_of(content: bytes, file: object, wanted: Collection[str] = (), numeric: Collection[str] = ()) -> Dialect:
    r"""Find out how a text is written from its first lines, and some in the middle and at the end.

    That separator and number of fields are taken with which most lines are made of numbers. The first line with this
    many fields is the header if it holds neither numbers nor dates. A line that holds all wanted names is the header in any
    case, and tells separator and fields. What stands before, and every line that begins with `#`, is left out.

    Parameters
    ----------
    content : bytes
        As `utf8_lines` returns it.
    file : object
        Name for errors.
    wanted : collection of str
        Names of columns that the user asked for.
    numeric : collection of str
        Those of them that hold numbers: they tell the decimal sign.

    Raises
    ------
    UserError
        If there are no lines, or for a header with a name twice or with fewer names than the rows have fields.

    Examples
    --------
    >>> dialect = dialect_of(b"Device 7\nt;x;y\n0;0,5;walk\n1;0,7;walk\n", "a.csv")
    >>> dialect.columns, dialect.skipped, dialect.n_before
    (('t', 'x', 'y'), (1,), 2)
    >>> print(dialect)
    separated by semicolons, decimal ',', a header in line 2
    """
    head = list(_lines(content[:_HEAD_BYTES], whole=len(content) <= _HEAD_BYTES))
    later = [
        line
        for start in (len(content) // 2, len(content) - _LATER_BYTES)
        if start > _HEAD_BYTES
        for line in list(_lines(content[start : start + _LATER_BYTES], whole=True))[1:-1]
    ]
    sample = [line for line in head + later if line.strip() and not line.startswith("#")]
    if not sample:
        raise UnreadableError(
            f"{file}: not a readable table (No columns to parse from file): mend the file or leave it out"
        )
    named = _header(head, sample, {name for name in wanted if not set(name) & set("*?[")})
    separator, width, _ = _layout(sample) if named is None else named[1:]
    rows_like = (i for i, line in enumerate(head) if line.strip() and line[0] != "#")
    first = (
        next((i for i in rows_like if len(_cells(head[i], separator)) == width), None) if named is None else named[0]
    )
    if first is None:
        raise UnreadableError(
            f"{file}: not a readable table (its first {len(head)} lines are not as the rest of {width} fields a line): "
            "remove them or leave the file out"
        )
    names = _cells(head[first].lstrip("#% ") if named is not None else head[first], separator)
    header = first if named is not None or not any(map(_is_data, names)) else None
    n_before = first if header is None else first + 1
    if named is not None:
        _, usual, _ = _layout(sample, separator)
        if usual > width and not any(len(_cells(line, separator)) == width for line in head[n_before:] if line.strip()):
            raise UserError(
                f"{file}, line {first + 1}: the header names {width} columns but the rows have {usual} fields: name every "
                "column"
            )
    columns = tuple((name if header is not None else "") or f"column{i}" for i, name in enumerate(names))
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(
            f"{file}, line {(header or 0) + 1}: the column name '{twice[0]}' stands there more than once: give every "
            "column a name of its own"
        )
    rows = [cells for line in sample if len(cells := _cells(line, separator)) == width]
    commas = separator != "," and _has_decimal_commas(rows, [i for i, name in enumerate(columns) if name in numeric])
    return Dialect(
        separator=separator,
        decimal="," if commas else ".",
        columns=columns,
        header=None if header is None else header + 1,
        skipped=tuple(i + 1 for i in range(n_before) if i != header),
        n_before=n_before,
    )


def _has_decimal_commas(rows: list[list[str]], numeric: list[int]) -> bool:
    """Tell whether more columns hold numbers like 0,5 than like 0.5; of the numeric ones if any holds either."""
    commas: list[int] = []
    points: list[int] = []
    for i, column in enumerate(zip(*rows, strict=True)):
        n_commas, n_points = (sum(1 for cell in column if sign.fullmatch(cell)) for sign in (_COMMA, _POINT))
        if n_commas != n_points:
            (commas if n_commas > n_points else points).append(i)
    asked = set(numeric) & {*commas, *points}
    if asked:
        return 2 * len(asked.intersection(commas)) > len(asked)
    return len(commas) > len(points)


def is_table(head: bytes) -> bool:
    """Tell whether the beginning of a text looks like rows of at least two fields, numbers among them."""
    try:
        text, _ = utf8_lines(head, "")
    except UserError:
        return False
    sample = [line for line in list(_lines(text, whole=True))[:200] if line.strip() and not line.startswith("#")]
    if not sample:
        return False
    _, width, score = _layout(sample)
    return width > 1 and score > 0.25 * len(sample)


def _lines(content: bytes, *, whole: bool) -> Iterator[str]:
    """Yield lines; the last may be cut off, and is left out, unless the content is whole or it is the only one."""
    lines = content.decode("utf-8", "replace").split("\n")
    yield from lines if len(lines) == 1 or (whole and lines[-1]) else lines[:-1]


def _header(head: list[str], sample: list[str], wanted: set[str]) -> tuple[int, str, int, float] | None:
    """Return the first line that holds all wanted names; and separator, number of fields and score as `_layout`."""
    for i, line in enumerate(head if wanted else []):
        rows = [(_cells(line.lstrip("#% "), separator), separator) for separator in _SEPARATORS]
        fitting = [(len(cells), separator) for cells, separator in rows if wanted <= set(cells)]
        if fitting:
            width, separator = max(fitting, key=lambda it: (it[0], _layout(sample, it[1])[2]))
            return i, separator, width, 0.0
    return None


def _layout(sample: list[str], separators: Iterable[str] = tuple(_SEPARATORS)) -> tuple[str, int, float]:
    """Return the separator and the number of fields that make most numbers, and how many lines are made of them."""
    best = (",", 1, -1.0)
    for separator in separators:
        scores: defaultdict[int, float] = defaultdict(float)
        for line in sample:
            cells = _cells(line, separator)
            numbers = sum(1 for cell in cells if _NUMBER.fullmatch(cell))
            scores[len(cells)] += numbers / len(cells) + 0.01
        for width, score in scores.items():
            score *= 1.0 if width > 1 else _LONELY
            better = score > best[2] + 1e-9 or (score > best[2] - 1e-9 and width > 1 == best[1])
            if better and (width > 1 or separator != " "):
                best = (separator, width, score)
    return best if best[1] > 1 else (",", *best[1:])


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        line = " ".join(line.split())
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return [line]


def _is_data(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _CLOCK.fullmatch(cell))


def single_blanks(content: bytes) -> bytes:
    r"""Turn every run of blanks and tabs into one blank, and remove those at the ends of lines.

    >>> single_blanks(b"  1 \t 2\n3  4  \n")
    b'1 2\n3 4\n'
    """
    text = np.frombuffer(content, dtype=np.uint8)
    blank = (text == 32) | (text == 9)
    before = np.concatenate([[True], blank[:-1] | (text[:-1] == 10)])
    text = np.where(blank, np.uint8(32), text)[~(blank & before)]
    return text[~((text == 32) & np.append(text[1:] == 10, True))].tobytes()
