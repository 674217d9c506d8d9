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
