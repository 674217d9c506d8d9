import io
import os
import zipfile

import numpy as np
import pytest

import tsimage

X = np.arange(24, dtype=np.float64).reshape(4, 2, 3)


@pytest.fixture
def npz(tmp_path):
    """Write arrays to set.npz; return its path."""

    def _write(**arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return _write


def test_plain_x_and_y(npz):
    windows = tsimage.load(npz(X=X, y=np.array(["sit", "walk", "sit", "lie"])))
    np.testing.assert_array_equal(windows.values, X)
    assert windows.values.dtype == np.float32
    assert windows.class_names == ("lie", "sit", "walk")
    assert windows.labels.tolist() == [1, 2, 1, 0]
    assert windows.channels == ("channel0", "channel1")
    assert windows.units == ("", "")
    assert windows.rate_hz is None
    assert windows.split is None
    assert windows.name == "set"
    assert windows.ids.tolist() == [f"window00000{i}" for i in range(4)]
    assert windows.subjects.tolist() == windows.recordings.tolist() == [""] * 4


def test_x_of_two_dimensions_has_one_channel(npz):
    windows = tsimage.load(npz(X=X[:, 0], y=np.arange(4)))
    assert windows.values.shape == (4, 1, 3)


@pytest.mark.parametrize("key", ["subjects", "subject", "groups"])
def test_everything_that_a_file_may_state(npz, key):
    path = npz(
        values=X,
        labels=np.array([1, 0, 1, 1]),
        class_names=np.array(["run", "rest", "never"]),
        channels=np.array(["a", "b"]),
        units=np.array(["g", "rad/s"]),
        rate_hz=np.array(25.0),
        name=np.array("mine"),
        ids=np.array(list("pqrs")),
        recordings=np.array(["r1", "r1", "r2", "r2"]),
        start=np.array([0, 3, 0, 3]),
        split=np.array(["train", "train", "test", "test"]),
        **{key: np.array([3, 3, 4, 4])},
    )
    windows = tsimage.load(path)
    assert windows.class_names == ("run", "rest", "never")
    assert windows.labels.tolist() == [1, 0, 1, 1]
    assert (windows.channels, windows.units) == (("a", "b"), ("g", "rad/s"))
    assert (windows.rate_hz, windows.name) == (25.0, "mine")
    assert windows.ids.tolist() == list("pqrs")
    assert windows.recordings.tolist() == ["r1", "r1", "r2", "r2"]
    assert windows.stop.tolist() == [3, 6, 3, 6]
    assert windows.split.tolist() == ["train", "train", "test", "test"]
    assert windows.subjects.tolist() == ["3", "3", "4", "4"]


def test_units_and_rate_may_be_given_where_the_file_lacks_them(npz):
    windows = tsimage.load(npz(X=X, y=np.arange(4)), units="g", rate=20.0)
    assert windows.units == ("g", "g")
    assert windows.rate_hz == 20


def test_whole_numbers_stored_as_floats_are_labels(npz):
    windows = tsimage.load(npz(X=X, y=np.array([3.0, 1.0, 1.0, 10.0])))
    assert windows.class_names == ("1", "3", "10")
    assert windows.labels.tolist() == [1, 0, 0, 2]


def test_labels_that_are_neither_text_nor_whole_numbers_are_refused(npz):
    path = npz(X=X, y=np.array([0.2, 0.7, 1.2, 1.7]))
    with pytest.raises(tsimage.UserError, match="label"):
        tsimage.load(path)


def test_labels_stored_as_bytes_are_text(npz):
    windows = tsimage.load(npz(X=X, y=np.array([b"sit", b"walk", b"sit", b"sit"])))
    assert windows.class_names == ("sit", "walk")


def test_a_part_that_is_neither_train_nor_test_is_refused(npz):
    path = npz(X=X, y=np.arange(4), split=np.array(["train", "test", "tets", "test"]))
    with pytest.raises(tsimage.UserError, match=r"split.*tets"):
        tsimage.load(path)


def test_python_objects_are_never_unpickled(npz, says):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros(3), np.zeros(4)]
    path = npz(X=ragged, y=np.arange(2))
    with says(
        f"{path}: an array holds Python objects, as windows of unequal length do: store windows of one length as one "
        "array (window, channel, time)"
    ):
        tsimage.load(path)


def test_missing_arrays_are_named(npz, says):
    path = npz(y=np.arange(4), other=X)
    with says(f"{path}: there is no array values (or X): it holds other, y"):
        tsimage.load(path)
    path = npz(X=X, target=np.arange(4))
    with says(f"{path}: there is no array labels (or y): it holds X, target"):
        tsimage.load(path)
    path = npz()
    with says(f"{path}: there is no array values (or X): it holds nothing"):
        tsimage.load(path)


def test_shapes_that_do_not_fit_are_refused(npz, says):
    path = npz(X=X, y=np.arange(3))
    with says(f"{path}: 4 windows but labels of shape (3,): give one label per window"):
        tsimage.load(path)
    path = npz(X=X, y=np.arange(4), subjects=np.arange(5))
    with says(f"{path}: subjects has shape (5,) beside 4 windows: give one entry per window"):
        tsimage.load(path)
    path = npz(X=X[0, 0], y=np.arange(3))
    with says(
        f"{path}: values of shape (3,) and type float64 are no windows: give numbers of shape (window, channel, time)"
    ):
        tsimage.load(path)
    path = npz(X=np.full((4, 2, 3), "x"), y=np.arange(4))
    with says(
        f"{path}: values of shape (4, 2, 3) and type <U1 are no windows: give numbers of shape (window, channel, time)"
    ):
        tsimage.load(path)


@pytest.mark.parametrize("labels", [np.array(["a", "", "b", ""]), np.array([0, np.nan, 1, np.nan])])
def test_a_missing_label_names_its_window(npz, says, labels):
    path = npz(X=X, y=labels)
    with says(f"{path}: window 1 has no label (2 of 4 windows have none): label these windows or leave them out"):
        tsimage.load(path)


def test_labels_outside_the_class_names_are_refused(npz, says):
    path = npz(X=X, y=np.arange(4), class_names=np.array(["a", "b"]))
    with says("set: labels 0 to 3 are outside the 2 classes: labels count from 0"):
        tsimage.load(path)


def test_nan_names_its_window_and_channel(npz, says):
    values = X.copy()
    values[2, 1, 0] = np.nan
    path = npz(X=values, y=np.arange(4))
    with says(
        "set: window 'window000002', channel 'channel1', sample 0 is nan (1 of 4 windows hold NaN or infinity): "
        "fill or remove these samples, or load with missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
    ):
        tsimage.load(path)


@pytest.mark.parametrize("damage", ["text", "cut short", "an .npy", "empty"])
def test_a_damaged_file_is_called_unreadable(npz, damage):
    path = npz(X=X, y=np.arange(4))
    if damage == "an .npy":
        np.save(path.with_suffix(".npy"), X)
        path.with_suffix(".npy").replace(path)
    else:
        path.write_bytes({"text": b"x,y\n1,2\n", "cut short": path.read_bytes()[:300], "empty": b""}[damage])
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(path)
    assert str(caught.value).startswith(f"{path}: not a readable .npz file (")
    assert str(caught.value).endswith("): write it anew with numpy.savez")


def test_options_of_recordings_are_refused(npz, says):
    path = npz(X=X, y=np.arange(4))
    with says(
        "the npz reader cannot use the option overlap, window: leave it out; "
        "allowed here: channels, classes, constant, format, missing, rate, units, without"
    ):
        tsimage.load(path, window="128", overlap=0.5)


def written(path, header, content=b"", version=b"\x01\x00"):
    """An .npz whose X.npy has this header, and a sound y."""
    head = header.ljust(118).encode("latin-1") + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY" + version + len(head).to_bytes(2, "little") + head + content)
        out = io.BytesIO()
        np.save(out, np.arange(4))
        archive.writestr("y.npy", out.getvalue())
    return path


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
            "an array of shape (1000000000000,) and",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -2)}",
            "an array of shape (-1, -2) and type float32 is not",
        ),
        (
            "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}",
            "an array of type datetime64[s], which are neither",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,", ""),  # in the words of Python's tokenizer
        ("(" * 100, ""),
    ],
)
def test_a_header_is_held_against_what_is_there(tmp_path, header, reason):
    path = written(tmp_path / "a.npz", header, bytes(8))
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(path)
    assert str(caught.value).startswith(f"{path}: not a readable .npz file ({reason}")
    assert "\n" not in str(caught.value)


def test_an_array_of_another_format_is_refused(tmp_path, says):
    path = written(tmp_path / "a.npz", "{}", version=b"\x09\x00")
    with says(f"{path}: not a readable .npz file (an array of format (9, 0)): write it anew with numpy.savez"):
        tsimage.load(path)


@pytest.mark.parametrize("code", [0x110000, 0xD800])
def test_text_of_what_are_no_characters_is_refused(tmp_path, npz, says, code):
    path = npz(X=X, y=np.array([code, 65, 66, 67], dtype="<u4").view("<U1"))
    with says(
        f"{path}: not a readable .npz file (an array of text holds what are no characters): write it anew with numpy.savez"
    ):
        tsimage.load(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", np.array([code, 65, 66, 67], dtype=">u4").view(">U1"))
    with pytest.raises(tsimage.UserError, match="no characters"):
        tsimage.load(folder)


def test_text_of_the_other_byte_order_is_read(npz):
    windows = tsimage.load(npz(X=X, y=np.array(["sit", "walk", "sit", "lie"]).astype(">U4")))
    assert windows.class_names == ("lie", "sit", "walk")


def test_a_file_beside_the_arrays_is_left_alone(npz):
    path = npz(X=X, y=np.arange(4))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "how it was made")
    assert len(tsimage.load(path)) == 4


def test_what_unpacks_to_too_much_is_refused(npz, says, tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=np.zeros((5, 2, 3)), y=np.arange(5), other=np.zeros(9 * 2**20))
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(path)
    assert str(caught.value).startswith(f"{path}: not a readable .npz file (it unpacks to 75,")
    assert str(caught.value).endswith("allowed are 67,108,864): write it anew with numpy.savez")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": np.array([1e300, 1, 2, 3])}, "label 1e+300 is no class: give whole numbers or text"),
        ({"y": np.array([b"\xff", b"a", b"b", b"c"])}, "labels holds bytes that are no UTF-8: store text"),
        ({"start": np.array([0.5, 1, 2, 3])}, "start 0.5 is no sample: give whole numbers"),
        ({"start": np.array(["a", "b", "c", "d"])}, "start a is no sample: give whole numbers"),
        ({"stop": np.array([np.nan, 1, 2, 3])}, "stop nan is no sample: give whole numbers"),
        ({"channels": np.array("xy")}, "channels has shape (): give a list of names"),
        ({"class_names": np.array([["a", "b"]])}, "class_names has shape (1, 2): give a list of names"),
        ({"name": np.array(["a", "b"])}, "name has shape (2,): give one text"),
        (
            {"gaps": np.zeros(4, dtype=bool)},
            "gaps of shape (4,) and type bool are none: give true or false per window and channel",
        ),
        (
            {"X": np.zeros((0, 2, 3)), "y": np.zeros(0)},
            "values of shape (0, 2, 3) and type float64 are no windows: give numbers of shape (window, channel, time)",
        ),
    ],
)
def test_arrays_that_are_not_what_they_should_be(npz, says, arrays, said):
    path = npz(**{"X": X, "y": np.arange(4), **arrays})
    with says(f"{path}: {said}"):
        tsimage.load(path)


def test_whole_numbers_stored_as_floats_are_samples(npz):
    windows = tsimage.load(npz(X=X, y=np.arange(4), start=np.array([0.0, 3, 6, 9])))
    assert windows.stop.tolist() == [3, 6, 9, 12]
    assert windows.stop.dtype == np.int64


def test_a_pipe_among_the_arrays_is_left_alone(tmp_path, says):
    np.save(tmp_path / "y.npy", np.arange(4))
    os.mkfifo(tmp_path / "X.npy")
    with says(f"{tmp_path}: there is no array values (or X): it holds y"):
        tsimage.load(tmp_path, format="npy")
