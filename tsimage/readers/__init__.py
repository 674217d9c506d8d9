"""Readers: one file per format, found by name or by looking at the path."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal

from tsimage.cutting import Recording
from tsimage.errors import UserError, unknown
from tsimage.gaps import check_missing
from tsimage.ledger import ReadReport
from tsimage.quality import FLAGS
from tsimage.units import SPELLINGS
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What to read, and how to cut it. Options that a format cannot use are refused, never ignored."""

    channels: tuple[str, ...] = ()
    """Channels to keep, by name or shell-style pattern ('acc*'); for tables, the columns that hold them (column0, column1,
    ... where there is no header; of a long table, words in its channel column)."""
    classes: tuple[str, ...] = ()
    """Classes to keep, by name or shell-style pattern ('WALKING*')."""
    window: str | None = None
    """Length of a window: samples (128) or seconds (2.56s). Required for recordings that fix none."""
    overlap: float | None = None
    """Share of a window that the next one repeats, from 0 up to but not 1."""
    label: str | None = None
    """Tables: column of the class; or it stands in the path, see path-pattern; '' where nobody knows it (distill predict
    labels such tables)."""
    time: str | None = None
    """Tables: column of the time, as numbers (see --time-unit) or as dates."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Tables: unit of a numeric time column; seconds unless given."""
    rate: float | None = None
    """Sampling rate in Hz, where no time column tells it."""
    subject: str | None = None
    """Tables: column of the person (or see path-pattern); splits are by person."""
    recording: str | None = None
    """Tables: column of the recording, where one file holds several (or see path-pattern)."""
    units: tuple[str, ...] = ()
    """Unit of the channels (g, m/s^2, rad/s, deg/s): one for all or one for each."""
    drop_unlabelled: bool = False
    """Tables: keep rows without a label, counted and in no window, instead of rejecting them."""
    format: str | None = None
    """Reader, by name (tsimage formats lists them), or a Python file of your own that holds a READER; found by looking at
    the path unless given."""
    layout: Literal["wide", "long"] = "wide"
    """Tables: a column for every channel; or a row for every sample of every channel, with the two columns below."""
    channel_column: str | None = None
    """Long tables: column of the channel's name."""
    value_column: str | None = None
    """Long tables: column of the value."""
    path_pattern: str | None = None
    """Where the subject, the label or the recording stand in the path of a file: '{subject}/{label}-{recording}.csv'."""
    faults: Literal["reject", "raise"] = "reject"
    """Malformed rows: leave them out, counted with file, line and reason; or stop at the first."""
    resample: float | None = None
    """Rate in Hz to which recordings are resampled, with a filter against aliasing, before windows are cut."""
    labelling: Literal["whole", "majority", "centre"] = "whole"
    """Which windows recordings give: of one label from end to end; or any, labelled by most of its samples or by the
    one in its centre."""
    transitions: Literal["keep", "drop"] = "keep"
    """Windows of more than one label, under labelling majority and centre."""
    without: tuple[str, ...] = ()
    """Leave out windows with these quality flags (tsimage info counts them): stuck, clipped, dropout, ..."""
    missing: str = "raise"
    """Missing samples (empty or NaN): raise, which stops at them in files of windows and rejects the row in recordings; the longest gap that is filled by a straight line (0.2s, or 10 for
    samples); or mask, which keeps them for images whose pixels become NaN there."""
    constant: Literal["raise", "flag", "drop"] = "raise"
    """Windows with a channel that never moves: stop at them, keep and flag them, or leave them out."""

    def __post_init__(self) -> None:
        for name in ("channels", "classes", "units", "without"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise UserError(f"rate {self.rate} Hz is not allowed: it must be positive")
        check_missing(self.missing)
        for unit in self.units:
            if unit in SPELLINGS:
                raise UserError(f"unknown unit '{unit}': write it as '{SPELLINGS[unit]}' (option units)")
        for name in self.without:
            if name not in FLAGS:
                raise unknown("quality flag", name, FLAGS)
        if self.resample is not None and not 0 < self.resample < math.inf:
            raise UserError(f"resample {self.resample} Hz is not allowed: it must be positive")

    def given(self) -> set[str]:
        """Return the names of the options that differ from their defaults."""
        return {f.name for f in fields(self) if f.default is not MISSING and getattr(self, f.name) != f.default}

    def units_for(self, n_channels: int, stored: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return one unit per channel: those given, else those stored in the file, else empty ones."""
        if not self.units:
            return stored or ("",) * n_channels
        if len(self.units) not in (1, n_channels):
            raise UserError(f"{len(self.units)} units for {n_channels} channels: give one for all or one for each")
        return self.units if len(self.units) == n_channels else self.units * n_channels


@dataclass(frozen=True, kw_only=True)
class RecordingSet:
    """What a reader of continuous recordings returns: recordings and what their format fixes.

    `window` and `overlap` are the format's own cut, `split` its own parts by subject; None where it has none. `report`
    says what became of every row.
    """

    recordings: list[Recording]
    class_names: tuple[str, ...]
    window: int | None = None
    overlap: float = 0.0
    split: Mapping[str, str] = field(default_factory=dict)
    report: ReadReport | None = None


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format: how it is recognised, how it is read, and which options it takes besides the general ones."""

    name: str
    summary: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Windows | RecordingSet]
    options: frozenset[str]


GENERAL_OPTIONS = frozenset({"channels", "classes", "constant", "format", "without"})
CUT_OPTIONS = frozenset({"window", "overlap", "labelling", "transitions", "resample"})
"""Of the formats that hold recordings."""


def reader_for(path: Path) -> Reader:
    """Return the reader whose format `path` has.

    Raises
    ------
    UserError
        If no reader knows the format.
    """
    for reader in readers().values():
        if reader.accepts(path):
            return reader
    kind = "folder" if path.is_dir() else "file"
    raise UserError(
        f"no reader knows the {kind} '{path}': tsimage formats lists what is read ({', '.join(readers())}); option format "
        "names one where a file is not recognised"
    )


def reader_named(name: str) -> Reader:
    """Return the reader of that name, or the `READER` of a Python file of the user's own.

    Raises
    ------
    UserError
        If there is none.
    """
    if name.endswith(".py"):
        return _reader_of(Path(name))
    if name not in readers():
        raise unknown("format", name, [*readers(), "or a Python file of your own with a READER (my_format.py)"])
    return readers()[name]


def _reader_of(path: Path) -> Reader:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(
            f"format '{path}': there is no such Python file: give its path, or a name that tsimage formats lists"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reader = getattr(module, "READER", None)
    if not isinstance(reader, Reader):
        got = "none" if reader is None else f"a {type(reader).__name__}"
        raise UserError(f"format '{path}': the file must hold READER, a tsimage.readers.Reader, but holds {got}")
    return reader


def readers() -> dict[str, Reader]:
    """Return all readers by name, in the order in which they are asked."""
    from tsimage.readers import (
        arff,
        devices,
        hapt,
        mat,
        mhealth,
        npz,
        pamap2,
        table,
        ts,
        uci_har,
        ucr,
        wisdm,
        wisdm_2019,
    )

    # What is recognised by its names comes before what is recognised by its suffix.
    modules = (uci_har, pamap2, mhealth, wisdm, wisdm_2019, mat, devices, ts, arff, ucr, hapt, table)
    return {reader.name: reader for reader in (npz.READER, npz.NPY_READER, *(module.READER for module in modules))}


def check_options(what: str, allowed: frozenset[str], options: ReadOptions) -> None:
    """Refuse options that would do nothing for `what`."""
    idle = sorted(options.given() - allowed - GENERAL_OPTIONS)
    if idle:
        names = ", ".join(name.replace("_", "-") for name in idle)
        takes = ", ".join(sorted(o.replace("_", "-") for o in allowed | GENERAL_OPTIONS))
        raise UserError(f"{what} cannot use the option {names}: leave it out; allowed here: {takes}")
