import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from tsimage import Imager, UserError
from tsimage.estimators import ImageTransformer

merging = pytest.mark.filterwarnings("ignore:equal quantiles merged")

VARIANTS = [
    ImageTransformer(),
    ImageTransformer("gasf+gadf+mtf(bins=3)", size=0.6, dtype="float64"),
    ImageTransformer("mtf", size=2, segmentation="overlapping"),
    ImageTransformer("mtf(bins=3,fit=train)"),
    ImageTransformer("gadf", scaling="fixed:mm=5", n_channels=1, units=("mm",), order="scale-then-paa"),
    ImageTransformer(flatten=False),
]


@pytest.fixture
def x():
    return np.random.default_rng(8).normal(size=(6, 3, 40)).astype(np.float32)


@merging
@parametrize_with_checks(VARIANTS)
def test_the_contract_of_scikit_learn(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else one check skips itself
    check(estimator)


@merging
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("transformer", [v for v in VARIANTS if v.flatten], ids=lambda v: v.stack)
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


def test_it_paints_what_the_imager_paints(x):
    x[2, 1] = 0.0
    options = {"target": (0, 1), "order": "scale-then-paa", "segmentation": "array_split", "constant_series": "nan"}
    options["dtype"] = "float64"
    stack, units = "gasf+mtf", ("g", "g", "rad/s")
    transformer = ImageTransformer(stack, size=7, scaling="fixed:g=4", units=units, flatten=False, **options)
    expected = Imager(stack=stack, size=7, scaling="fixed:g=4", **options)(x, units)
    np.testing.assert_array_equal(transformer.fit_transform(x), expected)
    assert np.isnan(expected[2, 1]).all()
    assert transformer.imager_.size == 7


def test_rows_hold_one_channel_after_the_other(x):
    rows = x.reshape(6, -1)
    images = ImageTransformer("gasf+gadf", size=8, flatten=False).fit_transform(x)
    assert images.shape == (6, 6, 8, 8)
    assert images.dtype == np.float32
    three = ImageTransformer("gasf+gadf", size=8, n_channels=3).fit(rows)
    np.testing.assert_array_equal(three.transform(rows), images.reshape(6, -1))
    np.testing.assert_array_equal(three.transform(x), images.reshape(6, -1))
    np.testing.assert_array_equal(three.fit(x.tolist()).transform(rows.tolist()), images.reshape(6, -1))
    assert (three.n_features_in_, three.n_channels_) == (120, 3)
    # Without a word about channels a row is one channel.
    one = ImageTransformer("gasf", size=8).fit_transform(rows)
    np.testing.assert_array_equal(one, Imager(stack="gasf", size=8, scaling="window")(rows[:, None]).reshape(6, -1))


@pytest.mark.parametrize(("size", "side"), [(1.0, 40), (0.26, 11), (40, 40), (np.int64(5), 5), (np.float32(0.5), 20)])
def test_the_side_is_a_number_of_pixels_or_a_share(x, size, side):
    assert ImageTransformer(size=size, flatten=False).fit_transform(x).shape == (6, 3, side, side)


def test_pixels_are_named_by_field_channel_row_and_column(x):
    transformer = ImageTransformer("gasf+mtf(bins=3)", size=5).set_output(transform="pandas")
    frame = transformer.fit_transform(x)
    names = list(frame.columns)
    assert names[:2] == ["gasf:ch0[0,0]", "gasf:ch0[0,1]"]
    assert names[25] == "gasf:ch1[0,0]"
    assert names[-1] == "mtf(bins=3):ch2[4,4]"
    images = clone(transformer).set_params(flatten=False).fit_transform(x)
    np.testing.assert_array_equal(frame["gasf:ch2[3,1]"], images[:, 2, 3, 1])
    np.testing.assert_array_equal(frame["mtf(bins=3):ch0[0,4]"], images[:, 3, 0, 4])
    assert set(frame.dtypes) == {np.dtype(np.float32)}


def test_four_dimensional_images_have_no_names(x):
    transformer = ImageTransformer(flatten=False)
    assert not hasattr(transformer, "set_output")
    assert not hasattr(transformer, "get_feature_names_out")


def test_columns_of_a_frame_are_recorded(x):
    frame = pd.DataFrame(x[:, 0], columns=[f"t{t}" for t in range(40)])
    transformer = ImageTransformer(size=4).fit(frame)
    assert list(transformer.feature_names_in_[:2]) == ["t0", "t1"]
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        transformer.transform(frame.rename(columns={"t0": "u0"}))


def test_it_can_be_cloned_copied_and_pickled(x):
    transformer = ImageTransformer("gasf+mtf(bins=4)", size=9).fit(x)
    expected = transformer.transform(x)
    for other in (copy.deepcopy(transformer), pickle.loads(pickle.dumps(transformer)), clone(transformer).fit(x)):
        np.testing.assert_array_equal(other.transform(x), expected)
    with pytest.raises(NotFittedError):
        clone(transformer).transform(x)


def test_transitions_are_learned_on_the_training_windows_alone(x):
    train, test = x[:4], x[4:]
    transformer = ImageTransformer("mtf(bins=4,fit=train)", size=6, flatten=False).fit(train)
    expected = Imager(stack="mtf(bins=4,fit=train)", size=6).fit(train)(test)
    np.testing.assert_array_equal(transformer.transform(test), expected)
    again = clone(transformer).fit(x)
    assert np.abs(again.transform(test) - expected).max() > 0.01
    rows = clone(transformer).set_params(n_channels=3, flatten=True).fit(train.reshape(4, -1))
    np.testing.assert_array_equal(rows.transform(test.reshape(2, -1)), expected.reshape(2, -1))


def test_a_pipeline_learns_and_is_searched(basic_motions):
    train, test = basic_motions.split == "train", basic_motions.split == "test"
    pipeline = make_pipeline(ImageTransformer(size=16), PCA(10, random_state=0), RidgeClassifierCV())
    search = GridSearchCV(pipeline, {"imagetransformer__stack": ["rp", "gasf+rp"]}, cv=2)
    search.fit(basic_motions.values[train], basic_motions.labels[train])
    assert search.score(basic_motions.values[test], basic_motions.labels[test]) > 0.85


def test_windows_that_are_not_finite_are_named(x, says):
    spoilt = x.copy()
    spoilt[4, 2, 7] = np.nan
    words = r"^window 4, channel '2' holds NaN or infinity \(1 of 6 windows do\): fill or remove these samples$"
    with pytest.raises(UserError, match=words):
        ImageTransformer().fit(spoilt)
    with pytest.raises(UserError, match=words):
        ImageTransformer().fit(x).transform(spoilt)


def test_rows_that_hold_no_whole_channels_are_refused(x, says):
    rows = x.reshape(6, -1)
    with says(
        "X has 120 features, which 7 channels cannot share evenly: give all samples of the first channel, then as many of "
        "the second and so on"
    ):
        ImageTransformer(n_channels=7).fit(rows)
    with says(
        "X has 120 feature(s) for 120 channel(s): windows of one sample make no series, give two or more samples of each "
        "channel"
    ):
        ImageTransformer(n_channels=120).fit(rows)
    with says("X of shape (6, 3, 40) has 3 channels, but n_channels=2"):
        ImageTransformer(n_channels=2).fit(x)
    with says("X has 2 channels, but ImageTransformer was fitted to 3"):
        ImageTransformer().fit(x).transform(x.reshape(6, 2, 60))
    with says("n_channels=0 is not allowed: give a whole number of channels, 1 or more"):
        ImageTransformer(n_channels=0).fit(rows)
    with pytest.raises(ValueError, match="X has 40 features, but ImageTransformer is expecting 120 features as input"):
        ImageTransformer().fit(x).transform(x[:, 0])


@pytest.mark.parametrize("size", [0.0, 1.5, "8", None])
def test_a_size_that_is_none_is_refused(x, size, says):
    with says(
        f"size={size!r} is not allowed: give a whole number of pixels, or a float in (0, 1] for a share of the samples in a "
        "window"
    ):
        ImageTransformer(size=size).fit(x)


def test_the_recipe_is_checked_by_fit(x, says):
    with pytest.raises(UserError, match=r"^unknown image 'gasff': did you mean 'gasf'\?"):
        ImageTransformer("gasff").fit(x)
    with says(
        "image size 41 does not fit windows of 40 samples: PAA never upsamples; choose a size from 1 to 40 or cut longer "
        "windows"
    ):
        ImageTransformer(size=41).fit(x)
    with pytest.raises(UserError, match="no fixed range for the unit"):
        ImageTransformer(scaling="fixed").fit(x)
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)"):
        ImageTransformer().fit(x[:, :0])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        ImageTransformer().fit(x[:0])
    with says("scaling fixed:g=4 does nothing for the images mtf: it is for gasf, gadf and pi"):
        ImageTransformer("mtf", scaling="fixed:g=4").fit(x)
    with says("2 units for 3 channels: give one unit per channel"):
        ImageTransformer(scaling="fixed", units=("g", "g")).fit(x)
