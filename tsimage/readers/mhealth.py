"""The MHEALTH set (chest, left ankle and right lower arm, 10 people, 50 Hz) in its own layout.

Source: O. Banos et al., "mHealthDroid: A Novel Framework for Agile Development of Mobile Health Applications", IWAAL
2014; UCI repository, set 319. Read from one `mHealth_subject1.log`, or a folder or archive of them.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np

from tsimage.archives import files_of, is_archive, names_of
from tsimage.cutting import Recording
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.labels import names_found, segments_of
from tsimage.readers.text import numeric_rows

RATE_HZ = 50.0
CHANNELS = (
    *(f"chest-acc-{axis}" for axis in "xyz"),
    "chest-ecg-1",
    "chest-ecg-2",
    *(f"{place}-{sensor}-{axis}" for place in ("ankle", "arm") for sensor in ("acc", "gyro", "mag") for axis in "xyz"),
)
"""In the order of the columns; the ECG electrodes are at the chest, the arm is the right lower one."""
UNITS = ("m/s^2",) * 3 + ("mV",) * 2 + (("m/s^2",) * 3 + ("deg/s",) * 3 + ("",) * 3) * 2
"""The magnetometers are in units of the local field."""
ACTIVITIES = {
    1: "standing still",
    2: "sitting and relaxing",
    3: "lying down",
    4: "walking",
    5: "climbing stairs",
    6: "waist bends forward",
    7: "frontal elevation of arms",
    8: "knees bending",
    9: "cycling",
    10: "jogging",
    11: "running",
    12: "jump front & back",
}
NULL = 0
"""Activity number of samples that belong to none: they are read and stay unlabelled."""
_LOG = re.compile(r"mHealth_subject(\d+)\b.*\.log", re.IGNORECASE)


def read_mhealth(path: Path, options: ReadOptions) -> RecordingSet:
    """Read the recordings: 23 channels at 50 Hz, one recording and one subject in each file.

    The files hold no times: samples follow one another, except across rejected lines. Rows of activity 0 are unlabelled.
    The classes are the activities that occur, in the order of their numbers.

    Raises
    ------
    UserError
        If there is no such file, or no row can be used.
    """
    ledger = Ledger(strict=options.faults == "raise")
    files = {path.name: path.read_bytes} if path.is_file() and _LOG.fullmatch(path.name) else files_of(path, (".log",))
    units = options.units_for(len(CHANNELS), UNITS)
    recordings = []
    taken: dict[str, str] = {}
    for name, content in files.items():
        match = _LOG.fullmatch(PurePosixPath(name).name)
        if match is None:
            continue
        subject = f"subject{int(match[1])}"
        if subject in taken:
            raise UserError(f"{path}: both {taken[subject]} and {name} are of {subject}: leave one of them out")
        taken[subject] = name
        rows, lines = numeric_rows(content(), len(CHANNELS) + 1, name, ledger)
        codes = rows[:, -1]
        known = np.isin(codes, [NULL, *ACTIVITIES])
        ledger.reject(name, "unknown activity", lines[~known], f"{codes[~known][0]:g}" if not known.all() else "")
        rows, lines = rows[known], lines[known]
        if not len(rows):
            continue
        breaks = np.flatnonzero(np.diff(lines) != 1) + 1
        recordings.append(
            Recording(
                id=subject,
                subject=subject,
                values=np.ascontiguousarray(rows[:, :-1].T, dtype=np.float32),
                channels=CHANNELS,
                units=units,
                rate_hz=RATE_HZ,
                segments=segments_of(rows[:, -1], ACTIVITIES, breaks),
                breaks=tuple(breaks.tolist()),
            )
        )
    if not taken:
        raise UserError(f"{path}: not the MHEALTH layout: it needs files like mHealth_subject1.log")
    if not recordings:
        raise ledger.nothing_left(path)
    return RecordingSet(recordings=recordings, class_names=names_found(recordings, ACTIVITIES), report=ledger.report())


def _accepts(path: Path) -> bool:
    if path.is_file() and not is_archive(path):
        return _LOG.fullmatch(path.name) is not None
    try:
        return any(_LOG.fullmatch(PurePosixPath(name).name) for name in names_of(path, (".log",)))
    except (UserError, OSError):
        return False


READER = Reader(
    name="mhealth",
    summary="the MHEALTH set: mHealth_subject1.log, or a folder, .zip or .tar of them",
    accepts=_accepts,
    read=read_mhealth,
    options=CUT_OPTIONS | {"faults", "units"},
)
