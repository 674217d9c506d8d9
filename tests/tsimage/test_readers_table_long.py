import numpy as np
import pytest

import tsimage
from tests.tsimage.test_readers_table import rejected, seen

LONG = {"layout": "long", "channel_column": "axis", "value_column": "v", "time": "t", "label": "y", "window": "2"}


@pytest.mark.parametrize("order", ["by sample", "by channel"])
def test_a_long_table_gives_the_windows_of_the_wide_one(csv, order):
    samples = [(0, 5, 10), (1, 6, 11), (2, 7, 12), (3, 8, 13)]
    rows = [(t, axis, v) for t, *vs in samples for axis, v in zip("zx", vs, strict=True)]
    if order == "by channel":
        rows.sort(key=lambda row: row[1])
    path = csv("t,axis,v,y", *[f"{t},{axis},{v},a" for t, axis, v in rows])
    windows = tsimage.load(path, **LONG, channels=("x", "z"))
    assert windows.values.tolist() == [[[10, 11], [5, 6]], [[12, 13], [7, 8]]]
    only = tsimage.load(path, **LONG, channels="z")
    assert only.values.tolist() == [[[5, 6]], [[7, 8]]]
    assert "4 rows of the channel x were not asked for and are not counted" in only.read_report.notes
    assert (only.read_report.rows_read, only.read_report.rows_kept) == (4, 4)


def test_rows_of_channels_not_asked_for_are_neither_read_nor_checked(csv, tmp_path):
    for name in "mn":
        rows = [f"{t},{axis},{t},a" for t in range(10) for axis in "xyzq"]
        rows[3] = "0,q,broken,a"
        rows[7] = "never,q,1,a"
        rows[9] = "2,y,broken,a"
        csv("t,axis,v,y", *rows, name=f"set/{name}.csv")
    windows = tsimage.load(tmp_path / "set", **LONG, channels=("x", "y", "z"))
    report = windows.read_report
    assert "20 rows of the channel q were not asked for and are not counted" in report.notes
    assert (report.rows_read, report.rows_kept) == (60, 54)
    assert report.counts() == {"gap": 2, "incomplete sample": 4, "no number": 2}


def test_the_header_of_a_long_table_may_be_commented(csv):
    rows = [f"{t},{axis},{t},a" for t in range(4) for axis in "xz"]
    windows = tsimage.load(csv("# t,axis,v,y", *rows), **LONG, channels=("x", "z"))
    assert windows.values.tolist() == [[[0, 1], [0, 1]], [[2, 3], [2, 3]]]


def test_a_channel_twice_is_no_break_of_a_long_table(csv):
    rows = [f"{t},{axis},{t},a" for t in range(4) for axis in "xz" for _ in range(2)]
    windows = tsimage.load(csv("t,axis,v,y", *rows), **LONG | {"window": "4"}, channels=("x", "z"))
    assert windows.read_report.counts() == {"repeated row": 8}  # of both channels: whole samples were written twice
    assert windows.values.tolist() == [[[0, 1, 2, 3], [0, 1, 2, 3]]]
    rows = [f"{t},{axis},{t},a" for t in range(4) for axis in "xxz"]
    windows = tsimage.load(csv("t,axis,v,y", *rows), **LONG | {"window": "4"}, channels=("x", "z"))
    assert windows.read_report.counts() == {"repeated channel": 4}
    assert windows.values.tolist() == [[[0, 1, 2, 3], [0, 1, 2, 3]]]


def test_faults_of_a_long_table_are_counted_row_by_row(csv):
    rows = [f"{t},{axis},{t},a" for t in range(16) for axis in "xyz"]
    rows[4] = "1,y,oops,a"  # line 6; its sample lacks y: lines 5 and 7 go with it
    rows[9] = "3,y,3,a"  # line 11: y of 3 s is there twice (line 12), and x is not: 11 and 13 go
    rows[15] = "5,,5,a"  # line 17
    windows = tsimage.load(csv("t,axis,v,y", *rows), **LONG, channels=("x", "y", "z"))
    assert rejected(windows) == [
        ("a.csv", 5, "incomplete sample"),
        ("a.csv", 6, "no number"),
        ("a.csv", 7, "incomplete sample"),
        ("a.csv", 11, "incomplete sample"),
        ("a.csv", 12, "repeated channel"),
        ("a.csv", 13, "incomplete sample"),
        ("a.csv", 17, "no channel"),
        ("a.csv", 18, "incomplete sample"),
        ("a.csv", 19, "incomplete sample"),
    ]
    assert windows.read_report.rows_kept == 39
    assert windows.cut_report.samples == 13
    assert [x for _, _, x in seen(windows)] == [[6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]


def test_a_long_table_needs_its_columns_named_and_a_wide_one_must_not(csv, says):
    path = csv("t,axis,v,y", "0,x,0,a")
    with says(
        f"{path}: a long table has one row per sample and channel: name its columns of the channel, the value and the time "
        "(missing are the options value-column, time)"
    ):
        tsimage.load(path, layout="long", channels="x", label="y", rate=1, channel_column="axis")
    with says(f"{path}: channel-column and value-column are for long tables: pass layout 'long', or leave them out"):
        tsimage.load(path, channels="v", label="y", time="t", channel_column="axis")
    with says(f"unknown channel in column 'axis' of {path} 'q': Valid: x"):
        tsimage.load(path, **LONG, channels="q")


def test_rows_of_a_long_table_after_a_clock_set_back_are_samples_of_their_own(csv):
    first = [f"{t},{c},{'bad' if (t, c) == (1, 'y') else t},w" for t in range(20) for c in "xy"]
    second = [f"{t},{c},{100 + t},w" for t in range(20) for c in "xy"]
    windows = tsimage.load(csv("t,axis,v,y", *first, *second), **LONG, channels=("x", "y"))
    assert windows.values[:, 0].ravel().tolist() == [*range(2, 20), *range(100, 120)]
    np.testing.assert_array_equal(windows.values[:, 0], windows.values[:, 1])
    assert windows.read_report.rows_rejected == 2  # the bad one, and x of its sample


@pytest.mark.parametrize("lacks", [("x", 3), ("y", 3), ("x", 0), ("z", 7)])
def test_a_sample_that_one_channel_of_a_long_table_lacks_stays_in_its_place(csv, lacks):
    by_channel = [f"{t},{c},{10 * n + t},a" for n, c in enumerate("xyz") for t in range(8) if (c, t) != lacks]
    path = csv("t,axis,v,y", *by_channel)
    windows = tsimage.load(path, **LONG | {"channels": tuple("xyz"), "window": "8", "missing": "mask"})
    expected = np.arange(8) + 10.0 * np.arange(3)[:, None]
    expected["xyz".index(lacks[0]), lacks[1]] = np.nan
    np.testing.assert_array_equal(windows.values, expected[None])
    assert windows.read_report.counts("rejected") == {}


def test_a_long_table_of_a_coarse_clock_keeps_every_sample(csv):
    rows = [f"{t // 4},{c},{t + 100 * (c == 'y')},w" for t in range(24) for c in "xy"]
    windows = tsimage.load(csv("t,axis,v,y", *rows), **LONG, channels=("x", "y"))
    assert windows.rate_hz == 4.0
    assert windows.values[:, 0].ravel().tolist() == list(range(24))
    assert windows.values[:, 1].ravel().tolist() == list(range(100, 124))
    assert windows.read_report.rows_rejected == 0
