import tarfile

import numpy as np
import pytest

import tsimage
from tsimage.cutting import cut
from tsimage.readers import ReadOptions
from tsimage.readers.pamap2 import ACTIVITIES, COLUMNS, DEFAULT_CHANNELS, READER, UNITS, read_pamap2


def line(t, activity, heart="NaN", **columns):
    """Column c (from 0) of sample t is 100 c + t; the orientation is NaN; `c7="NaN"` replaces column 7."""
    cells = [f"{8.38 + t / 100:.2f}", str(activity), heart, *(str(100 * c + t) for c in range(3, 54))]
    for place in range(3):
        cells[16 + 17 * place : 20 + 17 * place] = ["NaN"] * 4
    for name, value in columns.items():
        cells[int(name[1:])] = value
    return " ".join(cells) + "\n"


@pytest.fixture
def folder(tmp_path):
    """One person, 12 samples: 2 transient, 5 lying, 5 rope jumping; heart rate in every fourth."""
    root = tmp_path / "PAMAP2_Dataset"
    (root / "Protocol").mkdir(parents=True)
    rows = [line(t, (0, 0, 1, 1, 1, 1, 1, 24, 24, 24, 24, 24)[t], "NaN" if t % 4 else "104") for t in range(12)]
    (root / "Protocol" / "subject101.dat").write_text("".join(rows))
    return root


def replace_lines(folder, **lines):
    path = folder / "Protocol" / "subject101.dat"
    rows = path.read_text().splitlines(keepends=True)
    for name, text in lines.items():
        rows[int(name[4:]) - 1] = text
    path.write_text("".join(rows))


def test_the_real_row(data_dir):
    path = data_dir / "format-samples" / "pamap2" / "subject101.row1.dat"
    assert READER.accepts(path)
    read = read_pamap2(path, ReadOptions(channels=("*",)))
    (recording,) = read.recordings
    first = dict(zip(recording.channels, recording.values[:, 0].tolist(), strict=True))
    assert len(first) == 40
    expected = {
        "heart-rate": 104,
        "hand-temperature": 30,
        "hand-acc-x": 2.37223,
        "hand-acc6-z": 3.35465,
        "hand-gyro-x": -0.0922174,
        "hand-mag-z": -5.58905,
        "chest-temperature": 31.8125,
        "chest-acc-y": 9.80003,
        "ankle-temperature": 30.3125,
        "ankle-acc-x": 9.65918,
        "ankle-mag-z": -58.1438,
    }
    assert {name: first[name] for name in expected} == pytest.approx(expected)
    assert recording.segments == ()  # transient
    assert (read.report.rows_read, read.report.faults) == (1, ())


def test_default_channels_follow_the_columns(folder):
    read = read_pamap2(folder, ReadOptions())
    (recording,) = read.recordings
    assert recording.channels == DEFAULT_CHANNELS
    assert len(DEFAULT_CHANNELS) == 27
    assert DEFAULT_CHANNELS[:4] == ("hand-acc-x", "hand-acc-y", "hand-acc-z", "hand-gyro-x")
    assert recording.units[:9] == ("m/s^2",) * 3 + ("rad/s",) * 3 + ("uT",) * 3
    # counted from 1, the readme lists: 4-20 hand, 21-37 chest, 38-54 ankle; in each 2-4 acc of 16 g, 8-10 gyro, 11-13 mag
    columns = [place + offset - 1 for place in (4, 21, 38) for offset in (1, 2, 3, 7, 8, 9, 10, 11, 12)]
    np.testing.assert_array_equal(recording.values[:, 0], 100 * np.array(columns))
    assert COLUMNS["heart-rate"] == 2
    assert UNITS["heart-rate"] == "bpm"
    assert UNITS["ankle-temperature"] == "degC"
    assert len(ACTIVITIES) == 18


def test_stretches_classes_and_rate(folder):
    read = read_pamap2(folder, ReadOptions())
    (recording,) = read.recordings
    assert (recording.id, recording.subject, recording.rate_hz) == ("Protocol/subject101", "subject101", 100)
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [(2, 7, "lying"), (7, 12, "rope jumping")]
    assert read.class_names == ("lying", "rope jumping")
    assert recording.breaks == ()
    assert (read.report.rows_read, read.report.faults) == (12, ())
    assert cut(read.recordings, "0.02s", class_names=read.class_names).start.tolist() == [2, 4, 7, 9]


def test_rows_that_miss_a_chosen_channel_are_rejected_and_break_the_recording(folder):
    replace_lines(folder, line4=line(3, 1, c4="NaN"), line9=line(8, 24, c38="NaN"), line10=line(9, 24, c7="NaN"))
    read = read_pamap2(folder, ReadOptions())
    (recording,) = read.recordings
    # column 4 is hand-acc-x; 7 is hand-acc6-x and 38 is ankle-acc-x
    assert recording.values[0].tolist() == [400 + t for t in range(12) if t not in (3, 8)]
    assert recording.breaks == (3, 7)
    assert [(s.start, s.stop) for s in recording.segments] == [(2, 3), (3, 6), (6, 7), (7, 10)]
    (fault,) = read.report.faults
    assert (fault.kind, fault.treatment, fault.lines.tolist(), fault.example) == (
        "missing value",
        "rejected",
        [4, 9],
        "hand-acc-x",
    )
    assert read.report.rows_kept == recording.values.shape[1] == 10
    other = read_pamap2(folder, ReadOptions(channels=("hand-acc6-*",)))
    assert other.recordings[0].channels == ("hand-acc6-x", "hand-acc6-y", "hand-acc6-z")
    assert [fault.lines.tolist() for fault in other.report.faults] == [[10]]


def test_missing_values_are_kept_and_flagged_on_request(folder):
    replace_lines(folder, line4=line(3, 1, c4="NaN"))
    read = read_pamap2(folder, ReadOptions(missing="mask"))
    (recording,) = read.recordings
    assert np.argwhere(np.isnan(recording.values)).tolist() == [[0, 3]]
    assert recording.breaks == ()
    (fault,) = read.report.faults
    assert (fault.kind, fault.treatment, fault.lines.tolist()) == ("missing value", "noted", [4])
    assert read.report.rows_kept == 12
    windows = cut(read.recordings, 2, class_names=read.class_names, missing=True)
    assert windows.gaps.any(axis=1).tolist() == [True, False, False, False]


def test_the_heart_rate_is_missing_in_between(folder):
    read = read_pamap2(folder, ReadOptions(channels=("heart-rate",), missing="mask"))
    assert np.isfinite(read.recordings[0].values[0]).nonzero()[0].tolist() == [0, 4, 8]
    kept = read_pamap2(folder, ReadOptions(channels=("heart-rate",)))
    assert kept.report.counts("rejected") == {"missing value": 9}


def test_faults_are_counted_each_with_its_reason(folder):
    path = folder / "Protocol" / "subject101.dat"
    path.write_text("".join(line(t, 1 if t < 50 else 24) for t in range(100)))
    replace_lines(
        folder,
        line3="1 2 3\n",
        line5=line(4, 8),  # no activity of the set
        line7=line(6, 1, c10="six"),
        line61=line(60, 24, c0="8.97"),  # the time of the row before
    )
    path.write_text(path.read_text() + "\n")
    read = read_pamap2(folder, ReadOptions())
    assert [row[1:] for row in read.report.rows() if row[2] == "rejected"] == [
        (3, "rejected", "wrong number of columns"),
        (5, "rejected", "unknown activity"),
        (7, "rejected", "no number"),
        (61, "rejected", "repeated time"),
        (101, "rejected", "empty line"),
    ]
    (recording,) = read.recordings
    assert (read.report.rows_read, read.report.rows_kept) == (101, 96)
    assert recording.values[0].tolist() == [400 + t for t in range(100) if t not in (2, 4, 6, 60)]
    assert recording.breaks == (2, 3, 4, 57)


def test_a_strict_reader_stops(folder):
    replace_lines(folder, line4=line(3, 1, c4="NaN"))
    with pytest.raises(tsimage.UserError, match=r"^Protocol/subject101\.dat, line 4: missing value \('hand-acc-x'\)"):
        read_pamap2(folder, ReadOptions(faults="raise"))


def test_only_the_protocol_is_read_where_there_is_one(folder):
    (folder / "Optional").mkdir()
    (folder / "Optional" / "subject101.dat").write_text("".join(line(t, 20) for t in range(6)))
    read = read_pamap2(folder, ReadOptions())
    assert [recording.id for recording in read.recordings] == ["Protocol/subject101"]
    assert (
        "Only the folder Protocol was read; give the folder of Optional/subject101.dat to read its 1 files"
        in read.report.notes
    )
    optional = read_pamap2(folder / "Optional", ReadOptions())
    assert optional.class_names == ("playing soccer",)


def test_an_archive_equals_the_folder(folder, tmp_path):
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    assert READER.accepts(path)
    (one,), (two,) = (read_pamap2(p, ReadOptions()).recordings for p in (path, folder))
    assert one.id == two.id
    np.testing.assert_array_equal(one.values, two.values)


def test_what_is_no_pamap2_is_refused(tmp_path, says):
    (tmp_path / "other.dat").write_text("1 2\n")
    assert not READER.accepts(tmp_path)
    assert not READER.accepts(tmp_path / "other.dat")
    with says(f"{tmp_path}: not the PAMAP2 layout: it needs files like Protocol/subject101.dat"):
        read_pamap2(tmp_path, ReadOptions())


def test_unknown_channels_are_refused(folder):
    with pytest.raises(tsimage.UserError, match=r"'wrist-acc-x'.*hand-acc-x"):
        read_pamap2(folder, ReadOptions(channels=("wrist-acc-x",)))


def test_no_usable_row_says_why(folder, says):
    (folder / "Protocol" / "subject101.dat").write_text("1 2 3\n")
    with says(
        f"{folder}: none of 1 rows can be used (1 x wrong number of columns): check that this is the right format and that "
        "the columns are the right ones"
    ):
        read_pamap2(folder, ReadOptions())


def test_parts_of_one_person_are_one_person(folder):
    (folder / "Protocol" / "subject101.part2.dat").write_text("".join(line(t, 1) for t in range(6)))
    read = read_pamap2(folder, ReadOptions())
    assert [(r.id, r.subject) for r in read.recordings] == [
        ("Protocol/subject101", "subject101"),
        ("Protocol/subject101.part2", "subject101"),
    ]


def test_the_unit_can_be_stated(folder, says):
    (recording,) = read_pamap2(folder, ReadOptions(channels=("hand-acc-*",), units="g")).recordings
    assert recording.units == ("g",) * 3
    with says("2 units for 3 channels: give one for all or one for each"):
        read_pamap2(folder, ReadOptions(channels=("hand-acc-*",), units=("g", "g")))
    assert "units" in READER.options
