"""The one kind of error that a user can mend: a single sentence, shown without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in input or options: what, where, what was got, what is allowed, how to mend it."""


def unknown(what: str, got: str, allowed: Iterable[str]) -> UserError:
    """Say that `got` is no valid `what`, with the nearest valid name first and then the whole list.

    >>> str(unknown("image", "gafs", ["gasf", "gadf", "mtf"]))
    "unknown image 'gafs': did you mean 'gasf'? Valid: gasf, gadf, mtf"
    """
    names = list(allowed)
    likeness = [difflib.SequenceMatcher(None, name.casefold(), got.casefold()).ratio() for name in names]
    nearest = max(range(len(names)), key=likeness.__getitem__, default=0)  # the first of equals
    hint = f"did you mean '{names[nearest]}'? " if names and likeness[nearest] >= 0.4 else ""
    return UserError(f"unknown {what} '{got}': {hint}Valid: {', '.join(names)}")
