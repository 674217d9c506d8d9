"""Columns of a table turned into numbers and words, with what is missing told apart from what is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

MISSING_VALUES = ("", "nan", "na", "n/a", "#n/a", "null", "none", "<na>")
MISSING_WORDS = ("", "nan", "<na>")  # 'none' may be a class


def numbers(column: pd.Series, decimal: str = ".") -> np.ndarray:
    """Return the numbers of a column, shape (row,), float64; NaN where there is none.

    Parameters
    ----------
    column : Series
        Numbers, or text that holds them.
    decimal : {".", ","}
        The sign in text.

    Examples
    --------
    >>> numbers(pd.Series(["1,5", "2.5", "", "x"]), decimal=",")
    array([1.5, nan, nan, nan])
    """
    if column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = column.astype(str)
    if decimal == ",":
        text = text.where(~text.str.contains(".", regex=False), "").str.replace(",", ".", regex=False)
    return pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def missing_values(column: pd.Series) -> np.ndarray:
    """Tell which cells hold no value, whatever the word for it, shape (row,), bool."""
    return (column.isna() | column.astype(str).str.strip().str.casefold().isin(MISSING_VALUES)).to_numpy(dtype=bool)


def words(column: pd.Series) -> np.ndarray:
    """Return labels or names without the blanks around them, shape (row,), str; empty where there is none.

    Whole numbers lose the point that an empty cell beside them brings.

    Examples
    --------
    >>> words(pd.Series([1.0, np.nan])).tolist(), words(pd.Series([" walk", "nan"])).tolist()
    (['1', ''], ['walk', ''])
    """
    if column.dtype.kind == "f" and bool(((column % 1 == 0) & (column.abs() < 2**53) | column.isna()).all()):
        column = column.astype("Int64")
    codes, found = pd.factorize(column)  # -1, the last, where there is nothing
    stripped = np.array([str(word).strip() for word in found] + [""], dtype=object)
    stripped[[word.casefold() in MISSING_WORDS for word in stripped]] = ""
    return stripped[codes]
