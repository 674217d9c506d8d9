"""The WISDM v1.1 activity set (phone in the front pocket, 36 people, 20 Hz), `WISDM_ar_v1.1_raw.txt`.

Source: J. R. Kwapisz, G. M. Weiss, S. A. Moore, "Activity Recognition using Cell Phone Accelerometers", SensorKDD 2010,
and the set's own readme and about files: 1,098,207 records `33,Jogging,49105962326000,-0.6946377,12.680544,0.50395286;`
of user, activity, uptime in nanoseconds and three axes in m/s^2 (a phone at rest shows about 10). The paper cuts windows
of 10 s (200 samples) without overlap.

The file is known for its faults: `wisdm_records` lists those of lines, each with its treatment. Time stamps are
unreliable, too (they repeat, go back, are 0, and step by 100 ms as well as by 50), so samples are never moved or made up:
the order of the file is trusted at the declared 20 Hz, and time only tells breaks. Noted, and kept in their place, are a
`zero time`, a `repeated time`, a `backward time` and a `time leap`: more than `LEAP_S` on or back. A sample does not
follow the one before where time leaps, where a user or an activity begins, and after rejected samples.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from tsimage.archives import files_of, is_archive
from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.wisdm_records import Records, parse

RATE_HZ = 20.0
CHANNELS = ("acc-x", "acc-y", "acc-z")
ACTIVITIES = ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")
USERS = range(1, 37)
WINDOW, OVERLAP = 200, 0.0
LEAP_S = 0.5
FILE = "WISDM_ar_v1.1_raw.txt"
_FIRST = re.compile(rf"^\d+,(?:{'|'.join(ACTIVITIES)}),-?\d+,[^,;\n]*,[^,;\n]*,[^,;\n]*;".encode(), re.MULTILINE)


def read_wisdm(path: Path, options: ReadOptions) -> RecordingSet:
    """Read the set: one recording of three axes in m/s^2 per person, with one segment per run of an activity.

    Parameters
    ----------
    path : Path
        `WISDM_ar_v1.1_raw.txt` under any name, or a folder, .zip or .tar.* that holds it.
    options : ReadOptions
        `faults` decides what malformed records do, `units` replaces m/s^2.

    Returns
    -------
    RecordingSet
        People in the order in which they appear. The report counts every fault of the module's list.

    Raises
    ------
    UserError
        If there is no such file or no record can be used.
    """
    file, content = _content(path)
    ledger = Ledger(strict=options.faults == "raise")
    units = options.units_for(len(CHANNELS), ("m/s^2",) * 3)
    records = parse(content, file, ledger, USERS, ACTIVITIES)
    if not len(records.lines):
        raise ledger.nothing_left(path)
    begins = _runs(records)
    leaps = _leaps(records, begins, file, ledger)
    fresh = begins | leaps | ~records.follows
    recordings = [_recording(records, user, fresh, units) for user in pd.unique(records.users)]
    return RecordingSet(
        recordings=recordings,
        class_names=ACTIVITIES,
        window=WINDOW,
        overlap=OVERLAP,
        report=ledger.report(),
    )


def _runs(records: Records) -> np.ndarray:
    """Tell which records begin a user or an activity."""
    begins = np.ones(len(records.lines), dtype=bool)
    begins[1:] = (np.diff(records.users) != 0) | (np.diff(records.activities) != 0)
    return begins


def _leaps(records: Records, begins: np.ndarray, file: str, ledger: Ledger) -> np.ndarray:
    """Take down odd time stamps; tell which records follow a leap. Zeros count as the last time before them."""
    times, at = records.times, np.arange(len(begins))
    known = times[np.maximum.accumulate(np.where((times != 0) | begins, at, 0))]
    steps = np.diff(known, prepend=0) / 1e9
    compared = ~begins & (times != 0) & (np.concatenate([[0], known[:-1]]) != 0)
    leaps = compared & (np.abs(steps) > LEAP_S)
    kinds = {
        "zero time": times == 0,
        "repeated time": compared & (steps == 0),
        "backward time": compared & (steps < 0),
        "time leap": leaps,
    }
    for kind, where in kinds.items():
        first = int(np.argmax(where))
        ledger.note(file, kind, records.lines[where], f"{known[max(first - 1, 0)]} ns to {times[first]} ns")
    forward = steps[compared & (steps > 0)]
    if len(forward):
        step = float(np.median(forward))
        ledger.say(
            f"The rate is taken to be {RATE_HZ:g} Hz, as declared; time stamps step by {step * 1e3:.4g} ms "
            f"({1 / step:.4g} Hz) at the median"
        )
    return leaps


def _recording(records: Records, user: int, fresh: np.ndarray, units: tuple[str, ...]) -> Recording:
    rows = np.flatnonzero(records.users == user)
    begins = np.flatnonzero(fresh[rows] | (np.diff(rows, prepend=rows[0] - 1) != 1))
    return Recording(
        id=f"user{user:02d}",
        subject=f"user{user:02d}",
        values=np.ascontiguousarray(records.values[rows].T),
        channels=CHANNELS,
        units=units,
        rate_hz=RATE_HZ,
        segments=tuple(
            Segment(start=start, stop=stop, label=ACTIVITIES[records.activities[rows[start]]])
            for start, stop in pairwise([*begins.tolist(), len(rows)])
        ),
        breaks=tuple(begins[1:].tolist()),
    )


def _content(path: Path) -> tuple[str, bytes]:
    if path.is_file() and not is_archive(path):
        return path.name, path.read_bytes()
    files = {name: read for name, read in files_of(path, (".txt",)).items() if PurePosixPath(name).name == FILE}
    if len(files) != 1:
        raise UserError(f"{path}: {len(files)} files {FILE} are in it: give the path of the one to read")
    ((name, read),) = files.items()
    return name, read()


def _accepts(path: Path) -> bool:
    try:
        if path.is_dir():
            return next(path.rglob(FILE), None) is not None
        if is_archive(path):
            return re.search(r"wisdm[_-]?ar", path.name, re.IGNORECASE) is not None
        with path.open("rb") as file:
            return _FIRST.search(file.read(4096)) is not None
    except OSError:
        return False


READER = Reader(
    name="wisdm",
    summary=f"the WISDM v1.1 set: {FILE}, or a folder, .zip or .tar.* that holds it",
    accepts=_accepts,
    read=read_wisdm,
    options=CUT_OPTIONS | {"faults", "units"},
)
