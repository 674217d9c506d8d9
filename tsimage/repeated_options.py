"""An option of several values that is given twice: the parser would keep the last values alone, without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from tsimage.errors import UserError


def check_repeated(command: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Refuse a command line that names an option of several values more than once.

    Of options of one value the last counts, as of most commands, so that a script can put its own behind others.

    Raises
    ------
    UserError
        At the first such option.

    Examples
    --------
    >>> from tsimage.cli import convert
    >>> check_repeated(convert, ["in", "out", "--channels", "acc-x", "--channels=acc-y"])
    Traceback (most recent call last):
    tsimage.errors.UserError: option --channels is given twice, and the first values would be lost: give all after one
    """
    flags = (word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--"))
    several = set(_of_several_values(command))
    for flag, times in Counter(flags).items():
        if times > 1 and flag.removeprefix("--") in several:
            often = "twice" if times == 2 else f"{times} times"
            raise UserError(f"option {flag} is given {often}, and the first values would be lost: give all after one")


def _of_several_values(of: Callable[..., Any]) -> Iterator[str]:
    for name, hint in get_type_hints(of).items():
        if is_dataclass(hint):
            yield from _of_several_values(hint)  # type: ignore[arg-type]
        elif get_origin(hint) is tuple and Ellipsis in get_args(hint):
            yield name.replace("_", "-")
