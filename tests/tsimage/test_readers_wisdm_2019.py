import zipfile

import numpy as np
import pytest

from tsimage.readers import ReadOptions
from tsimage.readers.wisdm_2019 import ACTIVITIES, READER

START = 252_207_666_810_782


def text(subject, times_ms, activity="A", value=0.0):
    letters = activity if len(activity) > 1 else activity * len(times_ms)
    return "".join(
        f"{subject},{letter},{START + int(t * 1e6)},{value + i},8.793503,1.0550842;\n"
        for i, (t, letter) in enumerate(zip(times_ms, letters, strict=True))
    )


@pytest.fixture
def layout(tmp_path):
    """Write the parts given as (subject, sensor, device): text below `raw`; return the folder of the set."""
    root = tmp_path / "wisdm-dataset"

    def _layout(parts):
        for (subject, sensor, device), content in parts.items():
            folder = root / "raw" / device / sensor
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"data_{subject}_{sensor}_{device}.txt").write_text(content)
        (root / "activity_key.txt").write_text("walking = A\n")
        (root / "arff_files").mkdir(exist_ok=True)
        (root / "arff_files" / "data_1600_accel_phone.arff").write_text("@relation x\n")
        return root

    return _layout


GRID = np.arange(6) * 50.0


@pytest.fixture
def whole(layout):
    return layout(
        {
            (subject, sensor, device): text(subject, GRID, value=100 * subject)
            for subject in (1600, 1601)
            for sensor in ("accel", "gyro")
            for device in ("phone", "watch")
        }
    )


def test_eighteen_activities():
    assert len(ACTIVITIES) == 18
    assert "".join(ACTIVITIES) == "ABCDEFGHIJKLMOPQRS"
    assert (ACTIVITIES["A"], ACTIVITIES["M"], ACTIVITIES["O"], ACTIVITIES["S"]) == (
        "walking",
        "kicking",
        "catch",
        "folding",
    )


def test_published_line(tmp_path):
    path = tmp_path / "data_1600_accel_phone.txt"
    path.write_text("1600,A,252207666810782,-0.36476135,8.793503,1.0550842;\n")
    assert READER.accepts(path)
    found = READER.read(path, ReadOptions())
    (recording,) = found.recordings
    assert recording.values.tolist() == np.float32([[-0.36476135], [8.793503], [1.0550842]]).tolist()
    assert (recording.id, recording.subject, recording.rate_hz) == ("1600-phone", "1600", 20)
    assert (found.window, found.overlap) == (200, 0)


def test_watch_accelerometer_unless_asked(whole):
    found = READER.read(whole, ReadOptions())
    assert [r.id for r in found.recordings] == ["1600-watch", "1601-watch"]
    assert found.recordings[0].channels == ("watch-acc-x", "watch-acc-y", "watch-acc-z")
    assert found.recordings[0].units == ("m/s^2",) * 3
    assert found.class_names == tuple(ACTIVITIES.values())
    assert str(found.report) == (
        "Read 12 rows: kept 12, rejected 0\n"
        "Read: watch-acc; left out: phone-acc, watch-gyro, phone-gyro (option channels 'phone-acc*')"
    )


@pytest.mark.parametrize(
    ("channels", "read", "unit"),
    [
        (("phone-acc*",), "phone-acc", "m/s^2"),
        (("watch-gyro-x", "watch-gyro-z"), "watch-gyro", "rad/s"),
    ],
)
def test_channels_choose_the_stream(whole, channels, read, unit):
    (recording, _) = READER.read(whole, ReadOptions(channels=channels)).recordings
    assert recording.channels == tuple(f"{read}-{axis}" for axis in "xyz")
    assert recording.units == (unit,) * 3


def test_folder_chooses_the_stream(whole):
    found = READER.read(whole / "raw" / "phone" / "gyro", ReadOptions())
    assert found.recordings[0].channels[0] == "phone-gyro-x"
    assert found.report.notes == ("Read: phone-gyro",)


def test_archive(whole, tmp_path):
    archive = tmp_path / "wisdm-dataset.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in whole.rglob("*.txt"):
            file.write(path, path.relative_to(whole.parent))
    assert READER.accepts(archive)
    assert READER.accepts(whole)
    assert len(READER.read(archive, ReadOptions()).recordings) == 2
    assert not READER.accepts(whole / "activity_key.txt")
    assert not READER.accepts(tmp_path / "absent")


def test_both_sensors_are_joined_by_the_nearest_time(layout):
    """Gyroscope 10 ms later, one sample lost, one 30 ms late, one beyond the end, an activity of its own."""
    gyro = [10, 60, 160, 230, 260, 310]
    root = layout(
        {
            (1600, "accel", "watch"): text(1600, GRID, "AAAAAB"),
            (1600, "gyro", "watch"): text(1600, gyro, value=50),
        }
    )
    found = READER.read(root, ReadOptions(channels=("watch-*",)))
    (recording,) = found.recordings
    assert recording.channels == tuple(f"watch-{s}-{a}" for s in ("acc", "gyro") for a in "xyz")
    assert recording.units == ("m/s^2",) * 3 + ("rad/s",) * 3
    # samples at 0, 50, 100, 150, 200 ms of A: 100 has none (160 is 60 off), 200 has none (230 is 30 off)
    assert recording.values[0].tolist() == [0, 1, 3]
    assert recording.values[3].tolist() == [50, 51, 52]
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [(0, 2, "walking"), (2, 3, "walking")]
    assert recording.breaks == (2,)
    rejected = [row for row in found.report.rows() if row[2] == "rejected"]
    reason = "no sample of the other sensor within 25 ms"
    assert rejected == [
        *(("raw/watch/accel/data_1600_accel_watch.txt", line, "rejected", reason) for line in (3, 5, 6)),
        *(("raw/watch/gyro/data_1600_gyro_watch.txt", line, "rejected", reason) for line in (4, 5, 6)),
    ]
    assert found.report.rows_kept == 6


def test_segments_breaks_and_faults(layout):
    times = [*range(0, 500, 50), *range(1000, 1500, 50)]
    content = text(1600, times, "A" * 10 + "S" * 10).splitlines()
    content[3] = "1600,N,5,1,2,3;"  # N is no activity
    content[6] = content[5]
    content[7] = content[7].replace("1600,", "1601,")
    content.insert(5, "")
    root = layout({(1600, "accel", "phone"): "\n".join(content) + "\n"})
    found = READER.read(root, ReadOptions())
    (recording,) = found.recordings
    assert found.report.counts("rejected") == {
        "empty line": 1,
        "repeated record": 1,
        "unknown activity": 1,
        "unknown user": 1,
    }
    assert [row[1] for row in found.report.rows() if row[2] == "rejected"] == [4, 6, 8, 9]
    assert found.report.rows_kept == recording.values.shape[1] == 17
    assert recording.values[0].tolist() == [0, 1, 2, 4, 5, 8, 9, *range(10, 20)]
    assert recording.breaks == (3, 5, 7)
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [
        (0, 3, "walking"),
        (3, 5, "walking"),
        (5, 7, "walking"),
        (7, 17, "folding"),
    ]


def test_a_device_at_another_rate_says_so(layout):
    root = layout({(1600, "accel", "phone"): text(1600, np.arange(30) * 10.0)})
    assert READER.read(root, ReadOptions()).recordings[0].rate_hz == 100
    root = layout({(1600, "accel", "phone"): text(1600, np.arange(30) * 50.354)})
    assert READER.read(root, ReadOptions()).recordings[0].rate_hz == 20


def test_subjects_without_a_sensor_are_named(layout):
    root = layout(
        {
            (1600, "accel", "watch"): text(1600, GRID),
            (1601, "accel", "watch"): text(1601, GRID),
            (1601, "gyro", "watch"): text(1601, GRID),
        }
    )
    found = READER.read(root, ReadOptions(channels=("watch-*",)))
    assert [r.id for r in found.recordings] == ["1601-watch"]
    assert "Subject 1600 has no watch-gyro, and is left out" in found.report.notes


def test_errors(whole, layout, says, tmp_path):
    with says(
        f"{whole}: the channels *-acc-x are of phone and watch, whose clocks differ: name those of one device ('watch-*' "
        "or 'phone-*')"
    ):
        READER.read(whole, ReadOptions(channels=("*-acc-x",)))
    with says(
        "unknown channel 'watch-acc-w': did you mean 'watch-acc-x'? Valid: watch-acc-x, watch-acc-y, watch-acc-z"
    ):
        READER.read(whole / "raw" / "watch" / "accel", ReadOptions(channels=("watch-acc-w",)))
    (tmp_path / "empty").mkdir()
    with says(
        f"{tmp_path / 'empty'}: not the layout of WISDM 2019: it needs files like "
        "raw/watch/accel/data_1600_accel_watch.txt"
    ):
        READER.read(tmp_path / "empty", ReadOptions())
    twice = whole / "raw" / "data_1600_accel_watch.txt"
    twice.write_text(text(1600, GRID))
    with says(
        f"{whole}: raw/data_1600_accel_watch.txt and raw/watch/accel/data_1600_accel_watch.txt are the same part of the "
        "set: leave one of them out"
    ):
        READER.read(whole, ReadOptions())
    twice.unlink()
    layout({(s, "accel", "watch"): "nothing\n" for s in (1600, 1601)})
    with says(
        f"{whole}: none of 2 rows can be used (2 x missing fields): check that this is the right format and that the "
        "columns are the right ones"
    ):
        READER.read(whole, ReadOptions())


def test_the_unit_can_be_stated(whole):
    options = ReadOptions(channels=("watch-*",), units=("g",) * 3 + ("deg/s",) * 3)
    assert {r.units for r in READER.read(whole, options).recordings} == {("g",) * 3 + ("deg/s",) * 3}
    assert "units" in READER.options
