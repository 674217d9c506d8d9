"""How much better a model looks under a split by window than under one by person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from distill.audit.planting import numbered
from distill.splits import Split, groups_of
from tsimage.windows import Windows

DRAWS = 5
"""Of people, and of windows."""
REDRAWS = 50
Accuracy = Callable[[np.ndarray, np.ndarray], float]
"""Of a model trained on windows, on others; both by position."""


@dataclass(frozen=True, kw_only=True)
class Inflation:
    """Accuracies of one model, 0 to 1, under splits of the same sizes.

    Parameters
    ----------
    model : str
    groups : {"subject", "recording"}
        What is kept apart.
    used : float
        Under the split in use; over folds, of all windows.
    apart : tuple of float
        Where groups are kept apart, for some draws of those evaluated.
    leaky : tuple of float
        Where as many windows are drawn at random, with the same shares of classes.
    evaluated : int
        Windows in the first draw.
    """

    model: str
    groups: str
    used: float
    apart: tuple[float, ...]
    leaky: tuple[float, ...]
    evaluated: int

    @property
    def points(self) -> float:
        """By how many points of accuracy the leaky split is ahead, in the mean."""
        return 100 * (float(np.mean(self.leaky)) - float(np.mean(self.apart)))

    @property
    def is_clear(self) -> bool:
        """Whether that is more than twice its standard error over the draws; never with fewer than three."""
        if len(self.apart) < 3:
            return False
        error = np.sqrt((np.var(self.apart, ddof=1) + np.var(self.leaky, ddof=1)) / len(self.apart))
        return abs(self.points) > 200 * float(error)


def inflation(
    windows: Windows, splits: Sequence[Split], accuracy: Accuracy, model: str, draws: int = DRAWS, seed: int = 0
) -> Inflation:
    """Measure one model under the split in use, with people kept apart, and with windows drawn at random.

    Each draw of people holds out whole subjects (recordings where subjects are unknown), about as many windows as the split
    in use, and a draw of windows has its sizes. People differ, so that one split may be lucky: only the means of the draws
    are to be compared.

    Parameters
    ----------
    windows : Windows
        See `why_no_inflation`.
    splits : sequence of Split
        In use.
    accuracy : callable
        Trains on the windows at the first positions and returns the accuracy at the second.
    model : str
        What it trains, in words.
    draws : int
    seed : int

    Returns
    -------
    Inflation
    """
    what, _ = groups_of(windows, np.arange(len(windows)))
    share = float(np.median([len(s.evaluation) / (len(s.train) + len(s.evaluation)) for s in splits]))
    apart, leaky, sizes = [], [], []
    for draw in range(draws):
        train, other = groups_held_out(windows, share, seed + draw)
        apart.append(accuracy(train, other))
        leaky.append(accuracy(*windows_held_out(windows.labels, len(other), seed + draw)))
        sizes.append(len(other))
    right = sum(accuracy(split.train, split.evaluation) * len(split.evaluation) for split in splits)
    return Inflation(
        model=model,
        groups=what,
        used=right / sum(len(split.evaluation) for split in splits),
        apart=tuple(apart),
        leaky=tuple(leaky),
        evaluated=sizes[0],
    )


def why_no_inflation(windows: Windows) -> str:
    """Return why nobody can be kept apart, empty where it is possible."""
    subjects, recordings = set(windows.subjects.tolist()), set(windows.recordings.tolist())
    if len(subjects) > 1 and "" not in subjects:
        return ""
    if "" in recordings:
        return "neither people nor recordings are known, so that nothing can be kept apart"
    if len(recordings) == len(windows):
        return "people are unknown and every recording holds one window, so that a split by window is all there is"
    return "" if len(recordings) > 1 else "there is one recording alone"


def groups_held_out(windows: Windows, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to train on and to evaluate on, with groups held out that are drawn: about `share` of the windows.

    A draw that leaves a class without training windows is drawn again where another may do better.
    """
    _, names = groups_of(windows, np.arange(len(windows)))
    sizes, groups = np.bincount(numbered(names)), numbered(names)
    rng, classes = np.random.default_rng(seed), len(np.unique(windows.labels))
    for _ in range(REDRAWS):
        order = rng.permutation(len(sizes))
        held_windows = np.cumsum(sizes[order])[:-1]
        n_held = int(np.abs(held_windows - share * len(windows)).argmin()) + 1
        held = np.isin(groups, order[:n_held])
        if len(np.unique(windows.labels[~held])) == classes:
            break
    return np.flatnonzero(~held), np.flatnonzero(held)


def windows_held_out(labels: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to train on and n to evaluate on, drawn window by window with the shares of the classes.

    Examples
    --------
    >>> train, other = windows_held_out(np.array([0] * 8 + [1] * 4), 3, seed=0)
    >>> len(train), np.array([0] * 8 + [1] * 4)[other].tolist()
    (9, [0, 0, 1])
    """
    rng = np.random.default_rng(seed)
    by_class = np.lexsort((rng.random(len(labels)), labels))
    held = by_class[((np.arange(n) + 0.5) * len(labels) / n).astype(np.int64)]  # evenly through classes
    return np.setdiff1d(np.arange(len(labels)), held), np.sort(held)
