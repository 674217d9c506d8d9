import copy
import inspect
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import pyts.image
import pyts.multivariate.image
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import tsimage
from tsimage.fields import recurrence_plot
from tsimage.image import GramianAngularField, JointRecurrencePlot, MarkovTransitionField, RecurrencePlot
from tsimage.segments import paa

OF_SERIES = {
    GramianAngularField: pyts.image.GramianAngularField,
    MarkovTransitionField: pyts.image.MarkovTransitionField,
    RecurrencePlot: pyts.image.RecurrencePlot,
}
ALL = OF_SERIES | {JointRecurrencePlot: pyts.multivariate.image.JointRecurrencePlot}
merging = pytest.mark.filterwarnings("ignore:Some quantiles are equal")

VARIANTS = [
    GramianAngularField(),
    GramianAngularField(image_size=0.5, method="d", sample_range=(0, 1), overlapping=True),
    GramianAngularField(flatten=True),
    MarkovTransitionField(),
    MarkovTransitionField(image_size=0.7, n_bins=3, strategy="uniform", overlapping=True, flatten=True),
    RecurrencePlot(),
    RecurrencePlot(dimension=0.5, threshold="point", percentage=40, flatten=True),
]


@merging
@parametrize_with_checks(VARIANTS)
def test_the_contract_of_scikit_learn(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else one check skips itself
    check(estimator)


@merging
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("transformer", [v for v in VARIANTS if v.flatten], ids=str)
@pytest.mark.parametrize(
    "check",
    [
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_dataframe_column_names_consistency",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_global_output_transform_pandas",
    ],
)
def test_the_contract_of_named_outputs(transformer, check):
    getattr(estimator_checks, check)(type(transformer).__name__, transformer)


def test_the_checker_of_scikit_learn_knows_that_joint_plots_take_three_dimensions():
    with pytest.warns(SkipTestWarning, match="three_d_array=True"):
        results = estimator_checks.check_estimator(JointRecurrencePlot())
    assert {result["status"] for result in results} == {"passed"}


@pytest.mark.parametrize(("ours", "theirs"), ALL.items(), ids=lambda c: c.__name__)
def test_names_parameters_and_defaults_are_those_of_pyts(ours, theirs):
    def defaults(cls):
        return {name: p.default for name, p in inspect.signature(cls).parameters.items()}

    assert ours.__name__ == theirs.__name__
    assert list(defaults(ours).items()) == list(defaults(theirs).items())
    assert clone(ours()).get_params() == theirs().get_params()


SERIES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(2, 14)),
    elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1, 1, width=32), st.floats(-1e4, 1e4, width=16)),
)


def same(ours, theirs, x, atol):
    actual, expected = ours.fit_transform(x), theirs.transform(x)
    assert actual.dtype == expected.dtype == np.float64
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


@given(
    SERIES,
    st.one_of(st.floats(0.05, 1), st.integers(1, 14)),
    st.sampled_from([(-1, 1), (0, 1), (-0.5, 0.25)]),
    st.sampled_from(["s", "d", "summation", "difference"]),
    st.booleans(),
    st.booleans(),
)
def test_gramian_fields_equal_pyts(x, size, sample_range, method, overlapping, flatten):
    if isinstance(size, int):
        size = min(size, x.shape[1])
    # Whole multiples of 1/1024, so that means are exact: pyts blows up the rounding of a constant series to an image.
    x = np.round(x * 1024) / 1024
    options = {"sample_range": sample_range, "method": method, "overlapping": overlapping, "flatten": flatten}
    # c is off by the rounding of the means over their range, and sqrt(1 - c^2) costs pyts half of the digits that are left.
    side = size if isinstance(size, int) else math.ceil(size * x.shape[1])
    spread = np.ptp(paa(x, side, "overlapping" if overlapping else "pyts"), axis=1)
    rounding = np.finfo(float).eps * max(1.0, (np.abs(x).max(axis=1) / np.where(spread > 1e-9, spread, 1)).max())
    atol = 10 * np.sqrt(rounding)
    same(GramianAngularField(size, **options), pyts.image.GramianAngularField(size, **options), x, atol)


@given(
    SERIES,
    st.floats(0.05, 1),
    st.integers(2, 9),
    st.sampled_from(["quantile", "uniform", "normal"]),
    st.booleans(),
    st.booleans(),
)
@merging
def test_markov_fields_equal_pyts(x, size, n_bins, strategy, overlapping, flatten):
    options = {"n_bins": n_bins, "strategy": strategy, "overlapping": overlapping, "flatten": flatten}
    same(MarkovTransitionField(size, **options), pyts.image.MarkovTransitionField(size, **options), x, atol=1e-14)


THRESHOLDS = st.sampled_from([None, "point", "distance", 0.5, 2])


@given(SERIES, st.data(), THRESHOLDS, st.sampled_from([0, 10, 33.3, 100]), st.booleans())
def test_recurrence_plots_equal_pyts(x, data, threshold, percentage, flatten):
    x = np.round(x * 4) / 4
    length = x.shape[1]
    dimension = data.draw(st.integers(1, min(4, length)))
    delay = data.draw(st.integers(1, max(1, (length - 1) // max(1, dimension - 1))))
    options = {"threshold": threshold, "percentage": percentage, "flatten": flatten}
    same(RecurrencePlot(dimension, delay, **options), pyts.image.RecurrencePlot(dimension, delay, **options), x, 1e-10)


@given(SERIES, THRESHOLDS, THRESHOLDS, st.sampled_from([0, 10, [30, 60.0]]))
def test_joint_recurrence_plots_equal_pyts(x, first, second, percentage):
    x = np.round(x * 4) / 4
    x = np.stack([x, x[:, ::-1] * 0.5], axis=1)
    for threshold in (first, [first, second]):
        theirs = pyts.multivariate.image.JointRecurrencePlot(2, 1, threshold, percentage)
        same(JointRecurrencePlot(2, 1, threshold, percentage), theirs, x, atol=1e-6)


@pytest.mark.parametrize("cls", OF_SERIES, ids=lambda c: c.__name__)
def test_many_series_are_painted_as_each_alone(cls, monkeypatch):
    x = np.random.default_rng(0).normal(size=(7, 30))
    whole = cls().transform(x)
    monkeypatch.setattr("tsimage.image._BLOCK_BYTES", 2 * 8 * 30 * 30)
    np.testing.assert_array_equal(cls().transform(x), whole)
    np.testing.assert_allclose(np.concatenate([cls().transform(x[i : i + 1]) for i in range(7)]), whole, atol=1e-13)


def test_whole_numbers_beyond_float64_keep_their_distances():
    x = np.array([[2**62, 2**62 + 1, 2**62 + 3]])
    expected = [[[0, 1, 3], [1, 0, 2], [3, 2, 0]]]
    np.testing.assert_array_equal(RecurrencePlot().transform(x), expected)
    np.testing.assert_array_equal(RecurrencePlot().transform(x.astype(np.uint64) + 2**62), expected)
    np.testing.assert_array_equal(JointRecurrencePlot().transform(x[:, None]), expected)


def test_distances_of_whole_numbers_do_not_wrap_round():
    x = np.array([[-128, 127, 0]], dtype=np.int8)
    np.testing.assert_array_equal(RecurrencePlot().transform(x)[0, 0], [0, 255, 128])
    ends = np.iinfo(np.int64)
    np.testing.assert_array_equal(RecurrencePlot().transform([[ends.min, ends.max]])[0, 0], [0, 2.0**64])


def test_an_unscaled_gramian_field_takes_the_averages_as_they_are():
    x = [[0.2, 0.6, -1.0, -0.5]]
    c = np.array([0.4, -0.75])
    s = np.sqrt(1 - c**2)
    actual = GramianAngularField(2, sample_range=None).transform(x)[0]
    np.testing.assert_allclose(actual, np.outer(c, c) - np.outer(s, s), atol=1e-15)
    # The average counts, not the samples, and an average of ones is one whatever its rounding.
    GramianAngularField(1, sample_range=None).transform([[2.0, -2.0]])
    GramianAngularField(1, sample_range=None).transform(np.ones((1, 9)))
    with pytest.raises(
        ValueError, match=r"^If 'sample_range' is None, all the values of X must be between -1 and 1\.$"
    ):
        GramianAngularField(1, sample_range=None).transform([[2.0, 0.1]])


def test_fields_are_those_of_the_package():
    x = np.random.default_rng(1).normal(size=(3, 20))
    for actual, expected in [
        (GramianAngularField(8), tsimage.gasf(x, 8)),
        (GramianAngularField(8, method="d", sample_range=(0, 1)), tsimage.gadf(x, 8, target=(0, 1))),
        (GramianAngularField(8, sample_range=None), tsimage.gasf(x / 4, 8, limits=(-1, 1))),
        (MarkovTransitionField(8, n_bins=4), tsimage.mtf(x, 8, bins=4)),
        (RecurrencePlot(2, 3), recurrence_plot(x, dimension=2, delay=3)),
    ]:
        own = x / 4 if actual.get_params().get("sample_range", 0) is None else x
        np.testing.assert_allclose(actual.transform(own), expected, rtol=0, atol=1e-14)


def test_pixels_have_names_only_when_flattened():
    x = np.random.default_rng(2).normal(size=(3, 20))
    assert not hasattr(RecurrencePlot(), "get_feature_names_out")
    assert not hasattr(RecurrencePlot(), "set_output")
    for transformer, name in [
        (GramianAngularField(2, flatten=True), "gasf"),
        (GramianAngularField(2, method="d", flatten=True), "gadf"),
        (MarkovTransitionField(2, n_bins=2, flatten=True), "mtf"),
        (RecurrencePlot(19, 1, flatten=True), "rp"),
    ]:
        with pytest.raises(NotFittedError):
            transformer.get_feature_names_out()
        frame = transformer.set_output(transform="pandas").fit_transform(x)
        assert list(frame.columns) == [f"{name}[0,0]", f"{name}[0,1]", f"{name}[1,0]", f"{name}[1,1]"]
        np.testing.assert_array_equal(frame.to_numpy(), clone(transformer).set_output(transform="default").transform(x))


def test_images_stay_arrays_under_a_global_pandas_output():
    with config_context(transform_output="pandas"):
        images = GramianAngularField().fit_transform(pd.DataFrame(np.eye(4)))
    assert isinstance(images, np.ndarray)
    assert images.shape == (4, 4, 4)


@pytest.mark.parametrize("cls", OF_SERIES, ids=lambda c: c.__name__)
def test_fitting_is_free_and_holds_the_series_to_one_length(cls):
    x = np.random.default_rng(3).normal(size=(3, 20))
    never, without, fitted = cls(), cls().fit(), cls().fit(x)
    expected = never.transform(x)
    for transformer in (without, fitted, pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(transformer.transform(x), expected)
    assert never.transform(x[:, :10]).shape == without.transform(x[:, :10]).shape == (3, 10, 10)
    with pytest.raises(ValueError, match=f"X has 10 features, but {cls.__name__} is expecting 20 features as input"):
        fitted.transform(x[:, :10])


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda x: np.where(x == x.max(), np.nan, x), ValueError, "Input X contains NaN"),
        (lambda x: np.where(x == x.max(), np.inf, x), ValueError, "Input X contains infinity"),
        (lambda x: x + 1j, ValueError, "Complex data not supported"),
        (lambda x: x[:0], ValueError, r"Found array with 0 sample\(s\)"),
        (lambda x: np.where(x == x.max(), None, x), (TypeError, ValueError), "NaN|NoneType"),
    ],
    ids=["nan", "infinity", "complex", "empty", "object"],
)
def test_bad_series_are_refused_with_and_without_fit(cls, spoil, error, words):
    x = np.random.default_rng(4).normal(size=(3, 2, 10) if cls is JointRecurrencePlot else (3, 10))
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(error, match=words):
            getattr(cls(), method)(spoil(x))


def test_matrices_of_another_rank_or_sparse_are_refused():
    x = np.random.default_rng(5).normal(size=(3, 2, 10))
    with pytest.raises(ValueError, match=r"^X must be 3-dimensional \(got 2\)\.$"):
        JointRecurrencePlot().fit(x[:, 0])
    with pytest.raises(ValueError, match=r"^X must have at least one feature \(got shape \(3, 0, 10\)\)\.$"):
        JointRecurrencePlot().fit(x[:, :0])
    with pytest.raises(ValueError, match="X has 1 features, but JointRecurrencePlot is expecting 2 features"):
        JointRecurrencePlot().fit(x).transform(x[:, :1])
    for cls in OF_SERIES:
        with pytest.raises(ValueError, match="Found array with dim 3"):
            cls().transform(x)
        with pytest.raises(TypeError, match=r"^Sparse data was passed"):
            cls().transform(sparse.csr_array(x[:, 0]))


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_one_sample_is_no_series(cls, says):
    x = [[[1.0]]] if cls is JointRecurrencePlot else [[1.0]]
    for method in ("fit", "transform"):
        with says("X has 1 feature(s): one sample makes no series, give two or more."):
            getattr(cls(), method)(x)


def test_fit_checks_the_parameters_too(says):
    x = np.eye(3)
    with says("'n_bins' must be greater than or equal to 2."):
        MarkovTransitionField(n_bins=1).fit(x)
    with pytest.raises(TypeError, match=r"^'sample_range' must be None or a tuple\.$"):
        GramianAngularField(sample_range=[0, 1]).fit(x)
    with says("If 'threshold' is a list, its length must be equal to n_features (1 != 3)."):
        JointRecurrencePlot(threshold=[None]).fit(x[None])
    with says("'percentage' must be between 0 and 100."):
        JointRecurrencePlot(percentage=[1, 2, 101]).fit(x[None])


def test_merged_quantiles_are_told():
    x = np.tile(np.arange(12.0), (15, 1))
    x[[2, 5], :9] = 0.0
    with pytest.warns(UserWarning, match=r"^Some quantiles are equal: fewer than 4 bins for sample 2, 5; choose fewer"):
        MarkovTransitionField(n_bins=4).transform(x)
    with pytest.warns(UserWarning, match=r"for sample 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 5 more;"):
        MarkovTransitionField(n_bins=4).transform(x * 0)
    # Two bins are two whatever the samples; other strategies have no quantiles to merge.
    MarkovTransitionField(n_bins=2).transform(x)
    MarkovTransitionField(n_bins=4, strategy="uniform").transform(x)
