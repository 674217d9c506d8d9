import numpy as np
import pytest

import tsimage
from tests.tsimage.test_readers_table import READ, TIMED, rejected, seen


@pytest.mark.parametrize(
    ("row", "kind", "example"),
    [
        ("2,,a", "missing value", "x is empty"),
        ("2,NaN,a", "missing value", "x is empty"),
        ("2,n/a,a", "missing value", "x is empty"),
        ("2,oops,a", "no number", "x = oops"),
        ("2,1_000,a", "no number", "x = 1_000"),
        ("2,True,a", "no number", "x = True"),
        ("2,inf,a", "infinite value", "x = inf"),
        ("2,-1e39,a", "infinite value", "x = -1e+39"),
        ("2,5,", "no label", "y is empty"),
        ("2,5,  ", "no label", "y is empty"),
        (",5,a", "no time", "t is empty"),
        ("noon,5,a", "unreadable time", "t = noon"),
        ("1,5,a", "repeated time", "1 s"),
        ("0.5,5,a", "backward time", "0.5 s"),
        ("2,5", "wrong number of columns", "2,5"),
        ("2,5,a,7", "wrong number of columns", "2,5,a,7"),
        ("", "empty line", ""),
        ("   ", "empty line", ""),
        ('2,5,"a', "unbalanced quote", '2,5,"a'),
        ("2,5\0,a", "NUL byte", r"2,5\0,a"),
    ],
)
def test_a_malformed_row_is_left_out_with_its_line_and_its_reason(csv, says, row, kind, example):
    path = csv("t,x,y", "0,0,a", "1,1,a", row, "3,3,a", "4,4,a", "5,5,a")
    windows = tsimage.load(path, **TIMED)
    (fault,) = [fault for fault in windows.read_report.faults if fault.treatment == "rejected"]
    assert (fault.file, fault.kind, fault.lines.tolist(), fault.example) == ("a.csv", kind, [4], example)
    assert (windows.read_report.rows_read, windows.read_report.rows_kept) == (6, 5)
    assert seen(windows) == [("a:0-2", "a", [0, 1]), ("a:2-4", "a", [3, 4])]  # never 1 beside 3
    said = f" ({example!r})" if example else ""
    with says(f"a.csv, line 4: {kind}{said}: mend it, or pass faults 'reject' to leave out such rows and count them"):
        tsimage.load(path, **TIMED, faults="raise")


def test_of_many_malformed_rows_each_is_counted_once_and_strict_reading_stops_at_the_first_line(csv, says):
    rows = [f"{k},{k},a" for k in range(40)]
    for kind, (lines, cell) in {
        "no number": ((3, 9, 27), "oops,oops,a"),  # the time cannot be read either: the first reason counts
        "missing value": ((5,), "3,,"),
        "wrong number of columns": ((12, 13), "1,2"),
    }.items():
        del kind
        for line in lines:
            rows[line - 2] = cell
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED)
    assert windows.read_report.counts("rejected") == {
        "unreadable time": 3,
        "wrong number of columns": 2,
        "missing value": 1,
    }
    assert [line for _, line, _ in rejected(windows)] == [3, 5, 9, 12, 13, 27]
    assert windows.read_report.rows_kept == windows.cut_report.samples == 34
    with says(
        "a.csv, line 3: unreadable time ('t = oops'): mend it, or pass faults 'reject' to leave out such rows and count them"
    ):
        tsimage.load(csv("t,x,y", *rows), **TIMED, faults="raise")


def test_without_time_a_row_left_out_is_a_break(csv):
    path = csv("x,y", "0,a", "1,a", "oops,a", "3,a", "4,a", "5,a,6", "7,a", "8,a")
    windows = tsimage.load(path, **READ)
    assert seen(windows) == [("a:0-2", "a", [0, 1]), ("a:2-4", "a", [3, 4]), ("a:4-6", "a", [7, 8])]


@pytest.mark.parametrize(("row", "breaks"), [("1,oops,a", True), ("1,5", True), ("", False), ("1,1,a", False)])
def test_with_time_too_a_row_left_out_is_a_break_unless_it_only_repeats_or_is_empty(csv, row, breaks):
    path = csv("t,x,y", "0,0,a", "1,1,a", row, "2,2,a", "3,3,a")
    whole = [("a:0-2", "a", [0, 1]), ("a:2-4", "a", [2, 3])]
    windows = tsimage.load(path, **TIMED)
    assert (seen(windows), windows.read_report.rows_rejected) == (whole, 1)
    if breaks:
        with pytest.raises(tsimage.UserError, match="has 2 samples"):
            tsimage.load(path, **TIMED | {"window": "3"})
    else:
        assert len(tsimage.load(path, **TIMED | {"window": "4"})) == 1


def assert_no_window_bridges(windows, sample):
    assert len(windows) > 2
    assert not ((windows.start < sample) & (windows.stop > sample)).any()


def test_no_window_bridges_a_row_left_out_though_a_coarse_clock_shows_no_gap(csv):
    rows = [f"{k // 50},{k},a" for k in range(400)]
    rows[110] = "2,oops,a"
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED | {"window": "20"}, rate=50)
    assert windows.read_report.counts() == {"coarse clock": 391, "no number": 1}
    assert_no_window_bridges(windows, 110)
    assert windows.values[windows.start == 110, 0, 0].tolist() == [111]


@pytest.mark.parametrize("seed", range(20))
def test_no_window_bridges_a_row_left_out_though_jitter_hides_the_gap(csv, seed):
    times = np.arange(200) / 50 + np.random.default_rng(seed).uniform(-0.008, 0.008, 200)
    rows = [f"{t:.4f},{k},a" for k, t in enumerate(times)]
    rows[110] = f"{times[110]:.4f},oops,a"
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED | {"window": "20"}, rate=50)
    assert windows.read_report.counts("rejected") == {"no number": 1}
    assert_no_window_bridges(windows, 110)


def test_rows_left_out_break_the_recording_that_they_stand_in(csv):
    rows = [f"{k},{k},a,{who}" for who in "pq" for k in range(6)]
    rows[8] = "2,oops,a,q"
    windows = tsimage.load(csv("t,x,y,who", *rows), **TIMED | {"window": "3"}, subject="who")
    assert [i for i, _, _ in seen(windows)] == ["a/p:0-3", "a/p:3-6", "a/q:2-5"]


def test_rows_written_twice_count_once(csv):
    rows = [f"{k / 50:.2f},{k % 7},a" for k in range(200) for _ in range(2)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED | {"window": "100"})
    assert windows.read_report.counts() == {"repeated row": 200}
    assert rejected(windows)[:2] == [("a.csv", 3, "repeated row"), ("a.csv", 5, "repeated row")]
    assert (windows.rate_hz, windows.read_report.rows_kept) == (50, 200)
    assert windows.values[:, 0].tolist() == [[k % 7 for k in range(100)], [k % 7 for k in range(100, 200)]]


def test_rows_of_two_people_written_twice_are_held_against_those_of_the_same_one(csv):
    rows = [f"{k},{k + (who == 'q')},a,{who}" for k in range(4) for who in "pqpq"]
    windows = tsimage.load(csv("t,x,y,who", *rows), **TIMED, subject="who")
    assert windows.read_report.counts() == {"repeated row": 8}
    assert [x for _, _, x in seen(windows)] == [[0, 1], [2, 3], [1, 2], [3, 4]]


@pytest.mark.parametrize("still", [range(0), range(100, 300), range(400)])
def test_equal_samples_of_a_coarse_clock_are_no_rows_written_twice(csv, still):
    rows = [f"{k // 50},{0 if k in still else k},a" for k in range(400)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED | {"window": "100"}, constant="flag")
    assert windows.read_report.counts() == {"coarse clock": 392}
    assert (windows.rate_hz, len(windows)) == (50, 4)


def test_missing_values_are_kept_where_they_are_filled_or_masked(csv):
    path = csv("x,y", "0,a", ",a", "2,a", "NA,a", "oops,a", "4,a")
    windows = tsimage.load(path, **READ | {"window": "4"}, missing="1")
    assert windows.values[:, 0].tolist() == [[0, 1, 2, 2]]
    assert rejected(windows) == [("a.csv", 6, "no number")]


def test_empty_values_that_were_left_out_can_be_filled_and_the_report_says_so(csv):
    windows = tsimage.load(csv("x,y", "0,a", "1,a", ",a"), **READ)
    assert windows.read_report.notes == (
        "rows with an empty value were left out: option missing: '0.2s' fills gaps up to 0.2 s, 'mask' keeps them",
        "a.csv: separated by commas, decimal '.', a header in line 1",
    )


def test_unlabelled_rows_that_are_kept_are_noted(csv):
    windows = tsimage.load(csv("x,y", "0,a", "1,a", "2,", "3,a", "4,a"), **READ, drop_unlabelled=True)
    (fault,) = windows.read_report.faults
    assert (fault.treatment, fault.kind, fault.lines.tolist()) == ("noted", "no label", [4])
    assert windows.read_report.rows_kept == 5


def test_a_row_without_subject_or_recording_is_left_out(csv):
    path = csv("x,y,who,trial", "0,a,1,1", "1,a,1,1", "2,a,,1", "3,a,1,nan", "4,a,1,1", "5,a,1,1")
    windows = tsimage.load(path, **READ, subject="who", recording="trial")
    assert rejected(windows) == [("a.csv", 4, "no subject"), ("a.csv", 5, "no recording")]
    assert [i for i, _, _ in seen(windows)] == ["a/1/1:0-2", "a/1/1:2-4"]


def test_a_subject_of_one_row_tells_no_rate_and_stops_nobody_else(csv):
    windows = tsimage.load(csv("t,x,y,who", "0,0,a,1", "1,1,a,1", "0,5,a,2"), **TIMED, subject="who")
    assert rejected(windows) == [("a.csv", 4, "lone row, no rate")]


def test_a_table_of_which_nothing_is_left_says_why(csv, says):
    path = csv("x,y", "oops,a", "0,", "1,", "2,a,5")
    with says(
        f"{path}: none of 4 rows can be used (2 x no label, 1 x no number, 1 x wrong number of columns): check that this is "
        "the right format and that the columns are the right ones"
    ):
        tsimage.load(path, **READ)


def test_lines_are_counted_past_preamble_blank_lines_comments_and_quoted_newlines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'Device 7\r\n\r\nx,y\r\n0,a\r\n1,a\r\n\r\n# paused\r\n2,"b\r\nig"\r\n3,"b\r\nig"\r\noops,a\r\n4,a\r\n5,a\r\n'
    )
    windows = tsimage.load(path, **READ)
    assert rejected(windows) == [("a.csv", 6, "empty line"), ("a.csv", 12, "no number")]
    noted = {fault.kind: fault.lines.tolist() for fault in windows.read_report.faults if fault.treatment == "noted"}
    assert noted == {"line before the table": [1, 2], "comment": [7]}
    assert [(k, x) for _, k, x in seen(windows)] == [("a", [0, 1]), ("b\nig", [2, 3]), ("a", [4, 5])]
    assert windows.read_report.rows_read == 8


@pytest.mark.parametrize("what", ["label", "subject", "recording"])
def test_names_of_more_than_255_characters_are_rejected(csv, what):
    rows = [f"{i},walk,{'p' * (256 if i == 3 else 255)}" for i in range(8)]
    path = csv("x,activity,name", *rows)
    options = {"label": "activity", what: "name"}
    windows = tsimage.load(path, channels="x", rate=50, window="2", **options)
    assert windows.read_report.counts("rejected") == {f"overlong {what}": 1}
    assert list(windows.read_report.rows()) == [("a.csv", 5, "rejected", f"overlong {what}")]


def test_a_bad_row_breaks_only_the_recording_it_is_of(csv):
    rows = [f"{t},{'bad' if (t, s) == (2, 'b') else t},w,{s}" for t in range(8) for s in "ab"]
    windows = tsimage.load(csv("t,x,y,s", *rows), **TIMED, subject="s")
    assert windows.ids[windows.subjects == "a"].tolist() == [f"a/a:{i}-{i + 2}" for i in (0, 2, 4, 6)]
    assert windows.values[windows.subjects == "b"].ravel().tolist() == [0, 1, 3, 4, 5, 6]
    unknown = [f"{t},{t},w,{'' if (t, s) == (2, 'b') else s}" for t in range(8) for s in "ab"]
    windows = tsimage.load(csv("t,x,y,s", *unknown), **TIMED, subject="s")
    assert windows.ids[windows.subjects == "a"].tolist() == ["a/a:0-2", "a/a:3-5", "a/a:5-7"]


@pytest.mark.parametrize("options", [{}, {"rate": 4.0}])
def test_rows_left_out_do_not_slow_a_coarse_clock(csv, options):
    rows = [f"{t // 4},{'bad' if t == 9 else t},w" for t in range(24)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED, **options)
    assert windows.rate_hz == 4.0
    assert windows.read_report.rows_rejected == 1


def test_a_table_of_which_every_line_is_malformed_says_so(csv):
    path = csv("t,x,y,s", "1,2", "1")
    with pytest.raises(tsimage.UserError, match="none of 2 rows can be used"):
        tsimage.load(path, **TIMED, subject="s")
