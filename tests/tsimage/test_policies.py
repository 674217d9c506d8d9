import numpy as np
import pytest
import torch

import tsimage
from tsimage import Imager
from tsimage.cli import main
from tsimage.gaps import fill_gaps, gap_samples
from tsimage.policies import constant_series
from tsimage.quantisation import decode

NAN = np.nan


@pytest.fixture
def x():
    values = np.random.default_rng(3).normal(size=(4, 2, 24)).astype(np.float32)
    values[1, 0] = 0.5
    values[3] = -1.0
    return values


def test_a_constant_series_is_painted_as_the_definition_says_by_default(x):
    images = Imager(stack="gasf+gadf+mtf", size=6, scaling="window")(x)
    assert (images[1, 0] == 1).all()
    assert not images[1, 2].any()
    np.testing.assert_allclose(images[1, 4], 1, atol=1e-6)


@pytest.mark.parametrize("convert", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(("policy", "value"), [("zero", 0.0), ("nan", NAN)])
def test_a_constant_series_becomes_what_the_policy_says(x, policy, value, convert):
    recipe = {"stack": "gasf+rp+jrp", "size": 6, "scaling": "window"}
    images = np.asarray(Imager(**recipe, constant_series=policy)(convert(x)))
    usual = Imager(**recipe)(x)
    constant = np.zeros((4, 5), dtype=bool)
    constant[1, [0, 2]] = constant[3] = True  # the joint image of window 1 still has a channel that moves
    np.testing.assert_array_equal(images[constant], np.full((7, 6, 6), value))
    np.testing.assert_allclose(images[~constant], usual[~constant], rtol=0, atol=1e-6)


def test_zero_is_stored_as_the_code_of_the_value_0(x):
    imager = Imager(stack="gasf+mtf", size=6, scaling="window", constant_series="zero", dtype="uint8")
    images = imager(x)
    assert (images[1, 0] == 128).all()
    assert not images[1, 2].any()
    assert np.abs(decode(images, imager.bounds(("g", "g")))[3]).max() <= 1 / 255


def test_a_constant_series_is_refused_with_its_window_and_channel(x, make_windows, says):
    imager = Imager(size=6, scaling="window", constant_series="raise")
    words = (
        "is constant (2 of 4 windows have such a channel): leave it out, or choose constant-series flag, zero or nan"
    )
    with says(f"window 1, channel '0' {words}"):
        imager(x)
    with says(f"window 'w1', channel 'acc-x' {words}"):
        imager(make_windows(4, 24, values=x))


@pytest.mark.parametrize("convert", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
def test_what_is_constant_is_told_for_every_type(convert):
    swing = np.array([[[-20000, 20000, 0], [5, 5, 5]]], dtype=np.int16)
    assert constant_series(convert(swing)).tolist() == [[False, True]]
    assert constant_series(convert(swing > 0)).tolist() == [[False, True]]
    assert constant_series(convert(np.array([[[0, 255]]], dtype=np.uint8))).tolist() == [[False]]
    assert constant_series(convert((swing * 3.0).astype(np.float16))).tolist() == [[False, True]]


def test_nan_cannot_be_stored_as_whole_numbers(says):
    with says("constant-series nan cannot be stored as uint8: choose zero, or dtype float16"):
        Imager(constant_series="nan", dtype="uint8")


def test_whole_numbers_need_a_known_range(x, says):
    with says(
        "images scalogram have no known range, so they cannot be stored as uint8: choose dtype float16 or float32"
    ):
        Imager(stack="scalogram", size=6, dtype="uint8")(x, ("g", "g"))
    with says(
        "images rp have no known range, so they cannot be stored as uint16: choose dtype float16 or float32, or scaling fixed"
    ):
        Imager(stack="rp", size=6, dtype="uint16", scaling="window")(x)
    assert Imager(stack="rp", size=6, dtype="uint16")(x, ("g", "g")).max() > 0


def test_gaps_are_filled_with_straight_lines_and_held_at_the_ends():
    x = np.array([[[NAN, 1.0, NAN, NAN, 4.0, NAN]], [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]])
    filled, flags = fill_gaps(x, 2)
    assert filled[0, 0].tolist() == [1, 1, 2, 3, 4, 4]
    assert flags.tolist() == [[True], [False]]
    assert np.isnan(x).sum() == 4  # the input stays
    same, flags = fill_gaps(x[1:], 2)
    assert same.base is x
    assert not flags.any()


def test_a_longer_gap_is_refused_with_its_window_and_channel(says):
    x = np.array([[[1.0, 2.0, 3.0], [1.0, NAN, NAN]]])
    with says(
        "window 0, channel '1' misses 2 samples in a row where gaps up to 1 are filled: leave the window out, allow "
        "longer gaps, or mask them"
    ):
        fill_gaps(x, "0.02s", rate_hz=50.0)
    with says(
        "window 0, channel 'acc-y' misses 3 samples in a row where gaps up to 5 are filled: leave the window out, allow "
        "longer gaps, or mask them"
    ):
        fill_gaps(np.array([[[1.0, 2.0, 3.0], [NAN] * 3]]), 5, names=["acc-x", "acc-y"])
    with says("window 0, channel '0' holds infinity, which is no gap: remove it"):
        fill_gaps(np.array([[[1.0, np.inf, NAN]]]), 5)


def test_the_limit_is_in_seconds_or_samples(says):
    assert gap_samples("0.2s", 50.0) == 10
    assert gap_samples("7", None) == 7
    with says("gap '0.2s' is in seconds but the sampling rate is unknown: give the rate in Hz"):
        gap_samples("0.2s", None)
    with says("gap '1/5' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"):
        gap_samples("1/5", 50.0)


@pytest.mark.parametrize("convert", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
def test_filled_windows_are_painted_like_whole_ones(x, convert):
    whole = x.copy()
    whole[0, 0, 5] = (whole[0, 0, 4] + whole[0, 0, 6]) / 2
    x[0, 0, 5] = NAN
    imager = Imager(stack="gasf+mtf", size=6, scaling="window")
    got = imager(convert(x), missing="0.1s", rate_hz=20.0)
    np.testing.assert_allclose(np.asarray(got), imager(whole), rtol=0, atol=1e-6)


@pytest.mark.parametrize("convert", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
def test_masking_hides_every_pixel_that_sees_a_missing_sample_and_no_other(x, convert):
    x[0, 1, 9] = NAN  # segment 2 of 6
    x[2, 0, :] = NAN
    imager = Imager(stack="gasf+jrp+rp(dimension=2,delay=2)+scalogram", size=6, scaling="window")
    hidden = np.isnan(np.asarray(imager(convert(x), missing="mask")))
    row = np.zeros((6, 6), dtype=bool)
    row[2] = row[:, 2] = True
    np.testing.assert_array_equal(hidden[0, 1], row)
    np.testing.assert_array_equal(hidden[0, 2], row)  # joint: any channel hides
    delayed = np.zeros((6, 6), dtype=bool)
    for lost in (1, 3):  # 8 points of 3 samples: sample 9 is in point 3, seen by vectors 3 and 3 - 2
        delayed[lost] = delayed[:, lost] = True
    np.testing.assert_array_equal(hidden[0, 4], delayed)
    assert hidden[0, 6].all()  # a scalogram sees everything everywhere
    assert hidden[2, [0, 2, 3, 5]].all()
    assert not hidden[0, [0, 3, 5]].any()
    assert not hidden[1].any()


def test_a_word_for_missing_samples_that_is_none_is_refused_even_where_none_are_missing(x, says):
    words = "Valid: raise, mask, the longest gap to fill, as 10 (samples) or 0.2s"
    with says(f"unknown missing 'drop': {words}"):
        Imager(size=6, scaling="window")(x, missing="drop")
    with pytest.raises(tsimage.UserError, match="unknown missing 'maks': did you mean 'mask'"):
        Imager(size=6, scaling="window")(x, missing="maks")
    with says("gap '1/5' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"):
        fill_gaps(x, "1/5")


def test_masked_pixels_cannot_be_whole_numbers(x, says):
    x[0, 0, 0] = NAN
    with says("masked pixels are NaN, which uint8 cannot store: choose dtype float32 or float16, or fill gaps"):
        Imager(size=6, scaling="window", dtype="uint8")(x, missing="mask")


def test_a_fit_belongs_to_the_recipe(x):
    imager = Imager(stack="gasf+mtf(fit=train,bins=3)", size=6, scaling="window")
    assert imager.needs_fit
    with pytest.raises(tsimage.UserError, match="must learn from training windows first"):
        imager(x)
    fitted = imager.fit(x[:3])
    assert not fitted.needs_fit
    assert imager.needs_fit
    assert len({imager.hash(), fitted.hash(), imager.fit(x[1:]).hash()}) == 3
    assert fitted(x).shape == (4, 4, 6, 6)
    assert Imager(size=6).fit(x).hash() == Imager(size=6).hash()


@pytest.fixture
def gappy(tmp_path):
    """A table of 40 rows at 20 Hz: 2 samples of `ax` missing in the first half, 5 of `ay` in the second."""
    rng = np.random.default_rng(5)
    rows = [[i / 20, *rng.normal(size=2).round(3), "walk"] for i in range(40)]
    for row, column in [(4, 1), (5, 1), *((i, 2) for i in range(30, 35))]:
        rows[row][column] = "" if row % 2 else "NaN"
    path = tmp_path / "walk.csv"
    path.write_text("t,ax,ay,activity\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


READ = {"time": "t", "channels": ("ax", "ay"), "units": "g", "label": "activity", "window": "1s"}


def test_missing_samples_of_a_table_are_refused_filled_or_masked(gappy, tmp_path, says):
    rejected = tsimage.load(gappy, **READ | {"window": "5"}).read_report
    assert (rejected.rows_kept, rejected.counts("rejected")) == (33, {"missing value": 7})
    assert [line for _, line, treatment, _ in rejected.rows() if treatment == "rejected"][:2] == [6, 7]
    with says(
        "window 'walk:20-40', channel 'ay' lies in a gap of more than 4 missing samples: leave the window out, allow longer "
        "gaps, or mask them"
    ):
        tsimage.load(gappy, **READ, missing="0.2s")
    filled = tsimage.load(gappy, **READ, missing="0.25s")
    masked = tsimage.load(gappy, **READ, missing="mask")
    assert filled.gaps.tolist() == masked.gaps.tolist() == [[True, False], [False, True]]
    x = filled.values[0, 0]
    np.testing.assert_allclose(x[3:7], np.linspace(x[3], x[6], 4), rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(masked.values).sum(axis=2), [[2, 0], [0, 5]])
    np.testing.assert_array_equal(masked.fill_gaps(5).values, filled.values)
    assert len({filled.fingerprint(), masked.fingerprint()}) == 2
    for windows in (filled, masked):
        again = tsimage.load(windows.save(tmp_path / "w.npz"), missing="mask")
        np.testing.assert_array_equal(again.values, windows.values)
        np.testing.assert_array_equal(again.gaps, windows.gaps)
        assert again.select([1]).keep_channels(["ay"]).gaps.tolist() == [[True]]


def test_a_store_flags_gaps_and_masks_what_was_kept(gappy, tmp_path, capsys, says):
    arguments = [str(gappy), str(tmp_path / "out"), "--time", "t", "--channels", "ax", "ay", "--units", "g"]
    arguments += ["--label", "activity", "--window", "1s", "--missing", "mask", "--size", "10"]
    main(["convert", *arguments])
    assert "2 windows with missing samples were flagged, their gaps masked" in capsys.readouterr().out
    store = tsimage.open_store(tmp_path / "out")
    assert store.table["gap_channels"].tolist() == ["ax", "ay"]
    hidden = np.isnan(store.images)
    assert hidden[0, 0].sum() == 10 * 10 - 9 * 9  # samples 4 and 5 are segment 2: one row and one column
    assert not hidden[0, 1].any()
    with pytest.raises(SystemExit):
        main(["convert", *arguments, "--overwrite", "--dtype", "uint8"])
    assert "masked pixels are NaN, which uint8 cannot store" in capsys.readouterr().err


def test_what_no_gap_explains_is_still_refused(make_windows, gappy, says):
    values = make_windows().values.copy()
    values[2, 1, 3] = np.nan
    gaps = np.zeros((6, 2), dtype=bool)
    gaps[2, 0] = True
    with pytest.raises(tsimage.UserError, match="window 'w2', channel 'gyro-x', sample 3 is nan"):
        make_windows(values=values, gaps=gaps)
    gaps[2, 1] = True
    assert np.isnan(make_windows(values=values, gaps=gaps).values).sum() == 1
    with says("made: gaps has shape (6,): give one per window and channel"):
        make_windows(gaps=np.zeros(6, dtype=bool))
    gappy.write_text(gappy.read_text().replace("NaN", "lost"))
    with says(
        "walk.csv, line 6: no number ('ax = lost'): mend it, or pass faults 'reject' to leave out such rows and count them"
    ):
        tsimage.load(gappy, **READ, missing="mask", faults="raise")


def test_training_refuses_windows_with_missing_samples(gappy):
    text = gappy.read_text()
    gappy.write_text(
        text + "".join(line.replace("walk", "sit") + "\n" for line in text.splitlines()[1:]).replace("\n0", "\n9")
    )
    import distill

    run = distill.Run(data=str(gappy), read=tsimage.ReadOptions(**READ | {"time": None, "rate": 20.0}, missing="mask"))
    with pytest.raises(tsimage.UserError, match="samples are missing, and a network on the signal needs them all"):
        distill.run(run)
