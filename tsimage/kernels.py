"""The compiled CPU loops behind the fields: numba, cached on disk, writing straight into the caller's output.

Averages, ranges and angles are float64 on the few samples of a series; images are computed in the type of `work` and
written once, as floats or as whole numbers `value * scale + offset`, cut off (so `offset` holds the half that rounds). Every loop releases the interpreter's lock and
owns no threads: `tsimage.painting` runs blocks of windows side by side, which neither a fork nor another thread pool
disturbs. `x` is (window, channel, time) and `out` (window, image channel, S, S), both C-contiguous; a field fills
the image channels from `first` on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

_LOOP: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
UNROLLED = 8


def _put(out: Any, row: Any, scale: Any, offset: Any) -> None:
    """Write a row of pixels; the compiled form depends on the type of `out`."""


@overload(_put, inline="always")
def _put_as(out: Any, row: Any, scale: Any, offset: Any) -> Any:
    if isinstance(out.dtype, types.Float):

        def floats(out: Any, row: Any, scale: Any, offset: Any) -> None:
            for j in range(row.size):
                out[j] = row[j]

        return floats

    zero, top = np.float32(0), np.float32(255.5 if out.dtype.bitwidth == 8 else 65535.5)

    def codes(out: Any, row: Any, scale: Any, offset: Any) -> None:
        for j in range(row.size):
            out[j] = np.int32(min(max(row[j] * scale + offset, zero), top))

    return codes


@njit(**_LOOP)
def _angles(
    x: Any, bounds: Any, low: float, high: float, fixed: bool, scale_first: bool, lo: float, hi: float, c: Any, s: Any
) -> None:
    """Fill cosine and sine of the angles of one series; `tsimage.fields.gramian._polar` says it readably."""
    length, size = x.size, bounds.shape[0]
    least, most, largest = np.inf, -np.inf, 0.0
    for j in range(size):
        total = 0.0
        for t in range(bounds[j, 0], bounds[j, 1]):
            value = x[t] + 0.0  # float64, whatever the type of x
            if fixed and scale_first:
                value = min(max(value, low), high)
            total += value
        mean = total / (bounds[j, 1] - bounds[j, 0])
        c[j] = mean
        least, most = min(least, mean), max(most, mean)
    constant = False
    if not fixed:
        if scale_first:
            least, most = np.inf, -np.inf
            for t in range(length):
                least, most = min(least, np.float64(x[t])), max(most, np.float64(x[t]))
        for t in range(length):
            largest = max(largest, abs(np.float64(x[t])))
        low, high = least, most
        rounding = max(10.0, max(10, length // size) * largest)
        constant = high - low <= 2.220446049250313e-16 * rounding
    span = 1.0 if constant else high - low
    for j in range(size):
        value = min(max(c[j], low), high)
        above = 0.0 if constant else (value - low) / span
        below = 1.0 if constant else (high - value) / span
        p, q = (1 + lo) + (hi - lo) * above, (1 - hi) + (hi - lo) * below
        c[j], s[j] = (p - q) / 2, np.sqrt(max(p * q, 0.0))


@njit(**_LOOP)
def gramian(
    x: Any,
    bounds: Any,
    limits: Any,
    fixed: bool,
    scale_first: bool,
    lo: float,
    hi: float,
    difference: bool,
    out: Any,
    first: int,
    scale: Any,
    offset: Any,
    work: Any,
) -> None:
    """Paint Gramian angular summation or difference fields; `limits` (channel, 2) counts where `fixed`."""
    size = bounds.shape[0]
    c64, s64 = np.empty(size), np.empty(size)
    c, s, row = np.empty(size, work.dtype), np.empty(size, work.dtype), np.empty(size, work.dtype)
    for window in range(x.shape[0]):
        for channel in range(x.shape[1]):
            low, high = limits[channel, 0], limits[channel, 1]
            _angles(x[window, channel], bounds, low, high, fixed, scale_first, lo, hi, c64, s64)
            for j in range(size):
                c[j], s[j] = c64[j], s64[j]
            image = out[window, first + channel]
            for i in range(size):
                ci, si = c[i], s[i]
                if difference:
                    for j in range(size):
                        row[j] = si * c[j] - ci * s[j]
                else:
                    for j in range(size):
                        row[j] = ci * c[j] - si * s[j]
                _put(image[i], row, scale, offset)


@njit(inline="always", error_model="numpy")
def _dot(a: Any, i: int, p: Any, j: int, k: int) -> Any:
    """Sum a[k + n, i] * p[k + n, j] over n in 0..UNROLLED-1, written out so that the loop over j is one of vectors."""
    return (
        (a[k, i] * p[k, j] + a[k + 1, i] * p[k + 1, j]) + (a[k + 2, i] * p[k + 2, j] + a[k + 3, i] * p[k + 3, j])
    ) + (
        (a[k + 4, i] * p[k + 4, j] + a[k + 5, i] * p[k + 5, j])
        + (a[k + 6, i] * p[k + 6, j] + a[k + 7, i] * p[k + 7, j])
    )


@njit(fastmath={"contract"}, **_LOOP)
def markov(
    x: Any,
    edges: Any,
    transitions: Any,
    fitted: bool,
    bounds: Any,
    out: Any,
    first: int,
    scale: Any,
    offset: Any,
    work: Any,
) -> None:
    """Paint Markov transition fields, P W P^T.

    `edges` is (window, channel, Q - 1) in the type of `x`, rounded down; `transitions` (channel, Q, Q) counts where
    `fitted`. Products run over Q in steps of UNROLLED, zeros filling the last step.
    """
    length, size, bins = x.shape[2], bounds.shape[0], edges.shape[2] + 1
    padded = -(-bins // UNROLLED) * UNROLLED
    binned = np.empty(length, np.int32)
    counts = np.empty((4, bins, bins), np.int32)
    members = np.empty((size, bins), np.int32)
    w = np.zeros((padded, padded), work.dtype)
    share = np.zeros((padded, size), work.dtype)
    left = np.zeros((padded, size), work.dtype)
    row = np.empty(size, work.dtype)
    one = work.dtype.type(1)
    for window in range(x.shape[0]):
        for channel in range(x.shape[1]):
            series = x[window, channel]
            binned[:] = 0
            for e in range(bins - 1):
                edge = edges[window, channel, e]
                if edge < np.inf:
                    for t in range(length):
                        binned[t] += np.int32(series[t] > edge)
            members[:] = 0
            for i in range(size):
                for t in range(bounds[i, 0], bounds[i, 1]):
                    members[i, binned[t]] += 1
            for i in range(size):
                each = one / (bounds[i, 1] - bounds[i, 0])
                for q in range(bins):
                    share[q, i] = members[i, q] * each
            if fitted:
                for a in range(bins):
                    for b in range(bins):
                        w[a, b] = transitions[channel, a, b]
            else:
                # Four tables in turn: the same cell twice running would wait for its own store.
                counts[:] = 0
                for t in range(0, length - 4, 4):
                    counts[0, binned[t], binned[t + 1]] += 1
                    counts[1, binned[t + 1], binned[t + 2]] += 1
                    counts[2, binned[t + 2], binned[t + 3]] += 1
                    counts[3, binned[t + 3], binned[t + 4]] += 1
                for t in range((length - 1) // 4 * 4, length - 1):
                    counts[0, binned[t], binned[t + 1]] += 1
                for a in range(bins):
                    total = 0
                    for b in range(bins):
                        counts[0, a, b] += counts[1, a, b] + counts[2, a, b] + counts[3, a, b]
                        total += counts[0, a, b]
                    for b in range(bins):
                        w[a, b] = one * counts[0, a, b] / max(total, 1)
            for b in range(bins):
                left[b] = 0
                for k in range(0, padded, UNROLLED):
                    for j in range(size):
                        left[b, j] += _dot(w, b, share, j, k)
            image = out[window, first + channel]
            for i in range(size):
                for j in range(size):
                    row[j] = _dot(left, i, share, j, 0)
                for k in range(UNROLLED, padded, UNROLLED):
                    for j in range(size):
                        row[j] += _dot(left, i, share, j, k)
                _put(image[i], row, scale, offset)
