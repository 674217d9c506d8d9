"""The axes are checked on what is painted: the brightest pixel must stand where the signal is known to be."""

import itertools

import numpy as np
import pytest

from tsimage.axes import image_axes, value_label
from tsimage.fields import FIELDS, parse_stack
from tsimage.fields.persistence import persistence_pairs

RATE = 50.0


def layer_of(stack):
    (layer,) = parse_stack(stack)
    return layer


def position(axes, image, row, column):
    """Where the middle of a pixel stands on the axes, and half the pixel's width and height."""
    left, right, bottom, top = axes.extent
    height, width = image.shape
    across, up = (right - left) / width, (top - bottom) / height
    return left + (column + 0.5) * across, top - (row + 0.5) * up, abs(across) / 2, abs(up) / 2


def brightest(axes, image):
    return position(axes, image, *np.unravel_index(image.argmax(), image.shape))


@pytest.mark.parametrize("stack", ["gasf", "gadf", "mtf", "rp", "jrp", "qgaf"])
@pytest.mark.parametrize(
    ("segmentation", "end"), [("pyts", 2.0), ("overlapping", 2.0), ("array_split", 2.0), ("truncate", 1.92)]
)
def test_images_of_time_begin_at_0_and_end_with_the_last_segment(stack, segmentation, end):
    axes = image_axes(layer_of(stack), 100, 32, RATE, segmentation)
    assert axes.extent == pytest.approx((0, end, end, 0))
    assert (axes.across, axes.up, axes.marks) == ("time [s]", "time [s]", ())


def test_a_delay_vector_stands_where_it_starts():
    # 32 vectors of 3 points 4 apart take 40 points, 2 samples each: the last starts at point 31 and ends at sample 64
    axes = image_axes(layer_of("rp(dimension=3,delay=4)"), 80, 32, RATE, "pyts")
    assert axes.extent == pytest.approx((0, 64 / RATE, 64 / RATE, 0))


def test_without_a_rate_time_is_in_samples_and_frequency_in_cycles_per_sample():
    assert image_axes(layer_of("gasf"), 100, 32, None, "pyts").extent == (0, 100, 100, 0)
    axes = image_axes(layer_of("spectrogram(segment=20)"), 100, 11, None, "pyts")
    assert (axes.across, axes.up) == ("time [samples]", "frequency [1/sample]")
    # the rows are the 11 frequencies 0, 0.05, ... 0.5 and so reach half a step further
    assert axes.extent[2:] == pytest.approx((-0.025, 0.525))


OPTIONS = ("", "(segment=16)", "(segment=21,overlap=0.5)", "(segment=40,overlap=0.9)")


@pytest.mark.parametrize(
    ("options", "size", "hertz"), list(itertools.product(OPTIONS, (8, 31, 64), (4.0, 12.5, 20.0))), ids=str
)
def test_a_tone_stands_at_its_frequency_in_a_spectrogram(options, size, hertz):
    layer = layer_of("spectrogram" + options)
    x = np.cos(2 * np.pi * hertz / RATE * np.arange(256))
    image = layer.field.paint(x, size, **layer.options)
    axes = image_axes(layer, 256, size, RATE, "pyts")
    _, up, _, half = position(axes, image, image.mean(axis=1).argmax(), 0)
    segment = layer.options["segment"] or 64
    # the nearest frequency of the transform is up to half a step from the tone, the nearest row half a row from that
    assert abs(up - hertz) <= half + RATE / segment / 2 + 1e-9
    assert axes.extent[2] < 0 < axes.extent[3]


@pytest.mark.parametrize(
    ("options", "size", "second"), list(itertools.product(OPTIONS, (8, 31, 64), (1.0, 2.5, 4.0))), ids=str
)
def test_a_click_stands_at_its_time_in_a_spectrogram(options, size, second):
    layer = layer_of("spectrogram" + options)
    x = np.zeros(256)
    x[round(second * RATE)] = 1
    image = layer.field.paint(x, size, **layer.options)
    axes = image_axes(layer, 256, size, RATE, "pyts")
    across, _, half, _ = position(axes, image, size // 2, image[size // 2].argmax())
    segment, overlap = layer.options["segment"] or 64, layer.options["overlap"]
    assert abs(across - second) <= half + max(1, segment - round(overlap * segment)) / RATE / 2 + 1 / RATE
    assert (axes.across, axes.up) == ("time [s]", "frequency [Hz]")


@pytest.mark.parametrize(("size", "left", "right"), [(9, 0.1, 1.9), (5, 0.1, 1.9), (17, 0.15, 1.85)])
def test_the_edges_of_a_spectrogram_lie_half_a_pixel_outside_its_first_and_last_segment(size, left, right):
    # 9 segments of 0.4 s, 0.2 s apart, with their middles at 0.2 to 1.8 s: interpolated to more pixels, averaged to fewer
    axes = image_axes(layer_of("spectrogram(segment=20,overlap=0.5)"), 100, size, RATE, "pyts")
    assert axes.extent[:2] == pytest.approx((left, right))


@pytest.mark.parametrize("length", [6, 20, 101, 128])
def test_the_segment_that_a_spectrogram_chooses_is_the_one_on_the_axes(length):
    x = np.random.default_rng(1).normal(size=length)
    default = layer_of("spectrogram")
    image = default.field.paint(x, 16)
    same = [n for n in range(2, length + 1) if np.array_equal(default.field.paint(x, 16, segment=n), image)]
    (segment,) = same
    stated = layer_of(f"spectrogram(segment={segment})")
    assert image_axes(default, length, 16, RATE, "pyts") == image_axes(stated, length, 16, RATE, "pyts")


def test_one_segment_is_as_wide_as_a_step():
    axes = image_axes(layer_of("spectrogram(segment=100,overlap=0.5)"), 100, 8, RATE, "pyts")
    assert axes.extent[:2] == pytest.approx((0.5, 1.5))


@pytest.mark.parametrize(("size", "hertz"), list(itertools.product((16, 64), (2.0, 5.0, 15.0))))
@pytest.mark.parametrize("options", ["", "(lowest=0.02,highest=0.5)"])
def test_a_tone_stands_at_its_frequency_in_a_scalogram(options, size, hertz):
    layer = layer_of("scalogram" + options)
    x = np.cos(2 * np.pi * hertz / RATE * np.arange(256))
    image = layer.field.paint(x, size, **layer.options)
    axes = image_axes(layer, 256, size, RATE, "pyts")
    _, up, _, half = position(axes, image, image[:, size // 2].argmax(), size // 2)
    assert abs(up - np.log10(hertz)) <= half + 1e-9
    assert axes.extent[:2] == pytest.approx((0, 256 / RATE))


@pytest.mark.parametrize(
    ("options", "marks"),
    [
        ("", (1, 2, 5, 10, 20)),
        ("(lowest=0.05,highest=0.3)", (5, 10)),
        ("(lowest=0.12,highest=0.18)", (6.0, 9.0)),
        ("(lowest=0.0002,highest=0.4)", (0.01, 0.1, 1, 10)),
    ],
)
def test_a_logarithmic_axis_has_a_few_round_marks_inside(options, marks):
    axes = image_axes(layer_of("scalogram" + options), 128, 32, RATE, "pyts")
    assert axes.marks == pytest.approx(marks)
    assert axes.extent[2] < min(np.log10(axes.marks)) < max(np.log10(axes.marks)) < axes.extent[3]


@pytest.mark.parametrize("options", ["", "(birth_range=-1:0.5)", "(spread=0.05)"])
def test_a_pair_stands_at_its_birth_and_persistence(options):
    layer = layer_of("pi" + options)
    x = np.array([-1.0, 0.6, -0.3, 1.0])
    image = layer.field.paint(x, 40, **layer.options)
    axes = image_axes(layer, 4, 40, RATE, "pyts")
    ((birth, death),) = persistence_pairs(x)
    across, up, width, height = brightest(axes, image)
    assert abs(across - birth) <= width + 1e-9
    assert abs(up - (death - birth)) <= height + 1e-9
    assert (axes.across, axes.up) == ("birth [scaled]", "persistence [scaled]")


def test_a_pair_stands_at_its_place_with_the_pixels_of_persim_too():
    layer = layer_of("pi(compat=persim,spread=0.1)")
    x = np.array([-1.0, 0.3, -0.3, 1.0])
    image = layer.field.paint(x, 41, **layer.options)
    across, up, width, height = brightest(image_axes(layer, 4, 41, RATE, "pyts"), image)
    assert abs(across + 0.3) <= 2 * width
    assert abs(up - 0.6) <= 2 * height


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_axes_that_rise_and_a_value(name):
    layer = layer_of(name)
    for size in (1, 2, 16):
        left, right, bottom, top = image_axes(layer, 16, size, None, "pyts").extent
        assert right > left
        assert (bottom > top) if layer.field.timed else (top > bottom)
    assert value_label(layer, ("g", "g")) not in ("", name)


@pytest.mark.parametrize(
    ("stack", "units", "label"),
    [
        ("mtf(bins=4)", ("g",), "probability"),
        ("rp", ("m/s^2",), "distance [m/s²]"),
        ("rp", ("",), "distance [unit unknown]"),
        ("rp(threshold=distance)", ("g",), "1: recurs, 0: does not"),
        ("jrp", ("g", "g", "rad/s", "rad/s"), "product of distances [g² · (rad/s)²]"),
        ("qgaf(readout=x)", ("g",), r"$\langle{X}\rangle$"),
        ("spectrogram", ("m/s^2",), "power [dB re (m/s²)²]"),
        ("scalogram", ("g",), "power [dB re g²]"),
    ],
)
def test_values_are_named_with_their_unit(stack, units, label):
    assert value_label(layer_of(stack), units) == label
