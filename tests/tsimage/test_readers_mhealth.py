import zipfile

import numpy as np
import pytest

import tsimage
from tsimage.cutting import cut
from tsimage.readers import ReadOptions
from tsimage.readers.mhealth import ACTIVITIES, CHANNELS, READER, UNITS, read_mhealth


def line(t, activity):
    """Column c (from 1) of sample t is 100 c + t, the last is the activity; as in the set, tabs and long exponents."""
    return "\t".join([f"{100 * c + t}" for c in range(1, 23)] + [f"{t + 1}e-005", str(activity)])


@pytest.fixture
def log(tmp_path):
    """12 samples: 3 of none, 5 standing, 2 jumping, 2 standing."""
    path = tmp_path / "mHealth_subject3.log"
    activities = [0] * 3 + [1] * 5 + [12] * 2 + [1] * 2
    path.write_text("".join(line(t, activity) + "\n" for t, activity in enumerate(activities)))
    return path


def test_the_real_excerpt(data_dir):
    path = data_dir / "format-samples" / "mhealth"
    assert READER.accepts(path)
    read = read_mhealth(path, ReadOptions())
    (recording,) = read.recordings
    assert recording.values.shape == (23, 12)
    assert recording.subject == "subject1"
    assert recording.values[0, 0] == np.float32(-9.8184)
    first = dict(zip(CHANNELS, recording.values[:, 0].tolist(), strict=True))
    assert first["chest-acc-x"] == pytest.approx(-9.8184)
    assert first["chest-ecg-2"] == pytest.approx(0.0041863)
    assert first["ankle-acc-y"] == pytest.approx(-9.6967)
    assert first["ankle-gyro-x"] == pytest.approx(0.1039)
    assert -7.7713e-005 in recording.values.astype(np.float64).round(9)
    assert recording.segments == ()
    assert (read.report.rows_read, read.report.faults, read.class_names) == (12, (), ())
    for place in ("chest", "ankle", "arm"):  # gravity is in m/s^2
        mine = [k for k, name in enumerate(CHANNELS) if name.startswith(f"{place}-acc")]
        assert np.linalg.norm(recording.values[mine], axis=0) == pytest.approx(9.81, rel=0.05)


def test_channels_and_units_follow_the_columns():
    assert len(CHANNELS) == len(UNITS) == 23
    units = dict(zip(CHANNELS, UNITS, strict=True))
    assert [CHANNELS.index(name) for name in ("chest-ecg-1", "ankle-acc-x", "ankle-mag-z", "arm-gyro-x")] == [
        3,
        5,
        13,
        17,
    ]
    assert units["chest-ecg-1"] == "mV"
    assert units["arm-acc-x"] == "m/s^2"
    assert units["ankle-gyro-z"] == "deg/s"
    assert units["arm-mag-x"] == ""
    assert len(ACTIVITIES) == 12


def test_samples_and_stretches(log):
    read = read_mhealth(log, ReadOptions())
    (recording,) = read.recordings
    assert (recording.id, recording.subject, recording.rate_hz) == ("subject3", "subject3", 50)
    np.testing.assert_array_equal(recording.values[4], 500 + np.arange(12))
    np.testing.assert_allclose(recording.values[22], 1e-5 * np.arange(1, 13), rtol=1e-6)
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [
        (3, 8, "standing still"),
        (8, 10, "jump front & back"),
        (10, 12, "standing still"),
    ]
    assert read.class_names == ("standing still", "jump front & back")
    assert recording.breaks == ()
    windows = cut(read.recordings, 2, class_names=read.class_names)
    assert windows.start.tolist() == [3, 5, 8, 10]


def test_bad_lines_are_counted_and_break_the_recording(log):
    lines = log.read_text().splitlines()
    lines[5] = lines[5].replace("\t", "\tNaN\t", 1)
    lines[6] = lines[6].replace("506", "five")
    lines[9] = line(9, 13)
    log.write_text("\n".join([*lines, ""]) + "\n")
    read = read_mhealth(log, ReadOptions())
    (recording,) = read.recordings
    assert recording.values[0].tolist() == [100, 101, 102, 103, 104, 107, 108, 110, 111]
    assert recording.breaks == (5, 7)
    assert [(s.start, s.stop) for s in recording.segments] == [(3, 5), (5, 6), (6, 7), (7, 9)]
    assert list(read.report.rows()) == [
        ("mHealth_subject3.log", 6, "rejected", "wrong number of columns"),
        ("mHealth_subject3.log", 7, "rejected", "no number"),
        ("mHealth_subject3.log", 10, "rejected", "unknown activity"),
        ("mHealth_subject3.log", 13, "rejected", "empty line"),
    ]
    assert (read.report.rows_read, read.report.rows_kept) == (13, 9)
    with pytest.raises(tsimage.UserError, match=r"^mHealth_subject3\.log, line 6: wrong number of columns"):
        read_mhealth(log, ReadOptions(faults="raise"))


def test_a_folder_and_an_archive_of_several_people(log):
    other = log.with_name("mHealth_subject10.log")
    other.write_text(log.read_text())
    log.with_name("README.txt").write_text("other files are left alone\n")
    log.with_name("notes.log").write_text("so are these\n")
    archive = log.parent / "set.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in (log, other):
            out.write(file, f"MHEALTHDATASET/{file.name}")
    for path in (log.parent, archive):
        assert READER.accepts(path)
        read = read_mhealth(path, ReadOptions())
        assert sorted(recording.id for recording in read.recordings) == ["subject10", "subject3"]
        assert read.report.rows_kept == 24


def test_two_files_of_one_person_are_refused(log, says):
    log.with_name("mHealth_subject3.copy.log").write_text(log.read_text())
    with says(
        f"{log.parent}: both mHealth_subject3.copy.log and mHealth_subject3.log are of subject3: leave one of them out"
    ):
        read_mhealth(log.parent, ReadOptions())


def test_what_is_no_mhealth_is_refused(tmp_path, says):
    (tmp_path / "other.log").write_text("1\t2\n")
    assert not READER.accepts(tmp_path)
    assert not READER.accepts(tmp_path / "other.log")
    assert not READER.accepts(tmp_path / "nowhere")
    with says(f"{tmp_path}: not the MHEALTH layout: it needs files like mHealth_subject1.log"):
        read_mhealth(tmp_path, ReadOptions())


def test_a_file_without_a_usable_line_says_why(log, says):
    log.write_text("1\t2\n3\n")
    with says(
        f"{log}: none of 2 rows can be used (2 x wrong number of columns): check that this is the right format and that "
        "the columns are the right ones"
    ):
        read_mhealth(log, ReadOptions())


def test_the_unit_can_be_stated(log):
    (recording,) = read_mhealth(log, ReadOptions(units=("g", *UNITS[1:]))).recordings
    assert recording.units == ("g", *UNITS[1:])
    assert "units" in READER.options
