"""Damaged windows: exact ratios and shares, what stays as it was, and the same damage for everybody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import firwin
from scipy.spatial.transform import Rotation

from distill.augment.streams import Streams, hash_ids
from distill.stress import CONDITIONS, Sensors, damaged
from distill.stress.losing import gap, lost, missing
from distill.stress.noise import jitter, noise
from distill.stress.rate import lower_rate
from distill.stress.sensors import drift, dropped, rotation, scaling, stuck

CHANNELS = ("acc-x", "acc-y", "acc-z", "heart")
TRIPLES = [(0, 1, 2)]


def streams(n, seed=0):
    return Streams(seed=seed, epoch=0, ids_hash=hash_ids(f"w{i}" for i in range(n)))


def walk(n=5, length=40, seed=3, channels=4):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, channels, length)).cumsum(axis=2) + 9.81).astype(np.float32)


def bits(values):
    assert values.dtype == np.float32
    return values.tobytes()


@pytest.fixture(scope="module")
def sensors():
    return Sensors.fit(walk(50, seed=9), CHANNELS)


@given(
    snr_db=st.floats(-20, 40),
    seed=st.integers(0, 1000),
    length=st.integers(2, 60),
    gravity=st.floats(-20, 20),
    amplitude=st.floats(0.01, 100),
)
def test_the_signal_to_noise_ratio_is_exact_in_every_window_and_channel(snr_db, seed, length, gravity, amplitude):
    x = np.random.default_rng(seed).normal(gravity, amplitude, size=(3, 2, length)).astype(np.float32)
    made = noise(x, streams(3, seed), snr_db=snr_db).astype(np.float64)
    wide = x.astype(np.float64)
    added = np.sqrt(np.mean((made - wide) ** 2, axis=2))
    wanted = wide.std(axis=2) * 10 ** (-snr_db / 20)
    # a sample of float32 is off by half a unit of its last place
    np.testing.assert_allclose(added, wanted, rtol=1e-12, atol=2**-24 * np.abs(made).max() * 1.01)


def test_the_ratio_is_that_of_variance_and_noise_in_decibels():
    x = np.sin(np.arange(500) / 7)[None, None].astype(np.float32)
    for offset in (0.0, 9.81):
        shifted = x + np.float32(offset)
        wide = shifted.astype(np.float64)
        for level in CONDITIONS["noise"].levels:
            added = noise(shifted, streams(1), snr_db=float(level)).astype(np.float64) - wide
            assert 10 * np.log10(wide.var() / np.mean(added**2)) == pytest.approx(float(level), abs=1e-4)


def test_noise_is_white_gaussian_and_none_where_nothing_moves():
    x = np.zeros((200, 2, 100), np.float32)
    x[:, 1, ::2] = 2.0  # variance 1
    made = noise(x, streams(200), snr_db=0.0)
    assert bits(made[:, 0]) == bits(x[:, 0])
    added = (made - x)[:, 1]
    assert abs(added.mean()) < 0.02
    assert np.mean(np.abs(added) < 1.959964) == pytest.approx(0.95, abs=0.01)
    assert abs(np.mean(added[:, 1:] * added[:, :-1])) < 0.02


def test_nothing_is_nothing_to_the_bit(sensors):
    x = walk()
    x[0, 0, :3] = (-0.0, 0.0, np.float32(1e-40))
    s = streams(len(x))
    for made in (
        noise(x, s, snr_db=np.inf),
        rotation(x, s, degrees=0, triples=TRIPLES),
        scaling(x, factor=1.0),
        missing(x, s, share=0.0),
        gap(x, s, share=0.0),
        lower_rate(x, factor=1),
    ):
        assert bits(made) == bits(x)
        assert not np.shares_memory(made, x)
    np.testing.assert_array_equal(drift(x, s, slope=0.0, std=sensors.std), x)
    np.testing.assert_array_equal(jitter(x, s, sigma=0.0, std=sensors.std), x)


def test_jitter_is_of_the_training_deviation_of_each_channel():
    std = np.array([0.5, 2.0, 0.0])
    x = np.full((50, 3, 400), 9.81, np.float32)
    added = jitter(x, streams(50), sigma=0.12, std=std) - x
    np.testing.assert_allclose(added.std(axis=(0, 2)), 0.12 * std, rtol=0.02)


@pytest.mark.parametrize(("share", "length", "count"), [("0.15", 128, 19), ("0.22", 100, 22), ("0.30", 15, 5)])
def test_shares_are_exact(share, length, count):
    assert lost(float(share), length) == count
    x = np.cumsum(1 + np.random.default_rng(0).random((30, 4, length)), axis=2).astype(np.float32) ** 2  # always rising
    held = missing(x, streams(30), share=float(share))
    gone = held != x
    assert (gone.sum(axis=2) == count).all()
    assert (gone == gone[:, :1]).all()  # in all channels at once
    filled = gap(x, streams(30), share=float(share))
    changed = np.abs(filled - x) > 1e-3
    starts = changed.argmax(axis=2)
    assert (changed.sum(axis=2) == count).all()
    for window in range(30):
        expected = np.zeros(length, bool)
        expected[starts[window, 0] : starts[window, 0] + count] = True
        assert (changed[window] == expected).all()


def test_lost_samples_are_held_and_gaps_are_lines():
    x = walk(40, 20)
    held = missing(x, streams(40), share=0.3)
    gone = np.argsort(np.argsort(streams(40).uniform("stress: missing", 20), axis=1), axis=1) < 6
    seen_first = False
    for window, out in enumerate(gone):
        last = int(np.argmin(out))
        seen_first |= last > 0
        for t in range(20):
            last = t if not out[t] else last
            np.testing.assert_array_equal(held[window, :, t], x[window, :, last])
    assert seen_first  # some window loses its first sample
    filled, ends = gap(x, streams(40), share=0.3), set()
    for window in range(40):
        start = int((filled[window] != x[window]).any(axis=0).argmax())
        kept = np.r_[0:start, start + 6 : 20]
        ends |= {start, start + 6}
        for channel in range(4):
            line = np.interp(np.arange(20), kept, x[window, channel, kept])
            np.testing.assert_allclose(filled[window, channel], line, rtol=1e-6)
    assert {0, 20} <= ends


@pytest.mark.parametrize("lose", [missing, gap])
def test_what_is_lost_at_a_lower_share_is_lost_at_a_higher(lose):
    x = np.arange(100, dtype=np.float32)[None, None].repeat(40, 0) ** 2
    few, many = (lose(x, streams(40), share=share) != x for share in (0.15, 0.3))
    assert (few <= many).all()


@pytest.mark.parametrize("degrees", [15, 90, 180])
def test_rotation_keeps_norms_turns_by_the_angle_and_leaves_other_channels(degrees):
    x = walk(8)
    made = rotation(x, streams(8), degrees=degrees, triples=TRIPLES)
    np.testing.assert_allclose(np.linalg.norm(made[:, :3], axis=1), np.linalg.norm(x[:, :3], axis=1), rtol=1e-5)
    assert bits(made[:, 3]) == bits(x[:, 3])
    for window in range(8):
        matrix = np.linalg.lstsq(x[window, :3].T.astype(float), made[window, :3].T.astype(float), rcond=None)[0].T
        assert np.rad2deg(Rotation.from_matrix(matrix).magnitude()) == pytest.approx(degrees, abs=0.1)
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)


def test_all_sensors_turn_together_about_one_axis_for_all_angles():
    x = np.concatenate([walk(4, channels=3)] * 2, axis=1)
    vectors = []
    for degrees in (15, 90):
        made = rotation(x, streams(4), degrees=degrees, triples=[(0, 1, 2), (3, 4, 5)])
        assert bits(made[:, :3]) == bits(made[:, 3:])
        for window in range(4):
            matrix = np.linalg.lstsq(x[window, :3].T.astype(float), made[window, :3].T.astype(float), rcond=None)[0].T
            vectors.append(Rotation.from_matrix(matrix).as_rotvec(degrees=True) / degrees)
    np.testing.assert_allclose(vectors[:4], vectors[4:], atol=1e-3)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_lower_rate_is_filtered_decimated_and_interpolated(factor):
    x = walk(3, 96)
    reach = 20 * factor
    taps = firwin(2 * reach + 1, 0.92 / factor, window=("kaiser", 5.65))

    def turned_about_the_ends(values, width):
        return np.pad(values, ((0, 0), (0, 0), (width, width)), mode="reflect", reflect_type="odd")

    wide = turned_about_the_ends(x.astype(float), reach)
    low = np.stack([wide[:, :, m : m + 2 * reach + 1] @ taps / taps.sum() for m in range(0, 96, factor)], axis=2)
    around, expected = turned_about_the_ends(low, 21), np.empty(x.shape)
    for t in range(96):
        there = [
            (i, taps[t - i * factor + reach]) for i in range(-21, low.shape[2] + 21) if abs(t - i * factor) <= reach
        ]
        weights = np.array([tap for _, tap in there])
        expected[:, :, t] = around[:, :, [i + 21 for i, _ in there]] @ weights / weights.sum()
    np.testing.assert_allclose(lower_rate(x, factor=factor), expected, rtol=1e-5, atol=1e-5)


def test_lower_rate_keeps_constants_and_slow_waves_and_takes_fast_ones():
    time = np.arange(256) / 64
    waves = np.stack([np.full(256, 9.81), np.sin(2 * np.pi * 2 * time), np.sin(2 * np.pi * 14 * time)])[None]
    x = waves.astype(np.float32)
    made = lower_rate(x, factor=4)  # to 16 Hz
    np.testing.assert_allclose(made[0, 0], x[0, 0], rtol=1e-5)
    inner = slice(90, 166)
    np.testing.assert_allclose(made[0, 1, inner], x[0, 1, inner], atol=0.005)
    assert np.abs(made[0, 2, inner]).max() < 0.005
    assert lower_rate(x[:, :, :255], factor=4).shape == (1, 3, 255)


def test_drift_is_a_line_in_training_deviations():
    x = walk(30, 11)
    std = np.array([1.0, 2.0, 3.0, 0.0])
    line = drift(x, streams(30), slope=2.0, std=std).astype(float) - x
    np.testing.assert_allclose(np.abs(line[:, :, -1]), 2 * std[None].repeat(30, 0), atol=1e-4)
    np.testing.assert_allclose(line[:, :, 5], line[:, :, -1] / 2, atol=1e-4)
    assert (line[:, :, 0] == 0).all()
    assert {-1.0, 1.0} == set(np.sign(line[:, 0, -1]))


def test_a_dropped_axis_is_its_training_mean_and_a_stuck_one_repeats():
    x = walk(3, 10)
    mean = np.array([1.5, 2.5, 3.5, 4.5])
    made = dropped(x, channel=2, mean=mean)
    assert (made[:, 2] == 3.5).all()
    np.testing.assert_array_equal(made[:, [0, 1, 3]], x[:, [0, 1, 3]])
    made = stuck(x, share=1 / 3)
    np.testing.assert_array_equal(made[:, :, :8], x[:, :, :8])
    assert (made[:, :, 7:] == x[:, :, 7:8]).all()


@pytest.mark.parametrize("name", CONDITIONS)
def test_damage_is_of_the_window_alone(name, sensors, monkeypatch):
    x, ids = walk(7), [f"w{i}" for i in range(7)]
    before = bits(x)
    for level in CONDITIONS[name].levels_for(CHANNELS):
        made = damaged(x, ids, name, level, sensors)
        assert made.shape == x.shape
        assert np.isfinite(made).all()
        assert (made != x).any(axis=(1, 2)).all()
        order = [4, 0, 6, 2]
        some = damaged(x[order], [ids[i] for i in order], name, level, sensors)
        assert bits(some) == bits(made[order])
        with monkeypatch.context() as patch:
            patch.setattr("distill.stress.registry.BLOCK", 3)
            assert bits(damaged(x, ids, name, level, sensors)) == bits(made)
    assert bits(x) == before


@pytest.mark.parametrize("name", ["noise", "jitter", "missing", "gap", "rotation", "drift"])
def test_draws_hang_on_seed_and_window(name, sensors):
    x = walk(1).repeat(6, axis=0)
    ids, level = [f"w{i}" for i in range(6)], CONDITIONS[name].levels[-1]
    made = damaged(x, ids, name, level, sensors)
    assert len({bits(one) for one in made}) > 1
    assert bits(damaged(x, ids, name, level, sensors, seed=1)) != bits(made)


def test_levels_say_what_they_are(sensors):
    for condition in CONDITIONS.values():
        assert condition.meaning
        assert condition.unit
        assert condition.phrase.format("1") != condition.phrase
        assert condition.clean < max(1, len(condition.levels))
    assert CONDITIONS["noise"].levels == ("20", "15", "10", "5", "0", "-5")
    assert CONDITIONS["jitter"].levels == ("0.06", "0.09", "0.12")
    assert CONDITIONS["missing"].levels == CONDITIONS["gap"].levels == ("0.15", "0.22", "0.30")


def test_sensors_are_measured_as_networks_standardise():
    import torch

    from distill.models.standardize import Standardize

    x = walk(20)
    found, layer = Sensors.fit(x, CHANNELS), Standardize.fit(torch.from_numpy(x))
    np.testing.assert_allclose(found.mean, layer.mean[:, 0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(found.std, layer.std[:, 0].numpy(), rtol=1e-6)
    assert found.triples == ((0, 1, 2),)


def test_what_cannot_be_is_one_sentence(sensors, says):
    x, ids = walk(2), ["a", "b"]
    with says(f"unknown condition 'nois': did you mean 'noise'? Valid: {', '.join(CONDITIONS)}"):
        damaged(x, ids, "nois", "5", sensors)
    with says("level 'much' of condition 'drift' is no number: give one as 0.5, 1, 2"):
        damaged(x, ids, "drift", "much", sensors)
    with says("unknown channel 'acc-q': did you mean 'acc-x'? Valid: acc-x, acc-y, acc-z, heart"):
        damaged(x, ids, "dropped", "acc-q", sensors)
    for level in ("0", "2", "0.3", "-1/2"):
        with says(f"level '{level}' of condition 'rate' is not allowed: give one over a whole number, as 1/3"):
            damaged(x, ids, "rate", level, sensors)
    with says("level '-1' of condition 'jitter' is not allowed: give 0 or more"):
        damaged(x, ids, "jitter", "-1", sensors)
    with says("level 'inf' of condition 'drift' is no number: give one as 0.5, 1, 2"):
        damaged(x, ids, "drift", "inf", sensors)
    for lacking in (np.nan, np.inf):
        broken = x.copy()
        broken[1, 2, 3] = lacking
        with says(
            "window 'b' has samples that are missing or infinite, and only whole windows are damaged: fill its gaps, or leave it out"
        ):
            damaged(broken, ids, "gap", "0.15", sensors)
    with says("share 1 of 40 samples is not allowed: it must be 0 or more, and leave a sample"):
        damaged(x, ids, "missing", "1", sensors)
    with says("a signal-to-noise ratio of nan dB is not allowed: give a number, or infinity for no noise"):
        noise(x, streams(2), snr_db=float("nan"))
    with says("windows of 8 samples hold one at 1/8 of their rate, and two are needed: cut longer ones"):
        lower_rate(x[:, :, :8], factor=8)
    other = Sensors.fit(x[:, :2], ("a", "b"))
    with says(
        "condition 'rotation' is not for these windows, for no three channels are the x, y and z of one sensor: leave it out"
    ):
        damaged(x[:, :2], ids, "rotation", "15", other)
    assert bits(damaged(x, ids, "noise", "inf", sensors)) == bits(x)
