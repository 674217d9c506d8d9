"""Leak canaries: signals that a model can learn through a leak alone, laid into the structure of a user's own windows.

A canary keeps who and what the windows are (people, recordings, places, parts) and replaces their values. Each group of
windows that a leak would connect has a label of its own, thrown like a coin. Under a split that keeps groups whole
nothing tells the label, and a model that remembers its training windows is right half of the time; under a split
that does not, it is right. So a canary that is quiet under the split in use, and loud under a leaky split of the same
windows, shows that this way of leaking is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from distill.audit.chance import ALARM, chance_bound
from distill.audit.planting import (
    SAMPLES,
    chains,
    doubled,
    laid_noise,
    most_alike,
    numbered,
    sharing_samples,
    signatures,
    with_values,
)
from distill.config import Part
from distill.splits import Split, cross_validation, split_windows
from tsimage.imager import Imager
from tsimage.windows import Windows

LOUD = 0.95
"""A canary works if it is heard in so large a share of the windows of a leaky split."""
DRAWS = 400
"""Times that labels are thrown, shared out among folds."""
MIN_DRAWS = 20
"""In every fold."""
MIN_GROUPS = 4
"""Of two or more windows; of fewer, the more frequent label alone is right too often."""
BINS = "mtf(bins=8,strategy=uniform,fit=train)"
"""A Markov transition field with bins that are learnt from training windows."""
PAINTED = 200
"""Windows that are painted for each fold to be evaluated, and at most to be trained on."""

Voice = Literal["quiet", "loud", "mute", "does not apply"]
Nearest = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """How a model that remembers its training windows did.

    Parameters
    ----------
    accuracy : float
        Share of windows, 0 to 1; 0.5 is chance.
    bound : float
        Guessing is as often right with at most this probability; see `distill.audit.chance.chance_bound`.
    """

    accuracy: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One canary and what was heard of it.

    Parameters
    ----------
    name : str
        The leak.
    groups : int
        That have a label each.
    used, leaky : Heard or None
        Under the split in use, and under one that leaks on purpose; None where the canary does not apply.
    why_not : str
        Why it does not apply.
    """

    name: str
    groups: int = 0
    used: Heard | None = None
    leaky: Heard | None = None
    why_not: str = ""

    @property
    def voice(self) -> Voice:
        """`loud` tells of a leak, `quiet` of none; `mute` was not heard even under a leaky split and says nothing."""
        if self.used is None or self.leaky is None:
            return "does not apply"
        if self.used.bound < ALARM:
            return "loud"
        return "quiet" if self.leaky.accuracy >= LOUD else "mute"


def splits_in_use(windows: Windows, folds: str = "", part: Part = "test") -> tuple[Split, ...]:
    """Return the splits that `distill run` makes of the windows: one, or as many as folds are asked for.

    Raises
    ------
    UserError
        As `distill.splits.split_windows` and `cross_validation`.
    """
    return cross_validation(windows, folds, part) if folds else (split_windows(windows, part),)


def canaries(windows: Windows, folds: str = "", part: Part = "test", seed: int = 0) -> tuple[Canary, ...]:
    """Lay the five canaries into the structure of windows and listen under the split in use.

    Parameters
    ----------
    windows : Windows
        Only their people, recordings, places, labels and parts are looked at, and no value.
    folds, part : str
        The split in use, as `folds` and `evaluate` of `distill.Run`.
    seed : int

    Returns
    -------
    tuple of Canary
        Same subject, same recording, overlapping windows, scaling on all data, duplicates before the split.

    Raises
    ------
    UserError
        If the windows cannot be split.
    """
    rng = np.random.default_rng(seed)
    bare = with_values(windows, np.zeros((len(windows), 1), dtype=np.float32))
    splits = splits_in_use(bare, folds, part)
    made = []
    for name, columns, why_not in (
        ("same subject", bare.subjects, _why_not_subjects(bare)),
        ("same recording", bare.recordings, _why_not_recordings(bare)),
    ):
        if why_not:
            made.append(Canary(name=name, why_not=why_not))
        else:
            groups = numbered(columns)
            made.append(_listen(name, bare, splits, groups, signatures(groups, rng), most_alike, rng))
    why_not = _why_not_overlap(bare)
    if why_not:
        made.append(Canary(name="overlapping windows", why_not=why_not))
    else:
        noise = laid_noise(bare, rng)
        made.append(_listen("overlapping windows", bare, splits, chains(bare), noise, sharing_samples, rng))
    made.append(_scaling(splits, rng))
    pairs = np.tile(np.arange(len(bare)), 2)
    twice = doubled(bare)
    single = signatures(pairs, rng, noise=0.0)
    again = splits_in_use(twice, folds, part)
    made.append(_listen("duplicates before the split", twice, again, pairs, single, most_alike, rng))
    return tuple(made)


def every_other(groups: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split so that everything leaks: hold out every other window of each group, in order of time.

    Parameters
    ----------
    groups, start : ndarray of int64, shape (window,)

    Returns
    -------
    tuple of ndarray of int64
        To train on, to evaluate on. A group of one window is only trained on.

    Examples
    --------
    >>> [part.tolist() for part in every_other(np.array([0, 0, 0, 1]), np.array([20, 0, 10, 0]))]
    [[0, 1, 3], [2]]
    """
    order = np.lexsort((start, groups))
    first = np.searchsorted(groups[order], groups[order])
    odd = (np.arange(len(order)) - first) % 2 == 1
    return np.sort(order[~odd]), np.sort(order[odd])


def _listen(
    name: str,
    windows: Windows,
    splits: Sequence[Split],
    groups: np.ndarray,
    values: np.ndarray,
    nearest: Nearest,
    rng: np.random.Generator,
) -> Canary:
    def heard(parts: list[tuple[np.ndarray, np.ndarray]]) -> Heard:
        draws = max(MIN_DRAWS, DRAWS // len(parts))
        margins = [_margins(train, other, groups, values, nearest, draws, rng) for train, other in parts]
        return _heard(np.concatenate(margins), draws * sum(len(other) for _, other in parts))

    return Canary(
        name=name,
        groups=int(groups.max()) + 1,
        used=heard([(split.train, split.evaluation) for split in splits]),
        leaky=heard([every_other(groups, windows.start)]),
    )


def _heard(margins: np.ndarray, answers: int) -> Heard:
    return Heard(accuracy=(1 + float(margins.sum()) / answers) / 2, bound=chance_bound(margins))


def _margins(
    train: np.ndarray,
    other: np.ndarray,
    groups: np.ndarray,
    values: np.ndarray,
    nearest: Nearest,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return right minus wrong windows by draw and group, (draw, group), for labels thrown anew in every draw.

    Labels are thrown anew for every fold too: within one draw, two people held out in turn would decide about each other.
    """
    found = nearest(values[train], values[other])
    mine, theirs = groups[other], groups[train][found]
    margins = np.zeros((draws, int(groups.max()) + 1))
    for draw in range(draws):
        coins = rng.integers(2, size=margins.shape[1])
        said = np.where(found >= 0, coins[theirs], rng.integers(2, size=len(other)))  # who knows nothing guesses
        right = 2.0 * (said == coins[mine]) - 1
        margins[draw] = np.bincount(mine, right, minlength=margins.shape[1])
    return margins


def _scaling(splits: Sequence[Split], rng: np.random.Generator) -> Canary:
    """Listen for bins of a Markov transition field that saw the windows they are evaluated on.

    The class is which half of a window is busy. Windows of the evaluation part lie above all of the training part, so that
    bins that were fitted to training windows put them all into the highest bin, where their images are the same.
    """
    used: list[np.ndarray] = []
    leaky: list[np.ndarray] = []
    for split in splits:
        sizes = (min(len(split.train), PAINTED), PAINTED)
        coins = [rng.integers(2, size=size) for size in sizes]
        train, other = halves(coins[0], rng), halves(coins[1], rng) + np.float32(1.2)
        for margins, learnt in ((used, train), (leaky, np.concatenate([train, other]))):
            imager = Imager(stack=BINS, size=8).fit(learnt)
            seen, asked = (imager(values, units=("",)).reshape(len(values), -1) for values in (train, other))
            margins.append(2.0 * (coins[0][most_alike(seen, asked)] == coins[1]) - 1)
    heard = [_heard(np.concatenate(margins), sum(map(len, margins))) for margins in (used, leaky)]
    return Canary(name="scaling on all data", groups=sum(map(len, used)), used=heard[0], leaky=heard[1])


def halves(busy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make windows of which one half rests at 0 and the other goes to and fro between 0.4 and 0.8.

    Parameters
    ----------
    busy : ndarray of int64, shape (window,)
        The half that moves, 0 or 1.
    rng : Generator

    Returns
    -------
    ndarray of float32, shape (window, 1, 32)
    """
    rest, moving = np.zeros(SAMPLES // 2), np.tile([0.4, 0.8], SAMPLES // 4)
    shapes = np.array([[*moving, *rest], [*rest, *moving]])
    values = shapes[busy] + rng.uniform(-0.02, 0.02, size=(len(busy), SAMPLES))
    return values.astype(np.float32)[:, None]


def _why_not_subjects(windows: Windows) -> str:
    unknown = int((windows.subjects == "").sum())
    if unknown:
        return f"the person is unknown for {unknown:,} of {len(windows):,} windows"
    return _too_few("people", numbered(windows.subjects))


def _why_not_recordings(windows: Windows) -> str:
    unknown = int((windows.recordings == "").sum())
    if unknown:
        return f"the recording is unknown for {unknown:,} of {len(windows):,} windows"
    groups = numbered(windows.recordings)
    if len(windows) == groups.max() + 1:
        return "every recording holds one window"
    pairs = len(set(zip(groups.tolist(), windows.subjects.tolist(), strict=True)))
    if pairs == groups.max() + 1 == len(np.unique(windows.subjects)) and (windows.subjects != "").all():
        return "every person has one recording, so this is the canary of the same subject"
    return _too_few("recordings", groups)


def _why_not_overlap(windows: Windows) -> str:
    if (windows.recordings == "").any():
        return "recordings are unknown, and with them which windows overlap"
    groups = chains(windows)
    return (
        "no windows overlap" if len(windows) == groups.max() + 1 else _too_few("chains of windows that overlap", groups)
    )


def _too_few(what: str, groups: np.ndarray) -> str:
    several = int((np.bincount(groups) > 1).sum())
    return (
        "" if several >= MIN_GROUPS else f"{several} {what} with two or more windows are too few: it takes {MIN_GROUPS}"
    )
