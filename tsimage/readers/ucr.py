"""The plain form of the UCR archive: a case per line, its class first, one channel.

The numbers are separated by tabs (`.tsv`, 2018), commas (no suffix, 2015) or white space (2012, and the `.txt` of
timeseriesclassification.com).

Source: H. A. Dau et al., "The UCR time series archive", arXiv:1810.07758.
"""

from __future__ import annotations

import re
from pathlib import Path

from tsimage.ledger import Ledger
from tsimage.readers import Reader, ReadOptions
from tsimage.readers.ts import OPTIONS, Body, MalformedError, is_archive, read_archive, sets_in, text_lines
from tsimage.windows import Windows

SUFFIXES = (".tsv", ".txt", "")
"""In this order where a folder holds a set more than once."""
_BEGINNING = re.compile(r"\s*[-+]?\d+(\.0*)?([eE][-+]?\d+)?[\t, ]+(-?[\d.]|NaN|\?)", re.ASCII)


def read_ucr(path: Path, options: ReadOptions) -> Windows:
    """Read a file, or the pair NAME_TRAIN and NAME_TEST (.tsv, .txt or no suffix) given by its folder or as `folder/NAME`.

    Classes are whole numbers, however they are written: `1`, `1.0` and `1.0e+00` are one class. NaN and `?` are
    missing samples, as at the end of the series of sets whose lengths vary.

    Raises
    ------
    UserError
        If cases differ in length, or none can be used.
    """
    return read_archive(path, options, SUFFIXES, _body)


def _body(content: bytes, file: str, ledger: Ledger) -> Body:
    lines = text_lines(content)
    first = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in "\t," if mark in first), None)

    def split(line: str) -> tuple[list[str], str]:
        label, *series = line.strip(" ").split(separator, 1)
        if not series:
            raise MalformedError("a class without samples", line)
        try:
            number = float(label) if label.isascii() and "_" not in label else 0.5
        except ValueError:
            number = 0.5
        if number % 1 != 0:
            raise MalformedError("class that is no whole number", label)
        return series, str(int(number))

    return Body(file=file, lines=lines, split=split, separator=separator)


def _accepts(path: Path) -> bool:
    """Tell by names like Coffee_TRAIN.tsv, and by a first line of numbers: other tables have these suffixes, too."""
    if not is_archive(path, SUFFIXES):
        return False
    if path.is_file():
        is_part = path.suffix.lower() in SUFFIXES and path.stem.casefold().endswith(("_train", "_test"))
        return is_part and _looks_right(path)
    sets = sets_in(path if path.is_dir() else path.parent, SUFFIXES)
    chosen = sets.values() if path.is_dir() else [sets.get(path.name, {})]
    return any(_looks_right(file) for parts in chosen for file in parts.values())


def _looks_right(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _BEGINNING.match(opened.read(200).decode("latin-1")) is not None
    except OSError:
        return False


READER = Reader(
    name="ucr",
    summary="a UCR set of one channel with the class first, as Coffee_TRAIN.tsv, .txt or without suffix",
    accepts=_accepts,
    read=read_ucr,
    options=OPTIONS,
)
