import numpy as np
import pytest

import tsimage
from tsimage.cutting import Recording

READ = {"channels": ("x",), "label": "y", "rate": 1.0, "window": "2"}
TIMED = {"channels": ("x",), "label": "y", "time": "t", "window": "2"}


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


def test_a_pattern_never_takes_the_label_column_for_a_channel(csv):
    path = csv("ax,ay,activity", "1,2,sit", "3,4,sit")
    windows = tsimage.load(path, channels="a*", label="activity", rate=10, window="2")
    assert windows.channels == ("ax", "ay")


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


def test_labels_lose_blanks_and_those_that_differ_only_in_case_are_stated(csv):
    windows = tsimage.load(csv("x,y", "0,walk", "1, walk ", "2,Walk", "3,Walk"), **READ)
    assert windows.class_names == ("Walk", "walk")
    assert windows.read_report.notes[-1] == "labels that differ only in case stay classes of their own: 'Walk', 'walk'"


def test_subjects_keep_their_zeros(csv):
    windows = tsimage.load(csv("x,y,who", "0,a,01", "1,a,01", "2,a,1", "3,a,1"), **READ, subject="who")
    assert windows.subjects.tolist() == ["01", "1"]
