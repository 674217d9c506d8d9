"""The compiled loops behind persistence images; importing this module brings numba.

They release the interpreter's lock and own no threads, so that callers may run blocks of series side by side.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_ROOT_HALF = math.sqrt(0.5)


@njit(nogil=True, cache=True, error_model="numpy")
def finite_pairs(series: np.ndarray, births: np.ndarray, deaths: np.ndarray) -> int:
    """Write the finite pairs of one series and return how many there are, at most (T - 1) // 2.

    A path joins components only at its local maxima, so one walk replaces the sort of union-find: the stack holds
    the basins still open on the left, each with its minimum and the maximum on its right, the maxima falling.
    A basin merges as soon as the maximum on its right is no lower than the one on its left; the elder minimum,
    the lower one, lives on.
    """
    room = series.size // 2 + 1
    lows, saddles = np.empty(room), np.empty(room)
    depth = found = 0
    low = previous = series[0]
    rising = False
    for t in range(1, series.size):
        value = series[t]
        if value > previous:
            rising = True
        elif value < previous:
            if rising:
                while depth > 0 and saddles[depth - 1] <= previous:
                    depth -= 1
                    births[found], deaths[found] = max(lows[depth], low), saddles[depth]
                    found += 1
                    low = min(lows[depth], low)
                lows[depth], saddles[depth] = low, previous
                depth += 1
            rising = False
            low = value
        previous = value
    while depth > 0:
        depth -= 1
        births[found], deaths[found] = max(lows[depth], low), saddles[depth]
        found += 1
        low = min(lows[depth], low)
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _masses(
    lower: np.ndarray, upper: np.ndarray, centre: float, spread: float, reach: float, masses: np.ndarray
) -> tuple[int, int]:
    """Write the mass of a Gaussian in each interval that it reaches; return the first interval and the one past the last."""
    first = 0
    while first < lower.size and upper[first] < centre - reach:
        first += 1
    stop = first
    edge, below = math.inf, 0.0
    while stop < lower.size and lower[stop] <= centre + reach:
        if lower[stop] != edge:
            below = 0.5 * math.erfc((centre - lower[stop]) / spread * _ROOT_HALF)
        edge = upper[stop]
        above = 0.5 * math.erfc((centre - edge) / spread * _ROOT_HALF)
        masses[stop] = above - below
        below = above
        stop += 1
    return first, stop


@njit(nogil=True, cache=True, error_model="numpy")
def paint(
    series: np.ndarray,
    columns: np.ndarray,
    rows: np.ndarray,
    spread: float,
    reach: float,
    keep: float,
    out: np.ndarray,
) -> None:
    """Paint the series (n, T) into out (n, S, S).

    `columns` and `rows`, each (2, S), are the lower and upper ends of the pixels' births and persistences, rising;
    out has the greatest persistence in row 0. A Gaussian ends `reach` from its centre.
    """
    size = columns.shape[1]
    room = series.shape[1] // 2 + 1
    births, deaths = np.empty(room), np.empty(room)
    across, up = np.empty(size), np.empty(size)
    surface = np.empty((size, size))
    for i in range(series.shape[0]):
        surface[:] = 0
        for pair in range(finite_pairs(series[i], births, deaths)):
            # The weight is persistence / maximum; the maximum cancels when the image is divided by its own.
            persistence = deaths[pair] - births[pair]
            if not persistence > keep:
                continue
            left, right = _masses(columns[0], columns[1], births[pair], spread, reach, across)
            bottom, top = _masses(rows[0], rows[1], persistence, spread, reach, up)
            for row in range(bottom, top):
                weight = persistence * up[row]
                for column in range(left, right):
                    surface[size - 1 - row, column] += weight * across[column]
        peak = surface.max()
        scale = peak if peak > 0 else 1.0
        for row in range(size):
            for column in range(size):
                out[i, row, column] = surface[row, column] / scale
