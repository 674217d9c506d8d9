"""The certificate of a split: who and what is in each part, with nothing in both."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from distill.splits import Split
from tsimage.errors import UserError
from tsimage.windows import Windows


def absent_classes(windows: Windows, evaluated: np.ndarray) -> list[str]:
    """Return the classes without a window among those evaluated, by position: nothing is learnt about them."""
    counts = np.bincount(windows.labels[evaluated], minlength=len(windows.class_names))
    return [name for name, count in zip(windows.class_names, counts, strict=True) if not count]


def certificate(windows: Windows, split: Split) -> dict[str, Any]:
    """Certify a split: who and what is in each part, with a hash of the window ids, and no raw sample in both.

    Raises
    ------
    UserError
        If a raw sample of a recording lies in both parts.
    """
    parts: dict[str, Any] = {}
    stopping = [] if split.stopping is None else [("stopping", split.stopping)]
    for name, index in (("train", split.train), *stopping, (split.part, split.evaluation)):
        counts = np.bincount(windows.labels[index], minlength=len(windows.class_names)).tolist()
        parts[name] = {
            "windows": len(index),
            "windows_by_class": dict(zip(windows.class_names, counts, strict=True)),
            "subjects": sorted(set(windows.subjects[index].tolist()) - {""}),
            "recordings": len(set(windows.recordings[index].tolist()) - {""}),
            "ids_sha256": ids_hash(windows.ids[index]),
        }
    learnt_from = {who for name in parts if name != split.part for who in parts[name]["subjects"]}
    shared = sorted(learnt_from & set(parts[split.part]["subjects"]))
    recordings_known = (windows.recordings != "").all()
    if recordings_known:
        _check_raw_samples(windows, split)
    return {
        "basis": split.basis,
        "subjects_in_both": shared if (windows.subjects != "").all() else "unknown",
        "raw_samples_in_both": 0 if recordings_known else "unknown",
        "parts": parts,
    }


def _check_raw_samples(windows: Windows, split: Split) -> None:
    learnt = split.train if split.stopping is None else np.concatenate([split.train, split.stopping])
    for recording in np.intersect1d(windows.recordings[learnt], windows.recordings[split.evaluation]):
        train = learnt[windows.recordings[learnt] == recording]
        other = split.evaluation[windows.recordings[split.evaluation] == recording]
        overlap = (windows.start[train][:, None] < windows.stop[other]) & (
            windows.start[other] < windows.stop[train][:, None]
        )
        if overlap.any():
            i, j = np.argwhere(overlap)[0]
            mend = "split by subject or recording, not by window"
            if windows.subjects[train[i]] != windows.subjects[other[j]]:
                mend = "as they are of two people, give the recordings of each names of their own"
            raise UserError(
                f"{windows.name}: windows '{windows.ids[train[i]]}' (train) and '{windows.ids[other[j]]}' ({split.part}) "
                f"hold the same raw samples of recording '{recording}': {mend}"
            )


def ids_hash(ids: np.ndarray) -> str:
    """Return the sha256 of window ids in their order."""
    return hashlib.sha256("\n".join(ids.tolist()).encode()).hexdigest()
