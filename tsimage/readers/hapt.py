"""The UCI HAPT set (smartphone at the waist, 30 people, 50 Hz) in its own layout.

Source: J.-L. Reyes-Ortiz et al., "Transition-Aware Human Activity Recognition Using Smartphones",
Neurocomputing 171 (2016); UCI repository, set 341. Read from a folder, a `.zip` or a `.tar.*` that holds
`acc_expXX_userYY.txt`, `gyro_expXX_userYY.txt`, `labels.txt`, `activity_labels.txt` and the official lists
`subject_id_train.txt` and `subject_id_test.txt`.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from tsimage.cutting import Recording, Segment
from tsimage.errors import UserError
from tsimage.readers import CUT_OPTIONS, Reader, ReadOptions, RecordingSet

RATE_HZ = 50.0
CHANNELS = ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
UNITS = ("g", "g", "g", "rad/s", "rad/s", "rad/s")
WINDOW, OVERLAP = 128, 0.5
_SIGNAL = re.compile(r"(acc|gyro)_exp(\d+)_user(\d+)\.txt")


def read_hapt(path: Path, options: ReadOptions) -> RecordingSet:
    """Read all recordings: three accelerometer axes in g and three gyroscope axes in rad/s.

    Cut at its own 128 samples with half overlap, the windows and the split by subject are the official ones,
    row by row: 7,767 for training and 3,162 for test.

    Raises
    ------
    UserError
        If a file is missing or a line is malformed.
    """
    files = _files(path)
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
            frame = pd.read_csv(io.BytesIO(files[name]()), sep=r"\s+", header=None)
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: {name} is malformed ({reason}): get a fresh copy of the set") from error
        if frame.shape[1] != columns:
            raise UserError(f"{path}: {name} has {frame.shape[1]} columns, expected {columns}: get a fresh copy")
        for column in range(columns if name != activities_name else 1):
            bad = pd.to_numeric(frame[column], errors="coerce").isna()
            if bad.any():
                row = int(np.argmax(bad))
                raise UserError(
                    f"{path}: {name}, line {row + 1} has '{frame[column].iloc[row]}' where a number belongs: "
                    "get a fresh copy of the set"
                )
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
    for (experiment, user), rows in segments.groupby([0, 1], sort=True):
        signals = []
        for sensor in ("acc", "gyro"):
            name = f"{sensor}_exp{experiment:02d}_user{user:02d}.txt"
            if name not in names:
                raise UserError(f"{path}: {name} is missing although labels.txt names it: unpack the whole set")
            signals.append(table(names[name], 3).to_numpy(dtype=np.float32).T)
        if signals[0].shape != signals[1].shape:
            lengths = " and ".join(str(s.shape[1]) for s in signals)
            raise UserError(
                f"{path}: experiment {experiment} has accelerometer and gyroscope of unequal length ({lengths}): "
                "get a fresh copy of the set"
            )
        outside = (rows[3] < 1) | (rows[4] < rows[3]) | (rows[4] > signals[0].shape[1])
        if outside.any():
            line = int(rows.index[int(np.argmax(outside))])
            raise UserError(
                f"{path}: {labels_name}, line {line + 1} labels samples {segments[3][line]} to {segments[4][line]} of "
                f"{signals[0].shape[1]} in experiment {experiment}: get a fresh copy of the set"
            )
        recordings.append(
            Recording(
                id=f"exp{experiment:02d}_user{user:02d}",
                subject=f"user{user:02d}",
                values=np.concatenate(signals),
                channels=CHANNELS,
                units=UNITS,
                rate_hz=RATE_HZ,
                segments=tuple(
                    Segment(start=int(first) - 1, stop=int(last), label=activity[code])
                    for code, first, last in rows[[2, 3, 4]].itertuples(index=False)
                ),
            )
        )
    return RecordingSet(
        recordings=recordings, class_names=tuple(activity.values()), window=WINDOW, overlap=OVERLAP, split=split
    )


def _files(path: Path) -> dict[str, Callable[[], bytes]]:
    """Return a function that reads each `.txt` file of a folder or an archive, by its posix path."""
    if path.is_dir():
        return {p.relative_to(path).as_posix(): p.read_bytes for p in sorted(path.rglob("*.txt"))}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {n: _constant(archive.read(n)) for n in archive.namelist() if n.endswith(".txt")}
        with tarfile.open(path) as archive:
            contents = {}
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.name.endswith(".txt") else None
                if file is not None:
                    contents[member.name] = _constant(file.read())
            return contents
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable archive ({reason}): get a fresh copy of the set") from error


def _constant(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _accepts(path: Path) -> bool:
    if path.is_dir():
        return any(_SIGNAL.fullmatch(p.name) for p in path.rglob("acc_exp*_user*.txt"))
    return path.is_file() and path.name.endswith((".zip", ".tar", ".tar.xz", ".tar.gz", ".tgz"))


READER = Reader(name="hapt", accepts=_accepts, read=read_hapt, options=CUT_OPTIONS)
