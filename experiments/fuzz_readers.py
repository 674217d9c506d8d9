"""Mutated files through every reader: parsed with a report, or one typed sentence; no other exception, no hang, no memory.

    python experiments/fuzz_readers.py --inputs 200000

Small valid inputs of every format are written, mutated (bits flipped, bytes and lines cut, doubled, moved and replaced,
headers given huge numbers, files exchanged), and read as `tsimage.load` reads them, in worker processes with 500 MB of
memory beyond what the imports take. An input counts as

- `parsed`: windows or recordings came out, and where rows are counted, read = kept + rejected;
- `refused`: a `UserError` of one line;
- `failed`: anything else: another exception, an error of several lines, more than 5 s or 500 MB, a dead worker.

Input number i is drawn from (seed, i) alone, so that a failure is shown again by `--only i`. Writes
`experiments/results/fuzz-readers.csv`: a row per format with the counts of each outcome and the slowest input.
"""

from __future__ import annotations

import argparse
import gzip
import io
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tsimage
from tsimage.datasets import Source, read
from tsimage.readers import ReadOptions, RecordingSet
from tsimage.windows import Windows

RESULTS = Path(__file__).parent / "results"
SECONDS, MEGABYTES = 5.0, 500
CHUNK = 50
Files = dict[str, bytes]


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


def _mat(version: str = "5") -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, {"xw": _signal(50, 3)}, format=version, do_compression=version == "5")
    return out.getvalue()


def _mat73() -> bytes:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w", userblock_size=512) as file:
        file["xw"] = _signal(50, 3).T
    content = bytearray(out.getvalue())
    content[:116] = b"MATLAB 7.3 MAT-file".ljust(116)
    content[124:128] = b"\x00\x02IM"
    return bytes(content)


def _npz(compressed: bool) -> bytes:
    out = io.BytesIO()
    arrays = {"X": _signal(240, 3).reshape(6, 3, 40), "y": np.arange(6) % 2, "subjects": np.array(list("aabbcc"))}
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _parquet() -> bytes:
    out = io.BytesIO()
    pd.read_csv(io.BytesIO(_table())).to_parquet(out)
    return out.getvalue()


def _zip(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _tar(files: Files, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


TABLE: dict[str, Any] = {"channels": ("ax", "ay", "az"), "label": "activity", "subject": "person", "time": "t"}
CUT: dict[str, Any] = {"window": "16"}
SEEDS: dict[str, tuple[Callable[[], Files], dict[str, Any]]] = {
    "table csv": (lambda: {"a.csv": _table()}, TABLE | CUT),
    "table semicolon": (lambda: {"a.csv": _table(";", ",")}, TABLE | CUT),
    "table tsv": (lambda: {"x/a.tsv": _table("\t"), "x/b.tsv": _table("\t")}, TABLE | CUT),
    "table parquet": (lambda: {"a.parquet": _parquet()}, TABLE | CUT),
    "table masked": (lambda: {"a.csv": _table()}, TABLE | CUT | {"missing": "mask"}),
    "wisdm": (lambda: {"WISDM_ar_v1.1_raw.txt": _wisdm()}, CUT),
    "wisdm-2019": (
        lambda: {
            "raw/phone/accel/data_1600_accel_phone.txt": _wisdm_2019(),
            "activity_key.txt": b"walking = A\njogging = B\n",
        },
        CUT,
    ),
    "pamap2": (lambda: {"Protocol/subject101.dat": _pamap2()}, CUT),
    "mhealth": (lambda: {"mHealth_subject1.log": _mhealth()}, CUT),
    "uci-har": (_uci_har, {}),
    "hapt": (_hapt, {}),
    "hapt zip": (lambda: {"hapt.zip": _zip(_hapt())}, {}),
    "hapt tar.xz": (lambda: {"hapt.tar.xz": _tar(_hapt(), "w:xz")}, {}),
    "hapt tar": (lambda: {"hapt.tar": _tar(_hapt(), "w:")}, {}),
    "hapt tar.gz": (lambda: {"hapt.tar.gz": gzip.compress(_tar(_hapt(), "w:"))}, {}),
    "ts": (lambda: {"Fuzz_TRAIN.ts": _ts()}, {}),
    "arff": (lambda: {"Fuzz_TRAIN.arff": _arff()}, {}),
    "ucr tsv": (lambda: {"Fuzz_TRAIN.tsv": _ucr(), "Fuzz_TEST.tsv": _ucr()}, {}),
    "mat windows": (lambda: {f"ID-10{i}_CLASS-0{i % 2}_Window-0001.mat": _mat() for i in range(3)}, {}),
    "mat 4": (lambda: {"ID-101_CLASS-01_Window-0001.mat": _mat("4")}, {}),
    "mat 7.3": (lambda: {"ID-101_CLASS-01_Window-0001.mat": _mat73()}, {}),
    "npz": (lambda: {"a.npz": _npz(compressed=False)}, {"missing": "mask"}),
    "npz compressed": (lambda: {"a.npz": _npz(compressed=True)}, {}),
    "npy": (lambda: {"X.npy": _npy(_signal(240, 3).reshape(6, 3, 40)), "y.npy": _npy(np.array(list("ababab")))}, {}),
}


@lru_cache
def seed_files(name: str) -> Files:
    return SEEDS[name][0]()


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


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """Return the bytes after one to six mutations."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            return b""
        at = int(rng.integers(len(data)))
        kind = rng.integers(10)
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
        else:  # a header claims much
            data[min(at, 256) : min(at, 256) + 8] = int(rng.integers(2**31, 2**62)).to_bytes(8, "little")
    return bytes(data)


def case(number: int, seed: int) -> tuple[str, Files]:
    """Return the format and the files of input `number`."""
    rng = np.random.default_rng((seed, number))
    name = list(SEEDS)[number % len(SEEDS)]
    files = dict(seed_files(name))
    for _ in range(rng.integers(1, 3)):
        chosen = sorted(files)[rng.integers(len(files))]
        if rng.integers(20) == 0 and len(files) > 1:
            del files[chosen]
        elif rng.integers(20) == 0:
            other = list(SEEDS)[rng.integers(len(SEEDS))]
            files[chosen] = next(iter(seed_files(other).values()))
        else:
            files[chosen] = mutated(rng, files[chosen])
        if not files:
            break
    return name, files


class _TooSlow(BaseException):
    pass


def _ring(*_: Any) -> None:
    raise _TooSlow


def outcome(name: str, files: Files, folder: Path) -> tuple[str, str, float]:
    """Read the files; returns parsed, refused or failed, why, and the seconds it took."""
    root = folder / "in"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for relative, content in files.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    only = next(iter(SEEDS[name][0]())) if len(seed_files(name)) == 1 else None
    target = root / only if only is not None and (root / only).exists() else root
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    start = time.perf_counter()
    try:
        said, why = _read(target, ReadOptions(constant="flag", **SEEDS[name][1]))
    except _TooSlow:
        said, why = "failed", f"more than {SECONDS} s"
    except tsimage.UserError as error:
        text = str(error)
        said, why = ("failed", f"several lines: {text!r}") if "\n" in text or not text else ("refused", text)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said, why = "failed", f"{type(error).__name__}: {error} at {Path(where.filename).name}:{where.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return said, why, time.perf_counter() - start


def _read(target: Path, options: ReadOptions) -> tuple[str, str]:
    from tsimage.datasets import finished

    source: Source = read(target, options)
    content = source.content
    report = content.report if isinstance(content, RecordingSet) else content.read_report
    if report is not None and not 0 <= report.rows_rejected <= report.rows_read:
        return "failed", f"{report.rows_rejected} of {report.rows_read} rows rejected"
    windows = finished(source, options)
    if not isinstance(windows, Windows) or not len(windows):
        return "failed", "no windows and no error"
    return "parsed", ""


def _prepare() -> None:
    """Load what reading needs, then allow MEGABYTES more."""
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        for name in SEEDS:
            said, why, _ = outcome(name, seed_files(name), Path(folder))
            if said != "parsed":
                raise SystemExit(f"the valid input of {name} was {said}: {why}")
    used = int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize")).split()[
            1
        ]
    )
    limit = used * 1024 + MEGABYTES * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(numbers: list[int], seed: int) -> list[tuple[int, str, str, str, float]]:
    """Read some inputs; returns (number, format, outcome, why, seconds) of each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            name, files = case(number, seed)
            rows.append((number, name, *outcome(name, files, Path(folder))))
    return rows


def fuzz(inputs: int, seed: int = 0, workers: int = 2, say: Callable[[str], object] | None = None) -> pd.DataFrame:
    """Read many inputs in worker processes; returns a row per input."""
    chunks = [list(range(start, min(inputs, start + CHUNK))) for start in range(0, inputs, CHUNK)]
    rows: list[tuple[int, str, str, str, float]] = []
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare)
    try:
        futures = [pool.submit(run, chunk, seed) for chunk in chunks]
        for done, (chunk, future) in enumerate(zip(chunks, futures, strict=True), start=1):
            try:
                rows += future.result(timeout=CHUNK * SECONDS * 4)
            except (BrokenProcessPool, TimeoutError) as error:
                raise RuntimeError(f"a worker died or hung at one of the inputs {chunk[0]} to {chunk[-1]}") from error
            if say is not None and done % 40 == 0:
                say(f"{len(rows):,} of {inputs:,}, {sum(row[2] == 'failed' for row in rows)} failed")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return pd.DataFrame(rows, columns=["input", "format", "outcome", "why", "seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz of the readers; see the docstring.")
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="show one input")
    options = parser.parse_args()
    if options.only is not None:
        print(*run([options.only], options.seed)[0], sep="\n")
        return
    start = time.perf_counter()
    table = fuzz(options.inputs, options.seed, say=print)
    counts = table.groupby("format")["outcome"].value_counts().unstack(fill_value=0)
    for column in ("parsed", "refused", "failed"):
        counts[column] = counts.get(column, 0)
    counts = counts[["parsed", "refused", "failed"]].assign(
        inputs=table.groupby("format").size(), slowest_s=table.groupby("format")["seconds"].max().round(3)
    )
    print(counts.to_string())
    for row in table[table["outcome"] == "failed"].head(40).itertuples():
        print(f"input {row.input} ({row.format}): {row.why}")
    print(f"{len(table):,} inputs in {time.perf_counter() - start:.0f} s, {counts['failed'].sum()} failed")
    RESULTS.mkdir(exist_ok=True)
    counts.assign(seed=options.seed, tsimage=tsimage.__version__).to_csv(RESULTS / "fuzz-readers.csv")
    sys.exit(bool(counts["failed"].sum()))


if __name__ == "__main__":
    main()
