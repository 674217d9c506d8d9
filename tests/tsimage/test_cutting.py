from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsimage
from tsimage.cutting import MixedCutReport, Recording, Segment, cut
from tsimage.windows import CutReport


def cells(windows):
    """Return (start, label) of every window."""
    names = [windows.class_names[i] for i in windows.labels]
    return list(zip(windows.start.tolist(), names, strict=True))


def test_no_window_holds_both_sides_of_a_break(make_recording):
    broken = replace(make_recording(20, (0, 13, "walk"), (13, 20, "sit")), breaks=(5, 13, 16))
    # stretches of one label: 0-5, 5-13, 13-16, 16-20
    assert cells(cut([broken], 4)) == [(0, "walk"), (5, "walk"), (9, "walk"), (16, "sit")]
    assert cut([broken], 4).cut_report.short_segments == 1
    for labelling in ("majority", "centre"):
        assert cut([broken], 4, labelling=labelling).start.tolist() == [0, 5, 9, 16]


def test_breaks_at_the_edges_of_segments_change_nothing(make_recording):
    plain = make_recording(30, (2, 11, "walk"), (11, 20, "sit"), (25, 30, "walk"))
    broken = replace(plain, breaks=(0, 2, 11, 22, 30))
    assert cut([plain], 3, 0.5).fingerprint() == cut([broken], 3, 0.5).fingerprint()
    assert cut([plain], 3, 0.5).cut_report == cut([broken], 3, 0.5).cut_report


def test_whole_windows_of_overlapping_segments_keep_their_own_label(make_recording):
    both = make_recording(12, (0, 12, "walk"), (3, 8, "turn"))
    windows = cut([both], 4)
    assert cells(windows) == [(0, "walk"), (4, "walk"), (8, "walk"), (3, "turn")]


def test_labels_by_majority_and_by_centre(make_recording):
    #          0         5         10
    labels = "aaab bbaa aabb bb--".replace(" ", "")
    edges = [0, 3, 6, 10, 14]
    recording = make_recording(16, *((a, b, labels[a]) for a, b in pairwise(edges)))
    # windows of 4 every 4: aaab, bbaa, aabb, bb--; the centre is the third sample of a window
    assert cells(cut([recording], 4, labelling="majority")) == [(0, "a"), (4, "a"), (8, "b")]
    assert cells(cut([recording], 4, labelling="centre")) == [(0, "a"), (4, "a"), (8, "b")]
    # windows of 5 every 5: aaabb, baaaa, bbbb-
    assert cells(cut([recording], 5, labelling="majority")) == [(0, "a"), (5, "a"), (10, "b")]
    # windows of 3: aaa, bbb, aaa, abb, bb-
    majority = cut([recording], 3, labelling="majority")
    assert cells(majority) == [(0, "a"), (3, "b"), (6, "a"), (9, "b"), (12, "b")]
    dropped = cut([recording], 3, labelling="majority", transitions="drop")
    assert cells(dropped) == [(0, "a"), (3, "b"), (6, "a")]
    assert asdict(majority.cut_report) == {
        "recordings": 1,
        "samples": 16,
        "used": 15,
        "remainder": 0,
        "unlabelled": 1,
        "short_segments": 0,
        "mixed_kept": 2,
        "mixed_dropped": 0,
        "unlabelled_windows": 0,
    }
    assert str(dropped.cut_report) == (
        "Cut from 1 recordings of 16 samples: 9 in windows, 5 dropped as remainders (stretches shorter than a window: 0), "
        "2 without label; windows of more than one label: 0 kept, 2 left out; windows left out as unlabelled: 0"
    )


def test_of_equal_shares_the_label_nearest_the_centre_wins(make_recording):
    # aacbb: a and b hold two samples each, c the centre; b at 3 is as near as a at 1, and the earlier one counts
    tied = make_recording(5, (0, 2, "a"), (2, 3, "c"), (3, 5, "b"))
    assert cells(cut([tied], 5, labelling="majority")) == [(0, "a")]
    assert cells(cut([tied], 5, labelling="centre")) == [(0, "c")]
    # aabb--: each holds two; the centre, sample 3, is b
    tied = make_recording(6, (0, 2, "a"), (2, 4, "b"))
    assert cells(cut([tied], 6, labelling="majority")) == [(0, "b")]


def test_windows_without_a_label_are_left_out_and_counted(make_recording):
    half = make_recording(12, (0, 4, "a"), (10, 12, "b"))  # aaaa----  --bb: windows aaaa, ----, --bb
    windows = cut([half], 4, labelling="majority")
    assert cells(windows) == [(0, "a"), (8, "b")]  # a tie: the centre has b
    report = windows.cut_report
    assert (report.unlabelled_windows, report.mixed_kept) == (1, 1)
    assert (report.used, report.remainder, report.unlabelled) == (8, 0, 4)
    report = cut([half], 4, labelling="centre", transitions="drop").cut_report
    assert (report.unlabelled_windows, report.mixed_kept, report.mixed_dropped) == (1, 0, 1)
    assert (report.used, report.remainder, report.unlabelled) == (4, 2, 6)


@st.composite
def labelled(draw):
    n = draw(st.integers(1, 60))
    edges = sorted(draw(st.sets(st.integers(0, n), max_size=10)) | {0, n})
    segments = [
        Segment(start=a, stop=b, label=draw(st.sampled_from("abc"))) for a, b in pairwise(edges) if draw(st.booleans())
    ]
    return Recording(
        id=str(draw(st.uuids())),
        subject="ann",
        values=np.arange(n, dtype=np.float32)[None],
        channels=("x",),
        units=("g",),
        rate_hz=1.0,
        segments=tuple(segments),
        breaks=tuple(sorted(draw(st.sets(st.integers(0, n), max_size=4)))),
    )


def by_brute_force(recordings, length, step, labelling, transitions):
    """Cut sample by sample, with sets and counters; returns the windows and the report as a dict."""
    windows, counts = [], Counter(recordings=len(recordings))
    for recording in recordings:
        n = recording.values.shape[1]
        label = {t: s.label for s in recording.segments for t in range(s.start, s.stop)}
        segment = {t: i for i, s in enumerate(recording.segments) for t in range(s.start, s.stop)}
        used = set()

        def runs_on(t, recording=recording, segment=segment):
            same = labelling != "whole" or segment.get(t) == segment.get(t - 1)
            return t not in recording.breaks and same

        begins = [t for t in range(n) if t == 0 or not runs_on(t)]
        for begin in begins:
            end = next((t for t in range(begin + 1, n) if not runs_on(t)), n)
            if labelling == "whole" and begin not in label:
                continue
            counts["short_segments"] += end - begin < length
            for start in range(begin, end - length + 1, step):
                held = [label.get(t) for t in range(start, start + length)]
                centre = length // 2
                got = held[centre]
                if labelling == "majority":
                    most = max(Counter(held).values())
                    tied = [t for t in range(length) if Counter(held)[held[t]] == most]
                    got = held[min(tied, key=lambda t: (abs(t - centre), t))]
                mixed = len(set(held)) > 1
                if got is None:
                    counts["unlabelled_windows"] += 1
                elif mixed and transitions == "drop":
                    counts["mixed_dropped"] += 1
                else:
                    counts["mixed_kept"] += mixed
                    windows.append((recording.id, start, got))
                    used |= set(range(start, start + length))
        counts["samples"] += n
        counts["used"] += len(used)
        counts["remainder"] += len(set(label) - used)
        counts["unlabelled"] += len(set(range(n)) - set(label) - used)
    return windows, counts


@pytest.mark.parametrize(
    ("labelling", "transitions"),
    [("whole", "keep"), ("majority", "keep"), ("majority", "drop"), ("centre", "keep"), ("centre", "drop")],
)
@given(
    recordings=st.lists(labelled(), min_size=1, max_size=3, unique_by=lambda r: r.id),
    length=st.integers(2, 9),
    overlap=st.floats(0, 0.95),
)
def test_windows_and_counts_equal_those_found_sample_by_sample(labelling, transitions, recordings, length, overlap):
    step = max(1, round(length * (1 - overlap)))
    expected, counts = by_brute_force(recordings, length, step, labelling, transitions)
    how = {"labelling": labelling, "transitions": transitions}
    if not expected:
        with pytest.raises(tsimage.UserError, match=r"no window of|no sample of"):
            cut(recordings, length, overlap, **how)
        return
    windows = cut(recordings, length, overlap, **how)
    names = [windows.class_names[i] for i in windows.labels]
    assert list(zip(windows.recordings.tolist(), windows.start.tolist(), names, strict=True)) == expected
    report = windows.cut_report
    assert type(report) is (CutReport if labelling == "whole" else MixedCutReport)
    assert asdict(report) == {field: counts[field] for field in asdict(report)}
    assert report.samples == report.used + report.remainder + report.unlabelled


def test_what_cannot_be_cut_is_said_in_one_sentence(make_recording, says):
    recording = make_recording(10, (0, 5, "walk"), (5, 10, "sit"))
    with says("unknown labelling 'center': did you mean 'centre'? Valid: whole, majority, centre"):
        cut([recording], 4, labelling="center")
    with says("unknown transitions 'dropp': did you mean 'drop'? Valid: keep, drop"):
        cut([recording], 4, labelling="centre", transitions="dropp")
    with says(
        "transitions 'drop' does nothing under labelling 'whole', whose windows hold one label from end to end: leave it out, "
        "or choose labelling 'majority' or 'centre'"
    ):
        cut([recording], 4, transitions="drop")
    with says(
        "recordings: no window of 8 samples is left: 0 are unlabelled and 1 hold more than one label; choose a shorter window, "
        "or keep transitions"
    ):
        cut([recording], 8, labelling="majority", transitions="drop")
    with says(
        "recordings: no window of 9 samples fits: the longest stretch without a break has 8 samples; choose a shorter window"
    ):
        cut([replace(recording, breaks=(8,))], 9, labelling="centre")
    with says(
        "recordings: no window of 5 samples fits: the longest stretch with one label in one recording has 4 samples; choose a "
        "shorter window"
    ):
        cut([replace(recording, breaks=(4, 9))], 5)
    with says(
        "recordings: sample 3 of recording 'r1' has more than one label: choose labelling 'whole', or mend the labels"
    ):
        cut([make_recording(10, (0, 5, "walk"), (3, 10, "sit"))], 4, labelling="majority")
    with says("recordings: no sample of the 1 recordings has a label: label them"):
        cut([make_recording(10)], 4, labelling="majority")


def test_real_recordings_by_majority(data_dir):
    folder = data_dir / "hapt" / "original-sample"
    labels = np.loadtxt(folder / "labels.txt", dtype=int)
    values = np.loadtxt(folder / "acc_exp01_user01.head4000.txt", dtype=np.float32).T
    recording = Recording(
        id="exp01",
        subject="user01",
        values=values,
        channels=("acc-x", "acc-y", "acc-z"),
        units=("g",) * 3,
        rate_hz=50.0,
        segments=tuple(
            Segment(start=a - 1, stop=b, label=str(activity))
            for experiment, _, activity, a, b in labels
            if experiment == 1 and b <= values.shape[1]
        ),
    )
    expected, counts = by_brute_force([recording], 128, 64, "majority", "keep")
    windows = cut([recording], "2.56s", 0.5, labelling="majority")
    names = [windows.class_names[i] for i in windows.labels]
    assert list(zip(windows.recordings.tolist(), windows.start.tolist(), names, strict=True)) == expected
    assert windows.cut_report.mixed_kept == counts["mixed_kept"] > 0
    assert windows.cut_report.unlabelled_windows == counts["unlabelled_windows"] > 0
