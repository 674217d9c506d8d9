import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsimage
from tsimage.cutting import Recording, Segment, cut, window_samples


def spans(windows):
    return list(zip(windows.start.tolist(), windows.stop.tolist(), strict=True))


def test_windows_follow_one_another_from_the_start_of_the_segment(make_recording):
    windows = cut([make_recording(20, (2, 13, "walk"))], 4)
    assert spans(windows) == [(2, 6), (6, 10)]
    assert windows.values.shape == (2, 1, 4)
    assert windows.values[:, 0].tolist() == [[2, 3, 4, 5], [6, 7, 8, 9]]
    assert windows.values.dtype == np.float32


@pytest.mark.parametrize(
    ("overlap", "starts"), [(0.0, [0, 4]), (0.5, [0, 2, 4, 6]), (0.25, [0, 3, 6]), (0.99, [0, 1, 2, 3, 4, 5, 6])]
)
def test_overlap_sets_the_step(make_recording, overlap, starts):
    windows = cut([make_recording(10, (0, 10, "walk"))], 4, overlap)
    assert windows.start.tolist() == starts
    assert all(row.tolist() == list(range(a, a + 4)) for a, row in zip(starts, windows.values[:, 0], strict=True))


def test_a_window_in_seconds_is_counted_at_the_rate(make_recording):
    windows = cut([make_recording(400, (0, 400, "walk"), rate_hz=50.0)], "2.56s", 0.5)
    assert windows.length == 128
    assert windows.start.tolist() == [0, 64, 128, 192, 256]


@pytest.mark.parametrize(
    ("window", "rate", "samples"), [("128", None, 128), (128, 50.0, 128), (" 2 s ", 50.0, 100), ("0.1s", 25.0, 2)]
)
def test_lengths_in_samples_and_seconds(window, rate, samples):
    assert window_samples(window, rate) == samples


@pytest.mark.parametrize("window", ["2.5", "-3", "2,56s", "", "3 min", "s"])
def test_a_length_that_is_neither_is_refused(window, says):
    with says(
        f"window '{window}' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"
    ):
        window_samples(window, 50.0)


def test_seconds_without_a_rate_and_too_short_windows_are_refused(says):
    with says("window '2s' is in seconds but the sampling rate is unknown: give the rate in Hz"):
        window_samples("2s", None)
    with says("window '1' is 1 samples long: a window needs at least 2"):
        window_samples("1", None)
    with says(
        "window '0.01s' is 0 samples long at 20 Hz: a window needs at least 2; check the rate, or the unit of the time column"
    ):
        window_samples("0.01s", 20.0)


def test_windows_never_cross_segments_or_recordings(make_recording):
    first = make_recording(12, (0, 5, "walk"), (5, 12, "sit"), id="r1", subject="ann")
    second = make_recording(7, (0, 7, "sit"), id="r2", subject="bob")
    windows = cut([first, second], 3)
    assert windows.ids.tolist() == ["r1:0-3", "r1:5-8", "r1:8-11", "r2:0-3", "r2:3-6"]
    assert [windows.class_names[i] for i in windows.labels] == ["walk", "sit", "sit", "sit", "sit"]
    assert windows.subjects.tolist() == ["ann", "ann", "ann", "bob", "bob"]
    assert windows.recordings.tolist() == ["r1", "r1", "r1", "r2", "r2"]
    assert windows.class_names == ("sit", "walk")


def test_touching_segments_of_one_label_stay_apart(make_recording):
    # a gap in time ends a segment, whatever comes after it
    windows = cut([make_recording(8, (0, 4, "walk"), (4, 8, "walk"))], 3)
    assert spans(windows) == [(0, 3), (4, 7)]


def test_class_names_may_be_given_and_bound(make_recording, says):
    recording = make_recording(8, (0, 8, "walk"))
    windows = cut([recording], 4, class_names=("walk", "sit"))
    assert windows.class_names == ("walk", "sit")
    assert windows.labels.tolist() == [0, 0]
    with says("unknown label in recording 'r1' 'walk': did you mean 'walking'? Valid: walking, sit"):
        cut([recording], 4, class_names=("walking", "sit"))


def test_the_cut_report_counts_every_sample(make_recording):
    first = make_recording(20, (1, 12, "walk"), (12, 14, "sit"))
    second = make_recording(9, (0, 9, "sit"), id="r2")
    report = cut([first, second], 4, 0.5).cut_report
    # r1: 1..11 in windows (1, 3, 5, 7: up to 11), 1 left; 2 in a short segment; 7 unlabelled; r2: 8 used, 1 left
    assert dataclasses.asdict(report) == {
        "recordings": 2,
        "samples": 29,
        "used": 18,
        "remainder": 4,
        "unlabelled": 7,
        "short_segments": 1,
    }
    assert str(report) == (
        "Cut from 2 recordings of 29 samples: 18 in windows, 4 dropped as remainders (stretches shorter than a window: 1), "
        "7 without label"
    )


@st.composite
def segmented(draw):
    n = draw(st.integers(8, 80))
    edges = sorted(draw(st.sets(st.integers(0, n), min_size=2, max_size=12)))
    pieces = list(pairwise(edges))
    chosen = draw(st.lists(st.sampled_from(pieces), unique=True, min_size=1))
    return n, [Segment(start=a, stop=b, label=draw(st.sampled_from("ab"))) for a, b in sorted(chosen)]


@given(
    st.lists(segmented(), min_size=1, max_size=3),
    st.integers(2, 12),
    st.floats(0, 0.99),
)
def test_windows_lie_in_one_segment_and_the_report_adds_up(drawn, length, overlap):
    recordings = [
        Recording(
            id=f"r{i}",
            subject="",
            values=np.arange(n, dtype=np.float32)[None] + 1000 * i,
            channels=("x",),
            units=("g",),
            rate_hz=1.0,
            segments=tuple(segments),
        )
        for i, (n, segments) in enumerate(drawn)
    ]
    lengths = [s.stop - s.start for r in recordings for s in r.segments]
    if max(lengths) < length:
        with pytest.raises(tsimage.UserError, match="no window of"):
            cut(recordings, length, overlap)
        return
    windows = cut(recordings, length, overlap)
    assert len(np.unique(windows.ids)) == len(windows)
    covered = {
        (r, t) for r, a, b in zip(windows.recordings, windows.start, windows.stop, strict=True) for t in range(a, b)
    }
    by_id = {r.id: r for r in recordings}
    for i in range(len(windows)):
        inside = [
            s
            for s in by_id[windows.recordings[i]].segments
            if s.start <= windows.start[i]
            and windows.stop[i] <= s.stop
            and s.label == windows.class_names[windows.labels[i]]
        ]
        assert len(inside) == 1
        raw = by_id[windows.recordings[i]].values[:, windows.start[i] : windows.stop[i]]
        assert (windows.values[i] == raw).all()
    report = windows.cut_report
    assert report.samples == sum(n for n, _ in drawn)
    assert report.used == len(covered)
    assert report.unlabelled == report.samples - sum(lengths)
    assert report.samples == report.used + report.remainder + report.unlabelled
    assert report.short_segments == sum(n < length for n in lengths)


def test_cut_says_what_is_wrong(make_recording, says):
    recording = make_recording(10, (0, 6, "walk"), (6, 10, "sit"))
    for overlap in (1, -0.1, 1.5):
        with says(f"overlap {overlap} is not allowed: it is the share of a window, from 0 up to but not 1"):
            cut([recording], 4, overlap)
    with says("mine: there are no recordings to cut"):
        cut([], 4, name="mine")
    with says(
        "recordings: no window of 7 samples fits: the longest stretch with one label in one recording has 6 samples; "
        "choose a shorter window"
    ):
        cut([recording], 7)
    with says(
        "recordings: recording 'r2' has units ('m/s^2',) where 'r1' has ('g',): windows need one layout; "
        "load the two groups apart"
    ):
        cut([recording, make_recording(10, (0, 10, "sit"), id="r2", units=("m/s^2",))], 4)
    with says(
        "recordings: recording 'r2' has rate_hz 2.1 where 'r1' has 2.0: resample it or leave it out, or, where clocks only jitter, state one rate for all (option rate)"
    ):
        cut([recording, make_recording(10, (0, 10, "sit"), id="r2", rate_hz=2.1)], 4)
    with says("recordings: window id 'r1:0-4' occurs more than once: give each recording its own id"):
        cut([recording, recording], 4)


@pytest.mark.parametrize("bounds", [(4, 12), (-2, 6)], ids=["beyond the end", "before the start"])
def test_a_segment_outside_its_recording_is_refused(make_recording, bounds):
    with pytest.raises(tsimage.UserError, match="r1"):
        cut([make_recording(10, (0, 4, "sit"), (*bounds, "walk"))], 4)


def test_clocks_that_differ_by_less_than_a_thousandth_count_as_one_rate(make_recording):
    other = make_recording(4, (0, 4, "walk"), id="r2", rate_hz=2.001)
    assert len(cut([make_recording(4, (0, 4, "walk")), other], 4)) == 2


def test_select_takes_masks_slices_and_integers(make_windows):
    windows = make_windows()
    for index in ([1, 4], np.array([False, True, False, False, True, False]), slice(1, 5, 3)):
        chosen = windows.select(index)
        assert chosen.ids.tolist() == ["w1", "w4"]
        assert chosen.labels.tolist() == [1, 1]
        assert chosen.subjects.tolist() == ["s0", "s1"]
        assert chosen.split.tolist() == ["test", "train"]
        np.testing.assert_array_equal(chosen.values, windows.values[[1, 4]])
        assert chosen.class_names == windows.class_names


def test_keep_channels_by_name_and_pattern_in_their_own_order(make_windows, says):
    windows = make_windows()
    assert windows.keep_channels(["gyro*", "acc-x"]).channels == ("acc-x", "gyro-x")
    only = windows.keep_channels(["gyro*"])
    assert (only.channels, only.units) == (("gyro-x",), ("rad/s",))
    np.testing.assert_array_equal(only.values, windows.values[:, 1:])
    with says("unknown channel 'acc-y': did you mean 'acc-x'? Valid: acc-x, gyro-x"):
        windows.keep_channels(["acc*", "acc-y"])


def test_keep_classes_renumbers_the_labels(make_windows, says):
    windows = make_windows()
    kept = windows.keep_classes(["w*", "sit"])
    assert kept.class_names == ("sit", "walk")
    assert kept.ids.tolist() == ["w1", "w2", "w4", "w5"]
    assert kept.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(kept.values, windows.values[[1, 2, 4, 5]])
    with says("unknown class 'walking': did you mean 'walk'? Valid: lie, sit, walk"):
        windows.keep_classes(["walking"])


def test_constant_channels_are_found(make_windows):
    values = make_windows().values.copy()
    values[2, 1] = 0.5
    constant = make_windows(values=values).constant_channels()
    assert np.argwhere(constant).tolist() == [[2, 1]]


CHANGES = {
    "one value": lambda w: {"values": nudge(w.values, (3, 1, 7), 1e-6)},
    "two values swapped": lambda w: {"values": w.values[:, :, ::-1].copy()},
    "one label": lambda w: {"labels": nudge(w.labels, (2,), -1)},
    "one id": lambda w: {"ids": np.array(["w0", "w1", "w2", "w3", "w4", "w5b"])},
    "one subject": lambda w: {"subjects": np.array(["s0", "s0", "s0", "s1", "s1", "s2"])},
    "one recording": lambda w: {"recordings": np.array(["r0", "r1", "r2", "r3", "r4", "r9"])},
    "one start": lambda w: {"start": nudge(w.start, (0,), 1)},
    "one stop": lambda w: {"stop": nudge(w.stop, (0,), 1)},
    "one split": lambda w: {"split": np.array(["train", "test", "train", "test", "train", "train"])},
    "no split": lambda w: {"split": None},
    "a channel name": lambda w: {"channels": ("acc-x", "gyro-y")},
    "a unit": lambda w: {"units": ("g", "deg/s")},
    "a class name": lambda w: {"class_names": ("lie", "sit", "run")},
    "the rate": lambda w: {"rate_hz": 51.0},
    "an unknown rate": lambda w: {"rate_hz": None},
}


def nudge(array, index, by):
    array = array.copy()
    array[index] += by
    return array


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with(change, make_windows):
    windows = make_windows()
    assert dataclasses.replace(windows, **CHANGES[change](windows)).fingerprint() != windows.fingerprint()


def test_the_fingerprint_depends_on_nothing_else(make_windows):
    windows = make_windows()
    assert make_windows().fingerprint() == windows.fingerprint()
    assert make_windows(name="other").fingerprint() == windows.fingerprint()
    strided = np.asfortranarray(windows.values)
    assert dataclasses.replace(windows, values=strided).fingerprint() == windows.fingerprint()


@pytest.mark.parametrize("fields", [{}, {"rate_hz": None}, {"split": None}, {"units": ("", ""), "name": "my set"}])
def test_saved_windows_load_back_the_same(fields, make_windows, tmp_path):
    windows = make_windows(**fields)
    assert windows.save(tmp_path / "w.npz") == tmp_path / "w.npz"
    back = tsimage.load(tmp_path / "w.npz")
    assert back.fingerprint() == windows.fingerprint()
    assert back.name == windows.name
    np.testing.assert_array_equal(back.values, windows.values)
    assert back.values.dtype == np.float32
    assert back.class_names == windows.class_names


def test_a_class_without_windows_survives_saving(make_windows, tmp_path):
    windows = make_windows().select([0, 1])
    windows.save(tmp_path / "w.npz")
    assert tsimage.load(tmp_path / "w.npz").class_names == ("lie", "sit", "walk")


def test_windows_are_saved_as_npz_only(make_windows, says, tmp_path):
    with says(f"cannot save windows as '{tmp_path / 'w.csv'}': the name must end in .npz"):
        make_windows().save(tmp_path / "w.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_not_finite_names_window_channel_and_sample(make_windows, says, value, text):
    values = make_windows().values.copy()
    values[4, 1, 9] = values[5, 0, 0] = value
    hint = ", or load with missing '0.2s' to fill gaps up to 0.2 s, or 'mask'" if text == "nan" else ""
    with says(
        f"made: window 'w4', channel 'gyro-x', sample 9 is {text} (2 of 6 windows hold NaN or infinity): "
        f"fill or remove these samples{hint}"
    ):
        make_windows(values=values)


def test_parts_that_do_not_fit_together_are_refused(make_windows, says):
    values = make_windows().values
    with says("made: values of shape (6, 20) are no windows: give an array of shape (window, channel, time)"):
        make_windows(values=values[:, 0])
    with says("made: subjects has shape (5,) beside 6 windows: give one entry per window"):
        make_windows(subjects=np.array(["s"] * 5))
    with says(
        "made: 1 channel names and 2 units for 2 channels: give one name and one unit per channel of an array of shape "
        "(window, channel, time)"
    ):
        make_windows(channels=("x",))
    with says("made: channel names x, x repeat: make them unique"):
        make_windows(channels=("x", "x"))
    with says("made: window id 'w1' occurs more than once: give each recording its own id"):
        make_windows(ids=np.array(["w0", "w1", "w2", "w1", "w4", "w5"]))
    with says("made: labels 0 to 3 are outside the 3 classes: labels count from 0"):
        make_windows(labels=np.array([0, 1, 2, 3, 0, 1]))
    with says("made: labels -1 to 1 are outside the 3 classes: labels count from 0"):
        make_windows(labels=np.array([0, 1, -1, 1, 0, 1]))


def test_a_summary_in_one_line(make_windows):
    assert str(make_windows()) == (
        "made: 6 windows of 20 samples at 50 Hz, 2 channels (acc-x, gyro-x), 3 classes, 2 subjects"
    )
    assert str(make_windows(rate_hz=None, subjects=np.full(6, ""))) == (
        "made: 6 windows of 20 samples, 2 channels (acc-x, gyro-x), 3 classes, subjects unknown"
    )


def test_names_with_brackets_can_be_chosen(make_windows):
    windows = make_windows(channels=("acc [g]", "gyro-x"))
    assert windows.keep_channels(["acc [g]"]).channels == ("acc [g]",)


def test_types_are_made_those_that_are_documented(make_windows):
    windows = make_windows()
    wide = dataclasses.replace(
        windows, values=windows.values.astype(np.float64), labels=windows.labels.astype(np.int32)
    )
    assert (wide.values.dtype, wide.labels.dtype) == (np.float32, np.int64)
    assert wide.fingerprint() == windows.fingerprint()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rate_hz": -5.0}, "rate_hz -5.0 is not allowed: it must be positive, or None if unknown"),
        ({"class_names": ("a", "a", "b")}, "class names a, a, b repeat: make them unique"),
        ({"split": np.array(["train"] * 5 + ["dev"])}, "split has the part 'dev': allowed are train and test"),
    ],
)
def test_impossible_windows_are_refused(make_windows, says, change, text):
    windows = make_windows()
    with says(f"{windows.name}: {text}"):
        dataclasses.replace(windows, **change)
