import numpy as np
import pytest

from tsimage import quality
from tsimage.units import GRAVITY, converted, detect, stated

ACC = ("acc-x", "acc-y", "acc-z")


def lying(gravity=9.8, n=640, noise=0.01, seed=0):
    """Three channels at rest: gravity along a slanting axis, and noise."""
    axis = np.array([0.48, -0.6, 0.64])[:, None]
    return gravity * (axis + noise * np.random.default_rng(seed).normal(size=(3, n)))


@pytest.mark.parametrize(
    ("unit", "norm", "gravity"), [("g", "1", "1"), ("m/s^2", "9.81", "9.81"), ("mg", "1e+03", "1000")]
)
def test_gravity_tells_the_unit(unit, norm, gravity):
    units, said = stated([lying(GRAVITY[unit], noise=1e-6)], ACC, ("", "", ""))
    assert units == (unit,) * 3
    assert said == [f"acc-x, acc-y, acc-z: median norm {norm}, so {unit} (gravity is {gravity})"]


def test_rest_counts_more_than_movement():
    moving = lying() + 15 * np.random.default_rng(1).normal(size=(3, 640))
    (found,) = detect([np.concatenate([lying(), moving, moving, moving[:, :320]], axis=1)], ACC)
    assert found.unit == "m/s^2"
    assert found.norm == pytest.approx(9.8, rel=0.01)
    (found,) = detect([moving], ACC)
    assert (found.unit, found.at_rest) == ("", False)


def test_a_random_norm_near_gravity_is_no_gravity():
    moving = 6.14 * np.random.default_rng(1).normal(size=(3, 640))  # norms of 9.8 on average
    units, said = stated([moving], ACC, ("",) * 3)
    assert units == ("",) * 3
    (found,) = detect([moving], ACC)
    assert 8.34 < found.norm < 11.28
    assert said == [
        f"acc-x, acc-y, acc-z: median norm {found.norm:.3g}, never at rest, or without gravity: the unit stays unknown unless "
        "stated (option units)"
    ]


@pytest.mark.parametrize(
    ("norm", "unit"), [(0.84, ""), (0.86, "g"), (1.14, "g"), (1.16, ""), (8.3, ""), (8.4, "m/s^2")]
)
def test_gravity_may_be_off_by_15_per_cent(norm, unit):
    assert detect([lying(norm, noise=0)], ACC)[0].unit == unit


def test_windows_recordings_and_gaps():
    windows = np.stack([lying(seed=i, n=128) for i in range(5)])
    windows[0, 1, 5] = np.nan
    windows[1:3] = 0  # a dropout is no rest
    assert detect([windows[:3], windows[3:]], ACC)[0].norm == pytest.approx(9.8, rel=0.01)
    nothing = np.full((3, 100), np.nan)
    units, said = stated([nothing], ACC, ("", "", ""))
    assert units == ("", "", "")
    assert said == ["acc-x, acc-y, acc-z: no stretch without missing samples to tell the unit from"]
    assert stated([nothing], ACC, ("g", "g", "g")) == (("g", "g", "g"), [])
    assert stated([], ACC, ("", "", ""))[0] == ("", "", "")


def test_units_given_stay_and_contradictions_are_warned_of():
    for gravity, unit, sentence in (
        (9.79, "m/s^2", "acc-x, acc-y, acc-z: in m/s^2 as stated (median norm 9.79, gravity is 9.81)"),
        (
            9.79,
            "g",
            "WARNING: acc-x, acc-y, acc-z: stated in g, but the median norm 9.79 says m/s^2 (gravity is 9.81): check the unit "
            "(option units)",
        ),
        (
            0.02,
            "g",
            "WARNING: acc-x, acc-y, acc-z: stated in g, but the median norm is 0.02 where gravity would be 1: gravity was "
            "removed, or the unit is another",
        ),
    ):
        assert stated([lying(gravity, noise=1e-6)], ACC, (unit,) * 3) == ((unit,) * 3, [sentence])
    units, said = stated([lying()], ACC, ("g", "m/s^2", "g"))
    assert units == ("g", "m/s^2", "g")
    assert said == ["WARNING: acc-x, acc-y, acc-z: one sensor stated in g and m/s^2: check the units"]


def test_a_partly_stated_sensor_is_not_filled_in():
    assert stated([lying()], ACC, ("m/s^2", "", ""))[0] == ("m/s^2", "", "")


@pytest.mark.parametrize(
    ("norm", "why"),
    [(0.01, "gravity was removed, or this is no acceleration"), (64.0, "gravity in no known unit")],
)
def test_without_a_clear_gravity_the_unit_stays_unknown(norm, why):
    units, said = stated([lying(norm, noise=1e-6)], ACC, ("",) * 3)
    assert units == ("",) * 3
    assert said == [
        f"acc-x, acc-y, acc-z: median norm {norm:.3g}, {why}: the unit stays unknown unless stated (option units)"
    ]


@pytest.mark.parametrize(
    "stem",
    [
        "acc-{}",
        "hand-acc-{}",
        "hand-acc16-{}",
        "total_acc_{}",
        "Accel {}",
        "accelerometer.{}",
        "Acceleration[{}]",
        "Acc{}",
    ],
)
@pytest.mark.parametrize("axes", ["xyz", "XYZ", "zxy"])
def test_names_that_say_acceleration(stem, axes):
    channels = ["t", *(stem.format(a) for a in axes), "gyro-x"]
    (found,) = detect([np.concatenate([np.zeros((1, 640)), lying(), np.ones((1, 640))])], channels)
    assert [c.casefold() for c in found.channels] == [stem.format(a).casefold() for a in "xyz"]
    assert found.unit == "m/s^2"


@pytest.mark.parametrize(
    "stem", ["body-acc-{}", "linear-acceleration-{}", "gyro-{}", "access-{}", "mag-{}", "user_acc_{}", "vaccine-{}"]
)
def test_names_that_do_not(stem):
    channels = [stem.format(a) for a in "xyz"]
    assert stated([lying()], channels, ("",) * 3) == (("",) * 3, [])


@pytest.mark.parametrize("channels", [("channel0", "channel1", "channel2"), ("x", "y", "z")])
def test_channels_without_a_name_are_likely_but_never_filled_in(channels):
    units, said = stated([lying(noise=1e-6)], channels, ("",) * 3)
    assert units == ("",) * 3
    assert said == [
        f"{', '.join(channels)}: median norm 9.8, likely an acceleration in m/s^2: state it if so (option units)"
    ]


def test_several_sensors_are_told_one_by_one():
    channels = [f"{place}-acc-{a}" for a in "xyz" for place in ("hand", "chest")]
    values = np.empty((6, 640))
    values[::2], values[1::2] = lying(1.0), lying(9.81)
    units, said = stated([values], channels, ("",) * 6)
    assert units == ("g", "m/s^2") * 3
    assert len(said) == 2


def test_conversion(says):
    np.testing.assert_allclose(converted(np.array([9.80665, 0]), "m/s^2", "g"), [1, 0])
    np.testing.assert_allclose(converted(np.array([1500.0]), "mg", "m/s^2"), 14.709975)
    np.testing.assert_allclose(converted(np.array([180.0]), "deg/s", "rad/s"), np.pi)
    values = np.ones(2, dtype=np.float32)
    assert converted(values, "g", "mg").dtype == np.float32
    with says("cannot convert 'g' to 'rad/s': allowed are g, mg and m/s^2 into one another, and deg/s and rad/s"):
        converted(values, "g", "rad/s")


def test_real_accelerations_are_in_g(hapt):
    channels = hapt.channels
    units, said = stated([hapt.values[:2000]], channels, ("",) * len(channels))
    expected = tuple("g" if c.startswith("acc") else "" for c in channels)
    assert units == expected == tuple("g" if u == "g" else "" for u in hapt.units)
    assert len(said) == 1
    assert said[0].endswith("so g (gravity is 1)")


def test_real_accelerations_in_m_s2(data_dir):
    row = np.loadtxt(data_dir / "format-samples" / "pamap2" / "subject101.row1.dat", ndmin=2)
    (found,) = detect([row[:, 4:7].T], ("hand-acc16-x", "hand-acc16-y", "hand-acc16-z"))
    assert found.unit == "m/s^2"


def test_a_real_set_without_gravity_is_left_as_it_is_stated(basic_motions):
    units, said = stated([basic_motions.values], basic_motions.channels, basic_motions.units)
    assert units == basic_motions.units
    assert said == [
        "acc-x, acc-y, acc-z: in m/s^2 as stated (never at rest, or without gravity, so nothing tells otherwise)"
    ]


@pytest.mark.parametrize(("offset", "unit"), [(0, ""), (3, ""), (6, "g")])
def test_body_acceleration_and_gyroscope_show_no_gravity(data_dir, offset, unit):
    with np.load(data_dir / "uci-har-test" / "uci-har-test.npz", allow_pickle=False) as arrays:
        values = arrays["X_test"][:500, offset : offset + 3]
    assert detect([values], ACC)[0].unit == unit


@pytest.mark.parametrize("names", [("ax", "ay", "az"), ("A_x", "A_y", "A_z"), ("a-x", "a-y", "a-z")])
def test_the_names_that_most_tables_have_say_acceleration(names):
    still = np.repeat([[0.1], [0.2], [0.97]], 200, axis=1)
    assert stated([still], names, [""] * 3)[0] == ("g",) * 3
    assert stated([still], ["gx", "gy", "gz"], [""] * 3) == (("",) * 3, [])


def test_there_is_one_gravity():
    assert GRAVITY["m/s^2"] == converted(np.array(1.0), "g", "m/s^2") == quality.STANDARD_GRAVITY == 9.80665
