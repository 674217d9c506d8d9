"""Subject, label and recording read from the path of a file, by a pattern such as '{subject}/{label}_{recording}.csv'."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from tsimage.errors import UserError, unknown

FIELDS = ("subject", "label", "recording")
_PART = re.compile(r"\{([^{}]*)\}|(\*)|([{}])")


def path_pattern(pattern: str) -> Callable[[PurePath], dict[str, str] | None]:
    """Compile a pattern that the end of a path must match.

    Parameters
    ----------
    pattern : str
        Folders and file name, separated by `/`. `{subject}`, `{label}` and `{recording}` stand for one or more
        characters, as few as will do, within a folder's or file's name; `*` or `{*}` for anything, also nothing, there.

    Returns
    -------
    callable
        Takes a path and returns the fields by name, or None where the end of the path does not match.

    Raises
    ------
    UserError
        For an unknown name, a name twice, a stray brace, or a pattern without any name.

    Examples
    --------
    >>> fields = path_pattern("{subject}/{label}_*.csv")
    >>> fields(PurePath("study/01/walk_up_2.csv"))
    {'subject': '01', 'label': 'walk'}
    >>> fields(PurePath("study/notes.csv")) is None
    True
    """
    names: list[str] = []
    expression, end = "", 0
    for match in _PART.finditer(pattern):
        name, star, brace = match.groups()
        expression += re.escape(pattern[end : match.start()])
        end = match.end()
        if brace:
            raise UserError(
                f"path-pattern '{pattern}': a brace is not closed: write {{subject}}, {{label}}, {{recording}} or *"
            )
        if star or name == "*":
            expression += "[^/]*?"
            continue
        if name not in FIELDS:
            raise unknown(f"field in path-pattern '{pattern}'", name, (*FIELDS, "*"))
        if name in names:
            raise UserError(
                f"path-pattern '{pattern}': {{{name}}} stands there twice: name it once, and write * elsewhere"
            )
        names.append(name)
        expression += f"(?P<{name}>[^/]+?)"
    expression += re.escape(pattern[end:])
    if not names:
        raise UserError(
            f"path-pattern '{pattern}' names no field: allowed are {{subject}}, {{label}} and {{recording}}"
        )
    if "**" in pattern or re.search(r"\}\{(?!\*)", pattern):
        raise UserError(
            f"path-pattern '{pattern}': two fields touch, so nobody can tell where one ends: put text between"
        )
    compiled, depth = re.compile(expression), pattern.count("/") + 1

    def fields(path: PurePath) -> dict[str, str] | None:
        match = compiled.fullmatch("/".join(path.parts[-depth:]))
        if match is None or not all(value.strip() for value in match.groupdict().values()):
            return None
        return {name: value.strip() for name, value in match.groupdict().items()}

    return fields
