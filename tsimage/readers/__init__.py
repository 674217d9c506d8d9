"""Readers: one file per format, found by name or by looking at the path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal

from tsimage.cutting import Recording
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What to read, and how to cut it. Options that a format cannot use are refused, never ignored."""

    channels: tuple[str, ...] = ()
    """Channels to keep, by name or shell-style pattern ('acc*'); for tables, the columns that hold them."""
    classes: tuple[str, ...] = ()
    """Classes to keep, by name or shell-style pattern ('WALKING*')."""
    window: str | None = None
    """Length of a window: samples (128) or seconds (2.56s). Required for recordings that fix none."""
    overlap: float | None = None
    """Share of a window that the next one repeats, from 0 up to but not 1."""
    label: str | None = None
    """Tables: column of the class."""
    time: str | None = None
    """Tables: column of the time, as numbers (see --time-unit) or as dates."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Tables: unit of a numeric time column; seconds unless given."""
    rate: float | None = None
    """Sampling rate in Hz, where no time column tells it."""
    subject: str | None = None
    """Tables: column of the person; splits are by person."""
    recording: str | None = None
    """Tables: column of the recording, where one file holds several."""
    units: tuple[str, ...] = ()
    """Unit of the channels (g, m/s^2, rad/s, deg/s): one for all or one for each."""
    drop_unlabelled: bool = False
    """Tables: leave out rows without a label (counted) instead of stopping at them."""
    missing: str = "raise"
    """Missing samples (empty or NaN): raise; the longest gap that is filled by a straight line (0.2s, or 10 for
    samples); or mask, which keeps them for images whose pixels become NaN there."""
    constant: Literal["raise", "flag", "drop"] = "raise"
    """Windows with a channel that never moves: stop at them, keep and flag them, or leave them out."""

    def __post_init__(self) -> None:
        for name in ("channels", "classes", "units"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise UserError(f"rate {self.rate} Hz is not allowed: it must be positive")

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

    `window` and `overlap` are the format's own cut, `split` its own parts by subject; None where it has none.
    """

    recordings: list[Recording]
    class_names: tuple[str, ...]
    window: int | None = None
    overlap: float = 0.0
    split: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format: how it is recognised, how it is read, and which options it takes besides the general ones."""

    name: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Windows | RecordingSet]
    options: frozenset[str]


GENERAL_OPTIONS = frozenset({"channels", "classes", "constant"})
CUT_OPTIONS = frozenset({"window", "overlap"})


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
        f"no reader knows the {kind} '{path}': give a .csv or .parquet table or a folder of them, an .npz of windows "
        "or a folder with X.npy and y.npy, or the UCI HAPT set as a folder, .zip or .tar.xz"
    )


def readers() -> dict[str, Reader]:
    """Return all readers by name, in the order in which they are asked."""
    from tsimage.readers import hapt, npz, table

    return {reader.name: reader for reader in (npz.READER, npz.NPY_READER, hapt.READER, table.READER)}


def check_options(what: str, allowed: frozenset[str], options: ReadOptions) -> None:
    """Refuse options that would do nothing for `what`."""
    idle = sorted(options.given() - allowed - GENERAL_OPTIONS)
    if idle:
        names = ", ".join(name.replace("_", "-") for name in idle)
        takes = ", ".join(sorted(o.replace("_", "-") for o in allowed | GENERAL_OPTIONS))
        raise UserError(f"{what} cannot use the option {names}: leave it out; allowed here: {takes}")
