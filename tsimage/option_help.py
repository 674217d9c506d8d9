"""The help of commands as paragraphs: tyro keeps line breaks of the source in the texts of fields, and wraps no description."""

from __future__ import annotations

import io
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import is_dataclass
from typing import Annotated, Any, TextIO, get_args, get_origin, get_type_hints

import tyro
from docstring_parser import parse_from_object

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def option_texts(of: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstrings of a command or of a class say of its arguments or fields, each in one line.

    Examples
    --------
    >>> from tsimage.launch import Launch
    >>> option_texts(Launch)["threads"]
    'CPU threads of each. On this machine OMP_NUM_THREADS, or its share of the cores, elsewhere 1, unless given.'
    """
    return {p.arg_name: " ".join(p.description.split()) for p in parse_from_object(of).params if p.description}


def join_lines(of: Callable[..., Any]) -> None:
    """Let tyro show what is said of the arguments of a command, and of the fields that are its options, as paragraphs."""
    texts = option_texts(of)
    for name, hint in get_type_hints(of, include_extras=True).items():
        inner, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if is_dataclass(inner):
            join_lines(inner)  # type: ignore[arg-type]
        elif name in texts and all(getattr(note, "help", None) is None for note in notes):
            of.__annotations__[name] = Annotated[hint, tyro.conf.arg(help=texts[name])]


class _Wrapper(textwrap.TextWrapper):
    """Breaks {run,grid,work} after a comma, too."""

    wordsep_simple_re = re.compile(r"(\s+|(?<=[a-z],)(?=[a-z]))")


class _Wrapping(io.TextIOBase):
    """Writes text whose lines are at most `width` characters, but for single words; tells of itself what its target does."""

    def __init__(self, target: TextIO, width: int) -> None:
        self._target, self._width = target, width

    def write(self, text: str) -> int:
        self._target.write("\n".join(map(self._in_width, text.split("\n"))))
        return len(text)

    def _in_width(self, line: str) -> str:
        seen = _COLOUR.sub("", line)
        if len(seen) <= self._width:
            return line
        indent = " " * len("usage: ") if seen.startswith("usage: ") else ""
        return _Wrapper(self._width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False).fill(
            line
        )

    def flush(self) -> None:
        self._target.flush()

    def isatty(self) -> bool:
        return self._target.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._target.encoding


@contextmanager
def wrapped(target: TextIO) -> Iterator[None]:
    """Break what is printed to a terminal, or to a file, into lines as wide as the terminal is taken to be."""
    with redirect_stdout(_Wrapping(target, shutil.get_terminal_size().columns)):
        yield
