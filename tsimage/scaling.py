"""The fixed physical range that scales a channel by its unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsimage.errors import UserError, unknown
from tsimage.units import STANDARD_GRAVITY

FIXED_RANGE = {"g": 2.0, "m/s^2": 2 * STANDARD_GRAVITY, "rad/s": 10.0, "deg/s": 573.0}
"""Half-width of the fixed range that `scaling="fixed"` maps to the target range, by unit: 2 g, and 10 rad/s."""


def half_widths(scaling: str) -> dict[str, float] | None:
    """Parse a scaling into half-widths by unit; None for per-window scaling."""
    kind, _, overrides = scaling.partition(":")
    if kind not in ("fixed", "window") or (kind == "window" and overrides):
        raise unknown("scaling", scaling, ["fixed", "window", "fixed:UNIT=HALFWIDTH,..."])
    if kind == "window":
        return None
    widths = dict(FIXED_RANGE)
    for override in filter(None, overrides.split(",")):
        unit, equals, text = override.partition("=")
        try:
            half_width = float(text)
        except ValueError:
            half_width = float("nan")
        if not (unit and equals and 0 < half_width < float("inf")):
            raise UserError(
                f"scaling '{scaling}' is not understood at '{override}': give UNIT=HALFWIDTH with a positive number, "
                "as in fixed:g=4"
            )
        widths[unit] = half_width
    return widths


def fixed_limits(scaling: str, units: Sequence[str]) -> np.ndarray | None:
    """Return the fixed range of each channel, shape (channel, 2), or None when each window sets its own.

    Raises
    ------
    UserError
        If a unit has no fixed range, or a range is given for a unit that no channel has.
    """
    widths, units = half_widths(scaling), tuple(units)
    if widths is None:
        return None
    for unit in widths:
        if unit not in FIXED_RANGE and unit not in units:
            raise UserError(
                f"scaling '{scaling}' gives a range for the unit '{unit}', which no channel has: the channels are "
                f"in {', '.join(dict.fromkeys(u or 'unknown units' for u in units))}"
            )
    for unit in units:
        if unit not in widths:
            raise UserError(
                f"scaling '{scaling}' has no fixed range for the unit '{unit}': state the units of the "
                f"channels (option units: {', '.join(widths)}), or give the range as scaling "
                f"'fixed:{unit or 'UNIT'}=VALUE', or use scaling 'window'"
            )
    return np.array([(-widths[u], widths[u]) for u in units])
