"""A run from flat options, named and typed as on the command line, and back again.

Names and types are those of the dataclasses: an option that is added to `Run` or `ReadOptions` is known here too.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from distill.config import Run
from distill.option_values import converted, shown
from tsimage.errors import UserError, unknown


def run_from(options: Mapping[str, Any]) -> Run:
    """Make a run from flat options, with their types checked.

    Parameters
    ----------
    options : mapping of str to JSON types
        Names as on the command line, with - or _: those of `distill.Run` and of `tsimage.ReadOptions` side by side, and
        `lambda` for lambda. Options of several values take a list, or one value alone. None is an option not given.

    Returns
    -------
    Run
        Equal to the one that the command line makes of the same options.

    Raises
    ------
    UserError
        For an unknown option, one named twice, a value of another type, or an impossible run.

    Examples
    --------
    >>> run = run_from({"teacher": "wrn16-1", "lambda": 1, "batch-size": 32, "channels": ["acc*"]})
    >>> run.teacher, run.lambda_, run.batch_size, run.read.channels
    (('wrn16-1',), 1.0, 32, ('acc*',))
    """
    values: dict[str, Any] = {}
    for given, value in options.items():
        name = option_name(given)
        if name in values:
            raise UserError(f"option {words_of(name)} is given twice: give it once")
        values[name] = None if value is None else checked(name, value)
    return _build(Run, values)


def options_of(run: Run) -> dict[str, Any]:
    """Return all options of a run, flat, as JSON types; `run_from` makes the same run of them.

    Examples
    --------
    >>> options = options_of(run_from({"seeds": [3, 4], "window": "2s"}))
    >>> options["seeds"], options["window"], options["lambda"]
    ([3, 4], '2s', 0.7)
    """
    return dict(_flat(run))


def command(run: Run) -> str:
    """Return the command line that does a run, naming what differs from the defaults.

    Examples
    --------
    >>> command(run_from({"teacher": ["wrn16-1:gasf", "wrn16-1:signal"], "alpha": 0.5, "balanced": True}))
    'distill run --teacher wrn16-1:gasf wrn16-1:signal --alpha 0.5 --balanced'
    """
    words = ["distill", "run"]
    defaults = options_of(Run())
    for name, value in options_of(run).items():
        flag = f"--{words_of(name)}"
        if value == defaults[name]:
            continue
        if isinstance(value, list):
            words += [flag, *map(str, value)]
        elif value is True:
            words += [flag]
        else:
            words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    return shlex.join(words)


@cache
def option_types() -> dict[str, Any]:
    """Return the type of each option, by its name with _ for -."""
    return dict(_types_of(Run))


def option_name(given: str) -> str:
    """Return the name of an option with _ for -.

    Raises
    ------
    UserError
        If there is no such option.
    """
    name = given.replace("-", "_")
    if name not in option_types():
        raise unknown("option", given, map(words_of, option_types()))
    return name


def words_of(name: str) -> str:
    """Write the name of an option as on the command line."""
    return name.replace("_", "-")


def is_sequence(name: str) -> bool:
    """Return whether an option takes several values."""
    return get_origin(option_types()[name]) is tuple


def checked(name: str, value: Any) -> Any:
    """Return a value as the type of its option: a whole number where a number belongs becomes one, a list a tuple.

    Raises
    ------
    UserError
        If it is of another type, no choice of the option, or not finite.

    Examples
    --------
    >>> checked("lambda", 1), checked("teacher", "wrn16-1")
    (1.0, ('wrn16-1',))
    """
    made = converted(option_types()[name], value, words_of(name))
    if isinstance(made, float) and not math.isfinite(made):
        raise UserError(f"{words_of(name)} {shown(value)} is not allowed: give a finite number")
    return made


@cache
def _fields_of(kind: type) -> tuple[tuple[str, str, Any], ...]:
    """Return field, option and type of each field; a field whose option has no name holds a group of options."""
    found = []
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, option = hints[field.name], field.name
        if get_origin(hint) is Annotated:
            hint, *notes = get_args(hint)
            option = next((note.name for note in notes if getattr(note, "name", None) is not None), option)
        found.append((field.name, option.replace("-", "_"), hint))
    return tuple(found)


def _types_of(kind: type) -> Iterator[tuple[str, Any]]:
    for _, option, hint in _fields_of(kind):
        if option:
            yield option, hint
        else:
            yield from _types_of(hint)


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    arguments = {}
    for field, option, hint in _fields_of(kind):
        if not option:
            arguments[field] = _build(hint, values)
        elif values.get(option) is not None:
            arguments[field] = values[option]
    return kind(**arguments)


def _flat(made: Any) -> Iterator[tuple[str, Any]]:
    kind: type = type(made)
    for field, option, _ in _fields_of(kind):
        value = getattr(made, field)
        if option:
            yield option, list(value) if isinstance(value, tuple) else value
        else:
            yield from _flat(value)
