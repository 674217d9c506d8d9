"""Channels that are the x, y and z of one sensor, told by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence


def find_triples(channels: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return the positions of x, y and z of every sensor, by the stem that the three names share.

    A triple is three channels of one stem that end in x, y and z in any order and case, with or without a sign between:
    `acc-x`, `Gyro_Y`, `az`, or just `x`. Stems with a `w` beside them are quaternions and no vectors in space.

    Parameters
    ----------
    channels : sequence of str
        Names.

    Returns
    -------
    dict of str to (int, int, int)
        In the order of channels; stems in lower case. Empty where no three names belong together.

    Examples
    --------
    >>> find_triples(["acc-x", "acc-y", "acc-z", "heart-rate", "gz", "gy", "gx"])
    {'acc': (0, 1, 2), 'g': (6, 5, 4)}
    >>> find_triples(["q-w", "q-x", "q-y", "q-z"])
    {}
    """
    stems: dict[str, dict[str, int]] = {}
    for i, name in enumerate(channels):
        axis = re.fullmatch(r"(.*?)[\W_]*([wxyz])\W*", name, re.IGNORECASE)
        if axis is not None:
            stems.setdefault(axis[1].casefold(), {})[axis[2].casefold()] = i
    return {stem: (axes["x"], axes["y"], axes["z"]) for stem, axes in stems.items() if set(axes) == set("xyz")}
