"""The `.ts` form of the UEA and UCR archives, and what it shares with `.arff` and the older UCR form.

A set is a file, or the pair NAME_TRAIN and NAME_TEST; each line holds a case: its channels and its class.

Source: A. Bagnall et al., "The UEA multivariate time series classification archive, 2018", arXiv:1811.00075; the header
as in the documentation of aeon.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsimage.errors import UserError
from tsimage.ledger import Ledger
from tsimage.readers import Reader, ReadOptions
from tsimage.windows import Windows

OPTIONS = frozenset({"faults", "missing", "rate", "units"})
MAX_CLASSES = 10_000
ODD_SHARE = 0.1
"""Up to this share of cases may have another shape than the rest and be rejected; more are a set of unequal length."""

_PART = re.compile(r"(.+)_(train|test)", re.IGNORECASE)
_HEADER = re.compile(
    "problemname|timestamps|missing|univariate|dimensions?|equallength|serieslength|classlabel|targetlabel"
)


class MalformedError(ValueError):
    """A case that cannot be used: the kind of fault in a few words, and what was found."""

    def __init__(self, kind: str, example: str = "") -> None:
        super().__init__(kind, example)
        self.kind, self.example = kind, example

    def __str__(self) -> str:
        return f"{self.kind} ({self.example})" if self.example else self.kind


@dataclass(frozen=True, kw_only=True)
class Body:
    """The lines of a file below its header, and what the header declares about them; None where it declares nothing."""

    file: str
    lines: Sequence[str]
    first_line: int = 1
    split: Callable[[str], tuple[list[str], str]]
    """Turns a line into the texts of its channels and its class, or raises `MalformedError`."""
    separator: str | None = ","
    """Between the numbers of a channel; None for any white space."""
    n_channels: int | None = None
    length: int | None = None
    class_names: frozenset[str] = frozenset()
    may_differ: bool = False
    """The header says that lengths differ, so that none of them is a fault."""
    may_miss: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cases:
    values: np.ndarray  # float32 (case, channel, time)
    labels: list[str]
    numbers: list[int]  # place among all cases of the file, counted from 0


def read_ts(path: Path, options: ReadOptions) -> Windows:
    """Read a `.ts` file, or the pair NAME_TRAIN.ts and NAME_TEST.ts given by its folder or as `folder/NAME`.

    Channels are separated by colons, the class comes last, `?` is a missing sample. Class names are sorted, and those
    that the header declares are kept, so that both parts count them alike.

    Raises
    ------
    UserError
        If the header is damaged, declares time stamps or no classes, cases differ in length, or none can be used.
    """
    return read_archive(path, options, (".ts",), _body)


def _body(content: bytes, file: str, ledger: Ledger) -> Body:
    lines, header, number = text_lines(content), dict[str, list[str]](), 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "%")):
            continue
        if not line.startswith("@"):
            raise UserError(
                f"{file}, line {number}: '{_short(line)}' stands where a line of the header belongs (@problemName ... "
                "@data): this is no .ts file of the UEA and UCR archives"
            )
        key, *words = line[1:].split() or [""]
        if key.casefold() == "data":
            break
        if not _HEADER.fullmatch(key.casefold()):
            ledger.say(f"{file}: the header's @{_short(key)} has no use here")
        header[key.casefold()] = words
    else:
        raise UserError(
            f"{file}: there is no line @data: this is no .ts file of the UEA and UCR archives, or was cut off"
        )

    def truth(key: str, default: str) -> bool:
        word = (header.get(key) or [default])[0].casefold()
        if word not in ("true", "false"):
            raise UserError(f"{file}: the header says @{key} '{_short(word)}': allowed are true and false")
        return word == "true"

    def count(*keys: str) -> int | None:
        for key in keys:
            word = (header.get(key) or [""])[0]
            if key in header and not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) > 0):
                raise UserError(f"{file}: the header says @{key} '{_short(word)}': give a whole number above 0")
            if key in header:
                return int(word)
        return None

    if truth("timestamps", "false"):
        raise UserError(
            f"{file}: cases with time stamps (@timestamps true) are not read: write them without, as values only"
        )
    if not truth("classlabel", "false"):
        why = (
            "targets that are numbers" if truth("targetlabel", "false") else "no classes (@classLabel true is missing)"
        )
        raise UserError(f"{file}: the cases have {why}: give a set for classification")
    equal = truth("equallength", "true")
    return Body(
        file=file,
        lines=lines[number:],
        first_line=number + 1,
        split=_split,
        n_channels=count("dimensions", "dimension") or (1 if truth("univariate", "false") else None),
        length=count("serieslength") if equal else None,
        class_names=frozenset(header["classlabel"][1:]),
        may_differ=not equal,
        may_miss=truth("missing", "true"),
    )


def _split(line: str) -> tuple[list[str], str]:
    *channels, label = line.split(":")
    if not channels:
        raise MalformedError("no colon before the class", line)
    return channels, label


def read_archive(
    path: Path, options: ReadOptions, suffixes: tuple[str, ...], parse: Callable[[bytes, str, Ledger], Body]
) -> Windows:
    """Read one file or a pair of parts as windows; `parse` takes content, name and ledger and returns a `Body`."""
    ledger = Ledger(strict=options.faults == "raise")
    name, files = _parts(path, suffixes, ledger)
    declared: set[str] = set()
    parts: dict[str, _Cases] = {}
    for part, file in files.items():
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror}): check its permissions") from error
        body = parse(content, file.name, ledger)
        if len(body.class_names) > MAX_CLASSES:
            raise UserError(
                f"{file.name}: the header lists {len(body.class_names):,} classes, allowed are {MAX_CLASSES:,}: this is no set "
                "for classification"
            )
        declared.update(body.class_names)
        parts[part] = _cases(body, ledger, file)
    cases = list(parts.values())
    shapes = [each.values.shape[1:] for each in cases]
    if shapes[0] != shapes[-1]:
        said = " and ".join(f"{part} cases of {c} x {t}" for part, (c, t) in zip(parts, shapes, strict=True))
        raise UserError(f"{path}: {name} has {said} (channels x samples): both parts need the same, get a fresh copy")
    labels = [label for each in cases for label in each.labels]
    class_names = sorted(declared | set(labels), key=numbers_first)
    code = {label: i for i, label in enumerate(class_names)}
    # a part read alone gets the ids that it has in the pair
    stems = [part or (match[2].casefold() if (match := _PART.fullmatch(name)) else "case") for part in parts]
    ids = np.array([f"{stem}-{i:02d}" for stem, each in zip(stems, cases, strict=True) for i in each.numbers])
    values = np.concatenate([each.values for each in cases])
    gaps = np.isnan(values).any(axis=2) if options.missing != "raise" else None
    return Windows(
        values=values,
        channels=tuple(f"channel{i}" for i in range(values.shape[1])),
        units=options.units_for(values.shape[1], None),
        rate_hz=options.rate,
        labels=np.array([code[label] for label in labels], dtype=np.int64),
        class_names=tuple(class_names),
        subjects=np.full(len(values), ""),
        recordings=ids,
        start=np.zeros(len(values), dtype=np.int64),
        stop=np.full(len(values), values.shape[2], dtype=np.int64),
        ids=ids,
        split=np.repeat(list(parts), [len(each.labels) for each in cases]) if len(parts) == 2 else None,
        gaps=gaps if gaps is not None and gaps.any() else None,
        name=name,
        read_report=ledger.report(),
    )


def is_archive(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether `path` is a file of one of the suffixes, or names parts that have one."""
    try:
        if path.is_file():
            return path.suffix.lower() in suffixes
        sets = sets_in(path if path.is_dir() else path.parent, suffixes)
        return bool(sets) if path.is_dir() else path.name in sets
    except OSError:
        return False


def text_lines(content: bytes) -> list[str]:
    """Split a file into lines; bytes that are no UTF-8 become U+FFFD, whose cases are rejected."""
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def _parts(path: Path, suffixes: tuple[str, ...], ledger: Ledger) -> tuple[str, dict[str, Path]]:
    """Return the name of the set and its files, by part; a single file is the part ''."""
    if path.is_file():
        return path.stem, {"": path}
    sets = sets_in(path if path.is_dir() else path.parent, suffixes)
    name = path.name if path.name in sets or not path.is_dir() or len(sets) != 1 else next(iter(sets))
    if name not in sets:
        held = ", ".join(sorted(sets)) or "none"
        raise UserError(
            f"{path}: which set? There are {held} with names like NAME_TRAIN{suffixes[0]}: give one as folder/NAME"
        )
    if len(sets) > 1 and path.is_dir():
        ledger.say(f"{path.name}: read {name}, left aside {', '.join(sorted(sets.keys() - {name}))}")
    parts = sets[name]
    if len(parts) == 1:
        return next(iter(parts.values())).stem, {"": next(iter(parts.values()))}
    return name, {"train": parts["train"], "test": parts["test"]}


def sets_in(folder: Path, suffixes: tuple[str, ...]) -> dict[str, dict[str, Path]]:
    """Find NAME_TRAIN and NAME_TEST in a folder; of one name, the earlier suffix counts."""
    sets: dict[str, dict[str, Path]] = {}
    try:
        files = sorted(folder.iterdir())
    except (OSError, ValueError):  # a NUL in the name
        return {}
    for suffix in suffixes:
        found: dict[str, dict[str, Path]] = {}
        for file in files:
            match = _PART.fullmatch(file.stem)
            if match and file.suffix.lower() == suffix and not file.name.startswith(".") and file.is_file():
                found.setdefault(match[1], {}).setdefault(match[2].casefold(), file)
        sets = found | sets
    return sets


def _cases(body: Body, ledger: Ledger, path: Path) -> _Cases:
    values: list[np.ndarray] = []
    labels, numbers, lines = [], [], []
    faults: dict[str, tuple[str, list[int]]] = {}
    number = -1
    for line, text in enumerate(body.lines, body.first_line):
        if text.startswith(("#", "%")):
            continue
        number += 1
        try:
            series, label = _case(text, body)
        except MalformedError as fault:
            faults.setdefault(fault.kind, (fault.example, []))[1].append(line)
            continue
        values.append(series)
        labels.append(label)
        numbers.append(number)
        lines.append(line)
    ledger.rows_read += number + 1
    for kind, (example, where) in faults.items():
        ledger.reject(body.file, kind, where, example)
    if not values:
        raise ledger.nothing_left(path)
    usual = Counter(series.shape for series in values).most_common(1)[0][0]
    odd = [i for i, series in enumerate(values) if series.shape != usual]
    if odd:
        _refuse_unequal(body, path, values, usual, lines, odd)
        got = " x ".join(map(str, values[odd[0]].shape))
        ledger.reject(body.file, "channels x samples unlike the rest", [lines[i] for i in odd], got)
    kept = [i for i, series in enumerate(values) if series.shape == usual]
    if not body.may_miss:
        where = [lines[i] for i in kept if np.isnan(values[i]).any()]
        ledger.note(body.file, "missing samples although the header says none", where)
    return _Cases(
        values=np.stack([values[i] for i in kept]),
        labels=[labels[i] for i in kept],
        numbers=[numbers[i] for i in kept],
    )


def _refuse_unequal(
    body: Body, path: Path, values: list[np.ndarray], usual: tuple[int, ...], lines: list[int], odd: list[int]
) -> None:
    if not body.may_differ and len(odd) <= ODD_SHARE * len(values):
        return
    axis = 0 if len({len(series) for series in values}) > 1 else 1
    sizes = [series.shape[axis] for series in values]
    some = ", ".join(str(lines[i]) for i in odd[:3]) + (", ..." if len(odd) > 3 else "")
    raise UserError(
        f"{path}: the cases have {min(sizes)} to {max(sizes)} {('channels', 'samples')[axis]} ({len(odd)} of {len(values)} "
        f"have not {usual[axis]}, lines {some}): nothing is cut or padded in silence, so make them equal and save them anew"
    )


def _case(text: str, body: Body) -> tuple[np.ndarray, str]:
    if not text.strip():
        raise MalformedError("empty line")
    if "\ufffd" in text:
        raise MalformedError("bytes that are no UTF-8", text)
    channels, label = body.split(text)
    if body.n_channels not in (None, len(channels)):
        raise MalformedError("wrong number of channels", f"{len(channels)} instead of {body.n_channels}")
    label = label.strip()
    if label in ("", "?"):
        raise MalformedError("no class", text[-20:])
    if body.class_names and label not in body.class_names:
        raise MalformedError("class that the header does not list", label)
    series = [_numbers(channel, body.separator) for channel in channels]
    lengths = {len(each) for each in series}
    if len(lengths) > 1:
        raise MalformedError("channels of unequal length", f"{min(lengths)} to {max(lengths)} samples")
    if body.length not in (None, *lengths):
        raise MalformedError("wrong number of samples", f"{max(lengths)} instead of {body.length}")
    return np.stack(series), label


def _numbers(text: str, separator: str | None) -> np.ndarray:
    tokens = text.split(separator)
    try:
        if "_" in text or not text.isascii():  # 1_0 and digits of other scripts are numbers to Python only
            raise ValueError
        values = np.fromiter(map(float, tokens), dtype=np.float64, count=len(tokens))
    except ValueError:
        values = np.array([_number(token.strip()) for token in tokens])
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, too
        series = values.astype(np.float32)
    if np.isinf(series).any():
        raise MalformedError("infinite value", tokens[int(np.argmax(np.isinf(series)))])
    return series


def _number(token: str) -> float:
    if token == "?":
        return np.nan
    try:
        if "_" in token or not token.isascii():
            raise ValueError
        return float(token)
    except ValueError as error:
        raise MalformedError("word where a number belongs" if token else "empty value", token) from error


def numbers_first(label: str) -> tuple[int, float, str]:
    """Return the key that sorts class names: numbers by size, then words."""
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", label, re.ASCII)
    return (0, float(label), label) if is_number else (1, 0.0, label)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


READER = Reader(
    name="ts",
    summary="a UEA or UCR set as .ts, one file or the folder of NAME_TRAIN.ts and NAME_TEST.ts",
    accepts=lambda path: is_archive(path, (".ts",)),
    read=read_ts,
    options=OPTIONS,
)
