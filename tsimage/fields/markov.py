"""Markov transition fields.

Source: Z. Wang and T. Oates, arXiv:1506.00327. The samples of a series fall into Q bins; W holds the share of
transitions from bin to bin, M_ij = W[bin_i, bin_j] is averaged over the PAA segments. With P the (S, Q) share of
each segment's samples in each bin the averaged field is exactly P W P^T, so the T x T field is never built:
O(T + S Q^2 + S^2 Q).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array

from tsimage.errors import UserError, unknown
from tsimage.segments import Segmentation, floating, segment_bounds

Strategy = Literal["quantile", "uniform", "normal"]

MERGE_BELOW = 1e-8
"""Quantile edges closer than this (absolute, in the units of the series) merge, the last kept, as in pyts."""


@dataclass(frozen=True, eq=False)
class MarkovModel:
    """Bin edges and transitions that hold for every window of a channel, fitted on training data.

    Parameters
    ----------
    edges : ndarray of float64, shape (channel, Q - 1)
        Upper, closed ends of all bins but the last, in the units of the channel; an edge that merged is infinite.
    transitions : ndarray of float64, shape (channel, Q, Q)
        W: each row sums to 1, or to 0 where no transition left the bin.
    """

    edges: np.ndarray
    transitions: np.ndarray

    def check_channels(self, n_channels: int) -> None:
        """Raise a UserError unless the model knows as many channels as the windows have."""
        if n_channels != len(self.edges):
            raise UserError(
                f"a Markov model of {len(self.edges)} channels cannot paint windows of {n_channels}: paint windows of the "
                "channels that it learnt from, or fit it to these"
            )


def check_bins(bins: int, strategy: str) -> None:
    """Raise a UserError unless there are at least two bins and the strategy is known."""
    if bins < 2:
        raise UserError(f"bins={bins} is not allowed: a Markov transition field needs at least 2 bins")
    if strategy not in get_args(Strategy):
        raise unknown("bin strategy", str(strategy), get_args(Strategy))


def bin_edges(x: Any, bins: int = 8, strategy: Strategy = "quantile", *, dtype: Any = None) -> Any:
    """Return the edges between the bins of each series.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
    bins : int
        Q >= 2.
    strategy : {"quantile", "uniform", "normal"}
        `quantile`: linear percentiles of the series' own samples at `linspace(0, 100, Q + 1)[1:-1]`; edges closer
        than 1e-8 merge, the last kept. `uniform`: equal widths from its minimum to its maximum. `normal`: the
        quantiles of the standard normal distribution, for series that are standardised already.
    dtype : dtype, optional
        Type of the edges; default that of `x`. Sorting needs no more digits than the samples have, edges do.

    Returns
    -------
    array or tensor, shape (..., Q - 1)
        A merged edge is infinite: no sample lies beyond it.

    Raises
    ------
    UserError
        For Q < 2 or an unknown strategy.

    Examples
    --------
    >>> bin_edges(np.array([1.0, 2.0, 3.0, 4.0, 9.0]), 2)
    array([3.])
    >>> bin_edges(np.array([1.0, 2.0, 3.0, 4.0, 9.0]), 2, "uniform")
    array([5.])
    """
    check_bins(bins, strategy)
    x = floating(x)
    xp = array_namespace(x)
    dtype = x.dtype if dtype is None else dtype

    def fixed(values: np.ndarray) -> Any:
        return xp.asarray(values, dtype=dtype, device=device(x))

    def exact(values: Any) -> Any:
        return xp.astype(values, dtype, copy=False)

    if strategy == "normal":
        from scipy.special import ndtri

        return xp.zeros_like(x[..., :1], dtype=dtype) + fixed(ndtri(np.linspace(0, 1, bins + 1)[1:-1]))
    if strategy == "uniform":
        low, high = exact(xp.min(x, axis=-1, keepdims=True)), exact(xp.max(x, axis=-1, keepdims=True))
        step = (high - low) / bins
        number = fixed(np.arange(1, bins, dtype=np.float64))
        # numpy.linspace's own order of operations, also where the step underflows, so that ties fall as they do there.
        return xp.where(step == 0, number / bins * (high - low), number * step) + low
    return quantile_edges(_sorted(x), bins, dtype)


@lru_cache(maxsize=64)
def quantile_ranks(length: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return after which sorted sample each quantile lies, and how far on the way to the next; read-only."""
    rank = (length - 1) * (np.linspace(0, 100, bins + 1)[1:-1] / 100)
    left = np.floor(rank).astype(np.int64)
    fraction = rank - left
    left.flags.writeable = fraction.flags.writeable = False
    return left, fraction


def _sorted(x: Any) -> Any:
    """Sort the samples of each series; bins have no gradient, so a tensor on the CPU may be sorted by NumPy, which is
    about 17 times faster there than torch."""
    xp = array_namespace(x)
    if is_torch_array(x) and x.device.type == "cpu":
        return xp.asarray(np.sort(x.detach().numpy(), axis=-1))
    return xp.sort(x, axis=-1, stable=False)


def quantile_edges(ordered: Any, bins: int, dtype: Any) -> Any:
    """Return the edges that `bin_edges` gives for quantiles, from the sorted samples (..., T) of each series."""
    xp = array_namespace(ordered)
    length = int(ordered.shape[-1])
    left, between = quantile_ranks(length, bins)
    fraction = xp.asarray(between.copy(), dtype=dtype, device=device(ordered))

    def take(index: np.ndarray) -> Any:
        samples = xp.take(ordered, xp.asarray(index.copy(), device=device(ordered)), axis=-1)
        return xp.astype(samples, dtype, copy=False)

    a, b = take(left), take(np.minimum(left + 1, length - 1))
    # numpy.percentile's own interpolation, from the nearer end, so that ties fall as they do there.
    edges = xp.where(fraction < 0.5, a + (b - a) * fraction, b - (b - a) * (1 - fraction))
    apart = (edges[..., 1:] - edges[..., :-1]) > MERGE_BELOW
    kept = xp.concat([apart, xp.ones_like(edges[..., :1], dtype=xp.bool)], axis=-1)
    return xp.where(kept, edges, float("inf"))


def digitise(x: Any, edges: Any) -> Any:
    """Give each sample the number of the edges below it: bins are closed on the right.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
    edges : array or tensor, shape (..., Q - 1)

    Returns
    -------
    array or tensor of int64, shape (..., T), values in 0..Q-1

    Examples
    --------
    >>> digitise(np.array([1.0, 2.0, 3.0, 4.0, 9.0]), np.array([3.0])).tolist()
    [0, 0, 0, 1, 1]
    """
    xp = array_namespace(x)
    count = xp.uint8 if edges.shape[-1] < 256 else xp.int64  # eight times less to move
    bins = xp.zeros_like(x, dtype=count)
    for edge in range(edges.shape[-1]):
        bins += xp.astype(x > edges[..., edge : edge + 1], count)
    return xp.astype(bins, xp.int64)


def fit_markov(x: Any, bins: int = 8, strategy: Strategy = "quantile") -> MarkovModel:
    """Fit one set of edges and one transition matrix per channel on training windows.

    Edges are those of `bin_edges` over all samples of the channel together; the transitions inside every window are
    counted together, none across windows.

    Parameters
    ----------
    x : ndarray, shape (window, channel, time)
    bins, strategy
        See `bin_edges`.

    Returns
    -------
    MarkovModel

    Raises
    ------
    UserError
        For no windows, windows of one sample, or a value that is not finite: it would count as the largest.

    Examples
    --------
    >>> model = fit_markov(np.array([[[1.0, 1.0, 4.0]], [[4.0, 1.0, 1.0]]]), bins=2)
    >>> model.edges.tolist(), model.transitions.tolist()
    ([[1.0]], [[[0.6666666666666666, 0.3333333333333333], [1.0, 0.0]]])
    """
    x = np.asarray(x, dtype=np.float64)
    n, n_channels, length = x.shape
    if not n or length < 2:
        raise UserError(
            f"cannot fit transitions on windows of shape {x.shape}: give at least one window of two samples"
        )
    bad = ~np.isfinite(x).all(axis=2)
    if bad.any():
        window, channel = np.argwhere(bad)[0]
        raise UserError(
            f"window {window}, channel '{channel}' holds NaN or infinity ({int(bad.any(axis=1).sum())} of {n} windows do), "
            "from which no transitions can be learnt: fill these samples, or leave their windows out"
        )
    edges = bin_edges(np.moveaxis(x, 1, 0).reshape(n_channels, -1), bins, strategy)
    transitions = np.empty((n_channels, bins, bins))
    for channel in range(n_channels):
        binned = digitise(x[:, channel], edges[channel])
        counts = np.bincount((binned[:, :-1] * bins + binned[:, 1:]).ravel(), minlength=bins**2)
        transitions[channel] = counts.reshape(bins, bins)
    transitions /= np.maximum(transitions.sum(axis=2, keepdims=True), 1)
    return MarkovModel(edges, transitions)


def mtf(
    x: Any,
    size: int,
    *,
    bins: int = 8,
    strategy: Strategy = "quantile",
    model: MarkovModel | None = None,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as Markov transition fields.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite raw series of at least two samples. With quantile bins only the order of the values counts, but for
        values within rounding of a bin's edge.
    size : int
        Side S of the image, 1 <= S <= T.
    bins : int
        Bins Q >= 2. With fewer than 5 Q^2 transitions (T - 1) the matrix W is mostly noise.
    strategy : {"quantile", "uniform", "normal"}
        How the bins are cut, see `bin_edges`.
    model : MarkovModel, optional
        Edges and transitions fitted on training data; x is then (..., channel, T) and `bins` and `strategy` are the
        model's.
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the averaging and of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), values in [0, 1]
        A constant series gives all 1. The image is a step function of the series, so a tensor's carries no gradient.

    Raises
    ------
    UserError
        For S > T, Q < 2, an unknown strategy, a series of one sample, or a model of another number of channels.

    Warns
    -----
    UserWarning
        Where quantile edges merged, so that a series has fewer bins than asked for (NumPy arrays, Q > 2).

    Examples
    --------
    >>> mtf(np.array([1.0, 9.0, 1.0, 9.0]), 2, bins=2)
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    if model is None and strategy == "quantile" and is_numpy_array(x):
        merged = merged_bins(x, bins)
        if merged.any():
            first = ", ".join(str(int(i)) for i in np.argwhere(merged)[0]) or "0"
            warnings.warn(
                f"equal quantiles merged: {int(merged.sum())} of {merged.size} series have fewer than {bins} Markov bins, "
                f"the first at ({first}): use fewer bins",
                UserWarning,
                stacklevel=2,
            )
    return paint_markov(x, size, bins=bins, strategy=strategy, model=model, segmentation=segmentation, dtype=dtype)


def merged_bins(x: np.ndarray, bins: int) -> np.ndarray:
    """Tell which series (..., T) have fewer quantile bins than asked for, because quantiles are equal."""
    return np.isinf(bin_edges(x, bins, dtype=np.float64)).any(axis=-1)


def paint_markov(
    x: Any,
    size: int,
    *,
    bins: int = 8,
    strategy: Strategy = "quantile",
    model: MarkovModel | None = None,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint as `mtf` does, without a word about merged bins."""
    check_bins(bins, strategy)
    x = floating(x)
    xp = array_namespace(x)
    dtype = x.dtype if dtype is None else dtype
    length, lead = int(x.shape[-1]), tuple(x.shape[:-1])
    bounds = segment_bounds(length, size, segmentation)
    if length < 2:
        raise UserError("a series of 1 sample has no transitions for a Markov field: give at least 2 samples")
    if model is None:
        edges = bin_edges(x, bins, strategy)
    else:
        model.check_channels(lead[-1] if lead else 1)
        bins = model.transitions.shape[-1]
        edges = xp.asarray(model.edges, dtype=x.dtype, device=device(x))
    flat = xp.reshape(digitise(x, edges), (-1, length))
    n = int(flat.shape[0])
    row = xp.reshape(xp.arange(n, device=device(x)), (n, 1)) * bins

    def count(index: Any, rows: int) -> Any:
        table = xp.bincount(xp.reshape(index, (-1,)), minlength=n * rows * bins)
        return xp.astype(xp.reshape(table, (n, rows, bins)), dtype)

    if model is None:
        counts = count((row + flat[:, :-1]) * bins + flat[:, 1:], bins)
        transitions = counts / xp.clip(xp.sum(counts, axis=-1, keepdims=True), min=1.0)
    else:
        shared = xp.asarray(model.transitions, dtype=dtype, device=device(x))
        transitions = xp.reshape(xp.broadcast_to(shared, (*lead, bins, bins)), (n, bins, bins))
    lengths = bounds[:, 1] - bounds[:, 0]
    samples = np.concatenate([np.arange(start, stop) for start, stop in bounds])
    segment = xp.asarray(np.repeat(np.arange(size), lengths) * bins, device=device(x))
    if not np.array_equal(samples, np.arange(length)):
        flat = xp.take(flat, xp.asarray(samples, device=device(x)), axis=1)
    share = count(row * size + segment + flat, size)
    share = share / xp.asarray(lengths[:, None], dtype=dtype, device=device(x))
    image = xp.matmul(xp.matmul(share, transitions), xp.matrix_transpose(share))
    return xp.reshape(image, (*lead, size, size))
