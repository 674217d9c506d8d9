import hashlib
import json
import re

import numpy as np
import pandas as pd

import tsimage
from tsimage import Imager
from tsimage.readers import ReadOptions

SMALL = Imager(stack="gasf+mtf", size=8)


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


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


def test_overwrite_replaces_a_store(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    store = tsimage.convert(make_windows(3), tmp_path / "out", Imager(size=4), overwrite=True)
    assert store.images.shape == (3, 2, 4, 4)
    assert contents(tmp_path) == ["out"]


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
