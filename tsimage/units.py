"""Units of acceleration, told from gravity: at rest a sensor measures 1 g, which is 9.81 m/s^2 or 1000 mg."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tsimage.errors import UserError
from tsimage.triples import find_triples

STANDARD_GRAVITY = 9.80665
"""In m/s^2."""
GRAVITY = {"g": 1.0, "m/s^2": STANDARD_GRAVITY, "mg": 1000.0}
"""What a sensor at rest measures, by unit."""
TOLERANCE = 0.15
"""The norm at rest may differ from gravity by this share: sensors are calibrated to a few per cent."""
SPELLINGS = {
    **dict.fromkeys(("m/s2", "m/s**2", "m/s\u00b2", "m/s/s", "ms-2", "ms^-2", "m s-2", "m s^-2", "mps2"), "m/s^2"),
    **dict.fromkeys(("dps", "\u00b0/s", "degrees/s", "degree/s", "deg/sec"), "deg/s"),
    **dict.fromkeys(("radians/s", "rad/sec"), "rad/s"),
    "G": "g",
    "milli-g": "mg",
}
"""Other ways to write the units that have a fixed range; they are refused, naming the one to use."""
_FREE = 0.3  # below this norm there is no gravity in it, in whatever unit
_STRETCH = 64  # samples over which rest is judged
_UNREST = 0.25  # of the norm: its standard deviation there; 0.42 is that of a random vector without gravity
_PER_UNIT = {"g": STANDARD_GRAVITY, "m/s^2": 1.0, "mg": STANDARD_GRAVITY / 1000}, {"deg/s": np.pi / 180, "rad/s": 1.0}


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What gravity says about three channels.

    Parameters
    ----------
    channels : tuple of str
        The x, y and z of one sensor.
    norm : float
        Median length of the acceleration vector over the calmest quarter of the data; NaN where nothing can be judged.
    at_rest : bool
        Whether that length is steady, as gravity is.
    unit : str
        "g", "m/s^2" or "mg"; empty where gravity is not in it, or is no known number.
    """

    channels: tuple[str, ...]
    norm: float
    at_rest: bool
    unit: str

    def __str__(self) -> str:
        names = ", ".join(self.channels)
        if np.isnan(self.norm):
            return f"{names}: no stretch without missing samples to tell the unit from"
        if self.unit:
            return f"{names}: median norm {self.norm:.3g}, so {self.unit} (gravity is {_rounded(self.unit)})"
        why = (
            "gravity was removed, or this is no acceleration"
            if self.norm < _FREE
            else "gravity in no known unit"
            if self.at_rest
            else "never at rest, or without gravity"
        )
        return f"{names}: median norm {self.norm:.3g}, {why}: the unit stays unknown unless stated (option units)"


def detect(values_blocks: Iterable[np.ndarray], channels: Sequence[str]) -> list[Detected]:
    """Tell the units of acceleration triples from gravity.

    Triples are channels of one stem that end in x, y and z: those whose stem says acceleration (`acc-x`, `hand-acc16-x`,
    `total_acc_x`, but not `body_acc_x` or `linear-acceleration-x`, which hold no gravity); and, where there are just three
    channels without a name (`channel0`, or only `x`), those. `ax`, `ay` and `az` are accelerations too.

    Parameters
    ----------
    values_blocks : iterable of ndarray, shape (..., channel, time)
        Recordings or blocks of windows; NaN where missing.
    channels : sequence of str
        Their names.

    Returns
    -------
    list of Detected
        In the order of channels.

    Examples
    --------
    >>> lying = np.repeat([[0.1], [0.0], [9.75]], 100, axis=1)
    >>> print(*detect([lying], ["acc-x", "acc-y", "acc-z"]))
    acc-x, acc-y, acc-z: median norm 9.75, so m/s^2 (gravity is 9.81)
    """
    triples = _triples(channels)
    calm: list[list[np.ndarray]] = [[] for _ in triples]
    if triples:
        for block in values_blocks:
            for triple, found in zip(triples, calm, strict=True):
                found.append(_means_and_spreads(np.asarray(block)[..., triple, :]))
    detected = []
    for triple, found in zip(triples, calm, strict=True):
        means, spreads = np.concatenate(found, axis=1) if found else np.zeros((2, 0))
        calmest = spreads <= np.quantile(spreads, 0.25) if len(spreads) else np.zeros(0, dtype=bool)
        norm = float(np.median(means[calmest])) if calmest.any() else float("nan")
        at_rest = bool(calmest.any() and np.median(spreads[calmest]) <= _UNREST * norm)
        near = [unit for unit, gravity in GRAVITY.items() if abs(norm / gravity - 1) <= TOLERANCE]
        detected.append(
            Detected(
                channels=tuple(channels[i] for i in triple),
                norm=norm,
                at_rest=at_rest,
                unit=near[0] if near and at_rest else "",
            )
        )
    return detected


def stated(
    values_blocks: Iterable[np.ndarray], channels: Sequence[str], units: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Fill in the units of accelerations that gravity tells, and compare those given.

    Parameters
    ----------
    values_blocks : iterable of ndarray, shape (..., channel, time)
        Recordings or blocks of windows.
    channels, units : sequence of str
        Name and unit of each channel; an empty unit where unknown.

    Returns
    -------
    units : tuple of str
        Those given stay, whatever gravity says; empty ones of an acceleration are filled in where gravity is clear.
        Channels without a name are never filled in.
    statements : list of str
        One sentence on each triple; it begins with WARNING where gravity contradicts the unit given.

    Examples
    --------
    >>> lying = np.repeat([[0.0], [0.02], [1.01]], 100, axis=1)
    >>> units, said = stated([lying], ["acc-x", "acc-y", "acc-z"], ["m/s^2"] * 3)
    >>> units, said[0]  # doctest: +NORMALIZE_WHITESPACE
    (('m/s^2', 'm/s^2', 'm/s^2'), 'WARNING: acc-x, acc-y, acc-z: stated in m/s^2, but the median norm 1.01 says g
    (gravity is 1): check the unit (option units)')
    """
    filled, statements = list(units), []
    for found in detect(values_blocks, channels):
        where = [channels.index(name) for name in found.channels]
        given = {units[i] for i in where} - {""}
        names = ", ".join(found.channels)
        known = [unit for unit in GRAVITY if unit in given]
        if len(given) > 1:
            statements.append(f"WARNING: {names}: one sensor stated in {' and '.join(sorted(given))}: check the units")
        elif known and not np.isnan(found.norm):
            statements.append(_compared(names, known[0], found))
        elif given:
            continue  # a gyroscope under a short name, or a unit that gravity says nothing about
        elif found.unit and not _says_acceleration(found.channels[0]):
            statements.append(
                f"{names}: median norm {found.norm:.3g}, likely an acceleration in {found.unit}: state it if so (option units)"
            )
        else:
            statements.append(str(found))
        if found.unit and not given and _says_acceleration(found.channels[0]):
            for i in where:
                filled[i] = found.unit
    return tuple(filled), statements


def converted(values: np.ndarray, unit_from: str, unit_to: str) -> np.ndarray:
    """Convert accelerations (g, mg, m/s^2) or turning rates (deg/s, rad/s).

    Raises
    ------
    UserError
        For units that do not measure the same.

    Examples
    --------
    >>> converted(np.array([1.0]), "g", "m/s^2")
    array([9.80665])
    """
    for factors in _PER_UNIT:
        if unit_from in factors and unit_to in factors:
            return values * (factors[unit_from] / factors[unit_to])
    raise UserError(
        f"cannot convert '{unit_from}' to '{unit_to}': allowed are g, mg and m/s^2 into one another, and deg/s and rad/s"
    )


def _compared(names: str, unit: str, found: Detected) -> str:
    if found.unit == unit:
        return f"{names}: in {unit} as stated (median norm {found.norm:.3g}, gravity is {_rounded(unit)})"
    if found.unit:
        return (
            f"WARNING: {names}: stated in {unit}, but the median norm {found.norm:.3g} says {found.unit} (gravity is "
            f"{_rounded(found.unit)}): check the unit (option units)"
        )
    if not found.at_rest:
        return f"{names}: in {unit} as stated (never at rest, or without gravity, so nothing tells otherwise)"
    return (
        f"WARNING: {names}: stated in {unit}, but the median norm is {found.norm:.3g} where gravity would be "
        f"{_rounded(unit)}: gravity was removed, or the unit is another"
    )


def _rounded(unit: str) -> str:
    return f"{round(GRAVITY[unit], 2):g}"


def _triples(channels: Sequence[str]) -> list[list[int]]:
    triples = find_triples(channels)
    nameless = len(channels) == 3 and ("" in triples or all(re.fullmatch(r"channel\d+", c) for c in channels))
    return [[0, 1, 2]] if nameless else [list(axes) for stem, axes in triples.items() if _says_acceleration(stem)]


def _says_acceleration(name: str) -> bool:
    stem = name.casefold()
    says = re.search(r"acc(el(eration|erometer|erometry)?)?([\W_\d]|[xyz]?$)|^a[\W_]*[xyz]?$", stem) is not None
    return says and re.search(r"body|linear|user|free|jerk", stem) is None


def _means_and_spreads(triple: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation of the norm over short stretches without missing samples: (2, stretch)."""
    norm = np.sqrt(np.square(triple.astype(np.float64)).sum(axis=-2))
    length = min(_STRETCH, norm.shape[-1])
    if not length:
        return np.zeros((2, 0))
    whole = norm.shape[-1] // length * length
    stretches = norm[..., :whole].reshape(-1, length)
    stretches = stretches[np.isfinite(stretches).all(axis=1) & stretches.any(axis=1)]
    return np.stack([stretches.mean(axis=1), stretches.std(axis=1)])
