import numpy as np
import pandas as pd
import pytest

import tsimage
from tsimage.cutting import Recording

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


def test_a_date_that_is_none_names_its_line(csv, says):
    path = csv("t,x,y", "2024-01-01T00:00:00,0,a", "2024-01-01T00:00:01,1,a", "yesterday,2,a")
    with says(f"{path}, line 4: time 'yesterday' is neither a number nor an ISO 8601 date: mend it"):
        tsimage.load(path, **TIMED)


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


def test_an_empty_time_cell_names_its_own_line(csv, says):
    path = csv("t,x,y", "0,1,a", ",2,a", "2,3,a")
    with says(
        f"{path}, line 3: column 't' is empty or NaN (1 of 3 rows are no finite number): fill or remove these rows"
    ):
        tsimage.load(path, **TIMED)


def test_hidden_tables_are_no_recordings(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/a.csv")
    csv("x,y", "0,a", "1,a", name="set/.ipynb_checkpoints/a-checkpoint.csv")
    csv("x,y", "0,a", "1,a", name="set/._a.csv")
    csv("x,y", "2,a", "3,a", name="set/B.CSV")
    assert sorted(tsimage.load(tmp_path / "set", **READ).recordings.tolist()) == ["B", "a"]


def test_channels_of_a_table_are_chosen_by_pattern_in_the_order_asked(csv):
    path = csv("ay,ax,gx,y", "1,2,3,a", "4,5,6,a")
    assert tsimage.load(path, **READ | {"channels": ("g*", "a*")}).channels == ("gx", "ay", "ax")


def test_a_recording_column_alone_leaves_the_subject_unknown(csv):
    windows = tsimage.load(csv("x,y,trial", "0,a,1", "1,a,1", "2,a,2", "3,a,2"), **READ, recording="trial")
    assert windows.recordings.tolist() == ["a/1", "a/2"]
    assert windows.subjects.tolist() == ["", ""]


def test_an_empty_subject_names_its_line(csv, says):
    path = csv("x,y,who", "0,a,1", "1,a,1", "2,a,", "3,a,2")
    with says(f"{path}, line 4: column 'who' is empty: fill it"):
        tsimage.load(path, **READ, subject="who")


def test_a_folder_holds_a_recording_per_file(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/p2.csv")
    csv("x,y", "2,b", "3,b", name="set/deep/p1.csv")
    pd.DataFrame({"x": [4.0, 5.0], "y": ["a", "a"]}).to_parquet(tmp_path / "set" / "p3.parquet")
    (tmp_path / "set" / "notes.txt").write_text("not a table")
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


def test_a_missing_label_names_its_line(csv, says):
    path = csv("x,y", "0,a", "1,a", "2,", "3,  ", "4,b")
    with says(
        f"{path}, line 4: no label in column 'y' (2 of 5 rows have none): label these rows or pass drop-unlabelled"
    ):
        tsimage.load(path, **READ)


def test_drop_unlabelled_leaves_such_rows_out_and_counts_them(csv):
    path = csv("x,y", "0,a", "1,a", "2,", "3,a", "4,a")
    windows = tsimage.load(path, **READ, drop_unlabelled=True)
    assert [i for i, _, _ in seen(windows)] == ["a:0-2", "a:3-5"]
    assert windows.cut_report.unlabelled == 1
    assert windows.cut_report.samples == 5


@pytest.mark.parametrize(
    ("cell", "got"),
    [("", "empty or NaN"), ("nan", "empty or NaN"), ("oops", "'oops'"), ("inf", "'inf'"), ("1_000", "'1_000'")],
)
def test_a_value_that_is_no_finite_number_names_file_line_and_column(csv, says, cell, got):
    path = csv("z,x,y", "9,0,a", f"9,{cell},a", "9,2,a", f"9,{cell},a")
    hint = ", or pass missing '0.2s' to fill gaps up to 0.2 s, or 'mask'" if got == "empty or NaN" else ""
    with says(
        f"{path}, line 3: column 'x' is {got} (2 of 4 rows are no finite number): fill or remove these rows{hint}"
    ):
        tsimage.load(path, **READ)


def test_lines_are_counted_past_blank_ones(csv, says):
    path = csv("x,y", "0,a", "", "oops,a")
    with says(
        f"{path}, line 3: column 'x' is empty or NaN (2 of 3 rows are no finite number): fill or remove these rows"
        ", or pass missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
    ):
        tsimage.load(path, **READ)


def test_parquet_errors_count_rows(tmp_path, says):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": [0.0, np.nan], "y": ["a", "a"]}).to_parquet(path)
    with says(
        f"{path}, row 1: column 'x' is empty or NaN (1 of 2 rows are no finite number): fill or remove these rows"
        ", or pass missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
    ):
        tsimage.load(path, **READ)


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


@pytest.mark.parametrize(
    ("times", "line", "before", "after"),
    [((0, 1, 0.5), 4, "1", "0.5"), ((0, 0, 1), 3, "0", "0"), ((5, 1, 2), 3, "5", "1")],
)
def test_time_that_does_not_increase_names_its_line(csv, says, times, line, before, after):
    path = csv("t,x,y", *[f"{t},0,a" for t in times])
    with says(
        f"{path}, line {line}: time goes from {before} s to {after} s: rows of one recording must be in increasing order "
        "of time, each time once: sort them, remove duplicates, or name the subject and recording columns"
    ):
        tsimage.load(path, **TIMED)


def test_backward_epoch_time_is_shown_with_enough_digits_to_see_it(csv):
    path = csv("t,x,y", "1700000000.0,0,a", "1700000000.5,1,a", "1700000000.25,2,a")
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load(path, **TIMED)
    before, after = str(caught.value).partition("time goes from ")[2].split(" s: ")[0].split(" s to ")
    assert float(before) - float(after) == pytest.approx(0.25)


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


def test_one_row_tells_no_rate(csv, says):
    path = csv("t,x,y", "0,1,a")
    with says(f"{path}: a recording of 1 row tells no rate: give the rate in Hz"):
        tsimage.load(path, **TIMED)


def test_files_that_are_no_tables_are_refused(csv, tmp_path, says):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with says(f"{empty}: not a readable table (No columns to parse from file): mend the file or leave it out"):
        tsimage.load(empty, **READ)
    header = csv("x,y", name="header.csv")
    with says(f"{header}: the table has no rows: leave the file out"):
        tsimage.load(header, **READ)
    ragged = csv("x,y", "0,a", "1,a,2,3", name="ragged.csv")
    with pytest.raises(tsimage.UserError, match=r"ragged\.csv: not a readable table \(.*line 3.*\): mend the file"):
        tsimage.load(ragged, **READ)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(tsimage.UserError, match=r"broken\.parquet: not a readable table"):
        tsimage.load(broken, **READ)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("x,y\n0,käse\n".encode("latin-1"))
    with pytest.raises(tsimage.UserError, match=r"latin\.csv: not a readable table"):
        tsimage.load(latin, **READ)


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


def test_semicolons_are_named(csv, says):
    path = csv("t;x;y", "0;1,5;a")
    with says(
        f"{path}: the columns are separated by semicolons or tabs ('t;x;y'): save the table with commas between columns and "
        "points in numbers"
    ):
        tsimage.load(path, **TIMED)


def test_a_pattern_never_takes_the_label_column_for_a_channel(csv):
    path = csv("ax,ay,activity", "1,2,sit", "3,4,sit")
    windows = tsimage.load(path, channels="a*", label="activity", rate=10, window="2")
    assert windows.channels == ("ax", "ay")
