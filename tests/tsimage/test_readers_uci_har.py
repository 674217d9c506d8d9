import itertools
import shutil

import numpy as np
import pytest

from tsimage.archives import extract
from tsimage.readers import ReadOptions
from tsimage.readers.uci_har import READER, SIGNALS, read_uci_har


@pytest.fixture(scope="session")
def exported(data_dir, tmp_path_factory):
    """The complete test part as csv exports, with the list of people, which the export lacks."""
    folder = tmp_path_factory.mktemp("uci-har") / "unpacked"
    extract(data_dir / "uci-har-test" / "uci-har-csv-as-found.tar.xz", folder)
    (folder / "uciharcsv" / "body_acc_x_train.csv").unlink()
    shutil.copy(data_dir / "uci-har-test" / "original-sample" / "subject_test.txt", folder / "uciharcsv")
    return folder


@pytest.fixture(scope="session")
def test_part(exported):
    return read_uci_har(exported, ReadOptions())


@pytest.fixture(scope="session")
def repack(data_dir):
    with np.load(data_dir / "uci-har-test" / "uci-har-test.npz") as arrays:
        return {key: arrays[key] for key in ("X_test", "y_test", "subject_test", "channels", "activity_names")}


def sharing(samples):
    """Return the pairs of windows (i, j), i < j, that share a raw sample: the bytes of all channels are equal."""
    holders = {}
    for window, row in enumerate(samples.transpose(0, 2, 1)):
        for sample in row:
            holders.setdefault(sample.tobytes(), set()).add(window)
    return {pair for held in holders.values() for pair in itertools.combinations(sorted(held), 2)}


def overlapping(windows):
    """Return the pairs of windows (i, j), i < j, that share raw samples according to their intervals."""
    pairs = set()
    for recording in np.unique(windows.recordings):
        mine = np.flatnonzero(windows.recordings == recording)
        for i, j in itertools.combinations(mine.tolist(), 2):
            if windows.start[i] < windows.stop[j] and windows.start[j] < windows.stop[i]:
                pairs.add((i, j))
    return pairs


def test_the_official_test_part_row_by_row(test_part, repack):
    order = [repack["channels"].tolist().index(signal) for signal in SIGNALS.values()]
    np.testing.assert_array_equal(test_part.values, repack["X_test"][:, order])
    np.testing.assert_array_equal(test_part.labels + 1, repack["y_test"])
    np.testing.assert_array_equal(test_part.subjects, [f"user{person:02d}" for person in repack["subject_test"]])
    assert test_part.class_names == tuple(repack["activity_names"].tolist())
    assert test_part.ids[[0, -1]].tolist() == ["test-0001", "test-2947"]
    assert set(test_part.split) == {"test"}


def test_channels_are_named_and_ordered_as_in_hapt(test_part):
    assert test_part.channels[:6] == ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
    assert test_part.channels[6:] == ("body-acc-x", "body-acc-y", "body-acc-z")
    assert test_part.units == ("g",) * 3 + ("rad/s",) * 3 + ("g",) * 3
    assert (test_part.rate_hz, test_part.length) == (50, 128)


def test_windows_overlap_in_their_intervals_exactly_where_they_share_raw_samples(test_part):
    pairs = sharing(test_part.values)
    assert len(pairs) == 2690
    assert pairs == overlapping(test_part)
    assert all(j == i + 1 for i, j in pairs)
    assert len(np.unique(test_part.recordings)) == 2947 - 2690 == 257
    for i, j in pairs:  # half of a window, and the right half
        assert test_part.start[j] - test_part.start[i] == 64
    for recording in np.unique(test_part.recordings):
        mine = test_part.recordings == recording
        assert len(set(test_part.subjects[mine])) == len(set(test_part.labels[mine])) == 1


def test_every_row_of_the_real_set_is_kept_and_the_rest_is_said(test_part):
    report = test_part.read_report
    assert (report.rows_read, report.faults) == (2947, ())
    assert report.notes == (
        "The train part is left out, because total_acc_x_train, total_acc_y_train, total_acc_z_train, "
        "body_gyro_x_train, body_gyro_y_train, body_gyro_z_train, body_acc_x_train, body_acc_y_train, body_acc_z_train "
        "are missing",
        "test: 2,947 windows in 257 uninterrupted runs: 2,690 windows repeat half of the one before",
    )


def test_the_archive_as_found_has_no_people(data_dir, test_part):
    path = data_dir / "uci-har-test" / "uci-har-csv-as-found.tar.xz"
    assert READER.accepts(path)
    windows = read_uci_har(path, ReadOptions())
    np.testing.assert_array_equal(windows.values, test_part.values)
    np.testing.assert_array_equal(windows.recordings, test_part.recordings)
    assert set(windows.subjects) == {""}
    assert "The people of the test part are unknown: there is no subject_test" in windows.read_report.notes


def test_the_text_layout_equals_the_exports(data_dir, test_part):
    """The first 40 windows, in lines 16 wide with exponents of three digits."""
    windows = read_uci_har(data_dir / "uci-har-test" / "original-sample", ReadOptions())
    np.testing.assert_array_equal(windows.values, test_part.values[:40])
    for column in ("labels", "subjects", "recordings", "start", "stop", "ids"):
        np.testing.assert_array_equal(getattr(windows, column), getattr(test_part, column)[:40])


def write(folder, part, first, people, labels, *, suffix=".txt", separator=" "):
    """Write windows that start at the given samples of a stream in which every channel counts, in its own thousand."""
    signals = folder / part / "Inertial Signals"
    signals.mkdir(parents=True)
    for c, signal in enumerate(SIGNALS.values()):
        rows = [separator.join(f"{1000 * c + start + t:.7e}" for t in range(128)) for start in first]
        (signals / f"{signal}_{part}{suffix}").write_text("".join(f"{row}\n" for row in rows))
    for name, column in (("subject", people), ("y", labels)):
        (folder / part / f"{name}_{part}{suffix}").write_text("".join(f"{value}\n" for value in column))


@pytest.fixture
def folder(tmp_path):
    """Train: 4 windows of 2 people; test: 3 of one. Samples 64 and 128 later continue; other distances do not."""
    root = tmp_path / "UCI HAR Dataset"
    write(root, "train", [0, 64, 192, 256], [1, 1, 1, 3], [5, 5, 5, 1])
    write(root, "test", [0, 64, 128], [2, 2, 2], [6, 6, 2])
    names = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
    (root / "activity_labels.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(names, start=1)))
    return root


def test_both_parts_of_a_small_set(folder):
    assert READER.accepts(folder)
    windows = read_uci_har(folder, ReadOptions())
    assert windows.split.tolist() == ["train"] * 4 + ["test"] * 3
    assert windows.subjects.tolist() == ["user01"] * 3 + ["user03"] + ["user02"] * 3
    assert [windows.class_names[k] for k in windows.labels] == [
        *("STANDING", "STANDING", "STANDING", "WALKING"),
        *("LAYING", "LAYING", "WALKING_UPSTAIRS"),
    ]
    # window 3 starts 128 after window 2, window 4 is of another person
    assert windows.recordings.tolist() == [
        *("train-run001", "train-run001", "train-run002", "train-run003"),
        *["test-run001"] * 3,
    ]
    assert windows.start.tolist() == [0, 64, 0, 0, 0, 64, 128]
    assert windows.stop.tolist() == [128, 192, 128, 128, 128, 192, 256]
    np.testing.assert_array_equal(windows.values[1, :, 0], 1000 * np.arange(9) + 64)
    assert windows.read_report.rows_kept == 7


def test_a_bad_row_in_any_file_rejects_its_window_and_ends_the_run(folder):
    gyro = folder / "test" / "Inertial Signals" / "body_gyro_y_test.txt"
    lines = gyro.read_text().splitlines()
    gyro.write_text("\n".join([lines[0], "five " + lines[1], lines[2]]) + "\n")
    (folder / "train" / "y_train.txt").write_text("5\n5\n5\n1.5\n")
    (folder / "train" / "subject_train.txt").write_text("1\n1e20\n-1\n3\n")
    windows = read_uci_har(folder, ReadOptions())
    assert windows.ids.tolist() == ["train-0001", "test-0001", "test-0003"]
    assert windows.recordings.tolist() == ["train-run001", "test-run001", "test-run002"]
    assert windows.start.tolist() == [0, 0, 0]
    report = windows.read_report
    assert (report.rows_read, report.rows_kept) == (7, 3)
    assert list(report.rows()) == [
        ("test/Inertial Signals/body_gyro_y_test.txt", 2, "rejected", "wrong number of columns"),
        ("train/subject_train.txt", 2, "rejected", "no number of a person"),
        ("train/subject_train.txt", 3, "rejected", "no number of a person"),
        ("train/y_train.txt", 4, "rejected", "unknown activity"),
    ]


def test_a_strict_reader_stops(folder, says):
    (folder / "train" / "y_train.txt").write_text("5\n7\n5\n1\n")
    with says(
        "train/y_train.txt, line 2: unknown activity ('7'): mend it, or pass faults 'reject' to leave out such rows and "
        "count them"
    ):
        read_uci_har(folder, ReadOptions(faults="raise"))


def test_a_missing_train_part_is_said(folder):
    shutil.rmtree(folder / "train")
    windows = read_uci_har(folder, ReadOptions())
    assert set(windows.split) == {"test"}
    assert "The train part is left out, because all its files are missing" in windows.read_report.notes


def test_a_part_that_lacks_a_file_is_left_out_and_named(folder, says):
    (folder / "train" / "Inertial Signals" / "body_acc_z_train.txt").unlink()
    notes = read_uci_har(folder, ReadOptions()).read_report.notes
    assert "The train part is left out, because body_acc_z_train are missing" in notes
    (folder / "test" / "y_test.txt").unlink()
    with says(
        f"{folder}: neither part of UCI HAR is whole: body_acc_z_train, y_test are missing: unpack the whole set"
    ):
        read_uci_har(folder, ReadOptions())


def test_unequal_numbers_of_rows_are_refused(folder, says):
    (folder / "test" / "y_test.txt").write_text("6\n6\n")
    with says(
        f"{folder}: test/Inertial Signals/total_acc_x_test.txt has 3 lines but test/y_test.txt has 2: they belong together "
        "line by line: get a fresh copy"
    ):
        read_uci_har(folder, ReadOptions())


def test_nothing_left_is_an_error_that_says_why(folder, says):
    shutil.rmtree(folder / "train")
    (folder / "test" / "y_test.txt").write_text("0\n0\n0\n")
    with says(
        f"{folder}: none of 3 rows can be used (3 x unknown activity): check that this is the right format and that the "
        "columns are the right ones"
    ):
        read_uci_har(folder, ReadOptions())


def test_a_folder_without_signals_is_refused(tmp_path, says):
    assert not READER.accepts(tmp_path)
    assert not READER.accepts(tmp_path / "nowhere")
    with says(f"{tmp_path}: not the UCI HAR layout: it needs files like Inertial Signals/total_acc_x_test.txt"):
        read_uci_har(tmp_path, ReadOptions())


@pytest.mark.parametrize("text", ["", "1 WALKING\n3 SITTING\n", "1 WALKING\n2 WALKING\n", "WALKING\n2 SITTING\n"])
def test_a_malformed_list_of_activities_is_refused(folder, says, text):
    (folder / "activity_labels.txt").write_text(text)
    with says(
        f"{folder}: activity_labels.txt is malformed: it must list the activities as '1 WALKING', "
        "'2 WALKING_UPSTAIRS', ..."
    ):
        read_uci_har(folder, ReadOptions())


def test_of_two_copies_the_list_nearest_to_the_signals_is_taken(folder):
    (folder / "y_test.txt").write_text("1\n")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "y_train.txt").write_text("1\n")
    assert len(read_uci_har(folder, ReadOptions())) == 7


def test_the_unit_can_be_stated(folder):
    assert READER.read(folder, ReadOptions(units="m/s^2")).units == ("m/s^2",) * 9
    assert "units" in READER.options
