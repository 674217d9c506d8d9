import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsimage
from tsimage.cutting import Recording
from tsimage.readers import parquet

READ = {"channels": ("x",), "label": "y", "rate": 1.0, "window": "2"}
TIMED = {"channels": ("x",), "label": "y", "time": "t", "window": "2"}


@pytest.fixture
def csv(tmp_path):
    """Write a csv of the given header and rows; return its path."""

    def _write(header, *rows, name="a.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return _write


def rejected(windows):
    """Where each rejected row stood, and why."""
    return [(file, line, kind) for file, line, treatment, kind in windows.read_report.rows() if treatment == "rejected"]


def seen(windows):
    """Per window: where it was cut, its class, and the samples of its first channel."""
    return [
        (i, windows.class_names[k], v.tolist())
        for i, k, v in zip(windows.ids.tolist(), windows.labels, windows.values[:, 0], strict=True)
    ]


def test_rows_become_windows_that_end_at_label_changes(csv):
    path = csv("x,y,z", "0,walk,5", "1,walk,6", "2,walk,7", "3,sit,8", "4,sit,9")
    windows = tsimage.load(path, channels=("z", "x"), label="y", rate=50, window="2", units=("g", "rad/s"))
    assert seen(windows) == [("a:0-2", "walk", [5, 6]), ("a:3-5", "sit", [8, 9])]
    assert windows.values[:, 1].tolist() == [[0, 1], [3, 4]]
    assert windows.channels == ("z", "x")
    assert windows.units == ("g", "rad/s")
    assert windows.rate_hz == 50
    assert windows.class_names == ("sit", "walk")
    assert windows.subjects.tolist() == ["", ""]
    assert windows.split is None
    assert windows.name == "a"


def test_one_unit_serves_all_channels_and_a_wrong_number_is_refused(csv, says):
    path = csv("x,y,z", "0,a,1", "1,a,2")
    assert tsimage.load(path, **READ | {"channels": ("x", "z"), "units": "g"}).units == ("g", "g")
    with says("3 units for 2 channels: give one for all or one for each"):
        tsimage.load(path, **READ | {"channels": ("x", "z"), "units": ("g", "g", "g")})
    with says("unknown unit 'm/s2': write it as 'm/s^2' (option units)"):
        tsimage.load(path, **READ | {"channels": ("x", "z"), "units": ("g", "m/s2")})


def test_a_gap_in_time_ends_a_window(csv):
    path = csv("t,x,y", "0,0,a", "0.5,1,a", "1,2,a", "2.5,3,a", "3,4,a", "3.5,5,a")
    windows = tsimage.load(path, **TIMED)
    assert windows.rate_hz == 2
    assert [i for i, _, _ in seen(windows)] == ["a:0-2", "a:3-5"]


def test_jitter_below_half_an_interval_is_no_gap(csv):
    path = csv("t,x,y", "0,0,a", "1.0,1,a", "2.4,2,a", "3.0,3,a", "4.0,4,a")
    assert tsimage.load(path, **TIMED | {"window": "5"}).ids.tolist() == ["a:0-5"]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_time_units_set_the_rate(csv, unit, factor):
    rows = [f"{round(k * 0.02 * factor, 6):g},{k},a" for k in range(5)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED, time_unit=unit)
    assert windows.rate_hz == 50


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
def test_iso_dates_are_time(csv, zone):
    rows = [f"2024-02-28T23:59:{59.5 + k * 0.25:.2f}{zone},{k},a" for k in range(2)]
    rows += [f"2024-02-29T00:00:{k * 0.25:05.2f}{zone},{2 + k},a" for k in range(3)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED)
    assert windows.rate_hz == 4
    assert windows.values[:, 0].tolist() == [[0, 1], [2, 3]]


def test_subjects_and_recordings_in_one_file_come_apart(csv):
    path = csv(
        "t,x,y,who,trial", "0,0,a,bob,1", "0,1,a,ann,1", "1,2,a,bob,1", "1,3,a,ann,1", "4,4,a,ann,2", "5,5,a,ann,2"
    )
    windows = tsimage.load(path, **TIMED, subject="who", recording="trial")
    assert seen(windows) == [("a/ann/1:0-2", "a", [1, 3]), ("a/ann/2:0-2", "a", [4, 5]), ("a/bob/1:0-2", "a", [0, 2])]
    assert windows.subjects.tolist() == ["ann", "ann", "bob"]
    assert windows.recordings.tolist() == ["a/ann/1", "a/ann/2", "a/bob/1"]
    assert windows.cut_report.recordings == 3


def test_without_time_rows_that_are_not_neighbours_do_not_follow_each_other(csv):
    rows = ["0,a,ann", "1,a,ann", "2,a,bob", "3,a,bob", "4,a,ann", "5,a,ann"]
    windows = tsimage.load(csv("x,y,who", *rows), **READ | {"window": "2"}, subject="who")
    assert seen(windows) == [("a/ann:0-2", "a", [0, 1]), ("a/ann:2-4", "a", [4, 5]), ("a/bob:0-2", "a", [2, 3])]
    with pytest.raises(tsimage.UserError, match="no window of 3 samples fits"):
        tsimage.load(csv("x,y,who", *rows), **READ | {"window": "3"}, subject="who")


def test_hidden_tables_are_no_recordings(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/a.csv")
    csv("x,y", "0,a", "1,a", name="set/.ipynb_checkpoints/a-checkpoint.csv")
    csv("x,y", "0,a", "1,a", name="set/._a.csv")
    csv("x,y", "2,a", "3,a", name="set/B.CSV")
    assert sorted(tsimage.load(tmp_path / "set", **READ).recordings.tolist()) == ["B", "a"]


def test_channels_of_a_table_are_chosen_by_pattern_in_the_order_asked(csv):
    path = csv("ay,ax,gx,y", "1,2,3,a", "4,5,6,a")
    assert tsimage.load(path, **READ | {"channels": ("g*", "a*")}).channels == ("gx", "ax", "ay")
    assert tsimage.load(path, **READ | {"channels": ("gx", "ay", "ax")}).channels == ("gx", "ay", "ax")


def test_axes_of_one_pattern_come_as_x_y_z_with_their_values(csv):
    path = csv("acc-z,t,acc-y,temp,acc-x,y", "3,0,2,9,1,a", "6,1,5,8,4,a")
    windows = tsimage.load(path, **READ | {"channels": "acc-*"})
    assert windows.channels == ("acc-x", "acc-y", "acc-z")
    assert windows.values.tolist() == [[[1, 4], [2, 5], [3, 6]]]
    assert tsimage.load(path, **READ | {"channels": "*"}).channels == ("acc-x", "t", "acc-y", "temp", "acc-z")


def test_a_recording_column_alone_leaves_the_subject_unknown(csv):
    windows = tsimage.load(csv("x,y,trial", "0,a,1", "1,a,1", "2,a,2", "3,a,2"), **READ, recording="trial")
    assert windows.recordings.tolist() == ["a/1", "a/2"]
    assert windows.subjects.tolist() == ["", ""]


def test_a_folder_holds_a_recording_per_file(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/p2.csv")
    csv("x,y", "2,b", "3,b", name="set/deep/p1.csv")
    pd.DataFrame({"x": [4.0, 5.0], "y": ["a", "a"]}).to_parquet(tmp_path / "set" / "p3.parquet")
    (tmp_path / "set" / "notes.txt").write_text("not a table\n")
    windows = tsimage.load(tmp_path / "set", **READ)
    assert seen(windows) == [
        ("deep/p1:0-2", "b", [2, 3]),
        ("p2:0-2", "a", [0, 1]),
        ("p3:0-2", "a", [4, 5]),
    ]
    assert windows.name == "set"


def test_a_rate_that_differs_between_files_is_refused(csv, tmp_path, says):
    csv("t,x,y", "0,0,a", "1,1,a", name="set/p1.csv")
    csv("t,x,y", "0,0,a", "2,1,a", name="set/p2.csv")
    with says(
        "set: recording 'p2' has rate_hz 0.5 where 'p1' has 1.0: resample it or leave it out, or, where clocks only jitter, state one rate for all (option rate)"
    ):
        tsimage.load(tmp_path / "set", **TIMED)


def test_parquet_equals_csv(csv, tmp_path):
    frame = pd.DataFrame(
        {"t": np.arange(8) / 4, "x": np.arange(8.0), "y": ["a"] * 4 + ["b"] * 4, "who": [1] * 4 + [2] * 4}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    options = TIMED | {"subject": "who", "units": "g"}
    from_csv, from_parquet = (tsimage.load(tmp_path / f"a.{suffix}", **options) for suffix in ("csv", "parquet"))
    assert len(from_csv) == 4
    assert from_parquet.fingerprint() == from_csv.fingerprint()


def test_dates_in_parquet_are_time(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=4, freq="20ms")
    pd.DataFrame({"t": stamps, "x": range(4), "y": ["a"] * 4}).to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **TIMED).rate_hz == 50


def test_whole_number_labels_are_named_without_a_point_and_sorted_as_numbers(csv):
    path = csv("x,y", "0,10", "1,10", "2,2", "3,2", "4,", "5,1", "6,1")
    windows = tsimage.load(path, **READ, drop_unlabelled=True)
    assert windows.class_names == ("1", "2", "10")
    assert [k for _, k, _ in seen(windows)] == ["10", "2", "1"]


def test_drop_unlabelled_leaves_such_rows_out_and_counts_them(csv):
    path = csv("x,y", "0,a", "1,a", "2,", "3,a", "4,a")
    windows = tsimage.load(path, **READ, drop_unlabelled=True)
    assert [i for i, _, _ in seen(windows)] == ["a:0-2", "a:3-5"]
    assert windows.cut_report.unlabelled == 1
    assert windows.cut_report.samples == 5


@pytest.mark.parametrize(
    ("options", "what", "got", "near"),
    [
        ({"label": "activty"}, "label column", "activty", "activity"),
        ({"channels": ("acc-x", "acc_y")}, "channel column", "acc_y", "acc-y"),
        ({"time": "Time"}, "time column", "Time", "time"),
        ({"subject": "subjet"}, "subject column", "subjet", "subject"),
        ({"recording": "subject_"}, "recording column", "subject_", "subject"),
    ],
)
def test_an_unknown_column_gets_the_nearest_name(csv, options, what, got, near):
    path = csv("time,acc-x,acc-y,activity,subject", "0,1,2,a,1", "1,2,3,a,1")
    good = {"channels": ("acc-x", "acc-y"), "label": "activity", "rate": 1, "window": 2}
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(path, **good | options)
    text = str(caught.value)
    assert text.startswith(f"unknown {what} in {path}")
    valid = "time, acc-x, acc-y, subject" if "channel" in what else "time, acc-x, acc-y, activity, subject"
    assert text.endswith(f"'{got}': did you mean '{near}'? Valid: {valid}")


def test_interleaved_subjects_each_keep_their_own_clock(csv):
    path = csv("t,x,y,who", "0,0,a,1", "0,9,a,2", "1,1,a,1", "1,8,a,2")
    assert tsimage.load(path, **TIMED, subject="who").values[:, 0].tolist() == [[0, 1], [9, 8]]


def test_a_rate_that_contradicts_the_time_column_is_refused(csv, says):
    path = csv("t,x,y", *[f"{20 * k},{k},a" for k in range(6)])
    with says(
        f"{path}: the time column runs at 0.05 Hz but rate says 50 Hz: check the unit of the time (option time-unit) or "
        "the rate, resample the file, or leave it out"
    ):
        tsimage.load(path, **TIMED, rate=50)
    assert tsimage.load(path, **TIMED, rate=50, time_unit="ms").rate_hz == 50


def test_a_rate_given_beside_a_clock_that_agrees_is_the_rate(csv):
    path = csv("t,x,y", *[f"{k / 49.5:.6f},{k},a" for k in range(6)])
    assert tsimage.load(path, **TIMED, rate=50).rate_hz == 50


def test_what_must_be_told_is_asked_for(csv, says):
    path = csv("t,x,y", "0,1,a", "1,2,a")
    with says(
        f"{path}: name the columns of the channels and label (options channels and label): the columns are t, x, y"
    ):
        tsimage.load(path)
    with says(f"{path}: name the columns of the label (options channels and label): the columns are t, x, y"):
        tsimage.load(path, channels="x")
    with says(f"{path}: the sampling rate is unknown: name the time column or give the rate in Hz"):
        tsimage.load(path, channels="x", label="y")
    with says(f"{path}: time-unit ms needs the name of the time column (option time)"):
        tsimage.load(path, channels="x", label="y", rate=1, time_unit="ms")
    with says(
        "a: say how long a window is, in samples (window 128) or seconds (window 2.56s): the recordings run at 1 Hz "
        "and fix none"
    ):
        tsimage.load(path, channels="x", label="y", time="t")
    with says("rate 0.0 Hz is not allowed: it must be positive"):
        tsimage.load(path, channels="x", label="y", rate=0.0, window="2")


def test_the_reader_gives_recordings_of_float32(csv):
    from tsimage.readers import ReadOptions
    from tsimage.readers.table import read_table

    read = read_table(csv("x,y", "0,a", "1,b"), ReadOptions(channels=("x",), label="y", rate=10.0))
    (recording,) = read.recordings
    assert isinstance(recording, Recording)
    assert recording.values.dtype == np.float32
    assert [(s.start, s.stop, s.label) for s in recording.segments] == [(0, 1, "a"), (1, 2, "b")]
    assert read.window is None
    assert dict(read.split) == {}


def test_milliseconds_that_were_not_stated_are_suspected(csv, says):
    path = csv("t,x,y", "0,1,a", "20,2,a", "40,3,a")
    with says(
        f"{path}: the time column would run at 0.05 Hz if it were in seconds: state its unit (option time-unit ms, us or ns; "
        "s if it is true)"
    ):
        tsimage.load(path, **TIMED)
    assert tsimage.load(path, **TIMED, time_unit="ms").rate_hz == 50
    assert tsimage.load(path, **TIMED, time_unit="s").rate_hz == 0.05


def test_a_pattern_never_takes_the_label_column_for_a_channel(csv):
    path = csv("ax,ay,activity", "1,2,sit", "3,4,sit")
    windows = tsimage.load(path, channels="a*", label="activity", rate=10, window="2")
    assert windows.channels == ("ax", "ay")


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


def test_measured_rates_are_stated_in_one_sentence(csv, tmp_path):
    def notes(**options):
        return [n for n in tsimage.load(tmp_path / "set", **TIMED, **options).read_report.notes if "Hz" in n]

    for name, hz in {"p": 50, "q": 50.5, "r": 49}.items():
        csv("t,x,y", *[f"{k / hz:.6f},{k},a" for k in range(100)], name=f"set/{name}.csv")
    assert notes(rate=50) == ["q and 1 more: the clocks run at 49 to 50.5 Hz, stated is 50 Hz"]
    for name in "qr":
        (tmp_path / "set" / f"{name}.csv").unlink()
    assert notes(rate=50) == []
    assert notes() == ["rate measured: 50 Hz"]
    assert notes(rate=49) == ["p: the clock runs at 50 Hz, stated is 49 Hz"]


def test_rows_of_two_people_that_alternate_need_a_time(csv, says):
    rows = [f"{k},{k},a,{who}" for k in range(6) for who in "pq"]
    path = csv("t,x,y,who", *rows)
    alternate = (
        "the rows of its 2 recordings alternate, and without a time column only rows that are neighbours follow one another: "
        "name the time column, or sort the rows by recording"
    )
    with says(f"{path}: {alternate}"):
        tsimage.load(path, **READ, subject="who")
    assert len(tsimage.load(path, **TIMED, subject="who")) == 6
    some = tsimage.load(csv("t,x,y,who", *rows, "6,6,a,q", "7,7,a,q"), **READ, subject="who")
    assert f"a.csv: {alternate}" in some.read_report.notes
    assert [x for _, _, x in seen(some)] == [[5, 6]]


def test_rows_of_two_people_one_after_the_other_are_not_said_to_alternate(csv):
    rows = [f"{k},a,{who}" for who in "pq" for k in range(6)]
    windows = tsimage.load(csv("x,y,who", *rows), **READ, subject="who")
    assert not any("alternate" in note for note in windows.read_report.notes)


@pytest.mark.parametrize("label", ["0.5", "2", "10"])
def test_class_names_that_are_numbers_sort_by_size(csv, label):
    windows = tsimage.load(
        csv("x,y", "0,10", "1,10", "0,2", "1,2", "0,0.5", "1,0.5", f"0,{label}", f"1,{label}"), **READ
    )
    assert windows.class_names == ("0.5", "2", "10")


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


def test_rows_of_parquet_are_counted_from_0(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": [0.0, 1.0, np.nan, np.inf, 4.0], "y": ["a", "a", "a", "a", None]}).to_parquet(path)
    windows = tsimage.load(path, **READ)
    assert rejected(windows) == [
        ("a.parquet", 2, "missing value"),
        ("a.parquet", 3, "infinite value"),
        ("a.parquet", 4, "no label"),
    ]


def test_parquet_that_holds_lists_or_claims_too_much_is_refused(tmp_path, says, monkeypatch):
    lists = tmp_path / "lists.parquet"
    pd.DataFrame({"x": [[1.0], [2.0]], "y": ["a", "a"]}).to_parquet(lists)
    with says(f"{lists}: column 'x' holds lists or records: write one value a cell"):
        tsimage.load(lists, **READ)
    bomb = tmp_path / "bomb.parquet"
    pd.DataFrame({"x": np.zeros(300_000), "y": np.zeros(300_000)}).to_parquet(bomb)
    monkeypatch.setattr(parquet, "_FREE_VALUES", 1_000)
    size = bomb.stat().st_size
    with says(
        f"{bomb}: claims 600,000 values in {size:,} bytes, allowed are 50 for each byte: save it anew without repetitions "
        "or leave it out"
    ):
        tsimage.load(bomb, **READ)


def test_labels_too_large_for_whole_numbers_are_names(tmp_path):
    pd.DataFrame({"x": [0.0, 1.0], "y": [1e19, 1e19]}).to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **READ).class_names == ("1e+19",)


def test_the_index_that_pandas_stores_in_parquet_is_a_column(tmp_path):
    frame = pd.DataFrame({"x": [0.0, 1.0], "y": ["a", "a"]}, index=pd.Index([0.0, 0.5], name="t"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **TIMED).rate_hz == 2


def test_files_that_are_no_tables_are_refused(csv, tmp_path, says):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with says(f"{empty}: not a readable table (No columns to parse from file): mend the file or leave it out"):
        tsimage.load(empty, **READ)
    header = csv("x,y", name="header.csv")
    with says(f"{header}: the table has no rows: leave the file out"):
        tsimage.load(header, **READ)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(tsimage.UserError, match=r"broken\.parquet: not a readable table"):
        tsimage.load(broken, **READ)
    image = tmp_path / "image.csv"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with says(f"{image}: not a readable table (it is no text): mend the file or leave it out"):
        tsimage.load(image, **READ)
    with says(f"{tmp_path / 'none'}: there is no table in it (.csv, .tsv, .txt, .parquet): check the path"):
        (tmp_path / "none").mkdir()
        tsimage.load(tmp_path / "none", **READ, format="table")


def test_a_file_of_a_folder_that_cannot_be_used_is_named_and_the_others_are_read(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/good.csv")
    csv("x,y", "oops,a", "1,", name="set/bad.csv")
    csv("x,y", name="set/header.csv")
    (tmp_path / "set/broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "set/empty.csv").write_bytes(b"")
    (tmp_path / "set/readme.txt").write_text("Recorded in 2021.\nBy ann.\n")
    windows = tsimage.load(tmp_path / "set", **READ)
    assert windows.recordings.tolist() == ["good"]
    assert rejected(windows) == [
        ("bad.csv", 2, "no number"),
        ("bad.csv", 3, "no label"),
        ("broken.parquet", 1, "unreadable file"),
        ("empty.csv", 1, "unreadable file"),
    ]
    assert windows.read_report.rows_read == 6
    assert set(windows.read_report.notes) == {
        "bad.csv and 2 more: separated by commas, decimal '.', a header in line 1",
        "header.csv: the table has no rows",
        "readme.txt was left out: it is no table",
    }


def test_a_folder_of_which_nothing_is_left_says_why(csv, tmp_path, says):
    csv("x,y", "oops,a", name="set/a.csv")
    (tmp_path / "set/b.csv").write_bytes(b"")
    with says(
        f"{tmp_path / 'set'}: none of 2 rows can be used (1 x no number, 1 x unreadable file): check that this is the right "
        "format and that the columns are the right ones"
    ):
        tsimage.load(tmp_path / "set", **READ)


def test_files_may_have_their_columns_in_any_order_but_not_others(csv, tmp_path, says):
    a = csv("x,y,z", "0,a,5", "1,a,6", name="set/a.csv")
    csv("z,y,x", "7,a,2", "8,a,3", name="set/b.csv")
    windows = tsimage.load(tmp_path / "set", **READ | {"channels": ("x", "z")})
    assert windows.values.tolist() == [[[0, 1], [5, 6]], [[2, 3], [7, 8]]]
    c = csv("x,y,w", "7,a,2", "8,a,3", name="set/c.csv")
    with says(
        f"{c}: there is no channel column 'z', which {a} has (here are x, y, w): every file needs the same columns; name "
        "them alike, or leave the file out"
    ):
        tsimage.load(tmp_path / "set", **READ | {"channels": ("x", "z")})
    with says(
        f"{c}: column 'w' is one of the channels [w-z]* but {a} does not have it: every file needs the same channels; name "
        "those that all have"
    ):
        (tmp_path / "set/b.csv").unlink()
        csv("x,y,z,w", "7,a,2,1", "8,a,3,1", name="set/c.csv")
        tsimage.load(tmp_path / "set", **READ | {"channels": "[w-z]*", "label": "y"})


def test_two_files_of_one_name_are_two_recordings(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/p.csv")
    csv("x\ty", "2\ta", "3\ta", name="set/p.tsv")
    assert tsimage.load(tmp_path / "set", **READ).recordings.tolist() == ["p.csv", "p.tsv"]


def test_subject_and_label_are_read_from_the_path(csv, tmp_path, says):
    for name in ("01/walk_1", "01/walk_2", "01/sit_1", "02/walk_1"):
        csv("x", "0", "1", name=f"set/{name}.csv")
    csv("x", "0", "1", name="set/notes.csv")
    options = {"channels": "x", "rate": 1, "window": "2", "path_pattern": "{subject}/{label}_{recording}.csv"}
    windows = tsimage.load(tmp_path / "set", **options)
    assert windows.recordings.tolist() == ["01/sit/1", "01/walk/1", "01/walk/2", "02/walk/1"]
    assert windows.subjects.tolist() == ["01", "01", "01", "02"]
    assert [k for _, k, _ in seen(windows)] == ["sit", "walk", "walk", "walk"]
    (fault,) = windows.read_report.faults
    assert (fault.file, fault.kind, fault.example) == (
        "notes.csv",
        "path does not match the pattern",
        "{subject}/{label}_{recording}.csv",
    )
    with says(
        "notes.csv, line 1: path does not match the pattern ('{subject}/{label}_{recording}.csv'): mend it, or pass faults "
        "'reject' to leave out such rows and count them"
    ):
        tsimage.load(tmp_path / "set", **options, faults="raise")
    one = tsimage.load(tmp_path / "set/02/walk_1.csv", **options)
    assert (one.subjects.tolist(), one.class_names) == (["02"], ("walk",))


def test_what_the_path_tells_no_column_may_tell(csv, says):
    path = csv("x,y,who", "0,a,1", "1,a,1", name="ann_1.csv")
    assert tsimage.load(path, **READ, path_pattern="{subject}_*.csv").subjects.tolist() == ["ann"]
    with says(
        f"{path}: the subject is told twice, by path-pattern '{{subject}}_*.csv' and by column 'who': keep one of them"
    ):
        tsimage.load(path, **READ, path_pattern="{subject}_*.csv", subject="who")


def test_two_files_that_the_pattern_takes_for_one_recording_are_refused(csv, tmp_path, says):
    csv("x,y", "0,a", "1,a", name="set/1/r_1.csv")
    csv("x,y", "0,a", "1,a", name="set/2/r_1.csv")
    with says(
        f"{tmp_path / 'set'}: 1/r_1.csv and 2/r_1.csv are both the recording '1': tell them apart in the path-pattern, or "
        "rename one"
    ):
        tsimage.load(tmp_path / "set", **READ, path_pattern="r_{recording}.csv")


def test_labels_lose_blanks_and_those_that_differ_only_in_case_are_stated(csv):
    windows = tsimage.load(csv("x,y", "0,walk", "1, walk ", "2,Walk", "3,Walk"), **READ)
    assert windows.class_names == ("Walk", "walk")
    assert windows.read_report.notes[-1] == "labels that differ only in case stay classes of their own: 'Walk', 'walk'"


def test_subjects_keep_their_zeros(csv):
    windows = tsimage.load(csv("x,y,who", "0,a,01", "1,a,01", "2,a,1", "3,a,1"), **READ, subject="who")
    assert windows.subjects.tolist() == ["01", "1"]


@pytest.mark.parametrize(
    ("separator", "decimal"),
    [(",", "."), *((separator, decimal) for separator in (";", "\t", " ", "   ") for decimal in ".,")],
)
@pytest.mark.parametrize("header", [True, False])
def test_every_way_to_write_the_same_table_gives_the_same_windows(tmp_path, separator, decimal, header):
    rows = [(k / 4, -1.5 * k, "walk" if k < 4 else "sit") for k in range(8)]
    lines = [separator.join([f"{t}".replace(".", decimal), f"{x}".replace(".", decimal), y]) for t, x, y in rows]
    path = tmp_path / "a.txt"
    path.write_text("\n".join([separator.join("txy")] * header + lines))
    names = {"time": "t", "channels": "x", "label": "y"}
    if not header:
        names = {"time": "column0", "channels": "column1", "label": "column2"}
    windows = tsimage.load(path, **names, window="2")
    assert windows.values[:, 0].tolist() == [[0, -1.5], [-3, -4.5], [-6, -7.5], [-9, -10.5]]
    assert windows.rate_hz == 4
    assert windows.labels.tolist() == [1, 1, 0, 0]
    assert windows.read_report.rows_read == windows.read_report.rows_kept == 8


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-8-sig", None),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("latin-1", "Windows-1252"),
    ],
)
def test_text_is_decoded(tmp_path, codec, name):
    path = tmp_path / "a.csv"
    path.write_bytes("x,y\r\n0,käse\r\n1,käse\r\n".encode(codec))
    windows = tsimage.load(path, **READ)
    assert windows.class_names == ("käse",)
    read_as = f", read as {name}" if name else ""
    assert windows.read_report.notes == (f"a.csv: separated by commas, decimal '.', a header in line 1{read_as}",)


def test_the_csv_of_a_device_with_a_preamble_and_no_header_is_read(tmp_path):
    preamble = [
        "------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.3 date format M/d/yyyy at 30 Hz -----------",
        "Serial Number: NEO1B41100255",
        "Start Time 15:30:00",
        "Start Date 8/6/2012",
        "Epoch Period (hh:mm:ss) 00:00:00",
        "Download Time 14:50:45",
        "Download Date 8/16/2012",
        "Current Memory Address: 0",
        "Current Battery Voltage: 4.21     Mode = 12",
        "--------------------------------------------------",
    ]
    rows = ["-0.182,-0.182,0.962", "-0.176,-0.185,0.965", "0.1,0.2,", "-0.179,-0.182,0.959", "0,0,1"]
    path = tmp_path / "ann_walk.csv"
    path.write_text("\n".join(preamble + rows) + "\n")
    options = {"rate": 30, "window": "2", "path_pattern": "{subject}_{label}.csv", "units": "g"}
    windows = tsimage.load(path, channels=("column2", "column0"), **options)
    assert windows.values[0].round(3).tolist() == [pytest.approx([0.962, 0.965]), pytest.approx([-0.182, -0.176])]
    assert rejected(windows) == [("ann_walk.csv", 13, "missing value")]
    path.write_text("\n".join([*preamble, "Accelerometer X,Accelerometer Y,Accelerometer Z", *rows]) + "\n")
    named = tsimage.load(path, channels=("Accelerometer Z", "Accelerometer X"), **options)
    assert rejected(named) == [("ann_walk.csv", 14, "missing value")]
    assert np.array_equal(named.values, windows.values)


def test_the_real_excerpt_of_mhealth_is_a_table_without_header(data_dir, tmp_path):
    path = tmp_path / "mhealth.txt"
    path.symlink_to(data_dir / "format-samples" / "mhealth" / "mHealth_subject1.excerpt.log")
    windows = tsimage.load(path, channels=("column0", "column2"), label="column23", rate=50, window="10")
    first = np.array([[-9.8184, -9.8489], [0.29563, 0.37348]], dtype=np.float32)
    assert np.array_equal(windows.values[0, :, :2], first)
    assert windows.read_report.rows_read == windows.read_report.rows_kept == 12
    assert windows.read_report.notes[0] == (
        "mhealth.txt: separated by tabs, decimal '.', no header (columns named column0 to column23)"
    )


def test_a_header_with_too_few_names_is_refused(csv, says):
    path = csv("x,y", "0,1,a", "1,2,a", "2,3,a")
    with says(f"{path}, line 1: the header names 2 columns but the rows have 3 fields: name every column"):
        tsimage.load(path, **READ)


def test_a_name_that_stands_in_the_header_twice_is_refused(csv, says):
    path = csv("x,y,x", "0,a,1", "1,a,2")
    with says(f"{path}, line 1: the column name 'x' stands there more than once: give every column a name of its own"):
        tsimage.load(path, **READ)


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


def test_text_of_parquet_that_is_no_utf8_makes_the_file_unreadable(tmp_path):
    pd.DataFrame({"x": range(4), "y": ["walk"] * 4}).to_parquet(
        tmp_path / "a.parquet", compression=None, use_dictionary=False
    )
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"\4\0\0\0walk", b"\4\0\0\0w\xffk!", 1))
    with pytest.raises(tsimage.UserError, match=r"not a readable table \(.*UTF8.*\): mend the file or leave it out"):
        tsimage.load(tmp_path / "a.parquet", channels="x", label="y", rate=50, window="2")


@pytest.mark.parametrize("what", ["label", "subject", "recording"])
def test_names_of_more_than_255_characters_are_rejected(csv, what):
    rows = [f"{i},walk,{'p' * (256 if i == 3 else 255)}" for i in range(8)]
    path = csv("x,activity,name", *rows)
    options = {"label": "activity", what: "name"}
    windows = tsimage.load(path, channels="x", rate=50, window="2", **options)
    assert windows.read_report.counts("rejected") == {f"overlong {what}": 1}
    assert list(windows.read_report.rows()) == [("a.csv", 5, "rejected", f"overlong {what}")]


def test_a_pipe_and_an_unreadable_file_are_named(tmp_path, says, monkeypatch):
    os.mkfifo(tmp_path / "a.csv")
    with says(f"'{tmp_path / 'a.csv'}' is a pipe or a device: give a file or a folder"):
        tsimage.load(tmp_path / "a.csv", format="table")
    (tmp_path / "b.csv").write_text("x,y\n1,a\n2,a\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with says(f"{tmp_path / 'b.csv'}: cannot be read (Permission denied): check its permissions and the disk"):
        tsimage.load(tmp_path / "b.csv", channels="x", label="y", rate=50, window="2", format="table")


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("Version;1.2\nt;x;y", ["0;0;a", "1;0,5;a", "2;0,5;a", "3;0;a"]),
        ("t;x;y", ["0;0,5;1.1", "1;1,5;1.1", "2;3,5;1.1", "3;0,5;1.1"]),
        ("t;x;y;fw", ["0;3,5;a;1.2", "1;4,5;a;1.2", "2;3,5;a;1.2", "3;4,5;a;1.2"]),
    ],
)
def test_the_decimal_sign_is_that_of_the_columns_asked_for(csv, header, rows):
    windows = tsimage.load(csv(header, *rows), **TIMED)
    expected = [float(row.split(";")[1].replace(",", ".")) for row in rows]
    assert windows.values.ravel().tolist() == expected


def test_the_unit_of_dates_is_no_guess(csv):
    rows = [f"2024-05-01 12:{i:02}:00,{i},a" for i in range(4)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED)
    assert windows.rate_hz == pytest.approx(1 / 60, rel=1e-3)
    assert len(windows) == 2


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


def test_a_table_of_which_every_line_is_malformed_says_so(csv):
    path = csv("t,x,y,s", "1,2", "1")
    with pytest.raises(tsimage.UserError, match="none of 2 rows can be used"):
        tsimage.load(path, **TIMED, subject="s")
