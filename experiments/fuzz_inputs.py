"""Small valid inputs of every format that is read, and what the fuzz makes of them."""

from __future__ import annotations

import gzip
import importlib.util
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from experiments.device_writers import bin_header, bin_pages, cwa_blocks, cwa_header, cwa_summed
from tsimage.readers import GENERAL_OPTIONS, readers

Files = dict[str, bytes]
"""Relative path to content."""


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A valid input: what reader it is for, its files, and the options that it is read with.

    `pack` turns the files into those that are written, such as one archive of them, so that mutations reach both what
    is packed and the packing.
    """

    reader: str
    files: Callable[[], Files]
    options: Mapping[str, Any] = field(default_factory=dict)
    pack: Callable[[Files], Files] = lambda files: files


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input of the fuzz."""

    seed: str
    files: Files
    options: Mapping[str, Any]


def _signal(n: int, axes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(np.sin(np.arange(n)[:, None] / 5 + np.arange(axes)) + rng.normal(0, 0.1, (n, axes)), 4)


def _text(rows: np.ndarray, separator: str, end: str = "") -> bytes:
    return "".join(separator.join(f"{v:.7g}" for v in row) + end + "\n" for row in rows).encode()


def _table(separator: str = ",", decimal: str = ".") -> bytes:
    rows = [separator.join(("t", "ax", "ay", "az", "activity", "person"))]
    for i, row in enumerate(_signal(60, 3)):
        values = [f"{v}".replace(".", decimal) for v in (i / 20, *row)]
        rows.append(separator.join([*values, "walk" if i < 40 else "sit", "01" if i < 50 else "02"]))
    return ("\n".join(rows) + "\n").encode()


def _wisdm() -> bytes:
    rows = (
        f"33,{'Jogging' if i < 30 else 'Walking'},{49105962326000 + i * 50000000},{x},{y},{z};"
        for i, (x, y, z) in enumerate(_signal(60, 3))
    )
    return ("\n".join(rows) + "\n").encode()


def _wisdm_2019() -> bytes:
    rows = (
        f"1600,{'A' if i < 30 else 'B'},{252207666810782 + i * 50354000},{x},{y},{z};"
        for i, (x, y, z) in enumerate(_signal(60, 3))
    )
    return ("\n".join(rows) + "\n").encode()


def _pamap2() -> bytes:
    rows = np.column_stack([5.64 + np.arange(60) / 100, np.repeat([0, 1, 4], 20), np.full(60, np.nan), _signal(60, 51)])
    return _text(rows, " ")


def _mhealth() -> bytes:
    return _text(np.column_stack([_signal(60, 23), np.repeat([0, 1, 4], 20)]), "\t")


def _uci_har() -> Files:
    long = _signal(64 * 5, 9)
    windows = np.stack([long[i * 64 : i * 64 + 128] for i in range(4)])
    files = {}
    for axis, name in enumerate(f"{kind}_{a}" for kind in ("body_acc", "body_gyro", "total_acc") for a in "xyz"):
        files[f"test/Inertial Signals/{name}_test.txt"] = _text(windows[:, :, axis], " ")
    files["test/y_test.txt"] = b"1\n1\n2\n2\n"
    files["test/subject_test.txt"] = b"2\n2\n2\n2\n"
    files["activity_labels.txt"] = b"1 WALKING\n2 SITTING\n"
    return files


def _hapt() -> Files:
    return {
        "RawData/acc_exp01_user01.txt": _text(_signal(300, 3), " "),
        "RawData/gyro_exp01_user01.txt": _text(_signal(300, 3, 1), " "),
        "RawData/labels.txt": b"1 1 1 1 140\n1 1 2 150 300\n",
        "activity_labels.txt": b"1 WALKING\n2 SITTING\n",
        "Train/subject_id_train.txt": b"1\n1\n",
        "Test/subject_id_test.txt": b"2\n",
    }


def _ts() -> bytes:
    head = "@problemName Fuzz\n@timeStamps false\n@missing false\n@univariate false\n@dimensions 2\n@equalLength true\n@seriesLength 12\n@classLabel true a b\n@data\n"
    rows = [
        ":".join(",".join(f"{v}" for v in axis) for axis in _signal(12, 2, i).T) + f":{'ab'[i % 2]}" for i in range(6)
    ]
    return (head + "\n".join(rows) + "\n").encode()


def _arff() -> bytes:
    head = (
        "@relation Fuzz\n@attribute relationalAtt relational\n"
        + "".join(f"@attribute t{i} numeric\n" for i in range(12))
        + "@end relationalAtt\n@attribute classAttribute {a,b}\n@data\n"
    )
    rows = [
        "'" + "\\n".join(",".join(f"{v}" for v in axis) for axis in _signal(12, 2, i).T) + f"',{'ab'[i % 2]}"
        for i in range(6)
    ]
    return (head + "\n".join(rows) + "\n").encode()


def _ucr() -> bytes:
    return _text(np.column_stack([np.arange(6) % 2 + 1, _signal(6, 20)]), "\t")


def _long() -> bytes:
    rows = ["t,axis,v,activity,person"]
    for i, row in enumerate(_signal(60, 3)):
        for axis, value in zip("xyz", row, strict=True):
            rows.append(f"{i / 20},{axis},{value},{'walk' if i < 40 else 'sit'},01")
    return ("\n".join(rows) + "\n").encode()


def _quoted() -> bytes:
    lines = _table().decode().splitlines()
    return "".join('"' + line.replace(",", '","') + '"\n' for line in lines).encode()


def _plain_table() -> bytes:
    return _text(_signal(60, 3), " ")


def _mat(compressed: bool = False, **arrays: Any) -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, arrays or {"xw": _signal(50, 3)}, do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(116) + out.getvalue()[116:]  # without the time of day


def _mat73() -> bytes:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w", userblock_size=512) as file:
        file["xw"] = _signal(50, 3).T
    content = bytearray(out.getvalue())
    content[:116] = b"MATLAB 7.3 MAT-file".ljust(116)
    content[124:128] = b"\x00\x02IM"
    return bytes(content)


def _arrays() -> Files:
    arrays = {"X": _signal(240, 3).reshape(6, 3, 40), "y": np.arange(6) % 2, "subjects": np.array(list("aabbcc"))}
    arrays |= {
        "channels": np.array(["x", "y", "z"]),
        "rate_hz": np.array(50.0),
        "split": np.array(["train", "test"] * 3),
    }
    return {f"{name}.npy": _npy(array) for name, array in arrays.items()}


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _parquet(**options: Any) -> bytes:
    out = io.BytesIO()
    pd.read_csv(io.BytesIO(_table())).to_parquet(out, **options)
    return out.getvalue()


def _bin() -> bytes:
    return (bin_header(2) + "".join(bin_pages(_counts(600)))).encode("latin-1")


def _cwa() -> bytes:
    return cwa_header() + b"".join(cwa_blocks(_counts(480)))


def _counts(n: int) -> np.ndarray:
    return np.round(200 * _signal(n, 3)).astype(np.int64)


def _zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)  # without the time of day
    return out.getvalue()


def _tar(files: Files, mode: str = "w:") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _into(name: str, archive: Callable[[Files], bytes]) -> Callable[[Files], Files]:
    return lambda files: {name: archive(files)}


def _resummed(name: str, content: bytes) -> bytes:
    return content[:1024] + cwa_summed(content[1024:]) if name.endswith(".cwa") else content


def _one(name: str, content: Callable[[], bytes]) -> Callable[[], Files]:
    return lambda: {name: content()}


_CUT: dict[str, Any] = {"window": "8"}
_COLUMNS: dict[str, Any] = _CUT | {
    "channels": ("ax", "ay", "az"),
    "label": "activity",
    "subject": "person",
    "time": "t",
}
_LONG: dict[str, Any] = _CUT | {"layout": "long", "channel_column": "axis", "value_column": "v", "time": "t"}
_IN_PATH: dict[str, Any] = {"path_pattern": "{subject}/{label}-{recording}.csv"}
_WINDOW = "ID-101_CLASS-01_Window-0001.mat"
SEEDS = {
    "table csv": Seed(reader="table", files=_one("a.csv", _table), options=_COLUMNS),
    "table semicolon": Seed(reader="table", files=_one("a.csv", lambda: _table(";", ",")), options=_COLUMNS),
    "table tsv": Seed(reader="table", files=lambda: {"x/a.tsv": _table("\t"), "b.tsv": _table("\t")}, options=_COLUMNS),
    "table utf-16": Seed(
        reader="table", files=_one("a.csv", lambda: _table().decode().encode("utf-16")), options=_COLUMNS
    ),
    "table quoted": Seed(reader="table", files=_one("a.csv", _quoted), options=_COLUMNS),
    "table dates": Seed(
        reader="table",
        files=_one("a.csv", lambda: re.sub(rb"^(\d)", rb"2024-05-01 12:00:0\1", _table(), flags=re.M)),
        options=_COLUMNS,
    ),
    "table without header": Seed(
        reader="table",
        files=lambda: {"7/walk-1.csv": _plain_table(), "8/sit-2.csv": _plain_table()},
        options=_CUT | _IN_PATH | {"channels": ("column*",), "rate": 20.0},
    ),
    "table zip": Seed(
        reader="table",
        files=lambda: {"x/a.csv": _table(), "b.csv": _table()},
        pack=_into("a.zip", _zip),
        options=_COLUMNS,
    ),
    "table parquet": Seed(reader="table", files=_one("a.parquet", _parquet), options=_COLUMNS),
    "table parquet plain": Seed(
        reader="table",
        files=_one("a.parquet", lambda: _parquet(compression=None, use_dictionary=False)),
        options=_COLUMNS,
    ),
    "table long": Seed(
        reader="table",
        files=_one("a.csv", _long),
        options=_LONG | {"channels": ("x", "y", "z"), "label": "activity", "subject": "person"},
    ),
    "wisdm": Seed(reader="wisdm", files=_one("WISDM_ar_v1.1_raw.txt", _wisdm), options=_CUT),
    "wisdm-2019": Seed(
        reader="wisdm-2019",
        files=lambda: {
            "raw/phone/accel/data_1600_accel_phone.txt": _wisdm_2019(),
            "activity_key.txt": b"walking = A\njogging = B\n",
        },
        options=_CUT,
    ),
    "pamap2": Seed(reader="pamap2", files=_one("Protocol/subject101.dat", _pamap2), options=_CUT),
    "mhealth": Seed(reader="mhealth", files=_one("mHealth_subject1.log", _mhealth), options=_CUT),
    "uci-har": Seed(reader="uci-har", files=_uci_har),
    "hapt": Seed(reader="hapt", files=_hapt),
    "hapt zip": Seed(reader="hapt", files=_hapt, pack=_into("hapt.zip", _zip)),
    "hapt tar": Seed(reader="hapt", files=_hapt, pack=_into("hapt.tar", _tar)),
    "hapt tar.xz": Seed(reader="hapt", files=_hapt, pack=_into("hapt.tar.xz", lambda files: _tar(files, "w:xz"))),
    "hapt tar.gz": Seed(
        reader="hapt", files=_hapt, pack=_into("hapt.tar.gz", lambda files: gzip.compress(_tar(files), mtime=0))
    ),
    "ts": Seed(reader="ts", files=_one("Fuzz_TRAIN.ts", _ts)),
    "arff": Seed(reader="arff", files=_one("Fuzz_TRAIN.arff", _arff)),
    "ucr": Seed(reader="ucr", files=lambda: {"Fuzz_TRAIN.tsv": _ucr(), "Fuzz_TEST.tsv": _ucr()}),
    "mat folder": Seed(
        reader="mat", files=lambda: {f"ID-10{i}_CLASS-0{i % 2}_Window-0001.mat": _mat(i == 1) for i in range(3)}
    ),
    "mat": Seed(
        reader="mat", files=_one("a.mat", lambda: _mat(X=_signal(240, 3).reshape(6, 3, 40), y=["walk", "rest"] * 3))
    ),
    "mat compressed": Seed(reader="mat", files=_one(_WINDOW, lambda: _mat(compressed=True))),
    "mat 7.3": Seed(reader="mat", files=_one(_WINDOW, _mat73)),
    "npz": Seed(reader="npz", files=_arrays, pack=_into("a.npz", lambda files: _zip(files, zipfile.ZIP_STORED))),
    "npz compressed": Seed(reader="npz", files=_arrays, pack=_into("a.npz", _zip)),
    "npy": Seed(reader="npy", files=_arrays),
}
if importlib.util.find_spec("skdh") is not None:
    _STRETCHES = b"start,stop,label\n0,2,walk\n2,12,sit\n"
    SEEDS |= {
        "devices bin": Seed(
            reader="devices", files=lambda: {"w.bin": _bin(), "w.labels.csv": _STRETCHES}, options=_CUT
        ),
        "devices cwa": Seed(
            reader="devices", files=lambda: {"w.cwa": _cwa(), "w.labels.csv": _STRETCHES}, options=_CUT
        ),
        "devices cwa summed": Seed(
            reader="devices",
            files=lambda: {"w.cwa": _cwa(), "w.labels.csv": _STRETCHES},
            pack=lambda files: {name: _resummed(name, content) for name, content in files.items()},
            options=_CUT,
        ),
    }

VARIANTS: tuple[dict[str, Any], ...] = (
    {"faults": "raise"},
    {"missing": "mask"},
    {"missing": "3"},
    {"resample": 12.5, "window": "2"},
    {"labelling": "majority"},
    {"drop_unlabelled": True},
    {"constant": "drop"},
    {"window": "4", "overlap": 0.5},
)
"""Options that are added to those of a seed, where its reader takes them."""


@lru_cache
def seed_files(name: str) -> Files:
    """Return the files of a seed before they are packed."""
    return SEEDS[name].files()


def case(number: int, seed: int) -> Case:
    """Draw input `number`."""
    rng = np.random.default_rng((seed, number))
    name = list(SEEDS)[number % len(SEEDS)]
    files = dict(seed_files(name))
    packed = False
    if rng.integers(4) == 0:
        files, packed = SEEDS[name].pack(files), True
    for _ in range(rng.integers(1, 3)):
        chosen = sorted(files)[rng.integers(len(files))]
        kind = rng.integers(30)
        if kind == 0 and len(files) > 1:
            del files[chosen]
        elif kind == 1:  # files of two sets exchanged
            files[chosen] = next(iter(seed_files(list(SEEDS)[rng.integers(len(SEEDS))]).values()))
        elif kind == 2:
            name_of_path, _, suffix = chosen.rpartition(".")
            word = ("", "X", "é ", "%s", "_TEST", "{subject}", "-", "٣")[rng.integers(8)]
            files[f"{name_of_path}{word}.{suffix}"] = files.pop(chosen)
        elif kind == 3 and len(files) > 1:
            other = sorted(files)[rng.integers(len(files))]
            files[chosen], files[other] = files[other], files[chosen]
        else:
            files[chosen] = mutated(rng, files[chosen])
    reader = readers()[SEEDS[name].reader]
    options = dict(SEEDS[name].options)
    if rng.integers(2):
        options |= {"format": reader.name}
    variant = VARIANTS[rng.integers(len(VARIANTS))]
    if rng.integers(2) and set(variant) <= reader.options | GENERAL_OPTIONS:
        options |= variant
    return Case(seed=name, files=files if packed else SEEDS[name].pack(files), options=options)


WORDS = (
    b"nan",
    b"inf",
    b"-1e400",
    b"1e39",
    b"",
    b"\x00",
    b'"',
    b"'",
    b";",
    b",,,,",
    b"\t",
    b"9" * 400,
    b"-",
    b"\xff\xfe",
    b"\r",
    b"\n\n\n",
    b"1e-320",
    b"0x10",
    b"?",
    b"=1+1",
    b"%s%n",
    b"{}",
    "ä€".encode(),
    b"-9223372036854775809",
)


_GENTLE = (0, 1, 6, 9)


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """Return the bytes after some mutations; of one input in two few that move nothing, which get past the headers."""
    data, gentle = bytearray(content), rng.integers(2) == 0
    for _ in range(rng.integers(1, 3 if gentle else 7)):
        if not data:
            return b""
        at = int(rng.integers(len(data)))
        kind = rng.choice(_GENTLE) if gentle else rng.integers(12)
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.integers(256))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 1 + min(64, len(data))))]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            data[at:at] = WORDS[rng.integers(len(WORDS))]
        elif kind == 5:
            data[at:at] = data[at : at + int(rng.integers(1, 200))]
        elif kind == 6:
            data[at : at + 4] = bytes(rng.choice([0, 127, 128, 255], size=4).astype(np.uint8))
        elif kind == 7:  # a field of text becomes another word
            ends = [i for i in range(at, min(at + 40, len(data))) if data[i : i + 1] in b",;\t \n:"]
            data[at : ends[0] if ends else at + 1] = WORDS[rng.integers(len(WORDS))]
        elif kind == 8:  # lines change places, or one comes twice
            lines = bytes(data).split(b"\n")
            i, j = rng.integers(len(lines), size=2)
            lines[i], lines[j] = lines[j], lines[i] if rng.integers(2) else lines[j]
            data = bytearray(b"\n".join(lines))
        elif kind == 9:  # a number near the front claims much
            size = int(rng.choice([1, 2, 4, 8]))
            data[min(at, 256) : min(at, 256) + size] = int(rng.integers(2 ** (8 * size - 2))).to_bytes(size, "little")
        elif kind == 10:  # a number of text is another
            data[at : at + 1] = str(10 ** int(rng.integers(1, 20))).encode()
        else:  # something comes again and again
            data[at:at] = data[at : at + int(rng.integers(1, 40))] * int(rng.integers(2, 1000))
    return bytes(data)
