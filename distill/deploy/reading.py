"""How a recording is read that a model is to label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a recording is read: those options of `ReadOptions` that a model leaves open."""

    channels: tuple[str, ...] = ()
    """Channels to take for those of the model, in its order (a,b,c or a b c); by name unless given."""
    label: str | None = None
    """Tables: column of the true class, where there is one."""
    time: str | None = None
    """Tables: column of the time, as numbers (see --time-unit) or as dates."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Tables: unit of a numeric time column; seconds unless given."""
    rate: float | None = None
    """Sampling rate in Hz, where no time column tells it."""
    subject: str | None = None
    """Tables: column of the person (or see path-pattern)."""
    recording: str | None = None
    """Tables: column of the recording, where one file holds several (or see path-pattern)."""
    units: tuple[str, ...] = ()
    """Unit of the channels (g, m/s^2, rad/s, deg/s): one for all or one for each."""
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
    resample: bool = False
    """Resample recordings of another rate, with a filter against aliasing; else they are refused."""

    def __post_init__(self) -> None:
        names = [name.strip() for each in self.channels for name in each.split(",")]
        object.__setattr__(self, "channels", tuple(name for name in names if name))
