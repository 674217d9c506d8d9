"""Where the statements of a TOML text stand: `tomllib` gives values without their lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Place = tuple[str | int, ...]
"""Where a value is: the keys that lead to it, with the position of each table of an array of tables."""

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' + r"|'''.*?'{3,5}" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'" + r"|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)
"""Whatever may hide a bracket or the end of a line, the brackets, and the ends of lines."""
_KEY = re.compile(r"""\s*((?:[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*'|\s*\.\s*)+?)\s*=""")


def lines_of(text: str) -> dict[Place, int]:
    """Return the line, from 1, at which each table and each key of a TOML text stands.

    Parameters
    ----------
    text : str
        TOML that `tomllib` has parsed.

    Returns
    -------
    dict
        Keys inside inline tables and arrays are not in it: they stand where their statement begins.

    Examples
    --------
    >>> lines_of('[run]\\nepochs = 2\\n\\n[[grid]]\\nalpha = [\\n0.1]\\n[[grid]]')
    {('run',): 1, ('run', 'epochs'): 2, ('grid', 0): 4, ('grid', 0, 'alpha'): 5, ('grid', 1): 7}
    """
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    for line, statement in _statements(text):
        if statement.startswith("["):
            keys = _path(statement)
            table = ()
            for key in keys[:-1]:  # the last one of an array of tables is meant
                table = (*table, key)
                table = (*table, counts[table] - 1) if table in counts else table
            table = (*table, keys[-1])
            if statement.startswith("[["):
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            found.setdefault(table, line)
        elif match := _KEY.match(statement):
            keys = _path(f"{match[1]} = 0")
            for depth in range(1, len(keys) + 1):
                found.setdefault((*table, *keys[:depth]), line)
    return found


def deepest_line(text: str) -> int:
    """Return the line, from 1, at which brackets are nested deepest."""
    line = depth = deepest = 0
    where = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > deepest:
            deepest, where = depth, line
        line += token[0].count("\n")
    return where + 1


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the line at which it begins; one ends with the first line end outside of brackets."""
    line, first, begin, depth = 1, 1, 0, 0
    for token in _TOKEN.finditer(text + "\n"):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        line += token[0].count("\n")
        if token[0] == "\n" and depth == 0:
            statement = text[begin : token.start()].strip()
            if statement and not statement.startswith("#"):
                yield first, statement
            first, begin = line, token.end()


def _path(statement: str) -> list[str]:
    """Return the keys that a header or an assignment names, as `tomllib` reads them."""
    content = tomllib.loads(statement)
    keys = []
    while content:
        key, value = next(iter(content.items()))
        keys.append(key)
        content = value[0] if isinstance(value, list) else value if isinstance(value, dict) else {}
    return keys
