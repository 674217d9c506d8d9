"""What is wrong with a window: one set of flags per window and channel.

A flag says what the numbers show, not why. Equal neighbours are the trace of most faults, so flags are to be looked for
before anything smooths them away: filters, resampling and filled gaps. `experiments/quality_rates.py` measures which share
of the windows of real sets is flagged; the thresholds were chosen by looking at the same sets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsimage.blocks import blocks
from tsimage.errors import UserError, unknown
from tsimage.units import STANDARD_GRAVITY
from tsimage.windows import Windows

FULL_SCALES = {
    "g": (2.0, 3.0, 4.0, 6.0, 8.0, 16.0),
    "m/s^2": tuple(g * STANDARD_GRAVITY for g in (2.0, 3.0, 4.0, 6.0, 8.0, 16.0)),
    "deg/s": (250.0, 500.0, 1000.0, 2000.0),
    "rad/s": tuple(math.radians(rate) for rate in (250.0, 500.0, 1000.0, 2000.0)),
}
"""Ends of the ranges that accelerometers and gyroscopes are sold with, by unit."""

_GRAVITY = {"g": 1.0, "m/s^2": STANDARD_GRAVITY}
_SPIKE_FLOOR = {"g": 0.1, "m/s^2": 0.1 * STANDARD_GRAVITY, "rad/s": 0.25, "deg/s": math.degrees(0.25)}
_SLOW_UNITS = ("degC", "bpm")  # repeat themselves while nothing is wrong
_PLATEAU, _FLAT_TOP = 3, 5  # samples
_RUN, _STUCK_S, _FROZEN_S = 10, 0.5, 0.2
_LEVELS = 20  # so many steps of the converter are a movement, whatever the unit
_END_SHARE, _SAME_END_SHARE = 0.03, 0.005
_SPIKE_RATE_HZ = 40.0
_MEDIAN_STEPS, _MEAN_STEPS, _STEPS_BESIDE = 18, 6, 3
_NON_WEAR_S = 1800.0
_QUIET_SHARE = 0.01
_BLOCK_BYTES = 1 << 19  # with the arrays beside it, it stays in the cache


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A kind of fault: its bit in the flags of a window, and what it means."""

    bit: int
    meaning: str


FLAGS = {
    name: Flag(bit=1 << position, meaning=meaning)
    for position, (name, meaning) in enumerate(
        {
            "constant": "the channel does not move at all in this window",
            "stuck": "the channel repeats one value for 0.5 s and at least 10 samples while another channel of its sensor "
            "moves through 20 levels (or, where it is the only channel, while the rest of the window does)",
            "saturated": "at least 3 samples in a row stand at the window's extreme, within 0.5 % of the channel's extreme in the "
            "whole set, which is within 3 % of an end of a sensor's range (or beyond 97 % of the full scale that is given)",
            "clipped": "the window has flat tops away from a known end of the range: 5 samples in a row at its extreme, or 3 in a "
            "row more than once, and fewer in the 5 % of its range next to it, which is 20 levels or more, "
            "and not all channels of the sensor stand still there",
            "dropout": "all channels of a sensor repeat themselves at once for 0.2 s and at least 10 samples, or are exactly "
            "0 for 3 samples (a sensor of one channel: exactly 0 for as long as the former)",
            "spike": "single samples, one a second at most, stand off both neighbours by 18 median steps, 6 mean steps, 3 times "
            "the steps beside them, and 0.1 g or 0.25 rad/s (other units: 20 levels); needs a rate of at least 40 Hz",
            "gap": "samples are missing or were filled",
            "non-wear": "the window belongs to 30 minutes or more of one recording in each of whose windows all axes of an "
            "accelerometer stay below 13 mg standard deviation and 50 mg range; needs rate, unit and recording",
            "wrong-unit": "gravity contradicts the stated unit: near 1 where m/s^2 is stated, or above 5 where g is",
        }.items()
    )
}
"""Every flag by name, in the order of their bits."""


@np.errstate(over="ignore", invalid="ignore")  # of values beyond 1e19 the power, and beyond 1e38 a step, are infinite
def inspect(windows: Windows, *, full_scale: Mapping[str, float] | None = None) -> np.ndarray:
    """Look for faults in every channel of every window.

    A flag that needs a rate, a unit or the recording is not set where this is unknown. Channels are taken as one
    sensor if their names differ by a last letter x, y or z and their units agree. Temperature and heart rate, which
    stand still by nature, are only looked at for `constant` and `gap`.

    Parameters
    ----------
    windows : Windows
        Values may be a memory map and may be missing (NaN) where `gaps` says so.
    full_scale : mapping of str to float, optional
        The end of the sensor's range by unit, such as `{"g": 8}`, where it is known; by default any of `FULL_SCALES`.

    Returns
    -------
    ndarray of uint16, shape (window, channel)
        Sums of the bits of `FLAGS`.

    Raises
    ------
    UserError
        For a full scale that is not positive, or of a unit that no channel has.

    Notes
    -----
    The limits of stillness, 13 mg and 50 mg, are GGIR's defaults for the method of van Hees et al. (PLoS ONE 6(7) e22922,
    2011, and 8(4) e61691, 2013), which judges blocks of 30 and 60 minutes by two of three axes; here all axes must be
    still in every window, and 30 minutes of a sleeper without a movement are flagged too. Movements
    of a body have little power above 15 Hz (Antonsson & Mann, J. Biomech. 18, 1985): from 40 Hz on one sample is
    narrower than a movement, below it is not. A knock on the sensor is, and counts as a spike.

    Examples
    --------
    >>> import tsimage
    >>> windows = tsimage.load("basic-motions")
    >>> windows.values[30, 1, 40:60] = windows.values[30, 1].mean()
    >>> describe(inspect(windows)[30], windows.channels)
    'stuck(acc-y)'
    """
    flags = np.zeros(windows.values.shape[:2], dtype=np.uint16)
    rate, units = windows.rate_hz or math.nan, windows.units
    ranges = windows.ranges()
    outer, inner = _ends(windows, ranges, full_scale)
    if not len(windows):
        return flags
    sensors = _sensors(windows)
    looked_at = np.array([unit not in _SLOW_UNITS for unit in units])
    accelerations = np.flatnonzero([unit in _GRAVITY for unit in units])
    power = np.full(flags.shape, np.nan)  # mean square
    movement = power.copy()  # the part of it around the mean
    for start, block in blocks(windows.values, _BLOCK_BYTES):
        rows = slice(start, start + len(block))
        found = {}
        same = block[..., 1:] == block[..., :-1]
        flat = (same[..., 1:] & same[..., :-1]).any(axis=2) & looked_at
        if flat.any():
            found["stuck"] = _stuck(block, flat, sensors, _samples(_STUCK_S, rate))
            found["dropout"] = _dropouts(block, flat, sensors, _samples(_FROZEN_S, rate))
            found["saturated"], clipped = _flat_tops(block, flat, ranges[rows], outer, inner)
            found["clipped"] = clipped & ~_dropouts(block, flat, sensors, _FLAT_TOP)  # that all channels share
        if rate >= _SPIKE_RATE_HZ:
            found["spike"] = _spikes(block, units, rate) & looked_at
        for name, where in found.items():
            flags[rows][where] |= FLAGS[name].bit
        if len(accelerations):
            some = block[:, accelerations]
            power[rows, accelerations] = np.einsum("wct,wct->wc", some, some) / windows.length
            movement[rows, accelerations] = power[rows, accelerations] - some.mean(axis=2, dtype=np.float64) ** 2
    flags[ranges[:, :, 0] == ranges[:, :, 1]] |= FLAGS["constant"].bit
    if windows.gaps is not None:
        flags[windows.gaps] |= FLAGS["gap"].bit
    recordings = _numbered(windows.recordings)
    for sensor in sensors:
        gravity = _GRAVITY.get(units[sensor[0]])
        if gravity is None:
            continue
        span = ranges[:, sensor, 1] - ranges[:, sensor, 0]
        still = (movement[:, sensor] < (0.013 * gravity) ** 2) & (span < 0.05 * gravity)
        flags[np.ix_(_not_worn(windows, recordings, still.all(axis=1)), sensor)] |= FLAGS["non-wear"].bit
        if len(sensor) == 3:
            wrong = _wrong_unit(recordings, power[:, sensor].sum(axis=1), movement[:, sensor].sum(axis=1), gravity == 1)
            flags[np.ix_(wrong, sensor)] |= FLAGS["wrong-unit"].bit
    return flags


def counts(windows: Windows) -> dict[str, int]:
    """Return how many windows have each flag on any channel; windows that were not inspected are.

    Examples
    --------
    >>> import tsimage
    >>> counts(tsimage.load("basic-motions"))["gap"]
    0
    """
    flags = inspect(windows) if windows.flags is None else windows.flags
    in_window = np.bitwise_or.reduce(flags, axis=1)
    return {name: int((in_window & flag.bit > 0).sum()) for name, flag in FLAGS.items()}


def describe(flags: np.ndarray, channels: Sequence[str]) -> str:
    """Write the flags of one window as text, empty where there are none.

    Parameters
    ----------
    flags : ndarray of uint16, shape (channel,)
    channels : sequence of str

    Examples
    --------
    >>> describe(np.array([2, 34, 0], dtype=np.uint16), ["acc-x", "acc-y", "acc-z"])
    'stuck(acc-x|acc-y)+spike(acc-y)'
    """
    if not flags.any():
        return ""
    pairs = list(zip(channels, flags.tolist(), strict=True))
    where = {name: [c for c, bits in pairs if bits & f.bit] for name, f in FLAGS.items()}
    return "+".join(f"{name}({'|'.join(names)})" for name, names in where.items() if names)


def without(windows: Windows, names: Sequence[str]) -> Windows:
    """Return the windows that have none of the named flags on any channel; windows that were not inspected are.

    Raises
    ------
    UserError
        For a name that is no flag.

    Examples
    --------
    >>> import tsimage
    >>> len(without(tsimage.load("basic-motions"), ["stuck", "gap"]))
    80
    """
    for name in names:
        if name not in FLAGS:
            raise unknown("quality flag", name, FLAGS)
    flags = inspect(windows) if windows.flags is None else windows.flags
    bad = (flags & sum(FLAGS[name].bit for name in set(names)) > 0).any(axis=1)
    return replace(windows, flags=flags).select(~bad)


def _sensors(windows: Windows) -> list[np.ndarray]:
    """Group the channels that are axes of one sensor; those of units that stand still by nature are left out."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, (name, unit) in enumerate(zip(windows.channels, windows.units, strict=True)):
        axis = re.fullmatch(r"(.*?)[-_. ]?[xyz]", name, flags=re.IGNORECASE)
        if unit not in _SLOW_UNITS:
            groups.setdefault((f"{name} alone" if axis is None else axis[1], unit), []).append(i)
    return [np.array(group) for group in groups.values()]


def _samples(seconds: float, rate_hz: float) -> int:
    return _RUN if math.isnan(rate_hz) else max(_RUN, round(seconds * rate_hz))


def _sliding(combine: np.ufunc, x: np.ndarray, n: int) -> np.ndarray:
    """Combine every n neighbours along the last axis, which gets n - 1 shorter."""
    width = 1
    while width < n:
        step = min(width, n - width)
        x = combine(x[..., :-step], x[..., step:])
        width += step
    return x


def _smallest_step(x: np.ndarray) -> np.ndarray:
    """Return the smallest step between neighbours along the last axis that is not 0: the converter's; else infinity."""
    steps = np.abs(np.diff(x, axis=-1))
    return np.where(steps > 0, steps, np.inf).min(axis=-1, initial=np.inf)


def _ends(
    windows: Windows, ranges: np.ndarray, full_scale: Mapping[str, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return between which values each channel stands at the lower and at the upper end of its sensor's range.

    Where the full scale is not given, an end is the extreme of the channel in the whole set, if it is near one that is
    sold; NaN where it is not. Both arrays have the shape (channel, 2); the first are the outer values.
    """
    given = full_scale or {}
    for unit, value in given.items():
        if not 0 < value < math.inf:
            raise UserError(f"full scale {value} {unit} is not allowed: it must be positive")
        if unit not in windows.units:
            raise unknown("unit of a full scale", unit, dict.fromkeys(unit for unit in windows.units if unit))
    signs = np.array([-1.0, 1.0])
    reach = signs * np.fmax.reduce(signs * ranges, axis=0, initial=-np.inf)
    outer, inner = np.full((2, *reach.shape), np.nan)
    for channel, unit in enumerate(windows.units):
        for side, sign in enumerate(signs):
            if unit in given:
                outer[channel, side] = sign * math.inf
                inner[channel, side] = sign * given[unit] * (1 - _END_SHARE)
            elif any(abs(sign * reach[channel, side] - end) <= _END_SHARE * end for end in FULL_SCALES.get(unit, ())):
                outer[channel, side] = reach[channel, side]
                inner[channel, side] = reach[channel, side] * (1 - _SAME_END_SHARE)
    return outer, inner


def _flat_tops(
    block: np.ndarray, flat: np.ndarray, ranges: np.ndarray, outer: np.ndarray, inner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell where a plateau stands at an extreme of the window: at an end of the sensor's range, and elsewhere."""
    saturated, clipped = np.zeros((2, *flat.shape), dtype=bool)
    for side, sign in enumerate((-1, 1)):
        window, channel = np.nonzero(flat)
        at = block[window, channel] == ranges[window, channel, side, None]
        begins = _sliding(np.logical_and, at, _PLATEAU)
        some = begins.any(axis=1)
        window, channel, at, begins = window[some], channel[some], at[some], begins[some]
        x, extreme = block[window, channel], ranges[window, channel, side]
        at_end = (sign * extreme >= sign * inner[channel, side]) & (sign * extreme <= sign * outer[channel, side])
        saturated[window, channel] |= at_end
        plateaus = begins[:, 0] + (begins[:, 1:] & ~begins[:, :-1]).sum(axis=1)
        flat_top = (plateaus > 1) | _sliding(np.logical_and, at, _FLAT_TOP).any(axis=1)
        span = ranges[window, channel, 1] - ranges[window, channel, 0]
        fine = span >= _LEVELS * _smallest_step(x)  # so that 5 % of it are a level at least
        beside = (np.abs(x - extreme[:, None]) <= 0.05 * span[:, None]).sum(axis=1) - at.sum(axis=1)
        clipped[window, channel] |= flat_top & ~at_end & fine & (at.sum(axis=1) > beside)
    return saturated, clipped


def _stuck(block: np.ndarray, flat: np.ndarray, sensors: list[np.ndarray], n: int) -> np.ndarray:
    """Tell which channels repeat one value n times while their sensor moves."""
    stuck = np.zeros(flat.shape, dtype=bool)
    n = min(n, block.shape[2])
    for sensor in sensors:
        rows = np.flatnonzero(flat[:, sensor].any(axis=1))
        x = block[np.ix_(rows, sensor)]
        repeats = _sliding(np.logical_and, x[..., 1:] == x[..., :-1], n - 1)
        some = repeats.any(axis=(1, 2))
        rows, x, repeats = rows[some], x[some], repeats[some]
        if len(sensor) > 1:
            span = _sliding(np.maximum, x, n) - _sliding(np.minimum, x, n)
        else:
            span = x.max(axis=2, keepdims=True) - x.min(axis=2, keepdims=True)
        moves = (span >= _LEVELS * _smallest_step(x)[..., None]).any(axis=1, keepdims=True)
        stuck[np.ix_(rows, sensor)] = (repeats & moves).any(axis=2)
    return stuck


def _dropouts(block: np.ndarray, flat: np.ndarray, sensors: list[np.ndarray], n: int) -> np.ndarray:
    """Tell which sensors repeat themselves on all channels n times, or are 0."""
    lost = np.zeros(flat.shape, dtype=bool)
    for sensor in sensors:
        rows = np.flatnonzero(flat[:, sensor].all(axis=1))
        x = block[np.ix_(rows, sensor)]
        zero = _sliding(np.logical_and, (x == 0).all(axis=1), n if len(sensor) == 1 else _PLATEAU).any(axis=1)
        if len(sensor) > 1:
            zero |= _sliding(np.logical_and, (x[..., 1:] == x[..., :-1]).all(axis=1), n - 1).any(axis=1)
        lost[np.ix_(rows[zero], sensor)] = True
    return lost


def _spikes(block: np.ndarray, units: Sequence[str], rate_hz: float) -> np.ndarray:
    """Tell where one sample stands off both neighbours, far beyond what is usual in the window and beside it.

    Where this happens more than once a second, it is a rhythm: the strikes of a runner's heels.
    """
    if block.shape[2] < 3:
        return np.zeros(block.shape[:2], dtype=bool)  # nothing has two neighbours
    floor = np.array([_SPIKE_FLOOR.get(unit, 0.0) for unit in units], dtype=np.float32)
    steps = np.diff(block, axis=2)
    sizes = np.abs(steps)
    mean = sizes.mean(axis=2)
    if np.isnan(mean).any():
        sizes[np.isnan(sizes)] = 0.0  # a missing sample is no step
        mean = sizes.mean(axis=2)
    falls = np.signbit(steps)
    heights = np.minimum(sizes[..., 1:], sizes[..., :-1])
    heights *= falls[..., 1:] != falls[..., :-1]
    spikes = heights.max(axis=2, initial=0) > np.maximum(floor, _MEAN_STEPS * mean)
    window, channel = np.nonzero(spikes)
    if not len(window):
        return spikes
    sizes, heights = sizes[window, channel], heights[window, channel]
    floors = floor[channel]
    unknown_unit = floors == 0
    floors[unknown_unit] = _LEVELS * _smallest_step(block[window[unknown_unit], channel[unknown_unit]])
    least = np.maximum(_MEDIAN_STEPS * np.median(sizes, axis=1), _MEAN_STEPS * mean[window, channel])
    outside = np.pad(sizes, ((0, 0), (1, 1)))
    beside = np.maximum(outside[:, :-3], outside[:, 3:])
    stands_off = heights > np.maximum(np.maximum(least, floors)[:, None], _STEPS_BESIDE * beside)
    number = stands_off.sum(axis=1)
    spikes[window, channel] = (number > 0) & (number <= max(1, int(block.shape[2] / rate_hz)))
    return spikes


def _numbered(recordings: np.ndarray) -> np.ndarray:
    """Number the recordings, -1 where unknown; windows of one recording mostly follow one another."""
    first = np.flatnonzero(np.concatenate([[True], recordings[1:] != recordings[:-1]]))
    names, numbers = np.unique(recordings[first], return_inverse=True)
    numbers = np.where(names[numbers] == "", -1, numbers)
    return np.repeat(numbers, np.diff(np.append(first, len(recordings))))


def _not_worn(windows: Windows, recordings: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Tell which still windows belong to a long still stretch; remainders at changes of label do not end one."""
    if windows.rate_hz is None or not still.any():
        return np.zeros(len(windows), dtype=bool)
    order = np.lexsort((windows.start, recordings))
    still, recording = still[order] & (recordings[order] >= 0), recordings[order]
    start, stop = windows.start[order], windows.stop[order]
    near = (recording[1:] == recording[:-1]) & (start[1:] - stop[:-1] < windows.length)
    first = np.flatnonzero(np.concatenate([[True], ~(still[1:] & still[:-1] & near)]))
    last = np.append(first[1:], len(order)) - 1
    long = still[first] & (stop[last] - start[first] >= _NON_WEAR_S * windows.rate_hz)
    worn = np.ones(len(windows), dtype=bool)
    worn[order] = ~np.repeat(long, last - first + 1)
    return ~worn


def _wrong_unit(recordings: np.ndarray, power: np.ndarray, movement: np.ndarray, in_g: bool) -> np.ndarray:
    """Tell which recordings contradict their unit, in the middle of their windows.

    Nobody is shaken by more than 5 g for half of the time. A level near 1 is gravity only where nothing moves: without
    gravity, movement alone may have any.
    """
    level = np.sqrt(power)
    level[~(np.isfinite(level) if in_g else movement < _QUIET_SHARE * power)] = np.nan
    order = np.lexsort((level, recordings))  # NaN last
    known = np.isfinite(level[order])
    first = np.flatnonzero(np.concatenate([[True], np.diff(recordings[order]) != 0]))
    n_known = np.add.reduceat(known.astype(np.int64), first)
    middle = np.where(n_known > 0, level[order[first + np.maximum(n_known - 1, 0) // 2]], np.nan)
    wrong = middle > 5 if in_g else np.abs(middle - 1) < 0.2
    flagged = np.zeros(len(level), dtype=bool)
    flagged[order] = np.repeat(wrong, np.diff(np.append(first, len(order))))
    return flagged
