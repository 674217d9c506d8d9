"""Whether gravity is in accelerations: a model that learnt with it knows how its wearer lies by it, and is lost without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsimage.units import GRAVITY, Detected

NO_GRAVITY = 0.3
"""Where even the calmest stretches have a norm below this share of gravity, it was removed."""


def holds_gravity(found: Detected, unit: str) -> bool | None:
    """Tell whether gravity is in an acceleration of this unit; None where nothing tells.

    >>> import numpy as np
    >>> from tsimage.units import detect
    >>> [holds_gravity(*detect([np.full((3, 200), x)], ["acc-x", "acc-y", "acc-z"]), "g") for x in (0.58, 0.01, 2.0)]
    [True, False, None]
    """
    if found.unit:
        return True
    return False if found.norm < NO_GRAVITY * GRAVITY.get(unit, 0.0) else None


def warn_of_gravity(found: Detected, about: Mapping[str, Any], unit: str) -> list[str]:
    """Say where a model learnt from accelerations with gravity and there is none, or the other way round.

    Parameters
    ----------
    found : Detected
        In what is to be labelled.
    about : mapping
        Of the contract of the model: under `data` and `gravity`, for each channel that could be told, whether gravity was in it.
    unit : str
        In which the acceleration is, or is taken to be.

    Returns
    -------
    list of str
        A warning, or none.
    """
    data = about.get("data")
    gravity = data.get("gravity") if isinstance(data, Mapping) else None
    learnt = gravity.get(found.channels[0]) if isinstance(gravity, Mapping) else None
    names, holds = ", ".join(found.channels), holds_gravity(found, unit)
    if learnt is False and holds:
        return [
            f"WARNING: {names}: gravity is in them, and the model learnt from accelerations without it, so its labels mean little: "
            "give recordings without gravity"
        ]
    if learnt is True and not holds and (holds is False or found.at_rest):
        return [
            f"WARNING: {names}: the model learnt from accelerations with gravity, and where it is calmest the norm here is "
            f"{found.norm:.3g}, which is gravity in no known unit, so its labels mean little: state the unit (option units), or give "
            "recordings with gravity"
        ]
    return []
