"""The PAMAP2 set (hand, chest and ankle, 9 people, 100 Hz) in its own layout.

Source: A. Reiss and D. Stricker, "Introducing a New Benchmarked Dataset for Activity Monitoring", ISWC 2012; UCI
repository, set 231. Read from one `subject101.dat`, or a folder or archive with `Protocol/subject101.dat` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from tsimage.archives import files_of, is_archive, names_of
from tsimage.clock import timeline
from tsimage.cutting import Recording
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.labels import names_found, segments_of
from tsimage.readers.text import numeric_rows
from tsimage.windows import matching

RATE_HZ = 100.0
PLACES = ("hand", "chest", "ankle")
N_COLUMNS = 54
_OF_A_PLACE = {
    "temperature": "degC",
    **{f"acc-{axis}": "m/s^2" for axis in "xyz"},
    **{f"acc6-{axis}": "m/s^2" for axis in "xyz"},
    **{f"gyro-{axis}": "rad/s" for axis in "xyz"},
    **{f"mag-{axis}": "uT" for axis in "xyz"},
}
_COLUMNS_OF_A_PLACE = 17  # the last four, the orientation, are invalid in this set
UNITS = {"heart-rate": "bpm"} | {f"{place}-{name}": unit for place in PLACES for name, unit in _OF_A_PLACE.items()}
"""Unit of every channel that can be chosen, by its name."""
COLUMNS = {"heart-rate": 2} | {
    f"{place}-{name}": 3 + _COLUMNS_OF_A_PLACE * p + k
    for p, place in enumerate(PLACES)
    for k, name in enumerate(_OF_A_PLACE)
}
DEFAULT_CHANNELS = tuple(name for name in UNITS if name.split("-")[1] in ("acc", "gyro", "mag"))
"""The 27 channels of the accelerometers of 16 g, the gyroscopes and the magnetometers."""
ACTIVITIES = {
    1: "lying",
    2: "sitting",
    3: "standing",
    4: "walking",
    5: "running",
    6: "cycling",
    7: "Nordic walking",
    9: "watching TV",
    10: "computer work",
    11: "car driving",
    12: "ascending stairs",
    13: "descending stairs",
    16: "vacuum cleaning",
    17: "ironing",
    18: "folding laundry",
    19: "house cleaning",
    20: "playing soccer",
    24: "rope jumping",
}
TRANSIENT = 0
"""Activity number of samples between activities: they are read and stay unlabelled."""
_DAT = re.compile(r"subject(\d+)\b.*\.dat", re.IGNORECASE)


def read_pamap2(path: Path, options: ReadOptions) -> RecordingSet:
    """Read the recordings, one in each file, at 100 Hz.

    Without `options.channels` these are acc (the accelerometers of 16 g, which the set's readme recommends), gyro and mag
    of hand, chest and ankle. To be asked for: acc6 (6 g, saturated and less well calibrated), temperature (stands still
    for seconds) and heart-rate (about 9 Hz, missing in between). The orientation is invalid in this set and never read.

    A sensor that dropped out left NaN. Rows with NaN in a channel that is read are rejected, and no window holds both
    sides; if `options.missing` is not "raise" they are kept and noted. Rows of activity 0, transient, are unlabelled.
    Where there is a folder Protocol, only its files are read. The number in the name of a file is its person. The
    classes are the activities that occur, in the order of their numbers.

    Raises
    ------
    UserError
        If there is no such file, a channel is unknown, or no row can be used.
    """
    ledger = Ledger(strict=options.faults == "raise")
    chosen = matching("channel", options.channels, tuple(UNITS)) if options.channels else DEFAULT_CHANNELS
    channels = tuple(name for name in UNITS if name in chosen)
    units = options.units_for(len(channels), tuple(UNITS[channel] for channel in channels))
    recordings = []
    for name, content in _recorded(path, ledger).items():
        recording = _recording(content(), name, channels, units, ledger, may_miss=options.missing != "raise")
        recordings += [recording] if recording is not None else []
    if not recordings:
        raise ledger.nothing_left(path)
    ledger.say(f"Channels: {len(channels)} of {len(UNITS)}, others with the option channels: {', '.join(channels)}")
    return RecordingSet(recordings=recordings, class_names=names_found(recordings, ACTIVITIES), report=ledger.report())


def _recorded(path: Path, ledger: Ledger) -> dict[str, Callable[[], bytes]]:
    """Return the files to read by their names, which hold the folder: one subject has files in two folders."""
    if path.is_file() and _DAT.fullmatch(path.name):
        return {path.name: path.read_bytes}
    files = {n: read for n, read in files_of(path, (".dat",)).items() if _DAT.fullmatch(PurePosixPath(n).name)}
    if not files:
        raise UserError(f"{path}: not the PAMAP2 layout: it needs files like Protocol/subject101.dat")
    protocol = {n: read for n, read in files.items() if PurePosixPath(n).parent.name.casefold() == "protocol"}
    others = sorted(files.keys() - protocol.keys())
    if protocol and others:
        ledger.say(f"Only the folder Protocol was read; give the folder of {others[0]} to read its {len(others)} files")
    return protocol or files


def _recording(
    content: bytes, name: str, channels: tuple[str, ...], units: tuple[str, ...], ledger: Ledger, *, may_miss: bool
) -> Recording | None:
    rows, lines = numeric_rows(content, N_COLUMNS, name, ledger, allow_nan=True)
    codes = rows[:, 1]
    known = np.isin(codes, [TRANSIENT, *ACTIVITIES])
    ledger.reject(name, "unknown activity", lines[~known], f"{codes[~known][0]:g}" if not known.all() else "")
    rows, lines = rows[known], lines[known]
    if not len(rows):
        return None
    clock = timeline(rows[:, 0], lines, name, ledger, rate_hz=RATE_HZ)
    codes = rows[clock.kept, 1]
    values = rows[clock.kept][:, [COLUMNS[channel] for channel in channels]].astype(np.float32)
    missing = np.isnan(values)
    gone = missing.any(axis=1)
    take_down = ledger.note if may_miss else ledger.reject
    example = ", ".join(np.array(channels)[missing[np.argmax(gone)]]) if gone.any() else ""
    take_down(name, "missing value", lines[clock.kept][gone], example)
    left = np.arange(len(values)) if may_miss else np.flatnonzero(~gone)
    if not len(left):
        return None
    breaks = np.flatnonzero((np.diff(left) != 1) | np.isin(left[1:], clock.breaks)) + 1
    stem = PurePosixPath(name)
    return Recording(
        id="/".join([*stem.parent.parts[-1:], stem.stem]),
        subject=_subject(stem.name),
        values=np.ascontiguousarray(values[left].T),
        channels=channels,
        units=units,
        rate_hz=clock.rate_hz,
        segments=segments_of(codes[left], ACTIVITIES, breaks),
        breaks=tuple(breaks.tolist()),
    )


def _subject(file_name: str) -> str:
    """Return the person of a file: `subject101.dat` and `subject101.row1.dat` are of one."""
    match = _DAT.fullmatch(file_name)
    assert match is not None  # no other file is read
    return f"subject{match[1]}"


def _accepts(path: Path) -> bool:
    if path.is_file() and not is_archive(path):
        return _DAT.fullmatch(path.name) is not None
    try:
        return any(_DAT.fullmatch(PurePosixPath(name).name) for name in names_of(path, (".dat",)))
    except (UserError, OSError):
        return False


READER = Reader(
    name="pamap2",
    summary="the PAMAP2 set: subject101.dat, or a folder, .zip or .tar of them",
    accepts=_accepts,
    read=read_pamap2,
    options=CUT_OPTIONS | {"faults", "missing", "units"},
)
