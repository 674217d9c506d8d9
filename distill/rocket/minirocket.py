"""MiniRocket: 84 fixed kernels, dilated, and the share of each convolution that lies above a bias."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
from numba import njit

from tsimage.errors import UserError

TAPS = 9
"""Samples under a kernel; three weigh 2 and six weigh -1, so a kernel sums to 0."""
KERNELS = np.array(list(combinations(range(TAPS), 3)), dtype=np.int64)
"""Places of the three taps that weigh 2, a row per kernel."""
MAX_DILATIONS = 32
MAX_CHANNELS = 9
"""At most this many channels are added up under one kernel."""

_LOOP: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


def dilations_for(length: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the dilations for windows of `length` samples, and how many biases each kernel has at each of them.

    Dilations grow exponentially up to the one whose kernel spans the window; what rounds to the same whole number is
    merged, and its biases with it.

    Parameters
    ----------
    length : int
        At least 9.
    n_features : int
        At least 84; what is over a multiple of 84 is left out.

    Returns
    -------
    tuple of ndarray of int64, each (dilation,)

    Examples
    --------
    >>> dilations, biases = dilations_for(128, 9996)
    >>> dilations.tolist()
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    >>> biases.tolist(), 84 * int(biases.sum())
    ([30, 19, 12, 12, 8, 4, 8, 4, 4, 3, 3, 3, 3, 3, 3], 9996)
    """
    per_kernel = n_features // len(KERNELS)
    n_dilations = min(per_kernel, MAX_DILATIONS)
    grown = np.logspace(0, np.log2((length - 1) / (TAPS - 1)), n_dilations, base=2).astype(np.int64)
    dilations, counts = np.unique(grown, return_counts=True)
    counts = (counts * (per_kernel / n_dilations)).astype(np.int64)
    left = per_kernel - int(counts.sum())
    counts += left // len(counts) + (np.arange(len(counts)) < left % len(counts))
    return dilations, counts


def golden_quantiles(n: int) -> np.ndarray:
    """Return n numbers from 0 to 1 that fill the range evenly, however many: multiples of the golden ratio, modulo 1."""
    return (np.arange(1, n + 1) * ((np.sqrt(5) + 1) / 2) % 1).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kernels:
    """What `fit` found: everything that turns windows into features.

    Parameters
    ----------
    dilations, n_biases : ndarray of int64, shape (dilation,)
    uses : ndarray of bool, shape (dilation * 84, channel)
        Which channels are added up under each kernel at each dilation.
    biases : ndarray of float32, shape (feature,)
    """

    dilations: np.ndarray
    n_biases: np.ndarray
    uses: np.ndarray
    biases: np.ndarray


class MiniRocket:
    """The multivariate MiniRocket transform.

    Each of 84 kernels of 9 taps meets the window at up to 32 dilations, on a random set of channels that are added up.
    A feature is the share of the samples of such a convolution above a bias; biases are quantiles of the same
    convolution of a training window drawn at random. Every second convolution is padded with zeros.

    Source: A. Dempster et al., "MiniRocket: A Very Fast (Almost) Deterministic Transform for Time Series
    Classification", arXiv:2012.08791.

    Parameters
    ----------
    n_features : int
        At least 84; the whole multiples of 84 are made.
    seed : int
        Draws the sets of channels and, by their position, the training windows that biases are taken from: the same
        windows in the same order give the same features.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(5, 3, 50)).astype(np.float32)
    >>> MiniRocket(n_features=840).fit(values).transform(values).shape
    (5, 840)
    """

    learns = True
    """Whether features depend on the training windows."""

    def __init__(self, n_features: int = 9996, seed: int = 0) -> None:
        if n_features < len(KERNELS):
            raise UserError(f"n_features {n_features} is not allowed: MiniRocket has 84 kernels and needs at least 84")
        self.n_features, self.seed = n_features, seed
        self.kernels: Kernels | None = None

    def fit(self, values: np.ndarray) -> MiniRocket:
        """Choose channels and biases from training windows (window, channel, time) and return self.

        Raises
        ------
        UserError
            If there is no window, or windows have fewer than 9 samples.
        """
        n, channels, length = values.shape
        if not n or length < TAPS:
            raise UserError(
                f"MiniRocket cannot be fitted to {n} windows of {length} samples: it needs a window, and 9 samples, the "
                "taps of a kernel: cut longer windows"
            )
        rng = np.random.default_rng(self.seed)
        dilations, n_biases = dilations_for(length, self.n_features)
        sets = len(dilations) * len(KERNELS)
        sizes = (2 ** rng.uniform(0, np.log2(min(channels, MAX_CHANNELS) + 1), size=sets)).astype(np.int64)
        uses = np.zeros((sets, channels), dtype=np.bool_)
        for row, size in zip(uses, sizes, strict=True):
            row[rng.choice(channels, size, replace=False)] = True
        picks = rng.integers(n, size=sets)
        biases = biases_of(values, picks, uses, dilations, n_biases)
        self.kernels = Kernels(dilations=dilations, n_biases=n_biases, uses=uses, biases=biases)
        return self

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return the features of windows, each from its window alone.

        Parameters
        ----------
        values : ndarray, shape (window, channel, time)
            As many channels and samples as in training.

        Returns
        -------
        ndarray of float32, shape (window, feature), 0 to 1
        """
        assert self.kernels is not None, "fit first"
        return shares_above(values, self.kernels)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` found as arrays by name."""
        return {} if self.kernels is None else vars(self.kernels).copy()

    def restore(self, arrays: dict[str, np.ndarray]) -> MiniRocket:
        """Take what another transform's `state` holds and return self."""
        self.kernels = Kernels(**{field.name: arrays[field.name] for field in fields(Kernels)})
        return self


def biases_of(
    values: np.ndarray, picks: np.ndarray, uses: np.ndarray, dilations: np.ndarray, n_biases: np.ndarray
) -> np.ndarray:
    """Return quantiles of the padded convolution of one window per kernel and dilation.

    Parameters
    ----------
    values : ndarray, shape (window, channel, time)
    picks : ndarray of int64, shape (dilation * 84,)
        The window for each.
    uses, dilations, n_biases
        See `Kernels`.

    Returns
    -------
    ndarray of float32, shape (feature,)
    """
    convolved = _convolutions(np.ascontiguousarray(values, np.float32), picks, uses, dilations, KERNELS)
    counts = np.repeat(n_biases, len(KERNELS))
    quantiles = np.split(golden_quantiles(int(counts.sum())), np.cumsum(counts)[:-1])
    rows = [np.quantile(row.astype(np.float64), q) for row, q in zip(convolved, quantiles, strict=True)]
    return np.concatenate(rows).astype(np.float32)


def shares_above(values: np.ndarray, kernels: Kernels) -> np.ndarray:
    """Return the share of each convolution of each window above each bias, (window, feature) float32."""
    features = np.empty((len(values), len(kernels.biases)), dtype=np.float32)
    values = np.ascontiguousarray(values, np.float32)
    _shares(values, kernels.dilations, kernels.n_biases, kernels.uses, kernels.biases, KERNELS, features)
    return features


@njit(**_LOOP)
def _pad(x: Any, dilation: int, padded: Any, base: Any) -> None:
    """Surround a window (channel, time) with zeros, and add up its nine taps times -1."""
    channels, length = x.shape
    half = TAPS // 2 * dilation
    padded[:, : length + 2 * half] = 0
    padded[:, half : half + length] = x
    for c in range(channels):
        for t in range(length):
            base[c, t] = -padded[c, t]
        for tap in range(1, TAPS):
            for t in range(length):
                base[c, t] -= padded[c, t + tap * dilation]


@njit(**_LOOP)
def _convolve(padded: Any, base: Any, uses: Any, dilation: int, taps: Any, out: Any) -> None:
    """Fill `out` (time,) with the convolution by one kernel, added up over the channels that are used."""
    a, b, c = taps[0] * dilation, taps[1] * dilation, taps[2] * dilation
    three = np.float32(3)
    out[:] = 0
    for channel in range(len(uses)):
        if uses[channel]:
            for t in range(len(out)):
                out[t] += base[channel, t] + three * (
                    padded[channel, t + a] + padded[channel, t + b] + padded[channel, t + c]
                )


@njit(**_LOOP)
def _convolutions(values: Any, picks: Any, uses: Any, dilations: Any, kernels: Any) -> Any:
    """Return the convolution of the picked window for each dilation and kernel, (dilation * 84, time)."""
    _, channels, length = values.shape
    out = np.empty((len(picks), length), dtype=np.float32)
    padded = np.empty((channels, length + (TAPS - 1) * dilations[-1]), dtype=np.float32)
    base = np.empty((channels, length), dtype=np.float32)
    for row in range(len(picks)):
        dilation = dilations[row // len(kernels)]
        _pad(values[picks[row]], dilation, padded, base)
        _convolve(padded, base, uses[row], dilation, kernels[row % len(kernels)], out[row])
    return out


@njit(**_LOOP)
def _shares(values: Any, dilations: Any, n_biases: Any, uses: Any, biases: Any, kernels: Any, features: Any) -> None:
    """Fill `features`; the convolutions of one window and one kernel are all that is in memory."""
    n, channels, length = values.shape
    padded = np.empty((channels, length + (TAPS - 1) * dilations[-1]), dtype=np.float32)
    base = np.empty((channels, length), dtype=np.float32)
    out = np.empty(length, dtype=np.float32)
    for window in range(n):
        feature = 0
        for i in range(len(dilations)):
            dilation = dilations[i]
            _pad(values[window], dilation, padded, base)
            for k in range(len(kernels)):
                _convolve(padded, base, uses[i * len(kernels) + k], dilation, kernels[k], out)
                edge = TAPS // 2 * dilation if (i + k) % 2 else 0  # every second one without its padding
                whole = out[edge : length - edge]
                for _ in range(n_biases[i]):
                    above = 0
                    for t in range(len(whole)):
                        above += whole[t] > biases[feature]
                    features[window, feature] = np.float32(above) / np.float32(len(whole))
                    feature += 1
