"""A grid: a TOML file that says which runs to do. Everything in it is checked; nothing is trained.

    [run]                       # options of all runs, named as those of `distill run`; - and _ mean the same
    data = "hapt"
    channels = ["acc*"]
    seeds = [0, 1, 2]

    [[grid]]                    # every combination of the lists; what is no list is fixed for this table
    teacher = ["wrn16-1", ["wrn16-1:gasf", "wrn28-1:signal"]]
    alpha = [0.1, 0.3, 0.5]

    [[grid]]                    # several tables add up; what they say overrides [run]
    teacher = "wrn16-1"
    window = ["2.56s", "5s"]

In [[grid]] a list is always a list of values to combine; a value of an option that takes several, as teacher, may itself
be a list. A run that comes out of several tables counts once. A file without [[grid]] is one run, and one that is empty
the run of all defaults. Paths are relative to the working directory, as on the command line.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from distill.config import Run
from distill.options import checked, is_sequence, option_name, options_of, run_from, words_of
from distill.statements import Place, deepest_line, lines_of
from tsimage.errors import UserError, unknown

LARGEST_BYTES = 1_000_000
MOST_RUNS = 100_000
"""Largest number of combinations of a file."""
_TABLES = ("run", "grid")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One run of a grid: what of it varies within the file (JSON types), and the line of the table that asks for it."""

    run: Run
    values: dict[str, Any]
    line: int

    @property
    def name(self) -> str:
        """What varies, in words; what is not given is left out."""
        return in_words(self.values) or "as given in [run]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The runs of a file, each once, in its order."""

    path: Path
    name: str
    runs: tuple[Cell, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the options that vary, in the order of the file, with _ for -."""
        return tuple(self.runs[0].values)


@dataclass(frozen=True, kw_only=True)
class _Table:
    """One [[grid]]: what is fixed, what varies, and where it stands."""

    line: int
    fixed: dict[str, Any]
    axes: dict[str, tuple[Any, ...]]


def in_words(values: Mapping[str, Any]) -> str:
    """Write options with their values, without those that are not given.

    Examples
    --------
    >>> in_words({"teacher": ["wrn16-1:gasf", "wrn28-1:signal"], "learning_rate": 0.1, "alpha": None, "balanced": True})
    'teacher wrn16-1:gasf wrn28-1:signal, learning-rate 0.1, balanced true'
    """

    def written(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return ", ".join(f"{words_of(n)} {written(v)}" for n, v in values.items() if v not in (None, [], ""))


def read_grid(path: str | Path) -> Grid:
    """Read a grid and make all its runs, without looking at any data.

    Parameters
    ----------
    path : str or Path
        TOML in UTF-8, of 1 MB at most; see `distill.gridfile`.

    Returns
    -------
    Grid

    Raises
    ------
    UserError
        For anything wrong in the file, with its line: syntax, unknown tables and options, values of another type, an
        empty list, a value twice, `select`, `seeds` in [[grid]], an impossible combination, or more than 100,000.
    """
    path = Path(path)
    text = _text(path)
    content = _parsed(path, text)
    lines = lines_of(text)

    def wrong(error: object, *place: str | int, said: str = "") -> UserError:
        sentence = f"{said}: {error}" if said else str(error)
        sentence = sentence.replace("\n", "\\n").replace("\r", "\\r")
        return UserError(f"'{path}', line {_line(lines, place)}: {sentence}")

    for name, value in content.items():
        if name not in _TABLES:
            if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
                raise wrong(unknown("table", name, _TABLES), name)
            raise wrong(f"'{name}' stands outside of a table: put it below [run]", name)
    shared, tables = content.get("run", {}), content.get("grid", [])
    if not isinstance(shared, dict):
        raise wrong("the options of all runs are one table: write [run], once", "run")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise wrong("every grid is a table of its own: write [[grid]], in double brackets", "grid")
    base = _options(shared, ("run",), wrong, _one)
    planned = []
    total = 0
    for number, given in enumerate(tables):
        options = _options(given, ("grid", number), wrong, _one_or_several)
        axes = {name: value.values for name, value in options.items() if isinstance(value, _Several)}
        fixed = {name: value for name, value in options.items() if name not in axes}
        planned.append(_Table(line=_line(lines, ("grid", number)), fixed=fixed, axes=axes))
        total += math.prod(map(len, axes.values()))
        if total > MOST_RUNS:
            raise wrong(
                f"the file has {total:,} combinations up to here, and {MOST_RUNS:,} are allowed: give fewer values",
                "grid",
                number,
            )
    if not planned:
        planned = [_Table(line=_line(lines, ("run",)), fixed={}, axes={})]
    made: dict[Run, int] = {}
    for number, table in enumerate(planned):
        for combination in product(*table.axes.values()):
            values = dict(zip(table.axes, combination, strict=True))
            try:
                run = run_from(base | table.fixed | values)
            except UserError as error:
                place: Place = ("grid", number) if tables else ("run",)
                raise wrong(error, *place, said=in_words(values)) from error
            made.setdefault(run, table.line)
    return Grid(path=path, name=path.stem, runs=_cells(made, planned))


def _cells(made: Mapping[Run, int], tables: list[_Table]) -> tuple[Cell, ...]:
    """Return the runs with what varies among them, of what the tables name."""
    named = dict.fromkeys(name for table in tables for name in (*table.axes, *table.fixed))
    flat = [options_of(run) for run in made]
    varying = [name for name in named if any(options[name] != flat[0][name] for options in flat)]
    return tuple(
        Cell(run=run, values={name: options[name] for name in varying}, line=line)
        for (run, line), options in zip(made.items(), flat, strict=True)
    )


@dataclass(frozen=True)
class _Several:
    """The values of an option that varies."""

    values: tuple[Any, ...]


def _options(
    given: Mapping[str, Any],
    place: Place,
    wrong: Callable[..., UserError],
    read: Callable[[str, Any], Any],
) -> dict[str, Any]:
    """Return the options of a table by name, each value read; what is wrong is told with the line of its key."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        try:
            name = option_name(key)
            if name in found:
                raise UserError(f"option {words_of(name)} is given twice, with - and with _: give it once")
            if name == "select":
                raise UserError(
                    "select has no place in a grid: choose with --select on one run, or with distill search, then give the grid"
                )
            if isinstance(value, list) and not value:
                raise UserError(f"{words_of(name)} has an empty list: give a value, or leave it out")
            found[name] = read(name, value)
        except UserError as error:
            raise wrong(error, *place, key) from error
    return found


def _one(name: str, value: Any) -> Any:
    if isinstance(value, list) and not is_sequence(name):
        raise UserError(f"{words_of(name)} has one value in [run]: put a list of values to combine in [[grid]]")
    return checked(name, value)


def _one_or_several(name: str, value: Any) -> Any:
    if name == "seeds":
        raise UserError("seeds belong in [run]: all runs of a grid have the same")
    if not isinstance(value, list):
        return checked(name, value)
    if [] in value:
        raise UserError(f"{words_of(name)} has an empty list: give a value, or leave it out")
    values = [checked(name, one) for one in value]
    seen = set()
    for one in values:
        if one in seen:
            raise UserError(f"{in_words({name: one})} stands in the list twice: give each value once")
        seen.add(one)
    return _Several(tuple(values))


def _line(lines: Mapping[Place, int], place: Place) -> int:
    """Return the line of a place, or of the nearest one around it that has a line."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _text(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: give the TOML file of a grid")
    if not path.exists():
        raise UserError(f"'{path}' is not there: give the TOML file of a grid")
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise UserError(f"'{path}' is larger than {LARGEST_BYTES:,} bytes: this is no grid")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"'{path}', line {line}: this is not UTF-8: save the file in that encoding") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"'{path}', line {deepest_line(text)}: brackets are nested too deep: remove some") from error
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).replace("\n", " ").rpartition(" (at ")
        match = re.match(r"line (\d+)", where)
        line = int(match[1]) if match else max(1, len(text.rstrip("\n").split("\n")))
        raise UserError(f"'{path}', line {line}: this is no TOML ({what or error}): mend it") from error
    except ValueError as error:  # a date that is none, or a number of thousands of digits, in a statement that is whole
        raise UserError(f"'{path}', line {_line_of_failure(text)}: this is no TOML ({error}): mend it") from error


def _line_of_failure(text: str) -> int:
    """Return the first line up to which the text fails as the whole does."""
    lines = text.split("\n")
    low, high = 1, len(lines)
    while low < high:
        middle = (low + high) // 2
        try:
            tomllib.loads("\n".join(lines[:middle]))
        except tomllib.TOMLDecodeError:
            low = middle + 1
        except ValueError:
            high = middle
        else:
            low = middle + 1
    return low
