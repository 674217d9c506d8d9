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

from tsimage.vectors import add, divide, load, multiply, store, totals

_LOOP: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
UNROLLED = 8


def _pixel(image: Any, value: Any, scale: Any, offset: Any) -> Any:
    """Turn a value into what `image` holds; the compiled form depends on its type."""


@overload(_pixel, inline="always")
def _pixel_as(image: Any, value: Any, scale: Any, offset: Any) -> Any:
    if isinstance(image.dtype, types.Float):

        def as_it_is(image: Any, value: Any, scale: Any, offset: Any) -> Any:
            return value

        return as_it_is

    zero, top = np.float32(0), np.float32(255.5 if image.dtype.bitwidth == 8 else 65535.5)

    def code(image: Any, value: Any, scale: Any, offset: Any) -> Any:
        return np.int32(min(max(value * scale + offset, zero), top))

    return code


@njit(fastmath={"reassoc"}, **_LOOP)
def is_finite(x: Any) -> bool:
    """Tell whether all values (window, channel, time) are finite: 0 times anything else is NaN."""
    for window in range(x.shape[0]):
        total = x[0, 0, 0] * 0
        for channel in range(x.shape[1]):
            for t in range(x.shape[2]):
                total += x[window, channel, t] * 0
        if total != 0:  # NaN is not
            return False
    return True


@njit(**_LOOP)
def quantile_edges(ordered: Any, left: Any, fraction: Any, merge_below: float, edges: Any) -> None:
    """Fill the edges (window, channel, Q - 1) of sorted samples; `tsimage.fields.markov.quantile_edges` says it readably.

    An edge is rounded down to the type of `edges`, that of the samples: x > edge in float64 is x > the float at or below.
    """
    merged = edges.dtype.type(np.inf)
    for window in range(ordered.shape[0]):
        for channel in range(ordered.shape[1]):
            series = ordered[window, channel]
            before = 0.0
            for e in range(left.size):
                a = series[left[e]] + 0.0
                b = series[min(left[e] + 1, series.size - 1)] + 0.0
                edge = a + (b - a) * fraction[e] if fraction[e] < 0.5 else b - (b - a) * (1 - fraction[e])
                if e > 0 and not edge - before > merge_below:
                    edges[window, channel, e - 1] = merged
                before = edge
                edges[window, channel, e] = edge
                if edges[window, channel, e] > edge:
                    edges[window, channel, e] = np.nextafter(edges[window, channel, e], -merged)


@njit(fastmath={"reassoc"}, **_LOOP)
def _magnitude(x: Any) -> float:
    """Sum the absolute values of a series: infinite or NaN if one is, or if they are too large to add."""
    total = x[0] * 0
    for t in range(x.size):
        total += abs(x[t])
    return total + 0.0


@njit(fastmath={"nnan", "nsz"}, **_LOOP)
def _to_angles(c: Any, s: Any, low: float, high: float, lo: float, hi: float) -> None:
    """Turn means into cosine and sine of their angles, many at a time: no value is NaN here."""
    width = (hi - lo) / (high - low)
    for j in range(c.size):
        value = max(low, min(high, c[j]))
        p, q = (1 + lo) + width * (value - low), (1 - hi) + width * (high - value)
        c[j], s[j] = (p - q) / 2, np.sqrt(p * q)


@njit(**_LOOP)
def _steps(bounds: Any, length: int) -> tuple[int, int, Any, Any]:
    """Return how `_means` walks the segments, of which each has as many samples as the shortest or one more.

    That is how many samples of the shortest are whole steps of four, how many segments may be read one step further
    without leaving the series, 1 or 0 for each sample of that last step (segment, 4), and the samples of each segment.
    """
    size = bounds.shape[0]
    widths = np.empty(size)
    for j in range(size):
        widths[j] = bounds[j, 1] - bounds[j, 0]
    full = int(widths.min()) // 4 * 4
    inside, rest = 0, np.zeros((size, 4))
    for j in range(size):
        inside += bounds[j, 0] + full + 4 <= length
        rest[j, : int(widths[j]) - full] = 1
    return full, inside // 4 * 4, rest, widths


@njit(**_LOOP)
def _means(x: Any, bounds: Any, steps: Any, c: Any) -> None:
    """Fill the means of the segments of one series, summed in float64; all samples are finite.

    Four segments side by side, each by steps of four samples; what the last step reads beyond a segment is multiplied
    by 0.
    """
    full, whole, rest, widths = steps
    for j in range(0, whole, 4):
        p, q, r, s = bounds[j, 0], bounds[j + 1, 0], bounds[j + 2, 0], bounds[j + 3, 0]
        a = multiply(load(x, p + full), load(rest, 4 * j))
        b = multiply(load(x, q + full), load(rest, 4 * j + 4))
        d = multiply(load(x, r + full), load(rest, 4 * j + 8))
        e = multiply(load(x, s + full), load(rest, 4 * j + 12))
        for k in range(0, full, 4):
            a, b = add(a, load(x, p + k)), add(b, load(x, q + k))
            d, e = add(d, load(x, r + k)), add(e, load(x, s + k))
        store(c, j, divide(totals(a, b, d, e), load(widths, j)))
    for j in range(whole, c.size):
        total = 0.0
        for k in range(bounds[j, 0], bounds[j, 1]):
            total += x[k]
        c[j] = total / widths[j]


@njit(fastmath={"nnan", "nsz"}, **_LOOP)
def _extremes(c: Any) -> tuple[float, float]:
    """Return the least and the most of values of which none is NaN."""
    least, most = c[0], c[0]
    for j in range(c.size):
        least, most = min(least, c[j]), max(most, c[j])
    return least + 0.0, most + 0.0


@njit(**_LOOP)
def _angles(
    x: Any,
    magnitude: float,
    bounds: Any,
    steps: Any,
    low: float,
    high: float,
    fixed: bool,
    scale_first: bool,
    lo: float,
    hi: float,
    c: Any,
    s: Any,
) -> None:
    """Fill cosine and sine of the angles of one series, of which no sample is larger than its `magnitude`.

    `tsimage.fields.gramian._polar` says it readably.
    """
    length, size = x.size, bounds.shape[0]
    if fixed and scale_first:
        clipped = np.empty(length)
        for t in range(length):
            clipped[t] = min(max(x[t] + 0.0, low), high)  # float64, whatever the type of x
        _means(clipped, bounds, steps, c)
    else:
        _means(x, bounds, steps, c)
    constant = False
    if not fixed:
        low, high = _extremes(x) if scale_first else _extremes(c)
        each = 2.220446049250313e-16 * max(10, length // size)
        if high - low <= each * max(1.0, 2 * magnitude):  # else it moves; twice, for the rounding of the sum
            largest = 0.0
            for t in range(length):
                largest = max(largest, abs(x[t] + 0.0))
            constant = high - low <= max(2.220446049250313e-15, each * largest)
    if constant:
        c[:], s[:] = lo, np.sqrt((1 + lo) * (1 - lo))
    else:
        _to_angles(c, s, low, high, lo, hi)


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
) -> bool:
    """Paint Gramian angular summation or difference fields; `limits` (channel, 2) counts where `fixed`.

    Returns whether all values are finite; what is painted counts only then.
    """
    size, steps = bounds.shape[0], _steps(bounds, x.shape[2])
    c64, s64 = np.empty(size), np.empty(size)
    c, s = np.empty(size, work.dtype), np.empty(size, work.dtype)
    for window in range(x.shape[0]):
        for channel in range(x.shape[1]):
            series = x[window, channel]
            magnitude = _magnitude(series)
            if not magnitude < np.inf and not is_finite(x[window : window + 1]):
                return False
            low, high = limits[channel, 0], limits[channel, 1]
            _angles(series, magnitude, bounds, steps, low, high, fixed, scale_first, lo, hi, c64, s64)
            for j in range(size):
                c[j], s[j] = c64[j], s64[j]
            image = out[window, first + channel]
            for i in range(size):
                ci, si = c[i], s[i]
                if difference:
                    for j in range(size):
                        image[i, j] = _pixel(image, si * c[j] - ci * s[j], scale, offset)
                else:
                    for j in range(size):
                        image[i, j] = _pixel(image, ci * c[j] - si * s[j], scale, offset)
    return True


@njit(inline="always", error_model="numpy")
def _eight(a: Any, i: int, k: int) -> Any:
    """Return a[k..k+7, i] as scalars, which stay in registers whatever the loop that uses them writes."""
    return a[k, i], a[k + 1, i], a[k + 2, i], a[k + 3, i], a[k + 4, i], a[k + 5, i], a[k + 6, i], a[k + 7, i]


@njit(inline="always", error_model="numpy")
def _dot(a: Any, p: Any, j: int, k: int) -> Any:
    """Sum a[n] * p[k + n, j] over n in 0..UNROLLED-1, written out so that the loop over j is one of vectors."""
    return ((a[0] * p[k, j] + a[1] * p[k + 1, j]) + (a[2] * p[k + 2, j] + a[3] * p[k + 3, j])) + (
        (a[4] * p[k + 4, j] + a[5] * p[k + 5, j]) + (a[6] * p[k + 6, j] + a[7] * p[k + 7, j])
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
    cells, half = bins * bins, size * bins
    binned, pairs = np.empty(length, np.int32), np.zeros(length, np.int32)
    # Tables used in turn: the same cell twice running would wait for its own store.
    counts, members = np.empty(4 * cells, np.int32), np.empty(2 * half, np.int32)
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
                even, odd = np.uint32(i * bins), np.uint32(half + i * bins)
                start, stop = bounds[i, 0], bounds[i, 1]
                for t in range(start, stop - 1, 2):
                    members[even + np.uint32(binned[t])] += 1
                    members[odd + np.uint32(binned[t + 1])] += 1
                if (stop - start) % 2:
                    members[even + np.uint32(binned[stop - 1])] += 1
                each = one / (stop - start)
                for q in range(bins):
                    share[q, i] = (members[even + q] + members[odd + q]) * each
            if fitted:
                for a in range(bins):
                    for b in range(bins):
                        w[a, b] = transitions[channel, a, b]
            else:
                for t in range(length - 1):
                    pairs[t] = binned[t] * bins + binned[t + 1]
                counts[:] = 0
                whole = (length - 1) // 4 * 4
                for t in range(0, whole, 4):
                    counts[np.uint32(pairs[t])] += 1
                    counts[np.uint32(cells + pairs[t + 1])] += 1
                    counts[np.uint32(2 * cells + pairs[t + 2])] += 1
                    counts[np.uint32(3 * cells + pairs[t + 3])] += 1
                for t in range(whole, length - 1):
                    counts[np.uint32(pairs[t])] += 1
                for a in range(bins):
                    total = 0
                    for b in range(a * bins, (a + 1) * bins):
                        counts[b] += counts[cells + b] + counts[2 * cells + b] + counts[3 * cells + b]
                        total += counts[b]
                    for b in range(bins):
                        w[a, b] = one * counts[a * bins + b] / max(total, 1)
            for b in range(bins):
                left[b] = 0
                for k in range(0, padded, UNROLLED):
                    column = _eight(w, b, k)
                    for j in range(size):
                        left[b, j] += _dot(column, share, j, k)
            image = out[window, first + channel]
            for i in range(size):
                column = _eight(left, i, 0)
                if padded == UNROLLED:
                    for j in range(size):
                        image[i, j] = _pixel(image, _dot(column, share, j, 0), scale, offset)
                    continue
                for j in range(size):
                    row[j] = _dot(column, share, j, 0)
                for k in range(UNROLLED, padded, UNROLLED):
                    column = _eight(left, i, k)
                    for j in range(size):
                        row[j] += _dot(column, share, j, k)
                for j in range(size):
                    image[i, j] = _pixel(image, row[j], scale, offset)
