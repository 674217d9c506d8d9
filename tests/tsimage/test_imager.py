import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch

import tsimage
from tsimage import Imager, gadf, gasf, mtf
from tsimage.fields import FIELDS
from tsimage.manifest import describe

UNITS = ("g", "rad/s")


@pytest.fixture
def x():
    return np.random.default_rng(11).normal(size=(5, 2, 40)).astype(np.float32)


def test_stacks_hold_a_block_of_channels_per_field_in_the_order_named(x):
    imager = Imager(stack="mtf(bins=3)+gasf+gadf", size=10, dtype="float64")
    images = imager(x, UNITS)
    exact = x.astype(np.float64)
    limits = [(-2, 2), (-10, 10)]
    assert images.shape == (5, 6, 10, 10)
    np.testing.assert_allclose(images[:, 0:2], mtf(exact, 10, bins=3), rtol=0, atol=1e-15)
    np.testing.assert_allclose(images[:, 2:4], gasf(exact, 10, limits=limits), rtol=0, atol=1e-15)
    np.testing.assert_allclose(images[:, 4:6], gadf(exact, 10, limits=limits), rtol=0, atol=1e-15)
    names = ("mtf(bins=3):a", "mtf(bins=3):b", "gasf:a", "gasf:b", "gadf:a", "gadf:b")
    assert imager.channel_names(["a", "b"]) == names


def test_a_joint_field_paints_all_channels_together(x):
    imager = Imager(stack="rp+jrp(threshold=1.5)", size=9)
    assert imager.channel_names(["a", "b"]) == ("rp:a", "rp:b", "jrp(threshold=1.5):a*b")
    images = imager(x, UNITS)
    assert images.shape == (5, 3, 9, 9)
    near = images[:, 0:2] < 1.5
    np.testing.assert_array_equal(images[:, 2], near[:, 0] & near[:, 1])


def test_order_and_segmentation_reach_the_fields(x):
    imager = Imager(
        stack="gadf", size=7, scaling="window", order="scale-then-paa", segmentation="array_split", dtype="float64"
    )
    expected = gadf(x.astype(np.float64), 7, order="scale-then-paa", segmentation="array_split")
    np.testing.assert_allclose(imager(x), expected, rtol=0, atol=1e-15)
    assert np.abs(expected - gadf(x.astype(np.float64), 7)).max() > 0.01


def test_the_recipe_holds_everything_that_decides_the_pixels():
    assert Imager(stack="gasf+mtf(bins=4)", scaling="fixed:g=4").recipe() == {
        "stack": "gasf+mtf(bins=4)",
        "layers": [{"field": "gasf"}, {"field": "mtf", "bins": 4, "strategy": "quantile", "fit": "window"}],
        "size": 32,
        "scaling": "fixed:g=4",
        "target": [-1.0, 1.0],
        "constant_series": "flag",
        "order": "paa-then-scale",
        "segmentation": "pyts",
        "dtype": "float32",
        "half_widths": {"g": 4.0, "m/s^2": 19.6133, "rad/s": 10.0, "deg/s": 573.0},
    }
    assert "half_widths" not in Imager(scaling="window").recipe()


def test_the_hash_is_the_sha256_of_the_recipe():
    imager = Imager(stack="gasf+mtf", size=16)
    text = json.dumps(imager.recipe(), sort_keys=True)
    assert imager.hash() == hashlib.sha256(text.encode()).hexdigest()
    assert Imager(size=16, stack="gasf+mtf").hash() == imager.hash()


def test_the_hash_changes_with_every_field_of_the_recipe():
    changes = {
        "stack": "gadf+mtf",
        "size": 16,
        "scaling": "window",
        "target": (0, 1),
        "constant_series": "zero",
        "order": "scale-then-paa",
        "segmentation": "truncate",
        "dtype": "float64",
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Imager) if field.init}
    base = Imager(stack="gasf+mtf")
    hashes = {base.hash()} | {dataclasses.replace(base, **{name: value}).hash() for name, value in changes.items()}
    assert len(hashes) == 1 + len(changes)


def test_options_that_do_nothing_for_the_stack_are_refused(says):
    with says("scaling window does nothing for the images mtf: it is for gasf, gadf and pi"):
        Imager(stack="mtf", scaling="window")
    with says("target (0.0, 1.0) does nothing for the images mtf+rp: it is for gasf, gadf and pi"):
        Imager(stack="mtf+rp", target=(0, 1))
    with says("order scale-then-paa does nothing for the images pi: it is for gasf and gadf"):
        Imager(stack="pi", order="scale-then-paa")
    for stack in ("pi", "spectrogram", "pi+spectrogram"):
        with says(
            f"segmentation truncate does nothing for the images {stack}: it is for gasf, gadf, mtf, rp, jrp, qgaf and "
            "scalogram"
        ):
            Imager(stack=stack, segmentation="truncate")
    with says("scaling window does nothing for the images mtf: it is for gasf, gadf and pi"):
        Imager(stack="mtf", scaling="window", dtype="uint8")
    assert Imager(stack="rp", scaling="fixed:g=4", dtype="uint8").bounds(("g",)).tolist() == [[0, 8]]


def test_an_override_for_a_unit_that_no_channel_has_is_refused(says):
    with says(
        "scaling 'fixed:G=4' gives a range for the unit 'G', which no channel has: the channels are in g, unknown units"
    ):
        Imager(scaling="fixed:G=4").limits(("g", ""))


def test_notes_tell_what_is_clipped_and_when_a_markov_field_is_noise(basic_motions):
    imager = Imager(stack="gasf+mtf")
    assert imager.notes(basic_motions) == [
        f"Images gasf+mtf: 32 x 32, scaling fixed ({100 * imager.clipped_share(basic_motions):.2f} % of samples lie "
        "outside the range, first of window 'train-10', channel 'acc-x')",
        "Images mtf: 99 transitions make a noisy 8 x 8 matrix for the Markov field; 320 or more are advised: "
        "fewer bins or longer windows",
    ]
    assert len(Imager(stack="gadf+mtf(bins=4)", scaling="window").notes(basic_motions)) == 1


def test_notes_count_the_series_whose_bins_merged(make_windows):
    values = make_windows().values.copy()
    values[2, 1] = np.round(values[2, 1] / 4)
    notes = Imager(stack="mtf(bins=3,strategy=quantile)", size=8).notes(make_windows(values=values))
    assert notes[1] == "Images mtf(bins=3): equal quantiles merged in 1 of 12 series, which have fewer than 3 bins"


def test_limits_follow_the_unit_of_each_channel_and_the_overrides():
    units = ("g", "m/s^2", "rad/s", "deg/s")
    assert Imager().limits(units).tolist() == [[-2, 2], [-19.6133, 19.6133], [-10, 10], [-573, 573]]
    assert Imager(scaling="fixed:g=4,rad/s=20").limits(("rad/s", "g", "g")).tolist() == [[-20, 20], [-4, 4], [-4, 4]]
    assert Imager(scaling="fixed:uT=60").limits(("uT",)).tolist() == [[-60, 60]]
    assert Imager(scaling="window").limits(units) is None


def test_fixed_scaling_keeps_gravity_and_window_scaling_drops_it():
    still = np.full((1, 1, 20), 1.0, dtype=np.float32)
    # 1 g of 2 g: c = 1/2, 2 c^2 - 1 = -1/2
    np.testing.assert_allclose(Imager(size=4)(still, ["g"]), np.full((1, 1, 4, 4), -0.5), rtol=0, atol=1e-7)
    np.testing.assert_allclose(Imager(size=4, scaling="window")(still), np.ones((1, 1, 4, 4)), rtol=0, atol=1e-7)


def test_unknown_names_get_the_nearest_valid_one(says):
    with says(
        "unknown image 'gafs': did you mean 'gasf'? Valid: gasf, gadf, mtf, rp, jrp, qgaf, pi, spectrogram, scalogram, "
        "or several joined by +, as gasf+gadf+mtf"
    ):
        Imager(stack="mtf+gafs")
    with says("unknown scaling 'fixd': did you mean 'fixed'? Valid: fixed, window, fixed:UNIT=HALFWIDTH,..."):
        Imager(scaling="fixd")
    with says("unknown image dtype 'int8': did you mean 'uint8'? Valid: float32, float64, float16, uint8, uint16"):
        Imager(dtype="int8")
    with says(
        "unknown image segmentation 'truncat': did you mean 'truncate'? Valid: pyts, overlapping, array_split, truncate"
    ):
        Imager(segmentation="truncat")
    with says("unknown image constant_series 'drop': did you mean 'zero'? Valid: flag, zero, nan, raise"):
        Imager(constant_series="drop")


def test_a_stack_that_names_an_image_twice_is_refused():
    with pytest.raises(ValueError, match=r"image stack 'gasf\+mtf\+gasf' names an image twice: give gasf\+mtf"):
        Imager(stack="gasf+mtf+gasf")


@pytest.mark.parametrize("override", ["g", "g=", "g=0", "g=-1", "=2", "g=two", "g=inf", "g=nan"])
def test_an_override_that_is_no_positive_number_is_refused(override, says):
    with says(
        f"scaling 'fixed:rad/s=5,{override}' is not understood at '{override}': give UNIT=HALFWIDTH with a positive "
        "number, as in fixed:g=4"
    ):
        Imager(scaling=f"fixed:rad/s=5,{override}")


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_out_of_range_is_refused(size, says):
    with says(f"size {size} is not allowed: images have at least 1 pixel on a side"):
        Imager(size=size)


def test_a_size_is_a_whole_number_of_any_type(x, says):
    assert Imager(size=np.int64(8)).hash() == Imager(size=8).hash()
    for size in (8.5, "8", None):
        with says(f"size {size} is not allowed: give a whole number of pixels"):
            Imager(size=size)


def test_bins_out_of_range_are_refused(says):
    with says("bins=1 is not allowed: a Markov transition field needs at least 2 bins"):
        Imager(stack="mtf(bins=1)")


def test_a_unit_that_is_probably_wrong_is_told(make_windows):
    windows = make_windows()
    wrong = dataclasses.replace(windows, values=windows.values * 9.8 + 9.8)
    assert Imager(size=8).notes(wrong)[1] == (
        "WARNING: so many samples outside the range: are the channels really in g, rad/s?"
    )


def test_a_unit_without_a_range_is_refused_where_a_gramian_field_needs_it(x, says):
    with says(
        "scaling 'fixed' has no fixed range for the unit 'uT': state the units of the channels (option "
        "units: g, m/s^2, rad/s, deg/s), or give the range as scaling 'fixed:uT=VALUE', or use scaling 'window'"
    ):
        Imager(size=8)(x, ("g", "uT"))
    with says(
        "scaling 'fixed' has no fixed range for the unit '': state the units of the channels (option "
        "units: g, m/s^2, rad/s, deg/s), or give the range as scaling 'fixed:UNIT=VALUE', or use scaling 'window'"
    ):
        Imager(size=8, stack="mtf+gasf")(x)
    assert Imager(size=8, stack="mtf")(x).shape == (5, 2, 8, 8)


def test_windows_shorter_than_the_image_are_refused(x, says):
    with says(
        "image size 41 does not fit windows of 40 samples: PAA never upsamples; "
        "choose a size from 1 to 40 or cut longer windows"
    ):
        Imager(size=41)(x, UNITS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("convert", [lambda x: x, torch.from_numpy], ids=["numpy", "torch"])
def test_a_value_that_is_not_finite_names_its_window_and_channel(x, says, value, convert):
    x[3, 1, 17] = value
    x[4, 0, 0] = value
    with says(
        "window 3, channel '1' holds NaN or infinity (2 of 5 windows do): fill or remove these samples, or paint with "
        "imager(x, missing='0.2s') to fill gaps of NaN up to 0.2 s, or missing='mask'"
    ):
        Imager(size=8)(convert(x), UNITS)


def test_wrong_shapes_are_refused(x, says):
    imager = Imager(size=8)
    with says("cannot paint an array of shape (2, 40): give (window, channel, time)"):
        imager(x[0], UNITS)
    with says("3 units for 2 channels: give one unit per channel"):
        imager(x, ("g", "g", "g"))
    for wrong in (np.empty((5, 2, 8, 9), dtype=np.float32), np.empty((5, 2, 8, 8))):
        with says(
            f"out is {wrong.dtype} of shape {wrong.shape}: the images need a NumPy array of float32 and shape (5, 2, 8, 8)"
        ):
            imager(x, UNITS, out=wrong)
    fixed = np.empty((5, 2, 8, 8), dtype=np.float32)
    fixed.flags.writeable = False
    with says("out is read-only: give an array that images can be written into, as a copy of it"):
        imager(x, UNITS, out=fixed)
    with says("out= and engine= are for NumPy arrays; a tensor comes back on the device of the input"):
        imager(torch.from_numpy(x), UNITS, out=np.empty((5, 2, 8, 8), dtype=np.float32))
    with says("whole numbers (uint8) are for NumPy arrays: paint tensors as float32 or float16"):
        Imager(size=8, dtype="uint8")(torch.from_numpy(x), UNITS)


@pytest.mark.parametrize("values", [np.zeros((2, 2, 9), complex), np.array([[["a"] * 9]]), np.empty((1, 1, 9), object)])
def test_values_that_are_no_real_numbers_are_refused(values, says):
    with says(f"cannot paint values of type {values.dtype}: give real numbers"):
        Imager(size=8)(values)


def test_lists_whole_numbers_and_bools_are_painted_as_float64():
    whole = np.arange(40).reshape(2, 1, 20) % 7
    expected = Imager(size=5, scaling="window")(whole.astype(np.float64))
    for same in (whole, whole.tolist(), whole.astype(np.int8), whole.astype(np.float16)):
        np.testing.assert_array_equal(Imager(size=5, scaling="window")(same), expected)
    assert Imager(size=5, scaling="window")(whole > 3).shape == (2, 1, 5, 5)


def test_windows_of_unequal_length_and_of_one_sample_are_refused(says):
    with pytest.raises(tsimage.UserError, match="cannot paint windows of unequal length"):
        Imager(size=1)([[[1.0, 2.0]], [[1.0]]])
    with says("windows of 1 sample hold no series to paint: cut windows of at least 2 samples"):
        Imager(size=1, scaling="window")(np.zeros((3, 1, 1)))


@pytest.mark.parametrize("scaling", ["fixed", "window"])
def test_float32_is_within_1e_5_of_float64(x, scaling):
    recipe = {"stack": "gasf+gadf+mtf", "size": 16, "scaling": scaling}
    single, double = (Imager(**recipe, dtype=dtype)(x, UNITS) for dtype in ("float32", "float64"))
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scaling", ["fixed", "window"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tensor_gives_a_tensor_equal_to_numpys(x, scaling, dtype):
    imager = Imager(stack="gasf+gadf+mtf", size=16, scaling=scaling, dtype=dtype)
    images = imager(torch.from_numpy(x), UNITS)
    assert isinstance(images, torch.Tensor)
    assert images.dtype == getattr(torch, dtype)
    atol = 1e-12 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(images.numpy(), imager(x, UNITS), rtol=0, atol=atol)


def test_chunking_is_invisible(x, monkeypatch):
    imager = Imager(stack="gasf+mtf", size=16)
    whole = imager(x, UNITS)
    monkeypatch.setattr("tsimage.painting._BLOCK_BYTES", 2 * 4 * 4 * 16 * 16)  # two windows at a time
    monkeypatch.setattr("tsimage.painting._TORCH_BLOCK_BYTES", 2 * 4 * 4 * 16 * 16)
    np.testing.assert_allclose(imager(torch.from_numpy(x), UNITS).numpy(), whole, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(imager(x, UNITS), whole)
    np.testing.assert_array_equal(np.concatenate([imager(x[i : i + 1], UNITS) for i in range(5)]), whole)


def test_out_is_filled_and_returned(x):
    imager = Imager(stack="gadf+mtf", size=16)
    out = np.full((5, 4, 16, 16), np.nan, dtype=np.float32)
    assert imager(x, UNITS, out=out) is out
    np.testing.assert_array_equal(out, imager(x, UNITS))


def test_painting_leaves_its_input_alone(x):
    before = x.copy()
    Imager(stack="gasf+gadf+mtf", size=16)(x, UNITS)
    np.testing.assert_array_equal(x, before)


def test_windows_bring_their_own_units(make_windows):
    windows = make_windows()
    imager = Imager(size=8)
    np.testing.assert_array_equal(imager(windows), imager(windows.values, ("g", "rad/s")))


def test_no_windows_are_refused(make_windows, says):
    with says("cannot paint an array of shape (0, 2, 20): there are no windows in it"):
        Imager(size=8)(make_windows().select([]))


def test_clipped_share_counts_samples_beyond_the_fixed_range(make_windows):
    values = np.zeros((2, 2, 20), dtype=np.float32)
    values[0, 0, :3] = 2.5  # beyond 2 g
    values[1, 1, :4] = -10.5  # beyond 10 rad/s
    values[1, 0, 0] = 2.0  # at the limit
    windows = make_windows(2, values=values)
    assert Imager().clipped_share(windows) == pytest.approx(7 / 80)
    assert Imager(scaling="fixed:g=4").clipped_share(windows) == pytest.approx(4 / 80)
    assert Imager(scaling="window").clipped_share(windows) == 0
    assert Imager(stack="mtf").clipped_share(windows) == 0


@pytest.mark.parametrize("stack", ["rp", "jrp"])
def test_distances_as_whole_numbers_are_cut_off_and_the_share_says_so(make_windows, stack):
    values = np.zeros((2, 2, 20), dtype=np.float32)
    values[0, 0, :2] = -5, 5  # a distance of 10 g, where 2 g to either side allow 4
    windows = make_windows(2, values=values)
    coded = Imager(stack=stack, size=20, dtype="uint8")
    assert coded.clipped_share(windows) == pytest.approx(2 / 80)
    assert coded.notes(windows)[0] == (
        f"Images {stack}: 20 x 20, scaling fixed (2.50 % of samples lie outside the range, first of window 'w0', channel "
        "'acc-x')"
    )
    assert Imager(stack=stack, size=20).clipped_share(windows) == 0
    assert Imager(stack="rp(threshold=1)", size=20, dtype="uint8").clipped_share(windows) == 0
    how = describe(windows, coded)
    assert how["clipped_share"] == pytest.approx(2 / 80)
    assert how["dequantisation"]["beyond_bounds"] == "cut off at the bounds, where largest_error says nothing"


def test_whole_numbers_of_images_with_a_range_of_their_own_need_no_units(x):
    assert Imager(stack="mtf+rp(threshold=1)", size=8, dtype="uint8")(x).shape == (5, 4, 8, 8)


def test_bounds_of_distances_follow_the_fixed_range_whatever_the_dtype(says):
    assert Imager(stack="rp").bounds(("g",)).tolist() == [[0, 4]]
    assert Imager(stack="gasf+jrp").bounds(("g", "g")).tolist() == [[-1, 1], [-1, 1], [0, 16]]
    with says("images rp have no known range: choose scaling fixed"):
        Imager(stack="gasf+rp", scaling="window").bounds(("g",))
    with says("images scalogram have no known range"):
        Imager(stack="scalogram").bounds(("g",))


@pytest.mark.parametrize("convert", [lambda x: x, torch.from_numpy], ids=["numpy", "torch"])
def test_values_beyond_float16_are_refused(convert, says):
    x = np.random.default_rng(0).normal(size=(3, 2, 20)) * 1e3
    words = "images jrp hold values beyond 65504, which float16 cannot store: choose dtype float32"
    with says(words):
        Imager(stack="rp+jrp", size=8, dtype="float16")(convert(x))
    assert np.isfinite(np.asarray(Imager(stack="rp+jrp", size=8)(convert(x)))).all()
    assert np.asarray(Imager(stack="rp", size=8, dtype="float16")(convert(x))).dtype == np.float16


def test_a_persistence_image_may_be_larger_than_its_window(x):
    assert Imager(stack="pi", size=64)(x, UNITS).shape == (5, 2, 64, 64)
    with pytest.raises(tsimage.UserError, match="PAA never upsamples"):
        Imager(stack="pi+mtf", size=64)(x, UNITS)


def test_a_model_of_other_channels_is_refused(says):
    rng = np.random.default_rng(0)
    recipe = Imager(stack="mtf(fit=train,bins=4)", size=6)
    for learnt, given in ((1, 3), (3, 2), (3, 1)):
        fitted = recipe.fit(rng.normal(size=(9, learnt, 40)))
        for engine in ("auto", "numpy"):
            with says(
                f"a Markov model of {learnt} channels cannot paint windows of {given}: paint windows of the channels that it "
                "learnt from, or fit it to these"
            ):
                fitted(rng.normal(size=(2, given, 40)), engine=engine)


def test_learning_leaves_out_windows_with_missing_samples(make_windows, says):
    windows = make_windows(5)
    values, gaps = windows.values.copy(), np.zeros((5, 2), dtype=bool)
    values[1, 0, 3] = values[4, 1] = np.nan
    gaps[1, 0] = gaps[4, 1] = gaps[2, 1] = True  # that of window 2 was filled
    gappy = make_windows(5, values=values, gaps=gaps)
    recipe = Imager(stack="mtf(fit=train,bins=4)", size=6)
    assert recipe.fit(gappy) == recipe.fit(windows.select([0, 2, 3]))
    assert recipe.fit(gappy) != recipe.fit(windows)
    with says("made: samples are missing in every training window: fill gaps, or choose fit=window"):
        recipe.fit(gappy.select([1, 4]))
    with says(
        "window 1, channel '0' holds NaN or infinity (2 of 5 windows do), from which no transitions can be learnt: fill these "
        "samples, or leave their windows out"
    ):
        recipe.fit(values)
    with pytest.raises(tsimage.UserError, match="cannot paint an array of shape"):
        recipe.fit(values[0])


def test_bins_are_not_counted_as_merged_where_samples_are_missing(make_windows):
    values, gaps = make_windows(length=400).values.copy(), np.zeros((6, 2), dtype=bool)
    values[2, 1, 5:70] = np.nan
    gaps[2, 1] = True
    windows = make_windows(length=400, values=values, gaps=gaps)
    assert len(Imager(stack="mtf(bins=8)", size=8).notes(windows)) == 1


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("gasf", {}),
        ("gasf", {"limits": (-2, 2)}),
        ("gadf", {"limits": [(-2, 2), (-1, 1)], "order": "scale-then-paa"}),
        ("rp", {"dimension": 2}),
        ("qgaf", {}),
        ("spectrogram", {}),
        ("scalogram", {}),
    ],
)
def test_fields_stay_on_the_device_of_their_input(field, options):
    """The meta device computes nothing but refuses to be mixed with another, as a GPU does."""
    x = torch.empty(4, 2, 30, dtype=torch.float64, device="meta")
    image = FIELDS[field].paint(x, 8, **options)
    assert image.device.type == "meta"
    assert image.shape == (4, 2, 8, 8)


def test_imagers_that_learnt_different_things_are_not_equal():
    rng = np.random.default_rng(0)
    recipe = Imager(stack="mtf(fit=train)", size=8)
    one, other = recipe.fit(rng.normal(size=(9, 1, 40))), recipe.fit(rng.normal(size=(9, 1, 40)))
    assert one != other
    assert one != recipe
    assert recipe == Imager(stack="mtf(fit=train)", size=8)
    assert hash(recipe) == hash(Imager(stack="mtf(fit=train)", size=8))
