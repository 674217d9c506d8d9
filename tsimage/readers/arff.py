r"""The `.arff` form of the UEA and UCR archives.

A series of one channel is a numeric attribute per sample; several channels are one relational attribute, whose value is
quoted text with the channels separated by a backslash and an n. The class is the last attribute, a nominal one.

Source: A. Bagnall et al., arXiv:1811.00075; I. Witten et al., the attribute-relation file format of Weka.
"""

from __future__ import annotations

import re
from pathlib import Path

from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import Reader, ReadOptions
from tsimage.readers.ts import OPTIONS, Body, MalformedError, is_archive, read_archive, text_lines
from tsimage.windows import Windows

_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(\S.*)""", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")


def read_arff(path: Path, options: ReadOptions) -> Windows:
    """Read an `.arff` file, or the pair NAME_TRAIN.arff and NAME_TEST.arff given by its folder or as `folder/NAME`.

    Raises
    ------
    UserError
        If the header is damaged or declares no classes, cases differ in length, or none can be used.
    """
    return read_archive(path, options, (".arff",), _body)


def _body(content: bytes, file: str, ledger: Ledger) -> Body:
    lines = text_lines(content)
    outer: list[str] = []  # types of the attributes of a case
    inner = 0  # samples in the relational one
    inside, number = False, 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        word = text.split(maxsplit=1)[0].casefold() if text else ""
        if word == "@data":
            break
        attribute = _ATTRIBUTE.fullmatch(text)
        if attribute is None:
            if text and not text.startswith("%") and word not in ("@relation", "@end"):
                raise UserError(
                    f"{file}, line {number}: '{text[:40]}' stands where a line of the header belongs (@relation, @attribute, "
                    "@data): this is no .arff file"
                )
            inside = inside and word != "@end"
            continue
        kind = attribute[2].strip()
        if kind.casefold() not in (*_NUMERIC, "relational") and (inside or not kind.startswith("{")):
            raise UserError(
                f"{file}, line {number}: the attribute {attribute[1][:40]} is of type '{kind[:40]}': samples are numeric, "
                "classes nominal ({a,b}), several channels relational"
            )
        if inside:
            inner += 1
        else:
            outer.append(kind)
            inside = kind.casefold() == "relational"
    else:
        raise UserError(f"{file}: there is no line @data: this is no .arff file, or it was cut off")
    several = [kind.casefold() for kind in outer[:-1]] == ["relational"]
    if len(outer) < 2 or not outer[-1].startswith("{"):
        raise UserError(
            f"{file}: the last attribute is no class, such as @attribute activity {{walk,run}}: put it there"
        )
    if not several and any(kind.casefold() not in _NUMERIC for kind in outer[:-1]):
        raise UserError(
            f"{file}: the attributes before the class are neither all numeric (one channel) nor one relational (several "
            "channels): this is no series"
        )
    return Body(
        file=file,
        lines=lines[number:],
        first_line=number + 1,
        split=_split_several if several else _split_one,
        n_channels=None if several else 1,
        length=(inner or None) if several else len(outer) - 1,
        class_names=frozenset(_unquoted(name) for name in outer[-1].strip("{} ").split(",")),
    )


def _split_one(line: str) -> tuple[list[str], str]:
    series, comma, label = line.rpartition(",")
    if not comma:
        raise MalformedError("no comma before the class", line)
    return [series], _unquoted(label)


def _split_several(line: str) -> tuple[list[str], str]:
    series, _, label = line.strip().rpartition(",")
    series = series.strip()
    if len(series) < 2 or series[0] not in "'\"" or series[-1] != series[0]:
        raise MalformedError("channels that are not in quotes", line)
    return series[1:-1].split("\\n"), _unquoted(label)


def _unquoted(name: str) -> str:
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] in "'\"" and name[-1] == name[0] else name


READER = Reader(
    name="arff",
    summary="a UEA or UCR set as .arff, one file or the folder of NAME_TRAIN.arff and NAME_TEST.arff",
    accepts=lambda path: is_archive(path, (".arff",)),
    read=read_arff,
    options=OPTIONS,
)
