from dataclasses import replace

import numpy as np
import pytest

from distill.deploy.fitting import fit, match_channels
from tests.distill.onnx_models import contract
from tsimage.cutting import Recording
from tsimage.resampling import resample
from tsimage.units import STANDARD_GRAVITY

WANTED = ("acc-x", "acc-y", "acc-z")
IN_M_S2 = ("m/s^2",) * 3


def lying(n=400, scale=1.0, channels=WANTED, units=("g",) * 3, rate_hz=50.0, seed=0, **fields):
    """A sensor at rest whose x, y and z measure 0, 0.6 and 0.8 g."""
    noise = np.random.default_rng(seed).normal(size=(3, n)) * 0.01
    values = ((np.array([[0.0], [0.6], [0.8]]) + noise) * scale).astype(np.float32)
    given = {"id": "r1", "subject": "ann", "segments": ()} | fields
    return Recording(values=values, channels=channels, units=units, rate_hz=rate_hz, **given)


def fitted(*recordings, made=None, **options):
    said = []
    return fit(recordings, made or contract(), say=said.append, **options), said


def test_what_fits_stays_as_it_is():
    recording = lying()
    (found,), said = fitted(recording)
    np.testing.assert_array_equal(found.values, recording.values)
    assert said == []


def test_swapped_channels_are_put_right_by_name_and_said():
    right = lying()
    swapped = lying(channels=("acc-z", "acc-x", "acc-y"))
    swapped.values[:] = right.values[[2, 0, 1]]
    (found,), said = fitted(swapped)
    np.testing.assert_array_equal(found.values, right.values)
    assert found.channels == WANTED
    assert said == ["Channels put into the order of the model, by name: acc-x, acc-y, acc-z"]


@pytest.mark.parametrize(
    ("learnt", "offset", "told"),
    [
        (
            True,
            [0.0, 0.0, 0.0],
            "the model learnt from accelerations with gravity, and where it is calmest the norm here is 0.000774, whi",
        ),
        (
            True,
            [0.0, 2.4, 3.2],
            "the model learnt from accelerations with gravity, and where it is calmest the norm here is 4, which is gra",
        ),
        (
            False,
            [0.0, 0.6, 0.8],
            "gravity is in them, and the model learnt from accelerations without it, so its labels mean lit",
        ),
        (True, [0.0, 0.6, 0.8], None),
        (False, [0.05, 0.0, 0.0], None),
        (True, [0.05, 0.0, 0.0], "it is calmest the norm here is 0.05, which is gravity in no known unit"),
        (None, [0.05, 0.0, 0.0], None),
    ],
)
def test_gravity_that_the_model_knows_otherwise_is_told(learnt, offset, told):
    noise = np.random.default_rng(0).normal(size=(3, 2000)) * 0.0005
    recording = replace(lying(), values=(noise + np.array(offset)[:, None]).astype(np.float32))
    about = {"data": {"gravity": {} if learnt is None else dict.fromkeys(WANTED, learnt)}}
    _, said = fitted(recording, made=contract(about=about))
    warnings = [line for line in said if line.startswith("WARNING: acc-x, acc-y, acc-z: ")]
    assert len(warnings) == (told is not None)
    assert told is None or told in warnings[0]


@pytest.mark.parametrize("names", [("Acc_X", "ACC Y", "accz"), ("acc.x", "acc-y", "Acc:Z")])
def test_case_and_signs_in_names_do_not_matter(names):
    assert match_channels("r", [*names[::-1], "time"], WANTED) == [2, 1, 0]


def test_an_exact_name_comes_before_those_alike():
    assert match_channels("r", ["ACC-X", "acc-x", "acc-y", "acc-z"], WANTED) == [1, 2, 3]


def test_channels_that_are_not_there(says):
    with says(
        "recording 'r1': the model wants the channels acc-x, acc-y, acc-z, and there is no acc-z among acc-x, acc-y, up: say "
        "which to take, in the order of the model (option channels)"
    ):
        fitted(lying(channels=("acc-x", "acc-y", "up")))
    with says(
        "r: the model wants the channels acc-x, acc-y, acc-z, and there is no acc-x among Acc_X, ACC X, acc-y, acc-z: say which "
        "to take, in the order of the model (option channels)"
    ):
        match_channels("r", ["Acc_X", "ACC X", "acc-y", "acc-z"], WANTED)


def test_named_channels_are_taken_in_order():
    (found,), said = fitted(lying(channels=("a", "b", "c")), named=("c", "a", "b"))
    np.testing.assert_allclose(found.values.mean(axis=1), [0.8, 0.0, 0.6], atol=0.01)
    assert said == ["Channels taken as: c for acc-x, a for acc-y, b for acc-z"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            ("a", "b"),
            "channels names 2 (a, b) where the model wants 3: name one for each of acc-x, acc-y, acc-z, in this order",
        ),
        (("a", "b", "a"), "channels names a, b, a: each can be taken once only"),
        (("a", "b", "d"), "unknown channel of recording 'r1' 'd': Valid: a, b, c"),
    ],
)
def test_named_channels_that_do_not_fit(says, named, said):
    with says(said):
        fitted(lying(channels=("a", "b", "c")), named=named)


@pytest.mark.parametrize("stated", [IN_M_S2, ("",) * 3])
def test_another_unit_is_converted_whether_stated_or_told_by_gravity(stated):
    (found,), said = fitted(lying(scale=STANDARD_GRAVITY, units=stated))
    np.testing.assert_allclose(found.values, lying().values, rtol=1e-5)
    assert found.units == ("g",) * 3
    assert said == [f"{name}: converted from m/s^2 to g, which the model wants" for name in WANTED]


@pytest.mark.parametrize(
    ("scale", "unit", "other", "norm"), [(STANDARD_GRAVITY, "g", "m/s^2", "9.8"), (1.0, "m/s^2", "g", "0.999")]
)
def test_a_unit_that_gravity_contradicts_is_refused(says, scale, unit, other, norm):
    with says(
        f"recording 'r1': acc-x, acc-y, acc-z are stated in {unit}, but gravity says {other} (the median norm is {norm}): "
        "state the right unit (option units)"
    ):
        fitted(lying(scale=scale, units=(unit,) * 3))


def test_a_unit_that_nothing_tells_is_taken_as_the_models():
    made = contract(channels=("gyro-x",), units=("rad/s",))
    recording = lying(channels=("gyro-x", "b", "c"), units=("", "", ""))
    (found,), said = fitted(recording, made=made)
    np.testing.assert_array_equal(found.values, recording.values[:1])
    assert said == [
        "gyro-x: nothing tells the unit, taken as rad/s, which the model wants (option units states another)"
    ]


def test_degrees_become_radians():
    made = contract(channels=("gyro-x",), units=("rad/s",))
    recording = lying(channels=("gyro-x", "b", "c"), units=("deg/s",) * 3)
    (found,), _ = fitted(recording, made=made)
    np.testing.assert_allclose(found.values, np.deg2rad(recording.values[:1]), rtol=1e-6)


def test_a_unit_of_something_else_is_refused(says):
    made = contract(channels=("gyro-x",), units=("rad/s",))
    with says(
        "recording 'r1': channel 'gyro-x' is in g where the model wants rad/s, and the one is no measure of the other: take "
        "another channel, or state the unit (option units)"
    ):
        fitted(lying(channels=("gyro-x", "b", "c")), made=made)


def test_another_rate_is_refused_or_resampled_on_request(says):
    recording = lying(800, rate_hz=100.0)
    with says("recording 'r1' runs at 100 Hz and the model wants 50 Hz: pass resample, or take another recording"):
        fitted(recording)
    (found,), said = fitted(recording, resample=True)
    np.testing.assert_array_equal(found.values, resample(recording, 50.0).values)
    assert found.rate_hz == 50.0
    assert said == ["recording 'r1': resampled from 100 to 50 Hz; samples are counted after it"]


def test_a_clock_that_is_a_little_off_is_taken_as_it_is():
    (found,), said = fitted(lying(rate_hz=50.4))
    np.testing.assert_array_equal(found.values, lying().values)
    assert said == []


def test_recordings_that_differ_among_each_other_are_refused(says):
    with says("recording 'r2' has other channels or units than 'r1': label them one after the other"):
        fitted(lying(), lying(id="r2", units=IN_M_S2))
