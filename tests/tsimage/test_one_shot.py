"""A generator of names does what a tuple does, though it can be read only once."""

import dataclasses

import numpy as np

import tsimage
from tsimage import Imager, ImageTransformer, Recording, Windows, cut, fill_gaps, quality


def once(values):
    return (value for value in values)


def test_units_of_an_imager(basic_motions):
    units, values = basic_motions.units, basic_motions.values[:2]
    imager = Imager(stack="gasf", size=8)
    assert np.array_equal(imager.limits(once(units)), imager.limits(units))
    assert np.array_equal(imager.bounds(once(units)), imager.bounds(units))
    assert np.array_equal(imager(values, units=once(units)), imager(values, units=units))


def test_names_of_windows(make_windows):
    fields = {field.name: getattr(make_windows(), field.name) for field in dataclasses.fields(Windows)}
    for name in ("channels", "units", "class_names"):
        assert getattr(Windows(**fields | {name: once(fields[name])}), name) == fields[name]


def test_what_recordings_hold(make_recording):
    plain = make_recording(60, (0, 30, "a"), (30, 60, "b"))
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(Recording)}
    lists = ("channels", "units", "segments", "breaks")
    made = Recording(**fields | {name: once(fields[name]) for name in lists})
    assert [getattr(made, name) for name in lists] == [getattr(plain, name) for name in lists]
    windows = cut(once([made]), window=20, class_names=once(["a", "b"]))
    assert windows.class_names == ("a", "b")
    assert windows.fingerprint() == cut([plain], window=20, class_names=["a", "b"]).fingerprint()


def test_names_in_errors_and_flags(says):
    gap = np.array([[[1.0, np.nan, np.nan, 2.0]]])
    with says(
        "window 'w', channel 'x' misses 2 samples in a row where gaps up to 1 are filled: leave the window out, allow longer gaps, "
        "or mask them"
    ):
        fill_gaps(gap, 1, names=once("x"), ids=once("w"))
    assert quality.describe(np.array([2, 34], dtype=np.uint16), once("xy")) == "stuck(x|y)+spike(y)"


def test_a_transformer_cannot_read_its_units_twice(basic_motions, says):
    values = basic_motions.values[:4]
    with says("units are an iterator, which is empty after it was read once: give a list"):
        ImageTransformer(size=8, units=once(basic_motions.units)).fit(values)


def test_options_of_reading():
    options = tsimage.ReadOptions(channels=once(["acc*"]), classes=once(["Walking", "Running"]))
    assert (options.channels, options.classes) == (("acc*",), ("Walking", "Running"))
