import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import tsimage
from tsimage import Imager, chunks
from tsimage.readers import ReadOptions

SMALL = Imager(stack="gasf+mtf", size=8)


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def many(make_windows, monkeypatch):
    """23 windows, in chunks of 5 when they are painted as SMALL."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 4 * 8 * 8 * 4 + 100)
    return make_windows(23, length=12)


@pytest.fixture
def painted(monkeypatch):
    """Record the number of windows in each painted chunk; an entry of `fail_at` (counted from 1) fails instead."""
    record = SimpleNamespace(counts=[], fail_at={})
    paint = Imager.__call__

    def _counting(self, x, *args, **kwargs):
        record.counts.append(len(x))
        if len(record.counts) in record.fail_at:
            raise record.fail_at[len(record.counts)]
        return paint(self, x, *args, **kwargs)

    monkeypatch.setattr(Imager, "__call__", _counting)
    return record


def test_basic_motions_end_to_end(basic_motions, tmp_path):
    imager = Imager(stack="gasf+gadf+mtf", size=16)
    store = tsimage.convert("basic-motions", tmp_path / "out", imager)
    assert contents(tmp_path) == ["out"]
    assert contents(tmp_path / "out") == ["images.npy", "labels.csv", "manifest.json", "ranges.npy"]
    assert len(store) == 80
    np.testing.assert_array_equal(store.images, imager(basic_motions))
    np.testing.assert_array_equal(store.labels, basic_motions.labels)
    assert store.class_names == basic_motions.class_names
    assert store.images.dtype == np.float32
    assert not store.images.flags.writeable
    assert store.manifest["shape"] == [80, 18, 16, 16]
    assert store.manifest["dtype"] == "float32"
    assert store.manifest["recipe"] == imager.recipe()
    assert store.manifest["recipe_sha256"] == imager.hash()
    assert store.manifest["channels"] == list(imager.channel_names(basic_motions.channels))
    assert store.manifest["class_names"] == ["Badminton", "Running", "Standing", "Walking"]
    assert store.manifest["tsimage"] == tsimage.__version__
    assert store.manifest["source"] == {
        "name": "basic-motions",
        "windows_sha256": basic_motions.fingerprint(),
        "channels": list(basic_motions.channels),
        "units": list(basic_motions.units),
        "rate_hz": 10.0,
        "samples": 100,
        "rows": basic_motions.read_report.as_dict(),
        "cut": None,
    }
    assert store.manifest["clipped_share"] == imager.clipped_share(basic_motions)
    for name in ("ranges.npy", "labels.csv"):
        content = (tmp_path / "out" / name).read_bytes()
        assert store.manifest["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    np.testing.assert_array_equal(store.ranges[..., 0], basic_motions.values.min(axis=2))
    np.testing.assert_array_equal(store.ranges[..., 1], basic_motions.values.max(axis=2))
    assert store.ranges.dtype == np.float32
    assert store.table["window"].tolist() == basic_motions.ids.tolist()
    assert store.table["split"].tolist() == basic_motions.split.tolist()


def test_a_folder_of_csv_end_to_end(tmp_path):
    rng = np.random.default_rng(0)
    for person in ("ann", "bob"):
        frame = pd.DataFrame(rng.normal(size=(50, 2)), columns=["x", "y"])
        frame["what"] = ["walk"] * 23 + ["sit"] * 27
        (tmp_path / "in").mkdir(exist_ok=True)
        frame.assign(who=person).to_csv(tmp_path / "in" / f"{person}.csv", index=False)
    options = ReadOptions(channels=("x", "y"), label="what", subject="who", rate=10.0, window="1s", units=("g",))
    store = tsimage.convert(tmp_path / "in", tmp_path / "out", SMALL, options)
    windows = tsimage.load(tmp_path / "in", options)
    np.testing.assert_array_equal(store.images, SMALL(windows))
    assert (tmp_path / "out" / "labels.csv").read_text().splitlines()[:4] == [
        "window,label,subject,recording,start,stop,split,constant_channels,gap_channels,flags",
        "ann/ann:0-10,walk,ann,ann/ann,0,10,,,,",
        "ann/ann:10-20,walk,ann,ann/ann,10,20,,,,",
        "ann/ann:23-33,sit,ann,ann/ann,23,33,,,,",
    ]
    assert len(store) == len(store.table) == 8
    assert store.manifest["source"]["cut"] == (
        "Cut from 2 recordings of 100 samples: 80 in windows, 20 dropped as remainders (stretches shorter than a window: 0), "
        "0 without label"
    )


def test_a_store_reopens_as_it_was_made(make_windows, tmp_path):
    windows = make_windows(class_names=("NA", "null", "1"), subjects=np.array(["001", "NA", "", "2", "3", "4"]))
    made = tsimage.convert(windows, tmp_path / "out", SMALL)
    store = tsimage.open_store(tmp_path / "out")
    np.testing.assert_array_equal(store.images, made.images)
    np.testing.assert_array_equal(store.labels, windows.labels)
    assert store.table["subject"].tolist() == ["001", "NA", "", "2", "3", "4"]
    assert store.table["start"].tolist() == [0] * 6
    size = (tmp_path / "out" / "images.npy").stat().st_size
    assert str(store) == (
        f"{tmp_path / 'out'}: 6 images of 8 x 8 with 4 channels (gasf:acc-x, gasf:gyro-x, mtf:acc-x, mtf:gyro-x), "
        f"3 classes, {size / 1e3:.1f} kB"
    )


def test_chunks_add_up_and_each_has_its_checksum_and_progress(many, tmp_path, painted):
    told = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, on_progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert painted.counts[:5] == [5, 5, 5, 5, 3]
    assert told == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]
    content = (tmp_path / "out" / "images.npy").read_bytes()
    entry = store.manifest["files"]["images.npy"]
    assert store.manifest["chunk_windows"] == 5
    assert entry["bytes"] == len(content) == entry["header_bytes"] + 23 * 1024
    assert entry["header_sha256"] == hashlib.sha256(content[: entry["header_bytes"]]).hexdigest()
    pixels = content[entry["header_bytes"] :]
    expected = [hashlib.sha256(pixels[i : i + 5 * 1024]).hexdigest() for i in range(0, len(pixels), 5 * 1024)]
    assert entry["chunks_sha256"] == expected


def test_the_size_is_said_before_the_first_byte_and_is_right(many, tmp_path):
    seen = []
    output = tmp_path / "deep" / "out"
    tsimage.convert(many, output, SMALL, say=lambda text: seen.append((text, contents(tmp_path))))
    assert len(seen) == 1
    text, there = seen[0]
    assert there == []
    match = re.fullmatch(
        re.escape(f"'{output}' will take about ")
        + r"([\d.]+) kB; "
        + re.escape(f"'{tmp_path}' has ")
        + r"[\d.]+ GB free",
        text,
    )
    size = sum(p.stat().st_size for p in output.iterdir())
    assert 0.8 < float(match[1]) * 1000 / size < 1.3


def test_the_manifest_seals_itself(many, tmp_path):
    tsimage.convert(many, tmp_path / "out", SMALL)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    seal = manifest.pop("manifest_sha256")
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    assert seal == hashlib.sha256(text.encode()).hexdigest()


def test_constant_windows_are_flagged_in_the_labels(make_windows, tmp_path):
    values = make_windows().values.copy()
    values[1] = 0
    values[4, 1] = 2
    store = tsimage.convert(make_windows(values=values), tmp_path / "out", SMALL, ReadOptions(constant="flag"))
    assert store.table["constant_channels"].tolist() == ["", "acc-x|gyro-x", "", "", "gyro-x", ""]


def test_folders_on_the_way_are_made(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "deep" / "down" / "out", SMALL)
    assert contents(tmp_path / "deep" / "down") == ["out"]


def test_the_images_may_be_float64(make_windows, tmp_path):
    store = tsimage.convert(make_windows(), tmp_path / "out", Imager(size=8, dtype="float64"))
    assert store.images.dtype == np.float64
    assert store.manifest["dtype"] == "float64"


def test_an_output_that_exists_is_never_replaced_unasked(make_windows, tmp_path, says):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with says(f"output '{tmp_path / 'out'}' exists already: choose another name (option overwrite replaces it)"):
        tsimage.convert(make_windows(), tmp_path / "out", Imager(size=4))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert contents(tmp_path) == ["out"]


def test_overwrite_replaces_a_store(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    store = tsimage.convert(make_windows(3), tmp_path / "out", Imager(size=4), overwrite=True)
    assert store.images.shape == (3, 2, 4, 4)
    assert contents(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "empty folder", "folder", "folder with a foreign manifest.json"])
def test_overwrite_replaces_nothing_but_a_store(make_windows, tmp_path, says, kind):
    output = tmp_path / "out"
    if kind == "file":
        output.write_text("precious")
    else:
        output.mkdir()
    if kind.startswith("folder"):
        (output / "thesis.txt").write_text("precious")
    if kind.endswith(".json"):
        (output / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    with says(f"output '{output}' exists already: choose another name (it is no image store)"):
        tsimage.convert(make_windows(), output, SMALL, overwrite=True)
    assert output.exists()
    if kind.startswith("folder"):
        assert (output / "thesis.txt").read_text() == "precious"


def test_a_failure_before_the_first_chunk_leaves_nothing(many, tmp_path, painted):
    painted.fail_at = {1: RuntimeError("the disk broke")}
    with pytest.raises(RuntimeError, match="the disk broke"):
        tsimage.convert(many, tmp_path / "out", SMALL)
    assert contents(tmp_path) == []


def test_a_failure_later_is_continued_by_the_same_call(many, tmp_path, painted):
    said = []
    painted.fail_at = {4: RuntimeError("the memory broke")}
    with pytest.raises(RuntimeError, match="the memory broke"):
        tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert contents(tmp_path) == [".out.partial"]
    assert said[1:] == [
        f"What is finished is kept in '{tmp_path / '.out.partial'}': the same command continues from there"
    ]
    told = []
    said.clear()
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append, on_progress=lambda *x: told.append(x))
    assert said[1:] == ["Continuing an unfinished conversion: 3 of 5 chunks are done"]
    assert told == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]
    assert painted.counts == [5, 5, 5, 5, 5, 3]  # three done, one failed, two more
    assert contents(tmp_path) == ["out"]
    tsimage.convert(many, tmp_path / "whole", SMALL)
    for name in contents(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(store.images, SMALL(many))


def test_an_interruption_keeps_the_work_and_the_old_store_whole(many, tmp_path):
    tsimage.convert(many.select([0, 1]), tmp_path / "out", SMALL)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def _interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tsimage.convert(many, tmp_path / "out", SMALL, overwrite=True, on_progress=_interrupt)
    assert contents(tmp_path) == [".out.partial", "out"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    # still refused without overwrite, and the work is not lost by asking
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(many, tmp_path / "out", SMALL)
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, overwrite=True, say=said.append)
    assert said[1].startswith("Continuing an unfinished conversion: ")
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert contents(tmp_path) == ["out"]


def unfinished(many, output, painted, imager=SMALL, at=4):
    """Leave a conversion behind that failed at a chunk."""
    painted.counts.clear()
    painted.fail_at = {at: RuntimeError("stop")}
    with pytest.raises(RuntimeError, match="stop"):
        tsimage.convert(many, output, imager)
    painted.counts.clear()
    painted.fail_at = {}


@pytest.mark.parametrize("other", ["recipe", "windows", "version of tsimage"])
def test_unfinished_work_of_another_kind_is_discarded_and_said(many, tmp_path, painted, monkeypatch, other):
    unfinished(many, tmp_path / "out", painted)
    windows, imager = many, SMALL
    if other == "recipe":
        imager = dataclasses.replace(SMALL, segmentation="truncate")
    elif other == "windows":
        values = many.values.copy()
        values[22, 1, 11] += 1
        windows = dataclasses.replace(many, values=values)
    else:
        monkeypatch.setattr(tsimage, "__version__", "99")
    said = []
    store = tsimage.convert(windows, tmp_path / "out", imager, say=said.append)
    assert said[1:] == [f"Discarded an unfinished conversion in '{tmp_path / '.out.partial'}', which has other {other}"]
    assert painted.counts == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(store.images, imager(windows))


def test_a_torn_line_of_the_journal_counts_as_not_written(many, tmp_path, painted):
    unfinished(many, tmp_path / "out", painted)
    journal = tmp_path / ".out.partial" / "chunks.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1:] == ["Continuing an unfinished conversion: 2 of 5 chunks are done"]
    assert painted.counts == [5, 5, 3]
    np.testing.assert_array_equal(store.images, SMALL(many))


def test_a_finished_chunk_that_was_damaged_since_is_painted_anew(many, tmp_path, painted):
    unfinished(many, tmp_path / "out", painted)
    path = tmp_path / ".out.partial" / "made" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1 - 5 * 1024] ^= 1  # the last byte of the second chunk, of three
    path.write_bytes(content)
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1:] == ["Continuing an unfinished conversion: 2 of 5 chunks are done, 1 are damaged and painted anew"]
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert store.verify()


def test_a_full_disk_is_one_sentence_and_the_work_is_kept(many, tmp_path, monkeypatch, says):
    calls = []

    def _full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", _full)
    monkeypatch.setattr("tsimage.manifest.labels_bytes", lambda windows: 0)
    monkeypatch.setattr("tsimage.conversion.labels_bytes", lambda windows: 0)
    n_bytes = 23 * (1024 + 16) + 5 * 100 + 4096
    there = 3 * 5 * 1024 + 128
    with says(
        f"the disk that holds '{tmp_path / 'out'}' is full: {(n_bytes - there) / 1000:.1f} kB ({n_bytes - there:,} bytes) "
        f"more are needed: make room and repeat the command; what is finished is kept in '{tmp_path / '.out.partial'}'"
    ):
        tsimage.convert(many, tmp_path / "out", SMALL)
    monkeypatch.undo()
    said = []
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 1024)
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1] == "Continuing an unfinished conversion: 2 of 5 chunks are done"
    np.testing.assert_array_equal(store.images, SMALL(many))


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_a_second_process_with_one_output_is_refused_in_one_sentence(many, tmp_path, says, repository):
    many.save(tmp_path / "w.npz")
    code = """
        import sys, tsimage
        def hold(done, total):
            print("painting", flush=True)
            sys.stdin.read()
        tsimage.convert(sys.argv[1], sys.argv[2], tsimage.Imager(size=4), on_progress=hold)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "w.npz", tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as first:
        assert first.stdout.readline() == "painting\n"
        before = sorted(p.name for p in (tmp_path / ".out.partial").rglob("*"))
        with says(
            f"another process is making '{tmp_path / 'out'}': wait until it has finished, or choose another output"
        ):
            tsimage.convert(many, tmp_path / "out", Imager(size=4), overwrite=True)
        assert sorted(p.name for p in (tmp_path / ".out.partial").rglob("*")) == before
        first.stdin.close()
        assert first.wait() == 0
    np.testing.assert_array_equal(tsimage.open_store(tmp_path / "out").images, Imager(size=4)(many))
    assert contents(tmp_path) == ["out", "w.npz"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_killed_at_any_moment_it_ends_as_the_uninterrupted_one(tmp_path, repository):
    """Kill at every write, sync, rename and painted chunk; then continue, and see what was painted when."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, tmp_path],
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert len(report["kills"]) > 20
    assert len({kill["event"] for kill in report["kills"]}) > 5
    seen = set()
    for kill in report["kills"]:
        assert kill["same"], kill
        finished, again = set(kill["finished"]), kill["painted again"]
        assert finished & set(again) == set(), kill  # nothing twice
        assert finished | set(again) == {0, 5, 10, 15, 20} or kill["published"], kill  # nothing missing
        assert len(again) == len(set(again)), kill
        assert kill["left"] == ["out"], kill
        seen.add(len(finished))
    assert {0, 1, 3, 5} <= seen


KILLER = """
import json, os, signal, sys, tempfile
from pathlib import Path
import numpy as np
import tsimage
from tsimage import chunks, journal, unfinished
from tsimage.imager import Imager
from tsimage.windows import Windows

top = Path(sys.argv[1])
n = 23
chunks.CHUNK_BYTES = 5 * 2 * 4 * 4 * 4
values = np.random.default_rng(0).normal(size=(n, 2, 12)).astype(np.float32)
values[:, 0, 0] = np.arange(n) / 100  # tells which windows are painted
empty, text = np.full(n, ""), np.array([f"w{i}" for i in range(n)])
windows = Windows(values=values, channels=("a", "b"), units=("g", "g"), rate_hz=None, labels=np.zeros(n, dtype=int),
    class_names=("x",), subjects=empty, recordings=empty, start=np.zeros(n, dtype=int), stop=np.ones(n, dtype=int), ids=text)

tsimage.convert(windows, top / "first", Imager(size=4))  # what is loaded and compiled now need not be in each child

def child(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]

def counted(folder, kill_at):
    record, events, paint = folder / "painted", [0], Imager.__call__
    def event(name):
        events[0] += 1
        if events[0] == kill_at:
            (folder / "event").write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
    def painting(self, x, *args, **kwargs):
        event("painting")
        result = paint(self, x, *args, **kwargs)
        with record.open("a") as file:
            file.write(f"{round(float(x[0, 0, 0]) * 100)}\\n")
        return result
    def around(owner, name):
        inner = getattr(owner, name)
        def outer(*args, **kwargs):
            event(f"before {name}")
            result = inner(*args, **kwargs)
            event(f"after {name}")
            return result
        setattr(owner, name, outer)
    Imager.__call__ = painting
    for sync in ("fdatasync", "fsync"):  # a kill loses nothing that was written, so they need not wait for the disk
        setattr(os, sync, lambda _: None)
        around(os, sync)
    write = journal.write_at
    def halfway(file, offset, data):
        write(file, offset, data[: len(data) // 2])
        event("halfway through a write")
        write(file, offset, data)
    journal.write_at = halfway
    around(unfinished, "clear")
    around(Path, "rename")
    around(Path, "replace")
    tsimage.convert(windows, folder / "to" / "out", Imager(size=4), overwrite=True)
    (folder / "events").write_text(str(events[0]))

def convert(folder, kill_at=0):
    status = child(lambda: counted(folder, kill_at))
    assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if kill_at else 0), status

def content(store):
    return {p.name: p.read_bytes() for p in store.iterdir()}

def lines(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []

whole = top / "whole"
whole.mkdir()
convert(whole)
expected, n_events = content(whole / "to" / "out"), int((whole / "events").read_text())
kills = []
for old in (False, True):
    # with an old store in the way only the end is different
    for kill_at in range(n_events - 8, n_events + 3) if old else range(1, n_events + 1, 3):
        folder = Path(tempfile.mkdtemp(dir=top))
        (folder / "to").mkdir()
        if old:
            assert child(lambda: tsimage.convert(windows.select([0]), folder / "to" / "out", Imager(size=4))) == 0
        convert(folder, kill_at)
        noted = folder / "to" / ".out.partial" / "chunks.jsonl"
        finished = []
        for line in noted.read_bytes().split(b"\\n")[:-1] if noted.exists() else []:
            finished.append(json.loads(line)["start"])
        out = folder / "to" / "out"
        published = out.exists() and content(out) == expected
        assert published or not old or not out.exists() or len(tsimage.open_store(out)) == 1
        (folder / "painted").unlink(missing_ok=True)
        convert(folder)
        kills.append({"event": (folder / "event").read_text(), "finished": [] if published else finished,
            "published": published, "painted again": lines(folder / "painted"), "same": content(out) == expected,
            "left": sorted(p.name for p in (folder / "to").iterdir())})
print(json.dumps({"kills": kills}))
"""


def test_a_working_folder_that_is_not_ours_is_left_alone(many, tmp_path, says):
    folder = tmp_path / ".out.partial"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with says(
        f"'{folder}' is needed to make '{tmp_path / 'out'}' but holds 'thesis.txt': move it away, or choose another output"
    ):
        tsimage.convert(many, tmp_path / "out", SMALL)
    assert (folder / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_an_output_without_a_name_is_refused(many, says, output):
    with says(f"output '{output}' is not allowed: give the name of a file or folder to make"):
        tsimage.convert(many, output, SMALL)


def test_too_little_disk_is_said_before_anything_is_written(many, tmp_path, monkeypatch, says):
    asked = []

    def _usage(folder):
        asked.append(folder)
        return SimpleNamespace(total=10**9, used=10**9 - 20000, free=20000)

    monkeypatch.setattr(shutil, "disk_usage", _usage)
    monkeypatch.setattr("tsimage.conversion.labels_bytes", lambda windows: 0)
    output = tmp_path / "deep" / "out"  # 23 x (4 x 8 x 8 x 4 + 16) + 5 x 100 + 4096 = 28516
    with says(
        f"output '{output}' needs 28.5 kB but '{tmp_path}' has 20.0 kB free: choose a smaller size, a smaller dtype or fewer "
        "images, or another disk"
    ):
        tsimage.convert(many, output, SMALL)
    assert asked == [tmp_path]
    assert contents(tmp_path) == []


def test_an_output_below_a_file_is_a_users_mistake(make_windows, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(tsimage.UserError, match="out"):
        tsimage.convert(make_windows(), tmp_path / "file" / "out", SMALL)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_recipe_that_does_not_fit_writes_nothing(make_windows, tmp_path, says):
    with says(
        "image size 21 does not fit windows of 20 samples: PAA never upsamples; "
        "choose a size from 1 to 20 or cut longer windows"
    ):
        tsimage.convert(make_windows(), tmp_path / "deep" / "out", Imager(size=21))
    assert contents(tmp_path) == []


def test_a_recipe_that_learns_does_so_on_the_training_part(make_windows, tmp_path, says):
    windows = make_windows(9)
    imager = Imager(stack="mtf(bins=3,fit=train)", size=4)
    store = tsimage.convert(windows, tmp_path / "out", imager)
    learnt = imager.fit(windows.select(windows.split == "train"))
    np.testing.assert_array_equal(store.images, learnt(windows))
    assert store.manifest["recipe_sha256"] == learnt.hash() != imager.hash()
    whole = make_windows(9, split=None)
    with says(
        "images mtf(bins=3,fit=train) learn from training windows, but made has no split with a part train: pass a recipe "
        "that has learnt already, imager.fit(training_windows)"
    ):
        tsimage.convert(whole, tmp_path / "other", imager)
    np.testing.assert_array_equal(tsimage.convert(whole, tmp_path / "other", learnt).images, store.images)


def test_a_constant_window_that_the_recipe_refuses_is_named_before_anything_is_painted(many, tmp_path, says, painted):
    values = many.values.copy()
    values[17, 1] = 3
    windows = dataclasses.replace(many, values=values)
    with says(
        "window 'w17', channel 'gyro-x' is constant (1 of 23 windows have such a channel): leave it out, or choose "
        "constant-series flag, zero or nan"
    ):
        tsimage.convert(
            windows, tmp_path / "out", Imager(size=4, constant_series="raise"), ReadOptions(constant="flag")
        )
    assert painted.counts == []
    assert contents(tmp_path) == []


def test_a_channel_that_misses_all_samples_is_refused_as_constant_before_anything_is_painted(
    many, tmp_path, says, painted
):
    values, gaps = many.values.copy(), np.zeros((23, 2), dtype=bool)
    values[17, 1] = values[3, 0, 2] = np.nan
    gaps[17, 1] = gaps[3, 0] = True
    with says(
        "window 'w17', channel 'gyro-x' is constant (1 of 23 windows have such a channel): leave it out, or choose "
        "constant-series flag, zero or nan"
    ):
        tsimage.convert(
            dataclasses.replace(many, values=values, gaps=gaps),
            tmp_path / "out",
            Imager(size=4, constant_series="raise"),
            ReadOptions(constant="flag"),
        )
    assert painted.counts == []


def test_a_folder_that_is_no_store_is_not_opened(tmp_path, says):
    for path in (tmp_path, tmp_path / "nowhere"):
        with says(f"'{path}' is no image store: there is no manifest.json; make one with tsimage convert"):
            tsimage.open_store(path)


def _drop_row(folder):
    path = folder / "labels.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def _change_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


DAMAGE = {
    "manifest cut short": lambda f: (f / "manifest.json").write_text('{"format": 2, "sha'),
    "manifest is a list": lambda f: (f / "manifest.json").write_text("[]"),
    "manifest without shape": lambda f: _change_manifest(f, lambda m: m.pop("shape")),
    "no images": lambda f: (f / "images.npy").unlink(),
    "images cut short": lambda f: os.truncate(f / "images.npy", 300),
    "images empty": lambda f: os.truncate(f / "images.npy", 0),
    "images are objects": lambda f: np.save(f / "images.npy", np.array([None, {}]), allow_pickle=True),
    "images of another shape": lambda f: np.save(f / "images.npy", np.zeros((6, 4, 8, 7), dtype=np.float32)),
    "a row of labels is gone": _drop_row,
    "no ranges": lambda f: (f / "ranges.npy").unlink(),
    "manifest changed": lambda f: _change_manifest(f, lambda m: m["source"].update(name="other")),
    "no labels": lambda f: (f / "labels.csv").unlink(),
    "labels empty": lambda f: os.truncate(f / "labels.csv", 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_called_so(make_windows, tmp_path, damage):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    DAMAGE[damage](tmp_path / "out")
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.open_store(tmp_path / "out")
    assert str(caught.value).startswith(f"'{tmp_path / 'out'}' is damaged (")
    assert str(caught.value).endswith("): convert it anew")
    assert "\n" not in str(caught.value)


def test_a_store_of_another_format_is_refused(make_windows, tmp_path, says):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    _change_manifest(tmp_path / "out", lambda m: m.update(format=99))
    with says(f"'{tmp_path / 'out'}' has store format 99, this version reads 2: convert it anew"):
        tsimage.open_store(tmp_path / "out")


def test_a_store_moved_aside_by_a_killed_process_comes_back(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    before = (tmp_path / "out" / "images.npy").read_bytes()
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / "out").rename(tmp_path / ".out.partial" / "replaced")
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(make_windows(), tmp_path / "out", Imager(size=4))
    assert (tmp_path / "out" / "images.npy").read_bytes() == before
    assert contents(tmp_path) == ["out"]
