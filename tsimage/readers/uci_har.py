"""The UCI HAR set (smartphone at the waist, 30 people, 50 Hz) in its own layout of windows.

Source: D. Anguita et al., "A Public Domain Dataset for Human Activity Recognition Using Smartphones", ESANN 2013; UCI
repository, set 240. Read from a folder or an archive with `Inertial Signals/total_acc_x_train.txt` and so on,
`y_train.txt`, `subject_train.txt`, the same for test, and `activity_labels.txt`; or from `.csv` exports of these names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from tsimage.archives import files_of, is_archive, names_of
from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import Reader, ReadOptions
from tsimage.readers.text import rows_side_by_side
from tsimage.windows import Windows

RATE_HZ = 50.0
PARTS = ("train", "test")
LENGTH = 128
STEP = 64
SIGNALS = {
    f"{ours}-{axis}": f"{theirs}_{axis}"
    for ours, theirs in (("acc", "total_acc"), ("gyro", "body_gyro"), ("body-acc", "body_acc"))
    for axis in "xyz"
}
"""Channels and the files they are in; acc and gyro are named and ordered as in HAPT, recorded with the same people."""
UNITS = ("g",) * 3 + ("rad/s",) * 3 + ("g",) * 3
ACTIVITIES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
_MOST_PEOPLE = 10**6
_SIGNAL = re.compile(r"(body_acc|body_gyro|total_acc)_[xyz]_(train|test)\.(txt|csv)")
_Files = Mapping[str, tuple[str, Callable[[], bytes]]]


def read_uci_har(path: Path, options: ReadOptions) -> Windows:
    """Read the official windows row by row, with the official split: 7,352 for training and 2,947 for test.

    Channels: `acc` is total_acc, with gravity, in g; `gyro` in rad/s; `body-acc` is the acceleration without gravity.

    A window is a row of all files of its part: where one of them is bad, the window is rejected. The set does not tell
    which windows were cut from one recording. It is recovered: a window whose first half equals the second half of the
    row before, on all channels and of the same person, continues its recording, 64 samples later. Windows that share raw
    samples thus overlap in `start` and `stop`; what is one recording here may be a part of one. A window's id is its part
    and row, counted from 1.

    A part whose signals are not all there is left out, and the report says so. Without `subject_*` the persons are
    unknown, without `activity_labels.txt` the classes have their official names.

    Raises
    ------
    UserError
        If neither part is whole, files of one part have unequal numbers of rows, or no window can be used.
    """
    ledger = Ledger(strict=options.faults == "raise")
    files = _nearest(path, files_of(path, (".txt", ".csv")))
    classes = _activities(path, files, ledger)
    parts = []
    lacking: list[str] = []
    for part in PARTS:
        needed = [f"{name}_{part}" for name in (*SIGNALS.values(), "y")]
        missing = [name for name in needed if name not in files]
        if missing:
            some = "all its files" if len(missing) == len(needed) else ", ".join(missing)
            ledger.say(f"The {part} part is left out, because {some} are missing")
            lacking += missing
        else:
            parts.append(_part(path, part, files, classes, ledger))
    if not parts:
        raise UserError(
            f"{path}: neither part of UCI HAR is whole: {', '.join(lacking)} are missing: unpack the whole set"
        )
    if not sum(len(columns["labels"]) for columns in parts):
        raise ledger.nothing_left(path)
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Windows(
        values=columns["values"],
        channels=tuple(SIGNALS),
        units=options.units_for(len(SIGNALS), UNITS),
        rate_hz=RATE_HZ,
        labels=columns["labels"],
        class_names=classes,
        subjects=columns["subjects"],
        recordings=columns["recordings"],
        start=columns["start"],
        stop=columns["start"] + LENGTH,
        ids=columns["ids"],
        split=columns["split"],
        name="uci-har",
        read_report=ledger.report(),
    )


def _nearest(path: Path, found: Mapping[str, Callable[[], bytes]]) -> _Files:
    """Return the files by their names without folder and suffix; of several, the one nearest to the signals."""
    signals = [PurePosixPath(name) for name in found if _SIGNAL.fullmatch(PurePosixPath(name).name)]
    if not signals:
        raise UserError(f"{path}: not the UCI HAR layout: it needs files like Inertial Signals/total_acc_x_test.txt")
    first = {part: min((file for file in signals if file.stem.endswith(part)), default=signals[0]) for part in PARTS}

    def distance(name: str) -> tuple[int, bool, int, str]:
        file = PurePosixPath(name)
        anchor = first["train" if file.stem.endswith("_train") else "test"]
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(file.parent.parts, anchor.parent.parts, strict=False))
        return -len(list(shared)), file.suffix != anchor.suffix, len(file.parts), name

    files: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for name in sorted(found, key=distance):
        files.setdefault(PurePosixPath(name).stem, (name, found[name]))
    return files


def _part(path: Path, part: str, files: _Files, classes: tuple[str, ...], ledger: Ledger) -> dict[str, np.ndarray]:
    stems = [f"{signal}_{part}" for signal in SIGNALS.values()] + [f"y_{part}"]
    knows_people = f"subject_{part}" in files
    if knows_people:
        stems.append(f"subject_{part}")
    else:
        ledger.say(f"The people of the {part} part are unknown: there is no subject_{part}")
    columns = [LENGTH] * len(SIGNALS) + [1] * (len(stems) - len(SIGNALS))
    contents = {files[stem][0]: (files[stem][1](), n) for stem, n in zip(stems, columns, strict=True)}
    separator = "," if files[stems[0]][0].endswith(".csv") else None
    rows, lines = rows_side_by_side(contents, path, ledger, separator=separator)
    codes = rows[len(SIGNALS)][:, 0]
    people = rows[-1][:, 0] if knows_people else np.zeros(len(lines))
    known = np.isin(codes, np.arange(1, len(classes) + 1))
    numbered = (people >= 0) & (people < _MOST_PEOPLE) & (people % 1 == 0)
    for name, kind, bad, values in (
        (files[f"y_{part}"][0], "unknown activity", ~known, codes),
        (files[stems[-1]][0], "no number of a person", known & ~numbered, people),
    ):
        ledger.reject(name, kind, lines[bad], f"{values[bad][0]:g}" if bad.any() else "")
    good = known & numbered
    values = np.stack([signal[good] for signal in rows[: len(SIGNALS)]], axis=1, dtype=np.float32, casting="same_kind")
    lines, codes, people = lines[good], codes[good].astype(np.int64), people[good].astype(np.int64)
    goes_on = np.zeros(len(lines), dtype=bool)
    goes_on[1:] = (values[:-1, :, STEP:] == values[1:, :, : LENGTH - STEP]).all(axis=(1, 2))
    goes_on[1:] &= (np.diff(lines) == 1) & (np.diff(people) == 0)
    run = np.cumsum(~goes_on)
    first = np.flatnonzero(~goes_on)
    ledger.say(
        f"{part}: {len(lines):,} windows in {len(first):,} uninterrupted runs: {int(goes_on.sum()):,} windows repeat half "
        "of the one before"
    )
    subjects = np.array([f"user{person:02d}" if knows_people else "" for person in people], dtype=str)
    return {
        "values": values,
        "labels": codes - 1,
        "subjects": subjects,
        "recordings": np.array([f"{part}-run{number:03d}" for number in run], dtype=str),
        "start": STEP * (np.arange(len(lines)) - first[run - 1]),
        "ids": np.array([f"{part}-{line:04d}" for line in lines], dtype=str),
        "split": np.full(len(lines), part),
    }


def _activities(path: Path, files: _Files, ledger: Ledger) -> tuple[str, ...]:
    if "activity_labels" not in files:
        ledger.say("There is no activity_labels.txt: the activities have their official names")
        return ACTIVITIES
    name, content = files["activity_labels"]
    rows = [line.split() for line in content().decode("utf-8", "replace").splitlines() if line.strip()]
    names = tuple(row[-1] for row in rows)
    numbers = [row[0] for row in rows if len(row) == 2]
    if not rows or len(set(names)) < len(names) or numbers not in ([], [str(k + 1) for k in range(len(rows))]):
        raise UserError(
            f"{path}: {name} is malformed: it must list the activities as '1 WALKING', '2 WALKING_UPSTAIRS', ..."
        )
    return names


def _accepts(path: Path) -> bool:
    if path.is_file() and not is_archive(path):
        return False
    try:
        return any(_SIGNAL.fullmatch(PurePosixPath(name).name) for name in names_of(path, (".txt", ".csv")))
    except (UserError, OSError):
        return False


READER = Reader(
    name="uci-har",
    summary="the UCI HAR set of windows as a folder, .zip or .tar",
    accepts=_accepts,
    read=read_uci_har,
    options=frozenset({"faults", "units"}),
)
