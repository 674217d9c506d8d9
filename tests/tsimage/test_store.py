import pickle
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import tsimage
from tsimage import Imager, chunks, manifest
from tsimage.quality import FLAGS

FLOATS = Imager(stack="gasf+mtf(bins=2)", size=8)
ERRORS = {"uint8": [1 / 255, 0.5 / 255], "uint16": [1 / 65535, 0.5 / 65535]}


def recipe(dtype):
    return Imager(stack=FLOATS.stack, size=8, dtype=dtype)


@pytest.fixture
def store(make_windows, tmp_path, monkeypatch):
    """23 windows in chunks of 5, as float32."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 4 * 8 * 8 * 4)
    return tsimage.convert(make_windows(23), tmp_path / "out", FLOATS)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "uint16"])
def test_stored_numbers_become_values_within_the_error_of_the_manifest(make_windows, tmp_path, dtype):
    windows = make_windows(23)
    exact = Imager(stack=FLOATS.stack, size=8, dtype="float64")(windows)
    store = tsimage.convert(windows, tmp_path / "out", recipe(dtype))
    assert store.images.dtype == dtype
    values = store.read(slice(None))
    assert values.dtype == np.float32
    assert values.shape == (23, 4, 8, 8)
    error = np.abs(values - exact).max(axis=(0, 2, 3))
    about = store.manifest["dequantisation"]
    if dtype in ERRORS:
        bounds = np.array([[-1, 1], [-1, 1], [0, 1], [0, 1]])
        np.testing.assert_array_equal(store.bounds, bounds)
        low, high, levels = bounds[:, 0, None, None], bounds[:, 1, None, None], np.iinfo(dtype).max
        assert about["formula"] == f"value = low + (high - low) * code / {levels}"
        np.testing.assert_allclose(values, low + (high - low) * store.images.astype(np.float64) / levels, atol=1e-7)
        np.testing.assert_allclose(about["largest_error"], np.repeat(ERRORS[dtype], 2))
        # the compiled loops compute codes in float32, whose rounding is a little of a step of uint16
        assert (error <= np.array(about["largest_error"]) * 1.02 + 1e-7).all()
        assert (error > 0.5 * np.array(about["largest_error"])).any()  # no smaller bound would hold
    elif dtype == "float16":
        assert about == {"formula": "value = code", "largest_relative_error": 2**-11}
        assert (np.abs(values - exact) <= 2**-11 * np.abs(exact) + 1e-6).all()
        assert store.bounds is None
    else:
        assert about is None
        np.testing.assert_allclose(values, exact, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("index", [3, slice(2, 9, 3), [5, 1, 1], np.arange(23) % 2 == 0], ids=str)
def test_read_takes_what_an_array_takes(make_windows, tmp_path, dtype, index):
    store = tsimage.convert(make_windows(23), tmp_path / "out", recipe(dtype))
    np.testing.assert_array_equal(store.read(index), store.read(slice(None))[index])


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("split", [None, "train", "test"])
def test_arrays_for_scikit_learn(make_windows, tmp_path, dtype, split):
    windows = make_windows(23)
    store = tsimage.convert(windows, tmp_path / "out", recipe(dtype))
    X, y, groups = store.arrays(split)
    chosen = np.ones(23, dtype=bool) if split is None else windows.split == split
    np.testing.assert_array_equal(X, store.read(chosen).reshape(chosen.sum(), -1))
    assert X.dtype == np.float32
    np.testing.assert_array_equal(y, windows.labels[chosen])
    assert y.dtype == np.int64
    assert groups.tolist() == windows.subjects[chosen].tolist()


def test_arrays_stay_on_disk_where_they_can(make_windows, tmp_path):
    order = np.array(["train"] * 4 + ["test"] * 2)
    store = tsimage.convert(make_windows(split=order), tmp_path / "out", FLOATS)
    for split in (None, "train", "test"):
        X, _, _ = store.arrays(split)
        assert np.shares_memory(X, store.images)
        assert not X.flags.writeable


def test_groups_are_recordings_where_no_subject_is_known(make_windows, tmp_path):
    store = tsimage.convert(make_windows(subjects=np.full(6, "")), tmp_path / "out", FLOATS)
    assert store.arrays()[2].tolist() == [f"r{i}" for i in range(6)]


def test_a_split_that_is_not_there_is_refused(make_windows, tmp_path, says):
    store = tsimage.convert(make_windows(split=None), tmp_path / "none", FLOATS)
    with says(f"'{tmp_path / 'none'}' has no split 'train': its data set comes without parts; take all of it"):
        store.arrays("train")
    store = tsimage.convert(make_windows(split=np.full(6, "test")), tmp_path / "test", FLOATS)
    with says("unknown split 'train': Valid: test"):
        store.dataset("train")


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_torch_dataset(make_windows, tmp_path, dtype):
    windows = make_windows(23)
    store = tsimage.convert(windows, tmp_path / "out", recipe(dtype))
    data = store.dataset("test", transform=lambda image: 2 * image)
    part = np.flatnonzero(windows.split == "test")
    assert isinstance(data, torch.utils.data.Dataset)
    assert len(data) == 11
    for i in (0, 10, -1):
        image, label = data[i]
        assert image.dtype == torch.float32
        np.testing.assert_array_equal(image.numpy(), 2 * store.read(part[i]))
        assert label == windows.labels[part[i]]
        assert type(label) is int
    with pytest.raises(IndexError):
        data[11]
    batches = list(DataLoader(store.dataset(), batch_size=8))
    assert [tuple(images.shape) for images, _ in batches] == [(8, 4, 8, 8), (8, 4, 8, 8), (7, 4, 8, 8)]
    np.testing.assert_array_equal(torch.cat([images for images, _ in batches]).numpy(), store.read(slice(None)))
    assert torch.cat([labels for _, labels in batches]).tolist() == windows.labels.tolist()


def test_a_worker_process_receives_the_path_and_not_the_images(store):
    store.images, store.table, store.labels  # noqa: B018  cached now
    sent = pickle.dumps(store)
    assert len(sent) < 300
    np.testing.assert_array_equal(pickle.loads(sent).images, store.images)


def test_an_undamaged_store_is_verified(store, tmp_path):
    told = []
    size = sum((tmp_path / "out" / name).stat().st_size for name in ("images.npy", "labels.csv", "ranges.npy"))
    assert store.verify(lambda *progress: told.append(progress)) == (
        f"verified: '{tmp_path / 'out'}' is as it was written: 23 images in 5 chunks, 4 files, {size / 1000:.1f} kB"
    )
    assert told == [(n * 1024, 23 * 1024) for n in (5, 10, 15, 20, 23)]


def flip(path, byte, bit):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["images.npy", "labels.csv", "ranges.npy", "manifest.json"])
def test_a_flipped_bit_anywhere_is_found_and_named(store, name):
    path = store.path / name
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {0, 10, len(original) - 1, *rng.integers(len(original), size=25).tolist()}
    for byte in places:
        flip(path, byte, int(rng.integers(8)))
        with pytest.raises(tsimage.UserError) as caught:
            tsimage.ImageStore(store.path).verify()
        said = str(caught.value)
        assert "\n" not in said
        found = re.findall(
            r"(images\.npy|labels\.csv|ranges\.npy|manifest\.json)[^;]*? (?:is|are) not as (?:it was )?written", said
        )
        assert found
        assert found[0] == name
        if name != "manifest.json":
            assert found == [name]
            first, last = (int(n.replace(",", "")) for n in re.search(r"bytes ([\d,]+) to ([\d,]+)", said).groups())
            assert first <= byte <= last
            assert last - first < 5 * 1024
        path.write_bytes(original)
    assert tsimage.ImageStore(store.path).verify()


def test_every_bit_of_the_manifest_counts(store):
    import json

    from tsimage.manifest import is_sealed, seal

    text = (store.path / "manifest.json").read_bytes()
    content = json.loads(text)
    assert is_sealed(text, content)
    for byte in range(0, len(text), 7):
        for bit in range(8):
            changed = text[:byte] + bytes([text[byte] ^ (1 << bit)]) + text[byte + 1 :]
            try:
                parsed = json.loads(changed)
            except ValueError:
                continue
            assert not (isinstance(parsed, dict) and is_sealed(changed, parsed))
    assert not is_sealed(text + b" ", content)
    assert seal({"a": 1}) != seal({"a": 2})


def test_all_damage_is_listed_with_chunks_windows_and_bytes(store, says):
    header = store.manifest["files"]["images.npy"]["header_bytes"]
    images = store.path / "images.npy"
    flip(images, 3, 0)  # header
    flip(images, header + 5 * 1024 + 7, 5)  # chunk 1
    flip(images, header + 10 * 1024, 5)  # chunk 2
    flip(images, header + 23 * 1024 - 1, 5)  # chunk 4, the last
    (store.path / "ranges.npy").unlink()
    (store.path / "notes.txt").write_text("mine")
    labels = (store.path / "labels.csv").stat().st_size
    flip(store.path / "labels.csv", 40, 0)
    with says(
        f"'{store.path}' is damaged in 6 places: images.npy, header (bytes 0 to {header - 1}) is not as it was written; "
        f"images.npy, chunks 1 to 2 of 5 (windows 5 to 14, bytes {header + 5120:,} to {header + 15 * 1024 - 1:,}) are not as "
        f"written; images.npy, chunk 4 of 5 (windows 20 to 22, bytes {header + 20 * 1024:,} to {header + 23 * 1024 - 1:,}) is "
        f"not as written; labels.csv (bytes 0 to {labels - 1:,}) is not as it was written; ranges.npy is missing; notes.txt "
        "does not belong there: convert it anew"
    ):
        store.verify()


def test_files_of_another_length_are_named(store, says):
    images = store.path / "images.npy"
    size = images.stat().st_size
    images.write_bytes(images.read_bytes()[:-2000])
    (store.path / "labels.csv").write_text("")
    labels = store.manifest["files"]["labels.csv"]["bytes"]
    with says(
        f"'{store.path}' is damaged in 3 places: images.npy has {size - 2000:,} bytes instead of {size:,}; images.npy, chunk "
        f"4 of 5 (windows 20 to 22, bytes {size - 3 * 1024:,} to {size - 1:,}) is not as written; labels.csv has 0 bytes "
        f"instead of {labels:,}: convert it anew"
    ):
        store.verify()


def test_a_damaged_manifest_is_named_first_and_the_rest_still_judged(store, says):
    manifest = store.path / "manifest.json"
    text = manifest.read_text()
    flip(store.path / "ranges.npy", 200, 0)
    size = (store.path / "ranges.npy").stat().st_size
    manifest.write_text(text.replace('"name": "made"', '"name": "maid"'))
    with says(
        f"'{store.path}' is damaged in 2 places: manifest.json is not as it was written, and what follows is judged by it; "
        f"ranges.npy (bytes 0 to {size - 1:,}) is not as it was written: convert it anew"
    ):
        tsimage.ImageStore(store.path).verify()
    manifest.write_text(text[:-10])
    with says(
        f"'{store.path}' is damaged in 1 place: manifest.json is not as it was written, so that nothing else can be judged: "
        "convert it anew"
    ):
        tsimage.ImageStore(store.path).verify()


def test_only_stores_can_be_verified(tmp_path, says):
    with says(f"'{tmp_path}' is no image store: there is no manifest.json; make one with tsimage convert"):
        tsimage.ImageStore(tmp_path).verify()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
@pytest.mark.parametrize(
    ("stack", "options"),
    [
        ("mtf+gasf", {"target": (0, 1), "scaling": "window"}),
        ("gasf+gadf", {"scaling": "window"}),
        ("gadf+rp+gasf", {"scaling": "fixed:g=5,rad/s=5"}),
        ("gasf", {"target": (0, 1), "scaling": "window", "order": "scale-then-paa"}),
    ],
)
def test_series_come_back_in_original_units(make_windows, tmp_path, stack, options, dtype):
    windows = make_windows()
    imager = tsimage.Imager(stack=stack, size=8, dtype=dtype, **options)
    store = tsimage.convert(windows, tmp_path / "s", imager)
    expected = tsimage.paa(windows.values.astype(np.float64), 8)
    span = np.ptp(windows.values)
    error = np.abs(store.series(slice(None)) - expected).max() / span
    assert error < {"float32": 2e-6, "float64": 1e-7, "uint16": 2e-3}[dtype]
    np.testing.assert_array_equal(store.series([4, 1]), store.series(slice(None))[[4, 1]])
    np.testing.assert_array_equal(store.series(-1), store.series(slice(None))[-1])
    np.testing.assert_array_equal(store.series(0), store.series(slice(None))[0])


def test_a_store_without_what_an_inverse_needs_says_so(make_windows, tmp_path, says):
    store = tsimage.convert(make_windows(), tmp_path / "s", tsimage.Imager(stack="gasf", size=8))
    with says(
        f"'{tmp_path / 's'}' holds gasf:acc-x, gasf:gyro-x: a series comes back from gasf with target 0 1, or from gasf and "
        "gadf together"
    ):
        store.series([0])


def test_quality_flags_are_written_beside_the_labels(make_windows, tmp_path):
    flags = np.zeros((6, 2), dtype=np.uint16)
    flags[1] = FLAGS["stuck"].bit, FLAGS["stuck"].bit | FLAGS["spike"].bit
    flags[4, 0] = FLAGS["gap"].bit
    store = tsimage.convert(make_windows(flags=flags), tmp_path / "flagged", FLOATS)
    assert store.table["flags"].tolist() == ["", "stuck(acc-x|gyro-x)+spike(gyro-x)", "", "", "gap(acc-x)", ""]
    assert tsimage.convert(make_windows(), tmp_path / "none", FLOATS).table["flags"].tolist() == [""] * 6


def test_a_store_from_before_quality_flags_is_read(make_windows, tmp_path, monkeypatch):
    now = manifest.labels
    monkeypatch.setattr(manifest, "labels", lambda *args: now(*args).drop(columns="flags"))
    tsimage.convert(make_windows(), tmp_path / "old", FLOATS)
    store = tsimage.open_store(tmp_path / "old")
    assert list(store.table)[-1] == "gap_channels"
    assert store.verify().startswith("verified: ")
    assert len(store.dataset()) == 6
