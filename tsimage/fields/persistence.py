"""Persistence images of the sublevel sets of a series.

Sources: H. Adams et al., "Persistence Images: A Stable Vector Representation of Persistent Homology", JMLR 18
(2017); the defaults are those of the code released with E. S. Jeon et al., "Topological Knowledge Distillation
for Wearable Sensor Data", Asilomar 2022.

As a level rises from the minimum of a series to its maximum, a component of the samples below it is born at
every local minimum; at a local maximum two components meet and the one born later (higher) dies, the elder rule.
Every death gives a pair (birth, death). The component of the lowest sample never dies and gives none.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array

from tsimage.errors import UserError, unknown
from tsimage.segments import floating

Compat = Literal["persim"]

REACH = 9.0
"""Spreads from its centre where a Gaussian ends: what lies beyond, 2e-19 of it, is lost in rounding."""


def persistence_pairs(x: Any) -> Any:
    """Return the finite birth-death pairs of the 0-dimensional sublevel-set filtration of one series.

    Parameters
    ----------
    x : array or tensor, shape (T,)
        Finite series, T >= 1. Which of equal samples counts as the elder makes no difference to the pairs.

    Returns
    -------
    array or tensor, shape (n_pairs, 2)
        Birth and death, both samples of `x` and of its floating dtype, sorted by birth and then by death; at most
        (T - 1) // 2 pairs, each with birth < death. Not differentiable.

    Raises
    ------
    UserError
        For anything but one series with at least 1 sample.

    Examples
    --------
    >>> persistence_pairs(np.array([0.0, 3.0, 1.0, 4.0, 2.0, 5.0]))
    array([[1., 3.],
           [2., 4.]])
    """
    from tsimage.fields._persistence_loops import finite_pairs

    x = floating(x)
    if len(x.shape) != 1 or x.shape[0] < 1:
        raise UserError(f"persistence pairs need one series of shape (T,) with T >= 1, got shape {tuple(x.shape)}")
    room = x.shape[0] // 2 + 1
    births, deaths = np.empty(room), np.empty(room)
    found = finite_pairs(_on_cpu(x), births, deaths)
    births, deaths = births[:found], deaths[:found]
    pairs = np.stack([births, deaths], axis=-1)[np.lexsort((deaths, births))]
    return _like(x, pairs, x.dtype)


def persistence_image(
    x: Any,
    size: int = 64,
    *,
    limits: Any | None = None,
    target: tuple[float, float] = (-1.0, 1.0),
    spread: float = 0.015,
    birth_range: tuple[float, float] = (-1.0, 1.0),
    noise: float = 1e-3,
    keep: float = 0.01,
    compat: Compat | None = None,
    dtype: Any = None,
) -> Any:
    """Paint series as persistence images: births from left to right, persistence (death - birth) from bottom to top.

    The scaled series is not averaged first: every sample counts, and the size of the image is free. Each pair
    becomes a Gaussian weighted by persistence / (greatest persistence); each pixel is the exact integral of their
    sum over its square; the image is divided by its maximum.

    The columns share `birth_range` equally and the rows share (0, width of `birth_range`), so pixels are square and
    with `birth_range` equal to `target`, as by default, no pair can fall outside. Row 0 holds the greatest
    persistence, as `persim` plots it. What a Gaussian spreads outside the image is lost.

    Parameters
    ----------
    x : array or tensor, shape (..., T)
        Finite series, T >= 1; computed in float64 on the CPU wherever they are. Not differentiable.
    size : int
        Side S of the image, 1 or more; it may exceed T.
    limits : array-like, shape (2,) or broadcastable to (..., 2), optional
        Fixed range (low, high) in the units of `x` that is mapped to `target`; values outside are clipped. By
        default each series is scaled by its own minimum and maximum; a constant one becomes the lower end.
    target : (float, float)
        The range of the scaled series.
    spread : float
        Standard deviation of the Gaussians, in scaled units, above 0.
    birth_range : (float, float)
        Births at the left and right edge of the image, in scaled units.
    noise, keep : float
        Pairs of persistence up to `noise`, and then up to `keep`, are dropped, in scaled units: the released code
        does it in these two steps. The larger of the two decides.
    compat : {"persim"}, optional
        Reproduce `persim.PersImage(pixels=(S, S), spread=spread, specs={"minBD": low, "maxBD": high})` for
        `birth_range` (low, high), as the released code calls it. There a pixel is high / S wide, but pixels start
        (high - low) / (S - 1) apart: from -1 to 1 half of every step is left out. Rows end at persistence `high`,
        and where all pairs lie above it the image is the magnified tail of a Gaussian.
    dtype : dtype, optional
        Floating type of the result; default that of `x`.

    Returns
    -------
    array or tensor, shape (..., S, S), values in [0, 1]
        On the device of `x`; all zero where no pair is left.

    Raises
    ------
    UserError
        For an empty series, a size below 1, ranges or limits out of order, a spread not above 0, a `noise` or `keep`
        below 0, an unknown `compat`, or one whose `birth_range` does not end above 0.

    Examples
    --------
    The minimum on the right, 1, meets the elder one at 3: scaled, birth -0.5 and persistence 1.

    >>> x = np.array([0.0, 3.0, 1.0, 4.0])
    >>> persistence_image(x, 5, spread=0.1).round(2)
    array([[0.  , 0.  , 0.  , 0.  , 0.  ],
           [0.  , 0.02, 0.  , 0.  , 0.  ],
           [0.19, 1.  , 0.  , 0.  , 0.  ],
           [0.  , 0.02, 0.  , 0.  , 0.  ],
           [0.  , 0.  , 0.  , 0.  , 0.  ]])
    """
    x = floating(x)
    shape = tuple(int(n) for n in x.shape)
    if not shape or shape[-1] < 1:
        raise UserError(f"a persistence image needs series of shape (..., T) with T >= 1, got shape {shape}")
    if size < 1:
        raise UserError(f"size {size} is not allowed: images have at least 1 pixel on a side")
    check_persistence(spread, birth_range, noise, keep, compat)
    columns, rows = _pixels(size, birth_range, compat)
    scaled = _scale(_on_cpu(x), array_namespace(x).finfo(x.dtype).eps, limits, target)

    from tsimage.fields._persistence_loops import paint

    dtype = x.dtype if dtype is None else dtype
    single = array_namespace(x).finfo(dtype).bits <= 32
    out = np.empty((*shape[:-1], size, size), dtype=np.float32 if single else np.float64)
    reach = np.inf if compat else REACH * spread
    series = scaled.reshape(-1, shape[-1])
    paint(series, columns, rows, float(spread), reach, float(max(noise, keep)), out.reshape(-1, size, size))
    return _like(x, out, dtype)


def check_persistence(
    spread: float, birth_range: tuple[float, float], noise: float, keep: float, compat: str | None
) -> None:
    """Raise the UserError that `persistence_image` would raise for these options.

    Examples
    --------
    >>> check_persistence(0.015, (-1.0, 1.0), 1e-3, 0.01, "persim")
    """
    if not 0 < spread < np.inf:
        raise UserError(f"spread {spread} is not allowed: the standard deviation of a Gaussian must be above 0")
    for name, least in (("noise", noise), ("keep", keep)):
        if not 0 <= least < np.inf:
            raise UserError(f"{name} {least} is not allowed: pairs are dropped up to a persistence of 0 or more")
    if not (len(birth_range) == 2 and -np.inf < birth_range[0] < birth_range[1] < np.inf):
        raise UserError(f"birth range {birth_range} is not allowed: it must satisfy low < high")
    if compat is not None and compat not in get_args(Compat):
        raise unknown("compat", str(compat), get_args(Compat))
    if compat is not None and birth_range[1] <= 0:
        raise UserError(f"birth range {birth_range} is not allowed with compat='persim': its upper end must be above 0")


def _pixels(size: int, birth_range: tuple[float, float], compat: Compat | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends of the pixels' births and of their persistences, each (2, S)."""
    low, high = birth_range
    if compat is None:
        births, persistences = np.linspace(low, high, size + 1), np.linspace(0, high - low, size + 1)
        return np.stack([births[:-1], births[1:]]), np.stack([persistences[:-1], persistences[1:]])
    births, persistences = np.linspace(min(low, 0), high, size), np.linspace(0, high, size)
    width = high / size
    return np.stack([births, births + width]), np.stack([persistences, persistences + width])


def _scale(x: np.ndarray, eps: float, limits: Any | None, target: tuple[float, float]) -> np.ndarray:
    """Map float64 series to `target`; `eps` is that of their own type and decides what is constant."""
    lo, hi = target
    if not -np.inf < lo < hi < np.inf:
        raise UserError(f"target range {target} is not allowed: it must satisfy low < high")
    if limits is None:
        low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
        constant = high - low <= 10 * eps * np.maximum(1, np.abs(x).max(axis=-1, keepdims=True))
        high = np.where(constant, np.inf, high)
    else:
        bounds = np.asarray(limits, dtype=np.float64)
        if not (bounds[..., 1] > bounds[..., 0]).all():
            raise UserError(f"limits {limits} are not allowed: each lower limit must be below its upper limit")
        low, high = bounds[..., :1], bounds[..., 1:]
        x = np.clip(x, low, high)
    return np.ascontiguousarray(lo + (hi - lo) * ((x - low) / (high - low)))


def _on_cpu(x: Any) -> np.ndarray:
    return np.ascontiguousarray(x.detach().cpu().double() if is_torch_array(x) else x, dtype=np.float64)


def _like(x: Any, values: np.ndarray, dtype: Any) -> Any:
    xp = array_namespace(x)
    return xp.asarray(values, dtype=dtype, device=device(x))
