"""Recordings brought to the channels, units and rate that a model wants; what cannot be is refused, and all is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from distill.deploy.contract import Contract
from distill.deploy.gravity import warn_of_gravity
from tsimage.cutting import Recording
from tsimage.errors import UserError, unknown
from tsimage.units import GRAVITY, converted, detect

RATE_TOLERANCE = 0.01
"""Clocks are off by as much; over a window of 128 samples that is one sample."""


def match_channels(
    where: object,
    there: Sequence[str],
    wanted: Sequence[str],
    named: Sequence[str] = (),
    *,
    mend: str = "say which to take, in the order of the model (option channels)",
) -> list[int]:
    """Find the channels that a model wants, in its order.

    Names are the same if they differ only in case, spaces and signs: `Acc_X` is `acc-x`.

    Parameters
    ----------
    where : object
        What has the channels, for errors.
    there : sequence of str
        The channels that there are.
    wanted : sequence of str
        The channels of the model.
    named : sequence of str
        The channels to take for those of the model, in its order, where the user says so.
    mend : str
        What to do where one is not there, for errors.

    Returns
    -------
    list of int
        Positions in `there`.

    Raises
    ------
    UserError
        For a channel that is not there, or there twice; or if as many are not named as the model wants.

    Examples
    --------
    >>> match_channels("a.csv", ["time", "Acc Y", "acc_x"], ["acc-x", "acc-y"])
    [2, 1]
    """
    if named:
        if len(named) != len(wanted):
            raise UserError(
                f"channels names {len(named)} ({', '.join(named)}) where the model wants {len(wanted)}: name one for each of "
                f"{', '.join(wanted)}, in this order"
            )
        if len(set(named)) < len(named):
            raise UserError(f"channels names {', '.join(named)}: each can be taken once only")
        for name in named:
            if name not in there:
                raise unknown(f"channel of {where}", name, there)
        return [there.index(name) for name in named]
    alike = [[i for i, name in enumerate(there) if plain(name) == plain(want)] for want in wanted]
    exact = [[i for i, name in enumerate(there) if name == want] for want in wanted]
    found = [same if len(same) == 1 else near for same, near in zip(exact, alike, strict=True)]
    missing = [want for want, places in zip(wanted, found, strict=True) if len(places) != 1]
    if missing:
        raise UserError(
            f"{where}: the model wants the channels {', '.join(wanted)}, and there is no {', '.join(missing)} among "
            f"{', '.join(there) or 'none'}: {mend}"
        )
    return [places[0] for places in found]


def match_units(
    values: Iterable[np.ndarray], units: Sequence[str], contract: Contract, where: object
) -> tuple[tuple[str, ...], list[str]]:
    """Find the unit of each channel, from what is stated and from gravity.

    Parameters
    ----------
    values : iterable of ndarray, shape (..., channel, time)
        In the channels of the contract; NaN where missing.
    units : sequence of str
        Stated of each channel; empty where none is.
    contract : Contract
    where : object
        What has the channels, for errors.

    Returns
    -------
    units : tuple of str
        To convert from; where nothing tells one, that of the contract.
    statements : list of str

    Raises
    ------
    UserError
        If gravity contradicts a unit, or one cannot be converted to that of the contract.
    """
    found_units, said = list(units), []
    for found in detect(values, contract.channels):
        at = [contract.channels.index(name) for name in found.channels]
        names = ", ".join(found.channels)
        stated = sorted({units[i] for i in at} & set(GRAVITY))
        if stated and found.unit and stated != [found.unit]:
            raise UserError(
                f"{where}: {names} are stated in {' and '.join(stated)}, but gravity says {found.unit} (the median norm is "
                f"{found.norm:.3g}): state the right unit (option units)"
            )
        said += warn_of_gravity(found, contract.about, stated[0] if stated else contract.units[at[0]])
        if found.unit and not stated:
            for i in at:
                found_units[i] = found_units[i] or found.unit
    for i, (name, unit, want) in enumerate(zip(contract.channels, found_units, contract.units, strict=True)):
        if unit == want or not want:
            continue
        if not unit:
            said.append(
                f"{name}: nothing tells the unit, taken as {want}, which the model wants (option units states another)"
            )
            found_units[i] = want
            continue
        try:
            converted(np.zeros(0), unit, want)
        except UserError as error:
            raise UserError(
                f"{where}: channel '{name}' is in {unit} where the model wants {want}, and the one is no measure of the other: "
                "take another channel, or state the unit (option units)"
            ) from error
        said.append(f"{name}: converted from {unit} to {want}, which the model wants")
    return tuple(found_units), said


def in_units(values: np.ndarray, units: Sequence[str], contract: Contract) -> np.ndarray:
    """Convert values (..., channel, time) to the units of a contract; the same array where they have them."""
    differ = [i for i, (unit, want) in enumerate(zip(units, contract.units, strict=True)) if want and unit != want]
    if not differ:
        return values
    values = values.copy()
    for i in differ:
        values[..., i, :] = converted(values[..., i, :], units[i], contract.units[i])
    return values


def check_rate(where: object, rate_hz: float | None, contract: Contract, mend: str) -> None:
    """Refuse another rate than that of a contract; `mend` says what to do.

    Raises
    ------
    UserError
        If the rate is not known, or off by more than `RATE_TOLERANCE`.
    """
    if rate_hz is None:
        raise UserError(
            f"{where}: the sampling rate is unknown and the model wants {contract.rate_hz:g} Hz: state it (option rate)"
        )
    if abs(rate_hz / contract.rate_hz - 1) > RATE_TOLERANCE:
        raise UserError(f"{where} runs at {rate_hz:g} Hz and the model wants {contract.rate_hz:g} Hz: {mend}")


def fit(
    recordings: Sequence[Recording],
    contract: Contract,
    *,
    named: Sequence[str] = (),
    resample: bool = False,
    say: Callable[[str], None],
) -> list[Recording]:
    """Bring recordings to the channels, units and rate of a contract, and say what was done.

    Parameters
    ----------
    recordings : sequence of Recording
        That have channels and units in common, as those of one data set.
    contract : Contract
    named : sequence of str
        The channels to take for those of the model.
    resample : bool
        Whether recordings of another rate are resampled, by `tsimage.resampling`, or refused.
    say : callable
        Takes each statement.

    Returns
    -------
    list of Recording

    Raises
    ------
    UserError
        As `match_channels`, `match_units` and `check_rate`; or if the recordings differ among each other.
    """
    first = recordings[0]
    for recording in recordings:
        if (recording.channels, recording.units) != (first.channels, first.units):
            raise UserError(
                f"recording '{recording.id}' has other channels or units than '{first.id}': label them one after the other"
            )
        if not resample:
            check_rate(
                f"recording '{recording.id}'", recording.rate_hz, contract, "pass resample, or take another recording"
            )
    where = f"recording '{first.id}'"
    order = match_channels(where, first.channels, contract.channels, named)
    _say_order([first.channels[i] for i in order], order, contract, say)
    taken = [r if order == list(range(len(r.channels))) else replace(r, values=r.values[order]) for r in recordings]
    units, said = match_units((r.values for r in taken), [first.units[i] for i in order], contract, where)
    for statement in said:
        say(statement)
    fitted = []
    for recording in taken:
        own = replace(
            recording,
            values=in_units(recording.values, units, contract),
            channels=contract.channels,
            units=contract.units,
        )
        if resample and own.rate_hz != contract.rate_hz:
            from tsimage.resampling import resample as resampled

            say(
                f"recording '{own.id}': resampled from {own.rate_hz:g} to {contract.rate_hz:g} Hz; samples are counted after it"
            )
            own = resampled(own, contract.rate_hz)
        fitted.append(own)
    return fitted


def _say_order(names: Sequence[str], order: Sequence[int], contract: Contract, say: Callable[[str], None]) -> None:
    if any(plain(name) != plain(want) for name, want in zip(names, contract.channels, strict=True)):
        say("Channels taken as: " + ", ".join(f"{a} for {b}" for a, b in zip(names, contract.channels, strict=True)))
    elif list(order) != sorted(order):
        say(f"Channels put into the order of the model, by name: {', '.join(names)}")


def plain(name: str) -> str:
    """Return what of a channel's name tells it from others: no capitals, spaces or signs.

    >>> plain("Acc_X") == plain("acc-x")
    True
    """
    return re.sub(r"[\W_]+", "", name).casefold() or name
