from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyts.image import GramianAngularField

from tsimage.fields import gadf, gasf

METHODS = [("summation", gasf), ("difference", gadf)]
FIELDS = [gasf, gadf]
ROOT3 = 3**0.5
SERIES = arrays(np.float64, st.integers(2, 24), elements=st.floats(-1e6, 1e6))


def exact(x):
    """GASF and GADF of a series on [-1, 1] without PAA, in 60 decimal digits."""
    with localcontext() as context:
        context.prec = 60
        values = [Decimal(float(v)) for v in x]
        low, high = min(values), max(values)
        c = [(2 * v - low - high) / (high - low) for v in values]
        s = [(1 - v * v).sqrt() for v in c]
        n = range(len(values))
        summation = [[float(c[i] * c[j] - s[i] * s[j]) for j in n] for i in n]
        difference = [[float(s[i] * c[j] - c[i] * s[j]) for j in n] for i in n]
    return np.array(summation), np.array(difference)


def naive(x):
    """The textbook form, sqrt(1 - c^2), in the precision of x."""
    c = 2 * (x - x.min()) / (x.max() - x.min()) - 1
    s = np.sqrt(np.clip(1 - c * c, 0, None))
    return np.outer(c, c) - np.outer(s, s), np.outer(s, c) - np.outer(c, s)


def test_hand_computed_gasf_on_minus_one_to_one():
    # c = -1, -1/2, 0, 1: phi = 180, 120, 90, 0 degrees; cos of the sums
    expected = [
        [1, 0.5, 0, -1],
        [0.5, -0.5, -ROOT3 / 2, -0.5],
        [0, -ROOT3 / 2, -1, 0],
        [-1, -0.5, 0, 1],
    ]
    np.testing.assert_allclose(gasf(np.array([0.0, 1.0, 2.0, 4.0]), 4), expected, rtol=0, atol=1e-15)


def test_hand_computed_gadf_on_minus_one_to_one():
    # sin of the differences of 180, 120, 90, 0 degrees
    expected = [
        [0, ROOT3 / 2, 1, 0],
        [-ROOT3 / 2, 0, 0.5, ROOT3 / 2],
        [-1, -0.5, 0, 1],
        [0, -ROOT3 / 2, -1, 0],
    ]
    np.testing.assert_allclose(gadf(np.array([0.0, 1.0, 2.0, 4.0]), 4), expected, rtol=0, atol=1e-15)


def test_hand_computed_on_zero_to_one():
    # c = 0, 1/2, 1: phi = 90, 60, 0 degrees
    x = np.array([3.0, 5.0, 7.0])
    summation = [[-1, -ROOT3 / 2, 0], [-ROOT3 / 2, -0.5, 0.5], [0, 0.5, 1]]
    difference = [[0, 0.5, 1], [-0.5, 0, ROOT3 / 2], [-1, -ROOT3 / 2, 0]]
    np.testing.assert_allclose(gasf(x, 3, target=(0, 1)), summation, rtol=0, atol=1e-15)
    np.testing.assert_allclose(gadf(x, 3, target=(0, 1)), difference, rtol=0, atol=1e-15)


def test_scaling_comes_after_paa_by_default():
    # PAA 1, 2, 3 fills the range: c = -1, 0, 1
    x = np.array([0.0, 2.0, 2.0, 2.0, 1.0, 5.0])
    np.testing.assert_allclose(gasf(x, 3), [[1, 0, -1], [0, -1, 0], [-1, 0, 1]], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("method", "field"), METHODS)
@pytest.mark.parametrize("sample_range", [(-1, 1), (0, 1)])
@pytest.mark.parametrize(("length", "size"), [(20, 20), (50, 7), (100, 32), (128, 64), (30, 1), (5, 3)])
def test_parity_with_pyts_on_random_series(method, field, sample_range, length, size):
    x = np.random.default_rng(length + size).normal(size=(6, length))
    expected = GramianAngularField(size, sample_range=sample_range, method=method).fit_transform(x)
    np.testing.assert_allclose(field(x, size, target=sample_range), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("method", "field"), METHODS)
@pytest.mark.parametrize("size", [40, 13])
@pytest.mark.parametrize(
    "transform",
    [lambda x: np.round(x), lambda x: x * 1e-12, lambda x: x + 100, lambda x: x * 1e9, lambda x: np.sign(x)],
    ids=["ties", "tiny", "offset", "huge", "two-values"],
)
def test_parity_with_pyts_on_awkward_series(method, field, size, transform):
    x = transform(np.random.default_rng(3).normal(size=(5, 40)))
    expected = GramianAngularField(size, method=method).fit_transform(x)
    np.testing.assert_allclose(field(x, size), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("method", "field"), METHODS)
@pytest.mark.parametrize("sample_range", [(-1, 1), (0, 1)])
@pytest.mark.parametrize("value", [0.0, 1.0, -9.80665])
def test_a_constant_series_gives_the_image_of_pyts(method, field, sample_range, value):
    x = np.full((2, 30), value)
    expected = GramianAngularField(10, sample_range=sample_range, method=method).fit_transform(x)
    np.testing.assert_allclose(field(x, 10, target=sample_range), expected, rtol=0, atol=1e-15)


def test_a_constant_series_is_all_one_in_gasf_and_zero_in_gadf():
    x = np.full(12, 0.1)
    assert (gasf(x, 5) == 1).all()
    assert (gadf(x, 5) == 0).all()


def test_the_noise_of_rounding_in_the_means_does_not_count_as_movement():
    x = np.full(1000, 1 / 3) * 1e5
    assert (gasf(x, 7) == 1).all()


def test_means_that_round_beyond_the_range_of_the_samples_stay_in_the_image():
    # plateaus at both ends: the mean of equal samples may fall a rounding error outside them
    low, high = np.random.default_rng(0).normal(size=(2, 300, 1))
    x = np.concatenate([np.repeat(low, 7, axis=1), np.repeat(high, 7, axis=1)], axis=1)
    for field in FIELDS:
        image = field(x, 2, order="scale-then-paa")
        assert np.isfinite(image).all()
        assert np.abs(image).max() <= 1 + 1e-12


def test_float64_keeps_its_digits_where_the_textbook_form_loses_half():
    x = np.array([0.0, 1e-16, 0.3, 0.7, 1 - 1.1e-16, 1.0])
    summation, difference = exact(x)
    assert np.abs(naive(x)[1] - difference).max() > 1e-9
    assert np.abs(gasf(x, len(x)) - summation).max() < 1e-14
    assert np.abs(gadf(x, len(x)) - difference).max() < 1e-14


def test_float32_keeps_its_digits_where_the_textbook_form_loses_half():
    x = np.array([0.0, 1e-8, 0.3, 0.7, 1.0], dtype=np.float32)
    summation, difference = exact(x)
    assert np.abs(naive(x)[1] - difference).max() > 1e-5
    assert gadf(x, len(x)).dtype == np.float32
    assert np.abs(gasf(x, len(x)) - summation).max() < 1e-5
    assert np.abs(gadf(x, len(x)) - difference).max() < 1e-5


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_random_series_with_large_offsets_agree_with_60_digits(offset):
    x = np.random.default_rng(5).normal(size=24) + offset
    summation, difference = exact(x)
    assert np.abs(gasf(x, 24) - summation).max() < 1e-14
    assert np.abs(gadf(x, 24) - difference).max() < 1e-14


@given(SERIES)
def test_gasf_is_symmetric_and_bounded(x):
    image = gasf(x, len(x))
    assert (image == image.T).all()
    assert np.abs(image).max() <= 1 + 1e-12


@given(SERIES)
def test_gadf_is_antisymmetric_with_an_exactly_zero_diagonal_and_bounded(x):
    image = gadf(x, len(x))
    assert (image == -image.T).all()
    assert (np.diag(image) == 0).all()
    assert np.abs(image).max() <= 1 + 1e-12


@given(SERIES, st.integers(1, 24))
def test_upside_down_leaves_gasf_and_negates_gadf(x, size):
    size = min(size, len(x))
    if np.ptp(x) > 1e-6:  # a constant series is the lower end of the range either way
        np.testing.assert_array_equal(gasf(-x, size), gasf(x, size))
        np.testing.assert_array_equal(gadf(-x, size), -gadf(x, size))


@given(SERIES)
def test_on_zero_to_one_the_diagonal_of_gasf_inverts_to_the_scaled_series(x):
    diagonal = np.diag(gasf(x, len(x), target=(0, 1)))
    span = np.ptp(x)
    scaled = (x - x.min()) / span if span > 1e-8 else np.zeros_like(x)
    if span > 1e-8 or span == 0:
        np.testing.assert_allclose((diagonal + 1) / 2, scaled**2, rtol=0, atol=1e-14)
        np.testing.assert_allclose(np.sqrt((diagonal + 1) / 2), scaled, rtol=0, atol=1e-7)


@given(SERIES)
def test_gasf_and_gadf_together_are_one_angle(x):
    # cos^2 + sin^2: GASF_ij = cos(phi_i + phi_j), its sine is s_i c_j + c_i s_j
    c_low = gasf(x, len(x))[np.argmin(x)]  # phi = 180 degrees at the minimum: -c_j
    s_low = gadf(x, len(x))[np.argmin(x)]  # sin(180 - phi_j) = s_j
    np.testing.assert_allclose(c_low**2 + s_low**2, 1, rtol=0, atol=1e-12)


def test_fixed_limits_clip_and_keep_amplitude():
    x = np.array([-4.0, -2.0, 0.0, 1.0, 2.0, 5.0])
    c = np.array([-1, -1, 0, 0.5, 1, 1])
    s = np.array([0, 0, 1, ROOT3 / 2, 0, 0])
    limits = (-2.0, 2.0)
    expected = np.outer(c, c) - np.outer(s, s)
    np.testing.assert_allclose(gasf(x, 6, limits=limits), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(gadf(x, 6, limits=limits), np.outer(s, c) - np.outer(c, s), rtol=0, atol=1e-15)
    np.testing.assert_allclose(gasf(x * 0, 6, limits=limits), np.full((6, 6), -1), rtol=0, atol=1e-15)


def test_fixed_limits_need_not_be_symmetric():
    # [0, 4] maps 1 to c = -1/2 and 3 to c = 1/2
    np.testing.assert_allclose(
        gasf(np.array([1.0, 3.0]), 2, limits=(0, 4)), [[-0.5, -1], [-1, -0.5]], rtol=0, atol=1e-15
    )


def test_fixed_limits_may_differ_by_channel():
    x = np.array([[1.0, 1.0], [1.0, 1.0]])
    image = gasf(x, 2, limits=[(-1, 1), (-2, 2)])
    np.testing.assert_allclose(image[0], np.ones((2, 2)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(image[1], np.full((2, 2), -0.5), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("order", "pixel"), [("paa-then-scale", 1.0), ("scale-then-paa", -0.5)])
def test_the_order_decides_whether_samples_or_means_are_clipped(order, pixel):
    # means: 2 -> c = 1; samples: 4 is clipped to 2, mean 1 -> c = 1/2, 2 c^2 - 1 = -1/2
    image = gasf(np.array([0.0, 4.0]), 1, limits=(-2, 2), order=order)
    np.testing.assert_allclose(image, [[pixel]], rtol=0, atol=1e-15)


@pytest.mark.parametrize("target", [(-1, 1), (0, 1)])
@pytest.mark.parametrize(("length", "size"), [(60, 12), (50, 7), (20, 20)])
def test_scale_then_paa_against_the_formulas_written_out(target, length, size):
    x = np.random.default_rng(9).normal(size=length)
    scaled = target[0] + (target[1] - target[0]) * (x - x.min()) / (x.max() - x.min())
    edges = np.linspace(0, length, size + 1).astype(int)
    phi = np.arccos(np.clip([scaled[a:b].mean() for a, b in pairwise(edges)], -1, 1))
    arguments = {"target": target, "order": "scale-then-paa"}
    np.testing.assert_allclose(gasf(x, size, **arguments), np.cos(phi[:, None] + phi), rtol=0, atol=1e-7)
    np.testing.assert_allclose(gadf(x, size, **arguments), np.sin(phi[:, None] - phi), rtol=0, atol=1e-7)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("limits", [None, (-2, 2)])
@pytest.mark.parametrize("order", ["paa-then-scale", "scale-then-paa"])
def test_torch_equals_numpy(field, limits, order):
    x = np.random.default_rng(2).normal(size=(3, 2, 50))
    x[0, 0] = 4.2
    got = field(torch.from_numpy(x), 12, limits=limits, order=order)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), field(x, 12, limits=limits, order=order), rtol=0, atol=1e-12)


@pytest.mark.parametrize("field", FIELDS)
def test_one_at_a_time_equals_all_at_once(field):
    x = np.random.default_rng(4).normal(size=(5, 3, 50))
    together = field(x, 12)
    assert together.shape == (5, 3, 12, 12)
    for i in range(5):
        for j in range(3):
            np.testing.assert_allclose(field(x[i, j], 12), together[i, j], rtol=0, atol=1e-12)


@pytest.mark.parametrize("field", FIELDS)
def test_dtype_sets_the_type_of_the_image_only(field):
    x = np.random.default_rng(6).normal(size=(2, 40))
    image = field(x, 10, dtype=np.float32)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, field(x, 10), rtol=0, atol=3e-7)


@pytest.mark.parametrize("field", FIELDS)
def test_errors_name_what_is_allowed(field, says):
    x = np.arange(10.0)
    with says("limits (2, 2) are not allowed: each lower limit must be below its upper limit"):
        field(x, 5, limits=(2, 2))
    with says("target range (-2, 1) is not allowed: it must satisfy -1 <= low < high <= 1"):
        field(x, 5, target=(-2, 1))
    with says("target range (1, 0) is not allowed: it must satisfy -1 <= low < high <= 1"):
        field(x, 5, target=(1, 0))
    with says("unknown order 'scale-than-paa': did you mean 'scale-then-paa'? Valid: paa-then-scale, scale-then-paa"):
        field(x, 5, order="scale-than-paa")
    with says(
        "image size 11 does not fit windows of 10 samples: PAA never upsamples; "
        "choose a size from 1 to 10 or cut longer windows"
    ):
        field(x, 11)
