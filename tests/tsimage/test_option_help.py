"""Help reads as paragraphs: no line break of the source in it, and no line that is longer than the terminal."""

import io
import itertools
import re
import sys
from contextlib import redirect_stdout

import pytest

import distill.cli
import tsimage.cli
from tsimage.option_help import _Wrapping

DISTILL = (
    "run",
    "search",
    "grid",
    "work",
    "status",
    "table",
    "report",
    "audit",
    "stress",
    "export",
    "models",
    "predict",
)
TSIMAGE = ("convert", "verify", "info", "show", "formats", "fields", "datasets", "fetch", "doctor")
COMMANDS = [
    *((distill.cli.main, name) for name in (*DISTILL, "stream", "compare")),
    *((tsimage.cli.main, name) for name in TSIMAGE),
]


def helped(monkeypatch, main, width, *args):
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(out), pytest.raises(SystemExit):
        main([*args, "--help"])
    out.seek(0)
    return out.read().splitlines()


def texts(lines):
    """The lines of each option's text, without the box."""
    column = next(line for line in lines if "-h, --help" in line).index("show this")
    found = []
    for line in lines:
        if line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL}"):
            is_new = line[2] != " "
            if is_new:
                found.append([])
            if not is_new or line[column - 2 : column] == "  ":  # else the name is longer than its column
                found[-1].append(line[column:-1].rstrip())
    return [text for text in found if text]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("main", "command"), COMMANDS)
def test_help_fits_the_terminal_and_every_line_is_full(monkeypatch, main, command, width):
    lines = helped(monkeypatch, main, width, command)
    assert max(map(len, lines)) <= width
    column = next(line for line in lines if "-h, --help" in line).index("show this")
    room = next(len(line) for line in lines if line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL}")) - column - 2
    for text in texts(lines):
        for line, after in itertools.pairwise(text):
            word = re.split(r" |(?<=,)", after)[0]  # breaks after a comma too
            assert len(line) + len(word) + 2 > room, (line, after)


@pytest.mark.parametrize("main", [distill.cli.main, tsimage.cli.main])
def test_the_list_of_commands_fits_too(monkeypatch, main):
    assert max(map(len, helped(monkeypatch, main, 80))) <= 80


def test_a_word_that_is_longer_than_the_terminal_stays_whole_and_colours_do_not_count(capsys):
    out = _Wrapping(sys.stdout, 10)
    out.write("one two three\n" + "x" * 12 + "\n\x1b[1mbold\x1b[0m word\n")
    out.flush()
    assert not out.isatty()
    assert capsys.readouterr().out == "one two\nthree\n" + "x" * 12 + "\n\x1b[1mbold\x1b[0m word\n"
