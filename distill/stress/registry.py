"""The conditions under which models are stressed, by name: what is damaged, how badly, and who did so before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from distill.augment.streams import Streams, hash_ids
from distill.stress.losing import gap, missing
from distill.stress.noise import jitter, noise
from distill.stress.rate import lower_rate
from distill.stress.sensors import drift, dropped, rotation, scaling, stuck
from tsimage.errors import UserError, unknown
from tsimage.triples import find_triples

BLOCK = 1024
"""Windows damaged at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensors:
    """What damage must know of the channels.

    Parameters
    ----------
    channels : tuple of str
    mean, std : ndarray of float64, shape (channel,)
        Of the training windows of the models that will see the damage.
    """

    channels: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, channels: Sequence[str]) -> Sensors:
        """Measure training windows (window, channel, time), as `distill.models.standardize.Standardize` does."""
        wide = values.astype(np.float64)
        return cls(channels=tuple(channels), mean=wide.mean(axis=(0, 2)), std=wide.std(axis=(0, 2)))

    @property
    def triples(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(find_triples(self.channels).values())


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A kind of damage.

    Parameters
    ----------
    name : str
    apply : callable
        `apply(values, level, streams, sensors)` gives the windows anew; `level` is a number, or a position of a channel.
    levels : tuple of str
        As numbers or fractions, from the mildest to the worst; empty where each channel is one.
    unit : str
        Of the levels, for an axis.
    phrase : str
        What a level is in words, with {} for the level.
    meaning : str
        What becomes of the windows, a sentence without its stop.
    source : str
        Where the kind of damage or its levels come from; empty where from here.
    clean : int
        How many levels stand before undamaged windows on an axis.
    """

    name: str
    apply: Callable[[np.ndarray, Any, Streams, Sensors], np.ndarray]
    levels: tuple[str, ...]
    unit: str
    phrase: str
    meaning: str
    source: str = ""
    clean: int = 0

    def levels_for(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Return the levels for windows of these channels."""
        return self.levels or tuple(channels)

    def why_not(self, channels: Sequence[str], length: int) -> str:
        """Return why windows of such channels and samples cannot be damaged so; empty where they can."""
        if self.name == "rotation" and not find_triples(channels):
            return "no three channels are the x, y and z of one sensor"
        if self.name == "rate" and length <= max(Fraction(level).denominator for level in self.levels):
            return f"windows of {length} samples are too short"
        return ""


_PUBLISHED = "compare E. S. Jeon et al., arXiv:2407.05315, and Sensors 2025, 25(20), 6396; that these are their levels could not be checked"

CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition(
            name="noise",
            apply=lambda x, level, streams, _: noise(x, streams, snr_db=level),
            levels=("20", "15", "10", "5", "0", "-5"),
            unit="signal-to-noise ratio [dB]",
            phrase="noise at {} dB",
            meaning="white noise at an exact signal-to-noise ratio in every window and channel; what is constant in a window, "
            "as gravity, counts as no signal",
        ),
        Condition(
            name="jitter",
            apply=lambda x, level, streams, sensors: jitter(x, streams, sigma=level, std=sensors.std),
            levels=("0.06", "0.09", "0.12"),
            unit="noise [training s.d.]",
            phrase="noise of {} training deviations",
            meaning="white noise of this standard deviation in the standardised signal, in every window alike",
            source=_PUBLISHED,
        ),
        Condition(
            name="missing",
            apply=lambda x, level, streams, _: missing(x, streams, share=level),
            levels=("0.15", "0.22", "0.30"),
            unit="share of samples",
            phrase="{} of the samples missing",
            meaning="samples lost one by one in all channels at once; the last one that arrived is held",
            source=_PUBLISHED,
        ),
        Condition(
            name="gap",
            apply=lambda x, level, streams, _: gap(x, streams, share=level),
            levels=("0.15", "0.22", "0.30"),
            unit="share of the window",
            phrase="a gap of {} of the window",
            meaning="one stretch of samples lost in all channels at once, and filled by a straight line",
            source=_PUBLISHED,
        ),
        Condition(
            name="rotation",
            apply=lambda x, level, streams, sensors: rotation(x, streams, degrees=level, triples=sensors.triples),
            levels=("15", "30", "45", "90", "180"),
            unit="angle [degrees]",
            phrase="the device turned by {} degrees",
            meaning="the device turned about a random axis by this angle, all its x, y, z triples alike",
            source="compare T. T. Um et al., arXiv:1706.00527",
        ),
        Condition(
            name="scaling",
            apply=lambda x, level, *_: scaling(x, factor=level),
            levels=("0.5", "0.75", "1.25", "1.5", "2"),
            unit="factor",
            phrase="all channels times {}",
            meaning="all channels times a factor",
            source="compare T. T. Um et al., arXiv:1706.00527",
            clean=2,
        ),
        Condition(
            name="drift",
            apply=lambda x, level, streams, sensors: drift(x, streams, slope=level, std=sensors.std),
            levels=("0.5", "1", "2"),
            unit="over the window [training s.d.]",
            phrase="a drift of {} training deviations",
            meaning="a straight line added, from 0 at the first sample to so many training deviations at the last, up or down",
        ),
        Condition(
            name="dropped",
            apply=lambda x, level, _, sensors: dropped(x, channel=level, mean=sensors.mean),
            levels=(),
            unit="channel",
            phrase="channel {} dropped",
            meaning="one channel set to its training mean, each in turn",
        ),
        Condition(
            name="rate",
            apply=lambda x, level, *_: lower_rate(x, factor=round(1 / level)),
            levels=("1/2", "1/4", "1/8"),
            unit="share of the model's rate",
            phrase="{} of the sampling rate",
            meaning="sampled at a lower rate without aliasing, and brought back to the rate of the model",
        ),
        Condition(
            name="stuck",
            apply=lambda x, level, *_: stuck(x, share=level),
            levels=("1/3",),
            unit="share of the window, at its end",
            phrase="the last {} of the window stuck",
            meaning="all channels repeat one value to the end of the window",
        ),
    )
}


def damaged(
    values: np.ndarray, ids: Sequence[str], condition: str, level: str, sensors: Sensors, seed: int = 0
) -> np.ndarray:
    """Damage windows as a condition says.

    What is drawn is drawn from (seed, window id, condition): every model sees the same windows, whatever their order and
    company, and levels differ in strength alone.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
        In physical units.
    ids : sequence of str
        Of the windows.
    condition : str
        Of `CONDITIONS`.
    level : str
        Of its levels, or another number or fraction; a channel's name where each channel is a level.
    sensors : Sensors
    seed : int

    Returns
    -------
    ndarray of float32, shape (window, channel, time)

    Raises
    ------
    UserError
        For an unknown condition or level, one that these windows do not allow, or a sample that is missing or infinite.

    Examples
    --------
    >>> x = np.arange(12, dtype=np.float32).reshape(1, 2, 6)
    >>> damaged(x, ["a"], "stuck", "1/3", Sensors.fit(x, ["heart", "skin"]))[0, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    """
    if condition not in CONDITIONS:
        raise unknown("condition", condition, CONDITIONS)
    made = CONDITIONS[condition]
    why_not = made.why_not(sensors.channels, values.shape[2])
    if why_not:
        raise UserError(f"condition '{condition}' is not for these windows, for {why_not}: leave it out")
    value = _value(made, level, sensors.channels)
    whole = np.isfinite(values).all(axis=(1, 2))
    if not whole.all():
        raise UserError(
            f"window '{ids[int(whole.argmin())]}' has samples that are missing or infinite, and only whole windows are damaged: "
            "fill its gaps, or leave it out"
        )
    streams = Streams(seed=seed, epoch=0, ids_hash=hash_ids(ids))  # augmentation begins with epoch 1
    blocks = [np.arange(start, min(start + BLOCK, len(values))) for start in range(0, len(values), BLOCK)]
    parts = [made.apply(np.ascontiguousarray(values[rows]), value, streams[rows], sensors) for rows in blocks]
    return np.concatenate([np.empty((0, *values.shape[1:]), np.float32), *parts])


def _value(condition: Condition, level: str, channels: Sequence[str]) -> float:
    """Return what a level stands for."""
    if not condition.levels:
        if level not in channels:
            raise unknown("channel", level, channels)
        return channels.index(level)
    try:
        value = math.inf if (condition.name, level) == ("noise", "inf") else float(Fraction(level))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"level '{level}' of condition '{condition.name}' is no number: give one as {', '.join(condition.levels)}"
        ) from error
    if condition.name == "rate" and (value <= 0 or Fraction(level).numerator != 1):
        raise UserError(f"level '{level}' of condition 'rate' is not allowed: give one over a whole number, as 1/3")
    if condition.name == "jitter" and value < 0:
        raise UserError(f"level '{level}' of condition 'jitter' is not allowed: give 0 or more")
    return value
