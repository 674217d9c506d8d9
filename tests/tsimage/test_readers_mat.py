import builtins
import random
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import tsimage
from tsimage.readers import ReadOptions
from tsimage.readers.mat import READER

X = np.arange(24, dtype=np.float64).reshape(4, 2, 3)
XW = np.arange(12.0).reshape(4, 3)


def read(path, **options):
    return READER.read(path, ReadOptions(**options))


@pytest.fixture
def mat(tmp_path):
    """Write arrays to a .mat file; return its path."""

    def _write(name="set.mat", compress=False, **arrays):
        savemat(tmp_path / name, arrays, do_compression=compress)
        return tmp_path / name

    return _write


@pytest.fixture
def hdf5(tmp_path):
    """Let a function fill a file in the manner of MATLAB v7.3; return its path."""
    h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'tsimage[mat]'")

    def _write(fill, name="new.mat"):
        with h5py.File(tmp_path / name, "w", userblock_size=512) as file:
            fill(file, h5py)
        return tmp_path / name

    return _write


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("labels", [np.array(["sit", "walking", "sit", "run"]), np.array([[2.0], [3.0], [2.0], [1.0]])])
def test_x_and_y(mat, compress, labels):
    path = mat(X=X, y=labels, subjects=np.arange(4), rate_hz=50.0, other={"a": [1, "b"]}, compress=compress)
    assert READER.accepts(path)
    windows = read(path, units="g")
    np.testing.assert_array_equal(windows.values, X)
    assert windows.class_names in (("run", "sit", "walking"), ("1", "2", "3"))
    assert windows.labels.tolist() == [1, 2, 1, 0]
    assert windows.subjects.tolist() == ["0", "1", "2", "3"]
    assert (windows.rate_hz, windows.units, windows.name) == (50, ("g", "g"), "set")
    assert (windows.read_report.rows_read, windows.read_report.faults) == (4, ())


def test_what_the_file_lacks_is_named(mat, says):
    path = mat(X=X, target=np.arange(4))
    with says(f"{path}: there is no array labels (or y): it holds X"):
        read(path)


def test_a_folder_of_windows(mat):
    folder = mat("ID-102_CLASS-13_Window-0001.mat", xw=XW).parent
    mat("ID-102_CLASS-2_Window-0001.mat", xw=XW[None] + 1)
    mat("ID-7_CLASS-13_Window-0009.mat", xw=(XW + 2).astype(np.float32), compress=True)
    assert READER.accepts(folder)
    windows = read(folder, rate=100.0)
    np.testing.assert_array_equal(windows.values, [XW.T, XW.T + 1, XW.T + 2])
    assert windows.channels == ("acc-x", "acc-y", "acc-z")
    assert (windows.units, windows.rate_hz) == (("", "", ""), 100)
    assert windows.subjects.tolist() == ["102", "102", "7"]
    assert (windows.class_names, windows.labels.tolist()) == (("2", "13"), [1, 0, 1])
    assert windows.ids[0] == "ID-102_CLASS-13_Window-0001"
    assert len(read(folder / "ID-7_CLASS-13_Window-0009.mat")) == 1


def test_files_of_a_folder_that_cannot_be_used_are_rows_of_the_report(mat):
    for i in range(5):
        folder = mat(f"ID-1_CLASS-1_Window-{i}.mat", xw=XW).parent
    faults = {
        "name unlike ID-102_CLASS-13_Window-0001.mat": mat("notes.mat", xw=XW),
        "shape unlike most windows": mat("ID-2_CLASS-1_Window-1.mat", xw=XW[:3]),
        "no window of shape (time, channel)": mat("ID-2_CLASS-1_Window-2.mat", xw=XW.T),
        "no array xw": mat("ID-2_CLASS-1_Window-3.mat", y=XW),
        "text where numbers belong": mat("ID-2_CLASS-1_Window-4.mat", xw=np.array(["abc"])),
        "infinite value": mat("ID-2_CLASS-1_Window-5.mat", xw=np.full((4, 3), np.inf)),
        "no plain array of real numbers or text": mat("ID-2_CLASS-1_Window-6.mat", xw=XW * 1j),
        "no MATLAB file of version 5, 6, 7 or 7.3": mat("ID-2_CLASS-1_Window-7.mat", xw=XW),
        "size that the file cannot hold": mat("ID-2_CLASS-1_Window-8.mat", xw=XW),
        "empty file": mat("ID-2_CLASS-1_Window-9.mat", xw=XW),
    }
    (folder / "ID-2_CLASS-1_Window-7.mat").write_bytes(b"\x80\x04\x95" + b"x" * 600)
    whole = (folder / "ID-2_CLASS-1_Window-8.mat").read_bytes()
    (folder / "ID-2_CLASS-1_Window-8.mat").write_bytes(whole[:-8])
    (folder / "ID-2_CLASS-1_Window-9.mat").write_bytes(b"")
    windows = read(folder)
    report = windows.read_report
    assert {kind: path.name for kind, path in faults.items()} == {fault.kind: fault.file for fault in report.faults}
    assert (report.rows_read, report.rows_rejected, len(windows)) == (15, 10, 5)
    with pytest.raises(tsimage.UserError, match=r"ID-2_CLASS-1_Window-2.mat, line 0: no window of shape .*'3 x 4'"):
        read(folder, faults="raise")


def test_no_window_left(mat, says):
    folder = mat("notes.mat", xw=XW).parent
    with says(
        f"{folder}: none of 1 rows can be used (1 x name unlike ID-102_CLASS-13_Window-0001.mat): check that this is the right "
        "format and that the columns are the right ones"
    ):
        read(folder)


def test_missing_samples_follow_the_option(mat):
    holed = XW.copy()
    holed[1, 2] = np.nan
    path = mat("ID-1_CLASS-1_Window-1.mat", xw=holed)
    with pytest.raises(tsimage.UserError, match="channel 'acc-z', sample 1 is nan"):
        read(path)
    assert read(path, missing="mask").gaps.tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.array([np.zeros(3), np.zeros(4)], dtype=object), "X is a cell array"),
        ({"a": 1.0}, "X is a struct"),
        (X * 1j, "X is a complex array"),
    ],
)
def test_what_is_no_plain_array_is_refused(mat, says, value, what):
    path = mat(X=value, y=np.arange(4))
    with says(f"{path}: no plain array of real numbers or text ({what}): save plain arrays X and y anew"):
        read(path)


@pytest.mark.parametrize(("array_class", "what"), [(3, "object"), (5, "sparse array"), (16, "function handle")])
def test_functions_and_objects_are_refused_before_they_are_read(mat, monkeypatch, array_class, what):
    path = mat(X=X, y=np.arange(4))
    content = bytearray(path.read_bytes())
    content[144] = array_class  # the flags of the first array lie behind the header (128), its tag and theirs
    path.write_bytes(content)
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(tsimage.UserError, match=f"X is a {what}"):
        read(path)


def test_giant_claims_are_refused_before_anything_is_allocated(mat, monkeypatch):
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("was read"))
    path = mat(X=X, y=np.arange(4))
    content = bytearray(path.read_bytes())
    for at, value in (
        (132, 2**31),
        (160, 2**30),
        (188, 2**31 - 8),
    ):  # bytes of the array, its first dimension, its data
        giant = content[:at] + struct.pack("<I", value) + content[at + 4 :]
        path.write_bytes(giant)
        with pytest.raises(tsimage.UserError, match="size that the file cannot hold"):
            read(path)
    bomb = zlib.compress(struct.pack("<II", 14, 1 << 30) + content[136:200] + bytes(1 << 22))
    path.write_bytes(content[:128] + struct.pack("<II", 15, len(bomb)) + bomb)
    with pytest.raises(tsimage.UserError, match="size that the file cannot hold"):
        read(path)


def test_version_4_is_refused_also_in_disguise(mat, tmp_path, monkeypatch, says):
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("was read"))
    path = mat(X=X, y=np.arange(4))
    sentence = "no MATLAB file of version 5, 6, 7 or 7.3 (its first bytes are others): save plain arrays X and y anew"
    path.write_bytes(struct.pack("<5i", 0, 1 << 15, 1 << 15, 0, 2) + path.read_bytes()[20:])
    with says(f"{path}: {sentence}"):
        read(path)
    savemat(path, {"X": X[:, 0]}, format="4")
    with says(f"{path}: {sentence}"):
        read(path)


def test_two_arrays_of_one_name_are_refused(mat):
    path = mat(X=X)
    path.write_bytes(path.read_bytes() + path.read_bytes()[128:])
    with pytest.raises(tsimage.UserError, match=r"two arrays of one name \(X\)"):
        read(path)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_give_windows_or_one_sentence(mat, seed):
    path = mat(X=X, y=np.array(["a", "b", "a", "b"]), rate_hz=1.0, compress=seed % 2 == 1)
    whole, rng, outcomes = path.read_bytes(), random.Random(seed), set()
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            content[rng.randrange(len(content))] = rng.choice([0, 1, 127, 255, rng.randrange(256)])
        path.write_bytes(content[: rng.choice([len(content)] * 4 + [rng.randrange(len(content))])])
        try:
            read(path)
            outcomes.add("read")
        except tsimage.UserError as error:
            outcomes.add(f"refused in {len(str(error).splitlines())} line")
    assert outcomes == {"read", "refused in 1 line"}


def test_v73(hdf5):
    def fill(file, h5py):
        file.create_dataset("X", data=X.T, compression="gzip")
        text = file.create_dataset(
            "y", data=np.array([list(map(ord, row)) for row in ("sit ", "walk", "sit ", "run ")]).T.astype(np.uint16)
        )
        text.attrs["MATLAB_class"] = np.bytes_("char")

    windows = read(hdf5(fill))
    np.testing.assert_array_equal(windows.values, X)
    assert (windows.class_names, windows.labels.tolist()) == (("run", "sit", "walk"), [1, 2, 1, 0])


def test_v73_window(hdf5):
    path = hdf5(lambda file, _: file.create_dataset("xw", data=XW.T), "ID-1_CLASS-2_Window-3.mat")
    np.testing.assert_array_equal(read(path.parent).values, [XW.T])


def test_v73_refuses_what_is_no_array_of_this_file(hdf5, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(192))

    def virtual(file, h5py):
        layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "X", shape=X.shape)
        file.create_virtual_dataset("X", layout)

    cases = {
        "link in place of an array": lambda file, h5py: file.__setitem__("X", h5py.ExternalLink("other.h5", "/X")),
        "array that lies in another file": virtual,
        "X is a cell, struct or object": lambda file, h5py: file.create_dataset("X", (2,), dtype=h5py.ref_dtype),
        "size that the file cannot hold": lambda file, h5py: file.create_dataset(
            "X", (1 << 20, 1 << 14), "f4", chunks=(1, 64)
        ),
        r"array that lies in another file \(X\)": lambda file, h5py: file.create_dataset(
            "X", X.shape, dtype="f8", external=[(str(secret), 0, 192)]
        ),
    }
    for message, fill in cases.items():
        with pytest.raises(tsimage.UserError, match=message):
            read(hdf5(fill))


def test_v73_says_how_to_get_h5py(hdf5, monkeypatch, says):
    path = hdf5(lambda file, _: file.create_dataset("X", data=X.T))
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with says("reading a MATLAB v7.3 file needs h5py: pip install 'tsimage[mat]', or save it with -v7"):
        read(path)


def test_the_sample_of_geneactiv_windows(data_dir):
    folder = data_dir / "format-samples" / "geneactiv-mat"
    windows = read(folder, units="g")
    assert windows.values.shape == (8, 3, 500)
    assert set(windows.subjects) == {"101"}
    assert (windows.class_names, windows.labels.tolist()) == (("01", "04", "05", "06"), [0, 0, 1, 1, 2, 2, 3, 3])
    for window, id in zip(windows.values, windows.ids, strict=True):
        np.testing.assert_array_equal(window, loadmat(folder / f"{id}.mat")["xw"].T.astype(np.float32))
    gravity = np.linalg.norm(windows.values.mean(axis=2), axis=1)
    np.testing.assert_allclose(gravity, 1, atol=0.2)
