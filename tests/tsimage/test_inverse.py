import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyts.image import GramianAngularField

import tsimage.inverse
from tsimage import gadf, gasf, paa
from tsimage.inverse import from_gasf, from_pair

ROOT3 = 3**0.5
SCALED = (-1.0, 1.0)  # limits under which the forward fields take c as it is


def own_range(x):
    return np.stack([x.min(axis=-1), x.max(axis=-1)], axis=-1)


def unit(x, low=-1.0):
    """Scale each series by its own range to [low, 1]."""
    ends = own_range(x)[..., None, :]
    return low + (1 - low) * (x - ends[..., 0]) / (ends[..., 1] - ends[..., 0])


def pair(c):
    return gasf(c, c.shape[-1], limits=SCALED), gadf(c, c.shape[-1], limits=SCALED)


def leading_sign(c):
    clear = c[np.argmax(np.abs(c) >= np.abs(c).max() / 2)]
    return "positive" if clear > 0 else "negative"


def eight_bits(images):
    return (np.round((images + 1) * 127.5) / 127.5 - 1).astype(np.float32)


# c = -1, -1/2, 0, 1: phi = 180, 120, 90, 0 degrees; cosines of the sums and sines of the differences
HAND_GASF = [[1, 0.5, 0, -1], [0.5, -0.5, -ROOT3 / 2, -0.5], [0, -ROOT3 / 2, -1, 0], [-1, -0.5, 0, 1]]
HAND_GADF = [[0, ROOT3 / 2, 1, 0], [-ROOT3 / 2, 0, 0.5, ROOT3 / 2], [-1, -0.5, 0, 1], [0, -ROOT3 / 2, -1, 0]]


def test_hand_computed_images_give_their_series():
    c = [-1, -0.5, 0, 1]
    np.testing.assert_allclose(from_pair(HAND_GASF, HAND_GADF), c, rtol=0, atol=1e-15)
    np.testing.assert_allclose(from_pair(HAND_GASF, np.negative(HAND_GADF)), np.negative(c), rtol=0, atol=1e-15)
    np.testing.assert_allclose(from_gasf(HAND_GASF, target=(-1, 1), sign="negative"), c, rtol=0, atol=1e-15)
    np.testing.assert_allclose(from_pair(HAND_GASF, HAND_GADF, limits=(0, 4)), [0, 1, 2, 4], rtol=0, atol=1e-15)


def test_hand_computed_image_on_zero_to_one_gives_its_series():
    # c = 0, 1/2, 1: phi = 90, 60, 0 degrees
    image = [[-1, -ROOT3 / 2, 0], [-ROOT3 / 2, -0.5, 0.5], [0, 0.5, 1]]
    np.testing.assert_allclose(from_gasf(image), [0, 0.5, 1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(from_gasf(image, limits=(3, 7)), [3, 5, 7], rtol=0, atol=1e-15)


def test_the_diagonal_is_the_papers_formula_and_nothing_else_is_read():
    image = np.random.default_rng(0).uniform(-1, 1, size=(3, 6, 6))
    diagonal = np.diagonal(image, axis1=1, axis2=2)
    np.testing.assert_array_equal(from_gasf(image, entries="diagonal"), np.sqrt((diagonal + 1) / 2))
    negative = from_gasf(image, entries="diagonal", target=(-1, 0), limits=(-5, 0))
    np.testing.assert_allclose(negative, -5 * np.sqrt((diagonal + 1) / 2), rtol=0, atol=1e-14)


SERIES = arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e6, 1e6))


@given(SERIES)
def test_any_series_comes_back_from_its_pair_within_the_root_of_eps(x):
    span = np.ptp(x)
    assume(span > 1e-6)
    sign = leading_sign(unit(x))
    got = from_pair(gasf(x, len(x)), gadf(x, len(x)), limits=own_range(x), sign=sign)
    np.testing.assert_allclose(got, x, rtol=0, atol=3e-8 * span + 1e-9 * np.abs(x).max())


@given(SERIES)
def test_any_series_comes_back_from_gasf_on_zero_to_one_within_the_root_of_eps(x):
    span = np.ptp(x)
    assume(span > 1e-6)
    for entries in ("all", "diagonal"):
        got = from_gasf(gasf(x, len(x), target=(0, 1)), limits=own_range(x), entries=entries)
        np.testing.assert_allclose(got, x, rtol=0, atol=3e-8 * span + 1e-9 * np.abs(x).max())


@given(SERIES)
def test_any_series_comes_back_from_gasf_on_minus_one_to_one_given_the_sign(x):
    span = np.ptp(x)
    assume(span > 1e-6)
    got = from_gasf(gasf(x, len(x)), target=(-1, 1), limits=own_range(x), sign=leading_sign(unit(x)))
    np.testing.assert_allclose(got, x, rtol=0, atol=3e-8 * span + 1e-9 * np.abs(x).max())


@given(arrays(np.float32, st.integers(2, 20), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_float32_series_comes_back_from_its_pair_within_the_root_of_eps(x):
    assume(np.ptp(x) > 1e-3 * np.abs(x).max() + 1e-5)
    scaled = unit(x.astype(np.float64))
    got = from_pair(gasf(x, len(x)), gadf(x, len(x)), sign=leading_sign(scaled))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, scaled, rtol=0, atol=5e-4)


def test_a_gadf_as_small_as_the_root_of_eps_still_shows_the_sign():
    # the first sample is 1.4e-17 of the range above the lowest: invisible in GASF, 7e-9 in GADF
    x = np.array([2.0**-52, 16.0, 0.0])
    np.testing.assert_allclose(from_pair(gasf(x, 3), gadf(x, 3), limits=(0, 16)), x, rtol=0, atol=1e-13)
    np.testing.assert_allclose(from_pair(gasf(-x, 3), gadf(-x, 3), limits=(-16, 0)), -x, rtol=0, atol=1e-13)


@given(arrays(np.float64, (3, 9), elements=st.floats(-1, 1)), st.floats(1e-7, 1))
def test_images_of_the_series_found_are_the_given_images(c, scale):
    # what counts where the series itself is badly determined: the answer explains what was seen
    summation, difference = pair(c * scale)
    found = from_pair(summation, difference, sign="positive")
    explained = pair(found)
    np.testing.assert_allclose(explained[0], summation, rtol=0, atol=1e-14)
    np.testing.assert_allclose(explained[1], difference, rtol=0, atol=1e-12)


RNG = np.random.default_rng(1)
OWN = np.concatenate([RNG.normal(size=(40, 64)), RNG.normal(size=(40, 64)).cumsum(axis=1), RNG.random((40, 64)) ** 4])
SMALL = RNG.uniform(-1, 1, size=(120, 64))
PAIR_BOUNDS = {
    "own range": (unit(OWN), (5e-16, 1e-7, 4e-3)),
    "below 0.01": (SMALL * 0.01, (1e-14, 5e-6, 1e-2)),
    "below 0.0001": (SMALL * 1e-4, (1e-12, 3e-4, 5e-3)),
    "near 0.5": (0.5 + SMALL * 1e-4, (3e-16, 1e-7, 4e-3)),
}
GASF_BOUNDS = {
    "(0, 1)": (unit(OWN, 0.0), {}, (6e-16, 2e-7, 8e-3)),
    "(0, 1), diagonal": (unit(OWN, 0.0), {"entries": "diagonal"}, (2e-8, 3e-4, 5e-2)),
    "(-1, 1)": (unit(OWN), {"target": (-1, 1)}, (5e-16, 1e-7, 5e-3)),
    "below 0.01": (SMALL * 0.01, {"target": (-1, 1)}, (5e-14, 2e-5, 1e-2)),
}


def rounded(c):
    """The series and its images in float64, float32 and 8 bits."""
    single = c.astype(np.float32)
    return [(c, pair(c)), (single, pair(single)), (c, [eight_bits(image) for image in pair(c)])]


@pytest.mark.parametrize("size", [8, 24, 64])
@pytest.mark.parametrize("case", PAIR_BOUNDS)
def test_the_errors_of_pairs_are_those_documented(case, size):
    series, bounds = PAIR_BOUNDS[case]
    series = unit(series[:, :size]) if case == "own range" else series[:, :size]
    for (c, images), bound in zip(rounded(series), bounds, strict=True):
        got = from_pair(*images, sign="positive")
        assert got.dtype == images[0].dtype
        assert np.abs(got.astype(float) - c).max() <= bound


@pytest.mark.parametrize("size", [8, 24, 64])
@pytest.mark.parametrize("case", GASF_BOUNDS)
def test_the_errors_of_gasf_are_those_documented(case, size):
    series, options, bounds = GASF_BOUNDS[case]
    series = unit(series[:, :size], -1.0 if "target" in options else 0.0) if "below" not in case else series[:, :size]
    for (c, images), bound in zip(rounded(series), bounds, strict=True):
        got = from_gasf(images[0], sign="positive", **options).astype(float)
        error = np.minimum(np.abs(got - c).max(axis=1), np.abs(got + c).max(axis=1) if "target" in options else np.inf)
        assert error.max() <= bound


def test_all_entries_beat_the_diagonal_by_orders_of_magnitude():
    c = np.linspace(0, 1, 50, dtype=np.float32) ** 3
    image = pair(c)[0]
    assert np.abs(from_gasf(image, entries="diagonal") - c).max() > 1e-5
    assert np.abs(from_gasf(image) - c).max() < 3e-7


def test_differences_keep_their_digits_in_series_too_small_for_the_diagonal():
    c = np.random.default_rng(2).uniform(-1e-4, 1e-4, size=40)
    summation, difference = (image.astype(np.float32) for image in pair(c))
    error = from_pair(summation, difference) - c
    assert np.abs(error - error.mean()).max() < 2e-10


@pytest.mark.parametrize(
    "transform",
    [lambda x: x * 1e-12, lambda x: x * 1e9, lambda x: x + 100, np.round, lambda x: np.sort(x, axis=-1)],
    ids=["tiny", "huge", "offset", "ties", "monotone"],
)
@pytest.mark.parametrize("size", [40, 13, 2])
def test_awkward_series_come_back(transform, size):
    x = transform(np.random.default_rng(3).normal(size=(6, 40)))
    short = paa(x, size)
    got = from_pair(gasf(x, size), gadf(x, size), limits=own_range(short), sign="positive" if size == 2 else "raise")
    if size == 2:  # both means lie at the ends: the order of the two is open
        got, short = np.sort(got, axis=1), np.sort(short, axis=1)
    np.testing.assert_allclose(got, short, rtol=0, atol=1e-12 * np.abs(x).max())


@pytest.mark.parametrize("segmentation", ["pyts", "array_split", "truncate"])
def test_after_paa_then_scale_the_means_come_back(segmentation):
    x = np.random.default_rng(4).normal(size=(3, 2, 50))
    options = {"segmentation": segmentation}
    short = paa(x, 12, segmentation)
    got = from_pair(gasf(x, 12, **options), gadf(x, 12, **options), limits=own_range(short))
    np.testing.assert_allclose(got, short, rtol=0, atol=1e-13)
    clipped = from_pair(
        gasf(x, 12, limits=(-0.5, 0.3), **options), gadf(x, 12, limits=(-0.5, 0.3), **options), limits=(-0.5, 0.3)
    )
    np.testing.assert_allclose(clipped, np.clip(short, -0.5, 0.3), rtol=0, atol=1e-13)


def test_after_scale_then_paa_the_means_come_back_by_the_limits_of_the_samples():
    x = np.random.default_rng(5).normal(size=(4, 50))
    options = {"order": "scale-then-paa"}
    got = from_pair(gasf(x, 12, **options), gadf(x, 12, **options), limits=own_range(x))
    np.testing.assert_allclose(got, paa(x, 12), rtol=0, atol=1e-13)
    options["limits"] = (-0.5, 0.3)
    clipped = from_pair(gasf(x, 12, **options), gadf(x, 12, **options), limits=(-0.5, 0.3))
    np.testing.assert_allclose(clipped, paa(np.clip(x, -0.5, 0.3), 12), rtol=0, atol=1e-13)
    assert np.abs(clipped - np.clip(paa(x, 12), -0.5, 0.3)).max() > 0.01


def test_images_of_pyts_give_the_series_back():
    x = np.random.default_rng(6).normal(size=(5, 60))
    summation = GramianAngularField(20, method="summation").fit_transform(x)
    difference = GramianAngularField(20, method="difference").fit_transform(x)
    short = paa(x, 20)
    np.testing.assert_allclose(from_pair(summation, difference, limits=own_range(short)), short, rtol=0, atol=1e-7)
    positive = GramianAngularField(20, sample_range=(0, 1)).fit_transform(x)
    np.testing.assert_allclose(from_gasf(positive, limits=own_range(short)), short, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_equals_numpy(dtype):
    x = torch.from_numpy(np.random.default_rng(7).normal(size=(3, 2, 50))).to(dtype)
    limits = own_range(paa(x, 12).numpy())
    got = from_pair(gasf(x, 12), gadf(x, 12), limits=limits)
    assert isinstance(got, torch.Tensor)
    assert got.dtype == dtype
    expected = from_pair(gasf(x.numpy(), 12), gadf(x.numpy(), 12), limits=limits)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=tolerance)
    image = gasf(x, 12, target=(0, 1))
    for entries in ("all", "diagonal"):
        np.testing.assert_allclose(
            from_gasf(image, entries=entries).numpy(), from_gasf(image.numpy(), entries=entries), rtol=0, atol=tolerance
        )


def test_one_at_a_time_equals_all_at_once_in_chunks(monkeypatch, says):
    x = np.random.default_rng(8).normal(size=(5, 3, 30))
    images = gasf(x, 10), gadf(x, 10)
    limits = own_range(paa(x, 10))
    together = from_pair(*images, limits=limits)
    assert together.shape == (5, 3, 10)
    monkeypatch.setattr(tsimage.inverse, "_CHUNK_PIXELS", 400)  # 4 images
    np.testing.assert_allclose(from_pair(*images, limits=limits), together, rtol=0, atol=1e-14)
    for i in range(5):
        for j in range(3):
            one = from_pair(images[0][i, j], images[1][i, j], limits=limits[i, j])
            np.testing.assert_allclose(one, together[i, j], rtol=0, atol=1e-14)
    images[1][3, 1] = 0
    images[0][3, 1] = 1
    with says(
        "the sign of image (3, 1) is open: its GADF vanishes, as for a constant series or one at the ends of the range "
        "throughout, so state the sign of its first clearly nonzero value (sign='positive' or sign='negative')"
    ):
        from_pair(*images)


def test_an_empty_batch_and_a_single_pixel():
    assert from_pair(np.zeros((0, 2, 5, 5)), np.zeros((0, 2, 5, 5))).shape == (0, 2, 5)
    assert from_gasf(torch.zeros((0, 5, 5))).shape == (0, 5)
    assert from_gasf(np.array([[-0.5]])) == pytest.approx([0.5], abs=1e-15)
    assert from_pair([[-0.5]], [[0.0]], sign="negative") == pytest.approx([-0.5], abs=1e-15)
    assert from_pair([[1]], [[0]], limits=(7, 7)) == pytest.approx([7])


class TestWhatStaysOpen:
    """Two series with the same images: no inverse can tell them apart."""

    def test_gasf_of_a_series_and_its_mirror_image(self, says):
        c = np.random.default_rng(9).uniform(-1, 1, size=12)
        image = pair(c)[0]
        np.testing.assert_array_equal(image, pair(-c)[0])
        for sign in ("positive", "negative"):
            expected = c if leading_sign(c) == sign else -c
            np.testing.assert_allclose(from_gasf(image, target=(-1, 1), sign=sign), expected, rtol=0, atol=1e-14)
        with says(
            "the sign of the image is open: GASF(x) equals GASF(-x), so give the GADF too (from_pair), or state the sign "
            "of its first clearly nonzero value (sign='positive' or sign='negative')"
        ):
            from_gasf(image, target=(-1, 1))

    @pytest.mark.parametrize("value", [0.3, 0.5**0.5, 1.0, 1e-3])
    def test_the_pair_of_a_constant_under_fixed_limits(self, value):
        up, down = pair(np.full(7, value)), pair(np.full(7, -value))
        np.testing.assert_array_equal(up[0], down[0])
        np.testing.assert_array_equal(up[1], down[1])
        with pytest.raises(tsimage.UserError, match=r"^the sign of the image is open: its GADF vanishes"):
            from_pair(*up)
        np.testing.assert_allclose(from_pair(*up, sign="positive"), np.full(7, value), rtol=0, atol=1e-12)
        np.testing.assert_allclose(from_pair(*up, sign="negative"), np.full(7, -value), rtol=0, atol=1e-12)

    def test_the_pair_of_two_values_scaled_by_their_own_range(self):
        x = np.array([0.0, 1, 1, 0, 0, 0, 1])
        np.testing.assert_array_equal(gasf(x, 7), gasf(1 - x, 7))
        np.testing.assert_array_equal(gadf(x, 7), gadf(1 - x, 7))
        assert from_pair(gasf(x, 7), gadf(x, 7), limits=(0, 1), sign="negative").tolist() == x.tolist()
        assert from_pair(gasf(x, 7), gadf(x, 7), limits=(0, 1), sign="positive").tolist() == (1 - x).tolist()
        # the range [0, 1] has one sign only
        np.testing.assert_allclose(from_gasf(gasf(x, 7, target=(0, 1))), x, rtol=0, atol=1e-15)

    def test_the_value_of_a_constant_scaled_by_its_own_range(self):
        images = [gasf(np.full(5, v), 5) for v in (3.0, -8.0)]
        np.testing.assert_array_equal(*images)
        limits = [(3, 3), (-8, -8)]
        got = from_pair(np.stack(images), np.zeros((2, 5, 5)), limits=limits)
        np.testing.assert_array_equal(got, [[3.0] * 5, [-8.0] * 5])

    def test_half_the_digits_where_all_samples_are_near_the_ends_and_the_middle(self):
        c = np.array([1.0, 0.0])
        inwards = 1 - 2.0**-52
        other = np.array([inwards, np.sqrt((1 - inwards) * (1 + inwards))])
        for image, alike in zip(pair(c), pair(other), strict=True):
            np.testing.assert_allclose(image, alike, rtol=0, atol=1e-15)
        assert np.abs(other - c).max() > 2e-8

    def test_nothing_for_a_constant_zero(self):
        np.testing.assert_allclose(from_pair(*pair(np.zeros(6))), np.zeros(6), rtol=0, atol=1e-15)
        np.testing.assert_allclose(from_gasf(pair(np.zeros(6))[0], target=(-1, 1)), np.zeros(6), rtol=0, atol=1e-15)

    def test_a_lopsided_target_settles_the_sign_where_one_candidate_leaves_it(self):
        x = np.random.default_rng(10).normal(size=(4, 15))
        x[0] = np.arange(15) > 6  # two values: the GADF does not vanish here, the ends are -1/2 and 1
        target = (-0.5, 1)
        for images in ([gasf(x, 15, target=target)], [gasf(x, 15, target=target), gadf(x, 15, target=target)]):
            got = (from_gasf if len(images) == 1 else from_pair)(*images, target=target, limits=own_range(x))
            np.testing.assert_allclose(got, x, rtol=0, atol=1e-12)
        with pytest.raises(tsimage.UserError, match=r"^the sign of the image is open"):
            from_gasf(pair(np.array([0.1, -0.3, 0.4]))[0], target=target)

    def test_below_zero_the_sign_is_negative(self):
        x = np.random.default_rng(11).normal(size=(4, 15))
        got = from_gasf(gasf(x, 15, target=(-1, 0)), target=(-1, 0), limits=own_range(x))
        np.testing.assert_allclose(got, x, rtol=0, atol=1e-13)


def test_eight_bits_do_not_invent_a_sign():
    # an even spread of codes has none for 0: the GADF of a constant decodes to 1/255 everywhere
    images = [eight_bits(image) + np.float32(0) for image in pair(0.5 + np.linspace(-1e-4, 1e-4, 9))]
    assert np.abs(images[1]).max() > 0
    with pytest.raises(tsimage.UserError, match=r"^the sign of the image is open"):
        from_pair(*images)


def test_half_precision_images_keep_their_type():
    c = unit(np.random.default_rng(12).normal(size=(5, 20)))
    summation, difference = (image.astype(np.float16) for image in pair(c))
    got = from_pair(summation, difference)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, c, rtol=0, atol=2e-3)


def test_noisy_images_give_the_nearest_series_within_the_tolerance():
    rng = np.random.default_rng(13)
    c = unit(rng.normal(size=(50, 30)))
    images = [np.clip(image + rng.normal(scale=0.1, size=image.shape), -1, 1) for image in pair(c)]
    error = from_pair(*images, tolerance=0.2) - c
    assert np.sqrt((error**2).mean()) < 0.0135  # a single step of the fit leaves 0.0155, the diagonal 0.1
    with pytest.raises(tsimage.UserError, match=r"^image 0 is of no series in the target range"):
        from_pair(*images)


def test_images_of_no_series_are_refused(says):
    x = np.stack([np.linspace(0, 1, 9), np.sin(np.arange(9))])
    with says(
        "image 1 is of no series in the target range (0, 1): the nearest one's image differs by 0.52 (root mean square, "
        "tolerance 0.05); give the target it was painted with, undistorted images, or a larger tolerance"
    ):
        from_gasf(np.stack([gasf(x[0], 9, target=(0, 1)), gasf(x[1], 9)]))
    with pytest.raises(tsimage.UserError, match=r"^image 0 is of no series in the target range"):
        from_pair(gadf(x, 9), gasf(x, 9), sign="positive")


def test_errors_name_what_is_allowed(says):
    image = np.eye(4)
    with says("GASF of shape (3, 4) is not square: give images of shape (..., S, S)"):
        from_gasf(np.zeros((3, 4)))
    with says("GADF of shape (4,) is not square: give images of shape (..., S, S)"):
        from_pair(image, np.zeros(4))
    with says(
        "a GASF of shape (4, 4) and a GADF of shape (1, 4, 4) are no pair: give both images of the same series, equal in shape"
    ):
        from_pair(image, np.zeros((1, 4, 4)))
    spoilt = np.zeros((2, 3, 4, 4))
    spoilt[1, 2, 0, 3] = np.nan
    with says("GASF: image (1, 2) holds NaN or infinity: only finite images can be inverted"):
        from_gasf(spoilt)
    with says(
        "GADF: image 1 reaches 255 in magnitude, but Gramian fields lie in [-1, 1]: bring stored whole numbers or rescaled "
        "pixels back to that range first"
    ):
        from_pair(np.zeros((2, 4, 4)), np.stack([image, image * 255]).astype(np.uint8))
    with says("GASF of complex128 is not real: give the images themselves"):
        from_gasf(image * 1j)
    with says("target range (1, 0) is not allowed: it must satisfy -1 <= low < high <= 1"):
        from_gasf(image, target=(1, 0))
    with says("entries 'diagonal' give no signs, but the target range (-1, 1) has both: use entries='all'"):
        from_gasf(image, target=(-1, 1), entries="diagonal")
    with says("unknown entries 'diag': did you mean 'diagonal'? Valid: all, diagonal"):
        from_gasf(image, entries="diag")
    with says("unknown sign '+': Valid: raise, positive, negative"):
        from_pair(image, image, sign="+")
    with says("limits (2, 1) are not allowed: each must be finite, the lower not above the upper"):
        from_gasf(image, limits=(2, 1))
    with says(
        "limits of shape (3, 2) do not fit images of batch shape (2,): give (low, high), or one such pair per image, shape (2, 2)"
    ):
        from_gasf(np.zeros((2, 4, 4)), limits=[(0, 1)] * 3)


def test_values_a_rounding_error_outside_are_welcome():
    image = gasf(np.linspace(0, 1, 5), 5, target=(0, 1))
    image[-1, -1] = np.nextafter(1, 2)
    np.testing.assert_allclose(from_gasf(image), np.linspace(0, 1, 5), rtol=0, atol=1e-14)


def test_eight_bits_keep_a_sign_that_the_differences_show():
    # the diagonals are too coarse for these values, and either start leads to the same series
    c = np.random.default_rng(14).uniform(-0.06, 0.06, size=(20, 16))
    assert np.abs(from_pair(*(eight_bits(image) for image in pair(c))) - c).max() < 0.03


def test_a_value_that_the_pixels_cannot_tell_from_zero_has_no_open_sign():
    c = np.full(5, 1.2e-8)  # its diagonal is one unit in the last place above -1
    summation, difference = pair(c)
    assert summation[0, 0] > -1
    assert np.abs(from_pair(summation, difference)).max() < 3e-8
    with pytest.raises(tsimage.UserError, match=r"^the sign of the image is open"):
        from_pair(*pair(4 * c))


def test_three_levels_need_the_ends_of_the_range_to_hold_the_fit():
    # the direction that these images leave free points outside the range at the first two samples
    c = np.concatenate([[-1, 1], np.random.default_rng(15).choice([-1e-5, 3e-5], size=30)])
    summation, difference = (image.astype(np.float32) for image in pair(c))
    assert np.abs(from_pair(summation, difference) - c).max() < 1e-10
