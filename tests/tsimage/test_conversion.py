import hashlib
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import tsimage
from tsimage import Imager
from tsimage.readers import ReadOptions

SMALL = Imager(stack="gasf+mtf", size=8)


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def many(make_windows):
    """More windows than fit in one chunk."""
    from tsimage.conversion import CHUNK

    return make_windows(2 * CHUNK + 3, length=12)


@pytest.fixture
def dead_process():
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_basic_motions_end_to_end(basic_motions, tmp_path):
    imager = Imager(stack="gasf+gadf+mtf", size=16)
    store = tsimage.convert("basic-motions", tmp_path / "out", imager)
    assert contents(tmp_path) == ["out"]
    assert contents(tmp_path / "out") == ["images.npy", "labels.csv", "manifest.json"]
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
        "cut": None,
    }
    assert store.manifest["clipped_share"] == imager.clipped_share(basic_motions)
    for name in ("images.npy", "labels.csv"):
        content = (tmp_path / "out" / name).read_bytes()
        assert store.manifest["sha256"][name] == hashlib.sha256(content).hexdigest()
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
        "window,label,subject,recording,start,stop,split,constant_channels",
        "ann/ann:0-10,walk,ann,ann/ann,0,10,,",
        "ann/ann:10-20,walk,ann,ann/ann,10,20,,",
        "ann/ann:23-33,sit,ann,ann/ann,23,33,,",
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
    size = (tmp_path / "out" / "images.npy").stat().st_size / 1e6
    assert str(store) == (
        f"{tmp_path / 'out'}: 6 images of 8 x 8 with 4 channels (gasf:acc-x, gasf:gyro-x, mtf:acc-x, mtf:gyro-x), "
        f"3 classes, {size:.1f} MB"
    )


def test_chunks_add_up_and_progress_is_told(many, tmp_path):
    told = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, on_progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert told == [(256, 515), (512, 515), (515, 515)]


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
    with says(f"output '{tmp_path / 'out'}' exists already: choose another name (pass overwrite to replace it)"):
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


def test_a_failure_while_painting_leaves_nothing(many, tmp_path, monkeypatch):
    calls = []
    paint = Imager.__call__

    def _failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("the disk broke")
        return paint(self, *args, **kwargs)

    monkeypatch.setattr(Imager, "__call__", _failing)
    with pytest.raises(RuntimeError, match="the disk broke"):
        tsimage.convert(many, tmp_path / "out", SMALL)
    assert len(calls) == 2
    assert contents(tmp_path) == []


def test_an_interruption_leaves_nothing_and_the_old_store_whole(many, tmp_path):
    tsimage.convert(many.select([0, 1]), tmp_path / "out", SMALL)

    def _interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tsimage.convert(many, tmp_path / "out", SMALL, overwrite=True, on_progress=_interrupt)
    assert contents(tmp_path) == ["out"]
    assert len(tsimage.open_store(tmp_path / "out")) == 2


def test_what_a_dead_process_left_is_removed_and_a_live_ones_work_kept(make_windows, tmp_path, dead_process):
    dead = tmp_path / f".out.{dead_process}.partial"
    alive = tmp_path / f".out.{os.getppid()}.partial"
    other = tmp_path / f".other.{dead_process}.partial"
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / "images.npy").write_text("half")
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    assert contents(tmp_path) == sorted([other.name, alive.name, "out"])


def test_what_a_dead_process_of_the_same_id_left_does_no_harm(make_windows, tmp_path):
    # containers start every command with the same few process ids
    left = tmp_path / f".out.{os.getpid()}.partial"
    left.mkdir()
    (left / "images.npy").write_text("half")
    store = tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    assert len(store) == 6
    assert contents(tmp_path) == ["out"]


def test_too_little_disk_is_said_before_anything_is_written(make_windows, tmp_path, monkeypatch, says):
    asked = []

    def _usage(folder):
        asked.append(folder)
        return SimpleNamespace(total=10**9, used=10**9 - 6143, free=6143)

    monkeypatch.setattr(shutil, "disk_usage", _usage)
    output = tmp_path / "deep" / "out"  # 6 x 4 x 8 x 8 x 4 bytes = 6144
    with says(
        f"output '{output}' needs 0.00 GB but '{tmp_path}' has 0.00 GB free: choose a smaller size or fewer images, or "
        "another disk"
    ):
        tsimage.convert(make_windows(), output, SMALL)
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
    "manifest cut short": lambda f: (f / "manifest.json").write_text('{"format": 1, "sha'),
    "manifest is a list": lambda f: (f / "manifest.json").write_text("[]"),
    "manifest without shape": lambda f: _change_manifest(f, lambda m: m.pop("shape")),
    "no images": lambda f: (f / "images.npy").unlink(),
    "images cut short": lambda f: os.truncate(f / "images.npy", 300),
    "images empty": lambda f: os.truncate(f / "images.npy", 0),
    "images are objects": lambda f: np.save(f / "images.npy", np.array([None, {}]), allow_pickle=True),
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


def test_files_that_do_not_fit_together_are_called_damaged(make_windows, tmp_path, says):
    output = tmp_path / "out"
    tsimage.convert(make_windows(), output, SMALL)
    _drop_row(output)
    with says(
        f"'{output}' is damaged: the manifest says shape (6, 4, 8, 8), images.npy has (6, 4, 8, 8), labels.csv has 5 rows: "
        "convert it anew"
    ):
        tsimage.open_store(output)
    tsimage.convert(make_windows(), output, SMALL, overwrite=True)
    np.save(output / "images.npy", np.zeros((6, 4, 8, 7), dtype=np.float32))
    with says(
        f"'{output}' is damaged: the manifest says shape (6, 4, 8, 8), images.npy has (6, 4, 8, 7), labels.csv has 6 rows: "
        "convert it anew"
    ):
        tsimage.open_store(output)


def test_a_store_of_another_format_is_refused(make_windows, tmp_path, says):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    _change_manifest(tmp_path / "out", lambda m: m.update(format=99))
    with says(f"'{tmp_path / 'out'}' has store format 99, this version reads 1: convert it anew"):
        tsimage.open_store(tmp_path / "out")


def test_a_store_moved_aside_by_a_killed_process_comes_back(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    before = (tmp_path / "out" / "images.npy").read_bytes()
    (tmp_path / "out").rename(tmp_path / ".out.99999999.replaced")
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(make_windows(), tmp_path / "out", Imager(size=4))
    assert (tmp_path / "out" / "images.npy").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
