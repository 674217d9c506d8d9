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
    folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(got.casefold(), folded, n=1, cutoff=0.4)
    hint = f"did you mean '{folded[near[0]]}'? " if near else ""
    return UserError(f"unknown {what} '{got}': {hint}Valid: {', '.join(names)}")
