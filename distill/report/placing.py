"""Labels beside points without one lying on another."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import isotonic_regression

_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_RINGS = 12


def place_labels(
    points: np.ndarray,
    sizes: np.ndarray,
    *,
    within: tuple[float, float],
    gap: float = 6.0,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """Find a place for each label, near its point, where it covers no other label and no point.

    Labels are placed one after another, each at the first free of the places right, left, above, below and at the
    corners, on rings that grow; where none is free, at the nearest place inside that covers least.

    Parameters
    ----------
    points : ndarray, shape (label, 2)
        In pixels, y upwards.
    sizes : ndarray, shape (label, 2)
        Width and height of the labels in pixels.
    within : (float, float)
        Width and height that labels may not leave, from (0, 0).
    gap : float
        Between a point and its label, in pixels.
    taken : ndarray, shape (box, 4), optional
        Left, bottom, right, top of what may not be covered besides.

    Returns
    -------
    ndarray, shape (label, 2)
        Left and lower end of each label.

    Examples
    --------
    >>> place_labels(np.array([[10.0, 50.0], [12.0, 50.0]]), np.array([[30.0, 10.0]] * 2), within=(100, 100)).tolist()
    [[16.0, 45.0], [0.0, 56.0]]
    """
    half = gap / 2
    marks = np.concatenate([points - half, points + half], axis=1)
    boxes = marks if taken is None else np.concatenate([marks, taken])
    places = np.empty((len(points), 2))
    for i, (point, size) in enumerate(zip(points, sizes, strict=True)):
        best, least = point, np.inf
        for offset in _offsets(size, gap):
            low = np.clip(point + offset, 0, np.maximum(np.asarray(within) - size, 0))
            covered = _overlap(np.concatenate([low, low + size]), boxes)
            if covered < least:
                best, least = low, covered
            if covered == 0:
                break
        places[i] = best
        boxes = np.concatenate([boxes, [[*best, *(best + size)]]])
    return places


def spread_apart(places: np.ndarray, least: float, within: tuple[float, float]) -> np.ndarray:
    """Move ascending places so that neighbours are at least so far apart, and no more than is needed.

    Parameters
    ----------
    places : ndarray, shape (label,)
        Ascending.
    least : float
        Distance that neighbours must have.
    within : (float, float)
        What they may not leave, where there is room for all of them.

    Returns
    -------
    ndarray, shape (label,)
        The nearest such places in the sense of least squares.

    Examples
    --------
    >>> spread_apart(np.array([1.0, 5.0, 5.0]), 2.0, (0.0, 10.0)).tolist()
    [1.0, 4.0, 6.0]
    """
    steps = least * np.arange(len(places))
    low, high = within[0], within[1] - (steps[-1] if len(steps) else 0.0)
    # Less its step each place may stay where it is, but may not descend: isotonic regression.
    return np.clip(isotonic_regression(places - steps), low, max(low, high)) + steps


def _offsets(size: np.ndarray, gap: float) -> np.ndarray:
    """Return where a label's lower left end may lie from its point, nearest first: shape (ring * direction, 2)."""
    way = np.array(_DIRECTIONS, dtype=np.float64)
    steps = gap + np.arange(_RINGS)[:, None, None] * (gap + size[1]) * 0.75
    return (way * (size / 2 + steps) - size / 2).reshape(-1, 2)


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Return the area that a box (left, bottom, right, top) shares with others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.prod(np.maximum(sides, 0), axis=1).sum())
