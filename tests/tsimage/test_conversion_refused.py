import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import tsimage
from tests.tsimage.test_conversion import SMALL, contents
from tsimage import Imager
from tsimage.readers import ReadOptions


def test_an_output_that_exists_is_never_replaced_unasked(make_windows, tmp_path, says):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with says(f"output '{tmp_path / 'out'}' exists already: choose another name (option overwrite replaces it)"):
        tsimage.convert(make_windows(), tmp_path / "out", Imager(size=4))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    assert contents(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "empty folder", "folder", "folder with a foreign manifest.json"])
def test_overwrite_replaces_nothing_but_a_store(make_windows, tmp_path, says, kind):
    output = tmp_path / "out"
    if kind == "file":
        output.write_text("precious")
    else:
        output.mkdir()
    if kind.startswith("folder"):
        (output / "thesis.txt").write_text("precious")
    if kind.endswith(".json"):
        (output / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    with says(f"output '{output}' exists already: choose another name (it is no image store)"):
        tsimage.convert(make_windows(), output, SMALL, overwrite=True)
    assert output.exists()
    if kind.startswith("folder"):
        assert (output / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_an_output_without_a_name_is_refused(many, says, output):
    with says(f"output '{output}' is not allowed: give the name of a file or folder to make"):
        tsimage.convert(many, output, SMALL)


def test_too_little_disk_is_said_before_anything_is_written(many, tmp_path, monkeypatch, says):
    asked = []

    def _usage(folder):
        asked.append(folder)
        return SimpleNamespace(total=10**9, used=10**9 - 20000, free=20000)

    monkeypatch.setattr(shutil, "disk_usage", _usage)
    monkeypatch.setattr("tsimage.conversion.labels_bytes", lambda windows: 0)
    output = tmp_path / "deep" / "out"  # 23 x (4 x 8 x 8 x 4 + 16) + 5 x 100 + 4096 = 28516
    with says(
        f"output '{output}' needs 28.5 kB but '{tmp_path}' has 20.0 kB free: choose a smaller size, a smaller dtype or fewer "
        "images, or another disk"
    ):
        tsimage.convert(many, output, SMALL)
    assert asked == [tmp_path]
    assert contents(tmp_path) == []


def test_an_output_below_a_file_is_a_users_mistake(make_windows, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(tsimage.UserError, match="out"):
        tsimage.convert(make_windows(), tmp_path / "file" / "out", SMALL)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_recipe_that_does_not_fit_writes_nothing(make_windows, tmp_path, says):
    with says(
        "image size 21 does not fit windows of 20 samples: PAA never upsamples; "
        "choose a size from 1 to 20 or cut longer windows"
    ):
        tsimage.convert(make_windows(), tmp_path / "deep" / "out", Imager(size=21))
    assert contents(tmp_path) == []


def test_a_constant_window_that_the_recipe_refuses_is_named_before_anything_is_painted(many, tmp_path, says, painted):
    values = many.values.copy()
    values[17, 1] = 3
    windows = dataclasses.replace(many, values=values)
    with says(
        "window 'w17', channel 'gyro-x' is constant (1 of 23 windows have such a channel): leave it out, or choose "
        "constant-series flag, zero or nan"
    ):
        tsimage.convert(
            windows, tmp_path / "out", Imager(size=4, constant_series="raise"), ReadOptions(constant="flag")
        )
    assert painted.counts == []
    assert contents(tmp_path) == []


def test_a_channel_that_misses_all_samples_is_refused_as_constant_before_anything_is_painted(
    many, tmp_path, says, painted
):
    values, gaps = many.values.copy(), np.zeros((23, 2), dtype=bool)
    values[17, 1] = values[3, 0, 2] = np.nan
    gaps[17, 1] = gaps[3, 0] = True
    with says(
        "window 'w17', channel 'gyro-x' is constant (1 of 23 windows have such a channel): leave it out, or choose "
        "constant-series flag, zero or nan"
    ):
        tsimage.convert(
            dataclasses.replace(many, values=values, gaps=gaps),
            tmp_path / "out",
            Imager(size=4, constant_series="raise"),
            ReadOptions(constant="flag"),
        )
    assert painted.counts == []
