"""Markov transition fields.

Source: Z. Wang and T. Oates, arXiv:1506.00327. The samples of a series fall into Q quantile bins; W holds
the share of transitions from bin to bin, M_ij = W[bin_i, bin_j] is averaged over the PAA segments. With P
the (S, Q) share of each segment's samples in each bin the averaged field is exactly P W P^T, so the T x T
field is never built.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError
from tsimage.segments import Segmentation, averaging_matrix, floating

MERGE_BELOW = 1e-8
"""Quantile edges closer than this (absolute, in the units of the series) merge, the last kept, as in pyts."""


def quantile_bins(x: Any, bins: int) -> Any:
    """Give each sample the index of its quantile bin within its own series.

    Edges are the linear percentiles at `linspace(0, 100, Q + 1)[1:-1]`; bins are closed on the right; edges
    closer than 1e-8 merge, the last kept.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
    bins : int
        Q >= 2.

    Returns
    -------
    array or tensor of int64, shape (..., T), values in 0..Q-1

    Examples
    --------
    >>> quantile_bins(np.array([1.0, 2.0, 3.0, 4.0, 9.0]), 2)
    array([0, 0, 0, 1, 1])
    """
    if bins < 2:
        raise UserError(f"bins={bins} is not allowed: a Markov transition field needs at least 2 quantile bins")
    x = floating(x)
    xp = array_namespace(x)
    length = int(x.shape[-1])
    rank = (length - 1) * (np.linspace(0, 100, bins + 1)[1:-1] / 100)
    left = np.floor(rank).astype(np.int64)
    right = np.minimum(left + 1, length - 1)
    fraction = xp.asarray(rank - left, dtype=x.dtype, device=device(x))
    ordered = xp.sort(x, axis=-1)
    a = xp.take(ordered, xp.asarray(left, device=device(x)), axis=-1)
    b = xp.take(ordered, xp.asarray(right, device=device(x)), axis=-1)
    # numpy.percentile's own interpolation, from the nearer end, so that ties fall as they do there.
    edges = xp.where(fraction < 0.5, a + (b - a) * fraction, b - (b - a) * (1 - fraction))
    apart = (edges[..., 1:] - edges[..., :-1]) > MERGE_BELOW
    kept = xp.concat([apart, xp.ones_like(edges[..., :1], dtype=xp.bool)], axis=-1)
    beyond = (x[..., :, None] > edges[..., None, :]) & kept[..., None, :]
    return xp.sum(xp.astype(beyond, xp.int64), axis=-1)


def mtf(x: Any, size: int, *, bins: int = 8, segmentation: Segmentation = "pyts", dtype: Any = None) -> Any:
    """Paint series as Markov transition fields.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite raw series; only the order of its values counts, but for values within rounding of a bin's edge.
    size : int
        Side S of the image, 1 <= S <= T.
    bins : int
        Quantile bins Q >= 2. With fewer than 5 Q^2 transitions (T - 1) the matrix W is mostly noise.
    segmentation : {"pyts", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the averaging and of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), values in [0, 1]
        A constant series gives all 1.

    Raises
    ------
    UserError
        For S > T or Q < 2.

    Examples
    --------
    >>> mtf(np.array([1.0, 9.0, 1.0, 9.0]), 2, bins=2)
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    x = floating(x)
    xp = array_namespace(x)
    dtype = x.dtype if dtype is None else dtype
    bin_index = quantile_bins(x, bins)
    labels = xp.asarray(np.arange(bins), device=device(x))
    member = xp.astype(bin_index[..., :, None] == labels, x.dtype)
    counts = xp.matmul(xp.matrix_transpose(member[..., :-1, :]), member[..., 1:, :])
    transitions = counts / xp.clip(xp.sum(counts, axis=-1, keepdims=True), min=1.0)
    matrix = averaging_matrix(int(x.shape[-1]), size, segmentation)
    average = xp.asarray(matrix.T.copy(), dtype=x.dtype, device=device(x))
    share = xp.astype(xp.matmul(average, member), dtype, copy=False)
    transitions = xp.astype(transitions, dtype, copy=False)
    return xp.matmul(xp.matmul(share, transitions), xp.matrix_transpose(share))
