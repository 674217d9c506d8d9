"""Recordings from tables: one row per sample, columns named by the user, csv or parquet, one file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError, unknown
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.windows import matching

SUFFIXES = (".csv", ".parquet")
SLOW_HZ = 0.25
"""A rate below this is believed only of a time column whose unit is stated."""
GAP = 1.5
"""A step in time longer than this many sampling intervals is a gap and ends a window."""


def read_table(path: Path, options: ReadOptions) -> RecordingSet:
    """Read one table, or every `.csv` and `.parquet` below a folder, each file a recording of its own.

    The columns of `subject` and `recording`, where named, separate the recordings within a file; windows cross
    neither them nor a gap in time. Rows of one recording must be in order of time.

    Raises
    ------
    UserError
        For a column that is not there, a value that is no number, a missing label, time that does not
        increase, or a rate that is unknown; with file, line and column.
    """
    files = [path] if path.is_file() else _tables(path)
    if not options.channels or options.label is None:
        example = _read(files[0])
        missing = " and ".join(
            what
            for what, there in (("channels", bool(options.channels)), ("label", options.label is not None))
            if not there
        )
        raise UserError(
            f"{files[0]}: name the columns of the {missing} (options channels and label): the columns are "
            f"{', '.join(map(str, example.columns))}"
        )
    if options.time is None and options.rate is None:
        raise UserError(f"{path}: the sampling rate is unknown: name the time column or give the rate in Hz")
    if options.subject is not None and options.subject == options.recording:
        raise UserError(
            f"{path}: subject and recording are the same column '{options.subject}': name it as subject only"
        )
    if options.time_unit is not None and options.time is None:
        raise UserError(f"{path}: time-unit {options.time_unit} needs the name of the time column (option time)")
    recordings: list[Recording] = []
    for file in files:
        name = file.stem if path.is_file() else file.relative_to(path).with_suffix("").as_posix()
        recordings += _recordings(file, name, options)
    labels = {segment.label for recording in recordings for segment in recording.segments}
    return RecordingSet(recordings=recordings, class_names=tuple(sorted(labels, key=_numbers_first)))


def _tables(folder: Path) -> list[Path]:
    """List the tables below a folder; hidden files and folders, such as checkpoints of editors, are none."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _numbers_first(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def _read(file: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table; the columns of `text` stay as they are written ('01' is not 1)."""
    try:
        if file.suffix.lower() == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, skip_blank_lines=False, dtype=dict.fromkeys(text, str), keep_default_na=False)
    except ImportError as error:
        raise UserError(f"{file}: reading parquet needs pyarrow: pip install 'tsimage[parquet]'") from error
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable table ({reason}): mend the file or leave it out") from error


def _recordings(file: Path, name: str, options: ReadOptions) -> list[Recording]:
    frame = _read(file, [c for c in (options.label, options.subject, options.recording) if c is not None])
    columns = [str(c) for c in frame.columns]
    frame.columns = pd.Index(columns)
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise UserError(
            f"{file}: the columns are separated by semicolons or tabs ('{columns[0]}'): save the table with commas between "
            "columns and points in numbers"
        )
    for what in ("time", "label", "subject", "recording"):
        column = getattr(options, what)
        if column is not None and column not in columns:
            raise unknown(f"{what} column in {file}", column, columns)
    taken = {options.time, options.label, options.subject, options.recording} - set(options.channels)
    channels = matching(
        f"channel column in {file}", options.channels, tuple(column for column in columns if column not in taken)
    )
    if frame.empty:
        raise UserError(f"{file}: the table has no rows: leave the file out")

    values = np.stack([_numbers(file, frame[c], options.missing != "raise") for c in channels]).astype(np.float32)
    labels = frame[options.label]
    missing = _blank(labels)
    if missing.any() and not options.drop_unlabelled:
        raise UserError(
            f"{file}, {_line(file, int(np.argmax(missing)))}: no label in column '{options.label}' "
            f"({int(missing.sum())} of {len(frame)} rows have none): label these rows or pass drop-unlabelled"
        )
    labels = _text(labels).where(~missing, "")
    by = [column for column in (options.subject, options.recording) if column is not None]
    for column in by:
        blank = _blank(frame[column])
        if blank.any():
            raise UserError(f"{file}, {_line(file, int(np.argmax(blank)))}: column '{column}' is empty: fill it")
    rows_of = frame[by].apply(_text).groupby(by).indices if by else {(): np.arange(len(frame))}
    times = None if options.time is None else _seconds(file, frame[options.time], options.time_unit)
    recordings = []
    for group, where in rows_of.items():
        rows = np.asarray(where)
        key = group if isinstance(group, tuple) else (group,)
        rate, breaks = _clock(
            file, None if times is None else times[rows], rows, options.rate, options.time_unit is None
        )
        text = labels.to_numpy()[rows]
        edges = np.flatnonzero((text[1:] != text[:-1]) | breaks) + 1
        bounds = [0, *edges.tolist(), len(rows)]
        recordings.append(
            Recording(
                id="/".join([name, *key]),
                subject=key[0] if options.subject is not None else "",
                values=values[:, rows],
                channels=channels,
                units=options.units_for(len(channels), None),
                rate_hz=rate,
                segments=tuple(
                    Segment(start=a, stop=b, label=str(text[a])) for a, b in pairwise(bounds) if text[a] != ""
                ),
            )
        )
    return recordings


def _text(column: pd.Series) -> pd.Series:
    if column.dtype.kind == "f" and bool((column.dropna() % 1 == 0).all()):
        column = column.astype("Int64")  # whole numbers beside an empty cell arrive as 1.0, 2.0, NaN
    return column.astype(str).str.strip()


def _blank(column: pd.Series) -> pd.Series:
    return column.isna() | column.astype(str).str.strip().str.casefold().isin(["", "nan"])


def _line(file: Path, row: int) -> str:
    return f"line {row + 2}" if file.suffix.lower() == ".csv" else f"row {row}"


def _numbers(file: Path, column: pd.Series, may_miss: bool | None = None) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers)
    if may_miss and bad.any():
        bad &= ~_blank(column).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        got = "empty or NaN" if _blank(column.iloc[[row]]).item() else f"'{column.iloc[row]}'"
        raise UserError(
            f"{file}, {_line(file, row)}: column '{column.name}' is {got} ({int(bad.sum())} of {len(bad)} rows are no "
            "finite number): fill or remove these rows"
            + (
                ", or pass missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
                if may_miss is False and got == "empty or NaN"
                else ""
            )
        )
    return numbers


def _seconds(file: Path, column: pd.Series, unit: str | None) -> np.ndarray:
    filled = column[~_blank(column)].head(1)
    is_date = pd.api.types.is_datetime64_any_dtype(column) or pd.to_numeric(filled, errors="coerce").isna().any()
    if not is_date:
        return _numbers(file, column) * {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit or "s"]
    if unit is not None:
        raise UserError(
            f"{file}: time-unit {unit} is for numbers, but column '{column.name}' holds dates: leave it out"
        )
    stamps = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if stamps.isna().any():
        row = int(np.argmax(stamps.isna()))
        raise UserError(
            f"{file}, {_line(file, row)}: time '{column.iloc[row]}' is neither a number nor an ISO 8601 date: mend it"
        )
    return (stamps - stamps.iloc[0]).dt.total_seconds().to_numpy()


def _clock(
    file: Path, times: np.ndarray | None, rows: np.ndarray, rate: float | None, unit_is_guessed: bool
) -> tuple[float, np.ndarray]:
    """Return the rate, and which steps from one row to the next are gaps."""
    if times is None or len(times) < 2:
        if rate is None:
            raise UserError(f"{file}: a recording of {len(rows)} row tells no rate: give the rate in Hz")
        return rate, np.diff(rows) != 1  # without time, rows that are not neighbours are not known to follow
    steps = np.diff(times)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise UserError(
            f"{file}, {_line(file, int(rows[row]))}: time goes from {times[row - 1]:.13g} s to {times[row]:.13g} s: rows of one "
            "recording must be in increasing order of time, each time once: sort them, remove duplicates, or name the "
            "subject and recording columns"
        )
    usual = float(np.median(steps))
    measured = 1 / float(np.mean(steps[steps <= GAP * usual]))
    if unit_is_guessed and rate is None and measured < SLOW_HZ:
        raise UserError(
            f"{file}: the time column would run at {measured:.3g} Hz if it were in seconds: state its unit (option time-unit "
            "ms, us or ns; s if it is true)"
        )
    if rate is not None and not 0.95 < measured / rate < 1.05:
        raise UserError(
            f"{file}: the time column runs at {measured:.4g} Hz but rate says {rate:g} Hz: check the unit of the time "
            "(option time-unit) or the rate, resample the file, or leave it out"
        )
    return rate or float(f"{measured:.4g}"), steps > GAP * usual


def _accepts(path: Path) -> bool:
    return (path.is_file() and path.suffix.lower() in SUFFIXES) or (path.is_dir() and bool(_tables(path)))


READER = Reader(
    name="table",
    accepts=_accepts,
    read=read_table,
    options=CUT_OPTIONS
    | {"label", "time", "time_unit", "rate", "subject", "recording", "units", "missing", "drop_unlabelled"},
)
