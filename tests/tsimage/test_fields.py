import numpy as np
import pytest

from tsimage import Imager
from tsimage.fields import FIELDS, parse_stack


def test_a_stack_is_read_with_the_options_of_each_field():
    gasf, rp, mtf, pi = parse_stack(
        "gasf+rp(dimension=3, delay=2,threshold=point)+mtf(fit=train)+pi(birth_range=-1:0.5)"
    )
    assert (gasf.label, gasf.options) == ("gasf", {})
    assert rp.label == "rp(dimension=3,delay=2,threshold=point)"
    assert rp.options == {"dimension": 3, "delay": 2, "threshold": "point", "percentage": 10.0}
    assert mtf.options == {"bins": 8, "strategy": "quantile", "fit": "train"}
    assert mtf.is_fitted
    assert not rp.is_fitted
    assert pi.options["birth_range"] == (-1.0, 0.5)
    for layer in (gasf, rp, mtf, pi):
        (again,) = parse_stack(layer.label)
        assert again == layer


def test_an_option_at_its_default_does_not_change_the_name():
    assert [layer.label for layer in parse_stack("mtf(bins=8)+rp(threshold=None)+qgaf(scale=2)")] == [
        "mtf",
        "rp",
        "qgaf(scale=2.0)",
    ]


def test_numbers_and_words_are_told_apart_where_both_are_allowed():
    assert [parse_stack(f"rp(threshold={text})")[0].options["threshold"] for text in ("0.5", "2", "distance")] == [
        0.5,
        2,
        "distance",
    ]


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        ("gasf(bins=4)", "unknown option of the image gasf 'bins': Valid: it has none"),
        ("mtf(bin=4)", "unknown option of the image mtf 'bin': did you mean 'bins'? Valid: bins, strategy, fit"),
        ("mtf(bins=four)", "option bins of the image mtf is 'four': give a whole number"),
        ("qgaf(scale=wide)", "option scale of the image qgaf is 'wide': give a number"),
        ("mtf(bins=4,bins=5)", "image stack 'mtf(bins=4,bins=5)' is not understood at 'bins=5': give each option once, as bins=VALUE"),
        ("mtf(bins)", "image stack 'mtf(bins)' is not understood at 'bins': give each option once, as bins=VALUE"),
        ("mtf(bins=4", "image stack 'mtf(bins=4' is not understood at 'mtf(bins=4': write it as gasf+rp(dimension=2,delay=1)"),
        ("mtf(fit=test)", "unknown fit of the image mtf 'test': Valid: window, train"),
        ("mtf(bins=4)+mtf(bins=4)", "image stack 'mtf(bins=4)+mtf(bins=4)' names an image twice: give mtf(bins=4)"),
        ("pi(birth_range=1)", "option birth_range of the image pi is '1': give two numbers joined by ':', as -1:1"),
        ("pi(birth_range=-1:0:1)", "option birth_range of the image pi is '-1:0:1': give two numbers joined by ':', as -1:1"),
        ("pi(birth_range=1:-1)", "birth range (1.0, -1.0) is not allowed: it must satisfy low < high"),
        ("pi(compat=pysim)", "unknown compat 'pysim': did you mean 'persim'? Valid: persim"),
        ("spectrogram(segment=20.5)", "segment 20.5 is not allowed: it must be a whole number of 2 or more samples, or None"),
        ("spectrogram(segment=abc)", "segment abc is not allowed: it must be a whole number of 2 or more samples, or None"),
        ("spectrogram(floor=0)", "floor 0.0 is not allowed: it is the power added before the logarithm and must be above 0"),
        ("scalogram(lowest=abc)", "lowest abc is not allowed: it must be a number of cycles per sample, or None for 2 / T"),
        ("scalogram(lowest=0.45)", "frequencies from 0.45 to 0.4 cycles per sample are not allowed: they must satisfy 0 < lowest < highest <= 0.5"),
        ("scalogram(omega0=2)", "omega0 2.0 is not allowed: below 5 a Morlet wavelet also answers to slow drift"),
        ("qgaf(seed=3)", "seed 3 does nothing without shots: expectations are not measured"),
        ("mtf(strategy=kmeans)", "unknown bin strategy 'kmeans': Valid: quantile, uniform, normal"),
    ],
)  # fmt: skip
def test_a_stack_that_cannot_be_read_is_one_sentence(stack, words, says):
    with says(words):
        parse_stack(stack)


def test_the_same_field_may_stand_twice_with_other_options():
    images = Imager(stack="mtf(bins=2)+mtf(bins=3)", size=4)(np.random.default_rng(0).normal(size=(2, 1, 20)))
    assert images.shape == (2, 2, 4, 4)
    assert np.abs(images[:, 0] - images[:, 1]).max() > 0.05


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_keeps_its_word(name):
    """What the registry says of a field holds for its images: shape, range, finite values, type."""
    field = FIELDS[name]
    rng = np.random.default_rng(2)
    x = np.clip(rng.normal(size=(6, 2, 60)).cumsum(axis=2) / 4, -2, 2)
    limits = np.array([(-2.0, 2.0)] * 2)
    (layer,) = parse_stack(name)
    shared = {key: value for key, value in (("limits", limits),) if key in field.parameters}
    images = field.paint(x, 12, **shared, dtype=np.float32)
    assert images.shape == ((6, 12, 12) if field.joint else (6, 2, 12, 12))
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert images.std() > 0
    for low, high in filter(None, field.bounds(layer.options, limits)):
        assert low <= images.min() < images.max() <= high + 1e-6
    assert field.summary
    assert set(layer.options) == set(field.options)
