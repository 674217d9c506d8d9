import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyts.approximation import PiecewiseAggregateApproximation

from tsimage.segments import averaging_matrix, paa, segment_bounds

SEGMENTATIONS = ("pyts", "overlapping", "array_split", "truncate")
SIZES = st.integers(1, 200).flatmap(lambda t: st.tuples(st.just(t), st.integers(1, t)))


@pytest.mark.parametrize(
    ("segmentation", "lengths", "means"),
    [
        ("pyts", [3, 3, 4], [1, 4, 7.5]),
        ("overlapping", [4, 4, 4], [1.5, 4.5, 7.5]),
        ("array_split", [4, 3, 3], [1.5, 5, 8]),
        ("truncate", [3, 3, 3], [1, 4, 7]),
    ],
)
def test_ten_samples_into_three_segments(segmentation, lengths, means):
    bounds = segment_bounds(10, 3, segmentation)
    assert bounds[0, 0] == 0
    assert np.diff(bounds)[:, 0].tolist() == lengths
    np.testing.assert_allclose(paa(np.arange(10.0), 3, segmentation), means, rtol=1e-15)


def test_the_default_segmentation_is_that_of_pyts():
    np.testing.assert_allclose(paa(np.arange(10.0), 3), [1, 4, 7.5], rtol=1e-15)


@pytest.mark.parametrize("segmentation", ["pyts", "overlapping"])
@pytest.mark.parametrize("length", [2, 3, 17, 31])
def test_paa_equals_pyts_at_every_size(length, segmentation):
    x = np.random.default_rng(0).normal(size=(4, length))
    for size in range(1, length + 1):
        expected = PiecewiseAggregateApproximation(
            window_size=None, output_size=size, overlapping=segmentation == "overlapping"
        ).fit_transform(x)
        np.testing.assert_allclose(paa(x, size, segmentation), expected, rtol=0, atol=1e-14)


def test_one_sample_is_its_own_mean():
    assert paa(np.array([3.0]), 1).tolist() == [3.0]


@pytest.mark.parametrize("size", [0, 11, -1])
def test_a_size_outside_1_to_the_length_is_refused(size, says):
    with says(
        f"image size {size} does not fit windows of 10 samples: PAA never upsamples; "
        "choose a size from 1 to 10 or cut longer windows"
    ):
        paa(np.arange(10.0), size)


def test_an_unknown_segmentation_gets_the_nearest_name(says):
    with says(
        "unknown segmentation 'array-split': did you mean 'array_split'? Valid: pyts, overlapping, array_split, truncate"
    ):
        segment_bounds(10, 3, "array-split")


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_equals_numpy_and_keeps_the_dtype(segmentation, dtype):
    x = np.random.default_rng(1).normal(size=(2, 3, 50)).astype(dtype)
    expected = paa(x, 7, segmentation)
    got = paa(torch.from_numpy(x), 7, segmentation)
    assert expected.dtype == np.dtype(dtype)
    assert got.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-14 if dtype == "float64" else 1e-6)


@given(SIZES, st.sampled_from(["pyts", "array_split"]))
def test_every_sample_lies_in_exactly_one_segment(sizes, segmentation):
    length, size = sizes
    bounds = segment_bounds(length, size, segmentation)
    covered = [t for a, b in bounds for t in range(a, b)]
    assert covered == list(range(length))
    assert len(bounds) == size
    assert np.diff(bounds).min() >= 1
    assert np.diff(bounds).max() - np.diff(bounds).min() <= 1


@given(SIZES)
def test_array_split_is_numpys(sizes):
    length, size = sizes
    expected = [len(part) for part in np.array_split(np.arange(length), size)]
    assert np.diff(segment_bounds(length, size, "array_split"))[:, 0].tolist() == expected


@given(SIZES)
def test_truncate_makes_equal_segments_and_drops_less_than_one_per_segment(sizes):
    length, size = sizes
    bounds = segment_bounds(length, size, "truncate")
    assert set(np.diff(bounds)[:, 0].tolist()) == {length // size}
    assert bounds[0, 0] == 0
    assert 0 <= length - bounds[-1, 1] < size


@given(SIZES)
def test_overlapping_segments_are_equally_long_and_cover_every_sample(sizes):
    length, size = sizes
    bounds = segment_bounds(length, size, "overlapping")
    assert set(np.diff(bounds)[:, 0].tolist()) == {-(-length // size)}
    assert {t for a, b in bounds for t in range(a, b)} == set(range(length))


@given(SIZES, st.sampled_from(SEGMENTATIONS))
def test_each_column_of_the_averaging_matrix_sums_to_1(sizes, segmentation):
    matrix = averaging_matrix(*sizes, segmentation)
    assert matrix.shape == sizes
    np.testing.assert_allclose(matrix.sum(axis=0), 1, rtol=0, atol=1e-13)


@given(st.integers(1, 20), st.integers(1, 12), st.sampled_from(SEGMENTATIONS), st.integers(0, 1000))
def test_the_mean_is_kept_when_the_size_divides_the_length(size, each, segmentation, seed):
    x = np.random.default_rng(seed).normal(size=size * each)
    assert paa(x, size, segmentation).mean() == pytest.approx(x.mean(), abs=1e-13)


def test_the_shared_averaging_matrix_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        averaging_matrix(10, 3)[0, 0] = 1
