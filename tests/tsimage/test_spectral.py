import numpy as np
import pytest
import pywt
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsimage.fields import spectral
from tsimage.fields.spectral import resizing_matrix, scalogram, scalogram_frequencies, spectrogram
from tsimage.segments import paa

FIELDS = [spectrogram, scalogram]
SERIES = arrays(np.float64, st.integers(12, 40), elements=st.floats(-1e3, 1e3))


def resized(values, size, axis):
    """Resize one axis, written independently: interpolation, or means over copies of every value."""
    values = np.moveaxis(values, axis, -1)
    n = values.shape[-1]
    if n <= size:
        at = np.linspace(0, n - 1, size)
        values = np.apply_along_axis(lambda row: np.interp(at, np.arange(n), row), -1, values)
    else:
        values = np.repeat(values, size, axis=-1).reshape(*values.shape[:-1], size, n).mean(axis=-1)
    return np.moveaxis(values, -1, axis)


def by_scipy(x, size, segment, noverlap, floor=1e-6):
    """The spectrogram by scipy, its rows turned so that the highest frequency comes first."""
    _, _, power = scipy.signal.spectrogram(
        x - x.mean(axis=-1, keepdims=True),
        window="hann",
        nperseg=segment,
        noverlap=noverlap,
        detrend=False,
        scaling="spectrum",
        mode="psd",
    )
    decibels = 10 * np.log10(power + floor)
    return resized(resized(decibels, size, -2)[..., ::-1, :], size, -1)


def by_sums(x, frequencies, omega0=6.0):
    """Power of the wavelet transform, shape (frequency, T), sample by sample."""
    x = x - x.mean()
    power = np.zeros((len(frequencies), len(x)))
    for row, f in enumerate(frequencies):
        deviation = omega0 / (2 * np.pi * f)
        for t in range(len(x)):
            total = 0
            for u in range(len(x)):
                area = np.exp(-((t - u) ** 2) / (2 * deviation**2)) / np.sqrt(2 * np.pi * deviation**2)
                total += x[u] * area * np.exp(2j * np.pi * f * (t - u))
            power[row, t] = 2 * abs(total) ** 2
    return power


@pytest.mark.parametrize(
    ("length", "size", "matrix"),
    [
        (1, 3, [[1], [1], [1]]),
        (3, 3, np.eye(3)),
        (2, 3, [[1, 0], [0.5, 0.5], [0, 1]]),
        (3, 5, [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]),
        (4, 2, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
        (3, 2, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]),
        (5, 1, [[0.2, 0.2, 0.2, 0.2, 0.2]]),
    ],
)
def test_hand_computed_resizing(length, size, matrix):
    np.testing.assert_allclose(resizing_matrix(length, size), matrix, rtol=0, atol=1e-16)


@given(st.integers(1, 80), st.integers(1, 80))
def test_resizing_interpolates_or_averages(length, size):
    matrix = resizing_matrix(length, size)
    np.testing.assert_allclose(matrix, resized(np.eye(length), size, 0), rtol=0, atol=1e-13)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 2


def test_finer_grids_keep_their_mean():
    # averaging loses no value: each of 13 counts 5 / 13
    np.testing.assert_allclose(resizing_matrix(13, 5).sum(axis=0), 5 / 13, rtol=0, atol=1e-15)


def test_a_sinusoid_has_half_its_squared_amplitude():
    # 16 periods of 8 samples: bin 4 of a segment of 32, row 16 - 4 from the top
    t = np.arange(128)
    for amplitude in (1.0, 0.01, 30.0):
        x = 9.81 + amplitude * np.sin(2 * np.pi * t / 8 + 0.3)
        expected = 10 * np.log10(amplitude**2 / 2 + 1e-6)
        image = spectrogram(x, 17, segment=32)
        np.testing.assert_allclose(image[12], expected, rtol=0, atol=1e-9)
        assert (image.argmax(axis=0) == 12).all()
        # a Hann window leaks half the amplitude to the bins beside and nothing beyond
        np.testing.assert_allclose(image[11], 10 * np.log10(amplitude**2 / 8 + 1e-6), rtol=0, atol=1e-9)
        np.testing.assert_allclose(image[:11], -60, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("length", "size", "segment", "overlap", "noverlap"),
    [
        (128, 17, 32, 0.75, 24),
        (128, 64, 32, 0.75, 24),
        (500, 32, 124, 0.75, 93),
        (500, 32, 65, 0.75, 49),  # odd: no frequency 1/2; 48.75 is rounded
        (300, 8, 20, 0.0, 0),
        (300, 24, 40, 0.99, 39),  # the next segment starts at least 1 sample on
        (101, 16, 101, 0.5, 50),  # one segment
        (40, 5, 2, 0.5, 1),
    ],
)
def test_spectrogram_equals_scipy(length, size, segment, overlap, noverlap):
    x = np.random.default_rng(length).normal(size=(2, 3, length)) + 4
    got = spectrogram(x, size, segment=segment, overlap=overlap)
    assert got.shape == (2, 3, size, size)
    np.testing.assert_allclose(got, by_scipy(x, size, segment, noverlap), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("length", "segment"), [(2, 2), (6, 6), (30, 8), (100, 24), (128, 32), (500, 124), (1000, 250)]
)
def test_a_segment_is_a_quarter_of_the_series_by_default(length, segment):
    x = np.random.default_rng(0).normal(size=length)
    np.testing.assert_array_equal(spectrogram(x, 16), spectrogram(x, 16, segment=segment, overlap=0.75))


def test_time_runs_to_the_right_and_frequency_up():
    t = np.arange(1000)
    chirp = np.sin(2 * np.pi * (0.05 + 0.3 * t / 2000) * t)  # from 0.05 to 0.35 cycles per sample
    # columns of the spectrogram run from the middle of the first segment to that of the last
    rows = spectrogram(chirp, 33, segment=64).argmax(axis=0)
    np.testing.assert_allclose((32 - rows) / 64, 0.05 + 0.3 * np.linspace(32, 1000 - 40, 33) / 1000, rtol=0, atol=0.01)
    rows = scalogram(chirp, 50).argmax(axis=0)[2:-2]
    middles = np.arange(10, 1000, 20)[2:-2]
    np.testing.assert_allclose(scalogram_frequencies(1000, 50)[rows], 0.05 + 0.3 * middles / 1000, rtol=0.1)


@pytest.mark.parametrize("omega0", [5.0, 6.0, 12.0])
@pytest.mark.parametrize(("length", "size"), [(48, 12), (37, 10)])
def test_scalogram_equals_the_sum_written_out(length, size, omega0):
    x = np.random.default_rng(1).normal(size=length).cumsum()
    frequencies = np.exp(np.linspace(np.log(0.4), np.log(2 / length), size))
    expected = paa(10 * np.log10(by_sums(x, frequencies, omega0) + 1e-6), size)
    np.testing.assert_allclose(scalogram(x, size, omega0=omega0), expected, rtol=0, atol=1e-9)


def test_scalogram_options_equal_the_sum_written_out():
    x = np.random.default_rng(2).normal(size=50)
    frequencies = np.exp(np.linspace(np.log(0.5), np.log(0.05), 8))
    expected = paa(10 * np.log10(by_sums(x, frequencies) + 1e-2), 8, "array_split")
    got = scalogram(x, 8, lowest=0.05, highest=0.5, floor=1e-2, segmentation="array_split")
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


def test_scalogram_agrees_with_pywavelets():
    # cmor with bandwidth 2 and centre omega0 / 2 pi is our wavelet, energy- where ours is L1-normalised; pywt averages
    # it over each sample, which takes sinc(f)^2 off the power, 2 % at f = 0.08
    x = np.random.default_rng(3).normal(size=256).cumsum()
    frequencies = scalogram_frequencies(256, 256, lowest=0.02, highest=0.08)
    scales = 6 / (2 * np.pi * frequencies)
    transform, _ = pywt.cwt(x - x.mean(), scales, f"cmor2-{6 / (2 * np.pi)!r}", precision=16)
    expected = 2 * np.abs(transform) ** 2 / scales[:, None]
    power = 10 ** (scalogram(x, 256, lowest=0.02, highest=0.08) / 10)
    assert (np.abs(power - expected) < 0.06 * expected.max(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("f", [0.05, 0.1, 0.2, 0.4])
def test_every_frequency_answers_alike(f):
    # L1 normalisation: amplitude 2 has power 2 or 3.01 dB at any frequency; only near 1/2 do aliases show
    x = 2 * np.cos(2 * np.pi * f * np.arange(1024))
    frequencies = scalogram_frequencies(1024, 4, lowest=0.05)
    np.testing.assert_allclose(frequencies, [0.4, 0.2, 0.1, 0.05], rtol=1e-12)
    image = scalogram(x, 4, lowest=0.05)
    row = int(np.argmin(abs(frequencies - f)))
    np.testing.assert_allclose(image[row, 1:3], 10 * np.log10(2), rtol=0, atol=0.01)
    assert (image.argmax(axis=0) == row).all()


def test_a_wavelet_sees_half_a_sinusoid_at_the_edge():
    # S = T: no averaging; half the amplitude is a quarter of the power
    x = np.sin(2 * np.pi * 0.125 * np.arange(160) + np.pi / 2)
    power = 10 ** (scalogram(x, 160, lowest=0.125, highest=0.1251) / 10)
    np.testing.assert_allclose(power[-1, 80], 0.5, rtol=1e-5)
    np.testing.assert_allclose(power[-1, [0, -1]], 0.125, rtol=0.25)


@pytest.mark.parametrize("segmentation", ["pyts", "array_split", "truncate"])
def test_columns_are_means_over_segments(segmentation):
    x = np.random.default_rng(4).normal(size=43)
    full = scalogram(x, 43, lowest=0.1, highest=0.3)
    short = scalogram(x, 5, lowest=0.1, highest=0.3, segmentation=segmentation)
    np.testing.assert_allclose(short[0], paa(full, 5, segmentation)[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(short[-1], paa(full, 5, segmentation)[-1], rtol=0, atol=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch):
    x = np.random.default_rng(5).normal(size=(3, 2, 60))
    whole = scalogram(x, 20)
    for values in (1, 3 * 2 * 120 * 7):
        monkeypatch.setattr(spectral, "_BLOCK_VALUES", values)
        np.testing.assert_allclose(scalogram(x, 20), whole, rtol=0, atol=1e-12)


@given(SERIES)
def test_scalograms_turn_with_time(x):
    size = len(x)
    np.testing.assert_allclose(scalogram(x[::-1], size), scalogram(x, size)[:, ::-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("field", FIELDS)
@given(x=SERIES)
def test_images_are_finite_and_not_below_the_floor(field, x):
    image = field(x, 6, floor=1e-4)
    assert image.shape == (6, 6)
    assert np.isfinite(image).all()
    assert image.min() >= -40 - 1e-9


@pytest.mark.parametrize("field", FIELDS)
def test_offsets_do_not_show_and_constants_are_the_floor(field):
    x = np.random.default_rng(6).normal(size=80)
    np.testing.assert_allclose(field(x + 100, 16), field(x, 16), rtol=0, atol=1e-7)
    np.testing.assert_allclose(field(np.full(80, 9.81), 16), -60, rtol=0, atol=1e-9)
    np.testing.assert_allclose(field(np.full(80, 9.81, dtype=np.float32), 16, floor=1e-2), -20, rtol=0, atol=1e-5)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_equals_numpy_and_keeps_the_dtype(field, dtype):
    x = np.random.default_rng(7).normal(size=(3, 2, 75)).astype(dtype)
    expected = field(x, 12)
    assert expected.dtype == dtype
    got = field(torch.from_numpy(x), 12)
    assert str(got.dtype) == f"torch.{dtype}"
    assert got.shape == (3, 2, 12, 12)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-3 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("field", FIELDS)
def test_gradients_are_those_of_finite_differences(field):
    x = torch.from_numpy(np.random.default_rng(8).normal(size=(2, 16))).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: field(v, 4), x)
    constant = torch.full((16,), 3.0, dtype=torch.float64, requires_grad=True)
    field(constant, 4).sum().backward()
    assert torch.isfinite(constant.grad).all()


@pytest.mark.parametrize("field", FIELDS)
def test_float32_is_close_to_float64(field):
    x = np.random.default_rng(9).normal(size=(4, 200)).cumsum(-1) + 9.81
    np.testing.assert_allclose(field(x.astype(np.float32), 32), field(x, 32), rtol=0, atol=2e-3)


@pytest.mark.parametrize("field", FIELDS)
def test_dtype_sets_the_type_of_the_image_only(field):
    x = np.random.default_rng(10).normal(size=(2, 64))
    image = field(x, 16, dtype=np.float32)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, field(x, 16), rtol=1e-6, atol=1e-6)
    assert field(torch.from_numpy(x), 16, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("field", FIELDS)
def test_one_at_a_time_equals_all_at_once(field):
    x = np.random.default_rng(11).normal(size=(4, 3, 50))
    together = field(x, 12)
    for i in range(4):
        for j in range(3):
            np.testing.assert_allclose(field(x[i, j], 12), together[i, j], rtol=0, atol=1e-11)
    assert field(x[:0], 12).shape == (0, 3, 12, 12)
    np.testing.assert_array_equal(field([1, 5, 2, 8, 3, 9, 4, 7], 3), field(np.array([1.0, 5, 2, 8, 3, 9, 4, 7]), 3))


def test_spectrograms_may_be_larger_than_the_series():
    assert spectrogram(np.arange(20.0), 64).shape == (64, 64)


@pytest.mark.parametrize("floor", [0, -1e-6, float("nan"), float("inf")])
@pytest.mark.parametrize("field", FIELDS)
def test_a_floor_not_above_0_is_refused(field, floor, says):
    with says(f"floor {floor} is not allowed: it is the power added before the logarithm and must be above 0"):
        field(np.arange(20.0), 5, floor=floor)


@pytest.mark.parametrize(("field", "name"), [(spectrogram, "spectrogram"), (scalogram, "scalogram")])
def test_errors_of_both_name_what_is_allowed(field, name, says):
    with says(f"a {name} needs series of shape (..., T) with T >= 2, got shape (3, 1)"):
        field(np.zeros((3, 1)), 1)
    with says(f"a {name} needs series of shape (..., T) with T >= 2, got shape ()"):
        field(np.array(1.0), 1)
    with says("size 0 is not allowed: images have at least 1 pixel on a side"):
        field(np.arange(20.0), 0)


def test_a_segment_that_does_not_fit_is_refused(says):
    with says(
        "segment 21 does not fit series of 20 samples: choose from 2 to 20, or leave it out for a quarter of the series"
    ):
        spectrogram(np.arange(20.0), 8, segment=21)


@pytest.mark.parametrize("segment", [1, 0, -4, 20.5, "abc"])
def test_a_segment_that_is_none_is_refused(segment, says):
    with says(f"segment {segment} is not allowed: it must be a whole number of 2 or more samples, or None"):
        spectrogram(np.arange(20.0), 8, segment=segment)


def test_a_lowest_frequency_that_is_no_number_is_refused(says):
    with says("lowest abc is not allowed: it must be a number of cycles per sample, or None for 2 / T"):
        scalogram(np.arange(20.0), 8, lowest="abc")


@pytest.mark.parametrize("overlap", [1, 1.5, -0.1, float("nan")])
def test_an_overlap_out_of_range_is_refused(overlap, says):
    with says(
        f"overlap {overlap} is not allowed: it is the share of a segment that the next one repeats, at least 0 and below 1"
    ):
        spectrogram(np.arange(20.0), 8, overlap=overlap)


@pytest.mark.parametrize(("lowest", "highest"), [(0, 0.4), (-0.1, 0.4), (0.3, 0.3), (0.4, 0.2), (0.1, 0.51)])
def test_frequencies_out_of_range_are_refused(lowest, highest, says):
    with says(
        f"frequencies from {lowest:g} to {highest:g} cycles per sample are not allowed for series of 20 samples: "
        "they must satisfy 0 < lowest < highest <= 0.5, and lowest is 2 / T by default"
    ):
        scalogram(np.arange(20.0), 8, lowest=lowest, highest=highest)


def test_errors_of_the_scalogram_name_what_is_allowed(says):
    with says(
        "frequencies from 0.5 to 0.4 cycles per sample are not allowed for series of 4 samples: "
        "they must satisfy 0 < lowest < highest <= 0.5, and lowest is 2 / T by default"
    ):
        scalogram(np.arange(4.0), 2)
    with says("omega0 4.9 is not allowed: below 5 a Morlet wavelet also answers to slow drift"):
        scalogram(np.arange(20.0), 8, omega0=4.9)
    with says("omega0 inf is not allowed: below 5 a Morlet wavelet also answers to slow drift"):
        scalogram(np.arange(20.0), 8, omega0=float("inf"))
    with says(
        "image size 21 does not fit windows of 20 samples: PAA never upsamples; "
        "choose a size from 1 to 20 or cut longer windows"
    ):
        scalogram(np.arange(20.0), 21)
