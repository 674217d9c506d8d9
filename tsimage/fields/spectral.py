"""Spectrograms and wavelet scalograms: time from left to right, frequency from bottom to top, log power.

Sources: J. B. Allen and L. R. Rabiner, "A Unified Approach to Short-Time Fourier Analysis and Synthesis",
Proceedings of the IEEE 65 (1977); C. Torrence and G. P. Compo, "A Practical Guide to Wavelet Analysis", Bulletin
of the American Meteorological Society 79 (1998).

Both images show one-sided power in decibels, 10 log10(P + floor), P in squared units of the series: a sinusoid of
amplitude A has P = A^2 / 2 at its frequency in either. The mean of the series is taken off first, so gravity does not
outshine the rest and posture cannot be seen. Frequencies are in cycles per sample, at most 1/2: multiply by the
sampling rate for Hz. Row 0, drawn on top, holds the highest.
"""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError
from tsimage.segments import Segmentation, floating, paa

_BLOCK_VALUES = 1 << 20


def spectrogram(
    x: Any,
    size: int,
    *,
    segment: int | None = None,
    overlap: float = 0.75,
    floor: float = 1e-6,
    dtype: Any = None,
) -> Any:
    """Paint series as spectrograms, the log power of the short-time Fourier transform.

    Segments of `segment` samples under a periodic Hann window start at sample 0 and every
    `segment - round(overlap * segment)` samples (at least 1) from there. Only whole segments count: nothing is
    padded, and the last samples may fill none. Their power spectra (scaling "spectrum", divided by the squared sum
    of the window) in decibels are stretched or averaged to S x S by `resizing_matrix`: from the middle of the first
    segment to that of the last, and from frequency 0 to one half or, for an odd `segment`, (1 - 1 / segment) / 2.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series, T >= 2; floats are computed in their own precision. Differentiable for tensors.
    size : int
        Side S of the image, 1 or more; it may exceed T.
    segment : int, optional
        Samples in a segment, 2 to T: the longer, the finer the frequencies and the coarser the times. By default a
        quarter of the series, rounded to an even number, but at least 8.
    overlap : float
        Share of a segment that the next one repeats, in [0, 1).
    floor : float
        Power added before the logarithm, above 0, in squared units of the series: no pixel lies below
        10 log10(floor). 1e-6 is (1 mg)^2 for a series in g.
    dtype : dtype, optional
        Type of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), in decibels, at least 10 log10(floor)

    Raises
    ------
    UserError
        For series shorter than 2 samples, a size below 1, or a segment, overlap or floor out of range.

    Examples
    --------
    A sinusoid of amplitude 1, period 4 samples: power 1/2, or -3 dB, in the middle row.

    >>> x = np.cos(2 * np.pi * np.arange(64) / 4)
    >>> spectrogram(x, 9, segment=16)[:, 0].round(1) + 0.0
    array([-60., -60., -60.,  -9.,  -3.,  -9., -60., -60., -60.])
    """
    x = floating(x)
    xp = array_namespace(x)
    length = _length(x, "spectrogram")
    _check_size(size)
    check_spectrogram(segment, overlap, floor)
    segment = default_segment(length) if segment is None else segment
    if not 2 <= segment <= length:
        raise UserError(
            f"segment {segment} does not fit series of {length} samples: choose from 2 to {length}, or leave it out "
            "for a quarter of the series"
        )
    hop = max(1, segment - round(overlap * segment))
    starts = np.arange(0, length - segment + 1, hop)
    samples = (starts[:, None] + np.arange(segment)).reshape(-1)
    frames = xp.take(_centred(x), xp.asarray(samples, device=device(x)), axis=-1)
    frames = xp.reshape(frames, (*x.shape[:-1], len(starts), segment))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(segment) / segment)
    window = xp.asarray(hann / hann.sum(), dtype=x.dtype, device=device(x))
    sides = np.full(segment // 2 + 1, 2.0)
    sides[0] = 1.0
    if segment % 2 == 0:
        sides[-1] = 1.0
    power = _power(xp, xp.fft.rfft(frames * window)) * xp.asarray(sides, dtype=x.dtype, device=device(x))
    decibels = xp.matrix_transpose(_decibels(xp, power, floor))
    up = xp.asarray(resizing_matrix(len(sides), size)[::-1].copy(), dtype=x.dtype, device=device(x))
    across = xp.asarray(resizing_matrix(len(starts), size).T.copy(), dtype=x.dtype, device=device(x))
    image = xp.matmul(xp.matmul(up, decibels), across)
    return xp.astype(image, x.dtype if dtype is None else dtype, copy=False)


def check_spectrogram(segment: int | None, overlap: float, floor: float) -> None:
    """Raise the UserError that `spectrogram` would raise for these options, in windows of any length.

    Examples
    --------
    >>> check_spectrogram(None, 0.5, 1e-6)
    """
    if segment is not None and not (isinstance(segment, Integral) and int(segment) >= 2):
        raise UserError(f"segment {segment} is not allowed: it must be a whole number of 2 or more samples, or None")
    if not 0 <= overlap < 1:
        raise UserError(
            f"overlap {overlap} is not allowed: it is the share of a segment that the next one repeats, at least 0 and below 1"
        )
    _check_floor(floor)


def default_segment(length: int) -> int:
    """Return the samples in a segment of a spectrogram of `length` samples unless it is given.

    Examples
    --------
    >>> default_segment(500)
    124
    """
    return min(length, max(8, 2 * round(length / 8)))


def scalogram(
    x: Any,
    size: int,
    *,
    lowest: float | None = None,
    highest: float = 0.4,
    omega0: float = 6.0,
    floor: float = 1e-6,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as scalograms, the log power of the continuous wavelet transform with the complex Morlet wavelet.

    For each of S frequencies f, spaced evenly in the logarithm,

        W_f(t) = sum_u x(u) g(t - u) exp(2 pi i f (t - u)),     g Gaussian of area 1 and deviation omega0 / (2 pi f),

    over the samples of the series (L1 normalisation: the response to a sinusoid does not depend on f), and
    P = 2 |W|^2. Outside the window the series is taken as its mean, 0 after centring: within about one deviation of
    an edge power fades, to about a quarter at the edge itself. The sum is exact, by a zero-padded FFT. Decibels are averaged
    over S segments of time.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series; floats are computed in their own precision. Differentiable for tensors.
    size : int
        Side S of the image, 1 <= S <= T.
    lowest, highest : float
        Frequencies of the bottom and the top row in cycles per sample, 0 < lowest < highest <= 1/2. By default from
        2 / T, two periods in the window, to 0.4: near 1/2 a wavelet also answers to aliases.
    omega0 : float
        Angular frequency of the wavelet, 5 or more: the larger, the finer the frequencies and the coarser the times.
    floor : float
        Power added before the logarithm, as in `spectrogram`.
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), in decibels, at least 10 log10(floor)

    Raises
    ------
    UserError
        For S > T, or frequencies, omega0 or floor out of range.

    Examples
    --------
    A sinusoid of amplitude 1 and frequency 0.1, the middle of 0.025, 0.05, 0.1, 0.2, 0.4: power 1/2 or -3 dB.

    >>> x = np.cos(2 * np.pi * 0.1 * np.arange(500))
    >>> scalogram(x, 5, lowest=0.025)[:, 2].round(1)
    array([-60., -42.,  -3., -60., -60.])
    """
    x = floating(x)
    xp = array_namespace(x)
    length = _length(x, "scalogram")
    frequencies = scalogram_frequencies(length, size, lowest=lowest, highest=highest)
    check_scalogram(lowest, highest, omega0, floor)
    kernels = _wavelets(length, tuple(frequencies), float(omega0))
    padded = kernels.shape[1]
    spectrum = xp.fft.fft(_centred(x), n=padded)[..., None, :]
    step = max(1, _BLOCK_VALUES // max(1, math.prod(spectrum.shape)))
    rows = []
    for first in range(0, size, step):
        kernel = xp.asarray(kernels[first : first + step].copy(), dtype=x.dtype, device=device(x))
        transform = xp.fft.ifft(spectrum * kernel)[..., :length]
        rows.append(paa(_decibels(xp, 2 * _power(xp, transform), floor), size, segmentation))
    return xp.astype(xp.concat(rows, axis=-2), x.dtype if dtype is None else dtype, copy=False)


def check_scalogram(lowest: float | None, highest: float, omega0: float, floor: float) -> None:
    """Raise the UserError that `scalogram` would raise for these options, in windows of any length.

    Examples
    --------
    >>> check_scalogram(None, 0.4, 6.0, 1e-6)
    """
    _check_lowest(lowest)
    if not (highest <= 0.5 and (highest > 0 if lowest is None else 0 < lowest < highest)):
        raise UserError(
            f"frequencies from {'2 / T' if lowest is None else f'{lowest:g}'} to {highest:g} cycles per sample are not "
            "allowed: they must satisfy 0 < lowest < highest <= 0.5"
        )
    if not 5 <= omega0 < np.inf:
        raise UserError(f"omega0 {omega0} is not allowed: below 5 a Morlet wavelet also answers to slow drift")
    _check_floor(floor)


def scalogram_frequencies(length: int, size: int, *, lowest: float | None = None, highest: float = 0.4) -> np.ndarray:
    """Return the frequencies of the rows of a scalogram, highest first, shape (S,), in cycles per sample.

    Parameters
    ----------
    length : int
        Samples in the series, T.
    size : int
        Side S of the image.
    lowest, highest : float
        As in `scalogram`; an image of one row has `highest`.

    Raises
    ------
    UserError
        If the frequencies are not in order, or outside (0, 1/2].

    Examples
    --------
    At 50 Hz:

    >>> 50 * scalogram_frequencies(100, 3, lowest=0.025)
    array([20.  ,  5.  ,  1.25])
    """
    _check_size(size)
    _check_lowest(lowest)
    lowest = 2 / length if lowest is None else lowest
    if not 0 < lowest < highest <= 0.5:
        raise UserError(
            f"frequencies from {lowest:g} to {highest:g} cycles per sample are not allowed for series of {length} samples: "
            "they must satisfy 0 < lowest < highest <= 0.5, and lowest is 2 / T by default"
        )
    return np.geomspace(highest, lowest, size)


@lru_cache(maxsize=64)
def resizing_matrix(length: int, size: int) -> np.ndarray:
    """Return the (S, N) float64 matrix that resizes N evenly spaced values to S; read-only.

    With N <= S the values are interpolated linearly, the first and the last staying where they are. With N > S each
    value fills a cell of width 1, and each of the S is the mean over N / S cells, parts of cells counting as parts.
    With N = S both are the identity.

    Examples
    --------
    >>> resizing_matrix(2, 3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    >>> resizing_matrix(3, 2) * 3
    array([[2., 1., 0.],
           [0., 1., 2.]])
    """
    cells = np.arange(length)
    if length <= size:
        positions = np.linspace(0, length - 1, size)
        matrix = np.clip(1 - np.abs(positions[:, None] - cells), 0, None)
    else:
        # In units of 1 / S of a cell all edges are whole numbers, so the shares are exact.
        start = length * np.arange(size)[:, None]
        shared = np.minimum(start + length, size * (cells + 1)) - np.maximum(start, size * cells)
        matrix = np.clip(shared, 0, None) / length
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=4)
def _wavelets(length: int, frequencies: tuple[float, ...], omega0: float) -> np.ndarray:
    """Return the spectra of the wavelets at all lags from 1 - T to T - 1, shape (S, N), N >= 2 T - 1; read-only.

    They are real, as a wavelet at -u is the conjugate of itself at u.
    """
    from scipy.fft import next_fast_len

    lags = np.arange(1 - length, length)
    padded = next_fast_len(2 * length - 1)
    omega = 2 * np.pi * np.array(frequencies)[:, None]
    deviation = omega0 / omega
    gaussian = np.exp(-0.5 * (lags / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    kernels = np.zeros((len(frequencies), padded), dtype=np.complex128)
    kernels[:, lags] = gaussian * np.exp(1j * omega * lags)
    spectra = np.fft.fft(kernels).real.copy()
    spectra.flags.writeable = False
    return spectra


def _length(x: Any, what: str) -> int:
    if len(x.shape) < 1 or x.shape[-1] < 2:
        raise UserError(f"a {what} needs series of shape (..., T) with T >= 2, got shape {tuple(x.shape)}")
    return int(x.shape[-1])


def _check_size(size: int) -> None:
    if size < 1:
        raise UserError(f"size {size} is not allowed: images have at least 1 pixel on a side")


def _centred(x: Any) -> Any:
    return x - array_namespace(x).mean(x, axis=-1, keepdims=True)


def _power(xp: Any, values: Any) -> Any:
    return xp.real(values) ** 2 + xp.imag(values) ** 2


def _check_lowest(lowest: Any) -> None:
    if lowest is not None and not isinstance(lowest, Real):
        raise UserError(f"lowest {lowest} is not allowed: it must be a number of cycles per sample, or None for 2 / T")


def _check_floor(floor: float) -> None:
    if not 0 < floor < np.inf:
        raise UserError(f"floor {floor} is not allowed: it is the power added before the logarithm and must be above 0")


def _decibels(xp: Any, power: Any, floor: float) -> Any:
    return 10 * xp.log10(power + floor)
