"""Recordings from tables that users have: csv, tsv, txt or parquet, wide or long, one file or a folder of them."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np

from tsimage.archives import files_of
from tsimage.clock import say_rates
from tsimage.cutting import Recording
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.delimited import Rows, delimited_rows
from tsimage.readers.dialect import UnreadableError, dialect_of, is_table, utf8_lines
from tsimage.readers.parquet import ParquetFile
from tsimage.readers.path_pattern import path_pattern
from tsimage.readers.sieve import Sieve
from tsimage.readers.table_layout import (
    TableLayout,
    check_table_options,
    long_columns,
    named_columns,
    text_columns,
)
from tsimage.readers.table_recordings import recordings_of
from tsimage.readers.table_samples import say_what_may_be_missing, table_samples
from tsimage.readers.ts import numbers_first

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
_HEAD_BYTES = 1 << 16
_Files = dict[str, Callable[[], bytes]]


def read_table(path: Path, options: ReadOptions) -> RecordingSet:
    """Read one table, or all tables of a folder or an archive, each file a recording of its own.

    The columns of `subject` and `recording`, where named, separate the recordings within a file; a `path_pattern` reads
    subject, label or recording from the path of the file instead. Separator, decimal sign, encoding, preamble and header
    are found by looking and stated in the report; the columns of a table without a header are `column0`, `column1`, ...

    Malformed rows are left out and counted with their line and the reason: "overlong line" (a
    megabyte), "empty line", "NUL byte", "unbalanced quote", "wrong number of columns", "no time", "unreadable time", "no number", "missing value" (unless `missing` fills or masks
    it), "infinite value", "no label" (unless `drop_unlabelled` keeps the row without one), "no subject", "no
    recording", "overlong label" (255 characters; subject, recording and channel alike), "lone row, no rate", "repeated row" (written twice, with its time) and what `tsimage.clock.timeline`
    finds; of long tables also "no channel", "repeated channel" and "incomplete sample". A file of a folder that cannot be
    read, or whose path does not match the pattern, is one rejected row.

    A recording breaks where a row was left out, and where the time does. Rows that only repeat others are no break: an
    empty line beside a time column, a repeated row, time or channel. Rows of a long table whose channel was not asked for
    are not read, only counted in a statement.

    Parameters
    ----------
    path : Path
        A table, a folder, or an archive; of archives only a zip is recognised, a tar needs the format 'table' stated.
    options : ReadOptions
        `channels` are columns, or with `layout` long the words in `channel_column`.

    Returns
    -------
    RecordingSet

    Raises
    ------
    UserError
        For options that do not fit the columns, files whose columns differ, a rate that is unknown, if no row is left,
        or at the first malformed row if `faults` is raise.
    """
    files, is_one = _files(path), path.is_file() and path.suffix.lower() in SUFFIXES
    if not files:
        raise UserError(f"{path}: there is no table in it ({', '.join(SUFFIXES)}): check the path")
    fields_of = None if options.path_pattern is None else path_pattern(options.path_pattern)
    ledger = Ledger(strict=options.faults == "raise")
    _check(path, files, options, is_one)
    stems = Counter(_stem(file) for file in files)
    layout = TableLayout(options, is_one)
    recordings: dict[str, Recording] = {}
    come_from: dict[str, str] = {}
    rates: dict[str, float] = {}
    for file, read in files.items():
        label = path if is_one else path / file
        fields = {} if fields_of is None else fields_of(label.absolute() if path.is_dir() or is_one else PurePath(file))
        if fields is None:
            _reject_file(ledger, file, "path does not match the pattern", options.path_pattern or "")
            continue
        name = _stem(file) if stems[_stem(file)] == 1 else file
        if "recording" in fields:
            name = "/".join(fields.values())
        try:
            content = read()
            if not is_one and file.lower().endswith(".txt") and not is_table(content[:_HEAD_BYTES]):
                ledger.say(f"{file} was left out: it is no table")
                continue
            found = _recordings(content, file, label, name, fields, layout, rates, ledger)
        except UnreadableError as error:
            if is_one:
                raise
            _reject_file(ledger, file, "unreadable file", str(error).removeprefix(f"{label}: "))
            continue
        for recording in found:
            if recording.id in recordings:
                raise UserError(
                    f"{path}: {come_from[recording.id]} and {file} are both the recording '{recording.id}': tell them apart "
                    "in the path-pattern, or rename one"
                )
            recordings[recording.id], come_from[recording.id] = recording, file
    layout.say(ledger)
    say_rates(rates, options.rate, ledger)
    if not recordings:
        raise ledger.nothing_left(path)
    labels = {segment.label for recording in recordings.values() for segment in recording.segments}
    _say_alike(labels, ledger)
    return RecordingSet(
        recordings=list(recordings.values()),
        class_names=tuple(sorted(labels, key=numbers_first)),
        report=ledger.report(),
    )


def _recordings(
    content: bytes,
    file: str,
    label: Path,
    name: str,
    fields: dict[str, str],
    layout: TableLayout,
    rates: dict[str, float],
    ledger: Ledger,
) -> list[Recording]:
    """Read the recordings of one file."""
    options, sieve = layout.options, Sieve(file)
    rows, channels = _rows(content, file, label, layout, sieve, ledger)
    if not rows.n_read:
        if layout.is_one:
            raise UserError(f"{label}: the table has no rows: leave the file out")
        ledger.say(f"{file}: the table has no rows")
        return []
    ledger.rows_read += rows.n_read
    ledger.note(file, "comment", rows.comments)
    samples = table_samples(rows, channels, options, fields, label, sieve, ledger)
    ledger.rows_read -= sum(samples.not_asked.values())
    layout.leave_out(samples.not_asked)
    layout.settle(samples.channels)
    say_what_may_be_missing(sieve, options, ledger)
    found = recordings_of(samples, name, label, fields, options, sieve, rates, ledger)
    sieve.settle(ledger)
    return found


def _rows(
    content: bytes, file: str, label: Path, layout: TableLayout, sieve: Sieve, ledger: Ledger
) -> tuple[Rows, tuple[str, ...]]:
    if file.lower().endswith(".parquet"):
        table = ParquetFile(content, label)
        columns, channels = layout.columns(label, table.columns)
        return table.rows(columns), channels
    content, encoding = utf8_lines(content, label)
    options = layout.options
    channels = options.channels if long_columns(options) is None else ()  # of a long table they are no columns
    named = named_columns(options)
    numeric = {*channels, *(named[what] for what in ("time", "value") if what in named)}
    dialect = dialect_of(content, label, {*named.values(), *channels}, numeric)
    columns, channels = layout.columns(label, dialect.columns)
    layout.describe(file, str(dialect) if encoding == "UTF-8" else f"{dialect}, read as {encoding}")
    ledger.note(file, "line before the table", np.array(dialect.skipped, dtype=np.int64))
    text = text_columns(layout.options)
    return delimited_rows(content, dialect, columns, text, sieve), channels


def _check(path: Path, files: _Files, options: ReadOptions, is_one: bool) -> None:
    from_path = tuple(
        what for what in ("subject", "label", "recording") if f"{{{what}}}" in (options.path_pattern or "")
    )
    labelled = options.label is not None or "label" in from_path
    if not options.channels or not labelled:
        label = path if is_one else path / next(iter(files))
        missing = " and ".join(w for w, there in (("channels", options.channels), ("label", labelled)) if not there)
        raise UserError(
            f"{label}: name the columns of the {missing} (options channels and label): the columns are "
            f"{', '.join(_first_columns(path, files, is_one))}"
        )
    check_table_options(path, options, from_path)


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the columns of a table, or of the first one of a folder or archive; none where there is no table.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    files = _files(path)
    return _first_columns(path, files, path.is_file() and path.suffix.lower() in SUFFIXES) if files else ()


def _first_columns(path: Path, files: _Files, is_one: bool) -> tuple[str, ...]:
    file = next(iter(files))
    label = path if is_one else path / file
    content = files[file]()
    if file.lower().endswith(".parquet"):
        return ParquetFile(content, label).columns
    return dialect_of(utf8_lines(content, label)[0], label).columns


def _files(path: Path) -> _Files:
    """List the tables of a path; hidden files and folders, such as checkpoints of editors, are none."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return {path.name: path.read_bytes}
    return dict(sorted(files_of(path, SUFFIXES).items()))


def _stem(file: str) -> str:
    return PurePath(file).with_suffix("").as_posix()


def _reject_file(ledger: Ledger, file: str, kind: str, example: str) -> None:
    ledger.rows_read += 1
    ledger.reject(file, kind, [1], example)


def _say_alike(labels: set[str], ledger: Ledger) -> None:
    spellings: dict[str, list[str]] = {}
    for label in sorted(labels):
        spellings.setdefault(label.casefold(), []).append(label)
    for alike in spellings.values():
        if len(alike) > 1:
            ledger.say(f"labels that differ only in case stay classes of their own: {', '.join(map(repr, alike))}")


def _accepts(path: Path) -> bool:
    try:
        suffix = path.suffix.lower()
        if path.is_dir() or (suffix == ".zip" and zipfile.is_zipfile(path)):
            return any(
                not name.lower().endswith(".txt") or is_table(read()[:_HEAD_BYTES])
                for name, read in _files(path).items()
            )
        if suffix != ".txt":
            return path.is_file() and suffix in SUFFIXES
        with path.open("rb") as file:
            return is_table(file.read(_HEAD_BYTES))
    except (UserError, OSError):
        return False


READER = Reader(
    name="table",
    summary="a table (.csv, .tsv, .txt, .parquet), wide or long, or a folder of them",
    accepts=_accepts,
    read=read_table,
    options=CUT_OPTIONS
    | {"label", "time", "time_unit", "rate", "subject", "recording", "units", "missing", "drop_unlabelled"}
    | {"path_pattern", "faults", "layout", "channel_column", "value_column"},
)
