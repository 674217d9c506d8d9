import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyts.image import MarkovTransitionField
from pyts.preprocessing import KBinsDiscretizer

import tsimage
from tsimage.fields.markov import MarkovModel, bin_edges, digitise, fit_markov, merged_bins, paint_markov
from tsimage.segments import segment_bounds

INTEGERS = arrays(np.float64, st.integers(4, 60), elements=st.integers(-30, 30).map(float))
MAPS = {
    "affine": lambda x: 3 * x + 7,
    "shrink": lambda x: x / 7,
    "cube": lambda x: x**3 + x,
    "exponential": lambda x: np.exp(x / 8),
    "arctangent": lambda x: np.arctan(x / 10),
}
KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "quantised": lambda rng, shape: np.round(rng.normal(size=shape) * 2),
    "heavy-ties": lambda rng, shape: np.round(rng.normal(size=shape)),
    "two-values": lambda rng, shape: rng.integers(0, 2, size=shape).astype(float),
    "constant": lambda rng, shape: np.full(shape, 9.81),
    "around-merging": lambda rng, shape: rng.normal(size=shape) * 5e-8,
    "walk": lambda rng, shape: rng.normal(size=shape).cumsum(axis=-1) + 1e4,
}


def mtf(x, size, **options):
    """The field without the warning that bins merged, which has its own test."""
    return paint_markov(x, size, **options)


def quantile_bins(x, bins):
    return digitise(x, bin_edges(x, bins))


def quiet(transformer, x):
    """What pyts gives, without its warning that bins merged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some quantiles are equal", category=UserWarning)
        return transformer.fit_transform(x)


def written_out(x, size, bins, segmentation="pyts"):
    """The T x T field, built and averaged as the paper says."""
    binned = quantile_bins(x, bins)
    counts = np.zeros((bins, bins))
    for a, b in pairwise(binned):
        counts[a, b] += 1
    for row in counts:
        if row.sum():
            row /= row.sum()
    field = np.array([[counts[a, b] for b in binned] for a in binned])
    spans = segment_bounds(len(x), size, segmentation)
    return np.array([[field[a:b, c:d].mean() for c, d in spans] for a, b in spans])


def test_hand_computed_without_averaging():
    # the median 2.5 parts 1, 2 from 3, 4: bins 0 0 1 1, W = [[1/2, 1/2], [0, 1]]
    x = np.array([1.0, 2.0, 3.0, 4.0])
    expected = [[0.5] * 4, [0.5] * 4, [0, 0, 1, 1], [0, 0, 1, 1]]
    np.testing.assert_allclose(mtf(x, 4, bins=2), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(mtf(x, 2, bins=2), [[0.5, 0.5], [0, 1]], rtol=0, atol=1e-15)


def test_hand_computed_with_segments_that_do_not_divide_the_length():
    # edge 3, right-closed: bins 0 0 0 1 1; W = [[2/3, 1/3], [0, 1]]; segments 2 + 3: P = [[1, 0], [1/3, 2/3]]
    x = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(mtf(x, 2, bins=2), [[2 / 3, 4 / 9], [2 / 9, 16 / 27]], rtol=0, atol=1e-15)


def test_a_bin_that_nothing_leaves_keeps_an_empty_row():
    # bins 0, 1, 2; 0 -> 1 -> 2 and then the series ends
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(mtf(x, 3, bins=3), [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_bins_are_closed_on_the_right_and_equal_edges_merge():
    # edges at 25, 50, 75 % of the sorted 0 0 0 0 1 are 0, 0, 0: one edge stays
    x = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    assert quantile_bins(x, 4).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("length", "size", "bins"), [(20, 20, 4), (50, 7, 5), (64, 16, 8), (30, 1, 2), (41, 10, 3)])
def test_parity_with_pyts(kind, length, size, bins):
    x = KINDS[kind](np.random.default_rng(length + bins), (4, length))
    expected = quiet(MarkovTransitionField(size, n_bins=bins), x)
    np.testing.assert_allclose(mtf(x, size, bins=bins), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", ["quantile", "uniform", "normal"])
@pytest.mark.parametrize("kind", [*KINDS, "tiny", "huge"])
def test_every_strategy_equals_pyts(kind, strategy):
    scale = {"tiny": 1e-300, "huge": 1e300}.get(kind)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 45)) * scale if scale else KINDS[kind](rng, (6, 45))
    for bins in (2, 3, 7, 16):
        expected = quiet(KBinsDiscretizer(bins, strategy=strategy), x)
        np.testing.assert_array_equal(digitise(x, bin_edges(x, bins, strategy)), expected)
        image = quiet(MarkovTransitionField(9, n_bins=bins, strategy=strategy), x)
        np.testing.assert_allclose(mtf(x, 9, bins=bins, strategy=strategy), image, rtol=0, atol=1e-12)


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("length", [2, 3, 17, 30])
def test_every_size_and_overlap_equals_pyts(length, overlapping):
    x = np.random.default_rng(length).normal(size=(3, length))
    segmentation = "overlapping" if overlapping else "pyts"
    for size in range(1, length + 1):
        expected = quiet(MarkovTransitionField(size, n_bins=4, overlapping=overlapping), x)
        np.testing.assert_allclose(mtf(x, size, bins=4, segmentation=segmentation), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bins", [2, 3, 5, 8, 10])
def test_bin_numbers_equal_those_of_pyts(kind, bins):
    x = KINDS[kind](np.random.default_rng(bins), (5, 60))
    np.testing.assert_array_equal(quantile_bins(x, bins), quiet(KBinsDiscretizer(bins, strategy="quantile"), x))


@pytest.mark.parametrize(("length", "bins"), [(19, 9), (10, 3), (29, 7), (46, 9), (23, 11)])
def test_bin_numbers_equal_those_of_pyts_where_ranks_round(length, bins):
    # (T - 1) k / Q falls a rounding error beside whole numbers here, so every digit of the interpolation counts
    x = np.random.default_rng(length).normal(size=(100, length))
    np.testing.assert_array_equal(quantile_bins(x, bins), quiet(KBinsDiscretizer(bins, strategy="quantile"), x))


@pytest.mark.parametrize("segmentation", ["pyts", "overlapping", "array_split", "truncate"])
@pytest.mark.parametrize("kind", ["normal", "quantised"])
@pytest.mark.parametrize(("length", "size", "bins"), [(40, 40, 4), (40, 8, 6), (37, 5, 3)])
def test_the_product_form_equals_the_field_built_in_full(segmentation, kind, length, size, bins):
    x = KINDS[kind](np.random.default_rng(8), (length,))
    got = mtf(x, size, bins=bins, segmentation=segmentation)
    np.testing.assert_allclose(got, written_out(x, size, bins, segmentation), rtol=0, atol=1e-14)


@given(INTEGERS, st.integers(2, 8), st.sampled_from(sorted(MAPS)))
def test_no_increasing_map_changes_the_image(x, bins, name):
    # Where (T - 1) k / Q is whole but rounds, numpy.percentile, and so pyts, puts the edge a hair beside a sample.
    rank = (len(x) - 1) * (np.linspace(0, 100, bins + 1)[1:-1] / 100)
    assume(((rank == np.rint(rank)) | (np.abs(rank - np.rint(rank)) > 1e-9)).all())
    size = max(1, len(x) // 3)
    np.testing.assert_allclose(mtf(MAPS[name](x), size, bins=bins), mtf(x, size, bins=bins), rtol=0, atol=1e-12)


@given(INTEGERS, st.integers(2, 8))
def test_the_transitions_out_of_every_bin_that_is_left_sum_to_1(x, bins):
    image = mtf(x, len(x), bins=bins)
    binned = quantile_bins(x, bins)
    _, representative = np.unique(binned, return_index=True)
    sums = image[:, representative].sum(axis=1)
    left = np.isin(binned, binned[:-1])
    np.testing.assert_allclose(sums[left], 1, rtol=0, atol=1e-12)
    assert (sums[~left] == 0).all()
    assert image.min() >= 0
    assert image.max() <= 1


@given(INTEGERS, st.integers(2, 8))
def test_bins_are_numbered_in_the_order_of_values(x, bins):
    binned = quantile_bins(x, bins)
    assert binned.min() >= 0
    assert binned.max() < bins
    order = np.argsort(x, kind="stable")
    assert (np.diff(binned[order]) >= 0).all()
    for value in np.unique(x):
        assert len(np.unique(binned[x == value])) == 1


def test_a_constant_series_is_all_one():
    np.testing.assert_allclose(mtf(np.full(30, 9.81), 7), np.ones((7, 7)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_equals_numpy(kind):
    x = KINDS[kind](np.random.default_rng(1), (2, 3, 50))
    assert torch.equal(quantile_bins(torch.from_numpy(x), 6), torch.from_numpy(quantile_bins(x, 6)))
    got = mtf(torch.from_numpy(x), 12, bins=6)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), mtf(x, 12, bins=6), rtol=0, atol=1e-12)


def test_one_at_a_time_equals_all_at_once():
    x = np.random.default_rng(4).normal(size=(4, 3, 50))
    together = mtf(x, 12, bins=5)
    assert together.shape == (4, 3, 12, 12)
    for i in range(4):
        for j in range(3):
            np.testing.assert_allclose(mtf(x[i, j], 12, bins=5), together[i, j], rtol=0, atol=1e-13)


def test_dtype_sets_the_type_of_the_image_only():
    x = np.random.default_rng(6).normal(size=(2, 40))
    image = mtf(x, 10, dtype=np.float32)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, mtf(x, 10), rtol=0, atol=3e-7)


@pytest.mark.parametrize("bins", [1, 0, -3])
def test_fewer_than_two_bins_are_refused(bins, says):
    with says(f"bins={bins} is not allowed: a Markov transition field needs at least 2 bins"):
        mtf(np.arange(10.0), 5, bins=bins)


def test_an_unknown_strategy_and_a_single_sample_are_refused(says):
    with says("unknown bin strategy 'quantiles': did you mean 'quantile'? Valid: quantile, uniform, normal"):
        mtf(np.arange(10.0), 5, strategy="quantiles")
    with says("a series of 1 sample has no transitions for a Markov field: give at least 2 samples"):
        mtf(np.array([3.0]), 1)


def test_a_size_beyond_the_length_is_refused(says):
    with says(
        "image size 11 does not fit windows of 10 samples: PAA never upsamples; "
        "choose a size from 1 to 10 or cut longer windows"
    ):
        mtf(np.arange(10.0), 11)


def test_merged_bins_are_warned_of_by_the_public_function():
    x = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    assert merged_bins(x, 4).tolist() == [False, True]
    words = "equal quantiles merged: 1 of 2 series have fewer than 4 Markov bins, the first at \\(1\\): use fewer bins"
    with pytest.warns(UserWarning, match=words):
        tsimage.mtf(x, 4, bins=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tsimage.mtf(x, 4, bins=2)  # one edge has nothing to merge with
        tsimage.mtf(x, 4, bins=4, strategy="uniform")


def test_a_fitted_model_pools_the_windows_of_a_channel():
    # channel 0: sorted 0 0 0 1 1 1 2 2 2, median 1: bins 0 0 1 / 0 0 1 / 1 0 0 -> counts [[3, 2], [1, 0]]
    x = np.array(
        [[[0.0, 1.0, 2.0], [5.0, 5.0, 7.0]], [[0.0, 1.0, 2.0], [5.0, 7.0, 7.0]], [[2.0, 0.0, 1.0], [7.0, 5.0, 5.0]]]
    )
    model = fit_markov(x, bins=2)
    assert model.edges.tolist() == [[1.0], [5.0]]
    np.testing.assert_allclose(model.transitions[0], [[0.6, 0.4], [1.0, 0.0]], rtol=1e-15)
    image = mtf(x[:1], 3, model=model)
    assert image.shape == (1, 2, 3, 3)
    w = model.transitions[0]
    binned = [0, 0, 1]
    np.testing.assert_allclose(image[0, 0], [[w[a, b] for b in binned] for a in binned], rtol=1e-15)


def test_with_its_own_window_as_training_part_a_model_changes_nothing():
    x = np.random.default_rng(5).normal(size=(1, 3, 60))
    np.testing.assert_allclose(mtf(x, 12, model=fit_markov(x, bins=5)), mtf(x, 12, bins=5), rtol=0, atol=1e-14)


def test_a_model_reads_new_windows_on_the_old_scale_in_numpy_and_torch():
    rng = np.random.default_rng(6)
    model = fit_markov(rng.normal(size=(20, 2, 50)), bins=4)
    assert isinstance(model, MarkovModel)
    quiet_window = rng.normal(size=(3, 2, 40)) * 1e-3  # stays in the two middle bins
    image = mtf(quiet_window, 8, model=model)
    assert np.isin(digitise(quiet_window, model.edges), [1, 2]).all()
    assert np.abs(image - mtf(quiet_window, 8, bins=4)).max() > 0.1
    np.testing.assert_allclose(mtf(torch.from_numpy(quiet_window), 8, model=model).numpy(), image, rtol=0, atol=1e-14)


def test_nothing_to_fit_on_is_refused(says):
    with says("cannot fit transitions on windows of shape (0, 2, 9): give at least one window of two samples"):
        fit_markov(np.empty((0, 2, 9)))


def test_edges_in_float64_from_float32_samples_equal_those_of_the_exact_samples():
    x = np.random.default_rng(9).normal(size=(4, 101)).astype(np.float32)
    for strategy in ("quantile", "uniform", "normal"):
        narrow = bin_edges(x, 6, strategy, dtype=np.float64)
        assert narrow.dtype == np.float64
        np.testing.assert_array_equal(narrow, bin_edges(x.astype(np.float64), 6, strategy))


def test_a_model_of_other_channels_is_refused_before_it_is_broadcast(says):
    model = fit_markov(np.random.default_rng(0).normal(size=(5, 1, 30)), bins=3)
    with says(
        "a Markov model of 1 channels cannot paint windows of 2: paint windows of the channels that it learnt from, or fit "
        "it to these"
    ):
        mtf(np.zeros((4, 2, 30)), 6, model=model)
