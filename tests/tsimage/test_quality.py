import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tsimage
from tsimage import quality
from tsimage.quality import FLAGS, counts, describe, inspect, without
from tsimage.windows import Windows

G = 9.80665
AXES = ("acc-x", "acc-y", "acc-z")


def windows_of(values, channels=AXES, units=None, rate_hz=50.0, recordings=None, **fields):
    """Windows of one recording that follow one another, unless told otherwise."""
    n, n_channels, length = values.shape
    defaults = {
        "values": values.astype(np.float32),
        "channels": channels,
        "units": ("g",) * n_channels if units is None else units,
        "rate_hz": rate_hz,
        "labels": np.zeros(n, dtype=np.int64),
        "class_names": ("walk",),
        "subjects": np.full(n, "ann"),
        "recordings": np.full(n, "r1") if recordings is None else np.array(recordings, dtype=str),
        "start": np.arange(n) * length,
        "stop": (np.arange(n) + 1) * length,
        "ids": np.array([f"w{i}" for i in range(n)]),
    }
    return Windows(**(defaults | fields))


def walking(n=8, length=128, seed=0):
    """Gravity along z, steps at 2 Hz with harmonics, noise of 10 mg, as a converter with steps of 1/512 g gives them."""
    rng = np.random.default_rng(seed)
    time = np.arange(length) / 50
    values = np.empty((n, 3, length))
    for window in range(n):
        for axis in range(3):
            phase = rng.uniform(0, 2 * np.pi, size=3)
            steps = sum(
                a * np.sin(2 * np.pi * 2 * k * time + p)
                for k, a, p in zip((1, 2, 3), (0.3, 0.15, 0.05), phase, strict=True)
            )
            values[window, axis] = (axis == 2) + steps + rng.normal(0, 0.01, size=length)
    return np.round(values * 512) / 512


def said(windows, **options):
    return [describe(row, windows.channels) for row in inspect(windows, **options)]


def test_every_flag_has_its_own_bit_and_one_sentence():
    assert list(FLAGS) == [
        "constant",
        "stuck",
        "saturated",
        "clipped",
        "dropout",
        "spike",
        "gap",
        "non-wear",
        "wrong-unit",
    ]
    assert [flag.bit for flag in FLAGS.values()] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    for flag in FLAGS.values():
        assert "\n" not in flag.meaning
        assert not re.search(r"\.( |$)", flag.meaning)


def test_clean_windows_have_no_flag():
    flags = inspect(windows_of(walking(60)))
    assert flags.dtype == np.uint16
    assert flags.shape == (60, 3)
    assert not flags.any()


def _all_zero(values):
    values[3] = 0


def _constant_sensor(values):
    values[3] = [[0.5], [0.25], [1.0]]


def _stuck_axis(values):
    values[3, 1] = 0.25


def _stuck_for_half_a_second(values):
    values[3, 1, 40:65] = values[3, 1, 40]


def _saturated(values):
    values *= 4
    np.clip(values, -2, 2, out=values)


def _clipped(values):
    values[3, 0] = np.minimum(values[3, 0], np.quantile(values[3, 0], 0.85))


def _zeros(values):
    values[3, :, 60:63] = 0


def _held(values):
    values[3, :, 60:70] = values[3, :, 60:61]


def _spike_up(values):
    values[3, 2, 77] += 3


def _spikes_down(values):
    values[3, 0, [20, 50]] -= 4


WHOLE = "acc-x|acc-y|acc-z"


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (_all_zero, f"constant({WHOLE})+dropout({WHOLE})"),
        (_constant_sensor, f"constant({WHOLE})+dropout({WHOLE})"),
        (_stuck_axis, "constant(acc-y)+stuck(acc-y)"),
        (_stuck_for_half_a_second, "stuck(acc-y)"),
        (_clipped, "clipped(acc-x)"),
        (_zeros, f"dropout({WHOLE})"),
        (_held, f"dropout({WHOLE})"),
        (_spike_up, "spike(acc-z)"),
        (_spikes_down, "spike(acc-x)"),
    ],
)
@pytest.mark.parametrize("unit", ["g", "m/s^2"])
def test_a_planted_fault_is_flagged_where_it_is_and_nowhere_else(plant, expected, unit):
    values = walking()
    plant(values)
    values = values * {"g": 1.0, "m/s^2": G}[unit]
    assert said(windows_of(values, units=(unit,) * 3)) == [expected if i == 3 else "" for i in range(8)]


@pytest.mark.parametrize("unit", ["g", "m/s^2"])
@pytest.mark.parametrize("full_scale", [2.0, 3.0, 4.0, 6.0, 8.0, 16.0])
def test_a_converter_at_its_end_is_saturated_rather_than_clipped(unit, full_scale):
    values = walking(20) * full_scale * 2
    hits = (np.abs(values) >= full_scale).sum(axis=2) >= 40  # half a period above the end
    values = np.clip(values, -full_scale, full_scale) * {"g": 1.0, "m/s^2": G}[unit]
    flags = inspect(windows_of(values, units=(unit,) * 3))
    assert hits.sum() > 10
    assert (flags[hits] & FLAGS["saturated"].bit > 0).all()
    assert not (flags & FLAGS["clipped"].bit).any()


def test_an_end_that_is_exceeded_elsewhere_or_is_sold_nowhere_is_no_end_unless_it_is_given(says):
    values = walking()
    top = float(np.round(np.quantile(values[3, 2], 0.8) * 512) / 512)
    values[3, 2] = np.minimum(values[3, 2], top)
    assert said(windows_of(values))[3] == "clipped(acc-z)"
    assert said(windows_of(values), full_scale={"g": top})[3] == "saturated(acc-z)"
    stretched = windows_of(np.clip(values * (2 / top), -2, 2))
    assert said(stretched)[3] == "saturated(acc-z)"
    stretched.values[5, 2, 7] = 2.5
    assert said(stretched)[3] == "clipped(acc-z)"
    with says("full scale -8 g is not allowed: it must be positive"):
        inspect(windows_of(values), full_scale={"g": -8})
    with says("unknown unit of a full scale 'G': did you mean 'g'? Valid: g"):
        inspect(windows_of(values), full_scale={"G": 8})


@pytest.mark.parametrize(("rate", "least"), [(50.0, 25), (100.0, 50), (10.0, 10), (None, 10)])
def test_how_long_a_channel_must_repeat_itself(rate, least):
    for n in (least - 1, least):
        values = walking()
        values[3, 1, 5 : 5 + n] = 0.25 + 1 / 1024  # a value that its neighbours cannot have
        assert said(windows_of(values, rate_hz=rate))[3] == ("stuck(acc-y)" if n == least else "")


@pytest.mark.parametrize(("rate", "least"), [(50.0, 10), (100.0, 20), (10.0, 10), (None, 10)])
def test_how_long_a_sensor_must_repeat_itself(rate, least):
    for n in (least - 1, least):
        values = walking()
        values[3, :, 5 : 5 + n] = [[1 / 1024], [1 / 1024], [1 + 1 / 1024]]
        assert said(windows_of(values, rate_hz=rate))[3] == (f"dropout({WHOLE})" if n == least else "")


def test_two_zeros_are_no_dropout_and_zeros_on_one_axis_are_none():
    values = walking()
    values[3, :, 60:62] = 0
    values[4, :2, 60:70] = 0
    assert set(said(windows_of(values))) == {""}


def test_an_axis_that_repeats_itself_while_its_sensor_lies_still_is_not_stuck():
    values = np.round(walking() * 0.002 * 64) / 64  # less than a level of a coarse converter
    values[:, 2] = 1 + np.random.default_rng(0).integers(0, 2, size=(8, 128)) / 64
    assert not (inspect(windows_of(values)) & FLAGS["stuck"].bit).any()
    values[3, 2] += np.linspace(0, 1, 128)
    assert said(windows_of(values))[3] == "constant(acc-x|acc-y)+stuck(acc-x|acc-y)"


def test_a_single_channel_is_stuck_where_the_rest_of_its_window_moves():
    values = walking()[:, :1]
    values[3, 0, 40:65] = values[3, 0, 40]
    values[4, 0, 40:65] = 0
    values[5, 0] = 0.5
    got = said(windows_of(values, channels=("acc",)))
    assert got == ["", "", "", "stuck(acc)", "stuck(acc)+dropout(acc)", "constant(acc)", "", ""]


def test_faults_stay_with_their_own_sensor():
    values = np.concatenate([walking(), walking(seed=1), walking(seed=2)], axis=1)
    names = (*(f"hand-{a}" for a in AXES), *(f"chest-{a}" for a in AXES), "GyroX", "GyroY", "GyroZ")
    values[3, 3:6, 20:30] = 0
    values[4, 6:, 20:40] = 0.5
    got = said(windows_of(values, channels=names, units=("g",) * 6 + ("rad/s",) * 3))
    assert got[3] == "dropout(chest-acc-x|chest-acc-y|chest-acc-z)"
    assert got[4] == "dropout(GyroX|GyroY|GyroZ)"
    assert set(got[:3] + got[5:]) == {""}


@pytest.mark.parametrize("rate", [10.0, 39.9, None])
def test_below_40_hz_one_sample_is_a_movement(rate):
    values = walking()
    _spike_up(values)
    assert set(said(windows_of(values, rate_hz=rate))) == {""}
    assert said(windows_of(values, rate_hz=40.0))[3] == "spike(acc-z)"


def test_steps_of_runners_and_small_jumps_are_no_spikes():
    """Heel strikes one sample wide, 1.5 g high, at 2.7 Hz; and a jump of 90 mg where 100 are needed."""
    values = walking()
    values[3, 2, 5::18] += 1.5
    values[4:] = 1 + np.random.default_rng(0).normal(0, 0.001, size=values[4:].shape)
    values[5, 2, 60] = 1.09
    values[6, 2, 60] = 1.11
    values[7, 2, 60:] = 1.5  # a step does not return
    flags = inspect(windows_of(values)) & FLAGS["spike"].bit > 0
    assert np.argwhere(flags).tolist() == [[6, 2]]


def test_what_stands_still_by_nature_is_only_constant():
    values = np.full((2, 2, 128), 36.5)
    values[1, :, 60:] = 80
    values[1, :, 10] = 0
    got = said(windows_of(values, channels=("temperature", "heart-rate"), units=("degC", "bpm")))
    assert got == ["constant(temperature|heart-rate)", ""]


def test_gaps_are_flagged_and_missing_samples_are_no_fault_of_another_kind():
    values = walking()
    _spike_up(values)
    values[3, 2, :5] = np.nan
    values[4, 0] = np.nan
    values[5, :, 40:90] = np.nan
    gaps = np.isnan(values).any(axis=2)
    got = said(windows_of(values, gaps=gaps))
    assert got[3:6] == ["spike(acc-z)+gap(acc-z)", "gap(acc-x)", f"gap({WHOLE})"]
    assert set(got[:3] + got[6:]) == {""}


def lying(n, rng=0):
    values = np.random.default_rng(rng).normal(0, 0.005, size=(n, 3, 64))
    values[:, 2] += 1
    return values


def test_non_wear_is_half_an_hour_of_stillness():
    """At 10 Hz a window of 64 samples takes 6.4 s: 281 make 1798.4 s, 282 make 1804.8 s."""
    bit = FLAGS["non-wear"].bit
    for n, share in ((281, 0), (282, 1)):
        flags = inspect(windows_of(lying(n), rate_hz=10.0))
        assert (flags & bit > 0).mean() == share
    values = lying(600)
    values[282] *= 2  # takes off 1 g: still, but of the noise not enough is left below 13 mg
    values[282] += np.random.default_rng(0).normal(0, 0.05, size=(3, 64))
    expected = np.arange(600) != 282
    windows = windows_of(values, rate_hz=10.0)
    np.testing.assert_array_equal(inspect(windows)[:, 0] & bit > 0, expected)
    shuffled = np.random.default_rng(1).permutation(600)
    np.testing.assert_array_equal(inspect(windows.select(shuffled))[:, 1] & bit > 0, expected[shuffled])


@pytest.mark.parametrize(
    "fields",
    [
        {"recordings": [""] * 300},
        {"recordings": ["a", "b"] * 150},
        {"rate_hz": None},
        {"units": ("",) * 3},
        {"start": np.arange(300) * 128, "stop": np.arange(300) * 128 + 64},  # a window's time between any two
    ],
    ids=["no recording", "two recordings", "no rate", "no unit", "far apart"],
)
def test_non_wear_needs_rate_unit_and_one_recording(fields):
    assert not (inspect(windows_of(lying(300), **({"rate_hz": 10.0} | fields))) & FLAGS["non-wear"].bit).any()


def test_remainders_between_windows_do_not_end_a_still_stretch():
    start = np.arange(300) * 120
    flags = inspect(windows_of(lying(300), rate_hz=10.0, start=start, stop=start + 64))
    assert (flags & FLAGS["non-wear"].bit > 0).all()


@pytest.mark.parametrize(("stated", "factor"), [("g", G), ("m/s^2", 1.0)])
def test_a_unit_that_gravity_contradicts(stated, factor):
    """One recording of three is in the other unit; one of its windows is all movement, which cannot tell."""
    right = {"g": 1.0, "m/s^2": G}[stated]
    values = np.concatenate([lying(15), walking(5, length=64) * 0.6])
    recordings = np.array(["a", "b", "c", ""] * 5)
    values[recordings == "b"] *= factor
    values[recordings != "b"] *= right
    flags = inspect(windows_of(values, units=(stated,) * 3, recordings=recordings)) & FLAGS["wrong-unit"].bit > 0
    np.testing.assert_array_equal(flags, np.repeat((recordings == "b")[:, None], 3, axis=1))


def test_movement_without_gravity_says_nothing_about_the_unit():
    values = walking(20)
    values[:, 2] -= 1
    for factor in (1.0, 3.0):
        assert not inspect(windows_of(values * factor, units=("m/s^2",) * 3)).any()


@pytest.mark.parametrize(
    "change",
    [
        lambda v: -v,
        lambda v: v[:, [2, 0, 1]],
        lambda v: v + np.linspace(0, 0.2, 128),
    ],
    ids=["sign flip", "swapped axes", "drift"],
)
def test_what_leaves_no_trace_in_a_window_has_no_flag(change):
    assert set(said(windows_of(change(walking())))) == {""}


def test_blocks_and_memory_maps_do_not_matter(monkeypatch, tmp_path):
    values = walking(50)
    for plant in (_stuck_axis, _spike_up):
        plant(values)
    values[9, :, 3:20] = 0
    windows = windows_of(values)
    expected = inspect(windows)
    assert (expected > 0).any(axis=1).sum() == 2
    np.save(tmp_path / "values.npy", windows.values)
    monkeypatch.setattr(quality, "_BLOCK_BYTES", 3 * 4 * 3 * 128)
    mapped = dataclasses.replace(windows, values=np.load(tmp_path / "values.npy", mmap_mode="r"))
    np.testing.assert_array_equal(inspect(mapped), expected)
    np.testing.assert_array_equal(inspect(windows.select(slice(9, 10))), expected[9:10])


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.just(3), st.integers(1, 40)),
        elements=st.sampled_from([0, 1, -1, 0.5, 2, 9.75, -16, 1e-30, 3e38, -3e38]),
    ),
    st.sampled_from([None, 10.0, 50.0]),
    st.sampled_from(["", "g", "m/s^2", "uT"]),
)
def test_any_finite_values_give_flags(values, rate, unit):
    windows = windows_of(values, units=(unit,) * 3, rate_hz=rate)
    flags = inspect(windows)
    assert flags.shape == values.shape[:2]
    np.testing.assert_array_equal(flags & 1 > 0, windows.constant_channels())
    assert flags.max(initial=0) < 512


@pytest.mark.parametrize("length", [1, 2])
def test_windows_of_one_or_two_samples_have_no_spike(length):
    flags = inspect(windows_of(np.zeros((2, 3, length), np.float32), units=("",) * 3, rate_hz=50.0))
    assert not (flags & FLAGS["spike"].bit).any()


def test_flags_are_counted_by_window_and_filter(says):
    values = walking()
    values[3, :2] = 0.25
    values[5, 2, 77] += 3
    windows = windows_of(values)
    none = dict.fromkeys(FLAGS, 0)
    assert counts(windows) == none | {"constant": 1, "stuck": 1, "spike": 1}
    inspected = dataclasses.replace(windows, flags=inspect(windows))
    for source in (windows, inspected):
        assert without(source, ["spike"]).ids.tolist() == ["w0", "w1", "w2", "w3", "w4", "w6", "w7"]
        left = without(source, ["spike", "stuck", "stuck"])
        assert left.ids.tolist() == ["w0", "w1", "w2", "w4", "w6", "w7"]
        assert counts(left) == none
        assert len(without(source, [])) == 8
    assert len(without(windows.select([3]), ["stuck"])) == 0
    given = np.zeros((8, 3), dtype=np.uint16)
    given[0, 2] = FLAGS["dropout"].bit
    assert counts(dataclasses.replace(windows, flags=given)) == none | {"dropout": 1}  # not looked for again
    with says(
        "unknown quality flag 'stucked': did you mean 'stuck'? Valid: constant, stuck, saturated, clipped, dropout, spike, "
        "gap, non-wear, wrong-unit"
    ):
        without(windows, ["stucked"])


def test_flags_in_words():
    assert describe(np.zeros(3, dtype=np.uint16), AXES) == ""
    every = np.array([sum(f.bit for f in FLAGS.values()), 0, 2], dtype=np.uint16)
    assert describe(every, AXES) == (
        "constant(acc-x)+stuck(acc-x|acc-z)+saturated(acc-x)+clipped(acc-x)+dropout(acc-x)+spike(acc-x)+gap(acc-x)+"
        "non-wear(acc-x)+wrong-unit(acc-x)"
    )


def test_few_windows_of_hapt_are_flagged_and_planted_faults_are_found(hapt):
    """The shares are measured: `experiments/quality_rates.py` says more."""
    clean = inspect(hapt)
    share = {name: float((clean & flag.bit > 0).any(axis=1).mean()) for name, flag in FLAGS.items()}
    assert share.pop("spike") < 0.006
    assert share.pop("clipped") < 0.0015
    assert share.pop("saturated") < 0.0005
    assert set(share.values()) == {0.0}

    rng = np.random.default_rng(0)
    n = np.arange(len(hapt))
    axis, at = rng.integers(3, size=len(n)), rng.integers(30, 90, size=len(n))
    run = at[:, None] + np.arange(25)

    def found(name, change, needed=slice(None)):
        values = hapt.values.copy()
        change(values)
        return (inspect(dataclasses.replace(hapt, values=values))[n, axis] & FLAGS[name].bit > 0)[needed].mean()

    def spike(values):
        values[n, axis, at] += 2 * rng.choice([-1, 1], size=len(n))

    def stick(values):
        values[n[:, None], axis[:, None], run] = values[n, axis, at][:, None]

    def drop(values):
        values[n[:, None], :3, run[:, :3]] = 0

    def freeze(values):
        values[n[:, None], :3, run[:, :10]] = values[n, :3, at][:, None]

    moving = np.char.startswith(np.array(hapt.class_names)[hapt.labels], "WALKING")
    assert found("spike", spike) > 0.98
    assert found("stuck", stick, moving) == 1.0
    assert found("dropout", drop) == 1.0
    assert found("dropout", freeze) == 1.0
    assert found("wrong-unit", lambda values: np.multiply(values[:, :3], G, out=values[:, :3])) == 1.0


@pytest.mark.parametrize(
    ("name", "rate", "units", "expected"),
    [
        ("Epilepsy", 16.0, ("g",), {"stuck": 21}),
        ("RacketSports", 10.0, ("m/s^2", "rad/s"), {"dropout": 7}),
        ("BasicMotions", 10.0, ("m/s^2", "rad/s"), {}),
    ],
)
def test_real_sets_with_faults_of_their_own(data_dir, name, rate, units, expected):
    """Counts as found, not labelled by anybody: in Epilepsy axes repeat one value while another swings by 0.3 to 4.4 g; in
    RacketSports all six channels repeat a sample to the end of the window."""
    with np.load(data_dir / "uea" / "uea.npz", allow_pickle=False) as archive:
        values = np.concatenate([archive[f"{name}/X_train"], archive[f"{name}/X_test"]])
    channels = tuple(f"{sensor}-{axis}" for sensor in ("acc", "gyro")[: len(units)] for axis in "xyz")
    windows = windows_of(
        values,
        channels=channels,
        units=tuple(unit for unit in units for _ in "xyz"),
        rate_hz=rate,
        recordings=[str(i) for i in range(len(values))],
    )
    assert {name: n for name, n in counts(windows).items() if n} == expected


def test_the_bundled_set_has_no_flag(basic_motions):
    assert set(counts(basic_motions).values()) == {0}
    assert tsimage.load("basic-motions").channels == basic_motions.channels
