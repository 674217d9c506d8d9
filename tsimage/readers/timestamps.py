"""Time columns turned into seconds: numbers with a unit, ISO dates, clock times."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from tsimage.errors import UserError
from tsimage.readers.numbers import numbers

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_AMBIGUOUS = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-](\d{4}|\d\d)\b.*")
_LIKE_A_DATE = r"\s*\d+[-/.:T]\d"


def is_dated(column: pd.Series) -> bool:
    """Tell whether the first time of a column is a date or a duration, whose unit is no guess.

    >>> is_dated(pd.Series(["2024-05-01 12:00:00"])), is_dated(pd.Series(["12.5"]))
    (True, False)
    """
    if column.dtype.kind in "mM" or pd.api.types.is_datetime64_any_dtype(column):
        return True
    first = column.dropna().astype(str).str.strip().head(1)
    return bool(first.str.match(_LIKE_A_DATE).any()) and bool(np.isnan(numbers(first)).all())


def seconds(
    column: pd.Series, lines: np.ndarray, file: object, unit: str | None = None, decimal: str = "."
) -> np.ndarray:
    """Turn a time column into seconds; dates into seconds since the first.

    Parameters
    ----------
    column : Series
        Numbers, dates, or text that holds either: ISO 8601 (`2024-05-01T12:00:00.5Z`, also with a blank for the T and a
        comma or colon before the fraction), or the time of day (`12:00:00.5`). Its name is used in errors.
    lines : ndarray of int, shape (row,)
        For errors.
    file : object
        For errors.
    unit : {"s", "ms", "us", "ns"}, optional
        Of numbers; seconds unless given.
    decimal : {".", ","}
        Of numbers.

    Returns
    -------
    ndarray of float64, shape (row,)
        NaN where there is no time that can be read.

    Raises
    ------
    UserError
        For a unit given with dates, or dates whose day and month cannot be told apart.

    Examples
    --------
    >>> seconds(pd.Series(["2024-05-01 12:00:00.0", "2024-05-01 12:00:00.5", "noon"]), np.arange(3), "a.csv")
    array([0. , 0.5, nan])
    """
    if column.dtype.kind == "m":
        return column.dt.total_seconds().to_numpy(dtype=np.float64)
    is_date = pd.api.types.is_datetime64_any_dtype(column)
    if not is_date:
        values = numbers(column, decimal)
        odd = np.flatnonzero(np.isnan(values))
        odd = odd[column.iloc[odd].astype(str).str.match(_LIKE_A_DATE).to_numpy(dtype=bool)]
        if 2 * len(odd) <= len(values) - np.isnan(values).sum() or not len(odd):
            return np.where(np.isfinite(values), values * UNITS[unit or "s"], np.nan)
    if unit is not None:
        raise UserError(
            f"{file}: time-unit {unit} is for numbers, but column '{column.name}' holds dates: leave it out"
        )
    if is_date:
        return _since_first(pd.to_datetime(column, utc=True))
    text = column.astype(str).str.strip()
    first = int(odd[0])
    if _AMBIGUOUS.fullmatch(text.iloc[first]):
        raise UserError(
            f"{file}, line {lines[first]}: day and month of the time '{text.iloc[first]}' cannot be told apart: write dates "
            "as 2024-12-31 23:59:59.999, or seconds as numbers"
        )
    stamps = _iso(text)
    unread = stamps.isna()
    if unread.any():  # loggers write 12:00:00,5 and 12:00:00:500
        mended = text[unread].str.replace(r"(:\d\d:\d\d)[,:](\d{1,9})$", r"\1.\2", regex=True)
        stamps = stamps.fillna(_iso(mended))
        if stamps.isna().all():
            clock = mended.str.extract(r"^(\d{1,2}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)$").to_numpy(dtype=np.float64)
            return clock @ np.array([3600.0, 60.0, 1.0])
    return _since_first(stamps)


def _iso(text: pd.Series) -> pd.Series:
    return pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True).dt.as_unit("us")


def _since_first(stamps: pd.Series) -> np.ndarray:
    there = stamps[stamps.notna()]
    if there.empty:
        return np.full(len(stamps), np.nan)
    return (stamps - there.iloc[0]).dt.total_seconds().to_numpy(dtype=np.float64)
