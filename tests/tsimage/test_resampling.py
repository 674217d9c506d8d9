from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsimage.cutting import Recording, Segment, cut
from tsimage.resampling import HALF_FILTER, resample

RATES = [(100.0, 50.0), (100.0, 60.0), (50.0, 100.0), (64.0, 25.0), (50.0, 20.0), (49.97, 50.0), (20.0, 50.0)]


def recording(values, rate_hz, segments=(), breaks=()):
    values = np.atleast_2d(np.asarray(values, dtype=np.float32))
    return Recording(
        id="r1",
        subject="ann",
        values=values,
        channels=tuple(f"c{i}" for i in range(len(values))),
        units=("g",) * len(values),
        rate_hz=rate_hz,
        segments=tuple(Segment(start=a, stop=b, label=label) for a, b, label in segments),
        breaks=breaks,
    )


def sine(hz, rate_hz, n, at=None):
    return np.sin(2 * np.pi * hz * (np.arange(n) if at is None else at) / rate_hz + 0.4)


def inside(values, rate_hz, old_hz):
    """Leave out what the filter sees of the ends, at either rate."""
    edge = int(np.ceil(HALF_FILTER * max(1, rate_hz / old_hz))) + 1
    return values[..., edge:-edge]


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.8])
def test_a_sine_below_both_nyquist_frequencies_survives(old, new, share):
    hz = share * min(old, new) / 2
    out = resample(recording(sine(hz, old, 3000), old), new)
    expected = sine(hz, new, out.values.shape[1])
    if old == 49.97:  # 1000/999 is true to 4e-4 only: compare at the times that it makes
        ratio = 1 / Fraction(old / new).limit_denominator(1000)
        expected = sine(hz, old, 0, at=np.arange(out.values.shape[1]) / float(ratio))
    error = np.abs(inside(out.values[0] - expected, new, old)).max()
    assert error < 0.002
    assert out.rate_hz == new


@pytest.mark.parametrize(("old", "new"), [rates for rates in RATES if rates[0] / rates[1] > 1.2])
@pytest.mark.parametrize("share", [1.02, 1.1, 1.5])
def test_a_sine_above_the_new_nyquist_frequency_is_damped_by_59_db(old, new, share):
    hz = share * new / 2
    if hz < old / 2:
        out = resample(recording(sine(hz, old, 4000), old), new)
        rms = np.sqrt(np.square(inside(out.values, new, old)).mean()) * np.sqrt(2)
        assert 20 * np.log10(rms) < -59


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("n", [1, 2, 3, 17, 500])
def test_constants_stay_in_recordings_of_any_length(old, new, n):
    out = resample(recording(np.stack([np.full(n, 9.81), np.full(n, -0.3)]), old, breaks=(n // 2,)), new)
    np.testing.assert_allclose(out.values, np.broadcast_to([[9.81], [-0.3]], out.values.shape), rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(100.0, 50.0), (100.0, 60.0), (50.0, 100.0), (64.0, 25.0)])
def test_gravity_and_slow_movement_keep_at_the_ends(old, new):
    def movement(seconds):
        return 9.81 + 2 * np.sin(2 * np.pi * 1.1 * seconds + 1) + 0.5 * np.sin(2 * np.pi * 5 * seconds)

    out = resample(recording(movement(np.arange(1000) / old), old, breaks=(400,)), new)
    first = out.breaks[0]
    seconds = np.concatenate([np.arange(first) / new, 400 / old + np.arange(out.values.shape[1] - first) / new])
    assert np.abs(out.values[0] - movement(seconds)).max() < 0.025  # of 2.5


@pytest.mark.parametrize(
    ("old", "new", "n", "length"),
    [(100, 50, 10, 5), (100, 50, 11, 6), (50, 100, 10, 19), (100, 60, 6, 4), (100, 60, 5, 3), (20, 50, 3, 6)],
)
def test_no_sample_is_later_than_the_last_one_measured(old, new, n, length):
    assert resample(recording(np.arange(n), old), new).values.shape == (1, length)


def test_the_same_rate_gives_the_recording_itself():
    same = recording(np.arange(10), 50.0, [(0, 10, "a")], (5,))
    assert resample(same, 50.0) is same
    once = resample(same, 25.0)
    assert resample(once, 25.0) is once


def test_stretches_do_not_see_each_other():
    left, right = np.random.default_rng(0).normal(size=(2, 3, 150))
    both = resample(recording(np.concatenate([left, 1000 + right], axis=1), 100.0, breaks=(150,)), 40.0)
    np.testing.assert_array_equal(both.values[:, :60], resample(recording(left, 100.0), 40.0).values)
    np.testing.assert_array_equal(both.values[:, 60:], resample(recording(1000 + right, 100.0), 40.0).values)
    assert both.breaks == (60,)


def test_segments_by_hand():
    # at half the rate, new sample k lies on old sample 2k: segments hold the even samples of the old ones
    labelled = recording(np.arange(20), 100.0, [(1, 4, "a"), (4, 9, "b"), (9, 10, "c"), (12, 20, "d")], (12,))
    out = resample(labelled, 50.0)
    assert [(s.start, s.stop, s.label) for s in out.segments] == [(1, 2, "a"), (2, 5, "b"), (6, 10, "d")]
    assert out.breaks == (6,)
    # at twice the rate, the sample between two goes to the later one
    out = resample(recording(np.arange(6), 50.0, [(0, 2, "a"), (2, 6, "b")]), 100.0)
    assert [(s.start, s.stop, s.label) for s in out.segments] == [(0, 3, "a"), (3, 11, "b")]


@st.composite
def labelled(draw):
    n = draw(st.integers(2, 120))
    edges = sorted(draw(st.sets(st.integers(0, n), max_size=10)) | {0, n})
    breaks = draw(st.sets(st.sampled_from(edges), max_size=3)) - {0, n}
    segments = [(a, b, str(i)) for i, (a, b) in enumerate(pairwise(edges)) if draw(st.booleans())]
    return recording(np.arange(n), draw(st.sampled_from([20.0, 50.0, 64.0])), segments, tuple(sorted(breaks)))


@given(labelled(), st.sampled_from([10.0, 25.0, 50.0, 60.0, 200.0]))
def test_every_new_sample_has_the_label_of_the_nearest_old_one(old, rate):
    new = resample(old, rate)
    n = old.values.shape[1]
    labels = np.full(n, "-", dtype=object)
    for s in old.segments:
        labels[s.start : s.stop] = s.label
    edges, moved = [0, *old.breaks, n], [0, *new.breaks, new.values.shape[1]]
    ratio = Fraction(rate) / Fraction(old.rate_hz)
    expected = []
    for (a, b), (c, d) in zip(pairwise(edges), pairwise(moved), strict=True):
        assert d - c == (b - a - 1) * ratio // 1 + 1
        expected += [labels[min(a + int(k / ratio + Fraction(1, 2)), b - 1)] for k in range(d - c)]
    got = np.full(len(expected), "-", dtype=object)
    for s in new.segments:
        assert (got[s.start : s.stop] == "-").all()
        assert s.start < s.stop
        got[s.start : s.stop] = s.label
    assert got.tolist() == expected


def test_missing_samples_stay_missing():
    values = np.random.default_rng(0).normal(size=(3, 400)).cumsum(axis=1)
    holes = values.copy()
    holes[1, 101] = np.nan  # nearest to no new sample: it marks the one nearest to it
    holes[1, 200:220] = np.nan
    holes[2] = np.nan
    out = resample(recording(holes, 100.0), 50.0).values
    whole = resample(recording(values, 100.0), 50.0).values
    assert np.flatnonzero(np.isnan(out[1])).tolist() == [51, *range(100, 111)]
    assert np.isnan(out[2]).all()
    np.testing.assert_array_equal(out[0], whole[0])
    far = np.r_[0:29, 72:79, 132:200]  # beyond the reach of the filter from the line that bridges a hole
    np.testing.assert_array_equal(out[1, far], whole[1, far])
    up = resample(recording([[0, 1, np.nan, 3, 4, 5]], 50.0), 100.0).values[0]
    assert np.flatnonzero(np.isnan(up)).tolist() == [3, 4]


def test_resampled_recordings_are_cut_like_others():
    slow = resample(recording(sine(1, 100, 1000), 100.0, [(100, 900, "walk")], (500,)), 50.0)
    windows = cut([slow], "2s", 0.5)
    assert windows.ids.tolist() == [f"r1:{a}-{a + 100}" for a in (50, 100, 150, 250, 300, 350)]
    assert windows.rate_hz == 50


def test_rates_that_no_fraction_relates_are_refused(says):
    odd = replace(recording(np.arange(10), 100.0), rate_hz=1000.5)
    with says(
        "recording 'r1' at 1000.5 Hz cannot be resampled to 0.9 Hz: no fraction with numbers up to 1000 comes within a "
        "thousandth of their ratio: resample to a rate in between"
    ):
        resample(odd, 0.9)
    for rate in (0.0, -5.0, float("inf"), float("nan")):
        with says(f"resample {rate} Hz is not allowed: it must be positive"):
            resample(odd, rate)
