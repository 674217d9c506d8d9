import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

import tsimage
from tsimage.readers import GENERAL_OPTIONS, ReadOptions
from tsimage.readers.hapt import READER, read_hapt

BASIC = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")


def official(data_dir, part):
    """Activity numbers and subjects of one part, row by row, as the set lists them."""
    with tarfile.open(data_dir / "hapt" / "hapt-original.tar.xz") as archive:
        lists = {}
        for member in archive:  # in order: seeking back in xz starts anew
            name = member.name.removeprefix("HAPT-Dataset/Processed-Data/")
            if name in (f"y_{part}.txt", f"subject_id_{part}.txt"):
                lists[name] = np.array(archive.extractfile(member).read().split(), dtype=int)
            if len(lists) == 2:
                return lists[f"y_{part}.txt"], lists[f"subject_id_{part}.txt"]
    raise AssertionError(f"no lists of {part}")


@pytest.mark.parametrize(("part", "count"), [("train", 7767), ("test", 3162)])
def test_windows_are_the_official_ones_row_by_row(hapt, data_dir, part, count):
    activities, subjects = official(data_dir, part)
    windows = hapt.select(hapt.split == part)
    assert len(windows) == len(activities) == count
    np.testing.assert_array_equal(windows.labels + 1, activities)
    np.testing.assert_array_equal(windows.subjects, [f"user{s:02d}" for s in subjects])


def test_layout_of_the_real_set(hapt):
    assert hapt.values.shape == (10929, 6, 128)
    assert hapt.channels == ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
    assert hapt.units == ("g", "g", "g", "rad/s", "rad/s", "rad/s")
    assert hapt.rate_hz == 50
    assert hapt.class_names[:6] == BASIC
    assert len(hapt.class_names) == 12
    assert len(np.unique(hapt.recordings)) == 61
    people = {part: set(hapt.subjects[hapt.split == part]) for part in ("train", "test")}
    assert [len(people[part]) for part in ("train", "test")] == [21, 9]
    assert not people["train"] & people["test"]


def test_the_six_basic_classes(hapt):
    basic = hapt.keep_classes(BASIC)
    assert (basic.split == "train").sum() == 7415
    assert (basic.split == "test").sum() == 2996


def test_gravity_is_in_g(hapt):
    standing = hapt.keep_classes(["STANDING"]).values[:, :3].mean(axis=2)
    assert np.linalg.norm(standing, axis=1).mean() == pytest.approx(1, abs=0.05)


def test_values_equal_the_repacked_stream(hapt, data_dir):
    with np.load(data_dir / "hapt" / "hapt.npz") as repack:
        stream, starts, windows_train = repack["stream"], repack["win_start"], repack["win_is_train"]
    # the repack lists the windows in the order of the recordings, as does the reader
    assert len(starts) == len(hapt)
    np.testing.assert_array_equal(hapt.split == "train", windows_train)
    np.testing.assert_array_equal(hapt.values, stream.T[:, starts[:, None] + np.arange(128)].transpose(1, 0, 2))


def test_every_sample_of_the_real_set_is_accounted_for(hapt):
    report = hapt.cut_report
    assert report.recordings == 61
    assert report.samples == 1_122_772
    assert report.used + report.remainder + report.unlabelled == report.samples
    covered = {name: np.zeros(0, dtype=bool) for name in np.unique(hapt.recordings)}
    for name in covered:
        mine = hapt.recordings == name
        covered[name] = np.zeros(hapt.stop[mine].max(), dtype=bool)
        for a, b in zip(hapt.start[mine], hapt.stop[mine], strict=True):
            covered[name][a:b] = True
    assert report.used == sum(mask.sum() for mask in covered.values())


def small(path, **options):
    return tsimage.load(path, window="8", **{"overlap": 0.0} | options)


def test_a_small_folder_is_read_sample_by_sample(hapt_folder):
    windows = small(hapt_folder)
    # labels.txt counts samples from 1 and includes the last
    assert windows.ids.tolist() == ["exp01_user01:0-8", "exp01_user01:10-18", "exp02_user02:2-10", "exp02_user02:10-18"]
    assert [windows.class_names[k] for k in windows.labels] == ["SITTING", "WALKING", "WALKING", "WALKING"]
    assert windows.class_names == ("WALKING", "SITTING")
    assert windows.split.tolist() == ["train", "train", "test", "test"]
    assert windows.subjects.tolist() == ["user01", "user01", "user02", "user02"]
    expected = np.arange(10, 18)
    np.testing.assert_array_equal(windows.values[1, 0], expected)
    np.testing.assert_array_equal(windows.values[1, 2], -expected)
    np.testing.assert_array_equal(windows.values[1, 4], 100 + expected + 0.25)


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz", ".tar.gz", ".tar"])
def test_an_archive_equals_the_folder(hapt_folder, tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(hapt_folder.rglob("*.txt")):
                archive.write(file, file.relative_to(tmp_path))
    else:
        with tarfile.open(path, "w:" + suffix.removeprefix(".tar").removeprefix(".")) as archive:
            archive.add(hapt_folder, "HAPT")
    assert small(path).fingerprint() == small(hapt_folder).fingerprint()


def test_its_own_windows_are_128_samples_with_half_overlap(hapt_folder, says):
    with says(
        "HAPT: no window of 128 samples fits: the longest stretch with one label in one recording has 18 samples; "
        "choose a shorter window"
    ):
        tsimage.load(hapt_folder)
    assert small(hapt_folder, overlap=0.5).start.tolist() == [0, 10, 2, 6, 10]


def test_a_missing_signal_is_named(hapt_folder, says):
    (hapt_folder / "Raw-Data" / "gyro_exp02_user02.txt").unlink()
    with says(f"{hapt_folder}: gyro_exp02_user02.txt is missing although labels.txt names it: unpack the whole set"):
        small(hapt_folder)


@pytest.mark.parametrize("name", ["subject_id_train.txt", "subject_id_test.txt", "activity_labels.txt"])
def test_a_missing_list_is_named(hapt_folder, name):
    next(hapt_folder.rglob(name)).unlink()
    with pytest.raises(
        tsimage.UserError, match=rf"^{re.escape(str(hapt_folder))}: {name} is missing below '.*': unpack the whole set$"
    ):
        small(hapt_folder)


def test_missing_labels_are_named(hapt_folder, says):
    (hapt_folder / "Raw-Data" / "labels.txt").unlink()
    with says(f"{hapt_folder}: not the HAPT layout: it needs labels.txt and acc_expXX_userYY.txt files"):
        small(hapt_folder)


def test_sensors_of_unequal_length_are_refused(hapt_folder, says):
    path = hapt_folder / "Raw-Data" / "gyro_exp02_user02.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with says(
        f"{hapt_folder}: Raw-Data/acc_exp02_user02.txt has 20 lines but Raw-Data/gyro_exp02_user02.txt has 19: they belong "
        "together line by line: get a fresh copy"
    ):
        small(hapt_folder)


def test_a_subject_in_neither_part_is_refused(hapt_folder, says):
    (hapt_folder / "Processed-Data" / "subject_id_test.txt").write_text("3\n")
    with says("HAPT: subject 'user02' is in neither part of the official split: get a fresh copy"):
        small(hapt_folder)


def test_a_wrong_number_of_columns_is_refused(hapt_folder, says):
    (hapt_folder / "Raw-Data" / "acc_exp01_user01.txt").write_text("1 2\n" * 20)
    with says(
        f"{hapt_folder}: none of the 20 lines of Raw-Data/acc_exp01_user01.txt and its gyroscope file can be used: "
        "get a fresh copy of the set"
    ):
        small(hapt_folder)
    (hapt_folder / "Raw-Data" / "labels.txt").write_text("1 1 2 1\n")
    with says(f"{hapt_folder}: Raw-Data/labels.txt has 4 columns, expected 5: get a fresh copy"):
        small(hapt_folder)


def test_malformed_samples_are_rejected_and_no_window_holds_both_sides(hapt_folder):
    acc, gyro = (hapt_folder / "Raw-Data" / f"{sensor}_exp02_user02.txt" for sensor in ("acc", "gyro"))
    lines = acc.read_text().splitlines()
    acc.write_text("\n".join(["NaN 1 1", *lines[1:11], "1 five 1", *lines[12:]]) + "\n")
    lines = gyro.read_text().splitlines()
    gyro.write_text("\n".join([*lines[:11], "", *lines[12:19], "1 2"]) + "\n")
    read = read_hapt(hapt_folder, ReadOptions())
    recording = read.recordings[1]
    # lines 1 (acc), 12 (both) and 20 (gyro) are gone; labels.txt counts the lines of the files: activity 1 is 3 to 20
    assert recording.values[0].tolist() == [*range(1, 11), *range(12, 19)]
    assert recording.values[3].tolist() == [*range(101, 111), *range(112, 119)]
    assert recording.breaks == (10,)
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [(1, 10, "WALKING"), (10, 17, "WALKING")]
    assert (read.report.rows_read, read.report.rows_rejected) == (40, 3)
    assert list(read.report.rows()) == [
        ("Raw-Data/acc_exp02_user02.txt", 1, "rejected", "missing value"),
        ("Raw-Data/acc_exp02_user02.txt", 12, "rejected", "no number"),
        ("Raw-Data/gyro_exp02_user02.txt", 20, "rejected", "wrong number of columns"),
    ]
    assert small(hapt_folder).ids.tolist() == ["exp01_user01:0-8", "exp01_user01:10-18", "exp02_user02:1-9"]


def test_a_malformed_sample_stops_a_strict_reader(hapt_folder, says):
    path = hapt_folder / "Raw-Data" / "acc_exp01_user01.txt"
    path.write_text("\n".join([*path.read_text().splitlines()[:19], "1 five 1"]) + "\n")
    with says(
        "Raw-Data/acc_exp01_user01.txt, line 20: no number ('five'): mend it, or pass faults 'reject' to leave out such "
        "rows and count them"
    ):
        small(hapt_folder, faults="raise")


def test_experiments_that_no_label_names_are_said(hapt_folder):
    (hapt_folder / "Raw-Data" / "labels.txt").write_text("2 2 1 3 20\n")
    assert read_hapt(hapt_folder, ReadOptions()).report.notes == (
        "Not read, because labels.txt does not name their experiments: acc_exp01_user01.txt, gyro_exp01_user01.txt",
    )


def test_every_row_of_the_real_set_is_kept(hapt):
    assert (hapt.read_report.rows_read, hapt.read_report.faults) == (1_122_772, ())
    assert hapt.read_report.notes == ("acc-x, acc-y, acc-z: in g as stated (median norm 1.02, gravity is 1)",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acc_exp01_user01.txt", "1 2 3\n1 2 3 4\n"),
        ("acc_exp01_user01.txt", ""),
        ("acc_exp01_user01.txt", "four five six\n" * 20),
        ("labels.txt", "1 1 9 1 8\n2 2 1 3 20\n"),
        ("labels.txt", "1 1 2 1 8\n2 2 1 3 200\n"),
        ("labels.txt", "1 1 2 1 8\n2 2 1 0 20\n"),
        ("labels.txt", "1 1 2 1 8\n2 2 1 3.5 20\n"),
        ("labels.txt", "1 1 2 1 8\n2 2 1 3 inf\n"),
        ("labels.txt", "1 1 2 1 8\n2 2 1 3\n"),
    ],
    ids=[
        "ragged",
        "empty",
        "no number",
        "unknown activity",
        "beyond the end",
        "before the start",
        "half a sample",
        "infinite",
        "short line",
    ],
)
def test_a_malformed_file_is_one_sentence_that_names_it(hapt_folder, name, text):
    (hapt_folder / "Raw-Data" / name).write_text(text)
    with pytest.raises(tsimage.UserError) as caught:
        small(hapt_folder)
    assert str(hapt_folder) in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["set.zip", "set.tar.xz"])
def test_a_damaged_archive_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not an archive at all")
    with pytest.raises(tsimage.UserError, match=r"set\..*: it is damaged \(.*\): get a fresh copy from its source"):
        tsimage.load(path)


def test_an_archive_cut_short_is_refused(hapt_folder, tmp_path):
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(hapt_folder, "HAPT")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(tsimage.UserError, match=r"set\.tar\.gz: it is damaged \(.*\)"):
        small(path)


def test_options_of_tables_are_refused(hapt_folder, says):
    takes = ", ".join(sorted(READER.options | GENERAL_OPTIONS))
    with says(f"the hapt reader cannot use the option label, time-unit: leave it out; allowed here: {takes}"):
        small(hapt_folder, label="activity", time_unit="ms")


def test_a_folder_that_holds_other_files_too_is_still_recognised(hapt_folder):
    shutil.copy(hapt_folder / "activity_labels.txt", hapt_folder / "notes.txt")
    assert len(small(hapt_folder)) == 4


def test_the_unit_can_be_stated(hapt_folder):
    assert small(hapt_folder, units=("m/s^2",) * 3 + ("deg/s",) * 3).units == ("m/s^2",) * 3 + ("deg/s",) * 3


def test_an_archive_of_something_else_is_not_accepted(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x,y\n1,2\n")
    assert not READER.accepts(tmp_path / "a.zip")
    (tmp_path / "b.tar.xz").write_bytes(b"damaged")
    assert READER.accepts(tmp_path / "b.tar.xz")  # it says what is wrong with it
