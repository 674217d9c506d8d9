"""What the parts of a split have in common, counted and in plain words; a split that leaks is reported and not refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distill.certificate import absent_classes
from distill.splits import Split
from tsimage.windows import Windows

FEW = 0.2
"""A person with less than this share of the median number of windows has few."""
NAMED = 5
"""People listed by name."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """What training and evaluation have in common; over folds, what they have in any of them.

    Parameters
    ----------
    windows : int
        Evaluated; over folds, in all; 0 where the windows cannot be split.
    subjects, recordings : tuple of str or None
        In both parts; None where one of a window is unknown.
    same_samples : int or None
        Windows evaluated that hold a raw sample of a training window; None where recordings are unknown.
    example : tuple of str
        The ids of one such window and of a training window that it overlaps; empty if there is none.
    duplicates : int
        Windows evaluated whose values are those of a training window, to the bit.
    contradictory_duplicates : int
        Windows that have the values of a window of another class, in whatever part.
    evaluated_subjects : int
        People evaluated, where they are known.
    classes_of_one : dict of str to str
        Classes that one person alone has, and who.
    absent : tuple of str
        Classes that nobody is evaluated on.
    few : dict of str to int
        People with few windows, and how many.
    unknown_units : tuple of str
        Channels without a unit.
    """

    windows: int
    subjects: tuple[str, ...] | None
    recordings: tuple[str, ...] | None
    same_samples: int | None
    example: tuple[str, ...]
    duplicates: int
    contradictory_duplicates: int
    evaluated_subjects: int
    classes_of_one: dict[str, str]
    absent: tuple[str, ...]
    few: dict[str, int]
    unknown_units: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether a person, a recording, a raw sample or a whole window is in both parts."""
        return bool(self.subjects or self.recordings or self.same_samples or self.duplicates)

    def sentences(self) -> list[str]:
        """Say it in plain words, a fact in each sentence."""
        said = self._in_both() if self.windows else []
        if self.contradictory_duplicates:
            said.append(
                f"{self.contradictory_duplicates:,} windows are copies of a window of another class: one label is wrong."
            )
        if self.evaluated_subjects == 1:
            said.append("One person alone is evaluated, so that the number tells of this person.")
        said += [
            f"Class {name} is of one person alone ({who}): a model may learn the person for the class."
            for name, who in self.classes_of_one.items()
        ]
        if self.absent:
            said.append(f"Nobody is evaluated on class {', '.join(self.absent)}: nothing is said about it.")
        if self.few:
            named = _listed([f"{who} ({n:,})" for who, n in self.few.items()])
            said.append(f"Few windows, and so a shaky number of their own, have {named}.")
        if self.unknown_units:
            said.append(f"The unit of {', '.join(self.unknown_units)} is unknown (option units).")
        return said

    def _in_both(self) -> list[str]:
        said = [
            _in_both("person", "people", self.subjects, "the same person may be in both parts"),
            _in_both("recording", "recordings", self.recordings, "so raw samples cannot be compared"),
        ]
        if self.same_samples:
            said.append(
                f"{self.same_samples:,} of {self.windows:,} windows to evaluate hold raw samples that are trained on "
                f"(as '{self.example[0]}' does, with '{self.example[1]}')."
            )
        elif self.same_samples == 0:
            said.append("No raw sample is in both parts.")
        copies = f"{self.duplicates:,} of {self.windows:,} windows to evaluate are copies of a training window, to the last bit."
        return [*said, copies if self.duplicates else "No window to evaluate is a copy of a training window."]


def sharing(windows: Windows, splits: Sequence[Split]) -> Sharing:
    """Compare the parts of one split, or of all folds.

    Parameters
    ----------
    windows : Windows
    splits : sequence of Split
        None, where the windows cannot be split: then only what needs no split is found.
    """
    contents, evaluated = contents_of(windows), [split.evaluation for split in splits]
    index = np.concatenate([*evaluated, np.empty(0, dtype=np.int64)])
    same, copies = 0, 0
    example: tuple[str, ...] = ()
    recordings_known = bool((windows.recordings != "").all())
    for split in splits:
        learnt = split.train if split.stopping is None else np.concatenate([split.train, split.stopping])
        copies += int(np.isin(contents[split.evaluation], contents[learnt]).sum())
        if recordings_known:
            found = overlapped(windows, learnt, split.evaluation)
            same += int((found >= 0).sum())
            if not example and (found >= 0).any():
                first = int(np.argmax(found >= 0))
                example = (str(windows.ids[split.evaluation[first]]), str(windows.ids[found[first]]))
    return Sharing(
        windows=len(index),
        subjects=_both(windows.subjects, splits),
        recordings=_both(windows.recordings, splits),
        same_samples=same if recordings_known else None,
        example=example,
        duplicates=copies,
        contradictory_duplicates=_contradictory(contents, windows.labels),
        evaluated_subjects=len(set(windows.subjects[index].tolist()) - {""}),
        classes_of_one=_classes_of_one(windows),
        absent=tuple(absent_classes(windows, index)) if splits else (),
        few=_few(windows),
        unknown_units=tuple(c for c, unit in zip(windows.channels, windows.units, strict=True) if not unit),
    )


def overlapped(windows: Windows, train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return, for each of the other windows, a training window that holds a raw sample of it, -1 where none does.

    Parameters
    ----------
    windows : Windows
        Of known recordings.
    train, other : ndarray of int64
        Positions.

    Returns
    -------
    ndarray of int64, shape (other window,)
        Positions in the windows.
    """
    found = np.full(len(other), -1)
    learnt, asked = windows.recordings[train], windows.recordings[other]
    for recording in np.intersect1d(learnt, asked):
        mine, rows = train[learnt == recording], np.flatnonzero(asked == recording)
        mine = mine[np.argsort(windows.start[mine], kind="stable")]
        latest = _places_of_maxima(windows.stop[mine])
        before = np.searchsorted(windows.start[mine], windows.stop[other[rows]]) - 1  # the last that starts in time
        reaching = mine[latest[np.maximum(before, 0)]]  # of all those, the one that ends last
        found[rows] = np.where(
            (before >= 0) & (windows.stop[reaching] > windows.start[other[rows]]), reaching, found[rows]
        )
    return found


def contents_of(windows: Windows) -> np.ndarray:
    """Return a digest of the values of each window, bytes of shape (window,); -0 counts as 0."""
    digests = (
        hashlib.blake2b((window + np.float32(0)).tobytes(), digest_size=16).digest() for window in windows.values
    )
    return np.array([digest.hex() for digest in digests], dtype="U32")


def _places_of_maxima(values: np.ndarray) -> np.ndarray:
    """Return, for each place, that of the largest value up to it."""
    risen = values >= np.maximum.accumulate(values)
    return np.maximum.accumulate(np.where(risen, np.arange(len(values)), 0))


def _both(names: np.ndarray, splits: Sequence[Split]) -> tuple[str, ...] | None:
    if (names == "").any():
        return None
    found: set[str] = set()
    for split in splits:
        learnt = split.train if split.stopping is None else np.concatenate([split.train, split.stopping])
        found |= set(np.intersect1d(names[learnt], names[split.evaluation]).tolist())
    return tuple(sorted(found))


def _contradictory(contents: np.ndarray, labels: np.ndarray) -> int:
    codes = np.unique(contents, return_inverse=True)[1]
    least, most = np.full(codes.max() + 1, labels.max() + 1), np.full(codes.max() + 1, -1)
    np.minimum.at(least, codes, labels)
    np.maximum.at(most, codes, labels)
    return int((least != most)[codes].sum())


def _classes_of_one(windows: Windows) -> dict[str, str]:
    if (windows.subjects == "").any() or len(np.unique(windows.subjects)) < 2:
        return {}
    owners = {name: np.unique(windows.subjects[windows.labels == c]) for c, name in enumerate(windows.class_names)}
    return {name: str(who[0]) for name, who in owners.items() if len(who) == 1}


def _few(windows: Windows) -> dict[str, int]:
    names, counts = np.unique(windows.subjects[windows.subjects != ""], return_counts=True)
    if not len(names):
        return {}
    scarce = counts < FEW * np.median(counts)
    return {str(who): int(n) for who, n in sorted(zip(names[scarce], counts[scarce], strict=True), key=lambda p: p[1])}


def _in_both(one: str, many: str, names: tuple[str, ...] | None, unknown: str) -> str:
    if names is None:
        return f"The {many} are not known of every window: {unknown}."
    if not names:
        return f"No {one} is in both parts."
    counted = f"1 {one} is" if len(names) == 1 else f"{len(names):,} {many} are"
    return f"{counted} in both parts: {_listed(names)}."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
