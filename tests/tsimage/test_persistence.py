import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from persim import PersImage, PersistenceImager

from tests.tsimage.test_imports import modules_after
from tsimage.fields.persistence import persistence_image, persistence_pairs

LEGACY = pytest.mark.filterwarnings("ignore:Call to deprecated class PersImage:DeprecationWarning")
TIED = arrays(np.float64, st.integers(1, 30), elements=st.integers(-3, 3).map(float))
SMOOTH = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6))
LIKE_TORCH = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16}


def gudhi_pairs(x, cells="vertices"):
    """Finite pairs of the sublevel-set filtration by gudhi, sorted by birth and death."""
    filtration = gudhi.CubicalComplex(**{cells: np.asarray(x, dtype=np.float64)})
    filtration.compute_persistence()
    pairs = filtration.persistence_intervals_in_dimension(0)
    pairs = pairs[np.isfinite(pairs[:, 1])]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].reshape(-1, 2)


def legacy_image(x, size=64, low=-1.0, high=1.0, spread=0.015, keep=0.01):
    """The steps of the released code on a series already scaled."""
    pairs = gudhi_pairs(x)
    pairs = pairs[pairs[:, 1] - pairs[:, 0] > 1e-3]
    pairs = pairs[pairs[:, 1] - pairs[:, 0] > keep]
    painter = PersImage(pixels=(size, size), spread=spread, specs={"minBD": low, "maxBD": high}, verbose=False)
    image = painter.transform(pairs)
    return image / image.max() if image.max() > 0 else image


def modern_image(x, size, low, high, spread, keep=0.01):
    """persim's own exact integral, as persim plots it: births to the right, persistence up."""
    pairs = gudhi_pairs(x)
    pairs = pairs[pairs[:, 1] - pairs[:, 0] > keep]
    painter = PersistenceImager(
        birth_range=(low, high),
        pers_range=(0.0, high - low),
        pixel_size=(high - low) / size,
        kernel_params={"sigma": spread**2},
    )
    assert painter.resolution == (size, size)
    image = np.rot90(painter.transform(pairs, skew=True))
    return image / image.max()


def walk(seed, length=120):
    """A random walk scaled to [-1, 1], its ends exact."""
    x = np.random.default_rng(seed).normal(size=length).cumsum()
    return 2 * (x - x.min()) / (x.max() - x.min()) - 1


@pytest.mark.parametrize(
    ("series", "pairs"),
    [
        ([5.0], []),
        ([1.0, 2.0], []),
        ([2.0, 1.0], []),
        ([1.0, 1.0], []),
        ([3.0, 3.0, 3.0, 3.0], []),
        ([1.0, 2.0, 2.0, 5.0, 7.0], []),
        ([7.0, 5.0, 5.0, 2.0, 1.0], []),
        ([0.0, 4.0, 1.0], [(1, 4)]),  # the minimum 1 is born later than 0 and dies where they meet
        ([1.0, 4.0, 0.0], [(1, 4)]),
        ([0.0, 4.0, 4.0, 1.0, 1.0, 6.0], [(1, 4)]),  # plateaus count once
        ([0.0, 4.0, 0.0], [(0, 4)]),
        ([4.0, 0.0, 4.0], []),  # one minimum, and it lives on
        ([0.0, 3.0, 1.0, 4.0, 2.0, 5.0], [(1, 3), (2, 4)]),
        ([2.0, 5.0, 1.0, 4.0, 0.0], [(1, 4), (2, 5)]),
        ([0.0, 3.0, 1.0, 3.0, 2.0, 3.0], [(1, 3), (2, 3)]),  # three components meet at one level
        ([0.0, 9.0, 2.0, 5.0, 3.0, 4.0, 1.0, 8.0], [(1, 9), (2, 5), (3, 4)]),
    ],
)
def test_hand_computed_pairs(series, pairs):
    got = persistence_pairs(np.array(series))
    assert got.shape == (len(pairs), 2)
    assert got.tolist() == [list(pair) for pair in pairs]


@given(st.one_of(TIED, SMOOTH))
def test_pairs_are_those_of_gudhi_exactly(x):
    np.testing.assert_array_equal(persistence_pairs(x), gudhi_pairs(x))
    np.testing.assert_array_equal(persistence_pairs(x), gudhi_pairs(x, "top_dimensional_cells"))


@pytest.mark.parametrize("length", [3, 50, 128, 501, 2000])
def test_pairs_of_long_series_are_those_of_gudhi_exactly(length):
    rng = np.random.default_rng(length)
    noise = rng.normal(size=length)
    for x in (noise, noise.cumsum(), noise.round(), noise.cumsum().round(), np.sin(np.arange(length) / 5)):
        np.testing.assert_array_equal(persistence_pairs(x), gudhi_pairs(x))


def test_deepest_nesting():
    # maxima that only fall keep every basin open to the end; maxima that only rise merge each at once
    maxima, minima = np.arange(500.0, 0, -1), -np.arange(500.0)
    falling = np.stack([maxima, minima], axis=-1).reshape(-1)
    for x in (falling, falling[::-1], -falling):
        np.testing.assert_array_equal(persistence_pairs(x), gudhi_pairs(x))
    assert len(persistence_pairs(falling)) == 499


@given(st.one_of(TIED, SMOOTH))
def test_pairs_do_not_depend_on_the_direction_of_time(x):
    np.testing.assert_array_equal(persistence_pairs(x), persistence_pairs(x[::-1]))


def test_pairs_keep_type_and_values():
    x = np.random.default_rng(0).normal(size=60).astype(np.float32)
    x.flags.writeable = False
    pairs = persistence_pairs(x)
    assert pairs.dtype == np.float32
    assert set(pairs.reshape(-1)) <= set(x)
    assert persistence_pairs([3, 1, 2, 0]).tolist() == [[1.0, 2.0]]
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    got = persistence_pairs(tensor)
    assert got.dtype == torch.float32
    assert not got.requires_grad
    np.testing.assert_array_equal(got.numpy(), pairs)


def test_the_brightest_pixel_is_at_birth_and_persistence():
    # scaled to [-1, 1] the pair (1, 3) of 0..4 is birth -1/2, persistence 1: a quarter from the left, half-way up
    image = persistence_image(np.array([0.0, 3.0, 1.0, 4.0]), 65, spread=0.02)
    # pixel 16 spans births -1 + 2 * (16, 17) / 65; row 32 is the middle one
    assert np.unravel_index(image.argmax(), image.shape) == (32, 16)
    assert image.max() == 1
    # birth -1, persistence 1/2: left edge, a quarter from the bottom
    image = persistence_image(np.array([-1.0, -0.5, -1.0, 1.0]), 65, spread=0.02, limits=(-1, 1))
    assert np.unravel_index(image.argmax(), image.shape) == (64 - 16, 0)


def test_no_pair_of_a_scaled_series_falls_outside():
    # the greatest persistence there is: both minima and the maximum at the ends of the range
    x = np.array([0.0, 1.0, 0.0])
    image = persistence_image(x)
    assert np.unravel_index(image.argmax(), image.shape) == (0, 0)
    assert image[0, 0] == 1
    # the released recipe ends at persistence 1
    assert not persistence_image(x, compat="persim").any()


@pytest.mark.parametrize(
    ("size", "low", "high", "spread"),
    [(64, -1.0, 1.0, 0.015), (32, -1.0, 1.0, 0.5), (16, -0.5, 0.5, 0.1), (8, -2.0, 2.0, 0.03), (1, -1.0, 1.0, 0.2)],
)
def test_images_are_those_of_persims_exact_integral(size, low, high, spread):
    for seed in range(5):
        x = walk(seed)
        got = persistence_image(x, size, limits=(-1, 1), spread=spread, birth_range=(low, high))
        np.testing.assert_allclose(got, modern_image(x, size, low, high, spread), rtol=0, atol=1e-13)


def test_images_are_integrals():
    # Gauss-Legendre quadrature of the surface, pixel by pixel
    x = walk(7, 40)
    size, spread = 5, 0.3
    nodes, weights = np.polynomial.legendre.leggauss(30)
    width = 2 / size
    expected = np.zeros((size, size))
    for birth, death in gudhi_pairs(x):
        persistence = death - birth
        if persistence <= 0.01:
            continue
        for row in range(size):
            for column in range(size):
                births = -1 + width * (column + (nodes + 1) / 2)
                heights = width * (size - 1 - row + (nodes + 1) / 2)
                density = np.exp(-((births - birth) ** 2 + (heights[:, None] - persistence) ** 2) / (2 * spread**2)) / (
                    2 * np.pi * spread**2
                )
                expected[row, column] += persistence * (weights @ density @ weights) * (width / 2) ** 2
    got = persistence_image(x, size, limits=(-1, 1), spread=spread)
    np.testing.assert_allclose(got, expected / expected.max(), rtol=0, atol=1e-12)


@LEGACY
@pytest.mark.parametrize("length", [30, 128, 500])
def test_compat_reproduces_the_released_recipe(length):
    for seed in range(4):
        x = walk(seed, length)
        got = persistence_image(x, limits=(-1, 1), compat="persim")
        assert got.any()
        np.testing.assert_allclose(got, legacy_image(x), rtol=0, atol=1e-12)


@LEGACY
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 0.7), (0.3, 1.0)])
@pytest.mark.parametrize("size", [1, 20, 33])
def test_compat_reproduces_other_ranges(low, high, size):
    x = walk(11, 80)
    got = persistence_image(x, size, limits=(-1, 1), birth_range=(low, high), spread=0.2, keep=0.1, compat="persim")
    np.testing.assert_allclose(got, legacy_image(x, size, low, high, 0.2, 0.1), rtol=0, atol=1e-12)


@LEGACY
def test_compat_magnifies_the_tails_as_persim_does():
    # one pair of persistence 3/2, 32 spreads above the last row: 1e-229 before the division by the maximum
    x = np.array([-1.0, 1.0, -0.5, 1.0])
    expected = legacy_image(x)
    assert expected.max() == 1
    got = persistence_image(x, limits=(-1, 1), compat="persim")
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@LEGACY
def test_compat_leaves_half_of_the_births_out():
    # pixel k covers births from -1 + 2 k / 63 on, 1 / 64 wide: -1 + 2 * 20.75 / 63 is in no pixel
    lost, kept = -1 + 2 * 20.75 / 63, -1 + 2 * 20.25 / 63
    for birth, sharp in ((lost, False), (kept, True)):
        x = np.array([-1.0, birth + 0.5, birth, 1.0])
        got = persistence_image(x, limits=(-1, 1), spread=1e-4, compat="persim")
        assert got.any() == sharp
        assert persistence_image(x, limits=(-1, 1), spread=1e-4).any()


@pytest.mark.parametrize("drop", ["keep", "noise"])
def test_pairs_are_dropped_up_to_and_including_a_persistence(drop):
    # exact in binary: on limits (0, 1) = target the pair is (1/4, 1/2)
    x = np.array([0.0, 0.5, 0.25, 1.0])
    options = {"limits": (0, 1), "target": (0, 1), "birth_range": (0, 1), "noise": 0.0, "keep": 0.0}
    assert not persistence_image(x, 8, **(options | {drop: 0.25})).any()
    assert persistence_image(x, 8, **(options | {drop: np.nextafter(0.25, 0)})).any()


def test_small_pairs_are_dropped_by_default():
    x = np.array([-1.0, 0.0, -0.009, 1.0])
    assert not persistence_image(x, limits=(-1, 1)).any()
    assert persistence_image(x, limits=(-1, 1), keep=0.008).any()
    assert not persistence_image(x, limits=(-1, 1), keep=0.0, noise=0.01).any()
    assert persistence_image(np.array([-1.0, 0.0, -0.011, 1.0]), limits=(-1, 1)).any()


def test_weights_grow_with_persistence():
    # two pairs far apart, each in the middle of a pixel: persistences 1/2 and 1/4
    x = np.array([-1.0, 0.0, -0.5, 0.5, 0.25, 1.0])
    image = persistence_image(x, 8, limits=(-1, 1), birth_range=(-1.125, 0.875), spread=0.01)
    lit = np.argwhere(image > 1e-6)
    assert len(lit) == 4  # births -1/2, 1/4 in the middle of columns; persistences 1/2, 1/4 on edges of rows
    np.testing.assert_allclose(np.unique(image[image > 1e-6].round(9)), [0.5, 1.0], rtol=0, atol=1e-9)


def test_limits_clip_and_may_differ_by_channel():
    x = np.array([[-5.0, 9.0, 1.0, 4.0], [-5.0, 9.0, 1.0, 4.0]])
    image = persistence_image(x, 32, limits=[(0, 4), (0, 8)])
    own = persistence_image(np.array([0.0, 4.0, 1.0, 4.0]), 32)
    np.testing.assert_allclose(image[0], own, rtol=0, atol=1e-14)
    assert np.abs(image[1] - own).max() > 0.5
    np.testing.assert_allclose(
        image[1], persistence_image(np.array([-1, 1, -0.75, 0]), 32, limits=(-1, 1)), rtol=0, atol=1e-14
    )


def test_target_moves_the_births():
    x = walk(3)
    image = persistence_image(x, 24, spread=0.04)
    half = persistence_image(x, 24, target=(0, 1), birth_range=(0, 1), spread=0.02, noise=0.0, keep=0.005)
    np.testing.assert_allclose(half, image, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_own_range_forgets_offset_and_amplitude(scale):
    x = walk(4)
    np.testing.assert_allclose(
        persistence_image(scale * x + 3 * scale), persistence_image(x, limits=(-1, 1)), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("compat", [None, "persim"])
def test_series_without_pairs_are_black(compat):
    rounding = np.full(50, 9.81, dtype=np.float32)
    rounding[::2] = np.nextafter(np.float32(9.81), np.float32(10))
    for x in (np.array([7.0]), np.zeros(30), np.arange(20.0), np.arange(20.0)[::-1], rounding):
        image = persistence_image(x, 16, compat=compat)
        assert image.shape == (16, 16)
        assert not image.any()
    assert not persistence_image(np.array([3.0, 5.0, 2.0, 7.0]), 16, limits=(10, 20), compat=compat).any()


@given(st.one_of(TIED, SMOOTH), st.sampled_from([1, 2, 7, 64]))
def test_images_are_finite_and_fill_the_range(x, size):
    image = persistence_image(x, size)
    assert image.shape == (size, size)
    assert image.min() >= 0
    assert image.max() in (0, 1)
    np.testing.assert_allclose(persistence_image(x[::-1], size), image, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_torch_equals_numpy_and_keeps_the_dtype(dtype):
    x = np.random.default_rng(5).normal(size=(2, 3, 70)).astype(dtype)
    expected = persistence_image(x, 20)
    assert expected.dtype == dtype
    assert expected.shape == (2, 3, 20, 20)
    got = persistence_image(torch.from_numpy(x).requires_grad_(), 20)
    assert got.dtype == LIKE_TORCH[dtype]
    assert not got.requires_grad
    np.testing.assert_array_equal(got.numpy(), expected)


def test_dtype_sets_the_type_of_the_image_only():
    x = np.random.default_rng(6).normal(size=(4, 90))
    image = persistence_image(x, 20)
    for dtype, error in ((np.float32, 1e-7), (np.float16, 5e-4)):
        got = persistence_image(x, 20, dtype=dtype)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, image, rtol=0, atol=error)
    got = persistence_image(torch.from_numpy(x), 20, dtype=torch.bfloat16)
    assert got.dtype == torch.bfloat16
    np.testing.assert_allclose(got.double().numpy(), image, rtol=0, atol=4e-3)
    single = persistence_image(x.astype(np.float32), 20, dtype=np.float64)
    assert single.dtype == np.float64
    np.testing.assert_array_equal(single, persistence_image(x.astype(np.float32).astype(np.float64), 20))


def test_one_at_a_time_equals_all_at_once():
    x = np.random.default_rng(8).normal(size=(4, 3, 50)).cumsum(-1)
    together = persistence_image(x)
    before = x.copy()
    for i in range(4):
        for j in range(3):
            np.testing.assert_array_equal(persistence_image(x[i, j]), together[i, j])
    np.testing.assert_array_equal(persistence_image(x.transpose(1, 0, 2)), together.swapaxes(0, 1))
    np.testing.assert_array_equal(x, before)
    assert persistence_image(x[:0]).shape == (0, 3, 64, 64)


def test_numba_comes_with_the_first_image_only(repository):
    loaded = modules_after(repository, "import tsimage.fields.persistence")
    assert "tsimage.fields.persistence" in loaded
    assert not loaded & {"numba", "gudhi", "persim", "torch"}


def test_errors_name_what_is_allowed(says):
    x = np.arange(10.0)
    with says("persistence pairs need one series of shape (T,) with T >= 1, got shape (2, 5)"):
        persistence_pairs(x.reshape(2, 5))
    with says("persistence pairs need one series of shape (T,) with T >= 1, got shape (0,)"):
        persistence_pairs(x[:0])
    with says("a persistence image needs series of shape (..., T) with T >= 1, got shape (3, 0)"):
        persistence_image(np.zeros((3, 0)))
    with says("a persistence image needs series of shape (..., T) with T >= 1, got shape ()"):
        persistence_image(np.array(1.0))
    with says("size 0 is not allowed: images have at least 1 pixel on a side"):
        persistence_image(x, 0)
    with says("spread 0 is not allowed: the standard deviation of a Gaussian must be above 0"):
        persistence_image(x, spread=0)
    with says("spread nan is not allowed: the standard deviation of a Gaussian must be above 0"):
        persistence_image(x, spread=float("nan"))
    with says("keep -0.1 is not allowed: pairs are dropped up to a persistence of 0 or more"):
        persistence_image(x, keep=-0.1)
    with says("noise -1 is not allowed: pairs are dropped up to a persistence of 0 or more"):
        persistence_image(x, noise=-1)
    with says("birth range (1, -1) is not allowed: it must satisfy low < high"):
        persistence_image(x, birth_range=(1, -1))
    with says("target range (1, 1) is not allowed: it must satisfy low < high"):
        persistence_image(x, target=(1, 1))
    with says("limits (2, 2) are not allowed: each lower limit must be below its upper limit"):
        persistence_image(x, limits=(2, 2))
    with says("unknown compat 'persm': did you mean 'persim'? Valid: persim"):
        persistence_image(x, compat="persm")
    with says("birth range (-1, 0) is not allowed with compat='persim': its upper end must be above 0"):
        persistence_image(x, birth_range=(-1, 0), compat="persim")
