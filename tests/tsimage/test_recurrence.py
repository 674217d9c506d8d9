import tracemalloc
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyts.approximation import PiecewiseAggregateApproximation
from pyts.image import RecurrencePlot
from pyts.multivariate.image import JointRecurrencePlot

from tsimage.errors import UserError
from tsimage.fields.recurrence import (
    check_recurrence,
    joint_recurrence_bounds,
    joint_recurrence_plot,
    recurrence_bounds,
    recurrence_plot,
)
from tsimage.segments import paa

KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "ties": lambda rng, shape: np.round(rng.normal(size=shape) * 2),
    "two-values": lambda rng, shape: rng.integers(0, 2, size=shape).astype(float),
    "constant": lambda rng, shape: np.full(shape, 9.81),
    "tiny": lambda rng, shape: rng.normal(size=shape) * 1e-12,
    "huge": lambda rng, shape: rng.normal(size=shape) * 1e30,
    "offset": lambda rng, shape: rng.normal(size=shape) + 1e6,
    "spike": lambda rng, shape: np.where(rng.random(shape) < 0.1, 1e9, rng.normal(size=shape)),
    "walk": lambda rng, shape: rng.normal(size=shape).cumsum(axis=-1),
}
VECTORS = [(1, 1), (2, 1), (2, 5), (3, 2), (5, 1), (7, 3)]
RELATIVE = [(kind, share) for kind in ("point", "distance") for share in (0, 10, 33.3, 50, 90, 100)]
ABSOLUTE = [(None, 10), (0.5, 10), (1.0, 10), (1e-12, 10), (1e30, 10)]
ULP = 2.0**-52
SERIES = arrays(np.float64, st.integers(2, 24), elements=st.floats(-1e6, 1e6, width=32))


def with_delay(dimension, delay):
    """The options of a delay vector; the delay of a single point would be refused."""
    return {"dimension": dimension} | ({"delay": delay} if dimension > 1 else {})


def exact_distances(x, dimension, delay):
    """Distances in 60 decimal digits."""
    with localcontext() as context:
        context.prec = 60
        values = [Decimal(float(v)) for v in x]
        n = range(len(x) - (dimension - 1) * delay)
        steps = range(0, dimension * delay, delay)
        square = [[sum((values[i + k] - values[j + k]) ** 2 for k in steps) for j in n] for i in n]
        return np.array([[float(total.sqrt()) for total in row] for row in square])


def test_hand_computed_distances():
    expected = [[0, 3, 1, 4], [3, 0, 4, 1], [1, 4, 0, 5], [4, 1, 5, 0]]
    np.testing.assert_array_equal(recurrence_plot(np.array([0.0, 3.0, -1.0, 4.0])), expected)


def test_hand_computed_delay_vectors():
    # delay 2: (0, 3), (3, 7), (3, 7), (7, 0)
    x = np.array([0.0, 3.0, 3.0, 7.0, 7.0, 0.0])
    a, b, c = 5, 58**0.5, 65**0.5
    expected = [[0, a, a, b], [a, 0, 0, c], [a, 0, 0, c], [b, c, c, 0]]
    np.testing.assert_allclose(recurrence_plot(x, dimension=2, delay=2), expected, rtol=1e-15)


def test_hand_computed_thresholds_are_strict():
    # distances: three of 0, two each of 1, 2 and 3
    x = np.array([0.0, 1.0, 3.0])
    near = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(recurrence_plot(x, threshold=2.0), near)
    np.testing.assert_array_equal(recurrence_plot(x, threshold=1.0), np.eye(3))
    np.testing.assert_array_equal(recurrence_plot(x, threshold="distance", percentage=50), near)  # below 1.5
    below_the_largest = [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    np.testing.assert_array_equal(recurrence_plot(x, threshold="distance", percentage=100), below_the_largest)
    np.testing.assert_array_equal(recurrence_plot(x, threshold="point", percentage=50), np.eye(3))  # the 5th of 9: 1
    np.testing.assert_array_equal(recurrence_plot(x, threshold="point", percentage=60), near)  # 1.8 by interpolation
    np.testing.assert_array_equal(recurrence_plot(x, threshold="point", percentage=0), np.zeros((3, 3)))


def test_hand_computed_averaging_leaves_room_for_the_delay():
    # 2 pixels of dimension 2 and delay 1 take 3 points: the means 1, 5, 5
    x = np.array([0.0, 2.0, 4.0, 6.0, 5.0, 5.0])
    np.testing.assert_allclose(recurrence_plot(x, 2, dimension=2), [[0, 4], [4, 0]], rtol=1e-15)


@pytest.mark.parametrize(("dimension", "delay"), VECTORS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_equals_that_of_pyts(kind, dimension, delay):
    x = KINDS[kind](np.random.default_rng(dimension), (5, 30))
    for threshold, percentage in RELATIVE + ABSOLUTE:
        expected = RecurrencePlot(dimension, delay, threshold, percentage).transform(x)
        options = {"threshold": threshold, "percentage": percentage} | with_delay(dimension, delay)
        np.testing.assert_array_equal(recurrence_plot(x, **options), expected, err_msg=f"{threshold} {percentage}")
        got = recurrence_plot(torch.from_numpy(x), **options)
        assert got.dtype == torch.float64
        # torch's square root may be off by one unit in the last place
        rtol = ULP if threshold is None else 0
        np.testing.assert_allclose(got.numpy(), expected, rtol=rtol, atol=0, err_msg=f"{threshold} {percentage}")


@pytest.mark.parametrize(("dimension", "delay"), [(1, 1), (2, 1), (2, 3), (3, 2), (4, 3)])
@pytest.mark.parametrize(("threshold", "percentage"), [(None, 10), ("point", 30), ("distance", 30), (0.4, 10)])
def test_every_size_equals_pyts_on_the_averaged_series(dimension, delay, threshold, percentage):
    length, span = 12, (dimension - 1) * delay
    x = np.random.default_rng(delay).normal(size=(4, length))
    options = {"threshold": threshold, "percentage": percentage} | with_delay(dimension, delay)
    oracle = RecurrencePlot(dimension, delay, threshold, percentage)
    for size in range(1, length - span + 1):
        got = recurrence_plot(x, size, **options)
        assert got.shape == (4, size, size)
        np.testing.assert_array_equal(got, oracle.transform(paa(x, size + span)))
        if threshold is None:
            means = PiecewiseAggregateApproximation(
                window_size=None, output_size=size + span, overlapping=False
            ).transform(x)
            np.testing.assert_allclose(got, oracle.transform(means), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(recurrence_plot(x, length - span, **options), recurrence_plot(x, **options))


@pytest.mark.parametrize("segmentation", ["array_split", "truncate"])
def test_the_segmentation_is_that_of_paa(segmentation):
    x = np.random.default_rng(0).normal(size=(3, 47))
    got = recurrence_plot(x, 9, dimension=2, delay=3, segmentation=segmentation)
    np.testing.assert_array_equal(got, RecurrencePlot(2, 3).transform(paa(x, 12, segmentation)))
    assert np.abs(got - recurrence_plot(x, 9, dimension=2, delay=3)).max() > 0.1


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 20])
def test_the_percentile_of_half_the_image_is_that_of_the_whole(side):
    rng = np.random.default_rng(side)
    for percentage in [*rng.uniform(0, 100, 40), 0, 10, 25, 50, 75, 100, 100 / 3]:
        x = np.round(rng.normal(size=(3, side)) * 4) if percentage < 50 else rng.normal(size=(3, side))
        expected = RecurrencePlot(threshold="point", percentage=float(percentage)).transform(x)
        np.testing.assert_array_equal(recurrence_plot(x, threshold="point", percentage=percentage), expected)


@pytest.mark.parametrize("namespace", ["numpy", "torch"])
@pytest.mark.parametrize("dimension", [1, 2, 6])
@pytest.mark.parametrize("kind", ["normal", "ties", "offset", "tiny"])
def test_float32_keeps_its_digits(namespace, kind, dimension):
    x = KINDS[kind](np.random.default_rng(3), (4, 60)).astype(np.float32)
    expected = RecurrencePlot(dimension).transform(x)
    got = np.asarray(recurrence_plot(x if namespace == "numpy" else torch.from_numpy(x), dimension=dimension))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=(dimension + 2) * 2**-24, atol=0)


@pytest.mark.parametrize(("threshold", "percentage"), [("point", 10), ("point", 50), ("distance", 30), (0.7, 10)])
def test_float32_thresholds_part_all_pixels_beyond_rounding(threshold, percentage):
    x = np.random.default_rng(4).normal(size=(4, 60)).astype(np.float32)
    distances = RecurrencePlot(3).transform(x)
    epsilon = {
        "point": np.percentile(distances.reshape(4, -1), percentage, axis=1),
        "distance": percentage / 100 * distances.max(axis=(1, 2)),
    }.get(threshold, np.full(4, threshold))[:, None, None]
    clear = np.abs(distances - epsilon) > 1e-6
    assert clear.mean() > 0.99
    got = recurrence_plot(x, dimension=3, threshold=threshold, percentage=percentage)
    np.testing.assert_array_equal(got[clear], (distances < epsilon)[clear])


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [(np.float32, e) for e in (-149, -126, -70, -33, 33, 70, 122)]
    + [(np.float64, e) for e in (-1074, -1022, -600, -257, 257, 600, 1018)],
)
def test_squares_neither_overflow_nor_vanish(dtype, exponent):
    x = np.random.default_rng(5).integers(-8, 9, size=20).astype(dtype)
    got = recurrence_plot(np.ldexp(x, exponent), dimension=3, delay=2)
    assert got.dtype == dtype
    # below the least normal number no more than the absolute error can be asked for
    absolute = np.ldexp(float(np.finfo(dtype).smallest_subnormal), -exponent)
    unscaled = np.ldexp(got.astype(np.float64), -exponent)
    expected = exact_distances(x, 3, 2)
    np.testing.assert_allclose(unscaled, expected, rtol=4 * np.finfo(dtype).eps, atol=absolute)
    tensor = recurrence_plot(torch.from_numpy(np.ldexp(x, exponent)), dimension=3, delay=2)
    unscaled = np.ldexp(tensor.numpy().astype(np.float64), -exponent)
    np.testing.assert_allclose(unscaled, expected, rtol=4 * np.finfo(dtype).eps, atol=absolute)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_have_distances(dtype):
    most = np.finfo(dtype).max
    x = np.array([most, most / 2, most / 4], dtype=dtype)
    expected = float(most) * (1 / 4 + 1 / 16) ** 0.5
    image = recurrence_plot(x, dimension=2)
    np.testing.assert_allclose(image, [[0, expected], [expected, 0]], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_offsets_cost_no_digits(offset):
    x = np.random.default_rng(5).normal(size=24) + offset
    for dimension in (1, 3):
        got = recurrence_plot(x, dimension=dimension)
        np.testing.assert_allclose(got, exact_distances(x, dimension, 1), rtol=1e-15, atol=0)


@pytest.mark.parametrize("namespace", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1 / 3, -9.80665])
def test_a_constant_series_has_no_pattern_whatever_its_means_round_to(namespace, dtype, value):
    x = np.full((2, 1000), value, dtype=dtype)
    x[1] = np.random.default_rng(0).normal(size=1000)
    for size in (7, 13, 48):
        for options in ({}, {"threshold": "point", "percentage": 50}, {"threshold": "distance"}):
            image = np.asarray(recurrence_plot(namespace(x), size, dimension=2, **options))
            assert (image[0] == 0).all()
            assert image[1].any()
        assert (np.asarray(recurrence_plot(namespace(x), size, threshold=1e-30))[0] == 1).all()


@given(SERIES, st.integers(1, 3), st.integers(1, 3))
def test_distances_are_a_metric(x, dimension, delay):
    if len(x) > (dimension - 1) * delay:
        image = recurrence_plot(x, **with_delay(dimension, delay))
        assert (image == image.T).all()
        assert (np.diag(image) == 0).all()
        assert image.min() >= 0
        triangle = image[:, :, None] + image[None, :, :] - image[:, None, :]
        assert triangle.min() >= -1e-14 * image.max()
        low, high = recurrence_bounds(dimension, None, (x.min(), x.max() + 1e-9))
        assert low == 0
        assert image.max() <= high * (1 + 1e-15)


@given(SERIES, st.integers(1, 3), st.sampled_from([None, "point", "distance", 3.5]))
def test_upside_down_leaves_the_image_and_backwards_turns_it(x, dimension, threshold):
    x = np.concatenate([x, x[:3]])
    image = recurrence_plot(x, dimension=dimension, threshold=threshold)
    np.testing.assert_array_equal(recurrence_plot(-x, dimension=dimension, threshold=threshold), image)
    backwards = recurrence_plot(x[::-1], dimension=dimension, threshold=threshold)[::-1, ::-1]
    if threshold is None:
        np.testing.assert_allclose(backwards, image, rtol=1e-15)
    elif dimension == 1:
        np.testing.assert_array_equal(backwards, image)


@given(SERIES, st.floats(0, 100))
def test_no_more_than_the_percentage_of_points_recur(x, percentage):
    image = recurrence_plot(x, threshold="point", percentage=percentage)
    assert set(np.unique(image)) <= {0.0, 1.0}
    assert image.mean() <= percentage / 100 + 1 / image.size


@pytest.mark.parametrize("dimension", [1, 2, 4])
@pytest.mark.parametrize("size", [None, 6])
def test_gradients_agree_with_finite_differences(dimension, size):
    x = torch.from_numpy(np.random.default_rng(6).normal(size=(2, 12))).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: recurrence_plot(t, size, dimension=dimension), (x,))
    pair = x.detach().reshape(1, 2, 12).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: joint_recurrence_plot(t, size, dimension=dimension), (pair,))


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("size", [None, 5])
def test_gradients_are_finite_where_distances_are_zero(dimension, size):
    x = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0], [3.0] * 9, [0.0] * 9], requires_grad=True)
    image = recurrence_plot(x, size, dimension=dimension)
    assert (image == 0).sum() > 9
    image.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad[0].any()
    assert not x.grad[1:].any()


def test_hand_computed_gradient():
    # of |x0 - x1|, twice in the image
    x = torch.tensor([0.0, 3.0], requires_grad=True)
    recurrence_plot(x).sum().backward()
    assert x.grad.tolist() == [-2, 2]


def test_memory_does_not_grow_with_the_dimension():
    x = np.random.default_rng(0).normal(size=400)
    tracemalloc.start()
    recurrence_plot(x, 300, dimension=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 300 * 300 * 8


def test_one_at_a_time_equals_all_at_once():
    x = np.random.default_rng(4).normal(size=(4, 3, 50))
    for threshold in (None, "point", "distance", 0.3):
        together = recurrence_plot(x, dimension=2, threshold=threshold)
        assert together.shape == (4, 3, 49, 49)
        joint = joint_recurrence_plot(x, dimension=2, threshold=threshold)
        assert joint.shape == (4, 49, 49)
        for i in range(4):
            for j in range(3):
                alone = recurrence_plot(x[i, j], dimension=2, threshold=threshold)
                np.testing.assert_array_equal(alone, together[i, j])
            np.testing.assert_array_equal(joint_recurrence_plot(x[i], dimension=2, threshold=threshold), joint[i])


def test_an_empty_batch_gives_an_empty_batch():
    x = np.zeros((0, 3, 20))
    for threshold in (None, "point", "distance", 0.3):
        assert recurrence_plot(x, 5, dimension=2, threshold=threshold).shape == (0, 3, 5, 5)
        assert joint_recurrence_plot(torch.from_numpy(x), 5, threshold=threshold).shape == (0, 5, 5)


@pytest.mark.parametrize("paint", [recurrence_plot, joint_recurrence_plot])
def test_dtype_sets_the_type_of_the_image_only(paint):
    x = np.random.default_rng(6).normal(size=(2, 40)) + 1e6
    image = paint(x, 10, dtype=np.float32)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, paint(x, 10), rtol=1e-6)
    mask = paint(x, 10, threshold="point", percentage=50, dtype=np.uint8)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, paint(x, 10, threshold="point", percentage=50))
    assert paint(torch.from_numpy(x), 10, threshold="point", dtype=torch.float16).dtype == torch.float16
    assert paint(x.astype(np.float32), 10, threshold="point").dtype == np.float32


def test_lists_and_whole_numbers_become_float64():
    assert recurrence_plot([1, 2, 4]).tolist() == [[0, 1, 3], [1, 0, 2], [3, 2, 0]]
    assert recurrence_plot(torch.tensor([1, 2, 4])).dtype == torch.float64


@pytest.mark.parametrize("namespace", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(("dimension", "delay"), [(1, 1), (3, 2)])
@pytest.mark.parametrize(
    ("threshold", "percentage"),
    [
        (None, 10),
        ("point", 60),
        ("distance", 40),
        (0.8, 10),
        (["point", "distance", 0.8], [70, 60, 10]),
        (("distance", None, "point"), 50),
        ([None, None, 2.0], 10),
        (np.array([0.5, 0.9, 1.3]), 10),
        ("point", np.array([80, 60, 90])),
    ],
)
def test_the_joint_plot_equals_that_of_pyts(namespace, dimension, delay, threshold, percentage):
    x = np.random.default_rng(9).normal(size=(4, 3, 30))
    x[0, 1] = 4.2
    expected = JointRecurrencePlot(dimension, delay, threshold, percentage).transform(x)
    options = {"threshold": threshold, "percentage": percentage} | with_delay(dimension, delay)
    got = np.asarray(joint_recurrence_plot(namespace(x), **options))
    np.testing.assert_allclose(got, expected, rtol=0 if namespace is np.asarray else 6 * ULP, atol=0)


def test_the_joint_plot_is_the_product_of_the_averaged_channels():
    x = np.random.default_rng(9).normal(size=(2, 3, 50))
    expected = recurrence_plot(x, 8, dimension=2).prod(axis=1)
    np.testing.assert_allclose(joint_recurrence_plot(x, 8, dimension=2), expected, rtol=1e-12)
    assert (joint_recurrence_plot(x[:, :1], 8) == recurrence_plot(x[:, 0], 8)).all()


def test_bounds():
    assert recurrence_bounds(3, "distance", (-1, 1)) == (0, 1)
    assert recurrence_bounds(3, 0.5) == (0, 1)
    assert recurrence_bounds(1, None, (-2, 3)) == (0, 5)
    assert recurrence_bounds(9, None, (0, 2)) == (0, 6)
    assert recurrence_bounds(9) is None
    assert joint_recurrence_bounds(1, "point") == (0, 1)
    assert joint_recurrence_bounds(1, ["point", 2.0]) == (0, 1)
    assert joint_recurrence_bounds(1, ["point", None]) is None
    assert joint_recurrence_bounds(4, ["point", None], [(0, 1), (-1, 4)]) == (0, 10)
    assert joint_recurrence_bounds(1, None, [(0, 3), (-1, 4), (0, 2)]) == (0, 30)
    assert joint_recurrence_bounds() is None


def test_the_largest_distance_reaches_the_bound():
    x = np.array([-2.0, -2.0, -2.0, -2.0, 3.0, 3.0, 3.0, 3.0])
    assert recurrence_plot(x, dimension=4).max() == recurrence_bounds(4, None, (-2, 3))[1] == 10
    assert joint_recurrence_plot(np.stack([x, x]), dimension=4).max() == 100
    assert joint_recurrence_bounds(4, None, [(-2, 3)] * 2) == (0, 100)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dimension": 0}, "dimension 0 is not allowed: it must be a whole number of 1 or more"),
        ({"dimension": 1.5}, "dimension 1.5 is not allowed: it must be a whole number of 1 or more"),
        ({"delay": 0}, "delay 0 is not allowed: it must be a whole number of 1 or more"),
        ({"dimension": 2, "delay": -1}, "delay -1 is not allowed: it must be a whole number of 1 or more"),
        ({"delay": 3}, "delay 3 does nothing with dimension 1: it is for a dimension of 2 or more"),
        (
            {"threshold": "points"},
            "unknown threshold 'points': did you mean 'point'? Valid: point, distance, a number above 0, None",
        ),
        (
            {"threshold": 0.0},
            "threshold 0.0 is not allowed: it must be a finite number above 0, 'point', 'distance' or None",
        ),
        (
            {"threshold": -2},
            "threshold -2 is not allowed: it must be a finite number above 0, 'point', 'distance' or None",
        ),
        (
            {"threshold": float("nan")},
            "threshold nan is not allowed: it must be a finite number above 0, 'point', 'distance' or None",
        ),
        (
            {"threshold": float("inf")},
            "threshold inf is not allowed: it must be a finite number above 0, 'point', 'distance' or None",
        ),
        (
            {"threshold": True},
            "threshold True is not allowed: it must be a finite number above 0, 'point', 'distance' or None",
        ),
        (
            {"threshold": "point", "percentage": -1},
            "percentage -1 is not allowed: it must be a number from 0 to 100",
        ),
        (
            {"threshold": "distance", "percentage": 100.5},
            "percentage 100.5 is not allowed: it must be a number from 0 to 100",
        ),
        (
            {"threshold": "point", "percentage": float("nan")},
            "percentage nan is not allowed: it must be a number from 0 to 100",
        ),
        ({"percentage": "10"}, "percentage 10 is not allowed: it must be a number from 0 to 100"),
        (
            {"percentage": 20},
            "percentage 20 does nothing with threshold None: it is for the thresholds point and distance",
        ),
        (
            {"threshold": 0.5, "percentage": 20.0},
            "percentage 20.0 does nothing with threshold 0.5: it is for the thresholds point and distance",
        ),
        (
            {"size": 11},
            "image size 11 does not fit windows of 10 samples: PAA never upsamples; "
            "choose a size from 1 to 10 or cut longer windows",
        ),
        (
            {"size": 7, "dimension": 3, "delay": 2},
            "image size 7 with dimension 3 and delay 2 does not fit windows of 10 samples: "
            "choose a size from 1 to 6, a smaller dimension or delay, or cut longer windows",
        ),
        (
            {"size": 0, "dimension": 2},
            "image size 0 with dimension 2 and delay 1 does not fit windows of 10 samples: "
            "choose a size from 1 to 9, a smaller dimension or delay, or cut longer windows",
        ),
        (
            {"dimension": 6, "delay": 2},
            "dimension 6 with delay 2 needs 11 samples or more, the windows have 10: "
            "choose a smaller dimension or delay, or cut longer windows",
        ),
    ],
)
def test_errors_name_what_is_allowed(options, sentence, says):
    with says(sentence):
        recurrence_plot(np.arange(10.0), **options)
    with says(sentence):
        joint_recurrence_plot(np.arange(20.0).reshape(2, 10), **options)
    if "windows" not in sentence and "samples" not in sentence:
        own = {"dimension": 1, "delay": 1, "threshold": None, "percentage": 10} | options
        with says(sentence):
            check_recurrence(own["dimension"], own["delay"], [own["threshold"]], own["percentage"])


def test_an_unknown_segmentation_is_refused_even_where_nothing_is_averaged():
    for size in (None, 5):
        with pytest.raises(UserError, match="unknown segmentation 'paa'"):
            recurrence_plot(np.arange(10.0), size, segmentation="paa")


def test_errors_of_channels(says):
    x = np.arange(30.0).reshape(3, 10)
    with says("cannot join the channels of an array of shape (10,): give (..., channel, time) with 1 channel or more"):
        joint_recurrence_plot(x[0])
    with says(
        "cannot join the channels of an array of shape (0, 10): give (..., channel, time) with 1 channel or more"
    ):
        joint_recurrence_plot(x[:0])
    with says("threshold has 2 values for 3 channels: give one value for all, or one per channel"):
        joint_recurrence_plot(x, threshold=["point", 1.0])
    with says("percentage has 4 values for 3 channels: give one value for all, or one per channel"):
        joint_recurrence_plot(x, threshold="point", percentage=[1, 2, 3, 4])
    with says("percentage 30 does nothing with threshold 1.0: it is for the thresholds point and distance"):
        joint_recurrence_plot(x, threshold=["point", 1.0, "distance"], percentage=[20, 30, 20])
    with says("percentage 30 does nothing with threshold 1.0, None: it is for the thresholds point and distance"):
        joint_recurrence_plot(x, threshold=[1.0, None, None], percentage=30)
    with says("threshold [1.0] is not allowed: it must be a finite number above 0, 'point', 'distance' or None"):
        recurrence_plot(x, threshold=[1.0])
    with says("threshold has 2 values for 3 channels: give one value for all, or one per channel"):
        joint_recurrence_bounds(1, ["point", None], [(0, 1)] * 3)


def test_errors_of_bounds(says):
    with says("limits (2, 2) are not allowed: the lower limit must be below the upper one, both finite"):
        recurrence_bounds(1, None, (2, 2))
    with says("limits (0, inf) are not allowed: the lower limit must be below the upper one, both finite"):
        recurrence_bounds(1, None, (0, float("inf")))
    with says("dimension 0 is not allowed: it must be a whole number of 1 or more"):
        recurrence_bounds(0)
    with says("unknown threshold 'dist': did you mean 'distance'? Valid: point, distance, a number above 0, None"):
        joint_recurrence_bounds(1, ["dist"])


@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**600])
@pytest.mark.parametrize(("dimension", "delay"), [(2, 1), (3, 2), (5, 7)])
def test_distances_are_sums_of_squares_to_the_last_bit_at_any_scale(dimension, delay, scale):
    x = np.random.default_rng(3).normal(size=(4, 60))
    side = 60 - (dimension - 1) * delay
    total = np.zeros((4, side, side))
    for start in range(0, dimension * delay, delay):
        points = x[:, start : start + side]
        total += (points[:, :, None] - points[:, None, :]) ** 2
    image = recurrence_plot(x * scale, dimension=dimension, delay=delay)
    np.testing.assert_array_equal(image, np.sqrt(total) * scale)
    tensor = recurrence_plot(torch.from_numpy(x * scale), dimension=dimension, delay=delay)
    np.testing.assert_allclose(image, tensor.numpy(), rtol=4e-16)
