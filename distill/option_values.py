"""Values of options as the types that they are declared with: numbers of NumPy become Python's, all else is refused."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from tsimage.errors import UserError, unknown

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_SHOWN = 60


def converted(kind: Any, value: Any, name: str) -> Any:
    """Return a value as the type of its option: a whole number where a number belongs becomes one, a list a tuple.

    Parameters
    ----------
    kind : type
        `bool`, `int`, `float`, `str`, a `Literal`, a class, a tuple of these of any length, or one of these or None.
    value : object
        Of several values where one type is a tuple, or one alone.
    name : str
        Of the option, for the error.

    Returns
    -------
    object
        Not yet seen to be in the range of the option; a number that no float holds is infinite.

    Raises
    ------
    UserError
        If it is of another type, or no choice of the option.

    Examples
    --------
    >>> converted(float | None, 1, "alpha"), converted(tuple[int, ...], np.arange(3), "seeds")
    (1.0, (0, 1, 2))
    >>> converted(bool, "no", "balanced")
    Traceback (most recent call last):
    tsimage.errors.UserError: balanced takes true or false, but got the text 'no': write true or false, without quotes
    """
    members = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        if value is None and NoneType in members:
            return None
        return converted(next(m for m in members if m is not NoneType), value, name)
    if get_origin(kind) is tuple:
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        return tuple(converted(members[0], v, name) for v in (value if several else [value]))
    if get_origin(kind) is Literal:
        if converted(str, value, name) not in members:
            raise unknown(name, value, members)
        return value
    is_truth = isinstance(value, bool | np.bool_)
    if kind is bool and is_truth:
        return bool(value)
    if kind is int and isinstance(value, Integral) and not is_truth:
        return int(value)
    if kind is float and isinstance(value, Real) and not is_truth:
        number: Any = value
        try:
            return float(number)
        except OverflowError:
            return math.inf if number > 0 else -math.inf
    if kind not in (bool, int, float) and isinstance(value, kind):
        return value
    wanted = _WORDS.get(kind, f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
    raise UserError(f"{name} takes {wanted}, but got {_described(value)}: {_mend(kind, value)}")


def shown(value: Any) -> str:
    """Write a value in at most 60 characters.

    Examples
    --------
    >>> len(shown("a" * 100))
    60
    """
    try:
        text = repr(value)
    except ValueError:  # of more digits than Python writes
        return "of thousands of digits"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _described(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, Real):
        return f"the number {shown(value)}"
    if isinstance(value, list | tuple | set | np.ndarray):
        return "a list"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, datetime.date | datetime.time):
        return "a date or time"
    return shown(value)


def _mend(kind: Any, value: Any) -> str:
    if value is None:
        return "leave it out"
    if kind not in _WORDS:
        return "give one"
    if isinstance(value, list | tuple | set | np.ndarray | Mapping):
        return "give one value"
    if kind is str:
        return "put it in quotes" if isinstance(value, bool | Real | datetime.date | datetime.time) else "give one"
    if kind is bool:
        return "write true or false, without quotes"
    if isinstance(value, str):
        return "write it without quotes"
    return "write it without a fraction" if isinstance(value, float) else "give one"
