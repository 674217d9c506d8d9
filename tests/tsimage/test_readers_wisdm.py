import importlib.util
import sys
import tarfile

import numpy as np
import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tsimage.cutting import Segment
from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions
from tsimage.readers.wisdm import READER, USERS, read_wisdm
from tsimage.readers.wisdm_records import KINDS, parse

FILE = "WISDM_ar_v1.1_raw.txt"


@pytest.fixture
def read(tmp_path):
    """Read a text in the layout of the set."""

    def _read(text, **options):
        path = tmp_path / FILE
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_wisdm(path, ReadOptions(**options))

    return _read


@pytest.fixture(scope="module")
def reading():
    folder = REPOSITORY / "experiments" / "benchmarks"
    spec = importlib.util.spec_from_file_location("reading", folder / "reading.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    sys.modules["reading"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(folder))
    del sys.modules["reading"], sys.modules["real"]


def rows(*records):
    return "".join(f"{record}\n" for record in records)


def test_real_lines(data_dir):
    path = data_dir / "format-samples" / "wisdm-v1.1" / "head5.txt"
    assert READER.accepts(path)
    found = READER.read(path, ReadOptions())
    (recording,) = found.recordings
    assert (recording.id, recording.subject, recording.rate_hz) == ("user33", "user33", 20)
    assert (recording.channels, recording.units) == (("acc-x", "acc-y", "acc-z"), ("m/s^2",) * 3)
    expected = [
        [-0.6946377, 5.012288, 4.903325, -0.61291564, -1.1849703],
        [12.680544, 11.264028, 10.882658, 18.496431, 12.108489],
        [0.50395286, 0.95342433, -0.08172209, 3.0237172, 7.205164],
    ]
    np.testing.assert_array_equal(recording.values, np.float32(expected))
    assert recording.segments == (Segment(start=0, stop=5, label="Jogging"),)
    assert recording.breaks == ()
    assert (found.window, found.overlap) == (200, 0)
    # steps of 99.945, 49.896, 110.107 and 109.985 ms
    assert str(found.report) == (
        "Read 5 rows: kept 5, rejected 0\n"
        "The rate is taken to be 20 Hz, as declared; time stamps step by 105 ms (9.527 Hz) at the median"
    )


def test_planted_faults_are_found_line_by_line(reading, tmp_path):
    content, faults, n_rows = reading.planted(20_000)
    (tmp_path / FILE).write_bytes(content)
    report = read_wisdm(tmp_path / FILE, ReadOptions()).report
    got = pd.DataFrame([row[1:] for row in report.rows()], columns=["line", "treatment", "reason"])
    columns = list(got.columns)
    pd.testing.assert_frame_equal(
        got.sort_values(columns, ignore_index=True),
        faults[columns].sort_values(columns, ignore_index=True),
        check_dtype=False,
    )
    assert faults["reason"].nunique() == 19
    assert faults["reason"].value_counts()[["empty line", "time leap"]].tolist() == [10, 28]
    assert report.rows_read == n_rows
    assert report.rows_rejected == (faults["treatment"] == "rejected").sum()


GOOD = "33,Jogging,49105962326000,1.5,2,3;"


@pytest.mark.parametrize(
    ("line", "treatment", "kinds"),
    [
        ("", "rejected", {"empty line": 1}),
        (" \t", "rejected", {"empty line": 1}),
        (";;", "rejected", {"empty line": 1}),
        (",,;", "rejected", {"empty line": 1}),
        ("33,Jogging,5,1,2;", "rejected", {"missing fields": 1}),
        ("33,,5,1,2,3;", "rejected", {"missing fields": 1}),
        ("33,Jogging,5,,2,3;", "rejected", {"missing fields": 1}),
        ("33,Jogging,5,1,2,;", "rejected", {"missing z": 1}),
        ("33,Jogging,5,1,2,,;", "rejected", {"missing z": 1}),
        ("33,Jogging,5,1,2,3,4;", "rejected", {"extra fields": 1}),
        ("33,Jogging,5,1,2,3.033,Jogging,6,1,2,3;", "rejected", {"fused records": 2}),
        ("0,Jogging,5,1,2,3;", "rejected", {"unknown user": 1}),
        ("37,Jogging,5,1,2,3;", "rejected", {"unknown user": 1}),
        ("-1,Jogging,5,1,2,3;", "rejected", {"unknown user": 1}),
        ("x,Jogging,5,1,2,3;", "rejected", {"unknown user": 1}),
        ("33,jogging,5,1,2,3;", "rejected", {"unknown activity": 1}),
        ("33,Jog\xffging,5,1,2,3;", "rejected", {"unknown activity": 1}),
        ("33,Jogging,5.5,1,2,3;", "rejected", {"not a number": 1}),
        ("33,Jogging,5,1,2,3.0.1;", "rejected", {"not a number": 1}),
        ("33,Jogging,5,1_0,2,3;", "rejected", {"not a number": 1}),
        ("33,Jogging,5,\u0661,2,3;", "rejected", {"not a number": 1}),
        ("33,Jogging,5,0x1,2,3;", "rejected", {"not a number": 1}),
        ("33,Jogging,5,nan,2,3;", "rejected", {"not finite": 1}),
        ("33,Jogging,5,1,-Infinity,3;", "rejected", {"not finite": 1}),
        ("33,Jogging,5,1,2,1e39;", "rejected", {"not finite": 1}),
        ("33,Jogging,5,1,2," + "9" * 400 + ";", "rejected", {"not finite": 1}),
        ("33,Jogging,0,0,0,0.0;", "rejected", {"zero record": 1}),
        ("33,Jogging,0,0,0,0.0", "rejected", {"zero record": 1}),
        (GOOD, "rejected", {"repeated record": 1}),
        ("33,Jogging,49106000000000,1,2,3,;", "mended", {"trailing comma": 1}),
        ("33,Jogging,49106000000000,1,2,3;,", "mended", {"trailing comma": 1}),
        ("33,Jogging,49106000000000,1,2,3;;", "mended", {"trailing semicolon": 1}),
        ("33,Jogging,49106000000000,1,2,3", "mended", {"no closing semicolon": 1}),
        ("33,Jogging,49106000000000,1,2,3,", "mended", {"no closing semicolon": 1, "trailing comma": 1}),
        (
            "33,Jogging,49106000000000,1,2,3;33,Jogging,49106050000000,1,2,3;",
            "mended",
            {"records run together": 1},
        ),
        ("33,Jogging,0,1,2,3;", "noted", {"zero time": 1}),
        ("33,Jogging,49105962326000,1,2,3;", "noted", {"repeated time": 1}),
        ("33,Jogging,49105912326000,1,2,3;", "noted", {"backward time": 1}),
        ("33,Jogging,49106462326001,1,2,3;", "noted", {"time leap": 1}),
        ("33,Jogging,49105462325999,1,2,3;", "noted", {"time leap": 1, "backward time": 1}),
        ("33,Jogging,49106462326000,1,2,3;", "noted", {}),
        (" 33, Jogging ,49106000000000,1.5E0,+2,.3 ;", "noted", {}),
        ("33,Jogging,49106000000000,1.5E-3,2.,-3;\r", "noted", {}),
    ],
)
def test_one_fault(read, line, treatment, kinds):
    found = read(rows(GOOD, line))
    assert found.report.counts() == kinds
    assert found.report.counts(treatment) == kinds
    assert {number for _, number, *_ in found.report.rows()} <= {2}
    kept = found.recordings[0].values.shape[1]
    assert found.report.rows_kept == kept == (1 if treatment == "rejected" else 3 if "together" in str(kinds) else 2)


def test_a_mend_counts_only_where_the_record_is_kept(read):
    report = read(rows(GOOD, "33,Jogging,5,1,2,;;", "33,Jogging,5,1,2;33,Jogging,0,0,0,0;;")).report
    assert report.counts() == {"missing fields": 1, "missing z": 1, "zero record": 1}
    assert (report.rows_read, report.rows_kept) == (4, 1)


def test_the_end_of_the_file(read):
    assert read(GOOD + "\n" + GOOD.replace("2,3;", "7,3;")).report.rows_kept == 2
    report = read(GOOD + "\n33,Jogging,49106000000000,1,2,3.1").report
    assert report.counts() == {"cut off at the end of the file": 1}
    assert (report.rows_read, report.rows_kept) == (2, 1)


def test_values_of_mended_records(read):
    text = rows(
        "1,Sitting,50000000,0.1,0.2,0.3,;1,Sitting,100000000,-8.1722E-4,2E1,1e-3;;",
        "1,Sitting,150000000,-1,+2,.5",
    )
    (recording,) = read(text).recordings
    expected = np.float32([[0.1, -8.1722e-4, -1], [0.2, 20, 2], [0.3, 1e-3, 0.5]])
    np.testing.assert_array_equal(recording.values, expected)


def test_a_byte_order_mark_and_carriage_returns_are_no_faults(read):
    report = read(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n").report
    assert (report.rows_read, report.faults) == (1, ())


def test_recordings_segments_and_breaks(read):
    """Two people; a leap, a lost record, an empty line, a change of activity and a return of the first person."""

    def record(user, activity, step):
        return f"{user},{activity},{10**12 + step * 50_000_000},{step},0.5,9.5;"

    text = rows(
        record(7, "Walking", 0),
        record(7, "Walking", 1),
        "",
        record(7, "Walking", 2),
        record(7, "Walking", 3)[:-4] + ";",  # z is missing
        record(7, "Walking", 4),
        record(7, "Walking", 15),  # 0.55 s later
        record(7, "Sitting", 16),
        record(3, "Sitting", 5),
        record(3, "Sitting", 6),
        record(7, "Sitting", 17),
    )
    found = read(text)
    assert found.class_names == ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")
    seven, three = found.recordings
    assert (seven.id, three.id) == ("user07", "user03")
    assert seven.values[0].tolist() == [0, 1, 2, 4, 15, 16, 17]
    assert [(s.start, s.stop, s.label) for s in seven.segments] == [
        (0, 3, "Walking"),
        (3, 4, "Walking"),
        (4, 5, "Walking"),
        (5, 6, "Sitting"),
        (6, 7, "Sitting"),
    ]
    assert seven.breaks == (3, 4, 5, 6)
    assert [(s.start, s.stop, s.label) for s in three.segments] == [(0, 2, "Sitting")]
    assert three.breaks == ()
    assert [row[1:] for row in found.report.rows()] == [
        (3, "rejected", "empty line"),
        (5, "rejected", "missing z"),
        (7, "noted", "time leap"),
    ]


def test_zero_times_are_bridged(read):
    times = (10**12, 0, 0, 10**12 + 150_000_000)
    found = read(rows(*(f"1,Walking,{t},{i},0,9;" for i, t in enumerate(times))))
    assert found.report.counts() == {"zero time": 2}
    assert found.recordings[0].breaks == ()


def test_folder_and_archive(tmp_path):
    folder = tmp_path / "WISDM_ar_v1.1"
    folder.mkdir()
    (folder / FILE).write_text(rows(GOOD))
    (folder / "readme.txt").write_text("no records\n")
    archive = tmp_path / "WISDM_ar_latest.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    for path in (folder, tmp_path, archive):
        assert READER.accepts(path)
        assert len(READER.read(path, ReadOptions()).recordings) == 1
    assert not READER.accepts(folder / "readme.txt")
    assert not READER.accepts(tmp_path / "absent")


def test_errors(read, says, tmp_path):
    path = tmp_path / FILE
    with says(
        f"{FILE}, line 2: missing z ('33,Jogging,5,1,2,;'): mend it, or pass faults 'reject' to leave out such rows and "
        "count them"
    ):
        read(rows(GOOD, "33,Jogging,5,1,2,;", "33,Jogging,5;", ""), faults="raise")
    with says(
        f"{path}: none of 2 rows can be used (1 x empty line, 1 x unknown activity): check that this is the right format "
        "and that the columns are the right ones"
    ):
        read(rows("33,Swimming,5,1,2,3;", ""))
    with says(
        f"{path}: none of 0 rows can be used (there are none): check that this is the right format and that the columns "
        "are the right ones"
    ):
        read("")
    (tmp_path / "empty").mkdir()
    with says(f"{tmp_path / 'empty'}: 0 files {FILE} are in it: give the path of the one to read"):
        read_wisdm(tmp_path / "empty", ReadOptions())


@pytest.mark.parametrize("seed", range(5))
def test_mutated_bytes_are_all_accounted_for(seed):
    rng = np.random.default_rng(seed)
    text = rows(*(f"{i % 4 + 1},Walking,{(i + 1) * 50_000_000},{i}.5,-0.25,9.75;" for i in range(400)))
    content = np.frombuffer(text.encode(), np.uint8).copy()
    places = rng.integers(0, len(content), 300)
    content[places] = rng.choice(np.frombuffer(b";,\n\r .-0eEnX\x00\xff\"'", np.uint8), 300)
    ledger = Ledger()
    records = parse(content.tobytes(), "f", ledger, USERS, ("Walking",))
    report = ledger.report()
    assert report.rows_kept == len(records.lines) == len(records.values) > 150
    assert np.isfinite(records.values).all()
    assert set(report.counts("rejected")) <= set(KINDS)
    lines = content.tobytes().split(b"\n")
    for i in rng.integers(0, len(records.lines), 20):  # the first record of an unharmed line is that line
        line = lines[records.lines[i] - 1].rstrip(b"\r")
        if line.count(b";") == 1 and line.endswith(b";") and b" " not in line:
            assert float(line.split(b",")[3]) == records.values[i, 0]


def test_the_unit_can_be_stated(read):
    (recording,) = read("33,Jogging,49105962326000,-0.7,12.7,0.5;\n", units="g").recordings
    assert recording.units == ("g",) * 3
    assert "units" in READER.options


def test_a_record_of_a_megabyte_is_one_row(tmp_path):
    path = tmp_path / "WISDM_ar_v1.1_raw.txt"
    path.write_text("33,Jogging,1,2,3,4;\n" + "1," * 500_000 + ";\n33,Jogging,50000001,2,3,4;\n")
    report = READER.read(path, ReadOptions()).report
    assert (report.rows_read, report.counts("rejected")) == (3, {"extra fields": 1})
