"""Segments out of one activity number per sample, as PAMAP2 and MHEALTH write them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from tsimage.cutting import Recording, Segment


def segments_of(codes: np.ndarray, names: Mapping[int, str], breaks: np.ndarray) -> tuple[Segment, ...]:
    """Return the stretches of one activity; they end where the activity changes and at breaks.

    Parameters
    ----------
    codes : ndarray, shape (sample,)
        Activity number of each sample; those that have no name are unlabelled.
    names : mapping of int to str
        Of the activities.
    breaks : ndarray of int
        Samples that do not follow the one before them in time.

    Examples
    --------
    >>> for segment in segments_of(np.array([1, 1, 0, 1, 1, 2]), {1: "lie", 2: "sit"}, np.array([4])):
    ...     print(segment)
    Segment(start=0, stop=2, label='lie')
    Segment(start=3, stop=4, label='lie')
    Segment(start=4, stop=5, label='lie')
    Segment(start=5, stop=6, label='sit')
    """
    edges = np.union1d(np.flatnonzero(np.diff(codes)) + 1, breaks).astype(np.int64)
    bounds = pairwise([0, *edges.tolist(), len(codes)])
    return tuple(Segment(start=a, stop=b, label=names[int(codes[a])]) for a, b in bounds if int(codes[a]) in names)


def names_found(recordings: list[Recording], names: Mapping[int, str]) -> tuple[str, ...]:
    """Return the names of the activities that the recordings hold, in the order of their numbers."""
    held = {segment.label for recording in recordings for segment in recording.segments}
    return tuple(names[code] for code in sorted(names) if names[code] in held)
