"""Files made to do harm, read as a user reads them: nothing runs, nothing is written, and each is refused in one sentence.

They are read in worker processes that may take 500 MB more than they have after their imports, and 5 s for each.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsimage
from experiments.device_writers import bin_header, bin_pages
from experiments.fuzz_inputs import SEEDS, seed_files
from experiments.fuzz_readers import fuzz, judged, prepare
from tsimage import atomic
from tsimage.cli import main
from tsimage.store import open_store
from tsimage.verification import verify

ARCHIVES = ("hapt", "uci-har", "pamap2", "mhealth", "wisdm", "wisdm-2019", "mat", "table")
"""Readers that look into archives."""
TABLE = SEEDS["table csv"].options
MB = 2**20


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "executed")


def flags(options):
    """The options as they are given on the command line."""
    for name, value in options.items():
        yield f"--{name.replace('_', '-')}"
        yield from map(str, value) if isinstance(value, tuple) else (str(value),)


def read_one(cases, number, seed, folder):
    """Load a path, and have `tsimage info` say the same of every second one."""
    name, path, options = cases[number]
    os.chdir(folder)
    if name.startswith("unreadable") and os.geteuid() == 0:
        for parent in path.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 1 and parent != Path("/"):
                parent.chmod(0o755)  # so that the file is what cannot be read
        os.seteuid(65534)
    try:
        said, why, seconds = judged(lambda: ("parsed", str(len(tsimage.load(path, constant="flag", **options)))))
        told = judged(lambda: told_by_info(path, options)) if number % 2 else (said, why, seconds)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    if said != "failed" and told[0] == "failed":
        said, why = "failed", f"info: {told[1]}"
    return name, said, why, max(seconds, told[2])


def told_by_info(path, options):
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(["info", str(path), *flags(options)])
    except SystemExit as end:
        text = err.getvalue()
        if end.code == 2 and text.startswith("tsimage: ") and text.count("\n") == 1:
            return "refused", text
        return "failed", f"exit {end.code}: {text[:1000]}"
    return "parsed", out.getvalue()


CORPUS = {}
"""What writes files into a folder and returns (name, path, options) for each that is to be read."""


def corpus(write):
    CORPUS[write.__name__] = write
    return write


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Write and read everything. Returns what was said, by kind and name, with the seconds; the folder; the marker."""
    folder = tmp_path_factory.mktemp("malicious")
    folders = {kind: folder / kind for kind in CORPUS}
    marker = folder / "marker"
    cases = []
    for kind, write in CORPUS.items():
        folders[kind].mkdir()
        cases += [(f"{kind}: {name}", path, options) for name, path, options in write(folders[kind], marker)]
    before = tree(folder)
    table = fuzz(range(len(cases)), begin=prepare, judge=partial(read_one, tuple(cases)))
    assert tree(folder) == before  # nothing was written, or removed
    said = {kind: {} for kind in CORPUS}
    for row in table.itertuples():
        kind, _, name = cases[row.input][0].partition(": ")
        said[kind][name] = (row.outcome, row.why, row.seconds)
    return said, folders, marker


@pytest.mark.parametrize("kind", ["pickles", "objects", "escapes", "bombs", "giants", "pipes", "unreadable"])
def test_nothing_runs_hangs_or_takes_memory(everything, kind):
    said, _, marker = everything
    assert not marker.exists()
    failed = [f"{name}: {why}" for name, (outcome, why, _) in said[kind].items() if outcome == "failed"]
    assert failed == [], "\n".join(failed)
    slow = [f"{name}: {seconds} s" for name, (_, _, seconds) in said[kind].items() if seconds >= 5]
    assert slow == []


def refused(said):
    return [name for name, (outcome, _, _) in said.items() if outcome == "refused"]


def tree(folder):
    return {path: path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def written(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def given(folder, files):
    """What a user gives: the only file, or the folder."""
    return folder / next(iter(files)) if len(files) == 1 else folder


@corpus
def pickles(folder, marker):
    """A pickle in place of every file of every format."""
    evil = pickle.dumps(Evil(marker))
    pickle.loads(evil)
    assert marker.read_text() == "executed"  # it would
    marker.unlink()
    for seed_name, seed in SEEDS.items():
        plain = seed_files(seed_name)
        packed = seed.pack(plain)
        variants = {name: {**packed, name: evil} for name in packed}
        if len(packed) < len(plain):
            variants |= {f"in it {name}": seed.pack({**plain, name: evil}) for name in plain}
        for number, (name, files) in enumerate(variants.items()):
            root = written(folder / seed_name / str(number), files)
            for options in (seed.options, {**seed.options, "format": seed.reader}):
                yield f"{seed_name} {name} {options.get('format', '')}", given(root, files), options


def test_a_pickle_in_place_of_any_file_is_refused(everything):
    said = everything[0]["pickles"]
    assert len(said) > 150
    assert len(refused(said)) > 0.8 * len(said)  # others hold sound files beside it, and a row of the report for it


def npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def packed(name, content, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        archive.writestr(name, content)
        archive.writestr("y.npy", npy(np.arange(2)))
    return out.getvalue()


@corpus
def objects(folder, marker):
    """Arrays of Python objects, which NumPy keeps as pickles."""
    kinds = {
        "objects": npy(np.array([Evil(marker), Evil(marker)], dtype=object)),
        "fields": npy(np.zeros(2, dtype=[("a", "f4"), ("b", "O")])),
        "bare": pickle.dumps(Evil(marker)),
    }
    for name, content in kinds.items():
        yield f"npy {name}", written(folder / name, {"X.npy": content, "y.npy": npy(np.arange(2))}), {}
        for member in ("X.npy", "z.npy"):
            path = folder / f"{name}-{member}.npz"
            path.write_bytes(packed(member, content))
            yield f"npz {name} {member}", path, {}


def test_arrays_of_objects_are_refused(everything):
    said, folders, _ = everything
    assert len(refused(said["objects"])) == len(said["objects"]) == 9
    assert said["objects"]["npz objects X.npy"][1] == (
        f"{folders['objects'] / 'objects-X.npy.npz'}: an array holds Python objects, as windows of unequal length do: store "
        "windows of one length as one array (window, channel, time)"
    )


def archive_members(outside):
    """Members that would reach out of an archive, as (name, kind, what a link leads to)."""
    return {
        "slip": [("../escaped.txt", tarfile.REGTYPE, "")],
        "deep slip": [("a/../../escaped.txt", tarfile.REGTYPE, "")],
        "absolute": [(f"{outside}/escaped.txt", tarfile.REGTYPE, "")],
        "backslash": [("..\\escaped.txt", tarfile.REGTYPE, "")],
        "drive": [("C:/escaped.txt", tarfile.REGTYPE, "")],
        "symbolic link": [("passwd.txt", tarfile.SYMTYPE, "/etc/passwd")],
        "hard link": [("passwd.txt", tarfile.LNKTYPE, "/etc/passwd")],
        "through a link": [("out", tarfile.SYMTYPE, str(outside)), ("out/escaped.txt", tarfile.REGTYPE, "")],
        "device": [("zero.txt", tarfile.CHRTYPE, "")],
        "pipe": [("pipe.txt", tarfile.FIFOTYPE, "")],
    }


def evil_zip(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, kind, target in members:
            info = zipfile.ZipInfo(name)
            mode = {tarfile.SYMTYPE: 0o120777, tarfile.CHRTYPE: 0o020666, tarfile.FIFOTYPE: 0o010666}
            info.external_attr = mode.get(kind, 0o100644) << 16
            archive.writestr(info, target or "content")
    return out.getvalue()


def evil_tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 7 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"content"))
    return out.getvalue()


@corpus
def escapes(folder, marker):
    """Archives with names, links and devices that reach out of them, for every reader of archives."""
    outside = folder / "outside"
    outside.mkdir()
    for name, members in archive_members(outside).items():
        tar = evil_tar(members)
        files = {
            "a.zip": evil_zip(members),
            "a.tar": tar,
            "a.tar.gz": gzip.compress(tar),
            "a.tar.xz": lzma.compress(tar),
        }
        if name == "hard link":
            del files["a.zip"]  # knows none
        root = written(folder / name, files)
        for file in files:
            yield f"{name} {file}", root / file, {}
            for reader in ARCHIVES if file in ("a.zip", "a.tar.gz") else ():
                options = TABLE if reader == "table" else {}
                yield f"{name} {file} {reader}", root / file, {**options, "format": reader}


def test_nothing_leaves_an_archive(everything):
    said, folders, _ = everything
    assert len(refused(said["escapes"])) == len(said["escapes"]) > 180
    assert list((folders["escapes"] / "outside").iterdir()) == []


def zeros(compress, n=600):
    """Joined pieces, which all of these formats allow: n MB of zeros in no time."""
    return compress(bytes(20 * MB)) * (n // 20)


def tar_of_zeros(compress, name, n=600):
    header = tarfile.TarInfo(name)
    header.size = n * MB
    return compress(header.tobuf()) + zeros(compress, n) + compress(bytes(1024))


def mat_of_zeros(n=600):
    """One compressed element: a matrix of n MB of zeros."""
    count = n * MB // 8
    shape = struct.pack("<IIii", 5, 8, count, 1)
    body = struct.pack("<IIII", 6, 8, 6, 0) + shape + struct.pack("<II8s", 1, 1, b"X") + struct.pack("<II", 9, n * MB)
    packer = zlib.compressobj(1)
    out = [packer.compress(struct.pack("<II", 14, len(body) + n * MB) + body)]
    out += [packer.compress(bytes(MB)) for _ in range(n)]
    element = b"".join([*out, packer.flush()])
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(element)) + element


def npy_header(shape, descr="<f4"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


@corpus
def bombs(folder, marker):
    """600 MB of zeros in less than 3."""
    parquet = io.BytesIO()
    pd.DataFrame(np.zeros((4_000_000, 1), dtype=np.int8).repeat(3, axis=1), columns=["ax", "ay", "az"]).assign(
        activity="a", person="b", t=1.0
    ).to_parquet(parquet)
    content = bytes(600 * MB)
    array = npy_header((1, 1, 150 * MB)) + content
    files = {
        "a.zip": packed("RawData/acc_exp01_user01.txt", content, zipfile.ZIP_DEFLATED),
        "a.npz": packed("X.npy", array, zipfile.ZIP_DEFLATED),
        "a.mat": mat_of_zeros(),
        "a.parquet": parquet.getvalue(),
        "a.tar.gz": tar_of_zeros(partial(gzip.compress, mtime=0), "acc_exp01_user01.txt"),
        "a.tar.xz": tar_of_zeros(lzma.compress, "acc_exp01_user01.txt"),
        "a.tar.bz2": tar_of_zeros(bz2.compress, "acc_exp01_user01.txt"),
    }
    assert all(len(content) < 3 * MB for content in files.values())
    written(folder, files)
    for name in files:
        yield name, folder / name, TABLE if name == "a.parquet" else {}
    for reader in ARCHIVES:
        for name in ("a.zip", "a.tar.gz"):
            options = TABLE if reader == "table" else {}
            yield f"{name} {reader}", folder / name, {**options, "format": reader}


def test_bombs_are_not_unpacked(everything):
    said = everything[0]["bombs"]
    assert refused(said) == list(said)
    assert "unpacks to" in said["a.npz"][1]
    assert "unpacks to more than" in said["a.tar.xz"][1]


def long_line(mark):
    return b"t,ax,ay,az,activity,person\n" + mark * (50 * MB // len(mark)) + b"\n"


@corpus
def giants(folder, marker):
    """Sizes that are claimed and not there; lines, names and lists that are there and too long."""
    many = b",".join(b"c%d" % i for i in range(100_000))
    rows = b"\n".join(b",".join([b"1"] * 100_000) for _ in range(3))
    classes = " ".join(f"c{i}" for i in range(500_000))
    head = "@problemName a\n@univariate true\n@classLabel true {}\n@data\n"
    eocd = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 2, 0, 0)
    tar = tarfile.TarInfo("acc_exp01_user01.txt")
    tar.size = 2**33
    mat = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 10**9, 10**9)
    mat += struct.pack("<II8s", 1, 1, b"X") + struct.pack("<II", 9, 2**31)
    person = b"t,ax,ay,az,activity,person\n" + b"".join(
        b"%f,1,2,3,walk,%s\n" % (i / 20, b"p" * MB if i < 20 else b"q") for i in range(4000)
    )
    hapt = dict(seed_files("hapt"))
    hapt["RawData/labels.txt"] = b"1 1 1 1 999999999999\n1 1 2 -5 99999999999999999999\n"
    single = {
        "a.npz": packed("X.npy", npy_header((10**12,)) + bytes(8)),
        "claims.npz": packed("X.npy", npy_header((10**6, 10**3, 10**3)) + bytes(8), zipfile.ZIP_DEFLATED),
        "name.npz": packed("X.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * 100),
        "deep.npz": packed("X.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000),
        "a.mat": b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 14, len(mat)) + mat,
        "a.ts": b"@dimensions 1000000000\n@seriesLength 999999999\n@classLabel true a\n@data\n1,2,3:a\n",
        "b.ts": b"@dimensions 99999999999999999999\n@classLabel true a\n@data\n1,2,3:a\n",
        "many.ts": (head.format(classes) + "1,2,3:c499999\n" * 1000).encode(),
        "many.arff": ("@relation a\n" + "@attribute x numeric\n" * 3 + f"@attribute c {{{classes.replace(' ', ',')}}}\n"
                      "@data\n" + "1,2,3,c499999\n" * 1000).encode(),
        "wide.arff": b"@relation a\n" + b"@attribute x numeric\n" * 100_000 + b"@attribute c {a,b}\n@data\n1,2,a\n",
        "laughs.arff": b"@relation a\n@attribute x " + b"{" * MB + b"}" * MB + b"\n@attribute c {a}\n@data\n1,a\n",
        "quotes.arff": b"@relation a\n@attribute '" + b"x' '" * MB + b"\n@data\n1,a\n",
        "pages.bin": (bin_header(999_999_999) + "".join(bin_pages(np.zeros((300, 3), int)))).encode("latin-1"),
        "a.parquet": b"PAR1" + b"\0" * 50 + struct.pack("<I", 2**31 - 1) + b"PAR1",
        "a.zip": eocd,
        "a.tar": tar.tobuf() + bytes(1024),
        "wide.csv": many + b"\n" + rows + b"\n",
        "digits.csv": long_line(b"1"),
        "commas.csv": long_line(b","),
        "cells.csv": long_line(b"1,"),
        "blanks.csv": long_line(b" "),
        "quote.csv": long_line(b'"'),
        "quoted.csv": long_line(b'a,"'),
        "zeros.csv": long_line(b"\0"),
        "names.csv": person,
    }  # fmt: skip
    written(folder, single)
    for name in single:
        yield name, folder / name, TABLE if name.endswith((".csv", ".parquet")) else {}
    yield "hapt labels", written(folder / "hapt", hapt), {}
    for shape in ((10**12,), (2**62, 4), (-1, -2, 3)):
        files = {"X.npy": npy_header(shape) + bytes(24), "y.npy": npy(np.arange(2))}
        yield f"npy {shape}", written(folder / str(shape), files), {}
    for name in ("wisdm", "wisdm-2019", "pamap2", "mhealth", "ts", "arff", "ucr"):
        files = seed_files(name)
        first = next(iter(files))
        for mark in (b"1", b" ", b",", b"1,", b"1 "):
            long = {**files, first: files[first] + mark * (10 * MB // len(mark)) + b"\n"}
            root = written(folder / name / mark.hex(), long)
            yield f"{name} line of {mark!r}", given(root, long), SEEDS[name].options


def test_giant_claims_are_refused(everything):
    said = everything[0]["giants"]
    odd_but_sound = {"pages.bin", "names.csv", "hapt labels"}
    claims = {name for name in said if " line of " not in name} - odd_but_sound
    assert len(claims) > 25
    assert claims <= set(refused(said))
    for name in ("wisdm", "mhealth", "pamap2", "ts", "arff"):
        assert said[f"{name} line of b'1'"][0] == "parsed"  # the line is a row of the report


def test_deep_json_is_damage(tmp_path):
    for name, text in {
        "lists": "[" * 100_000,
        "objects": '{"format":' * 100_000,
        "ends": "[" * 900 + "]" * 900,
    }.items():
        folder = written(tmp_path / name, {"manifest.json": text.encode(), "run.json": text.encode()})
        for act in (open_store, verify, tsimage.load):
            with pytest.raises(tsimage.UserError) as caught:
                act(folder)
            assert "\n" not in str(caught.value)
        if name != "ends":
            with pytest.raises(tsimage.UserError, match="damaged"):
                atomic.read_json(folder / "run.json")


@corpus
def pipes(folder, marker):
    """Pipes, devices behind links, and folders that hold themselves, alone and beside sound files."""
    for seed_name, seed in SEEDS.items():
        files = seed.pack(seed_files(seed_name))
        first = next(iter(files))
        for kind in ("pipe", "zero"):
            for place in ("alone", "beside"):
                root = folder / seed_name / f"{kind} {place}"
                root.mkdir(parents=True)
                written(root, files if place == "beside" else {})
                path = root / (first if place == "alone" else Path(first).with_name(f"Z{Path(first).name}"))
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "pipe":
                    os.mkfifo(path)
                else:
                    path.symlink_to("/dev/zero")
                for options in (seed.options, {**seed.options, "format": seed.reader}):
                    target = path if place == "alone" and len(files) == 1 else root
                    yield f"{seed_name} {kind} {place} {options.get('format', '')}", target, options
        loop = written(folder / seed_name / "loop", files)
        (loop / "round").symlink_to(loop)
        (loop / "nowhere").symlink_to(loop / "nowhere")
        yield f"{seed_name} loop", loop, {**seed.options, "format": seed.reader}


def test_pipes_devices_and_loops_are_not_entered(everything):
    said = everything[0]["pipes"]
    alone = [name for name in said if " alone " in name]
    assert len(alone) == 4 * len(SEEDS)
    assert set(alone) <= set(refused(said))
    for name in ("table csv", "hapt", "uci-har", "wisdm-2019", "pamap2", "mhealth", "mat folder", "npy", "ucr"):
        assert said[f"{name} loop"][0] == "parsed", said[f"{name} loop"]


@corpus
def unreadable(folder, marker):
    """Files that may not be read; the worker gives its rights away where it has all."""
    for seed_name, seed in SEEDS.items():
        files = seed.pack(seed_files(seed_name))
        root = written(folder / seed_name, files)
        (root / next(iter(files))).chmod(0)
        for options in (seed.options, {**seed.options, "format": seed.reader}):
            yield f"{seed_name} {options.get('format', '')}", given(root, files), options


def test_unreadable_files_are_refused(everything):
    said = everything[0]["unreadable"]
    assert len(said) == 2 * len(SEEDS)
    assert len(refused(said)) == len(said), [item for item in said.items() if item[1][0] != "refused"]
