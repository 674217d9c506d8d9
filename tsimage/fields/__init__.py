"""The images a series can be painted as, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tsimage.errors import UserError, unknown
from tsimage.fields.gramian import gadf, gasf
from tsimage.fields.markov import mtf

FIELDS: dict[str, Callable[..., Any]] = {"gasf": gasf, "gadf": gadf, "mtf": mtf}


def parse_stack(stack: str) -> tuple[str, ...]:
    """Split the name of an image stack into the names of its fields.

    Examples
    --------
    >>> parse_stack("gasf+gadf+mtf")
    ('gasf', 'gadf', 'mtf')
    """
    names = tuple(stack.split("+"))
    for name in names:
        if name not in FIELDS:
            raise unknown("image", name, [*FIELDS, "or several joined by +, as gasf+gadf+mtf"])
    if len(set(names)) < len(names):
        raise UserError(f"image stack '{stack}' names an image twice: give {'+'.join(dict.fromkeys(names))}")
    return names


__all__ = ["FIELDS", "gadf", "gasf", "mtf", "parse_stack"]
