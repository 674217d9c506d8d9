"""Quantum Gramian angular fields: what one qubit shows after turning by two samples of a series.

Source: Z. Xu et al., "Quantum-Enhanced Forecasting: Leveraging Quantum Gramian Angular Field and CNNs for Stock
Return Predictions", arXiv:2310.07427. For each pixel a qubit in |0> is turned by RY(2 u_i) and RY(+-2 u_j), where
u = scale * x needs no range and no arccosine. Its state is then cos(d)|0> + sin(d)|1> with d = u_i +- u_j:

    <Z> = cos 2d        <X> = sin 2d        amplitudes cos d and sin d

No circuit is run: these are outer products of the cosines and sines of the single samples.
"""

from __future__ import annotations

import hashlib
import math
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array, to_device

from tsimage.errors import UserError, unknown
from tsimage.segments import Segmentation, floating, paa

Readout = Literal["z", "x", "amplitude-cos", "amplitude-sin"]
Sign = Literal["plus", "minus"]


def quantum_gaf(
    x: Any,
    size: int,
    *,
    readout: Readout = "z",
    sign: Sign = "plus",
    scale: float = 1.0,
    shots: int | None = None,
    seed: int = 0,
    segmentation: Segmentation = "pyts",
    dtype: Any = None,
) -> Any:
    """Paint series as quantum Gramian angular fields.

    With d_ij = scale (x_i +- x_j), after averaging to S points, the image is cos 2d, sin 2d, cos d or sin d. The
    readouts `z` and `x` have period pi in d (the amplitudes 2 pi): sums or differences that are a period apart look
    the same. Raw acceleration in m/s^2 wraps (gravity alone, 9.8, makes d = 19.6: six periods); a scale of at most
    pi / (4 max|x|) keeps d within one period.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series, in radians once multiplied by `scale`; floats are computed in their own precision.
    size : int
        Side S of the image, 1 <= S <= T.
    readout : {"z", "x", "amplitude-cos", "amplitude-sin"}
        Expectation <Z> = cos 2d or <X> = sin 2d, or the amplitude of |0>, cos d, or of |1>, sin d.
    sign : {"plus", "minus"}
        d = u_i + u_j or u_i - u_j.
    scale : float
        Radians per unit of `x`, above 0.
    shots : int, optional
        Estimate `z` or `x` from so many simulated measurements of each pixel (a binomial draw, standard error
        sqrt((1 - value^2) / shots)) instead of giving its expectation. Pixels are measured independently, so the image
        is no longer exactly symmetric.
    seed : int
        Of the measurements. Each series draws from a generator of its own (NumPy's default), keyed by the seed, the
        options and the samples: the result is the same for NumPy and torch on any device, alone or in a batch.
        Measured images are computed in float64 on the CPU and carry no gradient.
    segmentation : str
        See `tsimage.segments.segment_bounds`.
    dtype : dtype, optional
        Type of the outer products and of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), values in [-1, 1]
        Symmetric, but antisymmetric for the sines (`x`, `amplitude-sin`) of `minus`.

    Raises
    ------
    UserError
        For S > T, an unknown readout or sign, a scale or shots out of range, shots of an amplitude, or a seed without
        shots.

    Examples
    --------
    >>> quantum_gaf(np.array([0.0, np.pi / 4, np.pi / 2]), 3).round(9) + 0.0
    array([[ 1.,  0., -1.],
           [ 0., -1.,  0.],
           [-1.,  0.,  1.]])
    >>> quantum_gaf(np.array([0.0, np.pi / 4]), 2, readout="x", sign="minus") + 0.0
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    check_quantum(readout, sign, scale, shots, seed)
    x = floating(x)
    if shots is not None:
        return _measured(x, size, readout, sign, scale, int(shots), seed, segmentation, dtype)
    xp = array_namespace(x)
    angle = scale * paa(x, size, segmentation)
    if readout in ("z", "x"):
        angle = 2 * angle
    c, s = xp.cos(angle), xp.sin(angle)
    if dtype is not None:
        c, s = xp.astype(c, dtype, copy=False), xp.astype(s, dtype, copy=False)
    if readout in ("z", "amplitude-cos"):
        cc, ss = c[..., :, None] * c[..., None, :], s[..., :, None] * s[..., None, :]
        return cc - ss if sign == "plus" else cc + ss
    sc = s[..., :, None] * c[..., None, :]
    cs = xp.matrix_transpose(sc)
    return sc + cs if sign == "plus" else sc - cs


def quantum_bounds() -> tuple[float, float]:
    """Return the least and the largest value that `quantum_gaf` can give, up to rounding, whatever its options.

    Examples
    --------
    >>> quantum_bounds()
    (-1.0, 1.0)
    """
    return -1.0, 1.0


def _measured(
    x: Any,
    size: int,
    readout: Readout,
    sign: Sign,
    scale: float,
    shots: int,
    seed: int,
    segmentation: Segmentation,
    dtype: Any,
) -> Any:
    """Draw each pixel as the mean of `shots` outcomes of +1 or -1."""
    xp = array_namespace(x)
    host = to_device(x.detach() if is_torch_array(x) else x, "cpu")
    series = np.asarray(xp.astype(host, xp.float64))
    flat = series.reshape(-1, series.shape[-1])
    drawn = np.empty((len(flat), size, size))
    for i, one in enumerate(flat):
        # One at a time: in a batch the averages may round otherwise, and one other draw shifts all that follow.
        expected = quantum_gaf(one, size, readout=readout, sign=sign, scale=scale, segmentation=segmentation)
        key = f"{seed} {readout} {sign} {float(scale)} {shots} {segmentation} ".encode() + one.astype("<f8").tobytes()
        generator = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "little"))
        ups = generator.binomial(shots, np.clip((1 + expected) / 2, 0, 1))
        drawn[i] = 2 * (ups / shots) - 1
    image = drawn.reshape(*series.shape[:-1], size, size)
    return to_device(xp.asarray(image, dtype=x.dtype if dtype is None else dtype), device(x))


def check_quantum(readout: str, sign: str, scale: float, shots: int | None, seed: int = 0) -> None:
    """Raise the UserError that `quantum_gaf` would raise for these options.

    Examples
    --------
    >>> check_quantum("z", "plus", 0.1, None)
    """
    if readout not in get_args(Readout):
        raise unknown("readout", str(readout), get_args(Readout))
    if sign not in get_args(Sign):
        raise unknown("sign", str(sign), get_args(Sign))
    if not (isinstance(scale, Real) and 0 < float(scale) < math.inf):
        raise UserError(f"scale {scale} is not allowed: it must be a finite number above 0, in radians per unit")
    if shots is None and seed != 0:
        raise UserError(f"seed {seed} does nothing without shots: expectations are not measured")
    if shots is None:
        return
    if not (isinstance(shots, Integral) and int(shots) >= 1):
        raise UserError(
            f"shots {shots} is not allowed: it must be a whole number of 1 or more, or None for expectations"
        )
    if readout not in ("z", "x"):
        raise UserError(f"shots {shots} cannot be taken of the readout {readout}: measurements see only z and x")
