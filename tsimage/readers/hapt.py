"""The UCI HAPT set (smartphone at the waist, 30 people, 50 Hz) in its own layout.

Source: J.-L. Reyes-Ortiz et al., "Transition-Aware Human Activity Recognition Using Smartphones",
Neurocomputing 171 (2016); UCI repository, set 341. Read from a folder, a `.zip` or a `.tar.*` that holds
`acc_expXX_userYY.txt`, `gyro_expXX_userYY.txt`, `labels.txt`, `activity_labels.txt` and the official lists
`subject_id_train.txt` and `subject_id_test.txt`.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from tsimage.archives import SUFFIXES, files_of, names_of
from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet
from tsimage.readers.text import rows_side_by_side

RATE_HZ = 50.0
CHANNELS = ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
UNITS = ("g", "g", "g", "rad/s", "rad/s", "rad/s")
WINDOW, OVERLAP = 128, 0.5
_LARGEST_NUMBER = 10**9
_SIGNAL = re.compile(r"(acc|gyro)_exp(\d+)_user(\d+)\.txt")


def read_hapt(path: Path, options: ReadOptions) -> RecordingSet:
    """Read all recordings: three accelerometer axes in g and three gyroscope axes in rad/s.

    Cut at its own 128 samples with half overlap, the windows and the split by subject are the official ones,
    row by row: 7,767 for training and 3,162 for test.

    A sample is a line of the two signal files of its experiment: where one of them is malformed, the sample is rejected,
    and no window holds both sides. The samples that `labels.txt` counts are the lines of the files.

    Raises
    ------
    UserError
        If a file is missing, the signal files of an experiment have unequal numbers of lines, a list or label is
        malformed, or an experiment has no line that can be used.
    """
    ledger = Ledger(strict=options.faults == "raise")
    units = options.units_for(len(CHANNELS), UNITS)
    files = files_of(path, (".txt",))
    names = {PurePosixPath(name).name: name for name in files if _SIGNAL.fullmatch(PurePosixPath(name).name)}
    labels_name = next((n for n in files if PurePosixPath(n).name == "labels.txt"), None)
    if not names or labels_name is None:
        raise UserError(f"{path}: not the HAPT layout: it needs labels.txt and acc_expXX_userYY.txt files")
    root = PurePosixPath(labels_name).parent.parent

    def below_root(name: str) -> str:
        found = [n for n in files if PurePosixPath(n).name == name and PurePosixPath(n).is_relative_to(root)]
        if not found:
            raise UserError(f"{path}: {name} is missing below '{root}': unpack the whole set")
        return min(found, key=len)

    activities_name = below_root("activity_labels.txt")

    def table(name: str, columns: int) -> pd.DataFrame:
        try:
            frame = pd.read_csv(
                io.BytesIO(files[name]()),
                sep=r"\s+",
                header=None,
                dtype=str,
                keep_default_na=False,
                quoting=csv.QUOTE_NONE,
            )
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: {name} is malformed ({reason}): get a fresh copy of the set") from error
        if frame.shape[1] != columns:
            raise UserError(f"{path}: {name} has {frame.shape[1]} columns, expected {columns}: get a fresh copy")
        for column in range(columns if name != activities_name else 1):
            numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
            bad = (np.rint(numbers) != numbers) | (np.abs(numbers) > _LARGEST_NUMBER)
            if bad.any():
                row = int(np.argmax(bad))
                raise UserError(
                    f"{path}: {name}, line {row + 1} has '{frame[column].iloc[row]}' where a whole number belongs: "
                    "get a fresh copy of the set"
                )
            frame[column] = numbers.astype(np.int64)
        return frame

    activities = table(activities_name, 2)
    activity = dict(zip(activities[0], activities[1], strict=True))
    split = {
        f"user{subject:02d}": part
        for part in ("train", "test")
        for subject in np.unique(table(below_root(f"subject_id_{part}.txt"), 1)[0])
    }
    segments = table(labels_name, 5)
    strange = sorted(set(segments[2]) - set(activity))
    if strange:
        raise UserError(f"{path}: {labels_name} has the activity {strange[0]}, which activity_labels.txt does not list")
    recordings = []
    used: set[str] = set()
    for (experiment, user), rows in segments.groupby([0, 1], sort=True):
        signals = [f"{sensor}_exp{experiment:02d}_user{user:02d}.txt" for sensor in ("acc", "gyro")]
        for name in signals:
            if name not in names:
                raise UserError(f"{path}: {name} is missing although labels.txt names it: unpack the whole set")
        used.update(signals)
        read_before = ledger.rows_read
        samples, lines = rows_side_by_side({names[name]: (files[names[name]](), 3) for name in signals}, path, ledger)
        n_lines = ledger.rows_read - read_before
        if not len(lines):
            raise UserError(
                f"{path}: none of the {n_lines:,} lines of {names[signals[0]]} and its gyroscope file can be used: "
                "get a fresh copy of the set"
            )
        outside = (rows[3] < 1) | (rows[4] < rows[3]) | (rows[4] > n_lines)
        if outside.any():
            line = int(rows.index[int(np.argmax(outside))])
            raise UserError(
                f"{path}: {labels_name}, line {line + 1} labels samples {segments[3][line]} to {segments[4][line]} of "
                f"{n_lines} in experiment {experiment}: get a fresh copy of the set"
            )
        breaks = np.flatnonzero(np.diff(lines) != 1) + 1
        recordings.append(
            Recording(
                id=f"exp{experiment:02d}_user{user:02d}",
                subject=f"user{user:02d}",
                values=np.concatenate(samples, axis=1).T.astype(np.float32, order="C"),
                channels=CHANNELS,
                units=units,
                rate_hz=RATE_HZ,
                segments=tuple(
                    Segment(start=a, stop=b, label=activity[code])
                    for code, first, last in rows[[2, 3, 4]].itertuples(index=False)
                    for a, b in _between_breaks(
                        int(np.searchsorted(lines, first)), int(np.searchsorted(lines, last + 1)), breaks
                    )
                ),
                breaks=tuple(breaks.tolist()),
            )
        )
    unlabelled = sorted(names.keys() - used)
    if unlabelled:
        ledger.say(f"Not read, because labels.txt does not name their experiments: {', '.join(unlabelled)}")
    return RecordingSet(
        recordings=recordings,
        class_names=tuple(activity.values()),
        window=WINDOW,
        overlap=OVERLAP,
        split=split,
        report=ledger.report(),
    )


def _between_breaks(start: int, stop: int, breaks: np.ndarray) -> list[tuple[int, int]]:
    inside = breaks[(breaks > start) & (breaks < stop)].tolist()
    return [(a, b) for a, b in pairwise([start, *inside, stop]) if a < b]


def _accepts(path: Path) -> bool:
    if path.is_dir():
        return any(_SIGNAL.fullmatch(p.name) for p in path.rglob("acc_exp*_user*.txt"))
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    try:
        return any(_SIGNAL.fullmatch(PurePosixPath(name).name) for name in names_of(path, (".txt",)))
    except UserError:
        return True  # reading it says what is wrong with the archive
    except OSError:
        return False


READER = Reader(
    name="hapt",
    summary="the UCI HAPT set as a folder, .zip or .tar.xz",
    accepts=_accepts,
    read=read_hapt,
    options=CUT_OPTIONS | {"faults", "units"},
)
