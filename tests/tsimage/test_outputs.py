import dataclasses
import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image
from torchvision.datasets import ImageFolder

import tsimage
from tsimage import Imager, chunks
from tsimage.outputs import KINDS, export

RECIPE = Imager(stack="gasf+gadf", size=8)
CODES = Imager(stack="gasf+gadf", size=8, dtype="uint8")


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def three(make_windows, monkeypatch):
    """23 windows of 3 channels in chunks of a few; ids and classes no file system would take."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 6 * 8 * 8 * 4)
    values = np.random.default_rng(3).normal(size=(23, 3, 20)).astype(np.float32)
    return make_windows(
        23,
        values=values,
        channels=("x", "y", "z"),
        units=("g",) * 3,
        class_names=("walk/up", "walk:up", "..", "never"),
        ids=np.array([f"ann/1:{i}-{i + 20}" for i in range(21)] + ["ann_1_0-20", "ANN_1_0-20"]),
    )


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("field", ["gasf", "gadf"])
def test_a_png_folder_reads_back_with_torchvision(three, tmp_path, part, field):
    assert export(three, tmp_path / "out", RECIPE, kind="png") == tmp_path / "out"
    assert contents(tmp_path) == ["out"]
    assert contents(tmp_path / "out") == ["gadf", "gasf", "images.json", "labels.csv"]
    codes = CODES(three)[:, :3] if field == "gasf" else CODES(three)[:, 3:]
    folder = ImageFolder(tmp_path / "out" / field / part)
    chosen = np.flatnonzero(three.split == part)
    assert len(folder) == len(chosen)
    table = pd.read_csv(tmp_path / "out" / "labels.csv").set_index("file")
    assert table.index.is_unique
    assert table["window"].tolist() == three.ids.tolist()
    class_of = {0: "walk_up", 1: "walk_up~2", 2: "_"}
    assert folder.classes == sorted(class_of.values())
    for path, number in folder.samples:
        row = table.loc[path.removeprefix(f"{tmp_path / 'out' / field}/")]
        window = three.ids.tolist().index(row["window"])
        assert three.class_names[three.labels[window]] == row["label"]
        assert folder.classes[number] == class_of[three.labels[window]]
        with Image.open(path) as image:
            assert image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), codes[window].transpose(1, 2, 0))


def test_codes_of_a_png_become_values(three, tmp_path):
    export(three, tmp_path / "out", RECIPE, kind="png")
    about = json.loads((tmp_path / "out" / "images.json").read_text())
    assert about["trees"] == ["gasf", "gadf"]
    assert about["recipe_sha256"] == CODES.hash()
    assert about["shape"] == [23, 6, 8, 8]
    how = about["dequantisation"]
    assert how["formula"] == "value = low + (high - low) * code / 255"
    file = tmp_path / "out" / "gadf" / pd.read_csv(tmp_path / "out" / "labels.csv")["file"][7]
    with Image.open(file) as image:
        codes = np.asarray(image).astype(float)
    low, high = np.array(how["bounds"][3:]).T
    error = np.abs(low + (high - low) * codes / 255 - RECIPE(three)[7, 3:].transpose(1, 2, 0)).max()
    assert error <= how["largest_error"][3] * 1.02


def test_one_field_and_one_channel_without_a_split_are_grey_files_by_class(three, tmp_path):
    windows = dataclasses.replace(tsimage.load(three, channels="y"), split=None)
    export(windows, tmp_path / "out", Imager(size=8), kind="png")
    assert contents(tmp_path / "out") == ["_", "images.json", "labels.csv", "walk_up", "walk_up~2"]
    folder = ImageFolder(tmp_path / "out")
    assert len(folder) == 23
    path = tmp_path / "out" / pd.read_csv(tmp_path / "out" / "labels.csv")["file"][0]
    assert path.name == "ann_1_0-20.png"
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), Imager(size=8, dtype="uint8")(windows)[0, 0])
    assert contents(path.parent)[0] == "ann_1_0-20.png"
    files = pd.read_csv(tmp_path / "out" / "labels.csv")["file"]
    assert files[21].endswith("/ann_1_0-20~2.png")
    assert files[22].endswith("/ANN_1_0-20~3.png")


def test_other_numbers_of_channels_are_no_picture(make_windows, tmp_path, says):
    with says(
        "gasf has 2 image channels (gasf:acc-x, gasf:gyro-x) but a PNG holds 1 (grey) or 3 (RGB): choose channels (option "
        "channels), or another format: store, npz or zarr"
    ):
        export(make_windows(), tmp_path / "out", Imager(size=8), kind="png")
    assert contents(tmp_path) == []


def test_a_png_has_8_bits(three, tmp_path, says):
    with says("dtype uint16 is not allowed for PNG: these hold 8 bits; leave it out or give uint8"):
        export(three, tmp_path / "out", Imager(size=8, dtype="uint16"), kind="png")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"stack": "scalogram"}, "the image scalogram has no known range"),
        ({"constant_series": "nan"}, "constant-series nan is no number"),
    ],
)
def test_what_8_bits_cannot_hold_is_sent_to_another_format(three, tmp_path, recipe, words, says):
    with says(f"{words}, and PNG holds 8 bits: choose another format: store, npz or zarr"):
        export(three, tmp_path / "out", Imager(**recipe, size=8), kind="png")


def test_masked_windows_are_sent_to_another_format(three, tmp_path, says):
    values, gaps = three.values.copy(), np.zeros((23, 3), dtype=bool)
    values[2, 1, 4], gaps[2, 1] = np.nan, True
    gappy = dataclasses.replace(three, values=values, gaps=gaps)
    with says(
        "missing 'mask' leaves pixels without a number, and PNG holds 8 bits: choose another format: store, npz or zarr"
    ):
        export(gappy, tmp_path / "out", Imager(size=8), kind="png")


def test_a_colon_in_an_option_does_not_split_a_tree(three, tmp_path):
    stack = "pi(birth_range=-1:0.5)+pi(birth_range=-1:0.25)"
    export(three, tmp_path / "out", Imager(stack=stack, size=8), kind="png")
    about = json.loads((tmp_path / "out" / "images.json").read_text())
    assert about["trees"] == ["pi_birth_range_-1_0.5_", "pi_birth_range_-1_0.25_"]


@pytest.mark.parametrize("kind", ["npz", "zarr"])
def test_ranges_are_those_that_a_store_has(three, tmp_path, kind):
    imager = Imager(stack="gasf+gadf", size=8, scaling="window")
    path = export(three, tmp_path / name_of(kind), imager, kind=kind)
    ranges = np.load(path)["ranges"] if kind == "npz" else zarr.open_group(path, mode="r")["ranges"][:]
    np.testing.assert_array_equal(ranges, tsimage.convert(three, tmp_path / "store", imager).ranges)
    assert np.abs(ranges - three.ranges()).max() > 0.01


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_one_npz(three, tmp_path, dtype):
    imager = Imager(stack="gasf+gadf", size=8, dtype=dtype)
    told = []
    export(three, tmp_path / "out.npz", imager, kind="npz", on_progress=lambda *progress: told.append(progress))
    assert contents(tmp_path) == ["out.npz"]
    assert told[-1] == (23, 23)
    assert len(told) > 1
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["images"], imager(three))
        assert archive["images"].dtype == dtype
        np.testing.assert_array_equal(archive["ranges"][..., 1], three.values.max(axis=2))
        for name in ("labels", "ids", "subjects", "recordings", "start", "stop", "split"):
            np.testing.assert_array_equal(archive[name], getattr(three, name))
        assert archive["class_names"].tolist() == list(three.class_names)
        assert archive["channels"].tolist() == list(imager.channel_names(three.channels))
        manifest = json.loads(str(archive["manifest"]))
    assert manifest["recipe_sha256"] == imager.hash()
    assert manifest["dtype"] == dtype
    assert (manifest["dequantisation"] is None) == (dtype == "float32")


def test_the_name_of_an_npz_ends_so(three, tmp_path, says):
    with says(f"output '{tmp_path / 'out'}' is not allowed: the name must end in .npz"):
        export(three, tmp_path / "out", kind="npz")


@pytest.mark.parametrize(("dtype", "piece"), [("float32", 2), ("uint8", 8)])
def test_a_zarr_group(three, tmp_path, monkeypatch, dtype, piece):
    monkeypatch.setattr("tsimage.outputs._ZARR_CHUNK_BYTES", 2 * 6 * 8 * 8 * 4)
    imager = Imager(stack="gasf+gadf", size=8, dtype=dtype)
    export(three, tmp_path / "out", imager, kind="zarr")
    assert contents(tmp_path) == ["out"]
    group = zarr.open_group(tmp_path / "out", mode="r")
    np.testing.assert_array_equal(group["images"][:], imager(three))
    assert group["images"].dtype == dtype
    assert group["images"].chunks == (piece, 6, 8, 8)
    assert group["images"].shards[0] % piece == 0
    assert group["ids"][:].tolist() == three.ids.tolist()
    assert group["labels"][:].tolist() == three.labels.tolist()
    assert group["class_names"][:].tolist() == list(three.class_names)
    np.testing.assert_array_equal(group["ranges"][..., 0], three.values.min(axis=2))
    assert group.attrs["recipe_sha256"] == imager.hash()


def test_zarr_is_asked_for_by_its_extra(three, tmp_path, monkeypatch, says):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "zarr" else find(name, *rest))
    with says("zarr is not installed, which the output format zarr needs: pip install 'tsimage[zarr]'"):
        export(three, tmp_path / "out", kind="zarr")
    assert contents(tmp_path) == []


def test_an_unknown_kind_is_refused(three, tmp_path, says):
    with says("unknown kind of output 'jpg': did you mean 'png'? Valid: png, npz, zarr"):
        export(three, tmp_path / "out", kind="jpg")


def name_of(kind):
    return "out.npz" if kind == "npz" else "out"


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_is_replaced_only_by_its_kind_and_when_told(three, tmp_path, says, kind):
    output = tmp_path / name_of(kind)
    export(three, output, RECIPE, kind=kind)
    with says(f"output '{output}' exists already: choose another name (option overwrite replaces it)"):
        export(three, output, RECIPE, kind=kind)
    few = three.select([0, 1])
    export(few, output, RECIPE, kind=kind, overwrite=True)
    assert contents(tmp_path) == [output.name]
    again = tmp_path / "again" / output.name
    export(few, again, RECIPE, kind=kind)
    size = [sum(p.stat().st_size for p in (path, *path.rglob("*")) if p.is_file()) for path in (output, again)]
    assert size[0] == size[1]
    other = next(k for k in KINDS if k != kind and name_of(k) == output.name) if kind != "npz" else None
    if other is not None:
        with pytest.raises(tsimage.UserError, match=r"exists already: choose another name \(it is no"):
            export(three, output, RECIPE, kind=other, overwrite=True)
    with pytest.raises(tsimage.UserError, match="it is no image store"):
        tsimage.convert(three, output, RECIPE, overwrite=True)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_is_replaced(three, tmp_path, says, kind):
    output = tmp_path / name_of(kind)
    output.write_text("precious")
    with says(f"output '{output}' exists already: choose another name (it is no {KINDS[kind].called})"):
        export(three, output, RECIPE, kind=kind, overwrite=True)
    assert output.read_text() == "precious"


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_leaves_nothing_and_the_old_output_whole(three, tmp_path, monkeypatch, kind):
    output = tmp_path / name_of(kind)
    export(three.select([0, 1]), output, RECIPE, kind=kind)
    files = [p for p in (output, *sorted(output.rglob("*"))) if p.is_file()]
    before = [p.read_bytes() for p in files]

    def _interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(three, output, RECIPE, kind=kind, overwrite=True, on_progress=_interrupt)
    assert contents(tmp_path) == [output.name]
    assert [p.read_bytes() for p in files] == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_process_left_is_cleared(three, tmp_path, kind):
    work = tmp_path / f".{name_of(kind)}.partial"
    (work / "made" / "half").mkdir(parents=True)
    (work / "lock").touch()
    (work / "chunks.jsonl").write_text("of a store")
    said = []
    export(three, tmp_path / name_of(kind), RECIPE, kind=kind, say=said.append)
    assert said[1:] == [f"Discarded what an unfinished conversion left in '{work}'"]
    assert contents(tmp_path) == [name_of(kind)]
    if kind != "npz":
        assert "half" not in contents(tmp_path / name_of(kind))
