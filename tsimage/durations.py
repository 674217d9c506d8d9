"""Lengths of time as users write them: in samples, or in seconds with an s."""

from __future__ import annotations

import re

from tsimage.errors import UserError


def window_samples(window: str | int, rate_hz: float | None, what: str = "window", least: int = 2) -> int:
    """Turn a window length such as `128` (samples) or `"2.56s"` (seconds) into samples.

    Raises
    ------
    UserError
        For anything else, for seconds without a rate, or for less than two samples.

    Examples
    --------
    >>> window_samples("2.56s", 50.0)
    128
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s?)\s*", str(window))
    if match is None or (not match[2] and "." in match[1]):
        raise UserError(
            f"{what} '{window}' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"
        )
    if not match[2]:
        samples = int(match[1])
    elif rate_hz is None:
        raise UserError(f"{what} '{window}' is in seconds but the sampling rate is unknown: give the rate in Hz")
    else:
        samples = round(float(match[1]) * rate_hz)
    if samples < least:
        at = f" at {rate_hz:g} Hz" if match[2] else ""
        mend = "; check the rate, or the unit of the time column" if match[2] else ""
        raise UserError(f"{what} '{window}' is {samples} samples long{at}: a {what} needs at least {least}{mend}")
    return samples
