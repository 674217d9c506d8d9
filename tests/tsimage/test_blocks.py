"""Data larger than memory: blocks, memory maps, and a conversion whose memory does not grow."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import tsimage
from tsimage import Imager
from tsimage.blocks import blocks, is_mapped, release
from tsimage.readers import ReadOptions, npz

X = np.random.default_rng(5).normal(size=(7, 3, 20)).astype(np.float32)


@pytest.fixture
def tiny_blocks(monkeypatch):
    """Make every block hold one or two rows."""
    monkeypatch.setattr("tsimage.blocks.BLOCK_BYTES", 300)


@pytest.fixture
def map_all(monkeypatch):
    """Map arrays of any size."""
    monkeypatch.setattr(npz, "MAPPED_BYTES", 1)


@pytest.fixture
def folder(tmp_path):
    """Write arrays as a folder of .npy files; return its path."""

    def _write(**arrays):
        (tmp_path / "set").mkdir()
        for name, array in arrays.items():
            np.save(tmp_path / "set" / f"{name}.npy", array)
        return tmp_path / "set"

    return _write


def read_folder(path, **options):
    assert npz.NPY_READER.accepts(path)
    return npz.NPY_READER.read(path, ReadOptions(**options))


def test_blocks_are_all_rows_once():
    array = np.arange(30).reshape(10, 3)
    assert [start for start, _ in blocks(array, n_bytes=4 * 24)] == [0, 4, 8]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks(array, n_bytes=4 * 24)]), array)
    assert [len(block) for _, block in blocks(array, n_bytes=1)] == [1] * 10
    assert list(blocks(array[:0])) == []


def test_maps_are_known_through_views_and_released_without_losing_anything(tmp_path):
    np.save(tmp_path / "x.npy", X)
    read_only = np.load(tmp_path / "x.npy", mmap_mode="r")
    view = np.asarray(read_only)[2:, :, ::3]
    assert is_mapped(read_only)
    assert is_mapped(view)
    release(view)
    np.testing.assert_array_equal(view, X[2:, :, ::3])
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[0] = 7
    assert not is_mapped(private)
    release(private)
    assert (private[0] == 7).all()
    assert not is_mapped(X)
    release(X)


def test_the_fingerprint_of_the_bundled_set_is_that_of_earlier_versions(basic_motions):
    # runs on disk are found by it
    assert basic_motions.fingerprint() == "d1d02a658975898b11b29ecfb6a752f5cdd0bbded965493fda67b06779e9c4a3"


def test_the_size_of_blocks_changes_nothing(make_windows, tiny_blocks, monkeypatch):
    windows = make_windows(9)
    ranges, print_ = windows.ranges(), windows.fingerprint()
    monkeypatch.setattr("tsimage.blocks.BLOCK_BYTES", 1 << 24)
    assert windows.fingerprint() == print_
    np.testing.assert_array_equal(windows.ranges(), ranges)
    np.testing.assert_array_equal(ranges[..., 0], windows.values.min(axis=2))
    np.testing.assert_array_equal(ranges[..., 1], windows.values.max(axis=2))


def test_what_is_not_finite_is_named_and_counted_over_all_blocks(make_windows, tiny_blocks, says):
    values = make_windows(9).values.copy()
    values[3, 1, 4] = values[3, 1, 9] = np.nan
    values[8, 0, 0] = np.inf
    with says(
        "made: window 'w3', channel 'gyro-x', sample 4 is nan (2 of 9 windows hold NaN or infinity): fill or remove these "
        "samples, or load with missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
    ):
        make_windows(9, values=values)


def write_npz(path, values, how=np.savez, key="X"):
    how(path, **{key: values, "y": np.arange(len(values))})
    return path


@pytest.mark.parametrize("key", ["X", "values"])
def test_an_uncompressed_npz_is_mapped(tmp_path, map_all, key):
    windows = tsimage.load(write_npz(tmp_path / "set.npz", X, key=key))
    assert is_mapped(windows.values)
    assert not windows.values.flags.writeable
    np.testing.assert_array_equal(windows.values, X)


def test_a_map_may_be_in_fortran_order_or_of_one_channel(tmp_path, map_all):
    windows = tsimage.load(write_npz(tmp_path / "f.npz", np.asfortranarray(X)))
    assert is_mapped(windows.values)
    np.testing.assert_array_equal(windows.values, X)
    windows = tsimage.load(write_npz(tmp_path / "one.npz", X[:, 0]))
    assert is_mapped(windows.values)
    np.testing.assert_array_equal(windows.values, X[:, :1])


@pytest.mark.parametrize("why", ["compressed", "float64", "small"])
def test_the_rest_is_read(tmp_path, monkeypatch, why):
    monkeypatch.setattr(npz, "MAPPED_BYTES", X.nbytes + 1000 if why == "small" else 1)
    values = X.astype(np.float64) if why == "float64" else X
    path = write_npz(tmp_path / "set.npz", values, np.savez_compressed if why == "compressed" else np.savez)
    windows = tsimage.load(path)
    assert not is_mapped(windows.values)
    np.testing.assert_array_equal(windows.values, X)


def test_a_flipped_bit_of_a_mapped_npz_is_found(tmp_path, map_all):
    path = write_npz(tmp_path / "set.npz", X)
    content = bytearray(path.read_bytes())
    content[content.find(X[4].tobytes())] ^= 4
    path.write_bytes(content)
    with pytest.raises(tsimage.UserError, match=r"not a readable \.npz file \(Bad CRC-32 for file 'X.npy'\)"):
        tsimage.load(path)


def test_objects_are_refused_before_they_are_mapped(tmp_path, map_all, says):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros(300), np.zeros(4)]
    path = write_npz(tmp_path / "set.npz", ragged)
    with says(
        f"{path}: an array holds Python objects, as windows of unequal length do: store windows of one length as one "
        "array (window, channel, time)"
    ):
        tsimage.load(path)


def test_a_header_that_promises_too_much_is_no_map(tmp_path, map_all):
    path = write_npz(tmp_path / "set.npz", X)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["X.npy"] = members["X.npy"].replace(b"(7, 3, 20)", b"(9, 3, 20)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(tsimage.UserError, match="not a readable"):
        tsimage.load(path)


def test_windows_may_be_saved_over_the_file_they_are_mapped_from(tmp_path, map_all):
    path = write_npz(tmp_path / "set.npz", X)
    windows = tsimage.load(path)
    windows.save(path)
    np.testing.assert_array_equal(windows.values, X)
    np.testing.assert_array_equal(tsimage.load(path).values, X)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


def test_neighbouring_channels_of_a_map_are_a_view(tmp_path, map_all):
    windows = tsimage.load(write_npz(tmp_path / "set.npz", X))
    view = windows.keep_channels(["channel1", "channel2"])
    assert is_mapped(view.values)
    np.testing.assert_array_equal(view.values, X[:, 1:])
    copy = windows.keep_channels(["channel0", "channel2"])
    assert not is_mapped(copy.values)
    np.testing.assert_array_equal(copy.values, X[:, [0, 2]])
    for some in (view, copy):
        images = tsimage.convert(
            some, tmp_path / f"out{is_mapped(some.values)}", Imager(size=8, scaling="window")
        ).images
        np.testing.assert_array_equal(images, Imager(size=8, scaling="window")(np.ascontiguousarray(some.values)))


def test_a_folder_of_npy_files(folder, map_all):
    path = folder(X=X, y=np.array(list("abcabca")), subjects=np.arange(7) // 2, rate_hz=np.array(25.0))
    windows = read_folder(path, units=("g",))
    assert is_mapped(windows.values)
    np.testing.assert_array_equal(windows.values, X)
    assert (windows.name, windows.rate_hz, windows.units) == ("set", 25.0, ("g",) * 3)
    assert windows.subjects.tolist() == list("0011223")
    assert windows.class_names == ("a", "b", "c")
    assert not npz.NPY_READER.accepts(path / "X.npy")
    assert not npz.NPY_READER.accepts(path.parent)


def test_small_and_wide_arrays_of_a_folder_are_read(folder):
    windows = read_folder(folder(values=X.astype(np.float64), labels=np.arange(7)))
    assert not is_mapped(windows.values)
    np.testing.assert_array_equal(windows.values, X)


def test_a_folder_with_a_damaged_or_missing_array_is_a_users_mistake(folder, says):
    path = folder(X=X, labels=np.arange(7))
    (path / "labels.npy").rename(path / "target.npy")
    with says(f"{path}: there is no array labels (or y): it holds X, target"):
        read_folder(path)
    (path / "labels.npy").write_bytes((path / "target.npy").read_bytes()[:100])
    with pytest.raises(tsimage.UserError, match=r"labels\.npy: not a readable \.npy file .*: write it anew with numpy"):
        read_folder(path)
    np.save(path / "labels.npy", np.array([{}] * 7), allow_pickle=True)
    with says(
        f"{path / 'labels.npy'}: an array holds Python objects, as windows of unequal length do: store windows of one length "
        "as one array (window, channel, time)"
    ):
        read_folder(path)


MEASURED = """
import json, sys
from pathlib import Path
import numpy as np
import tsimage
from tsimage import Imager, ReadOptions
from tsimage.outputs import export
from tsimage.readers import npz

top = Path(sys.argv[1])
imager, still = Imager(size=64), ReadOptions(constant="flag")

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000

def convert(n, kind):
    folder = top / f"{kind}{n}"
    folder.mkdir()
    np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n, 2, 6000))  # zeros that take no disk
    np.save(folder / "y.npy", np.arange(n) % 5)
    windows = npz.NPY_READER.read(folder, ReadOptions(units=("g",)))
    if kind == "store":
        tsimage.convert(windows, top / f"out{n}", imager, still).verify()
    else:
        export(windows, top / f"out{n}.npz", imager, still, kind=kind)
    return peak()

print(json.dumps([convert(1200, "store"), convert(4000, "store"), convert(4000, "npz")]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_windows(tmp_path, repository):
    command = [sys.executable, "-c", MEASURED, tmp_path]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    few, many, many_as_npz = json.loads(done.stdout)
    # 2,800 windows more are 134 MB of series and 92 MB of images; either of them in memory would show
    assert many - few < 25
    assert many_as_npz - few < 25
    assert few < 1000
