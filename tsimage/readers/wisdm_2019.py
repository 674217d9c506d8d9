"""The WISDM smartphone and smartwatch set of 2019 (51 people, 18 activities of 3 minutes, 20 Hz; UCI repository, set 507).

Source: G. M. Weiss, K. Yoneda, T. Hayajneh, "Smartphone and Smartwatch-Based Biometrics Using Activities of Daily Living",
IEEE Access 7 (2019), and the set's own description. Read from a folder, a `.zip` or a `.tar.*` that holds files
`data_1600_accel_phone.txt` (subject, sensor, device) of lines `1600,A,252207666810782,-0.36476135,8.793503,1.0550842;`:
subject, activity (A to S without N), nanoseconds, three axes; accelerometers in m/s^2, gyroscopes in rad/s. The set cuts
windows of 10 s (200 samples) without overlap.

Phone (in the pocket) and watch (on the wrist) are streams of their own, with clocks of their own: they are never joined. What
is read follows from the channels that are asked for (`watch-acc-x`, `phone-gyro*`, ...), else from the files that are there: the
first of watch accelerometer, phone accelerometer, watch gyroscope and phone gyroscope; the report names what was left out.
Where channels of both sensors of one device are asked for, each sample of the accelerometer gets the gyroscope's nearest
sample of the same activity within `NEAR_S`; samples of either that have no partner are rejected. Values are never interpolated.

Lines have the faults of `tsimage.readers.wisdm_records`, clocks those of `tsimage.clock`. Activities are segments; a break
stands where an activity begins. A device runs at 20 Hz, as declared, unless its clock says otherwise by more than 5 %.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from tsimage.archives import files_of, is_archive
from tsimage.clock import timeline
from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError, unknown
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.wisdm_records import Records, parse

RATE_HZ = 20.0
ACTIVITIES = {
    "A": "walking",
    "B": "jogging",
    "C": "stairs",
    "D": "sitting",
    "E": "standing",
    "F": "typing",
    "G": "teeth",
    "H": "soup",
    "I": "chips",
    "J": "pasta",
    "K": "drinking",
    "L": "sandwich",
    "M": "kicking",
    "O": "catch",
    "P": "dribbling",
    "Q": "writing",
    "R": "clapping",
    "S": "folding",
}
"""Letters and words of the set's `activity_key.txt`."""
STREAMS = {
    ("watch", "accel"): ("watch-acc", "m/s^2"),
    ("phone", "accel"): ("phone-acc", "m/s^2"),
    ("watch", "gyro"): ("watch-gyro", "rad/s"),
    ("phone", "gyro"): ("phone-gyro", "rad/s"),
}
"""Prefix and unit of the channels of each device and sensor, in the order of preference."""
WINDOW, OVERLAP = 200, 0.0
NEAR_S = 0.025
_FILE = re.compile(r"data_(\d{4})_(accel|gyro)_(phone|watch)\.txt")
_AGREEMENT = 0.05

_Stream = tuple[str, str]
_Files = dict[tuple[_Stream, int], tuple[str, Callable[[], bytes]]]


def read_wisdm_2019(path: Path, options: ReadOptions) -> RecordingSet:
    """Read one device of every subject: a recording each, with a segment for each activity.

    Parameters
    ----------
    path : Path
        The set, or a part of it such as `raw/phone/gyro` or a single file.
    options : ReadOptions
        `channels` chooses device and sensors; `faults` decides what malformed lines do, `units` replaces the
        published units of the channels that are read.

    Returns
    -------
    RecordingSet
        In the order of subjects, with ids like `1600-watch`.

    Raises
    ------
    UserError
        If there are no such files, the channels are of two devices or of none, or no line can be used.
    """
    found = _find(path)
    streams = _chosen(path, found, options.channels)
    published = tuple(STREAMS[stream][1] for stream in streams for _ in "xyz")
    units = options.units_for(len(published), published)
    ledger = Ledger(strict=options.faults == "raise")
    read = ", ".join(STREAMS[stream][0] for stream in streams)
    others = [STREAMS[stream][0] for stream in STREAMS if stream not in streams and any(s == stream for s, _ in found)]
    ledger.say(
        f"Read: {read}" + (f"; left out: {', '.join(others)} (option channels '{others[0]}*')" if others else "")
    )
    recordings = []
    for subject in sorted({subject for stream, subject in found if stream in streams}):
        absent = [STREAMS[stream][0] for stream in streams if (stream, subject) not in found]
        if absent:
            ledger.say(f"Subject {subject} has no {' and no '.join(absent)}, and is left out")
            continue
        files = [found[stream, subject] for stream in streams]
        parts = [_part(name, content, subject, ledger) for name, content in files]
        recording = _recording(streams, subject, parts, [name for name, _ in files], units, ledger)
        if recording is not None:
            recordings.append(recording)
    if not recordings:
        raise ledger.nothing_left(path)
    return RecordingSet(
        recordings=recordings,
        class_names=tuple(ACTIVITIES.values()),
        window=WINDOW,
        overlap=OVERLAP,
        report=ledger.report(),
    )


def _find(path: Path) -> _Files:
    is_one = path.is_file() and not is_archive(path)
    files = {path.name: path.read_bytes} if is_one else files_of(path, (".txt",))
    found: _Files = {}
    for name, read in files.items():
        match = _FILE.fullmatch(PurePosixPath(name).name)
        if match is None:
            continue
        key = ((match[3], match[2]), int(match[1]))
        if key in found:
            raise UserError(f"{path}: {found[key][0]} and {name} are the same part of the set: leave one of them out")
        found[key] = (name, read)
    if not found:
        raise UserError(
            f"{path}: not the layout of WISDM 2019: it needs files like raw/watch/accel/data_1600_accel_watch.txt"
        )
    return found


def _chosen(path: Path, found: _Files, patterns: tuple[str, ...]) -> tuple[_Stream, ...]:
    there = [stream for stream in STREAMS if any(s == stream for s, _ in found)]
    if not patterns:
        return (there[0],)
    names = {f"{STREAMS[stream][0]}-{axis}": stream for stream in there for axis in "xyz"}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown("channel", pattern, names)
    streams = {stream for name, stream in names.items() if any(fnmatchcase(name, p) for p in patterns)}
    devices = {device for device, _ in streams}
    if len(devices) > 1:
        raise UserError(
            f"{path}: the channels {', '.join(patterns)} are of phone and watch, whose clocks differ: name those of one "
            "device ('watch-*' or 'phone-*')"
        )
    return tuple(stream for stream in there if stream in streams)


def _part(file: str, read: Callable[[], bytes], subject: int, ledger: Ledger) -> tuple[Records, np.ndarray, float]:
    """Return the records of a file in the order of time, which of them begin anew, and their rate."""
    records = parse(read(), file, ledger, range(subject, subject + 1), tuple(ACTIVITIES))
    if not len(records.lines):
        return records, np.zeros(0, dtype=bool), RATE_HZ
    times = (records.times - records.times[0]) / 1e9
    clock = timeline(times, records.lines, file, ledger, rate_hz=None if times.any() else RATE_HZ)
    fresh = np.zeros(len(clock.kept), dtype=bool)
    fresh[clock.breaks] = True
    lost = np.cumsum(~records.follows)[clock.kept]
    records = records.at(clock.kept)
    fresh[1:] |= (np.diff(lost) > 0) | (np.diff(records.activities) != 0)
    fresh[:1] = True
    agrees = abs(clock.rate_hz / RATE_HZ - 1) < _AGREEMENT
    return records, fresh, RATE_HZ if agrees else clock.rate_hz


def _recording(
    streams: tuple[_Stream, ...],
    subject: int,
    parts: list[tuple[Records, np.ndarray, float]],
    files: list[str],
    units: tuple[str, ...],
    ledger: Ledger,
) -> Recording | None:
    records, fresh, rate_hz = parts[0]
    values = records.values
    if len(parts) > 1:
        near = _nearest(records, parts[1][0])
        alone = near < 0
        unused = np.setdiff1d(np.arange(len(parts[1][0].lines)), near)
        for name, lines in zip(files, (records.lines[alone], parts[1][0].lines[unused]), strict=True):
            ledger.reject(name, f"no sample of the other sensor within {NEAR_S * 1e3:g} ms", lines)
        values = np.concatenate([values, parts[1][0].values[near]], axis=1)[~alone]
        runs = np.cumsum(fresh | alone | np.concatenate([[False], alone[:-1]]))[~alone]
        records, fresh = records.at(~alone), np.diff(runs, prepend=-1) > 0
    if not len(records.lines):
        ledger.say(f"Subject {subject} has no sample left, and is left out")
        return None
    begins = np.flatnonzero(fresh).tolist()
    names = list(ACTIVITIES.values())
    return Recording(
        id=f"{subject}-{streams[0][0]}",
        subject=str(subject),
        values=np.ascontiguousarray(values.T),
        channels=tuple(f"{STREAMS[stream][0]}-{axis}" for stream in streams for axis in "xyz"),
        units=units,
        rate_hz=rate_hz,
        segments=tuple(
            Segment(start=start, stop=stop, label=names[records.activities[start]])
            for start, stop in pairwise([*begins, len(records.lines)])
        ),
        breaks=tuple(begins[1:]),
    )


def _nearest(of: Records, among: Records) -> np.ndarray:
    """Return for each record the row of the other one of the same activity nearest in time, -1 where it is too far."""
    near = np.full(len(of.lines), -1)
    for activity in np.unique(of.activities):
        mine, theirs = (np.flatnonzero(r.activities == activity) for r in (of, among))
        if not len(theirs):
            continue
        theirs = theirs[np.argsort(among.times[theirs], kind="stable")]
        wanted, offered = of.times[mine], among.times[theirs]
        after = np.clip(np.searchsorted(offered, wanted), 1, max(1, len(offered) - 1))
        best = np.where(
            wanted - offered[after - 1] <= offered[np.minimum(after, len(offered) - 1)] - wanted, after - 1, after
        )
        best = np.minimum(best, len(offered) - 1)
        near[mine] = np.where(np.abs(offered[best] - wanted) <= NEAR_S * 1e9, theirs[best], -1)
    return near


def _accepts(path: Path) -> bool:
    try:
        if path.is_dir():
            return any(_FILE.fullmatch(file.name) for file in path.rglob("data_*.txt"))
        if is_archive(path):
            return re.search(r"wisdm(?![_-]?ar)", path.name, re.IGNORECASE) is not None
        return path.is_file() and _FILE.fullmatch(path.name) is not None
    except OSError:
        return False


READER = Reader(
    name="wisdm-2019",
    summary="the WISDM phone and watch set of 2019 (UCI 507) as a folder, .zip or .tar.*",
    accepts=_accepts,
    read=read_wisdm_2019,
    options=CUT_OPTIONS | {"faults", "units"},
)
